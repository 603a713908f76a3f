// SPDX-License-Identifier: GPL-2.0
//! Where the two modules differ on purpose: docs/differences.md for the machine.

use crate::case::{Case, Op};
use crate::damage::{Damage, Place, WORK};
use crate::layers::{join, names};
use crate::runner::Runner;
use crate::snapshot::Tree;
use crate::sys;

/// An entry that cannot be looked up is below `p`: in-tree it is hidden, or ends the listing.
fn has_broken(p: &[u8], depth: u32) -> bool {
    names(p).is_ok_and(|v| {
        v.iter().any(|(n, _, kind)| {
            let p = join(p, n);
            match sys::stat(&p, false) {
                Err(e) => e != libc::ENOENT,
                Ok(_) => depth > 0 && *kind == libc::DT_DIR && has_broken(&p, depth - 1),
            }
        })
    })
}

/// A difference that is known and accepted (docs/differences.md).
pub fn accepted(rs: &[Runner<'_>; 2], op: &Op) -> bool {
    let Some(ours) = rs.iter().find(|r| r.side.ty == "overlay_rs") else {
        return false;
    };
    match op {
        Op::Readdir { path } | Op::ReaddirSeek { path, .. } | Op::ReaddirRemove { path, .. } => {
            has_broken(&ours.p(path), 0)
        }
        Op::Walk { path } => has_broken(&ours.p(path), 3),
        Op::Getdents { fd, .. } => ours.fds[*fd as usize % 6]
            .is_some_and(|f| has_broken(format!("/proc/self/fd/{f}").as_bytes(), 0)),
        _ => false,
    }
}

/// Both refuse the mount, each for another one of several damaged entries of the index: the first
/// decides, and the order of their names, which have inode numbers in them, is not the same.
pub fn refused(case: &Case, mounts: &[String]) -> bool {
    let in_index = |p: &Place| p.layer == WORK && p.path.0.starts_with(b"index/");
    let damage = case.damage.iter().chain(case.rounds.iter().flatten());
    let entries = damage.filter(|d| match d {
        Damage::Index { .. } => true,
        Damage::Put { place, .. } | Damage::Link { to: place, .. } => in_index(place),
        _ => false,
    });
    mounts.iter().all(|m| m.starts_with('E')) && entries.count() > 1
}

/// Looks at all below `theirs` that `ours` lists: a lookup may mend the origin of a directory, and a
/// listing that ended early in-tree, for an entry that cannot be looked up, left others out.
pub fn look_at_all(ours: &[u8], theirs: &[u8]) {
    for (n, _, kind) in names(ours).unwrap_or_default() {
        let theirs = join(theirs, &n);
        if sys::stat(&theirs, false).is_ok() && kind == libc::DT_DIR {
            look_at_all(&join(ours, &n), &theirs);
        }
    }
}

/// Leaves out where the trees differ because overlay_rs lists entries that cannot be looked up:
/// those entries, and all of a directory whose listing failed in-tree for one of them.
pub fn without_broken(mut trees: [Tree; 2], types: [&str; 2]) -> [Tree; 2] {
    let [a, b] = &mut trees;
    let (ours, theirs) = if types[0] == "overlay_rs" {
        (a, b)
    } else {
        (b, a)
    };
    let failed: Vec<String> = theirs
        .iter()
        .filter(|(k, line)| line.starts_with("readdir: errno") && !ours.contains_key(*k))
        .map(|(k, _)| k.clone())
        .collect();
    for dir in failed {
        // The root's is `/`, and the names below it begin with nothing.
        let below = dir.strip_prefix('/').unwrap_or(&dir).to_string();
        let inside = |k: &str| {
            k.strip_prefix(&below)
                .is_some_and(|n| !n.is_empty() && k != "." && k != dir)
        };
        let broken = |(k, line): (&String, &String)| inside(k) && line.starts_with("stat: errno");
        if ours.iter().any(broken) {
            theirs.remove(&dir);
            ours.retain(|k, _| !inside(k));
        }
    }
    ours.retain(|k, line| !line.starts_with("stat: errno") || theirs.contains_key(k));
    trees
}

/// What both modules answer otherwise than the upper alone: flags are kept for files and directories;
/// for a device they have none.
pub fn only_bare(alone: &Runner<'_>, op: &Op) -> bool {
    let (Op::GetFlags { fd } | Op::SetFlags { fd, .. }) = op else {
        return false;
    };
    let opened = alone.fds[*fd as usize % 6].map(sys::fstat);
    matches!(opened, Some(Ok(s)) if ![libc::S_IFREG, libc::S_IFDIR].contains(&(s.st_mode & libc::S_IFMT)))
}

/// A result, or the line of a tree, without what an overlay has otherwise than its upper alone: the
/// number of links of its root, which a mount marks, too.
pub fn plain(op: Option<&Op>, text: &str) -> String {
    let of_one = matches!(op, None | Some(Op::Stat { .. } | Op::Fstat { .. }));
    if !of_one || !text.starts_with("4") {
        return text.into();
    }
    let words = text
        .split(' ')
        .filter(|w| !w.starts_with("nlink=") && !w.starts_with("ctime="));
    words.collect::<Vec<_>>().join(" ")
}
