// SPDX-License-Identifier: GPL-2.0
//! Layers whose directories compare names without case (`+F`): all of them or none (F32).

use super::prelude::*;
use crate::tools;

const FOLD: &[&str] = &["ext4", "tmpfs"];
const WHY: &str = "it has no such directories";

cases! { "casefold";
    lookup.only_fs(FOLD, WHY);
    new_objects.only_fs(FOLD, WHY);
    merged_listing.only_fs(FOLD, WHY);
    remove_and_make_again.only_fs(FOLD, WHY);
    rename_of_case.only_fs(FOLD, WHY);
    redirected.only_fs(FOLD, WHY);
    indexed.only_fs(FOLD, WHY);
    read_only_stack.only_fs(FOLD, WHY);
    names_that_are_not_text.only_fs(FOLD, WHY);
    layers_must_agree.only_fs(FOLD, WHY);
    capable_but_not_folding.only_fs(FOLD, WHY);
    child_that_does_not_fold.only_fs(FOLD, WHY);
    child_that_folds.only_fs(FOLD, WHY);
    strict_encoding.only_fs(FOLD, WHY);
    other_file_system_with_the_same_encoding.only_fs(&["ext4"], "the other one is a tmpfs");
    other_file_system_with_another_encoding.only_fs(&["ext4"], "the other one is a tmpfs");
    read_by_the_other_module.only_fs(FOLD, WHY);
}

/// `FS_CASEFOLD_FL`.
const CASEFOLD: u32 = 0x4000_0000;

/// A file system that has such directories, at a new directory.
fn capable(t: &T, name: &str, strict: bool) -> R<PathBuf> {
    if t.fs == "tmpfs" {
        let strict = if strict { ",strict_encoding" } else { "" };
        return t.tmpfs(name, &format!("casefold=utf8-12.1.0,mode=755{strict}"));
    }
    let flags = "encoding=utf8,encoding_flags=strict";
    let mkfs = [
        "mkfs.ext4",
        "-q",
        "-F",
        "-O",
        "casefold",
        "-E",
        if strict { flags } else { "encoding=utf8" },
    ];
    tools::file_system(&t.dir, name, &mkfs, 32, "rw")
}

/// A new directory that compares without case.
#[track_caller]
fn folding(p: impl AsRef<Path>) -> R {
    f::mkdir(&p)?;
    set_folding(&p, true)
}

#[track_caller]
fn set_folding(p: impl AsRef<Path>, on: bool) -> R {
    let dir = f::open_ro(&p)?;
    let was = sys::getflags(&dir)?;
    let flags = if on { was | CASEFOLD } else { was & !CASEFOLD };
    f::ctx(sys::setflags(&dir, flags), "set the flags of", &p)
}

fn folds(p: impl AsRef<Path>) -> R<bool> {
    Ok(sys::getflags(&f::open_ro(p)?)? & CASEFOLD != 0)
}

/// An overlay with this many lowers, all of whose layers compare without case.
fn ovl(t: &T, lowers: usize) -> R<Ovl> {
    let base = capable(t, "fs", false)?;
    let mut o = t.layers(0)?;
    for i in 0..lowers {
        o.lowers.push(base.join(format!("lower{i}")));
    }
    o.upper = Some(base.join("upper"));
    o.work = Some(base.join("work"));
    for d in o.lowers.iter().chain(&o.upper).chain(&o.work) {
        folding(d)?;
    }
    Ok(o)
}

fn lookup(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::write(o.low("Straße"), "lower")?;
    f::mkdirs(o.low("Dir/Sub"))?;
    f::write(o.low("Dir/Sub/File"), "x")?;
    f::write(o.up("Upper"), "upper")?;
    o.mount()?;
    for n in ["Straße", "STRASSE", "strasse"] {
        check_eq!(f::text(o.m(n))?, "lower", "{n}");
    }
    check_eq!(f::text(o.m("uPPER"))?, "upper");
    check_eq!(f::text(o.m("dIR/sUB/fILE"))?, "x");
    check_err!(f::stat(o.m("dir/sub/other")), ENOENT);
    check_eq!(
        f::stat(o.m("STRASSE"))?.ino(),
        f::stat(o.m("straße"))?.ino()
    );
    // The copy has the name that the lower has, however it was called.
    f::append(o.m("DIR/SUB/FILE"), "+")?;
    check_eq!(f::text(o.m("Dir/Sub/File"))?, "x+");
    drop_caches()?;
    check_eq!(f::text(o.m("dir/sub/file"))?, "x+");
    check_eq!(f::ls(o.m("dir/sub"))?.len(), 1);
    check!(folds(o.up("dir"))? && folds(o.up("dir/sub"))?);
    Ok(())
}

fn new_objects(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::mkdir(o.low("Low"))?;
    o.mount()?;
    f::mkdir(o.m("New"))?;
    f::mkdir(o.m("low/New"))?;
    for d in ["New", "low", "low/New"] {
        check!(folds(o.m(d))?, "{d}");
        check!(folds(o.up(d))?, "{d} in the upper");
        f::write(o.m(d).join("File"), "x")?;
        check_err!(f::mkdir(o.m(d).join("FILE")), EEXIST);
        check_eq!(f::text(o.m(d).join("file"))?, "x");
    }
    check_eq!(f::ls(o.m("new"))?, ["File"]);
    drop(f::open(o.m("new"), libc::O_TMPFILE | libc::O_RDWR, 0o600)?);
    check_err!(set_folding(o.m("New"), false), ENOTEMPTY);
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn merged_listing(t: &T) -> R {
    let o = ovl(t, 2)?;
    for (l, name) in [(0, "NAME"), (1, "name")] {
        f::write(o.lown(l, name), name)?;
        f::mkdir(o.lown(l, if l == 0 { "DIR" } else { "dir" }))?;
        f::write(o.lown(l, format!("dir/In{l}")), "x")?;
    }
    f::write(o.lown(1, "dir/IN0"), "covered")?;
    f::write(o.up("Name"), "upper")?;
    f::mkdir(o.up("Dir"))?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["Dir", "Name"]);
    check_eq!(f::text(o.m("nAME"))?, "upper");
    check_eq!(f::ls(o.m("dIR"))?, ["In0", "In1"]);
    check_eq!(f::text(o.m("dir/in0"))?, "x");
    for e in sys::getdents(&f::open_ro(o.m("dir"))?, 4096)? {
        if e.name.starts_with("In") {
            check_eq!(
                f::stat(o.m("dir").join(&e.name))?.ino(),
                e.ino,
                "{}",
                e.name
            );
        }
    }
    Ok(())
}

fn remove_and_make_again(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::write(o.low("File"), "x")?;
    f::mkdir(o.low("Dir"))?;
    f::write(o.low("Dir/inside"), "x")?;
    f::write(o.low("Only"), "x")?;
    o.mount()?;
    // A name that the upper has not cannot be whited out: its dentry is not hashed there, and the
    // kernel's helper for renames (`start_renaming_two_dentries`) refuses that.
    check_err!(f::unlink(o.m("Only")), EINVAL);
    check_err!(f::unlink(o.m("ONLY")), EINVAL);
    check_eq!(f::text(o.m("only"))?, "x");
    f::append(o.m("fILE"), "+")?;
    if t.fs == "ext4" {
        // Nor one that was copied up just now.
        check_err!(f::unlink(o.m("fILE")), EINVAL);
        return Ok(());
    }
    f::unlink(o.m("fILE"))?;
    check_err!(f::stat(o.m("File")), ENOENT);
    check!(o.is_whiteout("file")?);
    check_eq!(f::ls(o.root())?, ["Dir", "Only"]);
    f::write(o.m("FILE"), "new")?;
    check_eq!(f::text(o.m("file"))?, "new");
    check_err!(f::rmdir(o.m("dir")), ENOTEMPTY);
    f::append(o.m("Dir/inside"), "+")?;
    f::unlink(o.m("DIR/INSIDE"))?;
    f::rmdir(o.m("dIR"))?;
    f::mkdir(o.m("DIR"))?;
    check_eq!(f::ls(o.m("dir"))?, [""; 0], "an opaque one");
    check_eq!(o.xattr("dir", "opaque")?, Some(b"y".to_vec()));
    check!(folds(o.up("dir"))?);
    o.again()?;
    drop_caches()?;
    let mut names: Vec<String> = f::ls(o.root())?.iter().map(|n| n.to_lowercase()).collect();
    names.sort();
    check_eq!(names, ["dir", "file", "only"]);
    check_eq!(f::text(o.m("File"))?, "new");
    Ok(())
}

fn rename_of_case(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::write(o.low("Low"), "low")?;
    o.mount()?;
    f::write(o.m("Up"), "up")?;
    // Old and new name are one name: nothing is renamed.
    f::rename(o.m("Up"), o.m("UP"))?;
    f::rename(o.m("Low"), o.m("LOW"))?;
    check_eq!(f::text(o.m("up"))?, "up");
    check_eq!(f::text(o.m("low"))?, "low");
    f::rename(o.m("UP"), o.m("Other"))?;
    f::rename(o.m("low"), o.m("OTHER"))?;
    check_eq!(f::text(o.m("other"))?, "low");
    check_err!(f::stat(o.m("up")), ENOENT);
    check_err!(f::stat(o.m("Low")), ENOENT);
    check_eq!(f::ls(o.root())?.len(), 1);
    o.again()?;
    check_eq!(f::text(o.m("oTHER"))?, "low");
    check_err!(f::stat(o.m("Low")), ENOENT);
    Ok(())
}

fn redirected(t: &T) -> R {
    let mut o = ovl(t, 1)?;
    o.opts = format!("{OFF},redirect_dir=on");
    f::mkdir(o.low("Old"))?;
    f::write(o.low("Old/File"), "x")?;
    o.mount()?;
    f::rename(o.m("OLD"), o.m("New"))?;
    check_err!(f::stat(o.m("old")), ENOENT);
    o.again()?;
    check_eq!(f::text(o.m("NEW/FILE"))?, "x");
    f::write(o.m("new/Made"), "y")?;
    check_eq!(f::ls(o.m("nEW"))?, ["File", "Made"]);
    Ok(())
}

fn indexed(t: &T) -> R {
    let mut o = ovl(t, 1)?;
    o.opts = "redirect_dir=on,index=on,metacopy=off,xino=off,nfs_export=on".into();
    f::write(o.low("One"), "x")?;
    f::link(o.low("One"), o.low("Two"))?;
    o.mount()?;
    f::append(o.m("ONE"), "+")?;
    check_eq!(f::text(o.m("two"))?, "x+");
    check_eq!(f::stat(o.m("TWO"))?.nlink(), 2);
    let h = sys::handles::handle(&o.m("oNE"), 0)?;
    o.again()?;
    drop_caches()?;
    let root = File::open(o.root())?;
    let mut found = sys::handles::open_handle(&root, &h, libc::O_RDONLY)?;
    check_eq!(f::drain(&mut found)?, b"x+");
    Ok(())
}

fn read_only_stack(t: &T) -> R {
    let mut o = ovl(t, 2)?;
    o.upper = None;
    o.work = None;
    f::write(o.lown(0, "A"), "top")?;
    f::write(o.lown(1, "a"), "bottom")?;
    f::write(o.lown(1, "B"), "bottom")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["A", "B"]);
    check_eq!(f::text(o.m("a"))?, "top");
    check_eq!(f::text(o.m("b"))?, "bottom");
    Ok(())
}

fn names_that_are_not_text(t: &T) -> R {
    use std::os::unix::ffi::OsStrExt;
    let o = ovl(t, 1)?;
    let name = |b: &'static [u8]| Path::new(std::ffi::OsStr::from_bytes(b));
    f::write(o.low(name(b"bad\xff")), "x")?;
    o.mount()?;
    check_eq!(f::text(o.m(name(b"bad\xff")))?, "x", "byte by byte");
    check_err!(f::stat(o.m(name(b"BAD\xff"))), ENOENT);
    f::write(o.m(name(b"BAD\xff")), "y")?;
    check_eq!(f::ls(o.root())?.len(), 2);
    f::append(o.m(name(b"bad\xff")), "+")?;
    check_eq!(f::text(o.up(name(b"bad\xff")))?, "x+");
    Ok(())
}

fn layers_must_agree(t: &T) -> R {
    let o = ovl(t, 2)?;
    let base = o.up("").join("..");
    f::mkdir(base.join("plain"))?;
    f::mkdir(base.join("plain2"))?;
    let plain = base.join("plain");
    let mut p = o.clone();
    p.lowers[1] = plain.clone();
    check_err!(p.mount(), EINVAL, "one lower does not fold");
    t.expect_log(&["case"])?;
    let mut p = o.clone();
    p.upper = Some(plain.clone());
    check_err!(p.mount(), EINVAL, "the upper does not fold");
    t.expect_log(&["case"])?;
    let mut p = o.clone();
    p.work = Some(plain.clone());
    check_err!(p.mount(), EINVAL, "the workdir does not fold");
    t.expect_log(&["case"])?;
    let mut p = o.clone();
    p.lowers = vec![plain.clone(), base.join("plain2")];
    check_err!(p.mount(), EINVAL, "only the upper folds");
    t.expect_log(&["case"])?;
    let mut p = o.clone();
    p.lowers[1] = t.p("elsewhere");
    f::mkdir(&p.lowers[1])?;
    check_err!(
        p.mount(),
        EINVAL,
        "one lower is on a file system that cannot"
    );
    t.expect_log(&["case"])?;
    o.mount()
}

fn capable_but_not_folding(t: &T) -> R {
    let base = capable(t, "fs", false)?;
    let mut o = t.layers(0)?;
    o.lowers = vec![base.join("lower")];
    o.upper = Some(base.join("upper"));
    o.work = Some(base.join("work"));
    for d in ["lower", "upper", "work"] {
        f::mkdir(base.join(d))?;
    }
    f::write(o.low("name"), "small")?;
    f::write(o.low("NAME"), "big")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["NAME", "name"]);
    check_err!(f::stat(o.m("Name")), ENOENT);
    f::unlink(o.m("name"))?;
    check_eq!(f::text(o.m("NAME"))?, "big");
    f::mkdir(o.m("d"))?;
    check!(!folds(o.m("d"))?);
    Ok(())
}

fn child_that_does_not_fold(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::mkdir(o.low("plain"))?;
    set_folding(o.low("plain"), false)?;
    f::write(o.low("plain/a"), "x")?;
    f::write(o.low("file"), "x")?;
    o.mount()?;
    t.kmsg_since();
    check_err!(f::stat(o.m("plain")), EREMOTE);
    t.expect_limited_log(&["casefold"], || drop(f::stat(o.m("plain"))))?;
    check_err!(f::ls(o.m("plain")), EREMOTE);
    check_eq!(f::text(o.m("FILE"))?, "x");
    Ok(())
}

fn child_that_folds(t: &T) -> R {
    let base = capable(t, "fs", false)?;
    let mut o = t.ovl()?;
    o.lowers = vec![base.join("lower")];
    f::mkdir(o.low(""))?;
    folding(o.low("folds"))?;
    f::mkdir(o.low("plain"))?;
    f::write(o.low("plain/a"), "x")?;
    o.mount()?;
    t.kmsg_since();
    check_err!(f::stat(o.m("folds")), EREMOTE);
    t.expect_limited_log(&["casefold"], || drop(f::stat(o.m("folds"))))?;
    check_eq!(f::ls(o.m("plain"))?, ["a"]);
    check_err!(f::mkdir(o.m("folds")), EREMOTE);
    Ok(())
}

fn strict_encoding(t: &T) -> R {
    let base = capable(t, "strict", true)?;
    let mut o = t.layers(0)?;
    o.lowers = vec![base.join("lower")];
    o.upper = Some(base.join("upper"));
    o.work = Some(base.join("work"));
    for d in o.lowers.iter().chain(&o.upper).chain(&o.work) {
        folding(d)?;
    }
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["strict encoding"])?;
    // Without directories that fold it is a file system like any other.
    for d in o.lowers.iter().chain(&o.upper).chain(&o.work) {
        let _ = f::rmdir(d.join("work"));
        set_folding(d, false)?;
    }
    o.mount()?;
    f::write(o.m("a"), "x")
}

fn other_file_system_with_the_same_encoding(t: &T) -> R {
    let mut o = ovl(t, 1)?;
    let p = t.tmpfs("second", "casefold=utf8-12.1.0,mode=755")?;
    folding(p.join("lower"))?;
    o.lowers.push(p.join("lower"));
    f::write(p.join("lower/Name"), "x")?;
    f::write(o.low("NAMES"), "y")?;
    o.mount()?;
    check_eq!(f::text(o.m("nAME"))?, "x");
    check_eq!(f::ls(o.root())?, ["NAMES", "Name"]);
    f::append(o.m("name"), "+")?;
    check_eq!(f::text(o.m("NAME"))?, "x+");
    Ok(())
}

fn other_file_system_with_another_encoding(t: &T) -> R {
    let mut o = ovl(t, 1)?;
    let p = t.tmpfs("second", "casefold=utf8-11.0.0,mode=755")?;
    folding(p.join("lower"))?;
    o.lowers.push(p.join("lower"));
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["encoding"])
}

fn read_by_the_other_module(t: &T) -> R {
    let mut o = ovl(t, 1)?;
    o.opts = format!("{OFF},redirect_dir=on");
    f::mkdirs(o.low("Dir/Sub"))?;
    f::write(o.low("Dir/File"), "x")?;
    f::write(o.low("Gone"), "x")?;
    o.mount()?;
    f::append(o.m("gone"), "+")?;
    // See `remove_and_make_again`.
    if t.fs == "tmpfs" {
        f::unlink(o.m("GONE"))?;
    }
    f::append(o.m("dir/FILE"), "+")?;
    f::rename(o.m("DIR"), o.m("Moved"))?;
    f::mkdir(o.m("moved/NEW"))?;
    let want = tree::snapshot(o.root(), tree::ALL)?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    o.mount()?;
    tree::same(
        "the other module",
        &want,
        &tree::snapshot(o.root(), tree::ALL)?,
    )?;
    check_eq!(f::text(o.m("MOVED/file"))?, "x+");
    f::write(o.m("moved/new/A"), "x")?;
    o.umount()
}
