// SPDX-License-Identifier: GPL-2.0
//! The module in the place of the kernel's own: `as_overlay` makes it serve the type `overlay`.
//!
//! These tests take both modules out for a moment and put them back.

use super::prelude::*;
use crate::env::{mounts_below, registered};
use rustix::mount::UnmountFlags;
use std::process::Command;

cases! { "alias";
    off_by_default
        .rs_only("about a parameter of overlay_rs");
    serves_both_names
        .rs_only("about a parameter of overlay_rs");
    tools_show_the_name_it_was_mounted_by
        .rs_only("about a parameter of overlay_rs");
    kernels_own_cannot_load
        .rs_only("about a parameter of overlay_rs");
    kernels_own_keeps_its_name
        .rs_only("about a parameter of overlay_rs");
    mount_holds_the_module
        .rs_only("about a parameter of overlay_rs");
    both_names_share_a_lower_file
        .rs_only("about a parameter of overlay_rs");
    mounts_stack_across_names
        .rs_only("about a parameter of overlay_rs");
    in_a_user_namespace
        .rs_only("about a parameter of overlay_rs");
    through_an_idmapped_mount
        .rs_only("about a parameter of overlay_rs");
}

/// Where the VM keeps the module under test.
pub(super) const FILE: &str = "/overlay_rs.ko";

pub(super) fn tool(name: &str, args: &[&str]) -> R<String> {
    let out = Command::new(name).args(args).output()?;
    check!(
        out.status.success(),
        "{name} {args:?}: {}",
        String::from_utf8_lossy(&out.stderr).trim()
    );
    Ok(String::from_utf8(out.stdout)?.trim().to_string())
}

pub(super) fn loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

/// Takes a module out, once what is put off (freeing superblocks) has been done.
pub(super) fn unload(module: &str) -> R {
    let name = std::ffi::CString::new(module)?;
    for _ in 0..200 {
        match sys::delete_module(&name) {
            Err(e) if e.raw_os_error() == Some(libc::EAGAIN) => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            Err(e) if e.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            done => return Ok(done?),
        }
    }
    Ok(sys::delete_module(&name)?)
}

/// The modules as this test wants them, until it is dropped.
struct Modules<'a> {
    t: &'a T,
    had_own: bool,
}

impl<'a> Modules<'a> {
    /// overlay_rs with this parameter, and the kernel's own only if it is to stay.
    fn reload(t: &'a T, parameter: &str, keep_own: bool) -> R<Self> {
        check!(Path::new(FILE).exists(), "{FILE} is there");
        let had_own = loaded("overlay");
        if keep_own && !had_own {
            return Err(Skip("the kernel's own overlay is not loaded".into()).into());
        }
        let guard = Self { t, had_own };
        unload("overlay_rs")?;
        if !keep_own {
            unload("overlay")?;
        }
        tool("insmod", &[FILE, parameter])?;
        Ok(guard)
    }

    fn restore(&self) -> R {
        for m in mounts_below(&self.t.dir)? {
            rustix::mount::unmount(&m, UnmountFlags::DETACH)?;
        }
        unload("overlay_rs")?;
        if self.had_own && !loaded("overlay") {
            tool("modprobe", &["overlay"])?;
        }
        tool("insmod", &[FILE]).map(drop)
    }
}

impl Drop for Modules<'_> {
    fn drop(&mut self) {
        if let Err(e) = self.restore() {
            eprintln!("cannot put the modules back: {e:#}");
        }
    }
}

fn named(t: &T, ty: &str) -> R<Ovl> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    Ok(o)
}

fn parameter() -> R<String> {
    Ok(f::text("/sys/module/overlay_rs/parameters/as_overlay")?
        .trim()
        .to_string())
}

fn off_by_default(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=0", false)?;
    check!(registered("overlay_rs")?, "overlay_rs is a type");
    check!(!registered("overlay")?, "overlay is none");
    check_eq!(parameter()?, "N");
    unload("overlay_rs")?;
    tool("insmod", &[FILE])?;
    check!(!registered("overlay")?, "overlay is none by default");
    check_eq!(parameter()?, "N");
    check!(
        f::write("/sys/module/overlay_rs/parameters/as_overlay", "Y").is_err()
            || parameter()? == "N",
        "the parameter cannot be changed afterwards"
    );
    Ok(())
}

fn serves_both_names(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    t.expect_log(&["serving", "overlay"])?;
    check_eq!(parameter()?, "Y");
    check!(!loaded("overlay"), "no module of that name is needed");
    let types = f::text("/proc/filesystems")?;
    for ty in ["overlay", "overlay_rs"] {
        check!(
            types.lines().any(|l| l == format!("nodev\t{ty}")),
            "{ty} is a type without a device"
        );
        let o = named(t, ty)?;
        f::write(o.low("a"), "1")?;
        o.mount()?;
        f::append(o.m("a"), "2")?;
        check_eq!(f::text(o.up("a"))?, "12");
        f::unlink(o.m("a"))?;
        check!(o.is_whiteout("a")?, "a whiteout of the usual kind");
        check_eq!(rustix::fs::statfs(o.root())?.f_type, 0x794c_7630);
        o.umount()?;
    }
    Ok(())
}

fn tools_show_the_name_it_was_mounted_by(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    for ty in ["overlay", "overlay_rs"] {
        let o = named(t, ty)?;
        o.mount()?;
        let (_, shown, _, options) = mountinfo(o.root())?;
        check_eq!(shown, ty, "in mountinfo");
        check!(
            options.contains(&o.layer_opts()),
            "the layers are shown: {options}"
        );
        let at = o.root().to_string_lossy();
        check_eq!(tool("findmnt", &["-no", "FSTYPE", &at])?, ty, "in findmnt");
        let df = tool("df", &["--output=fstype", &at])?;
        check_eq!(df.lines().last(), Some(ty), "in df");
        check_eq!(
            tool("stat", &["-f", "-c", "%T", &at])?,
            "overlayfs",
            "in stat, which goes by the number"
        );
    }
    Ok(())
}

fn kernels_own_cannot_load(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let refused = Command::new("modprobe")
        .args(["--ignore-install", "overlay"])
        .output()?;
    check!(!refused.status.success(), "it does not load");
    let why = String::from_utf8_lossy(&refused.stderr).to_string();
    check!(why.contains("busy"), "EBUSY is the reason: {why}");
    check!(!loaded("overlay"), "it is not there");
    let o = named(t, "overlay")?;
    o.mount()?;
    f::write(o.m("a"), "x")
}

fn kernels_own_keeps_its_name(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", true)?;
    t.expect_log(&["cannot serve the type overlay", "EBUSY"])?;
    check!(loaded("overlay"), "it is still there");
    let users = || -> R<u64> {
        Ok(f::text("/sys/module/overlay/refcnt")?
            .trim()
            .parse::<u64>()?)
    };
    let before = users()?;
    let (own, rs) = (named(t, "overlay")?, named(t, "overlay_rs")?);
    own.mount()?;
    rs.mount()?;
    check_eq!(users()?, before + 1, "the type overlay is the kernel's");
    f::write(rs.m("a"), "x")?;
    check_eq!(f::text(rs.up("a"))?, "x");
    // Without the alias, the module goes and comes as ever.
    rs.umount()?;
    unload("overlay_rs")?;
    check!(
        registered("overlay")?,
        "the kernel's own did not go with it"
    );
    tool("insmod", &[FILE]).map(drop)
}

fn mount_holds_the_module(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let o = named(t, "overlay")?;
    o.mount()?;
    check_err!(sys::delete_module(c"overlay_rs"), EAGAIN);
    o.umount()?;
    unload("overlay_rs")?;
    check!(!registered("overlay")?, "the alias went with the module");
    // Whoever asks for it now gets the kernel's own, which is loaded on demand.
    o.mount()?;
    check!(loaded("overlay"), "the kernel's own came in its place");
    o.umount()?;
    tool("insmod", &[FILE]).map(drop)
}

fn both_names_share_a_lower_file(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let (a, mut b) = (named(t, "overlay")?, named(t, "overlay_rs")?);
    f::write(a.low("shared"), "lower")?;
    b.lowers = a.lowers.clone();
    a.mount()?;
    b.mount()?;
    f::append(a.m("shared"), "+a")?;
    check_eq!(f::text(b.m("shared"))?, "lower");
    f::append(b.m("shared"), "+b")?;
    check_eq!(f::text(a.m("shared"))?, "lower+a");
    check_eq!(f::text(a.low("shared"))?, "lower");
    // An upper that is in use by one name is in use for the other.
    let mut c = b.clone();
    c.ty = "overlay".into();
    c.mnt = t.p("again");
    f::mkdir(&c.mnt)?;
    check_err!(c.mount_with("index=on"), EBUSY);
    Ok(())
}

fn mounts_stack_across_names(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let below = named(t, "overlay")?;
    f::write(below.low("a"), "1")?;
    below.mount()?;
    let mut above = named(t, "overlay_rs")?;
    above.lowers = vec![below.mnt.clone()];
    above.mount()?;
    f::append(above.m("a"), "2")?;
    check_eq!(f::text(above.m("a"))?, "12");
    check_eq!(f::text(below.m("a"))?, "1");
    let mut third = named(t, "overlay")?;
    third.lowers = vec![above.mnt.clone()];
    check_err!(third.mount(), EINVAL);
    t.expect_log(&["stack"])?;
    // An overlay, by whatever name, is no upper.
    let mut upper = named(t, "overlay_rs")?;
    upper.upper = Some(below.m("u"));
    upper.work = Some(below.m("w"));
    f::mkdir(below.m("u"))?;
    f::mkdir(below.m("w"))?;
    check_err!(upper.mount(), EINVAL);
    Ok(())
}

fn in_a_user_namespace(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let o = named(t, "overlay")?;
    f::write(o.low("a"), "x")?;
    super::userns::as_user(&o, || {
        o.mount_only(&format!("{},userxattr", o.layer_opts()))?;
        f::append(o.m("a"), "y")?;
        check_eq!(mountinfo(o.root())?.1, "overlay");
        check_eq!(f::text(o.m("a"))?, "xy");
        o.umount()
    })
}

fn through_an_idmapped_mount(t: &T) -> R {
    let _m = Modules::reload(t, "as_overlay=1", false)?;
    let o = named(t, "overlay")?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let at = t.p("mapped");
    f::mkdir(&at)?;
    let map = "X-mount.idmap=0:100000:10000";
    tool(
        "mount",
        &[
            "--bind",
            "-o",
            map,
            &o.root().to_string_lossy(),
            &at.to_string_lossy(),
        ],
    )?;
    check_eq!(f::stat(at.join("a"))?.uid(), 100_000);
    rustix::mount::unmount(&at, UnmountFlags::empty())?;
    Ok(())
}
