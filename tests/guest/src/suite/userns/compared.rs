// SPDX-License-Identifier: GPL-2.0
//! What users of a namespace do, through both modules, compared.

use super::*;
use crate::suite::idmap::{compare, deeds, furnish, survey};

cases! { "userns";
    same_as_intree_container
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_container_without_userxattr
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_lone_user
        .rs_only("compares with the kernel's own overlay");
}

/// Everything that a few users of a namespace do through one module, and what comes of it.
fn record(
    t: &T,
    ty: &str,
    opts: &str,
    map: &[sys::IdRange],
    users: &[(u32, u32)],
) -> R<Vec<String>> {
    let mut o = t.ovl()?;
    o.ty = ty.into();
    furnish(&o)?;
    let base = map[0].1;
    for e in walkdir::WalkDir::new(&o.lowers[0]) {
        let e = e?;
        // Two objects stay with the system's root.
        if !["root", "fifo"].contains(&&*e.file_name().to_string_lossy()) {
            let m = f::stat(e.path())?;
            let mode = f::mode(e.path())?;
            match map[0].2 {
                1 => f::chown(e.path(), base, base)?,
                _ => f::chown(e.path(), base + m.uid(), base + m.gid())?,
            }
            if !m.file_type().is_symlink() {
                f::chmod(e.path(), mode)?;
            }
        }
    }
    for p in [o.up(""), o.work.clone().unwrap(), o.mnt.clone()] {
        f::chown(p, base, base)?;
    }
    let upper = o.up("");
    let mut said = Vec::new();
    let inside = |file: &Path| -> R<String> {
        mount_with(&o, opts)?;
        let mut lines = survey("first", "shown", o.root())?;
        for (uid, gid) in users {
            let root = o.root().to_path_buf();
            f::write(file, "")?;
            let job = || f::write(file, deeds(&root, *uid)?.join("\n"));
            match *uid {
                0 => job()?,
                _ => sys::as_user(*uid, *gid, job)?,
            }
            lines.extend(f::text(file)?.lines().map(str::to_string));
            lines.extend(survey(&format!("after {uid}"), "shown", o.root())?);
        }
        o.umount()?;
        Ok(lines.join("\n"))
    };
    let file = o.mnt.parent().unwrap().join("said");
    f::write(&file, "")?;
    f::chmod(&file, 0o666)?;
    let lines = match map[0].2 {
        1 => sys::as_userns_root(base, base, || inside(&file))?,
        _ => sys::in_userns(map, || inside(&file))?,
    };
    said.extend(lines.lines().map(str::to_string));
    said.extend(survey("last", "stored", &upper)?);
    Ok(said)
}

fn same(t: &T, opts: &str, map: &[sys::IdRange], users: &[(u32, u32)]) -> R {
    let want = record(t, t.other_ty()?, opts, map, users)?;
    let got = record(t, &t.ty, opts, map, users)?;
    compare(&want, &got)
}

fn same_as_intree_container(t: &T) -> R {
    same(t, "userxattr", &RANGE, &[(0, 0), (1, 2), (1001, 1002)])
}

fn same_as_intree_container_without_userxattr(t: &T) -> R {
    same(t, "", &RANGE, &[(0, 0), (1, 2), (1001, 1002)])
}

fn same_as_intree_lone_user(t: &T) -> R {
    // No other id has a meaning, so nobody else can be.
    same(t, "userxattr", &[(0, 1000, 1)], &[(0, 0)])
}
