#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the Debian tree that holds the compilers: the very versions Debian
# builds its backports kernel with. Cached by what it is made from.
. "$(dirname "$0")/lib.sh"

packages=(
	# the kernel's own needs
	make gcc bc bison flex libelf-dev libssl-dev xz-utils lz4 kmod cpio pahole python3 perl
	# Rust for the kernel, and Clang for the debug kernel
	rustc rust-src bindgen clang lld llvm
	# the static gates and the tests
	rustfmt rust-clippy cargo shellcheck
	# the VM's first program, certificates for cargo
	busybox-static ca-certificates
)

sources() {
	cat <<-S
		deb $OVL_MIRROR $OVL_SUITE main
		deb $OVL_MIRROR $OVL_SUITE-updates main
		deb $OVL_MIRROR $OVL_SUITE-backports main
		deb $OVL_SECURITY $OVL_SUITE-security main
	S
}

build_tree() { # DEST
	rm -rf "$1.new"
	sources | mmdebstrap --mode=root --variant=minbase \
		--include="$(IFS=,; echo "${packages[*]}")" "$OVL_SUITE" "$1.new" - ||
		die "the toolchain tree could not be made: is $OVL_MIRROR reachable from here?"
	chroot "$1.new" dpkg-query -W >"$1.new/.packages"
	sources >"$1.new/etc/apt/sources.list"
	mv "$1.new" "$1"
}

tree=$OVL_CACHE/tree/$(key "${packages[@]}" "$(sources)" "$(declare -f build_tree)")
make_it() {
	if [ ! -e "$tree" ]; then
		need_root
		need_disk 8 "the toolchain tree"
		mkdir -p "$OVL_CACHE/tree"
		step "making the toolchain tree (Debian $OVL_SUITE, 2 GB; about a minute)" "$OVL_LOGS/tree.log" build_tree "$tree"
		note "$(chroot "$tree" rustc --version), $(chroot "$tree" bindgen --version), gcc $(chroot "$tree" gcc -dumpfullversion)"
	fi
	ln -sfn "$tree" "$OVL_TREE"
}
with_lock tree make_it
