#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What soak.sh runs in the VM: soak-guest.sh SECONDS SEED [CAMPAIGN=SEED]...
# Turn after turn of fuzzer, damaged layers, faults, storms and stress-ng; a
# turn that fails is told, and the next one begins. SEED is the first of the
# fuzzer, the others that of each campaign.
set -u
end=$((SECONDS + $1)) seed=$2 turn=0 passed=0 failed=0 skipped=0 compared=0
shift 2
first=$seed uppers=(ext4 tmpfs xfs) faults=(errors io crash quota signals eio)
out=/tmp/soak-turn
bin=/mnt/share/tests
# Of each campaign: its first and last seed, what it counted, and what of.
declare -A from=() to=() count=() unit=() findings=()
for given in "$@"; do
	from[${given%=*}]=${given#*=} to[${given%=*}]=$((${given#*=} - 1))
done
# Damaged layers make the kernel say much: not on the slow console. Short grace periods: more is
# done, and nothing lives on by chance.
dmesg -n 3
echo 1 >/sys/kernel/rcu_expedited
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
# Runs a campaign that goes on where its last turn ended: campaign NAME COMMAND ARG...
campaign() {
	local name=$1 status last n what bad
	shift
	"$@" --seed $((${to[$name]:-0} + 1)) >$out 2>&1
	status=$?
	grep -E '^(---|  |FINDING|ovl-|[0-9]+ (cases|passed))' $out
	result $status "$name from seed $((${to[$name]:-0} + 1))"
	read -r _ _ _ last n what bad < <(grep "^ledger: $name " $out | tail -n 1)
	[ -n "${bad:-}" ] || return
	to[$name]=$last unit[$name]=$what
	count[$name]=$((${count[$name]:-0} + n)) findings[$name]=$((${findings[$name]:-0} + bad))
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
		# What waits for good is found by the kernel; this is for a machine that has other things to do.
		timeout -k 10 1200 stress-ng --$s 2 --timeout "$1s" --temp-path $m --seed "$seed" --oom-avoid --skip-silent >/dev/null 2>&1 || {
			case $? in
			3 | 4) ;;
			*) echo "stress-ng --$s: status $?, $(left) s to go" && rc=1 ;;
			esac
		}
	done
	umount $m || rc=1
	rm -rf $d
	return $rc
}
# For the ledger: the last of these lines counts, so a run that is cut short is not lost.
sums() {
	local c
	echo "ledger: soak $first $((seed - 1)) $SECONDS seconds $failed"
	echo "ledger: soak $first $((seed - 1)) $compared comparisons 0"
	for c in "${!count[@]}"; do
		echo "ledger: $c ${from[$c]} ${to[$c]} ${count[$c]} ${unit[$c]} ${findings[$c]}"
	done
}
left() { echo $((end - SECONDS)); }
# No longer than what is left.
atmost() { if [ "$(left)" -lt "$1" ]; then left; else echo "$1"; fi; }
# A part of a turn; none is begun in the last seconds.
part() { # COMMAND ARG...
	[ "$(left)" -gt 5 ] || return
	"$@"
	sums
}

fuzz() {
	$bin/ovl-fuzz --seed "$seed" --seconds "$(atmost 120)" --jobs 4 --fs tmpfs,ext4,xfs --lower-fs tmpfs,ext4 --out /mnt/share/out |
		tee $out | grep -E '^(---|  |seeds|[0-9]+ cases)'
	result "${PIPESTATUS[0]}" "fuzz from seed $seed"
	compared=$((compared + $(awk '/^ledger: fuzz/ { n = $5 } END { print n + 0 }' $out)))
	seed=$((seed + 1000000))
}
damaged() {
	campaign hostile $bin/ovl-fuzz --hostile --ops 12 --seconds "$(atmost 60)" --fs fresh,ext4,xfs --lower-fs fresh,tmpfs --out /mnt/share/out
}
# The faults of one kind. Where each step has a disk of its own, an operation is not cut short, and
# takes a quarter of an hour: there every tenth step.
fault() { # CAMPAIGN
	local every=1
	case $1 in io | quota | signals) every=10 ;; esac
	campaign "$1" $bin/ovl-faults "$1" --seconds "$(atmost 60)" --type overlay_rs --every $every
}
storms() {
	$bin/ovl-tests --storm "$(atmost 60)" --fs "${uppers[turn % ${#uppers[@]}]}" --type overlay_rs --timeout 1800 |
		grep -vE '^$|^running|^test result'
	result "${PIPESTATUS[0]}" "storms"
}
others() {
	local rc
	stress 5
	rc=$?
	if [ $rc = 99 ]; then skipped=$((skipped + 1)); else result $rc stress-ng; fi
}

while [ "$(left)" -gt 5 ]; do
	turn=$((turn + 1))
	echo "=== turn $turn, $(left) s to go, seed $seed"
	part fuzz
	part damaged
	part fault nth
	part fault "${faults[(turn - 1) % ${#faults[@]}]}"
	part storms
	part others
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
