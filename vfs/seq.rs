// SPDX-License-Identifier: GPL-2.0

//! Writing bytes to a `seq_file`.
//!
//! The kernel crate's [`SeqFile`] formats text; a path in `/proc/mounts` is bytes.
//!
//! C header: [`include/linux/seq_file.h`](srctree/include/linux/seq_file.h)

use super::bindings;
use kernel::seq_file::SeqFile;

/// Appends `bytes` as they are. What does not fit makes the reader come back with a larger
/// buffer.
pub(crate) fn write(file: &SeqFile, bytes: &[u8]) {
    let raw = core::ptr::from_ref(file)
        .cast_mut()
        .cast::<bindings::seq_file>();
    // SAFETY: `SeqFile` is a transparent wrapper of a live `seq_file` that only this thread uses
    // (rust/kernel/seq_file.rs); `bytes` is readable (`seq_write()` in fs/seq_file.c). A failure
    // is remembered in the file.
    let _ = unsafe { bindings::seq_write(raw, bytes.as_ptr().cast(), bytes.len()) };
}
