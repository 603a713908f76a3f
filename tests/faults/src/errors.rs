// SPDX-License-Identifier: GPL-2.0
//! File systems that are full, over quota or read-only, and tasks that are killed, at one step of
//! the operation after the other. The layers are on a tmpfs, whose limits are exact.

use fuzz::rng::Rng;
use fuzz::snapshot::{differences, Tree};
use fuzz::sys;

use crate::lab::Lab;
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::sys as own;
use crate::Args;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// So many inodes are free.
    Inodes(u64),
    /// So many pages are free.
    Pages(u64),
    /// So many inodes more for the user who owns the lower file.
    QuotaInodes(u64),
    /// So many pages more for that user.
    QuotaPages(u64),
    ReadOnly,
    /// Killed after so many microseconds.
    Kill(u64),
}

/// The faults of a round; later rounds only differ in when tasks are killed.
fn faults(seed: u64, round: u64, quota: bool) -> Vec<Fault> {
    let mut r = Rng::new(seed);
    let mut v = Vec::new();
    if round == 0 {
        v.extend((0..6).map(Fault::Inodes));
        v.extend((0..6).map(Fault::Pages));
        if quota {
            v.extend((0..2).map(Fault::QuotaInodes));
            v.extend((0..3).map(Fault::QuotaPages));
        }
        v.push(Fault::ReadOnly);
    }
    v.extend((0..8).map(|_| Fault::Kill(r.below(1500))));
    v
}

/// Whether this kernel's tmpfs has quotas.
fn has_quota() -> bool {
    let at = b"/mnt/faults";
    let _ = sys::mkdir(at, 0o755);
    sys::mount("faults", at, "tmpfs", 0, b"usrquota").is_ok() && sys::umount(at).is_ok()
}

/// Limits of the tmpfs below everything.
fn limit(lab: &Lab, o: &str) -> Result<(), String> {
    sys::mount("faults", &lab.base, "", libc::MS_REMOUNT, o.as_bytes())
        .map(|_| ())
        .map_err(|e| format!("tmpfs with {o}: errno {e}"))
}

/// Used inodes and pages.
fn used(lab: &Lab) -> Result<(u64, u64), String> {
    own::used(&lab.base).map_err(|e| format!("statfs: errno {e}"))
}

/// What came of one fault on one type.
struct Outcome {
    result: String,
    tree: Tree,
}

fn one(
    lab: &mut Lab,
    s: &Scenario,
    ty: &str,
    fault: Fault,
    c: &[Tree; 2],
) -> Result<Outcome, String> {
    lab.tmpfs = match fault {
        Fault::QuotaInodes(k) => format!(",usrquota,usrquota_inode_hardlimit={}", 1 + k),
        Fault::QuotaPages(k) => format!(",usrquota,usrquota_block_hardlimit={}", (2 + k) * 4096),
        _ => String::new(),
    };
    lab.build()?;
    let at = lab.mnt();
    let e = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("{what}: errno {e}")
    };
    if s.when != When::Mount {
        lab.mount(ty).map_err(e("mount"))?;
        (s.before)(&at).map_err(e("preparation"))?;
    }
    let (inodes, pages) = used(lab)?;
    match fault {
        Fault::Inodes(k) => limit(lab, &format!("nr_inodes={}", inodes + k))?,
        Fault::Pages(k) => limit(lab, &format!("size={}", (pages + k) * 4096))?,
        Fault::ReadOnly => {
            sys::mount(
                "faults",
                &lab.base,
                "",
                libc::MS_REMOUNT | libc::MS_RDONLY,
                b"",
            )
            .map_err(e("tmpfs read-only"))?;
        }
        _ => {}
    }
    let result = if let Fault::Kill(us) = fault {
        let pid = own::fork(|| (s.op)(&at)).map_err(e("fork"))?;
        std::thread::sleep(std::time::Duration::from_micros(us));
        let _ = own::kill(pid, libc::SIGKILL);
        match own::wait(pid) {
            None => "killed".into(),
            Some(0) => "ok".into(),
            Some(n) => format!("errno {n}"),
        }
    } else {
        let r = if s.when == When::Mount {
            lab.mount(ty)
        } else {
            (s.op)(&at)
        };
        r.map_or_else(|e| format!("errno {e}"), |_| "ok".into())
    };
    let quota = matches!(fault, Fault::QuotaInodes(_) | Fault::QuotaPages(_));
    // Before anybody looks: some directories cannot even be looked up without writing to the upper.
    match fault {
        Fault::Inodes(_) => limit(lab, "nr_inodes=100000")?,
        Fault::Pages(_) => limit(lab, "size=1g")?,
        Fault::ReadOnly => limit(lab, "")?,
        _ => {}
    }
    if s.when == When::Mount {
        if lab.mounted {
            lab.umount().map_err(e("umount"))?;
        }
    } else {
        let tree = lab.merged();
        if !c.contains(&tree) {
            return Err(format!(
                "after {result} it is neither as before nor as after: {}",
                differences(&c[0], &tree, ["before", "now"]).join("\n  ")
            ));
        }
    }
    if s.when == When::Mount {
        lab.mount(ty).map_err(e("mounting again"))?;
    } else if result != "ok" && !quota {
        (s.op)(&at).map_err(e("the operation tried again"))?;
    }
    let tree = lab.merged();
    if !quota && tree != c[1] {
        return Err(format!(
            "after {result}, and tried again: {}",
            differences(&c[1], &tree, ["wanted", "now"]).join("\n  ")
        ));
    }
    lab.umount().map_err(e("umount"))?;
    let other = if ty == "overlay" {
        "overlay_rs"
    } else {
        "overlay"
    };
    lab.mount(other)
        .map_err(e("mounting with the other module"))?;
    let seen = lab.merged();
    lab.umount().map_err(e("umount"))?;
    let d = differences(&tree, &seen, [ty, other]);
    if !d.is_empty() {
        return Err(format!("the other module sees: {}", d.join("\n  ")));
    }
    let left = lab.leftovers();
    if !left.is_empty() {
        return Err(format!("left in the workdir: {left:?}"));
    }
    Ok(Outcome { result, tree })
}

fn clean(lab: &mut Lab, s: &Scenario, ty: &str) -> Result<[Tree; 2], String> {
    lab.tmpfs.clear();
    lab.build()?;
    let e = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("without faults: {what}: errno {e}")
    };
    lab.mount(ty).map_err(e("mount"))?;
    let at = lab.mnt();
    (s.before)(&at).map_err(e("preparation"))?;
    let before = lab.merged();
    (s.op)(&at).map_err(e("operation"))?;
    let after = lab.merged();
    lab.umount().map_err(e("umount"))?;
    Ok([before, after])
}

pub fn run(a: &Args) -> Result<Report, String> {
    let mut report = Report::new("errors", "cases", a);
    let quota = has_quota();
    while let Some((seed, s, round)) = report.next(a) {
        // Nothing that only reads can be short of anything.
        // And a volatile upper is not mounted twice.
        if s.when == When::Unmount
            || (s.reads && s.when != When::Mount)
            || s.options.contains("volatile")
        {
            continue;
        }
        let mut lab = Lab::new("/mnt/faults", true, s);
        let mut base = Vec::new();
        for ty in &a.types {
            match clean(&mut lab, s, ty) {
                Ok(c) => base.push(c),
                Err(e) => report.finding(&format!("{} on {ty}: {e}", s.name)),
            }
        }
        if base.len() < a.types.len() {
            lab.tear_down()?;
            continue;
        }
        for fault in faults(seed, round, quota) {
            if s.when == When::Mount && matches!(fault, Fault::Kill(_)) {
                continue;
            }
            let mut seen: Vec<Outcome> = Vec::new();
            for (ty, c) in a.types.iter().zip(&base) {
                let at = format!("seed {seed}: {} on {ty} with {fault:?}", s.name);
                match one(&mut lab, s, ty, fault, c) {
                    Ok(o) => {
                        if a.trace {
                            println!("{at}: {}", o.result);
                        }
                        report.point(ty, &o.result);
                        seen.push(o);
                    }
                    Err(e) => {
                        report.point(ty, "wrong");
                        report.finding(&format!("{at}: {e}"));
                    }
                }
                report.check_log(&at);
                lab.tear_down()?;
            }
            // When a task is killed is a matter of chance; all else is not.
            if let ([x, y], false) = (&seen[..], matches!(fault, Fault::Kill(_))) {
                if x.result != y.result || x.tree != y.tree {
                    report.finding(&format!(
                        "seed {seed}: {} with {fault:?}: {} {}, {} {}\n  {}",
                        s.name,
                        a.types[0],
                        x.result,
                        a.types[1],
                        y.result,
                        differences(&x.tree, &y.tree, ["one", "other"]).join("\n  ")
                    ));
                }
            }
        }
    }
    Ok(report)
}
