// SPDX-License-Identifier: GPL-2.0
//! The module: it stays while it is used, and counts its users.

use super::alias::{loaded, tool, unload, FILE};
use super::prelude::*;

cases! { "unload";
    refused_while_mounted;
    use_count;
    failed_mounts_hold_nothing;
    detached_mount_holds_it;
    in_proc_filesystems;
    mount_loads_it;
}

fn users(t: &T) -> R<u64> {
    Ok(f::text(format!("/sys/module/{}/refcnt", t.ty))?
        .trim()
        .parse()?)
}

/// The use count, once what is put off (freeing superblocks) has been done.
fn settles_at(t: &T, want: u64) -> R {
    for _ in 0..200 {
        if users(t)? == want {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    check_eq!(users(t)?, want, "use count of the module");
    Ok(())
}

fn refused_while_mounted(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let name = std::ffi::CString::new(t.ty.as_str())?;
    check_err!(sys::delete_module(&name), EAGAIN);
    f::write(o.m("a"), "x")
}

fn use_count(t: &T) -> R {
    let before = users(t)?;
    let (o, p) = (t.ovl()?, t.ovl()?);
    o.mount()?;
    settles_at(t, before + 1)?;
    p.mount()?;
    settles_at(t, before + 2)?;
    f::write(o.m("a"), "x")?;
    o.umount()?;
    p.umount()?;
    settles_at(t, before)
}

fn failed_mounts_hold_nothing(t: &T) -> R {
    let before = users(t)?;
    let mut o = t.ovl()?;
    for opts in ["", "nonsense", "lowerdir=/does/not/exist", "lowerdir=/"] {
        check!(o.mount_only(opts).is_err(), "'{opts}' does not mount");
    }
    o.lowers.push(o.lowers[0].clone());
    check_err!(o.mount(), ELOOP);
    settles_at(t, before)
}

fn detached_mount_holds_it(t: &T) -> R {
    let before = users(t)?;
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    rustix::mount::unmount(o.root(), rustix::mount::UnmountFlags::DETACH)?;
    check_eq!(
        users(t)?,
        before + 1,
        "use count with a file open in a detached mount"
    );
    check_eq!(f::pread(&h, 0, 9)?, b"x");
    drop(h);
    settles_at(t, before)
}

fn in_proc_filesystems(t: &T) -> R {
    let line = f::text("/proc/filesystems")?;
    let line = line
        .lines()
        .find(|l| l.split_whitespace().last() == Some(t.ty.as_str()));
    check_eq!(line.map(str::to_string), Some(format!("nodev\t{}", t.ty)));
    Ok(())
}

/// Installed where depmod looks, the module comes with the first mount of its type.
fn mount_loads_it(t: &T) -> R {
    if t.ty == "overlay_rs" {
        let release = f::text("/proc/sys/kernel/osrelease")?;
        let place = Path::new("/lib/modules")
            .join(release.trim())
            .join("updates");
        f::mkdirs(&place)?;
        std::fs::copy(FILE, place.join("overlay_rs.ko"))?;
        tool("depmod", &["-a"])?;
    }
    unload(&t.ty)?;
    check!(!loaded(&t.ty), "the module is out");
    let o = t.ovl()?;
    let mounted = o.mount();
    if !loaded(&t.ty) && t.ty == "overlay_rs" {
        tool("insmod", &[FILE])?;
    }
    mounted?;
    check!(loaded(&t.ty), "the module is loaded");
    f::write(o.m("a"), "x")
}
