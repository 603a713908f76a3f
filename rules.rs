// SPDX-License-Identifier: GPL-2.0

//! The decisions of an overlay that need no kernel: formats, names, numbers, options.
//!
//! Everything below uses `core` only. It does not allocate ([`store`] is how storage gets in), does
//! not panic on any input, and knows no kernel type, so that the same files are compiled into the
//! module and into the host tests in `tests/host/`.
//!
//! - [`bytes`]: searching and cutting byte strings.
//! - [`conflicts`]: how mount options depend on each other.
//! - [`escape`]: names of extended attributes: hidden, escaped, shown.
//! - [`handle`]: file handle records, on disk, on the wire and as names in the index.
//! - [`identity`]: device and inode numbers.
//! - [`merge`]: the names of a merged directory.
//! - [`metacopy`]: files whose data is in a lower layer.
//! - [`nlink`]: link counts of indexed objects.
//! - [`options`]: mount options.
//! - [`protattr`]: the append-only and immutable flags.
//! - [`redirect`]: redirects to where an object was in the lower layers.
//! - [`store`]: growable storage that belongs to the caller.
//! - [`syntax`]: how mount options are written.
//! - [`tempname`]: names of temporary objects.

#![forbid(unsafe_code)]
#![allow(
    dead_code,
    reason = "a format is implemented and tested whole, also where the module uses a part of it"
)]

pub(crate) mod bytes;
pub(crate) mod conflicts;
pub(crate) mod escape;
pub(crate) mod handle;
pub(crate) mod identity;
pub(crate) mod merge;
pub(crate) mod metacopy;
pub(crate) mod nlink;
pub(crate) mod options;
pub(crate) mod protattr;
pub(crate) mod redirect;
pub(crate) mod store;
pub(crate) mod syntax;
pub(crate) mod tempname;
