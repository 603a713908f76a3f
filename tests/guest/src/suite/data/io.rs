// SPDX-License-Identifier: GPL-2.0
//! Reading and writing, whatever the descriptor was opened with; and what makes it last.

use super::*;

cases! { "data";
    read_write_everywhere;
    append;
    append_from_two_descriptors;
    vectored;
    pwrite_extends_with_zeros;
    read_past_end;
    write_to_readonly_descriptor;
    fcntl_append_later;
    fadvise;
    readahead;
    fsync_and_fdatasync;
    fsync_of_lower_is_quiet;
    o_sync;
    sync_file_range;
    huge_offsets;
    sparse_write;
    noatime_open;
    nonblock_open;
    write_and_read_with_two_descriptors;
    nowait_read;
}

fn read_write_everywhere(t: &T) -> R {
    let data = f::pattern(1, 300_000);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        check!(f::pread(&h, 0, 400_000)? == data, "all of {n}");
        check!(
            f::pread(&h, 4090, 20)? == data[4090..4110],
            "across a page of {n}"
        );
        f::pwrite(&h, 4090, f::pattern(2, 20))?;
        f::pwrite(&h, 299_990, f::pattern(3, 20))?;
        let mut want = data.clone();
        want.truncate(299_990);
        want[4090..4110].copy_from_slice(&f::pattern(2, 20));
        want.extend(f::pattern(3, 20));
        check!(f::pread(&h, 0, 400_000)? == want, "{n} after writes");
        check!(f::read(o.m(n))? == want, "{n} opened anew");
        check!(f::read(o.up(n))? == want, "{n} in the upper");
    }
    check!(f::read(o.low("lower"))? == data, "the lower file");
    Ok(())
}

fn append(t: &T) -> R {
    let (o, names) = files(t, b"start")?;
    for n in names {
        let mut h = f::open(o.m(n), libc::O_RDWR | libc::O_APPEND, 0)?;
        h.write_all(b"+1")?;
        h.seek(SeekFrom::Start(0))?;
        h.write_all(b"+2")?;
        check_eq!(f::text(o.m(n))?, "start+1+2");
        check_eq!(h.stream_position()?, 9, "position after an append");
    }
    Ok(())
}

fn append_from_two_descriptors(t: &T) -> R {
    let (o, names) = files(t, b"")?;
    for n in names {
        let mut a = f::open(o.m(n), libc::O_WRONLY | libc::O_APPEND, 0)?;
        let mut b = f::open(o.m(n), libc::O_WRONLY | libc::O_APPEND, 0)?;
        let mut want = String::new();
        for i in 0..50 {
            let (from_a, from_b) = (format!("a{i};"), format!("b{i};"));
            a.write_all(from_a.as_bytes())?;
            b.write_all(from_b.as_bytes())?;
            want += &from_a;
            want += &from_b;
        }
        check_eq!(f::text(o.m(n))?, want);
    }
    Ok(())
}

fn vectored(t: &T) -> R {
    use std::io::{IoSlice, IoSliceMut};
    let (o, names) = files(t, b"0123456789")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        check_eq!(rustix::io::pwritev(&h, &bufs, 3)?, 5);
        let (mut a, mut b) = ([0; 4], [0; 6]);
        let n = rustix::io::preadv(
            &h,
            &mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)],
            0,
        )?;
        check_eq!((n, &a, &b), (10, b"012a", b"bcde89"));
    }
    Ok(())
}

fn pwrite_extends_with_zeros(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        f::pwrite(&h, 10, "xyz")?;
        check_eq!(f::read(o.m(n))?, b"abc\0\0\0\0\0\0\0xyz", "{n}");
    }
    Ok(())
}

fn read_past_end(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        check_eq!(f::pread(&h, 3, 10)?, b"");
        check_eq!(f::pread(&h, 1 << 40, 10)?, b"");
        check_eq!(f::pread(&h, 2, 10)?, b"c");
        check_eq!(f::pread(&h, 0, 0)?, b"");
    }
    Ok(())
}

fn write_to_readonly_descriptor(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        check_err!(f::pwrite(&f::open_ro(o.m(n))?, 0, "x"), EBADF);
        check_err!(f::pread(&f::open(o.m(n), libc::O_WRONLY, 0)?, 0, 1), EBADF);
    }
    Ok(())
}

fn fcntl_append_later(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let mut h = f::open_rw(o.m(n))?;
        sys::fcntl(&h, libc::F_SETFL, libc::O_APPEND)?;
        h.write_all(b"+")?;
        check_eq!(f::text(o.m(n))?, "abc+", "{n}: O_APPEND set later");
        sys::fcntl(&h, libc::F_SETFL, 0)?;
        h.seek(SeekFrom::Start(0))?;
        h.write_all(b"X")?;
        check_eq!(f::text(o.m(n))?, "Xbc+", "{n}: O_APPEND cleared");
    }
    Ok(())
}

fn fadvise(t: &T) -> R {
    use rustix::fs::{fadvise, Advice};
    let (o, names) = files(t, &f::pattern(1, 65_536))?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        for a in [
            Advice::Normal,
            Advice::Sequential,
            Advice::WillNeed,
            Advice::DontNeed,
            Advice::Random,
        ] {
            f::ctx(fadvise(&h, 0, None, a), "fadvise", n)?;
        }
        check!(
            f::read(o.m(n))? == f::pattern(1, 65_536),
            "{n} after advice"
        );
    }
    Ok(())
}

fn readahead(t: &T) -> R {
    let (o, names) = files(t, &f::pattern(1, 65_536))?;
    for n in names {
        f::ctx(
            sys::readahead(&f::open_ro(o.m(n))?, 0, 65_536),
            "readahead",
            n,
        )?;
    }
    Ok(())
}

fn fsync_and_fdatasync(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        f::pwrite(&h, 0, "x")?;
        h.sync_data()?;
        f::pwrite(&h, 1, "y")?;
        h.sync_all()?;
        check_eq!(f::text(o.up(n))?, "xyc");
    }
    Ok(())
}

fn fsync_of_lower_is_quiet(t: &T) -> R {
    let (o, _) = files(t, b"abc")?;
    let h = f::open_ro(o.m("lower"))?;
    h.sync_all()?;
    h.sync_data()?;
    check!(!o.in_upper("lower")?);
    // Copied up since: the descriptor syncs the upper file.
    f::append(o.m("lower"), "d")?;
    h.sync_all()?;
    check_eq!(f::pread(&h, 0, 9)?, b"abcd");
    Ok(())
}

fn o_sync(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        for flag in [libc::O_SYNC, libc::O_DSYNC] {
            let h = f::open(o.m(n), libc::O_RDWR | flag, 0)?;
            f::pwrite(&h, 0, "XYZ")?;
            check_eq!(f::text(o.up(n))?, "XYZ");
        }
    }
    Ok(())
}

fn sync_file_range(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        f::pwrite(&h, 0, "x")?;
        // The overlay inode has no pages of its own: the call does nothing, successfully.
        f::ctx(sys::sync_file_range(&h, 0, 4096), "sync_file_range", n)?;
    }
    Ok(())
}

fn huge_offsets(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        // What the real filesystem can, the overlay can; what it cannot fails alike.
        let real = f::open(o.up("probe"), libc::O_CREAT | libc::O_RDWR, 0o600)?;
        for off in [
            1u64 << 31,
            1 << 32,
            1 << 40,
            (1 << 44) - 8192,
            i64::MAX as u64 - 10,
        ] {
            let want = crate::check::outcome(&f::pwrite(&real, off, "x"));
            let got = crate::check::outcome(&f::pwrite(&h, off, "x"));
            check_eq!(got, want, "write to {n} at {off:#x}");
        }
    }
    Ok(())
}

fn sparse_write(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        f::pwrite(&h, 256 << 20, "end")?;
        h.sync_all()?;
        check_eq!(h.metadata()?.size(), (256 << 20) + 3);
        check!(
            h.metadata()?.blocks() < 1024,
            "{n}: {} blocks",
            h.metadata()?.blocks()
        );
    }
    Ok(())
}

fn noatime_open(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    f::chmod(o.low("a"), 0o644)?;
    o.mount()?;
    let a = o.m("a");
    let flags = libc::O_RDONLY | libc::O_NOATIME;
    check_err!(
        sys::as_user(1001, 1001, || f::open(&a, flags, 0).map(drop)),
        EPERM
    );
    sys::as_user(1000, 1000, || f::open(&a, flags, 0).map(drop))
}

fn nonblock_open(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open(o.m(n), libc::O_RDWR | libc::O_NONBLOCK, 0)?;
        f::pwrite(&h, 0, "x")?;
        check_eq!(f::pread(&h, 0, 3)?, b"xbc");
    }
    Ok(())
}

fn write_and_read_with_two_descriptors(t: &T) -> R {
    let (o, names) = files(t, b"")?;
    for n in names {
        let r = f::open_ro(o.m(n))?;
        let w = f::open_rw(o.m(n))?;
        for i in 0..20u64 {
            f::pwrite(&w, i * 3000, f::pattern(i, 3000))?;
            check!(
                f::pread(&r, i * 3000, 3000)? == f::pattern(i, 3000),
                "block {i} of {n}"
            );
        }
    }
    Ok(())
}

fn nowait_read(t: &T) -> R {
    use std::io::IoSliceMut;
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        let mut b = [0; 3];
        f::pread(&h, 0, 3)?;
        let flags = rustix::io::ReadWriteFlags::NOWAIT;
        let r = rustix::io::preadv2(&h, &mut [IoSliceMut::new(&mut b)], 0, flags);
        // No FMODE_NOWAIT on overlay files.
        check_err!(r, EOPNOTSUPP, "RWF_NOWAIT read of {n}");
    }
    Ok(())
}
