// SPDX-License-Identifier: GPL-2.0

//! fs-verity: the digest by which a file system protects the data of a file.
//!
//! C header: [`include/linux/fsverity.h`](srctree/include/linux/fsverity.h)

use super::{
    bindings,
    cred::Mounter,
    errno::from_err_ptr,
    mount::RealPath, //
};
use core::ptr::NonNull;
use kernel::{
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// The longest digest.
const MAX_LEN: usize = bindings::FS_VERITY_MAX_DIGEST_SIZE as usize;

/// The digest of a file's data.
pub(crate) struct Digest {
    bytes: [u8; MAX_LEN],
    len: usize,
    algorithm: u8,
}

impl Digest {
    /// None.
    pub(crate) const fn empty() -> Self {
        Self {
            bytes: [0; MAX_LEN],
            len: 0,
            algorithm: 0,
        }
    }

    /// `FS_VERITY_HASH_ALG_*`.
    pub(crate) fn algorithm(&self) -> u8 {
        self.algorithm
    }

    /// The digest.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl RealPath<'_> {
    /// The file system protects the data.
    pub(crate) fn has_verity(&self) -> bool {
        let inode = self.inode();
        // SAFETY: reads the flags of a live inode.
        inode.is_ok_and(|inode| unsafe { bindings::fsverity_active(inode.as_ptr()) })
    }

    /// Makes the digest of a protected file known, which it is once the file was opened.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a negative dentry; what opening fails with.
    pub(crate) fn load_verity(&self, m: &Mounter<'_>) -> Result {
        let inode = self.inode()?;
        // SAFETY: a live inode.
        if unsafe { !bindings::fsverity_is_unloaded(inode.as_ptr()) } {
            return Ok(());
        }
        let path = self.raw();
        let flags = bindings::O_RDONLY as i32;
        // SAFETY: a valid path and live credentials.
        let file = unsafe { bindings::kernel_file_open(&path, flags, m.cred().as_ptr()) };
        let file: NonNull<File> = NonNull::new(from_err_ptr(file)?).ok_or(EIO)?.cast();
        // SAFETY: kernel_file_open() returns a counted file that is in no descriptor table.
        drop(unsafe { ARef::from_raw(file) });
        Ok(())
    }

    /// The digest of a file for which [`Self::load_verity`] was called; false if it has none.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a negative dentry.
    pub(crate) fn verity_digest(&self, _: &Mounter<'_>, digest: &mut Digest) -> Result<bool> {
        let inode = self.inode()?;
        let (bytes, algorithm) = (digest.bytes.as_mut_ptr(), &mut digest.algorithm);
        // SAFETY: a live inode; at most FS_VERITY_MAX_DIGEST_SIZE bytes and one are written.
        let len = unsafe { bindings::fsverity_digest(inode.as_ptr(), bytes, algorithm) };
        digest.len = usize::try_from(len).unwrap_or(0).min(MAX_LEN);
        Ok(digest.len > 0)
    }
}
