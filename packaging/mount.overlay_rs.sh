#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# /sbin/mount.overlay_rs: mount(8) calls it as `mount.overlay_rs SOURCE DIRECTORY [-fnsv] [-N NS]
# [-o OPTIONS]`. mount(8) itself cannot hand over an option of more than 255 bytes through the
# kernel's new interface, and a lowerdir= of a few layers is longer: such options go through the
# old interface, which takes 4095 bytes in all. Longer ones have to be given one by one,
# lowerdir+=A,lowerdir+=B.
LC_ALL=C
export LC_ALL
is_long() {
	rest=$1
	while [ -n "$rest" ]; do
		option=${rest%%,*}
		[ "${#option}" -le 255 ] || return 0
		[ "$option" != "$rest" ] || return 1
		rest=${rest#*,}
	done
	return 1
}
take=no
for word in "$@"; do
	case $take$word in
	yes*)
		if is_long "$word"; then
			LIBMOUNT_FORCE_MOUNT2=always
			export LIBMOUNT_FORCE_MOUNT2
		fi
		take=no
		;;
	no-o) take=yes ;;
	esac
done
exec mount -i -t overlay_rs "$@"
