# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# An image of 120 layers, with podman. To be sourced by run.sh.

deep=localhost/ovl/deep:1
case_ load sh -c "podman load -q -i $images/deep.tar >&2"
case_ run podman run --rm --net=none --cgroups=disabled $deep sh -c 'ls /l; cat /l/last'
write_deep() {
	podman run --net=none --cgroups=disabled --name d1 $deep sh -c 'rm /l/f119; echo x >/l/last; mv /l/f118 /l/f1; rm -r /root' >&2
	podman diff d1 | sort
	podman commit -q d1 localhost/ovl/deeper:1 >&2
	podman run --rm --net=none --cgroups=disabled localhost/ovl/deeper:1 ls -a / /l
}
case_ write_and_commit write_deep
case_ remove sh -c 'podman rm -fa >&2; podman rmi -fa >&2; ls /var/lib/containers/storage/overlay'
