# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# What all scripts in this directory share: where things are cached, how a
# step announces itself, and how a failure is told. To be sourced, not run.

set -euo pipefail

# The repository, whatever directory the caller stands in.
OVL_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OVL_QEMU=$OVL_TOP/qemu
# Everything that is expensive to make and can be made again.
OVL_CACHE=${OVL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/overlay_rs}
OVL_LOGS=$OVL_CACHE/logs
# The module's sources. A private copy of the checkout may be named instead.
MODULE_DIR=$(cd "${MODULE_DIR:-$OVL_TOP}" && pwd)
# What `make` and the VM scripts leave behind in the checkout.
OVL_BUILD=${OVL_BUILD:-$MODULE_DIR/build}

# The Debian release of the toolchain and of the guest.
OVL_SUITE=trixie
OVL_MIRROR=${OVL_MIRROR:-http://deb.debian.org/debian}
OVL_SECURITY=${OVL_SECURITY:-http://deb.debian.org/debian-security}
# The kernel series this module is written for, newest first. The newest is tested in full, the
# others by `make test-older`.
OVL_SUPPORTED=(7.3 7.2)
# Older series lack what the module is made of, and are refused.
OVL_OLDEST=7.2

# Where Debian 12 keeps mkfs and friends, even for a root without a login.
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C.UTF-8

mkdir -p "$OVL_LOGS" "$OVL_CACHE/locks" || {
	echo "overlay_rs: error: cannot write to the cache directory $OVL_CACHE" >&2
	exit 1
}

say() { printf '==> %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() {
	printf 'overlay_rs: error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root (it makes chroots and installs packages); run it with sudo"
}

# need_disk GIB WHAT: refuse before filling the disk, not after.
need_disk() {
	local free
	free=$(df -Pk "$OVL_CACHE" | awk 'NR == 2 { print int($4 / 1048576) }')
	[ "$free" -ge "$1" ] ||
		die "$2 needs $1 GiB of free disk in $OVL_CACHE, which has $free GiB (OVL_CACHE= chooses another place)"
}

# The lines of a log that say why it failed: our own sentence when there is
# one, else the error lines and the tail.
reason() {
	if grep -q '^overlay_rs: error: ' "$1"; then
		grep '^overlay_rs: error: ' "$1" | tail -n 1
		return
	fi
	local errors
	# Each error with the place it names; what make says of it adds nothing.
	errors=$(awk '/^make(\[[0-9]+\])?: / { next }
		/(^|[^a-z_])(error(\[E[0-9]+\])?:|E: |fatal|FAILED|panicked|\*\*\* )/ { print; at = 1; n++; next }
		at && /^ *--> / { print; at = 0 }
		n >= 10 { exit }' "$1")
	if [ -n "$errors" ]; then echo "$errors"; else tail -n 10 "$1"; fi | cut -c1-220 | sed 's|/module/||; s/^/      /'
}

# Every half minute of a long step: it lives, and this is its log's last line.
heartbeat() { # START LOG
	local never
	# A read that times out, not a sleep: a child would outlive this and keep our locks.
	exec {never}<> <(:)
	while kill -0 $$ 2>/dev/null; do
		read -rt 30 -u "$never" _ || true
		note "... $((SECONDS - $1)) s: $(tail -n 1 "$2" 2>/dev/null | tr -d '\r' | cut -c1-90)"
	done
}

# step TEXT LOG CMD...: run CMD with its output in LOG; say what is done, how
# long it took and where the log is; on failure say the reason and stop.
step() {
	local text=$1 log=$2 start=$SECONDS rc=0 tick
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$text"
	heartbeat "$start" "$log" &
	tick=$!
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1 </dev/null
	rc=$?
	set -e
	kill "$tick" 2>/dev/null || true
	wait "$tick" 2>/dev/null || true
	if [ "$rc" != 0 ]; then
		note "FAILED after $((SECONDS - start)) s (log: $log)"
		reason "$log" >&2
		exit 1
	fi
	note "done in $((SECONDS - start)) s (log: $log)"
}

# with_lock NAME CMD...: one builder at a time per cached thing. Not to be
# called in a condition: that would switch off `set -e` in all of CMD.
with_lock() {
	local name=$1 fd
	shift
	exec {fd}>"$OVL_CACHE/locks/$name"
	if ! flock -n "$fd"; then
		note "waiting for another run that is making: $name"
		flock "$fd"
	fi
	"$@"
	exec {fd}>&-
}

# key TEXT...: a short name for "made from exactly this".
key() { printf '%s\n' "$@" | sha256sum | cut -c1-12; }

# How many jobs a build may run.
jobs_n() { nproc; }

# The cached tree with the compilers, and the chosen kernel (see kernel.sh).
OVL_TREE=$OVL_CACHE/tree/current
kernel_dir() { echo "$OVL_CACHE/kernel/by-kver/${KVER:-newest}"; }
# flavour_dir stock|debug: where that kernel's build tree and image/ are.
flavour_dir() {
	case $1 in
	stock) readlink -f "$(kernel_dir)" ;;
	debug) readlink -f "$(kernel_dir)/debug" ;;
	*) die "there are two kernels, stock and debug, and '$1' is neither" ;;
	esac
}
