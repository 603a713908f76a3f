// SPDX-License-Identifier: GPL-2.0
//! Mode, owner, group and ACL of a new object.

use super::*;

cases! { "create";
    mode_and_umask;
    owner_is_the_caller;
    owner_over_whiteout_is_the_caller;
    setgid_directory_gives_its_group;
    setgid_directory_over_whiteout;
    default_acl_is_inherited;
    default_acl_over_whiteout;
}

fn mode_and_umask(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("w"), "x")?;
    f::write(o.low("wd"), "x")?;
    o.mount()?;
    sys::umask(0o027);
    let creat = libc::O_CREAT | libc::O_RDWR;
    f::open(o.m("a"), creat, 0o666)?;
    f::unlink(o.m("w"))?;
    f::unlink(o.m("wd"))?;
    f::open(o.m("w"), creat, 0o777)?;
    f::mkdir(o.m("d"))?;
    f::mkdir(o.m("wd"))?;
    f::mknod(o.m("p"), FileType::Fifo, 0o666, 0, 0)?;
    check_eq!(f::mode(o.m("a"))?, 0o640, "file");
    check_eq!(f::mode(o.m("w"))?, 0o750, "file over a whiteout");
    check_eq!(f::mode(o.m("d"))?, 0o750, "directory");
    check_eq!(f::mode(o.m("wd"))?, 0o750, "directory over a whiteout");
    check_eq!(f::mode(o.m("p"))?, 0o640, "fifo");
    check_eq!(f::mode(o.up("a"))?, 0o640, "file in the upper");
    Ok(())
}

fn owner_is_the_caller(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::symlink("x", d.join("l"))?;
        f::mknod(d.join("p"), FileType::Fifo, 0o600, 0, 0)
    })?;
    for n in ["a", "e", "l", "p"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!(
            (m.uid(), m.gid()),
            (1000, 2000),
            "owner of d/{n} in the upper"
        );
        let m = f::stat(o.m("d").join(n))?;
        check_eq!((m.uid(), m.gid()), (1000, 2000), "owner of d/{n}");
    }
    Ok(())
}

fn owner_over_whiteout_is_the_caller(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    for n in ["a", "e", "l"] {
        f::write(o.low("d").join(n), "x")?;
    }
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        for n in ["a", "e", "l"] {
            f::unlink(d.join(n))?;
        }
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::symlink("x", d.join("l"))
    })?;
    for n in ["a", "e", "l"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!(
            (m.uid(), m.gid()),
            (1000, 2000),
            "owner of d/{n} in the upper"
        );
    }
    Ok(())
}

fn setgid_directory_gives_its_group(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 77)?;
    f::chmod(o.low("d"), 0o2775)?;
    o.mount()?;
    f::write(o.m("d/a"), "x")?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(
        f::mode(o.up("d"))?,
        0o2775,
        "mode of the copied-up directory"
    );
    check_eq!(f::stat(o.m("d/a"))?.gid(), 77);
    check_eq!(f::stat(o.m("d/e"))?.gid(), 77);
    check_eq!(
        f::mode(o.m("d/e"))? & 0o2000,
        0o2000,
        "a directory inherits the setgid bit"
    );
    Ok(())
}

fn setgid_directory_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 77)?;
    f::chmod(o.low("d"), 0o2777)?;
    for n in ["a", "e", "x"] {
        f::write(o.low("d").join(n), "x")?;
    }
    o.mount()?;
    for n in ["a", "e", "x"] {
        f::unlink(o.m("d").join(n))?;
    }
    f::write(o.m("d/a"), "x")?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(f::stat(o.m("d/a"))?.gid(), 77);
    check_eq!(f::stat(o.m("d/e"))?.gid(), 77);
    check_eq!(
        f::mode(o.m("d/e"))? & 0o2000,
        0o2000,
        "a directory inherits the setgid bit"
    );
    // A user outside the group does not get a setgid executable.
    let x = o.m("d/x");
    sys::as_user(1000, 1000, || {
        f::open(&x, libc::O_CREAT | libc::O_WRONLY, 0o2755).map(drop)
    })?;
    check_eq!(
        f::mode(o.m("d/x"))?,
        0o755,
        "mode of a setgid file made by a stranger"
    );
    Ok(())
}

/// user::rwx, user:1001:rwx, group::r-x, mask::rwx, other::---
fn acl() -> Vec<u8> {
    crate::suite::acl::encode(&[
        (1, 7, !0),
        (2, 7, 1001),
        (4, 5, !0),
        (0x10, 7, !0),
        (0x20, 0, !0),
    ])
}

fn default_acl_is_inherited(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), "system.posix_acl_default", acl())?;
    o.mount()?;
    sys::umask(0o077);
    f::open(o.m("d/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("d/e"))?;
    check_eq!(
        f::mode(o.m("d/a"))?,
        0o660,
        "the umask gives way to the default ACL"
    );
    check!(
        f::xattr_opt(o.m("d/a"), "system.posix_acl_access")?.is_some(),
        "access ACL of the file"
    );
    check_eq!(f::getxattr(o.m("d/e"), "system.posix_acl_default")?, acl());
    Ok(())
}

fn default_acl_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), "system.posix_acl_default", acl())?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.low("d/e"), "x")?;
    f::mkdir(o.low("q"))?;
    f::setxattr(o.low("q"), "system.posix_acl_default", acl())?;
    o.mount()?;
    sys::umask(0o077);
    f::unlink(o.m("d/a"))?;
    f::unlink(o.m("d/e"))?;
    f::open(o.m("d/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("d/e"))?;
    // What is made over a whiteout is made like what is made beside it.
    f::open(o.m("q/a"), libc::O_CREAT | libc::O_WRONLY, 0o666)?;
    f::mkdir(o.m("q/e"))?;
    for n in ["a", "e"] {
        check_eq!(
            f::mode(o.m("d").join(n))?,
            f::mode(o.m("q").join(n))?,
            "mode of {n}"
        );
        for x in ["system.posix_acl_access", "system.posix_acl_default"] {
            if n == "a" && x.ends_with("default") {
                continue;
            }
            check_eq!(
                f::xattr_opt(o.m("d").join(n), x)?,
                f::xattr_opt(o.m("q").join(n), x)?,
                "{x} of {n}"
            );
        }
    }
    Ok(())
}
