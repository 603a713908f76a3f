// SPDX-License-Identifier: GPL-2.0

//! Mount options as `mount(2)` and `fsconfig(2)` hand them over, and the module's parameters.
//!
//! A filesystem lists its options in a constant table of [`Parameter`]s; [`find`] looks an option
//! up in it and checks that its value is of the kind the table asks for, with the rules and errno
//! of `fs_parse()` (`fs/fs_parser.c`). It is done here so that every refusal reaches the kernel
//! log, too: C writes it to the log of an `fsopen(2)` context only.
//!
//! C headers: [`include/linux/fs_parser.h`](srctree/include/linux/fs_parser.h),
//! [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h)

use super::{
    bindings,
    fs_context::FsContext,
    log::Name,
    text::c_str, //
};
use kernel::{
    fs::File,
    prelude::*, //
};

/// What kind of value an option takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// None.
    Flag,
    /// None, and `no` may precede the name.
    NegatableFlag,
    /// A text that is not empty.
    Text,
    /// A text.
    TextOrEmpty,
    /// A text that is not empty, or an open file.
    FileOrText,
}

/// An option that a filesystem knows; `K` is what the filesystem calls it.
pub(crate) struct Parameter<K> {
    name: &'static str,
    kind: Kind,
    key: K,
}

impl<K: Copy> Parameter<K> {
    const fn new(name: &'static str, kind: Kind, key: K) -> Self {
        Self { name, kind, key }
    }

    /// What the user calls it.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// What the filesystem calls it.
    pub(crate) fn key(&self) -> K {
        self.key
    }

    /// An option without a value (`fsparam_flag`).
    pub(crate) const fn flag(name: &'static str, key: K) -> Self {
        Self::new(name, Kind::Flag, key)
    }

    /// An option without a value that `no` in front of it takes back (`fsparam_flag_no`).
    pub(crate) const fn negatable_flag(name: &'static str, key: K) -> Self {
        Self::new(name, Kind::NegatableFlag, key)
    }

    /// An option with a text (`fsparam_string`).
    pub(crate) const fn text(name: &'static str, key: K) -> Self {
        Self::new(name, Kind::Text, key)
    }

    /// An option with a text that may be empty (`fsparam_string_empty`).
    pub(crate) const fn text_or_empty(name: &'static str, key: K) -> Self {
        Self::new(name, Kind::TextOrEmpty, key)
    }

    /// An option with a text or an open file (`fsparam_file_or_string`).
    pub(crate) const fn file_or_text(name: &'static str, key: K) -> Self {
        Self::new(name, Kind::FileOrText, key)
    }

    /// Takes `value`, if it is of the right kind.
    fn accept<'a>(&self, value: &Value<'a>) -> Option<Value<'a>> {
        let accepted = match (self.kind, value) {
            (Kind::Flag | Kind::NegatableFlag, Value::None) => Value::Flag(true),
            (Kind::Text | Kind::FileOrText, Value::Text(text)) if text.is_empty() => return None,
            (Kind::Text | Kind::TextOrEmpty | Kind::FileOrText, Value::Text(text)) => {
                Value::Text(text)
            }
            (Kind::FileOrText, Value::File(file)) => Value::File(file),
            _ => return None,
        };
        Some(accepted)
    }

    /// Has the option no value?
    fn is_flag(&self) -> bool {
        matches!(self.kind, Kind::Flag | Kind::NegatableFlag)
    }
}

/// The value of an option.
pub(crate) enum Value<'a> {
    /// The option was given without one.
    None,
    /// A flag was set, or taken back with `no`.
    Flag(bool),
    /// A text.
    Text(&'a CStr),
    /// An open file.
    File(&'a File),
    /// Something that no option takes.
    Other,
}

/// An option that was given.
pub(crate) struct Given<'a> {
    name: &'a CStr,
    value: Value<'a>,
}

impl<'a> Given<'a> {
    /// Reads the option that C hands to `->parse_param`.
    ///
    /// # Safety
    ///
    /// `param` is the argument of `->parse_param` and not used by anyone else for `'a`.
    pub(super) unsafe fn from_raw(param: *const bindings::fs_parameter) -> Self {
        // SAFETY: Valid and unshared by contract.
        let param = unsafe { &*param };
        // SAFETY: The name is a C string that lives as long as the parameter; it was checked not to
        // be null (`vfs_parse_fs_param()` in fs/fs_context.c).
        let name = unsafe { c_str(param.key) };
        let value = match param.type_() {
            bindings::fs_value_type_fs_value_is_flag => Value::None,
            bindings::fs_value_type_fs_value_is_string => {
                // SAFETY: The type says which member of the union is in use.
                let text = unsafe { param.__bindgen_anon_1.string };
                // SAFETY: A C string that lives as long as the parameter.
                Value::Text(unsafe { c_str(text) })
            }
            bindings::fs_value_type_fs_value_is_file => {
                // SAFETY: The type says which member of the union is in use.
                let file = unsafe { param.__bindgen_anon_1.file };
                // SAFETY: The parameter holds a count of its own (`fsconfig()` in fs/fsopen.c), the
                // position lock of the descriptor is not involved.
                Value::File(unsafe { File::from_raw_file(file) })
            }
            _ => Value::Other,
        };
        Self { name, value }
    }
}

/// Looks `given` up in `table`.
///
/// # Errors
///
/// `EINVAL` if there is no such option or its value is of the wrong kind, which is logged;
/// `ENOPARAM` for the option `source`, which the VFS knows.
#[inline(never)]
pub(crate) fn find<'a, K: Copy>(
    table: &[Parameter<K>],
    context: &FsContext,
    given: &Given<'a>,
) -> Result<(K, Value<'a>)> {
    let name = given.name.to_bytes();
    if let Some(parameter) = table.iter().find(|known| known.name.as_bytes() == name) {
        return match parameter.accept(&given.value) {
            Some(value) => Ok((parameter.key, value)),
            None if parameter.is_flag() => {
                Err(context.refuse(EINVAL, fmt!("option '{}' takes no value", parameter.name)))
            }
            None => Err(context.bad_value(parameter.name)),
        };
    }
    if let (Some(rest), Value::None) = (name.strip_prefix(b"no"), &given.value) {
        let negated = table
            .iter()
            .find(|known| known.kind == Kind::NegatableFlag && known.name.as_bytes() == rest);
        if let Some(parameter) = negated {
            return Ok((parameter.key, Value::Flag(false)));
        }
    }
    if name == b"source" {
        return Err(ENOPARAM);
    }
    Err(context.refuse(EINVAL, fmt!("unknown mount option '{}'", Name(name))))
}

/// The module parameter `redirect_dir`: `redirect_dir=on` is the default.
pub(crate) fn redirect_dir() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_redirect_dir() }
}

/// The module parameter `index`: `index=on` is the default.
pub(crate) fn index() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_index() }
}

/// The module parameter `redirect_max`: the length that a redirect from the root may have when it
/// is made.
pub(crate) fn redirect_max() -> u16 {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_redirect_max() }
}

/// The module parameter `redirect_always_follow`: redirects are followed even by a mount that
/// says `redirect_dir=off`.
pub(crate) fn redirect_always_follow() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_redirect_always_follow() }
}

/// The module parameter `metacopy`: metadata is copied up alone.
pub(crate) fn metacopy() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_metacopy() }
}

/// The module parameter `nfs_export`: file handles lead to the objects.
pub(crate) fn nfs_export() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_nfs_export() }
}

/// The module parameter `xino_auto`: `xino=auto` is the default.
pub(crate) fn xino_auto() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_xino_auto() }
}

/// The module parameter `as_overlay`: the module shall serve the type `overlay`, too.
pub(crate) fn as_overlay() -> bool {
    // SAFETY: Reads a static of vfs/helpers.c.
    unsafe { bindings::param_as_overlay() }
}
