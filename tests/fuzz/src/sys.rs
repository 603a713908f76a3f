// SPDX-License-Identifier: GPL-2.0
//! The system calls, as they are: a number or an errno. All unsafe code is here.

use std::ffi::CString;

/// What a system call gives: its value or the errno.
pub type Res = Result<i64, i32>;

fn ret(r: i64) -> Res {
    if r < 0 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(r)
    }
}

fn c(b: &[u8]) -> CString {
    let b: Vec<u8> = b.iter().copied().filter(|x| *x != 0).collect();
    CString::new(b).unwrap_or_default()
}

/// Declares wrappers whose arguments are plain numbers.
macro_rules! plain {
    ($($name:ident($($a:ident: $t:ty),*) = $call:expr;)*) => {
        $(pub fn $name($($a: $t),*) -> Res {
            // SAFETY: no memory of ours is involved.
            ret(unsafe { $call } as i64)
        })*
    };
}

plain! {
    close(fd: i32) = libc::close(fd);
    lseek(fd: i32, off: i64, whence: i32) = libc::lseek(fd, off, whence);
    ftruncate(fd: i32, len: i64) = libc::ftruncate(fd, len);
    fallocate(fd: i32, mode: i32, off: i64, len: i64) = libc::fallocate(fd, mode, off, len);
    fchmod(fd: i32, mode: u32) = libc::fchmod(fd, mode);
    fchown(fd: i32, uid: u32, gid: u32) = libc::fchown(fd, uid, gid);
    fsync(fd: i32) = libc::fsync(fd);
    fdatasync(fd: i32) = libc::fdatasync(fd);
    syncfs(fd: i32) = libc::syncfs(fd);
    fchdir(fd: i32) = libc::fchdir(fd);
    fadvise(fd: i32, advice: i32) = match libc::posix_fadvise(fd, 0, 0, advice) { 0 => 0, e => { *libc::__errno_location() = e; -1 } };
    umask(mask: u32) = libc::umask(mask);
    flock(fd: i32, op: i32) = libc::flock(fd, op);
    fork() = libc::fork();
    wait(pid: i32) = libc::waitpid(pid, std::ptr::null_mut(), 0);
    // The raw call: only this thread, which is the only one.
    seteuid(uid: u32) = libc::syscall(libc::SYS_setresuid, -1, uid, -1);
    setegid(gid: u32) = libc::syscall(libc::SYS_setresgid, -1, gid, -1);
}

pub fn setgroups(g: &[u32]) -> Res {
    // SAFETY: `g` is valid for its length.
    ret(unsafe { libc::syscall(libc::SYS_setgroups, g.len(), g.as_ptr()) })
}

pub fn open(p: &[u8], flags: i32, mode: u32) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::open(p.as_ptr(), flags | libc::O_CLOEXEC, mode) }.into())
}

pub fn read(fd: i32, buf: &mut [u8], off: Option<i64>) -> Res {
    // SAFETY: the buffer is valid for its length.
    ret(unsafe {
        match off {
            Some(o) => libc::pread(fd, buf.as_mut_ptr().cast(), buf.len(), o),
            None => libc::read(fd, buf.as_mut_ptr().cast(), buf.len()),
        }
    } as i64)
}

pub fn write(fd: i32, buf: &[u8], off: Option<i64>) -> Res {
    // SAFETY: the buffer is valid for its length.
    ret(unsafe {
        match off {
            Some(o) => libc::pwrite(fd, buf.as_ptr().cast(), buf.len(), o),
            None => libc::write(fd, buf.as_ptr().cast(), buf.len()),
        }
    } as i64)
}

pub fn stat(p: &[u8], follow: bool) -> Result<libc::stat, i32> {
    let p = c(p);
    // SAFETY: a zeroed `stat` is valid; both pointers live through the call.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        let fl = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        ret(libc::fstatat(libc::AT_FDCWD, p.as_ptr(), &mut st, fl).into())?;
        Ok(st)
    }
}

pub fn fstat(fd: i32) -> Result<libc::stat, i32> {
    // SAFETY: as above.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        ret(libc::fstat(fd, &mut st).into())?;
        Ok(st)
    }
}

/// Type and name length of a file system, and the mount's flags.
pub fn statfs(p: &[u8]) -> Result<(i64, i64, u64), i32> {
    let p = c(p);
    // SAFETY: as above.
    unsafe {
        let mut st: libc::statfs = std::mem::zeroed();
        ret(libc::statfs(p.as_ptr(), &mut st).into())?;
        let mut v: libc::statvfs = std::mem::zeroed();
        ret(libc::statvfs(p.as_ptr(), &mut v).into())?;
        Ok((st.f_type, st.f_namelen, v.f_flag))
    }
}

pub fn access(p: &[u8], mode: i32) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::faccessat(libc::AT_FDCWD, p.as_ptr(), mode, libc::AT_EACCESS) }.into())
}

pub fn readlink(p: &[u8]) -> Result<Vec<u8>, i32> {
    let p = c(p);
    let mut b = vec![0u8; 4200];
    // SAFETY: string and buffer are valid.
    let n = ret(unsafe { libc::readlink(p.as_ptr(), b.as_mut_ptr().cast(), b.len()) } as i64)?;
    b.truncate(n as usize);
    Ok(b)
}

pub fn truncate(p: &[u8], len: i64) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::truncate(p.as_ptr(), len) }.into())
}

pub fn rename(a: &[u8], b: &[u8], flags: u32) -> Res {
    let (a, b) = (c(a), c(b));
    let at = libc::AT_FDCWD;
    // SAFETY: C strings.
    ret(unsafe { libc::renameat2(at, a.as_ptr(), at, b.as_ptr(), flags) }.into())
}

pub fn link(a: &[u8], b: &[u8], flags: i32) -> Res {
    let (a, b) = (c(a), c(b));
    let at = libc::AT_FDCWD;
    // SAFETY: C strings.
    ret(unsafe { libc::linkat(at, a.as_ptr(), at, b.as_ptr(), flags) }.into())
}

pub fn unlink(p: &[u8]) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::unlink(p.as_ptr()) }.into())
}

pub fn rmdir(p: &[u8]) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::rmdir(p.as_ptr()) }.into())
}

pub fn mkdir(p: &[u8], mode: u32) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::mkdir(p.as_ptr(), mode) }.into())
}

pub fn symlink(target: &[u8], p: &[u8]) -> Res {
    let (t, p) = (c(target), c(p));
    // SAFETY: C strings.
    ret(unsafe { libc::symlink(t.as_ptr(), p.as_ptr()) }.into())
}

pub fn mknod(p: &[u8], mode: u32, dev: u64) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::mknod(p.as_ptr(), mode, dev) }.into())
}

pub fn chmod(p: &[u8], mode: u32) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::chmod(p.as_ptr(), mode) }.into())
}

pub fn lchown(p: &[u8], uid: u32, gid: u32) -> Res {
    let p = c(p);
    // SAFETY: `p` is a C string.
    ret(unsafe { libc::lchown(p.as_ptr(), uid, gid) }.into())
}

/// Times in seconds; -1 is now, -2 leaves the time as it is.
fn times(at: i64, mt: i64) -> [libc::timespec; 2] {
    [at, mt].map(|t| libc::timespec {
        tv_sec: t.max(0),
        tv_nsec: match t {
            -1 => libc::UTIME_NOW,
            -2 => libc::UTIME_OMIT,
            t => t % 1000 * 1_000_000,
        },
    })
}

pub fn utimens(p: &[u8], at: i64, mt: i64, follow: bool) -> Res {
    let p = c(p);
    let t = times(at, mt);
    let fl = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    // SAFETY: string and array live through the call.
    ret(unsafe { libc::utimensat(libc::AT_FDCWD, p.as_ptr(), t.as_ptr(), fl) }.into())
}

pub fn futimens(fd: i32, at: i64, mt: i64) -> Res {
    let t = times(at, mt);
    // SAFETY: the array lives through the call.
    ret(unsafe { libc::futimens(fd, t.as_ptr()) }.into())
}

pub fn setxattr(p: &[u8], name: &str, v: &[u8], flags: i32) -> Res {
    let (p, n) = (c(p), c(name.as_bytes()));
    // SAFETY: strings and value live through the call.
    ret(
        unsafe { libc::lsetxattr(p.as_ptr(), n.as_ptr(), v.as_ptr().cast(), v.len(), flags) }
            .into(),
    )
}

pub fn fsetxattr(fd: i32, name: &str, v: &[u8]) -> Res {
    let n = c(name.as_bytes());
    // SAFETY: as above.
    ret(unsafe { libc::fsetxattr(fd, n.as_ptr(), v.as_ptr().cast(), v.len(), 0) }.into())
}

/// A value, however long it is; most are short.
pub fn xattr(p: &[u8], name: &str) -> Result<Vec<u8>, i32> {
    match getxattr(p, name, 512) {
        Err(libc::ERANGE) => getxattr(p, name, 65536),
        r => r,
    }
    .map(|(_, v)| v)
}

pub fn getxattr(p: &[u8], name: &str, size: usize) -> Result<(i64, Vec<u8>), i32> {
    let (p, n) = (c(p), c(name.as_bytes()));
    let mut b = vec![0u8; size];
    // SAFETY: strings and buffer live through the call.
    let r = ret(
        unsafe { libc::lgetxattr(p.as_ptr(), n.as_ptr(), b.as_mut_ptr().cast(), size) } as i64,
    )?;
    b.truncate(r as usize);
    Ok((r, b))
}

pub fn fgetxattr(fd: i32, name: &str) -> Result<Vec<u8>, i32> {
    let n = c(name.as_bytes());
    let mut b = vec![0u8; 65536];
    // SAFETY: as above.
    let r = ret(unsafe { libc::fgetxattr(fd, n.as_ptr(), b.as_mut_ptr().cast(), b.len()) } as i64)?;
    b.truncate(r as usize);
    Ok(b)
}

pub fn removexattr(p: &[u8], name: &str) -> Res {
    let (p, n) = (c(p), c(name.as_bytes()));
    // SAFETY: C strings.
    ret(unsafe { libc::lremovexattr(p.as_ptr(), n.as_ptr()) }.into())
}

/// The names, sorted.
pub fn listxattr(p: &[u8]) -> Result<Vec<String>, i32> {
    let p = c(p);
    let mut b = vec![0u8; 512];
    let r = loop {
        // SAFETY: string and buffer live through the call.
        match ret(unsafe { libc::llistxattr(p.as_ptr(), b.as_mut_ptr().cast(), b.len()) } as i64) {
            Err(libc::ERANGE) if b.len() < 65536 => b.resize(65536, 0),
            r => break r?,
        }
    };
    let mut v: Vec<String> = b[..r as usize]
        .split(|x| *x == 0)
        .filter(|s| !s.is_empty())
        .map(|s| String::from_utf8_lossy(s).into_owned())
        .collect();
    v.sort();
    Ok(v)
}

pub fn copy_file_range(from: i32, off: i64, to: i32, to_off: i64, len: usize) -> Res {
    let (mut a, mut b) = (off, to_off);
    // SAFETY: both offsets live through the call.
    ret(unsafe { libc::copy_file_range(from, &mut a, to, &mut b, len, 0) } as i64)
}

pub fn sendfile(from: i32, to: i32, off: i64, len: usize) -> Res {
    let mut a = off;
    // SAFETY: the offset lives through the call.
    ret(unsafe { libc::sendfile(to, from, &mut a, len) } as i64)
}

pub fn clone_range(from: i32, off: u64, len: u64, to: i32, to_off: u64) -> Res {
    let a = [from as u64, off, len, to_off];
    // SAFETY: four 64-bit words are `struct file_clone_range`.
    ret(unsafe { libc::ioctl(to, 0x4020_940d, a.as_ptr()) }.into())
}

/// Bytes deduplicated, or the status.
pub fn dedupe(from: i32, off: u64, len: u64, to: i32, to_off: u64) -> Result<(u64, i32), i32> {
    #[repr(C)]
    struct Arg {
        off: u64,
        len: u64,
        count: u64,
        dst: i64,
        to: u64,
        bytes: u64,
        status: i32,
        pad: u32,
    }
    let mut a = Arg {
        off,
        len,
        count: 1,
        dst: to.into(),
        to: to_off,
        bytes: 0,
        status: 0,
        pad: 0,
    };
    // SAFETY: the argument has the layout of `struct file_dedupe_range` with one entry.
    ret(unsafe { libc::ioctl(from, 0xc018_9436, &mut a) }.into())?;
    Ok((a.bytes, a.status))
}

pub fn getflags(fd: i32) -> Res {
    let mut v: libc::c_int = 0;
    // SAFETY: the kernel writes an int.
    ret(unsafe { libc::ioctl(fd, libc::FS_IOC_GETFLAGS, &mut v) }.into())?;
    Ok(v.into())
}

pub fn setflags(fd: i32, flags: i32) -> Res {
    // SAFETY: the kernel reads an int.
    ret(unsafe { libc::ioctl(fd, libc::FS_IOC_SETFLAGS, &flags) }.into())
}

/// The type and the bytes of the file handle of an object.
pub fn handle(p: &[u8]) -> Result<(i32, Vec<u8>), i32> {
    #[repr(C)]
    struct Handle {
        len: u32,
        kind: i32,
        bytes: [u8; 128],
    }
    let p = c(p);
    let mut h = Handle {
        len: 128,
        kind: 0,
        bytes: [0; 128],
    };
    let mut id: libc::c_int = 0;
    // SAFETY: the path is a C string; the structure has the room that it states.
    ret(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            p.as_ptr(),
            &mut h,
            &mut id,
            0,
        )
    })?;
    let len = (h.len as usize).min(h.bytes.len());
    Ok((h.kind, h.bytes[..len].to_vec()))
}

/// The UUID of the file system that has this object.
pub fn fs_uuid(p: &[u8]) -> Result<[u8; 16], i32> {
    let mut b = [0u8; 17];
    // Only directories and regular files have ioctls of their file system.
    let dir = p.iter().rposition(|c| *c == b'/').map_or(p, |i| &p[..i]);
    let fd = open(dir, libc::O_RDONLY | libc::O_DIRECTORY, 0)? as i32;
    // SAFETY: the kernel writes the 17 bytes that FS_IOC_GETFSUUID states.
    let r = ret(unsafe { libc::ioctl(fd, 0x8011_1500, b.as_mut_ptr()) }.into());
    let _ = close(fd);
    r?;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&b[1..]);
    Ok(uuid)
}

pub fn link_fd(fd: i32, p: &[u8]) -> Res {
    link(
        format!("/proc/self/fd/{fd}").as_bytes(),
        p,
        libc::AT_SYMLINK_FOLLOW,
    )
}

/// Name, inode number, offset, type.
pub type Dirent = (Vec<u8>, u64, i64, u8);

pub fn getdents(fd: i32, size: usize) -> Result<Vec<Dirent>, i32> {
    let mut b = vec![0u8; size];
    // SAFETY: the buffer is valid for `size` bytes.
    let n = ret(unsafe { libc::syscall(libc::SYS_getdents64, fd, b.as_mut_ptr(), size) })? as usize;
    let (mut v, mut at) = (Vec::new(), 0);
    while at + 19 <= n {
        let w = |i: usize| u64::from_ne_bytes(b[at + i..at + i + 8].try_into().unwrap_or_default());
        let len = u16::from_ne_bytes([b[at + 16], b[at + 17]]) as usize;
        let name = &b[at + 19..at + len];
        let end = name.iter().position(|x| *x == 0).unwrap_or(name.len());
        v.push((name[..end].to_vec(), w(0), w(8) as i64, b[at + 18]));
        at += len;
    }
    Ok(v)
}

/// As [`getdents`], but goes on behind an entry that cannot be looked at: who is told of it, and
/// when, is an accepted difference (docs/differences.md).
pub fn entries(fd: i32, size: usize) -> Result<Vec<Dirent>, i32> {
    for _ in 0..100 {
        match getdents(fd, size) {
            Err(libc::EPERM | libc::EIO | libc::ESTALE | libc::ELOOP | libc::EREMOTE) => {}
            r => return r,
        }
    }
    getdents(fd, size)
}

/// A mapping of a file, looked at without fear of SIGBUS.
pub struct Map {
    at: *mut libc::c_void,
    len: usize,
    pipe: [i32; 2],
}

impl Map {
    pub fn new(fd: i32, len: usize, write: bool, shared: bool) -> Result<Self, i32> {
        let prot = libc::PROT_READ | if write { libc::PROT_WRITE } else { 0 };
        let kind = if shared {
            libc::MAP_SHARED
        } else {
            libc::MAP_PRIVATE
        };
        let mut pipe = [0; 2];
        // SAFETY: a new mapping at an address of the kernel's choice; the array has two ints.
        unsafe {
            let at = libc::mmap(std::ptr::null_mut(), len, prot, kind, fd, 0);
            if at == libc::MAP_FAILED {
                ret(-1)?;
            }
            ret(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK).into())?;
            Ok(Self { at, len, pipe })
        }
    }

    /// The contents, page by page; a page that cannot be read is `None`.
    pub fn pages(&self) -> Vec<Option<Vec<u8>>> {
        let mut v = Vec::new();
        for at in (0..self.len).step_by(4096) {
            let n = (self.len - at).min(4096);
            // SAFETY: the kernel reads the mapping (or fails), then fills a buffer of `n` bytes.
            unsafe {
                let mut b = vec![0u8; n];
                let r = libc::write(self.pipe[1], self.at.add(at), n);
                if r > 0 {
                    libc::read(self.pipe[0], b.as_mut_ptr().cast(), r as usize);
                }
                v.push((r == n as isize).then_some(b));
            }
        }
        v
    }

    /// Writes into the mapping: false if it cannot be written.
    pub fn put(&self, off: usize, data: &[u8]) -> bool {
        let mut done = 0;
        while done < data.len() && off + done < self.len {
            let n = (data.len() - done).min(4096).min(self.len - off - done);
            // SAFETY: the kernel fills a part of the mapping, or fails.
            let ok = unsafe {
                libc::write(self.pipe[1], data[done..].as_ptr().cast(), n) == n as isize
                    && libc::read(self.pipe[0], self.at.add(off + done), n) == n as isize
            };
            if !ok {
                return false;
            }
            done += n;
        }
        true
    }

    pub fn msync(&self) -> Res {
        // SAFETY: the mapping is ours.
        ret(unsafe { libc::msync(self.at, self.len, libc::MS_SYNC) }.into())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapping and pipe are ours and not used any more.
        unsafe {
            libc::munmap(self.at, self.len);
            libc::close(self.pipe[0]);
            libc::close(self.pipe[1]);
        }
    }
}

/// Bytes that start where a page does, as O_DIRECT wants it: with other bytes, the result would
/// depend on where the memory happens to be.
pub struct Aligned {
    bytes: Vec<u8>,
    from: usize,
}

impl Aligned {
    pub fn new(data: &[u8]) -> Self {
        let mut a = Self::zeroed(data.len());
        a.get().copy_from_slice(data);
        a
    }

    pub fn zeroed(len: usize) -> Self {
        let bytes = vec![0u8; len + 4096];
        let from = bytes.as_ptr().align_offset(4096);
        Self { bytes, from }
    }

    pub fn get(&mut self) -> &mut [u8] {
        let len = self.bytes.len() - 4096;
        &mut self.bytes[self.from..self.from + len]
    }
}

/// A lock that belongs to the open file: sets it, or asks which one is in the way.
pub fn lock(fd: i32, kind: i32, start: i64, len: i64, test: bool) -> Result<(i64, i64, i64), i32> {
    // SAFETY: `flock` is plain data, valid when zeroed, and lives through the call.
    unsafe {
        let mut l: libc::flock = std::mem::zeroed();
        l.l_type = kind as i16;
        l.l_start = start;
        l.l_len = len;
        let cmd = if test {
            libc::F_OFD_GETLK
        } else {
            libc::F_OFD_SETLK
        };
        ret(libc::fcntl(fd, cmd, &mut l).into())?;
        Ok((l.l_type.into(), l.l_start, l.l_len))
    }
}

/// `struct file_handle`, with the most bytes that one can have.
#[repr(C)]
#[derive(Clone)]
pub struct Handle {
    len: u32,
    kind: i32,
    bytes: [u8; 128],
}

impl Handle {
    /// `name_to_handle_at`.
    pub fn of(p: &[u8], flags: i32) -> Result<Self, i32> {
        let p = c(p);
        let mut h = Self {
            len: 128,
            kind: 0,
            bytes: [0; 128],
        };
        let mut mount = 0i32;
        // SAFETY: the string, a handle with as much room as it says, and an int for the mount.
        ret(unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                libc::AT_FDCWD,
                p.as_ptr(),
                &mut h,
                &mut mount,
                flags,
            )
        })?;
        Ok(h)
    }

    /// `open_by_handle_at` in the file system of a path.
    pub fn open(&self, at: &[u8], flags: i32) -> Res {
        let dir = open(at, libc::O_RDONLY | libc::O_DIRECTORY, 0)? as i32;
        // SAFETY: a handle with as many bytes as it says.
        let r = ret(unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                dir,
                self,
                flags | libc::O_CLOEXEC,
            )
        });
        let _ = close(dir);
        r
    }

    /// What two runs have in common: the length and the type.
    pub fn text(&self) -> String {
        format!("{} {:x}", self.len, self.kind)
    }
}

pub fn pipe() -> Result<[i32; 2], i32> {
    let mut p = [0; 2];
    // SAFETY: the array has two ints.
    ret(unsafe { libc::pipe2(p.as_mut_ptr(), libc::O_CLOEXEC) }.into())?;
    Ok(p)
}

/// Runs `job` in a new process, which writes what it returns; see [`Process::join`].
pub struct Process {
    pid: i32,
    from: i32,
}

impl Process {
    pub fn new(job: impl FnOnce() -> String) -> Result<Self, i32> {
        let [rd, wr] = pipe()?;
        let pid = fork()? as i32;
        if pid == 0 {
            let said = job();
            let mut b = said.as_bytes();
            while let Ok(n @ 1..) = write(wr, b, None) {
                b = &b[n as usize..];
            }
            // SAFETY: ends the process without running what belongs to the parent.
            unsafe { libc::_exit(0) }
        }
        let _ = close(wr);
        Ok(Self { pid, from: rd })
    }

    /// Waits for the end: what the process returned.
    pub fn join(self) -> String {
        let mut all = Vec::new();
        let mut b = vec![0u8; 4096];
        while let Ok(n @ 1..) = read(self.from, &mut b, None) {
            all.extend_from_slice(&b[..n as usize]);
        }
        let _ = close(self.from);
        let _ = wait(self.pid);
        String::from_utf8_lossy(&all).into_owned()
    }
}

/// `mount(2)`.
pub fn mount(src: &str, at: &[u8], ty: &str, flags: u64, data: &[u8]) -> Res {
    let (s, a, t, d) = (c(src.as_bytes()), c(at), c(ty.as_bytes()), c(data));
    // SAFETY: C strings.
    ret(unsafe { libc::mount(s.as_ptr(), a.as_ptr(), t.as_ptr(), flags, d.as_ptr().cast()) }.into())
}

pub fn umount(at: &[u8]) -> Res {
    let a = c(at);
    // SAFETY: a C string.
    ret(unsafe { libc::umount2(a.as_ptr(), 0) }.into())
}

pub fn chdir(p: &[u8]) -> Res {
    let p = c(p);
    // SAFETY: a C string.
    ret(unsafe { libc::chdir(p.as_ptr()) }.into())
}

fn clock(id: libc::clockid_t) -> i64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure lives through the call.
    unsafe { libc::clock_gettime(id, &mut t) };
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// Nanoseconds since 1970, by the clock that gives files their times; all times given before
/// this call are earlier, all given after it are not. That clock goes by ticks, which may be late,
/// while a file whose time was asked for gets the next one from a finer clock.
pub fn now() -> i64 {
    let fine = clock(libc::CLOCK_REALTIME);
    loop {
        let coarse = clock(libc::CLOCK_REALTIME_COARSE);
        if coarse > fine {
            return coarse;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
