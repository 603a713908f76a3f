#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Writes the table of docs/layers.md anew: the tests of every upper over every
# lower (tests/guest/src/suite/layers.rs) run in the VM and print what they
# found. Whenever they run otherwise they compare it with that table.
. "$(dirname "$0")/lib.sh"

doc=$MODULE_DIR/docs/layers.md
mark='<!-- The table, by make layers -->'
grep -qxF "$mark" "$doc" || die "$doc has no line $mark"
"$OVL_QEMU/prepare.sh" vm
"$OVL_QEMU/module.sh"
"$OVL_QEMU/test-build.sh"

say "every upper over every lower, in the VM"
log=$OVL_BUILD/layers.log
rc=0
"$OVL_QEMU/boot.sh" --share "$OVL_BUILD/tests:tests" \
	"OVL_LAYERS=print /mnt/share/tests/ovl-tests --type overlay_rs layers/" >"$log" 2>&1 || rc=$?
if [ $rc != 0 ]; then
	sed -n '/^failures:/,$p' "$log"
	die "the tests fail: nothing was written (log: $log)"
fi
# Each row comes with its number.
rows=$(grep -oE 'LAYERS [0-9]+ .*' "$log" | sort -k2n | cut -d' ' -f3-) || die "no rows in $log"
{
	sed "/^$mark\$/q" "$doc"
	printf '\n%s\n' "$rows"
} >"$doc.new"
mv "$doc.new" "$doc"
note "$(git -C "$MODULE_DIR" diff --stat -- docs/layers.md | tail -n 1)"
