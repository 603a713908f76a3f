// SPDX-License-Identifier: GPL-2.0
//! The option, and layers that both modules mount in turn.

use super::*;

cases! { "metacopy";
    read_by_the_other_module;
    made_by_the_other_module;
    shown_in_the_options;
    conflicts_with_userxattr;
    off_by_default;
}

/// What one module made, the other one reads, and goes on with.
fn handed_over(t: &T, first: &str, second: &str) -> R {
    let mut o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for n in ["chmod", "rename", "move", "link", "write"] {
        f::write(o.low(format!("d/{n}")), data())?;
    }
    o.ty = first.into();
    o.mount_with(ON)?;
    f::chmod(o.m("d/chmod"), 0o640)?;
    f::rename(o.m("d/rename"), o.m("d/renamed"))?;
    f::rename(o.m("d/move"), o.m("moved"))?;
    f::link(o.m("d/link"), o.m("linked"))?;
    f::chmod(o.m("d/write"), 0o640)?;
    f::append(o.m("d/write"), "x")?;
    let raw = |o: &Ovl| -> R<Vec<_>> {
        let mut v = Vec::new();
        for n in [
            "d/chmod",
            "d/renamed",
            "moved",
            "linked",
            "d/link",
            "d/write",
        ] {
            v.push((o.xattr(n, "metacopy")?, o.xattr(n, "redirect")?));
        }
        Ok(v)
    };
    let made = raw(&o)?;
    o.umount()?;
    o.ty = second.into();
    o.mount_with(ON)?;
    for n in ["d/chmod", "d/renamed", "moved", "linked", "d/link"] {
        check_eq!(f::read(o.m(n))?, data(), "{n}");
    }
    check_eq!(f::stat(o.m("d/write"))?.len(), LEN as u64 + 1);
    check_eq!(raw(&o)?, made);
    f::rename(o.m("d/renamed"), o.m("renamed"))?;
    f::append(o.m("moved"), "y")?;
    o.umount()?;
    o.ty = first.into();
    o.mount_with(ON)?;
    check_eq!(f::read(o.m("renamed"))?, data());
    check_eq!(f::stat(o.m("moved"))?.len(), LEN as u64 + 1);
    check_whole(&o, "moved")
}

fn read_by_the_other_module(t: &T) -> R {
    handed_over(t, &t.ty, t.other_ty()?)
}

fn made_by_the_other_module(t: &T) -> R {
    handed_over(t, t.other_ty()?, &t.ty)
}

fn shown_in_the_options(t: &T) -> R {
    let o = t.ovl()?;
    o.mount_only(&format!("{},metacopy=on", o.layer_opts()))?;
    let shown = mountinfo(o.root())?.3;
    check!(shown.contains("metacopy=on"), "{shown}");
    check!(shown.contains("redirect_dir=on"), "{shown}");
    Ok(())
}

fn conflicts_with_userxattr(t: &T) -> R {
    let o = t.ovl()?;
    t.kmsg_since();
    let opts = format!("{},metacopy=on,userxattr", o.layer_opts());
    check_err!(o.mount_only(&opts), EINVAL);
    t.expect_log(&["metacopy", "userxattr"])
}

fn off_by_default(t: &T) -> R {
    let p = format!("/sys/module/{}/parameters/metacopy", t.ty);
    check_eq!(f::text(p)?, "N\n");
    let o = t.ovl()?;
    f::write(o.low("a"), data())?;
    o.mount_only(&o.layer_opts())?;
    f::chmod(o.m("a"), 0o640)?;
    check_whole(&o, "a")
}
