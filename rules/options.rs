// SPDX-License-Identifier: GPL-2.0

//! Mount options: their values, the syntax of `lowerdir=`, and which options go together.
//!
//! Source of the facts: `fs/overlayfs/params.c` and `Documentation/filesystems/overlayfs.rst`.
//! Paths are byte strings without a NUL. Nothing here looks at a file system: a decision that
//! depends on a layer (can it encode handles, has it xattrs) is taken where the layer is known.

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

/// Defines an enum whose variants are the texts that a mount option takes.
macro_rules! option_values {
    (
        $(#[$meta:meta])*
        $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl $name {
            /// Reads the text of the option; `None` if it is none of the known ones.
            pub(crate) fn parse(text: &[u8]) -> Option<Self> {
                $(
                    if text == $text.as_bytes() {
                        return Some(Self::$variant);
                    }
                )+
                None
            }

            /// The text of the option.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

option_values! {
    /// `redirect_dir=`: renaming directories that have a lower part.
    RedirectMode {
        /// Becomes [`Self::Follow`] or [`Self::NoFollow`], see [`Config::set_redirect_dir`].
        Off = "off",
        /// Redirects are followed, none is made.
        Follow = "follow",
        /// Redirects are neither followed nor made.
        NoFollow = "nofollow",
        /// Redirects are followed and made.
        On = "on",
    }
}

option_values! {
    /// `xino=`: layer number in the high bits of the inode number.
    Xino {
        /// Not used.
        Off = "off",
        /// Used where it can be kept persistent.
        Auto = "auto",
        /// Used, and an inode number that does not fit is reported.
        On = "on",
    }
}

option_values! {
    /// `uuid=`: the identity of the overlay, and whether handles carry their layer's identity.
    Uuid {
        /// No identity, and handles carry a null one.
        Off = "off",
        /// No identity.
        Null = "null",
        /// A stored identity is used; a new one is made for a new overlay only.
        Auto = "auto",
        /// An identity is made and stored.
        On = "on",
    }
}

option_values! {
    /// `verity=`: digests of the data behind metacopy files.
    Verity {
        /// Digests are ignored.
        Off = "off",
        /// Digests that are there are checked, and stored on copy-up where the data has one.
        On = "on",
        /// Data without a digest is refused.
        Require = "require",
    }
}

option_values! {
    /// `fsync=`: what is flushed to the upper layer.
    Fsync {
        /// Nothing; after a crash the upper layer is lost.
        Volatile = "volatile",
        /// Data on copy-up, and what the application asks for.
        Auto = "auto",
        /// As `Auto`, and metadata on every copy-up.
        Strict = "strict",
    }
}

/// Reads the value of a switch (`index=`, `nfs_export=`, `metacopy=`).
pub(crate) fn parse_switch(text: &[u8]) -> Option<bool> {
    match text {
        b"on" => Some(true),
        b"off" => Some(false),
        _ => None,
    }
}

/// The text of a switch.
pub(crate) const fn switch_name(on: bool) -> &'static str {
    if on {
        "on"
    } else {
        "off"
    }
}

/// The class of errno a refusal is reported with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrnoClass {
    /// `EINVAL`: the options contradict each other or are malformed.
    Invalid,
    /// `EPERM`: the mounter may not use what was asked for.
    NotPermitted,
}

/// Why the value of `lowerdir=` was refused. All of them are [`ErrnoClass::Invalid`].
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

    /// The layers from the uppermost to the lowest, as written.
    pub(crate) fn iter(&self) -> LowerDirs<'a> {
        LowerDirs {
            rest: self.value,
            data_only: false,
        }
    }
}

/// Iterator over the layers of a [`LowerSplit`].
#[derive(Clone, Debug)]
pub(crate) struct LowerDirs<'a> {
    rest: &'a [u8],
    data_only: bool,
}

impl<'a> Iterator for LowerDirs<'a> {
    type Item = LowerDir<'a>;

    fn next(&mut self) -> Option<LowerDir<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (escaped, after) = split_unescaped(self.rest, b':').unwrap_or((self.rest, &[]));
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

    // Separators first: a malformed value is refused as such, whatever its layers are.
    let mut escaped = false;
    let mut colons: usize = 0;
    for &byte in value {
        if escaped {
            escaped = false;
            colons = 0;
        } else if byte == b':' {
            colons = colons.saturating_add(1);
            if colons > 2 {
                return Err(OptionError::ColonRun);
            }
        } else {
            escaped = byte == b'\\';
            colons = 0;
        }
    }
    if escaped {
        return Err(OptionError::TrailingBackslash);
    }
    if colons > 0 {
        return Err(OptionError::TrailingColon);
    }

    let mut split = LowerSplit {
        value,
        layers: 0,
        data_layers: 0,
    };
    let mut ordered = true;
    for layer in split.iter() {
        split.layers = split.layers.saturating_add(1);
        if layer.data_only {
            split.data_layers = split.data_layers.saturating_add(1);
        } else if split.data_layers > 0 {
            ordered = false;
        }
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

/// What the module parameters say a mount starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// `redirect_dir`: renames of directories are on.
    pub(crate) redirect_dir: bool,
    /// `redirect_always_follow`: redirects are followed even with `redirect_dir=off`.
    pub(crate) redirect_always_follow: bool,
    /// `xino_auto`: `xino=auto` instead of `xino=off`.
    pub(crate) xino_auto: bool,
    /// `index`.
    pub(crate) index: bool,
    /// `nfs_export`.
    pub(crate) nfs_export: bool,
    /// `metacopy`.
    pub(crate) metacopy: bool,
}

impl Defaults {
    /// What a kernel has whose configuration turns on nothing but following redirects.
    pub(crate) const STOCK: Self = Self {
        redirect_dir: false,
        redirect_always_follow: true,
        xino_auto: false,
        index: false,
        nfs_export: false,
        metacopy: false,
    };

    /// The value of `redirect_dir=` if it is not given.
    pub(crate) const fn redirect_mode(&self) -> RedirectMode {
        if self.redirect_dir {
            RedirectMode::On
        } else {
            self.redirect_off()
        }
    }

    /// What `redirect_dir=off` means.
    const fn redirect_off(&self) -> RedirectMode {
        if self.redirect_always_follow {
            RedirectMode::Follow
        } else {
            RedirectMode::NoFollow
        }
    }

    /// The value of `xino=` if it is not given.
    pub(crate) const fn xino(&self) -> Xino {
        if self.xino_auto {
            Xino::Auto
        } else {
            Xino::Off
        }
    }
}

/// Which of the options that depend on each other were written by the user, not taken from the
/// [`Defaults`]: a contradiction between two of these is an error, any other is resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// `redirect_dir=`.
    pub(crate) redirect_dir: bool,
    /// `index=`.
    pub(crate) index: bool,
    /// `nfs_export=`.
    pub(crate) nfs_export: bool,
    /// `metacopy=`.
    pub(crate) metacopy: bool,
}

/// The options of a mount, without its paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// `upperdir=` was given.
    pub(crate) upper: bool,
    /// `workdir=` was given.
    pub(crate) work: bool,
    /// The number of data-only layers.
    pub(crate) data_layers: usize,
    /// `default_permissions`; shown, without any other effect.
    pub(crate) default_permissions: bool,
    /// `redirect_dir=`; never [`RedirectMode::Off`] if set by [`Self::set_redirect_dir`].
    pub(crate) redirect_dir: RedirectMode,
    /// `index=`.
    pub(crate) index: bool,
    /// `uuid=`.
    pub(crate) uuid: Uuid,
    /// `nfs_export=`.
    pub(crate) nfs_export: bool,
    /// `userxattr`: the markers are `user.overlay.*` instead of `trusted.overlay.*`.
    pub(crate) userxattr: bool,
    /// `xino=`.
    pub(crate) xino: Xino,
    /// `metacopy=`.
    pub(crate) metacopy: bool,
    /// `verity=`.
    pub(crate) verity: Verity,
    /// `fsync=`, `volatile`.
    pub(crate) fsync: Fsync,
    /// Which options were given.
    pub(crate) given: Given,
}

impl Config {
    /// The options of a mount that gives none.
    pub(crate) const fn new(defaults: &Defaults) -> Self {
        Self {
            upper: false,
            work: false,
            data_layers: 0,
            default_permissions: false,
            redirect_dir: defaults.redirect_mode(),
            index: defaults.index,
            uuid: Uuid::Auto,
            nfs_export: defaults.nfs_export,
            userxattr: false,
            xino: defaults.xino(),
            metacopy: defaults.metacopy,
            verity: Verity::Off,
            fsync: Fsync::Auto,
            given: Given {
                redirect_dir: false,
                index: false,
                nfs_export: false,
                metacopy: false,
            },
        }
    }

    /// `redirect_dir=` was given; `off` becomes what the module parameters say it means.
    pub(crate) fn set_redirect_dir(&mut self, mode: RedirectMode, defaults: &Defaults) {
        self.redirect_dir = match mode {
            RedirectMode::Off => defaults.redirect_off(),
            other => other,
        };
        self.given.redirect_dir = true;
    }

    /// `index=` was given.
    pub(crate) fn set_index(&mut self, on: bool) {
        self.index = on;
        self.given.index = true;
    }

    /// `nfs_export=` was given.
    pub(crate) fn set_nfs_export(&mut self, on: bool) {
        self.nfs_export = on;
        self.given.nfs_export = true;
    }

    /// `metacopy=` was given.
    pub(crate) fn set_metacopy(&mut self, on: bool) {
        self.metacopy = on;
        self.given.metacopy = true;
    }

    /// Redirects found in a layer are followed.
    pub(crate) fn follows_redirects(&self) -> bool {
        self.redirect_dir != RedirectMode::NoFollow
    }

    /// Redirects are made.
    pub(crate) fn makes_redirects(&self) -> bool {
        self.redirect_dir == RedirectMode::On
    }

    /// Handles carry the identity of their file system.
    pub(crate) fn has_origin_uuid(&self) -> bool {
        self.uuid != Uuid::Off
    }

    /// The overlay has an identity of its own in `statfs`.
    pub(crate) fn has_fsid(&self) -> bool {
        matches!(self.uuid, Uuid::On | Uuid::Auto)
    }

    /// An inode number that does not fit is reported.
    pub(crate) fn warns_on_xino_overflow(&self) -> bool {
        self.xino == Xino::On
    }

    /// The upper layer is synced when somebody asks for it.
    pub(crate) fn syncs(&self) -> bool {
        self.fsync != Fsync::Volatile
    }

    /// A copy-up syncs even if it copied no data.
    pub(crate) fn syncs_metadata(&self) -> bool {
        self.fsync == Fsync::Strict
    }

    /// Lower layers may be changed or replaced between two mounts: no feature is on that would
    /// notice (`ovl_allow_offline_changes` in `overlayfs.h`).
    pub(crate) fn allows_offline_changes(&self) -> bool {
        !self.index && !self.metacopy && !self.makes_redirects() && !self.warns_on_xino_overflow()
    }
}

/// What the mounter may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caps {
    /// `CAP_SYS_ADMIN` in the initial user namespace, without which `trusted.*` is out of reach.
    pub(crate) privileged: bool,
}

/// An option that was changed to fit the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    /// `workdir=` without `upperdir=` is ignored.
    WorkWithoutUpper,
    /// `index=on` without `upperdir=` is ignored.
    IndexWithoutUpper,
    /// `volatile` without `upperdir=` is ignored.
    VolatileWithoutUpper,
    /// `uuid=on` without `upperdir=` became `uuid=null`.
    UuidWithoutUpper,
    /// `metacopy` went off because of this given `redirect_dir=`.
    MetacopyOffByRedirect(RedirectMode),
    /// `redirect_dir` went on because `metacopy` needs it.
    RedirectOnByMetacopy,
    /// `nfs_export` went off: without an upper layer it needs `redirect_dir=nofollow`.
    NfsExportNeedsNoFollow,
    /// `nfs_export` went off because of a given `index=off`.
    NfsExportOffByIndex,
    /// `index` went on because `nfs_export` needs it.
    IndexOnByNfsExport,
    /// `nfs_export` went off because of a given `metacopy=on`.
    NfsExportOffByMetacopy,
    /// `nfs_export` went off because of this `verity=`.
    NfsExportOffByVerity(Verity),
    /// `metacopy` went off because of `nfs_export`.
    MetacopyOffByNfsExport,
    /// Redirects went off because of `userxattr`.
    RedirectOffByUserxattr,
    /// `metacopy` went off because of `userxattr`.
    MetacopyOffByUserxattr,
}

impl Note {
    /// Overlayfs makes this change without a word in the log.
    pub(crate) const fn is_silent(self) -> bool {
        matches!(
            self,
            Self::RedirectOnByMetacopy
                | Self::IndexOnByNfsExport
                | Self::RedirectOffByUserxattr
                | Self::MetacopyOffByUserxattr
        )
    }

    /// One line for the kernel log, without a newline.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::WorkWithoutUpper => "ignoring workdir: a mount without upperdir does not use it",
            Self::IndexWithoutUpper => {
                "ignoring index=on: a mount without upperdir does not use it"
            }
            Self::VolatileWithoutUpper => {
                "ignoring volatile: a mount without upperdir writes nothing"
            }
            Self::UuidWithoutUpper => "using uuid=null: uuid=on needs an upperdir to store it in",
            Self::MetacopyOffByRedirect(RedirectMode::Off | RedirectMode::NoFollow) => {
                "using metacopy=off because of redirect_dir=nofollow"
            }
            Self::MetacopyOffByRedirect(RedirectMode::Follow | RedirectMode::On) => {
                "using metacopy=off because of redirect_dir=follow"
            }
            Self::RedirectOnByMetacopy => "using redirect_dir=on because of metacopy=on",
            Self::NfsExportNeedsNoFollow => {
                "using nfs_export=off: without upperdir it needs redirect_dir=nofollow"
            }
            Self::NfsExportOffByIndex => "using nfs_export=off because of index=off",
            Self::IndexOnByNfsExport => "using index=on because of nfs_export=on",
            Self::NfsExportOffByMetacopy => "using nfs_export=off because of metacopy=on",
            Self::NfsExportOffByVerity(Verity::Off | Verity::On) => {
                "using nfs_export=off because of verity=on"
            }
            Self::NfsExportOffByVerity(Verity::Require) => {
                "using nfs_export=off because of verity=require"
            }
            Self::MetacopyOffByNfsExport => "using metacopy=off because of nfs_export=on",
            Self::RedirectOffByUserxattr => "using redirect_dir=nofollow because of userxattr",
            Self::MetacopyOffByUserxattr => "using metacopy=off because of userxattr",
        }
    }
}

/// Why a set of options was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// `metacopy=on` and this `redirect_dir=` were both given.
    MetacopyRedirect(RedirectMode),
    /// `nfs_export=on` and `index=off` were both given.
    NfsExportIndex,
    /// `nfs_export=on` and `metacopy=on` were both given.
    NfsExportMetacopy,
    /// `userxattr` and this `redirect_dir=` were both given.
    UserxattrRedirect(RedirectMode),
    /// `userxattr` and `metacopy=on` were both given.
    UserxattrMetacopy,
    /// A given `redirect_dir=` needs `trusted.*`, which this mounter may not use.
    RedirectNotPermitted,
    /// A given `metacopy=on` needs `trusted.*`, which this mounter may not use.
    MetacopyNotPermitted,
    /// `verity=` needs `trusted.*`, which this mounter may not use.
    VerityNotPermitted,
    /// Data-only layers need `trusted.*`, which this mounter may not use.
    DataLayersNotPermitted,
}

impl Conflict {
    /// The errno the mount fails with.
    pub(crate) const fn errno_class(self) -> ErrnoClass {
        match self {
            Self::MetacopyRedirect(_)
            | Self::NfsExportIndex
            | Self::NfsExportMetacopy
            | Self::UserxattrRedirect(_)
            | Self::UserxattrMetacopy => ErrnoClass::Invalid,
            Self::RedirectNotPermitted
            | Self::MetacopyNotPermitted
            | Self::VerityNotPermitted
            | Self::DataLayersNotPermitted => ErrnoClass::NotPermitted,
        }
    }

    /// One line for the kernel log, without a newline.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::MetacopyRedirect(RedirectMode::Follow | RedirectMode::On) => {
                "options exclude each other: metacopy=on and redirect_dir=follow"
            }
            Self::MetacopyRedirect(RedirectMode::Off | RedirectMode::NoFollow) => {
                "options exclude each other: metacopy=on and redirect_dir=nofollow"
            }
            Self::NfsExportIndex => "options exclude each other: nfs_export=on and index=off",
            Self::NfsExportMetacopy => "options exclude each other: nfs_export=on and metacopy=on",
            Self::UserxattrRedirect(RedirectMode::Follow) => {
                "options exclude each other: userxattr and redirect_dir=follow"
            }
            Self::UserxattrRedirect(RedirectMode::Off | RedirectMode::NoFollow) => {
                "options exclude each other: userxattr and redirect_dir=off"
            }
            Self::UserxattrRedirect(RedirectMode::On) => {
                "options exclude each other: userxattr and redirect_dir=on"
            }
            Self::UserxattrMetacopy => "options exclude each other: userxattr and metacopy=on",
            Self::RedirectNotPermitted => "redirect_dir needs access to trusted xattrs",
            Self::MetacopyNotPermitted => "metacopy needs access to trusted xattrs",
            Self::VerityNotPermitted => "verity needs access to trusted xattrs",
            Self::DataLayersNotPermitted => "data-only lowerdirs need access to trusted xattrs",
        }
    }
}

/// Makes the options fit each other, or says why they cannot.
///
/// An option that the user gave wins over one that the [`Defaults`] set; two given options that
/// contradict each other are refused. Every change is passed to `note`. The dependencies:
/// `metacopy` needs `redirect_dir=on`; `nfs_export` needs `index` and excludes `metacopy`;
/// `userxattr` excludes redirects and `metacopy`; without `userxattr`, redirects, `metacopy`,
/// `verity` and data-only layers need a privileged mounter.
///
/// On an error `config` may have been changed in part.
pub(crate) fn resolve(
    config: &mut Config,
    caps: Caps,
    note: &mut dyn FnMut(Note),
) -> Result<(), Conflict> {
    if !config.upper {
        resolve_without_upper(config, note);
    }
    resolve_metacopy(config, note)?;
    resolve_nfs_export(config, note)?;
    if config.userxattr {
        resolve_userxattr(config, note)
    } else if caps.privileged {
        Ok(())
    } else {
        check_unprivileged(config)
    }
}

/// Takes out what a mount without an upper layer cannot use.
fn resolve_without_upper(config: &mut Config, note: &mut dyn FnMut(Note)) {
    if config.work {
        config.work = false;
        note(Note::WorkWithoutUpper);
    }
    if config.index && config.given.index {
        // Forgetting that it was given keeps it from counting as a contradiction below.
        config.given.index = false;
        note(Note::IndexWithoutUpper);
    }
    config.index = false;
    if config.fsync == Fsync::Volatile {
        config.fsync = Fsync::Auto;
        note(Note::VolatileWithoutUpper);
    }
    if config.uuid == Uuid::On {
        config.uuid = Uuid::Null;
        note(Note::UuidWithoutUpper);
    }
    // Nothing can be renamed here, so that both are the same; one value less to distinguish.
    if config.redirect_dir == RedirectMode::Follow {
        config.redirect_dir = RedirectMode::On;
    }
}

/// `metacopy` needs `redirect_dir=on`.
fn resolve_metacopy(config: &mut Config, note: &mut dyn FnMut(Note)) -> Result<(), Conflict> {
    if !config.metacopy || config.makes_redirects() {
        return Ok(());
    }
    match (config.given.metacopy, config.given.redirect_dir) {
        (true, true) => return Err(Conflict::MetacopyRedirect(config.redirect_dir)),
        (false, true) => {
            config.metacopy = false;
            note(Note::MetacopyOffByRedirect(config.redirect_dir));
        }
        (_, false) => {
            config.redirect_dir = RedirectMode::On;
            note(Note::RedirectOnByMetacopy);
        }
    }
    Ok(())
}

/// `nfs_export` needs `index`, and excludes `metacopy`.
fn resolve_nfs_export(config: &mut Config, note: &mut dyn FnMut(Note)) -> Result<(), Conflict> {
    if config.nfs_export && !config.index {
        if !config.upper && config.follows_redirects() {
            config.nfs_export = false;
            note(Note::NfsExportNeedsNoFollow);
        } else if config.given.nfs_export && config.given.index {
            return Err(Conflict::NfsExportIndex);
        } else if config.given.index {
            config.nfs_export = false;
            note(Note::NfsExportOffByIndex);
        } else {
            config.index = true;
            note(Note::IndexOnByNfsExport);
        }
    }
    if config.nfs_export && config.metacopy {
        if config.given.nfs_export && config.given.metacopy {
            return Err(Conflict::NfsExportMetacopy);
        } else if config.given.metacopy {
            config.nfs_export = false;
            note(Note::NfsExportOffByMetacopy);
        } else if config.verity != Verity::Off {
            config.nfs_export = false;
            note(Note::NfsExportOffByVerity(config.verity));
        } else {
            config.metacopy = false;
            note(Note::MetacopyOffByNfsExport);
        }
    }
    Ok(())
}

/// `userxattr` excludes redirects and `metacopy`: whoever can write the upper layer could forge
/// them.
fn resolve_userxattr(config: &mut Config, note: &mut dyn FnMut(Note)) -> Result<(), Conflict> {
    if config.given.redirect_dir && config.follows_redirects() {
        return Err(Conflict::UserxattrRedirect(config.redirect_dir));
    }
    if config.given.metacopy && config.metacopy {
        return Err(Conflict::UserxattrMetacopy);
    }
    if config.follows_redirects() {
        config.redirect_dir = RedirectMode::NoFollow;
        note(Note::RedirectOffByUserxattr);
    }
    if config.metacopy {
        config.metacopy = false;
        note(Note::MetacopyOffByUserxattr);
    }
    Ok(())
}

/// Refuses what was asked for and cannot work without `trusted.*`; what is only a default is left
/// to fail softly later.
fn check_unprivileged(config: &Config) -> Result<(), Conflict> {
    if config.given.redirect_dir && config.follows_redirects() {
        Err(Conflict::RedirectNotPermitted)
    } else if config.given.metacopy && config.metacopy {
        Err(Conflict::MetacopyNotPermitted)
    } else if config.verity != Verity::Off {
        Err(Conflict::VerityNotPermitted)
    } else if config.data_layers > 0 {
        Err(Conflict::DataLayersNotPermitted)
    } else {
        Ok(())
    }
}

/// Passes the options to `emit` that `/proc/mounts` shows after the layers: those that differ from
/// the defaults, in overlayfs's order, as name and value (a flag has none).
///
/// `same_fs`: all layers are on one file system, where `xino=` has no meaning and is not shown.
pub(crate) fn show_options(
    config: &Config,
    defaults: &Defaults,
    same_fs: bool,
    emit: &mut dyn FnMut(&'static str, Option<&'static str>),
) {
    if config.default_permissions {
        emit("default_permissions", None);
    }
    if config.redirect_dir != defaults.redirect_mode() {
        emit("redirect_dir", Some(config.redirect_dir.name()));
    }
    if config.index != defaults.index {
        emit("index", Some(switch_name(config.index)));
    }
    if config.uuid != Uuid::Auto {
        emit("uuid", Some(config.uuid.name()));
    }
    if config.nfs_export != defaults.nfs_export {
        emit("nfs_export", Some(switch_name(config.nfs_export)));
    }
    if config.xino != defaults.xino() && !same_fs {
        emit("xino", Some(config.xino.name()));
    }
    if config.metacopy != defaults.metacopy {
        emit("metacopy", Some(switch_name(config.metacopy)));
    }
    if config.fsync != Fsync::Auto {
        emit("fsync", Some(config.fsync.name()));
    }
    if config.userxattr {
        emit("userxattr", None);
    }
    if config.verity != Verity::Off {
        emit("verity", Some(config.verity.name()));
    }
}
