// SPDX-License-Identifier: GPL-2.0
//! The mounts around an overlay: propagation, bind mounts of trees and of single files, and
//! detached mounts, as layers and as the overlay itself.

pub mod bound;
pub mod detached;
pub mod propagation;

use super::prelude::*;
use rustix::mount::{mount_change, MountPropagationFlags as Prop};

/// A tree at `t.p(name)` that is a mount of its own, with this propagation.
fn place(t: &T, name: &str, prop: Prop) -> R<PathBuf> {
    let p = t.tmpfs(name, "size=1m")?;
    f::mkdir(p.join("m"))?;
    mount_change(&p, prop)?;
    Ok(p)
}

/// An overlay with a lower file `a`, a lower directory `d` with a file `x`, mounted at `at`.
fn overlay_at(t: &T, at: PathBuf) -> R<Ovl> {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    o.mnt = at;
    o.mount()?;
    Ok(o)
}

/// As [`overlay_at`], at its usual place.
fn overlay(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    o.mount()?;
    Ok(o)
}
