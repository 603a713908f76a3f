// SPDX-License-Identifier: GPL-2.0
//! The upper file system as a crash would have left it.
//!
//! dm-log-writes records what an operation writes, in the order in which it became durable. Every
//! beginning of that record is a state in which the machine may have stopped: it is put on a disk,
//! the file system recovers, and both modules have to show the tree as it was before the operation
//! or as it is after it; only as it is after it, once that was synchronized. No mount leaves
//! anything in the workdir. The lower layers are on the same file system.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::Command;

use fuzz::layers::join;
use fuzz::snapshot::{differences, Tree};
use fuzz::sys::{self, Res};

use crate::lab::Lab;
use crate::report::Report;
use crate::scenario::{Scenario, When};
use crate::sys as own;
use crate::Args;

/// Where the images are: a file system that can share blocks.
const DIR: &str = "/mnt/xfs/crash";
const SIZE: u64 = 320 << 20;
const MNT: &str = "/mnt/crash";
/// How many states of one operation are looked at that end between two flushes.
const BETWEEN: usize = 8;

const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
const MARK: u64 = 8;

/// Runs a shell command; returns what it printed.
pub fn sh(what: &str) -> Result<String, String> {
    let o = Command::new("sh")
        .args(["-c", what])
        .output()
        .map_err(|e| format!("{what}: {e}"))?;
    if o.status.success() {
        Ok(String::from_utf8_lossy(&o.stdout).trim().to_string())
    } else {
        Err(format!(
            "{what}: {}",
            String::from_utf8_lossy(&o.stderr).trim()
        ))
    }
}

fn image(name: &str) -> Result<File, String> {
    let p = format!("{DIR}/{name}");
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&p)
        .map_err(|e| format!("{p}: {e}"))
}

fn io<T>(r: std::io::Result<T>) -> Result<T, String> {
    r.map_err(|e| e.to_string())
}

fn clone(to: &File, from: &File) -> Result<(), String> {
    own::clone_file(to.as_raw_fd(), from.as_raw_fd())
        .map(|_| ())
        .map_err(|e| format!("sharing blocks: errno {e}"))
}

/// The images and the devices on them.
struct Disks {
    /// What is recorded, the record, and what is looked at.
    data: File,
    log: File,
    test: File,
    replay: File,
    data_dev: String,
    log_dev: String,
    test_dev: String,
}

impl Disks {
    fn new() -> Result<Self, String> {
        sh(&format!("modprobe dm-log-writes; mkdir -p {DIR} {MNT}"))?;
        let make = |n: &str| -> Result<(File, String), String> {
            let f = image(n)?;
            io(f.set_len(SIZE))?;
            let dev = sh(&format!("losetup -f --show {DIR}/{n}"))?;
            Ok((f, dev))
        };
        let (data, data_dev) = make("data")?;
        let (log, log_dev) = make("log")?;
        let (test, test_dev) = make("test")?;
        let replay = image("replay")?;
        Ok(Self {
            data,
            log,
            test,
            replay,
            data_dev,
            log_dev,
            test_dev,
        })
    }

    /// An empty file system of this type, made once.
    fn empty(&self, fs: &str) -> Result<File, String> {
        let f = image(&format!("empty-{fs}"))?;
        if io(f.metadata())?.len() == 0 {
            io(f.set_len(SIZE))?;
            sh(&match fs {
                "xfs" => format!("mkfs.xfs -q -f {DIR}/empty-xfs"),
                _ => format!(
                    "mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 {DIR}/empty-{fs}"
                ),
            })?;
        }
        Ok(f)
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        // As far as it is there.
        let _ = sh(&format!(
            "umount {MNT}/lab/m {MNT}; dmsetup remove --noudevsync ovl-crash; losetup -d {} {} {}",
            self.data_dev, self.log_dev, self.test_dev
        ));
    }
}

fn mount(dev: &str, fs: &str) -> Result<(), String> {
    sys::mount(dev, MNT.as_bytes(), fs, libc::MS_NOATIME, b"")
        .map(|_| ())
        .map_err(|e| format!("mount of {fs} on {dev}: errno {e}"))
}

fn umount() -> Result<(), String> {
    sys::umount(MNT.as_bytes())
        .map(|_| ())
        .map_err(|e| format!("umount of {MNT}: errno {e}"))
}

/// One piece of the record.
struct Entry {
    flags: u64,
    /// Where the data goes on the disk, where it is in the record, and its length, in bytes.
    to: u64,
    from: u64,
    len: u64,
}

/// The record that dm-log-writes left.
fn entries(log: &File) -> Result<Vec<Entry>, String> {
    let mut head = [0u8; 512];
    let word = |b: &[u8], i: usize| {
        b.get(i * 8..i * 8 + 8)
            .and_then(|w| w.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    io(log.read_exact_at(&mut head, 0))?;
    if word(&head, 0) != 0x006a_7366_7773_6872 {
        return Err("there is no record".into());
    }
    let (count, sector) = (word(&head, 2), word(&head, 3) & 0xffff_ffff);
    let mut at = sector;
    let mut v = Vec::new();
    for _ in 0..count {
        io(log.read_exact_at(&mut head, at))?;
        let flags = word(&head, 2);
        let len = if flags & (DISCARD | MARK) != 0 {
            0
        } else {
            word(&head, 1) * sector
        };
        v.push(Entry {
            flags,
            to: word(&head, 0) * sector,
            from: at + sector,
            len,
        });
        at += sector + len;
    }
    Ok(v)
}

/// Synchronizes every object below the mount by itself.
fn fsync_all(p: &[u8]) -> Res {
    let names = fuzz::layers::names(p)?;
    for (n, _, kind) in names {
        let p = join(p, &n);
        if kind == libc::DT_DIR {
            fsync_all(&p)?;
        } else if kind == libc::DT_REG {
            fsync(&p)?;
        }
    }
    fsync(p)
}

fn fsync(p: &[u8]) -> Res {
    let fd = sys::open(p, libc::O_RDONLY, 0)? as i32;
    let r = sys::fsync(fd);
    let _ = sys::close(fd);
    r
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sync {
    No,
    Each,
    All,
}

fn lab(s: &Scenario) -> Lab {
    Lab::new(&format!("{MNT}/lab"), false, s)
}

/// Records the operation; returns the trees before and after it.
fn record(d: &Disks, s: &Scenario, fs: &str, ty: &str, how: Sync) -> Result<[Tree; 2], String> {
    let e = |what: &str| {
        let what = what.to_string();
        move |e: i32| format!("{what}: errno {e}")
    };
    let mut lab = lab(s);
    let at = lab.mnt();
    clone(&d.data, &d.empty(fs)?)?;
    mount(&d.data_dev, fs)?;
    lab.build()?;
    lab.mount(ty).map_err(e("mount"))?;
    (s.before)(&at).map_err(e("preparation"))?;
    let before = lab.merged();
    lab.umount().map_err(e("umount"))?;
    umount()?;
    clone(&d.replay, &d.data)?;

    io(d.log.write_all_at(&[0; 4096], 0))?;
    let sectors = SIZE / 512;
    sh(&format!(
        "dmsetup create ovl-crash --noudevsync --table '0 {sectors} log-writes {} {}' && dmsetup mknodes ovl-crash",
        d.data_dev, d.log_dev
    ))?;
    mount("/dev/mapper/ovl-crash", fs)?;
    lab.mount(ty).map_err(e("mount"))?;
    (s.op)(&at).map_err(e("operation"))?;
    match how {
        Sync::No => {}
        Sync::Each => drop(fsync_all(&at.mnt).map_err(e("fsync"))?),
        Sync::All => {
            let fd = sys::open(&at.mnt, libc::O_RDONLY, 0).map_err(e("open"))? as i32;
            let r = sys::syncfs(fd);
            let _ = sys::close(fd);
            r.map_err(e("syncfs"))?;
        }
    }
    sh("dmsetup message ovl-crash 0 mark done")?;
    let after = lab.merged();
    lab.umount().map_err(e("umount"))?;
    umount()?;
    sh("dmsetup remove --noudevsync ovl-crash")?;
    Ok([before, after])
}

/// Both modules on the disk as it is now.
fn look(d: &Disks, s: &Scenario, fs: &str, first: &str) -> Result<Tree, String> {
    mount(&d.test_dev, fs)?;
    let r = look_mounted(s, first);
    umount()?;
    r
}

fn look_mounted(s: &Scenario, first: &str) -> Result<Tree, String> {
    let mut lab = lab(s);
    let second = if first == "overlay" {
        "overlay_rs"
    } else {
        "overlay"
    };
    let mut trees = Vec::new();
    for ty in [first, second] {
        lab.mount(ty)
            .map_err(|e| format!("mount by {ty}: errno {e}"))?;
        trees.push(lab.merged());
        lab.umount()
            .map_err(|e| format!("umount by {ty}: errno {e}"))?;
        let left = lab.leftovers();
        if !left.is_empty() {
            return Err(format!("{ty} leaves in the workdir: {left:?}"));
        }
    }
    let differ = differences(&trees[0], &trees[1], [first, second]);
    if !differ.is_empty() {
        return Err(format!(
            "the modules see different trees: {}",
            differ.join("\n  ")
        ));
    }
    Ok(trees.swap_remove(0))
}

/// Without what is not durable until it is synchronized: contents.
pub fn without_data(t: &Tree) -> Tree {
    t.iter()
        .map(|(k, l)| {
            let words = l
                .split(' ')
                .filter(|w| !w.starts_with("data=") && !w.starts_with("size="));
            (k.clone(), words.collect::<Vec<_>>().join(" "))
        })
        .collect()
}

fn wrong(tree: &Tree, [before, after]: &[Tree; 2], writes: bool, synced: bool) -> Option<String> {
    if tree == after || (!synced && tree == before) {
        return None;
    }
    if synced {
        return Some(format!(
            "what was synchronized is not there: {}",
            differences(after, tree, ["wanted", "now"]).join("\n  ")
        ));
    }
    let bare = without_data(tree);
    if writes && (bare == without_data(before) || bare == without_data(after)) {
        return None;
    }
    Some(format!(
        "neither as before nor as after: {}",
        differences(before, tree, ["before", "now"]).join("\n  ")
    ))
}

pub fn run(a: &Args) -> Result<Report, String> {
    let mut report = Report::new("crash", "states", a);
    let disks = Disks::new()?;
    while let Some((seed, s, round)) = report.next(a) {
        if s.when == When::Unmount
            || (s.reads && s.when != When::Mount)
            || s.options.contains("volatile")
        {
            continue;
        }
        let n = a.fs.len() as u64;
        let fs = a.fs[(round % n) as usize].as_str();
        let how = [Sync::Each, Sync::No, Sync::All][(round / n % 3) as usize];
        let ty = a.types[(round / n / 3 % a.types.len() as u64) as usize].as_str();
        let name = format!(
            "seed {seed}: {} on {ty}, {fs}, synchronized: {how:?}",
            s.name
        );
        let trees = match record(&disks, s, fs, ty, how) {
            Ok(t) => t,
            Err(e) => {
                report.finding(&format!("{name}: {e}"));
                // What is still mounted would spoil the rest.
                break;
            }
        };
        // Contents that were written, but not yet synchronized, may be there or not.
        let writes = s.writes();
        let mut marked = false;
        let mut states = 0;
        let entries = entries(&disks.log)?;
        let step = entries.len() / BETWEEN + 1;
        for (i, entry) in entries.iter().enumerate() {
            let mut data = vec![0; entry.len as usize];
            io(disks.log.read_exact_at(&mut data, entry.from))?;
            io(disks.replay.write_all_at(&data, entry.to))?;
            marked |= entry.flags & MARK != 0;
            if entry.flags & (MARK | FLUSH | FUA) == 0 && i % step != 0 {
                continue;
            }
            states += 1;
            clone(&disks.test, &disks.replay)?;
            let at = format!("{name}, after {} pieces", i + 1);
            let synced = marked && how != Sync::No;
            // Whoever looks first also cleans up.
            let first = if i % 3 == 2 { "overlay" } else { "overlay_rs" };
            match look(&disks, s, fs, first) {
                Ok(tree) => match wrong(&tree, &trees, writes, synced) {
                    None => {
                        let word = match (tree == trees[0], tree == trees[1]) {
                            (true, true) => "no change",
                            (true, _) => "before",
                            (_, true) => "after",
                            _ => "contents under way",
                        };
                        report.point(fs, word);
                    }
                    Some(e) => {
                        report.point(fs, "wrong");
                        report.finding(&format!("{at}: {e}"));
                    }
                },
                Err(e) => {
                    report.point(fs, "wrong");
                    report.finding(&format!("{at}: {e}"));
                }
            }
            report.check_log(&at);
        }
        if a.trace {
            println!("{name}: {states} states");
        }
    }
    Ok(report)
}
