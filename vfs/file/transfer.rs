// SPDX-License-Identifier: GPL-2.0

//! Data that goes from one file to another without passing through user space: shared, copied or
//! moved.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/splice.h`](srctree/include/linux/splice.h)

use super::{
    super::errno::ssize,
    bindings,
    position,
    File,
    FileOps,
    FsFile, //
};
use kernel::prelude::*;

/// Flags of `->remap_file_range`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RemapFlags(u32);

impl RemapFlags {
    /// Share the range only if both sides have the same data.
    pub(crate) const DEDUP: Self = Self(bindings::REMAP_FILE_DEDUP);
    /// What a filesystem may ignore: that it may shorten the range.
    pub(crate) const ADVISORY: Self = Self(bindings::REMAP_FILE_ADVISORY);
    /// None.
    pub(crate) const NONE: Self = Self(0);

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
}

/// A position in an open file of ours, for the operations that have two of them.
pub(crate) struct Place<'a, F: FileOps> {
    /// The file.
    pub(crate) file: &'a FsFile<F>,
    /// What the filesystem keeps for it.
    pub(crate) open: &'a F::Open,
    /// The position.
    pub(crate) pos: i64,
}

impl<F: FileOps> Clone for Place<'_, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F: FileOps> Copy for Place<'_, F> {}

/// Shares the first `len` bytes of `src` with `dst` (reflink). Returns how many were shared.
///
/// # Errors
///
/// `EOPNOTSUPP`, `EXDEV`, `EINVAL` where that is not possible, and those of the filesystem.
/// (`fs/remap_range.c`, vfs_clone_file_range())
pub(crate) fn clone_range(src: &File, dst: &File, len: u64) -> Result<u64> {
    let len = i64::try_from(len).map_err(|_| EINVAL)?;
    let cloned = clone_file_range(src, 0, dst, 0, len, RemapFlags::NONE)?;
    u64::try_from(cloned).map_err(|_| EIO)
}

/// Shares a range of `src` with `dst` (FICLONERANGE).
///
/// # Errors
///
/// As [`clone_range`].
pub(crate) fn clone_file_range(
    src: &File,
    src_pos: i64,
    dst: &File,
    dst_pos: i64,
    len: i64,
    flags: RemapFlags,
) -> Result<i64> {
    // SAFETY: both files are open; the function takes freeze protection itself.
    position(unsafe {
        bindings::vfs_clone_file_range(src.as_ptr(), src_pos, dst.as_ptr(), dst_pos, len, flags.0)
    })
}

/// Shares a range of `src` with `dst` if both have the same data (FIDEDUPERANGE).
///
/// # Errors
///
/// `EBADE` if the data differ; otherwise as [`clone_range`]. (`fs/remap_range.c`,
/// vfs_dedupe_file_range_one())
pub(crate) fn dedupe_file_range(
    src: &File,
    src_pos: i64,
    dst: &File,
    dst_pos: i64,
    len: i64,
    flags: RemapFlags,
) -> Result<i64> {
    // SAFETY: both files are open; the function takes freeze protection itself.
    position(unsafe {
        bindings::vfs_dedupe_file_range_one(
            src.as_ptr(),
            src_pos,
            dst.as_ptr(),
            dst_pos,
            len,
            flags.0,
        )
    })
}

/// Copies a range from `src` to `dst` within the kernel (copy_file_range(2)). Returns how many
/// bytes were copied.
///
/// # Errors
///
/// Those of the filesystems. (`fs/read_write.c`, vfs_copy_file_range())
pub(crate) fn copy_file_range(
    src: &File,
    src_pos: i64,
    dst: &File,
    dst_pos: i64,
    len: usize,
    flags: u32,
) -> Result<usize> {
    // SAFETY: both files are open; the function takes freeze protection itself.
    ssize(unsafe {
        bindings::vfs_copy_file_range(src.as_ptr(), src_pos, dst.as_ptr(), dst_pos, len, flags)
    })
}

/// Moves up to `len` bytes from `src` at `src_pos` to `dst` at `dst_pos` through a pipe of the
/// kernel. Both positions are advanced. Returns how many bytes were moved, 0 at the end.
///
/// # Errors
///
/// Those of the filesystems. (`fs/splice.c`, do_splice_direct())
pub(crate) fn splice_direct(
    src: &File,
    src_pos: &mut i64,
    dst: &File,
    dst_pos: &mut i64,
    len: usize,
) -> Result<usize> {
    // SAFETY: both files are open; the positions are ours.
    ssize(unsafe {
        bindings::do_splice_direct(
            src.as_ptr(),
            src_pos,
            dst.as_ptr(),
            dst_pos,
            len,
            bindings::SPLICE_F_MOVE,
        )
    })
}
