// SPDX-License-Identifier: GPL-2.0
//! Idmapped mounts: of lower layers, of the upper layer, of the overlay itself, and all together.
//!
//! Three namespaces translate, each its own way, so that an id says who has translated it: a lower
//! mount adds 10000, an upper mount 20000 (but root stays root, who has to make the work directory),
//! the mount of the overlay 1000. An id that a map does not have shows as the overflow id, 65534.

pub mod compared;
pub mod layers;
pub mod overlay;

use super::acl::encode;
use super::prelude::*;
pub use compared::{compare, deeds, furnish, survey};
use rustix::fs::{openat, Mode, OFlags, CWD};
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
};
use std::os::fd::OwnedFd;

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const CAPS: &str = "security.capability";
const NONE: u32 = !0;

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
