// SPDX-License-Identifier: GPL-2.0
//! Which operation comes next.

use super::{Gen, Slot};
use crate::case::{Name, Op};

impl Gen {
    pub(super) fn op(&mut self) -> Op {
        let fd = self.fd(Slot::File);
        let other = self.fd(Slot::File);
        let mut which = self.r.below(234);
        if (23..=83).contains(&which)
            && self.slots.iter().all(|s| *s == Slot::Closed)
            && self.r.chance(85)
        {
            // First something has to be open.
            which = 0;
        }
        match which {
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
                if flags & libc::O_CREAT == 0 {
                    // Alone it is for block devices, and both sides have the same ones.
                    flags &= !libc::O_EXCL;
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
                fd: self.fd(Slot::Dir),
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
                on: self.r.chance(25),
            },
            207..=208 if self.drops => Op::DropCaches,
            209 => Op::Sync,
            210 => Op::Umask {
                mask: *self.r.pick(&[0, 0o22, 0o22, 0o77]),
            },
            211 => Op::Fchdir {
                fd: self.fd(Slot::Dir),
            },
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
            231 if self.stacks => Op::Stack,
            _ => Op::Stat {
                path: self.path(),
                follow: false,
            },
        }
    }
}
