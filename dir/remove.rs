// SPDX-License-Identifier: GPL-2.0

//! Names that go away: `unlink` and `rmdir`.
//!
//! If no lower layer has the name, the object of the upper is removed; otherwise a whiteout takes
//! its place in one step. A directory that is empty to the user may hold whiteouts in the upper:
//! it is first exchanged for a really empty, opaque one, so that a crash in between shows no name
//! again.
//!
//! Source of the facts: `ovl_do_remove`, `ovl_remove_upper`, `ovl_remove_and_whiteout`,
//! `ovl_clear_empty` and `ovl_drop_nlink` in `fs/overlayfs/dir.c`.

#![forbid(unsafe_code)]

use super::{
    create::set_opaque,
    is_pure_upper,
    matches_upper,
    start_nlink, //
};
use crate::vfs::errno::ESTALE;
use crate::{
    copy_up::{
        copy_up,
        copy_xattr,
        set_attr, //
    },
    overlay::{
        dir_cache::{
            check_empty,
            cleanup_whiteouts,
            Whiteouts, //
        },
        mount::MountState,
        object::dir_modified,
        temp::{
            create_temp,
            discard,
            CreateAttr, //
        },
        walk::lower_positive,
        whiteout::cleanup_and_whiteout,
        OvlChild,
        OvlDentry, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        dirop::RenameFlags,
        mount::{
            LayerDentry,
            RealPath,
            Upper,
            UpperWrite, //
        },
        stat::{
            Stat,
            AT_STATX_SYNC_AS_STAT,
            STATX_BASIC_STATS, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Removes a name that is not a directory's.
///
/// `ESTALE` if the upper is not what the overlay knows it to be; otherwise what copying up the
/// parent and the upper file system say.
pub(crate) fn unlink(child: OvlChild<'_>) -> Result {
    remove(child, false)
}

/// Removes an empty directory. `ENOTEMPTY`; other errors as [`unlink`].
pub(crate) fn rmdir(child: OvlChild<'_>) -> Result {
    remove(child, true)
}

/// Removes any object.
fn remove(child: OvlChild<'_>, is_dir: bool) -> Result {
    let ms = MountState::of(child.super_());
    let inode = child.object()?;
    let has_lower = lower_positive(&child)?;
    // The upper file system checks one that is all its own.
    let whiteouts = if is_dir && (has_lower || !is_pure_upper(&child)) {
        check_empty(&child)?
    } else {
        Whiteouts::none()
    };
    copy_up(child.parent_dentry())?;
    let removed = {
        let guard = start_nlink(&child)?;
        let removed = ms.with_mounter(|m| {
            if has_lower {
                remove_and_whiteout(ms, m, guard.write(), child, &whiteouts)
            } else {
                remove_upper(ms, m, guard.write(), child, &whiteouts, is_dir)
            }
        });
        if removed.is_ok() {
            lost_name(&child, is_dir);
        }
        removed
    };
    // The change time. Where nothing was in the upper, only a whiteout was made, and none changed.
    if child.upper().is_some() {
        inode.copy_attr();
    }
    removed
}

/// Accounts for a name of the object that is gone.
///
/// If a change behind our back made the count wrong, it does not reach zero while we know of
/// another name.
pub(super) fn lost_name(dentry: &OvlDentry, is_dir: bool) {
    let Some(inode) = dentry.inode() else {
        return;
    };
    if is_dir {
        inode.clear_nlink();
        return;
    }
    let others = u32::from(inode.has_other_hashed_alias(dentry));
    if inode.nlink() > others {
        inode.drop_nlink();
    }
}

/// Puts a whiteout in the place of the object.
#[inline(never)]
fn remove_and_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    whiteouts: &Whiteouts,
) -> Result {
    let dir = child.parent_dentry().upper().ok_or(EIO)?;
    let cleared = clear_if_needed(ms, m, w, child, whiteouts)?;
    let found = dir.lookup(m, ms.upper_mnt()?, child.name())?;
    let expected = match &cleared {
        Some(cleared) => found.ptr_eq(cleared),
        None => child.upper().is_none() || matches_upper(&child, &found),
    };
    if !expected {
        return Err(ESTALE);
    }
    let whited_out = cleanup_and_whiteout(ms, m, w, dir, &found);
    if whited_out.is_ok() {
        dir_modified(child.parent_dentry(), true);
    }
    child.drop_hash();
    whited_out
}

/// Removes the object of the upper; nothing is below it.
#[inline(never)]
fn remove_upper(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    whiteouts: &Whiteouts,
    is_dir: bool,
) -> Result {
    let dir = child.parent_dentry().upper().ok_or(EIO)?;
    let cleared = clear_if_needed(ms, m, w, child, whiteouts)?;
    let removing = w.start_removing(m, dir, child.name())?;
    let expected = match &cleared {
        Some(cleared) => removing.dentry().ptr_eq(cleared),
        None => matches_upper(&child, removing.dentry()),
    };
    if !expected {
        return Err(ESTALE);
    }
    let removed = if is_dir {
        removing.rmdir(m)
    } else {
        removing.unlink(m)
    };
    dir_modified(child.parent_dentry(), child.path_kind().origin);
    if removed.is_ok() {
        // It still has its parts, which others may be looking at; only the name is gone.
        child.drop_hash();
    }
    removed
}

/// [`clear_empty`], if there are whiteouts at all.
pub(super) fn clear_if_needed(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    whiteouts: &Whiteouts,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    if whiteouts.is_empty() {
        return Ok(None);
    }
    clear_empty(ms, m, w, child, whiteouts).map(Some)
}

/// Exchanges a directory that holds nothing but `whiteouts` for an empty and opaque one, and
/// returns that.
///
/// `ESTALE` if the upper is no directory. `child` is unhashed: what it knows as its upper is gone.
#[inline(never)]
fn clear_empty(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    whiteouts: &Whiteouts,
) -> Result<ARef<Upper<Dentry>>> {
    let workdir = ms.workdir()?;
    let upper = child.upper().ok_or(EIO)?;
    let mut stat = Stat::boxed()?;
    RealPath::upper(ms.upper_mnt()?, upper).getattr(
        m,
        &mut stat,
        STATX_BASIC_STATS,
        AT_STATX_SYNC_AS_STAT,
    )?;
    if !stat.is_dir() {
        return Err(ESTALE);
    }
    let opaque = create_temp(ms, m, w, workdir, &CreateAttr::with_mode(stat.mode()))?;
    if let Err(error) = exchange_for(ms, m, w, child, &opaque, &stat) {
        discard(ms, m, w, workdir, &opaque);
        return Err(error);
    }
    cleanup_whiteouts(ms, m, w, upper, whiteouts);
    discard(ms, m, w, workdir, upper);
    child.drop_hash();
    Ok(opaque)
}

/// Gives the directory `opaque` everything that the upper of `child` has but its contents, and its
/// place.
#[inline(never)]
fn exchange_for(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    opaque: &Upper<Dentry>,
    stat: &Stat,
) -> Result {
    let dir = child.parent_dentry().upper().ok_or(EIO)?;
    let upper = child.upper().ok_or(EIO)?;
    let mut renaming =
        w.start_renaming_dentries(m, ms.workdir()?, opaque, dir, upper, RenameFlags::EXCHANGE)?;
    copy_xattr(ms, m, w, RealPath::upper(ms.upper_mnt()?, upper), opaque)?;
    set_opaque(ms, m, w, &child, opaque)?;
    set_attr(ms, m, w, opaque, stat)?;
    renaming.commit(m)
}
