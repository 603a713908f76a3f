// SPDX-License-Identifier: GPL-2.0

//! Extended attributes as users see them.
//!
//! They are the real object's. The overlay's own ones (`trusted.overlay.*`, or `user.overlay.*` with
//! `userxattr`) are not shown. A user's attribute with such a name, which an overlay on top of this
//! one may want to write, is stored under an escaped name.
//!
//! The VFS has checked the caller's permission. Reading a layer is the mounter's permission.
//!
//! Source of the facts: `fs/overlayfs/xattrs.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::vfs::errno::EOPNOTSUPP;
use crate::{
    copy_up,
    overlay::{
        mount::MountState,
        OvlDentry,
        OvlInode, //
    },
    rules::escape::{
        EscapeError,
        Namespace, //
    },
    vfs::{
        cred,
        room::Room, //
    },
};

/// The attributes that a mount keeps for itself.
fn namespace(ms: &MountState) -> Namespace {
    Namespace::of_mount(ms.config.userxattr)
}

/// The name that an attribute with the overlay's own prefix is stored under.
struct Escaped(KVec<u8>);

impl Escaped {
    /// `suffix` is what follows the prefix.
    fn new(ms: &MountState, suffix: &CStr) -> Result<Self> {
        let mut name = KVec::new();
        namespace(ms)
            .escape(suffix.to_bytes(), &mut name)
            .map_err(|error| match error {
                EscapeError::NoMemory => ENOMEM,
                EscapeError::TooLong => EOPNOTSUPP,
            })?;
        name.push(0, GFP_KERNEL)?;
        Ok(Self(name))
    }

    fn as_cstr(&self) -> Result<&CStr> {
        CStr::from_bytes_with_nul(&self.0).map_err(|_| EINVAL)
    }
}

/// Reads an attribute into `room`; an empty one asks for its size.
///
/// # Errors
///
/// `ENODATA`, `ERANGE`, `EOPNOTSUPP` and whatever else the layer answers.
pub(crate) fn get(inode: &OvlInode, name: &CStr, room: &mut Room<'_>) -> Result<usize> {
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    ms.with_mounter(|m| real.getxattr_to(m, name, room))
}

/// [`get`] for a name with the overlay's own prefix, of which `suffix` is the rest.
///
/// # Errors
///
/// As [`get`], and `EOPNOTSUPP` if the escaped name is too long; `ENOMEM`.
pub(crate) fn get_own(inode: &OvlInode, suffix: &CStr, room: &mut Room<'_>) -> Result<usize> {
    let name = Escaped::new(MountState::of(inode.super_()), suffix)?;
    get(inode, name.as_cstr()?, room)
}

/// Sets an attribute, or removes it if `value` is `None`, after a copy-up. The caller holds the
/// overlay inode's lock.
///
/// # Errors
///
/// Those of the copy-up and of the upper layer.
pub(crate) fn set(
    dentry: &OvlDentry,
    inode: &OvlInode,
    name: &CStr,
    value: Option<&[u8]>,
    flags: i32,
) -> Result {
    let ms = MountState::of(inode.super_());
    if inode.upper().is_none() {
        if value.is_none() {
            // No copy-up for the removal of what is not there.
            let lower = inode.lower_path(ms).ok_or(EIO)?;
            ms.with_mounter(|m| lower.getxattr_raw(m, name, &mut []))?;
        }
        copy_up::copy_up(dentry)?;
    }
    let upper = inode.upper().ok_or(EIO)?;

    let write = ms.want_write()?;
    let result = ms.with_mounter(|m| match value {
        Some(value) => write.set_xattr(m, upper, name, value, flags),
        None => write.remove_xattr(m, upper, name),
    });
    drop(write);
    inode.copy_attr();
    result
}

/// [`set`] for a name with the overlay's own prefix, of which `suffix` is the rest.
///
/// # Errors
///
/// As [`set`], and `EOPNOTSUPP` if the escaped name is too long; `ENOMEM`.
pub(crate) fn set_own(
    dentry: &OvlDentry,
    inode: &OvlInode,
    suffix: &CStr,
    value: Option<&[u8]>,
    flags: i32,
) -> Result {
    let name = Escaped::new(MountState::of(inode.super_()), suffix)?;
    set(dentry, inode, name.as_cstr()?, value, flags)
}

/// Lists the names of all attributes that the caller may see into `room`, each ended by a NUL. An
/// empty one asks for a size that is enough.
///
/// # Errors
///
/// `ERANGE` and whatever else the layer answers; `EIO` for a broken list.
pub(crate) fn list(dentry: &OvlDentry, room: Room<'_>) -> Result<usize> {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    let (len, names) = ms.with_mounter(|m| real.listxattr_to(m, room))?;
    if names.is_empty() {
        return Ok(len);
    }
    namespace(ms)
        .filter_list(names, cred::may_list_trusted)
        .map_err(|_| EIO)
}
