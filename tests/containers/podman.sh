# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# podman as root, with crun, or with what runc.sh names. To be sourced by run.sh.

oci=${oci:-crun}
run=(podman --runtime "$oci" run --net=none --log-driver=k8s-file)
# (runc has none of this)
[ "$oci" != crun ] || run+=(--cgroups=disabled)
img=localhost/ovl/test:1

info() { podman info --format json | jq -S '.store.graphStatus | del(.["Backing Filesystem"])'; }
loads() { quiet podman load -i "$images/test.tar" && podman image ls --format '{{.Repository}}:{{.Tag}}'; }
lists() { "${run[@]}" --rm $img /list; }
change_once() { quiet "${run[@]}" --name c1 $img /change && podman diff c1 | sort; }
in_upper() { "$here/images.py" tree "$(podman inspect c1 --format '{{.GraphDriver.Data.UpperDir}}')"; }
commits() { quiet podman commit -q c1 localhost/ovl/done:1 && "${run[@]}" --rm localhost/ovl/done:1 /list; }
exports() { podman export c1 | "$here/images.py" tar -; }
saves() { quiet podman save -q -o /tmp/saved.tar localhost/ovl/done:1 && "$here/images.py" top /tmp/saved.tar && rm /tmp/saved.tar; }
copies() { echo copied >/tmp/copied && podman cp /tmp/copied c1:/etc/copied && podman cp c1:/etc/copied - | "$here/images.py" tar -; }
read_only() { "${run[@]}" --rm --read-only --read-only-tmpfs=false $img sh -c 'touch /x || echo refused; cat /etc/added'; }
volume() {
	mkdir -p /mnt/ext4/volume && echo outside >/mnt/ext4/volume/f
	"${run[@]}" --rm -v /mnt/ext4/volume:/v:O $img sh -c 'echo inside >>/v/f; cat /v/f; rm /v/f; ls -a /v'
	cat /mnt/ext4/volume/f
}
userns() { "${run[@]}" --rm --userns=auto:size=4000 $img sh -c 'stat -c "%u:%g %a %n" /suid /sgid /many/f0007; echo x >/etc/keep; chown 7:8 /mv; stat -c "%u:%g" /mv; cat /etc/keep; cat /proc/self/uid_map | wc -l'; }
as_user() { "${run[@]}" --rm -u 1000:1000 $img sh -c 'id -u; cat /etc/keep; touch /etc/x || echo refused; touch /tmp/x && ls -ln /tmp/x | cut -c1-20'; }
image_mount() { "${run[@]}" --rm --mount type=image,src=$img,dst=/i $img sh -c 'ls /i /i/opq2; cat /i/hl2; touch /i/x || echo refused'; }
image_mount_rw() { "${run[@]}" --rm --mount type=image,src=$img,dst=/i,rw=true $img sh -c 'echo x >/i/new; cat /i/new; rm /i/mv; ls /i'; }
mounted_outside() { m=$(podman image mount $img) && "$here/images.py" tree "$m" | md5sum && quiet podman image umount $img; }
builds() {
	mkdir -p /tmp/build && echo context >/tmp/build/context
	printf '%s\n' "FROM $img" 'RUN /change' 'COPY context /etc/context' 'RUN rm /new && chmod 700 /opq2' >/tmp/build/Dockerfile
	quiet podman build -q --network=host --isolation=chroot -t localhost/ovl/built:1 /tmp/build
	"${run[@]}" --rm localhost/ovl/built:1 /list
}
starts_again() { quiet "${run[@]}" --name c2 $img sh -c 'echo $((1 + $(cat /count || echo 0))) >/count' && quiet podman start -a c2 && quiet podman start -a c2 && podman diff c2 && podman cp c2:/count - | tar -xO; }
executes() {
	quiet "${run[@]}" -d --name c3 $img sleep 600
	quiet podman exec c3 sh -c 'echo one >/x; ln /x /y; rm /etc/added'
	podman exec c3 sh -c 'cat /y; stat -c %h /x; ls /etc'
	podman diff c3 | sort
	quiet podman kill c3
	quiet podman rm -f c3
}
twenty() {
	local i
	for i in {1..20}; do quiet "${run[@]}" -d --name "m$i" $img sh -c "echo $i >/number; rm -r /many; : >/done; sleep 600"; done
	twenty_roots
	quiet podman rm -f -t 0 m{1..20}
}
rootfs() { "${run[@]}" --rm --rootfs /mnt/lower:O sh -c 'grep ^ID= /etc/os-release; rm -r /usr/share/doc; echo x >/etc/debian_version; cat /etc/debian_version; dpkg -s bash | grep ^Status'; grep -c . /mnt/lower/etc/debian_version; }
inside() {
	"${run[@]}" --rm --privileged $img sh -ec 'mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && cd /tmp/t && mkdir l u w m && echo 1 >l/f
		mount -t overlay overlay -o lowerdir=l:/dir,upperdir=u,workdir=w m && cat m/f m/file && echo 2 >>m/f && rm m/file && ls m u && cat u/f && umount m'
}
# A container that runs containers: its root is an overlay of the machine's own root.
nested() {
	mkdir -p /mnt/ext4/nested
	quiet "${run[@]}" --name outer --privileged -v /mnt/ext4/nested:/var/lib/containers -v "$images:/images:ro" --rootfs /:O sh -ec "
		podman load -q -i /images/test.tar
		podman run --net=none --cgroups=disabled --log-driver=k8s-file --name inner $img /change
		podman diff inner | sort >/var/lib/containers/diff
		podman commit -q inner localhost/ovl/inner:1
		podman run --net=none --cgroups=disabled --log-driver=k8s-file --rm localhost/ovl/inner:1 /list >/var/lib/containers/list
		podman rm -f -t 0 m{1..20}
		podman rmi -fa"
	quiet podman rm -f outer
	cat /mnt/ext4/nested/diff /mnt/ext4/nested/list
	ls /mnt/ext4/nested/storage/overlay
	rm -rf /mnt/ext4/nested
}
# A machine is switched over: what was made on the other module is used on this one, and back.
switch_to() { # overlay|overlay_rs
	quiet podman stop -a
	quiet podman umount -a
	# podman's own end of a container comes after that of its process.
	for _ in {1..60}; do grep -q ' - overlay ' /proc/self/mountinfo || break; sleep 0.5; done
	serve "$1"
}
across() {
	local other=overlay_rs
	[ "$type" = overlay ] || other=overlay
	switch_to $other
	quiet podman load -i "$images/test.tar"
	quiet "${run[@]}" --name a1 $img /change
	switch_to "$type"
	podman diff a1 | sort
	quiet podman commit -q a1 localhost/ovl/across:1
	"${run[@]}" --rm localhost/ovl/across:1 /list
	quiet "${run[@]}" --name a2 localhost/ovl/across:1 sh -c 'rm -r /a /etc/added; mv /opq2/new /etc/keep; echo x >>/big'
	switch_to $other
	podman diff a2 | sort
	podman export a2 | "$here/images.py" tar -
	"${run[@]}" --rm localhost/ovl/across:1 /list
	quiet podman rm -f a1 a2
	quiet podman rmi localhost/ovl/across:1
}
layers_120() {
	local deep=localhost/ovl/deep:1
	quiet podman load -q -i "$(deep_image)"
	"${run[@]}" --rm $deep sh -c 'ls /l; cat /l/last'
	quiet "${run[@]}" --name d1 $deep sh -c 'rm /l/f119; echo x >/l/last; mv /l/f118 /l/f1; rm -r /root'
	podman diff d1 | sort
	quiet podman commit -q d1 localhost/ovl/deeper:1
	"${run[@]}" --rm localhost/ovl/deeper:1 ls -a / /l
	podman export d1 | "$here/images.py" tar - | grep -v '^bin/'
	quiet podman rm d1
	quiet podman rmi localhost/ovl/deeper:1 $deep
}
removes() { quiet podman rm -fa -t 0; quiet podman rmi -fa; podman system df --format '{{.Type}} {{.Total}} {{.Size}}'; ls /var/lib/containers/storage/overlay; find /var/lib/containers/storage/overlay/l -mindepth 1 | wc -l; none_left /var/lib/containers/storage/overlay; }

[ "$oci" != crun ] || case_ info info
case_ import loads
case_ run lists
case_ write_and_diff change_once
case_ what_is_in_the_upper in_upper
case_ commit_and_run commits
case_ export exports
case_ read_only read_only
case_ volume_O volume
case_ userns_auto userns
case_ as_user as_user
case_ image_mount image_mount
case_ image_mount_rw image_mount_rw
case_ start_again starts_again
case_ exec executes
case_ twenty_at_once twenty
case_ overlay_inside inside
# What has nothing to do with the runtime below podman.
if [ "$oci" = crun ]; then
	case_ save saves
	case_ cp copies
	case_ image_mounted_outside mounted_outside
	case_ build builds
	case_ rootfs_O rootfs
	case_ layers_120 layers_120
	case_ nested nested
	case_ made_on_the_other_module across
	[ ! -e "$out/$type/podman.made_on_the_other_module" ] || switch_to "$type"
fi
case_ remove removes
unset oci
