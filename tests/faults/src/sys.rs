// SPDX-License-Identifier: GPL-2.0
//! The system calls that only this program makes. All its unsafe code is here.

use std::ffi::CString;

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

pub fn kill(pid: i64) -> Res {
    // SAFETY: a child of ours.
    ret(unsafe { libc::kill(pid as i32, libc::SIGKILL) }.into())
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
