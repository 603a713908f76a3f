// SPDX-License-Identifier: GPL-2.0

//! From a directory of a layer to the overlay's dentry for it.
//!
//! First a directory above it is found that the overlay knows: in memory, in the index, or the
//! root. From there on the names of the real directories are looked up in the overlay, one by one.
//! Nothing is locked over the whole of it: when a rename gets between, it starts again from where it
//! has come to.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use super::{
    part,
    Place, //
};
use crate::vfs::errno::ESTALE;
use crate::{
    overlay::{
        index,
        instantiate::find_inode_of,
        mount::MountState,
        OvlDentry,
        OvlSuper, //
    },
    vfs::{
        dentry::Dentry,
        log::warn_limited, //
    },
};

/// Finds the dentry of the overlay whose part in this layer is the directory `real`.
///
/// # Errors
///
/// `ESTALE`: the overlay does not show it; `ENOENT`: it is gone; `EXDEV`: it was moved out of the
/// layer; `EIO`: what the index says about it cannot be; what the layers fail with. Logged.
pub(super) fn reconnect(sb: &OvlSuper, place: Place, real: &Dentry) -> Result<ARef<OvlDentry>> {
    let ms = MountState::of(sb);
    let root: &Dentry = match place {
        Place::Upper => ms.upper_mnt()?.root(),
        Place::Lower(index) => ms.layer(index).ok_or(EIO)?.mnt.root(),
    };
    let walk = Walk {
        sb,
        place,
        root,
        real,
    };
    walk.run()
}

struct Walk<'a> {
    sb: &'a OvlSuper,
    place: Place,
    /// The root of the layer.
    root: &'a Dentry,
    /// What is looked for.
    real: &'a Dentry,
}

impl Walk<'_> {
    fn run(&self) -> Result<ARef<OvlDentry>> {
        let mut connected = self.ancestor()?;
        loop {
            let here: Option<ARef<Dentry>> = part(&connected, self.place).map(Into::into);
            if here.as_deref().is_some_and(|here| here.ptr_eq(self.real)) {
                return Ok(connected);
            }
            let step = self
                .child_of(here.as_deref())
                .and_then(|(next, from_root)| {
                    if from_root {
                        connected = self.sb.root().into();
                    }
                    self.lookup(&connected, &next)
                });
            let found = match step {
                // A rename moved it away. Where to is most likely known by now.
                Err(error) if error == ECHILD => self.ancestor(),
                other => other,
            };
            connected = found.inspect_err(|error| {
                warn_limited!(
                    "failed to lookup by real ({}, connected={}, err={})\n",
                    self.real.log_name(),
                    connected.log_name(),
                    error.to_errno()
                );
            })?;
        }
    }

    /// The directory on the way up from what is looked for whose parent is `dir`. If there is none
    /// up to the root of the layer, the last one, and true.
    fn child_of(&self, dir: Option<&Dentry>) -> Result<(ARef<Dentry>, bool)> {
        let mut next: ARef<Dentry> = self.real.into();
        loop {
            let parent = next.parent();
            if dir.is_some_and(|dir| dir.ptr_eq(&parent)) {
                return Ok((next, false));
            }
            if parent.ptr_eq(self.root) {
                return Ok((next, true));
            }
            if parent.ptr_eq(&next) {
                return Err(EXDEV);
            }
            next = parent;
        }
    }

    /// The overlay's dentry of the nearest directory above, or of the directory itself, that is in
    /// memory or in the index; the root at last.
    #[inline(never)]
    fn ancestor(&self) -> Result<ARef<OvlDentry>> {
        let root = || self.sb.root().into();
        if self.real.ptr_eq(self.root) {
            return Ok(root());
        }
        let mut next: ARef<Dentry> = self.real.into();
        loop {
            let parent = next.parent();
            if let Some(known) = self.known(&next)? {
                return Ok(known);
            }
            if parent.ptr_eq(self.root) {
                return Ok(root());
            }
            if parent.ptr_eq(&next) {
                return Err(EXDEV);
            }
            next = parent;
        }
    }

    /// The overlay's dentry of a directory of the layer that is in memory or in the index.
    fn known(&self, real: &Dentry) -> Result<Option<ARef<OvlDentry>>> {
        let is_upper = self.place == Place::Upper;
        let inode = find_inode_of(self.sb, real.positive()?, is_upper)?;
        let mut known = inode.and_then(|inode| inode.any_alias());
        if known.is_none() && !is_upper {
            known = self.indexed(real)?;
        }
        let Some(known) = known else {
            return Ok(None);
        };
        match part(&known, self.place) {
            Some(part) if part.ptr_eq(real) => Ok(Some(known)),
            _ => Err(EIO),
        }
    }

    /// The overlay's dentry of a lower directory that the index has. Its upper part is looked for in
    /// the same way; that does not come here again.
    #[inline(never)]
    fn indexed(&self, real: &Dentry) -> Result<Option<ARef<OvlDentry>>> {
        let ms = MountState::of(self.sb);
        if ms.indexdir().is_none() {
            return Ok(None);
        }
        let upper = ms.with_mounter(|m| match index::lookup_decoded(ms, m, real)? {
            Some(index) => index::upper_of(ms, m, &index, true),
            None => Ok(None),
        })?;
        let Some(upper) = upper else {
            return Ok(None);
        };
        reconnect(self.sb, Place::Upper, &upper).map(Some)
    }

    /// Looks the name of a real directory up in the overlay's directory that has its parent.
    ///
    /// # Errors
    ///
    /// `ECHILD`: it has not, any more; `ENOENT`, `ESTALE`: the name leads to nothing, or to another
    /// directory. Logged.
    #[inline(never)]
    fn lookup(&self, connected: &OvlDentry, real: &Dentry) -> Result<ARef<OvlDentry>> {
        pin_init::stack_pin_init!(let name = real.name_snapshot());
        let found = connected.lookup_child_unlocked(&name);
        self.check(connected, real, found).inspect_err(|error| {
            warn_limited!(
                "failed to lookup one by real ({}, connected={}, err={})\n",
                real.log_name(),
                connected.log_name(),
                error.to_errno()
            );
        })
    }

    fn check(
        &self,
        connected: &OvlDentry,
        real: &Dentry,
        found: Result<ARef<OvlDentry>>,
    ) -> Result<ARef<OvlDentry>> {
        let parent = real.parent();
        if !part(connected, self.place).is_some_and(|here| here.ptr_eq(&parent)) {
            return Err(ECHILD);
        }
        let found = found?;
        found.object()?;
        match part(&found, self.place) {
            Some(part) if part.ptr_eq(real) => Ok(found),
            _ => Err(ESTALE),
        }
    }
}
