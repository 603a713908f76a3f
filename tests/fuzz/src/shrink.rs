// SPDX-License-Identifier: GPL-2.0
//! Makes a failing case small: operations, layer entries, damage, options and users are left out as long
//! as the same kind of difference remains.

use std::time::{Duration, Instant};

use crate::case::Case;
use crate::execute::{run, Difference};

/// The smallest case found in the time given, and its difference.
pub fn shrink(case: &Case, d: &Difference, id: &str, seconds: u64) -> (Case, Difference) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut best = (case.clone(), d.clone());
    let try_it = |c: Case, best: &mut (Case, Difference)| {
        if Instant::now() > end {
            return false;
        }
        match run(&c, None, id, false).difference {
            Some(d) if d.kind == best.1.kind => {
                *best = (c, d);
                true
            }
            _ => false,
        }
    };
    loop {
        let size = |c: &Case| {
            c.ops.len()
                + c.entries.len()
                + c.damage.len()
                + c.rounds.iter().map(|r| 1 + r.len()).sum::<usize>()
                + c.options.len()
                + c.lowers
        };
        let was = size(&best.0);
        for part in 0..4 {
            let len = |c: &Case| match part {
                0 => c.ops.len(),
                1 => c.entries.len(),
                2 => c.damage.len(),
                _ => c.rounds.len(),
            };
            let mut chunk = len(&best.0).div_ceil(2).max(1);
            loop {
                // From the end: what comes last is seldom a condition of the rest.
                let mut at = len(&best.0);
                while at > 0 {
                    let from = at.saturating_sub(chunk);
                    let mut c = best.0.clone();
                    match part {
                        0 => drop(c.ops.drain(from..at)),
                        1 => drop(c.entries.drain(from..at)),
                        2 => drop(c.damage.drain(from..at)),
                        _ => drop(c.rounds.drain(from..at)),
                    }
                    try_it(c, &mut best);
                    at = from.min(len(&best.0));
                }
                if chunk == 1 {
                    break;
                }
                chunk = chunk.div_ceil(2);
            }
        }
        for i in (0..best.0.options.len()).rev() {
            let mut c = best.0.clone();
            c.options.remove(i);
            try_it(c, &mut best);
        }
        for i in 0..best.0.rounds.len() {
            for j in (0..best.0.rounds[i].len()).rev() {
                let mut c = best.0.clone();
                c.rounds[i].remove(j);
                try_it(c, &mut best);
            }
        }
        for i in 0..best.0.ops.len() {
            if best.0.ops[i].0 != 0 {
                let mut c = best.0.clone();
                c.ops[i].0 = 0;
                try_it(c, &mut best);
            }
        }
        for i in 0..best.0.entries.len() {
            let mut c = best.0.clone();
            let e = &mut c.entries[i];
            if !e.xattrs.is_empty() {
                e.xattrs.clear();
                try_it(c, &mut best);
            }
        }
        let used = best
            .0
            .entries
            .iter()
            .map(|e| e.layer)
            .max()
            .unwrap_or(1)
            .max(1);
        if used < best.0.lowers && best.0.damage.is_empty() && best.0.data_layers == 0 {
            let mut c = best.0.clone();
            c.lowers = used;
            try_it(c, &mut best);
        }
        if best.0.lower_fs != best.0.upper_fs {
            let mut c = best.0.clone();
            c.lower_fs = c.upper_fs.clone();
            try_it(c, &mut best);
        }
        if size(&best.0) == was || Instant::now() > end {
            return best;
        }
    }
}
