// SPDX-License-Identifier: GPL-2.0

//! The merged directory listing.

use std::cell::Cell;
use std::collections::HashSet;
use std::hash::Hasher;
use std::rc::Rc;

use proptest::prelude::*;
use siphasher::sip::SipHasher13;

use crate::merge::*;
use crate::store::NoMemory;
use crate::support::{cases, Faults, Random, VecStore};

type TestNames = Names<VecStore<Entry>, VecStore<u8>, VecStore<u32>>;
type TestListing = Listing<VecStore<Entry>, VecStore<u8>>;

const SEED: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

const DT_DIR: u8 = 4;
const DT_REG: u8 = 8;

fn names(faults: &Faults) -> TestNames {
    names_and_lens(faults).0
}

/// The lengths of the stores of a collection, seen from outside.
struct Lens {
    /// Entries, bytes of names, order.
    contents: [Rc<Cell<usize>>; 3],
    table: Rc<Cell<usize>>,
}

impl Lens {
    fn contents(&self) -> [usize; 3] {
        self.contents.each_ref().map(|len| len.get())
    }
}

fn names_and_lens(faults: &Faults) -> (TestNames, Lens) {
    let entries = VecStore::with_faults(faults);
    let bytes = VecStore::with_faults(faults);
    let table = VecStore::with_faults(faults);
    let order = VecStore::with_faults(faults);
    let lens = Lens {
        contents: [
            entries.len_outside(),
            bytes.len_outside(),
            order.len_outside(),
        ],
        table: table.len_outside(),
    };
    (Names::new(entries, bytes, table, order, || SEED), lens)
}

fn new_name(name: &[u8], kind: u8, ino: u64) -> NewName<'_> {
    NewName {
        name,
        key: None,
        kind,
        ino,
        flags: Flags::NONE,
    }
}

/// Collects layers of names, from the uppermost down; a name that begins with `!` is a whiteout.
fn merged(layers: &[&[&str]]) -> TestListing {
    let mut names = names(&Faults::default());
    for (number, layer) in layers.iter().enumerate() {
        names.start_layer(number + 1 == layers.len());
        for (index, text) in layer.iter().enumerate() {
            let name = text.strip_prefix('!').unwrap_or(text);
            let kind = if name == *text { DT_REG } else { DT_CHR };
            let ino = (number * 100 + index) as u64;
            names.insert(&new_name(name.as_bytes(), kind, ino)).unwrap();
        }
        let mut previous = None;
        while let Some(suspect) = names.next_suspect(previous) {
            assert_eq!(suspect.kind, DT_CHR);
            let id = suspect.id;
            names.set_whiteout(id);
            previous = Some(id);
        }
    }
    names.finish().unwrap()
}

/// What is seen, in order.
fn shown(listing: &TestListing) -> Vec<String> {
    listing
        .iter_from(0)
        .filter(|view| !view.is_whiteout())
        .map(|view| String::from_utf8(view.name.to_vec()).unwrap())
        .collect()
}

#[test]
fn the_lowest_layer_comes_first() {
    let listing = merged(&[&["new", "both", "x"], &["mid", "new"], &["a", "both", "b"]]);
    assert_eq!(shown(&listing), ["a", "both", "b", "new", "x", "mid"]);
    assert_eq!(listing.len(), 6);
    // The first layer that has a name decides about it.
    let inos: Vec<u64> = listing.iter_from(0).map(|view| view.ino).collect();
    assert_eq!(inos, [200, 1, 202, 0, 2, 100]);
}

#[test]
fn one_layer_keeps_its_order() {
    let listing = merged(&[&[".", "..", "c", "a", "b"]]);
    assert_eq!(shown(&listing), [".", "..", "c", "a", "b"]);
    let listing = merged(&[&["c", "a"], &[]]);
    assert_eq!(shown(&listing), ["c", "a"]);
    assert_eq!(shown(&merged(&[&[], &["c", "a"]])), ["c", "a"]);
    assert_eq!(merged(&[&[]]).len(), 0);
}

#[test]
fn whiteouts_hide_and_keep_their_place() {
    let before = merged(&[&["u"], &["a", "b", "c"]]);
    let after = merged(&[&["!b", "u", "v"], &["a", "b", "c"]]);
    assert_eq!(shown(&before), ["a", "b", "c", "u"]);
    assert_eq!(shown(&after), ["a", "c", "u", "v"]);
    // A reader that was at c is still at c.
    assert_eq!(before.get(2).unwrap().name, b"c");
    assert_eq!(after.get(2).unwrap().name, b"c");
    assert!(after.get(1).unwrap().is_whiteout());
    // A whiteout in a lower layer hides what is below, not what is above.
    assert_eq!(shown(&merged(&[&["a"], &["!a", "!b"], &["a", "b"]])), ["a"]);
}

#[test]
fn positions_end_where_the_names_end() {
    let listing = merged(&[&["a"], &["b"]]);
    assert_eq!(listing.get(0).unwrap().name, b"b");
    assert_eq!(listing.get(1).unwrap().name, b"a");
    assert_eq!(listing.get(2), None);
    assert_eq!(listing.get(u64::MAX), None);
    assert_eq!(listing.iter_from(1).count(), 1);
    assert_eq!(listing.iter_from(2).count(), 0);
    assert_eq!(listing.iter_from(u64::MAX).count(), 0);
}

#[test]
fn a_layer_that_lists_a_name_twice_has_it_once() {
    for layers in [
        &[&["a", "b", "a"][..]][..],
        &[&["a", "a"], &["b", "a", "a"]],
    ] {
        let mut names = shown(&merged(layers));
        names.sort();
        assert_eq!(names, ["a", "b"]);
    }
}

#[test]
fn keys_decide_which_names_are_the_same() {
    let mut names = names(&Faults::default());
    let folded = |name: &'static [u8], key| NewName {
        key,
        ..new_name(name, DT_REG, 1)
    };
    names.start_layer(false);
    let first = names
        .insert(&folded(b"Makefile", Some(b"makefile")))
        .unwrap();
    let Inserted::New(id) = first else { panic!() };
    names.start_layer(true);
    let again = names
        .insert(&folded(b"MAKEFILE", Some(b"makefile")))
        .unwrap();
    assert_eq!(again, Inserted::Known(id));
    // A name that is its own key.
    let again = names.insert(&folded(b"makefile", None)).unwrap();
    assert_eq!(again, Inserted::Known(id));
    // An empty key is none.
    names.insert(&folded(b".", Some(b""))).unwrap();
    assert_eq!(names.find(b".").unwrap().name, b".");
    assert_eq!(names.find(b"makefile").unwrap().name, b"Makefile");
    assert_eq!(names.find(b"Makefile"), None);
    let listing = names.finish().unwrap();
    let all: Vec<&[u8]> = listing.iter_from(0).map(|view| view.name).collect();
    assert_eq!(all, [&b"Makefile"[..], b"."]);
}

#[test]
fn entries_are_updated_as_they_are_looked_up() {
    let mut names = names(&Faults::default());
    names.start_layer(true);
    let flags = Flags::UPPER
        .with(Flags::INO_PENDING)
        .with(Flags::CHECK_XWHITEOUT);
    names
        .insert(&NewName {
            flags,
            ..new_name(b"f", DT_REG, 5)
        })
        .unwrap();
    let mut listing = names.finish().unwrap();
    let view = listing.get(0).unwrap();
    assert_eq!((view.flags, view.ino), (flags, 5));
    assert!(view.needs_update());
    let id = view.id;
    listing.set_ino(id, 77);
    assert!(listing.get(0).unwrap().needs_update());
    listing.set_checked(id);
    let view = listing.get(0).unwrap();
    assert_eq!((view.flags, view.ino), (Flags::UPPER, 77));
    assert!(!view.needs_update());
    listing.set_whiteout(id);
    assert!(listing.get(0).unwrap().is_whiteout());
    assert_eq!(listing.len(), 1);
}

#[test]
fn flags_are_a_set() {
    let both = Flags::UPPER.with(Flags::WHITEOUT);
    assert!(both.contains(Flags::UPPER) && both.contains(Flags::WHITEOUT) && both.contains(both));
    assert!(!Flags::UPPER.contains(both) && Flags::UPPER.contains(Flags::NONE));
    assert_eq!(both.without(Flags::UPPER), Flags::WHITEOUT);
    assert_eq!(Flags::NONE.with_if(true, both), both);
    assert_eq!(Flags::NONE.with_if(false, both), Flags::NONE);
}

#[test]
fn removed_names_are_not_found() {
    let mut names = names(&Faults::default());
    names.start_layer(false);
    for name in [b"a", b"b", b"c"] {
        names.insert(&new_name(name, DT_REG, 1)).unwrap();
    }
    let id = names.find(b"b").unwrap().id;
    names.remove(id);
    assert_eq!(names.find(b"b"), None);
    let left: Vec<&[u8]> = names.iter().map(|view| view.name).collect();
    assert_eq!(left, [b"a", b"c"]);
    assert!(names.get(id).is_some());
    names.set_ino(id, 9);
    assert_eq!(names.get(id).map(|view| view.ino), Some(9));
    assert_eq!(names.len(), 3);
}

#[test]
fn suspects_are_those_of_the_current_layer() {
    let mut names = names(&Faults::default());
    names.start_layer(false);
    names.insert(&new_name(b"old", DT_CHR, 1)).unwrap();
    names.start_layer(false);
    assert_eq!(names.next_suspect(None), None);
    names.insert(&new_name(b"dir", DT_DIR, 1)).unwrap();
    names.insert(&new_name(b"one", DT_CHR, 1)).unwrap();
    names.insert(&new_name(b"file", DT_REG, 1)).unwrap();
    names.insert(&new_name(b"two", DT_CHR, 1)).unwrap();
    names.insert(&new_name(b"old", DT_CHR, 1)).unwrap();
    let one = names.next_suspect(None).unwrap();
    assert_eq!(one.name, b"one");
    let two = names.next_suspect(Some(one.id)).unwrap();
    assert_eq!(two.name, b"two");
    assert_eq!(names.next_suspect(Some(two.id)), None);
}

#[test]
fn a_directory_of_whiteouts_is_vacant() {
    assert!(merged(&[&[], &[]]).is_vacant());
    assert!(merged(&[&[".", "..", "!a"], &[".", "..", "a"]]).is_vacant());
    assert!(!merged(&[&[".", "..", "!a"], &["a", "b"]]).is_vacant());
    assert!(!merged(&[&["..."]]).is_vacant());
    assert!(is_dots(b".") && is_dots(b"..") && !is_dots(b"...") && !is_dots(b""));
}

#[test]
fn an_entry_is_small() {
    assert_eq!(std::mem::size_of::<Entry>(), 24);
}

#[test]
fn the_hash_is_siphash() {
    let mut random = Random::new(2);
    for len in 0..300 {
        let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
        let seed = [random.next(), random.next()];
        let mut hasher = SipHasher13::new_with_keys(seed[0], seed[1]);
        hasher.write(&bytes);
        assert_eq!(hash(seed, &bytes), hasher.finish() as u32, "{len}");
    }
}

#[test]
fn hundred_thousand_names_are_all_there() {
    const COUNT: usize = 100_000;
    let (mut names, lens) = names_and_lens(&Faults::default());
    let name = |number: usize| format!("file-{number}");
    // The upper layer has every third name, and the lowest all, in another order.
    names.start_layer(false);
    for number in (0..COUNT).step_by(3) {
        let name = name(number);
        let inserted = names.insert(&new_name(name.as_bytes(), DT_REG, number as u64));
        assert!(matches!(inserted, Ok(Inserted::New(_))));
    }
    names.start_layer(true);
    for number in (0..COUNT).rev() {
        let name = name(number);
        let inserted = names.insert(&new_name(name.as_bytes(), DT_REG, 0)).unwrap();
        assert_eq!(matches!(inserted, Inserted::Known(_)), number % 3 == 0);
    }
    assert_eq!(names.len(), COUNT);
    // The memory that it takes, and room in the table, so that searches stay short.
    let bytes: usize = (0..COUNT).map(|number| name(number).len()).sum();
    assert_eq!(lens.contents(), [COUNT, bytes, COUNT]);
    assert_eq!(lens.table.get(), 262_144);
    for number in 0..COUNT {
        assert!(names.find(name(number).as_bytes()).is_some());
    }
    assert_eq!(names.find(b"file-"), None);
    let listing = names.finish().unwrap();
    for (position, view) in listing.iter_from(0).enumerate() {
        assert_eq!(view.name, name(COUNT - 1 - position).as_bytes());
    }
    assert_eq!(listing.len(), COUNT as u64);
}

/// A table is only made when it is worth while, and names that came before are found in it.
#[test]
fn few_names_need_no_table() {
    let (mut names, lens) = names_and_lens(&Faults::default());
    names.start_layer(false);
    let mut few = 0;
    while lens.table.get() == 0 {
        few += 1;
        let name = format!("name-{few}");
        let inserted = names.insert(&new_name(name.as_bytes(), DT_REG, few));
        assert!(matches!(inserted, Ok(Inserted::New(_))));
        for known in 1..=few {
            let name = format!("name-{known}");
            assert_eq!(names.find(name.as_bytes()).unwrap().ino, known);
            let inserted = names.insert(&new_name(name.as_bytes(), DT_REG, 0));
            assert!(matches!(inserted, Ok(Inserted::Known(_))));
        }
        assert_eq!(names.find(b"name-"), None);
    }
    assert!(few > 16 && few < 64);
}

/// A directory: for each layer the names in its order, each once, and whether it is a whiteout.
fn directory() -> impl Strategy<Value = Vec<Vec<(String, bool)>>> {
    let layer = prop::collection::hash_set("[a-f]{1,2}", 0..24).prop_map(|set| {
        let mut names: Vec<String> = set.into_iter().collect();
        names.sort();
        names
    });
    let layer = layer.prop_shuffle().prop_flat_map(|names| {
        let count = names.len();
        prop::collection::vec(any::<bool>(), count)
            .prop_map(move |whiteouts| names.iter().cloned().zip(whiteouts).collect())
    });
    prop::collection::vec(layer, 1..5)
}

/// Collects a directory; every failed insertion is tried once more.
fn collect(
    faults: &Faults,
    layers: &[Vec<(String, bool)>],
) -> Result<Vec<(String, u64, bool)>, NoMemory> {
    let (mut names, lens) = names_and_lens(faults);
    for (number, layer) in layers.iter().enumerate() {
        names.start_layer(number + 1 == layers.len());
        for (index, (name, whiteout)) in layer.iter().enumerate() {
            let kind = if *whiteout { DT_CHR } else { DT_REG };
            let new = new_name(name.as_bytes(), kind, (number * 100 + index) as u64);
            let contents = lens.contents();
            let before: Vec<String> = names.iter().map(|view| format!("{view:?}")).collect();
            if names.insert(&new) == Err(NoMemory) {
                // Nothing has changed, and everything is still found.
                assert_eq!(lens.contents(), contents);
                let after: Vec<String> = names.iter().map(|view| format!("{view:?}")).collect();
                assert_eq!(after, before);
                for view in names.iter() {
                    assert_eq!(names.find(view.name), Some(view));
                }
                faults.stop();
                names.insert(&new)?;
            }
        }
        let mut previous = None;
        while let Some(suspect) = names.next_suspect(previous) {
            let id = suspect.id;
            names.set_whiteout(id);
            previous = Some(id);
        }
    }
    let listing = names.finish()?;
    let entry = |view: View<'_>| {
        let name = String::from_utf8(view.name.to_vec()).unwrap();
        (name, view.ino, view.is_whiteout())
    };
    Ok(listing.iter_from(0).map(entry).collect())
}

proptest! {
    #![proptest_config(cases(600))]

    /// Every name once, decided by the first layer that has it, at the place that the order says.
    #[test]
    fn merging_is_what_it_says(layers in directory()) {
        let (lowest, above) = layers.split_last().unwrap();
        let mut order: Vec<&str> = lowest.iter().map(|(name, _)| &name[..]).collect();
        let mut seen: HashSet<&str> = order.iter().copied().collect();
        let all_above = above.iter().flatten().map(|(name, _)| &name[..]);
        order.extend(all_above.filter(|name| seen.insert(name)));
        let expected: Vec<(String, u64, bool)> = order
            .iter()
            .map(|name| {
                let (number, index) = layers
                    .iter()
                    .enumerate()
                    .find_map(|(number, layer)| {
                        let index = layer.iter().position(|(other, _)| other == name)?;
                        Some((number, index))
                    })
                    .unwrap();
                (name.to_string(), (number * 100 + index) as u64, layers[number][index].1)
            })
            .collect();
        prop_assert_eq!(collect(&Faults::default(), &layers), Ok(expected));
    }

    /// Wherever memory runs out, the insertion has no effect and can be repeated.
    #[test]
    fn a_failed_insertion_has_no_effect(layers in directory()) {
        let faults = Faults::default();
        let expected = collect(&faults, &layers).unwrap();
        for at in 0..faults.requests() {
            let faults = Faults::default();
            faults.fail_after(at);
            // At the end there is nothing to repeat.
            if let Ok(listing) = collect(&faults, &layers) {
                prop_assert_eq!(&listing, &expected);
            }
        }
    }

    /// Changes in the layers above do not move the names of the lowest layer.
    #[test]
    fn positions_survive_changes_above(layers in directory(), other in directory()) {
        let lowest = layers.last().unwrap();
        let mut changed = other.clone();
        changed.push(lowest.clone());
        let before = collect(&Faults::default(), &layers).unwrap();
        let after = collect(&Faults::default(), &changed).unwrap();
        for (position, (name, _)) in lowest.iter().enumerate() {
            prop_assert_eq!(&before[position].0, name);
            prop_assert_eq!(&after[position].0, name);
        }
    }
}

#[test]
fn long_runs_of_failures_leave_the_table_in_order() {
    let faults = Faults::default();
    let (mut names, lens) = names_and_lens(&faults);
    let mut random = Random::new(3);
    let mut known: Vec<Vec<u8>> = Vec::new();
    let mut seen = HashSet::new();
    names.start_layer(false);
    for step in 0..20_000 {
        if step == 10_000 {
            names.start_layer(true);
        }
        let slots = lens.table.get();
        assert!(names.len() * 4 <= slots * 3 || (slots == 0 && names.len() <= 24));
        faults.fail_after(random.below(6) as u64);
        let name = random.bytes(3, b"abcdefghijklmnop");
        match names.insert(&new_name(&name, DT_REG, step)) {
            Ok(Inserted::New(_)) => {
                assert!(seen.insert(name.clone()));
                known.push(name);
            }
            Ok(Inserted::Known(_)) => assert!(seen.contains(&name)),
            Err(NoMemory) => (),
        }
        faults.stop();
    }
    assert_eq!(names.len(), known.len());
    for name in &known {
        assert_eq!(names.find(name).unwrap().name, name);
    }
    let listing = names.finish().unwrap();
    let listed: HashSet<Vec<u8>> = listing.iter_from(0).map(|v| v.name.to_vec()).collect();
    assert_eq!(listing.len(), known.len() as u64);
    assert_eq!(listed, seen);
}
