// SPDX-License-Identifier: GPL-2.0
//! Whole-tree snapshots: names, types, modes, owners, sizes, times, devices, link targets,
//! extended attributes and contents, compared line by line.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::check::R;
use crate::f;
use anyhow::bail;

/// A snapshot: one line of description for each relative path.
pub type Tree = BTreeMap<String, String>;

fn hash(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn hex(v: &[u8]) -> String {
    use std::fmt::Write as _;

    v.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

/// What a snapshot looks at besides names, types and contents.
#[derive(Clone, Copy)]
pub struct What {
    /// mtime, ctime excluded.
    pub mtime: bool,
    /// Link counts of what is not a directory.
    pub nlink: bool,
    /// Inode numbers.
    pub ino: bool,
}

/// Everything that stays the same when the same layers are mounted again.
pub const ALL: What = What {
    mtime: true,
    nlink: true,
    ino: false,
};

/// Everything but the times.
pub const NO_TIMES: What = What {
    mtime: false,
    nlink: true,
    ino: false,
};

/// Describes one object.
pub fn describe(p: &Path, what: What) -> R<String> {
    let m = f::stat(p)?;
    let t = m.file_type();
    let kind = if t.is_dir() {
        'd'
    } else if t.is_symlink() {
        'l'
    } else if t.is_char_device() {
        'c'
    } else if t.is_block_device() {
        'b'
    } else if t.is_fifo() {
        'p'
    } else if t.is_socket() {
        's'
    } else {
        '-'
    };
    let mut s = format!("{kind} {:o} {}:{}", m.mode() & 0o7777, m.uid(), m.gid());
    if what.ino {
        s += &format!(" ino={}", m.ino());
    }
    if what.mtime {
        s += &format!(" mtime={}.{:09}", m.mtime(), m.mtime_nsec());
    }
    if what.nlink && !t.is_dir() {
        s += &format!(" nlink={}", m.nlink());
    }
    match kind {
        'l' => s += &format!(" -> {}", f::readlink(p)?.display()),
        'c' | 'b' => s += &format!(" rdev={:#x}", m.rdev()),
        '-' => s += &format!(" size={} data={:016x}", m.size(), hash(&f::read(p)?)),
        _ => {}
    }
    for name in f::listxattr(p)? {
        s += &format!(" {name}={}", hex(&f::getxattr(p, &name)?));
    }
    Ok(s)
}

/// Takes a snapshot of everything below `root` (and of `root` itself, as `.`).
pub fn snapshot(root: impl AsRef<Path>, what: What) -> R<Tree> {
    let root = root.as_ref();
    let mut tree = Tree::new();
    for e in walkdir::WalkDir::new(root) {
        let e = e?;
        let rel = e.path().strip_prefix(root)?;
        let rel = if rel.as_os_str().is_empty() {
            ".".into()
        } else {
            rel.to_string_lossy()
        };
        tree.insert(rel.into_owned(), describe(e.path(), what)?);
    }
    Ok(tree)
}

/// Fails, listing every difference, unless the snapshots are equal.
pub fn same(what: &str, want: &Tree, got: &Tree) -> R {
    let mut diff = String::new();
    for (k, w) in want {
        match got.get(k) {
            None => diff += &format!("\n    {k}\n      expected: {w}\n      got:      nothing"),
            Some(g) if g != w => {
                diff += &format!("\n    {k}\n      expected: {w}\n      got:      {g}");
            }
            _ => {}
        }
    }
    for (k, g) in got {
        if !want.contains_key(k) {
            diff += &format!("\n    {k}\n      expected: nothing\n      got:      {g}");
        }
    }
    if diff.is_empty() {
        Ok(())
    } else {
        bail!("{what}: the trees differ:{diff}")
    }
}
