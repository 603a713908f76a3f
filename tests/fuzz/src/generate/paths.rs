// SPDX-License-Identifier: GPL-2.0
//! What is probably where: the picture from which paths are taken, so that most operations meet
//! something, kept without running anything.

use super::{Gen, Slot, NAMES, ODD};
use crate::case::{Name, Op};

impl Gen {
    pub(super) fn component(&mut self) -> Vec<u8> {
        match self.r.below(60) {
            0 => self.r.pick(ODD).to_vec(),
            1 => vec![b'L'; *self.r.pick(&[200, 254, 255, 256])],
            _ => self.r.pick(NAMES).as_bytes().to_vec(),
        }
    }

    /// A path below one that is probably a directory; now and then below nothing.
    pub(super) fn fresh(&mut self) -> Name {
        let mut p = self.r.pick(&self.dirs).0.clone();
        loop {
            if !p.is_empty() {
                p.push(b'/');
            }
            let c = self.component();
            p.extend(c);
            if p.len() > 600 || !self.r.chance(5) {
                return Name(p);
            }
        }
    }

    /// A path that is probably there; the latest are the likeliest.
    pub(super) fn path(&mut self) -> Name {
        let n = self.known.len();
        if n == 0 || self.r.chance(8) {
            return self.fresh();
        }
        let among = if self.r.chance(50) { n.min(10) } else { n };
        self.known[n - 1 - self.r.below(among as u64) as usize].clone()
    }

    /// A path for something new.
    pub(super) fn new_path(&mut self) -> Name {
        if self.r.chance(88) {
            let mut p = self.fresh();
            for _ in 0..4 {
                if self.known.contains(&p) {
                    p = self.fresh();
                }
            }
            p
        } else {
            self.path()
        }
    }

    pub(super) fn dir(&mut self) -> Name {
        if self.r.chance(8) {
            self.path()
        } else {
            self.r.pick(&self.dirs).clone()
        }
    }

    /// A directory, but not the root.
    pub(super) fn own_dir(&mut self) -> Name {
        let mut d = self.dir();
        for _ in 0..3 {
            if d.0.is_empty() {
                d = self.dir();
            }
        }
        d
    }

    /// Something is at this path now, and its parents are directories.
    pub(super) fn note(&mut self, p: &Name, dir: bool) {
        self.known.retain(|k| k != p);
        self.known.push(p.clone());
        let mut d = p.0.clone();
        if !dir {
            self.dirs.retain(|k| k != p);
            d.truncate(d.iter().rposition(|c| *c == b'/').unwrap_or(0));
        }
        while !self.dirs.contains(&Name(d.clone())) {
            self.dirs.push(Name(d.clone()));
            d.truncate(d.iter().rposition(|c| *c == b'/').unwrap_or(0));
        }
    }

    /// Nothing is there any more.
    pub(super) fn forget(&mut self, p: &Name) {
        let below = [&p.0[..], b"/"].concat();
        let gone = |k: &Name| k == p || k.0.starts_with(&below);
        self.known.retain(|k| !gone(k));
        self.dirs.retain(|k| k.0.is_empty() || !gone(k));
    }

    /// What was at the one path is at the other.
    pub(super) fn moved(&mut self, from: &Name, to: &Name) {
        let dir = self.dirs.contains(from);
        let below = [&from.0[..], b"/"].concat();
        let was: Vec<(Name, bool)> = self
            .known
            .iter()
            .filter(|k| k.0.starts_with(&below))
            .map(|k| (k.clone(), self.dirs.contains(k)))
            .collect();
        self.forget(from);
        self.note(to, dir);
        for (k, d) in was {
            self.note(&Name([&to.0[..], &k.0[from.0.len()..]].concat()), d);
        }
    }

    /// A slot that holds this; now and then any.
    pub(super) fn fd(&mut self, what: Slot) -> u8 {
        let with = |s: &[Slot; 6], f: &dyn Fn(Slot) -> bool| -> Vec<u8> {
            (0..6).filter(|i| f(s[*i as usize])).collect()
        };
        let fit = with(&self.slots, &|s| s == what);
        let open = with(&self.slots, &|s| s != Slot::Closed);
        if open.is_empty() || self.r.chance(4) {
            self.r.below(6) as u8
        } else if fit.is_empty() || self.r.chance(8) {
            *self.r.pick(&open)
        } else {
            *self.r.pick(&fit)
        }
    }

    /// What the operation, which succeeded, changes in this picture.
    pub(super) fn effect(&mut self, op: &Op) {
        match op {
            Op::Open {
                fd, path, flags, ..
            } => {
                self.slots[*fd as usize % 6] = if self.dirs.contains(path) {
                    Slot::Dir
                } else {
                    Slot::File
                };
                if flags & libc::O_CREAT != 0 && !self.known.contains(path) {
                    self.note(path, false);
                }
            }
            Op::Tmpfile { fd, .. } => self.slots[*fd as usize % 6] = Slot::File,
            Op::OpenHandle { fd, flags, .. } => {
                self.slots[*fd as usize % 6] = if flags & libc::O_DIRECTORY != 0 {
                    Slot::Dir
                } else {
                    Slot::File
                };
            }
            Op::Close { fd } => self.slots[*fd as usize % 6] = Slot::Closed,
            Op::Remount | Op::Swap | Op::Stack => {
                self.slots = [Slot::Closed; 6];
                self.frozen = false;
            }
            Op::ReadOnly { on } => self.frozen = *on,
            Op::LinkFd { path, .. }
            | Op::Symlink { path, .. }
            | Op::Mknod { path, .. }
            | Op::Link { to: path, .. } => {
                if !self.known.contains(path) {
                    self.note(path, false);
                }
            }
            Op::Mkdir { path, .. } => {
                if !self.known.contains(path) {
                    self.note(path, true);
                }
            }
            Op::Unlink { path } if !self.dirs.contains(path) => self.forget(path),
            Op::Rmdir { path } => {
                let below = [&path.0[..], b"/"].concat();
                if self.dirs.contains(path) && !self.known.iter().any(|k| k.0.starts_with(&below)) {
                    self.forget(path);
                }
            }
            Op::Rename { from, to, flags } if self.known.contains(from) && from != to => {
                if flags & libc::RENAME_EXCHANGE == 0 {
                    self.moved(from, to);
                }
            }
            _ => {}
        }
    }
}
