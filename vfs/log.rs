// SPDX-License-Identifier: GPL-2.0

//! Log lines that a user can provoke: limited in rate, one budget per call site.
//!
//! Every line carries the module's name as prefix (`overlay_rs: `), as `pr_warn!` does.

use super::bindings;
use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// How many lines a call site may write in [`WINDOW`].
const BURST: i32 = 10;

/// Length of the window, in jiffies: five seconds.
const WINDOW: usize = 5 * bindings::HZ as usize;

/// The budget of one call site. Losing a race between two writers costs or saves one line.
pub(crate) struct Budget {
    begin: Atomic<usize>,
    used: Atomic<i32>,
}

impl Budget {
    /// A fresh budget.
    pub(crate) const fn new() -> Self {
        Self {
            begin: Atomic::new(0),
            used: Atomic::new(0),
        }
    }

    /// May one more line be written now?
    pub(crate) fn allows(&self) -> bool {
        let jiffies = &raw const bindings::jiffies;
        // SAFETY: a word that the timer interrupt advances (include/linux/jiffies.h); reading it
        // needs no lock.
        let now = unsafe { jiffies.read_volatile() };
        if now.wrapping_sub(self.begin.load(Relaxed)) > WINDOW {
            self.begin.store(now, Relaxed);
            self.used.store(0, Relaxed);
        }
        let used = self.used.load(Relaxed);
        if used >= BURST {
            return false;
        }
        self.used.store(used.wrapping_add(1), Relaxed);
        true
    }
}

/// `pr_warn!`, limited in rate.
macro_rules! warn_limited {
    ($($arg:tt)*) => {{
        static BUDGET: $crate::vfs::log::Budget = $crate::vfs::log::Budget::new();
        if BUDGET.allows() {
            ::kernel::pr_warn!($($arg)*);
        }
    }};
}
pub(crate) use warn_limited;

/// `pr_err!`, limited in rate.
macro_rules! err_limited {
    ($($arg:tt)*) => {{
        static BUDGET: $crate::vfs::log::Budget = $crate::vfs::log::Budget::new();
        if BUDGET.allows() {
            ::kernel::pr_err!($($arg)*);
        }
    }};
}
pub(crate) use err_limited;

/// A name from a disk or a user, printed with everything unprintable escaped.
pub(crate) struct Name<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;

        for &byte in self.0 {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}
