#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Runs the tests: those of the pure logic here, all others in the VM.
#   T=FILTER            only tests whose name contains FILTER
#   KERNEL=stock|debug  the kernel to run them on
#   FS=ext4,xfs,tmpfs   the upper file systems    TYPE=overlay_rs,overlay   the modules
#   SCALE=PERCENT       the size of big tests     ARGS="..."                more for ovl-tests
# Races run in a boot with two CPUs; on the stock kernel, SELinux has a boot of its own, too.
# The last line is `N passed, N failed, N skipped`; the exit status is as honest.
. "$(dirname "$0")/lib.sh"

kernel=${KERNEL:-stock}
args=()
[ -z "${T:-}" ] || args+=("$T")
[ -z "${FS:-}" ] || args+=(--fs "$FS")
[ -z "${TYPE:-}" ] || [ "$kernel" = debug ] || args+=(--type "$TYPE")
case $kernel in
stock) need=vm scale=${SCALE:-100} ;;
# It is nearly thirty times slower: the same tests, smaller, and with more patience.
# There the kernel's own module is what to compare with, and not under test itself.
debug) need=debug scale=${SCALE:-5} args+=(--timeout 1800 --type "${TYPE:-overlay_rs}") ;;
*) die "KERNEL= is stock or debug" ;;
esac
args+=(--scale "$scale")
read -ra more <<<"${ARGS:-}"
args+=("${more[@]}")

"$OVL_QEMU/prepare.sh" "$need"
"$OVL_QEMU/module.sh" "$kernel"
"$OVL_QEMU/test-build.sh"

passed=0 failed=0 skipped=0

# The last result of each test, for `make features`.
remember() { # LOG
	[ "$kernel" = stock ] || return 0
	local all=$OVL_BUILD/results.log
	touch "$all"
	awk '/^test .* \.\.\. .*(ok|FAILED|ignored)/ {
		if (!($2 in last)) order[++n] = $2
		last[$2] = /FAILED/ ? "FAILED" : /ignored/ ? "ignored" : "ok"
	}
	END { for (i = 1; i <= n; i++) print "test", order[i], "...", last[order[i]] }' "$all" "$1" >"$all.new"
	mv "$all.new" "$all"
}

say "host tests of the pure logic"
log=$OVL_BUILD/tests-host.log
rc=0
"$OVL_QEMU/test-build.sh" cargo --offline test --locked --manifest-path host/Cargo.toml -- ${T:+"$T"} >"$log" 2>&1 || rc=$?
while read -r p f s; do
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done < <(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored.*/\1 \2 \3/p' "$log")
note "$passed passed, $failed failed (log: $log)"
if [ $rc != 0 ]; then
	[ $failed != 0 ] || failed=1
	sed -n '/^failures:/,$p' "$log" | head -n 60
	grep -q '^failures:' "$log" || reason "$log"
fi

# One boot of the VM: a name for its log, the arguments of ovl-tests, those of boot.sh.
in_vm() { # NAME "ARGS..." [BOOT ARG...]
	local log=$OVL_BUILD/tests-$1.log what=("${args[@]}") more chosen rc=0
	read -ra more <<<"$2"
	what+=("${more[@]}")
	shift 2
	chosen=$("$OVL_QEMU/in-tree.sh" "$OVL_TREE" "$OVL_BUILD/tests:/tests:ro" -- /tests/ovl-tests --list "${what[@]}" | grep -c ': test$') || true
	: >"$log"
	if [ "$chosen" = 0 ] && [ -n "${T:-}" ]; then
		note "no test of this boot has a name with '$T'"
	else
		# Line by line: two boots may run side by side.
		"$OVL_QEMU/boot.sh" --kernel "$kernel" "$@" --share "$OVL_BUILD/tests:tests" "/mnt/share/tests/ovl-tests $(printf '%q ' "${what[@]}")" 2>&1 | tee "$log" | sed -u '' || rc=$?
	fi
	echo "$chosen $rc" >"$log.end"
}

# What came of it.
count() { # NAME
	local log=$OVL_BUILD/tests-$1.log chosen rc total p f s
	read -r chosen rc <"$log.end"
	remember "$log"
	total=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped' "$log" | tail -n 1) || true
	if [ -n "$total" ]; then
		read -r p _ f _ s _ <<<"$total"
	elif [ -s "$log" ]; then
		# It died on the way: what had passed has passed, the one that was running has not.
		p=$(grep -cE '^test .* \.\.\. .*ok' "$log") || true
		f=$(grep -cE '^test .* \.\.\. .*FAILED' "$log") || true
		s=$(grep -cE '^test .* \.\.\. .*ignored' "$log") || true
		f=$((f + 1))
		note "the test program did not come to its end: $((p + f + s - 1)) of $chosen tests ran"
	else
		p=0 f=0 s=0
	fi
	# A run that is not clean has failed, even when each of its tests passed.
	if [ "$rc" != 0 ] && [ "$f" = 0 ]; then f=1; fi
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

# With one CPU, the emulator is twice as fast, so there are two VMs with a half each; only races need
# two CPUs.
say "tests in the VM ($kernel kernel)"
rm -f "$OVL_BUILD"/tests-*.log.end
boots=("$kernel-1" "$kernel-2")
in_vm "$kernel-1" "--part 1/2" --cpus 1 &
in_vm "$kernel-2" "--part 2/2" --cpus 1
if [ "$kernel" = stock ]; then
	# Which security module is in force is chosen at boot: in the other tests, AppArmor.
	in_vm "$kernel-selinux" --selinux --cpus 1 --append security=selinux
	boots+=("$kernel-selinux")
fi
wait
say "tests in the VM: races, on two CPUs ($kernel kernel)"
in_vm "$kernel-races" --two-cpus
boots+=("$kernel-races")
for boot in "${boots[@]}"; do count "$boot"; done

# All of them ran: then each feature has tests that passed.
if [ "$kernel" = stock ] && [ -z "${T:-}${FS:-}${TYPE:-}${ARGS:-}" ]; then
	"$OVL_QEMU/features.sh" results >"$OVL_BUILD/features.log" 2>&1 || {
		failed=$((failed + 1))
		grep '^ovl-tests: ' "$OVL_BUILD/features.log" || true
	}
	note "features and their tests: $OVL_BUILD/features.log"
fi

say "all tests ($kernel kernel), after $SECONDS s"
[ $((passed + failed)) != 0 ] || die "no test ran"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
