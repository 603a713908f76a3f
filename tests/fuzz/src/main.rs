// SPDX-License-Identifier: GPL-2.0
//! `ovl-fuzz`: does overlay_rs do what the kernel's own overlay does?
//!
//! A seed makes a case: layers, mount options and a sequence of operations by three users. It is
//! run on two equal copies of the layers, one mounted as `overlay`, one as `overlay_rs`, step by
//! step; results, errnos, data, the merged tree, the upper and the workdir on disk are compared,
//! then each upper is mounted with the other type and compared again. A case that differs is
//! shrunk and written down.
//!
//! ```text
//! ovl-fuzz --seed N --seconds N [--jobs N] [--fs ext4,xfs] [--lower-fs tmpfs,ext4] [--ops N] [--out DIR]
//! ovl-fuzz --hostile ...              the layers are damaged first, and mounted nevertheless
//!          --userns ...               and the attributes are those of a user namespace's owner
//! ovl-fuzz --replay FILE|DIR...       run written cases; with --trace, step by step
//! ```
//! Lines `ledger: CAMPAIGN FIRST-SEED LAST-SEED COUNT UNIT FINDINGS` are for qemu/ledger.sh. The last line is `N passed, N failed, N skipped`, in cases.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz::case::{self, Case};
use fuzz::execute::{self, Difference, Outcome};
use fuzz::kmsg::Log;
use fuzz::{generate, shrink, snapshot, sys};
use serde::{Deserialize, Serialize};

struct Args {
    seed: u64,
    seconds: u64,
    cases: u64,
    ops: usize,
    jobs: u64,
    fs: Vec<String>,
    lower_fs: Vec<String>,
    out: Option<PathBuf>,
    trace: bool,
    replay: Vec<PathBuf>,
    shrink: u64,
    hostile: bool,
    userns: bool,
}

fn args() -> Result<Args, String> {
    let list = |s: String| s.split(',').map(str::to_string).collect::<Vec<_>>();
    let mut a = Args {
        seed: 1,
        seconds: 60,
        cases: u64::MAX,
        ops: 100,
        jobs: 1,
        fs: list("ext4".into()),
        lower_fs: list("tmpfs".into()),
        out: None,
        trace: false,
        replay: Vec::new(),
        shrink: 40,
        hostile: false,
        userns: false,
    };
    let mut it = std::env::args().skip(1);
    while let Some(k) = it.next() {
        let mut val = || it.next().ok_or(format!("{k} needs a value"));
        let num = |s: String| s.parse::<u64>().map_err(|e| format!("{k} {s}: {e}"));
        match k.as_str() {
            "--seed" => a.seed = num(val()?)?,
            "--seconds" => a.seconds = num(val()?)?,
            "--cases" => a.cases = num(val()?)?,
            "--ops" => a.ops = num(val()?)? as usize,
            "--jobs" => a.jobs = num(val()?)?.max(1),
            "--shrink" => a.shrink = num(val()?)?,
            "--fs" => a.fs = list(val()?),
            "--lower-fs" => a.lower_fs = list(val()?),
            "--out" => a.out = Some(val()?.into()),
            "--hostile" => a.hostile = true,
            "--userns" => a.userns = true,
            "--trace" => a.trace = true,
            "--replay" => a.replay = it.by_ref().map(PathBuf::from).collect(),
            _ => return Err(format!("unknown argument {k}")),
        }
    }
    Ok(a)
}

/// Cases that drop the caches of the whole system run alone: what is in memory decides about inode
/// numbers. All others run beside each other. Whoever comes first is let in first.
struct Turn {
    queue: i32,
    cases: i32,
}

impl Turn {
    fn new() -> Self {
        let file = |name: &[u8]| {
            sys::open(name, libc::O_CREAT | libc::O_RDWR, 0o600).map_or(-1, |fd| fd as i32)
        };
        Self {
            queue: file(b"/tmp/ovl-fuzz.queue"),
            cases: file(b"/tmp/ovl-fuzz.cases"),
        }
    }

    fn enter(&self, alone: bool) {
        let _ = sys::flock(self.queue, libc::LOCK_EX);
        let how = if alone { libc::LOCK_EX } else { libc::LOCK_SH };
        let _ = sys::flock(self.cases, how);
        let _ = sys::flock(self.queue, libc::LOCK_UN);
    }

    fn leave(&self) {
        let _ = sys::flock(self.cases, libc::LOCK_UN);
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Totals {
    cases: u64,
    skipped: u64,
    failed: u64,
    compared: u64,
    succeeded: u64,
    mounts: u64,
    mounted: u64,
    /// The last seed.
    last: u64,
    kinds: BTreeMap<String, u64>,
    ops: BTreeMap<String, u64>,
    ends: BTreeMap<String, u64>,
    spent: BTreeMap<String, u64>,
}

impl Totals {
    fn add(&mut self, o: &Outcome) {
        self.cases += 1;
        self.compared += o.compared;
        self.succeeded += o.succeeded;
        self.mounts += o.mounts;
        self.mounted += u64::from(o.mounted);
        for (k, n) in &o.spent {
            *self.spent.entry(k.to_string()).or_default() += n;
        }
        for (k, n) in &o.ends {
            *self.ends.entry(k.clone()).or_default() += n;
        }
        self.skipped += u64::from(o.skipped.is_some());
        for (_, op) in &o.ops {
            *self.ops.entry(op.name()).or_default() += 1;
        }
        if let Some(d) = &o.difference {
            self.failed += 1;
            *self.kinds.entry(d.kind.clone()).or_default() += 1;
        }
    }

    /// What another job has found.
    fn join(&mut self, o: Totals) {
        self.cases += o.cases;
        self.skipped += o.skipped;
        self.failed += o.failed;
        self.compared += o.compared;
        self.succeeded += o.succeeded;
        self.mounts += o.mounts;
        self.mounted += o.mounted;
        self.last = self.last.max(o.last);
        for (to, from) in [
            (&mut self.kinds, o.kinds),
            (&mut self.ops, o.ops),
            (&mut self.ends, o.ends),
            (&mut self.spent, o.spent),
        ] {
            for (k, n) in from {
                *to.entry(k).or_default() += n;
            }
        }
    }

    fn line(&self) -> String {
        format!(
            "{} cases ({} skipped, {} mounted), {} results compared ({} of operations that succeeded), {} mounts, {} cases differ",
            self.cases, self.skipped, self.mounted, self.compared, self.succeeded, self.mounts, self.failed
        )
    }

    /// For the ledger.
    fn entry(&self, a: &Args, last: u64) -> String {
        let (campaign, count, unit) = if a.hostile && a.userns {
            ("hostile-userns", self.mounts, "mounts")
        } else if a.hostile {
            ("hostile", self.mounts, "mounts")
        } else {
            ("fuzz", self.compared, "comparisons")
        };
        format!(
            "ledger: {campaign} {} {last} {count} {unit} {}",
            a.seed, self.failed
        )
    }
}

fn report(case: &Case, d: &Difference, out: &Option<PathBuf>) {
    let mut t = String::new();
    let mut say = |l: String| t += &(l + "\n");
    say(format!("--- seed {} differs: {}", case.seed, d.kind));
    say(format!(
        "  upper on {}, {} lowers on {}, options {:?}",
        case.upper_fs, case.lowers, case.lower_fs, case.options
    ));
    for e in &case.entries {
        say(format!(
            "  layer {} {}: {:?} {:o} {}:{} {:?}",
            e.layer,
            case::show(&e.path.0),
            e.kind,
            e.mode,
            e.uid,
            e.gid,
            e.xattrs
                .iter()
                .map(|(n, v)| format!("{n}={}", snapshot::bytes(v)))
                .collect::<Vec<_>>()
        ));
    }
    for d in &case.damage {
        say(format!("  damage {d:?}"));
    }
    for r in &case.rounds {
        say(format!("  then {r:?}"));
    }
    for (w, op) in &case.ops {
        say(format!("  {w} {op:?}"));
    }
    say(format!("  {}", d.text));
    if let Some(dir) = out {
        let at = dir.join(format!("seed-{}.json", case.seed));
        match serde_json::to_string_pretty(case) {
            Ok(t) => {
                if let Err(e) = std::fs::write(&at, t) {
                    say(format!("  {}: {e}", at.display()));
                }
            }
            Err(e) => say(format!("  {e}")),
        }
    }
    // At once, as other jobs tell theirs, too.
    print!("{t}");
}

/// Runs every `a.jobs`-th seed, from that of this job on.
fn campaign(a: &Args, job: u64, t: &mut Totals) {
    let (log, turn) = (Log::watch(), Turn::new());
    let o = generate::Options {
        upper_fs: a.fs.clone(),
        lower_fs: a.lower_fs.clone(),
        ops: a.ops,
        hostile: a.hostile,
        userns: a.userns,
    };
    let start = Instant::now();
    let end = start + Duration::from_secs(a.seconds);
    let mut told = start;
    let mut seed = a.seed + job;
    while Instant::now() < end && seed - a.seed < a.cases {
        if let Some(dir) = &a.out {
            // In case the kernel does not live to tell.
            let _ = std::fs::write(dir.join(format!("current-{job}")), format!("{seed}\n"));
        }
        let (mut case, mut plan) = generate::case(seed, &o);
        turn.enter(plan.drops_caches());
        let mut r = execute::run(&case, Some(&mut plan), &format!("c{job}"), a.trace);
        turn.leave();
        case.ops.clone_from(&r.ops);
        if let Some(l) = log.alarm() {
            r.difference = Some(Difference {
                kind: "kernel log".into(),
                text: l,
            });
        }
        t.add(&r);
        if let Some(d) = r.difference {
            let seen = t.kinds.get(&d.kind).copied().unwrap_or(0);
            if seen <= 2 {
                let (c, d) = if d.kind == "kernel log" {
                    (case, d)
                } else {
                    turn.enter(case.drops_caches());
                    let small = shrink::shrink(&case, &d, &format!("s{job}"), a.shrink);
                    turn.leave();
                    small
                };
                report(&c, &d, &a.out);
            } else {
                println!("--- seed {seed} differs, too: {}", d.kind);
            }
        }
        if told.elapsed() > Duration::from_secs(60) {
            told = Instant::now();
            println!(
                "... {} s, seed {seed}: {}",
                start.elapsed().as_secs(),
                t.line()
            );
            if a.jobs == 1 {
                println!("{}", t.entry(a, seed));
            }
            let _ = std::io::stdout().flush();
        }
        seed += a.jobs;
    }
    t.last = seed.saturating_sub(a.jobs);
    println!(
        "seeds {} to {}, every {}, in {} s",
        a.seed + job,
        seed.saturating_sub(1),
        a.jobs,
        start.elapsed().as_secs()
    );
}

fn replay(a: &Args, log: &Log, t: &mut Totals) {
    let mut files = Vec::new();
    for p in &a.replay {
        if p.is_dir() {
            let mut v: Vec<PathBuf> = std::fs::read_dir(p)
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.path())
                .filter(|p| p.extension().is_some_and(|x| x == "json"))
                .collect();
            v.sort();
            files.extend(v);
        } else {
            files.push(p.clone());
        }
    }
    for p in files {
        let case: Case = match std::fs::read_to_string(&p)
            .map_err(|e| e.to_string())
            .and_then(|s| serde_json::from_str(&s).map_err(|e| e.to_string()))
        {
            Ok(c) => c,
            Err(e) => {
                println!("{}: {e}", p.display());
                t.failed += 1;
                continue;
            }
        };
        let mut r = execute::run(&case, None, "r", a.trace);
        if let Some(l) = log.alarm() {
            r.difference = Some(Difference {
                kind: "kernel log".into(),
                text: l,
            });
        }
        t.add(&r);
        let word = match (&r.difference, &r.skipped) {
            (Some(d), _) => format!("DIFFERS\n  {}", d.text),
            (_, Some(s)) => format!("skipped: {s}"),
            _ => "ok".into(),
        };
        println!(
            "{}: {word}",
            p.file_name().unwrap_or_default().to_string_lossy()
        );
    }
}

fn main() -> ExitCode {
    let a = match args() {
        Ok(a) => a,
        Err(e) => {
            eprintln!("ovl-fuzz: {e}");
            return ExitCode::from(2);
        }
    };
    let log = Log::watch();
    let mut t = Totals::default();
    if !a.replay.is_empty() {
        replay(&a, &log, &mut t);
    } else if a.jobs == 1 {
        campaign(&a, 0, &mut t);
    } else {
        let jobs: Vec<_> = (0..a.jobs)
            .map(|j| {
                sys::Process::new(|| {
                    let mut t = Totals::default();
                    campaign(&a, j, &mut t);
                    serde_json::to_string(&t).unwrap_or_default()
                })
            })
            .collect();
        for j in jobs {
            match j.map(|p| serde_json::from_str(&p.join())) {
                Ok(Ok(o)) => t.join(o),
                _ => {
                    println!("a job died");
                    t.failed += 1;
                }
            }
        }
    }
    if !t.kinds.is_empty() {
        println!("kinds of differences:");
        for (k, n) in &t.kinds {
            println!("  {n:5} {k}");
        }
    }
    let ops: Vec<String> = t.ops.iter().map(|(k, n)| format!("{k} {n}")).collect();
    println!("operations: {}", ops.join(", "));
    let ends: Vec<String> = t.ends.iter().map(|(k, n)| format!("{k} {n}")).collect();
    println!("ends: {}", ends.join(", "));
    let all = t.spent.values().sum::<u64>().max(1);
    let mut spent: Vec<_> = t.spent.iter().map(|(k, n)| (n * 100 / all, k)).collect();
    spent.sort_by(|a, b| b.cmp(a));
    let spent: Vec<String> = spent.iter().map(|(n, k)| format!("{k} {n} %")).collect();
    println!("time: {}", spent.join(", "));
    if a.replay.is_empty() {
        println!("{}", t.entry(&a, t.last));
    }
    println!("{}", t.line());
    println!(
        "{} passed, {} failed, {} skipped",
        t.cases - t.failed.min(t.cases) - t.skipped,
        t.failed,
        t.skipped
    );
    ExitCode::from(u8::from(t.failed != 0))
}
