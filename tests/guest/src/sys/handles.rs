// SPDX-License-Identifier: GPL-2.0
//! File handles (`name_to_handle_at`, `open_by_handle_at`) and fanotify, which reports them.

use super::cvt;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A handle that need not be one which can be opened.
pub const AT_HANDLE_FID: i32 = 0x200;
/// A handle that leads to the parent, too.
pub const AT_HANDLE_CONNECTABLE: i32 = 0x2;
/// The most bytes of a handle.
const MAX: usize = 128;

/// A file handle: type and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handle {
    pub kind: i32,
    pub bytes: Vec<u8>,
}

#[repr(C)]
struct Raw {
    len: u32,
    kind: i32,
    bytes: [u8; MAX],
}

fn cpath(p: &Path) -> CString {
    CString::new(p.as_os_str().as_bytes()).expect("a path has no NUL")
}

/// `name_to_handle_at` with room for `room` bytes, symbolic links not followed: the handle, or the
/// error with the number of bytes that would be needed.
pub fn handle_room(p: &Path, flags: i32, room: usize) -> Result<Handle, (io::Error, u32)> {
    let c = cpath(p);
    let mut raw = Raw {
        len: room.min(MAX) as u32,
        kind: 0,
        bytes: [0; MAX],
    };
    let mut mount_id = 0i32;
    // SAFETY: the path is a C string; the handle has room for as many bytes as it says.
    let r = cvt(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            c.as_ptr(),
            &mut raw,
            &mut mount_id,
            flags,
        )
    });
    match r {
        Ok(_) => Ok(Handle {
            kind: raw.kind,
            bytes: raw.bytes[..raw.len as usize].to_vec(),
        }),
        Err(e) => Err((e, raw.len)),
    }
}

/// `name_to_handle_at`, symbolic links not followed.
pub fn handle(p: &Path, flags: i32) -> io::Result<Handle> {
    handle_room(p, flags, MAX).map_err(|(e, _)| e)
}

/// `open_by_handle_at` on the file system that `at` is on.
pub fn open_handle(at: &File, h: &Handle, flags: i32) -> io::Result<File> {
    let mut raw = Raw {
        len: h.bytes.len() as u32,
        kind: h.kind,
        bytes: [0; MAX],
    };
    raw.bytes[..h.bytes.len()].copy_from_slice(&h.bytes);
    // SAFETY: the handle has as many bytes as it says.
    let fd = cvt(unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            at.as_raw_fd(),
            &mut raw,
            flags | libc::O_CLOEXEC,
        )
    })?;
    // SAFETY: a new descriptor.
    Ok(unsafe { File::from_raw_fd(fd as i32) })
}

/// A fanotify group that reports objects by their handles.
pub struct Fanotify(File);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FanEvent {
    pub mask: u64,
    /// The kind of record (`FAN_EVENT_INFO_TYPE_*`), the handle, and the name, if it has one.
    pub records: Vec<(u8, Handle, String)>,
}

impl Fanotify {
    /// `fanotify_init` with these flags, and no file descriptors in events.
    pub fn new(flags: u32) -> io::Result<Self> {
        // SAFETY: no memory is involved.
        let fd = cvt(unsafe {
            libc::syscall(
                libc::SYS_fanotify_init,
                flags | libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK,
                libc::O_RDONLY,
            )
        })?;
        // SAFETY: a new descriptor.
        Ok(Self(File::from(unsafe { OwnedFd::from_raw_fd(fd as i32) })))
    }

    /// Adds a mark; `flags` beside `FAN_MARK_ADD`.
    pub fn mark(&self, flags: u32, mask: u64, p: &Path) -> io::Result<()> {
        let c = cpath(p);
        // SAFETY: the path is a C string.
        cvt(unsafe {
            libc::syscall(
                libc::SYS_fanotify_mark,
                self.0.as_raw_fd(),
                flags | libc::FAN_MARK_ADD,
                mask,
                libc::AT_FDCWD,
                c.as_ptr(),
            )
        })
        .map(drop)
    }

    /// All events that are waiting.
    pub fn events(&mut self) -> io::Result<Vec<FanEvent>> {
        let mut all = Vec::new();
        let mut buf = vec![0u8; 16384];
        loop {
            let n = match self.0.read(&mut buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(all),
                r => r?,
            };
            if n == 0 {
                return Ok(all);
            }
            let mut rest = &buf[..n];
            while rest.len() >= 24 {
                let len = u32_at(rest, 0) as usize;
                all.push(event(&rest[..len]));
                rest = &rest[len..];
            }
        }
    }
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

fn event(b: &[u8]) -> FanEvent {
    let mask = u64::from_ne_bytes(b[8..16].try_into().expect("eight bytes"));
    let mut rest = &b[24..];
    let mut records = Vec::new();
    while rest.len() >= 20 {
        let len = u16::from_ne_bytes([rest[2], rest[3]]) as usize;
        // Header, fsid, then a struct file_handle and perhaps a name.
        let size = u32_at(rest, 12) as usize;
        let name = &rest[20 + size..len];
        let name = &name[..name.iter().position(|c| *c == 0).unwrap_or(name.len())];
        records.push((
            rest[0],
            Handle {
                kind: u32_at(rest, 16) as i32,
                bytes: rest[20..20 + size].to_vec(),
            },
            String::from_utf8_lossy(name).into_owned(),
        ));
        rest = &rest[len..];
    }
    FanEvent { mask, records }
}

/// `FS_IOC_GETFSUUID`; `None` if the file system does not tell one.
pub fn fs_uuid(f: &File) -> io::Result<Option<[u8; 16]>> {
    #[repr(C)]
    struct Arg {
        len: u8,
        uuid: [u8; 16],
    }
    let mut a = Arg {
        len: 0,
        uuid: [0; 16],
    };
    // SAFETY: the argument has the layout of `struct fsuuid2`.
    match cvt(unsafe { libc::ioctl(f.as_raw_fd(), 0x8011_1500, &mut a) }.into()) {
        Ok(_) => Ok(Some(a.uuid)),
        Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => Ok(btrfs_uuid(f)),
        Err(e) => Err(e),
    }
}

/// `BTRFS_IOC_FS_INFO`: the way of a file system that has not the one above.
fn btrfs_uuid(f: &File) -> Option<[u8; 16]> {
    let mut info = [0u8; 1024];
    // SAFETY: the argument has the size of `struct btrfs_ioctl_fs_info_args`.
    cvt(unsafe { libc::ioctl(f.as_raw_fd(), 0x8400_941f, &mut info) }.into()).ok()?;
    info[16..32].try_into().ok()
}
