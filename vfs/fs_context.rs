// SPDX-License-Identifier: GPL-2.0

//! Mounting: from the options to a superblock.
//!
//! The kernel makes a `fs_context` for every attempt to mount or remount, hands over the options
//! one by one and then asks for the superblock. [`ContextOps`] is what the filesystem does about
//! it; the options it collects belong to the context, and what it builds of them to the
//! superblock.
//!
//! C header: [`include/linux/fs_context.h`](srctree/include/linux/fs_context.h); reference:
//! `Documentation/filesystems/mount_api.rst`.

use super::{
    bindings,
    dentry::Dentry,
    own::{
        self,
        FileSystem,
        FsSuper,
        SuperSetup, //
    },
    param::Given,
    text::c_str,
    vtable::{
        self,
        SuperOps, //
    },
};
use core::{
    marker::PhantomData,
    ptr::{
        null_mut,
        NonNull, //
    },
};
use kernel::{
    error::from_result,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    fmt,
    prelude::*,
    types::Opaque, //
};

/// How many filesystems may be stacked, the topmost included.
pub(crate) const MAX_STACK_DEPTH: i32 = bindings::FILESYSTEM_MAX_STACK_DEPTH as i32;

/// What a filesystem does with the options of a mount.
pub(crate) trait ContextOps: FileSystem + SuperOps {
    /// The options as they are collected.
    type Options: Send + 'static;

    /// The options of a mount that gives none.
    fn options() -> Result<KBox<Self::Options>>;

    /// Takes one option.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an option that is unknown or malformed, else what made its value unusable.
    /// The reason is logged. `ENOPARAM` leaves the option to the VFS.
    fn parse(options: &mut Self::Options, context: &FsContext, given: &Given<'_>) -> Result;

    /// Takes the first option off the text of `mount(2)`: the option, and what follows its
    /// separator if there is one.
    fn split_option(text: &[u8]) -> (&[u8], Option<&[u8]>);

    /// Fills a new superblock. May sleep; `s_umount` is held exclusively.
    ///
    /// # Errors
    ///
    /// The mount fails with the error. The reason is logged.
    fn fill(
        options: &mut Self::Options,
        context: &FsContext,
        setup: SuperSetup<'_, Self>,
    ) -> Result;

    /// Changes a superblock as the flags of `context` say; the VFS then stores them. May sleep;
    /// `s_umount` is held exclusively.
    fn reconfigure(sb: &FsSuper<Self>, context: &FsContext) -> Result;
}

/// A `struct fs_context` that one of the operations of [`ContextOps`] was called with.
///
/// # Invariants
///
/// Valid, and not changed by anyone else: `uapi_mutex` is held, or `mount(2)` uses it alone.
#[repr(transparent)]
pub(crate) struct FsContext(Opaque<bindings::fs_context>);

impl FsContext {
    /// Borrows a C context.
    ///
    /// # Safety
    ///
    /// `context` is the argument of an operation that runs for all of `'a`.
    unsafe fn from_raw<'a>(context: *mut bindings::fs_context) -> &'a Self {
        // SAFETY: The type is transparent; the rest by contract.
        unsafe { &*context.cast() }
    }

    /// The C context.
    fn get(&self) -> &bindings::fs_context {
        // SAFETY: Valid and unchanged by the type invariant.
        unsafe { &*self.0.get() }
    }

    /// Is it a remount?
    pub(crate) fn is_reconfigure(&self) -> bool {
        self.get().purpose() == bindings::fs_context_purpose_FS_CONTEXT_FOR_RECONFIGURE
    }

    /// Does it come from `mount(2)`, not from `fsopen(2)` or `fspick(2)`?
    pub(crate) fn is_old_api(&self) -> bool {
        self.get().oldapi()
    }

    /// Shall the superblock be read-only?
    pub(crate) fn is_readonly(&self) -> bool {
        self.get().sb_flags as usize & bindings::SB_RDONLY != 0
    }

    /// Did the user ask for silence about what is not a mistake of ours (`MS_SILENT`)?
    pub(crate) fn is_silent(&self) -> bool {
        self.get().sb_flags as usize & bindings::SB_SILENT != 0
    }

    /// Is the current task in the user namespace that the context was made in? A descriptor of
    /// the context may have been passed on.
    pub(crate) fn is_of_current_user_ns(&self) -> bool {
        // SAFETY: No requirement; the current task's credentials do not go away under it.
        let cred = unsafe { bindings::current_cred() };
        // SAFETY: Live, and its user namespace never changes (Documentation/security/credentials).
        let current = unsafe { (*cred).user_ns };
        core::ptr::eq(current, self.get().user_ns)
    }

    /// Is the current task in the user namespace that the context was made in, or in one below?
    pub(crate) fn user_ns_covers_current(&self) -> bool {
        // SAFETY: The context holds a count of the namespace (kernel/user_namespace.c).
        unsafe { bindings::current_in_userns(self.get().user_ns) }
    }

    /// Says why the mount fails with `error`: in the kernel log, and where the user of `fsopen(2)`
    /// reads it.
    #[must_use]
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse(&self, error: Error, why: fmt::Arguments<'_>) -> Error {
        pr_err!("{}\n", why);
        let log = &self.get().log;
        if !log.log.is_null() {
            // SAFETY: The log belongs to the context, and `%pA` formats an `Arguments`
            // (`logfc()` in fs/fs_context.c, `pointer()` in lib/vsprintf.c).
            unsafe {
                bindings::logfc(
                    log.log,
                    log.prefix,
                    b'e',
                    c"%pA".as_char_ptr(),
                    core::ptr::from_ref(&why).cast::<c_void>(),
                )
            };
        }
        error
    }

    /// The value of the option `name` is malformed: `EINVAL`.
    pub(crate) fn bad_value(&self, name: &str) -> Error {
        self.refuse(EINVAL, fmt!("bad value of mount option '{name}'"))
    }
}

/// The operations of the contexts of `F`.
struct Vtable<F>(PhantomData<F>);

impl<F: ContextOps> Vtable<F> {
    const OPS: bindings::fs_context_operations = bindings::fs_context_operations {
        free: Some(Self::free),
        dup: None,
        parse_param: Some(Self::parse_param),
        parse_monolithic: Some(Self::parse_monolithic),
        get_tree: Some(Self::get_tree),
        reconfigure: Some(Self::reconfigure),
    };

    /// The options of a context.
    ///
    /// # Safety
    ///
    /// `context` went through [`init()`] for `F` and not through `free`; nobody else uses its
    /// options for `'a`.
    unsafe fn options<'a>(context: *mut bindings::fs_context) -> &'a mut F::Options {
        // SAFETY: A live context by contract.
        let options = unsafe { (*context).fs_private };
        // SAFETY: `init` stored a leaked `KBox` there.
        unsafe { &mut *options.cast::<F::Options>() }
    }

    /// `->free`.
    ///
    /// # Safety
    ///
    /// Called by `put_fs_context()` with a context that went through [`init()`].
    unsafe extern "C" fn free(context: *mut bindings::fs_context) {
        // SAFETY: A live context that nobody else uses.
        let slot = unsafe { &raw mut (*context).fs_private };
        // SAFETY: As above.
        let options = unsafe { slot.replace(null_mut()) };
        if let Some(options) = NonNull::new(options) {
            // SAFETY: `init` leaked it and nobody else takes it back.
            drop(unsafe { KBox::from_raw(options.as_ptr().cast::<F::Options>()) });
        }
    }

    /// `->parse_param`.
    ///
    /// # Safety
    ///
    /// Called by `vfs_parse_fs_param()`.
    unsafe extern "C" fn parse_param(
        context: *mut bindings::fs_context,
        param: *mut bindings::fs_parameter,
    ) -> c_int {
        // SAFETY: One operation of a context runs at a time (fs/fsopen.c: `uapi_mutex`).
        let options = unsafe { Self::options(context) };
        // SAFETY: An argument of this operation.
        let context = unsafe { FsContext::from_raw(context) };
        // SAFETY: An argument of this operation.
        let given = unsafe { Given::from_raw(param) };
        from_result(|| F::parse(options, context, &given).map(|()| 0))
    }

    /// `->parse_monolithic`.
    ///
    /// # Safety
    ///
    /// Called by `parse_monolithic_mount_data()` with the C string of `mount(2)` or null.
    unsafe extern "C" fn parse_monolithic(
        context: *mut bindings::fs_context,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: Our own arguments; `next_option` does what the function asks for
        // (`vfs_parse_monolithic_sep()` in fs/fs_context.c).
        unsafe { bindings::vfs_parse_monolithic_sep(context, data, Some(Self::next_option)) }
    }

    /// Cuts the first option off the text at `*rest`, and moves `*rest` behind it; null at the end.
    ///
    /// # Safety
    ///
    /// `*rest` is null or a C string that may be written.
    unsafe extern "C" fn next_option(rest: *mut *mut c_char) -> *mut c_char {
        // SAFETY: Valid by contract.
        let text = unsafe { rest.read() };
        if text.is_null() {
            return text;
        }
        let after = {
            // SAFETY: A C string by contract; the borrow ends before it is written.
            let bytes = unsafe { c_str(text) }.to_bytes();
            let (option, after) = F::split_option(bytes);
            after.and_then(|after| {
                // The separator is one byte, so that this many are before it.
                let at = bytes.len().checked_sub(after.len())?.checked_sub(1)?;
                (at == option.len()).then_some(at)
            })
        };
        let next = match after {
            Some(at) => {
                // SAFETY: Within the string, where its separator is.
                let separator = unsafe { text.add(at) };
                // SAFETY: The string may be written.
                unsafe { separator.write(0) };
                // SAFETY: At most the terminating NUL of the string.
                unsafe { separator.add(1) }
            }
            None => null_mut(),
        };
        // SAFETY: Valid by contract.
        unsafe { rest.write(next) };
        text
    }

    /// `->get_tree`.
    ///
    /// # Safety
    ///
    /// Called by `vfs_get_tree()`.
    unsafe extern "C" fn get_tree(context: *mut bindings::fs_context) -> c_int {
        // SAFETY: Our own argument; `fill` fills a superblock of `F` (`get_tree_nodev()` in
        // fs/super.c).
        unsafe { bindings::get_tree_nodev(context, Some(Self::fill)) }
    }

    /// Fills a superblock that no one knows yet.
    ///
    /// # Safety
    ///
    /// Called by `get_tree_nodev()` with a new superblock of `F`.
    unsafe extern "C" fn fill(
        sb: *mut bindings::super_block,
        context: *mut bindings::fs_context,
    ) -> c_int {
        // SAFETY: One operation of a context runs at a time.
        let options = unsafe { Self::options(context) };
        // SAFETY: The context of the running `->get_tree`.
        let context = unsafe { FsContext::from_raw(context) };
        // An inode of the superblock has to come from the slab of `F`, whenever it is made.
        // SAFETY: New, ours and locked (`vfs_get_super()` in fs/super.c).
        unsafe { (*sb).s_op = vtable::super_ops::<F>() };
        // SAFETY: As above; it has its operations.
        let setup = unsafe { SuperSetup::<F>::from_raw(sb) };
        match F::fill(options, context, setup) {
            Ok(()) => 0,
            Err(error) => {
                // SAFETY: Still ours and locked; without a root `->put_super` will not be called
                // (`generic_shutdown_super()` in fs/super.c).
                unsafe { own::abandon::<F>(sb) };
                error.to_errno()
            }
        }
    }

    /// `->reconfigure`.
    ///
    /// # Safety
    ///
    /// Called by `reconfigure_super()` with the root of a mounted superblock of `F`.
    unsafe extern "C" fn reconfigure(context: *mut bindings::fs_context) -> c_int {
        // SAFETY: The context holds a count of the root of the superblock to change.
        let root = unsafe { (*context).root };
        // SAFETY: As above.
        let root = unsafe { Dentry::from_raw(root) };
        // SAFETY: A superblock of `F` that was filled, as the context is one of `F`.
        let sb = unsafe { FsSuper::<F>::from_raw(root.sb().as_ptr()) };
        // SAFETY: The argument of this operation.
        let context = unsafe { FsContext::from_raw(context) };
        from_result(|| F::reconfigure(sb, context).map(|()| 0))
    }
}

/// `->init_fs_context` of the filesystem type `F`.
///
/// # Safety
///
/// Called by `alloc_fs_context()` with a context of `F`.
pub(super) unsafe extern "C" fn init<F: ContextOps>(
    context: *mut kernel::bindings::fs_context,
) -> c_int {
    // The kernel crate only has a forward declaration of it.
    let context = context.cast::<bindings::fs_context>();
    from_result(|| {
        let options = KBox::into_raw(F::options()?);
        // SAFETY: A new context that nobody else knows.
        let context = unsafe { &mut *context };
        context.fs_private = options.cast();
        context.ops = &Vtable::<F>::OPS;
        Ok(0)
    })
}
