#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fetches the Debian packages that the demonstration installs in the VM, and
# all they depend on, and makes a local apt repository of them:
# $OVL_CACHE/debs/demo/current/, for a `deb [trusted=yes] file:/... ./` line.
. "$(dirname "$0")/lib.sh"

# Packages whose scripts do things at installation: users and groups, diverted
# and alternative files, generated certificates and keys, triggers, compiled Python.
packages=(
	gcc libc6-dev make python3 python3-yaml perl
	sudo cron logrotate rsyslog openssh-server dbus ca-certificates ssl-cert
	nano vim-tiny ed gawk bc file wget tzdata ucf netbase iproute2 git lsof
)
guest=$OVL_CACHE/guest/current/tree
dest=$OVL_CACHE/debs/demo/$(key "${packages[@]}" "$(readlink -f "$OVL_CACHE/guest/current")")

fetch() {
	local tmp
	tmp=$dest.new
	rm -rf "$tmp"
	mkdir -p "$tmp"/{lists,cache,debs}
	# The guest's apt decides what the guest lacks; its own state stays as it is.
	"$OVL_QEMU/in-tree.sh" "$guest" "$tmp/lists:/var/lib/apt/lists" "$tmp/cache:/var/cache/apt" "$tmp/debs:/var/cache/apt/archives" -- \
		sh -ec "apt-get -o APT::Sandbox::User=root update
			exec apt-get -o APT::Sandbox::User=root install -y --no-install-recommends --download-only ${packages[*]}" ||
		die "the download of the demonstration's packages failed: is $OVL_MIRROR reachable from here?"
	find "$tmp/debs" -mindepth 1 ! -name '*.deb' -delete
	index "$tmp/debs"
	(cd "$tmp/debs" && sha256sum -- *.deb) >"$tmp/debs/SHA256SUMS"
	echo "$(find "$tmp/debs" -name '*.deb' | wc -l) packages, $(grep -c . "$tmp/debs/with-postinst") with post-install scripts, $(du -sm "$tmp/debs" | cut -f1) MB"
	rm -rf "$dest"
	mv "$tmp/debs" "$dest"
	rm -rf "$tmp"
}

# The index apt reads, and the names of the packages that have a postinst.
index() { # DIR
	local f name
	: >"$1/with-postinst"
	for f in "$1"/*.deb; do
		name=$(basename "$f")
		dpkg-deb -f "$f"
		printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$name" "$(stat -c %s "$f")" "$(sha256sum "$f" | cut -d' ' -f1)"
		# (no pipe into grep -q: it would end dpkg-deb early)
		if [[ $(dpkg-deb --ctrl-tarfile "$f" | tar -t) == *postinst* ]]; then echo "${name%%_*}" >>"$1/with-postinst"; fi
	done >"$1/Packages"
	echo "${packages[*]}" | tr ' ' '\n' >"$1/wanted"
}

make_it() {
	if [ ! -e "$dest/SHA256SUMS" ]; then
		need_root
		step "fetching the packages that the demonstration installs" "$OVL_LOGS/debs.log" fetch
		note "$(tail -n 1 "$OVL_LOGS/debs.log")"
	fi
	ln -sfn "$dest" "$OVL_CACHE/debs/demo/current"
}
mkdir -p "$OVL_CACHE/debs/demo"
with_lock debs make_it
