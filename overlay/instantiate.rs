// SPDX-License-Identifier: GPL-2.0

//! How an overlay inode comes to be: found by the real inode it stands for, or made.
//!
//! The overlay's inodes are in the kernel's inode hash under the address of a real inode: the
//! topmost lower one, if the object keeps its identity when it is copied up, or the upper one. So
//! all names of a hard link lead to one overlay inode, and a file is the same inode before and after
//! its copy-up (`ovl_get_inode` and `ovl_hash_bylower` in `fs/overlayfs/inode.c`).

#![forbid(unsafe_code)]

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

/// What an object is made of.
pub(crate) struct InodeParams<'sb> {
    /// An inode that was allocated in advance, for an object that was just created.
    pub(crate) new: Option<NewInode<'sb, Overlay>>,
    /// The upper part.
    pub(crate) upper: Option<ARef<Upper<Dentry>>>,
    /// The lower parts, topmost first.
    pub(crate) lowers: KVec<LowerPath>,
    /// The path to look for the data under in the data-only layers, below `lowers`.
    pub(crate) data_redirect: Option<KVec<u8>>,
    /// The object has an entry in the index.
    pub(crate) indexed: bool,
    /// The redirect of the upper part.
    pub(crate) redirect: Option<KVec<u8>>,
}

/// An inode, and whether it was made now.
pub(crate) struct Obtained {
    /// The inode.
    pub(crate) inode: ARef<OvlInode>,
    /// It did not exist before.
    pub(crate) is_new: bool,
}

/// Finds or makes the inode of an object.
///
/// # Errors
///
/// `ESTALE`: there is an inode for the same real one, but it consists of other parts; `EEXIST`: a new
/// inode was to be used while another one is being made; `EIO`: there are no parts; `ENOMEM`; what
/// the upper layer fails with. Logged.
pub(crate) fn get_inode<'sb>(
    sb: &'sb OvlSuper,
    m: &Mounter<'_>,
    params: InodeParams<'sb>,
) -> Result<Obtained> {
    find_or_make(sb, m, params).inspect_err(|error| {
        warn_limited!("failed to get inode ({})\n", error.to_errno());
    })
}

fn find_or_make<'sb>(
    sb: &'sb OvlSuper,
    m: &Mounter<'_>,
    mut params: InodeParams<'sb>,
) -> Result<Obtained> {
    let ms = MountState::of(sb);
    let identity = Identity::of(ms, &params)?;
    let new = params.new.take();

    let Some(key) = identity.key(&params) else {
        // A lower hard link that is broken by a copy-up: every name is an inode of its own.
        let inode = make(ms, m, sb.new_inode()?, params, &identity)?;
        return Ok(Obtained {
            inode,
            is_new: true,
        });
    };
    match sb.iget(key, new)? {
        Iget::Existing(inode) => {
            let lower = params.lowers.first().and_then(|lower| lower.dentry.inode());
            let upper = params.upper.as_ref().and_then(|upper| upper.inode());
            if !consists_of(&inode, lower, upper) {
                return Err(ESTALE);
            }
            Ok(Obtained {
                inode,
                is_new: false,
            })
        }
        Iget::New(new) => Ok(Obtained {
            inode: make(ms, m, new, params, &identity)?,
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
    fn of(ms: &MountState, params: &InodeParams<'_>) -> Result<Self> {
        let upper = params.upper.as_ref().map(|upper| upper.positive());
        let upper = upper.transpose()?;
        let (lower, lower_fsid) = match params.lowers.first() {
            Some(lower) => {
                let layer = ms.layer(lower.layer).ok_or(EIO)?;
                (Some(lower.dentry.positive()?), layer.fsid)
            }
            None => (None, 0),
        };
        let by_lower =
            lower.filter(|lower| is_hashed_by_lower(ms, upper.is_some(), lower, params.indexed));
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
    fn key<'p>(&self, params: &'p InodeParams<'_>) -> Option<&'p Inode> {
        if self.by_lower {
            params.lowers.first().and_then(|lower| lower.dentry.inode())
        } else {
            params.upper.as_ref().and_then(|upper| upper.inode())
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
    params: InodeParams<'_>,
    identity: &Identity,
) -> Result<ARef<OvlInode>> {
    let has_upper = params.upper.is_some();
    let has_lower = !params.lowers.is_empty();
    let several_lowers = params.lowers.len() > 1;
    let indexed = params.indexed;
    {
        let upper = params.upper.as_ref().map(|upper| upper.positive());
        let lower = params.lowers.first().map(|lower| lower.dentry.positive());
        let real = upper.or(lower).ok_or(EIO)??;
        new.fill(real.mode(), real.rdev(), ms.tables);
        // One that no key finds has only the name it was found by.
        if identity.hashed && !real.is_dir() {
            new.set_nlink(real.nlink());
        }
        new.set_ino(map_ino(ms, identity.ino, identity.fsid, real.is_dir()));
    }
    new.inode()
        .set_parts(params.upper, params.lowers, params.data_redirect)?;
    if params.redirect.is_some() {
        new.inode().set_redirect(params.redirect);
    }

    let inode = new.inode();
    let real = inode.real_path(ms)?;
    inode.copy_attr_from(real);
    inode.copy_flags_from(real.inode()?, COPIED_FLAGS);
    if inode.is_dir() && (inode.flags() & iflag::CASEFOLD != 0) != ms.casefold {
        warn_limited!("wrong casefold ({})\n", real.dentry().log_name());
    }
    if identity.hashed && !inode.is_dir() {
        if let (Some(lower), Some(upper)) = (inode.lower_inode(), inode.upper_path(ms)) {
            if let Some(names) = nlink::stored(ms, m, lower, upper, indexed)? {
                inode.set_nlink(names);
            }
        }
    }

    if indexed {
        inode.set_flag(ObjFlag::Index);
    }
    if identity.by_lower {
        inode.set_flag(ObjFlag::ConstIno);
    }
    if has_upper && marker::is_impure(ms.format(), m, real)? {
        inode.set_flag(ObjFlag::Impure);
    }
    let merged = (has_upper && has_lower) || several_lowers;
    if inode.is_dir() && (merged || marker::has_origin(ms.format(), m, real)?) {
        inode.set_flag(ObjFlag::Whiteouts);
    }
    if has_upper {
        apply_protattr(ms, m, inode, real)?;
    }
    Ok(new.publish())
}

/// Takes over the protection flags that the upper part keeps beside its own.
fn apply_protattr(
    ms: &MountState,
    m: &Mounter<'_>,
    inode: &OvlInode,
    upper: RealPath<'_>,
) -> Result {
    let Some(kept) = marker::protattr(ms.format(), m, upper)? else {
        return Ok(());
    };
    let mut flags = inode.flags() & PROTECTION_FLAGS;
    if kept.append {
        flags |= iflag::APPEND;
    }
    if kept.immutable {
        flags |= iflag::IMMUTABLE;
    }
    inode.set_flags(flags, PROTECTION_FLAGS);
    Ok(())
}

/// Makes the inode of an object that was just created in the upper layer, and makes `dentry`
/// positive with it. `new` was allocated, filled and given its owner before the creation.
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
    upper: ARef<Upper<Dentry>>,
    tmpfile: Option<&TmpFile<'_, Overlay>>,
) -> Result {
    dentry.set_upper_alias();
    let params = InodeParams {
        new: Some(new),
        upper: Some(upper),
        lowers: KVec::new(),
        data_redirect: None,
        indexed: false,
        redirect: None,
    };
    let Obtained { inode, is_new } = get_inode(dentry.super_(), m, params)?;
    if is_new {
        inode.set_flag(ObjFlag::UpperData);
    } else {
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
    upper: Option<ARef<Upper<Dentry>>>,
    lowers: KVec<LowerPath>,
) -> Result<ARef<OvlInode>> {
    let ms = MountState::of(sb);
    let has_upper = upper.is_some();
    let mut new = sb.new_inode()?;
    let (ino, fsid) = match (&upper, lowers.first()) {
        (Some(upper), _) => (upper.positive()?.ino(), 0),
        (None, Some(lower)) => {
            let layer = ms.layer(lower.layer).ok_or(EIO)?;
            (lower.dentry.positive()?.ino(), layer.fsid)
        }
        (None, None) => return Err(EIO),
    };
    new.fill(S_IFDIR, Dev::from_raw(0), ms.tables);
    new.set_ino(map_ino(ms, ino, fsid, true));
    new.inode().set_parts(upper, lowers, None)?;

    let inode = new.inode();
    let real = inode.real_path(ms)?;
    inode.copy_attr_from(real);
    inode.copy_flags_from(real.inode()?, COPIED_FLAGS);
    // It is always merged.
    inode.set_flag(ObjFlag::Whiteouts);
    inode.set_flag(ObjFlag::UpperData);
    if has_upper && marker::is_impure(ms.format(), m, real)? {
        inode.set_flag(ObjFlag::Impure);
    }
    Ok(new.publish())
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
