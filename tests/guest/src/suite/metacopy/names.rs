// SPDX-License-Identifier: GPL-2.0
//! Names of a copy of metadata: renamed, linked, removed.

use super::*;

cases! { "metacopy";
    rename_in_the_directory;
    rename_elsewhere;
    rename_twice_keeps_the_first_name;
    rename_of_a_lower_hard_link;
    exchange;
    rename_of_the_directory_above;
    link_leads_to_the_data;
    link_then_write;
    unlink_leaves_a_whiteout;
}

fn rename_in_the_directory(t: &T) -> R {
    let o = one(t)?;
    f::rename(o.m("d/a"), o.m("d/b"))?;
    check_meta(&o, "d/b")?;
    check_eq!(o.xattr("d/b", "redirect")?, Some(b"a".to_vec()));
    check!(o.is_whiteout("d/a")?);
    for _ in 0..2 {
        check_eq!(f::read(o.m("d/b"))?, data());
        check_eq!(f::ls(o.m("d"))?, ["b"]);
        again(&o)?;
    }
    Ok(())
}

fn rename_elsewhere(t: &T) -> R {
    let o = one(t)?;
    f::mkdir(o.m("e"))?;
    f::chmod(o.m("d/a"), 0o640)?;
    f::rename(o.m("d/a"), o.m("e/b"))?;
    check_meta(&o, "e/b")?;
    check_eq!(o.xattr("e/b", "redirect")?, Some(b"/d/a".to_vec()));
    check_eq!(o.xattr("e", "impure")?, Some(b"y".to_vec()));
    for _ in 0..2 {
        check_eq!(f::read(o.m("e/b"))?, data());
        check_eq!(f::mode(o.m("e/b"))?, 0o640);
        again(&o)?;
    }
    f::append(o.m("e/b"), "x")?;
    check_whole(&o, "e/b")?;
    check_eq!(f::read(o.low("d/a"))?, data());
    Ok(())
}

fn rename_twice_keeps_the_first_name(t: &T) -> R {
    let o = one(t)?;
    f::rename(o.m("d/a"), o.m("d/b"))?;
    f::rename(o.m("d/b"), o.m("d/c"))?;
    check_eq!(o.xattr("d/c", "redirect")?, Some(b"a".to_vec()));
    again(&o)?;
    f::rename(o.m("d/c"), o.m("x"))?;
    check_eq!(o.xattr("x", "redirect")?, Some(b"/d/a".to_vec()));
    again(&o)?;
    f::rename(o.m("x"), o.m("d/y"))?;
    check_eq!(o.xattr("d/y", "redirect")?, Some(b"/d/a".to_vec()));
    again(&o)?;
    check_eq!(f::read(o.m("d/y"))?, data());
    Ok(())
}

fn rename_of_a_lower_hard_link(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), data())?;
    f::link(o.low("a"), o.low("other"))?;
    o.mount_with(ON)?;
    f::rename(o.m("a"), o.m("b"))?;
    check_meta(&o, "b")?;
    check_eq!(o.xattr("b", "redirect")?, Some(b"/a".to_vec()));
    check_eq!(o.xattr("b", "origin")?, None);
    again(&o)?;
    check_eq!(f::read(o.m("b"))?, data());
    check_eq!(f::read(o.m("other"))?, data());
    Ok(())
}

fn exchange(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), data())?;
    f::write(o.low("b"), "bb")?;
    o.mount_with(ON)?;
    f::rename2(o.m("d/a"), o.m("b"), RenameFlags::EXCHANGE)?;
    check_eq!(o.xattr("b", "redirect")?, Some(b"/d/a".to_vec()));
    check_eq!(o.xattr("d/a", "redirect")?, Some(b"/b".to_vec()));
    for _ in 0..2 {
        check_eq!(f::read(o.m("b"))?, data());
        check_eq!(f::text(o.m("d/a"))?, "bb");
        check_meta(&o, "b")?;
        again(&o)?;
    }
    Ok(())
}

fn rename_of_the_directory_above(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    f::rename(o.m("d"), o.m("e"))?;
    check_eq!(f::read(o.m("e/a"))?, data());
    again(&o)?;
    check_eq!(f::read(o.m("e/a"))?, data());
    f::rename(o.m("e/a"), o.m("top"))?;
    check_eq!(o.xattr("top", "redirect")?, Some(b"/d/a".to_vec()));
    again(&o)?;
    check_eq!(f::read(o.m("top"))?, data());
    check_meta(&o, "top")
}

fn link_leads_to_the_data(t: &T) -> R {
    let o = one(t)?;
    f::link(o.m("d/a"), o.m("d/b"))?;
    check_meta(&o, "d/a")?;
    check_eq!(o.xattr("d/a", "redirect")?, Some(b"/d/a".to_vec()));
    check_eq!(o.xattr("d/b", "redirect")?, Some(b"/d/a".to_vec()));
    for _ in 0..2 {
        for n in ["d/a", "d/b"] {
            check_eq!(f::read(o.m(n))?, data(), "{n}");
            check_eq!(f::stat(o.m(n))?.nlink(), 2, "{n}");
        }
        check_eq!(f::stat(o.m("d/a"))?.ino(), f::stat(o.m("d/b"))?.ino());
        again(&o)?;
    }
    Ok(())
}

fn link_then_write(t: &T) -> R {
    let o = one(t)?;
    f::link(o.m("d/a"), o.m("b"))?;
    f::append(o.m("b"), "x")?;
    let mut want = data();
    want.push(b'x');
    for _ in 0..2 {
        check_eq!(f::read(o.m("d/a"))?, want);
        check_eq!(f::read(o.m("b"))?, want);
        check_whole(&o, "b")?;
        again(&o)?;
    }
    Ok(())
}

fn unlink_leaves_a_whiteout(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    let fd = f::open_ro(o.m("d/a"))?;
    f::unlink(o.m("d/a"))?;
    check!(o.is_whiteout("d/a")?);
    check_eq!(f::pread(&fd, 0, 10)?, data()[..10].to_vec());
    drop(fd);
    again(&o)?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    Ok(())
}
