#!/bin/bash
# SPDX-License-Identifier: MIT
# A model that finds no fault where there is one proves nothing: built with each of the faults that it names, it must
# fail.
set -u
cd "$(dirname "$0")/.." || exit 1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
result=0

for source in tests/model_*.c; do
	name=$(basename "$source" .c)
	for fault in $(grep -oE '\bBROKEN[A-Z_]*' "$source" | sort -u); do
		if ! "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 "-D$fault" -Iruntime "$source" -o "$scratch/$name"; then
			echo "not ok - $name with $fault is built"
			result=1
		elif "$scratch/$name" >"$scratch/out" 2>&1; then
			echo "not ok - $name finds $fault"
			result=1
		else
			echo "ok - $name finds $fault"
		fi
	done
done
exit $result
