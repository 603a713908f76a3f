// SPDX-License-Identifier: GPL-2.0

//! Where an operation is measured: a fresh file system in memory, and on it nothing, the kernel's
//! overlay, overlay_rs, or fuse-overlayfs. What is measured is below [`TOP`] in all cases.

use crate::sys;
use anyhow::{bail, Context, Result};
use std::{
    fmt, fs,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

/// Where everything is seen.
pub const TOP: &str = "/m";

/// Where the file system with the layers is mounted.
const BASE: &str = "/base";

/// What `statfs(2)` says of a file system that is a program.
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;

/// A block device that is memory.
const DEVICE: &str = "/dev/ram0";

/// The same on every file system, as it decides on the place of names in a directory.
const UUID: &str = "4f564c2d-5253-4245-8e43-480000000001";

/// What is below the layers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Base {
    Tmpfs,
    Ext4,
}

/// What is on top.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Bare,
    Overlay,
    OverlayRs,
    Fuse,
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tmpfs => "tmpfs",
            Self::Ext4 => "ext4",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bare => "bare",
            Self::Overlay => "overlay",
            Self::OverlayRs => "overlay_rs",
            Self::Fuse => "fuse-overlayfs",
        })
    }
}

impl Base {
    /// The one with this name.
    pub fn parse(name: &str) -> Result<Self> {
        [Self::Tmpfs, Self::Ext4]
            .into_iter()
            .find(|base| base.to_string() == name)
            .context("no such base")
    }
}

impl Side {
    /// The one with this name.
    pub fn parse(name: &str) -> Result<Self> {
        let all = [Self::Bare, Self::Overlay, Self::OverlayRs, Self::Fuse];
        all.into_iter()
            .find(|side| side.to_string() == name)
            .context("no such side")
    }
}

/// A fresh file system and what is mounted from it.
pub struct Stage {
    pub base: Base,
    pub side: Side,
    options: Option<String>,
    /// The program that serves it, if it is one.
    server: Option<Child>,
}

impl Stage {
    /// Makes the file system; nothing is at [`TOP`] yet.
    pub fn new(base: Base, side: Side) -> Result<Self> {
        fs::create_dir_all(BASE)?;
        fs::create_dir_all(TOP)?;
        match base {
            Base::Tmpfs => sys::mount("tmpfs", BASE, "tmpfs", 0, "size=90%,mode=755")?,
            Base::Ext4 => {
                let made = Command::new("/sbin/mkfs.ext4")
                    .args(["-q", "-F", "-N", "60000", "-U", UUID])
                    .args([
                        "-E",
                        &format!(
                            "nodiscard,lazy_itable_init=0,lazy_journal_init=0,hash_seed={UUID}"
                        ),
                    ])
                    .arg(DEVICE)
                    .stdout(Stdio::null())
                    .status()
                    .context("mkfs.ext4")?;
                if !made.success() {
                    bail!("mkfs.ext4 failed");
                }
                sys::mount(DEVICE, BASE, "ext4", 0, "")?;
            }
        }
        Ok(Self {
            base,
            side,
            options: None,
            server: None,
        })
    }

    /// Whether this is an overlay.
    pub fn is_overlay(&self) -> bool {
        self.side != Side::Bare
    }

    fn dir(&self, name: &str) -> Result<String> {
        let dir = if self.is_overlay() {
            format!("{BASE}/{name}")
        } else {
            format!("{BASE}/bare")
        };
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// The root of a lower layer, 0 the topmost. Without an overlay all layers are one directory.
    pub fn lower(&self, n: usize) -> Result<String> {
        self.dir(&format!("l{n:03}"))
    }

    /// The root of the upper layer.
    pub fn upper(&self) -> Result<String> {
        self.dir("u")
    }

    /// What mount(2) has to be told for so many lower layers.
    pub fn options(&self, lowers: usize, more: &str) -> Result<String> {
        let dirs: Vec<String> = (0..lowers).map(|n| self.lower(n)).collect::<Result<_>>()?;
        self.dir("w")?;
        Ok(format!(
            "lowerdir={},upperdir={},workdir={BASE}/w{more}",
            dirs.join(":"),
            self.upper()?
        ))
    }

    /// Shows the layers at [`TOP`].
    pub fn mount(&mut self, lowers: usize, more: &str) -> Result<()> {
        let options = self.options(lowers, more)?;
        self.mount_with(options)
    }

    fn mount_with(&mut self, options: String) -> Result<()> {
        if self.side == Side::Fuse {
            self.serve(&options)?;
        } else if self.is_overlay() {
            sys::mount("bench", TOP, &self.side.to_string(), 0, &options)?;
        } else {
            sys::mount(&self.upper()?, TOP, "", libc::MS_BIND, "")?;
        }
        self.options = Some(options);
        Ok(())
    }

    /// Starts fuse-overlayfs, with those options that it has, and waits until it serves.
    fn serve(&mut self, options: &str) -> Result<()> {
        let known = ["lowerdir=", "upperdir=", "workdir="];
        let known = |option: &&str| known.iter().any(|k| option.starts_with(k));
        let options: Vec<&str> = options.split(',').filter(known).collect();
        let server = Command::new("/bin/fuse-overlayfs")
            .args(["-f", "-o", &options.join(","), TOP])
            .stdout(Stdio::null())
            .spawn()
            .context("fuse-overlayfs")?;
        let server = self.server.insert(server);
        while sys::magic(TOP)? != FUSE_SUPER_MAGIC {
            if let Some(status) = server.try_wait()? {
                bail!("fuse-overlayfs: {status}");
            }
            sys::settle();
        }
        Ok(())
    }

    /// Takes it away.
    pub fn umount(&mut self) -> Result<()> {
        if self.options.take().is_some() {
            sys::umount(TOP)?;
            if let Some(mut server) = self.server.take() {
                server.wait()?;
            }
        }
        Ok(())
    }

    /// Mounts the same again: the overlay knows nothing, the layers' file system still does.
    pub fn remount(&mut self) -> Result<()> {
        if let Some(options) = self.options.clone() {
            self.umount()?;
            sys::settle();
            self.mount_with(options)?;
        }
        Ok(())
    }

    /// Gives everything back.
    pub fn end(mut self) -> Result<()> {
        self.umount()?;
        sys::settle();
        sys::umount(BASE)?;
        sys::settle();
        Ok(())
    }
}

/// A directory, with all above it.
pub fn dir(path: &str) -> Result<()> {
    fs::create_dir_all(path).with_context(|| path.to_owned())
}

/// A file of so many bytes, that everyone may read.
pub fn file(path: &str, size: usize) -> Result<()> {
    fs::write(path, vec![b'x'; size]).with_context(|| path.to_owned())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))?;
    Ok(())
}

/// Files `PREFIX0`, `PREFIX1`, ... of so many bytes in a directory, which is made.
pub fn files(in_dir: &str, prefix: &str, n: usize, size: usize) -> Result<()> {
    dir(in_dir)?;
    (0..n).try_for_each(|i| file(&format!("{in_dir}/{prefix}{i}"), size))
}
