// SPDX-License-Identifier: GPL-2.0
/*
 * C that Rust cannot call: static inlines, macros and bitfields of the kernel's headers, one
 * function each, never a decision. bindgen derives the Rust prototypes from this file.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/fs.h>
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/delayed_call.h>
#include <linux/namei.h>
#include <linux/cred.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <linux/mnt_idmapping.h>
#include <linux/module.h>
#include <linux/exportfs.h>
#include <linux/fsverity.h>
#include <linux/filelock.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/uio.h>
#include <linux/unicode.h>
#include <linux/uuid.h>
#include <linux/xattr.h>

/* --- dentry --- */

struct dentry *ovl_rs_helper_dget(struct dentry *dentry)
{
	return dget(dentry);
}

bool ovl_rs_helper_d_unhashed(const struct dentry *dentry)
{
	return d_unhashed(dentry);
}

struct dentry *ovl_rs_helper_d_real(struct dentry *dentry, enum d_real_type type)
{
	return d_real(dentry, type);
}

/* Replaces the bits of @mask in d_flags by those of @flags. */
void ovl_rs_helper_d_set_flags(struct dentry *dentry, unsigned int flags, unsigned int mask)
{
	spin_lock(&dentry->d_lock);
	dentry->d_flags = (dentry->d_flags & ~mask) | (flags & mask);
	spin_unlock(&dentry->d_lock);
}

/* Unhashes a negative dentry that only the caller refers to. */
void ovl_rs_helper_d_drop_if_last_negative(struct dentry *dentry)
{
	spin_lock(&dentry->d_lock);
	if (d_is_negative(dentry) && dentry->d_lockref.count == 1)
		__d_drop(dentry);
	spin_unlock(&dentry->d_lock);
}

void ovl_rs_helper_end_creating(struct dentry *child)
{
	end_creating(child);
}

struct dentry *ovl_rs_helper_end_creating_keep(struct dentry *child)
{
	return end_creating_keep(child);
}

void ovl_rs_helper_end_removing(struct dentry *child)
{
	end_removing(child);
}

int ovl_rs_helper_vfs_whiteout(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry)
{
	return vfs_whiteout(idmap, dir, dentry);
}

struct dentry *ovl_rs_helper_file_dentry(const struct file *file)
{
	return file_dentry(file);
}

/* --- inode --- */

loff_t ovl_rs_helper_i_size_read(const struct inode *inode)
{
	return i_size_read(inode);
}

void ovl_rs_helper_i_size_write(struct inode *inode, loff_t size)
{
	i_size_write(inode, size);
}

void ovl_rs_helper_inode_lock(struct inode *inode)
{
	inode_lock(inode);
}

void ovl_rs_helper_inode_unlock(struct inode *inode)
{
	inode_unlock(inode);
}

bool ovl_rs_helper_inode_is_new(struct inode *inode)
{
	return inode_state_read_once(inode) & I_NEW;
}

void ovl_rs_helper_inode_set_creating(struct inode *inode)
{
	spin_lock(&inode->i_lock);
	inode_state_set(inode, I_CREATING);
	spin_unlock(&inode->i_lock);
}

/* Takes the mark that a directory is the upper or work directory of a mount. */
bool ovl_rs_helper_inode_inuse_trylock(struct inode *inode)
{
	bool taken;

	spin_lock(&inode->i_lock);
	taken = !(inode_state_read(inode) & I_OVL_INUSE);
	if (taken)
		inode_state_set(inode, I_OVL_INUSE);
	spin_unlock(&inode->i_lock);
	return taken;
}

void ovl_rs_helper_inode_inuse_unlock(struct inode *inode)
{
	spin_lock(&inode->i_lock);
	inode_state_clear(inode, I_OVL_INUSE);
	spin_unlock(&inode->i_lock);
}

bool ovl_rs_helper_inode_is_inuse(struct inode *inode)
{
	return inode_state_read_once(inode) & I_OVL_INUSE;
}

/* Owner (through @idmap), mode, times and size of @real, all under @inode's lock. */
void ovl_rs_helper_inode_copy_attr(struct inode *inode, struct inode *real,
				   struct mnt_idmap *idmap)
{
	spin_lock(&inode->i_lock);
	inode->i_uid = vfsuid_into_kuid(i_uid_into_vfsuid(idmap, real));
	inode->i_gid = vfsgid_into_kgid(i_gid_into_vfsgid(idmap, real));
	inode->i_mode = real->i_mode;
	inode_set_atime_to_ts(inode, inode_get_atime(real));
	inode_set_mtime_to_ts(inode, inode_get_mtime(real));
	inode_set_ctime_to_ts(inode, inode_get_ctime(real));
	i_size_write(inode, i_size_read(real));
	spin_unlock(&inode->i_lock);
}

/* Modification and change time of @real, if either differs. */
void ovl_rs_helper_inode_copy_mctime(struct inode *inode, struct inode *real)
{
	struct timespec64 mtime = inode_get_mtime(inode), real_mtime = inode_get_mtime(real);
	struct timespec64 ctime = inode_get_ctime(inode), real_ctime = inode_get_ctime(real);

	if (!timespec64_equal(&mtime, &real_mtime) || !timespec64_equal(&ctime, &real_ctime)) {
		inode_set_mtime_to_ts(inode, real_mtime);
		inode_set_ctime_to_ts(inode, real_ctime);
	}
}

void ovl_rs_helper_inode_copy_atime(struct inode *inode, struct inode *real)
{
	inode_set_atime_to_ts(inode, inode_get_atime(real));
}

int ovl_rs_helper_get_write_access(struct inode *inode)
{
	return get_write_access(inode);
}

void ovl_rs_helper_put_write_access(struct inode *inode)
{
	put_write_access(inode);
}

bool ovl_rs_helper_inode_in_group_or_capable(struct mnt_idmap *idmap, const struct inode *inode)
{
	return in_group_or_capable(idmap, inode, i_gid_into_vfsgid(idmap, inode));
}

/* Enters an inode that is in no hash chain under @key. */
void ovl_rs_helper_inode_hash_if_unhashed(struct inode *inode, void *key)
{
	if (inode_unhashed(inode)) {
		inode->i_private = key;
		__insert_inode_hash(inode, (unsigned long)key);
	}
}

/* Is there a hashed alias of @inode other than @dentry? */
bool ovl_rs_helper_inode_has_other_alias(struct inode *inode, const struct dentry *dentry)
{
	struct dentry *alias;

	spin_lock(&inode->i_lock);
	for_each_alias(alias, inode) {
		if (alias != dentry && !d_unhashed(alias))
			break;
	}
	spin_unlock(&inode->i_lock);
	return alias;
}

void ovl_rs_helper_inode_dont_cache_acl(struct inode *inode)
{
#ifdef CONFIG_FS_POSIX_ACL
	inode->i_acl = ACL_DONT_CACHE;
	inode->i_default_acl = ACL_DONT_CACHE;
#endif
}

/*
 * Overlays stack on overlays, so the locks of an overlay inode are classed by the depth of its
 * superblock; see the lock order in dir.rs.
 */
void ovl_rs_helper_inode_lock_classes(struct inode *inode, struct mutex *object)
{
#ifdef CONFIG_LOCKDEP
	static struct lock_class_key file_key[FILESYSTEM_MAX_STACK_DEPTH];
	static struct lock_class_key dir_key[FILESYSTEM_MAX_STACK_DEPTH];
	static struct lock_class_key object_key[FILESYSTEM_MAX_STACK_DEPTH];
	int depth = clamp(inode->i_sb->s_stack_depth - 1, 0, FILESYSTEM_MAX_STACK_DEPTH - 1);

	if (S_ISDIR(inode->i_mode))
		lockdep_set_class(&inode->i_rwsem, &dir_key[depth]);
	else
		lockdep_set_class(&inode->i_rwsem, &file_key[depth]);
	lockdep_set_class(object, &object_key[depth]);
#endif
}

struct kmem_cache *ovl_rs_helper_kmem_cache_create(const char *name, unsigned int size,
						   void (*ctor)(void *))
{
	return kmem_cache_create(name, size, 0, SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT, ctor);
}

void *ovl_rs_helper_alloc_inode_sb(struct super_block *sb, struct kmem_cache *cache, gfp_t gfp)
{
	return alloc_inode_sb(sb, cache, gfp);
}

int ovl_rs_helper_object_lock_interruptible(struct mutex *lock)
{
	return mutex_lock_interruptible(lock);
}

void ovl_rs_helper_mutex_init(struct mutex *lock)
{
	mutex_init(lock);
}

/* --- super block --- */

/* FILEID_INO32_GEN if file handles are the generic 32 bit ones, 0 if there are none, else -1. */
int ovl_rs_helper_sb_handle_type(struct super_block *sb)
{
	if (!exportfs_can_decode_fh(sb->s_export_op))
		return 0;
	return sb->s_export_op->encode_fh == generic_encode_ino32_fh ? FILEID_INO32_GEN : -1;
}

bool ovl_rs_helper_sb_has_encoding(const struct super_block *sb)
{
	return sb_has_encoding(sb);
}

bool ovl_rs_helper_sb_same_encoding(const struct super_block *a, const struct super_block *b)
{
	return sb_same_encoding(a, b);
}

bool ovl_rs_helper_sb_has_strict_encoding(const struct super_block *sb)
{
	return sb_has_strict_encoding(sb);
}

void ovl_rs_helper_sb_set_encoding(struct super_block *sb, const struct super_block *from)
{
#if IS_ENABLED(CONFIG_UNICODE)
	sb->s_encoding = from->s_encoding;
	sb->s_encoding_flags = from->s_encoding_flags;
#endif
}

int ovl_rs_helper_sb_casefold(const struct super_block *sb, const u8 *name, size_t len, u8 *out,
			      size_t size)
{
#if IS_ENABLED(CONFIG_UNICODE)
	const struct qstr qstr = QSTR_INIT(name, len);

	return sb->s_encoding ? utf8_casefold(sb->s_encoding, &qstr, out, size) : 0;
#else
	return 0;
#endif
}

int ovl_rs_helper_sb_sync(struct super_block *sb)
{
	int err;

	down_read(&sb->s_umount);
	err = sync_filesystem(sb);
	up_read(&sb->s_umount);
	return err;
}

void ovl_rs_helper_sb_start_write(struct super_block *sb)
{
	sb_start_write(sb);
}

void ovl_rs_helper_sb_end_write(struct super_block *sb)
{
	sb_end_write(sb);
}

void ovl_rs_helper_uuid_to_fsid(const u8 *uuid, __kernel_fsid_t *fsid)
{
	/* It only reads, but does not say so. */
	*fsid = uuid_to_fsid((u8 *)uuid);
}

/* --- mount --- */

bool ovl_rs_helper_is_idmapped_mnt(const struct vfsmount *mnt)
{
	return is_idmapped_mnt(mnt);
}

void ovl_rs_helper_mnt_set_flags(struct vfsmount *mnt, int set, int clear)
{
	mnt->mnt_flags = (mnt->mnt_flags & ~clear) | set;
}

struct vfsmount *ovl_rs_helper_clone_private_mount_as_task(const struct path *path)
{
	/* Asks for CAP_SYS_ADMIN: that of the task, not of the credentials it works with. */
	const struct cred *old = override_creds(current_real_cred());
	struct vfsmount *mnt = clone_private_mount(path);

	revert_creds(old);
	return mnt;
}

/* --- credentials --- */

const struct cred *ovl_rs_helper_override_creds(const struct cred *cred)
{
	return override_creds(cred);
}

const struct cred *ovl_rs_helper_revert_creds(const struct cred *old)
{
	return revert_creds(old);
}

const struct cred *ovl_rs_helper_current_cred(void)
{
	return current_cred();
}

bool ovl_rs_helper_current_is_init_user_ns(void)
{
	return current_user_ns() == &init_user_ns;
}

void ovl_rs_helper_cap_lower_sys_resource(struct cred *cred)
{
	cap_lower(cred->cap_effective, CAP_SYS_RESOURCE);
}

bool ovl_rs_helper_current_maps(kuid_t uid, kgid_t gid)
{
	return kuid_has_mapping(current_user_ns(), uid) && kgid_has_mapping(current_user_ns(), gid);
}

bool ovl_rs_helper_fatal_signal_pending(void)
{
	return fatal_signal_pending(current);
}

const struct qstr *ovl_rs_helper_d_name(const struct dentry *dentry)
{
	return &dentry->d_name;
}

void ovl_rs_helper_d_lock(struct dentry *dentry)
{
	spin_lock(&dentry->d_lock);
}

void ovl_rs_helper_d_unlock(struct dentry *dentry)
{
	spin_unlock(&dentry->d_lock);
}

/* --- attributes --- */

void ovl_rs_helper_iattr_set_owner(struct iattr *attr, kuid_t uid, kgid_t gid)
{
	attr->ia_vfsuid = VFSUIDT_INIT(uid);
	attr->ia_vfsgid = VFSGIDT_INIT(gid);
}

/* The owner as the mount of the overlay shows it. */
void ovl_rs_helper_kstat_map_owner(struct kstat *stat, struct mnt_idmap *idmap,
				   const struct super_block *sb)
{
	stat->uid = vfsuid_into_kuid(make_vfsuid(idmap, sb->s_user_ns, stat->uid));
	stat->gid = vfsgid_into_kgid(make_vfsgid(idmap, sb->s_user_ns, stat->gid));
}

/* The other way round. */
void ovl_rs_helper_iattr_unmap_owner(struct iattr *attr, struct mnt_idmap *idmap,
				     const struct super_block *sb)
{
	if (attr->ia_valid & ATTR_UID)
		attr->ia_vfsuid = VFSUIDT_INIT(from_vfsuid(idmap, sb->s_user_ns, attr->ia_vfsuid));
	if (attr->ia_valid & ATTR_GID)
		attr->ia_vfsgid = VFSGIDT_INIT(from_vfsgid(idmap, sb->s_user_ns, attr->ia_vfsgid));
}

void ovl_rs_helper_do_delayed_call(struct delayed_call *call)
{
	do_delayed_call(call);
}

/* --- POSIX ACLs --- */

void ovl_rs_helper_posix_acl_release(struct posix_acl *acl)
{
	posix_acl_release(acl);
}

bool ovl_rs_helper_is_uncached_acl(struct posix_acl *acl)
{
	return is_uncached_acl(acl);
}

/* The ids in @acl, which belongs to @real, as a mount with @idmap shows them. */
void ovl_rs_helper_posix_acl_map(struct posix_acl *acl, struct mnt_idmap *idmap,
				 const struct inode *real)
{
	struct user_namespace *ns = i_user_ns(real);

	for (struct posix_acl_entry *e = acl->a_entries; e < acl->a_entries + acl->a_count; e++) {
		if (e->e_tag == ACL_USER)
			e->e_uid = vfsuid_into_kuid(make_vfsuid(idmap, ns, e->e_uid));
		else if (e->e_tag == ACL_GROUP)
			e->e_gid = vfsgid_into_kgid(make_vfsgid(idmap, ns, e->e_gid));
	}
}

/* --- files --- */

/* Replaces the bits of @mask in the flags of fcntl(F_SETFL) by those of @flags. */
void ovl_rs_helper_file_set_flags(struct file *file, unsigned int flags, unsigned int mask)
{
	spin_lock(&file->f_lock);
	file->f_flags = (file->f_flags & ~mask) | (flags & mask);
	file->f_iocb_flags = iocb_flags(file);
	spin_unlock(&file->f_lock);
}

size_t ovl_rs_helper_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

struct inode *ovl_rs_helper_file_inode(const struct file *file)
{
	return file_inode(file);
}

void ovl_rs_helper_init_sync_kiocb(struct kiocb *kiocb, struct file *file)
{
	init_sync_kiocb(kiocb, file);
}

/* --- fs-verity --- */

bool ovl_rs_helper_fsverity_active(const struct inode *inode)
{
	return fsverity_active(inode);
}

/* Is @inode protected, and its digest not in memory? */
bool ovl_rs_helper_fsverity_is_unloaded(const struct inode *inode)
{
	return fsverity_active(inode) && !fsverity_get_info(inode);
}

/* The size of the digest, 0 without one. */
int ovl_rs_helper_fsverity_digest(struct inode *inode, u8 *digest, u8 *algorithm)
{
	return fsverity_get_digest(inode, digest, algorithm, NULL);
}

/* --- module parameters: defaults of mounts, changeable under /sys/module --- */

static bool redirect_dir;
module_param(redirect_dir, bool, 0644);
MODULE_PARM_DESC(redirect_dir, "Rename directories that have a lower part, with a redirect");

static bool redirect_always_follow = true;
module_param(redirect_always_follow, bool, 0644);
MODULE_PARM_DESC(redirect_always_follow, "Follow redirects even if redirect_dir is off");

static bool index_on;
module_param_named(index, index_on, bool, 0644);
MODULE_PARM_DESC(index, "Keep the names of lower hard links together when they are copied up");

static unsigned short redirect_max = 256;
module_param(redirect_max, ushort, 0644);
MODULE_PARM_DESC(redirect_max, "Length that a redirect from the root may have when it is made");

static bool nfs_export;
module_param(nfs_export, bool, 0644);
MODULE_PARM_DESC(nfs_export, "Find objects again by the file handles that were given out");

static bool xino_auto;
module_param(xino_auto, bool, 0644);
MODULE_PARM_DESC(xino_auto, "Extend inode numbers with the number of the layer where they fit");

static bool metacopy;
module_param(metacopy, bool, 0644);
MODULE_PARM_DESC(metacopy, "Copy only metadata up until the data is changed");

/* Not a default of mounts, and read once, when the module is loaded. */
static bool as_overlay;
module_param(as_overlay, bool, 0444);
MODULE_PARM_DESC(as_overlay, "Serve the type overlay, too, in the place of the kernel's own");

/* Overlayfs checked something at copy-up once; scripts may still ask for it. */
static int set_check_copy_up(const char *text, const struct kernel_param *param)
{
	pr_warn("the parameter check_copy_up is obsolete and does nothing\n");
	return 0;
}

static int get_check_copy_up(char *text, const struct kernel_param *param)
{
	return sysfs_emit(text, "N\n");
}

module_param_call(check_copy_up, set_check_copy_up, get_check_copy_up, NULL, 0644);
MODULE_PARM_DESC(check_copy_up, "Obsolete, without effect");

bool ovl_rs_helper_param_redirect_dir(void)
{
	return READ_ONCE(redirect_dir);
}

bool ovl_rs_helper_param_index(void)
{
	return READ_ONCE(index_on);
}

unsigned short ovl_rs_helper_param_redirect_max(void)
{
	return READ_ONCE(redirect_max);
}

bool ovl_rs_helper_param_metacopy(void)
{
	return READ_ONCE(metacopy);
}

bool ovl_rs_helper_param_redirect_always_follow(void)
{
	return READ_ONCE(redirect_always_follow);
}

bool ovl_rs_helper_param_nfs_export(void)
{
	return READ_ONCE(nfs_export);
}

bool ovl_rs_helper_param_xino_auto(void)
{
	return READ_ONCE(xino_auto);
}

bool ovl_rs_helper_param_as_overlay(void)
{
	return READ_ONCE(as_overlay);
}
