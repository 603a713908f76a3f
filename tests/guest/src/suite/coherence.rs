// SPDX-License-Identifier: GPL-2.0
//! What those see who hold on to a lower file while it is copied up, and what /proc says of a
//! file: where an overlay is not quite a file system of its own.

use super::prelude::*;
use std::os::fd::AsRawFd;

cases! { "coherence";
    mapping_made_before_copy_up_stays;
    inotify_of_lower_hard_link_is_lost;
    maps_agree_with_stat;
    maps_agree_with_stat_nonsamefs;
    fdinfo_agrees_with_stat;
}

/// A shared mapping stays on the lower file: what is written to the copy does not show.
fn mapping_made_before_copy_up_stays(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "before")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let old = sys::map_ro(&h, 6)?;
    f::write(o.m("a"), "behind")?;
    check_eq!(&old[..], b"before", "a mapping made before the copy-up");
    check_eq!(f::pread(&h, 0, 6)?, b"behind", "the same descriptor, read");
    let new = sys::map_ro(&f::open_ro(o.m("a"))?, 6)?;
    check_eq!(&new[..], b"behind", "a mapping made after it");
    Ok(())
}

/// Without an index the overlay's inode of a lower hard link is another one after the copy-up,
/// once nobody remembers the name.
fn inotify_of_lower_hard_link_is_lost(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("single"), "x")?;
    f::write(o.low("linked"), "x")?;
    f::link(o.low("linked"), o.low("other"))?;
    o.mount()?;
    for (name, event) in [("single", libc::IN_MODIFY), ("linked", 0)] {
        let mut w = sys::Inotify::watch(&o.m(name), libc::IN_MODIFY)?;
        drop_caches()?;
        f::append(o.m(name), "y")?;
        check_eq!(w.events() & libc::IN_MODIFY, event, "event of {name}");
    }
    Ok(())
}

/// The device and inode number that /proc/self/maps has for a mapping of the file.
fn in_maps(p: &Path) -> R<(u64, u64)> {
    let h = f::open_ro(p)?;
    let m = sys::map_ro(&h, 1)?;
    let start = format!("{:x}-", m.as_ptr() as usize);
    let maps = f::text("/proc/self/maps")?;
    let words: Vec<&str> = maps
        .lines()
        .find(|l| l.starts_with(&start))
        .map(|l| l.split_whitespace().collect())
        .unwrap_or_default();
    let dev: Vec<u32> = words
        .get(3)
        .unwrap_or(&"")
        .split(':')
        .filter_map(|n| u32::from_str_radix(n, 16).ok())
        .collect();
    let ino = words.get(4).and_then(|n| n.parse().ok());
    let (Some(ino), [major, minor]) = (ino, &dev[..]) else {
        anyhow::bail!("no mapping of {} in /proc/self/maps", p.display());
    };
    Ok((rustix::fs::makedev(*major, *minor), ino))
}

fn check_maps(o: &Ovl) -> R {
    f::write(o.low("lower"), "x")?;
    f::write(o.low("copied"), "x")?;
    o.mount()?;
    f::write(o.m("upper"), "x")?;
    f::append(o.m("copied"), "y")?;
    for n in ["lower", "copied", "upper"] {
        let s = f::stat(o.m(n))?;
        check_eq!(in_maps(&o.m(n))?, (s.dev(), s.ino()), "{n}");
    }
    Ok(())
}

fn maps_agree_with_stat(t: &T) -> R {
    check_maps(&t.ovl()?)
}

fn maps_agree_with_stat_nonsamefs(t: &T) -> R {
    let mut o = t.ovl_nonsamefs()?;
    o.opts = o.opts.replace("xino=off", "xino=on");
    check_maps(&o)
}

fn fdinfo_agrees_with_stat(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("lower"), "x")?;
    f::mkdir(o.low("dir"))?;
    o.mount()?;
    f::write(o.m("upper"), "x")?;
    for n in ["lower", "dir", "upper"] {
        let h = f::open_ro(o.m(n))?;
        let info = f::text(format!("/proc/self/fdinfo/{}", h.as_raw_fd()))?;
        let ino = info.lines().find_map(|l| l.strip_prefix("ino:"));
        let want = f::stat(o.m(n))?.ino().to_string();
        check_eq!(ino.map(str::trim), Some(want.as_str()), "{n}");
    }
    Ok(())
}
