// SPDX-License-Identifier: GPL-2.0

//! The index: a directory whose entries lead from lower objects to upper ones.
//!
//! The name of an entry is the handle of a lower object in hexadecimal. For an object that is no
//! directory the entry is a hard link of the upper object, so that all names of a lower hard link find
//! the same copy; copy-up makes the entry first and then links it to its place. For a directory it is
//! a directory that keeps the handle of the upper one. A whiteout says that the object is gone, which
//! only handles that NFS export gave out need to know. The directory serves as the work directory
//! of a mount that has an index.
//!
//! Entries are made for lower hard links, and for everything if NFS export is on.
//!
//! Source of the facts: `ovl_lookup_index`, `ovl_get_index_fh` and `ovl_index_upper` in
//! `fs/overlayfs/namei.c`; `ovl_create_index` in `fs/overlayfs/copy_up.c`; `ovl_need_index` and
//! `ovl_cleanup_index` in `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

pub(crate) mod check;

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::vfs::errno::ESTALE;
use crate::{
    overlay::{
        mount::MountState,
        nlink,
        origin::is_wrong_type,
        temp::{
            self,
            create_temp,
            discard,
            CreateAttr, //
        },
        whiteout::{
            cleanup_and_whiteout,
            is_whiteout, //
        },
        OvlDentry,
        OvlInode, //
    },
    rules::{
        handle::{
            EncodeError,
            Handle,
            MAX_FID_LEN, //
        },
        nlink::Base,
    },
    vfs::{
        cred::{
            capable_dac_read_search,
            Mounter, //
        },
        dentry::Dentry,
        dirop::RenameFlags,
        exportfs::decode_upper_fh,
        inode::{
            mode::{
                S_IFDIR,
                S_IFMT, //
            },
            Inode, //
        },
        log::{
            warn_limited, //
            Name as LogName,
        },
        mount::{
            LayerDentry,
            Lower,
            RealPath,
            Upper,
            UpperWrite, //
        }, //
    },
    xattr::{
        origin::{
            self,
            Record, //
        },
        Name, //
    },
};

/// Whether the object gets an entry in the index when it is copied up.
pub(crate) fn is_needed(dentry: &OvlDentry) -> bool {
    let ms = dentry.mount();
    if ms.indexdir().is_none() {
        return false;
    }
    let lower = dentry.inode().and_then(|inode| inode.lower_inode());
    lower.is_some_and(|lower| ms.indexes_all() || (!lower.is_dir() && lower.nlink() > 1))
}

/// The name of the entry of the lower object that a handle leads to.
///
/// # Errors
///
/// `ENOMEM`; `EIO`: it is too long.
pub(crate) fn name_of(handle: Handle<'_>) -> Result<KVec<u8>> {
    let mut name = KVec::with_capacity(handle.index_name_len(), GFP_KERNEL)?;
    handle.index_name(&mut name).map_err(|error| match error {
        EncodeError::NoMemory => ENOMEM,
        EncodeError::TooLong => EIO,
    })?;
    Ok(name)
}

/// The name of the entry of a lower object.
///
/// # Errors
///
/// `EIO`: the layer failed to make a handle; `ENOMEM`.
pub(crate) fn name_of_origin(ms: &MountState, m: &Mounter<'_>, lower: &Inode) -> Result<KVec<u8>> {
    let record = origin::encode(ms.format(), m, lower, false)?;
    name_of(record.handle().ok_or(EIO)?)
}

/// The entry of this name.
fn entry(ms: &MountState, m: &Mounter<'_>, name: &[u8]) -> Result<Option<ARef<Upper<Dentry>>>> {
    let dir = ms.indexdir().ok_or(EIO)?;
    dir.lookup_positive(m, ms.upper_mnt()?, name, false)
}

/// The entry of the lower object `origin`, if it has one.
fn entry_of(
    ms: &MountState,
    m: &Mounter<'_>,
    origin: &Dentry,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    let inode = origin.positive()?;
    let name = name_of_origin(ms, m, inode)?;
    entry(ms, m, &name).inspect_err(|error| {
        warn_limited!(
            "failed inode index lookup (ino={}, key={}, err={}); mount with index=off to do without\n",
            inode.ino(),
            LogName(&name),
            error.to_errno()
        );
    })
}

/// Looks the entry of the lower object `origin` up for a name that leads to it, and to the upper
/// object `upper` if that is known.
///
/// `None`: there is no entry, or it stands for another upper object, as if the index was emptied
/// since this one was copied up; then it says nothing about this one.
///
/// # Errors
///
/// `EIO`: the entry is of another type, or a whiteout, although a name leads to the object; or that
/// of a directory stands for another upper directory, or for one at all while the name has none: two
/// directories were redirected to one place. What the upper layer fails with. All are logged.
pub(crate) fn lookup(
    ms: &MountState,
    m: &Mounter<'_>,
    upper: Option<&Upper<Dentry>>,
    origin: &Lower<Dentry>,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    let Some(index) = entry_of(ms, m, origin)? else {
        return Ok(None);
    };
    check_type(&index, origin)?;
    if origin.is_dir() {
        check_dir(ms, m, &index, upper, origin)?;
        return Ok(Some(index));
    }
    let inode = index.positive()?;
    let other = upper.is_some_and(|upper| !upper.inode().is_some_and(|own| own.ptr_eq(inode)));
    Ok((!other).then_some(index))
}

/// Looks the entry of a lower object up that a file handle led to, to go on to the upper object with
/// [`upper_of`].
///
/// # Errors
///
/// `ESTALE`: the object is gone from the overlay; `EIO`: the entry is of another type; what the upper
/// layer fails with.
pub(crate) fn lookup_decoded(
    ms: &MountState,
    m: &Mounter<'_>,
    origin: &Dentry,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    let Some(index) = entry_of(ms, m, origin)? else {
        return Ok(None);
    };
    if is_whiteout(&index) {
        return Err(ESTALE);
    }
    check_type(&index, origin)?;
    Ok(Some(index))
}

/// Looks the entry up that has the handle of a lower object as its name.
///
/// # Errors
///
/// `ESTALE`: the object is gone from the overlay; `EIO`: the entry is of an impossible type;
/// `ENOMEM`; what the upper layer fails with.
pub(crate) fn lookup_by_handle(
    ms: &MountState,
    m: &Mounter<'_>,
    handle: Handle<'_>,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    let Some(index) = entry(ms, m, &name_of(handle)?)? else {
        return Ok(None);
    };
    if is_whiteout(&index) {
        return Err(ESTALE);
    }
    if index.is_weird() {
        return Err(EIO);
    }
    Ok(Some(index))
}

/// The entry has to be of the type of the object it is for.
fn check_type(index: &Upper<Dentry>, origin: &Dentry) -> Result {
    let (inode, lower) = (index.positive()?, origin.positive()?);
    if index.is_weird() || is_whiteout(index) || is_wrong_type(inode, lower) {
        warn_limited!(
            "bad index found (index={}, ftype={:x}, origin ftype={:x}).\n",
            index.log_name(),
            inode.mode() & S_IFMT,
            lower.mode() & S_IFMT
        );
        return Err(EIO);
    }
    Ok(())
}

/// The entry of a directory has to stand for the upper directory that the name leads to.
#[inline(never)]
fn check_dir(
    ms: &MountState,
    m: &Mounter<'_>,
    index: &Upper<Dentry>,
    upper: Option<&Upper<Dentry>>,
    origin: &Lower<Dentry>,
) -> Result {
    let Some(upper) = upper else {
        warn_limited!(
            "suspected uncovered redirected dir found (origin={}, index={}).\n",
            origin.log_name(),
            index.log_name()
        );
        return Err(EIO);
    };
    verify_upper(ms, m, index, upper).map_err(|error| {
        if error == ESTALE {
            warn_limited!(
                "suspected multiply redirected dir found (upper={}, origin={}, index={}).\n",
                upper.log_name(),
                origin.log_name(),
                index.log_name()
            );
        }
        EIO
    })
}

/// Whether `index` keeps the handle of this upper directory. A failure is logged.
fn verify_upper(
    ms: &MountState,
    m: &Mounter<'_>,
    index: &Upper<Dentry>,
    upper: &Upper<Dentry>,
) -> Result {
    let path = RealPath::upper(ms.upper_mnt()?, index);
    let verified = origin::encode(ms.format(), m, upper.positive()?, true)
        .and_then(|record| origin::verify(ms.format(), m, path, Name::Upper, &record));
    verified.inspect_err(|error| {
        warn_limited!(
            "failed to verify upper ({}, ino={}, err={})\n",
            upper.log_name(),
            upper.inode().map_or(0, |inode| inode.ino()),
            error.to_errno()
        );
    })
}

/// The upper object that an entry stands for; `None`: the entry of a directory does not say which.
/// `connected`: the directory has to be below the root of the layer.
///
/// # Errors
///
/// `ESTALE`: there is no such directory any more; `EIO`: it is none; what the upper layer fails with.
pub(crate) fn upper_of(
    ms: &MountState,
    m: &Mounter<'_>,
    index: &Upper<Dentry>,
    connected: bool,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    if !index.is_dir() {
        return Ok(Some(index.into()));
    }
    let path = RealPath::upper(ms.upper_mnt()?, index);
    let Some(record) = origin::read(ms.format(), m, path, Name::Upper)? else {
        return Ok(None);
    };
    let handle = record.handle().ok_or(ESTALE)?;
    let upper = decode_upper(ms, m, handle, connected)?.ok_or(ESTALE)?;
    if !upper.is_dir() {
        warn_limited!(
            "invalid index upper ({}, upper={}).\n",
            index.log_name(),
            upper.log_name()
        );
        return Err(EIO);
    }
    Ok(Some(upper))
}

/// Decodes the handle of an upper object; `None`: there is no such object any more.
///
/// # Errors
///
/// `EROFS`: there is no upper layer; what that fails with.
pub(crate) fn decode_upper(
    ms: &MountState,
    m: &Mounter<'_>,
    handle: Handle<'_>,
    connected: bool,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    let mnt = ms.upper_mnt()?;
    let with_uuid = ms.format().has_origin_uuid();
    if !capable_dac_read_search()
        || handle.fid.len() > MAX_FID_LEN
        || !handle.belongs_to(&mnt.sb().uuid(), with_uuid)
    {
        return Ok(None);
    }
    let decoded = decode_upper_fh(mnt, m, handle.fid_type, handle.fid, connected)?;
    Ok(decoded.filter(|dentry| !dentry.is_weird()))
}

/// Makes the entry of a lower directory, whose handle is `handle`, when it was copied to `upper`.
///
/// # Errors
///
/// `EIO`: `handle` is empty; what the upper layer fails with; `ENOMEM`.
#[inline(never)]
pub(crate) fn create_dir_entry(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    handle: &Record,
    upper: &Upper<Dentry>,
) -> Result {
    let dir = ms.indexdir().ok_or(EIO)?;
    let name = name_of(handle.handle().ok_or(EIO)?)?;
    let temp = create_temp(ms, m, w, dir, &CreateAttr::with_mode(S_IFDIR))?;
    let made = origin::encode(ms.format(), m, upper.positive()?, true)
        .and_then(|record| origin::store(ms.format(), m, w, &temp, Name::Upper, &record))
        .and_then(|()| {
            w.start_renaming_onto_name(m, dir, &temp, dir, &name, RenameFlags::NONE, false)?
                .commit(m)
        });
    if made.is_err() {
        discard(ms, m, w, dir, &temp);
    }
    made
}

/// Removes the entry of a lower directory, whose handle is `handle`, that was not copied up after
/// all. A failure is logged.
#[cold]
pub(crate) fn remove_dir_entry(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    handle: &Record,
) {
    let removed = || -> Result {
        let dir = ms.indexdir().ok_or(EIO)?;
        let name = name_of(handle.handle().ok_or(EIO)?)?;
        let index = dir.lookup(m, ms.upper_mnt()?, &name)?;
        temp::cleanup(ms, m, w, dir, &index)
    };
    if let Err(error) = removed() {
        warn_limited!(
            "the index keeps the entry of a failed copy-up ({})\n",
            error.to_errno()
        );
    }
}

/// Removes the entry of an object that has lost its last name. A failure is logged.
///
/// With NFS export a whiteout takes its place, so that handles of the object are known to be stale.
#[inline(never)]
pub(crate) fn cleanup(ms: &MountState, m: &Mounter<'_>, dentry: &OvlDentry, inode: &OvlInode) {
    if let Err(error) = try_cleanup(ms, m, inode) {
        pr_err!(
            "cleanup index of '{}' failed ({})\n",
            dentry.log_name(),
            error.to_errno()
        );
    }
}

fn try_cleanup(ms: &MountState, m: &Mounter<'_>, inode: &OvlInode) -> Result {
    let dir = ms.indexdir().ok_or(EIO)?;
    let name = name_of_origin(ms, m, inode.lower_inode().ok_or(EIO)?)?;
    let w = ms.want_write()?;
    let upper = inode.upper_inode().ok_or(EIO)?;
    let links = upper.nlink();
    if !upper.is_dir() && links != 1 {
        warn_limited!(
            "cleanup linked index (ino={}, nlink={})\n",
            upper.ino(),
            links
        );
        // A name was added to the lower object behind our back, and its removal counted. All that is
        // certain are the upper names, without the entry itself.
        inode.set_nlink(links.saturating_sub(1));
        // The number is right for this mount either way.
        let _ = nlink::store(ms, m, &w, inode, Base::Upper);
        return Ok(());
    }
    let index = dir.lookup(m, ms.upper_mnt()?, &name)?;
    if ms.indexes_all() {
        cleanup_and_whiteout(ms, m, &w, dir, &index)
    } else {
        temp::cleanup(ms, m, &w, dir, &index)
    }
}
