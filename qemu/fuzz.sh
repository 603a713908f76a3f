#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The differential fuzzer: random layers and operations on the kernel's own
# overlay and on overlay_rs in one VM, everything compared (tests/fuzz). First
# it repeats the cases that once differed (tests/fuzz/corpus).
#   DURATION=SECONDS (60)    SEED=FIRST-SEED (the time of day)
#   FS=ext4,xfs,tmpfs        the file systems of the uppers
#   KERNEL=stock|debug       ARGS="..." more for ovl-fuzz, such as --replay FILE --trace
# Cases that differ are left in $OVL_BUILD/fuzz/, shrunk. The last line is
# `N passed, N failed, N skipped`, in cases.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-stock} seconds=${DURATION:-60} seed=${SEED:-$(date +%s)}
case $kernel in
stock) need=vm ;;
debug) need=debug ;;
*) die "KERNEL= is stock or debug" ;;
esac
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"

out=$OVL_BUILD/fuzz
mkdir -p "$out" "$MODULE_DIR/tests/fuzz/corpus"
rm -f "$out"/*
say "fuzzing for $seconds s from seed $seed ($kernel kernel); what differs: $out/"
boot() { # SECONDS ARG...
	local limit=$1
	shift
	"$OVL_QEMU/boot.sh" --kernel "$kernel" --timeout "$limit" --share "$OVL_BUILD/tests:tests" --share "$out:out:rw" \
		--share "$MODULE_DIR/tests/fuzz/corpus:corpus" --share "$MODULE_DIR:checkout" "$*"
}
fuzz=/mnt/share/tests/ovl-fuzz
if [ -n "${ARGS:-}" ]; then
	boot 1800 "cd /mnt/share/checkout && $fuzz $ARGS"
	exit
fi
boot $((seconds + 900)) "$fuzz --replay /mnt/share/corpus; old=\$?
	$fuzz --seed $seed --seconds $seconds --fs ${FS:-ext4,ext4,xfs,tmpfs} --lower-fs tmpfs,xfs,ext4 --out /mnt/share/out || exit
	exit \$old" | tee "$OVL_BUILD/fuzz.log"
exit "${PIPESTATUS[0]}"
