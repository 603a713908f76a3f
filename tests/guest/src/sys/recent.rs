// SPDX-License-Identifier: GPL-2.0
//! System calls that the crates do not know yet, or not all of: statmount, the whole of statx,
//! file_getattr and file_setattr, freezing, swapping.

use super::{cvt, cvt_int};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const STATMOUNT: libc::c_long = 457;
const FILE_GETATTR: libc::c_long = 468;
const FILE_SETATTR: libc::c_long = 469;

fn cpath(p: &Path) -> CString {
    CString::new(p.as_os_str().as_bytes()).expect("a path has no NUL")
}

/// The answer of `statmount`, with everything that it may tell.
pub struct StatMount(Vec<u8>);

impl StatMount {
    /// Of the mount with this unique id, with these parts (`STATMOUNT_*`).
    pub fn get(id: u64, mask: u64) -> io::Result<Self> {
        // struct mnt_id_req: size, descriptor, id, parts.
        let req: [u64; 4] = [32, id, mask, 0];
        let mut buf = vec![0u8; 16384];
        // SAFETY: the request has the layout and the size that it says; the buffer its length.
        cvt(unsafe { libc::syscall(STATMOUNT, req.as_ptr(), buf.as_mut_ptr(), buf.len(), 0) })?;
        Ok(Self(buf))
    }

    pub fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    pub fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    /// The strings that the offset at this place leads to.
    pub fn strings(&self, at: usize, n: usize) -> Vec<String> {
        let from = 512 + self.u32(at) as usize;
        let parts = self.0[from..].split(|c| *c == 0).take(n);
        parts
            .map(|s| String::from_utf8_lossy(s).into_owned())
            .collect()
    }

    pub fn string(&self, at: usize) -> String {
        self.strings(at, 1).concat()
    }
}

/// The answer of `statx`, raw: `struct statx` as 64-bit words.
pub fn statx(p: &Path, flags: i32, mask: u32) -> io::Result<[u64; 32]> {
    let (c, mut buf) = (cpath(p), [0u64; 32]);
    // SAFETY: the path is a C string; the buffer has the size of `struct statx`.
    cvt(unsafe {
        libc::syscall(
            libc::SYS_statx,
            libc::AT_FDCWD,
            c.as_ptr(),
            flags | libc::AT_SYMLINK_NOFOLLOW,
            mask,
            buf.as_mut_ptr(),
        )
    })?;
    Ok(buf)
}

/// `struct file_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileAttr {
    pub xflags: u64,
    pub extsize: u32,
    pub nextents: u32,
    pub projid: u32,
    pub cowextsize: u32,
}

/// `file_getattr`, symbolic links not followed.
pub fn file_getattr(p: &Path) -> io::Result<FileAttr> {
    let (c, mut a) = (cpath(p), FileAttr::default());
    // SAFETY: the path is a C string; the attributes have the layout and the size given.
    cvt(unsafe {
        libc::syscall(
            FILE_GETATTR,
            libc::AT_FDCWD,
            c.as_ptr(),
            &mut a,
            size_of::<FileAttr>(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    })?;
    Ok(a)
}

/// `file_setattr`, symbolic links not followed.
pub fn file_setattr(p: &Path, a: &FileAttr) -> io::Result<()> {
    let c = cpath(p);
    // SAFETY: the path is a C string; the attributes have the layout and the size given.
    cvt(unsafe {
        libc::syscall(
            FILE_SETATTR,
            libc::AT_FDCWD,
            c.as_ptr(),
            a,
            size_of::<FileAttr>(),
            libc::AT_SYMLINK_NOFOLLOW,
        )
    })
    .map(drop)
}

/// `FIFREEZE`: nothing is written to the file system until it is thawed.
pub fn freeze(f: &File) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0xc004_5877, 0) }).map(drop)
}

/// `FITHAW`.
pub fn thaw(f: &File) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::ioctl(f.as_raw_fd(), 0xc004_5878, 0) }).map(drop)
}

/// `swapon`.
pub fn swapon(p: &Path) -> io::Result<()> {
    // SAFETY: the path is a C string.
    cvt_int(unsafe { libc::swapon(cpath(p).as_ptr(), 0) }).map(drop)
}

/// `swapoff`.
pub fn swapoff(p: &Path) -> io::Result<()> {
    // SAFETY: the path is a C string.
    cvt_int(unsafe { libc::swapoff(cpath(p).as_ptr()) }).map(drop)
}
