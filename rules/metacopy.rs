// SPDX-License-Identifier: GPL-2.0

//! The `overlay.metacopy` value: a file whose data is still in a lower layer.
//!
//! Source of the facts: `struct ovl_metacopy` in `fs/overlayfs/overlayfs.h`,
//! `ovl_check_metacopy_xattr`, `ovl_set_metacopy_xattr` and `ovl_validate_verity` in
//! `fs/overlayfs/util.c`.
//!
//! The value is empty, or a header of [`HEADER_LEN`] bytes (version, length, flags, digest
//! algorithm) and the digest of the data.

#![forbid(unsafe_code)]

use super::store::{
    NoMemory,
    Store, //
};

/// The bytes of a value before the digest.
pub(crate) const HEADER_LEN: usize = 4;

/// The longest digest in bytes (`FS_VERITY_MAX_DIGEST_SIZE`).
pub(crate) const MAX_DIGEST_LEN: usize = 64;

/// The longest value in bytes.
pub(crate) const MAX_LEN: usize = 68;

/// `FS_VERITY_HASH_ALG_SHA256`.
pub(crate) const SHA256: u8 = 1;
/// `FS_VERITY_HASH_ALG_SHA512`.
pub(crate) const SHA512: u8 = 2;

const VERSION: u8 = 0;

/// What the value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Metacopy<'a> {
    /// None is defined yet; unknown ones are kept.
    pub(crate) flags: u8,
    /// `FS_VERITY_HASH_ALG_*`, 0 without a digest.
    pub(crate) algorithm: u8,
    /// The digest of the data; its length is not checked against the algorithm.
    pub(crate) digest: &'a [u8],
}

/// Why a value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadMetacopy {
    /// Not empty, and shorter than the header; the module reports `EIO`.
    TooSmall,
    /// Longer than [`MAX_LEN`]; the module reports `ERANGE`, as reading the xattr does in C.
    TooLarge,
    /// A version that is not known; the module reports `EIO`.
    Version,
    /// The length that the value states is not its own; the module reports `EIO`.
    Length,
}

impl BadMetacopy {
    /// One line for the kernel log, without a newline.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::TooSmall => "metacopy xattr is too small",
            Self::TooLarge => "metacopy xattr is too large",
            Self::Version => "metacopy xattr has an unknown version",
            Self::Length => "metacopy xattr states a wrong length",
        }
    }
}

/// What a lookup needs to know, from the length of the value alone: whether there is a digest.
pub(crate) fn has_digest(value_len: usize) -> Result<bool, BadMetacopy> {
    match value_len {
        0 => Ok(false),
        1..HEADER_LEN => Err(BadMetacopy::TooSmall),
        len => Ok(len > HEADER_LEN),
    }
}

impl<'a> Metacopy<'a> {
    /// A file without a digest.
    pub(crate) const EMPTY: Self = Self {
        flags: 0,
        algorithm: 0,
        digest: &[],
    };

    /// Reads the value.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, BadMetacopy> {
        if value.is_empty() {
            return Ok(Self::EMPTY);
        }
        if value.len() > MAX_LEN {
            return Err(BadMetacopy::TooLarge);
        }
        let Some(([version, len, flags, algorithm], digest)) =
            value.split_first_chunk::<HEADER_LEN>()
        else {
            return Err(BadMetacopy::TooSmall);
        };
        if *version != VERSION {
            return Err(BadMetacopy::Version);
        }
        if usize::from(*len) != value.len() {
            return Err(BadMetacopy::Length);
        }
        Ok(Self {
            flags: *flags,
            algorithm: *algorithm,
            digest,
        })
    }

    /// Whether the data has to be checked: the value names an algorithm.
    pub(crate) fn is_signed(&self) -> bool {
        self.algorithm != 0
    }

    /// Whether the data with this digest is the one that the value was written for.
    pub(crate) fn matches(&self, algorithm: u8, digest: &[u8]) -> bool {
        self.algorithm == algorithm && self.digest == digest
    }

    /// Appends the value to `out`; nothing if it has neither flags nor a digest.
    ///
    /// A digest longer than [`MAX_DIGEST_LEN`] does not exist, and is refused like a lack of
    /// memory. On an error `out` may hold a part of the value.
    pub(crate) fn encode(&self, out: &mut impl Store<u8>) -> Result<(), NoMemory> {
        if self.flags == 0 && self.algorithm == 0 {
            return Ok(());
        }
        if self.digest.len() > MAX_DIGEST_LEN {
            return Err(NoMemory);
        }
        let len = self.digest.len().saturating_add(HEADER_LEN);
        let len = u8::try_from(len).map_err(|_| NoMemory)?;
        out.try_extend(&[VERSION, len, self.flags, self.algorithm])?;
        out.try_extend(self.digest)
    }
}

/// The length in bytes of the digests of an algorithm; `None` if it is not known.
pub(crate) const fn digest_len(algorithm: u8) -> Option<usize> {
    match algorithm {
        SHA256 => Some(32),
        SHA512 => Some(64),
        _ => None,
    }
}
