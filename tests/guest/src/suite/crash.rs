// SPDX-License-Identifier: GPL-2.0
//! What a crash leaves: cleaned at the next mount, and never shown.

use super::prelude::*;

cases! { "crash";
    leftover_files_are_removed;
    leftover_dirs_are_removed;
    leftovers_next_to_work_stay;
    a_killed_writer_leaves_a_sound_overlay;
    layers_copied_while_in_use_mount;
    half_done_rmdir_is_harmless;
    stale_whiteout_in_workdir_is_not_used;
    index_directory_is_left_alone;
    index_entry_of_an_unfinished_directory.expect_intree_fail("the mount is refused, or the directory cannot be looked up any more");
    index_entry_of_a_failed_directory.expect_intree_fail("the directory cannot be looked up any more");
}

fn workdir(o: &Ovl, p: &str) -> PathBuf {
    o.work.as_ref().unwrap().join("work").join(p)
}

fn leftover_files_are_removed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    o.umount()?;
    for i in 0..20 {
        f::write(workdir(&o, &format!("#{i:x}")), f::pattern(i, 1000))?;
    }
    f::whiteout(workdir(&o, "#aa"))?;
    f::symlink("x", workdir(&o, "#bb"))?;
    f::mknod(workdir(&o, "#cc"), FileType::Fifo, 0o600, 0, 0)?;
    f::write(workdir(&o, "whatever"), "x")?;
    o.mount()?;
    check_eq!(o.work_entries()?, [""; 0]);
    check_eq!(f::ls(o.root())?, ["a"]);
    check_eq!(f::text(o.m("a"))?, "xy");
    Ok(())
}

fn leftover_dirs_are_removed(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    o.umount()?;
    // A directory on its way out still has its whiteouts.
    f::mkdir(workdir(&o, "#1"))?;
    f::whiteout(workdir(&o, "#1/a"))?;
    f::whiteout(workdir(&o, "#1/b"))?;
    f::mkdir(workdir(&o, "#2"))?;
    f::setxattr(workdir(&o, "#2"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(o.work_entries()?, [""; 0]);
    f::write(o.m("works"), "x")
}

fn leftovers_next_to_work_stay(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.work.as_ref().unwrap().join("mine"), "x")?;
    f::mkdir(o.work.as_ref().unwrap().join("dir"))?;
    o.mount()?;
    o.again()?;
    check_eq!(f::ls(o.work.as_ref().unwrap())?, ["dir", "mine", "work"]);
    Ok(())
}

/// Every kind of change, over and over, until it is killed.
fn busy(m: PathBuf) -> R<String> {
    for round in 0u64.. {
        for i in 0..10 {
            let p = m.join(format!("d{}/f{i}", round % 3));
            f::append(&p, "x").ok();
            f::rename(&p, m.join(format!("moved{i}"))).ok();
            f::unlink(m.join(format!("moved{i}"))).ok();
            f::write(&p, "again").ok();
            f::mkdir(m.join(format!("new{i}"))).ok();
            f::rmdir(m.join(format!("new{i}"))).ok();
        }
        std::fs::remove_dir_all(m.join(format!("d{}", round % 3))).ok();
        f::mkdir(m.join(format!("d{}", round % 3))).ok();
    }
    Ok(String::new())
}

fn busy_overlay(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    for d in 0..3 {
        f::mkdir(o.low(format!("d{d}")))?;
        for i in 0..10 {
            f::write(o.low(format!("d{d}/f{i}")), f::pattern(i, 20_000))?;
        }
    }
    f::write(o.low("untouched"), "x")?;
    o.mount()?;
    Ok(o)
}

fn a_killed_writer_leaves_a_sound_overlay(t: &T) -> R {
    let o = busy_overlay(t)?;
    for i in 0..5 {
        let m = o.root().to_path_buf();
        let mut c = sys::spawn(move || busy(m))?;
        std::thread::sleep(std::time::Duration::from_millis(30 + 17 * i));
        c.kill(libc::SIGKILL)?;
        c.wait(60)?;
        let tree = tree::snapshot(o.root(), tree::NO_TIMES)?;
        check_eq!(f::text(o.m("untouched"))?, "x");
        check!(
            o.work_entries()?.len() <= 1,
            "the workdir has {:?}",
            o.work_entries()?
        );
        o.again()?;
        check_eq!(o.work_entries()?, [""; 0]);
        tree::same(
            "after remount",
            &tree,
            &tree::snapshot(o.root(), tree::NO_TIMES)?,
        )?;
    }
    Ok(())
}

/// Copies a layer with its attributes, as it is at this moment.
fn copy_layer(from: &Path, to: &Path) -> R {
    for e in walkdir::WalkDir::new(from) {
        // What vanishes while it is copied is not in the copy.
        let Ok(e) = e else { continue };
        let dst = to.join(e.path().strip_prefix(from)?);
        let Ok(m) = std::fs::symlink_metadata(e.path()) else {
            continue;
        };
        let made = if m.is_dir() {
            f::mkdirs(&dst)
        } else if m.file_type().is_char_device() {
            f::whiteout(&dst)
        } else {
            std::fs::copy(e.path(), &dst).map(drop).map_err(Into::into)
        };
        if made.is_err() {
            continue;
        }
        for n in f::listxattr(e.path()).unwrap_or_default() {
            if let Ok(v) = f::getxattr(e.path(), &n) {
                f::setxattr(&dst, &n, v)?;
            }
        }
    }
    Ok(())
}

fn layers_copied_while_in_use_mount(t: &T) -> R {
    let o = busy_overlay(t)?;
    let m = o.root().to_path_buf();
    let c = sys::spawn(move || busy(m))?;
    let mut copies = Vec::new();
    for _ in 0..4 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let mut p = t.ovl()?;
        p.lowers = o.lowers.clone();
        copy_layer(&o.up(""), &p.up(""))?;
        copy_layer(o.work.as_ref().unwrap(), p.work.as_ref().unwrap())?;
        copies.push(p);
    }
    c.kill(libc::SIGKILL)?;
    drop(c);
    for p in &copies {
        p.mount()?;
        check_eq!(p.work_entries()?, [""; 0]);
        let s = tree::snapshot(p.root(), tree::NO_TIMES)?;
        check!(
            s.keys().all(|k| !k.contains('#')),
            "a temporary shows: {:?}",
            s.keys()
        );
        check_eq!(f::text(p.m("untouched"))?, "x");
        f::write(p.m("works"), "x")?;
    }
    Ok(())
}

fn half_done_rmdir_is_harmless(t: &T) -> R {
    // A directory that was made opaque and emptied, but not removed yet.
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), "trusted.overlay.opaque", "y")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::rmdir(o.m("d"))?;
    check!(o.is_whiteout("d")?);
    Ok(())
}

fn stale_whiteout_in_workdir_is_not_used(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    let ino = f::stat(o.up("a"))?.ino();
    o.again()?;
    f::write(o.m("b"), "x")?;
    f::unlink(o.m("b"))?;
    check_eq!(
        o.work_entries()?,
        [""; 0],
        "a pure upper file needs no whiteout"
    );
    check_eq!(f::stat(o.up("a"))?.ino(), ino);
    check_eq!(
        f::stat(o.up("a"))?.nlink(),
        1,
        "the other link was in the workdir"
    );
    Ok(())
}

fn index_directory_is_left_alone(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.work.as_ref().unwrap().join("index"))?;
    f::write(o.work.as_ref().unwrap().join("index/#1"), "x")?;
    o.mount()?;
    check!(
        f::exists(o.work.as_ref().unwrap().join("index/#1"))?,
        "without index=on"
    );
    Ok(())
}

/// Directories have entries in the index, too.
fn all_indexed(t: &T) -> R<Ovl> {
    let mut o = t.ovl()?;
    o.opts = "redirect_dir=on,metacopy=off,xino=off,index=on,nfs_export=on".into();
    for i in 0..8 {
        f::mkdir(o.low(format!("d{i}")))?;
        f::write(o.low(format!("d{i}/a")), "x")?;
    }
    Ok(o)
}

/// How many entries the index has, without temporary objects.
fn indexed(o: &Ovl) -> R<usize> {
    let names = f::ls(o.work.as_ref().unwrap().join("index"))?;
    Ok(names.iter().filter(|n| !n.starts_with('#')).count())
}

/// The directories are as they were, and can be copied up.
fn directories_are_sound(o: &Ovl) -> R {
    for round in 0..2 {
        for i in 0..8 {
            check_eq!(f::ls(o.m(format!("d{i}")))?, ["a"], "d{i}, round {round}");
            f::chmod(o.m(format!("d{i}")), 0o710)?;
        }
        check_eq!(indexed(o)?, 8, "round {round}");
        o.again()?;
    }
    Ok(())
}

/// The copy of a directory gets its entry in the index before it gets to its place.
fn index_entry_of_an_unfinished_directory(t: &T) -> R {
    let o = all_indexed(t)?;
    o.mount()?;
    for i in 0..8 {
        f::chmod(o.m(format!("d{i}")), 0o700)?;
    }
    o.umount()?;
    check_eq!(indexed(&o)?, 8);
    for i in 0..8 {
        let temp = o.work.as_ref().unwrap().join(format!("index/#{i}"));
        f::rename(o.up(format!("d{i}")), &temp)?;
        if i % 2 == 0 {
            // The attributes come after the entry.
            f::removexattr(&temp, "trusted.overlay.origin")?;
        }
    }
    o.mount()?;
    for i in 0..8 {
        check_eq!(f::ls(o.m(format!("d{i}")))?, ["a"], "d{i}");
    }
    check_eq!(indexed(&o)?, 0);
    directories_are_sound(&o)
}

/// There is an object of the name already, made behind the mount's back.
fn index_entry_of_a_failed_directory(t: &T) -> R {
    let o = all_indexed(t)?;
    o.mount()?;
    for i in 0..8 {
        f::stat(o.m(format!("d{i}")))?;
        f::write(o.up(format!("d{i}")), "in the way")?;
        check_err!(f::chmod(o.m(format!("d{i}")), 0o700), EEXIST);
        f::unlink(o.up(format!("d{i}")))?;
    }
    o.again()?;
    for i in 0..8 {
        check_eq!(f::ls(o.m(format!("d{i}")))?, ["a"], "d{i}");
    }
    check_eq!(indexed(&o)?, 0);
    directories_are_sound(&o)
}
