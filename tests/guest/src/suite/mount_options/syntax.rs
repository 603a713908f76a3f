// SPDX-License-Identifier: GPL-2.0
//! The text of the options: names, values, escapes, paths, what is said twice.

use super::*;
use crate::suite::optional_mount;

cases! { "mount_options";
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
    conflicts_are_refused;
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
    optional_mount(t, r)?;
    let opts = mountinfo(o.root())?.3;
    check!(!opts.contains("nofollow"), "options: {opts}");
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
