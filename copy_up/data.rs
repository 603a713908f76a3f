// SPDX-License-Identifier: GPL-2.0

//! Copy-up of a file's data: shared with the original where the file system can, copied without
//! the holes where it cannot.
//!
//! Runs without freeze protection of the upper: seeking and reading the lower file may take locks
//! that are ordered before it.
//!
//! Source of the facts: `ovl_copy_up_file` in `fs/overlayfs/copy_up.c`.

#![forbid(unsafe_code)]

use super::Job;
use crate::vfs::{
    cred::{
        fatal_signal_pending,
        Mounter, //
    },
    file::{
        self,
        oflags::{
            O_LARGEFILE,
            O_RDONLY, //
        },
        File, //
    },
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
