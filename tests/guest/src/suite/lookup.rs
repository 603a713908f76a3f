// SPDX-License-Identifier: GPL-2.0
//! Lookup through the layers: which layer shows, which stops the search, what is hidden.

use super::prelude::*;

cases! { "lookup";
    lower_file_shows;
    upper_file_covers_lower;
    topmost_lower_wins;
    many_lowers_each_show;
    dirs_merge;
    merged_dir_shows_upper_attributes;
    merged_dir_shows_topmost_lower_attributes;
    file_over_dir_hides_it;
    dir_over_file_hides_it;
    file_in_middle_ends_the_merge;
    missing_is_enoent;
    enotdir_below_a_file;
    too_long_name;
    longest_name;
    symlink_shows_target;
    symlink_is_followed_in_the_merged_tree;
    symlink_is_not_merged;
    special_files_show;
    deep_path;
    dotdot_from_merged_dir;
    negative_lookup_then_create;
    lower_only_objects_stay_below;
    read_does_not_copy_up;
    opaque_y_stops;
    opaque_y_on_lower_stops;
    opaque_other_value_does_not_stop;
    opaque_in_middle_lower;
    opaque_parent_hides_children;
    opaque_x_is_not_opaque;
    opaque_on_a_file_means_nothing;
    user_xattr_opaque_means_nothing;
    five_hundred_lowers;
    overlay_as_lower;
    overlay_as_upper_is_refused;
    third_level_is_refused;
    names_are_bytes;
}

fn lower_file_shows(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "lower");
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn upper_file_covers_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::write(o.up("a"), "upper")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "upper");
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn topmost_lower_wins(t: &T) -> R {
    let o = t.layers(3)?;
    f::write(o.lown(1, "a"), "middle")?;
    f::write(o.lown(2, "a"), "bottom")?;
    f::write(o.lown(2, "b"), "bottom b")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "middle");
    check_eq!(f::text(o.m("b"))?, "bottom b");
    Ok(())
}

fn many_lowers_each_show(t: &T) -> R {
    let o = t.layers(20)?;
    for i in 0..20 {
        f::write(o.lown(i, format!("f{i}")), format!("{i}"))?;
        f::mkdir(o.lown(i, "d"))?;
        f::write(o.lown(i, format!("d/f{i}")), format!("d{i}"))?;
        f::write(o.lown(i, "all"), format!("{i}"))?;
    }
    o.mount()?;
    for i in 0..20 {
        check_eq!(f::text(o.m(format!("f{i}")))?, format!("{i}"));
        check_eq!(f::text(o.m(format!("d/f{i}")))?, format!("d{i}"));
    }
    check_eq!(f::text(o.m("all"))?, "0");
    check_eq!(f::ls(o.m("d"))?.len(), 20);
    Ok(())
}

fn dirs_merge(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdirs(o.lown(1, "d/e"))?;
    f::mkdirs(o.lown(0, "d/e"))?;
    f::mkdirs(o.up("d/e"))?;
    f::write(o.lown(1, "d/e/bottom"), "1")?;
    f::write(o.lown(0, "d/e/middle"), "2")?;
    f::write(o.up("d/e/top"), "3")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d/e"))?, ["bottom", "middle", "top"]);
    check_eq!(f::text(o.m("d/e/bottom"))?, "1");
    check_eq!(f::text(o.m("d/e/middle"))?, "2");
    check_eq!(f::text(o.m("d/e/top"))?, "3");
    Ok(())
}

fn merged_dir_shows_upper_attributes(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.up("d"))?;
    f::chmod(o.low("d"), 0o700)?;
    f::chmod(o.up("d"), 0o751)?;
    f::chown(o.up("d"), 3, 4)?;
    o.mount()?;
    let m = f::stat(o.m("d"))?;
    check_eq!(
        (m.mode() & 0o7777, m.uid(), m.gid()),
        (0o751, 3, 4),
        "mode and owner"
    );
    check_eq!(m.nlink(), 1, "link count of a merged directory");
    Ok(())
}

fn merged_dir_shows_topmost_lower_attributes(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(0, "d"))?;
    f::mkdir(o.lown(1, "d"))?;
    f::chmod(o.lown(0, "d"), 0o711)?;
    f::chmod(o.lown(1, "d"), 0o777)?;
    o.mount()?;
    check_eq!(f::mode(o.m("d"))?, 0o711);
    Ok(())
}

fn file_over_dir_hides_it(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("a"))?;
    f::write(o.low("a/x"), "x")?;
    f::write(o.up("a"), "file")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "file");
    check_err!(f::stat(o.m("a/x")), ENOTDIR);
    Ok(())
}

fn dir_over_file_hides_it(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "file")?;
    f::mkdir(o.up("a"))?;
    o.mount()?;
    check!(f::stat(o.m("a"))?.is_dir(), "the upper directory shows");
    check_eq!(f::ls(o.m("a"))?, [""; 0]);
    check_ne!(
        f::stat(o.m("a"))?.nlink(),
        1,
        "link count of a directory that is not merged"
    );
    Ok(())
}

fn file_in_middle_ends_the_merge(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "a"))?;
    f::write(o.lown(1, "a/hidden"), "x")?;
    f::write(o.lown(0, "a"), "file")?;
    f::mkdir(o.up("a"))?;
    f::write(o.up("a/seen"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("a"))?, ["seen"]);
    check_err!(f::stat(o.m("a/hidden")), ENOENT);
    Ok(())
}

fn missing_is_enoent(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_err!(f::stat(o.m("nothing")), ENOENT);
    check_err!(f::read(o.m("nothing/below")), ENOENT);
    Ok(())
}

fn enotdir_below_a_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::stat(o.m("a/b")), ENOTDIR);
    Ok(())
}

fn too_long_name(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_err!(f::write(o.m("n".repeat(256)), "x"), ENAMETOOLONG);
    check_err!(f::stat(o.m("n".repeat(256))), ENAMETOOLONG);
    Ok(())
}

fn longest_name(t: &T) -> R {
    let o = t.ovl()?;
    let n = "n".repeat(255);
    f::write(o.low(&n), "x")?;
    o.mount()?;
    f::append(o.m(&n), "y")?;
    check_eq!(f::text(o.m(&n))?, "xy");
    f::unlink(o.m(&n))?;
    check_err!(f::stat(o.m(&n)), ENOENT);
    Ok(())
}

fn symlink_shows_target(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("some/where", o.low("l"))?;
    f::symlink("else", o.up("u"))?;
    o.mount()?;
    check_eq!(f::readlink(o.m("l"))?, Path::new("some/where"));
    check_eq!(f::readlink(o.m("u"))?, Path::new("else"));
    check_eq!(f::stat(o.m("l"))?.size(), 10);
    Ok(())
}

fn symlink_is_followed_in_the_merged_tree(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("target", o.low("l"))?;
    f::write(o.low("target"), "lower")?;
    f::write(o.up("target"), "upper")?;
    o.mount()?;
    check_eq!(f::text(o.m("l"))?, "upper");
    Ok(())
}

fn symlink_is_not_merged(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::mkdir(o.low("other"))?;
    f::symlink("other", o.up("d"))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d/"))?, [""; 0]);
    check!(f::stat(o.m("d"))?.is_symlink(), "the upper symlink shows");
    Ok(())
}

fn special_files_show(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("s"), FileType::Socket, 0o600, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::mknod(o.low("b"), FileType::BlockDevice, 0o660, 7, 9)?;
    o.mount()?;
    check!(f::stat(o.m("p"))?.file_type().is_fifo());
    check!(f::stat(o.m("s"))?.file_type().is_socket());
    check!(f::stat(o.m("c"))?.file_type().is_char_device());
    check_eq!(f::stat(o.m("c"))?.rdev(), rustix::fs::makedev(1, 3));
    check!(f::stat(o.m("b"))?.file_type().is_block_device());
    check_eq!(f::stat(o.m("b"))?.rdev(), rustix::fs::makedev(7, 9));
    // The device is the real one: /dev/null swallows and reads as empty.
    let mut c = f::open_rw(o.m("c"))?;
    c.write_all(b"gone")?;
    check_eq!(f::drain(&mut c)?, b"");
    check!(!o.in_upper("c")?, "writing to a device does not copy it up");
    Ok(())
}

fn deep_path(t: &T) -> R {
    let o = t.ovl()?;
    let p: PathBuf = (0..60).map(|i| format!("d{i}")).collect();
    f::mkdirs(o.low(&p))?;
    f::write(o.low(p.join("leaf")), "deep")?;
    o.mount()?;
    check_eq!(f::text(o.m(p.join("leaf")))?, "deep");
    f::write(o.m(p.join("leaf")), "changed")?;
    check_eq!(f::text(o.up(p.join("leaf")))?, "changed");
    check_eq!(f::text(o.low(p.join("leaf")))?, "deep");
    Ok(())
}

fn dotdot_from_merged_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("a/b"))?;
    f::mkdirs(o.up("a"))?;
    f::write(o.up("a/here"), "x")?;
    o.mount()?;
    check_eq!(f::text(o.m("a/b/../here"))?, "x");
    check_eq!(f::stat(o.m("a/b/.."))?.ino(), f::stat(o.m("a"))?.ino());
    Ok(())
}

fn negative_lookup_then_create(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    f::write(o.m("a"), "x")?;
    check_eq!(f::text(o.m("a"))?, "x");
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    f::mkdir(o.m("a"))?;
    check!(f::stat(o.m("a"))?.is_dir());
    Ok(())
}

fn lower_only_objects_stay_below(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/x"), "x")?;
    o.mount()?;
    tree::snapshot(o.root(), tree::ALL)?;
    check_eq!(
        f::ls(o.up(""))?,
        [""; 0],
        "looking and reading leaves the upper empty"
    );
    Ok(())
}

fn read_does_not_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let a = f::open_ro(o.m("a"))?;
    check_eq!(f::pread(&a, 0, 10)?, b"x");
    a.sync_all()?;
    drop(a);
    check!(!o.in_upper("a")?, "an open for reading does not copy up");
    Ok(())
}

/// A directory in the lower and in the upper, with the upper's opaque attribute set to `v`.
fn opaque(t: &T, v: &str) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/lower"), "x")?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("d/upper"), "x")?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", v)?;
    o.mount()?;
    Ok(o)
}

fn opaque_y_stops(t: &T) -> R {
    let o = opaque(t, "y")?;
    check_eq!(f::ls(o.m("d"))?, ["upper"]);
    check_err!(f::stat(o.m("d/lower")), ENOENT);
    check_ne!(
        f::stat(o.m("d"))?.nlink(),
        1,
        "link count of an opaque directory"
    );
    Ok(())
}

fn opaque_y_on_lower_stops(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    for i in 0..3 {
        f::mkdir(o.lown(i, "d"))?;
        f::write(o.lown(i, format!("d/{i}")), "x")?;
    }
    f::setxattr(o.lown(1, "d"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["0", "1"]);
    check_err!(f::stat(o.m("d/2")), ENOENT);
    Ok(())
}

fn opaque_other_value_does_not_stop(t: &T) -> R {
    let o = opaque(t, "n")?;
    check_eq!(f::ls(o.m("d"))?, ["lower", "upper"]);
    let o = opaque(t, "yes")?;
    check_eq!(f::ls(o.m("d"))?, ["lower", "upper"]);
    Ok(())
}

fn opaque_in_middle_lower(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdirs(o.lown(1, "d/sub"))?;
    f::write(o.lown(1, "d/sub/x"), "x")?;
    f::mkdirs(o.lown(0, "d"))?;
    f::setxattr(o.lown(0, "d"), "trusted.overlay.opaque", "y")?;
    f::mkdirs(o.up("d/sub"))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["sub"]);
    check_eq!(
        f::ls(o.m("d/sub"))?,
        [""; 0],
        "what is below an opaque directory of the middle"
    );
    Ok(())
}

fn opaque_parent_hides_children(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/sub"))?;
    f::write(o.low("d/sub/hidden"), "x")?;
    f::mkdirs(o.up("d/sub"))?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d/sub"))?, [""; 0]);
    Ok(())
}

fn opaque_x_is_not_opaque(t: &T) -> R {
    let o = opaque(t, "x")?;
    check_eq!(f::ls(o.m("d"))?, ["lower", "upper"]);
    Ok(())
}

fn opaque_on_a_file_means_nothing(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    f::setxattr(o.low("a"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "lower");
    f::append(o.m("a"), "+")?;
    check_eq!(f::text(o.m("a"))?, "lower+");
    Ok(())
}

fn user_xattr_opaque_means_nothing(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/lower"), "x")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "user.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["lower"]);
    check_eq!(
        f::getxattr(o.m("d"), "user.overlay.opaque")?,
        b"y",
        "it is a plain attribute"
    );
    Ok(())
}

fn five_hundred_lowers(t: &T) -> R {
    // Short relative paths: mount(2) takes one page of options.
    let n = 500;
    for i in 0..n {
        f::mkdir(t.p(format!("{i}")))?;
        f::write(t.p(format!("{i}/f{i}")), format!("{i}"))?;
    }
    f::mkdir(t.p("m"))?;
    let l: Vec<String> = (0..n).map(|i| i.to_string()).collect();
    mount_raw(
        &t.ty,
        &t.p("m"),
        &format!("lowerdir={}", l.join(":")),
        MountFlags::empty(),
    )?;
    check_eq!(f::ls(t.p("m"))?.len(), n);
    check_eq!(f::text(t.p("m/f0"))?, "0");
    check_eq!(f::text(t.p("m/f499"))?, "499");
    Ok(())
}

fn overlay_as_lower(t: &T) -> R {
    let inner = t.ovl()?;
    f::write(inner.low("a"), "inner lower")?;
    f::mkdir(inner.low("d"))?;
    f::write(inner.low("d/x"), "x")?;
    f::write(inner.low("gone"), "x")?;
    inner.mount()?;
    f::unlink(inner.m("gone"))?;
    let mut o = t.ovl()?;
    o.lowers = vec![inner.mnt.clone()];
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a", "d"]);
    f::write(o.m("a"), "outer")?;
    f::unlink(o.m("d/x"))?;
    f::rmdir(o.m("d"))?;
    check_eq!(f::text(o.m("a"))?, "outer");
    check_eq!(f::text(inner.m("a"))?, "inner lower");
    check_eq!(f::ls(o.root())?, ["a"]);
    check_eq!(f::ls(inner.root())?, ["a", "d"]);
    Ok(())
}

fn overlay_as_upper_is_refused(t: &T) -> R {
    let inner = t.ovl()?;
    inner.mount()?;
    f::mkdir(inner.m("u"))?;
    f::mkdir(inner.m("w"))?;
    let mut o = t.ovl()?;
    o.upper = Some(inner.m("u"));
    o.work = Some(inner.m("w"));
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["not supported as upperdir|cannot be an upper layer"])
}

fn third_level_is_refused(t: &T) -> R {
    let a = t.ovl_ro(2)?;
    a.mount()?;
    let mut b = t.ovl_ro(2)?;
    b.lowers[0] = a.mnt.clone();
    b.mount()?;
    let mut c = t.ovl_ro(2)?;
    c.lowers[0] = b.mnt.clone();
    check_err!(c.mount(), EINVAL);
    t.expect_log(&["stacking depth|are stacked"])
}

fn names_are_bytes(t: &T) -> R {
    use std::os::unix::ffi::OsStrExt;
    let o = t.ovl()?;
    let n = std::ffi::OsStr::from_bytes(b"\xff\xfe \n%s#\x01");
    f::write(o.low(n), "x")?;
    o.mount()?;
    check_eq!(f::text(o.m(n))?, "x");
    f::append(o.m(n), "y")?;
    check_eq!(f::text(o.up(n))?, "xy");
    f::unlink(o.m(n))?;
    check!(o.is_whiteout(n)?);
    Ok(())
}
