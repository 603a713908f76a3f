// SPDX-License-Identifier: GPL-2.0
//! What /proc/self/mountinfo shows: only what differs from the defaults.

use super::prelude::*;

cases! { "show_options";
    defaults;
    readonly_stack;
    read_only_mount;
    escapes_are_shown_as_given;
    default_permissions;
    nofollow;
    xino_nonsamefs;
    fsync_mode;
    userxattr;
    uuid;
    workdir_of_readonly_stack_is_dropped;
    shown_options_mount_again;
    old_upper_shows_uuid_null;
    empty_impure_leaves_uuid_auto;
}

fn shown(o: &Ovl) -> R<String> {
    Ok(mountinfo(o.root())?.3)
}

fn layers(o: &Ovl) -> String {
    let l: Vec<String> = o.lowers.iter().map(|p| p.display().to_string()).collect();
    let w = o
        .work
        .as_ref()
        .map(|w| w.display().to_string())
        .unwrap_or_default();
    format!(
        "lowerdir={},upperdir={},workdir={w}",
        l.join(":"),
        o.up("").display()
    )
    .replace("/,", ",")
}

fn defaults(t: &T) -> R {
    let o = t.layers(2)?;
    o.mount()?;
    check_eq!(shown(&o)?, format!("rw,{},uuid=on", layers(&o)));
    o.umount()?;
    o.mount_only(&o.layer_opts())?;
    // The uuid that is there now is used, which is what the default does.
    check_eq!(
        shown(&o)?,
        format!("rw,{}", layers(&o)),
        "with no option given"
    );
    Ok(())
}

fn readonly_stack(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    o.mount_only(&o.layer_opts())?;
    let l = format!("{}:{}", o.lowers[0].display(), o.lowers[1].display());
    // Redirects are followed in a stack without upper: that is its way to say so.
    check_eq!(shown(&o)?, format!("ro,lowerdir={l},redirect_dir=on"));
    Ok(())
}

fn read_only_mount(t: &T) -> R {
    let mut o = t.ovl()?;
    o.flags = MountFlags::RDONLY;
    o.mount()?;
    check!(shown(&o)?.starts_with("ro,lowerdir="), "{}", shown(&o)?);
    Ok(())
}

fn escapes_are_shown_as_given(t: &T) -> R {
    let o = t.layers_at(&t.p("a:b c"), 2)?;
    o.mount()?;
    let l = format!(
        "{}:{}",
        crate::env::escape(&o.lowers[0]),
        crate::env::escape(&o.lowers[1])
    );
    let s = shown(&o)?;
    check!(s.contains(&format!("lowerdir={l},")), "lowerdir={l} in {s}");
    Ok(())
}

fn default_permissions(t: &T) -> R {
    let o = t.ovl()?;
    o.mount_with("default_permissions")?;
    check!(
        shown(&o)?.contains(",default_permissions"),
        "{}",
        shown(&o)?
    );
    Ok(())
}

fn with(t: &T, o: &Ovl, opt: &str) -> R<String> {
    super::optional_mount(t, o.mount_only(&format!("{},{opt}", o.layer_opts())))?;
    shown(o)
}

fn nofollow(t: &T) -> R {
    let o = t.ovl()?;
    let s = with(t, &o, "redirect_dir=nofollow")?;
    check!(s.contains(",redirect_dir=nofollow"), "{s}");
    Ok(())
}

fn xino_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    let s = with(t, &o, "xino=on")?;
    check!(s.contains(",xino=on"), "{s}");
    o.umount()?;
    let o = t.ovl()?;
    let s = with(t, &o, "xino=on")?;
    check!(
        !s.contains("xino"),
        "not shown when all layers are on one filesystem: {s}"
    );
    Ok(())
}

fn fsync_mode(t: &T) -> R {
    let o = t.ovl()?;
    let s = with(t, &o, "fsync=strict")?;
    check!(s.contains(",fsync=strict"), "{s}");
    o.umount()?;
    let s = with(t, &o, "fsync=auto")?;
    check!(!s.contains("fsync"), "{s}");
    Ok(())
}

fn userxattr(t: &T) -> R {
    let o = t.ovl()?;
    let s = with(t, &o, "userxattr")?;
    check!(s.contains(",userxattr"), "{s}");
    Ok(())
}

fn uuid(t: &T) -> R {
    let o = t.ovl()?;
    let s = with(t, &o, "uuid=null")?;
    check!(s.contains(",uuid=null"), "{s}");
    check_eq!(o.xattr("", "uuid")?, None);
    o.umount()?;
    let s = with(t, &o, "uuid=on")?;
    check!(s.contains(",uuid=on"), "{s}");
    check!(o.xattr("", "uuid")?.is_some());
    Ok(())
}

fn workdir_of_readonly_stack_is_dropped(t: &T) -> R {
    let mut o = t.layers(2)?;
    o.upper = None;
    o.mount_only(&o.layer_opts())?;
    check!(!shown(&o)?.contains("workdir"), "{}", shown(&o)?);
    Ok(())
}

fn shown_options_mount_again(t: &T) -> R {
    let o = t.layers(3)?;
    f::write(o.lown(2, "a"), "x")?;
    o.mount()?;
    let s = shown(&o)?;
    o.umount()?;
    let opts = s.strip_prefix("rw,").unwrap_or(&s);
    o.mount_only(opts)?;
    check_eq!(shown(&o)?, s);
    check_eq!(f::text(o.m("a"))?, "x");
    Ok(())
}

fn old_upper_shows_uuid_null(t: &T) -> R {
    let o = t.ovl()?;
    f::setxattr(o.up(""), "trusted.overlay.impure", "y")?;
    o.mount()?;
    check_eq!(shown(&o)?, format!("rw,{},uuid=null", layers(&o)));
    check_eq!(
        o.xattr("", "uuid")?,
        None,
        "a uuid in an upper that was used before"
    );
    Ok(())
}

fn empty_impure_leaves_uuid_auto(t: &T) -> R {
    let o = t.ovl()?;
    f::setxattr(o.up(""), "trusted.overlay.impure", "")?;
    o.mount_only(&o.layer_opts())?;
    // The upper gets a uuid, as a new one does, but what is shown is the default: nothing.
    check_eq!(shown(&o)?, format!("rw,{}", layers(&o)));
    check_eq!(o.xattr("", "uuid")?.map(|uuid| uuid.len()), Some(16));
    Ok(())
}
