// SPDX-License-Identifier: GPL-2.0

//! Mount options: their values, their defaults, and which of them are shown.
//!
//! How they are written is in [`super::syntax`], which go together in [`super::conflicts`].
//!
//! Source of the facts: `fs/overlayfs/params.c` and `Documentation/filesystems/overlayfs.rst`.

#![forbid(unsafe_code)]

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
