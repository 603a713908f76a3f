// SPDX-License-Identifier: GPL-2.0
//! Idmapped mounts: of lower layers, of the upper layer, of the overlay itself, and all together.
//!
//! Three namespaces translate, each its own way, so that an id says who has translated it: a lower
//! mount adds 10000, an upper mount 20000 (but root stays root, who has to make the work directory),
//! the mount of the overlay 1000. An id that a map does not have shows as the overflow id, 65534.

use super::acl::encode;
use super::prelude::*;
use rustix::fs::{openat, Mode, OFlags, CWD};
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
};
use std::os::fd::OwnedFd;

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
    same_as_intree_lower
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_upper
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_layers
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_lower_and_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_upper_and_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_all
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_none
        .rs_only("compares with the kernel's own overlay");
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPS: &str = "security.capability";
const NONE: u32 = !0;
const NOBODY: u32 = 65534;

/// What each mount adds to an id below 5000, and which of them do.
#[derive(Clone, Copy, Default)]
struct Maps {
    lower: bool,
    upper: bool,
    mount: bool,
}

const LOWER: Maps = Maps {
    lower: true,
    upper: false,
    mount: false,
};
const UPPER: Maps = Maps {
    lower: false,
    upper: true,
    mount: false,
};
const MOUNT: Maps = Maps {
    lower: false,
    upper: false,
    mount: true,
};
const LAYERS: Maps = Maps {
    lower: true,
    upper: true,
    mount: false,
};
const ALL: Maps = Maps {
    lower: true,
    upper: true,
    mount: true,
};

/// A detached copy of the mount of `p`, from `p` on.
fn detached(p: &Path) -> R<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    f::ctx(open_tree(CWD, p, flags), "open_tree", p)
}

/// A detached copy of the mount of `p` where ids are shown with `map`.
fn idmapped(p: &Path, map: &[sys::IdRange]) -> R<OwnedFd> {
    let fd = detached(p)?;
    f::ctx(
        sys::set_idmap(&fd, &sys::user_namespace(map)?),
        "mount_setattr",
        p,
    )?;
    Ok(fd)
}

fn add(n: u32) -> [sys::IdRange; 1] {
    [(0, n, 5000)]
}

/// The map of an upper mount.
const UPPER_MAP: [sys::IdRange; 2] = [(0, 0, 1), (1, 20001, 4999)];

fn below(dir: &OwnedFd, name: &str) -> R<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    f::ctx(openat(dir, name, flags, Mode::empty()), "openat", name)
}

/// Mounts with the layers on mounts of their own, translated as `maps` says; the lowers one below
/// the other in `lowers`.
fn mount_fds(ty: &str, o: &Ovl, lowers: &[OwnedFd], maps: Maps) -> R {
    let fs = f::ctx(fsopen(ty, FsOpenFlags::FSOPEN_CLOEXEC), "fsopen", ty)?;
    for l in lowers {
        f::ctx(fsconfig_set_fd(&fs, "lowerdir+", l), "lowerdir+", "")?;
    }
    // The mount lasts as long as this descriptor, or the overlay.
    let fd;
    if let Some(upper) = &o.upper {
        let parent = upper.parent().unwrap();
        fd = match maps.upper {
            true => idmapped(parent, &UPPER_MAP)?,
            false => detached(parent)?,
        };
        for (key, name) in [("upperdir", "upper"), ("workdir", "work")] {
            f::ctx(fsconfig_set_fd(&fs, key, &below(&fd, name)?), key, name)?;
        }
    }
    for opt in o.opts.split(',') {
        let (key, value) = opt.split_once('=').unwrap();
        f::ctx(fsconfig_set_string(&fs, key, value), key, value)?;
    }
    f::ctx(fsconfig_create(&fs), "FSCONFIG_CMD_CREATE", ty)?;
    let m = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    if maps.mount {
        let ns = sys::user_namespace(&add(1000))?;
        f::ctx(sys::set_idmap(&m, &ns), "mount_setattr of", ty)?;
    }
    attach(&m, o.root())
}

fn attach(m: &OwnedFd, at: &Path) -> R {
    f::ctx(
        move_mount(m, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH),
        "move_mount to",
        at,
    )
}

/// Mounts with these maps.
fn mapped(ty: &str, o: &Ovl, maps: Maps) -> R {
    let mut fds = Vec::new();
    for l in &o.lowers {
        fds.push(match maps.lower {
            true => idmapped(l, &add(10000))?,
            false => detached(l)?,
        });
    }
    mount_fds(ty, o, &fds, maps)
}

/// An overlay that `fill` puts something into before it is mounted.
fn with(t: &T, maps: Maps, fill: impl FnOnce(&Ovl) -> R) -> R<Ovl> {
    let o = t.ovl()?;
    fill(&o)?;
    mapped(&t.ty, &o, maps)?;
    Ok(o)
}

#[track_caller]
fn owner(p: impl AsRef<Path>) -> R<(u32, u32)> {
    let m = f::stat(p)?;
    Ok((m.uid(), m.gid()))
}

fn a_file(o: &Ovl) -> R {
    f::write(o.low("a"), "data")?;
    f::chown(o.low("a"), 1, 2)?;
    f::chmod(o.low("a"), 0o640)
}

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

/// An access ACL with a named user and a named group.
fn acl(user: u32, group: u32) -> Vec<u8> {
    encode(&[
        (1, 6, NONE),
        (2, 7, user),
        (4, 4, NONE),
        (8, 5, group),
        (0x10, 7, NONE),
        (0x20, 0, NONE),
    ])
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

/// File capabilities: of version 2, or of version 3 with this root.
fn caps(root: Option<u32>) -> Vec<u8> {
    let mut v = match root {
        None => 0x0200_0001u32,
        Some(_) => 0x0300_0001,
    }
    .to_le_bytes()
    .to_vec();
    v.extend([0x00, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    v.extend(root.map(u32::to_le_bytes).into_iter().flatten());
    v
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

// What follows does not say what is right: it does the same things through both modules, under
// the eyes of several users, and compares every outcome, what is shown and what is stored.

/// The users: root, and the owner of the objects as each of the maps shows it.
const USERS: &[(u32, u32)] = &[(0, 0), (1, 2), (1001, 1002), (10001, 10002), (20001, 20002)];

/// Everything that can be said about an object without its times and its number.
fn look(p: &Path) -> String {
    match tree::describe(p, tree::NO_TIMES) {
        Ok(s) => s,
        Err(e) => crate::check::outcome::<(), _>(&Err(e)),
    }
}

/// A lower with objects of all kinds.
pub fn furnish(o: &Ovl) -> R {
    for d in ["open", "sgid", "own"] {
        f::mkdir(o.low(d))?;
    }
    for n in [
        "f", "g", "own/f", "own/g", "open/f", "suid", "acl", "cap2", "cap3",
    ] {
        f::write(o.low(n), "some data")?;
        f::chown(o.low(n), 1, 2)?;
        f::chmod(o.low(n), 0o664)?;
    }
    f::write(o.low("root"), "x")?;
    f::write(o.low("far"), "x")?;
    f::chown(o.low("far"), 7777, 7777)?;
    f::symlink("f", o.low("link"))?;
    f::chown(o.low("link"), 1, 2)?;
    f::mknod(o.low("fifo"), FileType::Fifo, 0o600, 0, 0)?;
    f::chown(o.low("own"), 1, 2)?;
    f::chmod(o.low("own"), 0o755)?;
    f::chmod(o.low("open"), 0o1777)?;
    f::chown(o.low("sgid"), 1, 2)?;
    f::chmod(o.low("sgid"), 0o2777)?;
    f::chmod(o.low("suid"), 0o6775)?;
    f::setxattr(o.low("acl"), ACCESS, acl(3, 4))?;
    f::setxattr(o.low("own"), DEFAULT, acl(3, 4))?;
    f::setxattr(o.low("cap2"), CAPS, caps(None))?;
    f::setxattr(o.low("cap3"), CAPS, caps(Some(5)))?;
    // The root of the merged tree is the upper directory.
    f::chmod(o.up(""), 0o777)
}

/// What one user does, and how it ends: a line for each step.
pub fn deeds(root: &Path, who: u32) -> R<Vec<String>> {
    let mut said = Vec::new();
    let mut step = |what: &str, r: R| {
        said.push(format!("{who} {what}: {}", crate::check::outcome(&r)));
    };
    let p = |n: &str| root.join(n);
    let own = |n: &str| root.join(format!("{n}.{who}"));
    for n in ["f", "acl", "suid", "far", "cap2", "cap3", "own/f"] {
        step(&format!("read {n}"), f::read(p(n)).map(drop));
        step(&format!("listxattr {n}"), f::listxattr(p(n)).map(drop));
    }
    for d in ["open", "sgid", "own"] {
        let n = own(&format!("{d}/new"));
        step(&format!("create in {d}"), f::write(&n, "x"));
        step(&format!("chmod in {d}"), f::chmod(&n, 0o2755));
        step(
            &format!("acl in {d}"),
            f::setxattr(&n, ACCESS, acl(1003, 20004)),
        );
        step(&format!("mkdir in {d}"), f::mkdir(own(&format!("{d}/dir"))));
        step(
            &format!("symlink in {d}"),
            f::symlink("x", own(&format!("{d}/sym"))),
        );
        step(
            &format!("fifo in {d}"),
            f::mknod(own(&format!("{d}/fifo")), FileType::Fifo, 0o666, 0, 0),
        );
        let h = f::open(p(d), libc::O_TMPFILE | libc::O_RDWR, 0o2664);
        let text = match &h {
            Ok(h) => {
                let m = h.metadata()?;
                format!("tmpfile in {d} {}:{} {:o}", m.uid(), m.gid(), m.mode())
            }
            Err(_) => format!("tmpfile in {d}"),
        };
        step(&text, h.map(drop));
        let l = own(&format!("{d}/link"));
        step(&format!("link in {d}"), f::link(p("g"), &l));
        step(&format!("unlink in {d}"), f::unlink(&l));
        step(&format!("create again in {d}"), f::write(&l, "y"));
    }
    step("append f", f::append(p("f"), "+"));
    step("truncate f", f::truncate(p("f"), 3));
    step("utimes g", f::utimes(p("g"), (5, 0), (6, 0)));
    step("chmod own/g", f::chmod(p("own/g"), 0o2770));
    step("append suid", f::append(p("suid"), "+"));
    step("append far", f::append(p("far"), "+"));
    step("chmod acl", f::chmod(p("acl"), 0o2664));
    step("set acl", f::setxattr(p("acl"), ACCESS, acl(1005, 10006)));
    step("remove acl", f::removexattr(p("own"), DEFAULT));
    step("set caps", f::setxattr(p("cap2"), CAPS, caps(None)));
    step("set user", f::setxattr(p("cap3"), "user.x", "y"));
    for id in [0, 5, 1005, 10005, 20005] {
        let c = std::ffi::CString::new(p("own/f").as_os_str().as_encoded_bytes())?;
        let r = sys::lchown(&c, id.into(), -1);
        step(&format!("chown own/f {id}"), f::ctx(r, "chown", "own/f"));
        let r = sys::lchown(&c, -1, id.into());
        step(&format!("chgrp own/f {id}"), f::ctx(r, "chgrp", "own/f"));
    }
    step("rename own/g", f::rename(p("own/g"), p("own/h")));
    step("rename back", f::rename(p("own/h"), p("own/g")));
    step("unlink root", f::unlink(p("root")));
    step("create root", f::write(p("root"), "z"));
    Ok(said)
}

/// A line for each object below `dir`.
pub fn survey(title: &str, what: &str, dir: &Path) -> R<Vec<String>> {
    let mut said = Vec::new();
    for e in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let Ok(e) = e else {
            said.push(format!("{title} {what}: a directory that cannot be read"));
            continue;
        };
        let rel = e.path().strip_prefix(dir)?.display().to_string();
        said.push(format!(
            "{title} {what} {rel}: {}",
            strip_unique(&look(e.path()))
        ));
    }
    Ok(said)
}

/// All of it through one module.
fn record(t: &T, ty: &str, maps: Maps) -> R<Vec<String>> {
    let o = t.ovl()?;
    furnish(&o)?;
    mapped(ty, &o, maps)?;
    let mut said = Vec::new();
    let mut shown = |title: &str| -> R {
        drop_caches()?;
        said.extend(survey(title, "shown", o.root())?);
        said.extend(survey(title, "stored", o.upper.as_ref().unwrap())?);
        Ok(())
    };
    shown("first")?;
    let mut lines = Vec::new();
    for (uid, gid) in USERS {
        let root = o.root().to_path_buf();
        let all = if *uid == 0 {
            deeds(&root, 0)?.join("\n")
        } else {
            let file = t.p(format!("said.{uid}"));
            f::write(&file, "")?;
            f::chmod(&file, 0o666)?;
            sys::as_user(*uid, *gid, || {
                f::write(&file, deeds(&root, *uid)?.join("\n"))
            })?;
            f::text(&file)?
        };
        lines.extend(all.lines().map(str::to_string));
        shown(&format!("after {uid}"))?;
    }
    o.umount()?;
    said.extend(lines);
    Ok(said)
}

/// Without the values that no two mounts have in common.
fn strip_unique(s: &str) -> String {
    s.split(' ')
        .map(|w| match w.split_once('=') {
            Some((k, _)) if k.ends_with(".overlay.origin") || k.ends_with(".overlay.uuid") => k,
            _ => w,
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn same_as_intree(t: &T, maps: Maps) -> R {
    let want = record(t, t.other_ty()?, maps)?;
    let got = record(t, &t.ty, maps)?;
    compare(&want, &got)
}

/// Fails, with the first differences, unless both say the same, and enough.
pub fn compare(want: &[String], got: &[String]) -> R {
    let diff: Vec<String> = want
        .iter()
        .zip(got)
        .filter(|(w, g)| w != g)
        .take(20)
        .map(|(w, g)| format!("\n      in-tree: {w}\n      ours:    {g}"))
        .collect();
    check!(
        diff.is_empty() && want.len() == got.len(),
        "{} lines in-tree, {} here, the differences:{}",
        want.len(),
        got.len(),
        diff.concat()
    );
    check!(
        want.len() > 100,
        "enough was compared: {} lines",
        want.len()
    );
    Ok(())
}

fn same_as_intree_lower(t: &T) -> R {
    same_as_intree(t, LOWER)
}

fn same_as_intree_upper(t: &T) -> R {
    same_as_intree(t, UPPER)
}

fn same_as_intree_layers(t: &T) -> R {
    same_as_intree(t, LAYERS)
}

fn same_as_intree_mount(t: &T) -> R {
    same_as_intree(t, MOUNT)
}

fn same_as_intree_lower_and_mount(t: &T) -> R {
    let maps = Maps {
        upper: false,
        ..ALL
    };
    same_as_intree(t, maps)
}

fn same_as_intree_upper_and_mount(t: &T) -> R {
    let maps = Maps {
        lower: false,
        ..ALL
    };
    same_as_intree(t, maps)
}

fn same_as_intree_all(t: &T) -> R {
    same_as_intree(t, ALL)
}

fn same_as_intree_none(t: &T) -> R {
    same_as_intree(t, Maps::default())
}
