// SPDX-License-Identifier: GPL-2.0

//! The namespace: what happens to names in a directory of the overlay.
//!
//! Looking up and listing merge the layers. Everything else changes the upper layer alone: an
//! object of a lower layer is copied up before it gets another name, and hidden by a whiteout
//! when it loses one.
//!
//! # Order of the locks
//!
//! From the outside in. Each step may be left out, none may be taken back:
//!
//! 1. `i_rwsem` of the overlay's directories and objects, which the VFS takes for us;
//! 2. the lock of an overlay object ([`crate::vfs::lock::ObjectMutex`]): copy-up and changes of
//!    the link count; waiting for it ends with a signal;
//! 3. write access to the upper file system ([`crate::vfs::mount::UpperWrite`]), which waits for
//!    a thaw;
//! 4. the lock of the shared whiteout;
//! 5. `i_rwsem` of the upper's directories, the work directory among them, taken only by the
//!    `start_*` functions of [`crate::vfs::dirop`], and `i_rwsem` of the upper's objects.
//!
//! A lower layer may be an overlay of its own, whose upper may be on the same file system as
//! ours. So below step 3 the *object lock* of a lower object may be taken (reading it may need
//! that), but never its `i_rwsem`: the lower overlay takes step 3 inside of it. That is why data
//! are copied without step 3. Each stacking depth has lock classes of its own.
//!
//! The mounter's credentials are put in force around steps 3 to 5, after whatever judges the
//! caller. (Order as documented in `fs/overlayfs/inode.c`, at `OVL_MAX_NESTING`, and in
//! `ovl_nlink_start` of `fs/overlayfs/util.c`.)

#![forbid(unsafe_code)]

pub(crate) mod create;
pub(crate) mod lookup;
pub(crate) mod readdir;
mod redirect;
pub(crate) mod remove;
pub(crate) mod rename;

use crate::{
    copy_up::copy_up,
    overlay::{
        index,
        nlink::{
            self,
            NlinkGuard, //
        },
        object::ObjFlag,
        OvlDentry, //
    },
    vfs::dentry::Dentry, //
};
use kernel::prelude::*;

/// Is the object that `found` stands for in the upper the one that the overlay knows as `dentry`?
///
/// If not, someone changed the upper behind our back.
fn matches_upper(dentry: &OvlDentry, found: &Dentry) -> bool {
    let known = dentry.upper().and_then(|upper| upper.inode());
    match (known, found.inode()) {
        (Some(known), Some(found)) => known.ptr_eq(found),
        _ => false,
    }
}

/// A directory in which a lower layer can have nothing to do: no lower part, no whiteouts.
fn is_pure_upper(dentry: &OvlDentry) -> bool {
    dentry
        .inode()
        .is_some_and(|inode| inode.lowers().is_empty() && !inode.flag(ObjFlag::Whiteouts))
}

/// Starts an operation that adds or removes a name of the object of `dentry`; errors as
/// [`nlink::start`] and [`copy_up`].
///
/// A name below that is to be hidden counts as well, if the index keeps the names of the object
/// together: there has to be an upper object that keeps their number.
fn start_nlink(dentry: &OvlDentry) -> Result<NlinkGuard<'_>> {
    if index::is_needed(dentry) && !dentry.has_upper_alias() {
        copy_up(dentry)?;
    }
    nlink::start(dentry)
}
