#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

need_jq()
{
	command -v jq >/dev/null || skip "no jq"
}

# holds FILTER: a jq expression over the trace in the file `trace`
holds()
{
	jq -e "$1" trace >jq.out 2>&1 || fail "does not hold: $1 $(head -c 300 jq.out)"
}

# What every trace must be.
is_sound()
{
	holds '.traceEvents | length > 10'
	# Slices of a track are told in their order, and none begins before the last has ended.
	holds '[.traceEvents[] | select(.ph == "X")] | group_by([.pid, .tid]) | all(
		. as $spans | all(range(1; length); $spans[.].ts * 1000 - ($spans[. - 1].ts + $spans[. - 1].dur) * 1000 > -2))'
	holds '[.traceEvents[] | select(.ph == "X")] | all(.dur >= 0)'
	# Each arrow has a tail and a head, and does not lead into the past.
	holds '[.traceEvents[] | select(.ph == "s" or .ph == "f")] | length > 0 and
		(group_by(.id) | all(length == 2 and .[0].ph == "s" and .[1].ph == "f" and .[0].ts <= .[1].ts))'
	# Both of its ends are in a slice.
	holds '[.traceEvents[] | select(.ph == "X")] as $spans | [.traceEvents[] | select(.ph == "s" or .ph == "f")] |
		all(. as $e | any($spans[]; .pid == $e.pid and .tid == $e.tid and
			.ts - 0.001 <= $e.ts and $e.ts <= .ts + .dur + 0.001))'
	# Each track has a name, and so has each group.
	holds '([.traceEvents[] | select(.ph == "X") | [.pid, .tid]] | unique) -
		[.traceEvents[] | select(.name == "thread_name") | [.pid, .tid]] == []'
	holds '([.traceEvents[] | select(.ph == "X") | .pid] | unique) -
		[.traceEvents[] | select(.name == "process_name") | .pid] == []'
}

test_coop()
{
	need_jq
	ctl run primes --trace=trace 427920331 157 9
	status_is 0
	is_sound
	holds '[.traceEvents[] | select(.name == "thread_name") | .args.name] | contains(["main", "427920331", "157", "9"])'
	holds '[.traceEvents[] | select(.ph == "C") | .name] | unique |
		contains(["jobs", "operations in flight", "ready tasks", "tasks", "timers"])'
	holds '[.traceEvents[] | select(.ph == "C" and .name == "tasks") | .args.count] | max >= 1'
	holds '[.traceEvents[] | select(.ph == "s") | .name] | contains(["creates", "wakes"])'
	holds '.otherData.lost == 0'
}

test_sleeping_tasks_are_parked()
{
	need_jq
	ctl run countdown --clock=virtual --trace=trace A:1 B:0.5
	status_is 0
	is_sound
	holds '[.traceEvents[] | select(.ph == "X" and .cat == "parked" and .name == "waits for sleep")] | length == 6'
	for state in running ready parked; do
		holds "[.traceEvents[] | select(.ph == \"X\" and .cat == \"$state\")] | length > 0"
	done
}

test_jobs_on_workers()
{
	need_jq
	ctl run primes --mode=threads --workers=2 --trace=trace 427920331 157
	status_is 0
	is_sound
	holds '[.traceEvents[] | select(.ph == "s") | .name] | contains(["submits", "ends"])'
	holds '[.traceEvents[] | select(.name == "process_name") | .args.name] | any(startswith("workers of asyncctl"))'
}

test_the_environment()
{
	need_jq
	skip_under valgrind
	ASYNC_TRACE=trace.%p ctl run countdown --clock=virtual A:1
	status_is 0
	mv trace.* trace
	is_sound
	ASYNC_TRACE=none ctl list
	status_is 0
	[ ! -e none ] || fail "a program without a loop wrote a trace"
}

# refused_before_the_run FILE WHY: nothing has run, and nothing waits.
refused_before_the_run()
{
	ctl run primes "--trace=$1" 9
	status_is 1
	out_is_empty
	err_has "--trace: cannot write '$1': $2"
	[ "$(wc -l <err)" -eq 1 ] || fail "more than one line"
}

test_a_file_that_cannot_be_written()
{
	mkdir directory
	mkfifo fifo
	refused_before_the_run nowhere/trace "No such file or directory"
	refused_before_the_run directory "Is a directory"
	refused_before_the_run fifo "nobody reads it"
	if [ "$(id -u)" -ne 0 ]; then
		: >locked
		chmod 0 locked
		refused_before_the_run locked "Permission denied"
	fi
	if [ -e /dev/full ]; then
		ctl run primes --trace=/dev/full 9
		status_is 1
		err_has "--trace: cannot write '/dev/full': No space left on device"
	fi
}

# A program that is told to write to what is no file, or cannot be written, says so and goes on.
test_the_environment_names_no_file()
{
	skip_under valgrind
	local path why
	mkdir directory
	mkfifo fifo
	while read -r path why; do
		ASYNC_TRACE=$path ctl run countdown --clock=virtual A:0
		status_is 0
		out_has 'A done'
		err_has "async: ASYNC_TRACE: '$path' $why"
		[ "$(grep -c ASYNC_TRACE err)" -eq 1 ] || fail "more than one line"
	done <<-'end'
		fifo is refused; expected the name of a regular file
		/dev/null is refused; expected the name of a regular file
		directory cannot be written: Is a directory
		nowhere/trace cannot be written: No such file or directory
		/nowhere/trace cannot be written: No such file or directory
		fifo/trace cannot be written: Not a directory
	end
}

test_what_was_in_the_file_goes_when_there_is_something_else()
{
	need_jq
	yes old | head -n 100000 >trace
	ctl run primes --trace=trace nonsense
	status_is 2
	[ "$(wc -l <trace)" -eq 100000 ] || fail "the old one is lost, and there is no new one"
	ctl run primes --trace=trace 9
	status_is 0
	is_sound
}

test_a_pipe_that_is_read()
{
	need_jq
	mkfifo fifo
	# Somebody who could read, until the reader does.
	exec 3<>fifo
	cat fifo >trace 3<&- &
	ctl run primes --trace=fifo 9
	eventually test -s trace
	exec 3<&-
	wait
	status_is 0
	is_sound
}

test_one_file_for_two_things()
{
	ctl run primes --trace=both.svg --timeline=./both.svg 9
	status_is 1
	out_is_empty
	err_has "--timeline: './both.svg' is the file of --trace, too; expected another one"
}

test_there_is_none_without_a_loop()
{
	ctl run primes --mode=sync --trace=trace 9
	status_is 2
	err_has "mode sync"
}

run_tests
