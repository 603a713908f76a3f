// SPDX-License-Identifier: GPL-2.0
//! Layers with damage in them: what `make hostile` found worth a test of its own.

use super::prelude::*;

cases! { "damaged";
    entry_that_cannot_be_looked_up_is_listed
        .expect_intree_fail("it hides the entry from the second read on, or ends the listing there");
    listing_ends_where_it_ends;
    index_entry_that_states_a_length_of_nothing;
}

/// A merged directory with an entry whose redirect is malformed, among good ones.
fn with_bad_entry(t: &T) -> R<Ovl> {
    let o = t.ovl()?;
    for d in ["d", "d/a", "d/bad", "d/z"] {
        f::mkdir(o.low(d))?;
        f::mkdir(o.up(d))?;
    }
    f::setxattr(o.up("d/bad"), "trusted.overlay.redirect", "../z")?;
    // Entries of an impure directory are looked up for their inode numbers.
    f::setxattr(o.up("d"), "trusted.overlay.impure", "y")?;
    o.mount()?;
    Ok(o)
}

/// All names, read in small pieces, however often the reader is told of an error.
fn names(p: impl AsRef<Path>) -> R<Vec<String>> {
    let d = f::open_ro(p)?;
    let mut v = Vec::new();
    loop {
        let some = sys::getdents(&d, 40)?;
        if some.is_empty() {
            v.sort();
            return Ok(v);
        }
        v.extend(some.into_iter().map(|e| e.name));
    }
}

fn entry_that_cannot_be_looked_up_is_listed(t: &T) -> R {
    let o = with_bad_entry(t)?;
    for _ in 0..2 {
        check_eq!(names(o.m("d"))?, [".", "..", "a", "bad", "z"]);
        check_err!(f::stat(o.m("d/bad")), EINVAL);
    }
    Ok(())
}

/// In whatever way the bad entry is treated, the good ones come.
fn listing_ends_where_it_ends(t: &T) -> R {
    let o = with_bad_entry(t)?;
    let v = f::ls(o.m("d"))?;
    for n in ["a", "z"] {
        check!(v.contains(&n.to_string()), "{n} is not in {v:?}");
    }
    check_err!(f::rmdir(o.m("d")), ENOTEMPTY);
    Ok(())
}

/// The name of an entry of the index is a record that states less than its own header: that of a
/// whiteout is not looked at any further, that of a file has to be the file's origin.
fn index_entry_that_states_a_length_of_nothing(t: &T) -> R {
    let mut o = t.ovl()?;
    o.opts = "index=on".into();
    o.mount()?;
    o.umount()?;
    let name = format!("00fb000001{}", "00".repeat(16));
    let entry = o.work.as_ref().unwrap().join("index").join(name);
    f::whiteout(&entry)?;
    o.mount()?;
    o.umount()?;
    f::unlink(&entry)?;
    f::write(&entry, "x")?;
    check_err!(o.mount(), ENODATA);
    Ok(())
}
