#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Installs what the host lacks, after saying what and why:
#   host-deps.sh build    to make the Debian trees and the kernel
#   host-deps.sh vm       to boot the VM as well
. "$(dirname "$0")/lib.sh"

missing=()
# want COMMAND PACKAGE WHY
want() {
	command -v "$1" >/dev/null 2>&1 && return
	missing+=("$2")
	say "the host lacks $2: $3"
}

want mmdebstrap mmdebstrap "it makes the Debian trees (compilers, guest) from the archive"
want unshare util-linux "mounts made for a build stay out of the host's"
want xz xz-utils "the kernel source is packed with it"
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || {
	missing+=(debian-archive-keyring)
	say "the host lacks debian-archive-keyring: it proves that packages come from Debian"
}
case ${1:-vm} in
build) ;;
vm) want qemu-system-x86_64 qemu-system-x86 "it runs the stock Debian kernel in a virtual machine" ;;
*) die "usage: host-deps.sh build|vm" ;;
esac

[ ${#missing[@]} = 0 ] && exit 0
need_root
command -v apt-get >/dev/null || die "please install ${missing[*]}: this host has no apt-get (Debian 12 and 13 are supported)"
install_missing() {
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" ||
		die "the host's apt could not install ${missing[*]}"
}
step "installing ${missing[*]} on the host" "$OVL_LOGS/host-deps.log" install_missing
