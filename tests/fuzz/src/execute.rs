// SPDX-License-Identifier: GPL-2.0
//! Runs a case on both types, step by step, and compares.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::accepted::{self, accepted, refused, without_broken};
use crate::case::{Case, Op};
use crate::damage;
use crate::generate::Plan;
use crate::layers::{Side, PLAIN};
use crate::runner::{other, unit, Runner};
use crate::snapshot::{differences, fold, take, Tree, What};
use crate::sys;

/// Where the two differ.
#[derive(Clone, Debug)]
pub struct Difference {
    /// What kind it is: shrinking keeps to it.
    pub kind: String,
    pub text: String,
}

/// What came of a case.
#[derive(Default)]
pub struct Outcome {
    pub difference: Option<Difference>,
    /// Results and tree lines compared.
    pub compared: u64,
    /// Operations that succeeded.
    pub succeeded: u64,
    /// Mounts of each type, also those that were refused.
    pub mounts: u64,
    /// The first one was not refused.
    pub mounted: bool,
    /// Not comparable, for this reason.
    pub skipped: Option<String>,
    /// What was done, by whom.
    pub ops: Vec<(u8, Op)>,
    /// How the operations ended: `ok`, or an errno.
    pub ends: BTreeMap<String, u64>,
    /// Where the time went, in microseconds.
    pub spent: BTreeMap<&'static str, u64>,
    lap: Option<Instant>,
}

impl Outcome {
    /// What was done since the last call was this.
    fn lap(&mut self, what: &'static str) {
        let now = Instant::now();
        if let Some(then) = self.lap.replace(now) {
            *self.spent.entry(what).or_default() += (now - then).as_micros() as u64;
        }
    }
}

fn short(s: &str) -> String {
    // Of a result, what tells its kind: the errno, or that there is none.
    match s.split(' ').next() {
        Some(w) if w.len() < 5 && w.starts_with('E') => w.into(),
        _ => "ok".into(),
    }
}

/// Runs a case: the operations of the plan, or else its own. With `trace`, every operation and its
/// results are printed.
pub fn run(case: &Case, plan: Option<&mut Plan>, id: &str, trace: bool) -> Outcome {
    let mut out = Outcome::default();
    let sides = [
        Side::new(case, &format!("{id}a"), "overlay"),
        Side::new(case, &format!("{id}b"), "overlay_rs"),
    ];
    let mut rs = sides.map(|side| Runner::new(case, side));
    sys::umask(0o022).ok();
    out.lap("");
    let mut plain = case
        .plain
        .then(|| Runner::new(case, Side::new(case, &format!("{id}p"), PLAIN)));
    compare(case, plan, &mut rs, plain.as_mut(), &mut out, trace);
    out.lap("mounting crosswise");
    for r in rs.iter_mut().chain(&mut plain) {
        r.close_all();
        r.side.remove();
    }
    out.lap("removing");
    out
}

fn trees(out: &mut Outcome, kind: &str, a: &Tree, b: &Tree, who: [&str; 2]) -> bool {
    out.compared += a.len() as u64;
    let d = differences(a, b, who);
    if d.is_empty() {
        return true;
    }
    let text = d
        .iter()
        .take(6)
        .map(|l| format!("    {l}"))
        .collect::<Vec<_>>()
        .join("\n");
    out.difference = Some(Difference {
        kind: kind.into(),
        text: format!("{kind}: {} differences\n{text}", d.len()),
    });
    false
}

fn compare(
    case: &Case,
    mut plan: Option<&mut Plan>,
    rs: &mut [Runner<'_>; 2],
    mut plain: Option<&mut Runner<'_>>,
    out: &mut Outcome,
    trace: bool,
) {
    let fail = |kind: &str, text: String| {
        Some(Difference {
            kind: kind.into(),
            text,
        })
    };
    for r in rs.iter().chain(plain.as_deref()) {
        if let Err(e) = r.side.make(case) {
            out.skipped = Some(e);
            return;
        }
        if !case.damage.is_empty() {
            damage::apply(&r.side, case);
        }
    }
    let lowers = |r: &Runner<'_>| {
        (1..=case.lowers)
            .map(|n| take(&r.side.layer(n), What::Raw, i64::MAX))
            .collect::<Vec<_>>()
    };
    out.lap("making layers");
    // The two are made alike: one tells what both were.
    let before = lowers(&rs[0]);
    out.lap("trees");
    // From here on, a time is `now`.
    let start = sys::now();
    for r in rs.iter_mut() {
        r.start = start;
    }
    let m: Vec<String> = rs
        .iter_mut()
        .map(|r| {
            let ty = r.side.ty.clone();
            unit(r.side.mount(case, &ty, 0))
        })
        .collect();
    if trace {
        println!("mount {:?}: {m:?}", case.options);
    }
    out.compared += 1;
    out.mounts += 1;
    if m[0] != m[1] && !refused(case, &m) {
        out.difference = fail(
            "mount",
            format!(
                "mount {:?}: overlay {}, overlay_rs {}",
                case.options, m[0], m[1]
            ),
        );
        return;
    }
    if m[0] != "ok" {
        return;
    }
    out.mounted = true;
    if let Some(p) = &mut plain {
        p.start = start;
        if let Err(e) = p.side.mount(case, PLAIN, 0) {
            out.skipped = Some(format!("binding: errno {e}"));
            return;
        }
    }
    out.lap("mounting");
    for i in 0.. {
        let next = match &mut plan {
            Some(p) => p.next_op(),
            None => case.ops.get(i).cloned(),
        };
        let Some((who, op)) = next else { break };
        out.ops.push((who, op.clone()));
        let op = &op;
        out.mounts += u64::from(matches!(op, Op::Remount | Op::Swap));
        let a = rs[0].run(who, op);
        let b = rs[1].run(who, op);
        if trace {
            println!(
                "{i:4} {who} {op:?}\n        {a}{}",
                if a == b {
                    String::new()
                } else {
                    format!("\n     != {b}")
                }
            );
        }
        out.lap(match op {
            Op::Remount | Op::Swap | Op::Stack => "mounting again",
            Op::DropCaches => "dropping caches",
            Op::Sync | Op::Fsync { .. } => "syncing",
            Op::Crowd { .. } => "crowds",
            _ => "operations",
        });
        out.compared += 1;
        let end = short(&a);
        out.succeeded += u64::from(end == "ok");
        if let Some(p) = &mut plan {
            p.learn(op, end == "ok");
        }
        *out.ends.entry(end).or_default() += 1;
        if a != b && !accepted(rs, op) {
            let kind = format!("{}:{}:{}", op.name(), short(&a), short(&b));
            out.difference = fail(
                &kind,
                format!(
                    "operation {i} by user {who}: {op:?}\n    {:11} {a}\n    {:11} {b}",
                    rs[0].side.ty, rs[1].side.ty
                ),
            );
            return;
        }
        if let Some(p) = &mut plain {
            let c = p.run(who, op);
            let (b, c) = [&b, &c].map(|t| accepted::plain(Some(op), t)).into();
            out.compared += 1;
            if b != c && !accepted::only_bare(p, op) {
                out.difference = fail(
                    &format!("{}:{}:{} without overlay", op.name(), short(&b), short(&c)),
                    format!(
                        "operation {i} by user {who}: {op:?}\n    both        {b}\n    neither     {c}"
                    ),
                );
                return;
            }
        }
        if !rs.iter().all(|r| r.side.mounted) {
            return;
        }
    }
    sys::umask(0o022).ok();
    for r in rs.iter_mut() {
        r.close_all();
    }
    let types = [0, 1].map(|i| {
        if rs[i].side.ty == "overlay" {
            "overlay"
        } else {
            "overlay_rs"
        }
    });
    let merged = [0, 1].map(|i| take(&rs[i].side.mnt, What::Merged, start));
    if merged[0] != merged[1] {
        let ours = usize::from(types[1] == "overlay_rs");
        accepted::look_at_all(&rs[ours].side.mnt, &rs[1 - ours].side.mnt);
    }
    let merged = without_broken(merged, types);
    if !trees(out, "merged tree", &merged[0], &merged[1], types) {
        return;
    }
    if let Some(p) = &mut plain {
        p.close_all();
        let alone = [&merged[0], &take(&p.side.mnt, What::Merged, start)].map(|t| {
            t.iter()
                .map(|(k, l)| (k.clone(), accepted::plain(None, l)))
                .collect::<Tree>()
        });
        if !trees(
            out,
            "tree without overlay",
            &alone[0],
            &alone[1],
            [types[0], PLAIN],
        ) {
            return;
        }
    }
    // Only where the layers were made to lead there.
    if !case.damage.is_empty() && !no_secret(&merged, types, out) {
        return;
    }
    out.lap("trees");
    let u = [0, 1].map(|i| unit(rs[i].side.umount()));
    out.lap("unmounting");
    if u[0] != u[1] {
        out.difference = fail(
            "umount",
            format!("umount: {} {}, {} {}", types[0], u[0], types[1], u[1]),
        );
        return;
    }
    let upper = [0, 1].map(|i| take(&rs[i].side.layer(0), What::Raw, start));
    if !trees(out, "upper on disk", &upper[0], &upper[1], types) {
        return;
    }
    let work = [0, 1].map(|i| take(&rs[i].side.work(), What::Raw, start));
    if !trees(out, "workdir on disk", &work[0], &work[1], types) {
        return;
    }
    for n in 0..rs[0].side.stacked {
        let former = [0, 1].map(|i| take(&rs[i].side.former(n), What::Raw, start));
        if !trees(out, "former upper", &former[0], &former[1], types) {
            return;
        }
    }
    let untouched = !damage::links_layers(&case.damage);
    for i in [1, 0].into_iter().filter(|_| untouched) {
        for (n, l) in lowers(&rs[i]).iter().enumerate() {
            if !trees(
                out,
                &format!("lower of {} before and after", rs[i].side.ty),
                &before[n],
                l,
                ["before", "after"],
            ) {
                return;
            }
        }
    }
    out.lap("trees");
    // Each one's upper with the other one's eyes. A volatile one is not to be mounted again.
    let eyes = types.map(other);
    let m = [0, 1].map(|i| unit(rs[i].side.mount(case, eyes[i], 0)));
    out.mounts += 1;
    if m[0] != m[1] && !refused(case, &m) {
        out.difference = fail(
            "cross mount",
            format!(
                "mounting the other's upper: {} {}, {} {}",
                eyes[0], m[0], eyes[1], m[1]
            ),
        );
        return;
    }
    if m[0] == "ok" {
        let cross = [0, 1].map(|i| take(&rs[i].side.mnt, What::Merged, start));
        let cross = without_broken(cross, eyes);
        if !trees(out, "cross mounted tree", &cross[0], &cross[1], eyes) {
            return;
        }
    }
    for (i, damage) in case.rounds.iter().enumerate() {
        // By turns, each with its own upper and with the other one's.
        let types = if i % 2 == 0 { types } else { eyes };
        if !round(case, damage, rs, types, start, out) {
            return;
        }
    }
}

/// More damage, and what both make of it.
fn round(
    case: &Case,
    more: &[damage::Damage],
    rs: &mut [Runner<'_>; 2],
    types: [&str; 2],
    start: i64,
    out: &mut Outcome,
) -> bool {
    let mut m = Vec::new();
    for (r, ty) in rs.iter_mut().zip(types) {
        if r.side.mounted {
            let _ = r.side.umount();
        }
        damage::more(&r.side, case, more);
        m.push(unit(r.side.mount(case, ty, 0)));
    }
    out.mounts += 1;
    out.compared += 1;
    if m[0] != m[1] && !refused(case, &m) {
        out.difference = Some(Difference {
            kind: "mount after more damage".into(),
            text: format!("mount: {} {}, {} {}", types[0], m[0], types[1], m[1]),
        });
        return false;
    }
    if m[0] != "ok" {
        return true;
    }
    let seen = [0, 1].map(|i| take(&rs[i].side.mnt, What::Merged, start));
    let seen = without_broken(seen, types);
    no_secret(&seen, types, out) && trees(out, "tree after more damage", &seen[0], &seen[1], types)
}

/// No tree shows what is outside of the layers.
fn no_secret(trees: &[Tree; 2], types: [&str; 2], out: &mut Outcome) -> bool {
    let secret = format!(" data={:016x}", fold(damage::SECRET));
    for (tree, who) in trees.iter().zip(types) {
        if let Some((path, _)) = tree.iter().find(|(_, l)| l.contains(&secret)) {
            out.difference = Some(Difference {
                kind: "secret".into(),
                text: format!("{who} shows what is outside at {path}"),
            });
            return false;
        }
    }
    true
}
