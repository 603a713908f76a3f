#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The demonstration, run inside the VM: a Debian system lives on an overlay_rs mount. Every step
# looks at its own result; the first that is wrong ends the run with status 1.
#
#   /mnt/lower       a Debian system, read-only (erofs): the bottom layer
#   /mnt/share/debs  an apt repository of packages to install
#   /mnt/ext4        where the second layer and the upper live
#
# TYPE=overlay shows the same with the kernel's own overlay.
#
# What is in single quotes is for the chroot; a list of packages is a list of words:
# shellcheck disable=SC2016,SC2086
set -u -o pipefail
here=$(dirname "$(readlink -f "$0")")
type=${TYPE:-overlay_rs}
other=overlay
work=/mnt/ext4/demo
base=/mnt/lower
changes=$work/changes
packages="gcc libc6-dev python3-yaml sudo ca-certificates ssl-cert nano vim-tiny ed gawk bc file tzdata
	ucf netbase cron logrotate dbus rsyslog"
upper=$work/upper
root=$work/merged
table=()

bold() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() {
	printf '\nFAILED: %s\n' "$*"
	dmesg | tail -n 15
	exit 1
}
# Runs a command quietly; shows the end of what it said if it fails.
quiet() {
	local log=$work/log
	"$@" >"$log" 2>&1 || {
		tail -n 30 "$log"
		die "$*"
	}
}
begin() {
	started=$SECONDS
	bold "$*"
	current=$*
}
done_() {
	table+=("$(printf '%-66s %4d s' "$current" $((SECONDS - started)))")
	printf '   ok: %s (%d s)\n' "$*" $((SECONDS - started))
}
tree() { python3 "$here/tree.py" "$@"; }
in_root() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
	DEBIAN_FRONTEND=noninteractive "$@"; }

# Mounts the layers as TYPE ($1) on $root.
stack() {
	mount -t "$1" -o "lowerdir=$changes:$base,upperdir=$upper,workdir=$work/work,redirect_dir=nofollow" \
		"$1" "$root" || die "mount -t $1"
	[ "$(findmnt -no FSTYPE "$root")" = "$1" ] || die "$root is not of type $1"
}
unstack() { umount "$root" || die "umount $root"; }

trap 'umount -R "$root" 2>/dev/null' EXIT
dmesg --clear
mkdir -p "$changes" "$upper" "$work/work" "$root"

begin "a second layer: changes to the Debian system, with whiteouts"
mkdir -p "$changes"/{etc,srv/www,usr/share}
echo "overlay demonstration" >"$changes/etc/motd"
echo "hello from the second layer" >"$changes/srv/www/index.html"
setfattr -n user.origin -v second-layer "$changes/srv/www/index.html"
mknod "$changes/etc/debian_version" c 0 0
mkdir "$changes/usr/share/common-licenses"
setfattr -n trusted.overlay.opaque -v y "$changes/usr/share/common-licenses"
echo "see COPYING" >"$changes/usr/share/common-licenses/GPL-2"
done_ "$(find "$changes" | wc -l) objects"

begin "mount it, findmnt it, df it"
stack "$type"
findmnt "$root"
df -h "$root"
[ "$(cat "$root/etc/motd")" = "overlay demonstration" ] || die "the second layer is not on top"
[ ! -e "$root/etc/debian_version" ] || die "a whiteout of the second layer does not hide"
[ "$(ls "$root/usr/share/common-licenses")" = GPL-2 ] || die "an opaque directory is not opaque"
done_ "the layers are one tree"

begin "what the lower layers are now"
tree manifest "$base" "$changes" >"$work/lower.before" || die "manifest of the lower layers"
done_ "$(wc -l <"$work/lower.before") objects, $(sha256sum <"$work/lower.before" | cut -c1-16)"

begin "work in it: apt installs packages in a chroot"
for d in proc sys dev; do mount --rbind --make-rslave "/$d" "$root/$d" || die "bind $d"; done
mkdir -p "$root/var/debs"
mount --bind /mnt/share/debs "$root/var/debs" || die "bind the packages"
rm -f "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/var/debs ./' >"$root/etc/apt/sources.list"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
quiet in_root apt-get -q update
before=$(in_root dpkg-query -f '${Package}\n' -W | sort)
quiet in_root apt-get -q -y -o Dpkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 \
	install --no-install-recommends $packages
installed=$(comm -13 <(echo "$before") <(in_root dpkg-query -f '${Package}\n' -W | sort))
count=$(wc -l <<<"$installed")
scripts=$(for p in $installed; do ls "$root"/var/lib/dpkg/info/"$p"{,:amd64}.postinst 2>/dev/null; done | wc -l)
[ "$count" -ge 20 ] || die "only $count packages were installed"
[ "$(in_root dpkg --audit)" = "" ] || die "dpkg --audit complains"
done_ "$count packages installed, $scripts of them ran a post-install script"

begin "work in it: compilers, users, files"
cat >"$root/root/hello.c" <<'C'
#include <stdio.h>
int main(void) { puts("hello from gcc"); return 0; }
C
quiet in_root gcc -O2 -o /root/hello /root/hello.c
[ "$(in_root /root/hello)" = "hello from gcc" ] || die "what gcc built does not run"
[ "$(in_root python3 -c 'print(sum(range(101)))')" = 5050 ] || die "python3 does not count"
quiet in_root useradd -m -s /bin/bash alice
in_root su alice -c 'echo mine > ~/note && test "$(stat -c %U ~/note)" = alice' || die "alice cannot write"
sed -i 's/^root:[^:]*:/root:*:/' "$root/etc/shadow" || die "edit /etc/shadow"
echo "127.0.1.1 demo" >>"$root/etc/hosts"
quiet in_root apt-get -q -y -o Dpkg::Use-Pty=0 remove bc
[ ! -e "$root/usr/bin/bc" ] || die "bc is still there"
rm -rf "$root/usr/share/doc"
[ ! -e "$root/usr/share/doc" ] || die "/usr/share/doc is still there"
mkdir -p "$root/usr/share/doc"
[ -z "$(ls -A "$root/usr/share/doc")" ] || die "the new /usr/share/doc is not empty"
mv "$root/etc/issue" "$root/etc/issue.moved" || die "rename a lower file"
ln "$root/etc/passwd" "$root/etc/passwd.link" || die "hard-link"
[ "$(stat -c %i "$root/etc/passwd")" = "$(stat -c %i "$root/etc/passwd.link")" ] || die "two inodes of one file"
{ chmod 600 "$root/usr/bin/perl" && chmod 755 "$root/usr/bin/perl"; } || die "chmod"
done_ "gcc, python3, useradd, edits in /etc, a removed package, rm -rf, mv, ln"

begin "the lower layers are what they were"
tree manifest "$base" "$changes" >"$work/lower.after" || die "manifest of the lower layers"
cmp "$work/lower.before" "$work/lower.after" || die "a lower layer has changed"
done_ "contents, metadata and xattrs of $(wc -l <"$work/lower.after") objects are identical"

{ umount -R "$root"/{proc,sys,dev} && umount "$root/var/debs"; } || die "umount in the chroot"

begin "unmount, mount again, compare the whole tree"
tree manifest --inodes "$root" >"$work/merged.before" || die "manifest of the merged tree"
unstack
stack "$type"
tree manifest --inodes "$root" >"$work/merged.after" || die "manifest of the merged tree"
cmp "$work/merged.before" "$work/merged.after" || { diff "$work/merged.before" "$work/merged.after" | head; die "the tree differs after a remount"; }
done_ "$(wc -l <"$work/merged.after") objects: names, types, modes, owners, sizes, times, xattrs, contents, inode numbers"
unstack

begin "the same layers through the kernel's own overlay"
tree manifest --strip "$work/merged.before" >"$work/merged.plain"
stack "$other"
tree manifest "$root" >"$work/merged.other" || die "manifest through $other"
cmp "$work/merged.plain" "$work/merged.other" || { diff "$work/merged.plain" "$work/merged.other" | head; die "$other sees another tree"; }
done_ "what $type wrote, $other reads: the same tree"

begin "and the other way round: $other writes, $type reads"
rm -rf "$root/usr/share/zoneinfo" "$root/root/hello"
mkdir "$root/usr/share/zoneinfo"
echo written >"$root/usr/share/zoneinfo/file"
echo more >>"$root/etc/hosts"
mv "$root/etc/profile" "$root/etc/profile.moved"
chown 1000:1000 "$root/usr/bin/awk" 2>/dev/null
setfattr -n user.by -v "$other" "$root/etc/motd"
tree manifest "$root" >"$work/merged.other" || die "manifest through $other"
unstack
stack "$type"
tree manifest "$root" >"$work/merged.ours" || die "manifest through $type"
cmp "$work/merged.other" "$work/merged.ours" || { diff "$work/merged.other" "$work/merged.ours" | head; die "$type sees another tree"; }
done_ "what $other wrote, $type reads: the same tree"
unstack

begin "a thousand mounts share the page cache of one lower layer"
python3 "$here/share.py" "$type" "$base" "${MOUNTS:-1000}" || die "page sharing"
done_ "one copy of the library in memory"

begin "the kernel log"
if dmesg | grep -E 'WARNING:|BUG:|Oops|Call Trace|refcount|INFO: task|overlay_rs: .*(failed|invalid)'; then
	die "the kernel log is not clean"
fi
done_ "no warning"

bold "What was checked with $type on Linux $(uname -r), $SECONDS s in all"
printf '  %s\n' "${table[@]}"
