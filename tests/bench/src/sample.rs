// SPDX-License-Identifier: GPL-2.0

//! One operation after the other, counted.
//!
//! Around each there are two no-ops that mean something to the plugin that counts locked
//! instructions (tests/bench/plugin); to the processor they are no-ops.

use crate::{
    stage::{Base, Side},
    sys,
};
use anyhow::{bail, Result};
use std::{
    arch::asm,
    io,
    panic::{catch_unwind, AssertUnwindSafe},
};

/// The number of instructions so far, in a VM where each takes a nanosecond.
fn now() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a register.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// A long no-op with the number `$n` in it.
macro_rules! mark {
    ($n:literal) => {
        // SAFETY: a no-op; the address that it names is not used.
        unsafe {
            asm!(
                concat!(".byte 0x0f, 0x1f, 0x80, ", $n, ", 0x00, 0xbe, 0x5e"),
                options(nostack)
            )
        }
    };
}

/// Who runs the operations, and prints a line for each.
pub struct Bench {
    filter: Option<String>,
    group: &'static str,
    base: Base,
    side: Side,
    lines: usize,
    failed: Vec<String>,
}

impl Bench {
    /// `filter`: only operations whose `group/name` contains it.
    pub fn new(filter: Option<String>) -> Self {
        Self {
            filter,
            group: "",
            base: Base::Tmpfs,
            side: Side::Bare,
            lines: 0,
            failed: Vec::new(),
        }
    }

    /// Whether the group may have operations that are wanted.
    pub fn wants(&self, group: &str) -> bool {
        match self
            .filter
            .as_deref()
            .map(|filter| filter.split_once('/').unwrap_or((filter, "")))
        {
            Some((of_group, _)) => group.contains(of_group),
            None => true,
        }
    }

    /// What follows is of this group.
    pub fn begin(&mut self, group: &'static str, base: Base, side: Side) {
        (self.group, self.base, self.side) = (group, base, side);
        eprintln!("bench: {group} on {base}, {side}");
    }

    /// Runs an operation `n` times and counts each. The argument is the number of the run.
    pub fn op(
        &mut self,
        name: &str,
        n: usize,
        f: impl FnMut(usize) -> io::Result<()>,
    ) -> Result<()> {
        self.op_after(name, n, |_| Ok(()), f)
    }

    /// As [`Self::op`], for one whose first runs are different: they are made, but not counted.
    pub fn warm(
        &mut self,
        name: &str,
        n: usize,
        mut f: impl FnMut() -> io::Result<()>,
    ) -> Result<()> {
        for _ in 0..5 {
            if let Err(error) = f() {
                self.fail(name, &error);
                return Ok(());
            }
        }
        self.op(name, n, |_| f())
    }

    /// As [`Self::op`]; before each, `prepare` is called, which is not counted.
    pub fn op_after(
        &mut self,
        name: &str,
        n: usize,
        mut prepare: impl FnMut(usize) -> io::Result<()>,
        mut f: impl FnMut(usize) -> io::Result<()>,
    ) -> Result<()> {
        if self.filter.as_ref().is_some_and(|filter| {
            filter.contains('/') && !format!("{}/{name}", self.group).contains(filter.as_str())
        }) {
            // What comes later may need it to have happened.
            for i in 0..n {
                let _ = prepare(i).and_then(|()| f(i));
            }
            return Ok(());
        }
        let mut samples = Vec::with_capacity(n);
        for i in 0..n {
            let result = catch_unwind(AssertUnwindSafe(|| {
                prepare(i)?;
                mark!("0x01");
                let start = now();
                let result = f(i);
                let end = now();
                mark!("0x02");
                result.map(|()| end.wrapping_sub(start))
            }));
            match result.unwrap_or_else(|_| Err(io::Error::other("panicked"))) {
                Ok(sample) => samples.push(sample),
                Err(error) => {
                    self.fail(name, &error);
                    break;
                }
            }
        }
        mark!("0x03");
        self.print(name, &mut samples);
        Ok(())
    }

    fn fail(&mut self, name: &str, error: &io::Error) {
        eprintln!(
            "bench: {}/{name} on {}, {}: {error}",
            self.group, self.base, self.side
        );
        // fuse-overlayfs has not everything.
        if self.side == Side::Fuse {
            return;
        }
        self.failed.push(format!("{}/{name}", self.group));
    }

    fn print(&mut self, name: &str, samples: &mut [u64]) {
        samples.sort_unstable();
        let n = samples.len().max(1);
        let at = |i: usize| samples.get(i).copied().unwrap_or(0);
        let mean = samples.iter().sum::<u64>() / n as u64;
        println!(
            "{}\t{}\t{}\t{name}\t{}\t{}\t{mean}\t{}\t{}",
            self.group,
            self.base,
            self.side,
            samples.len(),
            at(n / 2),
            at(0),
            at(n - 1)
        );
        self.lines += 1;
    }

    /// All is done.
    pub fn end(self) -> Result<()> {
        sys::settle();
        println!("end\t{}", self.lines);
        if !self.failed.is_empty() {
            bail!("failed: {}", self.failed.join(", "));
        }
        Ok(())
    }
}
