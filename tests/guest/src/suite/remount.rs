// SPDX-License-Identifier: GPL-2.0
//! Remounting: to and from read-only, with options, with files in use.

use super::prelude::*;
use rustix::mount::mount_remount;

cases! { "remount";
    read_only_and_back;
    read_only_with_open_writer;
    read_only_with_unlinked_open_file;
    readonly_stack_cannot_become_writable;
    options_are_ignored_by_mount2;
    new_api_refuses_options;
    new_api_read_only;
    mount_flags;
    data_survives;
    upper_on_readonly_filesystem;
}

fn ro(o: &Ovl) -> R {
    f::ctx(
        mount_remount(o.root(), MountFlags::RDONLY, ""),
        "remount ro",
        o.root(),
    )
}

fn rw(o: &Ovl) -> R {
    f::ctx(
        mount_remount(o.root(), MountFlags::empty(), ""),
        "remount rw",
        o.root(),
    )
}

fn read_only_and_back(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    for i in 0..3 {
        ro(&o)?;
        check_err!(f::append(o.m("a"), "y"), EROFS);
        check_err!(f::write(o.m("n"), "y"), EROFS);
        check_err!(f::unlink(o.m("a")), EROFS);
        check!(mountinfo(o.root())?.3.starts_with("ro,"));
        rw(&o)?;
        f::append(o.m("a"), format!("{i}"))?;
    }
    check_eq!(f::text(o.m("a"))?, "x012");
    Ok(())
}

fn read_only_with_open_writer(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let h = f::open_rw(o.m("a"))?;
    check_err!(ro(&o), EBUSY);
    f::pwrite(&h, 0, "still writable")?;
    drop(h);
    ro(&o)
}

fn read_only_with_unlinked_open_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    let h = f::open_ro(o.m("a"))?;
    f::unlink(o.m("a"))?;
    let r = ro(&o);
    // Whether an open unlinked file stands in the way is the VFS's to say: it must not be lost.
    check_eq!(f::pread(&h, 0, 9)?, b"xy");
    if r.is_ok() {
        rw(&o)?;
    }
    f::write(o.m("b"), "x")
}

fn readonly_stack_cannot_become_writable(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    o.mount()?;
    check_err!(rw(&o), EROFS);
    check_err!(f::write(o.m("a"), "x"), EROFS);
    Ok(())
}

fn options_are_ignored_by_mount2(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(0, "a"), "x")?;
    let mut first = o.clone();
    first.lowers.truncate(1);
    first.mount()?;
    let before = mountinfo(o.root())?.3;
    for opts in [
        format!("lowerdir={}", o.lown(1, "").display()),
        "xino=maybe".into(),
        "nonsense".into(),
        "lowerdir=/does/not/exist".into(),
    ] {
        let c = std::ffi::CString::new(opts.clone())?;
        f::ctx(
            mount_remount(o.root(), MountFlags::empty(), c.as_c_str()),
            "remount",
            opts,
        )?;
    }
    check_eq!(mountinfo(o.root())?.3, before);
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn pick(o: &Ovl) -> R<std::os::fd::OwnedFd> {
    let r = rustix::mount::fspick(
        rustix::fs::CWD,
        o.root(),
        rustix::mount::FsPickFlags::empty(),
    );
    f::ctx(r, "fspick", o.root())
}

fn new_api_refuses_options(t: &T) -> R {
    use rustix::mount::{fsconfig_set_flag, fsconfig_set_string};
    let o = t.ovl()?;
    o.mount()?;
    let fd = pick(&o)?;
    check_err!(fsconfig_set_string(&fd, "lowerdir", "/"), EINVAL);
    check_err!(fsconfig_set_string(&fd, "xino", "off"), EINVAL);
    check_err!(fsconfig_set_flag(&fd, "default_permissions"), EINVAL);
    let mut b = [0u8; 256];
    let n = rustix::io::read(&fd, &mut b)?;
    let m = String::from_utf8_lossy(&b[..n]).into_owned();
    check!(
        m.contains("No changes allowed") || m.contains("cannot be changed"),
        "message: {m}"
    );
    Ok(())
}

fn new_api_read_only(t: &T) -> R {
    use rustix::mount::{fsconfig_reconfigure, fsconfig_set_flag};
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let fd = pick(&o)?;
    fsconfig_set_flag(&fd, "ro")?;
    f::ctx(fsconfig_reconfigure(&fd), "reconfigure", "")?;
    check_err!(f::append(o.m("a"), "y"), EROFS);
    let fd = pick(&o)?;
    fsconfig_set_flag(&fd, "rw")?;
    f::ctx(fsconfig_reconfigure(&fd), "reconfigure", "")?;
    f::append(o.m("a"), "y")
}

fn mount_flags(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    mount_remount(o.root(), MountFlags::NOEXEC | MountFlags::NOATIME, "")?;
    let opts = mountinfo(o.root())?.0;
    check!(
        opts.contains("noexec") && opts.contains("noatime"),
        "{opts}"
    );
    mount_remount(o.root(), MountFlags::BIND | MountFlags::RDONLY, "")?;
    check_err!(
        f::write(o.m("a"), "x"),
        EROFS,
        "a mount that is read-only, of a writable overlay"
    );
    Ok(())
}

fn data_survives(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::append(o.m("d/a"), "y")?;
    let h = f::open_ro(o.m("d/a"))?;
    ro(&o)?;
    check_eq!(f::pread(&h, 0, 9)?, b"xy");
    check_eq!(f::ls(o.m("d"))?, ["a"]);
    rw(&o)?;
    check_eq!(f::text(o.m("d/a"))?, "xy");
    Ok(())
}

fn upper_on_readonly_filesystem(t: &T) -> R {
    // The filesystem of the upper cannot be made read-only under a writable overlay.
    let mut o = t.ovl()?;
    let p = t.tmpfs("up", "size=1m")?;
    f::mkdir(p.join("u"))?;
    f::mkdir(p.join("w"))?;
    o.upper = Some(p.join("u"));
    o.work = Some(p.join("w"));
    o.mount()?;
    f::write(o.m("a"), "x")?;
    let h = f::open_rw(o.m("a"))?;
    check_err!(mount_remount(&p, MountFlags::RDONLY, ""), EBUSY);
    drop(h);
    // With no file open for writing it can: the overlay then says so for every change.
    mount_remount(&p, MountFlags::RDONLY, "")?;
    check_err!(f::write(o.m("b"), "x"), EROFS);
    check_eq!(f::text(o.m("a"))?, "x");
    mount_remount(&p, MountFlags::empty(), "")?;
    f::write(o.m("b"), "x")
}
