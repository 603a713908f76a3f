// SPDX-License-Identifier: GPL-2.0

//! A stack of parts, topmost first: the lower parts of an object.
//!
//! Most objects have at most one, which is kept in place: it needs no memory of its own.

#![forbid(unsafe_code)]

use core::{
    ops::Deref,
    slice, //
};
use kernel::prelude::*;

/// Some parts, most often none or one.
pub(crate) enum Stack<T> {
    /// None.
    Empty,
    /// A single one.
    One(T),
    /// More, or room for more.
    Several(KVec<T>),
}

impl<T> Deref for Stack<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Empty => &[],
            Self::One(part) => slice::from_ref(part),
            Self::Several(parts) => parts,
        }
    }
}

impl<T> From<Option<T>> for Stack<T> {
    fn from(part: Option<T>) -> Self {
        part.map_or(Self::Empty, Self::One)
    }
}

impl<T> Stack<T> {
    /// Adds a part below the others. If it is not the only one, room for `count` is made.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn push(&mut self, part: T, count: usize) -> Result {
        match self {
            Self::Empty => *self = Self::One(part),
            Self::One(_) => {
                let mut parts = KVec::with_capacity(count.max(2), GFP_KERNEL_ACCOUNT)?;
                if let Self::One(first) = core::mem::replace(self, Self::Empty) {
                    parts.push(first, GFP_KERNEL_ACCOUNT)?;
                }
                parts.push(part, GFP_KERNEL_ACCOUNT)?;
                *self = Self::Several(parts);
            }
            Self::Several(parts) => parts.push(part, GFP_KERNEL_ACCOUNT)?,
        }
        Ok(())
    }

    /// The parts made into others, and `last` below them.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn convert<U>(self, last: Option<U>, each: impl Fn(T) -> U) -> Result<Stack<U>> {
        let count = self.len().saturating_add(usize::from(last.is_some()));
        let mut made = match self {
            Self::Empty => Stack::Empty,
            Self::One(part) => Stack::One(each(part)),
            Self::Several(parts) => {
                let mut made = KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?;
                for part in parts {
                    made.push(each(part), GFP_KERNEL_ACCOUNT)?;
                }
                Stack::Several(made)
            }
        };
        if let Some(last) = last {
            made.push(last, count)?;
        }
        Ok(made)
    }
}
