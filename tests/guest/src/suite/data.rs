// SPDX-License-Identifier: GPL-2.0
//! File data: reads, writes, direct and asynchronous I/O, mappings, splicing, space, locks.

pub mod direct;
pub mod io;
pub mod locks;
pub mod mapping;
pub mod pipes;
pub mod ranges;
pub mod space;

use super::prelude::*;
use rustix::fs::FallocateFlags;

/// Files of every origin: in the lower, copied up, made in the upper; with the same contents.
fn files(t: &T, data: &[u8]) -> R<(Ovl, [&'static str; 3])> {
    let o = t.ovl()?;
    f::write(o.low("lower"), data)?;
    f::write(o.low("copied"), data)?;
    f::write(o.up("upper"), data)?;
    o.mount()?;
    f::chmod(o.m("copied"), 0o600)?;
    Ok((o, ["lower", "copied", "upper"]))
}

fn falloc(h: &File, mode: FallocateFlags, off: u64, len: u64) -> R {
    f::ctx(
        rustix::fs::fallocate(h, mode, off, len),
        "fallocate",
        "(descriptor)",
    )
}
