// SPDX-License-Identifier: GPL-2.0
//! Reading directories: names, types, inode numbers, offsets, and changes while reading.

pub mod amounts;
pub mod changes;
pub mod listed;
pub mod position;

use super::prelude::*;
use std::collections::BTreeSet;

fn names(d: &File, size: usize) -> R<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let e = f::ctx(sys::getdents(d, size), "getdents64", "")?;
        if e.is_empty() {
            return Ok(all);
        }
        all.extend(e.into_iter().map(|e| e.name));
    }
}

fn entries(p: impl AsRef<Path>) -> R<Vec<sys::Dirent>> {
    let d = f::open_ro(&p)?;
    let mut all = Vec::new();
    loop {
        let e = f::ctx(sys::getdents(&d, 32768), "getdents64", &p)?;
        if e.is_empty() {
            return Ok(all);
        }
        all.extend(e);
    }
}

/// Sorted, without the dots; fails if a name comes twice.
fn unique(v: Vec<String>) -> R<Vec<String>> {
    let n = v.len();
    let set: BTreeSet<String> = v.into_iter().collect();
    check_eq!(n, set.len(), "names read against names that differ");
    Ok(set.into_iter().filter(|s| s != "." && s != "..").collect())
}

/// Every entry but `..` has the inode number that stat gives.
fn check_inos(d: impl AsRef<Path>) -> R {
    for e in entries(&d)? {
        if e.name != ".." {
            let st = f::stat(d.as_ref().join(&e.name))?.ino();
            check_eq!(e.ino, st, "d_ino of {} in {}", e.name, d.as_ref().display());
        }
    }
    Ok(())
}

/// A merged directory of 200 names.
fn merged(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.up("d"))?;
    for i in 0..100 {
        f::write(o.low(format!("d/l{i:03}")), "x")?;
        f::write(o.up(format!("d/u{i:03}")), "x")?;
    }
    o.mount()?;
    Ok(o)
}
