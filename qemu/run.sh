#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demonstration: boots the stock kernel and runs demo/run.sh in it, with
#   /mnt/lower        the guest's Debian tree, read-only (its image is /dev/vde)
#   /mnt/share/debs   a local apt repository of packages to install
#   /mnt/share/demo   the demo/ directory
. "$(dirname "$0")/lib.sh"

[ -e "$MODULE_DIR/demo/run.sh" ] || die "there is no demo/run.sh in $MODULE_DIR"
"$OVL_QEMU/prepare.sh" demo
"$OVL_QEMU/module.sh" stock
start=$SECONDS
say "the demonstration, in a VM with the stock Debian kernel"
"$OVL_QEMU/boot.sh" --share "$OVL_CACHE/debs/demo/current/:debs" --share "$MODULE_DIR/demo:demo" \
	"bash /mnt/share/demo/run.sh $*" || {
	note "the demonstration FAILED after $((SECONDS - start)) s (logs: $OVL_BUILD/vm/last)"
	exit 1
}
note "the demonstration succeeded in $((SECONDS - start)) s (logs: $OVL_BUILD/vm/last)"
