// SPDX-License-Identifier: GPL-2.0
//! POSIX ACLs: read, set, removed, copied up, inherited and obeyed.

use super::prelude::*;

cases! { "acl";
    lower_acl_shows;
    set_on_lower_copies_up;
    set_on_upper;
    remove;
    remove_missing_from_lower_does_not_copy_up;
    copy_up_keeps_acl;
    copy_up_of_dir_keeps_default_acl;
    chmod_changes_mask;
    acl_grants_access;
    acl_denies_access;
    acl_of_lower_grants_access;
    default_acl_on_file;
    set_by_stranger;
    setgid_is_cleared_for_stranger;
    malformed;
    minimal_acl_becomes_mode;
    acl_is_listed;
}

const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";
const NONE: u32 = !0;

/// Encodes (tag, permissions, id) entries as the kernel's xattr form.
pub fn encode(e: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut v = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in e {
        v.extend(tag.to_le_bytes());
        v.extend(perm.to_le_bytes());
        v.extend(id.to_le_bytes());
    }
    v
}

/// An access ACL with one named user.
fn named(user: u32, perm: u16, mask: u16, other: u16) -> Vec<u8> {
    encode(&[
        (1, 6, NONE),
        (2, perm, user),
        (4, 4, NONE),
        (0x10, mask, NONE),
        (0x20, other, NONE),
    ])
}

fn lower_acl_shows(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 7, 7, 0))?;
    o.mount()?;
    check_eq!(f::getxattr(o.m("a"), ACCESS)?, named(1001, 7, 7, 0));
    check!(!o.in_upper("a")?);
    Ok(())
}

fn set_on_lower_copies_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(o.m("a"), ACCESS, named(1001, 7, 7, 0))?;
    check_eq!(f::getxattr(o.m("a"), ACCESS)?, named(1001, 7, 7, 0));
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, named(1001, 7, 7, 0));
    check_eq!(f::xattr_opt(o.low("a"), ACCESS)?, None);
    check_eq!(
        f::mode(o.m("a"))?,
        0o670,
        "the mask shows as the group bits"
    );
    Ok(())
}

fn set_on_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    f::setxattr(o.m("d"), DEFAULT, named(1001, 5, 5, 1))?;
    check_eq!(f::getxattr(o.up("d"), DEFAULT)?, named(1001, 5, 5, 1));
    f::setxattr(o.m("d"), DEFAULT, named(1002, 4, 5, 0))?;
    check_eq!(f::getxattr(o.m("d"), DEFAULT)?, named(1002, 4, 5, 0));
    Ok(())
}

fn remove(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 7, 7, 0))?;
    o.mount()?;
    f::removexattr(o.m("a"), ACCESS)?;
    check_eq!(f::xattr_opt(o.m("a"), ACCESS)?, None);
    check_eq!(f::xattr_opt(o.up("a"), ACCESS)?, None);
    check_eq!(f::getxattr(o.low("a"), ACCESS)?, named(1001, 7, 7, 0));
    Ok(())
}

fn remove_missing_from_lower_does_not_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::removexattr(o.m("a"), ACCESS), ENODATA);
    check!(!o.in_upper("a")?);
    Ok(())
}

fn copy_up_keeps_acl(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 7, 6, 1))?;
    let mode = f::mode(o.low("a"))?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, named(1001, 7, 6, 1));
    check_eq!(f::mode(o.up("a"))?, mode);
    Ok(())
}

fn copy_up_of_dir_keeps_default_acl(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), DEFAULT, named(1001, 7, 7, 1))?;
    f::setxattr(o.low("d"), ACCESS, named(1002, 5, 5, 5))?;
    o.mount()?;
    f::write(o.m("d/a"), "x")?;
    check_eq!(f::getxattr(o.up("d"), DEFAULT)?, named(1001, 7, 7, 1));
    check_eq!(f::getxattr(o.up("d"), ACCESS)?, named(1002, 5, 5, 5));
    check_eq!(
        f::xattr_opt(o.up("d/a"), ACCESS)?,
        f::xattr_opt(o.m("d/a"), ACCESS)?
    );
    Ok(())
}

fn chmod_changes_mask(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 7, 7, 0))?;
    o.mount()?;
    f::chmod(o.m("a"), 0o604)?;
    check_eq!(f::getxattr(o.m("a"), ACCESS)?, named(1001, 7, 0, 4));
    check_eq!(f::mode(o.m("a"))?, 0o604);
    Ok(())
}

fn acl_grants_access(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::setxattr(o.m("a"), ACCESS, named(1001, 6, 6, 0))?;
    let a = o.m("a");
    sys::as_user(1001, 1, || f::append(&a, "y"))?;
    check_err!(sys::as_user(1002, 1, || f::text(&a).map(drop)), EACCES);
    check_eq!(f::text(o.m("a"))?, "xy");
    Ok(())
}

fn acl_denies_access(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 0, 7, 7))?;
    o.mount()?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1, || f::text(&a).map(drop)), EACCES);
    sys::as_user(1002, 1, || f::append(&a, "y"))?;
    check_err!(
        sys::as_user(1001, 1, || f::text(&a).map(drop)),
        EACCES,
        "after the copy-up"
    );
    Ok(())
}

fn acl_of_lower_grants_access(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 6, 6, 0))?;
    o.mount()?;
    let a = o.m("a");
    sys::as_user(1001, 1, || f::text(&a).map(drop))?;
    sys::as_user(1001, 1, || f::append(&a, "y"))?;
    check_eq!(f::text(o.up("a"))?, "xy");
    Ok(())
}

fn default_acl_on_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::setxattr(o.m("a"), DEFAULT, named(1001, 6, 6, 0)), EACCES);
    check!(!o.in_upper("a")?);
    Ok(())
}

fn set_by_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    o.mount()?;
    let a = o.m("a");
    let acl = named(1001, 6, 6, 0);
    check_err!(
        sys::as_user(1001, 1, || f::setxattr(&a, ACCESS, &acl)),
        EPERM
    );
    check!(!o.in_upper("a")?);
    sys::as_user(1000, 1000, || f::setxattr(&a, ACCESS, &acl))?;
    check_eq!(f::getxattr(o.up("a"), ACCESS)?, acl);
    Ok(())
}

fn setgid_is_cleared_for_stranger(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 50)?;
    f::chmod(o.low("a"), 0o2755)?;
    o.mount()?;
    let a = o.m("a");
    let acl = named(1001, 7, 7, 5);
    sys::as_user(1000, 1000, || f::setxattr(&a, ACCESS, &acl))?;
    check_eq!(f::mode(o.m("a"))? & 0o2000, 0, "the setgid bit goes");
    Ok(())
}

fn malformed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::setxattr(o.m("a"), ACCESS, b"\x02\0\0\0xyz"), EINVAL);
    check_err!(f::setxattr(o.m("a"), ACCESS, b"\x63\0\0\0"), EOPNOTSUPP);
    check!(!o.in_upper("a")?);
    Ok(())
}

fn minimal_acl_becomes_mode(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(
        o.m("a"),
        ACCESS,
        encode(&[(1, 6, NONE), (4, 4, NONE), (0x20, 0, NONE)]),
    )?;
    check_eq!(f::mode(o.m("a"))?, 0o640);
    check_eq!(f::xattr_opt(o.m("a"), ACCESS)?, None);
    Ok(())
}

fn acl_is_listed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), ACCESS, named(1001, 6, 6, 0))?;
    o.mount()?;
    // xfs lists the same ACL under a second name.
    let names = f::listxattr(o.m("a"))?;
    check!(
        names.contains(&ACCESS.to_string()),
        "the ACL is listed: {names:?}"
    );
    check_eq!(names, f::listxattr(o.low("a"))?, "names listed");
    Ok(())
}
