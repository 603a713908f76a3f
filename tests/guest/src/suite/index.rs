// SPDX-License-Identifier: GPL-2.0
//! index=on: lower hard links stay together, what is stored for that, and which layers are refused.

use super::prelude::*;

cases! { "index";
    links_stay_together;
    links_stay_together_nonsamefs;
    inode_number_stays;
    every_kind_of_object;
    links_in_several_dirs;
    stored_form;
    stored_form_after_unlink;
    single_links_are_not_indexed;
    unlink_of_lower_link;
    unlink_all;
    unlink_all_while_open;
    new_link;
    new_link_of_lower;
    rename_of_link;
    rename_over_lower_link;
    rename_over_upper_link;
    rename_onto_own_link;
    exchange;
    copy_up_by_metadata;
    truncate_on_open;
    descriptor_opened_before_follows;
    entry_without_upper_name;
    entry_whose_nlink_is_relative_to_lower;
    name_hidden_by_whiteout;
    removed_dir_of_links;
    lower_link_count_of_middle_layer;
    metadata_of_all_names;
    many_links;
    drop_caches_between;
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
    strange_entry_is_refused;
    newer_entry_is_refused;
    leftovers_are_removed;
    orphan_is_removed;
    stale_entry_is_removed;
    whiteout_entry_stays;
    whiteout_entry_found_by_name;
    entry_of_wrong_type;
    foreign_nlink_falls_back;
    index_is_a_file;
    other_driver_continues;
    same_bytes_as_other_driver;
    crossed_drivers_step_by_step;
}

const ON: &str = "redirect_dir=off,metacopy=off,xino=off,nfs_export=off,index=on";

/// `n` lowers and an upper, with index=on.
fn ovl(t: &T, n: usize) -> R<Ovl> {
    let mut o = t.layers(n)?;
    o.opts = ON.into();
    Ok(o)
}

/// A lower with the hard links `a`, `b` and `d/c`, and a file `s` with one name.
fn linked(t: &T) -> R<Ovl> {
    let o = ovl(t, 1)?;
    fill(&o)?;
    Ok(o)
}

fn fill(o: &Ovl) -> R {
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "one")?;
    f::link(o.low("a"), o.low("b"))?;
    f::link(o.low("a"), o.low("d/c"))?;
    f::write(o.low("s"), "single")
}

fn index_dir(o: &Ovl) -> PathBuf {
    match &o.work {
        Some(w) => w.join("index"),
        None => PathBuf::from("/no-workdir"),
    }
}

/// The names of the entries, without those of temporary objects, of which the whiteout that others
/// are links of is one.
fn entries(o: &Ovl) -> R<Vec<String>> {
    let mut names = f::ls(index_dir(o))?;
    names.retain(|n| !n.starts_with('#'));
    Ok(names)
}

/// The only entry.
fn entry(o: &Ovl) -> R<PathBuf> {
    let e = entries(o)?;
    check_eq!(e.len(), 1, "entries: {e:?}");
    Ok(index_dir(o).join(&e[0]))
}

fn nlink(p: impl AsRef<Path>) -> R<u64> {
    Ok(f::stat(p)?.nlink())
}

fn ino(p: impl AsRef<Path>) -> R<u64> {
    Ok(f::stat(p)?.ino())
}

/// The record of the link count at a raw path.
fn record(p: impl AsRef<Path>) -> R<Option<String>> {
    let x = f::xattr_opt(p, "trusted.overlay.nlink")?;
    Ok(x.map(|v| String::from_utf8_lossy(&v).into_owned()))
}

/// All three names are one object with this text.
fn together(o: &Ovl, text: &str) -> R {
    let i = ino(o.m("a"))?;
    for n in ["a", "b", "d/c"] {
        check_eq!(f::text(o.m(n))?, text, "{n}");
        check_eq!(ino(o.m(n))?, i, "inode number of {n}");
        check_eq!(nlink(o.m(n))?, 3, "links of {n}");
    }
    Ok(())
}

fn stay_together(o: &Ovl) -> R {
    o.mount()?;
    together(o, "one")?;
    f::append(o.m("a"), "+a")?;
    together(o, "one+a")?;
    check!(o.in_upper("a")? && !o.in_upper("b")? && !o.in_upper("d")?);
    o.again()?;
    together(o, "one+a")?;
    f::append(o.m("d/c"), "+c")?;
    together(o, "one+a+c")?;
    check!(!o.in_upper("b")?);
    check_eq!(ino(o.up("a"))?, ino(o.up("d/c"))?, "one upper object");
    o.again()?;
    together(o, "one+a+c")?;
    check_eq!(f::text(o.low("a"))?, "one");
    Ok(())
}

fn links_stay_together(t: &T) -> R {
    stay_together(&linked(t)?)
}

fn links_stay_together_nonsamefs(t: &T) -> R {
    let mut o = t.ovl_nonsamefs()?;
    o.opts = ON.into();
    fill(&o)?;
    o.mount()?;
    if !mountinfo(o.root())?.3.contains("index=on") {
        return Err(Skip("the layers are not fit for an index".into()).into());
    }
    o.umount()?;
    stay_together(&o)
}

fn inode_number_stays(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let i = ino(o.m("b"))?;
    check_eq!(i, ino(o.low("b"))?, "of the lower object");
    f::chmod(o.m("b"), 0o600)?;
    check_eq!(ino(o.m("b"))?, i);
    for _ in 0..2 {
        drop_caches()?;
        check_eq!(ino(o.m("a"))?, i);
        check_eq!(ino(o.m("b"))?, i);
        o.again()?;
        check_eq!(ino(o.m("b"))?, i);
        check_eq!(ino(o.m("d/c"))?, i);
    }
    let dir = f::open_ro(o.root())?;
    for e in sys::getdents(&dir, 4096)? {
        if e.name == "a" || e.name == "b" {
            check_eq!(e.ino, i, "{} in readdir", e.name);
        }
    }
    Ok(())
}

fn every_kind_of_object(t: &T) -> R {
    let o = ovl(t, 1)?;
    f::symlink("target", o.low("l1"))?;
    f::mknod(o.low("p1"), FileType::Fifo, 0o644, 0, 0)?;
    f::mknod(o.low("c1"), FileType::CharacterDevice, 0o644, 1, 3)?;
    f::mknod(o.low("s1"), FileType::Socket, 0o644, 0, 0)?;
    for k in ["l", "p", "c", "s"] {
        f::link(o.low(format!("{k}1")), o.low(format!("{k}2")))?;
    }
    o.mount()?;
    for k in ["l", "p", "c", "s"] {
        let (a, b) = (format!("{k}1"), format!("{k}2"));
        f::chown(o.m(&a), 5, 6)?;
        check!(o.in_upper(&a)? && !o.in_upper(&b)?, "{k}");
        for _ in 0..2 {
            let (x, y) = (f::stat(o.m(&a))?, f::stat(o.m(&b))?);
            check_eq!(
                (x.ino(), x.uid(), x.nlink()),
                (y.ino(), y.uid(), y.nlink()),
                "{k}"
            );
            check_eq!((x.uid(), x.nlink(), x.rdev()), (5, 2, y.rdev()), "{k}");
            drop_caches()?;
        }
    }
    check_eq!(entries(&o)?.len(), 4);
    check_eq!(f::readlink(o.m("l2"))?, Path::new("target"));
    o.again()?;
    check_eq!(f::stat(o.m("c2"))?.uid(), 5);
    Ok(())
}

fn links_in_several_dirs(t: &T) -> R {
    let o = ovl(t, 1)?;
    for d in ["x", "y", "z"] {
        f::mkdir(o.low(d))?;
    }
    f::write(o.low("x/f"), "f")?;
    f::link(o.low("x/f"), o.low("y/f"))?;
    f::link(o.low("x/f"), o.low("z/f"))?;
    o.mount()?;
    f::append(o.m("y/f"), "y")?;
    f::append(o.m("z/f"), "z")?;
    for _ in 0..2 {
        for d in ["x", "y", "z"] {
            check_eq!(f::text(o.m(d).join("f"))?, "fyz");
            check_eq!(nlink(o.m(d).join("f"))?, 3);
        }
        check!(!o.in_upper("x")?);
        o.again()?;
    }
    Ok(())
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

fn unlink_of_lower_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let i = ino(o.m("a"))?;
    f::unlink(o.m("b"))?;
    for _ in 0..2 {
        check_err!(f::stat(o.m("b")), ENOENT);
        check_eq!(nlink(o.m("a"))?, 2);
        check_eq!(nlink(o.m("d/c"))?, 2);
        check_eq!(ino(o.m("d/c"))?, i);
        check_eq!(f::text(o.m("d/c"))?, "one");
        o.again()?;
    }
    f::append(o.m("d/c"), "+")?;
    check_eq!(f::text(o.m("a"))?, "one+");
    f::unlink(o.m("a"))?;
    check_eq!(nlink(o.m("d/c"))?, 1);
    o.again()?;
    check_eq!(nlink(o.m("d/c"))?, 1);
    check_eq!(f::text(o.m("d/c"))?, "one+");
    Ok(())
}

fn unlink_all(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("b"))?;
    f::unlink(o.m("a"))?;
    check_eq!(entries(&o)?.len(), 1);
    f::unlink(o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0], "the entry goes with the last name");
    o.again()?;
    check_eq!(f::ls(o.root())?, ["d", "s"]);
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::write(o.m("a"), "new")?;
    check_eq!(nlink(o.m("a"))?, 1);
    check_eq!(f::text(o.low("b"))?, "one");
    Ok(())
}

fn unlink_all_while_open(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let h = f::open_rw(o.m("b"))?;
    for n in ["a", "b", "d/c"] {
        f::unlink(o.m(n))?;
    }
    check_eq!(h.metadata()?.nlink(), 0);
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(f::pread(&h, 0, 9)?, b"one");
    f::pwrite(&h, 0, "two")?;
    check_eq!(f::pread(&h, 0, 9)?, b"two");
    Ok(())
}

fn new_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::link(o.m("a"), o.m("n"))?;
    for _ in 0..2 {
        for n in ["a", "b", "d/c", "n"] {
            check_eq!(nlink(o.m(n))?, 4, "{n}");
            check_eq!(f::text(o.m(n))?, "one+", "{n}");
        }
        o.again()?;
    }
    f::unlink(o.m("n"))?;
    check_eq!(nlink(o.m("b"))?, 3);
    o.again()?;
    check_eq!(nlink(o.m("b"))?, 3);
    Ok(())
}

fn new_link_of_lower(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::link(o.m("d/c"), o.m("d/n"))?;
    check!(o.in_upper("d/c")? && o.in_upper("d/n")? && !o.in_upper("a")?);
    for _ in 0..2 {
        check_eq!(nlink(o.m("a"))?, 4);
        check_eq!(ino(o.m("a"))?, ino(o.m("d/n"))?);
        o.again()?;
    }
    // A single lower name that gets a second one is not indexed.
    f::link(o.m("s"), o.m("s2"))?;
    check_eq!(entries(&o)?.len(), 1);
    check_eq!(nlink(o.m("s"))?, 2);
    o.again()?;
    check_eq!(nlink(o.m("s"))?, 2);
    check_eq!(ino(o.m("s"))?, ino(o.m("s2"))?);
    Ok(())
}

fn rename_of_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("d/a"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["b", "d", "s"]);
        for n in ["d/a", "b", "d/c"] {
            check_eq!(nlink(o.m(n))?, 3, "{n}");
            check_eq!(ino(o.m(n))?, ino(o.m("b"))?, "{n}");
        }
        o.again()?;
    }
    f::append(o.m("b"), "+b")?;
    check_eq!(f::text(o.m("d/a"))?, "one+b");
    Ok(())
}

fn rename_over_lower_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("s"), o.m("b"))?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("b"))?, "single");
        check_eq!(nlink(o.m("b"))?, 1);
        check_eq!(nlink(o.m("a"))?, 2);
        check_eq!(nlink(o.m("d/c"))?, 2);
        o.again()?;
    }
    f::rename(o.m("b"), o.m("a"))?;
    f::rename(o.m("a"), o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0], "all three are covered");
    Ok(())
}

fn rename_over_upper_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::link(o.m("a"), o.m("n"))?;
    f::write(o.m("x"), "x")?;
    f::rename(o.m("x"), o.m("n"))?;
    for _ in 0..2 {
        check_eq!(nlink(o.m("a"))?, 3);
        check_eq!(f::text(o.m("n"))?, "x");
        o.again()?;
    }
    Ok(())
}

fn rename_onto_own_link(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("b"))?;
    for _ in 0..2 {
        check_eq!(
            f::ls(o.root())?,
            ["a", "b", "d", "s"],
            "rename does nothing"
        );
        check_eq!(nlink(o.m("a"))?, 3);
        o.again()?;
    }
    Ok(())
}

fn exchange(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::rename2(o.m("a"), o.m("s"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "single");
        check_eq!(f::text(o.m("s"))?, "one");
        check_eq!(nlink(o.m("s"))?, 3);
        check_eq!(nlink(o.m("a"))?, 1);
        check_eq!(ino(o.m("s"))?, ino(o.m("b"))?);
        o.again()?;
    }
    Ok(())
}

fn copy_up_by_metadata(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::chmod(o.m("b"), 0o640)?;
    f::chown(o.m("d/c"), 7, 8)?;
    f::setxattr(o.m("a"), "user.x", "y")?;
    f::utimes(o.m("b"), (10, 20), (30, 40))?;
    for _ in 0..2 {
        for n in ["a", "b", "d/c"] {
            let m = f::stat(o.m(n))?;
            check_eq!((m.mode() & 0o7777, m.uid(), m.gid()), (0o640, 7, 8), "{n}");
            check_eq!((m.mtime(), m.mtime_nsec()), (30, 40), "{n}");
            check_eq!(f::getxattr(o.m(n), "user.x")?, b"y", "{n}");
        }
        o.again()?;
    }
    Ok(())
}

fn truncate_on_open(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::write(o.m("b"), "")?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "");
        check_eq!(nlink(o.m("a"))?, 3);
        o.again()?;
    }
    Ok(())
}

fn descriptor_opened_before_follows(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    let h = f::open_ro(o.m("b"))?;
    f::append(o.m("a"), "+")?;
    check_eq!(f::pread(&h, 0, 9)?, b"one+", "through another name");
    check_eq!(h.metadata()?.ino(), ino(o.m("a"))?);
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

fn name_hidden_by_whiteout(t: &T) -> R {
    let o = linked(t)?;
    f::whiteout(o.up("a"))?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["b", "d", "s"]);
    f::append(o.m("b"), "+")?;
    check_eq!(f::text(o.m("d/c"))?, "one+");
    f::link(o.m("b"), o.m("a"))?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "one+");
        check_eq!(ino(o.m("a"))?, ino(o.m("d/c"))?);
        o.again()?;
    }
    Ok(())
}

fn removed_dir_of_links(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    f::unlink(o.m("d/c"))?;
    f::rmdir(o.m("d"))?;
    check_eq!(nlink(o.m("a"))?, 2);
    o.again()?;
    check_eq!(nlink(o.m("a"))?, 2);
    check_eq!(f::ls(o.root())?, ["a", "b", "s"]);
    Ok(())
}

fn lower_link_count_of_middle_layer(t: &T) -> R {
    let o = ovl(t, 2)?;
    f::write(o.lown(1, "a"), "low")?;
    f::link(o.lown(1, "a"), o.lown(1, "b"))?;
    f::write(o.lown(0, "b"), "middle")?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("a"))?, "low+");
        check_eq!(f::text(o.m("b"))?, "middle");
        check_eq!(
            nlink(o.m("a"))?,
            2,
            "hidden names count, as nobody looks for them"
        );
        o.again()?;
    }
    Ok(())
}

fn metadata_of_all_names(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    // The names are in the dcache as lower ones when the object is copied up.
    let before = f::stat(o.m("b"))?;
    f::truncate(o.m("a"), 2)?;
    let after = f::stat(o.m("b"))?;
    check_eq!((after.len(), after.ino()), (2, before.ino()));
    f::truncate(o.m("b"), 1)?;
    check_eq!(f::stat(o.m("a"))?.len(), 1);
    Ok(())
}

fn many_links(t: &T) -> R {
    let o = ovl(t, 1)?;
    let n = t.scaled(300, 40);
    f::write(o.low("f0"), "f")?;
    for i in 1..n {
        f::link(o.low("f0"), o.low(format!("f{i}")))?;
    }
    o.mount()?;
    for i in 0..n {
        if i % 3 == 0 {
            f::append(o.m(format!("f{i}")), "x")?;
        }
    }
    for i in 0..n {
        if i % 3 == 1 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    let left = (0..n).filter(|i| i % 3 != 1).count() as u64;
    let size = 1 + (0..n).filter(|i| i % 3 == 0).count() as u64;
    for _ in 0..2 {
        let m = f::stat(o.m("f2"))?;
        check_eq!((m.nlink(), m.len()), (left, size));
        o.again()?;
    }
    for i in 0..n {
        if i % 3 != 1 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    check_eq!(entries(&o)?, [""; 0]);
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn drop_caches_between(t: &T) -> R {
    let o = linked(t)?;
    o.mount()?;
    drop_caches()?;
    f::append(o.m("a"), "1")?;
    drop_caches()?;
    f::append(o.m("b"), "2")?;
    drop_caches()?;
    together(&o, "one12")?;
    f::unlink(o.m("a"))?;
    drop_caches()?;
    check_eq!(nlink(o.m("b"))?, 2);
    f::unlink(o.m("b"))?;
    drop_caches()?;
    f::unlink(o.m("d/c"))?;
    check_eq!(entries(&o)?, [""; 0]);
    Ok(())
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

fn index_is_a_file(t: &T) -> R {
    let o = linked(t)?;
    f::write(index_dir(&o), "")?;
    check_err!(o.mount(), ENOTDIR);
    Ok(())
}

/// Does a bit of everything with hard links.
fn play(o: &Ovl) -> R {
    f::append(o.m("a"), "+")?;
    f::link(o.m("b"), o.m("n"))?;
    f::rename(o.m("d/c"), o.m("d/e"))?;
    f::unlink(o.m("a"))?;
    f::append(o.m("x"), "+x")?;
    f::unlink(o.m("y"))?;
    f::link(o.m("x"), o.m("d/x"))
}

/// As [`linked`], with the pair `x`, `y` beside it.
fn more(t: &T) -> R<Ovl> {
    let o = linked(t)?;
    f::write(o.low("x"), "x")?;
    f::link(o.low("x"), o.low("y"))?;
    Ok(o)
}

fn other_driver_continues(t: &T) -> R {
    let ty = t.other_ty()?;
    let o = more(t)?;
    o.mount()?;
    play(&o)?;
    let want = tree::snapshot(o.root(), tree::ALL)?;
    o.umount()?;
    let mut p = o.clone();
    p.ty = ty.into();
    p.mount()?;
    tree::same(ty, &want, &tree::snapshot(p.root(), tree::ALL)?)?;
    f::append(p.m("n"), "again")?;
    f::unlink(p.m("b"))?;
    f::rename(p.m("d/x"), p.m("n"))?;
    let want = tree::snapshot(p.root(), tree::ALL)?;
    p.umount()?;
    o.mount()?;
    tree::same("back", &want, &tree::snapshot(o.root(), tree::ALL)?)?;
    f::unlink(o.m("d/e"))?;
    f::unlink(o.m("n"))?;
    check_eq!(entries(&o)?.len(), 1);
    f::unlink(o.m("x"))?;
    check_eq!(entries(&o)?, [""; 0]);
    Ok(())
}

fn same_bytes_as_other_driver(t: &T) -> R {
    let o = more(t)?;
    let mut p = more(t)?;
    p.ty = t.other_ty()?.into();
    for o in [&o, &p] {
        o.mount()?;
        play(o)?;
        o.umount()?;
    }
    for dir in ["", "d"] {
        check_eq!(f::ls(o.up(dir))?, f::ls(p.up(dir))?, "{dir}");
        check_eq!(f::listxattr(o.up(dir))?, f::listxattr(p.up(dir))?, "{dir}");
    }
    for n in ["n", "b", "d/e", "x", "d/x"] {
        check_eq!(o.in_upper(n)?, p.in_upper(n)?, "{n}");
        if o.in_upper(n)? {
            check_eq!(f::listxattr(o.up(n))?, f::listxattr(p.up(n))?, "{n}");
            check_eq!(record(o.up(n))?, record(p.up(n))?, "{n}");
            check_eq!(nlink(o.up(n))?, nlink(p.up(n))?, "{n}");
        }
    }
    for x in ["origin", "upper"] {
        let x = format!("trusted.overlay.{x}");
        check_eq!(
            f::xattr_opt(index_dir(&o), &x)?.is_some(),
            f::xattr_opt(index_dir(&p), &x)?.is_some(),
            "{x}"
        );
    }
    check_eq!(entries(&o)?.len(), entries(&p)?.len());
    Ok(())
}

fn crossed_drivers_step_by_step(t: &T) -> R {
    let ty = t.other_ty()?;
    let o = linked(t)?;
    let mut p = o.clone();
    p.ty = ty.into();
    type Step = (&'static str, fn(&Ovl) -> R, u64);
    let steps: [Step; 5] = [
        ("append", |o| f::append(o.m("a"), "+"), 3),
        ("link", |o| f::link(o.m("b"), o.m("n")), 4),
        ("unlink", |o| f::unlink(o.m("a")), 3),
        ("cover", |o| f::rename(o.m("s"), o.m("b")), 2),
        ("move", |o| f::rename(o.m("n"), o.m("d/n")), 2),
    ];
    for (i, (what, step, links)) in steps.into_iter().enumerate() {
        let (first, second) = if i % 2 == 0 { (&o, &p) } else { (&p, &o) };
        first.mount()?;
        step(first)?;
        check_eq!(nlink(first.m("d/c"))?, links, "{what}, {}", first.ty);
        first.umount()?;
        second.mount()?;
        check_eq!(
            nlink(second.m("d/c"))?,
            links,
            "after {what}, {}",
            second.ty
        );
        check_eq!(f::text(second.m("d/c"))?, "one+", "after {what}");
        second.umount()?;
    }
    Ok(())
}
