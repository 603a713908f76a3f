// SPDX-License-Identifier: GPL-2.0

//! What an open regular file of the overlay keeps: the real file it was opened on, and the upper
//! one that it switches to when the object is copied up meanwhile.
//!
//! Every operation asks [`OpenFile::data`] or [`OpenFile::at`] for the file to work on. A descriptor
//! that was opened read-only on a lower file thus reads what is written later through another one.
//! Memory mappings stay with the file they were made on.
//!
//! Source of the facts: `ovl_open_realfile`, `ovl_real_file_path` and `ovl_real_file` in
//! `fs/overlayfs/file.c`.

#![forbid(unsafe_code)]

use kernel::{
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    overlay::{
        lowerdata,
        mount::MountState,
        OvlFile, //
    },
    vfs::{
        file::{
            self,
            oflags::O_NOATIME,
            FileSlot, //
        },
        inode::may,
        mount::RealPath, //
    },
};

/// The real files behind an open regular file.
pub(crate) struct OpenFile {
    /// The one it was opened on.
    real: ARef<File>,
    /// The upper one, if that is another and was needed: set once, read without a lock.
    upper: FileSlot,
}

impl OpenFile {
    /// The record of a file that was opened on `real`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(real: ARef<File>) -> Result<KBox<Self>> {
        let open = Self {
            real,
            upper: FileSlot::new(),
        };
        Ok(KBox::new(open, GFP_KERNEL)?)
    }

    /// The real file it was opened on.
    pub(crate) fn opened(&self) -> &File {
        &self.real
    }

    /// The real file that has the data now.
    ///
    /// # Errors
    ///
    /// As [`Self::at`] and [`lowerdata::verify`].
    pub(crate) fn data(&self, user: &OvlFile, ms: &MountState) -> Result<&File> {
        lowerdata::verify(user.dentry())?;
        self.at(user, ms, user.inode().real_data_path(ms)?)
    }

    /// The real file at `path`, which is where the object's data or its upper part is now. Its
    /// flags are made to follow those of the overlay's file, which `fcntl(2)` may have changed.
    ///
    /// # Errors
    ///
    /// Those of opening the upper file, `EPERM` and `EINVAL` for flags that the real file cannot
    /// take; `EIO` if someone replaced the upper file behind the overlay's back.
    pub(crate) fn at(&self, user: &OvlFile, ms: &MountState, path: RealPath<'_>) -> Result<&File> {
        let inode = path.inode()?;
        let mut real: &File = &self.real;
        if !file::inode(real).ptr_eq(inode) {
            real = match self.upper.get() {
                Some(upper) => upper,
                None => self.upper.set(open_real(user, ms, path)?),
            };
            if !file::inode(real).ptr_eq(inode) {
                return Err(EIO);
            }
        }
        file::sync_real_flags(user, real)?;
        Ok(real)
    }
}

/// Opens the real file at `path` with the flags of the overlay's file.
///
/// Access times of the real file are left alone, if the mounter may ask for that: the overlay
/// updates them itself.
///
/// # Errors
///
/// Those of the mounter's permission on the real file and of its file system.
pub(crate) fn open_real(user: &OvlFile, ms: &MountState, path: RealPath<'_>) -> Result<ARef<File>> {
    let flags = user.flags() | O_NOATIME;
    ms.with_mounter(|m| {
        path.permission(m, may::OPEN | file::access_mode(flags))?;
        let flags = if path.owner_or_capable(m) {
            flags
        } else {
            flags & !O_NOATIME
        };
        file::backing_open(user, m, flags, path)
    })
}
