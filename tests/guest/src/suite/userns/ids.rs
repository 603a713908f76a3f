// SPDX-License-Identifier: GPL-2.0
//! The ids of a container, those of others, and what its root may not do.

use super::*;

cases! { "userns";
    root_of_container_owns_what_it_makes;
    ids_of_the_container;
    foreign_owner_shows_as_nobody;
    foreign_owner_does_not_copy_up;
    chown_to_foreign;
    no_devices;
    attributes_of_trust;
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
