#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Process 1 of the VM. Mounts everything a test may want, loads the modules,
# runs the command of this run, then takes it all apart again and reports.
#
# /run/job is a directory of the host: `cmd` is the command, `env` what this
# script has to know; `status`, `dmesg.log` and `problems` are its answers,
# `started` says that the kernel came up.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
job=/run/job
# shellcheck source=/dev/null
. $job/env
: >$job/started
exec </dev/hvc0 >/dev/hvc0 2>&1
[ "$OVL_SHELL" = 1 ] || stty -echo -opost
umask 022

problem() { echo "$*" >>$job/problems; }

finish() {
	dmesg >$job/dmesg.log
	sync -f $job/status 2>/dev/null
	sleep 0.2
	echo 1 >/proc/sys/kernel/sysrq
	echo b >/proc/sysrq-trigger
	sleep 60
}

mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts --mkdir
mount -t tmpfs -o mode=1777 shm /dev/shm --mkdir
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ln -sf /proc/self/fd /dev/fd
ln -sf fd/0 /dev/stdin
ln -sf fd/1 /dev/stdout
ln -sf fd/2 /dev/stderr
hostname overlay-guest
ip link set lo up 2>/dev/null
ulimit -n 1048576 2>/dev/null || ulimit -n 65536

# The disks come in the order boot.sh names them. All at once: most of the
# time goes into loading the modules.
disk() { # TYPE DEVICE PLACE OPTIONS
	modprobe "$1" 2>/dev/null
	mount -t "$1" -o "$4" "$2" "$3" || problem "no $1 at $3"
}
disk xfs /dev/vdc /mnt/xfs noatime &
(
	disk btrfs /dev/vdd /mnt/btrfs noatime
	disk erofs /dev/vde /mnt/lower ro
) &
disk ext4 /dev/vdb /mnt/ext4 noatime
mount -t tmpfs tmpfs /mnt/tmpfs
for s in $OVL_SHARES; do
	mount -t 9p --mkdir -o trans=virtio,version=9p2000.L,msize=262144,cache=loose "$s" "/mnt/share/$s" ||
		problem "the shared directory $s is not there"
done
modprobe loop 2>/dev/null
modprobe overlay || problem "the kernel's own overlay does not load"
if [ -e $job/overlay_rs.ko ]; then
	cp $job/overlay_rs.ko /overlay_rs.ko
	insmod /overlay_rs.ko || problem "overlay_rs.ko does not load: $(dmesg | tail -n 3)"
fi
wait
mounts() { awk '{ print $5 }' /proc/self/mountinfo; }
before=$(mounts)

status=125
if [ -s $job/problems ]; then
	: # no ground to stand on
elif [ "$OVL_SHELL" = 1 ]; then
	cd /root || exit
	setsid -w -c bash -l
	status=0
else
	cd /root || exit
	# Through a pipe: what it runs shall not take the console for a terminal.
	mkfifo /run/output
	cat /run/output &
	printer=$!
	disown $printer
	setsid -w bash $job/cmd </dev/null >/run/output 2>&1
	status=$?
	# A process left behind may keep the pipe open: do not wait for it for long.
	for _ in {1..40}; do
		kill -0 $printer 2>/dev/null || break
		sleep 0.05
	done
fi
echo "$status" >$job/status

# Nothing may hold a reference any more.
cd /
kill -9 -1 2>/dev/null
sleep 0.2
mounts | tac | while read -r m; do
	grep -qxF -- "$m" <<<"$before" || { printf -v m %b "$m"; umount -- "$m" || umount -l -- "$m" || problem "cannot unmount $m"; }
done
for m in /mnt/tmpfs /mnt/btrfs /mnt/xfs /mnt/ext4; do
	timeout 120 umount $m || problem "$m stays busy after the run: a reference was left behind"
done
if [ -e /sys/module/overlay_rs ] && [ "$OVL_UNLOAD" = 1 ]; then
	timeout 60 rmmod overlay_rs ||
		problem "overlay_rs cannot be unloaded: a reference was left behind (count $(cat /sys/module/overlay_rs/refcnt 2>/dev/null))"
fi
leaks=/sys/kernel/debug/kmemleak
if [ -e $leaks ] && [ "$OVL_UNLOAD" = 1 ]; then
	# An object is reported when it was unreachable in a scan and is older than five seconds.
	echo scan >$leaks
	sleep 6
	echo scan >$leaks
	cat $leaks >$job/kmemleak.log
	[ ! -s $job/kmemleak.log ] || problem "kmemleak found $(grep -c '^unreferenced object' $job/kmemleak.log) leaked objects"
fi
echo "unloaded" >$job/finished
finish
