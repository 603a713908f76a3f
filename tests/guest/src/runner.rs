// SPDX-License-Identifier: GPL-2.0
//! The runner: every test in a child process of its own, with a directory of its own, and the
//! kernel log read after it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::mount::{self, UnmountFlags};

use crate::check::R;
use crate::env::{mounts_below, registered, Sizes, T};
use crate::kmsg::{alarm, Kmsg};
use crate::sys::{self, End};
use crate::{f, features, suite};

/// One row of the table of tests.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    pub run: fn(&T) -> R,
    intree_fails: Option<&'static str>,
    only_type: Option<(&'static str, &'static str)>,
    only_fs: Option<(&'static [&'static str], &'static str)>,
    also_on: &'static [&'static str],
}

impl Case {
    pub const fn new(name: &'static str, run: fn(&T) -> R) -> Self {
        Self {
            name,
            run,
            intree_fails: None,
            only_type: None,
            only_fs: None,
            also_on: &[],
        }
    }

    /// The kernel's own overlay fails this test, for this reason. It is an error if it passes.
    pub const fn expect_intree_fail(mut self, why: &'static str) -> Self {
        self.intree_fails = Some(why);
        self
    }

    /// Says nothing about the kernel's own overlay, for this reason.
    pub const fn rs_only(mut self, why: &'static str) -> Self {
        self.only_type = Some(("overlay_rs", why));
        self
    }

    /// Only these upper filesystems can do what the test needs, for this reason.
    pub const fn only_fs(mut self, fs: &'static [&'static str], why: &'static str) -> Self {
        self.only_fs = Some((fs, why));
        self
    }

    /// Runs on these upper filesystems, too, when none are chosen.
    pub const fn also_on(mut self, fs: &'static [&'static str]) -> Self {
        self.also_on = fs;
        self
    }

    /// The boot that it is for.
    fn boot(&self) -> Boot {
        if self.name.starts_with("selinux/") {
            Boot::Selinux
        } else if RACES.iter().any(|r| self.name.starts_with(r)) {
            Boot::TwoCpus
        } else {
            Boot::Usual
        }
    }

    /// Whether the kernel's own overlay is known to fail it.
    pub fn known_to_fail(&self) -> bool {
        self.intree_fails.is_some()
    }

    fn skip(&self, fs: &str, ty: &str) -> Option<String> {
        if let Some((t, why)) = self.only_type {
            if t != ty {
                return Some(format!("for {t} only: {why}"));
            }
        }
        if let Some((list, why)) = self.only_fs {
            if !list.contains(&fs) {
                return Some(format!("not on {fs}: {why}"));
            }
        }
        None
    }
}

/// `cases! { "file"; test; test.expect_intree_fail("reason"); }`
#[macro_export]
macro_rules! cases {
    ($pre:literal; $($f:ident $(. $m:ident ($($a:expr),*))* ;)*) => {
        pub const TESTS: &[$crate::runner::Case] = &[
            $($crate::runner::Case::new(concat!($pre, "/", stringify!($f)), $f)
                $(.$m($($a),*))*),*
        ];
    };
}

/// What a test needs of the boot it runs in.
#[derive(Clone, Copy, PartialEq)]
enum Boot {
    Usual,
    /// Processes that shall meet; on one CPU, where an emulator is twice as fast, they seldom do.
    TwoCpus,
    /// SELinux in force.
    Selinux,
}

/// What the tests that race begin with.
const RACES: &[&str] = &[
    "changed/lower_storm",
    "changed/upper_storm",
    "combinations/handles_",
    "concurrency/",
    "differential/",
    "syzkaller/",
];

struct Options {
    fs: Vec<String>,
    /// They are not the usual ones.
    fs_chosen: bool,
    types: Vec<String>,
    sizes: Sizes,
    times: bool,
    boot: Boot,
    /// Every `.1`-th test, beginning with number `.0`.
    part: (usize, usize),
}

/// Takes our own options out of the arguments; the rest is libtest-mimic's.
fn parse(args: impl Iterator<Item = String>) -> Result<(Options, Vec<String>), String> {
    let list = |s: String| s.split(',').map(str::to_string).collect();
    let mut o = Options {
        fs: list("ext4,xfs,tmpfs".into()),
        fs_chosen: false,
        types: list("overlay_rs,overlay".into()),
        sizes: Sizes {
            scale: 100,
            storm: 0,
            timeout: 600,
        },
        times: false,
        boot: Boot::Usual,
        part: (0, 1),
    };
    let mut rest = Vec::new();
    let mut args = args;
    while let Some(a) = args.next() {
        let (key, mut val) = match a.split_once('=') {
            Some((k, v)) => (k.to_string(), Some(v.to_string())),
            None => (a.clone(), None),
        };
        let mut value = || {
            val.take()
                .or_else(|| args.next())
                .ok_or(format!("{key} needs a value"))
        };
        let number = |s: String| s.parse::<u64>().map_err(|e| format!("{key}: {e}"));
        match key.as_str() {
            "--fs" => (o.fs, o.fs_chosen) = (list(value()?), true),
            "--type" => o.types = list(value()?),
            "--scale" => o.sizes.scale = number(value()?)?,
            "--timeout" => o.sizes.timeout = number(value()?)?,
            "--storm" => o.sizes.storm = number(value()?)?,
            "--times" => o.times = true,
            "--two-cpus" => o.boot = Boot::TwoCpus,
            "--selinux" => o.boot = Boot::Selinux,
            "--part" => o.part = part(&value()?).ok_or("--part needs a value such as 1/2")?,
            _ => rest.push(a),
        }
    }
    Ok((o, rest))
}

/// `1/2`: the first one of two parts.
fn part(s: &str) -> Option<(usize, usize)> {
    let (n, of) = s.split_once('/')?;
    let (n, of) = (n.parse::<usize>().ok()?, of.parse().ok()?);
    (1..=of).contains(&n).then(|| (n - 1, of))
}

/// What the runner has to tell after the tests.
#[derive(Default)]
struct Notes {
    skipped: Vec<String>,
    intree: Vec<String>,
    times: Vec<(u128, String)>,
}

/// The tests also run this program as one to be executed from an overlay.
fn as_test_program() -> Option<ExitCode> {
    use std::io::{Read, Write};
    match std::env::args().nth(1)?.as_str() {
        "--print-euid" => println!("{}", rustix::process::geteuid().as_raw()),
        "--wait" => {
            let mut out = std::io::stdout();
            out.write_all(b"r").and_then(|()| out.flush()).ok()?;
            let _ = std::io::stdin().read(&mut [0]);
        }
        _ => return None,
    }
    Some(ExitCode::SUCCESS)
}

pub fn main() -> ExitCode {
    let mut argv = std::env::args();
    let prog = argv.next().unwrap_or_default();
    if let Some(done) = as_test_program() {
        return done;
    }
    let argv: Vec<String> = argv.collect();
    if let Some(done) = features::as_command(&argv) {
        return done;
    }
    let (o, rest) = match parse(argv.into_iter()) {
        Ok(x) => x,
        Err(e) => {
            eprintln!("{prog}: {e}");
            return ExitCode::from(2);
        }
    };
    let mut args = Arguments::from_iter(std::iter::once(prog).chain(rest));
    // The tests mount, and fork: one at a time, in the main thread.
    args.test_threads = Some(1);

    if !args.list {
        if let Err(e) = usable(&o) {
            eprintln!("ovl-tests: {e:#}");
            return ExitCode::from(2);
        }
    }

    let notes = Arc::new(Mutex::new(Notes::default()));
    let mut trials = Vec::new();
    let cases: Vec<&Case> = match o.sizes.storm {
        0 => suite::all()
            .filter(|c| c.boot() == o.boot)
            .skip(o.part.0)
            .step_by(o.part.1)
            .collect(),
        _ => suite::storms().collect(),
    };
    for case in cases {
        let also: Vec<String> = case.also_on.iter().map(|fs| fs.to_string()).collect();
        let also = if o.fs_chosen { &[] } else { &also[..] };
        for fs in o.fs.iter().chain(also) {
            for ty in &o.types {
                trials.push(trial(case, fs, ty, &o, &notes));
            }
        }
    }
    let c = libtest_mimic::run(&args, trials);
    if args.list {
        return ExitCode::SUCCESS;
    }
    let n = notes.lock().unwrap();
    let mut intree = n.intree.clone();
    intree.sort();
    if !intree.is_empty() {
        println!("\nfailed by the kernel's own overlay, as the table says:");
        intree.iter().for_each(|l| println!("  {l}"));
    }
    if !n.skipped.is_empty() {
        println!("\nskipped:");
        n.skipped.iter().for_each(|l| println!("  {l}"));
    }
    if o.times {
        let mut times = n.times.clone();
        times.sort();
        println!("\nslowest:");
        for (ms, name) in times.iter().rev().take(40) {
            println!("  {ms:6} ms  {name}");
        }
        println!("\nby suite:");
        let mut suites = BTreeMap::<&str, u128>::new();
        for (ms, name) in &times {
            let suite = name.split('/').next().unwrap_or_default();
            *suites.entry(suite).or_default() += ms;
        }
        for (suite, ms) in suites {
            println!("  {ms:6} ms  {suite}");
        }
    }
    println!(
        "\n{} passed, {} failed, {} skipped",
        c.num_passed, c.num_failed, c.num_ignored
    );
    if c.num_passed + c.num_failed == 0 {
        eprintln!("ovl-tests: no test ran");
        return ExitCode::from(3);
    }
    c.exit_code()
}

/// The conditions without which no test makes sense.
fn usable(o: &Options) -> R {
    use anyhow::ensure;
    ensure!(
        rustix::process::geteuid().is_root(),
        "the tests must run as root"
    );
    for ty in &o.types {
        ensure!(
            registered(ty)?,
            "/proc/filesystems has no type {ty}: the module is not loaded"
        );
    }
    for fs in &o.fs {
        let d = PathBuf::from(format!("/mnt/{fs}"));
        let t = f::text("/proc/self/mountinfo")?;
        let at = format!(" {} ", d.display());
        ensure!(
            t.contains(&at),
            "{} is not a mounted scratch filesystem",
            d.display()
        );
    }
    sys::umask(0o022);
    Ok(())
}

fn trial(case: &'static Case, fs: &str, ty: &str, o: &Options, notes: &Arc<Mutex<Notes>>) -> Trial {
    let name = format!("{}::{fs}::{ty}", case.name);
    let (fs, ty) = (fs.to_string(), ty.to_string());
    let mut sizes = o.sizes;
    sizes.timeout += sizes.storm;
    let notes = notes.clone();
    let title = name.clone();
    Trial::ignorable_test(name, move || {
        let skip = |why: String| {
            let mut n = notes.lock().unwrap();
            let line = format!("{}: {why}", title);
            n.skipped.push(line);
            Ok(Completion::ignored_with(why))
        };
        if let Some(why) = case.skip(&fs, &ty) {
            return skip(why);
        }
        let expected = case.intree_fails.filter(|_| ty == "overlay");
        let start = std::time::Instant::now();
        let done = one(case, &fs, &ty, sizes);
        let took = start.elapsed().as_millis();
        notes.lock().unwrap().times.push((took, title.clone()));
        match (done, expected) {
            (Done::Pass, None) => Ok(Completion::Completed),
            (Done::Skip(why), _) => skip(why),
            (Done::Fail(m), Some(why)) => {
                let m = m.lines().map(str::trim).collect::<Vec<_>>().join("; ");
                let mut n = notes.lock().unwrap();
                n.intree.push(format!("{title}: {why} [{m}]"));
                Ok(Completion::Completed)
            }
            (Done::Pass, Some(why)) => Err(Failed::from(format!(
                "the table says that the kernel's own overlay fails this test ({why}), but it passes"
            ))),
            (Done::Fail(m), None) | (Done::Alarm(m), _) => {
                let rows = features::rows_of(case.name);
                Err(Failed::from(format!("{m}\n    features: {rows}")))
            }
        }
    })
}

enum Done {
    Pass,
    Skip(String),
    Fail(String),
    /// Whatever the test was to do, this is wrong.
    Alarm(String),
}

/// Directories of other filesystems that a test may use besides its own.
fn other_fs(fs: &str) -> &'static str {
    let has = |f: &str| {
        std::fs::read_to_string("/proc/self/mountinfo")
            .is_ok_and(|t| t.contains(&format!(" /mnt/{f} ")))
    };
    if fs == "tmpfs" {
        ["ext4", "xfs", "btrfs"]
            .into_iter()
            .find(|f| has(f))
            .unwrap_or("tmpfs")
    } else {
        "tmpfs"
    }
}

fn one(case: &Case, fs: &str, ty: &str, sizes: Sizes) -> Done {
    let fail = |e: anyhow::Error| Done::Fail(format!("{e:#}"));
    let mut log = match Kmsg::at_end() {
        Ok(l) => l,
        Err(e) => return fail(e),
    };
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let leaf = format!(
        "t-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let dir = Path::new("/mnt").join(fs).join(&leaf);
    let other = Path::new("/mnt")
        .join(other_fs(fs))
        .join(format!("{leaf}-other"));
    for d in [&dir, &other] {
        if let Err(e) = f::mkdirs(d) {
            return fail(e);
        }
    }

    let mut done = match child(case, fs, ty, &dir, &other, sizes) {
        Ok(d) => d,
        Err(e) => fail(e),
    };

    let mut trouble = Vec::new();
    // After a hung test nothing below can be trusted to end.
    if !matches!(&done, Done::Alarm(_)) {
        trouble.extend(cleaned(&[&dir, &other], sizes.timeout));
    }
    let lines = log.since();
    if let Some(a) = alarm(&lines) {
        trouble.push(format!("the kernel log has:\n{a}"));
    }
    if !trouble.is_empty() {
        let before = match done {
            Done::Fail(m) | Done::Alarm(m) => m + "\n",
            _ => String::new(),
        };
        done = Done::Alarm(before + &trouble.join("\n"));
    } else if let Done::Fail(m) = &mut done {
        let own: Vec<&String> = lines.iter().filter(|l| l.starts_with("overlay")).collect();
        if !own.is_empty() {
            let own: Vec<&str> = own.iter().take(12).map(|s| s.as_str()).collect();
            *m += &format!("\n    kernel log:\n      {}", own.join("\n      "));
        }
    }
    done
}

/// Runs the test in a child and waits for it.
fn child(case: &Case, fs: &str, ty: &str, dir: &Path, other: &Path, sizes: Sizes) -> R<Done> {
    let (run, timeout) = (case.run, sizes.timeout);
    let mut c = sys::spawn(|| {
        sys::new_group()?;
        std::env::set_current_dir(dir)?;
        let t = T::new(ty, fs, dir.into(), other.into(), sizes)?;
        run(&t)?;
        Ok(String::new())
    })?;
    let end = c.wait(timeout)?;
    let pid = c.pid();
    let done = match end {
        End::Ok(_) => Done::Pass,
        End::Skip(s) => Done::Skip(s),
        End::Err(_, m) => Done::Fail(m),
        End::Died(st) => Done::Fail(format!("the test process died (wait status {st:#x})")),
        End::Hung => {
            let mut m = format!("the test did not end in {timeout} s;");
            m += " what its processes wait for in the kernel:";
            m += &stacks(pid);
            sys::kill_group(pid);
            match c.wait(30)? {
                End::Hung => m += "\n(it cannot even be killed)",
                _ => m += "\n(it ended when killed)",
            }
            return Ok(Done::Alarm(m));
        }
    };
    sys::kill_group(pid);
    Ok(done)
}

/// The kernel stacks of all threads of all processes of a group.
fn stacks(group: i32) -> String {
    let mut s = String::new();
    for e in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(e.path().join("stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or("");
        if after.split_whitespace().nth(2) != Some(&group.to_string()) {
            continue;
        }
        for t in std::fs::read_dir(e.path().join("task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let mut st = std::fs::read_to_string(t.path().join("stack")).unwrap_or_default();
            if st.trim().is_empty() {
                st = std::fs::read_to_string(t.path().join("wchan")).unwrap_or_default();
            }
            s += &format!("\n  task {}\n{st}", t.file_name().to_string_lossy());
        }
    }
    s
}

/// Cleans up in a child, as an unmount may hang, too; returns what went wrong.
fn cleaned(dirs: &[&Path], timeout: u64) -> Option<String> {
    let job = || {
        sys::new_group()?;
        let mut trouble = Vec::new();
        dirs.iter().for_each(|d| clean(d, &mut trouble));
        Ok(trouble.join("\n"))
    };
    let end = sys::spawn(job).and_then(|mut c| Ok((c.pid(), c.wait(timeout)?)));
    match end {
        Ok((_, End::Ok(s))) if s.is_empty() => None,
        Ok((_, End::Ok(s) | End::Err(_, s) | End::Skip(s))) => Some(s),
        Ok((_, End::Died(st))) => Some(format!("cleaning up died (wait status {st:#x})")),
        Ok((pid, End::Hung)) => Some(format!(
            "unmounting or removing did not end in {timeout} s; it waits in the kernel:{}",
            stacks(pid)
        )),
        Err(e) => Some(format!("{e:#}")),
    }
}

/// Unmounts everything below a directory and removes it.
fn clean(dir: &Path, trouble: &mut Vec<String>) {
    for m in mounts_below(dir).unwrap_or_default() {
        if let Err(e) = mount::unmount(&m, UnmountFlags::empty()) {
            trouble.push(format!("unmount {}: {e}; it was detached", m.display()));
            let _ = mount::unmount(&m, UnmountFlags::DETACH);
        }
    }
    if std::fs::remove_dir_all(dir).is_ok() {
        return;
    }
    // Immutable and append-only objects are in the way.
    for e in walkdir::WalkDir::new(dir).into_iter().flatten() {
        if e.file_type().is_file() || e.file_type().is_dir() {
            if let Ok(f) = std::fs::File::open(e.path()) {
                if let Ok(v) = sys::getflags(&f) {
                    if v & 0x30 != 0 {
                        let _ = sys::setflags(&f, v & !0x30);
                    }
                }
            }
        }
    }
    if let Err(e) = std::fs::remove_dir_all(dir) {
        trouble.push(format!("cannot remove {}: {e}", dir.display()));
    }
}
