#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A live system of Debian's own making in the VM: live-boot's scripts, in an
# initramfs of initramfs-tools, mount overlay as the root; overlay_rs serves it
# through the drop-in of the package. Nothing of live-boot is changed.
. "$(dirname "$0")/lib.sh"

packages=(linux-base initramfs-tools live-boot live-boot-initramfs-tools systemd systemd-sysv udev dbus kmod busybox zstd procps squashfs-tools)
"$OVL_QEMU/prepare.sh" vm
"$OVL_QEMU/module.sh" stock
kernel=$(flavour_dir stock)
release=$(cat "$kernel/release")
live=$OVL_BUILD/live-boot

make_medium() {
	local tree=$live/tree
	rm -rf "$tree"
	mkdir -p "$live/debs"
	printf 'deb %s %s main\n' "$OVL_MIRROR" "$OVL_SUITE" | mmdebstrap --mode=root --variant=minbase \
		--dpkgopt='path-exclude=/usr/share/locale/*' --include="$(IFS=,; echo "${packages[*]}")" "$OVL_SUITE" "$tree" -
	cp "$OVL_CACHE/debs/kernel"/linux-{base,binary,modules}-"$release"_*.deb "$live/debs/"
	# As the package installs it, switched on; and the module is named for the initramfs.
	install -D -m 644 "$OVL_BUILD/stock/overlay_rs.ko" "$tree/usr/lib/modules/$release/updates/dkms/overlay_rs.ko"
	install -D -m 644 "$MODULE_DIR/packaging/as-overlay.conf" "$tree/usr/share/overlay_rs/as-overlay.conf"
	ln -s /usr/share/overlay_rs/as-overlay.conf "$tree/etc/modprobe.d/overlay_rs-as-overlay.conf"
	echo overlay_rs >>"$tree/etc/initramfs-tools/modules"
	cat >"$tree/etc/systemd/system/live-test.service" <<-S
		[Unit]
		Description=The test of the live system
		[Service]
		Type=simple
		Environment=LOWER=/run/live/rootfs/filesystem.squashfs
		ExecStartPre=/bin/mount -t 9p --mkdir -o trans=virtio,version=9p2000.L,msize=262144,cache=none job /run/job
		ExecStart=/bin/bash /run/job/guest.sh overlay tmpfs live-boot
		StandardOutput=tty
		StandardError=tty
		TTYPath=/dev/hvc0
	S
	mkdir -p "$tree/etc/systemd/system/multi-user.target.wants"
	ln -s ../live-test.service "$tree/etc/systemd/system/multi-user.target.wants/"
	"$OVL_QEMU/in-tree.sh" "$tree" "$live:/mnt" -- sh -ec "
		dpkg -i /mnt/debs/*.deb
		update-initramfs -u -k $release || update-initramfs -c -k $release
		cp /boot/initrd.img-$release /mnt/initrd
		rm -rf /mnt/medium
		mkdir -p /mnt/medium/live /tmp/root
		mount --bind / /tmp/root
		mksquashfs /tmp/root /mnt/medium/live/filesystem.squashfs -noI -noD -noF -noX -no-progress -quiet -e boot
	"
	# The medium: what an ISO would be.
	"$OVL_QEMU/in-tree.sh" "$(readlink -f "$OVL_CACHE/guest/current")/tree" "$live:/mnt" -- sh -ec '
		rm -f /mnt/medium.ext4
		truncate -s 2G /mnt/medium.ext4
		mkfs.ext4 -q -F -O ^has_journal -d /mnt/medium /mnt/medium.ext4'
	rm -rf "$live/medium"
}
mkdir -p "$live"
step "making a live system with live-boot (two minutes)" "$live/make.log" make_medium
say "live-boot: Debian's own live scripts, overlay served by overlay_rs"
rc=0
"$OVL_QEMU/boot.sh" --initrd "$live/initrd" --root "$live/medium.ext4" --job "$MODULE_DIR/tests/live/guest.sh" --timeout 600 \
	--append "boot=live systemd.show_status=false systemd.mask=serial-getty@ttyS0.service systemd.mask=serial-getty@hvc0.service" \
	live-boot | tee "$live/boot.log" || rc=$?
passed=$(grep -c '^ok ' "$live/boot.log") || true
failed=$(grep -c '^FAIL ' "$live/boot.log") || true
if [ $rc != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
