#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Boots a kernel in a fresh VM, runs a shell command in it with the module
# loaded, and passes its output and exit status on:
#   boot.sh [OPTION]... COMMAND...
#     --kernel stock|debug   which kernel (stock)
#     --guest NAME           another guest than the usual one (see vm-image.sh)
#     --initrd FILE --root FILE   another first program, another root disk
#     --job FILE             one more file for /run/job
#     --disk FILE            one more disk, /dev/vdf, which is written
#     --ko FILE|none         which module ($OVL_BUILD/KERNEL/overlay_rs.ko)
#     --share DIR:NAME       a directory of the host at /mnt/share/NAME, read-only; DIR:NAME:rw to write
#     --mem MIB --cpus N --timeout SECONDS
#     --seconds              a second is one: with other work on the machine, the VM may take its CPU's
#                            clock for slower than it is; this one is slower to read
#     --append "ARGS"        more arguments for the kernel
#     --allow-warnings       do not fail for what the kernel log says
#     --no-unload            do not unload the module at the end
#     --shell                an interactive shell instead of COMMAND
#     --quiet                only what the command prints
# In the VM: /mnt/{ext4,xfs,btrfs,tmpfs} are empty file systems of 8 GB, fresh
# in each run; /mnt/lower is the guest's own tree, read-only; /dev/vde its image.
# The run fails, whatever the command returned, when the kernel log holds a
# warning, when the module cannot be unloaded or when kmemleak finds a leak.
. "$(dirname "$0")/lib.sh"

kernel=stock guest_name='' initrd='' root='' extra='' file='' ko='' shares=() mem='' cpus=2 timeout='' append='' warnings=0 unload=1 shell=0 quiet=0
while [ $# -gt 0 ]; do
	case $1 in
	--kernel) kernel=$2; shift ;;
	--guest) guest_name=$2; shift ;;
	--initrd) initrd=$2; shift ;;
	--root) root=$2; shift ;;
	--job) file=$2; shift ;;
	--disk) extra=$2; shift ;;
	--ko) ko=$2; shift ;;
	--share) shares+=("$2"); shift ;;
	--mem) mem=$2; shift ;;
	--cpus) cpus=$2; shift ;;
	--timeout) timeout=$2; shift ;;
	--seconds) append="$append clocksource=hpet" ;;
	--append) append="$append $2"; shift ;;
	--allow-warnings) warnings=1 ;;
	--no-unload) unload=0 ;;
	--shell) shell=1 ;;
	--quiet) quiet=1 ;;
	--) shift; break ;;
	-*) die "boot.sh: unknown option $1" ;;
	*) break ;;
	esac
	shift
done
[ $# -gt 0 ] || [ $shell = 1 ] || die "boot.sh: no command given"

image=$(flavour_dir "$kernel")
vm=$image/vm${guest_name:+-$guest_name}
[ -e "$vm/root.ext4" ] || die "the VM of the $kernel kernel is not made yet: make prepare KERNEL=$kernel"
guest=$OVL_CACHE/guest/current
[ -n "$ko" ] || ko=$OVL_BUILD/$kernel/overlay_rs.ko
[ "$ko" = none ] || [ -s "$ko" ] || die "there is no module at $ko: build it with make, or give --ko"
case $kernel in
stock) : "${mem:=3072}" "${timeout:=3600}" ;;
debug) : "${mem:=3072}" "${timeout:=14400}" append="kmemleak=on kasan_multi_shot reboot=t $append" ;;
esac

# One directory per run: what goes in, what comes out, and the console.
mkdir -p "$OVL_BUILD/vm"
run=$(mktemp -d "$OVL_BUILD/vm/$(date +%H%M%S).XXXX")
ln -sfn "$run" "$OVL_BUILD/vm/last"
# Old runs are of no interest; the newest twenty stay.
find "$OVL_BUILD/vm" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +21 | cut -d' ' -f2- | xargs -r rm -rf
mkdir "$run/job"
cp "$OVL_QEMU/guest-init.sh" "$run/job/"
[ "$ko" = none ] || cp "$ko" "$run/job/overlay_rs.ko"
[ -z "$file" ] || cp "$file" "$run/job/"
printf '%s\n' "$*" >"$run/job/cmd"

qemu=(qemu-system-x86_64 -name "overlay_rs-$kernel" -M q35 -smp "$cpus" -m "$mem" -no-reboot -nodefaults -display none)
# Emulation works everywhere; OVL_ACCEL=kvm is for machines where KVM does.
# Without these three features the emulator copies memory and walks pages faster.
if [ "${OVL_ACCEL:-tcg}" = kvm ]; then
	qemu+=(-accel kvm -cpu host)
else
	qemu+=(-accel "tcg,thread=multi,tb-size=512" -cpu "max,la57=off,erms=off,fsrm=off")
fi
disk() { # FILE [OPTION]: the cached file is never written
	qemu+=(-drive "file=$1,format=raw,if=none,id=d$disks,${2:-snapshot=on,cache=unsafe,discard=unmap}" -device "virtio-blk-pci,drive=d$disks")
	disks=$((disks + 1))
}
disks=0
disk "${root:-$vm/root.ext4}"
disk "$guest/ext4.img"
disk "$guest/xfs.img"
disk "$guest/btrfs.img"
disk "$guest/lower.erofs" readonly=on
[ -z "$extra" ] || disk "$extra" cache=unsafe
share() { # DIR TAG [READONLY]
	qemu+=(-virtfs "local,path=$1,mount_tag=$2,security_model=none,multidevs=remap${3:+,readonly=on}")
}
share "$run/job" job
names=()
for s in "${shares[@]}"; do
	IFS=: read -r dir name mode <<<"$s"
	[ -d "$dir" ] || die "boot.sh: --share: $dir is not a directory"
	if [ "$mode" = rw ]; then share "$(realpath "$dir")" "$name"; else share "$(realpath "$dir")" "$name" ro; fi
	names+=("$name")
done
cat >"$run/job/env" <<E
OVL_KERNEL=$kernel
OVL_SHELL=$shell
OVL_UNLOAD=$unload
OVL_SHARES="${names[*]}"
export OVL_KERNEL
E
qemu+=(-device virtio-serial-pci -chardev "stdio,id=out,signal=off,logfile=$run/output.log" -device "virtconsole,chardev=out")
qemu+=(-chardev "file,id=con,path=$run/console.log" -serial chardev:con -monitor none)
qemu+=(-device virtio-rng-pci)
qemu+=(-kernel "$image/image/vmlinuz" -initrd "${initrd:-$vm/initrd}")
qemu+=(-append "console=ttyS0 loglevel=5 log_buf_len=4M panic=-1 oops=panic nowatchdog no_timer_check mitigations=off tsc=reliable \
rcupdate.rcu_cpu_stall_timeout=120 sysctl.kernel.hung_task_timeout_secs=240 sysctl.kernel.hung_task_panic=1 $append")

[ $quiet = 1 ] || note "VM: $kernel kernel, $cpus CPUs, $mem MB (console: $run/console.log)"
start=$SECONDS rc=0
if [ $shell = 1 ]; then
	saved=$(stty -g)
	stty raw -echo
	"${qemu[@]}" 2>"$run/qemu.log" || rc=$?
	stty "$saved"
else
	timeout --foreground -k 10 "$timeout" "${qemu[@]}" </dev/null 2>"$run/qemu.log" || rc=$?
	# Emulated, a CPU sometimes meets the breakpoint by which another one is changing the kernel's
	# code, which ends the boot. As long as nothing of ours has run, it begins again, once.
	if [ $rc = 0 ] && [ -z "$initrd" ] && [ ! -e "$run/job/started" ] && grep -q 'Oops: int3' "$run/console.log"; then
		note "the emulated kernel did not come up (console: $run/console.log.1); once more"
		mv "$run/console.log" "$run/console.log.1"
		timeout --foreground -k 10 "$timeout" "${qemu[@]}" </dev/null 2>"$run/qemu.log" || rc=$?
	fi
fi

# --- what came of it ---
job=$run/job
fail() {
	printf 'VM FAILED: %s\n' "$1" >&2
	bad=1
}
bad=0
# What the kernel only says when something is wrong.
alarms='BUG:|WARNING:|Oops|kernel BUG at|Kernel panic|KASAN:|KFENCE:|UBSAN:|general protection fault|INFO: (task|rcu|possible|trying|lockdep)|possible (recursive|circular|irq)|suspicious RCU|invalid wait context|sleeping function|scheduling while atomic|refcount_t:|list_(add|del) corruption|DEBUG_LOCKS_WARN|bad unlock|held lock freed|inconsistent lock state|Objects remaining|unsafe precondition|Unknown symbol|Call Trace'
show_alarm() { # LOG
	grep -nE -m 1 "$alarms" "$1" | cut -d: -f1 | {
		read -r line
		sed -n "$line,$((line + 60))p" "$1"
	} | sed 's/^/    | /' >&2
}
log=$run/console.log
[ ! -s "$job/dmesg.log" ] || log=$job/dmesg.log
if [ $rc = 124 ] || [ $rc = 137 ]; then
	fail "no end after $timeout s; the console's tail:"
	tail -n 30 "$run/console.log" | sed 's/^/    | /' >&2
elif [ $rc != 0 ]; then
	fail "QEMU ended with status $rc: $(tail -n 3 "$run/qemu.log")"
elif [ ! -e "$job/finished" ] && ! grep -qE "$alarms" "$log"; then
	fail "the VM ended before its time; the console's tail:"
	tail -n 30 "$run/console.log" | sed 's/^/    | /' >&2
fi
if [ $warnings = 0 ] && grep -qE "$alarms" "$log"; then
	fail "the kernel log has a warning or worse (whole log: $log):"
	show_alarm "$log"
fi
if [ -s "$job/problems" ]; then
	while read -r line; do fail "$line"; done <"$job/problems"
	[ ! -s "$job/kmemleak.log" ] || head -n 60 "$job/kmemleak.log" | sed 's/^/    | /' >&2
fi
status=$(cat "$job/status" 2>/dev/null || echo 125)
[ $quiet = 1 ] || note "VM: ended after $((SECONDS - start)) s, status $status$([ $bad = 0 ] || echo ', and the run is not clean')"
[ "$status" != 0 ] || status=$bad
exit "$status"
