// SPDX-License-Identifier: GPL-2.0

//! Real objects: what can be read of an object of a layer, with the credentials of the mounter.
//!
//! C headers: [`include/linux/xattr.h`](srctree/include/linux/xattr.h),
//! [`include/linux/stat.h`](srctree/include/linux/stat.h)

use super::{
    super::{
        acl::{
            Acl,
            AclKind, //
        },
        cred::Mounter,
        dentry::{
            self,
            Dentry, //
        },
        errno::{
            from_err_ptr,
            ssize,
            to_result, //
        },
        file,
        inode::{
            may,
            Inode, //
        },
        stat::{
            FileAttr,
            Stat,
            StatFs, //
        },
        store,
        text::c_str, //
    },
    bindings,
    IdMap,
    Lower,
    LowerMount,
    Mount,
    Path,
    Upper,
    UpperMount, //
};
use kernel::{
    alloc::KVVec,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// How often the attributes of an object may change while they are read, before that is an error.
pub(crate) const CHANGES: u8 = 8;

/// The text of a symbolic link, with what its filesystem needs to keep it.
pub(crate) struct LinkText {
    text: *const kernel::ffi::c_char,
    done: bindings::delayed_call,
}

impl LinkText {
    /// The text.
    pub(crate) fn as_cstr(&self) -> &CStr {
        // SAFETY: vfs_get_link() returns a string that lives until the delayed call is made.
        unsafe { c_str(self.text) }
    }

    /// For ->get_link: the text and the call that releases it, now the business of the VFS.
    pub(in crate::vfs) fn into_raw(self) -> (*const kernel::ffi::c_char, bindings::delayed_call) {
        let this = core::mem::ManuallyDrop::new(self);
        (
            this.text,
            bindings::delayed_call {
                fn_: this.done.fn_,
                arg: this.done.arg,
            },
        )
    }
}

impl Drop for LinkText {
    fn drop(&mut self) {
        // SAFETY: filled by vfs_get_link(), called once.
        unsafe { bindings::do_delayed_call(&mut self.done) };
    }
}

/// A real object, reached through the mount of its layer: the side that reads.
///
/// Every method takes the [`Mounter`]: a layer is touched with the mounter's credentials or not
/// at all.
#[derive(Clone, Copy)]
pub(crate) struct RealPath<'a> {
    mnt: &'a Mount,
    dentry: &'a Dentry,
}

impl<'a> RealPath<'a> {
    /// An object of the upper layer.
    pub(crate) fn upper(mnt: &'a UpperMount, dentry: &'a Upper<Dentry>) -> Self {
        Self { mnt, dentry }
    }

    /// What the user named, through the mount that it was named on and not through the layer's.
    pub(crate) fn named(path: &'a Path) -> Self {
        Self {
            mnt: &path.mnt,
            dentry: &path.dentry,
        }
    }

    /// An object of a lower layer.
    pub(crate) fn lower(mnt: &'a LowerMount, dentry: &'a Lower<Dentry>) -> Self {
        Self { mnt, dentry }
    }

    /// The dentry.
    pub(crate) fn dentry(&self) -> &'a Dentry {
        self.dentry
    }

    /// How the layer's mount translates owners.
    pub(crate) fn idmap(&self) -> &'a IdMap {
        self.mnt.idmap()
    }

    /// The inode.
    ///
    /// # Errors
    ///
    /// `ENOENT` for a negative dentry.
    pub(crate) fn inode(&self) -> Result<&'a Inode> {
        self.dentry.positive()
    }

    /// The C structure; borrows both parts.
    pub(in crate::vfs) fn raw(&self) -> bindings::path {
        bindings::path {
            mnt: self.mnt.as_ptr(),
            dentry: self.dentry.as_ptr(),
        }
    }

    /// Attributes, with the security module's check.
    pub(crate) fn getattr(
        &self,
        _: &Mounter<'_>,
        stat: &mut Stat,
        mask: u32,
        flags: u32,
    ) -> Result {
        let path = self.raw();
        // SAFETY: a valid path; `stat` is filled.
        to_result(unsafe { bindings::vfs_getattr(&path, stat.as_mut_ptr(), mask, flags) })
    }

    /// Attributes, without the security module's check: the caller was checked already.
    pub(crate) fn getattr_nosec(
        &self,
        _: &Mounter<'_>,
        stat: &mut Stat,
        mask: u32,
        flags: u32,
    ) -> Result {
        let path = self.raw();
        // SAFETY: a valid path; `stat` is filled.
        to_result(unsafe { bindings::vfs_getattr_nosec(&path, stat.as_mut_ptr(), mask, flags) })
    }

    /// An extended attribute; with an empty `buf`, its size. Every error as the filesystem gives
    /// it.
    pub(crate) fn getxattr_raw(
        &self,
        m: &Mounter<'_>,
        name: &CStr,
        buf: &mut [u8],
    ) -> Result<usize> {
        ssize(self.getxattr_c(m, name, buf))
    }

    fn getxattr_c(&self, _: &Mounter<'_>, name: &CStr, buf: &mut [u8]) -> isize {
        // SAFETY: all arguments are live; at most `buf.len()` bytes are written.
        unsafe {
            bindings::vfs_getxattr(
                self.idmap().as_ptr(),
                self.dentry.as_ptr(),
                name.as_char_ptr(),
                buf_ptr(buf),
                buf.len(),
            )
        }
    }

    /// An extended attribute that may be missing: `None` if there is none, or if the filesystem
    /// has none of this kind (`ENODATA`, `EOPNOTSUPP`). A longer value is `ERANGE`.
    pub(crate) fn getxattr(
        &self,
        m: &Mounter<'_>,
        name: &CStr,
        buf: &mut [u8],
    ) -> Result<Option<usize>> {
        absent_is_none(self.getxattr_c(m, name, buf))
    }

    /// The size of an extended attribute that may be missing, in bytes.
    pub(crate) fn getxattr_len(&self, m: &Mounter<'_>, name: &CStr) -> Result<Option<usize>> {
        self.getxattr(m, name, &mut [])
    }

    /// The whole value of an extended attribute that may be missing.
    ///
    /// # Errors
    ///
    /// `EIO` if the value keeps growing under our hands, `ENOMEM`.
    pub(crate) fn getxattr_vec(&self, m: &Mounter<'_>, name: &CStr) -> Result<Option<KVVec<u8>>> {
        // Most objects have none, and then there is no vector either: to drop an empty one is a call.
        match self.getxattr_len(m, name)? {
            Some(len) => self.getxattr_of_len(m, name, len),
            None => Ok(None),
        }
    }

    /// As [`Self::getxattr_vec`], for one that was just found to have this length.
    ///
    /// # Errors
    ///
    /// As [`Self::getxattr_vec`].
    pub(crate) fn getxattr_of_len(
        &self,
        m: &Mounter<'_>,
        name: &CStr,
        len: usize,
    ) -> Result<Option<KVVec<u8>>> {
        let mut value = KVVec::new();
        store::set_len(&mut value, len)?;
        if len == 0 {
            return Ok(Some(value));
        }
        match self.getxattr(m, name, &mut value) {
            Ok(Some(n)) => {
                value.truncate(n);
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(e) if e == ERANGE => Err(EIO),
            Err(e) => Err(e),
        }
    }

    /// As [`Self::getxattr_vec`], but in a single step if the value fits into `buf`.
    pub(crate) fn getxattr_vec_through(
        &self,
        m: &Mounter<'_>,
        name: &CStr,
        buf: &mut [u8],
    ) -> Result<Option<KVVec<u8>>> {
        match self.getxattr(m, name, buf) {
            Ok(Some(len)) => {
                let mut value = KVVec::with_capacity(len, GFP_KERNEL)?;
                value.extend_from_slice(buf.get(..len).ok_or(EIO)?, GFP_KERNEL)?;
                Ok(Some(value))
            }
            Ok(None) => Ok(None),
            Err(e) if e == ERANGE => self.getxattr_vec(m, name),
            Err(e) => Err(e),
        }
    }

    /// The names of the extended attributes, each ended by a NUL; with an empty `buf`, the size.
    pub(crate) fn listxattr_raw(&self, _: &Mounter<'_>, buf: &mut [u8]) -> Result<usize> {
        // SAFETY: the dentry is live; at most `buf.len()` bytes are written.
        let n = unsafe {
            bindings::vfs_listxattr(self.dentry.as_ptr(), buf_ptr(buf).cast(), buf.len())
        };
        ssize(n)
    }

    /// The names of the extended attributes, each ended by a NUL, into `out`.
    ///
    /// # Errors
    ///
    /// `ERANGE` if the list keeps growing under our hands, `ENOMEM`, what the layer fails with.
    pub(crate) fn listxattr(&self, m: &Mounter<'_>, out: &mut KVVec<u8>) -> Result<usize> {
        // An overlay as the layer marks a directory while something in it is copied up: the list
        // may have become longer since its size was asked for.
        for _ in 0..CHANGES {
            let len = self.listxattr_raw(m, &mut [])?;
            store::set_len(out, len)?;
            if len == 0 {
                return Ok(0);
            }
            match self.listxattr_raw(m, out) {
                Ok(n) => {
                    out.truncate(n);
                    return Ok(n);
                }
                Err(e) if e == ERANGE => {}
                Err(e) => return Err(e),
            }
        }
        Err(ERANGE)
    }

    /// May the mounter access the object so (`MAY_*`)?
    pub(crate) fn permission(&self, _: &Mounter<'_>, mask: i32) -> Result {
        let inode = self.inode()?;
        // SAFETY: both are live.
        to_result(unsafe {
            bindings::inode_permission(self.idmap().as_ptr(), inode.as_ptr(), mask)
        })
    }

    /// Is the mounter the owner, or as good as?
    pub(crate) fn owner_or_capable(&self, _: &Mounter<'_>) -> bool {
        // SAFETY: both are live.
        self.dentry.inode().is_some_and(|inode| unsafe {
            bindings::inode_owner_or_capable(self.idmap().as_ptr(), inode.as_ptr())
        })
    }

    /// The text of a symbolic link.
    pub(crate) fn get_link(&self, _: &Mounter<'_>) -> Result<LinkText> {
        let mut done: bindings::delayed_call = pin_init::zeroed();
        // SAFETY: the dentry is live; `done` is filled if there is something to release.
        let text = unsafe { bindings::vfs_get_link(self.dentry.as_ptr(), &mut done) };
        let text = from_err_ptr(text.cast_mut())?;
        Ok(LinkText { text, done })
    }

    /// An access control list, for a caller who is to see it; with the permission checks of
    /// getxattr(2).
    pub(crate) fn get_acl(&self, _: &Mounter<'_>, name: &CStr) -> Result<Option<Acl>> {
        // SAFETY: all arguments are live.
        let acl = unsafe {
            bindings::vfs_get_acl(
                self.idmap().as_ptr(),
                self.dentry.as_ptr(),
                name.as_char_ptr(),
            )
        };
        // SAFETY: null, an error, or a counted list.
        unsafe { Acl::from_owned(acl.cast()) }
    }

    /// An access control list, for a permission check of ours.
    pub(crate) fn get_inode_acl(&self, _: &Mounter<'_>, kind: AclKind) -> Result<Option<Acl>> {
        let inode = self.inode()?;
        // SAFETY: the inode is live.
        let acl = unsafe { bindings::get_inode_acl(inode.as_ptr(), kind.raw()) };
        // SAFETY: null, an error, or a counted list.
        unsafe { Acl::from_owned(acl.cast()) }
    }

    /// Opens the object for the overlay's own use (`flags` are `O_RDONLY` or `O_WRONLY`, with
    /// `O_LARGEFILE`), without moving its access time where that is allowed.
    ///
    /// # Errors
    ///
    /// `EACCES` if the mounter may not; those of the filesystem.
    pub(crate) fn open(&self, m: &Mounter<'_>, flags: u32) -> Result<ARef<File>> {
        let access = if flags & bindings::O_ACCMODE == bindings::O_RDONLY {
            may::READ
        } else {
            may::WRITE
        };
        self.permission(m, access | may::OPEN)?;
        if self.owner_or_capable(m) {
            self.dentry_open(m, flags | bindings::O_NOATIME)
        } else {
            self.dentry_open(m, flags)
        }
    }

    fn dentry_open(&self, m: &Mounter<'_>, flags: u32) -> Result<ARef<File>> {
        let path = self.raw();
        // SAFETY: all arguments are live.
        let file = unsafe { bindings::dentry_open(&path, file::c_flags(flags), m.cred().as_ptr()) };
        // SAFETY: dentry_open() returns a counted file that is in no descriptor table.
        unsafe { file::owned(file) }
    }

    /// Looks `name` up below, to be found; a fatal signal ends the wait for the directory.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EINTR`, those of the filesystem.
    pub(crate) fn lookup_positive_killable(
        &self,
        _: &Mounter<'_>,
        name: &[u8],
    ) -> Result<ARef<Dentry>> {
        let mut name = dentry::qstr(name)?;
        // SAFETY: all arguments are live; the function hashes the name itself.
        let found = unsafe {
            bindings::lookup_one_positive_killable(
                self.idmap().as_ptr(),
                &mut name,
                self.dentry.as_ptr(),
            )
        };
        // SAFETY: returns a counted dentry or an error.
        unsafe { dentry::owned(found) }
    }

    /// Moves the access time, as a read of the object would.
    pub(crate) fn touch_atime(&self) {
        let path = self.raw();
        // SAFETY: a valid path.
        unsafe { bindings::touch_atime(&path) };
    }

    /// What statfs(2) says.
    pub(crate) fn statfs(&self, _: &Mounter<'_>, stat: &mut StatFs) -> Result {
        let path = self.raw();
        // SAFETY: a valid path; `stat` is filled.
        to_result(unsafe { bindings::vfs_statfs(&path, stat.as_mut_ptr().cast()) })
    }

    /// Asks the security module about the ioctl that reading (or setting) flags amounts to.
    pub(in crate::vfs) fn fileattr_allowed(
        &self,
        m: &Mounter<'_>,
        attr: &FileAttr,
        set: bool,
    ) -> Result {
        let file = self.dentry_open(m, bindings::O_RDONLY | bindings::O_LARGEFILE)?;
        // SAFETY: the file is open; no argument is read.
        to_result(unsafe {
            bindings::security_file_ioctl(file.as_ptr(), attr.ioctl_command(set), 0)
        })
    }

    /// The flags that chattr(1) shows.
    ///
    /// # Errors
    ///
    /// `ENOTTY`, `EINVAL` or `EOPNOTSUPP` if the filesystem has none.
    pub(crate) fn fileattr_get(&self, m: &Mounter<'_>, attr: &mut FileAttr) -> Result {
        self.fileattr_allowed(m, attr, false)?;
        // SAFETY: the dentry is live; `attr` is filled.
        let err =
            unsafe { bindings::vfs_fileattr_get(self.dentry.as_ptr(), attr.as_mut_ptr().cast()) };
        match to_result(err) {
            Err(e) if e == ENOIOCTLCMD => Err(ENOTTY),
            other => other,
        }
    }
}

/// A pointer to `buf` as C wants it: null if there is no room.
fn buf_ptr(buf: &mut [u8]) -> *mut c_void {
    if buf.is_empty() {
        core::ptr::null_mut()
    } else {
        buf.as_mut_ptr().cast()
    }
}

/// The one place that says which errors mean that an extended attribute is not there. Most are not:
/// no error is made of that.
#[inline(always)]
fn absent_is_none(n: isize) -> Result<Option<usize>> {
    const ABSENT: [isize; 2] = [
        -(bindings::ENODATA as isize),
        -(bindings::EOPNOTSUPP as isize),
    ];
    if ABSENT.contains(&n) {
        return Ok(None);
    }
    ssize(n).map(Some)
}
