// SPDX-License-Identifier: GPL-2.0
//! Layers written by the one module, mounted by the other; and the same work done by both, leaving
//! the same bytes.

use super::prelude::*;
use crate::check::outcome;

cases! { "interop";
    layers_of_the_other_module;
    back_and_forth;
    same_upper_bytes.rs_only("one run compares both modules");
    same_upper_bytes_nonsamefs.rs_only("one run compares both modules");
    copied_up_by_the_other_keeps_inode_numbers;
    whiteouts_and_opaque_of_the_other;
    flags_of_the_other;
    readonly_stack_of_uppers;
    stacked_on_the_other;
    random_operations_1.rs_only("one run compares both modules");
    random_operations_2.rs_only("one run compares both modules");
    random_operations_3.rs_only("one run compares both modules");
    random_operations_4.rs_only("one run compares both modules");
    random_operations_nonsamefs.rs_only("one run compares both modules");
    random_operations_three_lowers.rs_only("one run compares both modules");
}

/// A lower with some of everything.
fn fill(d: &Path) -> R {
    for x in ["a", "b", "c"] {
        f::mkdirs(d.join(x).join("sub/deep"))?;
        for i in 0..6 {
            f::write(d.join(format!("{x}/f{i}")), f::pattern(i, 100 * i as usize))?;
            f::write(d.join(format!("{x}/sub/g{i}")), format!("{x}{i}"))?;
        }
        f::symlink("f1", d.join(x).join("link"))?;
        f::link(d.join(x).join("f2"), d.join(x).join("hard"))?;
        f::setxattr(d.join(x).join("f3"), "user.attr", x)?;
        f::chown(d.join(x).join("f4"), 1000, 1000)?;
        f::chmod(d.join(x).join("f5"), 0o4750)?;
        f::utimes(d.join(x).join("f0"), (1, 2), (3, 4))?;
    }
    f::mkdir(d.join("empty"))?;
    f::mknod(d.join("fifo"), FileType::Fifo, 0o640, 0, 0)?;
    f::mknod(d.join("null"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::setxattr(d.join("a"), "trusted.note", "x")
}

/// Some of every change.
fn work(m: &Path) -> R {
    let p = |s: &str| m.join(s);
    f::append(p("a/f1"), "more")?;
    f::chmod(p("a/f3"), 0o600)?;
    f::chown(p("b/link"), 5, 6)?;
    f::unlink(p("a/f0"))?;
    f::rename(p("a/f2"), p("b/sub/moved"))?;
    f::rename(p("b/f1"), p("b/f2"))?;
    f::rename2(p("c/f1"), p("a/f4"), RenameFlags::EXCHANGE)?;
    f::link(p("c/f3"), p("newlink"))?;
    f::ctx(std::fs::remove_dir_all(p("c/sub")), "rm -r", p("c/sub"))?;
    f::mkdir(p("c/sub"))?;
    f::write(p("c/sub/again"), "x")?;
    f::rmdir(p("empty"))?;
    f::write(p("empty"), "a file now")?;
    f::mkdirs(p("new/dir"))?;
    f::write(p("new/dir/f"), "x")?;
    f::symlink("dangling", p("new/l"))?;
    f::rename(p("new/dir"), p("a/newdir"))?;
    f::rename(p("a/f5"), p("a/newdir/f5"))?;
    f::mknod(p("new/p"), FileType::Fifo, 0o600, 0, 0)?;
    f::setxattr(p("b"), "user.x", "y")?;
    f::setxattr(p("b/f3"), "trusted.overlay.opaque", "y")?;
    f::truncate(p("b/f5"), 10)?;
    f::utimes(p("b/f4"), (10, 11), (12, 13))?;
    f::chmod(p("fifo"), 0o600)?;
    f::unlink(p("null"))?;
    f::write(p("b/hard"), "broken")?;
    f::chmod(p("b/sub/deep"), 0o711)
}

/// The same layers, for the other module.
fn other(t: &T, o: &Ovl) -> R<Ovl> {
    let mut p = o.clone();
    p.ty = t.other_ty()?.into();
    Ok(p)
}

fn layers_of_the_other_module(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    fill(&o.low(""))?;
    p.mount()?;
    work(p.root())?;
    p.again()?;
    let want = tree::snapshot(
        p.root(),
        tree::What {
            ino: true,
            ..tree::ALL
        },
    )?;
    p.umount()?;
    o.mount()?;
    let got = tree::snapshot(
        o.root(),
        tree::What {
            ino: true,
            ..tree::ALL
        },
    )?;
    tree::same("layers written by the other module", &want, &got)
}

fn back_and_forth(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    fill(&o.low(""))?;
    let mut want = None;
    for round in 0..6 {
        let x = if round % 2 == 0 { &o } else { &p };
        x.mount()?;
        if let Some(w) = &want {
            tree::same(
                &format!("round {round}"),
                w,
                &tree::snapshot(x.root(), tree::ALL)?,
            )?;
        }
        f::append(x.m("a/f1"), format!("{round}"))?;
        f::append(x.m(format!("b/f{round}")), "x")?;
        f::rename(x.m(format!("b/f{round}")), x.m(format!("c/r{round}")))?;
        f::unlink(x.m(format!("a/sub/g{round}")))?;
        f::mkdir(x.m(format!("dir{round}")))?;
        f::write(x.m(format!("dir{round}/x")), "x")?;
        if round > 0 {
            f::append(x.m(format!("dir{}/x", round - 1)), "y")?;
            f::rename(
                x.m(format!("dir{}", round - 1)),
                x.m(format!("c/dir{}", round - 1)),
            )?;
        }
        want = Some(tree::snapshot(x.root(), tree::ALL)?);
        x.umount()?;
    }
    Ok(())
}

/// The upper as it is on disk, without what differs from overlay to overlay.
fn raw(o: &Ovl) -> R<tree::Tree> {
    let mut t = tree::snapshot(o.up(""), tree::NO_TIMES)?;
    for v in t.values_mut() {
        // The uuid of an overlay is random.
        let words: Vec<&str> = v
            .split(' ')
            .filter(|w| !w.starts_with("trusted.overlay.uuid="))
            .collect();
        *v = words.join(" ");
    }
    Ok(t)
}

fn same_bytes(t: &T, o: Ovl, job: impl Fn(&Path) -> R) -> R {
    let mut p = other(t, &t.ovl()?)?;
    p.lowers = o.lowers.clone();
    p.mount()?;
    job(p.root())?;
    let merged = tree::snapshot(p.root(), tree::NO_TIMES)?;
    p.umount()?;
    o.mount()?;
    job(o.root())?;
    tree::same(
        "the merged tree",
        &merged,
        &tree::snapshot(o.root(), tree::NO_TIMES)?,
    )?;
    o.umount()?;
    tree::same(
        "the upper layer, against the other module's",
        &raw(&p)?,
        &raw(&o)?,
    )
}

fn same_upper_bytes(t: &T) -> R {
    let o = t.ovl()?;
    fill(&o.low(""))?;
    same_bytes(t, o, work)
}

fn same_upper_bytes_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    fill(&o.low(""))?;
    same_bytes(t, o, work)
}

fn copied_up_by_the_other_keeps_inode_numbers(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    fill(&o.low(""))?;
    o.mount()?;
    let names = ["a", "a/f0", "a/f1", "a/sub", "a/link", "fifo"];
    let inos = |o: &Ovl| {
        names
            .iter()
            .map(|n| Ok(f::stat(o.m(n))?.ino()))
            .collect::<R<Vec<_>>>()
    };
    let want = inos(&o)?;
    o.umount()?;
    p.mount()?;
    for n in names {
        f::chown(p.m(n), 3, 3)?;
    }
    check_eq!(inos(&p)?, want, "inode numbers shown by the other module");
    p.umount()?;
    o.mount()?;
    check_eq!(inos(&o)?, want, "inode numbers of {names:?}");
    Ok(())
}

fn whiteouts_and_opaque_of_the_other(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    fill(&o.low(""))?;
    p.mount()?;
    f::unlink(p.m("a/f0"))?;
    f::ctx(std::fs::remove_dir_all(p.m("b")), "rm -r", "b")?;
    f::mkdir(p.m("b"))?;
    f::write(p.m("b/only"), "x")?;
    p.umount()?;
    o.mount()?;
    check_err!(f::stat(o.m("a/f0")), ENOENT);
    check_eq!(f::ls(o.m("b"))?, ["only"]);
    Ok(())
}

fn flags_of_the_other(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    f::write(o.low("a"), "x")?;
    p.mount()?;
    let h = f::open_ro(p.m("a"))?;
    sys::setflags(&h, sys::getflags(&h)? | 0x10)?;
    drop(h);
    p.umount()?;
    o.mount()?;
    check_err!(f::append(o.m("a"), "y"), EPERM);
    let h = f::open_ro(o.m("a"))?;
    sys::setflags(&h, sys::getflags(&h)? & !0x10)?;
    f::append(o.m("a"), "y")
}

fn readonly_stack_of_uppers(t: &T) -> R {
    let o = t.ovl()?;
    let p = other(t, &o)?;
    fill(&o.low(""))?;
    p.mount()?;
    work(p.root())?;
    p.again()?;
    let what = tree::What {
        nlink: false,
        ..tree::ALL
    };
    let want = tree::snapshot(p.root(), what)?;
    p.umount()?;
    // What was an upper is now the top of a stack of lowers, as in an image of layers.
    let mut r = t.ovl_ro(2)?;
    r.lowers = vec![o.up(""), o.low("")];
    r.mount()?;
    tree::same(
        "the upper as a lower",
        &want,
        &tree::snapshot(r.root(), what)?,
    )
}

fn stacked_on_the_other(t: &T) -> R {
    let inner = t.ovl()?;
    let inner = other(t, &inner)?;
    fill(&inner.low(""))?;
    inner.mount()?;
    work(inner.root())?;
    // What the inner one shows unescaped is private to the outer one.
    f::removexattr(inner.m("b/f3"), "trusted.overlay.opaque")?;
    let want = tree::snapshot(inner.root(), tree::NO_TIMES)?;
    let mut o = t.ovl()?;
    o.lowers = vec![inner.mnt.clone()];
    o.mount()?;
    tree::same(
        "an overlay on the other's",
        &want,
        &tree::snapshot(o.root(), tree::NO_TIMES)?,
    )?;
    f::append(o.m("a/f1"), "x")?;
    f::unlink(o.m("a/f3"))?;
    f::rename(o.m("b/f3"), o.m("b/f9"))?;
    tree::same(
        "the inner one",
        &want,
        &tree::snapshot(inner.root(), tree::NO_TIMES)?,
    )
}

/// A small generator of pseudo-random numbers.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// One random operation: what it was, and what came of it.
fn step(m: &Path, r: &mut Rng) -> String {
    const DIRS: &[&str] = &["", "a", "b", "c", "a/sub", "b/sub", "a/n1", "n2", "c/n3"];
    const LEAVES: &[&str] = &[
        "f0", "f1", "f2", "hard", "link", "sub", "g1", "g2", "n1", "n2", "n3", "deep", "x",
    ];
    let path = |r: &mut Rng| {
        let d = DIRS[r.below(DIRS.len() as u64) as usize];
        Path::new(d).join(LEAVES[r.below(LEAVES.len() as u64) as usize])
    };
    let (a, b) = (path(r), path(r));
    let (p, q) = (m.join(&a), m.join(&b));
    let (mut k, n) = (r.below(26), r.below(1000));
    // Opening a fifo for writing would wait for a reader.
    if k <= 4 && std::fs::metadata(&p).is_ok_and(|m| m.file_type().is_fifo()) {
        k = 9;
    }
    let res = match k {
        0..=2 => outcome(&f::write(&p, f::pattern(n, n as usize))),
        3..=4 => outcome(&f::append(&p, format!("{n}"))),
        5..=6 => outcome(&f::mkdir(&p)),
        7..=8 => outcome(&f::rmdir(&p)),
        9..=11 => outcome(&f::unlink(&p)),
        12..=14 => outcome(&f::rename(&p, &q)),
        15 => outcome(&f::rename2(&p, &q, RenameFlags::EXCHANGE)),
        16 => outcome(&f::rename2(&p, &q, RenameFlags::NOREPLACE)),
        17 => outcome(&f::link(&p, &q)),
        18 => outcome(&f::symlink(&b, &p)),
        19 => outcome(&f::chown(&p, (n % 3) as u32, (n % 5) as u32)),
        20 => outcome(&f::setxattr(
            &p,
            &format!("user.x{}", n % 3),
            format!("{n}"),
        )),
        21 => outcome(&f::removexattr(&p, &format!("user.x{}", n % 3))),
        22 => outcome(&f::mknod(&p, FileType::Fifo, 0o600, 0, 0)),
        23 => {
            if f::stat(&p).is_ok_and(|s| !s.is_symlink()) {
                outcome(&f::chmod(&p, 0o400 + n as u32 % 0o400))
            } else {
                outcome(&f::readlink(&p))
            }
        }
        24 => match f::stat(&p) {
            Ok(s) if s.is_file() => outcome(&f::truncate(&p, n)),
            s => outcome(&s),
        },
        _ => match f::ls(&p) {
            Ok(v) => v.join(","),
            r => outcome(&r),
        },
    };
    format!("op {k} ({n}) {} {}: {res}", a.display(), b.display())
}

fn random(t: &T, seed: u64, mut o: Ovl) -> R {
    let mut p = other(t, &t.ovl()?)?;
    for l in &o.lowers {
        fill(l)?;
    }
    for (i, l) in o.lowers.iter().enumerate().skip(1) {
        f::write(l.join(format!("only{i}")), "x")?;
        f::mkdirs(l.join(format!("n{i}/x")))?;
    }
    p.lowers = o.lowers.clone();
    o.mount()?;
    p.mount()?;
    let (mut r1, mut r2) = (Rng(seed), Rng(seed));
    let n = t.scaled(900, 200);
    let mut last = Vec::new();
    for i in 0..n {
        let (x, y) = (step(o.root(), &mut r1), step(p.root(), &mut r2));
        last.push(y.clone());
        if x != y {
            let at = last.len().saturating_sub(12);
            anyhow::bail!(
                "step {i} of seed {seed}:\n    expected ({}): {y}\n    got ({}): {x}\n    before: {}",
                p.ty,
                o.ty,
                last[at..].join("\n            ")
            );
        }
        if i % 300 == 299 {
            let (a, b) = (
                tree::snapshot(p.root(), tree::NO_TIMES)?,
                tree::snapshot(o.root(), tree::NO_TIMES)?,
            );
            tree::same(&format!("step {i} of seed {seed}, the merged tree"), &a, &b)?;
        }
        if i % 400 == 399 {
            // Each goes on with what the other one made.
            o.umount()?;
            p.umount()?;
            std::mem::swap(&mut o.upper, &mut p.upper);
            std::mem::swap(&mut o.work, &mut p.work);
            o.mount()?;
            p.mount()?;
        }
    }
    o.umount()?;
    p.umount()?;
    tree::same(
        &format!("seed {seed}, the upper layer"),
        &raw(&p)?,
        &raw(&o)?,
    )
}

fn random_operations_1(t: &T) -> R {
    random(t, 0x1234_5678, t.ovl()?)
}

fn random_operations_2(t: &T) -> R {
    random(t, 0xdead_beef, t.ovl()?)
}

fn random_operations_3(t: &T) -> R {
    random(t, 0x0bad_cafe, t.ovl()?)
}

fn random_operations_4(t: &T) -> R {
    random(t, 0x5eed_5eed, t.ovl()?)
}

fn random_operations_nonsamefs(t: &T) -> R {
    random(t, 0xabcd_ef01, t.ovl_nonsamefs()?)
}

fn random_operations_three_lowers(t: &T) -> R {
    random(t, 0x7777_1111, t.layers(3)?)
}
