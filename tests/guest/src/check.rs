// SPDX-License-Identifier: GPL-2.0
//! Assertions that return an error saying what was expected and what came instead.

use anyhow::Error;
use std::io;

/// The result of a test, and of nearly everything that a test calls.
pub type R<T = ()> = anyhow::Result<T>;

/// A test that cannot run here (the reason is printed, and the test counts as skipped).
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Skip {}

/// Errors that may carry an errno.
pub trait Errno {
    /// The errno, or `None` where there is none.
    fn errno(&self) -> Option<i32>;
}

impl Errno for io::Error {
    fn errno(&self) -> Option<i32> {
        self.raw_os_error()
    }
}

impl Errno for rustix::io::Errno {
    fn errno(&self) -> Option<i32> {
        Some(self.raw_os_error())
    }
}

impl Errno for Error {
    fn errno(&self) -> Option<i32> {
        self.chain().find_map(|e| {
            e.downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error)
                .or_else(|| {
                    e.downcast_ref::<rustix::io::Errno>()
                        .map(|e| e.raw_os_error())
                })
        })
    }
}

/// `ENOENT` and so on, for messages.
pub fn errno_name(e: i32) -> String {
    let known: &[(i32, &str)] = &[
        (0, "success"),
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOTTY, "ENOTTY"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::EFBIG, "EFBIG"),
        (libc::ENOSPC, "ENOSPC"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::EROFS, "EROFS"),
        (libc::EMLINK, "EMLINK"),
        (libc::EPIPE, "EPIPE"),
        (libc::ERANGE, "ERANGE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::ENODATA, "ENODATA"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
        (libc::ESTALE, "ESTALE"),
        (libc::EDQUOT, "EDQUOT"),
        (libc::EREMOTE, "EREMOTE"),
        (libc::ENXIO, "ENXIO"),
        (libc::E2BIG, "E2BIG"),
    ];
    match known.iter().find(|k| k.0 == e) {
        Some(k) => k.1.to_string(),
        None => format!("errno {e}"),
    }
}

/// Describes a result: `success` or the name of its errno.
pub fn outcome<T, E: Errno + std::fmt::Display>(r: &Result<T, E>) -> String {
    match r {
        Ok(_) => "success".into(),
        Err(e) => match e.errno() {
            Some(n) => errno_name(n),
            None => format!("error without errno: {e}"),
        },
    }
}

/// `check!(condition, "what must hold {}", ..)`
#[macro_export]
macro_rules! check {
    ($c:expr) => {
        $crate::check!($c, "{}", stringify!($c))
    };
    ($c:expr, $($why:tt)+) => {
        if !$c {
            anyhow::bail!("{}:{}: must hold, but does not: {}", file!(), line!(), format!($($why)+));
        }
    };
}

/// `check_eq!(got, expected, "what {}", ..)`
#[macro_export]
macro_rules! check_eq {
    ($got:expr, $want:expr) => {
        $crate::check_eq!($got, $want, "{}", stringify!($got))
    };
    ($got:expr, $want:expr, $($what:tt)+) => {{
        let (got, want) = (&$got, &$want);
        if got != want {
            anyhow::bail!("{}:{}: {}\n    expected: {:?}\n    got:      {:?}",
                file!(), line!(), format!($($what)+), want, got);
        }
    }};
}

/// `check_ne!(a, b, "what {}", ..)`
#[macro_export]
macro_rules! check_ne {
    ($got:expr, $other:expr, $($what:tt)+) => {{
        let (got, other) = (&$got, &$other);
        if got == other {
            anyhow::bail!("{}:{}: {}\n    expected: anything but {:?}",
                file!(), line!(), format!($($what)+), other);
        }
    }};
}

/// `check_err!(result, ENOENT, "what {}", ..)`: the operation fails with exactly this errno.
#[macro_export]
macro_rules! check_err {
    ($r:expr, $want:ident) => {
        $crate::check_err!($r, $want, "{}", stringify!($r))
    };
    ($r:expr, $want:ident, $($what:tt)+) => {{
        let (got, want) = ($crate::check::outcome(&$r), stringify!($want));
        if got != want {
            anyhow::bail!("{}:{}: {}\n    expected: {}\n    got:      {}",
                file!(), line!(), format!($($what)+), want, got);
        }
    }};
}
