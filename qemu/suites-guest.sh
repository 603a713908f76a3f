#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2086
# Runs in the VM: other people's suites, each on each overlay type, in
#   suites-guest.sh SUITES FILESYSTEMS TYPES SCALE
# Each case is a line `suite fs case type ok|fail|skip` in /mnt/share/out/results.*.
here=/mnt/share/suites out=/mnt/share/out
IFS=, read -ra suites <<<"${1:-kselftest,pjdfstest,fsx,fio,dbench,fsmark,postmark,bonnie,stress-ng}"
IFS=, read -ra filesystems <<<"$2"
IFS=, read -ra types <<<"$3"
scale=$4

# The machine is the VM's own, made for this run: the suites may be installed in it.
tar -C / --keep-directory-symlink -xf $here/suites.tar || exit 1
ldconfig
id tests >/dev/null 2>&1 || useradd -U -M tests
groupadd -f nobody
sysctl -q fs.protected_hardlinks=0 fs.protected_regular=0 fs.protected_fifos=0 fs.protected_symlinks=0

scaled() { echo $((($1 * scale + 99) / 100)); }
result() { printf '%s\t%s\t%s\t%s\t%s\n' "$suite" "$fs" "$1" "$type" "$2" >>"$out/results.$type"; }
log() { echo "$out/$suite.$fs.$type.log"; }
word() { case $1 in 0) echo ok ;; *) echo fail ;; esac; }
# run CASE COMMAND...: one case, judged by its exit status
run() {
	local name=$1 rc=0
	shift
	echo "### $name: $*" >>"$(log)"
	timeout -k 5 "$(($(scaled 120) + 120))" "$@" >>"$(log)" 2>&1 || rc=$?
	echo "### $name: status $rc" >>"$(log)"
	result "$name" "$(word $rc)"
}

# The suites work in the root of the overlay: a merged directory with a file below.
mount_overlay() {
	base=/mnt/$fs/suites
	rm -rf $base
	mkdir -p $base/{low,up,work,m,other}
	echo lower >$base/low/file
	mkdir $base/low/dir
	mount -t "$type" "$type" -o "lowerdir=$base/low,upperdir=$base/up,workdir=$base/work" $base/m || exit 1
	m=$base/m
}
umount_overlay() {
	cd /
	umount $base/m || {
		result umount fail
		umount -l $base/m
	}
	rm -rf $base
}

suite_kselftest() {
	local t
	for t in /opt/kselftest/"$type"/*; do
		(cd /tmp && timeout -k 5 300 "$t") >>"$(log)" 2>&1 || true
		# What a test that fails leaves behind would fail the next one.
		umount -R /set_layers_via_fds /set_layers_via_fds_tmpfs 2>/dev/null
		rmdir /set_layers_via_fds /set_layers_via_fds_tmpfs 2>/dev/null
	done
	sed -nE 's/^(not ok|ok) [0-9]+ ([^ #]*)( # SKIP.*)?.*/\1\t\2\t\3/p' "$(log)" | while IFS=$'\t' read -r w name skip; do
		if [ -n "$skip" ]; then result "$name" skip; elif [ "$w" = ok ]; then result "$name" ok; else result "$name" fail; fi
	done
}

suite_pjdfstest() {
	cat >/tmp/pjdfstest.toml <<-C
		[features]
		posix_fallocate = {}
		rename_ctime = {}
		utime_now = {}
		utimensat = {}
		stat_st_birthtime = {}
		[settings]
		naptime = 0.02
		allow_remount = true
		[dummy_auth]
		entries = [["nobody", "nogroup"], ["tests", "tests"]]
	C
	NO_COLOR=1 timeout -k 5 1500 pjdfstest -c /tmp/pjdfstest.toml -s /mnt/tmpfs -p $m >"$(log)" 2>&1
	sed -nE 's/^([a-z_0-9:]+::[^ ]+) +(ok|FAILED|skipped)$/\1\t\2/p' "$(log)" | while IFS=$'\t' read -r name w; do
		case $w in ok) result "$name" ok ;; FAILED) result "$name" fail ;; *) result "$name" skip ;; esac
	done
	grep -q '^Summary:' "$(log)" || result "came to its end" fail
}

suite_fsx() {
	local seed
	cat >/tmp/all.toml <<-C
		flen = 1048576
		[weights]
		close_open = 1
		invalidate = 1
		mapread = 2
		mapwrite = 2
		read = 3
		write = 3
		truncate = 1
		fsync = 0.3
		fdatasync = 0.3
		posix_fallocate = 1
		punch_hole = 1
		sendfile = 1
		posix_fadvise = 1
		copy_file_range = 1
	C
	for seed in 1 2 3 4; do
		run "default $seed" fsx -N "$(scaled 4000)" -S $seed -P /tmp $m/fsx.$seed
		# A file that is in the lower layer to begin with.
		run "all operations $seed" fsx -f /tmp/all.toml -N "$(scaled 3000)" -S $seed -P /tmp $m/file
	done
}

suite_fio() {
	local engine direct rw
	for engine in psync pvsync2 mmap libaio splice posixaio; do
		for direct in 0 1; do
			[ $direct = 0 ] || case $engine in mmap | splice) continue ;; esac
			for rw in write randwrite randrw; do
				run "$engine direct=$direct $rw" fio --name=v --directory=$m --filename=fio.dat --ioengine=$engine --direct=$direct --rw=$rw \
					--bs=4k-64k --bs_unaligned=0 --bsrange=4k-64k --blockalign=4k --size="$(scaled 8)m" --iodepth=4 --verify=crc32c --verify_fatal=1 --do_verify=1 --fsync=64 --randseed=7
			done
		done
	done
	run "many files, three jobs" fio --name=v --directory=$m --numjobs=3 --nrfiles=16 --ioengine=psync --rw=randrw --bs=4k --size="$(scaled 4)m" --verify=md5 --verify_fatal=1 --do_verify=1 --fallocate=keep
}

suite_dbench() {
	local loadfile
	loadfile=$(find /usr/share/dbench /usr/share -name client.txt 2>/dev/null | head -n 1)
	run "1 client" dbench -c "$loadfile" -D $m -t "$(scaled 8)" 1
	run "4 clients" dbench -c "$loadfile" -D $m -t "$(scaled 8)" 4
	run "4 clients, syncing" dbench -s -c "$loadfile" -D $m -t "$(scaled 5)" 4
}

suite_fsmark() {
	local sync
	mkdir $m/fsmark
	for sync in 0 1 3 5; do
		run "sync method $sync" fs_mark -d $m/fsmark -n "$(scaled 300)" -s 10240 -t 2 -D 8 -S $sync -l /tmp/fs_mark.log
	done
}

suite_postmark() {
	printf 'set location %s\nset number %s\nset transactions %s\nset subdirectories 10\nset size 500 20000\nset seed 5\nrun\nquit\n' $m "$(scaled 500)" "$(scaled 2000)" >/tmp/postmark.in
	# It ends with 0 whatever happens: what it says counts.
	timeout -k 5 300 postmark /tmp/postmark.in >"$(log)" 2>&1
	if grep -q '^Data:' "$(log)" && ! grep -qi 'error' "$(log)"; then result transactions ok; else result transactions fail; fi
}

suite_bonnie() {
	run "files and data" bonnie++ -d $m -u root -s "$((2 * $(scaled 32)))" -r "$(scaled 32)" -n 1:4096:64:4 -q
}

# Its stressors that work on files and directories below --temp-path.
suite_stress-ng() {
	local s rc
	for s in access acl aiol aio bind-mount cachehammer chattr chdir chmod chown close copy-file dentry dir dirdeep dirmany dnotify dup eventfd \
		fallocate fanotify fcntl fd-abuse fd-fork fiemap file-ioctl filename filerace flock flushcache fpunch fsize fstat full getdent handle hdd \
		inode-flags inotify io io-uring iomix lease link locka lockf lockofd lockmix metamix mknod mmap mmapaddr mmapcow mmapfiles mmapfixed \
		msync msyncmany mremap open opath pathological readahead rename revio seek sendfile splice statmount symlink sync-file syncload \
		tee touch truncate unlink utime verity vm-splice xattr close fifo sockdiag rawdev readahead; do
		case " $done_already " in *" $s "*) continue ;; esac
		done_already="$done_already $s"
		stress-ng --help 2>/dev/null | grep -qE "^ +(-. N, +)?--$s N" || continue
		rc=0
		echo "### $s" >>"$(log)"
		timeout -k 10 120 stress-ng --$s 2 --timeout "$(scaled 3)s" --verify --oom-avoid --temp-path $m --seed 9 --skip-silent >>"$(log)" 2>&1 || rc=$?
		echo "### $s: status $rc" >>"$(log)"
		# 3: it lacks something; 4: not implemented here.
		case $rc in 0) result "$s" ok ;; 3 | 4) result "$s" skip ;; *) result "$s" fail ;; esac
	done
	unset done_already
}

for suite in "${suites[@]}"; do
	declare -F "suite_$suite" >/dev/null || {
		echo "there is no suite $suite"
		exit 2
	}
	for fs in "${filesystems[@]}"; do
		for type in "${types[@]}"; do
			start=$SECONDS
			mount_overlay
			"suite_$suite"
			umount_overlay
			echo "$suite on $type over $fs: $(awk -F'\t' -v s="$suite" -v f="$fs" '$1 == s && $2 == f { n[$5]++ } END { printf "%d ok, %d fail, %d skip", n["ok"], n["fail"], n["skip"] }' "$out/results.$type") ($((SECONDS - start)) s)"
		done
	done
done
