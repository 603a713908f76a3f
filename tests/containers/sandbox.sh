# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2154,SC2016
# Those that use overlays without images: bubblewrap, systemd-nspawn, systemd-sysext, and the way
# newer runc seals its own program. To be sourced by run.sh.

b=/mnt/ext4/sandbox
sandbox_new() { # OWNER
	rm -rf $b
	mkdir -p $b/{l1,l2/d,u,w,m}
	echo one >$b/l1/f
	echo two >$b/l2/f
	echo two >$b/l2/g
	echo deep >$b/l2/d/h
	chown -R "$1" $b
}
change_m='cd m; cat f g d/h; echo more >>g; rm f; mv d e 2>/dev/null || echo EXDEV; mkdir n; echo x >n/x; ls; stat -f -c %T .'
as_user_1000() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
bw() { (cd $b && bwrap --bind / / --dev /dev "$@"); }
bw_user() { (cd $b && as_user_1000 bwrap --unshare-user --bind / / --dev /dev "$@"); }

bw_overlay() { sandbox_new 0:0; bw --overlay-src $b/l2 --overlay-src $b/l1 --overlay $b/u $b/w $b/m sh -c "$change_m"; "$here/images.py" tree $b/u; }
bw_tmp() { sandbox_new 0:0; bw --overlay-src $b/l2 --overlay-src $b/l1 --tmp-overlay $b/m sh -c "$change_m"; ls $b/u; }
bw_ro() { sandbox_new 0:0; bw --overlay-src $b/l2 --overlay-src $b/l1 --ro-overlay $b/m sh -c 'cat m/f m/d/h; touch m/x || echo refused'; }
bw_user_overlay() { sandbox_new 1000:1000; bw_user --overlay-src $b/l2 --overlay-src $b/l1 --overlay $b/u $b/w $b/m sh -c "$change_m"; "$here/images.py" tree $b/u; }
bw_user_tmp() { sandbox_new 1000:1000; bw_user --overlay-src $b/l2 --tmp-overlay $b/m sh -c "$change_m"; }
bw_same_twice() { sandbox_new 0:0; bw --overlay-src $b/l2 --overlay-src $b/l2 --ro-overlay $b/m true 2>&1 || echo "refused"; }

root_of_busybox() {
	rm -rf /mnt/ext4/nroot
	mkdir -p /mnt/ext4/nroot/{bin,etc,proc,sys,dev,run,tmp,usr,var,root,merged}
	cp /bin/busybox /mnt/ext4/nroot/bin/
	chroot /mnt/ext4/nroot /bin/busybox --install -s /bin
	echo 'ID=busybox' >/mnt/ext4/nroot/etc/os-release
	echo kept >/mnt/ext4/nroot/etc/kept
}
nspawn() { systemd-nspawn -q --register=no --keep-unit --console=pipe --private-users=no --as-pid2 -D /mnt/ext4/nroot "$@"; }
ns_overlay() { root_of_busybox; sandbox_new 0:0; nspawn --overlay=$b/l2:$b/l1:$b/u:/merged sh -c "cd /; ${change_m/cd m/cd merged}"; "$here/images.py" tree $b/u; }
ns_overlay_ro() { sandbox_new 0:0; nspawn --overlay-ro=$b/l2:$b/l1:/merged sh -c 'cat /merged/f /merged/g; touch /merged/x || echo refused'; }
ns_volatile() { mkdir -p /mnt/ext4/nroot/usr/bin; nspawn --volatile=overlay sh -c 'echo x >/etc/new; rm /etc/kept; ls /etc; stat -f -c %T /'; ls /mnt/ext4/nroot/etc; }

extension() {
	mkdir -p /var/lib/extensions/test/usr/{lib/extension-release.d,share/ovl-test}
	echo ID=_any >/var/lib/extensions/test/usr/lib/extension-release.d/extension-release.test
	echo extended >/var/lib/extensions/test/usr/share/ovl-test/file
}
sx_merge() { extension; systemd-sysext merge 2>&1 | grep -o 'Merged.*\|Using ext.*'; cat /usr/share/ovl-test/file; findmnt -no FSTYPE,SOURCE /usr; touch /usr/x || echo refused; quiet systemd-sysext unmerge; test ! -e /usr/share/ovl-test && echo gone; }
sx_mutable() { extension; mkdir -p /var/lib/extensions.mutable/usr; quiet systemd-sysext merge --mutable=yes; echo changed >/usr/share/ovl-test/file; echo n >/usr/share/ovl-new; quiet systemd-sysext unmerge; (cd /var/lib/extensions.mutable && find usr -type f -exec cat {} +); cat /var/lib/extensions/test/usr/share/ovl-test/file; rm -rf /var/lib/extensions.mutable /var/lib/extensions/test; }
# The same for /etc.
cx_merge() {
	mkdir -p /var/lib/confexts/test/etc/extension-release.d
	echo ID=_any >/var/lib/confexts/test/etc/extension-release.d/extension-release.test
	echo extended >/var/lib/confexts/test/etc/ovl-test
	quiet systemd-confext merge
	cat /etc/ovl-test
	findmnt -no FSTYPE,SOURCE /etc
	quiet systemd-confext refresh
	quiet systemd-confext unmerge
	test ! -e /etc/ovl-test && echo gone
	rm -rf /var/lib/confexts/test
}
bw_twenty() {
	local i pids=()
	sandbox_new 0:0
	for i in {1..20}; do
		mkdir "$b/u$i" "$b/w$i"
		bw --overlay-src $b/l2 --overlay-src $b/l1 --overlay "$b/u$i" "$b/w$i" $b/m sh -c "echo $i >>m/f; rm m/g; sleep 5; cat m/f" >"$b/out$i" 2>&1 &
		pids+=($!)
	done
	wait "${pids[@]}"
	for i in {1..20}; do cat "$b/out$i" "$b/u$i/f"; done
}
sealed() { "$here/seal.py"; }

case_ bwrap_overlay bw_overlay
case_ bwrap_tmp_overlay bw_tmp
case_ bwrap_ro_overlay bw_ro
case_ bwrap_user_overlay bw_user_overlay
case_ bwrap_user_tmp_overlay bw_user_tmp
case_ bwrap_twenty_at_once bw_twenty
case_ bwrap_same_layer_twice bw_same_twice
case_ nspawn_overlay ns_overlay
case_ nspawn_overlay_ro ns_overlay_ro
case_ nspawn_volatile ns_volatile
case_ sysext_merge sx_merge
case_ sysext_mutable sx_mutable
case_ confext_merge cx_merge
case_ runc_seal sealed
rm -rf $b /mnt/ext4/nroot
