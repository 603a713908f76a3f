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
ctr_gone() { ctr container rm w1 >&2 || true; ctr image rm --sync $ctr_img; ctr snapshots ls | wc -l; }

if quiet_start; then
	case_ plugins sh -c "ctr plugins ls | grep -w overlayfs | awk '{ print \$2, \$NF }'"
	case_ import imports
	case_ run ctr_lists
	case_ write ctr_changes
	case_ diff ctr_diff
	case_ diff_while_it_runs ctr_live_diff
	case_ read_only ctr_read_only
	case_ image_mount ctr_mounts
	case_ kubernetes_pod pod
	case_ remove ctr_gone
	kill $containerd_pid
	wait $containerd_pid 2>/dev/null
else
	case_ started false
fi
