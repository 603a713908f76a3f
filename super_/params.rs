// SPDX-License-Identifier: GPL-2.0

//! The mount options, as they come in: parsed, resolved to paths, and collected until the
//! superblock is made.
//!
//! Facts: `fs/overlayfs/params.c`. What a text means is decided in
//! [`rules::options`](crate::rules::options); here it meets the file system: a layer has to be a
//! directory that can be one, and is looked up as soon as it is named, with the credentials of
//! whoever names it.
//!
//! Every option of overlayfs is known.

#![forbid(unsafe_code)]

use crate::{
    overlay::mount::LayerNames,
    rules::{
        bytes,
        conflicts::{
            self,
            Caps,
            ErrnoClass, //
        },
        options::{
            self,
            Config,
            Defaults,
            Fsync,
            RedirectMode,
            Uuid,
            Verity,
            Xino, //
        },
        syntax::{
            split_lowerdirs,
            unescape_into,
            OptionError,
            MAX_LAYERS, //
        },
    },
    vfs::{
        cred,
        fs_context::FsContext,
        log::Name,
        mount::Path,
        param::{
            self,
            Given,
            Parameter,
            Value, //
        },
        text::Text, //
    },
};
use kernel::{
    cred::Credential,
    fs::File,
    prelude::*,
    sync::aref::ARef, //
};

/// What the options are called here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `lowerdir=`.
    LowerDir,
    /// `lowerdir+`.
    LowerDirAdd,
    /// `datadir+`.
    DataDirAdd,
    /// `upperdir=`.
    UpperDir,
    /// `workdir=`.
    WorkDir,
    /// `default_permissions`.
    DefaultPermissions,
    /// `redirect_dir=`.
    RedirectDir,
    /// `index=`.
    Index,
    /// `uuid=`.
    Uuid,
    /// `nfs_export=`.
    NfsExport,
    /// `userxattr`.
    UserXattr,
    /// `xino=`.
    Xino,
    /// `metacopy=`.
    Metacopy,
    /// `verity=`.
    Verity,
    /// `fsync=`.
    Fsync,
    /// `volatile`.
    Volatile,
    /// `override_creds`, `nooverride_creds`.
    OverrideCreds,
}

/// The options there are.
const TABLE: &[Parameter<Key>] = &[
    Parameter::text_or_empty("lowerdir", Key::LowerDir),
    Parameter::file_or_text("lowerdir+", Key::LowerDirAdd),
    Parameter::file_or_text("datadir+", Key::DataDirAdd),
    Parameter::file_or_text("upperdir", Key::UpperDir),
    Parameter::file_or_text("workdir", Key::WorkDir),
    Parameter::flag("default_permissions", Key::DefaultPermissions),
    Parameter::text("redirect_dir", Key::RedirectDir),
    Parameter::text("index", Key::Index),
    Parameter::text("uuid", Key::Uuid),
    Parameter::text("nfs_export", Key::NfsExport),
    Parameter::flag("userxattr", Key::UserXattr),
    Parameter::text("xino", Key::Xino),
    Parameter::text("metacopy", Key::Metacopy),
    Parameter::text("verity", Key::Verity),
    Parameter::text("fsync", Key::Fsync),
    Parameter::flag("volatile", Key::Volatile),
    Parameter::negatable_flag("override_creds", Key::OverrideCreds),
];

/// What a mount starts with, by the module parameters.
pub(super) fn defaults() -> Defaults {
    Defaults {
        redirect_dir: param::redirect_dir(),
        index: param::index(),
        redirect_always_follow: param::redirect_always_follow(),
        nfs_export: param::nfs_export(),
        xino_auto: param::xino_auto(),
        metacopy: param::metacopy(),
    }
}

/// A layer as it was named: the name is for `/proc/mounts`.
pub(super) struct NamedPath {
    /// The text of the option with its escapes, or the path of the descriptor.
    pub(super) name: Text,
    /// The directory.
    pub(super) path: Path,
}

/// The options of one mount.
pub(crate) struct Options {
    /// Those that are not layers. Layers are counted in it by [`Options::verify`].
    config: Config,
    defaults: Defaults,
    /// `lowerdir=` as it was written.
    lowerdir_all: Option<Text>,
    /// The lower layers, topmost first; data-only layers are the last `data_layers` of them.
    pub(super) lowers: KVec<NamedPath>,
    data_layers: usize,
    /// `upperdir=`.
    pub(super) upper: Option<NamedPath>,
    /// `workdir=`.
    pub(super) work: Option<NamedPath>,
    /// The credentials that `override_creds` asked for.
    cred: Option<ARef<Credential>>,
    /// Whether the layers are case-folding, once the first one was named.
    casefold: Option<bool>,
}

impl Options {
    /// The options of a mount that gives none.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<KBox<Self>> {
        let defaults = defaults();
        let options = Self {
            config: Config::new(&defaults),
            defaults,
            lowerdir_all: None,
            lowers: KVec::new(),
            data_layers: 0,
            upper: None,
            work: None,
            cred: None,
            casefold: None,
        };
        Ok(KBox::new(options, GFP_KERNEL_ACCOUNT)?)
    }

    /// Whether the layers are case-folding.
    pub(super) fn casefold(&self) -> bool {
        self.casefold.unwrap_or(false)
    }

    /// The credentials that the mount works with, copied from those of the current task unless
    /// `override_creds` was given.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn take_cred(&mut self) -> Result<ARef<Credential>> {
        match self.cred.take() {
            Some(cred) => Ok(cred),
            None => cred::prepare(),
        }
    }

    /// Hands the names of the lower layers over to the mount, which has the layers themselves by
    /// now. Those that were given as one `lowerdir=` are not kept.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn hand_over_lowers(&mut self, names: &mut LayerNames) -> Result {
        names.lowerdir_all = self.lowerdir_all.take();
        let lowers = core::mem::take(&mut self.lowers);
        if names.lowerdir_all.is_none() {
            names.lowers.reserve(lowers.len(), GFP_KERNEL_ACCOUNT)?;
            for layer in lowers {
                names.lowers.push(layer.name, GFP_KERNEL_ACCOUNT)?;
            }
        }
        Ok(())
    }

    /// Takes one option, as `->parse_param` of a mount or remount.
    ///
    /// # Errors
    ///
    /// `EINVAL`: unknown, malformed, or a layer that cannot be one; the errors of looking up a
    /// layer; `ENOMEM`. Logged, except `ENOMEM`.
    pub(super) fn parse(&mut self, context: &FsContext, given: &Given<'_>) -> Result {
        if context.is_reconfigure() {
            return refuse_change(context);
        }
        let (key, value) = param::find(TABLE, context, given)?;
        match (key, value) {
            (Key::LowerDir, Value::Text(text)) => self.set_lowerdirs(context, text),
            (
                Key::LowerDirAdd | Key::DataDirAdd | Key::UpperDir | Key::WorkDir,
                Value::Text(text),
            ) => self.add_named(context, key, text),
            (
                Key::LowerDirAdd | Key::DataDirAdd | Key::UpperDir | Key::WorkDir,
                Value::File(file),
            ) => self.add_file(context, key, file),
            (Key::OverrideCreds, Value::Flag(on)) => self.set_override_creds(context, on),
            (_, Value::Flag(_)) => self.set_flag(key),
            (_, Value::Text(text)) => {
                let name = name_of_key(key);
                self.set_choice(key, text.to_bytes())
                    .ok_or_else(|| context.bad_value(name))
            }
            // The table lets nothing else through.
            _ => Err(EINVAL),
        }
    }

    /// An option without a value.
    fn set_flag(&mut self, key: Key) -> Result {
        match key {
            Key::DefaultPermissions => self.config.default_permissions = true,
            Key::UserXattr => self.config.userxattr = true,
            Key::Volatile => self.config.fsync = Fsync::Volatile,
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    /// An option with one of a few texts; `None` if it is none of them.
    fn set_choice(&mut self, key: Key, text: &[u8]) -> Option<()> {
        let config = &mut self.config;
        match key {
            Key::RedirectDir => config.set_redirect_dir(RedirectMode::parse(text)?, &self.defaults),
            Key::Index => config.set_index(options::parse_switch(text)?),
            Key::Uuid => config.uuid = Uuid::parse(text)?,
            Key::NfsExport => config.set_nfs_export(options::parse_switch(text)?),
            Key::Xino => config.xino = Xino::parse(text)?,
            Key::Metacopy => config.set_metacopy(options::parse_switch(text)?),
            Key::Verity => config.verity = Verity::parse(text)?,
            Key::Fsync => config.fsync = Fsync::parse(text)?,
            _ => return None,
        }
        Some(())
    }

    /// `override_creds`: the mount works with the credentials of the task that gives the option,
    /// not of the one that makes the superblock.
    #[inline(never)]
    fn set_override_creds(&mut self, context: &FsContext, on: bool) -> Result {
        if !on {
            self.cred = None;
            return Ok(());
        }
        if !context.user_ns_covers_current() {
            return Err(context.refuse(
                EINVAL,
                fmt!("override_creds needs the user namespace of the mount"),
            ));
        }
        self.cred = Some(cred::prepare()?);
        Ok(())
    }

    /// `lowerdir=`: all lower layers at once; replaces those given before.
    #[inline(never)]
    fn set_lowerdirs(&mut self, context: &FsContext, value: &CStr) -> Result {
        self.lowers.clear();
        self.data_layers = 0;
        self.lowerdir_all = None;
        let split = split_lowerdirs(value.to_bytes());
        if value.is_empty() {
            return Ok(());
        }
        // Also if it is refused: what follows is judged as coming after a lowerdir=. But a leading
        // colon never counted as one.
        if split != Err(OptionError::LeadingColon) {
            self.lowerdir_all = Some(Text::of(value)?);
        }
        let split = split.map_err(|error| context.refuse(EINVAL, fmt!("{}", error.message())))?;
        self.lowers.reserve(split.len(), GFP_KERNEL_ACCOUNT)?;
        for layer in split.iter() {
            let key = match layer.data_only {
                true => Key::DataDirAdd,
                false => Key::LowerDir,
            };
            let name = Text::copy(layer.escaped)?;
            let path = match split.has_escapes() {
                true => resolve_escaped(context, &name)?,
                false => resolve(context, &name)?,
            };
            check_dir(&mut self.casefold, context, &path, &name)?;
            self.push_lower(key, NamedPath { name, path })?;
        }
        Ok(())
    }

    /// A layer by its path.
    #[inline(never)]
    fn add_named(&mut self, context: &FsContext, key: Key, text: &CStr) -> Result {
        let path = if matches!(key, Key::UpperDir | Key::WorkDir) {
            resolve_escaped(context, text)?
        } else {
            resolve(context, text)?
        };
        let name = Text::of(text)?;
        self.add(context, key, NamedPath { name, path })
    }

    /// A layer by an open file, which may be an `O_PATH` one.
    #[inline(never)]
    fn add_file(&mut self, context: &FsContext, key: Key, file: &File) -> Result {
        let path = Path::of_file(file);
        let name = path.display()?;
        self.add(context, key, NamedPath { name, path })
    }

    /// Takes a layer that was named alone.
    fn add(&mut self, context: &FsContext, key: Key, layer: NamedPath) -> Result {
        check_dir(&mut self.casefold, context, &layer.path, &layer.name)?;
        match key {
            Key::UpperDir => {
                check_writable(context, &layer)?;
                self.upper = Some(layer);
                Ok(())
            }
            Key::WorkDir => {
                check_writable(context, &layer)?;
                self.work = Some(layer);
                Ok(())
            }
            _ => {
                self.check_addable(context, key)?;
                self.push_lower(key, layer)
            }
        }
    }

    /// May a lower layer be added below those there are?
    #[inline(never)]
    fn check_addable(&self, context: &FsContext, key: Key) -> Result {
        let why = if self.lowerdir_all.is_some() {
            "lowerdir+ and datadir+ cannot be combined with lowerdir"
        } else if self.data_layers > 0 && key == Key::LowerDirAdd {
            "a lowerdir+ cannot come after a datadir+"
        } else if self.lowers.len() >= MAX_LAYERS {
            OptionError::TooManyLayers.message()
        } else {
            return Ok(());
        };
        Err(context.refuse(EINVAL, fmt!("{why}")))
    }

    /// Adds a lower layer that was checked.
    fn push_lower(&mut self, key: Key, layer: NamedPath) -> Result {
        self.lowers.push(layer, GFP_KERNEL_ACCOUNT)?;
        if key == Key::DataDirAdd {
            self.data_layers = self.data_layers.saturating_add(1);
        }
        Ok(())
    }

    /// Makes the options fit each other, and says which are in effect. `workdir=` of a mount
    /// without an upper layer is forgotten.
    ///
    /// # Errors
    ///
    /// `EINVAL`: they contradict each other; `EPERM`: the mounter may not use what they ask for.
    /// Logged.
    #[inline(never)]
    pub(super) fn verify(&mut self, context: &FsContext) -> Result<Config> {
        let mut config = self.config;
        config.upper = self.upper.is_some();
        config.work = self.work.is_some();
        config.data_layers = self.data_layers;
        let caps = Caps {
            privileged: cred::capable_sys_admin(),
        };
        conflicts::resolve(&mut config, caps, &mut |note| {
            if !note.is_silent() {
                pr_info!("{}\n", note.message());
            }
        })
        .map_err(|conflict| {
            let error = match conflict.errno_class() {
                ErrnoClass::Invalid => EINVAL,
                ErrnoClass::NotPermitted => EPERM,
            };
            context.refuse(error, fmt!("{}", conflict.message()))
        })?;
        if !config.work {
            self.work = None;
        }
        Ok(config)
    }
}

/// An option of a remount. `mount(2)` always ignored them all; `fspick(2)` is told.
#[inline(never)]
fn refuse_change(context: &FsContext) -> Result {
    if context.is_old_api() {
        return Ok(());
    }
    Err(context.refuse(EINVAL, fmt!("options cannot be changed by a remount")))
}

/// What the user calls an option.
fn name_of_key(key: Key) -> &'static str {
    TABLE
        .iter()
        .find(|parameter| parameter.key() == key)
        .map_or("", Parameter::name)
}

/// Looks a layer up.
#[inline(never)]
fn resolve(context: &FsContext, name: &CStr) -> Result<Path> {
    if name.is_empty() {
        return Err(context.refuse(EINVAL, fmt!("a layer has an empty name")));
    }
    Path::resolve(name).map_err(|error| {
        let errno = error.to_errno();
        context.refuse(
            error,
            fmt!("cannot find '{}' (error {errno})", Name(name.to_bytes())),
        )
    })
}

/// Can `path` be a layer of this mount at all? All layers are case-folding or none is.
#[inline(never)]
fn check_dir(casefold: &mut Option<bool>, context: &FsContext, path: &Path, name: &CStr) -> Result {
    let dentry = path.dentry();
    let name = Name(name.to_bytes());
    if !dentry.is_dir() {
        return Err(context.refuse(EINVAL, fmt!("{name} is not a directory")));
    }
    let folds = dentry.is_casefolded();
    if *casefold.get_or_insert(folds) != folds {
        let why = match folds {
            true => "case-insensitive, other layers are not",
            false => "case-sensitive, other layers are not",
        };
        return Err(context.refuse(EINVAL, fmt!("{name} is {why}")));
    }
    if dentry.is_weird() {
        return Err(context.refuse(EINVAL, fmt!("the file system of {name} cannot be a layer")));
    }
    Ok(())
}

/// Can `layer` be an upper or work directory? Asked again when the superblock is made: mount
/// attributes may change until then.
#[inline(never)]
fn check_writable(context: &FsContext, layer: &NamedPath) -> Result {
    let name = Name(layer.name.to_bytes());
    if layer.path.dentry().has_real() {
        return Err(context.refuse(
            EINVAL,
            fmt!("the file system of {name} cannot be an upper layer"),
        ));
    }
    if layer.path.mnt().is_readonly() {
        return Err(context.refuse(EINVAL, fmt!("the file system of {name} is read-only")));
    }
    Ok(())
}

/// Looks a layer up whose name may have escapes.
fn resolve_escaped(context: &FsContext, name: &CStr) -> Result<Path> {
    let escaped = name.to_bytes();
    if !bytes::contains(escaped, b'\\') {
        return resolve(context, name);
    }
    let mut plain = Text::room(escaped.len())?;
    unescape_into(escaped, &mut plain).map_err(|_| ENOMEM)?;
    resolve(context, &Text::new(plain)?)
}
