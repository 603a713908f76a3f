// SPDX-License-Identifier: GPL-2.0
//! Layers that are changed underneath while they are mounted. What then shows is undefined, but it
//! is what the kernel's own overlay shows, it is never the data of another file, and nothing
//! crashes or hangs.

use super::prelude::*;
use crate::check::outcome;
use anyhow::Context;

cases! { "changed";
    plain
        .rs_only("compares with the kernel's own overlay")
        .only_fs(&["ext4"], "long: each filesystem has a part of these tests");
    with_all_features
        .rs_only("compares with the kernel's own overlay")
        .only_fs(&["xfs"], "long: each filesystem has a part of these tests");
    with_all_features_looked_at_late
        .rs_only("compares with the kernel's own overlay")
        .only_fs(&["tmpfs"], "long: each filesystem has a part of these tests");
    exported
        .rs_only("compares with the kernel's own overlay")
        .only_fs(&["tmpfs"], "long: each filesystem has a part of these tests");
    lower_storm;
    upper_storm;
}

/// A change of the layers behind the overlay's back.
struct Change {
    name: &'static str,
    /// What was moved, from where to where: its data may show there.
    moved: &'static [(&'static str, &'static str)],
    make: fn(&Ovl) -> R,
}

/// `changes! { name; name moving "a" => "b", ..; }`
macro_rules! changes {
    ($($f:ident $(moving $($a:literal => $b:literal),+)? ;)*) => {
        const CHANGES: &[Change] = &[$(Change {
            name: stringify!($f),
            moved: &[$($(($a, $b)),+)?],
            make: $f,
        }),*];
    };
}

changes! {
    nothing;
    lower_file_replaced;
    lower_file_removed;
    lower_file_renamed moving "a" => "a2";
    lower_files_swapped moving "a" => "only", "only" => "a";
    lower_file_becomes_dir;
    lower_file_written;
    lower_file_attributes;
    lower_dir_removed;
    lower_dir_renamed moving "e" => "e2";
    lower_dir_becomes_file;
    lower_dirs_swapped moving "d" => "e", "e" => "d";
    lower_part_of_merged_dir_renamed moving "d" => "e2";
    lower_entries_added;
    lower_whiteouts_added;
    lower_dir_made_opaque;
    lower_link_removed;
    upper_file_removed;
    upper_file_replaced;
    upper_file_renamed moving "u" => "u2";
    upper_file_moved moving "d/u" => "ud/u";
    upper_dir_removed;
    upper_dir_renamed moving "ud" => "ud2";
    upper_dirs_swapped moving "d" => "ud", "ud" => "d";
    upper_dir_moved_into_another moving "ud" => "d/ud";
    upper_dir_becomes_file;
    upper_part_of_merged_dir_removed;
    upper_entries_added;
    upper_whiteout_removed;
    upper_whiteouts_added;
    upper_dir_made_opaque;
    upper_dir_redirected moving "e" => "d";
    copy_removed;
    copies_swapped moving "c1" => "c2", "c2" => "c1";
    copy_has_another_origin;
    metadata_copies_lose_their_data;
    metadata_copy_marked_by_hand;
    work_emptied;
    work_removed;
    index_emptied;
}

fn tag(p: &str) -> String {
    format!("[{p}]")
}

/// Writes a file whose data says its name.
fn named(dir: &Path, p: &str) -> R {
    f::write(dir.join(p), tag(p))
}

/// An overlay with something of everything, mounted by this type.
fn stack(t: &T, ty: &str, opts: &str) -> R<Ovl> {
    let mut o = t.layers(2)?;
    o.ty = ty.into();
    o.opts = opts.into();
    let (top, bottom) = (o.lown(0, ""), o.lown(1, ""));
    for d in ["d", "d/sub", "e", "e/sub"] {
        f::mkdir(bottom.join(d))?;
    }
    for p in [
        "a", "b", "only", "gone", "c1", "c2", "mc1", "mc2", "h1", "d/x", "d/y", "d/sub/z", "e/x",
        "e/w", "e/sub/q",
    ] {
        named(&bottom, p)?;
    }
    f::link(bottom.join("h1"), bottom.join("h2"))?;
    f::mkdir(top.join("d"))?;
    for p in ["b", "t", "d/x"] {
        named(&top, p)?;
    }
    o.mount()?;
    for d in ["ud", "ud/sub"] {
        f::mkdir(o.m(d))?;
    }
    for p in ["u", "d/u", "ud/v", "ud/sub/v"] {
        named(o.root(), p)?;
    }
    f::unlink(o.m("gone"))?;
    for p in ["c1", "c2"] {
        f::append(o.m(p), "+")?;
    }
    for p in ["mc1", "mc2"] {
        f::chmod(o.m(p), 0o640)?;
    }
    Ok(o)
}

fn replace(dir: &Path, p: &str) -> R {
    f::write(dir.join("new-one"), format!("{} again", tag(p)))?;
    f::rename(dir.join("new-one"), dir.join(p))
}

fn swap(dir: &Path, a: &str, b: &str) -> R {
    f::rename2(dir.join(a), dir.join(b), RenameFlags::EXCHANGE)
}

fn remove_tree(p: PathBuf) -> R {
    f::ctx(std::fs::remove_dir_all(&p), "rm -r", p)
}

fn nothing(_: &Ovl) -> R {
    Ok(())
}

fn lower_file_replaced(o: &Ovl) -> R {
    replace(&o.lown(1, ""), "a")?;
    replace(&o.lown(1, ""), "d/y")
}

fn lower_file_removed(o: &Ovl) -> R {
    f::unlink(o.lown(1, "a"))?;
    f::unlink(o.lown(1, "d/y"))?;
    f::unlink(o.lown(0, "b"))
}

fn lower_file_renamed(o: &Ovl) -> R {
    f::rename(o.lown(1, "a"), o.lown(1, "a2"))
}

fn lower_files_swapped(o: &Ovl) -> R {
    swap(&o.lown(1, ""), "a", "only")
}

fn lower_file_becomes_dir(o: &Ovl) -> R {
    f::unlink(o.lown(1, "a"))?;
    f::mkdir(o.lown(1, "a"))?;
    f::mkdir(o.lown(1, "a/n"))
}

fn lower_file_written(o: &Ovl) -> R {
    f::append(o.lown(1, "a"), " and more")?;
    f::append(o.lown(1, "c1"), " and more")?;
    f::append(o.lown(1, "mc1"), " and more")?;
    f::truncate(o.lown(1, "only"), 2)
}

fn lower_file_attributes(o: &Ovl) -> R {
    f::chmod(o.lown(1, "a"), 0o4711)?;
    f::chown(o.lown(1, "a"), 7, 8)?;
    f::chmod(o.lown(1, "e"), 0o700)?;
    f::setxattr(o.lown(1, "only"), "trusted.note", "x")
}

fn lower_dir_removed(o: &Ovl) -> R {
    remove_tree(o.lown(1, "e"))
}

fn lower_dir_renamed(o: &Ovl) -> R {
    f::rename(o.lown(1, "e"), o.lown(1, "e2"))
}

fn lower_dir_becomes_file(o: &Ovl) -> R {
    remove_tree(o.lown(1, "e"))?;
    named(&o.lown(1, ""), "e")
}

fn lower_dirs_swapped(o: &Ovl) -> R {
    swap(&o.lown(1, ""), "d", "e")
}

fn lower_part_of_merged_dir_renamed(o: &Ovl) -> R {
    f::rename(o.lown(1, "d"), o.lown(1, "e2"))
}

fn lower_entries_added(o: &Ovl) -> R {
    for p in ["new", "d/new", "e/new", "d/sub/new"] {
        named(&o.lown(1, ""), p)?;
    }
    f::mkdir(o.lown(0, "d/newdir"))?;
    // What is covered stays covered.
    named(&o.lown(0, ""), "u")
}

fn lower_whiteouts_added(o: &Ovl) -> R {
    f::whiteout(o.lown(0, "a"))?;
    f::whiteout(o.lown(0, "d/y"))?;
    f::whiteout(o.lown(0, "e"))
}

fn lower_dir_made_opaque(o: &Ovl) -> R {
    f::setxattr(o.lown(0, "d"), "trusted.overlay.opaque", "y")
}

fn lower_link_removed(o: &Ovl) -> R {
    f::unlink(o.lown(1, "h1"))
}

fn upper_file_removed(o: &Ovl) -> R {
    f::unlink(o.up("u"))?;
    f::unlink(o.up("d/u"))
}

fn upper_file_replaced(o: &Ovl) -> R {
    replace(&o.up(""), "u")?;
    replace(&o.up(""), "c1")
}

fn upper_file_renamed(o: &Ovl) -> R {
    f::rename(o.up("u"), o.up("u2"))
}

fn upper_file_moved(o: &Ovl) -> R {
    f::rename(o.up("d/u"), o.up("ud/u"))
}

fn upper_dir_removed(o: &Ovl) -> R {
    remove_tree(o.up("ud"))
}

fn upper_dir_renamed(o: &Ovl) -> R {
    f::rename(o.up("ud"), o.up("ud2"))
}

fn upper_dirs_swapped(o: &Ovl) -> R {
    swap(&o.up(""), "d", "ud")
}

fn upper_dir_moved_into_another(o: &Ovl) -> R {
    f::rename(o.up("ud"), o.up("d/ud"))
}

fn upper_dir_becomes_file(o: &Ovl) -> R {
    remove_tree(o.up("ud"))?;
    named(&o.up(""), "ud")
}

fn upper_part_of_merged_dir_removed(o: &Ovl) -> R {
    remove_tree(o.up("d"))
}

fn upper_entries_added(o: &Ovl) -> R {
    for p in ["new", "d/new", "a"] {
        named(&o.up(""), p)?;
    }
    f::mkdir(o.up("ud/newdir"))
}

fn upper_whiteout_removed(o: &Ovl) -> R {
    f::unlink(o.up("gone"))
}

fn upper_whiteouts_added(o: &Ovl) -> R {
    f::whiteout(o.up("a"))?;
    f::whiteout(o.up("d/x"))?;
    f::whiteout(o.up("e"))
}

fn upper_dir_made_opaque(o: &Ovl) -> R {
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")
}

fn upper_dir_redirected(o: &Ovl) -> R {
    f::setxattr(o.up("d"), "trusted.overlay.redirect", "/e")
}

fn copy_removed(o: &Ovl) -> R {
    f::unlink(o.up("c1"))?;
    f::unlink(o.up("mc1"))
}

fn copies_swapped(o: &Ovl) -> R {
    swap(&o.up(""), "c1", "c2")
}

fn copy_has_another_origin(o: &Ovl) -> R {
    match o.xattr("c2", "origin")? {
        Some(v) => f::setxattr(o.up("c1"), "trusted.overlay.origin", v),
        None => Ok(()),
    }
}

fn metadata_copies_lose_their_data(o: &Ovl) -> R {
    f::unlink(o.lown(1, "mc1"))?;
    replace(&o.lown(1, ""), "mc2")
}

fn metadata_copy_marked_by_hand(o: &Ovl) -> R {
    // A mark that is not true of a file with data of its own, and one without anything below.
    f::setxattr(o.up("c1"), "trusted.overlay.metacopy", "")?;
    f::setxattr(o.up("u"), "trusted.overlay.metacopy", "")
}

fn work_emptied(o: &Ovl) -> R {
    for n in o.work_entries()? {
        let p = o.work.clone().unwrap().join("work").join(n);
        if f::stat(&p)?.is_dir() {
            remove_tree(p)?;
        } else {
            f::unlink(p)?;
        }
    }
    Ok(())
}

fn work_removed(o: &Ovl) -> R {
    work_emptied(o)?;
    f::rmdir(o.work.clone().unwrap().join("work"))
}

fn index_emptied(o: &Ovl) -> R {
    let index = o.work.clone().unwrap().join("index");
    if f::exists(&index)? {
        for n in f::ls(&index)? {
            let p = index.join(n);
            if f::stat(&p)?.is_dir() {
                f::rmdir(p)?;
            } else {
                f::unlink(p)?;
            }
        }
    }
    Ok(())
}

/// The names that files had when their data was written, as far as the data says.
fn names_in(text: &str) -> Vec<String> {
    let parts = text.split('[').skip(1);
    parts
        .filter_map(|s| s.split_once(']').map(|(n, _)| n.to_string()))
        .collect()
}

/// Whether data of a file of this name may show at `p`: it, or what it is in, was moved there.
fn may_show(name: &str, p: &str, moved: &[(&str, &str)]) -> bool {
    let below = |path: &str, dir: &str| {
        path.strip_prefix(dir)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .map(str::to_string)
    };
    // `h1` and `h2` are one file.
    name == p
        || (name == "h1" && p == "h2")
        || moved
            .iter()
            .any(|(from, to)| below(name, from).is_some_and(|rest| format!("{to}{rest}") == p))
}

/// The names in a directory, sorted, as far as they can be read: the kernel's own overlay fails once
/// at an entry that cannot be looked up, and then leaves it out.
fn names(p: PathBuf) -> R<Vec<String>> {
    let dir = f::open(p, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
    let (mut all, mut errors) = (Vec::new(), 0);
    loop {
        match sys::getdents(&dir, 4096) {
            Ok(part) if part.is_empty() => break,
            Ok(part) => all.extend(part.into_iter().map(|e| e.name)),
            Err(_) => errors += 1,
        }
        check!(errors < 100, "reading a directory comes to its end");
    }
    all.retain(|n| n != "." && n != "..");
    all.sort();
    Ok(all)
}

/// Everything that shows: names, types, modes, owners, link counts and data. An entry that cannot be
/// looked at is left out: overlay_rs always lists it, the kernel's own overlay sometimes.
fn view(o: &Ovl, c: &Change, when: &str, lines: &mut Vec<String>) -> R {
    let mut dirs = vec![String::new()];
    while let Some(d) = dirs.pop() {
        let listed = names(o.m(&d));
        lines.push(format!("{when}: ls {d}: {}", outcome(&listed)));
        for n in listed.unwrap_or_default() {
            let p = if d.is_empty() { n } else { format!("{d}/{n}") };
            if let Ok(m) = f::stat(o.m(&p)) {
                let mut line = format!("{when}: {p}:");
                line += &format!(" {:o} {}:{}", m.mode(), m.uid(), m.gid());
                if m.is_dir() {
                    dirs.push(p.clone());
                } else {
                    line += &format!(" {}", m.nlink());
                }
                if m.is_file() {
                    let text = f::text(o.m(&p));
                    line += &format!(" {}", outcome(&text));
                    let text = text.unwrap_or_default();
                    for name in names_in(&text) {
                        check!(
                            may_show(&name, &p, c.moved),
                            "{}: {when}: {p} has the data of {name}",
                            c.name
                        );
                    }
                    line += &format!(" {text:?}");
                }
                lines.push(line);
            }
        }
    }
    Ok(())
}

/// Paths to work on, whatever has become of them.
const PATHS: &[&str] = &[
    "a", "only", "b", "u", "c1", "c2", "mc1", "mc2", "h1", "h2", "d", "d/x", "d/y", "d/u", "d/sub",
    "e", "e/x", "e/sub", "ud", "ud/v", "ud/sub", "gone", "new", "t",
];

/// Tries to change everything, and says what came of it.
fn work(o: &Ovl, lines: &mut Vec<String>) -> R {
    let mut say = |what: &str, p: &str, r: R| lines.push(format!("{what} {p}: {}", outcome(&r)));
    for p in PATHS {
        say("chmod", p, f::chmod(o.m(p), 0o750));
    }
    for p in [
        "a", "b", "u", "c1", "mc1", "mc2", "h1", "d/x", "d/y", "e/x", "ud/v",
    ] {
        // What is a directory now is refused.
        say("append", p, f::append(o.m(p), format!(" {}", tag(p))));
    }
    for d in ["", "d", "e", "ud", "d/sub", "ud/sub", "a"] {
        let dir = Path::new(d);
        say("create in", d, f::write(o.m(dir.join("n1")), ""));
        say("mkdir in", d, f::mkdir(o.m(dir.join("n2"))));
        say(
            "rename in",
            d,
            f::rename(o.m(dir.join("n1")), o.m(dir.join("n2/n3"))),
        );
    }
    for (a, b) in [
        ("a", "r1"),
        ("u", "d/r2"),
        ("d/u", "ud/r3"),
        ("c1", "r4"),
        ("h2", "r5"),
    ] {
        say("link", a, f::link(o.m(a), o.m(format!("{b}-link"))));
        say("rename", a, f::rename(o.m(a), o.m(b)));
        say("back", a, f::rename(o.m(b), o.m(a)));
        say("unlink link of", a, f::unlink(o.m(format!("{b}-link"))));
    }
    for (a, b) in [("ud", "ud3"), ("e", "e3"), ("d", "d3")] {
        say("rename", a, f::rename(o.m(a), o.m(b)));
        say("back", a, f::rename(o.m(b), o.m(a)));
    }
    for p in ["only", "u", "d/x", "c2", "h1", "ud/v", "e/x", "gone"] {
        say("unlink", p, f::unlink(o.m(p)));
    }
    for p in ["e/sub", "ud/sub", "d/sub", "e"] {
        say("rmdir", p, f::rmdir(o.m(p)));
    }
    Ok(())
}

/// One change on one stack: everything that is seen and done.
fn story(t: &T, ty: &str, opts: &str, warm: bool, c: &Change) -> R<Vec<String>> {
    let o = stack(t, ty, opts)?;
    let mut lines = Vec::new();
    let mut open = Vec::new();
    if warm {
        view(&o, c, "before", &mut lines)?;
        for p in ["a", "u", "c1", "mc1", "d/x"] {
            open.push((p, f::open_ro(o.m(p))?));
        }
    } else {
        // Nothing is known of the tree but what making it has left.
        o.again()?;
    }
    (c.make)(&o).context(c.name)?;
    view(&o, c, "after", &mut lines)?;
    for (p, h) in &open {
        let data = f::pread(h, 0, 99);
        lines.push(format!("descriptor of {p}: {} {data:?}", outcome(&data)));
    }
    drop(open);
    // Of the names: the data need not be written out for that.
    f::write("/proc/sys/vm/drop_caches", "2")?;
    view(&o, c, "caches dropped", &mut lines)?;
    work(&o, &mut lines)?;
    view(&o, c, "worked", &mut lines)?;
    o.umount()?;
    let again = o.mount();
    lines.push(format!("mount again: {}", outcome(&again)));
    if again.is_ok() {
        view(&o, c, "remounted", &mut lines)?;
        o.umount()?;
    }
    Ok(lines)
}

/// All changes, on both modules.
fn all(t: &T, opts: &str, warm: bool) -> R {
    let mut bad = String::new();
    for c in CHANGES {
        let want = story(t, t.other_ty()?, opts, warm, c)?;
        let got = story(t, &t.ty, opts, warm, c)?;
        let differ = want.iter().zip(&got).filter(|(w, g)| w != g);
        for (w, g) in differ.take(3) {
            bad += &format!("\n  {}\n    in-tree: {w}\n    here:    {g}", c.name);
        }
        if want.len() != got.len() {
            bad += &format!("\n  {}: {} lines, {} here", c.name, want.len(), got.len());
        }
    }
    check!(bad.is_empty(), "the same as the kernel's own overlay:{bad}");
    Ok(())
}

fn plain(t: &T) -> R {
    all(t, OFF, true)
}

const FEATURES: &str = "index=on,redirect_dir=on,metacopy=on,xino=off,nfs_export=off";

fn with_all_features(t: &T) -> R {
    all(t, FEATURES, true)
}

fn with_all_features_looked_at_late(t: &T) -> R {
    all(t, FEATURES, false)
}

fn exported(t: &T) -> R {
    all(
        t,
        "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on",
        true,
    )
}

/// Files that come and go in this layer while others walk and work in the overlay.
fn storm(t: &T, layer: fn(&Ovl) -> PathBuf) -> R {
    let mut o = t.ovl()?;
    o.opts = FEATURES.into();
    let attic = t.p("attic");
    f::mkdir(&attic)?;
    for d in ["d", "e", "d/s", "e/s"] {
        f::mkdir(o.low(d))?;
        f::mkdir(o.up(d))?;
    }
    let files = ["a", "b", "d/x", "d/s/y", "e/x", "e/s/y"];
    for p in files {
        named(&layer(&o), p)?;
    }
    o.mount()?;
    let rounds = t.scaled(150, 20);
    let changer = || {
        let l = layer(&o);
        for i in 0..rounds {
            for p in files {
                // Any of this may fail: the workers remove and rename, too.
                let _ = match i % 4 {
                    0 => replace(&l, p),
                    1 => f::unlink(l.join(p)).and_then(|()| named(&l, p)),
                    2 => f::rename(l.join(p), attic.join("f")).and_then(|()| named(&l, p)),
                    _ => f::whiteout(l.join(p)).or_else(|_| f::append(l.join(p), tag(p))),
                };
            }
            for d in ["d/s", "e"] {
                let _ = f::rename(l.join(d), attic.join("dir"));
                let _ = f::rename(attic.join("dir"), l.join(d));
            }
        }
        Ok(String::new())
    };
    let worker = |seed: u64| {
        for i in 0..rounds {
            for (k, p) in files.iter().enumerate() {
                let at = o.m(p);
                let _ = match (i + seed + k as u64) % 6 {
                    0 => f::chmod(&at, 0o640),
                    1 => f::append(&at, tag(p)),
                    2 => f::ls(at.parent().unwrap()).map(drop),
                    3 => f::rename(&at, at.with_extension("r"))
                        .and_then(|()| f::rename(at.with_extension("r"), &at)),
                    4 => f::link(&at, at.with_extension("l"))
                        .and_then(|()| f::unlink(at.with_extension("l"))),
                    _ => f::write(&at, tag(p)),
                };
                for name in names_in(&f::text(&at).unwrap_or_default()) {
                    check_eq!(name, *p, "whose data {p} shows");
                }
            }
        }
        Ok(String::new())
    };
    let mut all = vec![sys::spawn(changer)?];
    for seed in 0..3 {
        all.push(sys::spawn(|| worker(seed))?);
    }
    for c in all {
        c.join()?;
    }
    o.umount()
}

fn lower_storm(t: &T) -> R {
    storm(t, |o| o.low(""))
}

fn upper_storm(t: &T) -> R {
    storm(t, |o| o.up(""))
}
