// SPDX-License-Identifier: GPL-2.0

//! The syntax of options: commas between them, the layers in `lowerdir=`, backslashes, and how
//! `/proc/mounts` shows a value.
//!
//! Source of the facts: `ovl_next_opt`, `ovl_parse_param_lowerdir` and `ovl_unescape` in
//! `fs/overlayfs/params.c`. Paths are byte strings without a NUL.

#![forbid(unsafe_code)]

use super::{
    bytes,
    store::{
        NoMemory,
        Store, //
    }, //
};

/// The number of lower layers, data-only ones included, that a mount may have.
pub(crate) const MAX_LAYERS: usize = 500;

/// Why the value of `lowerdir=` was refused. `EINVAL`, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionError {
    /// It begins with a separator: overlayfs once had "append to the layers" and refuses it now.
    LeadingColon,
    /// It ends with a separator.
    TrailingColon,
    /// Three or more separators in a row.
    ColonRun,
    /// It ends with a backslash that escapes nothing.
    TrailingBackslash,
    /// A layer that is not data-only comes after a data-only one.
    RegularAfterData,
    /// More than [`MAX_LAYERS`] layers.
    TooManyLayers,
}

impl OptionError {
    /// One line for the kernel log, without a newline.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::LeadingColon => "lowerdir begins with ':' (adding to layers is not supported)",
            Self::TrailingColon => "lowerdir ends with an unescaped ':'",
            Self::ColonRun => "lowerdir has more than two unescaped ':' in a row",
            Self::TrailingBackslash => "lowerdir ends with a '\\' that escapes nothing",
            Self::RegularAfterData => "lowerdir has a regular layer after a data-only layer",
            Self::TooManyLayers => "lowerdir has too many layers, the limit is 500",
        }
    }
}

/// One element of a `lowerdir=` value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowerDir<'a> {
    /// The path as it was written, backslashes included; never empty. See [`unescape_into`].
    pub(crate) escaped: &'a [u8],
    /// The layer was written after `::` and only holds data for other layers.
    pub(crate) data_only: bool,
}

/// A `lowerdir=` value that was found to be well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LowerSplit<'a> {
    value: &'a [u8],
    layers: usize,
    data_layers: usize,
    has_escapes: bool,
}

impl<'a> LowerSplit<'a> {
    /// The number of layers, data-only ones included.
    pub(crate) fn len(&self) -> usize {
        self.layers
    }

    /// Whether the value was empty, which takes back the layers given before.
    pub(crate) fn is_empty(&self) -> bool {
        self.layers == 0
    }

    /// The number of data-only layers; they are the last ones.
    pub(crate) fn data_layers(&self) -> usize {
        self.data_layers
    }

    /// Whether there is a backslash in the value.
    pub(crate) fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// The layers from the uppermost to the lowest, as written.
    pub(crate) fn iter(&self) -> LowerDirs<'a> {
        LowerDirs {
            rest: self.value,
            data_only: false,
            has_escapes: self.has_escapes,
        }
    }
}

/// Iterator over the layers of a [`LowerSplit`].
#[derive(Clone, Debug)]
pub(crate) struct LowerDirs<'a> {
    rest: &'a [u8],
    data_only: bool,
    has_escapes: bool,
}

impl<'a> Iterator for LowerDirs<'a> {
    type Item = LowerDir<'a>;

    fn next(&mut self) -> Option<LowerDir<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (escaped, after) = if self.has_escapes {
            split_unescaped(self.rest, b':').unwrap_or((self.rest, &[]))
        } else {
            let (layer, after) = bytes::split(self.rest, b':');
            (layer, after.unwrap_or(&[]))
        };
        let item = LowerDir {
            escaped,
            data_only: self.data_only,
        };
        (self.rest, self.data_only) = match after.strip_prefix(b":") {
            Some(rest) => (rest, true),
            None => (after, false),
        };
        Some(item)
    }
}

/// Splits at the first `separator` that no backslash precedes; the separator is in neither part.
fn split_unescaped(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut escaped = false;
    let at = bytes::find(text, |byte| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = byte == b'\\';
        byte == separator
    })?;
    let (before, from) = text.split_at_checked(at)?;
    let (_, after) = from.split_first()?;
    Some((before, after))
}

/// Checks the value of `lowerdir=` and makes its layers available.
///
/// Layers are separated by `:`; `::` makes the layer after it data-only, and only data-only layers
/// may follow it. A backslash takes the special meaning from the byte after it. An empty value is
/// valid and has no layers.
pub(crate) fn split_lowerdirs(value: &[u8]) -> Result<LowerSplit<'_>, OptionError> {
    if value.first() == Some(&b':') {
        return Err(OptionError::LeadingColon);
    }

    let mut split = LowerSplit {
        value,
        layers: 0,
        data_layers: 0,
        has_escapes: false,
    };
    let mut ordered = true;
    let mut escaped = false;
    // A layer begins after separators, of which this many came just now, or with the value.
    let mut colons = usize::from(!value.is_empty());
    for &byte in value {
        if byte == b':' && !escaped {
            colons = colons.saturating_add(1);
            if colons > 2 {
                return Err(OptionError::ColonRun);
            }
            continue;
        }
        escaped = byte == b'\\' && !escaped;
        split.has_escapes |= escaped;
        if colons > 0 {
            split.layers = split.layers.saturating_add(1);
            if colons == 2 {
                split.data_layers = split.data_layers.saturating_add(1);
            } else if split.data_layers > 0 {
                ordered = false;
            }
            colons = 0;
        }
    }
    // A malformed value is refused as such, whatever its layers are.
    if escaped {
        return Err(OptionError::TrailingBackslash);
    }
    if colons > 0 {
        return Err(OptionError::TrailingColon);
    }
    if split.layers > MAX_LAYERS {
        return Err(OptionError::TooManyLayers);
    }
    if !ordered {
        return Err(OptionError::RegularAfterData);
    }
    Ok(split)
}

/// Appends `segment` to `out` without the backslashes that escape the byte after them.
///
/// `lowerdir=`, `upperdir=` and `workdir=` paths are written this way; `lowerdir+` and `datadir+`
/// are not. A backslash at the very end disappears. On an error `out` holds a part of the path.
pub(crate) fn unescape_into(segment: &[u8], out: &mut impl Store<u8>) -> Result<(), NoMemory> {
    let mut rest = segment;
    loop {
        let (plain, from) = bytes::split(rest, b'\\');
        out.try_extend(plain)?;
        // The escaped byte is taken as it is, even if it is a backslash itself.
        let Some((&byte, after)) = from.and_then(<[u8]>::split_first) else {
            return Ok(());
        };
        out.try_push(byte)?;
        rest = after;
    }
}

/// Takes the first option off the data of `mount(2)`: options are separated by `,`, and a
/// backslash takes the special meaning from the byte after it.
///
/// Returns the option with its backslashes, and what follows the comma if there is one.
pub(crate) fn split_option(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match split_unescaped(data, b',') {
        Some((option, rest)) => (option, Some(rest)),
        None => (data, None),
    }
}

/// Whether `/proc/mounts` shows `byte` of an option's value as a three-digit octal escape.
///
/// The same set for every option, paths included: the separators of the file and the backslash
/// (`seq_show_option` in `include/linux/seq_file.h`).
pub(crate) const fn is_shown_escaped(byte: u8) -> bool {
    matches!(byte, b',' | b' ' | b'\t' | b'\n' | b'\\')
}

/// Passes an option's value to `emit` in pieces, escaped as `/proc/mounts` shows it.
pub(crate) fn show_value(value: &[u8], emit: &mut dyn FnMut(&[u8])) {
    let mut rest = value;
    while let Some(at) = bytes::find(rest, is_shown_escaped) {
        let (plain, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        if !plain.is_empty() {
            emit(plain);
        }
        let Some((&byte, after)) = from.split_first() else {
            return;
        };
        let digit = |shift: u32| b'0' | (byte.wrapping_shr(shift) & 7);
        emit(&[b'\\', digit(6), digit(3), digit(0)]);
        rest = after;
    }
    if !rest.is_empty() {
        emit(rest);
    }
}
