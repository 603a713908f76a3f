# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# The test of the package, part of `deb.sh test`: installs it in a fresh tree
# of Debian with the kernel's headers, of which DKMS builds the module; boots
# the stock kernel with what was installed; removes the package again and looks
# for what it left behind. To be sourced.

release=$(cat "$(kernel_dir)/release")
series=$(grep -oE '^[0-9]+\.[0-9]+' <<<"$release")
tree=$OVL_BUILD/deb/tree
deb_sources() {
	cat <<-S
		deb $OVL_MIRROR $OVL_SUITE main
		deb $OVL_MIRROR $OVL_SUITE-updates main
		deb $OVL_MIRROR $OVL_SUITE-backports main
		deb $OVL_SECURITY $OVL_SUITE-security main
	S
}
inside() { "$OVL_QEMU/in-tree.sh" "$tree" "$OVL_BUILD/deb:/mnt" -- "$@"; }

# The headers and the source come from the cache, as the archive may have moved on.
fresh_tree() {
	rm -rf "$tree"
	deb_sources | mmdebstrap --mode=root --variant=apt --include=ca-certificates "$OVL_SUITE" "$tree" -
	deb_sources >"$tree/etc/apt/sources.list"
	echo force-unsafe-io >"$tree/etc/dpkg/dpkg.cfg.d/no-sync"
	mkdir -p "$OVL_BUILD/deb/kernel"
	cp "$OVL_CACHE/debs/kernel"/linux-{base,headers}-"$release"_*.deb "$OVL_CACHE/debs/kernel/linux-source-${series}"_*.deb "$OVL_BUILD/deb/kernel/"
	inside apt-get update
	# What the package may not leave behind is judged by this.
	inside sh -ec 'apt-get install -y --no-install-recommends dkms /mnt/kernel/linux-headers-*.deb /mnt/kernel/linux-base-*.deb'
	inside_files >"$OVL_BUILD/deb/before"
}
inside_files() { (cd "$tree" && { find etc usr/lib/modules usr/sbin usr/share/overlay_rs usr/src var/cache/overlay_rs var/lib/dkms 2>/dev/null || true; } | grep -vE '/(modules\.|__pycache__)|^etc/(ld.so.cache|alternatives|.*-$)|mok\.(key|pub)' | sort) }

install_it() {
	inside sh -ec 'apt-get install -y --no-install-recommends /mnt/kernel/linux-source-*.deb "/mnt/$1"' sh "$(basename "$pkg")"
	inside dkms status
	inside dkms status | grep -q "overlay_rs/$version, $release, x86_64: installed"
	inside modinfo -F vermagic "/lib/modules/$release/updates/dkms/overlay_rs.ko"
	du -sm "$tree/var/cache/overlay_rs"
}

# In the VM, whose Debian has no package of ours: the files of this one are laid over it.
boot_it() {
	local ship=$OVL_BUILD/deb/ship
	rm -rf "$ship"
	mkdir -p "$ship"
	(cd "$tree" && tar -c "usr/lib/modules/$release/updates" usr/share/overlay_rs usr/sbin/mount.overlay_rs usr/sbin/overlay_rs-as-overlay) >"$ship/files.tar"
	cp "$OVL_QEMU/deb-guest.sh" "$ship/"
	"$OVL_QEMU/boot.sh" --ko none --share "$ship:deb" "bash /mnt/share/deb/deb-guest.sh"
}

remove_it() {
	# Switched on when it is removed: that shall not leave the machine without overlay.
	ln -s /usr/share/overlay_rs/as-overlay.conf "$tree/etc/modprobe.d/overlay_rs-as-overlay.conf"
	inside sh -ec 'apt-get purge -y overlay-rs-dkms'
	inside_files | grep -v "linux-source" >"$OVL_BUILD/deb/after"
	diff <(grep overlay_rs "$OVL_BUILD/deb/before") <(grep -i overlay_rs "$OVL_BUILD/deb/after") || die "the removed package left something behind"
	[ ! -e "$tree/lib/modules/$release/updates/dkms/overlay_rs.ko" ] || die "the module is still installed"
}

# The same deed, with the source of the kernel missing at first: nothing fails, and it is made up for.
late_source() {
	inside sh -ec 'apt-get purge -y linux-source-'"$series"
	inside sh -ec 'dpkg --force-depends -i "/mnt/$1" && dkms status' sh "$(basename "$pkg")"
	! inside dkms status | grep installed || die "the module was built without the source"
	inside sh -ec 'dpkg -i /mnt/kernel/linux-source-*.deb'
	inside dkms status | grep -q "overlay_rs/$version, $release, x86_64: installed"
}

"$OVL_QEMU/prepare.sh" vm
step "a fresh Debian tree with the headers of $release (about a minute)" "$OVL_BUILD/deb/tree.log" fresh_tree
step "apt install $(basename "$pkg"): DKMS builds the module (some minutes)" "$OVL_BUILD/deb/install.log" install_it
note "the kernel tree that stays in /var/cache/overlay_rs: $(tail -n 1 "$OVL_BUILD/deb/install.log" | cut -f1) MB"
say "the stock kernel with what was installed"
boot_it
step "removing the package" "$OVL_BUILD/deb/remove.log" remove_it
step "installing it before the source of the kernel" "$OVL_BUILD/deb/late.log" late_source
step "removing it again" "$OVL_BUILD/deb/remove.log" remove_it
say "the package $version is good for $release"
