// SPDX-License-Identifier: GPL-2.0

//! `->lookup`: a name of a directory that is not cached.
//!
//! The search is [`crate::overlay::walk`]; here its result becomes an inode, and what the VFS and
//! later operations have to know about the name is noted in the dentry (`ovl_lookup` in
//! `fs/overlayfs/namei.c`).

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::vfs::errno::ENAMETOOLONG;
use crate::{
    overlay::{
        instantiate::{
            get_inode,
            init_reval, //
        },
        walk::{
            self,
            Found, //
        },
        OvlChild,
        OvlInode, //
    },
    vfs::cred::Mounter, //
};

/// Looks up a name whose directory is locked, at least shared. `None`: there is no such object.
///
/// # Errors
///
/// `ENAMETOOLONG`: no layer takes such a name; as [`walk::find`] and [`get_inode`].
pub(crate) fn lookup(child: OvlChild<'_>, _flags: u32) -> Result<Option<ARef<OvlInode>>> {
    let ms = child.mount();
    if child.name().len() > ms.namelen {
        return Err(ENAMETOOLONG);
    }
    ms.with_mounter(|m| {
        let mut found = Found::nothing();
        walk::find(ms, m, &child, &mut found)?;
        attach(m, &child, &mut found)
    })
}

/// Notes in the dentry what was found, and gets the inode for it.
#[inline(never)]
fn attach(
    m: &Mounter<'_>,
    child: &OvlChild<'_>,
    found: &mut Found,
) -> Result<Option<ARef<OvlInode>>> {
    child.set_found(found.upper_alias, found.opaque, found.xwhiteouts);
    if found.parts.is_empty() {
        init_reval(child, None, &[]);
        return Ok(None);
    }
    let inode = get_inode(child.super_(), m, &mut found.parts, None)?.inode;
    init_reval(child, inode.upper(), inode.lowers());
    Ok(Some(inode))
}
