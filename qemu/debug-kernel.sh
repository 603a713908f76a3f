#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds the debug kernel: Debian's source, debug.config, Clang (KASAN and Rust
# go together only there). Cached by source, compilers and configuration.
# An interrupted build goes on where it was. Leaves a debug -> debug-KEY link
# beside the stock kernel's build tree.
. "$(dirname "$0")/lib.sh"

kernel=$(flavour_dir stock)
[ -e "$kernel/prepared" ] || die "the kernel source is not there yet: run qemu/kernel.sh"

in_build() { # DIR COMMAND...
	local dir=$1
	shift
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$kernel/linux:/kernel/linux:ro" "$dir:/kernel/debug" -- "$@"
}

configure() { # DIR
	local missing
	mkdir -p "$1"
	cp "$OVL_QEMU/debug.config" "$1/fragment"
	in_build "$1" make -C /kernel/linux O=/kernel/debug LLVM=1 tinyconfig
	in_build "$1" sh -c 'cd /kernel/linux && scripts/kconfig/merge_config.sh -m -O /kernel/debug /kernel/debug/.config /kernel/debug/fragment'
	in_build "$1" make -C /kernel/linux O=/kernel/debug LLVM=1 olddefconfig
	missing=$(grep -E '^CONFIG_' "$1/fragment" | grep -vxFf "$1/.config" | tr '\n' ' ') || true
	[ -z "$missing" ] || die "this kernel's configuration refuses: $missing"
}

compile() { # DIR
	in_build "$1" nice -n 5 make -C /kernel/linux O=/kernel/debug LLVM=1 "-j$(jobs_n)" bzImage modules
	mkdir -p "$1/image"
	cp "$1/arch/x86/boot/bzImage" "$1/image/vmlinuz"
	in_build "$1" make -C /kernel/linux O=/kernel/debug LLVM=1 INSTALL_MOD_PATH=/kernel/debug/image modules_install
	rm -f "$1"/image/lib/modules/*/{build,source}
	echo LLVM=1 >"$1/make-arguments"
}

dir=$kernel/debug-$(key "$(cat "$kernel/prepared")" "$(grep CONFIG_ "$OVL_QEMU/debug.config")" "$(declare -f configure compile)")
make_it() {
	if [ ! -e "$dir/make-arguments" ]; then
		need_root
		need_disk 4 "the debug kernel"
		step "configuring the debug kernel" "$OVL_LOGS/debug-configure.log" configure "$dir"
		step "compiling the debug kernel (10 to 20 minutes on two CPUs; once)" "$OVL_LOGS/debug-kernel.log" compile "$dir"
	fi
	ln -sfn "$dir" "$kernel/debug"
}
with_lock debug-kernel make_it
