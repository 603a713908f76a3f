// SPDX-License-Identifier: GPL-2.0
//! Which file systems may be a layer, what is done without where one lacks something, and that
//! quotas are obeyed (F26-F33, F96, F116).

use super::prelude::*;
use crate::kinds;
use crate::tools::{self, arg, run, Nfsd};
use std::os::fd::AsRawFd;

cases! { "layer_rules";
    names_compared_otherwise.only_fs(&["tmpfs"], ONCE);
    automount_as_a_layer.only_fs(&["tmpfs"], ONCE);
    automount_inside_a_layer.only_fs(&["tmpfs"], ONCE);
    overlay_as_upper;
    overlay_as_workdir_of_another;
    nfs_as_upper.only_fs(&["ext4"], ONCE);
    fuse_as_upper.only_fs(&["ext4"], ONCE);
    minix_as_upper.only_fs(&["tmpfs"], ONCE);
    bfs_as_lower;
    ramfs_as_upper.only_fs(&["tmpfs"], ONCE);
    two_lowers_without_uuid;
    two_lowers_of_one_uuid;
    read_only_file_system_as_upper;
    upper_becomes_read_only;
    quota_on_write.only_fs(QUOTA, NO_QUOTA);
    quota_on_copy_up.only_fs(&["ext4"], XFS);
    quota_on_data_of_a_metacopy.only_fs(QUOTA, NO_QUOTA);
    quota_of_inodes.only_fs(QUOTA, NO_QUOTA);
    quota_of_a_group.only_fs(&["ext4"], XFS);
    quota_of_a_project.only_fs(QUOTA, NO_QUOTA);
}

const ONCE: &str = "no file system of the test's own is involved";
const QUOTA: &[&str] = &["ext4", "xfs"];
const NO_QUOTA: &str = "it is not mounted with quotas, or has none";
const XFS: &str = "ext4 alone has it: xfs lets a file be given to one whose quota is used up";

/// File systems with a comparison of names of their own.
fn names_compared_otherwise(t: &T) -> R {
    for kind in ["vfat", "iso9660, Joliet"] {
        let l = kinds::lower(t, "tmpfs", kind)?;
        let mut o = t.ovl_ro(2)?;
        o.lowers[1] = l.root.clone();
        t.kmsg_since();
        check_err!(o.mount(), EINVAL, "{kind} as a lower");
        t.expect_log(&["not supported|cannot be a layer"])?;
        let mut o = t.ovl()?;
        o.lowers[0] = l.root.clone();
        check_err!(o.mount(), EINVAL, "{kind} as the only lower");
        drop(l);
        for left in ["lower-mount", "lower-mount.img"] {
            let _ = f::rmdir(t.p(left)).or_else(|_| f::unlink(t.p(left)));
        }
    }
    tools::needs("vfat")?;
    let fat = tools::file_system(&t.dir, "fat", &["mkfs.vfat"], 16, "rw")?;
    let mut o = t.ovl()?;
    o.upper = Some(fat.join("u"));
    o.work = Some(fat.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(fat.join("w"))?;
    check_err!(o.mount(), EINVAL, "vfat as the upper");
    t.expect_log(&["not supported|cannot be a layer"])
}

/// An autofs whose daemon this process is.
fn autofs(t: &T, name: &str, how: &str) -> R<(PathBuf, std::os::fd::OwnedFd)> {
    tools::needs("autofs")?;
    let at = t.p(name);
    f::mkdir(&at)?;
    let (rd, wr) = rustix::pipe::pipe()?;
    let group = rustix::process::getpgrp().as_raw_nonzero();
    let opts = format!(
        "fd={},pgrp={group},minproto=5,maxproto=5,{how}",
        wr.as_raw_fd()
    );
    mount_raw("autofs", &at, &opts, MountFlags::empty())?;
    Ok((at, rd))
}

fn automount_as_a_layer(t: &T) -> R {
    let (at, _daemon) = autofs(t, "auto", "direct")?;
    let mut o = t.ovl_ro(2)?;
    o.lowers[1] = at;
    t.kmsg_since();
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["not supported|cannot be a layer"])
}

fn automount_inside_a_layer(t: &T) -> R {
    let (at, _daemon) = autofs(t, "auto", "indirect")?;
    f::mkdir(at.join("trigger"))?;
    let mut o = t.ovl_ro(2)?;
    o.lowers[1] = at;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "x");
    check_err!(f::stat(o.m("trigger")), EREMOTE);
    check_err!(f::ls(o.m("trigger")), EREMOTE);
    Ok(())
}

fn overlay_as_upper(t: &T) -> R {
    for ty in [t.ty.as_str(), t.other_ty()?] {
        let mut below = t.ovl()?;
        below.ty = ty.into();
        below.mount()?;
        let mut o = t.ovl()?;
        o.upper = Some(below.m("u"));
        o.work = Some(below.m("w"));
        f::mkdir(below.m("u"))?;
        f::mkdir(below.m("w"))?;
        t.kmsg_since();
        check_err!(o.mount(), EINVAL, "an upper on {ty}");
        t.expect_log(&["not supported as upperdir|cannot be an upper layer"])?;
    }
    Ok(())
}

fn overlay_as_workdir_of_another(t: &T) -> R {
    let below = t.ovl()?;
    below.mount()?;
    let mut o = t.ovl()?;
    o.work = Some(below.m("w"));
    f::mkdir(below.m("w"))?;
    check_err!(o.mount(), EINVAL);
    Ok(())
}

/// A remote upper has to have all that an upper can have: it is refused, not worked around.
fn nfs_as_upper(t: &T) -> R {
    let from = t.p("exported");
    for d in ["u", "w"] {
        f::mkdirs(from.join(d))?;
    }
    let mut server = Nfsd::start(&t.dir)?;
    server.export(&from, "fsid=99")?;
    for version in ["3", "4.2"] {
        let at = t.p(format!("nfs{version}"));
        server.mount(&from, &at, version)?;
        let mut o = t.ovl()?;
        o.upper = Some(at.join("u"));
        o.work = Some(at.join("w"));
        for opts in ["", ",userxattr"] {
            t.kmsg_since();
            let opts = format!("{}{opts}", o.layer_opts());
            check_err!(o.mount_only(&opts), EINVAL, "NFS {version}: {opts}");
            t.expect_log(&["missing required features|lacks what a remote one needs"])?;
        }
    }
    Ok(())
}

fn fuse_as_upper(t: &T) -> R {
    let from = t.p("passed-through");
    for d in ["u", "w"] {
        f::mkdirs(from.join(d))?;
    }
    tools::needs("fuse")?;
    let at = t.p("fuse");
    f::mkdir(&at)?;
    run("bindfs", &[arg(&from)?, arg(&at)?])?;
    let mut o = t.ovl()?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    t.kmsg_since();
    check_err!(o.mount_only(&o.layer_opts()), EINVAL);
    t.expect_log(&["missing required features|lacks what a remote one needs"])
}

/// An empty minix file system (version 1) of 1 MiB.
fn minix_image(p: &Path) -> R {
    const BLOCK: usize = 1024;
    let mut image = vec![0u8; 1 << 20];
    let mut put = |at: usize, b: &[u8]| image[at..at + b.len()].copy_from_slice(b);
    let (inodes, zones, first) = (320u16, 1024u16, 14u16);
    for (i, v) in [inodes, zones, 1, 1, first, 0].iter().enumerate() {
        put(BLOCK + 2 * i, &v.to_le_bytes());
    }
    put(BLOCK + 12, &0x1008_1c00u32.to_le_bytes());
    put(BLOCK + 16, &0x138fu16.to_le_bytes());
    put(BLOCK + 18, &1u16.to_le_bytes());
    // In both bitmaps: number 0, which is none, the root directory, and what is past the end.
    for (block, end) in [(2, 321), (3, 1012)] {
        let mut map = [0u8; BLOCK];
        for bit in (0..2).chain(end..8 * BLOCK) {
            map[bit / 8] |= 1 << (bit % 8);
        }
        put(block * BLOCK, &map);
    }
    let root = 4 * BLOCK;
    put(root, &0o40755u16.to_le_bytes());
    put(root + 4, &64u32.to_le_bytes());
    put(root + 13, &[2]);
    put(root + 14, &first.to_le_bytes());
    for (i, name) in [&b"."[..], b".."].iter().enumerate() {
        let at = usize::from(first) * BLOCK + 32 * i;
        put(at, &1u16.to_le_bytes());
        put(at + 2, name);
    }
    f::write(p, image)
}

/// No attributes, no types in listings, no splicing, no whiteouts by renaming, no handles; but
/// local, so it is taken.
fn minix_as_upper(t: &T) -> R {
    minix_image(&t.p("minix.img"))?;
    tools::needs("minix")?;
    let at = t.p("minix");
    tools::loop_mount(&t.p("minix.img"), &at, "rw")?;
    let mut o = t.ovl()?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(at.join("w"))?;
    poor_upper(t, &o, true)?;
    let log = t.kmsg_since().join("\n");
    check!(log.contains("d_type"), "{log}");
    check!(log.contains("RENAME_WHITEOUT"), "{log}");
    Ok(())
}

fn ramfs_as_upper(t: &T) -> R {
    let at = t.p("ramfs");
    f::mkdir(&at)?;
    mount_raw("ramfs", &at, "mode=755", MountFlags::empty())?;
    let mut o = t.ovl()?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(at.join("w"))?;
    poor_upper(t, &o, false)
}

/// What an overlay does on an upper without attributes, and without `RENAME_WHITEOUT`; `minix` has
/// no types in listings either, and cannot be spliced to.
fn poor_upper(t: &T, o: &Ovl, minix: bool) -> R {
    f::mkdirs(o.low("dir/sub"))?;
    f::write(o.low("dir/a"), "x")?;
    f::write(o.low("gone"), "x")?;
    f::write(o.low("empty"), "")?;
    f::write(o.low("hard1"), "x")?;
    f::link(o.low("hard1"), o.low("hard2"))?;
    t.kmsg_since();
    let first = "redirect_dir=on,index=on,metacopy=on,xino=auto,uuid=on";
    o.mount_only(&format!("{},{first}", o.layer_opts()))?;
    let (_, _, _, opts) = mountinfo(o.root())?;
    let of_layers = ["lowerdir", "upperdir", "workdir"];
    let opts: Vec<&str> = opts
        .split(',')
        .filter(|x| !of_layers.iter().any(|l| x.starts_with(l)))
        .collect();
    check_eq!(opts, ["rw", "redirect_dir=nofollow", "uuid=null"]);
    if !minix {
        f::append(o.m("hard1"), "+")?;
        check_eq!(f::text(o.m("hard1"))?, "x+");
        check_eq!(f::text(o.m("hard2"))?, "x", "no index: the link is broken");
    } else {
        check_err!(f::append(o.m("hard1"), "+"), EINVAL);
        check!(!o.in_upper("hard1")?);
    }
    let before = f::stat(o.m("empty"))?.ino();
    f::chmod(o.m("empty"), 0o600)?;
    check_eq!(
        f::stat(o.m("empty"))?.ino(),
        before,
        "as long as it is known"
    );
    f::append(o.m("empty"), "+")?;
    check_eq!(f::text(o.up("empty"))?, "+");
    f::unlink(o.m("gone"))?;
    check_err!(f::stat(o.m("gone")), ENOENT);
    check!(o.is_whiteout("gone")?);
    f::write(o.m("gone"), "again")?;
    check_eq!(f::text(o.m("gone"))?, "again");
    check_err!(f::rename(o.m("dir"), o.m("dir2")), EXDEV);
    check_err!(
        f::rename(o.m("empty"), o.m("full")),
        EINVAL,
        "a whiteout must stay"
    );
    f::write(o.m("new"), "new")?;
    f::rename(o.m("new"), o.m("newer"))?;
    f::unlink(o.m("dir/a"))?;
    f::rmdir(o.m("dir/sub"))?;
    check_err!(f::stat(o.m("dir/a")), ENOENT);
    // Without types in the upper's listings its whiteouts cannot be told from files.
    let listed: &[&str] = if minix { &["a", "sub"] } else { &[] };
    check_eq!(f::ls(o.m("dir"))?, listed);
    check_err!(f::mkdir(o.m("dir/sub")), EIO, "it cannot be marked opaque");
    check_eq!(
        f::ls(o.root())?,
        ["dir", "empty", "gone", "hard1", "hard2", "newer"]
    );
    if minix {
        return o.umount();
    }
    let want = tree::snapshot(o.root(), tree::ALL)?;
    o.umount()?;
    o.mount_only(&o.layer_opts())?;
    tree::same(
        "mounted again",
        &want,
        &tree::snapshot(o.root(), tree::ALL)?,
    )
}

/// A bfs with one file.
fn bfs_image(p: &Path) -> R {
    const BLOCK: usize = 512;
    let mut image = vec![0u8; 64 * BLOCK];
    let end = image.len() as u32 - 1;
    let mut words = |at: usize, w: &[u32]| {
        for (i, w) in w.iter().enumerate() {
            image[at + 4 * i..at + 4 * i + 4].copy_from_slice(&w.to_le_bytes());
        }
    };
    // 48 inodes, then data.
    words(0, &[0x1bad_face, 7 * BLOCK as u32, end, !0, !0, !0, !0]);
    let mut inode = |n: u32, block: u32, len: u32, kind: u32, mode: u32| {
        let at = BLOCK + (n as usize - 2) * 64;
        let last = block * BLOCK as u32 + len - 1;
        words(at, &[n, block, block, last, kind, mode, 0, 0, 1, 9, 9, 9]);
    };
    inode(2, 7, 48, 2, 0o40755);
    inode(3, 8, 5, 1, 0o100_640);
    for (i, (ino, name)) in [(2u8, &b"."[..]), (2, b".."), (3, b"file")]
        .iter()
        .enumerate()
    {
        let at = 7 * BLOCK + 16 * i;
        image[at] = *ino;
        image[at + 2..at + 2 + name.len()].copy_from_slice(name);
    }
    image[8 * BLOCK..8 * BLOCK + 5].copy_from_slice(b"hello");
    f::write(p, image)
}

/// No handles, no types in listings, names of 14 bytes.
fn bfs_as_lower(t: &T) -> R {
    bfs_image(&t.p("bfs.img"))?;
    tools::needs("bfs")?;
    let at = t.p("bfs");
    tools::loop_mount(&t.p("bfs.img"), &at, "ro")?;
    let mut o = t.ovl()?;
    o.lowers = vec![at];
    t.kmsg_since();
    o.mount_only(&format!(
        "{},redirect_dir=on,index=on,nfs_export=on,metacopy=off,xino=auto",
        o.layer_opts()
    ))?;
    t.expect_log(&["file handles", "index=off"])?;
    let (_, _, _, opts) = mountinfo(o.root())?;
    for on in ["index=on", "nfs_export=on", "xino=auto"] {
        check!(!opts.contains(on), "{on} in {opts}");
    }
    let long = "a name that is longer than what the lower knows";
    check_err!(f::stat(o.m(long)), ENOENT);
    f::write(o.m(long), "x")?;
    check_eq!(f::text(o.m("file"))?, "hello");
    check_eq!(f::mode(o.m("file"))?, 0o640);
    f::append(o.m("file"), "+")?;
    check_eq!(f::text(o.m("file"))?, "hello+");
    check_eq!(f::ls(o.root())?, [long, "file"]);
    check_eq!(
        o.xattr("file", "origin")?,
        Some(vec![]),
        "an origin that leads nowhere"
    );
    let names = rustix::fs::statvfs(o.root())?.f_namemax;
    check_eq!(names, rustix::fs::statvfs(o.up(""))?.f_namemax);
    f::unlink(o.m("file"))?;
    check!(o.is_whiteout("file")?);
    o.again()?;
    check_eq!(f::ls(o.root())?, [long]);
    Ok(())
}

/// Options that a mount with these lowers ends up with.
fn ends_up_with(t: &T, o: &Ovl) -> R<Vec<String>> {
    t.kmsg_since();
    o.mount_only(&format!(
        "{},redirect_dir=on,index=on,nfs_export=on,metacopy=off,xino=auto",
        o.layer_opts()
    ))?;
    let (_, _, _, opts) = mountinfo(o.root())?;
    let kept = ["index=on", "nfs_export=on", "xino=auto"];
    let kept = kept.iter().filter(|k| opts.contains(**k));
    Ok(kept.map(|k| k.to_string()).collect())
}

fn two_lowers_without_uuid(t: &T) -> R {
    let made = kinds::lower(t, &t.fs, "squashfs")?;
    let second = t.p("second");
    let image = PathBuf::from("/tmp/layer-images/squashfs");
    let copy = t.p("copy.img");
    f::ctx(std::fs::copy(&image, &copy), "copy", &image)?;
    tools::loop_mount(&copy, &second, "ro")?;
    let mut o = t.ovl()?;
    // One is told by having none.
    o.lowers = vec![made.one("")];
    check_eq!(
        ends_up_with(t, &o)?,
        ["index=on", "nfs_export=on", "xino=auto"]
    );
    o.umount()?;
    let mut o = t.ovl()?;
    o.lowers = vec![made.one(""), second.join("two")];
    check_eq!(ends_up_with(t, &o)?, [""; 0]);
    t.expect_log(&["uuid"])?;
    check_eq!(f::text(o.m("dir/inner"))?, "inner");
    f::append(o.m("dir/inner"), "+")?;
    o.umount()?;
    drop(made);
    Ok(())
}

fn two_lowers_of_one_uuid(t: &T) -> R {
    let first = tools::file_system(&t.dir, "first", &["mkfs.ext4", "-q", "-F"], 16, "rw")?;
    for d in ["one", "two"] {
        f::mkdirs(first.join(d).join("dir"))?;
        f::write(first.join(d).join("dir/file"), d)?;
    }
    rustix::fs::sync();
    f::ctx(
        rustix::mount::unmount(&first, rustix::mount::UnmountFlags::empty()),
        "unmount",
        &first,
    )?;
    let copy = t.p("copy.img");
    f::ctx(std::fs::copy(t.p("first.img"), &copy), "copy", &copy)?;
    tools::loop_mount(&t.p("first.img"), &first, "ro")?;
    let second = t.p("second");
    tools::loop_mount(&copy, &second, "ro")?;
    let mut o = t.ovl()?;
    o.lowers = vec![first.join("one"), second.join("two")];
    check_eq!(ends_up_with(t, &o)?, [""; 0]);
    t.expect_log(&["uuid"])?;
    f::chmod(o.m("dir/file"), 0o600)?;
    check_eq!(f::text(o.m("dir/file"))?, "one");
    Ok(())
}

fn read_only_file_system_as_upper(t: &T) -> R {
    let at = tools::file_system(&t.dir, "fs", &["mkfs.ext4", "-q", "-F"], 16, "rw")?;
    let mut o = t.ovl()?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(at.join("w"))?;
    rustix::mount::mount_remount(&at, MountFlags::RDONLY, "")?;
    t.kmsg_since();
    check_err!(o.mount(), EINVAL);
    t.expect_log(&["read-only"])?;
    // Not even when the overlay shall be read-only itself.
    o.flags = MountFlags::RDONLY;
    check_err!(o.mount(), EINVAL);
    // As a lower it is welcome.
    o.flags = MountFlags::empty();
    o.lowers.insert(0, at.join("u"));
    o.upper = None;
    o.work = None;
    o.mount()
}

/// A file system that goes read-only under a mounted overlay, as one does after an error.
fn upper_becomes_read_only(t: &T) -> R {
    let at = tools::file_system(&t.dir, "fs", &["mkfs.ext4", "-q", "-F"], 16, "rw")?;
    let mut o = t.ovl()?;
    f::write(o.low("low"), "low")?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(at.join("w"))?;
    o.mount()?;
    f::write(o.m("up"), "up")?;
    rustix::fs::sync();
    // `EXT4_IOC_SHUTDOWN`, after all was written.
    let dir = f::open_ro(&at)?;
    f::ctx(sys::ioctl0(&dir, 0x8004_587d), "shut down", &at)?;
    check_eq!(f::text(o.m("low"))?, "low", "the lower is not concerned");
    for r in [
        f::append(o.m("low"), "+"),
        f::write(o.m("new"), "x"),
        f::unlink(o.m("low")),
        f::mkdir(o.m("dir")),
    ] {
        check_err!(r, EIO);
    }
    check_eq!(f::text(o.m("low"))?, "low");
    drop(dir);
    o.umount()
}

const USER: u32 = 0;
const GROUP: u32 = 1;
const PROJECT: u32 = 2;
/// Somebody whose use of space is limited.
const WHO: u32 = 1000;

/// An overlay whose upper is on a file system of the kind under test with all quotas on.
fn with_quota(t: &T) -> R<Ovl> {
    let at = if t.fs == "ext4" {
        let mkfs = [
            "mkfs.ext4",
            "-q",
            "-F",
            "-O",
            "quota,project",
            "-E",
            "quotatype=usrquota:grpquota:prjquota",
        ];
        tools::file_system(&t.dir, "fs", &mkfs, 64, "usrquota,grpquota,prjquota")?
    } else {
        tools::file_system(
            &t.dir,
            "fs",
            &["mkfs.xfs", "-q"],
            320,
            "uquota,gquota,pquota",
        )?
    };
    let mut o = t.ovl()?;
    o.upper = Some(at.join("u"));
    o.work = Some(at.join("w"));
    f::mkdir(o.up(""))?;
    f::mkdir(at.join("w"))?;
    f::chmod(o.up(""), 0o777)?;
    Ok(o)
}

/// At most so many KiB and so many objects.
fn limit(o: &Ovl, kind: u32, id: u32, kib: u64, objects: u64) -> R {
    let dir = f::open_ro(o.up(""))?;
    f::ctx(
        sys::set_quota(&dir, kind, id, kib, objects),
        "set a quota at",
        o.up(""),
    )
}

fn fill(p: &Path) -> R {
    let mut file = f::open(p, libc::O_WRONLY | libc::O_CREAT, 0o644)?;
    for i in 0..64 {
        f::ctx(file.write_all(&f::pattern(i, 1 << 16)), "write to", p)?;
    }
    f::ctx(file.sync_all(), "fsync", p)
}

fn quota_on_write(t: &T) -> R {
    let o = with_quota(t)?;
    limit(&o, USER, WHO, 1024, 0)?;
    o.mount()?;
    let mine = o.m("mine");
    sys::as_user(WHO, WHO, || {
        check_err!(fill(&mine), EDQUOT);
        Ok(())
    })?;
    check!(f::stat(&mine)?.size() <= 1 << 20);
    // The superuser's right to exceed a quota is not lent to what the overlay does.
    let roots = o.m("roots");
    f::write(&roots, "")?;
    f::chown(&roots, WHO, WHO)?;
    check_err!(fill(&roots), EDQUOT);
    limit(&o, USER, WHO, 0, 0)?;
    fill(&roots)?;
    sys::as_user(WHO, WHO, || fill(&mine))
}

/// A lower file of 1 MiB that belongs to somebody.
fn big(o: &Ovl, uid: u32, gid: u32) -> R {
    f::write(o.low("big"), f::pattern(1, 1 << 20))?;
    f::chown(o.low("big"), uid, gid)
}

/// The lower file cannot be copied up now, and nothing is left of the attempt; then it can.
fn copied_up_when_allowed(o: &Ovl, errno: i32, allow: impl FnOnce() -> R) -> R {
    use crate::check::Errno;
    for attempt in ["open", "chmod"] {
        let r = match attempt {
            "open" => f::open_rw(o.m("big")).map(drop),
            _ => f::chmod(o.m("big"), 0o600),
        };
        let got = r.as_ref().err().and_then(Errno::errno);
        check_eq!(got, Some(errno), "{attempt}: {r:?}");
        check!(!o.in_upper("big")?, "after {attempt}");
        check_eq!(o.work_entries()?, [""; 0], "after {attempt}");
        check!(f::read(o.m("big"))? == f::pattern(1, 1 << 20));
    }
    allow()?;
    f::append(o.m("big"), "+")?;
    check_eq!(f::stat(o.up("big"))?.size(), (1 << 20) + 1);
    check_eq!(f::stat(o.low("big"))?.size(), 1 << 20);
    Ok(())
}

fn quota_on_copy_up(t: &T) -> R {
    let o = with_quota(t)?;
    big(&o, WHO, WHO)?;
    limit(&o, USER, WHO, 512, 0)?;
    o.mount()?;
    // The new file is of the mounter while its data comes: the owner changes at the end.
    copied_up_when_allowed(&o, libc::EDQUOT, || limit(&o, USER, WHO, 4096, 0))
}

fn quota_on_data_of_a_metacopy(t: &T) -> R {
    let mut o = with_quota(t)?;
    o.opts = "redirect_dir=on,index=off,metacopy=on,xino=off,nfs_export=off".into();
    big(&o, WHO, WHO)?;
    limit(&o, USER, WHO, 512, 0)?;
    o.mount()?;
    f::chmod(o.m("big"), 0o644)?;
    check!(o.xattr("big", "metacopy")?.is_some());
    check_err!(f::append(o.m("big"), "+"), EDQUOT);
    check!(o.xattr("big", "metacopy")?.is_some(), "it is still one");
    check!(f::read(o.m("big"))? == f::pattern(1, 1 << 20));
    limit(&o, USER, WHO, 4096, 0)?;
    f::append(o.m("big"), "+")?;
    check_eq!(o.xattr("big", "metacopy")?, None);
    Ok(())
}

fn quota_of_inodes(t: &T) -> R {
    let o = with_quota(t)?;
    limit(&o, USER, WHO, 0, 4)?;
    f::write(o.low("theirs"), "x")?;
    f::chown(o.low("theirs"), WHO, WHO)?;
    o.mount()?;
    let p = |i: u32| o.m(format!("f{i}"));
    sys::as_user(WHO, WHO, || {
        f::write(p(0), "x")?;
        f::mkdir(p(1))?;
        f::symlink("x", p(2))?;
        f::mknod(p(3), FileType::Fifo, 0o600, 0, 0)?;
        check_err!(f::write(p(4), "x"), EDQUOT);
        check_err!(f::mkdir(p(5)), EDQUOT);
        check_err!(f::symlink("x", p(6)), EDQUOT);
        check_err!(f::mknod(p(7), FileType::Fifo, 0o600, 0, 0), EDQUOT);
        Ok(())
    })?;
    if t.fs == "ext4" {
        check_err!(f::append(o.m("theirs"), "+"), EDQUOT, "a copy-up");
        check_eq!(o.work_entries()?, [""; 0]);
    }
    let first = p(0);
    sys::as_user(WHO, WHO, || f::unlink(&first))?;
    f::append(o.m("theirs"), "+")?;
    check_eq!(f::stat(o.up("theirs"))?.uid(), WHO);
    Ok(())
}

fn quota_of_a_group(t: &T) -> R {
    let o = with_quota(t)?;
    big(&o, 0, 2000)?;
    limit(&o, GROUP, 2000, 512, 0)?;
    o.mount()?;
    copied_up_when_allowed(&o, libc::EDQUOT, || limit(&o, GROUP, 2000, 4096, 0))
}

fn quota_of_a_project(t: &T) -> R {
    let o = with_quota(t)?;
    // New objects of upper and workdir belong to the project.
    for d in [o.up(""), o.up("../w")] {
        let dir = f::open_ro(d)?;
        let mut a = sys::fsgetxattr(&dir)?;
        a.xflags |= 0x200;
        a.projid = 77;
        sys::fssetxattr(&dir, &a)?;
    }
    big(&o, 0, 0)?;
    limit(&o, PROJECT, 77, 512, 0)?;
    o.mount()?;
    let of = |p: &Path| -> R<_> {
        let s = rustix::fs::statvfs(p)?;
        Ok((s.f_blocks * s.f_frsize, s.f_bfree))
    };
    check_eq!(of(o.root())?, of(&o.up(""))?, "statfs knows of the limit");
    check_eq!(of(o.root())?.0, 512 << 10, "the size");
    // xfs takes a project for a small file system: it is full.
    let full = if t.fs == "xfs" {
        libc::ENOSPC
    } else {
        libc::EDQUOT
    };
    copied_up_when_allowed(&o, full, || limit(&o, PROJECT, 77, 4096, 0))
}
