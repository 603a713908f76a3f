// SPDX-License-Identifier: GPL-2.0

//! `struct super_operations`: the superblock, and the memory of inodes.

use super::{
    super::{
        bindings,
        inode::FileType,
        own::{
            self,
            FileSystem,
            FsDentry,
            FsSuper,
            InodeBox,
            InodeData, //
        },
        slab,
        stat::StatFs, //
    },
    c_result,
};
use core::{
    convert::Infallible,
    marker::PhantomData,
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings as shared,
    ffi::c_int,
    prelude::*,
    seq_file::SeqFile,
    types::Opaque, //
};

/// The operations on a superblock.
pub(crate) trait SuperOps: FileSystem {
    /// Writes everything that is dirty to the disk; with `wait` unset only starts it.
    ///
    /// # Errors
    ///
    /// Those of syncfs(2).
    fn sync_fs(sb: &FsSuper<Self>, wait: bool) -> Result;

    /// Fills `stat` for the filesystem that has `dentry`.
    ///
    /// # Errors
    ///
    /// Those of statfs(2).
    fn statfs(dentry: &FsDentry<Self>, stat: &mut StatFs) -> Result;

    /// Writes the options of the mount, each after a comma, for /proc/mounts.
    ///
    /// # Errors
    ///
    /// Ends the line; the reader does not see the error.
    fn show_options(file: &SeqFile, root: &FsDentry<Self>) -> Result;
}

/// Makes a `T` at `slot`.
///
/// # Safety
///
/// `slot` points to memory for a `T` that nobody else looks at and that is not moved.
#[inline(always)]
unsafe fn init_at<T>(slot: *mut T, init: impl PinInit<T, Infallible>) {
    // SAFETY: as above. (7.2 has another name for it.)
    #[cfg(ovl_has_pinned_init)]
    let made = unsafe { init.__pinned_init(slot) };
    // SAFETY: as above.
    #[cfg(not(ovl_has_pinned_init))]
    let made = unsafe { init.__init(slot) };
    let Ok(()) = made;
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

impl<F: SuperOps> VTable<F> {
    /// # Safety
    ///
    /// `->alloc_inode`: `sb` is a superblock of `F`.
    unsafe extern "C" fn alloc_inode(sb: *mut bindings::super_block) -> *mut bindings::inode {
        // SAFETY: the caller passes a live superblock of `F`.
        let Some(memory) = (unsafe { slab::alloc::<F>(sb) }) else {
            return ptr::null_mut();
        };
        // SAFETY: in bounds of the new object.
        let data = unsafe { &raw mut (*memory.as_ptr()).data };
        // SAFETY: new memory, which does not move; the VFS sees nothing that is not initialised.
        unsafe { init_at(data, <F::Object as InodeData>::init()) };
        // SAFETY: in bounds of the new object.
        let inode = unsafe { &raw const (*memory.as_ptr()).inode };
        Opaque::cast_into(inode)
    }

    /// # Safety
    ///
    /// `->destroy_inode`: an inode of `F` that nobody has a reference to. May sleep.
    unsafe extern "C" fn destroy_inode(inode: *mut bindings::inode) {
        // SAFETY: the inode is ours; type bits do not change.
        let mode = unsafe { (*inode).i_mode };
        // SAFETY: walkers under RCU may still read the data, which is only dropped by
        // `free_inode`.
        let object = unsafe { own::object::<F>(inode) };
        object.release(FileType::from_mode(mode) == FileType::Directory);
    }

    /// # Safety
    ///
    /// `->free_inode`: an inode of `F` after a grace period. Must not sleep.
    unsafe extern "C" fn free_inode(inode: *mut bindings::inode) {
        let offset = offset_of!(InodeBox<F::Object>, inode);
        // SAFETY: every inode of `F` is the `inode` of an `InodeBox` (`alloc_inode`).
        let memory = unsafe { inode.byte_sub(offset) };
        if let Some(memory) = NonNull::new(memory.cast()) {
            // SAFETY: from `alloc_inode`, and nobody reads it any more (fs/inode.c, i_callback()).
            unsafe { slab::free::<F>(memory) };
        }
    }

    /// # Safety
    ///
    /// `->put_super`: the superblock of `F` is going away, all its inodes are gone.
    unsafe extern "C" fn put_super(sb: *mut bindings::super_block) {
        // SAFETY: the caller passes a live superblock.
        let data = unsafe { (*sb).s_fs_info };
        // SAFETY: as above; nobody else uses it.
        unsafe { (*sb).s_fs_info = ptr::null_mut() };
        if !data.is_null() {
            // SAFETY: installed by `SuperSetup::set_data`, taken back once (fs/super.c,
            // generic_shutdown_super()).
            drop(unsafe { KBox::<F::Mount>::from_raw(data.cast()) });
        }
    }

    /// # Safety
    ///
    /// `->sync_fs`: the superblock of `F` is filled and active.
    unsafe extern "C" fn sync_fs(sb: *mut bindings::super_block, wait: c_int) -> c_int {
        // SAFETY: the caller holds the superblock.
        let sb = unsafe { FsSuper::<F>::from_raw(sb) };
        c_result(F::sync_fs(sb, wait != 0))
    }

    /// # Safety
    ///
    /// `->statfs`: the caller holds the dentry; `stat` is exclusive.
    unsafe extern "C" fn statfs(
        dentry: *mut bindings::dentry,
        stat: *mut shared::kstatfs,
    ) -> c_int {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller passes a structure of its own.
        let stat = unsafe { StatFs::from_raw(stat.cast()) };
        c_result(F::statfs(dentry, stat))
    }

    /// # Safety
    ///
    /// `->show_options`: the caller holds the dentry; `file` is exclusive.
    unsafe extern "C" fn show_options(
        file: *mut bindings::seq_file,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: the caller passes a live file.
        let file = unsafe { SeqFile::from_raw(file) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        c_result(F::show_options(file, dentry))
    }

    /// Superblocks.
    pub(super) const TABLE: bindings::super_operations = bindings::super_operations {
        alloc_inode: Some(Self::alloc_inode),
        free_inode: Some(Self::free_inode),
        destroy_inode: Some(Self::destroy_inode),
        // Inodes are not kept for reuse once they have no reference: the layers cache theirs.
        drop_inode: Some(bindings::inode_just_drop),
        put_super: Some(Self::put_super),
        sync_fs: Some(Self::sync_fs),
        statfs: Some(Self::statfs),
        show_options: Some(Self::show_options),
        ..pin_init::zeroed()
    };
}
