// SPDX-License-Identifier: GPL-2.0

//! The mutex of an object: like `kernel::sync::Mutex`, but a signal may end the wait.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)

use super::{
    bindings,
    errno::to_result, //
};
use kernel::{
    prelude::*,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// A `struct mutex` whose lock class is chosen when its inode is filled (one class per stacking
/// depth, see [`super::own::NewInode::fill`]).
#[pin_data]
pub(crate) struct ObjectMutex {
    #[pin]
    lock: Opaque<bindings::mutex>,
}

// SAFETY: a mutex may be taken from any thread (include/linux/mutex.h).
unsafe impl Send for ObjectMutex {}
// SAFETY: as above; all access goes through the C functions.
unsafe impl Sync for ObjectMutex {}

impl ObjectMutex {
    /// An unlocked mutex.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `slot` is valid for a mutex that mutex_init() fills.
            lock <- Opaque::ffi_init(|slot| unsafe { bindings::mutex_init(slot) }),
        })
    }

    /// The C mutex, for [`super::own`].
    pub(super) fn as_ptr(&self) -> *mut bindings::mutex {
        self.lock.get()
    }

    /// Takes the lock; sleeps.
    pub(crate) fn lock(&self) -> ObjectGuard<'_> {
        // SAFETY: initialised by `new`.
        unsafe { bindings::mutex_lock(self.lock.get()) };
        ObjectGuard {
            mutex: self,
            _task: NotThreadSafe,
        }
    }

    /// Takes the lock; sleeps, and gives up with `EINTR` when a signal arrives.
    pub(crate) fn lock_interruptible(&self) -> Result<ObjectGuard<'_>> {
        // SAFETY: initialised by `new`.
        to_result(unsafe { bindings::object_lock_interruptible(self.lock.get()) })?;
        Ok(ObjectGuard {
            mutex: self,
            _task: NotThreadSafe,
        })
    }
}

/// The lock is held until this is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub(crate) struct ObjectGuard<'a> {
    mutex: &'a ObjectMutex,
    _task: NotThreadSafe,
}

impl Drop for ObjectGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: this guard proves that the task holds the lock.
        unsafe { bindings::mutex_unlock(self.mutex.lock.get()) };
    }
}
