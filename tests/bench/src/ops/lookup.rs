// SPDX-License-Identifier: GPL-2.0

//! Names that are not cached: nowhere ("all cold"), or not in the overlay, whose layers' file system
//! knows them ("overlay cold"), with one lower layer and with more (table 2b).

use crate::{
    sample::Bench,
    stage::{dir, file, files, Base, Stage, TOP},
    sys::{call, drop_caches, fails, no_stat, paths},
};
use anyhow::Result;
use std::{fs, io};

/// How many names of a kind there are: each can be looked up cold once.
const N: usize = 24;

/// Directories of a deep path.
const DEPTH: usize = 5;

fn chain(i: usize) -> String {
    let dirs: Vec<String> = (0..DEPTH).map(|level| format!("c{i}-{level}")).collect();
    dirs.join("/")
}

fn populate(stage: &mut Stage, layers: usize) -> Result<()> {
    let upper = stage.upper()?;
    for n in 0..layers {
        let lower = stage.lower(n)?;
        dir(&format!("{lower}/d"))?;
        for i in 0..N {
            dir(&format!("{lower}/{}", chain(i)))?;
        }
        let bottom = n + 1 == layers;
        if bottom {
            files(&format!("{lower}/d"), "bottom", N, 100)?;
            files(&format!("{lower}/low"), "only", N, 100)?;
            for i in 0..N {
                file(&format!("{lower}/{}/f", chain(i)), 100)?;
            }
        }
        if n == 0 {
            files(&format!("{lower}/d"), "top", N, 100)?;
        }
    }
    dir(&format!("{upper}/d"))?;
    files(&format!("{upper}/d"), "upper", N, 100)?;
    files(&format!("{upper}/pure"), "own", N, 100)?;
    stage.mount(layers, "")?;
    if stage.is_overlay() && layers == 1 {
        // Copied up by the overlay itself, with what that leaves.
        files(&format!("{}/up", stage.lower(0)?), "copied", N, 100)?;
        stage.remount()?;
        for i in 0..N {
            let copied = fs::OpenOptions::new()
                .append(true)
                .open(format!("{TOP}/up/copied{i}"))?;
            drop(copied);
        }
    } else if layers == 1 {
        files(&format!("{TOP}/up"), "copied", N, 100)?;
    }
    Ok(())
}

/// What is in memory when a name is looked up.
#[derive(Clone, Copy)]
enum Cold {
    All,
    Overlay,
}

impl Cold {
    fn make(self, stage: &mut Stage) -> Result<()> {
        match self {
            Self::All => drop_caches(),
            Self::Overlay => stage.remount(),
        }
    }
}

fn stat_each(bench: &mut Bench, name: &str, path: impl Fn(usize) -> String) -> Result<()> {
    let each = paths(N, path);
    let mut st = no_stat();
    bench.op(name, N, |i| {
        call!(stat(each[i].as_ptr(), &mut st)).map(drop)
    })
}

fn layers(bench: &mut Bench, stage: &mut Stage, layers: usize) -> Result<()> {
    populate(stage, layers)?;
    for (cold, name) in [(Cold::All, "all cold"), (Cold::Overlay, "overlay cold")] {
        // On tmpfs a name is in memory or nowhere, and without an overlay there is no other way.
        let same = matches!(cold, Cold::All) && stage.base == Base::Tmpfs;
        if same
            || (matches!(cold, Cold::Overlay) && !stage.is_overlay() && stage.base != Base::Tmpfs)
        {
            continue;
        }
        let names = paths(N, |i| format!("{TOP}/d/none-{name}-{i}"));
        cold.make(stage)?;
        let mut st = no_stat();
        let mut directories = |dirs: &[&str]| -> io::Result<()> {
            dirs.iter().try_for_each(|dir| {
                let dir = crate::sys::c(format!("{TOP}/{dir}"));
                call!(stat(dir.as_ptr(), &mut st)).map(drop)
            })
        };
        directories(&["d", "pure", "low"])?;
        stat_each(bench, &format!("file in the bottom layer, {name}"), |i| {
            format!("{TOP}/d/bottom{i}")
        })?;
        if layers > 1 {
            stat_each(
                bench,
                &format!("file in the top lower layer, {name}"),
                |i| format!("{TOP}/d/top{i}"),
            )?;
        }
        stat_each(bench, &format!("file in the upper layer, {name}"), |i| {
            format!("{TOP}/d/upper{i}")
        })?;
        let mut st = no_stat();
        bench.op(&format!("no such name, {name}"), N, |i| {
            fails(call!(stat(names[i].as_ptr(), &mut st)), libc::ENOENT)
        })?;
        stat_each(
            bench,
            &format!("file in a lower-only directory, {name}"),
            |i| format!("{TOP}/low/only{i}"),
        )?;
        stat_each(
            bench,
            &format!("file in an upper-only directory, {name}"),
            |i| format!("{TOP}/pure/own{i}"),
        )?;
        if layers == 1 {
            stat_each(bench, &format!("file that was copied up, {name}"), |i| {
                format!("{TOP}/up/copied{i}")
            })?;
        }
        stat_each(
            bench,
            &format!("file below {DEPTH} directories of all lower layers, {name}"),
            |i| format!("{TOP}/{}/f", chain(i)),
        )?;
    }
    Ok(())
}

pub fn one(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    layers(bench, stage, 1)
}

pub fn eight(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    layers(bench, stage, 8)
}

pub fn many(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    // Inodes of ext4 are few here, and the directories many.
    if stage.base == Base::Tmpfs {
        layers(bench, stage, 64)?;
    }
    Ok(())
}
