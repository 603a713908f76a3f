// SPDX-License-Identifier: GPL-2.0
//! Users, user namespaces and the mounts that translate ids.

use super::{cvt, cvt_int, spawn, Child};
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::check::R;

/// New namespaces of these kinds for this process.
fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::unshare(flags) }).map(drop)
}

/// One line of a map of ids: the first id inside, the first outside, how many.
pub type IdRange = (u32, u32, u32);

/// The lines of an id map, as `/proc/PID/uid_map` takes them.
fn map_text(map: &[IdRange]) -> String {
    map.iter().fold(String::new(), |text, (i, o, n)| {
        text + &format!("{i} {o} {n}\n")
    })
}

/// Has somebody outside write the maps of this process, which has just entered a new user
/// namespace. It waits until the descriptor is closed, and ends when it is done.
fn mapper(map: &[IdRange]) -> R<(Child, OwnedFd)> {
    let (rd, wr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (pid, text) = (std::process::id(), map_text(map));
    let wr2 = wr.as_raw_fd();
    let child = spawn(move || {
        // The copy of the parent's end in this process, which nobody uses here.
        close_raw(wr2);
        File::from(rd).read_to_end(&mut Vec::new())?;
        for f in ["uid_map", "gid_map"] {
            crate::f::write(format!("/proc/{pid}/{f}"), &text)?;
        }
        Ok(String::new())
    })?;
    Ok((child, wr))
}

/// Becomes this user in this process, without other groups.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: `groups` is valid for the call; the others involve no memory. The raw system calls
    // change this thread only, and it is the only one.
    unsafe {
        cvt(libc::syscall(
            libc::SYS_setgroups,
            groups.len(),
            groups.as_ptr(),
        ))?;
        cvt(libc::syscall(libc::SYS_setresgid, gid, gid, gid))?;
        cvt(libc::syscall(libc::SYS_setresuid, uid, uid, uid))?;
    }
    Ok(())
}

/// Lets the files of this process in /proc belong to who it is now: it writes its own maps there.
fn own_proc() -> io::Result<()> {
    // SAFETY: no memory is involved.
    cvt_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }).map(drop)
}

/// Runs `job` in a child as root of new user and mount namespaces with these ids, as in a
/// container that the system's root has set up.
pub fn in_userns(map: &[IdRange], job: impl FnOnce() -> R<String>) -> R<String> {
    spawn(|| {
        let (helper, wr) = mapper(map)?;
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        drop(wr);
        helper.join()?;
        become_user(0, 0, &[])?;
        own_proc()?;
        job()
    })?
    .join()
}

/// Runs `job` in a child that was this user without any privilege and then made itself root of
/// new user and mount namespaces, where no other id has a meaning.
pub fn as_userns_root(uid: u32, gid: u32, job: impl FnOnce() -> R<String>) -> R<String> {
    spawn(|| {
        become_user(uid, gid, &[])?;
        own_proc()?;
        unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)?;
        crate::f::write("/proc/self/setgroups", "deny")?;
        crate::f::write("/proc/self/uid_map", format!("0 {uid} 1\n"))?;
        crate::f::write("/proc/self/gid_map", format!("0 {gid} 1\n"))?;
        job()
    })?
    .join()
}

/// Starts `job` in a child with a mount namespace of its own, a copy of this one whose mounts
/// receive what happens here (and send nothing) where they are shared here.
pub fn in_mount_namespace(job: impl FnOnce() -> R<String>) -> R<Child> {
    use rustix::mount::{mount_change, MountPropagationFlags};
    spawn(|| {
        unshare(libc::CLONE_NEWNS)?;
        mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM,
        )?;
        job()
    })
}

/// A user namespace with these ids, for an idmapped mount.
pub fn user_namespace(map: &[IdRange]) -> R<File> {
    let (hold_rd, hold_wr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (said_rd, said_wr) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let (close_a, close_b) = (hold_wr.as_raw_fd(), said_rd.as_raw_fd());
    let child = spawn(move || {
        // The copies of the parent's ends in this process, which nobody uses here.
        close_raw(close_a);
        close_raw(close_b);
        unshare(libc::CLONE_NEWUSER)?;
        drop(said_wr);
        File::from(hold_rd).read_to_end(&mut Vec::new())?;
        Ok(String::new())
    })?;
    File::from(said_rd).read_to_end(&mut Vec::new())?;
    let pid = child.pid();
    let text = map_text(map);
    for f in ["uid_map", "gid_map"] {
        crate::f::write(format!("/proc/{pid}/{f}"), &text)?;
    }
    let ns = crate::f::open_ro(format!("/proc/{pid}/ns/user"))?;
    drop(hold_wr);
    child.join()?;
    Ok(ns)
}

/// Gives a detached mount an id map (`MOUNT_ATTR_IDMAP`).
pub fn set_idmap(mount: &OwnedFd, userns: &File) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns: u64,
    }
    let attr = Attr {
        set: 0x0010_0000,
        clear: 0,
        propagation: 0,
        userns: userns.as_raw_fd() as u64,
    };
    // SAFETY: the attributes have the layout of `struct mount_attr`; the path is empty.
    cvt(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &attr,
            size_of::<Attr>(),
        )
    })
    .map(drop)
}

/// A copy of a descriptor of another process.
pub fn steal_fd(pid: i32, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: a new descriptor that nobody else owns.
    unsafe {
        let p = cvt(libc::syscall(libc::SYS_pidfd_open, pid, 0))? as RawFd;
        let p = OwnedFd::from_raw_fd(p);
        let n = cvt(libc::syscall(libc::SYS_pidfd_getfd, p.as_raw_fd(), fd, 0))?;
        Ok(OwnedFd::from_raw_fd(n as RawFd))
    }
}

/// Sets the owner of a path, or of what a last symlink names; -1 leaves an id alone.
pub fn lchown(p: &CStr, uid: i64, gid: i64) -> io::Result<()> {
    // SAFETY: `p` is a C string.
    cvt_int(unsafe { libc::lchown(p.as_ptr(), uid as libc::uid_t, gid as libc::gid_t) }).map(drop)
}

/// Closes a descriptor that this process inherited and that no value in it stands for.
pub fn close_raw(fd: RawFd) {
    // SAFETY: the caller's word that nobody uses it here.
    unsafe { libc::close(fd) };
}
