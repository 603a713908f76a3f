// SPDX-License-Identifier: GPL-2.0

//! C declarations: [`kernel::bindings`] and what it lacks.
//!
//! An item that is generated here shadows the one of the glob import, so a structure that the
//! kernel crate only knows by name (`fs_context`, `kstatfs`, `posix_acl`, ..) has its fields
//! under this path. Only [`crate::vfs`] may name this module.

#![allow(
    clippy::all,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

mod raw {
    #[allow(unused_imports)]
    use kernel::{
        ffi,
        prelude::Zeroable, //
    };
    #[allow(unused_imports)]
    use pin_init::MaybeZeroable;

    pub use super::helpers::*;
    pub use kernel::bindings::*;

    include!(concat!(env!("OVL_RS_OBJ"), "/vfs/bindings/generated.rs"));
}

mod helpers {
    use super::raw::*;
    use kernel::ffi;

    include!(concat!(
        env!("OVL_RS_OBJ"),
        "/vfs/bindings/helpers_generated.rs"
    ));
}

pub(crate) use raw::*;

/// The proof that GCC (which built the kernel) and libclang (which read its headers for Rust)
/// lay out every structure that crosses the border in the same way.
mod layout {
    include!(concat!(
        env!("OVL_RS_OBJ"),
        "/vfs/bindings/layout_generated.rs"
    ));

    macro_rules! same_size {
        ($($c:ident => $t:ident),* $(,)?) => {
            $( const _: () = assert!($c == core::mem::size_of::<super::raw::$t>()); )*
        };
    }

    macro_rules! same_offset {
        ($($c:ident => $t:ident . $f:ident),* $(,)?) => {
            $( const _: () = assert!($c == core::mem::offset_of!(super::raw::$t, $f)); )*
        };
    }

    same_size!(
        SIZEOF_inode => inode,
        SIZEOF_dentry => dentry,
        SIZEOF_super_block => super_block,
        SIZEOF_vfsmount => vfsmount,
        SIZEOF_file => file,
        SIZEOF_path => path,
        SIZEOF_cred => cred,
        SIZEOF_mutex => mutex,
        SIZEOF_fs_context => fs_context,
        SIZEOF_fs_context_operations => fs_context_operations,
        SIZEOF_fs_parameter => fs_parameter,
        SIZEOF_fs_parameter_spec => fs_parameter_spec,
        SIZEOF_backing_file_ctx => backing_file_ctx,
        SIZEOF_export_operations => export_operations,
        SIZEOF_posix_acl => posix_acl,
        SIZEOF_file_kattr => file_kattr,
        SIZEOF_kstatfs => kstatfs,
        SIZEOF_kstat => kstat,
        SIZEOF_iattr => iattr,
        SIZEOF_kiocb => kiocb,
        SIZEOF_renamedata => renamedata,
        SIZEOF_dir_context => dir_context,
        SIZEOF_name_snapshot => name_snapshot,
        SIZEOF_xattr_handler => xattr_handler,
        SIZEOF_file_system_type => file_system_type,
        SIZEOF_inode_operations => inode_operations,
        SIZEOF_file_operations => file_operations,
        SIZEOF_super_operations => super_operations,
        SIZEOF_dentry_operations => dentry_operations,
    );

    same_offset!(
        OFFSETOF_inode_i_private => inode.i_private,
        OFFSETOF_inode_i_mapping => inode.i_mapping,
        OFFSETOF_inode_i_flags => inode.i_flags,
        OFFSETOF_dentry_d_flags => dentry.d_flags,
        OFFSETOF_vfsmount_mnt_idmap => vfsmount.mnt_idmap,
        OFFSETOF_dentry_d_inode => dentry.d_inode,
        OFFSETOF_dentry_d_fsdata => dentry.d_fsdata,
        OFFSETOF_super_block_s_fs_info => super_block.s_fs_info,
        OFFSETOF_super_block_s_d_flags => super_block.s_d_flags,
        OFFSETOF_fs_context_s_fs_info => fs_context.s_fs_info,
        OFFSETOF_fs_context_sb_flags => fs_context.sb_flags,
        OFFSETOF_file_private_data => file.private_data,
    );
}
