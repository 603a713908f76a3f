// SPDX-License-Identifier: GPL-2.0

//! Which options go together: what is refused, what is changed to fit.
//!
//! Source of the facts: `ovl_fs_params_verify` in `fs/overlayfs/params.c`. What depends on a layer
//! (can it encode handles, has it xattrs) is decided where the layer is known.

#![forbid(unsafe_code)]

use super::options::{
    Config,
    Fsync,
    RedirectMode,
    Uuid,
    Verity, //
};

/// The class of errno a refusal is reported with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrnoClass {
    /// `EINVAL`: the options contradict each other or are malformed.
    Invalid,
    /// `EPERM`: the mounter may not use what was asked for.
    NotPermitted,
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
/// An option that the user gave wins over a default; two given options that contradict each other
/// are refused. Every change is passed to `note`. The dependencies:
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
