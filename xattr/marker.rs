// SPDX-License-Identifier: GPL-2.0

//! Markers with a fixed form: opaque and impure directories, protection flags, link counts.
//!
//! Source of the facts: `ovl_get_dir_xattr_val`, `ovl_path_check_origin_xattr`,
//! `ovl_check_protattr` in `fs/overlayfs/util.c`, `ovl_get_nlink` in `fs/overlayfs/inode.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    rules::{
        nlink::{
            self,
            Nlink, //
        },
        protattr::{
            self,
            ProtAttr, //
        }, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        log::warn_limited,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        }, //
    },
    xattr::{
        self,
        Format,
        Name, //
    },
};

/// The value that says yes.
const YES: u8 = b'y';

/// What a directory says about the layers below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opacity {
    /// Nothing: it is merged with what is below.
    Merged,
    /// It hides what is below.
    Opaque,
    /// It is merged, and may hold whiteouts in xattr form.
    Xwhiteouts,
}

/// Reads the one byte that a marker of a directory has; `None` if there is none, or another value.
///
/// # Errors
///
/// What the layer fails with.
fn dir_value(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    name: Name,
) -> Result<Option<u8>> {
    if !path.dentry().is_dir() {
        return Ok(None);
    }
    let mut value = [0];
    match xattr::get(format, m, path, name, &mut value) {
        Ok(Some(1)) => {
            let [value] = value;
            Ok(Some(value))
        }
        Ok(_) => Ok(None),
        // More than one byte.
        Err(error) if error == ERANGE => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the directory at `path` says about the layers below it.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn opacity(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<Opacity> {
    Ok(match dir_value(format, m, path, Name::Opaque)? {
        Some(YES) => Opacity::Opaque,
        Some(b'x') => Opacity::Xwhiteouts,
        _ => Opacity::Merged,
    })
}

/// Whether the directory at `path` may hold entries that were copied up or moved there.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn is_impure(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<bool> {
    Ok(dir_value(format, m, path, Name::Impure)? == Some(YES))
}

/// Marks an upper directory as impure. An upper layer without markers is no failure.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn set_impure(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
) -> Result {
    xattr::check_set(format, m, w, upper, Name::Impure, &[YES], Ok(()))
}

/// Marks an upper directory as opaque; `unsupported` is the error if the upper layer has no markers.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn set_opaque(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    unsupported: Error,
) -> Result {
    xattr::check_set(format, m, w, upper, Name::Opaque, &[YES], Err(unsupported))
}

/// Whether the object at `path` says where it was copied from, be it that this is unknown.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn has_origin(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<bool> {
    Ok(xattr::len(format, m, path, Name::Origin)?.is_some())
}

/// The protection flags that the upper object at `path` keeps; `None` if it keeps none.
///
/// A malformed value is logged and not used.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn protattr(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
) -> Result<Option<ProtAttr>> {
    let mut buf = [0; protattr::MAX_LEN];
    let len = match xattr::get(format, m, path, Name::Protattr, &mut buf) {
        Ok(None) => return Ok(None),
        Ok(Some(len)) => len,
        Err(error) if error == ERANGE => return Ok(None),
        Err(error) => return Err(error),
    };
    match ProtAttr::parse(buf.get(..len).unwrap_or(&[])) {
        Ok(flags) => Ok(Some(flags)),
        Err(_) => {
            warn_limited!(
                "incompatible overlay.protattr format ({}, len={})\n",
                path.dentry().log_name(),
                len
            );
            Ok(None)
        }
    }
}

/// The link count record of the upper object at `path`; `None` if there is none, or it is malformed,
/// which is logged.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn nlink(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<Option<Nlink>> {
    let mut buf = [0; nlink::MAX_LEN];
    let parsed = match xattr::get(format, m, path, Name::Nlink, &mut buf) {
        Ok(None) => return Ok(None),
        Ok(Some(len)) => buf.get(..len).and_then(Nlink::parse),
        Err(error) if error == ERANGE => None,
        Err(error) => return Err(error),
    };
    if parsed.is_none() {
        warn_limited!("malformed index nlink ({})\n", path.dentry().log_name());
    }
    Ok(parsed)
}
