#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

modes="blocking coop threads"

test_lines_are_numbered_and_measured()
{
	printf 'hello\n\nlast without newline' >input
	for mode in $modes; do
		ctl run stdin --mode="$mode" <input
		status_is 0
		out_has "line 1: 5 characters"
		out_has "line 2: 0 characters"
		out_has "line 3: 20 characters"
		out_matches '^3 lines, 27 bytes; largest delay of a tick [0-9.]+ s$'
	done
}

test_pipes_files_and_the_null_device()
{
	for mode in $modes; do
		printf 'a\n' | "$ASYNCCTL" run stdin --mode="$mode" >out 2>err || fail "a pipe in $mode"
		out_has "line 1: 1 characters"
		ctl run stdin --mode="$mode" </dev/null
		status_is 0
		out_matches '^0 lines, 0 bytes'
		: >empty
		ctl run stdin --mode="$mode" <empty
		status_is 0
	done
}

test_both_backends_read()
{
	printf 'a\nbc\n' >input
	for backend in auto epoll; do
		ctl run stdin --backend=$backend <input
		status_is 0
		out_has "line 2: 2 characters"
		printf 'abc\n' | "$ASYNCCTL" run stdin --backend=$backend >out 2>err || fail "a pipe with $backend"
		out_has "line 1: 3 characters"
	done
}

test_a_very_long_line()
{
	head -c 5000000 /dev/zero | tr '\0' x >input
	for mode in $modes; do
		ctl run stdin --mode="$mode" <input
		status_is 0
		out_has "line 1: 5000000 characters"
	done
}

test_binary_input()
{
	printf '\0\377\001\n\200\200' >input
	for mode in $modes; do
		ctl run stdin --mode="$mode" <input
		status_is 0
		out_has "line 1: 3 characters"
		out_has "line 2: 2 characters"
	done
}

test_many_lines()
{
	seq 100000 >input
	for mode in $modes; do
		ctl run stdin --mode="$mode" <input
		status_is 0
		[ "$(grep -c '^line ' out)" -eq 100000 ] || fail "not 100000 answers"
		out_has "line 100000: 6 characters"
	done
}

test_an_answer_comes_before_the_next_line()
{
	for mode in $modes; do
		rm -f fifo out err && mkfifo fifo
		"$ASYNCCTL" run stdin --mode="$mode" <fifo >out 2>err &
		pid=$!
		exec 3>fifo
		for line in 1 2 3; do
			echo x >&3
			eventually grep -q "^line $line:" out
		done
		exec 3>&-
		wait $pid || fail "exit status in $mode"
	done
}

test_the_clock_ticks_while_nothing_comes()
{
	for mode in coop threads; do
		rm -f fifo out err && mkfifo fifo
		"$ASYNCCTL" run stdin --mode="$mode" --interval=1ms <fifo >out 2>err &
		pid=$!
		exec 3>fifo
		eventually grep -q "^tick 5 at" err
		exec 3>&-
		wait $pid || fail "exit status in $mode"
	done
}

test_the_clock_does_not_tick_while_a_task_blocks()
{
	mkfifo fifo
	"$ASYNCCTL" run stdin --mode=blocking --interval=1ms <fifo >out 2>err &
	pid=$!
	exec 3>fifo
	echo x >&3
	eventually grep -q "^line 1" out
	grep -c ^tick err >before
	# Only a second line lets it tick again: once, for all that it missed.
	echo x >&3
	eventually grep -q "^line 2" out
	exec 3>&-
	wait $pid || fail "exit status"
	after=$(grep -c ^tick err)
	[ "$after" -le $(($(cat before) + 4)) ] || fail "$after ticks"
	out_matches 'largest delay of a tick [0-9.]+ s'
}

test_input_that_cannot_be_read()
{
	for mode in $modes; do
		ctl run stdin --mode="$mode" <&-
		status_is 1
		err_has "Bad file descriptor"
		ctl run stdin --mode="$mode" </
		status_is 1
		err_has "Is a directory"
	done
}

run_tests
