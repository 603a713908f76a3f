#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The container runtimes of Debian, unmodified, in the VM: first on the
# kernel's own overlay, then on overlay_rs in its place. Each case prints what
# came of it, and on overlay_rs that has to be what it is on the kernel's own.
#   T=RUNTIME,RUNTIME  only these (podman runc buildah containerd docker rootless sandbox debian)
#   TYPE=a,b           the modules (overlay,overlay_rs)
#   ARGS=CASE          only cases of this name (a pattern)
#   CPUS=N             of the VM (1: emulated, that does as much as two)
#   DOC=1              write the table of docs/containers.md anew, out of this run and of those
#                      before it with the same module and the same guest
# The last line is `N passed, N failed, N skipped`.
. "$(dirname "$0")/lib.sh"

every=podman,runc,buildah,containerd,docker,rootless,sandbox,debian
runtimes=${T:-$every}
types=${TYPE:-overlay,overlay_rs}
doc=$MODULE_DIR/docs/containers.md
mark='<!-- The tables, by make test-containers DOC=1 -->'
"$OVL_QEMU/prepare.sh" demo
"$OVL_QEMU/containers-image.sh"
"$OVL_QEMU/module.sh" stock

# What earlier runs found counts as long as nothing has changed under it.
out=$OVL_BUILD/containers
made_from=$(key "$(sha256sum <"$OVL_BUILD/stock/overlay_rs.ko")" "$(readlink -f "$OVL_CACHE/guest/containers")" "$(cat "$(kernel_dir)/release")")
[ "$(cat "$out/made-from" 2>/dev/null)" = "$made_from" ] || rm -rf "$out"
mkdir -p "$out"
echo "$made_from" >"$out/made-from"
touch "$out/all"
: >"$out/results"
say "container runtimes in the VM: $runtimes (what they print: $out/)"
rc=0
"$OVL_QEMU/boot.sh" --guest containers --cpus "${CPUS:-1}" --timeout 7200 --share "$OVL_CACHE/debs/demo/current/:debs" \
	--share "$MODULE_DIR/tests/containers:containers" --share "$out:out:rw" \
	"only='${ARGS:-}' /mnt/share/containers/run.sh '$runtimes' '$types'" || rc=$?
[ -s "$out/results" ] || die "no case ran"

# The newest result of each case; those that have gone are left out.
if [ -z "${ARGS:-}" ]; then
	awk -F'\t' -v now=",$runtimes," -v types=",$types," 'FILENAME == ARGV[1] { if (!index(now, "," $1 ",") || !index(types, "," $3 ",")) print; next } 1' \
		"$out/all" "$out/results" >"$out/all.new"
else
	cat "$out/all" "$out/results" >"$out/all.new"
fi
mv "$out/all.new" "$out/all"

word() { awk -F'\t' -v r="$2" -v n="$3" -v t="$4" '$1 == r && $2 == n && $3 == t { w = $4 } END { print w ? w : "-" }' "$1"; }
cases() { awk -F'\t' '!seen[$1 FS $2]++ { print $1 FS $2 }' "$1"; }
# A case is good when it is on both, and what it printed is the same. Sets $intree, $ours, $same.
judge() { # RESULTS RUNTIME CASE
	intree=$(word "$@" overlay) ours=$(word "$@" overlay_rs) same=-
	if [ "$intree" != - ] && [ "$ours" != - ]; then
		if diff "$out/overlay/$2.$3" "$out/overlay_rs/$2.$3" >"$out/$2.$3.diff"; then same=yes; else same=NO; fi
	fi
}

passed=0 failed=0 skipped=0
say "results"
printf '%-12s %-32s %-10s %-10s %s\n' runtime case overlay overlay_rs 'the same'
while IFS=$'\t' read -r runtime name; do
	judge "$out/all" "$runtime" "$name"
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
done < <(cases "$out/results")
if [ $rc != 0 ] && [ $failed = 0 ]; then failed=1; fi

# What is behind the name of a runtime, with the versions of the guest's packages.
versions() { # PACKAGE...
	local p v list=()
	for p in "$@"; do
		v=$(awk -v p="$p" '$0 == "Package: " p { on = 1 } on && /^Version: / { print $2; exit }' "$(readlink -f "$OVL_CACHE/guest/containers")/tree/var/lib/dpkg/status")
		list+=("$p ${v%%[-+~]*}")
	done
	printf '%s' "${list[0]}"
	printf ', %s' "${list[@]:1}"
}
about() {
	case $1 in
	podman) versions podman crun ;;
	runc) versions podman runc ;;
	buildah) versions buildah skopeo umoci ;;
	containerd) versions containerd runc ;;
	docker) versions docker.io containerd runc ;;
	rootless) echo "$(versions podman crun) of a user" ;;
	sandbox) versions bubblewrap systemd ;;
	debian) echo "$(versions podman docker.io), a Debian system as the image" ;;
	esac
}
on_both() { # RUNTIME
	awk -F'\t' -v r="$1" '$1 == r { n++; t[$3] } END { exit !(n && length(t) == 2) }' "$out/all"
}
tables() {
	local r name line n ok list
	printf 'Linux %s; the module as the commit %s left it.\n\n' "$(cat "$(kernel_dir)/release")" \
		"$(git -C "$MODULE_DIR" log -1 --format=%h -- '*.rs' '*.[ch]' Kbuild ':!tests' ':!demo' 2>/dev/null || echo unknown)"
	echo '| name | what | cases | overlay | overlay_rs | the same |'
	echo '|---|---|---|---|---|---|'
	local rows=()
	for r in ${every//,/ }; do
		if ! on_both "$r"; then
			echo "| $r | $(about "$r") | not run with this module | | | |"
			continue
		fi
		n=0 ok=0 list='' line=0 alike=0
		while IFS=$'\t' read -r _ name; do
			judge "$out/all" "$r" "$name"
			n=$((n + 1))
			[ "$intree" != ok ] || ok=$((ok + 1))
			[ "$ours" != ok ] || line=$((line + 1))
			if [ "$intree$ours$same" = okokyes ]; then alike=$((alike + 1)); fi
			list+="${list:+, }$name"
			if [ "$intree$ours$same" != okokyes ]; then list+=" (overlay $intree, overlay_rs $ours, the same: $same)"; fi
		done < <(cases "$out/all" | awk -F'\t' -v r="$r" '$1 == r')
		echo "| $r | $(about "$r") | $n | $ok | $line | $alike |"
		rows+=("| $r | ${list//_/ } |")
	done
	echo
	echo '| name | the cases |'
	echo '|---|---|'
	printf '%s\n' "${rows[@]}"
}
if [ -n "${DOC:-}" ]; then
	grep -qxF "$mark" "$doc" || die "$doc has no line $mark"
	for r in ${every//,/ }; do
		on_both "$r" || note "$r has not run on both with this module: make test-containers T=$r"
	done
	{
		sed "/^$mark\$/q" "$doc"
		printf '\n'
		tables
	} >"$doc.new"
	mv "$doc.new" "$doc"
	note "the tables of $doc are written"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
