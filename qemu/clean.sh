#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Removes what builds leave behind: in the checkout, or with `clean.sh cache`
# everything that was downloaded and made.
. "$(dirname "$0")/lib.sh"

if [ "${1:-}" = cache ]; then
	# Only what is ours, by name: OVL_CACHE may be any directory.
	rm -rf "$OVL_CACHE"/{tree,kernel,guest,debs,suites,cargo,logs,locks,modules.??????}
	rmdir "$OVL_CACHE" 2>/dev/null || true
	exit 0
fi
rm -rf "$OVL_BUILD"
cd "$MODULE_DIR"
# Of a build in place, with M= and without MO=.
find . -name .git -prune -o -type f \( -name '*.o' -o -name '*.ko' -o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name '.*.d' \
	-o -name modules.order -o -name Module.symvers -o -path './vfs/bindings/*generated.rs' -o -path ./vfs/bindings/layout.s \) -exec rm -f {} +
