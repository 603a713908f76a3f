// SPDX-License-Identifier: GPL-2.0
//! An overlay as lower layer of an overlay, in all combinations of the two modules: the module
//! under test is the outer one, and each test is done with either as the inner one.

use super::prelude::*;
use crate::check::outcome;
use crate::env::registered;
use crate::sys::handles::{handle, open_handle};
use rustix::fs::{fsync, syncfs};

cases! { "nested";
    shows_the_inner_tree;
    changes_stay_in_the_outer;
    inner_whiteouts_stay_inside;
    own_attributes_of_both;
    attributes_are_kept;
    all_features_in_both;
    inode_numbers;
    inode_numbers_with_xino;
    handles_through_both;
    both_modules_side_by_side;
    inner_changes_show;
    inner_is_unmounted;
    mapping_and_running;
    locks_are_of_the_outer;
    syncing;
    third_level_is_refused;
    hard_links_of_the_inner;
    same_as_intree
        .rs_only("compares with the kernel's own overlay");
}

/// Everything that one inner overlay may be, mounted; `job` gets it and an outer one on top of it,
/// not mounted.
fn each(t: &T, opts: &str, fill: fn(&Path) -> R, job: fn(&T, &Ovl, &Ovl) -> R) -> R {
    use anyhow::Context;
    for ty in ["overlay", "overlay_rs"] {
        if !registered(ty)? {
            continue;
        }
        let mut inner = t.ovl()?;
        inner.ty = ty.into();
        inner.opts = opts.into();
        fill(&inner.low(""))?;
        inner.mount()?;
        let mut outer = t.ovl()?;
        outer.opts = opts.into();
        outer.lowers = vec![inner.mnt.clone()];
        job(t, &inner, &outer).with_context(|| format!("{} on {ty}", t.ty))?;
        let _ = outer.umount();
        inner.umount()?;
    }
    Ok(())
}

/// Something of every kind.
fn fill(l: &Path) -> R {
    f::mkdirs(l.join("d/e"))?;
    f::mkdir(l.join("gone"))?;
    for p in ["a", "b", "d/x", "d/y", "d/e/z", "gone/g"] {
        f::write(l.join(p), format!("data of {p}"))?;
    }
    f::write(l.join("big"), f::pattern(3, 300_000))?;
    f::symlink("d/x", l.join("l"))?;
    f::mknod(l.join("p"), FileType::Fifo, 0o640, 0, 0)?;
    f::mknod(l.join("c"), FileType::CharacterDevice, 0o666, 1, 3)?;
    f::write(l.join("h1"), "hard")?;
    f::link(l.join("h1"), l.join("h2"))?;
    f::chown(l.join("d/y"), 12, 34)?;
    f::chmod(l.join("d/y"), 0o4755)
}

/// Work on the inner overlay, so that it has something in each of its layers.
fn inner_work(m: &Path) -> R {
    f::append(m.join("b"), ", copied up inside")?;
    f::unlink(m.join("gone/g"))?;
    f::rmdir(m.join("gone"))?;
    f::write(m.join("d/new"), "new inside")?;
    f::chmod(m.join("d/x"), 0o600)?;
    f::setxattr(m.join("a"), "trusted.note", "inside")
}

fn shows_the_inner_tree(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        // The root is the upper's.
        let look = |root: &Path| {
            let mut seen = tree::snapshot(root, tree::ALL)?;
            seen.remove(".");
            R::Ok(seen)
        };
        let want = look(inner.root())?;
        tree::same("warm", &want, &look(o.root())?)?;
        drop_caches()?;
        tree::same("cold", &want, &look(o.root())?)?;
        o.again()?;
        tree::same("again", &want, &look(o.root())?)
    })
}

fn changes_stay_in_the_outer(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        let before = tree::snapshot(inner.root(), tree::ALL)?;
        f::append(o.m("a"), "+")?;
        f::append(o.m("b"), "+")?;
        f::unlink(o.m("d/new"))?;
        f::rename(o.m("d/x"), o.m("d/e/x"))?;
        f::chmod(o.m("d/y"), 0o700)?;
        f::mkdir(o.m("gone"))?;
        f::write(o.m("gone/mine"), "x")?;
        f::chown(o.m("p"), 5, 6)?;
        f::setxattr(o.m("l"), "trusted.note", "outside")?;
        let after = tree::snapshot(inner.root(), tree::ALL)?;
        tree::same("the inner overlay", &before, &after)?;
        check_eq!(f::text(o.m("b"))?, "data of b, copied up inside+");
        check_eq!(f::ls(o.m("d"))?, ["e", "y"]);
        check_eq!(f::ls(o.m("gone"))?, ["mine"]);
        let want = tree::snapshot(o.root(), tree::NO_TIMES)?;
        o.again()?;
        drop_caches()?;
        let got = tree::snapshot(o.root(), tree::NO_TIMES)?;
        tree::same("mounted again", &want, &got)
    })
}

fn inner_whiteouts_stay_inside(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        f::unlink(inner.m("d/x"))?;
        f::unlink(inner.m("gone/g"))?;
        f::rmdir(inner.m("gone"))?;
        f::mkdir(inner.m("gone"))?;
        check!(inner.is_whiteout("d/x")?);
        o.mount()?;
        check!(!f::exists(o.m("d/x"))?);
        check_eq!(f::ls(o.m("d"))?, ["e", "y"]);
        check_eq!(f::ls(o.m("gone"))?.len(), 0, "opaque inside");
        f::write(o.m("d/x"), "outer")?;
        check!(!f::exists(inner.m("d/x"))?);
        f::unlink(o.m("d/x"))?;
        check_eq!(f::ls(o.m("d"))?, ["e", "y"]);
        f::unlink(o.m("d/y"))?;
        check!(o.is_whiteout("d/y")?);
        check!(f::exists(inner.m("d/y"))?);
        Ok(())
    })
}

fn own_attributes_of_both(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        // What a user of the inner one stores under our name is of the layer that it is for.
        f::mkdir(inner.m("d/e/opaque"))?;
        f::setxattr(inner.m("d"), "trusted.overlay.opaque", "y")?;
        check_eq!(
            f::getxattr(inner.up("d"), "trusted.overlay.overlay.opaque")?,
            b"y"
        );
        let above = o.up("d");
        f::mkdir(&above)?;
        f::write(above.join("upper"), "x")?;
        o.mount()?;
        check_eq!(f::ls(o.m("d"))?, ["e", "upper", "x", "y"]);
        check!(f::xattr_opt(o.m("d"), "trusted.overlay.opaque")?.is_none());
        // And what is stored through both is escaped by both.
        f::setxattr(o.m("a"), "trusted.overlay.mine", "1")?;
        check_eq!(
            f::getxattr(o.up("a"), "trusted.overlay.overlay.mine")?,
            b"1"
        );
        check_eq!(f::getxattr(o.m("a"), "trusted.overlay.mine")?, b"1");
        Ok(())
    })
}

fn attributes_are_kept(t: &T) -> R {
    each(t, OFF, fill, |t, inner, o| {
        if t.fs != "tmpfs" {
            f::setxattr(inner.m("d/x"), "user.note", "hello")?;
        }
        f::setxattr(inner.m("d/x"), "trusted.note", "hello")?;
        f::setxattr(inner.m("d/x"), "security.note", "hello")?;
        // user::rw-, user 7: r--, group::r--, mask::r--, other::---
        let acl: Vec<u8> = [
            (1u16, 6u16, u32::MAX),
            (2, 4, 7),
            (4, 4, u32::MAX),
            (16, 4, u32::MAX),
            (32, 0, u32::MAX),
        ]
        .iter()
        .fold(vec![2, 0, 0, 0], |mut v, (tag, perm, id)| {
            v.extend(tag.to_le_bytes());
            v.extend(perm.to_le_bytes());
            v.extend(id.to_le_bytes());
            v
        });
        f::setxattr(inner.m("d/y"), "system.posix_acl_access", &acl)?;
        f::utimes(inner.m("d/x"), (1_000_000, 5), (2_000_000, 7))?;
        o.mount()?;
        let want = tree::snapshot(inner.m("d"), tree::ALL)?;
        // Copied up without a change.
        for p in ["d/x", "d/y"] {
            drop(f::open_rw(o.m(p))?);
            check!(o.in_upper(p)?);
        }
        tree::same("copied up", &want, &tree::snapshot(o.m("d"), tree::ALL)?)
    })
}

/// Work that needs every feature, with what comes of each step.
fn feature_work(m: &Path) -> Vec<String> {
    let p = |s: &str| m.join(s);
    let steps: Vec<(&str, R)> = vec![
        ("rename of a directory", f::rename(p("d"), p("moved"))),
        ("rename of one in it", f::rename(p("moved/e"), p("e2"))),
        ("metadata", f::chmod(p("big"), 0o640)),
        ("data after metadata", f::append(p("big"), "more")),
        ("metadata only", f::chown(p("a"), 3, 4)),
        ("a link", f::append(p("h1"), "!")),
        ("a further link", f::link(p("h2"), p("h3"))),
        ("less links", f::unlink(p("h1"))),
        ("in a moved directory", f::write(p("moved/n"), "n")),
        ("remove in it", f::unlink(p("moved/y"))),
        (
            "exchange",
            f::rename2(p("a"), p("b"), RenameFlags::EXCHANGE),
        ),
        ("rmdir", f::rmdir(p("e2"))),
    ];
    steps
        .iter()
        .map(|(what, r)| format!("{what}: {}", outcome(r)))
        .collect()
}

const FEATURES: &str = "index=on,redirect_dir=on,metacopy=on,xino=off,nfs_export=off";

/// The index needs handles of the inner overlay's objects.
const EXPORTED: &str = "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on";

fn all_features_in_both(t: &T) -> R {
    each(t, EXPORTED, fill, |t, inner, o| {
        inner_work(inner.root())?;
        let plain = t.p(format!("plain-{}", inner.ty));
        f::mkdir(&plain)?;
        fill(&plain)?;
        inner_work(&plain)?;
        o.mount()?;
        // What a directory without layers does, both together do.
        check_eq!(feature_work(o.root()), feature_work(&plain));
        let want = tree::snapshot(&plain, tree::NO_TIMES)?;
        for when in ["at once", "cold", "again"] {
            match when {
                "cold" => drop_caches()?,
                "again" => o.again()?,
                _ => (),
            }
            tree::same(when, &want, &tree::snapshot(o.root(), tree::NO_TIMES)?)?;
        }
        Ok(())
    })
}

/// The numbers of everything, by name.
fn numbers(root: &Path) -> R<Vec<(String, u64, u64)>> {
    let mut all = Vec::new();
    for e in walkdir::WalkDir::new(root).sort_by_file_name() {
        let e = e?;
        let m = f::stat(e.path())?;
        let rel = e.path().strip_prefix(root)?.to_string_lossy().into_owned();
        all.push((rel, m.dev(), m.ino()));
    }
    Ok(all)
}

fn inode_numbers(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        let before = numbers(o.root())?;
        for p in ["a", "b", "d/x", "d/new", "d/e", "p", "c", "l"] {
            f::chown(o.m(p), 1, 2)?;
        }
        check_eq!(numbers(o.root())?, before, "copied up in the outer");
        let hard = |n: &str| f::stat(o.m(n)).map(|m| (m.dev(), m.ino()));
        check_eq!(hard("h1")?, hard("h2")?, "links are one object");
        let mut seen = std::collections::BTreeMap::new();
        for (n, dev, ino) in before.into_iter().filter(|n| n.0 != "h2") {
            if let Some(other) = seen.insert((dev, ino), n.clone()) {
                anyhow::bail!("{n} and {other} have the same numbers");
            }
        }
        Ok(())
    })
}

fn inode_numbers_with_xino(t: &T) -> R {
    let opts = OFF.replace("xino=off", "xino=on");
    each(t, &opts, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        let dev = f::stat(o.root())?.dev();
        let before = numbers(o.root())?;
        for (n, d, _) in &before {
            check_eq!(*d, dev, "st_dev of {n}");
        }
        drop_caches()?;
        check_eq!(numbers(o.root())?, before, "caches dropped");
        o.again()?;
        let again: Vec<_> = numbers(o.root())?.into_iter().map(|n| (n.0, n.2)).collect();
        let before: Vec<_> = before.into_iter().map(|n| (n.0, n.2)).collect();
        check_eq!(again, before, "mounted again");
        Ok(())
    })
}

fn handles_through_both(t: &T) -> R {
    each(t, EXPORTED, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        let names = ["a", "b", "d", "d/e", "d/e/z", "h1", "p", "l"];
        let mut all = Vec::new();
        for n in names {
            all.push((n, f::ctx(handle(&o.m(n), 0), "the handle of", n)?));
        }
        for n in ["a", "d/e/z", "p"] {
            f::chown(o.m(n), 1, 2)?;
        }
        for when in ["at once", "cold", "again"] {
            match when {
                "cold" => drop_caches()?,
                "again" => o.again()?,
                _ => (),
            }
            let root = f::open_ro(o.root())?;
            for (n, h) in &all {
                let flags = libc::O_PATH | libc::O_NOFOLLOW;
                let found = f::ctx(open_handle(&root, h, flags), when, n)?;
                let (a, b) = (found.metadata()?, f::stat(o.m(n))?);
                check_eq!((a.dev(), a.ino()), (b.dev(), b.ino()), "{when}: {n}");
            }
        }
        Ok(())
    })
}

fn both_modules_side_by_side(t: &T) -> R {
    let mut lowers = Vec::new();
    for ty in ["overlay", "overlay_rs"] {
        if !registered(ty)? {
            return Err(Skip(format!("{ty} is not registered")).into());
        }
        let mut inner = t.ovl()?;
        inner.ty = ty.into();
        f::mkdir(inner.low("d"))?;
        for n in ["all", "d/all", &format!("of-{ty}"), &format!("d/of-{ty}")] {
            f::write(inner.low(n), ty)?;
        }
        inner.mount()?;
        f::append(inner.m("all"), "+")?;
        lowers.push(inner.mnt);
    }
    let mut o = t.layers(1)?;
    o.lowers.extend(lowers);
    f::write(o.low("plain"), "x")?;
    o.mount()?;
    check_eq!(
        f::ls(o.root())?,
        ["all", "d", "of-overlay", "of-overlay_rs", "plain"]
    );
    check_eq!(f::ls(o.m("d"))?, ["all", "of-overlay", "of-overlay_rs"]);
    check_eq!(f::text(o.m("all"))?, "overlay+");
    for n in ["all", "d/all", "d/of-overlay", "d/of-overlay_rs"] {
        f::append(o.m(n), "!")?;
    }
    f::unlink(o.m("of-overlay_rs"))?;
    o.again()?;
    check_eq!(f::text(o.m("d/of-overlay_rs"))?, "overlay_rs!");
    check_eq!(f::ls(o.root())?, ["all", "d", "of-overlay", "plain"]);
    Ok(())
}

fn inner_changes_show(t: &T) -> R {
    // Not allowed by the documentation, but what follows must be no other file's data.
    each(t, OFF, fill, |_, inner, o| {
        o.mount()?;
        let h = f::open_ro(o.m("a"))?;
        check_eq!(f::text(o.m("a"))?, "data of a");
        f::append(inner.m("a"), " and more")?;
        check_eq!(f::text(o.m("a"))?, "data of a and more", "opened later");
        let old = f::pread(&h, 0, 99)?;
        let old = String::from_utf8_lossy(&old);
        check!("data of a and more".starts_with(&*old), "{old}");
        f::append(o.m("a"), "!")?;
        check_eq!(f::text(o.m("a"))?, "data of a and more!");
        check_eq!(f::text(inner.m("a"))?, "data of a and more");
        Ok(())
    })
}

fn inner_is_unmounted(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        inner_work(inner.root())?;
        o.mount()?;
        inner.umount()?;
        drop_caches()?;
        check_eq!(f::text(o.m("b"))?, "data of b, copied up inside");
        f::append(o.m("d/new"), "!")?;
        check_eq!(f::ls(o.m("d"))?, ["e", "new", "x", "y"]);
        o.umount()?;
        // For the one that unmounts it in the end.
        inner.mount()
    })
}

fn mapping_and_running(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        std::fs::copy("/bin/true", inner.m("prog"))?;
        o.mount()?;
        let h = f::open_ro(o.m("big"))?;
        let map = sys::map_ro(&h, 300_000)?;
        check!(map[..] == f::pattern(3, 300_000)[..], "mapped through both");
        f::append(o.m("big"), "!")?;
        check!(map[..] == f::pattern(3, 300_000)[..], "mapped before");
        check_eq!(sys::run(&o.m("prog"), &[])?, 0);
        f::chmod(o.m("prog"), 0o755)?;
        check_eq!(sys::run(&o.m("prog"), &[])?, 0, "copied up");
        check_eq!(sys::run(&inner.m("prog"), &[])?, 0);
        Ok(())
    })
}

fn locks_are_of_the_outer(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        use rustix::fs::{flock, FlockOperation};
        o.mount()?;
        let (a, b) = (f::open_ro(o.m("a"))?, f::open_ro(inner.m("a"))?);
        flock(&a, FlockOperation::LockExclusive)?;
        flock(&b, FlockOperation::NonBlockingLockExclusive)?;
        let c = f::open_rw(o.m("a"))?;
        check_err!(flock(&c, FlockOperation::NonBlockingLockExclusive), EAGAIN);
        Ok(())
    })
}

fn syncing(t: &T) -> R {
    each(t, OFF, fill, |_, inner, o| {
        o.mount()?;
        let h = f::open_rw(o.m("a"))?;
        f::pwrite(&h, 0, "x")?;
        fsync(&h)?;
        syncfs(&h)?;
        fsync(f::open_ro(o.m("d"))?)?;
        fsync(f::open_ro(o.m("b"))?)?;
        let (a, b) = (rustix::fs::statfs(o.root())?, rustix::fs::statfs(o.up(""))?);
        check_eq!(a.f_blocks, b.f_blocks, "the size is the upper's");
        syncfs(f::open_ro(inner.root())?)?;
        Ok(())
    })
}

fn third_level_is_refused(t: &T) -> R {
    each(t, OFF, fill, |t, _, o| {
        o.mount()?;
        let mut third = t.ovl_ro(2)?;
        third.lowers[0] = o.mnt.clone();
        check_err!(third.mount(), EINVAL);
        Ok(())
    })
}

fn hard_links_of_the_inner(t: &T) -> R {
    each(t, EXPORTED, fill, |_, inner, o| {
        f::append(inner.m("h1"), ", copied up inside")?;
        o.mount()?;
        check_eq!(f::stat(o.m("h2"))?.nlink(), 2);
        f::append(o.m("h1"), "!")?;
        check_eq!(f::text(o.m("h2"))?, "hard, copied up inside!", "the index");
        check_eq!(f::stat(o.m("h1"))?.ino(), f::stat(o.m("h2"))?.ino());
        f::unlink(o.m("h1"))?;
        check_eq!(f::stat(o.m("h2"))?.nlink(), 1);
        check_eq!(f::stat(inner.m("h2"))?.nlink(), 2);
        check_eq!(f::text(inner.m("h1"))?, "hard, copied up inside");
        Ok(())
    })
}

/// The same stacks and the same work: nothing depends on which module is where.
fn same_as_intree(t: &T) -> R {
    for opts in [OFF, FEATURES, EXPORTED] {
        all_four(t, opts)?;
    }
    Ok(())
}

fn all_four(t: &T, opts: &str) -> R {
    let mut first: Option<(String, tree::Tree, Vec<String>)> = None;
    for (lower, upper) in [
        ("overlay", "overlay"),
        ("overlay", "overlay_rs"),
        ("overlay_rs", "overlay"),
        ("overlay_rs", "overlay_rs"),
    ] {
        if !registered(lower)? || !registered(upper)? {
            return Err(Skip("the other module is not registered".into()).into());
        }
        let what = format!("{upper} on {lower}");
        let mut inner = t.ovl()?;
        inner.ty = lower.into();
        inner.opts = opts.into();
        fill(&inner.low(""))?;
        inner.mount()?;
        inner_work(inner.root())?;
        let mut o = t.ovl()?;
        o.ty = upper.into();
        o.opts = opts.into();
        o.lowers = vec![inner.mnt.clone()];
        o.mount()?;
        let steps = feature_work(o.root());
        let seen = tree::snapshot(o.root(), tree::NO_TIMES)?;
        o.umount()?;
        inner.umount()?;
        match &first {
            None => first = Some((what, seen, steps)),
            Some((_, tree, said)) => {
                check_eq!(&steps, said, "{what}");
                tree::same(&what, tree, &seen)?;
            }
        }
    }
    Ok(())
}
