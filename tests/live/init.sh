#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash disable=SC2046,SC2086
# The first program of a live system: its root is overlay_rs, with a squashfs
# below and a tmpfs or an ext4 above; systemd is the next program.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
say() { echo "live: $*" >/dev/kmsg; }
for m in /m/*.ko; do $b insmod "$m" || say "cannot load $m"; done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do
	$b usleep 50000
	i=$((i + 1))
done
$b mkdir -p /job /lower /rw /root
$b mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=none job /job || say "cannot mount the run's directory"
set -- $($b cat /job/cmd)
type=$1 parameter=$2 upper=$3
export OVL_STEP="$4"
$b insmod /job/overlay_rs.ko "$parameter" || say "overlay_rs.ko does not load"
$b mount -t squashfs -o ro /dev/vda /lower || say "cannot mount the squashfs"
case $upper in
tmpfs) $b mount -t tmpfs rw /rw ;;
*) $b mount -t ext4 "$upper" /rw ;;
esac || say "cannot mount $upper"
# The factory reset: what was changed is gone, what was delivered is there.
[ "$OVL_STEP" != reset ] || $b rm -rf /rw/upper /rw/work
$b mkdir -p /rw/upper /rw/work
$b mount -t "$type" -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work overlay /root || say "cannot mount the root as $type"
$b mount -t tmpfs -o mode=755 run /root/run
$b mkdir -p /root/run/job /root/run/live/lower /root/run/live/rw /root/run/systemd/system/multi-user.target.wants
$b mount --move /job /root/run/job
$b mount --move /lower /root/run/live/lower
$b mount --move /rw /root/run/live/rw
$b cat >/root/run/systemd/system/live-test.service <<S
[Unit]
Description=The test of the live system
[Service]
Type=simple
ExecStart=/bin/bash /run/job/guest.sh $type $upper $OVL_STEP
StandardOutput=tty
StandardError=tty
TTYPath=/dev/hvc0
S
$b ln -s ../live-test.service /root/run/systemd/system/multi-user.target.wants/
for d in proc sys dev; do $b mount --move /$d /root/$d; done
exec $b switch_root /root /lib/systemd/systemd
