// SPDX-License-Identifier: GPL-2.0
//! The space that a file takes: what is allocated, what is a hole, which extents there are.

use super::*;
use rustix::fs::FallocateFlags;

cases! { "data";
    fallocate_allocates;
    fallocate_keep_size;
    punch_hole;
    zero_range;
    fallocate_on_lower_copies_up;
    fallocate_clears_suid;
    seek_hole_data_lower;
    seek_hole_data_upper;
    seek_end_and_errors;
    fiemap_lower;
    fiemap_upper;
}

fn fallocate_allocates(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        falloc(&h, FallocateFlags::empty(), 0, 1 << 20)?;
        check_eq!(f::stat(o.m(n))?.size(), 1 << 20, "size of {n}");
        check!(f::stat(o.m(n))?.blocks() >= 2048, "blocks of {n}");
        check_eq!(f::pread(&h, 0, 5)?, b"abc\0\0");
    }
    Ok(())
}

fn fallocate_keep_size(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        falloc(&h, FallocateFlags::KEEP_SIZE, 0, 1 << 20)?;
        check_eq!(f::stat(o.m(n))?.size(), 3, "size of {n}");
        check!(
            f::stat(o.up(n))?.blocks() >= 2048,
            "blocks of {n} in the upper"
        );
    }
    Ok(())
}

fn punch_hole(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        falloc(
            &h,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            8192,
            16_384,
        )?;
        let mut want = data.clone();
        want[8192..24_576].fill(0);
        check!(f::read(o.m(n))? == want, "{n} with a hole");
        check!(f::read(o.low("lower"))? == data, "the lower file");
    }
    Ok(())
}

fn zero_range(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let real = f::open_rw(o.up(if n == "lower" { "upper" } else { n }))?;
        let flags = FallocateFlags::ZERO_RANGE;
        // tmpfs cannot: then the overlay cannot either.
        if let Err(e) = falloc(&real, flags | FallocateFlags::KEEP_SIZE, 70_000, 4096) {
            check_eq!(crate::check::Errno::errno(&e), Some(libc::EOPNOTSUPP));
            check_err!(falloc(&h, flags, 4096, 8192), EOPNOTSUPP);
            continue;
        }
        falloc(&h, flags, 4096, 8192)?;
        check!(
            f::read(o.m(n))?[4096..12_288].iter().all(|b| *b == 0),
            "{n} is zeroed"
        );
    }
    Ok(())
}

fn fallocate_on_lower_copies_up(t: &T) -> R {
    let (o, _) = files(t, b"abc")?;
    check_err!(
        falloc(&f::open_ro(o.m("lower"))?, FallocateFlags::empty(), 0, 10),
        EBADF
    );
    check!(!o.in_upper("lower")?);
    falloc(&f::open_rw(o.m("lower"))?, FallocateFlags::empty(), 0, 10)?;
    check_eq!(f::stat(o.up("lower"))?.size(), 10);
    check_eq!(f::stat(o.low("lower"))?.size(), 3);
    Ok(())
}

fn fallocate_clears_suid(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    f::chmod(o.up("a"), 0o4777)?;
    o.mount()?;
    let a = o.m("a");
    sys::as_user(1001, 1001, || {
        falloc(&f::open_rw(&a)?, FallocateFlags::empty(), 0, 100)
    })?;
    check_eq!(f::mode(&a)?, 0o777);
    Ok(())
}

/// Data, hole, data: of one MiB each.
fn holey(p: PathBuf) -> R {
    let h = f::open(p, libc::O_CREAT | libc::O_RDWR, 0o644)?;
    f::pwrite(&h, 0, f::pattern(1, 1 << 20))?;
    f::pwrite(&h, 2 << 20, f::pattern(2, 1 << 20))?;
    Ok(h.sync_all()?)
}

fn check_holes(p: PathBuf) -> R {
    let h = f::open_ro(p)?;
    const M: i64 = 1 << 20;
    check_eq!(sys::lseek(&h, 0, libc::SEEK_HOLE)?, M, "first hole");
    check_eq!(sys::lseek(&h, M, libc::SEEK_DATA)?, 2 * M, "data after it");
    check_eq!(sys::lseek(&h, 0, libc::SEEK_DATA)?, 0, "data at the start");
    check_eq!(
        sys::lseek(&h, 2 * M, libc::SEEK_HOLE)?,
        3 * M,
        "the hole at the end"
    );
    check_err!(sys::lseek(&h, 3 * M, libc::SEEK_DATA), ENXIO);
    check_eq!(sys::lseek(&h, 5, libc::SEEK_SET)?, 5);
    check_eq!(sys::lseek(&h, 0, libc::SEEK_CUR)?, 5, "the position");
    Ok(())
}

fn seek_hole_data_lower(t: &T) -> R {
    let o = t.ovl()?;
    holey(o.low("a"))?;
    o.mount()?;
    check_holes(o.m("a"))?;
    f::chmod(o.m("a"), 0o600)?;
    check_holes(o.m("a"))
}

fn seek_hole_data_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    holey(o.m("a"))?;
    check_holes(o.m("a"))
}

fn seek_end_and_errors(t: &T) -> R {
    let (o, names) = files(t, b"0123456789")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        check_eq!(sys::lseek(&h, 0, libc::SEEK_END)?, 10);
        check_eq!(sys::lseek(&h, -3, libc::SEEK_END)?, 7);
        check_eq!(sys::lseek(&h, 2, libc::SEEK_CUR)?, 9);
        check_err!(sys::lseek(&h, -1, libc::SEEK_SET), EINVAL);
        check_err!(sys::lseek(&h, -11, libc::SEEK_END), EINVAL);
        check_err!(sys::lseek(&h, 0, 99), EINVAL);
        check_eq!(
            sys::lseek(&h, 0, libc::SEEK_CUR)?,
            9,
            "errors do not move the position"
        );
        check_eq!(sys::lseek(&h, 1 << 40, libc::SEEK_SET)?, 1 << 40);
    }
    Ok(())
}

fn fiemap_lower(t: &T) -> R {
    let (o, _) = files(t, &f::pattern(1, 65_536))?;
    let (m, r) = (f::open_ro(o.m("lower"))?, f::open_ro(o.low("lower"))?);
    r.sync_all()?;
    if t.fs == "tmpfs" {
        check_err!(sys::fiemap(&m), EOPNOTSUPP);
        return Ok(());
    }
    let want = sys::fiemap(&r)?;
    check!(!want.is_empty());
    check_eq!(sys::fiemap(&m)?, want);
    Ok(())
}

fn fiemap_upper(t: &T) -> R {
    let (o, _) = files(t, &f::pattern(1, 65_536))?;
    for n in ["upper", "copied"] {
        let (m, r) = (f::open_ro(o.m(n))?, f::open_ro(o.up(n))?);
        r.sync_all()?;
        if t.fs == "tmpfs" {
            check_err!(sys::fiemap(&m), EOPNOTSUPP);
            continue;
        }
        check_eq!(sys::fiemap(&m)?, sys::fiemap(&r)?, "{n}");
    }
    Ok(())
}
