// SPDX-License-Identifier: GPL-2.0
//! Attributes: stat and statx, identity across copy-up and remount, chmod, chown, times, size.

use super::prelude::*;
use rustix::fs::{statx, AtFlags, StatxFlags, CWD};

cases! { "attr";
    ino_and_dev_constant_across_copy_up;
    ino_and_dev_constant_for_every_kind;
    ino_and_dev_constant_across_copy_up_nonsamefs;
    ino_persists_over_remount;
    one_dev_when_layers_share_a_filesystem;
    dev_of_directories_nonsamefs;
    dev_of_files_nonsamefs;
    unique_inos;
    fstat_equals_stat;
    statx_fields;
    statx_attributes;
    chmod_lower;
    chmod_all_kinds;
    chmod_by_stranger;
    chmod_clears_setgid_for_stranger;
    chown_lower;
    chown_clears_suid;
    chown_by_stranger;
    chown_minus_one;
    utimes_lower;
    utimes_now_by_writer;
    utimes_by_stranger;
    truncate_grow_and_shrink;
    truncate_by_stranger;
    truncate_directory;
    truncate_clears_suid;
    write_clears_suid;
    write_updates_times;
    size_after_write;
    ctime_moves_on_change;
    setattr_of_open_descriptor;
    setattr_on_unlinked;
    nanoseconds;
    blocks;
    link_counts;
    rlimit_fsize;
    lchown_symlink;
    generation_of_merged_root;
}

fn id(p: impl AsRef<Path>) -> R<(u64, u64)> {
    let m = f::stat(p)?;
    Ok((m.dev(), m.ino()))
}

fn ino_and_dev_constant_across_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    let before = (
        id(o.m(""))?,
        id(o.m("d"))?,
        id(o.m("d/e"))?,
        id(o.m("d/a"))?,
    );
    f::append(o.m("d/a"), "y")?;
    f::chmod(o.m("d/e"), 0o700)?;
    let after = (
        id(o.m(""))?,
        id(o.m("d"))?,
        id(o.m("d/e"))?,
        id(o.m("d/a"))?,
    );
    check_eq!(after, before, "(dev, ino) of root, d, d/e, d/a");
    drop_caches()?;
    let after = (
        id(o.m(""))?,
        id(o.m("d"))?,
        id(o.m("d/e"))?,
        id(o.m("d/a"))?,
    );
    check_eq!(after, before, "the same when the caches were dropped");
    Ok(())
}

fn ino_and_dev_constant_for_every_kind(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("x", o.low("l"))?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("s"), FileType::Socket, 0o600, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::mknod(o.low("b"), FileType::BlockDevice, 0o660, 7, 9)?;
    o.mount()?;
    for n in ["l", "p", "s", "c", "b"] {
        let before = id(o.m(n))?;
        f::chown(o.m(n), 1, 1)?;
        check!(o.in_upper(n)?);
        check_eq!(id(o.m(n))?, before, "(dev, ino) of {n}");
    }
    Ok(())
}

fn ino_and_dev_constant_across_copy_up_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    let before = (id(o.m("d"))?, id(o.m("d/a"))?);
    f::append(o.m("d/a"), "y")?;
    check_eq!(
        (id(o.m("d"))?, id(o.m("d/a"))?),
        before,
        "(dev, ino) of d and d/a"
    );
    Ok(())
}

fn ino_persists_over_remount(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.low("b"), "x")?;
    o.mount()?;
    f::append(o.m("d/a"), "y")?;
    f::rename(o.m("b"), o.m("d/c"))?;
    f::write(o.m("new"), "x")?;
    let names = ["", "d", "d/e", "d/a", "d/c", "new"];
    let inos = |o: &Ovl| {
        names
            .iter()
            .map(|n| Ok(f::stat(o.m(n))?.ino()))
            .collect::<R<Vec<_>>>()
    };
    let before = inos(&o)?;
    o.again()?;
    check_eq!(inos(&o)?, before, "inode numbers of {names:?}");
    o.umount()?;
    drop_caches()?;
    o.mount()?;
    check_eq!(
        inos(&o)?,
        before,
        "inode numbers of {names:?} with cold caches"
    );
    Ok(())
}

fn one_dev_when_layers_share_a_filesystem(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    let dev = f::stat(o.root())?.dev();
    for n in ["d", "d/a", "u"] {
        check_eq!(f::stat(o.m(n))?.dev(), dev, "st_dev of {n}");
    }
    check_ne!(
        dev,
        f::stat(o.up("u"))?.dev(),
        "the overlay has a device number of its own"
    );
    Ok(())
}

fn dev_of_directories_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    f::mkdirs(o.low("l"))?;
    f::mkdirs(o.low("m"))?;
    f::mkdir(o.up("m"))?;
    f::mkdir(o.up("u"))?;
    o.mount()?;
    let dev = f::stat(o.root())?.dev();
    for n in ["l", "m", "u"] {
        check_eq!(f::stat(o.m(n))?.dev(), dev, "st_dev of directory {n}");
    }
    Ok(())
}

fn dev_of_files_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    f::write(o.low("l"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    let (root, l, u) = (id(o.root())?, id(o.m("l"))?, id(o.m("u"))?);
    check_ne!(
        l.0,
        root.0,
        "a lower file has the device number of its layer"
    );
    check_ne!(u.0, l.0, "files of two filesystems have two device numbers");
    check_eq!(l.1, f::stat(o.low("l"))?.ino(), "st_ino of the lower file");
    check_eq!(u.1, f::stat(o.up("u"))?.ino(), "st_ino of the upper file");
    check_ne!(
        l.0,
        f::stat(o.low("l"))?.dev(),
        "but not the real filesystem's number"
    );
    Ok(())
}

fn unique_inos(t: &T) -> R {
    let o = t.layers(2)?;
    for i in 0..30 {
        f::write(o.lown(0, format!("a{i}")), "x")?;
        f::write(o.lown(1, format!("b{i}")), "x")?;
        f::write(o.up(format!("c{i}")), "x")?;
        f::mkdir(o.lown(1, format!("d{i}")))?;
    }
    o.mount()?;
    for i in 0..10 {
        f::append(o.m(format!("a{i}")), "y")?;
        f::chmod(o.m(format!("d{i}")), 0o700)?;
    }
    let mut seen = std::collections::BTreeMap::new();
    for n in f::ls(o.root())? {
        if let Some(old) = seen.insert(id(o.m(&n))?, n.clone()) {
            anyhow::bail!("{old} and {n} have the same (dev, ino)");
        }
    }
    check_eq!(seen.len(), 120);
    Ok(())
}

fn fstat_equals_stat(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    for n in ["", "d", "a", "u"] {
        let (s, h) = (f::stat(o.m(n))?, f::open_ro(o.m(n))?.metadata()?);
        check_eq!(
            (s.dev(), s.ino(), s.mode(), s.size()),
            (h.dev(), h.ino(), h.mode(), h.size())
        );
        let h = f::open(o.m(n), libc::O_PATH, 0)?.metadata()?;
        check_eq!((s.dev(), s.ino()), (h.dev(), h.ino()), "O_PATH of '{n}'");
    }
    Ok(())
}

fn statx_fields(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), f::pattern(1, 5000))?;
    f::write(o.up("u"), f::pattern(1, 7000))?;
    o.mount()?;
    let want = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    for (n, real) in [("a", o.low("a")), ("u", o.up("u"))] {
        let x = f::ctx(statx(CWD, o.m(n), AtFlags::empty(), want), "statx", n)?;
        let r = f::ctx(statx(CWD, &real, AtFlags::empty(), want), "statx", n)?;
        check_eq!(x.stx_mask, r.stx_mask, "mask of {n}");
        check_eq!(x.stx_size, r.stx_size, "size of {n}");
        check_eq!(x.stx_blocks, r.stx_blocks, "blocks of {n}");
        check_eq!(x.stx_mtime.tv_sec, r.stx_mtime.tv_sec, "mtime of {n}");
        check_eq!(x.stx_btime.tv_sec, r.stx_btime.tv_sec, "btime of {n}");
        check_eq!(x.stx_ino, f::stat(o.m(n))?.ino(), "ino of {n}");
        check_eq!(x.stx_blksize, r.stx_blksize, "blksize of {n}");
    }
    Ok(())
}

fn statx_attributes(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    let h = f::open_ro(o.low("a"))?;
    let old = sys::getflags(&h)?;
    f::ctx(sys::setflags(&h, old | 0x10), "chattr +i", "a")?;
    o.mount()?;
    let x = statx(CWD, o.m("a"), AtFlags::empty(), StatxFlags::BASIC_STATS)?;
    sys::setflags(&h, old)?;
    let immutable = rustix::fs::StatxAttributes::IMMUTABLE;
    check!(
        x.stx_attributes.contains(immutable),
        "STATX_ATTR_IMMUTABLE of an immutable lower file"
    );
    Ok(())
}

fn chmod_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o644)?;
    o.mount()?;
    f::chmod(o.m("a"), 0o4711)?;
    check_eq!((f::mode(o.m("a"))?, f::mode(o.up("a"))?), (0o4711, 0o4711));
    check_eq!(f::mode(o.low("a"))?, 0o644);
    Ok(())
}

fn chmod_all_kinds(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o644, 1, 3)?;
    o.mount()?;
    for n in ["", "d", "p", "c"] {
        f::chmod(o.m(n), 0o751)?;
        check_eq!(f::mode(o.m(n))?, 0o751, "mode of '{n}'");
        check_eq!(f::mode(o.up(n))?, 0o751, "mode of '{n}' in the upper");
    }
    Ok(())
}

fn chmod_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || f::chmod(&a, 0o777)), EPERM);
    check!(!o.in_upper("a")?, "a refused chmod does not copy up");
    sys::as_user(1000, 1000, || f::chmod(&a, 0o600))?;
    check_eq!(f::mode(&a)?, 0o600);
    check_eq!(f::stat(o.up("a"))?.uid(), 1000);
    Ok(())
}

fn chmod_clears_setgid_for_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 50)?;
    o.mount()?;
    let a = o.m("a");
    sys::as_user(1000, 1000, || f::chmod(&a, 0o2755))?;
    check_eq!(f::mode(&a)?, 0o755, "the owner is not in the group");
    sys::as_user_groups(1000, 1000, &[50], || f::chmod(&a, 0o2755))?;
    check_eq!(f::mode(&a)?, 0o2755, "the owner is in the group");
    Ok(())
}

fn chown_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    for n in ["a", "d"] {
        f::chown(o.m(n), 11, 22)?;
        for p in [o.m(n), o.up(n)] {
            check_eq!(
                (f::stat(&p)?.uid(), f::stat(&p)?.gid()),
                (11, 22),
                "{}",
                p.display()
            );
        }
    }
    check_eq!(f::stat(o.low("a"))?.uid(), 0);
    Ok(())
}

fn chown_clears_suid(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o6755)?;
    o.mount()?;
    f::chown(o.m("a"), 11, 22)?;
    check_eq!(f::mode(o.m("a"))?, 0o755);
    check_eq!(f::mode(o.up("a"))?, 0o755);
    Ok(())
}

fn chown_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || f::chown(&a, 1001, 1001)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::chown(&a, 1001, 1000)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::chown(&a, 1000, 50)), EPERM);
    check!(!o.in_upper("a")?, "a refused chown does not copy up");
    sys::as_user_groups(1000, 1000, &[50], || f::chown(&a, 1000, 50))?;
    check_eq!(f::stat(o.up("a"))?.gid(), 50);
    Ok(())
}

fn chown_minus_one(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 5, 6)?;
    o.mount()?;
    f::chown(o.m("a"), !0, 9)?;
    check_eq!((f::stat(o.m("a"))?.uid(), f::stat(o.m("a"))?.gid()), (5, 9));
    f::chown(o.m("a"), 8, !0)?;
    check_eq!((f::stat(o.m("a"))?.uid(), f::stat(o.m("a"))?.gid()), (8, 9));
    Ok(())
}

fn utimes_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    for n in ["a", "d"] {
        f::utimes(o.m(n), (1_000, 111), (2_000, 222))?;
        for p in [o.m(n), o.up(n)] {
            let m = f::stat(&p)?;
            check_eq!(
                (m.atime(), m.atime_nsec()),
                (1_000, 111),
                "atime of {}",
                p.display()
            );
            check_eq!(
                (m.mtime(), m.mtime_nsec()),
                (2_000, 222),
                "mtime of {}",
                p.display()
            );
        }
    }
    Ok(())
}

const NOW: (i64, i64) = (0, libc::UTIME_NOW);
const OMIT: (i64, i64) = (0, libc::UTIME_OMIT);

fn utimes_now_by_writer(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o666)?;
    f::utimes(o.low("a"), (1, 0), (1, 0))?;
    o.mount()?;
    let a = o.m("a");
    sys::as_user(1001, 1001, || f::utimes(&a, NOW, NOW))?;
    check!(f::stat(&a)?.mtime() > 1_000_000);
    f::utimes(&a, OMIT, (77, 0))?;
    check!(
        f::stat(&a)?.atime() > 1_000_000,
        "atime was to be left alone"
    );
    check_eq!(f::stat(&a)?.mtime(), 77);
    Ok(())
}

fn utimes_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o666)?;
    f::write(o.low("r"), "x")?;
    o.mount()?;
    let (a, r) = (o.m("a"), o.m("r"));
    check_err!(
        sys::as_user(1001, 1001, || f::utimes(&a, (1, 0), (1, 0))),
        EPERM
    );
    check_err!(sys::as_user(1001, 1001, || f::utimes(&r, NOW, NOW)), EACCES);
    check!(
        !o.in_upper("a")? && !o.in_upper("r")?,
        "refused changes do not copy up"
    );
    Ok(())
}

fn truncate_grow_and_shrink(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    f::truncate(o.m("a"), 4)?;
    check_eq!(f::text(o.m("a"))?, "0123");
    f::truncate(o.m("a"), 6)?;
    check_eq!(f::read(o.m("a"))?, b"0123\0\0");
    f::truncate(o.m("a"), 1 << 32)?;
    check_eq!(f::stat(o.m("a"))?.size(), 1 << 32);
    f::truncate(o.m("a"), 0)?;
    check_eq!(f::stat(o.m("a"))?.size(), 0);
    check_eq!(f::text(o.low("a"))?, "0123456789");
    Ok(())
}

fn truncate_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || f::truncate(&a, 1)), EACCES);
    check!(!o.in_upper("a")?);
    Ok(())
}

fn truncate_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    check_err!(f::truncate(o.m("d"), 1), EISDIR);
    Ok(())
}

fn truncate_clears_suid(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "0123456789")?;
    f::chown(o.low("a"), 1000, 1000)?;
    f::chmod(o.low("a"), 0o6777)?;
    o.mount()?;
    let a = o.m("a");
    sys::as_user(1001, 1001, || f::truncate(&a, 1))?;
    check_eq!(f::mode(&a)?, 0o777);
    check_eq!(f::mode(o.up("a"))?, 0o777);
    Ok(())
}

fn write_clears_suid(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["lower", "upper"] {
        let p = if n == "lower" { o.low(n) } else { o.up(n) };
        f::write(&p, "0123456789")?;
        f::chmod(&p, 0o6777)?;
    }
    o.mount()?;
    for n in ["lower", "upper"] {
        let a = o.m(n);
        sys::as_user(1001, 1001, || f::append(&a, "x"))?;
        check_eq!(f::mode(&a)?, 0o777, "{n}");
        check_eq!(f::mode(o.up(n))?, 0o777, "{n} in the upper");
    }
    Ok(())
}

fn write_updates_times(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::utimes(o.low("a"), (1, 0), (1, 0))?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    let (m, u) = (f::stat(o.m("a"))?, f::stat(o.up("a"))?);
    check!(m.mtime() > 1_000_000, "mtime moved");
    check_eq!(
        (m.mtime(), m.mtime_nsec()),
        (u.mtime(), u.mtime_nsec()),
        "mtime as in the upper"
    );
    check_eq!(
        (m.ctime(), m.ctime_nsec()),
        (u.ctime(), u.ctime_nsec()),
        "ctime as in the upper"
    );
    Ok(())
}

fn size_after_write(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let mut h = f::open(o.m("a"), libc::O_RDWR | libc::O_APPEND, 0)?;
    for i in 1..10 {
        h.write_all(b"12345")?;
        check_eq!(h.metadata()?.size(), 1 + i * 5);
        check_eq!(f::stat(o.m("a"))?.size(), 1 + i * 5);
        check_eq!(h.seek(SeekFrom::End(0))?, 1 + i * 5, "SEEK_END");
    }
    Ok(())
}

fn ctime_moves_on_change(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let before = f::stat(o.m("a"))?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    f::chmod(o.m("a"), 0o600)?;
    let after = f::stat(o.m("a"))?;
    let key = |m: &std::fs::Metadata| (m.ctime(), m.ctime_nsec());
    check!(key(&after) > key(&before), "ctime moves with a chmod");
    check_eq!(
        key(&after),
        key(&f::stat(o.up("a"))?),
        "ctime as in the upper"
    );
    Ok(())
}

fn setattr_of_open_descriptor(t: &T) -> R {
    use std::os::unix::fs::PermissionsExt;
    let o = t.ovl()?;
    f::write(o.low("a"), "0123")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    h.set_permissions(PermissionsExt::from_mode(0o604))?;
    std::os::unix::fs::fchown(&h, Some(3), Some(4))?;
    let m = h.metadata()?;
    check_eq!((m.mode() & 0o7777, m.uid(), m.gid()), (0o604, 3, 4));
    let h = f::open_rw(o.m("a"))?;
    h.set_len(2)?;
    check_eq!(f::text(o.m("a"))?, "01");
    Ok(())
}

fn setattr_on_unlinked(t: &T) -> R {
    use std::os::unix::fs::PermissionsExt;
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("u"), "0123")?;
    let h = f::open_rw(o.m("u"))?;
    f::unlink(o.m("u"))?;
    h.set_permissions(PermissionsExt::from_mode(0o604))?;
    h.set_len(2)?;
    check_eq!(
        (h.metadata()?.mode() & 0o7777, h.metadata()?.size()),
        (0o604, 2)
    );
    Ok(())
}

fn nanoseconds(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::utimes(o.m("a"), (5, 999_999_999), (6, 1))?;
    let m = f::stat(o.m("a"))?;
    check_eq!((m.atime_nsec(), m.mtime_nsec()), (999_999_999, 1));
    Ok(())
}

fn blocks(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), f::pattern(1, 1 << 20))?;
    f::open_ro(o.low("a"))?.sync_all()?;
    o.mount()?;
    check_eq!(f::stat(o.m("a"))?.blocks(), f::stat(o.low("a"))?.blocks());
    check_eq!(f::stat(o.m("a"))?.blksize(), f::stat(o.low("a"))?.blksize());
    Ok(())
}

fn link_counts(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("l/e"))?;
    f::mkdirs(o.low("m"))?;
    f::mkdirs(o.up("m/f"))?;
    f::mkdirs(o.up("u/g"))?;
    o.mount()?;
    check_eq!(f::stat(o.root())?.nlink(), 1, "the merged root");
    check_eq!(f::stat(o.m("m"))?.nlink(), 1, "a merged directory");
    check_eq!(
        f::stat(o.m("l"))?.nlink(),
        f::stat(o.low("l"))?.nlink(),
        "a lower directory"
    );
    check_eq!(
        f::stat(o.m("u"))?.nlink(),
        f::stat(o.up("u"))?.nlink(),
        "an upper directory"
    );
    Ok(())
}

fn rlimit_fsize(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let a = o.m("a");
    let r = sys::spawn(|| {
        sys::ignore_signal(libc::SIGXFSZ);
        let lim = rustix::process::Rlimit {
            current: Some(1000),
            maximum: Some(1000),
        };
        rustix::process::setrlimit(rustix::process::Resource::Fsize, lim)?;
        check_err!(f::truncate(&a, 5000), EFBIG);
        let h = f::open_rw(&a)?;
        check_err!(f::pwrite(&h, 4000, "x"), EFBIG);
        f::pwrite(&h, 900, "fits")?;
        Ok(String::new())
    })?;
    r.join()?;
    check_eq!(f::stat(&a)?.size(), 904);
    Ok(())
}

fn lchown_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("target"), "x")?;
    f::symlink("target", o.low("l"))?;
    o.mount()?;
    f::chown(o.m("l"), 8, 9)?;
    check_eq!(f::stat(o.m("l"))?.uid(), 8);
    check!(!o.in_upper("target")?, "the target is not touched");
    f::chmod(o.m("l"), 0o600)?;
    check_eq!(f::mode(o.m("target"))?, 0o600, "chmod goes to the target");
    Ok(())
}

fn generation_of_merged_root(t: &T) -> R {
    let o = t.ovl()?;
    f::chmod(o.up(""), 0o711)?;
    f::chown(o.up(""), 3, 4)?;
    f::chmod(o.low(""), 0o777)?;
    o.mount()?;
    let m = f::stat(o.root())?;
    check_eq!(
        (m.mode() & 0o7777, m.uid(), m.gid()),
        (0o711, 3, 4),
        "the root is the upper's"
    );
    check_eq!(
        m.ino(),
        f::stat(o.up(""))?.ino(),
        "and has its inode number"
    );
    Ok(())
}
