// SPDX-License-Identifier: GPL-2.0

//! Changing the upper filesystem.
//!
//! Every function that can change a layer is a method of [`UpperWrite`] or of a guard made from
//! one, so that without write access to the upper mount nothing can be changed, and a lower
//! layer, which has no such token, never. All of them also ask for the mounter's credentials.
//!
//! What changes a directory is in [`guard`]; here is what changes one object.
//!
//! Lock order: the locks taken here nest inside the mount's write access ([`UpperWrite`]), which
//! nests inside the overlay object's lock, which nests inside the overlay inode's `i_rwsem`.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

mod guard;

pub(crate) use self::guard::{
    Creating,
    RenameFlags,
    Renaming, //
};

use super::{
    acl::Acl,
    bindings,
    cred::Mounter,
    dentry::Dentry,
    errno::to_result,
    file::{
        self,
        File, //
    },
    mount::{
        RealPath,
        Upper,
        UpperWrite, //
    },
    stat::{
        AttrChange,
        FileAttr,
        SetAttr, //
    },
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

impl UpperWrite<'_> {
    /// Takes the inode lock of a positive upper dentry, for changes that must be seen together.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a negative dentry.
    pub(crate) fn lock_inode<'a>(&'a self, d: &'a Upper<Dentry>) -> Result<UpperInodeLock<'a>> {
        let inode = d.positive()?;
        // SAFETY: `inode` stays alive as long as `d`, which the guard borrows.
        unsafe { bindings::inode_lock(inode.as_ptr()) };
        Ok(UpperInodeLock {
            dentry: d,
            idmap: self.idmap(),
            _task: NotThreadSafe,
        })
    }

    /// Changes attributes of `d`. Takes the inode lock of `d`.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/attr.c`, notify_change())
    pub(crate) fn notify_change(
        &self,
        m: &Mounter<'_>,
        d: &Upper<Dentry>,
        attr: &mut SetAttr,
    ) -> Result {
        self.lock_inode(d)?.notify_change(m, attr)
    }

    /// Sets an extended attribute; `flags` are `XATTR_CREATE` and `XATTR_REPLACE`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the filesystem cannot store it, and the others of setxattr(2).
    /// (`fs/xattr.c`, vfs_setxattr(): it maps the owner in `security.capability` and breaks
    /// leases, unlike __vfs_setxattr())
    pub(crate) fn set_xattr(
        &self,
        _m: &Mounter<'_>,
        d: &Upper<Dentry>,
        name: &CStr,
        value: &[u8],
        flags: i32,
    ) -> Result {
        // SAFETY: vfs_setxattr() takes the inode lock and reads `value` during the call only.
        to_result(unsafe {
            bindings::vfs_setxattr(
                self.idmap(),
                d.as_ptr(),
                name.as_char_ptr(),
                value.as_ptr().cast(),
                value.len(),
                flags,
            )
        })
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    ///
    /// `ENODATA` if there is none, and the others of removexattr(2). (`fs/xattr.c`,
    /// vfs_removexattr())
    pub(crate) fn remove_xattr(&self, _m: &Mounter<'_>, d: &Upper<Dentry>, name: &CStr) -> Result {
        // SAFETY: vfs_removexattr() takes the inode lock itself.
        to_result(unsafe {
            bindings::vfs_removexattr(self.idmap(), d.as_ptr(), name.as_char_ptr())
        })
    }

    /// Sets a POSIX ACL; `name` is one of [`super::acl::NAME_ACCESS`] and
    /// [`super::acl::NAME_DEFAULT`].
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/posix_acl.c`, vfs_set_acl())
    pub(crate) fn set_acl(
        &self,
        _m: &Mounter<'_>,
        d: &Upper<Dentry>,
        name: &CStr,
        acl: &Acl,
    ) -> Result {
        // SAFETY: vfs_set_acl() takes the inode lock; the filesystem takes its own count of the
        // ACL if it keeps it.
        to_result(unsafe {
            bindings::vfs_set_acl(self.idmap(), d.as_ptr(), name.as_char_ptr(), acl.as_ptr())
        })
    }

    /// Removes a POSIX ACL.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/posix_acl.c`, vfs_remove_acl())
    pub(crate) fn remove_acl(&self, _m: &Mounter<'_>, d: &Upper<Dentry>, name: &CStr) -> Result {
        // SAFETY: vfs_remove_acl() takes the inode lock itself.
        to_result(unsafe { bindings::vfs_remove_acl(self.idmap(), d.as_ptr(), name.as_char_ptr()) })
    }

    /// Creates a file without a name in `parent` and opens it for writing.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the filesystem has no O_TMPFILE. (`fs/namei.c`, kernel_tmpfile_open())
    pub(crate) fn tmpfile(
        &self,
        _m: &Mounter<'_>,
        parent: &Upper<Dentry>,
        mode: u16,
    ) -> Result<UpperFile> {
        let path = bindings::path {
            mnt: self.mnt().as_ptr(),
            dentry: parent.as_ptr(),
        };
        let flags = bindings::O_LARGEFILE | bindings::O_WRONLY;
        // SAFETY: no requirement; the credentials outlive the call.
        let cred = unsafe { bindings::current_cred() };
        // SAFETY: `path` is live during the call; the open file takes its own references.
        let file = unsafe {
            bindings::kernel_tmpfile_open(self.idmap(), &path, mode, file::c_flags(flags), cred)
        };
        Ok(UpperFile {
            // SAFETY: kernel_tmpfile_open() returns a counted file or an error pointer.
            file: unsafe { file::owned(file) }?,
        })
    }

    /// Sets the flags of chattr(1) on `d`.
    ///
    /// # Errors
    ///
    /// `ENOTTY` or `ENOIOCTLCMD` if the filesystem has none; what a security module answers to
    /// the ioctl that this stands for. (`fs/file_attr.c`, vfs_fileattr_set())
    pub(crate) fn fileattr_set(
        &self,
        m: &Mounter<'_>,
        d: &Upper<Dentry>,
        attr: &mut FileAttr,
    ) -> Result {
        RealPath::upper(self.mnt(), d).fileattr_allowed(m, attr, true)?;
        // SAFETY: vfs_fileattr_set() takes the inode lock; `attr` is ours.
        to_result(unsafe {
            bindings::vfs_fileattr_set(self.idmap(), d.as_ptr(), attr.as_mut_ptr())
        })
    }
}

/// The inode lock of an upper object.
///
/// # Invariants
///
/// `dentry` is positive and this task holds the lock of its inode.
#[must_use = "the inode is unlocked when the guard is dropped"]
pub(crate) struct UpperInodeLock<'a> {
    dentry: &'a Upper<Dentry>,
    idmap: *mut bindings::mnt_idmap,
    _task: NotThreadSafe,
}

impl UpperInodeLock<'_> {
    /// Changes attributes.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/attr.c`, notify_change())
    pub(crate) fn notify_change(&self, _m: &Mounter<'_>, attr: &mut SetAttr) -> Result {
        // SAFETY: by the type invariant the inode is locked; `attr` is ours.
        to_result(unsafe {
            bindings::notify_change(
                self.idmap,
                self.dentry.as_ptr(),
                attr.as_mut_ptr(),
                ptr::null_mut(),
            )
        })
    }

    /// Passes on the change that `->setattr` was asked for.
    ///
    /// # Errors
    ///
    /// Those of the upper filesystem. (`fs/attr.c`, notify_change())
    pub(crate) fn notify_change_raw(&self, _m: &Mounter<'_>, attr: &mut AttrChange) -> Result {
        // SAFETY: by the type invariant the inode is locked; the VFS lent us `attr`.
        to_result(unsafe {
            bindings::notify_change(
                self.idmap,
                self.dentry.as_ptr(),
                attr.as_mut_ptr(),
                ptr::null_mut(),
            )
        })
    }
}

impl Drop for UpperInodeLock<'_> {
    fn drop(&mut self) {
        // SAFETY: a positive dentry that is referenced stays positive.
        let inode = unsafe { (*self.dentry.as_ptr()).d_inode };
        // SAFETY: by the type invariant this task holds the lock.
        unsafe { bindings::inode_unlock(inode) };
    }
}

/// A file of the upper layer without a name, open for writing.
///
/// # Invariants
///
/// `file` was opened through the upper mount.
pub(crate) struct UpperFile {
    file: ARef<File>,
}

impl UpperFile {
    /// The open file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Its dentry, from which it can be given a name.
    pub(crate) fn dentry(&self) -> &Upper<Dentry> {
        // By the type invariant it is on the upper mount.
        Upper::new_ref(file::dentry(&self.file))
    }
}
