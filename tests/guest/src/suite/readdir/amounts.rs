// SPDX-License-Identifier: GPL-2.0
//! Small buffers and big directories.

use super::*;

cases! { "readdir";
    small_buffers;
    huge_merged_directory;
    huge_lower_directory;
    huge_upper_directory;
    invalid_buffer_size;
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
