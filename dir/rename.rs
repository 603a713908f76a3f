// SPDX-License-Identifier: GPL-2.0

//! `rename`, with `RENAME_NOREPLACE` and `RENAME_EXCHANGE`.
//!
//! Both ends are made objects of the upper first; then the upper renames. Where a lower layer has
//! the old name, the upper leaves a whiteout there in the same step. What has a lower part that does
//! not follow it gets a redirect to that part's place; with `redirect_dir` other than `on` such a
//! directory stays where it is instead (`EXDEV`: user space copies it).
//!
//! Source of the facts: `ovl_rename`, `ovl_rename_start` and `ovl_rename_upper` in
//! `fs/overlayfs/dir.c`.

#![forbid(unsafe_code)]

use super::{
    create::set_opaque_or,
    is_pure_upper,
    matches_upper,
    redirect,
    remove::{
        clear_if_needed,
        lost_name, //
    },
    start_nlink, //
};
use crate::vfs::errno::ESTALE;
use crate::{
    copy_up::copy_up,
    overlay::{
        dir_cache::{
            check_empty,
            Whiteouts, //
        },
        mount::MountState,
        nlink::NlinkGuard,
        object::{
            dir_modified,
            set_impure, //
        },
        temp::discard,
        walk::lower_positive,
        whiteout::upper_is_whiteout,
        OvlChild,
        OvlDentry, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        dirop::{
            RenameFlags,
            Renaming, //
        },
        mount::{
            Upper,
            UpperWrite, //
        },
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// A rename as the upper will do it.
struct Plan {
    /// How.
    flags: RenameFlags,
    /// The caller wants the two names swapped.
    exchange: bool,
    /// The whiteout that `new` was lands at the old name, and has nothing to hide there.
    drop_whiteout: bool,
}

impl Plan {
    /// The object that has the new name loses it.
    fn overwrites(&self) -> bool {
        !self.exchange
    }
}

/// Write access, in the form that the operation needs.
enum Access<'a> {
    /// The replaced object loses a link.
    Nlink(NlinkGuard<'a>),
    /// No link count changes.
    Plain(UpperWrite<'a>),
}

impl Access<'_> {
    /// The right to change the upper.
    fn write(&self) -> &UpperWrite<'_> {
        match self {
            Self::Nlink(guard) => guard.write(),
            Self::Plain(write) => write,
        }
    }
}

/// Renames `old` to `new`.
///
/// `EINVAL` for flags other than these two, `EXDEV` for a directory that has to get a redirect or
/// another mark and cannot, `ENOTEMPTY`, `ESTALE` if the upper is not what the overlay knows it to
/// be; otherwise what copy-up and the upper file system say.
pub(crate) fn rename(old: OvlChild<'_>, new: OvlChild<'_>, flags: RenameFlags) -> Result {
    let ms = MountState::of(old.super_());
    let mut plan = prepare(&old, &new, flags)?;
    // What is left in a directory that is replaced and empty to the user.
    let whiteouts = if plan.overwrites() && new.is_dir() && !is_pure_upper(&new) {
        check_empty(&new)?
    } else {
        Whiteouts::none()
    };
    choose_whiteouts(&old, &new, &mut plan)?;
    copy_up(&old)?;
    copy_up(new.parent_dentry())?;
    let access = if plan.exchange {
        copy_up(&new)?;
        Access::Plain(ms.want_write()?)
    } else if new.is_negative() {
        Access::Plain(ms.want_write()?)
    } else {
        Access::Nlink(start_nlink(&new)?)
    };
    ms.with_mounter(|m| rename_upper(ms, m, access.write(), old, new, &plan, &whiteouts))
}

/// Checks what can be checked before anything is changed.
fn prepare(old: &OvlDentry, new: &OvlDentry, flags: RenameFlags) -> Result<Plan> {
    if flags.has_other_than(RenameFlags::EXCHANGE.union(RenameFlags::NOREPLACE)) {
        return Err(EINVAL);
    }
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    let ms = old.mount();
    if !can_move(ms, old) || (exchange && !can_move(ms, new)) {
        return Err(EXDEV);
    }
    Ok(Plan {
        // The VFS has checked that the name is free; a whiteout there is no object.
        flags: flags.without(RenameFlags::NOREPLACE),
        exchange,
        drop_whiteout: false,
    })
}

/// Decides about the whiteouts at both ends, unless they are just swapped.
fn choose_whiteouts(old: &OvlChild<'_>, new: &OvlChild<'_>, plan: &mut Plan) -> Result {
    if plan.exchange {
        return Ok(());
    }
    let over_whiteout = new.is_whiteout();
    if lower_positive(old)? {
        plan.flags = plan.flags.union(if over_whiteout {
            // The one that is there serves the old name.
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::WHITEOUT
        });
    } else if old.is_dir() && over_whiteout {
        // A directory cannot replace a whiteout in one step, but can change places with it.
        plan.flags = plan.flags.union(RenameFlags::EXCHANGE);
        plan.drop_whiteout = true;
    }
    Ok(())
}

/// A directory with a lower part cannot leave its place without a redirect: the lower part would not
/// follow.
fn can_move(ms: &MountState, dentry: &OvlDentry) -> bool {
    ms.makes_redirects() || !dentry.is_dir() || !is_merge_or_lower(dentry)
}

/// Is what the user sees under this name not the upper object alone?
fn is_merge_or_lower(dentry: &OvlDentry) -> bool {
    let kind = dentry.path_kind();
    kind.merge || !kind.upper
}

/// Does the rename in the upper, and makes the overlay know about it.
#[inline(never)]
fn rename_upper(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    old: OvlChild<'_>,
    new: OvlChild<'_>,
    plan: &Plan,
    whiteouts: &Whiteouts,
) -> Result {
    let old_parent = old.parent_dentry();
    let new_parent = new.parent_dentry();
    let old_dir = old_parent.upper().ok_or(EIO)?;
    let new_dir = new_parent.upper().ok_or(EIO)?;
    let cleared = clear_if_needed(ms, m, w, new, whiteouts)?;

    if !old_parent.ptr_eq(new_parent) {
        // A listing of these directories must ask the moved object for its inode number.
        if old.path_kind().origin {
            set_impure(ms, m, w, new_parent)?;
        }
        if plan.exchange && new.path_kind().origin {
            set_impure(ms, m, w, old_parent)?;
        }
    }

    let left_whiteout = {
        let mut renaming =
            w.start_renaming_names(m, old_dir, old.name(), new_dir, new.name(), plan.flags)?;
        verify_ends(ms, m, old, new, plan, cleared.as_deref(), &renaming)?;
        mark_ends(ms, m, w, old, new, plan, &renaming)?;
        renaming.commit(m)?;
        plan.drop_whiteout
            .then(|| ARef::<Upper<Dentry>>::from(renaming.target()))
    };
    if let Some(whiteout) = left_whiteout {
        discard(ms, m, w, old_dir, &whiteout);
    }
    settle(old, new, plan);
    Ok(())
}

/// Are both ends in the upper what the overlay knows them to be? `ESTALE` if not.
#[inline(never)]
fn verify_ends(
    ms: &MountState,
    m: &Mounter<'_>,
    old: OvlChild<'_>,
    new: OvlChild<'_>,
    plan: &Plan,
    cleared: Option<&Upper<Dentry>>,
    renaming: &Renaming<'_>,
) -> Result {
    if !matches_upper(&old, renaming.source()) {
        return Err(ESTALE);
    }
    let target = renaming.target();
    let expected = if new.upper().is_some() {
        match cleared {
            Some(cleared) => target.ptr_eq(cleared),
            None => matches_upper(&new, target),
        }
    } else if target.is_negative() {
        !plan.flags.contains(RenameFlags::EXCHANGE)
    } else {
        new.is_opaque() && upper_is_whiteout(ms, m, target)?
    };
    let same = match (renaming.source().inode(), target.inode()) {
        (Some(old), Some(new)) => old.ptr_eq(new),
        _ => false,
    };
    if !expected || same {
        return Err(ESTALE);
    }
    Ok(())
}

/// Marks what would be something else under its new name: an object with a lower part gets a
/// redirect to that; a directory that moves below a merged one becomes opaque, so that it is not
/// merged with something that has its new name.
#[inline(never)]
fn mark_ends(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    old: OvlChild<'_>,
    new: OvlChild<'_>,
    plan: &Plan,
    renaming: &Renaming<'_>,
) -> Result {
    mark_moved(ms, m, w, &old, new.parent_dentry(), renaming.source())?;
    if plan.exchange {
        mark_moved(ms, m, w, &new, old.parent_dentry(), renaming.target())?;
    }
    Ok(())
}

/// One end of [`mark_ends`].
fn mark_moved(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
    to: &OvlDentry,
    upper: &Upper<Dentry>,
) -> Result {
    if is_merge_or_lower(dentry) {
        return redirect::set(ms, m, w, dentry, to);
    }
    if dentry.is_dir() && !dentry.is_opaque() && to.path_kind().merge {
        set_opaque_or(ms, m, w, dentry, upper, EXDEV)?;
    }
    Ok(())
}

/// Makes the overlay's objects show what happened.
#[inline(never)]
fn settle(old: OvlChild<'_>, new: OvlChild<'_>, plan: &Plan) {
    let replaced = new.inode();
    if plan.overwrites() && replaced.is_some() {
        lost_name(&new, new.is_dir());
    }
    let old_origin = old.path_kind().origin;
    let new_origin = replaced.is_some() && new.path_kind().origin;
    dir_modified(
        old.parent_dentry(),
        old_origin || (plan.exchange && new_origin),
    );
    dir_modified(new.parent_dentry(), old_origin || new_origin);

    // The change times.
    if let Some(inode) = old.inode() {
        inode.copy_attr();
    }
    if let Some(inode) = replaced {
        if new.upper().is_some() {
            inode.copy_attr();
        }
    }
}
