// SPDX-License-Identifier: GPL-2.0
//! File operations whose errors say where in the test, on what path, and why.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::panic::Location;
use std::path::{Path, PathBuf};

use crate::check::R;
use rustix::fs as rfs;
use rustix::fs::{AtFlags, FileType, Mode, RenameFlags, CWD};

/// Adds the place in the test, the operation and the path to an error.
#[track_caller]
pub fn ctx<T, E>(r: Result<T, E>, what: &str, p: impl AsRef<Path>) -> R<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let at = Location::caller();
    r.map_err(|e| {
        let msg = format!(
            "{}:{}: {what} {}",
            at.file(),
            at.line(),
            p.as_ref().display()
        );
        anyhow::Error::new(e).context(msg)
    })
}

#[track_caller]
pub fn write(p: impl AsRef<Path>, data: impl AsRef<[u8]>) -> R {
    ctx(fs::write(&p, data), "write", p)
}

#[track_caller]
pub fn read(p: impl AsRef<Path>) -> R<Vec<u8>> {
    ctx(fs::read(&p), "read", p)
}

/// The contents as text.
#[track_caller]
pub fn text(p: impl AsRef<Path>) -> R<String> {
    Ok(String::from_utf8_lossy(&read(p)?).into_owned())
}

#[track_caller]
pub fn append(p: impl AsRef<Path>, data: impl AsRef<[u8]>) -> R {
    let r = OpenOptions::new()
        .append(true)
        .open(&p)
        .and_then(|mut f| f.write_all(data.as_ref()));
    ctx(r, "append to", p)
}

#[track_caller]
pub fn mkdir(p: impl AsRef<Path>) -> R {
    ctx(fs::create_dir(&p), "mkdir", p)
}

#[track_caller]
pub fn mkdirs(p: impl AsRef<Path>) -> R {
    ctx(fs::create_dir_all(&p), "mkdir -p", p)
}

#[track_caller]
pub fn rmdir(p: impl AsRef<Path>) -> R {
    ctx(fs::remove_dir(&p), "rmdir", p)
}

#[track_caller]
pub fn unlink(p: impl AsRef<Path>) -> R {
    ctx(fs::remove_file(&p), "unlink", p)
}

#[track_caller]
pub fn rename(a: impl AsRef<Path>, b: impl AsRef<Path>) -> R {
    ctx(fs::rename(&a, b), "rename", a)
}

#[track_caller]
pub fn rename2(a: impl AsRef<Path>, b: impl AsRef<Path>, flags: RenameFlags) -> R {
    ctx(
        rfs::renameat_with(CWD, a.as_ref(), CWD, b.as_ref(), flags),
        "renameat2",
        a,
    )
}

#[track_caller]
pub fn link(a: impl AsRef<Path>, b: impl AsRef<Path>) -> R {
    ctx(fs::hard_link(&a, &b), "link", b)
}

#[track_caller]
pub fn symlink(target: impl AsRef<Path>, p: impl AsRef<Path>) -> R {
    ctx(std::os::unix::fs::symlink(target, &p), "symlink", p)
}

#[track_caller]
pub fn readlink(p: impl AsRef<Path>) -> R<PathBuf> {
    ctx(fs::read_link(&p), "readlink", p)
}

#[track_caller]
pub fn mknod(p: impl AsRef<Path>, t: FileType, mode: u32, major: u32, minor: u32) -> R {
    let dev = rfs::makedev(major, minor);
    ctx(
        rfs::mknodat(CWD, p.as_ref(), t, Mode::from_raw_mode(mode), dev),
        "mknod",
        p,
    )
}

/// Makes a whiteout (a character device 0:0) by hand.
#[track_caller]
pub fn whiteout(p: impl AsRef<Path>) -> R {
    mknod(p, FileType::CharacterDevice, 0, 0, 0)
}

/// `lstat`.
#[track_caller]
pub fn stat(p: impl AsRef<Path>) -> R<fs::Metadata> {
    ctx(fs::symlink_metadata(&p), "lstat", p)
}

/// Whether the path exists (without following a last symlink); only `ENOENT` counts as no.
#[track_caller]
pub fn exists(p: impl AsRef<Path>) -> R<bool> {
    match fs::symlink_metadata(&p) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => ctx(Err(e), "lstat", p),
    }
}

#[track_caller]
pub fn chmod(p: impl AsRef<Path>, mode: u32) -> R {
    ctx(
        fs::set_permissions(&p, fs::Permissions::from_mode(mode)),
        "chmod",
        p,
    )
}

/// The permission bits, with setuid, setgid and sticky.
#[track_caller]
pub fn mode(p: impl AsRef<Path>) -> R<u32> {
    Ok(stat(p)?.mode() & 0o7777)
}

#[track_caller]
pub fn chown(p: impl AsRef<Path>, uid: u32, gid: u32) -> R {
    ctx(
        std::os::unix::fs::lchown(&p, Some(uid), Some(gid)),
        "chown",
        p,
    )
}

/// Sets atime and mtime, in (seconds, nanoseconds); does not follow a last symlink.
#[track_caller]
pub fn utimes(p: impl AsRef<Path>, atime: (i64, i64), mtime: (i64, i64)) -> R {
    let t = rfs::Timestamps {
        last_access: rustix::time::Timespec {
            tv_sec: atime.0,
            tv_nsec: atime.1,
        },
        last_modification: rustix::time::Timespec {
            tv_sec: mtime.0,
            tv_nsec: mtime.1,
        },
    };
    ctx(
        rfs::utimensat(CWD, p.as_ref(), &t, AtFlags::SYMLINK_NOFOLLOW),
        "utimensat",
        p,
    )
}

#[track_caller]
pub fn truncate(p: impl AsRef<Path>, len: u64) -> R {
    let c = std::ffi::CString::new(p.as_ref().as_os_str().as_encoded_bytes())?;
    ctx(crate::sys::truncate(&c, len), "truncate", p)
}

#[track_caller]
pub fn open_ro(p: impl AsRef<Path>) -> R<File> {
    ctx(File::open(&p), "open for reading", p)
}

#[track_caller]
pub fn open_rw(p: impl AsRef<Path>) -> R<File> {
    ctx(
        OpenOptions::new().read(true).write(true).open(&p),
        "open for read and write",
        p,
    )
}

/// `open` with raw flags.
#[track_caller]
pub fn open(p: impl AsRef<Path>, flags: i32, mode: u32) -> R<File> {
    let flags = rfs::OFlags::from_bits_retain(flags as u32) | rfs::OFlags::CLOEXEC;
    let r = rfs::open(p.as_ref(), flags, Mode::from_raw_mode(mode));
    Ok(File::from(ctx(r, "open", p)?))
}

#[track_caller]
pub fn pread(f: &File, off: u64, len: usize) -> R<Vec<u8>> {
    let mut b = vec![0; len];
    let n = ctx(f.read_at(&mut b, off), "pread", "(descriptor)")?;
    b.truncate(n);
    Ok(b)
}

#[track_caller]
pub fn pwrite(f: &File, off: u64, data: impl AsRef<[u8]>) -> R {
    ctx(f.write_all_at(data.as_ref(), off), "pwrite", "(descriptor)")
}

/// Reads the descriptor from its position to the end.
#[track_caller]
pub fn drain(f: &mut File) -> R<Vec<u8>> {
    let mut b = Vec::new();
    ctx(f.read_to_end(&mut b), "read", "(descriptor)")?;
    Ok(b)
}

/// The names in a directory, sorted, without `.` and `..`.
#[track_caller]
pub fn ls(p: impl AsRef<Path>) -> R<Vec<String>> {
    let mut v = Vec::new();
    for e in ctx(fs::read_dir(&p), "open directory", &p)? {
        v.push(
            ctx(e, "readdir", &p)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    v.sort();
    Ok(v)
}

#[track_caller]
pub fn setxattr(p: impl AsRef<Path>, name: &str, v: impl AsRef<[u8]>) -> R {
    let r = rfs::lsetxattr(p.as_ref(), name, v.as_ref(), rfs::XattrFlags::empty());
    ctx(r, &format!("setxattr {name} of"), p)
}

#[track_caller]
pub fn getxattr(p: impl AsRef<Path>, name: &str) -> R<Vec<u8>> {
    let mut b = vec![0u8; 65536];
    let r = rfs::lgetxattr(p.as_ref(), name, &mut b[..]);
    let n = ctx(r, &format!("getxattr {name} of"), p)?;
    b.truncate(n);
    Ok(b)
}

/// The value, or `None` where there is no such attribute.
#[track_caller]
pub fn xattr_opt(p: impl AsRef<Path>, name: &str) -> R<Option<Vec<u8>>> {
    match getxattr(p, name) {
        Ok(v) => Ok(Some(v)),
        Err(e) if crate::check::Errno::errno(&e) == Some(libc::ENODATA) => Ok(None),
        Err(e) => Err(e),
    }
}

#[track_caller]
pub fn removexattr(p: impl AsRef<Path>, name: &str) -> R {
    let r = rfs::lremovexattr(p.as_ref(), name);
    ctx(r, &format!("removexattr {name} of"), p)
}

/// The names of the extended attributes, sorted.
#[track_caller]
pub fn listxattr(p: impl AsRef<Path>) -> R<Vec<String>> {
    let mut b = vec![0u8; 65536];
    let n = ctx(rfs::llistxattr(p.as_ref(), &mut b[..]), "listxattr", p)?;
    let mut v: Vec<String> = b[..n]
        .split(|c| *c == 0)
        .filter(|s| !s.is_empty())
        .map(|s| String::from_utf8_lossy(s).into_owned())
        .collect();
    v.sort();
    Ok(v)
}

/// `len` bytes that differ from place to place and from seed to seed.
pub fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut v = Vec::with_capacity(len + 8);
    while v.len() < len {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        v.extend_from_slice(&x.to_le_bytes());
    }
    v.truncate(len);
    v
}
