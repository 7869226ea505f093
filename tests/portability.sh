#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds the library, the command and the examples for other processors and in other ways, runs what can be run here
# under qemu's user emulation, and sees that what cannot work is refused with its reason.
#   portability.sh [WORD...]    only those whose name contains one of the words
# What lacks a compiler or an emulator is skipped; Debian's packages are gcc-TARGET and qemu-user.
set -u
cd "$(dirname "$0")/.." || exit 1

: "${WERROR:=1}" "${MAKE:=make}"
words=("$@")
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# What make was called with is meant for this machine.
unset MAKEFLAGS MAKELEVEL CC CXX CFLAGS O

wanted()
{
	local word
	[ ${#words[@]} -eq 0 ] && return 0
	for word in "${words[@]}"; do
		case $1 in *"$word"*) return 0 ;; esac
	done
	return 1
}

# tell NAME STATUS: and the log, where it failed.
tell()
{
	if [ "$2" -eq 0 ]; then
		echo "ok     $1"
		passed=$((passed + 1))
	else
		echo "FAILED $1"
		tail -n 40 "$log" | sed 's/^/       | /'
		failed=$((failed + 1))
	fi
}

skip()
{
	echo "skip   $1 ($2)"
	skipped=$((skipped + 1))
}

# check NAME COMMAND...
check()
{
	local name=$1
	shift
	"$@" >"$log" 2>&1
	tell "$name" $?
}

# The programs that need no other: scenarios on tasks, threads and processes, examples, models.
run_some()
{
	local out=$1 name
	shift
	"$@" "$out/asyncctl" run primes 157 1000003 --yield=100 && "$@" "$out/asyncctl" run primes 157 1000003 --mode=threads &&
		"$@" "$out/asyncctl" run countdown --mode=coop --json >/dev/null || return 1
	for name in primes_coop primes_threads; do
		"$@" "$out/examples/$name" || return 1
	done
	"$@" "$out/tests/model_worker"
}

# marks NAME FILE FEATURE...: the object keeps the processor's checks of branches on.
marks()
{
	local file=$1 feature
	shift
	for feature in "$@"; do
		LC_ALL=C readelf -n "$file" | grep -E ' feature: ' | grep -qw "$feature" || {
			echo "$file lacks $feature"
			return 1
		}
	done
}

# elsewhere TARGET MARK...: with Debian's cross compiler.
elsewhere()
{
	local target=$1 out=build/$1 cc=$1-linux-gnu-gcc emulator
	shift
	wanted "$target" || return
	if ! command -v "$cc" >/dev/null; then
		skip "$target" "no $cc"
		return
	fi
	# Nothing but CC is named.
	check "$target is built" "$MAKE" -j2 CC="$cc" O="$out" WERROR="$WERROR" all "$out/tests/model_worker" \
		"$out/examples/primes_coop" "$out/examples/primes_threads"
	[ $# -eq 0 ] || check "$target is marked $*" marks "$out/libasync.a" "$@"
	emulator=qemu-${target/powerpc64/ppc64}
	if ! command -v "$emulator" >/dev/null; then
		skip "$target runs" "no $emulator"
		return
	fi
	check "$target runs" run_some "$out" "$emulator" -L "/usr/$target-linux-gnu"
}

# another_way NAME CC CFLAGS
another_way()
{
	local name=$1 out=build/$1
	wanted "$name" || return
	if ! command -v "$2" >/dev/null; then
		skip "$name" "no $2"
		return
	fi
	check "$name is built" "$MAKE" -j2 CC="$2" CFLAGS="$3" O="$out" WERROR="$WERROR" all "$out/tests/model_worker" \
		"$out/examples/primes_coop" "$out/examples/primes_threads"
	check "$name runs" run_some "$out" env
}

# refused NAME REASON CC: in one line, before anything is compiled.
refused()
{
	wanted "$1" || return
	if ! command -v "${3%% *}" >/dev/null; then
		skip "$1 is refused" "no ${3%% *}"
		return
	fi
	! "$MAKE" CC="$3" O="build/$1" >"$log" 2>&1 && [ "$(grep -c "$2" "$log")" -eq 1 ] && ! grep -q '^  CC ' "$log"
	tell "$1 is refused" $?
}

elsewhere aarch64 BTI PAC
elsewhere riscv64
elsewhere powerpc64le
elsewhere s390x
another_way gcc-lto gcc '-O2 -g -flto'
another_way clang-lto clang '-O2 -g -flto'
refused i686 'needs a 64-bit target' 'gcc -m32'
refused arm 'needs a 64-bit target' arm-linux-gnueabihf-gcc
refused musl 'needs the GNU C library' musl-gcc
if [ "$(uname -m)" = x86_64 ] && wanted marks; then
	check "the library is marked IBT" marks build/libasync.a IBT
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
