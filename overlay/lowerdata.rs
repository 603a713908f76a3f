// SPDX-License-Identifier: GPL-2.0

//! The data of a file whose metadata is in another layer: looked for in the data-only layers when
//! it is needed first, and held against the digest that the metadata keeps.
//!
//! Source of the facts: `ovl_verify_lowerdata` and what it calls in `fs/overlayfs/namei.c`,
//! `ovl_validate_verity` and `ovl_get_verity_digest` in `fs/overlayfs/util.c`, `ovl_d_real` in
//! `fs/overlayfs/super.c`.

#![forbid(unsafe_code)]

use kernel::{
    prelude::*,
    str::CStr, //
};

use crate::vfs::errno::{
    ELOOP,
    ENAMETOOLONG,
    EREMOTE, //
};
use crate::{
    overlay::{
        instantiate::update_reval,
        layer::{
            LowerPath,
            LowerRef, //
        },
        mount::MountState,
        object::ObjFlag,
        OvlDentry,
        OvlInode, //
    },
    rules::options::Verity,
    vfs::{
        cred::Mounter,
        dentry::{
            Dentry,
            RealType, //
        },
        log::warn_limited,
        mount::RealPath,
        verity::Digest, //
    },
    xattr::metacopy::{
        self,
        Stored, //
    },
};

/// Makes sure that the data of the object is known and is what its metadata was made for.
///
/// Call without the mounter's credentials and without the object's mutex.
///
/// # Errors
///
/// `ENOENT` and the like: the data was not found; `EIO`: it is not the right data, or there is no
/// telling and the mount wants to be told; `EINTR`; what the layers fail with. Logged.
pub(crate) fn verify(dentry: &OvlDentry) -> Result {
    let inode = dentry.object()?;
    let ms = MountState::of(inode.super_());
    if let Some(path) = inode.data_redirect() {
        let part = inode.lowerdata().ok_or(EIO)?;
        if part.dentry().is_none() {
            find(ms, dentry, inode, part, path)?;
        }
    }
    if ms.config.verity == Verity::Off
        || !inode.is_metacopy()
        || inode.flag(ObjFlag::VerifiedDigest)
    {
        return Ok(());
    }
    check_once(ms, dentry, inode)
}

/// Looks for the data, unless somebody else was faster.
#[cold]
#[inline(never)]
fn find(
    ms: &MountState,
    dentry: &OvlDentry,
    inode: &OvlInode,
    part: &LowerRef,
    path: &[u8],
) -> Result {
    if path.first() != Some(&b'/') {
        return Err(EIO);
    }
    let _lock = inode.object_lock().lock_interruptible()?;
    if part.dentry().is_some() {
        return Ok(());
    }
    let found = ms.with_mounter(|m| in_data_layers(ms, m, path));
    found
        .and_then(|found| part.set(found))
        .inspect_err(|error| {
            warn_limited!(
                "cannot find the data of '{}' in the data-only layers ({})\n",
                dentry.log_name(),
                error.to_errno()
            );
        })?;
    if let Some(data) = part.dentry() {
        update_reval(dentry, data);
    }
    Ok(())
}

/// Looks for the data in the data-only layers, topmost first.
fn in_data_layers(ms: &MountState, m: &Mounter<'_>, path: &[u8]) -> Result<LowerPath> {
    let path = terminated(path)?;
    let path = CStr::from_bytes_until_nul(&path).map_err(|_| EIO)?;
    let mut missing = ENOENT;
    let layers = ms.lowers.iter().enumerate();
    for (index, layer) in layers.skip(ms.merged_layers()) {
        match layer.mnt.lookup_beneath(m, path) {
            Ok(dentry) if dentry.is_weird() => missing = EREMOTE,
            // Nothing else can have data.
            Ok(dentry) if !dentry.is_reg() => missing = ENOENT,
            Ok(dentry) => {
                return Ok(LowerPath {
                    layer: index,
                    dentry,
                })
            }
            Err(error) if is_absent(error) => missing = error,
            // The layer failed: what the next one has may not be the right data.
            Err(error) => return Err(error),
        }
    }
    Err(missing)
}

/// The errors by which a path walk says that the layer has no such file for this mounter.
fn is_absent(error: Error) -> bool {
    let absent = [ENOENT, ENOTDIR, ELOOP, EXDEV, EACCES, EPERM, ENAMETOOLONG];
    absent.contains(&error)
}

/// The bytes of `path` and a NUL.
fn terminated(path: &[u8]) -> Result<KVec<u8>> {
    let mut text = KVec::with_capacity(path.len().saturating_add(1), GFP_KERNEL)?;
    text.extend_from_slice(path, GFP_KERNEL)?;
    text.push(0, GFP_KERNEL)?;
    Ok(text)
}

/// Holds the data against the digest, unless somebody else was faster.
#[inline(never)]
fn check_once(ms: &MountState, dentry: &OvlDentry, inode: &OvlInode) -> Result {
    if !inode.flag(ObjFlag::HasDigest) {
        return without_digest(ms, dentry);
    }
    let data = inode.lowerdata_path(ms).ok_or(EIO)?;
    let meta = inode.real_path(ms)?;
    let _lock = inode.object_lock().lock_interruptible()?;
    if !inode.flag(ObjFlag::VerifiedDigest) {
        ms.with_mounter(|m| check_digest(ms, m, meta, data))?;
        inode.set_flag(ObjFlag::VerifiedDigest);
    }
    Ok(())
}

/// The metadata of this file says nothing about its data, which some mounts do not take.
#[cold]
#[inline(never)]
fn without_digest(ms: &MountState, meta: &Dentry) -> Result {
    if ms.config.verity != Verity::Require {
        return Ok(());
    }
    warn_limited!(
        "metacopy '{}' has no digest, which is required\n",
        meta.log_name()
    );
    Err(EIO)
}

/// Is `data` what the metadata at `meta` was made for?
#[inline(never)]
fn check_digest(
    ms: &MountState,
    m: &Mounter<'_>,
    meta: RealPath<'_>,
    data: RealPath<'_>,
) -> Result {
    let mut stored = Stored::empty();
    metacopy::read(ms.format(), m, meta, &mut stored)?;
    let Some(signed) = stored.signed() else {
        return without_digest(ms, meta.dentry());
    };
    let mut actual = Digest::empty();
    if !digest_of(m, data, &mut actual)? {
        return Err(refuse(data.dentry(), "no"));
    }
    if !signed.matches(actual.algorithm(), actual.bytes()) {
        return Err(refuse(data.dentry(), "the wrong"));
    }
    Ok(())
}

/// Says what is wrong with the digest of a file.
#[cold]
#[inline(never)]
fn refuse(data: &Dentry, which: &str) -> Error {
    warn_limited!("'{}' has {} fs-verity digest\n", data.log_name(), which);
    EIO
}

/// The digest that the metadata of a copy of `data` is to keep; false without one.
///
/// # Errors
///
/// `EIO`: there is none, and the mount requires one; or it cannot be read. Logged.
#[inline(never)]
pub(crate) fn digest_to_keep(
    ms: &MountState,
    m: &Mounter<'_>,
    data: RealPath<'_>,
    digest: &mut Digest,
) -> Result<bool> {
    if ms.config.verity == Verity::Off {
        return Ok(false);
    }
    let known = digest_of(m, data, digest)?;
    if !known && ms.config.verity == Verity::Require {
        return Err(refuse(data.dentry(), "no"));
    }
    Ok(known)
}

/// Whether the metadata of the object can be copied up alone: a mount that requires digests cannot
/// without the one of the data.
pub(crate) fn has_what_metacopy_needs(ms: &MountState, m: &Mounter<'_>, inode: &OvlInode) -> bool {
    if ms.config.verity != Verity::Require {
        return true;
    }
    let data = inode.lowerdata_path(ms);
    data.is_some_and(|data| data.load_verity(m).is_ok() && data.has_verity())
}

/// The fs-verity digest of a file; false if it has none.
fn digest_of(m: &Mounter<'_>, data: RealPath<'_>, digest: &mut Digest) -> Result<bool> {
    if let Err(error) = data.load_verity(m) {
        return Err(refuse_unloaded(data.dentry(), error));
    }
    data.verity_digest(m, digest)
}

/// Says that the digest of a file cannot be known.
#[cold]
#[inline(never)]
fn refuse_unloaded(data: &Dentry, error: Error) -> Error {
    warn_limited!(
        "cannot load the fs-verity digest of '{}' ({})\n",
        data.log_name(),
        error.to_errno()
    );
    EIO
}

/// The real dentry behind that of a regular file, down through overlays below this one.
///
/// Others are their own: nothing asks for them.
pub(crate) fn real_dentry(dentry: &OvlDentry, kind: RealType) -> &Dentry {
    let Some(inode) = dentry.inode().filter(|inode| inode.is_reg()) else {
        return dentry;
    };
    if let Some(upper) = inode.upper() {
        if kind == RealType::Metadata || inode.has_upperdata() {
            return upper;
        }
    }
    let lower = match kind {
        RealType::Metadata => inode.lower(),
        // Who asks for the data is about to use it, so it can as well be looked for.
        RealType::Data => match verify(dentry) {
            Ok(()) => inode.lowerdata().and_then(LowerRef::dentry),
            Err(_) => None,
        },
    };
    match lower {
        Some(lower) => lower.real(kind),
        None => {
            warn_limited!("real dentry of '{}' not found\n", dentry.log_name());
            dentry
        }
    }
}
