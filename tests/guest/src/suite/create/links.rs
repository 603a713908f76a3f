// SPDX-License-Identifier: GPL-2.0
//! Hard links.

use super::*;

cases! { "create";
    hard_link_of_upper;
    hard_link_of_lower_copies_up;
    hard_link_over_whiteout;
    hard_link_into_new_parent_marks_it_impure;
    hard_link_of_symlink;
    hard_link_existing_target;
}

fn hard_link_of_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    f::append(o.m("b"), "y")?;
    check_eq!(f::text(o.m("a"))?, "xy");
    let (a, b) = (f::stat(o.m("a"))?, f::stat(o.m("b"))?);
    check_eq!((a.nlink(), b.nlink()), (2, 2), "link counts");
    check_eq!((a.ino(), a.dev()), (b.ino(), b.dev()), "same object");
    f::unlink(o.m("a"))?;
    check_eq!(f::stat(o.m("b"))?.nlink(), 1);
    Ok(())
}

fn hard_link_of_lower_copies_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    f::link(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.up("b"))?, "lower");
    check_eq!(
        f::stat(o.up("a"))?.ino(),
        f::stat(o.up("b"))?.ino(),
        "linked in the upper"
    );
    check_eq!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "same object"
    );
    check_eq!(f::stat(o.m("a"))?.nlink(), 2);
    f::append(o.m("a"), "+")?;
    check_eq!(f::text(o.m("b"))?, "lower+");
    o.again()?;
    check_eq!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "same object after remount"
    );
    Ok(())
}

fn hard_link_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    o.mount()?;
    f::unlink(o.m("b"))?;
    f::link(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::stat(o.m("b"))?.nlink(), 2);
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    o.again()?;
    check_eq!(f::text(o.m("b"))?, "a");
    Ok(())
}

fn hard_link_into_new_parent_marks_it_impure(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::link(o.m("a"), o.m("d/b"))?;
    check_eq!(o.xattr("d", "impure")?, Some(b"y".to_vec()));
    let st = f::stat(o.m("d/b"))?.ino();
    let d = f::open_ro(o.m("d"))?;
    let e = sys::getdents(&d, 4096)?;
    let e = e.iter().find(|e| e.name == "b").map(|e| e.ino);
    check_eq!(e, Some(st), "d_ino equals st_ino");
    Ok(())
}

fn hard_link_of_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("t", o.low("l"))?;
    o.mount()?;
    f::link(o.m("l"), o.m("k"))?;
    check_eq!(f::readlink(o.m("k"))?, Path::new("t"));
    check_eq!(f::stat(o.m("k"))?.nlink(), 2);
    Ok(())
}

fn hard_link_existing_target(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::link(o.m("a"), o.m("b")), EEXIST);
    check_err!(f::link(o.m("d"), o.m("e")), EPERM);
    Ok(())
}
