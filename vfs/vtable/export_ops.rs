// SPDX-License-Identifier: GPL-2.0

//! `struct export_operations`: file handles of the filesystem's objects.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::{
    super::{
        bindings,
        own::{
            FileSystem,
            FsDentry,
            FsInode,
            FsSuper, //
        },
    },
    buffer, bytes,
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*,
    sync::aref::ARef, //
};

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

    /// Finds the object of a file handle of this type. A directory is connected: its parents are
    /// known. `None`: there is no such object.
    ///
    /// # Errors
    ///
    /// Any: who asks for it learns `ESTALE`.
    fn fh_to_dentry(
        sb: &FsSuper<Self>,
        handle: &[u8],
        kind: u8,
    ) -> Result<Option<ARef<FsDentry<Self>>>>;

    /// Why the parent of an object cannot be told from its file handle.
    fn fh_to_parent(sb: &FsSuper<Self>) -> Error;

    /// Why the name of a directory cannot be told.
    fn get_name(parent: &FsDentry<Self>) -> Error;

    /// Why the parent of a directory cannot be told.
    fn get_parent(child: &FsDentry<Self>) -> Error;
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

    /// # Safety
    ///
    /// `->fh_to_dentry`: the superblock is active, and `fid` has `len` words.
    unsafe extern "C" fn fh_to_dentry(
        sb: *mut bindings::super_block,
        fid: *mut bindings::fid,
        len: c_int,
        kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: the caller has a mount of the superblock.
        let sb = unsafe { FsSuper::<F>::from_raw(sb) };
        let words = usize::try_from(len).unwrap_or(0);
        // SAFETY: the caller passes a handle of its own (fs/exportfs/expfs.c,
        // exportfs_decode_fh_raw()).
        let handle = unsafe { bytes(fid.cast(), words.saturating_mul(WORD)) };
        let Ok(kind) = u8::try_from(kind) else {
            return EINVAL.to_ptr();
        };
        match F::fh_to_dentry(sb, handle, kind) {
            Ok(Some(dentry)) => ARef::into_raw(dentry).as_ptr().cast(),
            Ok(None) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// `->fh_to_parent`: the superblock is active.
    unsafe extern "C" fn fh_to_parent(
        sb: *mut bindings::super_block,
        _fid: *mut bindings::fid,
        _len: c_int,
        _kind: c_int,
    ) -> *mut bindings::dentry {
        // SAFETY: the caller has a mount of the superblock.
        F::fh_to_parent(unsafe { FsSuper::<F>::from_raw(sb) }).to_ptr()
    }

    /// # Safety
    ///
    /// `->get_name`: the caller holds the dentries.
    unsafe extern "C" fn get_name(
        parent: *mut bindings::dentry,
        _name: *mut c_char,
        _child: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: the caller holds the dentry.
        F::get_name(unsafe { FsDentry::<F>::from_raw(parent) }).to_errno()
    }

    /// # Safety
    ///
    /// `->get_parent`: the caller holds the dentry.
    unsafe extern "C" fn get_parent(child: *mut bindings::dentry) -> *mut bindings::dentry {
        // SAFETY: the caller holds the dentry.
        F::get_parent(unsafe { FsDentry::<F>::from_raw(child) }).to_ptr()
    }

    /// File handles that name an object, but do not lead to it.
    pub(super) const FIDS: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(Self::encode_fh),
        ..pin_init::zeroed()
    };

    /// File handles that lead to an object.
    pub(super) const HANDLES: bindings::export_operations = bindings::export_operations {
        encode_fh: Some(Self::encode_fh),
        fh_to_dentry: Some(Self::fh_to_dentry),
        fh_to_parent: Some(Self::fh_to_parent),
        get_name: Some(Self::get_name),
        get_parent: Some(Self::get_parent),
        ..pin_init::zeroed()
    };
}
