// SPDX-License-Identifier: GPL-2.0
//! The operations in which something fails: each is one system call or a few, on the layers of
//! `lab.rs`, and can be tried again.

use fuzz::layers::names;
use fuzz::runner::acl_bytes;
use fuzz::sys::{self, Res};

use crate::lab::At;
use crate::sys as own;

/// When the operation is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// It is the mount itself.
    Mount,
    /// It is the unmount, after the operation.
    Unmount,
    /// On the mounted overlay, which has not looked at anything yet.
    Mounted,
}

pub struct Scenario {
    pub name: &'static str,
    pub when: When,
    pub options: &'static str,
    /// Run before the fault.
    pub before: fn(&At) -> Res,
    /// What has to be done or not be done.
    pub op: fn(&At) -> Res,
    /// It changes nothing.
    pub reads: bool,
}

impl Scenario {
    /// It changes contents.
    pub fn writes(&self) -> bool {
        [
            "write",
            "append",
            "copy-range",
            "fallocate",
            "fsync",
            "copy-up-data",
        ]
        .iter()
        .any(|w| self.name.starts_with(w))
    }
}

fn nothing(_: &At) -> Res {
    Ok(0)
}

/// Opens, uses and closes.
fn with(p: &[u8], flags: i32, f: impl FnOnce(i32) -> Res) -> Res {
    let fd = sys::open(p, flags, 0o644)? as i32;
    let r = f(fd);
    let c = sys::close(fd);
    r.and(c)
}

fn read_all(p: &[u8]) -> Res {
    with(p, libc::O_RDONLY, |fd| {
        let mut b = vec![0; 100_000];
        sys::read(fd, &mut b, None)
    })
}

fn overwrite(p: &[u8]) -> Res {
    with(p, libc::O_WRONLY, |fd| {
        sys::write(fd, b"new contents", Some(0))
    })
}

/// copy_file_range(2) from the beginning; it may stop before the end.
fn copy_all(from: i32, to: i32, len: i64) -> Res {
    let mut done = 0;
    while done < len {
        match sys::copy_file_range(from, done, to, done, (len - done) as usize)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

fn list(p: &[u8]) -> Res {
    names(p).map(|v| v.len() as i64)
}

fn create(p: &[u8]) -> Res {
    with(p, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, |_| Ok(0))
}

/// Succeeds, too, if an earlier try got as far before it failed on something else.
fn again(r: Res, e: i32) -> Res {
    match r {
        Err(x) if x == e => Ok(0),
        r => r,
    }
}

const ALL: &str = "redirect_dir=on,index=on,metacopy=on,xino=on";

macro_rules! scenarios {
    ($($name:literal $when:ident $options:expr, $reads:literal, $before:expr, $op:expr;)+) => {
        pub const SCENARIOS: &[Scenario] = &[$(Scenario {
            name: $name,
            when: When::$when,
            options: $options,
            reads: $reads,
            before: $before,
            op: $op,
        }),+];
    };
}

scenarios! {
    "mount" Mount "", true, nothing, nothing;
    "mount-all" Mount ALL, true, nothing, nothing;
    "mount-export" Mount "index=on,nfs_export=on,uuid=on", true, nothing, nothing;
    "mount-volatile" Mount "volatile,userxattr", true, nothing, nothing;
    "unmount" Unmount "", true, nothing, |a| list(&a.p("merged"));
    "unmount-changed" Unmount ALL, false, nothing, |a| sys::chmod(&a.p("f"), 0o600);
    "lookup" Mounted "", true, nothing, |a| sys::stat(&a.p("f"), false).map(|_| 0);
    "lookup-deep" Mounted "xino=on", true, nothing, |a| sys::stat(&a.p("dir/sub/c"), false).map(|_| 0);
    "lookup-merged" Mounted "", true, nothing, |a| sys::stat(&a.p("merged/z"), false).map(|_| 0);
    "lookup-index" Mounted ALL, true, |a| sys::chmod(&a.p("h1"), 0o600), |a| sys::stat(&a.p("h2"), false).map(|_| 0);
    "read" Mounted "", true, nothing, |a| read_all(&a.p("f"));
    "readlink" Mounted "", true, nothing, |a| sys::readlink(&a.p("sym")).map(|v| v.len() as i64);
    "readdir-root" Mounted "", true, nothing, |a| list(&a.p(""));
    "readdir-merged" Mounted "xino=on", true, nothing, |a| list(&a.p("merged"));
    "readdir-impure" Mounted "", true, |a| again(sys::rename(&a.p("f"), &a.p("udir/f"), 0), libc::ENOENT), |a| list(&a.p("udir"));
    "statfs" Mounted "", true, nothing, |a| sys::statfs(&a.p("dir")).map(|_| 0);
    "getxattr" Mounted "", true, nothing, |a| sys::getxattr(&a.p("f"), "trusted.two", 4096).map(|(n, _)| n);
    "listxattr" Mounted "", true, nothing, |a| sys::listxattr(&a.p("f")).map(|v| v.len() as i64);
    "handle" Mounted "index=on,nfs_export=on", true, nothing, |a| {
        let (kind, bytes) = sys::handle(&a.p("dir/a"))?;
        with(&a.p(""), libc::O_RDONLY | libc::O_DIRECTORY, |dir| {
            sys::close(own::open_handle(dir, kind, &bytes)? as i32)
        })
    };
    "handle-dir" Mounted "index=on,nfs_export=on", true, |a| sys::chmod(&a.p("dir/sub"), 0o700), |a| {
        let (kind, bytes) = sys::handle(&a.p("dir/sub"))?;
        with(&a.p(""), libc::O_RDONLY | libc::O_DIRECTORY, |dir| {
            sys::close(own::open_handle(dir, kind, &bytes)? as i32)
        })
    };
    "chmod" Mounted "", false, nothing, |a| sys::chmod(&a.p("f"), 0o600);
    "chown-deep" Mounted "", false, nothing, |a| sys::lchown(&a.p("dir/sub/c"), 5, 6);
    "utimes" Mounted "xino=on", false, nothing, |a| sys::utimens(&a.p("merged/x"), 1_000_000_000, 1_000_000_000, false);
    "write" Mounted "", false, nothing, |a| overwrite(&a.p("f"));
    "write-big" Mounted "", false, nothing, |a| overwrite(&a.p("big"));
    "append" Mounted "fsync=strict", false, nothing, |a| with(&a.p("merged/x"), libc::O_WRONLY, |fd| sys::write(fd, b"tail", Some(10)));
    "truncate" Mounted "", false, nothing, |a| sys::truncate(&a.p("f"), 17);
    "open-truncate" Mounted "", false, nothing, |a| with(&a.p("dir/a"), libc::O_WRONLY | libc::O_TRUNC, |_| Ok(0));
    "setxattr" Mounted "", false, nothing, |a| sys::setxattr(&a.p("f"), "user.one", b"other", 0);
    "removexattr" Mounted "", false, nothing, |a| again(sys::removexattr(&a.p("f"), "user.one"), libc::ENODATA);
    "set-acl" Mounted "", false, nothing, |a| {
        let none = u32::MAX;
        let acl = acl_bytes(&[(1, 6, none), (2, 4, 1000), (4, 4, none), (16, 4, none), (32, 0, none)]);
        sys::setxattr(&a.p("dir/a"), "system.posix_acl_access", &acl, 0)
    };
    "set-flags" Mounted "", false, nothing, |a| with(&a.p("u"), libc::O_RDONLY, |fd| sys::setflags(fd, 0x40));
    "copy-up-link" Mounted "index=on", false, nothing, |a| sys::chmod(&a.p("h1"), 0o600);
    "copy-up-link-second" Mounted ALL, false, |a| sys::chmod(&a.p("h1"), 0o600), |a| sys::chmod(&a.p("h2"), 0o640);
    "copy-up-metadata" Mounted "metacopy=on,redirect_dir=on", false, nothing, |a| sys::chmod(&a.p("big"), 0o600);
    "copy-up-data" Mounted "metacopy=on,redirect_dir=on", false, |a| sys::chmod(&a.p("big"), 0o600), |a| overwrite(&a.p("big"));
    "copy-up-fifo" Mounted "", false, nothing, |a| sys::chmod(&a.p("fifo"), 0o600);
    "copy-up-symlink" Mounted "", false, nothing, |a| sys::lchown(&a.p("sym"), 5, 6);
    "copy-up-export" Mounted "index=on,nfs_export=on", false, nothing, |a| sys::chmod(&a.p("dir/sub"), 0o700);
    "create" Mounted "", false, nothing, |a| again(create(&a.p("new")), libc::EEXIST);
    "create-in-lower" Mounted "", false, nothing, |a| again(create(&a.p("dir/sub/new")), libc::EEXIST);
    "create-over-whiteout" Mounted "", false, nothing, |a| again(create(&a.p("gone")), libc::EEXIST);
    "mkdir" Mounted "", false, nothing, |a| again(sys::mkdir(&a.p("udir/d"), 0o750), libc::EEXIST);
    "mkdir-over-whiteout" Mounted "", false, nothing, |a| again(sys::mkdir(&a.p("gone"), 0o750), libc::EEXIST);
    "symlink" Mounted "", false, nothing, |a| again(sys::symlink(b"target", &a.p("dir/s")), libc::EEXIST);
    "mknod" Mounted "", false, nothing, |a| again(sys::mknod(&a.p("udir/p"), libc::S_IFIFO | 0o600, 0), libc::EEXIST);
    "link" Mounted "", false, nothing, |a| again(sys::link(&a.p("f"), &a.p("udir/l"), 0), libc::EEXIST);
    "link-index" Mounted ALL, false, nothing, |a| again(sys::link(&a.p("h1"), &a.p("gone"), 0), libc::EEXIST);
    "tmpfile" Mounted "", false, nothing, |a| {
        let dir = a.p("udir");
        let fd = sys::open(&dir, libc::O_TMPFILE | libc::O_RDWR, 0o600)? as i32;
        let r = sys::link_fd(fd, &a.p("udir/t"));
        let _ = sys::close(fd);
        again(r, libc::EEXIST)
    };
    "unlink-upper" Mounted "", false, nothing, |a| again(sys::unlink(&a.p("udir/q")), libc::ENOENT);
    "unlink-lower" Mounted "", false, nothing, |a| again(sys::unlink(&a.p("dir/a")), libc::ENOENT);
    "unlink-index" Mounted ALL, false, nothing, |a| again(sys::unlink(&a.p("h1")), libc::ENOENT);
    "rmdir-upper" Mounted "", false, |a| sys::unlink(&a.p("udir/q")), |a| again(sys::rmdir(&a.p("udir")), libc::ENOENT);
    "rmdir-lower" Mounted "", false, |a| sys::unlink(&a.p("rdir/inside")), |a| again(sys::rmdir(&a.p("rdir")), libc::ENOENT);
    "rmdir-export" Mounted "index=on,nfs_export=on", false, |a| sys::unlink(&a.p("rdir/inside")), |a| again(sys::rmdir(&a.p("rdir")), libc::ENOENT);
    "rename-upper" Mounted "", false, nothing, |a| again(sys::rename(&a.p("u"), &a.p("udir/u"), 0), libc::ENOENT);
    "rename-lower" Mounted "", false, nothing, |a| again(sys::rename(&a.p("f"), &a.p("udir/f"), 0), libc::ENOENT);
    "rename-over-whiteout" Mounted "", false, nothing, |a| again(sys::rename(&a.p("u"), &a.p("gone"), 0), libc::ENOENT);
    "rename-over-file" Mounted "", false, nothing, |a| again(sys::rename(&a.p("dir/a"), &a.p("f"), 0), libc::ENOENT);
    "rename-dir" Mounted "redirect_dir=on", false, nothing, |a| again(sys::rename(&a.p("dir"), &a.p("udir/dir"), 0), libc::ENOENT);
    "rename-dir-merged" Mounted ALL, false, nothing, |a| again(sys::rename(&a.p("merged"), &a.p("gone"), 0), libc::ENOENT);
    "rename-metacopy" Mounted "metacopy=on,redirect_dir=on", false, nothing, |a| again(sys::rename(&a.p("big"), &a.p("udir/big"), 0), libc::ENOENT);
    "exchange" Mounted "redirect_dir=on", false, nothing, |a| {
        // Twice would be none.
        if sys::stat(&a.p("dir"), false)?.st_mode & libc::S_IFMT == libc::S_IFREG {
            return Ok(0);
        }
        sys::rename(&a.p("f"), &a.p("dir"), libc::RENAME_EXCHANGE)
    };
    "copy-range" Mounted "", false, nothing, |a| {
        with(&a.p("big"), libc::O_RDONLY, |from| {
            with(&a.p("f"), libc::O_WRONLY, |to| copy_all(from, to, 5000))
        })
    };
    "fallocate" Mounted "", false, nothing, |a| with(&a.p("f"), libc::O_WRONLY, |fd| sys::fallocate(fd, 0, 0, 9000));
    "fsync" Mounted "fsync=strict", false, nothing, |a| with(&a.p("f"), libc::O_WRONLY, |fd| {
        sys::write(fd, b"new contents", Some(0))?;
        sys::fsync(fd)
    });
    "remount" Mounted "", true, nothing, |a| {
        sys::mount("faults", &a.mnt, "", libc::MS_REMOUNT | libc::MS_RDONLY, b"")?;
        sys::mount("faults", &a.mnt, "", libc::MS_REMOUNT, b"")
    };
}
