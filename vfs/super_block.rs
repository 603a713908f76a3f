// SPDX-License-Identifier: GPL-2.0

//! Superblocks of any filesystem.
//!
//! C header: [`include/linux/fs/super_types.h`](srctree/include/linux/fs/super_types.h)

use super::{
    bindings,
    errno::to_result, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// Which file handles a filesystem makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HandleType {
    /// None, or none that the current credentials may open.
    None,
    /// The generic ones, whose inode numbers have 32 bits.
    Ino32,
    /// Its own.
    Other,
}

/// A `struct super_block` of any filesystem.
///
/// # Invariants
///
/// Whoever holds a `&SuperBlock` holds something that keeps it active (a mount, an inode).
#[repr(transparent)]
pub(crate) struct SuperBlock(Opaque<bindings::super_block>);

// SAFETY: what `&SuperBlock` offers may be called from any thread.
unsafe impl Send for SuperBlock {}
// SAFETY: as above.
unsafe impl Sync for SuperBlock {}

impl SuperBlock {
    /// Borrows a C superblock.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid and stay active for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::super_block) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C superblock.
    pub(super) fn as_ptr(&self) -> *mut bindings::super_block {
        self.0.get()
    }

    /// Device number.
    pub(crate) fn dev(&self) -> u32 {
        // SAFETY: set before the superblock is published, constant afterwards.
        unsafe { (*self.as_ptr()).s_dev }
    }

    /// How many filesystems are stacked below this one.
    pub(crate) fn stack_depth(&self) -> i32 {
        // SAFETY: set before the superblock is published, constant afterwards.
        unsafe { (*self.as_ptr()).s_stack_depth }
    }

    /// UUID; all zero if there is none.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        // SAFETY: set when the superblock is filled; 16 plain bytes.
        unsafe { (*self.as_ptr()).s_uuid.b }
    }

    /// Has it POSIX ACLs?
    pub(crate) fn has_posix_acl(&self) -> bool {
        self.flags() & bindings::SB_POSIXACL != 0
    }

    fn flags(&self) -> usize {
        // SAFETY: projecting a field of a live superblock.
        let flags = unsafe { &raw const (*self.as_ptr()).s_flags };
        // SAFETY: one word that others store whole.
        unsafe { flags.read_volatile() }
    }

    /// Read-only as a whole?
    pub(crate) fn is_readonly(&self) -> bool {
        self.flags() & bindings::SB_RDONLY != 0
    }

    /// Does it remember which files have no security attributes (`SB_NOSEC`)?
    pub(crate) fn is_nosec(&self) -> bool {
        self.flags() & bindings::SB_NOSEC != 0
    }

    /// The same superblock?
    pub(crate) fn ptr_eq(&self, other: &SuperBlock) -> bool {
        core::ptr::eq(self, other)
    }

    /// The file handles that it makes and that the current credentials may open
    /// (CAP_DAC_READ_SEARCH).
    pub(crate) fn handle_type(&self) -> HandleType {
        if !super::cred::capable_dac_read_search() {
            return HandleType::None;
        }
        // SAFETY: reads the export operations of a live superblock, which are static.
        match unsafe { bindings::sb_handle_type(self.as_ptr()) } {
            0 => HandleType::None,
            n if n > 0 => HandleType::Ino32,
            _ => HandleType::Other,
        }
    }

    /// Has it directories whose names are compared without case?
    pub(crate) fn has_encoding(&self) -> bool {
        // SAFETY: constant after mount.
        unsafe { bindings::sb_has_encoding(self.as_ptr()) }
    }

    /// Does it refuse names that are not valid in its encoding?
    pub(crate) fn has_strict_encoding(&self) -> bool {
        // SAFETY: constant after mount.
        unsafe { bindings::sb_has_strict_encoding(self.as_ptr()) }
    }

    /// The same encoding, or none on both sides?
    pub(crate) fn same_encoding(&self, other: &SuperBlock) -> bool {
        // SAFETY: constant after mount.
        unsafe { bindings::sb_same_encoding(self.as_ptr(), other.as_ptr()) }
    }

    /// `name` as names are compared in directories without case, into `out`; its length.
    ///
    /// `None` if the superblock has no encoding or the name is not valid in it.
    pub(crate) fn casefold(&self, name: &[u8], out: &mut [u8]) -> Option<usize> {
        // SAFETY: constant after mount; reads `name`, writes at most `out`.
        let n = unsafe {
            bindings::sb_casefold(
                self.as_ptr(),
                name.as_ptr(),
                name.len(),
                out.as_mut_ptr(),
                out.len(),
            )
        };
        usize::try_from(n).ok().filter(|&n| n > 0)
    }

    fn writeback_errors(&self) -> *mut bindings::errseq_t {
        // SAFETY: projecting a field of a live superblock.
        unsafe { &raw mut (*self.as_ptr()).s_wb_err }
    }

    /// A mark in the sequence of writeback errors ([`SuperBlock::writeback_check`]).
    pub(crate) fn writeback_sample(&self) -> u32 {
        // SAFETY: errseq_sample() reads one word (lib/errseq.c).
        unsafe { bindings::errseq_sample(self.writeback_errors()) }
    }

    /// Fails with the error that writeback met since `since`.
    pub(crate) fn writeback_check(&self, since: u32) -> Result {
        // SAFETY: errseq_check() reads one word (lib/errseq.c).
        to_result(unsafe { bindings::errseq_check(self.writeback_errors(), since) })
    }

    /// Writes out everything that is dirty and waits. Sleeps; takes s_umount shared.
    pub(crate) fn sync(&self) -> Result {
        // SAFETY: the superblock is active.
        to_result(unsafe { bindings::sb_sync(self.as_ptr()) })
    }
}

/// A device number that no device has, for objects that need one of their own in stat(2).
pub(crate) struct AnonDev(bindings::dev_t);

impl AnonDev {
    /// Takes one.
    ///
    /// # Errors
    ///
    /// `EMFILE` if there is none left, `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let mut dev = 0;
        // SAFETY: `dev` is filled on success.
        to_result(unsafe { bindings::get_anon_bdev(&mut dev) })?;
        Ok(Self(dev))
    }

    /// The number.
    pub(crate) fn dev(&self) -> u32 {
        self.0
    }
}

impl Drop for AnonDev {
    fn drop(&mut self) {
        // SAFETY: taken by `new`.
        unsafe { bindings::free_anon_bdev(self.0) };
    }
}
