// SPDX-License-Identifier: GPL-2.0
//! Whiteouts: the character device 0:0 and the xattr form, made by hand and by the module.

use super::prelude::*;

cases! { "whiteout";
    upper_chardev_hides_lower;
    lower_chardev_hides_lower_below;
    lowest_chardev_is_hidden;
    whiteout_in_upper_without_lower_is_hidden;
    whiteout_hides_directory;
    dir_over_whiteout_is_not_merged;
    file_over_whiteout_shows;
    xwhiteout_hides;
    xwhiteout_needs_marked_dir_for_readdir;
    xwhiteout_in_root;
    xwhiteout_must_be_empty_file;
    xwhiteout_in_upper_hides_from_lookup;
    other_chardev_is_no_whiteout;
    user_mknod_of_whiteout_is_refused;
    module_shares_whiteout_inode;
    whiteout_has_no_mode;
    emptied_dir_with_whiteouts_is_removed;
    merged_dir_with_only_whiteouts_is_empty;
    whiteout_survives_remount;
    opaque_dir_ignores_whiteouts_below;
}

fn upper_chardev_hides_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.low("b"), "x")?;
    f::whiteout(o.up("a"))?;
    o.mount()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

fn lower_chardev_hides_lower_below(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    f::write(o.lown(2, "a"), "x")?;
    f::write(o.lown(2, "b"), "old")?;
    f::whiteout(o.lown(1, "a"))?;
    f::whiteout(o.lown(1, "b"))?;
    f::write(o.lown(0, "b"), "new")?;
    o.mount()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::text(o.m("b"))?, "new");
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

fn lowest_chardev_is_hidden(t: &T) -> R {
    let o = t.ovl()?;
    f::whiteout(o.low("a"))?;
    f::mkdir(o.low("d"))?;
    f::whiteout(o.low("d/b"))?;
    o.mount()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_err!(f::stat(o.m("d/b")), ENOENT);
    check_eq!(f::ls(o.root())?, ["d"]);
    Ok(())
}

fn whiteout_in_upper_without_lower_is_hidden(t: &T) -> R {
    let o = t.ovl()?;
    f::whiteout(o.up("a"))?;
    o.mount()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::ls(o.root())?, [""; 0]);
    f::write(o.m("a"), "new")?;
    check_eq!(f::text(o.up("a"))?, "new");
    Ok(())
}

fn whiteout_hides_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::whiteout(o.up("d"))?;
    o.mount()?;
    check_err!(f::stat(o.m("d")), ENOENT);
    check_err!(f::stat(o.m("d/x")), ENOENT);
    Ok(())
}

fn dir_over_whiteout_is_not_merged(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "d"))?;
    f::write(o.lown(1, "d/hidden"), "x")?;
    f::whiteout(o.lown(0, "d"))?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("d/seen"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["seen"]);
    check_err!(f::stat(o.m("d/hidden")), ENOENT);
    Ok(())
}

fn file_over_whiteout_shows(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(1, "a"), "bottom")?;
    f::whiteout(o.lown(0, "a"))?;
    f::write(o.up("a"), "top")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "top");
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_eq!(f::ls(o.root())?, [""; 0]);
    o.again()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

/// Two lowers, the upper one with an xattr whiteout of `d/a`.
fn xwhiteout(t: &T, mark: bool) -> R<Ovl> {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "d"))?;
    f::write(o.lown(1, "d/a"), "x")?;
    f::write(o.lown(1, "d/b"), "x")?;
    f::mkdir(o.lown(0, "d"))?;
    f::write(o.lown(0, "d/a"), "")?;
    f::setxattr(o.lown(0, "d/a"), "trusted.overlay.whiteout", "y")?;
    if mark {
        f::setxattr(o.lown(0, "d"), "trusted.overlay.opaque", "x")?;
    }
    o.mount()?;
    Ok(o)
}

fn xwhiteout_hides(t: &T) -> R {
    let o = xwhiteout(t, true)?;
    check_err!(f::stat(o.m("d/a")), ENOENT);
    check_eq!(f::ls(o.m("d"))?, ["b"]);
    f::write(o.m("d/a"), "new")?;
    check_eq!(f::text(o.m("d/a"))?, "new");
    Ok(())
}

fn xwhiteout_needs_marked_dir_for_readdir(t: &T) -> R {
    let o = xwhiteout(t, false)?;
    check_eq!(
        f::ls(o.m("d"))?,
        ["a", "b"],
        "an unmarked directory lists the name"
    );
    Ok(())
}

fn xwhiteout_in_root(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.lown(1, "a"), "x")?;
    f::write(o.lown(1, "b"), "x")?;
    f::write(o.lown(0, "a"), "")?;
    f::setxattr(o.lown(0, "a"), "trusted.overlay.whiteout", "y")?;
    f::setxattr(o.lown(0, ""), "trusted.overlay.opaque", "x")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["b"]);
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

fn xwhiteout_must_be_empty_file(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "d"))?;
    f::write(o.lown(1, "d/a"), "lower")?;
    f::mkdir(o.lown(0, "d"))?;
    f::setxattr(o.lown(0, "d"), "trusted.overlay.opaque", "x")?;
    f::write(o.lown(0, "d/a"), "not empty")?;
    f::setxattr(o.lown(0, "d/a"), "trusted.overlay.whiteout", "y")?;
    o.mount()?;
    check_eq!(f::text(o.m("d/a"))?, "not empty");
    check_eq!(f::ls(o.m("d"))?, ["a"]);
    Ok(())
}

fn xwhiteout_in_upper_hides_from_lookup(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "lower")?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("d/a"), "")?;
    f::setxattr(o.up("d/a"), "trusted.overlay.whiteout", "y")?;
    o.mount()?;
    check_err!(f::text(o.m("d/a")), ENOENT);
    f::write(o.m("d/b"), "new")?;
    check_eq!(f::text(o.m("d/b"))?, "new");
    Ok(())
}

fn other_chardev_is_no_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mknod(o.up("a"), FileType::CharacterDevice, 0o600, 0, 1)?;
    f::mknod(o.up("b"), FileType::BlockDevice, 0o600, 0, 0)?;
    o.mount()?;
    check!(f::stat(o.m("a"))?.file_type().is_char_device());
    check!(f::stat(o.m("b"))?.file_type().is_block_device());
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    Ok(())
}

fn user_mknod_of_whiteout_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_err!(f::whiteout(o.m("a")), EPERM);
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    f::mknod(o.m("b"), FileType::CharacterDevice, 0o600, 0, 1)?;
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

fn module_shares_whiteout_inode(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..10 {
        f::write(o.low(format!("f{i}")), "x")?;
    }
    o.mount()?;
    for i in 0..10 {
        f::unlink(o.m(format!("f{i}")))?;
    }
    let first = f::stat(o.up("f0"))?;
    for i in 0..10 {
        check!(o.is_whiteout(format!("f{i}"))?);
        check_eq!(
            f::stat(o.up(format!("f{i}")))?.ino(),
            first.ino(),
            "one inode for all whiteouts"
        );
    }
    check_eq!(first.nlink(), 11, "ten names and the one in the workdir");
    Ok(())
}

fn whiteout_has_no_mode(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    let m = f::stat(o.up("a"))?;
    check_eq!(
        (m.mode(), m.rdev(), m.uid(), m.gid()),
        (libc::S_IFCHR, 0, 0, 0)
    );
    check_eq!(f::listxattr(o.up("a"))?, [""; 0]);
    Ok(())
}

fn emptied_dir_with_whiteouts_is_removed(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..5 {
        f::write(o.low(format!("d/{i}")), "x")?;
    }
    o.mount()?;
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY);
    for i in 0..5 {
        f::unlink(o.m(format!("d/{i}")))?;
    }
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    check_eq!(
        f::ls(o.up("d"))?.len(),
        5,
        "whiteouts in the upper directory"
    );
    f::rmdir(o.m("d"))?;
    check_err!(f::stat(o.m("d")), ENOENT);
    check!(o.is_whiteout("d")?);
    check_eq!(
        o.work_entries()?
            .iter()
            .filter(|n| !n.starts_with('#'))
            .count(),
        0
    );
    Ok(())
}

fn merged_dir_with_only_whiteouts_is_empty(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::mkdir(o.up("d"))?;
    f::whiteout(o.up("d/a"))?;
    f::whiteout(o.up("d/stray"))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?);
    Ok(())
}

fn whiteout_survives_remount(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    f::rmdir(o.m("d"))?;
    o.again()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check_err!(f::stat(o.m("d")), ENOENT);
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn opaque_dir_ignores_whiteouts_below(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")?;
    f::whiteout(o.up("d/w"))?;
    f::write(o.up("d/a"), "x")?;
    o.mount()?;
    check_err!(f::stat(o.m("d/w")), ENOENT);
    check_eq!(f::text(o.m("d/a"))?, "x");
    Ok(())
}
