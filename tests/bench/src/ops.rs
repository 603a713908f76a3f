// SPDX-License-Identifier: GPL-2.0

//! The operations, in groups that share a stage.

mod copy_up;
mod hot;
mod lookup;
mod modify;
mod mounting;
mod readdir;
mod tree;

use crate::{
    sample::Bench,
    stage::{Base, Side, Stage},
};
use anyhow::Result;

/// Operations that share a stage.
pub struct Group {
    pub name: &'static str,
    pub run: fn(&mut Bench, &mut Stage) -> Result<()>,
}

impl Group {
    /// Whether it is measured there: fuse-overlayfs only with what programs do all day, on tmpfs.
    pub fn is_for(&self, base: Base, side: Side) -> bool {
        let everyday = ["hot", "lookup1", "readdir", "modify"];
        side != Side::Fuse || (base == Base::Tmpfs && everyday.contains(&self.name))
    }
}

/// All of them.
pub const GROUPS: &[Group] = &[
    Group {
        name: "hot",
        run: hot::run,
    },
    Group {
        name: "lookup1",
        run: lookup::one,
    },
    Group {
        name: "lookup8",
        run: lookup::eight,
    },
    Group {
        name: "lookup64",
        run: lookup::many,
    },
    Group {
        name: "readdir",
        run: readdir::run,
    },
    Group {
        name: "modify",
        run: modify::run,
    },
    Group {
        name: "copy_up",
        run: copy_up::run,
    },
    Group {
        name: "copy_up_volatile",
        run: copy_up::volatile,
    },
    Group {
        name: "metacopy",
        run: copy_up::metacopy,
    },
    Group {
        name: "mount",
        run: mounting::run,
    },
    Group {
        name: "tree",
        run: tree::run,
    },
];
