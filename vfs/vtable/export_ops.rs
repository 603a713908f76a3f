// SPDX-License-Identifier: GPL-2.0

//! `struct export_operations`: file handles of the filesystem's objects.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::{
    super::{
        bindings,
        own::{
            FileSystem,
            FsInode, //
        },
    },
    buffer,
};
use core::marker::PhantomData;
use kernel::ffi::c_int;

/// File handles are counted in words of this many bytes.
const WORD: usize = 4;

/// A file handle that was made.
pub(crate) struct Encoded {
    /// Its type.
    pub(crate) kind: u8,
    /// Its length in bytes. If the buffer is shorter, nothing was written: the caller learns how
    /// much room it has to give.
    pub(crate) len: usize,
}

/// The file handles of a filesystem.
pub(crate) trait ExportOps: FileSystem {
    /// Writes the file handle of `inode` to `buf`. With `parent` it is to lead to that directory,
    /// too.
    ///
    /// `None`: there is no such handle. May sleep.
    fn encode_fh(
        inode: &FsInode<Self>,
        parent: Option<&FsInode<Self>>,
        buf: &mut [u8],
    ) -> Option<Encoded>;
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

impl<F: ExportOps> VTable<F> {
    /// # Safety
    ///
    /// `->encode_fh`: the inodes are held; `fh` has room for `max_len` words, and is not looked at
    /// if that is 0.
    unsafe extern "C" fn encode_fh(
        inode: *mut bindings::inode,
        fh: *mut u32,
        max_len: *mut c_int,
        parent: *mut bindings::inode,
    ) -> c_int {
        const INVALID: c_int = bindings::fid_type_FILEID_INVALID as c_int;

        // SAFETY: the caller holds the inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: the caller holds the parent, if it is given.
        let parent = (!parent.is_null()).then(|| unsafe { FsInode::<F>::from_raw(parent) });
        // SAFETY: the caller passes a length of its own.
        let words = usize::try_from(unsafe { *max_len }).unwrap_or(0);
        // SAFETY: the caller has room for so many words (fs/exportfs/expfs.c,
        // exportfs_encode_inode_fh()).
        let buf = unsafe { buffer(fh.cast(), words.saturating_mul(WORD)) };

        let Some(made) = F::encode_fh(inode, parent, buf) else {
            return INVALID;
        };
        let Ok(needed) = c_int::try_from(made.len.div_ceil(WORD)) else {
            return INVALID;
        };
        // SAFETY: as above.
        unsafe { *max_len = needed };
        if made.len > buf.len() {
            return INVALID;
        }
        c_int::from(made.kind)
    }

    /// File handles that name an object, but do not lead to it.
    pub(super) const FIDS: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(Self::encode_fh),
        ..pin_init::zeroed()
    };
}
