// SPDX-License-Identifier: GPL-2.0

//! The operations of an overlay, joined: what the VFS calls on a superblock, a directory, an
//! object or an open file, and which room answers.
//!
//! Nothing is decided here. The room of names ([`crate::dir`]) and that of single objects
//! ([`crate::inode`]) do not know each other; a directory's table has entries from both.

#![forbid(unsafe_code)]

use super::{
    export,
    fill,
    params::Options,
    show_options,
    statfs, //
};
use crate::{
    dir::{
        create,
        lookup,
        readdir,
        remove,
        rename, //
    },
    inode::{
        acl,
        attr,
        file,
        link,
        permission,
        xattr_ops, //
    },
    overlay::{
        lowerdata,
        object,
        open_file::OpenFile,
        Overlay,
        OvlChild,
        OvlDentry,
        OvlFile,
        OvlInode,
        OvlSuper, //
    },
    rules::{
        options::Config,
        syntax, //
    },
    vfs::{
        acl::{
            Acl,
            AclKind,
            RcuAcl, //
        },
        dentry::{
            Dentry,
            RealType, //
        },
        dir_context::Emit,
        dirop::RenameFlags,
        file::{
            FlushId,
            IoCb,
            Iter,
            Pipe,
            Place,
            RemapFlags,
            TmpFile,
            Vma, //
        },
        fs_context::{
            ContextOps,
            FsContext, //
        },
        inode::Dev,
        mount::{
            IdMap,
            LinkText, //
        },
        own::{
            RcuInode,
            SuperSetup, //
        },
        param::Given,
        room::Room,
        stat::{
            AttrChange,
            FileAttr,
            Stat,
            StatFs, //
        },
        vtable::{
            DentryOps,
            DirFileOps,
            DirOps,
            Encoded,
            ExportOps,
            FiemapInfo,
            FileOps,
            InodeOps,
            SuperOps,
            Tables,
            XattrOps, //
        },
    },
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    sync::aref::ARef, //
};

/// The tables of a mount with these options.
pub(super) fn tables_for(config: &Config, casefold: bool) -> &'static Tables<Overlay> {
    Tables::choose(config.userxattr, casefold)
}

impl ContextOps for Overlay {
    type Options = Options;

    fn options() -> Result<KBox<Options>> {
        Options::new()
    }

    fn parse(options: &mut Options, context: &FsContext, given: &Given<'_>) -> Result {
        options.parse(context, given)
    }

    fn split_option(text: &[u8]) -> (&[u8], Option<&[u8]>) {
        syntax::split_option(text)
    }

    fn fill(options: &mut Options, context: &FsContext, setup: SuperSetup<'_, Overlay>) -> Result {
        fill::fill(options, context, setup)
    }

    fn reconfigure(sb: &OvlSuper, context: &FsContext) -> Result {
        super::reconfigure(sb, context)
    }
}

impl SuperOps for Overlay {
    fn sync_fs(sb: &OvlSuper, wait: bool) -> Result {
        super::sync_fs(sb, wait)
    }

    fn statfs(dentry: &OvlDentry, stat: &mut StatFs) -> Result {
        statfs::statfs(dentry, stat)
    }

    fn show_options(file: &SeqFile, root: &OvlDentry) -> Result {
        show_options::show_options(file, root)
    }
}

impl ExportOps for Overlay {
    fn encode_fh(inode: &OvlInode, parent: Option<&OvlInode>, buf: &mut [u8]) -> Option<Encoded> {
        export::encode_fh(inode, parent, buf)
    }

    fn fh_to_dentry(sb: &OvlSuper, handle: &[u8], kind: u8) -> Result<Option<ARef<OvlDentry>>> {
        export::fh_to_dentry(sb, handle, kind)
    }

    fn fh_to_parent(_: &OvlSuper) -> Error {
        export::fh_to_parent()
    }

    fn get_name(_: &OvlDentry) -> Error {
        export::unexpected()
    }

    fn get_parent(_: &OvlDentry) -> Error {
        export::unexpected()
    }
}

impl DentryOps for Overlay {
    fn real(dentry: &OvlDentry, kind: RealType) -> &Dentry {
        lowerdata::real_dentry(dentry, kind)
    }

    fn revalidate(dentry: &OvlDentry, flags: u32, weak: bool) -> Result<bool> {
        object::revalidate(dentry, flags, weak)
    }
}

impl DirOps for Overlay {
    fn lookup(child: OvlChild<'_>, flags: u32) -> Result<Option<ARef<OvlInode>>> {
        lookup::lookup(child, flags)
    }

    fn create(idmap: &IdMap, child: OvlChild<'_>, mode: u16) -> Result {
        create::create(idmap, child, mode)
    }

    fn mkdir(idmap: &IdMap, child: OvlChild<'_>, mode: u16) -> Result {
        create::mkdir(idmap, child, mode)
    }

    fn symlink(idmap: &IdMap, child: OvlChild<'_>, target: &CStr) -> Result {
        create::symlink(idmap, child, target)
    }

    fn mknod(idmap: &IdMap, child: OvlChild<'_>, mode: u16, dev: Dev) -> Result {
        create::mknod(idmap, child, mode, dev)
    }

    fn link(old: &OvlDentry, new: OvlChild<'_>) -> Result {
        create::link(old, new)
    }

    fn unlink(child: OvlChild<'_>) -> Result {
        remove::unlink(child)
    }

    fn rmdir(child: OvlChild<'_>) -> Result {
        remove::rmdir(child)
    }

    fn rename(old: OvlChild<'_>, new: OvlChild<'_>, flags: RenameFlags) -> Result {
        rename::rename(old, new, flags)
    }

    fn tmpfile(idmap: &IdMap, dir: &OvlInode, file: TmpFile<'_, Overlay>, mode: u16) -> Result {
        create::tmpfile(idmap, dir, file, mode)
    }
}

impl InodeOps for Overlay {
    fn permission(idmap: &IdMap, inode: &OvlInode, mask: i32) -> Result {
        permission::permission(idmap, inode, mask)
    }

    fn permission_rcu(idmap: &IdMap, inode: RcuInode<'_, Overlay>, mask: i32) -> Result {
        permission::permission_rcu(idmap, inode, mask)
    }

    fn getattr(
        idmap: &IdMap,
        dentry: &OvlDentry,
        stat: &mut Stat,
        mask: u32,
        flags: u32,
    ) -> Result {
        attr::getattr(idmap, dentry, stat, mask, flags)
    }

    fn setattr(idmap: &IdMap, dentry: &OvlDentry, change: &mut AttrChange) -> Result {
        attr::setattr(idmap, dentry, change)
    }

    fn listxattr(dentry: &OvlDentry, list: Room<'_>) -> Result<usize> {
        xattr_ops::list(dentry, list)
    }

    fn get_link(dentry: &OvlDentry) -> Result<LinkText> {
        link::get_link(dentry)
    }

    fn get_inode_acl(inode: &OvlInode, kind: AclKind) -> Result<Option<Acl>> {
        acl::get_inode_acl(inode, kind)
    }

    fn get_inode_acl_rcu<'rcu>(
        inode: RcuInode<'rcu, Overlay>,
        kind: AclKind,
    ) -> Result<Option<RcuAcl<'rcu>>> {
        acl::get_inode_acl_rcu(inode, kind)
    }

    fn get_acl(idmap: &IdMap, dentry: &OvlDentry, kind: AclKind) -> Result<Option<Acl>> {
        acl::get_acl(idmap, dentry, kind)
    }

    fn set_acl(idmap: &IdMap, dentry: &OvlDentry, acl: Option<&Acl>, kind: AclKind) -> Result {
        acl::set_acl(idmap, dentry, acl, kind)
    }

    fn fiemap(inode: &OvlInode, info: &mut FiemapInfo<'_>, start: u64, len: u64) -> Result {
        attr::fiemap(inode, info, start, len)
    }

    fn update_time(inode: &OvlInode, atime: bool, nowait: bool) -> Result {
        attr::update_time(inode, atime, nowait)
    }

    fn fileattr_get(dentry: &OvlDentry, attr: &mut FileAttr) -> Result {
        attr::fileattr_get(dentry, attr)
    }

    fn fileattr_set(idmap: &IdMap, dentry: &OvlDentry, attr: &mut FileAttr) -> Result {
        attr::fileattr_set(idmap, dentry, attr)
    }
}

impl XattrOps for Overlay {
    const TRUSTED_PREFIX: &'static CStr = c"trusted.overlay.";
    const USER_PREFIX: &'static CStr = c"user.overlay.";

    fn get(_: &OvlDentry, inode: &OvlInode, name: &CStr, value: &mut Room<'_>) -> Result<usize> {
        xattr_ops::get(inode, name, value)
    }

    fn set(
        _: &IdMap,
        dentry: &OvlDentry,
        inode: &OvlInode,
        name: &CStr,
        value: Option<&[u8]>,
        flags: i32,
    ) -> Result {
        xattr_ops::set(dentry, inode, name, value, flags)
    }

    fn get_own(
        _: &OvlDentry,
        inode: &OvlInode,
        suffix: &CStr,
        value: &mut Room<'_>,
    ) -> Result<usize> {
        xattr_ops::get_own(inode, suffix, value)
    }

    fn set_own(
        _: &IdMap,
        dentry: &OvlDentry,
        inode: &OvlInode,
        suffix: &CStr,
        value: Option<&[u8]>,
        flags: i32,
    ) -> Result {
        xattr_ops::set_own(dentry, inode, suffix, value, flags)
    }
}

impl FileOps for Overlay {
    type Open = OpenFile;

    fn open(inode: &OvlInode, file: &OvlFile) -> Result<KBox<OpenFile>> {
        file::open(inode, file)
    }

    fn llseek(file: &OvlFile, open: &OpenFile, offset: i64, whence: i32) -> Result<i64> {
        file::llseek(file, open, offset, whence)
    }

    fn read_iter(
        iocb: &mut IoCb<'_, Overlay>,
        open: &OpenFile,
        iter: &mut Iter<'_>,
    ) -> Result<usize> {
        file::read_iter(iocb, open, iter)
    }

    fn write_iter(
        iocb: &mut IoCb<'_, Overlay>,
        open: &OpenFile,
        iter: &mut Iter<'_>,
    ) -> Result<usize> {
        file::write_iter(iocb, open, iter)
    }

    fn splice_read(
        file: &OvlFile,
        open: &OpenFile,
        pos: &mut i64,
        pipe: &mut Pipe<'_>,
        len: usize,
        flags: u32,
    ) -> Result<usize> {
        file::splice_read(file, open, pos, pipe, len, flags)
    }

    fn splice_write(
        pipe: &mut Pipe<'_>,
        file: &OvlFile,
        open: &OpenFile,
        pos: &mut i64,
        len: usize,
        flags: u32,
    ) -> Result<usize> {
        file::splice_write(pipe, file, open, pos, len, flags)
    }

    fn mmap(file: &OvlFile, open: &OpenFile, vma: &mut Vma<'_, Overlay>) -> Result {
        file::mmap(file, open, vma)
    }

    fn fsync(file: &OvlFile, open: &OpenFile, start: i64, end: i64, datasync: bool) -> Result {
        file::fsync(file, open, start, end, datasync)
    }

    fn fallocate(file: &OvlFile, open: &OpenFile, mode: i32, offset: i64, len: i64) -> Result {
        file::fallocate(file, open, mode, offset, len)
    }

    fn fadvise(file: &OvlFile, open: &OpenFile, offset: i64, len: i64, advice: i32) -> Result {
        file::fadvise(file, open, offset, len, advice)
    }

    fn flush(file: &OvlFile, open: &OpenFile, id: FlushId) -> Result {
        file::flush(file, open, id)
    }

    fn copy_file_range(
        from: Place<'_, Overlay>,
        to: Place<'_, Overlay>,
        len: usize,
        flags: u32,
    ) -> Result<usize> {
        file::copy_file_range(from, to, len, flags)
    }

    fn remap_file_range(
        from: Place<'_, Overlay>,
        to: Place<'_, Overlay>,
        len: i64,
        flags: RemapFlags,
    ) -> Result<i64> {
        file::remap_file_range(from, to, len, flags)
    }
}

impl DirFileOps for Overlay {
    type Open = readdir::OpenDir;
    type Cursor = readdir::Cursor;

    fn open(inode: &OvlInode, file: &OvlFile) -> Result<(Self::Open, Self::Cursor)> {
        readdir::open(inode, file)
    }

    fn iterate(
        file: &OvlFile,
        open: &readdir::OpenDir,
        cursor: &mut readdir::Cursor,
        out: &mut Emit<'_>,
    ) -> Result {
        readdir::iterate(file, open, cursor, out)
    }

    fn llseek(
        file: &OvlFile,
        open: &readdir::OpenDir,
        cursor: &mut readdir::Cursor,
        offset: i64,
        whence: i32,
    ) -> Result<i64> {
        readdir::llseek(file, open, cursor, offset, whence)
    }

    fn fsync(
        file: &OvlFile,
        open: &readdir::OpenDir,
        start: i64,
        end: i64,
        datasync: bool,
    ) -> Result {
        readdir::fsync(file, open, start, end, datasync)
    }

    fn release(inode: &OvlInode, open: readdir::OpenDir, cursor: readdir::Cursor) {
        readdir::release(inode, open, cursor);
    }
}
