// SPDX-License-Identifier: GPL-2.0

//! The upper layer and its work directory, and what their file system can do.
//!
//! Facts and order: `ovl_get_upper`, `ovl_get_workdir` and `ovl_make_workdir` in
//! `fs/overlayfs/super.c`.

#![forbid(unsafe_code)]

use super::{
    warn,
    Builder,
    NamedPath, //
};
use crate::{
    overlay::{
        layer::{
            UpperLayer,
            WorkBase,
            Workdir, //
        },
        workdir, //
    },
    rules::options::{
        RedirectMode,
        Uuid,
        Xino, //
    },
    vfs::{
        cred::Mounter,
        mount::Path,
        super_block::HandleType, //
    },
};
use kernel::prelude::*;

/// What was found out about the upper file system.
struct UpperFeatures {
    /// Directory listings say what an entry is.
    d_type: bool,
    /// Files without a name can be made.
    tmpfile: bool,
    /// A rename can leave a whiteout.
    rename_whiteout: bool,
    /// Our xattrs can be stored.
    xattr: Result,
}

impl Builder<'_, '_> {
    /// The whole of the upper layer, except for its work directory.
    #[inline(never)]
    pub(super) fn add_upper(&mut self, m: &Mounter<'_>, upper: &NamedPath) -> Result {
        if upper.path.mnt().is_readonly() {
            return Err(self.refuse(EINVAL, "upperdir is read-only, only lower layers may be"));
        }
        self.note_name_length(m, upper)?;
        let trap = self.trap(upper.path.dentry(), "upperdir")?;
        let mnt = upper
            .path
            .clone_upper()
            .map_err(|error| self.refuse(error, "cannot use the mount of upperdir"))?;
        // Files whose security attributes somebody else changes on the upper behind our back may
        // keep what is remembered about them; such changes are not supported.
        if mnt.sb().is_nosec() {
            self.setup.set_nosec();
        }
        let in_use = self.take_for_use(mnt.root(), "upperdir")?;
        if !self.ms.should_sync() {
            let seen = mnt.sb().writeback_sample();
            if mnt.sb().writeback_check(seen).is_err() {
                let why = "upperdir had a write error that nobody saw; sync it before it is \
                           mounted volatile";
                return Err(self.refuse(EIO, why));
            }
            self.ms.writeback_seen = seen;
        }
        self.depth = mnt.sb().stack_depth();
        self.ms.upper = Some(UpperLayer {
            workdir: None,
            base: None,
            in_use,
            trap: Some(trap),
            mnt,
        });
        Ok(())
    }

    /// The work directory beside the upper layer. Without one that can be used, the mount is
    /// read-only.
    #[inline(never)]
    pub(super) fn add_work(&mut self, m: &Mounter<'_>, upper: &Path, work: &Path) -> Result {
        if !upper.mnt().ptr_eq(work.mnt()) {
            return Err(self.refuse(EINVAL, "workdir and upperdir are not on the same mount"));
        }
        let (above, beside) = (upper.dentry(), work.dentry());
        if beside.is_subdir_of(above) || above.is_subdir_of(beside) {
            return Err(self.refuse(EINVAL, "one of workdir and upperdir is inside the other"));
        }
        let dentry = self.ms.upper_mnt()?.adopt(work)?;
        let in_use = self.take_for_use(&dentry, "workdir")?;
        let trap = Some(self.trap(&dentry, "workdir")?);
        self.upper_mut()?.base = Some(WorkBase {
            trap,
            in_use,
            dentry,
        });

        let made = {
            let w = self.ms.want_write()?;
            workdir::create(&self.ms, m, &w, workdir::WORK, false)?
        };
        let Some(dentry) = made else {
            self.setup.set_readonly();
            return Ok(());
        };
        let trap = Some(self.trap(&dentry, "workdir")?);
        self.upper_mut()?.workdir = Some(Workdir { trap, dentry });

        let features = self.find_features(m, work)?;
        self.apply_features(features)
    }

    /// Tries what the upper file system can do, and marks it if it is used without syncing.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is a remote one that lacks something; what the trials fail with, if that
    /// says nothing about the feature.
    #[inline(never)]
    fn find_features(&self, m: &Mounter<'_>, work: &Path) -> Result<UpperFeatures> {
        let ms = &*self.ms;
        let w = ms.want_write()?;
        let features = UpperFeatures {
            d_type: workdir::check_d_type(m, work)?,
            tmpfile: workdir::check_tmpfile(ms, m, &w),
            rename_whiteout: workdir::check_rename_whiteout(ms, m, &w)?,
            xattr: workdir::check_xattr(ms, m, &w),
        };
        // Local file systems that lack something were always taken; remote ones never were.
        let whole = features.d_type && features.rename_whiteout && features.xattr.is_ok();
        if !whole && ms.workdir()?.is_remote() {
            return Err(self.refuse(
                EINVAL,
                "the upper file system lacks what a remote one needs",
            ));
        }
        if !ms.should_sync() {
            workdir::create_volatile_dirty(ms, m, &w)
                .map_err(|error| self.refuse(error, "cannot mark the workdir as volatile"))?;
        }
        Ok(features)
    }

    /// Switches off what the upper file system does not support.
    #[inline(never)]
    fn apply_features(&mut self, features: UpperFeatures) -> Result {
        if !features.d_type {
            warn("the upper file system has no d_type: whiteouts will show");
        }
        self.ms.tmpfile = features.tmpfile;
        if !features.tmpfile {
            warn("the upper file system has no O_TMPFILE");
        }
        if !features.rename_whiteout {
            warn("the upper file system has no RENAME_WHITEOUT");
        }
        if let Err(error) = features.xattr {
            self.fall_back_without_xattr(error);
        }
        let handles = self.ms.upper_mnt()?.sb().handle_type();
        let config = &mut self.ms.config;
        if config.index && handles == HandleType::None {
            config.index = false;
            warn("the upper file system has no file handles, using index=off");
        }
        if config.nfs_export && !config.index {
            config.nfs_export = false;
            warn("nfs_export=on needs index=on, using nfs_export=off");
        }
        self.note_handles(handles);
        Ok(())
    }

    /// The upper file system does not store our xattrs.
    #[inline(never)]
    fn fall_back_without_xattr(&mut self, error: Error) {
        pr_warn!(
            "cannot set xattrs on the upper file system (error {})\n",
            error.to_errno()
        );
        self.ms.format().note_unsupported();
        let config = &mut self.ms.config;
        if config.follows_redirects() {
            config.redirect_dir = RedirectMode::NoFollow;
            warn("without xattrs, using redirect_dir=nofollow");
        }
        if config.metacopy {
            config.metacopy = false;
            warn("without xattrs, using metacopy=off");
        }
        if config.index {
            config.index = false;
            warn("without xattrs, using index=off");
        }
        if config.has_fsid() {
            config.uuid = Uuid::Null;
            warn("without xattrs, using uuid=null");
        }
        // The number of a copied-up object is that of its origin, which an xattr says.
        if config.xino == Xino::Auto {
            config.xino = Xino::Off;
            warn("without xattrs, using xino=off");
        }
        if error == EPERM && !config.userxattr {
            pr_info!("the option userxattr may help\n");
        }
    }
}
