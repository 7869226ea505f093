#!/bin/bash
# SPDX-License-Identifier: MIT
# The tests in C++ once more with each compiler and each C++ library that is installed, on the static and on the shared
# library; and a plug-in in C++ in a program in C.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${O:=build}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
result=0

libs=()
nm "$O/libasync.a" | grep -q ' U io_uring_' && libs=(-luring)
static=("$O/libasync.a" "${libs[@]}" -lm)
shared=("-L$O" -lasync "-Wl,-rpath,$PWD/$O" -lm)

# works NAME COMMAND...
works()
{
	local name=$1
	shift
	if "$@" >"$scratch/out" 2>&1; then
		echo "ok - $name"
		return 0
	fi
	echo "not ok - $name"
	grep -v '^ok' "$scratch/out" | sed 's/^/# /' | head -n 40
	result=1
	return 1
}

compilers=("${CXX:-c++}" clang++ 'clang++ -stdlib=libc++')
for compiler in "${compilers[@]}"; do
	read -ra command <<<"$compiler"
	if ! printf '#include <string>\nint main() { throw std::string(); }\n' |
		"${command[@]}" -x c++ - -o "$scratch/probe" 2>/dev/null; then
		echo "skip - $compiler: not installed"
		continue
	fi
	for test in test_cxx test_cxx_terminate; do
		works "$compiler: $test is built" "${command[@]}" -std=c++17 -Wall -Wextra -Werror -pedantic -pthread \
			-Iinclude -c "tests/$test.cc" -o "$scratch/$test.o" || continue
		for linkage in static shared; do
			declare -n link=$linkage
			works "$compiler: $test is linked, $linkage" "${command[@]}" -pthread "$scratch/$test.o" \
				"${link[@]}" -o "$scratch/$test" || continue
			for switch in asm ucontext; do
				works "$compiler: $test, $linkage library, $switch" \
					env "ASYNC_TEST_SWITCH=$switch" "$scratch/$test"
			done
		done
	done
	works "$compiler: a plug-in is built" "${command[@]}" -std=c++11 -fPIC -shared -pthread -Iinclude \
		tests/cxx/plugin.cc "${shared[@]}" -o "$scratch/plugin.so" || continue
	works "$compiler: its host is built" "${CC:-cc}" -std=gnu11 -pthread -Iinclude tests/cxx/host.c "${shared[@]}" -ldl \
		-o "$scratch/host" || continue
	for switch in asm ucontext; do
		works "$compiler: the plug-in's exceptions, $switch" env "ASYNC_TEST_SWITCH=$switch" "$scratch/host" \
			"$scratch/plugin.so"
	done
done
exit $result
