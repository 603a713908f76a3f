// SPDX-License-Identifier: GPL-2.0

//! The `overlay.redirect` value: the lower place that an object was renamed away from.
//!
//! Source of the facts: `ovl_get_redirect_xattr` in `fs/overlayfs/util.c`, `ovl_check_redirect`
//! and `ovl_lookup_layer` in `fs/overlayfs/namei.c`, `ovl_get_redirect` in `fs/overlayfs/dir.c`.
//!
//! A relative redirect is another name in the same lower directory. An absolute one is a path from
//! the root of the lower layer; it is walked one component at a time, and each directory on the way
//! may carry a redirect of its own that replaces the part walked so far. Therefore a [`Cursor`]
//! counts from the end of the path, where nothing changes.

#![forbid(unsafe_code)]

use super::{
    bytes,
    store::{
        NoMemory,
        Store, //
    }, //
};

/// The length in bytes that an absolute redirect may have by default when it is made
/// (module parameter `redirect_max`); longer ones found in a layer are followed.
pub(crate) const REDIRECT_MAX: usize = 256;

/// The value is no redirect: empty, a relative one with a `/`, or an absolute one with an empty
/// component. The module reports `EINVAL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadRedirect;

/// A valid redirect value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirect<'a> {
    /// A path from the root of the layer: begins with `/`, has no empty component.
    Absolute(&'a [u8]),
    /// A name in the same directory: has no `/`. It is empty where the value begins with a NUL, and
    /// then the lookup refuses it (`EACCES`).
    Relative(&'a [u8]),
}

impl<'a> Redirect<'a> {
    /// Checks the value of the xattr.
    ///
    /// As in C the value ends at its first NUL, but only one without any byte is empty. The names `.`,
    /// `..` and none pass: the lookup refuses them, as it does for every name that does not come from
    /// the VFS.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, BadRedirect> {
        let (text, _) = bytes::split(value, 0);
        let Some(path) = text.strip_prefix(b"/") else {
            if value.is_empty() || bytes::contains(text, b'/') {
                return Err(BadRedirect);
            }
            return Ok(Self::Relative(text));
        };
        let mut rest = Some(path);
        while let Some(path) = rest {
            let (component, after) = bytes::split(path, b'/');
            if component.is_empty() {
                return Err(BadRedirect);
            }
            rest = after;
        }
        Ok(Self::Absolute(text))
    }

    /// The value as it is stored.
    pub(crate) fn as_bytes(&self) -> &'a [u8] {
        match *self {
            Self::Absolute(path) => path,
            Self::Relative(name) => name,
        }
    }

    /// Whether the lookup goes on from the root of the layers, even if it was to stop here.
    pub(crate) fn is_absolute(&self) -> bool {
        matches!(self, Self::Absolute(_))
    }

    /// The components; a relative redirect is its own only one.
    pub(crate) fn components(&self) -> Components<'a> {
        let path = self.as_bytes();
        let cursor = match self {
            Self::Absolute(path) => Cursor::start(path),
            Self::Relative(name) => Some(Cursor {
                remaining: name.len(),
            }),
        };
        Components { path, cursor }
    }
}

/// One component of a path, with what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Component<'a> {
    /// What precedes the component, its `/` included; empty only for a relative redirect.
    pub(crate) prefix: &'a [u8],
    /// The name to look up.
    pub(crate) name: &'a [u8],
    /// What follows, beginning with `/`; empty for the last component.
    pub(crate) rest: &'a [u8],
}

impl Component<'_> {
    /// Whether this is the object itself and not a directory on the way to it.
    pub(crate) fn is_last(&self) -> bool {
        self.rest.is_empty()
    }

    /// The place of the next component; `None` after the last.
    ///
    /// It stays valid when [`compose`] replaces what precedes [`Self::rest`].
    pub(crate) fn next(&self) -> Option<Cursor> {
        let remaining = self.rest.len().checked_sub(1)?;
        Some(Cursor { remaining })
    }
}

/// The place of a component in a path, kept as its distance from the end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    remaining: usize,
}

impl Cursor {
    /// The first component of an absolute path; `None` if the path does not begin with `/`.
    pub(crate) fn start(path: &[u8]) -> Option<Self> {
        let after = path.strip_prefix(b"/")?;
        Some(Self {
            remaining: after.len(),
        })
    }

    /// The component at this place of `path`.
    ///
    /// `None` if no component begins there, which means that `path` is not the one this cursor
    /// was made for; the module reports `EIO`.
    pub(crate) fn component(self, path: &[u8]) -> Option<Component<'_>> {
        let at = path.len().checked_sub(self.remaining)?;
        let (prefix, tail) = path.split_at_checked(at)?;
        if prefix.last().is_some_and(|&byte| byte != b'/') {
            return None;
        }
        let end = bytes::find(tail, |byte| byte == b'/').unwrap_or(tail.len());
        let (name, rest) = tail.split_at_checked(end)?;
        Some(Component { prefix, name, rest })
    }
}

/// Iterator over the components of a [`Redirect`].
#[derive(Clone, Debug)]
pub(crate) struct Components<'a> {
    path: &'a [u8],
    cursor: Option<Cursor>,
}

impl<'a> Iterator for Components<'a> {
    type Item = Component<'a>;

    fn next(&mut self) -> Option<Component<'a>> {
        let component = self.cursor?.component(self.path)?;
        self.cursor = component.next();
        Some(component)
    }
}

/// Writes to `out` (emptied first) the path to look up in the next layer, after the object found
/// for one component carried `redirect`.
///
/// `prefix` and `rest` are those of the [`Component`] that was looked up; for a plain name they are
/// empty. An absolute redirect replaces the prefix too. On an error `out` holds a part of the path.
pub(crate) fn compose(
    prefix: &[u8],
    redirect: Redirect<'_>,
    rest: &[u8],
    out: &mut impl Store<u8>,
) -> Result<(), NoMemory> {
    out.clear();
    if !redirect.is_absolute() {
        out.try_extend(prefix)?;
    }
    out.try_extend(redirect.as_bytes())?;
    out.try_extend(rest)
}

/// The path does not fit into the buffer; the module reports `EXDEV`, so that user space copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Builds an absolute redirect from an object up to the root, in a buffer that is filled from its
/// end. The length of the buffer is the longest path allowed.
#[derive(Debug)]
pub(crate) struct Builder<'a> {
    buffer: &'a mut [u8],
    start: usize,
}

impl<'a> Builder<'a> {
    /// An empty path.
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    /// Puts `part` before the path: the name of a directory, or the redirect that it carries.
    ///
    /// Returns true if the path is complete, because `part` was an absolute redirect; otherwise it
    /// is complete when the root is reached.
    pub(crate) fn prepend(&mut self, part: &[u8]) -> Result<bool, TooLong> {
        let absolute = part.first() == Some(&b'/');
        let separator = if absolute { 0 } else { 1 };
        let needed = part.len().checked_add(separator).ok_or(TooLong)?;
        let start = self.start.checked_sub(needed).ok_or(TooLong)?;
        let target = self
            .buffer
            .get_mut(start..self.start)
            .ok_or(TooLong)?
            .iter_mut();
        let slash: &[u8] = if absolute { b"" } else { b"/" };
        for (to, &from) in target.zip(slash.iter().chain(part)) {
            *to = from;
        }
        self.start = start;
        Ok(absolute)
    }

    /// The path so far.
    pub(crate) fn path(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }
}
