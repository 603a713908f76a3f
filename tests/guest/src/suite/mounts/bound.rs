// SPDX-License-Identifier: GPL-2.0
//! Trees and single files of an overlay, bound elsewhere.

use super::*;
use rustix::mount::{
    mount_bind, mount_bind_recursive, mount_remount, unmount, MountPropagationFlags as Prop,
    UnmountFlags,
};

cases! { "mounts";
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
