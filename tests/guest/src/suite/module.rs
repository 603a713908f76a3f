// SPDX-License-Identifier: GPL-2.0
//! The parameters of the module: those of overlayfs.

use super::prelude::*;

cases! { "module";
    parameters_are_those_of_overlayfs.rs_only("compares with the kernel's own overlay");
    parameters_take_what_overlayfs_takes.rs_only("compares with the kernel's own overlay");
    check_copy_up_does_nothing;
}

fn parameters(ty: &str) -> PathBuf {
    Path::new("/sys/module").join(ty).join("parameters")
}

fn parameters_are_those_of_overlayfs(t: &T) -> R {
    let (ours, theirs) = (parameters(&t.ty), parameters(t.other_ty()?));
    let names = f::ls(&theirs)?;
    let mut own = f::ls(&ours)?;
    own.retain(|n| !names.contains(n));
    check_eq!(own, ["as_overlay"], "what overlayfs does not have");
    for n in names {
        check_eq!(f::text(ours.join(&n))?, f::text(theirs.join(&n))?, "{n}");
        check_eq!(f::mode(ours.join(&n))?, f::mode(theirs.join(&n))?, "{n}");
    }
    Ok(())
}

fn parameters_take_what_overlayfs_takes(t: &T) -> R {
    let texts = [
        "Y", "N", "y", "n", "1", "0", "on", "off", "t", "x", "2", " 1", "256", "-1", "0x10",
    ];
    for n in f::ls(parameters(t.other_ty()?))? {
        let took = |ty: &str| -> R<Vec<String>> {
            let file = parameters(ty).join(&n);
            let before = f::text(&file)?;
            let mut v = Vec::new();
            for text in texts {
                let r = std::fs::write(&file, text);
                let now = f::text(&file)?;
                let how = crate::check::outcome(&r);
                v.push(format!("{text:?}: {how}, is {}", now.trim()));
            }
            f::write(&file, before.trim())?;
            check_eq!(f::text(&file)?, before);
            Ok(v)
        };
        check_eq!(took(&t.ty)?, took(t.other_ty()?)?, "{n}");
    }
    Ok(())
}

fn check_copy_up_does_nothing(t: &T) -> R {
    let file = parameters(&t.ty).join("check_copy_up");
    f::write(&file, "1")?;
    t.expect_log(&["check_copy_up"])?;
    check_eq!(f::text(&file)?, "N\n");
    Ok(())
}
