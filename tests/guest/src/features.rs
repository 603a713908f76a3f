// SPDX-License-Identifier: GPL-2.0
//! Which tests cover which feature of overlayfs.
//!
//! `ovl-tests --features RESULTS` prints the rows with the results of their tests on both modules.
//! RESULTS are lines `test NAME ... ok` as a run prints them; of two lines for a test the later one
//! counts. It fails if a row has no test, if a pattern stands for none, and unless each row's tests
//! have passed. `ovl-tests --features-doc` prints the table for the documentation.

mod table;

use std::collections::HashMap;
use std::process::ExitCode;

use crate::runner::Case;
use crate::suite;

/// The modules, as the names of tests end.
const MODULES: [&str; 2] = ["overlay_rs", "overlay"];

/// A feature.
pub struct Row {
    number: usize,
    title: &'static str,
    tests: &'static [&'static str],
    in_overlayfs: bool,
}

/// Whether the pattern stands for this test. Each star stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    true
}

impl Row {
    /// A feature that overlayfs has.
    const fn has(number: usize, title: &'static str, tests: &'static [&'static str]) -> Self {
        Self {
            number,
            title,
            tests,
            in_overlayfs: true,
        }
    }

    /// A feature that overlayfs lacks.
    const fn lacks(number: usize, title: &'static str, tests: &'static [&'static str]) -> Self {
        Self {
            number,
            title,
            tests,
            in_overlayfs: false,
        }
    }

    fn covers(&self, test: &str) -> bool {
        self.tests.iter().any(|p| matches(p, test))
    }

    fn cases(&self) -> Vec<&'static Case> {
        suite::all().filter(|c| self.covers(c.name)).collect()
    }

    /// What is wrong with the row itself.
    fn faults(&self) -> Vec<String> {
        let mut v: Vec<String> = self
            .tests
            .iter()
            .filter(|p| !suite::all().any(|c| matches(p, c.name)))
            .map(|p| format!("F{}: no test has a name like {p}", self.number))
            .collect();
        if self.tests.is_empty() {
            v.push(format!("F{}: no test", self.number));
        }
        v
    }
}

/// The rows that a test belongs to, as `F1, F2`.
pub fn rows_of(test: &str) -> String {
    let rows = table::ROWS.iter().filter(|r| r.covers(test));
    let rows: Vec<String> = rows.map(|r| format!("F{}", r.number)).collect();
    rows.join(", ")
}

/// The results of tests by their full names.
type Results = HashMap<String, Outcome>;

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

fn read_results(text: &str) -> Results {
    text.lines()
        .filter_map(|l| {
            let (name, result) = l.strip_prefix("test ")?.split_once(" ... ")?;
            let outcome = match result.split([',', ' ']).next()? {
                "ok" => Outcome::Passed,
                "FAILED" => Outcome::Failed,
                "ignored" => Outcome::Skipped,
                _ => return None,
            };
            Some((name.trim().to_string(), outcome))
        })
        .collect()
}

/// How the tests of a row went on one module.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: Vec<String>,
    skipped: usize,
    /// Tests of which the kernel's own overlay is known to fail.
    differs: usize,
}

impl Tally {
    fn of(row: &Row, module: &str, results: &Results) -> Self {
        let mut t = Self::default();
        for case in row.cases() {
            let of_case = |name: &str| {
                let mut parts = name.split("::");
                parts.next() == Some(case.name) && parts.nth(1) == Some(module)
            };
            if module == "overlay" && case.known_to_fail() {
                t.differs += 1;
            }
            for (name, outcome) in results.iter().filter(|(name, _)| of_case(name)) {
                match outcome {
                    Outcome::Passed => t.passed += 1,
                    Outcome::Skipped => t.skipped += 1,
                    Outcome::Failed => t.failed.push(name.clone()),
                }
            }
        }
        t.failed.sort();
        t
    }

    fn words(&self) -> String {
        let mut v = Vec::new();
        if !self.failed.is_empty() {
            v.push(format!("{} FAILED", self.failed.len()));
        }
        if self.passed > 0 {
            v.push(format!("{} ok", self.passed));
        }
        if self.skipped > 0 {
            v.push(format!("{} skipped", self.skipped));
        }
        if self.differs > 0 {
            v.push(format!("{} known to differ", self.differs));
        }
        if v.is_empty() {
            v.push("not run".into());
        }
        v.join(", ")
    }
}

/// Prints the rows with their results; returns what is wrong.
fn report(results: &Results) -> Vec<String> {
    let mut faults = numbering();
    if results.is_empty() {
        faults.push("no test has run here yet: `make test`".into());
    }
    for row in table::ROWS {
        faults.extend(row.faults());
        let [ours, theirs] = MODULES.map(|m| Tally::of(row, m, results));
        for name in ours.failed.iter().chain(&theirs.failed) {
            faults.push(format!("F{}: {name} failed", row.number));
        }
        if ours.passed == 0 && ours.failed.is_empty() && !results.is_empty() {
            let n = row.number;
            faults.push(format!("F{n}: nothing has passed on overlay_rs"));
        }
        let lacks = if row.in_overlayfs {
            ""
        } else {
            " (as overlayfs: no)"
        };
        println!("F{:<4} {}{lacks}", row.number, row.title);
        println!(
            "      overlay_rs: {}; overlay: {}",
            ours.words(),
            theirs.words()
        );
        println!("      {}", row.tests.join(" "));
    }
    let rest: Vec<&str> = suite::all()
        .map(|c| c.name)
        .filter(|name| rows_of(name).is_empty())
        .collect();
    if !rest.is_empty() {
        println!("\ntests that belong to no row: {}", rest.join(" "));
    }
    faults
}

/// The rows are numbered without a gap.
fn numbering() -> Vec<String> {
    let numbers = table::ROWS.iter().map(|r| r.number);
    let wrong = numbers.zip(1..).find(|(n, want)| n != want);
    wrong
        .map(|(n, want)| format!("row F{n} stands where F{want} should"))
        .into_iter()
        .collect()
}

/// The table for the documentation.
fn doc() {
    println!("# Features\n");
    println!("Every feature of overlayfs 7.3 and the tests that cover it, which run on overlay_rs and on the");
    println!("kernel's own overlay. `make features` prints the same table with the results of the last run of");
    println!("each test, and fails if a row has no test or one that failed. This file is made by it, too.\n");
    println!("| | feature | overlayfs | overlay_rs | tests |\n| --- | --- | --- | --- | --- |");
    for row in table::ROWS {
        let has = if row.in_overlayfs { "yes" } else { "no" };
        let tests: Vec<String> = row.tests.iter().map(|t| format!("`{t}`")).collect();
        let (number, title) = (row.number, row.title);
        println!(
            "| F{number} | {title} | {has} | {has} | {} |",
            tests.join(" ")
        );
    }
}

/// Does what the arguments ask for, if it is about features.
pub fn as_command(args: &[String]) -> Option<ExitCode> {
    let faults = match args {
        [command] if command == "--features-doc" => {
            doc();
            table::ROWS
                .iter()
                .flat_map(Row::faults)
                .chain(numbering())
                .collect()
        }
        [command, path] if command == "--features" => match std::fs::read_to_string(path) {
            Ok(text) => report(&read_results(&text)),
            Err(e) => vec![format!("{path}: {e}")],
        },
        _ => return None,
    };
    if args.len() == 2 {
        println!("\n{} rows, {} faults", table::ROWS.len(), faults.len());
    }
    for fault in &faults {
        eprintln!("ovl-tests: {fault}");
    }
    Some(ExitCode::from(u8::from(!faults.is_empty())))
}
