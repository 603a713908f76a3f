// SPDX-License-Identifier: GPL-2.0
//! What a case is made of: layers, options, and a sequence of operations. All of it is data that
//! can be written down, shrunk and replayed.

use serde::{Deserialize, Serialize};

use crate::damage::Damage;

/// A name or path, as raw bytes: not every name is UTF-8. Written percent-encoded.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(pub Vec<u8>);

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = show(&self.0);
        if s.len() > 60 {
            write!(f, "{}...{}", &s[..20], s.len())
        } else {
            f.write_str(&s)
        }
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&show(&self.0))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = String::deserialize(d)?;
        let b = s.as_bytes();
        let mut v = Vec::new();
        let mut i = 0;
        while i < b.len() {
            let hex = s
                .get(i + 1..i + 3)
                .and_then(|h| u8::from_str_radix(h, 16).ok());
            match (b[i], hex) {
                (b'%', Some(c)) => {
                    v.push(c);
                    i += 3;
                }
                (c, _) => {
                    v.push(c);
                    i += 1;
                }
            }
        }
        Ok(Name(v))
    }
}

/// Bytes as readable text: what is not plain ASCII is percent-encoded.
pub fn show(b: &[u8]) -> String {
    let mut s = String::new();
    for c in b {
        if c.is_ascii_graphic() && *c != b'%' {
            s.push(*c as char);
        } else {
            s += &format!("%{c:02x}");
        }
    }
    s
}

/// What an object of a layer is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Seed of the contents, length, length of the hole before them.
    File(u64, u32, u32),
    Dir,
    Symlink(Name),
    Fifo,
    Socket,
    Device(u32),
    /// Character device 0:0.
    Whiteout,
    /// An empty file with the whiteout attribute, in a directory that is marked for those.
    WhiteoutXattr,
    /// A directory that hides what is below it.
    Opaque,
    /// A link to another path of the same layer.
    Link(Name),
    /// A directory that says where it was.
    Redirect(Name),
    /// A file of this length whose data is elsewhere: below its own name, or below this one.
    Metacopy(u32, Option<Name>),
}

/// An object of a layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// 0 is the upper, 1 the topmost lower.
    pub layer: usize,
    pub path: Name,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub xattrs: Vec<(String, Vec<u8>)>,
}

/// The whole input of one comparison.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    pub seed: u64,
    /// The file system of upper and workdir, and that of the lowers.
    pub upper_fs: String,
    pub lower_fs: String,
    pub lowers: usize,
    /// How many of the lowers, the last ones, hold only data.
    #[serde(default)]
    pub data_layers: usize,
    /// No upper: everything is read-only.
    pub read_only: bool,
    /// All begins empty, and the upper file system alone has to do the same.
    #[serde(default)]
    pub plain: bool,
    pub options: Vec<String>,
    pub entries: Vec<Entry>,
    /// What is done to the layers before they are mounted.
    #[serde(default)]
    pub damage: Vec<Damage>,
    /// More damage at the end, each followed by a mount and a look at the tree.
    #[serde(default)]
    pub rounds: Vec<Vec<Damage>>,
    /// Who does what.
    pub ops: Vec<(u8, Op)>,
}

impl Case {
    pub fn drops_caches(&self) -> bool {
        self.ops.iter().any(|(_, op)| matches!(op, Op::DropCaches))
    }

    pub fn userxattr(&self) -> bool {
        self.options.iter().any(|o| o == "userxattr")
    }
}

/// One operation. `fd` is a slot of the table of open descriptors.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    Open {
        fd: u8,
        path: Name,
        flags: i32,
        mode: u32,
    },
    Tmpfile {
        fd: u8,
        dir: Name,
        mode: u32,
        excl: bool,
    },
    LinkFd {
        fd: u8,
        path: Name,
    },
    Close {
        fd: u8,
    },
    Read {
        fd: u8,
        len: u32,
    },
    Pread {
        fd: u8,
        off: i64,
        len: u32,
    },
    Write {
        fd: u8,
        seed: u64,
        len: u32,
    },
    Pwrite {
        fd: u8,
        off: i64,
        seed: u64,
        len: u32,
    },
    Seek {
        fd: u8,
        off: i64,
        whence: i32,
    },
    Ftruncate {
        fd: u8,
        len: i64,
    },
    Fallocate {
        fd: u8,
        mode: i32,
        off: i64,
        len: i64,
    },
    Fstat {
        fd: u8,
    },
    Fchmod {
        fd: u8,
        mode: u32,
    },
    Fchown {
        fd: u8,
        uid: u32,
        gid: u32,
    },
    Futimens {
        fd: u8,
        at: i64,
        mt: i64,
    },
    Fsetxattr {
        fd: u8,
        name: String,
        val: Vec<u8>,
    },
    Fgetxattr {
        fd: u8,
        name: String,
    },
    Fsync {
        fd: u8,
        data: bool,
    },
    CopyRange {
        from: u8,
        to: u8,
        off: i64,
        to_off: i64,
        len: u32,
    },
    CloneRange {
        from: u8,
        to: u8,
        off: u64,
        len: u64,
        to_off: u64,
    },
    Dedupe {
        from: u8,
        to: u8,
        off: u64,
        len: u64,
        to_off: u64,
    },
    Sendfile {
        from: u8,
        to: u8,
        off: i64,
        len: u32,
    },
    MapWrite {
        fd: u8,
        off: u32,
        seed: u64,
        len: u32,
    },
    /// Maps the file and keeps the mapping.
    MapHold {
        fd: u8,
        shared: bool,
    },
    /// What is seen through the mapping now.
    MapCheck {
        fd: u8,
    },
    Getdents {
        fd: u8,
        size: u32,
    },
    GetFlags {
        fd: u8,
    },
    SetFlags {
        fd: u8,
        flags: i32,
    },
    Fadvise {
        fd: u8,
        advice: i32,
    },
    Fchdir {
        fd: u8,
    },
    Stat {
        path: Name,
        follow: bool,
    },
    Statfs {
        path: Name,
    },
    Access {
        path: Name,
        mode: i32,
    },
    Readlink {
        path: Name,
    },
    Truncate {
        path: Name,
        len: i64,
    },
    Rename {
        from: Name,
        to: Name,
        flags: u32,
    },
    Link {
        from: Name,
        to: Name,
        follow: bool,
    },
    Unlink {
        path: Name,
    },
    Rmdir {
        path: Name,
    },
    Mkdir {
        path: Name,
        mode: u32,
    },
    Symlink {
        target: Name,
        path: Name,
    },
    Mknod {
        path: Name,
        mode: u32,
        dev: u32,
    },
    Chmod {
        path: Name,
        mode: u32,
    },
    Chown {
        path: Name,
        uid: u32,
        gid: u32,
    },
    Utimens {
        path: Name,
        at: i64,
        mt: i64,
        follow: bool,
    },
    Setxattr {
        path: Name,
        name: String,
        val: Vec<u8>,
        flags: i32,
    },
    Getxattr {
        path: Name,
        name: String,
        size: u32,
    },
    Removexattr {
        path: Name,
        name: String,
    },
    Listxattr {
        path: Name,
    },
    SetAcl {
        path: Name,
        default: bool,
        acl: Vec<(u16, u16, u32)>,
    },
    Readdir {
        path: Name,
    },
    /// Reads some entries, remembers the place, reads on, goes back and reads again.
    ReaddirSeek {
        path: Name,
        size: u32,
        back: u32,
    },
    /// Reads a directory while entries of it are removed.
    ReaddirRemove {
        path: Name,
        size: u32,
    },
    Walk {
        path: Name,
    },
    Remount,
    /// Mounts each side's layers with the other side's type, and goes on.
    Swap,
    ReadOnly {
        on: bool,
    },
    DropCaches,
    Sync,
    Umask {
        mask: u32,
    },
    /// A lock of the open file: kind (0 read, 1 write, 2 none), start, length.
    Lock {
        fd: u8,
        kind: i32,
        start: i64,
        len: i64,
        test: bool,
    },
    Flock {
        fd: u8,
        op: i32,
    },
    /// Remembers the handle of a path.
    Handle {
        slot: u8,
        path: Name,
        flags: i32,
    },
    /// Opens what was remembered.
    OpenHandle {
        slot: u8,
        fd: u8,
        flags: i32,
    },
    /// Several processes at once: on one object, and on names of their own in one directory, in
    /// such a way that the end does not depend on who was first.
    Crowd {
        dir: Name,
        path: Name,
    },
    /// The upper becomes the topmost lower, below a new upper.
    Stack,
}

impl Op {
    /// The operation's name, for statistics.
    pub fn name(&self) -> String {
        let s = format!("{self:?}");
        s.split([' ', '{']).next().unwrap_or("").to_string()
    }
}
