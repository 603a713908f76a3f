// SPDX-License-Identifier: GPL-2.0

//! The kernel's VFS, made safe.
//!
//! The only room of the module with `unsafe`, raw pointers and C declarations. What it exports
//! cannot be misused by safe code: references prove a reference count, a change of the upper
//! layer takes proof of write access ([`mount::UpperWrite`]), and whoever touches a layer shows
//! that the mounter's credentials are in force ([`cred::Mounter`]).
//!
//! Three families of types keep apart what C keeps apart by convention:
//! objects of any filesystem ([`dentry::Dentry`], [`inode::Inode`], ..), objects of *our*
//! filesystem ([`own::FsDentry`], [`own::FsInode`], ..), and objects of a layer
//! ([`mount::Upper`], [`mount::Lower`], [`mount::RealPath`]).

pub(crate) mod acl;
mod bindings;
pub(crate) mod cred;
pub(crate) mod dentry;
pub(crate) mod dir_context;
pub(crate) mod dirop;
pub(crate) mod errno;
pub(crate) mod exportfs;
pub(crate) mod file;
pub(crate) mod fs_context;
pub(crate) mod inode;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod mount;
pub(crate) mod own;
pub(crate) mod param;
pub(crate) mod random;
pub(crate) mod rcu;
pub(crate) mod register;
pub(crate) mod room;
pub(crate) mod seq;
pub(crate) mod slab;
pub(crate) mod stat;
pub(crate) mod store;
pub(crate) mod super_block;
pub(crate) mod text;
pub(crate) mod uuid;
pub(crate) mod verity;
pub(crate) mod vtable;
