// SPDX-License-Identifier: GPL-2.0
//! `metacopy=on`: copies of metadata alone, the way from them to the data, and the later copy of it.

use super::prelude::*;

cases! { "metacopy";
    chmod_copies_no_data;
    every_change_of_metadata_copies_no_data;
    off_copies_everything;
    an_empty_file_is_marked_too;
    other_types_are_not_marked;
    open_for_writing_copies_the_data;
    truncating_open_copies_no_data;
    truncate_keeps_the_beginning;
    first_open_for_writing_makes_no_mark;
    descriptor_from_before_sees_the_copy;
    mapping_shows_the_lower_data;
    capabilities_survive_the_copy_of_the_data;
    mark_goes_with_the_data;
    inode_number_stays;
    blocks_are_those_of_the_data;
    fsync_of_metadata_only;
    extents_are_those_of_the_data;
    rename_in_the_directory;
    rename_elsewhere;
    rename_twice_keeps_the_first_name;
    rename_of_a_lower_hard_link;
    exchange;
    rename_of_the_directory_above;
    link_leads_to_the_data;
    link_then_write;
    unlink_leaves_a_whiteout;
    chain_through_the_layers;
    chain_by_absolute_paths;
    chain_copied_up;
    chain_metadata_is_the_topmost;
    data_is_missing;
    directory_instead_of_data;
    whiteout_instead_of_data;
    symlink_instead_of_data;
    not_followed_when_off;
    redirect_not_followed_when_off;
    malformed_marks;
    malformed_redirect;
    mark_with_a_digest_is_followed;
    mark_on_other_types_means_nothing;
    read_by_the_other_module;
    made_by_the_other_module;
    shown_in_the_options;
    conflicts_with_userxattr;
    off_by_default;
    many_files;
}

const ON: &str = "redirect_dir=on,metacopy=on";
const MARK: &str = "trusted.overlay.metacopy";
const REDIRECT: &str = "trusted.overlay.redirect";
const LEN: usize = 300_000;

fn data() -> Vec<u8> {
    f::pattern(7, LEN)
}

/// A lower file `d/a` with data, mounted.
fn one(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), data())?;
    rustix::fs::sync();
    o.mount_with(ON)?;
    Ok(o)
}

fn again(o: &Ovl) -> R {
    o.umount()?;
    o.mount_with(ON)
}

/// The upper object has only metadata.
#[track_caller]
fn check_meta(o: &Ovl, p: &str) -> R {
    let at = std::panic::Location::caller();
    check_eq!(o.xattr(p, "metacopy")?, Some(vec![]), "{p} at {at}");
    // An attribute may take a block.
    let blocks = f::stat(o.up(p))?.blocks();
    check!(blocks <= 8, "{p} at {at} has {blocks} blocks");
    Ok(())
}

/// The upper object has its data.
#[track_caller]
fn check_whole(o: &Ovl, p: &str) -> R {
    let at = std::panic::Location::caller();
    check_eq!(o.xattr(p, "metacopy")?, None, "{p} at {at}");
    check_eq!(f::read(o.up(p))?, f::read(o.m(p))?, "data of {p} at {at}");
    Ok(())
}

/// A file that has only metadata, made by hand.
fn by_hand(p: PathBuf, len: u64, redirect: Option<&str>) -> R {
    f::write(&p, "")?;
    f::truncate(&p, len)?;
    f::setxattr(&p, MARK, "")?;
    if let Some(to) = redirect {
        f::setxattr(&p, REDIRECT, to)?;
    }
    Ok(())
}

fn chmod_copies_no_data(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    check_meta(&o, "d/a")?;
    check_eq!(f::stat(o.up("d/a"))?.len(), LEN as u64);
    check_eq!(f::mode(o.up("d/a"))?, 0o640);
    check!(o.xattr("d/a", "origin")?.is_some());
    check_eq!(o.xattr("d/a", "redirect")?, None);
    check_eq!(f::read(o.m("d/a"))?, data());
    again(&o)?;
    check_eq!(f::mode(o.m("d/a"))?, 0o640);
    check_eq!(f::read(o.m("d/a"))?, data());
    check_meta(&o, "d/a")
}

fn every_change_of_metadata_copies_no_data(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["chown", "utimes", "xattr", "rename", "link", "chmod"] {
        f::write(o.low(n), data())?;
    }
    o.mount_with(ON)?;
    f::chown(o.m("chown"), 5, 6)?;
    f::utimes(o.m("utimes"), (1, 2), (3, 4))?;
    f::setxattr(o.m("xattr"), "trusted.x", "y")?;
    f::rename(o.m("rename"), o.m("renamed"))?;
    f::link(o.m("link"), o.m("linked"))?;
    f::chmod(o.m("chmod"), 0o600)?;
    let all = [
        "chown", "utimes", "xattr", "renamed", "link", "linked", "chmod",
    ];
    for n in all {
        check_meta(&o, n)?;
    }
    again(&o)?;
    for n in all {
        check_eq!(f::read(o.m(n))?, data(), "{n}");
        check_meta(&o, n)?;
    }
    let m = f::stat(o.m("chown"))?;
    check_eq!((m.uid(), m.gid()), (5, 6));
    check_eq!(f::stat(o.m("utimes"))?.mtime(), 3);
    check_eq!(f::getxattr(o.m("xattr"), "trusted.x")?, b"y");
    Ok(())
}

fn off_copies_everything(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), data())?;
    o.mount_with("redirect_dir=on,metacopy=off")?;
    f::chmod(o.m("a"), 0o640)?;
    check_whole(&o, "a")?;
    check_eq!(f::read(o.up("a"))?, data());
    Ok(())
}

fn an_empty_file_is_marked_too(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "")?;
    o.mount_with(ON)?;
    f::chmod(o.m("a"), 0o640)?;
    check_meta(&o, "a")?;
    f::append(o.m("a"), "x")?;
    check_whole(&o, "a")?;
    check_eq!(f::text(o.m("a"))?, "x");
    Ok(())
}

fn other_types_are_not_marked(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("dir"))?;
    f::symlink("x", o.low("link"))?;
    f::mknod(o.low("fifo"), FileType::Fifo, 0o600, 0, 0)?;
    o.mount_with(ON)?;
    for n in ["dir", "link", "fifo"] {
        f::chown(o.m(n), 1, 1)?;
        check_eq!(o.xattr(n, "metacopy")?, None, "{n}");
    }
    Ok(())
}

fn open_for_writing_copies_the_data(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    drop(f::open_rw(o.m("d/a"))?);
    check_whole(&o, "d/a")?;
    check_eq!(f::read(o.up("d/a"))?, data());
    check_eq!(f::mode(o.m("d/a"))?, 0o640);
    f::append(o.m("d/a"), "more")?;
    again(&o)?;
    let mut want = data();
    want.extend_from_slice(b"more");
    check_eq!(f::read(o.m("d/a"))?, want);
    check_eq!(f::read(o.low("d/a"))?, data());
    Ok(())
}

fn truncating_open_copies_no_data(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    f::write(o.m("d/a"), "short")?;
    check_whole(&o, "d/a")?;
    again(&o)?;
    check_eq!(f::text(o.m("d/a"))?, "short");
    Ok(())
}

fn truncate_keeps_the_beginning(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    f::truncate(o.m("d/a"), 1000)?;
    check_whole(&o, "d/a")?;
    check_eq!(f::read(o.m("d/a"))?, data()[..1000].to_vec());
    f::truncate(o.m("d/a"), 2000)?;
    check_eq!(f::read(o.m("d/a"))?[1000..].to_vec(), vec![0; 1000]);
    Ok(())
}

fn first_open_for_writing_makes_no_mark(t: &T) -> R {
    let o = one(t)?;
    f::append(o.m("d/a"), "x")?;
    check_whole(&o, "d/a")?;
    check_eq!(f::stat(o.m("d/a"))?.len(), LEN as u64 + 1);
    Ok(())
}

fn descriptor_from_before_sees_the_copy(t: &T) -> R {
    let o = one(t)?;
    let early = f::open_ro(o.m("d/a"))?;
    f::chmod(o.m("d/a"), 0o640)?;
    let meta = f::open_ro(o.m("d/a"))?;
    check_eq!(f::pread(&early, 0, 100)?, data()[..100].to_vec());
    check_eq!(f::pread(&meta, 0, 100)?, data()[..100].to_vec());
    let w = f::open_rw(o.m("d/a"))?;
    f::pwrite(&w, 50, "written")?;
    for fd in [&early, &meta, &w] {
        check_eq!(f::pread(fd, 50, 7)?, b"written");
        check_eq!(f::pread(fd, 200, 100)?, data()[200..300].to_vec());
    }
    Ok(())
}

fn mapping_shows_the_lower_data(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    let fd = f::open_ro(o.m("d/a"))?;
    let map = sys::map_ro(&fd, LEN)?;
    check_eq!(map[..].to_vec(), data());
    Ok(())
}

fn capabilities_survive_the_copy_of_the_data(t: &T) -> R {
    let caps = {
        let mut v = vec![0, 0, 0, 2, 0x20, 0, 0, 0];
        v.resize(20, 0);
        v
    };
    let name = "security.capability";
    let o = t.ovl()?;
    f::write(o.low("early"), data())?;
    f::write(o.low("late"), data())?;
    f::setxattr(o.low("early"), name, &caps)?;
    o.mount_with(ON)?;
    f::chmod(o.m("early"), 0o755)?;
    f::setxattr(o.m("late"), name, &caps)?;
    for n in ["early", "late"] {
        check_meta(&o, n)?;
        check_eq!(f::getxattr(o.m(n), name)?, caps, "{n}");
        drop(f::open_rw(o.m(n))?);
        check_whole(&o, n)?;
        check_eq!(f::getxattr(o.m(n), name)?, caps, "{n}");
        f::append(o.m(n), "x")?;
        check_eq!(f::xattr_opt(o.m(n), name)?, None, "{n}");
    }
    Ok(())
}

fn mark_goes_with_the_data(t: &T) -> R {
    let o = one(t)?;
    f::rename(o.m("d/a"), o.m("d/b"))?;
    check_meta(&o, "d/b")?;
    drop(f::open_rw(o.m("d/b"))?);
    check_whole(&o, "d/b")?;
    check!(o.xattr("d/b", "origin")?.is_some());
    again(&o)?;
    check_eq!(f::read(o.m("d/b"))?, data());
    check_eq!(f::ls(o.m("d"))?, ["b"]);
    Ok(())
}

fn inode_number_stays(t: &T) -> R {
    let o = one(t)?;
    let ino = f::stat(o.m("d/a"))?.ino();
    f::chmod(o.m("d/a"), 0o640)?;
    check_eq!(f::stat(o.m("d/a"))?.ino(), ino);
    again(&o)?;
    check_eq!(f::stat(o.m("d/a"))?.ino(), ino);
    drop(f::open_rw(o.m("d/a"))?);
    check_eq!(f::stat(o.m("d/a"))?.ino(), ino);
    again(&o)?;
    check_eq!(f::stat(o.m("d/a"))?.ino(), ino);
    Ok(())
}

fn blocks_are_those_of_the_data(t: &T) -> R {
    let o = one(t)?;
    let lower = f::stat(o.low("d/a"))?.blocks();
    check_ne!(lower, 0, "space of the lower file");
    f::chmod(o.m("d/a"), 0o640)?;
    check_eq!(f::stat(o.m("d/a"))?.blocks(), lower);
    again(&o)?;
    check_eq!(f::stat(o.m("d/a"))?.blocks(), lower);
    f::truncate(o.m("d/a"), 0)?;
    check_eq!(f::stat(o.m("d/a"))?.blocks(), 0);
    Ok(())
}

fn fsync_of_metadata_only(t: &T) -> R {
    let o = one(t)?;
    f::chmod(o.m("d/a"), 0o640)?;
    let fd = f::open_ro(o.m("d/a"))?;
    f::ctx(fd.sync_all(), "fsync", "d/a")?;
    f::ctx(fd.sync_data(), "fdatasync", "d/a")?;
    check_eq!(f::pread(&fd, 0, 10)?, data()[..10].to_vec());
    let w = f::open_rw(o.m("d/a"))?;
    f::pwrite(&w, 0, "new")?;
    f::ctx(fd.sync_all(), "fsync", "d/a")?;
    check_eq!(f::pread(&fd, 0, 3)?, b"new");
    Ok(())
}

fn extents_are_those_of_the_data(t: &T) -> R {
    let o = one(t)?;
    let lower = match sys::fiemap(&f::open_ro(o.low("d/a"))?) {
        Ok(extents) => extents,
        Err(_) => return Err(Skip("no fiemap here".into()).into()),
    };
    f::chmod(o.m("d/a"), 0o640)?;
    check_eq!(sys::fiemap(&f::open_ro(o.m("d/a"))?)?, lower);
    Ok(())
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

/// `x` in layer 0 leads to `y` in layer 1, that to `d/z` in layer 2.
fn chain(t: &T, upper: bool, redirects: [&str; 2]) -> R<Ovl> {
    let o = if upper { t.layers(3)? } else { t.ovl_ro(3)? };
    by_hand(o.lown(0, "x"), LEN as u64, Some(redirects[0]))?;
    f::chmod(o.lown(0, "x"), 0o604)?;
    by_hand(o.lown(1, "y"), LEN as u64, Some(redirects[1]))?;
    f::chmod(o.lown(1, "y"), 0o644)?;
    f::mkdir(o.lown(2, "d"))?;
    f::write(o.lown(2, "d/z"), data())?;
    f::chmod(o.lown(2, "d/z"), 0o600)?;
    rustix::fs::sync();
    o.mount_with(ON)?;
    Ok(o)
}

fn chain_through_the_layers(t: &T) -> R {
    let o = chain(t, false, ["y", "/d/z"])?;
    for n in ["x", "y", "d/z"] {
        check_eq!(f::read(o.m(n))?, data(), "{n}");
    }
    check_eq!(f::mode(o.m("x"))?, 0o604);
    check_eq!(f::mode(o.m("y"))?, 0o644);
    check_eq!(f::mode(o.m("d/z"))?, 0o600);
    Ok(())
}

fn chain_by_absolute_paths(t: &T) -> R {
    let o = chain(t, false, ["/y", "/d/z"])?;
    check_eq!(f::read(o.m("x"))?, data());
    let data = f::stat(o.lown(2, "d/z"))?;
    check_eq!(f::stat(o.m("x"))?.blocks(), data.blocks());
    check_eq!(f::stat(o.m("x"))?.ino(), f::stat(o.lown(0, "x"))?.ino());
    Ok(())
}

fn chain_copied_up(t: &T) -> R {
    let o = chain(t, true, ["y", "/d/z"])?;
    f::chown(o.m("x"), 1, 2)?;
    check_meta(&o, "x")?;
    check_eq!(o.xattr("x", "redirect")?, None);
    check_eq!(f::read(o.m("x"))?, data());
    check_eq!(
        f::stat(o.m("x"))?.blocks(),
        f::stat(o.lown(2, "d/z"))?.blocks()
    );
    again(&o)?;
    check_eq!(f::read(o.m("x"))?, data());
    f::append(o.m("x"), "!")?;
    check_whole(&o, "x")?;
    check_eq!(f::stat(o.m("x"))?.len(), LEN as u64 + 1);
    f::append(o.m("y"), "?")?;
    check_whole(&o, "y")?;
    check_eq!(o.xattr("y", "redirect")?, None);
    check_eq!(f::read(o.m("y"))?[..LEN].to_vec(), data());
    Ok(())
}

fn chain_metadata_is_the_topmost(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    for (i, mode) in [(0, 0o640), (1, 0o604)] {
        by_hand(o.lown(i, "a"), 5, None)?;
        f::chmod(o.lown(i, "a"), mode)?;
        f::setxattr(o.lown(i, "a"), "user.layer", format!("{i}"))?;
    }
    f::write(o.lown(2, "a"), "datum")?;
    o.mount_with(ON)?;
    check_eq!(f::text(o.m("a"))?, "datum");
    check_eq!(f::mode(o.m("a"))?, 0o640);
    check_eq!(f::getxattr(o.m("a"), "user.layer")?, b"0");
    check_eq!(f::listxattr(o.m("a"))?, ["user.layer"]);
    Ok(())
}

fn data_is_missing(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, None)?;
    by_hand(o.up("b"), 5, Some("/d/x"))?;
    by_hand(o.low("c"), 5, None)?;
    f::mkdir(o.low("d"))?;
    o.mount_with(ON)?;
    for n in ["a", "b", "c"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EIO, "{n}");
        t.expect_limited_log(&["metacopy", "data"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn directory_instead_of_data(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::mkdir(o.lown(0, "a"))?;
    f::write(o.lown(1, "a"), "datum")?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn whiteout_instead_of_data(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::whiteout(o.lown(0, "a"))?;
    f::write(o.lown(1, "a"), "datum")?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn symlink_instead_of_data(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, None)?;
    f::write(o.low("b"), "datum")?;
    f::symlink("b", o.low("a"))?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn not_followed_when_off(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::write(o.lown(1, "a"), "datum")?;
    by_hand(o.lown(0, "b"), 5, None)?;
    f::write(o.lown(1, "b"), "datum")?;
    by_hand(o.lown(1, "c"), 5, None)?;
    o.mount_with("redirect_dir=follow")?;
    for n in ["a", "b", "c"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EPERM, "{n}");
        t.expect_limited_log(&["refus", "metacopy"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn redirect_not_followed_when_off(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, Some("b"))?;
    f::write(o.low("b"), "datum")?;
    o.mount_with("redirect_dir=nofollow")?;
    check_err!(f::stat(o.m("a")), EPERM);
    Ok(())
}

fn malformed_marks(t: &T) -> R {
    let o = t.ovl()?;
    for (n, v) in [("a", &[0u8][..]), ("b", &[0, 3, 0])] {
        f::write(o.low(n), "datum")?;
        by_hand(o.up(n), 5, None)?;
        f::setxattr(o.up(n), MARK, v)?;
    }
    o.mount_with(ON)?;
    for n in ["a", "b"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EIO, "{n}");
        t.expect_limited_log(&["metacopy", "too small"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn malformed_redirect(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("b"), "datum")?;
    for (n, to) in [("p", "x/b"), ("q", "//b"), ("r", "/b/")] {
        by_hand(o.up(n), 5, Some(to))?;
    }
    o.mount_with(ON)?;
    for n in ["p", "q", "r"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EINVAL, "{n}");
        t.expect_limited_log(&["invalid redirect"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn mark_with_a_digest_is_followed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "datum")?;
    by_hand(o.up("a"), 5, None)?;
    let mut mark = vec![0, 36, 0, 1];
    mark.resize(36, 9);
    f::setxattr(o.up("a"), MARK, mark)?;
    o.mount_with(ON)?;
    // Without verity= nobody asks what it says.
    check_eq!(f::text(o.m("a"))?, "datum");
    f::append(o.m("a"), "!")?;
    check_whole(&o, "a")?;
    check_eq!(f::text(o.m("a"))?, "datum!");
    Ok(())
}

fn mark_on_other_types_means_nothing(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "1")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), MARK, "")?;
    f::symlink("d/x", o.up("l"))?;
    f::setxattr(o.up("l"), MARK, "")?;
    o.mount_with(ON)?;
    check_eq!(f::text(o.m("d/x"))?, "1");
    check_eq!(f::text(o.m("l"))?, "1");
    Ok(())
}

/// What one module made, the other one reads, and goes on with.
fn handed_over(t: &T, first: &str, second: &str) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for n in ["chmod", "rename", "move", "link", "write"] {
        f::write(o.low(format!("d/{n}")), data())?;
    }
    o.ty = first.into();
    o.mount_with(ON)?;
    f::chmod(o.m("d/chmod"), 0o640)?;
    f::rename(o.m("d/rename"), o.m("d/renamed"))?;
    f::rename(o.m("d/move"), o.m("moved"))?;
    f::link(o.m("d/link"), o.m("linked"))?;
    f::chmod(o.m("d/write"), 0o640)?;
    f::append(o.m("d/write"), "x")?;
    let raw = |o: &Ovl| -> R<Vec<_>> {
        let mut v = Vec::new();
        for n in [
            "d/chmod",
            "d/renamed",
            "moved",
            "linked",
            "d/link",
            "d/write",
        ] {
            v.push((o.xattr(n, "metacopy")?, o.xattr(n, "redirect")?));
        }
        Ok(v)
    };
    let made = raw(&o)?;
    o.umount()?;
    o.ty = second.into();
    o.mount_with(ON)?;
    for n in ["d/chmod", "d/renamed", "moved", "linked", "d/link"] {
        check_eq!(f::read(o.m(n))?, data(), "{n}");
    }
    check_eq!(f::stat(o.m("d/write"))?.len(), LEN as u64 + 1);
    check_eq!(raw(&o)?, made);
    f::rename(o.m("d/renamed"), o.m("renamed"))?;
    f::append(o.m("moved"), "y")?;
    o.umount()?;
    o.ty = first.into();
    o.mount_with(ON)?;
    check_eq!(f::read(o.m("renamed"))?, data());
    check_eq!(f::stat(o.m("moved"))?.len(), LEN as u64 + 1);
    check_whole(&o, "moved")
}

fn read_by_the_other_module(t: &T) -> R {
    handed_over(t, &t.ty, t.other_ty()?)
}

fn made_by_the_other_module(t: &T) -> R {
    handed_over(t, t.other_ty()?, &t.ty)
}

fn shown_in_the_options(t: &T) -> R {
    let o = t.ovl()?;
    o.mount_only(&format!("{},metacopy=on", o.layer_opts()))?;
    let shown = mountinfo(o.root())?.3;
    check!(shown.contains("metacopy=on"), "{shown}");
    check!(shown.contains("redirect_dir=on"), "{shown}");
    Ok(())
}

fn conflicts_with_userxattr(t: &T) -> R {
    let o = t.ovl()?;
    t.kmsg_since();
    let opts = format!("{},metacopy=on,userxattr", o.layer_opts());
    check_err!(o.mount_only(&opts), EINVAL);
    t.expect_log(&["metacopy", "userxattr"])
}

fn off_by_default(t: &T) -> R {
    let p = format!("/sys/module/{}/parameters/metacopy", t.ty);
    check_eq!(f::text(p)?, "N\n");
    let o = t.ovl()?;
    f::write(o.low("a"), data())?;
    o.mount_only(&o.layer_opts())?;
    f::chmod(o.m("a"), 0o640)?;
    check_whole(&o, "a")
}

fn many_files(t: &T) -> R {
    let o = t.layers(3)?;
    let n = t.scaled(200, 20);
    for i in 0..n {
        let data = f::pattern(i, 1000 + i as usize);
        f::write(o.lown((i % 3) as usize, format!("f{i}")), data)?;
    }
    o.mount_with(ON)?;
    for i in 0..n {
        let p = format!("f{i}");
        match i % 4 {
            0 => f::chmod(o.m(&p), 0o640)?,
            1 => f::append(o.m(&p), "x")?,
            2 => f::utimes(o.m(&p), (1, 1), (1, 1))?,
            _ => {}
        }
    }
    drop_caches()?;
    for i in 0..n {
        let mut want = f::pattern(i, 1000 + i as usize);
        if i % 4 == 1 {
            want.push(b'x');
        }
        check_eq!(f::read(o.m(format!("f{i}")))?, want, "f{i}");
    }
    Ok(())
}
