// SPDX-License-Identifier: GPL-2.0
//! What copies metadata alone, what copies the data, and how the object looks between.

use super::*;

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
    many_files;
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
