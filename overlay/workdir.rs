// SPDX-License-Identifier: GPL-2.0

//! The work directory: how it is made at mount, and what it tells about the upper file system.
//!
//! The user names a directory with `workdir=`; in it we make `work`, empty and closed to
//! everyone, and remove what an earlier mount left there. Everything here runs at mount, before
//! anyone can use it.
//!
//! Source of the facts: `ovl_workdir_create`, `ovl_make_workdir`, `ovl_check_rename_whiteout` and
//! `ovl_create_volatile_dirty` in `fs/overlayfs/super.c`, `ovl_workdir_cleanup` and
//! `ovl_check_d_type_supported` in `fs/overlayfs/readdir.c`.

#![forbid(unsafe_code)]

use super::{
    dir_cache::{
        d_type_supported,
        list_names, //
    },
    mount::MountState,
    temp::{
        cleanup,
        create_real,
        create_temp,
        discard,
        fresh_name,
        CreateAttr, //
    },
    whiteout::is_whiteout,
};
use crate::vfs::errno::{
    ENODATA,
    EOPNOTSUPP, //
};
use crate::{
    vfs::{
        acl,
        cred::Mounter,
        dentry::Dentry,
        dirop::RenameFlags,
        inode::mode::{
            S_IFDIR,
            S_IFREG, //
        },
        log,
        mount::{
            LayerDentry,
            Path,
            RealPath,
            Upper,
            UpperWrite, //
        },
        stat::SetAttr,
    },
    xattr::Name,
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The name of the directory for temporary objects, inside the directory the user named.
pub(crate) const WORK: &[u8] = b"work";

/// The name of the directory that takes its place on a mount with an index.
pub(crate) const INDEX: &[u8] = b"index";

/// What is below `work/incompat` forbids the mount: features that we do not have were used.
const INCOMPAT: &[u8] = b"incompat";

/// The directory that the user named with `workdir=`. `EROFS` if there is none.
fn base(ms: &MountState) -> Result<&Upper<Dentry>> {
    let base = ms.upper.as_ref().and_then(|upper| upper.base.as_ref());
    base.map(|base| &*base.dentry).ok_or(EROFS)
}

/// Makes the directory `name` for our own use in the directory that the user named.
///
/// With `persist`, one that exists is used as it is; otherwise it is removed first, with its
/// contents, and made anew. `None` means that it could not be made: the log says why, and the
/// mount goes on read-only. `EINVAL` means that the mount must be refused.
pub(crate) fn create(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    name: &[u8],
    persist: bool,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    match make_anew(ms, m, w, name, persist) {
        Ok(dir) => Ok(Some(dir)),
        Err(Failure::Refuse) => Err(EINVAL),
        Err(Failure::ReadOnly(error)) => {
            pr_warn!(
                "failed to create directory {}/{} (errno: {}); mounting read-only\n",
                log::Name(shown_base(ms)),
                log::Name(name),
                error.to_errno().saturating_neg()
            );
            Ok(None)
        }
    }
}

/// That directory as the user wrote it.
fn shown_base(ms: &MountState) -> &[u8] {
    let name = ms.names.work.as_deref().unwrap_or(c"");
    let bytes = name.to_bytes_with_nul();
    bytes.strip_suffix(b"\0").unwrap_or(bytes)
}

/// Why there is no work directory.
enum Failure {
    /// It holds the mark of a feature that we do not have.
    Refuse,
    /// It cannot be made or emptied.
    ReadOnly(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::ReadOnly(error)
    }
}

/// Makes the directory, after one attempt to remove what is there.
fn make_anew(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    name: &[u8],
    persist: bool,
) -> Result<ARef<Upper<Dentry>>, Failure> {
    let base = base(ms)?;
    let mut creating = w.start_creating(m, base, name)?;
    if creating.is_positive() {
        let old = creating.keep();
        if persist {
            return Ok(old);
        }
        // Any other failure shows when the directory is still there.
        if let Err(error) = empty_and_remove(ms, m, w, base, &old, name, Depth::Top) {
            if error == EINVAL {
                return Err(Failure::Refuse);
            }
        }
        drop(old);
        creating = w.start_creating(m, base, name)?;
        if creating.is_positive() {
            return Err(Failure::ReadOnly(EEXIST));
        }
    }
    let dir = creating.mkdir(m, S_IFDIR)?.keep();
    // kernfs returns a negative dentry that is hashed.
    if dir.is_negative() {
        return Err(Failure::ReadOnly(EINVAL));
    }
    // What the directory inherited must not decide who may do what in ours.
    for name in [acl::NAME_DEFAULT, acl::NAME_ACCESS] {
        match w.remove_acl(m, &dir, name) {
            Err(error) if error != ENODATA && error != EOPNOTSUPP => {
                return Err(Failure::ReadOnly(error))
            }
            _ => {}
        }
    }
    w.notify_change(m, &dir, &mut SetAttr::new().mode(S_IFDIR))?;
    Ok(dir)
}

/// How deep below the directory that the user named an object is. Deeper than this we do not go:
/// nothing of ours is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// The work directory itself.
    Top,
    /// In the work directory.
    Inside,
    /// In a directory of the work directory: removed only if it is empty or not a directory.
    Bottom,
}

impl Depth {
    /// The depth of what is in a directory of this depth.
    fn below(self) -> Self {
        match self {
            Self::Top => Self::Inside,
            Self::Inside | Self::Bottom => Self::Bottom,
        }
    }
}

/// Removes a leftover and, down to [`Depth::Bottom`], what is in it.
///
/// `EINVAL` if it is `work/incompat` and not empty. An object that cannot be removed is logged
/// and left, which is no error here.
fn empty_and_remove(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    parent: &Upper<Dentry>,
    dentry: &Upper<Dentry>,
    name: &[u8],
    depth: Depth,
) -> Result {
    if !dentry.is_dir() || depth == Depth::Bottom {
        return cleanup(ms, m, w, parent, dentry);
    }
    if w.start_removing_dentry(m, parent, dentry)?.rmdir(m).is_ok() {
        return Ok(());
    }
    remove_contents(ms, m, w, dentry, name, depth)?;
    cleanup(ms, m, w, parent, dentry)
}

/// Removes what an operation that did not end left in our directory; errors as [`empty_and_remove`].
pub(super) fn remove_leftover(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    dentry: &Upper<Dentry>,
    name: &[u8],
) -> Result {
    empty_and_remove(ms, m, w, dir, dentry, name, Depth::Inside)
}

/// Removes what is in the directory `dir` of the name `name`; errors as [`empty_and_remove`].
#[inline(never)]
fn remove_contents(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    name: &[u8],
    depth: Depth,
) -> Result {
    let mnt = ms.upper_mnt()?;
    let names = list_names(m, RealPath::upper(mnt, dir))?;
    for child_name in names.iter() {
        if depth == Depth::Inside && name == INCOMPAT {
            return Err(refuse_incompat(child_name));
        }
        // What cannot be looked up stays, and keeps its directory from being removed.
        let Ok(child) = dir.lookup(m, mnt, child_name) else {
            continue;
        };
        if !child.is_negative() {
            empty_and_remove(ms, m, w, dir, &child, child_name, depth.below())?;
        }
    }
    Ok(())
}

/// Says why the mount is refused.
#[cold]
#[inline(never)]
fn refuse_incompat(feature: &[u8]) -> Error {
    pr_err!(
        "overlay with incompat feature '{}' cannot be mounted\n",
        log::Name(feature)
    );
    EINVAL
}

/// Does the upper file system say in a directory listing what kind an entry is?
///
/// Needs a directory that is not empty, which `work`, the user's, is once ours is in it. Without
/// it, whiteouts show. Read on the user's mount: a security module may know that one's paths only.
#[inline(never)]
pub(crate) fn check_d_type(m: &Mounter<'_>, work: &Path) -> Result<bool> {
    d_type_supported(m, RealPath::named(work))
}

/// Can the upper file system make a file without a name?
#[inline(never)]
pub(crate) fn check_tmpfile(ms: &MountState, m: &Mounter<'_>, w: &UpperWrite<'_>) -> bool {
    ms.workdir()
        .and_then(|workdir| w.tmpfile(m, workdir, S_IFREG))
        .is_ok()
}

/// Can the upper file system leave a whiteout where it moved an object away?
///
/// Tries it with a file in the work directory. An error other than `EINVAL` of the rename itself
/// fails the mount.
#[inline(never)]
pub(crate) fn check_rename_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
) -> Result<bool> {
    let workdir = ms.workdir()?;
    let temp = create_temp(ms, m, w, workdir, &CreateAttr::with_mode(S_IFREG))?;
    pin_init::stack_pin_init!(let old_name = temp.name_snapshot());
    let mut renaming = w.start_renaming_onto_name(
        m,
        workdir,
        &temp,
        workdir,
        fresh_name().as_bytes(),
        RenameFlags::WHITEOUT,
        false,
    )?;
    let renamed = renaming.commit(m);
    drop(renaming);

    let supported = match renamed {
        Ok(()) => find_whiteout(ms, m, w, workdir, old_name.name()),
        Err(error) if error == EINVAL => Ok(false),
        Err(error) => Err(error),
    };
    discard(ms, m, w, workdir, &temp);
    supported
}

/// Is the name a whiteout? It is removed then.
#[inline(never)]
fn find_whiteout(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    workdir: &Upper<Dentry>,
    name: &[u8],
) -> Result<bool> {
    let left = workdir.lookup(m, ms.upper_mnt()?, name)?;
    let found = is_whiteout(&left);
    if found {
        discard(ms, m, w, workdir, &left);
    }
    Ok(found)
}

/// Can the work directory carry our xattrs? The error is that of setting one.
#[inline(never)]
pub(crate) fn check_xattr(ms: &MountState, m: &Mounter<'_>, w: &UpperWrite<'_>) -> Result {
    let workdir = ms.workdir()?;
    let name = ms.xattr(Name::Opaque);
    w.set_xattr(m, workdir, name, b"0", 0)?;
    // A mark that stays says nothing: `0` is not the value of an opaque directory.
    let _ = w.remove_xattr(m, workdir, name);
    Ok(())
}

/// Leaves `work/incompat/volatile/dirty` behind: a mount that never synced its upper must not be
/// used again after a crash. The unmount does not remove it, as in C; the user does.
///
/// `ENOTDIR` if something else has the name of one of the directories.
#[inline(never)]
pub(crate) fn create_volatile_dirty(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
) -> Result {
    let mut dir: ARef<Upper<Dentry>> = base(ms)?.into();
    for name in [WORK, INCOMPAT, b"volatile"] {
        let next = find_or_make(ms, m, w, &dir, name, S_IFDIR)?;
        if !next.can_lookup() {
            return Err(ENOTDIR);
        }
        dir = next;
    }
    find_or_make(ms, m, w, &dir, b"dirty", S_IFREG)?;
    Ok(())
}

/// The object `name` in `dir`, made if it does not exist.
fn find_or_make(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    dir: &Upper<Dentry>,
    name: &[u8],
    mode: u16,
) -> Result<ARef<Upper<Dentry>>> {
    let creating = w.start_creating(m, dir, name)?;
    if creating.is_positive() {
        return Ok(creating.keep());
    }
    let attr = CreateAttr::with_mode(mode);
    Ok(create_real(ms, m, w, dir, creating, name, &attr)?.keep())
}
