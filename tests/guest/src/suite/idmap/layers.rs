// SPDX-License-Identifier: GPL-2.0
//! Idmapped layers: the lower, the upper, both.

use super::*;

cases! { "idmap";
    lower_owner_shows_translated;
    lower_copies_up_as_shown;
    lower_unmapped_owner_shows_as_nobody;
    lower_unmapped_owner_does_not_copy_up;
    lower_by_path;
    lower_acl_is_translated;
    lower_capability_is_translated;
    upper_new_files_are_stored_translated;
    upper_copy_up_is_stored_translated;
    upper_unmapped_creator_is_refused;
    upper_chown;
    upper_acl_is_stored_translated;
    upper_whiteouts_and_directories;
    both_layers;
    two_lowers_with_their_own_maps;
}

const NOBODY: u32 = 65534;

fn lower_owner_shows_translated(t: &T) -> R {
    let o = with(t, LOWER, a_file)?;
    check_eq!(owner(o.m("a"))?, (10001, 10002));
    let a = o.m("a");
    sys::as_user(10001, 1, || f::read(&a).map(drop))?;
    sys::as_user_groups(1, 1, &[10002], || f::read(&a).map(drop))?;
    check_err!(sys::as_user(1, 2, || f::read(&a).map(drop)), EACCES);
    Ok(())
}

fn lower_copies_up_as_shown(t: &T) -> R {
    let o = with(t, LOWER, a_file)?;
    let a = o.m("a");
    sys::as_user(10001, 1, || f::append(&a, "+"))?;
    check_eq!(owner(o.m("a"))?, (10001, 10002), "shown");
    check_eq!(owner(o.up("a"))?, (10001, 10002), "stored in the upper");
    check_eq!(owner(o.low("a"))?, (1, 2), "the lower");
    check_eq!(f::text(o.up("a"))?, "data+");
    check_eq!(f::mode(o.up("a"))?, 0o640);
    Ok(())
}

fn lower_unmapped_owner_shows_as_nobody(t: &T) -> R {
    let o = with(t, LOWER, |o| {
        f::write(o.low("a"), "x")?;
        f::chown(o.low("a"), 6000, 3)?;
        f::chmod(o.low("a"), 0o604)
    })?;
    check_eq!(owner(o.m("a"))?, (NOBODY, 10003));
    let a = o.m("a");
    check_err!(sys::as_user(6000, 1, || f::append(&a, "x")), EACCES);
    check_err!(sys::as_user(NOBODY, 1, || f::append(&a, "x")), EACCES);
    sys::as_user(1, 1, || f::read(&a).map(drop))
}

fn lower_unmapped_owner_does_not_copy_up(t: &T) -> R {
    let o = with(t, LOWER, |o| {
        for (n, uid, gid) in [("u", 6000, 1), ("g", 1, 6000)] {
            f::write(o.low(n), "x")?;
            f::chown(o.low(n), uid, gid)?;
            f::chmod(o.low(n), 0o666)?;
        }
        f::mkdir(o.low("d"))?;
        f::chown(o.low("d"), 6000, 6000)
    })?;
    // Even for root: nobody could say whose the copy is.
    for n in ["u", "g"] {
        check_err!(f::append(o.m(n), "y"), EACCES, "write to {n}");
        check_err!(f::chmod(o.m(n), 0o600), EOVERFLOW, "chmod of {n}");
        check_err!(f::setxattr(o.m(n), "user.x", "y"), EPERM, "setxattr of {n}");
        check_err!(f::rename(o.m(n), o.m("r")), EOVERFLOW, "rename of {n}");
        check_err!(f::link(o.m(n), o.m("l")), EOVERFLOW, "link to {n}");
        check_err!(f::unlink(o.m(n)), EOVERFLOW, "unlink of {n}");
        check!(!o.in_upper(n)?);
    }
    check_err!(f::write(o.m("d/x"), "x"), EACCES, "create below");
    check_eq!(f::text(o.m("u"))?, "x");
    Ok(())
}

fn lower_by_path(t: &T) -> R {
    let o = t.ovl()?;
    a_file(&o)?;
    f::mkdir(t.p("shown"))?;
    attach(&idmapped(&o.lowers[0], &add(10000))?, &t.p("shown"))?;
    check_eq!(owner(t.p("shown/a"))?, (10001, 10002));
    let mut p = o.clone();
    p.lowers = vec![t.p("shown")];
    p.mount()?;
    check_eq!(owner(p.m("a"))?, (10001, 10002));
    f::append(p.m("a"), "+")?;
    check_eq!(owner(p.up("a"))?, (10001, 10002));
    p.umount()
}

fn lower_acl_is_translated(t: &T) -> R {
    if t.fs == "xfs" {
        // Both modules copy that up as it is, over the translated ACL.
        return Err(
            crate::check::Skip("xfs shows its ACLs as trusted.SGI_ACL_FILE too".into()).into(),
        );
    }
    let o = with(t, LOWER, |o| {
        a_file(o)?;
        f::mkdir(o.low("d"))?;
        f::setxattr(o.low("d"), DEFAULT, acl(3, 4))?;
        f::setxattr(o.low("a"), ACCESS, acl(3, 4))
    })?;
    check_eq!(f::getxattr(o.m("a"), ACCESS)?, acl(10003, 10004), "shown");
    check_eq!(f::getxattr(o.m("d"), DEFAULT)?, acl(10003, 10004), "shown");
    let a = o.m("a");
    sys::as_user(10003, 1, || f::read(&a).map(drop))?;
    check_err!(sys::as_user(3, 1, || f::read(&a).map(drop)), EACCES);
    sys::as_user(10003, 1, || f::append(&a, "+"))?;
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, acl(10003, 10004), "copied");
    check_eq!(f::getxattr(o.low("a"), ACCESS)?, acl(3, 4), "the lower");
    f::write(o.m("d/new"), "x")?;
    check_eq!(f::getxattr(o.up("d"), DEFAULT)?, acl(10003, 10004));
    sys::as_user(10003, 1, || f::read(o.m("d/new")).map(drop))
}

fn lower_capability_is_translated(t: &T) -> R {
    // The capability of user 5's namespace, which the mount shows as that of 10005's.
    let o = with(t, LOWER, |o| {
        a_file(o)?;
        f::setxattr(o.low("a"), CAPS, caps(Some(5)))
    })?;
    check_eq!(f::getxattr(o.m("a"), CAPS)?, caps(Some(10005)), "shown");
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(f::getxattr(o.up("a"), CAPS)?, caps(Some(10005)), "copied");
    Ok(())
}

fn upper_new_files_are_stored_translated(t: &T) -> R {
    let o = with(t, UPPER, |o| {
        f::mkdir(o.low("d"))?;
        f::chmod(o.low("d"), 0o777)
    })?;
    let d = o.m("d");
    sys::as_user(20001, 20002, || {
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::symlink("x", d.join("l"))?;
        f::mknod(d.join("p"), FileType::Fifo, 0o600, 0, 0)
    })?;
    for n in ["d/a", "d/e", "d/l", "d/p"] {
        check_eq!(owner(o.m(n))?, (20001, 20002), "{n} shown");
        check_eq!(owner(o.up(n))?, (1, 2), "{n} stored");
    }
    Ok(())
}

fn upper_copy_up_is_stored_translated(t: &T) -> R {
    let o = with(t, UPPER, |o| {
        f::write(o.low("a"), "x")?;
        f::chown(o.low("a"), 20001, 20002)?;
        f::write(o.low("b"), "x")?;
        f::chown(o.low("b"), 7, 7)
    })?;
    f::append(o.m("a"), "y")?;
    check_eq!(owner(o.m("a"))?, (20001, 20002), "shown");
    check_eq!(owner(o.up("a"))?, (1, 2), "stored");
    check_err!(
        f::append(o.m("b"), "y"),
        EOVERFLOW,
        "an owner that the upper cannot store"
    );
    check_eq!(f::text(o.m("b"))?, "x");
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn upper_unmapped_creator_is_refused(t: &T) -> R {
    let o = with(t, UPPER, |o| f::chmod(o.up(""), 0o777))?;
    let a = o.m("a");
    check_err!(sys::as_user(1, 1, || f::write(&a, "x")), EOVERFLOW);
    check_err!(sys::as_user(1, 1, || f::mkdir(&a)), EOVERFLOW);
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    sys::as_user(20001, 20001, || f::write(&a, "x"))
}

fn upper_chown(t: &T) -> R {
    let o = with(t, UPPER, |o| f::chmod(o.up(""), 0o777))?;
    let a = o.m("a");
    sys::as_user(20001, 20001, || f::write(&a, "x"))?;
    f::chown(&a, 20003, 20004)?;
    check_eq!((owner(&a)?, owner(o.up("a"))?), ((20003, 20004), (3, 4)));
    check_err!(f::chown(&a, 3, 4), EOVERFLOW, "ids without a place");
    check_eq!(owner(&a)?, (20003, 20004));
    Ok(())
}

fn upper_acl_is_stored_translated(t: &T) -> R {
    let o = with(t, UPPER, |o| f::chmod(o.up(""), 0o777))?;
    let a = o.m("a");
    sys::as_user(20001, 20001, || f::write(&a, "x"))?;
    f::setxattr(&a, ACCESS, acl(20003, 20004))?;
    check_eq!(f::getxattr(&a, ACCESS)?, acl(20003, 20004), "shown");
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, acl(3, 4), "stored");
    sys::as_user(20003, 1, || f::append(&a, "y"))?;
    check_err!(sys::as_user(3, 1, || f::read(&a).map(drop)), EACCES);
    f::removexattr(&a, ACCESS)?;
    check_eq!(f::xattr_opt(o.up("a"), ACCESS)?, None);
    Ok(())
}

fn upper_whiteouts_and_directories(t: &T) -> R {
    let o = with(t, UPPER, |o| {
        f::mkdirs(o.low("d/e"))?;
        f::write(o.low("d/e/a"), "x")?;
        f::write(o.low("b"), "x")?;
        for n in ["d", "d/e", "d/e/a", "b"] {
            f::chown(o.low(n), 20001, 20001)?;
        }
        f::chown(o.up(""), 1, 1)
    })?;
    let root = o.root().to_path_buf();
    sys::as_user(20001, 20001, || {
        f::unlink(root.join("b"))?;
        f::unlink(root.join("d/e/a"))?;
        f::rmdir(root.join("d/e"))?;
        f::mkdir(root.join("d/e"))?;
        f::write(root.join("d/e/new"), "x")?;
        f::write(root.join("b"), "over the whiteout")
    })?;
    check_eq!(f::ls(o.m("d/e"))?, ["new"]);
    check_eq!(o.xattr("d/e", "opaque")?, Some(b"y".to_vec()));
    for n in ["b", "d", "d/e", "d/e/new"] {
        check_eq!(owner(o.up(n))?, (1, 1), "{n} stored");
    }
    Ok(())
}

fn both_layers(t: &T) -> R {
    // Shown by the lower's mount as 10001: no id of the upper's map.
    let o = with(t, LAYERS, a_file)?;
    check_eq!(owner(o.m("a"))?, (10001, 10002));
    check_err!(f::append(o.m("a"), "+"), EOVERFLOW);
    o.umount()?;
    // With maps that meet, a container's two views of one image.
    let o = t.ovl()?;
    a_file(&o)?;
    let lower = idmapped(&o.lowers[0], &add(20000))?;
    mount_fds(&t.ty, &o, &[lower], UPPER)?;
    check_eq!(owner(o.m("a"))?, (20001, 20002));
    f::append(o.m("a"), "+")?;
    check_eq!(owner(o.m("a"))?, (20001, 20002));
    check_eq!(owner(o.up("a"))?, (1, 2));
    Ok(())
}

fn two_lowers_with_their_own_maps(t: &T) -> R {
    let o = t.layers(2)?;
    for i in 0..2 {
        f::mkdir(o.lown(i, "d"))?;
        f::write(o.lown(i, format!("d/f{i}")), "x")?;
        f::chown(o.lown(i, format!("d/f{i}")), 1, 1)?;
        f::chown(o.lown(i, "d"), i as u32, i as u32)?;
    }
    let fds = [
        idmapped(&o.lowers[0], &add(10000))?,
        idmapped(&o.lowers[1], &add(30000))?,
    ];
    mount_fds(&t.ty, &o, &fds, Maps::default())?;
    check_eq!(owner(o.m("d"))?, (10000, 10000), "the topmost says");
    check_eq!(owner(o.m("d/f0"))?, (10001, 10001));
    check_eq!(owner(o.m("d/f1"))?, (30001, 30001));
    f::append(o.m("d/f1"), "y")?;
    check_eq!(owner(o.up("d/f1"))?, (30001, 30001));
    check_eq!(owner(o.up("d"))?, (10000, 10000));
    Ok(())
}
