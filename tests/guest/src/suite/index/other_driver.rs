// SPDX-License-Identifier: GPL-2.0
//! An index that both modules work on in turn.

use super::*;

cases! { "index";
    other_driver_continues;
    same_bytes_as_other_driver;
    crossed_drivers_step_by_step;
}

/// Does a bit of everything with hard links.
fn play(o: &Ovl) -> R {
    f::append(o.m("a"), "+")?;
    f::link(o.m("b"), o.m("n"))?;
    f::rename(o.m("d/c"), o.m("d/e"))?;
    f::unlink(o.m("a"))?;
    f::append(o.m("x"), "+x")?;
    f::unlink(o.m("y"))?;
    f::link(o.m("x"), o.m("d/x"))
}

/// As [`linked`], with the pair `x`, `y` beside it.
fn more(t: &T) -> R<Ovl> {
    let o = linked(t)?;
    f::write(o.low("x"), "x")?;
    f::link(o.low("x"), o.low("y"))?;
    Ok(o)
}

fn other_driver_continues(t: &T) -> R {
    let ty = t.other_ty()?;
    let o = more(t)?;
    o.mount()?;
    play(&o)?;
    let want = tree::snapshot(o.root(), tree::ALL)?;
    o.umount()?;
    let mut p = o.clone();
    p.ty = ty.into();
    p.mount()?;
    tree::same(ty, &want, &tree::snapshot(p.root(), tree::ALL)?)?;
    f::append(p.m("n"), "again")?;
    f::unlink(p.m("b"))?;
    f::rename(p.m("d/x"), p.m("n"))?;
    let want = tree::snapshot(p.root(), tree::ALL)?;
    p.umount()?;
    o.mount()?;
    tree::same("back", &want, &tree::snapshot(o.root(), tree::ALL)?)?;
    f::unlink(o.m("d/e"))?;
    f::unlink(o.m("n"))?;
    check_eq!(entries(&o)?.len(), 1);
    f::unlink(o.m("x"))?;
    check_eq!(entries(&o)?, [""; 0]);
    Ok(())
}

fn same_bytes_as_other_driver(t: &T) -> R {
    let o = more(t)?;
    let mut p = more(t)?;
    p.ty = t.other_ty()?.into();
    for o in [&o, &p] {
        o.mount()?;
        play(o)?;
        o.umount()?;
    }
    for dir in ["", "d"] {
        check_eq!(f::ls(o.up(dir))?, f::ls(p.up(dir))?, "{dir}");
        check_eq!(f::listxattr(o.up(dir))?, f::listxattr(p.up(dir))?, "{dir}");
    }
    for n in ["n", "b", "d/e", "x", "d/x"] {
        check_eq!(o.in_upper(n)?, p.in_upper(n)?, "{n}");
        if o.in_upper(n)? {
            check_eq!(f::listxattr(o.up(n))?, f::listxattr(p.up(n))?, "{n}");
            check_eq!(record(o.up(n))?, record(p.up(n))?, "{n}");
            check_eq!(nlink(o.up(n))?, nlink(p.up(n))?, "{n}");
        }
    }
    for x in ["origin", "upper"] {
        let x = format!("trusted.overlay.{x}");
        check_eq!(
            f::xattr_opt(index_dir(&o), &x)?.is_some(),
            f::xattr_opt(index_dir(&p), &x)?.is_some(),
            "{x}"
        );
    }
    check_eq!(entries(&o)?.len(), entries(&p)?.len());
    Ok(())
}

fn crossed_drivers_step_by_step(t: &T) -> R {
    let ty = t.other_ty()?;
    let o = linked(t)?;
    let mut p = o.clone();
    p.ty = ty.into();
    type Step = (&'static str, fn(&Ovl) -> R, u64);
    let steps: [Step; 5] = [
        ("append", |o| f::append(o.m("a"), "+"), 3),
        ("link", |o| f::link(o.m("b"), o.m("n")), 4),
        ("unlink", |o| f::unlink(o.m("a")), 3),
        ("cover", |o| f::rename(o.m("s"), o.m("b")), 2),
        ("move", |o| f::rename(o.m("n"), o.m("d/n")), 2),
    ];
    for (i, (what, step, links)) in steps.into_iter().enumerate() {
        let (first, second) = if i % 2 == 0 { (&o, &p) } else { (&p, &o) };
        first.mount()?;
        step(first)?;
        check_eq!(nlink(first.m("d/c"))?, links, "{what}, {}", first.ty);
        first.umount()?;
        second.mount()?;
        check_eq!(
            nlink(second.m("d/c"))?,
            links,
            "after {what}, {}",
            second.ty
        );
        check_eq!(f::text(second.m("d/c"))?, "one+", "after {what}");
        second.umount()?;
    }
    Ok(())
}
