// SPDX-License-Identifier: GPL-2.0
//! Calls that ask the file system in ways of their own: statmount, all of statx, file_getattr,
//! freezing, swapping, events, probes of user programs, and ranges shared between mounts.

use super::prelude::*;
use crate::check::outcome;
use crate::sys::handles::{handle, Fanotify, AT_HANDLE_FID};
use crate::sys::recent::{
    file_getattr, file_setattr, freeze, statx, swapoff, swapon, thaw, FileAttr, StatMount,
};

cases! { "recent";
    statmount_tells_what_mountinfo_tells;
    statmount_of_special_names;
    statx_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    file_attr_shows_and_sets;
    file_attr_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    freezing_is_refused;
    frozen_upper_waits.only_fs(&["ext4", "xfs"], "the file system cannot be frozen");
    swap_file_is_refused;
    uprobe_on_lower_program;
    uprobe_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    ranges_between_mounts.only_fs(&["xfs", "btrfs"], "the filesystem cannot share extents");
    ranges_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    watched_layers_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    fanotify_same_as_intree
        .rs_only("compares with the kernel's own overlay");
    fanotify_same_as_intree_exported
        .rs_only("compares with the kernel's own overlay");
}

/// `STATX_MNT_ID_UNIQUE`: the id that `statmount` takes.
fn mount_id(p: &Path) -> R<u64> {
    Ok(f::ctx(statx(p, 0, 0x4000), "statx", p)?[18])
}

const SB_BASIC: u64 = 1;
const MNT_BASIC: u64 = 2;
const ALL_STRINGS: u64 = 0x7b8;

fn statmount_tells_what_mountinfo_tells(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = OFF.replace("redirect_dir=off", "redirect_dir=on");
    o.mount()?;
    let s = StatMount::get(mount_id(o.root())?, SB_BASIC | MNT_BASIC | ALL_STRINGS)?;
    let (_, ty, source, opts) = mountinfo(o.root())?;
    let has = s.u64(8);
    check_eq!(has & (SB_BASIC | MNT_BASIC), SB_BASIC | MNT_BASIC);
    check_eq!(s.u64(24), 0x794c_7630, "the magic number");
    let dev = f::stat(o.root())?.dev();
    check_eq!(
        (s.u32(16), s.u32(20)),
        (rustix::fs::major(dev), rustix::fs::minor(dev))
    );
    check_eq!(s.string(36), ty);
    check_eq!(s.string(104), "/");
    check_eq!(s.string(108), o.root().display().to_string());
    check_eq!(s.string(124), source);
    check_eq!(format!("rw,{}", s.string(4)), opts);
    let n = s.u32(128) as usize;
    check_eq!(s.strings(132, n).join(","), s.string(4), "one by one");
    // Of a bind mount: the part of the tree.
    f::mkdirs(o.m("d/e"))?;
    let b = t.p("b");
    f::mkdir(&b)?;
    rustix::mount::mount_bind(o.m("d/e"), &b)?;
    let s = StatMount::get(mount_id(&b)?, ALL_STRINGS)?;
    check_eq!(s.string(104), "/d/e");
    Ok(())
}

fn statmount_of_special_names(t: &T) -> R {
    let o = t.layers_at(&t.p("a b,c\\d:e\nf"), 2)?;
    f::write(o.low("x"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["x"]);
    let s = StatMount::get(mount_id(o.root())?, ALL_STRINGS)?;
    let n = s.u32(128) as usize;
    let one = s.strings(132, n);
    let upper = format!("upperdir={}", o.up("").display());
    let upper = upper.trim_end_matches('/');
    let near: Vec<_> = one.iter().filter(|s| s.starts_with("upperdir")).collect();
    check_eq!(near.len(), 1);
    check!(
        near[0].replace('\\', "") == upper.replace('\\', ""),
        "{near:?} is {upper}"
    );
    check_eq!(s.string(108), o.root().display().to_string());
    Ok(())
}

/// Objects of every kind: some lower, some upper, some both.
fn kinds(o: &Ovl) -> R<Vec<&'static str>> {
    let l = o.low("");
    f::mkdir(l.join("ld"))?;
    f::mkdir(l.join("md"))?;
    f::mkdir(o.up("md"))?;
    f::mkdir(o.up("ud"))?;
    f::write(l.join("lf"), f::pattern(1, 9000))?;
    f::write(o.up("uf"), f::pattern(2, 100))?;
    f::symlink("lf", l.join("ll"))?;
    f::mknod(l.join("lp"), FileType::Fifo, 0o600, 0, 0)?;
    f::mknod(l.join("lc"), FileType::CharacterDevice, 0o600, 1, 3)?;
    f::mknod(l.join("ls"), FileType::Socket, 0o600, 0, 0)?;
    Ok(vec![
        "", "ld", "md", "ud", "lf", "uf", "ll", "lp", "lc", "ls",
    ])
}

/// The words of `struct statx` that say the same of the same object in another overlay.
fn statx_story(t: &T, ty: &str) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    let names = kinds(&o)?;
    o.mount()?;
    let mut lines = Vec::new();
    for copied in [false, true] {
        for n in &names {
            for (flags, mask) in [
                (0, 0x7fff_ffff),
                (0, 0),
                (0, 1),
                (0, 0x100),
                (0, 0x3_0000),
                (libc::AT_STATX_FORCE_SYNC, 0x7ff),
                (libc::AT_STATX_DONT_SYNC, 0x7ff),
            ] {
                let s = f::ctx(statx(&o.m(n), flags, mask), "statx", n)?;
                lines.push(format!(
                    "{n} {flags:x} {mask:x} copied up {copied}: mask, blksize {:x}, attributes {:x} \
                     of {:x}, nlink, uid {:x}, size {:x} dio {:x} subvol {:x} atomic {:x} {:x} {:x}",
                    s[0], s[1], s[7], s[2], s[5], s[19], s[20], s[21], s[22], s[23]
                ));
            }
        }
        for n in &names {
            f::chown(o.m(n), 3, 4)?;
        }
    }
    check_err!(statx(&o.m("lf"), 0, 0x8000_0000), EINVAL);
    o.umount()?;
    Ok(lines)
}

/// The module under test tells the same story as the other one.
#[track_caller]
fn same(t: &T, story: impl Fn(&T, &str) -> R<Vec<String>>) -> R {
    let (want, got) = (story(t, t.other_ty()?)?, story(t, &t.ty)?);
    for (w, g) in want.iter().zip(&got) {
        check_eq!(g, w, "as the kernel's own overlay");
    }
    check_eq!(got.len(), want.len());
    check!(!want.is_empty());
    Ok(())
}

fn statx_same_as_intree(t: &T) -> R {
    same(t, statx_story)
}

const IMMUTABLE: u64 = 0x8;
const APPEND: u64 = 0x10;

fn file_attr_shows_and_sets(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    let a = f::ctx(file_getattr(&o.m("a")), "file_getattr", "a")?;
    check_eq!(a.xflags & (IMMUTABLE | APPEND), 0);
    check!(!o.in_upper("a")?);
    let set = FileAttr {
        xflags: a.xflags | APPEND,
        ..a
    };
    f::ctx(file_setattr(&o.m("a"), &set), "file_setattr", "a")?;
    check!(o.in_upper("a")?);
    check_eq!(file_getattr(&o.m("a"))?.xflags & APPEND, APPEND);
    check_eq!(sys::getflags(&f::open_ro(o.m("a"))?)? & 0x20, 0x20);
    check_err!(f::truncate(o.m("a"), 0), EPERM);
    check_eq!(o.xattr("a", "protattr")?, Some(b"a".to_vec()));
    o.again()?;
    check_eq!(file_getattr(&o.m("a"))?.xflags & APPEND, APPEND);
    file_setattr(&o.m("a"), &a)?;
    f::truncate(o.m("a"), 0)
}

/// Without the number of extents: how the file system lays data out is its own matter.
fn without_extents(a: std::io::Result<FileAttr>) -> std::io::Result<FileAttr> {
    a.map(|a| FileAttr { nextents: 0, ..a })
}

fn file_attr_story(t: &T, ty: &str) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    let names = kinds(&o)?;
    o.mount()?;
    let mut lines = Vec::new();
    for n in &names {
        let p = o.m(n);
        let got = without_extents(file_getattr(&p));
        lines.push(format!("{n}: {} {got:?}", outcome(&got)));
        let a = got.unwrap_or_default();
        for (what, set) in [
            ("same", a),
            (
                "append",
                FileAttr {
                    xflags: a.xflags | APPEND,
                    ..a
                },
            ),
            (
                "immutable",
                FileAttr {
                    xflags: a.xflags | IMMUTABLE,
                    ..a
                },
            ),
            (
                "nodump",
                FileAttr {
                    xflags: a.xflags | 0x80,
                    ..a
                },
            ),
            (
                "sync",
                FileAttr {
                    xflags: a.xflags | 0x20,
                    ..a
                },
            ),
            (
                "unknown",
                FileAttr {
                    xflags: a.xflags | 1 << 40,
                    ..a
                },
            ),
            ("project", FileAttr { projid: 77, ..a }),
            (
                "extent",
                FileAttr {
                    xflags: a.xflags | 0x800,
                    extsize: 8192,
                    ..a
                },
            ),
        ] {
            let done = file_setattr(&p, &set);
            let after = without_extents(file_getattr(&p));
            lines.push(format!("{n}: {what}: {} {after:?}", outcome(&done)));
            lines.push(format!("{n}: in the upper {}", o.in_upper(n)?));
            let _ = file_setattr(&p, &a);
        }
        let r = sys::as_user(1000, 1000, || {
            f::ctx(file_setattr(&p, &FileAttr { projid: 5, ..a }), "set", &p)
        });
        lines.push(format!("{n}: by a stranger: {}", outcome(&r)));
    }
    o.umount()?;
    Ok(lines)
}

fn file_attr_same_as_intree(t: &T) -> R {
    f::chmod(&t.dir, 0o755)?;
    same(t, file_attr_story)
}

fn freezing_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open_ro(o.root())?;
    check_err!(freeze(&h), EOPNOTSUPP);
    check_err!(thaw(&h), EINVAL);
    f::write(o.m("a"), "x")
}

/// Waits until a process sleeps where no signal reaches it.
fn sleeps(pid: i32) -> R<bool> {
    for _ in 0..500 {
        let stat = f::text(format!("/proc/{pid}/stat"))?;
        let state = stat.rsplit(')').next().unwrap_or_default().trim();
        if state.starts_with('D') {
            return Ok(true);
        }
        if state.starts_with('Z') {
            return Ok(false);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(false)
}

/// An image of a file system of this kind, mounted: the real scratch one is everybody's.
fn image(t: &T, name: &str) -> R<PathBuf> {
    let img = t.other.join(format!("{name}.img"));
    let size = if t.fs == "xfs" { 400 << 20 } else { 32 << 20 };
    f::ctx(
        File::create(&img).and_then(|i| i.set_len(size)),
        "make",
        &img,
    )?;
    let img_name = img.display().to_string();
    let mkfs = format!("mkfs.{}", t.fs);
    check_eq!(sys::run(Path::new(&mkfs), &["-q", &img_name])?, 0);
    let at = t.p(name);
    f::mkdir(&at)?;
    let at_name = at.display().to_string();
    let args = ["-o", "loop", &img_name, &at_name];
    check_eq!(sys::run(Path::new("mount"), &args)?, 0);
    Ok(at)
}

fn frozen_upper_waits(t: &T) -> R {
    let at = image(t, "img")?;
    let mut o = t.layers_at(&at.join("o"), 1)?;
    o.lowers = vec![t.p("lower")];
    f::mkdir(o.low(""))?;
    f::write(o.low("a"), "a")?;
    o.mount()?;
    let h = f::open_ro(&at)?;
    f::ctx(freeze(&h), "freeze", &at)?;
    let mut writer = sys::spawn(|| {
        f::append(o.m("a"), "+")?;
        Ok(String::new())
    })?;
    let waits = sleeps(writer.pid());
    let shown = f::text(o.m("a"));
    let copied = f::exists(o.up("a"));
    f::ctx(thaw(&h), "thaw", &at)?;
    let end = writer.wait(60)?;
    check!(matches!(end, sys::End::Ok(_)), "the writer ends");
    check!(waits?, "a copy-up to a frozen file system waits");
    check_eq!(shown?, "a", "what is frozen can be read");
    check!(!copied?, "nothing came to the frozen file system");
    check_eq!(f::text(o.up("a"))?, "a+");
    Ok(())
}

fn swap_file_is_refused(t: &T) -> R {
    let o = t.ovl()?;
    // The header that mkswap writes.
    let mut data = vec![0u8; 1 << 20];
    data[1024..1028].copy_from_slice(&1u32.to_ne_bytes());
    data[1028..1032].copy_from_slice(&255u32.to_ne_bytes());
    data[4086..4096].copy_from_slice(b"SWAPSPACE2");
    f::write(o.low("lower"), &data)?;
    f::write(o.up("upper"), &data)?;
    for p in [o.low("lower"), o.up("upper")] {
        f::chmod(p, 0o600)?;
    }
    o.mount()?;
    for n in ["lower", "upper"] {
        let done = swapon(&o.m(n));
        if done.is_ok() {
            swapoff(&o.m(n))?;
        }
        check_err!(done, EINVAL, "{n}");
        // And it can be changed and removed as before.
        f::append(o.m(n), "x")?;
        f::unlink(o.m(n))?;
    }
    Ok(())
}

/// A probe at an offset in a program, until this is dropped.
struct Probe {
    name: String,
}

const TRACING: &str = "/sys/kernel/tracing";

impl Probe {
    fn new(name: &str, p: &Path, offset: u64) -> R<Self> {
        crate::tools::needs("tracefs")?;
        let events = format!("{TRACING}/uprobe_events");
        if !f::exists(format!("{TRACING}/events"))? {
            mount_raw("tracefs", Path::new(TRACING), "", MountFlags::empty())?;
        }
        if !f::exists(&events)? {
            crate::tools::lacks("uprobe events")?;
        }
        let line = format!("p:ovl/{name} {}:{offset:#x}\n", p.display());
        f::append(events, line)?;
        let probe = Self { name: name.into() };
        f::write(probe.file("enable"), "1")?;
        Ok(probe)
    }

    fn file(&self, f: &str) -> String {
        format!("{TRACING}/events/ovl/{}/{f}", self.name)
    }

    /// How often it was hit so far.
    fn hits(&self) -> R<u64> {
        let text = f::text(format!("{TRACING}/uprobe_profile"))?;
        let line = text
            .lines()
            .find(|l| l.split_whitespace().nth(1) == Some(&self.name));
        let n = line.and_then(|l| l.split_whitespace().nth(2));
        Ok(
            n.ok_or(anyhow::anyhow!("no line of {}: {text}", self.name))?
                .parse()?,
        )
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = f::write(self.file("enable"), "0");
        let line = format!("-:ovl/{}\n", self.name);
        let _ = f::append(format!("{TRACING}/uprobe_events"), line);
    }
}

/// The place in the file where a program begins to run.
fn entry(p: &Path) -> R<u64> {
    let elf = f::read(p)?;
    let u64_at = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().unwrap());
    let u16_at = |at: usize| u16::from_le_bytes(elf[at..at + 2].try_into().unwrap());
    let (start, table) = (u64_at(24), u64_at(32) as usize);
    for i in 0..usize::from(u16_at(56)) {
        let at = table + i * usize::from(u16_at(54));
        let (offset, addr, size) = (u64_at(at + 8), u64_at(at + 16), u64_at(at + 32));
        if elf[at] == 1 && (addr..addr + size).contains(&start) {
            return Ok(start - addr + offset);
        }
    }
    anyhow::bail!("{} has no entry", p.display())
}

/// A lower program in an overlay, and where it begins.
fn program(t: &T, ty: &str) -> R<(Ovl, u64)> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    std::fs::copy("/bin/true", o.low("prog"))?;
    o.mount()?;
    let e = entry(&o.low("prog"))?;
    Ok((o, e))
}

fn uprobe_on_lower_program(t: &T) -> R {
    let (o, at) = program(t, &t.ty)?;
    let p = Probe::new(&format!("lower_{}", t.ty), &o.m("prog"), at)?;
    check_eq!(sys::run(&o.m("prog"), &[])?, 0);
    check_eq!(p.hits()?, 1, "run from the overlay");
    drop(p);
    f::chmod(o.m("prog"), 0o755)?;
    let p = Probe::new(&format!("upper_{}", t.ty), &o.m("prog"), at)?;
    check_eq!(sys::run(&o.m("prog"), &[])?, 0);
    check_eq!(p.hits()?, 1, "copied up");
    check_eq!(sys::run(&o.up("prog"), &[])?, 0);
    check_eq!(p.hits()?, 2, "the upper file is the one that is probed");
    check_eq!(sys::run(&o.low("prog"), &[])?, 0);
    check_eq!(p.hits()?, 2, "and not the lower one");
    Ok(())
}

fn uprobe_same_as_intree(t: &T) -> R {
    same(t, |t, ty| {
        let (o, at) = program(t, ty)?;
        let p = Probe::new(&format!("story_{ty}"), &o.m("prog"), at)?;
        let mut lines = Vec::new();
        for step in ["", "copied up", "renamed", "replaced"] {
            match step {
                "copied up" => f::chmod(o.m("prog"), 0o711)?,
                "renamed" => f::rename(o.m("prog"), o.m("moved"))?,
                "replaced" => f::rename(o.m("moved"), o.m("prog"))?,
                _ => (),
            }
            for q in [o.m("prog"), o.m("moved"), o.low("prog"), o.up("prog")] {
                let run = sys::run(&q, &[]);
                let name = q.strip_prefix(o.root().parent().unwrap())?;
                lines.push(format!(
                    "{step}: {}: {} {}",
                    name.display(),
                    outcome(&run),
                    p.hits()?
                ));
            }
        }
        drop(p);
        o.umount()?;
        Ok(lines)
    })
}

fn ranges_between_mounts(t: &T) -> R {
    let (o, q) = (t.ovl()?, t.ovl()?);
    let data = f::pattern(1, 65_536);
    f::write(o.low("l"), &data)?;
    o.mount()?;
    q.mount()?;
    for n in ["u", "v"] {
        f::write(o.m(n), &data)?;
    }
    f::write(q.m("u"), &data)?;
    let (u, v) = (f::open_rw(o.m("u"))?, f::open_rw(o.m("v"))?);
    let (l, other) = (f::open_ro(o.m("l"))?, f::open_rw(q.m("u"))?);
    let real = f::open_rw(o.up("u"))?;
    sys::clone_range(&u, 0, 0, &v, 0)?;
    sys::clone_range(&l, 0, 0, &v, 0)?;
    check_err!(sys::clone_range(&u, 0, 0, &other, 0), EXDEV, "two overlays");
    check_err!(
        sys::clone_range(&real, 0, 0, &u, 0),
        EXDEV,
        "from the layer"
    );
    check_err!(sys::clone_range(&u, 0, 0, &real, 0), EXDEV, "to the layer");
    check_err!(sys::dedupe(&u, 0, 65_536, &other, 0), EXDEV, "two overlays");
    check_eq!(sys::dedupe(&u, 0, 65_536, &v, 0)?, 65_536);
    check!(f::read(o.m("v"))? == data);
    Ok(())
}

fn ranges_same_as_intree(t: &T) -> R {
    same(t, |t, ty| {
        let (mut o, mut q) = (t.ovl()?, t.ovl()?);
        (o.ty, q.ty) = (ty.into(), ty.into());
        let data = f::pattern(1, 65_536);
        for l in [o.low("l1"), o.low("l2"), q.low("l1")] {
            f::write(l, &data)?;
        }
        o.mount()?;
        q.mount()?;
        for p in [o.m("u1"), o.m("u2"), q.m("u1")] {
            f::write(p, &data)?;
        }
        let paths = [
            o.m("l1"),
            o.m("l2"),
            o.m("u1"),
            o.m("u2"),
            q.m("l1"),
            q.m("u1"),
            o.low("l2"),
            o.up("u2"),
        ];
        let mut lines = Vec::new();
        for (i, a) in paths.iter().enumerate() {
            for (k, b) in paths.iter().enumerate() {
                let (src, dst) = (f::open_ro(a)?, f::open_ro(b)?);
                let d = sys::dedupe(&src, 0, 65_536, &dst, 0);
                let part = sys::dedupe(&src, 4096, 8192, &dst, 0);
                // Nothing is copied up for this: what is open for writing is.
                let w = if k == 0 || k == 4 || k == 6 {
                    None
                } else {
                    Some(f::open_rw(b)?)
                };
                let c = w
                    .as_ref()
                    .map(|w| sys::clone_range(&src, 0, 0, w, 0).map(|()| 0));
                let n = w.as_ref().map(|w| {
                    rustix::fs::copy_file_range(&src, None, w, None, 4096)
                        .map_err(std::io::Error::from)
                });
                let say = |r: &Option<_>| r.as_ref().map(outcome);
                lines.push(format!(
                    "{i} to {k}: dedupe {} {d:?}, of a part {}, clone {:?}, copy {:?} {:?}",
                    outcome(&d),
                    outcome(&part),
                    say(&c),
                    n.as_ref().map(outcome),
                    n.as_ref().and_then(|n| n.as_ref().ok())
                ));
            }
        }
        for p in ["l1", "l2"] {
            lines.push(format!("{p} in the upper: {}", o.in_upper(p)?));
        }
        for h in [&o, &q] {
            h.umount()?;
        }
        Ok(lines)
    })
}

/// What watches of the layers' own objects see of work in the overlay.
fn watched_story(t: &T, ty: &str) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    f::mkdir(o.low("d"))?;
    for p in [o.low("a"), o.low("d/x"), o.up("u")] {
        f::write(p, "data")?;
    }
    o.mount()?;
    let work = o.work.clone().unwrap().join("work");
    let places = [o.low(""), o.low("a"), o.low("d"), o.up(""), o.up("u"), work];
    let mut watches = Vec::new();
    for p in &places {
        watches.push(sys::Inotify::watch(p, libc::IN_ALL_EVENTS)?);
    }
    let mut lines = Vec::new();
    for step in 0..10 {
        match step {
            0 => drop(f::text(o.m("a"))?),
            1 => drop(f::ls(o.m("d"))?),
            2 => drop(f::text(o.m("u"))?),
            3 => f::append(o.m("u"), "+")?,
            4 => f::append(o.m("a"), "+")?,
            5 => f::chmod(o.m("d/x"), 0o600)?,
            6 => f::rename(o.m("u"), o.m("u2"))?,
            7 => f::unlink(o.m("d/x"))?,
            8 => f::write(o.m("d/x"), "new")?,
            _ => f::unlink(o.m("u2"))?,
        }
        for (p, w) in places.iter().zip(&mut watches) {
            let name = p.strip_prefix(o.root().parent().unwrap())?;
            lines.push(format!("step {step}: {}: {:x}", name.display(), w.events()));
        }
    }
    drop(watches);
    o.umount()?;
    Ok(lines)
}

fn watched_layers_same_as_intree(t: &T) -> R {
    same(t, watched_story)
}

/// All events of work in an overlay, with the objects by their names.
fn fanotify_story(t: &T, ty: &str, opts: &str) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    o.opts = opts.into();
    for d in ["d", "e"] {
        f::mkdir(o.low(d))?;
        f::write(o.low(d).join("a"), "a")?;
        f::write(o.low(d).join("b"), "b")?;
    }
    f::link(o.low("d/a"), o.low("d/hard"))?;
    o.mount()?;
    let mut known = Vec::new();
    let mut learn = |o: &Ovl, n: &str| -> R<()> {
        known.push((handle(&o.m(n), AT_HANDLE_FID)?, n.to_string()));
        Ok(())
    };
    for n in ["", "d", "e", "d/a", "d/b", "e/a", "e/b"] {
        learn(&o, n)?;
    }
    let mut fan = Fanotify::new(libc::FAN_REPORT_DFID_NAME_TARGET)?;
    // Everything but the permission events.
    let mask = 0x1fff | libc::FAN_EVENT_ON_CHILD | libc::FAN_ONDIR | libc::FAN_RENAME;
    let whole = opts.contains("nfs_export=on");
    if whole {
        fan.mark(
            libc::FAN_MARK_FILESYSTEM,
            mask & !libc::FAN_EVENT_ON_CHILD,
            o.root(),
        )?;
    } else {
        for n in ["", "d", "e"] {
            fan.mark(0, mask, &o.m(n))?;
        }
    }
    let mut events = Vec::new();
    for step in 0..12 {
        match step {
            0 => drop(f::text(o.m("d/a"))?),
            1 => f::append(o.m("d/a"), "+")?,
            2 => f::chmod(o.m("d/b"), 0o600)?,
            3 => f::rename(o.m("d/b"), o.m("e/moved"))?,
            4 => f::write(o.m("d/new"), "x")?,
            5 => learn(&o, "d/new")?,
            6 => f::link(o.m("d/new"), o.m("e/link"))?,
            7 => f::rename(o.m("d/new"), o.m("d/hard"))?,
            8 => f::unlink(o.m("e/link"))?,
            9 => f::mkdir(o.m("e/newdir"))?,
            10 => f::setxattr(o.m("e/a"), "trusted.x", "y")?,
            _ => f::unlink(o.m("e/a"))?,
        }
        events.extend(fan.events()?.into_iter().map(|e| (step, e)));
    }
    let mut lines = Vec::new();
    for (step, e) in events {
        let mut line = format!("step {step}: {:x}", e.mask);
        for (kind, h, name) in e.records {
            let who = known.iter().find(|(k, _)| *k == h);
            let who = who.map_or("another", |(_, n)| n.as_str());
            line += &format!(" [{kind}: {who} type {:x}, '{name}']", h.kind);
        }
        lines.push(line);
    }
    drop(fan);
    o.umount()?;
    Ok(lines)
}

fn fanotify_same_as_intree(t: &T) -> R {
    same(t, |t, ty| fanotify_story(t, ty, OFF))
}

fn fanotify_same_as_intree_exported(t: &T) -> R {
    let opts = "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=on";
    same(t, |t, ty| fanotify_story(t, ty, opts))
}
