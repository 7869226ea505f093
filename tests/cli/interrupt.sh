#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

# Starts the command beside this script, which ignores SIGINT in children of its own kind: hence the new group.
start()
{
	set -m
	"$ASYNCCTL" "$@" <fifo >out 2>err &
	pid=$!
	set +m
	exec 3>fifo
}

# shellcheck disable=SC2034
interrupt()
{
	settle $pid
	kill -INT $pid
	wait $pid
	status=$?
	exec 3>&-
}

setup()
{
	rm -f fifo out err
	mkfifo fifo
}

# About five seconds of work natively for the second number, so the first is known and the second is not.
test_primes_in_every_mode()
{
	for mode in sync blocking coop threads; do
		setup
		start run primes --mode=$mode 7 18446744073709551557 18446744073709551533
		eventually grep -q '^7 is a prime number' out
		interrupt
		status_is 130
		err_has "interrupted: 2 of 3 numbers left undone: 18446744073709551557, 18446744073709551533"
	done
}

test_a_task_that_never_gives_way()
{
	setup
	start run primes --mode=coop --yield=1000G 18446744073709551557
	eventually grep -q '^Processing' out
	interrupt
	status_is 130
	err_has "interrupted: 1 of 1 numbers left undone"
}

test_a_number_divided_among_workers()
{
	setup
	start run primes --mode=threads --workers=8 18446744073709551557
	eventually grep -q '^Processing' out
	interrupt
	status_is 130
	err_has "interrupted: 1 of 1 numbers left undone"
}

test_countdown_in_every_mode()
{
	for mode in sync blocking coop threads; do
		setup
		start run countdown --mode=$mode A:0 B:10000 C:20000
		eventually grep -q 'A done' out
		interrupt
		status_is 130
		err_has "interrupted: 2 of 3 countdowns left undone: B, C"
	done
}

test_stdin_in_every_mode()
{
	for mode in blocking coop threads; do
		setup
		start run stdin --mode=$mode --interval=1h
		echo x >&3
		eventually grep -q '^line 1' out
		interrupt
		status_is 130
		err_has "interrupted: 1 of 1 inputs left undone: standard input after line 1"
	done
}

written()
{
	[ "$(awk '/^wchar:/ { print $2 }' "/proc/$pid/io")" -gt "$1" ]
}

# A pipe holds 64 KiB; the answers are 2 MiB.
test_a_reader_that_does_not_read()
{
	[ -r /proc/self/io ] || skip "no /proc/PID/io"
	mkfifo results
	exec 4<>results
	seq 100000 >input
	set -m
	"$ASYNCCTL" run stdin <input >results 2>err &
	pid=$!
	set +m
	eventually written 60000
	interrupt
	exec 4>&-
	status_is 130
	err_has "interrupted: 1 of 1 inputs left undone"
}

test_json_is_complete_after_an_interruption()
{
	for mode in sync blocking coop threads; do
		setup
		start run primes --json --debug --mode=$mode 7 18446744073709551557
		eventually grep -q '^debug: stacks' err
		interrupt
		status_is 130
		err_has "interrupted: "
		[ "$(wc -l <out)" -eq 1 ] || fail "not one line"
		out_matches '^\{.*"results": \[.*\]\}$'
	done
}

test_an_ignored_signal_stays_ignored()
{
	(
		trap '' INT
		"$ASYNCCTL" run countdown A:50ms >out 2>err &
		pid=$!
		eventually test -s out
		kill -INT $pid
		wait $pid
	) || fail "it was interrupted"
	out_has "A done"
}

run_tests
