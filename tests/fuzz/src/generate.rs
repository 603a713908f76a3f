// SPDX-License-Identifier: GPL-2.0
//! From a seed to a case. Paths come from few names, so that operations meet each other and what
//! is in the layers; now and then a name is odd.
//!
//! What comes next depends on what the last operations did ([`Plan::learn`]). A crate for property
//! tests, as the rules on the host have, makes its whole input first: most of a long sequence would
//! fail with `ENOENT`.

mod operation;
mod paths;

use crate::case::{Case, Entry, Kind, Name, Op};
use crate::hostile;
use crate::rng::Rng;

const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f"];
const ODD: &[&[u8]] = &[
    b"with space",
    b"\xff\xfe",
    b"new\nline",
    b"..x",
    b".hidden",
    b"quote\"'",
    b"comma,colon:back\\slash",
    b"\xe4\xbd\xa0\xe5\xa5\xbd",
    b"work",
    b"#tmp",
    b"%41",
];

pub struct Options {
    pub upper_fs: Vec<String>,
    pub lower_fs: Vec<String>,
    pub ops: usize,
    /// With damage to the layers.
    pub hostile: bool,
    /// By the owner of a user namespace, who can only make `user.*` attributes.
    pub userns: bool,
}

struct Gen {
    r: Rng,
    /// Paths that are there, as far as can be told without running anything.
    known: Vec<Name>,
    dirs: Vec<Name>,
    /// What the slots for open descriptors hold.
    slots: [Slot; 6],
    /// Whether caches are dropped: that stops all other cases.
    drops: bool,
    /// Whether the uppers become lowers.
    stacks: bool,
    /// Nothing can be changed now.
    frozen: bool,
    /// Only what a file system without an overlay can do, too.
    plain: bool,
}

/// What was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slot {
    Closed,
    File,
    Dir,
}

/// The operations of a case. They are chosen while it runs, as what succeeded decides about what
/// is there for the next ones.
pub struct Plan {
    gen: Gen,
    left: usize,
    /// Root does everything.
    alone: bool,
}

impl Plan {
    pub fn drops_caches(&self) -> bool {
        self.gen.drops
    }

    /// Who does what next.
    pub fn next_op(&mut self) -> Option<(u8, Op)> {
        self.left = self.left.checked_sub(1)?;
        let g = &mut self.gen;
        if g.frozen && g.r.chance(20) {
            return Some((0, Op::ReadOnly { on: false }));
        }
        let who = if self.alone || g.r.chance(75) {
            0
        } else {
            1 + g.r.below(2) as u8
        };
        let op = g.op();
        Some((
            who,
            if g.plain {
                Self::without_overlay(op)
            } else {
                op
            },
        ))
    }

    /// The same, or something else if only an overlay can do it, or does it otherwise.
    fn without_overlay(op: Op) -> Op {
        match op {
            Op::Rename { from, to, flags } => Op::Rename {
                from,
                to,
                flags: flags & !libc::RENAME_WHITEOUT,
            },
            Op::Mknod { path, mode, dev: 0 } => Op::Mknod {
                path,
                mode,
                dev: 0x103,
            },
            Op::Handle { path, .. } | Op::Statfs { path } => Op::Stat {
                path,
                follow: false,
            },
            // Of what does not fit, a merged directory tells at another place of the listing.
            Op::ReaddirSeek { path, back, .. } => Op::ReaddirSeek {
                path,
                size: 400,
                back,
            },
            Op::ReaddirRemove { path, .. } => Op::ReaddirRemove { path, size: 4096 },
            Op::Getdents { fd, .. } => Op::Getdents { fd, size: 4096 },
            Op::Fallocate { fd, off, len, .. } => Op::Ftruncate { fd, len: off + len },
            Op::OpenHandle { .. }
            | Op::ReadOnly { .. }
            | Op::Stack
            | Op::Dedupe { .. }
            | Op::CloneRange { .. } => Op::Sync,
            op => op,
        }
    }

    /// What became of it.
    pub fn learn(&mut self, op: &Op, succeeded: bool) {
        if succeeded {
            self.gen.effect(op);
        }
    }
}

impl Gen {
    fn mode(&mut self) -> u32 {
        *self.r.pick(&[
            0o644, 0o755, 0o777, 0o600, 0o700, 0o000, 0o444, 0o4755, 0o2755, 0o1777, 0o6711,
        ])
    }

    fn id(&mut self) -> u32 {
        *self.r.pick(&[0, 1000, 1001, 5, u32::MAX])
    }

    fn xattr(&mut self) -> (String, Vec<u8>) {
        let name = *self.r.pick(&[
            "user.one",
            "user.two",
            "trusted.three",
            "security.four",
            "user.overlay.five",
            "trusted.overlay.six",
            "trusted.overlay.opaque",
            "user.overlay.opaque",
            "trusted.overlay.overlay.opaque",
            "security.capability",
            "user.one",
        ]);
        let len = *self.r.pick(&[0u64, 1, 8, 100, 3000]);
        let mut v: Vec<u8> = (0..len).map(|_| self.r.word() as u8).collect();
        if name == "security.capability" {
            v = vec![1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        }
        (name.into(), v)
    }

    fn acl(&mut self) -> Vec<(u16, u16, u32)> {
        let none = u32::MAX;
        let mut p = || self.r.below(8) as u16;
        let (u, nu, g, m, o) = (p(), p(), p(), p(), p());
        match self.r.below(5) {
            0 => vec![(1, u, none), (4, g, none), (32, o, none)],
            // Not valid: a named user without a mask.
            1 if self.r.chance(20) => {
                vec![(1, u, none), (2, nu, 1000), (4, g, none), (32, o, none)]
            }
            _ => vec![
                (1, u, none),
                (2, nu, 1000),
                (4, g, none),
                (8, nu, 1001),
                (16, m, none),
                (32, o, none),
            ],
        }
    }

    fn len(&mut self) -> u32 {
        *self.r.pick(&[0, 1, 10, 100, 4095, 4096, 4097, 9000, 70000])
    }

    fn off(&mut self) -> i64 {
        *self.r.pick(&[0, 0, 1, 100, 4096, 5000, 65536, 200_000, -1])
    }

    fn old_time(&mut self) -> i64 {
        1_000_000_000 + self.r.below(1_000_000) as i64
    }

    fn time(&mut self) -> i64 {
        match self.r.below(4) {
            0 => -1,
            1 => -2,
            _ => self.old_time(),
        }
    }

    /// Where an object says that it was: by an absolute path, or by another name beside it.
    fn redirect(&mut self) -> Name {
        match self.r.below(10) {
            0..=5 => Name([b"/", &self.path().0[..]].concat()),
            6..=8 => Name(self.component()),
            _ => Name(
                self.r
                    .pick(&[
                        &b"/"[..],
                        b"",
                        b"//a",
                        b"/a/",
                        b"a/b",
                        b"..",
                        b"/..",
                        b"/a/../b",
                        b"/./a",
                        b"/none/such",
                    ])
                    .to_vec(),
            ),
        }
    }

    fn entry(&mut self, lowers: usize, read_only: bool) -> Entry {
        let layer = if !read_only && self.r.chance(12) {
            0
        } else {
            1 + self.r.below(lowers as u64) as usize
        };
        let path = if self.known.is_empty() || self.r.chance(60) {
            self.fresh()
        } else {
            self.path()
        };
        let below = [&path.0[..], b"/"].concat();
        // What has something below it in one layer is seldom anything else in another one.
        let parent = self.known.iter().any(|k| k.0.starts_with(&below)) && self.r.chance(85);
        let what = if parent {
            35 + self.r.below(28)
        } else {
            self.r.below(100)
        };
        let kind = match what {
            0..=34 => Kind::File(
                self.r.seed(),
                self.len(),
                if self.r.chance(15) { 20000 } else { 0 },
            ),
            35..=62 => Kind::Dir,
            63..=70 => {
                let t = match self.r.below(4) {
                    // Out of the overlay, where the two would meet, but to nothing.
                    0 => Name(b"/no/such/place".to_vec()),
                    1 => Name(b"../a".to_vec()),
                    _ => Name(self.component()),
                };
                Kind::Symlink(t)
            }
            71..=73 => Kind::Fifo,
            74 => Kind::Socket,
            75..=76 => Kind::Device(*self.r.pick(&[0x103, 0x105, 0x700])),
            77..=84 => Kind::Whiteout,
            85..=87 => Kind::WhiteoutXattr,
            88..=91 => Kind::Opaque,
            92..=94 => Kind::Redirect(self.redirect()),
            95..=97 => {
                let to = self.r.chance(60).then(|| self.redirect());
                Kind::Metacopy(self.len(), to)
            }
            _ => Kind::Link(self.path()),
        };
        match kind {
            Kind::Whiteout | Kind::WhiteoutXattr => self.forget(&path),
            _ => self.note(
                &path,
                matches!(kind, Kind::Dir | Kind::Opaque | Kind::Redirect(_)),
            ),
        }
        let mut xattrs = Vec::new();
        while self.r.chance(15) {
            let (n, v) = self.xattr();
            if !n.contains("overlay.") || n.contains("overlay.overlay") {
                xattrs.push((n, v));
            }
        }
        if self.r.chance(6) {
            let a = self.acl();
            xattrs.push((
                "system.posix_acl_access".into(),
                crate::runner::acl_bytes(&a),
            ));
        }
        if matches!(kind, Kind::Dir) && self.r.chance(6) {
            let a = self.acl();
            xattrs.push((
                "system.posix_acl_default".into(),
                crate::runner::acl_bytes(&a),
            ));
        }
        let mode =
            if matches!(kind, Kind::Dir | Kind::Opaque | Kind::Redirect(_)) && self.r.chance(80) {
                0o755
            } else {
                self.mode()
            };
        Entry {
            layer,
            path,
            kind,
            mode,
            uid: *self.r.pick(&[0, 0, 1000, 1001]),
            gid: *self.r.pick(&[0, 0, 1000, 1001]),
            mtime: self.old_time(),
            xattrs,
        }
    }
}

/// The case of a seed, and what is done in it.
pub fn case(seed: u64, o: &Options) -> (Case, Plan) {
    let mut g = Gen {
        r: Rng::new(seed),
        known: Vec::new(),
        dirs: vec![Name(Vec::new())],
        slots: [Slot::Closed; 6],
        drops: false,
        stacks: !o.hostile,
        frozen: false,
        plain: false,
    };
    g.plain = !o.hostile && g.r.chance(12);
    g.drops = g.r.chance(15);
    let lowers = if g.plain {
        1
    } else if g.r.chance(60) {
        1 + g.r.below(2)
    } else {
        1 + g.r.below(8)
    } as usize;
    let read_only = !g.plain && g.r.chance(6);
    let upper_fs = g.r.pick(&o.upper_fs).clone();
    let lower_fs = if g.plain || g.r.chance(65) {
        upper_fs.clone()
    } else {
        g.r.pick(&o.lower_fs).clone()
    };
    let mut options = Vec::new();
    let mut opt = |p: u64, list: &[&str]| {
        if g.r.chance(p) {
            options.push((*g.r.pick(list)).to_string());
        }
    };
    // Where layers are damaged, more of what reads them.
    let more = if o.hostile { 25 } else { 0 };
    opt(
        60 + more,
        &[
            "redirect_dir=on",
            "redirect_dir=on",
            "redirect_dir=off",
            "redirect_dir=nofollow",
            "redirect_dir=follow",
        ],
    );
    opt(35 + more, &["index=on", "index=off"]);
    opt(30 + more, &["metacopy=on", "metacopy=off"]);
    opt(35, &["xino=on", "xino=off", "xino=auto"]);
    opt(10 + more, &["nfs_export=on", "nfs_export=off"]);
    // What belongs together, now and then together.
    match g.r.below(8) {
        0 => options.extend(["redirect_dir=on", "index=on", "nfs_export=on"].map(str::to_string)),
        1 => options.extend(["redirect_dir=on", "index=on", "metacopy=on"].map(str::to_string)),
        _ => {}
    }
    let mut opt = |p: u64, list: &[&str]| {
        if g.r.chance(p) {
            options.push((*g.r.pick(list)).to_string());
        }
    };
    opt(if g.plain { 0 } else { 10 }, &["volatile"]);
    opt(8, &["userxattr"]);
    opt(8, &["default_permissions"]);
    opt(8, &["uuid=on", "uuid=null", "uuid=off", "uuid=auto"]);
    if read_only && lowers < 2 {
        options.push("redirect_dir=off".into());
    }
    let most = if g.r.chance(10) { 80 } else { 20 };
    let n = if g.plain { 0 } else { 3 + g.r.below(most) };
    let entries = (0..n).map(|_| g.entry(lowers, read_only)).collect();
    let left = o.ops / 2 + g.r.below(o.ops as u64) as usize;
    let alone = g.r.chance(40);
    let mut case = Case {
        seed,
        upper_fs,
        lower_fs,
        lowers,
        data_layers: 0,
        read_only,
        plain: g.plain,
        options,
        entries,
        damage: Vec::new(),
        rounds: Vec::new(),
        ops: Vec::new(),
    };
    if o.userns {
        // What is refused together with these attributes.
        case.options.retain(|o| {
            ![
                "userxattr",
                "redirect_dir=on",
                "metacopy=on",
                "nfs_export=on",
            ]
            .contains(&o.as_str())
        });
        case.options.push("userxattr".into());
    }
    if o.hostile {
        if lowers > 1 && g.r.chance(20) {
            case.data_layers = 1 + g.r.below(lowers as u64 - 1) as usize;
        }
        if g.r.chance(6) {
            case.options
                .push((*g.r.pick(&["verity=on", "verity=require"])).into());
        }
        case.damage = hostile::damage(&mut g.r, &case);
        for _ in 0..g.r.below(10) {
            let more = hostile::damage(&mut g.r, &case);
            case.rounds.push(more);
        }
    }
    let plan = Plan {
        gen: g,
        left,
        alone,
    };
    (case, plan)
}
