// SPDX-License-Identifier: GPL-2.0
//! The way from the metadata to the data: through the layers, to what is missing or malformed.

use super::*;

cases! { "metacopy";
    chain_through_the_layers;
    chain_by_absolute_paths;
    chain_copied_up;
    chain_metadata_is_the_topmost;
    data_is_missing;
    directory_instead_of_data;
    whiteout_instead_of_data;
    symlink_instead_of_data;
    not_followed_when_off;
    redirect_not_followed_when_off;
    malformed_marks;
    malformed_redirect;
    mark_with_a_digest_is_followed;
    mark_on_other_types_means_nothing;
}

const MARK: &str = "trusted.overlay.metacopy";
const REDIRECT: &str = "trusted.overlay.redirect";

/// A file that has only metadata, made by hand.
fn by_hand(p: PathBuf, len: u64, redirect: Option<&str>) -> R {
    f::write(&p, "")?;
    f::truncate(&p, len)?;
    f::setxattr(&p, MARK, "")?;
    if let Some(to) = redirect {
        f::setxattr(&p, REDIRECT, to)?;
    }
    Ok(())
}

/// `x` in layer 0 leads to `y` in layer 1, that to `d/z` in layer 2.
fn chain(t: &T, upper: bool, redirects: [&str; 2]) -> R<Ovl> {
    let o = if upper { t.layers(3)? } else { t.ovl_ro(3)? };
    by_hand(o.lown(0, "x"), LEN as u64, Some(redirects[0]))?;
    f::chmod(o.lown(0, "x"), 0o604)?;
    by_hand(o.lown(1, "y"), LEN as u64, Some(redirects[1]))?;
    f::chmod(o.lown(1, "y"), 0o644)?;
    f::mkdir(o.lown(2, "d"))?;
    f::write(o.lown(2, "d/z"), data())?;
    f::chmod(o.lown(2, "d/z"), 0o600)?;
    rustix::fs::sync();
    o.mount_with(ON)?;
    Ok(o)
}

fn chain_through_the_layers(t: &T) -> R {
    let o = chain(t, false, ["y", "/d/z"])?;
    for n in ["x", "y", "d/z"] {
        check_eq!(f::read(o.m(n))?, data(), "{n}");
    }
    check_eq!(f::mode(o.m("x"))?, 0o604);
    check_eq!(f::mode(o.m("y"))?, 0o644);
    check_eq!(f::mode(o.m("d/z"))?, 0o600);
    Ok(())
}

fn chain_by_absolute_paths(t: &T) -> R {
    let o = chain(t, false, ["/y", "/d/z"])?;
    check_eq!(f::read(o.m("x"))?, data());
    let data = f::stat(o.lown(2, "d/z"))?;
    check_eq!(f::stat(o.m("x"))?.blocks(), data.blocks());
    check_eq!(f::stat(o.m("x"))?.ino(), f::stat(o.lown(0, "x"))?.ino());
    Ok(())
}

fn chain_copied_up(t: &T) -> R {
    let o = chain(t, true, ["y", "/d/z"])?;
    f::chown(o.m("x"), 1, 2)?;
    check_meta(&o, "x")?;
    check_eq!(o.xattr("x", "redirect")?, None);
    check_eq!(f::read(o.m("x"))?, data());
    check_eq!(
        f::stat(o.m("x"))?.blocks(),
        f::stat(o.lown(2, "d/z"))?.blocks()
    );
    again(&o)?;
    check_eq!(f::read(o.m("x"))?, data());
    f::append(o.m("x"), "!")?;
    check_whole(&o, "x")?;
    check_eq!(f::stat(o.m("x"))?.len(), LEN as u64 + 1);
    f::append(o.m("y"), "?")?;
    check_whole(&o, "y")?;
    check_eq!(o.xattr("y", "redirect")?, None);
    check_eq!(f::read(o.m("y"))?[..LEN].to_vec(), data());
    Ok(())
}

fn chain_metadata_is_the_topmost(t: &T) -> R {
    let o = t.ovl_ro(3)?;
    for (i, mode) in [(0, 0o640), (1, 0o604)] {
        by_hand(o.lown(i, "a"), 5, None)?;
        f::chmod(o.lown(i, "a"), mode)?;
        f::setxattr(o.lown(i, "a"), "user.layer", format!("{i}"))?;
    }
    f::write(o.lown(2, "a"), "datum")?;
    o.mount_with(ON)?;
    check_eq!(f::text(o.m("a"))?, "datum");
    check_eq!(f::mode(o.m("a"))?, 0o640);
    check_eq!(f::getxattr(o.m("a"), "user.layer")?, b"0");
    check_eq!(f::listxattr(o.m("a"))?, ["user.layer"]);
    Ok(())
}

fn data_is_missing(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, None)?;
    by_hand(o.up("b"), 5, Some("/d/x"))?;
    by_hand(o.low("c"), 5, None)?;
    f::mkdir(o.low("d"))?;
    o.mount_with(ON)?;
    for n in ["a", "b", "c"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EIO, "{n}");
        t.expect_limited_log(&["metacopy", "data"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn directory_instead_of_data(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::mkdir(o.lown(0, "a"))?;
    f::write(o.lown(1, "a"), "datum")?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn whiteout_instead_of_data(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::whiteout(o.lown(0, "a"))?;
    f::write(o.lown(1, "a"), "datum")?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn symlink_instead_of_data(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, None)?;
    f::write(o.low("b"), "datum")?;
    f::symlink("b", o.low("a"))?;
    o.mount_with(ON)?;
    check_err!(f::stat(o.m("a")), EIO);
    Ok(())
}

fn not_followed_when_off(t: &T) -> R {
    let o = t.layers(2)?;
    by_hand(o.up("a"), 5, None)?;
    f::write(o.lown(1, "a"), "datum")?;
    by_hand(o.lown(0, "b"), 5, None)?;
    f::write(o.lown(1, "b"), "datum")?;
    by_hand(o.lown(1, "c"), 5, None)?;
    o.mount_with("redirect_dir=follow")?;
    for n in ["a", "b", "c"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EPERM, "{n}");
        t.expect_limited_log(&["refus", "metacopy"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn redirect_not_followed_when_off(t: &T) -> R {
    let o = t.ovl()?;
    by_hand(o.up("a"), 5, Some("b"))?;
    f::write(o.low("b"), "datum")?;
    o.mount_with("redirect_dir=nofollow")?;
    check_err!(f::stat(o.m("a")), EPERM);
    Ok(())
}

fn malformed_marks(t: &T) -> R {
    let o = t.ovl()?;
    for (n, v) in [("a", &[0u8][..]), ("b", &[0, 3, 0])] {
        f::write(o.low(n), "datum")?;
        by_hand(o.up(n), 5, None)?;
        f::setxattr(o.up(n), MARK, v)?;
    }
    o.mount_with(ON)?;
    for n in ["a", "b"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EIO, "{n}");
        t.expect_limited_log(&["metacopy", "too small"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn malformed_redirect(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("b"), "datum")?;
    for (n, to) in [("p", "x/b"), ("q", "//b"), ("r", "/b/")] {
        by_hand(o.up(n), 5, Some(to))?;
    }
    o.mount_with(ON)?;
    for n in ["p", "q", "r"] {
        t.kmsg_since();
        check_err!(f::stat(o.m(n)), EINVAL, "{n}");
        t.expect_limited_log(&["invalid redirect"], || drop(f::stat(o.m(n))))?;
    }
    Ok(())
}

fn mark_with_a_digest_is_followed(t: &T) -> R {
    let o = t.ovl()?;
    f::write(o.low("a"), "datum")?;
    by_hand(o.up("a"), 5, None)?;
    let mut mark = vec![0, 36, 0, 1];
    mark.resize(36, 9);
    f::setxattr(o.up("a"), MARK, mark)?;
    o.mount_with(ON)?;
    // Without verity= nobody asks what it says.
    check_eq!(f::text(o.m("a"))?, "datum");
    f::append(o.m("a"), "!")?;
    check_whole(&o, "a")?;
    check_eq!(f::text(o.m("a"))?, "datum!");
    Ok(())
}

fn mark_on_other_types_means_nothing(t: &T) -> R {
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "1")?;
    f::mkdir(o.up("d"))?;
    f::setxattr(o.up("d"), MARK, "")?;
    f::symlink("d/x", o.up("l"))?;
    f::setxattr(o.up("l"), MARK, "")?;
    o.mount_with(ON)?;
    check_eq!(f::text(o.m("d/x"))?, "1");
    check_eq!(f::text(o.m("l"))?, "1");
    Ok(())
}
