// SPDX-License-Identifier: GPL-2.0

//! What the tests share: storage that can be told to fail, and reproducible randomness.

use std::cell::Cell;
use std::rc::Rc;

use proptest::test_runner::{Config, RngSeed};

use crate::store::{NoMemory, Store};

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The seed of all randomness.
fn seed() -> u64 {
    setting("RULES_SEED").unwrap_or(0x6f76_6c5f_7273)
}

/// How to run a property: so many cases, unless the environment says another number.
pub(crate) fn cases(count: u32) -> Config {
    Config {
        cases: setting("RULES_CASES").map_or(count, |cases| cases as u32),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        ..Config::default()
    }
}

/// How many random inputs each reader of bytes gets.
pub(crate) fn inputs_wanted() -> usize {
    setting("RULES_INPUTS").map_or(100_000, |count| count as usize)
}

/// Random numbers for loops that need no shrinking (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for each `stream`.
    pub(crate) fn new(stream: u64) -> Self {
        Self(seed().wrapping_add(stream.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// A byte of `alphabet`.
    pub(crate) fn pick(&mut self, alphabet: &[u8]) -> u8 {
        alphabet[self.below(alphabet.len())]
    }

    /// Up to `longest` bytes of `alphabet`.
    pub(crate) fn bytes(&mut self, longest: usize, alphabet: &[u8]) -> Vec<u8> {
        let len = self.below(longest + 1);
        (0..len).map(|_| self.pick(alphabet)).collect()
    }
}

/// Decides which request for growth fails, counted over all stores that share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    requests: Rc<Cell<u64>>,
    fail_at: Rc<Cell<Option<u64>>>,
}

impl Faults {
    /// The next requests succeed, except the one that comes after `count` others.
    pub(crate) fn fail_after(&self, count: u64) {
        self.fail_at.set(Some(self.requests.get() + count));
    }

    /// All requests succeed from now on.
    pub(crate) fn stop(&self) {
        self.fail_at.set(None);
    }

    /// The number of requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }

    fn request(&self) -> Result<(), NoMemory> {
        let number = self.requests.get();
        self.requests.set(number + 1);
        if self.fail_at.get() == Some(number) {
            Err(NoMemory)
        } else {
            Ok(())
        }
    }
}

/// A `Vec` as storage.
#[derive(Debug)]
pub(crate) struct VecStore<T> {
    pub(crate) items: Vec<T>,
    len: Rc<Cell<usize>>,
    faults: Faults,
}

impl<T> VecStore<T> {
    pub(crate) fn new() -> Self {
        Self::with_faults(&Faults::default())
    }

    pub(crate) fn with_faults(faults: &Faults) -> Self {
        Self {
            items: Vec::new(),
            len: Rc::default(),
            faults: faults.clone(),
        }
    }

    /// Tells the number of elements when the store itself has been given away.
    pub(crate) fn len_outside(&self) -> Rc<Cell<usize>> {
        self.len.clone()
    }

    /// The elements were changed.
    fn changed(&self) {
        self.len.set(self.items.len());
    }
}

impl<T> Store<T> for VecStore<T> {
    fn as_slice(&self) -> &[T] {
        &self.items
    }

    fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.items
    }

    fn try_push(&mut self, value: T) -> Result<(), NoMemory> {
        self.faults.request()?;
        self.items.push(value);
        self.changed();
        Ok(())
    }

    fn try_extend(&mut self, values: &[T]) -> Result<(), NoMemory>
    where
        T: Copy,
    {
        // As a vector does, nothing is asked for nothing.
        if !values.is_empty() {
            self.faults.request()?;
            self.items.extend_from_slice(values);
            self.changed();
        }
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.items.truncate(len);
        self.changed();
    }

    fn clear(&mut self) {
        self.items.clear();
        self.changed();
    }
}

/// `bytes` as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Runs `write` with a store that works, and with stores of which each fails at another request.
///
/// Returns what was written. `write` has to report the failure of the store as `no_memory`.
pub(crate) fn written<E: std::fmt::Debug + PartialEq + Copy>(
    no_memory: E,
    write: impl Fn(&mut VecStore<u8>) -> Result<(), E>,
) -> Result<Vec<u8>, E> {
    let faults = Faults::default();
    let mut out = VecStore::with_faults(&faults);
    let result = write(&mut out);
    for at in 0..faults.requests() {
        let faults = Faults::default();
        faults.fail_after(at);
        let mut failing = VecStore::with_faults(&faults);
        let failed = write(&mut failing);
        assert_eq!(failed, Err(no_memory), "growth {at} failed unnoticed");
    }
    result.map(|()| out.items)
}
