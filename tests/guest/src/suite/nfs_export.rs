// SPDX-License-Identifier: GPL-2.0
//! `nfs_export=on`: handles that lead to the objects (F12, F52, F108).

use super::export::{kinds, wrapped};
use super::prelude::*;
use crate::sys::handles::{handle, open_handle, Fanotify, Handle};
use std::os::fd::AsFd;

cases! { "nfs_export";
    every_kind_opens;
    read_only_stack;
    handle_survives_copy_up_and_rename;
    deleted_is_stale;
    deleted_while_open;
    hard_links;
    write_to_a_lower_file;
    write_to_a_lower_hard_link;
    directories_are_made_findable;
    renamed_ancestors;
    unindexed_upper;
    other_module_opens_them;
    bad_handles;
    old_form;
    fanotify_filesystem_mark;
    parameter_is_off;
    shown_in_mountinfo;
}

/// An overlay with this many lowers, exported.
fn exported(t: &T, lowers: usize) -> R<Ovl> {
    let mut o = t.layers(lowers)?;
    o.opts = format!("{OFF},redirect_dir=on,index=on,nfs_export=on");
    Ok(o)
}

/// Opens a handle of any object, for looking at it.
fn look(o: &Ovl, h: &Handle) -> std::io::Result<File> {
    open_handle(&File::open(o.root())?, h, libc::O_PATH | libc::O_NOFOLLOW)
}

/// What two ways to an object have to agree in.
fn key(m: &std::fs::Metadata) -> (u64, u64, u32, u64, u64, u64, u32) {
    (
        m.dev(),
        m.ino(),
        m.mode(),
        m.nlink(),
        m.size(),
        m.rdev(),
        m.uid(),
    )
}

/// The handle leads to the object of this name.
#[track_caller]
fn leads_to(o: &Ovl, h: &Handle, name: impl AsRef<Path>) -> R {
    let name = name.as_ref();
    let found = f::ctx(look(o, h), "open the handle of", name)?;
    check_eq!(
        key(&found.metadata()?),
        key(&f::stat(o.m(name))?),
        "{}",
        name.display()
    );
    let link = f::readlink(format!("/proc/self/fd/{}", fd(&found)))?;
    if found.metadata()?.is_dir() {
        check_eq!(link, o.m(name), "the place of a directory is known");
    }
    Ok(())
}

fn fd(f: &File) -> i32 {
    use std::os::fd::AsRawFd;
    f.as_fd().as_raw_fd()
}

/// All of these handles lead to their objects: now, with nothing in memory, and after a remount.
#[track_caller]
fn all_lead(o: &Ovl, handles: &[(PathBuf, Handle)]) -> R {
    for round in ["at once", "caches dropped", "remounted", "again"] {
        match round {
            "caches dropped" => drop_caches()?,
            "remounted" => {
                o.umount()?;
                drop_caches()?;
                o.mount()?;
            }
            _ => (),
        }
        // First by handle: nothing has been looked up by name.
        for (n, h) in handles {
            f::ctx(look(o, h), round, n)?;
        }
        for (n, h) in handles {
            leads_to(o, h, n)?;
        }
    }
    Ok(())
}

fn handles(o: &Ovl, names: &[PathBuf]) -> R<Vec<(PathBuf, Handle)>> {
    let one = |n: &PathBuf| Ok((n.clone(), f::ctx(handle(&o.m(n), 0), "the handle of", n)?));
    names.iter().map(one).collect()
}

/// Objects of every kind from the lower, and new ones in `new`; of directories, the root too.
fn tree(o: &Ovl) -> R<Vec<PathBuf>> {
    let low = kinds(&o.low(""))?;
    o.mount()?;
    f::mkdir(o.m("new"))?;
    let mut all: Vec<PathBuf> = low.iter().map(PathBuf::from).collect();
    all.push("new".into());
    for n in kinds(&o.m("new"))? {
        all.push(Path::new("new").join(n));
    }
    all.push(PathBuf::new());
    Ok(all)
}

fn every_kind_opens(t: &T) -> R {
    let o = exported(t, 1)?;
    let all = tree(&o)?;
    let h = handles(&o, &all)?;
    for (n, h) in &h {
        let upper = n.starts_with("new") || n.as_os_str().is_empty();
        let real = if upper { o.up(n) } else { o.low(n) };
        check_eq!(*h, wrapped(&real, upper)?, "{}", n.display());
    }
    all_lead(&o, &h)?;
    let root = File::open(o.root())?;
    let find = |name: &str| h.iter().find(|(n, _)| n == Path::new(name)).map(|(_, h)| h);
    for (name, data) in [("file", "data"), ("new/dir/sub/inner", "inner")] {
        let mut text = String::new();
        open_handle(&root, find(name).unwrap(), libc::O_RDONLY)?.read_to_string(&mut text)?;
        check_eq!(text, data);
    }
    Ok(())
}

fn read_only_stack(t: &T) -> R {
    let mut o = t.ovl_ro(3)?;
    o.opts = "redirect_dir=nofollow,metacopy=off,xino=off,nfs_export=on".into();
    let names = kinds(&o.lown(2, ""))?;
    f::mkdir(o.lown(0, "dir"))?;
    f::write(o.lown(1, "file"), "above")?;
    f::mkdirs(o.lown(1, "p/q/r"))?;
    f::mkdirs(o.lown(0, "p/q"))?;
    o.mount()?;
    let mut all: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    all.extend(["p", "p/q", "p/q/r"].map(PathBuf::from));
    let h = handles(&o, &all)?;
    all_lead(&o, &h)?;
    // The root of a lower layer has its place in the inode cache taken, against overlapping layers.
    let root = handle(o.root(), 0)?;
    check_eq!(root, wrapped(&o.low(""), false)?);
    check_err!(look(&o, &root), ESTALE, "the root");
    // What is covered is not found by the handle of what covers it.
    let covered = wrapped(&o.lown(2, "file"), false)?;
    check_ne!(
        look(&o, &covered)?.metadata()?.ino(),
        f::stat(o.m("file"))?.ino(),
        "the object that is covered"
    );
    Ok(())
}

fn handle_survives_copy_up_and_rename(t: &T) -> R {
    let o = exported(t, 1)?;
    let all = tree(&o)?;
    let before = handles(&o, &all)?;
    for n in [
        "dir/sub",
        "dir",
        "file",
        "fifo",
        "socket",
        "chr",
        "blk",
        "dir/sub/inner",
    ] {
        f::chown(o.m(n), 12, 34)?;
    }
    check_eq!(handles(&o, &all)?, before, "after copy-up");
    all_lead(&o, &before)?;
    check_eq!(handles(&o, &all)?, before, "after copy-up and remount");

    f::rename(o.m("dir"), o.m("moved"))?;
    f::rename(o.m("moved/sub"), o.m("new/sub"))?;
    let mut after = Vec::new();
    for (n, h) in before {
        let n = match n.strip_prefix("dir") {
            Ok(rest) => match rest.strip_prefix("sub") {
                Ok(rest) => Path::new("new/sub").join(rest),
                Err(_) => Path::new("moved").join(rest),
            },
            Err(_) => n,
        };
        // Without the slash at the end that joining nothing leaves.
        let n: PathBuf = n.components().collect();
        let name = n.file_name().map(|s| s.to_string_lossy().into_owned());
        if n.parent() == Some(Path::new(""))
            && !["new", "moved"].contains(&&*name.unwrap_or_default())
        {
            let to = PathBuf::from(format!("{}.x", n.display()));
            f::rename(o.m(&n), o.m(&to))?;
            after.push((to, h));
        } else {
            after.push((n, h));
        }
    }
    for (n, h) in &after {
        check_eq!(handle(&o.m(n), 0)?, *h, "{} after a rename", n.display());
    }
    all_lead(&o, &after)
}

fn deleted_is_stale(t: &T) -> R {
    let o = exported(t, 1)?;
    let all = tree(&o)?;
    f::chmod(o.m("fifo"), 0o600)?;
    f::chmod(o.m("dir/sub"), 0o700)?;
    let mut h = handles(&o, &all)?;
    h.retain(|(n, _)| !n.as_os_str().is_empty());
    // What is inside first.
    h.sort_by_key(|(n, _)| std::cmp::Reverse(n.components().count()));
    for (n, _) in &h {
        if f::stat(o.m(n))?.is_dir() {
            f::rmdir(o.m(n))?;
        } else {
            f::unlink(o.m(n))?;
        }
    }
    for round in ["at once", "caches dropped", "remounted"] {
        match round {
            "caches dropped" => drop_caches()?,
            "remounted" => o.again()?,
            _ => (),
        }
        for (n, h) in &h {
            check_err!(look(&o, h), ESTALE, "{} {round}", n.display());
        }
    }
    Ok(())
}

fn deleted_while_open(t: &T) -> R {
    let o = exported(t, 1)?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    f::write(o.m("b"), "b")?;
    for n in ["a", "b"] {
        let h = handle(&o.m(n), 0)?;
        let mut keep = f::open_ro(o.m(n))?;
        f::unlink(o.m(n))?;
        check_eq!(f::drain(&mut keep)?, n.as_bytes());
        // An inode without a name that is still in memory: what a handle does then is up to the
        // layers, but it leads to nothing else.
        if let Ok(mut found) = open_handle(&File::open(o.root())?, &h, libc::O_RDONLY) {
            check_eq!(f::drain(&mut found)?, n.as_bytes());
        }
        drop(keep);
        drop_caches()?;
        check_err!(look(&o, &h), ESTALE, "{n}");
    }
    Ok(())
}

fn hard_links(t: &T) -> R {
    let o = exported(t, 1)?;
    f::write(o.low("a"), "one")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    let h = handle(&o.m("a"), 0)?;
    check_eq!(handle(&o.m("b"), 0)?, h);
    f::chmod(o.m("b"), 0o600)?;
    f::link(o.m("a"), o.m("c"))?;
    let names = ["a", "b", "c"].map(|n| (PathBuf::from(n), h.clone()));
    all_lead(&o, &names)?;
    check_eq!(f::stat(o.m("a"))?.nlink(), 3);
    for (gone, left) in [("a", "b"), ("b", "c")] {
        f::unlink(o.m(gone))?;
        all_lead(&o, &[(PathBuf::from(left), h.clone())])?;
    }
    f::unlink(o.m("c"))?;
    drop_caches()?;
    check_err!(look(&o, &h), ESTALE);
    o.again()?;
    check_err!(look(&o, &h), ESTALE);
    Ok(())
}

fn write_to_a_lower_file(t: &T) -> R {
    let o = exported(t, 1)?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/file"), "old")?;
    o.mount()?;
    let h = handle(&o.m("d/e/file"), 0)?;
    o.again()?;
    drop_caches()?;
    {
        let root = File::open(o.root())?;
        let mut file = open_handle(&root, &h, libc::O_RDWR)?;
        check!(!o.in_upper("d")?, "it has no place in the upper yet");
        file.write_all(b"new")?;
        check_eq!(f::pread(&file, 0, 10)?, b"new");
    }
    check_eq!(f::text(o.m("d/e/file"))?, "new");
    check_eq!(handle(&o.m("d/e/file"), 0)?, h);
    check_eq!(f::text(o.low("d/e/file"))?, "old");
    o.again()?;
    drop_caches()?;
    check_eq!(f::text(o.m("d/e/file"))?, "new");
    f::append(o.m("d/e/file"), "er")?;
    check_eq!(f::text(o.up("d/e/file"))?, "newer");
    all_lead(&o, &[("d/e/file".into(), h.clone())])?;
    f::unlink(o.m("d/e/file"))?;
    drop_caches()?;
    check_err!(look(&o, &h), ESTALE);
    Ok(())
}

fn write_to_a_lower_hard_link(t: &T) -> R {
    let o = exported(t, 1)?;
    f::write(o.low("a"), "old")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    let h = handle(&o.m("a"), 0)?;
    o.again()?;
    drop_caches()?;
    {
        let root = File::open(o.root())?;
        open_handle(&root, &h, libc::O_WRONLY)?.write_all(b"new")?;
    }
    for n in ["b", "a"] {
        check_eq!(f::text(o.m(n))?, "new", "{n}");
        check_eq!(f::stat(o.m(n))?.nlink(), 2, "{n}");
    }
    o.again()?;
    f::chmod(o.m("b"), 0o600)?;
    check_eq!(f::stat(o.m("a"))?.mode() & 0o777, 0o600);
    all_lead(&o, &[("a".into(), h.clone()), ("b".into(), h)])
}

fn directories_are_made_findable(t: &T) -> R {
    let o = exported(t, 2)?;
    f::mkdir(o.lown(0, "a"))?;
    f::mkdirs(o.lown(1, "a/b/c/d"))?;
    f::mkdirs(o.lown(1, "e/f"))?;
    o.mount()?;
    let c = handle(&o.m("a/b/c"), 0)?;
    check!(
        o.in_upper("a/b")?,
        "the directory at the border is copied up"
    );
    check!(!o.in_upper("a/b/c")?, "the one inside is not");
    let f_ = handle(&o.m("e/f"), 0)?;
    check!(!o.in_upper("e")?, "no border: nothing is copied up");
    let d = handle(&o.m("a/b/c/d"), 0)?;
    check!(!o.in_upper("a/b/c")?);
    check_eq!(c, wrapped(&o.lown(1, "a/b/c"), false)?);
    let names = [("a/b/c", &c), ("e/f", &f_), ("a/b/c/d", &d)];
    all_lead(&o, &names.map(|(n, h)| (PathBuf::from(n), h.clone())))?;
    f::rename(o.m("a"), o.m("z"))?;
    f::rename(o.m("z/b"), o.m("e/b"))?;
    let names = [("e/b/c", &c), ("e/f", &f_), ("e/b/c/d", &d)];
    all_lead(&o, &names.map(|(n, h)| (PathBuf::from(n), h.clone())))
}

fn renamed_ancestors(t: &T) -> R {
    let o = exported(t, 1)?;
    f::mkdirs(o.low("a/b/c/d/e"))?;
    f::write(o.low("a/b/c/d/e/f"), "x")?;
    o.mount()?;
    f::mkdirs(o.m("p/q"))?;
    let e = handle(&o.m("a/b/c/d/e"), 0)?;
    let f_ = handle(&o.m("a/b/c/d/e/f"), 0)?;
    f::rename(o.m("a/b/c"), o.m("p/q/c2"))?;
    f::rename(o.m("a/b"), o.m("p/b2"))?;
    f::rename(o.m("p/q"), o.m("q2"))?;
    all_lead(
        &o,
        &[("q2/c2/d/e".into(), e.clone()), ("q2/c2/d/e/f".into(), f_)],
    )?;
    // A file that was created in a directory that came from a handle.
    drop_caches()?;
    let dir = open_handle(
        &File::open(o.root())?,
        &e,
        libc::O_RDONLY | libc::O_DIRECTORY,
    )?;
    f::write(format!("/proc/self/fd/{}/new", fd(&dir)), "n")?;
    check_eq!(f::text(o.m("q2/c2/d/e/new"))?, "n");
    Ok(())
}

fn unindexed_upper(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("file"), "x")?;
    f::mkdirs(o.low("d/e"))?;
    o.mount()?;
    f::chmod(o.m("file"), 0o600)?;
    f::chmod(o.m("d"), 0o700)?;
    o.umount()?;
    o.opts = format!("{OFF},redirect_dir=on,index=on,nfs_export=on");
    o.mount()?;
    let h = handles(&o, &["file", "d", "d/e"].map(PathBuf::from))?;
    check_eq!(h[0].1, wrapped(&o.up("file"), true)?);
    check_eq!(h[1].1, wrapped(&o.up("d"), true)?);
    check!(o.in_upper("d/e")?, "below one that is not indexed");
    check_eq!(h[2].1, wrapped(&o.low("d/e"), false)?);
    // Found by its upper part alone, a file is another object than the one with an origin that its
    // name leads to: whichever comes first, stays. Directories are found by their names anyway.
    for round in 0..2 {
        leads_to(&o, &h[0].1, "file")?;
        if round == 0 {
            o.again()?;
            drop_caches()?;
            f::stat(o.m("file"))?;
        }
    }
    all_lead(&o, &h[1..])
}

fn other_module_opens_them(t: &T) -> R {
    let mut o = exported(t, 2)?;
    f::mkdir(o.lown(0, "a"))?;
    f::mkdirs(o.lown(1, "a/b/c"))?;
    let mut all = tree(&o)?;
    all.extend(["a", "a/b", "a/b/c"].map(PathBuf::from));
    for n in ["dir/sub", "file", "hard1", "symlink"] {
        f::rename(o.m(n), o.m(format!("{n}.x")))?;
        f::rename(o.m(format!("{n}.x")), o.m(n))?;
    }
    f::write(o.m("gone"), "x")?;
    f::write(o.low("unused"), "x")?;
    let mut h = handles(&o, &all)?;
    h.sort_by(|a, b| a.0.cmp(&b.0));
    let gone = handle(&o.m("gone"), 0)?;
    let fifo = handle(&o.m("fifo"), 0)?;
    h.retain(|(n, _)| n != Path::new("fifo"));
    f::unlink(o.m("gone"))?;
    f::unlink(o.m("fifo"))?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    o.mount()?;
    all_lead(&o, &h)?;
    let names: Vec<PathBuf> = h.iter().map(|(n, _)| n.clone()).collect();
    check_eq!(
        handles(&o, &names)?,
        h,
        "the other module gives the same handles"
    );
    check_err!(look(&o, &gone), ESTALE);
    check_err!(look(&o, &fifo), ESTALE);
    o.umount()
}

fn bad_handles(t: &T) -> R {
    let o = exported(t, 1)?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::write(o.m("b"), "y")?;
    for n in ["a", "b"] {
        let good = handle(&o.m(n), 0)?;
        let mut bad = Vec::new();
        let mut with = |what: &'static str, change: &dyn Fn(&mut Handle)| {
            let mut h = good.clone();
            change(&mut h);
            bad.push((what, h));
        };
        with("type of the layer", &|h| h.kind = 1);
        with("unknown type", &|h| h.kind = 0x77);
        with("old form without its padding", &|h| h.kind = 0xfb);
        with("magic", &|h| h.bytes[4] ^= 1);
        with("version", &|h| h.bytes[3] = 1);
        with("stated length", &|h| h.bytes[5] = 255);
        with("short stated length", &|h| h.bytes[5] = 22);
        with("big endian", &|h| h.bytes[6] |= 1);
        with("unknown flag", &|h| h.bytes[6] |= 0x80);
        with("the other layer's uuid", &|h| h.bytes[10] ^= 1);
        if t.fs != "tmpfs" {
            // tmpfs does not look at it.
            with("type of the file identifier", &|h| h.bytes[7] = 0x66);
        }
        with("file identifier", &|h| {
            h.bytes[24..].iter_mut().for_each(|b| *b ^= 0xa5);
        });
        with("truncated", &|h| h.bytes.truncate(24));
        with("truncated header", &|h| h.bytes.truncate(20));
        with("one word", &|h| h.bytes.truncate(4));
        with("empty record", &|h| h.bytes = vec![0; 32]);
        with("noise", &|h| h.bytes = f::pattern(7, 128));
        for (what, h) in bad {
            check_err!(look(&o, &h), ESTALE, "{n}: {what}");
        }
        leads_to(&o, &good, n)?;
    }
    Ok(())
}

fn old_form(t: &T) -> R {
    let o = exported(t, 1)?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::write(o.m("b"), "y")?;
    for n in ["a", "b", "d"] {
        let new = handle(&o.m(n), 0)?;
        let mut bytes = new.bytes[3..].to_vec();
        bytes.extend([0; 3]);
        let old = Handle { kind: 0xfb, bytes };
        drop_caches()?;
        leads_to(&o, &old, n)?;
    }
    Ok(())
}

fn fanotify_filesystem_mark(t: &T) -> R {
    let o = exported(t, 1)?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    let mut fan = Fanotify::new(libc::FAN_REPORT_FID | libc::FAN_REPORT_DIR_FID)?;
    let mask = libc::FAN_MODIFY | libc::FAN_ATTRIB;
    fan.mark(libc::FAN_MARK_FILESYSTEM, mask, o.root())?;
    f::append(o.m("d/e/a"), "y")?;
    let events = fan.events()?;
    let hit = events.iter().find(|e| e.mask & libc::FAN_MODIFY != 0);
    let Some(hit) = hit else {
        anyhow::bail!("no event: {events:?}")
    };
    drop_caches()?;
    for (kind, h, _) in &hit.records {
        match kind {
            1 => leads_to(&o, h, "d/e/a")?,
            _ => leads_to(&o, h, "d/e")?,
        }
    }
    Ok(())
}

fn parameter_is_off(t: &T) -> R {
    let p = format!("/sys/module/{}/parameters/nfs_export", t.ty);
    let text = f::text(p)?;
    check_eq!(text.trim(), "N");
    Ok(())
}

fn shown_in_mountinfo(t: &T) -> R {
    let o = exported(t, 1)?;
    o.mount()?;
    let (_, _, _, shown) = mountinfo(o.root())?;
    for want in ["index=on", "nfs_export=on"] {
        check!(shown.split(',').any(|s| s == want), "{want} in {shown}");
    }
    // It brings the index along.
    let p = t.ovl()?;
    p.mount_only(&format!("{},nfs_export=on", p.layer_opts()))?;
    let (_, _, _, shown) = mountinfo(p.root())?;
    check!(shown.contains("index=on") && shown.contains("nfs_export=on"));
    p.umount()?;
    // A read-only mount with an upper has none.
    check_err!(
        o.umount().and_then(|()| o.mount_with("index=off")),
        EINVAL,
        "nfs_export=on,index=off"
    );
    Ok(())
}
