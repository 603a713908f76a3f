// SPDX-License-Identifier: GPL-2.0

//! A filesystem type: its place in memory, its registration and what both hold.
//!
//! A `file_system_type` contains the lock classes of its superblocks, so that it must be a static
//! of the module: lockdep refuses classes in any other memory. [`FsType`] is that static,
//! [`Registration`] the time during which the kernel knows it.
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    bindings,
    errno::to_result,
    fs_context::{
        self,
        ContextOps, //
    },
    own::FileSystem,
    slab::InodeCache,
};
use core::marker::PhantomData;
use kernel::{
    ffi::c_int,
    prelude::*,
    types::Opaque, //
};

/// The filesystem type `F`, to be declared as a static.
///
/// # Invariants
///
/// Only [`Registration`] writes `inner` and `alias`, while the kernel does not know them.
pub(crate) struct FsType<F> {
    inner: Opaque<bindings::file_system_type>,
    alias: Opaque<bindings::file_system_type>,
    inodes: InodeCache,
    _filesystem: PhantomData<fn() -> F>,
}

// SAFETY: `inner` and `alias` are used by C with its own locks (`fs/filesystems.c`, `fs/super.c`)
// and by one `Registration` before that; `inodes` is atomic.
unsafe impl<F> Sync for FsType<F> {}

impl<F> FsType<F> {
    /// A type that is not registered.
    pub(crate) const fn new() -> Self {
        Self {
            inner: Opaque::zeroed(),
            alias: Opaque::zeroed(),
            inodes: InodeCache::empty(),
            _filesystem: PhantomData,
        }
    }

    /// The cache of the inodes; without a cache unless the type is registered.
    pub(super) fn inodes(&self) -> &InodeCache {
        &self.inodes
    }
}

/// A filesystem type that the kernel knows, perhaps by a second name, too. Dropping it takes the
/// type back.
///
/// # Invariants
///
/// The type is registered and has its inode cache; its alias is registered if `has_alias`.
pub(crate) struct Registration<F: FileSystem> {
    has_alias: bool,
    _filesystem: PhantomData<F>,
}

impl<F: ContextOps> Registration<F> {
    /// What the kernel may do with this type: let the root of a user namespace mount it, and
    /// translate the owners that a mount of it shows.
    const FLAGS: u32 = bindings::FS_USERNS_MOUNT | bindings::FS_ALLOW_IDMAP;

    /// Makes the type known, as one of `module`, which is pinned by every mount of it.
    ///
    /// To be called once, from the module's init. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EBUSY` if there is a filesystem of that name.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let fs_type = F::fs_type();
        fs_type.inodes.create::<F>()?;
        // SAFETY: A static of ours that nobody has made known yet.
        let registered = unsafe { Self::register(&fs_type.inner, F::NAME, module) };
        if let Err(error) = registered {
            // SAFETY: No mount, hence no inode, was possible.
            unsafe { fs_type.inodes.destroy() };
            return Err(error);
        }
        // INVARIANT: Both just done, and no alias is registered.
        Ok(Self {
            has_alias: false,
            _filesystem: PhantomData,
        })
    }

    /// Makes the type known as [`FileSystem::ALIAS`], too: what is mounted by that name is the
    /// same in everything but the name it shows. To be called once.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a filesystem of that name; nothing has changed then.
    pub(crate) fn add_alias(&mut self, module: &'static ThisModule) -> Result {
        // SAFETY: A static of ours that nobody has made known yet: it is done once.
        unsafe { Self::register(&F::fs_type().alias, F::ALIAS, module) }?;
        // INVARIANT: Just done.
        self.has_alias = true;
        Ok(())
    }

    /// Fills `slot` and makes it known as `name`.
    ///
    /// # Safety
    ///
    /// `slot` is a static that the kernel does not know and that nobody else uses.
    unsafe fn register(
        slot: &'static Opaque<bindings::file_system_type>,
        name: &'static CStr,
        module: &'static ThisModule,
    ) -> Result {
        // SAFETY: Writes only, to a static that is ours alone by contract.
        let inner = unsafe { &mut *slot.get() };
        inner.name = name.as_char_ptr();
        inner.owner = module.as_ptr();
        inner.fs_flags = Self::FLAGS as c_int;
        inner.init_fs_context = Some(fs_context::init::<F>);
        inner.kill_sb = Some(bindings::kill_anon_super);
        // SAFETY: Complete and static (`register_filesystem()` in fs/filesystems.c).
        to_result(unsafe { bindings::register_filesystem(slot.get()) })
    }
}

impl<F: FileSystem> Drop for Registration<F> {
    fn drop(&mut self) {
        let fs_type = F::fs_type();
        if self.has_alias {
            // SAFETY: Registered by the type invariant. There is no mount: each holds the module
            // (`unregister_filesystem()` in fs/filesystems.c).
            unsafe { bindings::unregister_filesystem(fs_type.alias.get()) };
        }
        // SAFETY: As above.
        unsafe { bindings::unregister_filesystem(fs_type.inner.get()) };
        // SAFETY: Waits; may be called from any context that sleeps (`rcu_barrier()` in
        // kernel/rcu/tree.c).
        unsafe { bindings::rcu_barrier() };
        // SAFETY: The inodes of the last mount were freed by RCU callbacks, which have run.
        unsafe { fs_type.inodes.destroy() };
    }
}
