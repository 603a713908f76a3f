# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# containerd with runc, through ctr. To be sourced by run.sh.

quiet_start() {
	mkdir -p /etc/containerd
	containerd >/tmp/containerd.log 2>&1 </dev/null &
	containerd_pid=$!
	for _ in {1..120}; do
		ctr version >/dev/null 2>&1 && return 0
		sleep 0.5
	done
	tail -n 5 /tmp/containerd.log
	return 1
}
ctr_img=localhost/ovl/test:1
imports() { quiet ctr image import --snapshotter overlayfs "$images/test.tar" && ctr image ls -q; }
ctr_lists() { ctr run --rm $ctr_img l1 /list; }
ctr_changes() { quiet ctr run $ctr_img w1 /change && "$here/images.py" tree "$(ctr snapshots mounts /tmp/x w1 | grep -oE 'upperdir=[^, ]*' | cut -d= -f2)"; }
ctr_diff() { ctr snapshots diff w1 | zcat -f | "$here/images.py" tar -; }
ctr_live_diff() {
	ctr run -d $ctr_img live sh -c 'echo x >/live; rm /mv; sleep 600' >&2
	sleep 3
	ctr snapshots diff live | zcat -f | "$here/images.py" tar -
	ctr task kill -s 9 live >&2
	sleep 1
	ctr task rm -f live >&2 || true
	ctr container rm live >&2
}
ctr_read_only() { ctr run --rm --read-only $ctr_img ro sh -c 'touch /x || echo refused; cat /hl2'; }
ctr_mounts() { mkdir -p /mnt/ext4/cm && quiet ctr image mount --rw $ctr_img /mnt/ext4/cm && rm -r /mnt/ext4/cm/many && echo x >/mnt/ext4/cm/x && "$here/images.py" tree /mnt/ext4/cm; rc=$?; quiet ctr image unmount --rm /mnt/ext4/cm; return $rc; }
# The pod's first process does nothing but wait; ours is a busybox that does.
pod() {
	ctr -n k8s.io image import --snapshotter overlayfs "$images/test.tar" >&2
	"$here/images.py" pause "$(sed -nE 's/ *sandbox_image = "(.*)"/\1/p' <(containerd config default))" "$images/pause.tar"
	ctr -n k8s.io image import --snapshotter overlayfs "$images/pause.tar" >&2
	"$here/cri.py" run localhost/ovl/test:1
	ctr -n k8s.io image ls -q | xargs ctr -n k8s.io image rm --sync >&2
}
# What a container wrote becomes a layer, and that is mounted, to read and to write.
ctr_commit() {
	local m
	quiet ctr snapshots commit ovl-done w1
	# What nothing refers to goes when something else is removed.
	quiet ctr snapshots label ovl-done containerd.io/gc.root=now
	mkdir -p /mnt/ext4/cm
	# By mount(2), as containerd mounts: fsconfig(2) takes no option of that length.
	export LIBMOUNT_FORCE_MOUNT2=always
	quiet ctr snapshots view ovl-view ovl-done
	quiet ctr snapshots label ovl-view containerd.io/gc.root=now
	m=$(ctr snapshots mounts /mnt/ext4/cm ovl-view)
	sh -ec "$m"
	"$here/images.py" tree /mnt/ext4/cm
	umount /mnt/ext4/cm
	quiet ctr snapshots prepare ovl-next ovl-done
	m=$(ctr snapshots mounts /mnt/ext4/cm ovl-next)
	sh -ec "$m"
	chroot /mnt/ext4/cm /bin/sh -c 'rm -r /a /many; echo x >/x; cat /new; ls /'
	umount /mnt/ext4/cm
	ctr snapshots diff ovl-next | zcat -f | "$here/images.py" tar -
	quiet ctr snapshots rm ovl-view
	quiet ctr snapshots rm ovl-next
	quiet ctr snapshots rm ovl-done
	quiet ctr container rm --keep-snapshot w1
}
ctr_export() { quiet ctr image export /tmp/exported.tar $ctr_img && tar -tf /tmp/exported.tar | sort && rm /tmp/exported.tar; }
ctr_exec() {
	quiet ctr run -d $ctr_img e1 sh -c 'echo one >/x; : >/done; sleep 600'
	ctr task exec --exec-id a e1 sh -c 'until [ -e /done ]; do sleep 1; done; ln /x /y; rm /etc/added; stat -c %h /x; ls /etc'
	quiet stop_container e1
}
ctr_userns() { ctr run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 --remap-labels $ctr_img n1 sh -c 'stat -c "%u:%g %a %n" /suid /sgid /many/f0007; cat /proc/self/uid_map; chown 7:8 /mv; stat -c %u:%g /mv; echo x >/new; rm -r /opq; ls /'; }
ctr_inside() {
	ctr run --rm --privileged $ctr_img i1 sh -ec 'mkdir -p /tmp/t && mount -t tmpfs t /tmp/t && cd /tmp/t && mkdir l u w m && echo 1 >l/f
		mount -t overlay overlay -o lowerdir=l:/dir,upperdir=u,workdir=w m && cat m/f m/file && echo 2 >>m/f && rm m/file && ls m u && cat u/f && umount m'
}
stop_container() { # NAME
	ctr task kill -s 9 "$1" || true
	for _ in {1..60}; do ctr task rm "$1" 2>/dev/null && break; sleep 0.5; done
	ctr container rm "$1"
}
ctr_twenty() {
	local i
	for i in {1..20}; do quiet ctr run -d $ctr_img "m$i" sh -c "echo $i >/number; rm -r /many; : >/done; sleep 600"; done
	twenty_roots
	for i in {1..20}; do quiet stop_container "m$i"; done
}
ctr_layers_120() {
	local deep=localhost/ovl/deep:1
	quiet ctr image import --snapshotter overlayfs "$(deep_image)"
	ctr run --rm $deep d1 sh -c 'ls /l; cat /l/last; rm /l/f119; echo x >/l/last; mv /l/f118 /l/f1; rm -r /root; ls -a / /l'
	quiet ctr run $deep d2 sh -c 'rm /l/f119; echo x >/l/last'
	ctr snapshots diff d2 | zcat -f | "$here/images.py" tar -
	quiet ctr container rm d2
	quiet ctr image rm --sync $deep
}
ctr_gone() { ctr image rm --sync $ctr_img; ctr snapshots ls | wc -l; none_left /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots; }

if quiet_start; then
	case_ info sh -c "ctr plugins ls | grep -w overlayfs | awk '{ print \$2, \$NF }'"
	case_ import imports
	case_ run ctr_lists
	case_ write ctr_changes
	case_ diff ctr_diff
	case_ commit_and_mount ctr_commit
	case_ export ctr_export
	case_ diff_while_it_runs ctr_live_diff
	case_ exec ctr_exec
	case_ read_only ctr_read_only
	case_ userns ctr_userns
	case_ image_mount ctr_mounts
	case_ overlay_inside ctr_inside
	case_ twenty_at_once ctr_twenty
	case_ layers_120 ctr_layers_120
	case_ kubernetes_pod pod
	case_ remove ctr_gone
	kill $containerd_pid
	wait $containerd_pid 2>/dev/null
else
	case_ started false
fi
