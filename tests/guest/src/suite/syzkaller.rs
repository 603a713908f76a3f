// SPDX-License-Identifier: GPL-2.0
//! Patterns with which a fuzzer of the kernel found bugs in its overlay: hostile mounts, files of
//! the kernel as layers, locks in the wrong order, options that leak. Each test is named after
//! what was reported, and says what must happen instead.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::concurrency::{all, may, of_changing_attributes};
use super::prelude::*;
use crate::sys::handles::{handle, open_handle};

cases! { "syzkaller";
    inode_upper_of_overlapping_layers;
    create_real_in_a_layer_moved_into_another;
    workdir_create_over_anything;
    parse_param_leaks_nothing;
    copy_up_of_a_disconnected_file;
    recursive_writers_in_nested_copy_up;
    listxattr_while_names_change;
    real_file_of_a_path_descriptor;
    splice_and_seq_read_of_kernel_files;
    fast_dput_of_dropped_names;
    lookup_in_a_lower_that_cannot;
    clone_of_a_mount_that_is_gone;
    encode_handle_of_a_removed_object;
}

type Job<'a> = Box<dyn FnOnce() -> R + Send + 'a>;

/// One directory in two roles, or one inside the other: refused, or it works without a crash and
/// shows the overlap as an error.
fn inode_upper_of_overlapping_layers(t: &T) -> R {
    let base = t.ovl()?;
    f::mkdirs(base.up("in/side"))?;
    f::mkdirs(base.low("in/side"))?;
    let work = base.work.clone().unwrap_or_default();
    f::mkdirs(work.join("in"))?;
    let up = base.up("");
    let cases: &[(&str, Vec<PathBuf>, PathBuf, PathBuf)] = &[
        (
            "upper is the lower",
            vec![up.clone()],
            up.clone(),
            work.clone(),
        ),
        (
            "lower in the upper",
            vec![up.join("in")],
            up.clone(),
            work.clone(),
        ),
        (
            "lower is the workdir",
            vec![work.clone()],
            up.clone(),
            work.clone(),
        ),
        (
            "lower in the workdir",
            vec![work.join("in")],
            up.clone(),
            work.clone(),
        ),
        (
            "workdir in the upper",
            vec![base.low("")],
            up.clone(),
            up.join("in"),
        ),
        (
            "upper in the workdir",
            vec![base.low("")],
            work.join("in"),
            work.clone(),
        ),
        (
            "workdir is the upper",
            vec![base.low("")],
            up.clone(),
            up.clone(),
        ),
        (
            "upper in the lower",
            vec![base.low("")],
            base.low("in"),
            base.low("in/side"),
        ),
        (
            "a lower twice",
            vec![base.low(""), base.low("")],
            up.clone(),
            work.clone(),
        ),
        (
            "lowers in each other",
            vec![base.low(""), base.low("in")],
            up,
            work,
        ),
    ];
    for (what, lowers, upper, work) in cases {
        let mut o = base.clone();
        o.lowers.clone_from(lowers);
        o.upper = Some(upper.clone());
        o.work = Some(work.clone());
        let got = crate::check::outcome(&o.mount());
        let want: &[&str] = match *what {
            "lower in the upper"
            | "lower in the workdir"
            | "a lower twice"
            | "lowers in each other"
            | "upper is the lower"
            | "lower is the workdir" => &["ELOOP"],
            _ => &["EINVAL"],
        };
        if got == "success" {
            f::ls(o.root())?;
            may(f::ls(o.m("in")), &[libc::ELOOP, libc::ENOENT])?;
            may(f::ls(o.m("in/side")), &[libc::ELOOP, libc::ENOENT])?;
            may(f::mkdir(o.m("new")), &[libc::ELOOP])?;
            o.umount()?;
        }
        check!(want.contains(&got.as_str()), "{what}: {got}");
    }
    Ok(())
}

/// A layer that is moved into another one while mounted: found out at the lookup.
fn create_real_in_a_layer_moved_into_another(t: &T) -> R {
    let o = t.layers(2)?;
    f::mkdir(o.lown(1, "sub"))?;
    f::mkdir(o.up("sub"))?;
    o.mount()?;
    let work = o.work.clone().unwrap_or_default();
    let places = [
        (o.low(""), o.up("sub/moved")),
        (o.low(""), o.lown(1, "sub/moved")),
        (work.clone(), o.up("sub/moved")),
    ];
    for (from, to) in places {
        let from = PathBuf::from(from.to_string_lossy().trim_end_matches('/'));
        f::rename(&from, &to)?;
        drop_caches()?;
        let p = o.m("sub/moved");
        check_err!(f::stat(&p), ELOOP, "{} at {}", from.display(), to.display());
        check_err!(f::write(p.join("x"), "x"), ELOOP);
        check!(f::mkdir(&p).is_err());
        check!(f::rmdir(&p).is_err());
        f::rename(&to, &from)?;
        drop_caches()?;
    }
    // The upper itself, into a lower.
    f::rename(o.upper.clone().unwrap_or_default(), o.lown(1, "up"))?;
    drop_caches()?;
    check_err!(f::stat(o.m("up")), ELOOP);
    f::write(o.m("still"), "x")?;
    check_eq!(f::text(o.lown(1, "up/still"))?, "x");
    f::rename(o.lown(1, "up"), o.upper.clone().unwrap_or_default())?;
    Ok(())
}

/// Whatever is in the place of the work directory: replaced, or the mount does without.
fn workdir_create_over_anything(t: &T) -> R {
    let flags = t.fs != "tmpfs";
    for what in [
        "file",
        "link",
        "tree",
        "deep tree",
        "device",
        "fifo",
        "whiteout",
        "immutable",
    ] {
        let o = t.ovl()?;
        f::write(o.low("a"), "x")?;
        let p = o.work.clone().unwrap_or_default().join("work");
        match what {
            "file" => f::write(&p, "x")?,
            "link" => f::symlink("/etc", &p)?,
            "tree" | "deep tree" => {
                f::mkdirs(p.join("a/b"))?;
                f::write(p.join("a/f"), "x")?;
                f::whiteout(p.join("a/w"))?;
                if what == "deep tree" {
                    f::write(p.join("a/b/f"), "x")?;
                }
            }
            "device" => f::mknod(&p, FileType::CharacterDevice, 0o600, 1, 3)?,
            "fifo" => f::mknod(&p, FileType::Fifo, 0o600, 0, 0)?,
            "whiteout" => f::whiteout(&p)?,
            _ if flags => {
                f::mkdir(&p)?;
                f::write(p.join("in the way"), "x")?;
                sys::setflags(&f::open_ro(&p)?, 0x10)?;
            }
            _ => continue,
        }
        let mounted = o.mount();
        if what == "immutable" {
            sys::setflags(&f::open_ro(&p)?, 0)?;
        }
        mounted?;
        let usable = f::append(o.m("a"), "+");
        match what {
            // Deeper than what either module makes itself: it is not cleaned.
            "immutable" | "deep tree" => check_err!(usable, EROFS, "{what}"),
            "tree" => {
                usable?;
                check_eq!(o.work_entries()?, [""; 0], "{what}");
            }
            _ => usable?,
        }
        o.umount()?;
    }
    check!(
        f::stat("/etc")?.is_dir(),
        "nobody removed what the link named"
    );
    Ok(())
}

/// Every option twice and more, in mounts that succeed and in mounts that fail; the leak checker of
/// the debug kernel looks for what is forgotten.
fn parse_param_leaks_nothing(t: &T) -> R {
    let o = t.layers(2)?;
    let (l, u, w) = (o.low(""), o.up(""), o.work.clone().unwrap_or_default());
    let layers = format!(
        "lowerdir={0},lowerdir={0},upperdir={1},upperdir={1},workdir={2},workdir={2}",
        l.display(),
        u.display(),
        w.display()
    );
    let more = [
        "redirect_dir=on,redirect_dir=off,redirect_dir=follow",
        "index=on,index=off,metacopy=on,metacopy=off,xino=on,xino=off,uuid=null,uuid=on",
        "nfs_export=on,nfs_export=off,verity=off,fsync=strict,fsync=auto",
        "nosuchoption",
        "redirect_dir=nosuchvalue",
        "upperdir=/nosuchdir",
        "lowerdir=/nosuchdir",
        "lowerdir=",
        "lowerdir=:",
        "lowerdir=:::",
        "userxattr,redirect_dir=on",
        "metacopy=on,verity=require,userxattr",
    ];
    let (mut good, mut bad) = (0, 0);
    for _ in 0..t.scaled(20, 3) {
        for m in more {
            match o.mount_only(&format!("{layers},{m}")) {
                Ok(()) => {
                    good += 1;
                    o.umount()?;
                }
                Err(_) => bad += 1,
            }
        }
    }
    check!(good > 0 && bad > good, "{good} mounts, {bad} refused");
    Ok(())
}

/// An object without a name in memory is copied up through its handle, link by link.
fn copy_up_of_a_disconnected_file(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = format!("{OFF},redirect_dir=on,index=on,nfs_export=on");
    f::mkdir(o.low("d"))?;
    let n = t.scaled(20, 4);
    for i in 0..n {
        f::write(o.low(format!("d/{i}")), "x")?;
        if i % 2 == 0 {
            f::link(o.low(format!("d/{i}")), o.low(format!("d/{i}-too")))?;
        }
    }
    o.mount()?;
    let handles = (0..n)
        .map(|i| f::ctx(handle(&o.m(format!("d/{i}")), 0), "name_to_handle_at", "d"))
        .collect::<R<Vec<_>>>()?;
    drop_caches()?;
    let root = f::open_ro(o.root())?;
    for (i, h) in handles.iter().enumerate() {
        let r = open_handle(&root, h, libc::O_RDWR | libc::O_APPEND);
        let mut h = f::ctx(r, "open_by_handle_at", format!("{i}"))?;
        h.write_all(b"+")?;
        check_eq!(h.metadata()?.size(), 2);
    }
    drop(root);
    for round in 0..2 {
        for i in 0..n {
            check_eq!(f::text(o.m(format!("d/{i}")))?, "x+", "round {round}");
            let links = f::stat(o.m(format!("d/{i}")))?.nlink();
            check_eq!(links, 1 + (i + 1) % 2, "links of {i}, round {round}");
        }
        o.again()?;
    }
    Ok(())
}

/// An overlay as the lower of another one, both uppers on one file system: the copy-up of the
/// outer one must not hold its file system while the inner one copies up, or reads.
fn recursive_writers_in_nested_copy_up(t: &T) -> R {
    let inner = t.ovl()?;
    f::mkdir(inner.low("d"))?;
    for i in 0..6 {
        let h = f::open(
            inner.low(format!("d/{i}")),
            libc::O_CREAT | libc::O_RDWR,
            0o644,
        )?;
        f::pwrite(&h, 3 << 20, b"behind a hole")?;
    }
    inner.mount()?;
    let mut o = t.ovl()?;
    o.lowers = vec![inner.mnt.clone()];
    o.mount()?;
    let passed_over = of_changing_attributes(t);
    all(vec![
        Box::new(|| {
            (0..6).try_for_each(|i| -> R {
                // In-tree, the marks that the inner one sets may come between.
                while may(f::append(o.m(format!("d/{i}")), "+"), passed_over)?.is_none() {}
                let h = f::open_ro(o.m(format!("d/{i}")))?;
                check_eq!(f::pread(&h, 3 << 20, 100)?, b"behind a hole+");
                Ok(())
            })
        }) as Job<'_>,
        Box::new(|| {
            (0..6).try_for_each(|i| -> R {
                let h = f::open_ro(inner.m(format!("d/{i}")))?;
                let at = f::ctx(sys::lseek(&h, 0, libc::SEEK_DATA), "SEEK_DATA", "d")?;
                check!(at <= 3 << 20, "{at}");
                rustix::fs::syncfs(f::open_ro(inner.root())?)?;
                Ok(())
            })
        }),
        Box::new(|| {
            for i in (0..6).rev() {
                // A lower that changes; whichever of the two copies the outer one makes.
                f::chmod(inner.m(format!("d/{i}")), 0o600)?;
            }
            Ok(())
        }),
    ])?;
    o.umount()?;
    inner.umount()
}

/// The list of attributes while there are more and fewer of them.
fn listxattr_while_names_change(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::write(o.up("b"), "x")?;
    for n in ["a", "b"] {
        let p = if n == "a" { o.low(n) } else { o.up(n) };
        f::setxattr(&p, "user.stays", "1")?;
        f::setxattr(&p, "trusted.overlay.private", "1")?;
        f::setxattr(&p, "trusted.overlay.overlay.shown", "1")?;
    }
    o.mount()?;
    let stop = &AtomicBool::new(false);
    let rounds = t.scaled(100, 10);
    let o = &o;
    all(vec![
        Box::new(move || {
            let r = (0..rounds).try_for_each(|_| -> R {
                for p in [o.low("a"), o.up("b")] {
                    f::setxattr(&p, "user.a-rather-long-name-that-comes-and-goes", "1")?;
                    f::setxattr(&p, "trusted.overlay.another", "1")?;
                    f::removexattr(&p, "user.a-rather-long-name-that-comes-and-goes")?;
                    f::removexattr(&p, "trusted.overlay.another")?;
                }
                Ok(())
            });
            stop.store(true, Ordering::SeqCst);
            r
        }) as Job<'_>,
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                for n in ["a", "b"] {
                    let p = o.m(n);
                    // Buffers that are too small, just right, and large.
                    for size in [0usize, 1, 12, 44, 46, 90, 4096] {
                        let mut b = vec![0u8; size];
                        let r = rustix::fs::llistxattr(&p, &mut b[..]);
                        let Some(k) = may(f::ctx(r, "listxattr", &p), &[libc::ERANGE])? else {
                            continue;
                        };
                        if size == 0 {
                            continue;
                        }
                        let names: Vec<&[u8]> = b[..k].split_inclusive(|c| *c == 0).collect();
                        check!(names.iter().all(|n| n.ends_with(b"\0")), "{names:?}");
                        check!(names.contains(&&b"user.stays\0"[..]), "{names:?}");
                        check!(
                            names.contains(&&b"trusted.overlay.shown\0"[..])
                                || names.contains(&&b"trusted.overlay.overlay.shown\0"[..]),
                            "{names:?}"
                        );
                        check!(
                            !names
                                .iter()
                                .any(|n| n.starts_with(b"trusted.overlay.private")),
                            "{names:?}"
                        );
                    }
                }
            }
            Ok(())
        }),
    ])
}

/// Everything that wants the real file, on a descriptor that has none, before and after copy-up.
fn real_file_of_a_path_descriptor(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), f::pattern(1, 9000))?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    for round in 0..2 {
        for n in ["a", "d"] {
            let h = f::open(o.m(n), libc::O_PATH, 0)?;
            check_err!(f::ctx(sys::lseek(&h, 0, libc::SEEK_END), "", ""), EBADF);
            check_err!(f::pread(&h, 0, 10), EBADF);
            check_err!(f::ctx(rustix::fs::fsync(&h), "", ""), EBADF);
            check_err!(f::ctx(sys::getflags(&h), "", ""), EBADF);
            check_err!(f::ctx(sys::map_ro(&h, 4096).map(drop), "", ""), EBADF);
            check_err!(f::ctx(sys::readahead(&h, 0, 4096), "", ""), EBADF);
            check!(h.metadata().is_ok(), "round {round}");
        }
        // And on one that was opened for reading before the copy-up.
        let old = f::open_ro(o.m("a"))?;
        f::append(o.m("a"), "+")?;
        f::chmod(o.m("d"), 0o700 + round)?;
        rustix::fs::fsync(&old)?;
        check_eq!(
            f::ctx(sys::lseek(&old, 0, libc::SEEK_HOLE), "SEEK_HOLE", "a")? as u64,
            9000 + u64::from(round) + 1
        );
        check_eq!(f::pread(&old, 9000, 10)?.len(), round as usize + 1);
        f::unlink(o.up("a"))?;
        rustix::fs::fsync(&old)?;
        f::pread(&old, 0, 10)?;
        drop(old);
        o.umount()?;
        f::write(o.up("a"), f::pattern(1, 9001))?;
        o.mount()?;
    }
    Ok(())
}

/// Files whose contents the kernel makes while they are read, as a layer: read, spliced, sent and
/// copied up.
fn splice_and_seq_read_of_kernel_files(t: &T) -> R {
    let mut o = t.ovl()?;
    o.lowers = vec!["/sys/kernel".into()];
    o.mount()?;
    let names = ["mm/transparent_hugepage/enabled", "fscaps", "notes"];
    let mut some = 0;
    for n in names {
        let Some(h) = may(f::open_ro(o.m(n)), &[libc::ENOENT])? else {
            continue;
        };
        let direct = f::read(Path::new("/sys/kernel").join(n))?;
        let (r, w) = rustix::pipe::pipe()?;
        let k = rustix::pipe::splice(
            h.as_fd(),
            None,
            &w,
            None,
            4096,
            rustix::pipe::SpliceFlags::empty(),
        )?;
        drop(w);
        let mut got = Vec::new();
        File::from(r).read_to_end(&mut got)?;
        check_eq!(got.len(), k);
        check!(direct.starts_with(&got) && k > 0, "{n}: {got:?}");
        // Into a file of the same overlay.
        let out = f::open(
            o.m("out"),
            libc::O_CREAT | libc::O_TRUNC | libc::O_RDWR,
            0o600,
        )?;
        let h = f::open_ro(o.m(n))?;
        let k = rustix::fs::sendfile(&out, &h, None, 4096)?;
        check_eq!(f::read(o.m("out"))?, direct[..k]);
        let (size, mode) = (f::stat(o.m(n))?.size(), f::mode(o.m(n))?);
        f::chmod(o.m(n), 0o600)?;
        check_eq!(f::stat(o.up(n))?.size(), size, "as long as it said");
        check_eq!(
            f::mode(Path::new("/sys/kernel").join(n))?,
            mode,
            "untouched"
        );
        some += 1;
    }
    check!(some > 0, "none of {names:?} is there");
    o.umount()
}

/// Names that go while they are looked up and let go of by everybody at once.
fn fast_dput_of_dropped_names(t: &T) -> R {
    let o = t.layers(2)?;
    for i in 0..8 {
        f::mkdirs(o.lown(1, format!("d/{i}/e")))?;
        f::write(o.lown(1, format!("d/{i}/e/f")), "x")?;
    }
    o.mount()?;
    let rounds = t.scaled(20, 4);
    let stop = &AtomicBool::new(false);
    let o = &o;
    let gone = [libc::ENOENT, libc::ESTALE];
    all(vec![
        Box::new(move || {
            let r = (0..rounds).try_for_each(|_| -> R {
                for i in 0..8 {
                    let p = o.m(format!("d/{i}"));
                    let h = f::open_ro(p.join("e/f"))?;
                    f::unlink(p.join("e/f"))?;
                    f::rmdir(p.join("e"))?;
                    f::write("/proc/sys/vm/drop_caches", "2")?;
                    check_eq!(f::pread(&h, 0, 9)?, b"x");
                    f::mkdir(p.join("e"))?;
                    f::write(p.join("e/f"), "x")?;
                }
                Ok(())
            });
            stop.store(true, Ordering::SeqCst);
            r
        }) as Job<'_>,
        Box::new(move || {
            while !stop.load(Ordering::SeqCst) {
                for i in 0..8 {
                    may(f::stat(o.m(format!("d/{i}/e/f"))), &gone)?;
                    may(f::stat(o.m(format!("d/{i}/e/none"))), &gone)?;
                    may(f::ls(o.m(format!("d/{i}/e"))), &gone)?;
                }
            }
            Ok(())
        }),
    ])?;
    check_eq!(f::ls(o.m("d"))?.len(), 8);
    for i in 0..8 {
        check_eq!(f::text(o.m(format!("d/{i}/e/f")))?, "x");
    }
    Ok(())
}

/// Directories of file systems that have no lookup of their own, or none that can be stacked.
fn lookup_in_a_lower_that_cannot(t: &T) -> R {
    let o = t.ovl_ro(2)?;
    for p in ["/proc/self/fd", "/proc/self/ns", "/proc/self/task"] {
        let mut p2 = o.clone();
        p2.lowers[1] = p.into();
        check_err!(p2.mount(), EINVAL, "{p}");
    }
    // A directory that would mount something when it is entered, below a layer that can be mounted.
    if f::exists("/sys/kernel/tracing")? && f::exists("/sys/kernel/debug")? {
        let mut p2 = o.clone();
        p2.lowers[1] = "/sys/kernel".into();
        p2.mount()?;
        may(
            f::stat(p2.m("debug/tracing")),
            &[libc::EREMOTE, libc::ENOENT],
        )?;
        f::ls(p2.root())?;
        p2.umount()?;
    }
    Ok(())
}

/// Layers by descriptors whose mount was taken away meanwhile.
fn clone_of_a_mount_that_is_gone(t: &T) -> R {
    let p = t.tmpfs("gone", "size=1m")?;
    f::mkdirs(p.join("l"))?;
    let h = f::open(p.join("l"), libc::O_PATH | libc::O_DIRECTORY, 0)?;
    rustix::mount::unmount(&p, rustix::mount::UnmountFlags::DETACH)?;
    let mut o = t.ovl_ro(2)?;
    use std::os::fd::AsRawFd;
    o.lowers[1] = format!("/proc/self/fd/{}", h.as_raw_fd()).into();
    check_err!(o.mount(), EINVAL, "a mount that is nowhere");
    drop(h);
    o.lowers.pop();
    o.lowers.push(t.p("gone"));
    o.mount()?;
    o.umount()
}

/// Handles of objects whose names are gone, in both layers.
fn encode_handle_of_a_removed_object(t: &T) -> R {
    for opts in [
        "index=off,nfs_export=off",
        "redirect_dir=on,index=on,nfs_export=on",
    ] {
        let mut o = t.ovl()?;
        o.opts = format!("metacopy=off,xino=off,{opts}");
        for n in ["low", "up"] {
            f::write(o.low(n), n)?;
            f::mkdir(o.low(format!("{n}dir")))?;
        }
        o.mount()?;
        f::append(o.m("up"), "+")?;
        f::chmod(o.m("updir"), 0o700)?;
        f::write(o.m("pure"), "x")?;
        let names = ["low", "up", "lowdir", "updir", "pure"];
        let hs = names
            .iter()
            .map(|n| f::open(o.m(n), libc::O_PATH, 0))
            .collect::<R<Vec<_>>>()?;
        for n in names {
            if n.ends_with("dir") {
                f::rmdir(o.m(n))?;
            } else {
                f::unlink(o.m(n))?;
            }
        }
        use std::os::fd::AsRawFd;
        for (n, h) in names.iter().zip(&hs) {
            // Through the descriptor, as the name is gone; with and without being able to open it.
            let p = PathBuf::from(format!("/proc/self/fd/{}", h.as_raw_fd()));
            for flags in [libc::AT_SYMLINK_FOLLOW, libc::AT_SYMLINK_FOLLOW | 0x200] {
                match handle(&p, flags) {
                    Ok(h) => check!(!h.bytes.is_empty(), "{n}"),
                    Err(e) => check!(
                        [
                            Some(libc::EOPNOTSUPP),
                            Some(libc::EOVERFLOW),
                            Some(libc::EIO),
                            Some(libc::ESTALE),
                            Some(libc::ENOENT)
                        ]
                        .contains(&e.raw_os_error()),
                        "{n}: {e}"
                    ),
                }
            }
        }
        drop(hs);
        o.umount()?;
    }
    Ok(())
}
