#!/bin/bash
# SPDX-License-Identifier: MIT
# A program is built with a sanitizer and the library is not, as with an installed one: the sanitizer reports nothing
# that is not so, and what is so it reports.
set -u
cd "$(dirname "$0")/.." || exit 1
: "${O:=build}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
result=0

# Their shadow wants to be where a randomised layout may have put something else.
fixed=()
setarch -R true 2>/dev/null && fixed=(setarch -R)

libs=()
[ "${HAVE_LIBURING:-}" = 1 ] && libs=(-luring)
# Stacks of tasks use more with instrumented frames.
flags=(-std=gnu11 -g -O1 -Iinclude -pthread)
static=("$O/libasync.a" "${libs[@]}" -lm)
shared=("-L$O" -lasync "-Wl,-rpath,$PWD/$O" -lm)

fail()
{
	echo "not ok - $1"
	sed 's/^/# /' "$scratch/out" | head -n 60
	result=1
}

# program SANITIZER COMPILER LINKAGE: builds it as $scratch/program.
program()
{
	local -n link=$3
	"$2" "${flags[@]}" "-fsanitize=$1" tests/sanitizers/program.c "${link[@]}" -o "$scratch/program" \
		>"$scratch/out" 2>&1
}

# clean NAME SCENARIO: nothing is reported. That swapcontext is used AddressSanitizer says to everybody.
clean()
{
	local status
	"${fixed[@]}" "$scratch/program" "$2" >"$scratch/all" 2>&1
	status=$?
	grep -v "WARNING: ASan doesn't fully support makecontext/swapcontext" "$scratch/all" >"$scratch/out"
	if [ $status -eq 0 ] && [ ! -s "$scratch/out" ]; then
		echo "ok - $1"
	else
		fail "$1"
	fi
}

# reported NAME SCENARIO WORD: it is seen.
reported()
{
	if ! "${fixed[@]}" "$scratch/program" "$2" >"$scratch/out" 2>&1 && grep -q "$3" "$scratch/out"; then
		echo "ok - $1"
	else
		fail "$1"
	fi
}

export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:exitcode=99
export TSAN_OPTIONS=exitcode=99
for compiler in "${CC:-cc}" clang; do
	if ! command -v "$compiler" >/dev/null; then
		echo "skip - $compiler: not installed"
		continue
	fi
	for linkage in static shared; do
		for sanitizer in address thread leak; do
			what="$compiler -fsanitize=$sanitizer, $linkage library"
			if ! echo 'int main(void) { return 0; }' | "$compiler" "-fsanitize=$sanitizer" -x c - \
				-o "$scratch/probe" 2>/dev/null || ! "${fixed[@]}" "$scratch/probe" 2>/dev/null; then
				echo "skip - $what: no runtime of this sanitizer"
				continue
			fi
			if ! program "$sanitizer" "$compiler" "$linkage"; then
				fail "$what: builds"
				continue
			fi
			for switch in asm ucontext; do
				export ASYNC_TEST_SWITCH=$switch
				case $sanitizer in
				address)
					clean "$what, $switch: tasks come, jump, wait, are cancelled" tasks
					clean "$what, $switch: abandoned tasks" abandoned
					clean "$what, $switch: what only a stack points to" exit
					clean "$what, $switch: jobs and other threads" threads
					reported "$what, $switch: an overflow on a task's stack" overflow \
						stack-buffer-overflow
					ASAN_OPTIONS=$ASAN_OPTIONS:detect_stack_use_after_return=0 \
						reported "$what, $switch: an overflow where a frame is on the stack itself" \
						overflow stack-buffer-overflow
					reported "$what, $switch: a leak in a task" leak detected\ memory\ leaks
					;;
				thread)
					clean "$what, $switch: tasks come, jump, wait, are cancelled" tasks
					clean "$what, $switch: abandoned tasks" abandoned
					clean "$what, $switch: jobs and other threads" threads
					reported "$what, $switch: a race with a job" race data\ race
					;;
				leak) # alone it knows the stacks of threads only, and reports nothing from others
					clean "$what, $switch: what only a stack points to" exit
					;;
				esac
			done
		done
	done
done
exit $result
