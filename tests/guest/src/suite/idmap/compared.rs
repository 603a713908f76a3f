// SPDX-License-Identifier: GPL-2.0
//! Both modules compared. This does not say what is right: the same is done through both, under the
//! eyes of several users, and every outcome is compared, what is shown and what is stored.

use super::*;

cases! { "idmap";
    same_as_intree_lower
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_upper
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_layers
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_lower_and_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_upper_and_mount
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_all
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_none
        .rs_only("compares with the kernel's own overlay");
}

/// The users: root, and the owner of the objects as each of the maps shows it.
const USERS: &[(u32, u32)] = &[(0, 0), (1, 2), (1001, 1002), (10001, 10002), (20001, 20002)];

/// Everything that can be said about an object without its times and its number.
fn look(p: &Path) -> String {
    match tree::describe(p, tree::NO_TIMES) {
        Ok(s) => s,
        Err(e) => crate::check::outcome::<(), _>(&Err(e)),
    }
}

/// A lower with objects of all kinds.
pub fn furnish(o: &Ovl) -> R {
    for d in ["open", "sgid", "own"] {
        f::mkdir(o.low(d))?;
    }
    for n in [
        "f", "g", "own/f", "own/g", "open/f", "suid", "acl", "cap2", "cap3",
    ] {
        f::write(o.low(n), "some data")?;
        f::chown(o.low(n), 1, 2)?;
        f::chmod(o.low(n), 0o664)?;
    }
    f::write(o.low("root"), "x")?;
    f::write(o.low("far"), "x")?;
    f::chown(o.low("far"), 7777, 7777)?;
    f::symlink("f", o.low("link"))?;
    f::chown(o.low("link"), 1, 2)?;
    f::mknod(o.low("fifo"), FileType::Fifo, 0o600, 0, 0)?;
    f::chown(o.low("own"), 1, 2)?;
    f::chmod(o.low("own"), 0o755)?;
    f::chmod(o.low("open"), 0o1777)?;
    f::chown(o.low("sgid"), 1, 2)?;
    f::chmod(o.low("sgid"), 0o2777)?;
    f::chmod(o.low("suid"), 0o6775)?;
    f::setxattr(o.low("acl"), ACCESS, acl(3, 4))?;
    f::setxattr(o.low("own"), DEFAULT, acl(3, 4))?;
    f::setxattr(o.low("cap2"), CAPS, caps(None))?;
    f::setxattr(o.low("cap3"), CAPS, caps(Some(5)))?;
    // The root of the merged tree is the upper directory.
    f::chmod(o.up(""), 0o777)
}

/// What one user does, and how it ends: a line for each step.
pub fn deeds(root: &Path, who: u32) -> R<Vec<String>> {
    let mut said = Vec::new();
    let mut step = |what: &str, r: R| {
        said.push(format!("{who} {what}: {}", crate::check::outcome(&r)));
    };
    let p = |n: &str| root.join(n);
    let own = |n: &str| root.join(format!("{n}.{who}"));
    for n in ["f", "acl", "suid", "far", "cap2", "cap3", "own/f"] {
        step(&format!("read {n}"), f::read(p(n)).map(drop));
        step(&format!("listxattr {n}"), f::listxattr(p(n)).map(drop));
    }
    for d in ["open", "sgid", "own"] {
        let n = own(&format!("{d}/new"));
        step(&format!("create in {d}"), f::write(&n, "x"));
        step(&format!("chmod in {d}"), f::chmod(&n, 0o2755));
        step(
            &format!("acl in {d}"),
            f::setxattr(&n, ACCESS, acl(1003, 20004)),
        );
        step(&format!("mkdir in {d}"), f::mkdir(own(&format!("{d}/dir"))));
        step(
            &format!("symlink in {d}"),
            f::symlink("x", own(&format!("{d}/sym"))),
        );
        step(
            &format!("fifo in {d}"),
            f::mknod(own(&format!("{d}/fifo")), FileType::Fifo, 0o666, 0, 0),
        );
        let h = f::open(p(d), libc::O_TMPFILE | libc::O_RDWR, 0o2664);
        let text = match &h {
            Ok(h) => {
                let m = h.metadata()?;
                format!("tmpfile in {d} {}:{} {:o}", m.uid(), m.gid(), m.mode())
            }
            Err(_) => format!("tmpfile in {d}"),
        };
        step(&text, h.map(drop));
        let l = own(&format!("{d}/link"));
        step(&format!("link in {d}"), f::link(p("g"), &l));
        step(&format!("unlink in {d}"), f::unlink(&l));
        step(&format!("create again in {d}"), f::write(&l, "y"));
    }
    step("append f", f::append(p("f"), "+"));
    step("truncate f", f::truncate(p("f"), 3));
    step("utimes g", f::utimes(p("g"), (5, 0), (6, 0)));
    step("chmod own/g", f::chmod(p("own/g"), 0o2770));
    step("append suid", f::append(p("suid"), "+"));
    step("append far", f::append(p("far"), "+"));
    step("chmod acl", f::chmod(p("acl"), 0o2664));
    step("set acl", f::setxattr(p("acl"), ACCESS, acl(1005, 10006)));
    step("remove acl", f::removexattr(p("own"), DEFAULT));
    step("set caps", f::setxattr(p("cap2"), CAPS, caps(None)));
    step("set user", f::setxattr(p("cap3"), "user.x", "y"));
    for id in [0, 5, 1005, 10005, 20005] {
        let c = std::ffi::CString::new(p("own/f").as_os_str().as_encoded_bytes())?;
        let r = sys::lchown(&c, id.into(), -1);
        step(&format!("chown own/f {id}"), f::ctx(r, "chown", "own/f"));
        let r = sys::lchown(&c, -1, id.into());
        step(&format!("chgrp own/f {id}"), f::ctx(r, "chgrp", "own/f"));
    }
    step("rename own/g", f::rename(p("own/g"), p("own/h")));
    step("rename back", f::rename(p("own/h"), p("own/g")));
    step("unlink root", f::unlink(p("root")));
    step("create root", f::write(p("root"), "z"));
    Ok(said)
}

/// A line for each object below `dir`.
pub fn survey(title: &str, what: &str, dir: &Path) -> R<Vec<String>> {
    let mut said = Vec::new();
    for e in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let Ok(e) = e else {
            said.push(format!("{title} {what}: a directory that cannot be read"));
            continue;
        };
        let rel = e.path().strip_prefix(dir)?.display().to_string();
        said.push(format!(
            "{title} {what} {rel}: {}",
            strip_unique(&look(e.path()))
        ));
    }
    Ok(said)
}

/// All of it through one module.
fn record(t: &T, ty: &str, maps: Maps) -> R<Vec<String>> {
    let o = t.ovl()?;
    furnish(&o)?;
    mapped(ty, &o, maps)?;
    let mut said = Vec::new();
    let mut shown = |title: &str| -> R {
        drop_caches()?;
        said.extend(survey(title, "shown", o.root())?);
        said.extend(survey(title, "stored", o.upper.as_ref().unwrap())?);
        Ok(())
    };
    shown("first")?;
    let mut lines = Vec::new();
    for (uid, gid) in USERS {
        let root = o.root().to_path_buf();
        let all = if *uid == 0 {
            deeds(&root, 0)?.join("\n")
        } else {
            let file = t.p(format!("said.{uid}"));
            f::write(&file, "")?;
            f::chmod(&file, 0o666)?;
            sys::as_user(*uid, *gid, || {
                f::write(&file, deeds(&root, *uid)?.join("\n"))
            })?;
            f::text(&file)?
        };
        lines.extend(all.lines().map(str::to_string));
        shown(&format!("after {uid}"))?;
    }
    o.umount()?;
    said.extend(lines);
    Ok(said)
}

/// Without the values that no two mounts have in common.
fn strip_unique(s: &str) -> String {
    s.split(' ')
        .map(|w| match w.split_once('=') {
            Some((k, _)) if k.ends_with(".overlay.origin") || k.ends_with(".overlay.uuid") => k,
            _ => w,
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn same_as_intree(t: &T, maps: Maps) -> R {
    let want = record(t, t.other_ty()?, maps)?;
    let got = record(t, &t.ty, maps)?;
    compare(&want, &got)
}

/// Fails, with the first differences, unless both say the same, and enough.
pub fn compare(want: &[String], got: &[String]) -> R {
    let diff: Vec<String> = want
        .iter()
        .zip(got)
        .filter(|(w, g)| w != g)
        .take(20)
        .map(|(w, g)| format!("\n      in-tree: {w}\n      ours:    {g}"))
        .collect();
    check!(
        diff.is_empty() && want.len() == got.len(),
        "{} lines in-tree, {} here, the differences:{}",
        want.len(),
        got.len(),
        diff.concat()
    );
    check!(
        want.len() > 100,
        "enough was compared: {} lines",
        want.len()
    );
    Ok(())
}

fn same_as_intree_lower(t: &T) -> R {
    same_as_intree(t, LOWER)
}

fn same_as_intree_upper(t: &T) -> R {
    same_as_intree(t, UPPER)
}

fn same_as_intree_layers(t: &T) -> R {
    same_as_intree(t, LAYERS)
}

fn same_as_intree_mount(t: &T) -> R {
    same_as_intree(t, MOUNT)
}

fn same_as_intree_lower_and_mount(t: &T) -> R {
    let maps = Maps {
        upper: false,
        ..ALL
    };
    same_as_intree(t, maps)
}

fn same_as_intree_upper_and_mount(t: &T) -> R {
    let maps = Maps {
        lower: false,
        ..ALL
    };
    same_as_intree(t, maps)
}

fn same_as_intree_all(t: &T) -> R {
    same_as_intree(t, ALL)
}

fn same_as_intree_none(t: &T) -> R {
    same_as_intree(t, Maps::default())
}
