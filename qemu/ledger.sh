#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The ledger of the campaigns: docs/ledger/CAMPAIGN.csv, one line for each run.
#   ledger.sh next CAMPAIGN         the first seed that no run has had
#   ledger.sh add KERNEL STATUS LOG a line for each campaign that reported in LOG
#   ledger.sh print                 the totals
# A program reports with lines `ledger: CAMPAIGN FIRST LAST COUNT UNIT FINDINGS`,
# the last of which counts: so a run that was cut short is not lost. Of a run
# that failed (STATUS is not 0) and reported no finding, the failure is one.
. "$(dirname "$0")/lib.sh"

dir=$MODULE_DIR/docs/ledger
header=date,commit,kernel,campaign,first,last,count,unit,findings

# The commit of the sources; with a + when they are not quite those.
commit() {
	local c
	c=$(git -C "$MODULE_DIR" rev-parse --short=12 HEAD 2>/dev/null) || c=unknown
	[ -z "$(git -C "$MODULE_DIR" status --porcelain --untracked-files=no -- . ':!docs' 2>/dev/null)" ] || c+=+
	echo "$c"
}
release() { # KERNEL
	case $1 in
	stock) cat "$(kernel_dir)/release" ;;
	debug) sed 's/$/-debug/' "$(kernel_dir)/release" ;;
	*) echo "$1" ;;
	esac
}
next() { # CAMPAIGN
	[ -e "$dir/$1.csv" ] || { echo 1; return; }
	awk -F, 'NR > 1 && $6 >= n { n = $6 } END { print n + 1 }' "$dir/$1.csv"
}
add() { # KERNEL STATUS LOG
	local what
	mkdir -p "$dir"
	what=$(date -u +%F),$(commit),$(release "$1")
	sed -nE 's/\r$//; s/^ledger: ([a-z-]+ [0-9]+ [0-9]+ [0-9]+ [a-z-]+ [0-9]+)$/\1/p' "$3" |
		awk -v what="$what" -v bad="$2" '
			{ k = $1 " " $5; last[k] = $0; if (!(k in seen)) { seen[k] = 1; order[++n] = k } }
			END { for (i = 1; i <= n; i++) { split(last[order[i]], w, " ")
				if (bad && !found && !w[6] && i == n) w[6] = 1
				found += w[6]
				print what "," w[1] "," w[2] "," w[3] "," w[4] "," w[5] "," w[6] } }' |
		while IFS= read -r line; do
			IFS=, read -r _ _ _ campaign _ <<<"$line"
			[ -e "$dir/$campaign.csv" ] || echo "$header" >"$dir/$campaign.csv"
			echo "$line" >>"$dir/$campaign.csv"
			note "ledger: $line"
		done
}
print() {
	[ -n "$(find "$dir" -name '*.csv' 2>/dev/null)" ] || die "no campaign has written to $dir yet"
	awk -F, 'FNR > 1 {
			k = $4 FS $3 FS $8; if (!(k in seen)) { seen[k] = 1; order[++n] = k }
			runs[k]++; count[k] += $7; findings[k] += $9; if ($1 > date[k]) date[k] = $1 }
		END { printf "%-14s %-26s %5s %12s %-36s %9s  %s\n", "campaign", "kernel", "runs", "count", "of", "findings", "last run"
			for (i = 1; i <= n; i++) { k = order[i]; split(k, w, FS)
				printf "%-14s %-26s %5d %12d %-36s %9d  %s\n", w[1], w[2], runs[k], count[k], w[3], findings[k], date[k] } }' "$dir"/*.csv
}

case ${1:-print} in
next) next "$2" ;;
add) with_lock ledger add "$2" "$3" "$4" ;;
print) print ;;
*) die "ledger.sh: next, add or print" ;;
esac
