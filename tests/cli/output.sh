#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

test_a_full_disk()
{
	for words in "run primes 7" "run primes 7 --json" "run primes --mode=sync 7" "run primes --mode=threads 7" \
		"run countdown A:0" "list" "help" "help run" "doctor" "doctor --json" "--version"; do
		# shellcheck disable=SC2086
		"$ASYNCCTL" $words >/dev/full 2>err </dev/null
		status=$?
		status_is 1
		err_has "cannot write to standard output: No space left on device"
	done
	echo x | "$ASYNCCTL" run stdin >/dev/full 2>err
	status=$?
	status_is 1
	err_has "No space left on device"
}

# The reader is gone before the command writes.
with_closed_pipe()
{
	mkfifo pipe
	exec 4<>pipe 5>pipe 4<&-
	"$ASYNCCTL" "$@" >&5 2>err </dev/null
	status=$?
	exec 5>&-
	rm pipe
}

test_a_closed_pipe()
{
	for mode in sync blocking coop threads; do
		with_closed_pipe run primes --mode=$mode 7 427920331
		status_is 1
		err_has "cannot write to standard output: Broken pipe"
	done
	with_closed_pipe list
	status_is 1
	with_closed_pipe run countdown --clock=virtual
	status_is 1
	err_has "Broken pipe"
}

test_a_closed_descriptor()
{
	# It needs a standard error itself.
	skip_under valgrind
	"$ASYNCCTL" run primes 7 >&- 2>err
	status=$?
	status_is 1
	err_has "cannot write to standard output: Bad file descriptor"
	"$ASYNCCTL" run primes 7 >out 2>&-
	status=$?
	status_is 0
	out_has "7 is a prime number."
	"$ASYNCCTL" run primes 7 >&- 2>&- <&-
	status=$?
	status_is 1
}

test_a_run_ends_when_its_results_cannot_be_written()
{
	# Without that, hours of counting would follow the first line.
	with_closed_pipe run countdown --mode=threads A:0 B:24h
	status_is 1
	with_closed_pipe run countdown A:0 B:24h
	status_is 1
}

test_results_come_at_once()
{
	mkfifo fifo
	"$ASYNCCTL" run countdown A:0 B:300 >fifo 2>err &
	pid=$!
	exec 3<fifo
	read -r line <&3
	kill $pid
	wait $pid 2>/dev/null
	[ "$line" = "0.0000  A = 3" ] || [ "${line#0.}" != "$line" ] || fail "first line: $line"
}

test_no_bars_in_a_pipe()
{
	ctl run primes --mode=sync 427920331
	status_is 0
	if grep -q '#' err; then
		fail "a bar in a pipe"
	fi
}

# Under script(1) standard error is a terminal.
on_terminal()
{
	command -v script >/dev/null || skip "no script(1)"
	TERM=xterm script -qec "'$ASYNCCTL' $*" /dev/null >out 2>&1 </dev/null
	status=$?
}

test_bars_on_a_terminal()
{
	on_terminal run primes --mode=coop 9637529763296797
	status_is 0
	out_has "9637529763296797 [#"
	# Each time the bars are wiped before anything else is written.
	out_matches "is a prime number"
}

test_no_bars_on_a_terminal_if_unwanted()
{
	on_terminal run primes --no-progress --mode=coop 9637529763296797
	status_is 0
	if grep -qF '[#' out; then
		fail "a bar in spite of --no-progress"
	fi
}

test_help_shows_every_option()
{
	ctl run --help
	status_is 0
	err_is_empty
	for option in mode yield workers backend switch stack-size clock interval json debug no-progress help; do
		out_has "--$option"
	done
	cp out long
	ctl help run
	cmp long out || fail "'help run' and 'run --help' differ"
	ctl run primes -h
	status_is 0
	for command in list bench doctor help; do
		ctl $command --help
		status_is 0
		out_has "Usage: asyncctl $command"
	done
}

test_list_and_version()
{
	ctl list
	status_is 0
	out_matches '^primes +sync,blocking,coop,threads,procs '
	out_matches '^countdown +sync,blocking,coop,threads '
	out_matches '^stdin +blocking,coop,threads '
	ctl --version
	status_is 0
	out_matches '^asyncctl [0-9]+\.[0-9]+\.[0-9]+'
}

test_doctor_names_what_matters()
{
	ctl doctor
	status_is 0
	for name in kernel io_uring "stack guard" switch vm.max_map_count descriptors memlock; do
		out_has "$name"
	done
}

# limited KILOBYTES arguments…: with so much address space.
limited()
{
	skip_under valgrind asan tsan
	(
		ulimit -v "$1"
		shift
		"$ASYNCCTL" "$@" >out 2>err
	)
	status=$?
}

test_memory_that_runs_out_is_named()
{
	limited 300000 run primes --stack-size=1G 7 9 11
	status_is 1
	err_has "out of memory"
}

test_what_was_finished_when_memory_ran_out_is_printed()
{
	limited 6000000 run countdown --clock=virtual --stack-size=1G $(seq -f 'T%g:1' 20)
	status_is 1
	out_has "T1 done"
	err_has "T20: out of memory"
}

test_threads_that_cannot_be_had_are_named()
{
	limited 10000 --version
	[ "$status" -eq 0 ] || skip "the program itself needs more"
	limited 10000 run primes --mode=threads 7
	status_is 1
	err_has "7: no worker thread could be started"
}

run_tests
