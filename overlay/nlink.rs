// SPDX-License-Identifier: GPL-2.0

//! The number of names that an object has in the overlay.
//!
//! The links of a lower object that are kept together by the index are names in the upper layer (those
//! that were copied up or made) and in the lower one (those that were not, and are not hidden). Their
//! number is that of the overlay's inode; for the next mount the upper object keeps how far it is from
//! the link count of one of its parts. Before an operation that changes the number together with the
//! upper link count, the difference to that is stored; before a copy-up, which changes the upper
//! link count alone, the difference to the lower one. So the sum is right whether the operation
//! happens or not. A lower name that is to be hidden is copied up first, so that there is an object
//! to keep the number.
//!
//! Source of the facts: the comment above `OVL_NLINK_ADD_UPPER`, `ovl_set_nlink_common` and
//! `ovl_get_nlink` in `fs/overlayfs/inode.c`; `ovl_nlink_start` and `ovl_nlink_end` in
//! `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    overlay::{
        index,
        mount::MountState,
        object::ObjFlag,
        OvlDentry,
        OvlInode, //
    },
    rules::nlink::{
        Base,
        Nlink, //
    },
    vfs::{
        cred::Mounter,
        inode::Inode,
        lock::ObjectGuard,
        mount::{
            RealPath,
            UpperWrite, //
        }, //
    },
    xattr::{
        marker,
        Name, //
    },
};

/// Stores how far the number of names is from the link count of a part of the object.
///
/// # Errors
///
/// `EIO`: there is no such part; what the upper layer fails with.
pub(crate) fn store(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    inode: &OvlInode,
    base: Base,
) -> Result {
    let real = match base {
        Base::Upper => inode.upper_inode(),
        Base::Lower => inode.lower_inode(),
    };
    let value = Nlink::relative(base, inode.nlink(), real.ok_or(EIO)?.nlink()).text();
    let upper = inode.upper().ok_or(EIO)?;
    w.set_xattr(m, upper, ms.xattr(Name::Nlink), value.as_bytes(), 0)
}

/// The number of names of the object with these parts, if the upper one keeps a record of that.
///
/// # Errors
///
/// What the upper layer fails with.
pub(crate) fn stored(
    ms: &MountState,
    m: &Mounter<'_>,
    lower: &Inode,
    upper: RealPath<'_>,
    indexed: bool,
) -> Result<Option<u32>> {
    // A single lower link is not indexed on copy-up, unless everything is.
    if !indexed && lower.nlink() == 1 {
        return Ok(None);
    }
    let Some(record) = marker::nlink(ms.format(), m, upper)? else {
        return Ok(None);
    };
    let base = match record.base {
        Base::Upper => upper.inode()?.nlink(),
        Base::Lower => lower.nlink(),
    };
    Ok(record.resolve(base))
}

/// The number of names of an object and the link count of its upper part may be changed together
/// until this is dropped.
///
/// The end: write access is given up; if no name is left, the entry in the index goes; the object's
/// mutex is given back.
pub(crate) struct NlinkGuard<'a> {
    write: UpperWrite<'a>,
    _end: End<'a>,
}

impl<'a> NlinkGuard<'a> {
    /// The right to change the upper layer.
    pub(crate) fn write(&self) -> &UpperWrite<'a> {
        &self.write
    }
}

/// What happens after write access was given up.
struct End<'a> {
    dentry: &'a OvlDentry,
    inode: &'a OvlInode,
    _lock: ObjectGuard<'a>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if self.inode.flag(ObjFlag::Index) && self.inode.nlink() == 0 {
            let ms = self.dentry.mount();
            ms.with_mounter(|m| index::cleanup(ms, m, self.dentry, self.inode));
        }
    }
}

/// Starts an operation that changes the number of names of the object of `dentry`, so that neither
/// copy-up nor another such operation sees one count changed without the other. An object that
/// [needs an index entry](index::is_needed) has to be copied up before.
///
/// Call without the mounter's credentials, here and when the guard is dropped.
///
/// # Errors
///
/// `ENOENT`: the name is negative; `EINTR`: a signal arrived first; `EROFS`; what the upper layer
/// fails with.
pub(crate) fn start(dentry: &OvlDentry) -> Result<NlinkGuard<'_>> {
    let inode = dentry.object()?;
    let ms = dentry.mount();
    let lock = inode.object_lock().lock_interruptible()?;
    let write = ms.want_write()?;
    if !inode.is_dir() && inode.flag(ObjFlag::Index) {
        ms.with_mounter(|m| store(ms, m, &write, inode, Base::Upper))?;
    }
    Ok(NlinkGuard {
        write,
        _end: End {
            dentry,
            inode,
            _lock: lock,
        },
    })
}
