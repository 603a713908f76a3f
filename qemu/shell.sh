#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A shell in the VM, with the module loaded and the scratch file systems
# mounted: KERNEL=stock|debug shell.sh. The checkout is at /mnt/share/checkout.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-stock}
[ -t 0 ] || die "a shell needs a terminal; for one command use qemu/boot.sh"
case $kernel in stock) need=vm ;; *) need=$kernel ;; esac
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
say "a shell in the VM: /mnt/{ext4,xfs,btrfs,tmpfs} are empty, /mnt/lower is the guest's tree, exit ends it"
exec "$OVL_QEMU/boot.sh" --kernel "$kernel" --allow-warnings --share "$MODULE_DIR:checkout" --shell
