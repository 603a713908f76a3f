#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The differential fuzzer: random layers and operations on the kernel's own
# overlay and on overlay_rs in one VM, everything compared (tests/fuzz). First
# it repeats the cases that once differed (tests/fuzz/corpus).
#   CAMPAIGN=fuzz|hostile|hostile-userns
#                            hostile: the layers are damaged first; -userns: by the owner of a
#                            user namespace, who mounts them in it
#   DURATION=SECONDS (60)    SEED=FIRST-SEED (the first that the ledger lacks)
#   FS=ext4,xfs,tmpfs        the file systems of the uppers; fresh: a new tmpfs for each case
#   JOBS=N (2)               cases at a time
#   CPUS=N (1)               of the VM: emulated, one does as much as two; with two, crowds meet in earnest
#   KERNEL=stock|debug       ARGS="..." more for ovl-fuzz, such as --replay FILE --trace
# Cases that differ are left in $OVL_BUILD/CAMPAIGN/, shrunk. The last line is
# `N passed, N failed, N skipped`, in cases. The run is entered in the ledger.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-stock} seconds=${DURATION:-60} campaign=${CAMPAIGN:-fuzz} as=''
case $campaign in
fuzz) upper=fresh,fresh,fresh,tmpfs,ext4,xfs lower=fresh,tmpfs,xfs,ext4 how=(--jobs "${JOBS:-2}") ;;
hostile) upper=fresh,fresh,fresh,fresh,fresh,fresh,ext4,xfs lower=fresh,fresh,tmpfs how=(--hostile --ops 12) ;;
hostile-userns)
	upper=fresh lower=fresh how=(--hostile --userns --ops 12)
	as='unshare --user --mount --map-users=0,0,65536 --map-groups=0,0,65536'
	;;
*) die "CAMPAIGN= is fuzz, hostile or hostile-userns" ;;
esac
how+=(--fs "${FS:-$upper}" --lower-fs "$lower")
case $kernel in
stock) need=vm ;;
debug) need=debug ;;
*) die "KERNEL= is stock or debug" ;;
esac
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"

out=$OVL_BUILD/$campaign corpus=$MODULE_DIR/tests/fuzz/corpus log=$OVL_BUILD/$campaign.log
seed=${SEED:-$("$OVL_QEMU/ledger.sh" next "$campaign")}
mkdir -p "$out" "$corpus"
rm -f "$out"/*
say "$campaign for $seconds s from seed $seed ($kernel kernel); what differs: $out/"
# Damaged layers make the kernel say much: not on the slow console. Mounting and unmounting wait for
# RCU, which takes most of the time of a case if it is not told to hurry.
boot() { # SECONDS ARG...
	local limit=$1
	shift
	"$OVL_QEMU/boot.sh" --kernel "$kernel" --cpus "${CPUS:-1}" --timeout "$limit" --share "$OVL_BUILD/tests:tests" --share "$out:out:rw" \
		--share "$corpus:corpus" --share "$MODULE_DIR:checkout" "dmesg -n 3; echo 1 >/sys/kernel/rcu_expedited; $*"
}
fuzz=/mnt/share/tests/ovl-fuzz
if [ -n "${ARGS:-}" ]; then
	boot 1800 "cd /mnt/share/checkout && $fuzz $ARGS"
	exit
fi
rc=0
boot $((seconds + 900)) "$fuzz --replay /mnt/share/corpus; old=\$?
	$as $fuzz --seed $seed --seconds $seconds ${how[*]} --out /mnt/share/out || exit
	exit \$old" | tee "$log" || rc=$?
"$OVL_QEMU/ledger.sh" add "$kernel" "$rc" "$log"
grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1
exit "$rc"
