// SPDX-License-Identifier: GPL-2.0

//! The redirect: where lower layers have an object under another name.
//!
//! Source of the facts: `ovl_get_redirect_xattr` in `fs/overlayfs/util.c`, `ovl_set_redirect` in
//! `fs/overlayfs/dir.c`. What a redirect may look
//! like, and how it is composed, is in [`crate::rules::redirect`].

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    rules::redirect::Redirect,
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        log::{
            self,
            warn_limited, //
        },
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        }, //
    },
    xattr::{
        self,
        Format,
        Name, //
    },
};

/// A redirect as an object carries it.
pub(crate) struct Stored(KVVec<u8>);

impl Stored {
    /// The redirect.
    ///
    /// # Errors
    ///
    /// `EINVAL`: the value is none.
    pub(crate) fn redirect(&self) -> Result<Redirect<'_>> {
        Redirect::parse(&self.0).map_err(|_| EINVAL)
    }
}

/// Reads the redirect of the object at `path`.
///
/// # Errors
///
/// `EINVAL`: the value is no redirect; `EACCES`, `EPERM`: this mounter may not see it; `ENOMEM`; what
/// the layer fails with. All are logged, with `path`.
#[inline]
pub(crate) fn read(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<Option<Stored>> {
    match path.getxattr_len(m, format.name(Name::Redirect)) {
        Ok(None) => Ok(None),
        found => read_value(format, m, path, found),
    }
}

/// [`read`], if there is something, of this length, or the layer failed.
#[inline(never)]
fn read_value(
    format: &Format,
    m: &Mounter<'_>,
    path: RealPath<'_>,
    len: Result<Option<usize>>,
) -> Result<Option<Stored>> {
    let name = format.name(Name::Redirect);
    let value = len.and_then(|len| path.getxattr_of_len(m, name, len.unwrap_or(0)));
    let stored = match value {
        Ok(None) => return Ok(None),
        Ok(Some(value)) => Stored(value),
        Err(error) => {
            warn_limited!(
                "failed to get redirect of '{}' ({})\n",
                path.dentry().log_name(),
                error.to_errno()
            );
            return Err(error);
        }
    };
    if let Err(error) = stored.redirect() {
        warn_limited!(
            "invalid redirect ({}) of '{}'\n",
            log::Name(&stored.0),
            path.dentry().log_name()
        );
        return Err(error);
    }
    Ok(Some(stored))
}

/// Stores the redirect of an upper object.
///
/// # Errors
///
/// `EXDEV`, whatever the reason: user space copies then. The reason is logged.
pub(crate) fn set(
    format: &Format,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    redirect: &[u8],
) -> Result {
    xattr::check_set(format, m, w, upper, Name::Redirect, redirect, Err(EXDEV)).map_err(|error| {
        warn_limited!(
            "failed to set redirect of '{}' ({})\n",
            upper.log_name(),
            error.to_errno()
        );
        EXDEV
    })
}
