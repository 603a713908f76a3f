// SPDX-License-Identifier: GPL-2.0
//! Mounts with an index: switched on and off, and layers that are refused.

use super::*;

cases! { "index";
    index_off_after_on;
    index_on_after_off;
    workdir_is_unused;
    is_shown;
    default_by_parameter;
    forced_readonly;
    without_upper;
    upper_in_use;
    workdir_in_use;
    lower_in_use;
    other_lower_is_refused;
    other_upper_is_refused;
    origin_of_root;
    index_is_a_file;
}

fn index_off_after_on(t: &T) -> R {
    let mut o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    o.opts = OFF.into();
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "one+");
    check_eq!(f::text(o.m("b"))?, "one", "nobody looks into the index");
    o.umount()?;
    o.opts = ON.into();
    o.mount()?;
    together(&o, "one+")
}

fn index_on_after_off(t: &T) -> R {
    let mut o = linked(t)?;
    o.opts = OFF.into();
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    o.opts = ON.into();
    o.mount()?;
    check_eq!(f::text(o.m("a"))?, "one+");
    check_eq!(f::text(o.m("b"))?, "one");
    check_ne!(ino(o.m("a"))?, ino(o.m("b"))?, "a broken link stays broken");
    f::append(o.m("b"), "b")?;
    check_eq!(f::text(o.m("d/c"))?, "oneb");
    check_eq!(f::text(o.m("a"))?, "one+");
    Ok(())
}

fn workdir_is_unused(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("s"))?;
    f::mkdir(o.m("s"))?;
    f::chmod(o.m("d"), 0o700)?;
    check_eq!(o.work_entries()?, [""; 0]);
    let mode = f::mode(index_dir(&o))?;
    check_eq!(mode, 0, "of the index directory");
    o.umount()?;
    let left = f::ls(index_dir(&o))?;
    check!(
        left.len() <= 2,
        "the entry and the shared whiteout: {left:?}"
    );
    o.mount()?;
    check_eq!(f::ls(index_dir(&o))?.len(), 1, "and not that either");
    Ok(())
}

fn is_shown(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let s = mountinfo(o.root())?.3;
    check!(s.contains(",index=on"), "{s}");
    Ok(())
}

fn default_by_parameter(t: &T) -> R {
    let o = linked(t)?;
    {
        let _p = Param::set(t, "index", "Y")?;
        o.mount_only(&o.layer_opts())?;
        let s = mountinfo(o.root())?.3;
        check!(!s.contains("index="), "the default is not shown: {s}");
        f::append(o.m("a"), "+")?;
        together(&o, "one+")?;
        o.umount()?;
        o.mount_only(&format!("{},index=off", o.layer_opts()))?;
        let s = mountinfo(o.root())?.3;
        check!(s.contains(",index=off"), "{s}");
        o.umount()?;
    }
    o.mount_only(&o.layer_opts())?;
    let s = mountinfo(o.root())?.3;
    check!(!s.contains("index="), "{s}");
    Ok(())
}

fn forced_readonly(t: &T) -> R {
    let o = linked(t)?;
    // A file that is the index cannot be a directory, nor be removed by whoever wants one.
    f::mkdirs(index_dir(&o).join("x/y/z"))?;
    f::write(index_dir(&o).join("x/y/z/f"), "")?;
    // Not a name of an entry.
    check_err!(o.mount(), EINVAL);
    Ok(())
}

fn without_upper(t: &T) -> R {
    let mut o = t.ovl_ro(2)?;
    f::write(o.low("a"), "a")?;
    f::link(o.low("a"), o.low("b"))?;
    o.opts = ON.into();
    o.mount()?;
    let s = mountinfo(o.root())?.3;
    check!(!s.contains("index=on"), "{s}");
    check_eq!(ino(o.m("a"))?, ino(o.m("b"))?);
    check_eq!(nlink(o.m("a"))?, 2);
    Ok(())
}

fn upper_in_use(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let mut p = ovl(t, 1)?;
    p.upper = o.upper.clone();
    check_err!(p.mount(), EBUSY);
    // As a lower layer, too.
    let mut p = ovl(t, 1)?;
    p.lowers = vec![o.up("")];
    check_err!(p.mount(), EBUSY);
    o.umount()?;
    p.mount()
}

fn workdir_in_use(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let mut p = ovl(t, 1)?;
    p.work = o.work.clone();
    check_err!(p.mount(), EBUSY);
    Ok(())
}

fn lower_in_use(t: &T) -> R {
    let o = linked(t)?;
    f::mkdir(o.up("sub"))?;
    o.mount()?;
    let mut p = ovl(t, 1)?;
    p.lowers = vec![o.up("sub")];
    check_err!(p.mount(), EBUSY, "inside the upper of another mount");
    p.opts = OFF.into();
    p.mount()
}

fn other_lower_is_refused(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    o.umount()?;
    let q = linked(t)?;
    let mut p = o.clone();
    p.lowers = q.lowers.clone();
    t.kmsg_since();
    check_err!(p.mount(), ESTALE);
    t.expect_log(&["verify", "root", "origin"])?;
    // Another one below the same topmost is fine.
    p.lowers = vec![o.low(""), q.low("")];
    p.mount()?;
    p.umount()?;
    // And so is any with index=off.
    p.lowers = q.lowers.clone();
    p.opts = OFF.into();
    p.mount()
}

fn other_upper_is_refused(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    o.umount()?;
    let mut p = o.clone();
    p.upper = Some(t.p("another"));
    f::mkdir(t.p("another"))?;
    t.kmsg_since();
    check_err!(p.mount(), ESTALE);
    t.expect_log(&["verify", "index dir", "upper"])?;
    o.mount()
}

fn origin_of_root(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let origin = o.xattr("", "origin")?.unwrap_or_default();
    check_eq!(origin.get(..2), Some(&[0, 0xfb][..]), "of the lower root");
    let upper = f::getxattr(index_dir(&o), "trusted.overlay.upper")?;
    check_eq!(upper.get(..2), Some(&[0, 0xfb][..]), "of the upper root");
    check_eq!(
        upper.get(3).map(|b| b & 4),
        Some(4),
        "marked as an upper one"
    );
    check_eq!(origin.get(3).map(|b| b & 4), Some(0));
    o.umount()?;
    f::removexattr(index_dir(&o), "trusted.overlay.upper")?;
    f::removexattr(o.up(""), "trusted.overlay.origin")?;
    o.mount()?;
    check_eq!(o.xattr("", "origin")?, Some(origin), "made anew");
    check_eq!(f::getxattr(index_dir(&o), "trusted.overlay.upper")?, upper);
    Ok(())
}

fn index_is_a_file(t: &T) -> R {
    let o = linked(t)?;
    f::write(index_dir(&o), "")?;
    check_err!(o.mount(), ENOTDIR);
    Ok(())
}
