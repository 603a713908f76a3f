// SPDX-License-Identifier: GPL-2.0

//! Data of our files, read and written through the real ones (`fs/backing-file.c`).
//!
//! C headers: [`include/linux/backing-file.h`](srctree/include/linux/backing-file.h)

use super::{
    super::{
        errno::{
            ssize,
            to_result, //
        },
        own::FileSystem, //
    },
    bindings,
    c_flags,
    File,
    FsFile, //
};
use core::marker::PhantomData;
use kernel::{
    cred::Credential,
    prelude::*, //
};

/// What our filesystem does when a real file was used on behalf of one of ours.
pub(crate) trait IoHooks: FileSystem {
    /// The real file was read or mapped.
    fn accessed(file: &FsFile<Self>);

    /// The real file was written. For asynchronous writes this comes later, from a worker.
    fn end_write(file: &FsFile<Self>);
}

/// Flags of one read or write (`IOCB_*`).
#[derive(Clone, Copy)]
pub(crate) struct IocbFlags(c_int);

impl IocbFlags {
    /// The write need not reach the disk.
    pub(crate) fn without_sync(self) -> Self {
        Self(self.0 & !c_flags(bindings::IOCB_DSYNC | bindings::IOCB_SYNC))
    }
}

/// One read or write that the user asked for (`struct kiocb`).
///
/// # Invariants
///
/// `iocb` is the live control block of a call of `->read_iter` or `->write_iter` on a file of `F`.
pub(crate) struct IoCb<'a, F> {
    iocb: *mut bindings::kiocb,
    _lent: PhantomData<&'a mut F>,
}

impl<'a, F: FileSystem> IoCb<'a, F> {
    /// Takes the control block of a call.
    ///
    /// # Safety
    ///
    /// As the type invariant says, for the lifetime of the value.
    pub(in crate::vfs) unsafe fn from_raw(iocb: *mut bindings::kiocb) -> Self {
        Self {
            iocb,
            _lent: PhantomData,
        }
    }

    /// The file.
    pub(crate) fn file(&self) -> &'a FsFile<F> {
        // SAFETY: by the type invariant.
        let file = unsafe { (*self.iocb).ki_filp };
        // SAFETY: by the type invariant; the call holds the file open.
        unsafe { FsFile::from_raw(file) }
    }

    /// The flags.
    pub(crate) fn flags(&self) -> IocbFlags {
        // SAFETY: by the type invariant.
        IocbFlags(unsafe { (*self.iocb).ki_flags })
    }
}

/// The memory of a read or a write (`struct iov_iter`).
///
/// # Invariants
///
/// `iter` is live, and nobody else uses it for `'a`.
pub(crate) struct Iter<'a> {
    iter: *mut bindings::iov_iter,
    _lent: PhantomData<&'a mut bindings::iov_iter>,
}

impl Iter<'_> {
    /// Takes the iterator of a call.
    ///
    /// # Safety
    ///
    /// As the type invariant says.
    pub(in crate::vfs) unsafe fn from_raw(iter: *mut bindings::iov_iter) -> Self {
        Self {
            iter,
            _lent: PhantomData,
        }
    }

    /// How many bytes are left.
    pub(crate) fn count(&self) -> usize {
        // SAFETY: by the type invariant.
        unsafe { bindings::iov_iter_count(self.iter) }
    }
}

/// The pipe of a splice.
///
/// # Invariants
///
/// `pipe` is live for `'a`.
pub(crate) struct Pipe<'a> {
    pipe: *mut bindings::pipe_inode_info,
    _lent: PhantomData<&'a mut ()>,
}

impl Pipe<'_> {
    /// Takes the pipe of a call.
    ///
    /// # Safety
    ///
    /// As the type invariant says.
    pub(in crate::vfs) unsafe fn from_raw(pipe: *mut bindings::pipe_inode_info) -> Self {
        Self {
            pipe,
            _lent: PhantomData,
        }
    }
}

/// The mapping that `->mmap` is to set up.
///
/// # Invariants
///
/// `vma` is the argument of the call of `->mmap` on a file of `F` that this task is in.
pub(crate) struct Vma<'a, F> {
    vma: *mut bindings::vm_area_struct,
    _lent: PhantomData<&'a mut F>,
}

impl<F: FileSystem> Vma<'_, F> {
    /// Takes the mapping of a call.
    ///
    /// # Safety
    ///
    /// As the type invariant says.
    pub(in crate::vfs) unsafe fn from_raw(vma: *mut bindings::vm_area_struct) -> Self {
        Self {
            vma,
            _lent: PhantomData,
        }
    }
}

/// The hooks of `F` as C calls them.
struct Hooks<F>(PhantomData<F>);

impl<F: IoHooks> Hooks<F> {
    /// # Safety
    ///
    /// For `struct backing_file_ctx`: `file` must be an open file of `F`.
    unsafe extern "C" fn accessed(file: *mut bindings::file) {
        // SAFETY: the user's file of a call on `F` (fs/backing-file.c).
        F::accessed(unsafe { FsFile::from_raw(file) });
    }

    /// # Safety
    ///
    /// For `struct backing_file_ctx`: `iocb` must belong to an open file of `F`.
    unsafe extern "C" fn end_write(iocb: *mut bindings::kiocb, _ret: isize) {
        // SAFETY: the user's control block, which holds its file open until it is completed
        // (fs/backing-file.c).
        let file = unsafe { (*iocb).ki_filp };
        // SAFETY: as above.
        F::end_write(unsafe { FsFile::from_raw(file) });
    }

    /// For reads and mappings.
    fn reading(cred: &Credential) -> bindings::backing_file_ctx {
        bindings::backing_file_ctx {
            cred: cred.as_ptr(),
            accessed: Some(Self::accessed),
            end_write: None,
        }
    }

    /// For writes.
    fn writing(cred: &Credential) -> bindings::backing_file_ctx {
        bindings::backing_file_ctx {
            cred: cred.as_ptr(),
            accessed: None,
            end_write: Some(Self::end_write),
        }
    }
}

/// Reads from the backing file `real`, with the credentials `cred`.
///
/// # Errors
///
/// Those of the filesystem; `EIOCBQUEUED` if the read goes on after the call.
/// (`fs/backing-file.c`, backing_file_read_iter())
pub(crate) fn backing_read_iter<F: IoHooks>(
    real: &File,
    iter: &mut Iter<'_>,
    iocb: &IoCb<'_, F>,
    flags: IocbFlags,
    cred: &Credential,
) -> Result<usize> {
    let mut ctx = Hooks::<F>::reading(cred);
    // SAFETY: all arguments are live; what outlives the call (asynchronous reads) holds its own
    // references, and `ctx` is not kept.
    ssize(unsafe {
        bindings::backing_file_read_iter(real.as_ptr(), iter.iter, iocb.iocb, flags.0, &mut ctx)
    })
}

/// Writes to the backing file `real`, with the credentials `cred`. The caller holds the lock of
/// our inode; takes freeze protection of the layer.
///
/// # Errors
///
/// Those of the filesystem; `EIOCBQUEUED` if the write goes on after the call.
/// (`fs/backing-file.c`, backing_file_write_iter())
pub(crate) fn backing_write_iter<F: IoHooks>(
    real: &File,
    iter: &mut Iter<'_>,
    iocb: &IoCb<'_, F>,
    flags: IocbFlags,
    cred: &Credential,
) -> Result<usize> {
    let mut ctx = Hooks::<F>::writing(cred);
    // SAFETY: as in `backing_read_iter`.
    ssize(unsafe {
        bindings::backing_file_write_iter(real.as_ptr(), iter.iter, iocb.iocb, flags.0, &mut ctx)
    })
}

/// Runs `f` with a synchronous control block of `user` at `pos`, which is moved by what was done.
fn with_kiocb<F: FileSystem>(
    user: &FsFile<F>,
    pos: &mut i64,
    f: impl FnOnce(*mut bindings::kiocb) -> isize,
) -> Result<usize> {
    let mut iocb: bindings::kiocb = pin_init::zeroed();
    // SAFETY: `user` is open; fills the whole block.
    unsafe { bindings::init_sync_kiocb(&mut iocb, user.as_ptr()) };
    iocb.ki_pos = *pos;
    let ret = f(&mut iocb);
    *pos = iocb.ki_pos;
    ssize(ret)
}

/// Moves data from the backing file `real` to a pipe.
///
/// # Errors
///
/// Those of the filesystem. (`fs/backing-file.c`, backing_file_splice_read())
pub(crate) fn backing_splice_read<F: IoHooks>(
    user: &FsFile<F>,
    real: &File,
    pos: &mut i64,
    pipe: &mut Pipe<'_>,
    len: usize,
    flags: u32,
    cred: &Credential,
) -> Result<usize> {
    let mut ctx = Hooks::<F>::reading(cred);
    with_kiocb(user, pos, |iocb| {
        // SAFETY: all arguments are live during the call.
        unsafe {
            bindings::backing_file_splice_read(real.as_ptr(), iocb, pipe.pipe, len, flags, &mut ctx)
        }
    })
}

/// Moves data from a pipe to the backing file `real`. The caller holds the lock of our inode;
/// takes freeze protection of the layer.
///
/// # Errors
///
/// Those of the filesystem. (`fs/backing-file.c`, backing_file_splice_write())
pub(crate) fn backing_splice_write<F: IoHooks>(
    pipe: &mut Pipe<'_>,
    user: &FsFile<F>,
    real: &File,
    pos: &mut i64,
    len: usize,
    flags: u32,
    cred: &Credential,
) -> Result<usize> {
    let mut ctx = Hooks::<F>::writing(cred);
    with_kiocb(user, pos, |iocb| {
        // SAFETY: all arguments are live during the call.
        unsafe {
            bindings::backing_file_splice_write(
                pipe.pipe,
                real.as_ptr(),
                iocb,
                len,
                flags,
                &mut ctx,
            )
        }
    })
}

/// Maps the backing file `real` in the place of the user's.
///
/// # Errors
///
/// `ENODEV` if its filesystem cannot map; those of the filesystem. (`fs/backing-file.c`,
/// backing_file_mmap())
pub(crate) fn backing_mmap<F: IoHooks>(
    real: &File,
    vma: &mut Vma<'_, F>,
    cred: &Credential,
) -> Result {
    let mut ctx = Hooks::<F>::reading(cred);
    // SAFETY: `vma` is the one that ->mmap was called for; the mapping takes its own reference of
    // the file.
    to_result(unsafe { bindings::backing_file_mmap(real.as_ptr(), vma.vma, &mut ctx) })
}
