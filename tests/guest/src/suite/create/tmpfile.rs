// SPDX-License-Identifier: GPL-2.0
//! Files without a name, and the name that they get later.

use super::*;

cases! { "create";
    tmpfile;
    tmpfile_link;
    tmpfile_excl_cannot_be_linked;
    tmpfile_in_lower_dir;
    tmpfile_owner_and_mode;
    tmpfile_link_over_whiteout;
}

const TMP: i32 = libc::O_TMPFILE | libc::O_RDWR;

fn link_fd(h: &File, to: PathBuf) -> R {
    use std::os::fd::AsRawFd;
    let r = rustix::fs::linkat(
        rustix::fs::CWD,
        format!("/proc/self/fd/{}", h.as_raw_fd()),
        rustix::fs::CWD,
        &to,
        rustix::fs::AtFlags::SYMLINK_FOLLOW,
    );
    f::ctx(r, "linkat of a descriptor to", to)
}

fn tmpfile(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP, 0o600)?;
    f::pwrite(&h, 0, "data")?;
    check_eq!(f::pread(&h, 0, 10)?, b"data");
    check_eq!(h.metadata()?.nlink(), 0);
    check_eq!(h.metadata()?.size(), 4);
    check_eq!(f::ls(o.root())?, [""; 0]);
    check_eq!(o.work_entries()?, [""; 0]);
    Ok(())
}

fn tmpfile_link(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP, 0o640)?;
    f::pwrite(&h, 0, "data")?;
    link_fd(&h, o.m("named"))?;
    check_eq!(f::text(o.m("named"))?, "data");
    check_eq!(h.metadata()?.nlink(), 1);
    check_eq!(
        h.metadata()?.ino(),
        f::stat(o.m("named"))?.ino(),
        "the same object"
    );
    f::pwrite(&h, 4, "+")?;
    check_eq!(f::text(o.m("named"))?, "data+");
    check_eq!(f::text(o.up("named"))?, "data+");
    check_eq!(f::mode(o.m("named"))?, 0o640);
    drop(h);
    o.again()?;
    check_eq!(f::text(o.m("named"))?, "data+");
    Ok(())
}

fn tmpfile_excl_cannot_be_linked(t: &T) -> R {
    let o = t.ovl()?;
    o.mount()?;
    let h = f::open(o.root(), TMP | libc::O_EXCL, 0o600)?;
    check_err!(link_fd(&h, o.m("named")), ENOENT);
    Ok(())
}

fn tmpfile_in_lower_dir(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdirs(o.low("d/e"))?;
    o.mount()?;
    let h = f::open(o.m("d/e"), TMP, 0o600)?;
    check!(o.in_upper("d/e")?, "the directory was copied up");
    f::pwrite(&h, 0, "x")?;
    link_fd(&h, o.m("d/e/named"))?;
    check_eq!(f::ls(o.m("d/e"))?, ["named"]);
    Ok(())
}

fn tmpfile_owner_and_mode(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::chmod(o.low("d"), 0o777)?;
    o.mount()?;
    let d = o.m("d");
    sys::as_user(1000, 2000, || {
        sys::umask(0o027);
        let h = f::open(&d, TMP, 0o666)?;
        let m = h.metadata()?;
        check_eq!((m.uid(), m.gid(), m.mode() & 0o7777), (1000, 2000, 0o640));
        link_fd(&h, d.join("named"))
    })?;
    let m = f::stat(o.up("d/named"))?;
    check_eq!(
        (m.uid(), m.gid(), m.mode() & 0o7777),
        (1000, 2000, 0o640),
        "in the upper"
    );
    Ok(())
}

fn tmpfile_link_over_whiteout(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "old")?;
    o.mount()?;
    f::unlink(o.m("a"))?;
    let h = f::open(o.root(), TMP, 0o600)?;
    f::pwrite(&h, 0, "new")?;
    link_fd(&h, o.m("a"))?;
    check_eq!(f::text(o.m("a"))?, "new");
    drop(h);
    o.again()?;
    check_eq!(f::text(o.m("a"))?, "new");
    Ok(())
}
