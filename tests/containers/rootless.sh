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
r_userns() { "${rrun[@]}" --rm --userns=auto:size=4000 $rimg sh -c 'stat -c "%u:%g %a %n" /suid /sgid /many/f0007; echo x >/etc/keep; chown 7:8 /mv; stat -c "%u:%g" /mv; cat /etc/keep'; }
r_volume() { as_tester mkdir -p /mnt/ext4/tester/v && as_tester sh -c 'echo outside >v/f' && "${rrun[@]}" --rm -v /mnt/ext4/tester/v:/v:O $rimg sh -c 'echo inside >>/v/f; cat /v/f; rm /v/f; ls -a /v' && cat /mnt/ext4/tester/v/f; }
r_build() {
	as_tester sh -c "mkdir -p b && echo context >b/context && printf '%s\n' 'FROM $rimg' 'RUN /change' 'COPY context /etc/context' >b/Dockerfile"
	quiet as_tester podman build -q --network=host --isolation=chroot -t localhost/ovl/built:1 b
	"${rrun[@]}" --rm localhost/ovl/built:1 /list
}
r_read_only() { "${rrun[@]}" --rm --read-only --read-only-tmpfs=false $rimg sh -c 'touch /x || echo refused; cat /etc/added'; }
r_image_mount() { "${rrun[@]}" --rm --mount type=image,src=$rimg,dst=/i $rimg sh -c 'ls /i /i/opq2; cat /i/hl2; touch /i/x || echo refused'; }
r_start_again() { quiet "${rrun[@]}" --name c2 $rimg sh -c 'echo $((1 + $(cat /count || echo 0))) >/count' && quiet as_tester podman start -a c2 && quiet as_tester podman start -a c2 && as_tester podman diff c2 && as_tester podman cp c2:/count - | tar -xO; }
r_inside() {
	"${rrun[@]}" --rm --privileged $rimg sh -ec 'mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && cd /tmp/t && mkdir l u w m && echo 1 >l/f
		mount -t overlay overlay -o userxattr,lowerdir=l:/dir,upperdir=u,workdir=w m && cat m/f m/file && echo 2 >>m/f && rm m/file && ls m u && cat u/f && umount m'
}
r_twenty() {
	local i
	for i in {1..20}; do quiet "${rrun[@]}" -d --name "m$i" $rimg sh -c "echo $i >/number; rm -r /many; : >/done; sleep 600"; done
	as_tester podman unshare sh -c 'cd .local/share/containers/storage/overlay
		for i in $(seq 180); do [ "$(ls -d */merged/done 2>/dev/null | wc -l)" != 20 ] || break; sleep 1; done
		for m in */merged; do echo "$(cat $m/number) $(ls $m | wc -l)"; done | sort -n'
	quiet as_tester podman rm -fa -t 0
}
r_gone() { quiet as_tester podman rm -fa -t 0; quiet as_tester podman rmi -fa; none_left /mnt/ext4/tester/.local/share/containers/storage/overlay; quiet as_tester podman system migrate; }

case_ info r_info
case_ import r_load
case_ run r_list
case_ mount_options r_options
case_ write_and_diff r_change
case_ what_is_in_the_upper r_upper
case_ commit_and_run r_commit
case_ export r_export
case_ keep_id r_keep_id
case_ userns_auto r_userns
case_ volume_O r_volume
case_ read_only r_read_only
case_ image_mount r_image_mount
case_ build r_build
case_ start_again r_start_again
case_ overlay_inside r_inside
case_ twenty_at_once r_twenty
case_ remove r_gone
# The process that keeps podman's user namespace alive keeps its mounts alive, too.
pkill -KILL -u tester
