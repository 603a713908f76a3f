// SPDX-License-Identifier: GPL-2.0

//! The state of a mount: options, layers, the mounter's credentials.
//!
//! `super_/` builds it step by step in a box of its own, so that the services of the mount can
//! already be used on what is there, and then hands it to the superblock, where it does not change
//! any more except for the atomics.

#![forbid(unsafe_code)]

use core::sync::atomic::{
    AtomicU64,
    Ordering::Relaxed, //
};
use kernel::{
    cred::Credential,
    prelude::*,
    sync::aref::ARef, //
};

use crate::{
    overlay::{
        layer::{
            Layer,
            LayerFs,
            UpperLayer, //
        },
        whiteout::WhiteoutCache,
        Overlay,
        OvlSuper, //
    },
    rules::{
        identity::{
            private_ino,
            Space, //
        },
        options::{
            Config,
            Xino, //
        }, //
    },
    vfs::{
        cred::{
            self,
            Caller,
            Mounter, //
        },
        dentry::Dentry,
        mount::{
            Unmounting,
            Upper,
            UpperMount,
            UpperWrite,
            WriteAccess, //
        },
        text::Text,
        vtable::Tables, //
    },
    xattr, //
};

/// The layers as the user wrote them, for `/proc/mounts`.
pub(crate) struct LayerNames {
    /// `upperdir=`.
    pub(crate) upper: Option<Text>,
    /// `workdir=`.
    pub(crate) work: Option<Text>,
    /// The whole of `lowerdir=`, if the layers were given so.
    pub(crate) lowerdir_all: Option<Text>,
    /// One per lower layer, without escapes.
    pub(crate) lowers: KVec<Text>,
}

/// The state of a mount. It is released in the order of `ovl_free_fs` in `fs/overlayfs/params.c`.
pub(crate) struct MountState {
    /// The options in effect.
    pub(crate) config: Config,
    /// The layers as they were given.
    pub(crate) names: LayerNames,
    /// The whiteout that others are links of.
    pub(crate) whiteouts: WhiteoutCache,
    /// Where the mounts of the layers go at the end, all at once; with room for them.
    pub(crate) unmounting: Unmounting,
    /// The upper layer, if there is one.
    pub(crate) upper: Option<UpperLayer>,
    /// The lower layers, topmost first; the last `config.data_layers` of them only hold data.
    pub(crate) lowers: KVec<Layer>,
    /// The file systems of the layers, by `fsid`.
    pub(crate) filesystems: KVec<LayerFs>,
    /// How inode numbers of these file systems are kept apart.
    pub(crate) space: Space,
    /// The longest name that a layer's file system takes.
    pub(crate) namelen: usize,
    /// The layers are case-folding.
    pub(crate) casefold: bool,
    /// The upper file system has `O_TMPFILE`.
    pub(crate) tmpfile: bool,
    /// A layer cannot encode or decode file handles.
    pub(crate) nofh: bool,
    /// What the upper file system's write-back had reported when a volatile mount was made.
    pub(crate) writeback_seen: u32,
    /// The operations of this mount's inodes.
    pub(crate) tables: &'static Tables<Overlay>,
    format: xattr::Format,
    last_ino: AtomicU64,
    cred: ARef<Credential>,
}

impl Drop for MountState {
    fn drop(&mut self) {
        if let Some(upper) = self.upper.take() {
            // What is in the mount goes before the mount.
            drop((upper.workdir, upper.base));
            drop((upper.in_use, upper.trap));
            self.unmounting.add_upper(upper.mnt);
        }
        while let Some(layer) = self.lowers.pop() {
            drop(layer.trap);
            self.unmounting.add_lower(layer.mnt);
        }
    }
}

impl MountState {
    /// A mount without layers, to be completed by its builder.
    ///
    /// `cred` are the credentials that the layers are accessed with.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        config: Config,
        cred: ARef<Credential>,
        tables: &'static Tables<Overlay>,
    ) -> Result<KBox<Self>> {
        let state = try_init!(Self {
            whiteouts: WhiteoutCache::new()?,
            unmounting: Unmounting::new(),
            names: LayerNames {
                upper: None,
                work: None,
                lowerdir_all: None,
                lowers: KVec::new(),
            },
            upper: None,
            lowers: KVec::new(),
            filesystems: KVec::new(),
            space: Space::Pseudo,
            namelen: 0,
            casefold: false,
            tmpfile: false,
            nofh: false,
            writeback_seen: 0,
            tables,
            format: xattr::Format::new(config.userxattr, config.has_origin_uuid()),
            last_ino: AtomicU64::new(1),
            config,
            cred,
        }? Error);
        KBox::init(state, GFP_KERNEL_ACCOUNT)
    }

    /// The state of a superblock.
    pub(crate) fn of(sb: &OvlSuper) -> &Self {
        sb.data()
    }

    /// Runs `f` with the mounter's credentials.
    ///
    /// Not to be nested, and nothing that judges the caller may run in it.
    pub(crate) fn with_mounter<R>(&self, f: impl FnOnce(&Mounter<'_>) -> R) -> R {
        cred::with_mounter(&self.cred, f)
    }

    /// As [`Self::with_mounter`]; `f` also gets the caller's credentials, on whose behalf it
    /// creates objects.
    pub(crate) fn with_mounter_and_caller<R>(
        &self,
        f: impl FnOnce(&Mounter<'_>, &Caller<'_>) -> R,
    ) -> R {
        cred::with_mounter_and_caller(&self.cred, f)
    }

    /// The mounter's credentials, for the few calls that take them as an argument.
    pub(crate) fn mounter_cred(&self) -> &Credential {
        &self.cred
    }

    /// The number of lower layers that are merged; those after them only hold data.
    pub(crate) fn merged_layers(&self) -> usize {
        self.lowers.len().saturating_sub(self.config.data_layers)
    }

    /// The lower layer at `index` of the list.
    pub(crate) fn layer(&self, index: usize) -> Option<&Layer> {
        self.lowers.get(index)
    }

    /// The mount of the upper layer.
    ///
    /// # Errors
    ///
    /// `EROFS`: there is none.
    pub(crate) fn upper_mnt(&self) -> Result<&UpperMount> {
        self.upper.as_ref().map(|upper| &upper.mnt).ok_or(EROFS)
    }

    /// Starts to write to the upper layer; may wait for a freeze to end.
    ///
    /// # Errors
    ///
    /// `EROFS`: there is no upper layer, or it is read-only by now.
    pub(crate) fn want_write(&self) -> Result<UpperWrite<'_>> {
        self.upper_mnt()?.want_write()
    }

    /// Keeps the upper layer from becoming read-only, without waiting for a freeze to end.
    ///
    /// # Errors
    ///
    /// As [`Self::want_write`].
    pub(crate) fn write_access(&self) -> Result<WriteAccess<'_>> {
        self.upper_mnt()?.write_access()
    }

    /// The directory where temporaries are made.
    ///
    /// # Errors
    ///
    /// `EROFS`: there is none, the mount cannot be written.
    pub(crate) fn workdir(&self) -> Result<&Upper<Dentry>> {
        let workdir = self.upper.as_ref().and_then(|upper| upper.workdir.as_ref());
        workdir.map(|workdir| &*workdir.dentry).ok_or(EROFS)
    }

    /// The directory of index entries, if the mount has an index: it is the work directory, too.
    pub(crate) fn indexdir(&self) -> Option<&Upper<Dentry>> {
        if !self.config.index {
            return None;
        }
        let workdir = self.upper.as_ref()?.workdir.as_ref()?;
        Some(&workdir.dentry)
    }

    /// Every object that is copied up gets an entry in the index, not only hard links.
    pub(crate) fn indexes_all(&self) -> bool {
        self.config.index && self.config.nfs_export
    }

    /// The mount can never be written: it has no upper layer or no work directory.
    pub(crate) fn is_forced_readonly(&self) -> bool {
        self.workdir().is_err()
    }

    /// Data of the upper layer is flushed when that is asked for.
    pub(crate) fn should_sync(&self) -> bool {
        self.config.syncs()
    }

    /// Lower layers may change while they are not mounted.
    pub(crate) fn allow_offline_changes(&self) -> bool {
        self.config.allows_offline_changes()
    }

    /// Redirects found in layers are followed.
    pub(crate) fn redirect_follow(&self) -> bool {
        self.config.follows_redirects()
    }

    /// Directories that have a lower part are renamed with a redirect.
    pub(crate) fn makes_redirects(&self) -> bool {
        self.config.makes_redirects()
    }

    /// An inode number that does not fit beside the layer's is to be reported.
    pub(crate) fn xino_warn(&self) -> bool {
        self.config.xino == Xino::On
    }

    /// How inode numbers of the layers' file systems are kept apart.
    pub(crate) fn space(&self) -> Space {
        self.space
    }

    /// All layers are on one file system.
    pub(crate) fn same_fs(&self) -> bool {
        self.space.is_same_fs()
    }

    /// Every object shows the overlay's device, unless its number does not fit.
    pub(crate) fn same_dev(&self) -> bool {
        self.space.is_same_dev()
    }

    /// The origin of every merged object is checked when it is looked up.
    pub(crate) fn verify_lower(&self) -> bool {
        self.config.nfs_export && self.config.index
    }

    /// Whether a request to flush has to be passed on to the upper layer.
    ///
    /// A volatile mount flushes nothing, but tells that write-back failed since it was made.
    ///
    /// # Errors
    ///
    /// What write-back failed with.
    pub(crate) fn sync_status(&self) -> Result<bool> {
        if self.should_sync() {
            return Ok(true);
        }
        if let Some(upper) = &self.upper {
            upper.mnt.sb().writeback_check(self.writeback_seen)?;
        }
        Ok(false)
    }

    /// How the markers are stored in the layers.
    pub(crate) fn format(&self) -> &xattr::Format {
        &self.format
    }

    /// The full name of a marker on this mount.
    pub(crate) fn xattr(&self, name: xattr::Name) -> &'static CStr {
        self.format.name(name)
    }

    /// The upper layer was found not to store markers.
    pub(crate) fn noxattr(&self) -> bool {
        self.format.is_unsupported()
    }

    /// A new inode number, unique while the mount lives.
    pub(crate) fn private_ino(&self) -> u64 {
        let mut count = self.next_ino();
        if count == 0 {
            count = self.next_ino();
        }
        private_ino(self.space, count)
    }

    fn next_ino(&self) -> u64 {
        self.last_ino.fetch_add(1, Relaxed).wrapping_add(1)
    }
}
