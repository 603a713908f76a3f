// SPDX-License-Identifier: GPL-2.0

//! The `overlay.nlink` value: how many names an indexed object has in the overlay.
//!
//! Source of the facts: `ovl_set_nlink_common` and `ovl_get_nlink` in `fs/overlayfs/inode.c`.
//!
//! The number is stored relative to the link count of a real inode, as `U` (upper) or `L` (lower),
//! a sign, and decimal digits. Before a name is added or removed the base is the inode that the
//! operation changes, so that the sum is right whether the operation happens or not.

#![forbid(unsafe_code)]

use super::bytes;

/// The longest value in bytes; reading a longer one fails in C.
pub(crate) const MAX_LEN: usize = 12;

/// The inode that the number is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The upper inode.
    Upper,
    /// The lower inode.
    Lower,
}

/// The value of the xattr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nlink {
    /// What to add the difference to.
    pub(crate) base: Base,
    /// The overlay's link count minus that of the base.
    pub(crate) difference: i32,
}

/// A value as it is stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Text {
    /// The value.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }
}

impl Nlink {
    /// The value for an object with `union` names whose real inode has `real` links; the
    /// difference wraps as in C.
    pub(crate) fn relative(base: Base, union: u32, real: u32) -> Self {
        Self {
            base,
            difference: i32::from_ne_bytes(union.wrapping_sub(real).to_ne_bytes()),
        }
    }

    /// Reads the value; `None` if it is malformed, for which the module falls back to the link
    /// count that it would use without the xattr.
    ///
    /// As in C the value ends at its first NUL, and one newline at its end is ignored.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > MAX_LEN {
            return None;
        }
        let (text, _) = bytes::split(value, 0);
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let ([base, sign], digits) = text.split_first_chunk::<2>()?;
        let base = match base {
            b'U' => Base::Upper,
            b'L' => Base::Lower,
            _ => return None,
        };
        if digits.is_empty() {
            return None;
        }
        let mut number: i64 = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            let value = i64::from(digit.wrapping_sub(b'0'));
            number = number.checked_mul(10)?.checked_add(value)?;
        }
        let difference = match sign {
            b'+' => number,
            b'-' => number.checked_neg()?,
            _ => return None,
        };
        Some(Self {
            base,
            difference: i32::try_from(difference).ok()?,
        })
    }

    /// The value to store.
    pub(crate) fn text(self) -> Text {
        // Digits from the last to the first, then what precedes them.
        let mut reversed = [0u8; MAX_LEN];
        let mut len: usize = 0;
        let mut push = |byte: u8| {
            if let Some(place) = reversed.get_mut(len) {
                *place = byte;
                len = len.wrapping_add(1);
            }
        };
        let mut rest = self.difference.unsigned_abs();
        loop {
            let [digit, ..] = rest.wrapping_rem(10).to_le_bytes();
            push(b'0'.wrapping_add(digit));
            rest = rest.wrapping_div(10);
            if rest == 0 {
                break;
            }
        }
        push(if self.difference < 0 { b'-' } else { b'+' });
        push(match self.base {
            Base::Upper => b'U',
            Base::Lower => b'L',
        });

        let mut bytes = [0u8; MAX_LEN];
        let written = reversed.get(..len).unwrap_or(&reversed);
        for (to, &from) in bytes.iter_mut().zip(written.iter().rev()) {
            *to = from;
        }
        Text { bytes, len }
    }

    /// The number of names, given the link count of the base; `None` if that is not positive, for
    /// which the module falls back as for a malformed value.
    pub(crate) fn resolve(self, base_nlink: u32) -> Option<u32> {
        let count = i64::from(base_nlink).checked_add(i64::from(self.difference))?;
        // C computes with a signed int.
        let count = i32::try_from(count).ok()?;
        u32::try_from(count).ok().filter(|&count| count > 0)
    }
}
