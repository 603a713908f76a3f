// SPDX-License-Identifier: GPL-2.0
//! A disk with a block that cannot be read, below the lower layers.
//!
//! A first run of the operation, with nothing cached, tells which blocks it reads (tracepoint
//! `block_bio_queue`). Then each of these in turn is replaced by dm-error. The operation fails or
//! does without; nothing half made is seen; when the disk is whole again, it succeeds. The kernel's
//! own overlay has to fail in the same way, or the difference is listed below.

use std::collections::BTreeSet;

use fuzz::snapshot::{differences, Tree};
use fuzz::sys::{self, Res};

use crate::crash::sh;
use crate::lab::Lab;
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::Args;

const LOWER: &str = "/mnt/faults-lower";
const IMAGE: &str = "/tmp/faults-lower.img";
const DM: &str = "ovl-eio";
/// In sectors.
const SIZE: u64 = 32 << 11;
const TRACE: &str = "/sys/kernel/tracing";
/// The most bad blocks for one operation.
const MOST: usize = 60;

/// The device: whole, or with a bad block of two sectors at this place.
fn table(dev: &str, bad: Option<u64>) -> String {
    match bad {
        None => format!("0 {SIZE} linear {dev} 0"),
        Some(b) => {
            let after = b + 2;
            let mut t = String::new();
            if b > 0 {
                t += &format!("0 {b} linear {dev} 0\\n");
            }
            t += &format!("{b} 2 error");
            if after < SIZE {
                t += &format!("\\n{after} {} linear {dev} {after}", SIZE - after);
            }
            t
        }
    }
}

fn load(dev: &str, bad: Option<u64>) -> Result<(), String> {
    sh(&format!(
        "printf '{}\\n' | dmsetup reload {DM} && dmsetup resume --noudevsync {DM}",
        table(dev, bad)
    ))
    .map(|_| ())
}

/// Mounts the lower disk, with nothing cached of it.
fn mount_lower() -> Result<(), String> {
    match sys::umount(LOWER.as_bytes()) {
        Ok(_) | Err(libc::EINVAL) => {}
        Err(e) => return Err(format!("umount of {LOWER}: errno {e}")),
    }
    let flags = libc::MS_RDONLY | libc::MS_NOATIME;
    let dev = format!("/dev/mapper/{DM}");
    sys::mount(
        &dev,
        LOWER.as_bytes(),
        "ext4",
        flags,
        b"inode_readahead_blks=0",
    )
    .map(|_| ())
    .map_err(|e| format!("mount of {LOWER}: errno {e}"))
}

/// Makes the lower layers, on a disk of their own.
fn lower() -> Result<String, String> {
    sh(&format!("truncate -s {} {IMAGE}; mkfs.ext4 -q -F -b 1024 -O ^has_journal -E lazy_itable_init=0 {IMAGE}; mkdir -p {LOWER}", SIZE * 512))?;
    let dev = sh(&format!("losetup -f --show {IMAGE}"))?;
    sh(&format!(
        "dmsetup create {DM} --noudevsync --table '{}' && dmsetup mknodes {DM}",
        table(&dev, None)
    ))?;
    sh(&format!("mount -t ext4 /dev/mapper/{DM} {LOWER}"))?;
    let mut lab = Lab::new("/mnt/faults", true, &crate::scenario::SCENARIOS[0]);
    lab.build()?;
    sh(&format!("cp -a /mnt/faults/l1 /mnt/faults/l2 {LOWER}/"))?;
    lab.tear_down()?;
    mount_lower()?;
    sh(&format!("mount -t tracefs tracefs {TRACE} 2>/dev/null; echo 1 >{TRACE}/events/block/block_bio_queue/enable"))?;
    Ok(dev)
}

/// The blocks (by their first sector) of the device that were read since the trace was emptied.
fn blocks_read() -> Result<BTreeSet<u64>, String> {
    let number = sh(&format!("stat -c '%Hr,%Lr' -L /dev/mapper/{DM}"))?;
    let text = std::fs::read_to_string(format!("{TRACE}/trace")).map_err(|e| e.to_string())?;
    let mut v = BTreeSet::new();
    // ... block_bio_queue: 253,0 R 1234 + 8 [task]
    for line in text.lines() {
        let Some((_, rest)) = line.split_once("block_bio_queue: ") else {
            continue;
        };
        let w: Vec<&str> = rest.split_whitespace().collect();
        if let [dev, _, from, "+", len, ..] = w[..] {
            if let (true, Ok(from), Ok(len)) =
                (dev == number, from.parse::<u64>(), len.parse::<u64>())
            {
                v.extend((from / 2 * 2..from + len).step_by(2));
            }
        }
    }
    Ok(v)
}

fn prepare(lab: &mut Lab, s: &Scenario, ty: &str) -> Result<(), String> {
    let e = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("{what}: errno {e}")
    };
    lab.build()?;
    mount_lower()?;
    if s.when != When::Mount {
        lab.mount(ty).map_err(e("mount"))?;
        (s.before)(&lab.mnt()).map_err(e("preparation"))?;
    }
    Ok(())
}

fn operate(lab: &mut Lab, s: &Scenario, ty: &str) -> Res {
    if s.when == When::Mount {
        lab.mount(ty)
    } else {
        (s.op)(&lab.mnt())
    }
}

/// Without faults: the blocks that the operation reads, and the trees before and after it.
fn clean(lab: &mut Lab, s: &Scenario, ty: &str) -> Result<(BTreeSet<u64>, [Tree; 2]), String> {
    let before = if s.when == When::Mount {
        Tree::new()
    } else {
        prepare(lab, s, ty)?;
        lab.merged()
    };
    // Once more, with nothing cached.
    prepare(lab, s, ty)?;
    std::fs::write(format!("{TRACE}/trace"), "").map_err(|e| e.to_string())?;
    operate(lab, s, ty).map_err(|e| format!("operation: errno {e}"))?;
    let blocks = blocks_read()?;
    let after = lab.merged();
    lab.umount().map_err(|e| format!("umount: errno {e}"))?;
    Ok((blocks, [before, after]))
}

fn one(
    lab: &mut Lab,
    s: &Scenario,
    ty: &str,
    dev: &str,
    bad: u64,
    trees: &[Tree; 2],
) -> Result<String, String> {
    prepare(lab, s, ty)?;
    load(dev, Some(bad))?;
    let r = operate(lab, s, ty);
    load(dev, None)?;
    if s.when == When::Mount {
        if r.is_err() {
            lab.mount(ty)
                .map_err(|e| format!("mounting again: errno {e}"))?;
        }
    } else {
        let tree = lab.merged();
        if !trees.contains(&tree) {
            return Err(format!(
                "after {r:?} it is neither as before nor as after: {}",
                differences(&trees[0], &tree, ["before", "now"]).join("\n  ")
            ));
        }
        if r.is_err() {
            (s.op)(&lab.mnt()).map_err(|e| format!("the operation tried again: errno {e}"))?;
        }
    }
    let tree = lab.merged();
    // What is mounted after it had to do without something is another matter.
    if tree != trees[1] && s.when != When::Mount {
        return Err(format!(
            "{r:?}, and tried again: {}",
            differences(&trees[1], &tree, ["wanted", "now"]).join("\n  ")
        ));
    }
    lab.umount().map_err(|e| format!("umount: errno {e}"))?;
    if !lab.options.contains("volatile") {
        lab.mount(ty)
            .map_err(|e| format!("mounting once more: errno {e}"))?;
        lab.umount().map_err(|e| format!("umount: errno {e}"))?;
        let left = lab.leftovers();
        if !left.is_empty() {
            return Err(format!("left in the workdir: {left:?}"));
        }
    }
    Ok(r.map_or_else(|e| format!("errno {e}"), |_| "ok".into()))
}

/// Overlay_rs fails where the kernel's own overlay takes what it cannot read for absent.
fn accepted(theirs: &str, ours: &str) -> bool {
    theirs == "ok" && ours == "errno 5"
}

pub fn run(a: &Args) -> Result<Report, String> {
    let dev = lower()?;
    let r = sweep(a, &dev);
    let _ = sh(&format!(
        "umount {LOWER}; dmsetup remove --noudevsync {DM}; losetup -d {dev}"
    ));
    r
}

fn sweep(a: &Args, dev: &str) -> Result<Report, String> {
    let mut report = Report::new("eio", "cases", a);
    'all: while let Some((seed, s, round)) = report.next(a) {
        if round > 0 {
            println!("every operation had its bad blocks");
            report.unfinished();
            break;
        }
        if s.when == When::Unmount {
            continue;
        }
        let mut lab = Lab::new("/mnt/faults", true, s);
        lab.lower = Some(LOWER);
        let mut base = Vec::new();
        for ty in &a.types {
            match clean(&mut lab, s, ty) {
                Ok(c) => base.push(c),
                Err(e) => {
                    report.finding(&format!("{} on {ty}: {e}", s.name));
                    lab.tear_down()?;
                    continue 'all;
                }
            }
        }
        let mut blocks: BTreeSet<u64> = BTreeSet::new();
        for (b, _) in &base {
            blocks.extend(b);
        }
        for bad in blocks.into_iter().take(MOST) {
            if report.is_over() {
                report.unfinished();
                break;
            }
            let mut seen = Vec::new();
            for (ty, (_, trees)) in a.types.iter().zip(&base) {
                let at = format!("seed {seed}: {} on {ty} with a bad block at {bad}", s.name);
                match one(&mut lab, s, ty, dev, bad, trees) {
                    Ok(r) => {
                        if a.trace {
                            println!("{at}: {r}");
                        }
                        report.point(ty, &r);
                        seen.push(r);
                    }
                    Err(e) => {
                        report.point(ty, "wrong");
                        report.finding(&format!("{at}: {e}"));
                    }
                }
                report.check_log(&at);
                lab.tear_down()?;
            }
            if let [x, y] = &seen[..] {
                if x != y && !accepted(x, y) {
                    report.finding(&format!(
                        "seed {seed}: {} with a bad block at {bad}: {} {x}, {} {y}",
                        s.name, a.types[0], a.types[1]
                    ));
                }
            }
        }
    }
    Ok(report)
}
