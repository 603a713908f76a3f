// SPDX-License-Identifier: GPL-2.0

//! The slab cache that the inodes of our filesystem come from.
//!
//! An object of the cache is an [`InodeBox`]: the private data and the VFS inode in one piece.
//! The VFS inode is initialised once per slab object by a constructor, as the VFS expects
//! (`inode_init_once()` in `fs/inode.c`); the private data is made anew for every inode.
//!
//! C headers: [`include/linux/slab.h`](srctree/include/linux/slab.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    bindings,
    own::{
        FileSystem,
        InodeBox, //
    },
};
use core::{
    mem::size_of,
    ptr::{
        self,
        null_mut,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    ffi::c_void,
    prelude::*,
    types::Opaque, //
};

/// The place of a cache in a [`FsType`](super::register::FsType): empty until the filesystem is
/// registered.
///
/// # Invariants
///
/// The pointer is null or a live cache whose objects have the size and the constructor that
/// [`InodeCache::create`] was asked for.
pub(super) struct InodeCache(AtomicPtr<bindings::kmem_cache>);

impl InodeCache {
    /// No cache yet.
    pub(super) const fn empty() -> Self {
        // INVARIANT: Null.
        Self(AtomicPtr::new(null_mut()))
    }

    /// Makes the cache for the inodes of `F`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn create<F: FileSystem>(&self) -> Result {
        let size = u32::try_from(size_of::<InodeBox<F::Object>>())?;
        // SAFETY: The name is a static string and the constructor one for objects of this size
        // (`kmem_cache_create()` in include/linux/slab.h).
        let cache = unsafe {
            bindings::kmem_cache_create(F::NAME.as_char_ptr(), size, Some(construct::<F::Object>))
        };
        if cache.is_null() {
            return Err(ENOMEM);
        }
        // INVARIANT: Just created with size and constructor of `F`.
        self.0.store(cache, Ordering::Release);
        Ok(())
    }

    /// Gives the cache back. Does nothing if there is none.
    ///
    /// # Safety
    ///
    /// No object of the cache is in use and no callback that frees one is outstanding.
    pub(super) unsafe fn destroy(&self) {
        let cache = self.0.swap(null_mut(), Ordering::AcqRel);
        // SAFETY: Null (which is ignored) or live by the type invariant; unused by contract
        // (`kmem_cache_destroy()` in mm/slab_common.c).
        unsafe { bindings::kmem_cache_destroy(cache) };
    }

    /// The cache.
    fn as_ptr(&self) -> *mut bindings::kmem_cache {
        self.0.load(Ordering::Acquire)
    }
}

/// Constructor of a slab object, which runs once, not for every inode that lives in it.
///
/// # Safety
///
/// Called by the slab allocator for a new object of the size of `InodeBox<T>`.
unsafe extern "C" fn construct<T>(object: *mut c_void) {
    let object = object.cast::<InodeBox<T>>();
    // SAFETY: In bounds of the new object.
    let inode = unsafe { &raw const (*object).inode };
    // SAFETY: Nobody else knows the object yet (`inode_init_once()` in fs/inode.c).
    unsafe { bindings::inode_init_once(Opaque::cast_into(inode)) };
}

/// Takes an object for an inode of `sb`, for `->alloc_inode`. May sleep.
///
/// Its `inode` went through the constructor, its `data` is not initialised. `None` if there is no
/// memory.
///
/// # Safety
///
/// `sb` is a live superblock of the registered filesystem `F`.
pub(super) unsafe fn alloc<F: FileSystem>(
    sb: *mut bindings::super_block,
) -> Option<NonNull<InodeBox<F::Object>>> {
    let cache = F::fs_type().inodes().as_ptr();
    // SAFETY: A superblock exists, so that the filesystem is registered and has its cache
    // (`alloc_inode_sb()` in include/linux/fs.h).
    let object = unsafe { bindings::alloc_inode_sb(sb, cache, bindings::GFP_KERNEL_ACCOUNT) };
    NonNull::new(object.cast())
}

/// Drops the private data of an inode and gives its object back, for `->free_inode`. Does not
/// sleep.
///
/// # Safety
///
/// `object` came from [`alloc`], its `data` was initialised, and nobody uses it any more, RCU
/// readers included.
pub(super) unsafe fn free<F: FileSystem>(object: NonNull<InodeBox<F::Object>>) {
    // SAFETY: In bounds of the object.
    let data = unsafe { &raw mut (*object.as_ptr()).data };
    // SAFETY: Initialised and unused by contract.
    unsafe { ptr::drop_in_place(data) };
    let cache = F::fs_type().inodes().as_ptr();
    // SAFETY: From this cache by contract, and the cache lives until the RCU callbacks that call
    // here have run (`rcu_barrier()` in `Registration::drop`).
    unsafe { bindings::kmem_cache_free(cache, object.as_ptr().cast()) };
}
