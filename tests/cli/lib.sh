# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the command's tests share. A script defines functions `test_…`, sources this file first and ends with
# `run_tests`, which runs each of them in a directory of its own and prints `ok - …`, `not ok - …` or `skip - …`.
#
#     . "$(dirname "$0")/lib.sh"
#     test_unknown_scenario_is_bad_usage() {
#         ctl run nonsense
#         status_is 2
#         err_has nonsense
#     }
#     run_tests
#
# ASYNCCTL is the command, TEST_TOOL what watches it: native, valgrind, asan, ubsan, tsan, gcov.
# The first assertion that does not hold ends its test.

: "${ASYNCCTL:?is the path of asyncctl}" "${TEST_TOOL:=native}"
tests_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export tests_dir

# Runs the command. Then: $status, and the files out and err.
ctl()
{
	"$ASYNCCTL" "$@" >out 2>err
	status=$?
}

fail()
{
	echo "# $*"
	for file in out err; do
		[ -s $file ] && head -n 15 $file | sed "s/^/# $file: /"
	done
	exit 1
}

# Ends the test as not run.
skip()
{
	echo "$*" >skipped
	exit 0
}

# For what a tool changes, as limits on memory: skip_under valgrind asan
skip_under()
{
	case " $* " in *" $TEST_TOOL "*) skip "not under $TEST_TOOL" ;; esac
}

status_is()
{
	[ "$status" -eq "$1" ] || fail "exit status $status, not $1"
}

out_is()
{
	[ "$(cat out)" = "$1" ] || fail "stdout is not: $1"
}

out_has()
{
	grep -qF -e "$1" out || fail "not in stdout: $1"
}

out_matches()
{
	grep -qE -e "$1" out || fail "nothing in stdout matches: $1"
}

out_is_empty()
{
	[ ! -s out ] || fail "stdout is not empty"
}

err_has()
{
	grep -qF -e "$1" err || fail "not in stderr: $1"
}

err_matches()
{
	grep -qE -e "$1" err || fail "nothing in stderr matches: $1"
}

# But for what valgrind says of an ioctl that it does not know, SIOCOUTQNSD: three lines each time.
err_is_empty()
{
	local rest
	rest=$(sed -e '/==[0-9]*== Warning: noted but unhandled ioctl 0x894b /,+2d' err)
	[ -z "$rest" ] || fail "stderr is not empty"
}

# Waits until the command holds: for what another process does. Fails after a minute.
eventually()
{
	local tries=0
	until "$@" >/dev/null 2>&1; do
		[ $((tries += 1)) -le 1200 ] || fail "never true: $*"
		sleep 0.05
	done
}

# ticks PID: processor time of its main thread, in clock ticks; then $state.
ticks()
{
	read -r -a fields <"/proc/$1/task/$1/stat"
	state=${fields[2]}
	ticks=$((fields[13] + fields[14]))
}

settled()
{
	ticks "$1"
	[ "$state" = S ] || [ $((ticks - $2)) -gt 20 ]
}

# settle PID: until its main thread waits, or has computed for a while. ThreadSanitizer keeps a signal for the stack on
# which it comes, so it must not be that of a task which is about to end, or to wait for long.
settle()
{
	ticks "$1"
	eventually settled "$1" "$ticks"
}

# A JSON parser in awk, so that no package is needed: fails unless the file `out` is one value.
is_json()
{
	awk '
	function skip() { while (substr(text, at, 1) ~ /[ \t\r\n]/) at++ }
	function wrong(what) {
		print "# JSON: " what " at " at ": " substr(text, at, 30)
		bad = 1
		at = length(text) + 1
	}
	function string(    rest) {
		rest = substr(text, at)
		gsub(/\\u[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]/, "\\nnnnn", rest)
		if (!match(rest, /^"([^"\\[:cntrl:]]|\\["\\\/bfnrt])*"/)) {
			wrong("no string")
			return
		}
		at += RLENGTH
	}
	function members(close_by, named,    c) {
		at++
		skip()
		if (substr(text, at, 1) == close_by) { at++; return }
		while (!bad) {
			skip()
			if (named) {
				string()
				skip()
				if (substr(text, at++, 1) != ":") { wrong("no colon"); return }
			}
			value()
			skip()
			c = substr(text, at++, 1)
			if (c == close_by) return
			if (c != ",") { wrong("no comma"); return }
		}
	}
	function value(    c, rest) {
		skip()
		c = substr(text, at, 1)
		rest = substr(text, at)
		if (c == "{") members("}", 1)
		else if (c == "[") members("]", 0)
		else if (c == "\"") string()
		else if (match(rest, /^(true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)/)) at += RLENGTH
		else wrong("no value")
	}
	{ text = text $0 "\n" }
	END { at = 1; value(); skip(); if (at <= length(text)) wrong("more than one value"); exit bad }
	' out || fail "not JSON"
}

run_tests()
{
	local test name scratch result=0
	scratch=$(mktemp -d)
	for test in $(compgen -A function test_); do
		name=${test#test_}
		name=${name//_/ }
		mkdir "$scratch/$test"
		if ! (cd "$scratch/$test" && "$test") >"$scratch/log" 2>&1; then
			echo "not ok - $name"
			result=1
		elif [ -e "$scratch/$test/skipped" ]; then
			echo "skip - $name: $(cat "$scratch/$test/skipped")"
		else
			echo "ok - $name"
		fi
		sed -e '/^#/!s/^/# /' "$scratch/log"
	done
	rm -rf "$scratch"
	exit $result
}
