// SPDX-License-Identifier: GPL-2.0
//! Objects whose name goes, or whose operation fails, while they are in use; layers changed behind
//! the overlay's back.

use super::*;
use crate::suite::userns::mount_with;

cases! { "security";
    cve_2015_8953_nothing_stays_behind;
    cve_2016_6197_rename_onto_other_link;
    cve_2016_6198_upper_changed_behind;
    cve_2019_15794_failed_mmap;
    cve_2021_20321_entry_gone_behind;
    cve_2021_46972_refused_tmpfile;
    cve_2023_1252_aio_while_it_goes;
    cve_2025_21654_watched_object_without_a_name;
    cve_2025_21887_revalidation;
    upper_swapped_for_a_symlink;
    lower_swapped_for_a_symlink;
}

fn cve_2015_8953_nothing_stays_behind(t: &T) -> R {
    // Failed copy-ups of all kinds; the runner unmounts, and notices what is still held.
    let o = with_root_file(t, 0o666)?;
    f::symlink("x", o.low("etc/link"))?;
    f::mknod(o.low("etc/fifo"), FileType::Fifo, 0o666, 0, 0)?;
    f::mkdir(o.low("etc/dir"))?;
    f::chmod(o.low("etc"), 0o777)?;
    as_is(|| {
        mount_with(&o, "userxattr")?;
        for _ in 0..50 {
            for n in ["passwd", "link", "fifo", "dir"] {
                let p = o.m("etc").join(n);
                check!(f::rename(&p, o.m("moved")).is_err());
                check!(f::link(&p, o.m("linked")).is_err());
                check!(f::utimes(&p, (1, 0), (1, 0)).is_err());
            }
            check!(f::append(o.m("etc/passwd"), "x").is_err());
            check!(f::open(o.m("etc"), libc::O_TMPFILE | libc::O_RDWR, 0o600).is_err());
        }
        o.umount()
    })?;
    check_eq!(f::ls(o.up(""))?, [""; 0]);
    Ok(())
}

fn cve_2016_6197_rename_onto_other_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::link(o.m("a"), o.m("b"))?;
    for _ in 0..3 {
        f::rename(o.m("a"), o.m("b"))?;
        check_eq!(f::ls(o.root())?, ["a", "b"], "links of one file stay");
    }
    f::rename2(o.m("a"), o.m("b"), RenameFlags::EXCHANGE)?;
    // Made into two names of one file behind the overlay's back.
    f::write(o.m("c"), "c")?;
    f::write(o.m("d"), "d")?;
    f::unlink(o.up("d"))?;
    f::link(o.up("c"), o.up("d"))?;
    check_err!(f::rename(o.m("c"), o.m("d")), ESTALE);
    check_err!(f::unlink(o.m("d")), ESTALE);
    Ok(())
}

fn cve_2016_6198_upper_changed_behind(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    for n in ["gone", "other", "moved"] {
        f::write(o.m(n), n)?;
    }
    f::mkdir(o.m("dir"))?;
    f::unlink(o.up("gone"))?;
    f::unlink(o.up("other"))?;
    f::write(o.up("other"), "another file")?;
    f::rename(o.up("moved"), o.up("dir/moved"))?;
    let refused = |r: R| match crate::check::outcome(&r).as_str() {
        "ENOENT" | "ESTALE" => Ok(()),
        other => Err(anyhow::anyhow!("expected ENOENT or ESTALE, got {other}")),
    };
    for n in ["gone", "other", "moved"] {
        refused(f::rename(o.m(n), o.m("x")))?;
        refused(f::unlink(o.m(n)))?;
    }
    check_eq!(f::text(o.up("other"))?, "another file", "nobody touched it");
    Ok(())
}

fn cve_2019_15794_failed_mmap(t: &T) -> R {
    // The files of a control group cannot be mapped; the overlay's file must survive the refusal.
    let mut o = t.ovl_ro(1)?;
    let cgroup = PathBuf::from("/sys/fs/cgroup");
    if !f::exists(cgroup.join("cgroup.procs"))? {
        return Err(Skip("no control groups are mounted".into()).into());
    }
    o.lowers.push(cgroup);
    o.mount()?;
    let h = f::open_ro(o.m("cgroup.controllers"))?;
    for _ in 0..20 {
        check_err!(sys::map_ro(&h, 4096), ENODEV);
    }
    f::pread(&h, 0, 16)?;
    drop(h);
    o.umount()
}

fn cve_2021_20321_entry_gone_behind(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    f::mkdir(o.low("dir"))?;
    o.mount()?;
    f::write(o.m("a"), "x")?;
    f::append(o.m("low"), "+")?;
    f::write(o.m("dir/b"), "x")?;
    for n in ["a", "low", "dir/b"] {
        f::unlink(o.up(n))?;
        check_err!(f::rename(o.m(n), o.m("to")), ENOENT, "{n}");
    }
    f::write(o.m("c"), "x")?;
    f::write(o.m("d"), "x")?;
    f::unlink(o.up("d"))?;
    check_err!(f::rename(o.m("c"), o.m("d")), ESTALE, "the target");
    check_err!(
        f::rename2(o.m("c"), o.m("d"), RenameFlags::EXCHANGE),
        ENOENT
    );
    Ok(())
}

fn cve_2021_46972_refused_tmpfile(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    let d = o.m("d");
    for _ in 0..20 {
        let r = sys::as_user(1000, 1000, || {
            f::open(&d, libc::O_TMPFILE | libc::O_RDWR, 0o600).map(drop)
        });
        check_err!(r, EACCES);
        drop(f::open(&d, libc::O_TMPFILE | libc::O_RDWR, 0o600)?);
        check_err!(f::open(&d, libc::O_TMPFILE, 0o600), EINVAL);
    }
    o.umount()?;
    check_eq!(f::ls(o.up("d"))?, [""; 0]);
    Ok(())
}

fn cve_2023_1252_aio_while_it_goes(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..8 {
        f::write(o.low(format!("f{i}")), f::pattern(i, 1 << 16))?;
    }
    o.mount()?;
    for i in 0..8u64 {
        let p = o.m(format!("f{i}"));
        let h = match i % 2 {
            0 => f::open_rw(&p)?,
            _ => f::open(&p, libc::O_RDWR | libc::O_DIRECT, 0).or_else(|_| f::open_rw(&p))?,
        };
        f::unlink(&p)?;
        let aio = sys::Aio::new(8)?;
        let (mut a, mut b) = (sys::aligned(4096)?, sys::aligned(4096)?);
        a.fill(i as u8);
        let mut reqs = [
            (0, sys::Io::Write(&a[..])),
            (8192, sys::Io::Read(&mut b[..])),
        ];
        check_eq!(aio.run(&h, &mut reqs)?, [4096, 4096]);
        check_eq!(b.to_vec(), f::pattern(i, 1 << 16)[8192..12288].to_vec());
    }
    o.umount()
}

fn cve_2025_21654_watched_object_without_a_name(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("low"), "x")?;
    o.mount()?;
    f::write(o.m("up"), "x")?;
    for n in ["low", "up"] {
        let w = sys::Inotify::watch(&o.m(n), libc::IN_ALL_EVENTS)?;
        let told = format!("/proc/self/fdinfo/{}", w.fd());
        check!(f::text(&told)?.contains("inotify wd:"), "{n}");
        // Without a dentry, the inode is still watched.
        drop_caches()?;
        check!(
            f::text(&told)?.contains("inotify wd:"),
            "{n} without a dentry"
        );
        let h = f::open_ro(o.m(n))?;
        f::unlink(o.m(n))?;
        drop(h);
        f::text(&told)?;
        drop_caches()?;
        f::text(&told)?;
    }
    Ok(())
}

fn cve_2025_21887_revalidation(t: &T) -> R {
    let o = t.ovl()?;
    for i in 0..200 {
        f::write(o.low(format!("f{i}")), "x")?;
    }
    o.mount()?;
    let root = o.root().to_path_buf();
    let reader = std::thread::spawn(move || {
        for _ in 0..5 {
            for i in 0..200 {
                let _ = std::fs::metadata(root.join(format!("f{i}")));
                let _ = std::fs::metadata(root.join(format!("f{i}/x")));
            }
        }
    });
    for i in 0..200 {
        f::append(o.m(format!("f{i}")), "+")?;
        if i % 50 == 0 {
            f::write("/proc/sys/vm/drop_caches", "2")?;
        }
        if i % 2 == 0 {
            f::unlink(o.m(format!("f{i}")))?;
        }
    }
    reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader died"))?;
    o.umount()
}

fn upper_swapped_for_a_symlink(t: &T) -> R {
    // The owner of the upper turns a directory into a link to where the owner may not write.
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/a"), "x")?;
    f::mkdir(t.p("target"))?;
    o.mount()?;
    f::write(o.m("d/new"), "x")?;
    f::rename(o.up("d"), o.up("was"))?;
    f::symlink(t.p("target"), o.up("d"))?;
    // Whatever these say, they work on the directory that was opened, or on nothing.
    let _ = f::append(o.m("d/a"), "+");
    let _ = f::write(o.m("d/other"), "x");
    let _ = f::rename(o.m("d/new"), o.m("d/third"));
    check_eq!(f::ls(t.p("target"))?, [""; 0]);
    Ok(())
}

fn lower_swapped_for_a_symlink(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::mkdir(t.p("target"))?;
    f::write(t.p("target/secret"), "x")?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, [""; 0]);
    f::rmdir(o.low("d"))?;
    f::symlink(t.p("target"), o.low("d"))?;
    drop_caches()?;
    check_eq!(
        f::readlink(o.m("d"))?,
        t.p("target"),
        "a link to follow by the user"
    );
    check!(f::stat(o.m("d"))?.file_type().is_symlink());
    Ok(())
}
