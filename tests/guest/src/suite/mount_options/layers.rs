// SPDX-License-Identifier: GPL-2.0
//! Layers that are missing, that are no directories, that cannot serve.

use super::*;

cases! { "mount_options";
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
    upper_on_readonly_mount;
    upper_without_xattrs;
    incompatible_work_feature;
    failed_mount_leaves_nothing;
    mount_on_file_is_refused;
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

fn incompatible_work_feature(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.work.as_ref().unwrap().join("work/incompat/future"))?;
    refused!(t, o.mount(), EINVAL, ["incompat", "future"]);
    Ok(())
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

fn mount_on_file_is_refused(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(t.p("file"), "x")?;
    o.mnt = t.p("file");
    check_err!(o.mount(), ENOTDIR);
    Ok(())
}
