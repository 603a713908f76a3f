// SPDX-License-Identifier: GPL-2.0
//! Locks and leases.

use super::*;
use rustix::fs::FlockOperation;

cases! { "data";
    flock;
    flock_is_per_overlay_inode;
    posix_locks;
    posix_lock_across_copy_up;
    ofd_locks;
    leases;
    lease_on_directory;
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
