// SPDX-License-Identifier: GPL-2.0

//! What programs do all day, with everything cached (table 2a).

use crate::{
    sample::Bench,
    stage::{dir, file, files, Stage, TOP},
    sys::{self, c, call, fails, no_stat},
};
use anyhow::Result;
use std::{io, os::unix::fs::symlink};

const N: usize = 101;
const KIB4: usize = 4096;

fn populate(stage: &mut Stage) -> Result<()> {
    let (lower, upper) = (stage.lower(0)?, stage.upper()?);
    dir(&format!("{lower}/a/b/c/d"))?;
    file(&format!("{lower}/a/b/c/d/f"), KIB4)?;
    file(&format!("{lower}/f"), KIB4)?;
    file(&format!("{lower}/big"), 1 << 20)?;
    symlink("f", format!("{lower}/sym"))?;
    files(&format!("{lower}/merged"), "low", 4, 10)?;
    files(&format!("{upper}/merged"), "up", 4, 10)?;
    files(&format!("{lower}/lowdir"), "low", 4, 10)?;
    files(&format!("{upper}/updir"), "up", 4, 10)?;
    file(&format!("{upper}/u"), KIB4)?;
    file(&format!("{upper}/ubig"), 1 << 20)?;
    stage.mount(1, "")
}

fn open(path: &std::ffi::CStr, flags: i32) -> io::Result<i32> {
    call!(open(path.as_ptr(), flags, 0)).map(|fd| fd as i32)
}

fn close(fd: i32) -> io::Result<()> {
    call!(close(fd)).map(drop)
}

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    populate(stage)?;
    let at = |path: &str| c(format!("{TOP}/{path}"));
    let (f, u, deep) = (at("f"), at("u"), at("a/b/c/d/f"));
    let (none, none_deep) = (at("none"), at("a/b/c/d/none"));
    let (merged, lowdir, updir, sym) = (at("merged"), at("lowdir"), at("updir"), at("sym"));

    names(bench, [&f, &u, &deep, &none, &none_deep, &merged])?;

    for (name, path, flags) in [
        ("open+close lower", &f, libc::O_RDONLY),
        ("open+close upper", &u, libc::O_RDONLY),
        ("open+close rw upper", &u, libc::O_RDWR),
        ("open+close depth 5", &deep, libc::O_RDONLY),
        (
            "open+close merged dir",
            &merged,
            libc::O_RDONLY | libc::O_DIRECTORY,
        ),
        (
            "open+close lower dir",
            &lowdir,
            libc::O_RDONLY | libc::O_DIRECTORY,
        ),
        (
            "open+close upper dir",
            &updir,
            libc::O_RDONLY | libc::O_DIRECTORY,
        ),
        ("open+close O_PATH", &f, libc::O_PATH),
    ] {
        bench.warm(name, N, || close(open(path, flags)?))?;
    }
    sys::become_user(1000)?;
    bench.warm("open+close lower, as a user", N, || {
        close(open(&f, libc::O_RDONLY)?)
    })?;
    sys::become_user(0)?;
    let mut page = vec![0u8; KIB4];
    bench.warm("open+read 4k+close lower", N, || {
        let fd = open(&f, libc::O_RDONLY)?;
        call!(read(fd, page.as_mut_ptr().cast(), KIB4))?;
        close(fd)
    })?;
    data(bench)?;
    attributes(bench, [&f, &u, &merged])?;

    let mut text = [0u8; 64];
    bench.warm("readlink", N, || {
        call!(readlink(sym.as_ptr(), text.as_mut_ptr().cast(), text.len())).map(drop)
    })?;
    let mut st = no_stat();
    bench.warm("stat through a symlink", N, || {
        call!(stat(sym.as_ptr(), &mut st)).map(drop)
    })?;
    // SAFETY: plain numbers.
    let mut vfs: libc::statfs = unsafe { std::mem::zeroed() };
    bench.warm("statfs", N, || {
        call!(statfs(f.as_ptr(), &mut vfs)).map(drop)
    })
}

/// What is asked of names.
fn names(
    bench: &mut Bench,
    [f, u, deep, none, none_deep, merged]: [&std::ffi::CStr; 6],
) -> Result<()> {
    let mut st = no_stat();
    bench.warm("stat lower", N, || {
        call!(stat(f.as_ptr(), &mut st)).map(drop)
    })?;
    bench.warm("stat upper", N, || {
        call!(stat(u.as_ptr(), &mut st)).map(drop)
    })?;
    bench.warm("stat merged dir", N, || {
        call!(stat(merged.as_ptr(), &mut st)).map(drop)
    })?;
    bench.warm("stat depth 5", N, || {
        call!(stat(deep.as_ptr(), &mut st)).map(drop)
    })?;
    sys::become_user(1000)?;
    bench.warm("stat depth 5, as a user", N, || {
        call!(stat(deep.as_ptr(), &mut st)).map(drop)
    })?;
    bench.warm("access, as a user", N, || {
        call!(faccessat(
            libc::AT_FDCWD,
            f.as_ptr(),
            libc::R_OK,
            libc::AT_EACCESS
        ))
        .map(drop)
    })?;
    sys::become_user(0)?;
    bench.warm("stat of no name", N, || {
        fails(call!(stat(none.as_ptr(), &mut st)), libc::ENOENT)
    })?;
    bench.warm("stat of no name, depth 5", N, || {
        fails(call!(stat(none_deep.as_ptr(), &mut st)), libc::ENOENT)
    })?;
    bench.warm("access", N, || {
        call!(access(f.as_ptr(), libc::R_OK)).map(drop)
    })
}

/// Data through open files.
fn data(bench: &mut Bench) -> Result<()> {
    let at = |path: &str| c(format!("{TOP}/{path}"));
    let (low, up) = (
        open(&at("big"), libc::O_RDONLY)?,
        open(&at("ubig"), libc::O_RDWR)?,
    );
    let end = open(&at("u"), libc::O_WRONLY | libc::O_APPEND)?;
    let mut room = vec![1u8; 1 << 20];
    for (name, fd, len) in [
        ("pread 4k lower", low, KIB4),
        ("pread 4k upper", up, KIB4),
        ("pread 64k lower", low, 16 * KIB4),
        ("pread 1M lower", low, 1 << 20),
    ] {
        bench.warm(name, N, || {
            call!(pread(fd, room.as_mut_ptr().cast(), len, 0)).map(drop)
        })?;
    }
    for (name, len) in [
        ("pwrite 1 byte", 1),
        ("pwrite 4k", KIB4),
        ("pwrite 64k", 16 * KIB4),
    ] {
        bench.warm(name, N, || {
            call!(pwrite(up, room.as_ptr().cast(), len, 0)).map(drop)
        })?;
    }
    bench.warm("append 4k", N, || {
        call!(write(end, room.as_ptr().cast(), KIB4)).map(drop)
    })?;
    bench.warm("lseek", N, || {
        call!(lseek(low, 0, libc::SEEK_SET)).map(drop)
    })?;
    bench.warm("lseek to data", N, || {
        call!(lseek(low, 0, libc::SEEK_DATA)).map(drop)
    })?;
    let mut st = no_stat();
    bench.warm("fstat lower", N, || call!(fstat(low, &mut st)).map(drop))?;
    bench.warm("fstat upper", N, || call!(fstat(up, &mut st)).map(drop))?;
    bench.warm("fsync, clean", N, || call!(fsync(up)).map(drop))?;
    bench.warm("fsync after 4k", N, || {
        call!(pwrite(up, room.as_ptr().cast(), KIB4, 0))?;
        call!(fsync(up)).map(drop)
    })?;
    bench.warm("ftruncate", N, || call!(ftruncate(up, 1 << 20)).map(drop))?;
    let len = 16 * KIB4;
    bench.warm("mmap+touch 16 pages+munmap", N, || {
        let map = call!(mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ,
            libc::MAP_SHARED,
            low,
            0
        ))? as *mut libc::c_void;
        for page in 0..16 {
            // SAFETY: within the mapping.
            unsafe { map.cast::<u8>().add(page * KIB4).read_volatile() };
        }
        call!(munmap(map, len)).map(drop)
    })?;
    for fd in [low, up, end] {
        close(fd)?;
    }
    Ok(())
}

/// Attributes, extended and plain.
fn attributes(bench: &mut Bench, [f, u, merged]: [&std::ffi::CStr; 3]) -> Result<()> {
    let (user, acl) = (c("user.bench"), c("system.posix_acl_access"));
    let mut value = [7u8; 64];
    bench.warm("getxattr, none", N, || {
        fails(
            call!(getxattr(
                f.as_ptr(),
                user.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len()
            )),
            libc::ENODATA,
        )
    })?;
    bench.warm("get ACL, none", N, || {
        fails(
            call!(getxattr(
                f.as_ptr(),
                acl.as_ptr(),
                value.as_mut_ptr().cast(),
                value.len()
            )),
            libc::ENODATA,
        )
    })?;
    bench.warm("listxattr", N, || {
        call!(listxattr(
            f.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len()
        ))
        .map(drop)
    })?;
    bench.warm("listxattr merged dir", N, || {
        call!(listxattr(
            merged.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len()
        ))
        .map(drop)
    })?;
    bench.warm("setxattr upper", N, || {
        call!(setxattr(
            u.as_ptr(),
            user.as_ptr(),
            value.as_ptr().cast(),
            16,
            0
        ))
        .map(drop)
    })?;
    bench.warm("getxattr upper", N, || {
        call!(getxattr(
            u.as_ptr(),
            user.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len()
        ))
        .map(drop)
    })?;
    // Version 2; owner, group and others may read.
    let list: Vec<u8> = [
        2u32.to_le_bytes(),
        entry(1, 6),
        [0xff; 4],
        entry(4, 4),
        [0xff; 4],
        entry(0x20, 4),
        [0xff; 4],
    ]
    .concat();
    bench.warm("set ACL upper", N, || {
        call!(setxattr(
            u.as_ptr(),
            acl.as_ptr(),
            list.as_ptr().cast(),
            list.len(),
            0
        ))
        .map(drop)
    })?;
    bench.warm("chmod upper", N, || {
        call!(chmod(u.as_ptr(), 0o644)).map(drop)
    })?;
    bench.warm("chown upper", N, || {
        call!(lchown(u.as_ptr(), 0, 0)).map(drop)
    })?;
    let times = [libc::timespec {
        tv_sec: 1,
        tv_nsec: 0,
    }; 2];
    bench.warm("utimensat upper", N, || {
        call!(utimensat(libc::AT_FDCWD, u.as_ptr(), times.as_ptr(), 0)).map(drop)
    })
}

/// The start of an entry of an ACL.
fn entry(tag: u8, access: u8) -> [u8; 4] {
    [tag, 0, access, 0]
}
