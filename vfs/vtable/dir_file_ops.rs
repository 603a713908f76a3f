// SPDX-License-Identifier: GPL-2.0

//! `struct file_operations` of directories.

use super::{
    super::{
        bindings,
        dir_context::Emit,
        file::FsFile,
        own::{
            FileSystem,
            FsInode, //
        },
    },
    c_pos, c_result,
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData, //
};
use kernel::{
    ffi::c_int,
    prelude::*,
    types::ForeignOwnable, //
};

/// The operations on an open directory.
///
/// It has two private parts: one that every operation shares, and the reader's position and what
/// belongs to it, which only operations under the exclusive i_rwsem of the directory get.
pub(crate) trait DirFileOps: FileSystem {
    /// What is shared.
    type Open: Send + Sync + 'static;

    /// What belongs to the reader.
    type Cursor: Send + 'static;

    /// Opens. The VFS has checked the caller's permission.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    fn open(inode: &FsInode<Self>, file: &FsFile<Self>) -> Result<(Self::Open, Self::Cursor)>;

    /// Shows the next entries. The directory is locked exclusively.
    ///
    /// # Errors
    ///
    /// Those of getdents(2).
    fn iterate(
        file: &FsFile<Self>,
        open: &Self::Open,
        cursor: &mut Self::Cursor,
        out: &mut Emit<'_>,
    ) -> Result;

    /// Moves the position. The directory is locked exclusively.
    ///
    /// # Errors
    ///
    /// Those of lseek(2).
    fn llseek(
        file: &FsFile<Self>,
        open: &Self::Open,
        cursor: &mut Self::Cursor,
        offset: i64,
        whence: i32,
    ) -> Result<i64>;

    /// Writes the directory to the disk. Runs beside readers.
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

    /// Closes.
    fn release(inode: &FsInode<Self>, open: Self::Open, cursor: Self::Cursor);
}

/// What is behind `private_data`.
///
/// # Invariants
///
/// `cursor` is only accessed under the exclusive i_rwsem of the directory, or by whoever closes
/// the file.
struct Private<F: DirFileOps> {
    open: F::Open,
    cursor: UnsafeCell<F::Cursor>,
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

impl<F: DirFileOps> VTable<F> {
    /// What is behind `private_data` of an open directory.
    ///
    /// # Safety
    ///
    /// `file` must be a directory of `F` that is open for `'a`.
    unsafe fn private<'a>(file: *mut bindings::file) -> &'a Private<F> {
        // SAFETY: the caller proves that the file is live.
        let private = unsafe { (*file).private_data };
        // SAFETY: installed by `open`, taken back by `release`.
        unsafe { <KBox<Private<F>> as ForeignOwnable>::borrow(private.cast()) }
    }

    /// # Safety
    ///
    /// `->open`: `file` is a directory of `F` that is being opened.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: the file pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: the caller holds the file.
        let typed = unsafe { FsFile::<F>::from_raw(file) };
        // The memory comes first, so that nothing can fail once the directory is open.
        c_result(
            KBox::<Private<F>>::new_uninit(GFP_KERNEL)
                .map_err(Error::from)
                .and_then(|memory| {
                    let (open, cursor) = F::open(inode, typed)?;
                    let cursor = UnsafeCell::new(cursor);
                    let private = KBox::write(memory, Private { open, cursor });
                    // SAFETY: a file that is being opened is its filesystem's to write.
                    unsafe { (*file).private_data = private.into_foreign().cast() };
                    Ok(())
                }),
        )
    }

    /// # Safety
    ///
    /// `->release`: `file` is an open directory of `F` that nobody uses any more.
    unsafe extern "C" fn release(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: the file still pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: the caller passes a live file.
        let private = unsafe { (*file).private_data };
        // SAFETY: installed by `open`; called once, last (fs/file_table.c).
        let private = unsafe { <KBox<Private<F>> as ForeignOwnable>::from_foreign(private.cast()) };
        let Private { open, cursor } = KBox::into_inner(private);
        F::release(inode, open, cursor.into_inner());
        0
    }

    /// # Safety
    ///
    /// `->iterate_shared`: the directory is locked at least shared.
    unsafe extern "C" fn iterate_shared(
        file: *mut bindings::file,
        ctx: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: makes the lock exclusive for the call of `iterate` (fs/readdir.c,
        // wrap_directory_iterator()).
        unsafe { bindings::wrap_directory_iterator(file, ctx, Some(Self::iterate)) }
    }

    /// # Safety
    ///
    /// Called by wrap_directory_iterator(): the directory is locked exclusively.
    unsafe extern "C" fn iterate(
        file: *mut bindings::file,
        ctx: *mut bindings::dir_context,
    ) -> c_int {
        // SAFETY: the caller holds the file.
        let private = unsafe { Self::private(file) };
        // SAFETY: by the type invariant of `Private`: the lock is held exclusively.
        let cursor = unsafe { &mut *private.cursor.get() };
        // SAFETY: the caller holds the file.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        // SAFETY: the context of this call.
        let mut out = unsafe { Emit::from_raw(ctx) };
        c_result(F::iterate(file, &private.open, cursor, &mut out))
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
        let private = unsafe { Self::private(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        let _locked = file.inode().lock_exclusive();
        // SAFETY: by the type invariant of `Private`: the lock is held exclusively.
        let cursor = unsafe { &mut *private.cursor.get() };
        c_pos(F::llseek(file, &private.open, cursor, offset, whence))
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
        let private = unsafe { Self::private(file) };
        // SAFETY: as above.
        let file = unsafe { FsFile::<F>::from_raw(file) };
        c_result(F::fsync(file, &private.open, start, end, datasync != 0))
    }

    /// Open directories.
    pub(super) const TABLE: bindings::file_operations = bindings::file_operations {
        read: Some(bindings::generic_read_dir),
        open: Some(Self::open),
        iterate_shared: Some(Self::iterate_shared),
        llseek: Some(Self::llseek),
        fsync: Some(Self::fsync),
        release: Some(Self::release),
        setlease: Some(bindings::generic_setlease),
        ..pin_init::zeroed()
    };
}
