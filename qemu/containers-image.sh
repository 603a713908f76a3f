#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the guest of `make test-containers`: a Debian tree with the container
# runtimes of the archive, unmodified, and the VM's disk of it.
. "$(dirname "$0")/lib.sh"

packages=(
	# the runtimes, and what they run
	podman crun runc conmon netavark golang-github-containers-common catatonit uidmap passt
	buildah skopeo umoci containerd docker.io docker-cli bubblewrap systemd systemd-container
	# what the images are made of, and what a test needs
	busybox-static python3 jq attr libcap2-bin python3-grpcio protobuf-compiler
	kmod mount util-linux e2fsprogs xfsprogs btrfs-progs squashfs-tools procps strace
	iproute2 iptables dbus ca-certificates less psmisc
)

sources() {
	echo "deb $OVL_MIRROR $OVL_SUITE main"
	echo "deb $OVL_SECURITY $OVL_SUITE-security main"
}

build_guest() { # DEST
	rm -rf "$1.new"
	mkdir -p "$1.new"
	sources | mmdebstrap --mode=root --variant=minbase \
		--dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--include="$(IFS=,; echo "${packages[*]}")" "$OVL_SUITE" "$1.new/tree" - ||
		die "the guest tree could not be made: is $OVL_MIRROR reachable from here?"
	# What Kubernetes says to containerd; there is no client for it in the archive.
	"$OVL_QEMU/in-tree.sh" "$1.new/tree" -- sh -ec '
		cd /tmp
		apt-get -o APT::Sandbox::User=root update
		apt-get -o APT::Sandbox::User=root download golang-github-kubernetes-cri-api-dev
		dpkg-deb -x ./*.deb x
		sed /gogoproto/d x/usr/share/gocode/src/k8s.io/cri-api/pkg/apis/runtime/v1/api.proto >cri.proto
		protoc --python_out=/usr/lib/python3/dist-packages cri.proto
		rm -rf /var/lib/apt/lists/*'
	# Where the kernel's driver fails, nothing else may step in unseen.
	[ ! -e "$1.new/tree/usr/bin/fuse-overlayfs" ] || die "the guest has fuse-overlayfs, which would hide failures"
	echo overlay-guest >"$1.new/tree/etc/hostname"
	echo '127.0.0.1 localhost overlay-guest' >"$1.new/tree/etc/hosts"
	: >"$1.new/tree/etc/resolv.conf"
	echo "the guest tree has $(du -sm "$1.new/tree" | cut -f1) MB"
	mv "$1.new" "$1"
}

dir=$OVL_CACHE/guest/$(key containers "${packages[@]}" "$(sources)" "$(declare -f build_guest)")
make_it() {
	if [ ! -e "$dir" ]; then
		need_root
		need_disk 6 "the guest with the container runtimes"
		step "making the guest with the container runtimes (about two minutes)" "$OVL_LOGS/guest-containers.log" build_guest "$dir"
		note "$(grep '^the guest tree has' "$OVL_LOGS/guest-containers.log")"
	fi
	ln -sfn "$dir" "$OVL_CACHE/guest/containers"
}
with_lock guest-containers make_it
"$OVL_QEMU/vm-image.sh" stock containers
