// SPDX-License-Identifier: GPL-2.0
//! The kernel log: what was written since a point in time, and whether it is a cause for alarm.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::check::R;
use anyhow::Context;

/// A reader of `/dev/kmsg` that starts at the moment it is made.
pub struct Kmsg {
    dev: File,
}

impl Kmsg {
    /// Opens the log at its end.
    pub fn at_end() -> R<Self> {
        let dev = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .context("open /dev/kmsg")?;
        rustix::fs::seek(&dev, rustix::fs::SeekFrom::End(0)).context("seek /dev/kmsg")?;
        Ok(Self { dev })
    }

    /// The messages written since the last call (or since the reader was made).
    pub fn since(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut buf = [0u8; 8192];
        loop {
            match self.dev.read(&mut buf) {
                Ok(0) => return lines,
                Ok(n) => {
                    let rec = String::from_utf8_lossy(&buf[..n]);
                    // "prio,seq,usec,flags;text\n key=value\n ..."
                    if let Some((_, text)) = rec.split_once(';') {
                        lines.push(text.lines().next().unwrap_or("").to_string());
                    }
                }
                // Records were overwritten before they were read: go on with the oldest one left.
                Err(e) if e.raw_os_error() == Some(libc::EPIPE) => {
                    lines.push("(kernel log overrun: messages were lost)".into());
                }
                Err(_) => return lines,
            }
        }
    }
}

/// What no test may leave in the log.
const ALARMS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG",
    "Oops",
    "KASAN",
    "UBSAN",
    "KCSAN",
    "KFENCE",
    "possible circular locking",
    "possible recursive locking",
    "possible irq lock inversion",
    "inconsistent lock state",
    "suspicious RCU usage",
    "held lock freed",
    "blocked for more than",
    "general protection fault",
    "unable to handle",
    "Unable to handle",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "VFS: Busy inodes",
    "sleeping function called",
    "unreferenced object",
    "rust_kernel: panicked",
    "panicked at",
    "Objects remaining",
    "stack guard page was hit",
    "soft lockup",
    "rcu_preempt detected stalls",
    "rcu: INFO:",
];

/// The log from the first alarming line on, or `None` if there is none.
pub fn alarm(lines: &[String]) -> Option<String> {
    let at = lines
        .iter()
        .position(|l| ALARMS.iter().any(|a| l.contains(a)))?;
    let end = lines.len().min(at + 80);
    Some(lines[at..end].join("\n"))
}
