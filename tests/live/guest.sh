#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317
# Runs as a service of the live system: guest.sh TYPE UPPER first|second|reset|live-boot
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin
type=$1 step=$3
job=/run/job failed=0
stty -F /dev/hvc0 -opost 2>/dev/null

check() { # WHAT COMMAND...
	local what=$1 out
	shift
	if out=$("$@" 2>&1); then
		echo "ok    $step: $what"
	else
		echo "FAIL  $step: $what: $* -> $(tail -n 5 <<<"$out")"
		failed=1
	fi
}
is() { [ "$("${@:2}")" = "$1" ] || { "${@:2}"; return 1; }; }
refused() { ! "$@"; }
multi_user() { for _ in {1..120}; do systemctl -q is-active multi-user.target && return; sleep 1; done; systemctl list-jobs; return 1; }
no_failed_unit() { [ "$(systemctl --failed --no-legend --plain | tee /dev/stderr | grep -cv -e systemd-modules-load)" = 0 ]; }
installs() {
	mkdir -p /mnt/debs
	mount -t 9p -o trans=virtio,version=9p2000.L,cache=loose debs /mnt/debs
	echo 'deb [trusted=yes] file:/mnt/debs ./' >/etc/apt/sources.list
	rm -f /etc/apt/sources.list.d/*
	apt-get -o APT::Sandbox::User=root update && apt-get -y -o APT::Sandbox::User=root install --no-install-recommends ed bc sudo rsyslog
}

check "multi-user" multi_user
echo "      $step: up after $(cut -d' ' -f1 /proc/uptime) s"
check "no unit failed" no_failed_unit
check "the root is $type" is "$type" findmnt -no FSTYPE /
check "df knows the root" sh -c 'df -T / | grep -q overlay'
case $step in
first)
	check "packages are installed" installs
	check "one of them works" is 42 sh -c 'echo 6*7 | bc'
	check "one of them is a service" systemctl is-enabled rsyslog
	check "a user is added" useradd -m keeper
	check "a file of the image is removed" rm /etc/issue
	check "a directory of the image is removed" rm -r /usr/share/pam-configs
	check "a file of the image is changed" sh -c 'echo changed >/etc/motd'
	check "a service of the image is masked" systemctl mask e2scrub_all.timer
	check "many files" sh -c 'mkdir /root/many && cd /root/many && seq 2000 | xargs touch && mv /root/many /root/moved'
	;;
second)
	check "the packages are there" is 42 sh -c 'echo 6*7 | bc'
	check "dpkg agrees" sh -c 'dpkg -V ed bc sudo rsyslog'
	check "the new service runs" systemctl is-active rsyslog
	check "the user is there" id keeper
	check "the removed file stays removed" test ! -e /etc/issue
	check "the removed directory stays removed" test ! -e /usr/share/pam-configs
	check "the changed file stays changed" is changed cat /etc/motd
	check "the masked service stays masked" refused systemctl is-enabled e2scrub_all.timer
	check "the many files are there" is 2000 sh -c 'ls /root/moved | wc -l'
	;;
live-boot)
	check "overlay_rs serves it" test -e /sys/module/overlay_rs -a ! -e /sys/module/overlay
	check "a file of the image is removed" rm /etc/issue
	check "a directory of the image is removed" rm -r /usr/share/pam-configs
	check "a file of the image is changed" sh -c 'echo changed >/etc/motd'
	check "a user is added" useradd -m keeper
	check "an overlay on top of it" sh -ec 'mkdir -p /run/t && mount -t tmpfs t /run/t && cd /run/t && mkdir u w m && mount -t overlay overlay -o lowerdir=/usr,upperdir=u,workdir=w m && rm m/bin/ls && umount m'
	;;
reset)
	check "the packages are gone" test ! -e /usr/bin/bc
	check "the user is gone" refused id keeper
	check "the removed file is back" test -e /etc/issue
	check "the removed directory is back" test -d /usr/share/pam-configs
	check "the changed file is as delivered" refused grep -q changed /etc/motd
	;;
esac
lower=${LOWER:-/run/live/lower}
check "the image is as it was" test -e "$lower/etc/issue" -a ! -e "$lower/usr/bin/bc" -a ! -e "$lower/home/keeper"
echo "      $step: ready after $(cut -d' ' -f1 /proc/uptime) s"
dmesg >$job/dmesg.log
echo $failed >$job/status
touch $job/finished
sync
# A clean end: systemd stops everything and unmounts what is below the root.
umount -l /mnt/debs 2>/dev/null
systemctl reboot
