#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The older of the supported kernel series: the module builds for each, the
# stock kernel boots with it, it does what containers ask of it, and a Debian
# system works on it (the demonstration). The kernel's own overlay of such a
# series lacks fixes, so that nothing is compared with it.
#   T=FILTER            other tests than those of the contract
# The last line is `N passed, N failed, N skipped`.
. "$(dirname "$0")/lib.sh"

passed=0 failed=0 skipped=0
for KVER in "${OVL_SUPPORTED[@]:1}"; do
	export KVER OVL_BUILD=$MODULE_DIR/build/$KVER FS=ext4 TYPE=overlay_rs T=${T:-contract}
	mkdir -p "$OVL_BUILD"
	log=$OVL_BUILD/older.log
	say "the series $KVER"
	rc=0
	"$OVL_QEMU/test.sh" 2>&1 | tee "$log" || rc=$?
	p=0 f=0 s=0
	read -r p _ f _ s _ < <(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1) || true
	if [ $rc != 0 ] && [ "$f" = 0 ]; then f=1; fi
	if env -u TYPE "$OVL_QEMU/run.sh"; then p=$((p + 1)); else f=$((f + 1)); fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
