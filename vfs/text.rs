// SPDX-License-Identifier: GPL-2.0

//! C strings: as the kernel lends them, and our own.

use super::bindings;
use core::ops::Deref;
use kernel::{
    ffi::c_char,
    prelude::*, //
};

/// The C string at `ptr`.
///
/// What `CStr::from_char_ptr()` of the kernel crate does, but with the kernel's `strlen()` and
/// without the check of `core` for a string that fills the address space, which is a panic.
///
/// # Safety
///
/// `ptr` must be a string that ends with a NUL and does not change for `'a`.
pub(super) unsafe fn c_str<'a>(ptr: *const c_char) -> &'a CStr {
    // SAFETY: the caller proves that there is a NUL.
    let len = unsafe { bindings::strlen(ptr) };
    // SAFETY: as strlen() has just read them, NUL included.
    let bytes = unsafe { core::slice::from_raw_parts(ptr.cast::<u8>(), len.wrapping_add(1)) };
    // SAFETY: ends with the first NUL.
    unsafe { CStr::from_bytes_with_nul_unchecked(bytes) }
}

/// A C string that belongs to us, made of its bytes without a copy.
///
/// # Invariants
///
/// The last byte is a NUL, and the only one.
pub(crate) struct Text(KVec<u8>);

impl Text {
    /// The string of these bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL`: there is a NUL among them; `ENOMEM`: there is no room for the one at the end.
    pub(crate) fn new(mut bytes: KVec<u8>) -> Result<Self> {
        bytes.push(0, GFP_KERNEL_ACCOUNT)?;
        CStr::from_bytes_with_nul(&bytes).map_err(|_| EINVAL)?;
        // INVARIANT: Just checked.
        Ok(Self(bytes))
    }

    /// Room for the bytes of a string of this length.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn room(len: usize) -> Result<KVec<u8>> {
        Ok(KVec::with_capacity(
            len.saturating_add(1),
            GFP_KERNEL_ACCOUNT,
        )?)
    }

    /// A copy of a string.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn of(text: &CStr) -> Result<Self> {
        let bytes = text.to_bytes_with_nul();
        let mut room = KVec::with_capacity(bytes.len(), GFP_KERNEL_ACCOUNT)?;
        room.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
        // INVARIANT: As of a C string.
        Ok(Self(room))
    }

    /// A copy of these bytes.
    ///
    /// # Errors
    ///
    /// As [`Text::new`].
    pub(crate) fn copy(bytes: &[u8]) -> Result<Self> {
        let mut room = Self::room(bytes.len())?;
        room.extend_from_slice(bytes, GFP_KERNEL_ACCOUNT)?;
        Self::new(room)
    }
}

impl Deref for Text {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        // SAFETY: By the type invariant.
        unsafe { CStr::from_bytes_with_nul_unchecked(&self.0) }
    }
}
