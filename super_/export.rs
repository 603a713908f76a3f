// SPDX-License-Identifier: GPL-2.0

//! File handles of an overlay's objects, and NFS export, which brings them back.
//!
//! The handle of an object is that of one of its parts, with a note whether that is the upper or a
//! lower one ([`crate::rules::handle`]). It must not change when the object is copied up, so an
//! object that has a lower part and may have been known by it keeps that one's handle. Then the
//! index leads from the lower part to the upper one.
//!
//! Without `nfs_export=on` a handle only names the object, for those who compare handles; with it,
//! the object is found again, also when nobody has used it since the mount was made ([`decode`]).
//! Directories come back with their place in the tree ([`reconnect`]), others without.
//!
//! Source of the facts: `fs/overlayfs/export.c`.

#![forbid(unsafe_code)]

mod decode;
mod encode;
mod reconnect;

pub(super) use self::{
    decode::fh_to_dentry,
    encode::encode_fh, //
};

use crate::{
    overlay::{
        OvlDentry, //
    },
    vfs::{
        dentry::Dentry,
        log::warn_limited, //
    },
};
use kernel::prelude::*;

/// The parent that a handle leads to: such handles are never made.
pub(super) fn fh_to_parent() -> Error {
    warn_limited!(
        "handles that lead to a parent are not supported; export with no_subtree_check\n"
    );
    EACCES
}

/// The name, or the parent, of a directory that a handle led to: all of them are connected.
pub(super) fn unexpected() -> Error {
    warn_limited!("a directory came from a file handle without its place\n");
    EIO
}

/// A layer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Upper,
    /// The lower layer at this place of the list.
    Lower(usize),
}

/// The part of the object of `dentry` that is in this layer.
fn part(dentry: &OvlDentry, place: Place) -> Option<&Dentry> {
    let inode = dentry.inode()?;
    match place {
        Place::Upper => inode.upper().map(|upper| &**upper),
        Place::Lower(index) => {
            let mut lowers = inode.lowers().iter();
            let lower = lowers.find(|lower| lower.layer() == index)?.dentry()?;
            Some(lower)
        }
    }
}
