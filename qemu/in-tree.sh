#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs a command inside a Debian tree, as root of its own mount namespace, so
# that nothing it mounts is left on the host:
#   in-tree.sh TREE [SRC:DST[:ro]]... -- COMMAND [ARG]...
# The host's resolver and CA certificates are visible inside; its environment is not.
set -euo pipefail

if [ "${1:-}" != --inside ]; then
	exec unshare --mount --propagation private -- "$0" --inside "$@"
fi
shift
tree=$1
shift

bind() { # SRC DST [ro]
	if [ -d "$1" ]; then
		mkdir -p "$tree$2"
	else
		mkdir -p "$(dirname "$tree$2")"
		[ -e "$tree$2" ] || : >"$tree$2"
	fi
	mount --bind "$1" "$tree$2"
	[ "${3:-}" != ro ] || mount -o remount,ro,bind "$tree$2"
}

mount -t proc proc "$tree/proc"
bind /dev /dev
mount -t tmpfs tmpfs "$tree/tmp"
if [ -s /etc/resolv.conf ]; then
	bind "$(realpath /etc/resolv.conf)" /etc/resolv.conf ro
fi
ca=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
if [ -s "$ca" ] && [ -e "$tree/etc/ssl/certs/ca-certificates.crt" ]; then
	bind "$(realpath "$ca")" /etc/ssl/certs/ca-certificates.crt ro
fi
while [ "$1" != -- ]; do
	IFS=: read -r src dst mode <<<"$1"
	bind "$src" "$dst" "$mode"
	shift
done
shift

pass=()
for v in http_proxy https_proxy no_proxy MAKEFLAGS OVL_MODULE CARGO_HOME CARGO_TARGET_DIR CARGO_NET_OFFLINE RUSTFLAGS; do
	[ -z "${!v+x}" ] || pass+=("$v=${!v}")
done
exec chroot "$tree" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 TERM="${TERM:-dumb}" \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	DEBIAN_FRONTEND=noninteractive "${pass[@]}" "$@"
