// SPDX-License-Identifier: GPL-2.0
//! Directories that change while they are read, and are read again.

use super::*;

cases! { "readdir";
    rewind_sees_changes;
    rewind_sees_changes_in_pure_dirs;
    create_while_reading;
    remove_while_reading;
    remove_all_while_reading;
    copy_up_while_reading;
    same_descriptor_after_modification;
    merged_list_is_not_stale_after_changes;
    rename_while_reading;
    readdir_in_removed_dir;
}

fn rewind_sees_changes(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    check_eq!(unique(names(&d, 4096)?)?.len(), 200);
    f::write(o.m("d/new"), "x")?;
    f::unlink(o.m("d/l000"))?;
    f::unlink(o.m("d/u000"))?;
    check_eq!(
        sys::getdents(&d, 4096)?.len(),
        0,
        "at the end it stays at the end"
    );
    f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    let v = unique(names(&d, 4096)?)?;
    check_eq!(v.len(), 199);
    check!(v.contains(&"new".into()) && !v.contains(&"l000".into()) && !v.contains(&"u000".into()));
    Ok(())
}

fn rewind_sees_changes_in_pure_dirs(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("l"))?;
    f::write(o.low("l/old"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/old"), "x")?;
    for n in ["u", "l"] {
        let d = f::open_ro(o.m(n))?;
        check_eq!(unique(names(&d, 4096)?)?, ["old"], "{n} at first");
        f::write(o.m(n).join("new"), "x")?;
        f::unlink(o.m(n).join("old"))?;
        f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", n)?;
        check_eq!(
            unique(names(&d, 4096)?)?,
            ["new"],
            "{n} after the changes and a rewind"
        );
        drop(d);
        check_eq!(f::ls(o.m(n))?, ["new"], "{n} opened anew");
    }
    Ok(())
}

fn create_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    for i in 0..50 {
        f::write(o.m(format!("d/n{i}")), "x")?;
    }
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    let old = v.iter().filter(|n| !n.starts_with('n')).count();
    check_eq!(
        old,
        200,
        "every name that was there all the time comes once"
    );
    check_eq!(f::ls(o.m("d"))?.len(), 250);
    Ok(())
}

fn remove_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    for i in (0..100).step_by(2) {
        f::unlink(o.m(format!("d/l{i:03}")))?;
        f::unlink(o.m(format!("d/u{i:03}")))?;
    }
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    for i in (1..100).step_by(2) {
        for k in ["l", "u"] {
            check!(
                v.contains(&format!("{k}{i:03}")),
                "{k}{i:03}, never removed, is listed"
            );
        }
    }
    check_eq!(f::ls(o.m("d"))?.len(), 100);
    Ok(())
}

fn remove_all_while_reading(t: &T) -> R {
    // What rm -r does, with small reads.
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    for round in 0..10 {
        let mut any = false;
        loop {
            let e = sys::getdents(&d, 600)?;
            if e.is_empty() {
                break;
            }
            for e in e.iter().filter(|e| !e.name.starts_with('.')) {
                any = true;
                f::unlink(o.m("d").join(&e.name))?;
            }
        }
        if !any {
            break;
        }
        check!(round < 9, "the directory does not get empty");
        f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    }
    f::rmdir(o.m("d"))
}

fn copy_up_while_reading(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..100 {
        f::write(o.low(format!("d/l{i:03}")), "x")?;
    }
    o.mount()?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    f::append(o.m("d/l050"), "y")?;
    f::chmod(o.m("d/l099"), 0o600)?;
    v.extend(names(&d, 1024)?);
    check_eq!(unique(v)?.len(), 100);
    f::ctx(sys::lseek(&d, 0, libc::SEEK_SET), "rewind", "d")?;
    check_eq!(unique(names(&d, 1024)?)?.len(), 100, "after a rewind");
    check_inos(o.m("d"))
}

fn same_descriptor_after_modification(t: &T) -> R {
    let o = merged(t)?;
    let (a, b) = (f::open_ro(o.m("d"))?, f::open_ro(o.m("d"))?);
    sys::getdents(&a, 256)?;
    f::write(o.m("d/new"), "x")?;
    // A descriptor that has read nothing yet sees the change at once.
    check!(
        names(&b, 4096)?.contains(&"new".into()),
        "a fresh descriptor sees 'new'"
    );
    Ok(())
}

fn merged_list_is_not_stale_after_changes(t: &T) -> R {
    let o = merged(t)?;
    for i in 0..20 {
        f::write(o.m(format!("d/n{i}")), "x")?;
        check_eq!(f::ls(o.m("d"))?.len(), 201 + i, "after create {i}");
    }
    for i in 0..20 {
        f::unlink(o.m(format!("d/n{i}")))?;
        f::unlink(o.m(format!("d/l{i:03}")))?;
        check_eq!(f::ls(o.m("d"))?.len(), 218 - 2 * i, "after unlinks {i}");
    }
    f::rename(o.m("d/l050"), o.m("away"))?;
    check_eq!(f::ls(o.m("d"))?.len(), 179, "after a rename");
    f::mkdir(o.m("d/l050"))?;
    check_eq!(f::ls(o.m("d"))?.len(), 180, "after a mkdir");
    Ok(())
}

fn rename_while_reading(t: &T) -> R {
    let o = merged(t)?;
    let d = f::open_ro(o.m("d"))?;
    let mut v: Vec<String> = sys::getdents(&d, 1024)?
        .into_iter()
        .map(|e| e.name)
        .collect();
    f::rename(o.m("d/l010"), o.m("d/x010"))?;
    f::rename(o.m("d/u010"), o.m("away"))?;
    v.extend(names(&d, 1024)?);
    let v = unique(v)?;
    let rest = v.iter().filter(|n| !n.ends_with("010")).count();
    check_eq!(rest, 198, "names that were not touched");
    let now = f::ls(o.m("d"))?;
    check_eq!(now.len(), 199);
    check!(now.contains(&"x010".into()) && !now.contains(&"l010".into()));
    Ok(())
}

fn readdir_in_removed_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = f::open_ro(o.m("d"))?;
    f::rmdir(o.m("d"))?;
    check_err!(sys::getdents(&d, 4096), ENOENT);
    Ok(())
}
