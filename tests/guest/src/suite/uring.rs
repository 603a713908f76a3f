// SPDX-License-Identifier: GPL-2.0
//! `io_uring`: what it does in the calling thread, and what it has a thread of the kernel do.

use super::prelude::*;
use crate::sys::uring::{op, Request, Uring};
use std::ffi::CString;

cases! { "uring";
    reads_and_writes;
    changes_names;
    refuses_as_calls_do;
    for_another_user;
}

/// A path for a request.
fn c(p: &Path) -> CString {
    CString::new(p.as_os_str().as_encoded_bytes()).expect("a path has no NUL")
}

fn addr(c: &CString) -> u64 {
    c.as_ptr() as u64
}

const AT: i32 = libc::AT_FDCWD;

fn open(u: &mut Uring, p: &Path, flags: i32) -> std::io::Result<i32> {
    let path = c(p);
    u.run(&Request {
        op: op::OPENAT,
        fd: AT,
        addr: addr(&path),
        len: 0o644,
        flags: flags as u32,
        ..Default::default()
    })
}

/// Reads or writes; the buffer goes in and comes back.
fn transfer(u: &mut Uring, op: u8, fd: i32, off: u64, buf: &mut [u8]) -> std::io::Result<i32> {
    u.run(&Request {
        op,
        fd,
        off,
        addr: buf.as_mut_ptr() as u64,
        len: buf.len() as u32,
        ..Default::default()
    })
}

fn simple(u: &mut Uring, op: u8, fd: i32, off: u64) -> std::io::Result<i32> {
    u.run(&Request {
        op,
        fd,
        off,
        ..Default::default()
    })
}

fn reads_and_writes(t: &T) -> R {
    for elsewhere in [false, true] {
        let o = t.ovl()?;
        let data = f::pattern(5, 20_000);
        f::write(o.low("a"), &data)?;
        o.mount()?;
        let u = &mut Uring::new(elsewhere)?;
        let fd = open(u, &o.m("a"), libc::O_RDONLY)?;
        let mut buf = vec![0; 30_000];
        check_eq!(transfer(u, op::READ, fd, 0, &mut buf)?, 20_000);
        check!(buf[..20_000] == data[..], "read from the lower");
        check_err!(transfer(u, op::WRITE, fd, 0, &mut buf), EBADF);
        check!(!o.in_upper("a")?);
        let w = open(u, &o.m("a"), libc::O_RDWR)?;
        check!(o.in_upper("a")?, "opened for writing");
        check_eq!(transfer(u, op::WRITE, w, 10_000, &mut buf[..5])?, 5);
        check_eq!(transfer(u, op::READ, fd, 10_000, &mut buf[..9])?, 9);
        check!(buf[..5] == data[..5], "the descriptor from before follows");
        check_eq!(simple(u, op::FTRUNCATE, w, 12_000)?, 0);
        check_eq!(f::stat(o.m("a"))?.size(), 12_000);
        check_eq!(
            u.run(&Request {
                op: op::FALLOCATE,
                fd: w,
                off: 0,
                addr: 16_000,
                len: 0,
                ..Default::default()
            })?,
            0
        );
        check_eq!(f::stat(o.m("a"))?.size(), 16_000);
        check_eq!(simple(u, op::FSYNC, w, 0)?, 0);
        // As a vector.
        let iov = [buf.as_mut_ptr() as u64, 7u64];
        let n = u.run(&Request {
            op: op::READV,
            fd: w,
            addr: iov.as_ptr() as u64,
            len: 1,
            ..Default::default()
        })?;
        check_eq!(n, 7);
        check!(buf[..7] == data[..7], "read as a vector");
        for fd in [fd, w] {
            check_eq!(simple(u, op::CLOSE, fd, 0)?, 0);
        }
        let mut want = data[..12_000].to_vec();
        want[10_000..10_005].copy_from_slice(&data[..5]);
        want.resize(16_000, 0);
        check!(f::read(o.up("a"))? == want, "what the upper has");
    }
    Ok(())
}

/// A request with two paths.
fn two(u: &mut Uring, op: u8, a: &Path, b: &Path, flags: u32) -> std::io::Result<i32> {
    let (a, b) = (c(a), c(b));
    u.run(&Request {
        op,
        fd: AT,
        addr: addr(&a),
        off: addr(&b),
        // The other directory.
        len: AT as u32,
        flags,
        ..Default::default()
    })
}

fn one(u: &mut Uring, op: u8, p: &Path, len: u32, flags: u32) -> std::io::Result<i32> {
    let p = c(p);
    u.run(&Request {
        op,
        fd: AT,
        addr: addr(&p),
        len,
        flags,
        ..Default::default()
    })
}

fn changes_names(t: &T) -> R {
    for elsewhere in [false, true] {
        let o = t.ovl()?;
        f::mkdir(o.low("d"))?;
        for n in ["a", "b", "d/x"] {
            f::write(o.low(n), n)?;
        }
        o.mount()?;
        let u = &mut Uring::new(elsewhere)?;
        two(u, op::RENAMEAT, &o.m("a"), &o.m("d/a"), 0)?;
        check_eq!(f::text(o.m("d/a"))?, "a");
        check!(o.is_whiteout("a")?);
        two(u, op::RENAMEAT, &o.m("b"), &o.m("d/a"), 2)?;
        check_eq!(f::text(o.m("d/a"))? + &f::text(o.m("b"))?, "ba");
        two(u, op::LINKAT, &o.m("b"), &o.m("hard"), 0)?;
        check_eq!(f::stat(o.m("hard"))?.ino(), f::stat(o.m("b"))?.ino());
        one(u, op::UNLINKAT, &o.m("d/x"), 0, 0)?;
        check!(o.is_whiteout("d/x")?);
        one(u, op::MKDIRAT, &o.m("new"), 0o750, 0)?;
        check_eq!(f::mode(o.m("new"))?, 0o750);
        one(u, op::UNLINKAT, &o.m("new"), 0, libc::AT_REMOVEDIR as u32)?;
        check!(!f::exists(o.m("new"))?);
        let (target, at) = (c(Path::new("to")), c(&o.m("link")));
        u.run(&Request {
            op: op::SYMLINKAT,
            fd: AT,
            addr: addr(&target),
            off: addr(&at),
            ..Default::default()
        })?;
        check_eq!(f::readlink(o.m("link"))?, Path::new("to"));

        let (path, name) = (c(&o.m("d/a")), CString::new("trusted.note")?);
        let mut value = *b"value";
        let mut r = Request {
            op: op::SETXATTR,
            addr: addr(&name),
            off: value.as_mut_ptr() as u64,
            len: 5,
            addr3: addr(&path),
            ..Default::default()
        };
        u.run(&r)?;
        check_eq!(f::getxattr(o.up("d/a"), "trusted.note")?, b"value");
        let mut back = [0u8; 9];
        r.op = op::GETXATTR;
        r.off = back.as_mut_ptr() as u64;
        r.len = 9;
        check_eq!(u.run(&r)?, 5);
        check_eq!(&back[..5], b"value");
        let private = CString::new("trusted.overlay.origin")?;
        r.addr = addr(&private);
        check_err!(u.run(&r), ENODATA);

        let (path, mut seen) = (c(&o.m("d/a")), vec![0u64; 32]);
        u.run(&Request {
            op: op::STATX,
            fd: AT,
            addr: addr(&path),
            len: 0x7ff,
            off: seen.as_mut_ptr() as u64,
            ..Default::default()
        })?;
        check_eq!(seen[4], f::stat(o.m("d/a"))?.ino(), "stx_ino");
    }
    Ok(())
}

fn refuses_as_calls_do(t: &T) -> R {
    for elsewhere in [false, true] {
        let o = t.ovl()?;
        f::mkdirs(o.low("d/e"))?;
        f::write(o.low("a"), "a")?;
        o.mount()?;
        let u = &mut Uring::new(elsewhere)?;
        check_err!(open(u, &o.m("none"), libc::O_RDONLY), ENOENT);
        check_err!(open(u, &o.m("d"), libc::O_RDWR), EISDIR);
        check_err!(
            two(u, op::RENAMEAT, &o.m("d"), &o.m("d2"), 0),
            EXDEV,
            "a lower directory"
        );
        check_err!(
            two(u, op::RENAMEAT, &o.m("a"), &o.m("a2"), 4),
            EINVAL,
            "a whiteout asked for"
        );
        check_err!(
            one(u, op::UNLINKAT, &o.m("d"), 0, libc::AT_REMOVEDIR as u32),
            ENOTEMPTY
        );
        check_err!(one(u, op::MKDIRAT, &o.m("d"), 0o755, 0), EEXIST);
        check!(!o.in_upper("a")? && !o.in_upper("d")?);
    }
    Ok(())
}

fn for_another_user(t: &T) -> R {
    // The thread of the kernel that does it has the rights of who asked.
    let o = t.ovl()?;
    for (n, mode) in [("mine", 0o600), ("roots", 0o600)] {
        f::write(o.low(n), n)?;
        f::chmod(o.low(n), mode)?;
    }
    f::chown(o.low("mine"), 1000, 1000)?;
    f::chmod(o.up(""), 0o777)?;
    f::chmod(&t.dir, 0o755)?;
    o.mount()?;
    for elsewhere in [false, true] {
        sys::as_user(1000, 1000, || {
            let u = &mut Uring::new(elsewhere)?;
            check_err!(open(u, &o.m("roots"), libc::O_RDONLY), EACCES);
            check_err!(open(u, &o.m("roots"), libc::O_RDWR), EACCES);
            let fd = open(u, &o.m("mine"), libc::O_RDWR)?;
            check_eq!(transfer(u, op::WRITE, fd, 0, &mut b"MINE".to_vec())?, 4);
            let name = o.m(format!("new-{elsewhere}"));
            open(u, &name, libc::O_CREAT | libc::O_RDWR)?;
            check_eq!(f::stat(&name)?.uid(), 1000);
            Ok(())
        })?;
    }
    check_eq!(f::text(o.up("mine"))?, "MINE");
    check_eq!(f::stat(o.up("mine"))?.uid(), 1000);
    check!(!o.in_upper("roots")?);
    Ok(())
}
