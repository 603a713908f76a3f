// SPDX-License-Identifier: GPL-2.0

//! Error codes: the one place that knows which of them this kernel's `kernel` crate names.

pub(crate) use kernel::error::code::*;
pub(crate) use kernel::error::Error;
