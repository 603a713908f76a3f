#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fetches a Debian backports kernel (image, modules, headers, source) and
# prepares its build tree so that a Rust module built in it loads on the stock
# kernel. KVER= chooses the series; without it the newest supported one. What
# was chosen stays until `kernel.sh update` asks the archive again.
#
# $OVL_CACHE/kernel/RELEASE/ holds
#   linux/     the source, untouched      stock/    its prepared build tree
#   image/     vmlinuz, lib/modules       headers/  Debian's .config, Module.symvers
. "$(dirname "$0")/lib.sh"

debs=$OVL_CACHE/debs/kernel
link=$(kernel_dir)
in_tree() { "$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$@"; }

# The releases of a series, oldest first: what the archive has, what the cache has.
archive_releases() {
	local r
	in_tree -- apt-cache search --names-only "^linux-headers-$1(\\.[0-9]+)?\\+deb13-amd64\$" |
		sed -E 's/^linux-headers-([^ ]+) .*/\1/' | sort -V |
		while read -r r; do if complete "$r"; then echo "$r"; fi; done
}
# Old headers linger in the archive: they are of use only while all else of the same build is there.
complete() { # RELEASE
	local version p
	version=$(version_of "linux-headers-$1")
	for p in $(packages_of "$1"); do
		[ "$(version_of "$p")" = "$version" ] || return 1
	done
}
version_of() { in_tree -- apt-cache show "$1" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1; }
cached_releases() {
	find "$debs" -maxdepth 1 -name "linux-headers-$1*deb" -printf '%f\n' 2>/dev/null |
		sed -E 's/^linux-headers-([^_]+)_.*/\1/' | sort -V
}

packages_of() { # RELEASE
	local series
	series=$(echo "$1" | grep -oE '^[0-9]+\.[0-9]+')
	echo "linux-base-$1 linux-binary-$1 linux-modules-$1 linux-headers-$1 linux-source-$series"
}

have_debs() { # RELEASE: all are here and are what they were
	[ -e "$debs/$1.sha256" ] && (cd "$debs" && sha256sum --quiet -c "$1.sha256")
}

fetch() { # RELEASE
	local p names=() version
	have_debs "$1" && return
	rm -rf "$debs/new"
	mkdir -p "$debs/new"
	version=$(version_of "linux-headers-$1")
	for p in $(packages_of "$1"); do names+=("$p=$version"); done
	in_tree "$debs/new:/debs" -- sh -c 'cd /debs && exec apt-get -o APT::Sandbox::User=root download "$@"' sh "${names[@]}" ||
		die "the download of kernel $1 ($version) failed: is $OVL_MIRROR reachable from here?"
	(cd "$debs/new" && sha256sum -- *.deb) >"$debs/$1.sha256"
	mv "$debs"/new/*.deb "$debs/"
	have_debs "$1" || die "the packages of kernel $1 changed while they were fetched"
}

# Sets $release: the newest of the wanted series, from the archive when it answers, else the cache.
choose() {
	local want=("${OVL_SUPPORTED[@]}") s archive=yes
	[ -z "${KVER:-}" ] || want=("$KVER")
	echo "supported series: ${OVL_SUPPORTED[*]}; wanted: ${want[*]}"
	in_tree -- apt-get update -o APT::Update::Error-Mode=any || archive=no
	for s in "${want[@]}"; do
		release=
		[ $archive = no ] || release=$(archive_releases "$s" | tail -n 1)
		[ -n "$release" ] || release=$(cached_releases "$s" | tail -n 1)
		[ -z "$release" ] || break
	done
	if [ -z "$release" ] && [ $archive = no ]; then
		die "the archive $OVL_MIRROR does not answer and no kernel packages are in the cache"
	elif [ -z "$release" ] && [ -n "${KVER:-}" ]; then
		die "neither the archive nor the cache has a kernel of the series $KVER (supported: ${OVL_SUPPORTED[*]})"
	elif [ -z "$release" ]; then
		# The archive moved on: use what it still has, and say so.
		release=$(archive_releases '[0-9.]+' | tail -n 1)
		[ -n "$release" ] || die "the archive has no backports kernel for $OVL_SUITE"
		echo "$release is not one of the supported series" >"$OVL_CACHE/kernel/notice"
	fi
	echo "$release" >"$OVL_CACHE/kernel/chosen"
}

unpack() { # RELEASE DIR
	local d
	rm -rf "$2"
	mkdir -p "$2"/{x,image,headers,linux}
	while read -r _ d; do
		case $d in linux-source-*) mkdir -p "$2/s"; dpkg-deb -x "$debs/$d" "$2/s" ;; *) dpkg-deb -x "$debs/$d" "$2/x" ;; esac
	done <"$debs/$1.sha256"
	mkdir "$2/image/lib"
	mv "$2/x/usr/lib/modules" "$2/image/lib/"
	mv "$2/image/lib/modules/$1/vmlinuz" "$2/image/"
	rm -f "$2/image/lib/modules/$1"/{build,source,System.map,config}
	in_tree "$2/image:/image" -- depmod -b /image "$1"
	cp "$2/x/usr/src/linux-headers-$1/.config" "$2/headers/config"
	cp "$2/x/usr/src/linux-headers-$1/Module.symvers" "$2/headers/"
	tar -xJf "$2"/s/usr/src/linux-source-*.tar.xz -C "$2/linux" --strip-components=1
	rm -rf "$2/x" "$2/s"
	echo "$1" >"$2/release"
	touch "$2/unpacked"
}

config_text() { sed -nE "s/^CONFIG_$1=\"(.*)\"/\\1/p" "$2"; }

# Debian's kernel and our tree must have the same rustc: the names of the
# kernel's Rust symbols carry a hash of it.
match_compilers() { # DIR
	local want have version
	want=$(config_text RUSTC_VERSION_TEXT "$1/headers/config")
	[ -n "$want" ] || die "kernel $(cat "$1/release") was built without Rust support; supported series: ${OVL_SUPPORTED[*]}"
	have=$(in_tree -- rustc --version)
	if [ "$have" != "$want" ]; then
		version=$(in_tree -- apt-cache madison rustc | awk -F'|' '{ print $2 }' | tr -d ' ' |
			grep -F "$(echo "$want" | awk '{ print $2 }')" | head -n 1)
		[ -z "$version" ] || in_tree -- apt-get install -y --allow-downgrades "rustc=$version" "rust-src=$version" || true
		have=$(in_tree -- rustc --version)
	fi
	[ "$have" = "$want" ] ||
		die "the kernel package was built with '$want', the archive's rustc package is '$have': a module built with it would not load; choose another KVER="
	want=$(config_text CC_VERSION_TEXT "$1/headers/config")
	have=$(in_tree -- "${want%% *}" --version | head -n 1) || have=none
	[ "${have##* }" = "${want##* }" ] ||
		die "the kernel package was built with '$want', the archive's gcc package is '$have'; choose another KVER="
}

prepare() { # DIR
	local cc version make
	match_compilers "$1"
	cc=$(config_text CC_VERSION_TEXT "$1/headers/config")
	rm -rf "$1/stock"
	mkdir -p "$1/stock"
	cp "$1/headers/config" "$1/stock/.config"
	version=$(in_tree "$1/linux:/kernel/linux" -- make -s -C /kernel/linux kernelversion)
	make=(in_tree "$1/linux:/kernel/linux:ro" "$1/stock:/kernel/stock" -- make -C /kernel/linux O=/kernel/stock
		"CC=${cc%% *}" "LOCALVERSION=${release#"$version"}" "-j$(jobs_n)")
	"${make[@]}" olddefconfig
	# Only what names a compiler package may differ.
	diff <(grep -v _VERSION_TEXT "$1/headers/config") <(grep -v _VERSION_TEXT "$1/stock/.config") ||
		die "the source package's configuration differs from the headers package's: their versions do not match"
	"${make[@]}" modules_prepare
	cp "$1/headers/Module.symvers" "$1/stock/"
	[ "$(cat "$1/stock/include/config/kernel.release")" = "$release" ] ||
		die "the prepared tree calls itself $(cat "$1/stock/include/config/kernel.release"), the image package $release: their versions do not match"
	check_symbols "$1"
	printf '%s\n' "CC=${cc%% *}" "LOCALVERSION=${release#"$version"}" >"$1/stock/make-arguments"
	tree_stamp "$1" >"$1/prepared"
}

check_symbols() { # DIR
	local odd
	cat "$1"/stock/rust/exports_*_generated.h | sed -nE 's/^EXPORT_SYMBOL_RUST_GPL\((.*)\);/\1/p' | sort -u >"$1/stock/rust-symbols"
	[ -s "$1/stock/rust-symbols" ] || die "the prepared tree exports no Rust symbols: is linux-source complete?"
	odd=$(comm -23 "$1/stock/rust-symbols" <(awk '{ print $2 }' "$1/headers/Module.symvers" | sort -u) | wc -l)
	[ "$odd" = 0 ] ||
		die "$odd of $(wc -l <"$1/stock/rust-symbols") Rust symbols of the prepared tree are not in the stock kernel: rustc, linux-source and linux-headers are not of one build"
	echo "all $(wc -l <"$1/stock/rust-symbols") Rust symbols equal those of the stock kernel"
}

tree_stamp() { # what a prepared tree was made from
	readlink -f "$OVL_TREE"
	cat "$debs/$(cat "$1/release").sha256"
}

current() { [ -e "$link/prepared" ] && [ "$(tree_stamp "$link")" = "$(cat "$link/prepared")" ]; }

make_it() {
	local dir
	mkdir -p "$OVL_CACHE/kernel/by-kver"
	if [ -n "${KVER:-}" ] && [[ " ${OVL_SUPPORTED[*]} " != *" $KVER "* ]]; then
		if ! [[ $KVER =~ ^[0-9]+\.[0-9]+$ ]] || [ "$(printf '%s\n' "$OVL_OLDEST" "$KVER" | sort -V | head -n 1)" != "$OVL_OLDEST" ]; then
			die "KVER=$KVER is no series that overlay_rs can be built for; supported: ${OVL_SUPPORTED[*]}"
		fi
		note "WARNING: the series $KVER is untested; supported: ${OVL_SUPPORTED[*]}"
	fi
	current && return
	need_root
	need_disk 6 "the kernel tree"
	if [ -e "$link/release" ]; then
		release=$(cat "$link/release")
	else
		rm -f "$OVL_CACHE/kernel/notice"
		step "asking the archive for kernels (supported series: ${OVL_SUPPORTED[*]})" "$OVL_LOGS/kernel-choose.log" choose
		release=$(cat "$OVL_CACHE/kernel/chosen")
		[ ! -e "$OVL_CACHE/kernel/notice" ] ||
			note "WARNING: the archive has none of the supported series (${OVL_SUPPORTED[*]}) any more; using $release, which is untested"
	fi
	dir=$OVL_CACHE/kernel/$release
	have_debs "$release" 2>/dev/null || step "fetching kernel $release: image, modules, headers, source (290 MB)" "$OVL_LOGS/kernel-fetch.log" fetch "$release"
	[ -e "$dir/unpacked" ] || step "unpacking kernel $release (about half a minute)" "$OVL_LOGS/kernel-unpack.log" unpack "$release" "$dir"
	ln -sfn "$dir" "$link"
	# (the link may be all that was missing)
	if current; then return; fi
	step "preparing the kernel tree of $release (about a minute and a half)" "$OVL_LOGS/kernel-prepare.log" prepare "$dir"
	note "$(tail -n 1 "$OVL_LOGS/kernel-prepare.log")"
}
[ "${1:-}" != update ] || rm -f "$link"
with_lock kernel make_it
