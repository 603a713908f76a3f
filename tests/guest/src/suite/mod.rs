// SPDX-License-Identifier: GPL-2.0
//! The tests, in files by concept.

/// What every file of tests uses.
mod prelude {
    #![allow(unused_imports)]
    pub use crate::check::{Skip, R};
    pub use crate::env::{drop_caches, mount_raw, mountinfo, Ovl, OFF, T};
    pub(super) use crate::{cases, check, check_eq, check_err, check_ne, f, sys, tree};
    pub use rustix::fs::{FileType, RenameFlags};
    pub use rustix::mount::MountFlags;
    pub use std::fs::File;
    pub use std::io::{Read, Seek, SeekFrom, Write};
    pub use std::os::unix::fs::{FileTypeExt, MetadataExt};
    pub use std::path::{Path, PathBuf};
}

mod acl;
mod attr;
mod copy_up;
mod create;
mod data;
mod lookup;
mod readdir;
mod remove;
mod rename;
mod whiteout;

use crate::runner::Case;

/// Every row of the table.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        lookup::TESTS,
        whiteout::TESTS,
        create::TESTS,
        acl::TESTS,
        copy_up::TESTS,
        remove::TESTS,
        rename::TESTS,
        readdir::TESTS,
        attr::TESTS,
        data::TESTS,
    ]
    .into_iter()
    .flatten()
}
