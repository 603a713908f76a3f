// SPDX-License-Identifier: GPL-2.0
//! Mounts that come and go elsewhere: peers, slaves, other namespaces.

use super::*;
use crate::env::mounts_below;
use rustix::mount::{
    mount_bind, mount_change, unmount, MountPropagationFlags as Prop, UnmountFlags,
};

cases! { "mounts";
    shared_tree_passes_it_on;
    slave_only_receives;
    private_receives_nothing;
    mount_inside_reaches_the_peers;
    mount_inside_across_copy_up;
    other_namespace_sees_it_come_and_go;
    unmounted_here_used_elsewhere;
    mountpoint_elsewhere_is_no_obstacle;
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
