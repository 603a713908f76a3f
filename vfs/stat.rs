// SPDX-License-Identifier: GPL-2.0

//! Attributes of objects, on their way out (`kstat`), in (`iattr`), and of filesystems
//! (`kstatfs`).
//!
//! C headers: [`include/linux/stat.h`](srctree/include/linux/stat.h),
//! [`include/linux/statfs.h`](srctree/include/linux/statfs.h)

use super::{
    bindings,
    errno::to_result,
    inode::{
        Dev,
        FileType,
        Inode, //
    },
    mount::IdMap,
    own::{
        FileSystem,
        FsDentry, //
    },
};
use kernel::{
    alloc::KBox,
    prelude::*, //
};

/// Request mask of the classic stat(2) fields.
pub(crate) const STATX_BASIC_STATS: u32 = bindings::STATX_BASIC_STATS;
/// Request mask: access time.
pub(crate) const STATX_ATIME: u32 = bindings::STATX_ATIME;
/// Request mask: modification time.
pub(crate) const STATX_MTIME: u32 = bindings::STATX_MTIME;
/// Request mask: number of names.
pub(crate) const STATX_NLINK: u32 = bindings::STATX_NLINK;
/// Request mask: inode number.
pub(crate) const STATX_INO: u32 = bindings::STATX_INO;
/// Request mask: allocated space.
pub(crate) const STATX_BLOCKS: u32 = bindings::STATX_BLOCKS;
/// Query flag: as stat(2) would.
pub(crate) const AT_STATX_SYNC_AS_STAT: u32 = bindings::AT_STATX_SYNC_AS_STAT;

/// A `struct kstat`: 192 bytes, so it lives in a box or in the caller's frame and is filled in
/// place.
#[repr(transparent)]
pub(crate) struct Stat(bindings::kstat);

// SAFETY: a kstat is plain numbers.
unsafe impl Zeroable for Stat {}

impl Stat {
    /// An empty one, for the frame of a small function.
    #[inline(always)]
    pub(crate) const fn zeroed() -> Self {
        Self(pin_init::zeroed())
    }

    /// An empty one on the heap.
    pub(crate) fn boxed() -> Result<KBox<Self>> {
        KBox::init(pin_init::init_zeroed(), GFP_KERNEL)
    }

    /// Borrows a C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid and exclusive for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::kstat) -> &'a mut Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &mut *ptr.cast() }
    }

    /// The C structure.
    pub(super) fn as_raw(&self) -> &bindings::kstat {
        &self.0
    }

    /// The C structure, to be filled.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::kstat {
        &mut self.0
    }

    /// Access and modification time.
    pub(crate) fn times(&self) -> Times {
        Times {
            atime: self.0.atime,
            mtime: self.0.mtime,
        }
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u16 {
        self.0.mode
    }

    /// The type.
    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_mode(self.0.mode)
    }

    /// A directory?
    pub(crate) fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// Number of names.
    pub(crate) fn nlink(&self) -> u32 {
        self.0.nlink
    }

    /// Sets the number of names.
    pub(crate) fn set_nlink(&mut self, nlink: u32) {
        self.0.nlink = nlink;
    }

    /// Inode number.
    pub(crate) fn ino(&self) -> u64 {
        self.0.ino
    }

    /// Sets the inode number.
    pub(crate) fn set_ino(&mut self, ino: u64) {
        self.0.ino = ino;
    }

    /// Sets the device that holds the object.
    pub(crate) fn set_dev(&mut self, dev: u32) {
        self.0.dev = dev;
    }

    /// Device number of a device file.
    pub(crate) fn rdev(&self) -> Dev {
        Dev::from_raw(self.0.rdev)
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> i64 {
        self.0.size
    }

    /// Sets the size in bytes.
    pub(crate) fn set_size(&mut self, size: i64) {
        self.0.size = size;
    }

    /// Allocated space, in units of 512 bytes.
    pub(crate) fn blocks(&self) -> u64 {
        self.0.blocks
    }

    /// Replaces the allocated space.
    pub(crate) fn set_blocks(&mut self, blocks: u64) {
        self.0.blocks = blocks;
    }

    /// The space that data of this size takes up in whole blocks, in units of 512 bytes.
    pub(crate) fn blocks_of_size(&self) -> u64 {
        let size = u64::try_from(self.0.size).unwrap_or(0);
        let whole = size.checked_next_multiple_of(u64::from(self.0.blksize));
        whole.unwrap_or(size) >> 9
    }

    /// Takes the immutable and append-only attributes from `inode` (generic_fill_statx_attr()).
    pub(crate) fn fill_attr(&mut self, inode: &Inode) {
        // SAFETY: both are live.
        unsafe { bindings::generic_fill_statx_attr(inode.as_ptr(), self.as_mut_ptr()) };
    }

    /// Owner and group, so far those of the overlay inode `inode`, as the overlay's mount shows
    /// them.
    pub(crate) fn map_owner(&mut self, idmap: &IdMap, inode: &Inode) {
        // SAFETY: reads the idmap and the superblock's user namespace, both live.
        unsafe {
            bindings::kstat_map_owner(self.as_mut_ptr(), idmap.as_ptr(), inode.sb().as_ptr())
        };
    }
}

/// Which attributes an [`AttrChange`] or [`SetAttr`] carries (`ATTR_*` of include/linux/fs.h).
pub(crate) mod attr {
    use super::bindings;

    /// Permissions.
    pub(crate) const MODE: u32 = bindings::ATTR_MODE;
    /// Size.
    pub(crate) const SIZE: u32 = bindings::ATTR_SIZE;
    /// Drop the set-user-id bit.
    pub(crate) const KILL_SUID: u32 = bindings::ATTR_KILL_SUID;
    /// Drop the set-group-id bit.
    pub(crate) const KILL_SGID: u32 = bindings::ATTR_KILL_SGID;
    /// Comes from an open file.
    pub(crate) const FILE: u32 = bindings::ATTR_FILE;
    /// Comes from open(2) with O_TRUNC.
    pub(crate) const OPEN: u32 = bindings::ATTR_OPEN;
}

/// A change of attributes that we make ourselves.
pub(crate) struct SetAttr(bindings::iattr);

impl SetAttr {
    /// Changes nothing yet.
    pub(crate) fn new() -> Self {
        Self(pin_init::zeroed())
    }

    /// Sets type and permissions.
    pub(crate) fn mode(mut self, mode: u16) -> Self {
        self.0.ia_valid |= bindings::ATTR_MODE;
        self.0.ia_mode = mode;
        self
    }

    /// Sets the size in bytes.
    pub(crate) fn size(mut self, size: i64) -> Self {
        self.0.ia_valid |= bindings::ATTR_SIZE;
        self.0.ia_size = size;
        self
    }

    /// Sets owner and group to those of `stat`.
    pub(crate) fn owner_of(mut self, stat: &Stat) -> Self {
        self.0.ia_valid |= bindings::ATTR_UID | bindings::ATTR_GID;
        // SAFETY: writes two plain fields of `self`.
        unsafe { bindings::iattr_set_owner(&mut self.0, stat.0.uid, stat.0.gid) };
        self
    }

    /// Sets access and modification time to those of `stat`; the change time becomes now.
    pub(crate) fn times_of(self, stat: &Stat) -> Self {
        self.times(stat.times())
    }

    /// Sets access and modification time; the change time becomes now.
    pub(crate) fn times(mut self, times: Times) -> Self {
        self.0.ia_valid |= bindings::ATTR_ATIME
            | bindings::ATTR_MTIME
            | bindings::ATTR_ATIME_SET
            | bindings::ATTR_MTIME_SET
            | bindings::ATTR_CTIME;
        self.0.ia_atime = times.atime;
        self.0.ia_mtime = times.mtime;
        self
    }

    /// Drops the set-group-id bit, without further checks.
    pub(crate) fn kill_sgid(mut self) -> Self {
        self.0.ia_valid |= bindings::ATTR_KILL_SGID;
        self
    }

    /// The same change, as ->setattr would get it.
    pub(crate) fn as_change(&mut self) -> &mut AttrChange {
        // SAFETY: exclusive for as long as `self` is borrowed.
        unsafe { AttrChange::from_raw(&mut self.0) }
    }

    /// The C structure.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::iattr {
        &mut self.0
    }
}

/// The change of attributes that a caller asks for, in ->setattr.
#[repr(transparent)]
pub(crate) struct AttrChange(bindings::iattr);

impl AttrChange {
    /// Borrows a C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid and exclusive for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::iattr) -> &'a mut Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &mut *ptr.cast() }
    }

    /// The C structure.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::iattr {
        &mut self.0
    }

    /// Is any of these attributes ([`attr`]) changed?
    pub(crate) fn has(&self, mask: u32) -> bool {
        self.0.ia_valid & mask != 0
    }

    /// Leaves these attributes ([`attr`]) alone.
    pub(crate) fn remove(&mut self, mask: u32) {
        self.0.ia_valid &= !mask;
    }

    /// The checks of POSIX on `dentry` for the caller (setattr_prepare()). Needs the i_rwsem.
    pub(crate) fn prepare<F: FileSystem>(&mut self, idmap: &IdMap, dentry: &FsDentry<F>) -> Result {
        // SAFETY: all are live.
        to_result(unsafe {
            bindings::setattr_prepare(idmap.as_ptr(), dentry.as_raw(), self.as_mut_ptr())
        })
    }

    /// The owner ids are given as the overlay's mount shows them: makes them ids of the overlay
    /// inode `inode`.
    pub(crate) fn rebase_owner(&mut self, idmap: &IdMap, inode: &Inode) {
        // SAFETY: reads the idmap and the superblock's user namespace, both live.
        unsafe {
            bindings::iattr_unmap_owner(self.as_mut_ptr(), idmap.as_ptr(), inode.sb().as_ptr())
        };
    }
}

/// Access and modification time of an object.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    atime: bindings::timespec64,
    mtime: bindings::timespec64,
}

/// A `struct kstatfs`.
#[repr(transparent)]
pub(crate) struct StatFs(bindings::kstatfs);

impl StatFs {
    /// An empty one, for the frame of a small function.
    #[inline(always)]
    pub(crate) const fn zeroed() -> Self {
        Self(pin_init::zeroed())
    }

    /// Borrows a C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid and exclusive for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::kstatfs) -> &'a mut Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &mut *ptr.cast() }
    }

    /// The C structure.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::kstatfs {
        &mut self.0
    }

    /// Longest name, in bytes.
    pub(crate) fn name_len(&self) -> usize {
        usize::try_from(self.0.f_namelen).unwrap_or(0)
    }

    /// Sets the longest name, in bytes.
    pub(crate) fn set_name_len(&mut self, len: usize) {
        self.0.f_namelen = isize::try_from(len).unwrap_or(isize::MAX);
    }

    /// Sets the magic number of an overlay.
    pub(crate) fn set_overlay_magic(&mut self) {
        self.0.f_type = bindings::OVERLAYFS_SUPER_MAGIC as isize;
    }

    /// Sets the filesystem id to one made from `uuid`.
    pub(crate) fn set_id_from_uuid(&mut self, uuid: &[u8; 16]) {
        // SAFETY: reads 16 bytes, writes the id.
        unsafe { bindings::uuid_to_fsid(uuid.as_ptr(), (&raw mut self.0.f_fsid).cast()) };
    }
}

/// Flags of a file as chattr(1) sees them (`struct file_kattr`).
#[repr(transparent)]
pub(crate) struct FileAttr(bindings::file_kattr);

// SAFETY: a file_kattr is plain numbers and flags.
unsafe impl Zeroable for FileAttr {}

/// Flags of [`FileAttr`] (include/uapi/linux/fs.h).
pub(crate) mod fsflag {
    pub(crate) use super::bindings::{
        FS_APPEND_FL,
        FS_IMMUTABLE_FL,
        FS_NOATIME_FL,
        FS_SYNC_FL,
        FS_XFLAG_APPEND,
        FS_XFLAG_IMMUTABLE,
        FS_XFLAG_NOATIME,
        FS_XFLAG_SYNC, //
    };
}

impl FileAttr {
    /// Nothing set; to be filled by the classic flags.
    pub(crate) fn for_flags() -> Self {
        let mut attr: Self = pin_init::zeroed();
        attr.0.set_flags_valid(true);
        attr
    }

    /// Borrows a C structure.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid and exclusive for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::file_kattr) -> &'a mut Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &mut *ptr.cast() }
    }

    /// The C structure.
    pub(super) fn as_mut_ptr(&mut self) -> *mut bindings::file_kattr {
        &mut self.0
    }

    /// The ioctl(2) command that reads (or sets) this.
    pub(super) fn ioctl_command(&self, set: bool) -> u32 {
        match (self.0.fsx_valid(), set) {
            (false, false) => bindings::FS_IOC_GETFLAGS,
            (false, true) => bindings::FS_IOC_SETFLAGS,
            (true, false) => bindings::FS_IOC_FSGETXATTR,
            (true, true) => bindings::FS_IOC_FSSETXATTR,
        }
    }

    /// `FS_*_FL` flags.
    pub(crate) fn flags(&self) -> u32 {
        self.0.flags
    }

    /// Sets the `FS_*_FL` flags.
    pub(crate) fn set_flags(&mut self, flags: u32) {
        self.0.flags = flags;
    }

    /// `FS_XFLAG_*` flags.
    pub(crate) fn xflags(&self) -> u32 {
        self.0.fsx_xflags
    }

    /// Sets the `FS_XFLAG_*` flags.
    pub(crate) fn set_xflags(&mut self, flags: u32) {
        self.0.fsx_xflags = flags;
    }
}
