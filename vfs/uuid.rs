// SPDX-License-Identifier: GPL-2.0

//! UUIDs.
//!
//! C header: [`include/linux/uuid.h`](srctree/include/linux/uuid.h)

use super::bindings;

/// The bytes of a UUID; all zero is none.
pub(crate) type Uuid = [u8; 16];

/// A new random one (version 4).
pub(crate) fn random() -> Uuid {
    let mut uuid = bindings::uuid_t { b: [0; 16] };
    // SAFETY: fills the 16 bytes (`uuid_gen()` in lib/uuid.c).
    unsafe { bindings::uuid_gen(&mut uuid) };
    uuid.b
}
