// SPDX-License-Identifier: GPL-2.0
//! Identity: the table of inode properties in the kernel's documentation of overlayfs, every
//! configuration and every cell, across copy-up, dropped caches and remounts (F48 to F58).

use super::prelude::*;
use crate::sys::fuse::{Node, Server};
use std::collections::BTreeMap;

cases! { "identity";
    all_layers_on_one_fs;
    several_fs_without_xino;
    several_fs_with_xino;
    several_fs_with_xino_overflowing;
    proc_files_agree;
    same_as_intree_one_fs
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_without_xino
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_with_xino
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_with_xino_auto
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_overflowing
        .rs_only("compares with the kernel's own overlay");
}

/// The lines of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Config {
    OneFs,
    Off,
    Xino,
    XinoAuto,
    Overflow,
}

/// A line of the table: each pair is the cell of directories and that of all else.
struct Row {
    persistent: (bool, bool),
    uniform: (bool, bool),
    st_is_d: (bool, bool),
    d_is_i: (bool, bool),
}

/// A line where everything holds.
const FULL: Row = Row {
    persistent: (true, true),
    uniform: (true, true),
    st_is_d: (true, true),
    d_is_i: (true, true),
};

/// A line where inode numbers of several file systems may meet.
const PARTIAL: Row = Row {
    persistent: (false, false),
    uniform: (true, false),
    st_is_d: (false, true),
    d_is_i: (false, true),
};

/// The objects: name, type and permissions, the layers that have it (1 lower, 2 upper).
const OBJECTS: &[(&str, u32, u8)] = &[
    ("ld", 0o040755, 1),
    ("md", 0o040755, 3),
    ("ud", 0o040755, 2),
    ("ld/f", 0o100644, 1),
    ("ld/d", 0o040755, 1),
    ("md/lf", 0o100644, 1),
    ("md/uf", 0o100644, 2),
    ("md/ud", 0o040755, 2),
    ("ud/f", 0o100644, 2),
    ("lf", 0o100644, 1),
    ("uf", 0o100644, 2),
    ("bf", 0o100644, 3),
    ("ll", 0o120777, 1),
    ("ul", 0o120777, 2),
    ("lp", 0o010644, 1),
    ("up", 0o010644, 2),
];

/// Makes the objects of one of the layers.
fn fill(dir: &Path, layer: u8) -> R {
    for (name, mode, layers) in OBJECTS {
        let p = dir.join(name);
        match mode & 0o170000 {
            _ if layers & layer == 0 => (),
            0o040000 => f::mkdir(p)?,
            0o120000 => f::symlink("somewhere", p)?,
            0o010000 => f::mknod(p, FileType::Fifo, 0o644, 0, 0)?,
            _ => f::write(p, name)?,
        }
    }
    Ok(())
}

/// The objects of the lower layer with numbers that use the highest bits.
fn huge() -> Server {
    let mut nodes = vec![Node::new(0, "", 0xc000_0000_0000_0001, 0o040755, "")];
    let mut index = BTreeMap::new();
    for (i, (name, mode, _)) in OBJECTS.iter().filter(|o| o.2 & 1 == 1).enumerate() {
        let (parent, leaf) = name.rsplit_once('/').unwrap_or(("", name));
        let parent = index.get(parent).copied().unwrap_or(0);
        index.insert(*name, nodes.len());
        let ino = 0xc000_0000_0000_0100 + i as u64;
        nodes.push(Node::new(parent, leaf, ino, *mode, name));
    }
    Server::fixed(nodes)
}

/// A stack of this configuration, not mounted yet, and who serves its lower.
fn stack(t: &T, c: Config) -> R<(Ovl, Option<sys::Child>)> {
    let mut o = match c {
        Config::OneFs | Config::Overflow => t.ovl()?,
        _ => t.ovl_nonsamefs()?,
    };
    let xino = match c {
        Config::OneFs | Config::Off => "xino=off",
        Config::XinoAuto => "xino=auto",
        Config::Xino | Config::Overflow => "xino=on",
    };
    o.opts = OFF.replace("xino=off", xino);
    fill(&o.up(""), 2)?;
    if c == Config::Overflow {
        let server = huge().mount(&o.low(""))?;
        return Ok((o, Some(server)));
    }
    fill(&o.low(""), 1)?;
    Ok((o, None))
}

/// The numbers of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    dir: bool,
    st_dev: u64,
    st_ino: u64,
    d_ino: u64,
    i_ino: u64,
}

/// The inode's own number, which the kernel tells of what is watched.
fn i_ino(p: &Path) -> R<u64> {
    const DONT_FOLLOW: u32 = 0x0200_0000;
    let w = f::ctx(
        sys::Inotify::watch(p, libc::IN_ATTRIB | DONT_FOLLOW),
        "watch",
        p,
    )?;
    let text = f::text(format!("/proc/self/fdinfo/{}", w.fd()))?;
    let ino = text.split(" ino:").nth(1).and_then(|s| s.split(' ').next());
    Ok(u64::from_str_radix(
        ino.ok_or(anyhow::anyhow!("no ino: in {text}"))?,
        16,
    )?)
}

fn d_ino(p: &Path) -> R<u64> {
    let dir = f::open_ro(p.parent().unwrap())?;
    loop {
        let part = sys::getdents(&dir, 4096)?;
        check!(!part.is_empty(), "{} is listed", p.display());
        let name = p.file_name().unwrap().to_string_lossy();
        if let Some(e) = part.iter().find(|e| e.name == name) {
            return Ok(e.ino);
        }
    }
}

/// Looks at all objects: first by stat, in the order of the table or the other way round.
fn look(o: &Ovl, backwards: bool) -> R<BTreeMap<&'static str, Seen>> {
    let mut names: Vec<&str> = OBJECTS.iter().map(|t| t.0).collect();
    if backwards {
        names.reverse();
    }
    for n in &names {
        f::stat(o.m(n))?;
    }
    let mut all = BTreeMap::new();
    for n in names {
        let (p, m) = (o.m(n), f::stat(o.m(n))?);
        let seen = Seen {
            dir: m.is_dir(),
            st_dev: m.dev(),
            st_ino: m.ino(),
            d_ino: d_ino(&p)?,
            i_ino: i_ino(&p)?,
        };
        all.insert(n, seen);
    }
    Ok(all)
}

/// Copies everything up.
fn change_all(o: &Ovl) -> R {
    for (n, _, _) in OBJECTS {
        f::chown(o.m(n), 12, 34)?;
        check!(o.in_upper(n)?, "{n} was copied up");
    }
    Ok(())
}

/// A cell: what it says holds of all objects (or, if it says no, fails for one).
#[track_caller]
fn cell(
    seen: &BTreeMap<&str, Seen>,
    want: (bool, bool),
    when: &str,
    what: &str,
    holds: impl Fn(&Seen) -> bool,
) -> R {
    for (dir, want) in [(true, want.0), (false, want.1)] {
        let kind = if dir {
            "directories"
        } else {
            "non-directories"
        };
        let bad: Vec<_> = seen
            .iter()
            .filter(|(_, s)| s.dir == dir && !holds(s))
            .collect();
        check_eq!(
            bad.is_empty(),
            want,
            "{when}: {what} of {kind}; does not hold of {bad:x?}"
        );
    }
    Ok(())
}

/// The cells that are about one moment.
#[track_caller]
fn cells(o: &Ovl, seen: &BTreeMap<&str, Seen>, row: &Row, when: &str) -> R {
    let dev = f::stat(o.root())?.dev();
    cell(seen, row.uniform, when, "uniform st_dev", |s| {
        s.st_dev == dev
    })?;
    cell(seen, row.st_is_d, when, "st_ino == d_ino", |s| {
        s.st_ino == s.d_ino
    })?;
    cell(seen, row.d_is_i, when, "d_ino == i_ino", |s| {
        s.d_ino == s.i_ino
    })
}

/// The cells of persistence: a number that is not kept may be the same by chance, but those of
/// directories that are given in the order of the first look are not, when that order was another.
#[track_caller]
fn persistent(
    before: &BTreeMap<&str, Seen>,
    after: &BTreeMap<&str, Seen>,
    row: &Row,
    when: &str,
) -> R {
    for (n, b) in before {
        let keeps = if b.dir {
            row.persistent.0
        } else {
            row.persistent.1
        };
        if keeps {
            let after = after.get(n);
            check_eq!(after.map(|a| a.st_ino), Some(b.st_ino), "{when}: {n}");
        }
    }
    let moved = before
        .iter()
        .any(|(n, b)| b.dir && after.get(n).map(|a| a.st_ino) != Some(b.st_ino));
    check_eq!(
        moved,
        !row.persistent.0,
        "{when}: numbers of directories are others"
    );
    Ok(())
}

fn row(t: &T, c: Config, row: &Row) -> R {
    let (o, _server) = stack(t, c)?;
    o.mount()?;
    let first = look(&o, false)?;
    cells(&o, &first, row, "before copy-up")?;

    change_all(&o)?;
    let copied = look(&o, false)?;
    for (n, s) in &first {
        let c = copied.get(n);
        let id = |s: &Seen| (s.st_dev, s.st_ino, s.i_ino);
        check_eq!(c.map(id), Some(id(s)), "copy-up of {n}");
    }
    cells_later(c, &o, &copied, row, "after copy-up")?;

    drop_caches()?;
    let dropped = look(&o, true)?;
    cells_later(c, &o, &dropped, row, "with caches dropped")?;
    if row.persistent.0 {
        persistent(&copied, &dropped, row, "with caches dropped")?;
    }

    o.umount()?;
    drop_caches()?;
    o.mount()?;
    let again = look(&o, true)?;
    cells_later(c, &o, &again, row, "remounted")?;
    persistent(&copied, &again, row, "remounted")
}

/// The cells once everything is copied up. Where several file systems have no numbers in common,
/// the table promises more than the kernel's own overlay does: the entry of a file that was copied
/// up has the number of its copy. There, the cells are those of what has always been in the upper.
/// What FUSE serves is not found again once it is copied up: then no number is too big.
#[track_caller]
fn cells_later(
    c: Config,
    o: &Ovl,
    seen: &BTreeMap<&'static str, Seen>,
    row: &Row,
    when: &str,
) -> R {
    match c {
        Config::OneFs | Config::Xino => return cells(o, seen, row, when),
        Config::Overflow => return Ok(()),
        Config::Off | Config::XinoAuto => (),
    }
    let upper = |n: &str| OBJECTS.iter().any(|t| t.0 == n && t.2 == 2);
    let seen: BTreeMap<_, _> = seen
        .iter()
        .filter(|(n, _)| upper(n))
        .map(|(n, s)| (*n, *s))
        .collect();
    cells(o, &seen, row, when)
}

fn all_layers_on_one_fs(t: &T) -> R {
    row(t, Config::OneFs, &FULL)
}

fn several_fs_without_xino(t: &T) -> R {
    row(t, Config::Off, &PARTIAL)
}

fn several_fs_with_xino(t: &T) -> R {
    row(t, Config::Xino, &FULL)
}

fn several_fs_with_xino_overflowing(t: &T) -> R {
    row(t, Config::Overflow, &PARTIAL)?;
    let (o, _server) = stack(t, Config::Overflow)?;
    o.mount()?;
    t.expect_limited_log(&["too big"], || {
        let _ = o.again().and_then(|()| look(&o, false).map(drop));
    })
}

/// The fields of the line of `/proc/self/maps` for a file: device and inode.
fn mapped(p: &Path) -> R<(String, u64)> {
    let file = f::open_ro(p)?;
    let _map = sys::map_ro(&file, 1)?;
    let text = f::text("/proc/self/maps")?;
    let line = text.lines().find(|l| l.ends_with(&p.display().to_string()));
    let line = line.ok_or(anyhow::anyhow!("{} is not mapped: {text}", p.display()))?;
    let mut words = line.split_whitespace().skip(3);
    let dev = words.next().unwrap_or_default().to_string();
    Ok((dev, words.next().unwrap_or_default().parse()?))
}

/// The fields of the line of `/proc/locks` for the one lock of this process.
fn locked(h: &File) -> R<(String, u64)> {
    rustix::fs::flock(h, rustix::fs::FlockOperation::LockShared)?;
    let text = f::text("/proc/locks")?;
    let pid = format!(" {} ", std::process::id());
    let line = text.lines().find(|l| l.contains(&pid));
    rustix::fs::flock(h, rustix::fs::FlockOperation::Unlock)?;
    let line = line.ok_or(anyhow::anyhow!("no lock of{pid}in {text}"))?;
    let id = line.split_whitespace().nth(5).unwrap_or_default();
    let (dev, ino) = id.rsplit_once(':').unwrap_or_default();
    Ok((dev.into(), ino.parse()?))
}

/// `ino:` in the fdinfo of a descriptor.
fn fdinfo(h: &File) -> R<u64> {
    use std::os::fd::AsRawFd;
    let text = f::text(format!("/proc/self/fdinfo/{}", h.as_raw_fd()))?;
    let ino = text.lines().find_map(|l| l.strip_prefix("ino:"));
    Ok(ino.unwrap_or_default().trim().parse()?)
}

/// Every file of /proc that shows an inode shows the overlay's device and the same number.
fn proc_files_agree(t: &T) -> R {
    use rustix::fs::{major, minor};
    for c in [Config::OneFs, Config::Off, Config::Xino] {
        let (o, _server) = stack(t, c)?;
        o.mount()?;
        let dev = f::stat(o.root())?.dev();
        let dev = format!("{:02x}:{:02x}", major(dev), minor(dev));
        for copied in [false, true] {
            for n in ["ld", "md", "ud", "lf", "uf", "bf", "ld/f", "md/lf"] {
                let when = format!("{n}, {}, copied up: {copied}", o.opts);
                let own = i_ino(&o.m(n))?;
                let h = f::open_ro(o.m(n))?;
                check_eq!(fdinfo(&h)?, own, "fdinfo of {when}");
                check_eq!(locked(&h)?, (dev.clone(), own), "lock on {when}");
                let m = f::stat(o.m(n))?;
                if m.is_file() {
                    check_eq!(mapped(&o.m(n))?, (dev.clone(), own), "mapping of {when}");
                }
                if c != Config::Off {
                    check_eq!(own, m.ino(), "st_ino of {when}");
                }
            }
            change_all(&o)?;
        }
    }
    Ok(())
}

/// A number, by what it is made of.
fn origin(n: u64, real: &[(&str, Option<u64>)]) -> String {
    const HIGH: u64 = 0x00ff_ffff_ffff_ffff;
    for (name, r) in real {
        match r {
            Some(r) if *r == n => return (*name).to_string(),
            Some(r) if *r & HIGH == n & HIGH => return format!("{name}^{:x}", (*r ^ n) >> 56),
            _ => (),
        }
    }
    "own".into()
}

/// Everything that is seen, in words that do not depend on which numbers there were to begin with.
fn story(t: &T, c: Config, ty: &str) -> R<Vec<String>> {
    let (mut o, _server) = stack(t, c)?;
    o.ty = ty.into();
    let lower_ino = |n: &str| -> R<Option<u64>> {
        match f::exists(o.low(n))? {
            true => Ok(Some(f::stat(o.low(n))?.ino())),
            false => Ok(None),
        }
    };
    let mut lower = BTreeMap::new();
    for (n, _, _) in OBJECTS {
        lower.insert(*n, lower_ino(n)?);
    }
    o.mount()?;
    let mut lines = vec![format!("options {}", {
        let shown = mountinfo(o.root())?.3;
        let xino: Vec<_> = shown.split(',').filter(|s| s.contains("xino")).collect();
        xino.join(",")
    })];
    for when in ["at first", "copied up", "caches dropped", "remounted"] {
        match when {
            "copied up" => change_all(&o)?,
            "caches dropped" => drop_caches()?,
            "remounted" => {
                o.umount()?;
                drop_caches()?;
                o.mount()?;
            }
            _ => (),
        }
        let dev = f::stat(o.root())?.dev();
        for (n, s) in look(&o, false)? {
            let upper = match o.in_upper(n)? {
                true => Some(f::stat(o.up(n))?.ino()),
                false => None,
            };
            let real = [("lower", lower[n]), ("upper", upper)];
            let from = |n| origin(n, &real);
            lines.push(format!(
                "{when}: {n}: dev {}, st_ino {}, d_ino {}, i_ino {}",
                if s.st_dev == dev { "own" } else { "layer" },
                from(s.st_ino),
                from(s.d_ino),
                from(s.i_ino)
            ));
        }
    }
    o.umount()?;
    Ok(lines)
}

fn same_as_intree(t: &T, c: Config) -> R {
    let (want, got) = (story(t, c, t.other_ty()?)?, story(t, c, &t.ty)?);
    for (w, g) in want.iter().zip(&got) {
        check_eq!(g, w, "as the kernel's own overlay");
    }
    check_eq!(got.len(), want.len());
    Ok(())
}

fn same_as_intree_one_fs(t: &T) -> R {
    same_as_intree(t, Config::OneFs)
}

fn same_as_intree_without_xino(t: &T) -> R {
    same_as_intree(t, Config::Off)
}

fn same_as_intree_with_xino(t: &T) -> R {
    same_as_intree(t, Config::Xino)
}

fn same_as_intree_with_xino_auto(t: &T) -> R {
    same_as_intree(t, Config::XinoAuto)
}

fn same_as_intree_overflowing(t: &T) -> R {
    same_as_intree(t, Config::Overflow)
}
