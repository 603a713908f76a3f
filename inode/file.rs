// SPDX-License-Identifier: GPL-2.0

//! Open regular files.
//!
//! Opening a file to write copies it up. Data is read and written through the real file
//! ([`OpenFile`]), with the mounter's credentials; its pages are the real inode's, so all mounts of
//! a layer share them. Size and times of the overlay inode follow the upper one after each change.
//!
//! # Locks
//!
//! Writing holds the overlay inode's `i_rwsem`, also while data is copied from the user, and inside
//! of it write access to the upper file system. Seeking holds the object's mutex, for the position
//! of the real file, which descriptors of one open file share.
//!
//! Source of the facts: `fs/overlayfs/file.c`, `fs/backing-file.c`.

#![forbid(unsafe_code)]

use kernel::{
    fs::File,
    prelude::*, //
};

use crate::{
    copy_up,
    overlay::{
        lowerdata,
        mount::MountState,
        open_file::{
            open_real,
            OpenFile, //
        },
        Overlay,
        OvlFile,
        OvlInode, //
    },
    vfs::{
        file::{
            self,
            oflags,
            FlushId,
            IoCb,
            IoHooks,
            Iter,
            Pipe,
            RemapFlags,
            Vma,
            SEEK_CUR,
            SEEK_SET, //
        },
        own::InodeLock, //
    },
};

impl IoHooks for Overlay {
    /// Reading may have changed the upper inode's access time; the overlay's own is updated too.
    fn accessed(file: &OvlFile) {
        if file.flags() & oflags::O_NOATIME != 0 {
            return;
        }
        let inode = file.inode();
        let Some(upper) = inode.upper_inode() else {
            return;
        };
        inode.copy_mctime_from(upper);
        file.touch_atime();
    }

    /// Writing has changed size and times.
    fn end_write(file: &OvlFile) {
        file.inode().copy_attr();
    }
}

/// Opens a file, after a copy-up if it is to be written.
///
/// # Errors
///
/// Those of the copy-up, of [`lowerdata::verify`], of the mounter's permission on the real file and of its file system;
/// `ENOMEM`.
pub(crate) fn open(inode: &OvlInode, user: &OvlFile) -> Result<KBox<OpenFile>> {
    let ms = MountState::of(inode.super_());
    lowerdata::verify(user.dentry())?;
    copy_up::maybe_copy_up(user.dentry(), user.flags())?;
    // These are done with; the real file is only opened.
    user.clear_flags(oflags::O_CREAT | oflags::O_EXCL | oflags::O_NOCTTY | oflags::O_TRUNC);
    OpenFile::new(open_real(user, ms, inode.real_data_path(ms)?)?)
}

/// Seeks. The overlay's file has the position; the real one knows where data and holes are and how
/// far one may go.
///
/// # Errors
///
/// Whatever the real file system answers.
pub(crate) fn llseek(user: &OvlFile, open: &OpenFile, offset: i64, whence: i32) -> Result<i64> {
    // Two that need no one else, which lets readers go on in parallel.
    match (offset, whence) {
        (0, SEEK_CUR) => return Ok(user.pos()),
        (0, SEEK_SET) => return user.set_pos_checked(0, 0),
        _ => {}
    }
    seek_real(user, open, offset, whence)
}

/// Seeks with the help of the real file.
#[inline(never)]
fn seek_real(user: &OvlFile, open: &OpenFile, offset: i64, whence: i32) -> Result<i64> {
    let inode = user.inode();
    let ms = MountState::of(inode.super_());
    let real = open.data(user, ms)?;

    let _locked = inode.object_lock().lock();
    file::set_pos(real, user.pos());
    let result = ms.with_mounter(|_| file::llseek(real, offset, whence));
    user.set_pos(file::pos(real));
    result
}

/// Reads.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn read_iter(
    iocb: &IoCb<'_, Overlay>,
    open: &OpenFile,
    iter: &mut Iter<'_>,
) -> Result<usize> {
    if iter.count() == 0 {
        return Ok(0);
    }
    let user = iocb.file();
    let ms = MountState::of(user.inode().super_());
    let real = open.data(user, ms)?;
    let flags = iocb.flags();
    file::backing_read_iter(real, iter, iocb, flags, ms.mounter_cred())
}

/// Writes. A volatile mount does not write through to the device.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn write_iter(
    iocb: &IoCb<'_, Overlay>,
    open: &OpenFile,
    iter: &mut Iter<'_>,
) -> Result<usize> {
    if iter.count() == 0 {
        return Ok(0);
    }
    let user = iocb.file();
    let inode = user.inode();
    let ms = MountState::of(inode.super_());

    let _locked = inode.lock_exclusive();
    // The mode decides whether set-id bits have to go.
    inode.copy_attr();
    let real = open.data(user, ms)?;
    let flags = if ms.should_sync() {
        iocb.flags()
    } else {
        iocb.flags().without_sync()
    };
    file::backing_write_iter(real, iter, iocb, flags, ms.mounter_cred())
}

/// Reads from `pos` into a pipe.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn splice_read(
    user: &OvlFile,
    open: &OpenFile,
    pos: &mut i64,
    pipe: &mut Pipe<'_>,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let ms = MountState::of(user.inode().super_());
    let real = open.data(user, ms)?;
    file::backing_splice_read(user, real, pos, pipe, len, flags, ms.mounter_cred())
}

/// Writes from a pipe to `pos`.
///
/// The same steps as [`write_iter`]: the pipe's own lock must come after write access to the upper
/// file system, which rules out the generic way.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn splice_write(
    pipe: &mut Pipe<'_>,
    user: &OvlFile,
    open: &OpenFile,
    pos: &mut i64,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let inode = user.inode();
    let ms = MountState::of(inode.super_());

    let _locked = inode.lock_exclusive();
    // The mode decides whether set-id bits have to go.
    inode.copy_attr();
    let real = open.data(user, ms)?;
    file::backing_splice_write(pipe, user, real, pos, len, flags, ms.mounter_cred())
}

/// Maps the real file that this one was opened on. A mapping does not follow a copy-up.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn mmap(user: &OvlFile, open: &OpenFile, vma: &mut Vma<'_, Overlay>) -> Result {
    let ms = MountState::of(user.inode().super_());
    file::backing_mmap(open.opened(), vma, ms.mounter_cred())
}

/// Flushes the upper file; a lower one has nothing to flush, and might refuse.
///
/// # Errors
///
/// Those of the upper file system; on a volatile mount that of an earlier write-back.
pub(crate) fn fsync(
    user: &OvlFile,
    open: &OpenFile,
    start: i64,
    end: i64,
    datasync: bool,
) -> Result {
    let inode = user.inode();
    let ms = MountState::of(inode.super_());
    if !ms.sync_status()? {
        return Ok(());
    }
    let Some(upper) = inode.upper_path(ms) else {
        return Ok(());
    };
    // The data is still the lower one's.
    if datasync && inode.path_kind().merge {
        return Ok(());
    }
    let real = open.at(user, ms, upper)?;
    ms.with_mounter(|_| file::fsync_range(real, start, end, datasync))
}

/// Reserves or frees space.
///
/// # Errors
///
/// Whatever the upper file answers.
pub(crate) fn fallocate(
    user: &OvlFile,
    open: &OpenFile,
    mode: i32,
    offset: i64,
    len: i64,
) -> Result {
    let inode = user.inode();
    let ms = MountState::of(inode.super_());

    let _locked = inode.lock_exclusive();
    // The mode decides whether set-id bits have to go.
    inode.copy_attr();
    user.remove_privs()?;
    let real = open.data(user, ms)?;
    let result = ms.with_mounter(|_| file::fallocate(real, mode, offset, len));
    inode.copy_attr();
    result
}

/// Passes advice on how the file will be used to the real one.
///
/// # Errors
///
/// Whatever the real file answers.
pub(crate) fn fadvise(
    user: &OvlFile,
    open: &OpenFile,
    offset: i64,
    len: i64,
    advice: i32,
) -> Result {
    let ms = MountState::of(user.inode().super_());
    let real = open.data(user, ms)?;
    ms.with_mounter(|_| file::fadvise(real, offset, len, advice))
}

/// A descriptor of the file is closed.
///
/// # Errors
///
/// Whatever the real file answers, which may be how a network file system reports a failed write.
pub(crate) fn flush(user: &OvlFile, open: &OpenFile, id: FlushId) -> Result {
    let ms = MountState::of(user.inode().super_());
    let real = open.data(user, ms)?;
    if !file::has_flush(real) {
        return Ok(());
    }
    ms.with_mounter(|_| file::flush(real, id))
}

/// An open file and a position in it.
pub(crate) type Place<'a> = file::Place<'a, Overlay>;

/// Copies up to `len` bytes from one file to another, in the real file system if that can.
///
/// # Errors
///
/// Whatever the real files answer.
pub(crate) fn copy_file_range(
    from: Place<'_>,
    to: Place<'_>,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let signed = i64::try_from(len).map_err(|_| EINVAL)?;
    modify(to)?.copy_from(from, signed, |real_from, real_to| {
        file::copy_file_range(real_from, from.pos, real_to, to.pos, len, flags)
    })
}

/// Makes a range of one file share its blocks with a range of another: a clone, or the removal of
/// a duplicate. Returns how many bytes it was done for.
///
/// # Errors
///
/// `EINVAL` for unknown flags; `EPERM` for duplicates that are not both in the upper layer, where a
/// copy-up would double the data instead; whatever the real files answer.
pub(crate) fn remap_file_range(
    from: Place<'_>,
    to: Place<'_>,
    len: i64,
    flags: RemapFlags,
) -> Result<i64> {
    if flags.has_other_than(RemapFlags::DEDUP.union(RemapFlags::ADVISORY)) {
        return Err(EINVAL);
    }
    if !flags.contains(RemapFlags::DEDUP) {
        return modify(to)?.copy_from(from, len, |real_from, real_to| {
            file::clone_file_range(real_from, from.pos, real_to, to.pos, len, flags)
        });
    }
    let (inode_from, inode_to) = (from.file.inode(), to.file.inode());
    if inode_from.upper().is_none() || inode_to.upper().is_none() {
        return Err(EPERM);
    }
    // The content stays, so set-id bits do too.
    let target = Target {
        _locked: inode_to.lock_exclusive(),
        place: to,
    };
    target.copy_from(from, len, |real_from, real_to| {
        file::dedupe_file_range(real_from, from.pos, real_to, to.pos, len, flags)
    })
}

/// A file whose blocks are about to change; its overlay inode is locked.
struct Target<'a> {
    place: Place<'a>,
    _locked: InodeLock<'a>,
}

/// Locks a file whose content is about to change.
fn modify(place: Place<'_>) -> Result<Target<'_>> {
    let inode = place.file.inode();
    let target = Target {
        _locked: inode.lock_exclusive(),
        place,
    };
    // The mode decides whether set-id bits have to go.
    inode.copy_attr();
    place.file.remove_privs()?;
    Ok(target)
}

impl Target<'_> {
    /// Runs `copy` on the real files, with the credentials of the target's mounter.
    fn copy_from<R>(
        self,
        from: Place<'_>,
        len: i64,
        copy: impl FnOnce(&File, &File) -> Result<R>,
    ) -> Result<R> {
        let (inode_from, inode_to) = (from.file.inode(), self.place.file.inode());
        let ms_from = MountState::of(inode_from.super_());
        let ms_to = MountState::of(inode_to.super_());
        let real_to = self.place.open.data(self.place.file, ms_to)?;
        let real_from = from.open.data(from.file, ms_from)?;

        // Below, the mounter of the target is asked whether it may read. Of another mount it has to
        // be that one's mounter.
        if !inode_from.sb().ptr_eq(inode_to.sb()) {
            ms_from.with_mounter(|_| file::verify_area_read(real_from, from.pos, len))?;
        }
        let result = ms_to.with_mounter(|_| copy(real_from, real_to));
        inode_to.copy_attr();
        result
    }
}
