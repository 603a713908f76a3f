#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes everything that is cached, in its order; what is there is left alone.
#   prepare.sh module          what a build of the module takes
#   prepare.sh vm              and a guest with the stock kernel
#   prepare.sh demo            and the packages the demonstration installs
#   prepare.sh debug           and the debug kernel
. "$(dirname "$0")/lib.sh"

what=${1:-vm}
case $what in
module) "$OVL_QEMU/host-deps.sh" build ;;
*) "$OVL_QEMU/host-deps.sh" vm ;;
esac
"$OVL_QEMU/tree.sh"
"$OVL_QEMU/kernel.sh"
[ "$what" != module ] || exit 0
"$OVL_QEMU/guest.sh"
case $what in
vm) ;;
demo) "$OVL_QEMU/debs.sh" ;;
debug)
	"$OVL_QEMU/debug-kernel.sh"
	"$OVL_QEMU/vm-image.sh" debug
	exit 0
	;;
*) die "usage: prepare.sh module|vm|demo|debug" ;;
esac
"$OVL_QEMU/vm-image.sh" stock
