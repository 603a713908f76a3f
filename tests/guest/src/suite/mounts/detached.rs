// SPDX-License-Identifier: GPL-2.0
//! Detached mounts: the overlay itself, and its layers.

use super::*;
use rustix::fs::CWD;
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
};
use std::os::fd::{AsFd, OwnedFd};

cases! { "mounts";
    detached_overlay;
    detached_overlay_is_attached_later;
    layers_on_detached_mounts;
    layers_on_filesystems_never_attached;
    detached_overlay_as_layer;
    clone_of_a_subtree_as_layer;
}

/// An overlay that is mounted nowhere, of layers as paths and descriptors.
fn unattached(t: &T, strings: &[(&str, PathBuf)], fds: &[(&str, OwnedFd)]) -> R<OwnedFd> {
    let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC);
    let fs = f::ctx(fs, "fsopen", &t.ty)?;
    for (k, p) in strings {
        f::ctx(fsconfig_set_string(&fs, *k, p.as_path()), k, p)?;
    }
    for (k, fd) in fds {
        f::ctx(fsconfig_set_fd(&fs, *k, fd), k, "descriptor")?;
    }
    for opt in OFF.split(',') {
        let (k, v) = opt.split_once('=').unwrap();
        f::ctx(fsconfig_set_string(&fs, k, v), k, v)?;
    }
    f::ctx(fsconfig_create(&fs), "create", &t.ty)?;
    let m = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    f::ctx(m, "fsmount", &t.ty)
}

/// A path in what a descriptor stands for.
fn of_fd(fd: &OwnedFd, p: &str) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{p}", fd.as_fd().as_raw_fd()))
}

fn paths(o: &Ovl) -> Vec<(&'static str, PathBuf)> {
    let mut all = vec![("lowerdir", o.low(""))];
    if let (Some(u), Some(w)) = (&o.upper, &o.work) {
        all.extend([("upperdir", u.clone()), ("workdir", w.clone())]);
    }
    all
}

fn detached_overlay(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    let m = unattached(t, &paths(&o), &[])?;
    check_eq!(f::ls(of_fd(&m, ""))?, ["a", "b"]);
    f::append(of_fd(&m, "a"), "+")?;
    f::unlink(of_fd(&m, "b"))?;
    let h = f::open_ro(of_fd(&m, "a"))?;
    drop(m);
    check_eq!(
        f::pread(&h, 0, 9)?,
        b"a+",
        "the mount is gone, the file stays"
    );
    drop(h);
    check_eq!(f::text(o.up("a"))?, "a+");
    check!(o.is_whiteout("b")?);
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn attach(m: &OwnedFd, at: &Path) -> R {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    f::ctx(move_mount(m, "", CWD, at, flags), "move_mount to", at)
}

fn detached_overlay_is_attached_later(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    let m = unattached(t, &paths(&o), &[])?;
    let h = f::open_rw(of_fd(&m, "a"))?;
    attach(&m, o.root())?;
    drop(m);
    f::pwrite(&h, 1, "b")?;
    check_eq!(f::text(o.m("a"))?, "ab");
    // A copy of the mount, detached, outlives it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(CWD, o.root(), flags)?;
    drop(h);
    o.umount()?;
    f::write(of_fd(&copy, "c"), "c")?;
    check_eq!(f::text(o.up("c"))?, "c");
    Ok(())
}

/// A detached copy of the mount of `p`, from `p` on.
fn cloned(p: &Path) -> R<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    f::ctx(open_tree(CWD, p, flags), "open_tree", p)
}

/// A directory below a descriptor, as a descriptor.
fn below(dir: &OwnedFd, name: &str) -> R<OwnedFd> {
    Ok(f::open(of_fd(dir, name), libc::O_PATH | libc::O_DIRECTORY, 0)?.into())
}

fn layers_on_detached_mounts(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(0, "a"), "a")?;
    f::write(o.lown(1, "b"), "b")?;
    let home = cloned(o.low("").parent().unwrap())?;
    let layers = [
        ("lowerdir+", cloned(&o.lown(0, ""))?),
        ("lowerdir+", below(&home, "lower1")?),
        ("upperdir", below(&home, "upper")?),
        ("workdir", below(&home, "work")?),
    ];
    let m = unattached(t, &[], &layers)?;
    drop((home, layers));
    attach(&m, o.root())?;
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::append(o.m("b"), "+")?;
    check_eq!(f::text(o.up("b"))?, "b+");
    drop_caches()?;
    check_eq!(f::text(o.m("b"))?, "b+");
    f::unlink(o.m("a"))?;
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

/// A file system in memory that is mounted nowhere.
fn memory() -> R<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&fs)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(fsmount(&fs, flags, MountAttrFlags::empty())?)
}

fn layers_on_filesystems_never_attached(t: &T) -> R {
    let (low, up) = (memory()?, memory()?);
    f::write(of_fd(&low, "a"), "a")?;
    f::mkdir(of_fd(&low, "d"))?;
    for d in ["upper", "work"] {
        f::mkdir(of_fd(&up, d))?;
    }
    let layers = [
        ("lowerdir+", low),
        ("upperdir", below(&up, "upper")?),
        ("workdir", below(&up, "work")?),
    ];
    let m = unattached(t, &[], &layers)?;
    drop(layers);
    f::append(of_fd(&m, "a"), "b")?;
    f::rename(of_fd(&m, "a"), of_fd(&m, "d/c"))?;
    check_eq!(f::text(of_fd(&up, "upper/d/c"))?, "ab");
    drop(up);
    drop_caches()?;
    check_eq!(f::ls(of_fd(&m, ""))?, ["d"]);
    check_eq!(f::text(of_fd(&m, "d/c"))?, "ab");
    let o = t.ovl_ro(1)?;
    attach(&m, o.root())?;
    check_eq!(f::text(o.m("d/c"))?, "ab");
    Ok(())
}

fn detached_overlay_as_layer(t: &T) -> R {
    let inner = t.ovl()?;
    f::write(inner.low("a"), "a")?;
    f::write(inner.up("b"), "b")?;
    let m = unattached(t, &paths(&inner), &[])?;
    let o = t.ovl()?;
    let layers = [
        ("lowerdir+", m),
        ("upperdir", f::open(o.up(""), libc::O_PATH, 0)?.into()),
        (
            "workdir",
            f::open(o.work.clone().unwrap(), libc::O_PATH, 0)?.into(),
        ),
    ];
    let outer = unattached(t, &[], &layers)?;
    drop(layers);
    attach(&outer, o.root())?;
    drop(outer);
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("b"))?;
    check_eq!(f::text(o.up("a"))?, "a+");
    check_eq!(f::text(inner.up("b"))?, "b");
    check!(!inner.in_upper("a")?);
    Ok(())
}

fn clone_of_a_subtree_as_layer(t: &T) -> R {
    // A copy of a part of another overlay's tree, with a mount on top that it does not have.
    let inner = overlay(t)?;
    f::write(inner.m("d/new"), "new")?;
    let tree = cloned(&inner.m("d"))?;
    mount_raw("tmpfs", &inner.m("d"), "size=1m", MountFlags::empty())?;
    let o = t.ovl()?;
    let layers = [
        ("lowerdir+", tree),
        ("upperdir", f::open(o.up(""), libc::O_PATH, 0)?.into()),
        (
            "workdir",
            f::open(o.work.clone().unwrap(), libc::O_PATH, 0)?.into(),
        ),
    ];
    let outer = unattached(t, &[], &layers)?;
    drop(layers);
    attach(&outer, o.root())?;
    check_eq!(f::ls(o.root())?, ["new", "x"]);
    f::append(o.m("x"), "y")?;
    check_eq!(f::text(o.up("x"))?, "xy");
    Ok(())
}
