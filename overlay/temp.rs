// SPDX-License-Identifier: GPL-2.0

//! Temporary objects, and how real objects of the upper file system are made and thrown away.
//!
//! Whatever has to appear at its name complete (a copied-up object, a directory that hides what
//! is below, a whiteout) is first made in the work directory under a name that nobody knows, and
//! then moved or linked to its place. A crash leaves it in the work directory, where the next
//! mount removes it.
//!
//! Source of the facts: `ovl_create_temp`, `ovl_create_real` and `ovl_cleanup` in
//! `fs/overlayfs/dir.c`.

#![forbid(unsafe_code)]

use super::mount::MountState;
use crate::vfs::errno::ESTALE;
use crate::{
    rules::tempname::TempName,
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        dirop::Creating,
        inode::{
            Dev,
            FileType, //
        },
        log::warn_limited,
        mount::{
            Upper,
            UpperWrite, //
        },
    },
};
use core::sync::atomic::{
    AtomicU32,
    Ordering::Relaxed, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The number of the next temporary name. It may wrap: a name is in use for one operation, and
/// one that is taken makes that operation fail, nothing else.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// A name that no one else uses now; shared by all mounts, because two of them may use one work
/// directory.
pub(super) fn fresh_name() -> TempName {
    TempName::new(NEXT.fetch_add(1, Relaxed))
}

/// What to make.
pub(crate) struct CreateAttr<'a> {
    /// File type and permissions; the umask of the task applies to the permissions as in any
    /// creation.
    pub(crate) mode: u16,
    /// The device number of a device node.
    pub(crate) rdev: Dev,
    /// The target of a symbolic link.
    pub(crate) link: Option<&'a CStr>,
    /// The object to give one more name to; then nothing else here counts.
    pub(crate) hardlink: Option<&'a Upper<Dentry>>,
}

impl CreateAttr<'_> {
    /// An object that needs no more than its mode.
    pub(crate) const fn with_mode(mode: u16) -> Self {
        Self {
            mode,
            rdev: Dev::WHITEOUT,
            link: None,
            hardlink: None,
        }
    }
}

/// Makes an object with a temporary name in `dir`.
///
/// Returns a hashed, positive dentry. `ESTALE` if the name was taken.
pub(crate) fn create_temp(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    attr: &CreateAttr<'_>,
) -> Result<ARef<Upper<Dentry>>> {
    let name = fresh_name();
    let creating = w.start_creating(m, dir, name.as_bytes())?;
    Ok(create_real(ms, m, w, dir, creating, name.as_bytes(), attr)?.keep())
}

/// Makes the object whose name `creating` has locked in `dir`.
///
/// The result holds the same lock and a hashed, positive dentry. `ESTALE` if the name is taken,
/// `EINVAL` if a new directory does not fold case as the rest of the mount does, `EIO` if the
/// real file system did not make what it said it made.
pub(crate) fn create_real<'w>(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &'w UpperWrite<'_>,
    dir: &Upper<Dentry>,
    creating: Creating<'w>,
    name: &[u8],
    attr: &CreateAttr<'_>,
) -> Result<Creating<'w>> {
    if creating.is_positive() {
        return Err(ESTALE);
    }
    let created = match attr.hardlink {
        Some(existing) => {
            let mut creating = creating;
            creating.link(m, existing)?;
            creating
        }
        None => create_by_type(ms, m, creating, attr)?,
    };
    if created.dentry().is_negative() {
        return Err(EIO);
    }
    if created.dentry().is_unhashed() {
        return look_up_again(m, w, dir, created, name);
    }
    Ok(created)
}

/// One creation of a new inode, by its type.
fn create_by_type<'w>(
    ms: &MountState,
    m: &Mounter<'_>,
    mut creating: Creating<'w>,
    attr: &CreateAttr<'_>,
) -> Result<Creating<'w>> {
    match FileType::from_mode(attr.mode) {
        FileType::Regular => creating.create(m, attr.mode)?,
        FileType::Directory => {
            let made = creating.mkdir(m, attr.mode)?;
            if made.dentry().is_casefolded() != ms.casefold {
                warn_limited!("wrong inherited casefold ({})\n", made.dentry().log_name());
                return Err(EINVAL);
            }
            return Ok(made);
        }
        FileType::CharDevice | FileType::BlockDevice | FileType::Fifo | FileType::Socket => {
            creating.mknod(m, attr.mode, attr.rdev)?
        }
        FileType::Symlink => creating.symlink(m, attr.link.ok_or(EINVAL)?)?,
        FileType::Other => return Err(EPERM),
    }
    Ok(creating)
}

/// Finds what was just made by its name.
///
/// Some file systems (those that fold case) make an object without hashing its dentry. The lock
/// has to be given up for the lookup; if the name is something else by then, `EIO` or `ENOENT`.
#[inline(never)]
fn look_up_again<'w>(
    m: &Mounter<'_>,
    w: &'w UpperWrite<'_>,
    dir: &Upper<Dentry>,
    created: Creating<'w>,
    name: &[u8],
) -> Result<Creating<'w>> {
    let unhashed = created.keep();
    let found = w.start_creating(m, dir, name)?;
    match (found.dentry().inode(), unhashed.inode()) {
        (Some(found), Some(made)) if found.ptr_eq(made) => {}
        _ => return Err(EIO),
    }
    Ok(found)
}

/// Removes the object `dentry` of the directory `dir`, which is known only to us.
///
/// Fails only if `dentry` is not in `dir` any more. That the removal itself fails is logged and
/// leaves a leftover, which is not the caller's problem.
pub(crate) fn cleanup(
    _ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    dentry: &Upper<Dentry>,
) -> Result {
    let removing = w.start_removing_dentry(m, dir, dentry)?;
    let removed = if dentry.is_dir() {
        removing.rmdir(m)
    } else {
        removing.unlink(m)
    };
    if let Err(error) = removed {
        pr_err!(
            "cleanup of '{}' failed ({})\n",
            dentry.log_name(),
            error.to_errno()
        );
    }
    Ok(())
}

/// As [`cleanup`], where there is nothing to do about a failure.
pub(crate) fn discard(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    dentry: &Upper<Dentry>,
) {
    // The error means that someone moved the object away, which `cleanup` cannot undo.
    let _ = cleanup(ms, m, w, dir, dentry);
}
