// SPDX-License-Identifier: GPL-2.0
//! SELinux, enforcing a small policy of our own (`selinux.cil`): labels kept by copy-up and given
//! at creation, the labels of whole mounts, and whose rights count (F103 to F105).
//!
//! These tests need a boot with `security=selinux`, and are asked for with `--selinux`.

use super::prelude::*;
use rustix::mount::{
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount, FsMountFlags, FsOpenFlags,
    MountAttrFlags, MoveMountFlags,
};

cases! { "selinux";
    labels_show;
    copy_up_keeps_labels;
    copy_up_by_a_narrow_domain;
    relabel_copies_up;
    relabel_is_checked;
    new_objects_get_the_parents_label;
    new_objects_make_their_transition;
    transition_over_whiteouts;
    transition_of_unnamed_files;
    transition_by_name_of_renamed;
    label_chosen_by_the_process;
    callers_rights_on_the_overlay;
    mounters_rights_on_the_layers;
    context_of_the_mount;
    context_of_the_mount_hides_labels;
    context_with_categories;
    context_through_the_new_api;
    other_contexts;
    context_cannot_change;
    context_is_shown_first;
    program_changes_domain;
    mapping_is_checked;
    same_labels_as_intree
        .rs_only("compares with the kernel's own overlay");
    user_namespace_mount
        .rs_only("the policy of SELinux knows the kernel's own overlay by its name");
}

const POLICY: &str = include_str!("selinux.cil");
const LABEL: &str = "security.selinux";

fn selinux(file: &str) -> PathBuf {
    Path::new("/sys/fs/selinux").join(file)
}

/// The label of an object of this type.
fn object(kind: &str) -> String {
    format!("u:object_r:{kind}:s0")
}

/// Loads the policy and has it enforced, once in a boot.
fn enforcing() -> R {
    check!(
        f::exists(selinux(""))?,
        "SELinux is in this boot: it has security=selinux"
    );
    if !f::exists(selinux("enforce"))? {
        mount_raw("selinuxfs", &selinux(""), "", MountFlags::empty())?;
    }
    if domain()? == "kernel" {
        let dir = Path::new("/tmp");
        let (text, binary) = (dir.join("overlay.cil"), dir.join("overlay.policy"));
        f::write(&text, POLICY)?;
        let out = std::process::Command::new("secilc")
            .args(["-o".as_ref(), binary.as_os_str()])
            .args(["-f".as_ref(), dir.join("overlay.contexts").as_os_str()])
            .arg(&text)
            .output();
        let out = f::ctx(out, "run", "secilc")?;
        check!(
            out.status.success(),
            "secilc: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let policy = f::read(&binary)?;
        // The whole policy in one write.
        let h = f::open_rw(selinux("load"))?;
        f::ctx((&h).write_all(&policy), "load", binary)?;
        check_eq!(domain()?, "u:r:kernel_t:s0");
    }
    f::write(selinux("enforce"), "1")?;
    check_eq!(f::text(selinux("enforce"))?, "1");
    Ok(())
}

/// What `/proc/self/attr/current` says, without its NUL.
fn domain() -> R<String> {
    let text = f::text("/proc/self/attr/current")?;
    Ok(text.trim_end_matches(['\0', '\n']).to_string())
}

/// Runs `job` in a child in this domain.
fn in_domain(kind: &str, job: impl FnOnce() -> R) -> R {
    let child = sys::spawn(|| {
        f::write("/proc/self/attr/current", format!("u:r:{kind}:s0"))?;
        job()?;
        Ok(String::new())
    })?;
    child.join().map(drop)
}

fn label(p: impl AsRef<Path>) -> R<String> {
    let v = f::getxattr(p, LABEL)?;
    let v = String::from_utf8_lossy(&v).into_owned();
    Ok(v.trim_end_matches('\0').to_string())
}

fn set(p: impl AsRef<Path>, kind: &str) -> R {
    f::setxattr(p, LABEL, object(kind))
}

/// An overlay with a lower directory `d` (`parent_t`) and files `a` (`data_t`) and `s`
/// (`secret_t`); its work directory has a type that nothing else has.
fn overlay(t: &T) -> R<Ovl> {
    enforcing()?;
    let o = t.ovl()?;
    f::mkdir(o.low("d"))?;
    f::write(o.low("d/x"), "x")?;
    f::write(o.low("a"), "a")?;
    f::write(o.low("s"), "s")?;
    set(o.work.clone().unwrap(), "work_t")?;
    set(o.low("d"), "parent_t")?;
    set(o.low("d/x"), "data_t")?;
    set(o.low("a"), "data_t")?;
    set(o.low("s"), "secret_t")?;
    Ok(o)
}

fn mounted(t: &T) -> R<Ovl> {
    let o = overlay(t)?;
    o.mount()?;
    Ok(o)
}

fn labels_show(t: &T) -> R {
    let o = overlay(t)?;
    set(o.up(""), "othershown_t")?;
    f::write(o.up("u"), "u")?;
    set(o.up("u"), "named_t")?;
    o.mount()?;
    for when in ["at first", "caches dropped", "again"] {
        match when {
            "caches dropped" => drop_caches()?,
            "again" => o.again()?,
            _ => (),
        }
        for (n, kind) in [
            ("", "othershown_t"),
            ("d", "parent_t"),
            ("a", "data_t"),
            ("s", "secret_t"),
            ("u", "named_t"),
        ] {
            check_eq!(label(o.m(n))?, object(kind), "{when}: {n}");
        }
    }
    check!(f::listxattr(o.m("a"))?.contains(&LABEL.to_string()));
    Ok(())
}

fn copy_up_keeps_labels(t: &T) -> R {
    let o = overlay(t)?;
    f::symlink("x", o.low("d/l"))?;
    f::mknod(o.low("d/p"), FileType::Fifo, 0o600, 0, 0)?;
    f::mknod(o.low("d/c"), FileType::CharacterDevice, 0o600, 1, 3)?;
    for n in ["d/l", "d/p", "d/c"] {
        set(o.low(n), "named_t")?;
    }
    o.mount()?;
    f::chmod(o.m("a"), 0o600)?;
    f::append(o.m("s"), "+")?;
    for n in ["d/x", "d/l", "d/p", "d/c", "d"] {
        f::chown(o.m(n), 1, 1)?;
    }
    for root in [o.mnt.clone(), o.up("")] {
        for (n, kind) in [
            ("a", "data_t"),
            ("s", "secret_t"),
            ("d", "parent_t"),
            ("d/x", "data_t"),
            ("d/l", "named_t"),
            ("d/p", "named_t"),
            ("d/c", "named_t"),
        ] {
            check_eq!(label(root.join(n))?, object(kind), "{n} in {root:?}");
        }
    }
    o.again()?;
    check_eq!(label(o.m("s"))?, object("secret_t"));
    Ok(())
}

fn copy_up_by_a_narrow_domain(t: &T) -> R {
    let o = mounted(t)?;
    // It may write the file, but not the work directory, where the copy is made.
    set(o.work.clone().unwrap().join("work"), "secret_t")?;
    let a = o.m("a");
    in_domain("narrow_t", || f::append(&a, "+"))?;
    check_eq!(label(o.up("a"))?, object("data_t"));
    check_eq!(f::text(o.up("a"))?, "a+");
    Ok(())
}

fn relabel_copies_up(t: &T) -> R {
    let o = mounted(t)?;
    set(o.m("a"), "named_t")?;
    set(o.m("d"), "shown_t")?;
    check_eq!(label(o.m("a"))?, object("named_t"));
    check_eq!(label(o.up("a"))?, object("named_t"));
    check_eq!(label(o.up("d"))?, object("shown_t"));
    check_eq!(label(o.low("a"))?, object("data_t"));
    // The new label is in force at once.
    set(o.m("a"), "secret_t")?;
    let a = o.m("a");
    check_err!(in_domain("narrow_t", || f::text(&a).map(drop)), EACCES);
    o.again()?;
    check_eq!(label(o.m("d"))?, object("shown_t"));
    check_err!(in_domain("narrow_t", || f::text(&a).map(drop)), EACCES);
    Ok(())
}

fn relabel_is_checked(t: &T) -> R {
    let o = mounted(t)?;
    let (a, s) = (o.m("a"), o.m("s"));
    check_err!(in_domain("narrow_t", || set(&a, "secret_t")), EACCES);
    check_err!(in_domain("narrow_t", || set(&s, "data_t")), EACCES);
    check!(!o.in_upper("a")? && !o.in_upper("s")?, "nothing copied up");
    in_domain("narrow_t", || set(&a, "named_t"))
}

/// Makes an object of every kind.
fn make_all(dir: &Path) -> R {
    f::write(dir.join("file"), "x")?;
    f::write(dir.join("special"), "x")?;
    f::mkdir(dir.join("dir"))?;
    f::symlink("x", dir.join("link"))?;
    f::mknod(dir.join("fifo"), FileType::Fifo, 0o600, 0, 0)?;
    f::mknod(dir.join("node"), FileType::CharacterDevice, 0o600, 1, 3)
}

/// Their types in a directory of type `parent_t`.
const MADE: &[(&str, &str)] = &[
    ("file", "made_file_t"),
    ("special", "named_t"),
    ("dir", "made_dir_t"),
    ("link", "made_link_t"),
    ("fifo", "made_node_t"),
    ("node", "made_node_t"),
];

fn new_objects_get_the_parents_label(t: &T) -> R {
    let o = overlay(t)?;
    set(o.low("d"), "shown_t")?;
    o.mount()?;
    make_all(&o.m("d"))?;
    for (n, _) in MADE {
        let p = Path::new("d").join(n);
        check_eq!(label(o.m(&p))?, object("shown_t"), "{n}");
        check_eq!(label(o.up(&p))?, object("shown_t"), "{n} in the upper");
    }
    Ok(())
}

fn new_objects_make_their_transition(t: &T) -> R {
    let o = mounted(t)?;
    make_all(&o.m("d"))?;
    for (n, kind) in MADE {
        let p = Path::new("d").join(n);
        check_eq!(label(o.m(&p))?, object(kind), "{n}");
        check_eq!(label(o.up(&p))?, object(kind), "{n} in the upper");
    }
    drop_caches()?;
    for (n, kind) in MADE {
        check_eq!(label(o.m("d").join(n))?, object(kind), "{n}, cold");
    }
    Ok(())
}

fn transition_over_whiteouts(t: &T) -> R {
    // They are made in the work directory first: its label is nobody's.
    let o = overlay(t)?;
    for (n, _) in MADE {
        f::write(o.low("d").join(n), "old")?;
    }
    o.mount()?;
    for (n, _) in MADE {
        f::unlink(o.m("d").join(n))?;
    }
    make_all(&o.m("d"))?;
    for (n, kind) in MADE {
        let p = Path::new("d").join(n);
        check_eq!(label(o.m(&p))?, object(kind), "{n}");
        check_eq!(label(o.up(&p))?, object(kind), "{n} in the upper");
    }
    f::unlink(o.m("d/x"))?;
    f::link(o.m("a"), o.m("d/x"))?;
    check_eq!(label(o.up("d/x"))?, object("data_t"), "a link has its own");
    Ok(())
}

fn transition_of_unnamed_files(t: &T) -> R {
    use std::os::fd::AsRawFd;
    let o = mounted(t)?;
    let h = f::open(o.m("d"), libc::O_TMPFILE | libc::O_RDWR, 0o600)?;
    let p = format!("/proc/self/fd/{}", h.as_raw_fd());
    let mut b = [0u8; 99];
    let n = rustix::fs::fgetxattr(&h, LABEL, &mut b[..])?;
    let got = String::from_utf8_lossy(&b[..n]);
    check_eq!(got.trim_end_matches('\0'), object("made_file_t"));
    rustix::fs::linkat(
        rustix::fs::CWD,
        &p,
        rustix::fs::CWD,
        o.m("d/linked"),
        rustix::fs::AtFlags::SYMLINK_FOLLOW,
    )?;
    check_eq!(label(o.up("d/linked"))?, object("made_file_t"));
    Ok(())
}

fn transition_by_name_of_renamed(t: &T) -> R {
    let o = mounted(t)?;
    f::write(o.m("d/plain"), "x")?;
    f::rename(o.m("d/plain"), o.m("d/special"))?;
    check_eq!(label(o.m("d/special"))?, object("made_file_t"));
    f::rename(o.m("a"), o.m("d/a"))?;
    check_eq!(label(o.up("d/a"))?, object("data_t"));
    Ok(())
}

fn label_chosen_by_the_process(t: &T) -> R {
    let o = overlay(t)?;
    f::write(o.low("d/file"), "old")?;
    o.mount()?;
    f::unlink(o.m("d/file"))?;
    let d = o.m("d");
    let child = sys::spawn(|| {
        f::write("/proc/self/attr/fscreate", object("othershown_t"))?;
        make_all(&d)?;
        f::append(o.m("a"), "+")?;
        Ok(String::new())
    })?;
    child.join()?;
    for (n, _) in MADE {
        let p = Path::new("d").join(n);
        check_eq!(label(o.up(&p))?, object("othershown_t"), "{n}");
    }
    check_eq!(label(o.up("a"))?, object("data_t"), "copied up, not made");
    check_eq!(label(o.up("d"))?, object("parent_t"), "copied up, not made");
    Ok(())
}

fn callers_rights_on_the_overlay(t: &T) -> R {
    let o = mounted(t)?;
    let (a, s, root) = (o.m("a"), o.m("s"), o.mnt.clone());
    in_domain("narrow_t", || {
        check_eq!(f::text(&a)?, "a");
        check_err!(f::text(&s), EACCES);
        check_err!(f::append(&s, "+"), EACCES);
        check_err!(f::stat(&s), EACCES);
        check_err!(f::unlink(&s), EACCES);
        check_err!(f::rename(&s, &a), EACCES);
        check_err!(f::rename(&a, &s), EACCES);
        check_err!(f::link(&s, root.join("new")), EACCES);
        check_err!(f::getxattr(&s, "trusted.x"), EACCES);
        f::write(root.join("mine"), "x")?;
        check_eq!(f::ls(&root)?, ["a", "d", "mine", "s"]);
        Ok(())
    })?;
    check!(!o.in_upper("s")?, "nothing was copied up");
    // Also of what is in the caches, and of what is copied up.
    f::append(&s, "+")?;
    check_err!(in_domain("narrow_t", || f::text(&s).map(drop)), EACCES);
    let h = f::open_ro(&s)?;
    check_eq!(f::pread(&h, 0, 9)?, b"s+");
    Ok(())
}

fn mounters_rights_on_the_layers(t: &T) -> R {
    // The mounter may look at what is sealed, and not change it, whoever asks for it.
    let o = overlay(t)?;
    f::mkdir(o.up("sealed"))?;
    f::write(o.up("sealed/f"), "f")?;
    set(o.up("sealed/f"), "sealed_t")?;
    set(o.up("sealed"), "sealed_t")?;
    sys::spawn(|| {
        f::write("/proc/self/attr/current", "u:r:mounter_t:s0")?;
        o.mount()?;
        Ok(String::new())
    })?
    .join()?;
    check_eq!(f::text(o.m("sealed/f"))?, "f");
    check_eq!(f::ls(o.m("sealed"))?, ["f"]);
    check_err!(f::append(o.m("sealed/f"), "+"), EACCES);
    check_err!(f::chmod(o.m("sealed/f"), 0o600), EACCES);
    check_err!(f::unlink(o.m("sealed/f")), EACCES);
    check_err!(f::write(o.m("sealed/new"), ""), EACCES);
    check_err!(f::mkdir(o.m("sealed/newdir")), EACCES);
    f::append(o.m("a"), "+")?;
    check_eq!(f::text(o.up("a"))?, "a+");
    check_eq!(f::text(o.up("sealed/f"))?, "f");
    Ok(())
}

fn context(kind: &str) -> String {
    format!("context=\"{}\"", object(kind))
}

fn context_of_the_mount(t: &T) -> R {
    let o = overlay(t)?;
    o.mount_with(&context("shown_t"))?;
    let root = o.mnt.clone();
    in_domain("narrow_t", || {
        // Secret below, open here: the mounter reads it, the mount says who may see it.
        check_eq!(f::text(root.join("s"))?, "s");
        f::append(root.join("s"), "+")?;
        f::write(root.join("new"), "x")?;
        f::mkdir(root.join("newdir"))?;
        f::unlink(root.join("d/x"))?;
        f::write(root.join("d/x"), "again")?;
        Ok(())
    })?;
    check_eq!(f::text(o.up("s"))?, "s+");
    for n in ["", "a", "s", "d", "new", "newdir", "d/x"] {
        check_eq!(label(o.m(n))?, object("shown_t"), "{n}");
    }
    check_err!(set(o.m("a"), "data_t"), EOPNOTSUPP);
    Ok(())
}

fn context_of_the_mount_hides_labels(t: &T) -> R {
    // What is stored below of what is made and copied up in such a mount.
    let o = overlay(t)?;
    o.mount_with(&context("shown_t"))?;
    f::append(o.m("s"), "+")?;
    f::write(o.m("d/file"), "x")?;
    f::mkdir(o.m("newdir"))?;
    for n in ["s", "d", "d/file", "newdir"] {
        check_eq!(label(o.up(n))?, object("shown_t"), "{n}");
    }
    check_eq!(label(o.low("s"))?, object("secret_t"));
    let s = o.m("s");
    o.again()?;
    in_domain("narrow_t", || f::text(&s).map(drop))
}

fn context_with_categories(t: &T) -> R {
    // The comma of the label does not end the option.
    let o = overlay(t)?;
    let con = "u:object_r:shown_t:s0:c0,c2";
    o.mount_with(&format!("context=\"{con}\",redirect_dir=on"))?;
    check_eq!(label(o.m("a"))?, con);
    let shown = mountinfo(o.root())?.3;
    check!(shown.contains(con), "{shown}");
    check!(shown.contains("redirect_dir=on"), "{shown}");
    Ok(())
}

fn context_through_the_new_api(t: &T) -> R {
    let o = overlay(t)?;
    let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (k, v) in [
        ("context", object("shown_t")),
        ("lowerdir", o.low("").display().to_string()),
        ("upperdir", o.up("").display().to_string()),
        ("workdir", o.work.clone().unwrap().display().to_string()),
    ] {
        f::ctx(fsconfig_set_string(&fs, k, v.as_str()), k, v)?;
    }
    f::ctx(fsconfig_create(&fs), "create", &t.ty)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let m = fsmount(&fs, flags, MountAttrFlags::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&m, "", rustix::fs::CWD, o.root(), flags)?;
    check_eq!(label(o.m("s"))?, object("shown_t"));
    let fs = fsopen(t.ty.as_str(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    check_err!(fsconfig_set_string(&fs, "context", "nonsense"), EINVAL);
    Ok(())
}

fn other_contexts(t: &T) -> R {
    let o = overlay(t)?;
    let opts = format!(
        "fscontext=\"{}\",defcontext=\"{}\",rootcontext=\"{}\"",
        object("othershown_t"),
        object("named_t"),
        object("secret_t")
    );
    o.mount_with(&opts)?;
    check_eq!(label(o.m("a"))?, object("data_t"), "files keep theirs");
    check_eq!(label(o.root())?, object("secret_t"), "the root has its own");
    let (root, a) = (o.mnt.clone(), o.m("a"));
    check_err!(in_domain("narrow_t", || f::ls(&root).map(drop)), EACCES);
    check_err!(in_domain("narrow_t", || f::text(&a).map(drop)), EACCES);
    let shown = mountinfo(o.root())?.3;
    for k in ["fscontext=", "rootcontext="] {
        check!(shown.contains(k), "{k} in {shown}");
    }
    o.umount()?;
    check_err!(
        o.mount_with(&format!("context=\"{}\",{opts}", object("shown_t"))),
        EINVAL
    );
    Ok(())
}

fn context_cannot_change(t: &T) -> R {
    let o = overlay(t)?;
    o.mount_with(&context("shown_t"))?;
    let remount = |opts: &str| {
        let c = std::ffi::CString::new(opts)?;
        let r = rustix::mount::mount_remount(o.root(), MountFlags::empty(), c.as_c_str());
        f::ctx(r, "remount", o.root())
    };
    check_err!(remount(&context("othershown_t")), EINVAL);
    remount(&context("shown_t"))?;
    check_eq!(label(o.m("a"))?, object("shown_t"));
    Ok(())
}

fn context_is_shown_first(t: &T) -> R {
    let o = overlay(t)?;
    o.mount_with(&context("shown_t"))?;
    let shown = mountinfo(o.root())?.3;
    let want = format!("context={},lowerdir=", object("shown_t"));
    check!(shown.contains(&want), "{shown}");
    o.umount()?;
    o.mount()?;
    let shown = mountinfo(o.root())?.3;
    check!(shown.starts_with("rw,seclabel,lowerdir="), "{shown}");
    Ok(())
}

fn program_changes_domain(t: &T) -> R {
    let o = overlay(t)?;
    std::fs::copy("/bin/cat", o.low("prog"))?;
    set(o.low("prog"), "program_exec_t")?;
    o.mount()?;
    let run = |o: &Ovl| -> R<String> {
        let out = std::process::Command::new(o.m("prog"))
            .arg("/proc/self/attr/current")
            .output();
        let out = f::ctx(out, "run", o.m("prog"))?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(text.trim_end_matches(['\0', '\n']).to_string())
    };
    check_eq!(run(&o)?, "u:r:program_t:s0", "from the lower");
    f::chmod(o.m("prog"), 0o755)?;
    check_eq!(run(&o)?, "u:r:program_t:s0", "copied up");
    o.umount()?;
    let mut nosuid = o.clone();
    nosuid.flags = MountFlags::NOSUID;
    nosuid.mount()?;
    check_eq!(run(&nosuid)?, "u:r:kernel_t:s0", "not from a nosuid mount");
    nosuid.umount()?;
    o.mount_with(&context("data_t"))?;
    check_eq!(run(&o)?, "u:r:kernel_t:s0", "the mount says what it is");
    Ok(())
}

fn mapping_is_checked(t: &T) -> R {
    let o = mounted(t)?;
    let (a, s) = (o.m("a"), o.m("s"));
    // A descriptor that was opened by who may, used by who may not: mapping asks again.
    for p in [&a, &s] {
        let h = f::open_ro(p)?;
        let r = in_domain("narrow_t", || {
            f::ctx(sys::map_ro(&h, 1), "map", p).map(drop)
        });
        if p == &a {
            r?;
        } else {
            check_err!(r, EACCES);
        }
    }
    Ok(())
}

/// Labels of everything, here and in the upper, after all kinds of work.
fn story(t: &T, ty: &str, opts: &str) -> R<Vec<String>> {
    let mut o = overlay(t)?;
    o.ty = ty.into();
    for n in ["d/file", "d/dir"] {
        f::write(o.low(n), "old")?;
    }
    o.mount_with(opts)?;
    for n in ["d/file", "d/dir"] {
        f::unlink(o.m(n))?;
    }
    let mut lines = Vec::new();
    let mut say = |what: &str, r: R| lines.push(format!("{what}: {}", crate::check::outcome(&r)));
    say("make", make_all(&o.m("d")));
    say("make", make_all(&o.m("d/dir")));
    say("chmod", f::chmod(o.m("a"), 0o600));
    say("rename", f::rename(o.m("d/file"), o.m("d/dir/moved")));
    say("rename of a directory", f::rename(o.m("d"), o.m("e")));
    let (root, s) = (o.mnt.clone(), o.m("s"));
    say(
        "read a secret",
        in_domain("narrow_t", || f::text(&s).map(drop)),
    );
    say(
        "write a secret",
        in_domain("narrow_t", || f::append(&s, "+")),
    );
    say(
        "make by a narrow domain",
        in_domain("narrow_t", || f::mkdir(root.join("narrow"))),
    );
    for root in [o.mnt.clone(), o.up("")] {
        for e in walkdir::WalkDir::new(&root).sort_by_file_name() {
            let e = e?;
            let rel = e.path().strip_prefix(&root)?.display().to_string();
            let at = if root == o.mnt { "shown" } else { "stored" };
            lines.push(format!("{at} {rel}: {:?}", label(e.path())?));
        }
    }
    let work = o.work.clone().unwrap().join("work");
    lines.push(format!("work: {}", label(work)?));
    o.umount()?;
    Ok(lines)
}

fn same_labels_as_intree(t: &T) -> R {
    for opts in [
        "index=off".to_string(),
        "redirect_dir=on,index=on,metacopy=on".into(),
        context("shown_t"),
        format!("fscontext=\"{}\"", object("othershown_t")),
        format!("rootcontext=\"{}\"", object("parent_t")),
    ] {
        let (want, got) = (story(t, t.other_ty()?, &opts)?, story(t, &t.ty, &opts)?);
        for (w, g) in want.iter().zip(&got) {
            check_eq!(g, w, "as the kernel's own overlay with {opts}");
        }
        check_eq!(got.len(), want.len());
    }
    Ok(())
}

/// SELinux has a list of types of file systems whose mounts by user namespaces may have labels,
/// and `overlay` is in it. What is mounted there under another name has one label, that of the
/// process that mounts.
fn user_namespace_mount(t: &T) -> R {
    let o = overlay(t)?;
    for p in [&o.low(""), &o.up(""), o.work.as_ref().unwrap()] {
        f::chown(p, 1000, 1000)?;
    }
    f::chmod(o.low("a"), 0o644)?;
    for d in [&t.dir, o.root()] {
        f::chmod(d, 0o755)?;
    }
    let mount = |ty: &str, opts: &str| {
        sys::as_userns_root(1000, 1000, || {
            let opts = format!("{},userxattr{opts}", o.layer_opts());
            mount_raw(ty, o.root(), &opts, MountFlags::empty())?;
            label(o.m("a"))
        })
    };
    check_eq!(mount("overlay", "")?, object("data_t"));
    check_ne!(mount(&t.ty, "")?, object("data_t"), "by its name");
    check_err!(mount(&t.ty, &format!(",{}", context("shown_t"))), EACCES);
    Ok(())
}
