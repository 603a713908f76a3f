// SPDX-License-Identifier: GPL-2.0

//! Whiteouts: the objects of the upper layer that hide a name of the layers below.
//!
//! We write a character device 0:0; all whiteouts of a mount are links of one inode, as long as
//! the upper file system lets it have one more. We also read the other form, an empty regular
//! file with the xattr `overlay.whiteout`.
//!
//! Source of the facts: `ovl_whiteout` and `ovl_cleanup_and_whiteout` in `fs/overlayfs/dir.c`,
//! `ovl_path_is_whiteout` in `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

use super::{
    mount::MountState,
    temp::{
        discard,
        fresh_name, //
    },
};
use crate::{
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        dirop::RenameFlags,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
    },
    xattr::{
        self,
        Name, //
    },
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        Mutex, //
    },
};

/// The whiteout that the next ones are links of.
///
/// Lock order: inside the write access to the upper, outside the work directory's `i_rwsem`.
pub(crate) struct WhiteoutCache(Pin<KBox<Mutex<Shared>>>);

/// What the lock protects.
struct Shared {
    /// A whiteout in the work directory that has no other name yet.
    ready: Option<ARef<Upper<Dentry>>>,
    /// The upper file system refused a link: each whiteout is its own inode from now on.
    refused: bool,
}

impl WhiteoutCache {
    /// An empty one. `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let shared = Shared {
            ready: None,
            refused: false,
        };
        Ok(Self(KBox::pin_init(
            new_mutex!(shared, "overlay_rs::whiteout"),
            GFP_KERNEL_ACCOUNT,
        )?))
    }
}

/// Is this object a character device 0:0?
pub(crate) fn is_whiteout(dentry: &Dentry) -> bool {
    dentry
        .inode()
        .is_some_and(|inode| inode.is_whiteout_device())
}

/// Is this object of a layer a whiteout, in either form?
///
/// A failure to read the xattr is an error, except that a `user.` xattr which may not be read
/// counts as absent: an unreadable file is no whiteout.
pub(crate) fn path_is_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    path: RealPath<'_>,
) -> Result<bool> {
    if is_whiteout(path.dentry()) {
        return Ok(true);
    }
    let Some(inode) = path.dentry().inode() else {
        return Ok(false);
    };
    if !inode.is_reg() || inode.size() != 0 {
        return Ok(false);
    }
    Ok(xattr::len(ms.format(), m, path, Name::Xwhiteout)?.is_some())
}

/// As [`path_is_whiteout`], for an object of the upper.
pub(crate) fn upper_is_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    dentry: &Upper<Dentry>,
) -> Result<bool> {
    path_is_whiteout(ms, m, RealPath::upper(ms.upper_mnt()?, dentry))
}

/// Returns a whiteout with a temporary name in the work directory.
///
/// `EROFS` without a work directory, otherwise what the upper file system says.
pub(crate) fn make(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
) -> Result<ARef<Upper<Dentry>>> {
    let workdir = ms.workdir()?;
    let mut shared = ms.whiteouts.0.lock();

    let ready = match shared.ready.take() {
        Some(ready) => ready,
        None => {
            let mut creating = w.start_creating(m, workdir, fresh_name().as_bytes())?;
            creating.whiteout(m)?;
            creating.keep()
        }
    };
    if shared.refused {
        return Ok(ready);
    }

    let linked = match w.start_creating(m, workdir, fresh_name().as_bytes()) {
        Ok(mut creating) => creating.link(m, &ready).map(|()| creating.keep()),
        Err(error) => {
            shared.ready = Some(ready);
            return Err(error);
        }
    };
    match linked {
        Ok(link) => {
            shared.ready = Some(ready);
            Ok(link)
        }
        Err(error) => {
            // At the limit of links the old one is used up, and the next call starts anew.
            if error != EMLINK {
                pr_warn!(
                    "Failed to link whiteout - disabling whiteout inode sharing (nlink={}, err={})\n",
                    ready.inode().map_or(0, |inode| inode.nlink()),
                    error.to_errno()
                );
                shared.refused = true;
            }
            Ok(ready)
        }
    }
}

/// Puts a whiteout in the place of `dentry`, which is in `dir`, and throws `dentry` away.
///
/// One step for everyone who looks: the name is the object first and the whiteout then. `dentry`
/// may be negative.
pub(crate) fn cleanup_and_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    dentry: &Upper<Dentry>,
) -> Result {
    let workdir = ms.workdir()?;
    let whiteout = make(ms, m, w)?;
    // Only a directory cannot be replaced by a plain rename.
    let is_dir = dentry.is_dir();
    let flags = if is_dir {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NONE
    };
    let moved = w
        .start_renaming_dentries(m, workdir, &whiteout, dir, dentry, flags)
        .and_then(|mut renaming| renaming.commit(m));
    if let Err(error) = moved {
        discard(ms, m, w, workdir, &whiteout);
        return Err(error);
    }
    if is_dir {
        discard(ms, m, w, workdir, dentry);
    }
    Ok(())
}
