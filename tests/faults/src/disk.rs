// SPDX-License-Identifier: GPL-2.0
//! A disk whose every request can be counted, refused or held.
//!
//! It is a loop device on a file that a process of ours serves through FUSE, from memory. The
//! requests (reads, writes and flushes) come one after the other, and in the same order whenever
//! the same is done: the n-th one is a step of an operation. The process can put the disk back to
//! what it once was, at once, so that each try begins on the very same bytes.

use std::rc::Rc;

use fuzz::layers::join;
use fuzz::sys;

use crate::crash::sh;
use crate::sys as own;

const BLOCK: usize = 4096;
/// The most that one request writes.
const MOST: usize = 1 << 20;

/// What happens to the requests from now on; the first is number one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are counted.
    None,
    /// This one fails.
    One(u64),
    /// This one and all after it fail.
    From(u64),
    /// This one waits: see [`Disk::held`].
    Hold(u64),
}

/// What the process is told to do.
mod tell {
    pub const KEEP: u64 = 0;
    pub const RESET: u64 = 1;
    pub const NONE: u64 = 2;
    pub const ONE: u64 = 3;
    pub const FROM: u64 = 4;
    pub const HOLD: u64 = 5;
    pub const GO: u64 = 6;
}

pub struct Disk {
    /// The block device.
    pub dev: String,
    server: i64,
    ask: i32,
    answer: i32,
    events: i32,
    at: String,
}

impl Disk {
    /// An empty disk of this many bytes.
    pub fn new(name: &str, size: u64) -> Result<Self, String> {
        let e = |what: &'static str| move |e: i32| format!("{what}: errno {e}");
        let at = format!("/mnt/disk-{name}");
        sh(&format!(
            "modprobe -q fuse; modprobe -q loop; mkdir -p {at}"
        ))?;
        let fuse = sys::open(b"/dev/fuse", libc::O_RDWR, 0).map_err(e("/dev/fuse"))? as i32;
        let o = format!("fd={fuse},rootmode=40755,user_id=0,group_id=0");
        let flags = libc::MS_NODEV | libc::MS_NOSUID;
        sys::mount("disk", at.as_bytes(), "fuse", flags, o.as_bytes()).map_err(e("mount"))?;
        let pipe = || sys::pipe().map_err(e("pipe"));
        let ([ask_to, ask], [answer, answer_to], [events, events_to]) = {
            let [a, b] = pipe()?;
            ([b, a], pipe()?, pipe()?)
        };
        let server = own::fork(|| {
            for fd in [ask_to, answer, events] {
                let _ = sys::close(fd);
            }
            Server::new(fuse, ask, answer_to, events_to, size).serve()
        })
        .map_err(e("fork"))?;
        for fd in [fuse, ask, answer_to, events_to] {
            let _ = sys::close(fd);
        }
        let dev = sh(&format!("losetup -f --show {at}/disk"))?;
        Ok(Self {
            dev,
            server,
            ask: ask_to,
            answer,
            events,
            at,
        })
    }

    fn tell(&self, what: u64, n: u64) -> u64 {
        let mut b = [what.to_ne_bytes(), n.to_ne_bytes()].concat();
        if sys::write(self.ask, &b, None) != Ok(16) {
            return 0;
        }
        b.truncate(8);
        match sys::read(self.answer, &mut b, None) {
            Ok(8) => u64_at(&b, 0),
            _ => 0,
        }
    }

    /// [`Disk::reset`] leads to what is on it now.
    pub fn keep(&self) {
        self.tell(tell::KEEP, 0);
    }

    /// Nobody may have it open.
    pub fn reset(&self) {
        self.tell(tell::RESET, 0);
    }

    /// From now on; returns how many requests came since the last call.
    pub fn set(&self, f: Fault) -> u64 {
        let count = match f {
            Fault::None => self.tell(tell::NONE, 0),
            Fault::One(n) => self.tell(tell::ONE, n),
            Fault::From(n) => self.tell(tell::FROM, n),
            Fault::Hold(n) => self.tell(tell::HOLD, n),
        };
        // A request that waited until now does no longer.
        while self.held(0) {
            let _ = sys::read(self.events, &mut [0], None);
        }
        count
    }

    /// Whether the request is there that has to wait; waits for it for some milliseconds.
    pub fn held(&self, ms: i32) -> bool {
        own::readable([self.events, -1], ms)[0]
    }

    /// The request that waits is done.
    pub fn go(&self) {
        let _ = sys::read(self.events, &mut [0], None);
        self.tell(tell::GO, 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.set(Fault::None);
        let _ = sh(&format!("losetup -d {}", self.dev));
        for fd in [self.ask, self.answer, self.events] {
            let _ = sys::close(fd);
        }
        let _ = own::kill(self.server, libc::SIGKILL);
        let _ = own::wait(self.server);
        let _ = sys::umount(self.at.as_bytes());
    }
}

/// What the kernel asks for.
mod op {
    pub const LOOKUP: u32 = 1;
    pub const FORGET: u32 = 2;
    pub const GETATTR: u32 = 3;
    pub const OPEN: u32 = 14;
    pub const READ: u32 = 15;
    pub const WRITE: u32 = 16;
    pub const STATFS: u32 = 17;
    pub const RELEASE: u32 = 18;
    pub const FSYNC: u32 = 20;
    pub const FLUSH: u32 = 25;
    pub const INIT: u32 = 26;
    pub const INTERRUPT: u32 = 36;
    pub const BATCH_FORGET: u32 = 42;
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    let b = b.get(at..at + 4).and_then(|w| w.try_into().ok());
    b.map_or(0, u32::from_ne_bytes)
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    let b = b.get(at..at + 8).and_then(|w| w.try_into().ok());
    b.map_or(0, u64::from_ne_bytes)
}

/// Numbers of 8 bytes, as most structures of FUSE are; two of 4 share one.
fn words(v: &[u64]) -> Vec<u8> {
    v.iter().flat_map(|w| w.to_ne_bytes()).collect()
}

fn two(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// Blocks of zeros are not there.
type Blocks = Vec<Option<Rc<[u8; BLOCK]>>>;

struct Server {
    fuse: i32,
    ask: i32,
    answer: i32,
    events: i32,
    size: u64,
    now: Blocks,
    kept: Blocks,
    fault: Fault,
    count: u64,
    /// The request that waits.
    held: Option<Vec<u8>>,
}

impl Server {
    fn new(fuse: i32, ask: i32, answer: i32, events: i32, size: u64) -> Self {
        let blocks = vec![None; (size as usize).div_ceil(BLOCK)];
        Self {
            fuse,
            ask,
            answer,
            events,
            size,
            now: blocks.clone(),
            kept: blocks,
            fault: Fault::None,
            count: 0,
            held: None,
        }
    }

    /// Until nobody is there any more to tell us anything.
    fn serve(mut self) -> own::Res {
        let mut buf = vec![0u8; MOST + BLOCK];
        loop {
            let fuse = if self.held.is_some() { -1 } else { self.fuse };
            let [told, asked] = own::readable([self.ask, fuse], -1);
            if told {
                let mut b = [0; 16];
                if sys::read(self.ask, &mut b, None)? != 16 {
                    return Ok(0);
                }
                let said = self.told(u64_at(&b, 0), u64_at(&b, 8));
                sys::write(self.answer, &said.to_ne_bytes(), None)?;
            } else if asked {
                match sys::read(self.fuse, &mut buf, None) {
                    Ok(n) => self.request(&buf[..n as usize]),
                    Err(libc::ENODEV) => return Ok(0),
                    // It was taken back.
                    Err(_) => {}
                }
            }
        }
    }

    fn told(&mut self, what: u64, n: u64) -> u64 {
        let count = self.count;
        self.fault = match what {
            tell::KEEP => {
                self.kept.clone_from(&self.now);
                return 0;
            }
            tell::RESET => {
                self.now.clone_from(&self.kept);
                return 0;
            }
            tell::ONE => Fault::One(n),
            tell::FROM => Fault::From(n),
            tell::HOLD => Fault::Hold(n),
            _ => Fault::None,
        };
        match self.held.take() {
            Some(request) => self.reply(&request, false),
            None => self.count = 0,
        }
        count
    }

    fn request(&mut self, b: &[u8]) {
        let opcode = u32_at(b, 4);
        if matches!(opcode, op::FORGET | op::BATCH_FORGET | op::INTERRUPT) {
            return;
        }
        if !matches!(opcode, op::READ | op::WRITE | op::FSYNC) {
            return self.reply(b, false);
        }
        self.count += 1;
        match self.fault {
            Fault::One(n) if n == self.count => self.reply(b, true),
            Fault::From(n) if n <= self.count => self.reply(b, true),
            Fault::Hold(n) if n == self.count => {
                self.held = Some(b.to_vec());
                let _ = sys::write(self.events, b"h", None);
            }
            _ => self.reply(b, false),
        }
    }

    fn reply(&mut self, b: &[u8], fails: bool) {
        let (head, body) = b.split_at(b.len().min(40));
        let r = if fails {
            Err(libc::EIO)
        } else {
            self.done(u32_at(head, 4), u64_at(head, 16), body)
        };
        let (error, out) = match r {
            Ok(out) => (0, out),
            Err(e) => (-e, Vec::new()),
        };
        let mut all = words(&[two(16 + out.len() as u32, error as u32), u64_at(head, 8)]);
        all.extend(out);
        // Who asked may be gone.
        let _ = sys::write(self.fuse, &all, None);
    }

    fn done(&mut self, opcode: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        let hour = 3600;
        Ok(match opcode {
            op::INIT => {
                let (big_writes, max_pages) = (1 << 5, 1 << 22);
                let mut v = words(&[two(7, 31), two(1 << 17, big_writes | max_pages)]);
                v.extend(words(&[two(12 | 9 << 16, MOST as u32), two(1, 256)]));
                v.extend([0; 32]);
                v
            }
            op::LOOKUP if body.starts_with(b"disk\0") => {
                let mut v = words(&[2, 0, hour, hour, 0]);
                v.extend(self.attr(2));
                v
            }
            op::LOOKUP => return Err(libc::ENOENT),
            op::GETATTR => {
                let mut v = words(&[hour, 0]);
                v.extend(self.attr(node));
                v
            }
            // Nothing of it is cached.
            op::OPEN => words(&[0, 1]),
            op::READ => self.read(u64_at(body, 8), u32_at(body, 16) as usize),
            op::WRITE => {
                let len = u32_at(body, 16);
                let data = body.get(40..40 + len as usize).ok_or(libc::EIO)?;
                self.write(u64_at(body, 8), data);
                words(&[len.into()])
            }
            op::STATFS => words(&[1000, 0, 0, 1000, 0, two(4096, 255), two(4096, 0), 0, 0, 0]),
            op::FLUSH | op::FSYNC | op::RELEASE => Vec::new(),
            _ => return Err(libc::ENOSYS),
        })
    }

    fn attr(&self, node: u64) -> Vec<u8> {
        let (mode, size) = match node {
            1 => (libc::S_IFDIR | 0o755, 0),
            _ => (libc::S_IFREG | 0o600, self.size),
        };
        let mut v = words(&[node, size, size / 512, 1, 1, 1, 0]);
        v.extend(words(&[two(0, mode), two(1, 0), 0, two(4096, 0)]));
        v
    }

    fn read(&self, from: u64, len: usize) -> Vec<u8> {
        let mut v = Vec::with_capacity(len);
        let (mut at, end) = (from.min(self.size), (from + len as u64).min(self.size));
        while at < end {
            let (block, off) = ((at as usize) / BLOCK, (at as usize) % BLOCK);
            let n = (BLOCK - off).min((end - at) as usize);
            match &self.now[block] {
                Some(b) => v.extend(&b[off..off + n]),
                None => v.resize(v.len() + n, 0),
            }
            at += n as u64;
        }
        v
    }

    fn write(&mut self, from: u64, mut data: &[u8]) {
        let mut at = from;
        while !data.is_empty() && at < self.size {
            let (block, off) = ((at as usize) / BLOCK, (at as usize) % BLOCK);
            let n = (BLOCK - off).min(data.len());
            let (some, rest) = data.split_at(n);
            let to = &mut self.now[block];
            if to.is_some() || some.iter().any(|b| *b != 0) {
                let b = to.get_or_insert_with(|| Rc::new([0; BLOCK]));
                Rc::make_mut(b)[off..off + n].copy_from_slice(some);
            }
            data = rest;
            at += n as u64;
        }
    }
}

/// Where the file system is mounted.
pub const MNT: &str = "/mnt/volume";

/// A file system on such a disk.
pub struct Volume {
    pub disk: Disk,
    pub fs: String,
    options: &'static str,
    mounted: bool,
}

impl Volume {
    /// Makes one and fills it; that is what [`Volume::fresh`] leads to.
    pub fn new(
        fs: &str,
        mkfs: &str,
        options: &'static str,
        fill: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, String> {
        let size = if fs == "xfs" { 300 << 20 } else { 64 << 20 };
        let disk = Disk::new(fs, size)?;
        let dev = disk.dev.clone();
        sh(&match fs {
            "xfs" => format!("modprobe xfs; mkfs.xfs -q -f -K {mkfs} {dev}"),
            _ => format!(
                "mkfs.ext4 -q -F -b 4096 -J size=8 -E nodiscard,lazy_itable_init=0,lazy_journal_init=0{mkfs} {dev}"
            ),
        })?;
        sh(&format!("mkdir -p {MNT}"))?;
        let mut v = Self {
            disk,
            fs: fs.into(),
            options,
            mounted: false,
        };
        v.mount()?;
        fill()?;
        v.umount()?;
        v.disk.keep();
        Ok(v)
    }

    pub fn mount(&mut self) -> Result<(), String> {
        let o = self.options.as_bytes();
        sys::mount(
            &self.disk.dev,
            MNT.as_bytes(),
            &self.fs,
            libc::MS_NOATIME,
            o,
        )
        .map_err(|e| format!("mount of {} with {}: errno {e}", self.fs, self.options))?;
        self.mounted = true;
        Ok(())
    }

    pub fn umount(&mut self) -> Result<(), String> {
        if self.mounted {
            sys::umount(MNT.as_bytes()).map_err(|e| format!("umount of {MNT}: errno {e}"))?;
        }
        self.mounted = false;
        Ok(())
    }

    /// Mounted, as it was made, with nothing cached of it.
    pub fn fresh(&mut self) -> Result<(), String> {
        self.umount()?;
        self.disk.set(Fault::None);
        self.disk.reset();
        self.mount()
    }

    /// After an error: what a machine does when it boots.
    pub fn repair(&mut self) -> Result<(), String> {
        self.umount()?;
        if self.fs == "ext4" {
            // 1: something was mended.
            let check = format!("e2fsck -fy {} || [ $? = 1 ]", self.disk.dev);
            sh(&check).map_err(|e| format!("the file system cannot be mended: {e}"))?;
        }
        self.mount()
    }

    /// Whether it still takes changes.
    pub fn is_alive(&self) -> bool {
        let p = join(MNT.as_bytes(), b"alive");
        let made = sys::mkdir(&p, 0o700).and_then(|_| {
            sys::rmdir(&p)?;
            self.sync()
        });
        made.is_ok()
    }

    pub fn sync(&self) -> own::Res {
        let fd = sys::open(MNT.as_bytes(), libc::O_RDONLY, 0)? as i32;
        let r = sys::syncfs(fd);
        let _ = sys::close(fd);
        r
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.disk.set(Fault::None);
        let _ = self.umount();
    }
}
