// SPDX-License-Identifier: GPL-2.0

//! Creating, removing and renaming (table 2d).

use crate::{
    sample::Bench,
    stage::{dir, files, Stage, TOP},
    sys::{c, call, paths, settle, sync},
};
use anyhow::Result;
use std::{ffi::CStr, io};

const N: usize = 40;

fn created(path: &CStr) -> io::Result<i32> {
    call!(open(
        path.as_ptr(),
        libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY,
        0o644
    ))
    .map(|fd| fd as i32)
}

fn close(fd: i32) -> io::Result<()> {
    call!(close(fd)).map(drop)
}

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    let (lower, upper) = (stage.lower(0)?, stage.upper()?);
    dir(&format!("{upper}/pure"))?;
    dir(&format!("{upper}/merged"))?;
    dir(&format!("{lower}/merged"))?;
    for (name, n) in [("gone", N), ("moved", N), ("linked", N)] {
        files(&format!("{lower}/lowfiles"), name, n, 100)?;
    }
    for i in 0..N {
        dir(&format!("{lower}/lowdirs/empty{i}"))?;
        dir(&format!("{lower}/lowdirs/renamed{i}"))?;
    }
    sync();
    stage.mount(1, ",redirect_dir=on")?;

    let pure = |name: &'static str| paths(N, move |i| format!("{TOP}/pure/{name}{i}"));
    let (new, new2, filled, subdir, moved, linked) = (
        pure("new"),
        pure("renamed"),
        pure("filled"),
        pure("dir"),
        pure("moveddir"),
        pure("link"),
    );
    let data = [1u8; 4096];
    bench.op("create+close", N, |i| close(created(&new[i])?))?;
    bench.op("create+write 4k+close", N, |i| {
        let fd = created(&filled[i])?;
        call!(write(fd, data.as_ptr().cast(), data.len()))?;
        close(fd)
    })?;
    bench.op("mkdir", N, |i| {
        call!(mkdir(subdir[i].as_ptr(), 0o755)).map(drop)
    })?;
    let merged = paths(N, |i| format!("{TOP}/merged/dir{i}"));
    bench.op("mkdir in a merged directory", N, |i| {
        call!(mkdir(merged[i].as_ptr(), 0o755)).map(drop)
    })?;
    let text = c("target");
    let sym = pure("sym");
    bench.op("symlink", N, |i| {
        call!(symlink(text.as_ptr(), sym[i].as_ptr())).map(drop)
    })?;
    let fifo = pure("fifo");
    bench.op("mknod", N, |i| {
        call!(mknod(fifo[i].as_ptr(), libc::S_IFIFO | 0o644, 0)).map(drop)
    })?;
    bench.op("link", N, |i| {
        call!(link(new[i].as_ptr(), linked[i].as_ptr())).map(drop)
    })?;
    let dir_path = c(format!("{TOP}/pure"));
    bench.warm("open O_TMPFILE+close", N, || {
        close(call!(open(
            dir_path.as_ptr(),
            libc::O_TMPFILE | libc::O_WRONLY,
            0o644
        ))? as i32)
    })?;
    bench.op("rename file", N, |i| {
        call!(rename(new[i].as_ptr(), new2[i].as_ptr())).map(drop)
    })?;
    bench.op("rename over file", N, |i| {
        call!(rename(linked[i].as_ptr(), filled[i].as_ptr())).map(drop)
    })?;
    bench.op("rename new directory", N, |i| {
        call!(rename(subdir[i].as_ptr(), moved[i].as_ptr())).map(drop)
    })?;
    settle();
    bench.op("unlink", N, |i| call!(unlink(new2[i].as_ptr())).map(drop))?;
    bench.op("rmdir", N, |i| call!(rmdir(moved[i].as_ptr())).map(drop))?;
    bench.op("rmdir in a merged directory", N, |i| {
        call!(rmdir(merged[i].as_ptr())).map(drop)
    })?;
    of_lower(bench)
}

/// Objects that are in the lower layer.
fn of_lower(bench: &mut Bench) -> Result<()> {
    let lowfile = |name: &'static str| paths(N, move |i| format!("{TOP}/lowfiles/{name}{i}"));
    let lowdir = |name: &'static str| paths(N, move |i| format!("{TOP}/lowdirs/{name}{i}"));
    let (gone, moved, linked, target) = (
        lowfile("gone"),
        lowfile("moved"),
        lowfile("linked"),
        lowfile("new"),
    );
    let (empty, renamed, elsewhere) = (lowdir("empty"), lowdir("renamed"), lowdir("elsewhere"));
    settle();
    bench.op("unlink a lower file", N, |i| {
        call!(unlink(gone[i].as_ptr())).map(drop)
    })?;
    bench.op("create over a whiteout", N, |i| close(created(&gone[i])?))?;
    bench.op("rmdir of a lower directory", N, |i| {
        call!(rmdir(empty[i].as_ptr())).map(drop)
    })?;
    bench.op("mkdir over a whiteout", N, |i| {
        call!(mkdir(empty[i].as_ptr(), 0o755)).map(drop)
    })?;
    bench.op("rename a lower file", N, |i| {
        call!(rename(moved[i].as_ptr(), target[i].as_ptr())).map(drop)
    })?;
    let more = lowfile("name");
    bench.op("link a lower file", N, |i| {
        call!(link(linked[i].as_ptr(), more[i].as_ptr())).map(drop)
    })?;
    bench.op("rename a merged directory", N, |i| {
        call!(rename(renamed[i].as_ptr(), elsewhere[i].as_ptr())).map(drop)
    })
}
