// SPDX-License-Identifier: GPL-2.0

//! Mounting and unmounting (table 2f).

use crate::{
    sample::Bench,
    stage::{Stage, TOP},
    sys::{c, call, settle},
};
use anyhow::Result;

const N: usize = 7;

pub fn run(bench: &mut Bench, stage: &mut Stage) -> Result<()> {
    if !stage.is_overlay() {
        return Ok(());
    }
    let (source, target, kind) = (c("bench"), c(TOP), c(stage.side.to_string()));
    for layers in [1, 8, 64] {
        let options = c(stage.options(layers, "")?);
        let mount = || {
            call!(mount(
                source.as_ptr(),
                target.as_ptr(),
                kind.as_ptr(),
                0,
                options.as_ptr().cast()
            ))
            .map(drop)
        };
        let umount = || call!(umount2(target.as_ptr(), 0)).map(drop);
        mount()?;
        umount()?;
        settle();
        bench.op_after(
            &format!("mount of {layers} layers"),
            N,
            |i| {
                if i > 0 {
                    umount()?;
                }
                settle();
                Ok(())
            },
            |_| mount(),
        )?;
        bench.op_after(
            &format!("umount of {layers} layers"),
            N,
            |i| {
                if i > 0 {
                    mount()?;
                }
                settle();
                Ok(())
            },
            |_| umount(),
        )?;
    }
    Ok(())
}
