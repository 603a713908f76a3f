// SPDX-License-Identifier: GPL-2.0
//! `ovl-faults`: what overlay_rs does when something fails underneath it.
//!
//! ```text
//! ovl-faults nth    [--type T] one allocation after the other fails (needs a kernel with failslab)
//! ovl-faults errors [--type T] full and read-only file systems, tasks that are killed
//! ovl-faults eio    [--type T] blocks of the lower disk that cannot be read
//! ovl-faults io     [--type T] the disk below refuses one request after the other
//! ovl-faults quota  [--type T] the caller, the mounter or the project may have no more
//! ovl-faults signals [--type T] a signal at one request to the disk after the other
//! ovl-faults crash  [--fs F]   the upper as a crash would have left it, at every flush of the disk
//!     --seed N      the first scenario        --seconds N   how long
//!     --only A,=B   only such scenarios       --rounds 0,1  only such rounds
//!     --every N     only every n-th step of io and signals, limit of quota
//!     --trace       every point
//! ```
//! Each works through the scenarios of `scenario.rs`; a seed is a number of one, counted on through
//! the variants. After each fault the object is as before the operation or as after it, the same
//! operation then succeeds, and what is in the layers is the same for the kernel's own overlay.
//! Lines `ledger: CAMPAIGN FIRST LAST COUNT UNIT FINDINGS` are for qemu/ledger.sh; the last line is
//! `N passed, N failed, N skipped`, in points.

mod crash;
mod disk;
mod eio;
mod errors;
mod io;
mod lab;
mod nth;
mod quota;
mod report;
mod scenario;
mod signals;
mod sys;

use std::process::ExitCode;

use report::Report;

const WHICH: &str = "nth, errors, eio, io, quota, signals or crash?";

/// What was asked for on the command line.
pub struct Args {
    pub seed: u64,
    pub seconds: u64,
    pub types: Vec<String>,
    pub fs: Vec<String>,
    pub only: Option<String>,
    pub rounds: Option<Vec<u64>>,
    pub every: usize,
    pub trace: bool,
}

fn args() -> Result<(String, Args), String> {
    let mut it = std::env::args().skip(1);
    let command = it.next().ok_or(WHICH)?;
    let list = |s: String| s.split(',').map(str::to_string).collect::<Vec<_>>();
    let mut a = Args {
        seed: 1,
        seconds: 60,
        types: list("overlay_rs".into()),
        fs: list("ext4,xfs".into()),
        only: None,
        rounds: None,
        every: 1,
        trace: false,
    };
    while let Some(k) = it.next() {
        let mut val = || it.next().ok_or(format!("{k} needs a value"));
        let num = |s: String| s.parse::<u64>().map_err(|e| format!("{k} {s}: {e}"));
        match k.as_str() {
            "--seed" => a.seed = num(val()?)?.max(1),
            "--seconds" => a.seconds = num(val()?)?,
            "--type" => a.types = list(val()?),
            "--fs" => a.fs = list(val()?),
            "--only" => a.only = Some(val()?),
            "--rounds" => {
                let all = val()?;
                a.rounds = Some(
                    all.split(',')
                        .map(|s| num(s.into()))
                        .collect::<Result<_, _>>()?,
                );
            }
            "--every" => a.every = num(val()?)?.max(1) as usize,
            "--trace" => a.trace = true,
            _ => return Err(format!("unknown argument {k}")),
        }
    }
    Ok((command, a))
}

fn main() -> ExitCode {
    let run = || -> Result<Report, String> {
        let (command, a) = args()?;
        match command.as_str() {
            "nth" => nth::run(&a),
            "errors" => errors::run(&a),
            "eio" => eio::run(&a),
            "io" => io::run(&a),
            "quota" => quota::run(&a),
            "signals" => signals::run(&a),
            "crash" => crash::run(&a),
            _ => Err(WHICH.into()),
        }
    };
    match run() {
        Ok(r) => r.end(),
        Err(e) => {
            eprintln!("ovl-faults: {e}");
            ExitCode::from(2)
        }
    }
}
