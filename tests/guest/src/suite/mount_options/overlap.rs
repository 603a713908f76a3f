// SPDX-License-Identifier: GPL-2.0
//! Layers inside each other, and layers that another mount uses.

use super::*;
use crate::suite::optional_mount;

cases! { "mount_options";
    workdir_inside_upper;
    upper_inside_workdir;
    workdir_is_upper;
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
                return optional_mount(t, r);
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
