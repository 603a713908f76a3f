#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Which tests cover which feature of overlayfs, and how they went:
#   features.sh          prints the table with the last results, and makes docs/features.md
#   features.sh results  only prints it (the tests are built)
#   features.sh doc      prints docs/features.md as it has to be (the tests are built)
# It fails if a feature has no test, or one that failed when it ran last.
. "$(dirname "$0")/lib.sh"

tests() { "$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$OVL_BUILD:/build:ro" -- /build/tests/ovl-tests "$@"; }
results() {
	touch "$OVL_BUILD/results.log"
	tests --features /build/results.log
}

case ${1:-} in
results) results ;;
doc) tests --features-doc ;;
'')
	"$OVL_QEMU/prepare.sh" module
	"$OVL_QEMU/test-build.sh"
	tests --features-doc >"$OVL_BUILD/features.md"
	cmp -s "$OVL_BUILD/features.md" "$MODULE_DIR/docs/features.md" || {
		cp "$OVL_BUILD/features.md" "$MODULE_DIR/docs/features.md"
		note "docs/features.md was out of date and has been made anew"
	}
	results
	;;
*) die "features.sh knows doc and results, and '$1' is neither" ;;
esac
