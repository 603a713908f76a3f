// SPDX-License-Identifier: GPL-2.0

//! New names: `create`, `mkdir`, `mknod`, `symlink`, `link`, `O_TMPFILE`.
//!
//! A new object is made in the upper, owned by the caller and labelled as the caller would label
//! it. If a whiteout has the name, the object is made in the work directory and then takes the
//! whiteout's place in one step; a directory is marked opaque before, so that what the whiteout
//! hid stays hidden.
//!
//! Source of the facts: `ovl_create_object`, `ovl_create_or_link`, `ovl_create_upper`,
//! `ovl_create_over_whiteout`, `ovl_link` and `ovl_tmpfile` in `fs/overlayfs/dir.c`.

#![forbid(unsafe_code)]

use super::{
    redirect,
    start_nlink, //
};
use crate::vfs::errno::{
    EOPNOTSUPP,
    ESTALE, //
};
use crate::{
    copy_up::copy_up,
    overlay::{
        instantiate::{
            instantiate_link,
            instantiate_new,
            Parts, //
        },
        mount::MountState,
        object::{
            dir_modified,
            set_impure, //
        },
        open_file::OpenFile,
        temp::{
            create_real,
            create_temp,
            discard,
            CreateAttr, //
        },
        whiteout::upper_is_whiteout,
        Overlay,
        OvlChild,
        OvlDentry,
        OvlInode, //
    },
    vfs::{
        acl::{
            self,
            Acl, //
        },
        cred::{
            with_creator,
            Mounter, //
        },
        dentry::Dentry,
        dirop::RenameFlags,
        file::{
            backing_tmpfile_open,
            TmpFile, //
        },
        inode::{
            mode::{
                S_IFCHR,
                S_IFDIR,
                S_IFLNK,
                S_IFMT,
                S_IFREG, //
            },
            Dev, //
        },
        mount::{
            IdMap,
            LayerDentry,
            RealPath,
            Upper,
            UpperWrite, //
        },
        own::NewInode,
        stat::SetAttr,
    },
    xattr::marker,
};
use kernel::{
    prelude::*,
    str::CStr,
    sync::aref::ARef, //
};

/// The permission bits, with those for set-id and sticky.
const PERMISSIONS: u16 = 0o7777;

/// Makes a regular file. Errors as [`mkdir`].
pub(crate) fn create(idmap: &IdMap, child: OvlChild<'_>, mode: u16) -> Result {
    create_object(
        idmap,
        child,
        mode & PERMISSIONS | S_IFREG,
        Dev::WHITEOUT,
        None,
    )
}

/// Makes a directory.
///
/// `ESTALE` if the upper is not what the overlay knows it to be, `EIO` if a directory must hide
/// something and cannot be marked opaque; otherwise what copying up the parent and the upper file
/// system say.
pub(crate) fn mkdir(idmap: &IdMap, child: OvlChild<'_>, mode: u16) -> Result {
    create_object(
        idmap,
        child,
        mode & PERMISSIONS | S_IFDIR,
        Dev::WHITEOUT,
        None,
    )
}

/// Makes a device node, a fifo or a socket.
///
/// `EPERM` for the device 0:0, which is a whiteout. Other errors as [`mkdir`].
pub(crate) fn mknod(idmap: &IdMap, child: OvlChild<'_>, mode: u16, dev: Dev) -> Result {
    if mode & S_IFMT == S_IFCHR && dev == Dev::WHITEOUT {
        return Err(EPERM);
    }
    create_object(idmap, child, mode, dev, None)
}

/// Makes a symbolic link. Errors as [`mkdir`].
pub(crate) fn symlink(idmap: &IdMap, child: OvlChild<'_>, target: &CStr) -> Result {
    create_object(idmap, child, S_IFLNK, Dev::WHITEOUT, Some(target))
}

/// What gets the new name in the overlay.
enum Subject<'a> {
    /// A new object.
    New(NewInode<'a, Overlay>),
    /// One that has other names.
    Existing(&'a OvlInode),
}

/// Makes an object of any kind.
///
/// The inode is allocated first: it decides the owner, and nothing has to be undone for lack of
/// memory when the object exists.
fn create_object(
    idmap: &IdMap,
    child: OvlChild<'_>,
    mode: u16,
    rdev: Dev,
    link: Option<&CStr>,
) -> Result {
    let sb = child.super_();
    let ms = MountState::of(sb);
    copy_up(child.parent_dentry())?;
    let w = ms.want_write()?;

    let mut new = sb.new_inode()?;
    new.fill(mode, rdev, ms.tables);
    // Nobody finds it by the upper inode before it is complete.
    new.set_creating();
    new.init_owner(idmap, child.parent_inode()?, mode);
    let mut attr = CreateAttr {
        mode: new.mode(),
        rdev,
        link,
        hardlink: None,
    };
    let owner = new.owner();
    let mode = attr.mode;
    ms.with_mounter_and_caller(|m, caller| {
        with_creator(m, caller, &child, owner, mode, |m| {
            give_name(ms, m, &w, child, Subject::New(new), &mut attr)
        })?
    })
}

/// Gives the object `old` one more name.
///
/// Errors as [`mkdir`]; `EXDEV` if the upper does not store where the object's data are.
pub(crate) fn link(old: &OvlDentry, new: OvlChild<'_>) -> Result {
    let ms = MountState::of(old.super_());
    copy_up(old)?;
    copy_up(new.parent_dentry())?;
    let guard = start_nlink(old)?;
    if old.is_metacopy() {
        // The new name has to lead to the data below, too.
        ms.with_mounter(|m| redirect::set_absolute(ms, m, guard.write(), old))?;
    }
    let inode = old.object()?;
    let mut attr = CreateAttr::with_mode(0);
    attr.hardlink = Some(old.upper().ok_or(EIO)?);
    ms.with_mounter(|m| {
        let w = guard.write();
        if old.path_kind().origin {
            set_impure(ms, m, w, new.parent_dentry())?;
        }
        give_name(ms, m, w, new, Subject::Existing(inode), &mut attr)
    })
}

/// Gives the subject its name in the upper and in the overlay.
fn give_name(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    subject: Subject<'_>,
    attr: &mut CreateAttr<'_>,
) -> Result {
    let dir = child.parent_dentry().upper().ok_or(EIO)?;
    let upper = if child.is_whiteout() {
        replace_whiteout(ms, m, w, child, dir, attr)?
    } else {
        create_upper(ms, m, w, child, dir, attr)?
    };
    dir_modified(child.parent_dentry(), false);
    let new = match subject {
        Subject::New(new) => new,
        Subject::Existing(inode) => {
            instantiate_link(&child, inode, &upper);
            return Ok(());
        }
    };
    let mut parts = Parts::of_new(upper);
    instantiate_new(m, &child, new, &mut parts, None).inspect_err(|_| {
        if let Some(upper) = &parts.upper {
            discard(ms, m, w, dir, upper);
        }
    })
}

/// Makes the object at its place, where the upper has nothing.
fn create_upper(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    dir: &Upper<Dentry>,
    attr: &CreateAttr<'_>,
) -> Result<ARef<Upper<Dentry>>> {
    let name = child.name();
    let creating = w.start_creating(m, dir, name)?;
    let upper = create_real(ms, m, w, dir, creating, name, attr)?.keep();
    if upper.is_dir() && child.parent_dentry().path_kind().merge && !ms.allow_offline_changes() {
        // No lower layer has the name. The mark only spares the next lookup to see that.
        let _ = set_opaque(ms, m, w, &child, &upper);
    }
    Ok(upper)
}

/// Makes the object in the work directory and puts it at the place of the whiteout.
fn replace_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    dir: &Upper<Dentry>,
    attr: &mut CreateAttr<'_>,
) -> Result<ARef<Upper<Dentry>>> {
    let workdir = ms.workdir()?;
    // In its own place the object would inherit the ACLs of the directory by itself.
    let acls = match attr.hardlink {
        None => acl::acl_create(child.parent_inode()?, &mut attr.mode)?,
        Some(_) => (None, None),
    };
    let whiteout = dir.lookup(m, ms.upper_mnt()?, child.name())?;
    if whiteout.is_negative() || !upper_is_whiteout(ms, m, &whiteout)? {
        return Err(ESTALE);
    }
    let temp = create_temp(ms, m, w, workdir, attr)?;
    let is_new_dir = attr.hardlink.is_none() && attr.mode & S_IFMT == S_IFDIR;
    match move_over_whiteout(ms, m, w, child, dir, &whiteout, &temp, attr, acls) {
        Ok(()) => {
            if is_new_dir {
                // It was exchanged, and is in the work directory now.
                discard(ms, m, w, workdir, &whiteout);
            }
            Ok(temp)
        }
        Err(error) => {
            discard(ms, m, w, workdir, &temp);
            Err(error)
        }
    }
}

/// Completes `temp` and renames it over the whiteout, with both directories locked.
#[allow(clippy::too_many_arguments, reason = "the steps of one operation")]
#[inline(never)]
fn move_over_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    child: OvlChild<'_>,
    dir: &Upper<Dentry>,
    whiteout: &Upper<Dentry>,
    temp: &Upper<Dentry>,
    attr: &CreateAttr<'_>,
    (default, access): (Option<Acl>, Option<Acl>),
) -> Result {
    let mut renaming =
        w.start_renaming_dentries(m, ms.workdir()?, temp, dir, whiteout, RenameFlags::NONE)?;
    if attr.hardlink.is_none() {
        let kind = attr.mode & S_IFMT;
        // The umask, or the group of the work directory, may have taken bits away.
        if kind != S_IFLNK && temp.positive()?.mode() != attr.mode {
            w.notify_change(m, temp, &mut SetAttr::new().mode(attr.mode))?;
        }
        if let Some(acl) = access {
            w.set_acl(m, temp, acl::NAME_ACCESS, &acl)?;
        }
        if let Some(acl) = default {
            w.set_acl(m, temp, acl::NAME_DEFAULT, &acl)?;
        }
        if kind == S_IFDIR {
            set_opaque(ms, m, w, &child, temp)?;
            renaming.set_flags(RenameFlags::EXCHANGE);
        }
    }
    renaming.commit(m)
}

/// Marks a directory of the upper, which is or becomes that of `dentry`, so that it hides what is
/// below. `EIO` if the upper has no xattrs.
pub(super) fn set_opaque(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
    upper: &Upper<Dentry>,
) -> Result {
    set_opaque_or(ms, m, w, dentry, upper, EIO)
}

/// [`set_opaque`] with another error for an upper that has no xattrs.
pub(super) fn set_opaque_or(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dentry: &OvlDentry,
    upper: &Upper<Dentry>,
    unsupported: Error,
) -> Result {
    marker::set_opaque(ms.format(), m, w, upper, unsupported)?;
    dentry.set_opaque();
    Ok(())
}

/// Makes a file without a name in the directory `dir` and opens it.
///
/// `EOPNOTSUPP` if the upper cannot; `EIO` if the new real file turns out to be one that the
/// overlay knows already; otherwise what copying up the directory and the upper file system say.
pub(crate) fn tmpfile(
    idmap: &IdMap,
    dir: &OvlInode,
    file: TmpFile<'_, Overlay>,
    mode: u16,
) -> Result {
    let child = file.child();
    let sb = child.super_();
    let ms = MountState::of(sb);
    if !ms.tmpfile {
        return Err(EOPNOTSUPP);
    }
    copy_up(child.parent_dentry())?;
    let w = ms.want_write()?;
    let mut new = sb.new_inode()?;
    new.fill(mode, Dev::WHITEOUT, ms.tables);
    new.init_owner(idmap, dir, mode);

    let mode = new.mode();
    let owner = new.owner();
    let open = ms.with_mounter_and_caller(|m, caller| {
        with_creator(m, caller, &child, owner, mode, |m| -> Result<_> {
            let mnt = ms.upper_mnt()?;
            let parent = child.parent_dentry().upper().ok_or(EIO)?;
            let path = RealPath::upper(mnt, parent);
            let real = backing_tmpfile_open(&file, m, path, mode)?;
            let upper = mnt.tmpfile_dentry(&real)?;
            let open = OpenFile::new(real)?;
            instantiate_new(m, &child, new, &mut Parts::of_new(upper), Some(&file))?;
            Ok(open)
        })?
    })?;
    let finished = file.finish(open);
    drop(w);
    finished
}
