// SPDX-License-Identifier: GPL-2.0
//! The differential fuzzer, in small: the cases that once differed, and a few random ones. The
//! whole of it is `make fuzz`.

use super::prelude::*;
use std::process::Command;

cases! { "differential";
    cases_that_once_differed
        .rs_only("each case runs on both modules")
        .only_fs(&["tmpfs"], "the cases say which file systems they are for");
    random_cases
        .rs_only("each case runs on both modules");
}

/// Runs the fuzzer that was built with this program; it is beside it.
fn fuzz(args: &[&str]) -> R<String> {
    let exe = f::ctx(std::env::current_exe(), "current_exe", "")?;
    let fuzz = exe.with_file_name("ovl-fuzz");
    let out = f::ctx(Command::new(&fuzz).args(args).output(), "run", &fuzz)?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    check!(
        out.status.success(),
        "the modules differ ({}):\n{text}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(text)
}

/// Whether its last line counts this many cases or more that were compared.
fn compared(text: &str, least: u64) -> R {
    let last = text.lines().last().unwrap_or_default();
    let passed = last.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    check!(passed.is_some_and(|n| n >= least), "{text}");
    Ok(())
}

fn cases_that_once_differed(_: &T) -> R {
    let exe = f::ctx(std::env::current_exe(), "current_exe", "")?;
    let corpus = exe.with_file_name("corpus");
    let cases = f::ls(&corpus)?;
    check!(!cases.is_empty(), "{} is empty", corpus.display());
    let text = fuzz(&["--replay", &corpus.to_string_lossy()])?;
    compared(&text, cases.len() as u64)
}

fn random_cases(t: &T) -> R {
    let n = t.scaled(20, 2).to_string();
    let args = [
        "--seed",
        "1",
        "--seconds",
        "600",
        "--cases",
        &n,
        "--lower-fs",
        "tmpfs",
    ];
    let text = fuzz(&[&args[..], &["--fs", &t.fs, "--shrink", "5"]].concat())?;
    compared(&text, 1)
}
