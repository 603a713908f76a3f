#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes, for one kernel, what the VM boots from: vm-image.sh stock|debug [GUEST]
#   root.ext4    the guest tree with the modules of that kernel
#   initrd       a busybox that loads the disk drivers and mounts root.ext4
# into the vm/ directory of that kernel in the cache; vm-GUEST/ for another guest
# than the usual one.
. "$(dirname "$0")/lib.sh"

flavour=${1:?usage: vm-image.sh stock|debug [GUEST]}
kernel=$(flavour_dir "$flavour")
[ -e "$kernel/image/vmlinuz" ] || die "the $flavour kernel is not made yet"
guest=$(readlink -f "$OVL_CACHE/guest/${2:-current}")
release=$(basename "$kernel"/image/lib/modules/*)
vm=$kernel/vm${2:+-$2}

# What it takes to see the root disk and the shared directories.
boot_modules=(virtio_pci virtio_blk ext4 9pnet_virtio 9p virtio_console)
# What tests and demonstrations may mount, stack or break.
guest_modules=(
	overlay ext4 xfs btrfs squashfs erofs fuse virtiofs isofs vfat loop brd nullb null_blk
	dm-flakey dm-log-writes dm-snapshot dm-dust dm-thin-pool dm-verity
	crc32c libcrc32c nls_ascii nls_utf8 nls_cp437 quota_v2 virtio_net nfs nfsv3 nfsv4 nfsd
	autofs4 bfs minix zram
)

# The files of modules and all they need, in the order of loading; what is built in is not a file.
files_of() { # MODULE...
	local m
	for m in "$@"; do
		"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$kernel/image:/image:ro" -- \
			modprobe -d /image -S "$release" --show-depends "$m" 2>/dev/null || true
	done | sed -nE 's/^insmod ([^ ]+).*/\1/p' | awk '!seen[$0]++' | sed "s|^/image|$kernel/image|"
}

unpack_to() { # FILE DEST: Debian packs its modules
	case $1 in
	*.xz) xz -dc "$1" >"$2" ;;
	*.zst) zstd -qdc "$1" >"$2" ;;
	*) cp "$1" "$2" ;;
	esac
}

make_initrd() { # DEST
	local d n=10 f
	d=$(mktemp -d)
	mkdir -p "$d"/{bin,m,proc,sys,dev,root}
	cp "$OVL_TREE/bin/busybox" "$d/bin/"
	cp "$OVL_QEMU/initramfs-init.sh" "$d/init"
	chmod 755 "$d/init"
	while read -r f; do
		unpack_to "$f" "$d/m/$n-$(basename "$f" | sed -E 's/\.ko.*/.ko/')"
		n=$((n + 1))
	done < <(files_of "${boot_modules[@]}")
	(cd "$d" && find . | "$OVL_TREE/bin/busybox" cpio -o -H newc) >"$1"
	rm -rf "$d"
}

make_root() { # DEST
	local d f rel
	d=$(mktemp -d "$OVL_CACHE/modules.XXXXXX")
	while read -r f; do
		rel=${f#"$kernel/image/lib/modules/$release/"}
		mkdir -p "$d/$release/$(dirname "$rel")"
		unpack_to "$f" "$d/$release/$(echo "$rel" | sed -E 's/\.ko.*/.ko/')"
	done < <(files_of "${boot_modules[@]}" "${guest_modules[@]}")
	for f in modules.builtin modules.builtin.modinfo; do
		[ ! -e "$kernel/image/lib/modules/$release/$f" ] || cp "$kernel/image/lib/modules/$release/$f" "$d/$release/"
	done
	truncate -s 6G "$1"
	# The guest's root as it is, with the modules laid over /lib/modules.
	"$OVL_QEMU/in-tree.sh" "$guest/tree" "$d:/mnt" "$1:/media/root.ext4" -- sh -ec "
		mkdir /tmp/root
		mount --bind / /tmp/root
		mount -t tmpfs modules /tmp/root/usr/lib/modules 2>/dev/null || {
			mkdir -p /tmp/root/usr/lib/modules; mount -t tmpfs modules /tmp/root/usr/lib/modules; }
		cp -a /mnt/. /tmp/root/usr/lib/modules/
		depmod -b /tmp/root $release
		mount -t tmpfs none /tmp/root/mnt
		mount -t tmpfs none /tmp/root/media
		mkdir /tmp/root/mnt/ext4 /tmp/root/mnt/xfs /tmp/root/mnt/btrfs /tmp/root/mnt/tmpfs /tmp/root/mnt/lower /tmp/root/mnt/share
		mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0 -d /tmp/root /media/root.ext4
	"
	rm -rf "$d"
}

make_images() {
	rm -rf "$vm.new"
	mkdir -p "$vm.new"
	make_initrd "$vm.new/initrd"
	: >"$vm.new/root.ext4"
	make_root "$vm.new/root.ext4"
	rm -f "$guest/tree/media/root.ext4"
	echo "$1" >"$vm.new/made-from"
	rm -rf "$vm"
	mv "$vm.new" "$vm"
}

make_it() {
	local from
	from=$(key "$guest" "${boot_modules[@]}" "${guest_modules[@]}" "$(cat "$OVL_QEMU/initramfs-init.sh")" "$(declare -f make_initrd make_root)" "$(stat -c %Y "$kernel/image/vmlinuz")")
	[ "$(cat "$vm/made-from" 2>/dev/null)" != "$from" ] || return 0
	need_root
	need_disk 3 "the guest's disk"
	step "making the guest's disk for the $flavour kernel $release" "$OVL_LOGS/vm-image-$flavour.log" make_images "$from"
}
with_lock "vm-image-$flavour" make_it
