#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs in the VM: container runtimes of Debian, unmodified, on the kernel's own
# overlay and then on overlay_rs in its place:
#   run.sh RUNTIMES TYPES       (both lists with commas)
# Every case leaves what it printed in /mnt/share/out/TYPE/RUNTIME.CASE and a
# line `RUNTIME CASE TYPE ok|fail` in /mnt/share/out/results; what the two types
# print has to be the same, which is judged outside.
set -u
shopt -s extglob
here=$(dirname "$(realpath "$0")")
out=/mnt/share/out
IFS=, read -ra runtimes <<<"$1"
IFS=, read -ra types <<<"$2"
images=/tmp/images
export LC_ALL=C.UTF-8 HOME=/root

# case_ NAME COMMAND...: a case is good when the command is, and prints what it prints elsewhere.
case_() {
	local name=$1 rc start=$SECONDS
	shift
	# shellcheck disable=SC2053
	[ -z "${only:-}" ] || [[ $name == $only ]] || return 0
	# (no `||` here: it would switch off `set -e` inside)
	(set -e; "$@") >"$out/$type/$runtime.$name" 2>"$out/$type/$runtime.$name.err" </dev/null
	rc=$?
	if [ $rc = 0 ]; then word=ok; else word=fail; fi
	printf '%s\t%s\t%s\t%s\n' "$runtime" "$name" "$type" "$word" >>"$out/results"
	printf '%-12s %-10s %-26s %-4s %4d s\n' "$type" "$runtime" "$name" "$word" $((SECONDS - start))
	[ $rc = 0 ] || tail -n 6 "$out/$type/$runtime.$name.err" | sed 's/^/    | /'
	return 0
}
# What a process of a runtime says is no output of the case.
# shellcheck disable=SC2317
quiet() { "$@" >&2; }
# What the removal of everything leaves of the layers: nothing.
# shellcheck disable=SC2317
none_left() { # DIRECTORY
	local left
	left=$(find "$1" -mindepth 1 -maxdepth 1 -type d ! -name l ! -name 'compat*')
	[ -z "$left" ] || { echo "layers are left: $left" >&2; return 1; }
}
# The image of 120 layers, when somebody wants it.
# shellcheck disable=SC2317
deep_image() {
	[ -e "$images/deep.tar" ] || "$here/images.py" layers 120 "$images/deep.tar"
	echo "$images/deep.tar"
}
# What twenty containers that live at once have written, each in its own overlay.
# shellcheck disable=SC2317
twenty_roots() {
	local roots root written=0
	# (what is below a bind mount is there twice)
	mapfile -t roots < <(awk '/ - overlay / && !seen[$3]++ { print $5 }' /proc/self/mountinfo)
	for _ in {1..180}; do
		written=0
		for root in "${roots[@]}"; do [ ! -e "$root/done" ] || written=$((written + 1)); done
		[ "$written" != 20 ] || break
		sleep 1
	done
	for root in "${roots[@]}"; do [ ! -e "$root/done" ] || echo "$(cat "$root/number") $(find "$root" -mindepth 1 -maxdepth 1 | wc -l)"; done | sort -n
	[ "$written" = 20 ]
}
# So that nothing is taken for a success that is a failure in front of a pipe.
set -o pipefail

# Which module serves the type overlay.
serve() { # overlay|overlay_rs
	rm -rf /run/containers /run/docker /run/crun /run/runc /run/containerd /run/libpod
	rmmod overlay_rs 2>/dev/null || true
	rmmod overlay 2>/dev/null || true
	if [ "$1" = overlay ]; then
		modprobe overlay && [ -e /sys/module/overlay ] && return
	else
		insmod /overlay_rs.ko as_overlay=1 && [ ! -e /sys/module/overlay ] && grep -qw overlay /proc/filesystems && return
	fi
	echo "the type overlay cannot be served by $1: $(dmesg | tail -n 3)"
	exit 1
}

# Once for all: what systemd would have done.
mount --make-rshared /
for d in containers docker containerd; do
	mkdir -p /var/lib/$d /mnt/ext4/$d
	mount --bind /mnt/ext4/$d /var/lib/$d
done
mkdir -p /etc/containers "$images"
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
echo '{ "default": [ { "type": "insecureAcceptAnything" } ] }' >/etc/containers/policy.json
printf '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n' >/etc/containers/containers.conf
grep -q '^containers:' /etc/subuid || echo 'containers:100000:655360' | tee -a /etc/subuid >>/etc/subgid
mkdir -p /var/lib/containers/storage
"$here/images.py" image "$images/test.tar"
if [[ ",$1," == *,debian,* ]]; then tar -C /mnt/lower --xattrs --one-file-system --sort=name -cf "$images/debian.tar" .; fi

for type in "${types[@]}"; do
	mkdir -p "$out/$type"
	serve "$type"
	for runtime in "${runtimes[@]}"; do
		# shellcheck source=/dev/null
		. "$here/$runtime.sh"
		# Whoever leaves a mount or a process of a mount behind has failed.
		case_ no_mount_is_left sh -c '! grep -w overlay /proc/*/mountinfo >&2'
		rm -rf /mnt/ext4/containers/* /mnt/ext4/docker/* /mnt/ext4/containerd/* /run/containers /run/libpod
	done
	if [ "$type" = overlay ]; then module=overlay; else module=overlay_rs; fi
	runtime=all
	case_ module_can_be_unloaded rmmod $module
done
rmmod overlay_rs 2>/dev/null
exit 0
