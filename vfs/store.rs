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
