# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# A docker daemon with the containerd it needs, for docker.sh and debian.sh.

# docker 26 never lets go of a container that was exported, nor of the layers below it, whatever the
# driver (https://github.com/moby/moby/issues/48516); no other layer may be left.
docker_export() { # CONTAINER
	docker inspect "$1" --format '{{.GraphDriver.Data.UpperDir}}:{{.GraphDriver.Data.LowerDir}}' |
		tr : '\n' | sed -E 's|(.*/overlay2/[^/]+)/.*|\1|' >>/tmp/docker-exported
	docker export "$1"
}
docker_none_left() { # DIRECTORY
	local left
	left=$(find "$1" -mindepth 1 -maxdepth 1 -type d ! -name l | grep -vxFf /tmp/docker-exported) || true
	[ -z "$left" ] || { echo "layers are left: $left" >&2; return 1; }
}
start_dockerd() { # [OPTION]...
	: >/tmp/docker-exported
	containerd >/tmp/containerd.log 2>&1 </dev/null &
	containerd_pid=$!
	sleep 2
	dockerd --storage-driver=overlay2 --iptables=false --ip6tables=false --bridge=none \
		--containerd /run/containerd/containerd.sock "$@" >/tmp/dockerd.log 2>&1 </dev/null &
	docker_pid=$!
	for _ in {1..240}; do
		docker version >/dev/null 2>&1 && return 0
		sleep 0.5
	done
	tail -n 5 /tmp/dockerd.log
	return 1
}
stop_dockerd() {
	kill "$docker_pid"
	wait "$docker_pid" 2>/dev/null
	kill "$containerd_pid"
	wait "$containerd_pid" 2>/dev/null
	rm -f /run/docker.pid
	cp /tmp/dockerd.log "$out/$type/$runtime.dockerd.log"
}
