// SPDX-License-Identifier: GPL-2.0
//! Layers of many kinds: every upper over every lower, what each pair can do, and that it is what
//! the kernel's own overlay can do with it. The rows of `docs/layers.md` are what these tests found
//! (F26, F29-F33, F48-F53, F117).
//!
//! With `OVL_LAYERS=print` in the environment the rows are printed instead of compared with those
//! of the file: `make layers`.

use super::prelude::*;
use crate::check::{errno_name, Errno};
use crate::kinds::{self, Lower, ACL, FILE_LEN, KINDS, MTIME, NOTE};
use crate::sys::handles::{handle, open_handle};
use anyhow::Context;
use std::collections::BTreeMap;

const COMPARES: &str = "compares with the kernel's own overlay";

cases! { "layers";
    over_same.rs_only(COMPARES).also_on(&["btrfs"]);
    over_ext4.rs_only(COMPARES).also_on(&["btrfs"]);
    over_xfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_btrfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_tmpfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_ramfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_squashfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_erofs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_iso9660.rs_only(COMPARES).also_on(&["btrfs"]);
    over_plain_iso9660.rs_only(COMPARES).also_on(&["btrfs"]);
    over_joliet_iso9660.rs_only(COMPARES).also_on(&["btrfs"]);
    over_vfat.rs_only(COMPARES).also_on(&["btrfs"]);
    over_nfs.rs_only(COMPARES).also_on(&["btrfs"]);
    over_fuse.rs_only(COMPARES).also_on(&["btrfs"]);
    over_overlay.rs_only(COMPARES).also_on(&["btrfs"]);
    over_overlay_rs.rs_only(COMPARES).also_on(&["btrfs"]);
    without_upper.rs_only(COMPARES).only_fs(&["tmpfs"], "goes through all kinds by itself");
    table_is_whole.rs_only("reads a file").only_fs(&["tmpfs"], "no file system is involved");
}

/// What is asked of every pair, in the order of the table's columns.
const COLUMNS: &[&str] = &[
    "mounts",
    "reads",
    "d_ino",
    "marks",
    "copy-up",
    "xattrs",
    "ACLs",
    "clone",
    "whiteout",
    "st_ino",
    "st_dev",
    "xino=auto",
    "links",
    "redirect",
    "metacopy",
    "export",
    "O_TMPFILE",
    "statfs",
];
/// In a cell: there is no such thing in this lower, or nothing to do it with.
const NOTHING: &str = "–";
/// How a row of a stack without an upper begins.
const NO_UPPER: &str = "none";
const UPPERS: &[&str] = &["ext4", "xfs", "btrfs", "tmpfs"];

/// What was found: the cells of a row by their columns, and by other names what is compared with
/// the other module only.
type Row = BTreeMap<String, String>;

const TABLE: &str = include_str!("../../../../docs/layers.md");

fn over_same(t: &T) -> R {
    over(t, "same")
}

fn over_ext4(t: &T) -> R {
    over(t, "ext4")
}

fn over_xfs(t: &T) -> R {
    over(t, "xfs")
}

fn over_btrfs(t: &T) -> R {
    over(t, "btrfs")
}

fn over_tmpfs(t: &T) -> R {
    over(t, "tmpfs")
}

fn over_ramfs(t: &T) -> R {
    over(t, "ramfs")
}

fn over_squashfs(t: &T) -> R {
    over(t, "squashfs")
}

fn over_erofs(t: &T) -> R {
    over(t, "erofs")
}

fn over_iso9660(t: &T) -> R {
    over(t, "iso9660")
}

fn over_plain_iso9660(t: &T) -> R {
    over(t, "iso9660, plain")
}

fn over_joliet_iso9660(t: &T) -> R {
    over(t, "iso9660, Joliet")
}

fn over_vfat(t: &T) -> R {
    over(t, "vfat")
}

fn over_nfs(t: &T) -> R {
    over(t, "nfs")
}

fn over_fuse(t: &T) -> R {
    over(t, "fuse")
}

fn over_overlay(t: &T) -> R {
    over(t, "overlay")
}

fn over_overlay_rs(t: &T) -> R {
    over(t, "overlay_rs")
}

/// An upper on the file system under test over a lower of this kind.
fn over(t: &T, kind: &str) -> R {
    let lower = kinds::lower(t, &t.fs, kind)?;
    pair(t, &t.fs, kind, &lower)
}

fn without_upper(t: &T) -> R {
    for kind in KINDS.iter().filter(|k| **k != "same") {
        let lower = match kinds::lower(t, NO_UPPER, kind) {
            Err(e) if e.is::<Skip>() => continue,
            r => r?,
        };
        pair(t, NO_UPPER, kind, &lower)?;
        drop(lower);
        for left in f::ls(&t.dir)? {
            std::fs::remove_dir_all(t.p(&left)).or_else(|_| std::fs::remove_file(t.p(&left)))?;
        }
        for left in f::ls(&t.other)? {
            std::fs::remove_dir_all(t.other.join(left))?;
        }
    }
    Ok(())
}

/// Both modules on the same lower, then the table.
fn pair(t: &T, upper: &str, kind: &str, lower: &Lower) -> R {
    let ours = row(t, &t.ty, upper, lower)?;
    let theirs = row(t, t.other_ty()?, upper, lower)?;
    check_eq!(ours, theirs, "{upper} over {kind}: what both modules do");
    let begin = line_begin(upper, kind);
    let cell = |c: &&str| ours.get(*c).map_or(NOTHING, |v| v.as_str());
    let cells: Vec<&str> = COLUMNS.iter().map(cell).collect();
    let line = format!("{begin} {} |", cells.join(" | "));
    if printing() {
        let at = pairs().iter().position(|p| *p == (upper, kind));
        println!("LAYERS {} {line}", 2 + at.context("a pair of the table")?);
        return Ok(());
    }
    let known = TABLE.lines().find(|l| l.starts_with(&begin));
    check_eq!(
        Some(&*line),
        known,
        "the row of docs/layers.md (`make layers` writes it anew)"
    );
    Ok(())
}

fn printing() -> bool {
    std::env::var("OVL_LAYERS").is_ok_and(|v| v == "print")
}

fn line_begin(upper: &str, kind: &str) -> String {
    format!("| {upper} | {kind} |")
}

/// Every pair, in the order of the table.
fn pairs() -> Vec<(&'static str, &'static str)> {
    let of = |upper: &'static str| KINDS.iter().map(move |kind| (upper, *kind));
    let all = UPPERS.iter().chain(&[NO_UPPER]).flat_map(|upper| of(upper));
    all.filter(|p| *p != (NO_UPPER, "same")).collect()
}

/// The file has a row for every pair, in order, and no other.
fn table_is_whole(_: &T) -> R {
    let head = format!("| upper | lower | {} |", COLUMNS.join(" | "));
    if printing() {
        println!("LAYERS 0 {head}");
        println!("LAYERS 1 {}|", "| --- ".repeat(2 + COLUMNS.len()));
        return Ok(());
    }
    let at = TABLE.lines().position(|l| l == head);
    let at = at.with_context(|| format!("docs/layers.md has no table with the columns {head}"))?;
    let got: Vec<&str> = TABLE.lines().skip(at + 2).collect();
    let want: Vec<String> = pairs().iter().map(|(u, k)| line_begin(u, k)).collect();
    check_eq!(got.len(), want.len(), "rows of docs/layers.md");
    for (got, want) in got.iter().zip(&want) {
        check!(got.starts_with(want), "a row begins {want}: {got}");
    }
    Ok(())
}

/// Everything that is asked of one pair.
fn row(t: &T, ty: &str, upper: &str, lower: &Lower) -> R<Row> {
    let mut row = Row::new();
    let stack = |opts: &str| -> R<Ovl> {
        let mut o = t.layers(0)?;
        o.ty = ty.into();
        o.lowers = lower.layers();
        o.opts = opts.into();
        if upper == NO_UPPER {
            o.upper = None;
            o.work = None;
        }
        Ok(o)
    };
    let plain = stack("index=off,redirect_dir=off,metacopy=off,nfs_export=off,xino=auto")?;
    let mounted = plain.mount();
    row.insert("mounts".into(), word(&mounted));
    if mounted.is_err() {
        return Ok(row);
    }
    let mut put = |column: &str, cell: String| drop(row.insert(column.into(), cell));
    put("options", options(&plain)?);
    put("xino=auto", xino(&plain)?);
    put("reads", reads(&plain, lower)?);
    put("d_ino", d_ino(&plain)?);
    put("marks", marks(&plain, lower)?);
    put("statfs", statfs(&plain, lower)?);
    if upper == NO_UPPER {
        put("st_dev", st_dev(&plain, &["file", "dir/inner", "dir/top"])?);
        put("st_ino", remounted_ino(&plain)?);
        plain.umount()?;
        let export = stack("redirect_dir=nofollow,metacopy=off,xino=off,nfs_export=on")?;
        export.mount()?;
        put("options to export", options(&export)?);
        put("export", exported(&export)?);
        export.umount()?;
        return Ok(row);
    }
    put("O_TMPFILE", word(&tmpfile(&plain)));
    put("st_ino", st_ino(&plain)?);
    put("copy-up", copy_up(&plain, lower)?);
    put("xattrs", kept(&plain, lower, NOTE)?);
    put("ACLs", kept(&plain, lower, ACL)?);
    put("clone", cloned(&plain)?);
    put("whiteout", whiteout(&plain)?);
    put(
        "st_dev",
        st_dev(
            &plain,
            &["file", "link", "dir/inner", "dir/top", "dir/made"],
        )?,
    );
    plain.umount()?;

    let full = stack("index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on")?;
    full.mount()?;
    put("options of the index", options(&full)?);
    put("links", links(&full, lower)?);
    put("redirect", redirect(&full)?);
    put("export", exported(&full)?);
    full.umount()?;

    let meta = stack("index=off,redirect_dir=on,metacopy=on,xino=off,nfs_export=off")?;
    meta.mount()?;
    put("options of metacopy", options(&meta)?);
    put("metacopy", metacopy(&meta)?);
    meta.umount()?;
    Ok(row)
}

/// `yes`, or the errno.
fn word<X>(r: &R<X>) -> String {
    match r {
        Ok(_) => "yes".into(),
        Err(e) => e.errno().map_or("error".into(), errno_name),
    }
}

fn yes(b: bool) -> String {
    if b { "yes" } else { "no" }.into()
}

/// What the mount says of itself, without the names of the layers.
fn options(o: &Ovl) -> R<String> {
    let (_, _, _, all) = mountinfo(o.root())?;
    let of_layers = ["lowerdir", "upperdir", "workdir"];
    let rest: Vec<&str> = all
        .split(',')
        .filter(|x| !of_layers.iter().any(|l| x.starts_with(l)))
        .collect();
    Ok(rest.join(","))
}

fn xino(o: &Ovl) -> R<String> {
    let all = options(o)?;
    let shown = all.split(',').find_map(|x| x.strip_prefix("xino="));
    Ok(shown.unwrap_or("off").into())
}

/// Every object of the lower is there, as the lower has it; and what type readdir says it has.
fn reads(o: &Ovl, lower: &Lower) -> R<String> {
    let hidden = ["hidden", "opaque/old"];
    for e in walkdir::WalkDir::new(lower.two("")) {
        let e = e?;
        let name = e.path().strip_prefix(lower.two(""))?;
        if name.as_os_str().is_empty() || hidden.iter().any(|h| Path::new(h) == name) {
            continue;
        }
        // One that is merged has the attributes of the upper one of the two.
        let real = if f::exists(lower.one(name))? {
            lower.one(name)
        } else {
            e.path().to_path_buf()
        };
        let what = tree::What {
            mtime: true,
            nlink: true,
            ino: false,
        };
        let (got, want) = (described(&o.m(name), what)?, described(&real, what)?);
        check_eq!(got, want, "{}", name.display());
    }
    check_eq!(f::ls(o.m("dir"))?, ["inner", "sub", "top"]);
    check_eq!(f::text(o.m("dir/top"))?, "top");
    let mut typed = true;
    for (m, e) in entries(o)? {
        typed &= u32::from(e.kind) == m.mode() >> 12 & 0xf;
    }
    Ok(if typed { "yes" } else { "untyped" }.into())
}

/// As [`tree::describe`], without attributes: those that an overlay hides are not in question.
fn described(p: &Path, what: tree::What) -> R<String> {
    let all = tree::describe(p, what)?;
    Ok(all
        .split(' ')
        .filter(|w| !w.contains("trusted.overlay") && !w.starts_with("system."))
        .collect::<Vec<_>>()
        .join(" "))
}

/// The entries of some directories: merged, of one layer, the root. (Where listings have no types, a
/// whiteout is listed, too: it cannot be told from a file.)
fn entries(o: &Ovl) -> R<Vec<(std::fs::Metadata, sys::Dirent)>> {
    let mut all = Vec::new();
    for d in ["", "dir", "dir/sub", "moved", "moved/inside"] {
        let d = o.m(d);
        for e in sys::getdents(&f::open_ro(&d)?, 1 << 15)? {
            if e.name != "." && e.name != ".." && f::exists(d.join(&e.name))? {
                all.push((f::stat(d.join(&e.name))?, e));
            }
        }
    }
    Ok(all)
}

/// Whether listings have the inode numbers that `stat` has.
fn d_ino(o: &Ovl) -> R<String> {
    let mut same = true;
    for (m, e) in entries(o)? {
        same &= m.ino() == e.ino;
    }
    Ok(if same { "as st_ino" } else { "other" }.into())
}

/// Marks of the upper one of two lowers: the whiteout, the opaque directory.
fn marks(o: &Ovl, lower: &Lower) -> R<String> {
    let mut obeyed = Vec::new();
    let mark = lower.one("hidden");
    if !f::exists(&mark)? {
        check_eq!(f::text(o.m("hidden"))?, "hidden");
    } else if f::stat(&mark)?.file_type().is_char_device() && f::stat(&mark)?.rdev() == 0 {
        check_err!(f::stat(o.m("hidden")), ENOENT);
        let listed = f::ls(o.root())?.contains(&"hidden".into());
        obeyed.push(if listed {
            "whiteout (listed)"
        } else {
            "whiteout"
        });
    }
    if f::getxattr(lower.one("opaque"), "trusted.overlay.opaque").is_ok() {
        check_eq!(f::ls(o.m("opaque"))?, ["new"]);
        obeyed.push("opaque");
    } else {
        check_eq!(f::ls(o.m("opaque"))?, ["new", "old"]);
    }
    Ok(match obeyed[..] {
        [] => NOTHING.into(),
        _ => obeyed.join(", "),
    })
}

fn statfs(o: &Ovl, lower: &Lower) -> R<String> {
    let s = rustix::fs::statfs(o.root())?;
    check_eq!(s.f_type, 0x794c_7630, "the magic number");
    let size = |p: &Path| -> R<_> {
        let s = rustix::fs::statvfs(p)?;
        Ok((s.f_bsize, s.f_blocks, s.f_files))
    };
    let of = if o.upper.is_some() {
        o.up("")
    } else {
        lower.one("")
    };
    // btrfs counts its inodes anew for every file.
    let (got, want) = (size(o.root())?, size(&of)?);
    check_eq!((got.0, got.1), (want.0, want.1));
    Ok(if o.upper.is_some() { "upper" } else { "lower" }.into())
}

/// Whether all these have one device number, or one for each file system.
fn st_dev(o: &Ovl, names: &[&str]) -> R<String> {
    let dir = f::stat(o.m("dir"))?.dev();
    let mut one = true;
    for n in names {
        if f::exists(o.m(n))? {
            one &= f::stat(o.m(n))?.dev() == dir;
        }
    }
    Ok(if one { "one" } else { "several" }.into())
}

fn tmpfile(o: &Ovl) -> R {
    let mut file = f::open(o.m("dir"), libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
    file.write_all(b"made")?;
    let from = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
    let follow = rustix::fs::AtFlags::SYMLINK_FOLLOW;
    let cwd = rustix::fs::CWD;
    let to = o.m("dir/made");
    f::ctx(rustix::fs::linkat(cwd, from, cwd, &to, follow), "link", &to)?;
    check_eq!(f::text(&to)?, "made");
    Ok(())
}

/// The inode number of a file and of a directory in three moments of their lives.
fn st_ino(o: &Ovl) -> R<String> {
    let names = ["dir/inner", "dir/sub"];
    let all = || -> R<Vec<u64>> { names.iter().map(|n| Ok(f::stat(o.m(n))?.ino())).collect() };
    let before = all()?;
    f::chmod(o.m("dir/inner"), 0o600)?;
    f::chmod(o.m("dir/sub"), 0o700)?;
    let after = all()?;
    o.again()?;
    drop_caches()?;
    Ok(match (after == before, all()? == before) {
        (true, true) => "persistent",
        (true, false) => "constant",
        (false, _) => "changes",
    }
    .into())
}

fn remounted_ino(o: &Ovl) -> R<String> {
    let all = || -> R<_> { Ok((f::stat(o.m("dir/inner"))?.ino(), f::stat(o.m("dir"))?.ino())) };
    let before = all()?;
    o.again()?;
    drop_caches()?;
    // The number of a merged directory is the kernel's to choose, unless all is one file system.
    Ok(if all()?.0 == before.0 {
        "persistent"
    } else {
        "constant"
    }
    .into())
}

/// What arrives in the upper when a file is written to, and when its mode is changed.
fn copy_up(o: &Ovl, lower: &Lower) -> R<String> {
    let mut lost = Vec::new();
    let was = f::stat(lower.two("file"))?;
    f::append(o.m("file"), "+")?;
    let mut want = f::pattern(1, FILE_LEN);
    want.push(b'+');
    check!(f::read(o.m("file"))? == want, "the data");
    check!(f::read(o.up("file"))? == want, "the data in the upper");
    let is = f::stat(o.up("file"))?;
    if is.mode() != was.mode() {
        lost.push("mode");
    }
    if (is.uid(), is.gid()) != (was.uid(), was.gid()) {
        lost.push("owner");
    }
    f::chown(o.m("file2"), 3, 4)?;
    let is = f::stat(o.up("file2"))?;
    if (is.mtime(), is.mtime_nsec()) != MTIME {
        lost.push("time");
    }
    for (n, there) in [("link", true), ("fifo", true), ("moved", true)] {
        if there && f::exists(lower.two(n))? {
            f::chown(o.m(n), 3, 4)?;
            let (a, b) = (f::stat(o.up(n))?, f::stat(lower.two(n))?);
            check_eq!(a.mode(), b.mode(), "{n}");
            check_eq!((a.uid(), a.gid()), (3, 4), "{n}");
        }
    }
    // The lower is as it was.
    check!(
        f::read(lower.two("file"))? == want[..FILE_LEN],
        "the lower's data"
    );
    Ok(match lost[..] {
        [] => "yes".into(),
        _ => format!("without {}", lost.join(", ")),
    })
}

/// Whether an attribute of the lower file is one of its copy.
fn kept(o: &Ovl, lower: &Lower, name: &str) -> R<String> {
    let Ok(was) = f::getxattr(lower.two("file"), name) else {
        return Ok(NOTHING.into());
    };
    let is = f::getxattr(o.up("file"), name).ok();
    Ok(yes(is.as_ref() == Some(&was)))
}

/// Whether the copy shares blocks with the lower file (`FIEMAP_EXTENT_SHARED`); the last one, which
/// is not full, may have become its own.
fn cloned(o: &Ovl) -> R<String> {
    let file = f::open_ro(o.up("file2"))?;
    file.sync_all()?;
    let shared = sys::fiemap_flags(&file).is_ok_and(|e| e.iter().any(|x| x & 0x2000 != 0));
    Ok(yes(shared))
}

/// What a removed file leaves in the upper.
fn whiteout(o: &Ovl) -> R<String> {
    f::unlink(o.m("gone"))?;
    check_err!(f::stat(o.m("gone")), ENOENT);
    if o.is_whiteout("gone")? {
        return Ok("c 0:0".into());
    }
    let mark = o.xattr("gone", "whiteout")?;
    Ok(if mark.is_some() { "xattr" } else { "other" }.into())
}

/// Whether two names of one lower file are one after it was written to.
fn links(o: &Ovl, lower: &Lower) -> R<String> {
    if !f::exists(lower.two("hard2"))? || f::stat(lower.two("hard1"))?.nlink() != 2 {
        return Ok(NOTHING.into());
    }
    f::append(o.m("hard1"), "+")?;
    o.again()?;
    let one = f::text(o.m("hard2"))? == "hard1+";
    check_eq!(f::text(o.m("hard1"))?, "hard1+");
    if one {
        check_eq!(f::stat(o.m("hard1"))?.nlink(), 2);
        check_eq!(f::stat(o.m("hard1"))?.ino(), f::stat(o.m("hard2"))?.ino());
    }
    Ok(if one { "kept" } else { "broken" }.into())
}

fn redirect(o: &Ovl) -> R<String> {
    let done = f::rename(o.m("moved"), o.m("dir/here"));
    if done.is_ok() {
        o.again()?;
        check_eq!(f::text(o.m("dir/here/inside/file"))?, "moved");
        check_err!(f::stat(o.m("moved")), ENOENT);
    }
    Ok(word(&done))
}

/// Whether handles are given out, and lead to the objects after all was forgotten.
fn exported(o: &Ovl) -> R<String> {
    let names = ["file", "dir/inner", "dir/sub", "dir/top"];
    if !options(o)?.contains("nfs_export=on") {
        check_err!(handle(&o.m("file"), 0), EOPNOTSUPP);
        return Ok("no".into());
    }
    let mut all = Vec::new();
    for n in names {
        all.push((n, f::ctx(handle(&o.m(n), 0), "the handle of", n)?));
    }
    o.again()?;
    drop_caches()?;
    let root = File::open(o.root())?;
    let mut lost = Vec::new();
    for (n, h) in &all {
        match open_handle(&root, h, libc::O_RDONLY) {
            Ok(found) => check_eq!(found.metadata()?.ino(), f::stat(o.m(n))?.ino(), "{n}"),
            Err(e) => lost.push(errno_name(e.raw_os_error().unwrap_or(0))),
        }
    }
    Ok(match lost.first() {
        None => "yes".into(),
        Some(e) => e.clone(),
    })
}

/// Whether a change of mode copies the metadata only.
fn metacopy(o: &Ovl) -> R<String> {
    f::chmod(o.m("file"), 0o600)?;
    let data = f::pattern(1, FILE_LEN);
    check!(f::read(o.m("file"))? == data, "the data");
    let meta = o.xattr("file", "metacopy")?.is_some();
    o.again()?;
    check!(f::read(o.m("file"))? == data, "the data");
    f::append(o.m("file"), "+")?;
    check!(f::read(o.m("file"))?[..FILE_LEN] == data, "the data");
    check_eq!(o.xattr("file", "metacopy")?, None);
    Ok(yes(meta))
}
