// SPDX-License-Identifier: GPL-2.0
//! `verity=`: digests in the metadata, and data that is held against them. On an ext4 image of our
//! own that has fs-verity.

use super::prelude::*;

cases! { "verity";
    off_keeps_no_digest;
    on_keeps_the_digest;
    on_without_protection_keeps_none;
    require_keeps_the_digest;
    require_copies_what_is_not_protected;
    right_digest;
    wrong_digest;
    digest_without_protection;
    wrong_algorithm;
    other_length;
    no_digest_on;
    no_digest_require;
    off_does_not_look;
    checked_once;
    wrong_data_is_not_copied_up;
    metadata_can_be_asked_for;
    digest_goes_with_the_data;
    sha512;
    unknown_version;
    wrong_length_byte;
    too_long;
    data_only_layer;
    data_only_layer_wrong;
    read_by_the_other_module;
    shown_in_the_options;
}

const MARK: &str = "trusted.overlay.metacopy";
const REDIRECT: &str = "trusted.overlay.redirect";

/// An overlay on a filesystem with fs-verity.
fn image(t: &T) -> R<Ovl> {
    let img = t.p("verity.img");
    f::write(&img, "")?;
    f::truncate(&img, 64 << 20)?;
    let img = img.to_string_lossy().into_owned();
    let at = t.p("verity");
    f::mkdir(&at)?;
    let made = sys::run(
        Path::new("/sbin/mkfs.ext4"),
        &["-q", "-F", "-b", "4096", "-O", "verity", &img],
    );
    if !matches!(made, Ok(0)) {
        return Err(Skip("no mkfs.ext4 with verity".into()).into());
    }
    let to = at.to_string_lossy().into_owned();
    let done = sys::run(Path::new("/bin/mount"), &["-o", "loop", &img, &to]);
    if !matches!(done, Ok(0)) {
        return Err(Skip("cannot mount an image".into()).into());
    }
    let mut o = t.layers_at(&at.join("o"), 2)?;
    o.lowers.truncate(1);
    f::mkdir(at.join("o/m2")).ok();
    o.mnt = t.p("merged");
    f::mkdir(&o.mnt)?;
    Ok(o)
}

/// A file whose data the filesystem protects; returns its digest.
fn protect(p: PathBuf, data: &str, algorithm: u32) -> R<Vec<u8>> {
    f::write(&p, data)?;
    let fd = f::open_ro(&p)?;
    f::ctx(sys::enable_verity(&fd, algorithm), "enable verity", &p)?;
    f::ctx(sys::measure_verity(&fd), "measure verity", &p)
}

fn mark(algorithm: u8, digest: &[u8]) -> Vec<u8> {
    let mut v = vec![0, 4 + digest.len() as u8, 0, algorithm];
    v.extend_from_slice(digest);
    v
}

fn meta(p: PathBuf, len: u64, value: &[u8]) -> R {
    f::write(&p, "")?;
    f::truncate(&p, len)?;
    f::setxattr(&p, MARK, value)
}

fn mount(o: &Ovl, verity: &str) -> R {
    o.mount_with(&format!("redirect_dir=on,metacopy=on,verity={verity}"))
}

fn off_keeps_no_digest(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    mount(&o, "off")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, Some(vec![]));
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn on_keeps_the_digest(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    drop_caches()?;
    mount(&o, "on")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, Some(mark(1, &digest)));
    check_eq!(f::text(o.m("a"))?, "datum");
    o.umount()?;
    mount(&o, "require")?;
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn on_without_protection_keeps_none(t: &T) -> R {
    let o = image(t)?;
    f::write(o.low("a"), "datum")?;
    mount(&o, "on")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, Some(vec![]));
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn require_keeps_the_digest(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    mount(&o, "require")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, Some(mark(1, &digest)));
    check_eq!(f::text(o.m("a"))?, "datum");
    f::append(o.m("a"), "!")?;
    check_eq!(f::text(o.up("a"))?, "datum!");
    check_eq!(o.xattr("a", "metacopy")?, None);
    Ok(())
}

fn require_copies_what_is_not_protected(t: &T) -> R {
    let o = image(t)?;
    f::write(o.low("a"), "datum")?;
    mount(&o, "require")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, None);
    check_eq!(f::text(o.up("a"))?, "datum");
    Ok(())
}

fn right_digest(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &digest))?;
    for verity in ["on", "require", "off"] {
        drop_caches()?;
        mount(&o, verity)?;
        check_eq!(f::text(o.m("a"))?, "datum", "{verity}");
        o.umount()?;
    }
    Ok(())
}

/// Reading with this mark fails, by both modes that look.
fn refused(t: &T, o: &Ovl, value: &[u8], words: &[&str]) -> R {
    meta(o.up("a"), 5, value)?;
    for verity in ["on", "require"] {
        mount(o, verity)?;
        t.kmsg_since();
        check_err!(f::read(o.m("a")), EIO, "{verity}");
        t.expect_limited_log(words, || drop(f::read(o.m("a"))))?;
        o.umount()?;
    }
    Ok(())
}

fn wrong_digest(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    refused(t, &o, &mark(1, &[7; 32]), &["wrong", "digest"])
}

fn digest_without_protection(t: &T) -> R {
    let o = image(t)?;
    f::write(o.low("a"), "datum")?;
    refused(t, &o, &mark(1, &[7; 32]), &["no fs-verity digest"])
}

fn wrong_algorithm(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    refused(t, &o, &mark(2, &digest), &["wrong", "digest"])
}

fn other_length(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    refused(t, &o, &mark(1, &digest[..31]), &["wrong", "digest"])
}

fn no_digest_on(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, b"")?;
    mount(&o, "on")?;
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn no_digest_require(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, b"")?;
    meta(o.up("b"), 5, &[0, 4, 0, 0])?;
    f::write(o.low("b"), "datum")?;
    meta(o.up("c"), 5, &[0, 6, 0, 0, 1, 2])?;
    f::write(o.low("c"), "datum")?;
    mount(&o, "require")?;
    for n in ["a", "b", "c"] {
        t.kmsg_since();
        check_err!(f::read(o.m(n)), EIO, "{n}");
        t.expect_limited_log(&["no digest"], || drop(f::read(o.m(n))))?;
    }
    Ok(())
}

fn off_does_not_look(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &[7; 32]))?;
    mount(&o, "off")?;
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn checked_once(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &digest))?;
    mount(&o, "on")?;
    let fd = f::open_ro(o.m("a"))?;
    f::setxattr(o.up("a"), MARK, mark(1, &[7; 32]))?;
    check_eq!(f::text(o.m("a"))?, "datum");
    check_eq!(f::pread(&fd, 0, 5)?, b"datum");
    Ok(())
}

fn wrong_data_is_not_copied_up(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &[7; 32]))?;
    mount(&o, "on")?;
    check_err!(f::open_rw(o.m("a")), EIO);
    check_err!(f::chmod(o.m("a"), 0o600), EIO);
    check_err!(f::rename(o.m("a"), o.m("b")), EIO);
    check!(o.xattr("a", "metacopy")?.is_some());
    f::unlink(o.m("a"))
}

fn metadata_can_be_asked_for(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &[7; 32]))?;
    f::chmod(o.up("a"), 0o604)?;
    mount(&o, "require")?;
    check_eq!(f::mode(o.m("a"))?, 0o604);
    check_eq!(f::stat(o.m("a"))?.len(), 5);
    Ok(())
}

fn digest_goes_with_the_data(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    meta(o.up("a"), 5, &mark(1, &digest))?;
    mount(&o, "require")?;
    f::append(o.m("a"), "!")?;
    check_eq!(o.xattr("a", "metacopy")?, None);
    check_eq!(f::text(o.m("a"))?, "datum!");
    o.umount()?;
    mount(&o, "require")?;
    check_eq!(f::text(o.m("a"))?, "datum!");
    Ok(())
}

fn sha512(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 2)?;
    check_eq!(digest.len(), 64);
    mount(&o, "require")?;
    f::chmod(o.m("a"), 0o640)?;
    check_eq!(o.xattr("a", "metacopy")?, Some(mark(2, &digest)));
    o.umount()?;
    mount(&o, "require")?;
    check_eq!(f::text(o.m("a"))?, "datum");
    Ok(())
}

fn unknown_version(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    let mut value = mark(1, &digest);
    value[0] = 1;
    refused(t, &o, &value, &["metacopy", "version"])
}

fn wrong_length_byte(t: &T) -> R {
    let o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    let mut value = mark(1, &digest);
    value[1] = 35;
    refused(t, &o, &value, &["metacopy"])
}

fn too_long(t: &T) -> R {
    let o = image(t)?;
    protect(o.low("a"), "datum", 1)?;
    let mut value = mark(1, &[7; 65]);
    value[1] = 69;
    meta(o.up("a"), 5, &value)?;
    mount(&o, "on")?;
    t.kmsg_since();
    check_err!(f::read(o.m("a")), ERANGE);
    t.expect_log(&["metacopy"])
}

/// A mount with a data-only layer, whose file has this mark above it.
fn with_data_layer(t: &T, value: impl Fn(&[u8]) -> Vec<u8>) -> R<Ovl> {
    let mut o = image(t)?;
    o.lowers.push(o.lown(0, "../lower1"));
    let digest = protect(o.lown(1, "y"), "datum", 1)?;
    meta(o.lown(0, "f"), 5, &value(&digest))?;
    f::setxattr(o.lown(0, "f"), REDIRECT, "/y")?;
    let opts = format!(
        "lowerdir={}::{},{OFF},verity=require",
        o.lown(0, "").display(),
        o.lown(1, "").display()
    );
    drop_caches()?;
    o.mount_only(&opts)?;
    Ok(o)
}

fn data_only_layer(t: &T) -> R {
    let o = with_data_layer(t, |digest| mark(1, digest))?;
    check_eq!(f::text(o.m("f"))?, "datum");
    Ok(())
}

fn data_only_layer_wrong(t: &T) -> R {
    let o = with_data_layer(t, |_| mark(1, &[7; 32]))?;
    check_eq!(f::stat(o.m("f"))?.len(), 5);
    check_err!(f::read(o.m("f")), EIO);
    Ok(())
}

fn read_by_the_other_module(t: &T) -> R {
    let mut o = image(t)?;
    let digest = protect(o.low("a"), "datum", 1)?;
    protect(o.low("b"), "datum", 2)?;
    mount(&o, "require")?;
    f::chmod(o.m("a"), 0o640)?;
    f::chmod(o.m("b"), 0o640)?;
    o.umount()?;
    o.ty = t.other_ty()?.into();
    mount(&o, "require")?;
    check_eq!(f::text(o.m("a"))?, "datum");
    check_eq!(f::text(o.m("b"))?, "datum");
    check_eq!(o.xattr("a", "metacopy")?, Some(mark(1, &digest)));
    Ok(())
}

fn shown_in_the_options(t: &T) -> R {
    let o = t.ovl()?;
    for verity in ["on", "require"] {
        mount(&o, verity)?;
        let shown = mountinfo(o.root())?.3;
        check!(shown.contains(&format!(",verity={verity}")), "{shown}");
        o.umount()?;
    }
    mount(&o, "off")?;
    let shown = mountinfo(o.root())?.3;
    check!(!shown.contains("verity"), "{shown}");
    Ok(())
}
