// SPDX-License-Identifier: GPL-2.0
//! Copy-up: what triggers it, what it keeps, how it is published, what it leaves when it fails.

pub mod keeps;
pub mod opened_before;
pub mod published;
pub mod triggers;

use super::prelude::*;
