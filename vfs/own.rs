// SPDX-License-Identifier: GPL-2.0

//! Objects of *our* filesystem: inodes, names and superblocks whose private data has a type.
//!
//! [`FsInode`], [`FsDentry`] and [`FsSuper`] are only made by the trampolines of
//! [`super::vtable`], for objects that the VFS hands to the operations of the filesystem `F`.
//! What a layer hands out is a plain [`Inode`] or [`Dentry`], so the two cannot be mixed up.

mod entry;
mod setup;

pub(super) use self::setup::abandon;
pub(crate) use self::{
    entry::{
        Child,
        FsDentry, //
    },
    setup::SuperSetup, //
};

use super::{
    acl::{
        AclKind,
        RcuAcl, //
    },
    bindings,
    cred::Mounter,
    dentry::Dentry,
    errno::{
        from_err_ptr,
        to_result, //
    },
    inode::{
        self,
        Dev,
        Inode, //
    },
    lock::ObjectMutex,
    mount::{
        IdMap,
        Lower,
        LowerMount,
        Mount,
        RealPath,
        Upper,
        UpperMount, //
    },
    rcu::RcuRef,
    register::FsType,
    super_block::SuperBlock,
    vtable::Tables,
};
use crate::vfs::errno::ESTALE;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// A filesystem type of this module.
pub(crate) trait FileSystem: Sized + 'static {
    /// Its name in mount(2).
    const NAME: &'static CStr;

    /// The name that it can be mounted by besides, if that is asked for.
    const ALIAS: &'static CStr;

    /// What a superblock owns (`s_fs_info`).
    type Mount: Send + Sync;

    /// What an inode owns.
    type Object: InodeData;

    /// The static that the kernel knows the type by.
    fn fs_type() -> &'static FsType<Self>;
}

/// The private data of an inode. It ends in two steps, because a path walk under RCU may read it
/// after the last reference to the inode is gone.
///
/// Dropping it (->free_inode, an RCU callback) must not sleep: it may only free memory.
pub(crate) trait InodeData: Send + Sync {
    /// The state of an inode about which nothing is known yet. Cannot fail.
    fn init() -> impl PinInit<Self>;

    /// The mutex that gets a lock class by stacking depth.
    fn lock(&self) -> &ObjectMutex;

    /// Gives references back (->destroy_inode, may sleep). Runs once, also for inodes that were
    /// never published.
    fn release(&self, is_dir: bool);
}

/// An inode as it comes from the slab: private data and VFS inode in one piece.
#[repr(C)]
pub(crate) struct InodeBox<T> {
    pub(super) data: T,
    pub(super) inode: Opaque<bindings::inode>,
}

/// Where the private data of the inode at `ptr` is.
///
/// # Safety
///
/// `ptr` must be an inode of `F`, whose memory is not freed.
unsafe fn object_ptr<F: FileSystem>(ptr: *mut bindings::inode) -> *mut F::Object {
    let offset = core::mem::offset_of!(InodeBox<F::Object>, inode);
    // SAFETY: every inode of `F` is the `inode` of an `InodeBox` (->alloc_inode).
    let outer = unsafe { ptr.byte_sub(offset) }.cast::<InodeBox<F::Object>>();
    // SAFETY: in bounds of the box.
    unsafe { &raw mut (*outer).data }
}

/// The private data of the inode at `ptr`.
///
/// # Safety
///
/// `ptr` must be an inode of `F`, whose memory is not freed for `'a`.
pub(super) unsafe fn object<'a, F: FileSystem>(ptr: *mut bindings::inode) -> &'a F::Object {
    // SAFETY: the caller proves it.
    let object = unsafe { object_ptr::<F>(ptr) };
    // SAFETY: initialised by ->alloc_inode, dropped by ->free_inode.
    unsafe { &*object }
}

/// An inode of the filesystem `F`.
///
/// # Invariants
///
/// It is the `inode` of an [`InodeBox`]; whoever holds a `&FsInode` keeps its reference count
/// above zero for that long.
#[repr(transparent)]
pub(crate) struct FsInode<F: FileSystem> {
    inode: Inode,
    _filesystem: PhantomData<fn() -> F>,
}

impl<F: FileSystem> Deref for FsInode<F> {
    type Target = Inode;

    fn deref(&self) -> &Inode {
        &self.inode
    }
}

// SAFETY: counts like the inode that it is.
unsafe impl<F: FileSystem> AlwaysRefCounted for FsInode<F> {
    fn inc_ref(&self) {
        self.inode.inc_ref();
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a count back.
        unsafe { Inode::dec_ref(obj.cast()) };
    }
}

impl<F: FileSystem> FsInode<F> {
    /// Borrows a C inode.
    ///
    /// # Safety
    ///
    /// `ptr` must be an inode of `F`, with a count that is held for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The private data.
    pub(crate) fn data(&self) -> &F::Object {
        // SAFETY: by the type invariant.
        unsafe { object::<F>(self.as_ptr()) }
    }

    /// The superblock.
    pub(crate) fn super_(&self) -> &FsSuper<F> {
        // SAFETY: an inode of `F` is of a superblock of `F`.
        unsafe { FsSuper::from_raw(self.sb().as_ptr()) }
    }

    /// Takes owner (as the layer's mount shows it), mode, times and size from `real`, under this
    /// inode's spinlock.
    pub(crate) fn copy_attr_from(&self, real: RealPath<'_>) {
        if let Ok(from) = real.inode() {
            // SAFETY: all three are live.
            unsafe {
                bindings::inode_copy_attr(self.as_ptr(), from.as_ptr(), real.idmap().as_ptr())
            };
        }
    }

    /// Takes modification and change time from `real`, if they differ.
    pub(crate) fn copy_mctime_from(&self, real: &Inode) {
        // SAFETY: both are live.
        unsafe { bindings::inode_copy_mctime(self.as_ptr(), real.as_ptr()) };
    }

    /// Takes the access time from `real`.
    pub(crate) fn copy_atime_from(&self, real: &Inode) {
        // SAFETY: both are live.
        unsafe { bindings::inode_copy_atime(self.as_ptr(), real.as_ptr()) };
    }

    /// Sets the inode flags of `mask` to `flags`. Atomic against other callers.
    pub(crate) fn set_flags(&self, flags: u32, mask: u32) {
        // SAFETY: inode_set_flags() replaces the word by cmpxchg (fs/inode.c).
        unsafe { bindings::inode_set_flags(self.as_ptr(), flags, mask) };
    }

    /// Sets the number of names. Needs the i_rwsem, or an inode that is not published.
    pub(crate) fn set_nlink(&self, nlink: u32) {
        // SAFETY: the inode is live.
        unsafe { bindings::set_nlink(self.as_ptr(), nlink) };
    }

    /// One name more. Needs the i_rwsem.
    pub(crate) fn inc_nlink(&self) {
        // SAFETY: the inode is live.
        unsafe { bindings::inc_nlink(self.as_ptr()) };
    }

    /// One name less; nothing if there is none. Needs the i_rwsem.
    pub(crate) fn drop_nlink(&self) {
        if self.nlink() > 0 {
            // SAFETY: the inode is live, its count of names not zero.
            unsafe { bindings::drop_nlink(self.as_ptr()) };
        }
    }

    /// No name left. Needs the i_rwsem.
    pub(crate) fn clear_nlink(&self) {
        // SAFETY: the inode is live.
        unsafe { bindings::clear_nlink(self.as_ptr()) };
    }

    /// Takes the i_rwsem exclusively; sleeps.
    pub(crate) fn lock_exclusive(&self) -> InodeLock<'_> {
        // SAFETY: the inode is live.
        unsafe { bindings::inode_lock(self.as_ptr()) };
        InodeLock { inode: self }
    }

    /// A name of it in the dcache, if there is one.
    pub(crate) fn any_alias(&self) -> Option<ARef<FsDentry<F>>> {
        // SAFETY: the inode is live.
        let alias = NonNull::new(unsafe { bindings::d_find_any_alias(self.as_ptr()) })?;
        // SAFETY: a name of an inode of `F` is one of `F`; the count is ours.
        Some(unsafe { ARef::from_raw(alias.cast()) })
    }

    /// A dentry for an inode that a file handle led to: a name of it in the dcache, or else one
    /// that is not connected to the tree.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn obtain_alias(inode: ARef<Self>) -> Result<ARef<FsDentry<F>>> {
        let inode = ARef::into_raw(inode);
        // SAFETY: takes the reference, also when it fails (fs/dcache.c).
        let alias = from_err_ptr(unsafe { bindings::d_obtain_alias(inode.as_ptr().cast()) })?;
        let alias = NonNull::new(alias).ok_or(ESTALE)?;
        // SAFETY: as in `any_alias`.
        Ok(unsafe { ARef::from_raw(alias.cast()) })
    }

    /// Is there another name of it in the dcache?
    pub(crate) fn has_other_hashed_alias(&self, dentry: &FsDentry<F>) -> bool {
        // SAFETY: both are live; the list is walked under i_lock.
        unsafe { bindings::inode_has_other_alias(self.as_ptr(), dentry.as_ptr()) }
    }

    /// May the caller access it so (`MAY_*`), by mode bits and ACL?
    pub(crate) fn generic_permission(&self, idmap: &IdMap, mask: i32) -> Result {
        // SAFETY: both are live.
        to_result(unsafe { bindings::generic_permission(idmap.as_ptr(), self.as_ptr(), mask) })
    }

    /// Is the caller the owner, or as good as?
    pub(crate) fn owner_or_capable(&self, idmap: &IdMap) -> bool {
        // SAFETY: both are live.
        unsafe { bindings::inode_owner_or_capable(idmap.as_ptr(), self.as_ptr()) }
    }

    /// Is the caller in the owning group, or may it keep the set-group-id bit anyway?
    pub(crate) fn in_group_or_capable(&self, idmap: &IdMap) -> bool {
        // SAFETY: both are live.
        unsafe { bindings::inode_in_group_or_capable(idmap.as_ptr(), self.as_ptr()) }
    }

    /// Enters an inode that no key finds (a lower hard link) under the key `real`, the upper
    /// inode that its copy-up made. Needs the object's mutex.
    pub(crate) fn hash_if_unhashed(&self, real: &Inode) {
        // SAFETY: both are live; the key is only compared.
        unsafe { bindings::inode_hash_if_unhashed(self.as_ptr(), real.as_ptr().cast()) };
    }
}

/// An i_rwsem is held exclusively until this is dropped.
#[must_use = "the lock is released when the guard is dropped"]
pub(crate) struct InodeLock<'a> {
    inode: &'a Inode,
}

impl Drop for InodeLock<'_> {
    fn drop(&mut self) {
        // SAFETY: taken by `lock_exclusive`.
        unsafe { bindings::inode_unlock(self.inode.as_ptr()) };
    }
}

/// An inode of `F` in a path walk under RCU: it may lose its last reference at any moment, only
/// its memory stays.
pub(crate) struct RcuInode<'rcu, F: FileSystem> {
    ptr: NonNull<bindings::inode>,
    _walk: PhantomData<&'rcu ()>,
    _filesystem: PhantomData<fn() -> F>,
}

impl<F: FileSystem> Clone for RcuInode<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileSystem> Copy for RcuInode<'_, F> {}

impl<'rcu, F: FileSystem> RcuInode<'rcu, F> {
    /// # Safety
    ///
    /// `ptr` must be an inode of `F` that the VFS handed to an operation in a path walk under
    /// RCU, which lasts for `'rcu`.
    pub(super) unsafe fn from_raw(ptr: NonNull<bindings::inode>) -> Self {
        Self {
            ptr,
            _walk: PhantomData,
            _filesystem: PhantomData,
        }
    }

    /// Type and permissions.
    pub(crate) fn mode(self) -> u16 {
        // SAFETY: projecting a field; the walk keeps the memory.
        let mode = unsafe { &raw const (*self.ptr.as_ptr()).i_mode };
        // SAFETY: as above; one word.
        unsafe { mode.read_volatile() }
    }

    /// The private data: not dropped before the walk ends.
    pub(crate) fn data(self) -> &'rcu F::Object {
        // SAFETY: ->free_inode waits for a grace period.
        unsafe { object::<F>(self.ptr.as_ptr()) }
    }

    /// The superblock: not freed before the walk ends.
    pub(crate) fn super_(self) -> &'rcu FsSuper<F> {
        // SAFETY: i_sb is constant; the walk holds the mount (fs/namei.c, legitimize_path()).
        let sb = unsafe { (*self.ptr.as_ptr()).i_sb };
        // SAFETY: as above.
        unsafe { FsSuper::from_raw(sb) }
    }

    /// May the caller access it so (`MAY_*`, with `MAY_NOT_BLOCK`)?
    pub(crate) fn generic_permission(self, idmap: &IdMap, mask: i32) -> Result {
        // SAFETY: made for use in RCU walk (fs/namei.c).
        to_result(unsafe { bindings::generic_permission(idmap.as_ptr(), self.ptr.as_ptr(), mask) })
    }
}

/// A real object in a path walk under RCU.
#[derive(Clone, Copy)]
pub(crate) struct RcuReal<'rcu> {
    mnt: &'rcu Mount,
    inode: NonNull<bindings::inode>,
}

impl<'rcu> RcuReal<'rcu> {
    /// The upper object; `None` if there is none or it just became negative.
    pub(crate) fn upper(mnt: &'rcu UpperMount, part: &'rcu RcuRef<Upper<Dentry>>) -> Option<Self> {
        Self::new(mnt, part.get()?)
    }

    /// The lower object; `None` if it just became negative.
    pub(crate) fn lower(mnt: &'rcu LowerMount, part: &'rcu RcuRef<Lower<Dentry>>) -> Option<Self> {
        Self::new(mnt, part.get()?)
    }

    fn new(mnt: &'rcu Mount, dentry: &'rcu Dentry) -> Option<Self> {
        // SAFETY: projecting a field of a dentry whose memory the walk keeps.
        let inode = unsafe { &raw const (*dentry.as_ptr()).d_inode };
        // SAFETY: one aligned word, stored whole (d_inode_rcu() in include/linux/dcache.h).
        let inode = NonNull::new(unsafe { inode.read_volatile() })?;
        Some(Self { mnt, inode })
    }

    /// Type and permissions.
    pub(crate) fn mode(self) -> u16 {
        // SAFETY: projecting a field; the walk keeps the memory.
        let mode = unsafe { &raw const (*self.inode.as_ptr()).i_mode };
        // SAFETY: as above; one word.
        unsafe { mode.read_volatile() }
    }

    /// May the mounter access it so (`MAY_*`, with `MAY_NOT_BLOCK`)?
    pub(crate) fn permission(self, _: &Mounter<'_>, mask: i32) -> Result {
        // SAFETY: made for use in RCU walk (fs/namei.c).
        to_result(unsafe {
            bindings::inode_permission(self.mnt.idmap().as_ptr(), self.inode.as_ptr(), mask)
        })
    }

    /// Has its filesystem POSIX ACLs?
    pub(crate) fn has_posix_acl(self) -> bool {
        // SAFETY: constant; the walk keeps the inode's memory.
        let sb = unsafe { (*self.inode.as_ptr()).i_sb };
        // SAFETY: a superblock outlives its inodes, also for a walk under RCU.
        let sb = unsafe { SuperBlock::from_raw(sb) };
        sb.has_posix_acl()
    }

    /// Is it known that it has no ACL?
    pub(crate) fn is_without_acl(self) -> bool {
        // SAFETY: the walk keeps the inode's memory.
        unsafe { inode::is_without_acl(self.inode.as_ptr()) }
    }

    /// Does the layer's mount translate owners?
    pub(crate) fn layer_is_idmapped(self) -> bool {
        // SAFETY: the mount is live.
        unsafe { bindings::is_idmapped_mnt(self.mnt.as_ptr()) }
    }

    /// The ACL, if it is cached. `ECHILD` if it has to be read.
    pub(crate) fn cached_acl(self, kind: AclKind) -> Result<Option<RcuAcl<'rcu>>> {
        // SAFETY: the walk keeps the inode's memory.
        unsafe { RcuAcl::cached(self.inode.as_ptr(), kind) }
    }
}

/// A superblock of the filesystem `F`, filled.
///
/// # Invariants
///
/// `s_fs_info` is a [`FileSystem::Mount`] that lives until ->put_super; whoever holds a
/// `&FsSuper` holds something that keeps the superblock active.
#[repr(transparent)]
pub(crate) struct FsSuper<F: FileSystem> {
    sb: SuperBlock,
    _filesystem: PhantomData<fn() -> F>,
}

impl<F: FileSystem> Deref for FsSuper<F> {
    type Target = SuperBlock;

    fn deref(&self) -> &SuperBlock {
        &self.sb
    }
}

impl<F: FileSystem> FsSuper<F> {
    /// Borrows a C superblock.
    ///
    /// # Safety
    ///
    /// `ptr` must be a superblock of `F` whose `s_fs_info` is set, active for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::super_block) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// What the superblock owns.
    pub(crate) fn data(&self) -> &F::Mount {
        // SAFETY: constant from `SuperSetup::set_data` to ->put_super.
        let data = unsafe { (*self.as_ptr()).s_fs_info };
        // SAFETY: by the type invariant.
        unsafe { &*data.cast() }
    }

    /// The root.
    pub(crate) fn root(&self) -> &FsDentry<F> {
        // SAFETY: set once, when the superblock was filled.
        let root = unsafe { (*self.as_ptr()).s_root };
        // SAFETY: the superblock owns a count of its root.
        unsafe { FsDentry::from_raw(root) }
    }

    /// The inode that stands for the real inode `key`: found, or new and to be filled. A new one
    /// is `prealloc`, if given.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EEXIST` if `prealloc` was given and another creation for the same key is under
    /// way.
    pub(crate) fn iget<'sb>(
        &'sb self,
        key: &Inode,
        prealloc: Option<NewInode<'sb, F>>,
    ) -> Result<Iget<'sb, F>> {
        iget(self.as_ptr(), key, prealloc)
    }

    /// The inode that stands for the real inode `key`, if there is one.
    pub(crate) fn find_inode(&self, key: &Inode) -> Option<ARef<FsInode<F>>> {
        find_inode(self.as_ptr(), key)
    }

    /// An inode that no key finds.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new_inode(&self) -> Result<NewInode<'_, F>> {
        // SAFETY: a superblock with operations.
        let inode = NonNull::new(unsafe { bindings::new_inode(self.as_ptr()) }).ok_or(ENOMEM)?;
        // SAFETY: an inode of `F` with one count, ours.
        Ok(NewInode::adopt(unsafe { ARef::from_raw(inode.cast()) }))
    }
}

fn find_inode<F: FileSystem>(
    sb: *mut bindings::super_block,
    key: &Inode,
) -> Option<ARef<FsInode<F>>> {
    let raw = key.as_ptr().cast::<c_void>();
    // SAFETY: a live superblock of `F`; the key is only compared. Waits for a new inode.
    let found = unsafe { bindings::ilookup5(sb, raw as u64, Some(key_matches), raw) };
    let found = NonNull::new(found)?;
    // SAFETY: an inode of `F` with a count for us.
    Some(unsafe { ARef::from_raw(found.cast()) })
}

fn iget<'sb, F: FileSystem>(
    sb: *mut bindings::super_block,
    key: &Inode,
    prealloc: Option<NewInode<'sb, F>>,
) -> Result<Iget<'sb, F>> {
    let raw = key.as_ptr().cast::<c_void>();
    let hash = raw as u64;
    let got = match &prealloc {
        // SAFETY: a live superblock of `F`; the key is only compared and stored.
        None => unsafe { bindings::iget5_locked(sb, hash, Some(key_matches), Some(set_key), raw) },
        // SAFETY: as above; `new` is not in the hash.
        Some(new) => unsafe {
            bindings::inode_insert5(
                new.inode.as_ptr(),
                hash,
                Some(key_matches),
                Some(set_key),
                raw,
            )
        },
    };
    let got = NonNull::new(got).ok_or(if prealloc.is_some() { EEXIST } else { ENOMEM })?;
    if let Some(new) = prealloc {
        if new.inode.as_ptr() == got.as_ptr() {
            return Ok(Iget::New(new));
        }
    }
    // SAFETY: an inode of `F` with a count for us.
    let got: ARef<FsInode<F>> = unsafe { ARef::from_raw(got.cast()) };
    // SAFETY: reads the state of a live inode.
    Ok(if unsafe { bindings::inode_is_new(got.as_ptr()) } {
        Iget::New(NewInode::adopt(got))
    } else {
        Iget::Existing(got)
    })
}

/// # Safety
///
/// Called by the inode cache, under its lock, with a live inode.
unsafe extern "C" fn key_matches(inode: *mut bindings::inode, key: *mut c_void) -> c_int {
    // SAFETY: the caller passes a live inode.
    c_int::from(unsafe { (*inode).i_private } == key)
}

/// # Safety
///
/// Called by the inode cache, under its lock, with an inode that is not published.
unsafe extern "C" fn set_key(inode: *mut bindings::inode, key: *mut c_void) -> c_int {
    // SAFETY: the caller passes an inode that is ours to write.
    unsafe { (*inode).i_private = key };
    0
}

/// What [`FsSuper::iget`] found.
pub(crate) enum Iget<'sb, F: FileSystem> {
    /// An inode that is in use.
    Existing(ARef<FsInode<F>>),
    /// A new one: to be filled and published.
    New(NewInode<'sb, F>),
}

/// Owner and group of an inode.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    pub(super) uid: bindings::kuid_t,
    pub(super) gid: bindings::kgid_t,
}

/// An inode that nobody uses yet. Dropped, it is given up.
///
/// # Invariants
///
/// It is new or in no hash chain. Until [`NewInode::publish`] nobody but `self` gets at its private
/// data: it is no [`FsInode`] to the outside, and the inode cache hands out no new inode
/// (fs/inode.c, wait_on_new_inode()).
pub(crate) struct NewInode<'sb, F: FileSystem> {
    inode: ManuallyDrop<ARef<FsInode<F>>>,
    _sb: PhantomData<&'sb FsSuper<F>>,
}

impl<'sb, F: FileSystem> NewInode<'sb, F> {
    /// The caller has the only reference.
    fn adopt(inode: ARef<FsInode<F>>) -> Self {
        Self {
            inode: ManuallyDrop::new(inode),
            _sb: PhantomData,
        }
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u16 {
        self.inode.mode()
    }

    /// Owner and group.
    pub(crate) fn owner(&self) -> Owner {
        let inode = self.inode.as_ptr();
        Owner {
            // SAFETY: a word of a live inode that nobody else changes.
            uid: unsafe { (*inode).i_uid },
            // SAFETY: as above.
            gid: unsafe { (*inode).i_gid },
        }
    }

    /// Says what it is: type, device number, operations, lock classes; times are set by the
    /// layer, ACLs are not cached here.
    pub(crate) fn fill(&mut self, mode: u16, rdev: Dev, tables: &'static Tables<F>) {
        let inode = self.inode.as_ptr();
        // SAFETY: not published: ours to write.
        unsafe { (*inode).i_mode = mode };
        // SAFETY: as above.
        unsafe { (*inode).i_flags |= bindings::S_NOCMTIME };
        // SAFETY: as above.
        unsafe { bindings::inode_dont_cache_acl(inode) };
        // SAFETY: as above; the mutex is that of the same inode.
        unsafe { bindings::inode_lock_classes(inode, self.inode.data().lock().as_ptr()) };
        // SAFETY: as above; the tables are those of `F`.
        unsafe { tables.install(inode, mode, rdev) };
    }

    /// Sets owner, group and mode of an object that the caller makes in `parent`.
    pub(crate) fn init_owner(&mut self, idmap: &IdMap, parent: &FsInode<F>, mode: u16) {
        // SAFETY: not published: ours to write.
        unsafe {
            bindings::inode_init_owner(idmap.as_ptr(), self.inode.as_ptr(), parent.as_ptr(), mode)
        };
    }

    /// As [`FsInode::copy_attr_from`].
    pub(crate) fn copy_attr_from(&mut self, real: RealPath<'_>) {
        self.inode.copy_attr_from(real);
    }

    /// Sets the inode flags of `mask` to `flags`.
    pub(crate) fn set_flags(&mut self, flags: u32, mask: u32) {
        let kept = self.inode.flags() & !mask;
        // SAFETY: not published: ours to write.
        unsafe { (*self.inode.as_ptr()).i_flags = kept | flags & mask };
    }

    /// Lets others that look for its key fail instead of wait (`I_CREATING`).
    pub(crate) fn set_creating(&mut self) {
        // SAFETY: takes i_lock.
        unsafe { bindings::inode_set_creating(self.inode.as_ptr()) };
    }

    /// Sets the inode number.
    pub(crate) fn set_ino(&mut self, ino: u64) {
        // SAFETY: not published: ours to write.
        unsafe { (*self.inode.as_ptr()).i_ino = ino };
    }

    /// Sets the number of names.
    pub(crate) fn set_nlink(&mut self, nlink: u32) {
        self.inode.set_nlink(nlink);
    }

    /// Completes the private data by `complete`, and lets others use the inode.
    pub(crate) fn publish(self, complete: impl FnOnce(Pin<&mut F::Object>)) -> ARef<FsInode<F>> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: an inode of `F` that we have a count of.
        let object = unsafe { object_ptr::<F>(this.inode.as_ptr()) };
        // SAFETY: initialised by ->alloc_inode; by the type invariant nobody else refers to it.
        let object = unsafe { &mut *object };
        // SAFETY: it is not moved before it is dropped in its place (->free_inode).
        complete(unsafe { Pin::new_unchecked(object) });
        // SAFETY: `this` is not used or dropped any more.
        let inode = unsafe { ManuallyDrop::take(&mut this.inode) };
        // SAFETY: reads the state of a live inode.
        if unsafe { bindings::inode_is_new(inode.as_ptr()) } {
            // SAFETY: new, and filled by us.
            unsafe { bindings::unlock_new_inode(inode.as_ptr()) };
        }
        inode
    }

    /// Makes it a trap: a removed directory that stands for the root of a layer, so that a
    /// lookup which finds that root elsewhere notices.
    pub(crate) fn make_trap(self) -> ARef<FsInode<F>> {
        let inode = self.inode.as_ptr();
        // SAFETY: not published: ours to write.
        unsafe { (*inode).i_mode = super::inode::mode::S_IFDIR };
        // SAFETY: as above.
        unsafe { (*inode).i_flags = bindings::S_DEAD };
        self.publish(|_| {})
    }
}

impl<F: FileSystem> Drop for NewInode<'_, F> {
    fn drop(&mut self) {
        // SAFETY: not used any more.
        let inode = unsafe { ManuallyDrop::take(&mut self.inode) };
        // SAFETY: reads the state of a live inode.
        if unsafe { bindings::inode_is_new(inode.as_ptr()) } {
            let inode = ARef::into_raw(inode);
            // SAFETY: new: those who wait learn that it failed; takes our count.
            unsafe { bindings::iget_failed(inode.as_ptr().cast()) };
        }
    }
}
