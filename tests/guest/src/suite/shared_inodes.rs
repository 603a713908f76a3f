// SPDX-License-Identifier: GPL-2.0
//! Layers that are hard-linked with each other, as Docker's first driver for overlays made them:
//! each image a whole tree, whose unchanged files are links to those of the image it came from.

use super::prelude::*;
use crate::check::outcome;

cases! { "shared_inodes";
    containers_of_linked_images;
    one_inode_in_two_lowers;
    one_inode_under_two_names;
    middle_layer_is_the_same_inode;
    upper_made_from_a_linked_tree;
    link_counts;
    numbers_stay_apart;
    copy_up_of_one_name;
    same_as_intree
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_with_index
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_with_metacopy
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_exported
        .rs_only("compares with the kernel's own overlay");
}

/// The first image.
fn image(dir: &Path) -> R {
    f::mkdirs(dir.join("usr/bin"))?;
    f::mkdirs(dir.join("etc"))?;
    for p in ["usr/bin/a", "usr/bin/b", "etc/conf", "etc/host", "top"] {
        f::write(dir.join(p), format!("first {p}"))?;
    }
    f::symlink("conf", dir.join("etc/link"))?;
    f::link(dir.join("usr/bin/a"), dir.join("usr/bin/a2"))
}

/// A tree with the same directories and links to all else.
fn linked(from: &Path, to: &Path) -> R {
    for e in walkdir::WalkDir::new(from).min_depth(1) {
        let e = e?;
        let at = to.join(e.path().strip_prefix(from)?);
        if e.file_type().is_dir() {
            f::mkdir(at)?;
        } else {
            f::link(e.path(), at)?;
        }
    }
    Ok(())
}

/// Writes a file anew, not into its inode.
fn replace(p: &Path, data: &str) -> R {
    let tmp = p.with_extension("tmp");
    f::write(&tmp, data)?;
    f::rename(&tmp, p)
}

/// Two images, the second made from the first, and containers on either.
fn containers_of_linked_images(t: &T) -> R {
    let (one, two) = (t.p("one"), t.p("two"));
    f::mkdir(&one)?;
    f::mkdir(&two)?;
    image(&one)?;
    linked(&one, &two)?;
    replace(&two.join("etc/conf"), "second etc/conf")?;
    f::unlink(two.join("usr/bin/b"))?;
    check_eq!(f::stat(one.join("top"))?.nlink(), 2);
    let images = [
        tree::snapshot(&one, tree::ALL)?,
        tree::snapshot(&two, tree::ALL)?,
    ];
    for opts in [OFF, FEATURES] {
        let mut all = Vec::new();
        for img in [&one, &two, &two] {
            let mut o = t.ovl()?;
            o.opts = opts.into();
            o.lowers = vec![img.clone()];
            o.mount()?;
            all.push(o);
        }
        for (i, o) in all.iter().enumerate() {
            f::append(o.m("top"), format!(" in {i}"))?;
            f::append(o.m("usr/bin/a"), format!(" in {i}"))?;
            f::chmod(o.m("etc/host"), 0o600 + i as u32)?;
            f::rename(o.m("etc/conf"), o.m("etc/moved"))?;
        }
        for (i, o) in all.iter().enumerate() {
            check_eq!(f::text(o.m("top"))?, format!("first top in {i}"));
            let image = if i == 0 { "first" } else { "second" };
            check_eq!(f::text(o.m("etc/moved"))?, format!("{image} etc/conf"));
            check_eq!(f::mode(o.m("etc/host"))?, 0o600 + i as u32);
            check_eq!(f::exists(o.m("usr/bin/b"))?, i == 0);
            let other = f::text(o.m("usr/bin/a2"))?;
            let want = if opts == OFF {
                "first usr/bin/a".into()
            } else {
                format!("first usr/bin/a in {i}")
            };
            check_eq!(other, want, "the other name, {opts}");
            o.umount()?;
        }
        tree::same("image one", &images[0], &tree::snapshot(&one, tree::ALL)?)?;
        tree::same("image two", &images[1], &tree::snapshot(&two, tree::ALL)?)?;
    }
    Ok(())
}

const FEATURES: &str = "index=on,redirect_dir=on,metacopy=on,xino=off,nfs_export=off";

/// Two lowers, linked with each other, with these options.
fn two_lowers(t: &T, opts: &str) -> R<Ovl> {
    let mut o = t.layers(2)?;
    o.opts = opts.into();
    image(&o.lown(1, ""))?;
    linked(&o.lown(1, ""), &o.lown(0, ""))?;
    Ok(o)
}

fn one_inode_in_two_lowers(t: &T) -> R {
    for opts in [OFF, FEATURES] {
        let o = two_lowers(t, opts)?;
        f::unlink(o.lown(0, "top"))?;
        f::whiteout(o.lown(0, "top"))?;
        o.mount()?;
        let want = tree::snapshot(o.root(), tree::ALL)?;
        drop_caches()?;
        tree::same("cold", &want, &tree::snapshot(o.root(), tree::ALL)?)?;
        check!(!f::exists(o.m("top"))?, "hidden though linked elsewhere");
        f::append(o.m("etc/conf"), "+")?;
        check_eq!(f::text(o.m("etc/conf"))?, "first etc/conf+");
        check_eq!(f::text(o.lown(0, "etc/conf"))?, "first etc/conf");
        f::unlink(o.m("etc/conf"))?;
        check!(!f::exists(o.m("etc/conf"))?, "the other layer's link");
        o.again()?;
        check!(!f::exists(o.m("etc/conf"))?, "mounted again");
    }
    Ok(())
}

fn one_inode_under_two_names(t: &T) -> R {
    for opts in [OFF, FEATURES] {
        let mut o = t.layers(2)?;
        o.opts = opts.into();
        f::write(o.lown(1, "a"), "data")?;
        f::link(o.lown(1, "a"), o.lown(0, "b"))?;
        o.mount()?;
        check_eq!(f::text(o.m("a"))? + &f::text(o.m("b"))?, "datadata");
        f::append(o.m("b"), "+")?;
        // Whether they stay one file is what the index is for; the layers never change.
        let a = f::text(o.m("a"))?;
        check_eq!(a, if opts == OFF { "data" } else { "data+" }, "{opts}");
        check_eq!(f::text(o.lown(1, "a"))?, "data");
        f::unlink(o.m("a"))?;
        check_eq!(f::text(o.m("b"))?, "data+");
        o.again()?;
        check_eq!(f::ls(o.root())?, ["b"]);
        check_eq!(f::text(o.m("b"))?, "data+");
    }
    Ok(())
}

fn middle_layer_is_the_same_inode(t: &T) -> R {
    // A copy of metadata whose data is a link to what covers it elsewhere.
    let mut o = two_lowers(t, FEATURES)?;
    o.mount()?;
    f::chmod(o.m("etc/host"), 0o640)?;
    o.umount()?;
    let upper = o.upper.clone().unwrap();
    let mut p = t.ovl()?;
    p.opts = FEATURES.into();
    p.lowers = vec![upper, o.lown(0, ""), o.lown(1, "")];
    p.mount()?;
    check_eq!(f::text(p.m("etc/host"))?, "first etc/host");
    check_eq!(f::mode(p.m("etc/host"))?, 0o640);
    f::append(p.m("etc/host"), "+")?;
    check_eq!(f::text(p.m("etc/host"))?, "first etc/host+");
    o.lowers.truncate(1);
    check_eq!(f::text(o.low("etc/host"))?, "first etc/host");
    Ok(())
}

fn upper_made_from_a_linked_tree(t: &T) -> R {
    // Docker's first driver made the upper of a new image from links, too: writing to them
    // through the overlay writes to the inode, as it is the upper's own.
    let o = t.ovl()?;
    let twin = t.p("twin");
    f::mkdir(&twin)?;
    image(&o.up(""))?;
    linked(&o.up(""), &twin)?;
    o.mount()?;
    check_eq!(f::stat(o.m("top"))?.nlink(), 2);
    check_eq!(f::stat(o.m("usr/bin/a"))?.nlink(), 4);
    f::append(o.m("top"), "+")?;
    check_eq!(f::text(twin.join("top"))?, "first top+");
    f::unlink(o.m("top"))?;
    check_eq!(f::text(twin.join("top"))?, "first top+");
    f::link(o.m("etc/conf"), o.m("conf2"))?;
    check_eq!(f::stat(twin.join("etc/conf"))?.nlink(), 3);
    Ok(())
}

fn link_counts(t: &T) -> R {
    let o = two_lowers(t, OFF)?;
    o.mount()?;
    check_eq!(f::stat(o.m("top"))?.nlink(), 2, "as the layer says");
    check_eq!(f::stat(o.m("usr/bin/a"))?.nlink(), 4);
    f::append(o.m("usr/bin/a"), "+")?;
    check_eq!(f::stat(o.m("usr/bin/a"))?.nlink(), 1, "the copy is alone");
    check_eq!(f::stat(o.m("usr/bin/a2"))?.nlink(), 4);

    let o = two_lowers(t, FEATURES)?;
    o.mount()?;
    f::append(o.m("usr/bin/a"), "+")?;
    // The union of the links: the layer's count, as it knows nothing of which of them show.
    check_eq!(f::stat(o.m("usr/bin/a"))?.nlink(), 4);
    check_eq!(f::stat(o.m("usr/bin/a2"))?.nlink(), 4);
    f::unlink(o.m("usr/bin/a2"))?;
    check_eq!(f::stat(o.m("usr/bin/a"))?.nlink(), 3);
    Ok(())
}

fn numbers_stay_apart(t: &T) -> R {
    let o = two_lowers(t, OFF)?;
    o.mount()?;
    let ino = |p: &str| f::stat(o.m(p)).map(|m| m.ino());
    check_eq!(ino("usr/bin/a")?, ino("usr/bin/a2")?, "links show as one");
    let before = ino("usr/bin/a")?;
    f::append(o.m("usr/bin/a"), "+")?;
    // Two objects now: the number may not stay with both.
    check_ne!(ino("usr/bin/a")?, ino("usr/bin/a2")?, "after copy-up");
    check_eq!(ino("usr/bin/a2")?, before);
    drop_caches()?;
    check_ne!(ino("usr/bin/a")?, ino("usr/bin/a2")?, "cold");
    Ok(())
}

fn copy_up_of_one_name(t: &T) -> R {
    let o = two_lowers(t, OFF)?;
    o.mount()?;
    let h = f::open_ro(o.m("usr/bin/a2"))?;
    f::append(o.m("usr/bin/a"), "+")?;
    check_eq!(f::pread(&h, 0, 99)?, b"first usr/bin/a");
    check_eq!(f::text(o.m("usr/bin/a"))?, "first usr/bin/a+");
    check!(o.xattr("usr/bin/a", "origin")?.is_none_or(|v| v.is_empty()));
    f::rename(o.m("usr/bin/a"), o.m("usr/bin/a2"))?;
    check_eq!(f::text(o.m("usr/bin/a2"))?, "first usr/bin/a+");
    check_eq!(f::pread(&h, 0, 99)?, b"first usr/bin/a");
    check!(!f::exists(o.m("usr/bin/a"))?);
    Ok(())
}

/// Work with the names of shared inodes, and what shows after each step.
fn story(t: &T, ty: &str, opts: &str) -> R<Vec<String>> {
    let mut o = two_lowers(t, opts)?;
    o.ty = ty.into();
    f::link(o.lown(1, "usr/bin/b"), o.lown(0, "etc/b-elsewhere"))?;
    f::link(o.lown(0, "top"), o.lown(0, "top2"))?;
    o.mount()?;
    let p = |s: &str| o.m(s);
    let mut lines = Vec::new();
    let mut look = |what: &str, r: &R| -> R {
        lines.push(format!("{what}: {}", outcome(r)));
        for (n, d) in tree::snapshot(o.root(), tree::NO_TIMES)? {
            lines.push(format!("{what}: {n}: {d}"));
        }
        Ok(())
    };
    look("at first", &Ok(()))?;
    look("write a", &f::append(p("usr/bin/a"), "+"))?;
    look("chmod a2", &f::chmod(p("usr/bin/a2"), 0o700))?;
    look("chown b", &f::chown(p("etc/b-elsewhere"), 3, 4))?;
    look("write b", &f::append(p("usr/bin/b"), "+"))?;
    look("link top", &f::link(p("top"), p("top3")))?;
    look("unlink top", &f::unlink(p("top")))?;
    look("rename over", &f::rename(p("top2"), p("etc/host")))?;
    look("write conf by its link", &f::append(p("etc/link"), "+"))?;
    look("rename a", &f::rename(p("usr/bin/a"), p("etc/a")))?;
    look("onto its link", &f::rename(p("etc/a"), p("usr/bin/a2")))?;
    look("rename of a directory", &f::rename(p("usr"), p("usr2")))?;
    look("remount", &o.again())?;
    look("unlink b", &f::unlink(p("etc/b-elsewhere")))?;
    look("remount", &o.again())?;
    o.umount()?;
    Ok(lines)
}

fn same(t: &T, opts: &str) -> R {
    let (want, got) = (story(t, t.other_ty()?, opts)?, story(t, &t.ty, opts)?);
    for (w, g) in want.iter().zip(&got) {
        check_eq!(g, w, "as the kernel's own overlay");
    }
    check_eq!(got.len(), want.len());
    Ok(())
}

fn same_as_intree(t: &T) -> R {
    same(t, OFF)
}

fn same_as_intree_with_index(t: &T) -> R {
    same(
        t,
        "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=off",
    )
}

fn same_as_intree_with_metacopy(t: &T) -> R {
    same(t, FEATURES)
}

fn same_as_intree_exported(t: &T) -> R {
    same(
        t,
        "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on",
    )
}
