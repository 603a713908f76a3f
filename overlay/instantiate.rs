// SPDX-License-Identifier: GPL-2.0

//! How an overlay inode comes to be: found by the real inode it stands for, or made.
//!
//! The overlay's inodes are in the kernel's inode hash under the address of a real inode: the
//! topmost lower one, if the object keeps its identity when it is copied up, or the upper one. So
//! all names of a hard link lead to one overlay inode, and a file is the same inode before and after
//! its copy-up (`ovl_get_inode` and `ovl_hash_bylower` in `fs/overlayfs/inode.c`).

#![forbid(unsafe_code)]

use core::mem;
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::vfs::errno::ESTALE;
use crate::{
    overlay::{
        identity::map_ino,
        layer::{
            LowerPath,
            LowerRef, //
        },
        mount::MountState,
        nlink,
        object::{
            EntryFlag,
            ObjFlag, //
        },
        stack::Stack,
        Overlay,
        OvlDentry,
        OvlInode,
        OvlSuper, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        file::TmpFile, //
        inode::{
            iflag,
            mode::S_IFDIR,
            Dev,
            Inode, //
        },
        log::warn_limited,
        mount::{
            RealPath,
            Upper, //
        },
        own::{
            Iget,
            NewInode, //
        },
    },
    xattr::marker::{
        self,
        Opacity, //
    },
};

/// The inode flags that `overlay.protattr` keeps.
const PROTECTION_FLAGS: u32 = iflag::APPEND | iflag::IMMUTABLE;

/// The inode flags that are those of the real inode.
const COPIED_FLAGS: u32 = PROTECTION_FLAGS | iflag::SYNC | iflag::NOATIME | iflag::CASEFOLD;

/// What an object is made of, as it was found in the layers.
///
/// An inode that is made of it takes it; what is in it is not moved before.
pub(crate) struct Parts {
    /// The upper part.
    pub(crate) upper: Option<ARef<Upper<Dentry>>>,
    /// The lower parts, topmost first.
    pub(crate) lowers: Stack<LowerPath>,
    /// The path to look for the data under in the data-only layers, below `lowers`.
    pub(crate) data_redirect: Option<KVec<u8>>,
    /// The redirect of the upper part.
    pub(crate) redirect: Option<KVec<u8>>,
    /// The object has an entry in the index.
    pub(crate) indexed: bool,
    /// The upper part has the data.
    pub(crate) upper_data: bool,
    /// The topmost part has only metadata, with a digest of the data.
    pub(crate) has_digest: bool,
}

impl Parts {
    /// Nothing.
    pub(crate) const fn none() -> Self {
        Self {
            upper: None,
            lowers: Stack::Empty,
            data_redirect: None,
            redirect: None,
            indexed: false,
            upper_data: false,
            has_digest: false,
        }
    }

    /// Those of an object that was just created in the upper layer.
    pub(crate) fn of_new(upper: ARef<Upper<Dentry>>) -> Self {
        Self {
            upper: Some(upper),
            upper_data: true,
            ..Self::none()
        }
    }

    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.upper.is_none() && self.lowers.is_empty()
    }

    fn upper_path<'a>(&'a self, ms: &'a MountState) -> Option<RealPath<'a>> {
        Some(ms.upper.as_ref()?.path(self.upper.as_deref()?))
    }

    fn upper_inode(&self) -> Option<&Inode> {
        self.upper.as_deref()?.inode()
    }

    fn lower_inode(&self) -> Option<&Inode> {
        self.lowers.first()?.dentry.inode()
    }

    /// The path of the part that has the attributes.
    fn real_path<'a>(&'a self, ms: &'a MountState) -> Result<RealPath<'a>> {
        if let Some(upper) = self.upper_path(ms) {
            return Ok(upper);
        }
        let lower = self.lowers.first().ok_or(EIO)?;
        Ok(ms.layer(lower.layer).ok_or(EIO)?.path(&lower.dentry))
    }

    /// What is known about where the data is.
    fn data_flags(&self) -> u32 {
        bit_if(self.upper_data, ObjFlag::UpperData) | bit_if(self.has_digest, ObjFlag::HasDigest)
    }

    /// Makes an inode of them that is filled but for its data, and known to have these `flags`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn publish(&mut self, new: NewInode<'_, Overlay>, flags: u32) -> Result<ARef<OvlInode>> {
        let data_redirect = self.data_redirect.take();
        let pending = data_redirect.as_ref().map(|_| LowerRef::pending());
        let lowers = mem::replace(&mut self.lowers, Stack::Empty);
        let lowers = lowers.convert(pending, LowerRef::new)?;
        let (upper, redirect) = (self.upper.take(), self.redirect.take());
        Ok(new.publish(|object| object.complete(upper, lowers, data_redirect, redirect, flags)))
    }
}

/// The bit of `flag` if it is to be set.
fn bit_if(set: bool, flag: ObjFlag) -> u32 {
    if set {
        flag.bit()
    } else {
        0
    }
}

/// An inode, and whether it was made now.
pub(crate) struct Obtained {
    /// The inode.
    pub(crate) inode: ARef<OvlInode>,
    /// It did not exist before.
    pub(crate) is_new: bool,
}

/// Finds or makes the inode of an object. `new`: one that was allocated in advance, for an object
/// that was just created.
///
/// # Errors
///
/// `ESTALE`: there is an inode for the same real one, but it consists of other parts; `EEXIST`: a new
/// inode was to be used while another one is being made; `EIO`: there are no parts; `ENOMEM`; what
/// the upper layer fails with. Logged.
pub(crate) fn get_inode<'sb>(
    sb: &'sb OvlSuper,
    m: &Mounter<'_>,
    parts: &mut Parts,
    new: Option<NewInode<'sb, Overlay>>,
) -> Result<Obtained> {
    find_or_make(sb, m, parts, new).inspect_err(|error| {
        warn_limited!("failed to get inode ({})\n", error.to_errno());
    })
}

fn find_or_make<'sb>(
    sb: &'sb OvlSuper,
    m: &Mounter<'_>,
    parts: &mut Parts,
    new: Option<NewInode<'sb, Overlay>>,
) -> Result<Obtained> {
    let ms = MountState::of(sb);
    let identity = Identity::of(ms, parts)?;

    let Some(key) = identity.key(parts) else {
        // A lower hard link that is broken by a copy-up: every name is an inode of its own.
        let inode = make(ms, m, sb.new_inode()?, parts, &identity)?;
        return Ok(Obtained {
            inode,
            is_new: true,
        });
    };
    match sb.iget(key, new)? {
        Iget::Existing(inode) => {
            if !consists_of(&inode, parts.lower_inode(), parts.upper_inode()) {
                return Err(ESTALE);
            }
            inode.set_flag_bits(parts.data_flags());
            Ok(Obtained {
                inode,
                is_new: false,
            })
        }
        Iget::New(new) => Ok(Obtained {
            inode: make(ms, m, new, parts, &identity)?,
            is_new: true,
        }),
    }
}

/// What decides which inode an object is.
struct Identity {
    /// A real inode finds it.
    hashed: bool,
    /// The inode number that decides its own, and the file system it is from.
    ino: u64,
    fsid: u32,
    /// The identity is that of the lower part.
    by_lower: bool,
}

impl Identity {
    fn of(ms: &MountState, parts: &Parts) -> Result<Self> {
        let upper = parts.upper.as_ref().map(|upper| upper.positive());
        let upper = upper.transpose()?;
        let (lower, lower_fsid) = match parts.lowers.first() {
            Some(lower) => {
                let layer = ms.layer(lower.layer).ok_or(EIO)?;
                (Some(lower.dentry.positive()?), layer.fsid)
            }
            None => (None, 0),
        };
        let by_lower =
            lower.filter(|lower| is_hashed_by_lower(ms, upper.is_some(), lower, parts.indexed));
        let real = by_lower.or(upper).or(lower).ok_or(EIO)?;
        Ok(Self {
            hashed: by_lower.is_some() || upper.is_some(),
            ino: real.ino(),
            fsid: if by_lower.is_some() || upper.is_none() {
                lower_fsid
            } else {
                0
            },
            by_lower: by_lower.is_some(),
        })
    }

    /// The real inode it is hashed by; `None` if it is not to be found by any.
    fn key<'p>(&self, parts: &'p Parts) -> Option<&'p Inode> {
        if self.by_lower {
            parts.lower_inode()
        } else {
            parts.upper_inode()
        }
    }
}

/// Whether an object with this lower part is, and stays, the lower inode to the outside.
fn is_hashed_by_lower(ms: &MountState, upper: bool, lower: &Inode, indexed: bool) -> bool {
    if indexed || ms.upper.is_none() {
        return true;
    }
    // Copy-up breaks hard links that no index keeps together.
    let broken = !lower.is_dir() && lower.nlink() > 1 && (upper || ms.indexdir().is_none());
    // A file handle of an upper object that has no index entry leads to the upper one.
    let exported = ms.config.nfs_export && upper;
    !broken && !exported
}

/// Finds the inode, if it is in memory, of the object that has the real inode as its upper part, or
/// as its topmost lower one.
///
/// # Errors
///
/// `ESTALE`: it is a part of another kind of it.
pub(crate) fn find_inode_of(
    sb: &OvlSuper,
    real: &Inode,
    upper: bool,
) -> Result<Option<ARef<OvlInode>>> {
    let Some(inode) = sb.find_inode(real) else {
        return Ok(None);
    };
    let own = match upper {
        true => inode.upper_inode(),
        false => inode.lower_inode(),
    };
    if !own.is_some_and(|own| own.ptr_eq(real)) {
        return Err(ESTALE);
    }
    Ok(Some(inode))
}

/// Whether the object `inode` can be the one that a lookup found these parts of.
fn consists_of(inode: &OvlInode, lower: Option<&Inode>, upper: Option<&Inode>) -> bool {
    let (own_lower, own_upper) = (inode.lower_inode(), inode.upper_inode());
    if inode.is_dir() {
        // A lower directory that was moved to the upper layer under us.
        let lost_lower = lower.is_none() && own_lower.is_some();
        // The place that a directory was moved away from.
        let lost_upper = upper.is_none() && own_upper.is_some();
        if lost_lower || lost_upper {
            return false;
        }
    }
    // Other objects may have a lower part that this name does not lead to, for want of file handles,
    // and an upper part that another of their names got.
    is_same(lower, own_lower) && is_same(upper, own_upper)
}

/// `found`, if there is such a part, is the same inode as `own`.
fn is_same(found: Option<&Inode>, own: Option<&Inode>) -> bool {
    match found {
        Some(found) => own.is_some_and(|own| own.ptr_eq(found)),
        None => true,
    }
}

/// Completes a new inode and publishes it.
fn make(
    ms: &MountState,
    m: &Mounter<'_>,
    mut new: NewInode<'_, Overlay>,
    parts: &mut Parts,
    identity: &Identity,
) -> Result<ARef<OvlInode>> {
    let path = parts.real_path(ms)?;
    let real = path.inode()?;
    let is_dir = real.is_dir();
    new.fill(real.mode(), real.rdev(), ms.tables);
    new.set_ino(map_ino(ms, identity.ino, identity.fsid, is_dir));
    new.copy_attr_from(path);
    new.set_flags(real.flags(), COPIED_FLAGS);

    let has_upper = parts.upper.is_some();
    let mut flags = parts.data_flags()
        | bit_if(parts.indexed, ObjFlag::Index)
        | bit_if(identity.by_lower, ObjFlag::ConstIno);
    if is_dir {
        if (real.flags() & iflag::CASEFOLD != 0) != ms.casefold {
            warn_limited!("wrong casefold ({})\n", path.dentry().log_name());
        }
        let impure = has_upper && marker::is_impure(ms.format(), m, path)?;
        let merged = usize::from(has_upper).saturating_add(parts.lowers.len()) > 1;
        let whiteouts = merged || marker::has_origin(ms.format(), m, path)?;
        flags |= bit_if(impure, ObjFlag::Impure) | bit_if(whiteouts, ObjFlag::Whiteouts);
    } else if identity.hashed {
        // One that no key finds has only the name it was found by.
        new.set_nlink(names(ms, m, parts, real)?);
    }
    if has_upper {
        apply_protattr(ms, m, &mut new, path)?;
    }
    parts.publish(new, flags)
}

/// The number of names of the object whose attributes are those of `real`.
fn names(ms: &MountState, m: &Mounter<'_>, parts: &Parts, real: &Inode) -> Result<u32> {
    let stored = match (parts.lower_inode(), parts.upper_path(ms)) {
        (Some(lower), Some(upper)) => nlink::stored(ms, m, lower, upper, parts.indexed)?,
        _ => None,
    };
    Ok(stored.unwrap_or(real.nlink()))
}

/// Takes over the protection flags that the upper part keeps beside its own.
fn apply_protattr(
    ms: &MountState,
    m: &Mounter<'_>,
    new: &mut NewInode<'_, Overlay>,
    upper: RealPath<'_>,
) -> Result {
    let Some(kept) = marker::protattr(ms.format(), m, upper)? else {
        return Ok(());
    };
    let mut flags = 0;
    if kept.append {
        flags |= iflag::APPEND;
    }
    if kept.immutable {
        flags |= iflag::IMMUTABLE;
    }
    new.set_flags(flags, flags);
    Ok(())
}

/// Makes the inode of an object that was just created in the upper layer, and makes `dentry`
/// positive with it. `new` was allocated, filled and given its owner before the creation. `parts` are
/// those [of a new object](Parts::of_new), which it keeps if this fails.
///
/// The parent's `i_rwsem` is held exclusively, unless it is a temporary file.
///
/// # Errors
///
/// As [`get_inode`]; `EIO`: a temporary file has an inode already.
pub(crate) fn instantiate_new(
    m: &Mounter<'_>,
    dentry: &OvlDentry,
    new: NewInode<'_, Overlay>,
    parts: &mut Parts,
    tmpfile: Option<&TmpFile<'_, Overlay>>,
) -> Result {
    dentry.set_upper_alias();
    let Obtained { inode, is_new } = get_inode(dentry.super_(), m, parts, Some(new))?;
    if !is_new {
        // Someone who decoded a file handle of the new object was faster.
        warn_limited!(
            "newly created inode found in cache ({})\n",
            dentry.log_name()
        );
    }
    if let Some(tmpfile) = tmpfile {
        if !is_new {
            return Err(EIO);
        }
        tmpfile.mark(&inode);
    }
    dentry.instantiate(inode);
    // Only now: a path walk can find the name, and a negative one is not to be revalidated.
    init_reval(dentry, dentry.upper(), &[]);
    Ok(())
}

/// Makes `dentry` positive with `inode`, of which `upper` is a new name in the upper layer.
///
/// The parent's `i_rwsem` is held exclusively.
pub(crate) fn instantiate_link(dentry: &OvlDentry, inode: &OvlInode, upper: &Upper<Dentry>) {
    if !is_same(upper.inode(), inode.real_inode()) {
        pr_err!("new link '{}' leads to another inode\n", dentry.log_name());
    }
    dentry.set_upper_alias();
    inode.inc_nlink();
    dentry.instantiate(inode.into());
    init_reval(dentry, dentry.upper(), &[]);
    // The next lookup finds what this name has in lower layers.
    dentry.drop_hash();
}

/// Lets the VFS ask whether the name is still valid exactly if a layer wants to be asked about one of
/// these parts of its object.
pub(crate) fn init_reval(dentry: &OvlDentry, upper: Option<&Upper<Dentry>>, lowers: &[LowerRef]) {
    let (mut strong, mut weak) = (false, false);
    if let Some(upper) = upper {
        strong |= upper.has_revalidate();
        weak |= upper.has_weak_revalidate();
    }
    for lower in lowers.iter().filter_map(LowerRef::dentry) {
        strong |= lower.has_revalidate();
        weak |= lower.has_weak_revalidate();
    }
    dentry.set_reval_flags(strong, weak);
}

/// Lets the VFS ask about the name if `real`, which became a part of its object, wants that.
pub(crate) fn update_reval(dentry: &OvlDentry, real: &Dentry) {
    if real.is_remote() {
        dentry.set_reval_flags(
            dentry.has_revalidate() || real.has_revalidate(),
            dentry.has_weak_revalidate() || real.has_weak_revalidate(),
        );
    }
}

/// Whether `dir` is the root of a layer of this mount, or its work directory: met below another
/// layer, it tells that the layers overlap.
pub(crate) fn is_trap(sb: &OvlSuper, dir: &Dentry) -> bool {
    let found = dir.inode().and_then(|key| sb.find_inode(key));
    found.is_some_and(|inode| {
        inode.is_dead_dir() && inode.upper().is_none() && inode.lowers().is_empty()
    })
}

/// Makes the inode of the root. It stands for itself: no lookup finds it by a real inode.
///
/// # Errors
///
/// `ENOMEM`, `EIO`: there are no parts; what the layers fail with.
pub(crate) fn root_inode(
    sb: &OvlSuper,
    m: &Mounter<'_>,
    parts: &mut Parts,
) -> Result<ARef<OvlInode>> {
    let ms = MountState::of(sb);
    let mut new = sb.new_inode()?;
    let path = parts.real_path(ms)?;
    let real = path.inode()?;
    let fsid = match (&parts.upper, parts.lowers.first()) {
        (None, Some(lower)) => ms.layer(lower.layer).ok_or(EIO)?.fsid,
        _ => 0,
    };
    new.fill(S_IFDIR, Dev::from_raw(0), ms.tables);
    new.set_ino(map_ino(ms, real.ino(), fsid, true));
    new.copy_attr_from(path);
    new.set_flags(real.flags(), COPIED_FLAGS);
    let impure = parts.upper.is_some() && marker::is_impure(ms.format(), m, path)?;
    // It is always merged.
    let flags = ObjFlag::Whiteouts.bit() | ObjFlag::UpperData.bit();
    parts.publish(new, flags | bit_if(impure, ObjFlag::Impure))
}

/// Completes the dentry of the root, whose inode [`root_inode`] made.
///
/// # Errors
///
/// `ENOENT`: it has no inode; what the layers fail with.
pub(crate) fn init_root(root: &OvlDentry, m: &Mounter<'_>) -> Result {
    let ms = root.mount();
    let inode = root.object()?;
    if inode.upper().is_some() {
        root.set_upper_alias();
    }
    root.set_entry_flag(EntryFlag::Connected);
    // The lowermost layer has nothing to hide.
    if let Some((_, above)) = inode.lowers().split_last() {
        for lower in above {
            let (Some(layer), Some(path)) = (ms.layer(lower.layer()), lower.path(ms)) else {
                return Err(EIO);
            };
            if marker::opacity(ms.format(), m, path)? == Opacity::Xwhiteouts {
                layer.note_xwhiteouts();
                root.set_xwhiteouts();
            }
        }
    }
    // Nobody looks the root up by its name.
    init_reval(root, inode.upper(), inode.lowers());
    root.set_reval_flags(false, root.has_weak_revalidate());
    Ok(())
}
