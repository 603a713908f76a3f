// SPDX-License-Identifier: GPL-2.0
//! The options one by one: fsopen, fsconfig, fsmount.

use super::*;
use crate::suite::optional_mount;
use rustix::mount::{
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags,
};
use std::os::fd::OwnedFd;

cases! { "mount_options";
    new_api;
    new_api_unknown_option;
    new_api_no_workdir;
    new_api_reports_through_the_descriptor;
    new_api_bad_path;
    new_api_create_twice;
    new_api_lower_one_by_one;
    new_api_lower_one_by_one_after_all;
    new_api_layers_by_descriptor;
}

fn open_fs(t: &T) -> R<OwnedFd> {
    f::ctx(
        fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC),
        "fsopen",
        &t.ty,
    )
}

fn set(fd: &OwnedFd, key: &str, val: impl AsRef<Path>) -> R {
    f::ctx(fsconfig_set_string(fd, key, val.as_ref()), "fsconfig", key)
}

fn set_upper(fd: &OwnedFd, o: &Ovl) -> R {
    set(fd, "upperdir", o.up(""))?;
    set(fd, "workdir", o.work.as_ref().unwrap())
}

fn attach(fd: &OwnedFd, at: &Path) -> R {
    f::ctx(fsconfig_create(fd), "FSCONFIG_CMD_CREATE", "")?;
    let m = fsmount(fd, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    let m = f::ctx(m, "fsmount", "")?;
    let r = move_mount(
        &m,
        "",
        rustix::fs::CWD,
        at,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    );
    f::ctx(r, "move_mount", at)
}

/// The messages that wait at the descriptor of the new mount API.
fn messages(fd: &OwnedFd) -> String {
    let mut all = String::new();
    let mut b = [0u8; 1024];
    while let Ok(n) = rustix::io::read(fd, &mut b) {
        if n == 0 {
            break;
        }
        all += &String::from_utf8_lossy(&b[..n]);
    }
    all
}

fn new_api(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    let fd = open_fs(t)?;
    set(&fd, "source", "none")?;
    set(&fd, "lowerdir", o.low(""))?;
    set_upper(&fd, &o)?;
    for (k, v) in [("index", "off"), ("xino", "off"), ("metacopy", "off")] {
        set(&fd, k, v)?;
    }
    f::ctx(
        fsconfig_set_flag(&fd, "default_permissions"),
        "fsconfig",
        "",
    )?;
    attach(&fd, o.root())?;
    f::append(o.m("a"), "y")?;
    check_eq!(f::text(o.up("a"))?, "xy");
    Ok(())
}

fn new_api_unknown_option(t: &T) -> R {
    let fd = open_fs(t)?;
    check_err!(set(&fd, "nonsense", "1"), EINVAL);
    check_err!(fsconfig_set_flag(&fd, "nonsense"), EINVAL);
    let m = messages(&fd);
    check!(m.contains("nonsense"), "messages: {m}");
    check_err!(set(&fd, "xino", "maybe"), EINVAL);
    Ok(())
}

fn new_api_no_workdir(t: &T) -> R {
    let o = t.ovl()?;
    let fd = open_fs(t)?;
    set(&fd, "lowerdir", o.low(""))?;
    set(&fd, "upperdir", o.up(""))?;
    check_err!(fsconfig_create(&fd), EINVAL);
    t.expect_log(&["workdir"])
}

fn new_api_reports_through_the_descriptor(t: &T) -> R {
    let fd = open_fs(t)?;
    f::write(t.p("file"), "x")?;
    check_err!(set(&fd, "upperdir", t.p("file")), EINVAL);
    let m = messages(&fd);
    check!(m.contains("is not a directory"), "messages: {m}");
    Ok(())
}

fn new_api_bad_path(t: &T) -> R {
    let fd = open_fs(t)?;
    check_err!(set(&fd, "lowerdir", t.p("missing")), ENOENT);
    check_err!(set(&fd, "upperdir", t.p("missing")), ENOENT);
    check_err!(set(&fd, "workdir", ""), EINVAL);
    Ok(())
}

fn new_api_create_twice(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    let fd = open_fs(t)?;
    set(
        &fd,
        "lowerdir",
        format!("{}:{}", o.lown(0, "").display(), o.lown(1, "").display()),
    )?;
    f::ctx(fsconfig_create(&fd), "create", "")?;
    check_err!(fsconfig_create(&fd), EBUSY);
    Ok(())
}

fn new_api_lower_one_by_one(t: &T) -> R {
    let o = t.layers(3)?;
    let fd = open_fs(t)?;
    for i in 0..3 {
        f::write(o.lown(i, format!("f{i}")), "x")?;
        f::write(o.lown(i, "all"), format!("{i}"))?;
        optional_mount(t, set(&fd, "lowerdir+", o.lown(i, "")))?;
    }
    set_upper(&fd, &o)?;
    attach(&fd, o.root())?;
    check_eq!(f::ls(o.root())?, ["all", "f0", "f1", "f2"]);
    check_eq!(f::text(o.m("all"))?, "0");
    let opts = mountinfo(o.root())?.3;
    check_eq!(opts.matches("lowerdir+=").count(), 3, "in {opts}");
    Ok(())
}

fn new_api_lower_one_by_one_after_all(t: &T) -> R {
    let o = t.layers(2)?;
    let fd = open_fs(t)?;
    set(&fd, "lowerdir", o.lown(0, ""))?;
    check_err!(set(&fd, "lowerdir+", o.lown(1, "")), EINVAL);

    // Nor after one that was refused. What began with a colon was never one.
    let trailing = format!("{}:", o.lown(0, "").display());
    let fd = open_fs(t)?;
    check_err!(set(&fd, "lowerdir", trailing), EINVAL);
    check_err!(set(&fd, "lowerdir+", o.lown(1, "")), EINVAL);
    let fd = open_fs(t)?;
    check_err!(set(&fd, "lowerdir", ":x"), EINVAL);
    set(&fd, "lowerdir+", o.lown(1, ""))
}

fn new_api_layers_by_descriptor(t: &T) -> R {
    use rustix::mount::fsconfig_set_fd;
    let o = t.layers(2)?;
    f::write(o.lown(0, "a"), "x")?;
    f::write(o.lown(1, "b"), "x")?;
    let fd = open_fs(t)?;
    for (key, p) in [
        ("lowerdir+", o.lown(0, "")),
        ("lowerdir+", o.lown(1, "")),
        ("upperdir", o.up("")),
        ("workdir", o.work.clone().unwrap()),
    ] {
        let d = f::open(&p, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        optional_mount(t, f::ctx(fsconfig_set_fd(&fd, key, &d), "fsconfig", key))?;
    }
    attach(&fd, o.root())?;
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::write(o.m("c"), "x")?;
    check!(o.in_upper("c")?);
    Ok(())
}
