// SPDX-License-Identifier: GPL-2.0

//! File handles of real objects.
//!
//! A file handle names an inode of a layer durably. It says which lower object an upper one was
//! copied from, and which upper directory an entry of the index stands for.
//!
//! C header: [`include/linux/exportfs.h`](srctree/include/linux/exportfs.h)

use super::{
    bindings,
    cred::Mounter,
    dentry::Dentry,
    errno::*,
    inode::Inode,
    mount::{
        Lower,
        LowerMount,
        Mount,
        Upper,
        UpperMount, //
    },
};
use core::{
    ffi::c_void,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// The most bytes that a file handle has.
const MAX_HANDLE: usize = 128;

const _: () = assert!(MAX_HANDLE == bindings::MAX_HANDLE_SZ as usize);

/// Handles are counted in words of this many bytes.
const WORD: usize = 4;

/// Passes the file handle of `inode` to `f`: its type and its bytes.
///
/// It is not connectable: an object that is not a directory can be found by it, its parent
/// cannot.
///
/// # Errors
///
/// `EIO` if the filesystem cannot make one; those of `f`.
#[inline(never)]
pub(crate) fn with_fh<R>(inode: &Inode, f: impl FnOnce(u8, &[u8]) -> Result<R>) -> Result<R> {
    let mut fid = Fid([0; MAX_HANDLE / WORD]);
    let mut words = c_int::try_from(fid.0.len()).map_err(|_| EIO)?;
    // SAFETY: `fid` has room for `words` words; a null parent asks for a handle without one
    // (fs/exportfs/expfs.c, exportfs_encode_inode_fh()).
    let kind = unsafe {
        bindings::exportfs_encode_inode_fh(
            inode.as_ptr(),
            ptr::from_mut(&mut fid).cast(),
            &mut words,
            ptr::null_mut(),
            0,
        )
    };
    let kind = u8::try_from(kind).map_err(|_| EIO)?;
    let used = usize::try_from(words).map_err(|_| EIO)?;
    if u32::from(kind) == bindings::fid_type_FILEID_INVALID {
        return Err(EIO);
    }
    f(kind, fid.bytes(used).ok_or(EIO)?)
}

/// Finds the object of the layer `mnt` that a file handle names. The caller has checked that it
/// may open handles ([`super::super_block::SuperBlock::handle_type`]).
///
/// `None` if there is no such object any more. With `connected` a directory must be reachable
/// from the root of the layer; without, the dentry may be disconnected from the tree.
///
/// # Errors
///
/// `EINVAL` for a handle of impossible length; those of reading the layer.
#[inline(never)]
pub(crate) fn decode_fh(
    mnt: &LowerMount,
    m: &Mounter<'_>,
    kind: u8,
    fid: &[u8],
    connected: bool,
) -> Result<Option<ARef<Lower<Dentry>>>> {
    Ok(decode(mnt, m, kind, fid, connected)?.map(Lower::new_owned))
}

/// As [`decode_fh`], in the upper layer.
///
/// # Errors
///
/// As [`decode_fh`].
pub(crate) fn decode_upper_fh(
    mnt: &UpperMount,
    m: &Mounter<'_>,
    kind: u8,
    fid: &[u8],
    connected: bool,
) -> Result<Option<ARef<Upper<Dentry>>>> {
    Ok(decode(mnt, m, kind, fid, connected)?.map(Upper::new_owned))
}

/// [`decode_fh`] in any layer.
fn decode(
    mnt: &Mount,
    _m: &Mounter<'_>,
    kind: u8,
    fid: &[u8],
    connected: bool,
) -> Result<Option<ARef<Dentry>>> {
    let mut words = Fid([0; MAX_HANDLE / WORD]);
    let mut count: c_int = 0;

    if fid.len() > MAX_HANDLE {
        return Err(EINVAL);
    }
    for (word, bytes) in words.0.iter_mut().zip(fid.chunks_exact(WORD)) {
        *word = u32::from_ne_bytes(bytes.try_into().map_err(|_| EINVAL)?);
        count = count.saturating_add(1);
    }
    let acceptable = if connected {
        Some(acceptable as unsafe extern "C" fn(*mut c_void, *mut bindings::dentry) -> c_int)
    } else {
        None
    };
    // SAFETY: `words` has `count` words; the mount, which `acceptable` gets back, stays alive.
    let dentry = from_err_ptr(unsafe {
        bindings::exportfs_decode_fh(
            mnt.as_ptr(),
            ptr::from_mut(&mut words).cast(),
            count,
            c_int::from(kind),
            acceptable,
            mnt.as_ptr().cast(),
        )
    });
    match dentry {
        Ok(dentry) => Ok(NonNull::new(dentry).map(|dentry| {
            // SAFETY: a success is a counted dentry of the mount's filesystem.
            unsafe { ARef::from_raw(dentry.cast()) }
        })),
        Err(error) if error == ESTALE => Ok(None),
        Err(error) => Err(error),
    }
}

/// A `struct fid`: words, so that it is aligned.
#[repr(C)]
struct Fid([u32; MAX_HANDLE / WORD]);

impl Fid {
    /// The bytes of the first words; `None` if there are not that many.
    fn bytes(&self, words: usize) -> Option<&[u8]> {
        let words = self.0.get(..words)?;
        // SAFETY: words have no padding, and bytes no alignment.
        Some(unsafe {
            core::slice::from_raw_parts(words.as_ptr().cast(), core::mem::size_of_val(words))
        })
    }
}

/// Is what a handle was decoded to part of the layer? A directory must be below the layer's root
/// and not removed. Anything else may be disconnected, since only its inode number matters.
///
/// # Safety
///
/// For exportfs_decode_fh(): `mnt` must be the mount that it was called with.
unsafe extern "C" fn acceptable(mnt: *mut c_void, dentry: *mut bindings::dentry) -> c_int {
    // SAFETY: exportfs_decode_fh() holds a count of the candidate during the call.
    let dentry = unsafe { Dentry::from_raw(dentry) };
    // SAFETY: the caller of exportfs_decode_fh() keeps the mount alive; its root is constant.
    let root = unsafe { (*mnt.cast::<bindings::vfsmount>()).mnt_root };
    // SAFETY: a mount pins its root.
    let root = unsafe { Dentry::from_raw(root) };

    let accepted = !dentry.is_dir() || (!dentry.is_unhashed() && dentry.is_subdir_of(root));
    c_int::from(accepted)
}
