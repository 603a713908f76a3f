#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The storms (tests/guest/src/suite/storm.rs): many tasks on the same names,
# mounts, reloads of the module and tasks killed while they copy up, for as
# long as is asked, and then a look at what is left.
#   DURATION=SECONDS (30)    for each scenario and file system
#   SCENARIO=NAME            one of copy_up_races lookup_rename_drop_caches
#                            readdir_against_change mounts reloads kills_in_copy_up
#   FS=ext4,xfs (tmpfs,ext4) TYPE=overlay_rs,overlay (overlay_rs)
#   KERNEL=stock|debug       CPUS=N of the VM (2)
# Each scenario prints what it did; the sums go into the ledger. The last line is `N passed, N failed, N skipped`.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-stock} seconds=${DURATION:-30}
case $kernel in
stock) need=vm ;;
debug) need=debug ;;
*) die "KERNEL= is stock or debug" ;;
esac
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"
say "storms of $seconds s each ($kernel kernel)"
log=$OVL_BUILD/storm.log rc=0
# Short grace periods: more rounds, and nothing lives on by chance.
"$OVL_QEMU/boot.sh" --kernel "$kernel" --seconds --cpus "${CPUS:-2}" --timeout $((seconds * 30 + 1800)) --share "$OVL_BUILD/tests:tests" \
	"echo 1 >/sys/kernel/rcu_expedited
	/mnt/share/tests/ovl-tests --storm $seconds --fs ${FS:-tmpfs,ext4} --type ${TYPE:-overlay_rs} ${SCENARIO:-}" |
	tee "$log" || rc=$?
"$OVL_QEMU/ledger.sh" add "$kernel" "$rc" <("$OVL_QEMU/storm-sums.sh" <"$log")
exit "$rc"
