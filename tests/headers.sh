#!/bin/bash
# SPDX-License-Identifier: MIT
# Each public header compiles alone, and all of them beside other libraries', in strict C11 and in C++20.
set -u
cd "$(dirname "$0")/.." || exit 1

strict=(-pedantic -Wall -Wextra -Wundef -Werror -fsyntax-only -Iinclude)
result=0

# compiles NAME COMPILER... SOURCE
compiles()
{
	local name=$1 log
	shift
	if log=$("$1" "${strict[@]}" "${@:2}" 2>&1); then
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
exit $result
