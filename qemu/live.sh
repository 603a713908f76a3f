#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A live system in the VM: Debian with systemd whose root is overlay_rs,
# mounted in the initramfs, squashfs below, tmpfs or ext4 above. Packages are
# installed; after a reboot they are there; after a factory reset they are not.
# Once by the name overlay_rs, once as overlay. TYPE=overlay_rs,overlay
. "$(dirname "$0")/lib.sh"

"$OVL_QEMU/prepare.sh" demo
"$OVL_QEMU/containers-image.sh"
"$OVL_QEMU/module.sh" stock
kernel=$(flavour_dir stock)
release=$(basename "$kernel"/image/lib/modules/*)
guest=$(readlink -f "$OVL_CACHE/guest/containers")
live=$OVL_BUILD/live

make_squashfs() {
	# As a product is delivered: read-only, in one file. (Uncompressed: emulated machines are slow.)
	"$OVL_QEMU/in-tree.sh" "$guest/tree" "$live:/mnt" -- sh -ec "
		mkdir /tmp/root
		mount --bind / /tmp/root
		rm -f /mnt/root.squashfs
		mksquashfs /tmp/root /mnt/root.squashfs -noI -noD -noF -noX -no-progress -quiet
		rm -f /mnt/rw.ext4
		truncate -s 4G /mnt/rw.ext4
		mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /mnt/rw.ext4"
}
make_initrd() {
	local d n=50 f
	d=$(mktemp -d)
	mkdir "$d/m"
	cp "$MODULE_DIR/tests/live/init.sh" "$d/init"
	chmod 755 "$d/init"
	for f in $("$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$kernel/image:/image:ro" -- modprobe -d /image -S "$release" --show-depends squashfs |
		sed -nE 's/^insmod ([^ ]+).*/\1/p'); do
		xz -dc "$kernel/image/${f#/image/}" >"$d/m/$n-$(basename "${f%.xz}")"
		n=$((n + 1))
	done
	# The kernel unpacks one after the other; the later file wins.
	{ cat "$kernel/vm-containers/initrd"; (cd "$d" && find . | "$OVL_TREE/bin/busybox" cpio -o -H newc); } >"$live/initrd"
	rm -rf "$d"
}
mkdir -p "$live"
step "making the live system" "$live/make.log" make_squashfs
make_initrd

passed=0 failed=0
boot_live() { # TYPE PARAMETER UPPER STEP
	local rc=0 p f
	# Without udev there are no devices that a getty would wait for.
	local mask='' u
	for u in docker.service docker.socket containerd.service serial-getty@ttyS0.service serial-getty@hvc0.service; do mask+=" systemd.mask=$u"; done
	say "live: $4, root $1 ($2), changes in $3"
	"$OVL_QEMU/boot.sh" --guest containers --initrd "$live/initrd" --root "$live/root.squashfs" --disk "$live/rw.ext4" \
		--job "$MODULE_DIR/tests/live/guest.sh" --timeout 600 --append "systemd.show_status=false$mask" \
		--share "$OVL_CACHE/debs/demo/current/:debs" "$@" | tee "$live/$1.$4.log" || rc=$?
	p=$(grep -c '^ok ' "$live/$1.$4.log") || true
	f=$(grep -c '^FAIL ' "$live/$1.$4.log") || true
	if [ $rc != 0 ] && [ "$f" = 0 ]; then f=1; fi
	passed=$((passed + p)) failed=$((failed + f))
}
IFS=, read -ra types <<<"${TYPE:-overlay_rs,overlay}"
for type in "${types[@]}"; do
	parameter=as_overlay=0
	[ "$type" = overlay_rs ] || parameter=as_overlay=1
	if [ "$type" = overlay_rs ]; then
		boot_live "$type" $parameter tmpfs first
	fi
	boot_live "$type" $parameter /dev/vdf first
	boot_live "$type" $parameter /dev/vdf second
	boot_live "$type" $parameter /dev/vdf reset
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
