#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Makes the Debian package overlay-rs-dkms in $OVL_BUILD/deb: the sources of
# the module, how DKMS builds them, the mount helper, the manual page and the
# switch that lets it serve the type `overlay`.
#   deb.sh          make it, in the toolchain tree
#   deb.sh test     and install it in a fresh Debian tree, boot what came of it, remove it again
. "$(dirname "$0")/lib.sh"

version=$(cat "$MODULE_DIR/packaging/version")
out=$OVL_BUILD/deb
pkg=$out/overlay-rs-dkms_${version}_amd64.deb

# What the module is made of: all but tests, demonstration and harness.
sources() {
	(cd "$MODULE_DIR" && find Kbuild COPYING ./*.rs packaging/dkms-build.sh copy_up dir inode overlay rules super_ vfs xattr \
		-type f ! -path '*/target/*' ! -name '*generated.rs' ! -name layout.s \
		\( -name '*.rs' -o -name '*.[ch]' -o -name '*.sh' -o -name Kbuild -o -name COPYING -o -name bindgen_parameters \))
}

stage() { # DIR
	local f root=$1 src=$1/usr/src/overlay_rs-$version p=$MODULE_DIR/packaging
	rm -rf "$root"
	while read -r f; do install -D -m 644 "$MODULE_DIR/$f" "$src/$f"; done < <(sources)
	chmod 755 "$src/packaging/dkms-build.sh"
	fill "$p/dkms.conf" "$src/dkms.conf" 644
	install -D -m 755 "$p/mount.overlay_rs.sh" "$root/usr/sbin/mount.overlay_rs"
	install -D -m 755 "$p/overlay_rs-as-overlay.sh" "$root/usr/sbin/overlay_rs-as-overlay"
	install -D -m 644 "$p/as-overlay.conf" "$root/usr/share/overlay_rs/as-overlay.conf"
	install -d "$root/usr/share/man/man5" "$root/usr/share/man/man8" "$root/usr/share/doc/overlay-rs-dkms"
	gzip -9nc "$p/overlay_rs.5" >"$root/usr/share/man/man5/overlay_rs.5.gz"
	for f in overlay_rs-as-overlay mount.overlay_rs; do gzip -9nc "$p/$f.8" >"$root/usr/share/man/man8/$f.8.gz"; done
	install -m 644 "$MODULE_DIR/README.md" "$p/debian/copyright" "$root/usr/share/doc/overlay-rs-dkms/"
	mkdir -p "$root/DEBIAN"
	fill "$p/debian/control" "$root/DEBIAN/control" 644
	for f in postinst prerm postrm; do fill "$p/debian/$f" "$root/DEBIAN/$f" 755; done
	grep -v '^#' "$p/debian/triggers" >"$root/DEBIAN/triggers"
	echo "Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)" >>"$root/DEBIAN/control"
	(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
}
fill() { # FROM TO MODE: the version in its place
	sed "s/@VERSION@/$version/g" "$1" >"$2"
	chmod "$3" "$2"
}

make_deb() {
	stage "$out/stage"
	# The same sources make the same package, bit by bit.
	SOURCE_DATE_EPOCH=$(git -C "$MODULE_DIR" log -1 --format=%ct 2>/dev/null || echo 1)
	find "$out/stage" -exec touch -hd "@$SOURCE_DATE_EPOCH" {} +
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$out:/deb" -- \
		env "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" dpkg-deb --root-owner-group -Zxz --build /deb/stage "/deb/$(basename "$pkg")"
	rm -rf "$out/stage"
}

mkdir -p "$out"
"$OVL_QEMU/host-deps.sh" build
"$OVL_QEMU/tree.sh"
step "making the package overlay-rs-dkms $version" "$OVL_BUILD/deb/deb.log" make_deb
note "$pkg"
# shellcheck source=deb-test.sh
[ "${1:-}" != test ] || . "$OVL_QEMU/deb-test.sh"
