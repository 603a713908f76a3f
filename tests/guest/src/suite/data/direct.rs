// SPDX-License-Identifier: GPL-2.0
//! Direct and asynchronous I/O.

use super::*;

cases! { "data";
    direct_io;
    direct_io_on_lower;
    direct_flag_later;
    direct_unaligned;
    aio_read_write;
    aio_direct;
    aio_on_file_opened_before_copy_up;
}

fn direct_io(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open(o.m(n), libc::O_RDWR | libc::O_DIRECT, 0)?;
        let mut buf = sys::aligned(16_384)?;
        use std::os::unix::fs::FileExt;
        check_eq!(h.read_at(&mut buf, 8192)?, 16_384);
        check!(buf[..] == data[8192..24_576], "direct read of {n}");
        buf.copy_from_slice(&f::pattern(5, 16_384));
        check_eq!(h.write_at(&buf, 4096)?, 16_384);
        let mut want = data.clone();
        want[4096..20_480].copy_from_slice(&f::pattern(5, 16_384));
        check!(
            f::read(o.m(n))? == want,
            "buffered read after a direct write of {n}"
        );
        check_eq!(h.write_at(&buf, 65_536)?, 16_384);
        check_eq!(
            f::stat(o.m(n))?.size(),
            81_920,
            "size of {n} after an extending direct write"
        );
    }
    Ok(())
}

fn direct_io_on_lower(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, _) = files(t, &data)?;
    use std::os::unix::fs::FileExt;
    let h = f::open(o.m("lower"), libc::O_RDONLY | libc::O_DIRECT, 0)?;
    let mut buf = sys::aligned(65_536)?;
    check_eq!(h.read_at(&mut buf, 0)?, 65_536);
    check!(buf[..] == data[..], "direct read");
    check!(!o.in_upper("lower")?, "it does not copy up");
    // The same descriptor, after a copy-up by another one.
    f::pwrite(&f::open_rw(o.m("lower"))?, 0, "changed")?;
    check_eq!(h.read_at(&mut buf, 0)?, 65_536);
    check_eq!(&buf[..7], b"changed");
    Ok(())
}

fn direct_flag_later(t: &T) -> R {
    let data = f::pattern(1, 16_384);
    let (o, names) = files(t, &data)?;
    use std::os::unix::fs::FileExt;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        sys::fcntl(&h, libc::F_SETFL, libc::O_DIRECT)?;
        let mut buf = sys::aligned(8192)?;
        check_eq!(h.read_at(&mut buf, 4096)?, 8192);
        check!(buf[..] == data[4096..12_288], "direct read of {n}");
    }
    Ok(())
}

fn direct_unaligned(t: &T) -> R {
    let (o, _) = files(t, &f::pattern(1, 16_384))?;
    use std::os::unix::fs::FileExt;
    // Whatever the real filesystem says to a misaligned direct read, the overlay says too.
    let mut buf = sys::aligned(8192)?;
    let flags = libc::O_RDONLY | libc::O_DIRECT;
    let real = f::open(o.up("upper"), flags, 0)?.read_at(&mut buf[1..513], 3);
    let ours = f::open(o.m("upper"), flags, 0)?.read_at(&mut buf[1..513], 3);
    check_eq!(
        ours.map_err(|e| e.raw_os_error()),
        real.map_err(|e| e.raw_os_error()),
        "a misaligned direct read"
    );
    Ok(())
}

fn aio_read_write(t: &T) -> R {
    let data = f::pattern(1, 40_000);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let aio = sys::Aio::new(8)?;
        let (w1, w2) = (f::pattern(2, 5000), f::pattern(3, 5000));
        let r = aio.run(
            &h,
            &mut [(0, sys::Io::Write(&w1)), (40_000, sys::Io::Write(&w2))],
        )?;
        check_eq!(r, [5000, 5000], "results of writes to {n}");
        let r = aio.run(&h, &mut [(0, sys::Io::Fsync)])?;
        check_eq!(r, [0], "result of fsync of {n}");
        let (mut a, mut b) = (vec![0; 6000], vec![0; 6000]);
        let r = aio.run(
            &h,
            &mut [(0, sys::Io::Read(&mut a)), (39_000, sys::Io::Read(&mut b))],
        )?;
        check_eq!(r, [6000, 6000], "results of reads of {n}");
        check!(
            a[..5000] == w1[..] && a[5000..] == data[5000..6000],
            "first read of {n}"
        );
        check!(
            b[..1000] == data[39_000..] && b[1000..] == w2[..],
            "second read of {n}"
        );
    }
    Ok(())
}

fn aio_direct(t: &T) -> R {
    let data = f::pattern(1, 65_536);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open(o.m(n), libc::O_RDWR | libc::O_DIRECT, 0)?;
        let aio = sys::Aio::new(32)?;
        let mut bufs: Vec<_> = (0..16)
            .map(|_| sys::aligned(4096))
            .collect::<Result<_, _>>()?;
        for (i, b) in bufs.iter_mut().enumerate() {
            b.copy_from_slice(&f::pattern(100 + i as u64, 4096));
        }
        let mut reqs: Vec<_> = bufs
            .iter()
            .enumerate()
            .map(|(i, b)| ((15 - i) as i64 * 4096, sys::Io::Write(b)))
            .collect();
        check_eq!(
            aio.run(&h, &mut reqs)?,
            [4096; 16],
            "results of writes to {n}"
        );
        drop(reqs);
        bufs.iter_mut().for_each(|b| b.fill(0));
        let mut reqs: Vec<_> = bufs
            .iter_mut()
            .enumerate()
            .map(|(i, b)| (i as i64 * 4096, sys::Io::Read(b)))
            .collect();
        check_eq!(
            aio.run(&h, &mut reqs)?,
            [4096; 16],
            "results of reads of {n}"
        );
        drop(reqs);
        for (i, b) in bufs.iter().enumerate() {
            check!(
                b[..] == f::pattern(115 - i as u64, 4096)[..],
                "block {i} of {n}"
            );
        }
        check!(
            f::read(o.m(n))?[..4096] == bufs[0][..],
            "buffered read of {n}"
        );
    }
    Ok(())
}

fn aio_on_file_opened_before_copy_up(t: &T) -> R {
    let (o, _) = files(t, b"old old old")?;
    let h = f::open_ro(o.m("lower"))?;
    f::write(o.m("lower"), "new")?;
    let aio = sys::Aio::new(1)?;
    let mut b = [0; 10];
    check_eq!(aio.run(&h, &mut [(0, sys::Io::Read(&mut b))])?, [3]);
    check_eq!(&b[..3], b"new");
    Ok(())
}
