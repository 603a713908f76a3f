// SPDX-License-Identifier: GPL-2.0

//! The numbers of `statfs(2)`, and the identity that is one of them.
//!
//! Space is that of the upper file system, where everything is written. The file system id is
//! made of a UUID that the overlay keeps in an xattr of its upper root, if it has one. Facts:
//! `ovl_statfs` in `fs/overlayfs/super.c`, `ovl_init_uuid_xattr` in `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

use crate::vfs::errno::ENODATA;
use crate::{
    overlay::{
        mount::MountState,
        OvlDentry, //
    },
    rules::options::Uuid,
    vfs::{
        cred::Mounter,
        mount::RealPath,
        stat::StatFs,
        uuid, //
    },
    xattr::Name,
};
use kernel::prelude::*;

/// `->statfs`.
///
/// # Errors
///
/// Those of the layer's file system.
pub(super) fn statfs(dentry: &OvlDentry, stat: &mut StatFs) -> Result {
    let sb = dentry.super_();
    let ms = MountState::of(sb);
    let root = sb.root();
    ms.with_mounter(|m| root.real_path()?.statfs(m, stat))?;
    stat.set_name_len(ms.namelen);
    stat.set_overlay_magic();
    if ms.config.has_fsid() {
        stat.set_id_from_uuid(&sb.uuid());
    }
    Ok(())
}

/// What is known about the identity of an overlay.
enum Identity {
    /// This one.
    Is(uuid::Uuid),
    /// There is none.
    Missing,
    /// It cannot be told, and the mount goes on without.
    Failed {
        /// What was tried.
        doing: &'static str,
        /// The error, or a stored value of the wrong size.
        error: Error,
    },
}

/// Finds or makes the identity of the overlay whose upper layer `ms` has; `uuid=auto` becomes
/// `on` or `null`, unless the identity was there or the mark of the root is empty. A failure is
/// logged and leaves the mount without one.
pub(super) fn init_uuid(ms: &mut MountState, m: &Mounter<'_>) -> Option<uuid::Uuid> {
    let (identity, mode) = find_or_make(ms, m);
    ms.config.uuid = mode;
    match identity {
        Identity::Is(uuid) => Some(uuid),
        Identity::Missing => None,
        Identity::Failed { doing, error } => {
            ms.config.uuid = Uuid::Null;
            pr_warn!(
                "cannot {} the uuid of the upper layer (error {}), using uuid=null\n",
                doing,
                error.to_errno()
            );
            None
        }
    }
}

/// The identity, and the `uuid=` that is in effect.
fn find_or_make(ms: &MountState, m: &Mounter<'_>) -> (Identity, Uuid) {
    let mode = ms.config.uuid;
    let failed = |doing, error| (Identity::Failed { doing, error }, Uuid::Null);
    let Ok(mnt) = ms.upper_mnt() else {
        return (Identity::Missing, Uuid::Null);
    };
    let root = RealPath::upper(mnt, mnt.root());

    let mut stored = [0; 16];
    match root.getxattr_raw(m, ms.xattr(Name::Uuid), &mut stored) {
        Ok(len) if len == stored.len() => return (Identity::Is(stored), mode),
        Ok(_) => return failed("read", EINVAL),
        Err(error) if error == ENODATA => {}
        Err(error) => return failed("read", error),
    }

    // An upper root is marked impure by the first copy-up or lookup of a subdirectory. One that
    // is, without an identity, was used by an overlay that had none: it stays so.
    let mut effective = Uuid::On;
    if mode == Uuid::Auto {
        match root.getxattr_raw(m, ms.xattr(Name::Impure), &mut []) {
            // A mark without a value says neither that the overlay is old nor that it is new.
            Ok(0) => effective = Uuid::Auto,
            Ok(_) => return (Identity::Missing, Uuid::Null),
            Err(error) if error == ENODATA => {}
            Err(error) => return failed("read", error),
        }
    }

    let uuid = uuid::random();
    let written = mnt
        .want_write()
        .and_then(|w| w.set_xattr(m, mnt.root(), ms.xattr(Name::Uuid), &uuid, 0));
    match written {
        Ok(()) => (Identity::Is(uuid), effective),
        Err(error) => failed("store", error),
    }
}
