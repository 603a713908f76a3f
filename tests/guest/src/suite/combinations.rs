// SPDX-License-Identifier: GPL-2.0
//! Features together: which combinations mount, and what metacopy, the index, redirects and
//! exported handles do to the same object at once; handles that are used while names move.

use super::prelude::*;
use crate::check::{outcome, Errno};
use crate::sys::handles::{handle, open_handle};

cases! { "combinations";
    every_combination_of_options
        .rs_only("compares with the kernel's own overlay")
        .only_fs(&["tmpfs"], "once is enough: nothing is asked of the filesystem");
    metacopy_and_index;
    metacopy_and_index_after_remount;
    metacopy_and_index_data_by_another_name;
    metacopy_index_and_redirect;
    metacopy_and_export_exclude_each_other;
    export_without_metacopy_leads_to_links;
    handles_against_renames;
    handles_against_removal;
    handles_of_lower_against_copy_up;
}

/// How a mount ends with these options, and what it then shows of them.
fn attempt(t: &T, ty: &str, upper: bool, opts: &str) -> R<String> {
    let mut o = t.layers(2)?;
    o.ty = ty.into();
    if !upper {
        o.upper = None;
        o.work = None;
    }
    let done = o.mount_only(&format!("{}{opts}", o.layer_opts()));
    let mut said = outcome(&done);
    if done.is_ok() {
        let shown = mountinfo(o.root())?.3;
        let own = |s: &&str| !s.contains("dir=/") && !s.starts_with("lowerdir");
        let own: Vec<&str> = shown.split(',').filter(own).collect();
        said += &format!(" {}", own.join(","));
        o.umount()?;
    }
    std::fs::remove_dir_all(o.root().parent().unwrap())?;
    Ok(said)
}

fn every_combination_of_options(t: &T) -> R {
    let other = t.other_ty()?;
    let choices: [(&str, &[&str]); 6] = [
        ("index", &["", "on", "off"]),
        ("metacopy", &["", "on", "off"]),
        ("nfs_export", &["", "on", "off"]),
        ("redirect_dir", &["", "on", "off", "follow", "nofollow"]),
        ("verity", &["", "require"]),
        ("userxattr", &["", "yes"]),
    ];
    let total: usize = choices.iter().map(|c| c.1.len()).product();
    for upper in [true, false] {
        for i in 0..total {
            // A part of them, spread over all, where time is short.
            if (i as u64 * 37) % 100 >= t.scale {
                continue;
            }
            let mut i = i;
            let mut opts = String::new();
            for (name, values) in choices {
                let v = values[i % values.len()];
                i /= values.len();
                opts += &match (name, v) {
                    (_, "") => continue,
                    ("userxattr", _) => ",userxattr".to_string(),
                    _ => format!(",{name}={v}"),
                };
            }
            let want = attempt(t, other, upper, &opts)?;
            let got = attempt(t, &t.ty, upper, &opts)?;
            check_eq!(got, want, "with upper: {upper}, options{opts}");
        }
    }
    Ok(())
}

const BOTH: &str = "index=on,redirect_dir=on,metacopy=on,xino=off,nfs_export=off";

/// Lower hard links `a`, `b` and `d/c`, and everything on.
fn links(t: &T, opts: &str) -> R<Ovl> {
    let mut o = t.ovl()?;
    o.opts = opts.into();
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "data")?;
    f::link(o.low("a"), o.low("b"))?;
    f::link(o.low("a"), o.low("d/c"))?;
    o.mount()?;
    Ok(o)
}

/// All names lead to one object with these data and this mode.
#[track_caller]
fn one_object(o: &Ovl, names: &[&str], data: &str, mode: u32) -> R {
    let first = f::stat(o.m(names[0]))?;
    for n in names {
        let m = f::stat(o.m(n))?;
        check_eq!(m.ino(), first.ino(), "st_ino of {n}");
        check_eq!(m.nlink() as usize, names.len(), "links of {n}");
        check_eq!(m.mode() & 0o7777, mode, "mode of {n}");
        check_eq!(f::text(o.m(n))?, data, "data of {n}");
    }
    Ok(())
}

fn marked(o: &Ovl, p: &str) -> R<bool> {
    Ok(o.xattr(p, "metacopy")?.is_some())
}

fn metacopy_and_index(t: &T) -> R {
    let o = links(t, BOTH)?;
    f::chmod(o.m("a"), 0o640)?;
    check!(marked(&o, "a")?, "metadata alone");
    check!(!o.in_upper("b")?);
    one_object(&o, &["a", "b", "d/c"], "data", 0o640)?;
    f::chmod(o.m("b"), 0o600)?;
    one_object(&o, &["a", "b", "d/c"], "data", 0o600)?;
    f::append(o.m("b"), "+")?;
    check!(!marked(&o, "a")?, "the data came by another name");
    one_object(&o, &["a", "b", "d/c"], "data+", 0o600)?;
    f::unlink(o.m("a"))?;
    one_object(&o, &["b", "d/c"], "data+", 0o600)
}

fn metacopy_and_index_after_remount(t: &T) -> R {
    let o = links(t, BOTH)?;
    f::chmod(o.m("a"), 0o640)?;
    f::unlink(o.m("a"))?;
    for _ in 0..2 {
        one_object(&o, &["b", "d/c"], "data", 0o640)?;
        o.again()?;
        drop_caches()?;
    }
    f::append(o.m("d/c"), "+")?;
    o.again()?;
    one_object(&o, &["b", "d/c"], "data+", 0o640)?;
    f::link(o.m("b"), o.m("new"))?;
    o.again()?;
    one_object(&o, &["b", "d/c", "new"], "data+", 0o640)
}

fn metacopy_and_index_data_by_another_name(t: &T) -> R {
    // A descriptor of one name, metadata by a second, data by a third.
    let o = links(t, BOTH)?;
    let h = f::open_ro(o.m("a"))?;
    f::chown(o.m("b"), 5, 6)?;
    check_eq!(f::pread(&h, 0, 9)?, b"data");
    f::truncate(o.m("d/c"), 2)?;
    check_eq!(f::pread(&h, 0, 9)?, b"da");
    check_eq!(h.metadata()?.uid(), 5);
    let w = f::open_rw(o.m("a"))?;
    f::pwrite(&w, 2, "!")?;
    check_eq!(f::pread(&h, 0, 9)?, b"da!");
    one_object(&o, &["a", "b", "d/c"], "da!", f::mode(o.low("a"))?)?;
    check_eq!(f::text(o.low("a"))?, "data");
    Ok(())
}

fn metacopy_index_and_redirect(t: &T) -> R {
    let o = links(t, BOTH)?;
    f::chmod(o.m("a"), 0o640)?;
    f::rename(o.m("a"), o.m("d/moved"))?;
    f::rename(o.m("d"), o.m("e"))?;
    for _ in 0..2 {
        one_object(&o, &["e/moved", "b", "e/c"], "data", 0o640)?;
        o.again()?;
    }
    f::append(o.m("e/c"), "+")?;
    f::rename(o.m("e/moved"), o.m("back"))?;
    o.again()?;
    one_object(&o, &["back", "b", "e/c"], "data+", 0o640)
}

fn metacopy_and_export_exclude_each_other(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = "index=on,redirect_dir=on".into();
    check_err!(o.mount_with("metacopy=on,nfs_export=on"), EINVAL);
    t.expect_log(&["metacopy", "nfs_export"])?;
    // What is left of it with one of them as the default of the module.
    for (param, opt) in [("metacopy", "nfs_export=on"), ("nfs_export", "metacopy=on")] {
        let _p = Param::set(t, param, "Y")?;
        o.mount_with(opt)?;
        let shown = mountinfo(o.root())?.3;
        let off = format!("{param}=off");
        check!(shown.contains(opt), "{shown}");
        check!(!shown.contains(&format!("{param}=on")), "{off} in {shown}");
        o.umount()?;
    }
    Ok(())
}

const EXPORTED: &str = "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on";

fn export_without_metacopy_leads_to_links(t: &T) -> R {
    let o = links(t, EXPORTED)?;
    let h = f::ctx(handle(&o.m("a"), 0), "handle", "a")?;
    f::chmod(o.m("b"), 0o640)?;
    check_eq!(handle(&o.m("d/c"), 0)?, h, "one object, one handle");
    f::unlink(o.m("a"))?;
    f::rename(o.m("b"), o.m("d/moved"))?;
    for _ in 0..2 {
        let mut found = open_handle(&f::open_ro(o.root())?, &h, libc::O_RDONLY)?;
        check_eq!(f::drain(&mut found)?, b"data");
        check_eq!(found.metadata()?.nlink(), 2);
        drop(found);
        o.again()?;
        drop_caches()?;
    }
    f::unlink(o.m("d/moved"))?;
    f::unlink(o.m("d/c"))?;
    check_err!(
        open_handle(&f::open_ro(o.root())?, &h, libc::O_RDONLY),
        ESTALE
    );
    Ok(())
}

/// Files that say their names in directories, exported; and the handles of all of them.
fn exported(t: &T) -> R<(Ovl, Vec<(String, crate::sys::handles::Handle)>)> {
    let mut o = t.ovl()?;
    o.opts = EXPORTED.into();
    let mut names = Vec::new();
    for d in ["p", "q"] {
        f::mkdirs(o.low(d).join("s"))?;
        for n in ["a", "b", "s/c"] {
            names.push(format!("{d}/{n}"));
        }
    }
    for n in &names {
        f::write(o.low(n), n)?;
    }
    o.mount()?;
    for d in ["p", "q"] {
        let n = format!("{d}/new");
        f::write(o.m(&n), &n)?;
        names.push(n);
    }
    let mut all = Vec::new();
    for n in names {
        let h = f::ctx(handle(&o.m(&n), 0), "handle", &n)?;
        all.push((n, h));
    }
    Ok((o, all))
}

/// Opens handles, many times: whoever is found is who it was made for.
fn open_all(
    o: &Ovl,
    all: &[(String, crate::sys::handles::Handle)],
    rounds: u64,
    may_be_stale: bool,
) -> R<String> {
    let root = f::open_ro(o.root())?;
    let mut found = 0;
    for i in 0..rounds {
        for (n, h) in all {
            match open_handle(&root, h, libc::O_RDONLY) {
                Ok(mut file) => {
                    found += 1;
                    let data = f::drain(&mut file)?;
                    let text = String::from_utf8_lossy(&data);
                    check!(text.starts_with(n.as_str()), "{n} has the data {text}");
                }
                Err(e) => check!(may_be_stale && e.errno() == Some(libc::ESTALE), "{n}: {e}"),
            }
        }
        if i % 16 == 5 {
            drop_caches()?;
        }
    }
    Ok(found.to_string())
}

fn handles_against_renames(t: &T) -> R {
    let (o, all) = exported(t)?;
    let rounds = t.scaled(60, 8);
    let rename = || {
        for i in 0..rounds * 4 {
            let pairs = [
                ("p", "p2"),
                ("p2/s", "q/s2"),
                ("q/a", "p2/a2"),
                ("q", "p2/q2"),
                ("p2/q2/b", "b2"),
            ];
            for (a, b) in pairs {
                f::rename(o.m(a), o.m(b))?;
            }
            for (a, b) in pairs.iter().rev() {
                f::rename(o.m(b), o.m(a))?;
            }
            if i % 3 == 0 {
                f::rename2(o.m("p"), o.m("q"), RenameFlags::EXCHANGE)?;
                f::rename2(o.m("p"), o.m("q"), RenameFlags::EXCHANGE)?;
            }
        }
        Ok(String::new())
    };
    let mover = sys::spawn(rename)?;
    let one = sys::spawn(|| open_all(&o, &all, rounds, true))?;
    let two = sys::spawn(|| open_all(&o, &all, rounds, true))?;
    mover.join()?;
    let found: u64 = one.join()?.parse::<u64>()? + two.join()?.parse::<u64>()?;
    check!(found > 0, "some were found");
    // With nobody moving, all are.
    open_all(&o, &all, 2, false)?;
    for (n, h) in &all {
        check_eq!(&handle(&o.m(n), 0)?, h, "{n}");
    }
    Ok(())
}

fn handles_against_removal(t: &T) -> R {
    let (o, all) = exported(t)?;
    let rounds = t.scaled(40, 6);
    let remover = sys::spawn(|| {
        for (n, _) in &all {
            std::thread::sleep(std::time::Duration::from_millis(10));
            f::unlink(o.m(n))?;
            f::write(o.m(n), "another file of this name")?;
        }
        Ok(String::new())
    })?;
    let one = sys::spawn(|| open_all(&o, &all, rounds, true))?;
    let two = sys::spawn(|| open_all(&o, &all, rounds, true))?;
    remover.join()?;
    one.join()?;
    two.join()?;
    drop_caches()?;
    let root = f::open_ro(o.root())?;
    for (n, h) in &all {
        check_err!(open_handle(&root, h, libc::O_RDONLY), ESTALE, "{n}");
    }
    Ok(())
}

fn handles_of_lower_against_copy_up(t: &T) -> R {
    let (o, all) = exported(t)?;
    let rounds = t.scaled(40, 6);
    let writers = || {
        for (n, _) in &all {
            f::append(o.m(n), " and more")?;
            f::chmod(o.m(n), 0o640)?;
        }
        Ok(String::new())
    };
    let one = sys::spawn(|| open_all(&o, &all, rounds, false))?;
    let write = sys::spawn(writers)?;
    let two = sys::spawn(|| {
        let root = f::open_ro(o.root())?;
        for (n, h) in &all {
            let file = open_handle(&root, h, libc::O_RDWR)?;
            f::pwrite(&file, 0, n)?;
        }
        Ok(String::new())
    })?;
    for c in [one, write, two] {
        c.join()?;
    }
    for (n, _) in &all {
        check_eq!(f::text(o.m(n))?, format!("{n} and more"));
        check_eq!(f::mode(o.m(n))?, 0o640);
    }
    Ok(())
}
