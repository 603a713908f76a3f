// SPDX-License-Identifier: GPL-2.0
//! Attacks: what has gone wrong in an overlay before, tried again. Each test is named after the
//! entry in the list of vulnerabilities that it comes from.

pub mod left_behind;
pub mod mounts_below;
pub mod rights;
pub mod set_id;

use super::prelude::*;
use super::userns::give;

/// Layers of user 1000, with a file of the system's root in the lower.
fn with_root_file(t: &T, mode: u32) -> R<Ovl> {
    let o = t.ovl()?;
    f::mkdir(o.low("etc"))?;
    give(&o, 1000, 1000)?;
    f::write(o.low("etc/passwd"), "root")?;
    f::chmod(o.low("etc/passwd"), mode)?;
    f::chown(o.low("etc"), 0, 0)?;
    Ok(o)
}

/// As [`as_user`], but whose the layers are stays as it is.
fn as_is(job: impl FnOnce() -> R) -> R {
    sys::as_userns_root(1000, 1000, || job().map(|()| String::new())).map(drop)
}

fn untouched(o: &Ovl, p: &str, mode: u32) -> R {
    check_eq!(f::text(o.low(p))?, "root");
    let m = f::stat(o.low(p))?;
    check_eq!((m.uid(), m.mode() & 0o7777), (0, mode), "the lower");
    check!(!o.in_upper(p)?, "nothing was copied up");
    Ok(())
}
