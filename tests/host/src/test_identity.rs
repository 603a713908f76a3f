// SPDX-License-Identifier: GPL-2.0

//! Device and inode numbers.

use std::collections::HashMap;

use proptest::prelude::*;

use crate::identity::*;
use crate::options::Xino;
use crate::support::{cases, Random};

#[test]
fn the_space_follows_from_the_layers() {
    use Space::{Pseudo, SameFs};
    let xino = |bits| Space::Xino { bits };
    // Option, counted file systems, upper layer, 32-bit numbers.
    let table = [
        // One file system: with upper it is counted once, without there is an unused place.
        ((Xino::Off, 1, true, false), SameFs),
        ((Xino::On, 1, true, true), SameFs),
        ((Xino::On, 2, false, true), SameFs),
        // More of them.
        ((Xino::Off, 2, true, true), Pseudo),
        ((Xino::Off, 3, false, false), Pseudo),
        ((Xino::On, 2, true, true), xino(32)),
        ((Xino::Auto, 3, false, true), xino(32)),
        // As few bits as hold the highest number, and one more.
        ((Xino::On, 2, true, false), xino(2)),
        ((Xino::On, 3, true, false), xino(3)),
        ((Xino::Auto, 3, false, false), xino(3)),
        ((Xino::On, 4, true, false), xino(3)),
        ((Xino::On, 5, true, false), xino(4)),
        ((Xino::On, 501, true, false), xino(10)),
    ];
    for ((option, filesystems, upper, ino32), expected) in table {
        let space = Space::choose(option, filesystems, upper, ino32);
        assert_eq!(space, expected, "{option:?} {filesystems} {upper} {ino32}");
    }
}

#[test]
fn spaces_answer_for_themselves() {
    let all = [Space::SameFs, Space::Xino { bits: 5 }, Space::Pseudo];
    assert_eq!(all.map(Space::is_same_fs), [true, false, false]);
    assert_eq!(all.map(Space::is_same_dev), [true, true, false]);
    assert_eq!(all.map(Space::xino_bits), [0, 5, 0]);
}

const DIR: bool = true;
const FILE: bool = false;

fn stat(space: Space, ino: u64, fsid: u32, is_dir: bool) -> (Dev, u64, bool) {
    let id = map_stat(space, ino, fsid, is_dir, 777);
    (id.dev, id.ino, id.overflow)
}

#[test]
fn stat_shows_the_device_and_number_of_the_space() {
    let same = Space::SameFs;
    assert_eq!(
        stat(same, u64::MAX, 0, FILE),
        (Dev::Overlay, u64::MAX, false)
    );
    assert_eq!(stat(same, 5, 3, DIR), (Dev::Overlay, 5, false));

    let xino = Space::Xino { bits: 2 };
    assert_eq!(stat(xino, 5, 0, FILE), (Dev::Overlay, 5, false));
    assert_eq!(stat(xino, 5, 1, FILE), (Dev::Overlay, 1 << 63 | 5, false));
    assert_eq!(stat(xino, 5, 1, DIR), (Dev::Overlay, 1 << 63 | 5, false));
    let limit = 1 << 62;
    assert_eq!(
        stat(xino, limit - 1, 0, FILE),
        (Dev::Overlay, limit - 1, false)
    );
    // It does not fit: a directory stays on the overlay, a file goes to its own device.
    assert_eq!(stat(xino, limit, 1, FILE), (Dev::Pseudo(1), limit, true));
    assert_eq!(stat(xino, limit, 1, DIR), (Dev::Overlay, 777, true));

    let xino = Space::Xino { bits: 32 };
    assert_eq!(stat(xino, 5, 7, FILE), (Dev::Overlay, 7 << 33 | 5, false));

    assert_eq!(stat(Space::Pseudo, 5, 0, FILE), (Dev::Pseudo(0), 5, false));
    assert_eq!(stat(Space::Pseudo, 5, 2, FILE), (Dev::Pseudo(2), 5, false));
    assert_eq!(stat(Space::Pseudo, 5, 2, DIR), (Dev::Overlay, 777, false));
}

#[test]
fn the_inode_has_the_number_that_stat_shows() {
    let mut random = Random::new(1);
    for space in [
        Space::SameFs,
        Space::Pseudo,
        Space::Xino { bits: 2 },
        Space::Xino { bits: 10 },
        Space::Xino { bits: 32 },
    ] {
        for _ in 0..2000 {
            let ino = random.next() >> random.below(64);
            let fsid = random.below(4) as u32;
            for is_dir in [DIR, FILE] {
                match map_inode(space, ino, fsid, is_dir) {
                    InodeIno::Real(number) => {
                        assert_eq!(map_stat(space, ino, fsid, is_dir, number).ino, number);
                    }
                    InodeIno::Private => {
                        assert!(is_dir);
                        let number = private_ino(space, random.next());
                        let id = map_stat(space, ino, fsid, is_dir, number);
                        assert_eq!((id.dev, id.ino), (Dev::Overlay, number));
                    }
                }
            }
        }
    }
}

#[test]
fn made_up_numbers_have_a_range_of_their_own() {
    assert_eq!(private_ino(Space::Pseudo, 2), 2);
    assert_eq!(private_ino(Space::Xino { bits: 2 }, 2), 1 << 62 | 2);
    assert_eq!(private_ino(Space::Xino { bits: 32 }, 2), 1 << 32 | 2);
    // The counter wraps within the range.
    assert_eq!(
        private_ino(Space::Xino { bits: 32 }, 1 << 32 | 9),
        1 << 32 | 9
    );
    assert_eq!(
        private_ino(Space::Xino { bits: 32 }, u64::MAX),
        (2 << 32) - 1
    );
}

#[test]
fn stat_asks_for_an_origin_that_can_be_shown() {
    for is_dir in [DIR, FILE] {
        assert!(asks_origin(Space::SameFs, is_dir));
        assert!(asks_origin(Space::Xino { bits: 2 }, is_dir));
    }
    assert!(asks_origin(Space::Pseudo, FILE));
    assert!(!asks_origin(Space::Pseudo, DIR));

    // Indexed, origins verified, directory, link count.
    let table = [
        ((false, false, FILE, 1), true),
        ((false, false, FILE, 2), false),
        ((false, false, DIR, 5), true),
        ((false, true, FILE, 1), false),
        ((false, true, DIR, 5), false),
        ((true, false, FILE, 2), true),
        ((true, true, FILE, 2), true),
        ((true, true, DIR, 5), true),
    ];
    for ((indexed, verify, is_dir, nlink), expected) in table {
        assert_eq!(use_origin(indexed, verify, is_dir, nlink), expected);
    }
}

#[test]
fn entries_show_what_stat_shows() {
    let entry = |space, ino, fsid| {
        let entry = map_lower_entry(space, ino, fsid);
        (entry.ino, entry.overflow)
    };
    assert_eq!(entry(Space::SameFs, u64::MAX, 1), (u64::MAX, false));
    assert_eq!(entry(Space::Pseudo, 5, 1), (5, false));
    assert_eq!(entry(Space::Xino { bits: 32 }, 5, 1), (2 << 32 | 5, false));
    assert_eq!(entry(Space::Xino { bits: 32 }, 1 << 32, 1), (1 << 32, true));
}

#[test]
fn entry_numbers_are_deferred_where_they_may_differ() {
    let facts = |is_dot, is_dotdot, is_upper, dir_is_impure| EntryFacts {
        is_dot,
        is_dotdot,
        is_upper,
        dir_is_impure,
    };
    let plain = facts(false, false, false, false);
    for space in [Space::SameFs, Space::Pseudo] {
        assert!(!defers_entry_ino(space, plain));
        assert!(defers_entry_ino(space, facts(false, true, false, false)));
        assert!(!defers_entry_ino(space, facts(true, false, false, false)));
        assert!(defers_entry_ino(space, facts(true, false, true, false)));
        assert!(!defers_entry_ino(space, facts(false, false, true, false)));
        assert!(defers_entry_ino(space, facts(false, false, true, true)));
        assert!(!defers_entry_ino(space, facts(false, false, false, true)));
    }
    assert!(defers_entry_ino(Space::Xino { bits: 2 }, plain));

    let xino = Space::Xino { bits: 2 };
    assert_eq!(entry_source(Space::SameFs, true, true), EntrySource::Stat);
    assert_eq!(entry_source(Space::SameFs, false, true), EntrySource::Real);
    assert_eq!(entry_source(Space::SameFs, false, false), EntrySource::Real);
    assert_eq!(entry_source(xino, true, true), EntrySource::Stat);
    assert_eq!(entry_source(xino, false, true), EntrySource::Real);
    assert_eq!(entry_source(xino, false, false), EntrySource::Lower);
    assert_eq!(entry_source(Space::Pseudo, true, true), EntrySource::Real);

    assert!(adjusts_entries(xino, false, false));
    assert!(adjusts_entries(Space::SameFs, true, false));
    assert!(adjusts_entries(Space::SameFs, false, true));
    assert!(!adjusts_entries(Space::SameFs, false, false));
    assert!(!adjusts_entries(Space::Pseudo, true, true));
}

proptest! {
    #![proptest_config(cases(500))]

    /// No two objects show the same numbers, whatever their real ones are; not even a directory
    /// whose number was made up.
    #[test]
    fn identities_are_unique(
        filesystems in 2u32..20,
        ino32: bool,
        option in prop::sample::select(vec![Xino::Off, Xino::Auto, Xino::On]),
        objects in prop::collection::hash_set((0u32..20, any::<u64>(), 0u32..64), 1..60),
    ) {
        let space = Space::choose(option, filesystems, true, ino32);
        let mut seen = HashMap::new();
        let mut count = 1;
        let mut reals = std::collections::HashSet::new();
        for (fsid, number, shift) in objects {
            let fsid = fsid % filesystems;
            let ino = number >> shift;
            if !reals.insert((fsid, ino)) {
                continue;
            }
            // A file or a directory, not both; as the number decides.
            let is_dir = number % 2 == 0;
            let own = match map_inode(space, ino, fsid, is_dir) {
                InodeIno::Real(own) => own,
                InodeIno::Private => {
                    count += 1;
                    private_ino(space, count)
                }
            };
            let id = map_stat(space, ino, fsid, is_dir, own);
            let old = seen.insert((format!("{:?}", id.dev), id.ino), (fsid, ino));
            prop_assert_eq!(old, None, "{:?}", id);
            if is_dir {
                prop_assert_eq!(id.dev, Dev::Overlay);
            }
        }
    }

    /// Bits that no mount has do not panic and do not mix up anything.
    #[test]
    fn odd_spaces_are_harmless(bits: u32, ino: u64, fsid: u32, is_dir: bool) {
        let space = Space::Xino { bits };
        let id = map_stat(space, ino, fsid, is_dir, 1);
        prop_assert!(id.overflow || id.ino & ino == ino);
        let _ = private_ino(space, ino);
        let _ = map_inode(space, ino, fsid, is_dir);
        let _ = map_lower_entry(space, ino, fsid);
        let _ = Space::choose(Xino::On, fsid, is_dir, false);
    }
}
