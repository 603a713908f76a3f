// SPDX-License-Identifier: GPL-2.0

//! Listing directories (table 2c): each is opened, read to the end and closed.

use crate::{
    sample::Bench,
    stage::{files, Stage, TOP},
    sys::{c, call, drop_caches, no_stat},
};
use anyhow::Result;
use std::{ffi::CStr, fs, io};

const N: usize = 9;
const ROOM: usize = 32768;

fn list(
    fd: i32,
    room: &mut [u8],
    mut each: impl FnMut(&CStr) -> io::Result<()>,
) -> io::Result<usize> {
    let mut entries = 0;
    loop {
        let got = call!(syscall(
            libc::SYS_getdents64,
            fd,
            room.as_mut_ptr(),
            room.len()
        ))? as usize;
        if got == 0 {
            return Ok(entries);
        }
        let mut at = 0;
        while let Some(record) = room.get(at..got).filter(|record| record.len() > 19) {
            let name = CStr::from_bytes_until_nul(&record[19..]).unwrap_or_default();
            each(name)?;
            entries += 1;
            at += usize::from(u16::from_le_bytes([record[16], record[17]]));
        }
    }
}

fn opened(path: &CStr) -> io::Result<i32> {
    call!(open(path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY)).map(|fd| fd as i32)
}

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    let (l0, l1, upper) = (stage.lower(0)?, stage.lower(1)?, stage.upper()?);
    files(&format!("{upper}/pure-upper"), "a-file-", 1000, 0)?;
    files(&format!("{l0}/pure-lower"), "a-file-", 1000, 0)?;
    for (name, n) in [("merged10", 5), ("merged1000", 500), ("merged10000", 5000)] {
        files(&format!("{upper}/{name}"), "an-upper-file-", n, 0)?;
        files(&format!("{l0}/{name}"), "a-lower-file-", n, 0)?;
    }
    for n in 0..8 {
        files(
            &format!("{}/layers8", stage.lower(n)?),
            &format!("a-file-{n}-"),
            125,
            0,
        )?;
    }
    fs::create_dir_all(format!("{upper}/layers8"))?;
    files(&format!("{l1}/impure"), "a-file-", 200, 0)?;
    stage.mount(8, "")?;
    for i in 0..200 {
        fs::OpenOptions::new()
            .append(true)
            .open(format!("{TOP}/impure/a-file-{i}"))?;
    }

    let mut room = vec![0u8; ROOM];
    let mut sink = 0usize;
    for (name, path, n) in [
        ("1000 names, upper only", "pure-upper", N),
        ("1000 names, lower only", "pure-lower", N),
        ("10 names, merged", "merged10", 51),
        ("1000 names, merged", "merged1000", N),
        ("10000 names, merged", "merged10000", 3),
        ("1000 names in 8 layers", "layers8", N),
        ("200 names, all copied up", "impure", N),
    ] {
        let path = c(format!("{TOP}/{path}"));
        bench.warm(name, n, || {
            let fd = opened(&path)?;
            list(fd, &mut room, |name| {
                sink += name.count_bytes();
                Ok(())
            })?;
            call!(close(fd)).map(drop)
        })?;
    }
    let fd = opened(&c(format!("{TOP}/merged1000")))?;
    bench.warm("1000 names, merged, rewound", N, || {
        call!(lseek(fd, 0, libc::SEEK_SET))?;
        list(fd, &mut room, |_| Ok(())).map(drop)
    })?;
    call!(close(fd))?;

    let mut st = no_stat();
    let merged = c(format!("{TOP}/merged1000"));
    let mut long = || {
        let fd = opened(&merged)?;
        list(fd, &mut room, |name| {
            call!(fstatat(
                fd,
                name.as_ptr(),
                &mut st,
                libc::AT_SYMLINK_NOFOLLOW
            ))
            .map(drop)
        })?;
        call!(close(fd)).map(drop)
    };
    bench.warm("1000 names and attributes, merged", N, &mut long)?;
    for _ in 0..1 {
        drop_caches()?;
        bench.op("1000 names and attributes, merged, all cold", 1, |_| long())?;
    }
    assert!(sink > 0);
    Ok(())
}
