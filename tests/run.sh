#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the tests that `make` has built below $O, two at a time, and sums them up in the last line.
#   run.sh [WORD...]    only those whose name contains one of the words
# Environment: O, VARIANT, VALGRIND, HAVE_LIBURING from the Makefile; TEST_TIMEOUT in seconds, for each program.
set -u
cd "$(dirname "$0")/.." || exit 1

: "${O:=build}" "${VARIANT:=}" "${VALGRIND:=}" "${HAVE_LIBURING:=}"
words=("$@")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Shells and examples begin like a program that a terminal starts, whatever whoever runs this ignores; a shell in the
# background ignores SIGINT and SIGQUIT.
umask 022
afresh=
env --default-signal true 2>/dev/null && afresh="env --default-signal"

# These do not depend on the backend or the switch, or go through both themselves.
once=" test_base test_context test_harness test_reactor test_reactor_descriptors test_reactor_faults \
test_history test_reactor_operations test_stack test_stack_faults test_worker test_worker_shutdown \
test_worker_threads "

### The tool that watches

tool=()
case $VARIANT in
asan | tsan) timeout=300 ;;
ubsan | gcov) timeout=180 ;;
*) timeout=90 ;;
esac
# Both sanitizers want their shadow where a randomised layout may have put something else.
case $VARIANT in
asan | tsan) setarch -R true 2>/dev/null && tool=(setarch -R) ;;
esac
TEST_TOOL=${VARIANT:-native}
if [ "$VALGRIND" = 1 ]; then
	TEST_TOOL=valgrind
	timeout=600
	tool=(valgrind -q --error-exitcode=99 --leak-check=full --fair-sched=try --num-callers=30)
	[ -f tests/valgrind.supp ] && tool+=("--suppressions=tests/valgrind.supp")
fi
# A program for another processor is run by whoever makes it one of this machine's.
if [ -n "${EMULATOR:-}" ]; then
	TEST_TOOL=emulator
	timeout=600
	read -r -a tool <<<"$EMULATOR"
fi
timeout=${TEST_TIMEOUT:-$timeout}
export TEST_TOOL
export CMOCKA_MESSAGE_OUTPUT=tap
export ASAN_OPTIONS="detect_leaks=1:exitcode=99:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:exitcode=99:${UBSAN_OPTIONS:-}"
tsan_suppressions=
[ -f tests/tsan.supp ] && tsan_suppressions="suppressions=$PWD/tests/tsan.supp:"
export TSAN_OPTIONS="exitcode=99:$tsan_suppressions${TSAN_OPTIONS:-}"

# watched PATH DIRECTORY: a program as tests in scripts call it: one path, whatever watches it.
watched()
{
	local script=$2/${1##*/}
	if [ ${#tool[@]} -eq 0 ]; then
		echo "$1"
		return
	fi
	mkdir -p "$2"
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "${tool[*]/#--suppressions=/--suppressions=$PWD/}" "$1" >"$script"
	chmod +x "$script"
	echo "$script"
}

ASYNCCTL=$(watched "$PWD/$O/asyncctl" "$work/bin")
export ASYNCCTL

### What can run here

switches="ucontext"
case ${ARCH:-$(uname -m)} in
x86_64 | aarch64) switches="asm ucontext" ;;
esac
no_uring=
if [ "$HAVE_LIBURING" != 1 ]; then
	no_uring="built without liburing"
elif [ -x "$O/tests/probe_io_uring" ]; then
	no_uring=$("$O/tests/probe_io_uring")
fi

### The jobs: a name and a command line each

names=() commands=() kinds=()
skipped_runs=() skipped_examples=()

wanted()
{
	local word
	[ ${#words[@]} -eq 0 ] && return 0
	for word in "${words[@]}"; do
		case $1 in *"$word"*) return 0 ;; esac
	done
	return 1
}

# job KIND NAME COMMAND...: KIND is `results` where the output tells them, `status` where only the exit status does.
job()
{
	local kind=$1 name=$2
	shift 2
	wanted "$name" || return 0
	kinds+=("$kind")
	names+=("$name")
	commands+=("$(printf '%q ' "$@")")
}

add_cmocka()
{
	local path=$1 name=${1##*/} backend switch
	if [[ $once == *" $name "* ]]; then
		job results "$name" "${tool[@]}" "$path"
		return
	fi
	for backend in epoll io_uring; do
		for switch in $switches; do
			if [ "$backend" = io_uring ] && [ -n "$no_uring" ]; then
				wanted "$name" && skipped_runs+=("$name io_uring $switch")
				continue
			fi
			job results "$name $backend $switch" env "ASYNC_TEST_BACKEND=$backend" \
				"ASYNC_TEST_SWITCH=$switch" "${tool[@]}" "$path"
		done
	done
}

built()
{
	local source=$1 program=$O/${1%.c*}
	[ -f "$source" ] && [ -x "$program" ] && echo "$program"
}

shopt -s nullglob
for source in tests/model_*.c; do
	program=$(built "$source") && job status "${program##*/}" "${tool[@]}" "$program"
done
for source in tests/test_*.c tests/test_*.cc; do
	program=$(built "$source") && add_cmocka "$program"
done
# An example that needs a dialogue brings a script; one whose output is fixed brings that.
for source in examples/*.c; do
	name=$(basename "$source" .c)
	if ! program=$(built "$source"); then
		wanted "example $name" && skipped_examples+=("$name")
		continue
	fi
	if [ -f "tests/examples/$name.sh" ]; then
		for backend in epoll io_uring; do
			if [ "$backend" = io_uring ] && [ -n "$no_uring" ]; then
				wanted "example $name" && skipped_runs+=("example $name io_uring")
				continue
			fi
			job results "example $name $backend" env "ASYNC_BACKEND=$backend" \
				"EXAMPLE=$(watched "$PWD/$program" "$work/examples")" bash "tests/examples/$name.sh"
		done
	elif [ -f "tests/examples/$name.out" ]; then
		# shellcheck disable=SC2016 # for the inner shell
		job status "example $name" bash -c 'set -o pipefail; out=$1; shift; "$@" | diff "$out" -' - \
			"tests/examples/$name.out" "${tool[@]}" "$program"
	else
		job status "example $name" "${tool[@]}" "$program"
	fi
done
for script in tests/cli/*.sh; do
	[ "$script" = tests/cli/lib.sh ] || job results "cli $(basename "$script" .sh)" bash "$script"
done
# These look at files that no variant changes.
if [ "$TEST_TOOL" = native ]; then
	for script in tests/headers.sh tests/man.sh tests/models.sh tests/sanitizers.sh tests/cxx.sh; do
		[ -f "$script" ] && job results "$(basename "$script" .sh)" bash "$script"
	done
fi

### Running and counting

passed=0 failed=0 skipped=0

count()
{
	grep -cE "$1" "$2"
}

# finish JOB STATUS: counts, prints the line, and the output where something failed.
finish()
{
	local out=$work/$1.out name=${names[$1]} status=$2 ok=0 bad=0 skip=0 why='' seconds
	seconds=$(awk -v a="${started[$1]}" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	if [ "${kinds[$1]}" = results ]; then
		skip=$(count '^((not )?ok\>.*# SKIP|skip\>)' "$out")
		ok=$(($(count '^ok\>' "$out") - $(count '^ok\>.*# SKIP' "$out")))
		bad=$(($(count '^not ok\>' "$out") - $(count '^not ok\>.*# SKIP' "$out")))
		planned=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$out" | awk '{ sum += $1 } END { print sum + 0 }')
		[ $((ok + bad + skip)) -lt "$planned" ] && why="only $((ok + bad + skip)) of $planned tests ended"
	elif [ "$status" -eq 77 ]; then
		skip=1 status=0
	elif [ "$status" -eq 0 ]; then
		ok=1
	fi
	case $status in
	0) [ $((ok + bad + skip)) -eq 0 ] && why="no test ran" ;;
	99) why="$TEST_TOOL reported errors" ;;
	124 | 137) why="not done after $timeout s: TEST_TIMEOUT=SECONDS gives it more" ;;
	*)
		if [ "$status" -gt 128 ] && [ "$status" -lt 193 ]; then
			why="died of SIG$(kill -l $((status - 128)))"
		elif [ "$bad" -eq 0 ]; then
			why="exit status $status"
		fi
		;;
	esac
	# A program that ended badly although none of its tests says so is a failure of its own.
	[ -n "$why" ] && [ "$bad" -eq 0 ] && bad=1
	passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-6s %-48s %3d passed%s%s %6s s%s\n' "$([ $bad -eq 0 ] && echo ok || echo FAILED)" "$name" "$ok" \
		"$([ $bad -gt 0 ] && echo ", $bad failed")" "$([ "$skip" -gt 0 ] && echo ", $skip skipped")" \
		"$seconds" "${why:+ ($why)}"
	if [ "$bad" -gt 0 ]; then
		sed -e '/^ok\>/d' -e 's/^/       | /' "$out" | tail -n 120
	fi
}

declare -A running=() started=()

# start JOB: in a shell of its own, which notes the status; a job that a signal ends is lost to `wait -n`.
start()
{
	started[$1]=$EPOCHREALTIME
	(
		eval "$afresh timeout -k 10 $timeout ${commands[$1]}" >"$work/$1.out" 2>&1 </dev/null
		echo $? >"$work/$1.status"
	) 2>/dev/null &
	running[$1]=$!
}

# Waits until a job has ended, and finishes all that have.
reap()
{
	local i
	wait -n
	for i in "${!running[@]}"; do
		if [ -s "$work/$i.status" ]; then
			finish "$i" "$(<"$work/$i.status")"
		elif kill -0 "${running[$i]}" 2>/dev/null; then
			continue
		else
			finish "$i" 1
		fi
		unset "running[$i]"
	done
}

[ -n "$no_uring" ] && echo "io_uring: $no_uring; its runs are skipped"
for i in "${!names[@]}"; do
	while [ ${#running[@]} -ge 2 ]; do
		reap
	done
	start "$i"
done
while [ ${#running[@]} -gt 0 ]; do
	reap
done
for run in "${skipped_runs[@]}"; do
	printf '%-6s %-48s (%s)\n' skip "$run" "$no_uring"
done
for name in "${skipped_examples[@]}"; do
	printf '%-6s %-48s (%s)\n' skip "example $name" "not built: a library that it uses is not installed"
done
skipped=$((skipped + ${#skipped_runs[@]} + ${#skipped_examples[@]}))

[ "$TEST_TOOL" = native ] || echo "under $TEST_TOOL:"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
