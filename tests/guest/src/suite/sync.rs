// SPDX-License-Identifier: GPL-2.0
//! Syncing: what `syncfs`, `fsync` and unmounting write to the upper filesystem.

use super::prelude::*;

cases! { "sync";
    syncfs_writes_the_upper.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
    fsync_writes_the_file.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
    unmount_writes_the_upper.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
    remount_read_only_writes_the_upper.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
    syncfs_of_readonly_stack;
    sync_of_everything;
    syncfs_through_lower_object.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
    volatile_does_not_sync.only_fs(&["ext4", "xfs", "btrfs"], "no delayed allocation to look at");
}

/// How many extents of the upper file wait to be allocated on disk.
fn delayed(p: PathBuf) -> R<usize> {
    Ok(sys::fiemap_flags(&f::open_ro(p)?)?
        .iter()
        .filter(|f| **f & 4 != 0)
        .count())
}

/// An overlay with a file that was just written.
fn dirty(t: &T, more: &str) -> R<Ovl> {
    let o = t.ovl()?;
    super::optional_mount(
        t,
        o.mount_only(&format!("{},{}{more}", o.layer_opts(), OFF)),
    )?;
    f::write(o.m("a"), f::pattern(1, 300_000))?;
    check!(
        delayed(o.up("a"))? > 0,
        "data that was just written waits for allocation"
    );
    Ok(o)
}

fn syncfs_writes_the_upper(t: &T) -> R {
    let o = dirty(t, "")?;
    f::ctx(
        rustix::fs::syncfs(f::open_ro(o.root())?),
        "syncfs",
        o.root(),
    )?;
    check_eq!(delayed(o.up("a"))?, 0, "extents that still wait");
    Ok(())
}

fn fsync_writes_the_file(t: &T) -> R {
    let o = dirty(t, "")?;
    f::open_ro(o.m("a"))?.sync_all()?;
    check_eq!(delayed(o.up("a"))?, 0, "extents that still wait");
    Ok(())
}

fn unmount_writes_the_upper(t: &T) -> R {
    let o = dirty(t, "")?;
    o.umount()?;
    check_eq!(delayed(o.up("a"))?, 0, "extents that still wait");
    Ok(())
}

fn remount_read_only_writes_the_upper(t: &T) -> R {
    let o = dirty(t, "")?;
    rustix::mount::mount_remount(o.root(), MountFlags::RDONLY, "")?;
    check_eq!(delayed(o.up("a"))?, 0, "extents that still wait");
    Ok(())
}

fn syncfs_of_readonly_stack(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::ctx(rustix::fs::syncfs(f::open_ro(o.m("a"))?), "syncfs", "a")
}

fn sync_of_everything(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), f::pattern(1, 100_000))?;
    rustix::fs::sync();
    check!(f::read(o.up("a"))? == f::pattern(1, 100_000));
    Ok(())
}

fn syncfs_through_lower_object(t: &T) -> R {
    let o = dirty(t, "")?;
    f::write(o.low("l"), "x")?;
    f::ctx(rustix::fs::syncfs(f::open_ro(o.m("l"))?), "syncfs", "l")?;
    check_eq!(delayed(o.up("a"))?, 0, "extents that still wait");
    Ok(())
}

fn volatile_does_not_sync(t: &T) -> R {
    let o = dirty(t, ",volatile")?;
    f::open_ro(o.m("a"))?.sync_all()?;
    rustix::fs::syncfs(f::open_ro(o.root())?)?;
    check!(delayed(o.up("a"))? > 0, "nothing is written out");
    o.umount()?;
    check_err!(o.mount(), EINVAL, "the next mount of a volatile overlay");
    t.expect_log(&["incompat", "volatile"])
}
