// SPDX-License-Identifier: GPL-2.0
//! Somebody may have no more inodes, or no more space, than so many: 0, 1, 2, .. until the operation
//! succeeds.
//!
//! All layers belong to a user. Rounds, by turns, on ext4 and xfs: the user, who is the caller, has
//! the limit (to him belongs what is copied up, in the end); the superuser, who has mounted (to him
//! belongs what is being made; xfs never limits him); the project that upper and workdir are of, and
//! the caller is the superuser, whose right to exceed limits the overlay does not lend. After
//! each: as before or as after, nothing in the workdir; without the limit the operation succeeds;
//! the other module sees the same; and the kernel's own overlay has said the same.

use fuzz::snapshot::{differences, Tree};
use fuzz::sys::{self, Res};

use crate::crash::sh;
use crate::disk::{Volume, MNT};
use crate::io::{lab, quiet};
use crate::lab::{state, At, Lab};
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::sys as own;
use crate::Args;

const USER: u32 = 1000;
const PROJECT: u32 = 77;
/// Of either limit.
const MOST: u64 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Caller,
    Mounter,
    Project,
}

impl Who {
    /// The kind of the quota, and whose.
    fn quota(self) -> (u32, u32) {
        match self {
            Who::Caller => (0, USER),
            Who::Mounter => (0, 0),
            Who::Project => (2, PROJECT),
        }
    }

    /// Does what is to be done as the caller; errno.
    fn call(self, f: fn(&At) -> Res, at: &At) -> Result<(), i32> {
        let pid = own::fork(|| {
            if self != Who::Project {
                own::become_user(USER, 1001)?;
            }
            f(at)
        })?;
        match own::wait(pid) {
            Some(0) => Ok(()),
            Some(errno) => Err(errno),
            None => Err(libc::EINTR),
        }
    }
}

/// How much more than now.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Inodes(u64),
    /// Of 4096 bytes.
    Blocks(u64),
}

fn volume(fs: &str) -> Result<Volume, String> {
    let (mkfs, options) = match fs {
        "xfs" => ("", "uquota,pquota"),
        _ => (
            ",quotatype=usrquota:prjquota -O quota,project",
            "usrquota,prjquota,commit=600,noinit_itable",
        ),
    };
    Volume::new(fs, mkfs, options, || {
        lab(&crate::scenario::SCENARIOS[0]).build()?;
        // Device nodes and the like belong to no project.
        sh(&format!(
            "cd {MNT}/lab && chown -hR {USER}:1001 . && (chattr -f -R -p {PROJECT} +P upper work || true)"
        ))
        .map(drop)
    })
}

/// The quotas of the volume.
struct Quotas(i32);

impl Quotas {
    fn open() -> Result<Self, i32> {
        sys::open(MNT.as_bytes(), libc::O_RDONLY, 0).map(|fd| Self(fd as i32))
    }

    fn set(&self, who: Who, limit: Limit) -> Res {
        let (kind, id) = who.quota();
        // What was removed on xfs counts until it gets round to it.
        own::freeze_and_thaw(self.0)?;
        let has = own::quota(self.0, kind, id)?;
        // All of them have something; a limit of 0 would be none.
        if has.inodes == 0 {
            return Err(libc::ENOENT);
        }
        match limit {
            Limit::Inodes(k) => own::set_quota(self.0, kind, id, 0, has.inodes + k),
            Limit::Blocks(k) => {
                let kib = has.space.div_ceil(1024) + 4 * k;
                own::set_quota(self.0, kind, id, kib.max(1), 0)
            }
        }
    }

    fn lift(&self, who: Who) -> Res {
        let (kind, id) = who.quota();
        own::set_quota(self.0, kind, id, 0, 0)
    }
}

impl Drop for Quotas {
    fn drop(&mut self) {
        let _ = sys::close(self.0);
    }
}

fn prepare(v: &mut Volume, lab: &mut Lab, s: &Scenario, ty: &str, who: Who) -> Result<(), i32> {
    lab.mount(ty)?;
    who.call(s.before, &lab.mnt())?;
    v.sync().map(drop)
}

/// Without a limit; an errno if this caller cannot do it.
fn clean(
    v: &mut Volume,
    s: &Scenario,
    ty: &str,
    who: Who,
) -> Result<Result<[Tree; 2], i32>, String> {
    let mut lab = lab(s);
    v.fresh()?;
    let r = prepare(v, &mut lab, s, ty, who).and_then(|()| {
        let before = lab.merged();
        who.call(s.op, &lab.mnt())?;
        Ok([before, lab.merged()])
    });
    lab.down()?;
    Ok(r)
}

fn one(
    v: &mut Volume,
    s: &Scenario,
    ty: &str,
    (who, limit): (Who, Limit),
    trees: &[Tree; 2],
) -> Result<(String, &'static str), String> {
    let e = |what: &'static str| move |e: i32| format!("{what}: errno {e}");
    let mut lab = lab(s);
    v.fresh()?;
    prepare(v, &mut lab, s, ty, who).map_err(e("preparation"))?;
    let quotas = Quotas::open().map_err(e("open"))?;
    quotas.set(who, limit).map_err(e("quota"))?;
    let at = lab.mnt();
    let r = who.call(s.op, &at);
    quotas.lift(who).map_err(e("quota"))?;
    let result = r.map_or_else(|e| format!("errno {e}"), |()| "ok".into());
    let left = lab.temporaries();
    if !left.is_empty() {
        return Err(format!("{result}, and there is in the workdir: {left:?}"));
    }
    let state = state(s, &lab.merged(), trees).map_err(|d| format!("{result}, and it is {d}"))?;
    if r.is_err() {
        who.call(s.op, &at)
            .map_err(e("the operation tried again"))?;
    }
    let tree = lab.merged();
    let d = differences(&trees[1], &tree, ["wanted", "now"]);
    if !d.is_empty() {
        return Err(format!("{result}, tried again: {}", d.join("\n  ")));
    }
    drop(quotas);
    lab.down()?;
    lab.same_for_other(ty, &tree)?;
    Ok((result, state))
}

pub fn run(a: &Args) -> Result<Report, String> {
    quiet();
    let mut report = Report::new("quota", "cases", a);
    let mut volume_of: Option<(u64, Volume)> = None;
    let fs_count = a.fs.len() as u64;
    while let Some((seed, s, round)) = report.next(a) {
        let who = match round / fs_count {
            0 => Who::Caller,
            1 => Who::Mounter,
            2 => Who::Project,
            _ => {
                println!("every operation had its limits");
                report.unfinished();
                break;
            }
        };
        let fs = &a.fs[(round % fs_count) as usize];
        if s.when != When::Mounted
            || s.reads
            || s.options.contains("volatile")
            || (fs == "xfs" && who == Who::Mounter)
        {
            continue;
        }
        if volume_of
            .as_ref()
            .is_none_or(|(r, _)| *r != round % fs_count)
        {
            drop(volume_of.take());
            volume_of = Some((round % fs_count, volume(fs)?));
        }
        let Some((_, v)) = &mut volume_of else { break };
        let what = format!("seed {seed}: {} on {fs}, {who:?}", s.name);
        let mut base = Vec::new();
        let mut cannot = Vec::new();
        for ty in &a.types {
            match clean(v, s, ty, who)? {
                Ok(t) => base.push(t),
                Err(e) => cannot.push(e),
            }
        }
        if !cannot.is_empty() {
            if !base.is_empty() || cannot.iter().any(|e| *e != cannot[0]) {
                report.finding(&format!("{what}, without a limit: errnos {cannot:?}"));
            } else if a.trace {
                println!("{what}: errno {} without a limit", cannot[0]);
            }
            continue;
        }
        for make in [Limit::Inodes as fn(u64) -> Limit, Limit::Blocks] {
            for k in (0..MOST).step_by(a.every) {
                let what = format!("{what}, {:?}", make(k));
                let mut seen = Vec::new();
                for (ty, trees) in a.types.iter().zip(&base) {
                    let at = format!("{what}, {ty}");
                    match one(v, s, ty, (who, make(k)), trees) {
                        Ok((result, state)) => {
                            if a.trace {
                                println!("{at}: {result}, {state}");
                            }
                            report.point(ty, &format!("{result}, {state}"));
                            seen.push((result, state));
                        }
                        Err(e) => {
                            report.point(ty, "wrong");
                            report.finding(&format!("{at}: {e}"));
                            let _ = lab(s).umount();
                        }
                    }
                    report.check_log(&at);
                }
                if let [x, y] = &seen[..] {
                    if x != y {
                        report.finding(&format!(
                            "{what}: {} {x:?}, {} {y:?}",
                            a.types[0], a.types[1]
                        ));
                    }
                }
                if !seen.is_empty() && seen.iter().all(|(r, _)| r == "ok") {
                    break;
                }
            }
        }
    }
    Ok(report)
}
