// SPDX-License-Identifier: GPL-2.0

//! System calls without anything around them, and what it takes to prepare for them.

use anyhow::{Context, Result};
use std::{ffi::CString, io};

/// Calls a function of libc that says -1 when it fails.
macro_rules! call {
    ($name:ident($($arg:expr),* $(,)?)) => {{
        // SAFETY: pointers among the arguments are to live objects of the size that the call is told.
        let ret = unsafe { libc::$name($($arg),*) };
        $crate::sys::check(ret as i64)
    }};
}
pub(crate) use call;

/// The value of a system call, or the error that it left.
pub fn check(ret: i64) -> io::Result<i64> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// Turns the failure that is wanted into success.
pub fn fails(result: io::Result<i64>, errno: i32) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error() == Some(errno) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it did not fail")),
    }
}

/// A path for the kernel.
pub fn c(path: impl AsRef<str>) -> CString {
    CString::new(path.as_ref()).unwrap_or_default()
}

/// Paths that differ by a number.
pub fn paths(n: usize, name: impl Fn(usize) -> String) -> Vec<CString> {
    (0..n).map(|i| c(name(i))).collect()
}

/// An empty `struct stat`.
pub fn no_stat() -> libc::stat {
    // SAFETY: plain numbers.
    unsafe { std::mem::zeroed() }
}

/// Mounts a file system.
pub fn mount(
    source: &str,
    target: &str,
    fstype: &str,
    flags: libc::c_ulong,
    data: &str,
) -> Result<()> {
    let (source, to, kind, options) = (c(source), c(target), c(fstype), c(data));
    call!(mount(
        source.as_ptr(),
        to.as_ptr(),
        kind.as_ptr(),
        flags,
        options.as_ptr().cast()
    ))
    .with_context(|| format!("mount -t {fstype} -o {data} {target}"))?;
    Ok(())
}

/// Unmounts it.
pub fn umount(target: &str) -> Result<()> {
    let to = c(target);
    call!(umount2(to.as_ptr(), 0)).with_context(|| format!("umount {target}"))?;
    Ok(())
}

/// The number that tells what kind of file system a directory is on.
pub fn magic(path: &str) -> Result<i64> {
    // SAFETY: plain numbers.
    let mut fs: libc::statfs = unsafe { std::mem::zeroed() };
    let at = c(path);
    call!(statfs(at.as_ptr(), &mut fs)).with_context(|| format!("statfs {path}"))?;
    Ok(fs.f_type)
}

/// Becomes another user as far as permissions go, or root again.
pub fn become_user(uid: u32) -> Result<()> {
    // The raw call: there is one thread.
    call!(syscall(libc::SYS_setresuid, -1i64, i64::from(uid), -1i64)).context("setresuid")?;
    Ok(())
}

/// Everything dirty to the disk.
pub fn sync() {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
}

/// Forgets all names and inodes that nobody uses, and waits until their memory is free: that is done
/// by RCU and would otherwise be counted with what comes next. Waiting costs nothing here.
pub fn drop_caches() -> Result<()> {
    sync();
    std::fs::write("/proc/sys/vm/drop_caches", "2").context("drop_caches")?;
    settle();
    Ok(())
}

/// Lets what was put off happen.
pub fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(200));
}
