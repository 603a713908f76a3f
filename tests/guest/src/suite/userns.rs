// SPDX-License-Identifier: GPL-2.0
//! Mounts made in a user namespace: by a user without any privilege outside, and by the root of a
//! container that owns a range of ids.

use super::prelude::*;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    move_mount, FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags,
};
use std::os::fd::{AsRawFd, OwnedFd};

cases! { "userns";
    user_mounts_with_userxattr;
    user_mounts_without_userxattr;
    user_mounts_read_only_stack;
    user_cannot_mount_without_a_namespace;
    refused_options;
    options_against_userxattr;
    userxattr_shows;
    own_names_are_hidden;
    own_names_are_escaped;
    removal_leaves_whiteouts;
    whiteout_as_attribute;
    directory_over_whiteout_is_opaque;
    directory_over_whiteout_without_userxattr;
    formats_do_not_mix;
    rename_of_lower_directory;
    root_of_container_owns_what_it_makes;
    ids_of_the_container;
    foreign_owner_shows_as_nobody;
    foreign_owner_does_not_copy_up;
    chown_to_foreign;
    no_devices;
    attributes_of_trust;
    override_creds;
    override_creds_last_one_counts;
    override_creds_of_the_outside;
    created_by_another_namespace;
    created_inside_with_a_context_of_outside;
    layers_as_descriptors;
    upper_of_root_is_out_of_reach;
    second_namespace_inside;
    handles_are_out_of_reach;
    outside_sees_the_files;
    same_as_intree_container
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_container_without_userxattr
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_lone_user
        .rs_only("compares with the kernel's own overlay");
}

/// The ids of a container.
pub const RANGE: [sys::IdRange; 1] = [(0, 100_000, 10_000)];

/// Lets this user own all that the layers hold, and the place to mount at.
pub fn give(o: &Ovl, uid: u32, gid: u32) -> R {
    let mut all = vec![o.mnt.clone(), o.mnt.parent().unwrap().to_path_buf()];
    all.extend(o.lowers.iter().cloned());
    all.extend(o.upper.iter().cloned());
    all.extend(o.work.iter().cloned());
    for dir in all {
        f::chown(&dir, uid, gid)?;
        if o.lowers.contains(&dir) {
            for e in walkdir::WalkDir::new(&dir) {
                f::chown(e?.path(), uid, gid)?;
            }
        }
    }
    Ok(())
}

/// Mounts the layers with these options only.
pub fn mount_with(o: &Ovl, opts: &str) -> R {
    let sep = if opts.is_empty() { "" } else { "," };
    o.mount_only(&format!("{}{sep}{opts}", o.layer_opts()))
}

/// Runs `job` as a user of number 1000 who made a namespace, on layers that are the user's own.
pub fn as_user(o: &Ovl, job: impl FnOnce() -> R) -> R {
    give(o, 1000, 1000)?;
    sys::as_userns_root(1000, 1000, || job().map(|()| String::new())).map(drop)
}

/// Runs `job` as the root of a container.
pub fn in_container(job: impl FnOnce() -> R) -> R {
    sys::in_userns(&RANGE, || job().map(|()| String::new())).map(drop)
}

fn furnished(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    for n in ["a", "b", "d/a", "d/e/a"] {
        f::write(o.low(n), "data")?;
    }
    Ok(o)
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

fn own_names_are_hidden(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.overlay.mine", "1")?;
    f::setxattr(o.low("a"), "user.overlayx", "2")?;
    f::setxattr(o.low("a"), "user.other", "3")?;
    f::setxattr(o.low("a"), "trusted.overlay.foreign", "4")?;
    mount_with(&o, "userxattr")?;
    check_eq!(
        f::listxattr(o.m("a"))?,
        ["trusted.overlay.foreign", "user.other", "user.overlayx"]
    );
    check_err!(f::getxattr(o.m("a"), "user.overlay.mine"), ENODATA);
    check_eq!(f::getxattr(o.m("a"), "trusted.overlay.foreign")?, b"4");
    f::append(o.m("a"), "+")?;
    check_eq!(
        f::xattr_opt(o.up("a"), "user.overlay.mine")?,
        None,
        "not copied up"
    );
    check_eq!(f::getxattr(o.up("a"), "trusted.overlay.foreign")?, b"4");
    check_eq!(f::getxattr(o.up("a"), "user.other")?, b"3");
    Ok(())
}

fn own_names_are_escaped(t: &T) -> R {
    let o = t.ovl()?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        f::write(o.m("a"), "x")?;
        f::setxattr(o.m("a"), "user.overlay.opaque", "y")?;
        f::setxattr(o.m("a"), "user.overlay.overlay.x", "z")?;
        check_eq!(
            f::listxattr(o.m("a"))?
                .into_iter()
                .filter(|n| n.starts_with("user."))
                .collect::<Vec<_>>(),
            ["user.overlay.opaque", "user.overlay.overlay.x"]
        );
        check_eq!(f::getxattr(o.m("a"), "user.overlay.opaque")?, b"y");
        f::removexattr(o.m("a"), "user.overlay.overlay.x")?;
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("a"), "user.overlay.overlay.opaque")?, b"y");
    check_eq!(f::xattr_opt(o.up("a"), "user.overlay.opaque")?, None);
    check_eq!(
        f::xattr_opt(o.up("a"), "user.overlay.overlay.overlay.x")?,
        None
    );
    Ok(())
}

fn removal_leaves_whiteouts(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        f::unlink(o.m("a"))?;
        f::unlink(o.m("d/e/a"))?;
        f::rmdir(o.m("d/e"))?;
        f::rename(o.m("b"), o.m("d/b"))?;
        check_eq!(f::ls(o.root())?, ["d"]);
        o.umount()
    })?;
    for n in ["a", "b", "d/e"] {
        check!(o.is_whiteout(n)?, "{n}");
    }
    Ok(())
}

fn whiteout_as_attribute(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.lown(1, "d"))?;
    for n in ["a", "b", "c"] {
        f::write(o.lown(1, format!("d/{n}")), "x")?;
    }
    f::write(o.low("d/a"), "")?;
    f::setxattr(o.low("d/a"), "user.overlay.whiteout", "y")?;
    f::setxattr(o.low("d"), "user.overlay.opaque", "x")?;
    f::whiteout(o.low("d/b"))?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        check_eq!(f::ls(o.m("d"))?, ["c"], "both forms hide");
        check_err!(f::stat(o.m("d/a")), ENOENT);
        check_err!(f::stat(o.m("d/b")), ENOENT);
        f::write(o.m("d/a"), "new")?;
        check_eq!(f::ls(o.m("d"))?, ["a", "c"]);
        o.umount()
    })?;
    // Such a file is no whiteout to a mount that looks at other attributes.
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["a", "c"]);
    o.umount()
}

fn directory_over_whiteout_is_opaque(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        f::unlink(o.m("d/e/a"))?;
        f::rmdir(o.m("d/e"))?;
        f::mkdir(o.m("d/e"))?;
        check_eq!(f::ls(o.m("d/e"))?, [""; 0]);
        o.umount()?;
        mount_with(&o, "userxattr")?;
        check_eq!(f::ls(o.m("d/e"))?, [""; 0]);
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("d/e"), "user.overlay.opaque")?, b"y");
    Ok(())
}

fn directory_over_whiteout_without_userxattr(t: &T) -> R {
    let o = furnished(t)?;
    f::mkdir(o.low("empty"))?;
    as_user(&o, || {
        mount_with(&o, "")?;
        f::rmdir(o.m("empty"))?;
        check_err!(f::mkdir(o.m("empty")), EIO, "it could not be marked");
        f::write(o.m("empty"), "a file needs no mark")?;
        f::unlink(o.m("d/e/a"))?;
        check_err!(f::rmdir(o.m("d/e")), EIO, "as little could this one");
        o.umount()
    })
}

fn formats_do_not_mix(t: &T) -> R {
    let o = t.layers(2)?;
    for d in ["t", "u"] {
        f::mkdir(o.low(d))?;
        f::mkdir(o.lown(1, d))?;
        f::write(o.lown(1, d).join("below"), "x")?;
    }
    f::setxattr(o.low("t"), "trusted.overlay.opaque", "y")?;
    f::setxattr(o.low("u"), "user.overlay.opaque", "y")?;
    mount_with(&o, "userxattr")?;
    check_eq!(f::ls(o.m("t"))?, ["below"]);
    check_eq!(f::ls(o.m("u"))?, [""; 0]);
    o.umount()?;
    mount_with(&o, "")?;
    check_eq!(f::ls(o.m("t"))?, [""; 0]);
    check_eq!(f::ls(o.m("u"))?, ["below"]);
    o.umount()
}

fn rename_of_lower_directory(t: &T) -> R {
    let o = furnished(t)?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        check_err!(f::rename(o.m("d"), o.m("d2")), EXDEV);
        f::mkdir(o.m("new"))?;
        f::rename(o.m("new"), o.m("new2"))?;
        o.umount()
    })
}

fn root_of_container_owns_what_it_makes(t: &T) -> R {
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_eq!(f::stat(o.m("a"))?.uid(), 0, "as seen inside");
        f::append(o.m("a"), "+")?;
        f::write(o.m("new"), "x")?;
        f::chown(o.m("new"), 5, 6)?;
        o.umount()
    })?;
    check_eq!(f::stat(o.up("a"))?.uid(), 100_000);
    let m = f::stat(o.up("new"))?;
    check_eq!((m.uid(), m.gid()), (100_005, 100_006));
    Ok(())
}

fn ids_of_the_container(t: &T) -> R {
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    f::chmod(o.up(""), 0o777)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        let root = o.root().to_path_buf();
        sys::as_user(7, 8, || {
            f::write(root.join("mine"), "x")?;
            check_err!(f::append(root.join("a"), "x"), EACCES);
            check_err!(f::chmod(root.join("a"), 0o666), EPERM);
            Ok(())
        })?;
        let m = f::stat(o.m("mine"))?;
        check_eq!((m.uid(), m.gid()), (7, 8));
        o.umount()
    })?;
    check_eq!(f::stat(o.up("mine"))?.uid(), 100_007);
    Ok(())
}

/// A container's layers with a file of the system's root in the lower.
fn with_foreign(t: &T, mode: u32) -> R<Ovl> {
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    f::write(o.low("foreign"), "data")?;
    f::chmod(o.low("foreign"), mode)?;
    Ok(o)
}

fn foreign_owner_shows_as_nobody(t: &T) -> R {
    let o = with_foreign(t, 0o644)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_eq!(f::stat(o.m("foreign"))?.uid(), 65534);
        check_eq!(f::text(o.m("foreign"))?, "data", "for everybody to read");
        o.umount()
    })
}

fn foreign_owner_does_not_copy_up(t: &T) -> R {
    let o = with_foreign(t, 0o666)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("foreign"), "+"), EOVERFLOW);
        check_err!(f::rename(o.m("foreign"), o.m("mine")), EOVERFLOW);
        check_err!(f::link(o.m("foreign"), o.m("mine")), EOVERFLOW);
        check_err!(f::chmod(o.m("foreign"), 0o777), EPERM);
        check_err!(f::chown(o.m("foreign"), 0, 0), EPERM);
        f::unlink(o.m("foreign"))?;
        o.umount()
    })?;
    check!(o.is_whiteout("foreign")?);
    Ok(())
}

fn chown_to_foreign(t: &T) -> R {
    let o = furnished(t)?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::chown(o.m("a"), 10_000, 0), EINVAL);
        check_err!(f::chown(o.m("a"), 0, 65_000), EINVAL);
        o.umount()
    })?;
    check!(!o.in_upper("a")?);
    Ok(())
}

fn no_devices(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("null"), FileType::CharacterDevice, 0o666, 1, 3)?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::open_ro(o.m("null")), EACCES, "a device in the lower");
        let dev = FileType::CharacterDevice;
        check_err!(f::mknod(o.m("n"), dev, 0o666, 1, 3), EPERM);
        check_err!(f::mknod(o.m("w"), dev, 0, 0, 0), EPERM, "a whiteout");
        f::mknod(o.m("p"), FileType::Fifo, 0o666, 0, 0)?;
        f::unlink(o.m("null"))?;
        o.umount()
    })?;
    check!(o.is_whiteout("null")?);
    Ok(())
}

fn attributes_of_trust(t: &T) -> R {
    let o = furnished(t)?;
    f::setxattr(o.low("a"), "trusted.x", "y")?;
    f::setxattr(o.low("a"), "user.x", "y")?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        check_eq!(f::listxattr(o.m("a"))?, ["user.x"]);
        check_err!(f::getxattr(o.m("a"), "trusted.x"), ENODATA);
        check_err!(f::setxattr(o.m("a"), "trusted.x", "z"), EPERM);
        check_err!(f::setxattr(o.m("a"), "trusted.overlay.opaque", "y"), EPERM);
        check!(!o.in_upper("a")?);
        check_err!(f::setxattr(o.m("a"), "security.x", "z"), EPERM);
        f::append(o.m("a"), "+")?;
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("a"), "user.x")?, b"y");
    check_eq!(
        f::xattr_opt(o.up("a"), "trusted.x")?,
        None,
        "the mounter could not see it, so it could not copy it"
    );
    Ok(())
}

/// A new mount in the making.
pub fn context(ty: &str, o: &Ovl, opts: &[(&str, &str)]) -> R<OwnedFd> {
    let fs = f::ctx(fsopen(ty, FsOpenFlags::FSOPEN_CLOEXEC), "fsopen", ty)?;
    let mut all: Vec<(&str, String)> = o
        .lowers
        .iter()
        .map(|l| ("lowerdir+", l.display().to_string()))
        .collect();
    if let (Some(u), Some(w)) = (&o.upper, &o.work) {
        all.push(("upperdir", u.display().to_string()));
        all.push(("workdir", w.display().to_string()));
    }
    all.extend(opts.iter().map(|(k, v)| (*k, v.to_string())));
    for (k, v) in all {
        f::ctx(fsconfig_set_string(&fs, k, v.as_str()), k, &v)?;
    }
    Ok(fs)
}

pub fn finish(fs: &OwnedFd, at: &Path) -> R {
    f::ctx(fsconfig_create(fs), "FSCONFIG_CMD_CREATE", at)?;
    let m = fsmount(fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    f::ctx(
        move_mount(&m, "", rustix::fs::CWD, at, flags),
        "move_mount",
        at,
    )
}

/// Layers with a file that only its owner, or a capability, may read.
fn private_file(t: &T) -> R<Ovl> {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    f::chmod(o.low("a"), 0o600)?;
    Ok(o)
}

/// Sets the option as a process that may not read what others own.
fn with_weak_creds(fs: &OwnedFd, options: &'static [&'static str]) -> R {
    sys::spawn(|| {
        for c in [1, 2] {
            sys::drop_cap(c)?;
        }
        for o in options {
            f::ctx(fsconfig_set_flag(fs, *o), "fsconfig", o)?;
        }
        Ok(String::new())
    })?
    .join()
    .map(drop)
}

fn override_creds(t: &T) -> R {
    let o = private_file(t)?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds"])?;
    finish(&fs, o.root())?;
    check_err!(f::read(o.m("a")), EACCES, "the weak credentials count");
    let a = o.m("a");
    check_err!(sys::as_user(1000, 1000, || f::read(&a).map(drop)), EACCES);
    o.umount()
}

fn override_creds_last_one_counts(t: &T) -> R {
    let o = private_file(t)?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds", "nooverride_creds"])?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x", "those of the mounter again");
    o.umount()?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds"])?;
    fsconfig_set_flag(&fs, "override_creds")?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x");
    o.umount()?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["nooverride_creds"])?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x");
    o.umount()
}

/// Runs `outside` with a context that the root of a container opened and set up.
fn with_context_of_container(t: &T, o: &Ovl, outside: impl FnOnce(&OwnedFd) -> R) -> R {
    give(o, 100_000, 100_000)?;
    let (rd, wr) = rustix::pipe::pipe()?;
    let (hold_rd, hold_wr) = rustix::pipe::pipe()?;
    let (unused, drop_me) = (rd.as_raw_fd(), hold_wr.as_raw_fd());
    let child = sys::spawn(move || {
        sys::close_raw(unused);
        sys::close_raw(drop_me);
        sys::in_userns(&RANGE, || {
            let fs = context(&t.ty, o, &[])?;
            fsconfig_set_flag(&fs, "userxattr")?;
            let mut wr = File::from(wr);
            wr.write_all(format!("{} {}", std::process::id(), fs.as_raw_fd()).as_bytes())?;
            drop(wr);
            File::from(hold_rd).read_to_end(&mut Vec::new())?;
            Ok(String::new())
        })
    })?;
    let mut said = vec![0; 64];
    let n = File::from(rd).read(&mut said)?;
    let said = String::from_utf8_lossy(&said[..n]).into_owned();
    let (pid, fd) = said
        .split_once(' ')
        .ok_or_else(|| anyhow::anyhow!("the container did not come up"))?;
    let fs = f::ctx(sys::steal_fd(pid.parse()?, fd.parse()?), "pidfd_getfd", "")?;
    let r = outside(&fs);
    drop(hold_wr);
    child.join()?;
    r
}

fn override_creds_of_the_outside(t: &T) -> R {
    let o = t.ovl()?;
    with_context_of_container(t, &o, |fs| {
        check_err!(
            fsconfig_set_flag(fs, "override_creds"),
            EINVAL,
            "the outside's rights are not for a mount of the container"
        );
        fsconfig_set_flag(fs, "nooverride_creds")?;
        Ok(())
    })
}

fn created_by_another_namespace(t: &T) -> R {
    let o = t.ovl()?;
    with_context_of_container(t, &o, |fs| {
        check_err!(fsconfig_create(fs), EINVAL);
        Ok(())
    })
}

fn created_inside_with_a_context_of_outside(t: &T) -> R {
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    let fs = context(&t.ty, &o, &[])?;
    in_container(|| {
        check_err!(fsconfig_create(&fs), EPERM);
        Ok(())
    })?;
    finish(&fs, o.root())?;
    o.umount()
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
        super::optional_mount(t, mount_with(&o, "userxattr,index=on"))?;
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

/// Everything that a few users of a namespace do through one module, and what comes of it.
fn record(
    t: &T,
    ty: &str,
    opts: &str,
    map: &[sys::IdRange],
    users: &[(u32, u32)],
) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    super::idmap::furnish(&o)?;
    let base = map[0].1;
    for e in walkdir::WalkDir::new(&o.lowers[0]) {
        let e = e?;
        // Two objects stay with the system's root.
        if !["root", "fifo"].contains(&&*e.file_name().to_string_lossy()) {
            let m = f::stat(e.path())?;
            let mode = f::mode(e.path())?;
            match map[0].2 {
                1 => f::chown(e.path(), base, base)?,
                _ => f::chown(e.path(), base + m.uid(), base + m.gid())?,
            }
            if !m.file_type().is_symlink() {
                f::chmod(e.path(), mode)?;
            }
        }
    }
    for p in [o.up(""), o.work.clone().unwrap(), o.mnt.clone()] {
        f::chown(p, base, base)?;
    }
    let upper = o.up("");
    let mut said = Vec::new();
    let inside = |file: &Path| -> R<String> {
        mount_with(&o, opts)?;
        let mut lines = super::idmap::survey("first", "shown", o.root())?;
        for (uid, gid) in users {
            let root = o.root().to_path_buf();
            f::write(file, "")?;
            let job = || f::write(file, super::idmap::deeds(&root, *uid)?.join("\n"));
            match *uid {
                0 => job()?,
                _ => sys::as_user(*uid, *gid, job)?,
            }
            lines.extend(f::text(file)?.lines().map(str::to_string));
            lines.extend(super::idmap::survey(
                &format!("after {uid}"),
                "shown",
                o.root(),
            )?);
        }
        o.umount()?;
        Ok(lines.join("\n"))
    };
    let file = o.mnt.parent().unwrap().join("said");
    f::write(&file, "")?;
    f::chmod(&file, 0o666)?;
    let lines = match map[0].2 {
        1 => sys::as_userns_root(base, base, || inside(&file))?,
        _ => sys::in_userns(map, || inside(&file))?,
    };
    said.extend(lines.lines().map(str::to_string));
    said.extend(super::idmap::survey("last", "stored", &upper)?);
    Ok(said)
}

fn same(t: &T, opts: &str, map: &[sys::IdRange], users: &[(u32, u32)]) -> R {
    let want = record(t, t.other_ty()?, opts, map, users)?;
    let got = record(t, &t.ty, opts, map, users)?;
    super::idmap::compare(&want, &got)
}

fn same_as_intree_container(t: &T) -> R {
    same(t, "userxattr", &RANGE, &[(0, 0), (1, 2), (1001, 1002)])
}

fn same_as_intree_container_without_userxattr(t: &T) -> R {
    same(t, "", &RANGE, &[(0, 0), (1, 2), (1001, 1002)])
}

fn same_as_intree_lone_user(t: &T) -> R {
    // No other id has a meaning, so nobody else can be.
    same(t, "userxattr", &[(0, 1000, 1)], &[(0, 0)])
}
