// SPDX-License-Identifier: GPL-2.0

//! Giving up the private mounts of an overlay together.
//!
//! A mount may only go after a grace period of RCU. [`Unmounting`] makes many of them share one,
//! as `kern_unmount_array()` in `fs/namespace.c` is there for; an overlay has up to 501.

use super::{
    bindings,
    LowerMount,
    PrivateMount,
    UpperMount, //
};
use core::mem::ManuallyDrop;
use kernel::prelude::*;

/// Mounts that are unmounted when this is dropped (sleeps).
///
/// # Invariants
///
/// Each pointer owns a mount that [`PrivateMount`] owned.
pub(crate) struct Unmounting(KVec<*mut bindings::vfsmount>);

// SAFETY: owns mounts, which may be given up in any thread.
unsafe impl Send for Unmounting {}
// SAFETY: has no methods that take a shared reference.
unsafe impl Sync for Unmounting {}

impl Unmounting {
    /// With room for no mount.
    pub(crate) const fn new() -> Self {
        Self(KVec::new())
    }

    /// With room for `count` mounts. Made in good time: giving up must not fail.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(count: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(count, GFP_KERNEL_ACCOUNT)?))
    }

    /// Adds the mount of a lower layer, or unmounts it if there is no room.
    pub(crate) fn add_lower(&mut self, mnt: LowerMount) {
        self.add(mnt.0);
    }

    /// Adds the mount of the upper layer, or unmounts it if there is no room.
    pub(crate) fn add_upper(&mut self, mnt: UpperMount) {
        self.add(mnt.0);
    }

    fn add(&mut self, mnt: PrivateMount) {
        // INVARIANT: the vector takes over what `mnt` owned, which is not dropped then.
        if self.0.push_within_capacity(mnt.0.as_ptr()).is_ok() {
            let _ = ManuallyDrop::new(mnt);
        }
    }
}

impl Drop for Unmounting {
    fn drop(&mut self) {
        // There are at most 501.
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if count != 0 {
            // SAFETY: an array of this many mounts made by clone_private_mount(), by the type
            // invariant; nobody uses them after this.
            unsafe { bindings::kern_unmount_array(self.0.as_mut_ptr(), count) };
        }
    }
}
