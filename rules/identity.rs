// SPDX-License-Identifier: GPL-2.0

//! Which device and inode numbers an object shows: `st_dev` and `st_ino`, the `d_ino` of a
//! directory entry, and the number of the overlay inode itself.
//!
//! Source of the facts: `ovl_get_layers` in `fs/overlayfs/super.c`, `ovl_getattr`,
//! `ovl_map_dev_ino` and `ovl_map_ino` in `fs/overlayfs/inode.c`, `ovl_calc_d_ino`,
//! `ovl_cache_update`, `ovl_remap_lower_ino` and `ovl_need_adjust_d_ino` in
//! `fs/overlayfs/readdir.c`; "Inode properties" in `Documentation/filesystems/overlayfs.rst`.
//!
//! Every file system below the overlay has a number, its `fsid`. 0 is the upper layer's, also on a
//! mount without one. With xino the highest bits of a 64-bit inode number hold the `fsid`, and the
//! lowest of these bits marks numbers that the overlay made up itself.

#![forbid(unsafe_code)]

use super::options::Xino;

/// How inode numbers of several file systems are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// All layers are on one file system: its numbers are unique as they are.
    SameFs,
    /// This many high bits of a number say which file system it is from.
    Xino {
        /// At least 2; the lowest of them marks the overlay's own numbers.
        bits: u32,
    },
    /// Every file system has its own device number.
    Pseudo,
}

impl Space {
    /// The bits that a number of 32 bits leaves free; used if all layers have such numbers.
    const BITS_INO32: u32 = 32;

    /// Decides for a mount.
    ///
    /// `filesystems` counts the different file systems of the layers, and one more for the upper
    /// layer if there is none; data-only layers do not count. `ino32`: no layer has inode numbers
    /// beyond 32 bits.
    pub(crate) fn choose(xino: Xino, filesystems: u32, has_upper: bool, ino32: bool) -> Self {
        let lower_only = if has_upper { 0 } else { 1 };
        let different = filesystems.saturating_sub(lower_only);
        if different == 1 {
            Self::SameFs
        } else if xino == Xino::Off {
            Self::Pseudo
        } else if ino32 {
            Self::Xino {
                bits: Self::BITS_INO32,
            }
        } else {
            let highest = filesystems.saturating_sub(1);
            let bits = highest.checked_ilog2().unwrap_or(0).saturating_add(2);
            Self::Xino { bits }
        }
    }

    /// All layers are on one file system.
    pub(crate) fn is_same_fs(self) -> bool {
        self == Self::SameFs
    }

    /// Every object shows the overlay's device, unless its number does not fit.
    pub(crate) fn is_same_dev(self) -> bool {
        self != Self::Pseudo
    }

    /// The number of high bits in use; 0 without xino.
    pub(crate) fn xino_bits(self) -> u32 {
        match self {
            Self::Xino { bits } => bits,
            Self::SameFs | Self::Pseudo => 0,
        }
    }

    /// The number of low bits that are left for the real number.
    fn shift(bits: u32) -> u32 {
        u64::BITS.saturating_sub(bits)
    }

    /// `ino` with `fsid` in its high bits; `None` if these are already in use.
    fn combine(bits: u32, ino: u64, fsid: u32) -> Option<u64> {
        let shift = Self::shift(bits);
        if ino.checked_shr(shift).unwrap_or(0) != 0 {
            return None;
        }
        // The lowest of the high bits stays free for the overlay's own numbers.
        let high = u64::from(fsid)
            .checked_shl(shift.saturating_add(1))
            .unwrap_or(0);
        Some(ino | high)
    }
}

/// The device an object shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dev {
    /// The overlay's own.
    Overlay,
    /// The one that the overlay reserved for this `fsid`.
    Pseudo(u32),
}

/// What `stat(2)` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StatId {
    /// `st_dev`.
    pub(crate) dev: Dev,
    /// `st_ino`.
    pub(crate) ino: u64,
    /// The real number needs the bits of xino; to be logged with `xino=on`.
    pub(crate) overflow: bool,
}

/// `st_dev` and `st_ino` of an object.
///
/// `real_ino` and `fsid` are those of the real object that [`use_origin`] chose, `inode_ino` is the
/// number of the overlay inode.
pub(crate) fn map_stat(
    space: Space,
    real_ino: u64,
    fsid: u32,
    is_dir: bool,
    inode_ino: u64,
) -> StatId {
    let mut overflow = false;
    let fitting = match space {
        Space::SameFs => Some(real_ino),
        Space::Xino { bits } => {
            let combined = Space::combine(bits, real_ino, fsid);
            overflow = combined.is_none();
            combined
        }
        Space::Pseudo => None,
    };
    let (dev, ino) = match fitting {
        Some(ino) => (Dev::Overlay, ino),
        // find -xdev must not stop at a directory, so that it stays on the overlay's device, and
        // needs a number that is unique there.
        None if is_dir => (Dev::Overlay, inode_ino),
        None => (Dev::Pseudo(fsid), real_ino),
    };
    StatId { dev, ino, overflow }
}

/// Whether `stat(2)` has to look for a lower object that decides the number: for directories it
/// does only if all objects are on one device.
pub(crate) fn asks_origin(space: Space, is_dir: bool) -> bool {
    !is_dir || space.is_same_dev()
}

/// Whether an object that was copied up shows the number of its lower origin.
///
/// Copies of one lower hard link are different objects, and so may be directories that are
/// redirected to one lower directory; they share its number only if the index proves that there is
/// just one. `indexed`: the object has an index entry. `verify_lower`: the mount checks origins
/// (`nfs_export` with an index). `lower_nlink`: link count of the origin.
pub(crate) fn use_origin(
    indexed: bool,
    verify_lower: bool,
    is_dir: bool,
    lower_nlink: u32,
) -> bool {
    indexed || (!verify_lower && (is_dir || lower_nlink == 1))
}

/// The number that an overlay inode gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InodeIno {
    /// This one, the same that `stat(2)` shows where possible.
    Real(u64),
    /// A new one from [`private_ino`]: the object is a directory whose real number may collide with
    /// that of another file system.
    Private,
}

/// The number of the overlay inode, from the real object that decides its identity.
pub(crate) fn map_inode(space: Space, real_ino: u64, fsid: u32, is_dir: bool) -> InodeIno {
    let fitting = match space {
        Space::SameFs => Some(real_ino),
        Space::Xino { bits } => Space::combine(bits, real_ino, fsid),
        Space::Pseudo => None,
    };
    match fitting {
        Some(ino) => InodeIno::Real(ino),
        None if is_dir => InodeIno::Private,
        None => InodeIno::Real(real_ino),
    }
}

/// A number that the overlay makes up: unique while the mount lives, not kept over a remount.
///
/// `count` is the next value of the mount's counter; overlayfs starts at 2 and leaves out 0.
pub(crate) fn private_ino(space: Space, count: u64) -> u64 {
    match space {
        Space::SameFs | Space::Pseudo => count,
        Space::Xino { bits } => {
            let low = u64::MAX.checked_shr(bits).unwrap_or(0);
            let own = 1u64.checked_shl(Space::shift(bits)).unwrap_or(0);
            (count & low) | own
        }
    }
}

/// The `d_ino` of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryIno {
    /// The number.
    pub(crate) ino: u64,
    /// The real number needs the bits of xino; to be logged with `xino=on`.
    pub(crate) overflow: bool,
}

/// The `d_ino` of an entry that is in a lower layer only, from the real one. `fsid` is that of the
/// layer.
pub(crate) fn map_lower_entry(space: Space, real_ino: u64, fsid: u32) -> EntryIno {
    let combined = match space {
        Space::Xino { bits } => Space::combine(bits, real_ino, fsid),
        Space::SameFs | Space::Pseudo => Some(real_ino),
    };
    EntryIno {
        ino: combined.unwrap_or(real_ino),
        overflow: combined.is_none(),
    }
}

/// What is known about an entry of a merged directory when it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EntryFacts {
    /// The entry is `.`.
    pub(crate) is_dot: bool,
    /// The entry is `..`.
    pub(crate) is_dotdot: bool,
    /// The entry is in the upper layer.
    pub(crate) is_upper: bool,
    /// The directory may hold entries that were copied up or moved here.
    pub(crate) dir_is_impure: bool,
}

/// Whether the `d_ino` of an entry has to be computed when it is emitted, instead of being the
/// real one.
pub(crate) fn defers_entry_ino(space: Space, entry: EntryFacts) -> bool {
    space.xino_bits() > 0
        || entry.is_dotdot
        || (entry.is_upper && (entry.is_dot || entry.dir_is_impure))
}

/// Where the `d_ino` of an entry comes from whose computation was deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntrySource {
    /// The real number.
    Real,
    /// The number that `stat(2)` shows.
    Stat,
    /// [`map_lower_entry`].
    Lower,
}

/// Decides the source of a deferred `d_ino`. `has_origin`: the object has an upper part and a known
/// lower origin whose number it keeps; `is_upper`: it has an upper part.
pub(crate) fn entry_source(space: Space, has_origin: bool, is_upper: bool) -> EntrySource {
    if !space.is_same_dev() {
        EntrySource::Real
    } else if has_origin {
        EntrySource::Stat
    } else if space.xino_bits() > 0 && !is_upper {
        EntrySource::Lower
    } else {
        EntrySource::Real
    }
}

/// Whether entries of a directory that is not merged need another `d_ino` than the real one, so
/// that it cannot be read straight from the layer. `impure`: the directory is in the upper layer
/// and may hold entries that were copied up; `parent_is_merged`: `..` is a merged directory.
pub(crate) fn adjusts_entries(space: Space, impure: bool, parent_is_merged: bool) -> bool {
    match space {
        Space::Xino { .. } => true,
        Space::SameFs => impure || parent_is_merged,
        Space::Pseudo => false,
    }
}
