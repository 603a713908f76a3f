// SPDX-License-Identifier: GPL-2.0
//! The entries of the index: what is stored, what is found damaged or left over.

use super::*;

cases! { "index";
    stored_form;
    stored_form_after_unlink;
    single_links_are_not_indexed;
    entry_without_upper_name;
    entry_whose_nlink_is_relative_to_lower;
    strange_entry_is_refused;
    newer_entry_is_refused;
    leftovers_are_removed;
    orphan_is_removed;
    stale_entry_is_removed;
    whiteout_entry_stays;
    whiteout_entry_found_by_name;
    entry_of_wrong_type;
    foreign_nlink_falls_back;
}

/// The only entry.
fn entry(o: &Ovl) -> R<PathBuf> {
    let e = entries(o)?;
    check_eq!(e.len(), 1, "entries: {e:?}");
    Ok(index_dir(o).join(&e[0]))
}

fn stored_form(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    check_eq!(entries(&o)?, [""; 0]);
    f::append(o.m("a"), "+")?;
    let e = entry(&o)?;
    let name = e
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    check!(name.starts_with("00fb"), "{name}");
    check!(
        name.bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "{name}"
    );
    let origin = o.xattr("a", "origin")?.unwrap_or_default();
    let hex = origin
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    check_eq!(name, hex, "the handle of the lower object");
    check_eq!(ino(&e)?, ino(o.up("a"))?, "a hard link of the upper object");
    check_eq!(nlink(o.up("a"))?, 2);
    check_eq!(
        record(o.up("a"))?,
        Some("U+1".into()),
        "three names, two links"
    );
    f::append(o.m("b"), "+")?;
    check_eq!(record(o.up("a"))?, Some("U+0".into()));
    f::append(o.m("d/c"), "+")?;
    check_eq!(
        record(o.up("a"))?,
        Some("U-1".into()),
        "the entry is no name"
    );
    check_eq!(nlink(o.up("a"))?, 4);
    check_eq!(o.xattr("", "impure")?, Some(b"y".to_vec()));
    Ok(())
}

fn stored_form_after_unlink(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::unlink(o.m("b"))?;
    let e = entry(&o)?;
    check!(o.is_whiteout("b")?);
    check_eq!(nlink(&e)?, 1, "the entry alone");
    // Stored while the name was there: 3 names, 2 links.
    check_eq!(record(&e)?, Some("U+1".into()));
    f::link(o.m("a"), o.m("n"))?;
    check_eq!(nlink(o.m("n"))?, 3);
    check_eq!(nlink(&e)?, 3);
    o.again()?;
    check_eq!(nlink(o.m("n"))?, 3);
    Ok(())
}

fn single_links_are_not_indexed(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("s"), "+")?;
    f::write(o.m("new"), "new")?;
    f::link(o.m("new"), o.m("new2"))?;
    f::chmod(o.m("d"), 0o700)?;
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(record(o.up("s"))?, None);
    check_eq!(nlink(o.m("s"))?, 1);
    check_eq!(nlink(o.m("new"))?, 2);
    f::unlink(o.m("new"))?;
    check_eq!(nlink(o.m("new2"))?, 1);
    Ok(())
}

fn entry_without_upper_name(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    // As if the machine had stopped before the copy was linked to its place.
    f::unlink(o.up("a"))?;
    f::setxattr(entry(&o)?, "trusted.overlay.nlink", "U+2")?;
    o.mount()?;
    together(&o, "one+")?;
    check!(!o.in_upper("a")?);
    f::append(o.m("b"), "b")?;
    together(&o, "one+b")?;
    check_eq!(ino(o.up("b"))?, ino(entry(&o)?)?);
    o.again()?;
    together(&o, "one+b")
}

fn entry_whose_nlink_is_relative_to_lower(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("b"))?;
    o.umount()?;
    // As if the machine had stopped while another name was copied up.
    f::setxattr(entry(&o)?, "trusted.overlay.nlink", "L-1")?;
    o.mount()?;
    check_eq!(nlink(o.m("a"))?, 2);
    f::append(o.m("d/c"), "+")?;
    check_eq!(nlink(o.m("a"))?, 2);
    check_eq!(record(entry(&o)?)?, Some("U-1".into()));
    Ok(())
}

fn strange_entry_is_refused(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    o.umount()?;
    for name in ["foo", &"0".repeat(42), &"zz".repeat(21)] {
        let p = index_dir(&o).join(name);
        f::write(&p, "")?;
        check_err!(o.mount(), EINVAL, "{name}");
        f::unlink(p)?;
    }
    o.mount()
}

fn newer_entry_is_refused(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    let e = entry(&o)?;
    let name = e
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let newer = index_dir(&o).join(name.replacen("00fb", "01fb", 1));
    f::rename(&e, &newer)?;
    check_err!(o.mount(), ENODATA);
    f::rename(newer, e)?;
    o.mount()?;
    together(&o, "one+")
}

fn leftovers_are_removed(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    f::write(index_dir(&o).join("#1"), "x")?;
    f::mkdirs(index_dir(&o).join("#2/sub"))?;
    f::write(index_dir(&o).join("#2/file"), "x")?;
    f::whiteout(index_dir(&o).join("#ab"))?;
    o.mount()?;
    check_eq!(f::ls(index_dir(&o))?.len(), 1);
    together(&o, "one+")
}

fn orphan_is_removed(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    // All names were removed, and the machine stopped before the entry was.
    for n in ["a", "b"] {
        if o.in_upper(n)? {
            f::unlink(o.up(n))?;
        }
        f::whiteout(o.up(n))?;
    }
    f::mkdir(o.up("d"))?;
    f::whiteout(o.up("d/c"))?;
    f::setxattr(entry(&o)?, "trusted.overlay.nlink", "U-1")?;
    o.mount()?;
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(f::ls(o.root())?, ["d", "s"]);
    Ok(())
}

fn stale_entry_is_removed(t: &T) -> R {
    let o = linked(t)?;
    f::write(o.low("x"), "x")?;
    f::link(o.low("x"), o.low("y"))?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::append(o.m("x"), "+")?;
    o.umount()?;
    // An entry whose origin is another object than its name says.
    let x = o.xattr("x", "origin")?.unwrap_or_default();
    f::setxattr(o.up("a"), "trusted.overlay.origin", &x)?;
    check_eq!(entries(&o)?.len(), 2);
    o.mount()?;
    check_eq!(entries(&o)?.len(), 1);
    check_eq!(f::text(o.m("y"))?, "x+");
    Ok(())
}

fn whiteout_entry_stays(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    let e = entry(&o)?;
    f::unlink(&e)?;
    f::whiteout(&e)?;
    f::unlink(o.up("a"))?;
    for n in ["a", "b"] {
        f::whiteout(o.up(n))?;
    }
    o.mount()?;
    check_eq!(entry(&o)?, e);
    check_eq!(f::ls(o.root())?, ["d", "s"]);
    Ok(())
}

fn whiteout_entry_found_by_name(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    let e = entry(&o)?;
    f::unlink(&e)?;
    f::whiteout(&e)?;
    o.mount()?;
    t.kmsg_since();
    check_err!(f::stat(o.m("b")), EIO);
    t.expect_limited_log(&["bad index"], || {
        let _ = f::stat(o.m("b"));
    })?;
    Ok(())
}

fn entry_of_wrong_type(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    let e = entry(&o)?;
    f::unlink(&e)?;
    // Entries of directories are not looked at when the file system is mounted.
    f::mkdir(&e)?;
    o.mount()?;
    t.kmsg_since();
    check_err!(f::stat(o.m("b")), EIO);
    t.expect_limited_log(&["bad index"], || {
        let _ = f::stat(o.m("b"));
    })?;
    check_eq!(f::text(o.m("s"))?, "single");
    Ok(())
}

fn foreign_nlink_falls_back(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    o.umount()?;
    for v in ["", "x", "U", "U+", "U1", "U+99999999999", "X+1", "U-7"] {
        f::setxattr(entry(&o)?, "trusted.overlay.nlink", v)?;
        o.mount()?;
        check_eq!(nlink(o.m("a"))?, 2, "of the upper object, because of {v:?}");
        check_eq!(f::text(o.m("b"))?, "one+");
        o.umount()?;
    }
    Ok(())
}
