// SPDX-License-Identifier: GPL-2.0

//! One object: the private data of an overlay inode, and what is known about its dentries.
//!
//! # What it is made of
//!
//! An object has an upper part, lower parts (topmost first), or both. The upper part appears at most
//! once, by copy-up, and stays; the lower parts are set before anyone sees the inode and never change.
//! Both are read without a lock, also by path walks under RCU.
//!
//! # Locks
//!
//! The object's mutex ([`OvlInode::object_lock`]) orders copy-up, changes of the link count and other
//! things that must happen once. It nests inside the inode's `i_rwsem` and outside of write access
//! to the upper layer (`fs/overlayfs/inode.c`, above `OVL_MAX_NESTING`). The directory version is
//! read and changed with the inode's `i_rwsem` held. The spinlock of the redirect nests inside of
//! `d_lock`.

#![forbid(unsafe_code)]

use core::sync::atomic::{
    AtomicU32,
    AtomicU64,
    Ordering::{
        AcqRel,
        Acquire,
        Relaxed, //
    }, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        SpinLock, //
    }, //
};

use crate::{
    overlay::{
        dir_cache::DirCache,
        layer::{
            Layer,
            LowerRef, //
        },
        mount::MountState,
        stack::Stack,
        Overlay,
        OvlDentry,
        OvlInode, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        inode::Inode,
        lock::ObjectMutex,
        mount::{
            Lower,
            RealPath,
            Upper,
            UpperWrite, //
        },
        own::{
            InodeData,
            RcuInode,
            RcuReal, //
        },
        rcu::RcuRef, //
    },
    xattr::marker, //
};

/// What is known about an object beside its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ObjFlag {
    /// An upper directory that may hold entries which were copied up or moved here.
    Impure,
    /// A directory that may hold whiteouts; others can be read straight from the layer.
    Whiteouts,
    /// The object has an entry in the index.
    Index,
    /// The upper part has the data. Always set if there is no lower part.
    UpperData,
    /// The inode number is that of the lower part, and does not change by copy-up.
    ConstIno,
    /// The mark of the metadata has a digest of the data.
    HasDigest,
    /// The data was found to have that digest.
    VerifiedDigest,
}

impl ObjFlag {
    /// The bit that stands for it.
    pub(crate) const fn bit(self) -> u32 {
        match self {
            Self::Impure => 1 << 0,
            Self::Whiteouts => 1 << 1,
            Self::Index => 1 << 2,
            Self::UpperData => 1 << 3,
            Self::ConstIno => 1 << 4,
            Self::HasDigest => 1 << 5,
            Self::VerifiedDigest => 1 << 6,
        }
    }
}

/// What is known about a name, kept in its dentry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryFlag {
    /// The name exists in the upper layer. The object may have an upper part under another name.
    UpperAlias,
    /// The upper layer hides what lower layers have under this name.
    Opaque,
    /// The place of the directory can be found from its topmost lower part, by NFS export.
    Connected,
    /// Lower parts of the directory may hold whiteouts in xattr form.
    Xwhiteouts,
}

impl EntryFlag {
    /// The bit in the dentry.
    const fn bit(self) -> usize {
        match self {
            Self::UpperAlias => 1 << 0,
            Self::Opaque => 1 << 1,
            Self::Connected => 1 << 2,
            Self::Xwhiteouts => 1 << 3,
        }
    }
}

/// Of which parts an object consists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PathKind {
    /// It has an upper part.
    pub(crate) upper: bool,
    /// Several parts are shown as one: a merged directory, or metadata above other data.
    pub(crate) merge: bool,
    /// It was copied up from a lower object that is known, and shows that one's inode number.
    pub(crate) origin: bool,
}

/// The private data of an overlay inode.
#[pin_data]
pub(crate) struct Object {
    upper: RcuRef<Upper<Dentry>>,
    lowers: Stack<LowerRef>,
    data_redirect: Option<KVec<u8>>,
    flags: AtomicU32,
    version: AtomicU64,
    #[pin]
    redirect: SpinLock<Option<KVec<u8>>>,
    #[pin]
    dir_cache: SpinLock<Option<Arc<DirCache>>>,
    #[pin]
    lock: ObjectMutex,
}

impl InodeData for Object {
    fn init() -> impl PinInit<Self> {
        pin_init!(Self {
            upper: RcuRef::empty(),
            lowers: Stack::Empty,
            data_redirect: None,
            flags: AtomicU32::new(0),
            version: AtomicU64::new(0),
            redirect <- new_spinlock!(None, "overlay_rs::redirect"),
            dir_cache <- new_spinlock!(None, "overlay_rs::dir_cache"),
            lock <- ObjectMutex::new(),
        })
    }

    fn lock(&self) -> &ObjectMutex {
        &self.lock
    }

    fn release(&self, _is_dir: bool) {
        self.upper.put();
        for lower in self.lowers() {
            lower.put();
        }
        drop(self.replace_dir_cache(None));
    }
}

impl Object {
    /// The upper part.
    ///
    /// Under RCU the dentry may have lost its last reference; then it must only be looked at.
    fn upper(&self) -> Option<&Upper<Dentry>> {
        self.upper.get()
    }

    /// The lower parts, topmost first.
    fn lowers(&self) -> &[LowerRef] {
        &self.lowers
    }

    fn has_flag(&self, flag: ObjFlag) -> bool {
        self.flags.load(Acquire) & flag.bit() != 0
    }

    /// Completes the data of an inode that nobody sees yet.
    ///
    /// `data_redirect`: the data is in a data-only layer, under this path, and not yet looked for.
    /// `flags`: the bits of [`ObjFlag`]s.
    pub(crate) fn complete(
        self: Pin<&mut Self>,
        upper: Option<ARef<Upper<Dentry>>>,
        lowers: Stack<LowerRef>,
        data_redirect: Option<KVec<u8>>,
        redirect: Option<KVec<u8>>,
        flags: u32,
    ) {
        let this = self.project();
        if let Some(upper) = upper {
            *this.upper = RcuRef::new(upper);
        }
        *this.lowers = lowers;
        *this.data_redirect = data_redirect;
        if redirect.is_some() {
            *this.redirect.lock() = redirect;
        }
        *this.flags.get_mut() = flags;
    }

    /// Sets the slot and returns what was in it, to be dropped where sleeping is allowed.
    fn replace_dir_cache(&self, cache: Option<Arc<DirCache>>) -> Option<Arc<DirCache>> {
        core::mem::replace(&mut *self.dir_cache.lock(), cache)
    }
}

/// What an object consists of.
impl OvlInode {
    /// The state of the mount.
    pub(crate) fn mount(&self) -> &MountState {
        MountState::of(self.super_())
    }

    /// The upper part.
    pub(crate) fn upper(&self) -> Option<&Upper<Dentry>> {
        self.data().upper()
    }

    /// The inode of the upper part.
    pub(crate) fn upper_inode(&self) -> Option<&Inode> {
        self.upper()?.inode()
    }

    /// The lower parts, topmost first. An object that is not a directory has at most two: one that
    /// gives its metadata, or with an upper part only the inode number, and below it the one that
    /// has the data, which may still have to be looked for.
    pub(crate) fn lowers(&self) -> &[LowerRef] {
        self.data().lowers()
    }

    /// The topmost lower part.
    pub(crate) fn lower(&self) -> Option<&Lower<Dentry>> {
        self.lowers().first()?.dentry()
    }

    /// The inode of the topmost lower part.
    pub(crate) fn lower_inode(&self) -> Option<&Inode> {
        self.lower()?.inode()
    }

    /// The layer of the topmost lower part.
    pub(crate) fn lower_layer<'a>(&self, ms: &'a MountState) -> Option<&'a Layer> {
        ms.layer(self.lowers().first()?.layer())
    }

    /// The file system number of the topmost lower part.
    ///
    /// # Errors
    ///
    /// `EIO`: there is no lower part.
    pub(crate) fn lower_fsid(&self, ms: &MountState) -> Result<u32> {
        self.lower_layer(ms).map(|layer| layer.fsid).ok_or(EIO)
    }

    /// The path of the upper part.
    pub(crate) fn upper_path<'a>(&'a self, ms: &'a MountState) -> Option<RealPath<'a>> {
        Some(ms.upper.as_ref()?.path(self.upper()?))
    }

    /// The path of the topmost lower part.
    pub(crate) fn lower_path<'a>(&'a self, ms: &'a MountState) -> Option<RealPath<'a>> {
        self.lowers().first()?.path(ms)
    }

    /// The path in the data-only layers that the data was to be looked for under, if it is there.
    pub(crate) fn data_redirect(&self) -> Option<&[u8]> {
        self.data().data_redirect.as_deref()
    }

    /// The lower part that has the data, or will have it when it was looked for.
    pub(crate) fn lowerdata(&self) -> Option<&LowerRef> {
        self.lowers().last()
    }

    /// The path of the lower part that has the data; `None` also if it was not looked for yet.
    pub(crate) fn lowerdata_path<'a>(&'a self, ms: &'a MountState) -> Option<RealPath<'a>> {
        self.lowerdata()?.path(ms)
    }

    /// The path of the part that has the attributes: the upper one if there is one.
    ///
    /// # Errors
    ///
    /// `EIO`: the object has no part, which does not happen to one that was published.
    pub(crate) fn real_path<'a>(&'a self, ms: &'a MountState) -> Result<RealPath<'a>> {
        self.upper_path(ms)
            .or_else(|| self.lower_path(ms))
            .ok_or(EIO)
    }

    /// The path of the part that has the data.
    ///
    /// # Errors
    ///
    /// As [`Self::real_path`].
    pub(crate) fn real_data_path<'a>(&'a self, ms: &'a MountState) -> Result<RealPath<'a>> {
        let upper = self.upper_path(ms).filter(|_| self.has_upperdata());
        upper.or_else(|| self.lowerdata_path(ms)).ok_or(EIO)
    }

    /// The inode of the part that has the attributes.
    pub(crate) fn real_inode(&self) -> Option<&Inode> {
        self.upper_inode().or_else(|| self.lower_inode())
    }

    /// Of which parts the object consists.
    pub(crate) fn path_kind(&self) -> PathKind {
        let upper = self.upper().is_some();
        let lowers = self.lowers().len();
        let below_upper = upper && lowers > 0;
        PathKind {
            upper,
            merge: if upper {
                below_upper && (self.is_dir() || !self.has_upperdata())
            } else {
                lowers > 1
            },
            origin: below_upper && self.flag(ObjFlag::ConstIno),
        }
    }
}

/// What is known about an object.
impl OvlInode {
    /// Whether `flag` is set; what was written before it was set is visible then.
    pub(crate) fn flag(&self, flag: ObjFlag) -> bool {
        self.data().has_flag(flag)
    }

    /// Sets `flag`; everything written before is visible to who sees that.
    pub(crate) fn set_flag(&self, flag: ObjFlag) {
        self.data().flags.fetch_or(flag.bit(), AcqRel);
    }

    /// Sets the bits of some flags, as [`Self::set_flag`].
    pub(crate) fn set_flag_bits(&self, bits: u32) {
        let flags = &self.data().flags;
        if flags.load(Acquire) & bits != bits {
            flags.fetch_or(bits, AcqRel);
        }
    }

    /// Clears `flag`; everything written before is visible to who sees that.
    pub(crate) fn clear_flag(&self, flag: ObjFlag) {
        self.data().flags.fetch_and(!flag.bit(), AcqRel);
    }

    /// The upper part, if there is one, has the data.
    ///
    /// Of an object without an upper part that has no lower part either, or is not a regular file,
    /// it says true.
    pub(crate) fn has_upperdata(&self) -> bool {
        !self.is_reg() || self.lowers().is_empty() || self.flag(ObjFlag::UpperData)
    }

    /// It shows metadata of one part above the data of another.
    pub(crate) fn is_metacopy(&self) -> bool {
        self.is_reg()
            && if self.upper().is_some() {
                !self.has_upperdata()
            } else {
                self.lowers().len() > 1
            }
    }

    /// The directory can be read straight from its layer: it holds no whiteouts.
    pub(crate) fn is_real_dir(&self) -> bool {
        !self.flag(ObjFlag::Whiteouts)
    }

    /// The number of changes to the directory that a reader's cache must notice. Needs the inode's
    /// `i_rwsem`.
    pub(crate) fn version(&self) -> u64 {
        self.data().version.load(Relaxed)
    }

    /// Counts a change to the directory. Needs the inode's `i_rwsem` exclusively.
    fn count_change(&self, impurity: bool) {
        // The cache of a directory that is not merged only has entries that were copied up.
        if !self.is_real_dir() || impurity {
            self.data().version.fetch_add(1, Relaxed);
        }
    }

    /// What the last reader of the directory collected. Needs the inode's `i_rwsem`.
    pub(crate) fn dir_cache(&self) -> Option<Arc<DirCache>> {
        self.data().dir_cache.lock().clone()
    }

    /// Sets or forgets what was collected. Needs the inode's `i_rwsem` exclusively.
    pub(crate) fn set_dir_cache(&self, cache: Option<Arc<DirCache>>) {
        drop(self.data().replace_dir_cache(cache));
    }

    /// Forgets what was collected, if it is `cache`. Needs the inode's `i_rwsem` exclusively.
    pub(crate) fn forget_dir_cache(&self, cache: &Arc<DirCache>) {
        let mut slot = self.data().dir_cache.lock();
        let forgotten = match &*slot {
            Some(current) if Arc::ptr_eq(current, cache) => slot.take(),
            _ => None,
        };
        drop(slot);
        drop(forgotten);
    }

    /// Passes the redirect of the upper part to `f`, if it has one. `f` must not sleep.
    pub(crate) fn with_redirect<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        self.data().redirect.lock().as_deref().map(f)
    }

    /// Notes the redirect that the upper part has.
    pub(crate) fn set_redirect(&self, redirect: Option<KVec<u8>>) {
        // What was there is freed when the lock is not held any more.
        drop(core::mem::replace(
            &mut *self.data().redirect.lock(),
            redirect,
        ));
    }

    /// The mutex of the object.
    pub(crate) fn object_lock(&self) -> &ObjectMutex {
        &self.data().lock
    }

    /// Publishes the upper part that copy-up made. Needs the object's mutex.
    ///
    /// An inode that was not hashed becomes findable by its upper part, as an inode made by a lookup
    /// of that part would be.
    pub(crate) fn publish_upper(&self, upper: ARef<Upper<Dentry>>) {
        if !self.data().upper.publish(upper) {
            pr_err!("object has an upper part already\n");
            return;
        }
        if let Some(inode) = self.upper_inode() {
            self.hash_if_unhashed(inode);
        }
    }

    /// Takes over owner, mode, times and size of the real object.
    pub(crate) fn copy_attr(&self) {
        if let Ok(real) = self.real_path(self.mount()) {
            self.copy_attr_from(real);
        }
    }
}

/// What a path walk under RCU may ask.
impl<'rcu> RcuInode<'rcu, Overlay> {
    /// There is an upper part.
    pub(crate) fn has_upper(self) -> bool {
        self.data().upper().is_some()
    }

    /// The part that has the attributes; `None` if the walk has to be left, because the object is
    /// going away.
    pub(crate) fn real(self) -> Option<RcuReal<'rcu>> {
        let object = self.data();
        let ms = MountState::of(self.super_());
        if self.has_upper() {
            return RcuReal::upper(&ms.upper.as_ref()?.mnt, &object.upper);
        }
        let lower = object.lowers().first()?;
        RcuReal::lower(&ms.layer(lower.layer())?.mnt, lower.rcu())
    }
}

/// What is known about a name.
impl OvlDentry {
    /// The state of the mount.
    pub(crate) fn mount(&self) -> &MountState {
        MountState::of(self.super_())
    }

    /// The upper part of its object.
    pub(crate) fn upper(&self) -> Option<&Upper<Dentry>> {
        self.inode()?.upper()
    }

    /// The path of the part of its object that has the attributes.
    ///
    /// # Errors
    ///
    /// `ENOENT`: the name is negative.
    pub(crate) fn real_path(&self) -> Result<RealPath<'_>> {
        self.object()?.real_path(self.mount())
    }

    /// Of which parts its object consists; a negative name has none.
    pub(crate) fn path_kind(&self) -> PathKind {
        self.inode().map_or(
            PathKind {
                upper: false,
                merge: false,
                origin: false,
            },
            |inode| inode.path_kind(),
        )
    }

    /// Its object shows metadata of one part above the data of another.
    pub(crate) fn is_metacopy(&self) -> bool {
        self.inode().is_some_and(|inode| inode.is_metacopy())
    }

    /// Whether `flag` is set.
    pub(crate) fn entry_flag(&self, flag: EntryFlag) -> bool {
        self.entry_flags().test(flag.bit())
    }

    /// Sets `flag`.
    pub(crate) fn set_entry_flag(&self, flag: EntryFlag) {
        self.entry_flags().set(flag.bit());
    }

    /// Notes what the search for the name found.
    pub(crate) fn set_found(&self, upper_alias: bool, opaque: bool, xwhiteouts: bool) {
        let flags = [
            (upper_alias, EntryFlag::UpperAlias),
            (opaque, EntryFlag::Opaque),
            (xwhiteouts, EntryFlag::Xwhiteouts),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        let bits = set.fold(0, |bits, (_, flag)| bits | flag.bit());
        if bits != 0 {
            self.entry_flags().set(bits);
        }
    }

    /// The name exists in the upper layer.
    pub(crate) fn has_upper_alias(&self) -> bool {
        self.entry_flag(EntryFlag::UpperAlias)
    }

    /// Notes that the name exists in the upper layer.
    pub(crate) fn set_upper_alias(&self) {
        self.set_entry_flag(EntryFlag::UpperAlias);
    }

    /// The upper layer hides what lower layers have under this name.
    pub(crate) fn is_opaque(&self) -> bool {
        self.entry_flag(EntryFlag::Opaque)
    }

    /// Notes that the upper layer hides what lower layers have under this name.
    pub(crate) fn set_opaque(&self) {
        self.set_entry_flag(EntryFlag::Opaque);
    }

    /// The name is negative because of a whiteout in the upper layer.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.inode().is_none() && self.is_opaque()
    }

    /// The place of the directory can be found from its topmost lower part.
    pub(crate) fn is_connected(&self) -> bool {
        self.entry_flag(EntryFlag::Connected)
    }

    /// Lower parts of the directory may hold whiteouts in xattr form.
    pub(crate) fn has_xwhiteouts(&self) -> bool {
        self.entry_flag(EntryFlag::Xwhiteouts)
    }

    /// Notes that lower parts of the directory may hold whiteouts in xattr form.
    pub(crate) fn set_xwhiteouts(&self) {
        self.set_entry_flag(EntryFlag::Xwhiteouts);
    }
}

/// Notes that an entry of `dir` was changed in the upper layer: takes over the new times, and lets
/// readers' caches notice. `impurity`: the entry has, or had, a lower origin.
///
/// Needs the `i_rwsem` of `dir` exclusively.
pub(crate) fn dir_modified(dir: &OvlDentry, impurity: bool) {
    if let Some(inode) = dir.inode() {
        inode.copy_attr();
        inode.count_change(impurity);
    }
}

/// Marks the upper part of `dir` as one that may hold entries with a lower origin.
///
/// An upper layer without markers is no failure: nothing there has an origin either.
///
/// # Errors
///
/// `ENOENT`: `dir` is negative; `EIO`: it has no upper part; what the upper layer fails with.
pub(crate) fn set_impure(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &OvlDentry,
) -> Result {
    let inode = dir.object()?;
    if inode.flag(ObjFlag::Impure) {
        return Ok(());
    }
    let upper = inode.upper().ok_or(EIO)?;
    marker::set_impure(ms.format(), m, w, upper)?;
    inode.set_flag(ObjFlag::Impure);
    Ok(())
}

/// Asks the layers whether the parts behind `dentry` are still what they were. `weak`: the name was
/// not looked up, only its object is to be used.
///
/// # Errors
///
/// `ECHILD`: the name became negative; `ESTALE`: a part is not valid any more; what a layer answers.
pub(crate) fn revalidate(dentry: &OvlDentry, flags: u32, weak: bool) -> Result<bool> {
    let inode = dentry.inode().ok_or(ECHILD)?;
    if let Some(upper) = inode.upper() {
        if !upper.revalidate(flags, weak)? {
            return Ok(false);
        }
    }
    for lower in inode.lowers().iter().filter_map(LowerRef::dentry) {
        if !lower.revalidate(flags, weak)? {
            return Ok(false);
        }
    }
    Ok(true)
}
