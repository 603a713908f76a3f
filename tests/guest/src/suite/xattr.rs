// SPDX-License-Identifier: GPL-2.0
//! Extended attributes: every operation on every kind of object; the overlay's own names hidden
//! and, where a user writes them, escaped.

use super::prelude::*;
use rustix::fs::{lsetxattr, XattrFlags};

cases! { "xattr";
    get_list_of_lower;
    set_on_lower_copies_up;
    replace_and_create_flags;
    remove;
    remove_missing;
    value_sizes;
    too_big_value;
    empty_value;
    short_buffer;
    on_directory;
    on_symlink;
    on_special_files;
    through_descriptor;
    private_names_hidden_in_list;
    private_names_of_lower_hidden;
    private_name_reads_as_missing;
    private_name_is_stored_escaped;
    private_name_removal;
    escaped_name_in_layer_shows_once_unescaped;
    double_escape;
    escape_roundtrip_through_two_overlays;
    user_overlay_names_are_plain;
    userxattr_mount_hides_user_names;
    list_size_query;
    list_short_buffer;
    many_names;
    long_name;
    long_private_name;
    unknown_namespace;
    trusted_for_root;
    security_names;
    copy_up_then_list;
    ctime_changes;
    readonly_mount;
    inode_and_hard_links_share;
}

fn get_list_of_lower(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.one", "1")?;
    f::setxattr(o.low("a"), "trusted.two", "2")?;
    o.mount()?;
    check_eq!(f::listxattr(o.m("a"))?, ["trusted.two", "user.one"]);
    check_eq!(f::getxattr(o.m("a"), "user.one")?, b"1");
    check_eq!(f::getxattr(o.m("a"), "trusted.two")?, b"2");
    check_err!(f::getxattr(o.m("a"), "user.none"), ENODATA);
    check!(!o.in_upper("a")?);
    Ok(())
}

fn set_on_lower_copies_up(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(o.m("a"), "user.x", "value")?;
    check_eq!(f::getxattr(o.m("a"), "user.x")?, b"value");
    check_eq!(f::getxattr(o.up("a"), "user.x")?, b"value");
    check_eq!(f::listxattr(o.low("a"))?, [""; 0]);
    Ok(())
}

fn replace_and_create_flags(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.old", "1")?;
    o.mount()?;
    let p = o.m("a");
    check_err!(
        lsetxattr(&p, "user.new", b"2", XattrFlags::REPLACE),
        ENODATA
    );
    check_err!(lsetxattr(&p, "user.old", b"2", XattrFlags::CREATE), EEXIST);
    lsetxattr(&p, "user.new", b"2", XattrFlags::CREATE)?;
    lsetxattr(&p, "user.old", b"3", XattrFlags::REPLACE)?;
    check_eq!(f::getxattr(&p, "user.new")?, b"2");
    check_eq!(f::getxattr(&p, "user.old")?, b"3");
    Ok(())
}

fn remove(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.old", "1")?;
    o.mount()?;
    f::removexattr(o.m("a"), "user.old")?;
    check_eq!(f::listxattr(o.m("a"))?, [""; 0]);
    check_eq!(f::getxattr(o.low("a"), "user.old")?, b"1");
    f::setxattr(o.m("a"), "user.x", "1")?;
    f::removexattr(o.m("a"), "user.x")?;
    check_err!(f::getxattr(o.m("a"), "user.x"), ENODATA);
    Ok(())
}

fn remove_missing(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    check_err!(f::removexattr(o.m("a"), "user.none"), ENODATA);
    check_err!(f::removexattr(o.m("u"), "user.none"), ENODATA);
    check!(
        !o.in_upper("a")?,
        "a removal that finds nothing does not copy up"
    );
    Ok(())
}

fn value_sizes(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    for len in [1usize, 63, 64, 65, 255, 256, 1000, 3000] {
        let v = f::pattern(len as u64, len);
        f::setxattr(o.m("a"), "user.v", &v)?;
        check!(
            f::getxattr(o.m("a"), "user.v")? == v,
            "value of {len} bytes"
        );
        let n = rustix::fs::lgetxattr_query(o.m("a"), "user.v")?;
        check_eq!(n, len, "size asked for with no buffer");
    }
    Ok(())
}

fn too_big_value(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    check_err!(f::setxattr(o.m("a"), "user.v", vec![0; 65_537]), E2BIG);
    // What fits the interface but not the filesystem fails as it does there.
    f::write(o.up("r"), "x")?;
    let real = crate::check::outcome(&f::setxattr(o.up("r"), "user.v", vec![1; 60_000]));
    let ours = crate::check::outcome(&f::setxattr(o.m("a"), "user.v", vec![1; 60_000]));
    check_eq!(ours, real, "a value of 60,000 bytes");
    Ok(())
}

fn empty_value(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.empty", "")?;
    o.mount()?;
    check_eq!(f::getxattr(o.m("a"), "user.empty")?, b"");
    f::setxattr(o.m("a"), "user.other", "")?;
    check_eq!(f::getxattr(o.m("a"), "user.other")?, b"");
    check_eq!(f::listxattr(o.m("a"))?, ["user.empty", "user.other"]);
    Ok(())
}

fn short_buffer(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.v", "0123456789")?;
    o.mount()?;
    let mut b = [0u8; 5];
    check_err!(
        rustix::fs::lgetxattr(o.m("a"), "user.v", &mut b[..]),
        ERANGE
    );
    Ok(())
}

fn on_directory(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::setxattr(o.low("d"), "user.l", "1")?;
    f::mkdir(o.low("m"))?;
    f::setxattr(o.low("m"), "user.l", "1")?;
    f::mkdir(o.up("m"))?;
    f::setxattr(o.up("m"), "user.u", "1")?;
    o.mount()?;
    check_eq!(
        f::listxattr(o.m("m"))?,
        ["user.u"],
        "of a merged directory: the upper's"
    );
    f::setxattr(o.m("d"), "user.n", "2")?;
    check_eq!(f::listxattr(o.m("d"))?, ["user.l", "user.n"]);
    f::setxattr(o.m(""), "user.root", "3")?;
    check_eq!(f::getxattr(o.up(""), "user.root")?, b"3");
    Ok(())
}

fn on_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::symlink("t", o.low("l"))?;
    o.mount()?;
    check_err!(f::setxattr(o.m("l"), "user.x", "1"), EPERM);
    f::setxattr(o.m("l"), "trusted.x", "1")?;
    check_eq!(f::getxattr(o.up("l"), "trusted.x")?, b"1");
    Ok(())
}

fn on_special_files(t: &T) -> R {
    let o = t.ovl()?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("c"), FileType::CharacterDevice, 0o644, 1, 3)?;
    o.mount()?;
    for n in ["p", "c"] {
        check_err!(f::setxattr(o.m(n), "user.x", "1"), EPERM);
        f::setxattr(o.m(n), "trusted.x", "1")?;
        check_eq!(f::getxattr(o.m(n), "trusted.x")?, b"1");
        check_eq!(f::listxattr(o.m(n))?, ["trusted.x"]);
    }
    Ok(())
}

fn through_descriptor(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let h = f::open_ro(o.m("a"))?;
    rustix::fs::fsetxattr(&h, "user.x", b"1", XattrFlags::empty())?;
    let mut b = [0u8; 8];
    check_eq!(rustix::fs::fgetxattr(&h, "user.x", &mut b[..])?, 1);
    check_eq!(rustix::fs::flistxattr(&h, &mut [0u8; 64][..])?, 7);
    rustix::fs::fremovexattr(&h, "user.x")?;
    check_eq!(rustix::fs::flistxattr(&h, &mut [0u8; 64][..])?, 0);
    Ok(())
}

fn private_names_hidden_in_list(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::append(o.m("d/a"), "y")?;
    check!(
        !f::listxattr(o.up("d/a"))?.is_empty(),
        "the upper file has an origin"
    );
    for n in ["", "d", "d/a"] {
        check_eq!(f::listxattr(o.m(n))?, [""; 0], "names of '{n}'");
    }
    Ok(())
}

fn private_names_of_lower_hidden(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "trusted.overlay.origin", "")?;
    f::setxattr(o.low("a"), "trusted.overlay.whatever", "x")?;
    f::setxattr(o.low("a"), "user.seen", "x")?;
    o.mount()?;
    check_eq!(f::listxattr(o.m("a"))?, ["user.seen"]);
    Ok(())
}

fn private_name_reads_as_missing(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    for n in ["origin", "opaque", "impure", "redirect"] {
        check_err!(
            f::getxattr(o.m("a"), &format!("trusted.overlay.{n}")),
            ENODATA,
            "{n}"
        );
    }
    Ok(())
}

fn private_name_is_stored_escaped(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    o.mount()?;
    f::setxattr(o.m("d"), "trusted.overlay.opaque", "y")?;
    check_eq!(f::getxattr(o.m("d"), "trusted.overlay.opaque")?, b"y");
    check_eq!(f::listxattr(o.m("d"))?, ["trusted.overlay.opaque"]);
    check_eq!(o.xattr("d", "overlay.opaque")?, Some(b"y".to_vec()));
    check_eq!(o.xattr("d", "opaque")?, None);
    o.again()?;
    check_eq!(
        f::ls(o.m("d"))?,
        ["x"],
        "it does not make the directory opaque here"
    );
    check_eq!(f::getxattr(o.m("d"), "trusted.overlay.opaque")?, b"y");
    Ok(())
}

fn private_name_removal(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_err!(f::removexattr(o.m("a"), "trusted.overlay.origin"), ENODATA);
    check!(o.xattr("a", "origin")?.is_some(), "the real one stays");
    f::setxattr(o.m("a"), "trusted.overlay.origin", "mine")?;
    f::removexattr(o.m("a"), "trusted.overlay.origin")?;
    check_eq!(f::listxattr(o.m("a"))?, [""; 0]);
    check!(
        o.xattr("a", "origin")?.is_some(),
        "the real one stays still"
    );
    Ok(())
}

fn escaped_name_in_layer_shows_once_unescaped(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "trusted.overlay.overlay.metacopy", "v")?;
    o.mount()?;
    check_eq!(f::listxattr(o.m("a"))?, ["trusted.overlay.metacopy"]);
    check_eq!(f::getxattr(o.m("a"), "trusted.overlay.metacopy")?, b"v");
    check_eq!(f::text(o.m("a"))?, "x");
    Ok(())
}

fn double_escape(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(o.m("a"), "trusted.overlay.overlay.x", "2")?;
    check_eq!(o.xattr("a", "overlay.overlay.x")?, Some(b"2".to_vec()));
    check_eq!(f::listxattr(o.m("a"))?, ["trusted.overlay.overlay.x"]);
    Ok(())
}

fn escape_roundtrip_through_two_overlays(t: &T) -> R {
    let inner = t.ovl()?;
    f::mkdirs(inner.low("d"))?;
    f::write(inner.low("d/x"), "x")?;
    inner.mount()?;
    // An overlay's layer, prepared inside an overlay.
    f::mkdir(inner.m("layer"))?;
    f::mkdir(inner.m("layer/d"))?;
    f::setxattr(inner.m("layer/d"), "trusted.overlay.opaque", "y")?;
    let mut o = t.ovl_ro(2)?;
    o.lowers = vec![inner.m("layer"), inner.m("")];
    // The one inside the other would overlap: a copy of the bottom is the second layer.
    f::mkdirs(t.p("bottom/d"))?;
    f::write(t.p("bottom/d/hidden"), "x")?;
    o.lowers[1] = t.p("bottom");
    o.mount()?;
    check_eq!(
        f::ls(o.m("d"))?,
        [""; 0],
        "the outer overlay sees an opaque directory"
    );
    Ok(())
}

fn user_overlay_names_are_plain(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(o.m("a"), "user.overlay.origin", "v")?;
    check_eq!(f::getxattr(o.up("a"), "user.overlay.origin")?, b"v");
    check_eq!(f::listxattr(o.m("a"))?, ["user.overlay.origin"]);
    Ok(())
}

fn userxattr_mount_hides_user_names(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "user.overlay.opaque", "y")?;
    f::setxattr(o.up("d"), "user.seen", "y")?;
    super::optional_mount(t, o.mount_only(&format!("{},userxattr", o.layer_opts())))?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    check_eq!(f::listxattr(o.m("d"))?, ["user.seen"]);
    f::setxattr(o.m("d"), "user.overlay.x", "v")?;
    check_eq!(f::getxattr(o.up("d"), "user.overlay.overlay.x")?, b"v");
    Ok(())
}

fn list_size_query(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.one", "1")?;
    o.mount()?;
    let n = rustix::fs::llistxattr_query(o.m("a"))?;
    check!(n >= 9, "a size that suffices: {n}");
    check_eq!(rustix::fs::llistxattr(o.m("a"), &mut vec![0u8; n][..])?, 9);
    Ok(())
}

fn list_short_buffer(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.one", "1")?;
    o.mount()?;
    check_err!(rustix::fs::llistxattr(o.m("a"), &mut [0u8; 4][..]), ERANGE);
    Ok(())
}

fn many_names(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    let mut want = Vec::new();
    for i in 0..30 {
        f::setxattr(o.low("a"), &format!("user.l{i:02}"), "1")?;
        want.push(format!("user.l{i:02}"));
    }
    o.mount()?;
    for i in 0..30 {
        f::setxattr(o.m("a"), &format!("user.m{i:02}"), "1")?;
        want.push(format!("user.m{i:02}"));
    }
    check_eq!(f::listxattr(o.m("a"))?, want);
    Ok(())
}

fn long_name(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let n = format!("user.{}", "n".repeat(250));
    f::setxattr(o.m("a"), &n, "v")?;
    check_eq!(f::getxattr(o.m("a"), &n)?, b"v");
    check_err!(f::setxattr(o.m("a"), &format!("{n}x"), "v"), ERANGE);
    Ok(())
}

fn long_private_name(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    // Escaping adds "overlay." (8 bytes) to the name.
    let fits = format!("trusted.overlay.{}", "n".repeat(255 - 16 - 8));
    f::setxattr(o.m("a"), &fits, "v")?;
    check_eq!(f::getxattr(o.m("a"), &fits)?, b"v");
    check_eq!(f::listxattr(o.m("a"))?, [fits.clone()]);
    check_err!(f::setxattr(o.m("a"), &format!("{fits}x"), "v"), EOPNOTSUPP);
    Ok(())
}

fn unknown_namespace(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.up("u"), "x")?;
    o.mount()?;
    for n in ["a", "u"] {
        check_err!(f::setxattr(o.m(n), "nonsense.x", "v"), EOPNOTSUPP);
        check_err!(f::getxattr(o.m(n), "nonsense.x"), EOPNOTSUPP);
    }
    Ok(())
}

fn trusted_for_root(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::setxattr(o.m("a"), "trusted.overlayish", "v")?;
    f::setxattr(o.m("a"), "trusted.overlay", "v")?;
    check_eq!(
        f::listxattr(o.m("a"))?,
        ["trusted.overlay", "trusted.overlayish"]
    );
    check_eq!(
        f::getxattr(o.up("a"), "trusted.overlay")?,
        b"v",
        "stored as it is"
    );
    Ok(())
}

fn security_names(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "security.test", "l")?;
    o.mount()?;
    check_eq!(f::getxattr(o.m("a"), "security.test")?, b"l");
    f::setxattr(o.m("a"), "security.test", "u")?;
    check_eq!(f::getxattr(o.up("a"), "security.test")?, b"u");
    f::removexattr(o.m("a"), "security.test")?;
    check_err!(f::getxattr(o.m("a"), "security.test"), ENODATA);
    Ok(())
}

fn copy_up_then_list(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.z", "1")?;
    f::setxattr(o.low("a"), "trusted.overlay.overlay.esc", "1")?;
    o.mount()?;
    let before = f::listxattr(o.m("a"))?;
    f::append(o.m("a"), "y")?;
    check_eq!(f::listxattr(o.m("a"))?, before);
    check_eq!(before, ["trusted.overlay.esc", "user.z"]);
    Ok(())
}

fn ctime_changes(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.up("a"), "x")?;
    o.mount()?;
    let before = f::stat(o.m("a"))?;
    std::thread::sleep(std::time::Duration::from_millis(20));
    f::setxattr(o.m("a"), "user.x", "1")?;
    let after = f::stat(o.m("a"))?;
    check!((after.ctime(), after.ctime_nsec()) > (before.ctime(), before.ctime_nsec()));
    Ok(())
}

fn readonly_mount(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    f::write(o.low("a"), "x")?;
    f::setxattr(o.low("a"), "user.x", "1")?;
    o.mount()?;
    check_err!(f::setxattr(o.m("a"), "user.x", "2"), EROFS);
    check_err!(f::removexattr(o.m("a"), "user.x"), EROFS);
    check_eq!(f::getxattr(o.m("a"), "user.x")?, b"1");
    Ok(())
}

fn inode_and_hard_links_share(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    f::setxattr(o.m("a"), "user.x", "1")?;
    check_eq!(f::getxattr(o.m("b"), "user.x")?, b"1");
    Ok(())
}
