// SPDX-License-Identifier: GPL-2.0
//! Creating objects: in pure, merged and lower directories, and over whiteouts.

pub mod attributes;
pub mod links;
pub mod made;
pub mod tmpfile;

use super::prelude::*;
