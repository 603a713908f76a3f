// SPDX-License-Identifier: GPL-2.0

//! `->get_link`: the target of a symbolic link.
//!
//! Following a link on the overlay reads it on the layer, as `readlink(2)` would: the mounter must
//! be allowed to read it (`ovl_get_link` in `fs/overlayfs/inode.c`). RCU walk never comes here:
//! without a dentry the trampoline answers `ECHILD` by itself.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    overlay::{
        mount::MountState,
        OvlDentry, //
    },
    vfs::mount::LinkText, //
};

/// The text of the link, with what releases it.
///
/// # Errors
///
/// Whatever the layer answers.
pub(crate) fn get_link(dentry: &OvlDentry) -> Result<LinkText> {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    ms.with_mounter(|m| real.get_link(m))
}
