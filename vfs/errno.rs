// SPDX-License-Identifier: GPL-2.0

//! Error codes: the one place that knows which of them this kernel's `kernel` crate names, and what
//! a number or a pointer from C means.

use kernel::{
    ffi::c_int,
    prelude::Result, //
};

/// Those that the crate of 7.2 does not name yet. (That of 7.3 names them all.)
#[cfg(not(ovl_has_errno))]
mod older {
    use core::num::NonZeroI32;
    use kernel::{
        bindings,
        error::Error, //
    };

    macro_rules! declare {
        ($($name:ident),+ $(,)?) => {
            $(
                pub(crate) const $name: Error = error(-(bindings::$name as i32));
            )+
        };
    }

    const fn error(errno: i32) -> Error {
        const { assert!(size_of::<Error>() == size_of::<NonZeroI32>()) };
        let Some(errno) = NonZeroI32::new(errno) else {
            return super::EIO;
        };
        // SAFETY: an error is nothing but such a number (rust/kernel/error.rs of 7.2), which is
        // one of errno.h.
        unsafe { core::mem::transmute::<NonZeroI32, Error>(errno) }
    }

    declare!(
        ECANCELED,
        ELOOP,
        ENAMETOOLONG,
        ENODATA,
        ENOTEMPTY,
        EOPNOTSUPP,
        EREMOTE,
        ESTALE,
    );
}

pub(crate) use kernel::error::code::*;
pub(crate) use kernel::error::Error;
#[cfg(not(ovl_has_errno))]
pub(crate) use older::*;

/// The errno that is farthest from zero (`MAX_ERRNO` of include/linux/err.h).
const LAST_ERRNO: isize = -4095;

/// What an `int` means that is zero or a negative errno.
///
/// That of the kernel crate is not compiled into the caller, but nearly every operation ends with
/// one or two of these.
#[inline(always)]
pub(super) fn to_result(err: c_int) -> Result {
    if err < 0 {
        Err(Error::from_errno(err))
    } else {
        Ok(())
    }
}

/// What a pointer means that may be an error (`IS_ERR()`), or null.
///
/// # Errors
///
/// The one in the pointer.
#[inline(always)]
pub(super) fn from_err_ptr<T>(ptr: *mut T) -> Result<*mut T> {
    let value = ptr as isize;
    if (LAST_ERRNO..0).contains(&value) {
        // It fits, as was just checked.
        return Err(c_int::try_from(value).map_or(EIO, Error::from_errno));
    }
    Ok(ptr)
}

/// What a `ssize_t` means: a length, or an error below zero.
pub(super) fn ssize(n: isize) -> Result<usize> {
    usize::try_from(n).map_err(|_| Error::from_errno(i32::try_from(n).unwrap_or(-5)))
}
