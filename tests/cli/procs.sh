#!/bin/bash
# SPDX-License-Identifier: MIT
# Mode procs: the answers of the other modes from worker processes, and none of these left over.
. "$(dirname "$0")/lib.sh"

answers()
{
	grep -v '^Processing ' out | sort
}

test_answers_are_those_of_the_other_modes()
{
	local numbers="0 1 2 3 4 9 157 1000001 1000003 427920331 999966000289 18446744073709551614"
	# shellcheck disable=SC2086
	ctl run primes --mode=sync $numbers
	answers >expected
	for workers in 1 2 3 16; do
		# shellcheck disable=SC2086
		ctl run primes --mode=procs --workers=$workers $numbers
		status_is 0
		answers >found
		diff expected found || fail "the answers of $workers workers differ"
		[ "$(grep -c '^Processing [0-9]*\.\.\.$' out)" -eq 12 ] || fail "not twelve lines Processing"
		err_has "mode procs"
	done
}

test_default_numbers()
{
	ctl run primes --mode=procs
	status_is 0
	out_has "9637529763296797 is a prime number."
	out_has "427920331 is a prime number."
	out_has "157 is a prime number."
}

# Divisors in two of the ranges that are divided among the workers, and in a late one only.
test_a_divided_number_keeps_its_smallest_divisor()
{
	for workers in 1 2 8; do
		ctl run primes --mode=procs --workers=$workers 8000187999405976249 900000720000023
		status_is 0
		out_has "8000187999405976249 is not a prime number (divisible by 1999979)."
		out_has "900000720000023 is not a prime number (divisible by 30000001)."
	done
}

test_json()
{
	ctl run primes --mode=procs --json 9 18446744073709551614
	status_is 0
	[ "$(wc -l <out)" -eq 1 ] || fail "not one line"
	out_has '"mode": "procs"'
	out_has '{"number": "9", "prime": false, "divisor": "3"}'
	out_has '{"number": "18446744073709551614", "prime": false, "divisor": "2"}'
}

# What the workers computed is in the summary, too.
test_the_work_of_the_workers_counts()
{
	ctl run primes --mode=procs --workers=1 --json 9637529763296797
	status_is 0
	awk -F'"cpu_s": ' '{ split($2, part, ","); exit !(part[1] > 0.01) }' out || fail "no time was counted"
}

test_unknown_to_other_scenarios()
{
	ctl run countdown --mode=procs
	status_is 2
	err_has "--mode: 'procs' is no mode of countdown; expected one of: sync, blocking, coop, threads"
}

test_too_many_workers()
{
	ctl run primes --mode=procs --workers=513 7
	status_is 2
	err_has "--workers: 513 is too many for --mode=procs; expected a whole number from 1 to 512"
}

# The processes whose stat line has $2 as its field $1, counted from behind the name: 2 is the parent, 3 the group. One
# look at all of them, since what a test kills must still be there.
processes_with()
{
	cat /proc/[0-9]*/stat 2>/dev/null | awk -v field="$1" -v value="$2" '{
		pid = $1
		sub(/^.*\) /, "")
		if ($field == value && $1 != "Z")
			print pid
	}'
}

# Processes of the group that this test has given the command.
left_over()
{
	[ -n "$(processes_with 3 "$1")" ]
}

none_left_over()
{
	! left_over "$1"
}

start()
{
	# Nobody must find there what an earlier one wrote.
	rm -f out err
	set -m
	"$ASYNCCTL" "$@" </dev/null >out 2>err &
	pid=$!
	set +m
}

# As a terminal does it: the signal goes to every process of the group.
test_interruption()
{
	for workers in 1 4; do
		start run primes --mode=procs --workers=$workers 7 18446744073709551557 18446744073709551533
		eventually grep -q '^7 is a prime number' out
		settle $pid
		kill -INT -- -$pid
		wait $pid
		status=$?
		status_is 130
		err_has "interrupted: 2 of 3 numbers left undone: 18446744073709551557, 18446744073709551533"
		none_left_over $pid || fail "a process is left over"
	done
}

test_a_killed_command_leaves_no_process()
{
	start run primes --mode=procs --workers=2 7 18446744073709551557
	eventually grep -q '^7 is a prime number' out
	kill -KILL $pid
	wait $pid 2>/dev/null
	eventually none_left_over $pid
}

# The fork server is the child of the command, the workers are children of that.
test_a_killed_worker_is_an_error()
{
	skip_under valgrind
	start run primes --mode=procs --workers=2 7 18446744073709551557
	eventually grep -q '^7 is a prime number' out
	server=$(processes_with 2 $pid)
	worker=$(processes_with 2 "$server" | head -n 1)
	kill -KILL "$worker"
	wait $pid
	status=$?
	status_is 1
	err_has "18446744073709551557: "
	none_left_over $pid || fail "a process is left over"
}

run_tests
