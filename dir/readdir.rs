// SPDX-License-Identifier: GPL-2.0

//! Open directories: reading, seeking, flushing.
//!
//! A directory that is in one layer only is read straight from there. Where its inode numbers are
//! not the ones that `stat(2)` shows, they are replaced on the way. A merged directory is read from
//! the list in [`crate::overlay::dir_cache`], in which a position is an offset for `seekdir(3)`.
//!
//! # Locks
//!
//! Reading and seeking hold the directory's `i_rwsem` exclusively, so the reader's [`Cursor`] and
//! the directory's cache need no lock of their own. Layers are read with that lock held; an overlay
//! as a layer has locks of another class (see `Tables`). `fsync(2)` runs beside a reader.
//!
//! Source of the facts: `fs/overlayfs/readdir.c`.

#![forbid(unsafe_code)]

use kernel::{
    fs::File,
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

use crate::{
    overlay::{
        dir_cache::{
            collection,
            read_plain,
            Collected,
            DirCache,
            Merged, //
        },
        mount::MountState,
        object::ObjFlag,
        OvlDentry,
        OvlFile,
        OvlInode, //
    },
    rules::{
        identity::{
            adjusts_entries,
            entry_source,
            map_lower_entry,
            EntrySource, //
        },
        merge::{
            Flags,
            NewName,
            View, //
        },
    },
    vfs::{
        cred::Mounter,
        dir_context::{
            iterate_straight,
            iterate_through,
            Emit, //
        },
        file::{
            self,
            oflags::{
                O_LARGEFILE,
                O_RDONLY, //
            },
            FileSlot,
            SEEK_CUR,
            SEEK_SET, //
        },
        log::{
            self,
            warn_limited, //
        },
        mount::RealPath,
        stat::{
            Stat,
            STATX_INO, //
        },
    },
    xattr,
};

/// An open directory: what is set when it is opened.
pub(crate) struct OpenDir {
    /// The real directory it was opened on: the upper one, or the topmost lower.
    real: ARef<File>,
    /// The upper one, if the directory was copied up after it was opened.
    upper: FileSlot,
    /// `real` is in the upper layer.
    is_upper: bool,
}

/// An open directory: where its reader is.
pub(crate) struct Cursor {
    /// The list of a merged directory, from the first read on.
    cache: Option<Arc<DirCache>>,
    /// The directory is read straight from one layer.
    is_real: bool,
}

impl Cursor {
    /// The reader starts over: it shall see what changed.
    fn rewind(&mut self, inode: &OvlInode) {
        if self
            .cache
            .as_ref()
            .is_some_and(|cache| cache.is_stale(inode))
        {
            self.leave(inode);
        }
        // Copying a directory up merges it with what it was copied from. It stays merged.
        if !inode.is_real_dir() {
            self.is_real = false;
        }
    }

    /// Lets go of the list.
    fn leave(&mut self, inode: &OvlInode) {
        if let Some(cache) = self.cache.take() {
            DirCache::end_reader(cache, inode);
        }
    }
}

impl OpenDir {
    /// The real directory in the upper layer; `None` if there is none.
    fn upper_file(&self, dir: &OvlFile, ms: &MountState) -> Result<Option<&File>> {
        let Some(path) = dir.inode().upper_path(ms) else {
            return Ok(None);
        };
        if self.is_upper {
            return Ok(Some(&self.real));
        }
        if let Some(upper) = self.upper.get() {
            return Ok(Some(upper));
        }
        Ok(Some(self.upper.set(open_real(dir, ms, path)?)))
    }

    /// The directory may have entries that were copied up or moved here.
    ///
    /// Only an upper directory can; one that was opened on a lower layer may have been copied up
    /// since, but is still read from there.
    fn is_impure(&self, inode: &OvlInode) -> bool {
        self.is_upper && inode.flag(ObjFlag::Impure)
    }
}

fn open_real(dir: &OvlFile, ms: &MountState, path: RealPath<'_>) -> Result<ARef<File>> {
    let flags = O_RDONLY | dir.flags() & O_LARGEFILE;
    ms.with_mounter(|m| path.open(m, flags))
}

/// Opens a directory.
///
/// # Errors
///
/// `ENOMEM`; those of the mounter's permission on the real directory and of its file system.
pub(crate) fn open(inode: &OvlInode, dir: &OvlFile) -> Result<(OpenDir, Cursor)> {
    let ms = MountState::of(inode.super_());
    let kind = inode.path_kind();
    let real = open_real(dir, ms, inode.real_path(ms)?)?;
    let open = OpenDir {
        real,
        upper: FileSlot::new(),
        is_upper: kind.upper,
    };
    let cursor = Cursor {
        cache: None,
        is_real: !kind.merge && inode.is_real_dir(),
    };
    Ok((open, cursor))
}

/// Closes a directory.
pub(crate) fn release(inode: &OvlInode, open: OpenDir, mut cursor: Cursor) {
    if cursor.cache.is_some() {
        let _locked = inode.lock_exclusive();
        cursor.leave(inode);
    }
    drop(open);
}

/// Gives the caller the next entries. The directory is locked exclusively.
///
/// # Errors
///
/// Those of the layers, `ENOMEM`, `EINTR`.
pub(crate) fn iterate(
    dir: &OvlFile,
    open: &OpenDir,
    cursor: &mut Cursor,
    out: &mut Emit<'_>,
) -> Result {
    let inode = dir.inode();
    let ms = MountState::of(inode.super_());
    if out.pos() == 0 {
        cursor.rewind(inode);
    }
    ms.with_mounter(|m| {
        if !cursor.is_real {
            iterate_merged(m, ms, dir, cursor, out)
        } else if translates(ms, dir, open) {
            iterate_translated(m, ms, dir, open, out)
        } else {
            iterate_straight(m, &open.real, out)
        }
    })
}

/// Seeks. The directory is locked exclusively.
///
/// # Errors
///
/// `EINVAL`; for a directory in one layer whatever its file system answers.
pub(crate) fn llseek(
    dir: &OvlFile,
    open: &OpenDir,
    cursor: &mut Cursor,
    offset: i64,
    whence: i32,
) -> Result<i64> {
    let pos = dir.pos();
    if pos == 0 {
        cursor.rewind(dir.inode());
    }
    if cursor.is_real {
        let result = file::llseek(&open.real, offset, whence);
        dir.set_pos(file::pos(&open.real));
        return result;
    }
    let target = match whence {
        SEEK_SET => offset,
        SEEK_CUR => pos.checked_add(offset).ok_or(EINVAL)?,
        _ => return Err(EINVAL),
    };
    if target < 0 {
        return Err(EINVAL);
    }
    dir.set_pos(target);
    Ok(target)
}

/// Flushes the upper directory; there is nothing to flush in lower layers.
///
/// # Errors
///
/// Those of the upper file system; on a volatile mount that of an earlier write-back.
pub(crate) fn fsync(dir: &OvlFile, open: &OpenDir, start: i64, end: i64, datasync: bool) -> Result {
    let ms = MountState::of(dir.inode().super_());
    if !ms.sync_status()? {
        return Ok(());
    }
    match open.upper_file(dir, ms)? {
        Some(upper) => file::fsync_range(upper, start, end, datasync),
        None => Ok(()),
    }
}

/// The parent of `dir` is merged.
fn parent_is_merged(dir: &OvlFile) -> bool {
    // Holding the directory's lock does not keep it from being moved: the parent needs a count.
    dir.dentry().parent().path_kind().merge
}

/// Whether inode numbers of a directory in one layer have to be replaced.
fn translates(ms: &MountState, dir: &OvlFile, open: &OpenDir) -> bool {
    let impure = open.is_impure(dir.inode());
    // The parent is asked for only where it matters.
    adjusts_entries(ms.space(), impure, true)
        && (adjusts_entries(ms.space(), impure, false) || parent_is_merged(dir))
}

/// The inode number that `stat(2)` shows for an object in, or above, an open directory.
///
/// A function of its own, so that others do without its stack frame.
#[inline(never)]
fn shown_ino(dir: &OvlFile, dentry: &OvlDentry) -> Result<u64> {
    let mut stat = Stat::zeroed();
    dir.getattr_via(dentry, &mut stat, STATX_INO)?;
    Ok(stat.ino())
}

/// The inode number to show for an entry that is in a lower layer only.
fn lower_ino(ms: &MountState, name: &[u8], real_ino: u64, fsid: u32) -> u64 {
    let mapped = map_lower_entry(ms.space(), real_ino, fsid);
    if mapped.overflow && ms.xino_warn() {
        warn_limited!(
            "d_ino too big ({}, ino={}, xinobits={})\n",
            log::Name(name),
            real_ino,
            ms.space().xino_bits()
        );
    }
    mapped.ino
}

/// What a look at an entry's object brought.
enum Found {
    /// There is none: it was removed, or hidden by a whiteout in xattr form.
    Nothing,
    /// It has this inode number.
    Ino(u64),
}

/// Looks up an entry of an open directory, for its inode number, or for whether it is there at all.
///
/// # Errors
///
/// Those of the lookup and of `stat(2)`; they are logged.
#[inline(never)]
fn look_up(m: &Mounter<'_>, ms: &MountState, dir: &OvlFile, entry: &View<'_>) -> Result<Found> {
    let wants_ino = entry.flags.contains(Flags::INO_PENDING);
    let may_be_hidden = entry.flags.contains(Flags::CHECK_XWHITEOUT);
    if !ms.same_dev() && !may_be_hidden {
        return Ok(Found::Ino(entry.ino));
    }
    let result = (|| {
        let object = match entry.name {
            b"." => ARef::from(dir.dentry()),
            b".." => dir.dentry().parent(),
            name => dir.lookup_child(m, name)?,
        };
        let Some(inode) = object.inode() else {
            return Ok(Found::Nothing);
        };
        if !wants_ino {
            return Ok(Found::Ino(entry.ino));
        }
        let kind = inode.path_kind();
        let ino = match entry_source(ms.space(), kind.origin, kind.upper) {
            EntrySource::Real => entry.ino,
            EntrySource::Stat => shown_ino(dir, &object)?,
            EntrySource::Lower => lower_ino(ms, entry.name, entry.ino, inode.lower_fsid(ms)?),
        };
        Ok(Found::Ino(ino))
    })();
    if let Err(error) = &result {
        let error: &Error = error;
        warn_limited!(
            "failed to look up ({}) for ino ({})\n",
            log::Name(entry.name),
            error.to_errno()
        );
    }
    result
}

/// Gives the caller the next entries of a merged directory.
#[inline(never)]
fn iterate_merged(
    m: &Mounter<'_>,
    ms: &MountState,
    dir: &OvlFile,
    cursor: &mut Cursor,
    out: &mut Emit<'_>,
) -> Result {
    let cache = match &mut cursor.cache {
        Some(cache) => cache,
        none => none.insert(DirCache::merged(m, ms, dir.dentry())?),
    };
    cache.with_merged(|names| emit_merged(m, ms, dir, names, out))
}

/// Gives the caller entries of `names` from its position on, until it has enough.
///
/// An entry whose object cannot be looked up is shown like any other, with its real inode number:
/// it is not absent, and whoever looks at it is told what is wrong with it. (In-tree the call ends
/// there, and from then on the entry is hidden.)
///
/// # Errors
///
/// `ENOMEM`, `EINTR` of [`look_up`]: the next call goes on with the same entry.
#[inline(never)]
fn emit_merged(
    m: &Mounter<'_>,
    ms: &MountState,
    dir: &OvlFile,
    names: &mut Merged,
    out: &mut Emit<'_>,
) -> Result {
    while let Some(entry) = emit_known(names, out)? {
        let id = entry.id;
        let ino = match look_up(m, ms, dir, &entry) {
            Ok(Found::Nothing) => {
                names.set_whiteout(id);
                continue;
            }
            Ok(Found::Ino(ino)) => ino,
            Err(error) if is_passing(error) => return Err(error),
            Err(_) => entry.ino,
        };
        names.set_ino(id, ino);
        names.set_checked(id);
    }
    Ok(())
}

/// Gives the caller entries of `names` up to one that has to be looked up, and returns that; `None`:
/// there is no other, or the caller has enough.
#[inline(never)]
fn emit_known<'n>(names: &'n Merged, out: &mut Emit<'_>) -> Result<Option<View<'n>>> {
    for entry in names.iter_from(u64::try_from(out.pos()).map_err(|_| EINVAL)?) {
        if entry.needs_update() {
            return Ok(Some(entry));
        }
        if !entry.is_whiteout() && !out.emit(entry.name, entry.ino, entry.kind) {
            return Ok(None);
        }
        out.set_pos(entry.id.next_position());
    }
    Ok(None)
}

/// The error says nothing about the object: the next try may succeed.
fn is_passing(error: Error) -> bool {
    error == ENOMEM || error == EINTR
}

/// The entries of an impure directory that show another inode number than the real one.
///
/// `None` if there is none. That the directory was ever impure is then forgotten, so that it is read
/// straight from its layer the next time.
///
/// # Errors
///
/// Those of the upper layer, of [`look_up`], and `ENOMEM`.
#[inline(never)]
fn impure_entries(
    m: &Mounter<'_>,
    ms: &MountState,
    dir: &OvlFile,
) -> Result<Option<Arc<DirCache>>> {
    let inode = dir.inode();
    if let Some(cache) = DirCache::impure(inode) {
        return Ok(Some(cache));
    }
    inode.set_dir_cache(None);
    let changed = changed_entries(m, ms, dir)?;
    if changed.len() == 0 {
        forget_impure(m, ms, inode);
        return Ok(None);
    }
    Ok(Some(DirCache::keep_impure(inode, changed)?))
}

/// Reads an upper directory and looks up each entry; returns those whose inode number is another
/// than the real one.
#[inline(never)]
fn changed_entries(m: &Mounter<'_>, ms: &MountState, dir: &OvlFile) -> Result<Collected> {
    let path = dir.inode().upper_path(ms).ok_or(EIO)?;
    let all = read_plain(m, path)?;
    let mut changed = collection();
    for mut entry in all.iter() {
        if entry.is_dots() {
            continue;
        }
        entry.flags = entry.flags.with(Flags::INO_PENDING);
        match look_up(m, ms, dir, &entry)? {
            Found::Ino(ino) if ino != entry.ino => {
                keep(&mut changed, &entry, ino)?;
            }
            Found::Ino(_) | Found::Nothing => {}
        }
    }
    Ok(changed)
}

/// Adds `entry` to `names`, with the inode number `ino`.
#[inline(never)]
fn keep(names: &mut Collected, entry: &View<'_>, ino: u64) -> Result {
    names.insert(&NewName {
        name: entry.name,
        key: None,
        kind: entry.kind,
        ino,
        flags: Flags::NONE,
    })?;
    Ok(())
}

/// Takes the mark from a directory that has no entry left which made it impure. The xattr in the
/// upper layer may stay: it is only looked at when the inode is made.
fn forget_impure(m: &Mounter<'_>, ms: &MountState, inode: &OvlInode) {
    if let (Ok(write), Some(upper)) = (ms.want_write(), inode.upper()) {
        let _ = write.remove_xattr(m, upper, ms.xattr(xattr::Name::Impure));
    }
    inode.clear_flag(ObjFlag::Impure);
}

/// Gives the caller the next entries of a directory in one layer, with other inode numbers where
/// those of the layer are not the ones to show.
#[inline(never)]
fn iterate_translated(
    m: &Mounter<'_>,
    ms: &MountState,
    dir: &OvlFile,
    open: &OpenDir,
    out: &mut Emit<'_>,
) -> Result {
    let inode = dir.inode();
    let fsid = match inode.lowers().first() {
        Some(_) if ms.space().xino_bits() > 0 => inode.lower_fsid(ms)?,
        Some(_) | None => 0,
    };
    let parent = dir.dentry().parent();
    let parent_ino = if parent.path_kind().merge {
        Some(shown_ino(dir, &parent)?)
    } else {
        None
    };
    drop(parent);

    let changed = if open.is_impure(inode) {
        impure_entries(m, ms, dir)?
    } else {
        None
    };
    let is_xino = ms.space().xino_bits() > 0;
    match changed {
        Some(cache) => cache.with_impure(|changed| {
            iterate_through(m, &open.real, out, &mut |entry| match parent_ino {
                Some(ino) if entry.name == b".." => ino,
                _ => changed.find(entry.name).map_or(entry.ino, |view| view.ino),
            })
        }),
        None => iterate_through(m, &open.real, out, &mut |entry| match parent_ino {
            Some(ino) if entry.name == b".." => ino,
            _ if is_xino => lower_ino(ms, entry.name, entry.ino, fsid),
            _ => entry.ino,
        }),
    }
}
