#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What soak.sh runs in the VM: soak-guest.sh SECONDS SEED.
# Turn after turn of fuzzer, storms and stress-ng; a turn that fails is told,
# and the next one begins.
set -u
end=$((SECONDS + $1)) seed=$2 turn=0 passed=0 failed=0 skipped=0 compared=0
first=$seed uppers=(ext4 tmpfs xfs)
out=/tmp/soak-turn
bin=/mnt/share/tests
if [ -e /mnt/share/suites/suites.tar ]; then
	tar -C / --keep-directory-symlink -xf /mnt/share/suites/suites.tar
	ldconfig
fi

result() { # STATUS WHAT
	if [ "$1" = 0 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAILED: $2 (status $1)"
	fi
}
# Files and directories, by a program that knows nothing of overlays.
stress() {
	local d=/mnt/ext4/soak m=/mnt/ext4/soak/m rc=0
	command -v stress-ng >/dev/null || return 99
	rm -rf $d
	mkdir -p $d/{l,u,w,m}
	cp -r /usr/share/doc $d/l/ 2>/dev/null
	mount -t overlay_rs -o "lowerdir=$d/l,upperdir=$d/u,workdir=$d/w,redirect_dir=on,metacopy=on" soak $m || return
	for s in dentry dir rename link hdd fallocate xattr chmod; do
		timeout -k 10 300 stress-ng --$s 2 --timeout "$1s" --temp-path $m --seed "$seed" --oom-avoid --skip-silent >/dev/null 2>&1
		case $? in 0 | 3 | 4) ;; *) rc=1 ;; esac
	done
	umount $m || rc=1
	rm -rf $d
	return $rc
}
# For the ledger: the last of these lines counts, so a run that is cut short is not lost.
sums() {
	echo "ledger: soak $first $((seed - 1)) $SECONDS seconds $failed"
	echo "ledger: soak $first $((seed - 1)) $compared comparisons 0"
}
left() { echo $((end - SECONDS)); }
# No longer than what is left.
atmost() { if [ "$(left)" -lt "$1" ]; then left; else echo "$1"; fi; }
while [ "$(left)" -gt 5 ]; do
	turn=$((turn + 1))
	echo "=== turn $turn, $(left) s to go, seed $seed"
	$bin/ovl-fuzz --seed "$seed" --seconds "$(atmost 120)" --jobs 4 --fs tmpfs,ext4,xfs --lower-fs tmpfs,ext4 --out /mnt/share/out |
		tee $out | grep -E '^(---|  |seeds|[0-9]+ cases)'
	result "${PIPESTATUS[0]}" "fuzz from seed $seed"
	compared=$((compared + $(awk '/^ledger: fuzz/ { n = $5 } END { print n + 0 }' $out)))
	seed=$((seed + 1000000))
	sums
	[ "$(left)" -gt 5 ] || break
	$bin/ovl-tests --storm "$(atmost 60)" --fs "${uppers[turn % ${#uppers[@]}]}" --type overlay_rs --timeout 1800 |
		grep -vE '^$|^running|^test result'
	result "${PIPESTATUS[0]}" "storms"
	sums
	[ "$(left)" -gt 5 ] || break
	stress 5
	rc=$?
	if [ $rc = 99 ]; then skipped=$((skipped + 1)); else result $rc stress-ng; fi
	sums
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
