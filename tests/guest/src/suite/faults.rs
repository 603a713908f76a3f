// SPDX-License-Identifier: GPL-2.0
//! The faults of `make faults`, in small: a disk that refuses one request after the other, owners
//! that may have no more, and signals at each step, for a few operations.

use super::prelude::*;
use std::process::Command;

cases! { "faults";
    disk_refuses_a_request.rs_only(BOTH).only_fs(DISKS, NO_DISK);
    owner_may_have_no_more.rs_only(BOTH).only_fs(DISKS, NO_DISK);
    signal_at_each_step.rs_only(BOTH).only_fs(DISKS, NO_DISK);
    signal_while_another_copies_up.rs_only(BOTH).only_fs(DISKS, NO_DISK);
}

const BOTH: &str = "each case runs on both modules";
const DISKS: &[&str] = &["ext4", "xfs"];
const NO_DISK: &str = "it has no disk, or no quotas for all";

/// Runs some operations of a campaign with the program that was built with this one.
fn campaign(t: &T, name: &str, only: &str, rounds: &str, least: u64) -> R {
    let exe = f::ctx(std::env::current_exe(), "current_exe", "")?;
    let faults = exe.with_file_name("ovl-faults");
    let mut c = Command::new(&faults);
    c.args([name, "--type", "overlay,overlay_rs", "--seconds", "600"]);
    c.args(["--fs", &t.fs, "--only", only, "--rounds", rounds]);
    // Of the steps and limits, some.
    c.args(["--every", "5"]);
    let out = f::ctx(c.output(), "run", &faults)?;
    let text = String::from_utf8_lossy(&out.stdout);
    let said = String::from_utf8_lossy(&out.stderr);
    check!(out.status.success(), "{}:\n{text}{said}", out.status);
    let last = text.lines().last().unwrap_or_default();
    let passed = last.split(' ').next().and_then(|n| n.parse::<u64>().ok());
    check!(passed.is_some_and(|n| n >= least), "{text}{said}");
    Ok(())
}

fn disk_refuses_a_request(t: &T) -> R {
    campaign(t, "io", "=rename-lower", "0", 10)
}

fn owner_may_have_no_more(t: &T) -> R {
    campaign(
        t,
        "quota",
        "=rename-lower,=create-over-whiteout",
        "0,1,2",
        10,
    )
}

fn signal_at_each_step(t: &T) -> R {
    campaign(t, "signals", "=rename-lower", "0", 10)
}

fn signal_while_another_copies_up(t: &T) -> R {
    campaign(t, "signals", "=open-truncate", "3", 6)
}
