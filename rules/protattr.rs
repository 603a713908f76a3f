// SPDX-License-Identifier: GPL-2.0

//! The `overlay.protattr` value: the append-only and immutable flags of an object.
//!
//! Source of the facts: `ovl_check_protattr` and `ovl_set_protattr` in `fs/overlayfs/util.c`. The
//! flags are not set on the upper object, as the overlay itself has to change it.

#![forbid(unsafe_code)]

/// The longest value in bytes; a longer one is not even read.
pub(crate) const MAX_LEN: usize = 32;

/// The protection flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProtAttr {
    /// `chattr +a`.
    pub(crate) append: bool,
    /// `chattr +i`.
    pub(crate) immutable: bool,
}

/// The value is empty, too long or has an unknown letter. The module logs it and leaves the flags
/// of the inode as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadProtAttr;

impl ProtAttr {
    /// Reads the value: the letters `a` and `i`, in any order and number, at least one.
    pub(crate) fn parse(value: &[u8]) -> Result<Self, BadProtAttr> {
        if value.is_empty() || value.len() > MAX_LEN {
            return Err(BadProtAttr);
        }
        let mut flags = Self::default();
        for letter in value {
            match letter {
                b'a' => flags.append = true,
                b'i' => flags.immutable = true,
                _ => return Err(BadProtAttr),
            }
        }
        Ok(flags)
    }

    /// The value to store; empty means that the xattr is to be removed.
    pub(crate) const fn value(self) -> &'static [u8] {
        match (self.append, self.immutable) {
            (false, false) => b"",
            (true, false) => b"a",
            (false, true) => b"i",
            (true, true) => b"ai",
        }
    }
}
