// SPDX-License-Identifier: GPL-2.0
/*
 * Sizes and offsets of the structures that the module shares with the kernel, printed into the
 * assembly by the compiler that builds C code for this kernel. bindings/mod.rs asserts that the
 * Rust declarations, which libclang made, agree.
 */
#define COMPILE_OFFSETS
#include <linux/kbuild.h>
#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/backing-file.h>
#include <linux/exportfs.h>
#include <linux/posix_acl.h>
#include <linux/fileattr.h>
#include <linux/statfs.h>
#include <linux/xattr.h>

#define SIZE(type) DEFINE(SIZEOF_##type, sizeof(struct type))
#define AT(type, member) DEFINE(OFFSETOF_##type##_##member, offsetof(struct type, member))

int main(void)
{
	SIZE(inode);
	SIZE(dentry);
	SIZE(super_block);
	SIZE(vfsmount);
	SIZE(file);
	SIZE(path);
	SIZE(cred);
	SIZE(mutex);
	SIZE(fs_context);
	SIZE(fs_context_operations);
	SIZE(fs_parameter);
	SIZE(fs_parameter_spec);
	SIZE(backing_file_ctx);
	SIZE(export_operations);
	SIZE(posix_acl);
	SIZE(file_kattr);
	SIZE(kstatfs);
	SIZE(kstat);
	SIZE(iattr);
	SIZE(kiocb);
	SIZE(renamedata);
	SIZE(dir_context);
	SIZE(name_snapshot);
	SIZE(xattr_handler);
	SIZE(file_system_type);
	SIZE(inode_operations);
	SIZE(file_operations);
	SIZE(super_operations);
	SIZE(dentry_operations);
	AT(inode, i_private);
	AT(inode, i_mapping);
	AT(inode, i_flags);
	AT(dentry, d_flags);
	AT(vfsmount, mnt_idmap);
	AT(dentry, d_inode);
	AT(dentry, d_fsdata);
	AT(super_block, s_fs_info);
	AT(super_block, s_d_flags);
	AT(fs_context, s_fs_info);
	AT(fs_context, sb_flags);
	AT(file, private_data);
	return 0;
}
