// SPDX-License-Identifier: GPL-2.0
//! Copy-up: what triggers it, what it keeps, how it is published, what it leaves when it fails.

use super::prelude::*;

cases! { "copy_up";
    every_trigger;
    no_trigger;
    open_for_write_alone;
    trunc_copies_no_data;
    rdonly_trunc;
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
    origin_xattr_of_file;
    origin_xattr_of_dir;
    no_origin_for_lower_hard_links;
    impure_parent;
    hard_links_break;
    from_middle_lower;
    descriptor_opened_before_reads_new_data;
    descriptor_opened_before_stats_new_size;
    descriptor_opened_before_keeps_its_offset;
    descriptor_opened_before_sees_truncation;
    private_mapping_before;
    opened_before_then_unlinked;
    lower_file_untouched;
    no_space;
    killed;
    name_taken_below_is_not_replaced;
    cwd_in_lower_dir;
    upper_removed_name_does_not_come_back;
    zero_length_file;
    many_files;
    no_trace_in_workdir;
    fsync_modes;
    inotify_survives;
}

/// Sets up a lower file `d/a`, does `op` on it, and says whether it was copied up.
fn triggered(t: &T, op: impl Fn(&Path) -> R) -> R<bool> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "0123456789")?;
    f::setxattr(o.low("d/a"), "user.old", "v")?;
    o.mount()?;
    op(&o.m("d/a"))?;
    let up = o.in_upper("d/a")? || o.in_upper("d/b")?;
    o.umount()?;
    Ok(up)
}

/// What is done to a file.
type Op = fn(&Path) -> R;

fn every_trigger(t: &T) -> R {
    let ops: &[(&str, Op)] = &[
        ("open O_WRONLY", |p| f::open(p, libc::O_WRONLY, 0).map(drop)),
        ("open O_RDWR", |p| f::open(p, libc::O_RDWR, 0).map(drop)),
        ("open O_APPEND", |p| {
            f::open(p, libc::O_WRONLY | libc::O_APPEND, 0).map(drop)
        }),
        ("open O_TRUNC", |p| {
            f::open(p, libc::O_WRONLY | libc::O_TRUNC, 0).map(drop)
        }),
        ("truncate", |p| f::truncate(p, 3)),
        ("chmod", |p| f::chmod(p, 0o600)),
        ("chown", |p| f::chown(p, 1, 1)),
        ("utimensat", |p| f::utimes(p, (1, 2), (3, 4))),
        ("setxattr", |p| f::setxattr(p, "user.x", "y")),
        ("removexattr", |p| f::removexattr(p, "user.old")),
        ("rename", |p| f::rename(p, p.with_file_name("b"))),
        ("link", |p| f::link(p, p.with_file_name("b"))),
        ("fchmod of a read-only descriptor", |p| {
            let h = f::open_ro(p)?;
            h.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            Ok(())
        }),
    ];
    for (name, op) in ops {
        check!(triggered(t, op)?, "{name} copies up");
    }
    Ok(())
}

fn no_trigger(t: &T) -> R {
    let ops: &[(&str, Op)] = &[
        ("stat", |p| f::stat(p).map(drop)),
        ("read", |p| f::read(p).map(drop)),
        ("listxattr", |p| f::listxattr(p).map(drop)),
        ("getxattr", |p| f::getxattr(p, "user.old").map(drop)),
        ("readdir of the parent", |p| {
            f::ls(p.parent().unwrap()).map(drop)
        }),
        ("private mapping written to", |p| {
            let h = f::open_ro(p)?;
            let mut m = sys::map(&h, 10, false)?;
            m[0] = b'x';
            Ok(())
        }),
        ("fsync of a read-only descriptor", |p| {
            Ok(f::open_ro(p)?.sync_all()?)
        }),
        ("flock", |p| {
            let h = f::open_ro(p)?;
            Ok(rustix::fs::flock(
                &h,
                rustix::fs::FlockOperation::LockExclusive,
            )?)
        }),
        ("removexattr of what is not there", |p| {
            check_err!(f::removexattr(p, "user.none"), ENODATA);
            Ok(())
        }),
        ("refused mkdir over it", |p| {
            check_err!(f::mkdir(p), EEXIST);
            Ok(())
        }),
        ("access(W_OK)", |p| {
            Ok(rustix::fs::access(p, rustix::fs::Access::WRITE_OK)?)
        }),
        ("O_PATH", |p| f::open(p, libc::O_PATH, 0).map(drop)),
    ];
    for (name, op) in ops {
        check!(!triggered(t, op)?, "{name} does not copy up");
    }
    Ok(())
}

fn open_for_write_alone(t: &T) -> R {
    let o = t.ovl()?;
    let data = f::pattern(2, 50_000);
    f::write(o.low("a"), &data)?;
    f::utimes(o.low("a"), (1_000, 1), (2_000, 2))?;
    o.mount()?;
    drop(f::open_rw(o.m("a"))?);
    check!(f::read(o.up("a"))? == data, "the upper has the data");
    let m = f::stat(o.m("a"))?;
    check_eq!(
        (m.mtime(), m.mtime_nsec()),
        (2_000, 2),
        "mtime, as nothing was written"
    );
    Ok(())
}

fn trunc_copies_no_data(t: &T) -> R {
    let o = t.ovl()?;
    // Larger than the whole upper filesystem: it could not be copied.
    let small = t.tmpfs("small", "size=1m")?;
    f::write(o.low("a"), vec![7u8; 4 << 20])?;
    f::chmod(o.low("a"), 0o604)?;
    let mut o = o;
    f::mkdir(small.join("u"))?;
    f::mkdir(small.join("w"))?;
    o.upper = Some(small.join("u"));
    o.work = Some(small.join("w"));
    o.mount()?;
    f::write(o.m("a"), "new")?;
    check_eq!(f::text(o.m("a"))?, "new");
    check_eq!(f::mode(o.m("a"))?, 0o604);
    Ok(())
}

fn rdonly_trunc(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "data")?;
    o.mount()?;
    drop(f::open(o.m("a"), libc::O_RDONLY | libc::O_TRUNC, 0)?);
    check_eq!(f::stat(o.m("a"))?.size(), 0);
    check!(o.in_upper("a")?, "truncated in the upper");
    check_eq!(f::stat(o.low("a"))?.size(), 4);
    Ok(())
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

fn origin_xattr_of_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    let v = o.xattr("a", "origin")?.unwrap_or_default();
    check!(v.len() > 21, "origin has a handle: {v:02x?}");
    check_eq!(
        (v[0], v[1], v[2] as usize),
        (0, 0xfb, v.len()),
        "version, magic, length"
    );
    Ok(())
}

fn origin_xattr_of_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::chmod(o.m("d"), 0o700)?;
    let v = o.xattr("d", "origin")?.unwrap_or_default();
    check!(v.len() > 21, "origin has a handle: {v:02x?}");
    check_eq!(
        (v[0], v[1], v[2] as usize),
        (0, 0xfb, v.len()),
        "version, magic, length"
    );
    Ok(())
}

fn no_origin_for_lower_hard_links(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(o.xattr("a", "origin")?, None);
    Ok(())
}

fn impure_parent(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    f::append(o.m("d/e/a"), "y")?;
    for p in ["", "d", "d/e"] {
        check_eq!(
            o.xattr(p, "impure")?,
            Some(b"y".to_vec()),
            "impure of '{p}'"
        );
    }
    Ok(())
}

fn hard_links_break(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    check_eq!(f::stat(o.m("a"))?.nlink(), 2);
    f::append(o.m("a"), "y")?;
    check_eq!(
        (f::text(o.m("a"))?, f::text(o.m("b"))?),
        ("xy".into(), "x".into())
    );
    check_eq!(
        (f::stat(o.m("a"))?.nlink(), f::stat(o.m("b"))?.nlink()),
        (1, 2),
        "link counts"
    );
    check_ne!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "two objects now"
    );
    Ok(())
}

fn from_middle_lower(t: &T) -> R {
    let o = t.layers(3)?;
    f::mkdir(o.lown(1, "d"))?;
    f::mkdir(o.lown(2, "d"))?;
    f::write(o.lown(1, "d/a"), "middle")?;
    f::write(o.lown(2, "d/a"), "bottom")?;
    o.mount()?;
    f::append(o.m("d/a"), "+")?;
    check_eq!(f::text(o.m("d/a"))?, "middle+");
    check_eq!(f::text(o.lown(1, "d/a"))?, "middle");
    Ok(())
}

fn descriptor_opened_before_reads_new_data(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old data")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    check_eq!(f::pread(&h, 0, 20)?, b"old data");
    f::write(o.m("a"), "NEW DATA, longer")?;
    check_eq!(f::pread(&h, 0, 20)?, b"NEW DATA, longer");
    f::append(o.m("a"), "!")?;
    check_eq!(f::pread(&h, 0, 20)?, b"NEW DATA, longer!");
    Ok(())
}

fn descriptor_opened_before_stats_new_size(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let before = h.metadata()?;
    f::append(o.m("a"), "+new")?;
    let after = h.metadata()?;
    check_eq!(after.size(), 7);
    check_eq!(
        (after.dev(), after.ino()),
        (before.dev(), before.ino()),
        "identity"
    );
    Ok(())
}

fn descriptor_opened_before_keeps_its_offset(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    let mut h = f::open_ro(o.m("a"))?;
    let mut b = [0; 4];
    h.read_exact(&mut b)?;
    let w = f::open_rw(o.m("a"))?;
    f::pwrite(&w, 4, "NEW")?;
    check_eq!(h.stream_position()?, 4);
    check_eq!(f::drain(&mut h)?, b"NEW789");
    h.seek(SeekFrom::End(-2))?;
    check_eq!(f::drain(&mut h)?, b"89");
    Ok(())
}

fn descriptor_opened_before_sees_truncation(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    let mut h = f::open_ro(o.m("a"))?;
    f::truncate(o.m("a"), 3)?;
    check_eq!(f::drain(&mut h)?, b"012");
    f::truncate(o.m("a"), 5)?;
    check_eq!(f::drain(&mut h)?, b"\0\0");
    Ok(())
}

fn private_mapping_before(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), vec![b'o'; 8192])?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let mut m = sys::map(&h, 8192, false)?;
    m[0] = b'p';
    f::write(o.m("a"), vec![b'n'; 8192])?;
    check_eq!(
        (m[0], m[4096]),
        (b'p', b'o'),
        "a mapping made before shows the lower file"
    );
    let m2 = sys::map(&h, 8192, false)?;
    check_eq!(
        m2[0],
        b'o',
        "so does one made later of a descriptor opened before"
    );
    let h2 = f::open_ro(o.m("a"))?;
    let m3 = sys::map(&h2, 8192, false)?;
    check_eq!(m3[0], b'n', "a descriptor opened after maps the upper file");
    Ok(())
}

fn opened_before_then_unlinked(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::write(o.low("b"), "lower")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    f::unlink(o.m("a"))?;
    check_eq!(f::pread(&h, 0, 9)?, b"lower");
    let h = f::open_rw(o.m("b"))?;
    f::unlink(o.m("b"))?;
    f::pwrite(&h, 5, "+more")?;
    check_eq!(f::pread(&h, 0, 20)?, b"lower+more");
    check_eq!(h.metadata()?.nlink(), 0);
    Ok(())
}

fn lower_file_untouched(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    f::write(o.low("d/b"), "x")?;
    f::symlink("x", o.low("d/l"))?;
    f::setxattr(o.low("d/b"), "user.a", "b")?;
    let before = tree::snapshot(o.low(""), tree::ALL)?;
    o.mount()?;
    f::append(o.m("d/e/a"), "y")?;
    f::setxattr(o.m("d/b"), "user.c", "d")?;
    f::rename(o.m("d/b"), o.m("d/e/b"))?;
    f::unlink(o.m("d/l"))?;
    f::chmod(o.m("d"), 0o700)?;
    f::mkdir(o.m("d/new"))?;
    o.umount()?;
    tree::same(
        "the lower layer",
        &before,
        &tree::snapshot(o.low(""), tree::ALL)?,
    )
}

fn no_space(t: &T) -> R {
    let mut o = t.ovl()?;
    let data = f::pattern(1, 6 << 20);
    f::write(o.low("a"), &data)?;
    let small = t.tmpfs("small", "size=2m")?;
    f::mkdir(small.join("u"))?;
    f::mkdir(small.join("w"))?;
    o.upper = Some(small.join("u"));
    o.work = Some(small.join("w"));
    o.mount()?;
    check_err!(f::open_rw(o.m("a")), ENOSPC);
    check_err!(f::chmod(o.m("a"), 0o600), ENOSPC);
    check!(!o.in_upper("a")?, "nothing is published");
    check_eq!(o.work_entries()?, [""; 0]);
    check!(f::read(o.m("a"))? == data, "the lower file still shows");
    f::write(o.m("small"), "there is room for this")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

fn killed(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    let size = t.scaled(80 << 20, 24 << 20);
    {
        let mut h = f::open(o.low("a"), libc::O_CREAT | libc::O_WRONLY, 0o644)?;
        let chunk = f::pattern(4, 1 << 20);
        for _ in 0..size >> 20 {
            h.write_all(&chunk)?;
        }
    }
    o.mount()?;
    let free = || -> R<u64> {
        let s = rustix::fs::statvfs(o.up(""))?;
        Ok(s.f_bavail * s.f_frsize)
    };
    for round in 0..20 {
        let before = free()?;
        let a = o.m("a");
        let mut c = sys::spawn(move || f::open_rw(&a).map(|_| "done".into()))?;
        // Not before the copying has begun.
        for _ in 0..100_000 {
            if before.saturating_sub(free()?) >= 1 << 20 {
                break;
            }
            std::thread::yield_now();
        }
        c.kill(libc::SIGKILL)?;
        if let sys::End::Died(_) = c.wait(300)? {
            check!(!o.in_upper("a")?, "a killed copy-up publishes nothing");
            check_eq!(
                o.work_entries()?,
                [""; 0],
                "a killed copy-up leaves nothing"
            );
            check_eq!(f::stat(o.m("a"))?.size(), size);
            f::append(o.m("a"), "+")?;
            check_eq!(
                f::stat(o.up("a"))?.size(),
                size + 1,
                "the next one succeeds"
            );
            return Ok(());
        }
        check!(
            o.in_upper("a")?,
            "round {round}: neither killed nor copied up"
        );
        o.umount()?;
        f::unlink(o.up("a"))?;
        o.mount()?;
    }
    anyhow::bail!("no copy-up of {size} bytes could be interrupted in 20 rounds")
}

fn name_taken_below_is_not_replaced(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "lower")?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    o.mount()?;
    for n in ["a", "p", "d"] {
        f::stat(o.m(n))?;
        // Behind the overlay's back, after its lookup.
        f::write(o.up(n), "intruder")?;
        let r = f::chmod(o.m(n), 0o700);
        check!(
            r.is_err(),
            "copy-up of {n} to a name that was taken in the upper"
        );
        check_eq!(f::text(o.up(n))?, "intruder", "what took the name {n}");
    }
    Ok(())
}

fn cwd_in_lower_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    std::env::set_current_dir(o.m("d/e"))?;
    f::append("a", "y")?;
    f::write("b", "new")?;
    f::write("../c", "new")?;
    check_eq!(f::ls(".")?, ["a", "b"]);
    check_eq!(f::ls("..")?, ["c", "e"]);
    check_eq!(f::text(o.up("d/e/a"))?, "xy");
    std::env::set_current_dir(&t.dir)?;
    Ok(())
}

fn upper_removed_name_does_not_come_back(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check!(o.is_whiteout("a")?);
    o.again()?;
    check_err!(f::stat(o.m("a")), ENOENT);
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

fn many_files(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(100, 20);
    f::mkdir(o.low("d"))?;
    for i in 0..n {
        f::write(o.low(format!("d/{i}")), format!("{i}"))?;
    }
    o.mount()?;
    for i in 0..n {
        f::append(o.m(format!("d/{i}")), "+")?;
    }
    for i in 0..n {
        check_eq!(f::text(o.m(format!("d/{i}")))?, format!("{i}+"));
        check_eq!(f::text(o.low(format!("d/{i}")))?, format!("{i}"));
    }
    check_eq!(f::ls(o.m("d"))?.len() as u64, n);
    Ok(())
}

fn no_trace_in_workdir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("a"), "x")?;
    f::symlink("x", o.low("l"))?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    o.mount()?;
    for n in ["a", "d/e", "p"] {
        f::chmod(o.m(n), 0o700)?;
    }
    f::chown(o.m("l"), 1, 1)?;
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn fsync_modes(t: &T) -> R {
    for mode in ["fsync=auto", "fsync=strict"] {
        let o = t.ovl()?;
        f::mkdir(o.low("d"))?;
        f::write(o.low("d/a"), "x")?;
        o.mount_with(mode)?;
        f::append(o.m("d/a"), "y")?;
        check_eq!(f::text(o.m("d/a"))?, "xy", "{mode}");
        o.umount()?;
    }
    Ok(())
}

fn inotify_survives(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let mut w = sys::Inotify::watch(&o.m("a"), libc::IN_MODIFY)?;
    f::append(o.m("a"), "y")?;
    check_eq!(
        w.events() & libc::IN_MODIFY,
        libc::IN_MODIFY,
        "event of the write"
    );
    Ok(())
}
