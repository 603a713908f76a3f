// SPDX-License-Identifier: GPL-2.0
//! `ovl-tests`: the tests of overlay_rs that run as root inside the VM, on the real kernel.
//!
//! Every test runs once for each (upper filesystem, overlay type) pair, under a name such as
//! `readdir/seekdir_survives::ext4::overlay_rs`. The kernel's own `overlay` is the oracle: a test
//! that it fails is marked so in the table, with the reason.
//!
//! Besides the usual arguments (a name filter, `--exact`, `--skip`, `--list`, ...):
//! `--fs ext4,xfs,tmpfs` chooses the upper filesystems, mounted at `/mnt/NAME`;
//! `--type overlay_rs,overlay` the filesystem types under test; `--scale N` the size of the big
//! tests, in percent; `--timeout N` after how many seconds a test counts as hung; `--times` lists
//! the slowest tests at the end; `--two-cpus` takes the tests whose processes race, and `--selinux`
//! those for a boot with SELinux, and no others; `--part 1/2` takes every second test, `--part 2/2`
//! the others;
//! `--storm N` runs the storms instead of the tests, N seconds each; `--features` and
//! `--features-doc` print the table of features, see [`features`].
//! The last line is `N passed, N failed, N skipped`.

mod check;
mod env;
mod f;
mod features;
mod kcore;
mod kinds;
mod kmsg;
mod runner;
mod suite;
mod sys;
mod tools;
mod tree;

fn main() -> std::process::ExitCode {
    runner::main()
}
