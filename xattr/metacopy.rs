// SPDX-License-Identifier: GPL-2.0

//! The mark of a file of which only the metadata was copied up.
//!
//! Source of the facts: `ovl_check_metacopy_xattr` in `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    rules::metacopy::HEADER_LEN,
    vfs::{
        cred::Mounter,
        log::warn_limited,
        mount::RealPath, //
    },
    xattr::{
        Format,
        Name, //
    },
};

/// Whether the object at `path` has only metadata, and its data is in a lower layer.
///
/// # Errors
///
/// `EIO`: the mark is malformed; what the layer fails with. Both are logged.
pub(crate) fn is_marked(format: &Format, m: &Mounter<'_>, path: RealPath<'_>) -> Result<bool> {
    if !path.inode()?.is_reg() {
        return Ok(false);
    }
    match path.getxattr_len(m, format.name(Name::Metacopy)) {
        Ok(None) => Ok(false),
        Ok(Some(len)) if len == 0 || len >= HEADER_LEN => Ok(true),
        Ok(Some(_)) => {
            warn_limited!(
                "metacopy file '{}' has too small xattr\n",
                path.dentry().log_name()
            );
            Err(EIO)
        }
        // Without read permission on the file there is no telling; its data is not shown either.
        Err(error) if error == EACCES && format.is_user() => Ok(false),
        Err(error) => {
            warn_limited!(
                "failed to get metacopy of '{}' ({})\n",
                path.dentry().log_name(),
                error.to_errno()
            );
            Err(error)
        }
    }
}
