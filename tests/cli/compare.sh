#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

test_all_modes_in_one_table()
{
	ctl compare primes --rounds=1 427920331 157
	status_is 0
	for mode in sync blocking coop threads procs; do
		# Two lines of figures and a sentence.
		[ "$(grep -c "^$mode " out)" -eq 3 ] || fail "$mode is not there three times"
		out_matches "^$mode (took|was the fastest with) [0-9.]+ [mun]?s.* first answer .*\.$"
	done
	for title in wall CPU 'first answer' 'longest gap' switches memory; do
		out_has "$title"
	done
	out_matches '#'
	err_is_empty
}

test_only_the_modes_that_there_are()
{
	ctl compare countdown --rounds=1 A:0 B:0
	status_is 0
	if grep -q procs out; then fail "countdown has no mode procs"; fi
}

test_json()
{
	ctl compare countdown --json --rounds=3 A:0.01
	status_is 0
	[ "$(wc -l <out)" -eq 1 ] || fail "not one line"
	for name in scenario rounds modes mode wall_s cpu_s first_answer_s longest_gap_s switches peak_rss_bytes says; do
		out_has "\"$name\": "
	done
	command -v jq >/dev/null || return 0
	jq -e '[.modes[].mode] == ["sync", "blocking", "coop", "threads"]' out >/dev/null || fail "modes"
	# Three sleeps of 10 ms; the first answer comes after the first of them.
	jq -e '.modes | all(.wall_s >= 0.03 and .first_answer_s >= 0.01 and .longest_gap_s >= 0.01 and
		.first_answer_s < .wall_s and .longest_gap_s < .wall_s and .peak_rss_bytes > 100000)' out >/dev/null ||
		fail "figures"
	jq -e '(.modes[0].switches == 0) and (.modes[2].switches >= 6)' out >/dev/null || fail "switches"
}

test_options_are_passed_on()
{
	ctl compare primes --rounds=1 --yield=none 9
	status_is 2
	err_has "--yield: 'none'"
	ctl compare primes --rounds=1 --switch=ucontext --backend=epoll --workers=1 9
	status_is 0
}

test_what_cannot_be_compared()
{
	ctl compare stdin
	status_is 2
	err_has "expected one of: primes, countdown"
	ctl compare
	status_is 2
	ctl compare nothing
	status_is 2
	ctl compare primes --rounds=0
	status_is 2
	ctl compare primes 9x
	status_is 2
	out_is_empty
}

run_tests
