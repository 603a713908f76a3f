// SPDX-License-Identifier: GPL-2.0
//! The system calls that only this program makes. All its unsafe code is here.

use std::ffi::CString;

use fuzz::sys;
pub use fuzz::sys::Res;

fn ret(r: i64) -> Res {
    if r < 0 {
        Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    } else {
        Ok(r)
    }
}

/// The number of this thread.
pub fn thread() -> i64 {
    // SAFETY: no memory is involved.
    unsafe { libc::syscall(libc::SYS_gettid) }
}

/// Runs `f` in a process of its own, which ends with 0 if it is `Ok`, else with the errno.
/// Returns the number of the process.
pub fn fork(f: impl FnOnce() -> Res) -> Res {
    // SAFETY: this program has one thread, so the child may do anything.
    match unsafe { libc::fork() } {
        0 => {
            let code = match f() {
                Ok(_) => 0,
                Err(e) => e,
            };
            // SAFETY: ends the child without running what the parent registered.
            unsafe { libc::_exit(code) }
        }
        n => ret(n.into()),
    }
}

/// Sends a child a signal.
pub fn kill(pid: i64, signal: i32) -> Res {
    // SAFETY: a child of ours.
    ret(unsafe { libc::kill(pid as i32, signal) }.into())
}

/// Whether a child has ended; it can still be waited for.
pub fn has_ended(pid: i64) -> bool {
    // SAFETY: a zeroed structure is valid and lives through the call.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as u32, &mut info, flags) != 0 || info.si_pid() != 0
    }
}

/// What a process is doing: `R`, or `S` and `D` if it sleeps, or `Z`.
pub fn state(pid: i64) -> char {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rsplit(") ").next().and_then(|s| s.chars().next());
    after.unwrap_or('Z')
}

extern "C" fn nothing(_: i32) {}

/// This signal interrupts system calls and does nothing else.
pub fn interrupts(signal: i32) -> Res {
    // SAFETY: the structure lives through the call, and the handler touches nothing.
    unsafe {
        let mut a: libc::sigaction = std::mem::zeroed();
        a.sa_sigaction = nothing as *const () as usize;
        ret(libc::sigaction(signal, &a, std::ptr::null_mut()).into())
    }
}

/// Which of the two have something to read, or their end, waiting for it at most so long (-1: for
/// ever).
pub fn readable(fds: [i32; 2], ms: i32) -> [bool; 2] {
    let mut p = fds.map(|fd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: the array lives through the call.
    if unsafe { libc::poll(p.as_mut_ptr(), 2, ms) } <= 0 {
        return [false; 2];
    }
    p.map(|p| p.revents != 0)
}

/// From now on this process is that user, without any rights of the superuser.
pub fn become_user(uid: u32, gid: u32) -> Res {
    sys::setgroups(&[])?;
    // SAFETY: no memory is involved.
    unsafe {
        ret(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        ret(libc::syscall(libc::SYS_setresuid, uid, uid, uid))
    }
}

/// `struct if_dqblk`: what an owner has, and may have.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Quota {
    /// In KiB.
    pub most_space: u64,
    soft_space: u64,
    /// In bytes.
    pub space: u64,
    pub most_inodes: u64,
    soft_inodes: u64,
    pub inodes: u64,
    times: [u64; 2],
    valid: u64,
}

fn quotactl(dir: i32, what: u32, kind: u32, id: u32, q: &mut Quota) -> Res {
    const SYS_QUOTACTL_FD: libc::c_long = 443;
    // SAFETY: the structure has the layout of `struct if_dqblk`, up to its end.
    ret(unsafe { libc::syscall(SYS_QUOTACTL_FD, dir, what << 8 | kind, id, q as *mut Quota) })
}

/// What the user (`kind` 0) or project (2) has on the file system of `dir`.
pub fn quota(dir: i32, kind: u32, id: u32) -> Result<Quota, i32> {
    let mut q = Quota::default();
    quotactl(dir, 0x0080_0007, kind, id, &mut q)?;
    Ok(q)
}

/// Limits of space in KiB and of inodes; 0 is none.
pub fn set_quota(dir: i32, kind: u32, id: u32, most_space: u64, most_inodes: u64) -> Res {
    let mut q = Quota {
        most_space,
        most_inodes,
        valid: 1 | 4,
        ..Quota::default()
    };
    quotactl(dir, 0x0080_0008, kind, id, &mut q)
}

/// Waits for a child: its exit status, or `None` if it was killed.
pub fn wait(pid: i64) -> Option<i32> {
    let mut status = 0;
    // SAFETY: the status lives through the call.
    unsafe { libc::waitpid(pid as i32, &mut status, 0) };
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// Opens an object by its file handle, as the mount below `dir` gave it.
pub fn open_handle(dir: i32, kind: i32, bytes: &[u8]) -> Res {
    #[repr(C)]
    struct Handle {
        len: u32,
        kind: i32,
        bytes: [u8; 128],
    }
    let mut h = Handle {
        len: bytes.len().min(128) as u32,
        kind,
        bytes: [0; 128],
    };
    for (to, from) in h.bytes.iter_mut().zip(bytes) {
        *to = *from;
    }
    // SAFETY: the structure has the bytes that it states.
    ret(unsafe { libc::syscall(libc::SYS_open_by_handle_at, dir, &mut h, libc::O_RDONLY) })
}

/// Makes `to` share the data of `from` (both open files on xfs).
pub fn clone_file(to: i32, from: i32) -> Res {
    // SAFETY: FICLONE takes a descriptor as a number.
    ret(unsafe { libc::ioctl(to, libc::FICLONE, from) }.into())
}

/// Freezes the file system of `dir` and lets it go on: what it put off is done then.
pub fn freeze_and_thaw(dir: i32) -> Res {
    const FIFREEZE: libc::c_ulong = 0xc004_5877;
    const FITHAW: libc::c_ulong = 0xc004_5878;
    // SAFETY: neither uses its argument.
    unsafe {
        ret(libc::ioctl(dir, FIFREEZE, 0).into())?;
        ret(libc::ioctl(dir, FITHAW, 0).into())
    }
}

/// Used inodes and blocks of 4096 bytes of a file system.
pub fn used(p: &[u8]) -> Result<(u64, u64), i32> {
    let p = CString::new(p).unwrap_or_default();
    // SAFETY: a zeroed structure is valid; both pointers live through the call.
    unsafe {
        let mut st: libc::statfs = std::mem::zeroed();
        ret(libc::statfs(p.as_ptr(), &mut st).into())?;
        Ok((
            st.f_files.saturating_sub(st.f_ffree),
            st.f_blocks.saturating_sub(st.f_bfree),
        ))
    }
}

/// Whether the thing is there; unlike `stat` nothing of it is read.
pub fn exists(p: &str) -> bool {
    let p = CString::new(p).unwrap_or_default();
    // SAFETY: a C string.
    unsafe { libc::access(p.as_ptr(), libc::F_OK) == 0 }
}
