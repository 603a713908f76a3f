// SPDX-License-Identifier: GPL-2.0
//! Whole trees as text, one line for each object, with everything masked that two runs of the
//! same sequence may have different: the present time, inode numbers, file handles.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::case::show;
use crate::layers::{join, names};
use crate::sys;

/// What the tree is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The mounted overlay.
    Merged,
    /// A layer as it is on disk.
    Raw,
}

pub type Tree = BTreeMap<String, String>;

pub fn hash(data: &[u8]) -> u64 {
    // Eight bytes at a time: most of a snapshot is this.
    let words = data.chunks_exact(8);
    let rest = words.remainder();
    let words = words.map(|w| u64::from_le_bytes(w.try_into().unwrap_or_default()));
    let h = words.fold(START ^ data.len() as u64, |h, w| {
        (h ^ w).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29)
    });
    rest.iter().fold(h, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A time, if it was set by somebody; `now` if it is later than the case's start (in
/// nanoseconds), `before` if it is neither.
pub fn time(sec: i64, nsec: i64, start: i64) -> String {
    if sec.saturating_mul(1_000_000_000).saturating_add(nsec) >= start {
        "now".into()
    } else if sec > 1_100_000_000 {
        "before".into()
    } else {
        format!("{sec}.{nsec:09}")
    }
}

/// The parts of a `stat` that two runs have in common.
pub fn stat_text(s: &libc::stat, start: i64) -> String {
    let kind = s.st_mode & libc::S_IFMT;
    let mut t = format!("{:o} {}:{}", s.st_mode, s.st_uid, s.st_gid);
    t += &format!(
        " nlink={} mtime={} ctime={}",
        s.st_nlink,
        time(s.st_mtime, s.st_mtime_nsec, start),
        time(s.st_ctime, s.st_ctime_nsec, start)
    );
    if kind != libc::S_IFDIR {
        t += &format!(" size={}", s.st_size);
    }
    if kind == libc::S_IFCHR || kind == libc::S_IFBLK {
        t += &format!(" rdev={:x}", s.st_rdev);
    }
    t
}

pub fn bytes(v: &[u8]) -> String {
    if v.len() > 48 {
        format!("{}:{:016x}", v.len(), hash(v))
    } else {
        show(v)
    }
}

/// A private attribute's value, without what depends on where the objects are.
fn attribute(name: &str, v: &[u8]) -> String {
    let last = name.rsplit('.').next().unwrap_or("");
    let private = name.starts_with("trusted.overlay.") || name.starts_with("user.overlay.");
    match last {
        // From the sixth byte on it is the UUID's and the inode's, also in what is left of a record.
        "origin" | "upper" if private && v.len() > 5 && !v.iter().all(u8::is_ascii_graphic) => {
            format!("handle {} {:02x?}", v.len(), &v[..5])
        }
        "uuid" if private => format!("uuid {}", v.len()),
        // A handle where none belongs.
        _ if private && v.len() > 8 && !v.iter().all(|c| c.is_ascii_graphic()) => {
            format!("binary {}", v.len())
        }
        _ => bytes(v),
    }
}

struct Walk {
    what: What,
    start: i64,
    tree: Tree,
    inodes: HashMap<(u64, u64), String>,
    devices: HashMap<u64, usize>,
}

/// Takes the tree below `root`.
pub fn take(root: &[u8], what: What, start: i64) -> Tree {
    let mut w = Walk {
        what,
        start,
        tree: Tree::new(),
        inodes: HashMap::new(),
        devices: HashMap::new(),
    };
    w.object(root, "", None);
    if w.devices.len() > 1 {
        // Then directories have numbers of their own, which may be the layers' by chance.
        for line in w.tree.values_mut().filter(|l| l.starts_with('4')) {
            for said in [" d_ino=same", " d_ino=other"] {
                *line = line.replace(said, "");
            }
        }
    }
    // Handles and the numbers of temporary names have no order that two runs share: such entries
    // are told by what they are.
    for (old, new) in [
        ("index/handle-", "index/handle "),
        ("work/#", "work/temporary "),
        ("index/#", "index/temporary "),
    ] {
        let keys: Vec<String> = w
            .tree
            .keys()
            .filter(|k| what == What::Raw && k.starts_with(old))
            .cloned()
            .collect();
        let mut values: Vec<String> = keys.iter().filter_map(|k| w.tree.remove(k)).collect();
        values.sort();
        for (i, v) in values.into_iter().enumerate() {
            w.tree.insert(format!("{new}{i}"), v);
        }
    }
    w.tree
}

impl Walk {
    fn object(&mut self, p: &[u8], rel: &str, entry: Option<(u64, u8)>) {
        let key = if rel.is_empty() {
            ".".to_string()
        } else {
            rel.to_string()
        };
        let s = match sys::stat(p, false) {
            Ok(s) => s,
            Err(e) => {
                self.tree.insert(key, format!("stat: errno {e}"));
                return;
            }
        };
        let kind = s.st_mode & libc::S_IFMT;
        let mut t = stat_text(&s, self.start);
        if self.what == What::Merged {
            let n = self.devices.len();
            t += &format!(" dev{}", self.devices.entry(s.st_dev).or_insert(n));
            if let Some((ino, ty)) = entry {
                t += &format!(" d_type={ty}");
                // Numbers of two file systems may be the same by chance.
                if self.devices.get(&s.st_dev) == Some(&0) {
                    t += if ino == s.st_ino {
                        " d_ino=same"
                    } else {
                        " d_ino=other"
                    };
                }
            }
        }
        if kind != libc::S_IFDIR {
            // The first of several names of one inode. Handles and the numbers of temporary objects
            // have no order.
            let raw = |p: &[&str]| self.what == What::Raw && p.iter().any(|p| key.starts_with(p));
            let temporary = raw(&["index/#", "work/#"]);
            match self.inodes.entry((s.st_dev, s.st_ino)) {
                Entry::Occupied(_) if temporary => {}
                Entry::Occupied(first) => t += &format!(" same as {}", first.get()),
                Entry::Vacant(v) => {
                    v.insert(if temporary {
                        "a temporary one".into()
                    } else if raw(&["index/handle-"]) {
                        "an index entry".into()
                    } else {
                        key.clone()
                    });
                }
            }
        }
        match kind {
            libc::S_IFREG => {
                t += &match contents(p, s.st_size) {
                    Ok(h) => format!(" data={h:016x}"),
                    Err(e) => format!(" data: errno {e}"),
                }
            }
            libc::S_IFLNK => {
                t += &match sys::readlink(p) {
                    Ok(l) => format!(" -> {}", show(&l)),
                    Err(e) => format!(" readlink: errno {e}"),
                }
            }
            _ => {}
        }
        match sys::listxattr(p) {
            Ok(l) => {
                for n in l {
                    t += &match sys::xattr(p, &n) {
                        Ok(v) => format!(" {n}={}", attribute(&n, &v)),
                        Err(e) => format!(" {n}: errno {e}"),
                    };
                }
            }
            Err(e) => t += &format!(" listxattr: errno {e}"),
        }
        self.tree.insert(key, t);
        if kind == libc::S_IFDIR {
            match names(p) {
                Ok(v) => {
                    let mut index = 0;
                    for (n, ino, ty) in v {
                        let mut name = show(&n);
                        // The names of index entries are file handles.
                        let hex = n.len() > 7 && n.iter().all(u8::is_ascii_hexdigit);
                        if self.what == What::Raw && rel == "index" && (hex || n.len() > 40) {
                            name = format!("handle-{index}");
                            index += 1;
                        }
                        let sub = if rel.is_empty() {
                            name
                        } else {
                            format!("{rel}/{name}")
                        };
                        self.object(&join(p, &n), &sub, Some((ino, ty)));
                    }
                }
                Err(e) => {
                    self.tree
                        .insert(format!("{rel}/"), format!("readdir: errno {e}"));
                }
            }
        }
    }
}

/// A number that stands for contents that are read at once.
pub fn fold(b: &[u8]) -> u64 {
    mix(START, b)
}

const START: u64 = 0xcbf2_9ce4_8422_2325;

fn mix(h: u64, b: &[u8]) -> u64 {
    h.rotate_left(5) ^ hash(b)
}

fn contents(p: &[u8], size: i64) -> Result<u64, i32> {
    let fd = sys::open(p, libc::O_RDONLY | libc::O_NONBLOCK, 0)? as i32;
    // One read for all, usually, and no more memory than that needs.
    let mut b = vec![0u8; size.clamp(1, 1 << 17) as usize];
    let mut h = START;
    let r = loop {
        match sys::read(fd, &mut b, None) {
            Ok(0) => break Ok(h),
            Ok(n) => h = mix(h, &b[..n as usize]),
            Err(e) => break Err(e),
        }
    };
    let _ = sys::close(fd);
    r
}

/// All differences; `who` names the two.
pub fn differences(a: &Tree, b: &Tree, who: [&str; 2]) -> Vec<String> {
    let mut v = Vec::new();
    let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    for k in keys {
        let (x, y) = (a.get(k), b.get(k));
        if x != y {
            let line = |t: Option<&String>| t.map_or("-", |s| s.as_str()).to_string();
            v.push(format!(
                "{k}\n      {:11} {}\n      {:11} {}",
                who[0],
                line(x),
                who[1],
                line(y)
            ));
        }
    }
    v
}
