// SPDX-License-Identifier: GPL-2.0
//! Mount options: what is accepted, and what a user gets for each mistake: an errno and a line in
//! the kernel log.

use super::prelude::*;
use rustix::mount::{
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags,
};
use std::os::fd::OwnedFd;

cases! { "mount_options";
    plain;
    defaults_without_any_feature_option;
    features_switched_off_are_accepted;
    default_permissions_is_accepted;
    read_only_flag;
    no_lowerdir;
    empty_lowerdir;
    no_options_at_all;
    no_workdir;
    workdir_without_upper_is_ignored;
    one_lower_without_upper;
    lower_missing;
    second_lower_missing;
    upper_missing;
    workdir_missing;
    lower_is_a_file;
    upper_is_a_file;
    workdir_on_other_mount;
    workdir_on_other_filesystem;
    workdir_inside_upper;
    upper_inside_workdir;
    workdir_is_upper;
    upper_on_readonly_mount;
    upper_without_xattrs;
    same_lower_twice;
    lower_inside_lower;
    lower_is_upper;
    lower_inside_upper;
    lower_is_workdir;
    lower_inside_workdir;
    upper_inside_lower;
    upper_in_use;
    upper_in_use_with_index;
    workdir_in_use;
    lower_in_use_as_upper;
    in_use_ends_with_unmount;
    unknown_option;
    unknown_option_with_value;
    malformed_values;
    value_missing;
    flag_with_value;
    trailing_backslash;
    trailing_backslash_is_logged
        .expect_intree_fail("it refuses a trailing backslash without a word in the log");
    leading_colon;
    trailing_colon;
    triple_colon;
    normal_after_data_layer;
    five_hundred_and_one_lowers;
    escaped_colon_in_lower;
    escaped_comma_everywhere;
    escaped_backslash;
    colon_in_upper_and_work;
    relative_paths;
    symlinked_layers;
    lowerdir_given_twice;
    last_value_wins;
    incompatible_work_feature;
    work_dir_of_foreign_type_is_replaced;
    workdir_that_cannot_be_used_mounts_read_only;
    lower_unreadable_to_others;
    failed_mount_leaves_nothing;
    new_api;
    new_api_unknown_option;
    new_api_no_workdir;
    new_api_reports_through_the_descriptor;
    new_api_bad_path;
    new_api_create_twice;
    new_api_lower_one_by_one;
    new_api_lower_one_by_one_after_all;
    new_api_layers_by_descriptor;
    source_name_shows;
    mount_on_file_is_refused;
    subdirectory_bind_mount;
    many_mounts_of_the_same_lower;
    layers_of_three_filesystems;
    conflicts_are_refused;
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
        super::optional_mount(t, o.mount_only(&format!("{},{opt}", o.layer_opts())))?;
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

/// The mount fails with this errno and a log line with these words.
macro_rules! refused {
    ($t:expr, $r:expr, $errno:ident, $words:expr) => {{
        check_err!($r, $errno);
        $t.expect_log(&$words)?;
        let at = $t.dir.to_string_lossy().into_owned();
        let left: Vec<_> = f::text("/proc/self/mountinfo")?
            .lines()
            .filter(|l| l.contains(&at) && l.contains(&format!(" - {} ", $t.ty)))
            .map(str::to_string)
            .collect();
        check!(left.is_empty(), "nothing is mounted: {left:?}");
    }};
}

fn no_lowerdir(t: &T) -> R {
    let o = t.ovl()?;
    let (u, w) = (o.up(""), o.work.clone().unwrap());
    let opts = format!("upperdir={},workdir={}", u.display(), w.display());
    refused!(t, o.mount_only(&opts), EINVAL, ["lowerdir"]);
    Ok(())
}

fn empty_lowerdir(t: &T) -> R {
    let o = t.ovl()?;
    refused!(t, o.mount_only("lowerdir="), EINVAL, ["lowerdir"]);
    Ok(())
}

fn no_options_at_all(t: &T) -> R {
    let o = t.ovl()?;
    refused!(t, o.mount_only(""), EINVAL, ["lowerdir"]);
    Ok(())
}

fn no_workdir(t: &T) -> R {
    let mut o = t.ovl()?;
    o.work = None;
    refused!(t, o.mount(), EINVAL, ["workdir"]);
    Ok(())
}

fn workdir_without_upper_is_ignored(t: &T) -> R {
    let mut o = t.layers(2)?;
    o.upper = None;
    o.mount()?;
    t.expect_log(&["workdir", "useless|does not use it"])?;
    check_eq!(
        f::ls(o.work.as_ref().unwrap())?,
        [""; 0],
        "the workdir is not touched"
    );
    Ok(())
}

fn one_lower_without_upper(t: &T) -> R {
    let o = t.ovl_ro(1)?;
    refused!(
        t,
        o.mount(),
        EINVAL,
        ["at least 2 lowerdir|two lower layers are needed"]
    );
    Ok(())
}

fn lower_missing(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec![t.p("missing")];
    refused!(
        t,
        o.mount(),
        ENOENT,
        ["failed to resolve|cannot find", "missing"]
    );
    Ok(())
}

fn second_lower_missing(t: &T) -> R {
    let mut o = t.layers(2)?;
    o.lowers[1] = t.p("missing");
    refused!(
        t,
        o.mount(),
        ENOENT,
        ["failed to resolve|cannot find", "missing"]
    );
    Ok(())
}

fn upper_missing(t: &T) -> R {
    let mut o = t.ovl()?;
    o.upper = Some(t.p("missing"));
    refused!(
        t,
        o.mount(),
        ENOENT,
        ["failed to resolve|cannot find", "missing"]
    );
    Ok(())
}

fn workdir_missing(t: &T) -> R {
    let mut o = t.ovl()?;
    o.work = Some(t.p("missing"));
    refused!(
        t,
        o.mount(),
        ENOENT,
        ["failed to resolve|cannot find", "missing"]
    );
    Ok(())
}

fn lower_is_a_file(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(t.p("file"), "x")?;
    o.lowers = vec![t.p("file")];
    refused!(t, o.mount(), EINVAL, ["is not a directory"]);
    Ok(())
}

fn upper_is_a_file(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(t.p("file"), "x")?;
    o.upper = Some(t.p("file"));
    refused!(t, o.mount(), EINVAL, ["is not a directory"]);
    Ok(())
}

fn workdir_on_other_mount(t: &T) -> R {
    let o = t.ovl()?;
    // The same filesystem, but another mount of it.
    let w = o.work.clone().unwrap();
    rustix::mount::mount_bind(&w, &w)?;
    refused!(t, o.mount(), EINVAL, ["same mount"]);
    Ok(())
}

fn workdir_on_other_filesystem(t: &T) -> R {
    let mut o = t.ovl()?;
    o.work = Some(t.other.clone());
    refused!(t, o.mount(), EINVAL, ["same mount"]);
    Ok(())
}

fn workdir_inside_upper(t: &T) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.up("w"))?;
    o.work = Some(o.up("w"));
    refused!(
        t,
        o.mount(),
        EINVAL,
        ["separate subtrees|inside the other", "workdir", "upperdir"]
    );
    Ok(())
}

fn upper_inside_workdir(t: &T) -> R {
    let mut o = t.ovl()?;
    let u = o.work.clone().unwrap().join("u");
    f::mkdir(&u)?;
    o.upper = Some(u);
    refused!(
        t,
        o.mount(),
        EINVAL,
        ["separate subtrees|inside the other", "workdir", "upperdir"]
    );
    Ok(())
}

fn workdir_is_upper(t: &T) -> R {
    let mut o = t.ovl()?;
    o.work = o.upper.clone();
    refused!(
        t,
        o.mount(),
        EINVAL,
        ["separate subtrees|inside the other", "workdir", "upperdir"]
    );
    Ok(())
}

fn upper_on_readonly_mount(t: &T) -> R {
    let mut o = t.ovl()?;
    let p = t.tmpfs("ro", "size=1m")?;
    f::mkdir(p.join("u"))?;
    f::mkdir(p.join("w"))?;
    rustix::mount::mount_remount(&p, MountFlags::RDONLY, "")?;
    o.upper = Some(p.join("u"));
    o.work = Some(p.join("w"));
    refused!(t, o.mount(), EINVAL, ["read-only"]);
    Ok(())
}

fn upper_without_xattrs(t: &T) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "lower")?;
    let p = t.p("ramfs");
    f::mkdir(&p)?;
    mount_raw("ramfs", &p, "", MountFlags::empty())?;
    f::mkdir(p.join("u"))?;
    f::mkdir(p.join("w"))?;
    o.upper = Some(p.join("u"));
    o.work = Some(p.join("w"));
    o.mount_only(&o.layer_opts())?;
    let log = t.kmsg_since().join("\n");
    let said = [
        "failed to set xattr on upper",
        "cannot set xattrs on the upper",
    ];
    check!(
        said.iter().any(|w| log.contains(w)),
        "the log says that there are no xattrs: {log}"
    );
    check!(
        log.contains("redirect_dir=nofollow"),
        "the log says what follows: {log}"
    );
    // What needs no attribute works.
    f::append(o.m("a"), "+")?;
    check_eq!(f::text(o.m("a"))?, "lower+");
    f::write(o.m("d/new"), "x")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    // An opaque directory cannot be made.
    f::unlink(o.m("d/new"))?;
    f::rmdir(o.m("d"))?;
    check_err!(f::mkdir(o.m("d")), EIO);
    Ok(())
}

fn same_lower_twice(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec![o.lowers[0].clone(), o.lowers[0].clone()];
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["conflicting lowerdir path|lowerdir is the root of another layer"]
    );
    Ok(())
}

fn lower_inside_lower(t: &T) -> R {
    let mut o = t.layers(2)?;
    f::mkdirs(o.lown(1, "deep/er"))?;
    o.lowers[0] = o.lown(1, "deep/er");
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["overlapping lowerdir path|lowerdir is inside another layer"]
    );
    Ok(())
}

fn lower_is_upper(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec![o.up("")];
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["conflicting lowerdir path|lowerdir is the root of another layer"]
    );
    Ok(())
}

fn lower_inside_upper(t: &T) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.up("l"))?;
    o.lowers = vec![o.up("l")];
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["overlapping lowerdir path|lowerdir is inside another layer"]
    );
    Ok(())
}

fn lower_is_workdir(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec![o.work.clone().unwrap()];
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["conflicting lowerdir path|lowerdir is the root of another layer"]
    );
    Ok(())
}

fn lower_inside_workdir(t: &T) -> R {
    let mut o = t.ovl()?;
    let l = o.work.clone().unwrap().join("l");
    f::mkdir(&l)?;
    o.lowers = vec![l];
    refused!(
        t,
        o.mount(),
        ELOOP,
        ["overlapping lowerdir path|lowerdir is inside another layer"]
    );
    Ok(())
}

fn upper_inside_lower(t: &T) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.low("u"))?;
    f::mkdir(o.low("w"))?;
    f::write(o.low("a"), "x")?;
    o.upper = Some(o.low("u"));
    o.work = Some(o.low("w"));
    // It mounts; walking into the upper through the lower is what is refused.
    o.mount()?;
    t.kmsg_since();
    check_eq!(f::text(o.m("a"))?, "x");
    check_err!(f::stat(o.m("u")), ELOOP);
    t.expect_limited_log(&["overlapping layers"], || drop(f::stat(o.m("u"))))?;
    check_err!(f::stat(o.m("w")), ELOOP);
    Ok(())
}

/// A second overlay with the same upper or workdir.
fn sharing(t: &T, o: &Ovl, upper: bool) -> R<Ovl> {
    let mut p = t.ovl()?;
    if upper {
        p.upper = o.upper.clone();
    } else {
        p.work = o.work.clone();
    }
    Ok(p)
}

fn upper_in_use(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    t.kmsg_since();
    let p = sharing(t, &o, true)?;
    p.mount()?;
    t.expect_log(&["upperdir is in-use|upperdir is in use", "undefined"])
}

fn upper_in_use_with_index(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    t.kmsg_since();
    let p = sharing(t, &o, true)?;
    let r = p.mount_only(&format!("{},index=on", p.layer_opts()));
    if !t.intree() {
        if let Err(e) = &r {
            if crate::check::Errno::errno(e) == Some(libc::EINVAL) {
                return super::optional_mount(t, r);
            }
        }
    }
    check_err!(r, EBUSY);
    t.expect_log(&["upperdir is in-use|upperdir is in use"])?;
    Ok(())
}

fn workdir_in_use(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    t.kmsg_since();
    let p = sharing(t, &o, false)?;
    p.mount()?;
    t.expect_log(&["workdir is in-use|workdir is in use"])
}

fn lower_in_use_as_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    t.kmsg_since();
    let mut p = t.ovl()?;
    p.lowers = vec![o.up("")];
    p.mount()?;
    t.expect_log(&["lowerdir is in-use|lowerdir is in use"])
}

fn in_use_ends_with_unmount(t: &T) -> R {
    let o = t.ovl()?;
    for _ in 0..3 {
        o.mount()?;
        o.umount()?;
    }
    let mut bad = t.ovl()?;
    bad.upper = o.upper.clone();
    bad.work = o.work.clone();
    bad.lowers = vec![t.p("missing")];
    check_err!(bad.mount(), ENOENT);
    bad.lowers = vec![o.up("")];
    check_err!(bad.mount(), ELOOP);
    t.kmsg_since();
    o.mount()?;
    let log = t.kmsg_since().join("\n");
    check!(
        !log.contains("in-use") && !log.contains("in use"),
        "no mount holds the upper any more: {log}"
    );
    Ok(())
}

fn unknown_option(t: &T) -> R {
    let o = t.ovl()?;
    refused!(t, o.mount_with("nonsense"), EINVAL, ["nonsense"]);
    Ok(())
}

fn unknown_option_with_value(t: &T) -> R {
    let o = t.ovl()?;
    refused!(t, o.mount_with("nonsense=1"), EINVAL, ["nonsense"]);
    Ok(())
}

fn malformed_values(t: &T) -> R {
    let o = t.ovl()?;
    for (k, v) in [
        ("xino", "maybe"),
        ("index", "yes"),
        ("redirect_dir", "ON"),
        ("metacopy", "1"),
        ("nfs_export", ""),
        ("uuid", "none"),
        ("fsync", "sometimes"),
        ("verity", "offf"),
    ] {
        t.kmsg_since();
        refused!(t, o.mount_with(&format!("{k}={v}")), EINVAL, [k]);
    }
    Ok(())
}

fn value_missing(t: &T) -> R {
    let o = t.ovl()?;
    for k in ["xino", "index", "upperdir", "lowerdir"] {
        t.kmsg_since();
        refused!(t, o.mount_with(k), EINVAL, [k]);
    }
    Ok(())
}

fn flag_with_value(t: &T) -> R {
    let o = t.ovl()?;
    refused!(
        t,
        o.mount_with("default_permissions=1"),
        EINVAL,
        ["default_permissions"]
    );
    Ok(())
}

fn trailing_backslash(t: &T) -> R {
    let o = t.ovl()?;
    let l = o.low("").display().to_string();
    check_err!(o.mount_only(&format!("lowerdir={l}\\")), EINVAL);
    check_err!(o.mount_only(&format!("lowerdir={l}:{l}\\")), EINVAL);
    Ok(())
}

fn trailing_backslash_is_logged(t: &T) -> R {
    let o = t.ovl()?;
    let l = o.low("").display().to_string();
    refused!(
        t,
        o.mount_only(&format!("lowerdir={l}\\")),
        EINVAL,
        ["backslash|\\x5c"]
    );
    Ok(())
}

fn leading_colon(t: &T) -> R {
    let o = t.ovl()?;
    let l = o.low("").display().to_string();
    refused!(
        t,
        o.mount_only(&format!("lowerdir=:{l}")),
        EINVAL,
        ["lower layer|begins with ':'"]
    );
    Ok(())
}

fn trailing_colon(t: &T) -> R {
    let o = t.ovl()?;
    let l = o.low("").display().to_string();
    refused!(
        t,
        o.mount_only(&format!("lowerdir={l}:")),
        EINVAL,
        ["colon|unescaped ':'"]
    );
    Ok(())
}

fn triple_colon(t: &T) -> R {
    let o = t.layers(2)?;
    let (a, b) = (o.lown(0, ""), o.lown(1, ""));
    let opts = format!("lowerdir={}:::{}", a.display(), b.display());
    refused!(t, o.mount_only(&opts), EINVAL, ["colon|unescaped ':'"]);
    Ok(())
}

fn normal_after_data_layer(t: &T) -> R {
    let o = t.layers(3)?;
    let p: Vec<String> = o.lowers.iter().map(|p| p.display().to_string()).collect();
    let opts = format!("lowerdir={}::{}:{}", p[0], p[1], p[2]);
    refused!(t, o.mount_only(&opts), EINVAL, ["data"]);
    Ok(())
}

fn five_hundred_and_one_lowers(t: &T) -> R {
    for i in 0..501 {
        f::mkdir(t.p(format!("{i}")))?;
    }
    f::mkdir(t.p("m"))?;
    let l: Vec<String> = (0..501).map(|i| i.to_string()).collect();
    let r = mount_raw(
        &t.ty,
        &t.p("m"),
        &format!("lowerdir={}", l.join(":")),
        MountFlags::empty(),
    );
    refused!(t, r, EINVAL, ["too many", "500"]);
    Ok(())
}

/// An overlay whose directory has this name.
fn named(t: &T, name: &str) -> R {
    let o = t.layers_at(&t.p(name), 2)?;
    f::write(o.lown(0, "a"), "0")?;
    f::write(o.lown(1, "b"), "1")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::write(o.m("c"), "x")?;
    check_eq!(f::ls(o.up(""))?, ["c"]);
    o.umount()
}

fn escaped_colon_in_lower(t: &T) -> R {
    named(t, "with:colon")?;
    named(t, "::")
}

fn escaped_comma_everywhere(t: &T) -> R {
    named(t, "with,comma")
}

fn escaped_backslash(t: &T) -> R {
    named(t, "with\\backslash")?;
    named(t, "all\\:,of them")
}

fn colon_in_upper_and_work(t: &T) -> R {
    // Only lowerdir= has a list: a colon in the others needs no escape.
    let o = t.layers_at(&t.p("c:d"), 1)?;
    f::mkdir(t.p("low"))?;
    let d = t.p("c:d").display().to_string();
    let low = t.p("low").display().to_string();
    o.mount_only(&format!(
        "lowerdir={low},upperdir={d}/upper,workdir={d}/work"
    ))?;
    f::write(o.m("x"), "x")?;
    check_eq!(f::ls(o.up(""))?, ["x"]);
    Ok(())
}

fn relative_paths(t: &T) -> R {
    for d in ["l", "u", "w", "m"] {
        f::mkdir(t.p(d))?;
    }
    f::write(t.p("l/a"), "x")?;
    std::env::set_current_dir(&t.dir)?;
    mount_raw(
        &t.ty,
        Path::new("m"),
        "lowerdir=l,upperdir=u,workdir=./w",
        MountFlags::empty(),
    )?;
    check_eq!(f::ls(t.p("m"))?, ["a"]);
    Ok(())
}

fn symlinked_layers(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::symlink(o.low(""), t.p("ll"))?;
    f::symlink(o.up(""), t.p("lu"))?;
    o.lowers = vec![t.p("ll")];
    let real = o.upper.replace(t.p("lu"));
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(f::text(real.unwrap().join("a"))?, "xy");
    Ok(())
}

fn lowerdir_given_twice(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(0, "first"), "x")?;
    f::write(o.lown(1, "second"), "x")?;
    let (u, w) = (o.up(""), o.work.clone().unwrap());
    o.mount_only(&format!(
        "lowerdir={},upperdir={},workdir={},lowerdir={}",
        o.lown(0, "").display(),
        u.display(),
        w.display(),
        o.lown(1, "").display()
    ))?;
    check_eq!(f::ls(o.root())?, ["second"], "the last one counts");
    Ok(())
}

fn last_value_wins(t: &T) -> R {
    let o = t.ovl()?;
    let r = o.mount_only(&format!(
        "{},redirect_dir=nofollow,redirect_dir=follow",
        o.layer_opts()
    ));
    super::optional_mount(t, r)?;
    let opts = mountinfo(o.root())?.3;
    check!(!opts.contains("nofollow"), "options: {opts}");
    Ok(())
}

fn incompatible_work_feature(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.work.as_ref().unwrap().join("work/incompat/future"))?;
    refused!(t, o.mount(), EINVAL, ["incompat", "future"]);
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

fn failed_mount_leaves_nothing(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers.push(o.lowers[0].clone());
    check_err!(o.mount(), ELOOP);
    o.lowers.pop();
    // Nothing is busy, nothing is claimed.
    t.kmsg_since();
    o.mount()?;
    check_eq!(
        t.kmsg_since()
            .iter()
            .filter(|l| l.contains("in-use") || l.contains("in use"))
            .count(),
        0
    );
    o.umount()?;
    f::rmdir(o.low(""))?;
    f::mkdir(o.low(""))
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
        super::optional_mount(t, set(&fd, "lowerdir+", o.lown(i, "")))?;
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
    Ok(())
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
        super::optional_mount(t, f::ctx(fsconfig_set_fd(&fd, key, &d), "fsconfig", key))?;
    }
    attach(&fd, o.root())?;
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::write(o.m("c"), "x")?;
    check!(o.in_upper("c")?);
    Ok(())
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

fn mount_on_file_is_refused(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(t.p("file"), "x")?;
    o.mnt = t.p("file");
    check_err!(o.mount(), ENOTDIR);
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

fn conflicts_are_refused(t: &T) -> R {
    let o = t.ovl()?;
    for (opts, words) in [
        ("metacopy=on,redirect_dir=off", ["metacopy", "redirect_dir"]),
        ("nfs_export=on,index=off", ["nfs_export", "index"]),
        ("userxattr,redirect_dir=on", ["userxattr", "redirect_dir"]),
    ] {
        t.kmsg_since();
        check_err!(
            o.mount_only(&format!("{},{opts}", o.layer_opts())),
            EINVAL,
            "{opts}"
        );
        // A module without the feature may say so of the one or of the other option.
        let log = t.kmsg_since().join("\n");
        check!(
            words.iter().any(|w| log.contains(w)),
            "the log of {opts} names an option: {log}"
        );
    }
    Ok(())
}
