// SPDX-License-Identifier: GPL-2.0

//! `struct xattr_handler`: extended attributes with the prefix that the overlay keeps for itself,
//! and all others.

use super::{
    super::{
        bindings,
        mount::IdMap,
        own::{
            FileSystem,
            FsDentry,
            FsInode, //
        },
        room::Room,
        text::c_str, //
    },
    bytes, c_len_int, c_result,
};
use core::{
    ffi::c_void,
    marker::PhantomData,
    ptr, //
};
use kernel::{
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};

/// Reading and writing extended attributes. ACLs do not come here.
///
/// The VFS has checked the caller's permission. For the `own` methods the name starts with the
/// prefix that the overlay keeps for itself, of which `suffix` is the rest.
pub(crate) trait XattrOps: FileSystem {
    /// The prefix of the overlay's attributes if they are `trusted.*`, with the dot at its end.
    const TRUSTED_PREFIX: &'static CStr;

    /// The prefix of the overlay's attributes if they are `user.*`, with the dot at its end.
    const USER_PREFIX: &'static CStr;

    /// Reads an attribute into `value`; an empty `value` asks for the size.
    ///
    /// # Errors
    ///
    /// Those of getxattr(2).
    fn get(
        dentry: &FsDentry<Self>,
        inode: &FsInode<Self>,
        name: &CStr,
        value: &mut Room<'_>,
    ) -> Result<usize>;

    /// Sets an attribute, or removes it if `value` is `None`. The i_rwsem is held.
    ///
    /// # Errors
    ///
    /// Those of setxattr(2) and removexattr(2).
    fn set(
        idmap: &IdMap,
        dentry: &FsDentry<Self>,
        inode: &FsInode<Self>,
        name: &CStr,
        value: Option<&[u8]>,
        flags: i32,
    ) -> Result;

    /// As [`XattrOps::get`].
    ///
    /// # Errors
    ///
    /// Those of getxattr(2).
    fn get_own(
        dentry: &FsDentry<Self>,
        inode: &FsInode<Self>,
        suffix: &CStr,
        value: &mut Room<'_>,
    ) -> Result<usize>;

    /// As [`XattrOps::set`].
    ///
    /// # Errors
    ///
    /// Those of setxattr(2) and removexattr(2).
    fn set_own(
        idmap: &IdMap,
        dentry: &FsDentry<Self>,
        inode: &FsInode<Self>,
        suffix: &CStr,
        value: Option<&[u8]>,
        flags: i32,
    ) -> Result;
}

/// The handlers of a superblock: the first that matches the prefix of a name gets it.
#[repr(transparent)]
pub(super) struct Handlers([*const bindings::xattr_handler; 3]);

impl Handlers {
    /// The null-terminated array that `s_xattr` wants.
    pub(super) const fn as_ptr(&self) -> *const *const bindings::xattr_handler {
        self.0.as_ptr()
    }
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

impl<F: XattrOps> VTable<F> {
    /// # Safety
    ///
    /// `->get` of a handler: the caller holds the dentry, `value` has `size` bytes.
    unsafe extern "C" fn get(
        _handler: *const bindings::xattr_handler,
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *mut c_void,
        size: usize,
    ) -> c_int {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the dentry pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: a C string that lives during the call.
        let name = unsafe { c_str(name) };
        // SAFETY: the caller's buffer (fs/xattr.c, __vfs_getxattr()).
        let mut value = unsafe { Room::from_raw(value, size) };
        c_len_int(F::get(dentry, inode, name, &mut value))
    }

    /// # Safety
    ///
    /// As [`Self::get`]; `name` is what follows the handler's prefix.
    unsafe extern "C" fn get_own(
        _handler: *const bindings::xattr_handler,
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *mut c_void,
        size: usize,
    ) -> c_int {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the dentry pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: a C string that lives during the call.
        let name = unsafe { c_str(name) };
        // SAFETY: the caller's buffer (fs/xattr.c, __vfs_getxattr()).
        let mut value = unsafe { Room::from_raw(value, size) };
        c_len_int(F::get_own(dentry, inode, name, &mut value))
    }

    /// # Safety
    ///
    /// `->set` of a handler: the inode is locked; `value` is null or has `size` bytes.
    unsafe extern "C" fn set(
        _handler: *const bindings::xattr_handler,
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the dentry pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: a C string that lives during the call.
        let name = unsafe { c_str(name) };
        // SAFETY: the caller's buffer; null asks to remove (fs/xattr.c, __vfs_removexattr()).
        let value = (!value.is_null()).then(|| unsafe { bytes(value, size) });
        c_result(F::set(idmap, dentry, inode, name, value, flags))
    }

    /// # Safety
    ///
    /// As [`Self::set`]; `name` is what follows the handler's prefix.
    unsafe extern "C" fn set_own(
        _handler: *const bindings::xattr_handler,
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        inode: *mut bindings::inode,
        name: *const c_char,
        value: *const c_void,
        size: usize,
        flags: c_int,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the dentry pins its inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        // SAFETY: a C string that lives during the call.
        let name = unsafe { c_str(name) };
        // SAFETY: the caller's buffer; null asks to remove (fs/xattr.c, __vfs_removexattr()).
        let value = (!value.is_null()).then(|| unsafe { bytes(value, size) });
        c_result(F::set_own(idmap, dentry, inode, name, value, flags))
    }

    /// The attributes that the overlay keeps for itself, as `prefix` says.
    const fn own(prefix: &'static CStr) -> bindings::xattr_handler {
        bindings::xattr_handler {
            prefix: prefix.to_bytes_with_nul().as_ptr(),
            get: Some(Self::get_own),
            set: Some(Self::set_own),
            ..pin_init::zeroed()
        }
    }

    const OWN_TRUSTED: bindings::xattr_handler = Self::own(F::TRUSTED_PREFIX);

    const OWN_USER: bindings::xattr_handler = Self::own(F::USER_PREFIX);

    /// All others: the empty prefix matches every name.
    const OTHER: bindings::xattr_handler = bindings::xattr_handler {
        prefix: c"".to_bytes_with_nul().as_ptr(),
        get: Some(Self::get),
        set: Some(Self::set),
        ..pin_init::zeroed()
    };

    /// For mounts whose private attributes are `trusted.*`.
    pub(super) const TRUSTED: Handlers = Handlers([&Self::OWN_TRUSTED, &Self::OTHER, ptr::null()]);

    /// For mounts whose private attributes are `user.*`.
    pub(super) const USER: Handlers = Handlers([&Self::OWN_USER, &Self::OTHER, ptr::null()]);
}
