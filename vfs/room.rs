// SPDX-License-Identifier: GPL-2.0

//! Buffers that C lends to be written. What was in them before is nobody's business: often memory
//! that was never written, which must not be read and need not be cleared.

use super::{
    bindings,
    cred::Mounter,
    errno::ssize,
    mount::RealPath, //
};
use core::mem::MaybeUninit;
use kernel::{
    ffi::c_void,
    prelude::*, //
};

/// A buffer for an answer; an empty one asks how long that would be.
pub(crate) struct Room<'a>(&'a mut [MaybeUninit<u8>]);

impl<'a> Room<'a> {
    /// Borrows a buffer of C's; a null pointer is an empty one.
    ///
    /// # Safety
    ///
    /// `ptr` must have `len` writable bytes that nobody else uses for `'a`, unless `len` is 0 or
    /// `ptr` null.
    pub(super) unsafe fn from_raw(ptr: *mut c_void, len: usize) -> Self {
        if len == 0 || ptr.is_null() {
            return Self(&mut []);
        }
        // SAFETY: the caller proves it; nothing is assumed about what is in the bytes.
        Self(unsafe { core::slice::from_raw_parts_mut(ptr.cast(), len) })
    }

    /// The buffer as C wants it: null if it is empty.
    fn as_ptr(&mut self) -> *mut c_void {
        if self.0.is_empty() {
            core::ptr::null_mut()
        } else {
            self.0.as_mut_ptr().cast()
        }
    }

    /// The first `len` bytes, or nothing if there are fewer.
    ///
    /// # Safety
    ///
    /// They must have been written.
    unsafe fn written(self, len: usize) -> &'a mut [u8] {
        let Some(bytes) = self.0.get_mut(..len) else {
            return &mut [];
        };
        let bytes: *mut [MaybeUninit<u8>] = bytes;
        // SAFETY: exclusive for `'a`, and initialised, as the caller proves.
        unsafe { &mut *(bytes as *mut [u8]) }
    }
}

impl RealPath<'_> {
    /// An extended attribute, or its length. Every error as the filesystem gives it.
    pub(crate) fn getxattr_to(
        &self,
        _: &Mounter<'_>,
        name: &CStr,
        room: &mut Room<'_>,
    ) -> Result<usize> {
        let (buf, len) = (room.as_ptr(), room.0.len());
        // SAFETY: all arguments are live; at most `len` bytes are written.
        let n = unsafe {
            bindings::vfs_getxattr(
                self.idmap().as_ptr(),
                self.dentry().as_ptr(),
                name.as_char_ptr(),
                buf,
                len,
            )
        };
        ssize(n)
    }

    /// The names of the extended attributes, each ended by a NUL, and how long they are together;
    /// with an empty `room` only that.
    pub(crate) fn listxattr_to<'r>(
        &self,
        _: &Mounter<'_>,
        mut room: Room<'r>,
    ) -> Result<(usize, &'r mut [u8])> {
        let (buf, len) = (room.as_ptr(), room.0.len());
        // SAFETY: the dentry is live; at most `len` bytes are written.
        let n = unsafe { bindings::vfs_listxattr(self.dentry().as_ptr(), buf.cast(), len) };
        let n = ssize(n)?;
        // SAFETY: vfs_listxattr() returns how many bytes it wrote, unless the buffer is empty.
        Ok((n, unsafe { room.written(n) }))
    }
}
