#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A long run without anybody watching: the fuzzer, damaged layers, failing
# allocations and another kind of fault, the storms and stress-ng in turn, in
# one boot of the debug kernel, until the time is over; then the module goes
# and the kernel looks for leaks. Any alarm in the kernel's log fails it.
#   HOURS=N (1, may be 0.1)  KERNEL=debug|stock   SEED=FIRST-SEED of the fuzzer (the ledger's next)
# How long, and what was done, goes into the ledger. The last line is `N passed, N failed, N skipped`, in turns.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-debug} seed=${SEED:-$("$OVL_QEMU/ledger.sh" next soak)} rc=0
case $kernel in
stock) need=vm ;;
debug) need=debug ;;
*) die "KERNEL= is stock or debug" ;;
esac
seconds=$(awk -v h="${HOURS:-1}" 'BEGIN { print int(h * 3600) }')
[ "$seconds" -gt 0 ] || die "HOURS= is a number above 0"
"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"
# stress-ng is there when `make suites` has fetched it.
shares=()
suites=$(find "$OVL_CACHE/suites" -name suites.tar -printf '%h\n' 2>/dev/null | head -n 1)
if [ -n "$suites" ]; then
	shares=(--share "$suites:suites")
else
	note "without stress-ng: it comes with make suites"
fi
mkdir -p "$OVL_BUILD/soak"
cp "$OVL_QEMU/soak-guest.sh" "$OVL_BUILD/tests/"
seeds=()
for campaign in hostile nth errors io crash quota signals eio; do
	seeds+=("$campaign=$("$OVL_QEMU/ledger.sh" next $campaign)")
done
say "soak for $seconds s from seed $seed ($kernel kernel)"
"$OVL_QEMU/boot.sh" --kernel "$kernel" --seconds --timeout $((seconds + 3600)) --share "$OVL_BUILD/tests:tests" "${shares[@]}" \
	--share "$OVL_BUILD/soak:out:rw" "bash /mnt/share/tests/soak-guest.sh $seconds $seed ${seeds[*]}" | tee "$OVL_BUILD/soak.log" || rc=$?
"$OVL_QEMU/ledger.sh" add "$kernel" "$rc" <(cat "$OVL_BUILD/soak.log"; "$OVL_QEMU/storm-sums.sh" <"$OVL_BUILD/soak.log")
grep -E '^[0-9]+ passed, [0-9]+ failed' "$OVL_BUILD/soak.log" | tail -n 1
exit "$rc"
