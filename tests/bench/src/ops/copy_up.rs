// SPDX-License-Identifier: GPL-2.0

//! Copying up: the first change of a lower object, which was looked at before (table 2e).

use crate::{
    sample::Bench,
    stage::{dir, file, files, Base, Stage, TOP},
    sys::{c, call, no_stat, paths, settle, sync},
};
use anyhow::Result;
use std::{
    ffi::{CStr, CString},
    io,
    os::unix::fs::symlink,
};

const N: usize = 20;

fn look_at(all: &[CString]) -> io::Result<()> {
    let mut st = no_stat();
    all.iter()
        .try_for_each(|path| call!(lstat(path.as_ptr(), &mut st)).map(drop))
}

fn open_to(path: &CStr, flags: i32) -> io::Result<()> {
    let fd = call!(open(path.as_ptr(), flags))? as i32;
    call!(close(fd)).map(drop)
}

fn populate(stage: &Stage) -> Result<()> {
    let lower = stage.lower(0)?;
    for (prefix, size) in [
        ("small", 4096),
        ("cut", 4096),
        ("meta", 4096),
        ("empty", 0),
        ("attr", 4096),
    ] {
        files(&format!("{lower}/d"), prefix, N, size)?;
    }
    files(&format!("{lower}/d"), "large", 3, 1 << 20)?;
    files(&format!("{lower}/d"), "huge", 1, 16 << 20)?;
    for i in 0..N {
        let path = c(format!("{lower}/d/attr{i}"));
        for name in ["user.one", "user.two"] {
            let name = c(name);
            call!(setxattr(
                path.as_ptr(),
                name.as_ptr(),
                b"value".as_ptr().cast(),
                5,
                0
            ))?;
        }
        symlink("target", format!("{lower}/d/sym{i}"))?;
        dir(&format!("{lower}/d/dir{i}"))?;
        dir(&format!("{lower}/deep{i}/b/c/d"))?;
        file(&format!("{lower}/deep{i}/b/c/d/f"), 4096)?;
    }
    sync();
    settle();
    Ok(())
}

/// Without an overlay there is nothing to copy up: what is left is the cost of the change itself.
fn with(bench: &mut Bench, stage: &mut Stage, options: &str) -> Result<()> {
    populate(stage)?;
    stage.mount(1, options)?;
    let of = |name: &'static str| paths(N, move |i| format!("{TOP}/d/{name}{i}"));
    let (small, cut, meta, empty, attr, sym, subdir) = (
        of("small"),
        of("cut"),
        of("meta"),
        of("empty"),
        of("attr"),
        of("sym"),
        of("dir"),
    );
    let deep = paths(N, |i| format!("{TOP}/deep{i}/b/c/d/f"));
    for all in [&small, &cut, &meta, &empty, &attr, &sym, &subdir, &deep] {
        look_at(all)?;
    }
    // The directory itself is copied up with the first.
    open_to(&empty[0], libc::O_WRONLY)?;
    bench.op("open 4k to write", N, |i| {
        open_to(&small[i], libc::O_WRONLY)
    })?;
    bench.op("open 4k to truncate", N, |i| {
        open_to(&cut[i], libc::O_WRONLY | libc::O_TRUNC)
    })?;
    bench.op("chmod 4k", N, |i| {
        call!(chmod(meta[i].as_ptr(), 0o600)).map(drop)
    })?;
    bench.op("open empty to write", N - 1, |i| {
        open_to(&empty[i + 1], libc::O_WRONLY)
    })?;
    bench.op("open 4k with 2 xattrs to write", N, |i| {
        open_to(&attr[i], libc::O_WRONLY)
    })?;
    bench.op("chown symlink", N, |i| {
        call!(lchown(sym[i].as_ptr(), 1, 1)).map(drop)
    })?;
    bench.op("chmod directory", N, |i| {
        call!(chmod(subdir[i].as_ptr(), 0o700)).map(drop)
    })?;
    bench.op("open 4k below 4 lower directories to write", N, |i| {
        open_to(&deep[i], libc::O_WRONLY)
    })?;
    let (large, huge) = (of("large"), of("huge"));
    bench.op("open 1M to write", 3, |i| {
        open_to(&large[i], libc::O_WRONLY)
    })?;
    bench.op("open 16M to write", 1, |i| {
        open_to(&huge[i], libc::O_WRONLY)
    })
}

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    with(bench, stage, "")
}

pub fn volatile(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    // Where nothing has to reach a disk it makes no difference.
    if stage.base != Base::Tmpfs && stage.is_overlay() {
        with(bench, stage, ",volatile")?;
    }
    Ok(())
}

pub fn metacopy(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    if !stage.is_overlay() {
        return Ok(());
    }
    let lower = stage.lower(0)?;
    files(&format!("{lower}/d"), "f", N, 4096)?;
    files(&format!("{lower}/d"), "g", N, 4096)?;
    sync();
    stage.mount(1, ",metacopy=on")?;
    let (f, g) = (
        paths(N, |i| format!("{TOP}/d/f{i}")),
        paths(N, |i| format!("{TOP}/d/g{i}")),
    );
    look_at(&f)?;
    look_at(&g)?;
    bench.op("chmod 4k", N, |i| {
        call!(chmod(f[i].as_ptr(), 0o600)).map(drop)
    })?;
    bench.op("then open to read", N, |i| open_to(&f[i], libc::O_RDONLY))?;
    let mut st = no_stat();
    bench.op("then stat", N, |i| {
        call!(stat(f[i].as_ptr(), &mut st)).map(drop)
    })?;
    bench.op("then open to write", N, |i| open_to(&f[i], libc::O_WRONLY))?;
    for path in &g {
        call!(chmod(path.as_ptr(), 0o600))?;
    }
    stage.remount()?;
    bench.op("stat, overlay cold", N, |i| {
        call!(stat(g[i].as_ptr(), &mut st)).map(drop)
    })
}
