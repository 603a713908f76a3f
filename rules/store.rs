// SPDX-License-Identifier: GPL-2.0

//! Growable storage that belongs to the caller.
//!
//! The rules never allocate. Whatever has to grow (a path, a directory listing) is handed in as a
//! [`Store`]: the module passes kernel vectors, the host tests pass a `Vec` that can be told to
//! fail. Growing is the only operation that may fail.

#![forbid(unsafe_code)]

/// The caller's storage could not grow; the operation had no effect unless its text says otherwise.
///
/// The module reports it as `ENOMEM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// A growable array that the caller owns.
///
/// Every method keeps the elements that were there before: after an `Err` the store holds what it
/// held before the call.
pub(crate) trait Store<T> {
    /// All elements.
    fn as_slice(&self) -> &[T];

    /// All elements, to be changed in place.
    fn as_mut_slice(&mut self) -> &mut [T];

    /// Appends one element.
    fn try_push(&mut self, value: T) -> Result<(), NoMemory>;

    /// Appends copies of all of `values`, or nothing.
    fn try_extend(&mut self, values: &[T]) -> Result<(), NoMemory>
    where
        T: Copy;

    /// Drops the elements from `len` on; does nothing if there are not that many.
    fn truncate(&mut self, len: usize);

    /// Drops all elements.
    fn clear(&mut self);
}
