// SPDX-License-Identifier: GPL-2.0

//! overlay_rs: overlayfs, written in Rust.
//!
//! A mount joins directories into one tree: any number of lower layers that are only read, and
//! an upper layer that takes every change. The rooms of the module, from top to bottom, where
//! each uses only those below it:
//!
//! - [`super_`]: a mount, from its options to its superblock;
//! - [`dir`], [`inode`]: the namespace, and one object, as the VFS calls them;
//! - [`copy_up`]: from lower to upper;
//! - [`overlay`]: what an overlay is: the state of a mount, one object, how it is found;
//! - [`xattr`]: the on-disk format;
//! - [`vfs`] and [`rules`]: the kernel made safe, which is the only room with `unsafe`; and
//!   decisions that need no kernel, which are tested without one.

#![deny(unsafe_code)]

use crate::{
    overlay::Overlay,
    vfs::{
        param,
        register::Registration, //
    }, //
};
use kernel::prelude::*;

mod copy_up;
mod dir;
mod inode;
mod overlay;
mod rules;
mod super_;
#[allow(unsafe_code, reason = "the room where C is made safe")]
mod vfs;
mod xattr;

module! {
    type: OverlayModule,
    name: "overlay_rs",
    authors: ["The overlay_rs authors"],
    description: "Overlay filesystem in Rust",
    license: "GPL",
    alias: ["fs-overlay_rs"],
}

/// The module while it is loaded: the filesystem type is registered, as `overlay`, too, if the
/// owner of the machine asked for that and nobody else has the name.
struct OverlayModule {
    _registration: Registration<Overlay>,
}

impl kernel::Module for OverlayModule {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let mut registration = Registration::new(module)?;
        if param::as_overlay() {
            match registration.add_alias(module) {
                Ok(()) => pr_info!("serving the type overlay, too\n"),
                Err(error) => pr_err!(
                    "cannot serve the type overlay ({error:?}): is the kernel's own module loaded? \
                     Serving overlay_rs only\n"
                ),
            }
        }
        Ok(Self {
            _registration: registration,
        })
    }
}
