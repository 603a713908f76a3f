// SPDX-License-Identifier: GPL-2.0

//! The redirect that an object gets when it leaves the place of its lower part.
//!
//! In the same directory the old name is enough. Elsewhere it takes the path from the root of the
//! lower layers, as it was before any rename: each directory on the way up counts with its own
//! redirect if it has one, and an absolute redirect ends the way.
//!
//! Source of the facts: `ovl_set_redirect`, `ovl_get_redirect` and `ovl_need_absolute_redirect` in
//! `fs/overlayfs/dir.c`.

#![forbid(unsafe_code)]

use crate::{
    overlay::{
        mount::MountState,
        OvlDentry,
        OvlInode, //
    },
    rules::redirect::{
        Builder,
        TooLong, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        mount::UpperWrite,
        param,
        store::set_len, //
    },
    xattr, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Gives the upper part of `dentry`, which moves to the directory `to`, a redirect to its lower part,
/// unless it has one that stays right.
///
/// `EXDEV` if the path is too long (module parameter `redirect_max`) or the upper cannot store it;
/// `ENOMEM`.
#[inline(never)]
pub(super) fn set(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
    to: &OvlDentry,
) -> Result {
    let absolute = needs_absolute(dentry.object()?, dentry, to)?;
    store(ms, m, w, dentry, absolute)
}

/// As [`set`], for a file that gets another name somewhere: all names share the redirect.
#[inline(never)]
pub(super) fn set_absolute(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
) -> Result {
    store(ms, m, w, dentry, true)
}

fn store(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
    absolute: bool,
) -> Result {
    let inode = dentry.object()?;
    let fits = inode.with_redirect(|redirect| !absolute || is_absolute(redirect));
    if fits.unwrap_or(false) {
        return Ok(());
    }
    let redirect = if absolute {
        path_from_root(dentry)?
    } else {
        own_name(dentry)?
    };
    let upper = inode.upper().ok_or(EIO)?;
    xattr::redirect::set(ms.format(), m, w, upper, &redirect)?;
    inode.set_redirect(Some(redirect));
    Ok(())
}

/// A name is not enough in another directory. Nor is it for a file whose lower part is a hard link:
/// all upper names of it share the redirect, in whatever directories they are.
fn needs_absolute(inode: &OvlInode, dentry: &OvlDentry, to: &OvlDentry) -> Result<bool> {
    if !dentry.parent().ptr_eq(to) {
        return Ok(true);
    }
    if inode.is_dir() {
        return Ok(false);
    }
    Ok(inode.lower_inode().ok_or(EIO)?.nlink() > 1)
}

fn is_absolute(redirect: &[u8]) -> bool {
    redirect.first() == Some(&b'/')
}

/// The name as it is now.
fn own_name(dentry: &OvlDentry) -> Result<KVec<u8>> {
    pin_init::stack_pin_init!(let snapshot = dentry.name_snapshot());
    let mut name = KVec::new();
    name.extend_from_slice(snapshot.name(), GFP_KERNEL)?;
    Ok(name)
}

/// The place of the lower part, as a path from the root.
fn path_from_root(dentry: &OvlDentry) -> Result<KVec<u8>> {
    let mut buffer = KVec::new();
    set_len(&mut buffer, usize::from(param::redirect_max()))?;
    let mut builder = Builder::new(&mut buffer);
    let mut at: ARef<OvlDentry> = dentry.into();
    loop {
        let parent = at.parent();
        if parent.ptr_eq(&at) {
            break;
        }
        let Some(prepended) = prepend(&mut builder, &at, &parent) else {
            // It was moved just now.
            continue;
        };
        if prepended.map_err(|TooLong| EXDEV)? {
            break;
        }
        at = parent;
    }
    let mut path = KVec::new();
    path.extend_from_slice(builder.path(), GFP_KERNEL)?;
    Ok(path)
}

/// Puts the redirect of `dentry`, or the name that it has in `parent`, before the path; `None` if it
/// is in another directory.
///
/// Both are looked at under one lock: a rename first notes the redirect and then changes the name.
fn prepend(
    builder: &mut Builder<'_>,
    dentry: &OvlDentry,
    parent: &Dentry,
) -> Option<Result<bool, TooLong>> {
    dentry.with_name_in(parent, |name| {
        let redirected = dentry
            .inode()
            .and_then(|inode| inode.with_redirect(|redirect| builder.prepend(redirect)));
        match redirected {
            Some(prepended) => prepended,
            None => builder.prepend(name),
        }
    })
}
