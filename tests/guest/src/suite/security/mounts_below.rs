// SPDX-License-Identifier: GPL-2.0
//! What the layers are mounted with, and what is mounted on them.

use super::*;
use crate::suite::userns::{give, in_container, mount_with};
use std::ffi::CString;

cases! { "security";
    cve_2021_3732_hidden_under_a_mount;
    cve_2021_3732_detached_and_foreign_mounts;
    cve_2021_3847_set_id_from_a_nosuid_lower;
    unmountable_kinds;
    stack_too_deep;
    nosuid_of_the_lower_mount;
    noexec_of_the_lower_mount;
    lower_mount_flags_of_a_container;
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
