// SPDX-License-Identifier: GPL-2.0
//! The layers that all scenarios work on, small but with one of everything, and their mount.

use fuzz::layers::{data, join, remove};
use fuzz::snapshot::{differences, take, Tree, What};
use fuzz::sys::{self, Res};

use crate::crash::without_data;
use crate::scenario::Scenario;

/// A place with layers and a mount on them.
pub struct Lab {
    pub base: Vec<u8>,
    /// A tmpfs is mounted at `base` for each build.
    fresh: bool,
    pub options: String,
    /// More options for that tmpfs.
    pub tmpfs: String,
    /// Where the lower layers are, if they are there already.
    pub lower: Option<&'static str>,
    pub mounted: bool,
}

/// Paths below the mount.
pub struct At {
    pub mnt: Vec<u8>,
}

impl At {
    pub fn p(&self, rel: &str) -> Vec<u8> {
        join(&self.mnt, rel.as_bytes())
    }
}

impl Lab {
    /// At `base`; with `fresh`, on a tmpfs of its own.
    pub fn new(base: &str, fresh: bool, scenario: &Scenario) -> Self {
        Self {
            base: base.into(),
            fresh,
            options: scenario.options.into(),
            tmpfs: String::new(),
            lower: None,
            mounted: false,
        }
    }

    fn at(&self, rel: &str) -> Vec<u8> {
        join(&self.base, rel.as_bytes())
    }

    pub fn mnt(&self) -> At {
        At { mnt: self.at("m") }
    }

    fn lowers(&self) -> Res {
        for d in [
            "l1",
            "l2",
            "l1/dir",
            "l1/dir/sub",
            "l1/merged",
            "l2/merged",
            "l1/rdir",
            "l1/tree",
            "l1/tree/t",
        ] {
            sys::mkdir(&self.at(d), 0o755)?;
        }
        for (n, len) in [
            ("l1/f", 5000),
            ("l1/big", 70_000),
            ("l1/gone", 10),
            ("l1/dir/a", 100),
            ("l1/dir/sub/c", 100),
            ("l1/rdir/inside", 10),
            ("l1/merged/x", 10),
            ("l1/merged/y", 20),
            ("l2/merged/z", 30),
            ("l2/only2", 40),
            ("l1/h1", 3000),
            ("l1/tree/t/leaf", 10),
        ] {
            file(&self.at(n), len)?;
        }
        sys::link(&self.at("l1/h1"), &self.at("l1/h2"), 0)?;
        sys::symlink(b"f", &self.at("l1/sym"))?;
        sys::mknod(&self.at("l1/fifo"), libc::S_IFIFO | 0o600, 0)?;
        sys::setxattr(&self.at("l1/f"), "user.one", b"1", 0)?;
        sys::setxattr(&self.at("l1/f"), "trusted.two", &[7; 300], 0)?;
        sys::setxattr(&self.at("l1/dir"), "user.dir", b"d", 0)?;
        sys::chmod(&self.at("l1/f"), 0o640)?;
        sys::lchown(&self.at("l1/f"), 1000, 1001)
    }

    fn upper(&self) -> Res {
        for d in ["upper", "work", "m", "upper/merged", "upper/udir"] {
            sys::mkdir(&self.at(d), 0o755)?;
        }
        for (n, len) in [
            ("upper/u", 60),
            ("upper/udir/q", 70),
            ("upper/merged/w", 80),
        ] {
            file(&self.at(n), len)?;
        }
        sys::mknod(&self.at("upper/gone"), libc::S_IFCHR, 0)
    }

    /// Makes the layers anew.
    pub fn build(&mut self) -> Result<(), String> {
        self.tear_down()?;
        let _ = sys::mkdir(&self.base, 0o755);
        if self.fresh {
            let o = format!("mode=0755,size=1g,nr_inodes=100000{}", self.tmpfs);
            sys::mount("faults", &self.base, "tmpfs", 0, o.as_bytes())
                .map_err(|e| format!("tmpfs: errno {e}"))?;
        }
        let mut r = self.upper();
        if self.lower.is_none() {
            r = r.and_then(|_| self.lowers());
        }
        r.map(|_| ()).map_err(|e| format!("layers: errno {e}"))
    }

    pub fn mount(&mut self, ty: &str) -> Res {
        let dir = String::from_utf8_lossy(&self.base).into_owned();
        let low = self.lower.unwrap_or(&dir);
        let mut o = format!("lowerdir={low}/l1:{low}/l2,upperdir={dir}/upper,workdir={dir}/work");
        if !self.options.is_empty() {
            o.push(',');
            o += &self.options;
        }
        let r = sys::mount("faults", &self.at("m"), ty, 0, o.as_bytes());
        self.mounted |= r.is_ok();
        r
    }

    pub fn umount(&mut self) -> Res {
        let r = sys::umount(&self.at("m"));
        self.mounted &= r.is_err();
        r
    }

    /// Takes the mark of a volatile mount away, as whoever mounts it again has to. A mount that fails
    /// after it left the mark does not take it back, in-tree neither.
    pub fn forget_volatile(&self) {
        let at = |rel: &str| self.at(&format!("work/work/incompat{rel}"));
        let _ = sys::unlink(&at("/volatile/dirty"));
        let _ = sys::rmdir(&at("/volatile"));
        let _ = sys::rmdir(&at(""));
    }

    /// What the mount shows. Times of the kernel's are not compared, nor link counts of directories,
    /// which change when they are copied up.
    pub fn merged(&self) -> Tree {
        self.tree("m", What::Merged)
    }

    pub fn tree(&self, rel: &str, what: What) -> Tree {
        let mut t = take(&self.at(rel), what, 0);
        for line in t.values_mut() {
            let dir = line.starts_with('4');
            *line = line
                .split(' ')
                .filter(|w| !(dir && w.starts_with("nlink=")))
                .filter(|w| {
                    !w.starts_with("mtime=") && !w.starts_with("ctime=") && !w.starts_with("d_ino=")
                })
                .collect::<Vec<_>>()
                .join(" ");
        }
        t
    }

    /// What is left in the workdir that no mount should have left there.
    pub fn leftovers(&self) -> Vec<String> {
        let mut v: Vec<String> = self
            .tree("work", What::Raw)
            .into_keys()
            .filter(|k| {
                k.contains("temporary")
                    || (k.starts_with("work/") && !k.starts_with("work/incompat"))
            })
            .collect();
        v.sort();
        v
    }

    /// As [`Self::leftovers`], without the whiteout that is kept for others and stays until the next
    /// mount.
    pub fn temporaries(&self) -> Vec<String> {
        let tree = self.tree("work", What::Raw);
        let device = |k: &String| tree.get(k).is_some_and(|line| line.starts_with('2'));
        self.leftovers()
            .into_iter()
            .filter(|k| !device(k))
            .collect()
    }

    /// Unmounts, if it is mounted.
    pub fn down(&mut self) -> Result<(), String> {
        if self.mounted {
            self.umount().map_err(|e| format!("umount: errno {e}"))?;
        }
        Ok(())
    }

    /// The other module sees the same, and nothing is left in the workdir.
    pub fn same_for_other(&mut self, ty: &str, tree: &Tree) -> Result<(), String> {
        let other = if ty == "overlay" {
            "overlay_rs"
        } else {
            "overlay"
        };
        self.mount(other)
            .map_err(|e| format!("mounting with the other module: errno {e}"))?;
        let d = differences(tree, &self.merged(), [ty, other]);
        self.down()?;
        // With handles, a mount that finds the entry of a removed directory in the index makes a
        // whiteout there.
        let left = match self.options.contains("nfs_export=on") {
            true => self.temporaries(),
            false => self.leftovers(),
        };
        match (d.is_empty(), left.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(format!("the other module sees: {}", d.join("\n  "))),
            _ => Err(format!("left in the workdir: {left:?}")),
        }
    }

    pub fn tear_down(&mut self) -> Result<(), String> {
        self.down()?;
        if self.fresh {
            match sys::umount(&self.base) {
                Ok(_) | Err(libc::EINVAL) | Err(libc::ENOENT) => Ok(()),
                Err(e) => Err(format!("umount of the layers: errno {e}")),
            }
        } else {
            remove(&self.base);
            Ok(())
        }
    }
}

/// The [`state`] of what was written, but not synchronized.
pub const UNDER_WAY: &str = "contents under way";

/// Which of the trees before and after the operation this one is.
pub fn state(s: &Scenario, tree: &Tree, trees: &[Tree; 2]) -> Result<&'static str, String> {
    let bare = without_data(tree);
    Ok(match (tree == &trees[0], tree == &trees[1]) {
        (true, true) => "no change",
        (true, _) => "before",
        (_, true) => "after",
        _ if s.writes() && trees.iter().any(|t| without_data(t) == bare) => UNDER_WAY,
        _ => {
            return Err(format!(
                "neither as before nor as after: {}",
                differences(&trees[0], tree, ["before", "now"]).join("\n  ")
            ))
        }
    })
}

/// A file with contents that depend on its length.
pub fn file(p: &[u8], len: usize) -> Res {
    let fd = sys::open(p, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o644)? as i32;
    let r = sys::write(fd, &data(len as u64, len), None);
    let _ = sys::close(fd);
    r
}
