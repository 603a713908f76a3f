// SPDX-License-Identifier: GPL-2.0

//! Copy-up: an object of a lower layer gets its place in the upper, before it is changed.
//!
//! The copy is complete before it has a name: data, then xattrs, then owner, mode and times, all
//! on an object in the work directory (or one without a name), which is then put at its place in
//! one step ([`publish`]). Directories above it are copied first, from the top down. An object whose
//! names are kept together by the index gets its first name there, and is linked to its place then.
//!
//! Locks, from the outside in: the lock of the overlay object, which makes one task copy and the
//! others wait or give up on a signal; the count of writers of the upper mount, for the whole
//! copy; the freeze protection of the upper file system, only around each change and never while
//! data is copied, because reading a lower layer may need the lock of an object that is ordered
//! before it; the directories of the upper. Lock order as a whole: [`crate::dir`].
//!
//! Source of the facts: `ovl_copy_up_flags`, `ovl_copy_up_one` and `ovl_do_copy_up` in
//! `fs/overlayfs/copy_up.c`, `ovl_copy_up_start` and `ovl_already_copied_up` in
//! `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

mod data;
pub(crate) mod meta;
mod publish;

pub(crate) use meta::{
    copy_xattr,
    set_attr, //
};
use publish::Target;

use crate::{
    overlay::{
        index,
        instantiate::update_reval,
        lowerdata,
        mount::MountState,
        nlink,
        object::{
            set_impure,
            ObjFlag, //
        },
        origin,
        OvlDentry,
        OvlInode, //
    },
    rules::nlink::Base,
    vfs::{
        cred::{
            current_maps_owner,
            Mounter, //
        },
        dentry::Dentry,
        file::oflags::{
            O_ACCMODE,
            O_RDONLY,
            O_TRUNC,
            O_WRONLY, //
        },
        inode::FileType,
        mount::{
            LinkText,
            RealPath,
            Upper,
            WriteAccess, //
        },
        stat::{
            Stat,
            Times,
            AT_STATX_SYNC_AS_STAT,
            STATX_ATIME,
            STATX_BASIC_STATS,
            STATX_MTIME, //
        },
    },
    xattr::origin::Record,
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// Copies `dentry` up for a change of its metadata or of its place. Nothing to do if it is upper.
///
/// Call without the mounter's credentials and without write access to the upper. `EROFS` without
/// an upper, `EOVERFLOW` if the owner means nothing to the mounter, `EINTR` on a signal, `EEXIST`
/// if the name was taken in the upper meanwhile, `EIO` if the data below is not the right one;
/// otherwise what the layers say.
pub(crate) fn copy_up(dentry: &OvlDentry) -> Result {
    copy_up_flags(dentry, 0)
}

/// Copies `dentry` up for a change of its data. Errors as [`copy_up`].
pub(crate) fn copy_up_with_data(dentry: &OvlDentry) -> Result {
    copy_up_flags(dentry, O_WRONLY)
}

/// Copies `dentry` up if opening it with these flags may change it. Errors as [`copy_up`].
///
/// With `O_TRUNC` no data is copied. Device nodes, fifos and sockets are written without changing
/// the node.
pub(crate) fn maybe_copy_up(dentry: &OvlDentry, open_flags: u32) -> Result {
    if is_done(dentry, open_flags)
        || dentry.object()?.file_type().is_special()
        || !needs_data(open_flags)
    {
        return Ok(());
    }
    copy_up_flags(dentry, open_flags)
}

/// Will an open with these flags change data?
fn needs_data(open_flags: u32) -> bool {
    open_flags & O_ACCMODE != O_RDONLY || open_flags & O_TRUNC != 0
}

/// Does the object have its place in the upper, and its data if they are needed? One that was found
/// by a file handle, and has no place that is known, needs none.
///
/// True is final. Without the lock of the object, false may be out of date.
fn is_done(dentry: &OvlDentry, open_flags: u32) -> bool {
    dentry.upper().is_some()
        && (dentry.has_upper_alias() || dentry.is_disconnected())
        && !(needs_data(open_flags) && dentry.is_metacopy())
}

/// Copies up what is missing, from the topmost directory down to `dentry`.
///
/// A loop, not a recursion: each round looks for the topmost object that is not upper, because
/// the tree may change between rounds.
fn copy_up_flags(dentry: &OvlDentry, open_flags: u32) -> Result {
    // Also for the metadata alone, which may get the digest of the data; and before any lock.
    lowerdata::verify(dentry)?;
    if is_done(dentry, open_flags) {
        return Ok(());
    }
    let ms = MountState::of(dentry.super_());
    // Without an upper there is no directory at which the search below would end.
    ms.workdir()?;
    // Comes only from a handle that NFS export gave out, which connects directories first.
    let disconnected = dentry.is_disconnected();
    if disconnected && dentry.is_dir() {
        return Err(EIO);
    }
    while !is_done(dentry, open_flags) {
        if disconnected {
            ms.with_mounter(|m| copy_up_one(ms, m, None, dentry, open_flags))?;
        } else {
            let (parent, next) = topmost_lower(dentry);
            ms.with_mounter(|m| copy_up_one(ms, m, Some(&parent), &next, open_flags))?;
        }
    }
    Ok(())
}

/// The last object on the way up from `dentry` whose parent is in the upper, after that parent.
fn topmost_lower(dentry: &OvlDentry) -> (ARef<OvlDentry>, ARef<OvlDentry>) {
    let mut next: ARef<OvlDentry> = dentry.into();
    loop {
        let parent = next.parent();
        if parent.upper().is_some() {
            return (parent, next);
        }
        next = parent;
    }
}

/// One copy-up, as all its steps see it.
struct Job<'a> {
    /// The mount.
    ms: &'a MountState,
    /// What is copied.
    dentry: &'a OvlDentry,
    /// Its inode.
    inode: &'a OvlInode,
    /// Where the copy belongs; `None` if that is not known, and the copy only goes to the index.
    place: Option<Place<'a>>,
    /// The copy gets an entry in the index.
    indexed: bool,
    /// The original.
    lower: RealPath<'a>,
    /// Attributes of the original; the size is zero if the data are not wanted.
    stat: &'a Stat,
    /// Target of a symbolic link.
    link: Option<LinkText>,
    /// The writers of the upper mount know about us.
    write: &'a WriteAccess<'a>,
    /// The copy reaches the disk, data and metadata, before it gets its name (`fsync=strict`).
    sync_metadata: bool,
    /// The data stays below.
    metacopy: bool,
}

/// The directory of what is copied.
struct Place<'a> {
    /// It, which has an upper.
    parent: &'a OvlDentry,
    /// Its upper.
    dir: &'a Upper<Dentry>,
    /// The times of the upper before we touched it.
    times: Times,
}

impl<'a> Place<'a> {
    fn of(ms: &MountState, m: &Mounter<'_>, parent: &'a OvlDentry) -> Result<Self> {
        let dir = parent.upper().ok_or(EIO)?;
        let path = RealPath::upper(ms.upper_mnt()?, dir);
        Ok(Self {
            parent,
            dir,
            times: read_times(m, path)?,
        })
    }
}

impl<'a> Job<'a> {
    /// Where the copy belongs. `EIO` if that is not known.
    fn place(&self) -> Result<&Place<'a>> {
        self.place.as_ref().ok_or(EIO)
    }

    /// The type of the object.
    fn file_type(&self) -> FileType {
        FileType::from_mode(self.stat.mode())
    }

    /// There is data to copy along with the metadata.
    fn has_data(&self) -> bool {
        self.file_type() == FileType::Regular && !self.metacopy && self.stat.size() != 0
    }
}

/// Copies one object up, whose parent is in the upper. Without a parent, to the index only.
#[inline(never)]
fn copy_up_one(
    ms: &MountState,
    m: &Mounter<'_>,
    parent: Option<&OvlDentry>,
    dentry: &OvlDentry,
    open_flags: u32,
) -> Result {
    let inode = dentry.object()?;
    let lower = inode.lower_path(ms).ok_or(EIO)?;

    let mut stat = Stat::zeroed();
    lower.getattr(m, &mut stat, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT)?;
    if !current_maps_owner(&stat) {
        return Err(EOVERFLOW);
    }
    if open_flags & O_TRUNC != 0 {
        stat.set_size(0);
    }
    copy_up_as(ms, m, parent, dentry, open_flags, lower, &stat)
}

/// [`copy_up_one`], with the attributes of the original, `lower`, that the copy is to have. A
/// function of its own: together their stack frame would be large.
#[inline(never)]
fn copy_up_as(
    ms: &MountState,
    m: &Mounter<'_>,
    parent: Option<&OvlDentry>,
    dentry: &OvlDentry,
    open_flags: u32,
    lower: RealPath<'_>,
    stat: &Stat,
) -> Result {
    let inode = dentry.object()?;
    let kind = FileType::from_mode(stat.mode());
    let metacopy = ms.config.metacopy
        && kind == FileType::Regular
        && !needs_data(open_flags)
        && lowerdata::has_what_metacopy_needs(ms, m, inode);
    let place = match parent {
        Some(parent) => Some(Place::of(ms, m, parent)?),
        None => None,
    };
    let link = match kind {
        FileType::Symlink => Some(lower.get_link(m)?),
        _ => None,
    };

    let _lock = inode.object_lock().lock_interruptible()?;
    if is_done(dentry, open_flags) {
        // Someone else was first.
        return Ok(());
    }
    let write = ms.write_access()?;
    let job = Job {
        ms,
        dentry,
        inode,
        place,
        indexed: index::is_needed(dentry),
        lower,
        sync_metadata: ms.config.syncs_metadata()
            && matches!(kind, FileType::Regular | FileType::Directory),
        stat,
        link,
        write: &write,
        metacopy,
    };
    if inode.upper().is_none() {
        copy_object(&job, m)?;
    }
    if job.place.is_some() && !dentry.has_upper_alias() {
        publish::link_up(&job, m)?;
    }
    if needs_data(open_flags) && dentry.is_metacopy() {
        data::copy_later(&job, m)?;
    }
    Ok(())
}

/// The times of an object of a layer.
#[inline(never)]
fn read_times(m: &Mounter<'_>, path: RealPath<'_>) -> Result<Times> {
    let mut stat = Stat::zeroed();
    path.getattr(
        m,
        &mut stat,
        STATX_ATIME | STATX_MTIME,
        AT_STATX_SYNC_AS_STAT,
    )?;
    Ok(stat.times())
}

/// Makes the copy and gives it its name; one that is kept in the index and is no directory gets the
/// name there. The lock of the object is held.
#[inline(never)]
fn copy_object(job: &Job<'_>, m: &Mounter<'_>) -> Result {
    let is_dir = job.file_type() == FileType::Directory;
    // A hard link whose other names stay below is not the same object any more.
    let origin = if is_dir || job.stat.nlink() == 1 || job.indexed {
        Some(origin::record(job.ms, m, job.lower.inode()?)?)
    } else {
        None
    };
    if job.indexed && !is_dir {
        copy_to_index(job, m, origin.as_ref().ok_or(EIO)?)
    } else {
        copy_to_place(job, m, origin.as_ref())
    }
}

/// Makes the copy as an entry of the index, from where the names in the upper are linked.
#[inline(never)]
fn copy_to_index(job: &Job<'_>, m: &Mounter<'_>, origin: &Record) -> Result {
    let name = index::name_of(origin.handle().ok_or(EIO)?)?;
    let target = Target {
        dir: job.ms.indexdir().ok_or(EIO)?,
        name: &name,
    };
    copy_to(job, m, target, Some(origin))?;
    // So far no name in the upper counts.
    let w = job.write.start_write();
    nlink::store(job.ms, m, &w, job.inode, Base::Upper)
}

/// Makes the copy at its place.
#[inline(never)]
fn copy_to_place(job: &Job<'_>, m: &Mounter<'_>, origin: Option<&Record>) -> Result {
    let place = job.place()?;
    // A lookup that finds this directory under another name, after a change below, may rename the
    // dentry at any time.
    pin_init::stack_pin_init!(let name = job.dentry.name_snapshot());

    // From now on the directory may hold objects that have an origin.
    set_impure(job.ms, m, &job.write.start_write(), place.parent)?;

    let target = Target {
        dir: place.dir,
        name: name.name(),
    };
    copy_to(job, m, target, origin)?;

    let w = job.write.start_write();
    publish::restore_parent_times(place, m, &w);
    job.dentry.set_upper_alias();
    if let Some(upper) = job.inode.upper() {
        update_reval(job.dentry, upper);
    }
    Ok(())
}

/// Makes the copy under a name in the upper.
fn copy_to(job: &Job<'_>, m: &Mounter<'_>, target: Target<'_>, origin: Option<&Record>) -> Result {
    if job.file_type() == FileType::Regular && job.ms.tmpfile {
        publish::through_tmpfile(job, m, target, origin)?;
    } else {
        publish::through_workdir(job, m, target, origin)?;
    }
    if job.indexed {
        job.inode.set_flag(ObjFlag::Index);
    }
    Ok(())
}

/// The parts of the object that the upper now has: for those who look without its lock.
///
/// `has_digest`: its metadata has a digest of the data that stays below.
fn publish_upper(job: &Job<'_>, upper: ARef<Upper<Dentry>>, has_digest: bool) {
    if has_digest {
        job.inode.set_flag(ObjFlag::HasDigest);
    } else {
        job.inode.clear_flag(ObjFlag::HasDigest);
    }
    job.inode.clear_flag(ObjFlag::VerifiedDigest);
    if !job.metacopy {
        job.inode.set_flag(ObjFlag::UpperData);
    }
    if job.file_type() == FileType::Directory {
        // Before anyone can see an upper: whoever does must look for whiteouts.
        job.inode.set_flag(ObjFlag::Whiteouts);
    }
    job.inode.publish_upper(upper);
}
