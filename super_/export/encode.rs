// SPDX-License-Identifier: GPL-2.0

//! From an object to its handle.
//!
//! # Which part
//!
//! | Object                 | Handle of                                     |
//! |------------------------|-----------------------------------------------|
//! | the root               | the upper part, if there is an upper layer    |
//! | without a lower part   | the upper part                                |
//! | without an upper part  | the lower part                                |
//! | with both              | the lower part; but the upper one with NFS    |
//! |                        | export, if it has no entry in the index       |
//!
//! # Connected directories
//!
//! To find the place of a lower directory in the overlay, decoding walks up from it in its layer
//! until it meets a directory that it knows, or one that the index has. The index has a directory
//! by its topmost lower part only. So a directory of layer 2 below one whose topmost lower part is
//! in layer 1 would not be found, once that one has been renamed: then the directory at the border
//! gets copied up, and so into the index, before the handle is given out. What was found to be fine
//! stays so, and is noted in the dentry.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    copy_up::copy_up,
    overlay::{
        mount::MountState,
        object::{
            EntryFlag,
            ObjFlag, //
        },
        OvlDentry,
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
/// an overlay does not make, is wanted.
pub(in super::super) fn encode_fh(
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
///
/// # Errors
///
/// `ENOENT`: a directory has no name any more; what copy-up of a directory above it fails with.
fn encoded_part<'a>(ms: &MountState, inode: &'a OvlInode) -> Result<(&'a Inode, bool)> {
    let decodable = ms.config.nfs_export;
    let (upper, lower) = (inode.upper_inode(), inode.lower_inode());
    let Some(lower) = lower else {
        return upper.map(|upper| (upper, true)).ok_or(EIO);
    };
    if let Some(upper) = upper {
        // Copied up before NFS export was on: nobody knows it by its lower part.
        let never_lower = decodable && !inode.flag(ObjFlag::Index);
        if never_lower || is_root(inode) {
            return Ok((upper, true));
        }
    }
    if decodable && inode.is_dir() && ms.upper.is_some() {
        connect(&*inode.any_alias().ok_or(ENOENT)?)?;
    }
    Ok((lower, false))
}

/// The root is never in the index.
fn is_root(inode: &OvlInode) -> bool {
    let root = inode.super_().root();
    root.inode().is_some_and(|root| root.ptr_eq(inode))
}

/// Sees to it that the place of a lower directory can be found from its topmost lower part.
///
/// # Errors
///
/// `EIO`: it is the root, or has no lower part; what copy-up fails with.
fn connect(dentry: &OvlDentry) -> Result {
    let layer = topmost_layer(dentry).ok_or(EIO)?;
    if dentry.is_connected() {
        return Ok(());
    }
    let mut next: ARef<OvlDentry> = dentry.into();
    loop {
        let parent = next.parent();
        if parent.ptr_eq(&next) {
            return Err(EIO);
        }
        if findable_layer(&parent) < Some(layer) {
            copy_up_for_handle(&next)?;
            break;
        }
        let indexed = parent
            .inode()
            .is_some_and(|inode| inode.flag(ObjFlag::Index));
        if parent.is_connected() || indexed {
            break;
        }
        next = parent;
    }
    dentry.set_entry_flag(EntryFlag::Connected);
    Ok(())
}

/// The lowest layer in which the walk up from below may meet a part of this directory that leads to
/// it; `None`: it is found by its upper part only.
fn findable_layer(dentry: &OvlDentry) -> Option<usize> {
    let inode = dentry.inode()?;
    if is_root(inode) {
        // Every layer has its root.
        return inode.lowers().last().map(|lower| lower.layer());
    }
    if inode.upper().is_some() && !inode.flag(ObjFlag::Index) {
        return None;
    }
    topmost_layer(dentry)
}

/// The layer of the topmost lower part.
fn topmost_layer(dentry: &OvlDentry) -> Option<usize> {
    Some(dentry.inode()?.lowers().first()?.layer())
}

fn copy_up_for_handle(dentry: &OvlDentry) -> Result {
    if dentry.upper().is_some() {
        return Ok(());
    }
    copy_up(dentry).inspect_err(|error| {
        warn_limited!(
            "failed to copy up on encode ({}, err={})\n",
            dentry.log_name(),
            error.to_errno()
        );
    })
}
