// SPDX-License-Identifier: GPL-2.0
//! `metacopy=on`: copies of metadata alone, the way from them to the data, and the later copy of it.

pub mod copies;
pub mod mounting;
pub mod names;
pub mod way;

use super::prelude::*;

const ON: &str = "redirect_dir=on,metacopy=on";
const LEN: usize = 300_000;

fn data() -> Vec<u8> {
    f::pattern(7, LEN)
}

/// A lower file `d/a` with data, mounted.
fn one(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), data())?;
    rustix::fs::sync();
    o.mount_with(ON)?;
    Ok(o)
}

fn again(o: &Ovl) -> R {
    o.umount()?;
    o.mount_with(ON)
}

/// The upper object has only metadata.
#[track_caller]
fn check_meta(o: &Ovl, p: &str) -> R {
    let at = std::panic::Location::caller();
    check_eq!(o.xattr(p, "metacopy")?, Some(vec![]), "{p} at {at}");
    // An attribute may take a block.
    let blocks = f::stat(o.up(p))?.blocks();
    check!(blocks <= 8, "{p} at {at} has {blocks} blocks");
    Ok(())
}

/// The upper object has its data.
#[track_caller]
fn check_whole(o: &Ovl, p: &str) -> R {
    let at = std::panic::Location::caller();
    check_eq!(o.xattr(p, "metacopy")?, None, "{p} at {at}");
    check_eq!(f::read(o.up(p))?, f::read(o.m(p))?, "data of {p} at {at}");
    Ok(())
}
