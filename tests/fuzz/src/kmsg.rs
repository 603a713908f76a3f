// SPDX-License-Identifier: GPL-2.0
//! The kernel log, watched for what the kernel says only when something is wrong.

use crate::sys;

const ALARMS: &[&str] = &[
    "BUG:",
    "WARNING:",
    "Oops",
    "KASAN",
    "UBSAN",
    "refcount_t",
    "list_add corruption",
    "Call Trace",
    "possible circular",
    "blocked for more",
    "unsafe precondition",
];

/// The kernel log from now on.
pub struct Log(i32);

impl Log {
    pub fn watch() -> Self {
        let fd =
            sys::open(b"/dev/kmsg", libc::O_RDONLY | libc::O_NONBLOCK, 0).map_or(-1, |f| f as i32);
        let _ = sys::lseek(fd, 0, libc::SEEK_END);
        Log(fd)
    }

    /// The first alarm since the last call.
    pub fn alarm(&self) -> Option<String> {
        let mut b = vec![0u8; 8192];
        let mut found = None;
        loop {
            match sys::read(self.0, &mut b, None) {
                Ok(n) => {
                    let line = String::from_utf8_lossy(&b[..n as usize]).into_owned();
                    if found.is_none() && ALARMS.iter().any(|a| line.contains(a)) {
                        found = Some(line);
                    }
                }
                // Lines were overwritten before they were read: the next one is still there.
                Err(libc::EPIPE) => {}
                Err(_) => return found,
            }
        }
    }
}
