// SPDX-License-Identifier: GPL-2.0

//! From the options to a superblock.
//!
//! The state of the mount is built in a box that nobody else knows, layer by layer, so that every
//! way out releases what was taken so far by dropping it. Only when it is whole it is given to the
//! superblock, and then the root is made. Two credentials are at work: the fill itself has those
//! of the mounter, later operations have a copy that may not go beyond quotas and reserved
//! blocks.
//!
//! A layer that lacks something a feature needs switches the feature off, with a line in the log;
//! what makes a mount wrong, as overlapping layers, fails it. Facts and order:
//! `ovl_fill_super_creds` and its callees in `fs/overlayfs/super.c`.

#![forbid(unsafe_code)]

mod upper;

use super::{
    params::{
        NamedPath,
        Options, //
    },
    statfs,
    tables::tables_for, //
};
use crate::vfs::errno::ELOOP;
use crate::{
    overlay::{
        index,
        instantiate::{
            self,
            Parts, //
        },
        layer::{
            InUse,
            Layer,
            LayerFs,
            LowerPath,
            UpperLayer,
            Workdir, //
        },
        mount::MountState,
        workdir,
        Overlay,
        OvlInode, //
    },
    rules::{
        identity::Space,
        options::{
            Config,
            Xino, //
        },
    },
    vfs::{
        cred::{
            self,
            Mounter, //
        },
        dentry::Dentry,
        fs_context::{
            FsContext,
            MAX_STACK_DEPTH, //
        },
        inode::Inode,
        log::Name,
        mount::{
            RealPath,
            Unmounting,
            UpperWrite, //
        },
        own::SuperSetup,
        stat::StatFs,
        super_block::{
            AnonDev,
            HandleType,
            SuperBlock, //
        },
        vtable::Tables, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// A superblock of ours that is being filled.
type Setup<'sb> = SuperSetup<'sb, Overlay>;

/// Fills the superblock, as `->get_tree` of a mount.
///
/// # Errors
///
/// `EINVAL`: the options or the layers do not make a mount, or the context belongs to another
/// user namespace; `EPERM`, `ELOOP`, `EBUSY`, `EIO`, `ENOMEM` and what the layers fail with.
/// Logged.
pub(super) fn fill(options: &mut Options, context: &FsContext, setup: Setup<'_>) -> Result {
    if !context.is_of_current_user_ns() {
        return Err(EINVAL);
    }
    let cred = options.take_cred()?;
    cred::with_mounter(&cred, |m| fill_as_mounter(options, context, setup, m))
}

/// The fill with the credentials of the mounter.
#[inline(never)]
fn fill_as_mounter(
    options: &mut Options,
    context: &FsContext,
    mut setup: Setup<'_>,
    m: &Mounter<'_>,
) -> Result {
    let config = options.verify(context)?;
    if options.lowers.is_empty() {
        return match context.is_silent() {
            true => Err(EINVAL),
            false => Err(context.refuse(EINVAL, fmt!("lowerdir is missing"))),
        };
    }

    let tables = tables_for(&config, options.casefold());
    setup.set_tables(tables);
    setup.set_basics();
    setup.set_stack_depth(0);
    let ms = new_state(options, config, tables)?;
    let mut builder = Builder {
        context,
        setup,
        ms,
        depth: 0,
        ino32: true,
    };
    if let Some(upper) = options.upper.take() {
        let Some(work) = options.work.take() else {
            return Err(context.refuse(EINVAL, fmt!("upperdir needs a workdir")));
        };
        builder.ms.names.work = Some(work.name);
        builder.add_upper(m, &upper)?;
        builder.add_work(m, &upper.path, &work.path)?;
        builder.ms.names.upper = Some(upper.name);
    }
    builder.add_lowers(m, &options.lowers)?;
    options.hand_over_lowers(&mut builder.ms.names)?;
    builder.finish(m)
}

/// The state of the mount, without layers. A function of its own: it goes through the stack.
#[inline(never)]
fn new_state(
    options: &Options,
    config: Config,
    tables: &'static Tables<Overlay>,
) -> Result<KBox<MountState>> {
    let mut ms = MountState::new(config, cred::prepare_mounter_cred()?, tables)?;
    ms.unmounting = Unmounting::with_capacity(options.lowers.len().saturating_add(1))?;
    ms.casefold = options.casefold();
    Ok(ms)
}

/// A mount under construction.
struct Builder<'a, 'sb> {
    context: &'a FsContext,
    setup: Setup<'sb>,
    ms: KBox<MountState>,
    /// The highest stack depth of a layer.
    depth: i32,
    /// No layer so far has inode numbers of more than 32 bits.
    ino32: bool,
}

impl<'sb> Builder<'_, 'sb> {
    /// All lower layers.
    #[inline(never)]
    fn add_lowers(&mut self, m: &Mounter<'_>, lowers: &[NamedPath]) -> Result {
        if self.ms.upper.is_none() && lowers.len() == 1 {
            return Err(self.refuse(EINVAL, "without upperdir two lower layers are needed"));
        }
        if lowers.len() <= self.ms.config.data_layers {
            return Err(self.refuse(EINVAL, "a lower layer that is not data-only is needed"));
        }
        for layer in lowers {
            self.check_lower(m, layer)?;
        }
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_STACK_DEPTH {
            return Err(self.refuse(EINVAL, "too many file systems are stacked"));
        }
        self.setup.set_stack_depth(self.depth);

        self.reserve_upper_fs()?;
        self.ms.lowers.reserve(lowers.len(), GFP_KERNEL_ACCOUNT)?;
        let merged = lowers.len().saturating_sub(self.ms.config.data_layers);
        for (index, layer) in lowers.iter().enumerate() {
            self.add_lower(layer, index, index >= merged)?;
        }
        self.choose_space();
        if self.ms.upper.is_none() {
            self.setup.set_readonly();
        }
        Ok(())
    }

    /// What has to be known of a lower layer before any of them is added.
    #[inline(never)]
    fn check_lower(&mut self, m: &Mounter<'_>, layer: &NamedPath) -> Result {
        self.note_name_length(m, layer)?;
        let sb = layer.path.mnt().sb();
        self.depth = self.depth.max(sb.stack_depth());

        let handles = sb.handle_type();
        let name = Name(layer.name.to_bytes());
        let has_upper = self.ms.upper.is_some();
        let config = &mut self.ms.config;
        if handles == HandleType::None {
            if config.nfs_export || (config.index && has_upper) {
                config.index = false;
                config.nfs_export = false;
                pr_warn!("{name} has no file handles, using index=off,nfs_export=off\n");
            }
            // Without handles the number of an object changes when it is copied up.
            if config.xino == Xino::Auto && has_upper {
                config.xino = Xino::Off;
                pr_warn!("{name} has no file handles, using xino=off\n");
            }
        }
        self.note_handles(handles);
        Ok(())
    }

    /// The file system of the upper layer has the number 0, which nobody else gets if there is no
    /// upper layer.
    fn reserve_upper_fs(&mut self) -> Result {
        let dev = self.new_dev("upperdir")?;
        let upper = self.ms.upper.as_ref().map(|upper| upper.mnt.sb());
        if let Some(sb) = upper {
            set_encoding(self.context, &mut self.setup, &self.ms, sb)?;
        }
        let fs = LayerFs {
            dev,
            uuid: upper.map_or([0; 16], |sb| effective_uuid(&self.ms, sb)),
            bad_uuid: false,
            is_lower: false,
            first: upper.map(|_| 0),
        };
        self.ms.filesystems.push(fs, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// One lower layer, at this place of the list.
    #[inline(never)]
    fn add_lower(&mut self, layer: &NamedPath, index: usize, data_only: bool) -> Result {
        // No object shows anything of a data-only layer's file system.
        let fsid = match data_only {
            true => u32::try_from(self.ms.filesystems.len())?,
            false => self.fsid_of(layer)?,
        };
        let idx = u32::try_from(index.saturating_add(1))?;
        // Before asking whether another mount uses it: this one may, and that is worse.
        let dentry = layer.path.dentry();
        let trap = self.trap(dentry, "lowerdir")?;
        if dentry.positive()?.is_inuse() {
            self.report_in_use("lowerdir")?;
        }
        let mnt = layer
            .path
            .clone_lower()
            .map_err(|error| self.refuse(error, "cannot use the mount of a lower layer"))?;

        if self.ms.casefold {
            if self.ms.upper.is_none() && !self.setup.sb().has_encoding() {
                set_encoding(self.context, &mut self.setup, &self.ms, mnt.sb())?;
            }
            if !self.setup.sb().same_encoding(mnt.sb()) {
                return Err(self.refuse(EINVAL, "the layers have different encodings"));
            }
        }
        if let Some(fs) = self
            .ms
            .filesystems
            .get_mut(usize::try_from(fsid).unwrap_or(usize::MAX))
        {
            fs.is_lower = true;
            fs.first.get_or_insert(idx);
        }
        let layer = Layer::new(mnt, fsid, Some(trap));
        self.ms.lowers.push(layer, GFP_KERNEL_ACCOUNT)?;
        Ok(())
    }

    /// The number of the file system of a lower layer; a new one if no other layer is on it.
    fn fsid_of(&mut self, layer: &NamedPath) -> Result<u32> {
        let sb = layer.path.mnt().sb();
        let known = self
            .ms
            .filesystems
            .iter()
            .zip(0..)
            .find(|(fs, _)| self.sb_of(fs.first).is_some_and(|other| other.ptr_eq(sb)));
        if let Some((_, fsid)) = known {
            return Ok(fsid);
        }
        let uuid = effective_uuid(&self.ms, sb);
        let bad_uuid = !self.is_uuid_usable(&uuid);
        if bad_uuid {
            self.fall_back_without_uuid(layer, &uuid);
        }
        let fs = LayerFs {
            dev: self.new_dev("a lower layer")?,
            uuid,
            bad_uuid,
            is_lower: false,
            first: None,
        };
        let fsid = u32::try_from(self.ms.filesystems.len())?;
        self.ms.filesystems.push(fs, GFP_KERNEL_ACCOUNT)?;
        Ok(fsid)
    }

    /// The superblock of a layer that was added.
    fn sb_of(&self, idx: Option<u32>) -> Option<&SuperBlock> {
        match usize::try_from(idx?).ok()?.checked_sub(1) {
            None => self.ms.upper.as_ref().map(|upper| upper.mnt.sb()),
            Some(lower) => self.ms.layer(lower).map(|layer| layer.mnt.sb()),
        }
    }

    /// Does `uuid` say which lower file system a handle is from? If not because another one has
    /// the same, that one's is marked as bad, too.
    fn is_uuid_usable(&mut self, uuid: &[u8; 16]) -> bool {
        if !self.ms.config.nfs_export && self.ms.upper.is_none() {
            return true;
        }
        // A single squashfs has none, and may be replaced while it is not mounted: its handles
        // are not to be trusted, unless a feature is on that forbids such a replacement.
        if self.ms.allow_offline_changes() && *uuid == [0; 16] {
            return false;
        }
        let mut others = self.ms.filesystems.iter_mut();
        match others.find(|fs| fs.is_lower && fs.uuid == *uuid) {
            Some(other) => {
                other.bad_uuid = true;
                false
            }
            None => true,
        }
    }

    /// Origins on the file system of a lower layer cannot be found.
    #[inline(never)]
    fn fall_back_without_uuid(&mut self, layer: &NamedPath, uuid: &[u8; 16]) {
        let config = &mut self.ms.config;
        let mut changed = false;
        if config.xino == Xino::Auto {
            config.xino = Xino::Off;
            changed = true;
        }
        if config.index || config.nfs_export {
            config.index = false;
            config.nfs_export = false;
            changed = true;
        }
        if changed {
            let fault = match *uuid == [0; 16] {
                true => "null",
                false => "not unique",
            };
            pr_warn!(
                "the uuid of the file system of {} is {}, using xino={},index=off,nfs_export=off\n",
                Name(layer.name.to_bytes()),
                fault,
                config.xino.name()
            );
        }
    }

    /// How inode numbers of the layers are kept apart.
    fn choose_space(&mut self) {
        let ms = &mut *self.ms;
        let filesystems = u32::try_from(ms.filesystems.len()).unwrap_or(u32::MAX);
        let xino = ms.config.xino;
        ms.space = Space::choose(xino, filesystems, ms.upper.is_some(), self.ino32);
        if ms.space.is_same_fs() && xino == Xino::On {
            pr_info!("xino=on has no effect: all layers are on one file system\n");
        }
        let bits = ms.space.xino_bits();
        if bits > 0 {
            pr_info!("xino uses the upper {bits} bits of inode numbers\n");
        }
    }

    /// What needs all layers, and the root.
    #[inline(never)]
    fn finish(mut self, m: &Mounter<'_>) -> Result {
        if self.ms.upper.is_some() && self.ms.config.has_fsid() {
            if let Some(uuid) = statfs::init_uuid(&mut self.ms, m) {
                self.setup.set_uuid(&uuid);
            }
        }
        if !self.ms.is_forced_readonly() && self.ms.config.index {
            self.add_index(m)?;
        }
        self.check_overlaps()?;
        if self.ms.is_forced_readonly() {
            // Shown so in /proc/mounts.
            self.ms.config.index = false;
            if self.ms.upper.is_some() && self.ms.config.nfs_export {
                self.ms.config.nfs_export = false;
                warn("nfs_export=on needs an index, using nfs_export=off");
            }
        }

        if self.ms.config.metacopy && self.ms.config.nfs_export {
            self.ms.config.nfs_export = false;
            warn("nfs_export=on does not go with metacopy=on, using nfs_export=off");
        }
        if self.ms.config.nfs_export || !self.ms.nofh {
            let decodable = self.ms.config.nfs_export;
            self.setup.set_export(self.ms.tables, decodable);
        }

        let mut parts = Parts {
            upper: self.ms.upper.as_ref().map(|upper| upper.mnt.root().into()),
            ..Parts::none()
        };
        let merged = self.ms.merged_layers();
        for (layer, index) in self.ms.lowers.iter().zip(0..).take(merged) {
            let root = LowerPath {
                layer: index,
                dentry: layer.mnt.root().into(),
            };
            parts.lowers.push(root, merged)?;
        }
        let filled = self.setup.set_data(self.ms);
        let root = instantiate::root_inode(filled.sb(), m, &mut parts)?;
        let root = filled.set_root(root)?;
        instantiate::init_root(root, m)
    }

    /// The index takes the place of the work directory. It has to belong to these layers; what is of no
    /// use any more in it goes. Without one that can be used, the mount is read-only.
    ///
    /// # Errors
    ///
    /// `ESTALE`: the index, or the upper layer, belongs to other layers; `ELOOP`; those of the layers.
    #[inline(never)]
    fn add_index(&mut self, m: &Mounter<'_>) -> Result {
        self.with_write(|ms, w| index::check::verify_root(ms, m, w))
            .map_err(|error| self.refuse(error, "failed to verify upper root origin"))?;
        self.upper_mut()?.workdir = None;
        let made = self
            .with_write(|ms, w| workdir::create(ms, m, w, workdir::INDEX, true))
            .inspect_err(|_| advise_about_index())?;
        let Some(dentry) = made else {
            advise_about_index();
            self.setup.set_readonly();
            return Ok(());
        };
        let trap = Some(self.trap(&dentry, "indexdir")?);
        self.upper_mut()?.workdir = Some(Workdir { trap, dentry });

        self.with_write(|ms, w| index::check::verify_dir(ms, m, w))
            .map_err(|error| self.refuse(error, "failed to verify index dir 'upper' xattr"))
            .and_then(|()| {
                self.with_write(|ms, w| index::check::clean(ms, m, w))
                    .map_err(|error| self.refuse(error, "failed index dir cleanup"))
            })
            .inspect_err(|_| advise_about_index())
    }

    /// Changes the upper layer.
    fn with_write<R>(
        &self,
        change: impl FnOnce(&MountState, &UpperWrite<'_>) -> Result<R>,
    ) -> Result<R> {
        let w = self.ms.want_write()?;
        change(&self.ms, &w)
    }

    /// Is a layer, or the work directory, inside another one, or inside what another mount
    /// writes to?
    #[inline(never)]
    fn check_overlaps(&self) -> Result {
        if let Some(upper) = &self.ms.upper {
            self.check_overlap(upper.mnt.root(), "upperdir", false)?;
            // The directory that was named, not ours inside: that one is in use, by this mount.
            if let Some(base) = &upper.base {
                self.check_overlap(&base.dentry, "workdir", false)?;
            }
        }
        for layer in &self.ms.lowers {
            self.check_overlap(layer.mnt.root(), "lowerdir", true)?;
        }
        Ok(())
    }

    /// Looks at the directories above `dentry` up to the root of its file system, for traps of
    /// this mount and marks of others.
    fn check_overlap(&self, dentry: &Dentry, what: &'static str, is_lower: bool) -> Result {
        let mut above = dentry.parent();
        if above.ptr_eq(dentry) {
            return Ok(());
        }
        loop {
            if let Some(inode) = above.inode() {
                if is_lower && self.setup.has_trap(inode) {
                    return Err(self
                        .context
                        .refuse(ELOOP, fmt!("{what} is inside another layer or the workdir")));
                }
                if inode.is_inuse() {
                    self.report_in_use(what)?;
                }
            }
            let parent = above.parent();
            if parent.ptr_eq(&above) {
                return Ok(());
            }
            above = parent;
        }
    }

    /// Reserves the inode cache entry of a layer's root, so that a lookup which meets it inside
    /// another layer fails.
    ///
    /// # Errors
    ///
    /// `ELOOP`: it is the root of another layer; `ENOTDIR`; `ENOMEM`.
    fn trap(&self, dir: &Dentry, what: &'static str) -> Result<ARef<OvlInode>> {
        let inode: &Inode = dir.positive()?;
        if !dir.is_dir() {
            return Err(ENOTDIR);
        }
        self.setup.trap(inode).map_err(|error| {
            if error != ELOOP {
                return error;
            }
            self.context
                .refuse(ELOOP, fmt!("{what} is the root of another layer, too"))
        })
    }

    /// Says to other mounts that `dir` is in use; `None` if one of them did.
    fn take_for_use(&self, dir: &Dentry, what: &'static str) -> Result<Option<InUse>> {
        let taken = InUse::try_lock(dir)?;
        if taken.is_none() {
            self.report_in_use(what)?;
        }
        Ok(taken)
    }

    /// Another mount writes to a directory of this one: without an index that is the user's
    /// responsibility, as mounts are leaked between namespaces.
    ///
    /// # Errors
    ///
    /// `EBUSY` with an index.
    fn report_in_use(&self, what: &'static str) -> Result {
        if self.ms.config.index {
            return Err(self.context.refuse(
                EBUSY,
                fmt!(
                    "{what} is in use as upperdir or workdir of another mount (with index=off \
                      this is a warning)"
                ),
            ));
        }
        pr_warn!(
            "{what} is in use as upperdir or workdir of another mount: what both show is \
             undefined\n"
        );
        Ok(())
    }

    /// Takes the length of names on the file system of a layer into account.
    #[inline(never)]
    fn note_name_length(&mut self, m: &Mounter<'_>, layer: &NamedPath) -> Result {
        let mut stat = StatFs::zeroed();
        let path = RealPath::named(&layer.path);
        path.statfs(m, &mut stat).map_err(|error| {
            let name = Name(layer.name.to_bytes());
            self.context
                .refuse(error, fmt!("cannot statfs the layer {name}"))
        })?;
        let length = stat.name_len();
        self.ms.namelen = self.ms.namelen.max(length);
        Ok(())
    }

    /// Takes the kind of file handles of a layer into account.
    fn note_handles(&mut self, handles: HandleType) {
        self.ms.nofh |= handles == HandleType::None;
        self.ino32 &= handles == HandleType::Ino32;
    }

    /// A device number for objects of a layer.
    fn new_dev(&self, what: &'static str) -> Result<AnonDev> {
        AnonDev::new().map_err(|error| {
            self.context
                .refuse(error, fmt!("no device number for {what}"))
        })
    }

    /// The upper layer that was added.
    fn upper_mut(&mut self) -> Result<&mut UpperLayer> {
        self.ms.upper.as_mut().ok_or(EINVAL)
    }

    /// Refuses the mount.
    #[cold]
    #[inline(never)]
    fn refuse(&self, error: Error, why: &'static str) -> Error {
        self.context.refuse(error, fmt!("{why}"))
    }
}

/// A line in the log. One function, so that its callers do without the frame of the macro.
#[cold]
#[inline(never)]
fn warn(what: &'static str) {
    pr_warn!("{what}\n");
}

/// What the user can do about an index that does not work.
fn advise_about_index() {
    warn("try deleting the directory 'index' in workdir, or mount with index=off");
}

/// The UUID that handles of a file system carry.
fn effective_uuid(ms: &MountState, sb: &SuperBlock) -> [u8; 16] {
    match ms.config.has_origin_uuid() {
        true => sb.uuid(),
        false => [0; 16],
    }
}

/// Compares names as the first layer does, if the mount is case-folding.
///
/// # Errors
///
/// `EINVAL`: the layer refuses names that are not valid in its encoding; a lookup through all
/// layers cannot.
fn set_encoding(
    context: &FsContext,
    setup: &mut Setup<'_>,
    ms: &MountState,
    layer: &SuperBlock,
) -> Result {
    if !ms.casefold || !layer.has_encoding() {
        return Ok(());
    }
    if layer.has_strict_encoding() {
        return Err(context.refuse(
            EINVAL,
            fmt!("a layer with strict encoding is not supported"),
        ));
    }
    setup.set_encoding_of(layer);
    Ok(())
}
