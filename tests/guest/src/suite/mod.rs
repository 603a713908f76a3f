// SPDX-License-Identifier: GPL-2.0
//! The tests, in files by concept.

/// What every file of tests uses.
mod prelude {
    #![allow(unused_imports)]
    pub use crate::check::{Skip, R};
    pub use crate::env::{drop_caches, mount_raw, mountinfo, Ovl, Param, OFF, T};
    pub(super) use crate::{cases, check, check_eq, check_err, check_ne, f, sys, tree};
    pub use rustix::fs::{FileType, RenameFlags};
    pub use rustix::mount::MountFlags;
    pub use std::fs::File;
    pub use std::io::{Read, Seek, SeekFrom, Write};
    pub use std::os::unix::fs::{FileTypeExt, MetadataExt};
    pub use std::path::{Path, PathBuf};
}

pub mod acl;
mod alias;
mod apparmor;
mod atime;
mod attr;
mod casefold;
mod changed;
mod coherence;
mod combinations;
mod concurrency;
mod contract;
mod copy_up;
mod crash;
mod create;
mod damaged;
mod data;
mod data_only;
mod differential;
mod etxtbsy;
mod export;
mod faults;
mod file_flags;
mod foreign;
mod fuse_lower;
mod identity;
mod idmap;
mod index;
mod interop;
mod known_bugs;
mod layer_rules;
mod layers;
mod lookup;
mod metacopy;
mod module;
mod mount_options;
mod mounts;
mod nested;
mod nfs_export;
mod nfs_server;
mod page_cache;
mod permission;
mod readdir;
mod recent;
mod redirect;
mod remount;
mod remove;
mod rename;
mod security;
mod selinux;
mod shared_inodes;
mod show_options;
mod statfs;
mod storm;
mod sync;
mod syzkaller;
mod tables;
mod unload;
mod upper_fs;
mod uring;
mod userns;
mod verity;
mod whiteout;
mod xattr;

use crate::runner::Case;

/// The tests, suite by suite; the parts of a big suite go by its name.
const TABLES: &[&[Case]] = &[
    lookup::TESTS,
    whiteout::TESTS,
    create::made::TESTS,
    create::attributes::TESTS,
    create::links::TESTS,
    create::tmpfile::TESTS,
    acl::TESTS,
    copy_up::triggers::TESTS,
    copy_up::keeps::TESTS,
    copy_up::published::TESTS,
    copy_up::opened_before::TESTS,
    remove::TESTS,
    rename::TESTS,
    redirect::TESTS,
    index::one_object::TESTS,
    index::names::TESTS,
    index::stored::TESTS,
    index::mounting::TESTS,
    index::other_driver::TESTS,
    readdir::listed::TESTS,
    readdir::amounts::TESTS,
    readdir::position::TESTS,
    readdir::changes::TESTS,
    attr::TESTS,
    data::io::TESTS,
    data::direct::TESTS,
    data::mapping::TESTS,
    data::pipes::TESTS,
    data::space::TESTS,
    data::ranges::TESTS,
    data::locks::TESTS,
    metacopy::copies::TESTS,
    metacopy::names::TESTS,
    metacopy::way::TESTS,
    metacopy::mounting::TESTS,
    data_only::TESTS,
    verity::TESTS,
    permission::TESTS,
    xattr::TESTS,
    mount_options::mounted::TESTS,
    mount_options::layers::TESTS,
    mount_options::overlap::TESTS,
    mount_options::syntax::TESTS,
    mount_options::new_api::TESTS,
    atime::TESTS,
    statfs::TESTS,
    sync::TESTS,
    show_options::TESTS,
    remount::TESTS,
    page_cache::TESTS,
    etxtbsy::TESTS,
    file_flags::TESTS,
    crash::TESTS,
    damaged::TESTS,
    interop::TESTS,
    concurrency::TESTS,
    foreign::TESTS,
    unload::TESTS,
    alias::TESTS,
    contract::TESTS,
    export::TESTS,
    nfs_export::TESTS,
    idmap::layers::TESTS,
    idmap::overlay::TESTS,
    idmap::compared::TESTS,
    userns::mounting::TESTS,
    userns::userxattr::TESTS,
    userns::ids::TESTS,
    userns::creds::TESTS,
    userns::compared::TESTS,
    security::rights::TESTS,
    security::set_id::TESTS,
    security::mounts_below::TESTS,
    security::left_behind::TESTS,
    known_bugs::TESTS,
    syzkaller::TESTS,
    differential::TESTS,
    faults::TESTS,
    tables::TESTS,
    selinux::TESTS,
    apparmor::TESTS,
    recent::TESTS,
    uring::TESTS,
    combinations::TESTS,
    fuse_lower::TESTS,
    identity::TESTS,
    mounts::propagation::TESTS,
    mounts::bound::TESTS,
    mounts::detached::TESTS,
    nested::TESTS,
    shared_inodes::TESTS,
    changed::TESTS,
    layers::TESTS,
    layer_rules::TESTS,
    casefold::TESTS,
    nfs_server::TESTS,
    module::TESTS,
    coherence::TESTS,
    upper_fs::TESTS,
];

/// Every row of the table.
pub fn all() -> impl Iterator<Item = &'static Case> {
    TABLES.iter().copied().flatten()
}

/// What runs for as long as is asked (`--storm SECONDS`).
pub fn storms() -> impl Iterator<Item = &'static Case> {
    storm::TESTS.iter()
}

use crate::check::{Errno, Skip, R};
use crate::env::T;

/// The result of using a feature that overlay_rs may lack: it must refuse it with EINVAL and a
/// line in the log (or through the descriptor of the new mount API), and then the rest of the
/// test is skipped. The kernel's own overlay has to have it.
fn optional_mount(t: &T, r: R) -> R {
    match r {
        Err(e) if !t.intree() && e.errno() == Some(libc::EINVAL) => Err(Skip(format!(
            "overlay_rs does not have it yet: {:?}",
            t.kmsg_since()
        ))
        .into()),
        r => r,
    }
}
