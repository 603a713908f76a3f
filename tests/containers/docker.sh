# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# docker, with its own containerd and runc. To be sourced by run.sh.

# shellcheck source=/dev/null
. "$here/dockerd.sh"
drun=(docker run --net=none)
dimg=localhost/ovl/test:1
d_info() { docker info --format '{{.Driver}} {{json .DriverStatus}}'; }
d_load() { docker load -q -i "$images/test.tar"; }
d_list() { "${drun[@]}" --rm $dimg /list; }
d_change() { quiet "${drun[@]}" --name c1 $dimg /change && docker diff c1 | sort; }
d_upper() { "$here/images.py" tree "$(docker inspect c1 --format '{{.GraphDriver.Data.UpperDir}}')"; }
d_commit() { quiet docker commit c1 localhost/ovl/done:1 && "${drun[@]}" --rm localhost/ovl/done:1 /list; }
d_export() { docker_export c1 | "$here/images.py" tar -; }
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
d_save() { docker save -o /tmp/saved.tar localhost/ovl/done:1 && "$here/images.py" top /tmp/saved.tar && rm /tmp/saved.tar; }
d_as_user() { "${drun[@]}" --rm -u 1000:1000 $dimg sh -c 'id -u; cat /etc/keep; touch /etc/x || echo refused; touch /tmp/x && ls -ln /tmp/x | cut -c1-20'; }
d_start_again() { quiet "${drun[@]}" --name c2 $dimg sh -c 'echo $((1 + $(cat /count || echo 0))) >/count' && quiet docker start -a c2 && quiet docker start -a c2 && docker diff c2 | sort && docker cp c2:/count - | tar -xO; }
d_volume() {
	"${drun[@]}" --rm -v ovl-volume:/dir $dimg sh -c 'ls /dir; echo x >/dir/new'
	"${drun[@]}" --rm -v ovl-volume:/dir $dimg sh -c 'cat /dir/new /dir/sub/deep/file'
	quiet docker volume rm ovl-volume
}
d_inside() {
	"${drun[@]}" --rm --privileged $dimg sh -ec 'mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && cd /tmp/t && mkdir l u w m && echo 1 >l/f
		mount -t overlay overlay -o lowerdir=l:/dir,upperdir=u,workdir=w m && cat m/f m/file && echo 2 >>m/f && rm m/file && ls m u && cat u/f && umount m'
}
d_twenty() {
	local i
	for i in {1..20}; do quiet "${drun[@]}" -d --name "m$i" $dimg sh -c "echo $i >/number; rm -r /many; : >/done; sleep 600"; done
	twenty_roots
	quiet docker rm -f m{1..20}
}
d_layers_120() {
	local deep=localhost/ovl/deep:1
	quiet docker load -q -i "$(deep_image)"
	"${drun[@]}" --rm $deep sh -c 'ls /l; cat /l/last'
	quiet "${drun[@]}" --name d1 $deep sh -c 'rm /l/f119; echo x >/l/last; mv /l/f118 /l/f1; rm -r /root'
	docker diff d1 | sort
	quiet docker commit d1 localhost/ovl/deeper:1
	"${drun[@]}" --rm localhost/ovl/deeper:1 ls -a / /l
	docker_export d1 | "$here/images.py" tar - | grep -v '^bin/'
	quiet docker rm d1
	quiet docker rmi localhost/ovl/deeper:1 $deep
}
d_gone() {
	docker ps -aq | xargs -r docker rm -f >&2
	docker image prune -af >&2
	docker system df --format '{{.Type}} {{.TotalCount}}'
	docker_none_left /var/lib/docker/overlay2
}
d_userns() {
	quiet d_load
	"${drun[@]}" --rm $dimg sh -c 'stat -c "%u:%g %a %n" /suid /sgid /many/f0007; cat /proc/self/uid_map'
	quiet "${drun[@]}" --name u1 $dimg /change
	docker diff u1 | sort
	"$here/images.py" tree "$(docker inspect u1 --format '{{.GraphDriver.Data.UpperDir}}')"
	quiet docker commit u1 localhost/ovl/mapped:1
	"${drun[@]}" --rm localhost/ovl/mapped:1 /list
}
d_userns_gone() {
	docker ps -aq | xargs -r docker rm -f >&2
	docker image prune -af >&2
	none_left /var/lib/docker/3000000.3000000/overlay2
}

if start_dockerd; then
	case_ info d_info
	case_ import d_load
	case_ run d_list
	case_ write_and_diff d_change
	case_ what_is_in_the_upper d_upper
	case_ commit_and_run d_commit
	case_ export d_export
	case_ save d_save
	case_ cp d_cp
	case_ read_only d_read_only
	case_ volume d_volume
	case_ as_user d_as_user
	case_ start_again d_start_again
	case_ exec_diff_commit_while_it_runs d_live
	case_ build d_build
	case_ twenty_at_once d_twenty
	case_ overlay_inside d_inside
	case_ layers_120 d_layers_120
	case_ remove d_gone
	stop_dockerd
	# The same with a user namespace for all containers.
	useradd -r dockremap 2>/dev/null
	grep -q ^dockremap: /etc/subuid || echo dockremap:3000000:65536 | tee -a /etc/subuid >>/etc/subgid
	if start_dockerd --userns-remap=default; then
		case_ userns d_userns
		case_ userns_remove d_userns_gone
		stop_dockerd
	else
		case_ userns false
	fi
else
	case_ started false
fi
