// SPDX-License-Identifier: GPL-2.0

//! Copy-up: the object is made where nobody sees it, and put at its name when it is complete.
//!
//! Two ways. A file without a name (`O_TMPFILE`) is linked to its place; it vanishes by itself if
//! that fails. Anything else is made in the work directory and renamed to its place; while both
//! directories are locked for that, nobody can have moved it.
//!
//! Neither ever replaces an object that someone put at the name meanwhile: `EEXIST`.
//!
//! Source of the facts: `ovl_copy_up_tmpfile`, `ovl_copy_up_workdir` and `ovl_link_up` in
//! `fs/overlayfs/copy_up.c`, `ovl_set_nlink_common` in `fs/overlayfs/inode.c`.

#![forbid(unsafe_code)]

use super::{
    data,
    meta,
    publish_upper,
    Job, //
};
use crate::{
    overlay::{
        instantiate::update_reval,
        object::set_impure,
        temp::{
            create_temp,
            discard,
            CreateAttr, //
        },
    },
    rules::nlink::{
        Base,
        Nlink, //
    },
    vfs::{
        cred::{
            with_copy_up_creds,
            Mounter, //
        },
        dentry::Dentry,
        dirop::RenameFlags,
        file::oflags::{
            O_LARGEFILE,
            O_WRONLY, //
        },
        inode::mode::S_IFMT,
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
        stat::SetAttr,
    },
    xattr::{
        origin::Record,
        Name, //
    },
};
use kernel::prelude::*;

/// Copies a regular file through one without a name.
#[inline(never)]
pub(super) fn through_tmpfile(
    job: &Job<'_>,
    m: &Mounter<'_>,
    name: &[u8],
    origin: Option<&Record>,
) -> Result {
    let workdir = job.ms.workdir()?;
    let temp = with_copy_up_creds(m, job.dentry, |m| {
        job.write.start_write().tmpfile(m, workdir, job.stat.mode())
    })??;

    // Data before xattrs: writing removes the capabilities of a file.
    if job.has_data() {
        data::copy(job, m, temp.file())?;
    }

    let w = job.write.start_write();
    let has_digest = meta::copy(job, m, &w, temp.dentry(), origin)?;
    let mut creating = w.start_creating(m, job.destdir, name)?;
    creating.link(m, temp.dentry())?;
    // Not the dentry of the file without a name: that one never gets a parent.
    publish_upper(job, creating.keep(), has_digest);
    Ok(())
}

/// Copies any object through the work directory.
#[inline(never)]
pub(super) fn through_workdir(
    job: &Job<'_>,
    m: &Mounter<'_>,
    name: &[u8],
    origin: Option<&Record>,
) -> Result {
    let workdir = job.ms.workdir()?;
    let attr = CreateAttr {
        // The permissions come later: here the umask would take from them.
        mode: job.stat.mode() & S_IFMT,
        rdev: job.stat.rdev(),
        link: job.link.as_ref().map(|link| link.as_cstr()),
        hardlink: None,
    };
    let temp = with_copy_up_creds(m, job.dentry, |m| {
        create_temp(job.ms, m, &job.write.start_write(), workdir, &attr)
    })??;

    let copied = copy_data(job, m, &temp);
    let w = job.write.start_write();
    let published = copied.and_then(|()| rename_to_place(job, m, &w, workdir, &temp, name, origin));
    match published {
        Ok(has_digest) => {
            publish_upper(job, temp, has_digest);
            Ok(())
        }
        Err(error) => {
            discard(job.ms, m, &w, workdir, &temp);
            Err(error)
        }
    }
}

/// Copies the data of a regular file to `temp`.
fn copy_data(job: &Job<'_>, m: &Mounter<'_>, temp: &Upper<Dentry>) -> Result {
    if !job.has_data() {
        return Ok(());
    }
    let to = RealPath::upper(job.ms.upper_mnt()?, temp).open(m, O_LARGEFILE | O_WRONLY)?;
    data::copy(job, m, &to)
}

/// Completes `temp` and moves it to its place, with both directories locked. Says whether its
/// metadata has a digest of the data.
fn rename_to_place(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    workdir: &Upper<Dentry>,
    temp: &Upper<Dentry>,
    name: &[u8],
    origin: Option<&Record>,
) -> Result<bool> {
    let started =
        w.start_renaming_onto_name(m, workdir, temp, job.destdir, name, RenameFlags::NONE, true);
    let mut renaming = match started {
        Ok(renaming) => renaming,
        Err(error) if error == EEXIST => return Err(EEXIST),
        // The copy or the work directory was moved away under us.
        Err(_) => return Err(EIO),
    };
    let has_digest = meta::copy(job, m, w, temp, origin)?;
    renaming.commit(m)?;
    Ok(has_digest)
}

/// Gives an object that is in the upper under another name its name in this directory too.
///
/// Happens to the second link of an object whose links are kept together.
#[inline(never)]
pub(super) fn link_up(job: &Job<'_>, m: &Mounter<'_>) -> Result {
    let upper = job.inode.upper().ok_or(EIO)?;
    let lower = job.lower.inode()?.nlink();
    let w = job.write.start_write();
    set_impure(job.ms, m, &w, job.parent)?;
    // While the link is made, the count is kept relative to one that does not change.
    store_nlink(job, m, &w, upper, Base::Lower, lower)?;
    {
        pin_init::stack_pin_init!(let name = job.dentry.name_snapshot());
        let mut creating = w.start_creating(m, job.destdir, name.name())?;
        creating.link(m, upper)?;
        // Under the lock of the directory: a rename there waits for it.
        job.dentry.set_upper_alias();
        update_reval(job.dentry, creating.dentry());
    }
    restore_parent_times(job, m, &w);
    store_nlink(job, m, &w, upper, Base::Upper, upper.positive()?.nlink())
}

/// Stores how far the link count of the overlay's object is from that of a real one.
fn store_nlink(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    base: Base,
    real: u32,
) -> Result {
    let value = Nlink::relative(base, job.inode.nlink(), real).text();
    w.set_xattr(m, upper, job.ms.xattr(Name::Nlink), value.as_bytes(), 0)
}

/// Gives the directory the times back that it had before we put the copy into it: for the user
/// nothing changed there. As good as it goes.
pub(super) fn restore_parent_times(job: &Job<'_>, m: &Mounter<'_>, w: &UpperWrite<'_>) {
    // The copy is in place either way.
    let _ = w.notify_change(
        m,
        job.destdir,
        &mut SetAttr::new().times_of(&job.parent_stat),
    );
}
