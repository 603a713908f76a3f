// SPDX-License-Identifier: GPL-2.0
//! Storms: many tasks at once for as long as is asked, and then a look at what is left. Each
//! scenario goes round after round until its time is over: layers are made and mounted, tasks
//! meet on the same names, and after each round nothing may be lost, nothing may be left in the
//! workdir, and the other module must see the same tree.

use std::ffi::CString;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::concurrency::{all, may};
use super::prelude::*;

cases! { "storm";
    copy_up_races;
    lookup_rename_drop_caches;
    readdir_against_change;
    mounts;
    reloads.rs_only("the kernel's own module is used by others, too");
    kills_in_copy_up;
}

type Job<'a> = Box<dyn FnOnce() -> R + Send + 'a>;

/// What names may answer while somebody takes them away.
const GONE: [i32; 3] = [libc::ENOENT, libc::ESTALE, libc::EEXIST];

/// The option sets, one for each round in turn.
const OPTIONS: [&str; 5] = [
    "index=off,redirect_dir=off,metacopy=off,xino=off,nfs_export=off",
    "index=off,redirect_dir=on,metacopy=on,xino=on,nfs_export=off",
    "index=on,redirect_dir=on,metacopy=off,xino=off,nfs_export=off",
    "index=on,redirect_dir=on,metacopy=off,xino=auto,nfs_export=on",
    "index=on,redirect_dir=on,metacopy=on,xino=off,nfs_export=off",
];

/// Rounds until the time is over, and what is counted on the way.
struct Storm {
    began: Instant,
    end: Instant,
    round: u64,
    counts: Vec<(&'static str, u64)>,
    rng: u64,
}

impl Storm {
    fn new(t: &T) -> Self {
        let began = Instant::now();
        Self {
            began,
            end: began + Duration::from_secs(t.seconds),
            round: 0,
            counts: Vec::new(),
            rng: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The number of the next round, while there is time.
    fn go_on(&mut self) -> Option<u64> {
        let n = self.round;
        self.round += 1;
        (n == 0 || Instant::now() < self.end).then_some(n)
    }

    fn count(&mut self, what: &'static str, n: u64) {
        match self.counts.iter_mut().find(|c| c.0 == what) {
            Some(c) => c.1 += n,
            None => self.counts.push((what, n)),
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        self.rng % n
    }

    /// Says what was done.
    fn tell(mut self, t: &T, name: &str) -> R {
        self.count("rounds", self.round - 1);
        self.count("seconds", self.began.elapsed().as_secs());
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(k, n)| format!("{n} {k}"))
            .collect();
        println!("{name} ({}, {}): {}", t.ty, t.fs, counts.join(", "));
        Ok(())
    }
}

/// Layers in a directory that is removed after the round.
fn round_of(t: &T, n: u64) -> R<Ovl> {
    let mut o = t.layers_at(&t.p(format!("round{n}")), 1)?;
    o.opts = OPTIONS[n as usize % OPTIONS.len()].into();
    Ok(o)
}

/// After a round: nothing is left in the workdir, the same tree is there after a remount, and
/// the other module sees it, too. Then the layers go.
fn settle(t: &T, mut o: Ovl) -> R {
    let temps: Vec<String> = o.work_entries()?;
    check!(
        !temps.iter().any(|n| n.starts_with('#')) || temps.len() <= 1,
        "left in the workdir: {temps:?}"
    );
    let tree = tree::snapshot(o.root(), tree::NO_TIMES)?;
    o.again()?;
    tree::same(
        "after a remount",
        &tree,
        &tree::snapshot(o.root(), tree::NO_TIMES)?,
    )?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    o.mount()?;
    let seen = tree::snapshot(o.root(), tree::NO_TIMES)?;
    o.umount()?;
    tree::same("seen by the other module", &tree, &seen)?;
    let dir = o.mnt.parent().map(Path::to_path_buf).unwrap_or_default();
    f::ctx(std::fs::remove_dir_all(&dir), "rm -r", &dir)
}

/// Writes, chmods, links, renames and unlinks of one lower file at once.
fn copy_up_races(t: &T) -> R {
    const FILES: usize = 12;
    let mut s = Storm::new(t);
    while let Some(n) = s.go_on() {
        let o = round_of(t, n)?;
        f::mkdirs(o.low("d"))?;
        for i in 0..FILES {
            f::write(
                o.low(format!("d/{i}")),
                f::pattern(i as u64, 3000 + 20_000 * (i % 3)),
            )?;
            if i % 4 == 0 {
                f::link(o.low(format!("d/{i}")), o.low(format!("d/{i}-twin")))?;
            }
        }
        o.mount()?;
        for i in 0..FILES {
            let len = 3000 + 20_000 * (i % 3);
            let p = |what: &str| o.m(format!("d/{i}{what}"));
            let done: [AtomicBool; 5] = Default::default();
            let mark = |k: usize, r: R<Option<()>>| -> R {
                done[k].store(r?.is_some(), Ordering::SeqCst);
                Ok(())
            };
            all(vec![
                Box::new(|| mark(0, may(f::append(p(""), "+"), &GONE))) as Job<'_>,
                Box::new(|| mark(1, may(f::chmod(p(""), 0o600), &GONE))),
                Box::new(|| mark(2, may(f::link(p(""), p("-link")), &GONE))),
                Box::new(|| mark(3, may(f::rename(p(""), p("-new")), &GONE))),
                Box::new(|| {
                    if i % 2 == 0 {
                        mark(4, may(f::unlink(p("")), &GONE))
                    } else {
                        Ok(())
                    }
                }),
            ])?;
            let did = |k: usize| done[k].load(Ordering::SeqCst);
            check!(!(did(3) && did(4)), "{i} was renamed and removed, too");
            check_eq!(f::exists(p(""))?, !did(3) && !did(4), "the name of {i}");
            check_eq!(f::exists(p("-new"))?, did(3), "the new name of {i}");
            check_eq!(f::exists(p("-link"))?, did(2), "the link of {i}");
            for name in ["", "-new", "-link"] {
                if !f::exists(p(name))? {
                    continue;
                }
                let got = f::read(p(name))?;
                check_eq!(
                    got[..len.min(got.len())],
                    f::pattern(i as u64, len),
                    "{i}{name}"
                );
                check!(got.len() <= len + 1, "{i}{name}: {} bytes", got.len());
                if name == "-new" || !did(3) {
                    check_eq!(got.len() == len + 1, did(0), "{i}{name}: the appended byte");
                }
            }
            s.count("files", 1);
            s.count(
                "operations",
                done.iter().filter(|d| d.load(Ordering::SeqCst)).count() as u64,
            );
        }
        settle(t, o)?;
    }
    s.tell(t, "copy_up_races")
}

/// Lookups against renames, with the caches dropped all the time.
fn lookup_rename_drop_caches(t: &T) -> R {
    let mut s = Storm::new(t);
    while let Some(n) = s.go_on() {
        let mut o = round_of(t, n)?;
        // Directories of the lower are to be renamed.
        o.opts = OPTIONS[1 + n as usize % 4].into();
        for a in ["a", "b", "c"] {
            f::mkdirs(o.low(a).join("sub"))?;
            for i in 0..8 {
                f::write(o.low(a).join(format!("sub/{i}")), format!("{a}{i}"))?;
            }
        }
        o.mount()?;
        let (stop, renames, lookups, drops) = (
            &AtomicBool::new(false),
            &AtomicU64::new(0),
            &AtomicU64::new(0),
            &AtomicU64::new(0),
        );
        let o2 = &o;
        let mut jobs: Vec<Job<'_>> = Vec::new();
        for a in ["a", "b", "c"] {
            // Each of these tasks moves one directory, and what is in it, to and fro.
            jobs.push(Box::new(move || {
                let r = (0..10).try_for_each(|_| -> R {
                    f::rename(o2.m(a), o2.m(format!("{a}{a}")))?;
                    f::rename(o2.m(format!("{a}{a}/sub")), o2.m(format!("{a}-sub")))?;
                    for i in 0..8 {
                        let p = o2.m(format!("{a}-sub/{i}"));
                        check_eq!(f::text(&p)?, format!("{a}{i}"));
                    }
                    f::rename(o2.m(format!("{a}-sub")), o2.m(format!("{a}{a}/sub")))?;
                    f::rename(o2.m(format!("{a}{a}")), o2.m(a))?;
                    renames.fetch_add(4, Ordering::Relaxed);
                    Ok(())
                });
                stop.store(true, Ordering::SeqCst);
                r
            }));
        }
        jobs.push(Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                for a in ["a", "b", "c"] {
                    for i in 0..8 {
                        let p = o2.m(a).join(format!("sub/{i}"));
                        if let Some(text) = may(f::text(p), &GONE)? {
                            check_eq!(text, format!("{a}{i}"));
                        }
                        may(f::stat(o2.m(format!("{a}{a}/sub/{i}"))), &GONE)?;
                        lookups.fetch_add(2, Ordering::Relaxed);
                    }
                }
            }
            Ok(())
        }));
        jobs.push(Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                f::write("/proc/sys/vm/drop_caches", "2")?;
                drops.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(3));
            }
            Ok(())
        }));
        all(jobs)?;
        check_eq!(f::ls(o.root())?, ["a", "b", "c"]);
        for a in ["a", "b", "c"] {
            check_eq!(f::ls(o.m(a).join("sub"))?.len(), 8, "files of {a}");
        }
        for (k, c) in [("renames", renames), ("lookups", lookups), ("drops", drops)] {
            s.count(k, c.load(Ordering::Relaxed));
        }
        settle(t, o)?;
    }
    s.tell(t, "lookup_rename_drop_caches")
}

/// Listings of a directory that changes, from the start and from places in the middle.
fn readdir_against_change(t: &T) -> R {
    let mut s = Storm::new(t);
    while let Some(n) = s.go_on() {
        let o = round_of(t, n)?;
        f::mkdirs(o.low("d"))?;
        for i in 0..60 {
            f::write(o.low(format!("d/stays{i}")), "x")?;
            f::write(o.low(format!("d/goes{i}")), "x")?;
        }
        f::mkdirs(o.up("d"))?;
        for i in 0..30 {
            f::write(o.up(format!("d/upper{i}")), "x")?;
        }
        o.mount()?;
        let (stop, changes, listings) = (
            &AtomicBool::new(false),
            &AtomicU64::new(0),
            &AtomicU64::new(0),
        );
        let o2 = &o;
        let list = move |size: usize, back: bool| -> R {
            let d = f::open_ro(o2.m("d"))?;
            let mut names = Vec::new();
            let mut at = 0;
            loop {
                let e = f::ctx(sys::getdents(&d, size), "getdents64", "d")?;
                let Some(last) = e.last() else { break };
                check!(last.off != at, "the place moves on");
                at = last.off;
                if back && names.len() == 10 {
                    // To where it was, and on from there.
                    f::ctx(sys::lseek(&d, at, libc::SEEK_SET), "lseek", "d")?;
                }
                names.extend(e.into_iter().map(|e| (e.name, e.kind)));
            }
            let of = |what: &str| names.iter().filter(|n| n.0.starts_with(what)).count();
            check_eq!((of("stays"), of("upper")), (60, 30), "entries that stay");
            check!(names.iter().all(|n| n.1 != libc::DT_CHR), "no whiteouts");
            let len = names.len();
            names.sort();
            names.dedup_by(|a, b| a.0 == b.0);
            check_eq!(names.len(), len, "names without duplicates");
            listings.fetch_add(1, Ordering::Relaxed);
            Ok(())
        };
        all(vec![
            Box::new(move || {
                let r = (0..60).try_for_each(|i| -> R {
                    f::unlink(o2.m(format!("d/goes{i}")))?;
                    f::write(o2.m(format!("d/new{i}")), "x")?;
                    f::rename(o2.m(format!("d/new{i}")), o2.m(format!("d/newer{i}")))?;
                    f::unlink(o2.m(format!("d/newer{i}")))?;
                    changes.fetch_add(4, Ordering::Relaxed);
                    Ok(())
                });
                stop.store(true, Ordering::SeqCst);
                r
            }) as Job<'_>,
            Box::new(move || {
                while !stop.load(Ordering::SeqCst) {
                    list(700, false)?;
                }
                Ok(())
            }),
            Box::new(move || {
                while !stop.load(Ordering::SeqCst) {
                    list(320, true)?;
                }
                Ok(())
            }),
        ])?;
        check_eq!(f::ls(o.m("d"))?.len(), 90);
        s.count("changes", changes.load(Ordering::Relaxed));
        s.count("listings", listings.load(Ordering::Relaxed));
        settle(t, o)?;
    }
    s.tell(t, "readdir_against_change")
}

/// Mounts and unmounts in several tasks, with and without work in between, some of them detached
/// while files are open.
fn mounts(t: &T) -> R {
    const TASKS: u64 = 4;
    let mut s = Storm::new(t);
    let base = t.layers(3)?;
    for i in 0..3 {
        f::mkdirs(base.lown(i, "d"))?;
        f::write(base.lown(i, format!("d/{i}")), "x")?;
    }
    while let Some(n) = s.go_on() {
        let (mounts, refused) = (&AtomicU64::new(0), &AtomicU64::new(0));
        let overlays = (0..TASKS)
            .map(|k| {
                let mut o = round_of(t, n * TASKS + k)?;
                o.lowers.clone_from(&base.lowers);
                o.opts = OPTIONS[((n + k) % 2 * 2) as usize].into();
                Ok(o)
            })
            .collect::<R<Vec<_>>>()?;
        let work = |k: u64, o: &Ovl| -> R {
            for i in 0..12u64 {
                let mut o = o.clone();
                if i % 3 == 1 {
                    (o.upper, o.work) = (None, None);
                }
                if i % 6 == 5 {
                    o.lowers.push("/nowhere".into());
                    check_err!(o.mount(), ENOENT);
                    refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                o.mount()?;
                mounts.fetch_add(1, Ordering::Relaxed);
                check_eq!(f::text(o.m("d/2"))?, "x");
                if i % 3 == 0 {
                    let p = o.m(format!("d/{}", i % 2));
                    f::append(&p, "+")?;
                    f::write(o.m(format!("d/new{i}")), "y")?;
                }
                if (i + k) % 4 == 3 {
                    let h = f::open_ro(o.m("d/2"))?;
                    let gone = rustix::mount::UnmountFlags::DETACH;
                    f::ctx(
                        rustix::mount::unmount(o.root(), gone),
                        "umount -l",
                        o.root(),
                    )?;
                    check_eq!(f::pread(&h, 0, 9)?, b"x", "after the mount is gone");
                    drop(h);
                } else {
                    o.umount()?;
                }
            }
            Ok(())
        };
        let work = &work;
        all(overlays
            .iter()
            .zip(0..)
            .map(|(o, k)| Box::new(move || work(k, o)) as Job<'_>)
            .collect())?;
        s.count("mounts", mounts.load(Ordering::Relaxed));
        s.count("refused mounts", refused.load(Ordering::Relaxed));
        for o in overlays {
            // A detached one may still be on its way out.
            let start = Instant::now();
            while let Err(e) = o.mount() {
                check!(start.elapsed() < Duration::from_secs(10), "{e:#}");
                thread::sleep(Duration::from_millis(2));
            }
            check_eq!(
                f::ls(o.m("d"))?,
                ["0", "1", "2", "new0", "new3", "new6", "new9"]
            );
            check_eq!(
                f::text(o.m("d/0"))?,
                "x++",
                "in the sixth and the twelfth mount, too"
            );
            settle(t, o)?;
        }
        for i in 0..3 {
            check_eq!(f::text(base.lown(i, format!("d/{i}")))?, "x", "lower {i}");
        }
    }
    s.tell(t, "mounts")
}

/// Loads the module again.
fn load(t: &T) -> R {
    let file = f::open_ro(format!("/{}.ko", t.ty))?;
    f::ctx(sys::finit_module(&file), "finit_module", &t.ty)
}

/// The module goes and comes again, with mounts in between; it does not go while it is used.
fn reloads(t: &T) -> R {
    let name = CString::new(t.ty.as_str())?;
    let mut s = Storm::new(t);
    let base = t.layers(2)?;
    f::mkdir(base.low("d"))?;
    f::write(base.low("d/a"), "x")?;
    let mut size = 1;
    while let Some(n) = s.go_on() {
        let mut o = base.clone();
        o.opts = OPTIONS[n as usize % 2 * 2].into();
        o.mount()?;
        check_err!(sys::delete_module(&name), EAGAIN, "it is used");
        f::append(o.m("d/a"), "+")?;
        size += 1;
        check_eq!(f::stat(o.m("d/a"))?.size(), size);
        let h = f::open_ro(o.m("d/a"))?;
        if n % 3 == 2 {
            let gone = rustix::mount::UnmountFlags::DETACH;
            rustix::mount::unmount(o.root(), gone)?;
            check_err!(sys::delete_module(&name), EAGAIN, "a file is open");
            drop(h);
        } else {
            drop(h);
            o.umount()?;
        }
        // Freeing a superblock is put off; then it must go.
        let start = Instant::now();
        while let Err(e) = sys::delete_module(&name) {
            check!(
                e.raw_os_error() == Some(libc::EAGAIN) && start.elapsed() < Duration::from_secs(20),
                "the module does not go: {e}"
            );
            thread::sleep(Duration::from_millis(1));
        }
        check!(!crate::env::registered(&t.ty)?, "the type is gone");
        check_err!(o.mount(), ENODEV);
        load(t)?;
        s.count("reloads", 1);
    }
    s.tell(t, "reloads")
}

/// Tasks that are killed while they copy up. What they leave is either as it was or complete.
fn kills_in_copy_up(t: &T) -> R {
    const OBJECTS: u64 = 24;
    let mut s = Storm::new(t);
    while let Some(n) = s.go_on() {
        let o = round_of(t, n)?;
        let len = |i: u64| 1000 + (i % 4 * 300_000) as usize;
        f::mkdirs(o.low("d"))?;
        for i in 0..OBJECTS {
            let p = o.low(format!("d/{i}"));
            match i % 8 {
                5 => f::symlink("somewhere", &p)?,
                6 => f::mkdir(&p)?,
                _ => f::write(&p, f::pattern(i, len(i)))?,
            }
            f::setxattr(&p, if i % 8 == 5 { "trusted.x" } else { "user.x" }, "value")?;
        }
        o.mount()?;
        let mut from = 0;
        while from < OBJECTS {
            let (rd, wr) = rustix::pipe::pipe()?;
            let close = std::os::fd::AsRawFd::as_raw_fd(&rd);
            let mut child = sys::spawn(|| {
                sys::close_raw(close);
                for i in from..OBJECTS {
                    let p = o.m(format!("d/{i}"));
                    rustix::io::write(&wr, b"s")?;
                    if i % 8 < 4 {
                        f::append(&p, "")?;
                    } else {
                        f::utimes(&p, (1, 0), (1, 0))?;
                    }
                    rustix::io::write(&wr, b"d")?;
                }
                Ok(String::new())
            })?;
            // It has begun.
            let mut rd = File::from(rd);
            rd.read_exact(&mut [0])?;
            thread::sleep(Duration::from_micros(s.below(4000)));
            child.kill(libc::SIGKILL)?;
            match child.wait(600)? {
                sys::End::Ok(_) | sys::End::Died(_) => {}
                sys::End::Err(_, m) | sys::End::Skip(m) => anyhow::bail!("in the child: {m}"),
                sys::End::Hung => anyhow::bail!("the child cannot be killed"),
            }
            drop(wr);
            let mut said = b"s".to_vec();
            rd.read_to_end(&mut said)?;
            s.count("kills", 1);
            let done = said.iter().filter(|b| **b == b'd').count() as u64;
            s.count("kills inside", u64::from(said.last() == Some(&b's')));
            from += done;
            if let Some(b's') = said.last() {
                whole(&o, from, len(from))?;
                // Now and then it goes on with the next one, and this one stays as it is.
                from += s.below(2);
            }
        }
        for i in 0..OBJECTS {
            whole(&o, i, len(i))?;
        }
        check_eq!(o.work_entries()?, [""; 0], "left in the workdir");
        settle(t, o)?;
    }
    s.tell(t, "kills_in_copy_up")
}

/// The object is all there, and so is its copy, if it has one.
fn whole(o: &Ovl, i: u64, len: usize) -> R {
    let name = format!("d/{i}");
    let upper = o.in_upper(&name)?;
    let metadata_only = upper && o.xattr(&name, "metacopy")?.is_some();
    let mut places = vec![o.m(&name)];
    if upper && !metadata_only {
        places.push(o.up(&name));
    }
    for p in places {
        let key = if i % 8 == 5 { "trusted.x" } else { "user.x" };
        check_eq!(f::getxattr(&p, key)?, b"value", "{}", p.display());
        match i % 8 {
            5 => check_eq!(f::readlink(&p)?, Path::new("somewhere")),
            6 => check!(f::stat(&p)?.is_dir()),
            _ => check_eq!(f::read(&p)?, f::pattern(i, len), "{}", p.display()),
        }
    }
    Ok(())
}
