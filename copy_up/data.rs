// SPDX-License-Identifier: GPL-2.0

//! Copy-up of a file's data: shared with the original where the file system can, copied without
//! the holes where it cannot.
//!
//! Runs without freeze protection of the upper: seeking and reading the lower file may take locks
//! that are ordered before it.
//!
//! Source of the facts: `ovl_copy_up_file` and `ovl_copy_up_meta_inode_data` in
//! `fs/overlayfs/copy_up.c`.

#![forbid(unsafe_code)]

use super::{
    meta,
    Job, //
};
use crate::{
    overlay::object::ObjFlag,
    vfs::{
        cred::{
            fatal_signal_pending,
            Mounter, //
        },
        file::{
            self,
            oflags::{
                O_LARGEFILE,
                O_RDONLY,
                O_WRONLY, //
            },
            File, //
        },
        mount::RealPath, //
    },
    xattr::Name,
};
use kernel::prelude::*;

/// The most that is copied between two looks for a signal: 1 MiB.
const CHUNK: i64 = 1 << 20;

/// Copies the data of the original to `to`, an empty file.
///
/// Reaches the disk if the mount syncs at all, unless the metadata are going to be synced after
/// it anyway, or nothing was copied because the extents are shared. `EINTR` on a fatal signal,
/// `EIO` if the lower file makes no sense.
pub(super) fn copy(job: &Job<'_>, m: &Mounter<'_>, to: &File) -> Result {
    let len = job.stat.size();
    if len < 0 {
        return Err(EIO);
    }
    let source = job.inode.lowerdata_path(job.ms).ok_or(EIO)?;
    let from = source.open(m, O_LARGEFILE | O_RDONLY)?;

    let whole = u64::try_from(len).map_err(|_| EIO)?;
    if file::clone_range(&from, to, whole).is_ok_and(|cloned| cloned == whole) {
        return Ok(());
    }
    file::verify_area_read(&from, 0, len)?;
    file::verify_area_write(to, 0, len)?;
    copy_range(&from, to, len)?;
    if job.ms.should_sync() && !job.sync_metadata {
        file::fsync(to, false)?;
    }
    Ok(())
}

/// Copies the data to an upper object that was a copy of the metadata alone. The lock of the object
/// is held.
///
/// Writing removes the file's capabilities, which for the user has not happened: they are put back.
/// Only then the upper object says that it is whole, so that a crash leaves the data below in use.
#[inline(never)]
pub(super) fn copy_later(job: &Job<'_>, m: &Mounter<'_>) -> Result {
    let upper = job.inode.upper().ok_or(EIO)?;
    let path = RealPath::upper(job.ms.upper_mnt()?, upper);
    let mut caps = None;
    if job.stat.size() != 0 {
        caps = meta::read_caps(m, path)?;
        copy(job, m, &*path.open(m, O_LARGEFILE | O_WRONLY)?)?;
    }
    {
        let w = job.write.start_write();
        if let Some(caps) = caps {
            meta::restore_caps(m, &w, upper, &caps)?;
        }
        w.remove_xattr(m, upper, job.ms.xattr(Name::Metacopy))?;
    }
    job.inode.clear_flag(ObjFlag::HasDigest);
    job.inode.clear_flag(ObjFlag::VerifiedDigest);
    job.inode.set_flag(ObjFlag::UpperData);
    Ok(())
}

/// What the original says about its holes.
#[derive(Clone, Copy)]
enum Holes {
    /// It cannot say.
    Unknown,
    /// Data are at this offset, and holes were skipped up to it.
    DataAt(i64),
}

/// Copies bytes 0 to `len`, without those holes that the original knows of.
fn copy_range(from: &File, to: &File, len: i64) -> Result {
    let mut pos: i64 = 0;
    let mut holes = if file::can_llseek(from) {
        Holes::DataAt(-1)
    } else {
        Holes::Unknown
    };
    while pos < len {
        if fatal_signal_pending() {
            return Err(EINTR);
        }
        if let Holes::DataAt(known) = holes {
            if known < pos {
                match file::llseek(from, pos, file::SEEK_DATA) {
                    Ok(next) => {
                        holes = Holes::DataAt(next);
                        if next > pos {
                            pos = next;
                            continue;
                        }
                    }
                    // No data up to the end.
                    Err(error) if error == ENXIO => return Ok(()),
                    Err(_) => holes = Holes::Unknown,
                }
            }
        }
        let left = len.checked_sub(pos).ok_or(EIO)?;
        let chunk = usize::try_from(left.min(CHUNK)).map_err(|_| EIO)?;
        let mut to_pos = pos;
        let copied = file::splice_direct(from, &mut pos, to, &mut to_pos, chunk)?;
        if copied == 0 {
            // The original is shorter than it said; the copy gets the stated size all the same.
            return Ok(());
        }
        if pos != to_pos {
            return Err(EIO);
        }
    }
    Ok(())
}
