// SPDX-License-Identifier: GPL-2.0

//! The markers that overlayfs stores in the layers as extended attributes.
//!
//! Names and values are those of overlayfs (`ovl_xattr_table` in `fs/overlayfs/util.c`), so that
//! both modules read each other's layers. [`Format`] says under which prefix a mount keeps them;
//! the sub-modules read and write the values. What a value means is decided in `rules/`.
//!
//! When a marker is read there are four outcomes, and only they exist: it is there; it is not
//! (`ENODATA`, or `EOPNOTSUPP` of a layer without such attributes); this mounter may not see it
//! (`EACCES`, `EPERM`; with `userxattr` the mounter needs read permission), which counts as not
//! there for markers that only add something, and as a failure for a redirect, as in-tree; or the
//! layer failed, which is an error of the operation and never "not there".

#![forbid(unsafe_code)]

use core::sync::atomic::{
    AtomicBool,
    Ordering::Relaxed, //
};
use kernel::prelude::*;

use crate::vfs::errno::EOPNOTSUPP;
use crate::{
    rules::escape::Namespace,
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
    }, //
};

pub(crate) mod marker;
pub(crate) mod metacopy;
pub(crate) mod origin;
pub(crate) mod redirect;

/// A marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// The directory hides what is below it (`y`), or may hold whiteouts in xattr form (`x`).
    Opaque,
    /// The lower place that the object was renamed away from.
    Redirect,
    /// The handle of the lower object this one was copied from.
    Origin,
    /// The handle of the upper directory that an entry of the index stands for.
    Upper,
    /// The directory may hold entries that were copied up (`y`).
    Impure,
    /// The link count of an indexed object, relative to that of a real one.
    Nlink,
    /// The identity of the overlay.
    Uuid,
    /// Only metadata was copied up.
    Metacopy,
    /// File attributes that the upper object cannot carry itself.
    Protattr,
    /// The file is a whiteout in xattr form.
    Xwhiteout,
}

/// Defines the names of all markers for both prefixes.
macro_rules! marker_names {
    ($($variant:ident = $postfix:literal,)+) => {
        impl Name {
            /// The name for a mounter who may use `trusted.*`.
            const fn trusted(self) -> &'static CStr {
                match self {
                    $(Self::$variant => kernel::c_str!(concat!("trusted.overlay.", $postfix)),)+
                }
            }

            /// The name with `userxattr`.
            const fn user(self) -> &'static CStr {
                match self {
                    $(Self::$variant => kernel::c_str!(concat!("user.overlay.", $postfix)),)+
                }
            }
        }
    };
}

marker_names! {
    Opaque = "opaque",
    Redirect = "redirect",
    Origin = "origin",
    Upper = "upper",
    Impure = "impure",
    Nlink = "nlink",
    Uuid = "uuid",
    Metacopy = "metacopy",
    Protattr = "protattr",
    Xwhiteout = "whiteout",
}

/// How a mount keeps markers in its layers.
pub(crate) struct Format {
    user: bool,
    origin_uuid: bool,
    unsupported: AtomicBool,
}

impl Format {
    /// `user`: the markers are `user.overlay.*`; `origin_uuid`: handles carry the identity of their
    /// file system.
    pub(crate) fn new(user: bool, origin_uuid: bool) -> Self {
        Self {
            user,
            origin_uuid,
            unsupported: AtomicBool::new(false),
        }
    }

    /// The full name of a marker.
    #[inline(always)]
    pub(crate) fn name(&self, name: Name) -> &'static CStr {
        if self.user {
            name.user()
        } else {
            name.trusted()
        }
    }

    /// The markers are `user.overlay.*`.
    pub(crate) fn is_user(&self) -> bool {
        self.user
    }

    /// Handles carry the identity of their file system.
    pub(crate) fn has_origin_uuid(&self) -> bool {
        self.origin_uuid
    }

    /// The upper layer was found not to store markers.
    pub(crate) fn is_unsupported(&self) -> bool {
        self.unsupported.load(Relaxed)
    }

    /// Notes that the upper layer does not store markers.
    pub(crate) fn note_unsupported(&self) {
        self.unsupported.store(true, Relaxed);
    }
}

/// Reads a marker into `buf`; returns its length, or `None` if it is not there for this mounter.
///
/// # Errors
///
/// `ERANGE` if it does not fit; what the layer fails with.
pub(crate) fn get(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    name: Name,
    buf: &mut [u8],
) -> Result<Option<usize>> {
    hide_refused(path.getxattr(m, format.name(name), buf))
}

/// The length of a marker's value, or `None` if it is not there for this mounter.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn len(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    name: Name,
) -> Result<Option<usize>> {
    hide_refused(path.getxattr_len(m, format.name(name)))
}

/// A mounter who may not see a marker goes on without it.
pub(crate) fn hide_refused(read: Result<Option<usize>>) -> Result<Option<usize>> {
    match read {
        Err(error) if error == EACCES || error == EPERM => Ok(None),
        other => other,
    }
}

/// Sets a marker in the upper layer; `unsupported` is the result if it does not store markers.
///
/// The first refusal is remembered, and no other is tried.
///
/// # Errors
///
/// What the layer fails with.
pub(crate) fn check_set(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    name: Name,
    value: &[u8],
    unsupported: Result,
) -> Result {
    if format.is_unsupported() {
        return unsupported;
    }
    let full = format.name(name);
    match w.set_xattr(m, upper, full, value, 0) {
        Err(error) if error == EOPNOTSUPP => {
            pr_warn!("cannot set {} xattr on upper\n", full);
            format.note_unsupported();
            unsupported
        }
        other => other,
    }
}

/// Whether the xattr `name` of a real object is the overlay's own, so that users never see it.
pub(crate) fn is_private(format: &Format, name: &[u8]) -> bool {
    Namespace::of_mount(format.is_user()).is_private(name)
}
