#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# overlay_rs-as-overlay on|off|status: whether overlay_rs serves the file system type overlay, for
# everything that mounts by that name (podman, docker, containerd, ..), in the place of the
# kernel's own module. At once if nothing is mounted, else from the next boot on.
set -eu

conf=/usr/share/overlay_rs/as-overlay.conf
link=/etc/modprobe.d/overlay_rs-as-overlay.conf

die() {
	echo "overlay_rs-as-overlay: $*" >&2
	exit 1
}
served_by() {
	if ! grep -qsw overlay /proc/filesystems; then
		echo nobody
	elif [ "$(cat /sys/module/overlay_rs/parameters/as_overlay 2>/dev/null)" = Y ] && [ ! -e /sys/module/overlay ]; then
		echo overlay_rs
	else
		echo "the kernel's own overlay"
	fi
}
status() {
	if [ -e "$link" ]; then echo "as configured: overlay_rs"; else echo "as configured: the kernel's own overlay"; fi
	echo "at present: $(served_by)"
}
# Takes both modules out, if nothing uses them, and loads the one that is to serve overlay.
switch() { # WANTED
	for m in overlay overlay_rs; do
		users=$(cat "/sys/module/$m/refcnt" 2>/dev/null || echo 0)
		[ "$users" = 0 ] || {
			echo "$m is in use ($users mounts): from the next boot on, or run this again when nothing is mounted"
			return
		}
	done
	for m in overlay overlay_rs; do [ ! -e "/sys/module/$m" ] || rmmod "$m" || true; done
	# podman trusts what it once found out about the driver.
	rm -f /run/containers/storage/overlay/*-true /run/containers/storage/overlay/*-false
	modprobe overlay || true
	[ "$(served_by)" = "$1" ] || die "overlay is served by $(served_by) now, see dmesg"
}

case ${1:-status} in
on)
	[ -e "$conf" ] || die "$conf is not there: is the package overlay-rs-dkms installed?"
	modinfo overlay_rs >/dev/null 2>&1 ||
		die "there is no module overlay_rs for the running kernel $(uname -r): see dkms status"
	ln -sfn "$conf" "$link"
	switch overlay_rs
	;;
off)
	rm -f "$link"
	switch "the kernel's own overlay"
	;;
status) ;;
*) die "usage: overlay_rs-as-overlay on|off|status" ;;
esac
status
