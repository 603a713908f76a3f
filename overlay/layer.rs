// SPDX-License-Identifier: GPL-2.0

//! The layers of a mount and places in them.
//!
//! A lower layer is a private read-only clone of the mount it was given as; the upper layer is the
//! only writable one. A place in a lower layer is a pair of layer and dentry. It has two forms:
//! [`LowerPath`] owns the dentry and travels between functions; [`LowerRef`] is its form inside an
//! inode, where path walks under RCU may still look at it after the last reference is gone.

#![forbid(unsafe_code)]

use core::sync::atomic::{
    AtomicBool,
    AtomicUsize,
    Ordering::Relaxed, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    overlay::{
        mount::MountState,
        OvlInode, //
    },
    vfs::{
        dentry::Dentry,
        inode::Inode,
        mount::{
            Lower,
            LowerMount,
            RealPath,
            Upper,
            UpperMount, //
        },
        rcu::RcuRef,
        super_block::AnonDev, //
    },
};

/// A lower layer.
pub(crate) struct Layer {
    /// Keeps the root of the layer recognisable, so that a lookup that meets it below another layer
    /// fails; `None` while it is not set up. Released before the mount.
    pub(crate) trap: Option<ARef<OvlInode>>,
    /// The layer's mount.
    pub(crate) mnt: LowerMount,
    /// The number of the layer's file system, see [`LayerFs`].
    pub(crate) fsid: u32,
    /// A directory of this layer said that it may hold whiteouts in xattr form.
    xwhiteouts: AtomicBool,
}

impl Layer {
    /// A layer, from the mount it lives on.
    pub(crate) fn new(mnt: LowerMount, fsid: u32, trap: Option<ARef<OvlInode>>) -> Self {
        Self {
            trap,
            mnt,
            fsid,
            xwhiteouts: AtomicBool::new(false),
        }
    }

    /// Whether whiteouts in xattr form were announced on this layer.
    ///
    /// It is set before the directory that announced them can be reached, so a reader of that
    /// directory sees it.
    pub(crate) fn has_xwhiteouts(&self) -> bool {
        self.xwhiteouts.load(Relaxed)
    }

    /// Notes that whiteouts in xattr form were announced on this layer.
    pub(crate) fn note_xwhiteouts(&self) {
        if !self.has_xwhiteouts() {
            self.xwhiteouts.store(true, Relaxed);
        }
    }

    /// The path of `dentry`, which lies in this layer.
    pub(crate) fn path<'a>(&'a self, dentry: &'a Lower<Dentry>) -> RealPath<'a> {
        RealPath::lower(&self.mnt, dentry)
    }
}

/// A file system that layers live on; its place in the mount's list is its `fsid`.
///
/// Number 0 belongs to the upper layer, also on a mount without one.
pub(crate) struct LayerFs {
    /// The device number that objects show whose real number is not mapped.
    pub(crate) dev: AnonDev,
    /// The UUID that its file handles carry; null with `uuid=off`.
    pub(crate) uuid: [u8; 16],
    /// The UUID is null or not unique among the layers: file handles cannot be told apart.
    pub(crate) bad_uuid: bool,
    /// A lower layer lives here.
    pub(crate) is_lower: bool,
    /// The first layer that lives here (0 is the upper one); `None` only for number 0 of a mount
    /// without an upper layer.
    pub(crate) first: Option<u32>,
}

/// The upper layer, and the place beside it where changes are prepared.
///
/// The fields are released in this order, which is that of `ovl_free_fs` in
/// `fs/overlayfs/params.c`: the mount goes last.
pub(crate) struct UpperLayer {
    /// The directory for temporaries; `None` if it could not be made, then the mount is read-only.
    pub(crate) workdir: Option<Workdir>,
    /// The work area; `None` only while the mount is set up.
    pub(crate) base: Option<WorkBase>,
    /// Says to other overlays that the upper directory is in use; `None` if another one does.
    pub(crate) in_use: Option<InUse>,
    /// Keeps the upper root recognisable.
    pub(crate) trap: Option<ARef<OvlInode>>,
    /// The layer's mount.
    pub(crate) mnt: UpperMount,
}

impl UpperLayer {
    /// The path of `dentry`, which lies in this layer.
    pub(crate) fn path<'a>(&'a self, dentry: &'a Upper<Dentry>) -> RealPath<'a> {
        RealPath::upper(&self.mnt, dentry)
    }
}

/// The directory given as `workdir=`.
pub(crate) struct WorkBase {
    /// Keeps it recognisable.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(crate) trap: Option<ARef<OvlInode>>,
    /// Says to other overlays that it is in use; `None` if another one does.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(crate) in_use: Option<InUse>,
    /// The directory.
    pub(crate) dentry: ARef<Upper<Dentry>>,
}

/// The directory inside the work area where temporaries are made.
pub(crate) struct Workdir {
    /// Keeps it recognisable.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(crate) trap: Option<ARef<OvlInode>>,
    /// The directory.
    pub(crate) dentry: ARef<Upper<Dentry>>,
}

/// The mark on a directory's inode that an overlay uses it as upper or work directory.
///
/// In-tree overlayfs sets and checks the same mark (`I_OVL_INUSE`).
pub(crate) struct InUse {
    inode: ARef<Inode>,
}

impl InUse {
    /// Marks the inode of `dir`; `None` if it is marked already.
    ///
    /// # Errors
    ///
    /// `ENOENT`: `dir` is negative.
    pub(crate) fn try_lock(dir: &Dentry) -> Result<Option<Self>> {
        let inode = dir.positive()?;
        if !inode.inuse_trylock() {
            return Ok(None);
        }
        Ok(Some(Self {
            inode: inode.into(),
        }))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.inode.inuse_unlock();
    }
}

/// A place in a lower layer; owns its dentry.
#[derive(Clone)]
pub(crate) struct LowerPath {
    /// The index of the layer in the mount's list of lower layers.
    pub(crate) layer: usize,
    /// The dentry in that layer.
    pub(crate) dentry: ARef<Lower<Dentry>>,
}

/// A place in a lower layer, inside an inode.
///
/// Set when the inode is made, or for data in a data-only layer at the first access, and never
/// changed. Its count of the dentry is given up by [`LowerRef::put`] when the inode is destroyed,
/// not when the memory is freed.
pub(crate) struct LowerRef {
    /// Written before the dentry is published, so whoever sees the dentry sees its layer.
    layer: AtomicUsize,
    dentry: RcuRef<Lower<Dentry>>,
}

impl LowerRef {
    /// Takes over the count of `path`.
    pub(crate) fn new(path: LowerPath) -> Self {
        Self {
            layer: AtomicUsize::new(path.layer),
            dentry: RcuRef::new(path.dentry),
        }
    }

    /// A place that is found out later, see [`LowerRef::set`].
    pub(crate) fn pending() -> Self {
        Self {
            layer: AtomicUsize::new(0),
            dentry: RcuRef::empty(),
        }
    }

    /// Sets what was pending, with the object's mutex held. Takes over the count of `path`.
    ///
    /// # Errors
    ///
    /// `EIO`: it is set already.
    pub(crate) fn set(&self, path: LowerPath) -> Result {
        if self.dentry.get().is_some() {
            return Err(EIO);
        }
        self.layer.store(path.layer, Relaxed);
        self.dentry.publish(path.dentry).then_some(()).ok_or(EIO)
    }

    /// The index of the layer in the mount's list of lower layers.
    pub(crate) fn layer(&self) -> usize {
        self.layer.load(Relaxed)
    }

    /// The dentry.
    pub(crate) fn dentry(&self) -> Option<&Lower<Dentry>> {
        self.dentry.get()
    }

    /// The dentry, for a path walk under RCU.
    pub(crate) fn rcu(&self) -> &RcuRef<Lower<Dentry>> {
        &self.dentry
    }

    /// The path; `None` if the layer is not one of `ms`, or nothing was set.
    pub(crate) fn path<'a>(&'a self, ms: &'a MountState) -> Option<RealPath<'a>> {
        let dentry = self.dentry()?;
        Some(ms.layer(self.layer())?.path(dentry))
    }

    /// Gives up the count of the dentry. May sleep; only from the destruction of the inode.
    pub(crate) fn put(&self) {
        self.dentry.put();
    }
}
