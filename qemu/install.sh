#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Installs the built module on this machine (or below DESTDIR=) and tells
# depmod, so that `mount -t overlay_rs` loads it by itself.
. "$(dirname "$0")/lib.sh"

kind=stock
[ -z "${KDIR:-}" ] || kind=kdir
ko=$OVL_BUILD/$kind/overlay_rs.ko
root=${DESTDIR:-}
[ -s "$ko" ] || die "there is no module at $ko: build it with make"
[ -n "$root" ] || need_root
command -v depmod >/dev/null || die "this machine has no depmod: install kmod"
release=$(modinfo -F vermagic "$ko" | cut -d' ' -f1)
[ -d "$root/lib/modules/$release" ] ||
	die "the module is built for kernel $release, which is not installed here (running: $(uname -r)); install linux-image-$release, or build for another kernel with KVER= or KDIR="
install -D -m 644 "$ko" "$root/lib/modules/$release/updates/overlay_rs.ko"
depmod ${root:+-b "$root"} "$release"
say "installed for kernel $release: mount -t overlay_rs loads it"
[ "$release" = "$(uname -r)" ] || note "the running kernel is $(uname -r): boot $release to use it"
