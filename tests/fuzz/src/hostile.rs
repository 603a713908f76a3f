// SPDX-License-Identifier: GPL-2.0
//! From a seed to damage: every attribute of the overlay cut, stretched, exchanged or random,
//! redirects in circles, metadata without data, handles that lead elsewhere, index entries that
//! lie, whiteouts where none may be, names at every limit.

use crate::case::{Case, Kind, Name};
use crate::damage::{Damage, Edit, Form, Place, Source, Value, OUTSIDE, WORK};
use crate::rng::Rng;

const ATTRIBUTES: &[&str] = &[
    "opaque",
    "redirect",
    "redirect",
    "redirect",
    "origin",
    "origin",
    "origin",
    "upper",
    "impure",
    "nlink",
    "uuid",
    "metacopy",
    "metacopy",
    "protattr",
    "whiteout",
    "",
    "unknown",
    "overlay.opaque",
    "overlay.",
    "opaque.",
];

const REDIRECTS: &[&[u8]] = &[
    b"/",
    b"//",
    b".",
    b"..",
    b"/..",
    b"/../outside/a",
    b"../outside/a",
    b"/../../outside",
    b"/./a",
    b"/a/",
    b"/a//b",
    b"a/b",
    b"\0",
    b"a\0b",
    b"/a\0/b",
    b"/a/..",
    b"/a/./b",
    b"/work",
    b"/#1",
    b"\n",
    b"/\xff\xfe",
];

const NLINKS: &[&[u8]] = &[
    b"L+1",
    b"L-1",
    b"U+0",
    b"U-1",
    b"U+1",
    b"L+2147483647",
    b"L-2147483648",
    b"U+4294967295",
    b"U+99999999999",
    b"L",
    b"U+",
    b"+1",
    b"X+1",
    b"L 1",
    b"U+0x1",
    b"U+1x",
    b"L+-1",
    b"U-+1",
    b"L\0+1",
];

const FLAGS: &[&[u8]] = &[
    b"a",
    b"i",
    b"ai",
    b"ia",
    b"aa",
    b"x",
    b"ax",
    b"aiaiaiaia",
    b"A",
    b"\0",
];

const METACOPIES: &[&[u8]] = &[
    &[0, 4, 0, 0],
    &[0, 4, 1, 0],
    &[1, 4, 0, 0],
    &[0, 36, 0, 1],
    &[0, 3, 0, 0],
    &[0, 255, 0, 2],
    &[0],
    &[0, 4],
    &[0, 4, 0],
    &[0, 4, 0, 9],
];

struct Gen<'a> {
    r: &'a mut Rng,
    case: &'a Case,
}

impl Gen<'_> {
    fn random(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.r.word() as u8).collect()
    }

    /// A length at the limit of something.
    fn limit(&mut self) -> u64 {
        *self.r.pick(&[
            1, 2, 3, 4, 5, 15, 16, 17, 20, 21, 22, 32, 68, 128, 149, 150, 254, 255, 256, 257, 1000,
            4095, 4096, 4097, 65535, 65536,
        ])
    }

    /// A path that is there in some layer, or one of the few that cases are made of.
    fn path(&mut self) -> Name {
        let n = self.case.entries.len() as u64;
        if n > 0 && self.r.chance(75) {
            let i = self.r.below(n) as usize;
            return self.case.entries[i].path.clone();
        }
        let mut p = Vec::new();
        for _ in 0..=self.r.below(3) {
            if !p.is_empty() {
                p.push(b'/');
            }
            p.extend(
                self.r
                    .pick(&[&b"a"[..], b"b", b"c", b"d", b"e", b"f"])
                    .iter(),
            );
        }
        Name(p)
    }

    fn layer(&mut self) -> usize {
        self.r.below(self.case.lowers as u64 + 1) as usize
    }

    /// An object of a layer that is probably there.
    fn place(&mut self) -> Place {
        let n = self.case.entries.len() as u64;
        match self.r.below(100) {
            0..=6 => Place {
                layer: self.layer(),
                path: Name(Vec::new()),
            },
            7..=80 if n > 0 => {
                let e = &self.case.entries[self.r.below(n) as usize];
                Place {
                    layer: e.layer,
                    path: e.path.clone(),
                }
            }
            81..=84 => Place {
                layer: WORK,
                path: self.work_path(),
            },
            _ => Place {
                layer: self.layer(),
                path: self.path(),
            },
        }
    }

    fn work_path(&mut self) -> Name {
        Name(
            self.r
                .pick(&[
                    &b""[..],
                    b"work",
                    b"index",
                    b"work/#1",
                    b"work/#2",
                    b"work/a",
                    b"work/incompat",
                    b"work/incompat/volatile",
                    b"work/incompat/volatile/dirty",
                    b"work/incompat/other",
                    b"index/#3",
                    b"index/short",
                    b"index/00",
                ])
                .to_vec(),
        )
    }

    /// What a handle may lead to: mostly objects of the layers.
    fn target(&mut self) -> Place {
        match self.r.below(100) {
            0..=11 => Place {
                layer: OUTSIDE,
                path: Name(
                    self.r
                        .pick(&[&b""[..], b"a", b"secret", b"dir", b"dir/a"])
                        .to_vec(),
                ),
            },
            12..=17 => Place {
                layer: WORK,
                path: self.work_path(),
            },
            _ => self.place(),
        }
    }

    fn edits(&mut self, percent: u64) -> Vec<Edit> {
        let mut v = Vec::new();
        while v.len() < 4 && self.r.chance(percent) {
            v.push(match self.r.below(6) {
                0 => Edit::Cut(self.limit() as u32),
                1 => Edit::Cut(self.r.below(40) as u32),
                2 => Edit::Extend(self.limit() as u32, self.r.word() as u8),
                3 => Edit::Set(self.r.below(6) as u32, self.r.word() as u8),
                4 => Edit::Set(
                    self.r.below(40) as u32,
                    *self.r.pick(&[0, 1, 2, 4, 7, 0xfb, 0xff, b'/', b'y', b'x']),
                ),
                _ => Edit::Flip(self.r.below(40) as u32, 1 << self.r.below(8)),
            });
        }
        v
    }

    fn redirect(&mut self) -> Vec<u8> {
        match self.r.below(10) {
            0..=2 => self.r.pick(REDIRECTS).to_vec(),
            // In circles, sooner or later: there are few names.
            3..=6 => [&b"/"[..], &self.path().0].concat(),
            7 | 8 => {
                let p = self.path().0;
                p.rsplit(|c| *c == b'/').next().unwrap_or(&p).to_vec()
            }
            _ => {
                let mut v = Vec::new();
                let component = self.limit() as usize;
                while v.len() < component {
                    if self.r.chance(50) {
                        v.push(b'/');
                    }
                    v.extend(vec![b'L'; component.min(300)]);
                }
                v
            }
        }
    }

    fn record(&mut self) -> Source {
        let of = self.target();
        let upper = (of.layer == 0) != self.r.chance(20);
        Source::Record { of, upper }
    }

    /// A value that would be right for this attribute, or nearly.
    fn fitting(&mut self, name: &str) -> Source {
        Source::Bytes(match name {
            "redirect" => self.redirect(),
            "origin" | "upper" => {
                if self.r.chance(8) {
                    return Source::Bytes(Vec::new());
                }
                return self.record();
            }
            "nlink" => self.r.pick(NLINKS).to_vec(),
            "protattr" => self.r.pick(FLAGS).to_vec(),
            "metacopy" => {
                if self.r.chance(50) {
                    Vec::new()
                } else {
                    let mut v = self.r.pick(METACOPIES).to_vec();
                    if v.get(3).is_some_and(|a| *a != 0) {
                        let n = *self.r.pick(&[0, 31, 32, 33, 64, 65]);
                        v.extend(self.random(n));
                    }
                    v
                }
            }
            "uuid" => self.random(16),
            _ => self
                .r
                .pick(&[&b"y"[..], b"x", b"n", b"", b"yy", b"\0"])
                .to_vec(),
        })
    }

    fn value(&mut self, name: &str) -> Value {
        match self.r.below(10) {
            0 => {
                let len = self.limit();
                Value {
                    source: Source::Bytes(self.random(len)),
                    edits: Vec::new(),
                }
            }
            1 => {
                let other = *self.r.pick(ATTRIBUTES);
                Value {
                    source: self.fitting(other),
                    edits: self.edits(20),
                }
            }
            _ => Value {
                source: self.fitting(name),
                edits: self.edits(25),
            },
        }
    }

    fn kind(&mut self) -> Kind {
        match self.r.below(8) {
            0..=2 => Kind::Whiteout,
            3 => Kind::Dir,
            4 => Kind::File(0, 0, 0),
            // None leads to where both sides could make something.
            5 => Kind::Symlink(Name(
                self.r
                    .pick(&[
                        &b"../outside/secret"[..],
                        b"/none/none",
                        b".",
                        b"a",
                        b"loop",
                    ])
                    .to_vec(),
            )),
            6 => Kind::Device(*self.r.pick(&[1, 0x100, 0x103])),
            _ => Kind::Fifo,
        }
    }

    fn form(&mut self) -> Form {
        match self.r.below(10) {
            0 => Form::File,
            1 => Form::Dir,
            2 => Form::Symlink(Name(b"../outside/secret".to_vec())),
            3 | 4 => Form::Whiteout,
            5 => Form::Fifo,
            _ => {
                let path = self.path();
                let layer = if self.r.chance(90) { 0 } else { self.layer() };
                Form::Link(Place { layer, path })
            }
        }
    }

    fn damage(&mut self) -> Damage {
        match self.r.below(100) {
            0..=63 => {
                let name = *self.r.pick(ATTRIBUTES);
                Damage::Xattr {
                    place: self.place(),
                    name: name.into(),
                    value: self.value(name),
                }
            }
            // Metadata only, and where the data is: the two go together.
            64..=71 => {
                let place = self.place();
                Damage::Xattr {
                    place,
                    name: "metacopy".into(),
                    value: Value {
                        source: Source::Bytes(Vec::new()),
                        edits: Vec::new(),
                    },
                }
            }
            72..=79 => {
                let mut place = self.place();
                if place.path.0.is_empty() && place.layer != WORK {
                    place.path = self.path();
                }
                Damage::Put {
                    place,
                    kind: self.kind(),
                }
            }
            80..=83 => {
                let mut p = self.place();
                if p.path.0.is_empty() {
                    p.path = self.path();
                }
                Damage::Remove(p)
            }
            84..=86 => Damage::Link {
                from: self.place(),
                to: self.place(),
            },
            87 => Damage::Mode {
                place: self.place(),
                mode: *self.r.pick(&[0, 0o777, 0o4777, 0o1000]),
            },
            _ => Damage::Index {
                name: Value {
                    source: self.record(),
                    edits: self.edits(30),
                },
                upper_case: self.r.chance(8),
                form: self.form(),
            },
        }
    }
}

/// Some damage for the layers of the case.
pub fn damage(r: &mut Rng, case: &Case) -> Vec<Damage> {
    let n = 1 + if r.chance(60) {
        r.below(4)
    } else {
        r.below(16)
    };
    let mut g = Gen { r, case };
    (0..n).map(|_| g.damage()).collect()
}
