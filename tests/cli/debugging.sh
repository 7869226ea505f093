#!/bin/bash
# SPDX-License-Identifier: MIT
# What a program tells of itself without having been written for it. The command is such a program.
. "$(dirname "$0")/lib.sh"

# Blocks the loop in a read until the descriptor is closed, $1 in the environment.
start_blocked()
{
	mkfifo input
	env "$1" "$ASYNCCTL" run stdin --mode=blocking <input >out 2>err &
	pid=$!
	exec 9>input
}

end_blocked()
{
	exec 9>&-
	wait "$pid"
	status=$?
}

test_who_holds_the_loop_is_reported_while_it_does()
{
	start_blocked ASYNC_DEBUG=1
	eventually grep -q "has held the loop for .* and does not give way" err
	end_blocked
	status_is 0
	err_has "without giving way"
	if [ "$TEST_TOOL" = valgrind ]; then
		err_has "no backtrace: the program runs in valgrind"
	else
		err_matches '^  #0  '
	fi
}

test_nothing_is_reported_unless_asked_for()
{
	for value in ASYNC_DEBUG=0 ASYNC_DEBUG=; do
		ASYNC_DEBUG=${value#*=} ctl run countdown --mode=blocking A:0.1
		status_is 0
		! grep -q "held the loop" err || fail "reported with $value"
	done
}

test_the_probes_are_there()
{
	skip_under valgrind asan tsan
	command -v readelf >/dev/null || skip "no readelf"
	echo '#include <sys/sdt.h>' | "${CC:-cc}" -E - >/dev/null 2>&1 || skip "built without sys/sdt.h"
	readelf -n "$ASYNCCTL" >notes
	for probe in task_create task_switch task_park task_wake task_end job_begin job_end loop_poll loop_polled; do
		grep -A1 "Provider: libasync" notes | grep -q "Name: $probe$" || fail "no probe $probe"
	done
}

run_tests
