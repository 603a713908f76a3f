// SPDX-License-Identifier: GPL-2.0
//! What the kernel's own overlay once got wrong: the fixes of stable 7.3.2, one test each. The
//! kernel that the tests run on has them, so both modules must pass.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::concurrency::{all, may};
use super::prelude::*;
use super::userns::{context, finish};
use crate::sys::handles::{handle, open_handle};
use rustix::mount::fsconfig_set_flag;

cases! { "known_bugs";
    readdir_while_the_parent_changes;
    whiteouts_of_a_dir_just_copied_up;
    long_name_copied_up_while_it_moves;
    origin_mended_by_a_lookup;
    origin_with_index_is_never_empty;
    parents_of_the_volatile_mark;
    casefold_of_directories_only;
    no_copy_up_of_what_was_removed;
    value_that_could_not_be_read;
    redirects_while_parents_move;
    override_creds_without_admin;
    attributes_that_change_below;
    links_of_everything_indexed;
    casefold_of_the_longest_name;
    created_above_a_revalidating_lower;
    empty_capability_of_a_metacopy;
}

const CAPS: &str = "security.capability";
const FULL: &str = "redirect_dir=on,index=on,metacopy=off,xino=off,nfs_export=on";

type Job<'a> = Box<dyn FnOnce() -> R + Send + 'a>;

/// Runs `change` this often, and `watch` over and over until that is done.
fn beside<'a>(
    rounds: u64,
    mut change: impl FnMut(u64) -> R + Send + 'a,
    mut watch: impl FnMut() -> R + Send + 'a,
) -> R {
    let stop = &AtomicBool::new(false);
    all(vec![
        Box::new(move || {
            let r = (0..rounds).try_for_each(&mut change);
            stop.store(true, Ordering::SeqCst);
            r
        }) as Job<'_>,
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                watch()?;
            }
            Ok(())
        }),
    ])
}

/// "hold a reference on the parent in readdir": an open directory is listed, with its `..`, while
/// lookups find it below another parent, because somebody moves it in the lower.
fn readdir_while_the_parent_changes(t: &T) -> R {
    let mut o = t.layers(2)?;
    o.opts = OFF.replace("xino=off", "xino=on");
    for d in ["p", "q"] {
        f::mkdirs(o.lown(1, d))?;
        f::write(o.lown(1, format!("{d}/other")), "x")?;
        f::mkdir(o.up(d))?;
        f::write(o.up(format!("{d}/top")), "x")?;
    }
    f::mkdir(o.low("p"))?;
    f::mkdir(o.low("q"))?;
    f::mkdir(o.low("p/d"))?;
    for i in 0..20 {
        f::write(o.low(format!("p/d/{i}")), "x")?;
    }
    o.mount()?;
    let d = f::open_ro(o.m("p/d"))?;
    beside(
        t.scaled(200, 20),
        |r| {
            let (a, b) = if r % 2 == 0 {
                ("p/d", "q/d")
            } else {
                ("q/d", "p/d")
            };
            f::rename(o.low(a), o.low(b))?;
            // What is remembered of the old and of the new place has to go first.
            f::write("/proc/sys/vm/drop_caches", "2")?;
            may(f::stat(o.m(b)), &[libc::ENOENT, libc::ESTALE])?;
            Ok(())
        },
        || {
            f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "lseek", "d")?;
            let mut names = Vec::new();
            loop {
                let e = f::ctx(sys::getdents(&d, 512), "getdents64", "d")?;
                if e.is_empty() {
                    break;
                }
                names.extend(e);
            }
            check_eq!(names.len(), 22, "entries with . and ..");
            check!(names.iter().all(|e| e.ino != 0), "{names:?}");
            Ok(())
        },
    )
}

/// "set OVL_WHITEOUTS before publishing the upper dir": who lists a directory at the moment of its
/// copy-up must not see the whiteout that comes next.
fn whiteouts_of_a_dir_just_copied_up(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(60, 10);
    for i in 0..n {
        f::mkdir(o.low(format!("{i}")))?;
        f::write(o.low(format!("{i}/gone")), "x")?;
        f::write(o.low(format!("{i}/stays")), "x")?;
    }
    o.mount()?;
    let at = AtomicU64::new(0);
    beside(
        n,
        |i| {
            at.store(i, Ordering::SeqCst);
            f::unlink(o.m(format!("{i}/gone")))
        },
        || {
            let d = f::open_ro(o.m(format!("{}", at.load(Ordering::SeqCst))))?;
            let e = f::ctx(sys::getdents(&d, 4096), "getdents64", "d")?;
            check!(e.iter().any(|e| e.name == "stays"), "{e:?}");
            for e in e {
                check!(e.kind != libc::DT_CHR, "a whiteout is shown: {e:?}");
            }
            Ok(())
        },
    )
}

/// "take a snapshot of the name for copy up": a directory whose name is too long to be kept in
/// the dentry itself is copied up while lookups find it under another name.
fn long_name_copied_up_while_it_moves(t: &T) -> R {
    let n = t.scaled(60, 8);
    let o = t.ovl()?;
    let name = |c: &str, i: u64| format!("{}{i}", c.repeat(100));
    for i in 0..n {
        f::mkdir(o.low(name("a", i)))?;
        f::write(o.low(name("a", i)).join("f"), "x")?;
    }
    o.mount()?;
    for i in 0..n {
        let d = f::open_ro(o.m(name("a", i)))?;
        let (o, moved) = (&o, AtomicBool::new(false));
        let moved = &moved;
        all(vec![
            Box::new(move || {
                while !moved.load(Ordering::SeqCst) {
                    std::hint::spin_loop();
                }
                let r = rustix::fs::fchmod(&d, rustix::fs::Mode::from_raw_mode(0o711));
                may(
                    f::ctx(r, "fchmod", "d"),
                    &[libc::ENOENT, libc::ESTALE, libc::EIO, libc::EEXIST],
                )?;
                Ok(())
            }) as Job<'_>,
            Box::new(move || {
                f::rename(o.low(name("a", i)), o.low(name("b", i)))?;
                moved.store(true, Ordering::SeqCst);
                may(
                    f::stat(o.m(name("b", i))),
                    &[libc::ENOENT, libc::ESTALE, libc::EIO],
                )?;
                Ok(())
            }),
        ])?;
    }
    for k in f::ls(o.up(""))? {
        let known = (0..n).any(|i| k == name("a", i) || k == name("b", i));
        check!(known, "the upper has a name that nobody gave: {k}");
    }
    check_eq!(o.work_entries()?, [""; 0], "leftovers");
    Ok(())
}

/// "use the pinned upper dir in ovl_fix_origin()": a merged directory without an origin gets one
/// from the lookup, and its parent is marked.
fn origin_mended_by_a_lookup(t: &T) -> R {
    let o = t.ovl()?;
    for d in ["p/d", "p/e"] {
        f::mkdirs(o.low(d))?;
        f::mkdirs(o.up(d))?;
    }
    o.mount()?;
    check_eq!(o.xattr("p/d", "origin")?, None);
    let e = o.m("p/e");
    all(vec![
        Box::new(|| f::stat(o.m("p/d")).map(drop)) as Job<'_>,
        Box::new(|| f::stat(&e).map(drop)),
    ])?;
    for d in ["p", "p/d", "p/e"] {
        let v = o.xattr(d, "origin")?.unwrap_or_default();
        check!(v.len() > 20, "origin of {d}: {v:02x?}");
    }
    check_eq!(o.xattr("p", "impure")?, Some(b"y".to_vec()));
    check_eq!(o.xattr("", "impure")?, Some(b"y".to_vec()));
    Ok(())
}

/// "always encode the origin fh when index is enabled": with an index, what is copied up has a
/// handle; a mounter that may not decode handles gets no index, and writes empty ones.
fn origin_with_index_is_never_empty(t: &T) -> R {
    for weak in [false, true] {
        let mut o = t.ovl()?;
        f::write(o.low("a"), "x")?;
        f::mkdir(o.low("d"))?;
        o.opts = OFF.replace("index=off", "index=on");
        let fs = context(&t.ty, &o, &[("index", "on")])?;
        if weak {
            weak_creds(&fs, &[2])?;
        }
        finish(&fs, o.root())?;
        let indexed = mountinfo(o.root())?.3.contains("index=on");
        check_eq!(indexed, !weak, "the index is in use");
        f::append(o.m("a"), "+")?;
        f::chmod(o.m("d"), 0o711)?;
        for n in ["a", "d"] {
            let v = o.xattr(n, "origin")?;
            check_eq!(
                v.as_ref().map(|v| v.len() > 20),
                Some(!weak),
                "origin of {n}: {v:02x?}"
            );
        }
        o.umount()?;
    }
    Ok(())
}

/// Lets a process without these capabilities give the mount its credentials.
fn weak_creds(fs: &OwnedFd, caps: &[u32]) -> R {
    sys::spawn(|| {
        for c in caps {
            sys::drop_cap(*c)?;
        }
        f::ctx(fsconfig_set_flag(fs, "override_creds"), "fsconfig", "")?;
        Ok(String::new())
    })?
    .join()
    .map(drop)
}

/// "check that the parents of volatile/dirty are dirs": whatever somebody puts there while the
/// mount goes on, it ends with an error and not in a file that is taken for a directory.
fn parents_of_the_volatile_mark(t: &T) -> R {
    let o = t.ovl()?;
    let work = o.work.clone().unwrap_or_default();
    let incompat = work.join("work/incompat");
    let rounds = t.scaled(60, 10);
    let (mut mounted, mut refused) = (0u64, 0u64);
    beside(
        rounds,
        |_| {
            let ok = [
                libc::ENOTDIR,
                libc::EINVAL,
                libc::EEXIST,
                libc::ENOENT,
                libc::ESTALE,
            ];
            if may(o.mount_with("volatile"), &ok)?.is_some() {
                mounted += 1;
                // Where the work directory could not be cleaned, the mount is read-only.
                let marked = may(f::stat(incompat.join("volatile/dirty")), &ok)?;
                if marked.is_none() {
                    check_err!(f::write(o.m("x"), ""), EROFS);
                }
                o.umount()?;
            } else {
                refused += 1;
            }
            // Otherwise the next mount is refused because of the mark.
            may(
                f::ctx(std::fs::remove_dir_all(&incompat), "rm -r", &incompat),
                &[libc::ENOENT, libc::ENOTDIR, libc::ENOTEMPTY],
            )?;
            may(f::unlink(&incompat), &[libc::ENOENT, libc::EISDIR])?;
            Ok(())
        },
        || {
            let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
            let made = may(
                f::open(&incompat, flags, 0o600),
                &[libc::EEXIST, libc::ENOENT, libc::ENOTDIR],
            )?;
            if made.is_some() {
                may(f::unlink(&incompat), &[libc::ENOENT, libc::EISDIR])?;
            }
            Ok(())
        },
    )?;
    check_eq!(mounted + refused, rounds);
    f::mkdirs(incompat.join("volatile"))?;
    check_err!(o.mount(), EINVAL, "the mark of another mount");
    Ok(())
}

/// A tmpfs on which directories can be told to fold case, with layers that do.
fn folded(t: &T) -> R<Ovl> {
    let p = t.p("folded");
    f::mkdir(&p)?;
    let r = mount_raw("tmpfs", &p, "casefold", MountFlags::empty());
    if r.is_err() {
        return Err(Skip("this kernel's tmpfs cannot fold case".into()).into());
    }
    let o = t.layers_at(&p.join("o"), 1)?;
    let mut dirs = vec![o.low(""), o.up("")];
    dirs.extend(o.work.clone());
    for d in dirs {
        let h = f::open_ro(&d)?;
        f::ctx(
            sys::setflags(&h, sys::getflags(&h)? | 0x4000_0000),
            "chattr +F",
            d,
        )?;
    }
    Ok(o)
}

/// "check the casefold flag of directories only": files have no such flag.
fn casefold_of_directories_only(t: &T) -> R {
    let o = folded(t)?;
    f::write(o.low("File"), "lower")?;
    f::symlink("File", o.low("Link"))?;
    f::mkdir(o.low("Dir"))?;
    f::write(o.low("Dir/Inner"), "x")?;
    f::write(o.up("Upper"), "upper")?;
    o.mount()?;
    check_eq!(f::text(o.m("fILE"))?, "lower");
    check_eq!(f::text(o.m("LINK"))?, "lower");
    check_eq!(f::text(o.m("upper"))?, "upper");
    check_eq!(f::text(o.m("DIR/inner"))?, "x");
    f::append(o.m("FILE"), "+")?;
    f::write(o.m("dir/New"), "n")?;
    check_eq!(f::text(o.m("Dir/nEW"))?, "n");
    f::write(o.m("dir/Gone"), "g")?;
    f::unlink(o.m("dIR/gONE"))?;
    check_eq!(f::ls(o.m("Dir"))?, ["Inner", "New"]);
    // What is copied up has the name by which it was asked for.
    let mut names: Vec<String> = f::ls(o.root())?.iter().map(|n| n.to_lowercase()).collect();
    names.sort();
    check_eq!(names, ["dir", "file", "link", "upper"]);
    o.again()?;
    check_eq!(f::text(o.m("file"))?, "lower+");
    check_eq!(f::ls(o.m("DIR"))?, ["Inner", "New"]);
    o.umount()
}

/// "reserve space for the casefolded name terminator": a name of 255 bytes folds to as many.
fn casefold_of_the_longest_name(t: &T) -> R {
    let o = folded(t)?;
    let long = "N".repeat(255);
    f::write(o.low(&long), "x")?;
    f::write(o.up("n".repeat(254)), "y")?;
    o.mount()?;
    let mut want = vec![long.clone(), "n".repeat(254)];
    want.sort();
    check_eq!(f::ls(o.root())?, want);
    f::append(o.m(long.to_lowercase()), "+")?;
    check_eq!(f::text(o.m(&long))?, "x+");
    check_eq!(f::ls(o.root())?.len(), 2, "one name in two layers");
    f::unlink(o.m(long.to_lowercase()))?;
    check_eq!(f::ls(o.root())?, ["n".repeat(254)]);
    o.umount()
}

/// "do not copy up a dentry that was removed": an object that is open when its name goes must not
/// get the name back, nor that of something new, when it is changed through the descriptor.
fn no_copy_up_of_what_was_removed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("file"), "x")?;
    f::mkdir(o.low("dir"))?;
    f::write(o.low("again"), "x")?;
    f::mkdirs(o.low("p/q"))?;
    f::write(o.low("p/q/f"), "x")?;
    o.mount()?;
    let h: Vec<File> = ["file", "dir", "again", "p/q/f"]
        .iter()
        .map(|n| f::open_ro(o.m(n)))
        .collect::<R<_>>()?;
    f::unlink(o.m("file"))?;
    f::rmdir(o.m("dir"))?;
    f::unlink(o.m("again"))?;
    f::write(o.m("again"), "new")?;
    f::unlink(o.m("p/q/f"))?;
    f::rmdir(o.m("p/q"))?;
    f::rmdir(o.m("p"))?;
    let before = tree::snapshot(o.up(""), tree::NO_TIMES)?;
    for (i, h) in h.iter().enumerate() {
        let r = rustix::fs::fchmod(h, rustix::fs::Mode::from_raw_mode(0o640));
        check!(r.is_err(), "descriptor {i} of what was removed");
    }
    tree::same(
        "the upper",
        &before,
        &tree::snapshot(o.up(""), tree::NO_TIMES)?,
    )?;
    check_eq!(f::ls(o.root())?, ["again"]);
    check_eq!(f::text(o.m("again"))?, "new");
    drop(h);
    // One may be there: the whiteout that all whiteouts are links to.
    check!(o.work_entries()?.len() <= 1, "{:?}", o.work_entries()?);
    o.again()?;
    check_eq!(f::ls(o.root())?, ["again"]);
    Ok(())
}

/// A file of the lower with an attribute, and an empty capability behind it.
fn with_empty_capability(o: &Ovl, name: &str) -> R {
    f::write(o.low(name), f::pattern(1, 5000))?;
    f::setxattr(o.low(name), "user.long", vec![7; 300])?;
    f::setxattr(o.low(name), "security.aaa", vec![8; 200])?;
    match f::setxattr(o.low(name), CAPS, "") {
        Ok(()) => Ok(()),
        Err(e) => Err(Skip(format!("cannot make an empty capability: {e:#}")).into()),
    }
}

/// "do not copy up an xattr value that was never read": the value of the attribute before must
/// not end up in the one that could not be read.
fn value_that_could_not_be_read(t: &T) -> R {
    let o = t.ovl()?;
    with_empty_capability(&o, "a")?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(f::getxattr(o.up("a"), "user.long")?, vec![7; 300]);
    check_eq!(f::getxattr(o.up("a"), "security.aaa")?, vec![8; 200]);
    let names = f::listxattr(o.up("a"))?;
    check!(!names.iter().any(|n| n == CAPS), "{names:?}");
    Ok(())
}

/// "skip copy up of empty security.capability", when the data follows the metadata.
fn empty_capability_of_a_metacopy(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = "redirect_dir=on,index=off,metacopy=on,xino=off,nfs_export=off".into();
    with_empty_capability(&o, "a")?;
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    check!(o.xattr("a", "metacopy")?.is_some(), "metadata only");
    // The upper gets one, too.
    f::setxattr(o.up("a"), CAPS, "")?;
    f::append(o.m("a"), "+")?;
    check_eq!(o.xattr("a", "metacopy")?, None);
    check_eq!(f::stat(o.up("a"))?.size(), 5001);
    check_eq!(f::read(o.m("a"))?[..5000], f::pattern(1, 5000)[..]);
    Ok(())
}

/// "fix a torn path in ovl_get_redirect()": directories move into others while those are renamed;
/// each redirect must name a place that there was.
fn redirects_while_parents_move(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = OFF.replace("redirect_dir=off", "redirect_dir=on");
    let n = t.scaled(60, 8);
    for d in ["a/b/c", "z"] {
        f::mkdirs(o.low(d))?;
    }
    for i in 0..n {
        f::mkdir(o.low(format!("a/b/c/{i}")))?;
        f::write(o.low(format!("a/b/c/{i}/f")), format!("{i}"))?;
    }
    o.mount()?;
    let c = f::open_ro(o.m("a/b/c"))?;
    let z = f::open_ro(o.m("z"))?;
    let stop = &AtomicBool::new(false);
    let o = &o;
    all(vec![
        Box::new(move || {
            let r = (0..n).try_for_each(|i| {
                let k = format!("{i}");
                f::ctx(rustix::fs::renameat(&c, &k, &z, &k), "renameat", &k)
            });
            stop.store(true, Ordering::SeqCst);
            r
        }) as Job<'_>,
        Box::new(move || {
            let mut r = 0u64;
            // Back to the first name at the end.
            while !stop.load(Ordering::SeqCst) || r % 2 == 1 {
                let (x, y) = if r % 2 == 0 {
                    ("a", "long-name-of-a")
                } else {
                    ("long-name-of-a", "a")
                };
                f::rename(o.m(x), o.m(y))?;
                r += 1;
            }
            Ok(())
        }),
        Box::new(move || {
            let mut r = 0u64;
            while !stop.load(Ordering::SeqCst) || r % 2 == 1 {
                let (x, y) = if r % 2 == 0 { ("b", "bb") } else { ("bb", "b") };
                for p in ["a", "long-name-of-a"] {
                    if may(
                        f::rename(o.m(p).join(x), o.m(p).join(y)),
                        &[libc::ENOENT, libc::ESTALE],
                    )?
                    .is_some()
                    {
                        r += 1;
                        break;
                    }
                }
            }
            Ok(())
        }),
    ])?;
    for round in ["now", "after a remount"] {
        for i in 0..n {
            check_eq!(f::text(o.m(format!("z/{i}/f")))?, format!("{i}"), "{round}");
        }
        check_eq!(f::ls(o.m("a/b/c"))?, [""; 0], "{round}");
        if round == "now" {
            o.again()?;
        }
    }
    for i in 0..n {
        let r = o.xattr(format!("z/{i}"), "redirect")?.unwrap_or_default();
        check_eq!(String::from_utf8_lossy(&r), format!("/a/b/c/{i}"));
    }
    Ok(())
}

/// "fix mount setup failing when override_creds drops CAP_SYS_ADMIN".
fn override_creds_without_admin(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.low("b"), "x")?;
    let fs = context(&t.ty, &o, &[("index", "off"), ("metacopy", "off")])?;
    weak_creds(&fs, &[21])?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x");
    f::write(o.m("new"), "y")?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(f::text(o.up("new"))?, "y");
    o.umount()
}

/// "fortify ovl_copy_xattr() against underlying layer modifications": a value that grows and
/// shrinks in the lower is copied as it was at one time, or the copy fails.
fn attributes_that_change_below(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(60, 8);
    for i in 0..n {
        f::write(o.low(format!("{i}")), "x")?;
        f::setxattr(o.low(format!("{i}")), "user.a", vec![1; 10])?;
    }
    o.mount()?;
    let at = AtomicU64::new(0);
    beside(
        n,
        |i| {
            at.store(i, Ordering::SeqCst);
            let r = f::chmod(o.m(format!("{i}")), 0o600);
            if may(r, &[libc::EIO, libc::ERANGE, libc::ENODATA])?.is_none() {
                check!(!o.in_upper(format!("{i}"))?, "nothing half copied");
            }
            Ok(())
        },
        || {
            let p = o.low(format!("{}", at.load(Ordering::SeqCst)));
            for len in [10, 900, 2, 300] {
                f::setxattr(&p, "user.a", vec![len as u8; len])?;
            }
            f::setxattr(&p, "user.b", "1")?;
            f::removexattr(&p, "user.b")
        },
    )?;
    for i in 0..n {
        let k = format!("{i}");
        if o.in_upper(&k)? {
            let v = f::getxattr(o.up(&k), "user.a")?;
            check!(
                [1, 10, 132, 2, 44].contains(&v[0]) && v.iter().all(|b| *b == v[0]),
                "{k}: {} bytes of {}",
                v.len(),
                v[0]
            );
            check!(
                [2, 10, 300, 900].contains(&v.len()),
                "{k}: {} bytes",
                v.len()
            );
        }
    }
    check_eq!(o.work_entries()?, [""; 0], "leftovers");
    Ok(())
}

/// "read the nlink xattr of every indexed non-dir": when everything is indexed, a file has a name
/// more in the upper than it shows.
fn links_of_everything_indexed(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = FULL.into();
    f::write(o.low("one"), "x")?;
    f::write(o.low("two"), "x")?;
    f::link(o.low("two"), o.low("three"))?;
    f::symlink("x", o.low("link"))?;
    o.mount()?;
    for n in ["one", "two", "link"] {
        f::utimes(o.m(n), (1, 0), (1, 0))?;
    }
    check_eq!(f::stat(o.up("one"))?.nlink(), 2, "the name and the index");
    f::link(o.m("one"), o.m("one more"))?;
    for round in ["now", "without caches", "after a remount"] {
        match round {
            "without caches" => drop_caches()?,
            "after a remount" => o.again()?,
            _ => {}
        }
        let want = [
            ("one", 2),
            ("one more", 2),
            ("two", 2),
            ("three", 2),
            ("link", 1),
        ];
        for (n, k) in want {
            check_eq!(f::stat(o.m(n))?.nlink(), k, "{n} {round}");
        }
    }
    let h = f::ctx(handle(&o.m("one"), 0), "name_to_handle_at", "one")?;
    f::unlink(o.m("one more"))?;
    check_eq!(f::stat(o.m("one"))?.nlink(), 1);
    drop_caches()?;
    let by = f::ctx(
        open_handle(&File::open(o.root())?, &h, libc::O_RDONLY),
        "open_by_handle_at",
        "one",
    )?;
    check_eq!(by.metadata()?.nlink(), 1, "found by its handle");
    Ok(())
}

/// "set the revalidate flags after d_instantiate()": what is made above a lower that wants to be
/// asked again is found, and so is what another user of that lower changes.
fn created_above_a_revalidating_lower(t: &T) -> R {
    let inner = t.ovl()?;
    f::mkdirs(inner.low("d/sub"))?;
    f::write(inner.low("d/a"), "x")?;
    inner.mount()?;
    let mut o = t.ovl()?;
    o.lowers = vec![inner.mnt.clone()];
    o.mount()?;
    for i in 0..20 {
        let p = o.m(format!("d/{i}"));
        check_err!(f::stat(&p), ENOENT);
        match i % 4 {
            0 => f::write(&p, "new")?,
            1 => f::mkdir(&p)?,
            2 => f::symlink("a", &p)?,
            _ => f::link(o.m("d/a"), &p)?,
        }
        check!(f::exists(&p)?, "{i}");
    }
    check_err!(f::stat(o.m("d/late")), ENOENT);
    check_eq!(f::ls(o.m("d/sub"))?, [""; 0]);
    f::write(inner.m("d/sub/late"), "x")?;
    check_eq!(
        f::text(o.m("d/sub/late"))?,
        "x",
        "made below, not asked for before"
    );
    for i in 0..20 {
        let p = o.m(format!("d/{i}"));
        if i % 4 == 1 {
            f::rmdir(&p)?;
        } else {
            f::unlink(&p)?;
        }
        check_err!(f::stat(&p), ENOENT);
    }
    o.umount()?;
    inner.umount()
}
