#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# The first program of the VM: loads the disk drivers, mounts the root disk
# and the run's own directory, and hands over to guest-init.sh in it.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in /m/*.ko; do
	[ ! -e "$m" ] || $b insmod "$m" || echo "initramfs: cannot load $m" >/dev/kmsg
done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do
	$b usleep 50000
	i=$((i + 1))
done
$b mount -t ext4 -o noatime /dev/vda /root || echo "initramfs: cannot mount the root disk" >/dev/kmsg
$b mount -t tmpfs -o mode=755 run /root/run
$b mkdir /root/run/job
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none job /root/run/job ||
	echo "initramfs: cannot mount the run's directory" >/dev/kmsg
for d in proc sys dev; do $b mount --move /$d /root/$d; done
exec $b switch_root /root /run/job/guest-init.sh
