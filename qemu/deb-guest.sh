#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317
# Runs in the VM of `deb.sh test`: what the package installed, at work.
set -u
failed=0
release=$(uname -r)
tar -C / --keep-directory-symlink -xf /mnt/share/deb/files.tar
depmod "$release"

check() { # WHAT COMMAND...
	local what=$1
	shift
	if out=$("$@" 2>&1); then
		echo "ok    $what"
	else
		echo "FAIL  $what: $* -> $out"
		failed=1
	fi
}
refused() { ! "$@"; }
is() { [ "$("${@:2}" 2>&1)" = "$1" ] || { "${@:2}"; return 1; }; }
layers() { # BASE N: LONG names, so that lowerdir= is longer than mount(8) hands over
	local i long
	long=$(printf 'x%.0s' {1..60})
	mkdir -p "$1"/{upper,work,m}
	low=
	for i in $(seq "$2"); do
		mkdir -p "$1/$long$i"
		echo "$i" >"$1/$long$i/f$i"
		low+=${low:+:}$1/$long$i
	done
}

cd /mnt/ext4 || exit 1
check "modinfo finds the module of DKMS" sh -c "modinfo -n overlay_rs | grep updates/dkms"
rmmod overlay_rs 2>/dev/null
layers /mnt/ext4/a 8
check "mount -t overlay_rs loads the module, and the helper takes a long lowerdir" \
	mount -t overlay_rs -o "lowerdir=$low,upperdir=a/upper,workdir=a/work" overlay_rs a/m
check "all layers are there" is 8 sh -c 'ls a/m | wc -l'
check "the helper's mount is of its type" is overlay_rs findmnt -no FSTYPE a/m
check "remount" mount -o remount,ro a/m
check "read-only now" refused touch a/m/x
check "umount" umount a/m
layers /mnt/ext4/b 2
check "a short lowerdir" mount -t overlay_rs -o "lowerdir=$low,upperdir=b/upper,workdir=b/work,noatime" overlay_rs b/m
check "its options" sh -c 'findmnt -no OPTIONS b/m | grep noatime'
check "umount" umount b/m
layers /mnt/ext4/d 90
check "more than a page is refused in one piece" refused mount -t overlay_rs -o "lowerdir=$low" overlay_rs d/m
check "more than a page, one by one, as the manual says" mount -t overlay_rs -o "lowerdir+=${low//:/,lowerdir+=}" overlay_rs d/m
check "all layers are there" is 90 sh -c 'ls d/m | wc -l'
check "umount" umount d/m
echo "overlay_rs /mnt/ext4/b/m overlay_rs lowerdir=/mnt/ext4/a/upper:/mnt/ext4/b,upperdir=/mnt/ext4/b/upper,workdir=/mnt/ext4/b/work 0 0" >>/etc/fstab
check "a line of fstab" mount /mnt/ext4/b/m
check "umount" umount /mnt/ext4/b/m

# --- the switch ---
check "off by default" sh -c "overlay_rs-as-overlay status | grep 'as configured: the kernel'"
mount -t overlay overlay -o lowerdir=a:b a/m
check "on, while overlay is in use: from the next boot on" sh -c "overlay_rs-as-overlay on | grep 'in use'"
check "the kernel's own keeps serving" sh -c "overlay_rs-as-overlay status | grep 'at present: the kernel'"
umount a/m
check "on" overlay_rs-as-overlay on
check "overlay is overlay_rs now" sh -c "overlay_rs-as-overlay status | grep 'at present: overlay_rs'"
check "no module of that name" test ! -e /sys/module/overlay
check "modprobe overlay has nothing to do" modprobe overlay
check "mount -t overlay" mount -t overlay overlay -o lowerdir=a:b a/m
check "it shows as overlay" is overlay findmnt -no FSTYPE a/m
check "off, while it is in use: from the next boot on" sh -c "overlay_rs-as-overlay off | grep 'in use'"
umount a/m
check "on again" overlay_rs-as-overlay on
rmmod overlay_rs
check "mount -t overlay loads overlay_rs" mount -t overlay overlay -o lowerdir=a:b a/m
check "which serves it" test -e /sys/module/overlay_rs -a ! -e /sys/module/overlay
umount a/m
rmmod overlay_rs
mv "/lib/modules/$release/updates/dkms" /root/dkms
depmod "$release"
check "where overlay_rs is missing, the kernel's own comes" mount -t overlay overlay -o lowerdir=a:b a/m
check "which serves it" test ! -e /sys/module/overlay_rs -a -e /sys/module/overlay
umount a/m
mv /root/dkms "/lib/modules/$release/updates/"
depmod "$release"
check "off" overlay_rs-as-overlay off
check "the kernel's own serves again" sh -c "overlay_rs-as-overlay status | grep 'at present: the kernel'"
check "nothing is left in modprobe.d" test ! -e /etc/modprobe.d/overlay_rs-as-overlay.conf
check "overlay_rs beside it" mount -t overlay_rs overlay_rs -o lowerdir=a:b a/m
umount a/m
exit $failed
