# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# podman and buildah of an ordinary user, with the kernel's driver in a user namespace (userxattr).
# To be sourced by run.sh.

id tester >/dev/null 2>&1 || {
	useradd -u 1500 -s /bin/bash -d /mnt/ext4/tester tester
	sed -i '/^tester:/d' /etc/subuid /etc/subgid
	echo tester:2000000:65536 | tee -a /etc/subuid >>/etc/subgid
}
rm -rf /mnt/ext4/tester
install -d -o tester -g tester /mnt/ext4/tester
install -d -o tester -g tester -m 700 /run/user/1500
chmod 755 "$images"
as_tester() { (cd /mnt/ext4/tester && setpriv --reuid tester --regid tester --init-groups env -i HOME=/mnt/ext4/tester USER=tester XDG_RUNTIME_DIR=/run/user/1500 LC_ALL=C.UTF-8 "PATH=$PATH" "$@"); }
rrun=(as_tester podman run --net=none --cgroups=disabled --log-driver=k8s-file)
rimg=localhost/ovl/test:1

r_info() { as_tester podman info --format json | jq -S '.store.graphDriverName, (.store.graphStatus | del(.["Backing Filesystem"])), .store.graphOptions'; }
r_load() { quiet as_tester podman load -i "$images/test.tar" && as_tester podman image ls --format '{{.Repository}}:{{.Tag}}'; }
r_list() { "${rrun[@]}" --rm $rimg /list; }
r_change() { quiet "${rrun[@]}" --name c1 $rimg /change && as_tester podman diff c1 | sort; }
r_upper() { "$here/images.py" tree "$(as_tester podman inspect c1 --format '{{.GraphDriver.Data.UpperDir}}')"; }
r_commit() { quiet as_tester podman commit -q c1 localhost/ovl/done:1 && "${rrun[@]}" --rm localhost/ovl/done:1 /list; }
r_export() { as_tester podman export c1 | "$here/images.py" tar -; }
r_options() { "${rrun[@]}" --rm $rimg sh -c "grep ' / / ' /proc/self/mountinfo | sed 's/.* - //' | tr , '\n' | grep -v dir= | sed 's/.*overlay/overlay/'"; }
r_keep_id() { "${rrun[@]}" --rm --userns=keep-id $rimg sh -c 'id -u; stat -c "%u:%g %n" /suid /many/f0001; echo x >/tmp/x; cat /tmp/x'; }
r_volume() { as_tester mkdir -p /mnt/ext4/tester/v && as_tester sh -c 'echo outside >v/f' && "${rrun[@]}" --rm -v /mnt/ext4/tester/v:/v:O $rimg sh -c 'echo inside >>/v/f; cat /v/f; rm /v/f; ls -a /v' && cat /mnt/ext4/tester/v/f; }
r_build() {
	as_tester sh -c "mkdir -p b && echo context >b/context && printf '%s\n' 'FROM $rimg' 'RUN /change' 'COPY context /etc/context' >b/Dockerfile"
	quiet as_tester podman build -q --network=host --isolation=chroot -t localhost/ovl/built:1 b
	"${rrun[@]}" --rm localhost/ovl/built:1 /list
}
r_gone() { quiet as_tester podman rm -fa -t 0; quiet as_tester podman rmi -fa; ls /mnt/ext4/tester/.local/share/containers/storage/overlay; quiet as_tester podman system migrate; }

case_ info r_info
case_ load r_load
case_ run r_list
case_ mount_options r_options
case_ write_and_diff r_change
case_ what_is_in_the_upper r_upper
case_ commit r_commit
case_ export r_export
case_ keep_id r_keep_id
case_ volume_O r_volume
case_ build r_build
case_ remove r_gone
# The process that keeps podman's user namespace alive keeps its mounts alive, too.
pkill -KILL -u tester
