// SPDX-License-Identifier: GPL-2.0

//! The kernel's vectors as storage for the pure rules.

use crate::rules::store::{
    NoMemory,
    Store, //
};
use kernel::{
    alloc::{
        kvec::Vec,
        Allocator, //
    },
    prelude::*, //
};

impl<T, A: Allocator> Store<T> for Vec<T, A> {
    fn as_slice(&self) -> &[T] {
        Vec::as_slice(self)
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        Vec::as_mut_slice(self)
    }

    fn try_push(&mut self, value: T) -> core::result::Result<(), NoMemory> {
        self.push(value, GFP_KERNEL).map_err(|_| NoMemory)
    }

    fn try_extend(&mut self, values: &[T]) -> core::result::Result<(), NoMemory>
    where
        T: Copy,
    {
        self.extend_from_slice(values, GFP_KERNEL)
            .map_err(|_| NoMemory)
    }

    fn truncate(&mut self, len: usize) {
        Vec::truncate(self, len);
    }

    fn clear(&mut self) {
        Vec::clear(self);
    }
}

impl From<NoMemory> for Error {
    fn from(_: NoMemory) -> Self {
        ENOMEM
    }
}

/// Makes `bytes` exactly `len` long, what is new being zero. What was there before may be lost.
///
/// # Errors
///
/// `ENOMEM`.
pub(crate) fn set_len<A: Allocator>(bytes: &mut Vec<u8, A>, len: usize) -> Result {
    const ZEROES: [u8; 256] = [0; 256];

    bytes.truncate(len);
    bytes.reserve(len.saturating_sub(bytes.len()), GFP_KERNEL)?;
    loop {
        let missing = len.saturating_sub(bytes.len());
        let Some(chunk) = ZEROES.get(..missing.min(ZEROES.len())) else {
            return Ok(());
        };
        if chunk.is_empty() {
            return Ok(());
        }
        bytes.extend_from_slice(chunk, GFP_KERNEL)?;
    }
}
