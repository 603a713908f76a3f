// SPDX-License-Identifier: GPL-2.0
//! Layers that carry what other versions and options made: redirects are followed; what needs a
//! feature that is missing is refused and never shown wrong.

use super::prelude::*;

cases! { "foreign";
    relative_redirect;
    absolute_redirect;
    redirect_in_a_lower;
    redirect_below_a_redirected_dir;
    redirect_to_missing_is_pure;
    redirect_and_whiteout_of_the_old_name;
    redirects_made_by_the_kernels_overlay;
    redirect_through_opaque_parent;
    malformed_redirects;
    redirects_to_no_name;
    nofollow_refuses;
    metacopy_is_refused;
    metacopy_in_a_lower_is_refused;
    metacopy_names_are_still_listed;
    made_with_index;
    nlink_attribute_is_ignored;
    unknown_attributes_are_ignored;
    origin_of_nowhere;
    origin_malformed;
    impure_without_need;
    casefold_is_no_concern;
    volatile_leftover_is_refused;
}

fn redirect(p: PathBuf, to: &str) -> R {
    f::setxattr(p, "trusted.overlay.redirect", to)
}

fn relative_redirect(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/old/sub"))?;
    f::write(o.low("d/old/a"), "x")?;
    f::mkdirs(o.up("d/new"))?;
    f::write(o.up("d/new/b"), "y")?;
    redirect(o.up("d/new"), "old")?;
    f::whiteout(o.up("d/old"))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["new"]);
    check_eq!(f::ls(o.m("d/new"))?, ["a", "b", "sub"]);
    check_eq!(f::text(o.m("d/new/a"))?, "x");
    f::append(o.m("d/new/a"), "+")?;
    check_eq!(f::text(o.up("d/new/a"))?, "x+");
    f::write(o.m("d/new/sub/c"), "z")?;
    o.again()?;
    check_eq!(f::ls(o.m("d/new/sub"))?, ["c"]);
    Ok(())
}

fn absolute_redirect(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("x/y/old"))?;
    f::write(o.low("x/y/old/a"), "x")?;
    f::mkdirs(o.up("moved/here"))?;
    redirect(o.up("moved/here"), "/x/y/old")?;
    o.mount()?;
    check_eq!(f::ls(o.m("moved/here"))?, ["a"]);
    f::unlink(o.m("moved/here/a"))?;
    check_eq!(f::ls(o.m("moved/here"))?, [""; 0]);
    // One lower directory has one place: a second way to it is stale while the first is known.
    check_err!(f::text(o.m("x/y/old/a")), ESTALE, "the other way to it");
    Ok(())
}

fn redirect_in_a_lower(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    f::mkdirs(o.lown(2, "old"))?;
    f::write(o.lown(2, "old/bottom"), "x")?;
    f::mkdirs(o.lown(1, "new"))?;
    f::write(o.lown(1, "new/middle"), "x")?;
    redirect(o.lown(1, "new"), "old")?;
    f::mkdirs(o.lown(0, "newer"))?;
    redirect(o.lown(0, "newer"), "new")?;
    o.mount()?;
    check_eq!(f::ls(o.m("newer"))?, ["bottom", "middle"]);
    check_eq!(f::ls(o.m("new"))?, ["bottom", "middle"]);
    check_eq!(f::ls(o.m("old"))?, ["bottom"]);
    Ok(())
}

fn redirect_below_a_redirected_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("a/b"))?;
    f::write(o.low("a/b/x"), "x")?;
    f::mkdirs(o.up("na/nb"))?;
    redirect(o.up("na"), "a")?;
    redirect(o.up("na/nb"), "b")?;
    o.mount()?;
    check_eq!(f::ls(o.m("na/nb"))?, ["x"]);
    check_eq!(f::ls(o.m("na"))?, ["b", "nb"]);
    Ok(())
}

fn redirect_to_missing_is_pure(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.up("d"))?;
    f::write(o.up("d/a"), "x")?;
    redirect(o.up("d"), "gone")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["a"]);
    f::write(o.m("d/b"), "x")
}

fn redirect_and_whiteout_of_the_old_name(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdirs(o.lown(1, "old"))?;
    f::write(o.lown(1, "old/x"), "x")?;
    f::whiteout(o.lown(0, "old"))?;
    f::mkdirs(o.lown(0, "new"))?;
    redirect(o.lown(0, "new"), "old")?;
    f::mkdirs(o.up("new"))?;
    f::write(o.up("new/top"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("new"))?, ["top", "x"]);
    check_err!(f::stat(o.m("old")), ENOENT);
    Ok(())
}

/// A tree of directories moved about by the kernel's own overlay with redirect_dir=on.
fn redirects_made_by_the_kernels_overlay(t: &T) -> R {
    if !crate::env::registered("overlay")? {
        return Err(Skip("the kernel's own overlay is not registered".into()).into());
    }
    let o = t.ovl()?;
    f::mkdirs(o.low("a/b/c/d"))?;
    f::mkdirs(o.low("e"))?;
    f::write(o.low("a/b/c/d/f"), "deep")?;
    f::write(o.low("a/top"), "top")?;
    let mut k = o.clone();
    k.ty = "overlay".into();
    k.mount_only(&format!(
        "{},redirect_dir=on,index=off,metacopy=off",
        k.layer_opts()
    ))?;
    f::rename(k.m("a/b"), k.m("e/b2"))?;
    f::rename(k.m("e/b2/c"), k.m("c3"))?;
    f::rename(k.m("a"), k.m("z"))?;
    f::write(k.m("c3/d/new"), "x")?;
    f::unlink(k.m("z/top"))?;
    f::mkdir(k.m("a"))?;
    let want = tree::snapshot(k.root(), tree::ALL)?;
    k.umount()?;
    check!(o.xattr("c3", "redirect")?.is_some(), "a redirect was made");
    o.mount()?;
    tree::same(
        "moved directories",
        &want,
        &tree::snapshot(o.root(), tree::ALL)?,
    )?;
    f::append(o.m("c3/d/f"), "+")?;
    check_err!(
        f::rename(o.m("c3"), o.m("c4")),
        EXDEV,
        "following is not making"
    );
    o.umount()?;
    k.mount_only(&format!(
        "{},redirect_dir=on,index=off,metacopy=off",
        k.layer_opts()
    ))?;
    check_eq!(f::text(k.m("c3/d/f"))?, "deep+");
    Ok(())
}

fn redirect_through_opaque_parent(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/old"))?;
    f::write(o.low("d/old/x"), "x")?;
    f::mkdirs(o.up("d/rel"))?;
    f::mkdirs(o.up("d/abs"))?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")?;
    redirect(o.up("d/rel"), "old")?;
    redirect(o.up("d/abs"), "/d/old")?;
    o.mount()?;
    check_eq!(
        f::ls(o.m("d/rel"))?,
        [""; 0],
        "a relative one ends at an opaque parent"
    );
    check_eq!(f::ls(o.m("d/abs"))?, ["x"], "an absolute one passes it");
    Ok(())
}

fn malformed_redirects(t: &T) -> R {
    for bad in ["", "a/b", "/", "//x", "/x//y", "/x/", "/\0"] {
        let o = redirected(t, bad)?;
        check_err!(f::stat(o.m("d")), EINVAL, "redirected to {bad:?}");
        t.expect_limited_log(&["redirect"], || drop(f::stat(o.m("d"))))?;
        check_eq!(f::text(o.m("ok"))?, "x");
        o.umount()?;
    }
    Ok(())
}

/// These are redirects, but lead to no name that can be looked up. A value ends at its first NUL.
fn redirects_to_no_name(t: &T) -> R {
    for bad in ["\0", "\0/x", "..", ".\0x"] {
        let o = redirected(t, bad)?;
        check_err!(f::stat(o.m("d")), EACCES, "redirected to {bad:?}");
        check_eq!(f::text(o.m("ok"))?, "x");
        o.umount()?;
    }
    Ok(())
}

/// An upper directory with this redirect, mounted.
fn redirected(t: &T, to: &str) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdirs(o.low("x/y"))?;
    f::mkdirs(o.up("d"))?;
    f::write(o.up("ok"), "x")?;
    redirect(o.up("d"), to)?;
    o.mount()?;
    t.kmsg_since();
    Ok(o)
}

fn nofollow_refuses(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("old"))?;
    f::mkdirs(o.up("new"))?;
    redirect(o.up("new"), "old")?;
    let r = o.mount_only(&format!("{},redirect_dir=nofollow", o.layer_opts()));
    super::optional_mount(t, r)?;
    check_err!(f::stat(o.m("new")), EPERM);
    t.expect_limited_log(&["redirect"], || drop(f::stat(o.m("new"))))
}

/// An upper file that says its data is in the lower.
fn metacopy(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::write(o.low("a"), "the data")?;
    f::write(o.up("a"), "")?;
    f::truncate(o.up("a"), 8)?;
    f::setxattr(o.up("a"), "trusted.overlay.metacopy", "")?;
    f::write(o.up("ok"), "x")?;
    o.mount()?;
    t.kmsg_since();
    Ok(o)
}

fn metacopy_is_refused(t: &T) -> R {
    let o = metacopy(t)?;
    check!(
        f::read(o.m("a")).is_err(),
        "a file without its data is not shown"
    );
    t.expect_limited_log(&["metacopy|data in another layer"], || {
        drop(f::stat(o.m("a")))
    })?;
    check!(f::append(o.m("a"), "x").is_err(), "nor written to");
    check_eq!(f::text(o.m("ok"))?, "x");
    check_eq!(
        o.xattr("a", "metacopy")?,
        Some(vec![]),
        "it is left as it was"
    );
    Ok(())
}

fn metacopy_in_a_lower_is_refused(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.lown(1, "a"), "the data")?;
    f::write(o.lown(0, "a"), "")?;
    f::truncate(o.lown(0, "a"), 8)?;
    f::setxattr(o.lown(0, "a"), "trusted.overlay.metacopy", "")?;
    o.mount()?;
    t.kmsg_since();
    check!(
        f::read(o.m("a")).is_err(),
        "a file without its data is not shown"
    );
    t.expect_limited_log(&["metacopy|data in another layer"], || {
        drop(f::stat(o.m("a")))
    })
}

fn metacopy_names_are_still_listed(t: &T) -> R {
    let o = metacopy(t)?;
    let d = f::open_ro(o.root())?;
    let names: Vec<String> = sys::getdents(&d, 4096)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    check!(names.contains(&"ok".into()), "{names:?}");
    Ok(())
}

/// What the kernel's own overlay leaves after a mount with index=on mounts without it.
fn made_with_index(t: &T) -> R {
    if !crate::env::registered("overlay")? {
        return Err(Skip("the kernel's own overlay is not registered".into()).into());
    }
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("d/b"))?;
    let mut k = o.clone();
    k.ty = "overlay".into();
    k.mount_only(&format!(
        "{},index=on,metacopy=off,redirect_dir=off",
        k.layer_opts()
    ))?;
    f::append(k.m("a"), "y")?;
    check_eq!(f::text(k.m("d/b"))?, "xy", "one file, with an index");
    k.umount()?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "xy");
    f::append(o.m("a"), "z")?;
    f::append(o.m("d/b"), "w")?;
    check_eq!(f::ls(o.root())?, ["a", "d"]);
    Ok(())
}

fn nlink_attribute_is_ignored(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    f::setxattr(o.up("a"), "trusted.overlay.nlink", "U+7")?;
    o.mount()?;
    check_eq!(f::stat(o.m("a"))?.nlink(), 1);
    Ok(())
}

fn unknown_attributes_are_ignored(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "trusted.overlay.future", "1")?;
    f::setxattr(o.up(""), "trusted.overlay.future", "1")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["x"]);
    check_eq!(f::listxattr(o.m("d"))?, [""; 0]);
    Ok(())
}

fn origin_of_nowhere(t: &T) -> R {
    // A handle that decodes to nothing, one from another filesystem, one of another machine.
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    o.umount()?;
    let real = o.xattr("a", "origin")?.unwrap_or_default();
    let set = |v: &[u8]| f::setxattr(o.up("a"), "trusted.overlay.origin", v);
    let mut handle = real.clone();
    for b in handle.iter_mut().skip(21) {
        *b ^= 0x5a;
    }
    let mut uuid = real.clone();
    for b in &mut uuid[5..21] {
        *b ^= 0xff;
    }
    let mut version = real.clone();
    version[0] = 9;
    let mut flags = real.clone();
    flags[3] |= 0x80;
    for v in [handle, uuid, version, flags, vec![]] {
        set(&v)?;
        o.mount()?;
        check_eq!(f::text(o.m("a"))?, "xy", "with an origin of {v:02x?}");
        check_eq!(
            f::stat(o.m("a"))?.ino(),
            f::stat(o.up("a"))?.ino(),
            "inode number"
        );
        f::append(o.m("a"), "").ok();
        o.umount()?;
    }
    Ok(())
}

fn origin_malformed(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("a"), "x")?;
    for v in [
        &b"x"[..],
        &[0, 0xfb],
        &[0, 0xfb, 200, 0, 1, 2, 3],
        &[0, 0xaa, 24, 0, 1],
        &[0xff; 64],
    ] {
        f::setxattr(o.up("a"), "trusted.overlay.origin", v)?;
        f::setxattr(o.up("d"), "trusted.overlay.origin", v)?;
        o.mount()?;
        check_eq!(f::text(o.m("a"))?, "x", "with an origin of {v:02x?}");
        check_eq!(f::ls(o.root())?, ["a", "d"]);
        o.umount()?;
    }
    Ok(())
}

fn impure_without_need(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.up("d"))?;
    f::write(o.up("d/a"), "x")?;
    f::setxattr(o.up("d"), "trusted.overlay.impure", "y")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["a"]);
    check_eq!(
        o.xattr("d", "impure")?,
        None,
        "a listing finds out and removes the mark"
    );
    Ok(())
}

fn casefold_is_no_concern(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("Name"), "x")?;
    f::write(o.up("name"), "y")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["Name", "name"]);
    Ok(())
}

fn volatile_leftover_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.work.as_ref().unwrap().join("work/incompat/volatile"))?;
    f::write(
        o.work
            .as_ref()
            .unwrap()
            .join("work/incompat/volatile/dirty"),
        "",
    )?;
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["volatile"])
}
