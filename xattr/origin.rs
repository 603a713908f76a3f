// SPDX-License-Identifier: GPL-2.0

//! Records with a handle: the origin, which is the lower object that an upper one was copied from, and
//! the upper directory that an entry of the index stands for.
//!
//! Source of the facts: `ovl_get_fh` and `ovl_verify_fh` in `fs/overlayfs/namei.c`, `ovl_encode_real_fh`,
//! `ovl_get_origin_fh` and `ovl_set_origin_fh` in `fs/overlayfs/copy_up.c`. The layout of the record
//! is in [`crate::rules::handle`].
//!
//! An origin only serves to show the same inode number as before the copy-up. So one that cannot be
//! used is "unknown", and not a failure; but a layer that fails to read is one.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::vfs::errno::{
    ENODATA,
    ESTALE, //
};
use crate::{
    rules::handle::{
        self,
        EncodeError,
        Handle,
        Parsed, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        exportfs::with_fh,
        inode::Inode,
        log::warn_limited,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
        super_block::HandleType, //
    },
    xattr::{
        self,
        Format,
        Name, //
    },
};

/// A record with a handle in it, or an empty one, which says that there is an origin but not which.
pub(crate) struct Record(KVVec<u8>);

impl Record {
    /// The handle; `None` in an empty record.
    pub(crate) fn handle(&self) -> Option<Handle<'_>> {
        match handle::parse(&self.0) {
            Parsed::Valid(handle) => Some(handle),
            Parsed::Empty | Parsed::Unsupported | Parsed::Invalid => None,
        }
    }

    /// The record as it is stored.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A record from its bytes, which are one.
    pub(crate) fn from_bytes(bytes: KVVec<u8>) -> Self {
        Self(bytes)
    }
}

/// Reads the handle that the object at `path` keeps as `name`; `None` if there is none that can be
/// used. A malformed one is logged, and so is one that this mounter may not see.
///
/// # Errors
///
/// `ENOMEM`; what the layer fails with.
#[inline(never)]
pub(crate) fn read(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    name: Name,
) -> Result<Option<Record>> {
    let mut buf = [0; handle::HEADER_LEN + handle::MAX_FID_LEN];
    let record = match path.getxattr_vec_through(m, format.name(name), &mut buf) {
        Ok(None) => return Ok(None),
        Ok(Some(value)) => Record(value),
        Err(error) => {
            warn_limited!(
                "failed to get origin of '{}' ({})\n",
                path.dentry().log_name(),
                error.to_errno()
            );
            return if error == EACCES || error == EPERM {
                Ok(None)
            } else {
                Err(error)
            };
        }
    };
    match handle::parse(record.as_bytes()) {
        Parsed::Valid(_) => Ok(Some(record)),
        Parsed::Empty | Parsed::Unsupported => Ok(None),
        Parsed::Invalid => {
            warn_limited!(
                "invalid origin of '{}' (len={})\n",
                path.dentry().log_name(),
                record.as_bytes().len()
            );
            Ok(None)
        }
    }
}

/// Whether the object at `path` keeps just this record as `name`.
///
/// # Errors
///
/// `ENODATA`: it keeps none that can be used; `ESTALE`: it keeps another one; what [`read`] fails with.
pub(crate) fn verify(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    name: Name,
    record: &Record,
) -> Result {
    let kept = read(format, m, path, name)?.ok_or(ENODATA)?;
    if kept.handle() == record.handle() {
        Ok(())
    } else {
        Err(ESTALE)
    }
}

/// Makes the record of a lower object that is, or was, copied up. It is empty if the object's file
/// system has no handles, or the mounter could not open any.
///
/// # Errors
///
/// `EIO`: the object's file system failed to make a handle; `ENOMEM`.
pub(crate) fn of_lower(format: &Format, m: &Mounter<'_>, origin: &Inode) -> Result<Record> {
    if origin.sb().handle_type() == HandleType::None {
        return Ok(Record(KVVec::new()));
    }
    encode(format, m, origin, false)
}

/// Makes the record of a real object; `upper` tells in which layer it is.
///
/// # Errors
///
/// As [`of_lower`].
#[inline(never)]
pub(crate) fn encode(
    format: &Format,
    _: &Mounter<'_>,
    real: &Inode,
    upper: bool,
) -> Result<Record> {
    with_fh(real, |fid_type, fid| {
        let uuid = if format.has_origin_uuid() {
            real.sb().uuid()
        } else {
            [0; 16]
        };
        let handle = Handle::new(fid_type, upper, uuid, fid);
        let mut record = KVVec::with_capacity(handle.record_len(), GFP_KERNEL)?;
        handle.encode(&mut record).map_err(|error| match error {
            EncodeError::NoMemory => ENOMEM,
            EncodeError::TooLong => EIO,
        })?;
        Ok(Record(record))
    })
}

/// Stores the origin of an upper object. An upper layer without markers, or whose objects of this
/// kind cannot carry any (`user.*` on a link or a device), goes without.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn set(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    origin: &Record,
) -> Result {
    match xattr::check_set(format, m, w, upper, Name::Origin, origin.as_bytes(), Ok(())) {
        Err(error) if error == EPERM => Ok(()),
        other => other,
    }
}

/// Stores a record that has to be there.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn store(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    name: Name,
    record: &Record,
) -> Result {
    w.set_xattr(m, upper, format.name(name), record.as_bytes(), 0)
}
