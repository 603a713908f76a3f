#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The container runtimes of Debian, unmodified, in the VM: first on the
# kernel's own overlay, then on overlay_rs in its place. Each case prints what
# came of it, and on overlay_rs that has to be what it is on the kernel's own.
#   T=RUNTIME,RUNTIME  only these (podman deep buildah containerd docker rootless sandbox)
#   TYPE=a,b           the modules (overlay,overlay_rs)
#   ARGS=CASE          only cases of this name (a pattern)
# The last line is `N passed, N failed, N skipped`.
. "$(dirname "$0")/lib.sh"

runtimes=${T:-podman,buildah,containerd,docker,rootless,sandbox,deep}
types=${TYPE:-overlay,overlay_rs}
"$OVL_QEMU/prepare.sh" vm
"$OVL_QEMU/containers-image.sh"
"$OVL_QEMU/module.sh" stock

out=$OVL_BUILD/containers
rm -rf "$out"
mkdir -p "$out"
say "container runtimes in the VM: $runtimes (what they print: $out/)"
rc=0
"$OVL_QEMU/boot.sh" --guest containers --timeout 7200 --share "$MODULE_DIR/tests/containers:containers" --share "$out:out:rw" \
	"only='${ARGS:-}' /mnt/share/containers/run.sh '$runtimes' '$types'" || rc=$?
[ -s "$out/results" ] || die "no case ran"

# A case is good when it is on both, and what it printed is the same.
passed=0 failed=0 skipped=0
say "results"
printf '%-12s %-32s %-10s %-10s %s\n' runtime case overlay overlay_rs 'the same'
while IFS=$'\t' read -r runtime name; do
	word() { awk -F'\t' -v r="$runtime" -v n="$name" -v t="$1" '$1 == r && $2 == n && $3 == t { w = $4 } END { print w ? w : "-" }' "$out/results"; }
	intree=$(word overlay) ours=$(word overlay_rs) same=-
	if [ "$intree" != - ] && [ "$ours" != - ]; then
		if diff "$out/overlay/$runtime.$name" "$out/overlay_rs/$runtime.$name" >"$out/$runtime.$name.diff"; then same=yes; else same=NO; fi
	fi
	printf '%-12s %-32s %-10s %-10s %s\n' "$runtime" "$name" "$intree" "$ours" "$same"
	[ "$same" != NO ] || head -n 8 "$out/$runtime.$name.diff" | cut -c1-150 | sed 's/^/    | /'
	if [ "$ours" = ok ] && [ "$same" != NO ]; then
		passed=$((passed + 1))
	elif [[ $types != *overlay_rs* ]] && [ "$intree" = ok ]; then
		skipped=$((skipped + 1))
	else
		# Also what fails on both: such a case says nothing, and has to be mended.
		failed=$((failed + 1))
	fi
done < <(awk -F'\t' '!seen[$1 FS $2]++ { print $1 FS $2 }' "$out/results")
if [ $rc != 0 ] && [ $failed = 0 ]; then failed=1; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
