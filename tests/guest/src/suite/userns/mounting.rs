// SPDX-License-Identifier: GPL-2.0
//! Who may mount what, with which options, and who reaches the mount.

use super::*;
use crate::suite::optional_mount;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{fsconfig_set_fd, fsconfig_set_flag, fsopen, FsOpenFlags};

cases! { "userns";
    user_mounts_with_userxattr;
    user_mounts_without_userxattr;
    user_mounts_read_only_stack;
    user_cannot_mount_without_a_namespace;
    refused_options;
    options_against_userxattr;
    userxattr_shows;
    layers_as_descriptors;
    upper_of_root_is_out_of_reach;
    second_namespace_inside;
    handles_are_out_of_reach;
    outside_sees_the_files;
}

fn user_mounts_with_userxattr(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        check_eq!(f::ls(o.root())?, ["a", "b", "d"]);
        f::append(o.m("a"), "+")?;
        f::write(o.m("d/e/new"), "x")?;
        f::mkdir(o.m("dir"))?;
        f::symlink("a", o.m("link"))?;
        f::rename(o.m("b"), o.m("c"))?;
        f::link(o.m("c"), o.m("c2"))?;
        f::chmod(o.m("d/a"), 0o600)?;
        f::setxattr(o.m("d/a"), "user.x", "y")?;
        o.umount()?;
        mount_with(&o, "userxattr")?;
        check_eq!(f::ls(o.root())?, ["a", "c", "c2", "d", "dir", "link"]);
        check_eq!(f::text(o.m("a"))?, "data+");
        o.umount()
    })?;
    for n in ["a", "c", "d", "d/e", "d/e/new", "dir"] {
        check_eq!(f::stat(o.up(n))?.uid(), 1000, "owner of {n}");
        check_eq!(
            f::listxattr(o.up(n))?
                .iter()
                .filter(|x| x.starts_with("trusted."))
                .count(),
            0,
            "trusted attributes of {n}"
        );
    }
    check!(o.is_whiteout("b")?);
    check_eq!(f::getxattr(o.up("d"), "user.overlay.impure")?, b"y");
    // With all rights, the same layers mean the same.
    mount_with(&o, "userxattr")?;
    check_eq!(f::ls(o.root())?, ["a", "c", "c2", "d", "dir", "link"]);
    o.umount()
}

fn user_mounts_without_userxattr(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        mount_with(&o, "")?;
        f::append(o.m("a"), "+")?;
        f::unlink(o.m("b"))?;
        f::write(o.m("d/new"), "x")?;
        check_eq!(f::ls(o.root())?, ["a", "d"]);
        o.umount()
    })?;
    t.expect_log(&["xattr"])?;
    for n in ["a", "d"] {
        let names = f::listxattr(o.up(n))?;
        check!(
            !names.iter().any(|x| x.contains("overlay")),
            "{n} has no attribute of an overlay: {names:?}"
        );
    }
    Ok(())
}

fn user_mounts_read_only_stack(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.lown(1, "d"))?;
    f::write(o.low("d/a"), "x")?;
    f::write(o.lown(1, "d/b"), "x")?;
    as_user(&o, || {
        mount_with(&o, "")?;
        check_eq!(f::ls(o.m("d"))?, ["a", "b"]);
        check_err!(f::write(o.m("d/c"), "x"), EROFS);
        o.umount()
    })
}

fn user_cannot_mount_without_a_namespace(t: &T) -> R {
    let o = t.ovl()?;
    give(&o, 1000, 1000)?;
    check_err!(
        sys::as_user(1000, 1000, || mount_with(&o, "userxattr")),
        EPERM
    );
    check_err!(
        sys::as_user(1000, 1000, || {
            Ok(fsopen(t.ty.as_str(), FsOpenFlags::empty()).map(drop)?)
        }),
        EPERM
    );
    Ok(())
}

fn refused_options(t: &T) -> R {
    let o = t.ovl()?;
    as_user(&o, || {
        for opt in [
            "redirect_dir=on",
            "redirect_dir=follow",
            "metacopy=on",
            "verity=on",
            "verity=require",
        ] {
            check_err!(mount_with(&o, opt), EPERM, "{opt}");
            t.expect_log(&["trusted"])?;
        }
        let data = format!("{}::{}", o.lowers[0].display(), o.up("").display());
        check_err!(
            o.mount_only(&format!("lowerdir={data}")),
            EPERM,
            "a data-only layer"
        );
        for opt in ["redirect_dir=nofollow", "metacopy=off", "verity=off"] {
            mount_with(&o, opt)?;
            o.umount()?;
        }
        Ok(())
    })
}

fn options_against_userxattr(t: &T) -> R {
    let o = t.ovl()?;
    for opt in [
        "userxattr,redirect_dir=on",
        "redirect_dir=follow,userxattr",
        "userxattr,metacopy=on",
    ] {
        check_err!(mount_with(&o, opt), EINVAL, "{opt}");
        t.expect_log(&["userxattr"])?;
    }
    as_user(&o, || {
        check_err!(mount_with(&o, "userxattr,redirect_dir=on"), EINVAL);
        check_err!(mount_with(&o, "userxattr,metacopy=on"), EINVAL);
        Ok(())
    })?;
    mount_with(&o, "userxattr,redirect_dir=nofollow,metacopy=off")?;
    o.umount()
}

fn userxattr_shows(t: &T) -> R {
    let o = t.ovl()?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        let shown = mountinfo(o.root())?.3;
        check!(shown.split(',').any(|x| x == "userxattr"), "in {shown}");
        check!(
            shown.split(',').any(|x| x == "redirect_dir=nofollow")
                || !shown.contains("redirect_dir"),
            "redirects are not on in {shown}"
        );
        o.umount()
    })
}

fn layers_as_descriptors(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        for (key, p) in [
            ("lowerdir+", &o.lowers[0]),
            ("upperdir", o.upper.as_ref().unwrap()),
            ("workdir", o.work.as_ref().unwrap()),
        ] {
            let fd = rustix::fs::open(p, flags, Mode::empty())?;
            f::ctx(fsconfig_set_fd(&fs, key, &fd), key, p)?;
        }
        fsconfig_set_flag(&fs, "userxattr")?;
        finish(&fs, o.root())?;
        f::append(o.m("d/a"), "+")?;
        check_eq!(f::text(o.up("d/a"))?, "data+");
        o.umount()
    })
}

fn upper_of_root_is_out_of_reach(t: &T) -> R {
    let o = furnished(t)?;
    give(&o, 1000, 1000)?;
    f::chown(o.up(""), 0, 0)?;
    f::chown(o.work.as_ref().unwrap(), 0, 0)?;
    sys::as_userns_root(1000, 1000, || {
        // Without a work directory there is nothing to write with.
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("a"), "+"), EROFS);
        check_err!(f::write(o.m("new"), "x"), EROFS);
        check_eq!(f::text(o.m("a"))?, "data");
        o.umount()?;
        Ok(String::new())
    })?;
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    Ok(())
}

fn second_namespace_inside(t: &T) -> R {
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        // A container in the container: root there is 500 here.
        f::chmod(o.root(), 0o777)?;
        sys::in_userns(&[(0, 500, 100)], || {
            check_err!(f::append(o.m("a"), "+"), EACCES);
            f::write(o.m("inner"), "x")?;
            check_eq!(f::stat(o.m("inner"))?.uid(), 0);
            check_err!(
                rustix::mount::unmount(o.root(), rustix::mount::UnmountFlags::empty()),
                EINVAL,
                "a mount that came from outside is locked"
            );
            Ok(String::new())
        })?;
        check_eq!(f::stat(o.m("inner"))?.uid(), 500);
        o.umount()
    })?;
    check_eq!(f::stat(o.up("inner"))?.uid(), 100_500);
    Ok(())
}

fn handles_are_out_of_reach(t: &T) -> R {
    // Without the right to open by handle, no feature that needs handles can be had.
    let o = furnished(t)?;
    as_user(&o, || {
        optional_mount(t, mount_with(&o, "userxattr,index=on"))?;
        let shown = mountinfo(o.root())?.3;
        check!(!shown.contains("index=on"), "in {shown}");
        o.umount()
    })?;
    check_eq!(f::ls(o.work.as_ref().unwrap())?, ["work"]);
    Ok(())
}

fn outside_sees_the_files(t: &T) -> R {
    // A process of the outside looks at the mount of a container, by way of /proc.
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        f::write(o.m("new"), "x")?;
        f::chmod(o.m("new"), 0o600)?;
        let pid = std::process::id();
        let seen = format!("/proc/{pid}/root{}", o.m("new").display());
        check_eq!(f::text(seen)?, "x");
        o.umount()
    })
}
