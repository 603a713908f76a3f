// SPDX-License-Identifier: GPL-2.0
//! The names of a lower file stay names of one object, whichever of them is copied up.

use super::*;

cases! { "index";
    links_stay_together;
    links_stay_together_nonsamefs;
    inode_number_stays;
    every_kind_of_object;
    links_in_several_dirs;
    copy_up_by_metadata;
    truncate_on_open;
    descriptor_opened_before_follows;
    lower_link_count_of_middle_layer;
    metadata_of_all_names;
    many_links;
    drop_caches_between;
}

fn stay_together(o: &Ovl) -> R {
    o.mount()?;
    together(o, "one")?;
    f::append(o.m("a"), "+a")?;
    together(o, "one+a")?;
    check!(o.in_upper("a")? && !o.in_upper("b")? && !o.in_upper("d")?);
    o.again()?;
    together(o, "one+a")?;
    f::append(o.m("d/c"), "+c")?;
    together(o, "one+a+c")?;
    check!(!o.in_upper("b")?);
    check_eq!(ino(o.up("a"))?, ino(o.up("d/c"))?, "one upper object");
    o.again()?;
    together(o, "one+a+c")?;
    check_eq!(f::text(o.low("a"))?, "one");
    Ok(())
}

fn links_stay_together(t: &T) -> R {
    stay_together(&linked(t)?)
}

fn links_stay_together_nonsamefs(t: &T) -> R {
    let mut o = t.ovl_nonsamefs()?;
    o.opts = ON.into();
    fill(&o)?;
    o.mount()?;
    if !mountinfo(o.root())?.3.contains("index=on") {
        return Err(Skip("the layers are not fit for an index".into()).into());
    }
    o.umount()?;
    stay_together(&o)
}

fn inode_number_stays(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let i = ino(o.m("b"))?;
    check_eq!(i, ino(o.low("b"))?, "of the lower object");
    f::chmod(o.m("b"), 0o600)?;
    check_eq!(ino(o.m("b"))?, i);
    for _ in 0..2 {
        drop_caches()?;
        check_eq!(ino(o.m("a"))?, i);
        check_eq!(ino(o.m("b"))?, i);
        o.again()?;
        check_eq!(ino(o.m("b"))?, i);
        check_eq!(ino(o.m("d/c"))?, i);
    }
    let dir = f::open_ro(o.root())?;
    for e in sys::getdents(&dir, 4096)? {
        if e.name == "a" || e.name == "b" {
            check_eq!(e.ino, i, "{} in readdir", e.name);
        }
    }
    Ok(())
}

fn every_kind_of_object(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::symlink("target", o.low("l1"))?;
    f::mknod(o.low("p1"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("c1"), FileType::CharacterDevice, 0o644, 1, 3)?;
    f::mknod(o.low("s1"), FileType::Socket, 0o644, 0, 0)?;
    for k in ["l", "p", "c", "s"] {
        f::link(o.low(format!("{k}1")), o.low(format!("{k}2")))?;
    }
    o.mount()?;
    for k in ["l", "p", "c", "s"] {
        let (a, b) = (format!("{k}1"), format!("{k}2"));
        f::chown(o.m(&a), 5, 6)?;
        check!(o.in_upper(&a)? && !o.in_upper(&b)?, "{k}");
        for _ in 0..2 {
            let (x, y) = (f::stat(o.m(&a))?, f::stat(o.m(&b))?);
            check_eq!(
                (x.ino(), x.uid(), x.nlink()),
                (y.ino(), y.uid(), y.nlink()),
                "{k}"
            );
            check_eq!((x.uid(), x.nlink(), x.rdev()), (5, 2, y.rdev()), "{k}");
            drop_caches()?;
        }
    }
    check_eq!(entries(&o)?.len(), 4);
    check_eq!(f::readlink(o.m("l2"))?, Path::new("target"));
    o.again()?;
    check_eq!(f::stat(o.m("c2"))?.uid(), 5);
    Ok(())
}

fn links_in_several_dirs(t: &T) -> R {
    let o = ovl(t, 1)?;
    for d in ["x", "y", "z"] {
        f::mkdir(o.low(d))?;
    }
    f::write(o.low("x/f"), "f")?;
    f::link(o.low("x/f"), o.low("y/f"))?;
    f::link(o.low("x/f"), o.low("z/f"))?;
    o.mount()?;
    f::append(o.m("y/f"), "y")?;
    f::append(o.m("z/f"), "z")?;
    for _ in 0..2 {
        for d in ["x", "y", "z"] {
            check_eq!(f::text(o.m(d).join("f"))?, "fyz");
            check_eq!(nlink(o.m(d).join("f"))?, 3);
        }
        check!(!o.in_upper("x")?);
        o.again()?;
    }
    Ok(())
}

fn copy_up_by_metadata(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::chmod(o.m("b"), 0o640)?;
    f::chown(o.m("d/c"), 7, 8)?;
    f::setxattr(o.m("a"), "user.x", "y")?;
    f::utimes(o.m("b"), (10, 20), (30, 40))?;
    for _ in 0..2 {
        for n in ["a", "b", "d/c"] {
            let m = f::stat(o.m(n))?;
            check_eq!((m.mode() & 0o7777, m.uid(), m.gid()), (0o640, 7, 8), "{n}");
            check_eq!((m.mtime(), m.mtime_nsec()), (30, 40), "{n}");
            check_eq!(f::getxattr(o.m(n), "user.x")?, b"y", "{n}");
        }
        o.again()?;
    }
    Ok(())
}

fn truncate_on_open(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::write(o.m("b"), "")?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "");
        check_eq!(nlink(o.m("a"))?, 3);
        o.again()?;
    }
    Ok(())
}

fn descriptor_opened_before_follows(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let h = f::open_ro(o.m("b"))?;
    f::append(o.m("a"), "+")?;
    check_eq!(f::pread(&h, 0, 9)?, b"one+", "through another name");
    check_eq!(h.metadata()?.ino(), ino(o.m("a"))?);
    Ok(())
}

fn lower_link_count_of_middle_layer(t: &T) -> R {
    let o = ovl(t, 2)?;
    f::write(o.lown(1, "a"), "low")?;
    f::link(o.lown(1, "a"), o.lown(1, "b"))?;
    f::write(o.lown(0, "b"), "middle")?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "low+");
        check_eq!(f::text(o.m("b"))?, "middle");
        check_eq!(
            nlink(o.m("a"))?,
            2,
            "hidden names count, as nobody looks for them"
        );
        o.again()?;
    }
    Ok(())
}

fn metadata_of_all_names(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    // The names are in the dcache as lower ones when the object is copied up.
    let before = f::stat(o.m("b"))?;
    f::truncate(o.m("a"), 2)?;
    let after = f::stat(o.m("b"))?;
    check_eq!((after.len(), after.ino()), (2, before.ino()));
    f::truncate(o.m("b"), 1)?;
    check_eq!(f::stat(o.m("a"))?.len(), 1);
    Ok(())
}

fn many_links(t: &T) -> R {
    let o = ovl(t, 1)?;
    let n = t.scaled(300, 40);
    f::write(o.low("f0"), "f")?;
    for i in 1..n {
        f::link(o.low("f0"), o.low(format!("f{i}")))?;
    }
    o.mount()?;
    for i in 0..n {
        if i % 3 == 0 {
            f::append(o.m(format!("f{i}")), "x")?;
        }
    }
    for i in 0..n {
        if i % 3 == 1 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    let left = (0..n).filter(|i| i % 3 != 1).count() as u64;
    let size = 1 + (0..n).filter(|i| i % 3 == 0).count() as u64;
    for _ in 0..2 {
        let m = f::stat(o.m("f2"))?;
        check_eq!((m.nlink(), m.len()), (left, size));
        o.again()?;
    }
    for i in 0..n {
        if i % 3 != 1 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn drop_caches_between(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    drop_caches()?;
    f::append(o.m("a"), "1")?;
    drop_caches()?;
    f::append(o.m("b"), "2")?;
    drop_caches()?;
    together(&o, "one12")?;
    f::unlink(o.m("a"))?;
    drop_caches()?;
    check_eq!(nlink(o.m("b"))?, 2);
    f::unlink(o.m("b"))?;
    drop_caches()?;
    f::unlink(o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0]);
    Ok(())
}
