// SPDX-License-Identifier: GPL-2.0
//! Upper file systems that lack something, and upper file systems that fail.

use super::prelude::*;

cases! { "upper_fs";
    without_d_type;
    volatile_error_is_kept;
    unseen_error_refuses_volatile;
}

/// An overlay whose upper is an ext4 made with these options, in an image of 64 MiB in a tmpfs of
/// this size.
fn image(t: &T, room: &str, options: &[&str]) -> R<Ovl> {
    let img = t.tmpfs("room", room)?.join("img");
    f::write(&img, "")?;
    f::truncate(&img, 64 << 20)?;
    let img = img.to_string_lossy().into_owned();
    let mut args = vec!["-q", "-F", "-E", "lazy_itable_init=1"];
    args.extend(options);
    args.push(&img);
    let made = sys::run(Path::new("/sbin/mkfs.ext4"), &args)?;
    check_eq!(made, 0, "status of mkfs.ext4");
    let at = t.p("image");
    f::mkdir(&at)?;
    let to = at.to_string_lossy().into_owned();
    let done = sys::run(Path::new("/bin/mount"), &["-o", "loop", &img, &to])?;
    check_eq!(done, 0, "status of mount");
    let mut o = t.ovl()?;
    for d in ["u", "w"] {
        f::mkdir(at.join(d))?;
    }
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    Ok(o)
}

/// Listings do not say what is a whiteout: the name of what was removed shows, and is not there.
fn without_d_type(t: &T) -> R {
    let o = image(t, "size=64m", &["-O", "^filetype"])?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/gone"), "x")?;
    f::write(o.low("d/stays"), "x")?;
    o.mount()?;
    t.expect_log(&["d_type"])?;
    f::write(o.m("d/new"), "x")?;
    f::unlink(o.m("d/gone"))?;
    check_eq!(f::ls(o.m("d"))?, ["gone", "new", "stays"]);
    check_err!(f::stat(o.m("d/gone")), ENOENT);
    check_eq!(f::text(o.m("d/stays"))?, "x");
    Ok(())
}

/// Writes more than there is room for below the file system; the error comes with writeback.
fn spoil(p: PathBuf) -> R {
    let h = f::open(&p, libc::O_CREAT | libc::O_WRONLY, 0o644)?;
    for at in 0..24 {
        f::pwrite(&h, at << 20, f::pattern(at, 1 << 20))?;
    }
    // Waits for the writing, and tells nobody but this descriptor.
    check!(
        sys::sync_file_range(&h, 0, 24 << 20).is_err() || h.sync_data().is_err(),
        "writing what there is no room for fails"
    );
    Ok(())
}

const SMALL: (&str, &[&str]) = ("size=8m", &["-O", "^has_journal"]);

fn syncfs(p: &Path) -> R {
    f::ctx(rustix::fs::syncfs(f::open_ro(p)?), "syncfs", p)
}

fn volatile_error_is_kept(t: &T) -> R {
    let o = image(t, SMALL.0, SMALL.1)?;
    f::write(o.low("lower"), "x")?;
    o.mount_with("volatile")?;
    f::write(o.m("a"), "x")?;
    let h = f::open_rw(o.m("a"))?;
    syncfs(o.root())?;
    h.sync_all()?;
    spoil(o.up("big"))?;
    for turn in 1..3 {
        check_err!(syncfs(o.root()), EIO, "syncfs, {turn}");
        // These are told what it was.
        check_err!(h.sync_all(), ENOSPC, "fsync of another file, {turn}");
        let dir = f::open_ro(o.root())?;
        check_err!(dir.sync_all(), ENOSPC, "fsync of the directory, {turn}");
    }
    // Even that of a lower file, which nobody writes.
    check_err!(f::open_ro(o.m("lower"))?.sync_all(), ENOSPC);
    check_eq!(f::text(o.m("lower"))?, "x");
    Ok(())
}

fn unseen_error_refuses_volatile(t: &T) -> R {
    let o = image(t, SMALL.0, SMALL.1)?;
    spoil(o.up("big"))?;
    check_err!(o.mount_with("volatile"), EIO);
    t.expect_log(&["volatile", "sync"])?;
    // Whoever asks is told, and then the error is known.
    check_err!(syncfs(&o.up("")), EIO, "syncfs of the upper");
    o.mount_with("volatile")?;
    syncfs(o.root())?;
    o.umount()
}
