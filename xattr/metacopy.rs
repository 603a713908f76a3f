// SPDX-License-Identifier: GPL-2.0

//! The mark of a file of which only the metadata was copied up.
//!
//! Source of the facts: `ovl_check_metacopy_xattr` and `ovl_set_metacopy_xattr` in
//! `fs/overlayfs/util.c`. What a value says is in [`crate::rules::metacopy`].

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::vfs::errno::EOPNOTSUPP;
use crate::{
    rules::metacopy::{
        has_digest,
        BadMetacopy,
        Metacopy,
        MAX_LEN, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        log::warn_limited,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
        verity::Digest, //
    },
    xattr::{
        check_set,
        Format,
        Name, //
    },
};

/// What a lookup has to know about the mark of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// It has a digest of the data.
    pub(crate) has_digest: bool,
}

/// The mark of the object at `path`, if that has only metadata and its data is in a lower layer.
///
/// # Errors
///
/// `EIO`: the mark is malformed; what the layer fails with. Both are logged.
pub(crate) fn mark(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<Option<Mark>> {
    if !path.inode()?.is_reg() {
        return Ok(None);
    }
    match path.getxattr_len(m, format.name(Name::Metacopy)) {
        Ok(None) => Ok(None),
        Ok(Some(len)) => match has_digest(len) {
            Ok(has_digest) => Ok(Some(Mark { has_digest })),
            Err(bad) => Err(refuse(path, bad)),
        },
        Err(error) => unread(format, path, error).map(|()| None),
    }
}

/// The value of a mark, which is well formed.
pub(crate) struct Stored {
    value: [u8; MAX_LEN],
    len: usize,
}

impl Stored {
    /// Of a file that has no mark.
    pub(crate) const fn empty() -> Self {
        Self {
            value: [0; MAX_LEN],
            len: 0,
        }
    }

    /// What it says about the data, if it says anything.
    pub(crate) fn signed(&self) -> Option<Metacopy<'_>> {
        let parsed = Metacopy::parse(self.value.get(..self.len)?).ok()?;
        parsed.is_signed().then_some(parsed)
    }
}

/// Reads the whole mark of the file at `path`, if it has one.
///
/// # Errors
///
/// `EIO`: the mark is malformed; `ERANGE`: it is longer than any; what the layer fails with. All
/// are logged.
#[inline(never)]
pub(crate) fn read(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    stored: &mut Stored,
) -> Result {
    match path.getxattr(m, format.name(Name::Metacopy), &mut stored.value) {
        Ok(len) => stored.len = len.unwrap_or(0),
        Err(error) => return unread(format, path, error),
    }
    let value = stored.value.get(..stored.len).ok_or(EIO)?;
    Metacopy::parse(value).map_err(|bad| refuse(path, bad))?;
    Ok(())
}

/// The mark is malformed.
#[cold]
#[inline(never)]
fn refuse(path: RealPath<'_>, bad: BadMetacopy) -> Error {
    warn_limited!("'{}': {}\n", path.dentry().log_name(), bad.message());
    match bad {
        BadMetacopy::TooLarge => ERANGE,
        BadMetacopy::TooSmall | BadMetacopy::Version | BadMetacopy::Length => EIO,
    }
}

/// The mark could not be read.
#[cold]
#[inline(never)]
fn unread(format: &Format, path: RealPath<'_>, error: Error) -> Result {
    // Without read permission on the file there is no telling; its data is not shown either.
    if error == EACCES && format.is_user() {
        return Ok(());
    }
    warn_limited!(
        "failed to get metacopy of '{}' ({})\n",
        path.dentry().log_name(),
        error.to_errno()
    );
    Err(error)
}

/// Marks an object of the upper layer, whose data has this digest or none that is to be kept.
///
/// # Errors
///
/// `EOPNOTSUPP`: the upper layer does not store marks; what it fails with.
pub(crate) fn set(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    digest: Option<&Digest>,
) -> Result {
    let mark = digest.map_or(Metacopy::EMPTY, |digest| Metacopy {
        flags: 0,
        algorithm: digest.algorithm(),
        digest: digest.bytes(),
    });
    let mut value = KVec::new();
    mark.encode(&mut value)?;
    check_set(format, m, w, upper, Name::Metacopy, &value, Err(EOPNOTSUPP))
}
