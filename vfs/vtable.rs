// SPDX-License-Identifier: GPL-2.0

//! The operations of a filesystem: traits that policy implements, and the tables of C functions
//! that the VFS calls.
//!
//! There is one trait for each table of C. A *trampoline* is the C function in a table: it turns
//! the raw arguments into typed ones, calls the method and turns the result back, and decides
//! nothing else but which method an RCU walk goes to. The tables are those of the in-tree overlay,
//! operation for operation: what is null there is null here, because the VFS behaves otherwise
//! where an operation exists.
//!
//! [`Tables`] is the set of them that a mount uses. Policy never compares tables.
//!
//! Reference: Documentation/filesystems/vfs.rst, Documentation/filesystems/locking.rst

mod dentry_ops;
mod dir_file_ops;
mod export_ops;
mod file_ops;
mod inode_ops;
mod super_ops;
mod xattr_ops;

pub(crate) use self::{
    dentry_ops::DentryOps,
    dir_file_ops::DirFileOps,
    export_ops::{
        Encoded,
        ExportOps, //
    },
    file_ops::FileOps,
    inode_ops::{
        DirOps,
        FiemapInfo,
        InodeOps, //
    },
    super_ops::SuperOps,
    xattr_ops::XattrOps, //
};

use super::{
    bindings,
    file::IoHooks,
    inode::{
        Dev,
        FileType, //
    },
    own::FileSystem, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::{
        c_int,
        c_long,
        c_void, //
    },
    prelude::*, //
};

/// Everything that a filesystem implements to have [`Tables`].
pub(crate) trait Operations:
    FileSystem
    + DirOps
    + InodeOps
    + XattrOps
    + FileOps
    + DirFileOps
    + DentryOps
    + SuperOps
    + ExportOps
    + IoHooks
{
}

impl<F> Operations for F where
    F: FileSystem
        + DirOps
        + InodeOps
        + XattrOps
        + FileOps
        + DirFileOps
        + DentryOps
        + SuperOps
        + ExportOps
        + IoHooks
{
}

/// The tables of a mount of `F`.
///
/// # Invariants
///
/// Every table is made from the trampolines of `F`.
pub(crate) struct Tables<F> {
    dir_inode: &'static bindings::inode_operations,
    file_inode: &'static bindings::inode_operations,
    symlink_inode: &'static bindings::inode_operations,
    special_inode: &'static bindings::inode_operations,
    dir: &'static bindings::file_operations,
    file: &'static bindings::file_operations,
    mapping: &'static bindings::address_space_operations,
    dentry: &'static bindings::dentry_operations,
    super_: &'static bindings::super_operations,
    xattr: &'static xattr_ops::Handlers,
    export_fids: &'static bindings::export_operations,
    export_handles: &'static bindings::export_operations,
    _filesystem: PhantomData<fn() -> F>,
}

// SAFETY: the tables are constants that nobody changes.
unsafe impl<F> Send for Tables<F> {}
// SAFETY: as above.
unsafe impl<F> Sync for Tables<F> {}

impl<F: Operations> Tables<F> {
    /// The private attributes are `trusted.*`, names are compared byte by byte.
    const TRUSTED: Self = Self {
        dir_inode: &inode_ops::VTable::<F>::DIR,
        file_inode: &inode_ops::VTable::<F>::FILE,
        symlink_inode: &inode_ops::VTable::<F>::SYMLINK,
        special_inode: &inode_ops::VTable::<F>::SPECIAL,
        dir: &dir_file_ops::VTable::<F>::TABLE,
        file: &file_ops::VTable::<F>::TABLE,
        mapping: &file_ops::MAPPING,
        dentry: &dentry_ops::VTable::<F>::PLAIN,
        super_: &super_ops::VTable::<F>::TABLE,
        xattr: &xattr_ops::VTable::<F>::TRUSTED,
        export_fids: &export_ops::VTable::<F>::FIDS,
        export_handles: &export_ops::VTable::<F>::HANDLES,
        _filesystem: PhantomData,
    };

    /// The private attributes are `user.*`, names are compared byte by byte.
    const USER: Self = Self {
        xattr: &xattr_ops::VTable::<F>::USER,
        ..Self::TRUSTED
    };

    /// The private attributes are `trusted.*`, names are compared without case.
    const TRUSTED_CASEFOLD: Self = Self {
        dentry: &dentry_ops::VTable::<F>::CASEFOLD,
        ..Self::TRUSTED
    };

    /// The private attributes are `user.*`, names are compared without case.
    const USER_CASEFOLD: Self = Self {
        dentry: &dentry_ops::VTable::<F>::CASEFOLD,
        ..Self::USER
    };

    /// The tables for a mount whose private attributes are `user.*` (or `trusted.*`), and whose
    /// layers compare names without case (or not).
    pub(crate) fn choose(user_xattr: bool, casefold: bool) -> &'static Self {
        match (user_xattr, casefold) {
            (false, false) => &Self::TRUSTED,
            (true, false) => &Self::USER,
            (false, true) => &Self::TRUSTED_CASEFOLD,
            (true, true) => &Self::USER_CASEFOLD,
        }
    }
}

impl<F: FileSystem> Tables<F> {
    /// Gives a new inode the operations of its type.
    ///
    /// # Safety
    ///
    /// `inode` must be an inode of `F` that is not published.
    pub(super) unsafe fn install(&self, inode: *mut bindings::inode, mode: u16, rdev: Dev) {
        let kind = FileType::from_mode(mode);
        let (inode_operations, file_operations) = match kind {
            FileType::Regular => (self.file_inode, Some(self.file)),
            FileType::Directory => (self.dir_inode, Some(self.dir)),
            FileType::Symlink => (self.symlink_inode, None),
            _ => (self.special_inode, None),
        };
        // SAFETY: the inode is ours to write.
        unsafe { (*inode).i_op = inode_operations };
        if let Some(operations) = file_operations {
            // SAFETY: as above.
            let union = unsafe { &raw mut (*inode).__bindgen_anon_3 };
            // SAFETY: as above; a union of two pointers, of which a live inode uses `i_fop`.
            unsafe {
                union
                    .cast::<*const bindings::file_operations>()
                    .write(operations)
            };
        } else if kind != FileType::Symlink {
            // SAFETY: the inode is ours to write; sets the operations of a device, fifo or socket
            // (fs/inode.c, init_special_inode()).
            unsafe { bindings::init_special_inode(inode, mode, rdev.to_raw()) };
        }
        if kind == FileType::Regular {
            // SAFETY: a new inode has its own mapping.
            let mapping = unsafe { (*inode).i_mapping };
            // SAFETY: as above; nobody else uses it yet.
            unsafe { (*mapping).a_ops = self.mapping };
        }
    }

    /// Gives a superblock its operations: its own, the default ones of its dentries, and the
    /// handlers of extended attributes.
    ///
    /// # Safety
    ///
    /// `sb` must be a superblock of `F` that is being filled and has no dentry yet.
    pub(super) unsafe fn install_super(&self, sb: *mut bindings::super_block) {
        // SAFETY: the superblock is ours to write.
        unsafe { (*sb).s_op = self.super_ };
        // SAFETY: as above (fs/dcache.c, set_default_d_op()).
        unsafe { bindings::set_default_d_op(sb, self.dentry) };
        // SAFETY: the superblock is ours to write.
        unsafe { (*sb).s_xattr = self.xattr.as_ptr() };
    }

    /// Gives a superblock the operations of its file handles; `decodable`: they lead to the objects.
    ///
    /// # Safety
    ///
    /// `sb` must be a superblock of `F` that is being filled.
    pub(super) unsafe fn install_export(&self, sb: *mut bindings::super_block, decodable: bool) {
        let operations: *const bindings::export_operations = match decodable {
            true => self.export_handles,
            false => self.export_fids,
        };
        // SAFETY: the superblock is ours to write.
        unsafe { (*sb).s_export_op = operations.cast() };
    }
}

/// The operations of a superblock of `F`, for one that is about to be filled.
pub(super) fn super_ops<F: SuperOps>() -> &'static bindings::super_operations {
    &super_ops::VTable::<F>::TABLE
}

// --- results ---------------------------------------------------------------------------------

/// 0 or a negative errno.
fn c_result(result: Result) -> c_int {
    match result {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

/// As [`c_result`], in a `long`.
fn c_result_long(result: Result) -> c_long {
    // On every 64 bit machine a `long` is an `isize`.
    match result {
        Ok(()) => 0,
        Err(error) => errno_isize(error),
    }
}

/// A byte count or a negative errno.
fn c_len(result: Result<usize>) -> isize {
    match result {
        Ok(len) => isize::try_from(len).unwrap_or(isize::MAX),
        Err(error) => errno_isize(error),
    }
}

/// A byte count or a negative errno, in an `int`.
fn c_len_int(result: Result<usize>) -> c_int {
    match result {
        Ok(len) => c_int::try_from(len).unwrap_or(c_int::MAX),
        Err(error) => error.to_errno(),
    }
}

/// A position or a negative errno.
fn c_pos(result: Result<i64>) -> bindings::loff_t {
    match result {
        Ok(pos) => pos,
        Err(error) => i64::from(error.to_errno()),
    }
}

fn errno_isize(error: Error) -> isize {
    isize::try_from(error.to_errno()).unwrap_or(isize::MIN)
}

// --- buffers ---------------------------------------------------------------------------------

/// Bytes that C lends.
///
/// # Safety
///
/// `ptr` must have `len` readable bytes that nobody changes for `'a`, unless `len` is 0.
unsafe fn bytes<'a>(ptr: *const c_void, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the caller proves it.
    unsafe { core::slice::from_raw_parts(ptr.cast(), len) }
}

/// A buffer that C lends, zeroed: callers pass memory that was never written.
///
/// # Safety
///
/// `ptr` must have `len` writable bytes that nobody else uses for `'a`, unless `len` is 0.
unsafe fn buffer<'a>(ptr: *mut c_void, len: usize) -> &'a mut [u8] {
    if len == 0 || ptr.is_null() {
        return &mut [];
    }
    let ptr = ptr.cast::<u8>();
    // SAFETY: the caller proves that the bytes can be written.
    unsafe { ptr.write_bytes(0, len) };
    // SAFETY: as above, and they are initialised now.
    unsafe { core::slice::from_raw_parts_mut(ptr, len) }
}
