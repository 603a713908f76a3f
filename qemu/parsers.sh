#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Random bytes for everything in rules/ that reads options or what is on disk,
# on the host (tests/host/src/test_fuzz.rs):
#   COUNT=INPUTS (10000000)    SEED=SEED (the first that the ledger lacks)
# The last line is `N passed, N failed, N skipped`, in tests. The run is
# entered in the ledger.
. "$(dirname "$0")/lib.sh"

count=${COUNT:-10000000} log=$OVL_BUILD/parsers.log
"$OVL_QEMU/prepare.sh" module
"$OVL_QEMU/test-build.sh"
seed=${SEED:-$("$OVL_QEMU/ledger.sh" next parsers)}
# Eight shares: five tests, of which one takes four.
say "$count inputs from seed $seed (log: $log)"
rc=0
"$OVL_QEMU/test-build.sh" cargo --offline --config "env.RULES_SEED=\"$seed\"" --config "env.RULES_INPUTS=\"$((count / 8))\"" \
	test --locked --manifest-path host/Cargo.toml -- test_fuzz:: >"$log" 2>&1 || rc=$?
read -r passed failed < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed.*/\1 \2/p' "$log") || true
[ "${passed:-0}" != 0 ] || [ "${failed:-0}" != 0 ] || die "no test ran: $(reason "$log")"
echo "ledger: parsers $seed $seed $((count / 8 * 8)) inputs $failed" >>"$log"
"$OVL_QEMU/ledger.sh" add host "$rc" "$log"
[ "$rc" = 0 ] || sed -n '/^failures:/,$p' "$log" | head -n 60
echo "$passed passed, $failed failed, 0 skipped"
exit "$rc"
