// SPDX-License-Identifier: GPL-2.0
//! What container runtimes ask of the driver, one test for each point of the contract that was
//! gathered from their sources: podman and the other users of containers/storage, containerd,
//! docker, buildkit, runc, crun, bubblewrap, systemd, ostree, composefs, live systems.

use super::prelude::*;
use anyhow::Context;
use rustix::fs::{Mode, OFlags};
use rustix::mount::{
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_bind,
    move_mount, FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags,
};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

cases! { "contract";
    p01_options_in_any_order;
    p02_new_interface_refuses_at_once;
    p03_every_option_that_is_used;
    p04_names_relative_to_the_caller;
    p05_one_hundred_and_twenty_lowers;
    p06_shown_as_given;
    p07_uuid_of_a_fresh_upper;
    p08_work_directory_and_volatile_marker;
    p09_features_are_off;
    p10_layers_of_a_live_mount;
    p11_whiteouts_of_the_runtimes;
    p12_user_namespace_and_idmapped_lower;
    p13_depth;
    p14_lower_that_changes_later;
    p15_detached_and_executed;
    p16_what_a_root_has_to_do;
    p17_remount_with_options;
    p18_context_without_selinux;
}

fn shell(dir: &Path, text: &str) -> R<String> {
    let out = Command::new("sh")
        .args(["-ec", text])
        .current_dir(dir)
        .output()?;
    check!(
        out.status.success(),
        "{text}: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8(out.stdout)?.trim().to_string())
}

fn options_of(o: &Ovl) -> R<String> {
    Ok(mountinfo(o.root())?.3)
}

fn work(o: &Ovl) -> PathBuf {
    o.work.clone().unwrap_or_default()
}

/// A second place to mount the same layers at.
fn place(t: &T, o: &Ovl, name: &str) -> R<Ovl> {
    let mut p = o.clone();
    p.mnt = t.p(name);
    f::mkdir(&p.mnt)?;
    Ok(p)
}

fn context(t: &T) -> R<OwnedFd> {
    Ok(fsopen(&*t.ty, FsOpenFlags::FSOPEN_CLOEXEC)?)
}

fn set(fd: &OwnedFd, key: &str, value: impl AsRef<Path>) -> R {
    f::ctx(
        fsconfig_set_string(fd, key, value.as_ref()),
        "fsconfig",
        key,
    )
}

fn p01_options_in_any_order(t: &T) -> R {
    let o = t.ovl()?;
    let (l, u, w) = (
        format!("lowerdir={}", o.low("").display()),
        format!("upperdir={}", o.up("").display()),
        format!("workdir={}", work(&o).display()),
    );
    for opts in [
        [&l, &u, &w, "index=off"],
        [&w, "index=off", &u, &l],
        ["index=off", &u, &l, &w],
        [&u, &w, "index=off", &l],
    ] {
        o.mount_only(&opts.join(","))?;
        f::write(o.m("a"), "x")?;
        o.umount()?;
    }
    check_err!(o.mount_with("uidmapping=0:0:1"), EINVAL);
    check_err!(o.mount_with("unsupported"), EINVAL);
    Ok(())
}

fn p02_new_interface_refuses_at_once(t: &T) -> R {
    let o = t.ovl()?;
    let fd = context(t)?;
    check_err!(set(&fd, "unsupported", "x"), EINVAL);
    check_err!(fsconfig_set_flag(&fd, "unsupported"), EINVAL);
    let fd = context(t)?;
    set(&fd, "source", "overlay")?;
    set(&fd, "lowerdir+", o.low(""))?;
    set(&fd, "upperdir", o.up(""))?;
    set(&fd, "workdir", work(&o))?;
    for flag in ["userxattr", "volatile", "ro"] {
        f::ctx(fsconfig_set_flag(&fd, flag), "fsconfig", flag)?;
    }
    fsconfig_create(&fd)?;
    let m = fsmount(
        &fd,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    move_mount(
        &m,
        "",
        rustix::fs::CWD,
        o.root(),
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    let shown = options_of(&o)?;
    for want in ["userxattr", "volatile", "ro"] {
        check!(shown.contains(want), "{want} in {shown}");
    }
    check_err!(f::write(o.m("x"), "x"), EROFS);
    Ok(())
}

fn p03_every_option_that_is_used(t: &T) -> R {
    let o = t.layers(2)?;
    for opts in [
        "index=off",
        "redirect_dir=on",
        "redirect_dir=off",
        "redirect_dir=follow",
        "redirect_dir=nofollow",
        "redirect_dir=on,metacopy=on",
        "metacopy=off",
        "verity=off",
        "verity=on,metacopy=on,redirect_dir=on",
        "verity=require,metacopy=on,redirect_dir=on",
        "xino=off",
        "xino=auto",
        "uuid=off",
        "uuid=null",
        "uuid=on",
        "nfs_export=off",
        "userxattr",
        "default_permissions",
        "redirect_dir=on,metacopy=off",
        "fsync=volatile",
    ] {
        let all = format!("{},{opts}", o.layer_opts());
        o.mount_only(&all).context(opts)?;
        f::write(o.m("a"), "x")?;
        o.umount()?;
        let _ = std::fs::remove_dir_all(work(&o).join("work/incompat"));
    }
    // Data-only layers, and names with what has a meaning in a list.
    let odd = t.p("o:d,d\\");
    f::mkdir(&odd)?;
    f::write(odd.join("a"), "odd")?;
    let mut p = t.ovl_ro(2)?;
    p.lowers[0] = odd;
    p.mount()?;
    check_eq!(f::text(p.m("a"))?, "odd");
    p.umount()?;
    let data = format!(
        "lowerdir={}::{},metacopy=on,redirect_dir=on",
        o.low("").display(),
        o.lown(1, "").display()
    );
    p.mount_only(&data)
}

fn p04_names_relative_to_the_caller(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.low("a"), "0")?;
    f::write(o.lown(1, "b"), "1")?;
    let dir = t.p("o0");
    // podman and docker: l/NAME is a link to ../ID/diff.
    f::mkdir(dir.join("l"))?;
    f::symlink("../lower0", dir.join("l/A"))?;
    f::symlink("../lower1", dir.join("l/B"))?;
    let seen = |o: &Ovl| -> R {
        check_eq!(f::text(o.m("a"))?, "0");
        check_eq!(f::text(o.m("b"))?, "1");
        o.umount()
    };
    std::env::set_current_dir(&dir)?;
    o.mount_only("lowerdir=l/A:l/B,upperdir=upper,workdir=work")?;
    seen(&o)?;
    // podman, where the names are too long: descriptors, from /proc/self/fd.
    let fds: Vec<File> = [o.low(""), o.lown(1, ""), o.up(""), work(&o)]
        .iter()
        .map(f::open_ro)
        .collect::<R<_>>()?;
    let n: Vec<i32> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    std::env::set_current_dir("/proc/self/fd")?;
    o.mount_only(&format!(
        "lowerdir={}:{},upperdir={},workdir={}",
        n[0], n[1], n[2], n[3]
    ))?;
    seen(&o)?;
    std::env::set_current_dir(&dir)?;
    // bubblewrap, crun: the same by their full names, and so is the target.
    let target = f::open_ro(o.root())?;
    let at = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
    let opts = format!(
        "upperdir=/proc/self/fd/{},workdir=/proc/self/fd/{},lowerdir=/proc/self/fd/{}:/proc/self/fd/{}",
        n[2], n[3], n[0], n[1]
    );
    crate::env::mount_raw(&t.ty, &at, &opts, MountFlags::NODEV)?;
    drop(target);
    seen(&o)
}

fn p05_one_hundred_and_twenty_lowers(t: &T) -> R {
    let o = t.layers(120)?;
    for (i, l) in o.lowers.iter().enumerate() {
        f::write(l.join("every"), format!("{i}"))?;
        f::write(l.join(format!("f{i}")), "x")?;
    }
    std::env::set_current_dir(t.p("o0"))?;
    let list: Vec<String> = (0..120).map(|i| format!("lower{i}")).collect();
    o.mount_only(&format!(
        "index=off,workdir=work,upperdir=upper,lowerdir={}",
        list.join(":")
    ))?;
    check_eq!(f::text(o.m("every"))?, "0");
    check_eq!(f::ls(o.root())?.len(), 121);
    f::unlink(o.m("every"))?;
    check!(o.is_whiteout("every")?, "a whiteout");
    Ok(())
}

fn p06_shown_as_given(t: &T) -> R {
    let o = t.layers(2)?;
    std::env::set_current_dir(t.p("o0"))?;
    f::mkdir("l")?;
    f::symlink("../lower0", "l/A")?;
    o.mount_only("workdir=./work,index=off,upperdir=upper,lowerdir=l/A:../o0/lower1")?;
    let shown = options_of(&o)?;
    check!(
        shown.contains(",lowerdir=l/A:../o0/lower1,upperdir=upper,workdir=./work"),
        "the names as given, in the usual order: {shown}"
    );
    Ok(())
}

fn p07_uuid_of_a_fresh_upper(t: &T) -> R {
    let id = |o: &Ovl| -> R<_> {
        let out = shell(&t.dir, &format!("stat -f -c %i {}", o.root().display()))?;
        Ok(u64::from_str_radix(&out, 16)?)
    };
    let o = t.ovl()?;
    o.mount_only(&o.layer_opts())?;
    check_eq!(
        f::getxattr(o.up(""), "trusted.overlay.uuid")?.len(),
        16,
        "bytes of the uuid"
    );
    check!(options_of(&o)?.contains("uuid=on"), "uuid=on is shown");
    let first = id(&o)?;
    check_ne!(first, 0, "the file system has an id");
    o.umount()?;
    o.mount_only(&o.layer_opts())?;
    check_eq!(id(&o)?, first, "which stays");
    let ro = t.ovl_ro(2)?;
    ro.mount_only(&ro.layer_opts())?;
    check_eq!(id(&ro)?, 0, "without an upper there is none");
    check!(
        rustix::fs::statvfs(ro.root())?
            .f_flag
            .contains(rustix::fs::StatVfsMountFlags::RDONLY),
        "and it is read-only"
    );
    let one = t.ovl_ro(1)?;
    check_err!(one.mount_only(&one.layer_opts()), EINVAL);
    Ok(())
}

fn p08_work_directory_and_volatile_marker(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    // docker gives it to the root of the container.
    f::chown(work(&o).join("work"), 100_000, 100_000)?;
    f::write(o.m("a"), "x")?;
    f::unlink(o.m("a"))?;
    o.umount()?;
    o.mount_with("volatile")?;
    let marker = work(&o).join("work/incompat/volatile");
    check!(
        f::exists(marker.join("dirty"))?,
        "the marker of a volatile mount"
    );
    f::write(o.m("b"), "x")?;
    o.umount()?;
    check_err!(o.mount(), EINVAL, "it is in the way of the next mount");
    check_err!(o.mount_with("volatile"), EINVAL);
    std::fs::remove_dir_all(&marker)?;
    o.mount_with("volatile")?;
    check_eq!(f::text(o.m("b"))?, "x");
    Ok(())
}

fn p09_features_are_off(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("f"), "x")?;
    o.mount_only(&o.layer_opts())?;
    let shown = options_of(&o)?;
    for feature in [
        "index=",
        "redirect_dir=",
        "metacopy=",
        "nfs_export=",
        "xino=on",
    ] {
        check!(!shown.contains(feature), "no {feature} in {shown}");
    }
    check_err!(f::rename(o.m("d"), o.m("e")), EXDEV);
    f::chmod(o.m("f"), 0o600)?;
    check_eq!(o.xattr("f", "metacopy")?, None);
    check!(!f::exists(work(&o).join("index"))?, "no index");
    Ok(())
}

fn p10_layers_of_a_live_mount(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.low("a"), "x")?;
    o.mount_only(&format!("index=off,{}", o.layer_opts()))?;
    f::write(o.m("new"), "1")?;
    // The diff of a container that runs: its upper is the topmost lower of a second mount.
    let mut diff = place(t, &o, "diff")?;
    diff.lowers.insert(0, o.up(""));
    diff.upper = None;
    diff.work = None;
    diff.flags = MountFlags::RDONLY;
    diff.mount_only(&format!("index=off,{}", diff.layer_opts()))?;
    check_eq!(f::ls(diff.root())?, ["a", "new"]);
    f::write(o.m("newer"), "2")?;
    check_eq!(f::text(diff.m("newer"))?, "2");
    // A second mount of all the same layers.
    let second = place(t, &o, "second")?;
    second.mount_only(&format!("index=off,{}", o.layer_opts()))?;
    check_eq!(f::text(second.m("new"))?, "1");
    t.expect_log(&["upperdir", "in-use|in use"])?;
    let third = place(t, &o, "third")?;
    check_err!(
        third.mount_only(&format!("index=on,{}", o.layer_opts())),
        EBUSY
    );
    Ok(())
}

fn p11_whiteouts_of_the_runtimes(t: &T) -> R {
    let o = t.layers(2)?;
    for n in ["gone", "d", "opq", "opq/sub", "merged", "plain"] {
        f::mkdirs(o.lown(1, n))?;
        f::write(o.lown(1, n).join("f"), "low")?;
    }
    // An image layer as it is unpacked.
    f::mknod(o.low("gone"), FileType::CharacterDevice, 0, 0, 0)?;
    f::mkdir(o.low("opq"))?;
    f::setxattr(o.low("opq"), "trusted.overlay.opaque", "y")?;
    f::write(o.low("opq/new"), "up")?;
    f::mkdir(o.low("merged"))?;
    f::write(o.low("merged/g"), "up")?;
    o.mount_only(&format!("index=off,{}", o.layer_opts()))?;
    check_eq!(f::ls(o.root())?, ["d", "merged", "opq", "plain"]);
    check_eq!(f::ls(o.m("opq"))?, ["new"]);
    // A change copies the directory up, but not that it is opaque.
    f::write(o.m("opq/mine"), "x")?;
    check_eq!(o.xattr("opq", "opaque")?, None);
    check_eq!(f::ls(o.m("opq"))?, ["mine", "new"]);
    // What a removal leaves is what the runtimes read from the upper.
    f::unlink(o.m("plain/f"))?;
    check!(o.is_whiteout("plain/f")?, "a whiteout for a file");
    f::unlink(o.m("d/f"))?;
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?, "a whiteout for a directory");
    f::mkdir(o.m("d"))?;
    check_eq!(o.xattr("d", "opaque")?, Some(b"y".to_vec()));
    check_err!(f::rename(o.m("merged"), o.m("merged2")), EXDEV);
    f::chmod(o.m("merged/g"), 0o600)?;
    check_eq!(o.xattr("merged/g", "metacopy")?, None);
    check_eq!(f::text(o.up("merged/g"))?, "up");
    Ok(())
}

fn p12_user_namespace_and_idmapped_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    super::userns::as_user(&o, || {
        o.mount_only(&format!("{},userxattr", o.layer_opts()))?;
        f::unlink(o.m("a"))?;
        o.umount()
    })?;
    check_eq!(f::stat(o.up("a"))?.rdev(), 0, "a whiteout of the user");
    let mut p = t.ovl()?;
    f::write(p.low("a"), "x")?;
    let at = t.p("mapped");
    f::mkdir(&at)?;
    shell(
        &t.dir,
        &format!(
            "mount --bind -o X-mount.idmap=0:100000:10000 {} {}",
            p.low("").display(),
            at.display()
        ),
    )?;
    p.lowers = vec![at];
    p.mount()?;
    check_eq!(
        f::stat(p.m("a"))?.uid(),
        100_000,
        "the owner as it is mapped"
    );
    f::append(p.m("a"), "y")?;
    check_eq!(f::stat(p.up("a"))?.uid(), 100_000, "and as it is copied up");
    Ok(())
}

fn p13_depth(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let mut two = t.ovl()?;
    two.lowers = vec![o.mnt.clone()];
    two.mount()?;
    check_eq!(f::text(two.m("a"))?, "x");
    let mut three = t.ovl()?;
    three.lowers = vec![two.mnt.clone()];
    check_err!(three.mount(), EINVAL);
    t.expect_log(&["stack"])?;
    let mut above = t.ovl()?;
    f::mkdir(o.m("u"))?;
    f::mkdir(o.m("w"))?;
    above.upper = Some(o.m("u"));
    above.work = Some(o.m("w"));
    check_err!(above.mount(), EINVAL);
    // The root of the machine, on which much is mounted: what is below shows.
    let mut root = t.ovl()?;
    root.lowers = vec!["/".into()];
    root.mount()?;
    check!(f::exists(root.m("etc/passwd"))?, "the root's own files");
    check_eq!(f::ls(root.m("proc"))?, [""; 0], "not what is mounted there");
    f::write(root.m("etc/new"), "x")?;
    check!(!f::exists("/etc/new")?, "it stays in the upper");
    Ok(())
}

fn p14_lower_that_changes_later(t: &T) -> R {
    // systemd-sysext adds to a lower after mounting, and binds it through the overlay.
    let o = t.ovl_ro(2)?;
    f::mkdirs(o.low("usr/share"))?;
    f::mkdir(o.low(".meta"))?;
    o.mount()?;
    f::mkdir(o.low(".meta/ext"))?;
    f::write(o.low(".meta/ext/dev"), "42")?;
    f::write(o.low("usr/share/late"), "late")?;
    check_eq!(f::text(o.m(".meta/ext/dev"))?, "42");
    check_eq!(f::text(o.m("usr/share/late"))?, "late");
    mount_bind(o.low(".meta"), o.m(".meta"))?;
    f::write(o.low(".meta/more"), "x")?;
    check_eq!(f::text(o.m(".meta/more"))?, "x");
    rustix::mount::unmount(o.m(".meta"), UnmountFlags::DETACH)?;
    check_eq!(f::text(o.m(".meta/ext/dev"))?, "42");
    Ok(())
}

fn p15_detached_and_executed(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    let own = std::env::current_exe()?;
    std::fs::copy(own, o.low("program"))?;
    let fd = context(t)?;
    let list = format!("{}:{}", o.low("").display(), o.lown(1, "").display());
    set(&fd, "lowerdir", &list)?;
    set(&fd, "xino", "off")?;
    fsconfig_create(&fd)?;
    let mount = fsmount(
        &fd,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOSUID,
    )?;
    drop(fd);
    let program = rustix::fs::openat(
        &mount,
        "program",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    drop(mount);
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    check_err!(f::open(&path, libc::O_WRONLY, 0), EROFS);
    let done = Command::new(&path).arg("--print-euid").output()?;
    check!(done.status.success(), "the program runs");
    check_eq!(String::from_utf8(done.stdout)?, "0\n");
    Ok(())
}

fn p16_what_a_root_has_to_do(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec!["/".into()];
    o.mount()?;
    // In a mount namespace of its own: private, bound, the root of it, and the old root gone.
    let m = o.root().display();
    let out = shell(
        &t.dir,
        &format!(
            "exec unshare -m --propagation private sh -ec '
                mount --bind {m} {m}
                mount --make-rslave {m}
                cd {m}
                mount -t proc proc proc
                pivot_root . .
                umount -l .
                cd /
                test -e /etc/passwd
                mknod null c 1 3
                mkfifo fifo
                echo x >file
                setfattr -n user.a -v b file
                setfacl -m u:7:r file
                flock file true
                mount -o remount,bind,ro /
                touch refused 2>/dev/null || echo read-only
                stat -f -c %T /'"
        ),
    )?;
    check_eq!(out, "read-only\noverlayfs");
    check_eq!(f::ls(o.up(""))?, ["fifo", "file", "null"]);
    check_eq!(f::getxattr(o.up("file"), "user.a")?, b"b");
    // Temporary files, shared maps; a lazy unmount while they are in use.
    let tmp = f::open(o.root(), libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
    f::pwrite(&tmp, 0, "temporary")?;
    let file = f::open_rw(o.m("file"))?;
    let mut map = sys::map(&file, 2, true)?;
    map[0] = b'y';
    map.flush()?;
    check_eq!(f::pread(&file, 0, 2)?, b"y\n");
    rustix::mount::unmount(o.root(), UnmountFlags::DETACH)?;
    check_eq!(f::pread(&tmp, 0, 9)?, b"temporary");
    check_eq!(f::text(o.up("file"))?, "y\n");
    Ok(())
}

fn p17_remount_with_options(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let before = options_of(&o)?;
    rustix::mount::mount_remount(o.root(), MountFlags::empty(), "xino=on,metacopy=on")?;
    check_eq!(options_of(&o)?, before, "mount(2) ignores them");
    let fd = rustix::mount::fspick(
        rustix::fs::CWD,
        o.root(),
        rustix::mount::FsPickFlags::FSPICK_CLOEXEC,
    )?;
    check_err!(fsconfig_set_string(&fd, "xino", "on"), EINVAL);
    Ok(())
}

fn p18_context_without_selinux(t: &T) -> R {
    if f::exists("/sys/fs/selinux/enforce")? {
        return Err(Skip("SELinux takes the option".into()).into());
    }
    let o = t.ovl()?;
    let label = "context=\"system_u:object_r:container_file_t:s0\"";
    check_err!(o.mount_with(label), EINVAL);
    o.mount()
}
