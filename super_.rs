// SPDX-License-Identifier: GPL-2.0

//! A mount: from its options to its layers to its superblock, and what the superblock does.
//!
//! [`params`] collects the options, [`fill`] builds the state of the mount
//! ([`MountState`]) of them and publishes it with the root.
//! [`tables`] joins the operations of all rooms to what the VFS calls. From then on the
//! superblock itself has little to do: [`statfs`], [`show_options`], and the few lines here.

#![forbid(unsafe_code)]

use crate::{
    overlay::{
        mount::MountState,
        OvlSuper, //
    },
    vfs::{
        fs_context::FsContext, //
    }, //
};
use kernel::prelude::*;

mod export;
mod fill;
mod params;
mod show_options;
mod statfs;
mod tables;

/// `->sync_fs`: writes out the upper file system.
///
/// All of it: whose inodes are dirty is not known here. `sync(2)` does not come here (it visits
/// the upper file system anyway), `syncfs(2)` does, twice; the call that waits is enough.
///
/// # Errors
///
/// `EIO` if write-back failed since a volatile mount was made; what writing out fails with.
fn sync_fs(sb: &OvlSuper, wait: bool) -> Result {
    let ms = MountState::of(sb);
    if !ms.sync_status().map_err(|_| EIO)? || !wait {
        return Ok(());
    }
    match &ms.upper {
        Some(upper) => upper.mnt.sb().sync(),
        None => Ok(()),
    }
}

/// A remount between read-only and read-write; nothing else can be changed.
///
/// # Errors
///
/// `EROFS`: the mount cannot be written, as it has no upper layer or no work directory; what
/// writing out the upper layer fails with.
fn reconfigure(sb: &OvlSuper, context: &FsContext) -> Result {
    let ms = MountState::of(sb);
    if !context.is_readonly() {
        return match ms.is_forced_readonly() {
            true => Err(EROFS),
            false => Ok(()),
        };
    }
    match &ms.upper {
        Some(upper) if !sb.is_readonly() && ms.should_sync() => upper.mnt.sb().sync(),
        _ => Ok(()),
    }
}
