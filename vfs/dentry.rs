// SPDX-License-Identifier: GPL-2.0

//! Dentries of any filesystem.
//!
//! A name is only readable where it cannot change: from a [`NameSnapshot`], or from
//! [`super::own::Child`] while the parent directory is locked.
//!
//! C header: [`include/linux/dcache.h`](srctree/include/linux/dcache.h)

use super::{
    bindings,
    errno::{
        from_err_ptr,
        to_result, //
    },
    inode::{
        iflag,
        Inode, //
    },
    log,
    super_block::SuperBlock, //
};
use crate::vfs::errno::{
    ENAMETOOLONG,
    ESTALE, //
};
use core::ptr::NonNull;
use kernel::{
    fmt,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::Opaque, //
};

/// A `struct dentry` of any filesystem.
///
/// # Invariants
///
/// Whoever holds a `&Dentry` keeps its reference count above zero for that long.
#[repr(transparent)]
pub(crate) struct Dentry(Opaque<bindings::dentry>);

// SAFETY: dget() and dput() may be called from any thread (Documentation/filesystems/vfs.rst).
unsafe impl Send for Dentry {}
// SAFETY: everything that `&Dentry` offers is synchronised by the dcache.
unsafe impl Sync for Dentry {}

// SAFETY: dget() and dput() own the count of a dentry.
unsafe impl AlwaysRefCounted for Dentry {
    fn inc_ref(&self) {
        // SAFETY: a shared reference means that the count is not zero.
        unsafe { bindings::dget(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a count back.
        unsafe { bindings::dput(obj.cast().as_ptr()) };
    }
}

impl Dentry {
    /// Borrows a C dentry.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, with a count that is held for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::dentry) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C dentry.
    pub(super) fn as_ptr(&self) -> *mut bindings::dentry {
        self.0.get()
    }

    fn flags(&self) -> u32 {
        // SAFETY: projecting a field of a live dentry.
        let flags = unsafe { &raw const (*self.as_ptr()).d_flags };
        // SAFETY: one aligned word; racing writers store it whole.
        unsafe { flags.read_volatile() }
    }

    /// What the name stands for, as the dcache knows it (`DCACHE_ENTRY_TYPE`).
    fn entry_type(&self) -> u32 {
        self.flags() & bindings::dentry_flags_DCACHE_ENTRY_TYPE
    }

    /// The object that the name stands for; `None` if the dentry is negative.
    ///
    /// A positive dentry stays positive while it is referenced. A negative one may become
    /// positive at any time unless its parent is locked.
    pub(crate) fn inode(&self) -> Option<&Inode> {
        // SAFETY: projecting a field of a live dentry.
        let inode = unsafe { &raw const (*self.as_ptr()).d_inode };
        // SAFETY: one aligned word, stored whole with release order; what it points to is only
        // reached through it (d_inode_rcu() in include/linux/dcache.h).
        let inode = unsafe { inode.read_volatile() };
        // SAFETY: a referenced positive dentry holds a reference on its inode
        // (fs/dcache.c, __d_instantiate()).
        (!inode.is_null()).then(|| unsafe { Inode::from_raw(inode) })
    }

    /// The object, or `ENOENT` for a negative dentry.
    pub(crate) fn positive(&self) -> Result<&Inode> {
        self.inode().ok_or(ENOENT)
    }

    /// There is no object of this name.
    pub(crate) fn is_negative(&self) -> bool {
        self.inode().is_none()
    }

    /// The superblock.
    pub(crate) fn sb(&self) -> &SuperBlock {
        // SAFETY: d_sb never changes and a dentry does not outlive its superblock.
        let sb = unsafe { (*self.as_ptr()).d_sb };
        // SAFETY: as above.
        unsafe { SuperBlock::from_raw(sb) }
    }

    /// A directory, and positive.
    pub(crate) fn is_dir(&self) -> bool {
        let kind = self.entry_type();
        kind == bindings::dentry_flags_DCACHE_DIRECTORY_TYPE
            || kind == bindings::dentry_flags_DCACHE_AUTODIR_TYPE
    }

    /// A regular file, and positive.
    pub(crate) fn is_reg(&self) -> bool {
        self.entry_type() == bindings::dentry_flags_DCACHE_REGULAR_TYPE
    }

    /// A directory in which names can be looked up (not an automount point).
    pub(crate) fn can_lookup(&self) -> bool {
        self.entry_type() == bindings::dentry_flags_DCACHE_DIRECTORY_TYPE
    }

    /// Not in the dcache's hash any more.
    pub(crate) fn is_unhashed(&self) -> bool {
        // SAFETY: reads the hash link of a live dentry.
        unsafe { bindings::d_unhashed(self.as_ptr()) }
    }

    /// Removes the name from the dcache's hash; the next lookup asks the filesystem again.
    pub(crate) fn drop_hash(&self) {
        // SAFETY: d_drop() takes d_lock itself.
        unsafe { bindings::d_drop(self.as_ptr()) };
    }

    /// Its filesystem has `->d_real`: it is an overlay.
    pub(crate) fn has_real(&self) -> bool {
        self.flags() & bindings::DCACHE_OP_REAL != 0
    }

    /// Its filesystem wants `->d_revalidate`.
    pub(crate) fn has_revalidate(&self) -> bool {
        self.flags() & bindings::DCACHE_OP_REVALIDATE != 0
    }

    /// Its filesystem wants `->d_weak_revalidate`.
    pub(crate) fn has_weak_revalidate(&self) -> bool {
        self.flags() & bindings::DCACHE_OP_WEAK_REVALIDATE != 0
    }

    /// Its filesystem validates names: it can change behind our back.
    pub(crate) fn is_remote(&self) -> bool {
        self.has_revalidate() || self.has_weak_revalidate()
    }

    /// Made from a file handle and not connected to the tree yet.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.flags() & bindings::DCACHE_DISCONNECTED != 0
    }

    /// A directory whose names are compared without case.
    pub(crate) fn is_casefolded(&self) -> bool {
        self.inode()
            .is_some_and(|inode| inode.flags() & iflag::CASEFOLD != 0)
    }

    /// Nothing that can be part of a layer: automount points, objects that are neither
    /// directory, file nor link, directories with their own idea of equal names (unless the
    /// whole filesystem has an encoding for that).
    pub(crate) fn is_weird(&self) -> bool {
        let flags = self.flags();
        let managed = bindings::DCACHE_NEED_AUTOMOUNT | bindings::DCACHE_MANAGE_TRANSIT;
        let own_names = bindings::DCACHE_OP_HASH | bindings::DCACHE_OP_COMPARE;
        let can_be_part = matches!(
            flags & bindings::dentry_flags_DCACHE_ENTRY_TYPE,
            bindings::dentry_flags_DCACHE_DIRECTORY_TYPE
                | bindings::dentry_flags_DCACHE_REGULAR_TYPE
                | bindings::dentry_flags_DCACHE_SPECIAL_TYPE
                | bindings::dentry_flags_DCACHE_SYMLINK_TYPE
        );

        if !can_be_part || flags & managed != 0 {
            return true;
        }
        flags & own_names != 0 && !self.sb().has_encoding()
    }

    /// Is this dentry `ancestor` or somewhere below it?
    pub(crate) fn is_subdir_of(&self, ancestor: &Dentry) -> bool {
        // SAFETY: both are live; is_subdir() takes rename_lock.
        unsafe { bindings::is_subdir(self.as_ptr(), ancestor.as_ptr()) }
    }

    /// The same dentry?
    pub(crate) fn ptr_eq(&self, other: &Dentry) -> bool {
        core::ptr::eq(self, other)
    }

    /// The parent at this moment.
    pub(crate) fn parent(&self) -> ARef<Dentry> {
        // SAFETY: the dentry is live.
        let parent = unsafe { bindings::dget_parent(self.as_ptr()) };
        // SAFETY: every dentry has a parent, if only itself (fs/dcache.c, dget_parent()).
        let parent = unsafe { NonNull::new_unchecked(parent) };
        // SAFETY: dget_parent() took a count for us.
        unsafe { ARef::from_raw(parent.cast()) }
    }

    /// The real dentry below this one, if its filesystem is an overlay; else the dentry itself.
    pub(crate) fn real(&self, kind: RealType) -> &Dentry {
        // SAFETY: the dentry is live.
        let real = unsafe { bindings::d_real(self.as_ptr(), kind as u32) };
        // SAFETY: an overlay holds what it is made of for as long as its own inode lives.
        unsafe { Self::from_raw(real) }
    }

    /// Asks the filesystem of this dentry whether the name (`weak`: the object) is still valid,
    /// as a path walk outside of RCU does. `flags` are those of the walk.
    ///
    /// # Errors
    ///
    /// `ESTALE` if the name is not valid any more (then it is invalidated); those of the
    /// filesystem.
    pub(crate) fn revalidate(&self, flags: u32, weak: bool) -> Result<bool> {
        // SAFETY: d_op of a live dentry is constant.
        let ops = unsafe { (*self.as_ptr()).d_op };
        if weak {
            if !self.has_weak_revalidate() {
                return Ok(true);
            }
            // SAFETY: the flag says that there are operations, with this one.
            let Some(op) = (unsafe { (*ops).d_weak_revalidate }) else {
                return Ok(true);
            };
            // SAFETY: as ->d_weak_revalidate is called in fs/namei.c.
            return verdict(unsafe { op(self.as_ptr(), flags) });
        }
        if !self.has_revalidate() {
            return Ok(true);
        }
        // SAFETY: the flag says that there are operations, with this one.
        let Some(op) = (unsafe { (*ops).d_revalidate }) else {
            return Ok(true);
        };
        let parent = self.parent();
        let dir = parent.positive()?;
        pin_init::stack_pin_init!(let name = self.name_snapshot());
        // SAFETY: as ->d_revalidate is called in fs/namei.c; name and parent are held.
        let valid = verdict(unsafe { op(dir.as_ptr(), name.as_qstr(), self.as_ptr(), flags) })?;
        if !valid {
            // SAFETY: the dentry is live.
            unsafe { bindings::d_invalidate(self.as_ptr()) };
            return Err(ESTALE);
        }
        Ok(true)
    }

    /// A copy of the name as it is now; a rename does not change the copy.
    pub(crate) fn name_snapshot(&self) -> impl PinInit<NameSnapshot> + '_ {
        NameSnapshot::new(self)
    }

    /// For log lines: the name as it is now.
    pub(crate) fn log_name(&self) -> LogName<'_> {
        LogName(self)
    }
}

/// The name of a dentry at one moment, safe from renames.
///
/// It refers into itself or into the dentry's external name, so it must not move.
#[pin_data(PinnedDrop)]
pub(crate) struct NameSnapshot {
    #[pin]
    snapshot: Opaque<bindings::name_snapshot>,
}

impl NameSnapshot {
    fn new(dentry: &Dentry) -> impl PinInit<Self> + '_ {
        pin_init!(Self {
            // SAFETY: fills the whole snapshot under d_lock (fs/dcache.c).
            snapshot <- Opaque::ffi_init(|slot| unsafe {
                bindings::take_dentry_name_snapshot(slot, dentry.as_ptr())
            }),
        })
    }

    fn as_qstr(&self) -> *const bindings::qstr {
        // SAFETY: filled by `new`, not changed afterwards.
        unsafe { &raw const (*self.snapshot.get()).name }
    }

    /// The name: 1 to 255 bytes, no `/`, no NUL.
    pub(crate) fn name(&self) -> &[u8] {
        // SAFETY: the snapshot keeps the name alive for as long as `self`.
        unsafe { qstr_bytes(self.as_qstr()) }
    }
}

#[pinned_drop]
impl PinnedDrop for NameSnapshot {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: taken in `new`, released once.
        unsafe { bindings::release_dentry_name_snapshot(self.snapshot.get()) };
    }
}

/// See [`Dentry::log_name`].
pub(crate) struct LogName<'a>(&'a Dentry);

impl fmt::Display for LogName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        pin_init::stack_pin_init!(let snapshot = self.0.name_snapshot());
        fmt::Display::fmt(&log::Name(snapshot.name()), f)
    }
}

/// Which real dentry is asked for (`enum d_real_type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum RealType {
    /// The one with the data.
    Data = bindings::d_real_type_D_REAL_DATA,
    /// The one with the attributes.
    Metadata = bindings::d_real_type_D_REAL_METADATA,
}

/// What ->d_revalidate says: above zero valid, zero not, below an error.
fn verdict(n: i32) -> Result<bool> {
    to_result(n).map(|()| n > 0)
}

/// The bytes of a `struct qstr`.
///
/// # Safety
///
/// `qstr` must be valid and its name must not change for `'a`.
pub(super) unsafe fn qstr_bytes<'a>(qstr: *const bindings::qstr) -> &'a [u8] {
    // SAFETY: the caller proves that `qstr` is valid.
    let name = unsafe { (*qstr).name };
    // SAFETY: as above.
    let hash_len = unsafe { (*qstr).__bindgen_anon_1 };
    // SAFETY: the union is the pair of hash and length on every configuration.
    let len = unsafe { hash_len.__bindgen_anon_1 }.len;
    if name.is_null() {
        return &[];
    }
    // SAFETY: a qstr has `len` bytes (include/linux/dcache.h).
    unsafe { core::slice::from_raw_parts(name, len as usize) }
}

/// A `struct qstr` over `name`, for the functions that hash it themselves.
///
/// # Errors
///
/// `ENAMETOOLONG` if the length does not fit.
pub(super) fn qstr(name: &[u8]) -> Result<bindings::qstr> {
    let mut qstr: bindings::qstr = pin_init::zeroed();
    qstr.name = name.as_ptr();
    qstr.__bindgen_anon_1.__bindgen_anon_1.len =
        u32::try_from(name.len()).map_err(|_| ENAMETOOLONG)?;
    Ok(qstr)
}

/// Turns a pointer-or-error that carries a reference into an owned one.
///
/// # Safety
///
/// `ptr` must be null, an error pointer, or a dentry with a count for the caller.
pub(super) unsafe fn owned(ptr: *mut bindings::dentry) -> Result<ARef<Dentry>> {
    let ptr = from_err_ptr(ptr)?;
    let ptr = NonNull::new(ptr).ok_or(ENOENT)?;
    // SAFETY: the caller hands over a count.
    Ok(unsafe { ARef::from_raw(ptr.cast()) })
}
