// SPDX-License-Identifier: GPL-2.0

//! What an overlay is: the mount-wide state, one object and how it is found.
//!
//! The mount's state ([`mount`], [`layer`]) and the services of the mount that every operation
//! shares ([`temp`], [`whiteout`], [`index`]) are here, below everything that changes or shows
//! objects. So are the private data of an inode ([`object`], [`stack`]), how an inode comes to be
//! ([`instantiate`], [`identity`]) and how many names it has ([`nlink`]), the search through the
//! layers ([`walk`], [`lowerdata`], [`origin`]), and what readers of a directory ([`dir_cache`]) or a
//! file ([`open_file`]) keep.

#![forbid(unsafe_code)]

use kernel::prelude::*;

use crate::vfs::{
    file::FsFile,
    own::{
        Child,
        FileSystem,
        FsDentry,
        FsInode,
        FsSuper, //
    },
    register::FsType, //
};

pub(crate) mod dir_cache;
pub(crate) mod identity;
pub(crate) mod index;
pub(crate) mod instantiate;
pub(crate) mod layer;
pub(crate) mod lowerdata;
pub(crate) mod mount;
pub(crate) mod nlink;
pub(crate) mod object;
pub(crate) mod open_file;
pub(crate) mod origin;
pub(crate) mod stack;
pub(crate) mod temp;
pub(crate) mod walk;
pub(crate) mod whiteout;
pub(crate) mod workdir;

/// The file system type.
pub(crate) struct Overlay;

impl FileSystem for Overlay {
    const NAME: &'static CStr = c"overlay_rs";
    const ALIAS: &'static CStr = c"overlay";
    type Mount = mount::MountState;
    type Object = object::Object;

    fn fs_type() -> &'static FsType<Self> {
        &FS_TYPE
    }
}

/// The type as the kernel sees it; it holds lock classes, which have to be in the module's image.
static FS_TYPE: FsType<Overlay> = FsType::new();

/// An inode of an overlay.
pub(crate) type OvlInode = FsInode<Overlay>;
/// A dentry of an overlay.
pub(crate) type OvlDentry = FsDentry<Overlay>;
/// The superblock of an overlay.
pub(crate) type OvlSuper = FsSuper<Overlay>;
/// A name in an overlay directory that is locked.
pub(crate) type OvlChild<'a> = Child<'a, Overlay>;
/// An open file of an overlay.
pub(crate) type OvlFile = FsFile<Overlay>;
