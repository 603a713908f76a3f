// SPDX-License-Identifier: GPL-2.0
//! What is accepted, and what the mount then is.

use super::*;
use crate::suite::optional_mount;

cases! { "mount_options";
    plain;
    defaults_without_any_feature_option;
    features_switched_off_are_accepted;
    default_permissions_is_accepted;
    read_only_flag;
    work_dir_of_foreign_type_is_replaced;
    workdir_that_cannot_be_used_mounts_read_only;
    lower_unreadable_to_others;
    source_name_shows;
    subdirectory_bind_mount;
    many_mounts_of_the_same_lower;
    layers_of_three_filesystems;
}

fn plain(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_eq!(mountinfo(o.root())?.1, t.ty, "type in mountinfo");
    check_eq!(
        f::ls(o.work.as_ref().unwrap())?,
        ["work"],
        "what the workdir holds"
    );
    check_eq!(
        f::mode(o.work.as_ref().unwrap().join("work"))?,
        0,
        "mode of work/work"
    );
    o.umount()
}

fn defaults_without_any_feature_option(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount_only(&o.layer_opts())?;
    f::write(o.m("d/a"), "x")?;
    check_eq!(f::text(o.up("d/a"))?, "x");
    Ok(())
}

fn features_switched_off_are_accepted(t: &T) -> R {
    let o = t.ovl()?;
    for opt in [
        "index=off",
        "redirect_dir=off",
        "metacopy=off",
        "xino=off",
        "nfs_export=off",
    ] {
        o.mount_only(&format!("{},{opt}", o.layer_opts()))?;
        o.umount()?;
    }
    for opt in ["redirect_dir=follow", "redirect_dir=nofollow"] {
        optional_mount(t, o.mount_only(&format!("{},{opt}", o.layer_opts())))?;
        o.umount()?;
    }
    Ok(())
}

fn default_permissions_is_accepted(t: &T) -> R {
    let o = t.ovl()?;
    o.mount_with("default_permissions")
}

fn read_only_flag(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.flags = MountFlags::RDONLY;
    o.mount()?;
    check_err!(f::write(o.m("n"), "x"), EROFS);
    check_err!(f::append(o.m("a"), "x"), EROFS);
    check_eq!(f::text(o.m("a"))?, "x");
    Ok(())
}

fn work_dir_of_foreign_type_is_replaced(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.work.as_ref().unwrap().join("work"), "a file")?;
    o.mount()?;
    check!(f::stat(o.work.as_ref().unwrap().join("work"))?.is_dir());
    f::write(o.m("a"), "x")
}

fn workdir_that_cannot_be_used_mounts_read_only(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    let w = f::open_ro(o.work.as_ref().unwrap())?;
    let old = sys::getflags(&w)?;
    sys::setflags(&w, old | 0x10)?;
    let r = o.mount();
    sys::setflags(&w, old)?;
    r?;
    t.expect_log(&["mounting read-only"])?;
    check_eq!(f::text(o.m("a"))?, "x");
    check_err!(f::write(o.m("n"), "x"), EROFS);
    let r = rustix::mount::mount_remount(o.root(), MountFlags::empty(), "");
    check_err!(r, EROFS, "remount for writing");
    Ok(())
}

fn lower_unreadable_to_others(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low(""), 0o700)?;
    f::chmod(o.up(""), 0o755)?;
    o.mount()?;
    // The root's mode is the upper's; the lower's root limits only the mounter.
    let a = o.m("a");
    sys::as_user(1000, 1000, || f::read(&a).map(drop))
}

fn source_name_shows(t: &T) -> R {
    let o = t.ovl()?;
    let c = std::ffi::CString::new(o.layer_opts())?;
    let ty = t.ty.as_str();
    rustix::mount::mount(
        "some source",
        o.root(),
        ty,
        MountFlags::empty(),
        Some(c.as_c_str()),
    )?;
    check_eq!(mountinfo(o.root())?.2, "some source");
    Ok(())
}

fn subdirectory_bind_mount(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    f::mkdir(t.p("b"))?;
    rustix::mount::mount_bind(o.m("d/e"), t.p("b"))?;
    f::append(t.p("b/a"), "y")?;
    check_eq!(f::text(o.m("d/e/a"))?, "xy");
    f::write(t.p("bf"), "")?;
    rustix::mount::mount_bind(o.m("d/e/a"), t.p("bf"))?;
    check_eq!(f::text(t.p("bf"))?, "xy");
    o.umount().ok();
    check_eq!(
        f::text(t.p("b/a"))?,
        "xy",
        "a bind mount outlives the first mount"
    );
    Ok(())
}

fn many_mounts_of_the_same_lower(t: &T) -> R {
    let base = t.ovl()?;
    f::write(base.low("a"), "x")?;
    let n = t.scaled(40, 5);
    let mut all = Vec::new();
    for _ in 0..n {
        let mut o = t.ovl()?;
        o.lowers = base.lowers.clone();
        o.mount()?;
        all.push(o);
    }
    for (i, o) in all.iter().enumerate() {
        f::append(o.m("a"), format!("{i}"))?;
    }
    for (i, o) in all.iter().enumerate() {
        check_eq!(f::text(o.m("a"))?, format!("x{i}"));
        o.umount()?;
    }
    check_eq!(f::text(base.low("a"))?, "x");
    Ok(())
}

fn layers_of_three_filesystems(t: &T) -> R {
    let mut o = t.layers(1)?;
    let p = t.tmpfs("third", "size=1m")?;
    o.lowers.push(t.other.clone());
    o.lowers.push(p.clone());
    f::write(o.lown(0, "a"), "0")?;
    f::write(o.lown(1, "b"), "1")?;
    f::write(o.lown(2, "c"), "2")?;
    f::mkdir(o.lown(1, "d"))?;
    f::mkdir(o.lown(2, "d"))?;
    f::write(o.lown(1, "d/x"), "1")?;
    f::write(o.lown(2, "d/y"), "2")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a", "b", "c", "d"]);
    check_eq!(f::ls(o.m("d"))?, ["x", "y"]);
    for n in ["a", "b", "c", "d/x", "d/y"] {
        f::append(o.m(n), "+")?;
    }
    check_eq!(f::text(o.m("d/y"))?, "2+");
    Ok(())
}
