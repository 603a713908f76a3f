// SPDX-License-Identifier: GPL-2.0
//! Creating objects: in pure, merged and lower directories, and over whiteouts.

use super::prelude::*;

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
    mode_and_umask;
    owner_is_the_caller;
    owner_over_whiteout_is_the_caller;
    setgid_directory_gives_its_group;
    setgid_directory_over_whiteout;
    default_acl_is_inherited;
    default_acl_over_whiteout;
    trunc_existing_lower;
    open_create_existing_lower;
    hard_link_of_upper;
    hard_link_of_lower_copies_up;
    hard_link_over_whiteout;
    hard_link_into_new_parent_marks_it_impure;
    hard_link_of_symlink;
    hard_link_existing_target;
    symlink_long_target;
    nothing_is_left_in_the_workdir;
    nlink_of_directories;
    parent_times_change;
    in_removed_directory;
    readonly_stack_is_erofs;
    tmpfile;
    tmpfile_link;
    tmpfile_excl_cannot_be_linked;
    tmpfile_in_lower_dir;
    tmpfile_owner_and_mode;
    tmpfile_link_over_whiteout;
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

fn mode_and_umask(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("w"), "x")?;
    f::write(o.low("wd"), "x")?;
    o.mount()?;
    sys::umask(0o027);
    let creat = libc::O_CREAT | libc::O_RDWR;
    f::open(o.m("a"), creat, 0o666)?;
    f::unlink(o.m("w"))?;
    f::unlink(o.m("wd"))?;
    f::open(o.m("w"), creat, 0o777)?;
    f::mkdir(o.m("d"))?;
    f::mkdir(o.m("wd"))?;
    f::mknod(o.m("p"), FileType::Fifo, 0o666, 0, 0)?;
    check_eq!(f::mode(o.m("a"))?, 0o640, "file");
    check_eq!(f::mode(o.m("w"))?, 0o750, "file over a whiteout");
    check_eq!(f::mode(o.m("d"))?, 0o750, "directory");
    check_eq!(f::mode(o.m("wd"))?, 0o750, "directory over a whiteout");
    check_eq!(f::mode(o.m("p"))?, 0o640, "fifo");
    check_eq!(f::mode(o.up("a"))?, 0o640, "file in the upper");
    Ok(())
}

fn owner_is_the_caller(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::symlink("x", d.join("l"))?;
        f::mknod(d.join("p"), FileType::Fifo, 0o600, 0, 0)
    })?;
    for n in ["a", "e", "l", "p"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!(
            (m.uid(), m.gid()),
            (1000, 2000),
            "owner of d/{n} in the upper"
        );
        let m = f::stat(o.m("d").join(n))?;
        check_eq!((m.uid(), m.gid()), (1000, 2000), "owner of d/{n}");
    }
    Ok(())
}

fn owner_over_whiteout_is_the_caller(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    for n in ["a", "e", "l"] {
        f::write(o.low("d").join(n), "x")?;
    }
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        for n in ["a", "e", "l"] {
            f::unlink(d.join(n))?;
        }
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::symlink("x", d.join("l"))
    })?;
    for n in ["a", "e", "l"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!(
            (m.uid(), m.gid()),
            (1000, 2000),
            "owner of d/{n} in the upper"
        );
    }
    Ok(())
}

fn setgid_directory_gives_its_group(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 77)?;
    f::chmod(o.low("d"), 0o2775)?;
    o.mount()?;
    f::write(o.m("d/a"), "x")?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(
        f::mode(o.up("d"))?,
        0o2775,
        "mode of the copied-up directory"
    );
    check_eq!(f::stat(o.m("d/a"))?.gid(), 77);
    check_eq!(f::stat(o.m("d/e"))?.gid(), 77);
    check_eq!(
        f::mode(o.m("d/e"))? & 0o2000,
        0o2000,
        "a directory inherits the setgid bit"
    );
    Ok(())
}

fn setgid_directory_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 77)?;
    f::chmod(o.low("d"), 0o2777)?;
    for n in ["a", "e", "x"] {
        f::write(o.low("d").join(n), "x")?;
    }
    o.mount()?;
    for n in ["a", "e", "x"] {
        f::unlink(o.m("d").join(n))?;
    }
    f::write(o.m("d/a"), "x")?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(f::stat(o.m("d/a"))?.gid(), 77);
    check_eq!(f::stat(o.m("d/e"))?.gid(), 77);
    check_eq!(
        f::mode(o.m("d/e"))? & 0o2000,
        0o2000,
        "a directory inherits the setgid bit"
    );
    // A user outside the group does not get a setgid executable.
    let x = o.m("d/x");
    sys::as_user(1000, 1000, || {
        f::open(&x, libc::O_CREAT | libc::O_WRONLY, 0o2755).map(drop)
    })?;
    check_eq!(
        f::mode(o.m("d/x"))?,
        0o755,
        "mode of a setgid file made by a stranger"
    );
    Ok(())
}

/// user::rwx, user:1001:rwx, group::r-x, mask::rwx, other::---
fn acl() -> Vec<u8> {
    super::acl::encode(&[
        (1, 7, !0),
        (2, 7, 1001),
        (4, 5, !0),
        (0x10, 7, !0),
        (0x20, 0, !0),
    ])
}

fn default_acl_is_inherited(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), "system.posix_acl_default", acl())?;
    o.mount()?;
    sys::umask(0o077);
    f::open(o.m("d/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(
        f::mode(o.m("d/a"))?,
        0o660,
        "the umask gives way to the default ACL"
    );
    check!(
        f::xattr_opt(o.m("d/a"), "system.posix_acl_access")?.is_some(),
        "access ACL of the file"
    );
    check_eq!(f::getxattr(o.m("d/e"), "system.posix_acl_default")?, acl());
    Ok(())
}

fn default_acl_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), "system.posix_acl_default", acl())?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.low("d/e"), "x")?;
    f::mkdir(o.low("q"))?;
    f::setxattr(o.low("q"), "system.posix_acl_default", acl())?;
    o.mount()?;
    sys::umask(0o077);
    f::unlink(o.m("d/a"))?;
    f::unlink(o.m("d/e"))?;
    f::open(o.m("d/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("d/e"))?;
    // What is made over a whiteout is made like what is made beside it.
    f::open(o.m("q/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("q/e"))?;
    for n in ["a", "e"] {
        check_eq!(
            f::mode(o.m("d").join(n))?,
            f::mode(o.m("q").join(n))?,
            "mode of {n}"
        );
        for x in ["system.posix_acl_access", "system.posix_acl_default"] {
            if n == "a" && x.ends_with("default") {
                continue;
            }
            check_eq!(
                f::xattr_opt(o.m("d").join(n), x)?,
                f::xattr_opt(o.m("q").join(n), x)?,
                "{x} of {n}"
            );
        }
    }
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

fn hard_link_of_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    f::append(o.m("b"), "y")?;
    check_eq!(f::text(o.m("a"))?, "xy");
    let (a, b) = (f::stat(o.m("a"))?, f::stat(o.m("b"))?);
    check_eq!((a.nlink(), b.nlink()), (2, 2), "link counts");
    check_eq!((a.ino(), a.dev()), (b.ino(), b.dev()), "same object");
    f::unlink(o.m("a"))?;
    check_eq!(f::stat(o.m("b"))?.nlink(), 1);
    Ok(())
}

fn hard_link_of_lower_copies_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    f::link(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.up("b"))?, "lower");
    check_eq!(
        f::stat(o.up("a"))?.ino(),
        f::stat(o.up("b"))?.ino(),
        "linked in the upper"
    );
    check_eq!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "same object"
    );
    check_eq!(f::stat(o.m("a"))?.nlink(), 2);
    f::append(o.m("a"), "+")?;
    check_eq!(f::text(o.m("b"))?, "lower+");
    o.again()?;
    check_eq!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "same object after remount"
    );
    Ok(())
}

fn hard_link_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    o.mount()?;
    f::unlink(o.m("b"))?;
    f::link(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::stat(o.m("b"))?.nlink(), 2);
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    o.again()?;
    check_eq!(f::text(o.m("b"))?, "a");
    Ok(())
}

fn hard_link_into_new_parent_marks_it_impure(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::link(o.m("a"), o.m("d/b"))?;
    check_eq!(o.xattr("d", "impure")?, Some(b"y".to_vec()));
    let st = f::stat(o.m("d/b"))?.ino();
    let d = f::open_ro(o.m("d"))?;
    let e = sys::getdents(&d, 4096)?;
    let e = e.iter().find(|e| e.name == "b").map(|e| e.ino);
    check_eq!(e, Some(st), "d_ino equals st_ino");
    Ok(())
}

fn hard_link_of_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("t", o.low("l"))?;
    o.mount()?;
    f::link(o.m("l"), o.m("k"))?;
    check_eq!(f::readlink(o.m("k"))?, Path::new("t"));
    check_eq!(f::stat(o.m("k"))?.nlink(), 2);
    Ok(())
}

fn hard_link_existing_target(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::link(o.m("a"), o.m("b")), EEXIST);
    check_err!(f::link(o.m("d"), o.m("e")), EPERM);
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

const TMP: i32 = libc::O_TMPFILE | libc::O_RDWR;

fn link_fd(h: &File, to: PathBuf) -> R {
    use std::os::fd::AsRawFd;
    let r = rustix::fs::linkat(
        rustix::fs::CWD,
        format!("/proc/self/fd/{}", h.as_raw_fd()),
        rustix::fs::CWD,
        &to,
        rustix::fs::AtFlags::SYMLINK_FOLLOW,
    );
    f::ctx(r, "linkat of a descriptor to", to)
}

fn tmpfile(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP, 0o600)?;
    f::pwrite(&h, 0, "data")?;
    check_eq!(f::pread(&h, 0, 10)?, b"data");
    check_eq!(h.metadata()?.nlink(), 0);
    check_eq!(h.metadata()?.size(), 4);
    check_eq!(f::ls(o.root())?, [""; 0]);
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn tmpfile_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP, 0o640)?;
    f::pwrite(&h, 0, "data")?;
    link_fd(&h, o.m("named"))?;
    check_eq!(f::text(o.m("named"))?, "data");
    check_eq!(h.metadata()?.nlink(), 1);
    check_eq!(
        h.metadata()?.ino(),
        f::stat(o.m("named"))?.ino(),
        "the same object"
    );
    f::pwrite(&h, 4, "+")?;
    check_eq!(f::text(o.m("named"))?, "data+");
    check_eq!(f::text(o.up("named"))?, "data+");
    check_eq!(f::mode(o.m("named"))?, 0o640);
    drop(h);
    o.again()?;
    check_eq!(f::text(o.m("named"))?, "data+");
    Ok(())
}

fn tmpfile_excl_cannot_be_linked(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP | libc::O_EXCL, 0o600)?;
    check_err!(link_fd(&h, o.m("named")), ENOENT);
    Ok(())
}

fn tmpfile_in_lower_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    o.mount()?;
    let h = f::open(o.m("d/e"), TMP, 0o600)?;
    check!(o.in_upper("d/e")?, "the directory was copied up");
    f::pwrite(&h, 0, "x")?;
    link_fd(&h, o.m("d/e/named"))?;
    check_eq!(f::ls(o.m("d/e"))?, ["named"]);
    Ok(())
}

fn tmpfile_owner_and_mode(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        sys::umask(0o027);
        let h = f::open(&d, TMP, 0o666)?;
        let m = h.metadata()?;
        check_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (1000, 2000, 0o640));
        link_fd(&h, d.join("named"))
    })?;
    let m = f::stat(o.up("d/named"))?;
    check_eq!(
        (m.uid(), m.gid(), m.mode() & 0o7777),
        (1000, 2000, 0o640),
        "in the upper"
    );
    Ok(())
}

fn tmpfile_link_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    let h = f::open(o.root(), TMP, 0o600)?;
    f::pwrite(&h, 0, "new")?;
    link_fd(&h, o.m("a"))?;
    check_eq!(f::text(o.m("a"))?, "new");
    drop(h);
    o.again()?;
    check_eq!(f::text(o.m("a"))?, "new");
    Ok(())
}
