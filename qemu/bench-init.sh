#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=dash
# The first program of the VM that bench.sh boots: loads the modules, measures, and ends the VM. What
# was measured goes to the second serial line, everything else to the first.
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
say() { echo "bench: $*" >/dev/console; }
for m in /m/*.ko; do
	case $m in
	*brd.ko) parameters='rd_nr=1 rd_size=409600' ;;
	*) parameters='' ;;
	esac
	# shellcheck disable=SC2086
	$b insmod "$m" $parameters || say "cannot load $m"
done
# The first write to a page of the disk allocates it: not in what is measured.
$b dd if=/dev/zero of=/dev/ram0 bs=1048576 2>/dev/null
$b stty -F /dev/ttyS1 raw
# shellcheck disable=SC2046
/ovl-bench $($b cat /arguments) >/dev/ttyS1 2>/dev/console || say "it failed"
$b dmesg | $b grep -E 'BUG:|WARNING:|Oops|Call Trace' >/dev/console
# With profiles: what the addresses mean.
[ ! -e /symbols ] || $b cat /proc/kallsyms >/dev/ttyS1
$b sync
$b poweroff -f
