// SPDX-License-Identifier: GPL-2.0
//! A small read-only FUSE server: a lower layer that says of its objects whatever a test wants,
//! and another thing the next time.

use super::spawn;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::check::R;
use crate::f;
use rustix::mount::{mount, MountFlags};

/// An object. The first of a tree is its root; `parent` is an index.
#[derive(Clone)]
pub struct Node {
    pub parent: usize,
    pub name: &'static str,
    pub ino: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The contents, or the target of a symbolic link.
    pub data: Vec<u8>,
}

impl Node {
    pub fn new(parent: usize, name: &'static str, ino: u64, mode: u32, data: &str) -> Self {
        Self {
            parent,
            name,
            ino,
            mode,
            uid: 0,
            gid: 0,
            data: data.into(),
        }
    }
}

/// The tree that a server shows.
pub struct Server {
    pub nodes: Vec<Node>,
    /// For how many seconds the kernel may believe what it was told.
    pub valid: u64,
    /// Called before each answer about an object, with the number of answers so far.
    pub live: fn(&mut Node, u64),
}

/// What the kernel asks for.
mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const READLINK: u32 = 5;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const OPENDIR: u32 = 27;
    pub const READDIR: u32 = 28;
    pub const RELEASEDIR: u32 = 29;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
}

/// Bytes in the order of the machine.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(mut self, v: u16) -> Self {
        self.0.extend(v.to_ne_bytes());
        self
    }

    fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_ne_bytes());
        self
    }

    fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_ne_bytes());
        self
    }

    fn zeros(mut self, n: usize) -> Self {
        self.0.resize(self.0.len() + n, 0);
        self
    }
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

impl Server {
    /// A tree that stays as it is.
    pub fn fixed(nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            valid: 3600,
            live: |_, _| (),
        }
    }

    /// Mounts the tree and serves it in a child, which goes when the test does.
    pub fn mount(self, at: &Path) -> R<super::Child> {
        // It may be a module that nobody has needed so far.
        if !Path::new("/dev/fuse").exists() {
            super::run(Path::new("/sbin/modprobe"), &["fuse"])?;
        }
        let dev = OpenOptions::new().read(true).write(true).open("/dev/fuse");
        let dev = f::ctx(dev, "open", "/dev/fuse")?;
        let data = CString::new(format!(
            "fd={},rootmode=40755,user_id=0,group_id=0,allow_other,default_permissions",
            dev.as_raw_fd()
        ))?;
        let flags = MountFlags::NODEV | MountFlags::NOSUID;
        f::ctx(
            mount("fuse", at, "fuse", flags, Some(data.as_c_str())),
            "mount -t fuse at",
            at,
        )?;
        spawn(move || self.serve(dev))
    }

    fn serve(mut self, mut dev: File) -> R<String> {
        let mut buf = vec![0u8; 1 << 17];
        for count in 0.. {
            // The end: unmounted.
            let Ok(n) = dev.read(&mut buf) else { break };
            let (head, body) = buf[..n].split_at(40);
            let (opcode, unique) = (u32_at(head, 4), u64_at(head, 8));
            if matches!(opcode, op::FORGET | op::BATCH_FORGET | op::INTERRUPT) {
                continue;
            }
            let (error, out) = match self.answer(opcode, u64_at(head, 16), body, count) {
                Ok(b) => (0, b.0),
                Err(e) => (-e, Vec::new()),
            };
            let mut reply = Bytes::default()
                .u32(16 + out.len() as u32)
                .u32(error as u32)
                .u64(unique)
                .0;
            reply.extend(out);
            // Who asked may be gone.
            let _ = dev.write(&reply);
        }
        Ok(String::new())
    }

    fn answer(&mut self, opcode: u32, id: u64, body: &[u8], count: u64) -> Result<Bytes, i32> {
        let at = (id as usize).wrapping_sub(1);
        let none = Bytes::default();
        Ok(match opcode {
            op::INIT => none
                .u32(7)
                .u32(31)
                .u32(1 << 16)
                .u32(0)
                .u16(12)
                .u16(9)
                .u32(1 << 16)
                .zeros(40),
            op::LOOKUP => {
                let name = body.split(|c| *c == 0).next().unwrap_or(body);
                let found = |n: &Node| n.parent == at && n.name.as_bytes() == name;
                let i = self.nodes.iter().skip(1).position(found);
                let i = i.ok_or(libc::ENOENT)? + 1;
                let valid = self.valid;
                let out = none.u64(i as u64 + 1).u64(0).u64(valid).u64(valid).u64(0);
                self.attr(out, i, count)?
            }
            op::GETATTR => {
                let out = none.u64(self.valid).u64(0);
                self.attr(out, at, count)?
            }
            op::READLINK => Bytes(self.node(at)?.data.clone()),
            op::OPEN | op::OPENDIR => none.zeros(16),
            op::READ => {
                let data = &self.node(at)?.data;
                let from = (u64_at(body, 8) as usize).min(data.len());
                let to = (from + u32_at(body, 16) as usize).min(data.len());
                Bytes(data[from..to].to_vec())
            }
            op::READDIR => self.entries(at, u64_at(body, 8) as usize, u32_at(body, 16) as usize)?,
            op::STATFS => none
                .u64(1000)
                .u64(0)
                .u64(0)
                .u64(1000)
                .u64(0)
                .u32(4096)
                .u32(255)
                .u32(4096)
                .zeros(28),
            op::RELEASE | op::RELEASEDIR | op::FLUSH => none,
            _ => return Err(libc::ENOSYS),
        })
    }

    fn node(&self, at: usize) -> Result<&Node, i32> {
        self.nodes.get(at).ok_or(libc::ESTALE)
    }

    fn attr(&mut self, out: Bytes, at: usize, count: u64) -> Result<Bytes, i32> {
        let live = self.live;
        let n = self.nodes.get_mut(at).ok_or(libc::ESTALE)?;
        live(n, count);
        let time = 1_000_000;
        let out = out.u64(n.ino).u64(n.data.len() as u64).u64(1);
        let out = out.u64(time).u64(time).u64(time).zeros(12);
        let out = out.u32(n.mode).u32(1).u32(n.uid).u32(n.gid);
        Ok(out.u32(0).u32(4096).u32(0))
    }

    /// The entries of a directory from an offset on, as many as there is room for.
    fn entries(&self, at: usize, offset: usize, room: usize) -> Result<Bytes, i32> {
        self.node(at)?;
        let children = self.nodes.iter().skip(1).filter(|n| n.parent == at);
        let mut out = Bytes::default();
        for (i, n) in children.enumerate().skip(offset) {
            let len = (24 + n.name.len()).next_multiple_of(8);
            if out.0.len() + len > room {
                break;
            }
            out = out.u64(n.ino).u64(i as u64 + 1);
            out = out.u32(n.name.len() as u32).u32(n.mode >> 12);
            out.0.extend(n.name.as_bytes());
            out = out.zeros(len - 24 - n.name.len());
        }
        Ok(out)
    }
}
