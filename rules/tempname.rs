// SPDX-License-Identifier: GPL-2.0

//! The names of temporary objects in the work directory: `#` and a number in hexadecimal.
//!
//! Source of the facts: `ovl_tempname` in `fs/overlayfs/dir.c`, `ovl_indexdir_cleanup` in
//! `fs/overlayfs/readdir.c`.

#![forbid(unsafe_code)]

/// The size of the buffer in bytes.
const SIZE: usize = 20;

/// A name; it ends with a NUL in the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TempName {
    bytes: [u8; SIZE],
    len: usize,
}

impl TempName {
    /// The name for a value of the counter; the counter may wrap, as temporaries are short-lived.
    pub(crate) fn new(count: u32) -> Self {
        let mut bytes = [0u8; SIZE];
        let digits = u32::BITS
            .wrapping_sub(count.leading_zeros())
            .div_ceil(4)
            .max(1);
        let mut len: usize = 0;
        let mut push = |byte: u8| {
            if let Some(place) = bytes.get_mut(len) {
                *place = byte;
                len = len.wrapping_add(1);
            }
        };
        push(b'#');
        for left in (0..digits).rev() {
            let [low, ..] = count.wrapping_shr(left.wrapping_mul(4)).to_le_bytes();
            push(match low & 0xf {
                digit @ 0..=9 => b'0'.wrapping_add(digit),
                letter => b'a'.wrapping_add(letter).wrapping_sub(10),
            });
        }
        Self { bytes, len }
    }

    /// The name.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// The name and a NUL.
    pub(crate) fn as_bytes_with_nul(&self) -> &[u8] {
        self.bytes
            .get(..self.len.wrapping_add(1))
            .unwrap_or(&self.bytes)
    }
}

/// Whether an object in the index directory is a temporary that a crash left there.
pub(crate) fn is_temporary(name: &[u8]) -> bool {
    name.first() == Some(&b'#')
}
