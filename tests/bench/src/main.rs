// SPDX-License-Identifier: GPL-2.0

//! What operations cost on overlay_rs, on the kernel's overlay and on the bare file system, and some
//! of them on fuse-overlayfs.
//!
//! `ovl-bench guest` runs as root in a VM whose clock counts instructions (qemu/bench.sh): there the
//! time that `rdtsc` tells *is* the number of instructions, so that medians repeat to the digit and
//! a comparison needs no statistics. `ovl-bench report` makes tables of what came out.

mod ops;
mod report;
mod sample;
mod stage;
mod sys;

use anyhow::{bail, Result};
use sample::Bench;
use stage::{Base, Side, Stage};

const USAGE: &str =
    "usage: ovl-bench guest [--base tmpfs,ext4] [--side bare,overlay,overlay_rs,fuse-overlayfs] [FILTER]
       ovl-bench report OUT-DIR RUN...   (each RUN a directory with results.tsv and locks.txt)
       ovl-bench profile SYMBOLS RUN";

/// The values of `--NAME a,b`, each made by `parse`; all of `default` if it is not given.
fn chosen<T: Copy>(
    args: &mut Vec<String>,
    name: &str,
    default: &[T],
    parse: fn(&str) -> Result<T>,
) -> Result<Vec<T>> {
    let Some(at) = args.iter().position(|arg| arg == name) else {
        return Ok(default.to_vec());
    };
    if at + 1 >= args.len() {
        bail!("{name} needs a value");
    }
    let value = args.remove(at + 1);
    args.remove(at);
    value.split(',').map(parse).collect()
}

fn guest(mut args: Vec<String>) -> Result<()> {
    let bases = chosen(&mut args, "--base", &[Base::Tmpfs, Base::Ext4], Base::parse)?;
    let sides = chosen(
        &mut args,
        "--side",
        &[Side::Bare, Side::Overlay, Side::OverlayRs, Side::Fuse],
        Side::parse,
    )?;
    let mut bench = Bench::new(args.first().cloned());
    // The program comes last: what it leaves in memory must not change the numbers of the others.
    let (program, kernel): (Vec<_>, Vec<_>) = sides.into_iter().partition(|&s| s == Side::Fuse);
    for sides in [kernel, program] {
        for &base in &bases {
            let wanted = ops::GROUPS.iter().filter(|group| bench.wants(group.name));
            for group in wanted.collect::<Vec<_>>() {
                for &side in sides.iter().filter(|&&side| group.is_for(base, side)) {
                    bench.begin(group.name, base, side);
                    let mut stage = Stage::new(base, side)?;
                    (group.run)(&mut bench, &mut stage)?;
                    stage.end()?;
                }
            }
        }
    }
    bench.end()
}

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        bail!("{USAGE}");
    }
    match args.remove(0).as_str() {
        "guest" => guest(args),
        "report" => report::report(&args),
        "profile" => report::profile(&args),
        _ => bail!("{USAGE}"),
    }
}
