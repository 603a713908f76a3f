// SPDX-License-Identifier: GPL-2.0
//! Data that does not go through the memory of the process: splice, sendfile, vmsplice.

use super::*;

cases! { "data";
    splice_out;
    splice_in;
    splice_in_append;
    sendfile_from_lower;
    sendfile_between_overlay_files;
    vmsplice_tee;
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
