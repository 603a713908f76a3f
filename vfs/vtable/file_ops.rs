// SPDX-License-Identifier: GPL-2.0

//! `struct file_operations` and `struct address_space_operations` of regular files.

use super::{
    super::{
        bindings,
        file::{
            FlushId,
            FsFile,
            IoCb,
            Iter,
            Pipe,
            Place,
            RemapFlags,
            Vma, //
        },
        own::{
            FileSystem,
            FsInode, //
        },
    },
    c_len, c_pos, c_result, c_result_long,
};
use core::marker::PhantomData;
use kernel::{
    ffi::{
        c_int,
        c_long,
        c_uint, //
    },
    prelude::*,
    types::ForeignOwnable, //
};

/// The operations on an open regular file. What [`FileOps::open`] returns belongs to the file and
/// is dropped when the last descriptor and mapping is gone.
pub(crate) trait FileOps: FileSystem {
    /// What the filesystem keeps for an open file.
    type Open: Send + Sync + 'static;

    /// Opens. The VFS has checked the caller's permission.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    fn open(inode: &FsInode<Self>, file: &FsFile<Self>) -> Result<KBox<Self::Open>>;

    /// Moves the position.
    ///
    /// # Errors
    ///
    /// Those of lseek(2).
    fn llseek(file: &FsFile<Self>, open: &Self::Open, offset: i64, whence: i32) -> Result<i64>;

    /// Reads.
    ///
    /// # Errors
    ///
    /// Those of read(2); `EIOCBQUEUED` if the read goes on.
    fn read_iter(
        iocb: &mut IoCb<'_, Self>,
        open: &Self::Open,
        iter: &mut Iter<'_>,
    ) -> Result<usize>;

    /// Writes.
    ///
    /// # Errors
    ///
    /// Those of write(2); `EIOCBQUEUED` if the write goes on.
    fn write_iter(
        iocb: &mut IoCb<'_, Self>,
        open: &Self::Open,
        iter: &mut Iter<'_>,
    ) -> Result<usize>;

    /// Reads from `pos` into a pipe, and moves `pos`.
    ///
    /// # Errors
    ///
    /// Those of splice(2).
    fn splice_read(
        file: &FsFile<Self>,
        open: &Self::Open,
        pos: &mut i64,
        pipe: &mut Pipe<'_>,
        len: usize,
        flags: u32,
    ) -> Result<usize>;

    /// Writes from a pipe at `pos`, and moves `pos`.
    ///
    /// # Errors
    ///
    /// Those of splice(2).
    fn splice_write(
        pipe: &mut Pipe<'_>,
        file: &FsFile<Self>,
        open: &Self::Open,
        pos: &mut i64,
        len: usize,
        flags: u32,
    ) -> Result<usize>;

    /// Maps. The mmap lock is held.
    ///
    /// # Errors
    ///
    /// Those of mmap(2).
    fn mmap(file: &FsFile<Self>, open: &Self::Open, vma: &mut Vma<'_, Self>) -> Result;

    /// Writes the bytes from `start` to `end` to the disk.
    ///
    /// # Errors
    ///
    /// Those of fsync(2).
    fn fsync(
        file: &FsFile<Self>,
        open: &Self::Open,
        start: i64,
        end: i64,
        datasync: bool,
    ) -> Result;

    /// Makes or gives up space.
    ///
    /// # Errors
    ///
    /// Those of fallocate(2).
    fn fallocate(
        file: &FsFile<Self>,
        open: &Self::Open,
        mode: i32,
        offset: i64,
        len: i64,
    ) -> Result;

    /// Learns how a range will be used.
    ///
    /// # Errors
    ///
    /// Those of posix_fadvise(2).
    fn fadvise(
        file: &FsFile<Self>,
        open: &Self::Open,
        offset: i64,
        len: i64,
        advice: i32,
    ) -> Result;

    /// A descriptor of the file is closed.
    ///
    /// # Errors
    ///
    /// Those of close(2).
    fn flush(file: &FsFile<Self>, open: &Self::Open, id: FlushId) -> Result;

    /// Copies a range between two files of the filesystem, perhaps of two mounts.
    ///
    /// # Errors
    ///
    /// Those of copy_file_range(2).
    fn copy_file_range(
        from: Place<'_, Self>,
        to: Place<'_, Self>,
        len: usize,
        flags: u32,
    ) -> Result<usize>;

    /// Shares a range between two files of one mount. Returns how many bytes were shared.
    ///
    /// # Errors
    ///
    /// Those of ioctl_ficlonerange(2) and ioctl_fideduperange(2).
    fn remap_file_range(
        from: Place<'_, Self>,
        to: Place<'_, Self>,
        len: i64,
        flags: RemapFlags,
    ) -> Result<i64>;
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

/// What `F` keeps for an open file.
///
/// # Safety
///
/// `file` must be a regular file of `F` that is open for `'a`: `->open` or the completion of
/// `->tmpfile` succeeded, `->release` was not called.
unsafe fn private<'a, F: FileOps>(file: *mut bindings::file) -> &'a F::Open {
    // SAFETY: the caller proves that the file is live.
    let private = unsafe { (*file).private_data };
    // SAFETY: installed as a `KBox<F::Open>` when the file was opened, taken back by `release`.
    unsafe { <KBox<F::Open> as ForeignOwnable>::borrow(private.cast()) }
}

impl<F: FileOps> VTable<F> {
    /// # Safety
    ///
    /// `->open`: `file` is a regular file of `F` that is being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: the file pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: the caller holds the file.
        let typed = unsafe { FsFile::<F>::from_raw(file) };
        c_result(F::open(inode, typed).map(|open| {
            // SAFETY: a file that is being opened is its filesystem's to write.
            unsafe { (*file).private_data = open.into_foreign().cast() };
        }))
    }

    /// # Safety
    ///
    /// `->release`: `file` is an open regular file of `F` that nobody uses any more.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: the caller passes a live file.
        let private = unsafe { (*file).private_data };
        // SAFETY: installed when the file was opened; called once, last (fs/file_table.c).
        drop(unsafe { <KBox<F::Open> as ForeignOwnable>::from_foreign(private.cast()) });
        0
    }

    /// # Safety
    ///
    /// `->llseek`: `file` is open.
    unsafe extern "C" fn llseek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: c_int,
    ) -> bindings::loff_t {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_pos(F::llseek(file, open, offset, whence))
    }

    /// # Safety
    ///
    /// `->read_iter`: `iocb` and `iter` are live and exclusive.
    unsafe extern "C" fn read_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: the caller passes a live control block, which holds its file.
        let file = unsafe { (*iocb).ki_filp };
        // SAFETY: as above.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let mut iocb = unsafe { IoCb::<F>::from_raw(iocb) };
        // SAFETY: the caller passes a live iterator.
        let mut iter = unsafe { Iter::from_raw(iter) };
        c_len(F::read_iter(&mut iocb, open, &mut iter))
    }

    /// # Safety
    ///
    /// `->write_iter`: `iocb` and `iter` are live and exclusive.
    unsafe extern "C" fn write_iter(
        iocb: *mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
    ) -> isize {
        // SAFETY: the caller passes a live control block, which holds its file.
        let file = unsafe { (*iocb).ki_filp };
        // SAFETY: as above.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let mut iocb = unsafe { IoCb::<F>::from_raw(iocb) };
        // SAFETY: the caller passes a live iterator.
        let mut iter = unsafe { Iter::from_raw(iter) };
        c_len(F::write_iter(&mut iocb, open, &mut iter))
    }

    /// # Safety
    ///
    /// `->splice_read`: everything is live, `pos` is exclusive.
    unsafe extern "C" fn splice_read(
        file: *mut bindings::file,
        pos: *mut bindings::loff_t,
        pipe: *mut bindings::pipe_inode_info,
        len: usize,
        flags: c_uint,
    ) -> isize {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        // SAFETY: a position of the caller's (fs/splice.c).
        let pos = unsafe { &mut *pos };
        // SAFETY: the caller holds the pipe.
        let mut pipe = unsafe { Pipe::from_raw(pipe) };
        c_len(F::splice_read(file, open, pos, &mut pipe, len, flags))
    }

    /// # Safety
    ///
    /// `->splice_write`: everything is live, `pos` is exclusive.
    unsafe extern "C" fn splice_write(
        pipe: *mut bindings::pipe_inode_info,
        file: *mut bindings::file,
        pos: *mut bindings::loff_t,
        len: usize,
        flags: c_uint,
    ) -> isize {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        // SAFETY: a position of the caller's (fs/splice.c).
        let pos = unsafe { &mut *pos };
        // SAFETY: the caller holds the pipe.
        let mut pipe = unsafe { Pipe::from_raw(pipe) };
        c_len(F::splice_write(&mut pipe, file, open, pos, len, flags))
    }

    /// # Safety
    ///
    /// `->mmap`: `vma` is the mapping of `file` that is being set up.
    unsafe extern "C" fn mmap(
        file: *mut bindings::file,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        // SAFETY: the argument of this call.
        let mut vma = unsafe { Vma::<F>::from_raw(vma) };
        c_result(F::mmap(file, open, &mut vma))
    }

    /// # Safety
    ///
    /// `->fsync`: `file` is open.
    unsafe extern "C" fn fsync(
        file: *mut bindings::file,
        start: bindings::loff_t,
        end: bindings::loff_t,
        datasync: c_int,
    ) -> c_int {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_result(F::fsync(file, open, start, end, datasync != 0))
    }

    /// # Safety
    ///
    /// `->fallocate`: `file` is open.
    unsafe extern "C" fn fallocate(
        file: *mut bindings::file,
        mode: c_int,
        offset: bindings::loff_t,
        len: bindings::loff_t,
    ) -> c_long {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_result_long(F::fallocate(file, open, mode, offset, len))
    }

    /// # Safety
    ///
    /// `->fadvise`: `file` is open.
    unsafe extern "C" fn fadvise(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        len: bindings::loff_t,
        advice: c_int,
    ) -> c_int {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_result(F::fadvise(file, open, offset, len, advice))
    }

    /// # Safety
    ///
    /// `->flush`: `file` is open.
    unsafe extern "C" fn flush(file: *mut bindings::file, id: bindings::fl_owner_t) -> c_int {
        // SAFETY: the caller holds the file.
        let open = unsafe { private::<F>(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_result(F::flush(file, open, FlushId::from_raw(id)))
    }

    /// A position in `file`.
    ///
    /// # Safety
    ///
    /// `file` must be an open regular file of `F` for `'a`.
    unsafe fn place<'a>(file: *mut bindings::file, pos: bindings::loff_t) -> Place<'a, F> {
        Place {
            // SAFETY: the caller proves it.
            open: unsafe { private::<F>(file) },
            // SAFETY: as above.
            file: unsafe { FsFile::from_raw(file) },
            pos,
        }
    }

    /// # Safety
    ///
    /// `->copy_file_range`: both files are open, regular, and have this very operation.
    unsafe extern "C" fn copy_file_range(
        from: *mut bindings::file,
        from_pos: bindings::loff_t,
        to: *mut bindings::file,
        to_pos: bindings::loff_t,
        len: usize,
        flags: c_uint,
    ) -> isize {
        // SAFETY: it has this operation or the superblock of the other, which makes it one of `F`
        // (fs/read_write.c, generic_copy_file_checks()).
        let from = unsafe { Self::place(from, from_pos) };
        // SAFETY: the operation was called on this one.
        let to = unsafe { Self::place(to, to_pos) };
        c_len(F::copy_file_range(from, to, len, flags))
    }

    /// # Safety
    ///
    /// `->remap_file_range`: both files are open, regular, and of one superblock.
    unsafe extern "C" fn remap_file_range(
        from: *mut bindings::file,
        from_pos: bindings::loff_t,
        to: *mut bindings::file,
        to_pos: bindings::loff_t,
        len: bindings::loff_t,
        flags: c_uint,
    ) -> bindings::loff_t {
        // SAFETY: of the same superblock as the other, hence of `F` (fs/remap_range.c,
        // do_clone_file_range() and vfs_dedupe_file_range_one()).
        let from = unsafe { Self::place(from, from_pos) };
        // SAFETY: the operation was called on one of them.
        let to = unsafe { Self::place(to, to_pos) };
        c_pos(F::remap_file_range(
            from,
            to,
            len,
            RemapFlags::from_bits(flags),
        ))
    }

    /// Open regular files.
    pub(super) const TABLE: bindings::file_operations = bindings::file_operations {
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(Self::llseek),
        read_iter: Some(Self::read_iter),
        write_iter: Some(Self::write_iter),
        fsync: Some(Self::fsync),
        mmap: Some(Self::mmap),
        fallocate: Some(Self::fallocate),
        fadvise: Some(Self::fadvise),
        flush: Some(Self::flush),
        splice_read: Some(Self::splice_read),
        splice_write: Some(Self::splice_write),
        copy_file_range: Some(Self::copy_file_range),
        remap_file_range: Some(Self::remap_file_range),
        // Leases are on the overlay's inode; without this they are refused.
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };
}

/// The mapping of a regular file, which never has pages: open(2) looks here whether the file can
/// do direct I/O.
pub(super) const MAPPING: bindings::address_space_operations = bindings::address_space_operations {
    direct_IO: Some(bindings::noop_direct_IO),
    ..pin_init::zeroed()
};
