// SPDX-License-Identifier: GPL-2.0
//! From a seed to a case. Paths come from few names, so that operations meet each other and what
//! is in the layers; now and then a name is odd.

use crate::case::{Case, Entry, Kind, Name, Op};
use crate::hostile;
use crate::rng::Rng;

const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f"];
const ODD: &[&[u8]] = &[
    b"with space",
    b"\xff\xfe",
    b"new\nline",
    b"..x",
    b".hidden",
    b"quote\"'",
    b"comma,colon:back\\slash",
    b"\xe4\xbd\xa0\xe5\xa5\xbd",
    b"work",
    b"#tmp",
    b"%41",
];

pub struct Options {
    pub upper_fs: Vec<String>,
    pub lower_fs: Vec<String>,
    pub ops: usize,
    /// With damage to the layers.
    pub hostile: bool,
    /// By the owner of a user namespace, who can only make `user.*` attributes.
    pub userns: bool,
}

struct Gen {
    r: Rng,
    /// Paths that are there, as far as can be told without running anything.
    known: Vec<Name>,
    dirs: Vec<Name>,
    /// Slots that are probably open.
    open: Vec<u8>,
    /// Whether caches are dropped: that stops all other cases.
    drops: bool,
}

impl Gen {
    fn component(&mut self) -> Vec<u8> {
        match self.r.below(60) {
            0 => self.r.pick(ODD).to_vec(),
            1 => vec![b'L'; *self.r.pick(&[200, 254, 255, 256])],
            _ => self.r.pick(NAMES).as_bytes().to_vec(),
        }
    }

    /// A path below one that is probably a directory; now and then below nothing.
    fn fresh(&mut self) -> Name {
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
    fn path(&mut self) -> Name {
        let n = self.known.len();
        if n == 0 || self.r.chance(8) {
            return self.fresh();
        }
        let among = if self.r.chance(50) { n.min(10) } else { n };
        self.known[n - 1 - self.r.below(among as u64) as usize].clone()
    }

    /// A path for something new.
    fn new_path(&mut self) -> Name {
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

    fn dir(&mut self) -> Name {
        if self.r.chance(8) {
            self.path()
        } else {
            self.r.pick(&self.dirs).clone()
        }
    }

    /// A directory, but not the root.
    fn own_dir(&mut self) -> Name {
        let mut d = self.dir();
        for _ in 0..3 {
            if d.0.is_empty() {
                d = self.dir();
            }
        }
        d
    }

    /// Something is at this path now, and its parents are directories.
    fn note(&mut self, p: &Name, dir: bool) {
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
    fn forget(&mut self, p: &Name) {
        let below = [&p.0[..], b"/"].concat();
        let gone = |k: &Name| k == p || k.0.starts_with(&below);
        self.known.retain(|k| !gone(k));
        self.dirs.retain(|k| k.0.is_empty() || !gone(k));
    }

    /// What was at the one path is at the other.
    fn moved(&mut self, from: &Name, to: &Name) {
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

    /// A slot that is probably open.
    fn fd(&mut self) -> u8 {
        if self.open.is_empty() || self.r.chance(8) {
            self.r.below(6) as u8
        } else {
            *self.r.pick(&self.open)
        }
    }

    /// What the operation changes in this picture.
    fn effect(&mut self, op: &Op) {
        let opened = |g: &mut Self, fd: u8| {
            if !g.open.contains(&fd) {
                g.open.push(fd);
            }
        };
        match op {
            Op::Open {
                fd, path, flags, ..
            } => {
                opened(self, *fd);
                if flags & libc::O_CREAT != 0 && !self.known.contains(path) {
                    self.note(path, false);
                }
            }
            Op::Tmpfile { fd, .. } | Op::OpenHandle { fd, .. } => opened(self, *fd),
            Op::Close { fd } => self.open.retain(|f| f != fd),
            Op::Remount | Op::Swap | Op::Stack => self.open.clear(),
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

    fn mode(&mut self) -> u32 {
        *self.r.pick(&[
            0o644, 0o755, 0o777, 0o600, 0o700, 0o000, 0o444, 0o4755, 0o2755, 0o1777, 0o6711,
        ])
    }

    fn id(&mut self) -> u32 {
        *self.r.pick(&[0, 1000, 1001, 5, u32::MAX])
    }

    fn xattr(&mut self) -> (String, Vec<u8>) {
        let name = *self.r.pick(&[
            "user.one",
            "user.two",
            "trusted.three",
            "security.four",
            "user.overlay.five",
            "trusted.overlay.six",
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "trusted.overlay.overlay.opaque",
            "security.capability",
            "user.one",
        ]);
        let len = *self.r.pick(&[0u64, 1, 8, 100, 3000]);
        let mut v: Vec<u8> = (0..len).map(|_| self.r.word() as u8).collect();
        if name == "security.capability" {
            v = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        }
        (name.into(), v)
    }

    fn acl(&mut self) -> Vec<(u16, u16, u32)> {
        let none = u32::MAX;
        let mut p = || self.r.below(8) as u16;
        let (u, nu, g, m, o) = (p(), p(), p(), p(), p());
        match self.r.below(5) {
            0 => vec![(1, u, none), (4, g, none), (32, o, none)],
            // Not valid: a named user without a mask.
            1 if self.r.chance(20) => {
                vec![(1, u, none), (2, nu, 1000), (4, g, none), (32, o, none)]
            }
            _ => vec![
                (1, u, none),
                (2, nu, 1000),
                (4, g, none),
                (8, nu, 1001),
                (16, m, none),
                (32, o, none),
            ],
        }
    }

    fn len(&mut self) -> u32 {
        *self.r.pick(&[0, 1, 10, 100, 4095, 4096, 4097, 9000, 70000])
    }

    fn off(&mut self) -> i64 {
        *self.r.pick(&[0, 0, 1, 100, 4096, 5000, 65536, 200_000, -1])
    }

    fn old_time(&mut self) -> i64 {
        1_000_000_000 + self.r.below(1_000_000) as i64
    }

    fn time(&mut self) -> i64 {
        match self.r.below(4) {
            0 => -1,
            1 => -2,
            _ => self.old_time(),
        }
    }

    /// Where an object says that it was: by an absolute path, or by another name beside it.
    fn redirect(&mut self) -> Name {
        match self.r.below(10) {
            0..=5 => Name([b"/", &self.path().0[..]].concat()),
            6..=8 => Name(self.component()),
            _ => Name(
                self.r
                    .pick(&[
                        &b"/"[..],
                        b"",
                        b"//a",
                        b"/a/",
                        b"a/b",
                        b"..",
                        b"/..",
                        b"/a/../b",
                        b"/./a",
                        b"/none/such",
                    ])
                    .to_vec(),
            ),
        }
    }

    fn entry(&mut self, lowers: usize, read_only: bool) -> Entry {
        let layer = if !read_only && self.r.chance(12) {
            0
        } else {
            1 + self.r.below(lowers as u64) as usize
        };
        let path = if self.known.is_empty() || self.r.chance(60) {
            self.fresh()
        } else {
            self.path()
        };
        let below = [&path.0[..], b"/"].concat();
        // What has something below it in one layer is seldom anything else in another one.
        let parent = self.known.iter().any(|k| k.0.starts_with(&below)) && self.r.chance(85);
        let what = if parent {
            35 + self.r.below(28)
        } else {
            self.r.below(100)
        };
        let kind = match what {
            0..=34 => Kind::File(
                self.r.seed(),
                self.len(),
                if self.r.chance(15) { 20000 } else { 0 },
            ),
            35..=62 => Kind::Dir,
            63..=70 => {
                let t = match self.r.below(4) {
                    // Out of the overlay, where the two would meet, but to nothing.
                    0 => Name(b"/no/such/place".to_vec()),
                    1 => Name(b"../a".to_vec()),
                    _ => Name(self.component()),
                };
                Kind::Symlink(t)
            }
            71..=73 => Kind::Fifo,
            74 => Kind::Socket,
            75..=76 => Kind::Device(*self.r.pick(&[0x103, 0x105, 0x700])),
            77..=84 => Kind::Whiteout,
            85..=87 => Kind::WhiteoutXattr,
            88..=91 => Kind::Opaque,
            92..=94 => Kind::Redirect(self.redirect()),
            95..=97 => {
                let to = self.r.chance(60).then(|| self.redirect());
                Kind::Metacopy(self.len(), to)
            }
            _ => Kind::Link(self.path()),
        };
        match kind {
            Kind::Whiteout | Kind::WhiteoutXattr => self.forget(&path),
            _ => self.note(
                &path,
                matches!(kind, Kind::Dir | Kind::Opaque | Kind::Redirect(_)),
            ),
        }
        let mut xattrs = Vec::new();
        while self.r.chance(15) {
            let (n, v) = self.xattr();
            if !n.contains("overlay.") || n.contains("overlay.overlay") {
                xattrs.push((n, v));
            }
        }
        if self.r.chance(6) {
            let a = self.acl();
            xattrs.push((
                "system.posix_acl_access".into(),
                crate::execute::acl_bytes(&a),
            ));
        }
        if matches!(kind, Kind::Dir) && self.r.chance(6) {
            let a = self.acl();
            xattrs.push((
                "system.posix_acl_default".into(),
                crate::execute::acl_bytes(&a),
            ));
        }
        let mode =
            if matches!(kind, Kind::Dir | Kind::Opaque | Kind::Redirect(_)) && self.r.chance(80) {
                0o755
            } else {
                self.mode()
            };
        Entry {
            layer,
            path,
            kind,
            mode,
            uid: *self.r.pick(&[0, 0, 1000, 1001]),
            gid: *self.r.pick(&[0, 0, 1000, 1001]),
            mtime: self.old_time(),
            xattrs,
        }
    }

    fn op(&mut self) -> Op {
        let fd = self.fd();
        let other = self.fd();
        match self.r.below(234) {
            0..=19 => {
                let fd = self.r.below(6) as u8;
                let acc =
                    *self
                        .r
                        .pick(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR]);
                let mut flags = acc | libc::O_NONBLOCK;
                for f in [
                    libc::O_CREAT,
                    libc::O_TRUNC,
                    libc::O_APPEND,
                    libc::O_EXCL,
                    libc::O_NOFOLLOW,
                    libc::O_DIRECTORY,
                    libc::O_PATH,
                    libc::O_NOATIME,
                    libc::O_SYNC,
                    libc::O_DIRECT,
                ] {
                    if self.r.chance(if f == libc::O_CREAT { 35 } else { 7 }) {
                        flags |= f;
                    }
                }
                let path = self.path();
                if self.dirs.contains(&path) && self.r.chance(75) {
                    flags = libc::O_RDONLY | libc::O_DIRECTORY;
                } else if !self.known.contains(&path) && self.r.chance(75) {
                    flags |= libc::O_CREAT;
                }
                Op::Open {
                    fd,
                    path,
                    flags,
                    mode: self.mode(),
                }
            }
            20..=22 => Op::Tmpfile {
                fd,
                dir: self.dir(),
                mode: self.mode(),
                excl: self.r.chance(15),
            },
            23..=25 => Op::LinkFd {
                fd,
                path: self.new_path(),
            },
            26..=30 => Op::Close { fd },
            31..=35 => Op::Read {
                fd,
                len: self.len(),
            },
            36..=38 => Op::Pread {
                fd,
                off: self.off(),
                len: self.len(),
            },
            39..=45 => Op::Write {
                fd,
                seed: self.r.seed(),
                len: self.len(),
            },
            46..=48 => Op::Pwrite {
                fd,
                off: self.off(),
                seed: self.r.seed(),
                len: self.len(),
            },
            49..=51 => Op::Seek {
                fd,
                off: self.off(),
                whence: self.r.below(5) as i32,
            },
            52..=53 => Op::Ftruncate {
                fd,
                len: self.off(),
            },
            54..=56 => Op::Fallocate {
                fd,
                mode: *self.r.pick(&[0, 1, 3, 0x10, 0x11, 8, 0x20]),
                off: self.off().max(0),
                len: *self.r.pick(&[1, 4096, 8192, 50000, 0]),
            },
            57..=59 => Op::Fstat { fd },
            60 => Op::Fchmod {
                fd,
                mode: self.mode(),
            },
            61 => Op::Fchown {
                fd,
                uid: self.id(),
                gid: self.id(),
            },
            62 => Op::Futimens {
                fd,
                at: self.time(),
                mt: self.time(),
            },
            63 => {
                let (name, val) = self.xattr();
                Op::Fsetxattr { fd, name, val }
            }
            64 => Op::Fgetxattr {
                fd,
                name: self.xattr().0,
            },
            65 => Op::Fsync {
                fd,
                data: self.r.chance(50),
            },
            66..=67 => Op::CopyRange {
                from: fd,
                to: other,
                off: self.off().max(0),
                to_off: self.off().max(0),
                len: self.len(),
            },
            68..=69 => Op::CloneRange {
                from: fd,
                to: other,
                off: *self.r.pick(&[0, 4096]),
                len: *self.r.pick(&[0, 4096, 100]),
                to_off: *self.r.pick(&[0, 4096, 65536]),
            },
            70 => Op::Dedupe {
                from: fd,
                to: other,
                off: 0,
                len: *self.r.pick(&[4096, 8192]),
                to_off: *self.r.pick(&[0, 4096]),
            },
            71 => Op::Sendfile {
                from: fd,
                to: other,
                off: self.off().max(0),
                len: self.len(),
            },
            72..=73 => Op::MapWrite {
                fd,
                off: self.len(),
                seed: self.r.seed(),
                len: self.len(),
            },
            74..=75 => Op::MapHold {
                fd,
                shared: self.r.chance(70),
            },
            76..=78 => Op::MapCheck { fd },
            79..=80 => Op::Getdents {
                fd,
                size: *self.r.pick(&[24, 60, 100, 400, 4096]),
            },
            81 => Op::GetFlags { fd },
            82 => Op::SetFlags {
                fd,
                flags: *self.r.pick(&[0, 0x40, 0x80, 0xc0]),
            },
            83 => Op::Fadvise {
                fd,
                advice: self.r.below(6) as i32,
            },
            84..=93 => Op::Stat {
                path: self.path(),
                follow: self.r.chance(30),
            },
            94 => Op::Statfs { path: self.path() },
            95..=96 => Op::Access {
                path: self.path(),
                mode: self.r.below(8) as i32,
            },
            97 => Op::Readlink { path: self.path() },
            98..=100 => Op::Truncate {
                path: self.path(),
                len: self.off(),
            },
            101..=117 => {
                let from = self.path();
                let to = if self.r.chance(50) {
                    self.new_path()
                } else {
                    self.path()
                };
                Op::Rename {
                    from,
                    to,
                    flags: *self.r.pick(&[0, 0, 0, 0, 1, 2, 2, 4, 5]),
                }
            }
            118..=123 => Op::Link {
                from: self.path(),
                to: self.new_path(),
                follow: self.r.chance(15),
            },
            124..=133 => Op::Unlink { path: self.path() },
            134..=139 => Op::Rmdir {
                path: self.own_dir(),
            },
            140..=149 => Op::Mkdir {
                path: self.new_path(),
                mode: if self.r.chance(80) {
                    0o755
                } else {
                    self.mode()
                },
            },
            150..=153 => {
                let target = if self.r.chance(60) {
                    Name(self.component())
                } else {
                    self.path()
                };
                Op::Symlink {
                    target,
                    path: self.new_path(),
                }
            }
            154..=156 => Op::Mknod {
                path: self.new_path(),
                mode: *self.r.pick(&[
                    libc::S_IFIFO,
                    libc::S_IFCHR,
                    libc::S_IFCHR,
                    libc::S_IFBLK,
                    libc::S_IFSOCK,
                    libc::S_IFREG,
                ]) | self.mode(),
                dev: *self.r.pick(&[0, 0, 0x103, 0x700]),
            },
            157..=161 => Op::Chmod {
                path: self.path(),
                mode: self.mode(),
            },
            162..=165 => Op::Chown {
                path: self.path(),
                uid: self.id(),
                gid: self.id(),
            },
            166..=168 => Op::Utimens {
                path: self.path(),
                at: self.time(),
                mt: self.time(),
                follow: self.r.chance(30),
            },
            169..=173 => {
                let (name, val) = self.xattr();
                Op::Setxattr {
                    path: self.path(),
                    name,
                    val,
                    flags: *self.r.pick(&[0, 0, 0, 1, 2]),
                }
            }
            174..=175 => Op::Getxattr {
                path: self.path(),
                name: self.xattr().0,
                size: *self.r.pick(&[0, 1, 65536]),
            },
            176..=177 => Op::Removexattr {
                path: self.path(),
                name: self.xattr().0,
            },
            178..=179 => Op::Listxattr { path: self.path() },
            180..=183 => Op::SetAcl {
                path: self.path(),
                default: self.r.chance(40),
                acl: self.acl(),
            },
            184..=190 => Op::Readdir { path: self.dir() },
            191..=194 => Op::ReaddirSeek {
                path: self.dir(),
                size: *self.r.pick(&[40, 64, 120]),
                back: self.r.below(5) as u32,
            },
            195..=196 => Op::ReaddirRemove {
                path: self.dir(),
                size: *self.r.pick(&[40, 64, 120, 4096]),
            },
            197..=199 => Op::Walk { path: self.dir() },
            200..=201 => Op::Remount,
            202 => Op::Swap,
            203..=206 => Op::ReadOnly {
                // Where it is read-only, little happens: back soon.
                on: self.r.chance(12),
            },
            207..=208 if self.drops => Op::DropCaches,
            209 => Op::Sync,
            210 => Op::Umask {
                mask: *self.r.pick(&[0, 0o22, 0o22, 0o77]),
            },
            211 => Op::Fchdir { fd },
            220..=222 => Op::Lock {
                fd,
                kind: self.r.below(3) as i32,
                start: *self.r.pick(&[0, 0, 10, 4096]),
                len: *self.r.pick(&[0, 1, 100]),
                test: self.r.chance(25),
            },
            223 => Op::Flock {
                fd,
                op: *self.r.pick(&[libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_UN]),
            },
            224..=226 => Op::Handle {
                slot: self.r.below(4) as u8,
                path: self.path(),
                flags: *self.r.pick(&[0, 0, 0, 0x200, 2, libc::AT_SYMLINK_FOLLOW]),
            },
            227..=229 => Op::OpenHandle {
                slot: self.r.below(4) as u8,
                fd,
                flags: *self.r.pick(&[
                    libc::O_RDONLY,
                    libc::O_PATH,
                    libc::O_RDWR,
                    libc::O_WRONLY | libc::O_APPEND,
                    libc::O_RDONLY | libc::O_DIRECTORY,
                ]) | libc::O_NONBLOCK,
            },
            230 => Op::Crowd {
                dir: self.dir(),
                path: self.path(),
            },
            231 => Op::Stack,
            _ => Op::Stat {
                path: self.path(),
                follow: false,
            },
        }
    }
}

/// The case of a seed.
pub fn case(seed: u64, o: &Options) -> Case {
    let mut g = Gen {
        r: Rng::new(seed),
        known: Vec::new(),
        dirs: vec![Name(Vec::new())],
        open: Vec::new(),
        drops: false,
    };
    g.drops = g.r.chance(15);
    let lowers = if g.r.chance(60) {
        1 + g.r.below(2)
    } else {
        1 + g.r.below(8)
    } as usize;
    let read_only = g.r.chance(6);
    let upper_fs = g.r.pick(&o.upper_fs).clone();
    let lower_fs = if g.r.chance(65) {
        upper_fs.clone()
    } else {
        g.r.pick(&o.lower_fs).clone()
    };
    let mut options = Vec::new();
    let mut opt = |p: u64, list: &[&str]| {
        if g.r.chance(p) {
            options.push((*g.r.pick(list)).to_string());
        }
    };
    // Where layers are damaged, more of what reads them.
    let more = if o.hostile { 25 } else { 0 };
    opt(
        60 + more,
        &[
            "redirect_dir=on",
            "redirect_dir=on",
            "redirect_dir=off",
            "redirect_dir=nofollow",
            "redirect_dir=follow",
        ],
    );
    opt(35 + more, &["index=on", "index=off"]);
    opt(30 + more, &["metacopy=on", "metacopy=off"]);
    opt(35, &["xino=on", "xino=off", "xino=auto"]);
    opt(10 + more, &["nfs_export=on", "nfs_export=off"]);
    // What belongs together, now and then together.
    match g.r.below(8) {
        0 => options.extend(["redirect_dir=on", "index=on", "nfs_export=on"].map(str::to_string)),
        1 => options.extend(["redirect_dir=on", "index=on", "metacopy=on"].map(str::to_string)),
        _ => {}
    }
    let mut opt = |p: u64, list: &[&str]| {
        if g.r.chance(p) {
            options.push((*g.r.pick(list)).to_string());
        }
    };
    opt(10, &["volatile"]);
    opt(8, &["userxattr"]);
    opt(8, &["default_permissions"]);
    opt(8, &["uuid=on", "uuid=null", "uuid=off", "uuid=auto"]);
    if read_only && lowers < 2 {
        options.push("redirect_dir=off".into());
    }
    let most = if g.r.chance(10) { 80 } else { 20 };
    let n = 3 + g.r.below(most);
    let entries = (0..n).map(|_| g.entry(lowers, read_only)).collect();
    let k = o.ops / 2 + g.r.below(o.ops as u64) as usize;
    let alone = g.r.chance(40);
    let ops = (0..k)
        .map(|_| {
            let who = if alone || g.r.chance(70) {
                0
            } else {
                1 + g.r.below(2) as u8
            };
            let op = g.op();
            g.effect(&op);
            (who, op)
        })
        .collect();
    let mut case = Case {
        seed,
        upper_fs,
        lower_fs,
        lowers,
        data_layers: 0,
        read_only,
        options,
        entries,
        damage: Vec::new(),
        rounds: Vec::new(),
        ops,
    };
    if o.userns {
        // What is refused together with these attributes.
        case.options.retain(|o| {
            ![
                "userxattr",
                "redirect_dir=on",
                "metacopy=on",
                "nfs_export=on",
            ]
            .contains(&o.as_str())
        });
        case.options.push("userxattr".into());
    }
    if o.hostile {
        // The damage is to layers that stay where they are.
        case.ops.retain(|(_, op)| !matches!(op, Op::Stack));
        if lowers > 1 && g.r.chance(20) {
            case.data_layers = 1 + g.r.below(lowers as u64 - 1) as usize;
        }
        if g.r.chance(6) {
            case.options
                .push((*g.r.pick(&["verity=on", "verity=require"])).into());
        }
        case.damage = hostile::damage(&mut g.r, &case);
        for _ in 0..g.r.below(10) {
            let more = hostile::damage(&mut g.r, &case);
            case.rounds.push(more);
        }
    }
    case
}
