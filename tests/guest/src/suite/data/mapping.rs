// SPDX-License-Identifier: GPL-2.0
//! Files mapped into memory.

use super::*;
use rustix::fs::{FallocateFlags, FlockOperation};

cases! { "data";
    mmap_private;
    mmap_shared_write;
    mmap_shared_write_of_lower;
    mmap_shared_readonly_of_lower;
    mmap_execute;
    mmap_beyond_end_is_sigbus;
    mmap_mprotect;
    truncate_while_mapped;
    memfd_like_tmpfile_use;
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
