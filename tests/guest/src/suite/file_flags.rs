// SPDX-License-Identifier: GPL-2.0
//! File flags (`lsattr`, `chattr`): append-only and immutable kept in an attribute of the upper,
//! the others on the upper file itself.

use super::prelude::*;

cases! { "file_flags";
    read_from_lower;
    immutable_through_the_overlay;
    append_through_the_overlay;
    both;
    flags_survive_remount;
    clearing;
    immutable_lower_is_obeyed;
    append_only_lower_is_obeyed;
    immutable_lower_directory;
    append_only_directory;
    noatime_flag_is_copied_up;
    sync_flag_is_copied_up;
    nodump_is_not_copied_up;
    set_by_stranger;
    immutable_needs_capability;
    fsxattr;
    directory_flags;
    unknown_ioctls;
    malformed_protattr;
    link_and_rename_of_immutable;
}

const IMMUTABLE: u32 = 0x10;
const APPEND: u32 = 0x20;
const NODUMP: u32 = 0x40;
const NOATIME: u32 = 0x80;
const SYNC: u32 = 0x8;

#[track_caller]
fn get(p: impl AsRef<Path>) -> R<u32> {
    let h = f::open_ro(&p)?;
    f::ctx(sys::getflags(&h), "FS_IOC_GETFLAGS", p)
}

#[track_caller]
fn set(p: impl AsRef<Path>, on: u32, off: u32) -> R {
    let h = f::open_ro(&p)?;
    let old = f::ctx(sys::getflags(&h), "FS_IOC_GETFLAGS", &p)?;
    f::ctx(sys::setflags(&h, old & !off | on), "FS_IOC_SETFLAGS", p)
}

fn prot(o: &Ovl, p: &str) -> R<Option<String>> {
    Ok(o.xattr(p, "protattr")?
        .map(|v| String::from_utf8_lossy(&v).into_owned()))
}

fn read_from_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    set(o.low("a"), NODUMP | NOATIME, 0)?;
    o.mount()?;
    check_eq!(get(o.m("a"))?, get(o.low("a"))?);
    check!(!o.in_upper("a")?, "reading flags does not copy up");
    Ok(())
}

/// Nothing can be done to an immutable file.
fn is_immutable(p: PathBuf) -> R {
    check_err!(f::append(&p, "y"), EPERM, "open for writing");
    check_err!(f::truncate(&p, 0), EPERM, "truncate");
    check_err!(f::chmod(&p, 0o600), EPERM, "chmod");
    check_err!(f::chown(&p, 1, 1), EPERM, "chown");
    check_err!(f::utimes(&p, (1, 0), (1, 0)), EPERM, "utimensat");
    check_err!(f::setxattr(&p, "user.x", "y"), EPERM, "setxattr");
    check_err!(f::unlink(&p), EPERM, "unlink");
    check_err!(f::rename(&p, p.with_extension("new")), EPERM, "rename");
    check_err!(f::link(&p, p.with_extension("new")), EPERM, "link");
    check_eq!(f::text(&p)?, "x");
    Ok(())
}

fn immutable_through_the_overlay(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    set(o.m("a"), IMMUTABLE, 0)?;
    check_eq!(prot(&o, "a")?, Some("i".into()));
    check_eq!(
        get(o.up("a"))? & IMMUTABLE,
        0,
        "the upper file itself is not immutable"
    );
    check_eq!(get(o.m("a"))? & IMMUTABLE, IMMUTABLE);
    is_immutable(o.m("a"))?;
    set(o.m("a"), 0, IMMUTABLE)
}

/// Appending is all that can be done to an append-only file.
fn is_append_only(p: PathBuf, before: &str) -> R {
    check_err!(f::open_rw(&p), EPERM, "open for writing anywhere");
    check_err!(f::write(&p, "z"), EPERM, "open with O_TRUNC");
    check_err!(f::truncate(&p, 0), EPERM, "truncate");
    check_err!(f::unlink(&p), EPERM, "unlink");
    check_err!(f::rename(&p, p.with_extension("new")), EPERM, "rename");
    check_err!(f::chmod(&p, 0o600), EPERM, "chmod");
    f::append(&p, "+")?;
    check_eq!(f::text(&p)?, format!("{before}+"));
    Ok(())
}

fn append_through_the_overlay(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    set(o.m("a"), APPEND, 0)?;
    check_eq!(prot(&o, "a")?, Some("a".into()));
    is_append_only(o.m("a"), "x")?;
    let h = f::open(o.m("a"), libc::O_WRONLY | libc::O_APPEND, 0)?;
    check_err!(sys::fcntl(&h, libc::F_SETFL, 0), EPERM, "clearing O_APPEND");
    set(o.m("a"), 0, APPEND)
}

fn both(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    set(o.m("a"), APPEND | IMMUTABLE, 0)?;
    check_eq!(prot(&o, "a")?, Some("ai".into()));
    is_immutable(o.m("a"))?;
    set(o.m("a"), 0, IMMUTABLE)?;
    check_eq!(prot(&o, "a")?, Some("a".into()));
    is_append_only(o.m("a"), "x")?;
    set(o.m("a"), 0, APPEND)
}

fn flags_survive_remount(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::write(o.m("b"), "x")?;
    set(o.m("a"), IMMUTABLE, 0)?;
    set(o.m("b"), APPEND, 0)?;
    o.again()?;
    is_immutable(o.m("a"))?;
    is_append_only(o.m("b"), "x")?;
    check_eq!(get(o.m("a"))? & (IMMUTABLE | APPEND), IMMUTABLE);
    set(o.m("a"), 0, IMMUTABLE)?;
    set(o.m("b"), 0, APPEND)
}

fn clearing(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    set(o.m("a"), IMMUTABLE | APPEND, 0)?;
    set(o.m("a"), 0, IMMUTABLE | APPEND)?;
    check_eq!(prot(&o, "a")?, None);
    f::append(o.m("a"), "y")?;
    f::unlink(o.m("a"))
}

/// Does `job` while the lower object has these flags.
fn with_lower_flags(o: &Ovl, p: &str, flags: u32, job: impl FnOnce() -> R) -> R {
    set(o.low(p), flags, 0)?;
    let r = o.mount().and_then(|()| job());
    set(o.low(p), 0, flags)?;
    r
}

fn immutable_lower_is_obeyed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    with_lower_flags(&o, "a", IMMUTABLE, || {
        is_immutable(o.m("a"))?;
        check!(!o.in_upper("a")?);
        // Through the overlay the flag can go: the file is copied up without it.
        set(o.m("a"), 0, IMMUTABLE)?;
        f::append(o.m("a"), "y")?;
        check_eq!(f::text(o.m("a"))?, "xy");
        check_eq!(
            get(o.low("a"))? & IMMUTABLE,
            IMMUTABLE,
            "flags of the lower file"
        );
        Ok(())
    })
}

fn append_only_lower_is_obeyed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    with_lower_flags(&o, "a", APPEND, || {
        is_append_only(o.m("a"), "x")?;
        check_eq!(prot(&o, "a")?, Some("a".into()), "the flag is copied up");
        check_eq!(get(o.up("a"))? & APPEND, 0, "but not onto the upper file");
        check_eq!(f::text(o.low("a"))?, "x");
        set(o.m("a"), 0, APPEND)
    })
}

fn immutable_lower_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    with_lower_flags(&o, "d", IMMUTABLE, || {
        check_err!(f::write(o.m("d/n"), "x"), EPERM, "create");
        check_err!(f::unlink(o.m("d/a")), EPERM, "unlink");
        check_err!(f::rename(o.m("d/a"), o.m("a")), EPERM, "rename out");
        // What is in it may change, which copies up the directory with its flag.
        f::append(o.m("d/a"), "y")?;
        check_eq!(prot(&o, "d")?, Some("i".into()));
        check_err!(f::write(o.m("d/n"), "x"), EPERM, "create after the copy-up");
        set(o.m("d"), 0, IMMUTABLE)?;
        f::write(o.m("d/n"), "x")
    })
}

fn append_only_directory(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    set(o.m("d"), APPEND, 0)?;
    f::write(o.m("d/a"), "x")?;
    check_err!(f::unlink(o.m("d/a")), EPERM);
    check_err!(f::rename(o.m("d/a"), o.m("d/b")), EPERM);
    set(o.m("d"), 0, APPEND)?;
    f::unlink(o.m("d/a"))
}

fn noatime_flag_is_copied_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    set(o.low("a"), NOATIME, 0)?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(get(o.up("a"))? & NOATIME, NOATIME);
    check_eq!(get(o.m("a"))? & NOATIME, NOATIME);
    Ok(())
}

fn sync_flag_is_copied_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    if let Err(e) = set(o.low("a"), SYNC, 0) {
        return Err(Skip(format!("{} has no sync flag: {e:#}", t.fs)).into());
    }
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(get(o.up("a"))? & SYNC, SYNC);
    Ok(())
}

fn nodump_is_not_copied_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    set(o.low("a"), NODUMP, 0)?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(get(o.up("a"))? & NODUMP, 0);
    set(o.m("a"), NODUMP, 0)?;
    check_eq!(
        get(o.up("a"))? & NODUMP,
        NODUMP,
        "set through the overlay it is kept"
    );
    Ok(())
}

fn set_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || set(&a, NODUMP, 0)), EPERM);
    check!(!o.in_upper("a")?);
    sys::as_user(1000, 1000, || set(&a, NODUMP, 0))
}

fn immutable_needs_capability(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1000, 1000, || set(&a, IMMUTABLE, 0)), EPERM);
    check_err!(sys::as_user(1000, 1000, || set(&a, APPEND, 0)), EPERM);
    check_eq!(get(&a)? & (IMMUTABLE | APPEND), 0);
    Ok(())
}

fn fsxattr(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let mut x = sys::fsgetxattr(&h)?;
    let real = sys::fsgetxattr(&f::open_ro(o.low("a"))?)?;
    check_eq!(
        (x.xflags, x.projid, x.extsize),
        (real.xflags, real.projid, real.extsize)
    );
    // FS_XFLAG_IMMUTABLE.
    x.xflags |= 0x8;
    f::ctx(sys::fssetxattr(&h, &x), "FS_IOC_FSSETXATTR", "a")?;
    check_eq!(sys::fsgetxattr(&h)?.xflags & 0x8, 0x8);
    check_eq!(prot(&o, "a")?, Some("i".into()));
    check_err!(f::append(o.m("a"), "y"), EPERM);
    x.xflags &= !0x8;
    sys::fssetxattr(&h, &x)?;
    f::append(o.m("a"), "y")
}

fn directory_flags(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.low("m"))?;
    f::mkdir(o.up("m"))?;
    o.mount()?;
    for n in ["d", "m", ""] {
        set(o.m(n), NOATIME, 0)?;
        check_eq!(get(o.m(n))? & NOATIME, NOATIME, "'{n}'");
        check_eq!(get(o.up(n))? & NOATIME, NOATIME, "'{n}' in the upper");
        set(o.m(n), IMMUTABLE, 0)?;
        check_err!(f::write(o.m(n).join("x"), "x"), EPERM);
        set(o.m(n), 0, IMMUTABLE)?;
    }
    Ok(())
}

fn unknown_ioctls(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.up("u"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    for n in ["a", "u", "d"] {
        let h = f::open_ro(o.m(n))?;
        // TCGETS, FS_IOC_GETVERSION, BLKGETSIZE64.
        for cmd in [0x5401u64, 0x8008_7601, 0x8008_1272] {
            check_err!(sys::ioctl0(&h, cmd), ENOTTY, "ioctl {cmd:#x} of {n}");
        }
    }
    Ok(())
}

fn malformed_protattr(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    f::setxattr(o.up("a"), "trusted.overlay.protattr", "iz")?;
    f::write(o.up("b"), "x")?;
    f::setxattr(o.up("b"), "trusted.overlay.protattr", "i")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    t.expect_limited_log(&["incompatible overlay.protattr format"], || {
        drop(drop_caches().and_then(|()| f::stat(o.m("a"))));
    })?;
    check_err!(f::append(o.m("b"), "y"), EPERM);
    set(o.m("b"), 0, IMMUTABLE)
}

fn link_and_rename_of_immutable(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.low("b"), "x")?;
    o.mount()?;
    set(o.m("a"), IMMUTABLE, 0)?;
    check_err!(
        f::rename(o.m("b"), o.m("a")),
        EPERM,
        "rename over an immutable file"
    );
    check_err!(f::rename2(o.m("b"), o.m("a"), RenameFlags::EXCHANGE), EPERM);
    check_err!(f::open(o.m("a"), libc::O_WRONLY | libc::O_TRUNC, 0), EPERM);
    set(o.m("a"), 0, IMMUTABLE)
}
