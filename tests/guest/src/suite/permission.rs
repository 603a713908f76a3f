// SPDX-License-Identifier: GPL-2.0
//! Permission in two steps: the caller's on the overlay inode, the mounter's on the real one.

use super::prelude::*;
use rustix::fs::{access, Access};

cases! { "permission";
    other_cannot_read;
    owner_reads_and_writes_lower;
    owner_writes_and_owns_the_copy;
    group_access;
    search_permission_on_the_path;
    create_needs_write_on_parent;
    remove_needs_write_on_parent;
    copied_up_dir_keeps_its_limits;
    access_syscall;
    access_for_root;
    faccessat_effective;
    execute_permission;
    no_exec_without_any_x_bit;
    root_overrides_modes;
    write_to_readonly_lower_mount;
    unprivileged_user_causes_copy_up;
    unreadable_by_user_is_copied_by_mounter;
    mounter_without_dac_override;
    mounter_without_dac_override_readdir;
    nodev_nosuid_noexec;
    suid_program_runs_as_owner;
    suid_lost_with_nosuid;
    setgid_group_inheritance_by_user;
    protected_by_parent_of_upper;
    special_files_check_mode;
    umount_needs_no_open_files;
    immutable_by_mode_only;
    user_cannot_set_trusted;
    user_xattr_needs_write;
    chroot_like_use;
}

/// A lower file of uid 1000, gid 50 and this mode, mounted.
fn owned(t: &T, mode: u32) -> R<Ovl> {
    let o = t.ovl()?;
    f::write(o.low("a"), "data")?;
    f::chown(o.low("a"), 1000, 50)?;
    f::chmod(o.low("a"), mode)?;
    o.mount()?;
    Ok(o)
}

fn other_cannot_read(t: &T) -> R {
    let o = owned(t, 0o640)?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || f::read(&a).map(drop)), EACCES);
    check_err!(sys::as_user(1001, 1001, || f::append(&a, "x")), EACCES);
    check_err!(sys::as_user(1001, 1001, || f::write(&a, "x")), EACCES);
    check!(!o.in_upper("a")?, "a refused open does not copy up");
    Ok(())
}

fn owner_reads_and_writes_lower(t: &T) -> R {
    let o = owned(t, 0o600)?;
    let a = o.m("a");
    sys::as_user(1000, 1000, || {
        check_eq!(f::text(&a)?, "data");
        f::append(&a, "+")
    })?;
    check_eq!(f::text(&a)?, "data+");
    Ok(())
}

fn owner_writes_and_owns_the_copy(t: &T) -> R {
    let o = owned(t, 0o640)?;
    let a = o.m("a");
    sys::as_user(1000, 1000, || f::append(&a, "+"))?;
    let m = f::stat(o.up("a"))?;
    check_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (1000, 50, 0o640));
    Ok(())
}

fn group_access(t: &T) -> R {
    let o = owned(t, 0o060)?;
    let a = o.m("a");
    check_err!(sys::as_user(1001, 1001, || f::read(&a).map(drop)), EACCES);
    sys::as_user_groups(1001, 1001, &[50], || f::append(&a, "+"))?;
    check_err!(
        sys::as_user(1000, 1000, || f::read(&a).map(drop)),
        EACCES,
        "the owner bits count"
    );
    check_eq!(f::text(&a)?, "data+");
    Ok(())
}

fn search_permission_on_the_path(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    f::chmod(o.low("d"), 0o700)?;
    o.mount()?;
    let a = o.m("d/e/a");
    check_err!(sys::as_user(1001, 1001, || f::read(&a).map(drop)), EACCES);
    check_err!(sys::as_user(1001, 1001, || f::stat(&a).map(drop)), EACCES);
    f::chmod(o.m("d"), 0o711)?;
    sys::as_user(1001, 1001, || f::read(&a).map(drop))?;
    let d = o.m("d");
    check_err!(sys::as_user(1001, 1001, || f::ls(&d).map(drop)), EACCES);
    Ok(())
}

fn create_needs_write_on_parent(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = o.m("d");
    check_err!(
        sys::as_user(1001, 1001, || f::write(d.join("x"), "x")),
        EACCES
    );
    check_err!(sys::as_user(1001, 1001, || f::mkdir(d.join("x"))), EACCES);
    check_err!(
        sys::as_user(1001, 1001, || f::symlink("x", d.join("x"))),
        EACCES
    );
    check!(!o.in_upper("d")?, "a refused create does not copy up");
    f::chmod(&d, 0o777)?;
    sys::as_user(1001, 1001, || f::write(d.join("x"), "x"))?;
    check_eq!(f::stat(o.up("d/x"))?.uid(), 1001);
    Ok(())
}

fn remove_needs_write_on_parent(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::chmod(o.low("d/a"), 0o666)?;
    o.mount()?;
    let a = o.m("d/a");
    check_err!(sys::as_user(1001, 1001, || f::unlink(&a)), EACCES);
    check_err!(
        sys::as_user(1001, 1001, || f::rename(&a, o.m("d/b"))),
        EACCES
    );
    check!(!o.in_upper("d")?);
    Ok(())
}

fn copied_up_dir_keeps_its_limits(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o755)?;
    f::write(o.low("d/a"), "x")?;
    f::chmod(o.low("d/a"), 0o666)?;
    o.mount()?;
    let (a, b) = (o.m("d/a"), o.m("d/b"));
    // Writing the file copies up the directory, which gives no right to it.
    sys::as_user(1001, 1001, || f::append(&a, "y"))?;
    check!(o.in_upper("d")?);
    check_err!(sys::as_user(1001, 1001, || f::write(&b, "x")), EACCES);
    check_eq!(f::stat(o.up("d"))?.uid(), 0);
    Ok(())
}

fn access_syscall(t: &T) -> R {
    let o = owned(t, 0o654)?;
    let a = o.m("a");
    let yes_no = |uid, gid, groups: &'static [u32]| -> R<String> {
        let a = a.clone();
        let mut s = String::new();
        for (c, m) in [
            ("r", Access::READ_OK),
            ("w", Access::WRITE_OK),
            ("x", Access::EXEC_OK),
        ] {
            let a = a.clone();
            let r = sys::as_user_groups(uid, gid, groups, move || Ok(access(&a, m)?));
            match &r {
                Ok(()) => s += c,
                Err(_) => check_err!(r, EACCES),
            }
        }
        Ok(s)
    };
    check_eq!(yes_no(1000, 1000, &[])?, "rw", "the owner");
    check_eq!(yes_no(1001, 50, &[])?, "rx", "the group");
    check_eq!(yes_no(1001, 1, &[50])?, "rx", "a supplementary group");
    check_eq!(yes_no(1001, 1, &[])?, "r", "others");
    check!(!o.in_upper("a")?);
    Ok(())
}

fn access_for_root(t: &T) -> R {
    let o = owned(t, 0)?;
    access(o.m("a"), Access::READ_OK | Access::WRITE_OK)?;
    check_err!(access(o.m("a"), Access::EXEC_OK), EACCES);
    check_err!(access(o.m("none"), Access::EXISTS), ENOENT);
    let ro = t.ovl_ro(2)?;
    f::write(ro.low("a"), "x")?;
    ro.mount()?;
    access(ro.m("a"), Access::READ_OK)?;
    check_err!(
        access(ro.m("a"), Access::WRITE_OK),
        EROFS,
        "W_OK on a read-only stack"
    );
    Ok(())
}

fn faccessat_effective(t: &T) -> R {
    use rustix::fs::{accessat, AtFlags, CWD};
    let o = owned(t, 0o600)?;
    let a = o.m("a");
    sys::as_user(1000, 1000, || {
        Ok(accessat(CWD, &a, Access::WRITE_OK, AtFlags::EACCESS)?)
    })?;
    let r = sys::as_user(1001, 1, || {
        Ok(accessat(CWD, &a, Access::READ_OK, AtFlags::EACCESS)?)
    });
    check_err!(r, EACCES);
    Ok(())
}

fn prog(o: &Ovl, mode: u32) -> R {
    f::write(o.low("prog"), f::read("/proc/self/exe")?)?;
    f::chmod(o.low("prog"), mode)
}

fn execute_permission(t: &T) -> R {
    let o = t.ovl()?;
    prog(&o, 0o711)?;
    o.mount()?;
    let p = o.m("prog");
    sys::as_user(1001, 1001, || {
        check_eq!(sys::run(&p, &["--scale=x"])?, 2, "exit status");
        Ok(())
    })?;
    f::chmod(&p, 0o710)?;
    check_err!(
        sys::as_user(1001, 1001, || Ok(sys::run(&p, &[]).map(|_| ())?)),
        EACCES
    );
    Ok(())
}

fn no_exec_without_any_x_bit(t: &T) -> R {
    let o = t.ovl()?;
    prog(&o, 0o666)?;
    o.mount()?;
    check_err!(sys::run(&o.m("prog"), &[]), EACCES, "even for root");
    Ok(())
}

fn root_overrides_modes(t: &T) -> R {
    let o = owned(t, 0)?;
    check_eq!(f::text(o.m("a"))?, "data");
    f::append(o.m("a"), "+")?;
    check_eq!(f::mode(o.m("a"))?, 0);
    f::mkdir(o.m("d"))?;
    f::chmod(o.m("d"), 0)?;
    f::write(o.m("d/x"), "x")?;
    check_eq!(f::ls(o.m("d"))?, ["x"]);
    Ok(())
}

fn write_to_readonly_lower_mount(t: &T) -> R {
    // The lower on a read-only mount: copy-up does not mind.
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::mkdir(o.low("d"))?;
    rustix::mount::mount_bind(o.low(""), o.low(""))?;
    rustix::mount::mount_remount(o.low(""), MountFlags::BIND | MountFlags::RDONLY, "")?;
    check_err!(f::append(o.low("a"), "y"), EROFS);
    o.mount()?;
    f::append(o.m("a"), "y")?;
    f::write(o.m("d/new"), "x")?;
    check_eq!(f::text(o.m("a"))?, "xy");
    Ok(())
}

fn unprivileged_user_causes_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("home/u"))?;
    f::chmod(o.low("home"), 0o755)?;
    f::write(o.low("home/u/f"), "x")?;
    f::chown(o.low("home/u"), 1000, 1000)?;
    f::chown(o.low("home/u/f"), 1000, 1000)?;
    // The user may not write to upper and workdir themselves.
    f::chmod(o.up(""), 0o700)?;
    f::chmod(o.work.as_ref().unwrap(), 0o700)?;
    f::chmod(o.up(""), 0o755)?;
    o.mount()?;
    let h = o.m("home/u");
    sys::as_user(1000, 1000, || {
        f::append(h.join("f"), "y")?;
        f::write(h.join("new"), "x")?;
        f::mkdir(h.join("d"))?;
        f::rename(h.join("f"), h.join("d/f"))?;
        f::unlink(h.join("new"))?;
        f::write(h.join("f"), "over the whiteout")
    })?;
    check_eq!(f::ls(&h)?, ["d", "f"]);
    for n in ["home/u", "home/u/f", "home/u/d", "home/u/d/f"] {
        check_eq!(f::stat(o.up(n))?.uid(), 1000, "owner of {n} in the upper");
    }
    check_eq!(
        f::stat(o.up("home"))?.uid(),
        0,
        "owner of home in the upper"
    );
    Ok(())
}

fn unreadable_by_user_is_copied_by_mounter(t: &T) -> R {
    // May write, may not read: the copy-up reads with the mounter's rights.
    let o = owned(t, 0o622)?;
    let a = o.m("a");
    sys::as_user(1001, 1001, || {
        check_err!(f::read(&a), EACCES);
        f::append(&a, "+")
    })?;
    check_eq!(f::text(&a)?, "data+");
    Ok(())
}

/// Mounts without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which the mount then lacks for good.
fn mount_without_dac(o: &Ovl) -> R {
    let o2 = o.clone();
    sys::spawn(move || {
        for c in [1, 2] {
            sys::drop_cap(c)?;
        }
        o2.mount()?;
        Ok(String::new())
    })?
    .join()
    .map(drop)
}

fn mounter_without_dac_override(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    f::chmod(o.low("a"), 0o600)?;
    f::write(o.low("b"), "x")?;
    f::chmod(o.low("b"), 0o666)?;
    mount_without_dac(&o)?;
    // The caller could read the file; the mounter cannot, so nobody can through this mount.
    check_err!(f::read(o.m("a")), EACCES);
    let a = o.m("a");
    check_err!(sys::as_user(1000, 1000, || f::read(&a).map(drop)), EACCES);
    check_eq!(f::text(o.m("b"))?, "x");
    Ok(())
}

fn mounter_without_dac_override_readdir(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::chown(o.low("d"), 1000, 1000)?;
    f::chmod(o.low("d"), 0o700)?;
    f::mkdir(o.lown(1, "e"))?;
    mount_without_dac(&o)?;
    check_err!(f::ls(o.m("d")), EACCES);
    check_err!(f::read(o.m("d/a")), EACCES);
    check_eq!(f::ls(o.m("e"))?, [""; 0]);
    Ok(())
}

fn nodev_nosuid_noexec(t: &T) -> R {
    let mut o = t.ovl()?;
    prog(&o, 0o755)?;
    f::mknod(o.low("null"), FileType::CharacterDevice, 0o666, 1, 3)?;
    o.flags = MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOSUID;
    o.mount()?;
    check_err!(
        sys::run(&o.m("prog"), &[]),
        EACCES,
        "exec on a noexec mount"
    );
    check_err!(f::open_ro(o.m("null")), EACCES, "device on a nodev mount");
    let opts = mountinfo(o.root())?.0;
    for w in ["nodev", "noexec", "nosuid"] {
        check!(opts.split(',').any(|x| x == w), "{w} among {opts}");
    }
    Ok(())
}

/// The effective uid with which `id -u`-like code runs, from a setuid copy of this program.
fn suid(o: &Ovl, p: &Path) -> R<i32> {
    let _ = o;
    let p = p.to_path_buf();
    let s = sys::spawn(move || {
        let out = std::process::Command::new(&p)
            .arg("--print-euid")
            .output()?;
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_string())
    })?
    .join()?;
    Ok(s.parse()?)
}

fn suid_program_runs_as_owner(t: &T) -> R {
    let o = t.ovl()?;
    prog(&o, 0o755)?;
    f::chown(o.low("prog"), 1234, 1234)?;
    f::chmod(o.low("prog"), 0o4755)?;
    o.mount()?;
    check_eq!(suid(&o, &o.m("prog"))?, 1234, "from the lower");
    f::utimes(o.m("prog"), (1, 0), (1, 0))?;
    check_eq!(suid(&o, &o.m("prog"))?, 1234, "copied up");
    Ok(())
}

fn suid_lost_with_nosuid(t: &T) -> R {
    let mut o = t.ovl()?;
    prog(&o, 0o755)?;
    f::chown(o.low("prog"), 1234, 1234)?;
    f::chmod(o.low("prog"), 0o4755)?;
    o.flags = MountFlags::NOSUID;
    o.mount()?;
    check_eq!(suid(&o, &o.m("prog"))?, 0);
    Ok(())
}

fn setgid_group_inheritance_by_user(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chown(o.low("d"), 0, 77)?;
    f::chmod(o.low("d"), 0o2777)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 1000, || {
        f::write(d.join("a"), "x")?;
        f::mkdir(d.join("e"))?;
        f::open(d.join("x"), libc::O_CREAT | libc::O_WRONLY, 0o2775).map(drop)
    })?;
    for n in ["a", "e", "x"] {
        check_eq!(
            (f::stat(d.join(n))?.uid(), f::stat(d.join(n))?.gid()),
            (1000, 77),
            "{n}"
        );
    }
    check_eq!(f::mode(d.join("e"))? & 0o2000, 0o2000);
    check_eq!(
        f::mode(d.join("x"))? & 0o2000,
        0,
        "no setgid file for one outside the group"
    );
    Ok(())
}

fn protected_by_parent_of_upper(t: &T) -> R {
    // A directory above the layers that the user cannot pass is no obstacle inside the overlay.
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::chmod(o.low("a"), 0o666)?;
    f::mkdir(t.p("mnt"))?;
    let mut p = o.clone();
    p.mnt = t.p("mnt");
    f::chmod(o.low("").parent().unwrap(), 0o700)?;
    p.mount()?;
    let a = p.m("a");
    sys::as_user(1001, 1001, || f::append(&a, "y"))?;
    check_eq!(f::text(&a)?, "xy");
    Ok(())
}

fn special_files_check_mode(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("null"), FileType::CharacterDevice, 0o640, 1, 3)?;
    f::mknod(o.low("pipe"), FileType::Fifo, 0o600, 0, 0)?;
    o.mount()?;
    let (n, p) = (o.m("null"), o.m("pipe"));
    check_err!(
        sys::as_user(1001, 1001, || f::open_ro(&n).map(drop)),
        EACCES
    );
    let flags = libc::O_RDONLY | libc::O_NONBLOCK;
    check_err!(
        sys::as_user(1001, 1001, || f::open(&p, flags, 0).map(drop)),
        EACCES
    );
    f::chmod(&n, 0o666)?;
    sys::as_user(1001, 1001, || f::open_rw(&n).map(drop))?;
    // A fifo works across descriptors.
    let mut r = f::open(&p, flags, 0)?;
    let mut w = f::open(&p, libc::O_WRONLY, 0)?;
    w.write_all(b"through")?;
    drop(w);
    check_eq!(f::drain(&mut r)?, b"through");
    Ok(())
}

fn umount_needs_no_open_files(t: &T) -> R {
    let o = owned(t, 0o644)?;
    let h = f::open_ro(o.m("a"))?;
    check_err!(o.umount(), EBUSY);
    drop(h);
    o.umount()
}

fn immutable_by_mode_only(t: &T) -> R {
    // A read-only file of the user's own: chmod gives the right back.
    let o = owned(t, 0o444)?;
    let a = o.m("a");
    check_err!(sys::as_user(1000, 1000, || f::append(&a, "x")), EACCES);
    sys::as_user(1000, 1000, || {
        f::chmod(&a, 0o644)?;
        f::append(&a, "x")
    })
}

fn user_cannot_set_trusted(t: &T) -> R {
    let o = owned(t, 0o666)?;
    let a = o.m("a");
    check_err!(
        sys::as_user(1000, 1000, || f::setxattr(&a, "trusted.x", "y")),
        EPERM
    );
    check_err!(
        sys::as_user(1000, 1000, || f::setxattr(&a, "security.x", "y")),
        EPERM
    );
    f::setxattr(&a, "trusted.x", "y")?;
    check_err!(
        sys::as_user(1000, 1000, || f::getxattr(&a, "trusted.x").map(drop)),
        ENODATA
    );
    sys::as_user(1000, 1000, || {
        check_eq!(
            f::listxattr(&a)?,
            [""; 0],
            "a user does not see trusted names"
        );
        Ok(())
    })
}

fn user_xattr_needs_write(t: &T) -> R {
    let o = owned(t, 0o644)?;
    let a = o.m("a");
    check_err!(
        sys::as_user(1001, 1001, || f::setxattr(&a, "user.x", "y")),
        EACCES
    );
    check!(!o.in_upper("a")?);
    sys::as_user(1000, 1000, || f::setxattr(&a, "user.x", "y"))?;
    check_eq!(
        sys::as_user(1001, 1001, || f::getxattr(&a, "user.x").map(drop)).is_ok(),
        true
    );
    Ok(())
}

fn chroot_like_use(t: &T) -> R {
    let o = t.ovl()?;
    prog(&o, 0o755)?;
    f::mkdir(o.low("proc"))?;
    o.mount()?;
    let root = o.root().to_path_buf();
    sys::spawn(move || {
        rustix::process::chroot(&root)?;
        std::env::set_current_dir("/")?;
        f::write("/new", "x")?;
        check_eq!(f::ls("/")?, ["new", "proc", "prog"]);
        check_eq!(std::env::current_dir()?, Path::new("/"));
        Ok(String::new())
    })?
    .join()?;
    check_eq!(f::text(o.up("new"))?, "x");
    Ok(())
}
