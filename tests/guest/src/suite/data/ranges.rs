// SPDX-License-Identifier: GPL-2.0
//! From file to file: copied, shared (clones) and found equal (dedupe).

use super::*;

cases! { "data";
    copy_file_range_within_upper;
    copy_file_range_from_lower;
    copy_file_range_to_outside;
    clone_upper.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_from_lower.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_range.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_without_support.only_fs(&["ext4", "tmpfs"], "the filesystem can share extents");
    dedupe_upper.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    dedupe_lower_is_refused;
}

fn cfr(a: &File, mut from: u64, b: &File, mut to: u64, len: usize) -> R<usize> {
    let r = rustix::fs::copy_file_range(a, Some(&mut from), b, Some(&mut to), len);
    f::ctx(r, "copy_file_range", "")
}

fn copy_file_range_within_upper(t: &T) -> R {
    let data = f::pattern(1, 50_000);
    let (o, names) = files(t, &data)?;
    for n in names {
        let a = f::open_rw(o.m(n))?;
        f::write(o.m("out"), "")?;
        let b = f::open_rw(o.m("out"))?;
        check_eq!(cfr(&a, 100, &b, 7, 20_000)?, 20_000);
        check!(
            f::read(o.m("out"))?[7..] == data[100..20_100],
            "copy from {n}"
        );
        check_eq!(f::stat(o.m("out"))?.size(), 20_007);
        check_eq!(cfr(&a, 0, &a, 60_000, 1000)?, 1000);
        check!(
            f::read(o.m(n))?[60_000..] == data[..1000],
            "copy within {n}"
        );
    }
    Ok(())
}

fn copy_file_range_from_lower(t: &T) -> R {
    let data = f::pattern(1, 50_000);
    let (o, _) = files(t, &data)?;
    let a = f::open_ro(o.m("lower"))?;
    f::write(o.m("out"), "")?;
    let b = f::open_rw(o.m("out"))?;
    check_eq!(cfr(&a, 0, &b, 0, 100_000)?, 50_000, "short at the end");
    check!(f::read(o.m("out"))? == data, "the copy");
    check!(!o.in_upper("lower")?, "the source is not copied up");
    check_err!(cfr(&b, 0, &a, 0, 10), EBADF);
    Ok(())
}

fn copy_file_range_to_outside(t: &T) -> R {
    let data = f::pattern(1, 50_000);
    let (o, _) = files(t, &data)?;
    let a = f::open_ro(o.m("lower"))?;
    let b = f::open(t.p("out"), libc::O_CREAT | libc::O_RDWR, 0o600)?;
    check_err!(
        cfr(&a, 0, &b, 0, 1000),
        EXDEV,
        "to a file of another kind of filesystem"
    );
    // From one overlay to another of the same kind.
    let p = t.ovl()?;
    p.mount()?;
    f::write(p.m("out"), "")?;
    let b = f::open_rw(p.m("out"))?;
    check_eq!(cfr(&a, 0, &b, 0, 50_000)?, 50_000);
    check!(f::read(p.m("out"))? == data, "the copy in another overlay");
    Ok(())
}

fn clone(src: &File, dst: &File) -> R {
    f::ctx(rustix::fs::ioctl_ficlone(dst, src), "FICLONE", "")
}

fn clone_upper(t: &T) -> R {
    let data = f::pattern(1, 1 << 20);
    let (o, _) = files(t, &data)?;
    f::write(o.m("out"), "")?;
    let (a, b) = (f::open_ro(o.m("upper"))?, f::open_rw(o.m("out"))?);
    clone(&a, &b)?;
    check!(f::read(o.m("out"))? == data, "the clone");
    check_eq!(b.metadata()?.size(), 1 << 20, "size of the clone");
    check_eq!(sys::fiemap(&b)?, sys::fiemap(&a)?, "extents");
    f::pwrite(&b, 0, "own")?;
    check!(f::read(o.m("upper"))? == data, "the source stays");
    Ok(())
}

fn clone_from_lower(t: &T) -> R {
    let data = f::pattern(1, 1 << 20);
    let (o, _) = files(t, &data)?;
    f::write(o.m("out"), "")?;
    let (a, b) = (f::open_ro(o.m("lower"))?, f::open_rw(o.m("out"))?);
    clone(&a, &b)?;
    check!(f::read(o.m("out"))? == data, "the clone");
    check_eq!(sys::fiemap(&b)?, sys::fiemap(&a)?, "extents");
    check!(!o.in_upper("lower")?, "the source is not copied up");
    Ok(())
}

fn clone_range(t: &T) -> R {
    let data = f::pattern(1, 1 << 20);
    let (o, _) = files(t, &data)?;
    f::write(o.m("out"), f::pattern(2, 1 << 18))?;
    let (a, b) = (f::open_ro(o.m("lower"))?, f::open_rw(o.m("out"))?);
    f::ctx(
        sys::clone_range(&a, 65_536, 131_072, &b, 4096),
        "FICLONERANGE",
        "out",
    )?;
    let got = f::read(o.m("out"))?;
    check!(
        got[4096..135_168] == data[65_536..196_608],
        "the cloned range"
    );
    check!(got[..4096] == f::pattern(2, 4096)[..], "what is before it");
    check_eq!(got.len(), 1 << 18);
    check_err!(
        sys::clone_range(&a, 100, 4096, &b, 0),
        EINVAL,
        "a misaligned range"
    );
    Ok(())
}

fn clone_without_support(t: &T) -> R {
    let (o, _) = files(t, &f::pattern(1, 8192))?;
    f::write(o.m("out"), "")?;
    let (a, b) = (f::open_ro(o.m("lower"))?, f::open_rw(o.m("out"))?);
    check_err!(clone(&a, &b), EOPNOTSUPP);
    check_eq!(f::stat(o.m("out"))?.size(), 0);
    Ok(())
}

fn dedupe_upper(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, _) = files(t, &data)?;
    f::write(o.m("out"), &data)?;
    let (a, b) = (f::open_rw(o.m("upper"))?, f::open_rw(o.m("out"))?);
    a.sync_all()?;
    b.sync_all()?;
    check_eq!(sys::dedupe(&a, 0, 65_536, &b, 0)?, 65_536);
    check_eq!(sys::fiemap(&b)?, sys::fiemap(&a)?, "extents");
    check!(f::read(o.m("out"))? == data);
    Ok(())
}

fn dedupe_lower_is_refused(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, _) = files(t, &data)?;
    let (a, b) = (f::open_ro(o.m("lower"))?, f::open_rw(o.m("upper"))?);
    check_err!(sys::dedupe(&a, 0, 65_536, &b, 0), EPERM);
    check!(!o.in_upper("lower")?, "a dedupe request does not copy up");
    Ok(())
}
