// SPDX-License-Identifier: GPL-2.0

//! `->permission`: who may do what.
//!
//! The rule has two steps ("Permission model" in `Documentation/filesystems/overlayfs.rst`). The
//! caller is checked against the overlay inode, as on any file system. Then the mounter is checked
//! against the real inode: a mount never gives more than its mounter has.
//!
//! Source of the facts: `ovl_permission` in `fs/overlayfs/inode.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    overlay::{
        mount::MountState,
        Overlay,
        OvlInode, //
    },
    vfs::{
        inode::{
            gives_everyone,
            may,
            FileType, //
        },
        mount::IdMap,
        own::RcuInode, //
    },
};

/// What the mounter must be allowed on the real inode, for a caller that wants `mask`.
///
/// Writing to an object of a lower layer means to copy it up, which reads it; the lower object
/// itself is not written. Devices, pipes and sockets are not read for a copy-up.
fn real_mask(mask: i32, has_upper: bool, real_mode: u16) -> i32 {
    let special = FileType::from_mode(real_mode).is_special();
    if has_upper || special || mask & may::WRITE == 0 {
        return mask;
    }
    mask & !(may::WRITE | may::APPEND) | may::READ
}

/// Whether the caller's check has nothing to say: the permissions give everyone what is asked for, and
/// the real object, whose ACL is the overlay's, has none. Saves every directory of a path the questions
/// for owner, groups and ACL.
fn is_open_to_all(mode: u16, without_acl: bool, mask: i32) -> bool {
    without_acl && gives_everyone(mode, mask)
}

/// Checks the caller on the overlay inode and the mounter on the real one.
///
/// # Errors
///
/// `EACCES`, `EPERM`, `EROFS` of either check; whatever the layer answers.
pub(crate) fn permission(idmap: &IdMap, inode: &OvlInode, mask: i32) -> Result {
    let ms = MountState::of(inode.super_());
    let has_upper = inode.upper().is_some();
    let real = inode.real_path(ms)?;
    let real_inode = real.inode()?;

    if !is_open_to_all(inode.mode(), real_inode.is_without_acl(), mask) {
        inode.generic_permission(idmap, mask)?;
    }

    let mask = real_mask(mask, has_upper, real_inode.mode());
    ms.with_mounter(|m| real.permission(m, mask))
}

/// [`permission`] in RCU walk, where neither inode is pinned.
///
/// # Errors
///
/// `ECHILD`: to be asked again outside of RCU walk; else as [`permission`].
pub(crate) fn permission_rcu(idmap: &IdMap, inode: RcuInode<'_, Overlay>, mask: i32) -> Result {
    let ms = MountState::of(inode.super_());
    let has_upper = inode.has_upper();
    let real = inode.real().ok_or(ECHILD)?;

    if !is_open_to_all(inode.mode(), real.is_without_acl(), mask) {
        inode.generic_permission(idmap, mask)?;
    }

    let mask = real_mask(mask, has_upper, real.mode());
    ms.with_mounter(|m| real.permission(m, mask))
}
