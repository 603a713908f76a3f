#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds overlay_rs.ko in the current directory, a copy of the sources, for an installed kernel of
# Debian: dkms-build.sh KERNEL-RELEASE
# Debian's headers have no Rust metadata. A kernel tree that has it is made of linux-source, with
# the headers' configuration, once per kernel package, and kept below /var/cache/overlay_rs.
#   dkms-build.sh --can-build KERNEL-RELEASE   is the source there that this kernel was built of?
#   dkms-build.sh --forget                     remove the trees of kernels that are gone
set -euo pipefail
export LC_ALL=C.UTF-8
shopt -s extglob
# No compiler but Debian's: the names of Rust symbols carry its version.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
cache=/var/cache/overlay_rs

die() {
	echo "overlay_rs: error: $*" >&2
	exit 1
}
version_of() { # PACKAGE
	dpkg-query -W -f '${Version}' "$1" 2>/dev/null || true
}
series_of() { # RELEASE
	grep -oE '^[0-9]+\.[0-9]+' <<<"$1"
}
can_build() { # RELEASE: else says why not
	local source headers
	source=linux-source-$(series_of "$1")
	headers=$(version_of "linux-headers-$1")
	if [ -z "$headers" ]; then
		echo "linux-headers-$1 is not installed"
	elif [ "$(version_of "$source")" != "$headers" ]; then
		echo "linux-headers-$1 is of version $headers, $source of version '$(version_of "$source")': install $source=$headers"
	else
		return 0
	fi
	return 1
}
forget() {
	local d
	for d in "$cache"/*/; do
		[ -e "/lib/modules/$(basename "$d")/build" ] || rm -rf "$d"
	done
	[ ! -d "$cache" ] || rmdir --ignore-fail-on-non-empty "$cache"
}
config_text() { # NAME
	sed -nE "s/^CONFIG_$1=\"(.*)\"/\\1/p" "$headers/.config"
}

# What is not asked for when a module is built: nearly all of the source.
slim() (
	cd "$1"
	rm -rf Documentation arch/!(x86) block certs crypto drivers fs init io_uring ipc kernel lib mm net \
		samples security sound tools/perf tools/testing usr virt
)

# The build tree of $release, in $tree.
prepare() {
	local source version rustc cc make odd
	source=/usr/src/linux-source-$(series_of "$release").tar.xz
	[ -e "$source" ] || die "$source is not there"
	rm -rf "${cache:?}/$release" "$cache/$release.new"
	mkdir -p "$cache/$release.new/linux" "$cache/$release.new/build"
	trap 'rm -rf "$cache/$release.new"' EXIT
	rustc=$(config_text RUSTC_VERSION_TEXT)
	[ -n "$rustc" ] || die "the kernel $release was built without Rust"
	[ "$(rustc --version)" = "$rustc" ] ||
		die "the kernel $release was built with '$rustc', the package rustc is '$(rustc --version)': a module built with it would not load"
	cc=$(config_text CC_VERSION_TEXT)
	cc=${cc%% *}
	command -v "$cc" >/dev/null || die "the compiler $cc of the kernel $release is not installed (it comes with linux-headers-$release)"

	echo "unpacking $source"
	tar -xJf "$source" -C "$cache/$release.new/linux" --strip-components=1
	# The tree knows its own place.
	mv "$cache/$release.new" "$cache/$release"
	trap 'rm -rf "${cache:?}/$release"' EXIT
	cp "$headers/.config" "$tree/.config"
	version=$(make -s -C "$cache/$release/linux" kernelversion)
	make=(make -C "$cache/$release/linux" "O=$tree" "CC=$cc" "LOCALVERSION=${release#"$version"}" "-j$(nproc)")
	"${make[@]}" olddefconfig
	diff <(grep -v _VERSION_TEXT "$headers/.config") <(grep -v _VERSION_TEXT "$tree/.config") ||
		die "the configuration of linux-headers-$release is not one of $source"
	"${make[@]}" modules_prepare
	cp "$headers/Module.symvers" "$tree/"
	[ "$(cat "$tree/include/config/kernel.release")" = "$release" ] ||
		die "the prepared tree calls itself $(cat "$tree/include/config/kernel.release"), not $release"
	odd=$(comm -23 \
		<(cat "$tree"/rust/exports_*_generated.h | sed -nE 's/^EXPORT_SYMBOL_RUST_GPL\((.*)\);/\1/p' | sort -u) \
		<(awk '{ print $2 }' "$tree/Module.symvers" | sort -u) | wc -l)
	[ "$odd" = 0 ] || die "$odd Rust symbols of the prepared tree are not in the kernel $release: a module would not load"
	printf '%s\n' "CC=$cc" "LOCALVERSION=${release#"$version"}" >"$tree/make-arguments"
	slim "$cache/$release/linux"
	stamp >"$tree/made-of"
	trap - EXIT
}
stamp() {
	echo "$release $(version_of "linux-headers-$release") $(rustc --version) $(bindgen --version)"
}

case ${1:-} in
--can-build)
	can_build "$2"
	exit
	;;
--forget)
	forget
	exit
	;;
[0-9]*) release=$1 ;;
*) die "usage: dkms-build.sh KERNEL-RELEASE" ;;
esac
headers=/lib/modules/$release/build
tree=$cache/$release/build
[ -e "$headers/.config" ] || die "linux-headers-$release is not installed"
why=$(can_build "$release") || die "$why"
forget
if [ "$(cat "$tree/made-of" 2>/dev/null)" != "$(stamp)" ]; then
	prepare
fi
mapfile -t arguments <"$tree/make-arguments"
out=$PWD/.build
mkdir -p "$out"
make -C "$tree" "${arguments[@]}" "M=$PWD" "MO=$out" "-j$(nproc)" modules
mv "$out/overlay_rs.ko" .
rm -rf "$out"
