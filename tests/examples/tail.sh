#!/bin/bash
# SPDX-License-Identifier: MIT
# The example tail follows files that grow, are cut short, replaced and made anew.
. "$(dirname "$0")/lib.sh"

out_becomes()
{
	expected=$1
	eventually out_equals || fail "stdout is not: $1"
}

out_equals()
{
	[ "$(cat out)" = "$expected" ]
}

ends_at_sigterm()
{
	stop_by TERM
	status_is 1
}

test_the_last_lines_and_what_follows()
{
	seq 15 >log
	start log
	out_becomes "$(seq 6 15)"
	echo more >>log
	printf 'part of ' >>log
	out_becomes "$(seq 6 15)
more
part of "
	echo 'a line' >>log
	out_becomes "$(seq 6 15)
more
part of a line"
	err_is_empty
	ends_at_sigterm
}

test_few_lines_and_long_ones()
{
	printf 'only\nlines' >log
	start log
	out_becomes $'only\nlines'
	ends_at_sigterm
	head -c 20000 /dev/zero | tr '\0' x >log
	start log
	out_becomes "$(head -c 8192 log)"
	seq 5000 >>log
	out_becomes "$(head -c 8192 log)$(seq 5000)"
	ends_at_sigterm
}

test_a_truncated_file_is_read_from_its_start()
{
	echo a long line >log
	start log
	out_becomes 'a long line'
	echo new >log
	out_becomes $'a long line\nnew'
	err_has 'log: truncated'
	ends_at_sigterm
}

test_rotation()
{
	echo one >log
	start log
	out_becomes one
	mv log log.1
	echo two >>log.1
	out_becomes $'one\ntwo'
	echo three >log
	out_becomes $'one\ntwo\nthree'
	err_has 'log: following the new file'
	rm log
	echo four >new
	mv new log
	out_becomes $'one\ntwo\nthree\nfour'
	echo five >>log
	out_becomes $'one\ntwo\nthree\nfour\nfive'
	ends_at_sigterm
}

test_a_file_that_does_not_exist_yet()
{
	start "$PWD/log"
	eventually grep -q 'does not exist yet' err
	echo here >log
	out_becomes here
	ends_at_sigterm
}

test_several_files_and_standard_input()
{
	mkfifo pipe
	touch a b
	# shellcheck disable=SC2094 # the pipe has one writer: this shell
	env --default-signal=INT "$EXAMPLE" a b - >out 2>err <pipe &
	pid=$!
	trap 'kill -KILL "$pid" 2>/dev/null' EXIT
	exec 3>pipe
	echo 1 >>a
	out_becomes $'==> a <==\n1'
	echo 2 >>a
	out_becomes $'==> a <==\n1\n2'
	echo 3 >>b
	out_becomes $'==> a <==\n1\n2\n\n==> b <==\n3'
	echo 4 >&3
	out_becomes $'==> a <==\n1\n2\n\n==> b <==\n3\n\n==> - <==\n4'
	exec 3>&-
	echo 5 >>b
	out_becomes $'==> a <==\n1\n2\n\n==> b <==\n3\n\n==> - <==\n4\n\n==> b <==\n5'
	stop_by INT
	status_is 130
	err_is_empty
}

# Input alone ends when that does.
test_standard_input_alone()
{
	seq 1000 | "$EXAMPLE" - >out 2>err
	status=$?
	status_is 0
	out_is "$(seq 1000)"
}

# head goes away after a line: the next one finds nobody.
test_nobody_reads()
{
	echo one >log
	mkfifo pipe
	start_into_pipe
	[ "$(head -n 1 pipe)" = one ] || fail "not the first line"
	echo two >>log
	has_ended
	status_is 1
	err_has 'Broken pipe'
}

start_into_pipe()
{
	"$EXAMPLE" log >pipe 2>err </dev/null &
	pid=$!
	trap 'kill -KILL "$pid" 2>/dev/null' EXIT
}

test_what_cannot_be_followed()
{
	echo one >log
	mkdir directory
	start nowhere/log directory log
	eventually grep -q one out
	eventually grep -q 'nowhere/log: No such file or directory' err
	eventually grep -q 'directory: Is a directory' err
	ends_at_sigterm
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: tail FILE...'
	example --help
	status_is 2
	err_has 'usage: tail FILE...'
}

run_tests
