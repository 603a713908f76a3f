#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds overlay_rs.ko; prints where it is as its last line.
#   module.sh            for the stock Debian kernel, in the cached tree
#   module.sh debug      for the debug kernel, in the cached tree
#   module.sh clippy     as stock, checked by clippy, into a directory of its own
#   KDIR=... module.sh   for another kernel's build tree, with the host's compilers
# MODULE_DIR= names another copy of the sources. Nothing is written outside $OVL_BUILD.
. "$(dirname "$0")/lib.sh"

kind=${1:-stock}

# The kernel's own make, told where things are; the rest comes as arguments.
in_cached_tree() { # BUILD-TREE OUT ARG...
	local tree=$1 out=$2 args at=/kernel/stock
	shift 2
	# A build tree knows its own place: where it was made.
	[ "$kind" != debug ] || at=/kernel/debug
	mapfile -t args <"$tree/make-arguments"
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$(kernel_dir)/linux:/kernel/linux:ro" "$tree:$at" \
		"$MODULE_DIR:/module:ro" "$out:/out" -- \
		make -C "$at" "${args[@]}" M=/module MO=/out "-j$(jobs_n)" "$@"
}

# A build tree that is not ours: is it one that can build Rust modules with this host?
check_kdir() {
	local want have
	[ -e "$KDIR/.config" ] || die "KDIR=$KDIR is not a kernel build tree (it has no .config)"
	grep -q '^CONFIG_RUST=y' "$KDIR/.config" || die "the kernel of KDIR=$KDIR was configured without CONFIG_RUST"
	[ -e "$KDIR/rust/libkernel.rmeta" ] ||
		die "KDIR=$KDIR has no Rust metadata (rust/libkernel.rmeta; Debian's headers packages have none): run make without KDIR= to build for Debian's kernel"
	want=$(sed -nE 's/^CONFIG_RUSTC_VERSION_TEXT="(.*)"/\1/p' "$KDIR/.config")
	have=$("${RUSTC:-rustc}" --version 2>/dev/null) || die "this host has no rustc; the kernel of KDIR= was built with '$want'"
	[ "$want" = "$have" ] || die "the kernel of KDIR= was built with '$want', this host has '$have': a module built with it would not load"
}

[ ! -e "$MODULE_DIR/modules.order" ] ||
	die "$MODULE_DIR holds the products of a build in place; remove them with: make clean"
[ -e "$MODULE_DIR/Kbuild" ] || die "there is no Kbuild in $MODULE_DIR"

if [ -n "${KDIR:-}" ]; then
	kind=kdir
	KDIR=$(cd "$KDIR" 2>/dev/null && pwd) || die "KDIR names no directory"
	check_kdir
	build() { make -C "$KDIR" M="$MODULE_DIR" MO="$out" "-j$(jobs_n)" modules; }
else
	need_root
	case $kind in
	stock | clippy) tree=$(readlink -f "$(kernel_dir)")/stock ;;
	debug) tree=$(readlink -f "$(kernel_dir)/debug") ;;
	*) die "usage: module.sh [stock|debug|clippy]" ;;
	esac
	[ -e "$tree/make-arguments" ] || die "the kernel tree $tree is not made yet: run qemu/tree.sh and qemu/kernel.sh"
	extra=(modules)
	[ "$kind" != clippy ] || extra=(CLIPPY=1 modules)
	build() { in_cached_tree "$tree" "$out" "${extra[@]}"; }
fi
out=$OVL_BUILD/$kind
mkdir -p "$out"
# Products of another kernel are of no use to this one.
target=${KDIR:-${tree:-}}
[ "$(cat "$out/.for" 2>/dev/null)" = "$target" ] || { rm -rf "$out"; mkdir -p "$out"; echo "$target" >"$out/.for"; }

build_it() {
	step "building overlay_rs.ko ($kind)" "$OVL_BUILD/module-$kind.log" build
	[ -s "$out/overlay_rs.ko" ] || die "the build ended well but left no $out/overlay_rs.ko"
}
with_lock "module-$(key "$out")" build_it
note "$out/overlay_rs.ko"
