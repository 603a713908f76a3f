# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# buildah, skopeo and umoci. To be sourced by run.sh.

copy_in() { quiet skopeo copy "docker-archive:$images/test.tar" containers-storage:localhost/ovl/test:1 && skopeo inspect containers-storage:localhost/ovl/test:1 | jq '.Layers | length'; }
from() { buildah from --name b1 localhost/ovl/test:1 && buildah run --isolation=chroot b1 /list; }
changed() { quiet buildah run --isolation=chroot b1 /change && m=$(buildah mount b1) && "$here/images.py" tree "$m" && quiet buildah umount b1; }
committed() { quiet buildah commit -q b1 localhost/ovl/built:1 && buildah from --name b2 localhost/ovl/built:1 && buildah run --isolation=chroot b2 /list; }
copied() { echo c >/tmp/c && quiet buildah copy b2 /tmp/c /etc/c && buildah run --isolation=chroot b2 cat /etc/c; }
scratch() { quiet buildah from --name s scratch && m=$(buildah mount s) && mkdir -p "$m/a/b" && echo x >"$m/a/b/c" && quiet buildah umount s && quiet buildah commit -q s localhost/ovl/scratch:1 && quiet skopeo copy containers-storage:localhost/ovl/scratch:1 docker-archive:/tmp/s.tar && "$here/images.py" top /tmp/s.tar; rm -f /tmp/s.tar; }
to_oci() { rm -rf /tmp/oci; quiet skopeo copy containers-storage:localhost/ovl/built:1 oci:/tmp/oci:built && umoci ls --layout /tmp/oci && jq '.layers | length' "/tmp/oci/blobs/sha256/$(jq -r '.manifests[0].digest' /tmp/oci/index.json | cut -d: -f2)"; }
# umoci unpacks plainly; the bundle then is a lower layer of a mount of ours.
unpacked() {
	rm -rf /mnt/ext4/bundle /mnt/ext4/bu
	quiet umoci unpack --image /tmp/oci:built /mnt/ext4/bundle
	mkdir -p /mnt/ext4/bu/{u,w,m}
	mount -t overlay overlay -o lowerdir=/mnt/ext4/bundle/rootfs,upperdir=/mnt/ext4/bu/u,workdir=/mnt/ext4/bu/w /mnt/ext4/bu/m
	chroot /mnt/ext4/bu/m /bin/sh -c 'echo x >/from-chroot; rm /suid; mv /a/e /moved'
	"$here/images.py" tree /mnt/ext4/bu/u
	"$here/images.py" tree /mnt/ext4/bu/m
	umount /mnt/ext4/bu/m
	rm -rf /mnt/ext4/bundle /mnt/ext4/bu
}
built() {
	mkdir -p /tmp/bb && echo context >/tmp/bb/context
	printf '%s\n' 'FROM localhost/ovl/test:1' 'RUN /change' 'COPY context /etc/context' 'RUN rm /new && chmod 700 /opq2' 'RUN rm -r /many' >/tmp/bb/Dockerfile
	quiet buildah build --isolation=chroot --layers -t localhost/ovl/layered:1 /tmp/bb
	# The second time, out of what the first one left.
	quiet buildah build --isolation=chroot --layers -t localhost/ovl/layered:2 /tmp/bb
	quiet buildah from --name b3 localhost/ovl/layered:2
	buildah run --isolation=chroot b3 /list
	skopeo inspect containers-storage:localhost/ovl/layered:2 | jq '.Layers | length'
}
b_volume() {
	mkdir -p /mnt/ext4/bvolume && echo outside >/mnt/ext4/bvolume/f
	buildah run --isolation=chroot -v /mnt/ext4/bvolume:/v:O b1 sh -c 'echo inside >>/v/f; cat /v/f; rm /v/f; ls -a /v'
	cat /mnt/ext4/bvolume/f
}
b_twenty() {
	local i m
	for i in {1..20}; do quiet buildah from --name "m$i" localhost/ovl/test:1 && m=$(buildah mount "m$i") && echo "$i" >"$m/number" && rm -r "$m/many" && : >"$m/done"; done
	twenty_roots
	for i in {1..20}; do quiet buildah umount "m$i" && quiet buildah rm "m$i"; done
}
gone() { quiet buildah rm -a; quiet buildah rmi -fa; none_left /var/lib/containers/storage/overlay; }

case_ skopeo_import copy_in
case_ from_and_run from
case_ change_and_mount changed
case_ volume_O b_volume
case_ commit_and_run committed
case_ copy copied
case_ from_scratch scratch
case_ skopeo_to_oci to_oci
case_ umoci_unpack unpacked
case_ build_in_layers built
case_ twenty_at_once b_twenty
case_ remove gone
