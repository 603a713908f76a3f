/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module's own bindgen run reads: the headers that the kernel crate's bindings leave
 * out, and constants that are expressions (bindgen only evaluates plain ones). Such a constant
 * appears in Rust without the RUST_CONST_HELPER_OVL_ in front of its name.
 */
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/filelock.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/fs_stack.h>
#include <linux/namei.h>
#include <linux/mount.h>
#include <linux/cred.h>
#include <linux/security.h>
#include <linux/backing-file.h>
#include <linux/exportfs.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/xattr.h>
#include <linux/fileattr.h>
#include <linux/fiemap.h>
#include <linux/fsverity.h>
#include <linux/splice.h>
#include <linux/statfs.h>
#include <linux/uuid.h>
#include <linux/magic.h>
#include <linux/errseq.h>

#define OVL_CONST(type, name) const type RUST_CONST_HELPER_OVL_##name = name

OVL_CONST(gfp_t, GFP_KERNEL_ACCOUNT);

OVL_CONST(unsigned int, LOOKUP_FOLLOW);
OVL_CONST(unsigned int, LOOKUP_DIRECTORY);
OVL_CONST(unsigned int, LOOKUP_RCU);
OVL_CONST(unsigned int, LOOKUP_EXCL);
OVL_CONST(unsigned int, LOOKUP_BENEATH);
OVL_CONST(unsigned int, LOOKUP_NO_SYMLINKS);
OVL_CONST(unsigned int, LOOKUP_NO_XDEV);

OVL_CONST(unsigned int, DCACHE_OP_REAL);
OVL_CONST(unsigned int, DCACHE_OP_HASH);
OVL_CONST(unsigned int, DCACHE_OP_COMPARE);
OVL_CONST(unsigned int, DCACHE_OP_REVALIDATE);
OVL_CONST(unsigned int, DCACHE_OP_WEAK_REVALIDATE);
OVL_CONST(unsigned int, DCACHE_NEED_AUTOMOUNT);
OVL_CONST(unsigned int, DCACHE_MANAGE_TRANSIT);
OVL_CONST(unsigned int, DCACHE_DISCONNECTED);

OVL_CONST(unsigned long, SB_RDONLY);
OVL_CONST(unsigned long, SB_NOSEC);
OVL_CONST(unsigned long, SB_POSIXACL);
OVL_CONST(unsigned long, SB_SILENT);
OVL_CONST(unsigned long, SB_I_SKIP_SYNC);
OVL_CONST(unsigned long, SB_I_NOUMASK);
OVL_CONST(unsigned long, SB_I_EVM_HMAC_UNSUPPORTED);
OVL_CONST(loff_t, MAX_LFS_FILESIZE);

OVL_CONST(unsigned int, MNT_NOATIME);
OVL_CONST(unsigned int, MNT_NODIRATIME);
OVL_CONST(unsigned int, MNT_RELATIME);
OVL_CONST(unsigned int, MNT_READONLY);

OVL_CONST(unsigned int, S_SYNC);
OVL_CONST(unsigned int, S_NOATIME);
OVL_CONST(unsigned int, S_APPEND);
OVL_CONST(unsigned int, S_IMMUTABLE);
OVL_CONST(unsigned int, S_DEAD);
OVL_CONST(unsigned int, S_NOCMTIME);
OVL_CONST(unsigned int, S_CASEFOLD);
OVL_CONST(unsigned int, S_VERITY);

OVL_CONST(unsigned int, FMODE_LSEEK);
OVL_CONST(unsigned int, FMODE_WRITE);
OVL_CONST(unsigned int, FMODE_CAN_ODIRECT);
OVL_CONST(unsigned int, IOCB_NOWAIT);
OVL_CONST(unsigned int, IOCB_DSYNC);
OVL_CONST(unsigned int, IOCB_SYNC);
OVL_CONST(unsigned int, SPLICE_F_MOVE);
OVL_CONST(dev_t, WHITEOUT_DEV);

OVL_CONST(unsigned int, ATTR_MODE);
OVL_CONST(unsigned int, ATTR_UID);
OVL_CONST(unsigned int, ATTR_GID);
OVL_CONST(unsigned int, ATTR_SIZE);
OVL_CONST(unsigned int, ATTR_ATIME);
OVL_CONST(unsigned int, ATTR_MTIME);
OVL_CONST(unsigned int, ATTR_CTIME);
OVL_CONST(unsigned int, ATTR_ATIME_SET);
OVL_CONST(unsigned int, ATTR_MTIME_SET);
OVL_CONST(unsigned int, ATTR_FORCE);
OVL_CONST(unsigned int, ATTR_KILL_SUID);
OVL_CONST(unsigned int, ATTR_KILL_SGID);
OVL_CONST(unsigned int, ATTR_FILE);
OVL_CONST(unsigned int, ATTR_OPEN);
OVL_CONST(unsigned int, ACL_TYPE_ACCESS);
OVL_CONST(unsigned int, ACL_TYPE_DEFAULT);
OVL_CONST(unsigned int, FS_IOC_GETFLAGS);
OVL_CONST(unsigned int, FS_IOC_SETFLAGS);
OVL_CONST(unsigned int, FS_IOC_FSGETXATTR);
OVL_CONST(unsigned int, FS_IOC_FSSETXATTR);
OVL_CONST(unsigned int, FMODE_OPENED);
