// SPDX-License-Identifier: GPL-2.0
//! The mounts around an overlay: propagation, bind mounts of trees and of single files, and
//! detached mounts, as layers and as the overlay itself.

use super::prelude::*;
use crate::env::mounts_below;
use rustix::fs::CWD;
use rustix::mount::{
    fsconfig_create, fsconfig_set_fd, fsconfig_set_string, fsmount, fsopen, mount_bind,
    mount_bind_recursive, mount_change, mount_remount, move_mount, open_tree, unmount,
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags as Prop, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use std::os::fd::{AsFd, OwnedFd};

cases! { "mounts";
    shared_tree_passes_it_on;
    slave_only_receives;
    private_receives_nothing;
    mount_inside_reaches_the_peers;
    mount_inside_across_copy_up;
    other_namespace_sees_it_come_and_go;
    unmounted_here_used_elsewhere;
    mountpoint_elsewhere_is_no_obstacle;
    recursive_bind_with_an_overlay_inside;
    moved_mount;
    tree_bound_before_copy_up;
    tree_bound_and_renamed;
    lower_tree_bound_and_redirected;
    tree_bound_and_removed;
    read_only_bind;
    file_bound_before_copy_up;
    file_bound_and_written_elsewhere;
    file_bound_and_unlinked;
    lower_file_bound_and_unlinked;
    file_bound_and_replaced;
    mounted_over_its_own_lower;
    detached_overlay;
    detached_overlay_is_attached_later;
    layers_on_detached_mounts;
    layers_on_filesystems_never_attached;
    detached_overlay_as_layer;
    clone_of_a_subtree_as_layer;
}

/// A tree at `t.p(name)` that is a mount of its own, with this propagation.
fn place(t: &T, name: &str, prop: Prop) -> R<PathBuf> {
    let p = t.tmpfs(name, "size=1m")?;
    f::mkdir(p.join("m"))?;
    mount_change(&p, prop)?;
    Ok(p)
}

/// A further mount of the same tree.
fn copy_of(t: &T, of: &Path, name: &str, prop: Option<Prop>) -> R<PathBuf> {
    let p = t.p(name);
    f::mkdir(&p)?;
    mount_bind(of, &p)?;
    if let Some(prop) = prop {
        mount_change(&p, prop)?;
    }
    Ok(p)
}

/// An overlay with a lower file `a`, a lower directory `d` with a file `x`, mounted at `at`.
fn overlay_at(t: &T, at: PathBuf) -> R<Ovl> {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    o.mnt = at;
    o.mount()?;
    Ok(o)
}

/// As [`overlay_at`], at its usual place.
fn overlay(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    o.mount()?;
    Ok(o)
}

/// Whether something is mounted just there.
fn is_mounted(p: &Path) -> R<bool> {
    let above = p.parent().unwrap();
    Ok(mounts_below(above)?.iter().any(|m| m == p))
}

fn shared_tree_passes_it_on(t: &T) -> R {
    let s = place(t, "s", Prop::SHARED)?;
    let peer = copy_of(t, &s, "peer", None)?;
    let o = overlay_at(t, s.join("m"))?;
    check!(is_mounted(&peer.join("m"))?, "the peer has the mount");
    check_eq!(mountinfo(&peer.join("m"))?.1, t.ty);
    f::append(peer.join("m/a"), "b")?;
    check_eq!(f::text(o.m("a"))?, "ab");
    check_eq!(
        f::stat(peer.join("m/a"))?.dev(),
        f::stat(o.m("a"))?.dev(),
        "one file system"
    );
    unmount(peer.join("m"), UnmountFlags::empty())?;
    check!(!is_mounted(o.root())?, "unmounted at both places");
    Ok(())
}

fn slave_only_receives(t: &T) -> R {
    let s = place(t, "s", Prop::SHARED)?;
    let slave = copy_of(t, &s, "slave", Some(Prop::DOWNSTREAM))?;
    let o = overlay_at(t, s.join("m"))?;
    check_eq!(f::text(slave.join("m/a"))?, "a");
    unmount(slave.join("m"), UnmountFlags::empty())?;
    check_eq!(f::text(o.m("a"))?, "a", "what a slave unmounts stays");
    o.umount()?;
    let o = overlay_at(t, slave.join("m"))?;
    check_eq!(
        f::ls(s.join("m"))?.len(),
        0,
        "what a slave mounts is its own"
    );
    o.umount()
}

fn private_receives_nothing(t: &T) -> R {
    let s = place(t, "s", Prop::SHARED)?;
    let own = copy_of(t, &s, "own", Some(Prop::PRIVATE))?;
    let o = overlay_at(t, s.join("m"))?;
    check_eq!(f::ls(own.join("m"))?.len(), 0);
    o.umount()
}

fn mount_inside_reaches_the_peers(t: &T) -> R {
    let o = overlay(t)?;
    mount_change(o.root(), Prop::SHARED)?;
    let peer = copy_of(t, o.root(), "peer", None)?;
    mount_raw("tmpfs", &o.m("d"), "size=1m", MountFlags::empty())?;
    f::write(o.m("d/inside"), "x")?;
    check_eq!(f::ls(peer.join("d"))?, ["inside"]);
    check_err!(f::rename(o.m("d"), o.m("e")), EBUSY);
    unmount(peer.join("d"), UnmountFlags::empty())?;
    check_eq!(f::ls(o.m("d"))?, ["x"]);
    check!(!o.in_upper("d")?, "mounting copies nothing up");
    Ok(())
}

fn mount_inside_across_copy_up(t: &T) -> R {
    let o = overlay(t)?;
    mount_change(o.root(), Prop::SHARED)?;
    let peer = copy_of(t, o.root(), "peer", None)?;
    let below = f::open(o.m("d"), libc::O_PATH, 0)?;
    mount_raw("tmpfs", &o.m("d"), "size=1m", MountFlags::empty())?;
    mount_bind(o.m("d"), o.m("a")).expect_err("a directory over a file");
    f::write(t.p("file"), "over")?;
    mount_bind(t.p("file"), o.m("a"))?;
    // The objects below the mounts are copied up: one by its parent, one by its descriptor.
    f::chown(o.root(), 1, 1)?;
    use std::os::fd::AsRawFd;
    f::chmod(format!("/proc/self/fd/{}", below.as_raw_fd()), 0o700)?;
    check!(o.in_upper("d")?, "the directory below the mount");
    drop_caches()?;
    for root in [o.root(), &peer] {
        check_eq!(f::text(root.join("a"))?, "over");
        check_eq!(f::ls(root.join("d"))?.len(), 0, "the mount is still there");
    }
    unmount(o.m("a"), UnmountFlags::empty())?;
    unmount(o.m("d"), UnmountFlags::empty())?;
    check_eq!(f::text(peer.join("a"))?, "a");
    check_eq!(f::mode(peer.join("d"))?, 0o700);
    Ok(())
}

/// Two processes that take turns: each waits for the other's word.
struct Turns {
    mine: File,
    theirs: File,
}

impl Turns {
    fn pair() -> R<(Self, Self)> {
        let flags = rustix::pipe::PipeFlags::CLOEXEC;
        let (r1, w1) = rustix::pipe::pipe_with(flags)?;
        let (r2, w2) = rustix::pipe::pipe_with(flags)?;
        let one = Self {
            mine: r1.into(),
            theirs: w2.into(),
        };
        let other = Self {
            mine: r2.into(),
            theirs: w1.into(),
        };
        Ok((one, other))
    }

    fn next(&mut self) -> R {
        self.theirs.write_all(b".")?;
        self.wait()
    }

    fn wait(&mut self) -> R {
        Ok(self.mine.read_exact(&mut [0])?)
    }
}

/// Runs `there` in another mount namespace, taking turns with `here`. Both begin with a wait of
/// the one for the other: `there` does the first step.
fn two_namespaces(there: impl FnOnce(&mut Turns) -> R, here: impl FnOnce(&mut Turns) -> R) -> R {
    let (mut one, mut other) = Turns::pair()?;
    let child = sys::in_mount_namespace(move || {
        there(&mut other)?;
        other.theirs.write_all(b".")?;
        Ok(String::new())
    })?;
    one.wait()?;
    let done = here(&mut one);
    drop(one);
    child.join()?;
    done
}

fn other_namespace_sees_it_come_and_go(t: &T) -> R {
    let s = place(t, "s", Prop::SHARED)?;
    let m = s.join("m");
    two_namespaces(
        |turn| {
            check_eq!(f::ls(&m)?.len(), 0);
            turn.next()?;
            check_eq!(f::text(m.join("a"))?, "a", "it has come");
            f::append(m.join("d/x"), "y")?;
            turn.next()?;
            check_eq!(f::ls(&m)?.len(), 0, "it has gone");
            Ok(())
        },
        |turn| {
            let o = overlay_at(t, m.clone())?;
            turn.next()?;
            check_eq!(f::text(o.m("d/x"))?, "xy");
            o.umount()?;
            turn.next()
        },
    )
}

fn unmounted_here_used_elsewhere(t: &T) -> R {
    let o = overlay(t)?;
    let m = o.root().to_path_buf();
    two_namespaces(
        |turn| {
            turn.next()?;
            check_eq!(f::ls(&m)?, ["a", "d"], "the copy in this namespace");
            f::append(m.join("a"), "b")?;
            f::unlink(m.join("d/x"))?;
            turn.next()?;
            unmount(&m, UnmountFlags::empty())?;
            Ok(())
        },
        |turn| {
            o.umount()?;
            turn.next()?;
            check_eq!(f::text(o.up("a"))?, "ab");
            check!(o.is_whiteout("d/x")?);
            // The layers are still in use by the other one.
            t.kmsg_since();
            check_err!(o.mount_with("index=on"), EBUSY);
            t.expect_log(&["in-use|in use"])?;
            turn.next()
        },
    )?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a", "d"]);
    Ok(())
}

fn mountpoint_elsewhere_is_no_obstacle(t: &T) -> R {
    let o = overlay(t)?;
    f::unlink(o.m("d/x"))?;
    let m = o.root().to_path_buf();
    two_namespaces(
        |turn| {
            mount_raw("tmpfs", &m.join("d"), "size=1m", MountFlags::empty())?;
            f::write(m.join("d/inside"), "x")?;
            mount_bind(m.join("d/inside"), m.join("a"))?;
            turn.next()?;
            check!(!f::exists(m.join("d"))?, "removed with the mount on it");
            check!(!f::exists(m.join("a"))?, "so was the file");
            check_eq!(mounts_below(&m)?.len(), 0);
            Ok(())
        },
        |turn| {
            f::rmdir(o.m("d"))?;
            f::unlink(o.m("a"))?;
            check!(o.is_whiteout("d")? && o.is_whiteout("a")?);
            turn.next()
        },
    )
}

fn recursive_bind_with_an_overlay_inside(t: &T) -> R {
    let s = place(t, "s", Prop::PRIVATE)?;
    let o = overlay_at(t, s.join("m"))?;
    mount_raw("tmpfs", &o.m("d"), "size=1m", MountFlags::empty())?;
    f::write(o.m("d/inside"), "x")?;
    let r = t.p("r");
    f::mkdir(&r)?;
    mount_bind_recursive(&s, &r)?;
    check_eq!(f::ls(r.join("m/d"))?, ["inside"]);
    f::write(r.join("m/new"), "x")?;
    check_eq!(f::ls(o.root())?, ["a", "d", "new"]);
    unmount(&r, UnmountFlags::DETACH)?;
    check_eq!(f::ls(o.root())?, ["a", "d", "new"]);
    Ok(())
}

fn moved_mount(t: &T) -> R {
    let o = overlay(t)?;
    let h = f::open_ro(o.m("d"))?;
    let to = t.p("to");
    f::mkdir(&to)?;
    rustix::mount::mount_move(o.root(), &to)?;
    check_eq!(f::ls(o.root())?.len(), 0);
    f::append(to.join("a"), "b")?;
    check_eq!(f::text(o.up("a"))?, "ab");
    use std::os::fd::AsRawFd;
    check_eq!(
        f::readlink(format!("/proc/self/fd/{}", h.as_raw_fd()))?,
        to.join("d")
    );
    Ok(())
}

fn tree_bound_before_copy_up(t: &T) -> R {
    let o = overlay(t)?;
    let b = t.p("b");
    f::mkdir(&b)?;
    mount_bind(o.m("d"), &b)?;
    let id = |p: PathBuf| f::stat(p).map(|m| (m.dev(), m.ino()));
    let before = id(b.join("x"))?;
    f::write(b.join("new"), "n")?;
    f::append(b.join("x"), "y")?;
    check_eq!(f::text(o.m("d/x"))?, "xy");
    check_eq!(f::ls(o.m("d"))?, ["new", "x"]);
    check_eq!(id(b.join("x"))?, before);
    drop_caches()?;
    check_eq!(f::ls(&b)?, ["new", "x"]);
    check_eq!(id(b.join("x"))?, before);
    f::unlink(o.m("d/x"))?;
    check_eq!(f::ls(&b)?, ["new"]);
    check_err!(f::rename(b.join("new"), o.m("new")), EXDEV, "two mounts");
    check_err!(f::link(b.join("new"), o.m("new")), EXDEV, "two mounts");
    Ok(())
}

/// The part of the file system that is mounted there.
fn root_of(at: &Path) -> R<String> {
    let t = f::text("/proc/self/mountinfo")?;
    let line = t
        .lines()
        .find(|l| l.split(' ').nth(4) == Some(&at.display().to_string()));
    let line = line.ok_or(anyhow::anyhow!("{} is not mounted", at.display()))?;
    Ok(line.split(' ').nth(3).unwrap_or_default().into())
}

fn tree_bound_and_renamed(t: &T) -> R {
    let o = overlay(t)?;
    f::mkdirs(o.m("u/v"))?;
    f::write(o.m("u/v/y"), "y")?;
    let b = t.p("b");
    f::mkdir(&b)?;
    mount_bind(o.m("u/v"), &b)?;
    f::rename(o.m("u"), o.m("w"))?;
    check_eq!(root_of(&b)?, "/w/v");
    check_eq!(f::text(b.join("y"))?, "y");
    f::write(b.join("z"), "z")?;
    check_eq!(f::ls(o.m("w/v"))?, ["y", "z"]);
    Ok(())
}

fn lower_tree_bound_and_redirected(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = OFF.replace("redirect_dir=off", "redirect_dir=on");
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/x"), "x")?;
    o.mount()?;
    let b = t.p("b");
    f::mkdir(&b)?;
    mount_bind(o.m("d/e"), &b)?;
    f::rename(o.m("d"), o.m("moved"))?;
    check_eq!(root_of(&b)?, "/moved/e");
    f::append(b.join("x"), "y")?;
    check_eq!(f::text(o.m("moved/e/x"))?, "xy");
    drop_caches()?;
    check_eq!(f::ls(&b)?, ["x"]);
    check_eq!(f::text(b.join("x"))?, "xy");
    Ok(())
}

fn tree_bound_and_removed(t: &T) -> R {
    let o = overlay(t)?;
    f::mkdir(o.m("u"))?;
    for (n, at) in [("d", "b1"), ("u", "b2")] {
        let b = t.p(at);
        f::mkdir(&b)?;
        mount_bind(o.m(n), &b)?;
        if n == "d" {
            f::unlink(b.join("x"))?;
        }
        f::rmdir(o.m(n))?;
        check_eq!(root_of(&b)?, format!("/{n}//deleted"));
        check_eq!(f::ls(&b)?.len(), 0);
        check_err!(f::write(b.join("new"), "x"), ENOENT, "in {n}");
        check_err!(f::mkdir(b.join("new")), ENOENT, "in {n}");
        check!(!f::exists(b.join("x"))?);
        f::mkdir(o.m(n))?;
        f::write(o.m(n).join("y"), "y")?;
        check_eq!(f::ls(&b)?.len(), 0, "the new one is another directory");
    }
    Ok(())
}

fn read_only_bind(t: &T) -> R {
    let o = overlay(t)?;
    let b = t.p("b");
    f::mkdir(&b)?;
    mount_bind(o.root(), &b)?;
    mount_remount(&b, MountFlags::BIND | MountFlags::RDONLY, "")?;
    check_err!(f::append(b.join("a"), "b"), EROFS);
    check_err!(f::chmod(b.join("a"), 0o600), EROFS);
    check_err!(f::unlink(b.join("a")), EROFS);
    check_err!(f::mkdir(b.join("n")), EROFS);
    check_err!(f::setxattr(b.join("a"), "user.x", "y"), EROFS);
    check!(!o.in_upper("a")?, "nothing was copied up");
    f::append(o.m("a"), "b")?;
    check_eq!(f::text(b.join("a"))?, "ab", "the other mount writes");
    Ok(())
}

/// Binds a file of the overlay to a place outside.
fn bound_file(t: &T, file: &Path) -> R<PathBuf> {
    let b = t.p(format!(
        "bound-{}",
        file.file_name().unwrap().to_string_lossy()
    ));
    f::write(&b, "")?;
    mount_bind(file, &b)?;
    Ok(b)
}

fn file_bound_before_copy_up(t: &T) -> R {
    let o = overlay(t)?;
    let b = bound_file(t, &o.m("a"))?;
    let before = f::stat(&b)?;
    check_eq!(root_of(&b)?, "/a");
    f::append(&b, "b")?;
    check_eq!(f::text(o.up("a"))?, "ab", "written through the bind mount");
    check_eq!(f::text(o.m("a"))?, "ab");
    f::chmod(&b, 0o600)?;
    let after = f::stat(o.m("a"))?;
    check_eq!((after.dev(), after.ino()), (before.dev(), before.ino()));
    check_eq!(after.mode() & 0o777, 0o600);
    drop_caches()?;
    check_eq!(f::text(&b)?, "ab");
    Ok(())
}

fn file_bound_and_written_elsewhere(t: &T) -> R {
    let o = overlay(t)?;
    let b = bound_file(t, &o.m("a"))?;
    let h = f::open_ro(&b)?;
    f::append(o.m("a"), "b")?;
    check_eq!(f::text(&b)?, "ab");
    check_eq!(f::pread(&h, 0, 9)?, b"ab", "a descriptor of the bind mount");
    f::rename(o.m("a"), o.m("c"))?;
    f::append(o.m("c"), "c")?;
    check_eq!(f::text(&b)?, "abc");
    check_eq!(root_of(&b)?, "/c");
    Ok(())
}

fn file_bound_and_unlinked(t: &T) -> R {
    let o = overlay(t)?;
    f::write(o.m("u"), "u")?;
    let b = bound_file(t, &o.m("u"))?;
    f::unlink(o.m("u"))?;
    check_eq!(root_of(&b)?, "/u//deleted");
    check_eq!(f::text(&b)?, "u");
    f::append(&b, "v")?;
    f::chmod(&b, 0o640)?;
    f::write(o.m("u"), "another")?;
    check_eq!(f::text(&b)?, "uv");
    check_eq!(f::stat(&b)?.nlink(), 0);
    check_eq!(f::text(o.m("u"))?, "another");
    check_eq!(f::mode(&b)?, 0o640);
    Ok(())
}

fn lower_file_bound_and_unlinked(t: &T) -> R {
    let o = overlay(t)?;
    let b = bound_file(t, &o.m("a"))?;
    f::unlink(o.m("a"))?;
    check_eq!(root_of(&b)?, "/a//deleted");
    check_eq!(f::text(&b)?, "a");
    drop_caches()?;
    check_eq!(f::text(&b)?, "a");
    // Opened for writing, it would be copied up to its old name, where the whiteout is.
    check_err!(f::append(&b, "b"), EEXIST);
    check_err!(f::chmod(&b, 0o600), EEXIST);
    check!(!f::exists(o.m("a"))? && o.is_whiteout("a")?);
    f::write(o.m("a"), "another")?;
    check_err!(f::append(&b, "b"), EEXIST);
    check_eq!(f::text(&b)?, "a");
    check_eq!(f::text(o.up("a"))?, "another");
    Ok(())
}

fn file_bound_and_replaced(t: &T) -> R {
    let o = overlay(t)?;
    let b = bound_file(t, &o.m("a"))?;
    f::write(o.m("tmp"), "new")?;
    f::rename(o.m("tmp"), o.m("a"))?;
    check_eq!(f::text(o.m("a"))?, "new");
    check_eq!(f::text(&b)?, "a", "the bind mount is of the old file");
    check_err!(f::append(&b, "b"), EEXIST, "its name is another's");
    check_eq!(f::text(&b)?, "a");
    check_eq!(f::text(o.up("a"))?, "new");
    Ok(())
}

fn mounted_over_its_own_lower(t: &T) -> R {
    let mut o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mnt = o.low("");
    o.mount()?;
    f::append(o.m("a"), "b")?;
    check_eq!(f::text(o.m("a"))?, "ab");
    check_eq!(f::text(o.up("a"))?, "ab");
    o.umount()?;
    check_eq!(f::text(o.low("a"))?, "a");
    Ok(())
}

/// An overlay that is mounted nowhere, of layers as paths and descriptors.
fn unattached(t: &T, strings: &[(&str, PathBuf)], fds: &[(&str, OwnedFd)]) -> R<OwnedFd> {
    let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC);
    let fs = f::ctx(fs, "fsopen", &t.ty)?;
    for (k, p) in strings {
        f::ctx(fsconfig_set_string(&fs, *k, p.as_path()), k, p)?;
    }
    for (k, fd) in fds {
        f::ctx(fsconfig_set_fd(&fs, *k, fd), k, "descriptor")?;
    }
    for opt in OFF.split(',') {
        let (k, v) = opt.split_once('=').unwrap();
        f::ctx(fsconfig_set_string(&fs, k, v), k, v)?;
    }
    f::ctx(fsconfig_create(&fs), "create", &t.ty)?;
    let m = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty());
    f::ctx(m, "fsmount", &t.ty)
}

/// A path in what a descriptor stands for.
fn of_fd(fd: &OwnedFd, p: &str) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{p}", fd.as_fd().as_raw_fd()))
}

fn paths(o: &Ovl) -> Vec<(&'static str, PathBuf)> {
    let mut all = vec![("lowerdir", o.low(""))];
    if let (Some(u), Some(w)) = (&o.upper, &o.work) {
        all.extend([("upperdir", u.clone()), ("workdir", w.clone())]);
    }
    all
}

fn detached_overlay(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("b"), "b")?;
    let m = unattached(t, &paths(&o), &[])?;
    check_eq!(f::ls(of_fd(&m, ""))?, ["a", "b"]);
    f::append(of_fd(&m, "a"), "+")?;
    f::unlink(of_fd(&m, "b"))?;
    let h = f::open_ro(of_fd(&m, "a"))?;
    drop(m);
    check_eq!(
        f::pread(&h, 0, 9)?,
        b"a+",
        "the mount is gone, the file stays"
    );
    drop(h);
    check_eq!(f::text(o.up("a"))?, "a+");
    check!(o.is_whiteout("b")?);
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["a"]);
    Ok(())
}

fn attach(m: &OwnedFd, at: &Path) -> R {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    f::ctx(move_mount(m, "", CWD, at, flags), "move_mount to", at)
}

fn detached_overlay_is_attached_later(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    let m = unattached(t, &paths(&o), &[])?;
    let h = f::open_rw(of_fd(&m, "a"))?;
    attach(&m, o.root())?;
    drop(m);
    f::pwrite(&h, 1, "b")?;
    check_eq!(f::text(o.m("a"))?, "ab");
    // A copy of the mount, detached, outlives it.
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let copy = open_tree(CWD, o.root(), flags)?;
    drop(h);
    o.umount()?;
    f::write(of_fd(&copy, "c"), "c")?;
    check_eq!(f::text(o.up("c"))?, "c");
    Ok(())
}

/// A detached copy of the mount of `p`, from `p` on.
fn cloned(p: &Path) -> R<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    f::ctx(open_tree(CWD, p, flags), "open_tree", p)
}

/// A directory below a descriptor, as a descriptor.
fn below(dir: &OwnedFd, name: &str) -> R<OwnedFd> {
    Ok(f::open(of_fd(dir, name), libc::O_PATH | libc::O_DIRECTORY, 0)?.into())
}

fn layers_on_detached_mounts(t: &T) -> R {
    let o = t.layers(2)?;
    f::write(o.lown(0, "a"), "a")?;
    f::write(o.lown(1, "b"), "b")?;
    let home = cloned(o.low("").parent().unwrap())?;
    let layers = [
        ("lowerdir+", cloned(&o.lown(0, ""))?),
        ("lowerdir+", below(&home, "lower1")?),
        ("upperdir", below(&home, "upper")?),
        ("workdir", below(&home, "work")?),
    ];
    let m = unattached(t, &[], &layers)?;
    drop((home, layers));
    attach(&m, o.root())?;
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::append(o.m("b"), "+")?;
    check_eq!(f::text(o.up("b"))?, "b+");
    drop_caches()?;
    check_eq!(f::text(o.m("b"))?, "b+");
    f::unlink(o.m("a"))?;
    check_eq!(f::ls(o.root())?, ["b"]);
    Ok(())
}

/// A file system in memory that is mounted nowhere.
fn memory() -> R<OwnedFd> {
    let fs = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&fs)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    Ok(fsmount(&fs, flags, MountAttrFlags::empty())?)
}

fn layers_on_filesystems_never_attached(t: &T) -> R {
    let (low, up) = (memory()?, memory()?);
    f::write(of_fd(&low, "a"), "a")?;
    f::mkdir(of_fd(&low, "d"))?;
    for d in ["upper", "work"] {
        f::mkdir(of_fd(&up, d))?;
    }
    let layers = [
        ("lowerdir+", low),
        ("upperdir", below(&up, "upper")?),
        ("workdir", below(&up, "work")?),
    ];
    let m = unattached(t, &[], &layers)?;
    drop(layers);
    f::append(of_fd(&m, "a"), "b")?;
    f::rename(of_fd(&m, "a"), of_fd(&m, "d/c"))?;
    check_eq!(f::text(of_fd(&up, "upper/d/c"))?, "ab");
    drop(up);
    drop_caches()?;
    check_eq!(f::ls(of_fd(&m, ""))?, ["d"]);
    check_eq!(f::text(of_fd(&m, "d/c"))?, "ab");
    let o = t.ovl_ro(1)?;
    attach(&m, o.root())?;
    check_eq!(f::text(o.m("d/c"))?, "ab");
    Ok(())
}

fn detached_overlay_as_layer(t: &T) -> R {
    let inner = t.ovl()?;
    f::write(inner.low("a"), "a")?;
    f::write(inner.up("b"), "b")?;
    let m = unattached(t, &paths(&inner), &[])?;
    let o = t.ovl()?;
    let layers = [
        ("lowerdir+", m),
        ("upperdir", f::open(o.up(""), libc::O_PATH, 0)?.into()),
        (
            "workdir",
            f::open(o.work.clone().unwrap(), libc::O_PATH, 0)?.into(),
        ),
    ];
    let outer = unattached(t, &[], &layers)?;
    drop(layers);
    attach(&outer, o.root())?;
    drop(outer);
    check_eq!(f::ls(o.root())?, ["a", "b"]);
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("b"))?;
    check_eq!(f::text(o.up("a"))?, "a+");
    check_eq!(f::text(inner.up("b"))?, "b");
    check!(!inner.in_upper("a")?);
    Ok(())
}

fn clone_of_a_subtree_as_layer(t: &T) -> R {
    // A copy of a part of another overlay's tree, with a mount on top that it does not have.
    let inner = overlay(t)?;
    f::write(inner.m("d/new"), "new")?;
    let tree = cloned(&inner.m("d"))?;
    mount_raw("tmpfs", &inner.m("d"), "size=1m", MountFlags::empty())?;
    let o = t.ovl()?;
    let layers = [
        ("lowerdir+", tree),
        ("upperdir", f::open(o.up(""), libc::O_PATH, 0)?.into()),
        (
            "workdir",
            f::open(o.work.clone().unwrap(), libc::O_PATH, 0)?.into(),
        ),
    ];
    let outer = unattached(t, &[], &layers)?;
    drop(layers);
    attach(&outer, o.root())?;
    check_eq!(f::ls(o.root())?, ["new", "x"]);
    f::append(o.m("x"), "y")?;
    check_eq!(f::text(o.up("x"))?, "xy");
    Ok(())
}
