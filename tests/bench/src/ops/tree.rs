// SPDX-License-Identifier: GPL-2.0

//! A part of a Debian system, walked, read, copied, changed and removed as a whole. Each is done
//! once: it consists of thousands of operations.

use crate::{
    sample::Bench,
    stage::{Stage, TOP},
    sys::{c, call, drop_caches, no_stat, settle, sync},
};
use anyhow::Result;
use std::{
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::{symlink, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Where the initramfs has it.
const SOURCE: &str = "/tree";

/// What is known of an entry from the listing and from lstat(2).
struct Entry {
    path: PathBuf,
    st: libc::stat,
}

impl Entry {
    fn is(&self, kind: libc::mode_t) -> bool {
        self.st.st_mode & libc::S_IFMT == kind
    }

    fn c(&self) -> CString {
        CString::new(self.path.as_os_str().as_bytes()).unwrap_or_default()
    }
}

/// Lists everything below `dir` and asks for the attributes of each, directories first.
fn walk(dir: &Path, all: &mut Vec<Entry>) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<io::Result<_>>()?;
    // The order in which layers tell them is no concern here.
    names.sort_unstable();
    for name in names {
        let path = dir.join(name);
        let mut st = no_stat();
        let as_c = CString::new(path.as_os_str().as_bytes()).unwrap_or_default();
        call!(lstat(as_c.as_ptr(), &mut st))?;
        let entry = Entry { path, st };
        let sub = entry.is(libc::S_IFDIR).then(|| entry.path.clone());
        all.push(entry);
        if let Some(sub) = sub {
            walk(&sub, all)?;
        }
    }
    Ok(())
}

fn walked(dir: &str) -> io::Result<Vec<Entry>> {
    let mut all = Vec::new();
    walk(Path::new(dir), &mut all)?;
    Ok(all)
}

fn read_link(path: &CStr) -> io::Result<PathBuf> {
    let mut text = vec![0u8; 4096];
    let len = call!(readlink(
        path.as_ptr(),
        text.as_mut_ptr().cast(),
        text.len()
    ))? as usize;
    text.truncate(len);
    Ok(std::ffi::OsString::from_vec(text).into())
}

/// Reads everything, as tar(1) does.
fn archive(dir: &str) -> io::Result<u64> {
    let mut room = vec![0u8; 65536];
    let mut bytes = 0;
    for entry in walked(dir)? {
        let path = entry.c();
        call!(llistxattr(
            path.as_ptr(),
            room.as_mut_ptr().cast(),
            room.len()
        ))?;
        if entry.is(libc::S_IFLNK) {
            bytes += read_link(&path)?.as_os_str().len() as u64;
        } else if entry.is(libc::S_IFREG) {
            let fd = call!(open(path.as_ptr(), libc::O_RDONLY))? as i32;
            loop {
                let got = call!(read(fd, room.as_mut_ptr().cast(), room.len()))?;
                bytes += got.unsigned_abs();
                if got == 0 {
                    break;
                }
            }
            call!(close(fd))?;
        }
    }
    Ok(bytes)
}

/// Copies everything with owner, mode and times, as cp -a does.
fn copy(from: &str, to: &str) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in walked(from)? {
        let relative = entry.path.strip_prefix(from).map_err(io::Error::other)?;
        let target = Path::new(to).join(relative);
        let as_c = CString::new(target.as_os_str().as_bytes()).unwrap_or_default();
        if entry.is(libc::S_IFDIR) {
            fs::create_dir(&target)?;
        } else if entry.is(libc::S_IFLNK) {
            symlink(read_link(&entry.c())?, &target)?;
        } else if entry.is(libc::S_IFREG) {
            fs::write(&target, fs::read(&entry.path)?)?;
        } else {
            continue;
        }
        call!(lchown(as_c.as_ptr(), entry.st.st_uid, entry.st.st_gid))?;
        if !entry.is(libc::S_IFLNK) {
            fs::set_permissions(
                &target,
                fs::Permissions::from_mode(entry.st.st_mode & 0o7777),
            )?;
        }
        let time = libc::timespec {
            tv_sec: entry.st.st_mtime,
            tv_nsec: entry.st.st_mtime_nsec,
        };
        call!(utimensat(
            libc::AT_FDCWD,
            as_c.as_ptr(),
            [time, time].as_ptr(),
            libc::AT_SYMLINK_NOFOLLOW
        ))?;
    }
    Ok(())
}

fn chown(dir: &str) -> io::Result<()> {
    walked(dir)?
        .iter()
        .try_for_each(|entry| call!(lchown(entry.c().as_ptr(), 3, 3)).map(drop))
}

fn remove(dir: &str) -> io::Result<()> {
    // What is in a directory comes after it.
    for entry in walked(dir)?.iter().rev() {
        let path = entry.c();
        if entry.is(libc::S_IFDIR) {
            call!(rmdir(path.as_ptr()))?;
        } else {
            call!(unlink(path.as_ptr()))?;
        }
    }
    let path = c(dir);
    call!(rmdir(path.as_ptr())).map(drop)
}

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    if !Path::new(OsStr::new(SOURCE)).exists() {
        eprintln!("bench: there is no {SOURCE}");
        return Ok(());
    }
    copy(SOURCE, &format!("{}/tree", stage.lower(0)?))?;
    sync();
    settle();
    stage.mount(1, "")?;
    let (low, new) = (format!("{TOP}/tree"), format!("{TOP}/copy"));
    drop_caches()?;
    bench.op("walk, all cold", 1, |_| walked(&low).map(drop))?;
    bench.op("walk", 1, |_| walked(&low).map(drop))?;
    drop_caches()?;
    bench.op("archive, all cold", 1, |_| archive(&low).map(drop))?;
    bench.op("archive", 1, |_| archive(&low).map(drop))?;
    bench.op("copy", 1, |_| copy(&low, &new))?;
    sync();
    settle();
    bench.op("chown of the copy", 1, |_| chown(&new))?;
    bench.op("remove the copy", 1, |_| remove(&new))?;
    sync();
    settle();
    bench.op("chown of the lower tree", 1, |_| chown(&low))?;
    settle();
    bench.op("walk after chown", 1, |_| walked(&low).map(drop))?;
    bench.op("remove the lower tree", 1, |_| remove(&low))
}
