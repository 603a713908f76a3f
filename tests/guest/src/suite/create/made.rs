// SPDX-License-Identifier: GPL-2.0
//! What comes into being, and what that takes: directories copied up, marks, whiteouts that go.

use super::*;

cases! { "create";
    file_in_root;
    file_in_lower_dir_copies_the_dir_up;
    all_kinds_in_lower_dir;
    all_kinds_over_whiteout;
    mkdir_over_whiteout_is_opaque;
    mkdir_in_merged_dir_is_not_opaque;
    mkdir_in_pure_upper_dir_has_no_xattr;
    exclusive_over_lower;
    mkdir_over_lower;
    trunc_existing_lower;
    open_create_existing_lower;
    symlink_long_target;
    nothing_is_left_in_the_workdir;
    nlink_of_directories;
    parent_times_change;
    in_removed_directory;
    readonly_stack_is_erofs;
}

fn file_in_root(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "data")?;
    check_eq!(f::text(o.m("a"))?, "data");
    check_eq!(f::text(o.up("a"))?, "data");
    check_eq!(f::ls(o.low(""))?, [""; 0]);
    check_eq!(
        f::listxattr(o.up("a"))?,
        [""; 0],
        "attributes of a pure upper file"
    );
    Ok(())
}

fn file_in_lower_dir_copies_the_dir_up(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("a/b"))?;
    f::chmod(o.low("a"), 0o711)?;
    f::chown(o.low("a/b"), 12, 34)?;
    f::write(o.low("a/b/old"), "x")?;
    o.mount()?;
    f::write(o.m("a/b/new"), "y")?;
    check_eq!(f::ls(o.m("a/b"))?, ["new", "old"]);
    check_eq!(f::ls(o.up("a/b"))?, ["new"]);
    check_eq!(f::mode(o.up("a"))?, 0o711);
    check_eq!(
        (f::stat(o.up("a/b"))?.uid(), f::stat(o.up("a/b"))?.gid()),
        (12, 34)
    );
    Ok(())
}

fn make_all(o: &Ovl, d: &str) -> R {
    f::write(o.m(format!("{d}/f")), "f")?;
    f::mkdir(o.m(format!("{d}/d")))?;
    f::symlink("t", o.m(format!("{d}/l")))?;
    f::mknod(o.m(format!("{d}/p")), FileType::Fifo, 0o640, 0, 0)?;
    f::mknod(o.m(format!("{d}/s")), FileType::Socket, 0o600, 0, 0)?;
    f::mknod(
        o.m(format!("{d}/c")),
        FileType::CharacterDevice,
        0o660,
        1,
        5,
    )?;
    f::mknod(o.m(format!("{d}/b")), FileType::BlockDevice, 0o660, 7, 3)
}

fn check_all(d: PathBuf) -> R {
    check_eq!(f::text(d.join("f"))?, "f");
    check!(f::stat(d.join("d"))?.is_dir());
    check_eq!(f::readlink(d.join("l"))?, Path::new("t"));
    check!(f::stat(d.join("p"))?.file_type().is_fifo());
    check_eq!(f::mode(d.join("p"))?, 0o640);
    check!(f::stat(d.join("s"))?.file_type().is_socket());
    check!(f::stat(d.join("c"))?.file_type().is_char_device());
    check_eq!(f::stat(d.join("c"))?.rdev(), rustix::fs::makedev(1, 5));
    check!(f::stat(d.join("b"))?.file_type().is_block_device());
    check_eq!(f::stat(d.join("b"))?.rdev(), rustix::fs::makedev(7, 3));
    check_eq!(f::ls(&d)?, ["b", "c", "d", "f", "l", "p", "s"]);
    Ok(())
}

fn all_kinds_in_lower_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("x"))?;
    o.mount()?;
    sys::umask(0);
    make_all(&o, "x")?;
    check_all(o.m("x"))?;
    check_all(o.up("x"))?;
    o.again()?;
    check_all(o.m("x"))
}

fn all_kinds_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("x"))?;
    for n in ["f", "d", "l", "p", "s", "c", "b"] {
        f::write(o.low(format!("x/{n}")), "old")?;
    }
    o.mount()?;
    for n in ["f", "d", "l", "p", "s", "c", "b"] {
        f::unlink(o.m(format!("x/{n}")))?;
    }
    sys::umask(0);
    make_all(&o, "x")?;
    check_all(o.m("x"))?;
    check_all(o.up("x"))?;
    o.again()?;
    check_all(o.m("x"))
}

fn mkdir_over_whiteout_is_opaque(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::write(o.low("d/hidden"), "x")?;
    f::unlink(o.m("d/hidden"))?;
    f::rmdir(o.m("d"))?;
    f::mkdir(o.m("d"))?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    check_eq!(o.xattr("d", "opaque")?, Some(b"y".to_vec()));
    o.again()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    Ok(())
}

/// Layers may be changed while they are not mounted, unless a feature forbids it: a new directory
/// is merged with what comes to be below it.
fn mkdir_in_merged_dir_is_not_opaque(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::mkdir(o.m("d/new"))?;
    f::mkdir(o.m("new"))?;
    check_eq!(
        o.xattr("d/new", "opaque")?,
        None,
        "new directory in a merged one"
    );
    check_eq!(o.xattr("new", "opaque")?, None, "new directory in the root");
    o.umount()?;
    f::mkdir(o.low("new"))?;
    f::write(o.low("new/below"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("new"))?, ["below"]);
    Ok(())
}

fn mkdir_in_pure_upper_dir_has_no_xattr(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(f::listxattr(o.up("d/e"))?, [""; 0]);
    Ok(())
}

fn exclusive_over_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    let excl = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    check_err!(f::open(o.m("a"), excl, 0o600), EEXIST);
    check!(!o.in_upper("a")?, "a refused create does not copy up");
    f::unlink(o.m("a"))?;
    f::open(o.m("a"), excl, 0o600)?;
    check_eq!(f::text(o.m("a"))?, "");
    Ok(())
}

fn mkdir_over_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::mkdir(o.m("d")), EEXIST);
    check_err!(f::mkdir(o.m("a")), EEXIST);
    check_err!(f::symlink("x", o.m("a")), EEXIST);
    check_err!(f::mknod(o.m("a"), FileType::Fifo, 0o600, 0, 0), EEXIST);
    Ok(())
}

fn trunc_existing_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), f::pattern(1, 100_000))?;
    f::chmod(o.low("a"), 0o640)?;
    o.mount()?;
    f::write(o.m("a"), "new")?;
    check_eq!(f::text(o.m("a"))?, "new");
    check_eq!(f::mode(o.m("a"))?, 0o640);
    check_eq!(f::stat(o.low("a"))?.size(), 100_000);
    Ok(())
}

fn open_create_existing_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    let h = f::open(o.m("a"), libc::O_CREAT | libc::O_RDONLY, 0o600)?;
    check_eq!(f::pread(&h, 0, 9)?, b"lower");
    check!(
        !o.in_upper("a")?,
        "O_CREAT | O_RDONLY of what exists does not copy up"
    );
    Ok(())
}

fn symlink_long_target(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let long = "x/".repeat(450);
    f::symlink(&long, o.m("l"))?;
    check_eq!(f::readlink(o.m("l"))?, Path::new(&long));
    check_eq!(f::stat(o.m("l"))?.size(), 900);
    Ok(())
}

fn nothing_is_left_in_the_workdir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("x"))?;
    for n in ["f", "d", "l", "p", "s", "c", "b"] {
        f::write(o.low(format!("x/{n}")), "old")?;
    }
    f::write(o.low("up"), "x")?;
    o.mount()?;
    f::append(o.m("up"), "y")?;
    f::chmod(o.m("x"), 0o700)?;
    check_eq!(o.work_entries()?, [""; 0], "after copy-ups");
    for n in ["f", "d", "l", "p", "s", "c", "b"] {
        f::unlink(o.m(format!("x/{n}")))?;
    }
    check_eq!(
        o.work_entries()?.len(),
        1,
        "after whiteouts: the one to link from"
    );
    make_all(&o, "x")?;
    check_eq!(o.work_entries()?.len(), 1, "after creating over whiteouts");
    Ok(())
}

fn nlink_of_directories(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    check_eq!(
        f::stat(o.m("d"))?.nlink(),
        f::stat(o.up("d"))?.nlink(),
        "new directory"
    );
    f::mkdir(o.m("d/e"))?;
    check_eq!(
        f::stat(o.m("d"))?.nlink(),
        f::stat(o.up("d"))?.nlink(),
        "with a subdirectory"
    );
    Ok(())
}

fn parent_times_change(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::utimes(o.low("d"), (1, 0), (1000, 0))?;
    o.mount()?;
    check_eq!(f::stat(o.m("d"))?.mtime(), 1000);
    f::write(o.m("d/a"), "x")?;
    let m = f::stat(o.m("d"))?;
    check!(
        m.mtime() > 1_000_000,
        "mtime of the parent after a create: {}",
        m.mtime()
    );
    check_eq!(m.mtime(), f::stat(o.up("d"))?.mtime(), "as in the upper");
    f::utimes(o.m("d"), (1, 0), (2000, 0))?;
    f::unlink(o.m("d/a"))?;
    check!(
        f::stat(o.m("d"))?.mtime() > 1_000_000,
        "mtime of the parent after an unlink"
    );
    Ok(())
}

fn in_removed_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    for n in ["d", "u"] {
        std::env::set_current_dir(o.m(n))?;
        f::rmdir(o.m(n))?;
        check_err!(f::write("a", "x"), ENOENT, "create in removed {n}");
        check_err!(f::mkdir("a"), ENOENT, "mkdir in removed {n}");
        std::env::set_current_dir(&t.dir)?;
    }
    Ok(())
}

fn readonly_stack_is_erofs(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::write(o.m("n"), "x"), EROFS, "create");
    check_err!(f::mkdir(o.m("n")), EROFS, "mkdir");
    check_err!(f::symlink("x", o.m("n")), EROFS, "symlink");
    check_err!(
        f::mknod(o.m("n"), FileType::Fifo, 0o600, 0, 0),
        EROFS,
        "mknod"
    );
    check_err!(f::link(o.m("a"), o.m("n")), EROFS, "link");
    check_err!(f::rename(o.m("a"), o.m("n")), EROFS, "rename");
    check_err!(f::unlink(o.m("a")), EROFS, "unlink");
    check_err!(f::rmdir(o.m("d")), EROFS, "rmdir");
    check_err!(f::chmod(o.m("a"), 0o600), EROFS, "chmod");
    check_err!(f::chown(o.m("a"), 1, 1), EROFS, "chown");
    check_err!(f::truncate(o.m("a"), 0), EROFS, "truncate");
    check_err!(f::utimes(o.m("a"), (1, 0), (1, 0)), EROFS, "utimens");
    check_err!(f::setxattr(o.m("a"), "user.x", "y"), EROFS, "setxattr");
    check_err!(f::append(o.m("a"), "x"), EROFS, "open for write");
    check_eq!(f::text(o.m("a"))?, "x");
    Ok(())
}
