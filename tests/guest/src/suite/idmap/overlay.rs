// SPDX-License-Identifier: GPL-2.0
//! The overlay's own mount idmapped, alone and on idmapped layers.

use super::*;
use rustix::fs::CWD;
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsmount, fsopen, FsMountFlags, FsOpenFlags, MountAttrFlags,
};

cases! { "idmap";
    mount_shows_translated;
    mount_new_files_are_stored_untranslated;
    mount_chown;
    mount_chown_to_unmapped;
    mount_unmapped_caller_cannot_create;
    mount_permission_is_of_the_shown_owner;
    mount_acl;
    mount_acl_drops_setgid;
    mount_setgid_directory;
    mount_capability;
    mount_tmpfile;
    mount_and_plain_mount_side_by_side;
    all_three;
    readdir_and_remount;
}

fn mount_shows_translated(t: &T) -> R {
    let o = with(t, MOUNT, a_file)?;
    check_eq!(owner(o.m("a"))?, (1001, 1002));
    f::append(o.m("a"), "+")?;
    check_eq!(owner(o.m("a"))?, (1001, 1002), "after the copy-up");
    check_eq!(owner(o.up("a"))?, (1, 2), "stored");
    Ok(())
}

fn mount_new_files_are_stored_untranslated(t: &T) -> R {
    let o = with(t, MOUNT, |o| f::chmod(o.up(""), 0o777))?;
    let root = o.root().to_path_buf();
    sys::as_user(1001, 1002, || {
        f::write(root.join("a"), "x")?;
        f::mkdir(root.join("e"))?;
        f::symlink("x", root.join("l"))?;
        f::unlink(root.join("a"))?;
        f::write(root.join("a"), "y")
    })?;
    for n in ["a", "e", "l"] {
        check_eq!(owner(o.m(n))?, (1001, 1002), "{n} shown");
        check_eq!(owner(o.up(n))?, (1, 2), "{n} stored");
    }
    Ok(())
}

fn mount_chown(t: &T) -> R {
    let o = with(t, MOUNT, a_file)?;
    f::chown(o.m("a"), 1007, 1008)?;
    check_eq!(owner(o.m("a"))?, (1007, 1008));
    check_eq!(owner(o.up("a"))?, (7, 8));
    std::os::unix::fs::lchown(o.m("a"), None, Some(1009))?;
    check_eq!(owner(o.up("a"))?, (7, 9));
    std::os::unix::fs::lchown(o.m("a"), Some(1010), None)?;
    check_eq!(owner(o.up("a"))?, (10, 9));
    Ok(())
}

fn mount_chown_to_unmapped(t: &T) -> R {
    let o = with(t, MOUNT, a_file)?;
    check_err!(f::chown(o.m("a"), 7, 1008), EOVERFLOW);
    check_err!(f::chown(o.m("a"), 1007, 8000), EOVERFLOW);
    check!(!o.in_upper("a")?, "a refused chown does not copy up");
    Ok(())
}

fn mount_unmapped_caller_cannot_create(t: &T) -> R {
    let o = with(t, MOUNT, |o| f::chmod(o.up(""), 0o777))?;
    check_err!(f::write(o.m("a"), "x"), EOVERFLOW, "root is not in the map");
    check_err!(f::mkdir(o.m("d")), EOVERFLOW);
    check_err!(f::symlink("x", o.m("l")), EOVERFLOW);
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    Ok(())
}

fn mount_permission_is_of_the_shown_owner(t: &T) -> R {
    let o = with(t, MOUNT, a_file)?;
    let a = o.m("a");
    sys::as_user(1001, 1, || f::append(&a, "+"))?;
    sys::as_user(1001, 1, || f::chmod(&a, 0o600))?;
    check_err!(sys::as_user(1, 2, || f::read(&a).map(drop)), EACCES);
    check_err!(sys::as_user(1, 2, || f::chmod(&a, 0o666)), EPERM);
    check_err!(sys::as_user(1, 2, || f::utimes(&a, (1, 0), (1, 0))), EPERM);
    sys::as_user(1001, 1, || f::utimes(&a, (1, 0), (1, 0)))
}

fn mount_acl(t: &T) -> R {
    let o = with(t, MOUNT, |o| {
        a_file(o)?;
        f::setxattr(o.low("a"), ACCESS, acl(3, 4))
    })?;
    let a = o.m("a");
    check_eq!(f::getxattr(&a, ACCESS)?, acl(1003, 1004), "shown");
    sys::as_user(1003, 1, || f::read(&a).map(drop))?;
    check_err!(sys::as_user(3, 1, || f::read(&a).map(drop)), EACCES);
    sys::as_user(1001, 1, || f::setxattr(&a, ACCESS, acl(1005, 1006)))?;
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, acl(5, 6), "stored");
    check_eq!(f::getxattr(&a, ACCESS)?, acl(1005, 1006), "shown");
    check_err!(
        sys::as_user(1, 1, || f::setxattr(&a, ACCESS, acl(1007, 1008))),
        EPERM,
        "the stored owner is not the shown one"
    );
    Ok(())
}

fn mount_acl_drops_setgid(t: &T) -> R {
    let o = with(t, MOUNT, |o| {
        a_file(o)?;
        f::chmod(o.low("a"), 0o2750)
    })?;
    let a = o.m("a");
    // In the group as the mount shows it: keeps the bit.
    sys::as_user_groups(1001, 1, &[1002], || {
        f::setxattr(&a, ACCESS, acl(1003, 1004))
    })?;
    check_eq!(f::mode(&a)? & 0o2000, 0o2000, "one of the group");
    // In a group of the stored number: loses it.
    sys::as_user_groups(1001, 1, &[2], || f::setxattr(&a, ACCESS, acl(1003, 1004)))?;
    check_eq!(f::mode(&a)? & 0o2000, 0, "a stranger");
    Ok(())
}

fn mount_setgid_directory(t: &T) -> R {
    let o = with(t, MOUNT, |o| {
        f::mkdir(o.low("d"))?;
        f::chown(o.low("d"), 1, 2)?;
        f::chmod(o.low("d"), 0o2777)
    })?;
    let d = o.m("d");
    sys::as_user(1005, 1006, || {
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::open(d.join("x"), libc::O_CREAT | libc::O_WRONLY, 0o2775).map(drop)
    })?;
    sys::as_user_groups(1005, 1006, &[1002], || {
        f::open(d.join("y"), libc::O_CREAT | libc::O_WRONLY, 0o2775).map(drop)
    })?;
    for n in ["a", "e", "x", "y"] {
        check_eq!(owner(d.join(n))?, (1005, 1002), "{n} shown");
        check_eq!(owner(o.up("d").join(n))?, (5, 2), "{n} stored");
    }
    check_eq!(f::mode(d.join("e"))? & 0o2000, 0o2000);
    check_eq!(f::mode(d.join("x"))? & 0o2000, 0, "a stranger's file");
    check_eq!(f::mode(d.join("y"))? & 0o2000, 0o2000, "a member's file");
    Ok(())
}

fn mount_capability(t: &T) -> R {
    let o = with(t, MOUNT, |o| {
        a_file(o)?;
        f::setxattr(o.low("a"), CAPS, caps(Some(5)))
    })?;
    check_eq!(f::getxattr(o.m("a"), CAPS)?, caps(Some(1005)), "shown");
    f::setxattr(o.m("a"), CAPS, caps(Some(1007)))?;
    check_eq!(f::getxattr(o.up("a"), CAPS)?, caps(Some(7)), "stored");
    check_eq!(f::getxattr(o.m("a"), CAPS)?, caps(Some(1007)), "shown");
    Ok(())
}

fn mount_tmpfile(t: &T) -> R {
    let o = with(t, MOUNT, |o| f::chmod(o.up(""), 0o777))?;
    let root = o.root().to_path_buf();
    sys::as_user(1001, 1002, || {
        let h = f::open(&root, libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
        let m = h.metadata()?;
        check_eq!((m.uid(), m.gid()), (1001, 1002), "shown without a name");
        use std::os::fd::AsRawFd;
        let from = format!("/proc/self/fd/{}", h.as_raw_fd());
        let flags = rustix::fs::AtFlags::SYMLINK_FOLLOW;
        rustix::fs::linkat(CWD, from, CWD, root.join("t"), flags)?;
        Ok(())
    })?;
    check_eq!(owner(o.m("t"))?, (1001, 1002));
    check_eq!(owner(o.up("t"))?, (1, 2));
    check_err!(
        f::open(o.root(), libc::O_TMPFILE | libc::O_RDWR, 0o600),
        EOVERFLOW,
        "one who is not in the map"
    );
    Ok(())
}

fn mount_and_plain_mount_side_by_side(t: &T) -> R {
    // One superblock, two views.
    let o = t.ovl()?;
    a_file(&o)?;
    f::chmod(o.up(""), 0o777)?;
    mapped(&t.ty, &o, Maps::default())?;
    f::mkdir(t.p("view"))?;
    attach(&idmapped(o.root(), &add(1000))?, &t.p("view"))?;
    let v = t.p("view");
    check_eq!(
        (owner(o.m("a"))?, owner(v.join("a"))?),
        ((1, 2), (1001, 1002))
    );
    sys::as_user(1001, 1001, || f::append(v.join("a"), "+"))?;
    sys::as_user(1, 1, || f::append(o.m("a"), "+"))?;
    check_err!(
        sys::as_user(1001, 1001, || f::append(o.m("a"), "+")),
        EACCES
    );
    sys::as_user(1003, 1003, || f::write(v.join("new"), "x"))?;
    check_eq!(owner(o.m("new"))?, (3, 3));
    check_eq!(f::text(v.join("a"))?, "data++");
    Ok(())
}

fn all_three(t: &T) -> R {
    // Disk 1 -> the lower's mount 20001 -> the overlay's mount 1001; the upper stores 20001 as 1.
    let o = t.ovl()?;
    a_file(&o)?;
    f::chmod(o.up(""), 0o777)?;
    let lower = idmapped(&o.lowers[0], &add(20000))?;
    let fs = f::ctx(
        fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC),
        "fsopen",
        "",
    )?;
    fsconfig_set_fd(&fs, "lowerdir+", &lower)?;
    let up = idmapped(o.up("").parent().unwrap(), &UPPER_MAP)?;
    fsconfig_set_fd(&fs, "upperdir", &below(&up, "upper")?)?;
    fsconfig_set_fd(&fs, "workdir", &below(&up, "work")?)?;
    f::ctx(fsconfig_create(&fs), "create", "")?;
    let m = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let ns = sys::user_namespace(&[(0, 0, 1), (20001, 1001, 4999)])?;
    sys::set_idmap(&m, &ns)?;
    attach(&m, o.root())?;

    check_eq!(owner(o.m("a"))?, (1001, 1002));
    let root = o.root().to_path_buf();
    sys::as_user(1001, 1002, || {
        f::append(root.join("a"), "+")?;
        f::write(root.join("n"), "x")?;
        f::setxattr(root.join("n"), ACCESS, acl(1003, 1004))
    })?;
    for n in ["a", "n"] {
        check_eq!(owner(o.m(n))?, (1001, 1002), "{n} shown");
        check_eq!(owner(o.up(n))?, (1, 2), "{n} stored");
    }
    check_eq!(f::getxattr(o.up("n"), ACCESS)?, acl(3, 4));
    f::chown(o.m("n"), 1005, 1006)?;
    check_eq!(owner(o.up("n"))?, (5, 6));
    check_err!(f::chown(o.m("n"), 20005, 1006), EOVERFLOW);
    Ok(())
}

fn readdir_and_remount(t: &T) -> R {
    let o = with(t, ALL, |o| {
        f::mkdir(o.low("d"))?;
        for i in 0..50 {
            f::write(o.low(format!("d/{i}")), "x")?;
        }
        f::chmod(o.low("d"), 0o755)
    })?;
    check_eq!(f::ls(o.m("d"))?.len(), 50);
    f::unlink(o.m("d/7")).err();
    o.umount()?;
    mapped(&t.ty, &o, ALL)?;
    drop_caches()?;
    check!(f::ls(o.m("d"))?.len() >= 49);
    Ok(())
}
