// SPDX-License-Identifier: GPL-2.0

//! `struct inode_operations`: directories, regular files, symbolic links, and the rest.

use super::{
    super::{
        acl::{
            Acl,
            AclKind,
            RcuAcl, //
        },
        bindings,
        cred::Mounter,
        dirop::RenameFlags,
        errno::*,
        file::TmpFile,
        inode::Dev,
        mount::{
            IdMap,
            LinkText,
            RealPath, //
        },
        own::{
            Child,
            FileSystem,
            FsDentry,
            FsInode,
            RcuInode, //
        },
        room::Room,
        stat::{
            AttrChange,
            FileAttr,
            Stat, //
        },
        text::c_str, //
    },
    c_len, c_result, FileOps,
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings as shared,
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::aref::ARef, //
};

/// The operations on names in a directory.
///
/// The VFS holds the i_rwsem of the directory: shared for a lookup, exclusively otherwise. It has
/// checked the caller's permission.
pub(crate) trait DirOps: FileOps {
    /// Finds the object of a name that is not in the dcache; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The caller of lookup gets the error; the name is not cached.
    fn lookup(child: Child<'_, Self>, flags: u32) -> Result<Option<ARef<FsInode<Self>>>>;

    /// Creates a regular file.
    ///
    /// # Errors
    ///
    /// Those of open(2).
    fn create(idmap: &IdMap, child: Child<'_, Self>, mode: u16) -> Result;

    /// Creates a directory.
    ///
    /// # Errors
    ///
    /// Those of mkdir(2).
    fn mkdir(idmap: &IdMap, child: Child<'_, Self>, mode: u16) -> Result;

    /// Creates a symbolic link.
    ///
    /// # Errors
    ///
    /// Those of symlink(2).
    fn symlink(idmap: &IdMap, child: Child<'_, Self>, target: &CStr) -> Result;

    /// Creates a device, a fifo or a socket.
    ///
    /// # Errors
    ///
    /// Those of mknod(2).
    fn mknod(idmap: &IdMap, child: Child<'_, Self>, mode: u16, dev: Dev) -> Result;

    /// Makes `new` another name of the object of `old`, whose i_rwsem is held too.
    ///
    /// # Errors
    ///
    /// Those of link(2).
    fn link(old: &FsDentry<Self>, new: Child<'_, Self>) -> Result;

    /// Removes a name of anything but a directory. The object's i_rwsem is held too.
    ///
    /// # Errors
    ///
    /// Those of unlink(2).
    fn unlink(child: Child<'_, Self>) -> Result;

    /// Removes an empty directory. Its i_rwsem is held too.
    ///
    /// # Errors
    ///
    /// Those of rmdir(2).
    fn rmdir(child: Child<'_, Self>) -> Result;

    /// Renames. Both directories are locked, and the objects as
    /// Documentation/filesystems/directory-locking.rst says.
    ///
    /// # Errors
    ///
    /// Those of renameat2(2).
    fn rename(old: Child<'_, Self>, new: Child<'_, Self>, flags: RenameFlags) -> Result;

    /// Creates and opens a file without a name.
    ///
    /// # Errors
    ///
    /// Those of open(2) with O_TMPFILE.
    fn tmpfile(idmap: &IdMap, dir: &FsInode<Self>, file: TmpFile<'_, Self>, mode: u16) -> Result;
}

/// The operations on one object.
pub(crate) trait InodeOps: FileSystem {
    /// May the caller access the object so (`MAY_*`)?
    ///
    /// # Errors
    ///
    /// `EACCES` and the like if not.
    fn permission(idmap: &IdMap, inode: &FsInode<Self>, mask: i32) -> Result;

    /// As [`InodeOps::permission`], in a path walk under RCU: must not sleep.
    ///
    /// # Errors
    ///
    /// `ECHILD` to be asked again out of RCU.
    fn permission_rcu(idmap: &IdMap, inode: RcuInode<'_, Self>, mask: i32) -> Result;

    /// Fills `stat` with the attributes of `mask` (`STATX_*`), as `flags` (`AT_STATX_*`) says.
    ///
    /// # Errors
    ///
    /// Those of statx(2).
    fn getattr(
        idmap: &IdMap,
        dentry: &FsDentry<Self>,
        stat: &mut Stat,
        mask: u32,
        flags: u32,
    ) -> Result;

    /// Changes attributes. The i_rwsem is held.
    ///
    /// # Errors
    ///
    /// Those of chmod(2), chown(2), utimensat(2), truncate(2).
    fn setattr(idmap: &IdMap, dentry: &FsDentry<Self>, change: &mut AttrChange) -> Result;

    /// Writes the names of all extended attributes to `list`, each ended by a NUL. An empty `list`
    /// asks for the size.
    ///
    /// # Errors
    ///
    /// Those of listxattr(2).
    fn listxattr(dentry: &FsDentry<Self>, list: Room<'_>) -> Result<usize>;

    /// The text of a symbolic link. Never called under RCU.
    ///
    /// # Errors
    ///
    /// Those of readlink(2).
    fn get_link(dentry: &FsDentry<Self>) -> Result<LinkText>;

    /// The ACL for a permission check.
    ///
    /// # Errors
    ///
    /// Those of the layer.
    fn get_inode_acl(inode: &FsInode<Self>, kind: AclKind) -> Result<Option<Acl>>;

    /// As [`InodeOps::get_inode_acl`], in a path walk under RCU: must not sleep.
    ///
    /// # Errors
    ///
    /// `ECHILD` to be asked again out of RCU.
    fn get_inode_acl_rcu<'rcu>(
        inode: RcuInode<'rcu, Self>,
        kind: AclKind,
    ) -> Result<Option<RcuAcl<'rcu>>>;

    /// The ACL for a caller who wants to see it.
    ///
    /// # Errors
    ///
    /// Those of getxattr(2).
    fn get_acl(idmap: &IdMap, dentry: &FsDentry<Self>, kind: AclKind) -> Result<Option<Acl>>;

    /// Sets the ACL, or removes it. The i_rwsem is held.
    ///
    /// # Errors
    ///
    /// Those of setxattr(2).
    fn set_acl(idmap: &IdMap, dentry: &FsDentry<Self>, acl: Option<&Acl>, kind: AclKind) -> Result;

    /// Tells where the data of a file is on its disk.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the filesystem below cannot.
    fn fiemap(inode: &FsInode<Self>, info: &mut FiemapInfo<'_>, start: u64, len: u64) -> Result;

    /// Updates the access time (`atime`), or the times of a change. With `nowait` it must not
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if it would have to sleep.
    fn update_time(inode: &FsInode<Self>, atime: bool, nowait: bool) -> Result;

    /// The flags of chattr(1).
    ///
    /// # Errors
    ///
    /// `ENOTTY` if the filesystem below has none.
    fn fileattr_get(dentry: &FsDentry<Self>, attr: &mut FileAttr) -> Result;

    /// Sets the flags of chattr(1). The i_rwsem is held.
    ///
    /// # Errors
    ///
    /// Those of the filesystem below.
    fn fileattr_set(idmap: &IdMap, dentry: &FsDentry<Self>, attr: &mut FileAttr) -> Result;
}

/// What a caller of fiemap wants to know, and where it goes.
///
/// # Invariants
///
/// `info` is the argument of the call of `->fiemap` that this task is in.
pub(crate) struct FiemapInfo<'a> {
    info: *mut shared::fiemap_extent_info,
    _lent: PhantomData<&'a mut shared::fiemap_extent_info>,
}

impl RealPath<'_> {
    /// Lets the filesystem of the layer tell where the data of the object is.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if it cannot; its own.
    pub(crate) fn fiemap(
        &self,
        _m: &Mounter<'_>,
        info: &mut FiemapInfo<'_>,
        start: u64,
        len: u64,
    ) -> Result {
        let inode = self.inode()?.as_ptr();
        // SAFETY: i_op is set before an inode is published and never null.
        let operations = unsafe { (*inode).i_op };
        // SAFETY: operation tables are static.
        let fiemap = unsafe { (*operations).fiemap }.ok_or(EOPNOTSUPP)?;
        // SAFETY: the inode is live; by the type invariant of `info`.
        to_result(unsafe { fiemap(inode, info.info, start, len) })
    }
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

/// A pointer that carries null or an errno, for operations that return a dentry they do not
/// replace.
fn c_dentry(result: Result) -> *mut bindings::dentry {
    match result {
        Ok(()) => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

/// A pointer that carries an ACL with its count, null or an errno.
fn c_acl(result: Result<Option<Acl>>) -> *mut shared::posix_acl {
    match result {
        Ok(Some(acl)) => acl.into_raw().cast(),
        Ok(None) => ptr::null_mut(),
        Err(error) => error.to_ptr(),
    }
}

impl<F: DirOps> VTable<F> {
    /// # Safety
    ///
    /// `->lookup`: the directory is locked, `dentry` is a new name in it.
    unsafe extern "C" fn lookup(
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> *mut bindings::dentry {
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        let inode = match F::lookup(child, flags) {
            Ok(Some(inode)) => ARef::into_raw(inode).as_ptr().cast(),
            Ok(None) => ptr::null_mut(),
            Err(error) => return error.to_ptr(),
        };
        // SAFETY: `dentry` is in lookup; takes the inode's reference also when it fails
        // (fs/dcache.c, d_splice_alias()).
        unsafe { bindings::d_splice_alias(inode, dentry) }
    }

    /// # Safety
    ///
    /// `->create`: the directory is locked.
    #[cfg(not(ovl_has_create_excl))]
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        c_result(F::create(idmap, child, mode))
    }

    /// # Safety
    ///
    /// `->create`: the directory is locked.
    #[cfg(ovl_has_create_excl)]
    unsafe extern "C" fn create(
        idmap: *mut bindings::mnt_idmap,
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        _excl: bool,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        c_result(F::create(idmap, child, mode))
    }

    /// # Safety
    ///
    /// `->mkdir`: the directory is locked.
    unsafe extern "C" fn mkdir(
        idmap: *mut bindings::mnt_idmap,
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
    ) -> *mut bindings::dentry {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        c_dentry(F::mkdir(idmap, child, mode))
    }

    /// # Safety
    ///
    /// `->symlink`: the directory is locked, `target` ends with a NUL.
    unsafe extern "C" fn symlink(
        idmap: *mut bindings::mnt_idmap,
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        target: *const c_char,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        // SAFETY: a C string that lives during the call (fs/namei.c, vfs_symlink()).
        let target = unsafe { c_str(target) };
        c_result(F::symlink(idmap, child, target))
    }

    /// # Safety
    ///
    /// `->mknod`: the directory is locked.
    unsafe extern "C" fn mknod(
        idmap: *mut bindings::mnt_idmap,
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
        mode: bindings::umode_t,
        dev: bindings::dev_t,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let child = unsafe { Child::<F>::from_raw(dentry) };
        c_result(F::mknod(idmap, child, mode, Dev::from_raw(dev)))
    }

    /// # Safety
    ///
    /// `->link`: the directory of `new` and the object of `old` are locked.
    unsafe extern "C" fn link(
        old: *mut bindings::dentry,
        _dir: *mut bindings::inode,
        new: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: vfs_link() checked that both are of one superblock; its caller holds `old`.
        let old = unsafe { FsDentry::<F>::from_raw(old) };
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        let new = unsafe { Child::<F>::from_raw(new) };
        c_result(F::link(old, new))
    }

    /// # Safety
    ///
    /// `->unlink`: the directory and the object are locked.
    unsafe extern "C" fn unlink(
        _dir: *mut bindings::inode,
        dentry: *mut bindings::dentry,
    ) -> c_int {
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        c_result(F::unlink(unsafe { Child::<F>::from_raw(dentry) }))
    }

    /// # Safety
    ///
    /// `->rmdir`: the directory and the object are locked.
    unsafe extern "C" fn rmdir(_dir: *mut bindings::inode, dentry: *mut bindings::dentry) -> c_int {
        // SAFETY: the parent is locked (Documentation/filesystems/locking.rst).
        c_result(F::rmdir(unsafe { Child::<F>::from_raw(dentry) }))
    }

    /// # Safety
    ///
    /// `->rename`: both directories are locked.
    unsafe extern "C" fn rename(
        _idmap: *mut bindings::mnt_idmap,
        _old_dir: *mut bindings::inode,
        old: *mut bindings::dentry,
        _new_dir: *mut bindings::inode,
        new: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: the parent is locked (Documentation/filesystems/directory-locking.rst).
        let old = unsafe { Child::<F>::from_raw(old) };
        // SAFETY: as above.
        let new = unsafe { Child::<F>::from_raw(new) };
        c_result(F::rename(old, new, RenameFlags::from_bits(flags)))
    }

    /// # Safety
    ///
    /// `->tmpfile`: the directory is locked, `file` has an unhashed dentry in it and is not open.
    unsafe extern "C" fn tmpfile(
        idmap: *mut bindings::mnt_idmap,
        dir: *mut bindings::inode,
        file: *mut bindings::file,
        mode: bindings::umode_t,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the VFS holds the directory.
        let dir = unsafe { FsInode::<F>::from_raw(dir) };
        // SAFETY: vfs_tmpfile() made the dentry and holds the directory's lock (fs/namei.c).
        let file = unsafe { TmpFile::<F>::from_raw(file) };
        c_result(F::tmpfile(idmap, dir, file, mode))
    }
}

impl<F: InodeOps> VTable<F> {
    /// # Safety
    ///
    /// `->permission`: with MAY_NOT_BLOCK the caller is in RCU walk, else it holds the inode.
    unsafe extern "C" fn permission(
        idmap: *mut bindings::mnt_idmap,
        inode: *mut bindings::inode,
        mask: c_int,
    ) -> c_int {
        // SAFETY: the VFS holds the mount, or walks under RCU, which keeps it.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        if mask & bindings::MAY_NOT_BLOCK as c_int == 0 {
            // SAFETY: out of RCU walk the caller holds the inode.
            let inode = unsafe { FsInode::<F>::from_raw(inode) };
            return c_result(F::permission(idmap, inode, mask));
        }
        let Some(inode) = NonNull::new(inode) else {
            return ECHILD.to_errno();
        };
        // SAFETY: in RCU walk (Documentation/filesystems/vfs.rst, permission).
        let inode = unsafe { RcuInode::<F>::from_raw(inode) };
        c_result(F::permission_rcu(idmap, inode, mask))
    }

    /// # Safety
    ///
    /// `->getattr`: the caller holds `path`; `stat` is exclusive.
    unsafe extern "C" fn getattr(
        idmap: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        mask: u32,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller passes a valid path.
        let dentry = unsafe { (*path).dentry };
        // SAFETY: the caller holds the path.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller passes a structure of its own.
        let stat = unsafe { Stat::from_raw(stat) };
        c_result(F::getattr(idmap, dentry, stat, mask, flags))
    }

    /// # Safety
    ///
    /// `->setattr`: the inode is locked; `attr` is exclusive.
    unsafe extern "C" fn setattr(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut bindings::iattr,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller passes a structure of its own.
        let attr = unsafe { AttrChange::from_raw(attr) };
        c_result(F::setattr(idmap, dentry, attr))
    }

    /// # Safety
    ///
    /// `->listxattr`: `list` has `size` bytes; null if there are none.
    unsafe extern "C" fn listxattr(
        dentry: *mut bindings::dentry,
        list: *mut c_char,
        size: usize,
    ) -> isize {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller's buffer (fs/xattr.c, vfs_listxattr()).
        let list = unsafe { Room::from_raw(list.cast(), size) };
        c_len(F::listxattr(dentry, list))
    }

    /// # Safety
    ///
    /// `->get_link`: `dentry` is null in RCU walk; `done` is exclusive.
    unsafe extern "C" fn get_link(
        dentry: *mut bindings::dentry,
        _inode: *mut bindings::inode,
        done: *mut bindings::delayed_call,
    ) -> *const c_char {
        if dentry.is_null() {
            return ECHILD.to_ptr();
        }
        // SAFETY: out of RCU walk the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        match F::get_link(dentry) {
            Ok(link) => {
                let (text, call) = link.into_raw();
                // SAFETY: the caller passes a call that is not set; it makes it when it is done
                // with the text (Documentation/filesystems/vfs.rst, get_link).
                unsafe { *done = call };
                text
            }
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// `->get_inode_acl`: with `rcu` the caller is in RCU walk, else it holds the inode.
    unsafe extern "C" fn get_inode_acl(
        inode: *mut bindings::inode,
        kind: c_int,
        rcu: bool,
    ) -> *mut shared::posix_acl {
        let kind = match AclKind::from_raw(kind) {
            Ok(kind) => kind,
            Err(error) => return error.to_ptr(),
        };
        if !rcu {
            // SAFETY: out of RCU walk the caller holds the inode.
            let inode = unsafe { FsInode::<F>::from_raw(inode) };
            return c_acl(F::get_inode_acl(inode, kind));
        }
        let Some(inode) = NonNull::new(inode) else {
            return ECHILD.to_ptr();
        };
        // SAFETY: in RCU walk (fs/posix_acl.c, get_cached_acl_rcu()).
        let inode = unsafe { RcuInode::<F>::from_raw(inode) };
        match F::get_inode_acl_rcu(inode, kind) {
            Ok(Some(acl)) => acl.as_ptr().cast(),
            Ok(None) => ptr::null_mut(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// `->get_acl`: the caller holds the dentry.
    unsafe extern "C" fn get_acl(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        kind: c_int,
    ) -> *mut shared::posix_acl {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        c_acl(AclKind::from_raw(kind).and_then(|kind| F::get_acl(idmap, dentry, kind)))
    }

    /// # Safety
    ///
    /// `->set_acl`: the inode is locked; `acl` is null or valid during the call.
    unsafe extern "C" fn set_acl(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        acl: *mut shared::posix_acl,
        kind: c_int,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller holds the ACL during the call (fs/posix_acl.c, vfs_set_acl()).
        let acl = unsafe { Acl::borrow(acl.cast()) };
        let acl = acl.as_ref().map(|acl| acl.get());
        c_result(AclKind::from_raw(kind).and_then(|kind| F::set_acl(idmap, dentry, acl, kind)))
    }

    /// # Safety
    ///
    /// `->fiemap`: the caller holds the inode; `info` is exclusive.
    unsafe extern "C" fn fiemap(
        inode: *mut bindings::inode,
        info: *mut shared::fiemap_extent_info,
        start: u64,
        len: u64,
    ) -> c_int {
        // SAFETY: the caller holds the inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        let mut info = FiemapInfo {
            info,
            _lent: PhantomData,
        };
        c_result(F::fiemap(inode, &mut info, start, len))
    }

    /// # Safety
    ///
    /// `->update_time`: the caller holds the inode.
    unsafe extern "C" fn update_time(
        inode: *mut bindings::inode,
        what: bindings::fs_update_time,
        flags: c_uint,
    ) -> c_int {
        // SAFETY: the caller holds the inode.
        let inode = unsafe { FsInode::<F>::from_raw(inode) };
        let atime = what == bindings::fs_update_time_FS_UPD_ATIME;
        let nowait = flags & bindings::IOCB_NOWAIT != 0;
        c_result(F::update_time(inode, atime, nowait))
    }

    /// # Safety
    ///
    /// `->fileattr_get`: the caller holds the dentry; `attr` is exclusive.
    unsafe extern "C" fn fileattr_get(
        dentry: *mut bindings::dentry,
        attr: *mut shared::file_kattr,
    ) -> c_int {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller passes a structure of its own.
        let attr = unsafe { FileAttr::from_raw(attr.cast()) };
        c_result(F::fileattr_get(dentry, attr))
    }

    /// # Safety
    ///
    /// `->fileattr_set`: the inode is locked; `attr` is exclusive.
    unsafe extern "C" fn fileattr_set(
        idmap: *mut bindings::mnt_idmap,
        dentry: *mut bindings::dentry,
        attr: *mut shared::file_kattr,
    ) -> c_int {
        // SAFETY: the VFS holds the mount.
        let idmap = unsafe { IdMap::from_raw(idmap) };
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        // SAFETY: the caller passes a structure of its own.
        let attr = unsafe { FileAttr::from_raw(attr.cast()) };
        c_result(F::fileattr_set(idmap, dentry, attr))
    }

    /// What every object but a symbolic link has.
    const COMMON: bindings::inode_operations = bindings::inode_operations {
        permission: Some(Self::permission),
        get_inode_acl: Some(Self::get_inode_acl),
        get_acl: Some(Self::get_acl),
        set_acl: Some(Self::set_acl),
        ..Self::ANY
    };

    /// What every object has.
    const ANY: bindings::inode_operations = bindings::inode_operations {
        setattr: Some(Self::setattr),
        getattr: Some(Self::getattr),
        listxattr: Some(Self::listxattr),
        update_time: Some(Self::update_time),
        ..pin_init::zeroed()
    };

    /// Regular files.
    pub(super) const FILE: bindings::inode_operations = bindings::inode_operations {
        fiemap: Some(Self::fiemap),
        fileattr_get: Some(Self::fileattr_get),
        fileattr_set: Some(Self::fileattr_set),
        ..Self::COMMON
    };

    /// Symbolic links: no permission of their own, no ACL.
    pub(super) const SYMLINK: bindings::inode_operations = bindings::inode_operations {
        get_link: Some(Self::get_link),
        ..Self::ANY
    };

    /// Devices, fifos, sockets.
    pub(super) const SPECIAL: bindings::inode_operations = Self::COMMON;
}

impl<F: DirOps + InodeOps> VTable<F> {
    /// Directories.
    pub(super) const DIR: bindings::inode_operations = bindings::inode_operations {
        lookup: Some(Self::lookup),
        create: Some(Self::create),
        mkdir: Some(Self::mkdir),
        symlink: Some(Self::symlink),
        mknod: Some(Self::mknod),
        link: Some(Self::link),
        unlink: Some(Self::unlink),
        rmdir: Some(Self::rmdir),
        rename: Some(Self::rename),
        tmpfile: Some(Self::tmpfile),
        fileattr_get: Some(Self::fileattr_get),
        fileattr_set: Some(Self::fileattr_set),
        ..Self::COMMON
    };
}
