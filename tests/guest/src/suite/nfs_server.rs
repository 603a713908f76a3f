// SPDX-License-Identifier: GPL-2.0
//! A real NFS server on top: an overlay exported by the kernel's server and mounted back over the
//! loopback interface, with two versions of the protocol (F12, F108).

use super::export::kinds;
use super::prelude::*;
use crate::check::Errno;
use crate::tools::Nfsd;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

cases! { "nfs_server";
    walk_3.only_fs(ONE, WHY);
    walk_4;
    write_3.only_fs(ONE, WHY);
    write_4;
    rename_and_remove_3.only_fs(ONE, WHY);
    rename_and_remove_4.only_fs(ONE, WHY);
    handles_outlive_caches_3.only_fs(ONE, WHY);
    handles_outlive_caches_4.only_fs(ONE, WHY);
    server_restarts_3.only_fs(ONE, WHY);
    server_restarts_4.only_fs(ONE, WHY);
    overlay_remounted_3.only_fs(ONE, WHY);
    overlay_remounted_4;
    hard_links_3.only_fs(ONE, WHY);
    hard_links_4.only_fs(ONE, WHY);
    locks_4.only_fs(ONE, WHY);
    read_only_stack_3.only_fs(ONE, WHY);
    read_only_stack_4.only_fs(ONE, WHY);
    removed_behind_the_client_3.only_fs(ONE, WHY);
    removed_behind_the_client_4.only_fs(ONE, WHY);
    not_without_nfs_export.only_fs(ONE, WHY);
    subtree_check.only_fs(ONE, WHY);
}

/// These tests take long, and most of what they see are other layers than the upper.
const ONE: &[&str] = &["ext4"];
const WHY: &str = "some of the tests of a server run on all, most on one";

/// An overlay, its server, and a client's mount of it.
struct Exported {
    server: Nfsd,
    o: Ovl,
    client: PathBuf,
    version: &'static str,
}

impl Exported {
    /// Mounts an overlay of these layers and serves it.
    fn of(t: &T, o: Ovl, version: &'static str) -> R<Self> {
        o.mount()?;
        let mut server = Nfsd::start(&t.dir)?;
        server.export(&o.mnt, "fsid=88")?;
        let client = t.p("client");
        server.mount(&o.mnt, &client, version)?;
        Ok(Self {
            server,
            o,
            client,
            version,
        })
    }

    /// A path as the client has it.
    fn c(&self, p: impl AsRef<Path>) -> PathBuf {
        self.client.join(p)
    }

    /// Neither side remembers anything, except for what is open.
    fn forget(&self) -> R {
        drop_caches()?;
        drop_caches()
    }

    /// The client unmounts and mounts again: it asks for everything anew.
    fn new_client(&self) -> R {
        f::ctx(
            rustix::mount::unmount(&self.client, rustix::mount::UnmountFlags::empty()),
            "unmount",
            &self.client,
        )?;
        self.server.mount(&self.o.mnt, &self.client, self.version)
    }

    /// Client and server see the same tree.
    #[track_caller]
    fn same(&self, what: &str) -> R {
        let (here, there) = (seen(&self.o.mnt)?, seen(&self.client)?);
        check!(here.len() > 1, "there is something to compare");
        tree::same(what, &here, &there)
    }
}

/// Two lowers with something of every kind in the lower one, exported.
fn layers(t: &T) -> R<Ovl> {
    let mut o = t.layers(2)?;
    o.opts = format!("{OFF},redirect_dir=on,index=on,nfs_export=on");
    kinds(&o.lown(1, ""))?;
    f::mkdirs(o.lown(0, "dir/sub"))?;
    f::write(o.lown(0, "dir/above"), "above")?;
    f::mkdirs(o.lown(1, "deep/a/b/c"))?;
    f::write(o.lown(1, "deep/a/b/c/file"), "deep")?;
    f::write(o.lown(1, "big"), f::pattern(3, 300_000))?;
    f::write(o.lown(1, "covered"), "covered")?;
    f::whiteout(o.lown(0, "covered"))?;
    f::mkdir(o.up("upper"))?;
    f::write(o.up("upper/file"), "upper")?;
    for i in 0..40 {
        f::write(o.lown(1, format!("deep/n{i}")), "x")?;
        f::write(o.up(format!("upper/n{i}")), "x")?;
    }
    Ok(o)
}

fn exported(t: &T, version: &'static str) -> R<Exported> {
    Exported::of(t, layers(t)?, version)
}

/// What NFS has to tell of a tree: all but extended attributes.
fn seen(root: &Path) -> R<tree::Tree> {
    let mut all = BTreeMap::new();
    for e in walkdir::WalkDir::new(root) {
        let e = e?;
        let m = f::stat(e.path())?;
        let mut s = format!(
            "{:o} {}:{} ino={} mtime={}.{:09} rdev={}",
            m.mode(),
            m.uid(),
            m.gid(),
            m.ino(),
            m.mtime(),
            m.mtime_nsec(),
            m.rdev()
        );
        if !m.is_dir() {
            s += &format!(" nlink={} size={}", m.nlink(), m.size());
        }
        if m.is_file() {
            s += &format!(" {:?}", f::text(e.path())?.get(..64.min(m.size() as usize)));
        }
        if m.is_symlink() {
            s += &format!(" -> {}", f::readlink(e.path())?.display());
        }
        let name = e.path().strip_prefix(root)?;
        all.insert(name.to_string_lossy().into_owned(), s);
    }
    Ok(all)
}

fn walk_3(t: &T) -> R {
    walk(t, "3")
}

fn walk_4(t: &T) -> R {
    walk(t, "4.2")
}

fn walk(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    x.same("at once")?;
    check!(f::read(x.c("big"))? == f::pattern(3, 300_000));
    check_err!(f::stat(x.c("covered")), ENOENT);
    x.forget()?;
    x.same("with nothing in memory")?;
    x.new_client()?;
    x.same("a new client")
}

fn write_3(t: &T) -> R {
    write(t, "3")
}

fn write_4(t: &T) -> R {
    write(t, "4.2")
}

fn write(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    // New objects, in directories of every layer.
    for d in ["", "dir", "dir/sub", "deep/a/b", "upper"] {
        let p = |n: &str| x.c(d).join(n);
        f::write(p("new"), f::pattern(5, 70_000))?;
        f::mkdir(p("newdir"))?;
        f::write(p("newdir/x"), "x")?;
        f::symlink("elsewhere", p("newlink"))?;
        f::mknod(p("newfifo"), FileType::Fifo, 0o640, 0, 0)?;
        check!(
            f::read(x.o.m(d).join("new"))? == f::pattern(5, 70_000),
            "{d}"
        );
    }
    // Objects of the lowers.
    f::append(x.c("file"), "+")?;
    check_eq!(f::text(x.o.m("file"))?, "data+");
    check_eq!(f::text(x.o.up("file"))?, "data+");
    check_eq!(f::text(x.o.lown(1, "file"))?, "data");
    {
        let file = f::open_rw(x.c("big"))?;
        f::pwrite(&file, 100_000, "changed")?;
        file.sync_all()?;
    }
    check_eq!(&f::read(x.o.m("big"))?[100_000..100_007], b"changed");
    f::chmod(x.c("dir/sub/inner"), 0o600)?;
    f::chown(x.c("deep/a"), 5, 6)?;
    f::utimes(x.c("symlink"), (1, 0), (2, 0))?;
    f::truncate(x.c("deep/a/b/c/file"), 2)?;
    check_eq!(f::text(x.o.m("deep/a/b/c/file"))?, "de");
    check_eq!(f::stat(x.o.up("deep/a"))?.uid(), 5);
    x.same("as written")?;
    x.forget()?;
    x.new_client()?;
    x.same("a new client")
}

fn rename_and_remove_3(t: &T) -> R {
    rename_and_remove(t, "3")
}

fn rename_and_remove_4(t: &T) -> R {
    rename_and_remove(t, "4.2")
}

fn rename_and_remove(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    f::rename(x.c("file"), x.c("dir/file2"))?;
    f::rename(x.c("upper/file"), x.c("big"))?;
    check_eq!(f::text(x.o.m("big"))?, "upper");
    // A directory of the lowers takes a redirect with it.
    f::rename(x.c("deep/a/b"), x.c("dir/b"))?;
    check_eq!(f::text(x.o.m("dir/b/c/file"))?, "deep");
    check!(x.o.xattr("dir/b", "redirect")?.is_some());
    f::rename(x.c("dir"), x.c("dir2"))?;
    check_eq!(f::text(x.c("dir2/b/c/file"))?, "deep");
    check_err!(f::rename(x.c("dir2"), x.c("dir2/b/x")), EINVAL);
    for n in ["symlink", "fifo", "socket", "chr", "blk", "hard1"] {
        f::unlink(x.c(n))?;
        check!(x.o.is_whiteout(n)?, "{n}");
        check_err!(f::stat(x.o.m(n)), ENOENT);
    }
    check_err!(f::rmdir(x.c("deep")), ENOTEMPTY);
    for i in 0..40 {
        f::unlink(x.c(format!("deep/n{i}")))?;
        f::unlink(x.c(format!("upper/n{i}")))?;
    }
    f::rmdir(x.c("deep/a"))?;
    f::rmdir(x.c("deep"))?;
    f::rmdir(x.c("upper"))?;
    check!(x.o.is_whiteout("deep")?);
    // A name again, of another kind.
    f::write(x.c("deep"), "a file now")?;
    f::mkdir(x.c("fifo"))?;
    check_eq!(f::ls(x.c("fifo"))?, [""; 0]);
    x.same("renamed and removed")?;
    x.forget()?;
    x.new_client()?;
    x.same("a new client")
}

fn handles_outlive_caches_3(t: &T) -> R {
    handles_outlive_caches(t, "3")
}

fn handles_outlive_caches_4(t: &T) -> R {
    handles_outlive_caches(t, "4.2")
}

fn handles_outlive_caches(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    let low = f::open_ro(x.c("big"))?;
    let mut inner = f::open_ro(x.c("deep/a/b/c/file"))?;
    let dir = f::open_ro(x.c("deep/a/b"))?;
    let both = f::open_rw(x.c("file"))?;
    let of = |d: &File, n: &str| {
        PathBuf::from(format!(
            "/proc/self/fd/{}/{n}",
            std::os::fd::AsRawFd::as_raw_fd(d)
        ))
    };
    for round in 0..3 {
        match round {
            // The server's objects move while only their handles are known.
            1 => {
                f::rename(x.o.m("deep/a"), x.o.m("dir/a"))?;
                f::chmod(x.o.m("big"), 0o600)?;
            }
            2 => f::rename(x.o.m("dir"), x.o.m("other"))?,
            _ => (),
        }
        x.forget()?;
        let mut b = [0; 100];
        low.read_exact_at(&mut b, 200_000)?;
        check_eq!(b[..], f::pattern(3, 300_000)[200_000..200_100]);
        inner.rewind()?;
        check_eq!(f::drain(&mut inner)?, b"deep");
        both.write_all_at(format!("round {round}").as_bytes(), 0)?;
        both.sync_all()?;
        check_eq!(f::text(x.o.m("file"))?, format!("round {round}"));
        let new = format!("new{round}");
        f::write(of(&dir, &new), &new)?;
        let at = ["deep/a/b", "dir/a/b", "other/a/b"][round];
        check_eq!(f::text(x.o.m(at).join(&new))?, new);
        check!(f::exists(of(&dir, "c"))?);
    }
    drop((low, inner, dir, both));
    x.new_client()?;
    x.same("in the end")
}

fn server_restarts_3(t: &T) -> R {
    restarts(t, "3", false)
}

fn server_restarts_4(t: &T) -> R {
    restarts(t, "4.2", false)
}

fn overlay_remounted_3(t: &T) -> R {
    restarts(t, "3", true)
}

fn overlay_remounted_4(t: &T) -> R {
    restarts(t, "4.2", true)
}

/// The server goes away and comes back, perhaps with the overlay mounted anew: what the client has
/// open stays what it was.
fn restarts(t: &T, version: &'static str, remount: bool) -> R {
    let mut x = exported(t, version)?;
    f::append(x.c("deep/n1"), "copied up")?;
    f::rename(x.c("deep/a"), x.c("dir/a"))?;
    let mut open = Vec::new();
    for (n, want) in [
        ("dir/a/b/c/file", "deep"),
        ("deep/n1", "xcopied up"),
        ("deep/n2", "x"),
        ("upper/file", "upper"),
        ("dir/above", "above"),
    ] {
        let mut file = f::open_ro(x.c(n))?;
        check_eq!(f::drain(&mut file)?, want.as_bytes(), "{n}");
        open.push((n, want, file));
    }
    let writer = f::open_rw(x.c("file"))?;
    let before = seen(&x.client)?;
    rustix::fs::sync();
    x.server.stop()?;
    if remount {
        x.o.again()?;
    }
    drop_caches()?;
    x.server.again()?;
    for (n, want, file) in &mut open {
        file.rewind()?;
        check_eq!(f::drain(file)?, want.as_bytes(), "{n}");
    }
    writer.write_all_at(b"D", 0)?;
    writer.sync_all()?;
    check_eq!(f::text(x.o.m("file"))?, "Data");
    drop((open, writer));
    x.same("with the server back")?;
    // What was not written to has kept its inode number and all else.
    let after = seen(&x.client)?;
    for (n, was) in before
        .iter()
        .filter(|(n, _)| !["", "file"].contains(&n.as_str()))
    {
        check_eq!(after.get(n), Some(was), "{n}");
    }
    f::write(x.c("deep/made later"), "x")?;
    check_eq!(f::text(x.o.m("deep/made later"))?, "x");
    Ok(())
}

fn hard_links_3(t: &T) -> R {
    hard_links(t, "3")
}

fn hard_links_4(t: &T) -> R {
    hard_links(t, "4.2")
}

fn hard_links(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    f::append(x.c("hard1"), "+")?;
    check_eq!(f::text(x.c("hard2"))?, "hard+", "one file by its index");
    f::link(x.c("hard2"), x.c("dir/hard3"))?;
    f::link(x.c("dir/sub/inner"), x.c("inner2"))?;
    f::append(x.c("inner2"), "+")?;
    check_eq!(f::text(x.o.m("dir/sub/inner"))?, "inner+");
    x.new_client()?;
    let numbers: Vec<(u64, u64)> = ["hard1", "hard2", "dir/hard3"]
        .iter()
        .map(|n| f::stat(x.c(n)).map(|m| (m.ino(), m.nlink())))
        .collect::<R<_>>()?;
    check!(
        numbers.iter().all(|n| *n == (numbers[0].0, 3)),
        "{numbers:?}"
    );
    for n in ["hard1", "hard2"] {
        f::unlink(x.c(n))?;
    }
    check_eq!(f::text(x.c("dir/hard3"))?, "hard+");
    x.same("linked")
}

fn locks_4(t: &T) -> R {
    let x = exported(t, "4.2")?;
    let (client, server) = (f::open_rw(x.c("file"))?, f::open_rw(x.o.m("file"))?);
    let (set, get) = (libc::F_OFD_SETLK, libc::F_OFD_GETLK);
    sys::setlk(&client, set, libc::F_WRLCK, 0, 10)?;
    check_err!(sys::setlk(&server, set, libc::F_RDLCK, 0, 1), EAGAIN);
    check_eq!(sys::getlk(&server, get, libc::F_RDLCK)?, libc::F_WRLCK);
    sys::setlk(&client, set, libc::F_UNLCK, 0, 10)?;
    sys::setlk(&server, set, libc::F_RDLCK, 0, 1)?;
    check_err!(sys::setlk(&client, set, libc::F_WRLCK, 0, 10), EAGAIN);
    Ok(())
}

fn read_only_stack_3(t: &T) -> R {
    read_only_stack(t, "3")
}

fn read_only_stack_4(t: &T) -> R {
    read_only_stack(t, "4.2")
}

fn read_only_stack(t: &T, version: &'static str) -> R {
    let mut o = layers(t)?;
    let upper = o.upper.take();
    o.lowers.splice(0..0, upper);
    o.work = None;
    o.opts = "redirect_dir=nofollow,metacopy=off,xino=off,nfs_export=on".into();
    let x = Exported::of(t, o, version)?;
    let mut held = f::open_ro(x.c("deep/a/b/c/file"))?;
    x.same("at once")?;
    check_err!(f::write(x.c("new"), "x"), EROFS);
    // A client of version 3 asks for access first, and is told no more than that it has none.
    let r = f::append(x.c("file"), "x");
    if version == "3" {
        check_err!(r, EACCES);
    } else {
        check_err!(r, EROFS);
    }
    check_err!(f::unlink(x.c("upper/file")), EROFS);
    x.forget()?;
    check_eq!(f::drain(&mut held)?, b"deep");
    drop(held);
    x.new_client()?;
    x.same("a new client")
}

fn removed_behind_the_client_3(t: &T) -> R {
    removed_behind_the_client(t, "3")
}

fn removed_behind_the_client_4(t: &T) -> R {
    removed_behind_the_client(t, "4.2")
}

fn removed_behind_the_client(t: &T, version: &'static str) -> R {
    let x = exported(t, version)?;
    let dir = f::open_ro(x.c("deep/a/b"))?;
    let path = f::open(x.c("deep/n5"), libc::O_PATH, 0)?;
    let of = |d: &File| {
        PathBuf::from(format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(d)
        ))
    };
    f::unlink(x.o.m("deep/n5"))?;
    f::unlink(x.o.m("deep/a/b/c/file"))?;
    f::rmdir(x.o.m("deep/a/b/c"))?;
    f::rmdir(x.o.m("deep/a/b"))?;
    f::write(x.o.m("deep/n5"), "another")?;
    x.forget()?;
    // It leads nowhere, and not to the new object of that name.
    check_err!(f::write(of(&dir).join("new"), "x"), ESTALE);
    let r = f::open(of(&path), libc::O_RDONLY, 0).and_then(|mut h| f::drain(&mut h));
    check!(
        matches!(r.as_ref().map_err(Errno::errno), Err(Some(libc::ESTALE))),
        "the file that was removed: {r:?}"
    );
    drop((dir, path));
    x.new_client()?;
    check_eq!(f::text(x.c("deep/n5"))?, "another");
    check_err!(f::stat(x.c("deep/a/b")), ENOENT);
    Ok(())
}

/// Handles that cannot be opened again are no ground for a server.
fn not_without_nfs_export(t: &T) -> R {
    let mut o = layers(t)?;
    o.opts = format!("{OFF},redirect_dir=on,index=on");
    o.mount()?;
    let mut server = Nfsd::start(&t.dir)?;
    // Whether exportfs says so or the client is refused: nobody gets in.
    let told = server.export(&o.mnt, "fsid=88");
    for version in ["3", "4.2"] {
        let r = server.mount(&o.mnt, &t.p("client"), version);
        check!(r.is_err(), "a client of version {version} ({told:?})");
    }
    Ok(())
}

/// Handles that say in which directory a file is do not exist.
fn subtree_check(t: &T) -> R {
    let o = layers(t)?;
    o.mount()?;
    let mut server = Nfsd::start(&t.dir)?;
    server.export(&o.mnt, "fsid=88,subtree_check")?;
    let client = t.p("client");
    server.mount(&o.mnt, &client, "3")?;
    check_eq!(f::text(o.m("file"))?, "data");
    check_eq!(
        f::ls(client.join("deep/a/b"))?,
        ["c"],
        "directories need none"
    );
    let r = f::text(client.join("file"));
    check!(r.is_err(), "a file: {r:?}");
    Ok(())
}
