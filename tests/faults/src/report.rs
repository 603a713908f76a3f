// SPDX-License-Identifier: GPL-2.0
//! What a campaign has done and found.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fuzz::kmsg::Log;

use crate::scenario::{Scenario, SCENARIOS};
use crate::Args;

pub struct Report {
    campaign: &'static str,
    unit: &'static str,
    first: u64,
    last: u64,
    pub points: u64,
    findings: u64,
    /// How often each result was seen, by type.
    results: BTreeMap<String, BTreeMap<String, u64>>,
    log: Log,
    end: Instant,
    told: Instant,
}

impl Report {
    pub fn new(campaign: &'static str, unit: &'static str, a: &Args) -> Self {
        let now = Instant::now();
        Self {
            campaign,
            unit,
            first: a.seed,
            last: a.seed.saturating_sub(1),
            points: 0,
            findings: 0,
            results: BTreeMap::new(),
            log: Log::watch(),
            end: now + Duration::from_secs(a.seconds),
            told: now,
        }
    }

    /// The next seed, its scenario, and how often all scenarios were through before; `None` when
    /// the time is over.
    pub fn next(&mut self, a: &Args) -> Option<(u64, &'static Scenario, u64)> {
        loop {
            if Instant::now() > self.end {
                return None;
            }
            self.last += 1;
            let n = SCENARIOS.len() as u64;
            let s = &SCENARIOS[((self.last - 1) % n) as usize];
            let chosen = |o: &String| {
                o.split(',').any(|o| match o.strip_prefix('=') {
                    Some(name) => s.name == name,
                    None => s.name.contains(o),
                })
            };
            let round = (self.last - 1) / n;
            if a.only.as_ref().is_none_or(chosen)
                && a.rounds.as_ref().is_none_or(|r| r.contains(&round))
            {
                return Some((self.last, s, round));
            }
            if (a.only.is_some() || a.rounds.is_some()) && self.last > a.seed + 20 * n {
                return None;
            }
        }
    }

    /// The seed was not finished; the next run has to begin with it.
    pub fn unfinished(&mut self) {
        self.last -= 1;
    }

    pub fn is_over(&self) -> bool {
        Instant::now() > self.end
    }

    /// A point was run, with this result.
    pub fn point(&mut self, ty: &str, result: &str) {
        self.points += 1;
        let of = self.results.entry(ty.into()).or_default();
        *of.entry(result.into()).or_default() += 1;
        if self.told.elapsed() > Duration::from_secs(30) {
            self.told = Instant::now();
            self.tell();
        }
    }

    /// Something is wrong.
    pub fn finding(&mut self, what: &str) {
        self.findings += 1;
        println!("FINDING: {what}");
    }

    /// The kernel said that something is wrong.
    pub fn check_log(&mut self, at: &str) {
        if let Some(line) = self.log.alarm() {
            self.finding(&format!("{at}: kernel log: {line}"));
        }
    }

    fn tell(&self) {
        println!(
            "ledger: {} {} {} {} {} {}",
            self.campaign,
            self.first,
            self.last.max(self.first),
            self.points,
            self.unit,
            self.findings
        );
    }

    pub fn end(self) -> ExitCode {
        for (ty, r) in &self.results {
            let r: Vec<String> = r.iter().map(|(k, n)| format!("{k} {n}")).collect();
            println!("results on {ty}: {}", r.join(", "));
        }
        self.tell();
        println!(
            "{} passed, {} failed, 0 skipped",
            self.points.saturating_sub(self.findings),
            self.findings
        );
        ExitCode::from(u8::from(self.findings != 0 || self.points == 0))
    }
}
