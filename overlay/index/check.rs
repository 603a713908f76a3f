// SPDX-License-Identifier: GPL-2.0

//! The index at mount: does it belong to these layers, and which of its entries are still good?
//!
//! The upper root keeps the handle of the topmost lower root as its origin, and the index directory
//! keeps the handle of the upper root: layers that were copied or exchanged are refused (`ESTALE`),
//! as the handles in the index would lead anywhere. Entries that a crash or a change of the layers
//! made useless are removed.
//!
//! Source of the facts: `ovl_get_indexdir` in `fs/overlayfs/super.c`, `ovl_indexdir_cleanup` in
//! `fs/overlayfs/readdir.c`, `ovl_verify_index` in `fs/overlayfs/namei.c`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use super::upper_of;
use crate::vfs::errno::{
    ENODATA,
    ESTALE, //
};
use crate::{
    overlay::{
        dir_cache::{
            list_names,
            NameList, //
        },
        mount::MountState,
        nlink,
        origin::{
            find_by_handle,
            record, //
        },
        temp,
        whiteout::{
            cleanup_and_whiteout,
            is_whiteout, //
        },
        workdir, //
    },
    rules::handle::{
        decode_index_name,
        parse,
        IndexNameError,
        Parsed, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        inode::mode::S_IFMT,
        log::{
            warn_limited, //
            Name as LogName,
        },
        mount::{
            LayerDentry,
            RealPath,
            Upper,
            UpperWrite, //
        }, //
    },
    xattr::{
        marker,
        origin::{
            self,
            Record, //
        },
        Name, //
    },
};

/// Whether the upper root was last used above this topmost lower root; if it never was used with an
/// index, it is from now on.
///
/// # Errors
///
/// `ESTALE`: it was used above another one; what the layers fail with.
#[inline(never)]
pub(crate) fn verify_root(ms: &MountState, m: &Mounter<'_>, w: &UpperWrite<'_>) -> Result {
    let lower = ms.lowers.first().ok_or(EINVAL)?.mnt.root();
    let record = record(ms, m, lower.positive()?)?;
    verify_or_store(ms, m, w, ms.upper_mnt()?.root(), Name::Origin, &record)
}

/// Whether the index directory, which is the work directory by now, belongs to the upper root; if it
/// is new, it does from now on.
///
/// # Errors
///
/// `ESTALE`: it belongs to another one; what the upper layer fails with.
#[inline(never)]
pub(crate) fn verify_dir(ms: &MountState, m: &Mounter<'_>, w: &UpperWrite<'_>) -> Result {
    let dir = ms.workdir()?;
    let mnt = ms.upper_mnt()?;
    let record = origin::encode(ms.format(), m, mnt.root().positive()?, true)?;
    let path = RealPath::upper(mnt, dir);
    // Where old kernels kept it. What counts is below.
    if marker::has_origin(ms.format(), m, path)? {
        if let Err(error) = origin::verify(ms.format(), m, path, Name::Origin, &record) {
            pr_err!(
                "failed to verify index dir 'origin' xattr ({})\n",
                error.to_errno()
            );
        }
    }
    verify_or_store(ms, m, w, dir, Name::Upper, &record)
}

/// Whether `upper` keeps just this record as `name`; one that keeps none gets it.
fn verify_or_store(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    name: Name,
    record: &Record,
) -> Result {
    let path = RealPath::upper(ms.upper_mnt()?, upper);
    match origin::verify(ms.format(), m, path, name, record) {
        Err(error) if error == ENODATA => origin::store(ms.format(), m, w, upper, name, record),
        other => other,
    }
}

/// What an entry turned out to be.
enum Verdict {
    /// It is used, or has to stay.
    Good,
    /// It does not lead to what it says, and is of no use.
    Stale,
    /// What it stood for is gone from the overlay.
    Orphan,
}

/// Removes the entries that are of no use any more, and what operations left there that a crash
/// ended.
///
/// # Errors
///
/// `EINVAL`, `ENODATA`: there is an entry that this module does not understand, which may be from a
/// newer one; what the layers fail with.
#[inline(never)]
pub(crate) fn clean(ms: &MountState, m: &Mounter<'_>, w: &UpperWrite<'_>) -> Result {
    let dir = ms.workdir()?;
    let mnt = ms.upper_mnt()?;
    let names = list_names(m, RealPath::upper(mnt, dir))?;
    // In this order: without the leftovers, the entries of unfinished copies would look like those of
    // removed directories; and what is made in place of an entry may get the name of a leftover.
    remove_unfinished(ms, m, w, &names)?;
    for name in names.iter().filter(|name| is_leftover(name)) {
        let leftover = dir.lookup(m, mnt, name)?;
        workdir::remove_leftover(ms, m, w, dir, &leftover, name)?;
    }
    for name in names.iter().filter(|name| !is_leftover(name)) {
        let index = dir.lookup(m, mnt, name)?;
        let verdict = verify_entry(ms, m, &index, name).inspect_err(|error| {
            complain(&index, name, *error);
        })?;
        match verdict {
            Verdict::Good => {}
            // Handles of the object have to stay stale.
            Verdict::Orphan if ms.config.nfs_export => {
                cleanup_and_whiteout(ms, m, w, dir, &index)?;
            }
            Verdict::Orphan | Verdict::Stale => temp::cleanup(ms, m, w, dir, &index)?,
        }
    }
    Ok(())
}

/// Is this the name of what an operation that did not end left behind?
fn is_leftover(name: &[u8]) -> bool {
    name.first() == Some(&b'#')
}

/// Removes the entries of directories that are among the leftovers: copies of lower ones that were not
/// moved to their place before a crash. In-tree, such an entry makes the mount fail, or the lower
/// directory cannot be looked up any more.
#[inline(never)]
fn remove_unfinished(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    names: &NameList,
) -> Result {
    let (dir, mnt) = (ms.workdir()?, ms.upper_mnt()?);
    let mut unfinished = KVec::new();
    for name in names.iter().filter(|name| is_leftover(name)) {
        let leftover = dir.lookup(m, mnt, name)?;
        if leftover.is_dir() {
            let record = origin::encode(ms.format(), m, leftover.positive()?, true)?;
            unfinished.push(record, GFP_KERNEL)?;
        }
    }
    if unfinished.is_empty() {
        return Ok(());
    }
    for name in names.iter().filter(|name| !is_leftover(name)) {
        let index = dir.lookup(m, mnt, name)?;
        if index.is_dir() && stands_for_any(ms, m, &index, &unfinished)? {
            complain(&index, name, ESTALE);
            temp::cleanup(ms, m, w, dir, &index)?;
        }
    }
    Ok(())
}

/// Does the entry of a directory stand for one of these?
fn stands_for_any(
    ms: &MountState,
    m: &Mounter<'_>,
    index: &Upper<Dentry>,
    uppers: &[Record],
) -> Result<bool> {
    let path = RealPath::upper(ms.upper_mnt()?, index);
    let kept = origin::read(ms.format(), m, path, Name::Upper)?;
    Ok(kept.is_some_and(|kept| uppers.iter().any(|upper| upper.handle() == kept.handle())))
}

/// Says which entry is not good.
#[cold]
#[inline(never)]
fn complain(index: &Dentry, name: &[u8], error: Error) {
    warn_limited!(
        "failed to verify index ({}, ftype={:x}, err={})\n",
        LogName(name),
        index.inode().map_or(0, |inode| inode.mode() & S_IFMT),
        error.to_errno()
    );
}

/// Does the entry stand for what its name says, and is that still part of the overlay?
#[inline(never)]
fn verify_entry(
    ms: &MountState,
    m: &Mounter<'_>,
    index: &Upper<Dentry>,
    name: &[u8],
) -> Result<Verdict> {
    let Some(inode) = index.inode() else {
        return Ok(Verdict::Good);
    };
    let record = record_of_name(name)?;
    if is_whiteout(index) {
        return Ok(Verdict::Good);
    }
    // Looking at directories is expensive, and only file handles need these entries.
    if index.is_dir() && !ms.config.nfs_export {
        return Ok(Verdict::Good);
    }
    let mnt = ms.upper_mnt()?;
    let upper = match upper_of(ms, m, index, false) {
        Ok(Some(upper)) => upper,
        Ok(None) => return Ok(stale(index, name)),
        Err(error) if error == ESTALE => return Ok(orphan(index, name)),
        Err(error) => return Err(error),
    };
    let path = RealPath::upper(mnt, &upper);
    match origin::verify(ms.format(), m, path, Name::Origin, &record) {
        Err(error) if error == ESTALE => return Ok(stale(index, name)),
        other => other?,
    }
    if index.is_dir() || inode.nlink() != 1 {
        return Ok(Verdict::Good);
    }
    // The entry is the only upper name left. Are there lower ones that are not hidden?
    let handle = record.handle().ok_or(EINVAL)?;
    let Some(lower) = find_by_handle(ms, m, handle, path)? else {
        return Ok(stale(index, name));
    };
    let names = nlink::stored(ms, m, lower.dentry.positive()?, path, true)?;
    match names {
        Some(_) => Ok(Verdict::Good),
        None => Ok(orphan(index, name)),
    }
}

/// The record that an entry has as its name.
fn record_of_name(name: &[u8]) -> Result<Record> {
    let mut bytes = KVVec::new();
    decode_index_name(name, &mut bytes).map_err(|error| match error {
        IndexNameError::NoMemory => ENOMEM,
        IndexNameError::Invalid => EINVAL,
    })?;
    match parse(&bytes) {
        Parsed::Valid(_) => Ok(Record::from_bytes(bytes)),
        Parsed::Unsupported => Err(ENODATA),
        Parsed::Empty | Parsed::Invalid => Err(EINVAL),
    }
}

fn stale(index: &Dentry, name: &[u8]) -> Verdict {
    complain(index, name, ESTALE);
    Verdict::Stale
}

fn orphan(index: &Dentry, name: &[u8]) -> Verdict {
    warn_limited!(
        "orphan index entry ({}, ftype={:x}, nlink={})\n",
        LogName(name),
        index.inode().map_or(0, |inode| inode.mode() & S_IFMT),
        index.inode().map_or(0, |inode| inode.nlink())
    );
    Verdict::Orphan
}
