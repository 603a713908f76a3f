#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Measures what operations cost on overlay_rs, on overlay and on the bare file system, and everyday ones
# on fuse-overlayfs, its program's part included: in a VM with one CPU whose clock counts instructions,
# everything in memory (tests/bench). Nothing there depends on the speed or the load of this machine;
# docs/BENCHMARK.md says what that can tell and what not.
#   T=FILTER     only groups or `group/operation`s that contain FILTER
#   BOOTS=2      how often: two boots show how steady it is
#   FS=tmpfs,ext4   TYPE=bare,overlay,overlay_rs,fuse-overlayfs   in this order
#   KO=FILE      another build of the module than this checkout's
#   PROFILE=1    also where the instructions of each operation went, by function (profile.txt)
# The table goes to $OVL_BUILD/bench/: table.md, results.csv, results.json.
. "$(dirname "$0")/lib.sh"

"$OVL_QEMU/prepare.sh" vm
[ -n "${KO:-}" ] || "$OVL_QEMU/module.sh"
"$OVL_QEMU/test-build.sh"

kernel=$(flavour_dir stock)
release=$(basename "$kernel"/image/lib/modules/*)
guest=$(readlink -f "$OVL_CACHE/guest/current")/tree
out=$OVL_BUILD/bench
rm -rf "$out"
mkdir -p "$out"

# Options of one group each, as the program in the VM takes them.
arguments=(guest --base "${FS:-tmpfs,ext4}" --side "${TYPE:-bare,overlay,overlay_rs,fuse-overlayfs}")
[ -z "${T:-}" ] || arguments+=("$T")

modules() { # MODULE...: their files, in the order of loading
	local m
	for m in "$@"; do
		"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$kernel/image:/image:ro" -- \
			modprobe -d /image -S "$release" --show-depends "$m" 2>/dev/null || true
	done | sed -nE 's/^insmod ([^ ]+).*/\1/p' | awk '!seen[$0]++' | sed "s|^/image|$kernel/image|"
}

# The libraries that a program needs.
libraries() { # TREE PROGRAM ROOT
	local f
	"$OVL_QEMU/in-tree.sh" "$1" "$OVL_BUILD/tests:/tests:ro" -- ldd "$2" | grep -oE '/[^ ]+' | while read -r f; do
		mkdir -p "$3$(dirname "$f")"
		cp -L "$1$f" "$3$f"
	done
}

make_initramfs() { # DEST
	local d n=10 f
	d=$(mktemp -d)
	chmod 755 "$d"
	mkdir -p "$d"/{bin,m,proc,sys,dev,tree}
	cp "$OVL_TREE/bin/busybox" "$d/bin/"
	install -m 755 "$OVL_QEMU/bench-init.sh" "$d/init"
	while read -r f; do
		case $f in
		*.xz) xz -dc "$f" ;;
		*.zst) zstd -qdc "$f" ;;
		*) cat "$f" ;;
		esac >"$d/m/$n-$(basename "$f" | sed -E 's/\.ko.*/.ko/')"
		n=$((n + 1))
	done < <(modules brd ext4 fuse overlay)
	cp "${KO:-$OVL_BUILD/stock/overlay_rs.ko}" "$d/m/$n-overlay_rs.ko"
	cp "$OVL_BUILD/tests/ovl-bench" "$d/"
	libraries "$OVL_TREE" /tests/ovl-bench "$d"
	mkdir "$d/sbin"
	cp -L "$guest/sbin/mkfs.ext4" "$d/sbin/"
	libraries "$guest" /sbin/mkfs.ext4 "$d"
	cp -L "$guest/usr/bin/fuse-overlayfs" "$d/bin/"
	libraries "$guest" /usr/bin/fuse-overlayfs "$d"
	# The file systems' own defaults are in there.
	mkdir -p "$d/etc"
	cp "$guest/etc/mke2fs.conf" "$d/etc/"
	cp -a "$guest"/etc "$d/tree/etc"
	cp -a "$guest"/usr/share "$d/tree/share"
	echo "${arguments[*]}" >"$d/arguments"
	[ -z "${PROFILE:-}" ] || : >"$d/symbols"
	find "$d" -exec touch -h -d @1700000000 {} +
	(cd "$d" && find . | LC_ALL=C sort | "$OVL_TREE/bin/busybox" cpio -o -H newc) >"$1"
	rm -rf "$d"
}

# The plugin needs nothing of the C library's headers, and takes its functions from QEMU's process.
make_plugin() {
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$MODULE_DIR/tests/bench/plugin:/plugin:ro" "$out:/out" -- \
		gcc -O2 -Wall -Wno-builtin-declaration-mismatch -fPIC -fvisibility=hidden -shared -nostdlib -o /out/locks.so /plugin/locks.c
}

boot() { # DIR
	local plugin="$out/locks.so,out=$1/locks.txt"
	[ -z "${PROFILE:-}" ] || plugin+=",profile=1"
	mkdir -p "$1"
	# One instruction is one nanosecond; idle time passes at once; chance and date are fixed.
	qemu-system-x86_64 -name overlay_rs-bench -nodefaults -display none -no-reboot -machine q35,hpet=off \
		-cpu max,-erms,-fsrm,-la57 -smp 1 -m 3G -accel tcg,tb-size=512 -icount shift=0,sleep=off -seed 1 \
		-rtc base=2026-01-01T00:00:00,clock=vm -plugin "$plugin" \
		-kernel "$kernel/image/vmlinuz" -initrd "$out/initramfs" \
		-serial "file:$1/console.log" -serial "file:$1/serial.log" \
		-append "console=ttyS0 quiet panic=-1 oops=panic nokaslr mitigations=off tsc=reliable clocksource=tsc nowatchdog audit=0 random.trust_cpu=on"
	sed -n '1,/^end\t/p' "$1/serial.log" | tr -d '\r' >"$1/results.tsv"
	sed -E 's/\r//' "$1/console.log" | grep -E '^bench: .*(failed|cannot|there is no)|BUG:|WARNING:' && return 1
	grep -q $'^end\t' "$1/results.tsv" || {
		echo "overlay_rs: error: the VM ended before its time"
		tail -n 20 "$1/console.log"
		return 1
	}
}

step "the initramfs of the benchmark" "$out/initramfs.log" make_initramfs "$out/initramfs"
step "the plugin that counts locked instructions" "$out/plugin.log" make_plugin
runs=()
for ((i = 1; i <= ${BOOTS:-1}; i++)); do
	step "measuring (boot $i)" "$out/boot$i.log" boot "$out/boot$i"
	runs+=("/out/boot$i")
done
"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$OVL_BUILD/tests:/tests:ro" "$out:/out" -- /tests/ovl-bench report /out "${runs[@]}"
if [ -n "${PROFILE:-}" ]; then
	sed '1,/^end\t/d; s/\r//' "$out/boot1/serial.log" >"$out/symbols"
	"$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$OVL_BUILD/tests:/tests:ro" "$out:/out" -- \
		/tests/ovl-bench profile /out/symbols /out/boot1 >"$out/profile.txt"
	note "profiles: $out/profile.txt"
fi
note "tables: $out/table.md, $out/results.csv, $out/results.json"
