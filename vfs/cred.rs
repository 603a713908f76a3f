// SPDX-License-Identifier: GPL-2.0

//! Credentials: who touches a layer.
//!
//! Everything below an overlay is done with the credentials of whoever mounted it. That they are
//! in force is shown by a [`Mounter`], which only exists inside [`with_mounter`]: a closure,
//! because `override_creds()` takes no reference and has to be undone in order.
//!
//! Reference: Documentation/security/credentials.rst, include/linux/cred.h

use super::{
    bindings,
    errno::to_result,
    own::{
        Child,
        FileSystem,
        FsDentry,
        Owner, //
    },
    stat::Stat, //
};
use crate::vfs::errno::{
    ECANCELED,
    EOPNOTSUPP, //
};
use core::ptr::NonNull;
use kernel::{
    cred::Credential,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// Proof that the mounter's credentials (or credentials made from them for one creation) are in
/// force in this task.
pub(crate) struct Mounter<'m> {
    cred: &'m Credential,
    _task: NotThreadSafe,
}

impl<'m> Mounter<'m> {
    /// The credentials that are in force.
    pub(crate) fn cred(&self) -> &'m Credential {
        self.cred
    }
}

/// The credentials of the task that called into the overlay, while the mounter's are in force.
pub(crate) struct Caller<'c> {
    cred: &'c Credential,
    _task: NotThreadSafe,
}

/// Puts `cred` in force until dropped. Private: a guard that leaks or that is dropped out of
/// order would leave the task with the wrong credentials.
struct Override {
    old: *const bindings::cred,
    _task: NotThreadSafe,
}

impl Override {
    fn new(cred: &Credential) -> Self {
        Self {
            // SAFETY: `cred` outlives the guard: all users are in this file and drop it first.
            old: unsafe { bindings::override_creds(cred.as_ptr()) },
            _task: NotThreadSafe,
        }
    }
}

impl Drop for Override {
    fn drop(&mut self) {
        // SAFETY: `old` is what override_creds() returned, and guards nest.
        unsafe { bindings::revert_creds(self.old) };
    }
}

/// Runs `f` with `cred`, the credentials of the mounter, in force.
pub(crate) fn with_mounter<R>(cred: &Credential, f: impl FnOnce(&Mounter<'_>) -> R) -> R {
    let _guard = Override::new(cred);
    f(&Mounter {
        cred,
        _task: NotThreadSafe,
    })
}

/// As [`with_mounter`]; `f` also learns who called.
pub(crate) fn with_mounter_and_caller<R>(
    cred: &Credential,
    f: impl FnOnce(&Mounter<'_>, &Caller<'_>) -> R,
) -> R {
    let guard = Override::new(cred);
    let caller = Caller {
        // SAFETY: the task keeps its own credentials alive while others override them.
        cred: unsafe { Credential::from_ptr(guard.old) },
        _task: NotThreadSafe,
    };
    f(
        &Mounter {
            cred,
            _task: NotThreadSafe,
        },
        &caller,
    )
}

/// A set of credentials that no one has seen yet.
struct NewCred(NonNull<bindings::cred>);

impl NewCred {
    /// A copy of those in force.
    fn prepare() -> Result<Self> {
        // SAFETY: may be called in any process context.
        NonNull::new(unsafe { bindings::prepare_creds() })
            .map(Self)
            .ok_or(ENOMEM)
    }

    fn publish(self) -> ARef<Credential> {
        let ptr = self.0;
        core::mem::forget(self);
        // SAFETY: prepare_creds() made one count, which the caller gets.
        unsafe { ARef::from_raw(ptr.cast()) }
    }
}

impl Drop for NewCred {
    fn drop(&mut self) {
        // SAFETY: the only reference to credentials that were never in force.
        unsafe { bindings::put_cred(self.0.as_ptr()) };
    }
}

/// Runs `f` with the mounter's credentials changed for the creation of `child`: the filesystem
/// ids of `owner` (the new overlay inode), and the security label that the caller would give.
///
/// # Errors
///
/// `ENOMEM`, or what the security module says (security_dentry_create_files_as()).
pub(crate) fn with_creator<F: FileSystem, R>(
    _: &Mounter<'_>,
    caller: &Caller<'_>,
    child: &Child<'_, F>,
    owner: Owner,
    mode: u16,
    f: impl FnOnce(&Mounter<'_>) -> R,
) -> Result<R> {
    let new = NewCred::prepare()?;
    // SAFETY: not published yet, so ours to write.
    unsafe { (*new.0.as_ptr()).fsuid = owner.uid };
    // SAFETY: as above.
    unsafe { (*new.0.as_ptr()).fsgid = owner.gid };
    // SAFETY: the parent of a `Child` is locked, so its name does not change.
    let name = unsafe { bindings::d_name(child.as_raw()) };
    // SAFETY: all arguments are live; `new` is not published.
    to_result(unsafe {
        bindings::security_dentry_create_files_as(
            child.as_raw(),
            i32::from(mode),
            name,
            caller.cred.as_ptr(),
            new.0.as_ptr(),
        )
    })?;
    Ok(with_mounter(&new.publish(), f))
}

/// Runs `f` with the credentials that the security module wants for the copy-up of `dentry`, or
/// with those in force if it does not care.
///
/// # Errors
///
/// What the security module says (security_inode_copy_up()).
pub(crate) fn with_copy_up_creds<F: FileSystem, R>(
    m: &Mounter<'_>,
    dentry: &FsDentry<F>,
    f: impl FnOnce(&Mounter<'_>) -> R,
) -> Result<R> {
    let mut new = core::ptr::null_mut();
    // SAFETY: `dentry` is live; the hook leaves null or a new set with one count.
    let err = unsafe { bindings::security_inode_copy_up(dentry.as_raw(), &mut new) };
    let new = NonNull::new(new).map(NewCred);
    to_result(err)?;
    Ok(match new {
        Some(new) => with_mounter(&new.publish(), f),
        None => f(m),
    })
}

/// Does the security module want the extended attribute copied up? `Ok(false)`: leave it out.
pub(crate) fn security_copy_up_xattr(
    _: &Mounter<'_>,
    from: &super::dentry::Dentry,
    name: &CStr,
) -> Result<bool> {
    // SAFETY: both are live.
    let err = unsafe { bindings::security_inode_copy_up_xattr(from.as_ptr(), name.as_char_ptr()) };
    match to_result(err) {
        Ok(()) => Ok(true),
        Err(e) if e == ECANCELED => Ok(false),
        Err(e) if e == EOPNOTSUPP => Ok(true),
        Err(e) => Err(e),
    }
}

/// Credentials for a mount: a copy of those in force without CAP_SYS_RESOURCE, so that quotas
/// and reserved blocks of the upper filesystem are honoured.
pub(crate) fn prepare_mounter_cred() -> Result<ARef<Credential>> {
    let new = NewCred::prepare()?;
    // SAFETY: not published yet, so ours to write.
    unsafe { bindings::cap_lower_sys_resource(new.0.as_ptr()) };
    Ok(new.publish())
}

/// A copy of the credentials in force.
pub(crate) fn prepare() -> Result<ARef<Credential>> {
    NewCred::prepare().map(NewCred::publish)
}

/// Has the task CAP_SYS_ADMIN in the initial user namespace? Leaves a mark in the audit log.
pub(crate) fn capable_sys_admin() -> bool {
    // SAFETY: no requirements.
    unsafe { bindings::capable(bindings::CAP_SYS_ADMIN as i32) }
}

/// Has the task CAP_DAC_READ_SEARCH in the initial user namespace?
pub(crate) fn capable_dac_read_search() -> bool {
    // SAFETY: no requirements.
    unsafe { bindings::capable(bindings::CAP_DAC_READ_SEARCH as i32) }
}

/// May the task see `trusted.*` attributes (CAP_SYS_ADMIN in the initial user namespace)?
/// Without a mark in the audit log.
pub(crate) fn may_list_trusted() -> bool {
    let initial = &raw mut bindings::init_user_ns;
    // SAFETY: the initial user namespace is always there. (What 7.3 has for this is that.)
    unsafe { bindings::ns_capable_noaudit(initial, bindings::CAP_SYS_ADMIN as i32) }
}

/// Have owner and group of `stat` a name in the current user namespace?
pub(crate) fn current_maps_owner(stat: &Stat) -> bool {
    let stat = stat.as_raw();
    // SAFETY: no requirements; the ids are plain values.
    unsafe { bindings::current_maps(stat.uid, stat.gid) }
}

/// Has a signal arrived that kills the task?
pub(crate) fn fatal_signal_pending() -> bool {
    // SAFETY: no requirements.
    unsafe { bindings::fatal_signal_pending() }
}
