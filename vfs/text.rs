// SPDX-License-Identifier: GPL-2.0

//! C strings as the kernel lends them.

use super::bindings;
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
