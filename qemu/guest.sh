#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the guest: a small Debian tree (under 350 MB) that is the root of the
# VM and, as a read-only image, the lower layer of the demonstration.
#
# $OVL_CACHE/guest/current/ holds
#   tree/        the Debian tree          lower.erofs   the same, read-only
#   ext4.img xfs.img btrfs.img            empty scratch file systems, sparse
. "$(dirname "$0")/lib.sh"

packages=(
	# modules, mounts and file systems
	kmod mount util-linux e2fsprogs xfsprogs btrfs-progs squashfs-tools erofs-utils fuse3 dmsetup
	# layers of other kinds: iso9660, vfat, NFS, FUSE; quota
	genisoimage dosfstools nfs-kernel-server bindfs fuse-overlayfs quota
	# security modules: a compiler of SELinux policies, a loader of AppArmor profiles
	secilc apparmor
	# attributes, and what a test or a person at the shell wants
	attr acl libcap2-bin procps psmisc strace less python3-minimal
)
scratch_size=8G

sources() {
	echo "deb $OVL_MIRROR $OVL_SUITE main"
}

build_guest() { # DEST
	local size
	rm -rf "$1.new"
	mkdir -p "$1.new"
	# Translations take a fifth of a small system and nobody here reads them.
	sources | mmdebstrap --mode=root --variant=minbase \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--include="$(IFS=,; echo "${packages[*]}")" "$OVL_SUITE" "$1.new/tree" - ||
		die "the guest tree could not be made: is $OVL_MIRROR reachable from here?"
	sources >"$1.new/tree/etc/apt/sources.list"
	echo overlay-guest >"$1.new/tree/etc/hostname"
	echo '127.0.0.1 localhost overlay-guest' >"$1.new/tree/etc/hosts"
	: >"$1.new/tree/etc/resolv.conf"
	size=$(du -sm "$1.new/tree" | cut -f1)
	echo "the guest tree has $size MB"
	[ "$size" -lt 350 ] || die "the guest tree has $size MB, more than the 350 MB it may have"
	images "$1.new"
	mv "$1.new" "$1"
}

# With the guest's own programs, so that host and guest agree on the formats.
images() { # DIR
	# No compression: under emulation, reading costs less than unpacking.
	"$OVL_QEMU/in-tree.sh" "$1/tree" "$1:/mnt" -- sh -ec "
		mkdir /tmp/root
		mount --bind / /tmp/root
		mkfs.erofs -U 00000000-0000-0000-0000-000000000001 --quiet /mnt/lower.erofs /tmp/root
		umount /tmp/root
		cd /mnt
		truncate -s $scratch_size ext4.img xfs.img btrfs.img
		mkfs.ext4 -q -F -i 8192 -E lazy_itable_init=0,lazy_journal_init=0 ext4.img
		mkfs.xfs -q -m reflink=1 xfs.img
		mkfs.btrfs -q btrfs.img
	"
}

dir=$OVL_CACHE/guest/$(key "${packages[@]}" "$scratch_size" "$(sources)" "$(declare -f build_guest images)")
make_it() {
	if [ ! -e "$dir" ]; then
		need_root
		need_disk 4 "the guest"
		mkdir -p "$OVL_CACHE/guest"
		step "making the guest: a small Debian tree and its images (about a minute)" "$OVL_LOGS/guest.log" build_guest "$dir"
		note "$(grep '^the guest tree has' "$OVL_LOGS/guest.log")"
	fi
	ln -sfn "$dir" "$OVL_CACHE/guest/current"
}
with_lock guest make_it
