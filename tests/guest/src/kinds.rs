// SPDX-License-Identifier: GPL-2.0
//! The same tree on file systems of many kinds, to be the lower layers of an overlay.
//!
//! The tree has two layers, `one` above `two`. Each file system holds as much of it as it can:
//! what it cannot (attributes, links, devices) is left out without a word, for the tests look at
//! the layer to see what there is.

use std::path::{Path, PathBuf};

use crate::check::R;
use crate::env::{mount_raw, mounts_below, T};
use crate::f;
use crate::suite::acl::encode;
use crate::tools::{self, arg, run, Nfsd};
use anyhow::bail;
use rustix::fs::FileType;
use rustix::mount::{MountFlags, UnmountFlags};

/// What a lower can be on. `same` is the upper's own file system; the others are never that one.
pub const KINDS: &[&str] = &[
    "same",
    "ext4",
    "xfs",
    "btrfs",
    "tmpfs",
    "ramfs",
    "squashfs",
    "erofs",
    "iso9660",
    "iso9660, plain",
    "iso9660, Joliet",
    "vfat",
    "nfs",
    "fuse",
    "overlay",
    "overlay_rs",
];

/// How long the file in the tree is.
pub const FILE_LEN: usize = 100_000;
/// When it was changed.
pub const MTIME: (i64, i64) = (1_000_000_000, 0);
/// An attribute of a user, and a POSIX ACL.
pub const NOTE: &str = "user.note";
pub const ACL: &str = "system.posix_acl_access";

/// The tree on one kind of file system.
pub struct Lower {
    pub root: PathBuf,
    /// The test's own directory: all that is mounted there is in the way when this goes.
    dir: PathBuf,
    /// What is outside of it and has to be removed.
    part: Option<PathBuf>,
    server: Option<Nfsd>,
}

impl Lower {
    fn at(t: &T, root: PathBuf) -> Self {
        Self {
            root,
            dir: t.dir.clone(),
            part: None,
            server: None,
        }
    }

    /// The tree at a directory that may not be there yet.
    fn with_tree(t: &T, root: PathBuf) -> R<Self> {
        f::mkdirs(&root)?;
        furnish(&root)?;
        Ok(Self::at(t, root))
    }

    /// The layers, the topmost first.
    pub fn layers(&self) -> Vec<PathBuf> {
        vec![self.root.join("one"), self.root.join("two")]
    }

    /// An object of the lower layer.
    pub fn two(&self, p: impl AsRef<Path>) -> PathBuf {
        self.root.join("two").join(p)
    }

    /// An object of the layer above it.
    pub fn one(&self, p: impl AsRef<Path>) -> PathBuf {
        self.root.join("one").join(p)
    }
}

impl Drop for Lower {
    fn drop(&mut self) {
        drop(self.server.take());
        for m in mounts_below(&self.dir).unwrap_or_default() {
            // The runner sees, and tells, what stays mounted.
            let _ = rustix::mount::unmount(&m, UnmountFlags::empty());
        }
        if let Some(part) = &self.part {
            if let Err(e) = std::fs::remove_dir_all(part) {
                eprintln!("cannot remove {}: {e}", part.display());
            }
        }
    }
}

/// Makes the tree, as far as the file system can hold it.
fn furnish(root: &Path) -> R {
    let (one, two) = (root.join("one"), root.join("two"));
    f::mkdirs(one.join("dir"))?;
    f::write(one.join("dir/top"), "top")?;
    f::mkdir(one.join("opaque"))?;
    f::write(one.join("opaque/new"), "new")?;
    f::mkdirs(two.join("dir/sub"))?;
    f::write(two.join("dir/inner"), "inner")?;
    f::write(two.join("dir/sub/deep"), "deep")?;
    f::mkdir(two.join("opaque"))?;
    f::write(two.join("opaque/old"), "old")?;
    f::mkdirs(two.join("moved/inside"))?;
    f::write(two.join("moved/inside/file"), "moved")?;
    for n in ["hidden", "gone", "hard1"] {
        f::write(two.join(n), n)?;
    }
    for n in ["file", "file2"] {
        let p = two.join(n);
        f::write(&p, f::pattern(1, FILE_LEN))?;
        f::utimes(&p, MTIME, MTIME)?;
    }
    // What not every file system has.
    let file = two.join("file");
    let _ = f::chown(&file, 7, 8);
    let _ = f::chmod(&file, 0o640);
    let _ = f::setxattr(&file, NOTE, "a note");
    let acl = encode(&[
        (1, 6, !0),
        (2, 4, 1001),
        (4, 4, !0),
        (0x10, 4, !0),
        (0x20, 0, !0),
    ]);
    let _ = f::setxattr(&file, ACL, acl);
    let _ = f::link(two.join("hard1"), two.join("hard2"));
    let _ = f::symlink("dir/inner", two.join("link"));
    let _ = f::mknod(two.join("fifo"), FileType::Fifo, 0o644, 0, 0);
    let _ = f::whiteout(one.join("hidden"));
    let _ = f::setxattr(one.join("opaque"), "trusted.overlay.opaque", "y");
    rustix::fs::sync();
    Ok(())
}

/// The tree in an image that a program makes of a directory; made once for all tests.
fn image(kind: &str, make: impl FnOnce(&str, &str) -> R) -> R<PathBuf> {
    let dir = PathBuf::from("/tmp/layer-images");
    let image = dir.join(kind.replace([' ', ','], "_"));
    if f::exists(&image)? {
        return Ok(image);
    }
    let stage = dir.join("tree");
    if !f::exists(&stage)? {
        f::mkdirs(&stage)?;
        furnish(&stage)?;
    }
    let new = image.with_extension("new");
    let _ = f::unlink(&new);
    make(arg(&stage)?, arg(&new)?)?;
    f::rename(&new, &image)?;
    Ok(image)
}

fn mounted(t: &T, image: &Path, opts: &str) -> R<Lower> {
    let root = t.p("lower-mount");
    tools::loop_mount(image, &root, opts)?;
    Ok(Lower::at(t, root))
}

/// On a scratch file system of this kind, or on a new one if that is where the upper is.
fn scratch(t: &T, upper: &str, kind: &str) -> R<Lower> {
    if kind == "tmpfs" {
        return Lower::with_tree(t, t.tmpfs("lower-mount", "mode=755")?);
    }
    if kind == upper {
        let (mkfs, mib): (&[&str], u64) = match kind {
            "ext4" => (&["mkfs.ext4", "-q", "-F"], 32),
            "xfs" => (&["mkfs.xfs", "-q"], 320),
            _ => (&["mkfs.btrfs", "-q"], 128),
        };
        return Lower::with_tree(
            t,
            tools::file_system(&t.dir, "lower-mount", mkfs, mib, "rw")?.join("tree"),
        );
    }
    let name = t.dir.file_name().unwrap_or_default().to_string_lossy();
    let part = PathBuf::from(format!("/mnt/{kind}/{name}-lower"));
    let mut lower = Lower::at(t, part.clone());
    lower.part = Some(part.clone());
    f::mkdir(&part)?;
    furnish(&part)?;
    Ok(lower)
}

/// The tree on a file system of this kind; `upper` is the kind that the upper is on.
pub fn lower(t: &T, upper: &str, kind: &str) -> R<Lower> {
    let fs = kind.split(',').next().unwrap_or(kind);
    if fs != "same" {
        tools::needs(fs)?;
    }
    match kind {
        "same" => Lower::with_tree(t, t.p("lower-tree")),
        "ext4" | "xfs" | "btrfs" | "tmpfs" => scratch(t, upper, kind),
        "ramfs" => {
            let root = t.p("lower-mount");
            f::mkdir(&root)?;
            mount_raw("ramfs", &root, "mode=755", MountFlags::empty())?;
            Lower::with_tree(t, root)
        }
        "squashfs" => {
            let image = image(kind, |from, to| {
                run("mksquashfs", &[from, to, "-quiet", "-no-progress"]).map(drop)
            })?;
            mounted(t, &image, "ro")
        }
        "erofs" => {
            let image = image(kind, |from, to| {
                run("mkfs.erofs", &["--quiet", to, from]).map(drop)
            })?;
            mounted(t, &image, "ro")
        }
        "iso9660" | "iso9660, plain" | "iso9660, Joliet" => {
            // Rock Ridge is what makes names and modes those of Unix.
            let how: &[&str] = match kind {
                "iso9660" => &["-R"],
                "iso9660, plain" => &[],
                _ => &["-J"],
            };
            let image = image(kind, |from, to| {
                let args = [&["-quiet"], how, &["-o", to, from]].concat();
                run("genisoimage", &args).map(drop)
            })?;
            mounted(t, &image, "ro")
        }
        "vfat" => {
            let mkfs = &["mkfs.vfat"];
            Lower::with_tree(
                t,
                tools::file_system(&t.dir, "lower-mount", mkfs, 16, "rw")?.join("tree"),
            )
        }
        "nfs" => {
            let from = t.other.join("exported");
            f::mkdir(&from)?;
            furnish(&from)?;
            let mut server = Nfsd::start(&t.dir)?;
            server.export(&from, "fsid=77")?;
            let root = t.p("lower-mount");
            server.mount(&from, &root, "4.2")?;
            let mut lower = Lower::at(t, root);
            lower.server = Some(server);
            Ok(lower)
        }
        "fuse" => {
            let from = t.other.join("passed-through");
            f::mkdir(&from)?;
            furnish(&from)?;
            let root = t.p("lower-mount");
            f::mkdir(&root)?;
            run("bindfs", &[arg(&from)?, arg(&root)?])?;
            Ok(Lower::at(t, root))
        }
        "overlay" | "overlay_rs" => {
            let mut below = t.layers_at(&t.other.join("below"), 1)?;
            below.ty = kind.into();
            below.mnt = t.p("lower-mount");
            f::mkdir(&below.mnt)?;
            below.mount()?;
            Lower::with_tree(t, below.mnt)
        }
        _ => bail!("a layer of an unknown kind: {kind}"),
    }
}
