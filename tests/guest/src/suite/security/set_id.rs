// SPDX-License-Identifier: GPL-2.0
//! Files that give rights to who runs them: set-id bits and capabilities.

use super::*;
use crate::suite::userns::{as_user, give, in_container, mount_with};
use std::ffi::CString;

cases! { "security";
    cve_2016_1575_setgid_directory;
    cve_2016_1576_set_id_from_a_foreign_mount;
    cve_2021_3493_capability_in_a_namespace;
    cve_2021_3493_capability_of_version_2;
    cve_2023_0386_owner_without_a_name;
    cve_2023_0386_capability_of_such_a_file;
    cve_2023_2640_capability_copied_up;
    cve_2023_2640_capability_of_the_namespace;
    writers_lose_set_id;
    writer_in_container_loses_capability;
}

const CAPS: &str = "security.capability";

/// `cap_net_raw` and the like: of version 2, or of version 3 with this root.
fn caps(root: Option<u32>) -> Vec<u8> {
    let mut v = match root {
        None => 0x0200_0001u32,
        Some(_) => 0x0300_0001,
    }
    .to_le_bytes()
    .to_vec();
    v.extend([
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0,
    ]);
    v.extend(root.map(u32::to_le_bytes).into_iter().flatten());
    v
}

fn cve_2016_1575_setgid_directory(t: &T) -> R {
    // An ACL on the lower must not let a stranger's file keep the group of a setgid directory
    // together with the set-group-id bit.
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 50)?;
    f::chmod(o.low("d"), 0o2777)?;
    let acl = crate::suite::acl::encode(&[
        (1, 7, !0),
        (2, 7, 1000),
        (4, 7, !0),
        (0x10, 7, !0),
        (0x20, 7, !0),
    ]);
    f::setxattr(o.low("d"), "system.posix_acl_default", &acl)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 1000, || {
        f::open(d.join("a"), libc::O_CREAT | libc::O_WRONLY, 0o2777)?;
        f::mknod(d.join("n"), FileType::RegularFile, 0o2777, 0, 0)?;
        // Over a whiteout too, where it is made somewhere else first.
        f::unlink(d.join("a"))?;
        f::open(d.join("a"), libc::O_CREAT | libc::O_WRONLY, 0o2777)?;
        check_err!(f::chown(d.join("a"), 1000, 51), EPERM);
        f::chmod(d.join("a"), 0o2777)
    })?;
    for n in ["a", "n"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!((m.uid(), m.gid(), m.mode() & 0o2000), (1000, 50, 0), "{n}");
    }
    Ok(())
}

fn cve_2016_1576_set_id_from_a_foreign_mount(t: &T) -> R {
    // A file system of the container's own, where its root makes a file that is set-user-id root.
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        let low = CString::new("mode=755")?;
        let flags = MountFlags::NOSUID;
        rustix::mount::mount("tmpfs", o.low(""), "tmpfs", flags, Some(low.as_c_str()))?;
        f::write(o.low("suid"), "x")?;
        f::chmod(o.low("suid"), 0o6755)?;
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("suid"), (1, 0), (1, 0))?;
        o.umount()
    })?;
    let m = f::stat(o.up("suid"))?;
    check_eq!(
        (m.uid(), m.gid()),
        (100_000, 100_000),
        "the root of the container, not of the system"
    );
    Ok(())
}

fn cve_2021_3493_capability_in_a_namespace(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        f::write(o.m("new"), "x")?;
        for n in ["new", "low"] {
            f::setxattr(o.m(n), CAPS, caps(None))?;
            check_eq!(f::getxattr(o.m(n), CAPS)?, caps(None), "as seen inside");
        }
        o.umount()
    })?;
    for n in ["new", "low"] {
        check_eq!(
            f::getxattr(o.up(n), CAPS)?,
            caps(Some(1000)),
            "{n}: good for the namespace only"
        );
    }
    Ok(())
}

fn cve_2021_3493_capability_of_version_2(t: &T) -> R {
    // Whatever root id the attacker writes, the upper gets one of the attacker's own.
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        f::write(o.m("a"), "x")?;
        f::setxattr(o.m("a"), CAPS, caps(Some(7)))?;
        f::write(o.m("b"), "x")?;
        check_err!(f::setxattr(o.m("b"), CAPS, caps(Some(200_000))), EINVAL);
        check_err!(f::setxattr(o.m("b"), CAPS, b"\x01\0\0\x02"), EINVAL);
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("a"), CAPS)?, caps(Some(100_007)));
    check_eq!(f::xattr_opt(o.up("b"), CAPS)?, None);
    Ok(())
}

fn cve_2023_0386_owner_without_a_name(t: &T) -> R {
    // A set-id file of the system's root, as a file system in user space can show one.
    let o = with_root_file(t, 0o6777)?;
    f::mkdir(o.low("mine"))?;
    f::write(o.low("mine/suid"), "root")?;
    f::chmod(o.low("mine/suid"), 0o6777)?;
    f::chown(o.low("mine"), 1000, 1000)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        for p in ["etc/passwd", "mine/suid"] {
            check_err!(f::append(o.m(p), ""), EOVERFLOW, "{p}");
            check_err!(f::open_rw(o.m(p)), EOVERFLOW, "{p}");
            check_err!(f::utimes(o.m(p), (1, 0), (1, 0)), EPERM, "{p}");
            // The times of now are for everybody who may write.
            let now = rustix::fs::Timestamps {
                last_access: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: rustix::fs::UTIME_NOW,
                },
                last_modification: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: rustix::fs::UTIME_NOW,
                },
            };
            let none = rustix::fs::AtFlags::empty();
            check_err!(
                rustix::fs::utimensat(rustix::fs::CWD, o.m(p), &now, none),
                EOVERFLOW,
                "touch {p}"
            );
        }
        check_err!(f::rename(o.m("mine/suid"), o.m("mine/x")), EOVERFLOW);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o6777)?;
    check!(!o.in_upper("mine/suid")?);
    Ok(())
}

fn cve_2023_0386_capability_of_such_a_file(t: &T) -> R {
    let o = with_root_file(t, 0o777)?;
    f::setxattr(o.low("etc/passwd"), CAPS, caps(None))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("etc/passwd"), ""), EOVERFLOW);
        o.umount()
    })?;
    check!(!o.in_upper("etc/passwd")?);
    Ok(())
}

fn cve_2023_2640_capability_copied_up(t: &T) -> R {
    // The capability of a program of the system: a copy made in a namespace is worth something in
    // that namespace only.
    let o = t.ovl()?;
    f::write(o.low("python3"), "x")?;
    give(&o, 1000, 1000)?;
    f::setxattr(o.low("python3"), CAPS, caps(None))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("python3"), (1, 0), (1, 0))?;
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("python3"), CAPS)?, caps(Some(1000)));
    check_eq!(f::getxattr(o.low("python3"), CAPS)?, caps(None));
    Ok(())
}

fn cve_2023_2640_capability_of_the_namespace(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("python3"), "x")?;
    give(&o, 1000, 1000)?;
    f::setxattr(o.low("python3"), CAPS, caps(Some(1000)))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("python3"), (1, 0), (1, 0))?;
        check_eq!(
            f::getxattr(o.m("python3"), CAPS)?,
            caps(None),
            "seen inside"
        );
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("python3"), CAPS)?, caps(Some(1000)));
    Ok(())
}

fn writers_lose_set_id(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["write", "truncate", "fallocate", "chown", "mmap"] {
        f::write(o.low(n), "some data")?;
        f::chown(o.low(n), 1000, 1000)?;
        f::chmod(o.low(n), 0o6777)?;
    }
    f::setxattr(o.low("write"), CAPS, caps(None))?;
    o.mount()?;
    sys::as_user(1001, 1001, || {
        f::append(o.m("write"), "+")?;
        f::truncate(o.m("truncate"), 2)?;
        let h = f::open_rw(o.m("fallocate"))?;
        let none = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&h, none, 0, 4096)?;
        Ok(())
    })?;
    f::chown(o.m("chown"), 1002, 1002)?;
    for n in ["write", "truncate", "fallocate", "chown"] {
        check_eq!(f::mode(o.m(n))?, 0o777, "{n}");
        check_eq!(f::mode(o.up(n))?, 0o777, "{n} in the upper");
    }
    check_eq!(f::xattr_opt(o.up("write"), CAPS)?, None);
    Ok(())
}

fn writer_in_container_loses_capability(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o666)?;
    give(&o, 100_000, 100_000)?;
    f::setxattr(o.low("a"), CAPS, caps(Some(100_000)))?;
    f::chmod(o.low("a"), 0o6666)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        let a = o.m("a");
        sys::as_user(7, 7, || f::append(&a, "+"))?;
        check_eq!(f::mode(&a)?, 0o666);
        o.umount()
    })?;
    check_eq!(f::xattr_opt(o.up("a"), CAPS)?, None);
    check_eq!(f::mode(o.up("a"))?, 0o666);
    Ok(())
}
