// SPDX-License-Identifier: GPL-2.0

//! Mounts, paths and layers: which objects are real, and which of them may be changed.
//!
//! The type of a layer is part of the type of its dentries. [`Upper`] and [`Lower`] have no
//! constructor outside `vfs/`: an upper dentry comes from the root of an [`UpperMount`] and what
//! is looked up or created below it. Only `Upper` has operations that change something, and they
//! take an [`UpperWrite`] ([`super::dirop`]), so that writing to a lower layer does not compile.
//!
//! C headers: [`include/linux/mount.h`](srctree/include/linux/mount.h),
//! [`include/linux/namei.h`](srctree/include/linux/namei.h)

mod real_path;
mod unmount;

pub(crate) use self::{
    real_path::{
        LinkText,
        RealPath,
        CHANGES, //
    },
    unmount::Unmounting, //
};

use super::{
    bindings,
    cred::Mounter,
    dentry::{
        self,
        Dentry, //
    },
    errno::{
        from_err_ptr,
        to_result, //
    },
    file,
    super_block::SuperBlock,
    text::{
        c_str,
        Text, //
    },
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    alloc::KVec,
    ffi::c_int,
    fs::File,
    prelude::*,
    sync::aref::{
        ARef,
        AlwaysRefCounted, //
    },
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// How a mount translates owners (`struct mnt_idmap`).
#[repr(transparent)]
pub(crate) struct IdMap(Opaque<bindings::mnt_idmap>);

// SAFETY: an idmap is constant (fs/mnt_idmapping.c).
unsafe impl Sync for IdMap {}

impl IdMap {
    /// Borrows a C idmap.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::mnt_idmap) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C idmap.
    pub(super) fn as_ptr(&self) -> *mut bindings::mnt_idmap {
        self.0.get()
    }

    /// Does it change nothing?
    pub(crate) fn is_nop(&self) -> bool {
        core::ptr::eq(self, Self::nop())
    }

    /// The idmap that changes nothing.
    pub(crate) fn nop() -> &'static Self {
        let nop = &raw mut bindings::nop_mnt_idmap;
        // SAFETY: a static of the kernel (fs/mnt_idmapping.c).
        unsafe { Self::from_raw(nop) }
    }
}

/// A `struct vfsmount`.
///
/// # Invariants
///
/// Whoever holds a `&Mount` keeps its reference count above zero for that long.
#[repr(transparent)]
pub(crate) struct Mount(Opaque<bindings::vfsmount>);

// SAFETY: mntget() and mntput() may be called from any thread.
unsafe impl Send for Mount {}
// SAFETY: what `&Mount` offers reads words that do not change.
unsafe impl Sync for Mount {}

// SAFETY: mntget() and mntput() own the count of a mount.
unsafe impl AlwaysRefCounted for Mount {
    fn inc_ref(&self) {
        // SAFETY: a shared reference means that the count is not zero.
        unsafe { bindings::mntget(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a count back.
        unsafe { bindings::mntput(obj.cast().as_ptr()) };
    }
}

impl Mount {
    /// Borrows a C mount.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, with a count that is held for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::vfsmount) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C mount.
    pub(super) fn as_ptr(&self) -> *mut bindings::vfsmount {
        self.0.get()
    }

    /// How it translates owners.
    pub(crate) fn idmap(&self) -> &IdMap {
        // SAFETY: projecting a field of a live mount.
        let idmap = unsafe { &raw const (*self.as_ptr()).mnt_idmap };
        // SAFETY: one aligned word, stored whole with release order; what it points to is only
        // reached through it (mnt_idmap() in include/linux/mount.h).
        let idmap = unsafe { idmap.read_volatile() };
        // SAFETY: once it can be read, an idmap stays for the life of the mount.
        unsafe { IdMap::from_raw(idmap) }
    }

    /// Its root.
    pub(crate) fn root(&self) -> &Dentry {
        // SAFETY: constant for the life of the mount, which owns a count.
        let root = unsafe { (*self.as_ptr()).mnt_root };
        // SAFETY: as above.
        unsafe { Dentry::from_raw(root) }
    }

    /// Its superblock.
    pub(crate) fn sb(&self) -> &SuperBlock {
        // SAFETY: constant for the life of the mount, which keeps it active.
        let sb = unsafe { (*self.as_ptr()).mnt_sb };
        // SAFETY: as above.
        unsafe { SuperBlock::from_raw(sb) }
    }

    /// Read-only, as a mount or as a superblock?
    pub(crate) fn is_readonly(&self) -> bool {
        // SAFETY: the mount is alive.
        unsafe { bindings::__mnt_is_readonly(self.as_ptr()) }
    }

    /// The same mount?
    pub(crate) fn ptr_eq(&self, other: &Mount) -> bool {
        core::ptr::eq(self, other)
    }
}

/// A place in the namespace, owned: what a mount option names.
pub(crate) struct Path {
    mnt: ARef<Mount>,
    dentry: ARef<Dentry>,
}

impl Path {
    /// Looks `name` up from the current directory of the task.
    ///
    /// # Errors
    ///
    /// Those of path resolution. Sleeps.
    pub(crate) fn resolve(name: &CStr) -> Result<Self> {
        let mut path: bindings::path = pin_init::zeroed();
        // SAFETY: `name` is NUL-terminated, `path` is filled on success.
        to_result(unsafe {
            bindings::kern_path(name.as_char_ptr(), bindings::LOOKUP_FOLLOW, &mut path)
        })?;
        // SAFETY: kern_path() returned a path with a count on both parts.
        Ok(unsafe { Self::from_owned(path) })
    }

    /// Where an open file (also one opened with O_PATH) is.
    pub(crate) fn of_file(file: &File) -> Self {
        // SAFETY: the file is live.
        let path = unsafe { file::path(file.as_ptr()) };
        // SAFETY: a valid path, constant while the file is open.
        unsafe { bindings::path_get(path) };
        // SAFETY: as above.
        let path = unsafe { path.read() };
        // SAFETY: path_get() took the counts.
        unsafe { Self::from_owned(path) }
    }

    /// # Safety
    ///
    /// The caller hands over a count on both parts of `path`.
    unsafe fn from_owned(path: bindings::path) -> Self {
        // SAFETY: a path that has counts has no null pointers.
        let mnt = unsafe { NonNull::new_unchecked(path.mnt.cast()) };
        // SAFETY: as above.
        let dentry = unsafe { NonNull::new_unchecked(path.dentry.cast()) };
        Self {
            // SAFETY: the caller hands over the count.
            mnt: unsafe { ARef::from_raw(mnt) },
            // SAFETY: as above.
            dentry: unsafe { ARef::from_raw(dentry) },
        }
    }

    /// The mount.
    pub(crate) fn mnt(&self) -> &Mount {
        &self.mnt
    }

    /// The object.
    pub(crate) fn dentry(&self) -> &Dentry {
        &self.dentry
    }

    fn raw(&self) -> bindings::path {
        bindings::path {
            mnt: self.mnt.as_ptr(),
            dentry: self.dentry.as_ptr(),
        }
    }

    /// How the task sees the place, for show_options.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENAMETOOLONG`.
    pub(crate) fn display(&self) -> Result<Text> {
        let mut buf = KVec::from_elem(0u8, bindings::PATH_MAX as usize, GFP_KERNEL)?;
        let len = c_int::try_from(buf.len())?;
        let path = self.raw();
        // SAFETY: a valid path; at most `len` bytes are written.
        let text = unsafe { bindings::d_path(&path, buf.as_mut_ptr().cast(), len) };
        let text = from_err_ptr(text)?;
        // SAFETY: d_path() returns a string within the buffer.
        let text = unsafe { c_str(text) };
        Text::of(text)
    }

    /// A mount of this directory that no one else sees (clone_private_mount()). Asks for
    /// CAP_SYS_ADMIN of the task itself.
    fn clone_private(&self) -> Result<PrivateMount> {
        let path = self.raw();
        // SAFETY: a valid path.
        let mnt = from_err_ptr(unsafe { bindings::clone_private_mount_as_task(&path) })?;
        NonNull::new(mnt).map(PrivateMount).ok_or(EINVAL)
    }

    /// The directory as a lower layer: a private mount, read-only and without access times.
    pub(crate) fn clone_lower(&self) -> Result<LowerMount> {
        let mnt = self.clone_private()?;
        mnt.change_flags(bindings::MNT_READONLY | bindings::MNT_NOATIME, 0);
        Ok(LowerMount(mnt))
    }

    /// The directory as the upper layer: a private mount that takes no flags about access times
    /// over from the visible one.
    pub(crate) fn clone_upper(&self) -> Result<UpperMount> {
        let mnt = self.clone_private()?;
        mnt.change_flags(
            0,
            bindings::MNT_NOATIME | bindings::MNT_NODIRATIME | bindings::MNT_RELATIME,
        );
        Ok(UpperMount(mnt))
    }
}

/// A mount that is nowhere in the namespace; unmounted when dropped (sleeps).
struct PrivateMount(NonNull<bindings::vfsmount>);

// SAFETY: owns a count of a mount, which may be used from any thread.
unsafe impl Send for PrivateMount {}
// SAFETY: as above.
unsafe impl Sync for PrivateMount {}

impl PrivateMount {
    /// Only for a mount that no one uses yet.
    fn change_flags(&self, set: u32, clear: u32) {
        // SAFETY: a private mount that was just made: nobody else reads its flags.
        unsafe { bindings::mnt_set_flags(self.0.as_ptr(), set as i32, clear as i32) };
    }
}

impl Deref for PrivateMount {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        // SAFETY: `self` owns a count.
        unsafe { Mount::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for PrivateMount {
    fn drop(&mut self) {
        let mut mnt = self.0.as_ptr();
        // SAFETY: made by clone_private_mount(), which this undoes (fs/namespace.c); unlike
        // kern_unmount() it waits for an expedited grace period.
        unsafe { bindings::kern_unmount_array(&mut mnt, 1) };
    }
}

/// The mount of a lower layer.
pub(crate) struct LowerMount(PrivateMount);

impl LowerMount {
    /// The root of the layer.
    pub(crate) fn root(&self) -> &Lower<Dentry> {
        Lower::new_ref(self.0.root())
    }

    /// Looks a path up from the root of the layer on, which it must not leave, nor go through a
    /// symbolic link.
    ///
    /// # Errors
    ///
    /// Those of path resolution. Sleeps.
    pub(crate) fn lookup_beneath(
        &self,
        _: &Mounter<'_>,
        path: &CStr,
    ) -> Result<ARef<Lower<Dentry>>> {
        let flags =
            bindings::LOOKUP_BENEATH | bindings::LOOKUP_NO_SYMLINKS | bindings::LOOKUP_NO_XDEV;
        let (dir, mnt) = (self.root().as_ptr(), self.as_ptr());
        let mut found: bindings::path = pin_init::zeroed();
        // SAFETY: a live mount and its root; `path` ends with a NUL; `found` is filled on success.
        to_result(unsafe {
            bindings::vfs_path_lookup(dir, mnt, path.as_char_ptr(), flags, &mut found)
        })?;
        // SAFETY: vfs_path_lookup() returned a path with a count on both parts.
        let found = unsafe { Path::from_owned(found) };
        Ok(Lower::new_owned(found.dentry))
    }
}

impl Deref for LowerMount {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.0
    }
}

/// The mount of the upper layer: the source of every [`Upper`] and of the right to write.
pub(crate) struct UpperMount(PrivateMount);

impl Deref for UpperMount {
    type Target = Mount;

    fn deref(&self) -> &Mount {
        &self.0
    }
}

impl UpperMount {
    /// The root of the layer.
    pub(crate) fn root(&self) -> &Upper<Dentry> {
        Upper::new_ref(self.0.root())
    }

    /// The directory given as `workdir=`, which we may change too: it is on the same filesystem
    /// and was reached through the same mount as `upperdir=`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is on another filesystem.
    pub(crate) fn adopt(&self, dir: &Path) -> Result<ARef<Upper<Dentry>>> {
        if !dir.dentry.sb().ptr_eq(self.sb()) {
            return Err(EINVAL);
        }
        Ok(Upper::new_owned(dir.dentry.clone()))
    }

    /// The dentry of a temporary file that was opened on this layer.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file is on another filesystem.
    pub(crate) fn tmpfile_dentry(&self, file: &File) -> Result<ARef<Upper<Dentry>>> {
        let path = Path::of_file(file);
        self.adopt(&path)
    }

    /// The right to write, or `EROFS`. Sleeps while the filesystem is frozen.
    pub(crate) fn want_write(&self) -> Result<UpperWrite<'_>> {
        // SAFETY: the mount is alive.
        to_result(unsafe { bindings::mnt_want_write(self.as_ptr()) })?;
        Ok(UpperWrite {
            mnt: self,
            with_mount: true,
            _task: NotThreadSafe,
        })
    }

    /// Keeps the mount from becoming read-only, or `EROFS`. Does not wait for a frozen
    /// filesystem: that is [`WriteAccess::start_write`].
    pub(crate) fn write_access(&self) -> Result<WriteAccess<'_>> {
        // SAFETY: the mount is alive.
        to_result(unsafe { bindings::mnt_get_write_access(self.as_ptr()) })?;
        Ok(WriteAccess { mnt: self })
    }
}

/// The upper mount does not become read-only as long as this lives.
#[must_use = "write access ends when this is dropped"]
pub(crate) struct WriteAccess<'w> {
    mnt: &'w UpperMount,
}

impl WriteAccess<'_> {
    /// The right to write. Sleeps while the filesystem is frozen.
    pub(crate) fn start_write(&self) -> UpperWrite<'_> {
        // SAFETY: the superblock is active while the mount is alive.
        unsafe { bindings::sb_start_write(self.mnt.sb().as_ptr()) };
        UpperWrite {
            mnt: self.mnt,
            with_mount: false,
            _task: NotThreadSafe,
        }
    }
}

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        // SAFETY: taken by `write_access`.
        unsafe { bindings::mnt_put_write_access(self.mnt.as_ptr()) };
    }
}

/// Proof that the upper layer may be changed now: its mount is writable and its filesystem is
/// not frozen. Every change of a layer goes through a method of this type ([`super::dirop`]).
///
/// Do not take an i_rwsem of a lower inode while one is held: a nested overlay takes them in the
/// other order.
#[must_use = "the right to write ends when this is dropped"]
pub(crate) struct UpperWrite<'w> {
    mnt: &'w UpperMount,
    /// Taken by mnt_want_write() rather than by sb_start_write() alone.
    with_mount: bool,
    _task: NotThreadSafe,
}

impl<'w> UpperWrite<'w> {
    /// The upper mount.
    pub(crate) fn mnt(&self) -> &'w UpperMount {
        self.mnt
    }

    /// How the upper mount translates owners.
    pub(super) fn idmap(&self) -> *mut bindings::mnt_idmap {
        self.mnt.idmap().as_ptr()
    }
}

impl Drop for UpperWrite<'_> {
    fn drop(&mut self) {
        if self.with_mount {
            // SAFETY: taken by `want_write`.
            unsafe { bindings::mnt_drop_write(self.mnt.as_ptr()) };
        } else {
            // SAFETY: taken by `start_write`.
            unsafe { bindings::sb_end_write(self.mnt.sb().as_ptr()) };
        }
    }
}

macro_rules! layer_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[repr(transparent)]
        pub(crate) struct $name<T>(T);

        impl<T> $name<T> {
            /// Says of which layer `inner` is.
            pub(super) fn new_ref(inner: &T) -> &Self {
                // SAFETY: the type is transparent.
                unsafe { &*core::ptr::from_ref(inner).cast() }
            }
        }

        impl $name<Dentry> {
            /// Says of which layer an owned dentry is.
            pub(super) fn new_owned(inner: ARef<Dentry>) -> ARef<Self> {
                // SAFETY: the type is transparent; the count moves along.
                unsafe { ARef::from_raw(ARef::into_raw(inner).cast()) }
            }
        }

        impl<T> Deref for $name<T> {
            type Target = T;

            fn deref(&self) -> &T {
                &self.0
            }
        }

        // SAFETY: counts like the dentry that it is.
        unsafe impl AlwaysRefCounted for $name<Dentry> {
            fn inc_ref(&self) {
                self.0.inc_ref();
            }

            unsafe fn dec_ref(obj: NonNull<Self>) {
                // SAFETY: the caller gives a count back.
                unsafe { Dentry::dec_ref(obj.cast()) };
            }
        }

        impl LayerDentry for $name<Dentry> {
            fn adopt(inner: ARef<Dentry>) -> ARef<Self> {
                Self::new_owned(inner)
            }
        }
    };
}

layer_type! {
    /// Of the upper layer (or the work directory): may be changed.
    Upper
}

layer_type! {
    /// Of a lower layer: never changed.
    Lower
}

mod sealed {
    /// Only this room says of which layer a dentry is.
    pub(crate) trait Layer {}
    impl<T> Layer for super::Upper<T> {}
    impl<T> Layer for super::Lower<T> {}
}

/// A dentry of a layer, upper or lower: what lookup does alike in both.
pub(crate) trait LayerDentry:
    AlwaysRefCounted + Deref<Target = Dentry> + sealed::Layer + Sized
{
    /// Says of which layer `inner` is.
    #[doc(hidden)]
    fn adopt(inner: ARef<Dentry>) -> ARef<Self>;

    /// Looks `name` up in this directory. The result may be negative.
    ///
    /// # Errors
    ///
    /// Those of the filesystem, `EACCES` if the mounter may not search the directory. Takes the
    /// directory's i_rwsem shared if the name is not cached; sleeps.
    fn lookup(&self, _: &Mounter<'_>, mnt: &Mount, name: &[u8]) -> Result<ARef<Self>> {
        let mut name = dentry::qstr(name)?;
        // SAFETY: all arguments are live; the function hashes the name itself.
        let found = unsafe {
            bindings::lookup_one_unlocked(mnt.idmap().as_ptr(), &mut name, self.as_ptr())
        };
        // SAFETY: returns a counted dentry or an error.
        unsafe { dentry::owned(found) }.map(Self::adopt)
    }

    /// As [`LayerDentry::lookup`]; `None` if there is no such name. A negative dentry that this
    /// made is dropped from the dcache if `forget` (nobody will ask the layer for it again).
    ///
    /// # Errors
    ///
    /// As [`LayerDentry::lookup`].
    fn lookup_positive(
        &self,
        m: &Mounter<'_>,
        mnt: &Mount,
        name: &[u8],
        forget: bool,
    ) -> Result<Option<ARef<Self>>> {
        let found = match self.lookup(m, mnt, name) {
            Err(e) if e == ENOENT => return Ok(None),
            other => other?,
        };
        if !found.is_negative() {
            return Ok(Some(found));
        }
        if forget {
            found.drop_if_last();
        }
        Ok(None)
    }
}

impl Dentry {
    /// Drops a negative dentry from the hash if no one else uses it.
    fn drop_if_last(&self) {
        // SAFETY: takes d_lock; looks at the count and at the inode.
        unsafe { bindings::d_drop_if_last_negative(self.as_ptr()) };
    }
}
