// SPDX-License-Identifier: GPL-2.0

//! Names of our filesystem, and what the VFS promises about them while an operation runs.
//!
//! C headers: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{
    super::dentry::{
        self,
        Dentry,
        NameSnapshot, //
    },
    bindings,
    FileSystem,
    FsInode,
    FsSuper, //
};
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull,
    sync::atomic::{
        AtomicUsize,
        Ordering::{
            AcqRel,
            Acquire, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    }, //
};

/// What is remembered about a name: bits in `d_fsdata`, so that a name needs no memory of its
/// own.
#[repr(transparent)]
pub(crate) struct EntryFlags(AtomicUsize);

impl EntryFlags {
    /// Is the bit `bit` (a mask) set?
    pub(crate) fn test(&self, bit: usize) -> bool {
        self.0.load(Acquire) & bit != 0
    }

    /// Sets the bits of `bit` (a mask).
    pub(crate) fn set(&self, bit: usize) {
        self.0.fetch_or(bit, AcqRel);
    }
}

/// A dentry of the filesystem `F`.
///
/// # Invariants
///
/// Its superblock is one of `F`; whoever holds a `&FsDentry` keeps its reference count above
/// zero for that long.
#[repr(transparent)]
pub(crate) struct FsDentry<F: FileSystem> {
    dentry: Dentry,
    _filesystem: PhantomData<fn() -> F>,
}

impl<F: FileSystem> Deref for FsDentry<F> {
    type Target = Dentry;

    fn deref(&self) -> &Dentry {
        &self.dentry
    }
}

// SAFETY: counts like the dentry that it is.
unsafe impl<F: FileSystem> AlwaysRefCounted for FsDentry<F> {
    fn inc_ref(&self) {
        self.dentry.inc_ref();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a count back.
        unsafe { Dentry::dec_ref(obj.cast()) };
    }
}

impl<F: FileSystem> FsDentry<F> {
    /// Borrows a C dentry.
    ///
    /// # Safety
    ///
    /// `ptr` must be a dentry of `F`, with a count that is held for `'a`.
    pub(in crate::vfs) unsafe fn from_raw<'a>(ptr: *mut bindings::dentry) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C dentry.
    pub(in crate::vfs) fn as_raw(&self) -> *mut bindings::dentry {
        self.dentry.as_ptr()
    }

    /// The object that the name stands for; `None` if the dentry is negative.
    pub(crate) fn inode(&self) -> Option<&FsInode<F>> {
        let inode = self.dentry.inode()?;
        // SAFETY: an inode of a dentry of `F` is one of `F`.
        Some(unsafe { FsInode::from_raw(inode.as_ptr()) })
    }

    /// The object, or `ENOENT` for a negative dentry.
    pub(crate) fn object(&self) -> Result<&FsInode<F>> {
        self.inode().ok_or(ENOENT)
    }

    /// The superblock.
    pub(crate) fn super_(&self) -> &FsSuper<F> {
        // SAFETY: by the type invariant.
        unsafe { FsSuper::from_raw(self.sb().as_ptr()) }
    }

    /// The parent at this moment.
    pub(crate) fn parent(&self) -> ARef<FsDentry<F>> {
        let parent = ARef::into_raw(self.dentry.parent());
        // SAFETY: the parent is of the same superblock; the count moves along.
        unsafe { ARef::from_raw(parent.cast()) }
    }

    /// Calls `f` with the name that the dentry has in `parent`; `None` if it is in another
    /// directory by now.
    ///
    /// The name and the directory cannot change while `f` runs, which must not sleep.
    pub(crate) fn with_name_in<R>(&self, parent: &Dentry, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let raw = self.as_raw();
        // SAFETY: the dentry is live.
        unsafe { bindings::d_lock(raw) };
        // SAFETY: d_parent is stable under d_lock (fs/dcache.c, __d_move()).
        let same = core::ptr::eq(unsafe { (*raw).d_parent }, parent.as_ptr());
        // SAFETY: the dentry is live.
        let qstr = unsafe { bindings::d_name(raw) };
        // SAFETY: as d_parent, the name is stable under d_lock.
        let result = same.then(|| f(unsafe { dentry::qstr_bytes(qstr) }));
        // SAFETY: taken above.
        unsafe { bindings::d_unlock(raw) };
        result
    }

    /// Looks up a name in this directory, which is not locked. The result may be negative.
    ///
    /// # Errors
    ///
    /// Those of ->lookup.
    pub(crate) fn lookup_child_unlocked(&self, name: &NameSnapshot) -> Result<ARef<FsDentry<F>>> {
        let mut name = dentry::qstr(name.name())?;
        // SAFETY: all arguments are live; the function hashes the name itself.
        let found = unsafe { bindings::lookup_noperm_unlocked(&mut name, self.as_raw()) };
        // SAFETY: returns a counted dentry or an error.
        let found = ARef::into_raw(unsafe { dentry::owned(found) }?);
        // SAFETY: a name in a directory of `F` is one of `F`; the count moves along.
        Ok(unsafe { ARef::from_raw(found.cast()) })
    }

    /// What is remembered about the name.
    pub(crate) fn entry_flags(&self) -> &EntryFlags {
        // SAFETY: projecting a field of a live dentry.
        let field = unsafe { &raw mut (*self.as_raw()).d_fsdata };
        // SAFETY: d_fsdata belongs to the filesystem, which only accesses it through this type;
        // a pointer and a word have the same representation.
        unsafe { &*field.cast::<EntryFlags>() }
    }

    /// Makes a negative dentry stand for `inode`, whose reference it takes. Needs the parent's
    /// i_rwsem.
    pub(crate) fn instantiate(&self, inode: ARef<FsInode<F>>) {
        let inode = ARef::into_raw(inode);
        // SAFETY: the caller's parent lock keeps the dentry negative; the reference moves.
        unsafe { bindings::d_instantiate(self.as_raw(), inode.as_ptr().cast()) };
    }

    /// Does the VFS have to ask whether the name is still valid (`revalidate`), and whether an
    /// object reached by a jump is (`weak`)?
    pub(crate) fn set_reval_flags(&self, revalidate: bool, weak: bool) {
        let mut flags = 0;
        if revalidate {
            flags |= bindings::DCACHE_OP_REVALIDATE;
        }
        if weak {
            flags |= bindings::DCACHE_OP_WEAK_REVALIDATE;
        }
        // SAFETY: takes d_lock.
        unsafe {
            bindings::d_set_flags(
                self.as_raw(),
                flags,
                bindings::DCACHE_OP_REVALIDATE | bindings::DCACHE_OP_WEAK_REVALIDATE,
            )
        };
    }
}

/// A name whose parent directory is locked: the argument of lookup, creation, removal and
/// renaming. Its name and its parent cannot change.
pub(crate) struct Child<'a, F: FileSystem> {
    dentry: &'a FsDentry<F>,
}

impl<F: FileSystem> Clone for Child<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystem> Copy for Child<'_, F> {}

impl<F: FileSystem> Deref for Child<'_, F> {
    type Target = FsDentry<F>;

    fn deref(&self) -> &FsDentry<F> {
        self.dentry
    }
}

impl<'a, F: FileSystem> Child<'a, F> {
    /// # Safety
    ///
    /// `ptr` must be a dentry of `F` whose parent's i_rwsem is held for `'a`
    /// (Documentation/filesystems/locking.rst), with a count for as long.
    pub(in crate::vfs) unsafe fn from_raw(ptr: *mut bindings::dentry) -> Self {
        Self {
            // SAFETY: as above.
            dentry: unsafe { FsDentry::from_raw(ptr) },
        }
    }

    /// The name: 1 to 255 bytes, no `/`, no NUL.
    pub(crate) fn name(&self) -> &'a [u8] {
        // SAFETY: the dentry is live.
        let qstr = unsafe { bindings::d_name(self.dentry.as_raw()) };
        // SAFETY: the name is stable while the parent is locked.
        unsafe { dentry::qstr_bytes(qstr) }
    }

    /// The parent.
    pub(crate) fn parent_dentry(&self) -> &'a FsDentry<F> {
        // SAFETY: d_parent is stable while the parent is locked, and the child has a count of it.
        let parent = unsafe { (*self.dentry.as_raw()).d_parent };
        // SAFETY: as above; the same superblock.
        unsafe { FsDentry::from_raw(parent) }
    }

    /// The object of the parent.
    ///
    /// # Errors
    ///
    /// `ENOENT`, which a locked parent never gives.
    pub(crate) fn parent_inode(&self) -> Result<&'a FsInode<F>> {
        self.parent_dentry().object()
    }
}
