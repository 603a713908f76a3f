#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Other people's suites, unmodified, on the kernel's own overlay and on
# overlay_rs, in one VM, the results side by side:
#   T=SUITE,SUITE    only these (pjdfstest fsx stress-ng fio dbench fsmark postmark bonnie kselftest)
#   FS=ext4,xfs      the file systems of the layers (ext4)
#   TYPE=a,b         the modules (overlay,overlay_rs)
#   SCALE=PERCENT    how long the suites run that can run for any time
#   KERNEL=stock|debug
# It fails when overlay_rs fails something that the kernel's own overlay
# passes. The table of all results is left in $OVL_BUILD/suites.tsv; the last
# line is `N passed, N failed, N skipped`.
. "$(dirname "$0")/lib.sh"

# From Debian, with the libraries they load. What stress-ng would draw with, it
# loads only to draw.
packages=(stress-ng fio dbench fsmark postmark bonnie++)
unwanted='libllvm|mesa-|libegl-mesa|libz3|libx11-data'
# From crates.io.
crates=(pjdfstest@0.2.2 fsx@0.3.2)

kernel=${KERNEL:-stock}
case $kernel in
stock) need=vm scale=${SCALE:-100} ;;
debug) need=debug scale=${SCALE:-10} ;;
*) die "KERNEL= is stock or debug" ;;
esac
"$OVL_QEMU/prepare.sh" "$need"

guest=$(readlink -f "$OVL_CACHE/guest/current")
linux=$(readlink -f "$(kernel_dir)/linux")

# The guest's apt decides what the guest lacks; its own state stays as it is.
# libcap-dev is what the kernel's selftests are linked with.
fetch_packages() { # DIR
	mkdir -p "$1"/{lists,cache,debs}
	# shellcheck disable=SC2016
	"$OVL_QEMU/in-tree.sh" "$guest/tree" "$1/lists:/var/lib/apt/lists" "$1/cache:/var/cache/apt" "$1/debs:/mnt" -- sh -ec '
		apt() { apt-get -o APT::Sandbox::User=root "$@"; }
		unwanted=$1
		shift
		apt update
		cd /mnt
		apt download $(apt -s install --no-install-recommends "$@" |
			sed -n "s/^Inst \([^ ]*\).*/\1/p" | grep -vE "^($unwanted)")
	' sh "$unwanted" "${packages[@]}" libcap-dev || die "the suites' packages cannot be fetched: is $OVL_MIRROR reachable from here?"
	local f
	mkdir "$1/root"
	for f in "$1"/debs/*.deb; do dpkg-deb -x "$f" "$1/root"; done
}
build_crates() { # DIR
	local c
	mkdir -p "$OVL_CACHE"/cargo/{home,target-suites} "$1/crates"
	for c in "${crates[@]}"; do
		CARGO_HOME=/cargo/home CARGO_TARGET_DIR=/cargo/target "$OVL_QEMU/in-tree.sh" "$OVL_TREE" \
			"$OVL_CACHE/cargo/home:/cargo/home" "$OVL_CACHE/cargo/target-suites:/cargo/target" "$1/crates:/out" -- cargo install -q --locked --root /out "$c" ||
			die "cargo could not build $c: is crates.io reachable from here?"
		cp "$1/crates/bin/${c%@*}" "$1/root/usr/bin/"
	done
}
# The kernel's selftests name the file system type: they are built once for each.
build_selftests() { # DIR
	# shellcheck disable=SC2016
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$linux:/kernel/linux:ro" "$1/root:/mnt" -- sh -ec '
		mkdir -p /tmp/hdr /tmp/selftests
		make -s -C /kernel/linux O=/tmp/hdr headers
		cd /kernel/linux/tools/testing/selftests
		cp -r kselftest.h kselftest_harness.h filesystems pidfd clone3 /tmp/selftests/
		cd /tmp/selftests/filesystems
		for type in overlay overlay_rs; do
			mkdir -p /mnt/opt/kselftest/$type
			for c in overlayfs/*.c; do
				sed -i "s/\"overlay\(_rs\)\?\"/\"$type\"/g" $c
				gcc -Wall -O1 -I/tmp/hdr/usr/include -I/tmp/selftests -I/kernel/linux/tools/include/uapi -I/mnt/usr/include \
					-o /mnt/opt/kselftest/$type/$(basename $c .c) $c utils.c /mnt/usr/lib/x86_64-linux-gnu/libcap.a
			done
		done
	'
}
build() {
	rm -rf "$dir.new"
	mkdir -p "$dir.new"
	fetch_packages "$dir.new"
	build_crates "$dir.new"
	build_selftests "$dir.new"
	rm -rf "$dir.new"/root/usr/{include,share/{doc,man,locale,lintian}} "$dir.new"/root/usr/lib/x86_64-linux-gnu/*.a
	mkdir "$dir.new/out"
	tar -C "$dir.new/root" --owner=0 --group=0 -cf "$dir.new/out/suites.tar" .
	rm -rf "$dir"
	mv "$dir.new/out" "$dir"
	rm -rf "$dir.new"
}
dir=$OVL_CACHE/suites/$(key "${packages[@]}" "$unwanted" "${crates[@]}" "$guest" "$linux" "$(declare -f fetch_packages build_crates build_selftests build)")
make_it() {
	[ ! -e "$dir/suites.tar" ] || return 0
	need_root
	need_disk 3 "building the suites"
	step "fetching and building the suites" "$OVL_LOGS/suites.log" build
}
mkdir -p "$OVL_CACHE/suites"
with_lock suites make_it

"$OVL_QEMU/module.sh" "$kernel"
mkdir -p "$OVL_BUILD/suites"
rm -f "$OVL_BUILD/suites"/*
cp "$OVL_QEMU/suites-guest.sh" "$dir/"
say "suites in the VM ($kernel kernel); their output: $OVL_BUILD/suites/"
rc=0
"$OVL_QEMU/boot.sh" --kernel "$kernel" --timeout 5400 --share "$dir:suites" --share "$OVL_BUILD/suites:out:rw" \
	"bash /mnt/share/suites/suites-guest.sh '${T:-}' '${FS:-ext4}' '${TYPE:-overlay,overlay_rs}' '$scale'" || rc=$?

# --- side by side: each case once, with the word each module got ---
table=$OVL_BUILD/suites.tsv
cat "$OVL_BUILD/suites"/results.* 2>/dev/null | awk -F'\t' '
	{ k = $1 FS $2 FS $3; if (!(k in seen)) { seen[k] = 1; order[++n] = k } got[k, $4] = $5 }
	END { for (i = 1; i <= n; i++) print order[i] FS (got[order[i], "overlay"] ? got[order[i], "overlay"] : "-") FS (got[order[i], "overlay_rs"] ? got[order[i], "overlay_rs"] : "-") }' >"$table"
[ -s "$table" ] || die "no suite ran"
say "results (table of all cases: $table)"
awk -F'\t' '
	{ s = $1 FS $2; if (!(s in seen)) { seen[s] = 1; order[++n] = s } total[s]++
	  c[s, "o" $4]++; c[s, "r" $5]++ }
	END { printf "%-12s %-6s %6s   %-24s %-24s\n", "suite", "fs", "cases", "overlay ok/fail/skip", "overlay_rs ok/fail/skip"
	  for (i = 1; i <= n; i++) { split(order[i], w, FS); s = order[i]
	    printf "%-12s %-6s %6d   %-24s %-24s\n", w[1], w[2], total[s], c[s, "ook"] + 0 "/" c[s, "ofail"] + 0 "/" c[s, "oskip"] + 0, c[s, "rok"] + 0 "/" c[s, "rfail"] + 0 "/" c[s, "rskip"] + 0 } }' "$table"
differ=$(awk -F'\t' '$4 != "-" && $5 != "-" && $4 != $5 { printf "    %s/%s/%s: overlay %s, overlay_rs %s\n", $1, $2, $3, $4, $5 }' "$table")
[ -z "$differ" ] || {
	say "where the two differ"
	echo "$differ"
}
# What fails on both is counted as skipped; why, as far as it is known.
declare -A known=(
	[kselftest/set_layers_via_fds.set_layers_via_detached_mount_fds]="it looks for layers below /tmp in mountinfo, but the mounts it made are detached, and such have no path: the kernel shows /"
)
both=$(awk -F'\t' '$4 == "fail" && $5 == "fail" { print $1 "/" $3 "\t" $2 }' "$table")
[ -z "$both" ] || {
	say "what both fail"
	while IFS=$'\t' read -r case fs; do echo "    $case on $fs${known[$case]:+: ${known[$case]}}"; done <<<"$both"
}
# Not to have run at all is not a success either.
failed=$(awk -F'\t' '($5 == "fail" || $5 == "skip" || $5 == "-") && $4 == "ok"' "$table" | wc -l)
[[ ${TYPE:-overlay_rs} == *overlay_rs* ]] || failed=0
passed=$(awk -F'\t' '$5 == "ok"' "$table" | wc -l)
skipped=$(($(wc -l <"$table") - passed - failed))
if [ $rc != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
