// SPDX-License-Identifier: GPL-2.0

//! The names of a directory that its layers do not list as they are, kept for its readers.
//!
//! A merged directory is read from all its layers at once, into a list that has every name once
//! ([`DirCache::merged`]). Its readers share the list; each goes on with the list it began with,
//! and takes a new one when it rewinds after a change. The list goes with its last reader.
//!
//! An upper directory that is not merged is read straight from its file system. If it is *impure*,
//! some of its entries show another inode number than the real one: just these are kept
//! ([`DirCache::impure`]), as long as the inode lives or until one of them changes.
//!
//! # Locks
//!
//! A cache is made, found, changed and let go with the directory's `i_rwsem` held exclusively,
//! which the kernel's directory iteration takes for it. The spin lock inside is never contended; it
//! is held for taking the content out and putting it back, never while something sleeps.
//!
//! Source of the facts: `fs/overlayfs/readdir.c`.

#![forbid(unsafe_code)]

use core::sync::atomic::{
    AtomicUsize,
    Ordering::Relaxed, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

use crate::vfs::errno::ENOTEMPTY;
use crate::{
    overlay::{
        mount::MountState,
        object::ObjFlag,
        temp,
        OvlDentry,
        OvlInode, //
    },
    rules::{
        identity::{
            defers_entry_ino,
            EntryFacts,
            Space, //
        },
        merge::{
            is_dots,
            Entry,
            Flags,
            Listing,
            Names,
            NewName,
            View, //
        },
    },
    vfs::{
        cred::Mounter,
        dentry::Dentry,
        dir_context::{
            read_dir,
            DirEntry, //
        },
        file::oflags::{
            O_LARGEFILE,
            O_RDONLY, //
        },
        inode::FileType,
        log::{
            self,
            err_limited, //
        },
        mount::{
            LayerDentry,
            RealPath,
            Upper,
            UpperWrite, //
        },
        random, //
    },
};

/// Names while they are collected, and those of an impure directory.
pub(crate) type Collected = Names<KVVec<Entry>, KVVec<u8>, KVVec<u32>>;

/// The names of a merged directory, each with its position.
pub(crate) type Merged = Listing<KVVec<Entry>, KVVec<u8>>;

/// `DT_UNKNOWN`: the file system does not say what an entry is.
const DT_UNKNOWN: u8 = FileType::Other.to_dtype();

/// Room for a name in bytes: the longest one, and one more.
const NAME_ROOM: usize = 256;

/// The number of names in a small directory, and the length of a name there.
const FEW: usize = 32;
const SHORT: usize = 16;

/// What a cache holds.
enum Content {
    /// All names of a merged directory.
    Merged(Merged),
    /// The entries of an impure directory whose inode number is not the real one.
    Impure(Collected),
}

/// What is kept of a directory for its readers.
#[pin_data]
pub(crate) struct DirCache {
    /// The directory's version when it was read.
    version: u64,
    /// How many open files read from it. An impure cache is not counted.
    readers: AtomicUsize,
    /// Empty only while a reader works on it, who excludes all others by the directory's lock.
    #[pin]
    content: SpinLock<Option<KBox<Content>>>,
}

impl DirCache {
    fn new(version: u64, readers: usize, content: Content) -> Result<Arc<Self>> {
        let content = KBox::new(content, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                version,
                readers: AtomicUsize::new(readers),
                content <- new_spinlock!(Some(content), "overlay_rs::dir_content"),
            }),
            GFP_KERNEL,
        )
    }

    /// The directory was changed since it was read.
    pub(crate) fn is_stale(&self, dir: &OvlInode) -> bool {
        self.version != dir.version()
    }

    /// The names of a merged directory, for one more reader; reads the layers if need be.
    ///
    /// # Errors
    ///
    /// Those of the layers, `ENOMEM`, `EINTR`.
    #[inline(never)]
    pub(crate) fn merged(m: &Mounter<'_>, ms: &MountState, dir: &OvlDentry) -> Result<Arc<Self>> {
        let inode = dir.object()?;
        if let Some(cache) = inode.dir_cache() {
            if !cache.is_stale(inode) && cache.add_reader() {
                return Ok(cache);
            }
        }
        let names = read_merged(m, ms, dir, true)?.finish()?;
        let cache = Self::new(inode.version(), 1, Content::Merged(names))?;
        inode.set_dir_cache(Some(cache.clone()));
        Ok(cache)
    }

    /// Counts one more reader; false if this is no list of a merged directory.
    fn add_reader(&self) -> bool {
        let readers = self.readers.load(Relaxed);
        if readers == 0 {
            return false;
        }
        self.readers.store(readers.saturating_add(1), Relaxed);
        true
    }

    /// A reader of [`Self::merged`] is done with it. After the last one it is forgotten.
    pub(crate) fn end_reader(cache: Arc<Self>, dir: &OvlInode) {
        let left = cache.readers.load(Relaxed).saturating_sub(1);
        cache.readers.store(left, Relaxed);
        if left > 0 {
            return;
        }
        dir.forget_dir_cache(&cache);
    }

    /// The entries of an impure directory that was read, if it did not change since.
    pub(crate) fn impure(dir: &OvlInode) -> Option<Arc<Self>> {
        dir.dir_cache().filter(|cache| !cache.is_stale(dir))
    }

    /// Keeps `names` as the entries of an impure directory.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn keep_impure(dir: &OvlInode, names: Collected) -> Result<Arc<Self>> {
        let cache = Self::new(dir.version(), 0, Content::Impure(names))?;
        dir.set_dir_cache(Some(cache.clone()));
        Ok(cache)
    }

    /// Runs `f` on the names of a merged directory.
    ///
    /// # Errors
    ///
    /// `EIO` if this is not such a cache or the directory is not locked; those of `f`.
    pub(crate) fn with_merged(&self, f: impl FnOnce(&mut Merged) -> Result) -> Result {
        self.with_content(|content| match content {
            Content::Merged(names) => f(names),
            Content::Impure(_) => Err(EIO),
        })
    }

    /// Runs `f` on the entries of an impure directory.
    ///
    /// # Errors
    ///
    /// As [`Self::with_merged`].
    pub(crate) fn with_impure(&self, f: impl FnOnce(&Collected) -> Result) -> Result {
        self.with_content(|content| match content {
            Content::Impure(names) => f(names),
            Content::Merged(_) => Err(EIO),
        })
    }

    /// Takes the content out for the time of `f`, which may sleep.
    fn with_content(&self, f: impl FnOnce(&mut Content) -> Result) -> Result {
        let mut content = self.content.lock().take().ok_or(EIO)?;
        let result = f(&mut content);
        *self.content.lock() = Some(content);
        result
    }
}

/// Storage with room for the names of a small directory. Without memory it has none: the first name
/// will tell.
fn storage<T>(room: usize) -> KVVec<T> {
    KVVec::with_capacity(room, GFP_KERNEL).unwrap_or_else(|_| KVVec::new())
}

/// An empty collection.
pub(crate) fn collection() -> Collected {
    collection_with(KVVec::new())
}

/// An empty collection, of which `order` will have the positions.
fn collection_with(order: KVVec<u32>) -> Collected {
    Names::new(
        storage(FEW),
        storage(FEW.saturating_mul(SHORT)),
        // More names than a few have a table.
        KVVec::new(),
        order,
        || [random::next_u64(), random::next_u64()],
    )
}

/// A name is case-folded into this before it is compared with those of other layers.
struct Folder(KVec<u8>);

impl Folder {
    /// For a mount whose layers fold case.
    fn new() -> Result<Self> {
        Ok(Self(KVec::from_elem(0, NAME_ROOM, GFP_KERNEL)?))
    }

    /// The folded form of a name in `layer`; `None` if the name is compared as it is.
    fn fold(&mut self, layer: RealPath<'_>, name: &[u8]) -> Option<&[u8]> {
        if is_dots(name) {
            return None;
        }
        let len = layer.dentry().sb().casefold(name, &mut self.0)?;
        self.0.get(..len)
    }
}

/// Reads a merged directory, layer by layer.
struct MergedReader<'a> {
    m: &'a Mounter<'a>,
    space: Space,
    /// The directory may hold entries that were copied up.
    impure: bool,
    /// The layers fold case.
    folder: Option<Folder>,
    names: Collected,
}

/// What a layer brings into a merged directory.
#[derive(Clone, Copy)]
struct Part<'a> {
    path: RealPath<'a>,
    is_upper: bool,
    /// An empty regular file may be a whiteout in xattr form.
    xwhiteouts: bool,
    /// There is none below, and names get positions.
    lowest: bool,
}

impl MergedReader<'_> {
    fn read(&mut self, part: Part<'_>) -> Result {
        self.names.start_layer(part.lowest);
        let dir = part.path.open(self.m, O_RDONLY | O_LARGEFILE)?;
        let of_names = self.flags(part, false, false);
        read_dir(self.m, &dir, &mut |entry| {
            let flags = match entry.name {
                b"." => self.flags(part, true, false),
                b".." => self.flags(part, false, true),
                _ => of_names,
            };
            self.add(part, &entry, flags)?;
            Ok(true)
        })?;
        self.find_whiteouts(part.path)
    }

    /// What is known about a name of a layer, whatever it is.
    fn flags(&self, part: Part<'_>, is_dot: bool, is_dotdot: bool) -> Flags {
        let facts = EntryFacts {
            is_dot,
            is_dotdot,
            is_upper: part.is_upper,
            dir_is_impure: self.impure,
        };
        Flags::NONE
            .with_if(part.is_upper, Flags::UPPER)
            .with_if(defers_entry_ino(self.space, facts), Flags::INO_PENDING)
    }

    fn add(&mut self, part: Part<'_>, entry: &DirEntry<'_>, flags: Flags) -> Result {
        let may_be_xwhiteout = part.xwhiteouts && entry.dtype == FileType::Regular.to_dtype();
        let key = match &mut self.folder {
            Some(folder) => folder.fold(part.path, entry.name),
            None => None,
        };
        self.names.insert(&NewName {
            name: entry.name,
            key,
            kind: entry.dtype,
            ino: entry.ino,
            flags: flags.with_if(may_be_xwhiteout, Flags::CHECK_XWHITEOUT),
        })?;
        Ok(())
    }

    /// Looks at each character device that the layer added: it may be a whiteout.
    ///
    /// One that cannot be looked at stays a name; the lookup of that name will tell.
    fn find_whiteouts(&mut self, layer: RealPath<'_>) -> Result {
        let mut last = None;
        while let Some(suspect) = self.names.next_suspect(last) {
            let id = suspect.id;
            last = Some(id);
            match layer.lookup_positive_killable(self.m, suspect.name) {
                Ok(object) if object.positive()?.is_whiteout_device() => {
                    self.names.set_whiteout(id);
                }
                Err(EINTR) => return Err(EINTR),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// Reads all layers of a directory, from the top down. The directory is locked. `ordered`: the names
/// get positions.
///
/// # Errors
///
/// Those of the layers, `ENOMEM`, `EINTR`.
fn read_merged(
    m: &Mounter<'_>,
    ms: &MountState,
    dir: &OvlDentry,
    ordered: bool,
) -> Result<Collected> {
    let inode = dir.object()?;
    let mut lowers = inode.lowers();
    let mut reader = MergedReader {
        m,
        space: ms.space(),
        impure: inode.flag(ObjFlag::Impure),
        folder: if ms.casefold {
            Some(Folder::new()?)
        } else {
            None
        },
        names: if ordered {
            collection_with(storage(FEW))
        } else {
            collection()
        },
    };
    if let Some(path) = inode.upper_path(ms) {
        reader.read(Part {
            path,
            is_upper: true,
            xwhiteouts: false,
            lowest: ordered && lowers.is_empty(),
        })?;
    }
    while let Some((lower, below)) = lowers.split_first() {
        let layer = ms.layer(lower.layer()).ok_or(EIO)?;
        reader.read(Part {
            path: layer.path(lower.dentry().ok_or(EIO)?),
            is_upper: false,
            xwhiteouts: layer.has_xwhiteouts() && dir.has_xwhiteouts(),
            lowest: ordered && below.is_empty(),
        })?;
        lowers = below;
    }
    Ok(reader.names)
}

/// Reads one real directory as it is.
///
/// # Errors
///
/// Those of its file system, `ENOMEM`.
#[inline(never)]
pub(crate) fn read_plain(m: &Mounter<'_>, dir: RealPath<'_>) -> Result<Collected> {
    let file = dir.open(m, O_RDONLY | O_LARGEFILE)?;
    let mut names = collection();
    read_dir(m, &file, &mut |entry| {
        names.insert(&NewName {
            name: entry.name,
            key: None,
            kind: entry.dtype,
            ino: entry.ino,
            flags: Flags::NONE,
        })?;
        Ok(true)
    })?;
    Ok(names)
}

/// The names in a real directory.
pub(crate) struct NameList(Collected);

impl NameList {
    /// The names, without `.` and `..`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.0.iter().filter(|view| !view.is_dots());
        names.map(|view| view.name)
    }
}

/// Reads the names in a real directory.
///
/// # Errors
///
/// As [`read_plain`].
pub(crate) fn list_names(m: &Mounter<'_>, dir: RealPath<'_>) -> Result<NameList> {
    Ok(NameList(read_plain(m, dir)?))
}

/// Whether the file system tells what an entry is while listing it. A directory with nothing in it
/// leaves that open, which counts as no.
///
/// # Errors
///
/// Those of the directory's file system.
pub(crate) fn d_type_supported(m: &Mounter<'_>, dir: RealPath<'_>) -> Result<bool> {
    let file = dir.open(m, O_RDONLY | O_LARGEFILE)?;
    let mut supported = false;
    read_dir(m, &file, &mut |entry| {
        // These two have a type even where nothing else has.
        supported = !is_dots(entry.name) && entry.dtype != DT_UNKNOWN;
        Ok(!supported)
    })?;
    Ok(supported)
}

/// The whiteouts in the upper part of a directory that shows no entry.
///
/// They have to go before the upper part can be removed.
pub(crate) struct Whiteouts(Option<KBox<Collected>>);

impl Whiteouts {
    /// None at all.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// There is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

fn is_upper_whiteout(view: &View<'_>) -> bool {
    view.is_whiteout() && view.flags.contains(Flags::UPPER)
}

/// Checks that a directory shows no entry. The directory is locked.
///
/// # Errors
///
/// `ENOTEMPTY`; those of the layers, `ENOMEM`, `EINTR`.
#[inline(never)]
pub(crate) fn check_empty(dir: &OvlDentry) -> Result<Whiteouts> {
    let ms = MountState::of(dir.super_());
    let names = ms.with_mounter(|m| read_merged(m, ms, dir, false))?;
    let mut whiteouts = false;
    for view in names.iter() {
        if !view.is_whiteout() && !view.is_dots() {
            return Err(ENOTEMPTY);
        }
        whiteouts |= is_upper_whiteout(&view);
    }
    Ok(match whiteouts {
        true => Whiteouts(Some(KBox::new(names, GFP_KERNEL)?)),
        false => Whiteouts::none(),
    })
}

/// Removes the whiteouts of `list` from `upper`, a directory that is about to be removed. What
/// cannot be removed is logged, and makes the removal of the directory fail.
pub(crate) fn cleanup_whiteouts(
    ms: &MountState,
    m: &Mounter<'_>,
    w: &UpperWrite<'_>,
    upper: &Upper<Dentry>,
    list: &Whiteouts,
) {
    let (Ok(mnt), Some(names)) = (ms.upper_mnt(), &list.0) else {
        return;
    };
    for view in names.iter().filter(is_upper_whiteout) {
        match upper.lookup(m, mnt, view.name) {
            Ok(whiteout) if !whiteout.is_negative() => {
                // Failures are logged there.
                let _ = temp::cleanup(ms, m, w, upper, &whiteout);
            }
            Ok(_) => {}
            Err(error) => err_limited!(
                "lookup '{}/{}' failed ({})\n",
                upper.log_name(),
                log::Name(view.name),
                error.to_errno()
            ),
        }
    }
}
