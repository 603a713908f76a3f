#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What overlay_rs does when something fails underneath it (tests/faults):
#   CAMPAIGN=nth      one allocation after the other fails (debug kernel)
#   CAMPAIGN=errors   full and read-only file systems, killed tasks (stock kernel)
#   CAMPAIGN=eio      blocks of the lower disk that cannot be read (stock kernel)
#   CAMPAIGN=io       a disk that refuses one request after the other (stock kernel)
#   CAMPAIGN=quota    limits for caller, mounter and project (stock kernel)
#   CAMPAIGN=signals  a signal at one step after the other (stock kernel)
#   CAMPAIGN=crash    states of the disk in which a crash may leave it (stock kernel)
#   DURATION=SECONDS (60)    SEED=FIRST-SEED (the first that the ledger lacks)
#   TYPE=a,b the modules    KERNEL=stock|debug    CPUS=N of the VM (1)
#   ARGS="..." more for ovl-faults
# The last line is `N passed, N failed, N skipped`, in points. The run is
# entered in the ledger, if overlay_rs is among the modules.
. "$(dirname "$0")/lib.sh"

campaign=${CAMPAIGN:-errors} seconds=${DURATION:-60}
case $campaign in
nth) kernel=${KERNEL:-debug} type=${TYPE:-overlay_rs} ;;
errors | eio | io | quota | signals) kernel=${KERNEL:-stock} type=${TYPE:-overlay,overlay_rs} ;;
crash) kernel=${KERNEL:-stock} type=${TYPE:-overlay_rs} ;;
*) die "CAMPAIGN= is nth, errors, eio, io, quota, signals or crash" ;;
esac
case $kernel in
stock) need=vm ;;
debug) need=debug ;;
*) die "KERNEL= is stock or debug" ;;
esac
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"

seed=${SEED:-$("$OVL_QEMU/ledger.sh" next "$campaign")} log=$OVL_BUILD/$campaign.log
say "$campaign for $seconds s from seed $seed ($kernel kernel; log: $log)"
rc=0
"$OVL_QEMU/boot.sh" --kernel "$kernel" --cpus "${CPUS:-1}" --timeout $((seconds + 900)) --share "$OVL_BUILD/tests:tests" \
	"dmesg -n 3; /mnt/share/tests/ovl-faults $campaign --seed $seed --seconds $seconds --type $type ${ARGS:-}" | tee "$log" || rc=$?
# What was run on the kernel's own overlay alone says nothing about overlay_rs.
[[ ,$type, != *,overlay_rs,* ]] || "$OVL_QEMU/ledger.sh" add "$kernel" "$rc" "$log"
grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1
exit "$rc"
