// SPDX-License-Identifier: GPL-2.0

//! References in an inode's private data that RCU-walk reads.

use core::{
    marker::PhantomData,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering::{
            AcqRel,
            Acquire,
            Relaxed, //
        }, //
    }, //
};
use kernel::sync::aref::{
    ARef,
    AlwaysRefCounted, //
};

/// A counted reference that is published at most once and is read without a lock.
///
/// It lives in the private data of an inode and dies in two steps, because path walks under RCU
/// may still read it after the inode's last reference is gone: [`RcuRef::put`] gives the count
/// back (in [`super::own::InodeData::release`], where sleeping is allowed) but leaves the pointer
/// in place; dropping the field, after a grace period, does nothing.
///
/// # Invariants
///
/// The pointer is null, or it was made by [`ARef::into_raw`]. As long as the inode that holds
/// the field has a reference, the count behind the pointer is owned by the field. Types used
/// here free their memory by RCU (dentries: `fs/dcache.c`).
pub(crate) struct RcuRef<T: AlwaysRefCounted> {
    ptr: AtomicPtr<T>,
    _owns: PhantomData<T>,
}

// SAFETY: the field owns a count of a `T` that may be shared between threads.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Send for RcuRef<T> {}
// SAFETY: as above; the pointer itself is atomic.
unsafe impl<T: AlwaysRefCounted + Send + Sync> Sync for RcuRef<T> {}

impl<T: AlwaysRefCounted> RcuRef<T> {
    /// Nothing published yet.
    pub(crate) const fn empty() -> Self {
        Self {
            ptr: AtomicPtr::new(core::ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// Already published.
    pub(crate) fn new(value: ARef<T>) -> Self {
        Self {
            ptr: AtomicPtr::new(ARef::into_raw(value).as_ptr()),
            _owns: PhantomData,
        }
    }

    /// What was published. Everything that was written before it was published is visible.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&T> {
        let ptr = NonNull::new(self.ptr.load(Acquire))?;
        // SAFETY: by the invariant the pointee has a count, or the caller walks under RCU and
        // the memory is not freed before the walk ends.
        Some(unsafe { ptr.as_ref() })
    }

    /// Publishes `value`. False, and `value` is given back, if something was published before.
    pub(crate) fn publish(&self, value: ARef<T>) -> bool {
        let raw = ARef::into_raw(value);
        let none = core::ptr::null_mut();
        match self
            .ptr
            .compare_exchange(none, raw.as_ptr(), AcqRel, Relaxed)
        {
            Ok(_) => true,
            Err(_) => {
                // SAFETY: `raw` was just made by `into_raw` and was not published.
                drop(unsafe { ARef::from_raw(raw) });
                false
            }
        }
    }

    /// Gives the count back. May sleep. For [`super::own::InodeData::release`] alone, which runs
    /// once and when no one but RCU-walk can reach the field.
    pub(crate) fn put(&self) {
        if let Some(ptr) = NonNull::new(self.ptr.load(Relaxed)) {
            // SAFETY: the field owns a count, and `release` runs once (fs/inode.c,
            // destroy_inode()).
            drop(unsafe { ARef::from_raw(ptr) });
        }
    }
}
