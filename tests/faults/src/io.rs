// SPDX-License-Identifier: GPL-2.0
//! The disk below all layers refuses a request of the operation, one after the other.
//!
//! The file system is mounted so that every change is on the disk before the call returns (`sync`,
//! `wsync`): each change that the operation makes in the upper or in the workdir has requests of
//! its own, and so has each place at which it reads what is not cached. Rounds, by turns: ext4 and
//! xfs, one request fails; the same, but it and all after it; the same two as file systems are
//! mounted usually, where what fails are the reads, what the overlay itself synchronizes, and the
//! changes that come with it. A file system that cannot write its journal any more is read-only or
//! shut down from that step on.
//!
//! Then the disk works again. If the file system still takes changes, the tree is as before or as
//! after, and the operation succeeds. In any case it can be unmounted, is mended as at boot, and
//! mounted again: the tree is as before or as after, the workdir is empty, the operation succeeds,
//! and the other module sees the same. The kernel's own overlay gives the same errno at the same
//! step.

use fuzz::snapshot::{differences, Tree};

use crate::crash::without_data;
use crate::disk::{Fault, Volume, MNT};
use crate::lab::{state, Lab, UNDER_WAY};
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::Args;

/// More requests than any operation makes.
const MOST: u64 = 400;

fn e(what: &str) -> impl Fn(i32) -> String + '_ {
    move |e| format!("{what}: errno {e}")
}

pub fn lab(s: &Scenario) -> Lab {
    Lab::new(&format!("{MNT}/lab"), false, s)
}

/// The volumes on which the layers are, one for each file system: `sync`, those on which
/// everything is synchronized at once.
pub fn volume(fs: &str, sync: bool) -> Result<Volume, String> {
    let options = match (fs, sync) {
        ("xfs", true) => "wsync,sync,dirsync",
        ("xfs", false) => "inode64",
        (_, true) => "sync,dirsync,errors=remount-ro,commit=600,noinit_itable",
        _ => "errors=remount-ro,commit=600,noinit_itable",
    };
    Volume::new(fs, "", options, || {
        lab(&crate::scenario::SCENARIOS[0]).build()
    })
}

/// Nothing but the operation shall be written meanwhile; and unmounting shall not wait for long.
pub fn quiet() {
    let _ = std::fs::write("/sys/kernel/rcu_expedited", "1");
    let _ = std::fs::write("/proc/sys/vm/dirty_writeback_centisecs", "0");
    let _ = std::fs::write("/proc/sys/fs/xfs/xfssyncd_centisecs", "720000");
}

/// Fresh layers, mounted, ready for the operation.
pub fn prepare(v: &mut Volume, lab: &mut Lab, s: &Scenario, ty: &str) -> Result<(), String> {
    v.fresh()?;
    if s.when != When::Mount {
        lab.mount(ty).map_err(e("mount"))?;
        (s.before)(&lab.mnt()).map_err(e("preparation"))?;
    }
    v.sync().map_err(e("sync")).map(drop)
}

/// The trees before and after the operation, without faults.
fn clean(v: &mut Volume, s: &Scenario, ty: &str) -> Result<[Tree; 2], String> {
    let mut lab = lab(s);
    prepare(v, &mut lab, s, ty).map_err(|e| format!("without faults: {e}"))?;
    if s.when == When::Mount {
        lab.mount(ty).map_err(e("without faults: mount"))?;
    }
    let before = lab.merged();
    (s.op)(&lab.mnt()).map_err(e("without faults: operation"))?;
    let after = lab.merged();
    lab.umount().map_err(e("umount"))?;
    Ok([before, after])
}

/// As [`clean`], on each type. `None` after a finding: what is still mounted would spoil the rest.
pub fn clean_all(
    v: &mut Volume,
    s: &Scenario,
    fs: &str,
    a: &Args,
    report: &mut Report,
) -> Option<Vec<[Tree; 2]>> {
    let each = |ty: &String| {
        let trees = clean(v, s, ty);
        trees.map_err(|e| report.finding(&format!("{} on {ty}, {fs}: {e}", s.name)))
    };
    a.types.iter().map(each).collect::<Result<_, _>>().ok()
}

/// What came of one fault on one type.
#[derive(PartialEq, Eq)]
struct Outcome {
    result: String,
    /// What the file system did: goes on, or not.
    alive: bool,
    /// What was there when the disk worked again.
    state: &'static str,
}

impl Outcome {
    fn text(&self) -> String {
        let fs = if self.alive { "" } else { ", file system down" };
        format!("{}, {}{fs}", self.result, self.state)
    }
}

/// `None` if the operation was through before it came to the fault.
fn one(
    v: &mut Volume,
    s: &Scenario,
    ty: &str,
    fault: Fault,
    trees: &[Tree; 2],
) -> Result<Option<Outcome>, String> {
    let mut lab = lab(s);
    prepare(v, &mut lab, s, ty)?;
    let at = lab.mnt();
    v.disk.set(fault);
    let r = match s.when {
        When::Mount => lab.mount(ty),
        _ => (s.op)(&at),
    };
    // Where not everything is synchronized at once, the rest is now.
    let late = v.sync();
    let count = v.disk.set(Fault::None);
    let n = match fault {
        Fault::One(n) | Fault::From(n) => n,
        _ => 0,
    };
    if count < n {
        lab.down()?;
        return match r.and(late) {
            Ok(_) => Ok(None),
            Err(e) => Err(format!("errno {e}, but nothing failed")),
        };
    }
    let result = r.map_or_else(|e| format!("errno {e}"), |_| "ok".into());
    let alive = v.is_alive();
    if alive {
        if r.is_err() && s.when == When::Mount {
            lab.mount(ty).map_err(e("mounting again"))?;
        }
        state(s, &lab.merged(), trees).map_err(|d| format!("{result}, and it is {d}"))?;
        if r.is_err() {
            (s.op)(&at).map_err(e("the operation tried again at once"))?;
            let d = differences(&trees[1], &lab.merged(), ["wanted", "now"]);
            if !d.is_empty() {
                return Err(format!("{result}, tried again at once: {}", d.join("\n  ")));
            }
        }
    }
    lab.down()?;
    v.repair()?;
    lab.mount(ty).map_err(e("mounting once more"))?;
    let tree = lab.merged();
    let bare = without_data(&tree);
    let state = match state(s, &tree, trees) {
        // The operation was done, and writing its data failed when it was synchronized.
        Err(_) if r.is_ok() && late.is_err() && trees.iter().any(|t| without_data(t) == bare) => {
            UNDER_WAY
        }
        Err(_) if half_an_acl(v, s, &tree, trees) => "an ACL without its mode",
        state => state.map_err(|d| format!("{result}, mended, it is {d}"))?,
    };
    if state == UNDER_WAY {
        // Contents that were lost do not come back.
        lab.down()?;
        return Ok(Some(Outcome {
            result,
            alive,
            state,
        }));
    }
    if tree != trees[1] {
        (s.op)(&at).map_err(e("the operation tried again"))?;
    }
    let tree = lab.merged();
    let d = differences(&trees[1], &tree, ["wanted", "now"]);
    if !d.is_empty() {
        return Err(format!("{result}, tried again: {}", d.join("\n  ")));
    }
    lab.down()?;
    lab.same_for_other(ty, &tree)?;
    Ok(Some(Outcome {
        result,
        alive,
        state,
    }))
}

/// xfs sets an ACL, and then the mode that it implies: also where there is no overlay.
fn half_an_acl(v: &Volume, s: &Scenario, tree: &Tree, trees: &[Tree; 2]) -> bool {
    let but_for_modes = |t: &Tree| -> Vec<(String, String)> {
        let line = |l: &String| {
            l.split_once(' ')
                .map_or_else(String::new, |(_, l)| l.into())
        };
        t.iter().map(|(k, l)| (k.clone(), line(l))).collect()
    };
    v.fs == "xfs" && s.name == "set-acl" && but_for_modes(tree) == but_for_modes(&trees[1])
}

/// Where the two may differ. What the file system still wrote, and whether it goes on, is not the
/// same in two runs of one module, as the journal's requests come in no certain order. And overlay_rs
/// fails where the kernel's own overlay takes what it cannot read for absent.
fn accepted(theirs: &Outcome, ours: &Outcome) -> bool {
    theirs.result == ours.result || (theirs.result == "ok" && ours.result == "errno 5")
}

/// The kernel's own overlay takes an entry of the index for good, or for that of a removed directory,
/// when it stands for a copy that did not get to its place; the mount fails, or the directory cannot
/// be looked up any more. And what it makes in the index gets the name of a leftover.
fn known_in_tree(s: &Scenario, ty: &str, what: &str) -> bool {
    ty == "overlay"
        && s.options.contains("nfs_export=on")
        && ["errno 61", "errno 17", "stat: errno 5"]
            .iter()
            .any(|e| what.contains(e))
}

pub fn run(a: &Args) -> Result<Report, String> {
    quiet();
    let mut report = Report::new("io", "cases", a);
    let mut volume_of: Option<(u64, Volume)> = None;
    let fs_count = a.fs.len() as u64;
    while let Some((seed, s, round)) = report.next(a) {
        if round >= 4 * fs_count {
            println!("every step of every operation had its error");
            report.unfinished();
            break;
        }
        if s.when == When::Unmount
            || (s.reads && s.when != When::Mount)
            || s.options.contains("volatile")
        {
            continue;
        }
        let (fs, kind) = (&a.fs[(round % fs_count) as usize], round / fs_count);
        if volume_of.as_ref().is_none_or(|(r, _)| *r != round) {
            drop(volume_of.take());
            volume_of = Some((round, volume(fs, kind < 2)?));
        }
        let Some((_, v)) = &mut volume_of else { break };
        let Some(base) = clean_all(v, s, fs, a, &mut report) else {
            break;
        };
        for n in (1..=MOST).step_by(a.every) {
            let fault = if kind % 2 == 0 {
                Fault::One(n)
            } else {
                Fault::From(n)
            };
            let what = format!("seed {seed}: {} on {fs} (kind {kind}), {fault:?}", s.name);
            let mut seen = Vec::new();
            for (ty, trees) in a.types.iter().zip(&base) {
                let at = format!("{what}, {ty}");
                match one(v, s, ty, fault, trees) {
                    Ok(o) => {
                        if let Some(o) = &o {
                            if a.trace {
                                println!("{at}: {}", o.text());
                            }
                            report.point(ty, &o.text());
                        }
                        seen.push(o);
                    }
                    Err(e) if known_in_tree(s, ty, &e) => {
                        report.point(ty, "wrong, as is known");
                        let _ = lab(s).umount();
                    }
                    Err(e) => {
                        report.point(ty, "wrong");
                        report.finding(&format!("{at}: {e}"));
                        let _ = lab(s).umount();
                    }
                }
                report.check_log(&at);
            }
            match &seen[..] {
                [Some(x), Some(y)] if x != y && !accepted(x, y) => report.finding(&format!(
                    "{what}: {} {}, {} {}",
                    a.types[0],
                    x.text(),
                    a.types[1],
                    y.text()
                )),
                _ if !seen.is_empty() && seen.iter().all(Option::is_none) => {
                    if a.trace {
                        println!("{what}: through");
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    Ok(report)
}
