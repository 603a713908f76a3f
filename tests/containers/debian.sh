# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# An image of a full Debian system, in which packages are installed; with podman and with docker.
# To be sourced by run.sh.

packages='ed bc sudo rsyslog python3-yaml file'
# What an installation leaves that has the time in it.
volatile_files='^(var/log/|var/cache/|tmp/|var/lib/apt/lists|var/lib/dpkg/(lock|triggers/Lock|status-old)|etc/.*-$)'
cat >/tmp/install <<-S
	set -e
	export DEBIAN_FRONTEND=noninteractive
	rm -f /etc/apt/sources.list.d/*
	echo 'deb [trusted=yes] file:/debs ./' >/etc/apt/sources.list
	echo 'APT::Sandbox::User "root";' >/etc/apt/apt.conf.d/root
	apt-get -q update
	apt-get -q -y install --no-install-recommends $packages
S
# What an installed system says of itself.
cat >/tmp/look <<-S
	dpkg-query -W -f '\${Package} \${Version} \${Status}\n'
	dpkg -V $packages
	echo 6*7 | bc
	python3 -c 'import yaml; print(yaml.safe_load("a: [1, 2]"))'
	stat -c '%n %a %u:%g' /usr/bin/sudo /etc/sudoers /etc/rsyslog.conf
S
prun=(podman run --net=none --cgroups=disabled --log-driver=k8s-file)
with=(-v /mnt/share/debs:/debs:ro -v /tmp/install:/install:ro -v /tmp/look:/look:ro)
deb=localhost/ovl/debian:1

contents() { "$here/images.py" tar - | grep -Ev "$volatile_files"; }
p_import() { quiet podman import -q "$images/debian.tar" $deb && "${prun[@]}" --rm $deb sh -c 'cat /etc/debian_version; dpkg-query -W | wc -l'; }
p_install() { quiet "${prun[@]}" "${with[@]}" --name d1 $deb sh /install && podman diff d1 | cut -c3- | sort | sed 's|^/||' | grep -Ev "$volatile_files"; }
p_commit() { quiet podman commit -q d1 localhost/ovl/debian:2 && "${prun[@]}" "${with[@]}" --rm localhost/ovl/debian:2 sh /look; }
p_export() { podman export d1 | contents; }
p_build() {
	mkdir -p /tmp/dbuild && cp /tmp/install /tmp/look /tmp/dbuild/
	printf '%s\n' "FROM $deb" 'COPY install look /' 'RUN sh /install' 'RUN sh /look >/looked' >/tmp/dbuild/Dockerfile
	quiet podman build -q --isolation=chroot -v /mnt/share/debs:/debs:ro -t localhost/ovl/debian:3 /tmp/dbuild
	"${prun[@]}" --rm localhost/ovl/debian:3 cat /looked
}
p_gone() { quiet podman rm -fa -t 0; quiet podman rmi -fa; none_left /var/lib/containers/storage/overlay; }

ddrun=(docker run --net=none)
d2_import() { quiet docker import "$images/debian.tar" $deb && "${ddrun[@]}" --rm $deb sh -c 'cat /etc/debian_version; dpkg-query -W | wc -l'; }
d2_install() { quiet "${ddrun[@]}" "${with[@]}" --name d1 $deb sh /install && docker diff d1 | cut -c3- | sort | sed 's|^/||' | grep -Ev "$volatile_files"; }
d2_commit() { quiet docker commit d1 localhost/ovl/debian:2 && "${ddrun[@]}" "${with[@]}" --rm localhost/ovl/debian:2 sh /look; }
d2_export() { docker_export d1 | contents; }
d2_gone() {
	docker ps -aq | xargs -r docker rm -f >&2
	docker image prune -af >&2
	docker_none_left /var/lib/docker/overlay2
}

case_ podman_import p_import
case_ podman_install p_install
case_ podman_commit_and_run p_commit
case_ podman_export p_export
case_ podman_build p_build
case_ podman_remove p_gone
# shellcheck source=/dev/null
. "$here/dockerd.sh"
if start_dockerd; then
	case_ docker_import d2_import
	case_ docker_install d2_install
	case_ docker_commit_and_run d2_commit
	case_ docker_export d2_export
	case_ docker_remove d2_gone
	stop_dockerd
else
	case_ docker false
fi
