// SPDX-License-Identifier: GPL-2.0
//! Programs that tests run: makers of file systems, `mount(8)`, and an NFS server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::check::{Skip, R};
use crate::env::{mount_raw, mountinfo, mounts_below, registered};
use crate::f;
use crate::sys;
use anyhow::{bail, Context};
use rustix::mount::{self, MountFlags, UnmountFlags};

/// Runs a program that is to succeed: what it printed.
#[track_caller]
pub fn run(prog: &str, args: &[&str]) -> R<String> {
    let at = std::panic::Location::caller();
    let out = Command::new(prog)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{}:{}: {prog}", at.file(), at.line()))?;
    if !out.status.success() {
        bail!(
            "{}:{}: {prog} {}: {}: {}",
            at.file(),
            at.line(),
            args.join(" "),
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Loads what mounts this type. The debug kernel has not all of them: there, the test is skipped.
pub fn needs(fs: &str) -> R {
    let _ = Command::new("modprobe")
        .args(["-q", &format!("fs-{fs}")])
        .status();
    if registered(fs)? {
        return Ok(());
    }
    lacks(fs)
}

/// What the debug kernel was built without is skipped by name; the stock kernel has it.
pub fn lacks(what: &str) -> R {
    if std::env::var("OVL_KERNEL").is_ok_and(|k| k == "debug") {
        return Err(Skip(format!("the debug kernel has no {what}")).into());
    }
    bail!("this kernel has no {what}")
}

/// A path as an argument.
pub fn arg(p: &Path) -> R<&str> {
    p.to_str().context("a path that is not text")
}

/// Mounts an image at a new directory with `mount(8)`; `opts` beside `loop`.
#[track_caller]
pub fn loop_mount(image: &Path, at: &Path, opts: &str) -> R {
    f::mkdirs(at)?;
    let opts = format!("loop,{opts}");
    run("mount", &["-o", &opts, arg(image)?, arg(at)?]).map(drop)
}

/// An empty file system in an image of its own, of this size, mounted at `dir/NAME`.
#[track_caller]
pub fn file_system(dir: &Path, name: &str, mkfs: &[&str], mib: u64, opts: &str) -> R<PathBuf> {
    let image = dir.join(format!("{name}.img"));
    f::write(&image, "")?;
    f::truncate(&image, mib << 20)?;
    let (prog, args) = mkfs.split_first().context("no program")?;
    let mut args = args.to_vec();
    args.push(arg(&image)?);
    run(prog, &args)?;
    let at = dir.join(name);
    loop_mount(&image, &at, opts)?;
    Ok(at)
}

/// The kernel's NFS server, and what it needs in user space; stopped when this is dropped, with all
/// that is mounted below a directory.
pub struct Nfsd {
    dir: PathBuf,
    daemons: Vec<Child>,
    exports: Vec<(PathBuf, String)>,
}

/// Where the server is told what to do.
const CONTROL: &str = "/proc/fs/nfsd";
/// Where it talks to its daemon, and what that one remembers of the clients.
const PIPES: &str = "/run/rpc_pipefs";
const CLIENTS: &str = "/run/nfs-clients";

impl Nfsd {
    /// Starts a server whose clients mount below `dir`.
    pub fn start(dir: &Path) -> R<Self> {
        needs("nfsd")?;
        needs("nfs")?;
        sys::loopback_up()?;
        f::mkdirs("/run/rpcbind")?;
        let mut server = Self {
            dir: dir.into(),
            daemons: Vec::new(),
            exports: Vec::new(),
        };
        if !f::exists(format!("{CONTROL}/threads"))? {
            run("mount", &["-t", "nfsd", "nfsd", CONTROL])?;
        }
        f::mkdirs(PIPES)?;
        if !mounts_below(Path::new("/run"))?.contains(&PathBuf::from(PIPES)) {
            mount_raw("rpc_pipefs", Path::new(PIPES), "", MountFlags::empty())?;
        }
        f::mkdirs(CLIENTS)?;
        server.daemon("rpcbind", &["-f"])?;
        server.until("rpcbind", || run("rpcinfo", &["-p"]).is_ok())?;
        // Knows who may reclaim what after a restart; without it everybody waits.
        server.daemon("nfsdcld", &["-F", "-p", PIPES, "-s", CLIENTS])?;
        server.until("nfsdcld", || {
            f::exists(format!("{CLIENTS}/main.sqlite")).unwrap_or(false)
        })?;
        server.up()?;
        Ok(server)
    }

    fn daemon(&mut self, prog: &str, args: &[&str]) -> R {
        let child = Command::new(prog)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| prog.to_string())?;
        self.daemons.push(child);
        Ok(())
    }

    /// Waits until a program that was started is ready.
    fn until(&mut self, what: &str, ready: impl Fn() -> bool) -> R {
        for _ in 0..200 {
            if ready() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{what} is not ready after 10 s")
    }

    fn up(&mut self) -> R {
        self.daemon("rpc.mountd", &["-F"])?;
        self.until("rpc.mountd", || {
            run("rpcinfo", &["-p"]).is_ok_and(|s| s.contains("mountd"))
        })?;
        run(
            "rpc.nfsd",
            &["--grace-time", "10", "--lease-time", "10", "4"],
        )
        .map(drop)
    }

    /// Gives a directory to the clients on this machine.
    pub fn export(&mut self, dir: &Path, opts: &str) -> R {
        let opts = format!("rw,no_root_squash,insecure,no_subtree_check,{opts}");
        self.exports.push((dir.into(), opts.clone()));
        Self::tell(dir, &opts)
    }

    fn tell(dir: &Path, opts: &str) -> R {
        let what = format!("127.0.0.1:{}", dir.display());
        run("exportfs", &["-o", opts, &what]).map(drop)
    }

    /// Mounts what was exported at a new directory, with this version of the protocol.
    pub fn mount(&self, dir: &Path, at: &Path, version: &str) -> R {
        f::mkdirs(at)?;
        let from = format!("127.0.0.1:{}", dir.display());
        let opts = format!("vers={version},proto=tcp,nolock,timeo=100");
        run("mount", &["-t", "nfs", "-o", &opts, &from, arg(at)?]).map(drop)
    }

    /// Takes the exports back: nothing holds them, and what they are on, any more.
    pub fn unexport(&self) -> R {
        run("exportfs", &["-ua"])?;
        run("exportfs", &["-f"]).map(drop)
    }

    /// Stops the server: it holds nothing any more, and forgets all that it had in memory.
    pub fn stop(&mut self) -> R {
        run("rpc.nfsd", &["0"])?;
        self.unexport()?;
        if let Some(mut mountd) = self.daemons.pop() {
            mountd.kill()?;
            mountd.wait()?;
        }
        Ok(())
    }

    /// Starts it again, with the same exports.
    pub fn again(&mut self) -> R {
        self.up()?;
        self.exports
            .iter()
            .try_for_each(|(dir, opts)| Self::tell(dir, opts))
    }
}

impl Drop for Nfsd {
    fn drop(&mut self) {
        // The clients and what is above them first, as long as somebody answers. (What is served
        // itself is still in use: that is nobody's fault.)
        for m in mounts_below(&self.dir).unwrap_or_default() {
            let busy = mount::unmount(&m, UnmountFlags::empty()).is_err();
            if busy && mountinfo(&m).is_ok_and(|i| i.1.starts_with("nfs")) {
                eprintln!("{} is in use while its NFS server stops", m.display());
                let _ = mount::unmount(&m, UnmountFlags::FORCE | UnmountFlags::DETACH);
            }
        }
        for r in [self.unexport(), run("rpc.nfsd", &["0"]).map(drop)] {
            if let Err(e) = r {
                eprintln!("the NFS server does not stop: {e:#}");
            }
        }
        while let Some(mut d) = self.daemons.pop() {
            let _ = d.kill();
            let _ = d.wait();
        }
        for at in [PIPES, CONTROL] {
            let r = mount::unmount(at, UnmountFlags::empty());
            if let Err(e) = f::ctx(r, "unmount", at) {
                eprintln!("{e:#}");
            }
        }
    }
}
