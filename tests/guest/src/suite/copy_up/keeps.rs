// SPDX-License-Identifier: GPL-2.0
//! What the copy has of the original.

use super::*;

cases! { "copy_up";
    keeps_data;
    keeps_big_data_across_filesystems;
    keeps_holes;
    keeps_holes_across_filesystems;
    file_of_holes_only;
    keeps_owner_mode_times;
    keeps_setuid_setgid_sticky;
    keeps_xattrs;
    keeps_big_xattr;
    keeps_capabilities;
    empty_capability_is_no_obstacle;
    drops_private_xattrs;
    directory_chain;
    directory_keeps_all;
    parent_keeps_its_times;
    symlink;
    special_files;
    shares_extents.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    zero_length_file;
}

fn keeps_data(t: &T) -> R {
    let o = t.ovl()?;
    for (i, len) in [1usize, 4095, 4096, 4097, 65_536, 1 << 20, (1 << 20) + 1]
        .iter()
        .enumerate()
    {
        f::write(o.low(format!("f{i}")), f::pattern(i as u64, *len))?;
    }
    o.mount()?;
    for (i, len) in [1usize, 4095, 4096, 4097, 65_536, 1 << 20, (1 << 20) + 1]
        .iter()
        .enumerate()
    {
        f::chmod(o.m(format!("f{i}")), 0o600)?;
        check!(
            f::read(o.up(format!("f{i}")))? == f::pattern(i as u64, *len),
            "data of {len} bytes"
        );
    }
    Ok(())
}

fn keeps_big_data_across_filesystems(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    let data = f::pattern(9, t.scaled(9 << 20, 3 << 20) as usize + 77);
    f::write(o.low("a"), &data)?;
    o.mount()?;
    let h = f::open_rw(o.m("a"))?;
    f::pwrite(&h, 100, "patched")?;
    drop(h);
    let mut want = data.clone();
    want[100..107].copy_from_slice(b"patched");
    check!(f::read(o.m("a"))? == want, "merged data");
    check!(f::read(o.up("a"))? == want, "upper data");
    check!(f::read(o.low("a"))? == data, "lower data");
    Ok(())
}

/// A file with data at the start, in the middle and at the end, and holes of 32 MiB between.
fn sparse(p: PathBuf) -> R {
    let h = f::open(p, libc::O_CREAT | libc::O_RDWR, 0o644)?;
    f::pwrite(&h, 0, "start")?;
    f::pwrite(&h, 32 << 20, "middle")?;
    f::pwrite(&h, (64 << 20) - 3, "end")?;
    h.sync_all()?;
    Ok(())
}

fn check_sparse(o: &Ovl) -> R {
    f::chmod(o.m("a"), 0o600)?;
    let h = f::open_ro(o.up("a"))?;
    h.sync_all()?;
    check_eq!(h.metadata()?.size(), 64 << 20);
    check_eq!(f::pread(&h, 0, 5)?, b"start");
    check_eq!(f::pread(&h, 32 << 20, 6)?, b"middle");
    check_eq!(f::pread(&h, (64 << 20) - 3, 9)?, b"end");
    check_eq!(f::pread(&h, 20 << 20, 4)?, [0; 4], "in a hole");
    let used = h.metadata()?.blocks() * 512;
    check!(
        used <= 4 << 20,
        "holes stay holes: {used} bytes are allocated of 64 MiB"
    );
    Ok(())
}

fn keeps_holes(t: &T) -> R {
    let o = t.ovl()?;
    sparse(o.low("a"))?;
    o.mount()?;
    check_sparse(&o)
}

fn keeps_holes_across_filesystems(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    sparse(o.low("a"))?;
    o.mount()?;
    check_sparse(&o)
}

fn file_of_holes_only(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    f::write(o.low("a"), "")?;
    f::truncate(o.low("a"), 1 << 40)?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(f::stat(o.up("a"))?.size(), 1 << 40);
    check_eq!(f::stat(o.up("a"))?.blocks(), 0);
    Ok(())
}

fn keeps_owner_mode_times(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 123, 456)?;
    f::chmod(o.low("a"), 0o641)?;
    f::utimes(
        o.low("a"),
        (1_111_111, 123_456_789),
        (2_222_222, 987_654_321),
    )?;
    o.mount()?;
    sys::umask(0o077);
    f::setxattr(o.m("a"), "user.x", "y")?;
    for p in [o.up("a"), o.m("a")] {
        let m = f::stat(&p)?;
        check_eq!(
            (m.uid(), m.gid(), m.mode() & 0o7777),
            (123, 456, 0o641),
            "{}",
            p.display()
        );
        check_eq!(
            (m.mtime(), m.mtime_nsec()),
            (2_222_222, 987_654_321),
            "mtime"
        );
        check_eq!(
            (m.atime(), m.atime_nsec()),
            (1_111_111, 123_456_789),
            "atime"
        );
    }
    Ok(())
}

fn keeps_setuid_setgid_sticky(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("a"), 5, 6)?;
    f::chmod(o.low("a"), 0o6755)?;
    f::chmod(o.low("d"), 0o3777)?;
    o.mount()?;
    f::utimes(o.m("a"), (1, 0), (1, 0))?;
    f::utimes(o.m("d"), (1, 0), (1, 0))?;
    check_eq!(f::mode(o.up("a"))?, 0o6755);
    check_eq!(f::mode(o.up("d"))?, 0o3777);
    Ok(())
}

fn keeps_xattrs(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    for (n, v) in [
        ("user.a", "1"),
        ("user.b", ""),
        ("trusted.c", "3"),
        ("security.d", "4"),
    ] {
        f::setxattr(o.low("a"), n, v)?;
    }
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    for (n, v) in [
        ("user.a", "1"),
        ("user.b", ""),
        ("trusted.c", "3"),
        ("security.d", "4"),
    ] {
        check_eq!(f::getxattr(o.up("a"), n)?, v.as_bytes(), "{n}");
    }
    check_eq!(
        f::listxattr(o.m("a"))?,
        ["security.d", "trusted.c", "user.a", "user.b"]
    );
    Ok(())
}

fn keeps_big_xattr(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.small", "s")?;
    f::setxattr(o.low("a"), "user.big", f::pattern(3, 2500))?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check!(
        f::getxattr(o.up("a"), "user.big")? == f::pattern(3, 2500),
        "value of 2500 bytes"
    );
    check_eq!(f::getxattr(o.up("a"), "user.small")?, b"s");
    Ok(())
}

/// cap_net_raw=ep, revision 2.
const CAPS: &[u8] = &[
    1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

fn keeps_capabilities(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "security.capability", CAPS)?;
    o.mount()?;
    f::utimes(o.m("a"), (1, 0), (1, 0))?;
    check_eq!(f::getxattr(o.up("a"), "security.capability")?, CAPS);
    check_eq!(f::getxattr(o.m("a"), "security.capability")?, CAPS);
    // Writing takes them away, as anywhere.
    f::append(o.m("a"), "y")?;
    check_eq!(
        f::xattr_opt(o.m("a"), "security.capability")?,
        None,
        "after a write"
    );
    check_eq!(
        f::getxattr(o.low("a"), "security.capability")?,
        CAPS,
        "in the lower"
    );
    Ok(())
}

fn empty_capability_is_no_obstacle(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    match f::setxattr(o.low("a"), "security.capability", "") {
        Ok(()) => {}
        Err(e) => return Err(Skip(format!("cannot make one: {e:#}")).into()),
    }
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(f::text(o.up("a"))?, "x");
    Ok(())
}

fn drops_private_xattrs(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "trusted.overlay.foo", "private")?;
    f::setxattr(o.low("a"), "trusted.overlay.overlay.bar", "escaped")?;
    f::setxattr(o.low("a"), "user.overlay.baz", "plain here")?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(
        o.xattr("a", "foo")?,
        None,
        "a private attribute is not copied"
    );
    check_eq!(o.xattr("a", "overlay.bar")?, Some(b"escaped".to_vec()));
    check_eq!(f::getxattr(o.up("a"), "user.overlay.baz")?, b"plain here");
    Ok(())
}

fn directory_chain(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("a/b/c"))?;
    f::write(o.low("a/b/c/f"), "x")?;
    f::write(o.low("a/b/sibling"), "x")?;
    for (d, m) in [("a", 0o711), ("a/b", 0o722), ("a/b/c", 0o733)] {
        f::chmod(o.low(d), m)?;
        f::utimes(o.low(d), (10, 0), (20, 0))?;
    }
    o.mount()?;
    f::append(o.m("a/b/c/f"), "y")?;
    for (d, m) in [("a", 0o711), ("a/b", 0o722), ("a/b/c", 0o733)] {
        check_eq!(f::mode(o.up(d))?, m, "mode of {d}");
        check_eq!(f::stat(o.m(d))?.mtime(), 20, "mtime of {d}");
    }
    check!(!o.in_upper("a/b/sibling")?, "siblings stay below");
    check_eq!(f::ls(o.m("a/b"))?, ["c", "sibling"]);
    Ok(())
}

fn directory_keeps_all(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::setxattr(o.low("d"), "user.x", "v")?;
    f::chown(o.low("d"), 7, 8)?;
    f::chmod(o.low("d"), 0o1775)?;
    f::utimes(o.low("d"), (10, 11), (20, 21))?;
    o.mount()?;
    f::setxattr(o.m("d"), "user.y", "w")?;
    let m = f::stat(o.up("d"))?;
    check_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (7, 8, 0o1775));
    check_eq!((m.mtime(), m.mtime_nsec()), (20, 21));
    check_eq!(f::getxattr(o.up("d"), "user.x")?, b"v");
    check_eq!(f::ls(o.m("d"))?, ["x"]);
    check_eq!(f::ls(o.up("d"))?, [""; 0], "the contents stay below");
    check_eq!(o.xattr("d", "opaque")?, None);
    Ok(())
}

fn parent_keeps_its_times(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::symlink("x", o.low("d/l"))?;
    f::mkdir(o.low("d/e"))?;
    f::utimes(o.low("d"), (10, 11), (20, 21))?;
    o.mount()?;
    for n in ["a", "l", "e"] {
        f::utimes(o.m("d").join(n), (1, 0), (1, 0))?;
        let m = f::stat(o.m("d"))?;
        check_eq!(
            (m.mtime(), m.mtime_nsec()),
            (20, 21),
            "mtime of the parent after {n}"
        );
        let m = f::stat(o.up("d"))?;
        check_eq!(
            (m.mtime(), m.mtime_nsec()),
            (20, 21),
            "in the upper, after {n}"
        );
    }
    Ok(())
}

fn symlink(t: &T) -> R {
    let o = t.ovl()?;
    let long = "dir/".repeat(200);
    f::symlink("short", o.low("s"))?;
    f::symlink(&long, o.low("l"))?;
    f::setxattr(o.low("s"), "trusted.x", "v")?;
    o.mount()?;
    f::chown(o.m("s"), 3, 4)?;
    f::utimes(o.m("l"), (5, 0), (6, 0))?;
    check_eq!(f::readlink(o.up("s"))?, Path::new("short"));
    check_eq!(f::readlink(o.up("l"))?, Path::new(&long));
    check_eq!((f::stat(o.m("s"))?.uid(), f::stat(o.m("s"))?.gid()), (3, 4));
    check_eq!(f::stat(o.m("l"))?.mtime(), 6);
    check_eq!(f::getxattr(o.up("s"), "trusted.x")?, b"v");
    Ok(())
}

fn special_files(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("s"), FileType::Socket, 0o600, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::mknod(o.low("b"), FileType::BlockDevice, 0o660, 7, 9)?;
    o.mount()?;
    for n in ["p", "s", "c", "b"] {
        f::chmod(o.m(n), 0o610)?;
        let (l, u, m) = (f::stat(o.low(n))?, f::stat(o.up(n))?, f::stat(o.m(n))?);
        check_eq!(
            u.mode() & libc::S_IFMT,
            l.mode() & libc::S_IFMT,
            "type of {n}"
        );
        check_eq!((u.rdev(), m.rdev()), (l.rdev(), l.rdev()), "device of {n}");
        check_eq!(
            (u.mode() & 0o7777, m.mode() & 0o7777),
            (0o610, 0o610),
            "mode of {n}"
        );
    }
    Ok(())
}

fn shares_extents(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), f::pattern(1, 1 << 20))?;
    f::open_ro(o.low("a"))?.sync_all()?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    let low = sys::fiemap(&f::open_ro(o.low("a"))?)?;
    let up = sys::fiemap(&f::open_ro(o.up("a"))?)?;
    check!(!low.is_empty(), "the lower has extents");
    check_eq!(
        up,
        low,
        "the extents (logical, physical, length) of the upper"
    );
    Ok(())
}

fn zero_length_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "")?;
    o.mount()?;
    f::append(o.m("a"), "x")?;
    check_eq!(f::text(o.m("a"))?, "x");
    check_eq!(f::stat(o.low("a"))?.size(), 0);
    Ok(())
}
