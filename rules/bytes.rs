// SPDX-License-Identifier: GPL-2.0

//! Searching and cutting byte strings.
//!
//! The iterator adaptors of `core` that count (`position`, `enumerate`, `chunks_exact`) leave a
//! panic in the object code where the compiler does not see that it cannot happen. These do not.

#![forbid(unsafe_code)]

/// The index of the first byte that `matches`.
pub(crate) fn find(bytes: &[u8], mut matches: impl FnMut(u8) -> bool) -> Option<usize> {
    let mut at: usize = 0;
    for &byte in bytes {
        if matches(byte) {
            return Some(at);
        }
        at = at.wrapping_add(1);
    }
    None
}

/// What precedes the first `separator`, and what follows it if there is one.
pub(crate) fn split(bytes: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    let cut = find(bytes, |byte| byte == separator).and_then(|at| bytes.split_at_checked(at));
    match cut {
        Some((before, from)) => (before, from.get(1..)),
        None => (bytes, None),
    }
}

/// Whether `byte` is among `bytes`.
pub(crate) fn contains(bytes: &[u8], byte: u8) -> bool {
    find(bytes, |other| other == byte).is_some()
}
