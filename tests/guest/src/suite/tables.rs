// SPDX-License-Identifier: GPL-2.0
//! The tables of operations: what the kernel's own overlay answers, this one answers too. They are
//! read from the kernel's memory, from the objects of two mounts.

use super::prelude::*;
use crate::kcore::Kernel;
use std::collections::BTreeMap;

cases! { "tables";
    same_as_intree
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_userxattr
        .rs_only("compares with the kernel's own overlay");
    same_as_intree_read_only
        .rs_only("compares with the kernel's own overlay");
    tables_can_be_read;
}

/// Every table that can be reached from the objects of a mount, and the operations in it.
type Tables = BTreeMap<String, Vec<String>>;

fn furnish(o: &Ovl) -> R {
    f::mkdir(o.low("dir"))?;
    f::write(o.low("reg"), "x")?;
    f::symlink("reg", o.low("link"))?;
    f::mknod(o.low("fifo"), FileType::Fifo, 0o600, 0, 0)
}

fn tables(o: &Ovl) -> R<Tables> {
    let mut all = Tables::new();
    let path = libc::O_PATH | libc::O_NOFOLLOW;
    let files = [
        ("dir", f::open_ro(o.m("dir"))?),
        ("reg", f::open_ro(o.m("reg"))?),
        ("link", f::open(o.m("link"), path, 0)?),
        ("fifo", f::open(o.m("fifo"), path, 0)?),
    ];
    let k = Kernel::open()?;
    for (name, h) in &files {
        let file = k.file(h)?;
        let inode = k.follow(file, "file", "f_inode")?;
        let mut put = |what: &str, addr: u64, structure: &str| -> R {
            let set = k.set_members(addr, structure)?;
            all.insert(format!("{name}: {what}"), set);
            Ok(())
        };
        put(
            "i_op",
            k.follow(inode, "inode", "i_op")?,
            "inode_operations",
        )?;
        if !matches!(*name, "link" | "fifo") {
            put(
                "i_fop",
                k.follow(inode, "inode", "i_fop")?,
                "file_operations",
            )?;
            put("f_op", k.follow(file, "file", "f_op")?, "file_operations")?;
        }
        let mapping = k.follow(inode, "inode", "i_mapping")?;
        let a_ops = k.follow(mapping, "address_space", "a_ops")?;
        put("a_ops", a_ops, "address_space_operations")?;
        // A path is a mount and a dentry.
        let dentry = k.follow(file + 8, "file", "f_path")?;
        put(
            "d_op",
            k.follow(dentry, "dentry", "d_op")?,
            "dentry_operations",
        )?;
    }
    let inode = k.follow(k.file(&files[0].1)?, "file", "f_inode")?;
    let sb = k.follow(inode, "inode", "i_sb")?;
    for (member, structure) in [
        ("s_op", "super_operations"),
        ("s_export_op", "export_operations"),
        ("dq_op", "dquot_operations"),
        ("s_qcop", "quotactl_ops"),
    ] {
        let at = k.follow(sb, "super_block", member)?;
        all.insert(format!("sb: {member}"), k.set_members(at, structure)?);
    }
    let handlers = k.array(k.follow(sb, "super_block", "s_xattr")?)?;
    for (i, h) in handlers.iter().enumerate() {
        let mut set = k.set_members(*h, "xattr_handler")?;
        for text in ["name", "prefix"] {
            let at = k.follow(*h, "xattr_handler", text)?;
            set.push(format!("{text} is {:?}", k.text(at)?));
        }
        all.insert(format!("xattr handler {i}"), set);
    }
    let kind = k.follow(sb, "super_block", "s_type")?;
    let mut set = k.set_members(kind, "file_system_type")?;
    // The name, and how it is chained to other types; options may be parsed without a table.
    set.retain(|m| !matches!(m.as_str(), "next" | "parameters"));
    all.insert("type".into(), set);
    Ok(all)
}

/// Tables that differ on purpose: table, operation, why.
const KNOWN: &[(&str, &str, &str)] = &[];

fn compare(t: &T, change: impl Fn(&mut Ovl)) -> R {
    let mut seen = Vec::new();
    for ty in [t.other_ty()?, t.ty.as_str()] {
        let mut o = t.layers(2)?;
        furnish(&o)?;
        o.ty = ty.into();
        change(&mut o);
        o.mount()?;
        seen.push(tables(&o)?);
        o.umount()?;
    }
    let (want, got) = (&seen[0], &seen[1]);
    let mut diff = String::new();
    let keys: std::collections::BTreeSet<_> = want.keys().chain(got.keys()).collect();
    for key in keys {
        let none = Vec::new();
        let (w, g) = (
            want.get(key).unwrap_or(&none),
            got.get(key).unwrap_or(&none),
        );
        let known = |op: &&String| !KNOWN.iter().any(|k| k.0 == key && k.1 == op.as_str());
        let missing: Vec<_> = w.iter().filter(|x| !g.contains(x)).filter(known).collect();
        let more: Vec<_> = g.iter().filter(|x| !w.contains(x)).filter(known).collect();
        if !missing.is_empty() || !more.is_empty() {
            diff += &format!("\n    {key}: missing {missing:?}, more {more:?}");
        }
    }
    check!(diff.is_empty(), "the tables are equal:{diff}");
    check!(want.len() >= 20, "all tables were read: {:?}", want.keys());
    Ok(())
}

fn same_as_intree(t: &T) -> R {
    compare(t, |_| {})
}

fn same_as_intree_userxattr(t: &T) -> R {
    compare(t, |o| o.opts = "userxattr".into())
}

fn same_as_intree_read_only(t: &T) -> R {
    compare(t, |o| {
        o.upper = None;
        o.work = None;
    })
}

fn tables_can_be_read(t: &T) -> R {
    // What the comparison rests on: an operation that must be there is seen, and one that cannot
    // be there is not.
    let o = t.ovl()?;
    furnish(&o)?;
    o.mount()?;
    let all = tables(&o)?;
    let has = |table: &str, op: &str| all.get(table).is_some_and(|v| v.iter().any(|x| x == op));
    check!(has("dir: i_op", "lookup"), "{all:?}");
    check!(has("reg: f_op", "read_iter"));
    check!(has("sb: s_op", "statfs"));
    check!(!has("reg: i_op", "lookup"));
    check!(!has("dir: f_op", "read_iter"));
    Ok(())
}
