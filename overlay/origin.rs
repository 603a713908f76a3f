// SPDX-License-Identifier: GPL-2.0

//! The lower object that an upper one was copied from, found by the handle that the upper one keeps.
//!
//! It may be anywhere in the lower file system, and its dentry disconnected from the tree: it serves
//! to show the same inode number as before the copy-up, and to find the entry in the index.
//!
//! Source of the facts: `ovl_check_origin`, `ovl_check_origin_fh`, `ovl_decode_real_fh` and
//! `ovl_verify_origin_xattr` in `fs/overlayfs/namei.c`, `ovl_get_origin_fh` in
//! `fs/overlayfs/copy_up.c`. How the handle is stored is in [`crate::xattr::origin`].

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    overlay::{
        layer::{
            Layer,
            LowerPath, //
        },
        mount::MountState,
        whiteout::path_is_whiteout, //
    },
    rules::handle::{
        Handle,
        MAX_FID_LEN, //
    },
    vfs::{
        cred::{
            capable_dac_read_search,
            Mounter, //
        },
        dentry::Dentry,
        exportfs::decode_fh,
        inode::{
            mode::S_IFMT,
            Inode, //
        },
        log::warn_limited,
        mount::{
            Lower,
            RealPath,
            Upper, //
        }, //
    },
    xattr::{
        origin::{
            self,
            Record, //
        },
        Name, //
    },
};

/// Makes the record of a lower object that is, or was, copied up.
///
/// It is empty if the mounter could not open handles of that layer. Not so with an index, which
/// cannot do without: the mount found that all layers have handles.
///
/// # Errors
///
/// `EIO`: the layer failed to make a handle; `ENOMEM`.
pub(crate) fn record(ms: &MountState, m: &Mounter<'_>, lower: &Inode) -> Result<Record> {
    if ms.config.index {
        origin::encode(ms.format(), m, lower, false)
    } else {
        origin::of_lower(ms.format(), m, lower)
    }
}

/// Finds the lower object that the upper one at `path` was copied from; `None`: unknown.
///
/// # Errors
///
/// What the layers fail with; `ENOMEM`.
#[inline(never)]
pub(crate) fn find(
    ms: &MountState,
    m: &Mounter<'_>,
    path: RealPath<'_>,
) -> Result<Option<LowerPath>> {
    let Some(record) = origin::read(ms.format(), m, path, Name::Origin)? else {
        return Ok(None);
    };
    let Some(handle) = record.handle() else {
        return Ok(None);
    };
    find_by_handle(ms, m, handle, path)
}

/// Finds the lower object of a handle, which `path` is a copy of; `None`: there is none of the same
/// type.
///
/// # Errors
///
/// What the layers fail with.
pub(crate) fn find_by_handle(
    ms: &MountState,
    m: &Mounter<'_>,
    handle: Handle<'_>,
    path: RealPath<'_>,
) -> Result<Option<LowerPath>> {
    let Some(found) = decode(ms, m, handle, false)? else {
        return Ok(None);
    };
    let (upper, lower) = (path.inode()?, found.dentry.positive()?);
    if is_wrong_type(upper, lower) && !path_is_whiteout(ms, m, path)? {
        warn_limited!(
            "invalid origin ({}, ftype={:x}, origin ftype={:x}).\n",
            path.dentry().log_name(),
            upper.mode() & S_IFMT,
            lower.mode() & S_IFMT
        );
        return Ok(None);
    }
    Ok(Some(found))
}

/// Decodes a handle in the first lower layer whose file system can have made it. `connected`: a
/// directory has to be below the root of that layer.
///
/// # Errors
///
/// What the layers fail with.
#[inline(never)]
pub(crate) fn decode(
    ms: &MountState,
    m: &Mounter<'_>,
    handle: Handle<'_>,
    connected: bool,
) -> Result<Option<LowerPath>> {
    if !capable_dac_read_search() || handle.fid.len() > MAX_FID_LEN {
        return Ok(None);
    }
    let with_uuid = ms.format().has_origin_uuid();
    for (index, layer) in ms.lowers.iter().enumerate().take(ms.merged_layers()) {
        if is_ambiguous(ms, layer) || !handle.belongs_to(&layer.mnt.sb().uuid(), with_uuid) {
            continue;
        }
        let decoded = decode_fh(&layer.mnt, m, handle.fid_type, handle.fid, connected)?;
        if let Some(dentry) = decoded.filter(|dentry| !dentry.is_weird()) {
            return Ok(Some(LowerPath {
                layer: index,
                dentry,
            }));
        }
    }
    Ok(None)
}

/// Whether the upper object keeps this lower one as its origin. A failure is logged.
///
/// # Errors
///
/// `ESTALE`: it keeps another one; `ENODATA`: it keeps none; what the layers fail with.
pub(crate) fn verify(
    ms: &MountState,
    m: &Mounter<'_>,
    upper: &Upper<Dentry>,
    lower: &Lower<Dentry>,
) -> Result {
    let path = RealPath::upper(ms.upper_mnt()?, upper);
    let verified = origin::encode(ms.format(), m, lower.positive()?, false)
        .and_then(|record| origin::verify(ms.format(), m, path, Name::Origin, &record));
    verified.inspect_err(|error| {
        warn_limited!(
            "failed to verify origin ({}, ino={}, err={})\n",
            lower.log_name(),
            lower.inode().map_or(0, |inode| inode.ino()),
            error.to_errno()
        );
    })
}

/// Handles of this layer's file system cannot be told from those of another one.
fn is_ambiguous(ms: &MountState, layer: &Layer) -> bool {
    let filesystem = usize::try_from(layer.fsid)
        .ok()
        .and_then(|fsid| ms.filesystems.get(fsid));
    layer.fsid != 0 && filesystem.is_none_or(|filesystem| filesystem.bad_uuid)
}

/// The inodes are of different types.
pub(crate) fn is_wrong_type(a: &Inode, b: &Inode) -> bool {
    (a.mode() ^ b.mode()) & S_IFMT != 0
}
