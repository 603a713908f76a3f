// SPDX-License-Identifier: GPL-2.0
//! The format of `userxattr`: names in `user.overlay.`, and whiteouts that need no device.

use super::*;

cases! { "userns";
    own_names_are_hidden;
    own_names_are_escaped;
    removal_leaves_whiteouts;
    whiteout_as_attribute;
    directory_over_whiteout_is_opaque;
    directory_over_whiteout_without_userxattr;
    formats_do_not_mix;
    rename_of_lower_directory;
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
