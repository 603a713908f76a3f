// SPDX-License-Identifier: GPL-2.0

//! Copy-up of everything but data: xattrs, ACLs, file flags, owner, mode, times, and the handle
//! that leads back to the original.
//!
//! Source of the facts: `ovl_copy_xattr`, `ovl_copy_acl`, `ovl_copy_fileattr`, `ovl_set_attr`,
//! and `ovl_copy_up_metadata` in
//! `fs/overlayfs/copy_up.c`, `ovl_set_protattr` in `fs/overlayfs/util.c`.

#![forbid(unsafe_code)]

use super::Job;
use crate::vfs::errno::{
    ENODATA,
    EOPNOTSUPP, //
};
use crate::{
    overlay::{
        lowerdata,
        mount::MountState,
        OvlInode, //
    },
    rules::protattr::ProtAttr,
    vfs::{
        acl::AclKind,
        cred::{
            security_copy_up_xattr,
            Mounter, //
        },
        dentry::Dentry,
        dirop::UpperInodeLock,
        file::{
            self,
            oflags::{
                O_LARGEFILE,
                O_RDONLY, //
            },
        },
        inode::{
            iflag,
            FileType, //
        },
        log::warn_limited,
        mount::{
            RealPath,
            Upper,
            UpperWrite,
            CHANGES, //
        },
        stat::{
            fsflag::{
                FS_APPEND_FL,
                FS_IMMUTABLE_FL,
                FS_NOATIME_FL,
                FS_SYNC_FL,
                FS_XFLAG_APPEND,
                FS_XFLAG_IMMUTABLE,
                FS_XFLAG_NOATIME,
                FS_XFLAG_SYNC, //
            },
            FileAttr,
            SetAttr,
            Stat, //
        },
        store::set_len,
        verity::Digest, //
    },
    xattr::{
        check_set,
        is_private,
        metacopy,
        origin::{
            self,
            Record, //
        },
        Name, //
    },
};
use kernel::{
    prelude::*,
    str::CStr, //
};

/// File capabilities.
const CAPS: &[u8] = b"security.capability";
/// The same as the kernel wants it.
const CAPS_NAME: &CStr = c"security.capability";

/// Room for the value of an xattr before it is known to be longer.
const FIRST_VALUE: usize = 256;

/// Inode flags that come from the real file's flags: without one, those need no look.
const FLAGS_OF_FILEATTR: u32 = iflag::APPEND | iflag::IMMUTABLE | iflag::SYNC | iflag::NOATIME;

/// Flags of `chattr` that the copy gets.
const COPIED: u32 = FS_SYNC_FL | FS_NOATIME_FL;
/// The same in the other notation.
const XCOPIED: u32 = FS_XFLAG_SYNC | FS_XFLAG_NOATIME;
/// Flags of `chattr` that the copy cannot have: it could not get a name, nor our xattrs.
const PROTECTED: u32 = FS_APPEND_FL | FS_IMMUTABLE_FL;
/// The same in the other notation.
const XPROTECTED: u32 = FS_XFLAG_APPEND | FS_XFLAG_IMMUTABLE;

/// Copies everything but data to `to`, which nobody can see yet. The copy is complete after this,
/// and on the disk if the mount wants that. Says whether it has a digest of the data that stays
/// below.
#[inline(never)]
pub(super) fn copy(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    to: &Upper<Dentry>,
    origin: Option<&Record>,
) -> Result<bool> {
    let path = RealPath::upper(job.ms.upper_mnt()?, to);
    let kind = job.file_type();
    let has_flags = matches!(kind, FileType::Regular | FileType::Directory);

    copy_xattr(job.ms, m, w, job.lower, to)?;
    if has_flags && job.inode.flags() & FLAGS_OF_FILEATTR != 0 {
        copy_fileattr(job, m, w, to)?;
    }
    // A hard link that is broken has no original that is its own.
    if let Some(origin) = origin {
        origin::set(job.ms.format(), m, w, to, origin)?;
    }
    let has_digest = job.metacopy && mark_metacopy(job, m, w, to)?;
    {
        let locked = w.lock_inode(to)?;
        if kind == FileType::Regular {
            locked.notify_change(m, &mut SetAttr::new().size(job.stat.size()))?;
        }
        set_attr_locked(m, &locked, job.stat)?;
    }
    if job.sync_metadata && job.ms.should_sync() {
        file::fsync(&*path.open(m, O_LARGEFILE | O_RDONLY)?, false)?;
    }
    Ok(has_digest)
}

/// Says in `to` that the data is below, with the digest of that if it is to be kept.
#[inline(never)]
fn mark_metacopy(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    to: &Upper<Dentry>,
) -> Result<bool> {
    let data = job.inode.lowerdata_path(job.ms).ok_or(EIO)?;
    let mut digest = Digest::empty();
    let known = lowerdata::digest_to_keep(job.ms, m, data, &mut digest)?;
    metacopy::set(job.ms.format(), m, w, to, known.then_some(&digest))?;
    Ok(known)
}

/// The file capabilities of an object of the upper, which a write would remove.
pub(super) fn read_caps(m: &Mounter<'_>, path: RealPath<'_>) -> Result<Option<KVVec<u8>>> {
    let mut value = KVVec::new();
    match read_value(m, path, CAPS_NAME, &mut value) {
        Ok(0) => Ok(None),
        Ok(len) => {
            value.truncate(len);
            Ok(Some(value))
        }
        Err(error) if is_no_capability(error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Gives an object of the upper the file capabilities back that it had.
pub(super) fn restore_caps(
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    to: &Upper<Dentry>,
    caps: &[u8],
) -> Result {
    w.set_xattr(m, to, CAPS_NAME, caps, 0)
}

/// Copies the xattrs of an object of any layer to an object of the upper, all but our own.
///
/// ACLs are translated if the layer's mount maps ids. An xattr that the upper refuses as a kind
/// (`EOPNOTSUPP`) is left out, unless it is an ACL or belongs to a security module; so is one that
/// goes away meanwhile. `EIO` if a value changes while it is read, `ERANGE` if the list of names
/// keeps growing.
pub(crate) fn copy_xattr(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    from: RealPath<'_>,
    to: &Upper<Dentry>,
) -> Result {
    if !from.inode()?.has_listxattr() || !to.positive()?.has_listxattr() {
        return Ok(());
    }
    let mut names = KVVec::new();
    match from.listxattr(m, &mut names) {
        Err(error) if error == EOPNOTSUPP => return Ok(()),
        other => other?,
    };
    let mut value = KVVec::new();
    let mut rest: &[u8] = &names;
    while !rest.is_empty() {
        let (bytes, name, after) = split_name(rest)?;
        rest = after;
        if !is_private(ms.format(), bytes) && security_copy_up_xattr(m, from.dentry(), name)? {
            copy_one_xattr(m, w, from, to, (bytes, name), &mut value)?;
        }
    }
    Ok(())
}

/// The first name of a list, without and with its NUL, and what follows. `EIO` if no NUL ends it.
fn split_name(list: &[u8]) -> Result<(&[u8], &CStr, &[u8])> {
    let mut parts = list.splitn(2, |&byte| byte == 0);
    let (bytes, after) = (parts.next().ok_or(EIO)?, parts.next().ok_or(EIO)?);
    let name = CStr::from_bytes_until_nul(list).map_err(|_| EIO)?;
    Ok((bytes, name, after))
}

/// Copies one xattr, its name given in both forms; `value` is storage that the next call may use
/// again.
fn copy_one_xattr(
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    from: RealPath<'_>,
    to: &Upper<Dentry>,
    (bytes, name): (&[u8], &CStr),
    value: &mut KVVec<u8>,
) -> Result {
    if let Some(kind) = AclKind::from_name(bytes) {
        return copy_acl(m, w, from, to, kind);
    }
    let mut more_tries = CHANGES;
    let len = loop {
        match read_value(m, from, name, value) {
            // An empty one reads as invalid and gives no capability.
            Err(error) if bytes == CAPS && is_no_capability(error) => return Ok(()),
            // It was listed; it may have been removed since then, or even be back by now.
            Err(error) if error == ENODATA && more_tries > 0 => {
                if !is_listed(m, from, bytes)? {
                    return Ok(());
                }
                more_tries = more_tries.saturating_sub(1);
            }
            other => break other?,
        }
    };
    match w.set_xattr(m, to, name, value.get(..len).ok_or(EIO)?, 0) {
        Err(error) if error == EOPNOTSUPP && !bytes.starts_with(b"security.") => Ok(()),
        other => other,
    }
}

/// Is there an xattr of this name in the list?
#[cold]
fn is_listed(m: &Mounter<'_>, from: RealPath<'_>, wanted: &[u8]) -> Result<bool> {
    let mut names = KVVec::new();
    from.listxattr(m, &mut names)?;
    Ok(names.split(|&byte| byte == 0).any(|name| name == wanted))
}

/// What reading file capabilities says if there are none.
fn is_no_capability(error: Error) -> bool {
    error == ENODATA || error == EOPNOTSUPP || error == EINVAL
}

/// Reads an xattr that was listed, and returns its length; `value` is as long or longer. `EIO` if
/// the xattr changes meanwhile.
fn read_value(
    m: &Mounter<'_>,
    from: RealPath<'_>,
    name: &CStr,
    value: &mut KVVec<u8>,
) -> Result<usize> {
    if value.len() < FIRST_VALUE {
        set_len(value, FIRST_VALUE)?;
    }
    match from.getxattr_raw(m, name, value) {
        Err(error) if error == ERANGE => {}
        other => return other,
    }
    let len = from.getxattr_raw(m, name, &mut [])?;
    if len <= value.len() {
        return Err(EIO);
    }
    set_len(value, len)?;
    from.getxattr_raw(m, name, value)
        .map_err(|error| if error == ERANGE { EIO } else { error })
}

/// Copies an ACL. A layer that has none, or knows of none, is no error; an upper that refuses it is.
fn copy_acl(
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    from: RealPath<'_>,
    to: &Upper<Dentry>,
    kind: AclKind,
) -> Result {
    match from.get_acl(m, kind.xattr_name()) {
        // The copy is for the upper: it writes the ids that it stores into what it is given.
        Ok(Some(acl)) => {
            let seen = acl.seen_through(from.idmap(), from.inode()?)?;
            w.set_acl(m, to, kind.xattr_name(), &seen.clone_mut()?)
        }
        Ok(None) => Ok(()),
        Err(error) if error == ENODATA || error == EOPNOTSUPP => Ok(()),
        Err(error) => Err(error),
    }
}

/// Copies the flags of `lsattr` that we keep: the real flags where the upper can carry them, our
/// own mark for those that would make the copy immutable before it is done.
#[inline(never)]
fn copy_fileattr(job: &Job<'_>, m: &Mounter<'_>, w: &UpperWrite<'_>, to: &Upper<Dentry>) -> Result {
    let mut old = FileAttr::for_flags();
    if !get_fileattr(m, job.lower, &mut old, "lower")? {
        return Ok(());
    }
    if old.flags() & PROTECTED != 0 {
        match set_protattr(job.ms, m, w, job.inode, to, &mut old) {
            Err(error) if error == EPERM => {
                warn_limited!("copying fileattr: no xattr on upper\n");
            }
            other => other?,
        }
    }
    if old.flags() & COPIED == 0 {
        return Ok(());
    }
    let mut new = FileAttr::for_flags();
    if !get_fileattr(
        m,
        RealPath::upper(job.ms.upper_mnt()?, to),
        &mut new,
        "upper",
    )? {
        warn_limited!("copying fileattr: no support on upper\n");
        return Ok(());
    }
    new.set_flags(new.flags() & !COPIED | old.flags() & COPIED);
    new.set_xflags(new.xflags() & !XCOPIED | old.xflags() & XCOPIED);
    w.fileattr_set(m, to, &mut new)
}

/// Reads the flags; false if the file system has none. `what` names the layer in the log.
fn get_fileattr(
    m: &Mounter<'_>,
    path: RealPath<'_>,
    attr: &mut FileAttr,
    what: &str,
) -> Result<bool> {
    match path.fileattr_get(m, attr) {
        Ok(()) => Ok(true),
        // NTFS in user space says the latter.
        Err(error) if error == ENOTTY || error == EINVAL => Ok(false),
        Err(error) => {
            pr_warn!(
                "failed to retrieve {} fileattr ({}, err={})\n",
                what,
                path.dentry().log_name(),
                error.to_errno()
            );
            Err(error)
        }
    }
}

/// Keeps the immutable and append-only flags of `attr` in our own mark on the upper object, sets
/// them on `inode`, and takes them out of `attr`.
///
/// Without these flags a mark that is there is removed. `EPERM` if flags are set and the upper
/// has no xattrs.
pub(crate) fn set_protattr(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    inode: &OvlInode,
    upper: &Upper<Dentry>,
    attr: &mut FileAttr,
) -> Result {
    let protection = ProtAttr {
        append: attr.flags() & FS_APPEND_FL != 0,
        immutable: attr.flags() & FS_IMMUTABLE_FL != 0,
    };
    let mask = iflag::APPEND | iflag::IMMUTABLE;
    let value = protection.value();
    if !value.is_empty() {
        check_set(ms.format(), m, w, upper, Name::Protattr, value, Err(EPERM))?;
    } else if inode.flags() & mask != 0 {
        match w.remove_xattr(m, upper, ms.xattr(Name::Protattr)) {
            Err(error) if error == EOPNOTSUPP || error == ENODATA => {}
            other => other?,
        }
    }
    let mut flags = 0;
    if protection.append {
        flags |= iflag::APPEND;
    }
    if protection.immutable {
        flags |= iflag::IMMUTABLE;
    }
    inode.set_flags(flags, mask);
    attr.set_flags(attr.flags() & !PROTECTED);
    attr.set_xflags(attr.xflags() & !XPROTECTED);
    Ok(())
}

/// Gives an object of the upper the mode, owner and times of `stat`.
///
/// That the times cannot be set is no error. A symbolic link has no mode to set.
pub(crate) fn set_attr(
    _ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    to: &Upper<Dentry>,
    stat: &Stat,
) -> Result {
    set_attr_locked(m, &w.lock_inode(to)?, stat)
}

/// [`set_attr`] with the inode lock held.
fn set_attr_locked(m: &Mounter<'_>, locked: &UpperInodeLock<'_>, stat: &Stat) -> Result {
    if FileType::from_mode(stat.mode()) != FileType::Symlink {
        locked.notify_change(m, &mut SetAttr::new().mode(stat.mode()))?;
    }
    locked.notify_change(m, &mut SetAttr::new().owner_of(stat))?;
    // The copy is right without them.
    let _ = locked.notify_change(m, &mut SetAttr::new().times_of(stat));
    Ok(())
}
