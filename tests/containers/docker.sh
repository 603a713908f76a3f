# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# docker, with its own containerd and runc. To be sourced by run.sh.

start_dockerd() {
	containerd >/tmp/containerd.log 2>&1 </dev/null &
	containerd_pid=$!
	sleep 2
	dockerd --storage-driver=overlay2 --iptables=false --ip6tables=false --bridge=none \
		--containerd /run/containerd/containerd.sock >/tmp/dockerd.log 2>&1 </dev/null &
	docker_pid=$!
	for _ in {1..240}; do
		docker version >/dev/null 2>&1 && return 0
		sleep 0.5
	done
	tail -n 5 /tmp/dockerd.log
	return 1
}
drun=(docker run --net=none)
dimg=localhost/ovl/test:1
d_info() { docker info --format '{{.Driver}} {{json .DriverStatus}}'; }
d_load() { docker load -q -i "$images/test.tar"; }
d_list() { "${drun[@]}" --rm $dimg /list; }
d_change() { quiet "${drun[@]}" --name c1 $dimg /change && docker diff c1 | sort; }
d_upper() { "$here/images.py" tree "$(docker inspect c1 --format '{{.GraphDriver.Data.UpperDir}}')"; }
d_commit() { quiet docker commit c1 localhost/ovl/done:1 && "${drun[@]}" --rm localhost/ovl/done:1 /list; }
d_export() { docker export c1 | "$here/images.py" tar -; }
d_cp() { echo copied >/tmp/copied && quiet docker cp /tmp/copied c1:/etc/copied && docker cp c1:/etc/copied - | "$here/images.py" tar - | cut -d' ' -f1-5; }
d_read_only() { "${drun[@]}" --rm --read-only $dimg sh -c 'touch /x || echo refused; cat /hl2'; }
d_live() {
	quiet "${drun[@]}" -d --name c3 $dimg sh -c 'echo one >/x; rm /etc/added; sleep 600'
	sleep 2
	docker exec c3 sh -c 'ln /x /y; stat -c %h /x'
	docker diff c3 | sort
	quiet docker commit c3 localhost/ovl/live:1
	"${drun[@]}" --rm localhost/ovl/live:1 sh -c 'cat /y; ls /etc'
	quiet docker rm -f c3
}
d_build() {
	mkdir -p /tmp/build && echo context >/tmp/build/context
	printf '%s\n' "FROM $dimg" 'RUN /change' 'COPY context /etc/context' 'RUN rm /new && chmod 700 /opq2' >/tmp/build/Dockerfile
	DOCKER_BUILDKIT=0 quiet docker build -q --network=none -t localhost/ovl/built:1 /tmp/build
	"${drun[@]}" --rm localhost/ovl/built:1 /list
}
d_gone() {
	docker ps -aq | xargs -r docker rm -f >&2
	docker image prune -af >&2
	docker system df --format '{{.Type}} {{.TotalCount}}'
	ls -l /var/lib/docker/overlay2 /var/lib/docker/overlay2/l >&2
	find /var/lib/docker/overlay2 -mindepth 1 -maxdepth 1 -type d ! -name l | wc -l
}

if start_dockerd; then
	case_ info d_info
	case_ load d_load
	case_ run d_list
	case_ write_and_diff d_change
	case_ what_is_in_the_upper d_upper
	case_ commit d_commit
	case_ export d_export
	case_ cp d_cp
	case_ read_only d_read_only
	case_ exec_diff_commit_while_it_runs d_live
	case_ build d_build
	case_ remove d_gone
	kill $docker_pid
	wait $docker_pid 2>/dev/null
	kill $containerd_pid
	wait $containerd_pid 2>/dev/null
else
	case_ started false
fi
