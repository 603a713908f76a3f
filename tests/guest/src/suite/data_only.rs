// SPDX-License-Identifier: GPL-2.0
//! Data-only lower layers: `lowerdir=a::b`, `datadir+`.

use super::prelude::*;
use rustix::mount::{
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, FsMountFlags, FsOpenFlags,
    MountAttrFlags, MoveMountFlags,
};

cases! { "data_only";
    data_is_found;
    needs_no_feature;
    names_are_not_merged;
    first_data_layer_wins;
    next_data_layer_is_used;
    not_looked_for_before_it_is_needed;
    blocks_are_a_guess_until_then;
    missing_data;
    missing_data_and_copy_up;
    data_that_comes_later;
    not_a_regular_file;
    symlink_on_the_way;
    path_out_of_the_layer;
    relative_redirect;
    no_redirect;
    merged_layer_between;
    directory_of_that_name_in_a_merged_layer;
    data_in_a_merged_layer;
    copy_up_of_metadata;
    copy_up_of_data;
    rename_keeps_the_way;
    upper_leads_to_a_data_layer;
    mapping_and_seeking;
    only_data_layers;
    one_lower_and_no_upper;
    lower_after_data;
    layer_on_another_filesystem;
    inside_another_layer;
    new_api;
    new_api_order;
    shown_as_it_was_given;
    read_by_the_other_module;
}

const MARK: &str = "trusted.overlay.metacopy";
const REDIRECT: &str = "trusted.overlay.redirect";
const ON: &str = "redirect_dir=on,metacopy=on";

/// A file that has only metadata.
fn meta(p: PathBuf, len: u64, redirect: Option<&str>) -> R {
    f::write(&p, "")?;
    f::truncate(&p, len)?;
    f::setxattr(&p, MARK, "")?;
    if let Some(to) = redirect {
        f::setxattr(&p, REDIRECT, to)?;
    }
    Ok(())
}

/// The options of the layers, the last `n` of them data-only.
fn opts(o: &Ovl, n: usize) -> String {
    let merged = o.lowers.len() - n;
    let mut s = String::from("lowerdir=");
    for (i, l) in o.lowers.iter().enumerate() {
        if i >= merged {
            s += "::";
        } else if i > 0 {
            s += ":";
        }
        s += &l.to_string_lossy();
    }
    if let (Some(u), Some(w)) = (&o.upper, &o.work) {
        s += &format!(",upperdir={},workdir={}", u.display(), w.display());
    }
    s
}

#[track_caller]
fn mount(o: &Ovl, n: usize, more: &str) -> R {
    o.mount_only(&format!("{},{OFF},{more}", opts(o, n)))
}

/// `f` in layer 0 leads to `/x/y` in layer 1, which is data-only. Not mounted.
fn one(o: &Ovl) -> R {
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    f::chmod(o.lown(0, "f"), 0o604)?;
    f::mkdir(o.lown(1, "x"))?;
    f::write(o.lown(1, "x/y"), "datum")?;
    f::chmod(o.lown(1, "x/y"), 0o600)
}

fn data_is_found(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    one(&o)?;
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    check_eq!(f::mode(o.m("f"))?, 0o604);
    check_eq!(f::listxattr(o.m("f"))?, [""; 0]);
    Ok(())
}

fn needs_no_feature(t: &T) -> R {
    for redirect in ["nofollow", "follow"] {
        let o = t.ovl()?;
        let mut o = o;
        o.lowers = t.layers(2)?.lowers;
        one(&o)?;
        mount(&o, 1, &format!("redirect_dir={redirect},metacopy=off"))?;
        check_eq!(f::text(o.m("f"))?, "datum", "{redirect}");
        f::append(o.m("f"), "!")?;
        check_eq!(f::text(o.up("f"))?, "datum!", "{redirect}");
        check_eq!(o.xattr("f", "metacopy")?, None, "{redirect}");
        o.umount()?;
    }
    Ok(())
}

fn names_are_not_merged(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    one(&o)?;
    f::write(o.lown(1, "only"), "1")?;
    mount(&o, 1, ON)?;
    check_eq!(f::ls(o.root())?, ["f"]);
    check_err!(f::stat(o.m("x")), ENOENT);
    check_err!(f::stat(o.m("only")), ENOENT);
    Ok(())
}

fn first_data_layer_wins(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    one(&o)?;
    f::mkdir(o.lown(2, "x"))?;
    f::write(o.lown(2, "x/y"), "wrong")?;
    mount(&o, 2, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn next_data_layer_is_used(t: &T) -> R {
    let o = t.ovl_ro(4)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    f::mkdir(o.lown(2, "x"))?;
    f::mkdir(o.lown(3, "x"))?;
    f::write(o.lown(3, "x/y"), "datum")?;
    mount(&o, 3, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn not_looked_for_before_it_is_needed(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    mount(&o, 1, ON)?;
    check_eq!(f::stat(o.m("f"))?.len(), 5);
    check_eq!(f::ls(o.root())?, ["f"]);
    f::mkdir(o.lown(1, "x"))?;
    f::write(o.lown(1, "x/y"), "datum")?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn blocks_are_a_guess_until_then(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 100_000, Some("/y"))?;
    f::write(o.lown(1, "y"), "")?;
    f::truncate(o.lown(1, "y"), 100_000)?;
    mount(&o, 1, ON)?;
    let m = f::stat(o.m("f"))?;
    check_eq!(m.blocks(), 100_000u64.next_multiple_of(m.blksize()) / 512);
    check_eq!(f::read(o.m("f"))?.len(), 100_000);
    check_eq!(
        f::stat(o.m("f"))?.blocks(),
        f::stat(o.lown(1, "y"))?.blocks()
    );
    Ok(())
}

fn missing_data(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    mount(&o, 2, ON)?;
    t.kmsg_since();
    check_eq!(f::stat(o.m("f"))?.len(), 5);
    check_err!(f::read(o.m("f")), ENOENT);
    t.expect_limited_log(&["data", "-2"], || drop(f::read(o.m("f"))))
}

fn missing_data_and_copy_up(t: &T) -> R {
    let o = t.layers(2)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    mount(&o, 1, ON)?;
    check_err!(f::chmod(o.m("f"), 0o600), ENOENT);
    check_err!(f::append(o.m("f"), "x"), ENOENT);
    check!(!o.in_upper("f")?);
    f::unlink(o.m("f"))?;
    check!(o.is_whiteout("f")?);
    Ok(())
}

fn data_that_comes_later(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, Some("/y"))?;
    mount(&o, 1, ON)?;
    check_err!(f::read(o.m("f")), ENOENT);
    f::write(o.lown(1, "y"), "datum")?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn not_a_regular_file(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    for n in ["dir", "fifo", "next"] {
        meta(o.lown(0, n), 5, Some(&format!("/{n}")))?;
    }
    f::mkdir(o.lown(1, "dir"))?;
    f::mknod(o.lown(1, "fifo"), FileType::Fifo, 0o600, 0, 0)?;
    f::mkdir(o.lown(1, "next"))?;
    f::write(o.lown(2, "next"), "datum")?;
    mount(&o, 2, ON)?;
    check_err!(f::read(o.m("dir")), ENOENT);
    check_err!(f::read(o.m("fifo")), ENOENT);
    check_eq!(f::text(o.m("next"))?, "datum");
    Ok(())
}

fn symlink_on_the_way(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, Some("/l/y"))?;
    meta(o.lown(0, "g"), 5, Some("/z"))?;
    f::mkdir(o.lown(1, "x"))?;
    f::write(o.lown(1, "x/y"), "datum")?;
    f::symlink("x", o.lown(1, "l"))?;
    f::symlink("x/y", o.lown(1, "z"))?;
    mount(&o, 1, ON)?;
    check_err!(f::read(o.m("f")), ELOOP);
    // The last one is not followed, and is no file.
    check_err!(f::read(o.m("g")), ENOENT);
    Ok(())
}

fn path_out_of_the_layer(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, Some("/../lower0/g"))?;
    f::write(o.lown(0, "g"), "datum")?;
    mount(&o, 1, ON)?;
    check_err!(f::read(o.m("f")), EXDEV);
    Ok(())
}

fn relative_redirect(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, Some("y"))?;
    f::write(o.lown(1, "y"), "datum")?;
    mount(&o, 1, ON)?;
    check_err!(f::stat(o.m("f")), EIO);
    o.umount()?;
    mount(&o, 1, "metacopy=off,redirect_dir=nofollow")?;
    check_err!(f::stat(o.m("f")), EPERM);
    Ok(())
}

fn no_redirect(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    meta(o.lown(0, "f"), 5, None)?;
    f::write(o.lown(1, "f"), "datum")?;
    mount(&o, 1, ON)?;
    check_err!(f::stat(o.m("f")), EIO);
    Ok(())
}

fn merged_layer_between(t: &T) -> R {
    let mut o = t.ovl_ro(3)?;
    o.lowers.swap(1, 2);
    meta(o.lown(0, "f"), 5, Some("/y"))?;
    f::write(o.lown(1, "other"), "1")?;
    f::write(o.lown(2, "y"), "datum")?;
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    check_eq!(f::text(o.m("other"))?, "1");
    o.umount()?;
    // A merged layer below: to look into it takes the features.
    mount(&o, 1, "metacopy=off,redirect_dir=follow")?;
    check_err!(f::stat(o.m("f")), EPERM);
    Ok(())
}

/// The lookup through the merged layers forgets that the last redirect was absolute when it meets a
/// directory on the way: so overlayfs has it.
fn directory_of_that_name_in_a_merged_layer(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    f::mkdir(o.lown(1, "x"))?;
    f::mkdir(o.lown(2, "x"))?;
    f::write(o.lown(2, "x/y"), "datum")?;
    mount(&o, 1, ON)?;
    check_err!(f::stat(o.m("f")), EIO);
    Ok(())
}

fn data_in_a_merged_layer(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    meta(o.lown(0, "f"), 5, Some("/x/y"))?;
    f::mkdir(o.lown(1, "x"))?;
    f::write(o.lown(1, "x/y"), "datum")?;
    f::mkdir(o.lown(2, "x"))?;
    f::write(o.lown(2, "x/y"), "wrong")?;
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn copy_up_of_metadata(t: &T) -> R {
    let o = t.layers(2)?;
    one(&o)?;
    mount(&o, 1, ON)?;
    f::chmod(o.m("f"), 0o640)?;
    check_eq!(o.xattr("f", "metacopy")?, Some(vec![]));
    check_eq!(o.xattr("f", "redirect")?, None);
    for _ in 0..2 {
        check_eq!(f::text(o.m("f"))?, "datum");
        check_eq!(f::mode(o.m("f"))?, 0o640);
        o.umount()?;
        mount(&o, 1, ON)?;
    }
    f::append(o.m("f"), "!")?;
    check_eq!(f::text(o.up("f"))?, "datum!");
    check_eq!(o.xattr("f", "metacopy")?, None);
    Ok(())
}

fn copy_up_of_data(t: &T) -> R {
    let o = t.layers(2)?;
    one(&o)?;
    mount(&o, 1, ON)?;
    f::append(o.m("f"), "!")?;
    check_eq!(f::text(o.up("f"))?, "datum!");
    check_eq!(o.xattr("f", "metacopy")?, None);
    check_eq!(f::mode(o.up("f"))?, 0o604);
    check_eq!(f::text(o.lown(1, "x/y"))?, "datum");
    Ok(())
}

fn rename_keeps_the_way(t: &T) -> R {
    let o = t.layers(2)?;
    one(&o)?;
    mount(&o, 1, ON)?;
    f::mkdir(o.m("d"))?;
    f::rename(o.m("f"), o.m("d/g"))?;
    check_eq!(o.xattr("d/g", "redirect")?, Some(b"/f".to_vec()));
    check_eq!(o.xattr("d/g", "metacopy")?, Some(vec![]));
    for _ in 0..2 {
        check_eq!(f::text(o.m("d/g"))?, "datum");
        o.umount()?;
        mount(&o, 1, ON)?;
    }
    Ok(())
}

fn upper_leads_to_a_data_layer(t: &T) -> R {
    let o = t.layers(2)?;
    meta(o.up("f"), 5, Some("/y"))?;
    f::write(o.lown(1, "y"), "datum")?;
    mount(&o, 1, ON)?;
    // Between them there must be something in a merged layer.
    check_err!(f::stat(o.m("f")), EIO);
    Ok(())
}

fn mapping_and_seeking(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    one(&o)?;
    mount(&o, 1, ON)?;
    let fd = f::open_ro(o.m("f"))?;
    check_eq!(sys::map_ro(&fd, 5)?[..].to_vec(), b"datum");
    check_eq!(sys::lseek(&fd, 0, libc::SEEK_END)?, 5);
    check_eq!(sys::lseek(&fd, 0, libc::SEEK_HOLE)?, 5);
    Ok(())
}

fn only_data_layers(t: &T) -> R {
    let o = t.layers(2)?;
    let s = format!(
        "lowerdir=::{}::{},upperdir={}",
        o.lown(0, "").display(),
        o.lown(1, "").display(),
        o.up("").display()
    );
    check_err!(o.mount_only(&s), EINVAL);
    Ok(())
}

fn one_lower_and_no_upper(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    one(&o)?;
    // The data-only layer counts.
    mount(&o, 1, "metacopy=off")?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn lower_after_data(t: &T) -> R {
    let o = t.layers(3)?;
    let l: Vec<_> = o.lowers.iter().map(|l| l.display().to_string()).collect();
    let s = format!("lowerdir={}::{}:{}", l[0], l[1], l[2]);
    t.kmsg_since();
    check_err!(o.mount_only(&s), EINVAL);
    t.expect_log(&["data"])
}

fn layer_on_another_filesystem(t: &T) -> R {
    let mut o = t.ovl_ro(1)?;
    let data = t.tmpfs("data", "size=1m")?;
    o.lowers.push(data);
    one(&o)?;
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    // All merged layers are on one filesystem.
    let m = f::stat(o.m("f"))?;
    check_eq!(m.dev(), f::stat(o.root())?.dev());
    check_eq!(m.ino(), f::stat(o.lown(0, "f"))?.ino());
    Ok(())
}

fn inside_another_layer(t: &T) -> R {
    let mut o = t.ovl_ro(1)?;
    f::mkdir(o.low("sub"))?;
    o.lowers.push(o.low("sub"));
    check_err!(mount(&o, 1, ON), ELOOP);
    Ok(())
}

fn open_fs(t: &T) -> R<std::os::fd::OwnedFd> {
    f::ctx(
        fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC),
        "fsopen",
        &t.ty,
    )
}

fn set(fd: &std::os::fd::OwnedFd, key: &str, val: impl AsRef<Path>) -> R {
    f::ctx(fsconfig_set_string(fd, key, val.as_ref()), "fsconfig", key)
}

fn new_api(t: &T) -> R {
    let o = t.ovl_ro(4)?;
    one(&o)?;
    meta(o.lown(0, "g"), 5, Some("/z"))?;
    f::write(o.lown(3, "z"), "other")?;
    f::mkdir(o.lown(2, "q"))?;
    let fd = open_fs(t)?;
    set(&fd, "lowerdir+", o.lown(0, ""))?;
    set(&fd, "datadir+", o.lown(1, ""))?;
    set(&fd, "datadir+", o.lown(2, ""))?;
    set(&fd, "datadir+", o.lown(3, ""))?;
    set(&fd, "metacopy", "off")?;
    f::ctx(fsconfig_create(&fd), "FSCONFIG_CMD_CREATE", "")?;
    let m = fsmount(&fd, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    let m = f::ctx(m, "fsmount", "")?;
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    f::ctx(
        move_mount(&m, "", rustix::fs::CWD, o.root(), how),
        "move_mount",
        "",
    )?;
    check_eq!(f::text(o.m("f"))?, "datum");
    check_eq!(f::text(o.m("g"))?, "other");
    check_eq!(f::ls(o.root())?, ["f", "g"]);
    let shown = mountinfo(o.root())?.3;
    let want: Vec<String> = (0..4)
        .map(|i| {
            let option = if i == 0 { "lowerdir+" } else { "datadir+" };
            let at = o.lown(i, "");
            format!("{option}={}", at.display())
        })
        .collect();
    check!(shown.contains(&want.join(",")), "{shown}");
    Ok(())
}

fn new_api_order(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    let fd = open_fs(t)?;
    set(&fd, "lowerdir+", o.lown(0, ""))?;
    set(&fd, "datadir+", o.lown(1, ""))?;
    check_err!(set(&fd, "lowerdir+", o.lown(2, "")), EINVAL);
    drop(fd);
    let fd = open_fs(t)?;
    set(&fd, "lowerdir", o.lown(0, ""))?;
    check_err!(set(&fd, "datadir+", o.lown(1, "")), EINVAL);
    drop(fd);
    let fd = open_fs(t)?;
    set(&fd, "datadir+", o.lown(0, ""))?;
    set(&fd, "datadir+", o.lown(1, ""))?;
    check_err!(fsconfig_create(&fd), EINVAL);
    t.expect_log(&["data"])
}

fn shown_as_it_was_given(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    mount(&o, 2, "metacopy=off")?;
    let shown = mountinfo(o.root())?.3;
    check!(shown.contains(&opts(&o, 2)), "{shown}");
    Ok(())
}

fn read_by_the_other_module(t: &T) -> R {
    let mut o = t.layers(2)?;
    one(&o)?;
    meta(o.lown(0, "g"), 5, Some("/x/y"))?;
    mount(&o, 1, ON)?;
    f::chmod(o.m("f"), 0o640)?;
    f::rename(o.m("g"), o.m("h"))?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("f"))?, "datum");
    check_eq!(f::text(o.m("h"))?, "datum");
    f::chmod(o.m("h"), 0o640)?;
    o.umount()?;
    o.ty = t.ty.clone();
    mount(&o, 1, ON)?;
    check_eq!(f::text(o.m("h"))?, "datum");
    check_eq!(f::mode(o.m("h"))?, 0o640);
    Ok(())
}
