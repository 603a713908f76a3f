// SPDX-License-Identifier: GPL-2.0
//! Where a descriptor is in its directory, and what it may be asked besides.

use super::*;

cases! { "readdir";
    offsets_grow_or_stay_usable;
    seekdir_survives;
    seekdir_in_pure_upper;
    seekdir_in_pure_lower;
    two_descriptors_at_once;
    lseek_errors;
    seek_past_the_end;
    read_of_directory_is_eisdir;
    dup_shares_position;
    fsync_of_directory;
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
