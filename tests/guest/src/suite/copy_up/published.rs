// SPDX-License-Identifier: GPL-2.0
//! How the copy gets its place and its marks, and what is left when it does not.

use super::*;

cases! { "copy_up";
    origin_xattr_of_file;
    origin_xattr_of_dir;
    no_origin_for_lower_hard_links;
    impure_parent;
    hard_links_break;
    from_middle_lower;
    lower_file_untouched;
    no_space;
    killed;
    name_taken_below_is_not_replaced;
    upper_removed_name_does_not_come_back;
    many_files;
    no_trace_in_workdir;
    fsync_modes;
}

fn origin_xattr_of_file(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    let v = o.xattr("a", "origin")?.unwrap_or_default();
    check!(v.len() > 21, "origin has a handle: {v:02x?}");
    check_eq!(
        (v[0], v[1], v[2] as usize),
        (0, 0xfb, v.len()),
        "version, magic, length"
    );
    Ok(())
}

fn origin_xattr_of_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    o.mount()?;
    f::chmod(o.m("d"), 0o700)?;
    let v = o.xattr("d", "origin")?.unwrap_or_default();
    check!(v.len() > 21, "origin has a handle: {v:02x?}");
    check_eq!(
        (v[0], v[1], v[2] as usize),
        (0, 0xfb, v.len()),
        "version, magic, length"
    );
    Ok(())
}

fn no_origin_for_lower_hard_links(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    f::append(o.m("a"), "y")?;
    check_eq!(o.xattr("a", "origin")?, None);
    Ok(())
}

fn impure_parent(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    o.mount()?;
    f::append(o.m("d/e/a"), "y")?;
    for p in ["", "d", "d/e"] {
        check_eq!(
            o.xattr(p, "impure")?,
            Some(b"y".to_vec()),
            "impure of '{p}'"
        );
    }
    Ok(())
}

fn hard_links_break(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "x")?;
    f::link(o.low("a"), o.low("b"))?;
    o.mount()?;
    check_eq!(f::stat(o.m("a"))?.nlink(), 2);
    f::append(o.m("a"), "y")?;
    check_eq!(
        (f::text(o.m("a"))?, f::text(o.m("b"))?),
        ("xy".into(), "x".into())
    );
    check_eq!(
        (f::stat(o.m("a"))?.nlink(), f::stat(o.m("b"))?.nlink()),
        (1, 2),
        "link counts"
    );
    check_ne!(
        f::stat(o.m("a"))?.ino(),
        f::stat(o.m("b"))?.ino(),
        "two objects now"
    );
    Ok(())
}

fn from_middle_lower(t: &T) -> R {
    let o = t.layers(3)?;
    f::mkdir(o.lown(1, "d"))?;
    f::mkdir(o.lown(2, "d"))?;
    f::write(o.lown(1, "d/a"), "middle")?;
    f::write(o.lown(2, "d/a"), "bottom")?;
    o.mount()?;
    f::append(o.m("d/a"), "+")?;
    check_eq!(f::text(o.m("d/a"))?, "middle+");
    check_eq!(f::text(o.lown(1, "d/a"))?, "middle");
    Ok(())
}

fn lower_file_untouched(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("d/e/a"), "x")?;
    f::write(o.low("d/b"), "x")?;
    f::symlink("x", o.low("d/l"))?;
    f::setxattr(o.low("d/b"), "user.a", "b")?;
    let before = tree::snapshot(o.low(""), tree::ALL)?;
    o.mount()?;
    f::append(o.m("d/e/a"), "y")?;
    f::setxattr(o.m("d/b"), "user.c", "d")?;
    f::rename(o.m("d/b"), o.m("d/e/b"))?;
    f::unlink(o.m("d/l"))?;
    f::chmod(o.m("d"), 0o700)?;
    f::mkdir(o.m("d/new"))?;
    o.umount()?;
    tree::same(
        "the lower layer",
        &before,
        &tree::snapshot(o.low(""), tree::ALL)?,
    )
}

fn no_space(t: &T) -> R {
    let mut o = t.ovl()?;
    let data = f::pattern(1, 6 << 20);
    f::write(o.low("a"), &data)?;
    let small = t.tmpfs("small", "size=2m")?;
    f::mkdir(small.join("u"))?;
    f::mkdir(small.join("w"))?;
    o.upper = Some(small.join("u"));
    o.work = Some(small.join("w"));
    o.mount()?;
    check_err!(f::open_rw(o.m("a")), ENOSPC);
    check_err!(f::chmod(o.m("a"), 0o600), ENOSPC);
    check!(!o.in_upper("a")?, "nothing is published");
    check_eq!(o.work_entries()?, [""; 0]);
    check!(f::read(o.m("a"))? == data, "the lower file still shows");
    f::write(o.m("small"), "there is room for this")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

fn killed(t: &T) -> R {
    let o = t.ovl_nonsamefs()?;
    let size = t.scaled(80 << 20, 24 << 20);
    {
        let mut h = f::open(o.low("a"), libc::O_CREAT | libc::O_WRONLY, 0o644)?;
        let chunk = f::pattern(4, 1 << 20);
        for _ in 0..size >> 20 {
            h.write_all(&chunk)?;
        }
    }
    o.mount()?;
    let free = || -> R<u64> {
        let s = rustix::fs::statvfs(o.up(""))?;
        Ok(s.f_bavail * s.f_frsize)
    };
    for round in 0..20 {
        let before = free()?;
        let a = o.m("a");
        let mut c = sys::spawn(move || f::open_rw(&a).map(|_| "done".into()))?;
        // Not before the copying has begun.
        for _ in 0..100_000 {
            if before.saturating_sub(free()?) >= 1 << 20 {
                break;
            }
            std::thread::yield_now();
        }
        c.kill(libc::SIGKILL)?;
        if let sys::End::Died(_) = c.wait(300)? {
            check!(!o.in_upper("a")?, "a killed copy-up publishes nothing");
            check_eq!(
                o.work_entries()?,
                [""; 0],
                "a killed copy-up leaves nothing"
            );
            check_eq!(f::stat(o.m("a"))?.size(), size);
            f::append(o.m("a"), "+")?;
            check_eq!(
                f::stat(o.up("a"))?.size(),
                size + 1,
                "the next one succeeds"
            );
            return Ok(());
        }
        check!(
            o.in_upper("a")?,
            "round {round}: neither killed nor copied up"
        );
        o.umount()?;
        f::unlink(o.up("a"))?;
        o.mount()?;
    }
    anyhow::bail!("no copy-up of {size} bytes could be interrupted in 20 rounds")
}

fn name_taken_below_is_not_replaced(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("a"), "lower")?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    o.mount()?;
    for n in ["a", "p", "d"] {
        f::stat(o.m(n))?;
        // Behind the overlay's back, after its lookup.
        f::write(o.up(n), "intruder")?;
        let r = f::chmod(o.m(n), 0o700);
        check!(
            r.is_err(),
            "copy-up of {n} to a name that was taken in the upper"
        );
        check_eq!(f::text(o.up(n))?, "intruder", "what took the name {n}");
    }
    Ok(())
}

fn upper_removed_name_does_not_come_back(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "lower")?;
    o.mount()?;
    f::append(o.m("a"), "+")?;
    f::unlink(o.m("a"))?;
    check_err!(f::stat(o.m("a")), ENOENT);
    check!(o.is_whiteout("a")?);
    o.again()?;
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

fn many_files(t: &T) -> R {
    let o = t.ovl()?;
    let n = t.scaled(100, 20);
    f::mkdir(o.low("d"))?;
    for i in 0..n {
        f::write(o.low(format!("d/{i}")), format!("{i}"))?;
    }
    o.mount()?;
    for i in 0..n {
        f::append(o.m(format!("d/{i}")), "+")?;
    }
    for i in 0..n {
        check_eq!(f::text(o.m(format!("d/{i}")))?, format!("{i}+"));
        check_eq!(f::text(o.low(format!("d/{i}")))?, format!("{i}"));
    }
    check_eq!(f::ls(o.m("d"))?.len() as u64, n);
    Ok(())
}

fn no_trace_in_workdir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    f::write(o.low("a"), "x")?;
    f::symlink("x", o.low("l"))?;
    f::mknod(o.low("p"), FileType::Fifo, 0o644, 0, 0)?;
    o.mount()?;
    for n in ["a", "d/e", "p"] {
        f::chmod(o.m(n), 0o700)?;
    }
    f::chown(o.m("l"), 1, 1)?;
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn fsync_modes(t: &T) -> R {
    for mode in ["fsync=auto", "fsync=strict"] {
        let o = t.ovl()?;
        f::mkdir(o.low("d"))?;
        f::write(o.low("d/a"), "x")?;
        o.mount_with(mode)?;
        f::append(o.m("d/a"), "y")?;
        check_eq!(f::text(o.m("d/a"))?, "xy", "{mode}");
        o.umount()?;
    }
    Ok(())
}
