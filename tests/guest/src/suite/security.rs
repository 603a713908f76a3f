// SPDX-License-Identifier: GPL-2.0
//! Attacks: what has gone wrong in an overlay before, tried again. Each test is named after the
//! entry in the list of vulnerabilities that it comes from.

use super::prelude::*;
use super::userns::{as_user, give, in_container, mount_with};
use std::ffi::CString;

cases! { "security";
    cve_2015_1328_copies_of_system_files;
    cve_2015_1328_owner_of_what_is_made;
    cve_2015_8660_setattr_of_others_files;
    cve_2015_8660_setattr_outside;
    cve_2015_8953_nothing_stays_behind;
    cve_2016_1575_setgid_directory;
    cve_2016_1576_set_id_from_a_foreign_mount;
    cve_2016_6197_rename_onto_other_link;
    cve_2016_6198_upper_changed_behind;
    cve_2018_16597_both_inodes_are_checked;
    cve_2019_15794_failed_mmap;
    cve_2020_16120_unreadable_to_the_mounter;
    cve_2021_3493_capability_in_a_namespace;
    cve_2021_3493_capability_of_version_2;
    cve_2021_3732_hidden_under_a_mount;
    cve_2021_3732_detached_and_foreign_mounts;
    cve_2021_3847_set_id_from_a_nosuid_lower;
    cve_2021_20321_entry_gone_behind;
    cve_2021_46972_refused_tmpfile;
    cve_2023_0386_owner_without_a_name;
    cve_2023_0386_capability_of_such_a_file;
    cve_2023_1252_aio_while_it_goes;
    cve_2023_2640_capability_copied_up;
    cve_2023_2640_capability_of_the_namespace;
    cve_2023_32629_own_names;
    cve_2025_21654_watched_object_without_a_name;
    cve_2025_21887_revalidation;
    unmountable_kinds;
    stack_too_deep;
    nosuid_of_the_lower_mount;
    noexec_of_the_lower_mount;
    lower_mount_flags_of_a_container;
    immutable_lower_in_a_container;
    sticky_directory;
    writers_lose_set_id;
    writer_in_container_loses_capability;
    upper_swapped_for_a_symlink;
    lower_swapped_for_a_symlink;
    link_of_a_foreign_file;
}

const CAPS: &str = "security.capability";

/// `cap_net_raw` and the like: of version 2, or of version 3 with this root.
fn caps(root: Option<u32>) -> Vec<u8> {
    let mut v = match root {
        None => 0x0200_0001u32,
        Some(_) => 0x0300_0001,
    }
    .to_le_bytes()
    .to_vec();
    v.extend([
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 1, 0, 0, 0, 0, 0, 0,
    ]);
    v.extend(root.map(u32::to_le_bytes).into_iter().flatten());
    v
}

/// Layers of user 1000, with a file of the system's root in the lower.
fn with_root_file(t: &T, mode: u32) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("etc"))?;
    give(&o, 1000, 1000)?;
    f::write(o.low("etc/passwd"), "root")?;
    f::chmod(o.low("etc/passwd"), mode)?;
    f::chown(o.low("etc"), 0, 0)?;
    Ok(o)
}

/// As [`as_user`], but whose the layers are stays as it is.
fn as_is(job: impl FnOnce() -> R) -> R {
    sys::as_userns_root(1000, 1000, || job().map(|()| String::new())).map(drop)
}

fn untouched(o: &Ovl, p: &str, mode: u32) -> R {
    check_eq!(f::text(o.low(p))?, "root");
    let m = f::stat(o.low(p))?;
    check_eq!((m.uid(), m.mode() & 0o7777), (0, mode), "the lower");
    check!(!o.in_upper(p)?, "nothing was copied up");
    Ok(())
}

fn cve_2015_1328_copies_of_system_files(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        let p = o.m("etc/passwd");
        check_err!(f::append(&p, "x"), EACCES);
        check_err!(f::rename(&p, o.m("mine")), EACCES);
        check_err!(f::unlink(&p), EACCES);
        check_err!(f::write(o.m("etc/new"), "x"), EACCES);
        check_err!(f::rename(o.m("etc"), o.m("etc2")), EXDEV);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o644)?;
    check!(!o.in_upper("etc")?);
    Ok(())
}

fn cve_2015_1328_owner_of_what_is_made(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    f::chmod(o.low("etc"), 0o777)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::write(o.m("new"), "x")?;
        f::chmod(o.m("new"), 0o6755)?;
        f::mkdir(o.m("dir"))?;
        // To write here, the directory of the system's root would have to be copied.
        check_err!(f::write(o.m("etc/new"), "x"), EOVERFLOW);
        o.umount()
    })?;
    for n in ["new", "dir"] {
        check_eq!(f::stat(o.up(n))?.uid(), 1000, "{n}");
    }
    check!(!o.in_upper("etc")?);
    Ok(())
}

fn cve_2015_8660_setattr_of_others_files(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        let p = o.m("etc/passwd");
        check_err!(f::chmod(&p, 0o4777), EPERM);
        check_err!(f::chown(&p, 0, 0), EPERM);
        check_err!(f::utimes(&p, (1, 0), (1, 0)), EPERM);
        check_err!(f::truncate(&p, 0), EACCES);
        check_err!(f::setxattr(&p, "user.x", "y"), EACCES);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o644)
}

fn cve_2015_8660_setattr_outside(t: &T) -> R {
    let o = with_root_file(t, 0o644)?;
    o.mount()?;
    let p = o.m("etc/passwd");
    check_err!(sys::as_user(1000, 1000, || f::chmod(&p, 0o4777)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::chown(&p, 1000, 1000)), EPERM);
    check_err!(sys::as_user(1000, 1000, || f::truncate(&p, 0)), EACCES);
    untouched(&o, "etc/passwd", 0o644)
}

fn cve_2015_8953_nothing_stays_behind(t: &T) -> R {
    // Failed copy-ups of all kinds; the runner unmounts, and notices what is still held.
    let o = with_root_file(t, 0o666)?;
    f::symlink("x", o.low("etc/link"))?;
    f::mknod(o.low("etc/fifo"), FileType::Fifo, 0o666, 0, 0)?;
    f::mkdir(o.low("etc/dir"))?;
    f::chmod(o.low("etc"), 0o777)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        for _ in 0..50 {
            for n in ["passwd", "link", "fifo", "dir"] {
                let p = o.m("etc").join(n);
                check!(f::rename(&p, o.m("moved")).is_err());
                check!(f::link(&p, o.m("linked")).is_err());
                check!(f::utimes(&p, (1, 0), (1, 0)).is_err());
            }
            check!(f::append(o.m("etc/passwd"), "x").is_err());
            check!(f::open(o.m("etc"), libc::O_TMPFILE | libc::O_RDWR, 0o600).is_err());
        }
        o.umount()
    })?;
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    Ok(())
}

fn cve_2016_1575_setgid_directory(t: &T) -> R {
    // An ACL on the lower must not let a stranger's file keep the group of a setgid directory
    // together with the set-group-id bit.
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 50)?;
    f::chmod(o.low("d"), 0o2777)?;
    let acl = super::acl::encode(&[
        (1, 7, !0),
        (2, 7, 1000),
        (4, 7, !0),
        (0x10, 7, !0),
        (0x20, 7, !0),
    ]);
    f::setxattr(o.low("d"), "system.posix_acl_default", &acl)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 1000, || {
        f::open(d.join("a"), libc::O_CREAT | libc::O_WRONLY, 0o2777)?;
        f::mknod(d.join("n"), FileType::RegularFile, 0o2777, 0, 0)?;
        // Over a whiteout too, where it is made somewhere else first.
        f::unlink(d.join("a"))?;
        f::open(d.join("a"), libc::O_CREAT | libc::O_WRONLY, 0o2777)?;
        check_err!(f::chown(d.join("a"), 1000, 51), EPERM);
        f::chmod(d.join("a"), 0o2777)
    })?;
    for n in ["a", "n"] {
        let m = f::stat(o.up("d").join(n))?;
        check_eq!((m.uid(), m.gid(), m.mode() & 0o2000), (1000, 50, 0), "{n}");
    }
    Ok(())
}

fn cve_2016_1576_set_id_from_a_foreign_mount(t: &T) -> R {
    // A file system of the container's own, where its root makes a file that is set-user-id root.
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        let low = CString::new("mode=755")?;
        let flags = MountFlags::NOSUID;
        rustix::mount::mount("tmpfs", o.low(""), "tmpfs", flags, Some(low.as_c_str()))?;
        f::write(o.low("suid"), "x")?;
        f::chmod(o.low("suid"), 0o6755)?;
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("suid"), (1, 0), (1, 0))?;
        o.umount()
    })?;
    let m = f::stat(o.up("suid"))?;
    check_eq!(
        (m.uid(), m.gid()),
        (100_000, 100_000),
        "the root of the container, not of the system"
    );
    Ok(())
}

fn cve_2016_6197_rename_onto_other_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    for _ in 0..3 {
        f::rename(o.m("a"), o.m("b"))?;
        check_eq!(f::ls(o.root())?, ["a", "b"], "links of one file stay");
    }
    f::rename2(o.m("a"), o.m("b"), RenameFlags::EXCHANGE)?;
    // Made into two names of one file behind the overlay's back.
    f::write(o.m("c"), "c")?;
    f::write(o.m("d"), "d")?;
    f::unlink(o.up("d"))?;
    f::link(o.up("c"), o.up("d"))?;
    check_err!(f::rename(o.m("c"), o.m("d")), ESTALE);
    check_err!(f::unlink(o.m("d")), ESTALE);
    Ok(())
}

fn cve_2016_6198_upper_changed_behind(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    for n in ["gone", "other", "moved"] {
        f::write(o.m(n), n)?;
    }
    f::mkdir(o.m("dir"))?;
    f::unlink(o.up("gone"))?;
    f::unlink(o.up("other"))?;
    f::write(o.up("other"), "another file")?;
    f::rename(o.up("moved"), o.up("dir/moved"))?;
    let refused = |r: R| match crate::check::outcome(&r).as_str() {
        "ENOENT" | "ESTALE" => Ok(()),
        other => Err(anyhow::anyhow!("expected ENOENT or ESTALE, got {other}")),
    };
    for n in ["gone", "other", "moved"] {
        refused(f::rename(o.m(n), o.m("x")))?;
        refused(f::unlink(o.m(n)))?;
    }
    check_eq!(f::text(o.up("other"))?, "another file", "nobody touched it");
    Ok(())
}

fn cve_2018_16597_both_inodes_are_checked(t: &T) -> R {
    // The caller has rights that the mounter lacks: the real file is not opened for it.
    let o = with_root_file(t, 0o600)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::read(o.m("etc/passwd")), EACCES, "root of the namespace");
        let pid = std::process::id();
        // The system's root, through the same mount.
        let seen = format!("/proc/{pid}/root{}", o.m("etc/passwd").display());
        f::write(o.m("ask"), seen)?;
        o.umount()
    })?;
    // And the mounter has rights that the caller lacks.
    o.mount()?;
    let p = o.m("etc/passwd");
    check_err!(sys::as_user(1000, 1000, || f::read(&p).map(drop)), EACCES);
    check_err!(sys::as_user(1000, 1000, || f::append(&p, "x")), EACCES);
    Ok(())
}

fn cve_2019_15794_failed_mmap(t: &T) -> R {
    // The files of a control group cannot be mapped; the overlay's file must survive the refusal.
    let mut o = t.ovl_ro(1)?;
    let cgroup = PathBuf::from("/sys/fs/cgroup");
    if !f::exists(cgroup.join("cgroup.procs"))? {
        return Err(Skip("no control groups are mounted".into()).into());
    }
    o.lowers.push(cgroup);
    o.mount()?;
    let h = f::open_ro(o.m("cgroup.controllers"))?;
    for _ in 0..20 {
        check_err!(sys::map_ro(&h, 4096), ENODEV);
    }
    f::pread(&h, 0, 16)?;
    drop(h);
    o.umount()
}

fn cve_2020_16120_unreadable_to_the_mounter(t: &T) -> R {
    let o = with_root_file(t, 0o600)?;
    f::mkdir(o.low("etc/secret"))?;
    f::write(o.low("etc/secret/name"), "x")?;
    f::chmod(o.low("etc/secret"), 0o700)?;
    f::symlink("passwd", o.low("etc/link"))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::read(o.m("etc/passwd")), EACCES);
        check_err!(f::read(o.m("etc/link")), EACCES);
        check_err!(f::ls(o.m("etc/secret")), EACCES);
        check_err!(f::stat(o.m("etc/secret/name")), EACCES);
        check_err!(
            f::open(o.m("etc/passwd"), libc::O_WRONLY | libc::O_TRUNC, 0),
            EACCES
        );
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o600)
}

fn cve_2021_3493_capability_in_a_namespace(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    as_user(&o, || {
        mount_with(&o, "userxattr")?;
        f::write(o.m("new"), "x")?;
        for n in ["new", "low"] {
            f::setxattr(o.m(n), CAPS, caps(None))?;
            check_eq!(f::getxattr(o.m(n), CAPS)?, caps(None), "as seen inside");
        }
        o.umount()
    })?;
    for n in ["new", "low"] {
        check_eq!(
            f::getxattr(o.up(n), CAPS)?,
            caps(Some(1000)),
            "{n}: good for the namespace only"
        );
    }
    Ok(())
}

fn cve_2021_3493_capability_of_version_2(t: &T) -> R {
    // Whatever root id the attacker writes, the upper gets one of the attacker's own.
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        f::write(o.m("a"), "x")?;
        f::setxattr(o.m("a"), CAPS, caps(Some(7)))?;
        f::write(o.m("b"), "x")?;
        check_err!(f::setxattr(o.m("b"), CAPS, caps(Some(200_000))), EINVAL);
        check_err!(f::setxattr(o.m("b"), CAPS, b"\x01\0\0\x02"), EINVAL);
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("a"), CAPS)?, caps(Some(100_007)));
    check_eq!(f::xattr_opt(o.up("b"), CAPS)?, None);
    Ok(())
}

fn cve_2021_3732_hidden_under_a_mount(t: &T) -> R {
    let o = t.ovl_ro(1)?;
    let cover = o.low("cover");
    f::mkdir(&cover)?;
    f::write(cover.join("secret"), "x")?;
    let mut p = o.clone();
    p.lowers = vec![o.lowers[0].clone(), t.p("empty")];
    f::mkdir(t.p("empty"))?;
    give(&p, 1000, 1000)?;
    let data = CString::new("size=64k")?;
    let none = MountFlags::empty();
    rustix::mount::mount("tmpfs", &cover, "tmpfs", none, Some(data.as_c_str()))?;
    as_is(|| {
        check_err!(
            rustix::mount::unmount(&cover, rustix::mount::UnmountFlags::empty()),
            EINVAL,
            "the cover is locked"
        );
        check_err!(
            mount_with(&p, ""),
            EINVAL,
            "a layer with a locked mount in it"
        );
        Ok(())
    })?;
    // Who may take the cover away may look below it.
    p.mount()?;
    check_eq!(f::text(p.m("cover/secret"))?, "x");
    p.umount()
}

fn cve_2021_3732_detached_and_foreign_mounts(t: &T) -> R {
    use rustix::mount::{
        fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsopen, open_tree, FsOpenFlags,
        OpenTreeFlags,
    };
    // A descriptor of a mount of the outside, handed to a container.
    let o = t.ovl_ro(2)?;
    give(&o, 100_000, 100_000)?;
    let dir = rustix::fs::open(
        &o.lowers[0],
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(rustix::fs::CWD, &o.lowers[0], flags)?;
    for (what, fd, errno) in [
        ("attached", &dir, libc::EINVAL),
        ("detached", &tree, libc::EPERM),
    ] {
        in_container(|| {
            let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_fd(&fs, "lowerdir+", fd)?;
            fsconfig_set_string(&fs, "lowerdir+", o.lowers[1].as_path())?;
            let r = fsconfig_create(&fs);
            check_eq!(
                r.as_ref().err().map(|e| e.raw_os_error()),
                Some(errno),
                "{what} mount of the outside"
            );
            Ok(())
        })?;
    }
    Ok(())
}

/// The effective uid that a copy of this program runs with.
fn euid(p: &Path) -> R<String> {
    let p = p.to_path_buf();
    sys::spawn(move || {
        let out = std::process::Command::new(&p)
            .arg("--print-euid")
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_string())
    })?
    .join()
}

fn suid_program(o: &Ovl) -> R {
    f::write(o.low("prog"), f::read("/proc/self/exe")?)?;
    f::chown(o.low("prog"), 1234, 1234)?;
    f::chmod(o.low("prog"), 0o4755)
}

fn bind(p: &Path, flags: MountFlags) -> R {
    rustix::mount::mount_bind(p, p)?;
    rustix::mount::mount_remount(p, MountFlags::BIND | flags, "")?;
    Ok(())
}

fn cve_2021_3847_set_id_from_a_nosuid_lower(t: &T) -> R {
    // By design, to mount is to copy as the mounter: the bits are those of the file.
    let o = t.ovl()?;
    suid_program(&o)?;
    bind(&o.low(""), MountFlags::NOSUID)?;
    o.mount()?;
    f::utimes(o.m("prog"), (1, 0), (1, 0))?;
    check_eq!(f::mode(o.up("prog"))?, 0o4755);
    check_eq!(euid(&o.m("prog"))?, "1234");
    Ok(())
}

fn nosuid_of_the_lower_mount(t: &T) -> R {
    let mut o = t.ovl_ro(2)?;
    suid_program(&o)?;
    check_eq!(euid(&o.low("prog"))?, "1234");
    bind(&o.low(""), MountFlags::NOSUID)?;
    check_eq!(euid(&o.low("prog"))?, "0", "through the lower mount");
    o.mount()?;
    check_eq!(
        euid(&o.m("prog"))?,
        "1234",
        "the overlay's own mount decides"
    );
    o.umount()?;
    o.flags = MountFlags::NOSUID;
    o.mount()?;
    check_eq!(euid(&o.m("prog"))?, "0");
    Ok(())
}

fn noexec_of_the_lower_mount(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    suid_program(&o)?;
    bind(&o.low(""), MountFlags::NOEXEC)?;
    check_err!(sys::run(&o.low("prog"), &[]), EACCES);
    o.mount()?;
    check_eq!(
        euid(&o.m("prog"))?,
        "1234",
        "the overlay's own mount decides"
    );
    Ok(())
}

fn lower_mount_flags_of_a_container(t: &T) -> R {
    // Set-id programs of the system, seen through a mount of a namespace.
    let o = t.ovl_ro(2)?;
    suid_program(&o)?;
    f::chown(o.low("prog"), 0, 0)?;
    f::chmod(o.low("prog"), 0o4755)?;
    sys::as_userns_root(1000, 1000, || {
        f::mkdir("/tmp/at")?;
        let mut p = o.clone();
        p.mnt = "/tmp/at".into();
        mount_with(&p, "")?;
        let pid = std::process::id();
        let seen = PathBuf::from(format!("/proc/{pid}/root/tmp/at/prog"));
        check_eq!(euid(&seen)?, "0", "root of the namespace stays what it is");
        p.umount()?;
        f::rmdir("/tmp/at")?;
        Ok(String::new())
    })?;
    Ok(())
}

fn cve_2021_20321_entry_gone_behind(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    f::mkdir(o.low("dir"))?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::append(o.m("low"), "+")?;
    f::write(o.m("dir/b"), "x")?;
    for n in ["a", "low", "dir/b"] {
        f::unlink(o.up(n))?;
        check_err!(f::rename(o.m(n), o.m("to")), ENOENT, "{n}");
    }
    f::write(o.m("c"), "x")?;
    f::write(o.m("d"), "x")?;
    f::unlink(o.up("d"))?;
    check_err!(f::rename(o.m("c"), o.m("d")), ESTALE, "the target");
    check_err!(
        f::rename2(o.m("c"), o.m("d"), RenameFlags::EXCHANGE),
        ENOENT
    );
    Ok(())
}

fn cve_2021_46972_refused_tmpfile(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = o.m("d");
    for _ in 0..20 {
        let r = sys::as_user(1000, 1000, || {
            f::open(&d, libc::O_TMPFILE | libc::O_RDWR, 0o600).map(drop)
        });
        check_err!(r, EACCES);
        drop(f::open(&d, libc::O_TMPFILE | libc::O_RDWR, 0o600)?);
        check_err!(f::open(&d, libc::O_TMPFILE, 0o600), EINVAL);
    }
    o.umount()?;
    check_eq!(f::ls(o.up("d"))?, [""; 0]);
    Ok(())
}

fn cve_2023_0386_owner_without_a_name(t: &T) -> R {
    // A set-id file of the system's root, as a file system in user space can show one.
    let o = with_root_file(t, 0o6777)?;
    f::mkdir(o.low("mine"))?;
    f::write(o.low("mine/suid"), "root")?;
    f::chmod(o.low("mine/suid"), 0o6777)?;
    f::chown(o.low("mine"), 1000, 1000)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        for p in ["etc/passwd", "mine/suid"] {
            check_err!(f::append(o.m(p), ""), EOVERFLOW, "{p}");
            check_err!(f::open_rw(o.m(p)), EOVERFLOW, "{p}");
            check_err!(f::utimes(o.m(p), (1, 0), (1, 0)), EPERM, "{p}");
            // The times of now are for everybody who may write.
            let now = rustix::fs::Timestamps {
                last_access: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: rustix::fs::UTIME_NOW,
                },
                last_modification: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: rustix::fs::UTIME_NOW,
                },
            };
            let none = rustix::fs::AtFlags::empty();
            check_err!(
                rustix::fs::utimensat(rustix::fs::CWD, o.m(p), &now, none),
                EOVERFLOW,
                "touch {p}"
            );
        }
        check_err!(f::rename(o.m("mine/suid"), o.m("mine/x")), EOVERFLOW);
        o.umount()
    })?;
    untouched(&o, "etc/passwd", 0o6777)?;
    check!(!o.in_upper("mine/suid")?);
    Ok(())
}

fn cve_2023_0386_capability_of_such_a_file(t: &T) -> R {
    let o = with_root_file(t, 0o777)?;
    f::setxattr(o.low("etc/passwd"), CAPS, caps(None))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("etc/passwd"), ""), EOVERFLOW);
        o.umount()
    })?;
    check!(!o.in_upper("etc/passwd")?);
    Ok(())
}

fn cve_2023_1252_aio_while_it_goes(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..8 {
        f::write(o.low(format!("f{i}")), f::pattern(i, 1 << 16))?;
    }
    o.mount()?;
    for i in 0..8u64 {
        let p = o.m(format!("f{i}"));
        let h = match i % 2 {
            0 => f::open_rw(&p)?,
            _ => f::open(&p, libc::O_RDWR | libc::O_DIRECT, 0).or_else(|_| f::open_rw(&p))?,
        };
        f::unlink(&p)?;
        let aio = sys::Aio::new(8)?;
        let (mut a, mut b) = (sys::aligned(4096)?, sys::aligned(4096)?);
        a.fill(i as u8);
        let mut reqs = [
            (0, sys::Io::Write(&a[..])),
            (8192, sys::Io::Read(&mut b[..])),
        ];
        check_eq!(aio.run(&h, &mut reqs)?, [4096, 4096]);
        check_eq!(b.to_vec(), f::pattern(i, 1 << 16)[8192..12288].to_vec());
    }
    o.umount()
}

fn cve_2023_2640_capability_copied_up(t: &T) -> R {
    // The capability of a program of the system: a copy made in a namespace is worth something in
    // that namespace only.
    let o = t.ovl()?;
    f::write(o.low("python3"), "x")?;
    give(&o, 1000, 1000)?;
    f::setxattr(o.low("python3"), CAPS, caps(None))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("python3"), (1, 0), (1, 0))?;
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("python3"), CAPS)?, caps(Some(1000)));
    check_eq!(f::getxattr(o.low("python3"), CAPS)?, caps(None));
    Ok(())
}

fn cve_2023_2640_capability_of_the_namespace(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("python3"), "x")?;
    give(&o, 1000, 1000)?;
    f::setxattr(o.low("python3"), CAPS, caps(Some(1000)))?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        f::utimes(o.m("python3"), (1, 0), (1, 0))?;
        check_eq!(
            f::getxattr(o.m("python3"), CAPS)?,
            caps(None),
            "seen inside"
        );
        o.umount()
    })?;
    check_eq!(f::getxattr(o.up("python3"), CAPS)?, caps(Some(1000)));
    Ok(())
}

fn cve_2023_32629_own_names(t: &T) -> R {
    // What an attacker puts into a layer under the overlay's own names stays data: a redirect out
    // of the layer, a file that claims to be a metacopy of another.
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "public"))?;
    f::mkdir(o.lown(1, "private"))?;
    f::write(o.lown(1, "private/secret"), "secret")?;
    f::mkdir(o.low("public"))?;
    f::write(o.low("meta"), "harmless")?;
    f::setxattr(o.low("public"), "user.overlay.redirect", "/private")?;
    f::setxattr(o.low("meta"), "user.overlay.metacopy", "")?;
    f::setxattr(o.low("meta"), "user.overlay.redirect", "/private/secret")?;
    give(&o, 1000, 1000)?;
    f::chown(o.lown(1, "private"), 0, 0)?;
    f::chmod(o.lown(1, "private"), 0o700)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        // Redirects are off: the directory with one is not merged with anything, or not at all.
        if let Ok(names) = f::ls(o.m("public")) {
            check!(!names.contains(&"secret".to_string()));
        }
        if let Ok(text) = f::text(o.m("meta")) {
            check_eq!(text, "harmless");
        }
        check_err!(f::read(o.m("private/secret")), EACCES);
        o.umount()
    })
}

fn cve_2025_21654_watched_object_without_a_name(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    o.mount()?;
    f::write(o.m("up"), "x")?;
    for n in ["low", "up"] {
        let w = sys::Inotify::watch(&o.m(n), libc::IN_ALL_EVENTS)?;
        let told = format!("/proc/self/fdinfo/{}", w.fd());
        check!(f::text(&told)?.contains("inotify wd:"), "{n}");
        // Without a dentry, the inode is still watched.
        drop_caches()?;
        check!(
            f::text(&told)?.contains("inotify wd:"),
            "{n} without a dentry"
        );
        let h = f::open_ro(o.m(n))?;
        f::unlink(o.m(n))?;
        drop(h);
        f::text(&told)?;
        drop_caches()?;
        f::text(&told)?;
    }
    Ok(())
}

fn cve_2025_21887_revalidation(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..200 {
        f::write(o.low(format!("f{i}")), "x")?;
    }
    o.mount()?;
    let root = o.root().to_path_buf();
    let reader = std::thread::spawn(move || {
        for _ in 0..5 {
            for i in 0..200 {
                let _ = std::fs::metadata(root.join(format!("f{i}")));
                let _ = std::fs::metadata(root.join(format!("f{i}/x")));
            }
        }
    });
    for i in 0..200 {
        f::append(o.m(format!("f{i}")), "+")?;
        if i % 50 == 0 {
            f::write("/proc/sys/vm/drop_caches", "2")?;
        }
        if i % 2 == 0 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader died"))?;
    o.umount()
}

fn unmountable_kinds(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    let mut p = o.clone();
    p.lowers[1] = "/proc".into();
    check_err!(p.mount(), EINVAL, "file systems that nothing stacks on");
    let mut p = o.clone();
    p.lowers[1] = "/proc/self/exe".into();
    check_err!(p.mount(), EINVAL, "no directory");
    let mut p = o.clone();
    p.lowers[1] = "/proc/self/ns".into();
    check_err!(p.mount(), EINVAL);
    Ok(())
}

fn stack_too_deep(t: &T) -> R {
    let mut prev = t.ovl_ro(2)?;
    f::write(prev.low("a"), "x")?;
    prev.mount()?;
    for depth in 2..=3 {
        let mut next = t.ovl_ro(2)?;
        next.lowers[1] = prev.mnt.clone();
        if depth == 3 {
            check_err!(next.mount(), EINVAL);
            t.expect_log(&["stack"])?;
            break;
        }
        next.mount()?;
        check_eq!(f::text(next.m("a"))?, "x");
        prev = next;
    }
    Ok(())
}

fn immutable_lower_in_a_container(t: &T) -> R {
    if t.fs == "tmpfs" {
        return Err(Skip("no flags that need a privilege to be undone".into()).into());
    }
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    give(&o, 100_000, 100_000)?;
    let h = f::open_ro(o.low("a"))?;
    sys::setflags(&h, 0x10)?;
    let r = in_container(|| {
        mount_with(&o, "userxattr")?;
        check_err!(f::append(o.m("a"), "+"), EPERM);
        check_err!(f::unlink(o.m("a")), EPERM);
        check_err!(f::chmod(o.m("a"), 0o777), EPERM);
        let h = f::open_ro(o.m("a"))?;
        check_err!(sys::setflags(&h, 0), EPERM);
        drop(h);
        o.umount()
    });
    sys::setflags(&h, 0)?;
    r
}

fn sticky_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("tmp"))?;
    f::chmod(o.low("tmp"), 0o1777)?;
    f::write(o.low("tmp/a"), "x")?;
    f::chown(o.low("tmp/a"), 1000, 1000)?;
    f::chmod(o.low("tmp/a"), 0o666)?;
    o.mount()?;
    let d = o.m("tmp");
    sys::as_user(1001, 1001, || {
        check_err!(f::unlink(d.join("a")), EPERM);
        check_err!(f::rename(d.join("a"), d.join("b")), EPERM);
        f::append(d.join("a"), "+")?;
        check_err!(f::unlink(d.join("a")), EPERM, "after the copy-up");
        Ok(())
    })?;
    sys::as_user(1000, 1000, || f::unlink(d.join("a")))
}

fn writers_lose_set_id(t: &T) -> R {
    let o = t.ovl()?;
    for n in ["write", "truncate", "fallocate", "chown", "mmap"] {
        f::write(o.low(n), "some data")?;
        f::chown(o.low(n), 1000, 1000)?;
        f::chmod(o.low(n), 0o6777)?;
    }
    f::setxattr(o.low("write"), CAPS, caps(None))?;
    o.mount()?;
    sys::as_user(1001, 1001, || {
        f::append(o.m("write"), "+")?;
        f::truncate(o.m("truncate"), 2)?;
        let h = f::open_rw(o.m("fallocate"))?;
        let none = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&h, none, 0, 4096)?;
        Ok(())
    })?;
    f::chown(o.m("chown"), 1002, 1002)?;
    for n in ["write", "truncate", "fallocate", "chown"] {
        check_eq!(f::mode(o.m(n))?, 0o777, "{n}");
        check_eq!(f::mode(o.up(n))?, 0o777, "{n} in the upper");
    }
    check_eq!(f::xattr_opt(o.up("write"), CAPS)?, None);
    Ok(())
}

fn writer_in_container_loses_capability(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o666)?;
    give(&o, 100_000, 100_000)?;
    f::setxattr(o.low("a"), CAPS, caps(Some(100_000)))?;
    f::chmod(o.low("a"), 0o6666)?;
    in_container(|| {
        mount_with(&o, "userxattr")?;
        let a = o.m("a");
        sys::as_user(7, 7, || f::append(&a, "+"))?;
        check_eq!(f::mode(&a)?, 0o666);
        o.umount()
    })?;
    check_eq!(f::xattr_opt(o.up("a"), CAPS)?, None);
    check_eq!(f::mode(o.up("a"))?, 0o666);
    Ok(())
}

fn upper_swapped_for_a_symlink(t: &T) -> R {
    // The owner of the upper turns a directory into a link to where the owner may not write.
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::mkdir(t.p("target"))?;
    o.mount()?;
    f::write(o.m("d/new"), "x")?;
    f::rename(o.up("d"), o.up("was"))?;
    f::symlink(t.p("target"), o.up("d"))?;
    // Whatever these say, they work on the directory that was opened, or on nothing.
    let _ = f::append(o.m("d/a"), "+");
    let _ = f::write(o.m("d/other"), "x");
    let _ = f::rename(o.m("d/new"), o.m("d/third"));
    check_eq!(f::ls(t.p("target"))?, [""; 0]);
    Ok(())
}

fn lower_swapped_for_a_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(t.p("target"))?;
    f::write(t.p("target/secret"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::rmdir(o.low("d"))?;
    f::symlink(t.p("target"), o.low("d"))?;
    drop_caches()?;
    check_eq!(
        f::readlink(o.m("d"))?,
        t.p("target"),
        "a link to follow by the user"
    );
    check!(f::stat(o.m("d"))?.file_type().is_symlink());
    Ok(())
}

fn link_of_a_foreign_file(t: &T) -> R {
    let o = with_root_file(t, 0o4755)?;
    o.mount()?;
    f::mkdir(o.m("home"))?;
    f::chown(o.m("home"), 1000, 1000)?;
    let was = f::text("/proc/sys/fs/protected_hardlinks")?;
    f::write("/proc/sys/fs/protected_hardlinks", "1")?;
    let (p, l) = (o.m("etc/passwd"), o.m("home/l"));
    let r = sys::as_user(1000, 1000, || f::link(&p, &l));
    f::write("/proc/sys/fs/protected_hardlinks", was.trim())?;
    check_err!(r, EPERM);
    check!(!o.in_upper("etc/passwd")?);
    Ok(())
}
