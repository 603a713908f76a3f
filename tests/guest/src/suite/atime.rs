// SPDX-License-Identifier: GPL-2.0
//! Access times: those of the lower stay, those of the upper follow the overlay's mount flags.

use super::prelude::*;

cases! { "atime";
    lower_stays;
    lower_stays_when_read_through_a_descriptor_of_before;
    upper_relatime;
    upper_relatime_recent;
    noatime_mount;
    nodiratime_mount;
    strictatime_mount;
    o_noatime;
    directory_upper;
    directory_lower;
    symlink_upper;
    mmap_updates;
    splice_updates;
    atime_of_upper_filesystem_follows;
    copied_up_keeps_then_moves;
}

const OLD: (i64, i64) = (1_000_000, 0);
const NEWER: (i64, i64) = (2_000_000, 0);

fn atime(p: PathBuf) -> R<i64> {
    Ok(f::stat(p)?.atime())
}

fn lower_stays(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::utimes(o.low("a"), OLD, NEWER)?;
    o.flags = MountFlags::STRICTATIME;
    o.mount()?;
    f::read(o.m("a"))?;
    check_eq!(atime(o.m("a"))?, OLD.0, "of the overlay file");
    check_eq!(atime(o.low("a"))?, OLD.0, "of the lower file");
    check!(!o.in_upper("a")?);
    Ok(())
}

fn lower_stays_when_read_through_a_descriptor_of_before(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::utimes(o.low("a"), OLD, NEWER)?;
    o.flags = MountFlags::STRICTATIME;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    f::chmod(o.m("a"), 0o600)?;
    check_eq!(atime(o.m("a"))?, OLD.0, "after the copy-up");
    f::pread(&h, 0, 1)?;
    check!(
        atime(o.m("a"))? > NEWER.0,
        "a read of the copied-up file counts"
    );
    check_eq!(atime(o.low("a"))?, OLD.0, "of the lower file");
    Ok(())
}

/// A file in the upper with these times, mounted with these flags.
fn upper(t: &T, at: (i64, i64), mt: (i64, i64), flags: MountFlags) -> R<Ovl> {
    let mut o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    f::mkdir(o.up("d"))?;
    f::symlink("a", o.up("l"))?;
    for n in ["a", "d", "l"] {
        f::utimes(o.up(n), at, mt)?;
    }
    o.flags = flags;
    o.mount()?;
    Ok(o)
}

fn upper_relatime(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::RELATIME)?;
    f::read(o.m("a"))?;
    check!(
        atime(o.m("a"))? > NEWER.0,
        "atime older than mtime is updated"
    );
    check_eq!(atime(o.m("a"))?, atime(o.up("a"))?, "as in the upper");
    Ok(())
}

fn upper_relatime_recent(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    let now = f::stat(o.up("a"))?.mtime();
    f::utimes(o.up("a"), (now - 100, 0), OLD)?;
    // Set the change time aside too: relatime looks at it.
    o.flags = MountFlags::RELATIME;
    o.mount()?;
    f::read(o.m("a"))?;
    let first = f::stat(o.m("a"))?;
    f::read(o.m("a"))?;
    let second = f::stat(o.m("a"))?;
    check_eq!(
        (second.atime(), second.atime_nsec()),
        (first.atime(), first.atime_nsec()),
        "a recent atime is left alone"
    );
    Ok(())
}

fn noatime_mount(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::NOATIME)?;
    f::read(o.m("a"))?;
    f::ls(o.m("d"))?;
    f::readlink(o.m("l"))?;
    for n in ["a", "d", "l"] {
        check_eq!(atime(o.m(n))?, OLD.0, "{n}");
        check_eq!(atime(o.up(n))?, OLD.0, "{n} in the upper");
    }
    Ok(())
}

fn nodiratime_mount(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::NODIRATIME | MountFlags::RELATIME)?;
    f::ls(o.m("d"))?;
    check_eq!(atime(o.m("d"))?, OLD.0, "directory");
    f::read(o.m("a"))?;
    check!(atime(o.m("a"))? > NEWER.0, "file");
    Ok(())
}

fn strictatime_mount(t: &T) -> R {
    let o = upper(t, (3_000_000, 0), NEWER, MountFlags::STRICTATIME)?;
    f::read(o.m("a"))?;
    check!(atime(o.m("a"))? > 3_000_000);
    Ok(())
}

fn o_noatime(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::STRICTATIME)?;
    let h = f::open(o.m("a"), libc::O_RDONLY | libc::O_NOATIME, 0)?;
    f::pread(&h, 0, 1)?;
    check_eq!(atime(o.m("a"))?, OLD.0);
    check_eq!(atime(o.up("a"))?, OLD.0);
    Ok(())
}

fn directory_upper(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::RELATIME)?;
    f::ls(o.m("d"))?;
    check!(atime(o.m("d"))? > NEWER.0, "atime {}", atime(o.m("d"))?);
    Ok(())
}

fn directory_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::utimes(o.low("d"), OLD, NEWER)?;
    o.mount()?;
    f::ls(o.m("d"))?;
    check_eq!(atime(o.m("d"))?, OLD.0);
    check_eq!(atime(o.low("d"))?, OLD.0);
    Ok(())
}

fn symlink_upper(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::RELATIME)?;
    f::readlink(o.m("l"))?;
    check!(atime(o.m("l"))? > NEWER.0);
    Ok(())
}

fn mmap_updates(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::RELATIME)?;
    let h = f::open_ro(o.m("a"))?;
    let m = sys::map_ro(&h, 1)?;
    check_eq!(m[0], b'x');
    check!(atime(o.m("a"))? > NEWER.0, "a mapping counts as an access");
    Ok(())
}

fn splice_updates(t: &T) -> R {
    let o = upper(t, OLD, NEWER, MountFlags::RELATIME)?;
    let h = f::open_ro(o.m("a"))?;
    let (_r, w) = rustix::pipe::pipe()?;
    rustix::pipe::splice(&h, None, &w, None, 1, rustix::pipe::SpliceFlags::empty())?;
    check!(atime(o.m("a"))? > NEWER.0, "splicing counts as an access");
    Ok(())
}

fn atime_of_upper_filesystem_follows(t: &T) -> R {
    // The upper on a noatime mount: the overlay's own flags decide.
    let mut o = t.ovl()?;
    let d = t.p("bind");
    f::mkdir(&d)?;
    rustix::mount::mount_bind(o.up("").parent().unwrap(), &d)?;
    rustix::mount::mount_remount(&d, MountFlags::BIND | MountFlags::NOATIME, "")?;
    o.upper = Some(d.join("upper"));
    o.work = Some(d.join("work"));
    f::write(o.up("a"), "x")?;
    f::utimes(o.up("a"), OLD, NEWER)?;
    o.flags = MountFlags::RELATIME;
    o.mount()?;
    f::read(o.m("a"))?;
    check!(atime(o.m("a"))? > NEWER.0);
    Ok(())
}

fn copied_up_keeps_then_moves(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::utimes(o.low("a"), OLD, NEWER)?;
    o.flags = MountFlags::RELATIME;
    o.mount()?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(atime(o.m("a"))?, OLD.0, "after the copy-up");
    f::read(o.m("a"))?;
    check!(atime(o.m("a"))? > NEWER.0, "after a read");
    check_eq!(atime(o.m("a"))?, atime(o.up("a"))?, "as in the upper");
    Ok(())
}
