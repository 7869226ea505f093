#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

test_virtual_clock_shows_the_order_and_the_times()
{
	ctl run countdown --clock=virtual
	status_is 0
	out_is "  0.5000                  C = 3
  0.8000          B = 3
  1.0000  A = 3
  1.0000                  C = 2
  1.5000                  C = 1
  1.5000                  C done
  1.6000          B = 2
  2.0000  A = 2
  2.4000          B = 1
  2.4000          B done
  3.0000  A = 1
  3.0000  A done"
	err_has "virtual 3.000 s"
}

test_a_day_of_virtual_time_does_not_wait()
{
	ctl run countdown --clock=virtual long:24h short:1us
	status_is 0
	out_is "  0.0000          short = 3
  0.0000          short = 2
  0.0000          short = 1
  0.0000          short done
86400.0000  long = 3
172800.0000  long = 2
259200.0000  long = 1
259200.0000  long done"
}

# Without the times, which are the machine's.
names_and_numbers()
{
	sed 's/^ *[0-9.]* *//' out
}

test_plain_calls_and_blocking_tasks_come_one_after_the_other()
{
	for mode in sync blocking; do
		ctl run countdown --mode=$mode A:2ms B:1ms
		status_is 0
		[ "$(names_and_numbers | tr '\n' ',')" = "A = 3,A = 2,A = 1,A done,B = 3,B = 2,B = 1,B done," ] ||
			fail "another order in $mode"
	done
}

test_every_mode_says_every_line()
{
	for mode in sync blocking coop threads; do
		ctl run countdown --mode=$mode A:3ms B:2ms C:0 D:1ms
		status_is 0
		[ "$(wc -l <out)" -eq 16 ] || fail "not 16 lines in $mode"
		for name in A B C D; do
			lines=$(names_and_numbers | grep "^$name" | tr '\n' ',')
			[ "$lines" = "$name = 3,$name = 2,$name = 1,$name done," ] || fail "$name in $mode: $lines"
		done
	done
}

test_a_thousand_countdowns_on_the_virtual_clock()
{
	ctl run countdown --clock=virtual $(seq -f 'T%g:0.5' 1000)
	status_is 0
	[ "$(grep -c 'done$' out)" -eq 1000 ] || fail "not a thousand are done"
	tail -n 1 out | grep -q '^  1.5000 .*T1000 done' || fail "the last is not T1000 at 1.5 s"
}

test_more_countdowns_than_workers()
{
	ctl run countdown --mode=threads --workers=1 A:1ms B:1ms
	status_is 0
	[ "$(names_and_numbers | tr '\n' ',')" = "A = 3,A = 2,A = 1,A done,B = 3,B = 2,B = 1,B done," ] ||
		fail "one worker did not do one after the other"
}

run_tests
