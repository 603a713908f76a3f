// SPDX-License-Identifier: GPL-2.0
//! AppArmor: profiles that name paths of the overlay confine who works there, and say nothing of
//! what the overlay does in its layers for them (F104).

use super::prelude::*;
use crate::check::outcome;
use std::process::{Command, Stdio};

cases! { "apparmor";
    profile_names_paths_of_the_overlay;
    refused_operations_copy_nothing_up;
    layers_are_out_of_reach;
    rename_changes_what_applies;
    program_is_found_by_its_path;
    executable_mappings;
    descriptors_are_looked_at_again;
    bind_mounts_have_their_own_paths;
    confined_mounter;
    same_as_intree_confined_mounter
        .rs_only("compares with the kernel's own overlay");
}

const DIR: &str = "/sys/kernel/security/apparmor";

/// Skips where AppArmor is not in force.
fn active() -> R {
    let on = "/sys/module/apparmor/parameters/enabled";
    if !f::exists(on)? || f::text(on)?.trim() != "Y" {
        return Err(Skip("AppArmor is not in force in this boot".into()).into());
    }
    if !f::exists(DIR)? {
        let at = Path::new("/sys/kernel/security");
        mount_raw("securityfs", at, "", MountFlags::empty())?;
    }
    Ok(())
}

/// A loaded profile, removed with this.
struct Profile(String);

impl Profile {
    /// Loads a profile with this head (a name, or an attachment) and these rules.
    fn load(name: &str, head: &str, rules: &str) -> R<Self> {
        active()?;
        let text = format!("profile {name} {head} {{\n{rules}\n}}\n");
        let mut child = Command::new("apparmor_parser")
            .args(["--replace", "--skip-cache", "--quiet"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        if let Ok(c) = &mut child {
            // The whole text, and the end.
            c.stdin.take().unwrap().write_all(text.as_bytes())?;
        }
        let out = f::ctx(child, "run", "apparmor_parser")?.wait_with_output()?;
        check!(
            out.status.success(),
            "apparmor_parser: {}\n{text}",
            String::from_utf8_lossy(&out.stderr)
        );
        Ok(Self(name.into()))
    }

    /// Confines this process by it.
    fn enter(&self) -> R {
        let change = format!("changeprofile {}", self.0);
        f::write("/proc/self/attr/current", change)
    }

    /// Runs `job` in a child that is confined by it.
    fn confine(&self, job: impl FnOnce() -> R<String>) -> R<String> {
        let child = sys::spawn(|| {
            self.enter()?;
            job()
        })?;
        child.join()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        if let Err(e) = f::write(format!("{DIR}/.remove"), &self.0) {
            eprintln!("cannot remove a profile: {e:#}");
        }
    }
}

/// A name of a profile that no other test has.
fn name(what: &str) -> String {
    format!("overlay-test-{what}-{}", std::process::id())
}

/// An overlay with directories that the profile of [`narrow`] treats differently.
fn overlay(t: &T) -> R<Ovl> {
    active()?;
    let o = t.ovl()?;
    for d in ["open", "look", "shut"] {
        f::mkdir(o.low(d))?;
        f::mkdir(o.low(d).join("dir"))?;
        for n in ["a", "b", "dir/c"] {
            f::write(o.low(d).join(n), format!("{d}/{n}"))?;
        }
    }
    o.mount()?;
    Ok(o)
}

/// A profile by which `open` may be changed, `look` only be looked at, and nothing else be used.
fn narrow(o: &Ovl, what: &str) -> R<Profile> {
    let m = o.mnt.display();
    Profile::load(
        &name(what),
        "",
        &format!(
            "capability,\n{m}/ r,\n{m}/open/ rw,\n{m}/open/** rwlk,\n{m}/look/ r,\n{m}/look/** r,\n"
        ),
    )
}

fn profile_names_paths_of_the_overlay(t: &T) -> R {
    let o = overlay(t)?;
    let p = narrow(&o, "paths")?;
    for round in 0..2 {
        p.confine(|| {
            check_eq!(f::text(o.m("look/a"))?, "look/a");
            check_err!(f::text(o.m("shut/a")), EACCES);
            check_err!(f::ls(o.m("shut")), EACCES);
            check_err!(f::append(o.m("look/a"), "+"), EACCES);
            check_err!(f::unlink(o.m("look/a")), EACCES);
            check_err!(f::write(o.m("look/new"), ""), EACCES);
            check_err!(f::mkdir(o.m("look/newdir")), EACCES);
            check_err!(f::chmod(o.m("look/b"), 0o600), EACCES);
            f::append(o.m("open/a"), "+")?;
            f::chmod(o.m("open/a"), 0o640)?;
            f::mkdir(o.m("open/newdir"))?;
            f::write(o.m("open/newdir/new"), "x")?;
            f::symlink("a", o.m("open/newdir/link"))?;
            f::link(o.m("open/a"), o.m("open/newdir/hard"))?;
            f::rename(o.m("open/b"), o.m("open/newdir/b"))?;
            f::rename(o.m("open/newdir/b"), o.m("open/b"))?;
            f::unlink(o.m("open/dir/c"))?;
            f::write(o.m("open/dir/c"), "again")?;
            for n in ["new", "link", "hard"] {
                f::unlink(o.m("open/newdir").join(n))?;
            }
            f::rmdir(o.m("open/newdir"))?;
            check_err!(f::rename(o.m("open/a"), o.m("shut/x")), EACCES);
            check_err!(f::link(o.m("open/a"), o.m("shut/x")), EACCES);
            Ok(String::new())
        })?;
        // Once more with everything copied up.
        if round == 0 {
            for n in ["look/a", "look/b", "shut/a", "open/b"] {
                f::chmod(o.m(n), 0o644)?;
            }
            drop_caches()?;
        }
    }
    check_eq!(f::text(o.up("open/a"))?, "open/a++");
    Ok(())
}

fn refused_operations_copy_nothing_up(t: &T) -> R {
    let o = overlay(t)?;
    let p = narrow(&o, "refused")?;
    p.confine(|| {
        check_err!(f::append(o.m("look/a"), "+"), EACCES);
        check_err!(f::chmod(o.m("look/a"), 0o600), EACCES);
        check_err!(f::truncate(o.m("look/a"), 0), EACCES);
        check_err!(f::chown(o.m("shut/a"), 1, 1), EACCES);
        check_err!(f::unlink(o.m("shut/a")), EACCES);
        check_err!(f::rename(o.m("shut/a"), o.m("open/x")), EACCES);
        check_err!(f::mkdir(o.m("shut/dir/new")), EACCES);
        Ok(String::new())
    })?;
    check!(f::ls(o.up(""))?.is_empty(), "{:?}", f::ls(o.up(""))?);
    Ok(())
}

fn layers_are_out_of_reach(t: &T) -> R {
    let o = overlay(t)?;
    let p = narrow(&o, "layers")?;
    p.confine(|| {
        f::append(o.m("open/a"), "+")?;
        check_err!(f::text(o.low("open/a")), EACCES);
        check_err!(f::text(o.up("open/a")), EACCES);
        check_err!(f::write(o.up("open/new"), "x"), EACCES);
        check_err!(f::ls(o.work.clone().unwrap()), EACCES);
        Ok(String::new())
    })?;
    check_eq!(f::text(o.up("open/a"))?, "open/a+");
    Ok(())
}

fn rename_changes_what_applies(t: &T) -> R {
    let o = overlay(t)?;
    let p = narrow(&o, "rename")?;
    f::rename(o.m("shut/a"), o.m("open/moved"))?;
    f::rename(o.m("open/a"), o.m("shut/moved"))?;
    p.confine(|| {
        check_eq!(f::text(o.m("open/moved"))?, "shut/a");
        check_err!(f::text(o.m("shut/moved")), EACCES);
        Ok(String::new())
    })?;
    o.again()?;
    p.confine(|| {
        f::append(o.m("open/moved"), "+")?;
        check_err!(f::text(o.m("shut/moved")), EACCES);
        Ok(String::new())
    })?;
    Ok(())
}

/// Runs a copy of cat(1): what it prints, if it succeeds.
fn cat(prog: &Path, file: &str) -> R<Option<String>> {
    let out = Command::new(prog).arg(file).stderr(Stdio::null()).output();
    let out = f::ctx(out, "run", prog)?;
    let text = String::from_utf8_lossy(&out.stdout).trim().to_string();
    Ok(out.status.success().then_some(text))
}

fn program_is_found_by_its_path(t: &T) -> R {
    let o = overlay(t)?;
    std::fs::copy("/bin/cat", o.low("prog"))?;
    o.again()?;
    let (m, n) = (o.mnt.display().to_string(), name("program"));
    let _p = Profile::load(
        &n,
        &format!("{m}/prog"),
        &format!("file,\ncapability,\ndeny {m}/shut/** rw,"),
    )?;
    let current = "/proc/self/attr/current";
    for when in ["from the lower", "copied up", "again"] {
        match when {
            "copied up" => f::chmod(o.m("prog"), 0o755)?,
            "again" => o.again()?,
            _ => (),
        }
        let label = cat(&o.m("prog"), current)?;
        check_eq!(label, Some(format!("{n} (enforce)")), "{when}");
        let (look, shut) = (format!("{m}/look/a"), format!("{m}/shut/a"));
        check_eq!(cat(&o.m("prog"), &look)?, Some("look/a".into()), "{when}");
        check_eq!(cat(&o.m("prog"), &shut)?, None, "{when}");
        let below = cat(&o.low("prog"), current)?;
        check_eq!(below, Some("unconfined".into()), "by its lower path");
    }
    Ok(())
}

fn executable_mappings(t: &T) -> R {
    let o = overlay(t)?;
    let m = o.mnt.display();
    let rules = format!("capability,\n{m}/open/** rwm,\n{m}/look/** r,");
    let p = Profile::load(&name("mmap"), "", &rules)?;
    for when in ["from the lower", "copied up"] {
        if when == "copied up" {
            f::chmod(o.m("open/a"), 0o755)?;
            f::chmod(o.m("look/a"), 0o755)?;
        }
        p.confine(|| {
            let (open, look) = (f::open_ro(o.m("open/a"))?, f::open_ro(o.m("look/a"))?);
            f::ctx(sys::map_exec(&open, 1), "map open/a", when)?;
            f::ctx(sys::map_ro(&look, 1), "map look/a", when)?;
            check_err!(sys::map_exec(&look, 1), EACCES, "{when}");
            Ok(String::new())
        })?;
    }
    Ok(())
}

fn descriptors_are_looked_at_again(t: &T) -> R {
    // What one profile opened is looked at again when another one uses it.
    let o = overlay(t)?;
    let wide = Profile::load(&name("wide"), "", "file,\ncapability,\nchange_profile,")?;
    let p = narrow(&o, "descriptors")?;
    wide.confine(|| {
        let (shut, open) = (f::open_rw(o.m("shut/a"))?, f::open_rw(o.m("open/a"))?);
        check_eq!(f::pread(&shut, 0, 9)?, b"shut/a");
        p.enter()?;
        check_err!(f::pread(&shut, 0, 9), EACCES);
        check_err!(f::pwrite(&shut, 0, "x"), EACCES);
        check_eq!(f::pread(&open, 0, 9)?, b"open/a");
        f::pwrite(&open, 0, "O")?;
        Ok(String::new())
    })?;
    check_eq!(f::text(o.up("open/a"))?, "Open/a");
    check_eq!(f::text(o.m("shut/a"))?, "shut/a");
    Ok(())
}

fn bind_mounts_have_their_own_paths(t: &T) -> R {
    let o = overlay(t)?;
    let p = narrow(&o, "bind")?;
    let b = t.p("b");
    f::mkdir(&b)?;
    rustix::mount::mount_bind(o.m("open"), &b)?;
    rustix::mount::mount_bind(o.m("shut"), o.m("open/dir"))?;
    p.confine(|| {
        check_err!(f::text(b.join("a")), EACCES, "another path");
        f::append(o.m("open/dir/a"), "+")?;
        check_err!(f::text(o.m("shut/a")), EACCES);
        Ok(String::new())
    })?;
    check_eq!(f::text(o.up("shut/a"))?, "shut/a+");
    Ok(())
}

/// Mounts under a profile and then works as another one.
fn mounted_by(t: &T, ty: &str, head: &str, rules: &str) -> R<Vec<String>> {
    let mut o = overlay(t)?;
    o.umount()?;
    o.ty = ty.into();
    let dir = t.dir.display();
    let rules = format!("capability,\nmount,\n{rules}").replace("@", &dir.to_string());
    let p = Profile::load(&name("mounter"), head, &rules)?;
    let mut lines = Vec::new();
    let said = p.confine(|| Ok(outcome(&o.mount())))?;
    lines.push(format!("mount: {said}"));
    let mut say = |what: &str, r: R| lines.push(format!("{what}: {}", outcome(&r)));
    say("ls", f::ls(o.m("open")).map(drop));
    say("read", f::text(o.m("look/a")).map(drop));
    say("append", f::append(o.m("open/a"), "+"));
    say("chmod", f::chmod(o.m("shut/dir"), 0o700));
    say("create", f::write(o.m("open/new"), "x"));
    say("mkdir", f::mkdir(o.m("shut/dir/new")));
    say("unlink", f::unlink(o.m("look/b")));
    say("create over it", f::write(o.m("look/b"), "x"));
    say("rename", f::rename(o.m("open/b"), o.m("open/c")));
    say("link", f::link(o.m("open/c"), o.m("open/l")));
    say("setxattr", f::setxattr(o.m("open/c"), "trusted.x", "y"));
    say("truncate", f::truncate(o.m("open/c"), 1));
    let h = f::open(o.m("open"), libc::O_TMPFILE | libc::O_RDWR, 0o600);
    say("tmpfile", h.map(drop));
    if f::exists(o.m("open"))? {
        say("umount", o.umount());
    }
    Ok(lines)
}

fn confined_mounter(t: &T) -> R {
    // Its rights count in the layers, for everyone, where it has all of them.
    let lines = mounted_by(t, &t.ty, "flags=(attach_disconnected)", "/** rwlkmix,")?;
    for l in &lines {
        check!(l.ends_with(": success"), "{l}");
    }
    Ok(())
}

fn same_as_intree_confined_mounter(t: &T) -> R {
    for head in ["", "flags=(attach_disconnected)", "flags=(mediate_deleted)"] {
        for rules in ["/** rwlkmix,", "/** r,", "@/** rwlk,", "@/*/lower0/** r,"] {
            let want = mounted_by(t, t.other_ty()?, head, rules)?;
            let got = mounted_by(t, &t.ty, head, rules)?;
            check_eq!(got, want, "mounter with {head} {rules}");
        }
    }
    Ok(())
}
