#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The static gates: what can be said about the sources and the module without
# running it. Each prints PASS or FAIL with its reason; GATE=NAME runs one.
# The last line is `N passed, N failed`.
. "$(dirname "$0")/lib.sh"

stock=$(kernel_dir)/stock
passed=0 failed=0

# Everything of ours, not what was built from it.
sources() { # FIND-EXPRESSION...
	(cd "$MODULE_DIR" && find . \( -path ./build -o -path ./.git -o -name target -o -name '*generated.rs' \) -prune -o -type f \( "$@" \) -printf '%P\n' | sort)
}
# The module's Rust outside the safe layer: what decides, not what touches C.
policy() { sources -name '*.rs' | grep -vE '^(vfs|tests|demo)/|^vfs\.rs$'; }
# A source without comments and string literals, its lines numbered as they are.
code() { sed -E 's/"([^"\\]|\\.)*"/""/g; s|//.*||' "$MODULE_DIR/$1" | grep -nE "$2" | sed "s|^|$1:|"; }
in_checkout() { "$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$(kernel_dir)/linux:/kernel/linux:ro" "$(readlink -f "$stock"):/kernel/stock:ro" "$MODULE_DIR:/module:ro" "$OVL_BUILD/stock:/out" -- sh -c 'cd /module && exec "$@"' sh "$@"; }
none() { [ -z "$1" ] || { echo "$1"; return 1; }; }

gate_rustfmt() {
	mapfile -t files < <(sources -name '*.rs')
	in_checkout rustfmt --check --color never --edition 2021 --config-path /kernel/linux/.rustfmt.toml "${files[@]}"
}

# Warnings are errors there (Kbuild says so); our own lints are in Kbuild, too.
gate_clippy() {
	rm -rf "$OVL_BUILD/clippy"
	"$OVL_QEMU/module.sh" clippy || return 1
	none "$(grep -E '^(warning|error)' "$OVL_BUILD/module-clippy.log")"
}

gate_clippy_tests() { "$OVL_QEMU/test-build.sh" fetch && "$OVL_QEMU/test-build.sh" cargo --offline clippy -q --locked --workspace --all-targets -- -D warnings -A clippy::precedence; }

# As the compiler was called for the module, with the few words changed that differ.
gate_rustdoc() {
	local call
	call=$(sed -nE '1s/^savedcmd_[^ ]+ := //p' "$OVL_BUILD/stock/.ovl_rs.o.cmd" |
		sed -E 's/ rustc / rustdoc /; s/ -(C(embed-bitcode|lto|debuginfo|opt-level|codegen-units|no-redzone)|Z(binary_dep_depinfo|function-sections))=?[^ ]*//g; s/ --(out-dir|emit|crate-type)[= ][^ ]+//g; s/ -Dwarnings//g; s/;.*//')
	[ -n "$call" ] || { echo "the module was not built"; return 1; }
	in_checkout sh -c "cd /out && export OVL_RS_OBJ=/out OVL_RS_SRC=/module RUSTC_BOOTSTRAP=1 && $call -Drustdoc::broken_intra_doc_links -Arustdoc::private_intra_doc_links -Drustdoc::invalid_html_tags --document-private-items -o /tmp/doc"
}

gate_unsafe_only_in_vfs() {
	local f
	none "$(for f in $(policy); do code "$f" '\bunsafe\b|\*(mut|const)\b|\bbindings::|\bOpaque(::)?<|\btypes::Opaque\b|\bffi\b'; done || true)" || return 1
	# The crate root holds module!(), which expands to what may not be forbidden.
	none "$(for f in $(policy | grep -vx ovl_rs.rs); do
		grep -q '^#!\[forbid(unsafe_code)\]' "$MODULE_DIR/$f" || echo "$f: lacks #![forbid(unsafe_code)]"
	done)"
}

gate_kernel_version_only_in_vfs() {
	local f
	none "$(for f in $(policy); do code "$f" 'cfg(_attr)?!?\(.*\bovl_'; done || true)"
}

gate_no_panic() { none "$(in_checkout nm -u /out/overlay_rs.ko | grep -E '4core(9panicking|6option|6result|5slice|3str)' || true)"; }

# The frame of each function: its pushes and what it subtracts from the stack pointer. The kernel's
# checkstack.pl also counts what is added back before each return.
# shellcheck disable=SC2016 # The variables are perl's.
frames='
	open my $asm, "-|", qw(objdump -d --no-show-raw-insn /out/overlay_rs.ko) or die $!;
	my %size;
	my $name;
	while (<$asm>) {
		$name = $1 if /^[0-9a-f]+ <(.*)>:$/;
		$size{$name} += 8 if /\tpush\b/;
		$size{$name} += hex $1 if /\tsub +\$0x([0-9a-f]+),%rsp/;
		$size{$name} += 256 - hex $1 if /\tadd +\$0xf{14}([0-9a-f]{2}),%rsp/;
		die "$name: a frame of no fixed size\n" if /\tsub +%\w+,%rsp/;
	}
	print "$size{$_} $_\n" for sort { $size{$b} <=> $size{$a} } keys %size;
'

gate_stack() {
	local all
	all=$(in_checkout perl -we "$frames")
	[ -n "$all" ] || { echo "no stack frames found in the module: the check does not work"; return 1; }
	echo "the largest frames, in bytes (limit 512):"
	awk 'NR <= 10 || $1 > 512' <<<"$all"
	! awk '$1 > 512 { found = 1 } END { exit !found }' <<<"$all"
}

gate_layout() {
	local n
	n=$(grep -c 'const ' "$OVL_BUILD/stock/vfs/bindings/layout_generated.rs") || true
	[ "$n" -ge 10 ] || { echo "layout_generated.rs has $n constants: nothing proves that gcc and bindgen agree"; return 1; }
	echo "$n sizes and offsets of C structures compared at compile time"
}

gate_shellcheck() {
	mapfile -t files < <({ sources -name '*.sh' -o -path ./.ci/run; })
	in_checkout shellcheck -x -P SCRIPTDIR "${files[@]}"
}

gate_source_headers() {
	local f
	none "$(for f in $(sources -name '*.rs' -o -name '*.[ch]' -o -name '*.sh' -o -name '*.toml' -o -name Kbuild -o -name Makefile -o -name '*.config' -o -path ./.ci/run -o -name bindgen_parameters); do
		head -n 3 "$MODULE_DIR/$f" | grep -q 'SPDX-License-Identifier: GPL-2.0' || echo "$f: no SPDX line"
		case $f in
		*.rs) head -n 40 "$MODULE_DIR/$f" | grep -qE '^//!' || echo "$f: no module comment" ;;
		*.[ch]) head -n 8 "$MODULE_DIR/$f" | sed 1d | grep -qE '^ ?(/\*|\*|//)' || echo "$f: no comment that says what it is" ;;
		*/Cargo.toml | Cargo.toml) ;; # it has a description of its own
		*) head -n 8 "$MODULE_DIR/$f" | grep -v -e SPDX -e '^#!' | grep -qE '^# ?[A-Za-z/]' || echo "$f: no comment that says what it is" ;;
		esac
	done)"
}

gate_modinfo() {
	local info
	info=$(in_checkout modinfo /out/overlay_rs.ko)
	none "$(
		for want in '^license: +GPL' '^alias: +fs-overlay_rs$' '^description: +.' '^author: +.' "^vermagic: +$(sed 's/[+.]/\\&/g' "$(kernel_dir)/release") "; do
			grep -qE "$want" <<<"$info" || echo "modinfo has no line like $want"
		done
	)"
}

gate_features() {
	"$OVL_QEMU/test-build.sh" || return 1
	if ! "$OVL_QEMU/features.sh" doc | diff -u "$MODULE_DIR/docs/features.md" -; then
		echo "docs/features.md is out of date: make features makes it anew"
		return 1
	fi
}

gate() { # NAME TEXT
	local log=$OVL_BUILD/check/$1.log start=$SECONDS rc
	[ -z "${GATE:-}" ] || [ "$GATE" = "$1" ] || return 0
	set +e
	(
		set +e
		"gate_$1"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	if [ $rc = 0 ]; then
		passed=$((passed + 1))
		printf 'PASS  %-26s %s (%s s)\n' "$1" "$2" $((SECONDS - start))
		case $1 in stack | layout) sed 's/^/        /' "$log" ;; esac
	else
		failed=$((failed + 1))
		printf 'FAIL  %-26s %s (%s s, log: %s)\n' "$1" "$2" $((SECONDS - start)) "$log"
		head -n 25 "$log" | cut -c1-200 | sed 's/^/        /'
	fi
}

"$OVL_QEMU/prepare.sh" module
"$OVL_QEMU/module.sh" stock
mkdir -p "$OVL_BUILD/check"
say "static gates"
gate rustfmt "formatted as the kernel formats Rust"
gate clippy "no clippy warning, with the kernel's lints and ours"
gate clippy_tests "no clippy warning in the tests"
gate rustdoc "no broken link in the documentation"
gate unsafe_only_in_vfs "no unsafe code, raw pointer or binding outside vfs/"
gate kernel_version_only_in_vfs "nothing outside vfs/ asks for the kernel's version"
gate no_panic "the module refers to none of core's panics"
gate stack "stack frames are bounded"
gate layout "gcc and bindgen agree on the layout of structures"
gate shellcheck "scripts are clean"
gate source_headers "every source file has a licence and says what it is"
gate features "every feature has a test, and docs/features.md says so"
gate modinfo "the module says what it is"
[ $((passed + failed)) != 0 ] || die "there is no gate '$GATE'"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
