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
gone() { quiet buildah rm -a; quiet buildah rmi -fa; ls /var/lib/containers/storage/overlay; }

case_ skopeo_copy copy_in
case_ from_and_run from
case_ change_and_mount changed
case_ commit committed
case_ copy copied
case_ from_scratch scratch
case_ skopeo_to_oci to_oci
case_ umoci_unpack unpacked
case_ remove gone
