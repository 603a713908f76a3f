// SPDX-License-Identifier: GPL-2.0
//! Many threads at once: copy-ups, renames, removals and listings that meet.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::prelude::*;

cases! { "concurrency";
    writers_to_different_files;
    writers_to_one_lower_file;
    copy_up_of_one_dir_by_many;
    small_copy_up_does_not_wait_for_a_big_one;
    copy_up_against_unlink;
    copy_up_against_rename;
    rename_against_rename;
    exchange_storm;
    readdir_against_changes;
    stat_against_copy_up;
    identity_during_copy_up;
    create_and_remove_same_names;
    mkdir_rmdir_storm;
    link_unlink_storm;
    append_by_many;
    mmap_during_copy_up;
    mount_and_unmount_beside_work;
    lookup_of_what_comes_and_goes;
    drop_caches_during_work;
    xattr_and_chmod_race;
    attributes_that_change_during_copy_up;
    marks_of_an_inner_overlay_during_copy_up;
}

/// Runs the jobs in one thread each, and fails with the first failure.
pub fn all(jobs: Vec<Box<dyn FnOnce() -> R + Send + '_>>) -> R {
    thread::scope(|s| {
        let hs: Vec<_> = jobs.into_iter().map(|j| s.spawn(j)).collect();
        let mut first = Ok(());
        for h in hs {
            let r = h
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")));
            if first.is_ok() {
                first = r;
            }
        }
        first
    })
}

/// Passes over the errors that a race may give.
pub fn may<T>(r: R<T>, allowed: &[i32]) -> R<Option<T>> {
    match r {
        Ok(v) => Ok(Some(v)),
        Err(e) if crate::check::Errno::errno(&e).is_some_and(|n| allowed.contains(&n)) => Ok(None),
        Err(e) => Err(e),
    }
}

/// What in-tree a copy-up fails with if the list of attributes grows, or one of them is removed,
/// while it copies them. Of overlay_rs nothing is passed over.
pub fn of_changing_attributes(t: &T) -> &'static [i32] {
    match t.intree() {
        true => &[libc::ERANGE, libc::ENODATA],
        false => &[],
    }
}

const N: usize = 6;

fn writers_to_different_files(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    let per = t.scaled(30, 8) as usize;
    for i in 0..N * per {
        f::write(o.low(format!("d/e/{i}")), f::pattern(i as u64, 5000))?;
    }
    o.mount()?;
    all((0..N)
        .map(|k| {
            let o = o.m("d/e");
            Box::new(move || {
                for i in 0..per {
                    f::append(o.join(format!("{}", i * N + k)), "tail")?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    for i in 0..N * per {
        let mut want = f::pattern(i as u64, 5000);
        want.extend(b"tail");
        check!(f::read(o.m(format!("d/e/{i}")))? == want, "file {i}");
    }
    check_eq!(f::ls(o.m("d/e"))?.len(), N * per);
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn writers_to_one_lower_file(t: &T) -> R {
    for round in 0..t.scaled(10, 3) {
        let o = t.ovl()?;
        let data = f::pattern(round, 200_000);
        f::write(o.low("a"), &data)?;
        o.mount()?;
        all((0..N)
            .map(|k| {
                let a = o.m("a");
                Box::new(move || f::pwrite(&f::open_rw(a)?, k as u64 * 1000, [k as u8; 100]))
                    as Box<dyn FnOnce() -> R + Send>
            })
            .collect())?;
        let mut want = data.clone();
        for k in 0..N {
            want[k * 1000..k * 1000 + 100].fill(k as u8);
        }
        check!(
            f::read(o.m("a"))? == want,
            "round {round}: all writes are there"
        );
        check_eq!(o.work_entries()?, [""; 0]);
        o.umount()?;
    }
    Ok(())
}

fn copy_up_of_one_dir_by_many(t: &T) -> R {
    for _ in 0..t.scaled(10, 3) {
        let o = t.ovl()?;
        f::mkdirs(o.low("a/b/c"))?;
        f::chmod(o.low("a/b"), 0o711)?;
        o.mount()?;
        all((0..N)
            .map(|k| {
                let d = o.m("a/b/c");
                Box::new(move || f::write(d.join(format!("{k}")), "x"))
                    as Box<dyn FnOnce() -> R + Send>
            })
            .collect())?;
        check_eq!(f::ls(o.m("a/b/c"))?.len(), N);
        check_eq!(f::mode(o.up("a/b"))?, 0o711);
        check_eq!(o.work_entries()?, [""; 0]);
        o.umount()?;
    }
    Ok(())
}

fn small_copy_up_does_not_wait_for_a_big_one(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    let size = t.scaled(64 << 20, 16 << 20);
    let chunk = f::pattern(4, 1 << 20);
    let mut h = f::open(o.low("big"), libc::O_CREAT | libc::O_WRONLY, 0o644)?;
    for _ in 0..size >> 20 {
        h.write_all(&chunk)?;
    }
    drop(h);
    for i in 0..20 {
        f::write(o.low(format!("small{i}")), "x")?;
    }
    o.mount()?;
    for round in 0..20 {
        let done = AtomicBool::new(false);
        let mut first = false;
        thread::scope(|s| -> R {
            let free = || -> R<u64> {
                let s = rustix::fs::statvfs(o.up(""))?;
                Ok(s.f_bavail * s.f_frsize)
            };
            let before = free()?;
            let big = s.spawn(|| {
                let r = f::open_rw(o.m("big")).map(drop);
                done.store(true, Ordering::SeqCst);
                r
            });
            // Once the big copy-up is under way ...
            while !done.load(Ordering::SeqCst) && before.saturating_sub(free()?) < 1 << 20 {
                thread::yield_now();
            }
            // ... a small one in the same directory gets through.
            f::append(o.m(format!("small{round}")), "y")?;
            first = !done.load(Ordering::SeqCst);
            big.join().unwrap()
        })?;
        if first {
            return Ok(());
        }
        o.umount()?;
        f::unlink(o.up("big"))?;
        o.mount()?;
    }
    anyhow::bail!("in 20 rounds no small copy-up was done before the big one that had begun")
}

fn copy_up_against_unlink(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(40, 8);
    for i in 0..n {
        f::write(o.low(format!("{i}")), f::pattern(i, 30_000))?;
    }
    o.mount()?;
    // EEXIST: the copy-up found the whiteout where it was to put the copy.
    let ok = [libc::ENOENT, libc::ESTALE, libc::EEXIST];
    for i in 0..n {
        let p = o.m(format!("{i}"));
        all(vec![
            Box::new(|| {
                may(f::append(&p, "x"), &ok)?;
                Ok(())
            }),
            Box::new(|| f::unlink(&p)),
        ])?;
        check_err!(f::stat(&p), ENOENT, "file {i}");
    }
    check_eq!(f::ls(o.root())?, [""; 0]);
    o.again()?;
    check_eq!(f::ls(o.root())?, [""; 0], "after remount");
    Ok(())
}

fn copy_up_against_rename(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(40, 8);
    f::mkdir(o.low("d"))?;
    for i in 0..n {
        f::write(o.low(format!("{i}")), f::pattern(i, 30_000))?;
    }
    o.mount()?;
    for i in 0..n {
        let (p, q) = (o.m(format!("{i}")), o.m(format!("d/{i}")));
        let written = AtomicBool::new(false);
        all(vec![
            Box::new(|| {
                let r = may(
                    f::append(&p, "x"),
                    &[libc::ENOENT, libc::ESTALE, libc::EEXIST],
                )?;
                written.store(r.is_some(), Ordering::SeqCst);
                Ok(())
            }),
            Box::new(|| f::rename(&p, &q)),
        ])?;
        check_err!(f::stat(&p), ENOENT, "the old name of {i}");
        let want = 30_000 + u64::from(written.load(Ordering::SeqCst));
        check_eq!(f::stat(&q)?.size(), want, "size of {i}");
    }
    Ok(())
}

fn rename_against_rename(t: &T) -> R {
    let o = t.ovl()?;
    for d in ["a", "b"] {
        f::mkdir(o.low(d))?;
    }
    for i in 0..N {
        f::write(o.low(format!("a/{i}")), format!("{i}"))?;
    }
    o.mount()?;
    let rounds = t.scaled(60, 10);
    all((0..N)
        .map(|k| {
            let o = &o;
            Box::new(move || {
                for r in 0..rounds {
                    let (from, to) = if r % 2 == 0 { ("a", "b") } else { ("b", "a") };
                    f::rename(o.m(format!("{from}/{k}")), o.m(format!("{to}/{k}")))?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    let d = if rounds % 2 == 0 { "a" } else { "b" };
    check_eq!(f::ls(o.m(d))?.len(), N);
    for k in 0..N {
        check_eq!(f::text(o.m(format!("{d}/{k}")))?, format!("{k}"));
    }
    Ok(())
}

fn exchange_storm(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..4 {
        f::write(o.low(format!("{i}")), format!("{i}"))?;
    }
    o.mount()?;
    let rounds = t.scaled(80, 10);
    all((0..4)
        .map(|k| {
            let o = &o;
            Box::new(move || {
                for r in 0..rounds {
                    let (a, b) = ((k + r) % 4, (k * 3 + r + 1) % 4);
                    if a != b {
                        f::rename2(
                            o.m(format!("{a}")),
                            o.m(format!("{b}")),
                            RenameFlags::EXCHANGE,
                        )?;
                    }
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    let mut v: Vec<String> = (0..4)
        .map(|i| f::text(o.m(format!("{i}"))))
        .collect::<R<_>>()?;
    v.sort();
    check_eq!(v, ["0", "1", "2", "3"], "contents, in some order");
    Ok(())
}

fn readdir_against_changes(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    for i in 0..100 {
        f::write(o.low(format!("d/stays{i}")), "x")?;
        f::write(o.low(format!("d/goes{i}")), "x")?;
    }
    o.mount()?;
    let stop = AtomicBool::new(false);
    let (o, stop) = (&o, &stop);
    all(vec![
        Box::new(move || {
            for i in 0..100 {
                f::unlink(o.m(format!("d/goes{i}")))?;
                f::write(o.m(format!("d/new{i}")), "x")?;
            }
            stop.store(true, Ordering::SeqCst);
            Ok(())
        }),
        Box::new(move || {
            let mut rounds = 0;
            while !stop.load(Ordering::SeqCst) || rounds == 0 {
                let d = f::open_ro(o.m("d"))?;
                let mut names = Vec::new();
                loop {
                    let e = f::ctx(sys::getdents(&d, 1024), "getdents64", "d")?;
                    if e.is_empty() {
                        break;
                    }
                    names.extend(e.into_iter().map(|e| e.name));
                }
                let n = names.iter().filter(|n| n.starts_with("stays")).count();
                names.sort();
                let len = names.len();
                names.dedup();
                if n != 100 || len != names.len() {
                    stop.store(true, Ordering::SeqCst);
                }
                check_eq!(n, 100, "names that stay, in round {rounds}");
                check_eq!(names.len(), len, "names without duplicates");
                rounds += 1;
            }
            Ok(())
        }),
    ])
}

fn stat_against_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(40, 8);
    f::mkdir(o.low("d"))?;
    for i in 0..n {
        f::write(o.low(format!("d/{i}")), "12345")?;
    }
    o.mount()?;
    let stop = AtomicBool::new(false);
    let (o, stop) = (&o, &stop);
    all(vec![
        Box::new(move || {
            let r = (0..n).try_for_each(|i| f::chmod(o.m(format!("d/{i}")), 0o600));
            stop.store(true, Ordering::SeqCst);
            r
        }),
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                for i in 0..n {
                    check_eq!(f::stat(o.m(format!("d/{i}")))?.size(), 5);
                    check_eq!(f::text(o.m(format!("d/{i}")))?, "12345");
                }
            }
            Ok(())
        }),
    ])
}

fn identity_during_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(40, 8);
    for i in 0..n {
        f::write(o.low(format!("{i}")), f::pattern(i, 10_000))?;
    }
    o.mount()?;
    let ids: Vec<u64> = (0..n)
        .map(|i| Ok(f::stat(o.m(format!("{i}")))?.ino()))
        .collect::<R<_>>()?;
    let stop = AtomicBool::new(false);
    let (o, stop, ids) = (&o, &stop, &ids);
    all(vec![
        Box::new(move || {
            let r = (0..n).try_for_each(|i| f::append(o.m(format!("{i}")), "x"));
            stop.store(true, Ordering::SeqCst);
            r
        }),
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                for (i, id) in ids.iter().enumerate() {
                    check_eq!(
                        f::stat(o.m(format!("{i}")))?.ino(),
                        *id,
                        "inode number of {i}"
                    );
                }
            }
            Ok(())
        }),
    ])
}

fn create_and_remove_same_names(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..3 {
        f::write(o.low(format!("{i}")), "lower")?;
    }
    o.mount()?;
    let rounds = t.scaled(150, 20);
    let ok = [libc::ENOENT, libc::EEXIST, libc::ESTALE];
    all((0..N)
        .map(|k| {
            let o = &o;
            Box::new(move || {
                for r in 0..rounds {
                    let p = o.m(format!("{}", (r + k as u64) % 3));
                    if (r + k as u64) % 2 == 0 {
                        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
                        may(f::open(&p, flags, 0o600), &ok)?;
                    } else {
                        may(f::unlink(&p), &ok)?;
                    }
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    let names = f::ls(o.root())?;
    o.again()?;
    check_eq!(f::ls(o.root())?, names, "after remount");
    for n in names {
        f::unlink(o.m(n))?;
    }
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn mkdir_rmdir_storm(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..3 {
        f::mkdir(o.low(format!("{i}")))?;
    }
    o.mount()?;
    let rounds = t.scaled(100, 15);
    let ok = [libc::ENOENT, libc::EEXIST, libc::ENOTEMPTY, libc::ESTALE];
    all((0..N)
        .map(|k| {
            let o = &o;
            Box::new(move || {
                for r in 0..rounds {
                    let p = o.m(format!("{}", (r + k as u64) % 3));
                    may(f::mkdir(&p), &ok)?;
                    may(f::mkdir(p.join(format!("in{k}"))), &ok)?;
                    may(f::rmdir(p.join(format!("in{k}"))), &ok)?;
                    may(f::rmdir(&p), &ok)?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    for n in f::ls(o.root())? {
        f::ctx(std::fs::remove_dir_all(o.m(&n)), "rm -r", n)?;
    }
    check!(
        o.work_entries()?.len() <= 1,
        "the workdir has {:?}",
        o.work_entries()?
    );
    o.again()?;
    check_eq!(f::ls(o.root())?, [""; 0]);
    Ok(())
}

fn link_unlink_storm(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    let rounds = t.scaled(60, 10);
    all((0..N)
        .map(|k| {
            let o = &o;
            Box::new(move || {
                for _ in 0..rounds {
                    f::link(o.m("a"), o.m(format!("l{k}")))?;
                    f::unlink(o.m(format!("l{k}")))?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    check_eq!(f::stat(o.m("a"))?.nlink(), 1);
    check_eq!(f::stat(o.up("a"))?.nlink(), 1);
    Ok(())
}

fn append_by_many(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("log"), "")?;
    o.mount()?;
    let rounds = t.scaled(100, 15);
    all((0..N)
        .map(|k| {
            let p = o.m("log");
            Box::new(move || {
                let mut h = f::open(p, libc::O_WRONLY | libc::O_APPEND, 0)?;
                for _ in 0..rounds {
                    h.write_all(format!("line of writer {k}\n").as_bytes())?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    let text = f::text(o.m("log"))?;
    for k in 0..N {
        let n = text
            .lines()
            .filter(|l| *l == format!("line of writer {k}"))
            .count() as u64;
        check_eq!(n, rounds, "whole lines of writer {k}");
    }
    Ok(())
}

fn mmap_during_copy_up(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(30, 6);
    for i in 0..n {
        f::write(o.low(format!("{i}")), vec![i as u8; 40_000])?;
    }
    o.mount()?;
    let (o, next) = (&o, &AtomicU64::new(0));
    all(vec![
        Box::new(move || {
            for i in 0..n {
                f::chmod(o.m(format!("{i}")), 0o600)?;
                next.store(i + 1, Ordering::SeqCst);
            }
            Ok(())
        }),
        Box::new(move || {
            for i in 0..n {
                let h = f::open_ro(o.m(format!("{i}")))?;
                let m = sys::map_ro(&h, 40_000)?;
                check!(m.iter().all(|b| *b == i as u8), "contents of {i}");
            }
            check!(next.load(Ordering::SeqCst) <= n);
            Ok(())
        }),
    ])
}

fn mount_and_unmount_beside_work(t: &T) -> R {
    let base = t.ovl()?;
    f::mkdir(base.low("d"))?;
    for i in 0..20 {
        f::write(base.low(format!("d/{i}")), "x")?;
    }
    let os: Vec<Ovl> = (0..4)
        .map(|_| {
            let mut o = t.ovl()?;
            o.lowers = base.lowers.clone();
            Ok(o)
        })
        .collect::<R<_>>()?;
    let rounds = t.scaled(10, 3);
    all(os
        .iter()
        .map(|o| {
            let o = o.clone();
            Box::new(move || {
                for r in 0..rounds {
                    o.mount()?;
                    for i in 0..20 {
                        f::append(o.m(format!("d/{i}")), "y")?;
                    }
                    check_eq!(f::text(o.m("d/0"))?.len() as u64, r + 2);
                    o.umount()?;
                }
                Ok(())
            }) as Box<dyn FnOnce() -> R + Send>
        })
        .collect())?;
    check_eq!(f::text(base.low("d/0"))?, "x");
    Ok(())
}

fn lookup_of_what_comes_and_goes(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "lower")?;
    o.mount()?;
    let stop = AtomicBool::new(false);
    let (o, stop) = (&o, &stop);
    let rounds = t.scaled(60, 10);
    all(vec![
        Box::new(move || {
            let r = (0..rounds).try_for_each(|_| -> R {
                f::unlink(o.m("d/e/a"))?;
                f::rmdir(o.m("d/e"))?;
                f::mkdir(o.m("d/e"))?;
                f::write(o.m("d/e/a"), "upper")
            });
            stop.store(true, Ordering::SeqCst);
            r
        }),
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                let ok = [libc::ENOENT, libc::ESTALE];
                if let Some(s) = may(f::text(o.m("d/e/a")), &ok)? {
                    check!(
                        ["", "lower", "upper"].contains(&s.as_str()),
                        "contents of a file that comes and goes: {s:?}"
                    );
                }
                may(f::ls(o.m("d/e")), &ok)?;
            }
            Ok(())
        }),
    ])
}

fn drop_caches_during_work(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    for i in 0..30 {
        f::write(o.low(format!("d/e/{i}")), format!("{i}"))?;
    }
    o.mount()?;
    let stop = AtomicBool::new(false);
    let (o, stop) = (&o, &stop);
    let rounds = t.scaled(10, 2);
    all(vec![
        Box::new(move || {
            let r = (0..rounds).try_for_each(|r| -> R {
                for i in 0..30 {
                    f::append(o.m(format!("d/e/{i}")), "+")?;
                    f::rename(o.m(format!("d/e/{i}")), o.m(format!("d/{i}")))?;
                    f::rename(o.m(format!("d/{i}")), o.m(format!("d/e/{i}")))?;
                    check_eq!(
                        f::text(o.m(format!("d/e/{i}")))?.matches('+').count() as u64,
                        r + 1
                    );
                }
                Ok(())
            });
            stop.store(true, Ordering::SeqCst);
            r
        }),
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                f::write("/proc/sys/vm/drop_caches", "2")?;
                f::ls(o.m("d/e"))?;
            }
            Ok(())
        }),
    ])
}

fn xattr_and_chmod_race(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..20 {
        f::write(o.low(format!("{i}")), "x")?;
    }
    o.mount()?;
    let o = &o;
    all(vec![
        Box::new(move || (0..20).try_for_each(|i| f::setxattr(o.m(format!("{i}")), "user.x", "1"))),
        Box::new(move || (0..20).try_for_each(|i| f::chmod(o.m(format!("{i}")), 0o604))),
        Box::new(move || (0..20).try_for_each(|i| f::chown(o.m(format!("{i}")), 3, 4))),
        Box::new(move || (0..20).try_for_each(|i| f::append(o.m(format!("{i}")), "y"))),
    ])?;
    for i in 0..20 {
        let m = f::stat(o.m(format!("{i}")))?;
        check_eq!(
            (m.mode() & 0o7777, m.uid(), m.gid(), m.size()),
            (0o604, 3, 4, 2),
            "file {i}"
        );
        check_eq!(f::getxattr(o.m(format!("{i}")), "user.x")?, b"1");
    }
    Ok(())
}

/// Each copy-up of one lower file, by its many names, takes what the file has at some moment.
fn attributes_that_change_during_copy_up(t: &T) -> R {
    const LONG: &str = "user.a-rather-long-name-that-comes-and-goes";
    let o = t.ovl()?;
    let names = t.scaled(300, 20);
    f::write(o.low("0"), "x")?;
    f::setxattr(o.low("0"), "user.stays", "1")?;
    for i in 1..names {
        f::link(o.low("0"), o.low(i.to_string()))?;
    }
    o.mount()?;
    let passed_over = of_changing_attributes(t);
    let stop = AtomicBool::new(false);
    let mut copied = Vec::new();
    all(vec![
        Box::new(|| {
            while !stop.load(Ordering::SeqCst) {
                f::setxattr(o.low("0"), LONG, "1")?;
                f::removexattr(o.low("0"), LONG)?;
            }
            Ok(())
        }) as Box<dyn FnOnce() -> R + Send + '_>,
        Box::new(|| {
            let r = (0..names).try_for_each(|i| -> R {
                let r = f::chmod(o.m(i.to_string()), 0o600);
                if may(r, passed_over)?.is_some() {
                    copied.push(i);
                }
                Ok(())
            });
            stop.store(true, Ordering::SeqCst);
            r
        }),
    ])?;
    check!(!copied.is_empty(), "no copy-up came to its end");
    for i in copied {
        check_eq!(f::getxattr(o.up(i.to_string()), "user.stays")?, b"1", "{i}");
    }
    Ok(())
}

/// An overlay as the lower of another one: it marks its directories as impure, which makes their
/// lists of attributes longer than they were when the outer one asked for their size.
fn marks_of_an_inner_overlay_during_copy_up(t: &T) -> R {
    let inner = t.ovl()?;
    let dirs = t.scaled(100, 10);
    for i in 0..dirs {
        f::mkdir(inner.low(i.to_string()))?;
        f::write(inner.low(format!("{i}/a")), "x")?;
    }
    inner.mount()?;
    for i in 0..dirs {
        f::chmod(inner.m(i.to_string()), 0o700)?;
    }
    let mut outer = t.ovl()?;
    outer.lowers = vec![inner.mnt.clone()];
    outer.mount()?;
    let passed_over = of_changing_attributes(t);
    // Both come to the same directory at the same time.
    let there = [AtomicU64::new(0), AtomicU64::new(0)];
    let [first, second] = &there;
    let meet = |me: &AtomicU64, other: &AtomicU64, i: u64| {
        me.store(i + 1, Ordering::SeqCst);
        while other.load(Ordering::SeqCst) <= i {
            std::hint::spin_loop();
        }
    };
    let rounds = |me: &AtomicU64, each: &dyn Fn(u64) -> R| {
        let r = (0..dirs).try_for_each(each);
        // Nobody waits for one that has failed.
        me.store(u64::MAX, Ordering::SeqCst);
        r
    };
    all(vec![
        Box::new(|| {
            rounds(first, &|i| {
                meet(first, second, i);
                f::chmod(inner.m(format!("{i}/a")), 0o600)
            })
        }) as Box<dyn FnOnce() -> R + Send + '_>,
        Box::new(|| {
            rounds(second, &|i| {
                meet(second, first, i);
                let r = f::chmod(outer.m(i.to_string()), 0o711);
                may(r, passed_over).map(|_| ())
            })
        }),
    ])?;
    outer.umount()?;
    inner.umount()
}
