// SPDX-License-Identifier: GPL-2.0
//! Layers on disk: made from a case, mounted, taken down.

use crate::case::{Case, Entry, Kind};
use crate::rng::Rng;
use crate::sys::{self, Res};

/// The name of a file system that is a tmpfs of this side alone, made for this case.
pub const FRESH: &str = "fresh";

/// The type of a side that has no overlay: its upper alone.
pub const PLAIN: &str = "plain";

/// The directories of one side of a comparison.
pub struct Side {
    pub ty: String,
    pub upper_base: Vec<u8>,
    pub lower_base: Vec<u8>,
    pub mnt: Vec<u8>,
    pub mounted: bool,
    /// The directory where a tmpfs is mounted for this side.
    fresh: Option<Vec<u8>>,
    /// How many uppers have become lowers.
    pub stacked: usize,
}

pub fn join(a: &[u8], b: &[u8]) -> Vec<u8> {
    if b.is_empty() {
        a.to_vec()
    } else {
        [a, b"/", b].concat()
    }
}

/// Contents that depend on the seed.
pub fn data(seed: u64, len: usize) -> Vec<u8> {
    let mut r = Rng::new(seed);
    let mut v = Vec::with_capacity(len + 8);
    while v.len() < len {
        v.extend_from_slice(&r.word().to_le_bytes());
    }
    v.truncate(len);
    v
}

impl Side {
    pub fn new(case: &Case, id: &str, ty: &str) -> Self {
        let base = |fs: &str| {
            if fs == FRESH {
                format!("/mnt/fuzz-{id}").into_bytes()
            } else {
                format!("/mnt/{fs}/fuzz-{id}").into_bytes()
            }
        };
        let upper_base = base(&case.upper_fs);
        Self {
            ty: ty.into(),
            lower_base: base(&case.lower_fs),
            mnt: join(&upper_base, b"m"),
            upper_base,
            mounted: false,
            fresh: [&case.upper_fs, &case.lower_fs]
                .contains(&&FRESH.to_string())
                .then(|| base(FRESH)),
            stacked: 0,
        }
    }

    /// The directory of a layer: 0 is the upper.
    pub fn layer(&self, n: usize) -> Vec<u8> {
        if n == 0 {
            join(&self.upper_base, b"upper")
        } else {
            join(&self.lower_base, format!("l{n}").as_bytes())
        }
    }

    /// An upper that became a lower: the first one is 0.
    pub fn former(&self, n: usize) -> Vec<u8> {
        join(&self.upper_base, format!("s{n}").as_bytes())
    }

    /// Makes the upper, which is not mounted, the topmost lower, and a new upper and workdir.
    pub fn stack(&mut self) -> Res {
        sys::rename(&self.layer(0), &self.former(self.stacked), 0)?;
        self.stacked += 1;
        remove(&self.work());
        sys::mkdir(&self.work(), 0o755)?;
        sys::mkdir(&self.layer(0), 0o755)
    }

    pub fn work(&self) -> Vec<u8> {
        join(&self.upper_base, b"work")
    }

    /// Makes the layers. What cannot be made (a path below a file, a name that is too long) is
    /// left out, on both sides alike.
    pub fn make(&self, case: &Case) -> Result<(), String> {
        if let Some(at) = &self.fresh {
            let _ = sys::mkdir(at, 0o755);
            sys::mount("fuzz", at, "tmpfs", 0, b"mode=0755")
                .map_err(|e| format!("tmpfs: errno {e}"))?;
        }
        for b in [&self.upper_base, &self.lower_base] {
            if Some(b) != self.fresh.as_ref() {
                remove(b);
                let _ = sys::mkdir(b, 0o755);
            }
        }
        for d in (0..=case.lowers)
            .map(|n| self.layer(n))
            .chain([self.work(), self.mnt.clone()])
        {
            sys::mkdir(&d, 0o755)
                .map_err(|e| format!("mkdir {}: errno {e}", crate::case::show(&d)))?;
        }
        for e in &case.entries {
            self.entry(case, e);
        }
        // The parents' times have changed meanwhile.
        for n in 0..=case.lowers {
            settle(&self.layer(n));
        }
        Ok(())
    }

    fn entry(&self, case: &Case, e: &Entry) {
        let root = self.layer(e.layer.min(case.lowers));
        let p = join(&root, &e.path.0);
        let mut at = root.clone();
        let parts: Vec<&[u8]> = e.path.0.split(|c| *c == b'/').collect();
        for c in &parts[..parts.len() - 1] {
            at = join(&at, c);
            let _ = sys::mkdir(&at, 0o755);
        }
        let xattr = |n: &str| {
            if case.userxattr() {
                format!("user.overlay.{n}")
            } else {
                format!("trusted.overlay.{n}")
            }
        };
        let made: Res = match &e.kind {
            Kind::File(seed, len, hole) => {
                sys::open(&p, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600).inspect(|fd| {
                    let _ = sys::write(
                        *fd as i32,
                        &data(*seed, *len as usize),
                        Some((*hole).into()),
                    );
                    let _ = sys::close(*fd as i32);
                })
            }
            Kind::Dir => sys::mkdir(&p, 0o755),
            Kind::Symlink(t) => sys::symlink(&t.0, &p),
            Kind::Fifo => sys::mknod(&p, libc::S_IFIFO | 0o600, 0),
            Kind::Socket => sys::mknod(&p, libc::S_IFSOCK | 0o600, 0),
            Kind::Device(d) => sys::mknod(&p, libc::S_IFCHR | 0o600, (*d).into()),
            Kind::Whiteout => sys::mknod(&p, libc::S_IFCHR | 0o600, 0),
            Kind::WhiteoutXattr => {
                sys::open(&p, libc::O_CREAT | libc::O_EXCL, 0o600).inspect(|fd| {
                    let _ = sys::close(*fd as i32);
                    let _ = sys::setxattr(&p, &xattr("whiteout"), b"", 0);
                    let _ = sys::setxattr(&at, &xattr("opaque"), b"x", libc::XATTR_CREATE);
                })
            }
            Kind::Opaque => {
                let r = sys::mkdir(&p, 0o755);
                let _ = sys::setxattr(&p, &xattr("opaque"), b"y", 0);
                r
            }
            Kind::Link(to) => sys::link(&join(&root, &to.0), &p, 0),
            Kind::Redirect(to) => {
                let r = sys::mkdir(&p, 0o755);
                let _ = sys::setxattr(&p, &xattr("redirect"), &to.0, 0);
                r
            }
            Kind::Metacopy(len, to) => {
                sys::open(&p, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600).inspect(|fd| {
                    let _ = sys::ftruncate(*fd as i32, (*len).into());
                    let _ = sys::close(*fd as i32);
                    let _ = sys::setxattr(&p, &xattr("metacopy"), b"", 0);
                    if let Some(to) = to {
                        let _ = sys::setxattr(&p, &xattr("redirect"), &to.0, 0);
                    }
                })
            }
        };
        if made.is_err() || matches!(e.kind, Kind::Whiteout | Kind::Link(_)) {
            return;
        }
        let _ = sys::lchown(&p, e.uid, e.gid);
        if !matches!(e.kind, Kind::Symlink(_)) {
            let _ = sys::chmod(&p, e.mode);
        }
        for (n, v) in &e.xattrs {
            let _ = sys::setxattr(&p, n, v, 0);
        }
        let _ = sys::utimens(&p, e.mtime, e.mtime, false);
    }

    /// Mounts with the type of this side, or with another one.
    pub fn mount(&mut self, case: &Case, ty: &str, flags: u64) -> Res {
        let former = (0..self.stacked).rev().map(|n| self.former(n));
        if ty == PLAIN {
            let upper = self.layer(0);
            let upper = String::from_utf8_lossy(&upper);
            let r = sys::mount(&upper, &self.mnt, "", libc::MS_BIND, b"");
            self.mounted |= r.is_ok();
            return r;
        }
        let mut o = b"lowerdir=".to_vec();
        for (i, l) in former.enumerate() {
            if i > 0 {
                o.push(b':');
            }
            o.extend(l);
        }
        for n in 1..=case.lowers {
            if n + self.stacked > 1 {
                o.push(b':');
            }
            if n + case.data_layers > case.lowers && n + self.stacked > 1 {
                o.push(b':');
            }
            o.extend(self.layer(n));
        }
        if !case.read_only {
            o.extend(b",upperdir=");
            o.extend(self.layer(0));
            o.extend(b",workdir=");
            o.extend(self.work());
        }
        for x in &case.options {
            o.push(b',');
            o.extend(x.as_bytes());
        }
        let r = sys::mount("fuzz", &self.mnt, ty, flags, &o);
        self.mounted |= r.is_ok();
        r
    }

    pub fn umount(&mut self) -> Res {
        let r = sys::umount(&self.mnt);
        self.mounted &= r.is_err();
        r
    }

    pub fn remove(&mut self) {
        if self.mounted {
            let _ = self.umount();
        }
        for b in [&self.upper_base, &self.lower_base] {
            if Some(b) != self.fresh.as_ref() {
                remove(b);
            }
        }
        if let Some(at) = &self.fresh {
            let _ = sys::umount(at);
        }
    }
}

/// Names in a directory, without `.` and `..`, sorted.
pub fn names(dir: &[u8]) -> Result<Vec<(Vec<u8>, u64, u8)>, i32> {
    let fd = sys::open(
        dir,
        libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK,
        0,
    )? as i32;
    let mut v = Vec::new();
    let r = loop {
        match sys::entries(fd, 32768) {
            Ok(d) if d.is_empty() => break Ok(()),
            Ok(d) => v.extend(d.into_iter().map(|(n, i, _, t)| (n, i, t))),
            Err(e) => break Err(e),
        }
        if v.len() > 100_000 {
            break Err(libc::ELOOP);
        }
    };
    let _ = sys::close(fd);
    r?;
    v.retain(|(n, ..)| n != b"." && n != b"..");
    v.sort();
    Ok(v)
}

fn is_dir(p: &[u8]) -> bool {
    sys::stat(p, false).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Gives all directories a time that does not depend on when they were made.
fn settle(p: &[u8]) {
    for (n, ..) in names(p).unwrap_or_default() {
        let c = join(p, &n);
        if is_dir(&c) {
            settle(&c);
        }
    }
    if let Ok(s) = sys::stat(p, false) {
        if s.st_mtime > 1_100_000_000 {
            let _ = sys::utimens(p, 1_050_000_000, 1_050_000_000, false);
        }
    }
}

/// Removes a tree.
pub fn remove(p: &[u8]) {
    if is_dir(p) {
        for (n, ..) in names(p).unwrap_or_default() {
            remove(&join(p, &n));
        }
        let _ = sys::rmdir(p);
    } else {
        let _ = sys::unlink(p);
    }
}
