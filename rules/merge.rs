// SPDX-License-Identifier: GPL-2.0

//! The names of a merged directory: every name once, in an order that stays.
//!
//! Source of the facts: `fs/overlayfs/readdir.c`.
//!
//! The layers are read from the uppermost down. The first layer that has a name decides about it; a
//! whiteout takes part like any other name and hides what is below it.
//!
//! The order is overlayfs's: first the names of the lowest layer, as that layer lists them, then
//! the names that only the layers above have, as these list them. A position is an offset for
//! `seekdir(3)`. The lowest layer does not change, and a whiteout of one of its names takes the
//! place of that name, so that a listing read again after changes has the old names at their old
//! positions, and new ones at the end. An NFS server, which opens the directory for every request
//! and seeks to where it was, depends on that.
//!
//! [`Names`] collects, and can be asked for a name. [`Names::finish`] turns it into a [`Listing`],
//! which has positions and is smaller. Both need 24 bytes for an entry beside its name, and `Names` 5
//! to 11 for finding it, and 4 for its position.

#![forbid(unsafe_code)]

use core::{
    cell::Cell,
    ops::Range, //
};

use super::store::{
    NoMemory,
    Store, //
};

/// A character device, the only type that a whiteout can have on a real file system.
pub(crate) const DT_CHR: u8 = 2;

/// The numbers that entries can have; the table stores them plus one.
const IDS: Range<u32> = 0..u32::MAX;

/// So many names are compared one by one; a hash table is made for more.
const FEW_NAMES: usize = 24;

/// The number of slots that a hash table begins with.
const FIRST_SLOTS: usize = 64;

/// Free slots, to be added to a table.
static FREE_SLOTS: [u32; 256] = [0; 256];

/// A set of properties of an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// None.
    pub(crate) const NONE: Self = Self(0);
    /// The name was found in the upper layer.
    pub(crate) const UPPER: Self = Self(1 << 0);
    /// The entry is not shown: it is a whiteout, or what it stood for has gone.
    pub(crate) const WHITEOUT: Self = Self(1 << 1);
    /// It has to be looked up before it is shown, as it may be a whiteout in xattr form.
    pub(crate) const CHECK_XWHITEOUT: Self = Self(1 << 2);
    /// Its inode number is the real one, and has to be computed before it is shown.
    pub(crate) const INO_PENDING: Self = Self(1 << 3);
    /// It was taken out of the collection; [`Names::find`] does not find it.
    pub(crate) const REMOVED: Self = Self(1 << 4);
    /// It has its place in the order.
    const PLACED: Self = Self(1 << 5);

    /// Whether all of `other` are in this set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// `other` if `condition` holds, added to this set.
    pub(crate) const fn with_if(self, condition: bool, other: Self) -> Self {
        if condition {
            self.with(other)
        } else {
            self
        }
    }

    /// This set without `other`.
    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// An entry as it is stored; only its storage has to be provided by the caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    ino: u64,
    /// Where the name begins; the key follows it if it is another one.
    start: u32,
    /// That of the key; as long as there is no table, its [`end`].
    hash: u32,
    name_len: u16,
    /// 0 if the name is its own key.
    key_len: u16,
    kind: u8,
    flags: Flags,
}

/// An entry's number, valid for the collection it comes from. In a [`Listing`] it is its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryId(u32);

impl EntryId {
    /// The position after that of this entry of a [`Listing`].
    pub(crate) fn next_position(self) -> i64 {
        i64::from(self.0).saturating_add(1)
    }
}

/// A name that a layer lists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewName<'a> {
    /// The name.
    pub(crate) name: &'a [u8],
    /// What decides whether two names are the same, if it is not the name: its case-folded form.
    pub(crate) key: Option<&'a [u8]>,
    /// `d_type`.
    pub(crate) kind: u8,
    /// The real inode number.
    pub(crate) ino: u64,
    /// What is known about it.
    pub(crate) flags: Flags,
}

/// An entry as the caller sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View<'a> {
    /// Its number.
    pub(crate) id: EntryId,
    /// The name.
    pub(crate) name: &'a [u8],
    /// `d_type`.
    pub(crate) kind: u8,
    /// The inode number: the real one until [`Listing::set_ino`] was called.
    pub(crate) ino: u64,
    /// What is known about it.
    pub(crate) flags: Flags,
}

impl View<'_> {
    /// The name is `.` or `..`.
    pub(crate) fn is_dots(&self) -> bool {
        is_dots(self.name)
    }

    /// The entry is not to be shown.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.flags.contains(Flags::WHITEOUT)
    }

    /// The entry has to be looked up before it is known what to show.
    pub(crate) fn needs_update(&self) -> bool {
        !self.is_whiteout()
            && (self.flags.contains(Flags::INO_PENDING)
                || self.flags.contains(Flags::CHECK_XWHITEOUT))
    }
}

/// The name is `.` or `..`.
pub(crate) fn is_dots(name: &[u8]) -> bool {
    matches!(name, b"." | b"..")
}

/// What became of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// It was not known yet.
    New(EntryId),
    /// A layer above has it, or this layer listed it twice; that entry stays as it is.
    Known(EntryId),
}

/// The hash of a key: SipHash with one round for each word and three at the end.
///
/// Whoever can fill a directory must not be able to choose names that collide, or reading it takes
/// quadratic time in the kernel. Therefore the hash is keyed, with a random `seed`.
pub(crate) fn hash(seed: [u64; 2], bytes: &[u8]) -> u32 {
    /// One round of the permutation.
    fn round(v: [u64; 4]) -> [u64; 4] {
        let [mut a, mut b, mut c, mut d] = v;
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
        [a, b, c, d]
    }

    /// Takes in one word.
    fn absorb(v: [u64; 4], word: u64) -> [u64; 4] {
        let [a, b, c, d] = v;
        let [a, b, c, d] = round([a, b, c, d ^ word]);
        [a ^ word, b, c, d]
    }

    let [low, high] = seed;
    let mut state = [
        low ^ 0x736f_6d65_7073_6575,
        high ^ 0x646f_7261_6e64_6f6d,
        low ^ 0x6c79_6765_6e65_7261,
        high ^ 0x7465_6462_7974_6573,
    ];
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        state = absorb(state, u64::from_le_bytes(*word));
        rest = after;
    }
    // The bytes that do not fill a word, with the length in the highest byte.
    let [len, ..] = bytes.len().to_le_bytes();
    let mut last = u64::from(len);
    for _ in rest.len()..7 {
        last = last.wrapping_shl(8);
    }
    for &byte in rest.iter().rev() {
        last = last.wrapping_shl(8) | u64::from(byte);
    }
    let [a, b, c, d] = absorb(state, last);
    let [a, b, c, d] = round(round(round([a, b, c ^ 0xff, d])));
    let [b0, b1, b2, b3, ..] = (a ^ b ^ c ^ d).to_le_bytes();
    u32::from_le_bytes([b0, b1, b2, b3])
}

/// The last bytes of a name: names in a directory mostly differ there.
fn end(name: &[u8]) -> u32 {
    match name.last_chunk::<4>() {
        Some(last) => u32::from_le_bytes(*last),
        None => name
            .iter()
            .fold(0, |end, &byte| end.wrapping_shl(8) | u32::from(byte)),
    }
}

/// `bytes[start..][..len]`, or nothing if that is not all there.
fn part(bytes: &[u8], start: u32, skip: u16, len: u16) -> &[u8] {
    usize::try_from(start)
        .ok()
        .and_then(|start| start.checked_add(usize::from(skip)))
        .and_then(|start| bytes.get(start..))
        .and_then(|rest| rest.get(..usize::from(len)))
        .unwrap_or(&[])
}

impl Entry {
    fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        part(bytes, self.start, 0, self.name_len)
    }

    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.key_len == 0 {
            self.name(bytes)
        } else {
            part(bytes, self.start, self.name_len, self.key_len)
        }
    }

    fn has_key(&self, hash: u32, key: &[u8], bytes: &[u8]) -> bool {
        self.hash == hash && self.key(bytes) == key
    }

    fn view<'a>(&self, id: EntryId, bytes: &'a [u8]) -> View<'a> {
        View {
            id,
            name: self.name(bytes),
            kind: self.kind,
            ino: self.ino,
            flags: self.flags.without(Flags::PLACED),
        }
    }
}

/// The entries and their names, without any order.
#[derive(Debug)]
struct Arena<E, B> {
    entries: E,
    bytes: B,
}

impl<E: Store<Entry>, B: Store<u8>> Arena<E, B> {
    fn len(&self) -> usize {
        self.entries.as_slice().len()
    }

    fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.as_slice().get(usize::try_from(id.0).ok()?)
    }

    fn entry_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.entries
            .as_mut_slice()
            .get_mut(usize::try_from(id.0).ok()?)
    }

    fn view(&self, id: EntryId) -> Option<View<'_>> {
        Some(self.entry(id)?.view(id, self.bytes.as_slice()))
    }

    /// The entry with this key, found by looking at all.
    fn find(&self, end: u32, key: &[u8]) -> Option<EntryId> {
        let bytes = self.bytes.as_slice();
        let mut entries = IDS.zip(self.entries.as_slice());
        let (id, _) = entries.find(|(_, entry)| entry.has_key(end, key, bytes))?;
        Some(EntryId(id))
    }

    fn has_key(&self, id: EntryId, hash: u32, key: &[u8]) -> bool {
        let entry = self.entry(id);
        entry.is_some_and(|entry| entry.has_key(hash, key, self.bytes.as_slice()))
    }

    fn set_hashes(&mut self, seed: [u64; 2]) {
        let bytes = self.bytes.as_slice();
        for entry in self.entries.as_mut_slice() {
            entry.hash = hash(seed, entry.key(bytes));
        }
    }

    fn add_flags(&mut self, id: EntryId, flags: Flags) {
        if let Some(entry) = self.entry_mut(id) {
            entry.flags = entry.flags.with(flags);
        }
    }

    fn set_ino(&mut self, id: EntryId, ino: u64) {
        if let Some(entry) = self.entry_mut(id) {
            entry.ino = ino;
            entry.flags = entry.flags.without(Flags::INO_PENDING);
        }
    }

    /// Adds an entry, or nothing.
    fn push(&mut self, new: &NewName<'_>, hash: u32) -> Result<EntryId, NoMemory> {
        // Numbers, lengths and offsets that do not fit are beyond any directory there is.
        let id = u32::try_from(self.len()).map_err(|_| NoMemory)?;
        if !IDS.contains(&id) {
            return Err(NoMemory);
        }
        let old_len = self.bytes.as_slice().len();
        let key = new.key.filter(|key| !key.is_empty()).unwrap_or(&[]);
        let entry = Entry {
            ino: new.ino,
            start: u32::try_from(old_len).map_err(|_| NoMemory)?,
            hash,
            name_len: u16::try_from(new.name.len()).map_err(|_| NoMemory)?,
            key_len: u16::try_from(key.len()).map_err(|_| NoMemory)?,
            kind: new.kind,
            flags: new.flags.without(Flags::PLACED),
        };
        let mut added = self.bytes.try_extend(new.name);
        if !key.is_empty() {
            added = added.and_then(|()| self.bytes.try_extend(key));
        }
        let added = added.and_then(|()| self.entries.try_push(entry));
        if added.is_err() {
            self.bytes.truncate(old_len);
        }
        added.map(|()| EntryId(id))
    }

    /// Takes back the last entry.
    fn pop(&mut self) {
        let Some((last, rest)) = self.entries.as_slice().split_last() else {
            return;
        };
        let (start, left) = (last.start, rest.len());
        if let Ok(start) = usize::try_from(start) {
            self.bytes.truncate(start);
        }
        self.entries.truncate(left);
    }
}

/// The names of a directory while they are collected.
///
/// `E` and `B` hold the entries and their names, `U` the hash table and the order.
///
/// # Invariants
///
/// The table is empty, as long as there are few entries, or has a power of two of slots, of which at
/// least a quarter are 0. Then every entry's number plus one is in exactly one slot, at or after the
/// one its hash selects, with no 0 between. The order has every entry with `PLACED` set exactly once.
#[derive(Debug)]
pub(crate) struct Names<E, B, U> {
    arena: Arena<E, B>,
    table: U,
    order: U,
    /// Of the hash, from when there is a table.
    seed: [u64; 2],
    new_seed: fn() -> [u64; 2],
    /// The number of entries before the current layer.
    layer_start: usize,
    /// The current layer is the lowest.
    lowest: bool,
}

impl<E: Store<Entry>, B: Store<u8>, U: Store<u32>> Names<E, B, U> {
    /// An empty collection in these stores, which are emptied. `new_seed` is random; see [`hash`].
    pub(crate) fn new(
        mut entries: E,
        mut bytes: B,
        mut table: U,
        mut order: U,
        new_seed: fn() -> [u64; 2],
    ) -> Self {
        entries.clear();
        bytes.clear();
        table.clear();
        order.clear();
        Self {
            arena: Arena { entries, bytes },
            table,
            order,
            seed: [0; 2],
            new_seed,
            layer_start: 0,
            lowest: false,
        }
    }

    /// The next layer is read. Layers come from the uppermost down, each once; `lowest` is for the
    /// last one, which may be the only one.
    pub(crate) fn start_layer(&mut self, lowest: bool) {
        self.layer_start = self.arena.len();
        self.lowest = lowest;
    }

    /// The number of names, whiteouts and removed ones included.
    pub(crate) fn len(&self) -> usize {
        self.arena.len()
    }

    /// Adds a name of the current layer, unless it is known. On an error nothing has changed.
    pub(crate) fn insert(&mut self, new: &NewName<'_>) -> Result<Inserted, NoMemory> {
        let key = match new.key {
            Some(key) if !key.is_empty() => key,
            _ => new.name,
        };
        let (mut hash, known) = self.lookup(key);
        if let Some(id) = known {
            self.place_known(id)?;
            return Ok(Inserted::Known(id));
        }
        if self.reserve_slot()? {
            hash = self.hash(key);
        }
        let id = self.arena.push(new, hash)?;
        if self.lowest {
            if let Err(error) = self.order.try_push(id.0) {
                self.arena.pop();
                return Err(error);
            }
            self.arena.add_flags(id, Flags::PLACED);
        }
        Self::link(self.table.as_mut_slice(), hash, id);
        Ok(Inserted::New(id))
    }

    /// The lowest layer has the name of this entry too, which decides its place.
    fn place_known(&mut self, id: EntryId) -> Result<(), NoMemory> {
        let placed = self
            .arena
            .entry(id)
            .is_some_and(|entry| entry.flags.contains(Flags::PLACED));
        if self.lowest && !placed {
            self.order.try_push(id.0)?;
            self.arena.add_flags(id, Flags::PLACED);
        }
        Ok(())
    }

    /// Finds the entry with this name, or with this key if names have keys.
    pub(crate) fn find(&self, key: &[u8]) -> Option<View<'_>> {
        let (_, known) = self.lookup(key);
        let view = self.arena.view(known?)?;
        (!view.flags.contains(Flags::REMOVED)).then_some(view)
    }

    /// The entry with this number.
    pub(crate) fn get(&self, id: EntryId) -> Option<View<'_>> {
        self.arena.view(id)
    }

    /// The first entry of the current layer after `previous` (or at all) that may be a whiteout.
    ///
    /// The caller looks at the object and calls [`Self::set_whiteout`].
    pub(crate) fn next_suspect(&self, previous: Option<EntryId>) -> Option<View<'_>> {
        let from = match previous {
            Some(id) => usize::try_from(id.0).ok()?.checked_add(1)?,
            None => self.layer_start,
        };
        let rest = self.arena.entries.as_slice().get(from..)?;
        let first = u32::try_from(from).ok()?;
        let (id, entry) = (first..u32::MAX)
            .zip(rest)
            .find(|(_, entry)| entry.kind == DT_CHR)?;
        Some(entry.view(EntryId(id), self.arena.bytes.as_slice()))
    }

    /// The entry is a whiteout.
    pub(crate) fn set_whiteout(&mut self, id: EntryId) {
        self.arena.add_flags(id, Flags::WHITEOUT);
    }

    /// The entry's number was computed.
    pub(crate) fn set_ino(&mut self, id: EntryId, ino: u64) {
        self.arena.set_ino(id, ino);
    }

    /// The entry shall not be found any more.
    pub(crate) fn remove(&mut self, id: EntryId) {
        self.arena.add_flags(id, Flags::REMOVED);
    }

    /// The entries in the order in which they came, removed ones left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = View<'_>> {
        let bytes = self.arena.bytes.as_slice();
        IDS.zip(self.arena.entries.as_slice())
            .map(move |(id, entry)| entry.view(EntryId(id), bytes))
            .filter(|view| !view.flags.contains(Flags::REMOVED))
    }

    /// Ends the collection: gives every entry its position, and gives the table back.
    ///
    /// On an error everything is given up.
    pub(crate) fn finish(mut self) -> Result<Listing<E, B>, NoMemory> {
        for (id, entry) in IDS.zip(self.arena.entries.as_slice()) {
            if !entry.flags.contains(Flags::PLACED) {
                self.order.try_push(id)?;
            }
        }
        arrange(self.arena.entries.as_mut_slice(), self.order.as_mut_slice());
        Ok(Listing { arena: self.arena })
    }

    /// The slots to look at for a hash, all of them if need be.
    fn probe(slots: usize, hash: u32) -> impl Iterator<Item = usize> {
        let mask = slots.saturating_sub(1);
        let first = usize::try_from(hash).unwrap_or(0);
        (0..slots).map(move |step| first.wrapping_add(step) & mask)
    }

    /// The hash of `key`, or what is compared instead.
    fn hash(&self, key: &[u8]) -> u32 {
        if self.table.as_slice().is_empty() {
            end(key)
        } else {
            hash(self.seed, key)
        }
    }

    /// The hash of `key`, and the entry that has this key.
    fn lookup(&self, key: &[u8]) -> (u32, Option<EntryId>) {
        let hash = self.hash(key);
        let table = self.table.as_slice();
        if table.is_empty() {
            return (hash, self.arena.find(hash, key));
        }
        for slot in Self::probe(table.len(), hash) {
            // 0 is a free slot: the name is not there.
            let number = table.get(slot).and_then(|number| number.checked_sub(1));
            let Some(id) = number.map(EntryId) else {
                break;
            };
            if self.arena.has_key(id, hash, key) {
                return (hash, Some(id));
            }
        }
        (hash, None)
    }

    /// Puts an entry into the first free slot for its hash.
    fn link(table: &mut [u32], hash: u32, id: EntryId) {
        for slot in Self::probe(table.len(), hash) {
            if let Some(free) = table.get_mut(slot).filter(|number| **number == 0) {
                *free = id.0.wrapping_add(1);
                return;
            }
        }
    }

    /// Makes sure that there is a free slot for one more entry, and that searches stay short. True:
    /// now there is a table.
    fn reserve_slot(&mut self) -> Result<bool, NoMemory> {
        let slots = self.table.as_slice().len();
        let used = self.arena.len().checked_add(1).ok_or(NoMemory)?;
        let limit = slots.saturating_sub(slots.wrapping_shr(2)).max(FEW_NAMES);
        if used <= limit {
            return Ok(false);
        }
        let wanted = slots.checked_mul(2).ok_or(NoMemory)?.max(FIRST_SLOTS);
        let mut missing = wanted.saturating_sub(slots);
        while missing > 0 {
            let chunk = FREE_SLOTS.get(..missing).unwrap_or(&FREE_SLOTS);
            if let Err(error) = self.table.try_extend(chunk) {
                // The table must keep its old size: that is what selects the slots.
                self.table.truncate(slots);
                return Err(error);
            }
            missing = missing.saturating_sub(chunk.len());
        }
        if slots == 0 {
            self.seed = (self.new_seed)();
            self.arena.set_hashes(self.seed);
        }
        let table = self.table.as_mut_slice();
        table.fill(0);
        for (id, entry) in IDS.zip(self.arena.entries.as_slice()) {
            Self::link(table, entry.hash, EntryId(id));
        }
        Ok(slots == 0)
    }
}

/// Puts the entry with the number `order[i]` to the place `i`, for each `i`. `order` has every number
/// once.
fn arrange(entries: &mut [Entry], order: &mut [u32]) {
    let entries = Cell::from_mut(entries).as_slice_of_cells();
    let order = Cell::from_mut(order).as_slice_of_cells();
    let place = |number: u32| {
        let place = usize::try_from(number).ok()?;
        Some((entries.get(place)?, order.get(place)?))
    };
    for ((start, entry), number) in IDS.zip(entries).zip(order) {
        // Along the cycle that begins here, until it leads back. A place that is done leads to itself.
        let (first, mut to, mut here) = (entry.get(), start, (entry, number));
        while here.1.get() != start {
            let from = here.1.replace(to);
            let Some(there) = place(from).filter(|_| from != to) else {
                return;
            };
            here.0.set(there.0.get());
            (to, here) = (from, there);
        }
        here.0.set(first);
        here.1.set(to);
    }
}

/// The names of a directory. The number of an entry is its position.
#[derive(Debug)]
pub(crate) struct Listing<E, B> {
    arena: Arena<E, B>,
}

impl<E: Store<Entry>, B: Store<u8>> Listing<E, B> {
    /// The number of positions. Whiteouts keep theirs, so that all others do too.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.arena.len()).unwrap_or(u64::MAX)
    }

    /// The entry at this position, from 0 on; `None` is the end of the directory.
    pub(crate) fn get(&self, position: u64) -> Option<View<'_>> {
        self.arena.view(EntryId(u32::try_from(position).ok()?))
    }

    /// The entries from this position on, whiteouts included.
    pub(crate) fn iter_from(&self, position: u64) -> impl Iterator<Item = View<'_>> {
        let (entries, bytes) = (self.arena.entries.as_slice(), self.arena.bytes.as_slice());
        let first = u32::try_from(position).unwrap_or(u32::MAX);
        let rest = usize::try_from(first)
            .ok()
            .and_then(|from| entries.get(from..));
        (first..u32::MAX)
            .zip(rest.unwrap_or(&[]))
            .map(move |(id, entry)| entry.view(EntryId(id), bytes))
    }

    /// The entry was looked up, and is not there any more or is a whiteout.
    pub(crate) fn set_whiteout(&mut self, id: EntryId) {
        self.arena.add_flags(id, Flags::WHITEOUT);
    }

    /// The entry was looked up, and has this inode number.
    pub(crate) fn set_ino(&mut self, id: EntryId, ino: u64) {
        self.arena.set_ino(id, ino);
    }

    /// The entry was looked up, and is no whiteout in xattr form.
    pub(crate) fn set_checked(&mut self, id: EntryId) {
        if let Some(entry) = self.arena.entry_mut(id) {
            entry.flags = entry.flags.without(Flags::CHECK_XWHITEOUT);
        }
    }

    /// Whether the directory can be removed: there is nothing in it but whiteouts, `.` and `..`.
    pub(crate) fn is_vacant(&self) -> bool {
        self.iter_from(0)
            .all(|view| view.is_whiteout() || view.is_dots())
    }
}
