// SPDX-License-Identifier: GPL-2.0

//! Randomness.

use super::bindings;

/// 64 random bits. Does not wait for the generator to be seeded.
pub(crate) fn next_u64() -> u64 {
    // SAFETY: may be called from any context (drivers/char/random.c).
    unsafe { bindings::get_random_u64() }
}
