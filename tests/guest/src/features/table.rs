// SPDX-License-Identifier: GPL-2.0
//! Every feature of overlayfs 7.3, and the tests that cover it.
//!
//! `has` is a feature that overlayfs has. What it `lacks` is lacking here in the same way, as the
//! tests of the row show. A pattern is the name of a test (`rename/noreplace`), or one with stars
//! for any text (`readdir/seekdir_*`).

use super::Row;

macro_rules! rows {
    ($($has:ident $number:literal $title:literal: $($test:literal)+;)+) => {
        pub const ROWS: &[Row] = &[$(Row::$has($number, $title, &[$($test),+])),+];
    };
}

rows! {
    // Mounts, options, the module.
    has 1 "several lower layers in `lowerdir=`, `\\:` escapes a colon":
        "lookup/many_lowers_each_show" "mount_options/escaped_*"
        "mount_options/colon_in_upper_and_work" "mount_options/trailing_*"
        "mount_options/leading_colon" "contract/p05_one_hundred_and_twenty_lowers";
    has 2 "data-only layers after `::`":
        "data_only/*" "mount_options/triple_colon" "mount_options/normal_after_data_layer";
    has 3 "`lowerdir+` and `datadir+` through fsconfig(2)":
        "mount_options/new_api*" "data_only/new_api*" "contract/p02_new_interface_refuses_at_once";
    has 4 "layers by file descriptor":
        "mount_options/new_api_layers_by_descriptor" "userns/layers_as_descriptors"
        "contract/p04_names_relative_to_the_caller" "mounts/layers_on_*";
    has 5 "upper and work directory on one mount, apart from each other":
        "mount_options/workdir_on_other_mount" "mount_options/workdir_on_other_filesystem"
        "mount_options/workdir_inside_upper" "mount_options/upper_inside_workdir"
        "mount_options/workdir_is_upper";
    has 6 "read-only without an upper, or with a workdir that cannot be used":
        "mount_options/one_lower_without_upper"
        "mount_options/workdir_that_cannot_be_used_mounts_read_only"
        "data_only/one_lower_and_no_upper" "data_only/only_data_layers" "index/forced_readonly"
        "create/readonly_stack_is_erofs" "layer_rules/upper_becomes_read_only"
        "layers/without_upper";
    has 7 "500 lower layers":
        "lookup/five_hundred_lowers" "mount_options/five_hundred_and_one_lowers";
    has 8 "`default_permissions`: accepted, shown, without effect":
        "mount_options/default_permissions_is_accepted" "show_options/default_permissions";
    has 9 "`redirect_dir=`, `redirect_always_follow`, `redirect_max`":
        "redirect/*" "foreign/*redirect*" "show_options/nofollow";
    has 10 "`index=`":
        "index/*";
    has 11 "`uuid=`":
        "show_options/uuid" "show_options/old_upper_shows_uuid_null" "statfs/fsid_*"
        "contract/p07_uuid_of_a_fresh_upper";
    has 12 "`nfs_export=`":
        "nfs_export/*";
    has 13 "`userxattr`":
        "userns/*userxattr*" "show_options/userxattr" "xattr/userxattr_mount_hides_user_names"
        "metacopy/conflicts_with_userxattr";
    has 14 "`xino=`":
        "show_options/xino_nonsamefs" "attr/dev_of_*_nonsamefs" "attr/unique_inos"
        "identity/several_fs_*";
    has 15 "`metacopy=`":
        "metacopy/*" "combinations/metacopy_*";
    has 16 "`verity=`":
        "verity/*";
    has 17 "`fsync=` and `volatile`":
        "copy_up/fsync_modes" "show_options/fsync_mode" "sync/volatile_*"
        "foreign/volatile_leftover_is_refused" "contract/p08_work_directory_and_volatile_marker";
    has 18 "`override_creds`, `nooverride_creds`":
        "userns/override_creds*";
    has 19 "layers that fold case":
        "foreign/casefold_is_no_concern" "casefold/layers_must_agree" "casefold/*fold*"
        "casefold/*encoding";
    has 20 "remount: read-only and back, nothing else":
        "remount/*" "contract/p17_remount_with_options";
    has 21 "options that exclude or imply each other":
        "mount_options/conflicts_are_refused" "mount_options/unknown_option*"
        "mount_options/*value*" "mount_options/no_*" "mount_options/*_is_ignored"
        "metacopy/conflicts_with_userxattr" "userns/options_against_userxattr"
        "userns/refused_options" "index/without_upper" "nfs_export/shown_in_mountinfo"
        "combinations/*";
    has 22 "the options that are shown":
        "show_options/*" "index/is_shown" "verity/shown_in_the_options"
        "data_only/shown_as_it_was_given" "contract/p06_shown_as_given" "recent/statmount_*";
    has 23 "module parameters":
        "module/*" "redirect/*parameter*" "index/default_by_parameter"
        "nfs_export/parameter_is_off" "metacopy/off_by_default" "contract/p09_features_are_off";
    has 24 "mounts in a user namespace":
        "userns/*" "contract/p12_user_namespace_and_idmapped_lower";
    has 25 "the overlay's own mount with an id map":
        "idmap/mount_*" "idmap/same_as_intree_mount";
    has 26 "layers with an id map":
        "idmap/*";
    has 27 "layers in use, layers inside each other":
        "mount_options/*in_use*" "mount_options/*inside*" "mount_options/same_lower_twice"
        "mount_options/lower_is_*" "index/*in_use*";
    has 28 "file systems stacked two deep at most":
        "lookup/third_level_is_refused" "security/stack_too_deep" "contract/p13_depth"
        "nested/third_level_is_refused";
    has 29 "the work directory is cleaned; unknown `work/incompat` is refused":
        "crash/*" "mount_options/incompatible_work_feature"
        "mount_options/work_dir_of_foreign_type_is_replaced"
        "contract/p08_work_directory_and_volatile_marker";
    has 30 "what the upper file system lacks is done without":
        "mount_options/upper_without_*" "upper_fs/without_d_type" "layers/over_*"
        "layer_rules/*_as_upper";
    has 31 "what a remote upper must have":
        "security/unmountable_kinds" "layer_rules/nfs_as_upper" "layer_rules/fuse_as_upper";
    has 32 "layers are private mounts: lower ones never written, no atime there":
        "atime/lower_*" "atime/atime_of_upper_filesystem_follows"
        "lookup/lower_only_objects_stay_below" "security/lower_mount_flags_of_a_container";
    has 33 "statfs(2)":
        "statfs/*";
    // What is on the disk.
    has 34 "`overlay.opaque`":
        "lookup/opaque_*" "whiteout/xwhiteout_*" "create/mkdir_*opaque";
    has 35 "`overlay.redirect`":
        "redirect/same_bytes_as_other_driver" "redirect/other_driver_continues"
        "foreign/*redirect*";
    has 36 "`overlay.origin`":
        "copy_up/origin_*" "copy_up/no_origin_for_lower_hard_links" "foreign/origin_*" "interop/*"
        "layer_rules/two_lowers_*_uuid";
    has 37 "`overlay.impure`":
        "copy_up/impure_parent" "rename/moves_mark_parent_impure"
        "create/hard_link_into_new_parent_marks_it_impure" "foreign/impure_without_need"
        "redirect/parent_becomes_impure";
    has 38 "`overlay.nlink`":
        "index/stored_form*" "index/entry_whose_nlink_is_relative_to_lower"
        "index/foreign_nlink_falls_back" "foreign/nlink_attribute_is_ignored";
    has 39 "`overlay.upper`":
        "index/other_upper_is_refused" "nfs_export/other_module_opens_them"
        "nfs_export/directories_are_made_findable";
    has 40 "`overlay.uuid`":
        "statfs/fsid_persists" "interop/same_upper_bytes*";
    has 41 "`overlay.metacopy`":
        "metacopy/malformed_marks" "metacopy/made_by_the_other_module"
        "metacopy/read_by_the_other_module" "verity/*_keeps_*" "verity/unknown_version"
        "verity/wrong_length_byte" "verity/too_long";
    has 42 "`overlay.protattr`":
        "file_flags/*";
    has 43 "whiteouts as an attribute, which the kernel never makes":
        "whiteout/xwhiteout_*" "userns/whiteout_as_attribute";
    has 44 "whiteouts as character devices, one shared inode":
        "whiteout/*" "contract/p11_whiteouts_of_the_runtimes";
    has 45 "attributes; those of nested overlays are escaped":
        "xattr/*" "userns/own_names_*" "nested/own_attributes_of_both";
    has 46 "the index directory":
        "index/same_bytes_as_other_driver" "index/other_driver_continues" "index/*entry*"
        "index/orphan_is_removed";
    has 47 "temporaries and `work/incompat/volatile/dirty`":
        "crash/leftover*" "copy_up/no_trace_in_workdir" "create/nothing_is_left_in_the_workdir"
        "foreign/volatile_leftover_is_refused";
    // Identity.
    has 48 "`st_dev` and `st_ino` stay through copy-up":
        "attr/ino_and_dev_constant_*" "identity/*";
    has 49 "inode numbers stay over a remount":
        "attr/ino_persists_over_remount" "interop/copied_up_by_the_other_keeps_inode_numbers";
    has 50 "device numbers per layer on different file systems":
        "attr/dev_of_*" "identity/several_fs_without_xino";
    has 51 "`d_ino` is `st_ino`":
        "readdir/d_ino_*";
    has 52 "the inode's own number is `st_ino`, as the NFS server needs it":
        "nfs_export/every_kind_opens" "readdir/d_ino_equals_st_ino" "nfs_server/walk_*";
    has 53 "a merged directory has one link":
        "attr/link_counts" "create/nlink_of_directories";
    has 54 "link counts of the union, with an index":
        "index/links_*" "index/unlink_*" "index/lower_link_count_of_middle_layer"
        "shared_inodes/*";
    has 55 "hard links break without an index":
        "copy_up/hard_links_break" "shared_inodes/copy_up_of_one_name";
    has 56 "`st_blocks` of a file whose data is elsewhere":
        "metacopy/blocks_are_those_of_the_data" "data_only/blocks_are_a_guess_until_then";
    has 57 "stat(2) and statx(2), immutable and append-only":
        "attr/*" "file_flags/immutable_through_the_overlay"
        "file_flags/append_through_the_overlay" "recent/statx_same_as_intree" "recent/file_attr_*";
    has 58 "`/proc/PID/maps` and `fdinfo` agree with stat(2)":
        "coherence/maps_*" "coherence/fdinfo_agrees_with_stat" "identity/proc_files_agree";
    // The namespace.
    has 59 "lookup goes down until a whiteout, an opaque directory or a file":
        "lookup/*";
    has 60 "what is created belongs to who creates it":
        "create/*" "security/cve_2015_1328_*";
    has 61 "mknod of a whiteout: EPERM":
        "whiteout/user_mknod_of_whiteout_is_refused";
    has 62 "link(2) copies up":
        "create/hard_link_*";
    has 63 "unlink and rmdir leave whiteouts":
        "remove/*";
    has 64 "rename of files, its flags":
        "rename/*";
    has 65 "rename of lower directories: EXDEV, or a redirect":
        "rename/*exdev" "redirect/lower_dir_*" "redirect/merged_dir";
    has 66 "mkdir over a whiteout is opaque":
        "create/mkdir_over_whiteout_is_opaque" "userns/directory_over_whiteout_*";
    has 67 "O_TMPFILE and its linking":
        "create/tmpfile*" "data/memfd_like_tmpfile_use";
    has 68 "merged listings and their offsets":
        "readdir/*";
    has 69 "listing beside changes":
        "concurrency/readdir_against_changes" "readdir/*_while_reading";
    has 70 "whiteouts show without `d_type`":
        "upper_fs/without_d_type";
    has 71 "directories: fsync, leases, seeking":
        "readdir/fsync_of_directory" "data/lease_on_directory" "readdir/lseek_errors"
        "readdir/seek*";
    has 72 "lookup and listing without regard to case":
        "foreign/casefold_is_no_concern" "casefold/lookup" "casefold/merged_listing"
        "casefold/rename_of_case";
    // Data.
    has 73 "open for writing copies up":
        "copy_up/*";
    has 74 "a truncating open copies no data":
        "copy_up/trunc_copies_no_data" "copy_up/rdonly_trunc";
    has 75 "shared extents, else copied data with its holes; can be killed":
        "copy_up/shares_extents" "copy_up/keeps_*" "copy_up/file_of_holes_only" "copy_up/killed";
    has 76 "a copy appears whole":
        "copy_up/no_trace_in_workdir" "copy_up/killed" "copy_up/no_space"
        "crash/a_killed_writer_leaves_a_sound_overlay";
    has 77 "copied data is synced before it appears":
        "copy_up/fsync_modes" "metacopy/fsync_of_metadata_only";
    has 78 "the parent's times stay":
        "copy_up/parent_keeps_its_times";
    has 79 "copies of one file wait for each other, others do not":
        "concurrency/*";
    has 80 "xattrs, ACLs and capabilities are copied":
        "copy_up/keeps_xattrs" "copy_up/keeps_big_xattr" "copy_up/keeps_capabilities"
        "copy_up/drops_private_xattrs" "acl/copy_up_*";
    has 81 "file attributes are copied or kept aside":
        "file_flags/*" "recent/file_attr_*";
    has 82 "capabilities survive the later copy of the data":
        "metacopy/capabilities_survive_the_copy_of_the_data"
        "layer_rules/quota_on_data_of_a_metacopy";
    has 83 "data looked up and checked when it is opened":
        "data_only/not_looked_for_before_it_is_needed" "data_only/missing_data*"
        "verity/checked_once" "verity/wrong_digest";
    has 84 "a descriptor opened before copy-up sees later writes":
        "copy_up/descriptor_opened_before_*";
    lacks 85 "a mapping made before copy-up sees later writes":
        "coherence/mapping_made_before_copy_up_stays";
    has 86 "ETXTBSY":
        "etxtbsy/*";
    lacks 87 "access times of lower files; those of upper ones are kept":
        "atime/*";
    has 88 "reading and writing; O_DIRECT, asynchronous I/O, never IOCB_NOWAIT":
        "data/*read*" "data/append*" "data/mmap_*" "data/direct_*" "data/aio_*" "data/nowait_read"
        "uring/*";
    has 89 "splice(2), sendfile(2)":
        "data/splice_*" "data/sendfile_*" "data/vmsplice_tee";
    has 90 "fallocate(2), fadvise(2), flush":
        "data/fallocate_*" "data/punch_hole" "data/zero_range" "data/fadvise" "data/readahead";
    has 91 "copy_file_range(2), clone, dedupe":
        "data/copy_file_range_*" "data/clone_*" "data/dedupe_*" "recent/ranges_*";
    has 92 "fiemap, SEEK_HOLE":
        "data/fiemap_*" "data/seek_*" "metacopy/extents_are_those_of_the_data";
    has 93 "fsync(2): of upper files only":
        "data/fsync_*" "sync/fsync_writes_the_file" "data/o_sync";
    has 94 "syncfs(2) and unmounting write the whole upper file system":
        "sync/*" "recent/fr*";
    has 95 "a volatile mount keeps a write error; the next mount is refused":
        "upper_fs/volatile_error_is_kept" "upper_fs/unseen_error_refuses_volatile"
        "sync/volatile_does_not_sync";
    has 96 "locks and leases are the overlay's":
        "data/flock*" "data/posix_lock*" "data/ofd_locks" "data/leases";
    has 97 "inotify and fanotify":
        "copy_up/inotify_survives" "export/fanotify_*" "recent/fanotify_*";
    lacks 98 "inotify of lower hard links through copy-up":
        "coherence/inotify_of_lower_hard_link_is_lost";
    has 99 "quotas of the upper are honoured":
        "copy_up/no_space" "layer_rules/quota_*";
    lacks 100 "a size limit of its own":
        "statfs/numbers_are_the_uppers" "statfs/free_space_moves";
    has 101 "mounts share the page cache of lower files":
        "page_cache/*";
    has 102 "uprobes and LSMs see the real inode":
        "tables/*" "attr/generation_of_merged_root" "recent/uprobe_*";
    // Security, export, rules for layers.
    has 103 "two checks: the caller's of the overlay, the mounter's of the layer":
        "permission/*" "security/*";
    has 104 "LSM hooks at copy-up and creation":
        "xattr/security_names" "copy_up/keeps_xattrs" "selinux/copy_up_*" "selinux/new_objects_*"
        "apparmor/*";
    has 105 "SELinux contexts of mounts":
        "xattr/security_names" "selinux/*context*";
    has 106 "POSIX ACLs":
        "acl/*" "idmap/*_acl*";
    has 107 "umask and set-id bits are the upper's matter":
        "create/mode_and_umask" "create/default_acl_*" "attr/*clears*"
        "data/fallocate_clears_suid" "security/writers_lose_set_id";
    has 108 "NFS export: handles lead to objects":
        "nfs_export/*" "nfs_server/*";
    has 109 "handles that only identify, without `nfs_export`":
        "export/*";
    has 110 "layers changed while mounted: undefined, no crash":
        "security/cve_2016_6198_upper_changed_behind" "security/cve_2021_20321_entry_gone_behind"
        "security/*_swapped_for_a_symlink" "contract/p14_lower_that_changes_later" "changed/*"
        "fuse_lower/*that_*";
    has 111 "remote lower layers are revalidated":
        "security/cve_2025_21887_revalidation" "layers/over_nfs" "layers/over_fuse";
    has 112 "layers changed or copied while not mounted":
        "index/other_lower_is_refused" "crash/layers_copied_while_in_use_mount" "foreign/*"
        "contract/p10_layers_of_a_live_mount";
    has 113 "an overlay as a lower layer":
        "lookup/overlay_as_lower" "interop/stacked_on_the_other"
        "xattr/escape_roundtrip_through_two_overlays" "nested/*"
        "mounts/detached_overlay_as_layer";
    lacks 114 "an overlay as the upper layer":
        "lookup/overlay_as_upper_is_refused";
    has 115 "layers of odd kinds are refused":
        "security/unmountable_kinds" "mount_options/lower_is_a_file"
        "mount_options/upper_is_a_file" "layer_rules/automount_*"
        "layer_rules/names_compared_otherwise" "layer_rules/bfs_as_lower";
    lacks 116 "several writable layers":
        "mount_options/last_value_wins";
    lacks 117 "whiteouts shown in the merged tree":
        "readdir/whiteouts_are_not_listed" "whiteout/upper_chardev_hides_lower";
}
