// SPDX-License-Identifier: GPL-2.0
//! Mount options: what is accepted, and what a user gets for each mistake: an errno and a line in
//! the kernel log.

/// The mount fails with this errno and a log line with these words.
macro_rules! refused {
    ($t:expr, $r:expr, $errno:ident, $words:expr) => {{
        check_err!($r, $errno);
        $t.expect_log(&$words)?;
        let at = $t.dir.to_string_lossy().into_owned();
        let left: Vec<_> = f::text("/proc/self/mountinfo")?
            .lines()
            .filter(|l| l.contains(&at) && l.contains(&format!(" - {} ", $t.ty)))
            .map(str::to_string)
            .collect();
        check!(left.is_empty(), "nothing is mounted: {left:?}");
    }};
}

pub mod layers;
pub mod mounted;
pub mod new_api;
pub mod overlap;
pub mod syntax;

use super::prelude::*;
