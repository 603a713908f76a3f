// SPDX-License-Identifier: GPL-2.0
//! Removing: files and directories of every layer, and what stays of them.

use super::prelude::*;

cases! { "remove";
    unlink_upper;
    unlink_lower;
    unlink_covering_upper;
    unlink_missing;
    unlink_directory;
    rmdir_file;
    rmdir_upper;
    rmdir_lower_empty;
    rmdir_lower_not_empty;
    rmdir_merged_emptied;
    rmdir_lower_of_whiteouts;
    rmdir_merged_not_empty;
    rmdir_opaque_over_lower;
    rmdir_pure_upper_with_stray_whiteouts;
    remove_then_create_other_type;
    remove_tree;
    remove_in_lower_dir_copies_it_up;
    open_descriptor_stays;
    nlink_drops;
    unlink_one_of_lower_links;
    unlink_special_files;
    ctime_of_remaining_link;
    cwd_removed;
    sticky_directory;
    mountpoint_is_busy;
    rmdir_root_is_busy;
    no_leftovers_in_workdir;
    many_whiteouts;
}

fn unlink_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check!(!o.in_upper("a")?, "a pure upper file needs no whiteout");
    Ok(())
}

fn unlink_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check!(o.is_whiteout("a")?);
    check_eq!(f::text(o.low("a"))?, "x");
    check_err!(f::unlink(o.m("a")), ENOENT);
    Ok(())
}

fn unlink_covering_upper(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::write(o.up("a"), "upper")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check!(o.is_whiteout("a")?);
    Ok(())
}

fn unlink_missing(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::unlink(o.m("a")), ENOENT);
    check_err!(f::rmdir(o.m("d/x")), ENOENT);
    check!(!o.in_upper("d")?, "a refused removal does not copy up");
    Ok(())
}

fn unlink_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::unlink(o.m("d")), EISDIR);
    Ok(())
}

fn rmdir_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::rmdir(o.m("a")), ENOTDIR);
    Ok(())
}

fn rmdir_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::write(o.m("d/a"), "x")?;
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY);
    f::unlink(o.m("d/a"))?;
    f::rmdir(o.m("d"))?;
    check!(!o.in_upper("d")?);
    Ok(())
}

fn rmdir_lower_empty(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::rmdir(o.m("d"))?;
    check_err!(f::stat(o.m("d")), ENOENT);
    check!(o.is_whiteout("d")?);
    Ok(())
}

fn rmdir_lower_not_empty(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    o.mount()?;
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY);
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    Ok(())
}

fn rmdir_merged_emptied(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::write(o.m("d/new"), "x")?;
    f::unlink(o.m("d/a"))?;
    f::rmdir(o.m("d/e"))?;
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY, "while 'new' is there");
    f::unlink(o.m("d/new"))?;
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?);
    o.again()?;
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn rmdir_lower_of_whiteouts(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "d"))?;
    f::write(o.lown(1, "d/a"), "x")?;
    f::mkdir(o.lown(0, "d"))?;
    f::whiteout(o.lown(0, "d/a"))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?);
    Ok(())
}

fn rmdir_merged_not_empty(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("d/a"), "x")?;
    o.mount()?;
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY);
    check_eq!(f::ls(o.m("d"))?, ["a"]);
    Ok(())
}

fn rmdir_opaque_over_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/hidden"), "x")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    f::rmdir(o.m("d"))?;
    check_err!(f::stat(o.m("d")), ENOENT);
    check!(o.is_whiteout("d")?);
    o.again()?;
    check_err!(f::stat(o.m("d")), ENOENT, "after remount");
    Ok(())
}

fn rmdir_pure_upper_with_stray_whiteouts(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("p"))?;
    f::mkdirs(o.up("p/d"))?;
    f::whiteout(o.up("p/d/w"))?;
    f::setxattr(o.up("p/d"), "trusted.overlay.origin", "")?;
    o.mount()?;
    check_eq!(f::ls(o.m("p/d"))?, [""; 0]);
    f::rmdir(o.m("p/d"))?;
    check_err!(f::stat(o.m("p/d")), ENOENT);
    Ok(())
}

fn remove_then_create_other_type(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    f::symlink("x", o.low("l"))?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    f::mkdir(o.m("a"))?;
    f::write(o.m("a/in"), "x")?;
    f::rmdir(o.m("d"))?;
    f::write(o.m("d"), "now a file")?;
    f::unlink(o.m("l"))?;
    f::mknod(o.m("l"), FileType::Fifo, 0o600, 0, 0)?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("a"))?, ["in"]);
        check_eq!(f::text(o.m("d"))?, "now a file");
        check!(f::stat(o.m("l"))?.file_type().is_fifo());
        o.again()?;
    }
    Ok(())
}

fn remove_tree(t: &T) -> R {
    let o = t.layers(2)?;
    for (i, l) in [0, 1, 0, 1].iter().enumerate() {
        f::mkdirs(o.lown(*l, format!("d/e{i}/f")))?;
        for k in 0..5 {
            f::write(o.lown(*l, format!("d/e{i}/f/{k}")), "x")?;
            f::write(o.lown(*l, format!("d/e{i}/{k}")), "x")?;
        }
    }
    o.mount()?;
    f::write(o.m("d/e0/new"), "x")?;
    f::ctx(std::fs::remove_dir_all(o.m("d")), "rm -r", o.m("d"))?;
    check_err!(f::stat(o.m("d")), ENOENT);
    check!(o.is_whiteout("d")?);
    check_eq!(f::ls(o.root())?, [""; 0]);
    check_eq!(
        o.work_entries()?.len(),
        1,
        "only the whiteout to link from is left"
    );
    o.again()?;
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn remove_in_lower_dir_copies_it_up(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    f::chmod(o.low("d/e"), 0o715)?;
    o.mount()?;
    f::unlink(o.m("d/e/a"))?;
    check_eq!(f::mode(o.up("d/e"))?, 0o715);
    check!(o.is_whiteout("d/e/a")?);
    check_eq!(f::ls(o.m("d/e"))?, [""; 0]);
    Ok(())
}

fn open_descriptor_stays(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::write(o.m("u"), "upper")?;
    let (a, u, d) = (
        f::open_ro(o.m("a"))?,
        f::open_rw(o.m("u"))?,
        f::open_ro(o.m("d"))?,
    );
    f::unlink(o.m("a"))?;
    f::unlink(o.m("u"))?;
    f::rmdir(o.m("d"))?;
    check_eq!(f::pread(&a, 0, 9)?, b"lower");
    check_eq!(f::pread(&u, 0, 9)?, b"upper");
    f::pwrite(&u, 0, "U")?;
    check_eq!(f::pread(&u, 0, 9)?, b"Upper");
    check_eq!(u.metadata()?.nlink(), 0);
    check_err!(
        sys::getdents(&d, 4096),
        ENOENT,
        "readdir of a removed directory"
    );
    Ok(())
}

fn nlink_drops(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    f::link(o.m("a"), o.m("c"))?;
    let h = f::open_ro(o.m("a"))?;
    for (n, left) in [("a", 2), ("b", 1), ("c", 0)] {
        f::unlink(o.m(n))?;
        check_eq!(h.metadata()?.nlink(), left, "after unlink of {n}");
    }
    Ok(())
}

fn unlink_one_of_lower_links(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::text(o.m("b"))?, "x");
    f::append(o.m("b"), "y")?;
    check_eq!(f::text(o.m("b"))?, "xy");
    Ok(())
}

fn unlink_special_files(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("s"), FileType::Socket, 0o600, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::symlink("x", o.low("l"))?;
    o.mount()?;
    for n in ["p", "s", "c", "l"] {
        f::unlink(o.m(n))?;
        check!(o.is_whiteout(n)?);
    }
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn ctime_of_remaining_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    let before = f::stat(o.up("b"))?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    f::unlink(o.m("a"))?;
    let (m, u) = (f::stat(o.m("b"))?, f::stat(o.up("b"))?);
    check!(
        (u.ctime(), u.ctime_nsec()) > (before.ctime(), before.ctime_nsec()),
        "ctime moved"
    );
    check_eq!(
        (m.ctime(), m.ctime_nsec()),
        (u.ctime(), u.ctime_nsec()),
        "ctime as in the upper"
    );
    Ok(())
}

fn cwd_removed(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    std::env::set_current_dir(o.m("d"))?;
    f::rmdir(o.m("d"))?;
    check!(f::stat(".")?.is_dir(), "it can still be asked about");
    check_err!(f::mkdir("x"), ENOENT);
    check_err!(std::env::current_dir(), ENOENT);
    std::env::set_current_dir(&t.dir)?;
    Ok(())
}

fn sticky_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("tmp"))?;
    f::chmod(o.low("tmp"), 0o1777)?;
    f::write(o.low("tmp/a"), "x")?;
    f::chown(o.low("tmp/a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("tmp/a");
    check_err!(sys::as_user(1001, 1001, || f::unlink(&a)), EPERM);
    check!(!o.in_upper("tmp")?);
    sys::as_user(1000, 1000, || f::unlink(&a))?;
    check_err!(f::stat(&a), ENOENT);
    Ok(())
}

fn mountpoint_is_busy(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    rustix::mount::mount_bind(&t.dir, o.m("d"))?;
    check_err!(f::rmdir(o.m("d")), EBUSY);
    rustix::mount::unmount(o.m("d"), rustix::mount::UnmountFlags::empty())?;
    f::rmdir(o.m("d"))
}

fn rmdir_root_is_busy(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_err!(f::rmdir(o.root()), EBUSY);
    Ok(())
}

fn no_leftovers_in_workdir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.low("e"))?;
    for i in 0..20 {
        f::write(o.low(format!("d/{i}")), "x")?;
    }
    o.mount()?;
    for i in 0..20 {
        f::unlink(o.m(format!("d/{i}")))?;
    }
    f::rmdir(o.m("d"))?;
    f::mkdir(o.m("d"))?;
    f::rmdir(o.m("d"))?;
    f::rmdir(o.m("e"))?;
    check_eq!(o.work_entries()?.len(), 1, "only the whiteout to link from");
    o.umount()?;
    o.mount()?;
    check_eq!(o.work_entries()?, [""; 0], "after remount");
    Ok(())
}

fn many_whiteouts(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(400, 30);
    f::mkdir(o.low("d"))?;
    for i in 0..n {
        f::write(o.low(format!("d/{i}")), "")?;
    }
    o.mount()?;
    for i in 0..n {
        f::unlink(o.m(format!("d/{i}")))?;
    }
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    check_eq!(
        f::stat(o.up("d/0"))?.nlink(),
        n + 1,
        "links of the shared whiteout"
    );
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?);
    check_eq!(
        f::stat(o.up("d"))?.nlink(),
        2,
        "links of the shared whiteout at the end"
    );
    Ok(())
}
