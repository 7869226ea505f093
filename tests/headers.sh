#!/bin/bash
# SPDX-License-Identifier: MIT
# Each public header compiles alone, and all of them beside other libraries', in strict C11 and in C++20. The examples
# in their comments compile, and run if they are whole programs.
set -u
cd "$(dirname "$0")/.." || exit 1

: "${O:=build}"
strict=(-pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only)
result=0

# compiles NAME COMPILER... SOURCE
compiles()
{
	local name=$1 log
	shift
	if log=$("$1" "${strict[@]}" "${@:2}" -Iinclude 2>&1); then
		echo "ok - $name"
	else
		echo "not ok - $name"
		printf '%s\n' "$log" | sed 's/^/# /'
		result=1
	fi
}

c=("${CC:-cc}" -std=c11 -x c)
# C++ warns about fields that an initialiser leaves out by design.
cxx=("${CXX:-c++}" -std=c++20 -Wno-missing-field-initializers -x c++)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

for header in include/async.h include/async/*.h; do
	name=${header#include/}
	# An empty translation unit is an error in strict C, hence the declaration.
	printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "$name" "$name" >"$scratch/alone"
	compiles "<$name> in C11" "${c[@]}" "$scratch/alone"
	compiles "<$name> in C++20" "${cxx[@]}" "$scratch/alone"
done
compiles "beside others in C11" "${c[@]}" tests/test_headers.c
compiles "beside others in C++20" "${cxx[@]}" tests/test_headers.c

# Its directory first: a program of hiredis's has another async.h.
echo '#error "another one"' >"$scratch/async.h"
printf '#include <async/async.h>\nint error = ECANCELED;\n' >"$scratch/other"
compiles "<async/async.h> where another library has an async.h" "${c[@]}" -I"$scratch" "$scratch/other"

### Examples

libs=(-pthread -lm)
nm "$O/libasync.a" | grep -q ' U io_uring_' && libs+=(-luring)
for header in include/async/*.h; do
	name=$(basename "$header" .h)
	awk -v stem="$scratch/$name" -f tests/snippets.awk "$header"
done >"$scratch/snippets"
while read -r source; do
	name="example $(basename "$source" .c)"
	compiles "$name" "${c[@]}" -std=gnu11 -Itests "$source"
	grep -q '^int main(' "$source" || continue
	if log=$("${CC:-cc}" -std=gnu11 -Iinclude -Itests "$source" "$O/libasync.a" "${libs[@]}" -o "${source%.c}" 2>&1 &&
		timeout 10 "${source%.c}" 2>&1 </dev/null); then
		echo "ok - $name runs"
	else
		echo "not ok - $name runs"
		printf '%s\n' "$log" | sed 's/^/# /'
		result=1
	fi
done <"$scratch/snippets"
exit $result
