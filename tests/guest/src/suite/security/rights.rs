// SPDX-License-Identifier: GPL-2.0
//! Rights of others: files that the attacker, or the mounter, may not read or change.

use super::*;
use crate::suite::userns::{give, in_container, mount_with};

cases! { "security";
    cve_2015_1328_copies_of_system_files;
    cve_2015_1328_owner_of_what_is_made;
    cve_2015_8660_setattr_of_others_files;
    cve_2015_8660_setattr_outside;
    cve_2018_16597_both_inodes_are_checked;
    cve_2020_16120_unreadable_to_the_mounter;
    cve_2023_32629_own_names;
    immutable_lower_in_a_container;
    sticky_directory;
    link_of_a_foreign_file;
}

fn cve_2015_1328_copies_of_system_files(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        let p = o.m("etc/passwd");
        check_err!(f::append(&p, "x"), EACCES);
        check_err!(f::rename(&p, o.m("mine")), EACCES);
        check_err!(f::unlink(&p), EACCES);
        check_err!(f::write(o.m("etc/new"), "x"), EACCES);
        check_err!(f::rename(o.m("etc"), o.m("etc2")), EXDEV);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o644)?;
    check!(!o.in_upper("etc")?);
    Ok(())
}

fn cve_2015_1328_owner_of_what_is_made(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    f::chmod(o.low("etc"), 0o777)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::write(o.m("new"), "x")?;
        f::chmod(o.m("new"), 0o6755)?;
        f::mkdir(o.m("dir"))?;
        // To write here, the directory of the system's root would have to be copied.
        check_err!(f::write(o.m("etc/new"), "x"), EOVERFLOW);
        o.umount()
    })?;
    for n in ["new", "dir"] {
        check_eq!(f::stat(o.up(n))?.uid(), 1000, "{n}");
    }
    check!(!o.in_upper("etc")?);
    Ok(())
}

fn cve_2015_8660_setattr_of_others_files(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        let p = o.m("etc/passwd");
        check_err!(f::chmod(&p, 0o4777), EPERM);
        check_err!(f::chown(&p, 0, 0), EPERM);
        check_err!(f::utimes(&p, (1, 0), (1, 0)), EPERM);
        check_err!(f::truncate(&p, 0), EACCES);
        check_err!(f::setxattr(&p, "user.x", "y"), EACCES);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o644)
}

fn cve_2015_8660_setattr_outside(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    o.mount()?;
    let p = o.m("etc/passwd");
    check_err!(sys::as_user(1000, 1000, || f::chmod(&p, 0o4777)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::chown(&p, 1000, 1000)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::truncate(&p, 0)), EACCES);
    untouched(&o, "etc/passwd", 0o644)
}

fn cve_2018_16597_both_inodes_are_checked(t: &T) -> R {
    // The caller has rights that the mounter lacks: the real file is not opened for it.
    let o = with_root_file(t, 0o600)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::read(o.m("etc/passwd")), EACCES, "root of the namespace");
        let pid = std::process::id();
        // The system's root, through the same mount.
        let seen = format!("/proc/{pid}/root{}", o.m("etc/passwd").display());
        f::write(o.m("ask"), seen)?;
        o.umount()
    })?;
    // And the mounter has rights that the caller lacks.
    o.mount()?;
    let p = o.m("etc/passwd");
    check_err!(sys::as_user(1000, 1000, || f::read(&p).map(drop)), EACCES);
    check_err!(sys::as_user(1000, 1000, || f::append(&p, "x")), EACCES);
    Ok(())
}

fn cve_2020_16120_unreadable_to_the_mounter(t: &T) -> R {
    let o = with_root_file(t, 0o600)?;
    f::mkdir(o.low("etc/secret"))?;
    f::write(o.low("etc/secret/name"), "x")?;
    f::chmod(o.low("etc/secret"), 0o700)?;
    f::symlink("passwd", o.low("etc/link"))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::read(o.m("etc/passwd")), EACCES);
        check_err!(f::read(o.m("etc/link")), EACCES);
        check_err!(f::ls(o.m("etc/secret")), EACCES);
        check_err!(f::stat(o.m("etc/secret/name")), EACCES);
        check_err!(
            f::open(o.m("etc/passwd"), libc::O_WRONLY | libc::O_TRUNC, 0),
            EACCES
        );
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o600)
}

fn cve_2023_32629_own_names(t: &T) -> R {
    // What an attacker puts into a layer under the overlay's own names stays data: a redirect out
    // of the layer, a file that claims to be a metacopy of another.
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "public"))?;
    f::mkdir(o.lown(1, "private"))?;
    f::write(o.lown(1, "private/secret"), "secret")?;
    f::mkdir(o.low("public"))?;
    f::write(o.low("meta"), "harmless")?;
    f::setxattr(o.low("public"), "user.overlay.redirect", "/private")?;
    f::setxattr(o.low("meta"), "user.overlay.metacopy", "")?;
    f::setxattr(o.low("meta"), "user.overlay.redirect", "/private/secret")?;
    give(&o, 1000, 1000)?;
    f::chown(o.lown(1, "private"), 0, 0)?;
    f::chmod(o.lown(1, "private"), 0o700)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        // Redirects are off: the directory with one is not merged with anything, or not at all.
        if let Ok(names) = f::ls(o.m("public")) {
            check!(!names.contains(&"secret".to_string()));
        }
        if let Ok(text) = f::text(o.m("meta")) {
            check_eq!(text, "harmless");
        }
        check_err!(f::read(o.m("private/secret")), EACCES);
        o.umount()
    })
}

fn immutable_lower_in_a_container(t: &T) -> R {
    if t.fs == "tmpfs" {
        return Err(Skip("no flags that need a privilege to be undone".into()).into());
    }
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    give(&o, 100_000, 100_000)?;
    let h = f::open_ro(o.low("a"))?;
    sys::setflags(&h, 0x10)?;
    let r = in_container(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("a"), "+"), EPERM);
        check_err!(f::unlink(o.m("a")), EPERM);
        check_err!(f::chmod(o.m("a"), 0o777), EPERM);
        let h = f::open_ro(o.m("a"))?;
        check_err!(sys::setflags(&h, 0), EPERM);
        drop(h);
        o.umount()
    });
    sys::setflags(&h, 0)?;
    r
}

fn sticky_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("tmp"))?;
    f::chmod(o.low("tmp"), 0o1777)?;
    f::write(o.low("tmp/a"), "x")?;
    f::chown(o.low("tmp/a"), 1000, 1000)?;
    f::chmod(o.low("tmp/a"), 0o666)?;
    o.mount()?;
    let d = o.m("tmp");
    sys::as_user(1001, 1001, || {
        check_err!(f::unlink(d.join("a")), EPERM);
        check_err!(f::rename(d.join("a"), d.join("b")), EPERM);
        f::append(d.join("a"), "+")?;
        check_err!(f::unlink(d.join("a")), EPERM, "after the copy-up");
        Ok(())
    })?;
    sys::as_user(1000, 1000, || f::unlink(d.join("a")))
}

fn link_of_a_foreign_file(t: &T) -> R {
    let o = with_root_file(t, 0o4755)?;
    o.mount()?;
    f::mkdir(o.m("home"))?;
    f::chown(o.m("home"), 1000, 1000)?;
    let was = f::text("/proc/sys/fs/protected_hardlinks")?;
    f::write("/proc/sys/fs/protected_hardlinks", "1")?;
    let (p, l) = (o.m("etc/passwd"), o.m("home/l"));
    let r = sys::as_user(1000, 1000, || f::link(&p, &l));
    f::write("/proc/sys/fs/protected_hardlinks", was.trim())?;
    check_err!(r, EPERM);
    check!(!o.in_upper("etc/passwd")?);
    Ok(())
}
