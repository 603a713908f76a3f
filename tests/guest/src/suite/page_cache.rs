// SPDX-License-Identifier: GPL-2.0
//! Page cache: unmodified files are the lower inode's pages, shared by all mounts.

use super::prelude::*;

cases! { "page_cache";
    two_mounts_map_the_same_pages;
    overlay_and_lower_map_the_same_pages;
    upper_and_overlay_map_the_same_pages;
    copy_up_ends_the_sharing;
    shared_mapping_too;
    reading_fills_the_lower_cache.only_fs(&["ext4", "xfs", "btrfs"], "the pages of tmpfs are always in memory");
    many_mounts_one_copy;
    write_through_upper_shows;
    middle_layer_shared_between_different_stacks;
    drop_behind_fadvise.only_fs(&["ext4", "xfs", "btrfs"], "the pages of tmpfs are always in memory");
}

/// The page frames of a file, touched through a mapping.
fn frames(p: impl AsRef<Path>, len: usize) -> R<Vec<u64>> {
    let h = f::open_ro(&p)?;
    let m = sys::map_ro(&h, len)?;
    let mut v = Vec::new();
    for i in (0..len).step_by(4096) {
        std::hint::black_box(m[i]);
        v.push(sys::pfn(m.as_ptr() as usize + i)?);
    }
    check!(
        v.iter().all(|f| *f != 0),
        "frames of {}: {v:?}",
        p.as_ref().display()
    );
    Ok(v)
}

const LEN: usize = 16 * 4096;

/// Two overlays over one lower with a file `a`.
fn two(t: &T) -> R<(Ovl, Ovl)> {
    let o = t.ovl()?;
    let mut p = t.ovl()?;
    p.lowers = o.lowers.clone();
    f::write(o.low("a"), f::pattern(1, LEN))?;
    f::open_ro(o.low("a"))?.sync_all()?;
    o.mount()?;
    p.mount()?;
    Ok((o, p))
}

fn two_mounts_map_the_same_pages(t: &T) -> R {
    let (o, p) = two(t)?;
    check_eq!(
        frames(o.m("a"), LEN)?,
        frames(p.m("a"), LEN)?,
        "page frames"
    );
    Ok(())
}

fn overlay_and_lower_map_the_same_pages(t: &T) -> R {
    let (o, _) = two(t)?;
    check_eq!(
        frames(o.m("a"), LEN)?,
        frames(o.low("a"), LEN)?,
        "page frames"
    );
    Ok(())
}

fn upper_and_overlay_map_the_same_pages(t: &T) -> R {
    let (o, _) = two(t)?;
    f::append(o.m("a"), "x")?;
    f::open_ro(o.m("a"))?.sync_all()?;
    check_eq!(
        frames(o.m("a"), LEN)?,
        frames(o.up("a"), LEN)?,
        "page frames"
    );
    Ok(())
}

fn copy_up_ends_the_sharing(t: &T) -> R {
    let (o, p) = two(t)?;
    let before = frames(o.m("a"), LEN)?;
    let h = f::open_rw(o.m("a"))?;
    f::pwrite(&h, 0, "changed")?;
    let after = frames(o.m("a"), LEN)?;
    check!(
        before.iter().all(|f| !after.contains(f)),
        "the copy has pages of its own"
    );
    check_eq!(
        frames(p.m("a"), LEN)?,
        before,
        "the other mount still has the lower's"
    );
    check_eq!(f::read(p.m("a"))?, f::pattern(1, LEN));
    Ok(())
}

fn shared_mapping_too(t: &T) -> R {
    let (o, p) = two(t)?;
    let (a, b) = (f::open_ro(o.m("a"))?, f::open_ro(p.m("a"))?);
    let (ma, mb) = (sys::map_ro(&a, LEN)?, sys::map(&b, LEN, false)?);
    std::hint::black_box((ma[0], mb[0]));
    check_eq!(
        sys::pfn(ma.as_ptr() as usize)?,
        sys::pfn(mb.as_ptr() as usize)?,
        "frames of a shared and of a private mapping"
    );
    Ok(())
}

fn reading_fills_the_lower_cache(t: &T) -> R {
    let (o, _) = two(t)?;
    drop_caches()?;
    let h = f::open_ro(o.low("a"))?;
    let m = sys::map_ro(&h, LEN)?;
    check!(
        !sys::resident(&m)?.contains(&true),
        "nothing is cached at first"
    );
    f::read(o.m("a"))?;
    check!(
        !sys::resident(&m)?.contains(&false),
        "reading through the overlay fills the cache"
    );
    Ok(())
}

fn many_mounts_one_copy(t: &T) -> R {
    let (o, _) = two(t)?;
    let want = frames(o.low("a"), LEN)?;
    for _ in 0..t.scaled(20, 3) {
        let mut p = t.ovl()?;
        p.lowers = o.lowers.clone();
        p.mount()?;
        check_eq!(frames(p.m("a"), LEN)?, want, "page frames");
    }
    Ok(())
}

fn write_through_upper_shows(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.up("a"), vec![b'x'; 4096])?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    let m = sys::map_ro(&h, 4096)?;
    check_eq!(m[0], b'x');
    // Behind the overlay's back, as the same page cache is used: seen at once.
    f::pwrite(&f::open_rw(o.up("a"))?, 0, "Y")?;
    check_eq!(m[0], b'Y');
    check_eq!(f::pread(&h, 0, 1)?, b"Y");
    Ok(())
}

fn middle_layer_shared_between_different_stacks(t: &T) -> R {
    let o = t.layers(3)?;
    f::write(o.lown(1, "a"), f::pattern(1, LEN))?;
    let mut p = t.ovl_ro(2)?;
    p.lowers[1] = o.lowers[1].clone();
    o.mount()?;
    p.mount()?;
    check_eq!(
        frames(o.m("a"), LEN)?,
        frames(p.m("a"), LEN)?,
        "page frames"
    );
    Ok(())
}

fn drop_behind_fadvise(t: &T) -> R {
    let (o, _) = two(t)?;
    f::read(o.m("a"))?;
    let h = f::open_ro(o.m("a"))?;
    rustix::fs::fadvise(&h, 0, None, rustix::fs::Advice::DontNeed)?;
    let l = f::open_ro(o.low("a"))?;
    let m = sys::map_ro(&l, LEN)?;
    check!(
        sys::resident(&m)?.contains(&false),
        "POSIX_FADV_DONTNEED reaches the lower's pages"
    );
    Ok(())
}
