// SPDX-License-Identifier: GPL-2.0

//! File handles of an overlay's objects.
//!
//! The handle of an object is that of one of its parts, with a note whether that is the upper or a
//! lower one ([`crate::rules::handle`]). It must not change when the object is copied up, so an
//! object that has, or had, a lower part has the handle of that one.
//!
//! Source of the facts: `fs/overlayfs/export.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    overlay::{
        mount::MountState,
        OvlInode, //
    },
    rules::handle::FILEID_V1,
    vfs::{
        inode::Inode,
        log::warn_limited,
        vtable::Encoded, //
    },
    xattr::origin, //
};

/// Writes the handle of `inode`. `None`: it has none, or one that also leads to its parent, which
/// an overlay does not have, is wanted.
pub(super) fn encode_fh(
    inode: &OvlInode,
    parent: Option<&OvlInode>,
    buf: &mut [u8],
) -> Option<Encoded> {
    if parent.is_some() {
        return None;
    }
    match encode(inode, buf) {
        Ok(len) => Some(Encoded {
            kind: FILEID_V1,
            len,
        }),
        Err(error) => {
            warn_limited!(
                "failed to encode file handle (ino={}, err={})\n",
                inode.ino(),
                error.to_errno()
            );
            None
        }
    }
}

/// Writes the handle, if it fits; its length.
fn encode(inode: &OvlInode, buf: &mut [u8]) -> Result<usize> {
    let ms = inode.mount();
    let (real, upper) = encoded_part(ms, inode)?;
    let record = ms.with_mounter(|m| origin::encode(ms.format(), m, real, upper))?;
    let handle = record.handle().ok_or(EIO)?;
    let mut wire = KVec::new();
    handle.encode_wire(&mut wire).map_err(|_| ENOMEM)?;
    if let Some(out) = buf.get_mut(..wire.len()) {
        out.copy_from_slice(&wire);
    }
    Ok(wire.len())
}

/// Which part the handle is of, and whether that is the upper one.
fn encoded_part<'a>(ms: &MountState, inode: &'a OvlInode) -> Result<(&'a Inode, bool)> {
    let (upper, lower) = (inode.upper_inode(), inode.lower_inode());
    let of_upper = ms.upper.is_some() && upper.is_some() && (lower.is_none() || is_root(inode));
    let real = if of_upper { upper } else { lower };
    real.map(|real| (real, of_upper)).ok_or(EIO)
}

/// The root is never in the index: with an upper layer, it is upper.
fn is_root(inode: &OvlInode) -> bool {
    inode
        .super_()
        .root()
        .inode()
        .is_some_and(|root| root.ptr_eq(inode))
}
