// SPDX-License-Identifier: GPL-2.0

//! A superblock of our filesystem that is being filled.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    super::{
        inode::Inode,
        super_block::SuperBlock,
        vtable::Tables, //
    },
    bindings,
    find_inode,
    iget,
    FileSystem,
    FsDentry,
    FsInode,
    FsSuper,
    Iget, //
};
use crate::vfs::errno::ELOOP;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    alloc::KBox,
    prelude::*,
    sync::aref::ARef, //
};

/// A superblock of `F` that is being filled: nobody else knows it.
pub(crate) struct SuperSetup<'sb, F: FileSystem> {
    sb: &'sb SuperBlock,
    _filesystem: PhantomData<fn() -> F>,
}

impl<'sb, F: FileSystem> SuperSetup<'sb, F> {
    /// # Safety
    ///
    /// `ptr` must be a superblock of `F` that get_tree_nodev() hands to its callback: locked,
    /// unknown to others, with `s_fs_info` null; for `'sb`.
    pub(in crate::vfs) unsafe fn from_raw(ptr: *mut bindings::super_block) -> Self {
        Self {
            // SAFETY: as above.
            sb: unsafe { SuperBlock::from_raw(ptr) },
            _filesystem: PhantomData,
        }
    }

    fn raw(&self) -> *mut bindings::super_block {
        self.sb.as_ptr()
    }

    /// The superblock, as far as it is filled.
    pub(crate) fn sb(&self) -> &'sb SuperBlock {
        self.sb
    }

    /// Installs the operations, before any inode is made.
    pub(crate) fn set_tables(&mut self, tables: &'static Tables<F>) {
        // SAFETY: ours to write; the tables are those of `F`.
        unsafe { tables.install_super(self.raw()) };
    }

    /// Lets objects have file handles; `decodable`: ones that lead to them.
    pub(crate) fn set_export(&mut self, tables: &'static Tables<F>, decodable: bool) {
        // SAFETY: ours to write; the tables are those of `F`.
        unsafe { tables.install_export(self.raw(), decodable) };
    }

    /// Sets magic number, limits and flags that every overlay has.
    pub(crate) fn set_basics(&mut self) {
        let sb = self.raw();
        // SAFETY: ours to write.
        unsafe { (*sb).s_magic = bindings::OVERLAYFS_SUPER_MAGIC as usize };
        // SAFETY: as above.
        unsafe { (*sb).s_maxbytes = bindings::MAX_LFS_FILESIZE };
        // SAFETY: as above.
        unsafe { (*sb).s_time_gran = 1 };
        // SAFETY: as above.
        unsafe { (*sb).s_flags |= bindings::SB_POSIXACL };
        let iflags =
            bindings::SB_I_SKIP_SYNC | bindings::SB_I_NOUMASK | bindings::SB_I_EVM_HMAC_UNSUPPORTED;
        // SAFETY: as above.
        unsafe { (*sb).s_iflags |= iflags };
    }

    /// How many filesystems are stacked, this one included.
    pub(crate) fn set_stack_depth(&mut self, depth: i32) {
        // SAFETY: ours to write.
        unsafe { (*self.raw()).s_stack_depth = depth };
    }

    /// Makes it read-only.
    pub(crate) fn set_readonly(&mut self) {
        // SAFETY: ours to write.
        unsafe { (*self.raw()).s_flags |= bindings::SB_RDONLY };
    }

    /// Files without security attributes are remembered as such.
    pub(crate) fn set_nosec(&mut self) {
        // SAFETY: ours to write.
        unsafe { (*self.raw()).s_flags |= bindings::SB_NOSEC };
    }

    /// Sets the UUID.
    pub(crate) fn set_uuid(&mut self, uuid: &[u8; 16]) {
        let mut value: bindings::uuid_t = pin_init::zeroed();
        value.b = *uuid;
        // SAFETY: ours to write.
        unsafe { (*self.raw()).s_uuid = value };
        // SAFETY: as above.
        unsafe { (*self.raw()).s_uuid_len = 16 };
    }

    /// Compares names without case, by the encoding of `from`.
    pub(crate) fn set_encoding_of(&mut self, from: &SuperBlock) {
        // SAFETY: ours to write; encodings are static.
        unsafe { bindings::sb_set_encoding(self.raw(), from.as_ptr()) };
    }

    /// A trap for the root of a layer (see [`super::NewInode::make_trap`]).
    ///
    /// # Errors
    ///
    /// `ELOOP` if another layer has the same root; `ENOMEM`.
    pub(crate) fn trap(&self, key: &Inode) -> Result<ARef<FsInode<F>>> {
        match iget::<F>(self.raw(), key, None)? {
            Iget::Existing(_) => Err(ELOOP),
            Iget::New(new) => Ok(new.make_trap()),
        }
    }

    /// Is there a trap for `key`?
    pub(crate) fn has_trap(&self, key: &Inode) -> bool {
        find_inode::<F>(self.raw(), key).is_some_and(|inode| inode.is_dead_dir())
    }

    /// Gives the superblock what it owns; from now on it is one of `F`.
    pub(crate) fn set_data(self, data: KBox<F::Mount>) -> FilledSuper<'sb, F> {
        // SAFETY: ours to write; ->put_super or `abandon` takes it back.
        unsafe { (*self.raw()).s_fs_info = KBox::into_raw(data).cast() };
        FilledSuper {
            // SAFETY: `s_fs_info` is set.
            sb: unsafe { FsSuper::from_raw(self.raw()) },
        }
    }
}

/// A superblock that has all but a root.
pub(crate) struct FilledSuper<'sb, F: FileSystem> {
    sb: &'sb FsSuper<F>,
}

impl<'sb, F: FileSystem> FilledSuper<'sb, F> {
    /// The superblock. [`FsSuper::root`] is not to be asked yet.
    pub(crate) fn sb(&self) -> &'sb FsSuper<F> {
        self.sb
    }

    /// Makes the root.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn set_root(self, inode: ARef<FsInode<F>>) -> Result<&'sb FsDentry<F>> {
        let inode = ARef::into_raw(inode);
        // SAFETY: takes the reference, also when it fails (fs/dcache.c).
        let root = unsafe { bindings::d_make_root(inode.as_ptr().cast()) };
        let root = NonNull::new(root).ok_or(ENOMEM)?;
        // SAFETY: ours to write; the superblock owns the count.
        unsafe { (*self.sb.as_ptr()).s_root = root.as_ptr() };
        // SAFETY: the superblock keeps its root.
        Ok(unsafe { FsDentry::from_raw(root.as_ptr()) })
    }
}

/// Takes back and drops what a superblock owns that was not filled to the end. (One that has a
/// root is dropped by ->put_super.)
///
/// # Safety
///
/// `sb` must be a superblock of `F` whose filling failed, still locked.
pub(in crate::vfs) unsafe fn abandon<F: FileSystem>(sb: *mut bindings::super_block) {
    // SAFETY: the caller proves that `sb` is ours.
    let root = unsafe { (*sb).s_root };
    // SAFETY: as above.
    let data = unsafe { (*sb).s_fs_info };
    if root.is_null() && !data.is_null() {
        // SAFETY: as above.
        unsafe { (*sb).s_fs_info = core::ptr::null_mut() };
        // SAFETY: set by `SuperSetup::set_data`.
        drop(unsafe { KBox::<F::Mount>::from_raw(data.cast()) });
    }
}
