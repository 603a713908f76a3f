// SPDX-License-Identifier: GPL-2.0

//! Tables of what was measured.

use anyhow::{bail, Context, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

/// Medians of two boots that differ by more are not steady.
const STEADY: f64 = 0.01;

/// A smaller difference between two modules is none.
const EQUAL: f64 = 0.02;

/// One operation on one file system with one thing on top, as a boot measured it.
#[derive(Clone, Serialize)]
struct Measured {
    group: String,
    base: String,
    side: String,
    operation: String,
    samples: u64,
    median: u64,
    mean: u64,
    least: u64,
    most: u64,
    locked: Option<u64>,
}

impl Measured {
    fn parse(line: &str, locked: Option<u64>) -> Option<Self> {
        let mut field = line.split('\t');
        let mut text = || field.next().map(str::to_owned);
        let (group, base, side, operation) = (text()?, text()?, text()?, text()?);
        let mut number = || field.next()?.parse().ok();
        Some(Self {
            group,
            base,
            side,
            operation,
            samples: number()?,
            median: number()?,
            mean: number()?,
            least: number()?,
            most: number()?,
            locked,
        })
    }

    fn name(&self) -> String {
        format!(
            "{}/{} on {}, {}",
            self.group, self.operation, self.base, self.side
        )
    }
}

fn read_run(dir: &Path) -> Result<Vec<Measured>> {
    let text =
        fs::read_to_string(dir.join("results.tsv")).with_context(|| dir.display().to_string())?;
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("end\t") && !line.is_empty())
        .collect();
    let locked: Vec<u64> = fs::read_to_string(dir.join("locks.txt"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    // Both are in the order in which things happened.
    let has_locks = locked.len() == lines.len();
    let at = |i: usize| {
        if has_locks {
            locked.get(i).copied()
        } else {
            None
        }
    };
    let all: Option<Vec<_>> = lines
        .iter()
        .enumerate()
        .map(|(i, line)| Measured::parse(line, at(i)))
        .collect();
    all.with_context(|| format!("{}: a line is not a result", dir.display()))
}

/// A row of the table: an operation on a file system, with everything on top.
#[derive(Default)]
struct Row<'m> {
    bare: Option<&'m Measured>,
    overlay: Option<&'m Measured>,
    overlay_rs: Option<&'m Measured>,
    fuse: Option<&'m Measured>,
}

impl Row<'_> {
    fn ratio(of: Option<&Measured>, to: Option<&Measured>) -> Option<f64> {
        let (of, to) = (of?.median, to?.median);
        (to > 0).then(|| of as f64 / to as f64)
    }

    fn to_overlay(&self) -> Option<f64> {
        Self::ratio(self.overlay_rs, self.overlay)
    }

    fn to_bare(&self) -> Option<f64> {
        Self::ratio(self.overlay_rs, self.bare)
    }

    /// Of fuse-overlayfs to this module.
    fn of_fuse(&self) -> Option<f64> {
        Self::ratio(self.fuse.filter(|m| m.median > 0), self.overlay_rs)
    }
}

/// Rows in the order in which they were measured, by group and file system.
type Tables<'m> = Vec<((String, String), Vec<(String, Row<'m>)>)>;

fn tables(run: &[Measured]) -> Tables<'_> {
    let mut tables: Tables<'_> = Vec::new();
    for measured in run {
        let key = (measured.group.clone(), measured.base.clone());
        let at = tables
            .iter()
            .position(|(other, _)| *other == key)
            .unwrap_or_else(|| {
                tables.push((key, Vec::new()));
                tables.len() - 1
            });
        let rows = &mut tables[at].1;
        let at = rows
            .iter()
            .position(|(name, _)| *name == measured.operation)
            .unwrap_or_else(|| {
                rows.push((measured.operation.clone(), Row::default()));
                rows.len() - 1
            });
        let row = &mut rows[at].1;
        match measured.side.as_str() {
            "bare" => row.bare = Some(measured),
            "overlay" => row.overlay = Some(measured),
            "fuse-overlayfs" => row.fuse = Some(measured),
            _ => row.overlay_rs = Some(measured),
        }
    }
    tables
}

fn count(measured: Option<&Measured>) -> String {
    measured.map_or_else(String::new, |measured| measured.median.to_string())
}

fn locks(measured: Option<&Measured>) -> String {
    measured
        .and_then(|measured| measured.locked)
        .map_or_else(|| "-".to_owned(), |locked| locked.to_string())
}

fn times(ratio: Option<f64>) -> String {
    ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
}

/// The mean that is right for ratios.
fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len().max(1) as f64).exp()
}

fn markdown(tables: &Tables<'_>) -> Result<String> {
    let mut text = String::new();
    let ratios: Vec<f64> = tables
        .iter()
        .flat_map(|(_, rows)| rows)
        .filter_map(|(_, row)| row.to_overlay())
        .collect();
    if !ratios.is_empty() {
        let (faster, slower) = (
            ratios.iter().filter(|ratio| **ratio < 1.0 - EQUAL).count(),
            ratios.iter().filter(|ratio| **ratio > 1.0 + EQUAL).count(),
        );
        writeln!(
            text,
            "{} operations: overlay_rs executes at least {percent:.0} % fewer instructions than overlay in {faster}, at least {percent:.0} % \
             more in {slower}; the others are equal. Geometric mean of the ratios: {:.3}.\n",
            ratios.len(),
            geometric_mean(&ratios),
            percent = EQUAL * 100.0
        )?;
    }
    for ((group, base), rows) in tables {
        let ratios: Vec<f64> = rows
            .iter()
            .filter_map(|(_, row)| row.to_overlay())
            .collect();
        writeln!(text, "### {group} on {base}\n")?;
        if !ratios.is_empty() {
            writeln!(
                text,
                "Mean ratio to overlay: {:.3}.\n",
                geometric_mean(&ratios)
            )?;
        }
        writeln!(
            text,
            "| operation | bare | overlay | overlay_rs | to overlay | to bare | locked |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|--:|")?;
        for (name, row) in rows {
            let mark = if row.to_overlay().is_some_and(|ratio| ratio > 1.0 + EQUAL) {
                "**"
            } else {
                ""
            };
            writeln!(
                text,
                "| {name} | {} | {} | {} | {mark}{}{mark} | {} | {}/{}/{} |",
                count(row.bare),
                count(row.overlay),
                count(row.overlay_rs),
                times(row.to_overlay()),
                times(row.to_bare()),
                locks(row.bare),
                locks(row.overlay),
                locks(row.overlay_rs)
            )?;
        }
        writeln!(text)?;
    }
    text.push_str(&of_fuse(tables)?);
    Ok(text)
}

/// What was measured on fuse-overlayfs, too; nothing if that was left out.
fn of_fuse(tables: &Tables<'_>) -> Result<String> {
    let mut lines = String::new();
    for ((group, base), rows) in tables {
        for (name, row) in rows {
            if let Some(ratio) = row.of_fuse() {
                writeln!(
                    lines,
                    "| {group} on {base}: {name} | {} | {} | {} | {} | {ratio:.2} |",
                    count(row.bare),
                    count(row.overlay),
                    count(row.overlay_rs),
                    count(row.fuse)
                )?;
            }
        }
    }
    if lines.is_empty() {
        return Ok(lines);
    }
    Ok(format!(
        "### fuse-overlayfs\n\n\
         | operation | bare | overlay | overlay_rs | fuse-overlayfs | to overlay_rs |\n\
         |---|--:|--:|--:|--:|--:|\n\
         {lines}\n"
    ))
}

fn csv(run: &[Measured]) -> Result<String> {
    let mut text =
        String::from("group,base,side,operation,samples,median,mean,least,most,locked\n");
    for m in run {
        let locked = m
            .locked
            .map_or_else(String::new, |locked| locked.to_string());
        writeln!(
            text,
            "{},{},{},\"{}\",{},{},{},{},{},{locked}",
            m.group, m.base, m.side, m.operation, m.samples, m.median, m.mean, m.least, m.most
        )?;
    }
    Ok(text)
}

/// How far the medians of the boots are apart.
fn steadiness(runs: &[Vec<Measured>]) -> Result<String> {
    let mut medians: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for measured in runs.iter().flatten() {
        medians
            .entry(measured.name())
            .or_default()
            .push(measured.median);
    }
    let mut unsteady = Vec::new();
    for (name, of_boots) in &medians {
        let (least, most) = (
            of_boots.iter().min().copied().unwrap_or(0),
            of_boots.iter().max().copied().unwrap_or(0),
        );
        let apart = (most - least) as f64 / least.max(1) as f64;
        if apart > STEADY {
            unsteady.push(format!("{name}: {of_boots:?}"));
        }
    }
    let steady = medians.len() - unsteady.len();
    let mut text = String::new();
    writeln!(
        text,
        "{} boots: {steady} of {} medians ({:.1} %) agree within {:.0} %.",
        runs.len(),
        medians.len(),
        100.0 * steady as f64 / medians.len().max(1) as f64,
        STEADY * 100.0
    )?;
    for line in unsteady {
        writeln!(text, "- {line}")?;
    }
    Ok(text)
}

/// Makes the tables: `OUT-DIR RUN...`.
pub fn report(args: &[String]) -> Result<()> {
    let Some((out, dirs)) = args.split_first().filter(|(_, dirs)| !dirs.is_empty()) else {
        bail!("report: OUT-DIR RUN...");
    };
    let out = Path::new(out);
    let runs: Vec<Vec<Measured>> = dirs
        .iter()
        .map(|dir| read_run(Path::new(dir)))
        .collect::<Result<_>>()?;
    let Some(first) = runs.first() else {
        bail!("report: nothing was measured");
    };
    let mut text = markdown(&tables(first))?;
    if runs.len() > 1 {
        text.push_str("### Steadiness\n\n");
        text.push_str(&steadiness(&runs)?);
    }
    print!("{text}");
    fs::write(out.join("table.md"), text)?;
    fs::write(out.join("results.csv"), csv(first)?)?;
    fs::write(
        out.join("results.json"),
        serde_json::to_string_pretty(first)?,
    )?;
    Ok(())
}

/// What the kernel calls its functions, by address.
fn symbols(path: &Path) -> Result<BTreeMap<u64, String>> {
    let mut symbols = BTreeMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let mut field = line.split_whitespace();
        let (Some(Ok(address)), Some(_), Some(name)) = (
            field.next().map(|hex| u64::from_str_radix(hex, 16)),
            field.next(),
            field.next(),
        ) else {
            continue;
        };
        symbols.insert(address, format!("{name} {}", field.next().unwrap_or("")));
    }
    Ok(symbols)
}

/// Adds a profile up by function: instructions, and how often the function was entered.
fn by_function<'s>(
    symbols: &'s BTreeMap<u64, String>,
    profile: &str,
) -> Result<Vec<(&'s str, u64, u64)>> {
    let mut functions: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for line in profile.lines().skip(1) {
        let mut field = line.split_whitespace();
        let (Some(address), Some(insns), Some(runs)) = (field.next(), field.next(), field.next())
        else {
            continue;
        };
        let (address, insns, runs) = (
            u64::from_str_radix(address, 16)?,
            insns.parse::<u64>()?,
            runs.parse::<u64>()?,
        );
        let (start, name) = match symbols.range(..=address).next_back() {
            Some((start, name)) if address >= 1 << 63 => (*start, name.as_str()),
            _ => (0, "(user)"),
        };
        let function = functions.entry(name).or_default();
        function.0 += insns * runs;
        if address == start {
            function.1 += runs;
        }
    }
    let mut sorted: Vec<_> = functions
        .into_iter()
        .map(|(name, (insns, calls))| (name, insns, calls))
        .collect();
    sorted.sort_by_key(|(_, insns, _)| std::cmp::Reverse(*insns));
    Ok(sorted)
}

/// Prints where the instructions of each operation went: `SYMBOLS RUN`.
pub fn profile(args: &[String]) -> Result<()> {
    let [of_kernel, dir] = args else {
        bail!("profile: SYMBOLS RUN");
    };
    let symbols = symbols(Path::new(of_kernel))?;
    for (i, measured) in read_run(Path::new(dir))?.iter().enumerate() {
        let profile = fs::read_to_string(Path::new(dir).join(format!("locks.txt.{}", i + 1)))?;
        let functions = by_function(&symbols, &profile)?;
        let per = |total: u64| total as f64 / measured.samples.max(1) as f64;
        let all: u64 = functions.iter().map(|(_, insns, _)| insns).sum();
        println!("== {}: {:.0}", measured.name(), per(all));
        for (name, insns, calls) in functions.iter().take(80) {
            println!("{:10.1} {:8.2} {name}", per(*insns), per(*calls));
        }
    }
    Ok(())
}
