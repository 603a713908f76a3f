// SPDX-License-Identifier: GPL-2.0
//! redirect_dir=on: directories that have a lower part are renamed, and what they carry for that.

use super::prelude::*;

cases! { "redirect";
    lower_dir_in_place;
    lower_dir_elsewhere;
    merged_dir;
    back_to_its_place;
    twice_in_place;
    twice_then_elsewhere;
    child_of_moved_dir;
    moved_parent_then_child;
    over_empty_lower_dir;
    over_whiteout;
    new_dir_at_old_place;
    exchange;
    exchange_with_upper_dir;
    remove_moved;
    copy_up_below;
    inode_number_stays;
    readdir_shows_type_and_ino;
    parent_becomes_impure;
    several_lowers;
    moved_layer_becomes_lower;
    lower_redirect_meets_upper_redirect;
    long_names;
    too_long_is_exdev;
    redirect_max;
    redirect_max_zero;
    follow_reads_but_does_not_write;
    nofollow_refuses;
    long_redirect_is_followed;
    default_by_parameter;
    always_follow_parameter;
    parameter_is_shown;
    files_get_none;
    other_driver_continues;
    same_bytes_as_other_driver;
}

const ON: &str = "index=off,metacopy=off,xino=off,nfs_export=off,redirect_dir=on";

/// `n` lowers and an upper, with redirect_dir=on.
fn ovl(t: &T, n: usize) -> R<Ovl> {
    let mut o = t.layers(n)?;
    o.opts = ON.into();
    Ok(o)
}

/// The redirect that an upper directory carries.
fn redirect(o: &Ovl, p: &str) -> R<Option<String>> {
    let x = o.xattr(p, "redirect")?;
    Ok(x.map(|v| String::from_utf8_lossy(&v).into_owned()))
}

/// A lower with `a/b/c/f` and an empty `z`.
fn nested(t: &T) -> R<Ovl> {
    let o = ovl(t, 1)?;
    f::mkdirs(o.low("a/b/c"))?;
    f::mkdir(o.low("z"))?;
    f::write(o.low("a/b/c/f"), "f")?;
    Ok(o)
}

fn lower_dir_in_place(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["q", "z"]);
        check_eq!(f::text(o.m("q/b/c/f"))?, "f");
        check_eq!(redirect(&o, "q")?, Some("a".into()));
        check!(o.is_whiteout("a")?);
        check_eq!(f::ls(o.up("q"))?, [""; 0], "nothing but the directory");
        o.again()?;
    }
    Ok(())
}

fn lower_dir_elsewhere(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a/b"), o.m("z/q"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("a"))?, [""; 0]);
        check_eq!(f::text(o.m("z/q/c/f"))?, "f");
        check_eq!(redirect(&o, "z/q")?, Some("/a/b".into()));
        check!(o.is_whiteout("a/b")?);
        o.again()?;
    }
    Ok(())
}

fn merged_dir(t: &T) -> R {
    let o = nested(t)?;
    f::mkdir(o.up("a"))?;
    f::write(o.up("a/u"), "u")?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("q"))?, ["b", "u"]);
        check_eq!(redirect(&o, "q")?, Some("a".into()));
        o.again()?;
    }
    Ok(())
}

fn back_to_its_place(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    f::rename(o.m("q"), o.m("a"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["a", "z"]);
        check_eq!(f::text(o.m("a/b/c/f"))?, "f");
        check_eq!(redirect(&o, "a")?, Some("a".into()), "stays");
        o.again()?;
    }
    Ok(())
}

fn twice_in_place(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    f::rename(o.m("q"), o.m("r"))?;
    check_eq!(redirect(&o, "r")?, Some("a".into()));
    check!(!o.in_upper("q")?, "no whiteout where no lower is");
    o.again()?;
    check_eq!(f::ls(o.root())?, ["r", "z"]);
    check_eq!(f::text(o.m("r/b/c/f"))?, "f");
    f::rename(o.m("r"), o.m("s"))?;
    check_eq!(redirect(&o, "s")?, Some("a".into()), "after a remount");
    Ok(())
}

fn twice_then_elsewhere(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a/b"), o.m("a/q"))?;
    check_eq!(redirect(&o, "a/q")?, Some("b".into()));
    f::rename(o.m("a/q"), o.m("z/r"))?;
    for _ in 0..2 {
        check_eq!(redirect(&o, "z/r")?, Some("/a/b".into()), "now absolute");
        check_eq!(f::text(o.m("z/r/c/f"))?, "f");
        o.again()?;
    }
    f::rename(o.m("z/r"), o.m("z/s"))?;
    check_eq!(redirect(&o, "z/s")?, Some("/a/b".into()), "stays absolute");
    Ok(())
}

fn child_of_moved_dir(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    f::rename(o.m("q/b"), o.m("z/b"))?;
    check_eq!(redirect(&o, "z/b")?, Some("/a/b".into()), "the lower path");
    o.again()?;
    check_eq!(f::text(o.m("z/b/c/f"))?, "f");
    check_eq!(f::ls(o.m("q"))?, [""; 0]);
    f::rename(o.m("z/b/c"), o.m("q/c"))?;
    check_eq!(redirect(&o, "q/c")?, Some("/a/b/c".into()));
    o.again()?;
    check_eq!(f::text(o.m("q/c/f"))?, "f");
    Ok(())
}

fn moved_parent_then_child(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("z/a"))?;
    f::rename(o.m("z/a/b/c"), o.m("z/a/b/d"))?;
    f::rename(o.m("z/a/b/d"), o.m("d"))?;
    for _ in 0..2 {
        check_eq!(redirect(&o, "z/a")?, Some("/a".into()));
        check_eq!(redirect(&o, "d")?, Some("/a/b/c".into()));
        check_eq!(f::text(o.m("d/f"))?, "f");
        check_eq!(f::ls(o.m("z/a/b"))?, [""; 0]);
        o.again()?;
    }
    Ok(())
}

fn over_empty_lower_dir(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("z"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["z"]);
        check_eq!(f::text(o.m("z/b/c/f"))?, "f");
        check_eq!(redirect(&o, "z")?, Some("a".into()));
        o.again()?;
    }
    Ok(())
}

fn over_whiteout(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rmdir(o.m("z"))?;
    f::rename(o.m("a"), o.m("z"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.root())?, ["z"]);
        check!(o.is_whiteout("a")?);
        check_eq!(f::text(o.m("z/b/c/f"))?, "f");
        o.again()?;
    }
    Ok(())
}

fn new_dir_at_old_place(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    f::mkdir(o.m("a"))?;
    f::write(o.m("a/new"), "new")?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("a"))?, ["new"]);
        check_eq!(f::ls(o.m("q"))?, ["b"]);
        check_eq!(o.xattr("a", "opaque")?, Some(b"y".to_vec()));
        o.again()?;
    }
    Ok(())
}

fn exchange(t: &T) -> R {
    let o = nested(t)?;
    f::write(o.low("z/zz"), "zz")?;
    o.mount()?;
    f::rename2(o.m("a"), o.m("z"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("a"))?, ["zz"]);
        check_eq!(f::ls(o.m("z"))?, ["b"]);
        check_eq!(redirect(&o, "a")?, Some("z".into()));
        check_eq!(redirect(&o, "z")?, Some("a".into()));
        o.again()?;
    }
    f::rename2(o.m("z/b"), o.m("a"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("a"))?, ["c"]);
        check_eq!(f::ls(o.m("z/b"))?, ["zz"]);
        check_eq!(redirect(&o, "a")?, Some("/a/b".into()));
        check_eq!(redirect(&o, "z/b")?, Some("/z".into()));
        o.again()?;
    }
    Ok(())
}

fn exchange_with_upper_dir(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::mkdir(o.m("u"))?;
    f::write(o.m("u/x"), "x")?;
    f::rename2(o.m("u"), o.m("a/b"), RenameFlags::EXCHANGE)?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("u"))?, ["c"]);
        check_eq!(f::ls(o.m("a/b"))?, ["x"]);
        check_eq!(redirect(&o, "u")?, Some("/a/b".into()));
        check_eq!(o.xattr("a/b", "opaque")?, Some(b"y".to_vec()));
        o.again()?;
    }
    Ok(())
}

fn remove_moved(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    check_err!(f::rmdir(o.m("q")), ENOTEMPTY);
    f::unlink(o.m("q/b/c/f"))?;
    f::rmdir(o.m("q/b/c"))?;
    f::rmdir(o.m("q/b"))?;
    f::rmdir(o.m("q"))?;
    check_eq!(f::ls(o.root())?, ["z"]);
    o.again()?;
    check_eq!(f::ls(o.root())?, ["z"]);
    check_eq!(f::text(o.low("a/b/c/f"))?, "f");
    Ok(())
}

fn copy_up_below(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("z/q"))?;
    f::append(o.m("z/q/b/c/f"), "+")?;
    f::write(o.m("z/q/b/new"), "new")?;
    for _ in 0..2 {
        check_eq!(f::text(o.m("z/q/b/c/f"))?, "f+");
        check_eq!(f::ls(o.m("z/q/b"))?, ["c", "new"]);
        check_eq!(redirect(&o, "z/q/b")?, None);
        o.again()?;
    }
    check_eq!(f::text(o.low("a/b/c/f"))?, "f");
    Ok(())
}

fn inode_number_stays(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    let (d, g) = (f::stat(o.m("a"))?.ino(), f::stat(o.m("a/b"))?.ino());
    f::rename(o.m("a"), o.m("q"))?;
    f::rename(o.m("q/b"), o.m("z/b"))?;
    for _ in 0..2 {
        check_eq!(f::stat(o.m("q"))?.ino(), d);
        check_eq!(f::stat(o.m("z/b"))?.ino(), g);
        o.again()?;
        drop_caches()?;
    }
    Ok(())
}

fn readdir_shows_type_and_ino(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("z/q"))?;
    let dir = f::open_ro(o.m("z"))?;
    let e = sys::getdents(&dir, 4096)?;
    let q = e.iter().find(|e| e.name == "q");
    check_eq!(q.map(|e| e.ino), Some(f::stat(o.m("z/q"))?.ino()));
    check_eq!(q.map(|e| e.kind), Some(libc::DT_DIR));
    Ok(())
}

fn parent_becomes_impure(t: &T) -> R {
    let o = nested(t)?;
    f::mkdir(o.up("u"))?;
    o.mount()?;
    check_eq!(o.xattr("u", "impure")?, None);
    f::rename(o.m("a"), o.m("u/q"))?;
    check_eq!(o.xattr("u", "impure")?, Some(b"y".to_vec()));
    Ok(())
}

fn several_lowers(t: &T) -> R {
    let o = ovl(t, 3)?;
    for (i, n) in ["x", "y", "z"].iter().enumerate() {
        f::mkdirs(o.lown(i, "a/b"))?;
        f::write(o.lown(i, "a/b").join(n), n)?;
    }
    f::mkdir(o.lown(2, "t"))?;
    o.mount()?;
    f::rename(o.m("a/b"), o.m("t/b"))?;
    f::rename(o.m("a"), o.m("t/a"))?;
    for _ in 0..2 {
        check_eq!(f::ls(o.m("t/b"))?, ["x", "y", "z"]);
        check_eq!(f::ls(o.m("t/a"))?, [""; 0]);
        check_eq!(f::ls(o.root())?, ["t"]);
        o.again()?;
    }
    Ok(())
}

fn moved_layer_becomes_lower(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("z/q"))?;
    f::write(o.m("z/q/b/u"), "u")?;
    o.umount()?;
    // The upper is the topmost lower of another mount.
    let mut p = ovl(t, 0)?;
    p.lowers = vec![o.up(""), o.low("")];
    p.mount()?;
    check_eq!(f::text(p.m("z/q/b/c/f"))?, "f");
    f::rename(p.m("z/q/b"), p.m("b"))?;
    check_eq!(
        redirect(&p, "b")?,
        Some("/z/q/b".into()),
        "as seen in the topmost lower"
    );
    for _ in 0..2 {
        check_eq!(f::ls(p.m("b"))?, ["c", "u"]);
        check_eq!(f::text(p.m("b/c/f"))?, "f");
        p.again()?;
    }
    Ok(())
}

fn lower_redirect_meets_upper_redirect(t: &T) -> R {
    let o = ovl(t, 2)?;
    f::mkdirs(o.lown(1, "x/y"))?;
    f::write(o.lown(1, "x/y/f"), "f")?;
    f::mkdir(o.lown(0, "p"))?;
    f::setxattr(o.lown(0, "p"), "trusted.overlay.redirect", "/x/y")?;
    f::whiteout(o.lown(0, "x"))?;
    o.mount()?;
    check_eq!(f::ls(o.root())?, ["p"]);
    f::rename(o.m("p"), o.m("q"))?;
    for _ in 0..2 {
        check_eq!(redirect(&o, "q")?, Some("p".into()));
        check_eq!(f::text(o.m("q/f"))?, "f");
        o.again()?;
    }
    Ok(())
}

fn long_names(t: &T) -> R {
    let o = ovl(t, 1)?;
    let long = "n".repeat(255);
    f::mkdirs(o.low(&long))?;
    f::write(o.low(&long).join("f"), "f")?;
    f::mkdir(o.low("z"))?;
    o.mount()?;
    // In the same directory no limit applies; from the root it is one byte more.
    f::rename(o.m(&long), o.m("q"))?;
    check_eq!(redirect(&o, "q")?, Some(long.clone()));
    f::rename(o.m("q"), o.m("z/q"))?;
    for _ in 0..2 {
        check_eq!(redirect(&o, "z/q")?, Some(format!("/{long}")));
        check_eq!(f::text(o.m("z/q/f"))?, "f");
        o.again()?;
    }
    Ok(())
}

fn too_long_is_exdev(t: &T) -> R {
    let o = ovl(t, 1)?;
    let (a, b) = ("a".repeat(200), "b".repeat(55));
    let deep = PathBuf::from(&a).join(&b);
    f::mkdirs(o.low(&deep))?;
    f::mkdir(o.low("z"))?;
    o.mount()?;
    check_err!(f::rename(o.m(&deep), o.m("z/q")), EXDEV, "257 bytes");
    check_eq!(f::ls(o.m(&a))?, [b.as_str()]);
    f::rename(o.m(&deep), o.m(&a).join("c"))?;
    check_err!(
        f::rename(o.m(&a).join("c"), o.m("z/q")),
        EXDEV,
        "by its old name"
    );
    o.again()?;
    check_eq!(f::ls(o.m(&a))?, ["c"]);
    check_eq!(f::ls(o.m("z"))?, [""; 0]);
    Ok(())
}

fn redirect_max(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    let p = Param::set(t, "redirect_max", "5")?;
    check_err!(f::rename(o.m("a/b/c"), o.m("z/c")), EXDEV, "/a/b/c");
    f::rename(o.m("a/b"), o.m("z/b"))?;
    drop(p);
    let _p = Param::set(t, "redirect_max", "6")?;
    f::rename(o.m("z/b/c"), o.m("z/c"))?;
    check_eq!(redirect(&o, "z/c")?, Some("/a/b/c".into()));
    check_err!(Param::set(t, "redirect_max", "65536"), ERANGE);
    check_err!(Param::set(t, "redirect_max", "x"), EINVAL);
    Ok(())
}

fn redirect_max_zero(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    let _p = Param::set(t, "redirect_max", "0")?;
    check_err!(f::rename(o.m("a"), o.m("z/a")), EXDEV);
    f::rename(o.m("a"), o.m("b"))?;
    check_eq!(redirect(&o, "b")?, Some("a".into()), "a name has no limit");
    Ok(())
}

fn follow_reads_but_does_not_write(t: &T) -> R {
    let mut o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    o.umount()?;
    o.opts = format!("{OFF},redirect_dir=follow");
    o.mount()?;
    check_eq!(f::text(o.m("q/b/c/f"))?, "f");
    check_err!(f::rename(o.m("q"), o.m("r")), EXDEV);
    check_err!(f::rename(o.m("q/b"), o.m("b")), EXDEV);
    Ok(())
}

fn nofollow_refuses(t: &T) -> R {
    let mut o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    o.umount()?;
    o.opts = format!("{OFF},redirect_dir=nofollow");
    o.mount()?;
    check_err!(f::stat(o.m("q")), EPERM);
    t.expect_limited_log(&["refusing to follow redirect"], || {
        let _ = f::stat(o.m("q"));
    })?;
    check_err!(f::stat(o.m("a")), ENOENT);
    Ok(())
}

fn long_redirect_is_followed(t: &T) -> R {
    let o = ovl(t, 1)?;
    let deep = PathBuf::from("d".repeat(200)).join("e".repeat(200));
    f::mkdirs(o.low(&deep))?;
    f::write(o.low(&deep).join("f"), "f")?;
    f::mkdir(o.up("q"))?;
    let r = format!("/{}", deep.display());
    f::setxattr(o.up("q"), "trusted.overlay.redirect", r)?;
    o.mount()?;
    check_eq!(f::text(o.m("q/f"))?, "f");
    f::rename(o.m("q"), o.m("r"))?;
    check_eq!(f::text(o.m("r/f"))?, "f");
    Ok(())
}

/// Mounts without a word about redirect_dir.
fn unspoken(o: &Ovl) -> R {
    o.mount_only(&format!("{},index=off,metacopy=off", o.layer_opts()))
}

fn default_by_parameter(t: &T) -> R {
    let o = nested(t)?;
    let p = Param::set(t, "redirect_dir", "Y")?;
    unspoken(&o)?;
    f::rename(o.m("a"), o.m("q"))?;
    drop(p);
    f::rename(o.m("q"), o.m("r"))?;
    o.umount()?;
    let _p = Param::set(t, "redirect_dir", "N")?;
    unspoken(&o)?;
    check_eq!(f::text(o.m("r/b/c/f"))?, "f");
    check_err!(f::rename(o.m("r"), o.m("s")), EXDEV);
    Ok(())
}

fn always_follow_parameter(t: &T) -> R {
    let mut o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a"), o.m("q"))?;
    o.umount()?;
    o.opts = OFF.into();
    for (value, errno) in [("N", Some(libc::EPERM)), ("Y", None)] {
        let _p = Param::set(t, "redirect_always_follow", value)?;
        o.mount()?;
        let r = f::stat(o.m("q"));
        let got = r.as_ref().err().and_then(crate::check::Errno::errno);
        check_eq!(got, errno, "redirect_always_follow={value}");
        o.umount()?;
    }
    Ok(())
}

fn parameter_is_shown(t: &T) -> R {
    let o = nested(t)?;
    let _p = Param::set(t, "redirect_dir", "Y")?;
    unspoken(&o)?;
    let s = mountinfo(o.root())?.3;
    check!(!s.contains("redirect_dir"), "the default is not shown: {s}");
    o.umount()?;
    o.mount_only(&format!("{},redirect_dir=off", o.layer_opts()))?;
    let s = mountinfo(o.root())?.3;
    check!(s.contains("redirect_dir=follow"), "{s}");
    Ok(())
}

fn files_get_none(t: &T) -> R {
    let o = nested(t)?;
    o.mount()?;
    f::rename(o.m("a/b/c/f"), o.m("z/g"))?;
    check_eq!(redirect(&o, "z/g")?, None);
    f::mkdir(o.m("u"))?;
    f::rename(o.m("u"), o.m("z/u"))?;
    check_eq!(
        redirect(&o, "z/u")?,
        None,
        "a directory without a lower part"
    );
    check_eq!(o.xattr("z/u", "opaque")?, Some(b"y".to_vec()));
    Ok(())
}

/// Renames of all kinds below the usual lower.
fn play(o: &Ovl) -> R {
    f::mkdirs(o.m("a/n/o"))?;
    f::write(o.m("a/n/o/p"), "p")?;
    f::rename(o.m("a/b"), o.m("z/b1"))?;
    f::rename(o.m("a"), o.m("q"))?;
    f::rename(o.m("z/b1/c"), o.m("q/c1"))?;
    f::rename(o.m("z"), o.m("q/z"))?;
    f::rename(o.m("q/n"), o.m("n"))?;
    f::append(o.m("q/c1/f"), "!")?;
    f::rename2(o.m("q/z"), o.m("n/o"), RenameFlags::EXCHANGE)
}

fn other_driver_continues(t: &T) -> R {
    let ty = t.other_ty()?;
    let o = nested(t)?;
    o.mount()?;
    play(&o)?;
    let want = tree::snapshot(o.root(), tree::ALL)?;
    o.umount()?;
    let mut p = o.clone();
    p.ty = ty.into();
    p.mount()?;
    tree::same(ty, &want, &tree::snapshot(p.root(), tree::ALL)?)?;
    f::rename(p.m("q"), p.m("n/q"))?;
    f::rename(p.m("n"), p.m("m"))?;
    let want = tree::snapshot(p.root(), tree::ALL)?;
    p.umount()?;
    o.mount()?;
    tree::same("back", &want, &tree::snapshot(o.root(), tree::ALL)?)
}

fn same_bytes_as_other_driver(t: &T) -> R {
    let o = nested(t)?;
    let mut p = nested(t)?;
    p.ty = t.other_ty()?.into();
    for o in [&o, &p] {
        o.mount()?;
        play(o)?;
        o.umount()?;
    }
    for dir in ["", "q", "q/c1", "q/z", "n", "n/o", "n/o/b1"] {
        check_eq!(f::ls(o.up(dir))?, f::ls(p.up(dir))?, "{dir}");
        check_eq!(f::listxattr(o.up(dir))?, f::listxattr(p.up(dir))?, "{dir}");
        check_eq!(redirect(&o, dir)?, redirect(&p, dir)?, "{dir}");
    }
    Ok(())
}
