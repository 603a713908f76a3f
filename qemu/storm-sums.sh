#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What storms did, for the ledger: from their lines `name (overlay_rs, ext4): 12 mounts,
# 3 refused mounts, 60 seconds` come the sums of each count, and the seconds of each scenario.
set -euo pipefail
sed -nE 's/\r$//; s/^(.* )?([a-z_]+) \(overlay_rs, [a-z0-9]+\): /\2, /p' |
	awk -F', ' '{
		gsub(/_/, "-", $1)
		for (i = 2; i <= NF; i++) {
			n = what = $i
			sub(/ .*/, "", n)
			sub(/^[0-9]+ /, "", what)
			gsub(/ /, "-", what)
			if (what == "seconds") what = "seconds-of-" $1
			if (!(what in sum)) order[++k] = what
			sum[what] += n
		}
	}
	END { if (!k) sum[order[++k] = "rounds"] = 0
		for (i = 1; i <= k; i++) print "ledger: storm 1 1 " sum[order[i]] " " order[i] " 0" }'
