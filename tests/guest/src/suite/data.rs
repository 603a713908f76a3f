// SPDX-License-Identifier: GPL-2.0
//! File data: reads, writes, direct and asynchronous I/O, mappings, splicing, space, locks.

use super::prelude::*;
use rustix::fs::{FallocateFlags, FlockOperation};

cases! { "data";
    read_write_everywhere;
    append;
    append_from_two_descriptors;
    vectored;
    pwrite_extends_with_zeros;
    read_past_end;
    write_to_readonly_descriptor;
    fcntl_append_later;
    direct_io;
    direct_io_on_lower;
    direct_flag_later;
    direct_unaligned;
    aio_read_write;
    aio_direct;
    aio_on_file_opened_before_copy_up;
    mmap_private;
    mmap_shared_write;
    mmap_shared_write_of_lower;
    mmap_shared_readonly_of_lower;
    mmap_execute;
    mmap_beyond_end_is_sigbus;
    mmap_mprotect;
    splice_out;
    splice_in;
    splice_in_append;
    sendfile_from_lower;
    sendfile_between_overlay_files;
    vmsplice_tee;
    fallocate_allocates;
    fallocate_keep_size;
    punch_hole;
    zero_range;
    fallocate_on_lower_copies_up;
    fallocate_clears_suid;
    fadvise;
    readahead;
    seek_hole_data_lower;
    seek_hole_data_upper;
    seek_end_and_errors;
    fsync_and_fdatasync;
    fsync_of_lower_is_quiet;
    o_sync;
    sync_file_range;
    copy_file_range_within_upper;
    copy_file_range_from_lower;
    copy_file_range_to_outside;
    clone_upper.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_from_lower.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_range.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    clone_without_support.only_fs(&["ext4", "tmpfs"], "the filesystem can share extents");
    dedupe_upper.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    dedupe_lower_is_refused;
    flock;
    flock_is_per_overlay_inode;
    posix_locks;
    posix_lock_across_copy_up;
    ofd_locks;
    leases;
    lease_on_directory;
    fiemap_lower;
    fiemap_upper;
    huge_offsets;
    sparse_write;
    noatime_open;
    nonblock_open;
    write_and_read_with_two_descriptors;
    truncate_while_mapped;
    memfd_like_tmpfile_use;
    nowait_read;
}

/// Files of every origin: in the lower, copied up, made in the upper; with the same contents.
fn files(t: &T, data: &[u8]) -> R<(Ovl, [&'static str; 3])> {
    let o = t.ovl()?;
    f::write(o.low("lower"), data)?;
    f::write(o.low("copied"), data)?;
    f::write(o.up("upper"), data)?;
    o.mount()?;
    f::chmod(o.m("copied"), 0o600)?;
    Ok((o, ["lower", "copied", "upper"]))
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

fn mmap_private(t: &T) -> R {
    let data = f::pattern(1, 12_288);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        let mut m = sys::map(&h, 12_288, false)?;
        check!(m[..] == data[..], "{n} through a private mapping");
        m[5000] ^= 0xff;
        check!(f::read(o.m(n))? == data, "{n} itself does not change");
    }
    check!(!o.in_upper("lower")?, "a private mapping does not copy up");
    Ok(())
}

fn mmap_shared_write(t: &T) -> R {
    let data = f::pattern(1, 12_288);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let mut m = sys::map(&h, 12_288, true)?;
        m[5000..5004].copy_from_slice(b"mmap");
        check_eq!(f::pread(&h, 5000, 4)?, b"mmap", "read of {n}");
        m.flush()?;
        check_eq!(
            f::pread(&f::open_ro(o.up(n))?, 5000, 4)?,
            b"mmap",
            "{n} in the upper"
        );
        f::pwrite(&h, 6000, "write")?;
        check_eq!(
            &m[6000..6005],
            b"write",
            "{n} through the mapping after a write"
        );
        drop(m);
        drop(h);
        check_eq!(f::read(o.m(n))?[5000..5004], *b"mmap");
    }
    Ok(())
}

fn mmap_shared_write_of_lower(t: &T) -> R {
    let (o, _) = files(t, &[b'x'; 4096])?;
    let h = f::open_rw(o.m("lower"))?;
    let mut m = sys::map(&h, 4096, true)?;
    m[0] = b'Y';
    m.flush()?;
    check_eq!(f::read(o.low("lower"))?[0], b'x', "the lower file");
    check_eq!(f::read(o.up("lower"))?[0], b'Y', "the upper file");
    Ok(())
}

fn mmap_shared_readonly_of_lower(t: &T) -> R {
    let (o, _) = files(t, &[b'x'; 8192])?;
    let h = f::open_ro(o.m("lower"))?;
    let m = sys::map_ro(&h, 8192)?;
    check_eq!((m[0], m[8191]), (b'x', b'x'));
    check!(!o.in_upper("lower")?, "it does not copy up");
    check_err!(
        sys::map(&h, 8192, true),
        EACCES,
        "a writable shared mapping of a read-only file"
    );
    Ok(())
}

fn mmap_execute(t: &T) -> R {
    let o = t.ovl()?;
    // A program, from the lower and copied up.
    let me = f::read("/proc/self/exe")?;
    f::write(o.low("prog"), &me)?;
    f::chmod(o.low("prog"), 0o755)?;
    o.mount()?;
    let run = || {
        f::ctx(
            sys::run(&o.m("prog"), &["--scale=what"]),
            "run",
            o.m("prog"),
        )
    };
    check_eq!(run()?, 2, "exit status of a program in the lower");
    f::utimes(o.m("prog"), (1, 0), (1, 0))?;
    check!(o.in_upper("prog")?);
    check_eq!(run()?, 2, "exit status of the copied-up program");
    Ok(())
}

fn mmap_beyond_end_is_sigbus(t: &T) -> R {
    let (o, _) = files(t, b"short")?;
    for n in ["lower", "upper"] {
        let p = o.m(n);
        let mut c = sys::spawn(move || {
            let h = f::open_ro(p)?;
            let m = sys::map(&h, 8192, false)?;
            let v = std::hint::black_box(m[4097]);
            Ok(format!("read {v}"))
        })?;
        match c.wait(60)? {
            sys::End::Died(st) => check_eq!(st & 0x7f, libc::SIGBUS, "signal"),
            _ => anyhow::bail!("reading a mapping of {n} beyond the end succeeded"),
        }
    }
    Ok(())
}

fn mmap_mprotect(t: &T) -> R {
    let (o, names) = files(t, &[b'x'; 4096])?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let m = sys::map(&h, 4096, true)?.make_read_only()?;
        let mut m = m.make_mut()?;
        m[1] = b'M';
        drop(m);
        check_eq!(f::read(o.m(n))?[1], b'M', "{n}");
    }
    Ok(())
}

fn pipe() -> R<(File, File)> {
    let (r, w) = rustix::pipe::pipe()?;
    Ok((File::from(r), File::from(w)))
}

const NOFLAGS: rustix::pipe::SpliceFlags = rustix::pipe::SpliceFlags::empty();

fn splice_out(t: &T) -> R {
    let data = f::pattern(1, 10_000);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        let (mut r, w) = pipe()?;
        let mut off = 100;
        let k = rustix::pipe::splice(&h, Some(&mut off), &w, None, 5000, NOFLAGS)?;
        drop(w);
        check_eq!((k, off), (5000, 5100), "bytes and offset of {n}");
        check!(f::drain(&mut r)? == data[100..5100], "data of {n}");
    }
    check!(
        !o.in_upper("lower")?,
        "splicing from a lower file does not copy up"
    );
    Ok(())
}

fn splice_in(t: &T) -> R {
    let (o, names) = files(t, &[b'.'; 10])?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let (r, mut w) = pipe()?;
        w.write_all(b"spliced")?;
        let mut off = 2;
        check_eq!(
            rustix::pipe::splice(&r, None, &h, Some(&mut off), 100, NOFLAGS)?,
            7
        );
        check_eq!(off, 9);
        check_eq!(f::text(o.m(n))?, "..spliced.", "{n}");
        check_eq!(f::text(o.up(n))?, "..spliced.", "{n} in the upper");
        w.write_all(b"beyond")?;
        off = 20;
        check_eq!(
            rustix::pipe::splice(&r, None, &h, Some(&mut off), 100, NOFLAGS)?,
            6
        );
        check_eq!(f::stat(o.m(n))?.size(), 26, "size of {n}");
    }
    Ok(())
}

fn splice_in_append(t: &T) -> R {
    let (o, names) = files(t, b"start")?;
    for n in names {
        let h = f::open(o.m(n), libc::O_WRONLY | libc::O_APPEND, 0)?;
        let (r, mut w) = pipe()?;
        w.write_all(b"end")?;
        // splice refuses O_APPEND everywhere.
        check_err!(
            rustix::pipe::splice(&r, None, &h, None, 100, NOFLAGS),
            EINVAL
        );
        check_eq!(f::text(o.m(n))?, "start");
    }
    Ok(())
}

fn sendfile_from_lower(t: &T) -> R {
    let data = f::pattern(1, 200_000);
    let (o, names) = files(t, &data)?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        let mut out = f::open(
            t.p("out"),
            libc::O_CREAT | libc::O_RDWR | libc::O_TRUNC,
            0o600,
        )?;
        let mut off = 0;
        while off < 200_000 {
            let k = rustix::fs::sendfile(&out, &h, Some(&mut off), 200_000)?;
            check!(k > 0, "sendfile of {n} makes progress at {off}");
        }
        out.seek(SeekFrom::Start(0))?;
        check!(f::drain(&mut out)? == data, "data of {n}");
    }
    check!(!o.in_upper("lower")?);
    Ok(())
}

fn sendfile_between_overlay_files(t: &T) -> R {
    let data = f::pattern(1, 100_000);
    let (o, _) = files(t, &data)?;
    let from = f::open_ro(o.m("lower"))?;
    let to = f::open_rw(o.m("upper"))?;
    to.set_len(0)?;
    let mut sent = 0;
    while sent < 100_000 {
        let k = rustix::fs::sendfile(&to, &from, None, 100_000)?;
        check!(k > 0, "sendfile makes progress at {sent}");
        sent += k;
    }
    check!(f::read(o.m("upper"))? == data, "data");
    Ok(())
}

fn vmsplice_tee(t: &T) -> R {
    let (o, names) = files(t, b"tee me")?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        let ((mut r1, w1), (mut r2, w2)) = (pipe()?, pipe()?);
        check_eq!(
            rustix::pipe::splice(&h, Some(&mut 0), &w1, None, 10, NOFLAGS)?,
            6
        );
        check_eq!(rustix::pipe::tee(&r1, &w2, 10, NOFLAGS)?, 6);
        drop((w1, w2));
        check_eq!(
            (f::drain(&mut r1)?, f::drain(&mut r2)?),
            (b"tee me".to_vec(), b"tee me".to_vec())
        );
    }
    Ok(())
}

fn falloc(h: &File, mode: FallocateFlags, off: u64, len: u64) -> R {
    f::ctx(
        rustix::fs::fallocate(h, mode, off, len),
        "fallocate",
        "(descriptor)",
    )
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

fn flock(t: &T) -> R {
    let (o, names) = files(t, b"abc")?;
    for n in names {
        let (a, b) = (f::open_ro(o.m(n))?, f::open_ro(o.m(n))?);
        rustix::fs::flock(&a, FlockOperation::LockExclusive)?;
        check_err!(
            rustix::fs::flock(&b, FlockOperation::NonBlockingLockShared),
            EAGAIN,
            "{n}"
        );
        rustix::fs::flock(&a, FlockOperation::Unlock)?;
        rustix::fs::flock(&b, FlockOperation::NonBlockingLockShared)?;
        rustix::fs::flock(&a, FlockOperation::NonBlockingLockShared)?;
    }
    check!(!o.in_upper("lower")?);
    Ok(())
}

fn flock_is_per_overlay_inode(t: &T) -> R {
    let (o, _) = files(t, b"abc")?;
    let a = f::open_ro(o.m("lower"))?;
    rustix::fs::flock(&a, FlockOperation::LockExclusive)?;
    let low = f::open_ro(o.low("lower"))?;
    rustix::fs::flock(&low, FlockOperation::NonBlockingLockExclusive)?;
    // The lock stays through a copy-up.
    f::append(o.m("lower"), "d")?;
    let b = f::open_ro(o.m("lower"))?;
    check_err!(
        rustix::fs::flock(&b, FlockOperation::NonBlockingLockExclusive),
        EAGAIN
    );
    drop(a);
    rustix::fs::flock(&b, FlockOperation::NonBlockingLockExclusive)?;
    Ok(())
}

fn posix_locks(t: &T) -> R {
    let (o, names) = files(t, b"0123456789")?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        sys::setlk(&h, libc::F_SETLK, libc::F_WRLCK, 0, 5)?;
        let p = o.m(n);
        sys::spawn(move || {
            let h = f::open_rw(p)?;
            check_err!(sys::setlk(&h, libc::F_SETLK, libc::F_RDLCK, 3, 4), EAGAIN);
            sys::setlk(&h, libc::F_SETLK, libc::F_WRLCK, 5, 5)?;
            check_eq!(sys::getlk(&h, libc::F_GETLK, libc::F_WRLCK)?, libc::F_WRLCK);
            Ok(String::new())
        })?
        .join()?;
        sys::setlk(&h, libc::F_SETLK, libc::F_UNLCK, 0, 0)?;
    }
    Ok(())
}

fn posix_lock_across_copy_up(t: &T) -> R {
    let (o, _) = files(t, b"0123456789")?;
    let h = f::open_ro(o.m("lower"))?;
    sys::setlk(&h, libc::F_SETLK, libc::F_RDLCK, 0, 0)?;
    let p = o.m("lower");
    sys::spawn(move || {
        let h = f::open_rw(p)?;
        check_err!(sys::setlk(&h, libc::F_SETLK, libc::F_WRLCK, 0, 0), EAGAIN);
        sys::setlk(&h, libc::F_SETLK, libc::F_RDLCK, 0, 0)?;
        Ok(String::new())
    })?
    .join()?;
    check!(o.in_upper("lower")?);
    Ok(())
}

fn ofd_locks(t: &T) -> R {
    let (o, names) = files(t, b"0123456789")?;
    for n in names {
        let (a, b) = (f::open_rw(o.m(n))?, f::open_rw(o.m(n))?);
        sys::setlk(&a, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 5)?;
        check_err!(
            sys::setlk(&b, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 1),
            EAGAIN
        );
        check_eq!(
            sys::getlk(&b, libc::F_OFD_GETLK, libc::F_WRLCK)?,
            libc::F_WRLCK
        );
        sys::setlk(&b, libc::F_OFD_SETLK, libc::F_WRLCK, 5, 5)?;
        drop(a);
        sys::setlk(&b, libc::F_OFD_SETLK, libc::F_WRLCK, 0, 1)?;
    }
    Ok(())
}

fn leases(t: &T) -> R {
    sys::ignore_signal(libc::SIGIO);
    let (o, names) = files(t, b"0123456789")?;
    for n in names {
        let h = f::open_ro(o.m(n))?;
        f::ctx(
            sys::fcntl(&h, libc::F_SETLEASE, libc::F_RDLCK),
            "F_SETLEASE",
            n,
        )?;
        check_eq!(sys::fcntl(&h, libc::F_GETLEASE, 0)?, libc::F_RDLCK, "{n}");
        // A writer would break it; one that does not wait is told so.
        let w = f::open(o.m(n), libc::O_WRONLY | libc::O_NONBLOCK, 0);
        check_err!(w, EAGAIN, "open for write of {n} with a read lease");
        sys::fcntl(&h, libc::F_SETLEASE, libc::F_UNLCK)?;
        check_eq!(sys::fcntl(&h, libc::F_GETLEASE, 0)?, libc::F_UNLCK);
        drop(h);
        let h = f::open_rw(o.m(n))?;
        f::ctx(
            sys::fcntl(&h, libc::F_SETLEASE, libc::F_WRLCK),
            "F_SETLEASE",
            n,
        )?;
        let r = f::open(o.m(n), libc::O_RDONLY | libc::O_NONBLOCK, 0);
        check_err!(r, EAGAIN, "open for read of {n} with a write lease");
        sys::fcntl(&h, libc::F_SETLEASE, libc::F_UNLCK)?;
    }
    Ok(())
}

fn lease_on_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = f::open_ro(o.m("d"))?;
    // As the kernel has it for a directory: whatever the real filesystem says.
    let real = f::open_ro(o.low("d"))?;
    let want = crate::check::outcome(&sys::fcntl(&real, libc::F_SETLEASE, libc::F_RDLCK));
    sys::fcntl(&real, libc::F_SETLEASE, libc::F_UNLCK).ok();
    let got = crate::check::outcome(&sys::fcntl(&d, libc::F_SETLEASE, libc::F_RDLCK));
    sys::fcntl(&d, libc::F_SETLEASE, libc::F_UNLCK).ok();
    check_eq!(got, want, "F_SETLEASE of a directory");
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

fn truncate_while_mapped(t: &T) -> R {
    let (o, names) = files(t, &[b'x'; 8192])?;
    for n in names {
        let h = f::open_rw(o.m(n))?;
        let m = sys::map(&h, 8192, true)?;
        check_eq!(m[100], b'x');
        h.set_len(50)?;
        check_eq!(m[100], 0, "{n}: the page past the end is zero");
        h.set_len(8192)?;
        check_eq!((m[49], m[50], m[5000]), (b'x', 0, 0), "{n}: grown again");
    }
    Ok(())
}

fn memfd_like_tmpfile_use(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
    h.set_len(16_384)?;
    let mut m = sys::map(&h, 16_384, true)?;
    m[10_000] = b'Z';
    check_eq!(f::pread(&h, 10_000, 1)?, b"Z");
    falloc(
        &h,
        FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        8192,
        4096,
    )?;
    check_eq!(m[10_000], 0);
    rustix::fs::flock(&h, FlockOperation::LockExclusive)?;
    h.sync_all()?;
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
