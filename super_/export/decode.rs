// SPDX-License-Identifier: GPL-2.0

//! From a handle to the object.
//!
//! The handle of an upper object is decoded in the upper layer, that of a lower one in the first
//! lower layer it can be from. A lower object may have been copied up: then the overlay's inode is
//! found by it, if it is in memory, and else the index leads to the upper part. A whiteout there
//! says that the object is gone.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use super::{
    reconnect::reconnect,
    Place, //
};
use crate::vfs::errno::{
    ENODATA,
    ESTALE, //
};
use crate::{
    overlay::{
        index,
        instantiate::{
            find_inode_of,
            get_inode,
            Parts, //
        },
        layer::LowerPath,
        mount::MountState,
        origin,
        stack::Stack,
        OvlDentry,
        OvlInode,
        OvlSuper, //
    },
    rules::handle::{
        parse_wire,
        Handle,
        Parsed, //
    },
    vfs::{
        cred::capable_dac_read_search,
        dentry::Dentry,
        log::warn_limited,
        mount::Upper, //
    },
};

/// Finds the object of a handle; `None`: there is none.
///
/// # Errors
///
/// `ESTALE`: there is none any more; `EINVAL`, `ENODATA`: it is no handle, or none that this module
/// knows; `EACCES`: it is of an upper object, and there is no upper layer; what the layers fail with.
pub(in super::super) fn fh_to_dentry(
    sb: &OvlSuper,
    handle: &[u8],
    kind: u8,
) -> Result<Option<ARef<OvlDentry>>> {
    let mut flags = 0;
    let found = match parse_wire(handle, kind) {
        Parsed::Valid(handle) => {
            flags = handle.flags;
            find(sb, handle)
        }
        Parsed::Unsupported => Err(ENODATA),
        Parsed::Empty | Parsed::Invalid => Err(EINVAL),
    };
    if let Err(error) = &found {
        if *error != ESTALE {
            warn_limited!(
                "failed to decode file handle (len={}, type={}, flags={:x}, err={})\n",
                handle.len(),
                kind,
                flags,
                error.to_errno()
            );
        }
    }
    found
}

fn find(sb: &OvlSuper, handle: Handle<'_>) -> Result<Option<ARef<OvlDentry>>> {
    // The layers are asked as the mounter. The caller has to be allowed to open handles himself.
    if !capable_dac_read_search() {
        return Ok(None);
    }
    match handle.is_upper() {
        true => find_by_upper(sb, handle),
        false => find_by_lower(sb, handle),
    }
}

fn find_by_upper(sb: &OvlSuper, handle: Handle<'_>) -> Result<Option<ARef<OvlDentry>>> {
    let ms = MountState::of(sb);
    if ms.upper.is_none() {
        return Err(EACCES);
    }
    let upper = ms.with_mounter(|m| index::decode_upper(ms, m, handle, true))?;
    upper.map(|upper| dentry_of_upper(sb, upper)).transpose()
}

#[inline(never)]
fn find_by_lower(sb: &OvlSuper, handle: Handle<'_>) -> Result<Option<ARef<OvlDentry>>> {
    let ms = MountState::of(sb);
    let decode = |connected| ms.with_mounter(|m| origin::decode(ms, m, handle, connected));
    let mut lower = decode(false)?.ok_or(ESTALE)?;
    if let Some(known) = find_cached(sb, &lower.dentry)? {
        return Ok(Some(known));
    }
    let index = match ms.indexdir() {
        Some(_) => ms.with_mounter(|m| index::lookup_by_handle(ms, m, handle))?,
        None => None,
    };
    if let Some(index) = index.as_ref().filter(|index| index.is_dir()) {
        let upper = ms.with_mounter(|m| index::upper_of(ms, m, index, true))?;
        return upper.map(|upper| dentry_of_upper(sb, upper)).transpose();
    }
    if lower.dentry.is_dir() {
        // So far it may be anywhere, or nowhere.
        lower = decode(true)?.ok_or(ESTALE)?;
    }
    if let Some(index) = &index {
        ms.with_mounter(|m| origin::verify(ms, m, index, &lower.dentry))?;
    }
    if lower.dentry.is_dir() {
        check_dir(&lower.dentry)?;
        return reconnect(sb, Place::Lower(lower.layer), &lower.dentry).map(Some);
    }
    dentry_of(sb, index, Some(lower)).map(Some)
}

/// The dentry of the object with this lower part, if it is in memory.
fn find_cached(sb: &OvlSuper, lower: &Dentry) -> Result<Option<ARef<OvlDentry>>> {
    if lower.is_dir() && lower.is_disconnected() {
        return Ok(None);
    }
    let inode = find_inode_of(sb, lower.positive()?, false)?;
    Ok(inode.and_then(|inode| inode.any_alias()))
}

/// The dentry of the object with this upper part.
fn dentry_of_upper(sb: &OvlSuper, upper: ARef<Upper<Dentry>>) -> Result<ARef<OvlDentry>> {
    if upper.is_dir() {
        check_dir(&upper)?;
        return reconnect(sb, Place::Upper, &upper);
    }
    dentry_of(sb, Some(upper), None)
}

/// A directory has to be in the tree: one that is not was removed.
fn check_dir(dir: &Dentry) -> Result {
    match dir.is_disconnected() || dir.is_unhashed() {
        true => Err(ENOENT),
        false => Ok(()),
    }
}

/// A dentry of an object that is no directory. Where its names are is not known.
#[inline(never)]
fn dentry_of(
    sb: &OvlSuper,
    upper: Option<ARef<Upper<Dentry>>>,
    lower: Option<LowerPath>,
) -> Result<ARef<OvlDentry>> {
    let ms = MountState::of(sb);
    let has_upper = upper.is_some();
    let mut parts = Parts {
        indexed: has_upper && lower.is_some(),
        // With NFS export metadata is never without data.
        upper_data: has_upper,
        upper,
        lowers: Stack::from(lower),
        ..Parts::none()
    };
    let inode = ms
        .with_mounter(|m| get_inode(sb, m, &mut parts, None))?
        .inode;
    OvlInode::obtain_alias(inode)
}
