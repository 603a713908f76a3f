// SPDX-License-Identifier: GPL-2.0

//! The mount options as `/proc/mounts` shows them: the layers as they were named, then what
//! differs from the defaults, in overlayfs's order and form. Facts: `ovl_show_options` in
//! `fs/overlayfs/params.c`.

#![forbid(unsafe_code)]

use super::params;
use crate::{
    overlay::{
        mount::MountState,
        OvlDentry, //
    },
    rules::{
        options,
        syntax, //
    },
    vfs::{
        seq,
        text::Text, //
    },
};
use kernel::{
    prelude::*,
    seq_file::SeqFile, //
};

/// `->show_options`.
pub(super) fn show_options(file: &SeqFile, root: &OvlDentry) -> Result {
    let ms = MountState::of(root.super_());
    let names = &ms.names;
    show_layer(file, "lowerdir", &names.lowerdir_all);
    let merged = names.lowers.len().saturating_sub(ms.config.data_layers);
    for (index, name) in names.lowers.iter().enumerate() {
        let option = match index < merged {
            true => "lowerdir+",
            false => "datadir+",
        };
        show(file, option, Some(name.to_bytes()));
    }
    show_layer(file, "upperdir", &names.upper);
    show_layer(file, "workdir", &names.work);
    options::show_options(
        &ms.config,
        &params::defaults(),
        ms.same_fs(),
        &mut |name, value| show(file, name, value.map(str::as_bytes)),
    );
    Ok(())
}

/// Appends the option that names a layer, if it was given.
fn show_layer(file: &SeqFile, option: &str, name: &Option<Text>) {
    if let Some(name) = name {
        show(file, option, Some(name.to_bytes()));
    }
}

/// Appends one option.
fn show(file: &SeqFile, name: &str, value: Option<&[u8]>) {
    seq::write(file, b",");
    seq::write(file, name.as_bytes());
    if let Some(value) = value {
        seq::write(file, b"=");
        syntax::show_value(value, &mut |piece| seq::write(file, piece));
    }
}
