// SPDX-License-Identifier: GPL-2.0
//! A lower layer that lives: a FUSE server that says one thing now and another the next time, that
//! claims owners it has no right to, or that goes away (F30, F112).

use super::prelude::*;
use crate::check::{outcome, Errno};
use crate::sys::fuse::{Node, Server};

cases! { "fuse_lower";
    read_and_copied_up;
    owner_and_mode_belong_together;
    set_id_of_a_users_server;
    foreign_owner_of_a_users_server;
    size_that_changes;
    type_that_changes;
    server_that_goes;
    server_that_goes_same_as_intree
        .rs_only("compares with the kernel's own overlay");
}

const FILE: u32 = 0o100644;
const DIR: u32 = 0o040755;

/// A root, a directory `d` in it, and these files in that.
fn tree(names: &[&'static str], mode: u32, data: &str) -> Vec<Node> {
    let mut nodes = vec![Node::new(0, "", 1, DIR, ""), Node::new(0, "d", 2, DIR, "")];
    for (i, n) in names.iter().enumerate() {
        nodes.push(Node::new(1, n, 10 + i as u64, mode, data));
    }
    nodes
}

fn served(t: &T, s: Server) -> R<(Ovl, sys::Child)> {
    let o = t.ovl()?;
    let child = s.mount(&o.low(""))?;
    Ok((o, child))
}

fn read_and_copied_up(t: &T) -> R {
    let (o, _s) = served(t, Server::fixed(tree(&["a", "b"], FILE, "data")))?;
    o.mount()?;
    check_eq!(f::ls(o.m("d"))?, ["a", "b"]);
    check_eq!(f::text(o.m("d/a"))?, "data");
    f::append(o.m("d/a"), "+")?;
    f::unlink(o.m("d/b"))?;
    f::write(o.m("d/c"), "c")?;
    check_eq!(f::ls(o.m("d"))?, ["a", "c"]);
    drop_caches()?;
    check_eq!(f::text(o.m("d/a"))?, "data+");
    o.again()?;
    check_eq!(f::ls(o.m("d"))?, ["a", "c"]);
    Ok(())
}

/// Names of files for tests that try the same many times.
const MANY: &[&str] = &[
    "f00", "f01", "f02", "f03", "f04", "f05", "f06", "f07", "f08", "f09", "f10", "f11", "f12",
    "f13", "f14", "f15", "f16", "f17", "f18", "f19", "f20", "f21", "f22", "f23", "f24", "f25",
    "f26", "f27", "f28", "f29",
];

fn owner_and_mode_belong_together(t: &T) -> R {
    // Root's without set-id, or a user's with it: whichever is copied up, root's with it is not.
    let live = |n: &mut Node, count: u64| {
        if n.mode & 0o170000 == 0o100000 {
            (n.uid, n.mode) = match count % 2 {
                0 => (0, 0o100755),
                _ => (1000, 0o104755),
            };
        }
    };
    let nodes = tree(MANY, 0o100755, "#!/bin/true\n");
    let valid = 0;
    let (o, _s) = served(t, Server { nodes, valid, live })?;
    o.mount()?;
    for (i, n) in MANY.iter().enumerate() {
        let p = Path::new("d").join(n);
        for _ in 0..i % 3 {
            f::stat(o.m(&p))?;
        }
        match i % 2 {
            0 => f::utimes(o.m(&p), (1, 0), (1, 0))?,
            _ => drop(f::open_rw(o.m(&p))?),
        }
        let m = f::stat(o.up(&p))?;
        let pair = (m.uid(), m.mode() & 0o7777);
        check!(
            pair == (0, 0o755) || pair == (1000, 0o4755) || pair == (1000, 0o755),
            "{n} was copied up as {:o} {:o}",
            pair.0,
            pair.1
        );
    }
    Ok(())
}

/// Mounts a user's own server below an overlay of that user, and does `job` there.
fn of_a_user(t: &T, uid: u32, mode: u32, job: impl FnOnce(&Ovl) -> R) -> R {
    let o = t.ovl()?;
    for p in [&t.dir, &o.low(""), &o.up(""), o.work.as_ref().unwrap()] {
        f::chown(p, 1000, 1000)?;
        f::chmod(p, 0o755)?;
    }
    for p in [o.root(), o.root().parent().unwrap()] {
        f::chown(p, 1000, 1000)?;
    }
    if !Path::new("/dev/fuse").exists() {
        sys::run(Path::new("/sbin/modprobe"), &["fuse"])?;
    }
    f::chmod("/dev/fuse", 0o666)?;
    let mut nodes = tree(&["prog"], mode, "#!/bin/true\n");
    nodes[2].uid = uid;
    sys::as_userns_root(1000, 1000, || {
        let _s = Server::fixed(nodes).mount(&o.low(""))?;
        let opts = format!("{},userxattr", o.layer_opts());
        mount_raw(&o.ty, o.root(), &opts, MountFlags::empty())?;
        job(&o)?;
        Ok(String::new())
    })
    .map(drop)
}

fn set_id_of_a_users_server(t: &T) -> R {
    of_a_user(t, 0, 0o104755, |o| {
        check_eq!(f::stat(o.m("d/prog"))?.uid(), 0, "root inside");
        f::utimes(o.m("d/prog"), (1, 0), (1, 0))
    })?;
    let m = f::stat(t.p("o0/upper/d/prog"))?;
    check_eq!((m.uid(), m.gid()), (1000, 1000), "a user outside");
    Ok(())
}

fn foreign_owner_of_a_users_server(t: &T) -> R {
    of_a_user(t, 7, 0o104755, |o| {
        check_eq!(f::stat(o.m("d/prog"))?.uid(), 65534);
        check_err!(f::utimes(o.m("d/prog"), (1, 0), (1, 0)), EOVERFLOW);
        let r = f::append(o.m("d/prog"), "+");
        check!(
            [Some(libc::EOVERFLOW), Some(libc::EACCES)]
                .contains(&r.as_ref().err().and_then(Errno::errno)),
            "append: {}",
            outcome(&r)
        );
        Ok(())
    })?;
    check!(!f::exists(t.p("o0/upper/d/prog"))?, "nothing was copied up");
    Ok(())
}

fn size_that_changes(t: &T) -> R {
    // The data gets shorter and longer while it is read and copied.
    let live = |n: &mut Node, count: u64| {
        if n.mode & 0o170000 == 0o100000 {
            n.data
                .resize([100_000, 10, 300_000][(count % 3) as usize], b'x');
        }
    };
    let nodes = tree(MANY, FILE, "x");
    let valid = 0;
    let (o, _s) = served(t, Server { nodes, valid, live })?;
    o.mount()?;
    for (i, n) in MANY.iter().enumerate() {
        let p = o.m("d").join(n);
        if i % 2 == 0 {
            let data = f::read(&p).unwrap_or_default();
            check!(data.iter().all(|c| *c == b'x' || *c == 0), "{n}");
        }
        // It may fail; then there is no copy.
        let done = f::append(&p, "+");
        let copied = o.in_upper(Path::new("d").join(n))?;
        check_eq!(copied, done.is_ok(), "{n}: {}", outcome(&done));
        if copied {
            let data = f::read(&p)?;
            let (last, rest) = data.split_last().unwrap();
            check_eq!(*last, b'+', "{n}");
            check!(rest.iter().all(|c| *c == b'x' || *c == 0), "{n}");
        }
    }
    check_eq!(o.work_entries()?.len(), 0);
    Ok(())
}

fn type_that_changes(t: &T) -> R {
    // Every look finds another type of object under the name.
    let live = |n: &mut Node, count: u64| {
        if n.name.starts_with('f') {
            n.mode = [FILE, 0o120777, DIR, 0o010600][(count / 3 % 4) as usize];
        }
    };
    let nodes = tree(MANY, FILE, "data");
    let valid = 0;
    let (o, _s) = served(t, Server { nodes, valid, live })?;
    o.mount()?;
    for (i, n) in MANY.iter().enumerate() {
        let p = o.m("d").join(n);
        for k in 0..6 {
            // Any of this may fail, none of it may hang or show what is not there.
            let _ = match (i + k) % 6 {
                0 => f::stat(&p).map(drop),
                1 => f::chown(&p, 1, 1),
                2 => f::rename(&p, p.with_extension("r")),
                3 => f::readlink(&p).map(drop),
                4 => f::ls(&p).map(drop),
                _ => f::ls(o.m("d")).map(drop),
            };
        }
    }
    let _ = f::ls(o.m("d"));
    o.umount()
}

/// What is left of an overlay when the server of its lower is gone.
fn gone(t: &T, ty: &str) -> R<Vec<String>> {
    let nodes = tree(&["a", "b", "c", "e"], FILE, "data");
    let valid = 0;
    let live = |_: &mut Node, _: u64| ();
    let (mut o, s) = served(t, Server { nodes, valid, live })?;
    o.ty = ty.into();
    o.mount()?;
    f::append(o.m("d/a"), "+")?;
    let h = f::open_ro(o.m("d/b"))?;
    f::write(o.m("own"), "own")?;
    s.kill(libc::SIGKILL)?;
    drop(s);
    let mut lines = Vec::new();
    // Until the kernel has noticed.
    for _ in 0..500 {
        if f::stat(o.low("d/c")).is_err() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut say = |what: &str, r: R<String>| {
        let said = outcome(&r);
        lines.push(format!("{what}: {said} {}", r.unwrap_or_default()));
    };
    say("own file", f::text(o.m("own")));
    say("copied up", f::text(o.m("d/a")));
    say("lower file", f::text(o.m("d/c")));
    say("open file", f::pread(&h, 0, 9).map(|b| format!("{b:?}")));
    say(
        "copy up",
        f::append(o.m("d/c"), "+").map(|()| String::new()),
    );
    say("list", f::ls(o.m("d")).map(|l| format!("{l:?}")));
    say("list of root", f::ls(o.root()).map(|l| format!("{l:?}")));
    say("make", f::write(o.m("own2"), "").map(|()| String::new()));
    say(
        "make in d",
        f::write(o.m("d/new"), "").map(|()| String::new()),
    );
    say("remove", f::unlink(o.m("d/e")).map(|()| String::new()));
    say("remove own", f::unlink(o.m("own")).map(|()| String::new()));
    drop(h);
    say("unmount", o.umount().map(|()| String::new()));
    Ok(lines)
}

fn server_that_goes(t: &T) -> R {
    let lines = gone(t, &t.ty)?;
    check!(lines.contains(&"own file: success own".into()), "{lines:?}");
    check!(lines.contains(&"unmount: success ".into()), "{lines:?}");
    check!(
        lines[2].starts_with("lower file: ") && !lines[2].contains("success"),
        "{lines:?}"
    );
    Ok(())
}

fn server_that_goes_same_as_intree(t: &T) -> R {
    check_eq!(gone(t, &t.ty)?, gone(t, t.other_ty()?)?);
    Ok(())
}
