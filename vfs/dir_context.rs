// SPDX-License-Identifier: GPL-2.0

//! Reading directories: those of a layer, and ours for a user.
//!
//! C calls back for every entry (`struct dir_context`). Here a closure gets the entries of a
//! layer's directory, and [`Emit`] takes the entries that a user is to see.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{
    bindings,
    cred::Mounter,
    errno::to_result,
    file::File, //
};
use core::marker::PhantomData;
use kernel::{
    ffi::{
        c_char,
        c_int,
        c_uint, //
    },
    prelude::*, //
};

/// One entry of a layer's directory, as its filesystem tells it.
pub(crate) struct DirEntry<'a> {
    /// The name; `.` and `..` come too.
    pub(crate) name: &'a [u8],
    /// Inode number; what readdir says, which for a mount point is not what stat says.
    pub(crate) ino: u64,
    /// `DT_*`; `DT_UNKNOWN` (0) if the filesystem does not know without reading the inode.
    pub(crate) dtype: u8,
}

/// `struct dir_context` of a closure.
///
/// # Invariants
///
/// `ctx` is the first field: `iterate_dir()` hands a pointer to it to [`Actor::call`].
#[repr(C)]
struct Actor<'a, T: ?Sized> {
    ctx: bindings::dir_context,
    each: &'a mut T,
    seen: bool,
    stopped: bool,
    result: Result,
}

impl<T> Actor<'_, T>
where
    T: FnMut(DirEntry<'_>) -> Result<bool> + ?Sized,
{
    /// # Safety
    ///
    /// For `iterate_dir()`: `ctx` must be the field of a live `Actor<T>` that nobody else uses,
    /// `name` must have `len` bytes.
    unsafe extern "C" fn call(
        ctx: *mut bindings::dir_context,
        name: *const c_char,
        len: c_int,
        _offset: bindings::loff_t,
        ino: u64,
        dtype: c_uint,
    ) -> bool {
        // SAFETY: `ctx` is the first field of an `Actor<T>`, and iterate_dir() runs within the
        // call of `read_dir` that owns it.
        let this = unsafe { &mut *ctx.cast::<Self>() };
        this.seen = true;
        // SAFETY: as the caller says.
        let entry = unsafe { entry(name, len, ino, dtype) };
        match (this.each)(entry) {
            Ok(true) => true,
            Ok(false) => {
                this.stopped = true;
                false
            }
            Err(error) => {
                this.result = Err(error);
                false
            }
        }
    }
}

/// The arguments of a `filldir_t` as an entry.
///
/// # Safety
///
/// `name` must have `len` bytes that do not change for `'a`.
unsafe fn entry<'a>(name: *const c_char, len: c_int, ino: u64, dtype: c_uint) -> DirEntry<'a> {
    let len = usize::try_from(len).unwrap_or(0);
    let name = if len == 0 {
        &[]
    } else {
        // SAFETY: the caller proves it; the length is not zero, so the pointer is not null.
        unsafe { core::slice::from_raw_parts(name.cast(), len) }
    };
    DirEntry {
        name,
        ino,
        // The bits above are flags for the actor (FILLDIR_FLAG_*, include/linux/fs.h).
        dtype: u8::try_from(dtype & bindings::S_DT_MASK).unwrap_or(0),
    }
}

/// Reads the rest of a layer's directory, from the position of `file` on. `each` gets the entries
/// and says whether it wants more.
///
/// Takes the lock of the layer's directory for each piece; sleeps.
///
/// # Errors
///
/// The first error of the filesystem or of `each`. (`fs/readdir.c`, iterate_dir())
pub(crate) fn read_dir<T>(_m: &Mounter<'_>, file: &File, each: &mut T) -> Result
where
    T: FnMut(DirEntry<'_>) -> Result<bool> + ?Sized,
{
    let mut actor = Actor {
        ctx: bindings::dir_context {
            actor: Some(Actor::<T>::call),
            count: c_int::MAX,
            ..pin_init::zeroed()
        },
        each,
        seen: false,
        stopped: false,
        result: Ok(()),
    };
    loop {
        actor.seen = false;
        let actor_ptr = &raw mut actor;
        // SAFETY: `ctx` lives for the call and is not kept (fs/readdir.c, iterate_dir()).
        let ret = unsafe { bindings::iterate_dir(file.as_ptr(), actor_ptr.cast()) };
        to_result(ret)?;
        core::mem::replace(&mut actor.result, Ok(()))?;
        // A filesystem may deliver a directory in pieces: it ends with an empty one.
        if actor.stopped || !actor.seen {
            return Ok(());
        }
    }
}

/// `filldir_t` (include/linux/fs.h), which is never null in a context that is in use.
type FillDir = unsafe extern "C" fn(
    *mut bindings::dir_context,
    *const c_char,
    c_int,
    bindings::loff_t,
    u64,
    c_uint,
) -> bool;

/// Takes no entry.
extern "C" fn refuse(
    _ctx: *mut bindings::dir_context,
    _name: *const c_char,
    _len: c_int,
    _offset: bindings::loff_t,
    _ino: u64,
    _dtype: c_uint,
) -> bool {
    false
}

/// The user's side of a readdir: where the entries of our directory go.
///
/// # Invariants
///
/// `ctx` is the live context of a `->iterate_shared` call that this task is in, and nobody else
/// uses it for `'a`.
pub(crate) struct Emit<'a> {
    ctx: *mut bindings::dir_context,
    /// That of `ctx`.
    actor: FillDir,
    _lent: PhantomData<&'a mut bindings::dir_context>,
}

impl Emit<'_> {
    /// Takes the context of `->iterate_shared`.
    ///
    /// # Safety
    ///
    /// As the type invariant says.
    pub(super) unsafe fn from_raw(ctx: *mut bindings::dir_context) -> Self {
        Self {
            ctx,
            // SAFETY: the context is live.
            actor: unsafe { (*ctx).actor }.unwrap_or(refuse),
            _lent: PhantomData,
        }
    }

    /// Shows one entry at the current position. False if the user's buffer is full; the entry was
    /// not taken then.
    pub(crate) fn emit(&mut self, name: &[u8], ino: u64, dtype: u8) -> bool {
        let Ok(len) = c_int::try_from(name.len()) else {
            return false;
        };
        let (pos, dtype) = (self.pos(), c_uint::from(dtype) & bindings::S_DT_MASK);
        // SAFETY: as above; the actor gets its own context and copies the name
        // (include/linux/fs.h, dir_emit()).
        unsafe { (self.actor)(self.ctx, name.as_ptr().cast(), len, pos, ino, dtype) }
    }

    /// The position of the directory stream.
    pub(crate) fn pos(&self) -> i64 {
        // SAFETY: by the type invariant.
        unsafe { (*self.ctx).pos }
    }

    /// Sets the position: where the stream goes on after what was emitted.
    pub(crate) fn set_pos(&mut self, pos: i64) {
        // SAFETY: by the type invariant.
        unsafe { (*self.ctx).pos = pos };
    }
}

/// Lets the filesystem of a layer fill the user's buffer itself.
///
/// # Errors
///
/// Those of the filesystem. (`fs/readdir.c`, iterate_dir())
pub(crate) fn iterate_straight(_m: &Mounter<'_>, real: &File, out: &mut Emit<'_>) -> Result {
    // SAFETY: `out` is the live context of our caller, which iterate_dir() does not keep.
    to_result(unsafe { bindings::iterate_dir(real.as_ptr(), out.ctx) })
}

/// `struct dir_context` that replaces inode numbers on the way to the user.
///
/// # Invariants
///
/// `ctx` is the first field; `user` is a live context.
#[repr(C)]
struct Translator<'a, T> {
    ctx: bindings::dir_context,
    user: *mut bindings::dir_context,
    ino: &'a mut T,
}

impl<T> Translator<'_, T>
where
    T: FnMut(&DirEntry<'_>) -> u64,
{
    /// # Safety
    ///
    /// For `iterate_dir()`: `ctx` must be the field of a live `Translator<T>` that nobody else uses,
    /// `name` must have `len` bytes.
    unsafe extern "C" fn call(
        ctx: *mut bindings::dir_context,
        name: *const c_char,
        len: c_int,
        offset: bindings::loff_t,
        ino: u64,
        dtype: c_uint,
    ) -> bool {
        // SAFETY: `ctx` is the first field of a `Translator<T>`, and iterate_dir() runs within the
        // call of `iterate_through` that owns it.
        let this = unsafe { &mut *ctx.cast::<Self>() };
        // SAFETY: as the caller says.
        let entry = unsafe { entry(name, len, ino, dtype) };
        let ino = (this.ino)(&entry);
        // SAFETY: by the type invariant.
        let Some(actor) = (unsafe { (*this.user).actor }) else {
            return false;
        };
        // SAFETY: the user's actor gets its own context and what the filesystem said.
        let more = unsafe { actor(this.user, name, len, offset, ino, dtype) };
        // The room in the user's buffer: a hint for the filesystem.
        // SAFETY: by the type invariant.
        this.ctx.count = unsafe { (*this.user).count };
        more
    }
}

/// Lets the filesystem of a layer fill the user's buffer, with the inode numbers that `ino` gives.
///
/// The position of the stream is the layer's.
///
/// # Errors
///
/// Those of the filesystem. (`fs/readdir.c`, iterate_dir())
pub(crate) fn iterate_through<T>(
    _m: &Mounter<'_>,
    real: &File,
    out: &mut Emit<'_>,
    ino: &mut T,
) -> Result
where
    T: FnMut(&DirEntry<'_>) -> u64,
{
    let mut translator = Translator {
        ctx: bindings::dir_context {
            actor: Some(Translator::<T>::call),
            // SAFETY: by the invariant of `Emit`.
            count: unsafe { (*out.ctx).count },
            ..pin_init::zeroed()
        },
        user: out.ctx,
        ino,
    };
    let translator_ptr = &raw mut translator;
    // SAFETY: the context lives for the call and is not kept.
    let ret = unsafe { bindings::iterate_dir(real.as_ptr(), translator_ptr.cast()) };
    out.set_pos(translator.ctx.pos);
    to_result(ret)
}
