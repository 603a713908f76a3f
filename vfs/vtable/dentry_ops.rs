// SPDX-License-Identifier: GPL-2.0

//! `struct dentry_operations`.

use super::super::{
    bindings,
    dentry::{
        Dentry,
        RealType, //
    },
    errno::*,
    own::{
        FileSystem,
        FsDentry, //
    },
};
use core::marker::PhantomData;
use kernel::{
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// The operations on a dentry. They only do something for layers that want it.
pub(crate) trait DentryOps: FileSystem {
    /// The real dentry behind one of ours; `dentry` itself if it is not a regular file or there is
    /// none. Stays valid as long as `dentry` is referenced.
    fn real(dentry: &FsDentry<Self>, kind: RealType) -> &Dentry;

    /// Are the real names behind this one still valid? `weak`: the object was reached by a jump,
    /// only it has to be checked, not its name. Not called in RCU walk.
    ///
    /// # Errors
    ///
    /// Those of the layers; `ESTALE` if a layer changed.
    fn revalidate(dentry: &FsDentry<Self>, flags: u32, weak: bool) -> Result<bool>;
}

/// Above 0 for valid, 0 for not valid, below 0 an errno.
fn c_validity(result: Result<bool>) -> c_int {
    match result {
        Ok(valid) => c_int::from(valid),
        Err(error) => error.to_errno(),
    }
}

/// The C functions of `F`.
pub(super) struct VTable<F>(PhantomData<F>);

impl<F: DentryOps> VTable<F> {
    /// # Safety
    ///
    /// `->d_real`: the caller holds the dentry.
    unsafe extern "C" fn real(
        dentry: *mut bindings::dentry,
        kind: bindings::d_real_type,
    ) -> *mut bindings::dentry {
        // SAFETY: the caller holds the dentry.
        let typed = unsafe { FsDentry::<F>::from_raw(dentry) };
        match kind {
            bindings::d_real_type_D_REAL_DATA => F::real(typed, RealType::Data).as_ptr(),
            bindings::d_real_type_D_REAL_METADATA => F::real(typed, RealType::Metadata).as_ptr(),
            _ => dentry,
        }
    }

    /// # Safety
    ///
    /// `->d_revalidate`: without LOOKUP_RCU the caller holds the dentry.
    unsafe extern "C" fn revalidate(
        _dir: *mut bindings::inode,
        _name: *const bindings::qstr,
        dentry: *mut bindings::dentry,
        flags: c_uint,
    ) -> c_int {
        // In RCU walk neither the dentry nor the real ones behind it have a count that would allow
        // to ask their filesystems: leave it. Only layers that validate names get here.
        if flags & bindings::LOOKUP_RCU != 0 {
            return ECHILD.to_errno();
        }
        // SAFETY: out of RCU walk the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        c_validity(F::revalidate(dentry, flags, false))
    }

    /// # Safety
    ///
    /// `->d_weak_revalidate`: the caller holds the dentry (fs/namei.c, complete_walk()).
    unsafe extern "C" fn weak_revalidate(dentry: *mut bindings::dentry, flags: c_uint) -> c_int {
        // SAFETY: the caller holds the dentry.
        let dentry = unsafe { FsDentry::<F>::from_raw(dentry) };
        c_validity(F::revalidate(dentry, flags, true))
    }

    /// Names are compared byte by byte.
    pub(super) const PLAIN: bindings::dentry_operations = bindings::dentry_operations {
        d_real: Some(Self::real),
        d_revalidate: Some(Self::revalidate),
        d_weak_revalidate: Some(Self::weak_revalidate),
        ..pin_init::zeroed()
    };

    /// Names are compared without case, in directories that want it.
    #[cfg(CONFIG_UNICODE)]
    pub(super) const CASEFOLD: bindings::dentry_operations = bindings::dentry_operations {
        d_hash: Some(bindings::generic_ci_d_hash),
        d_compare: Some(bindings::generic_ci_d_compare),
        ..Self::PLAIN
    };

    /// A kernel without encodings has no such directories.
    #[cfg(not(CONFIG_UNICODE))]
    pub(super) const CASEFOLD: bindings::dentry_operations = Self::PLAIN;
}
