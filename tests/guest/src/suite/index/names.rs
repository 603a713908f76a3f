// SPDX-License-Identifier: GPL-2.0
//! Names that come, move and go, and the link count.

use super::*;

cases! { "index";
    unlink_of_lower_link;
    unlink_all;
    unlink_all_while_open;
    new_link;
    new_link_of_lower;
    rename_of_link;
    rename_over_lower_link;
    rename_over_upper_link;
    rename_onto_own_link;
    exchange;
    name_hidden_by_whiteout;
    removed_dir_of_links;
}

fn unlink_of_lower_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let i = ino(o.m("a"))?;
    f::unlink(o.m("b"))?;
    for _ in 0..2 {
        check_err!(f::stat(o.m("b")), ENOENT);
        check_eq!(nlink(o.m("a"))?, 2);
        check_eq!(nlink(o.m("d/c"))?, 2);
        check_eq!(ino(o.m("d/c"))?, i);
        check_eq!(f::text(o.m("d/c"))?, "one");
        o.again()?;
    }
    f::append(o.m("d/c"), "+")?;
    check_eq!(f::text(o.m("a"))?, "one+");
    f::unlink(o.m("a"))?;
    check_eq!(nlink(o.m("d/c"))?, 1);
    o.again()?;
    check_eq!(nlink(o.m("d/c"))?, 1);
    check_eq!(f::text(o.m("d/c"))?, "one+");
    Ok(())
}

fn unlink_all(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("b"))?;
    f::unlink(o.m("a"))?;
    check_eq!(entries(&o)?.len(), 1);
    f::unlink(o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0], "the entry goes with the last name");
    o.again()?;
    check_eq!(f::ls(o.root())?, ["d", "s"]);
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::write(o.m("a"), "new")?;
    check_eq!(nlink(o.m("a"))?, 1);
    check_eq!(f::text(o.low("b"))?, "one");
    Ok(())
}

fn unlink_all_while_open(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let h = f::open_rw(o.m("b"))?;
    for n in ["a", "b", "d/c"] {
        f::unlink(o.m(n))?;
    }
    check_eq!(h.metadata()?.nlink(), 0);
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(f::pread(&h, 0, 9)?, b"one");
    f::pwrite(&h, 0, "two")?;
    check_eq!(f::pread(&h, 0, 9)?, b"two");
    Ok(())
}

fn new_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::link(o.m("a"), o.m("n"))?;
    for _ in 0..2 {
        for n in ["a", "b", "d/c", "n"] {
            check_eq!(nlink(o.m(n))?, 4, "{n}");
            check_eq!(f::text(o.m(n))?, "one+", "{n}");
        }
        o.again()?;
    }
    f::unlink(o.m("n"))?;
    check_eq!(nlink(o.m("b"))?, 3);
    o.again()?;
    check_eq!(nlink(o.m("b"))?, 3);
    Ok(())
}

fn new_link_of_lower(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::link(o.m("d/c"), o.m("d/n"))?;
    check!(o.in_upper("d/c")? && o.in_upper("d/n")? && !o.in_upper("a")?);
    for _ in 0..2 {
        check_eq!(nlink(o.m("a"))?, 4);
        check_eq!(ino(o.m("a"))?, ino(o.m("d/n"))?);
        o.again()?;
    }
    // A single lower name that gets a second one is not indexed.
    f::link(o.m("s"), o.m("s2"))?;
    check_eq!(entries(&o)?.len(), 1);
    check_eq!(nlink(o.m("s"))?, 2);
    o.again()?;
    check_eq!(nlink(o.m("s"))?, 2);
    check_eq!(ino(o.m("s"))?, ino(o.m("s2"))?);
    Ok(())
}

fn rename_of_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("d/a"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["b", "d", "s"]);
        for n in ["d/a", "b", "d/c"] {
            check_eq!(nlink(o.m(n))?, 3, "{n}");
            check_eq!(ino(o.m(n))?, ino(o.m("b"))?, "{n}");
        }
        o.again()?;
    }
    f::append(o.m("b"), "+b")?;
    check_eq!(f::text(o.m("d/a"))?, "one+b");
    Ok(())
}

fn rename_over_lower_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("s"), o.m("b"))?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("b"))?, "single");
        check_eq!(nlink(o.m("b"))?, 1);
        check_eq!(nlink(o.m("a"))?, 2);
        check_eq!(nlink(o.m("d/c"))?, 2);
        o.again()?;
    }
    f::rename(o.m("b"), o.m("a"))?;
    f::rename(o.m("a"), o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0], "all three are covered");
    Ok(())
}

fn rename_over_upper_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::link(o.m("a"), o.m("n"))?;
    f::write(o.m("x"), "x")?;
    f::rename(o.m("x"), o.m("n"))?;
    for _ in 0..2 {
        check_eq!(nlink(o.m("a"))?, 3);
        check_eq!(f::text(o.m("n"))?, "x");
        o.again()?;
    }
    Ok(())
}

fn rename_onto_own_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("b"))?;
    for _ in 0..2 {
        check_eq!(
            f::ls(o.root())?,
            ["a", "b", "d", "s"],
            "rename does nothing"
        );
        check_eq!(nlink(o.m("a"))?, 3);
        o.again()?;
    }
    Ok(())
}

fn exchange(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename2(o.m("a"), o.m("s"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "single");
        check_eq!(f::text(o.m("s"))?, "one");
        check_eq!(nlink(o.m("s"))?, 3);
        check_eq!(nlink(o.m("a"))?, 1);
        check_eq!(ino(o.m("s"))?, ino(o.m("b"))?);
        o.again()?;
    }
    Ok(())
}

fn name_hidden_by_whiteout(t: &T) -> R {
    let o = linked(t)?;
    f::whiteout(o.up("a"))?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["b", "d", "s"]);
    f::append(o.m("b"), "+")?;
    check_eq!(f::text(o.m("d/c"))?, "one+");
    f::link(o.m("b"), o.m("a"))?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "one+");
        check_eq!(ino(o.m("a"))?, ino(o.m("d/c"))?);
        o.again()?;
    }
    Ok(())
}

fn removed_dir_of_links(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::unlink(o.m("d/c"))?;
    f::rmdir(o.m("d"))?;
    check_eq!(nlink(o.m("a"))?, 2);
    o.again()?;
    check_eq!(nlink(o.m("a"))?, 2);
    check_eq!(f::ls(o.root())?, ["a", "b", "s"]);
    Ok(())
}
