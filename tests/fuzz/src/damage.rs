// SPDX-License-Identifier: GPL-2.0
//! Damage to layers: what a broken disk, a crash, another kernel or a malicious owner of the layers
//! may have left in them. It is data, like the rest of a case, and done to both sides alike; where
//! it depends on an object's file handle, it is told by the object.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Kind, Name};
use crate::layers::{join, remove, Side};
use crate::sys;

/// The workdir as a layer.
pub const WORK: usize = 1000;
/// What is beside the layers on the file system of the upper; no mount may show it.
pub const OUTSIDE: usize = 1001;
/// The contents of the files that no mount may show.
pub const SECRET: &[u8] = b"outside of all layers, and nobody's business\n";

/// An object by layer (0 is the upper, 1 the topmost lower) and path.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Place {
    pub layer: usize,
    pub path: Name,
}

/// A change of a value.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Edit {
    /// Only so many bytes.
    Cut(u32),
    /// So many bytes more, all of this value.
    Extend(u32, u8),
    /// Bits of the byte at this place are changed.
    Flip(u32, u8),
    /// The byte at this place is another one.
    Set(u32, u8),
}

/// Where a value comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    Bytes(Vec<u8>),
    /// The record of the file handle of an object.
    Record {
        of: Place,
        upper: bool,
    },
}

/// The value of an attribute, or the name of an index entry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Value {
    pub source: Source,
    pub edits: Vec<Edit>,
}

/// What an entry of the index is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Form {
    File,
    Dir,
    Symlink(Name),
    Whiteout,
    Fifo,
    /// A link to an object of the upper.
    Link(Place),
}

/// One piece of damage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Damage {
    /// An attribute of the overlay, by the last part of its name.
    Xattr {
        place: Place,
        name: String,
        value: Value,
    },
    /// Whatever was there is gone, and this is there now.
    Put {
        place: Place,
        kind: Kind,
    },
    Remove(Place),
    /// A second name, even across layers.
    Link {
        from: Place,
        to: Place,
    },
    Mode {
        place: Place,
        mode: u32,
    },
    /// An entry of the index whose name is the value in hexadecimal digits.
    Index {
        name: Value,
        upper_case: bool,
        form: Form,
    },
}

fn root(side: &Side, layer: usize) -> Vec<u8> {
    match layer {
        WORK => side.work(),
        OUTSIDE => join(&side.upper_base, b"outside"),
        n => side.layer(n),
    }
}

fn at(side: &Side, p: &Place) -> Vec<u8> {
    join(&root(side, p.layer), &p.path.0)
}

/// The record of an object, as the module writes it (little endian).
fn record(p: &[u8], upper: bool) -> Vec<u8> {
    let Ok((kind, fid)) = sys::handle(p) else {
        return Vec::new();
    };
    let uuid = sys::fs_uuid(p).unwrap_or([0; 16]);
    let len = (21 + fid.len()).min(255) as u8;
    let mut v = vec![0, 0xfb, len, if upper { 4 } else { 0 }, kind as u8];
    v.extend(uuid);
    v.extend(fid);
    v
}

impl Value {
    fn bytes(&self, side: &Side) -> Vec<u8> {
        let mut v = match &self.source {
            Source::Bytes(b) => b.clone(),
            Source::Record { of, upper } => record(&at(side, of), *upper),
        };
        for e in &self.edits {
            match *e {
                Edit::Cut(n) => v.truncate(n as usize),
                Edit::Extend(n, b) => v.resize(v.len() + (n as usize).min(70_000), b),
                Edit::Flip(i, b) => {
                    if let Some(x) = v.get_mut(i as usize) {
                        *x ^= b;
                    }
                }
                Edit::Set(i, b) => {
                    if let Some(x) = v.get_mut(i as usize) {
                        *x = b;
                    }
                }
            }
        }
        v
    }
}

/// Does all the damage of a case. What cannot be done is left out, on both sides alike.
pub fn apply(side: &Side, case: &Case) {
    let secret = root(side, OUTSIDE);
    let _ = sys::mkdir(&secret, 0o755);
    let _ = sys::mkdir(&join(&secret, b"dir"), 0o755);
    for n in [&b"a"[..], b"secret", b"dir/a"] {
        file(&join(&secret, n), SECRET);
    }
    more(side, case, &case.damage);
}

/// A file of a lower layer has a second name elsewhere, so that it changes with that.
pub fn links_layers(damage: &[Damage]) -> bool {
    damage.iter().any(|d| match d {
        Damage::Link { from, to } => from.layer != to.layer,
        Damage::Index {
            form: Form::Link(to),
            ..
        } => to.layer != 0,
        _ => false,
    })
}

/// Does more damage.
pub fn more(side: &Side, case: &Case, damage: &[Damage]) {
    for d in damage {
        one(side, case, d);
    }
}

fn file(p: &[u8], contents: &[u8]) {
    if let Ok(fd) = sys::open(p, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o644) {
        let _ = sys::write(fd as i32, contents, None);
        let _ = sys::close(fd as i32);
    }
}

fn parents(p: &[u8]) {
    for (i, c) in p.iter().enumerate().skip(1) {
        if *c == b'/' {
            let _ = sys::mkdir(&p[..i], 0o755);
        }
    }
}

fn put(p: &[u8], kind: &Kind) {
    let _ = match kind {
        Kind::Dir | Kind::Opaque | Kind::Redirect(_) => sys::mkdir(p, 0o755),
        Kind::Symlink(t) => sys::symlink(&t.0, p),
        Kind::Fifo => sys::mknod(p, libc::S_IFIFO | 0o600, 0),
        Kind::Socket => sys::mknod(p, libc::S_IFSOCK | 0o600, 0),
        Kind::Device(d) => sys::mknod(p, libc::S_IFCHR | 0o600, (*d).into()),
        Kind::Whiteout => sys::mknod(p, libc::S_IFCHR | 0o600, 0),
        Kind::File(..) | Kind::WhiteoutXattr | Kind::Metacopy(..) | Kind::Link(_) => {
            file(p, b"put there\n");
            Ok(0)
        }
    };
}

fn one(side: &Side, case: &Case, d: &Damage) {
    let space = if case.userxattr() { "user" } else { "trusted" };
    match d {
        Damage::Xattr { place, name, value } => {
            let name = format!("{space}.overlay.{name}");
            let _ = sys::setxattr(&at(side, place), &name, &value.bytes(side), 0);
        }
        Damage::Put { place, kind } => {
            let p = at(side, place);
            remove(&p);
            parents(&p);
            put(&p, kind);
        }
        Damage::Remove(place) => remove(&at(side, place)),
        Damage::Link { from, to } => {
            let _ = sys::link(&at(side, from), &at(side, to), 0);
        }
        Damage::Mode { place, mode } => {
            let _ = sys::chmod(&at(side, place), *mode);
        }
        Damage::Index {
            name,
            upper_case,
            form,
        } => {
            let mut text = name.bytes(side).iter().fold(String::new(), |mut t, b| {
                let _ = write!(t, "{b:02x}");
                t
            });
            if *upper_case {
                text = text.to_uppercase();
            }
            let p = join(&side.work(), format!("index/{text}").as_bytes());
            parents(&p);
            match form {
                Form::File => file(&p, b"an entry\n"),
                Form::Dir => put(&p, &Kind::Dir),
                Form::Symlink(t) => put(&p, &Kind::Symlink(t.clone())),
                Form::Whiteout => put(&p, &Kind::Whiteout),
                Form::Fifo => put(&p, &Kind::Fifo),
                Form::Link(to) => {
                    let _ = sys::link(&at(side, to), &p, 0);
                }
            }
        }
    }
}
