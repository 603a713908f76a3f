// SPDX-License-Identifier: GPL-2.0

//! Inodes of any filesystem.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    bindings,
    errno::to_result,
    super_block::SuperBlock, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    sync::aref::AlwaysRefCounted,
    types::Opaque, //
};

/// File modes (`umode_t`), as include/uapi/linux/stat.h has them.
pub(crate) mod mode {
    /// Mask of the file type.
    pub(crate) const S_IFMT: u16 = 0o170000;
    /// Socket.
    pub(crate) const S_IFSOCK: u16 = 0o140000;
    /// Symbolic link.
    pub(crate) const S_IFLNK: u16 = 0o120000;
    /// Regular file.
    pub(crate) const S_IFREG: u16 = 0o100000;
    /// Block device.
    pub(crate) const S_IFBLK: u16 = 0o060000;
    /// Directory.
    pub(crate) const S_IFDIR: u16 = 0o040000;
    /// Character device.
    pub(crate) const S_IFCHR: u16 = 0o020000;
    /// FIFO.
    pub(crate) const S_IFIFO: u16 = 0o010000;
    /// Set group id on execution; inherit the group in a directory.
    pub(crate) const S_ISGID: u16 = 0o2000;
}

/// Inode flags (`i_flags`).
pub(crate) mod iflag {
    use super::bindings;

    /// Written through at once.
    pub(crate) const SYNC: u32 = bindings::S_SYNC;
    /// No access times.
    pub(crate) const NOATIME: u32 = bindings::S_NOATIME;
    /// Can only be appended to.
    pub(crate) const APPEND: u32 = bindings::S_APPEND;
    /// Cannot be changed.
    pub(crate) const IMMUTABLE: u32 = bindings::S_IMMUTABLE;
    /// A directory that has been removed.
    pub(crate) const DEAD: u32 = bindings::S_DEAD;
    /// A directory whose names are compared without case.
    pub(crate) const CASEFOLD: u32 = bindings::S_CASEFOLD;
}

/// What a permission check asks for (`MAY_*` of include/linux/fs.h).
pub(crate) mod may {
    use super::bindings;

    /// To write.
    pub(crate) const WRITE: i32 = bindings::MAY_WRITE as i32;
    /// To read.
    pub(crate) const READ: i32 = bindings::MAY_READ as i32;
    /// To execute, or to search.
    pub(super) const EXEC: i32 = bindings::MAY_EXEC as i32;
    /// To append.
    pub(crate) const APPEND: i32 = bindings::MAY_APPEND as i32;
    /// To open.
    pub(crate) const OPEN: i32 = bindings::MAY_OPEN as i32;
}

/// What an inode is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// FIFO.
    Fifo,
    /// Socket.
    Socket,
    /// None of these: a broken filesystem.
    Other,
}

impl FileType {
    /// From the type bits of a mode.
    pub(crate) const fn from_mode(mode: u16) -> Self {
        match mode & mode::S_IFMT {
            mode::S_IFREG => Self::Regular,
            mode::S_IFDIR => Self::Directory,
            mode::S_IFLNK => Self::Symlink,
            mode::S_IFCHR => Self::CharDevice,
            mode::S_IFBLK => Self::BlockDevice,
            mode::S_IFIFO => Self::Fifo,
            mode::S_IFSOCK => Self::Socket,
            _ => Self::Other,
        }
    }

    /// The `d_type` that readdir shows (`DT_*`, include/linux/fs_types.h).
    pub(crate) const fn to_dtype(self) -> u8 {
        match self {
            Self::Fifo => 1,
            Self::CharDevice => 2,
            Self::Directory => 4,
            Self::BlockDevice => 6,
            Self::Regular => 8,
            Self::Symlink => 10,
            Self::Socket => 12,
            Self::Other => 0,
        }
    }

    /// Device, FIFO or socket.
    pub(crate) const fn is_special(self) -> bool {
        matches!(
            self,
            Self::CharDevice | Self::BlockDevice | Self::Fifo | Self::Socket
        )
    }
}

/// A device number (`dev_t` of the kernel: 12 bits major, 20 bits minor).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Dev(u32);

impl Dev {
    /// 0:0, the device number of a whiteout, and of everything that is no device.
    pub(crate) const WHITEOUT: Self = Self(0);

    /// From the kernel's representation.
    pub(crate) const fn from_raw(dev: u32) -> Self {
        Self(dev)
    }

    /// The kernel's representation.
    pub(crate) const fn to_raw(self) -> u32 {
        self.0
    }
}

/// A `struct inode` of any filesystem.
///
/// # Invariants
///
/// Whoever holds a `&Inode` keeps its reference count above zero for that long.
#[repr(transparent)]
pub(crate) struct Inode(Opaque<bindings::inode>);

// SAFETY: ihold() and iput() may be called from any thread.
unsafe impl Send for Inode {}
// SAFETY: what `&Inode` offers reads single words or is synchronised in C.
unsafe impl Sync for Inode {}

// SAFETY: ihold() and iput() own the count of an inode.
unsafe impl AlwaysRefCounted for Inode {
    fn inc_ref(&self) {
        // SAFETY: a shared reference means that the count is not zero.
        unsafe { bindings::ihold(self.as_ptr()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: the caller gives a count back.
        unsafe { bindings::iput(obj.cast().as_ptr()) };
    }
}

/// Reads one field of a live inode that others may write: no reference, one access.
macro_rules! read_field {
    ($inode:expr, $($field:tt)+) => {{
        // SAFETY: the inode is alive; projecting a field does not read.
        let field = unsafe { &raw const (*$inode.as_ptr()).$($field)+ };
        // SAFETY: one aligned word; racing writers store whole words (READ_ONCE()).
        unsafe { field.read_volatile() }
    }};
}

impl Inode {
    /// Borrows a C inode.
    ///
    /// # Safety
    ///
    /// `ptr` must be valid, with a count that is held for `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut bindings::inode) -> &'a Self {
        // SAFETY: the type is transparent; the caller proves the rest.
        unsafe { &*ptr.cast() }
    }

    /// The C inode.
    pub(super) fn as_ptr(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// Type and permissions.
    pub(crate) fn mode(&self) -> u16 {
        read_field!(self, i_mode)
    }

    /// The type.
    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_mode(self.mode())
    }

    /// A directory?
    pub(crate) fn is_dir(&self) -> bool {
        self.file_type() == FileType::Directory
    }

    /// A regular file?
    pub(crate) fn is_reg(&self) -> bool {
        self.file_type() == FileType::Regular
    }

    /// A character device 0:0?
    pub(crate) fn is_whiteout_device(&self) -> bool {
        self.file_type() == FileType::CharDevice && self.rdev() == Dev::WHITEOUT
    }

    /// Inode number.
    pub(crate) fn ino(&self) -> u64 {
        read_field!(self, i_ino)
    }

    /// Number of names.
    pub(crate) fn nlink(&self) -> u32 {
        // SAFETY: the inode is alive; projecting a field does not read.
        let union = unsafe { &raw const (*self.as_ptr()).__bindgen_anon_1 };
        // A union of two views of one word.
        let nlink = union.cast::<u32>();
        // SAFETY: one aligned word; racing writers store whole words (READ_ONCE()).
        unsafe { nlink.read_volatile() }
    }

    /// Device number of a device file.
    pub(crate) fn rdev(&self) -> Dev {
        Dev(read_field!(self, i_rdev))
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> i64 {
        // SAFETY: the inode is alive.
        unsafe { bindings::i_size_read(self.as_ptr()) }
    }

    /// Flags, see [`iflag`].
    pub(crate) fn flags(&self) -> u32 {
        read_field!(self, i_flags)
    }

    /// Append-only?
    pub(crate) fn is_append(&self) -> bool {
        self.flags() & iflag::APPEND != 0
    }

    /// A removed directory?
    pub(crate) fn is_dead_dir(&self) -> bool {
        self.flags() & iflag::DEAD != 0
    }

    /// The superblock.
    pub(crate) fn sb(&self) -> &SuperBlock {
        // SAFETY: i_sb never changes and an inode does not outlive its superblock.
        let sb = unsafe { (*self.as_ptr()).i_sb };
        // SAFETY: as above.
        unsafe { SuperBlock::from_raw(sb) }
    }

    /// Does its filesystem list extended attributes?
    pub(crate) fn has_listxattr(&self) -> bool {
        // SAFETY: i_op is set before an inode is published and never null.
        let ops = unsafe { (*self.as_ptr()).i_op };
        // SAFETY: operation tables are static.
        unsafe { (*ops).listxattr }.is_some()
    }

    /// Has its filesystem POSIX ACLs?
    pub(crate) fn has_posix_acl(&self) -> bool {
        self.sb().has_posix_acl()
    }

    /// Is it known that it has no ACL?
    pub(crate) fn is_without_acl(&self) -> bool {
        // SAFETY: the inode is alive.
        unsafe { is_without_acl(self.as_ptr()) }
    }

    /// Can its filesystem set POSIX ACLs?
    pub(crate) fn has_set_acl_op(&self) -> bool {
        // SAFETY: i_op is set before an inode is published and never null.
        let ops = unsafe { (*self.as_ptr()).i_op };
        // SAFETY: operation tables are static.
        unsafe { (*ops).set_acl }.is_some()
    }

    /// Counts one more writer.
    ///
    /// # Errors
    ///
    /// `ETXTBSY` if the file is being executed.
    pub(crate) fn write_access(&self) -> Result<WriterCount<'_>> {
        // SAFETY: the inode is alive.
        to_result(unsafe { bindings::get_write_access(self.as_ptr()) })?;
        Ok(WriterCount { inode: self })
    }

    /// The same inode?
    pub(crate) fn ptr_eq(&self, other: &Inode) -> bool {
        core::ptr::eq(self, other)
    }

    /// Marks a directory as upper or work directory of a mount. False if it is marked already.
    pub(crate) fn inuse_trylock(&self) -> bool {
        // SAFETY: the inode is alive; takes i_lock.
        unsafe { bindings::inode_inuse_trylock(self.as_ptr()) }
    }

    /// Takes the mark of [`Inode::inuse_trylock`] away.
    pub(crate) fn inuse_unlock(&self) {
        // SAFETY: the inode is alive; takes i_lock.
        unsafe { bindings::inode_inuse_unlock(self.as_ptr()) };
    }

    /// Is it the upper or work directory of a mount?
    pub(crate) fn is_inuse(&self) -> bool {
        // SAFETY: the inode is alive.
        unsafe { bindings::inode_is_inuse(self.as_ptr()) }
    }
}

/// Is it known that the inode has no ACL? (no_acl_inode() in `fs/namei.c`)
///
/// # Safety
///
/// The memory of `inode` must not be freed meanwhile.
pub(super) unsafe fn is_without_acl(inode: *mut bindings::inode) -> bool {
    // SAFETY: projecting a field of an inode whose memory stays.
    let acl = unsafe { &raw const (*inode).i_acl };
    // SAFETY: one aligned word that others store whole; only compared. Null says that there is none,
    // other values that it is not known (include/linux/posix_acl.h).
    unsafe { acl.read_volatile() }.is_null()
}

/// Do these permissions give everyone the access (`MAY_*`)?
pub(crate) fn gives_everyone(mode: u16, mask: i32) -> bool {
    const ALL: i32 = may::READ | may::WRITE | may::EXEC;
    // The same for the owner, the group and the others.
    let wanted = (mask & ALL).wrapping_mul(0o111);
    wanted & !i32::from(mode) == 0
}

/// The file counts as open for writing until this is dropped.
#[must_use = "the writer is counted until this is dropped"]
pub(crate) struct WriterCount<'a> {
    inode: &'a Inode,
}

impl Drop for WriterCount<'_> {
    fn drop(&mut self) {
        // SAFETY: taken by `write_access`.
        unsafe { bindings::put_write_access(self.inode.as_ptr()) };
    }
}
