// SPDX-License-Identifier: GPL-2.0
//! Mounts made in a user namespace: by a user without any privilege outside, and by the root of a
//! container that owns a range of ids.

pub mod compared;
pub mod creds;
pub mod ids;
pub mod mounting;
pub mod userxattr;

use super::prelude::*;
use rustix::mount::{
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, FsMountFlags, FsOpenFlags,
    MountAttrFlags, MoveMountFlags,
};
use std::os::fd::OwnedFd;

/// The ids of a container.
pub const RANGE: [sys::IdRange; 1] = [(0, 100_000, 10_000)];

/// Lets this user own all that the layers hold, and the place to mount at.
pub fn give(o: &Ovl, uid: u32, gid: u32) -> R {
    let mut all = vec![o.mnt.clone(), o.mnt.parent().unwrap().to_path_buf()];
    all.extend(o.lowers.iter().cloned());
    all.extend(o.upper.iter().cloned());
    all.extend(o.work.iter().cloned());
    for dir in all {
        f::chown(&dir, uid, gid)?;
        if o.lowers.contains(&dir) {
            for e in walkdir::WalkDir::new(&dir) {
                f::chown(e?.path(), uid, gid)?;
            }
        }
    }
    Ok(())
}

/// Mounts the layers with these options only.
pub fn mount_with(o: &Ovl, opts: &str) -> R {
    let sep = if opts.is_empty() { "" } else { "," };
    o.mount_only(&format!("{}{sep}{opts}", o.layer_opts()))
}

/// Runs `job` as a user of number 1000 who made a namespace, on layers that are the user's own.
pub fn as_user(o: &Ovl, job: impl FnOnce() -> R) -> R {
    give(o, 1000, 1000)?;
    sys::as_userns_root(1000, 1000, || job().map(|()| String::new())).map(drop)
}

/// Runs `job` as the root of a container.
pub fn in_container(job: impl FnOnce() -> R) -> R {
    sys::in_userns(&RANGE, || job().map(|()| String::new())).map(drop)
}

fn furnished(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    for n in ["a", "b", "d/a", "d/e/a"] {
        f::write(o.low(n), "data")?;
    }
    Ok(o)
}

/// A new mount in the making.
pub fn context(ty: &str, o: &Ovl, opts: &[(&str, &str)]) -> R<OwnedFd> {
    let fs = f::ctx(fsopen(ty, FsOpenFlags::FSOPEN_CLOEXEC), "fsopen", ty)?;
    let mut all: Vec<(&str, String)> = o
        .lowers
        .iter()
        .map(|l| ("lowerdir+", l.display().to_string()))
        .collect();
    if let (Some(u), Some(w)) = (&o.upper, &o.work) {
        all.push(("upperdir", u.display().to_string()));
        all.push(("workdir", w.display().to_string()));
    }
    all.extend(opts.iter().map(|(k, v)| (*k, v.to_string())));
    for (k, v) in all {
        f::ctx(fsconfig_set_string(&fs, k, v.as_str()), k, &v)?;
    }
    Ok(fs)
}

pub fn finish(fs: &OwnedFd, at: &Path) -> R {
    f::ctx(fsconfig_create(fs), "FSCONFIG_CMD_CREATE", at)?;
    let m = fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    f::ctx(
        move_mount(&m, "", rustix::fs::CWD, at, flags),
        "move_mount",
        at,
    )
}
