// SPDX-License-Identifier: GPL-2.0

//! POSIX ACLs.
//!
//! The ACL that a filesystem hands out may be the one in its cache: it is shared and never
//! changed. Whoever needs another one makes a copy.
//!
//! C headers: [`include/linux/posix_acl.h`](srctree/include/linux/posix_acl.h),
//! [`include/linux/posix_acl_xattr.h`](srctree/include/linux/posix_acl_xattr.h)

use super::{
    bindings,
    errno::{
        from_err_ptr,
        to_result, //
    },
    inode::Inode,
    mount::IdMap,
    own::{
        FileSystem,
        FsInode, //
    },
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    prelude::*, //
};

/// Name of the attribute that holds the access ACL.
pub(crate) const NAME_ACCESS: &CStr = c"system.posix_acl_access";

/// Name of the attribute that holds the default ACL.
pub(crate) const NAME_DEFAULT: &CStr = c"system.posix_acl_default";

/// Which of its two ACLs an object is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AclKind {
    /// Who may access the object.
    Access,
    /// What new objects in a directory inherit.
    Default,
}

impl AclKind {
    /// From `ACL_TYPE_ACCESS` or `ACL_TYPE_DEFAULT`.
    ///
    /// # Errors
    ///
    /// `EINVAL` for anything else.
    pub(super) fn from_raw(kind: c_int) -> Result<Self> {
        match u32::try_from(kind) {
            Ok(bindings::ACL_TYPE_ACCESS) => Ok(Self::Access),
            Ok(bindings::ACL_TYPE_DEFAULT) => Ok(Self::Default),
            _ => Err(EINVAL),
        }
    }

    /// `ACL_TYPE_ACCESS` or `ACL_TYPE_DEFAULT`.
    pub(super) const fn raw(self) -> c_int {
        match self {
            Self::Access => 0x8000,
            Self::Default => 0x4000,
        }
    }

    /// From the name of an attribute; `None` if it does not hold an ACL.
    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        if name == NAME_ACCESS.to_bytes() {
            Some(Self::Access)
        } else if name == NAME_DEFAULT.to_bytes() {
            Some(Self::Default)
        } else {
            None
        }
    }

    /// The name of the attribute.
    pub(crate) const fn xattr_name(self) -> &'static CStr {
        match self {
            Self::Access => NAME_ACCESS,
            Self::Default => NAME_DEFAULT,
        }
    }
}

// The values of `raw` are those of the header.
const _: () = assert!(bindings::ACL_TYPE_ACCESS as c_int == AclKind::Access.raw());
const _: () = assert!(bindings::ACL_TYPE_DEFAULT as c_int == AclKind::Default.raw());

/// A reference to a POSIX ACL.
///
/// # Invariants
///
/// `0` is valid and one count of it is ours.
pub(crate) struct Acl(NonNull<bindings::posix_acl>);

// SAFETY: the count of a posix_acl is atomic and its entries are only changed while it is private.
unsafe impl Send for Acl {}
// SAFETY: as above.
unsafe impl Sync for Acl {}

impl Acl {
    /// Takes over what an ACL function returned: null, an error, or a counted ACL.
    ///
    /// # Errors
    ///
    /// The one in the pointer.
    ///
    /// # Safety
    ///
    /// `ptr` must be null, an error pointer, or an ACL with a count that the caller owns and
    /// gives away.
    pub(super) unsafe fn from_owned(ptr: *mut bindings::posix_acl) -> Result<Option<Self>> {
        Ok(NonNull::new(from_err_ptr(ptr)?).map(Self))
    }

    /// Borrows an ACL that C lends for a call; `None` for null.
    ///
    /// The borrow does not own a count, hence the wrapper that does not give one back.
    ///
    /// # Safety
    ///
    /// `ptr` must be null or valid for `'a`.
    pub(super) unsafe fn borrow<'a>(ptr: *mut bindings::posix_acl) -> Option<BorrowedAcl<'a>> {
        NonNull::new(ptr).map(|acl| BorrowedAcl {
            acl: core::mem::ManuallyDrop::new(Self(acl)),
            _lent: PhantomData,
        })
    }

    /// Gives the count to C.
    pub(super) fn into_raw(self) -> *mut bindings::posix_acl {
        core::mem::ManuallyDrop::new(self).as_ptr()
    }

    /// The C ACL.
    pub(super) fn as_ptr(&self) -> *mut bindings::posix_acl {
        self.0.as_ptr()
    }

    /// A private copy.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn clone_mut(&self) -> Result<Self> {
        // SAFETY: by the type invariant the ACL is valid; the copy has one count.
        let copy = unsafe { bindings::posix_acl_clone(self.as_ptr(), bindings::GFP_KERNEL) };
        // INVARIANT: that count is ours.
        NonNull::new(copy).map(Self).ok_or(ENOMEM)
    }

    /// This ACL as it is seen through the mount of a layer: with the ids of users and groups
    /// mapped by `idmap`. `real` is the object it belongs to.
    ///
    /// Without an idmapped mount it is returned as it is; else it is copied, because the
    /// original is shared with the filesystem.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn seen_through(self, idmap: &IdMap, real: &Inode) -> Result<Self> {
        if idmap.is_nop() {
            return Ok(self);
        }
        let mapped = self.clone_mut()?;
        // SAFETY: the copy is not shared with anyone; `idmap` and `real` are alive.
        unsafe { bindings::posix_acl_map(mapped.as_ptr(), idmap.as_ptr(), real.as_ptr()) };
        Ok(mapped)
    }
}

impl Drop for Acl {
    fn drop(&mut self) {
        // SAFETY: by the type invariant one count is ours.
        unsafe { bindings::posix_acl_release(self.as_ptr()) };
    }
}

/// An ACL in the cache of an inode, seen in RCU walk: it has no count and lives until the walk's
/// read section ends.
pub(crate) struct RcuAcl<'rcu> {
    acl: NonNull<bindings::posix_acl>,
    _rcu: PhantomData<&'rcu bindings::posix_acl>,
}

impl<'rcu> RcuAcl<'rcu> {
    /// What the cache of a real inode has: `None` if it is known that there is no ACL.
    ///
    /// # Errors
    ///
    /// `ECHILD` if the cache does not know; what the filesystem's own `->get_inode_acl` answers.
    ///
    /// # Safety
    ///
    /// `inode` must be valid for `'rcu`, an RCU read section of the caller.
    pub(super) unsafe fn cached(
        inode: *mut bindings::inode,
        kind: AclKind,
    ) -> Result<Option<Self>> {
        // SAFETY: the caller is in the read section (fs/posix_acl.c, get_cached_acl_rcu()).
        let acl = unsafe { bindings::get_cached_acl_rcu(inode, kind.raw()) };
        // The marks of an empty cache look like errors: they come first.
        // SAFETY: looks at the word, does not follow it.
        if unsafe { bindings::is_uncached_acl(acl) } {
            return Err(ECHILD);
        }
        Ok(NonNull::new(from_err_ptr(acl)?).map(|acl| Self {
            acl,
            _rcu: PhantomData,
        }))
    }

    /// The C ACL.
    pub(super) fn as_ptr(&self) -> *mut bindings::posix_acl {
        self.acl.as_ptr()
    }
}

/// An ACL that C lends to an operation.
pub(super) struct BorrowedAcl<'a> {
    acl: core::mem::ManuallyDrop<Acl>,
    _lent: PhantomData<&'a bindings::posix_acl>,
}

impl BorrowedAcl<'_> {
    /// The ACL.
    pub(super) fn get(&self) -> &Acl {
        &self.acl
    }
}

/// The ACLs that a new object in `parent` inherits: its default ACL and its access ACL. `mode`
/// is restricted by them, or by the umask if there are none.
///
/// # Errors
///
/// Those of reading the parent's default ACL; `ENOMEM`. (`fs/posix_acl.c`, posix_acl_create())
pub(crate) fn acl_create<F: FileSystem>(
    parent: &FsInode<F>,
    mode: &mut u16,
) -> Result<(Option<Acl>, Option<Acl>)> {
    let mut default = ptr::null_mut();
    let mut access = ptr::null_mut();
    // SAFETY: the parent is alive; all three results are ours.
    to_result(unsafe {
        bindings::posix_acl_create(parent.as_ptr(), mode, &mut default, &mut access)
    })?;
    // SAFETY: on success each is null or an ACL with a count for the caller.
    let default = unsafe { Acl::from_owned(default) }?;
    // SAFETY: as above.
    let access = unsafe { Acl::from_owned(access) }?;
    Ok((default, access))
}
