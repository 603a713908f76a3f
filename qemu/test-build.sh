#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the tests with the toolchain tree's cargo: the guest's binary goes to
# $OVL_BUILD/tests/ovl-tests, the other programs beside it; the host tests are built and left with cargo.
# Crates and objects live in the cache, not in the checkout. Also run as
#   test-build.sh fetch             only fetch the crates
#   test-build.sh cargo ARG...      any cargo command in tests/
. "$(dirname "$0")/lib.sh"

# One target directory per checkout: cargo goes by the time of files. What the crates of others
# compile to is the same for all: a new checkout begins with links to it.
target=$OVL_CACHE/cargo/target-$(key "$MODULE_DIR")
shared=$OVL_CACHE/cargo/crates-$(key "$(readlink -f "$OVL_TREE")" "$(cat "$MODULE_DIR/tests/Cargo.lock")")
mkdir -p "$OVL_CACHE/cargo/home" "$OVL_BUILD/tests"

# link_crates FROM TO: what was compiled of the crates of others.
link_crates() {
	local ours part f name
	ours=" $(sed -n 's/^name = "\(.*\)"/\1/p' "$MODULE_DIR"/tests/*/Cargo.toml | tr '\n' ' ') "
	for part in .fingerprint build deps; do
		mkdir -p "$2/debug/$part"
		for f in "$1/debug/$part"/*; do
			name=${f##*/} name=${name%-*}
			[[ $ours == *" ${name//_/-} "* || $ours == *" $(tr _ - <<<"${name#lib}") "* ]] || echo "$f"
		done | xargs -r cp -aln --target-directory="$2/debug/$part"
	done
}
if [ ! -d "$target" ]; then
	mkdir "$target"
	[ ! -d "$shared" ] || with_lock crates link_crates "$shared" "$target"
	echo "$MODULE_DIR" >"$target/checkout"
	# Those of checkouts that are gone are of no use to anybody.
	for t in "$OVL_CACHE"/cargo/target-*/checkout; do
		[ -d "$(cat "$t")" ] || rm -rf "${t%/checkout}"
	done
fi

cargo() {
	CARGO_HOME=/cargo/home CARGO_TARGET_DIR=/cargo/target "$OVL_QEMU/in-tree.sh" "$OVL_TREE" \
		"$OVL_CACHE/cargo/home:/cargo/home" "$target:/cargo/target" "$MODULE_DIR:/module:ro" -- \
		sh -c 'cd /module/tests && exec cargo "$@"' sh "$@"
}

if [ "${1:-}" = cargo ]; then
	shift
	cargo "$@"
	exit
fi

fetch() {
	local said
	# With the crates already here, no network is asked.
	if ! cargo --offline fetch --locked 2>/dev/null && ! said=$(cargo fetch --locked 2>&1); then
		echo "$said"
		[[ $said != *"lock file"* ]] ||
			die "tests/Cargo.lock is older than a Cargo.toml in tests/: let cargo update it, and commit it"
		die "cargo could not fetch the crates that the tests use: is crates.io reachable from here?"
	fi
}
build() {
	fetch
	cargo --offline build --locked --manifest-path guest/Cargo.toml
	cargo --offline build --locked --manifest-path fuzz/Cargo.toml
	cargo --offline build --locked --manifest-path bench/Cargo.toml
	cargo --offline build --locked --manifest-path faults/Cargo.toml
	cargo --offline test --locked --manifest-path host/Cargo.toml --no-run
	cp "$target"/debug/{ovl-tests,ovl-fuzz,ovl-bench,ovl-faults} "$OVL_BUILD/tests/"
	rm -rf "$OVL_BUILD/tests/corpus"
	cp -r "$MODULE_DIR/tests/fuzz/corpus" "$OVL_BUILD/tests/"
	with_lock crates link_crates "$target" "$shared"
}
build_it() { step "building the tests (Rust, in the Debian tree)" "$OVL_BUILD/tests.log" build; }
if [ "${1:-}" = fetch ]; then
	fetch
else
	with_lock "tests-$(key "$MODULE_DIR")" build_it
fi
