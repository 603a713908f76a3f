// SPDX-License-Identifier: GPL-2.0

//! The search of a name through the layers.
//!
//! A name is looked up in the upper part of its directory and then in each lower part, until
//! something says that there is nothing more to find: an object that is no directory, a whiteout, an
//! opaque directory. A redirect changes the name that is looked up from the next layer on; an
//! absolute one also changes the place, which then is the root of every further layer.
//!
//! Source of the facts: `ovl_lookup_layers` and what it calls in `fs/overlayfs/namei.c`. Everything
//! here runs with the mounter's credentials, and takes the `i_rwsem` of real directories (inside of
//! that of the overlay directory) for each single lookup.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

use crate::vfs::errno::{
    ELOOP,
    ENAMETOOLONG,
    ENODATA,
    EREMOTE,
    ESTALE, //
};
use crate::{
    overlay::{
        index,
        instantiate::{
            is_trap,
            Parts, //
        },
        layer::{
            Layer,
            LowerPath,
            LowerRef,
            UpperLayer, //
        },
        mount::MountState,
        object::set_impure,
        origin,
        stack::Stack,
        whiteout::path_is_whiteout,
        OvlChild,
        OvlDentry,
        OvlInode, //
    },
    rules::redirect::{
        compose,
        Component,
        Cursor, //
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        log::{
            self,
            warn_limited, //
        },
        mount::{
            LayerDentry,
            Lower,
            Mount,
            RealPath,
            Upper, //
        }, //
    },
    xattr::{
        self,
        marker::{
            self,
            Opacity, //
        },
        metacopy::{
            self,
            Mark, //
        },
        redirect, //
    },
};

/// What the layers have under a name.
pub(crate) struct Found {
    /// What the object is made of. For one that is no directory and has an upper part, the lower
    /// part is the object it was copied from.
    pub(crate) parts: Parts,
    /// The name exists in the upper layer; otherwise the upper part was found in the index, where
    /// another name of the object put it.
    pub(crate) upper_alias: bool,
    /// The upper layer hides what lower layers have.
    pub(crate) opaque: bool,
    /// A lower part is a directory that may hold whiteouts in xattr form.
    pub(crate) xwhiteouts: bool,
}

impl Found {
    /// Nothing.
    pub(crate) const fn nothing() -> Self {
        Self {
            parts: Parts::none(),
            upper_alias: false,
            opaque: false,
            xwhiteouts: false,
        }
    }
}

/// A layer as the search sees it: the same for upper and lower ones, but their dentries differ in
/// type.
trait SearchLayer {
    /// The dentries of the layer.
    type Real: LayerDentry;

    /// It is the upper layer.
    const IS_UPPER: bool;

    /// What log lines call it.
    const LABEL: &'static str;

    /// The layer's mount.
    fn mount(&self) -> &Mount;

    /// The path of a dentry in the layer.
    fn path<'a>(&'a self, dentry: &'a Self::Real) -> RealPath<'a>;

    /// A directory of the layer may hold whiteouts in xattr form.
    fn note_xwhiteouts(&self);
}

impl SearchLayer for UpperLayer {
    type Real = Upper<Dentry>;

    const IS_UPPER: bool = true;
    const LABEL: &'static str = "upper";

    fn mount(&self) -> &Mount {
        &self.mnt
    }

    fn path<'a>(&'a self, dentry: &'a Upper<Dentry>) -> RealPath<'a> {
        UpperLayer::path(self, dentry)
    }

    fn note_xwhiteouts(&self) {}
}

impl SearchLayer for Layer {
    type Real = Lower<Dentry>;

    const IS_UPPER: bool = false;
    const LABEL: &'static str = "lower";

    fn mount(&self) -> &Mount {
        &self.mnt
    }

    fn path<'a>(&'a self, dentry: &'a Lower<Dentry>) -> RealPath<'a> {
        Layer::path(self, dentry)
    }

    fn note_xwhiteouts(&self) {
        Layer::note_xwhiteouts(self);
    }
}

/// Searches all layers for the name of `child`, whose parent is locked.
///
/// # Errors
///
/// `EPERM`: a redirect was found that is not to be followed, or metadata without data on a mount
/// that does not know of such; `EIO`: the data for the metadata was not found; `EREMOTE`: it is of a
/// kind that cannot be part of a layer; `ELOOP`: it is the root of another layer; `ESTALE`: a
/// directory changed its case-folding; `EINVAL`: a redirect is malformed; `EROFS`, if an upper
/// directory lacks its origin and the upper layer cannot be changed; `ENOMEM`; what the layers fail
/// with.
#[inline(never)]
pub(crate) fn find(
    ms: &MountState,
    m: &Mounter<'_>,
    child: &OvlChild<'_>,
    found: &mut Found,
) -> Result {
    let parent = child.parent_inode()?;
    let parts = &mut found.parts;
    let mut search = Search {
        ms,
        m,
        child,
        name: child.name(),
        redirect: None,
        is_dir: false,
        opaque: false,
        xwhiteouts: false,
        stop: false,
        last: !checks_redirects(ms) && parent.lowers().is_empty(),
        metacopy: None,
        absolute: false,
        has_origin: false,
        verified: false,
    };

    let mut origin = None;
    let mut topmost = None;
    if let (Some(layer), Some(base)) = (&ms.upper, parent.upper()) {
        parts.upper = search.in_layer(layer, base)?;
        if let Some(upper) = parts.upper.as_deref() {
            if upper.has_real() {
                return Err(EREMOTE);
            }
            if !search.is_dir {
                origin = origin::find(ms, m, layer.path(upper))?;
                topmost = search.metacopy;
            }
        }
        if let Some(redirect) = &search.redirect {
            parts.redirect = Some(copy(redirect)?);
        }
    }
    found.opaque = search.opaque;
    found.upper_alias = parts.upper.is_some();

    let mut upper_metacopy = topmost.is_some();
    search.has_origin = origin.is_some();
    search.in_lowers(parent, parts, &mut topmost)?;
    let redirected = parts.redirect.is_some();
    let in_data_layer = search.has_data_elsewhere(&parts.lowers);
    if in_data_layer {
        // Neither of the features is needed to use these layers.
        search.metacopy = None;
    } else {
        search.check_follow(redirected)?;
    }
    if search.metacopy.is_some() || (upper_metacopy && parts.lowers.is_empty()) {
        warn_limited!("no data for the metacopy '{}'\n", child.log_name());
        return Err(EIO);
    }
    if origin.is_some() && parts.lowers.is_empty() {
        parts.lowers = Stack::from(origin);
        search.verified = true;
    }
    if let Some(index) = search.in_index(parts)? {
        parts.indexed = true;
        if parts.upper.is_none() {
            parts.redirect = search.through_index(&index)?;
            topmost = search.metacopy;
            upper_metacopy = topmost.is_some();
            parts.upper = Some(index);
        }
    }
    parts.upper_data = parts.upper.is_some() && !upper_metacopy;
    parts.has_digest = topmost.is_some_and(|mark| mark.has_digest);
    if in_data_layer {
        parts.data_redirect = search.redirect.take();
    }
    found.xwhiteouts = search.xwhiteouts;
    Ok(())
}

/// The state of a search: what was learned from the layers so far.
struct Search<'s> {
    ms: &'s MountState,
    m: &'s Mounter<'s>,
    child: &'s OvlChild<'s>,
    /// Its name.
    name: &'s [u8],
    /// What to look up instead of the name, from the next layer on.
    redirect: Option<KVec<u8>>,
    /// The object is a directory: lower ones are merged with it, other objects are hidden.
    is_dir: bool,
    /// A whiteout was found, or an opaque directory.
    opaque: bool,
    /// A directory was found that may hold whiteouts in xattr form.
    xwhiteouts: bool,
    /// There is nothing more to find.
    stop: bool,
    /// This is the last layer: what an object says about layers below it does not matter.
    last: bool,
    /// The last object found is a file that has only metadata.
    metacopy: Option<Mark>,
    /// The redirect that was read last is absolute.
    absolute: bool,
    /// The lower object that the upper one was copied from was found by its handle.
    has_origin: bool,
    /// The topmost lower part is known to be what the upper one was copied from.
    verified: bool,
}

impl Search<'_> {
    /// Looks in the lower parts of the directory, then, after an absolute redirect, in the layers
    /// below from their roots on. Adds what it finds to `parts`.
    #[inline(never)]
    fn in_lowers(
        &mut self,
        parent: &OvlInode,
        parts: &mut Parts,
        topmost: &mut Option<Mark>,
    ) -> Result {
        let ms = self.ms;
        let upper = parts.upper.as_deref();
        let found = &mut parts.lowers;
        let upper_redirected = parts.redirect.is_some();
        let mut from_root = upper_redirected && self.is_redirected_absolutely();
        let mut next = 0usize;

        let (checks, has_data) = (checks_redirects(ms), has_data_layers(ms));
        while !self.stop {
            let Some((index, base)) = stack_entry(ms, parent, from_root, next)? else {
                break;
            };
            let layer = ms.layer(index).ok_or(EIO)?;
            self.check_follow(upper_redirected)?;
            if !checks {
                self.last = is_end(next, stack_len(ms, parent, from_root));
            } else if self.is_dir || !has_data {
                // Else the last layer may still lead to the data-only ones.
                self.last = is_end(index, ms.merged_layers());
            }
            next = next.saturating_add(1);

            let Some(dentry) = self.in_layer(layer, base)? else {
                continue;
            };
            if let Some(upper) = upper.filter(|_| found.is_empty()) {
                if self.is_dir {
                    self.fix_origin(upper, &dentry)?;
                }
                if !self.is_origin(upper, &dentry)? {
                    break;
                }
            }
            if upper.is_none() && found.is_empty() {
                *topmost = self.metacopy;
            }
            // Of metadata only the topmost counts; but its redirect does, see below.
            if self.metacopy.is_none() || found.is_empty() {
                let part = LowerPath {
                    layer: index,
                    dentry,
                };
                found.push(part, stack_len(ms, parent, from_root))?;
            }
            if !from_root && self.is_redirected_absolutely() {
                from_root = true;
                next = index.saturating_add(1);
            }
        }
        Ok(())
    }

    /// With an index the lower part that the name leads to has to be the one that the upper part was
    /// copied from. With NFS export this goes for directories, too, which are not merged otherwise.
    fn is_origin(&mut self, upper: &Upper<Dentry>, lower: &Lower<Dentry>) -> Result<bool> {
        let checked = if self.is_dir {
            self.ms.verify_lower()
        } else {
            self.ms.config.index && self.has_origin
        };
        if !checked {
            return Ok(true);
        }
        match origin::verify(self.ms, self.m, upper, lower) {
            Err(error) if self.is_dir && (error == ESTALE || error == ENODATA) => return Ok(false),
            other => other?,
        }
        self.verified = true;
        Ok(true)
    }

    /// Looks for an entry in the index. For an object with an upper part the lower one has to be
    /// verified: another one's entry says nothing about it.
    fn in_index(&self, parts: &Parts) -> Result<Option<ARef<Upper<Dentry>>>> {
        let ms = self.ms;
        let (upper, lower) = (parts.upper.as_deref(), parts.lowers.first());
        let Some(lower) = lower.filter(|_| upper.is_none() || self.verified) else {
            return Ok(None);
        };
        if ms.indexdir().is_none() || (self.is_dir && !ms.indexes_all()) {
            return Ok(None);
        }
        index::lookup(ms, self.m, upper, &lower.dentry)
    }

    /// Learns from the entry in the index, which another name of the object put there, what the
    /// upper part says about the data. Returns the redirect.
    fn through_index(&mut self, index: &Upper<Dentry>) -> Result<Option<KVec<u8>>> {
        let format = self.ms.format();
        let path = RealPath::upper(self.ms.upper_mnt()?, index);
        let redirect = match redirect::read(format, self.m, path)? {
            Some(stored) => Some(copy(stored.redirect()?.as_bytes())?),
            None => None,
        };
        self.metacopy = metacopy::mark(format, self.m, path)?;
        self.check_follow(redirect.is_some())?;
        Ok(redirect)
    }

    /// The data of what was found is to be looked for in the data-only layers, when it is needed.
    fn has_data_elsewhere(&self, lowers: &[LowerPath]) -> bool {
        self.metacopy.is_some() && !lowers.is_empty() && has_data_layers(self.ms) && self.absolute
    }

    fn is_redirected_absolutely(&self) -> bool {
        let text = self.redirect.as_ref();
        text.is_some_and(|text| text.first() == Some(&b'/'))
    }

    /// Redirects and metadata without data lead to objects whose place the mounter's users may not
    /// be allowed to see.
    #[inline(always)]
    fn check_follow(&self, upper_redirected: bool) -> Result {
        if self.metacopy.is_none() && self.redirect.is_none() && !upper_redirected {
            return Ok(());
        }
        self.check_elsewhere(upper_redirected)
    }

    /// [`Self::check_follow`], if there is something to follow.
    #[inline(never)]
    fn check_elsewhere(&self, upper_redirected: bool) -> Result {
        if self.metacopy.is_some() && !self.ms.config.metacopy {
            warn_limited!(
                "refusing to follow metacopy origin for ({})\n",
                self.child.log_name()
            );
            return Err(EPERM);
        }
        if (upper_redirected || self.redirect.is_some()) && !self.ms.redirect_follow() {
            warn_limited!(
                "refusing to follow redirect for ({})\n",
                self.child.log_name()
            );
            return Err(EPERM);
        }
        Ok(())
    }

    /// Looks the name, or what it was redirected to, up in one layer.
    #[inline(always)]
    fn in_layer<L: SearchLayer>(
        &mut self,
        layer: &L,
        base: &L::Real,
    ) -> Result<Option<ARef<L::Real>>> {
        if self.redirect.is_none() {
            return self.component(layer, base, plain(self.name));
        }
        self.redirected(layer, base)
    }

    /// Looks up in one layer what the name was redirected to.
    #[inline(never)]
    fn redirected<L: SearchLayer>(
        &mut self,
        layer: &L,
        base: &L::Real,
    ) -> Result<Option<ARef<L::Real>>> {
        let mut path = self.redirect.take().unwrap_or(KVec::new());
        let found = match Cursor::start(&path) {
            Some(start) => self.along(layer, base, &mut path, start),
            None => self.component(layer, base, plain(&path)),
        };
        // It stays, unless what was found leads elsewhere.
        self.redirect.get_or_insert(path);
        found
    }

    /// Looks an absolute path up in one layer, each directory of which may carry a redirect itself.
    #[inline(never)]
    fn along<L: SearchLayer>(
        &mut self,
        layer: &L,
        base: &L::Real,
        path: &mut KVec<u8>,
        start: Cursor,
    ) -> Result<Option<ARef<L::Real>>> {
        let mut at = Some(start);
        let mut dir: Option<ARef<L::Real>> = None;
        while let Some(cursor) = at {
            let component = cursor.component(path).ok_or(EIO)?;
            at = component.next();
            let here = dir.as_deref().unwrap_or(base);
            if !here.can_lookup() {
                break;
            }
            dir = self.component(layer, here, component)?;
            if let Some(redirect) = self.redirect.take() {
                *path = redirect;
            }
            if dir.is_none() {
                break;
            }
        }
        Ok(dir)
    }

    /// Looks one component up in `base`, and learns what the object says about the layers below.
    #[inline(never)]
    fn component<L: SearchLayer>(
        &mut self,
        layer: &L,
        base: &L::Real,
        at: Component<'_>,
    ) -> Result<Option<ARef<L::Real>>> {
        let fail = |error: Error, why: &str| {
            warn_limited!(
                "failed lookup in {} ({}, name='{}', err={}): {}\n",
                L::LABEL,
                base.log_name(),
                log::Name(at.name),
                error.to_errno(),
                why
            );
            Err(error)
        };

        // Layers are case-folding in all directories or in none.
        if self.ms.casefold != base.is_casefolded() {
            return fail(ESTALE, "parent wrong casefold");
        }
        // Nobody looks a name up in the upper layer but through us: keep the cached absence of the
        // overlay's name only.
        let looked_up = base.lookup_positive(self.m, layer.mount(), at.name, L::IS_UPPER);
        let found = match looked_up {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(error) if error == ENAMETOOLONG => return Ok(None),
            Err(error) => return Err(error),
        };
        if found.is_dir() && self.ms.casefold != found.is_casefolded() {
            return fail(EREMOTE, "child wrong casefold");
        }
        if found.is_weird() {
            return fail(EREMOTE, "unsupported object type");
        }
        if !found.is_dir() && path_is_whiteout(self.ms, self.m, layer.path(&found))? {
            self.stop = true;
            self.opaque = true;
            return Ok(None);
        }
        // Only a regular file can go on what has only the metadata of one.
        if at.is_last() && self.metacopy.is_some() && !found.is_reg() {
            self.stop = true;
            return Ok(None);
        }
        if found.can_lookup() {
            if is_trap(self.child.super_(), &found) {
                return fail(ELOOP, "overlapping layers");
            }
            self.directory(layer, found, at)
        } else {
            self.leaf(layer, found, at)
        }
    }

    /// An object that is no directory was found.
    fn leaf<L: SearchLayer>(
        &mut self,
        layer: &L,
        found: ARef<L::Real>,
        at: Component<'_>,
    ) -> Result<Option<ARef<L::Real>>> {
        if self.is_dir || !at.is_last() {
            self.stop = true;
            return Ok(None);
        }
        self.metacopy = metacopy::mark(self.ms.format(), self.m, layer.path(&found))?;
        self.stop = self.metacopy.is_none();
        if self.stop || self.last {
            return Ok(Some(found));
        }
        self.follow(layer, &found, at)?;
        Ok(Some(found))
    }

    /// A directory was found.
    #[inline(never)]
    fn directory<L: SearchLayer>(
        &mut self,
        layer: &L,
        found: ARef<L::Real>,
        at: Component<'_>,
    ) -> Result<Option<ARef<L::Real>>> {
        if at.is_last() {
            self.is_dir = true;
        }
        if self.last {
            return Ok(Some(found));
        }
        let format = self.ms.format();
        match marker::opacity(format, self.m, layer.path(&found))? {
            Opacity::Opaque => {
                self.stop = true;
                self.opaque |= at.is_last();
                return Ok(Some(found));
            }
            Opacity::Xwhiteouts if at.is_last() && !L::IS_UPPER => {
                self.xwhiteouts = true;
                layer.note_xwhiteouts();
            }
            Opacity::Xwhiteouts | Opacity::Merged => {}
        }
        self.follow(layer, &found, at)?;
        Ok(Some(found))
    }

    /// Reads where the layers below have what was found, if that is elsewhere.
    #[inline(never)]
    fn follow<L: SearchLayer>(&mut self, layer: &L, found: &L::Real, at: Component<'_>) -> Result {
        self.absolute = false;
        let stored = redirect::read(self.ms.format(), self.m, layer.path(found))?;
        let Some(stored) = stored else {
            return Ok(());
        };
        let target = stored.redirect()?;
        // An absolute redirect leads to a place that an opaque directory on the way does not hide.
        if target.is_absolute() {
            self.absolute = true;
            self.stop = false;
        }
        let mut path = KVec::new();
        compose(at.prefix, target, at.rest, &mut path)?;
        self.redirect = Some(path);
        Ok(())
    }

    /// Gives an upper directory that is merged with a lower one the origin that it lacks.
    #[inline(never)]
    fn fix_origin(&self, upper: &Upper<Dentry>, lower: &Lower<Dentry>) -> Result {
        let (ms, m) = (self.ms, self.m);
        let layer = ms.upper.as_ref().ok_or(EROFS)?;
        let format = ms.format();
        if ms.noxattr() || marker::has_origin(format, m, layer.path(upper))? {
            return Ok(());
        }
        let record = origin::record(ms, m, lower.positive()?)?;
        let write = ms.want_write()?;
        xattr::origin::set(format, m, &write, upper, &record)?;
        // The parent of the upper directory may change; that of the name is locked.
        set_impure(ms, m, &write, self.child.parent_dentry())
    }
}

/// A copy of a path.
fn copy(path: &[u8]) -> Result<KVec<u8>> {
    let mut copied = KVec::new();
    copied.extend_from_slice(path, GFP_KERNEL)?;
    Ok(copied)
}

/// A name alone, as a path of one component.
fn plain(name: &[u8]) -> Component<'_> {
    Component {
        prefix: &[],
        name,
        rest: &[],
    }
}

/// Some layers only hold data.
fn has_data_layers(ms: &MountState) -> bool {
    ms.config.data_layers > 0
}

/// Redirects that are found matter, be it that they are refused.
fn checks_redirects(ms: &MountState) -> bool {
    ms.redirect_follow() || has_data_layers(ms)
}

/// `index` is the last of `len`.
fn is_end(index: usize, len: usize) -> bool {
    index.checked_add(1) == Some(len)
}

/// The number of lower parts of the directory, or of the root.
fn stack_len(ms: &MountState, parent: &OvlInode, of_root: bool) -> usize {
    if of_root {
        ms.merged_layers()
    } else {
        parent.lowers().len()
    }
}

/// The lower part at this place of the directory, or of the root, with the index of its layer.
fn stack_entry<'a>(
    ms: &'a MountState,
    parent: &'a OvlInode,
    of_root: bool,
    at: usize,
) -> Result<Option<(usize, &'a Lower<Dentry>)>> {
    if of_root {
        let layer = ms.layer(at).filter(|_| at < ms.merged_layers());
        return Ok(layer.map(|layer| (at, layer.mnt.root())));
    }
    let Some(lower) = parent.lowers().get(at) else {
        return Ok(None);
    };
    Ok(Some((lower.layer(), lower.dentry().ok_or(EIO)?)))
}

/// Whether lower layers have something under the name of `child`, so that removing it from the upper
/// layer needs a whiteout. The parent is locked.
///
/// If a layer cannot tell, there is something.
pub(crate) fn lower_positive(child: &OvlChild<'_>) -> Result<bool> {
    let dentry: &OvlDentry = child;
    let Some(inode) = dentry.inode() else {
        return Ok(dentry.is_opaque());
    };
    if inode.upper().is_none() {
        return Ok(true);
    }
    let ms = dentry.mount();
    ms.with_mounter(|m| {
        for lower in child.parent_inode()?.lowers() {
            if let Some(positive) = is_positive(ms, m, lower, child.name())? {
                return Ok(positive);
            }
        }
        Ok(false)
    })
}

/// Whether the lower directory has something to show under `name`; `None` if that is up to the
/// directories below it.
fn is_positive(
    ms: &MountState,
    m: &Mounter<'_>,
    lower: &LowerRef,
    name: &[u8],
) -> Result<Option<bool>> {
    let layer = ms.layer(lower.layer()).ok_or(EIO)?;
    let base = lower.dentry().ok_or(EIO)?;
    match base.lookup_positive(m, &layer.mnt, name, false) {
        Ok(None) => Ok(None),
        Err(error) if error == ENAMETOOLONG => Ok(None),
        Err(_) => Ok(Some(true)),
        Ok(Some(found)) => match path_is_whiteout(ms, m, layer.path(&found)) {
            Ok(whiteout) => Ok(Some(!whiteout)),
            Err(_) => Ok(Some(true)),
        },
    }
}
