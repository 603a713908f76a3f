// SPDX-License-Identifier: GPL-2.0

//! Attributes: `->getattr`, `->setattr`, `->update_time`, `->fiemap` and the file flags of
//! `lsattr` and `chattr`.
//!
//! Source of the facts: `ovl_getattr`, `ovl_setattr`, `ovl_update_time`, `ovl_fiemap`,
//! `ovl_fileattr_get` and `ovl_fileattr_set` in `fs/overlayfs/inode.c`; "Inode properties" in
//! `Documentation/filesystems/overlayfs.rst`.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::{
    copy_up,
    overlay::{
        identity,
        mount::MountState,
        object::ObjFlag,
        OvlDentry,
        OvlInode, //
    },
    rules,
    vfs::{
        inode::iflag,
        mount::IdMap,
        stat::{
            attr,
            fsflag,
            AttrChange,
            FileAttr,
            Stat,
            STATX_BLOCKS,
            STATX_INO,
            STATX_NLINK, //
        },
        vtable::FiemapInfo, //
    },
};

/// The flags of an inode that `overlay.protattr` keeps for an upper inode.
const PROTECTED: u32 = iflag::APPEND | iflag::IMMUTABLE;

/// The flags of a real inode that its overlay inode shows.
const SHOWN: u32 = PROTECTED | iflag::SYNC | iflag::NOATIME | iflag::CASEFOLD;

/// Fills `stat` for `stat(2)`.
///
/// Everything is the real object's, except for what must stay the same over a copy-up or be unique
/// in the mount: device and inode number come from [`identity`], the space is that of the data, and
/// a merged directory has one link, which tells `find` that the number of its subdirectories is
/// unknown.
///
/// # Errors
///
/// Whatever the layers answer.
pub(crate) fn getattr(
    idmap: &IdMap,
    dentry: &OvlDentry,
    stat: &mut Stat,
    mask: u32,
    flags: u32,
) -> Result {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let kind = inode.path_kind();
    let is_dir = inode.is_dir();
    let real = inode.real_path(ms)?;
    let mut elsewhere = inode.is_metacopy();

    ms.with_mounter(|m| real.getattr_nosec(m, stat, mask, flags))?;
    // The overlay inode knows of protection flags that the real one must not carry.
    stat.fill_attr(inode);

    let mut fsid = 0;
    if rules::identity::asks_origin(ms.space(), is_dir) {
        if !kind.upper {
            fsid = inode.lower_fsid(ms)?;
        } else if kind.origin {
            if let Some(ino) = origin_ino(ms, inode, stat, &mut elsewhere, flags)? {
                fsid = inode.lower_fsid(ms)?;
                stat.set_ino(ino);
            }
        }
        if elsewhere {
            let blocks = data_blocks(ms, inode, stat, flags)?;
            stat.set_blocks(blocks);
        }
    }
    identity::map_dev_ino(ms, inode, stat, fsid);

    if is_dir && kind.merge {
        stat.set_nlink(1);
    }
    // The link count of an indexed object covers lower links that were not copied up.
    if !is_dir && inode.flag(ObjFlag::Index) {
        stat.set_nlink(inode.nlink());
    }
    stat.map_owner(idmap, inode);
    Ok(())
}

/// The inode number of the lower object that `inode` was copied up from, if it is the one to show.
///
/// If that object has the data (`elsewhere`), its space goes to `shown`, which saves a query.
///
/// A function of its own, so that most calls of [`getattr`] do without its stack frame.
#[inline(never)]
fn origin_ino(
    ms: &MountState,
    inode: &OvlInode,
    shown: &mut Stat,
    elsewhere: &mut bool,
    flags: u32,
) -> Result<Option<u64>> {
    let is_dir = inode.is_dir();
    let mask = if is_dir {
        STATX_INO
    } else {
        STATX_INO | STATX_NLINK | STATX_BLOCKS
    };
    let lower = inode.lower_path(ms).ok_or(EIO)?;
    let mut stat = Stat::zeroed();
    ms.with_mounter(|m| lower.getattr_nosec(m, &mut stat, mask, flags))?;
    if *elsewhere && inode.lowers().len() == 1 {
        shown.set_blocks(stat.blocks());
        *elsewhere = false;
    }
    let by_origin = rules::identity::use_origin(
        inode.flag(ObjFlag::Index),
        ms.verify_lower(),
        is_dir,
        stat.nlink(),
    );
    Ok(by_origin.then(|| stat.ino()))
}

/// The space that the data takes up, of a file that shows other metadata. If the data was not
/// looked for yet, a guess: that is not worth a search.
#[inline(never)]
fn data_blocks(ms: &MountState, inode: &OvlInode, shown: &Stat, flags: u32) -> Result<u64> {
    let Some(data) = inode.lowerdata_path(ms) else {
        return Ok(shown.blocks_of_size());
    };
    let mut stat = Stat::zeroed();
    ms.with_mounter(|m| data.getattr_nosec(m, &mut stat, STATX_BLOCKS, flags))?;
    Ok(stat.blocks())
}

/// Changes attributes, after a copy-up. A new size copies the data up as well.
///
/// The caller holds the overlay inode's lock.
///
/// # Errors
///
/// `EPERM` and the like if the caller may not; `ETXTBSY` if the size of a running program is to
/// change; those of the copy-up and of the upper layer.
pub(crate) fn setattr(idmap: &IdMap, dentry: &OvlDentry, change: &mut AttrChange) -> Result {
    change.prepare(idmap, dentry)?;
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    // The upper layer knows nothing of the mapping of the overlay's mount.
    change.rebase_owner(idmap, inode);

    let resizes = change.has(attr::SIZE);
    if resizes {
        copy_up::copy_up_with_data(dentry)?;
    } else {
        copy_up::copy_up(dentry)?;
    }
    let upper = inode.upper().ok_or(EIO)?;
    let _writer = if resizes {
        Some(upper.positive()?.write_access()?)
    } else {
        None
    };

    // The upper file system works out the new mode itself.
    if change.has(attr::KILL_SUID | attr::KILL_SGID) {
        change.remove(attr::MODE);
    }
    // The open file is the overlay's, unknown to the upper file system. And the upper file was not
    // opened with O_TRUNC, so no file system may conclude that it is empty already.
    change.remove(attr::FILE | attr::OPEN);

    let write = ms.want_write()?;
    let locked = write.lock_inode(upper)?;
    ms.with_mounter(|m| locked.notify_change_raw(m, change))?;
    inode.copy_attr();
    Ok(())
}

/// Updates the access time, of the upper object only: lower layers are not written.
///
/// Modification and change times are the business of the upper file system. `atime`: the access
/// time is meant; `nowait`: the caller must not block.
///
/// # Errors
///
/// `EAGAIN`: it might block.
pub(crate) fn update_time(inode: &OvlInode, atime: bool, nowait: bool) -> Result {
    if !atime {
        return Ok(());
    }
    let ms = MountState::of(inode.super_());
    let Some(upper) = inode.upper_path(ms) else {
        return Ok(());
    };
    if nowait {
        return Err(EAGAIN);
    }
    upper.touch_atime();
    inode.copy_atime_from(upper.inode()?);
    Ok(())
}

/// Where the data of a file lies on its device, as the file system that holds the data says.
///
/// # Errors
///
/// `EOPNOTSUPP`: the layer's file system cannot say.
pub(crate) fn fiemap(inode: &OvlInode, info: &mut FiemapInfo<'_>, start: u64, len: u64) -> Result {
    let ms = MountState::of(inode.super_());
    let real = inode.real_data_path(ms)?;
    ms.with_mounter(|m| real.fiemap(m, info, start, len))
}

/// The flags that `lsattr` shows: the real object's, and the protection that the overlay keeps.
///
/// # Errors
///
/// `ENOTTY`: the layer's file system has no such flags.
pub(crate) fn fileattr_get(dentry: &OvlDentry, shown: &mut FileAttr) -> Result {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let real = inode.real_path(ms)?;
    let result = ms.with_mounter(|m| real.fileattr_get(m, shown));

    let flags = inode.flags();
    if flags & iflag::APPEND != 0 {
        shown.set_flags(shown.flags() | fsflag::FS_APPEND_FL);
        shown.set_xflags(shown.xflags() | fsflag::FS_XFLAG_APPEND);
    }
    if flags & iflag::IMMUTABLE != 0 {
        shown.set_flags(shown.flags() | fsflag::FS_IMMUTABLE_FL);
        shown.set_xflags(shown.xflags() | fsflag::FS_XFLAG_IMMUTABLE);
    }
    result
}

/// Sets the flags that `chattr` changes, after a copy-up.
///
/// Append-only and immutable go to the `protattr` xattr: on the upper inode itself they would stop
/// the overlay from linking, renaming or copying up below it.
///
/// # Errors
///
/// `EPERM`: a protection flag on an upper layer without xattrs; those of the copy-up and of the
/// upper layer.
pub(crate) fn fileattr_set(_idmap: &IdMap, dentry: &OvlDentry, wanted: &mut FileAttr) -> Result {
    copy_up::copy_up(dentry)?;
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    let upper = inode.upper().ok_or(EIO)?;

    let write = ms.want_write()?;
    let result = ms.with_mounter(|m| {
        copy_up::meta::set_protattr(ms, m, &write, inode, upper, wanted)?;
        write.fileattr_set(m, upper, wanted)
    });
    drop(write);

    // Also after an error: a part of the change may have happened.
    let real = upper.positive()?.flags() & SHOWN;
    inode.set_flags(real | inode.flags() & PROTECTED, SHOWN);
    inode.copy_attr();
    result
}
