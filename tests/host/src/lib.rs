// SPDX-License-Identifier: GPL-2.0

//! Tests of the pure rules.
//!
//! The files of `rules/` are compiled as they are, as modules of this crate. There is one test
//! module for each, and one that throws random bytes at everything that reads bytes.
//!
//! All randomness comes from fixed seeds, so that a failure stays a failure. To look further, set
//! `RULES_SEED` (any number), `RULES_CASES` (the number of cases of a property) and `RULES_INPUTS` (the
//! number of inputs for each reader of bytes).

#![allow(dead_code)]

#[path = "../../../rules/bytes.rs"]
mod bytes;
#[path = "../../../rules/conflicts.rs"]
mod conflicts;
#[path = "../../../rules/escape.rs"]
mod escape;
#[path = "../../../rules/handle.rs"]
mod handle;
#[path = "../../../rules/identity.rs"]
mod identity;
#[path = "../../../rules/merge.rs"]
mod merge;
#[path = "../../../rules/metacopy.rs"]
mod metacopy;
#[path = "../../../rules/nlink.rs"]
mod nlink;
#[path = "../../../rules/options.rs"]
mod options;
#[path = "../../../rules/protattr.rs"]
mod protattr;
#[path = "../../../rules/redirect.rs"]
mod redirect;
#[path = "../../../rules/store.rs"]
mod store;
#[path = "../../../rules/syntax.rs"]
mod syntax;
#[path = "../../../rules/tempname.rs"]
mod tempname;

#[cfg(test)]
mod support;

#[cfg(test)]
mod test_escape;
#[cfg(test)]
mod test_formats;
#[cfg(test)]
mod test_fuzz;
#[cfg(test)]
mod test_handle;
#[cfg(test)]
mod test_identity;
#[cfg(test)]
mod test_merge;
#[cfg(test)]
mod test_options;
#[cfg(test)]
mod test_redirect;
