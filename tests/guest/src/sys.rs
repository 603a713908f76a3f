// SPDX-License-Identifier: GPL-2.0
//! System calls that no crate wraps, or not the way the tests need them. All unsafe code is here.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::check::R;
use anyhow::bail;

mod aio;
pub mod fuse;
pub mod handles;
mod namespaces;
pub mod recent;
pub mod uring;

pub use aio::*;
pub use namespaces::*;

fn cvt(r: libc::c_long) -> io::Result<libc::c_long> {
    if r < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(r)
    }
}

fn cvt_int(r: libc::c_int) -> io::Result<libc::c_int> {
    cvt(r.into()).map(|v| v as libc::c_int)
}

/// `truncate` by path: unlike opening and `ftruncate`, one `setattr`.
pub fn truncate(p: &CStr, len: u64) -> io::Result<()> {
    // SAFETY: `p` is a C string.
    cvt_int(unsafe { libc::truncate(p.as_ptr(), len as libc::off_t) }).map(drop)
}

/// A child process of the test.
pub struct Child {
    pid: libc::pid_t,
    out: File,
    reaped: bool,
}

/// Runs `job` in a forked child. What it returns is reported by [`Child::join`].
pub fn spawn(job: impl FnOnce() -> R<String>) -> R<Child> {
    let (rd, wr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    // SAFETY: the test processes have one thread when they fork (threads are joined before).
    let pid = cvt_int(unsafe { libc::fork() })?;
    if pid == 0 {
        drop(rd);
        let r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        let (tag, msg) = match r {
            Ok(Ok(s)) => (b'+', s),
            Ok(Err(e)) => match e.downcast_ref::<crate::check::Skip>() {
                Some(s) => (b'~', s.0.clone()),
                None => (
                    b'-',
                    format!("{}\u{0}{e:#}", crate::check::Errno::errno(&e).unwrap_or(0)),
                ),
            },
            Err(p) => {
                let s = p
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| p.downcast_ref::<&str>().map(|s| s.to_string()));
                (b'-', format!("0\u{0}panic: {}", s.unwrap_or_default()))
            }
        };
        let mut w = File::from(wr);
        let _ = w
            .write_all(&[tag])
            .and_then(|()| w.write_all(msg.as_bytes()));
        drop(w);
        // SAFETY: ends this process without running destructors that belong to the parent.
        unsafe { libc::_exit(0) }
    }
    Ok(Child {
        pid,
        out: File::from(rd),
        reaped: false,
    })
}

/// What became of a [`Child`].
pub enum End {
    /// It returned this.
    Ok(String),
    /// It failed: errno (0 where there is none) and message.
    Err(i32, String),
    /// It cannot run here.
    Skip(String),
    /// It was ended by a signal or left without a word (wait status).
    Died(i32),
    /// It did not end in time.
    Hung,
}

impl Child {
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal.
    pub fn kill(&self, sig: i32) -> io::Result<()> {
        // SAFETY: no memory is involved.
        cvt_int(unsafe { libc::kill(self.pid, sig) }).map(drop)
    }

    /// Waits at most `secs` seconds.
    pub fn wait(&mut self, secs: u64) -> R<End> {
        let mut msg = Vec::new();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(secs);
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let mut p = libc::pollfd {
                fd: self.out.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one pollfd, valid for the call.
            let n = unsafe { libc::poll(&mut p, 1, left.as_millis().min(1 << 30) as i32) };
            if n < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) {
                continue;
            }
            if n <= 0 {
                return Ok(End::Hung);
            }
            let mut b = [0; 4096];
            match self.out.read(&mut b)? {
                0 => break,
                n => msg.extend_from_slice(&b[..n]),
            }
        }
        let mut status = 0;
        // SAFETY: `status` is valid for the call.
        cvt_int(unsafe { libc::waitpid(self.pid, &mut status, 0) })?;
        self.reaped = true;
        let text = String::from_utf8_lossy(msg.get(1..).unwrap_or(&[])).into_owned();
        Ok(match msg.first() {
            Some(b'+') => End::Ok(text),
            Some(b'~') => End::Skip(text),
            Some(b'-') => {
                let (n, m) = text.split_once('\0').unwrap_or(("0", &text));
                End::Err(n.parse().unwrap_or(0), m.to_string())
            }
            _ => End::Died(status),
        })
    }

    /// Waits for a child that is to succeed, and returns what it returned.
    pub fn join(mut self) -> R<String> {
        match self.wait(600)? {
            End::Ok(s) => Ok(s),
            End::Skip(s) => Err(crate::check::Skip(s).into()),
            End::Err(0, m) => bail!("in the child: {m}"),
            End::Err(n, m) => Err(anyhow::Error::new(io::Error::from_raw_os_error(n))
                .context(format!("in the child: {m}"))),
            End::Died(st) => bail!("the child died (wait status {st:#x})"),
            End::Hung => bail!("the child (pid {}) hangs", self.pid),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.kill(libc::SIGKILL);
        }
    }
}

/// Runs `job` in a child as this user and group, with no other groups and no capabilities.
pub fn as_user(uid: u32, gid: u32, job: impl FnOnce() -> R) -> R {
    as_user_groups(uid, gid, &[], job)
}

/// As [`as_user`], with supplementary groups.
pub fn as_user_groups(uid: u32, gid: u32, groups: &[u32], job: impl FnOnce() -> R) -> R {
    spawn(|| {
        namespaces::become_user(uid, gid, groups)?;
        job().map(|()| String::new())
    })?
    .join()
    .map(drop)
}

/// Drops one capability from the effective, permitted and bounding sets of this process.
pub fn drop_cap(cap: u32) -> io::Result<()> {
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Default, Clone, Copy)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut h = Header {
        version: 0x2008_0522,
        pid: 0,
    };
    let mut d = [Data::default(); 2];
    let (i, bit) = ((cap / 32) as usize, 1u32 << (cap % 32));
    // SAFETY: header and data have the layout of version 3 and live through the calls.
    unsafe {
        cvt(libc::syscall(libc::SYS_capget, &mut h, d.as_mut_ptr()))?;
        d[i].effective &= !bit;
        d[i].permitted &= !bit;
        d[i].inheritable &= !bit;
        cvt(libc::syscall(libc::SYS_capset, &mut h, d.as_ptr()))?;
    }
    Ok(())
}

/// Sets the umask, returning the old one.
pub fn umask(m: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(m) }
}

/// Puts this process in a process group of its own.
pub fn new_group() -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// Kills a process group.
pub fn kill_group(pid: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(-pid, libc::SIGKILL) };
}

/// One entry of `getdents64`.
#[derive(Clone, Debug)]
pub struct Dirent {
    pub name: String,
    pub ino: u64,
    pub off: i64,
    pub kind: u8,
}

/// One `getdents64` call with a buffer of this size; empty at the end of the directory.
pub fn getdents(dir: &File, size: usize) -> io::Result<Vec<Dirent>> {
    let mut buf = vec![0u8; size];
    // SAFETY: the buffer is valid for `size` bytes.
    let n = cvt(unsafe {
        libc::syscall(
            libc::SYS_getdents64,
            dir.as_raw_fd(),
            buf.as_mut_ptr(),
            size,
        )
    })? as usize;
    let mut v = Vec::new();
    let mut at = 0;
    while at < n {
        let b = &buf[at..n];
        let u64_at = |i: usize| u64::from_ne_bytes(b[i..i + 8].try_into().unwrap());
        let len = u16::from_ne_bytes([b[16], b[17]]) as usize;
        let name = &b[19..len];
        let name = &name[..name.iter().position(|c| *c == 0).unwrap_or(name.len())];
        v.push(Dirent {
            name: String::from_utf8_lossy(name).into_owned(),
            ino: u64_at(0),
            off: u64_at(8) as i64,
            kind: b[18],
        });
        at += len;
    }
    Ok(v)
}

/// `lseek` with a raw offset, which directories need.
pub fn lseek(f: &File, off: i64, whence: i32) -> io::Result<i64> {
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::lseek(f.as_raw_fd(), off, whence) })
}

/// Which pages of a mapping are in memory.
pub fn resident(m: &[u8]) -> io::Result<Vec<bool>> {
    let mut v = vec![0u8; m.len().div_ceil(4096)];
    // SAFETY: the vector has a byte for each page of the mapping.
    cvt_int(unsafe { libc::mincore(m.as_ptr() as *mut _, m.len(), v.as_mut_ptr()) })?;
    Ok(v.iter().map(|b| b & 1 == 1).collect())
}

/// A lock, as `fcntl` takes it.
pub fn setlk(f: &File, cmd: i32, kind: i32, start: i64, len: i64) -> io::Result<()> {
    // SAFETY: `flock` is plain data, valid when zeroed.
    let mut l: libc::flock = unsafe { std::mem::zeroed() };
    l.l_type = kind as i16;
    l.l_whence = libc::SEEK_SET as i16;
    l.l_start = start;
    l.l_len = len;
    // SAFETY: `l` lives through the call.
    cvt_int(unsafe { libc::fcntl(f.as_raw_fd(), cmd, &mut l) }).map(drop)
}

/// The kind of the lock that conflicts (`F_GETLK`, `F_OFD_GETLK`).
pub fn getlk(f: &File, cmd: i32, kind: i32) -> io::Result<i32> {
    // SAFETY: `flock` is plain data, valid when zeroed.
    let mut l: libc::flock = unsafe { std::mem::zeroed() };
    l.l_type = kind as i16;
    // SAFETY: `l` lives through the call.
    cvt_int(unsafe { libc::fcntl(f.as_raw_fd(), cmd, &mut l) })?;
    Ok(l.l_type.into())
}

/// `fcntl` with an integer argument.
pub fn fcntl(f: &File, cmd: i32, arg: i32) -> io::Result<i32> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::fcntl(f.as_raw_fd(), cmd, arg) })
}

/// `FICLONERANGE`.
pub fn clone_range(src: &File, off: u64, len: u64, dst: &File, to: u64) -> io::Result<()> {
    #[repr(C)]
    struct Arg {
        src: i64,
        off: u64,
        len: u64,
        to: u64,
    }
    let a = Arg {
        src: src.as_raw_fd().into(),
        off,
        len,
        to,
    };
    // SAFETY: the argument has the layout of `struct file_clone_range`.
    cvt_int(unsafe { libc::ioctl(dst.as_raw_fd(), 0x4020_940d, &a) }).map(drop)
}

/// `FIDEDUPERANGE` with one destination: bytes deduplicated, or the status as an errno.
pub fn dedupe(src: &File, off: u64, len: u64, dst: &File, to: u64) -> io::Result<u64> {
    #[repr(C)]
    struct Arg {
        off: u64,
        len: u64,
        count: u16,
        pad: [u16; 3],
        dst: i64,
        to: u64,
        bytes: u64,
        status: i32,
        pad2: u32,
    }
    let mut a = Arg {
        off,
        len,
        count: 1,
        pad: [0; 3],
        dst: dst.as_raw_fd().into(),
        to,
        bytes: 0,
        status: 0,
        pad2: 0,
    };
    // SAFETY: the argument has the layout of `struct file_dedupe_range` with one entry.
    cvt_int(unsafe { libc::ioctl(src.as_raw_fd(), 0xc018_9436, &mut a) })?;
    if a.status < 0 {
        return Err(io::Error::from_raw_os_error(-a.status));
    }
    Ok(a.bytes)
}

/// `FS_IOC_GETFLAGS`.
pub fn getflags(f: &File) -> io::Result<u32> {
    let mut v: libc::c_int = 0;
    // SAFETY: the kernel writes an int.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), libc::FS_IOC_GETFLAGS, &mut v) })?;
    Ok(v as u32)
}

/// `FS_IOC_SETFLAGS`.
pub fn setflags(f: &File, flags: u32) -> io::Result<()> {
    let v = flags as libc::c_int;
    // SAFETY: the kernel reads an int.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), libc::FS_IOC_SETFLAGS, &v) }).map(drop)
}

/// `struct fsxattr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FsxAttr {
    pub xflags: u32,
    pub extsize: u32,
    pub nextents: u32,
    pub projid: u32,
    pub cowextsize: u32,
    pad: [u8; 8],
}

/// `FS_IOC_FSGETXATTR`.
pub fn fsgetxattr(f: &File) -> io::Result<FsxAttr> {
    let mut a = FsxAttr::default();
    // SAFETY: the argument has the layout of `struct fsxattr`.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0x801c_581f, &mut a) })?;
    Ok(a)
}

/// `FS_IOC_FSSETXATTR`.
pub fn fssetxattr(f: &File, a: &FsxAttr) -> io::Result<()> {
    // SAFETY: the argument has the layout of `struct fsxattr`.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0x401c_5820, a) }).map(drop)
}

/// An ioctl with no argument that matters.
pub fn ioctl0(f: &File, cmd: u64) -> io::Result<()> {
    let mut buf = [0u8; 256];
    // SAFETY: the buffer is larger than any argument of the commands that the tests try.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), cmd as _, buf.as_mut_ptr()) }).map(drop)
}

/// `FS_IOC_ENABLE_VERITY`: makes the filesystem protect the data of a file.
pub fn enable_verity(f: &File, algorithm: u32) -> io::Result<()> {
    // struct fsverity_enable_arg: version, algorithm, block size, and no salt or signature.
    let mut arg = [0u32; 32];
    (arg[0], arg[1], arg[2]) = (1, algorithm, 4096);
    // SAFETY: the argument has the size and the layout of `struct fsverity_enable_arg`.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0x4080_6685, arg.as_ptr()) }).map(drop)
}

/// `FS_IOC_MEASURE_VERITY`: the digest of a file whose data is protected.
pub fn measure_verity(f: &File) -> io::Result<Vec<u8>> {
    // struct fsverity_digest: algorithm, size of the room and then of the digest, the digest.
    let mut arg = [0u8; 68];
    arg[2] = 64;
    // SAFETY: the argument has the layout of `struct fsverity_digest` with 64 bytes of room.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0xc004_6686, arg.as_mut_ptr()) })?;
    let len = usize::from(arg[2]);
    Ok(arg[4..4 + len].to_vec())
}

/// One extent, as the kernel describes it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Extent {
    logical: u64,
    physical: u64,
    length: u64,
    r64: [u64; 2],
    flags: u32,
    r32: [u32; 3],
}

/// At most 64 extents of a file, by `FS_IOC_FIEMAP`; written out first, if `sync`.
fn extents(f: &File, sync: bool) -> io::Result<Vec<Extent>> {
    const N: usize = 64;
    #[repr(C)]
    struct Map {
        start: u64,
        length: u64,
        flags: u32,
        mapped: u32,
        count: u32,
        r: u32,
        ext: [Extent; N],
    }
    let mut m = Map {
        start: 0,
        length: u64::MAX,
        flags: u32::from(sync),
        mapped: 0,
        count: N as u32,
        r: 0,
        ext: [Extent::default(); N],
    };
    // SAFETY: the argument has the layout of `struct fiemap` with N extents.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0xc020_660b, &mut m) })?;
    let n = (m.mapped as usize).min(N);
    Ok(m.ext[..n].to_vec())
}

/// The extents of a file on disk, as (logical, physical, length).
pub fn fiemap(f: &File) -> io::Result<Vec<(u64, u64, u64)>> {
    Ok(extents(f, true)?
        .iter()
        .map(|e| (e.logical, e.physical, e.length))
        .collect())
}

/// The flags of the extents of a file, as it is.
pub fn fiemap_flags(f: &File) -> io::Result<Vec<u32>> {
    Ok(extents(f, false)?.iter().map(|e| e.flags).collect())
}

/// `readahead`.
pub fn readahead(f: &File, off: i64, len: usize) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt(unsafe { libc::readahead(f.as_raw_fd(), off, len) } as libc::c_long).map(drop)
}

/// `sync_file_range` with all flags.
pub fn sync_file_range(f: &File, off: i64, len: i64) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::sync_file_range(f.as_raw_fd(), off, len, 7) }).map(drop)
}

/// Runs a program in a child and waits: its exit code.
pub fn run(path: &Path, args: &[&str]) -> io::Result<i32> {
    let out = std::process::Command::new(path).args(args).output()?;
    Ok(out.status.code().unwrap_or(-1))
}

/// Removes a module: `delete_module`.
pub fn delete_module(name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a C string.
    cvt(unsafe { libc::syscall(libc::SYS_delete_module, name.as_ptr(), libc::O_NONBLOCK) })
        .map(drop)
}

/// Loads a module from a file: `finit_module`.
pub fn finit_module(f: &File) -> io::Result<()> {
    // SAFETY: a descriptor, an empty string and no flags.
    cvt(unsafe { libc::syscall(libc::SYS_finit_module, f.as_raw_fd(), c"".as_ptr(), 0) }).map(drop)
}

/// An inotify descriptor that does not block.
pub struct Inotify {
    f: File,
}

impl Inotify {
    pub fn watch(p: &Path, mask: u32) -> io::Result<Self> {
        let c = std::ffi::CString::new(p.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: the descriptor is new and owned by nobody else; `c` is a C string.
        let f = unsafe {
            let fd = cvt_int(libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC))?;
            File::from(OwnedFd::from_raw_fd(fd as RawFd))
        };
        // SAFETY: `c` is a C string.
        cvt_int(unsafe { libc::inotify_add_watch(f.as_raw_fd(), c.as_ptr(), mask) })?;
        Ok(Self { f })
    }

    /// The number of the descriptor.
    pub fn fd(&self) -> RawFd {
        self.f.as_raw_fd()
    }

    /// The union of the masks of all events that wait.
    pub fn events(&mut self) -> u32 {
        let mut all = 0;
        let mut b = [0u8; 4096];
        while let Ok(n) = self.f.read(&mut b) {
            let mut at = 0;
            while at + 16 <= n {
                let w = |i: usize| u32::from_ne_bytes(b[at + i..at + i + 4].try_into().unwrap());
                all |= w(4);
                at += 16 + w(12) as usize;
            }
            if n == 0 {
                break;
            }
        }
        all
    }
}

/// The physical frame number behind an address of this process (0: not present).
pub fn pfn(addr: usize) -> R<u64> {
    use std::os::unix::fs::FileExt;
    let f = File::open("/proc/self/pagemap")?;
    let mut b = [0u8; 8];
    f.read_exact_at(&mut b, (addr / 4096 * 8) as u64)?;
    let e = u64::from_ne_bytes(b);
    Ok(if e >> 63 == 1 { e & ((1 << 55) - 1) } else { 0 })
}

/// Maps a file privately or shared.
pub fn map(f: &File, len: usize, shared: bool) -> io::Result<memmap2::MmapMut> {
    let mut o = memmap2::MmapOptions::new();
    o.len(len);
    // SAFETY: the tests accept that the file changes under the mapping: that is what they look at.
    unsafe {
        if shared {
            o.map_mut(f)
        } else {
            o.map_copy(f)
        }
    }
}

/// Maps a file shared and read-only.
pub fn map_ro(f: &File, len: usize) -> io::Result<memmap2::Mmap> {
    // SAFETY: as in `map`.
    unsafe { memmap2::MmapOptions::new().len(len).map(f) }
}

/// Maps a file so that it could be run.
pub fn map_exec(f: &File, len: usize) -> io::Result<memmap2::Mmap> {
    // SAFETY: as in `map`.
    unsafe { memmap2::MmapOptions::new().len(len).map_exec(f) }
}

/// `quotactl_fd` with `Q_SETQUOTA`: the hard limits of a user (kind 0), group (1) or project (2) in
/// KiB and objects; 0 is no limit.
pub fn set_quota(dir: &File, kind: u32, id: u32, kib: u64, objects: u64) -> io::Result<()> {
    #[repr(C)]
    #[derive(Default)]
    struct Limits {
        hard_blocks: u64,
        soft_blocks: u64,
        space: u64,
        hard_inodes: u64,
        soft_inodes: u64,
        inodes: u64,
        times: [u64; 2],
        valid: u64,
    }
    let limits = Limits {
        hard_blocks: kib,
        hard_inodes: objects,
        // The limits of blocks and of inodes.
        valid: 1 | 4,
        ..Limits::default()
    };
    const SYS_QUOTACTL_FD: libc::c_long = 443;
    // SAFETY: the limits have the layout of `struct if_dqblk`, up to its end.
    cvt(unsafe {
        libc::syscall(
            SYS_QUOTACTL_FD,
            dir.as_raw_fd(),
            0x0080_0008 << 8 | kind,
            id,
            &limits,
        )
    })
    .map(drop)
}

/// Lets the loopback interface carry packets.
pub fn loopback_up() -> io::Result<()> {
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: libc::c_short,
        rest: [u8; 22],
    }
    let mut r = Request {
        name: [0; 16],
        flags: (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short,
        rest: [0; 22],
    };
    r.name[..2].copy_from_slice(b"lo");
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: the request has the layout and the size of `struct ifreq`.
    cvt_int(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &r) }).map(drop)
}

/// An anonymous buffer that starts on a page boundary, as O_DIRECT wants it.
pub fn aligned(len: usize) -> io::Result<memmap2::MmapMut> {
    memmap2::MmapMut::map_anon(len)
}

/// Blocks a signal in this process, so that a lease break does not end it.
pub fn ignore_signal(sig: i32) {
    // SAFETY: sets a disposition; no handler is involved.
    unsafe { libc::signal(sig, libc::SIG_IGN) };
}
