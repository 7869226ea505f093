#!/bin/bash
# SPDX-License-Identifier: MIT
# Each public header compiles alone, and all of them beside other libraries', in strict C11 and in every C++ since
# C++11, with each compiler that is installed and without a warning. The examples in their comments compile, and run if
# they are whole programs.
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

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Every header twice, each in a file of its own.
for header in include/async.h include/async/*.h include/async/*.hpp; do
	name=${header#include/}
	# An empty translation unit is an error in strict C, hence the declaration.
	printf '#include <%s>\n#include <%s>\nextern int not_empty;\n' "$name" "$name" >"$scratch/${name//\//_}.c"
done
c=("${CC:-cc}" -std=c11 -x c)
for source in "$scratch"/*.h.c; do
	compiles "$(basename "$source" .c) in C11" "${c[@]}" "$source"
done
compiles "beside others in C11" "${c[@]}" tests/test_headers.c

# Initialisers are macros, which nobody looks at until they are used.
for name in $(sed -nE 's/^[[:space:]]*#define (ASYNC_[A-Z_]+_INIT|ASYNC_CASE_[A-Z]+)\>.*/\1/p' include/async/*.h | sort -u); do
	if ! grep -q "\<$name\>" tests/test_headers.c; then
		echo "not ok - $name is used in test_headers.c"
		result=1
	fi
done

for compiler in "${CXX:-c++}" clang++; do
	if ! command -v "$compiler" >/dev/null; then
		echo "skip - headers with $compiler: not installed"
		continue
	fi
	for standard in c++11 c++14 c++17 c++20 c++2b; do
		cxx=("$compiler" "-std=$standard" -x c++)
		compiles "each alone in $standard, $compiler" "${cxx[@]}" "$scratch"/*.c
		compiles "beside others in $standard, $compiler" "${cxx[@]}" tests/test_headers.c
	done
done

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
