// SPDX-License-Identifier: GPL-2.0

//! The device and inode numbers that an object shows, for what this mount knows about its layers.
//! The decisions are in [`crate::rules::identity`].

#![forbid(unsafe_code)]

use crate::{
    overlay::{
        mount::MountState,
        OvlInode, //
    },
    rules::identity::{
        self,
        Dev,
        InodeIno, //
    },
    vfs::{
        log::warn_limited,
        stat::Stat, //
    },
};

/// Turns the numbers of a real object in `stat` into those that `inode` shows. `fsid` is the number
/// of the file system that the real object is on.
pub(crate) fn map_dev_ino(ms: &MountState, inode: &OvlInode, stat: &mut Stat, fsid: u32) {
    let shown = identity::map_stat(ms.space(), stat.ino(), fsid, inode.is_dir(), inode.ino());
    if shown.overflow && ms.xino_warn() {
        warn_limited!(
            "inode number too big (ino={}, xinobits={})\n",
            stat.ino(),
            ms.space().xino_bits()
        );
    }
    let pseudo = match shown.dev {
        Dev::Overlay => None,
        Dev::Pseudo(fsid) => usize::try_from(fsid)
            .ok()
            .and_then(|fsid| ms.filesystems.get(fsid)),
    };
    stat.set_ino(shown.ino);
    stat.set_dev(match pseudo {
        Some(filesystem) => filesystem.dev.dev(),
        None => inode.super_().dev(),
    });
}

/// The number of a new overlay inode whose identity comes from a real object with the number `ino`
/// on the file system `fsid`.
pub(crate) fn map_ino(ms: &MountState, ino: u64, fsid: u32, is_dir: bool) -> u64 {
    match identity::map_inode(ms.space(), ino, fsid, is_dir) {
        InodeIno::Real(ino) => ino,
        InodeIno::Private => ms.private_ino(),
    }
}
