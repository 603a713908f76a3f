// SPDX-License-Identifier: GPL-2.0
//! What a test gets: its own directory on the filesystem under test, and overlays to mount.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

use crate::check::{Skip, R};
use crate::f;
use crate::kmsg::Kmsg;
use anyhow::{bail, Context};
use rustix::mount::{self, MountFlags, UnmountFlags};

/// The features that default to what the module or the kernel was configured for, switched off
/// in so many words, so that the tests do not depend on that.
pub const OFF: &str = "index=off,redirect_dir=off,metacopy=off,xino=off,nfs_export=off";

/// The surroundings of one test.
pub struct T {
    /// The filesystem type under test: `overlay_rs` or `overlay`.
    pub ty: String,
    /// The kind of filesystem that `dir` is on.
    pub fs: String,
    /// The test's own directory.
    pub dir: PathBuf,
    /// A directory on a filesystem of another kind.
    pub other: PathBuf,
    /// The size of big tests, in percent.
    pub scale: u64,
    /// How long a storm goes on.
    pub seconds: u64,
    pub kmsg: RefCell<Kmsg>,
    next: Cell<u32>,
}

/// How big and how long tests are.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// In percent.
    pub scale: u64,
    /// The length of a storm, in seconds; 0 for ordinary tests.
    pub storm: u64,
    /// After how many seconds a test counts as hung.
    pub timeout: u64,
}

impl T {
    pub fn new(ty: &str, fs: &str, dir: PathBuf, other: PathBuf, sizes: Sizes) -> R<Self> {
        Ok(Self {
            ty: ty.into(),
            fs: fs.into(),
            dir,
            other,
            scale: sizes.scale,
            seconds: sizes.storm,
            kmsg: RefCell::new(Kmsg::at_end()?),
            next: Cell::new(0),
        })
    }

    /// `n`, scaled, but at least `min`.
    pub fn scaled(&self, n: u64, min: u64) -> u64 {
        (n * self.scale / 100).max(min)
    }

    /// Whether the module under test is the kernel's own.
    pub fn intree(&self) -> bool {
        self.ty == "overlay"
    }

    /// The other one of the two types.
    pub fn other_ty(&self) -> R<&'static str> {
        let other = if self.intree() {
            "overlay_rs"
        } else {
            "overlay"
        };
        if registered(other)? {
            Ok(other)
        } else {
            Err(Skip(format!("{other} is not registered")).into())
        }
    }

    /// A path in the test's own directory.
    pub fn p(&self, p: impl AsRef<Path>) -> PathBuf {
        self.dir.join(p)
    }

    /// New, empty layers: `n` lowers (0 is the topmost), an upper and a workdir; not mounted.
    pub fn layers(&self, n: usize) -> R<Ovl> {
        let k = self.next.get();
        self.next.set(k + 1);
        let dir = self.dir.join(format!("o{k}"));
        self.layers_at(&dir, n)
    }

    /// As [`T::layers`], in a directory of this name.
    pub fn layers_at(&self, dir: &Path, n: usize) -> R<Ovl> {
        f::mkdirs(dir)?;
        let lowers: Vec<PathBuf> = (0..n).map(|i| dir.join(format!("lower{i}"))).collect();
        for l in &lowers {
            f::mkdir(l)?;
        }
        for d in ["upper", "work", "m"] {
            f::mkdir(dir.join(d))?;
        }
        Ok(Ovl {
            ty: self.ty.clone(),
            lowers,
            upper: Some(dir.join("upper")),
            work: Some(dir.join("work")),
            mnt: dir.join("m"),
            opts: OFF.into(),
            flags: MountFlags::empty(),
        })
    }

    /// One lower, an upper and a workdir.
    pub fn ovl(&self) -> R<Ovl> {
        self.layers(1)
    }

    /// `n` lowers and no upper.
    pub fn ovl_ro(&self, n: usize) -> R<Ovl> {
        let mut o = self.layers(n)?;
        o.upper = None;
        o.work = None;
        Ok(o)
    }

    /// As [`T::ovl`], with the lower on a filesystem of another kind.
    pub fn ovl_nonsamefs(&self) -> R<Ovl> {
        let mut o = self.layers(1)?;
        let l = self.other.join(format!("lower{}", self.next.get()));
        f::mkdir(&l)?;
        o.lowers = vec![l];
        Ok(o)
    }

    /// Makes a small file system image in memory and mounts it at a new directory.
    pub fn tmpfs(&self, name: &str, opts: &str) -> R<PathBuf> {
        let p = self.dir.join(name);
        f::mkdir(&p)?;
        let data = std::ffi::CString::new(opts)?;
        mount::mount(
            "tmpfs",
            &p,
            "tmpfs",
            MountFlags::empty(),
            Some(data.as_c_str()),
        )
        .context("mount tmpfs")?;
        Ok(p)
    }

    /// Log lines that the module under test wrote since the last call.
    pub fn kmsg_since(&self) -> Vec<String> {
        // The generic mount code writes "<type>: ..." for options that it refuses itself.
        let prefixes: &[&str] = if self.intree() {
            &["overlayfs: ", "overlay: "]
        } else {
            &["overlay_rs: "]
        };
        self.kmsg
            .borrow_mut()
            .since()
            .into_iter()
            .filter(|l| prefixes.iter().any(|p| l.starts_with(p)))
            .collect()
    }

    /// Fails unless the module under test has written a line with all these words since the last
    /// look at the log. The modules word it differently: `a|b` is the one word or the other.
    #[track_caller]
    pub fn expect_log(&self, words: &[&str]) -> R {
        let at = std::panic::Location::caller();
        let lines = self.kmsg_since();
        let hit = lines.iter().any(|l| {
            let l = l.to_lowercase();
            words
                .iter()
                .all(|w| w.to_lowercase().split('|').any(|w| l.contains(w)))
        });
        if !hit {
            bail!(
                "{}:{}: the kernel log\n    expected: a line of {} with {words:?}\n    got:      {lines:?}",
                at.file(),
                at.line(),
                self.ty
            );
        }
        Ok(())
    }
}

impl T {
    /// As [`T::expect_log`], for a line that the kernel limits the rate of (10 in 5 s, for all
    /// tests together): does `again` what causes it until the line comes.
    #[track_caller]
    pub fn expect_limited_log(&self, words: &[&str], again: impl Fn()) -> R {
        let mut last = Ok(());
        for _ in 0..14 {
            last = self.expect_log(words);
            if last.is_ok() {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(500));
            again();
        }
        last
    }
}

/// A parameter of the module under test, set until this is dropped.
pub struct Param {
    file: PathBuf,
    old: String,
}

impl Param {
    #[track_caller]
    pub fn set(t: &T, name: &str, value: &str) -> R<Self> {
        let file = PathBuf::from(format!("/sys/module/{}/parameters/{name}", t.ty));
        let old = f::text(&file)?.trim().to_string();
        f::write(&file, value)?;
        Ok(Self { file, old })
    }
}

impl Drop for Param {
    fn drop(&mut self) {
        if let Err(e) = f::write(&self.file, &self.old) {
            eprintln!("cannot restore a parameter: {e:#}");
        }
    }
}

/// Whether `/proc/filesystems` has this type.
pub fn registered(ty: &str) -> R<bool> {
    Ok(f::text("/proc/filesystems")?
        .lines()
        .any(|l| l.split_whitespace().last() == Some(ty)))
}

/// The layers of an overlay, and where it is (to be) mounted.
#[derive(Clone)]
pub struct Ovl {
    pub ty: String,
    /// The topmost first.
    pub lowers: Vec<PathBuf>,
    pub upper: Option<PathBuf>,
    pub work: Option<PathBuf>,
    pub mnt: PathBuf,
    /// The options besides the layers.
    pub opts: String,
    pub flags: MountFlags,
}

/// `:`, `,` and `\` escaped, as lowerdir= wants it.
pub fn escape(p: &Path) -> String {
    p.to_string_lossy()
        .replace('\\', "\\\\")
        .replace(':', "\\:")
        .replace(',', "\\,")
}

impl Ovl {
    /// A path in the topmost lower.
    pub fn low(&self, p: impl AsRef<Path>) -> PathBuf {
        self.lowers[0].join(p)
    }

    /// A path in a lower.
    pub fn lown(&self, i: usize, p: impl AsRef<Path>) -> PathBuf {
        self.lowers[i].join(p)
    }

    /// A path in the upper.
    pub fn up(&self, p: impl AsRef<Path>) -> PathBuf {
        match &self.upper {
            Some(u) => u.join(p),
            None => PathBuf::from("/no-upper").join(p),
        }
    }

    /// A path in the merged tree.
    pub fn m(&self, p: impl AsRef<Path>) -> PathBuf {
        self.mnt.join(p)
    }

    /// The root of the merged tree.
    pub fn root(&self) -> &Path {
        &self.mnt
    }

    /// The options of the layers.
    pub fn layer_opts(&self) -> String {
        let l: Vec<String> = self.lowers.iter().map(|p| escape(p)).collect();
        let mut s = format!("lowerdir={}", l.join(":"));
        if let Some(u) = &self.upper {
            s += &format!(",upperdir={}", escape(u));
        }
        if let Some(w) = &self.work {
            s += &format!(",workdir={}", escape(w));
        }
        s
    }

    /// Mounts with `mount(2)`.
    #[track_caller]
    pub fn mount(&self) -> R {
        let o = format!("{},{}", self.layer_opts(), self.opts);
        mount_raw(&self.ty, &self.mnt, &o, self.flags)
    }

    /// Mounts with these options after the usual ones.
    #[track_caller]
    pub fn mount_with(&self, more: &str) -> R {
        let o = format!("{},{},{more}", self.layer_opts(), self.opts);
        mount_raw(&self.ty, &self.mnt, &o, self.flags)
    }

    /// Mounts with these options and no others.
    #[track_caller]
    pub fn mount_only(&self, opts: &str) -> R {
        mount_raw(&self.ty, &self.mnt, opts, self.flags)
    }

    #[track_caller]
    pub fn umount(&self) -> R {
        f::ctx(
            mount::unmount(&self.mnt, UnmountFlags::empty()),
            "unmount",
            &self.mnt,
        )
    }

    /// Unmounts and mounts again.
    #[track_caller]
    pub fn again(&self) -> R {
        self.umount()?;
        self.mount()
    }

    /// Whether the upper has a whiteout (character device 0:0) there.
    #[track_caller]
    pub fn is_whiteout(&self, p: impl AsRef<Path>) -> R<bool> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let m = f::stat(self.up(p))?;
        Ok(m.file_type().is_char_device() && m.rdev() == 0)
    }

    /// Whether the upper has anything there.
    #[track_caller]
    pub fn in_upper(&self, p: impl AsRef<Path>) -> R<bool> {
        f::exists(self.up(p))
    }

    /// An overlay attribute of an object in the upper.
    #[track_caller]
    pub fn xattr(&self, p: impl AsRef<Path>, name: &str) -> R<Option<Vec<u8>>> {
        f::xattr_opt(self.up(p), &format!("trusted.overlay.{name}"))
    }

    /// What is left in the workdir's `work` directory.
    #[track_caller]
    pub fn work_entries(&self) -> R<Vec<String>> {
        let w = self.work.as_ref().context("no workdir")?.join("work");
        f::ls(w)
    }
}

/// `mount(2)`.
#[track_caller]
pub fn mount_raw(ty: &str, at: &Path, opts: &str, flags: MountFlags) -> R {
    let c = std::ffi::CString::new(opts)?;
    let r = mount::mount("none", at, ty, flags, Some(c.as_c_str()));
    f::ctx(r, &format!("mount -t {ty} at"), at)
}

/// Drops the dentry, inode and page caches.
pub fn drop_caches() -> R {
    rustix::fs::sync();
    f::write("/proc/sys/vm/drop_caches", "3")
}

/// The mount points at or below `dir`, the last mounted first.
pub fn mounts_below(dir: &Path) -> R<Vec<PathBuf>> {
    let mut v = Vec::new();
    for l in f::text("/proc/self/mountinfo")?.lines() {
        if let Some(p) = l.split(' ').nth(4) {
            let p = PathBuf::from(unescape(p));
            if p.starts_with(dir) && p != dir {
                v.push(p);
            }
        }
    }
    v.reverse();
    Ok(v)
}

/// Undoes the octal escapes of mountinfo.
pub fn unescape(s: &str) -> String {
    let b = s.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < b.len() {
        if b[i] == b'\\' && i + 3 < b.len() {
            if let Ok(n) = u8::from_str_radix(&s[i + 1..i + 4], 8) {
                out.push(n);
                i += 4;
                continue;
            }
        }
        out.push(b[i]);
        i += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The line of mountinfo of a mount point: (mount options, type, source, super options).
pub fn mountinfo(at: &Path) -> R<(String, String, String, String)> {
    let t = f::text("/proc/self/mountinfo")?;
    for l in t.lines().rev() {
        let mut it = l.split(' ');
        let f: Vec<&str> = it.by_ref().take_while(|s| *s != "-").collect();
        let rest: Vec<&str> = it.collect();
        if f.len() > 5 && rest.len() > 2 && Path::new(&unescape(f[4])) == at {
            return Ok((
                f[5].into(),
                rest[0].into(),
                unescape(rest[1]),
                unescape(rest[2]),
            ));
        }
    }
    bail!("{} is not in /proc/self/mountinfo", at.display())
}
