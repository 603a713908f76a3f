# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# A docker daemon with the containerd it needs, for docker.sh and debian.sh.

start_dockerd() { # [OPTION]...
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
