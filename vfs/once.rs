// SPDX-License-Identifier: GPL-2.0

//! A value that is set once and then read without a lock.
//!
//! Like `kernel::sync::SetOnce`, but reading is a load and a comparison. The kernel crate's atomics
//! are calls of C functions when they are used in a module, and these words are read several times
//! in every operation. They are touched by this module's Rust code alone, so `core`'s atomics, which
//! are compiled to the instruction itself, order them as well.

use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{
        AtomicU8,
        Ordering::{
            Acquire,
            Relaxed,
            Release, //
        }, //
    }, //
};

/// Nothing was set.
const EMPTY: u8 = 0;
/// Someone is setting it.
const BUSY: u8 = 1;
/// It is set, for good.
const SET: u8 = 2;

/// A place for a value that is set at most once.
///
/// # Invariants
///
/// The state only grows. `value` is initialised, and shared, from [`SET`] on; before that only the
/// one who changed the state from [`EMPTY`] to [`BUSY`] accesses it.
pub(crate) struct Once<T> {
    state: AtomicU8,
    value: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: it owns the value.
unsafe impl<T: Send> Send for Once<T> {}
// SAFETY: what is shared is `&T`; who sets the value may be another than who drops it.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// Nothing set yet.
    pub(crate) const fn new() -> Self {
        // INVARIANT: Empty.
        Self {
            state: AtomicU8::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The value, if it is set.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        if self.state.load(Acquire) != SET {
            return None;
        }
        let value = self.value.get().cast::<T>();
        // SAFETY: by the type invariant.
        Some(unsafe { &*value })
    }

    /// Sets the value; false, and the value is dropped, if there is one already.
    pub(crate) fn set(&self, value: T) -> bool {
        let first = self.state.compare_exchange(EMPTY, BUSY, Relaxed, Relaxed);
        if first.is_err() {
            return false;
        }
        // SAFETY: by the type invariant nobody else accesses it now.
        unsafe { self.value.get().cast::<T>().write(value) };
        // INVARIANT: Initialised before the state says so.
        self.state.store(SET, Release);
        true
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == SET {
            // SAFETY: by the type invariant it is initialised; nobody uses it any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}
