// SPDX-License-Identifier: GPL-2.0
//! A signal at one step of the operation after the other.
//!
//! A step is a request to the disk below all layers, which is mounted so that every change is on
//! the disk before the call returns (see `io.rs`). The n-th request is held; the task sleeps; it
//! gets the signal and has all the time to notice it; then the request is done. So the signal is
//! pending from that step on, and every place behind it that looks for signals, or sleeps so that
//! they wake it, sees it: with n = 1, the first such place, and with one n after the other, each
//! that has a request between it and the one before.
//!
//! Rounds, by turns, on ext4 and xfs: the task is killed; it gets a signal that only interrupts; a
//! second task, which wants to open the same file for writing and sleeps on the lock of the first
//! one's copy-up, is killed, or interrupted. The tree is then as before or as after, nothing is in
//! the workdir, the same operation succeeds, the other module sees the same, and the kernel's own
//! overlay has come to the same end at the same step.

use fuzz::snapshot::{differences, Tree};

use crate::disk::{Fault, Volume};
use crate::io::{clean_all, lab, prepare, quiet, volume};
use crate::lab::state;
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::sys as own;
use crate::Args;

/// More requests than any operation makes.
const MOST: u64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Task,
    /// The task that waits for the other one.
    Waiter,
}

/// It opens the lower file for writing: two of these meet at the lock of the copy-up.
fn opens(s: &Scenario) -> bool {
    s.writes() || s.name == "open-truncate"
}

/// Waits until the process sleeps or has ended, whatever it does first.
fn settle(pid: i64) -> char {
    loop {
        match own::state(pid) {
            'R' => std::thread::sleep(std::time::Duration::from_micros(300)),
            c => return c,
        }
    }
}

fn end(pid: i64) -> String {
    match own::wait(pid) {
        None => "killed".into(),
        Some(0) => "ok".into(),
        Some(n) => format!("errno {n}"),
    }
}

/// What came of one signal on one type: the results of both tasks, and what there is then.
type Outcome = (String, &'static str);

/// `None` if the operation has fewer steps.
fn one(
    v: &mut Volume,
    s: &Scenario,
    ty: &str,
    (who, signal, n): (Who, i32, u64),
    trees: &[Tree; 2],
) -> Result<Option<Outcome>, String> {
    let e = |what: &'static str| move |e: i32| format!("{what}: errno {e}");
    let mut lab = lab(s);
    prepare(v, &mut lab, s, ty)?;
    let at = lab.mnt();
    let start = || {
        own::fork(|| {
            own::interrupts(libc::SIGUSR1)?;
            (s.op)(&at)
        })
        .map_err(e("fork"))
    };
    v.disk.set(Fault::Hold(n));
    let task = start()?;
    while !v.disk.held(5) && !own::has_ended(task) {}
    if own::has_ended(task) {
        v.disk.set(Fault::None);
        let r = end(task);
        lab.down()?;
        return match r.as_str() {
            "ok" => Ok(None),
            _ => Err(format!("{r}, but nothing happened")),
        };
    }
    settle(task);
    let mut waiter = None;
    let mut met = false;
    if who == Who::Waiter {
        let w = start()?;
        waiter = Some(w);
        met = settle(w) == 'S';
    }
    if who == Who::Task || met {
        let pid = waiter.unwrap_or(task);
        own::kill(pid, signal).map_err(e("kill"))?;
        settle(pid);
    }
    v.disk.go();
    let mut result = end(task);
    if let Some(w) = waiter {
        result += if met { ", waiter " } else { ", not met: " };
        result += &end(w);
    }
    v.disk.set(Fault::None);
    let left = lab.temporaries();
    if !left.is_empty() {
        return Err(format!("{result}, and there is in the workdir: {left:?}"));
    }
    let state = state(s, &lab.merged(), trees).map_err(|d| format!("{result}, and it is {d}"))?;
    (s.op)(&at).map_err(e("the operation tried again"))?;
    let tree = lab.merged();
    let d = differences(&trees[1], &tree, ["wanted", "now"]);
    if !d.is_empty() {
        return Err(format!("{result}, tried again: {}", d.join("\n  ")));
    }
    lab.down()?;
    lab.same_for_other(ty, &tree)?;
    Ok(Some((result, state)))
}

pub fn run(a: &Args) -> Result<Report, String> {
    quiet();
    let mut report = Report::new("signals", "cases", a);
    let mut volume_of: Option<(u64, Volume)> = None;
    let fs_count = a.fs.len() as u64;
    let kinds = [
        (Who::Task, libc::SIGKILL),
        (Who::Task, libc::SIGUSR1),
        (Who::Waiter, libc::SIGKILL),
        (Who::Waiter, libc::SIGUSR1),
    ];
    while let Some((seed, s, round)) = report.next(a) {
        let Some((who, signal)) = kinds.get((round / fs_count) as usize).copied() else {
            println!("every step of every operation had its signals");
            report.unfinished();
            break;
        };
        if s.when != When::Mounted
            || s.reads
            || s.options.contains("volatile")
            || (who == Who::Waiter && !opens(s))
        {
            continue;
        }
        let fs = &a.fs[(round % fs_count) as usize];
        if volume_of
            .as_ref()
            .is_none_or(|(r, _)| *r != round % fs_count)
        {
            drop(volume_of.take());
            volume_of = Some((round % fs_count, volume(fs, true)?));
        }
        let Some((_, v)) = &mut volume_of else { break };
        let Some(base) = clean_all(v, s, fs, a, &mut report) else {
            break;
        };
        for n in (1..=MOST).step_by(a.every) {
            let what = format!(
                "seed {seed}: {} on {fs}, {who:?} gets {signal} at step {n}",
                s.name
            );
            let mut seen = Vec::new();
            for (ty, trees) in a.types.iter().zip(&base) {
                let at = format!("{what}, {ty}");
                match one(v, s, ty, (who, signal, n), trees) {
                    Ok(o) => {
                        if let Some((result, state)) = &o {
                            let text = format!("{result}, {state}");
                            if a.trace {
                                println!("{at}: {text}");
                            }
                            report.point(ty, &text);
                        }
                        seen.push(o);
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
                [Some(x), Some(y)] if x != y => report.finding(&format!(
                    "{what}: {} {x:?}, {} {y:?}",
                    a.types[0], a.types[1]
                )),
                _ if !seen.is_empty() && seen.iter().all(Option::is_none) => break,
                _ => {}
            }
        }
    }
    Ok(report)
}
