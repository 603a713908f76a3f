// SPDX-License-Identifier: GPL-2.0
//! Which entries there are, and what each of them says.

use super::*;
use std::collections::BTreeSet;

cases! { "readdir";
    d_type_of_all_kinds;
    d_ino_equals_st_ino;
    d_ino_after_copy_up;
    d_ino_of_dot_and_dotdot;
    d_ino_nonsamefs;
    no_duplicates_no_losses;
    whiteouts_are_not_listed;
    empty_directories;
    three_layers_order;
    dots_come_once;
    name_changes_kind_between_layers;
}

fn d_type_of_all_kinds(t: &T) -> R {
    let o = t.ovl()?;
    for d in [o.low("d"), o.up("d")] {
        f::mkdir(&d)?;
        let k = if d.starts_with(o.low("")) { "l" } else { "u" };
        f::write(d.join(format!("{k}f")), "x")?;
        f::mkdir(d.join(format!("{k}d")))?;
        f::symlink("x", d.join(format!("{k}l")))?;
        f::mknod(d.join(format!("{k}p")), FileType::Fifo, 0o600, 0, 0)?;
        f::mknod(d.join(format!("{k}s")), FileType::Socket, 0o600, 0, 0)?;
        f::mknod(
            d.join(format!("{k}c")),
            FileType::CharacterDevice,
            0o600,
            1,
            1,
        )?;
        f::mknod(d.join(format!("{k}b")), FileType::BlockDevice, 0o600, 1, 1)?;
    }
    o.mount()?;
    let kinds = [
        ('f', libc::DT_REG),
        ('d', libc::DT_DIR),
        ('l', libc::DT_LNK),
        ('p', libc::DT_FIFO),
        ('s', libc::DT_SOCK),
        ('c', libc::DT_CHR),
        ('b', libc::DT_BLK),
    ];
    let e = entries(o.m("d"))?;
    check_eq!(e.len(), 16);
    for e in e {
        let want = match e.name.chars().nth(1) {
            Some('.') | None => libc::DT_DIR,
            Some(c) => kinds.iter().find(|k| k.0 == c).map_or(0, |k| k.1),
        };
        check_eq!(e.kind, want, "d_type of {}", e.name);
    }
    Ok(())
}

/// A tree of lower, merged and upper directories, made by the module itself (which marks what
/// it merges), and mounted.
fn some_tree(o: &Ovl) -> R {
    f::mkdirs(o.low("d/sub"))?;
    f::mkdirs(o.low("e"))?;
    for i in 0..5 {
        f::write(o.low(format!("d/l{i}")), "x")?;
    }
    f::write(o.low("e/x"), "x")?;
    o.mount()?;
    f::mkdirs(o.m("d/subup"))?;
    f::mkdirs(o.m("u/deep"))?;
    f::write(o.m("d/u0"), "x")?;
    f::write(o.m("u/x"), "x")?;
    o.again()
}

fn d_ino_equals_st_ino(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    for d in ["", "d", "d/sub", "d/subup", "e", "u"] {
        check_inos(o.m(d))?;
    }
    Ok(())
}

fn d_ino_after_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    let before = entries(o.m("d"))?;
    for n in ["d/l0", "d/l1", "e/x"] {
        f::append(o.m(n), "y")?;
    }
    f::chmod(o.m("d/sub"), 0o700)?;
    f::rename(o.m("d/l2"), o.m("u/moved"))?;
    for d in ["", "d", "d/sub", "e", "u"] {
        check_inos(o.m(d))?;
    }
    o.again()?;
    for d in ["", "d", "d/sub", "e", "u"] {
        check_inos(o.m(d))?;
    }
    for e in entries(o.m("d"))? {
        if let Some(b) = before.iter().find(|b| b.name == e.name && e.name != "..") {
            check_eq!(e.ino, b.ino, "d_ino of {} before and after", e.name);
        }
    }
    Ok(())
}

fn d_ino_of_dot_and_dotdot(t: &T) -> R {
    let o = t.ovl()?;
    some_tree(&o)?;
    for (d, parent) in [
        ("d", ""),
        ("d/sub", "d"),
        ("e", ""),
        ("u", ""),
        ("u/deep", "u"),
    ] {
        let e = entries(o.m(d))?;
        let ino = |n: &str| e.iter().find(|e| e.name == n).map(|e| e.ino);
        check_eq!(ino("."), Some(f::stat(o.m(d))?.ino()), "'.' of {d}");
        check_eq!(ino(".."), Some(f::stat(o.m(parent))?.ino()), "'..' of {d}");
    }
    Ok(())
}

fn d_ino_nonsamefs(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    some_tree(&o)?;
    // Without xino the numbers of the layers are reported as they are.
    for e in entries(o.m("d"))? {
        if e.kind == libc::DT_REG {
            let real = if e.name.starts_with('u') {
                o.up("d")
            } else {
                o.low("d")
            };
            check_eq!(
                e.ino,
                f::stat(real.join(&e.name))?.ino(),
                "d_ino of {}",
                e.name
            );
            check_eq!(
                e.ino,
                f::stat(o.m("d").join(&e.name))?.ino(),
                "st_ino of {}",
                e.name
            );
        }
    }
    Ok(())
}

fn no_duplicates_no_losses(t: &T) -> R {
    let o = t.layers(3)?;
    let mut want = BTreeSet::new();
    for i in 0..300 {
        for (l, m) in [(0, 2), (1, 3), (2, 5)] {
            if i % m == 0 {
                f::write(o.lown(l, format!("f{i}")), "x")?;
                want.insert(format!("f{i}"));
            }
        }
        if i % 7 == 0 {
            f::write(o.up(format!("f{i}")), "x")?;
            want.insert(format!("f{i}"));
        }
        if i % 11 == 0 && i % 7 != 0 {
            f::whiteout(o.up(format!("f{i}")))?;
            want.remove(&format!("f{i}"));
        }
    }
    o.mount()?;
    let d = f::open_ro(o.root())?;
    check_eq!(
        unique(names(&d, 4096)?)?,
        want.into_iter().collect::<Vec<_>>()
    );
    Ok(())
}

fn whiteouts_are_not_listed(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::unlink(o.m("d/a"))?;
    for d in ["d", "u"] {
        check_eq!(f::ls(o.m(d))?, [""; 0]);
    }
    Ok(())
}

fn empty_directories(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("l"))?;
    f::mkdirs(o.low("m"))?;
    f::mkdirs(o.up("m"))?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    for d in ["l", "m", "u"] {
        let v: Vec<String> = entries(o.m(d))?.into_iter().map(|e| e.name).collect();
        check_eq!(v.len(), 2, "only the dots in {d}");
        check!(v.contains(&".".into()) && v.contains(&"..".into()));
    }
    Ok(())
}

fn three_layers_order(t: &T) -> R {
    let o = t.layers(2)?;
    for (i, d) in [o.lown(1, "a"), o.lown(0, "b"), o.up("c")]
        .iter()
        .enumerate()
    {
        f::write(d, format!("{i}"))?;
    }
    o.mount()?;
    // The lowest layer comes first: offsets stay while the upper grows.
    let v: Vec<String> = entries(o.root())?.into_iter().map(|e| e.name).collect();
    let at = |n: &str| v.iter().position(|x| x == n);
    check!(at("a") < at("b") && at("a") < at("c"), "order of {v:?}");
    Ok(())
}

fn dots_come_once(t: &T) -> R {
    let o = t.layers(3)?;
    for i in 0..3 {
        f::mkdir(o.lown(i, "d"))?;
    }
    f::mkdir(o.up("d"))?;
    o.mount()?;
    let v = entries(o.m("d"))?;
    check_eq!(v.iter().filter(|e| e.name == ".").count(), 1);
    check_eq!(v.iter().filter(|e| e.name == "..").count(), 1);
    Ok(())
}

fn name_changes_kind_between_layers(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("a"))?;
    f::write(o.low("b"), "x")?;
    f::write(o.up("a"), "x")?;
    f::mkdir(o.up("b"))?;
    o.mount()?;
    let e = entries(o.root())?;
    let kind = |n: &str| e.iter().find(|e| e.name == n).map(|e| e.kind);
    check_eq!(
        (kind("a"), kind("b")),
        (Some(libc::DT_REG), Some(libc::DT_DIR))
    );
    Ok(())
}
