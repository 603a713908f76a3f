// SPDX-License-Identifier: GPL-2.0
//! Allocations that fail, one position after the other until the operation is through.
//!
//! The kernel counts for this thread (`/proc/thread-self/fail-nth`) every place where something
//! can be made to fail (slabs, pages, copies from and to user space) and fails the n-th.

use fuzz::snapshot::differences;
use fuzz::sys::{self, Res};

use crate::lab::Lab;
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::sys as own;
use crate::Args;

/// The counter of this thread.
struct Nth(i32);

impl Nth {
    fn new() -> Result<Self, String> {
        for f in ["failslab", "fail_page_alloc"] {
            let dir = format!("/sys/kernel/debug/{f}");
            if !own::exists(&dir) {
                return Err(format!("this kernel has no {f}"));
            }
            // Allocations that may wait are the ones of interest.
            std::fs::write(format!("{dir}/ignore-gfp-wait"), "0")
                .map_err(|e| format!("{dir}: {e}"))?;
            let _ = std::fs::write(format!("{dir}/verbose"), "0");
        }
        let _ = std::fs::write("/sys/kernel/debug/fail_page_alloc/min-order", "0");
        let _ = std::fs::write("/sys/kernel/debug/fail_usercopy/verbose", "0");
        let p = format!("/proc/self/task/{}/fail-nth", own::thread());
        sys::open(p.as_bytes(), libc::O_RDWR, 0)
            .map(|fd| Self(fd as i32))
            .map_err(|e| format!("{p}: errno {e}"))
    }

    fn set(&self, n: u64) {
        // The write itself may be what fails.
        for _ in 0..4 {
            if sys::write(self.0, n.to_string().as_bytes(), Some(0)).is_ok() {
                return;
            }
        }
    }

    /// Runs `f` with the n-th place failing. The second value says whether there was one.
    fn run(&self, n: u64, f: impl FnOnce() -> Res) -> (Res, bool) {
        self.set(n);
        let r = f();
        let mut b = [0; 16];
        let left = sys::read(self.0, &mut b, Some(0));
        self.set(0);
        let hit = left.is_err() || b[0] == b'0';
        (r, hit)
    }
}

/// The trees without faults: before and after the operation.
struct Clean {
    before: fuzz::snapshot::Tree,
    after: fuzz::snapshot::Tree,
}

fn clean(lab: &mut Lab, s: &Scenario, ty: &str) -> Result<Clean, String> {
    lab.build()?;
    let err = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("without faults: {what}: errno {e}")
    };
    lab.mount(ty).map_err(err("mount"))?;
    let at = lab.mnt();
    (s.before)(&at).map_err(err("preparation"))?;
    let before = lab.merged();
    (s.op)(&at).map_err(err("operation"))?;
    let after = lab.merged();
    lab.umount().map_err(err("umount"))?;
    if s.reads && before != after {
        return Err("an operation that only reads changes the tree".into());
    }
    Ok(Clean { before, after })
}

/// One point. `Ok` of the result's name, or what is wrong; `None` when nothing failed any more.
fn point(
    lab: &mut Lab,
    s: &Scenario,
    ty: &str,
    nth: &Nth,
    n: u64,
    c: &Clean,
) -> Result<Option<String>, String> {
    // What only reads leaves the layers as they are.
    let reads = s.reads && s.when == When::Mounted;
    if !reads || n == 1 {
        lab.build()?;
    } else if lab.mounted {
        lab.umount().map_err(|e| format!("umount: errno {e}"))?;
    }
    let at = lab.mnt();
    let e = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("{what}: errno {e}")
    };
    let (r, hit) = match s.when {
        When::Mount => {
            let (r, hit) = nth.run(n, || lab.mount(ty));
            if r.is_err() {
                lab.forget_volatile();
                lab.mount(ty).map_err(e("mounting again"))?;
            }
            (r, hit)
        }
        When::Unmount => {
            lab.mount(ty).map_err(e("mount"))?;
            (s.op)(&at).map_err(e("operation"))?;
            let (r, hit) = nth.run(n, || lab.umount());
            if r.is_err() {
                lab.umount().map_err(e("unmounting again"))?;
            }
            lab.mount(ty).map_err(e("mounting again"))?;
            (r, hit)
        }
        When::Mounted => {
            lab.mount(ty).map_err(e("mount"))?;
            (s.before)(&at).map_err(e("preparation"))?;
            let (r, hit) = nth.run(n, || (s.op)(&at));
            if r.is_err() {
                // It did not happen; or it did, and what came after it failed.
                let tree = lab.merged();
                if tree != c.before && tree != c.after {
                    return Err(format!(
                        "after errno {} it is neither as before nor as after: {}",
                        r.err().unwrap_or(0),
                        differences(&c.before, &tree, ["before", "now"]).join("\n  ")
                    ));
                }
                (s.op)(&at).map_err(e("the operation tried again"))?;
            }
            (r, hit)
        }
    };
    let wanted = if s.when == When::Mount {
        &c.before
    } else {
        &c.after
    };
    // The whole tree was already looked at after a failure; the kernel for this is slow.
    if n % 4 == 1 || (!reads && (r.is_ok() || s.when != When::Mounted)) {
        let tree = lab.merged();
        if tree != *wanted {
            return Err(format!(
                "result {r:?}, and then: {}",
                differences(wanted, &tree, ["wanted", "now"]).join("\n  ")
            ));
        }
    }
    lab.umount().map_err(e("umount"))?;
    // The other module sees the same, and no mount leaves anything behind.
    let volatile = lab.options.contains("volatile");
    if r.is_err() && !volatile && n % 4 == 1 {
        let other = if ty == "overlay" {
            "overlay_rs"
        } else {
            "overlay"
        };
        lab.mount(other)
            .map_err(e("mounting with the other module"))?;
        let tree = lab.merged();
        let d = differences(wanted, &tree, ["wanted", other]);
        lab.umount().map_err(e("umount"))?;
        if !d.is_empty() {
            return Err(format!("the other module sees: {}", d.join("\n  ")));
        }
        let left = lab.leftovers();
        if !left.is_empty() {
            return Err(format!("left in the workdir: {left:?}"));
        }
    }
    if !hit {
        return match r {
            Ok(_) => Ok(None),
            Err(e) => Err(format!("errno {e}, but nothing failed")),
        };
    }
    Ok(Some(match r {
        Ok(_) => "ok".into(),
        Err(e) => format!("errno {e}"),
    }))
}

pub fn run(a: &Args) -> Result<Report, String> {
    let nth = Nth::new()?;
    let mut report = Report::new("nth", "points", a);
    while let Some((seed, s, _)) = report.next(a) {
        for ty in &a.types {
            let mut lab = Lab::new("/mnt/faults", true, s);
            let c = match clean(&mut lab, s, ty) {
                Ok(c) => c,
                Err(e) => {
                    report.finding(&format!("{} on {ty}: {e}", s.name));
                    let _ = lab.tear_down();
                    continue;
                }
            };
            let mut n = 1;
            let end = loop {
                if report.is_over() {
                    report.unfinished();
                    break "cut short";
                }
                let at = format!("seed {seed}: {} on {ty}, place {n}", s.name);
                match point(&mut lab, s, ty, &nth, n, &c) {
                    Ok(Some(result)) => {
                        if a.trace {
                            println!("{at}: {result}");
                        }
                        report.point(ty, &result);
                    }
                    Ok(None) => break "through",
                    Err(e) => {
                        report.point(ty, "wrong");
                        report.finding(&format!("{at}: {e}"));
                    }
                }
                report.check_log(&at);
                n += 1;
                if n > 3000 {
                    break "endless";
                }
            };
            println!("{seed} {} on {ty}: {} places, {end}", s.name, n - 1);
            lab.tear_down()?;
        }
    }
    Ok(report)
}
