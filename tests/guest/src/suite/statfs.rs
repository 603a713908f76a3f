// SPDX-License-Identifier: GPL-2.0
//! `statfs`: the upper's numbers, the overlay's magic, a filesystem id of its own.

use super::prelude::*;
use rustix::fs::{statfs, statvfs, StatVfsMountFlags};

cases! { "statfs";
    numbers_are_the_uppers;
    numbers_without_upper_are_the_top_lowers;
    magic;
    name_length_is_the_longest;
    fsid_differs_between_overlays;
    fsid_persists;
    through_any_object;
    flags;
    free_space_moves;
}

fn numbers_are_the_uppers(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    o.mount()?;
    let key = |p: PathBuf| -> R<_> {
        let s = statvfs(p)?;
        Ok((
            s.f_bsize, s.f_frsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree,
        ))
    };
    // The real numbers move while the filesystem settles: they agree when it is quiet.
    for _ in 0..50 {
        if key(o.m(""))? == key(o.up(""))? {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    check_eq!(
        key(o.m(""))?,
        key(o.up(""))?,
        "bsize, frsize, blocks, bfree, bavail, files, ffree"
    );
    Ok(())
}

fn numbers_without_upper_are_the_top_lowers(t: &T) -> R {
    let mut o = t.ovl_ro(2)?;
    let p = t.tmpfs("top", "size=3m")?;
    o.lowers[0] = p.clone();
    o.mount()?;
    let (m, l) = (statvfs(o.root())?, statvfs(&p)?);
    check_eq!(
        (m.f_blocks, m.f_bfree, m.f_files),
        (l.f_blocks, l.f_bfree, l.f_files)
    );
    Ok(())
}

fn magic(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    check_eq!(statfs(o.root())?.f_type, 0x794c_7630);
    Ok(())
}

fn name_length_is_the_longest(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    o.mount()?;
    let want = statvfs(o.up(""))?
        .f_namemax
        .max(statvfs(o.low(""))?.f_namemax);
    check_eq!(statvfs(o.root())?.f_namemax, want);
    Ok(())
}

fn fsid(o: &Ovl) -> R<u64> {
    Ok(statvfs(o.root())?.f_fsid)
}

fn fsid_differs_between_overlays(t: &T) -> R {
    let (o, p) = (t.ovl()?, t.ovl()?);
    o.mount()?;
    p.mount()?;
    check_ne!(fsid(&o)?, fsid(&p)?, "ids of two overlays");
    check_ne!(
        fsid(&o)?,
        statvfs(o.up(""))?.f_fsid,
        "ids of overlay and upper"
    );
    Ok(())
}

fn fsid_persists(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let id = fsid(&o)?;
    f::write(o.m("a"), "x")?;
    o.again()?;
    check_eq!(fsid(&o)?, id);
    check_eq!(
        o.xattr("", "uuid")?.map(|v| v.len()),
        Some(16),
        "the uuid is kept in the upper"
    );
    Ok(())
}

fn through_any_object(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    let want = statfs(o.root())?;
    for n in ["d", "d/a"] {
        let s = statfs(o.m(n))?;
        check_eq!((s.f_type, s.f_blocks), (want.f_type, want.f_blocks), "{n}");
    }
    let h = f::open_ro(o.m("d/a"))?;
    check_eq!(rustix::fs::fstatfs(&h)?.f_type, want.f_type);
    Ok(())
}

fn flags(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    o.mount()?;
    check!(
        statvfs(o.root())?
            .f_flag
            .contains(StatVfsMountFlags::RDONLY),
        "a read-only stack"
    );
    let mut o = t.ovl()?;
    o.flags = MountFlags::NOSUID;
    o.mount()?;
    let f = statvfs(o.root())?.f_flag;
    check!(f.contains(StatVfsMountFlags::NOSUID) && !f.contains(StatVfsMountFlags::RDONLY));
    Ok(())
}

fn free_space_moves(t: &T) -> R {
    let mut o = t.ovl()?;
    let p = t.tmpfs("small", "size=8m")?;
    f::mkdir(p.join("u"))?;
    f::mkdir(p.join("w"))?;
    o.upper = Some(p.join("u"));
    o.work = Some(p.join("w"));
    o.mount()?;
    let before = statvfs(o.root())?;
    f::write(o.m("a"), vec![1; 2 << 20])?;
    let after = statvfs(o.root())?;
    check_eq!((before.f_bavail - after.f_bavail) * after.f_frsize, 2 << 20);
    check_err!(f::write(o.m("b"), vec![1; 7 << 20]), ENOSPC);
    Ok(())
}
