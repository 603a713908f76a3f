// SPDX-License-Identifier: GPL-2.0
//! What copies a file up, how much of it, and what does not.

use super::*;

cases! { "copy_up";
    every_trigger;
    no_trigger;
    open_for_write_alone;
    trunc_copies_no_data;
    rdonly_trunc;
}

/// Sets up a lower file `d/a`, does `op` on it, and says whether it was copied up.
fn triggered(t: &T, op: impl Fn(&Path) -> R) -> R<bool> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "0123456789")?;
    f::setxattr(o.low("d/a"), "user.old", "v")?;
    o.mount()?;
    op(&o.m("d/a"))?;
    let up = o.in_upper("d/a")? || o.in_upper("d/b")?;
    o.umount()?;
    Ok(up)
}

/// What is done to a file.
type Op = fn(&Path) -> R;

fn every_trigger(t: &T) -> R {
    let ops: &[(&str, Op)] = &[
        ("open O_WRONLY", |p| f::open(p, libc::O_WRONLY, 0).map(drop)),
        ("open O_RDWR", |p| f::open(p, libc::O_RDWR, 0).map(drop)),
        ("open O_APPEND", |p| {
            f::open(p, libc::O_WRONLY | libc::O_APPEND, 0).map(drop)
        }),
        ("open O_TRUNC", |p| {
            f::open(p, libc::O_WRONLY | libc::O_TRUNC, 0).map(drop)
        }),
        ("truncate", |p| f::truncate(p, 3)),
        ("chmod", |p| f::chmod(p, 0o600)),
        ("chown", |p| f::chown(p, 1, 1)),
        ("utimensat", |p| f::utimes(p, (1, 2), (3, 4))),
        ("setxattr", |p| f::setxattr(p, "user.x", "y")),
        ("removexattr", |p| f::removexattr(p, "user.old")),
        ("rename", |p| f::rename(p, p.with_file_name("b"))),
        ("link", |p| f::link(p, p.with_file_name("b"))),
        ("fchmod of a read-only descriptor", |p| {
            let h = f::open_ro(p)?;
            h.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            Ok(())
        }),
    ];
    for (name, op) in ops {
        check!(triggered(t, op)?, "{name} copies up");
    }
    Ok(())
}

fn no_trigger(t: &T) -> R {
    let ops: &[(&str, Op)] = &[
        ("stat", |p| f::stat(p).map(drop)),
        ("read", |p| f::read(p).map(drop)),
        ("listxattr", |p| f::listxattr(p).map(drop)),
        ("getxattr", |p| f::getxattr(p, "user.old").map(drop)),
        ("readdir of the parent", |p| {
            f::ls(p.parent().unwrap()).map(drop)
        }),
        ("private mapping written to", |p| {
            let h = f::open_ro(p)?;
            let mut m = sys::map(&h, 10, false)?;
            m[0] = b'x';
            Ok(())
        }),
        ("fsync of a read-only descriptor", |p| {
            Ok(f::open_ro(p)?.sync_all()?)
        }),
        ("flock", |p| {
            let h = f::open_ro(p)?;
            Ok(rustix::fs::flock(
                &h,
                rustix::fs::FlockOperation::LockExclusive,
            )?)
        }),
        ("removexattr of what is not there", |p| {
            check_err!(f::removexattr(p, "user.none"), ENODATA);
            Ok(())
        }),
        ("refused mkdir over it", |p| {
            check_err!(f::mkdir(p), EEXIST);
            Ok(())
        }),
        ("access(W_OK)", |p| {
            Ok(rustix::fs::access(p, rustix::fs::Access::WRITE_OK)?)
        }),
        ("O_PATH", |p| f::open(p, libc::O_PATH, 0).map(drop)),
    ];
    for (name, op) in ops {
        check!(!triggered(t, op)?, "{name} does not copy up");
    }
    Ok(())
}

fn open_for_write_alone(t: &T) -> R {
    let o = t.ovl()?;
    let data = f::pattern(2, 50_000);
    f::write(o.low("a"), &data)?;
    f::utimes(o.low("a"), (1_000, 1), (2_000, 2))?;
    o.mount()?;
    drop(f::open_rw(o.m("a"))?);
    check!(f::read(o.up("a"))? == data, "the upper has the data");
    let m = f::stat(o.m("a"))?;
    check_eq!(
        (m.mtime(), m.mtime_nsec()),
        (2_000, 2),
        "mtime, as nothing was written"
    );
    Ok(())
}

fn trunc_copies_no_data(t: &T) -> R {
    let o = t.ovl()?;
    // Larger than the whole upper filesystem: it could not be copied.
    let small = t.tmpfs("small", "size=1m")?;
    f::write(o.low("a"), vec![7u8; 4 << 20])?;
    f::chmod(o.low("a"), 0o604)?;
    let mut o = o;
    f::mkdir(small.join("u"))?;
    f::mkdir(small.join("w"))?;
    o.upper = Some(small.join("u"));
    o.work = Some(small.join("w"));
    o.mount()?;
    f::write(o.m("a"), "new")?;
    check_eq!(f::text(o.m("a"))?, "new");
    check_eq!(f::mode(o.m("a"))?, 0o604);
    Ok(())
}

fn rdonly_trunc(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "data")?;
    o.mount()?;
    drop(f::open(o.m("a"), libc::O_RDONLY | libc::O_TRUNC, 0)?);
    check_eq!(f::stat(o.m("a"))?.size(), 0);
    check!(o.in_upper("a")?, "truncated in the upper");
    check_eq!(f::stat(o.low("a"))?.size(), 4);
    Ok(())
}
