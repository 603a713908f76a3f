// SPDX-License-Identifier: GPL-2.0

//! Open files: ours, and the real ones behind them.
//!
//! A file of ours ([`FsFile`]) has no data. Its operations find the real file, opened on a layer
//! as a *backing file* that remembers the path the user knows, and pass the operation on. The
//! `backing_*` functions do that for data: they take the mounter's credentials themselves and
//! call [`IoHooks`] when the real file was read or written.
//!
//! C headers: [`include/linux/backing-file.h`](srctree/include/linux/backing-file.h),
//! [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod backing;
mod transfer;

pub(crate) use self::{
    backing::{
        backing_mmap,
        backing_read_iter,
        backing_splice_read,
        backing_splice_write,
        backing_write_iter,
        IoCb,
        IoHooks,
        Iter,
        Pipe,
        Vma, //
    },
    transfer::{
        clone_file_range,
        clone_range,
        copy_file_range,
        dedupe_file_range,
        splice_direct,
        Place,
        RemapFlags, //
    },
};

use super::{
    bindings,
    cred::Mounter,
    dentry::{
        qstr,
        Dentry, //
    },
    errno::*,
    inode::Inode,
    mount::{
        Mount,
        RealPath, //
    },
    own::{
        Child,
        FileSystem,
        FsDentry,
        FsInode, //
    },
    stat::Stat,
    vtable::FileOps,
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
    sync::atomic::{
        AtomicPtr,
        Ordering::{
            AcqRel,
            Acquire,
            Relaxed, //
        }, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef,
    types::{
        ForeignOwnable,
        Opaque, //
    },
};

pub(crate) use kernel::fs::file::flags as oflags;
pub(crate) use kernel::fs::File;

/// Seek from the start.
pub(crate) const SEEK_SET: i32 = 0;
/// Seek from the current position.
pub(crate) const SEEK_CUR: i32 = 1;
/// Seek to the next data.
pub(crate) const SEEK_DATA: i32 = 3;

/// The flags of open(2) as the `int` that C passes them in.
pub(super) fn c_flags(flags: u32) -> c_int {
    c_int::from_ne_bytes(flags.to_ne_bytes())
}

/// What a position or a negative errno means.
fn position(ret: i64) -> Result<i64> {
    if ret < 0 {
        Err(errno(ret))
    } else {
        Ok(ret)
    }
}

/// A negative errno in a wide result.
fn errno(ret: i64) -> Error {
    i32::try_from(ret).map_or(EIO, Error::from_errno)
}

/// Takes over a file that C returned.
///
/// # Errors
///
/// The one in the pointer; `EIO` for null.
///
/// # Safety
///
/// `file` must be an error pointer or a file with a count that the caller owns and gives away.
/// It must not be in use by an `fdget_pos()` without the position lock.
pub(super) unsafe fn owned(file: *mut bindings::file) -> Result<ARef<File>> {
    let file = NonNull::new(from_err_ptr(file)?).ok_or(EIO)?;
    // SAFETY: the caller proves it; `File` is transparent.
    Ok(unsafe { ARef::from_raw(file.cast()) })
}

// --- files of any filesystem -----------------------------------------------------------------

/// The access that open(2) with these flags asks for, as `->permission` takes it: read, write,
/// append.
pub(crate) fn access_mode(flags: u32) -> i32 {
    use super::inode::may;

    let access = match flags & oflags::O_ACCMODE {
        oflags::O_RDONLY => may::READ,
        oflags::O_WRONLY => may::WRITE,
        // O_RDWR, and 3, which asks for both but opens for neither (ACC_MODE() in
        // include/linux/fs.h).
        _ => may::READ | may::WRITE,
    };
    if flags & oflags::O_APPEND != 0 {
        access | may::APPEND
    } else {
        access
    }
}

/// The mount and the dentry that an open file was opened by. They do not change.
///
/// # Safety
///
/// `file` must be live.
pub(super) unsafe fn path(file: *mut bindings::file) -> *const bindings::path {
    // SAFETY: the caller proves it.
    let names = unsafe { &raw const (*file).__bindgen_anon_1 };
    // A union of two views of one `struct path`.
    names.cast()
}

/// The dentry of an open file.
pub(crate) fn dentry(file: &File) -> &Dentry {
    // SAFETY: the file is live.
    let path = unsafe { path(file.as_ptr()) };
    // SAFETY: the path of an open file does not change.
    let dentry = unsafe { (*path).dentry };
    // SAFETY: an open file pins its dentry.
    unsafe { Dentry::from_raw(dentry) }
}

/// The inode of an open file.
pub(crate) fn inode(file: &File) -> &Inode {
    // SAFETY: f_inode is set when a file is opened and does not change.
    let inode = unsafe { (*file.as_ptr()).f_inode };
    // SAFETY: an open file pins its dentry, which pins the inode.
    unsafe { Inode::from_raw(inode) }
}

/// Can one seek in it?
pub(crate) fn can_llseek(file: &File) -> bool {
    // SAFETY: f_mode is set when a file is opened; the bit does not change afterwards.
    let mode = unsafe { (*file.as_ptr()).f_mode };
    mode & bindings::FMODE_LSEEK != 0
}

/// The position of a file.
pub(crate) fn pos(file: &File) -> i64 {
    // SAFETY: projecting a field of a live file.
    let pos = unsafe { &raw const (*file.as_ptr()).f_pos };
    // SAFETY: one aligned word; whoever races stores it whole.
    unsafe { pos.read_volatile() }
}

/// Sets the position of a file. The caller serialises the users of the position.
pub(crate) fn set_pos(file: &File, to: i64) {
    // SAFETY: projecting a field of a live file.
    let pos = unsafe { &raw mut (*file.as_ptr()).f_pos };
    // SAFETY: one aligned word; whoever races loads it whole.
    unsafe { pos.write_volatile(to) };
}

/// Moves the position of a file as lseek(2) does.
///
/// # Errors
///
/// Those of the filesystem; `ENXIO` beyond the last data. (`fs/read_write.c`, vfs_llseek())
pub(crate) fn llseek(file: &File, offset: i64, whence: i32) -> Result<i64> {
    // SAFETY: the file is open.
    position(unsafe { bindings::vfs_llseek(file.as_ptr(), offset, whence) })
}

/// Writes data (and with `datasync` unset, metadata) of a file to the disk.
///
/// # Errors
///
/// Those of the filesystem. (`fs/sync.c`, vfs_fsync())
pub(crate) fn fsync(file: &File, datasync: bool) -> Result {
    fsync_range(file, 0, i64::MAX, datasync)
}

/// As [`fsync`], for the bytes from `start` to `end` included.
///
/// # Errors
///
/// Those of the filesystem. (`fs/sync.c`, vfs_fsync_range())
pub(crate) fn fsync_range(file: &File, start: i64, end: i64, datasync: bool) -> Result {
    // SAFETY: the file is open.
    to_result(unsafe {
        bindings::vfs_fsync_range(file.as_ptr(), start, end, c_int::from(datasync))
    })
}

/// Makes or gives up space of a file (fallocate(2)).
///
/// # Errors
///
/// Those of the filesystem. (`fs/open.c`, vfs_fallocate())
pub(crate) fn fallocate(file: &File, mode: i32, offset: i64, len: i64) -> Result {
    // SAFETY: the file is open.
    to_result(unsafe { bindings::vfs_fallocate(file.as_ptr(), mode, offset, len) })
}

/// Says how a range of a file will be used (fadvise(2)).
///
/// # Errors
///
/// `EINVAL` for unknown advice. (`mm/fadvise.c`, vfs_fadvise())
pub(crate) fn fadvise(file: &File, offset: i64, len: i64, advice: i32) -> Result {
    // SAFETY: the file is open.
    to_result(unsafe { bindings::vfs_fadvise(file.as_ptr(), offset, len, advice) })
}

/// Checks that `len` bytes may be read at `pos`, by the security modules too.
///
/// # Errors
///
/// `EINVAL` for an impossible range; what a security module says. (`fs/read_write.c`,
/// rw_verify_area())
pub(crate) fn verify_area_read(file: &File, pos: i64, len: i64) -> Result {
    verify_area(file, pos, len, bindings::READ)
}

/// Checks that `len` bytes may be written at `pos`, by the security modules too.
///
/// # Errors
///
/// `EINVAL` for an impossible range; what a security module says. (`fs/read_write.c`,
/// rw_verify_area())
pub(crate) fn verify_area_write(file: &File, pos: i64, len: i64) -> Result {
    verify_area(file, pos, len, bindings::WRITE)
}

fn verify_area(file: &File, pos: i64, len: i64, direction: u32) -> Result {
    let len = usize::try_from(len).map_err(|_| EINVAL)?;
    let direction = c_int::try_from(direction).map_err(|_| EINVAL)?;
    // SAFETY: the file is open; `pos` is read during the call.
    to_result(unsafe { bindings::rw_verify_area(direction, file.as_ptr(), &pos, len) })
}

/// Who closes a file: the identity that `->flush` gets, with which lock owners are compared.
#[derive(Clone, Copy)]
pub(crate) struct FlushId(bindings::fl_owner_t);

impl FlushId {
    /// The identity that the VFS passes to `->flush`.
    pub(super) fn from_raw(id: bindings::fl_owner_t) -> Self {
        Self(id)
    }
}

/// Does the filesystem of `file` want to know that a descriptor is being closed?
pub(crate) fn has_flush(file: &File) -> bool {
    // SAFETY: f_op is set when a file is opened; operation tables do not go away before.
    let ops = unsafe { (*file.as_ptr()).f_op };
    // SAFETY: as above.
    unsafe { (*ops).flush }.is_some()
}

/// Tells the filesystem of `file` that a descriptor is being closed, if it wants to know.
///
/// # Errors
///
/// Those of the filesystem: delayed write errors.
pub(crate) fn flush(file: &File, id: FlushId) -> Result {
    // SAFETY: f_op is set when a file is opened; operation tables do not go away before.
    let ops = unsafe { (*file.as_ptr()).f_op };
    // SAFETY: as above.
    match unsafe { (*ops).flush } {
        // SAFETY: the identity is only compared (Documentation/filesystems/vfs.rst, flush).
        Some(flush) => to_result(unsafe { flush(file.as_ptr(), id.0) }),
        None => Ok(()),
    }
}

// --- files of ours ----------------------------------------------------------------------------

/// An open file of our filesystem.
///
/// # Invariants
///
/// Whoever holds a `&FsFile<F>` keeps the `struct file` open for that long. Its inode and its
/// dentry belong to a superblock of `F`.
#[repr(transparent)]
pub(crate) struct FsFile<F>(Opaque<bindings::file>, PhantomData<F>);

impl<F: FileSystem> FsFile<F> {
    /// Borrows a C file.
    ///
    /// # Safety
    ///
    /// `ptr` must be a file of a superblock of `F` that stays open for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::file) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C file.
    pub(super) fn as_ptr(&self) -> *mut bindings::file {
        self.0.get()
    }

    /// The flags of open(2) and of `F_SETFL`.
    pub(crate) fn flags(&self) -> u32 {
        // SAFETY: projecting a field of a live file.
        let flags = unsafe { &raw const (*self.as_ptr()).f_flags };
        // SAFETY: one aligned word; F_SETFL stores it whole.
        unsafe { flags.read_volatile() }
    }

    /// Clears flags that the layers must not see again. For `->open` alone, before anyone else
    /// has the file.
    pub(crate) fn clear_flags(&self, flags: u32) {
        // SAFETY: projecting a field of a live file.
        let word = unsafe { &raw mut (*self.as_ptr()).f_flags };
        // SAFETY: one aligned word of a file that is being opened.
        unsafe { word.write_volatile(self.flags() & !flags) };
    }

    /// The position.
    pub(crate) fn pos(&self) -> i64 {
        // SAFETY: projecting a field of a live file.
        let pos = unsafe { &raw const (*self.as_ptr()).f_pos };
        // SAFETY: one aligned word; whoever races stores it whole.
        unsafe { pos.read_volatile() }
    }

    /// Sets the position. For `->llseek`, whose caller serialises those who share the file.
    pub(crate) fn set_pos(&self, to: i64) {
        // SAFETY: projecting a field of a live file.
        let pos = unsafe { &raw mut (*self.as_ptr()).f_pos };
        // SAFETY: one aligned word; whoever races loads it whole.
        unsafe { pos.write_volatile(to) };
    }

    /// Moves the position to `to`, as lseek(2) does.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless it is between 0 and `max`. (`fs/read_write.c`, vfs_setpos())
    pub(crate) fn set_pos_checked(&self, to: i64, max: i64) -> Result<i64> {
        // SAFETY: the file is open.
        position(unsafe { bindings::vfs_setpos(self.as_ptr(), to, max) })
    }

    /// What was opened.
    pub(crate) fn dentry(&self) -> &FsDentry<F> {
        // SAFETY: the path of an open file does not change.
        let dentry = unsafe { (*self.path()).dentry };
        // SAFETY: an open file pins its dentry, which is one of `F` by the type invariant.
        unsafe { FsDentry::from_raw(dentry) }
    }

    /// The inode that was opened.
    pub(crate) fn inode(&self) -> &FsInode<F> {
        // SAFETY: f_inode is set when a file is opened and does not change.
        let inode = unsafe { (*self.as_ptr()).f_inode };
        // SAFETY: an open file pins its inode, which is one of `F` by the type invariant.
        unsafe { FsInode::from_raw(inode) }
    }

    /// Drops set-id bits and capabilities of our inode as a write does. The caller holds the
    /// inode lock; goes through our `->setattr` and xattrs.
    ///
    /// # Errors
    ///
    /// Those of the attribute change. (`fs/inode.c`, file_remove_privs())
    pub(crate) fn remove_privs(&self) -> Result {
        // SAFETY: the file is open.
        to_result(unsafe { bindings::file_remove_privs(self.as_ptr()) })
    }

    /// Updates the access time of our inode, if the mount and the file want that.
    pub(crate) fn touch_atime(&self) {
        // SAFETY: the path of an open file is valid.
        unsafe { bindings::touch_atime(self.path()) };
    }

    /// Looks a name up in this open directory of ours. The result may be negative. The caller
    /// holds the lock of the directory (`->iterate_shared` does).
    ///
    /// # Errors
    ///
    /// Those of our lookup. (`fs/namei.c`, lookup_one())
    pub(crate) fn lookup_child(&self, _m: &Mounter<'_>, name: &[u8]) -> Result<ARef<FsDentry<F>>> {
        let mut name = qstr(name)?;
        // SAFETY: the mount of an open file is pinned.
        let idmap = unsafe { Mount::from_raw(self.mnt()) }.idmap().as_ptr();
        let base = self.dentry().as_ptr();
        // SAFETY: `base` is a live directory; the name is only read during the call.
        let child = from_err_ptr(unsafe { bindings::lookup_one(idmap, &mut name, base) })?;
        let child = NonNull::new(child).ok_or(ENOENT)?;
        // SAFETY: lookup_one() returns a counted dentry of our superblock.
        Ok(unsafe { ARef::from_raw(child.cast()) })
    }

    /// The attributes of an object of ours, as they are seen through the mount that this file was
    /// opened on.
    ///
    /// # Errors
    ///
    /// Those of our `->getattr`. (`fs/stat.c`, vfs_getattr())
    pub(crate) fn getattr_via(&self, dentry: &FsDentry<F>, stat: &mut Stat, mask: u32) -> Result {
        let path = bindings::path {
            mnt: self.mnt(),
            dentry: dentry.as_ptr(),
        };
        // SAFETY: the path is valid during the call; `stat` is ours.
        to_result(unsafe { bindings::vfs_getattr(&path, stat.as_mut_ptr(), mask, 0) })
    }

    /// The mount and the dentry that the file was opened by.
    fn path(&self) -> *const bindings::path {
        // SAFETY: the file is live.
        unsafe { path(self.as_ptr()) }
    }

    /// The mount that the file was opened on.
    fn mnt(&self) -> *mut bindings::vfsmount {
        // SAFETY: the path of an open file does not change.
        unsafe { (*self.path()).mnt }
    }
}

/// Opens the real object behind a file of ours, as a backing file: mappings and events show the
/// path of `user`. `flags` are those of open(2).
///
/// # Errors
///
/// `EPERM` if the real object is immutable or append-only and the flags ask for more; those of
/// the layer. (`fs/backing-file.c`, backing_file_open())
pub(crate) fn backing_open<F: FileSystem>(
    user: &FsFile<F>,
    _m: &Mounter<'_>,
    flags: u32,
    real: RealPath<'_>,
) -> Result<ARef<File>> {
    real.inode()?;
    let path = real.raw();
    // SAFETY: the task's credentials live as long as they are in force.
    let cred = unsafe { bindings::current_cred() };
    // SAFETY: `user` is open, `path` valid and positive; the new file takes its own references.
    let file = unsafe { bindings::backing_file_open(user.as_ptr(), c_flags(flags), &path, cred) };
    // SAFETY: backing_file_open() returns a new file or an error pointer.
    unsafe { owned(file) }
}

/// Creates a file without a name in the real directory `parent`, as the backing file of `user`,
/// opened as the user asked but without access times.
///
/// # Errors
///
/// `EOPNOTSUPP` if the filesystem has no O_TMPFILE; those of the layer. (`fs/backing-file.c`,
/// backing_tmpfile_open())
pub(crate) fn backing_tmpfile_open<F: FileOps>(
    user: &TmpFile<'_, F>,
    _m: &Mounter<'_>,
    parent: RealPath<'_>,
    mode: u16,
) -> Result<ARef<File>> {
    let path = parent.raw();
    // SAFETY: the task's credentials live as long as they are in force.
    let cred = unsafe { bindings::current_cred() };
    let flags = c_flags(user.file.flags() | oflags::O_NOATIME);
    // SAFETY: the file of `user` is live, `path` valid; the new file takes its own references.
    let file =
        unsafe { bindings::backing_tmpfile_open(user.file.as_ptr(), flags, &path, mode, cred) };
    // SAFETY: backing_tmpfile_open() returns a new file or an error pointer.
    unsafe { owned(file) }
}

/// The flags that `F_SETFL` may change and that the real file has to follow.
const FOLLOWED: u32 = oflags::O_APPEND | oflags::O_NONBLOCK | oflags::O_NDELAY | oflags::O_DIRECT;

/// Gives the real file the flags that the user's file has now.
///
/// # Errors
///
/// `EPERM` if the real inode is append-only and O_APPEND changes; `EINVAL` if the real file has no
/// direct I/O; what its filesystem says.
pub(crate) fn sync_real_flags<F: FileSystem>(user: &FsFile<F>, real: &File) -> Result {
    // The real file is opened without access times, whatever the user's has.
    let differs = (user.flags() ^ real.flags()) & !oflags::O_NOATIME;
    if differs == 0 {
        return Ok(());
    }
    let flags = user.flags() & FOLLOWED;

    if (flags ^ real.flags()) & oflags::O_APPEND != 0 && inode(real).is_append() {
        return Err(EPERM);
    }
    // SAFETY: f_mode is set when a file is opened; the bit does not change afterwards.
    let mode = unsafe { (*real.as_ptr()).f_mode };
    if flags & oflags::O_DIRECT != 0 && mode & bindings::FMODE_CAN_ODIRECT == 0 {
        return Err(EINVAL);
    }
    // SAFETY: f_op is set when a file is opened.
    let ops = unsafe { (*real.as_ptr()).f_op };
    // SAFETY: operation tables do not go away before the file.
    if let Some(check_flags) = unsafe { (*ops).check_flags } {
        // SAFETY: only looks at the flags (Documentation/filesystems/vfs.rst, check_flags).
        to_result(unsafe { check_flags(c_flags(flags)) })?;
    }
    // SAFETY: the file is open; takes its f_lock.
    unsafe { bindings::file_set_flags(real.as_ptr(), flags, FOLLOWED) };
    Ok(())
}

/// A place for one open file that is filled at most once and read without a lock.
pub(crate) struct FileSlot(AtomicPtr<File>);

// SAFETY: the slot owns a count of a `File`, which is Send and Sync; the pointer is atomic.
unsafe impl Send for FileSlot {}
// SAFETY: as above.
unsafe impl Sync for FileSlot {}

impl FileSlot {
    /// Nothing in it.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The file, if there is one.
    pub(crate) fn get(&self) -> Option<&File> {
        let file = NonNull::new(self.0.load(Acquire))?;
        // SAFETY: the slot owns a count until it is dropped, and never changes once filled.
        Some(unsafe { file.as_ref() })
    }

    /// Puts `file` in, unless there is one already, which then stays. Returns what is in.
    pub(crate) fn set(&self, file: ARef<File>) -> &File {
        let new = ARef::into_raw(file);
        let kept = match self
            .0
            .compare_exchange(ptr::null_mut(), new.as_ptr(), AcqRel, Acquire)
        {
            Ok(_) => new.as_ptr(),
            Err(winner) => {
                // SAFETY: made by `into_raw` above, and not in the slot.
                drop(unsafe { ARef::<File>::from_raw(new) });
                winner
            }
        };
        // SAFETY: the slot owns a count of what is in it until it is dropped.
        unsafe { &*kept }
    }
}

impl Drop for FileSlot {
    fn drop(&mut self) {
        if let Some(file) = NonNull::new(self.0.load(Relaxed)) {
            // SAFETY: the count that the slot owns.
            drop(unsafe { ARef::<File>::from_raw(file) });
        }
    }
}

/// A file of ours that open(2) with O_TMPFILE is making.
///
/// # Invariants
///
/// `file` is in `->tmpfile` of a directory of `F`, which is locked. It has a dentry, which is
/// unhashed and has no inode yet, and no inode, so that it is not lent out as an [`FsFile`].
pub(crate) struct TmpFile<'a, F: FileOps> {
    file: &'a FsFile<F>,
}

impl<'a, F: FileOps> TmpFile<'a, F> {
    /// Takes the file of `->tmpfile`.
    ///
    /// # Safety
    ///
    /// As the type invariant says, for `'a`.
    pub(super) unsafe fn from_raw(file: *mut bindings::file) -> Self {
        Self {
            // SAFETY: the caller proves it.
            file: unsafe { FsFile::from_raw(file) },
        }
    }

    /// The dentry that the new inode goes to; its parent is the directory of `->tmpfile`.
    pub(crate) fn child(&self) -> Child<'a, F> {
        // SAFETY: by the type invariant the parent is locked; the name of an unhashed dentry that
        // nobody else has does not change.
        unsafe { Child::from_raw(self.file.dentry().as_ptr()) }
    }

    /// Gives the dentry a name made of the inode's number, and takes the inode's link away: what
    /// an unnamed file shows.
    pub(crate) fn mark(&self, inode: &FsInode<F>) {
        // SAFETY: the dentry is unhashed and negative in ->tmpfile (fs/dcache.c,
        // d_mark_tmpfile()).
        unsafe { bindings::d_mark_tmpfile(self.file.as_ptr(), inode.as_ptr()) };
    }

    /// Completes open(2): the file gets `open` as its private part. Call when the dentry has its
    /// inode.
    ///
    /// # Errors
    ///
    /// Those of completing the open; `open` is dropped then. (`fs/open.c`, finish_open())
    pub(crate) fn finish(self, open: KBox<F::Open>) -> Result {
        let file = self.file.as_ptr();
        let private = open.into_foreign();
        // SAFETY: the file is being opened by this task.
        unsafe { (*file).private_data = private.cast() };
        // SAFETY: the dentry is positive and belongs to the file (fs/open.c, finish_open()).
        let ret =
            unsafe { bindings::finish_open(file, self.file.dentry().as_ptr(), Some(no_open)) };
        // SAFETY: the file is still ours.
        let mode = unsafe { (*file).f_mode };
        if mode & bindings::FMODE_OPENED == 0 {
            // SAFETY: without FMODE_OPENED ->release() is not called for the file, so this is
            // the only owner of what was installed above.
            drop(unsafe { KBox::<F::Open>::from_foreign(private) });
        }
        to_result(ret)
    }
}

/// What finish_open() calls instead of `->open`: the file is complete.
///
/// # Safety
///
/// None.
unsafe extern "C" fn no_open(_inode: *mut bindings::inode, _file: *mut bindings::file) -> c_int {
    0
}
