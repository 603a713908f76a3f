// SPDX-License-Identifier: GPL-2.0
//! Whose credentials a mount works with, and which namespace may finish it.

use super::*;
use rustix::mount::{fsconfig_create, fsconfig_set_flag};
use std::os::fd::{AsRawFd, OwnedFd};

cases! { "userns";
    override_creds;
    override_creds_last_one_counts;
    override_creds_of_the_outside;
    created_by_another_namespace;
    created_inside_with_a_context_of_outside;
}

/// Layers with a file that only its owner, or a capability, may read.
fn private_file(t: &T) -> R<Ovl> {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::chown(o.low("a"), 1000, 1000)?;
    f::chmod(o.low("a"), 0o600)?;
    Ok(o)
}

/// Sets the option as a process that may not read what others own.
fn with_weak_creds(fs: &OwnedFd, options: &'static [&'static str]) -> R {
    sys::spawn(|| {
        for c in [1, 2] {
            sys::drop_cap(c)?;
        }
        for o in options {
            f::ctx(fsconfig_set_flag(fs, *o), "fsconfig", o)?;
        }
        Ok(String::new())
    })?
    .join()
    .map(drop)
}

fn override_creds(t: &T) -> R {
    let o = private_file(t)?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds"])?;
    finish(&fs, o.root())?;
    check_err!(f::read(o.m("a")), EACCES, "the weak credentials count");
    let a = o.m("a");
    check_err!(sys::as_user(1000, 1000, || f::read(&a).map(drop)), EACCES);
    o.umount()
}

fn override_creds_last_one_counts(t: &T) -> R {
    let o = private_file(t)?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds", "nooverride_creds"])?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x", "those of the mounter again");
    o.umount()?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["override_creds"])?;
    fsconfig_set_flag(&fs, "override_creds")?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x");
    o.umount()?;
    let fs = context(&t.ty, &o, &[])?;
    with_weak_creds(&fs, &["nooverride_creds"])?;
    finish(&fs, o.root())?;
    check_eq!(f::text(o.m("a"))?, "x");
    o.umount()
}

/// Runs `outside` with a context that the root of a container opened and set up.
fn with_context_of_container(t: &T, o: &Ovl, outside: impl FnOnce(&OwnedFd) -> R) -> R {
    give(o, 100_000, 100_000)?;
    let (rd, wr) = rustix::pipe::pipe()?;
    let (hold_rd, hold_wr) = rustix::pipe::pipe()?;
    let (unused, drop_me) = (rd.as_raw_fd(), hold_wr.as_raw_fd());
    let child = sys::spawn(move || {
        sys::close_raw(unused);
        sys::close_raw(drop_me);
        sys::in_userns(&RANGE, || {
            let fs = context(&t.ty, o, &[])?;
            fsconfig_set_flag(&fs, "userxattr")?;
            let mut wr = File::from(wr);
            wr.write_all(format!("{} {}", std::process::id(), fs.as_raw_fd()).as_bytes())?;
            drop(wr);
            File::from(hold_rd).read_to_end(&mut Vec::new())?;
            Ok(String::new())
        })
    })?;
    let mut said = vec![0; 64];
    let n = File::from(rd).read(&mut said)?;
    let said = String::from_utf8_lossy(&said[..n]).into_owned();
    let (pid, fd) = said
        .split_once(' ')
        .ok_or_else(|| anyhow::anyhow!("the container did not come up"))?;
    let fs = f::ctx(sys::steal_fd(pid.parse()?, fd.parse()?), "pidfd_getfd", "")?;
    let r = outside(&fs);
    drop(hold_wr);
    child.join()?;
    r
}

fn override_creds_of_the_outside(t: &T) -> R {
    let o = t.ovl()?;
    with_context_of_container(t, &o, |fs| {
        check_err!(
            fsconfig_set_flag(fs, "override_creds"),
            EINVAL,
            "the outside's rights are not for a mount of the container"
        );
        fsconfig_set_flag(fs, "nooverride_creds")?;
        Ok(())
    })
}

fn created_by_another_namespace(t: &T) -> R {
    let o = t.ovl()?;
    with_context_of_container(t, &o, |fs| {
        check_err!(fsconfig_create(fs), EINVAL);
        Ok(())
    })
}

fn created_inside_with_a_context_of_outside(t: &T) -> R {
    let o = t.ovl()?;
    give(&o, 100_000, 100_000)?;
    let fs = context(&t.ty, &o, &[])?;
    in_container(|| {
        check_err!(fsconfig_create(&fs), EPERM);
        Ok(())
    })?;
    finish(&fs, o.root())?;
    o.umount()
}
