// SPDX-License-Identifier: GPL-2.0

//! Names of extended attributes: which are the overlay's own, and how an overlay on top of this one
//! stores its own through it.
//!
//! Source of the facts: `fs/overlayfs/xattrs.c`; "Nesting overlayfs mounts" in
//! `Documentation/filesystems/overlayfs.rst`.
//!
//! Names that begin with the mount's prefix (`trusted.overlay.`, or `user.overlay.` with
//! `userxattr`) are hidden in the layers. What a user writes under such a name is stored with
//! `overlay.` inserted after the prefix, and is shown without it: every level of nesting adds one
//! and takes one off. Names are whole names, without a NUL.

#![forbid(unsafe_code)]

use core::cell::Cell;

use super::{
    bytes,
    store::{
        NoMemory,
        Store, //
    }, //
};

/// The longest name of an xattr in bytes (`XATTR_NAME_MAX`).
pub(crate) const NAME_MAX: usize = 255;

const INSERT: &[u8] = b"overlay.";
const TRUSTED: &[u8] = b"trusted.";

/// The namespace that a mount's own xattrs are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespace {
    /// `trusted.overlay.*`, the default.
    Trusted,
    /// `user.overlay.*`, with `userxattr`.
    User,
}

/// Why a name cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EscapeError {
    /// The storage could not grow.
    NoMemory,
    /// The escaped name is longer than [`NAME_MAX`]; the module reports `EOPNOTSUPP`.
    TooLong,
}

impl From<NoMemory> for EscapeError {
    fn from(_: NoMemory) -> Self {
        Self::NoMemory
    }
}

/// How a name found on a real object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown<'a> {
    /// Not at all.
    Hidden,
    /// As it is.
    Plain(&'a [u8]),
    /// With one level of escaping taken off: the prefix, then the rest.
    Unescaped(&'static [u8], &'a [u8]),
}

/// A list of names whose last one does not end with a NUL; the module reports `EIO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BrokenList;

impl Namespace {
    /// The namespace of a mount.
    pub(crate) const fn of_mount(userxattr: bool) -> Self {
        if userxattr {
            Self::User
        } else {
            Self::Trusted
        }
    }

    /// What the mount's own names begin with.
    pub(crate) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }

    /// The name is the overlay's own, on a real object, or is escaped.
    pub(crate) fn is_own(self, name: &[u8]) -> bool {
        name.starts_with(self.prefix())
    }

    /// The name on a real object stands for one that a user wrote.
    pub(crate) fn is_escaped(self, name: &[u8]) -> bool {
        name.strip_prefix(self.prefix())
            .is_some_and(|rest| rest.starts_with(INSERT))
    }

    /// The name on a real object is for the overlay alone: neither shown nor copied up.
    pub(crate) fn is_private(self, name: &[u8]) -> bool {
        self.is_own(name) && !self.is_escaped(name)
    }

    /// Writes to `out` (emptied first) the name that a user's `name` has on the real object.
    ///
    /// On an error `out` holds a part of it.
    pub(crate) fn to_real(self, name: &[u8], out: &mut impl Store<u8>) -> Result<(), EscapeError> {
        match name.strip_prefix(self.prefix()) {
            // The VFS does not match a handler's prefix with nothing after it.
            None | Some([]) => {
                out.clear();
                Ok(out.try_extend(name)?)
            }
            Some(suffix) => self.escape(suffix, out),
        }
    }

    /// Writes to `out` (emptied first) the escaped name for what a user wrote after the prefix;
    /// this is what the VFS passes to an xattr handler.
    ///
    /// On an error `out` holds a part of it.
    pub(crate) fn escape(self, suffix: &[u8], out: &mut impl Store<u8>) -> Result<(), EscapeError> {
        out.clear();
        let prefix = self.prefix();
        let len = suffix
            .len()
            .saturating_add(prefix.len())
            .saturating_add(INSERT.len());
        if len > NAME_MAX {
            return Err(EscapeError::TooLong);
        }
        out.try_extend(prefix)?;
        out.try_extend(INSERT)?;
        Ok(out.try_extend(suffix)?)
    }

    /// How a name on a real object is listed. `privileged`, which is only asked where it matters: the
    /// caller has `CAP_SYS_ADMIN` in the initial user namespace, without which no `trusted.*` name
    /// is listed.
    pub(crate) fn to_user(self, name: &[u8], privileged: impl FnOnce() -> bool) -> Shown<'_> {
        if self.is_private(name) || (name.starts_with(TRUSTED) && !privileged()) {
            return Shown::Hidden;
        }
        let unescaped = name
            .strip_prefix(self.prefix())
            .and_then(|rest| rest.strip_prefix(INSERT));
        match unescaped {
            Some(rest) => Shown::Unescaped(self.prefix(), rest),
            None => Shown::Plain(name),
        }
    }

    /// Turns the list of a real object's names, each ended by a NUL, into the list that `caller`s
    /// see, in place. Returns its length in bytes. `privileged` as for [`Self::to_user`].
    ///
    /// On an error the content of `list` is unspecified.
    pub(crate) fn filter_list(
        self,
        list: &mut [u8],
        privileged: impl Fn() -> bool,
    ) -> Result<usize, BrokenList> {
        let mut read: usize = 0;
        let mut write: usize = 0;
        loop {
            let rest = list.get(read..).unwrap_or(&[]);
            if rest.is_empty() {
                return Ok(write);
            }
            let (name, Some(_)) = bytes::split(rest, 0) else {
                return Err(BrokenList);
            };
            let len = name.len().saturating_add(1);
            // The bytes to keep, of the name and its NUL: up to `head`, and from `skip` on.
            let (head, skip) = match self.to_user(name, &privileged) {
                Shown::Hidden => (0, len),
                Shown::Plain(_) => (len, len),
                Shown::Unescaped(prefix, _) => {
                    (prefix.len(), prefix.len().saturating_add(INSERT.len()))
                }
            };
            let tail = len.saturating_sub(skip);
            write = shift(list, read, write, head)?;
            write = shift(list, read.saturating_add(skip), write, tail)?;
            read = read.saturating_add(len);
        }
    }
}

/// Moves `len` bytes towards the front of `list`; returns where they end then.
fn shift(list: &mut [u8], from: usize, to: usize, len: usize) -> Result<usize, BrokenList> {
    if from != to {
        let cells = Cell::from_mut(list).as_slice_of_cells();
        for at in 0..len {
            let from = cells.get(from.saturating_add(at)).ok_or(BrokenList)?;
            let to = cells.get(to.saturating_add(at)).ok_or(BrokenList)?;
            to.set(from.get());
        }
    }
    Ok(to.saturating_add(len))
}
