// SPDX-License-Identifier: GPL-2.0

//! Changes of a directory of the upper layer: create, remove, rename.
//!
//! Each is a guard: `start_*` locks the directory and looks the name up, the guard performs the
//! change, and dropping the guard unlocks. The C functions behind the guards are the only ones
//! that may take the lock of a layer's directory.
//!
//! C headers: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use super::{
    super::{
        dentry::{
            self,
            Dentry, //
        },
        errno::{
            from_err_ptr,
            to_result, //
        },
        inode::Dev,
        mount::{
            Upper,
            UpperMount,
            UpperWrite, //
        },
    },
    bindings,
    Mounter, //
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// How a rename treats an existing target: the flags of renameat2(2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RenameFlags(u32);

impl RenameFlags {
    /// Replace whatever the new name stands for.
    pub(crate) const NONE: Self = Self(0);
    /// Fail with `EEXIST` if the new name exists.
    pub(crate) const NOREPLACE: Self = Self(bindings::RENAME_NOREPLACE);
    /// Swap the two names.
    pub(crate) const EXCHANGE: Self = Self(bindings::RENAME_EXCHANGE);
    /// Leave a whiteout under the old name.
    pub(crate) const WHITEOUT: Self = Self(bindings::RENAME_WHITEOUT);

    /// The flags as the VFS passes them.
    pub(in crate::vfs) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// All flags of `other` are set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// A flag that is not in `known` is set.
    pub(crate) const fn has_other_than(self, known: Self) -> bool {
        self.0 & !known.0 != 0
    }

    /// The flags of both.
    pub(crate) const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The flags that are not in `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Takes over the reference of a dentry that a `start_*` function or `vfs_mkdir()` returned.
///
/// # Safety
///
/// `ptr` must be null, an error pointer, or a dentry of the upper mount with a count that the
/// caller owns and will not use again.
unsafe fn started(ptr: *mut bindings::dentry) -> Result<NonNull<bindings::dentry>> {
    NonNull::new(from_err_ptr(ptr)?).ok_or(ENOENT)
}

impl UpperWrite<'_> {
    /// Locks `parent` and looks `name` up there, for creating it.
    ///
    /// The name may exist already: see [`Creating::is_positive`].
    ///
    /// # Errors
    ///
    /// Those of the lookup; `ENOENT` if `parent` was removed. (`fs/namei.c`, start_creating())
    pub(crate) fn start_creating<'a>(
        &'a self,
        _m: &Mounter<'_>,
        parent: &Upper<Dentry>,
        name: &[u8],
    ) -> Result<Creating<'a>> {
        let mut name = dentry::qstr(name)?;
        // SAFETY: `parent` is a live directory of the upper mount whose idmap is passed; `name`
        // is only read during the call (fs/namei.c, start_creating()).
        let child = unsafe { bindings::start_creating(self.idmap(), parent.as_ptr(), &mut name) };
        Ok(Creating {
            // SAFETY: start_creating() returns a counted dentry or an error pointer.
            child: unsafe { started(child) }?,
            mnt: self.mnt(),
            _task: NotThreadSafe,
        })
    }

    /// Locks `parent` and looks `name` up there, for removing it.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such name. (`fs/namei.c`, start_removing())
    pub(crate) fn start_removing<'a>(
        &'a self,
        _m: &Mounter<'_>,
        parent: &Upper<Dentry>,
        name: &[u8],
    ) -> Result<Removing<'a>> {
        let mut name = dentry::qstr(name)?;
        // SAFETY: as in `start_creating`.
        let child = unsafe { bindings::start_removing(self.idmap(), parent.as_ptr(), &mut name) };
        Ok(Removing {
            // SAFETY: start_removing() returns a counted dentry or an error pointer.
            child: unsafe { started(child) }?,
            mnt: self.mnt(),
            _task: NotThreadSafe,
        })
    }

    /// Locks `parent`, for removing `child` from it.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `child` is no longer a hashed child of `parent`, `ENOENT` if it is negative.
    /// (`fs/namei.c`, start_removing_dentry())
    pub(crate) fn start_removing_dentry<'a>(
        &'a self,
        _m: &Mounter<'_>,
        parent: &Upper<Dentry>,
        child: &Upper<Dentry>,
    ) -> Result<Removing<'a>> {
        // SAFETY: both are live; the function takes its own count of the child.
        let child = unsafe { bindings::start_removing_dentry(parent.as_ptr(), child.as_ptr()) };
        Ok(Removing {
            // SAFETY: start_removing_dentry() returns a counted dentry or an error pointer.
            child: unsafe { started(child) }?,
            mnt: self.mnt(),
            _task: NotThreadSafe,
        })
    }

    /// The part of a `struct renamedata` that every rename starts with.
    fn renamedata(
        &self,
        old_parent: &Upper<Dentry>,
        new_parent: &Upper<Dentry>,
        flags: RenameFlags,
    ) -> bindings::renamedata {
        bindings::renamedata {
            mnt_idmap: self.idmap(),
            old_parent: old_parent.as_ptr(),
            old_dentry: ptr::null_mut(),
            new_parent: new_parent.as_ptr(),
            new_dentry: ptr::null_mut(),
            delegated_inode: ptr::null_mut(),
            flags: flags.0,
        }
    }

    /// Locks both parents, for renaming `old` to where `new` is.
    ///
    /// # Errors
    ///
    /// `EINVAL` if one of them was moved or removed meanwhile or `old` is an ancestor of `new`;
    /// `ENOTEMPTY` (`EINVAL` for an exchange) if `new` is an ancestor of `old`; `EEXIST` with
    /// [`RenameFlags::NOREPLACE`]; `EXDEV` if the parents cannot be locked together.
    /// (`fs/namei.c`, start_renaming_two_dentries())
    pub(crate) fn start_renaming_dentries<'a>(
        &'a self,
        _m: &Mounter<'_>,
        old_parent: &Upper<Dentry>,
        old: &Upper<Dentry>,
        new_parent: &'a Upper<Dentry>,
        new: &Upper<Dentry>,
        flags: RenameFlags,
    ) -> Result<Renaming<'a>> {
        let mut rename = self.renamedata(old_parent, new_parent, flags);
        // SAFETY: all four dentries are live; the function takes the counts it keeps.
        to_result(unsafe {
            bindings::start_renaming_two_dentries(&mut rename, old.as_ptr(), new.as_ptr())
        })?;
        Ok(Renaming::started(rename, new_parent))
    }

    /// Locks both parents and looks `new_name` up, for renaming `old` to it.
    ///
    /// # Errors
    ///
    /// Those of [`UpperWrite::start_renaming_dentries`] and of the lookup; `EEXIST` if the name
    /// exists and `excl` asks for a free one. (`fs/namei.c`, start_renaming_dentry())
    #[allow(clippy::too_many_arguments)] // Two ends, two flags, two tokens.
    pub(crate) fn start_renaming_onto_name<'a>(
        &'a self,
        _m: &Mounter<'_>,
        old_parent: &Upper<Dentry>,
        old: &Upper<Dentry>,
        new_parent: &'a Upper<Dentry>,
        new_name: &[u8],
        flags: RenameFlags,
        excl: bool,
    ) -> Result<Renaming<'a>> {
        let mut rename = self.renamedata(old_parent, new_parent, flags);
        let mut new_name = dentry::qstr(new_name)?;
        let lookup = if excl {
            lookup_flag(bindings::LOOKUP_EXCL)
        } else {
            0
        };
        // SAFETY: the dentries are live, the name is only read during the call.
        to_result(unsafe {
            bindings::start_renaming_dentry(&mut rename, lookup, old.as_ptr(), &mut new_name)
        })?;
        Ok(Renaming::started(rename, new_parent))
    }

    /// Locks both parents and looks both names up, for renaming one to the other.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no `old_name`; otherwise as
    /// [`UpperWrite::start_renaming_dentries`]. (`fs/namei.c`, start_renaming())
    pub(crate) fn start_renaming_names<'a>(
        &'a self,
        _m: &Mounter<'_>,
        old_parent: &Upper<Dentry>,
        old_name: &[u8],
        new_parent: &'a Upper<Dentry>,
        new_name: &[u8],
        flags: RenameFlags,
    ) -> Result<Renaming<'a>> {
        let mut rename = self.renamedata(old_parent, new_parent, flags);
        let mut old_name = dentry::qstr(old_name)?;
        let mut new_name = dentry::qstr(new_name)?;
        // SAFETY: the parents are live, the names are only read during the call.
        to_result(unsafe {
            bindings::start_renaming(&mut rename, 0, &mut old_name, &mut new_name)
        })?;
        Ok(Renaming::started(rename, new_parent))
    }
}

/// A lookup flag as the `int` that the rename functions want.
fn lookup_flag(flag: u32) -> c_int {
    c_int::try_from(flag).unwrap_or(0)
}

/// A name about to be created: its directory is locked and the name was looked up.
///
/// Dropping it unlocks the directory.
///
/// # Invariants
///
/// `child` is a counted dentry of the upper mount `mnt` whose parent was locked by this task
/// through a `start_creating*` function, and neither was undone.
#[must_use = "the directory is unlocked when the guard is dropped"]
pub(crate) struct Creating<'a> {
    child: NonNull<bindings::dentry>,
    mnt: &'a UpperMount,
    _task: NotThreadSafe,
}

impl Creating<'_> {
    fn as_ptr(&self) -> *mut bindings::dentry {
        self.child.as_ptr()
    }

    fn idmap(&self) -> *mut bindings::mnt_idmap {
        self.mnt.idmap().as_ptr()
    }

    /// The inode of the locked directory.
    fn dir(&self) -> *mut bindings::inode {
        // SAFETY: the parent of a dentry cannot change while it is locked.
        let parent = unsafe { (*self.as_ptr()).d_parent };
        // SAFETY: a parent is positive and pinned by its child.
        unsafe { (*parent).d_inode }
    }

    /// The name and, once it is created, the object.
    pub(crate) fn dentry(&self) -> &Upper<Dentry> {
        // SAFETY: by the type invariant the count is held for as long as `self`.
        Upper::new_ref(unsafe { Dentry::from_raw(self.as_ptr()) })
    }

    /// Is there an object of this name already?
    pub(crate) fn is_positive(&self) -> bool {
        !self.dentry().is_negative()
    }

    /// Creates a regular file.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_create())
    pub(crate) fn create(&mut self, _m: &Mounter<'_>, mode: u16) -> Result {
        // SAFETY: by the type invariant the directory is locked.
        to_result(unsafe {
            bindings::vfs_create(self.idmap(), self.as_ptr(), mode, ptr::null_mut())
        })
    }

    /// Creates a directory. The filesystem may answer with another dentry than the one that was
    /// looked up, even with an unhashed one; the guard that is returned has it.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem; the directory is unlocked then. (`fs/namei.c`,
    /// vfs_mkdir())
    pub(crate) fn mkdir(self, _m: &Mounter<'_>, mode: u16) -> Result<Self> {
        let this = ManuallyDrop::new(self);
        // SAFETY: by the type invariant the directory is locked. vfs_mkdir() consumes the child
        // and ends the operation itself if it fails, so `this` is not dropped.
        let child = unsafe {
            bindings::vfs_mkdir(
                this.idmap(),
                this.dir(),
                this.as_ptr(),
                mode,
                ptr::null_mut(),
            )
        };
        Ok(Self {
            // INVARIANT: what vfs_mkdir() returns stands for the child that it was given.
            // SAFETY: vfs_mkdir() returns a counted dentry or an error pointer.
            child: unsafe { started(child) }?,
            mnt: this.mnt,
            _task: NotThreadSafe,
        })
    }

    /// Creates a device, a fifo or a socket.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_mknod())
    pub(crate) fn mknod(&mut self, _m: &Mounter<'_>, mode: u16, dev: Dev) -> Result {
        // SAFETY: by the type invariant the directory is locked.
        to_result(unsafe {
            bindings::vfs_mknod(
                self.idmap(),
                self.dir(),
                self.as_ptr(),
                mode,
                dev.to_raw(),
                ptr::null_mut(),
            )
        })
    }

    /// Creates a symbolic link.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_symlink())
    pub(crate) fn symlink(&mut self, _m: &Mounter<'_>, target: &CStr) -> Result {
        // SAFETY: by the type invariant the directory is locked; `target` is only read.
        to_result(unsafe {
            bindings::vfs_symlink(
                self.idmap(),
                self.dir(),
                self.as_ptr(),
                target.as_char_ptr(),
                ptr::null_mut(),
            )
        })
    }

    /// Makes the name a hard link of `src`.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_link())
    pub(crate) fn link(&mut self, _m: &Mounter<'_>, src: &Upper<Dentry>) -> Result {
        // SAFETY: by the type invariant the directory is locked; vfs_link() locks the source.
        to_result(unsafe {
            bindings::vfs_link(
                src.as_ptr(),
                self.idmap(),
                self.dir(),
                self.as_ptr(),
                ptr::null_mut(),
            )
        })
    }

    /// Creates a whiteout: a character device 0:0.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`include/linux/fs.h`, vfs_whiteout())
    pub(crate) fn whiteout(&mut self, _m: &Mounter<'_>) -> Result {
        // SAFETY: by the type invariant the directory is locked.
        to_result(unsafe { bindings::vfs_whiteout(self.idmap(), self.dir(), self.as_ptr()) })
    }

    /// Unlocks the directory and keeps the dentry.
    pub(crate) fn keep(self) -> ARef<Upper<Dentry>> {
        let kept = ARef::from(self.dentry());
        // The directory is unlocked here, which gives back the count of the guard.
        drop(self);
        kept
    }
}

impl Drop for Creating<'_> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the operation was started and not ended; this unlocks
        // the parent and gives the count back (include/linux/namei.h, end_creating()).
        unsafe { bindings::end_creating(self.as_ptr()) };
    }
}

/// A name about to be removed: its directory is locked and the name exists.
///
/// Dropping it unlocks the directory.
///
/// # Invariants
///
/// `child` is a counted positive dentry of the upper mount `mnt` whose parent was locked by this
/// task through a `start_removing*` function.
#[must_use = "the directory is unlocked when the guard is dropped"]
pub(crate) struct Removing<'a> {
    child: NonNull<bindings::dentry>,
    mnt: &'a UpperMount,
    _task: NotThreadSafe,
}

impl Removing<'_> {
    fn as_ptr(&self) -> *mut bindings::dentry {
        self.child.as_ptr()
    }

    /// The inode of the locked directory.
    fn dir(&self) -> *mut bindings::inode {
        // SAFETY: the parent of a dentry cannot change while it is locked.
        let parent = unsafe { (*self.as_ptr()).d_parent };
        // SAFETY: a parent is positive and pinned by its child.
        unsafe { (*parent).d_inode }
    }

    /// The object that is to go.
    pub(crate) fn dentry(&self) -> &Upper<Dentry> {
        // SAFETY: by the type invariant the count is held for as long as `self`.
        Upper::new_ref(unsafe { Dentry::from_raw(self.as_ptr()) })
    }

    /// Removes anything but a directory.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_unlink())
    pub(crate) fn unlink(&self, _m: &Mounter<'_>) -> Result {
        // SAFETY: by the type invariant the directory is locked.
        to_result(unsafe {
            bindings::vfs_unlink(
                self.mnt.idmap().as_ptr(),
                self.dir(),
                self.as_ptr(),
                ptr::null_mut(),
            )
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_rmdir())
    pub(crate) fn rmdir(&self, _m: &Mounter<'_>) -> Result {
        // SAFETY: by the type invariant the directory is locked.
        to_result(unsafe {
            bindings::vfs_rmdir(
                self.mnt.idmap().as_ptr(),
                self.dir(),
                self.as_ptr(),
                ptr::null_mut(),
            )
        })
    }
}

impl Drop for Removing<'_> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the operation was started and not ended
        // (include/linux/namei.h, end_removing()).
        unsafe { bindings::end_removing(self.as_ptr()) };
    }
}

/// A rename about to happen: both parents are locked, both names are looked up.
///
/// Dropping it unlocks the parents.
///
/// # Invariants
///
/// `rename` was filled by one of the `start_renaming*` functions, which pinned both dentries and
/// the old parent; `new_parent`, which it holds too, is borrowed.
#[must_use = "both directories are unlocked when the guard is dropped"]
pub(crate) struct Renaming<'a> {
    rename: bindings::renamedata,
    _new_parent: &'a Upper<Dentry>,
    _task: NotThreadSafe,
}

impl<'a> Renaming<'a> {
    fn started(rename: bindings::renamedata, new_parent: &'a Upper<Dentry>) -> Self {
        Self {
            rename,
            _new_parent: new_parent,
            _task: NotThreadSafe,
        }
    }

    /// What is to be renamed.
    pub(crate) fn source(&self) -> &Upper<Dentry> {
        // SAFETY: by the type invariant the count is held for as long as `self`.
        Upper::new_ref(unsafe { Dentry::from_raw(self.rename.old_dentry) })
    }

    /// What the new name stands for; negative if it is free.
    pub(crate) fn target(&self) -> &Upper<Dentry> {
        // SAFETY: by the type invariant the count is held for as long as `self`.
        Upper::new_ref(unsafe { Dentry::from_raw(self.rename.new_dentry) })
    }

    /// Changes the flags, once both ends were seen.
    pub(crate) fn set_flags(&mut self, flags: RenameFlags) {
        self.rename.flags = flags.0;
    }

    /// Performs the rename.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/namei.c`, vfs_rename())
    pub(crate) fn commit(&mut self, _m: &Mounter<'_>) -> Result {
        // SAFETY: by the type invariant both parents are locked and everything is pinned.
        to_result(unsafe { bindings::vfs_rename(&mut self.rename) })
    }
}

impl Drop for Renaming<'_> {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the rename was started and not ended (fs/namei.c,
        // end_renaming()).
        unsafe { bindings::end_renaming(&mut self.rename) };
    }
}
