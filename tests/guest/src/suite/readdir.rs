// SPDX-License-Identifier: GPL-2.0
//! Reading directories: names, types, inode numbers, offsets, and changes while reading.

use std::collections::BTreeSet;

use super::prelude::*;

cases! { "readdir";
    d_type_of_all_kinds;
    d_ino_equals_st_ino;
    d_ino_after_copy_up;
    d_ino_of_dot_and_dotdot;
    d_ino_nonsamefs;
    no_duplicates_no_losses;
    small_buffers;
    huge_merged_directory;
    huge_lower_directory;
    huge_upper_directory;
    offsets_grow_or_stay_usable;
    seekdir_survives;
    seekdir_in_pure_upper;
    seekdir_in_pure_lower;
    rewind_sees_changes;
    rewind_sees_changes_in_pure_dirs;
    create_while_reading;
    remove_while_reading;
    remove_all_while_reading;
    copy_up_while_reading;
    two_descriptors_at_once;
    same_descriptor_after_modification;
    merged_list_is_not_stale_after_changes;
    whiteouts_are_not_listed;
    empty_directories;
    lseek_errors;
    seek_past_the_end;
    read_of_directory_is_eisdir;
    three_layers_order;
    dots_come_once;
    invalid_buffer_size;
    dup_shares_position;
    rename_while_reading;
    name_changes_kind_between_layers;
    readdir_in_removed_dir;
    fsync_of_directory;
}

fn names(d: &File, size: usize) -> R<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let e = f::ctx(sys::getdents(d, size), "getdents64", "")?;
        if e.is_empty() {
            return Ok(all);
        }
        all.extend(e.into_iter().map(|e| e.name));
    }
}

fn entries(p: impl AsRef<Path>) -> R<Vec<sys::Dirent>> {
    let d = f::open_ro(&p)?;
    let mut all = Vec::new();
    loop {
        let e = f::ctx(sys::getdents(&d, 32768), "getdents64", &p)?;
        if e.is_empty() {
            return Ok(all);
        }
        all.extend(e);
    }
}

/// Sorted, without the dots; fails if a name comes twice.
fn unique(v: Vec<String>) -> R<Vec<String>> {
    let n = v.len();
    let set: BTreeSet<String> = v.into_iter().collect();
    check_eq!(n, set.len(), "names read against names that differ");
    Ok(set.into_iter().filter(|s| s != "." && s != "..").collect())
}

fn d_type_of_all_kinds(t: &T) -> R {
    let o = t.ovl()?;
    for d in [o.low("d"), o.up("d")] {
        f::mkdir(&d)?;
        let k = if d.starts_with(o.low("")) { "l" } else { "u" };
        f::write(d.join(format!("{k}f")), "x")?;
        f::mkdir(d.join(format!("{k}d")))?;
        f::symlink("x", d.join(format!("{k}l")))?;
        f::mknod(d.join(format!("{k}p")), FileType::Fifo, 0o600, 0, 0)?;
        f::mknod(d.join(format!("{k}s")), FileType::Socket, 0o600, 0, 0)?;
        f::mknod(
            d.join(format!("{k}c")),
            FileType::CharacterDevice,
            0o600,
            1,
            1,
        )?;
        f::mknod(d.join(format!("{k}b")), FileType::BlockDevice, 0o600, 1, 1)?;
    }
    o.mount()?;
    let kinds = [
        ('f', libc::DT_REG),
        ('d', libc::DT_DIR),
        ('l', libc::DT_LNK),
        ('p', libc::DT_FIFO),
        ('s', libc::DT_SOCK),
        ('c', libc::DT_CHR),
        ('b', libc::DT_BLK),
    ];
    let e = entries(o.m("d"))?;
    check_eq!(e.len(), 16);
    for e in e {
        let want = match e.name.chars().nth(1) {
            Some('.') | None => libc::DT_DIR,
            Some(c) => kinds.iter().find(|k| k.0 == c).map_or(0, |k| k.1),
        };
        check_eq!(e.kind, want, "d_type of {}", e.name);
    }
    Ok(())
}

/// Every entry but `..` has the inode number that stat gives.
fn check_inos(d: impl AsRef<Path>) -> R {
    for e in entries(&d)? {
        if e.name != ".." {
            let st = f::stat(d.as_ref().join(&e.name))?.ino();
            check_eq!(e.ino, st, "d_ino of {} in {}", e.name, d.as_ref().display());
        }
    }
    Ok(())
}

/// A tree of lower, merged and upper directories, made by the module itself (which marks what
/// it merges), and mounted.
fn some_tree(o: &Ovl) -> R {
    f::mkdirs(o.low("d/sub"))?;
    f::mkdirs(o.low("e"))?;
    for i in 0..5 {
        f::write(o.low(format!("d/l{i}")), "x")?;
    }
    f::write(o.low("e/x"), "x")?;
    o.mount()?;
    f::mkdirs(o.m("d/subup"))?;
    f::mkdirs(o.m("u/deep"))?;
    f::write(o.m("d/u0"), "x")?;
    f::write(o.m("u/x"), "x")?;
    o.again()
}

fn d_ino_equals_st_ino(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    for d in ["", "d", "d/sub", "d/subup", "e", "u"] {
        check_inos(o.m(d))?;
    }
    Ok(())
}

fn d_ino_after_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    let before = entries(o.m("d"))?;
    for n in ["d/l0", "d/l1", "e/x"] {
        f::append(o.m(n), "y")?;
    }
    f::chmod(o.m("d/sub"), 0o700)?;
    f::rename(o.m("d/l2"), o.m("u/moved"))?;
    for d in ["", "d", "d/sub", "e", "u"] {
        check_inos(o.m(d))?;
    }
    o.again()?;
    for d in ["", "d", "d/sub", "e", "u"] {
        check_inos(o.m(d))?;
    }
    for e in entries(o.m("d"))? {
        if let Some(b) = before.iter().find(|b| b.name == e.name && e.name != "..") {
            check_eq!(e.ino, b.ino, "d_ino of {} before and after", e.name);
        }
    }
    Ok(())
}

fn d_ino_of_dot_and_dotdot(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    for (d, parent) in [
        ("d", ""),
        ("d/sub", "d"),
        ("e", ""),
        ("u", ""),
        ("u/deep", "u"),
    ] {
        let e = entries(o.m(d))?;
        let ino = |n: &str| e.iter().find(|e| e.name == n).map(|e| e.ino);
        check_eq!(ino("."), Some(f::stat(o.m(d))?.ino()), "'.' of {d}");
        check_eq!(ino(".."), Some(f::stat(o.m(parent))?.ino()), "'..' of {d}");
    }
    Ok(())
}

fn d_ino_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    some_tree(&o)?;
    // Without xino the numbers of the layers are reported as they are.
    for e in entries(o.m("d"))? {
        if e.kind == libc::DT_REG {
            let real = if e.name.starts_with('u') {
                o.up("d")
            } else {
                o.low("d")
            };
            check_eq!(
                e.ino,
                f::stat(real.join(&e.name))?.ino(),
                "d_ino of {}",
                e.name
            );
            check_eq!(
                e.ino,
                f::stat(o.m("d").join(&e.name))?.ino(),
                "st_ino of {}",
                e.name
            );
        }
    }
    Ok(())
}

fn no_duplicates_no_losses(t: &T) -> R {
    let o = t.layers(3)?;
    let mut want = BTreeSet::new();
    for i in 0..300 {
        for (l, m) in [(0, 2), (1, 3), (2, 5)] {
            if i % m == 0 {
                f::write(o.lown(l, format!("f{i}")), "x")?;
                want.insert(format!("f{i}"));
            }
        }
        if i % 7 == 0 {
            f::write(o.up(format!("f{i}")), "x")?;
            want.insert(format!("f{i}"));
        }
        if i % 11 == 0 && i % 7 != 0 {
            f::whiteout(o.up(format!("f{i}")))?;
            want.remove(&format!("f{i}"));
        }
    }
    o.mount()?;
    let d = f::open_ro(o.root())?;
    check_eq!(
        unique(names(&d, 4096)?)?,
        want.into_iter().collect::<Vec<_>>()
    );
    Ok(())
}

fn small_buffers(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..100 {
        f::write(o.low(format!("lower-file-{i}")), "x")?;
        f::write(o.up(format!("upper-file-{i}")), "x")?;
    }
    o.mount()?;
    // Room for one entry, or for two, at a time.
    for size in [48, 80] {
        let d = f::open_ro(o.root())?;
        check_eq!(unique(names(&d, size)?)?.len(), 200, "buffer of {size}");
    }
    Ok(())
}

fn invalid_buffer_size(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a-name-that-is-not-short"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    let d = f::open_ro(o.root())?;
    check_err!(
        sys::getdents(&d, 8),
        EINVAL,
        "a buffer too small for one entry"
    );
    Ok(())
}

/// Reads all of a directory of `n` files, with the checks that the order of reading allows.
fn read_huge(dir: PathBuf, n: u64) -> R {
    let v = unique(names(&f::open_ro(&dir)?, 32768)?)?;
    check_eq!(v.len() as u64, n, "number of names");
    for i in [0, 1, n / 2, n - 1] {
        check!(v.binary_search(&format!("f{i}")).is_ok(), "f{i} is listed");
    }
    Ok(())
}

/// `n` files by hard links to few inodes where there can be many links: quick to make.
fn make_huge(dir: PathBuf, n: u64) -> R {
    let first = dir.join("f0");
    f::write(&first, "")?;
    let mut from = first;
    for i in 1..n {
        let to = dir.join(format!("f{i}"));
        if i % 30_000 == 0 {
            f::write(&to, "")?;
            from = to;
        } else {
            f::link(&from, &to)?;
        }
    }
    Ok(())
}

/// The size of a big directory: the full 100,000 entries on tmpfs only, where they are quick to
/// make.
fn huge(t: &T) -> u64 {
    t.scaled(if t.fs == "tmpfs" { 100_000 } else { 10_000 }, 500)
}

fn huge_merged_directory(t: &T) -> R {
    let o = t.layers(2)?;
    let n = huge(t);
    f::mkdir(o.lown(0, "d"))?;
    f::mkdir(o.lown(1, "d"))?;
    f::mkdir(o.up("d"))?;
    make_huge(o.lown(1, "d"), n)?;
    // Names in the layer above that cover some, and some more.
    for i in (0..n).step_by(1000) {
        f::write(o.lown(0, format!("d/f{i}")), "")?;
        f::whiteout(o.up(format!("d/f{}", i + 1)))?;
        f::write(o.up(format!("d/new{i}")), "")?;
    }
    o.mount()?;
    let k = n.div_ceil(1000);
    let d = f::open_ro(o.m("d"))?;
    let v = unique(names(&d, 32768)?)?;
    check_eq!(v.len() as u64, n, "{n} names, {k} whiteouts, {k} new ones");
    for i in (0..n).step_by(1000) {
        check!(
            v.binary_search(&format!("f{}", i + 1)).is_err(),
            "f{} is hidden",
            i + 1
        );
        check!(
            v.binary_search(&format!("new{i}")).is_ok(),
            "new{i} is listed"
        );
    }
    // Once more from the start, and with entries created and removed on the way.
    f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    let mut seen = Vec::new();
    let mut step = 0;
    loop {
        let e = sys::getdents(&d, 32768)?;
        if e.is_empty() {
            break;
        }
        step += 1;
        if step % 20 == 1 {
            f::write(o.m(format!("d/late{step}")), "")?;
            f::unlink(o.m(format!("d/f{}", step * 2 + 2)))?;
        }
        seen.extend(e.into_iter().map(|e| e.name));
    }
    let seen = unique(seen)?;
    for i in (0..n).step_by(1000) {
        check!(
            seen.binary_search(&format!("new{i}")).is_ok(),
            "new{i} is listed again"
        );
    }
    Ok(())
}

fn huge_lower_directory(t: &T) -> R {
    let o = t.ovl()?;
    let n = huge(t) / 2;
    f::mkdir(o.low("d"))?;
    make_huge(o.low("d"), n)?;
    o.mount()?;
    read_huge(o.m("d"), n)
}

fn huge_upper_directory(t: &T) -> R {
    let o = t.ovl()?;
    let n = huge(t) / 10;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    for i in 0..n {
        f::write(o.m(format!("d/f{i}")), "")?;
    }
    read_huge(o.m("d"), n)
}

/// A merged directory of 200 names.
fn merged(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(o.up("d"))?;
    for i in 0..100 {
        f::write(o.low(format!("d/l{i:03}")), "x")?;
        f::write(o.up(format!("d/u{i:03}")), "x")?;
    }
    o.mount()?;
    Ok(o)
}

fn offsets_grow_or_stay_usable(t: &T) -> R {
    let o = merged(t)?;
    let mut last = 0;
    for e in entries(o.m("d"))? {
        check!(e.off > last, "offset of {}: {} after {last}", e.name, e.off);
        last = e.off;
    }
    Ok(())
}

/// Going back to any offset gives what came after it the first time.
fn check_seek(p: PathBuf) -> R {
    let d = f::open_ro(&p)?;
    let mut all = Vec::new();
    loop {
        let e = sys::getdents(&d, 512)?;
        if e.is_empty() {
            break;
        }
        all.extend(e);
    }
    for i in (0..all.len() - 1).rev().step_by(7).chain([0, 1, 2]) {
        f::ctx(sys::lseek(&d, all[i].off, libc::SEEK_SET), "seekdir", &p)?;
        let next = sys::getdents(&d, 512)?;
        check_eq!(
            next.first().map(|e| e.name.as_str()),
            Some(all[i + 1].name.as_str()),
            "the entry after {} (offset {})",
            all[i].name,
            all[i].off
        );
    }
    f::ctx(
        sys::lseek(&d, all[all.len() - 1].off, libc::SEEK_SET),
        "seekdir",
        &p,
    )?;
    check_eq!(sys::getdents(&d, 512)?.len(), 0, "after the last entry");
    Ok(())
}

fn seekdir_survives(t: &T) -> R {
    let o = merged(t)?;
    check_seek(o.m("d"))?;
    // While the directory changes under an open descriptor, offsets keep their meaning.
    let d = f::open_ro(o.m("d"))?;
    let first = sys::getdents(&d, 2048)?;
    let mark = first[first.len() / 2].off;
    let want = first[first.len() / 2 + 1].name.clone();
    f::write(o.m("d/zzz"), "x")?;
    f::unlink(o.m("d/l099"))?;
    f::ctx(sys::lseek(&d, mark, libc::SEEK_SET), "seekdir", "d")?;
    check_eq!(sys::getdents(&d, 2048)?[0].name, want, "after changes");
    Ok(())
}

fn seekdir_in_pure_upper(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::mkdir(o.m("d"))?;
    for i in 0..120 {
        f::write(o.m(format!("d/f{i}")), "x")?;
    }
    check_seek(o.m("d"))
}

fn seekdir_in_pure_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..120 {
        f::write(o.low(format!("d/f{i}")), "x")?;
    }
    o.mount()?;
    check_seek(o.m("d"))
}

fn rewind_sees_changes(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    check_eq!(unique(names(&d, 4096)?)?.len(), 200);
    f::write(o.m("d/new"), "x")?;
    f::unlink(o.m("d/l000"))?;
    f::unlink(o.m("d/u000"))?;
    check_eq!(
        sys::getdents(&d, 4096)?.len(),
        0,
        "at the end it stays at the end"
    );
    f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    let v = unique(names(&d, 4096)?)?;
    check_eq!(v.len(), 199);
    check!(v.contains(&"new".into()) && !v.contains(&"l000".into()) && !v.contains(&"u000".into()));
    Ok(())
}

fn rewind_sees_changes_in_pure_dirs(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("l"))?;
    f::write(o.low("l/old"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/old"), "x")?;
    for n in ["u", "l"] {
        let d = f::open_ro(o.m(n))?;
        check_eq!(unique(names(&d, 4096)?)?, ["old"], "{n} at first");
        f::write(o.m(n).join("new"), "x")?;
        f::unlink(o.m(n).join("old"))?;
        f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", n)?;
        check_eq!(
            unique(names(&d, 4096)?)?,
            ["new"],
            "{n} after the changes and a rewind"
        );
        drop(d);
        check_eq!(f::ls(o.m(n))?, ["new"], "{n} opened anew");
    }
    Ok(())
}

fn create_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    for i in 0..50 {
        f::write(o.m(format!("d/n{i}")), "x")?;
    }
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    let old = v.iter().filter(|n| !n.starts_with('n')).count();
    check_eq!(
        old,
        200,
        "every name that was there all the time comes once"
    );
    check_eq!(f::ls(o.m("d"))?.len(), 250);
    Ok(())
}

fn remove_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    for i in (0..100).step_by(2) {
        f::unlink(o.m(format!("d/l{i:03}")))?;
        f::unlink(o.m(format!("d/u{i:03}")))?;
    }
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    for i in (1..100).step_by(2) {
        for k in ["l", "u"] {
            check!(
                v.contains(&format!("{k}{i:03}")),
                "{k}{i:03}, never removed, is listed"
            );
        }
    }
    check_eq!(f::ls(o.m("d"))?.len(), 100);
    Ok(())
}

fn remove_all_while_reading(t: &T) -> R {
    // What rm -r does, with small reads.
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    for round in 0..10 {
        let mut any = false;
        loop {
            let e = sys::getdents(&d, 600)?;
            if e.is_empty() {
                break;
            }
            for e in e.iter().filter(|e| !e.name.starts_with('.')) {
                any = true;
                f::unlink(o.m("d").join(&e.name))?;
            }
        }
        if !any {
            break;
        }
        check!(round < 9, "the directory does not get empty");
        f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    }
    f::rmdir(o.m("d"))
}

fn copy_up_while_reading(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..100 {
        f::write(o.low(format!("d/l{i:03}")), "x")?;
    }
    o.mount()?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    f::append(o.m("d/l050"), "y")?;
    f::chmod(o.m("d/l099"), 0o600)?;
    v.extend(names(&d, 1024)?);
    check_eq!(unique(v)?.len(), 100);
    f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    check_eq!(unique(names(&d, 1024)?)?.len(), 100, "after a rewind");
    check_inos(o.m("d"))
}

fn two_descriptors_at_once(t: &T) -> R {
    let o = merged(t)?;
    let (a, b) = (f::open_ro(o.m("d"))?, f::open_ro(o.m("d"))?);
    let (mut va, mut vb) = (Vec::new(), Vec::new());
    loop {
        let ea = sys::getdents(&a, 256)?;
        let eb = sys::getdents(&b, 512)?;
        if ea.is_empty() && eb.is_empty() {
            break;
        }
        va.extend(ea.into_iter().map(|e| e.name));
        vb.extend(eb.into_iter().map(|e| e.name));
    }
    check_eq!(unique(va)?.len(), 200);
    check_eq!(unique(vb)?.len(), 200);
    Ok(())
}

fn same_descriptor_after_modification(t: &T) -> R {
    let o = merged(t)?;
    let (a, b) = (f::open_ro(o.m("d"))?, f::open_ro(o.m("d"))?);
    sys::getdents(&a, 256)?;
    f::write(o.m("d/new"), "x")?;
    // A descriptor that has read nothing yet sees the change at once.
    check!(
        names(&b, 4096)?.contains(&"new".into()),
        "a fresh descriptor sees 'new'"
    );
    Ok(())
}

fn merged_list_is_not_stale_after_changes(t: &T) -> R {
    let o = merged(t)?;
    for i in 0..20 {
        f::write(o.m(format!("d/n{i}")), "x")?;
        check_eq!(f::ls(o.m("d"))?.len(), 201 + i, "after create {i}");
    }
    for i in 0..20 {
        f::unlink(o.m(format!("d/n{i}")))?;
        f::unlink(o.m(format!("d/l{i:03}")))?;
        check_eq!(f::ls(o.m("d"))?.len(), 218 - 2 * i, "after unlinks {i}");
    }
    f::rename(o.m("d/l050"), o.m("away"))?;
    check_eq!(f::ls(o.m("d"))?.len(), 179, "after a rename");
    f::mkdir(o.m("d/l050"))?;
    check_eq!(f::ls(o.m("d"))?.len(), 180, "after a mkdir");
    Ok(())
}

fn whiteouts_are_not_listed(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::unlink(o.m("d/a"))?;
    for d in ["d", "u"] {
        check_eq!(f::ls(o.m(d))?, [""; 0]);
    }
    Ok(())
}

fn empty_directories(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("l"))?;
    f::mkdirs(o.low("m"))?;
    f::mkdirs(o.up("m"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    for d in ["l", "m", "u"] {
        let v: Vec<String> = entries(o.m(d))?.into_iter().map(|e| e.name).collect();
        check_eq!(v.len(), 2, "only the dots in {d}");
        check!(v.contains(&".".into()) && v.contains(&"..".into()));
    }
    Ok(())
}

fn lseek_errors(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    check_err!(sys::lseek(&d, -1, libc::SEEK_SET), EINVAL);
    check_err!(sys::lseek(&d, 0, libc::SEEK_END), EINVAL);
    check_err!(sys::lseek(&d, 0, libc::SEEK_DATA), EINVAL);
    check_eq!(sys::lseek(&d, 5, libc::SEEK_SET)?, 5);
    check_eq!(sys::lseek(&d, 3, libc::SEEK_CUR)?, 8);
    check_err!(sys::lseek(&d, -9, libc::SEEK_CUR), EINVAL);
    check_eq!(sys::lseek(&d, 0, libc::SEEK_CUR)?, 8);
    Ok(())
}

fn seek_past_the_end(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    sys::lseek(&d, 100_000, libc::SEEK_SET)?;
    check_eq!(sys::getdents(&d, 4096)?.len(), 0);
    sys::lseek(&d, 0, libc::SEEK_SET)?;
    check_eq!(unique(names(&d, 4096)?)?.len(), 200);
    Ok(())
}

fn read_of_directory_is_eisdir(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    check_err!(f::pread(&d, 0, 10), EISDIR);
    check_err!(f::open_rw(o.m("d")), EISDIR);
    Ok(())
}

fn three_layers_order(t: &T) -> R {
    let o = t.layers(2)?;
    for (i, d) in [o.lown(1, "a"), o.lown(0, "b"), o.up("c")]
        .iter()
        .enumerate()
    {
        f::write(d, format!("{i}"))?;
    }
    o.mount()?;
    // The lowest layer comes first: offsets stay while the upper grows.
    let v: Vec<String> = entries(o.root())?.into_iter().map(|e| e.name).collect();
    let at = |n: &str| v.iter().position(|x| x == n);
    check!(at("a") < at("b") && at("a") < at("c"), "order of {v:?}");
    Ok(())
}

fn dots_come_once(t: &T) -> R {
    let o = t.layers(3)?;
    for i in 0..3 {
        f::mkdir(o.lown(i, "d"))?;
    }
    f::mkdir(o.up("d"))?;
    o.mount()?;
    let v = entries(o.m("d"))?;
    check_eq!(v.iter().filter(|e| e.name == ".").count(), 1);
    check_eq!(v.iter().filter(|e| e.name == "..").count(), 1);
    Ok(())
}

fn dup_shares_position(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let d2 = d.try_clone()?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    v.extend(names(&d2, 1024)?);
    check_eq!(unique(v)?.len(), 200);
    Ok(())
}

fn rename_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    f::rename(o.m("d/l010"), o.m("d/x010"))?;
    f::rename(o.m("d/u010"), o.m("away"))?;
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    let rest = v.iter().filter(|n| !n.ends_with("010")).count();
    check_eq!(rest, 198, "names that were not touched");
    let now = f::ls(o.m("d"))?;
    check_eq!(now.len(), 199);
    check!(now.contains(&"x010".into()) && !now.contains(&"l010".into()));
    Ok(())
}

fn name_changes_kind_between_layers(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("a"))?;
    f::write(o.low("b"), "x")?;
    f::write(o.up("a"), "x")?;
    f::mkdir(o.up("b"))?;
    o.mount()?;
    let e = entries(o.root())?;
    let kind = |n: &str| e.iter().find(|e| e.name == n).map(|e| e.kind);
    check_eq!(
        (kind("a"), kind("b")),
        (Some(libc::DT_REG), Some(libc::DT_DIR))
    );
    Ok(())
}

fn readdir_in_removed_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = f::open_ro(o.m("d"))?;
    f::rmdir(o.m("d"))?;
    check_err!(sys::getdents(&d, 4096), ENOENT);
    Ok(())
}

fn fsync_of_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("l"))?;
    f::mkdir(o.low("m"))?;
    f::mkdir(o.up("m"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    for d in ["", "l", "m", "u"] {
        let h = f::open_ro(o.m(d))?;
        h.sync_all()?;
        h.sync_data()?;
    }
    // Opened below, then copied up.
    let h = f::open_ro(o.m("l"))?;
    f::write(o.m("l/new"), "x")?;
    h.sync_all()?;
    Ok(())
}
