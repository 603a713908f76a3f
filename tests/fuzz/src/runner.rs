// SPDX-License-Identifier: GPL-2.0
//! One side of a comparison while it runs: the open descriptors, mappings and handles, and what
//! each operation makes of them, as text in which two runs can be compared.

use std::collections::HashMap;

use crate::case::{show, Case, Name, Op};
use crate::layers::{data, join, names, Side, PLAIN};
use crate::snapshot::{bytes, hash, stat_text};
use crate::sys::{self, Map, Res};

/// An ACL as the extended attribute has it.
pub fn acl_bytes(acl: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut v = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in acl {
        v.extend(tag.to_le_bytes());
        v.extend(perm.to_le_bytes());
        v.extend(id.to_le_bytes());
    }
    v
}

fn res(r: Res) -> String {
    match r {
        Ok(v) => format!("{v}"),
        Err(e) => format!("E{e}"),
    }
}

fn with<T>(r: Result<T, i32>, f: impl FnOnce(T) -> String) -> String {
    match r {
        Ok(v) => f(v),
        Err(e) => format!("E{e}"),
    }
}

pub fn unit(r: Res) -> String {
    with(r, |_| "ok".into())
}

/// One side while it runs.
pub struct Runner<'a> {
    pub side: Side,
    case: &'a Case,
    /// When the case began.
    pub start: i64,
    pub fds: [Option<i32>; 6],
    /// The inode that was opened.
    opened: [(u64, u64); 6],
    maps: [Option<Map>; 6],
    handles: [Option<sys::Handle>; 4],
    /// The inodes of paths, while nothing was renamed or removed.
    inodes: HashMap<Vec<u8>, (u64, u64)>,
    /// There was a crowd.
    crowded: bool,
}

/// The type that is not this one.
pub fn other(ty: &str) -> &'static str {
    if ty == "overlay" {
        "overlay_rs"
    } else {
        "overlay"
    }
}

/// Becomes one of the users, and root again when dropped.
struct As(u8);

impl As {
    fn new(who: u8) -> Self {
        if who != 0 {
            let id = 999 + u32::from(who);
            let _ = sys::setgroups(&[if who == 1 { 1001 } else { 5 }]);
            let _ = sys::setegid(id);
            let _ = sys::seteuid(id);
        }
        As(who)
    }
}

impl Drop for As {
    fn drop(&mut self) {
        if self.0 != 0 {
            let _ = sys::seteuid(0);
            let _ = sys::setegid(0);
            let _ = sys::setgroups(&[]);
        }
    }
}

impl<'a> Runner<'a> {
    pub fn new(case: &'a Case, side: Side) -> Self {
        Self {
            side,
            case,
            start: 0,
            fds: [None; 6],
            opened: [(0, 0); 6],
            maps: Default::default(),
            handles: Default::default(),
            inodes: HashMap::new(),
            crowded: false,
        }
    }
    pub fn p(&self, n: &Name) -> Vec<u8> {
        join(&self.side.mnt, &n.0)
    }

    pub fn close_all(&mut self) {
        for i in 0..self.fds.len() {
            self.maps[i] = None;
            if let Some(fd) = self.fds[i].take() {
                let _ = sys::close(fd);
            }
        }
        let _ = sys::chdir(b"/");
    }

    fn install(&mut self, slot: u8, r: Res) -> String {
        match r {
            Ok(fd) => {
                let i = slot as usize % 6;
                if let Some(old) = self.fds[i].replace(fd as i32) {
                    let _ = sys::close(old);
                }
                self.opened[i] = sys::fstat(fd as i32).map_or((0, 0), |s| (s.st_dev, s.st_ino));
                "ok".into()
            }
            Err(e) => format!("E{e}"),
        }
    }

    fn stat(&mut self, p: &[u8], follow: bool) -> String {
        match sys::stat(p, follow) {
            Ok(s) => {
                let id = (s.st_dev, s.st_ino);
                let key = [p, if follow { b"+" } else { b"" }].concat();
                let ino = match self.inodes.insert(key, id) {
                    None => "",
                    Some(old) if old == id => " same inode",
                    Some(_) => " another inode",
                };
                stat_text(&s, self.start) + ino
            }
            Err(e) => format!("E{e}"),
        }
    }

    /// Reads on from here: every entry.
    fn rest(fd: i32, size: usize) -> Result<Vec<(Vec<u8>, u8)>, i32> {
        let mut v = Vec::new();
        loop {
            let d = sys::entries(fd, size)?;
            if d.is_empty() || v.len() > 10_000 {
                return Ok(v);
            }
            v.extend(d.into_iter().map(|(n, _, _, t)| (n, t)));
        }
    }

    fn list(v: &[(Vec<u8>, u8)]) -> String {
        let mut v: Vec<String> = v.iter().map(|(n, t)| format!("{}:{t}", show(n))).collect();
        v.sort();
        v.join(" ")
    }

    fn walk(p: &[u8], depth: u32) -> String {
        match names(p) {
            Err(e) => format!("E{e}"),
            Ok(v) => {
                let mut t = String::from("(");
                for (n, _, k) in v {
                    t += &format!("{}:{k}", show(&n));
                    if k == libc::DT_DIR && depth > 0 {
                        t += &Self::walk(&join(p, &n), depth - 1);
                    }
                    t.push(' ');
                }
                t + ")"
            }
        }
    }

    /// Three processes at once, whose results do not depend on who is first.
    fn crowd(&self, dir: &Name, path: &Name) -> String {
        let (dir, path) = (self.p(dir), self.p(path));
        let mode = sys::stat(&path, false).map_or(0, |s| s.st_mode);
        // It would be followed; and what is made in the other while its mode changes has one of two.
        let kind = mode & libc::S_IFMT;
        let apart = kind == libc::S_IFLNK || kind == libc::S_IFDIR && mode & libc::S_ISGID != 0;
        let job = |k: u8| {
            let name = |what: &str, i: u8| join(&dir, format!("{what}-{k}-{i}").as_bytes());
            let mut t = String::new();
            let mut say = |r: Res| t += &unit(r.map(|_| 0));
            for i in 0..4 {
                let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
                let new = sys::open(&name("new", i), flags, 0o644);
                if let Ok(fd) = new {
                    say(sys::write(fd as i32, &data(i.into(), 1000), None));
                    say(sys::close(fd as i32));
                }
                say(new);
                if i % 2 == 1 {
                    say(sys::rename(&name("new", i), &name("old", i), 0));
                }
                if i == 3 {
                    say(sys::unlink(&name("old", i)));
                }
            }
            say(sys::mkdir(&name("dir", 0), 0o755));
            if apart {
                return t;
            }
            // One object for all: whoever comes first copies it up.
            match k {
                // What the others may do does not change.
                0 => say(sys::chmod(&path, mode & 0o777)),
                1 => say(sys::setxattr(&path, "user.crowd", b"1", 0)),
                _ => say(sys::utimens(&path, 1_000_000_000, -2, false)),
            }
            let flags = libc::O_WRONLY | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOFOLLOW;
            let fd = sys::open(&path, flags, 0);
            if let Ok(fd) = fd {
                say(sys::write(fd as i32, b"crowd", None));
                say(sys::close(fd as i32));
            }
            say(fd);
            t
        };
        let all: Vec<_> = (0..3).map(|k| sys::Process::new(|| job(k))).collect();
        all.into_iter()
            .map(|p| match p {
                Ok(p) => p.join() + " ",
                Err(e) => format!("E{e} "),
            })
            .collect()
    }

    pub fn run(&mut self, who: u8, op: &Op) -> String {
        use Op::*;
        // What changes names: paths may mean other inodes from now on.
        if matches!(
            op,
            Rename { .. }
                | Unlink { .. }
                | Rmdir { .. }
                | Mkdir { .. }
                | LinkFd { .. }
                | Mknod { .. }
                | Symlink { .. }
                | Remount
                | Swap
                | Stack
                | DropCaches
                | ReaddirRemove { .. }
        ) {
            self.inodes.clear();
        }
        match op {
            Remount | Swap | Stack => {
                self.close_all();
                let a = unit(self.side.umount());
                if matches!(op, Stack) && a == "ok" && !self.case.read_only {
                    // Handles of the upper would be those of a lower now.
                    self.handles = Default::default();
                    if let Err(e) = self.side.stack() {
                        return format!("E{e}");
                    }
                }
                if matches!(op, Swap) && self.side.ty != PLAIN {
                    self.side.ty = other(&self.side.ty).into();
                }
                let ty = self.side.ty.clone();
                let b = unit(self.side.mount(self.case, &ty, 0));
                return format!("{a} {b}");
            }
            ReadOnly { on } => {
                let fl = libc::MS_REMOUNT | if *on { libc::MS_RDONLY } else { 0 };
                return unit(sys::mount("fuzz", &self.side.mnt, "", fl, b""));
            }
            DropCaches => {
                // It is for all file systems: one side is enough.
                if self.side.ty == "overlay" {
                    if let Ok(fd) = sys::open(b"/proc/sys/vm/drop_caches", libc::O_WRONLY, 0) {
                        let _ = sys::write(fd as i32, b"2", None);
                        let _ = sys::close(fd as i32);
                    }
                }
                return String::new();
            }
            Umask { mask } => {
                sys::umask(*mask).ok();
                return String::new();
            }
            _ => {}
        }
        let fd = |i: u8| self.fds[i as usize % 6].unwrap_or(-1);
        let start = self.start;
        let _who = As::new(who);
        match op {
            Open {
                fd,
                path,
                flags,
                mode,
            } => {
                let r = sys::open(&self.p(path), *flags, *mode);
                self.install(*fd, r)
            }
            Tmpfile {
                fd,
                dir,
                mode,
                excl,
            } => {
                let fl = libc::O_TMPFILE | libc::O_RDWR | if *excl { libc::O_EXCL } else { 0 };
                let r = sys::open(&self.p(dir), fl, *mode);
                self.install(*fd, r)
            }
            LinkFd { fd: f, path } => unit(sys::link_fd(fd(*f), &self.p(path))),
            Close { fd } => match self.fds[*fd as usize % 6].take() {
                Some(f) => unit(sys::close(f)),
                None => String::new(),
            },
            Read { fd: f, len } => {
                let mut b = sys::Aligned::zeroed(*len as usize);
                with(sys::read(fd(*f), b.get(), None), |n| {
                    format!("{n} {:x}", hash(&b.get()[..n as usize]))
                })
            }
            Pread { fd: f, off, len } => {
                let mut b = sys::Aligned::zeroed(*len as usize);
                with(sys::read(fd(*f), b.get(), Some(*off)), |n| {
                    format!("{n} {:x}", hash(&b.get()[..n as usize]))
                })
            }
            Write { fd: f, seed, len } => {
                let mut b = sys::Aligned::new(&data(*seed, *len as usize));
                res(sys::write(fd(*f), b.get(), None))
            }
            Pwrite {
                fd: f,
                off,
                seed,
                len,
            } => {
                let mut b = sys::Aligned::new(&data(*seed, *len as usize));
                res(sys::write(fd(*f), b.get(), Some(*off)))
            }
            Seek { fd: f, off, whence } => {
                // A directory's places are the file system's own.
                let dir =
                    sys::fstat(fd(*f)).is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR);
                let off = if dir && *whence == 0 { 0 } else { *off };
                let r = sys::lseek(fd(*f), off, *whence);
                if dir {
                    unit(r)
                } else {
                    res(r)
                }
            }
            Ftruncate { fd: f, len } => unit(sys::ftruncate(fd(*f), *len)),
            Fallocate {
                fd: f,
                mode,
                off,
                len,
            } => unit(sys::fallocate(fd(*f), *mode, *off, *len)),
            Fstat { fd: f } => {
                let was = self.opened[*f as usize % 6];
                with(sys::fstat(fd(*f)), |s| {
                    let same = if (s.st_dev, s.st_ino) == was {
                        "same"
                    } else {
                        "another"
                    };
                    format!("{} {same} inode", stat_text(&s, start))
                })
            }
            Fchmod { fd: f, mode } => unit(sys::fchmod(fd(*f), *mode)),
            Fchown { fd: f, uid, gid } => unit(sys::fchown(fd(*f), *uid, *gid)),
            Futimens { fd: f, at, mt } => unit(sys::futimens(fd(*f), *at, *mt)),
            Fsetxattr { fd: f, name, val } => unit(sys::fsetxattr(fd(*f), name, val)),
            Fgetxattr { fd: f, name } => with(sys::fgetxattr(fd(*f), name), |v| bytes(&v)),
            Fsync { fd: f, data } => unit(if *data {
                sys::fdatasync(fd(*f))
            } else {
                sys::fsync(fd(*f))
            }),
            CopyRange {
                from,
                to,
                off,
                to_off,
                len,
            } => res(sys::copy_file_range(
                fd(*from),
                *off,
                fd(*to),
                *to_off,
                *len as usize,
            )),
            CloneRange {
                from,
                to,
                off,
                len,
                to_off,
            } => unit(sys::clone_range(fd(*from), *off, *len, fd(*to), *to_off)),
            Dedupe {
                from,
                to,
                off,
                len,
                to_off,
            } => with(
                sys::dedupe(fd(*from), *off, *len, fd(*to), *to_off),
                |(n, s)| format!("{n} {s}"),
            ),
            Sendfile { from, to, off, len } => {
                res(sys::sendfile(fd(*from), fd(*to), *off, *len as usize))
            }
            MapWrite {
                fd: f,
                off,
                seed,
                len,
            } => {
                let size = sys::fstat(fd(*f)).map_or(0, |s| s.st_size);
                if size <= 0 || size > 1 << 24 {
                    return String::new();
                }
                let r = Map::new(fd(*f), size as usize, true, true);
                with(r, |m| {
                    format!(
                        "{} {}",
                        m.put(*off as usize, &data(*seed, *len as usize)),
                        unit(m.msync())
                    )
                })
            }
            MapHold { fd: f, shared } => {
                let size = sys::fstat(fd(*f)).map_or(0, |s| s.st_size);
                if size <= 0 || size > 1 << 24 {
                    return String::new();
                }
                match Map::new(fd(*f), size as usize, false, *shared) {
                    Ok(m) => {
                        // What a private mapping shows of later writes is decided when it is touched.
                        let n = m.pages().len();
                        self.maps[*f as usize % 6] = Some(m);
                        format!("{n}")
                    }
                    Err(e) => format!("E{e}"),
                }
            }
            MapCheck { fd } => match &self.maps[*fd as usize % 6] {
                Some(m) => m
                    .pages()
                    .iter()
                    .map(|p| {
                        p.as_ref()
                            .map_or("- ".into(), |b| format!("{:x} ", hash(b)))
                    })
                    .collect(),
                None => String::new(),
            },
            // Where a crowd was, names come in the order in which it made them.
            Getdents { fd: f, .. } if self.crowded => {
                with(Self::rest(fd(*f), 32768), |v| Self::list(&v))
            }
            Getdents { fd: f, size } => with(sys::entries(fd(*f), *size as usize), |v| {
                let v: Vec<String> = v
                    .iter()
                    .map(|(n, _, _, t)| format!("{}:{t}", show(n)))
                    .collect();
                v.join(" ")
            }),
            GetFlags { fd: f } => with(sys::getflags(fd(*f)), |v| format!("{v:x}")),
            SetFlags { fd: f, flags } => {
                // Without the flag of extents, ext4 would move the data: if it can is a matter of
                // where they are.
                let keep = sys::getflags(fd(*f)).unwrap_or(0) as i32 & 0x8_0000;
                unit(sys::setflags(fd(*f), *flags | keep))
            }
            Fadvise { fd: f, advice } => unit(sys::fadvise(fd(*f), *advice)),
            Fchdir { fd: f } => {
                let r = unit(sys::fchdir(fd(*f)));
                let _ = sys::chdir(b"/");
                r
            }
            Stat { path, follow } => {
                let p = self.p(path);
                self.stat(&p, *follow)
            }
            Statfs { path } => with(sys::statfs(&self.p(path)), |(t, n, f)| {
                format!("{t:x} {n} {f:x}")
            }),
            Access { path, mode } => unit(sys::access(&self.p(path), *mode)),
            Readlink { path } => with(sys::readlink(&self.p(path)), |v| show(&v)),
            Truncate { path, len } => unit(sys::truncate(&self.p(path), *len)),
            Rename { from, to, flags } => unit(sys::rename(&self.p(from), &self.p(to), *flags)),
            Link { from, to, follow } => unit(sys::link(
                &self.p(from),
                &self.p(to),
                if *follow { libc::AT_SYMLINK_FOLLOW } else { 0 },
            )),
            Unlink { path } => unit(sys::unlink(&self.p(path))),
            Rmdir { path } => unit(sys::rmdir(&self.p(path))),
            Mkdir { path, mode } => unit(sys::mkdir(&self.p(path), *mode)),
            Symlink { target, path } => unit(sys::symlink(&target.0, &self.p(path))),
            Mknod { path, mode, dev } => unit(sys::mknod(&self.p(path), *mode, (*dev).into())),
            Chmod { path, mode } => unit(sys::chmod(&self.p(path), *mode)),
            Chown { path, uid, gid } => unit(sys::lchown(&self.p(path), *uid, *gid)),
            Utimens {
                path,
                at,
                mt,
                follow,
            } => unit(sys::utimens(&self.p(path), *at, *mt, *follow)),
            Setxattr {
                path,
                name,
                val,
                flags,
            } => unit(sys::setxattr(&self.p(path), name, val, *flags)),
            Getxattr { path, name, size } => with(
                sys::getxattr(&self.p(path), name, *size as usize),
                |(n, v)| format!("{n} {}", bytes(&v)),
            ),
            Removexattr { path, name } => unit(sys::removexattr(&self.p(path), name)),
            Listxattr { path } => with(sys::listxattr(&self.p(path)), |v| v.join(" ")),
            SetAcl { path, default, acl } => {
                let n = if *default {
                    "system.posix_acl_default"
                } else {
                    "system.posix_acl_access"
                };
                unit(sys::setxattr(&self.p(path), n, &acl_bytes(acl), 0))
            }
            Readdir { path } => with(names(&self.p(path)), |v| {
                Self::list(&v.into_iter().map(|(n, _, t)| (n, t)).collect::<Vec<_>>())
            }),
            ReaddirSeek { path, size, back } => {
                let fd = match sys::open(&self.p(path), libc::O_RDONLY | libc::O_DIRECTORY, 0) {
                    Ok(fd) => fd as i32,
                    Err(e) => return format!("E{e}"),
                };
                let mut all = Vec::new();
                for _ in 0..*back {
                    all.extend(
                        sys::entries(fd, *size as usize)
                            .unwrap_or_default()
                            .into_iter()
                            .map(|(n, _, _, t)| (n, t)),
                    );
                }
                let at = sys::lseek(fd, 0, libc::SEEK_CUR).unwrap_or(-1);
                let first = Self::rest(fd, *size as usize).unwrap_or_default();
                let back = unit(sys::lseek(fd, at, libc::SEEK_SET));
                let second = Self::rest(fd, *size as usize).unwrap_or_default();
                let again = if first == second {
                    "the same again"
                } else {
                    "NOT the same again"
                };
                all.extend(first);
                let _ = sys::close(fd);
                format!("{} {back} {again}", Self::list(&all))
            }
            ReaddirRemove { path, size } => {
                let p = self.p(path);
                let fd = match sys::open(&p, libc::O_RDONLY | libc::O_DIRECTORY, 0) {
                    Ok(fd) => fd as i32,
                    Err(e) => return format!("E{e}"),
                };
                let mut all = Vec::new();
                while let Ok(d) = sys::entries(fd, *size as usize) {
                    if d.is_empty() || all.len() > 1000 {
                        break;
                    }
                    for (n, _, _, t) in d {
                        let r = if t == libc::DT_DIR {
                            String::new()
                        } else {
                            unit(sys::unlink(&join(&p, &n)))
                        };
                        all.push(format!("{}:{t}{r}", show(&n)));
                    }
                }
                all.sort();
                let _ = sys::close(fd);
                format!(
                    "{} then {}",
                    all.join(" "),
                    with(names(&p), |v| v.len().to_string())
                )
            }
            Walk { path } => Self::walk(&self.p(path), 3),
            Sync => {
                let r = sys::open(&self.side.mnt, libc::O_RDONLY, 0);
                with(r, |f| {
                    let r = unit(sys::syncfs(f as i32));
                    let _ = sys::close(f as i32);
                    r
                })
            }
            Lock {
                fd: f,
                kind,
                start,
                len,
                test,
            } => {
                let kind = [libc::F_RDLCK, libc::F_WRLCK, libc::F_UNLCK][*kind as usize % 3];
                with(sys::lock(fd(*f), kind, *start, *len, *test), |l| {
                    format!("{l:?}")
                })
            }
            Flock { fd: f, op } => unit(sys::flock(fd(*f), *op | libc::LOCK_NB)),
            Handle { slot, path, flags } => match sys::Handle::of(&self.p(path), *flags) {
                Ok(h) => {
                    let t = h.text();
                    self.handles[*slot as usize % 4] = Some(h);
                    t
                }
                Err(e) => format!("E{e}"),
            },
            OpenHandle { slot, fd, flags } => match &self.handles[*slot as usize % 4] {
                Some(h) => {
                    let r = h.open(&self.side.mnt, *flags);
                    self.install(*fd, r)
                }
                None => String::new(),
            },
            Crowd { dir, path } => {
                self.crowded = true;
                self.crowd(dir, path)
            }
            Remount | Swap | Stack | ReadOnly { .. } | DropCaches | Umask { .. } => String::new(),
        }
    }
}
