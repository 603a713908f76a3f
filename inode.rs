// SPDX-License-Identifier: GPL-2.0

//! One object, as the VFS calls it: attributes, permission, ACLs, extended attributes, symbolic
//! links and open files.
//!
//! Each operation finds the real object (the upper one if there is one, else the topmost lower) and
//! does the same operation there with the mounter's credentials. An operation that changes the
//! object copies it up first. Checks that concern the caller are made on the overlay's own inode,
//! before the mounter's credentials are in force.
//!
//! The operations of a directory that concern its entries are in [`crate::dir`].

#![forbid(unsafe_code)]

pub(crate) mod acl;
pub(crate) mod attr;
pub(crate) mod file;
pub(crate) mod link;
pub(crate) mod permission;
pub(crate) mod xattr_ops;
