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
//! ovl-fuzz --seed N --seconds N [--fs ext4,xfs] [--lower-fs tmpfs,ext4] [--ops N] [--out DIR]
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
use fuzz::{generate, shrink, snapshot};

struct Args {
    seed: u64,
    seconds: u64,
    cases: u64,
    ops: usize,
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
        ops: 60,
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

#[derive(Default)]
struct Totals {
    cases: u64,
    skipped: u64,
    failed: u64,
    compared: u64,
    succeeded: u64,
    mounts: u64,
    mounted: u64,
    kinds: BTreeMap<String, u64>,
    ops: BTreeMap<String, u64>,
}

impl Totals {
    fn add(&mut self, case: &Case, o: &Outcome) {
        self.cases += 1;
        self.compared += o.compared;
        self.succeeded += o.succeeded;
        self.mounts += o.mounts;
        self.mounted += u64::from(o.mounted);
        if o.skipped.is_some() {
            self.skipped += 1;
        } else {
            for (_, op) in &case.ops {
                *self.ops.entry(op.name()).or_default() += 1;
            }
        }
        if let Some(d) = &o.difference {
            self.failed += 1;
            *self.kinds.entry(d.kind.clone()).or_default() += 1;
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
    println!("--- seed {} differs: {}", case.seed, d.kind);
    println!(
        "  upper on {}, {} lowers on {}, options {:?}",
        case.upper_fs, case.lowers, case.lower_fs, case.options
    );
    for e in &case.entries {
        println!(
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
        );
    }
    for d in &case.damage {
        println!("  damage {d:?}");
    }
    for r in &case.rounds {
        println!("  then {r:?}");
    }
    for (w, op) in &case.ops {
        println!("  {w} {op:?}");
    }
    println!("  {}", d.text);
    if let Some(dir) = out {
        let at = dir.join(format!("seed-{}.json", case.seed));
        match serde_json::to_string_pretty(case) {
            Ok(t) => {
                if let Err(e) = std::fs::write(&at, t) {
                    println!("  {}: {e}", at.display());
                }
            }
            Err(e) => println!("  {e}"),
        }
    }
}

fn campaign(a: &Args, log: &Log, t: &mut Totals) {
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
    let mut seed = a.seed;
    while Instant::now() < end && seed - a.seed < a.cases {
        if let Some(dir) = &a.out {
            // In case the kernel does not live to tell.
            let _ = std::fs::write(dir.join("current"), format!("{seed}\n"));
        }
        let case = generate::case(seed, &o);
        let mut r = execute::run(&case, "c", a.trace);
        if let Some(l) = log.alarm() {
            r.difference = Some(Difference {
                kind: "kernel log".into(),
                text: l,
            });
        }
        t.add(&case, &r);
        if let Some(d) = r.difference {
            let seen = t.kinds.get(&d.kind).copied().unwrap_or(0);
            if seen <= 2 {
                let (c, d) = if d.kind == "kernel log" {
                    (case, d)
                } else {
                    shrink::shrink(&case, &d, a.shrink)
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
            println!("{}", t.entry(a, seed));
            let _ = std::io::stdout().flush();
        }
        seed += 1;
    }
    println!("{}", t.entry(a, seed.saturating_sub(1)));
    println!(
        "seeds {} to {} in {} s",
        a.seed,
        seed.saturating_sub(1),
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
        let mut r = execute::run(&case, "r", a.trace);
        if let Some(l) = log.alarm() {
            r.difference = Some(Difference {
                kind: "kernel log".into(),
                text: l,
            });
        }
        t.add(&case, &r);
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
    if a.replay.is_empty() {
        campaign(&a, &log, &mut t);
    } else {
        replay(&a, &log, &mut t);
    }
    if !t.kinds.is_empty() {
        println!("kinds of differences:");
        for (k, n) in &t.kinds {
            println!("  {n:5} {k}");
        }
    }
    let ops: Vec<String> = t.ops.iter().map(|(k, n)| format!("{k} {n}")).collect();
    println!("operations: {}", ops.join(", "));
    println!("{}", t.line());
    println!(
        "{} passed, {} failed, {} skipped",
        t.cases - t.failed.min(t.cases) - t.skipped,
        t.failed,
        t.skipped
    );
    ExitCode::from(u8::from(t.failed != 0))
}
