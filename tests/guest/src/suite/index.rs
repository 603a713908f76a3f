// SPDX-License-Identifier: GPL-2.0
//! index=on: lower hard links stay together, what is stored for that, and which layers are refused.

pub mod mounting;
pub mod names;
pub mod one_object;
pub mod other_driver;
pub mod stored;

use super::prelude::*;

const ON: &str = "redirect_dir=off,metacopy=off,xino=off,nfs_export=off,index=on";

/// `n` lowers and an upper, with index=on.
fn ovl(t: &T, n: usize) -> R<Ovl> {
    let mut o = t.layers(n)?;
    o.opts = ON.into();
    Ok(o)
}

/// A lower with the hard links `a`, `b` and `d/c`, and a file `s` with one name.
fn linked(t: &T) -> R<Ovl> {
    let o = ovl(t, 1)?;
    fill(&o)?;
    Ok(o)
}

fn fill(o: &Ovl) -> R {
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "one")?;
    f::link(o.low("a"), o.low("b"))?;
    f::link(o.low("a"), o.low("d/c"))?;
    f::write(o.low("s"), "single")
}

fn index_dir(o: &Ovl) -> PathBuf {
    match &o.work {
        Some(w) => w.join("index"),
        None => PathBuf::from("/no-workdir"),
    }
}

/// The names of the entries, without those of temporary objects, of which the whiteout that others
/// are links of is one.
fn entries(o: &Ovl) -> R<Vec<String>> {
    let mut names = f::ls(index_dir(o))?;
    names.retain(|n| !n.starts_with('#'));
    Ok(names)
}

fn nlink(p: impl AsRef<Path>) -> R<u64> {
    Ok(f::stat(p)?.nlink())
}

fn ino(p: impl AsRef<Path>) -> R<u64> {
    Ok(f::stat(p)?.ino())
}

/// The record of the link count at a raw path.
fn record(p: impl AsRef<Path>) -> R<Option<String>> {
    let x = f::xattr_opt(p, "trusted.overlay.nlink")?;
    Ok(x.map(|v| String::from_utf8_lossy(&v).into_owned()))
}

/// All three names are one object with this text.
fn together(o: &Ovl, text: &str) -> R {
    let i = ino(o.m("a"))?;
    for n in ["a", "b", "d/c"] {
        check_eq!(f::text(o.m(n))?, text, "{n}");
        check_eq!(ino(o.m(n))?, i, "inode number of {n}");
        check_eq!(nlink(o.m(n))?, 3, "links of {n}");
    }
    Ok(())
}
