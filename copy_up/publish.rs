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
//! `fs/overlayfs/copy_up.c`.

#![forbid(unsafe_code)]

use super::{
    data,
    meta,
    publish_upper,
    Job,
    Place, //
};
use crate::{
    overlay::{
        index,
        instantiate::update_reval,
        nlink,
        object::set_impure,
        temp::{
            create_temp,
            discard,
            CreateAttr, //
        },
    },
    rules::nlink::Base,
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
        inode::{
            mode::S_IFMT,
            FileType, //
        },
        mount::{
            RealPath,
            Upper,
            UpperWrite, //
        },
        stat::SetAttr,
    },
    xattr::origin::Record,
};
use kernel::prelude::*;

/// The name that a copy gets in the upper.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The directory.
    pub(super) dir: &'a Upper<Dentry>,
    /// The name.
    pub(super) name: &'a [u8],
}

/// Copies a regular file through one without a name.
#[inline(never)]
pub(super) fn through_tmpfile(
    job: &Job<'_>,
    m: &Mounter<'_>,
    target: Target<'_>,
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
    let mut creating = w.start_creating(m, target.dir, target.name)?;
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
    target: Target<'_>,
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
    let published = copied
        .and_then(|()| index_dir(job, m, &w, &temp, origin))
        .and_then(|()| {
            rename_to_place(job, m, &w, workdir, &temp, target, origin)
                .inspect_err(|_| forget_in_index(job, m, &w, origin))
        });
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

/// Makes the entry in the index for the directory `temp`, if it is to have one.
fn index_dir(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    temp: &Upper<Dentry>,
    origin: Option<&Record>,
) -> Result {
    if !has_dir_entry(job) {
        return Ok(());
    }
    index::create_dir_entry(job.ms, m, w, origin.ok_or(EIO)?, temp)
}

/// Is it a directory that gets an entry in the index?
fn has_dir_entry(job: &Job<'_>) -> bool {
    job.indexed && job.file_type() == FileType::Directory
}

/// Removes the entry again that [`index_dir`] made: it would stand for a directory that is not in
/// the overlay, and nobody could look the lower one up any more. In-tree it stays.
#[cold]
fn forget_in_index(job: &Job<'_>, m: &Mounter<'_>, w: &UpperWrite<'_>, origin: Option<&Record>) {
    if let (true, Some(origin)) = (has_dir_entry(job), origin) {
        index::remove_dir_entry(job.ms, m, w, origin);
    }
}

/// Completes `temp` and moves it to its place, with both directories locked. Says whether its
/// metadata has a digest of the data.
fn rename_to_place(
    job: &Job<'_>,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    workdir: &Upper<Dentry>,
    temp: &Upper<Dentry>,
    target: Target<'_>,
    origin: Option<&Record>,
) -> Result<bool> {
    let (dir, name) = (target.dir, target.name);
    let started = w.start_renaming_onto_name(m, workdir, temp, dir, name, RenameFlags::NONE, true);
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
/// Happens to every link of an object whose links are kept together by the index.
#[inline(never)]
pub(super) fn link_up(job: &Job<'_>, m: &Mounter<'_>) -> Result {
    let (ms, inode) = (job.ms, job.inode);
    let place = job.place()?;
    let upper = inode.upper().ok_or(EIO)?;
    let w = job.write.start_write();
    set_impure(ms, m, &w, place.parent)?;
    // While the link is made, the count is kept relative to one that does not change.
    nlink::store(ms, m, &w, inode, Base::Lower)?;
    {
        pin_init::stack_pin_init!(let name = job.dentry.name_snapshot());
        let mut creating = w.start_creating(m, place.dir, name.name())?;
        creating.link(m, upper)?;
        // Under the lock of the directory: a rename there waits for it.
        job.dentry.set_upper_alias();
        update_reval(job.dentry, creating.dentry());
    }
    restore_parent_times(place, m, &w);
    nlink::store(ms, m, &w, inode, Base::Upper)
}

/// Gives the directory the times back that it had before we put the copy into it: for the user
/// nothing changed there. As good as it goes.
pub(super) fn restore_parent_times(place: &Place<'_>, m: &Mounter<'_>, w: &UpperWrite<'_>) {
    // The copy is in place either way.
    let _ = w.notify_change(m, place.dir, &mut SetAttr::new().times(place.times));
}
