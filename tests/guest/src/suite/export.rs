// SPDX-License-Identifier: GPL-2.0
//! File handles of the overlay's objects (F108, F109).

use super::prelude::*;
use crate::check::Errno;
use crate::sys::handles::{
    handle, handle_room, open_handle, Fanotify, Handle, AT_HANDLE_CONNECTABLE, AT_HANDLE_FID,
};

cases! { "export";
    fid_without_export;
    fid_survives_copy_up;
    fid_without_upper;
    fid_same_as_other_module;
    fid_needs_room;
    no_connectable_handle;
    no_fid_without_layer_handles;
    fanotify_reports_fids;
    fanotify_filesystem_mark_needs_export;
}

/// Objects of every kind in `dir`, and their names.
pub(super) fn kinds(dir: &Path) -> R<Vec<&'static str>> {
    f::mkdir(dir.join("dir"))?;
    f::mkdir(dir.join("dir/sub"))?;
    f::write(dir.join("file"), "data")?;
    f::write(dir.join("dir/sub/inner"), "inner")?;
    f::symlink("target", dir.join("symlink"))?;
    f::mknod(dir.join("fifo"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(dir.join("socket"), FileType::Socket, 0o644, 0, 0)?;
    f::mknod(dir.join("chr"), FileType::CharacterDevice, 0o644, 1, 3)?;
    f::mknod(dir.join("blk"), FileType::BlockDevice, 0o644, 7, 99)?;
    f::write(dir.join("hard1"), "hard")?;
    f::link(dir.join("hard1"), dir.join("hard2"))?;
    Ok(vec![
        "dir",
        "dir/sub",
        "file",
        "dir/sub/inner",
        "symlink",
        "fifo",
        "socket",
        "chr",
        "blk",
        "hard1",
        "hard2",
    ])
}

/// The handle of the part with this flag: the layer's own handle in overlay's envelope.
pub(super) fn wrapped(real: &Path, upper: bool) -> R<Handle> {
    let inner = handle(real, 0)?;
    let mut bytes = vec![0; 3];
    let len = 21 + inner.bytes.len();
    bytes.extend([
        0,
        0xfb,
        len as u8,
        if upper { 4 } else { 0 },
        inner.kind as u8,
    ]);
    bytes.extend(uuid(real)?);
    bytes.extend(inner.bytes);
    Ok(Handle { kind: 0xf8, bytes })
}

/// The UUID of the file system: `FS_IOC_GETFSUUID`.
fn uuid(p: &Path) -> R<[u8; 16]> {
    let dir = File::open(p.parent().unwrap_or(p))?;
    Ok(sys::handles::fs_uuid(&dir)?.unwrap_or([0; 16]))
}

fn fid_without_export(t: &T) -> R {
    let o = t.ovl()?;
    let low = kinds(&o.low(""))?;
    o.mount()?;
    for n in &low {
        let got = handle(&o.m(n), AT_HANDLE_FID)?;
        check_eq!(got, wrapped(&o.low(n), false)?, "{n}, of the lower");
        check_err!(handle(&o.m(n), 0), EOPNOTSUPP, "{n} cannot be opened");
    }
    f::mkdir(o.m("new"))?;
    for n in kinds(&o.m("new"))? {
        let n = Path::new("new").join(n);
        let got = handle(&o.m(&n), AT_HANDLE_FID)?;
        check_eq!(
            got,
            wrapped(&o.up(&n), true)?,
            "{}, of the upper",
            n.display()
        );
    }
    let root = handle(o.root(), AT_HANDLE_FID)?;
    check_eq!(root, wrapped(&o.up(""), true)?, "the root, of the upper");
    check_err!(
        open_handle(&File::open(o.root())?, &root, libc::O_RDONLY),
        ESTALE
    );
    Ok(())
}

fn fid_survives_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    let names = kinds(&o.low(""))?;
    o.mount()?;
    let mut before = Vec::new();
    for n in names.iter().filter(|n| !n.starts_with("hard")) {
        before.push((*n, handle(&o.m(n), AT_HANDLE_FID)?));
    }
    for (n, fid) in &before {
        if *n == "symlink" {
            f::rename(o.m(n), o.m("symlink2"))?;
            f::rename(o.m("symlink2"), o.m(n))?;
        } else {
            f::chown(o.m(n), 12, 34)?;
        }
        check!(o.in_upper(n)?, "{n} was copied up");
        check_eq!(&handle(&o.m(n), AT_HANDLE_FID)?, fid, "{n} after copy-up");
    }
    o.again()?;
    drop_caches()?;
    for (n, fid) in &before {
        check_eq!(&handle(&o.m(n), AT_HANDLE_FID)?, fid, "{n} after a remount");
    }
    // A broken hard link is an object of its own, as soon as nobody knows better.
    f::chmod(o.m("hard1"), 0o600)?;
    check_eq!(
        handle(&o.m("hard1"), AT_HANDLE_FID)?,
        wrapped(&o.low("hard1"), false)?
    );
    o.again()?;
    check_eq!(
        handle(&o.m("hard1"), AT_HANDLE_FID)?,
        wrapped(&o.up("hard1"), true)?
    );
    check_eq!(
        handle(&o.m("hard2"), AT_HANDLE_FID)?,
        wrapped(&o.low("hard2"), false)?
    );
    Ok(())
}

fn fid_without_upper(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    let names = kinds(&o.lown(1, ""))?;
    f::mkdir(o.low("dir"))?;
    o.mount()?;
    for n in names {
        let at = if n == "dir" { 0 } else { 1 };
        check_eq!(
            handle(&o.m(n), AT_HANDLE_FID)?,
            wrapped(&o.lown(at, n), false)?,
            "{n}"
        );
    }
    check_eq!(
        handle(o.root(), AT_HANDLE_FID)?,
        wrapped(&o.low(""), false)?
    );
    Ok(())
}

fn fid_same_as_other_module(t: &T) -> R {
    let mut o = t.layers(2)?;
    let names = kinds(&o.lown(1, ""))?;
    o.mount()?;
    f::mkdir(o.m("new"))?;
    let mut all: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    for n in kinds(&o.m("new"))? {
        all.push(Path::new("new").join(n));
    }
    all.push(PathBuf::new());
    for n in ["dir", "file", "hard1", "dir/sub/inner"] {
        f::chmod(o.m(n), 0o700)?;
    }
    let fids = |o: &Ovl| -> R<Vec<Handle>> {
        let one = |n: &PathBuf| Ok(handle(&o.m(n), AT_HANDLE_FID)?);
        all.iter().map(one).collect()
    };
    o.again()?;
    let ours = fids(&o)?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    o.mount()?;
    for ((n, a), b) in all.iter().zip(ours).zip(fids(&o)?) {
        check_eq!(a, b, "{}", n.display());
    }
    o.umount()
}

fn fid_needs_room(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let whole = handle(&o.m("a"), AT_HANDLE_FID)?;
    let len = whole.bytes.len();
    check_eq!(len % 4, 0);
    for room in [0, 4, 24, len - 4] {
        match handle_room(&o.m("a"), AT_HANDLE_FID, room) {
            Ok(h) => anyhow::bail!("a handle of {} bytes in {room}", h.bytes.len()),
            Err((e, needed)) => {
                check_eq!(e.errno(), Some(libc::EOVERFLOW), "room for {room}");
                check_eq!(needed as usize, len, "the room that is needed");
            }
        }
    }
    let got = handle_room(&o.m("a"), AT_HANDLE_FID, len).map_err(|(e, _)| e)?;
    check_eq!(got, whole);
    Ok(())
}

fn no_connectable_handle(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(handle(&o.m("a"), AT_HANDLE_CONNECTABLE), EOPNOTSUPP);
    Ok(())
}

fn no_fid_without_layer_handles(t: &T) -> R {
    // An overlay whose own handles cannot be opened, as a layer.
    let below = t.ovl()?;
    f::write(below.low("a"), "x")?;
    below.mount()?;
    let mut o = t.ovl()?;
    o.lowers = vec![below.mnt.clone()];
    o.mount()?;
    // The VFS itself makes one of the inode number.
    check_eq!(handle(&o.m("a"), AT_HANDLE_FID)?.kind, 0x81);
    check_err!(handle(&o.m("a"), 0), EOPNOTSUPP);
    o.umount()
}

fn fanotify_reports_fids(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    let dir = handle(&o.m("d"), AT_HANDLE_FID)?;
    let file = handle(&o.m("d/a"), AT_HANDLE_FID)?;
    let mut fan = Fanotify::new(libc::FAN_REPORT_DFID_NAME_TARGET)?;
    let mask = libc::FAN_MODIFY | libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_EVENT_ON_CHILD;
    fan.mark(0, mask, &o.m("d"))?;
    f::append(o.m("d/a"), "y")?;
    f::write(o.m("d/b"), "")?;
    let new = handle(&o.m("d/b"), AT_HANDLE_FID)?;
    check_eq!(new, wrapped(&o.up("d/b"), true)?);
    let mut events = fan.events()?;
    f::unlink(o.m("d/b"))?;
    events.extend(fan.events()?);
    let seen = |mask: u64, name: &str, object: &Handle| {
        events.iter().any(|e| {
            let has = |kind: u8, h: &Handle, name: &str| {
                let is = |r: &(u8, Handle, String)| (r.0, &r.1, r.2.as_str()) == (kind, h, name);
                e.records.iter().any(is)
            };
            e.mask & mask != 0 && has(2, &dir, name) && has(1, object, "")
        })
    };
    check!(seen(libc::FAN_MODIFY, "a", &file), "modify: {events:?}");
    check!(seen(libc::FAN_CREATE, "b", &new), "create: {events:?}");
    check!(seen(libc::FAN_DELETE, "b", &new), "delete: {events:?}");
    Ok(())
}

fn fanotify_filesystem_mark_needs_export(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let fan = Fanotify::new(libc::FAN_REPORT_FID)?;
    check_err!(
        fan.mark(libc::FAN_MARK_FILESYSTEM, libc::FAN_CREATE, o.root()),
        EOPNOTSUPP
    );
    Ok(())
}
