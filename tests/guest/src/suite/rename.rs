// SPDX-License-Identifier: GPL-2.0
//! Rename: plain, NOREPLACE and EXCHANGE, of and over every kind of object in every layer.

use super::prelude::*;

cases! { "rename";
    upper_file;
    lower_file;
    lower_file_to_other_dir;
    over_upper_file;
    over_lower_file;
    over_whiteout;
    lower_over_whiteout;
    back_and_forth;
    noreplace;
    noreplace_over_whiteout;
    exchange_files;
    exchange_upper_and_lower;
    exchange_missing;
    exchange_file_and_dir;
    whiteout_flag_is_refused;
    unknown_flag_is_refused;
    lower_dir_is_exdev;
    merged_dir_is_exdev;
    exchange_with_lower_dir_is_exdev;
    upper_dir;
    upper_dir_into_merged_is_opaque;
    upper_dir_over_lower_empty_dir;
    upper_dir_over_merged_not_empty;
    upper_dir_over_merged_of_whiteouts;
    upper_dir_over_whiteout;
    dir_over_file;
    file_over_dir;
    into_itself;
    onto_itself;
    onto_own_hard_link;
    symlink_and_special;
    open_descriptor_follows;
    target_open_stays;
    moves_mark_parent_impure;
    within_copied_up_dir;
    lower_middle_name_stays_hidden;
    times_of_parents;
    hard_linked_lower;
    across_mounts_is_exdev;
    sticky;
    atomic_save_pattern;
    nothing_left_in_workdir;
}

fn upper_file(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::ls(o.root())?, ["b"]);
    check_eq!(f::text(o.m("b"))?, "x");
    check_eq!(f::ls(o.up(""))?, ["b"], "no whiteout for a pure upper file");
    Ok(())
}

fn lower_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let ino = f::stat(o.m("a"))?.ino();
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::ls(o.root())?, ["b"]);
    check_eq!(f::text(o.m("b"))?, "x");
    check_eq!(f::stat(o.m("b"))?.ino(), ino, "inode number");
    check!(o.is_whiteout("a")?);
    o.again()?;
    check_eq!(f::ls(o.root())?, ["b"]);
    check_eq!(f::stat(o.m("b"))?.ino(), ino, "inode number after remount");
    Ok(())
}

fn lower_file_to_other_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.low("e"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::rename(o.m("d/a"), o.m("e/b"))?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    check_eq!(f::text(o.m("e/b"))?, "x");
    check!(o.is_whiteout("d/a")?);
    f::rmdir(o.m("d"))
}

fn over_upper_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    f::write(o.m("b"), "b")?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

fn over_lower_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    o.mount()?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::ls(o.root())?, ["b"]);
    check_eq!(f::text(o.low("b"))?, "b");
    o.again()?;
    check_eq!(f::text(o.m("b"))?, "a");
    f::unlink(o.m("b"))?;
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("b"), "old")?;
    o.mount()?;
    f::unlink(o.m("b"))?;
    f::write(o.m("a"), "a")?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::ls(o.up(""))?, ["b"]);
    Ok(())
}

fn lower_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "old")?;
    o.mount()?;
    f::unlink(o.m("b"))?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::ls(o.root())?, ["b"]);
    check!(o.is_whiteout("a")?, "the whiteouts change places");
    Ok(())
}

fn back_and_forth(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    for _ in 0..3 {
        f::rename(o.m("a"), o.m("d/b"))?;
        check_eq!(
            (f::ls(o.root())?, f::ls(o.m("d"))?),
            (vec!["d".into()], vec!["b".into()])
        );
        f::rename(o.m("d/b"), o.m("a"))?;
        check_eq!(f::ls(o.root())?, ["a", "d"]);
    }
    check_eq!(f::text(o.m("a"))?, "x");
    f::rmdir(o.m("d"))
}

fn noreplace(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["a", "b"] {
        f::write(o.low(n), n)?;
    }
    o.mount()?;
    check_err!(
        f::rename2(o.m("a"), o.m("b"), RenameFlags::NOREPLACE),
        EEXIST
    );
    check_eq!(f::ls(o.up(""))?, [""; 0], "nothing is copied up for that");
    f::rename2(o.m("a"), o.m("c"), RenameFlags::NOREPLACE)?;
    check_eq!(f::ls(o.root())?, ["b", "c"]);
    Ok(())
}

fn noreplace_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["a", "b"] {
        f::write(o.low(n), n)?;
    }
    o.mount()?;
    f::unlink(o.m("b"))?;
    f::rename2(o.m("a"), o.m("b"), RenameFlags::NOREPLACE)?;
    check_eq!(f::text(o.m("b"))?, "a");
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

fn exchange_files(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    o.mount()?;
    let (ia, ib) = (f::stat(o.m("a"))?.ino(), f::stat(o.m("b"))?.ino());
    f::rename2(o.m("a"), o.m("b"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(
            (f::text(o.m("a"))?, f::text(o.m("b"))?),
            ("b".into(), "a".into())
        );
        check_eq!(
            (f::stat(o.m("a"))?.ino(), f::stat(o.m("b"))?.ino()),
            (ib, ia)
        );
        o.again()?;
    }
    Ok(())
}

fn exchange_upper_and_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "a")?;
    o.mount()?;
    f::write(o.m("b"), "b")?;
    f::rename2(o.m("d/a"), o.m("b"), RenameFlags::EXCHANGE)?;
    check_eq!(
        (f::text(o.m("d/a"))?, f::text(o.m("b"))?),
        ("b".into(), "a".into())
    );
    f::unlink(o.m("d/a"))?;
    check_err!(f::stat(o.m("d/a")), ENOENT);
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    Ok(())
}

fn exchange_missing(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("w"), "w")?;
    o.mount()?;
    check_err!(
        f::rename2(o.m("a"), o.m("none"), RenameFlags::EXCHANGE),
        ENOENT
    );
    f::unlink(o.m("w"))?;
    check_err!(
        f::rename2(o.m("a"), o.m("w"), RenameFlags::EXCHANGE),
        ENOENT
    );
    Ok(())
}

fn exchange_file_and_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::write(o.m("d/x"), "x")?;
    f::rename2(o.m("a"), o.m("d"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("d"))?, "a");
        check_eq!(f::ls(o.m("a"))?, ["x"]);
        o.again()?;
    }
    Ok(())
}

fn whiteout_flag_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    check_err!(
        f::rename2(o.m("a"), o.m("b"), RenameFlags::WHITEOUT),
        EINVAL
    );
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn unknown_flag_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    let bad = RenameFlags::from_bits_retain(1 << 10);
    check_err!(f::rename2(o.m("a"), o.m("b"), bad), EINVAL);
    Ok(())
}

fn lower_dir_is_exdev(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    o.mount()?;
    check_err!(f::rename(o.m("d"), o.m("n")), EXDEV);
    check_err!(f::rename(o.m("d/e"), o.m("e")), EXDEV);
    check_eq!(f::ls(o.up(""))?, [""; 0], "nothing is copied up for that");
    Ok(())
}

fn merged_dir_is_exdev(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::write(o.m("d/new"), "x")?;
    check_err!(f::rename(o.m("d"), o.m("n")), EXDEV);
    check_eq!(f::ls(o.root())?, ["d"]);
    Ok(())
}

fn exchange_with_lower_dir_is_exdev(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    check_err!(f::rename2(o.m("u"), o.m("d"), RenameFlags::EXCHANGE), EXDEV);
    check_err!(f::rename2(o.m("d"), o.m("u"), RenameFlags::EXCHANGE), EXDEV);
    Ok(())
}

fn upper_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("lower"), "x")?;
    o.mount()?;
    f::mkdirs(o.m("d/e"))?;
    f::write(o.m("d/e/a"), "x")?;
    f::rename(o.m("lower"), o.m("d/lower"))?;
    f::rename(o.m("d"), o.m("n"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["n"]);
        check_eq!(f::ls(o.m("n"))?, ["e", "lower"]);
        check_eq!(f::text(o.m("n/e/a"))?, "x");
        o.again()?;
    }
    Ok(())
}

fn upper_dir_into_merged_is_opaque(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/n"))?;
    f::write(o.low("d/n/hidden"), "x")?;
    o.mount()?;
    f::unlink(o.m("d/n/hidden"))?;
    f::rmdir(o.m("d/n"))?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/x"), "x")?;
    f::rename(o.m("u"), o.m("d/n"))?;
    check_eq!(o.xattr("d/n", "opaque")?, Some(b"y".to_vec()));
    for _ in 0..2 {
        check_eq!(f::ls(o.m("d/n"))?, ["x"]);
        o.again()?;
    }
    Ok(())
}

fn upper_dir_over_lower_empty_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/x"), "x")?;
    f::rename(o.m("u"), o.m("d"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["d"]);
        check_eq!(f::ls(o.m("d"))?, ["x"]);
        o.again()?;
    }
    check_eq!(o.xattr("d", "opaque")?, Some(b"y".to_vec()));
    Ok(())
}

fn upper_dir_over_merged_not_empty(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    check_err!(f::rename(o.m("u"), o.m("d")), ENOTEMPTY);
    Ok(())
}

fn upper_dir_over_merged_of_whiteouts(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.low("d/b"), "x")?;
    o.mount()?;
    f::unlink(o.m("d/a"))?;
    f::unlink(o.m("d/b"))?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/x"), "x")?;
    f::rename(o.m("u"), o.m("d"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("d"))?, ["x"]);
        o.again()?;
    }
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn upper_dir_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::rmdir(o.m("d"))?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/x"), "x")?;
    f::rename(o.m("u"), o.m("d"))?;
    check_eq!(f::ls(o.root())?, ["d"]);
    check_eq!(f::ls(o.up(""))?, ["d"], "the whiteout is gone");
    o.again()?;
    check_eq!(f::ls(o.m("d"))?, ["x"]);
    Ok(())
}

fn dir_over_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    check_err!(f::rename(o.m("u"), o.m("a")), ENOTDIR);
    Ok(())
}

fn file_over_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::rename(o.m("a"), o.m("d")), EISDIR);
    Ok(())
}

fn into_itself(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdirs(o.m("d/e"))?;
    check_err!(f::rename(o.m("d"), o.m("d/e/f")), EINVAL);
    check_err!(f::rename(o.m("d/e"), o.m("d")), ENOTEMPTY);
    Ok(())
}

fn onto_itself(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::rename(o.m("a"), o.m("a"))?;
    check_eq!(f::text(o.m("a"))?, "x");
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn onto_own_hard_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(
        f::ls(o.root())?,
        ["a", "b"],
        "rename of two names of one file does nothing"
    );
    check_eq!(f::stat(o.m("a"))?.nlink(), 2);
    Ok(())
}

fn symlink_and_special(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("t", o.low("l"))?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    o.mount()?;
    for n in ["l", "p", "c"] {
        f::rename(o.m(n), o.m(format!("new-{n}")))?;
        check!(o.is_whiteout(n)?);
    }
    check_eq!(f::readlink(o.m("new-l"))?, Path::new("t"));
    check!(f::stat(o.m("new-p"))?.file_type().is_fifo());
    check_eq!(f::stat(o.m("new-c"))?.rdev(), rustix::fs::makedev(1, 3));
    check_eq!(f::ls(o.root())?, ["new-c", "new-l", "new-p"]);
    Ok(())
}

fn open_descriptor_follows(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    f::rename(o.m("a"), o.m("b"))?;
    f::append(o.m("b"), "y")?;
    check_eq!(f::pread(&h, 0, 9)?, b"xy");
    Ok(())
}

fn target_open_stays(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "new")?;
    f::write(o.low("b"), "old")?;
    o.mount()?;
    let h = f::open_ro(o.m("b"))?;
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(f::pread(&h, 0, 9)?, b"old");
    check_eq!(f::text(o.m("b"))?, "new");
    Ok(())
}

fn moves_mark_parent_impure(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::rename(o.m("a"), o.m("d/a"))?;
    check_eq!(o.xattr("d", "impure")?, Some(b"y".to_vec()));
    let d = f::open_ro(o.m("d"))?;
    let e = sys::getdents(&d, 4096)?
        .into_iter()
        .find(|e| e.name == "a")
        .map(|e| e.ino);
    check_eq!(e, Some(f::stat(o.m("d/a"))?.ino()), "d_ino equals st_ino");
    Ok(())
}

fn within_copied_up_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::rename(o.m("d/a"), o.m("d/b"))?;
    f::rename(o.m("d/b"), o.m("d/c"))?;
    check_eq!(f::ls(o.m("d"))?, ["c"]);
    check_eq!(
        f::ls(o.up("d"))?,
        ["a", "c"],
        "one whiteout, for the name in the lower"
    );
    Ok(())
}

fn lower_middle_name_stays_hidden(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(0, "a"), "upper one")?;
    f::write(o.lown(1, "a"), "lower one")?;
    o.mount()?;
    f::rename(o.m("a"), o.m("b"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::text(o.m("b"))?, "upper one");
    Ok(())
}

fn times_of_parents(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.low("e"))?;
    f::write(o.low("d/a"), "x")?;
    f::utimes(o.low("d"), (1, 0), (1, 0))?;
    f::utimes(o.low("e"), (1, 0), (1, 0))?;
    o.mount()?;
    f::rename(o.m("d/a"), o.m("e/a"))?;
    for n in ["d", "e"] {
        check!(f::stat(o.m(n))?.mtime() > 1_000_000, "mtime of {n}");
        check_eq!(f::stat(o.m(n))?.mtime(), f::stat(o.up(n))?.mtime());
    }
    Ok(())
}

fn hard_linked_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    f::rename(o.m("a"), o.m("c"))?;
    check_eq!(f::ls(o.root())?, ["b", "c"]);
    f::append(o.m("c"), "y")?;
    check_eq!(
        (f::text(o.m("c"))?, f::text(o.m("b"))?),
        ("xy".into(), "x".into())
    );
    Ok(())
}

fn across_mounts_is_exdev(t: &T) -> R {
    let (o, p) = (t.ovl()?, t.ovl()?);
    f::write(o.low("a"), "x")?;
    o.mount()?;
    p.mount()?;
    check_err!(f::rename(o.m("a"), p.m("a")), EXDEV);
    check_err!(f::link(o.m("a"), p.m("a")), EXDEV);
    Ok(())
}

fn sticky(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("tmp"))?;
    f::chmod(o.low("tmp"), 0o1777)?;
    f::write(o.low("tmp/a"), "x")?;
    f::chown(o.low("tmp/a"), 1000, 1000)?;
    o.mount()?;
    let (a, b) = (o.m("tmp/a"), o.m("tmp/b"));
    check_err!(sys::as_user(1001, 1001, || f::rename(&a, &b)), EPERM);
    sys::as_user(1000, 1000, || f::rename(&a, &b))
}

fn atomic_save_pattern(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("etc"))?;
    f::write(o.low("etc/conf"), "0")?;
    o.mount()?;
    for i in 1..20 {
        f::write(o.m("etc/conf.tmp"), format!("{i}"))?;
        f::open_ro(o.m("etc/conf.tmp"))?.sync_all()?;
        f::rename(o.m("etc/conf.tmp"), o.m("etc/conf"))?;
        check_eq!(f::text(o.m("etc/conf"))?, format!("{i}"));
    }
    check_eq!(f::ls(o.m("etc"))?, ["conf"]);
    check_eq!(f::ls(o.up("etc"))?, ["conf"]);
    Ok(())
}

fn nothing_left_in_workdir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..6 {
        f::write(o.low(format!("d/{i}")), "x")?;
    }
    o.mount()?;
    f::rename(o.m("d/0"), o.m("d/1"))?;
    f::rename(o.m("d/2"), o.m("n"))?;
    f::rename2(o.m("d/3"), o.m("d/4"), RenameFlags::EXCHANGE)?;
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}
