// SPDX-License-Identifier: GPL-2.0

//! POSIX ACLs: `->get_inode_acl`, `->get_acl` and `->set_acl`.
//!
//! The overlay keeps no ACL of its own and caches none (`ACL_DONT_CACHE`): each is read from the
//! real inode. An ACL of a layer on an idmapped mount is a translated copy; the layer's own stays
//! as it is. Entries are stored in the ids of the layer, the mapping of the overlay's mount is
//! applied above.
//!
//! Source of the facts: `do_ovl_get_acl`, `ovl_get_acl_path`, `ovl_set_acl` and
//! `ovl_set_or_remove_acl` in `fs/overlayfs/inode.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::vfs::errno::EOPNOTSUPP;
use crate::{
    copy_up,
    inode::attr,
    overlay::{
        mount::MountState,
        Overlay,
        OvlDentry,
        OvlInode, //
    },
    vfs::{
        acl::{
            Acl,
            AclKind,
            RcuAcl, //
        },
        inode::mode,
        mount::{
            IdMap,
            RealPath, //
        },
        own::RcuInode,
        stat::SetAttr, //
    },
};

/// `acl` as it was read from `real`, in the ids that `real`'s mount shows.
fn translate(real: RealPath<'_>, acl: Option<Acl>) -> Result<Option<Acl>> {
    match acl {
        Some(acl) if !real.idmap().is_nop() => {
            Ok(Some(acl.seen_through(real.idmap(), real.inode()?)?))
        }
        acl => Ok(acl),
    }
}

/// The ACL for a permission check. The mounter's right to read it is not asked for.
///
/// # Errors
///
/// `ENOMEM`; whatever the layer answers.
pub(crate) fn get_inode_acl(inode: &OvlInode, kind: AclKind) -> Result<Option<Acl>> {
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    if !real.inode()?.has_posix_acl() {
        return Ok(None);
    }
    let acl = ms.with_mounter(|m| real.get_inode_acl(m, kind))?;
    translate(real, acl)
}

/// [`get_inode_acl`] in RCU walk: only what the real inode has cached, and only if it needs no
/// translation.
///
/// # Errors
///
/// `ECHILD`: to be asked again outside of RCU walk.
pub(crate) fn get_inode_acl_rcu<'rcu>(
    inode: RcuInode<'rcu, Overlay>,
    kind: AclKind,
) -> Result<Option<RcuAcl<'rcu>>> {
    let real = inode.real().ok_or(ECHILD)?;
    if !real.has_posix_acl() {
        return Ok(None);
    }
    if real.layer_is_idmapped() {
        return Err(ECHILD);
    }
    real.cached_acl(kind)
}

/// The ACL for a caller that wants to see it, checked like a read of the xattr on the layer.
///
/// # Errors
///
/// `ENODATA`, `EOPNOTSUPP` and whatever else the layer answers.
pub(crate) fn get_acl(_idmap: &IdMap, dentry: &OvlDentry, kind: AclKind) -> Result<Option<Acl>> {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    if !real.inode()?.has_posix_acl() {
        return Ok(None);
    }
    let acl = ms.with_mounter(|m| real.get_acl(m, kind.xattr_name()))?;
    translate(real, acl)
}

/// Sets an ACL, or removes it if `acl` is `None`, after a copy-up. The caller holds the overlay
/// inode's lock.
///
/// # Errors
///
/// `EOPNOTSUPP`: the upper layer or the real file system has no ACLs; `EACCES`: a default ACL for
/// something else than a directory; `EPERM`: the caller does not own the object; those of the
/// copy-up and of the upper layer.
pub(crate) fn set_acl(
    idmap: &IdMap,
    dentry: &OvlDentry,
    acl: Option<&Acl>,
    kind: AclKind,
) -> Result {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());

    if !ms.workdir()?.positive()?.has_posix_acl() {
        return Err(EOPNOTSUPP);
    }
    if !inode.real_path(ms)?.inode()?.has_set_acl_op() {
        return Err(EOPNOTSUPP);
    }
    if kind == AclKind::Default && !inode.is_dir() {
        return if acl.is_some() { Err(EACCES) } else { Ok(()) };
    }
    if !inode.owner_or_capable(idmap) {
        return Err(EPERM);
    }

    // The upper file system clears the set-group-id bit for a caller who is not in the group, but
    // it will see the mounter instead of the caller.
    if inode.mode() & mode::S_ISGID != 0
        && kind == AclKind::Access
        && !inode.in_group_or_capable(idmap)
    {
        let mut kill = SetAttr::new().kill_sgid();
        attr::setattr(IdMap::nop(), dentry, kill.as_change())?;
    }

    if inode.upper().is_none() {
        if acl.is_none() {
            probe_lower(ms, inode, kind)?;
        }
        copy_up::copy_up(dentry)?;
    }
    let upper = inode.upper().ok_or(EIO)?;

    let write = ms.want_write()?;
    let result = ms.with_mounter(|m| match acl {
        Some(acl) => write.set_acl(m, upper, kind.xattr_name(), acl),
        None => write.remove_acl(m, upper, kind.xattr_name()),
    });
    drop(write);
    inode.copy_attr();
    result
}

/// Fails if the lower object cannot tell its ACL: an object is not copied up for the removal of an
/// ACL that is out of reach.
fn probe_lower(ms: &MountState, inode: &OvlInode, kind: AclKind) -> Result {
    let lower = inode.lower_path(ms).ok_or(EIO)?;
    ms.with_mounter(|m| lower.get_acl(m, kind.xattr_name()))?;
    Ok(())
}
