#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"
export LC_ALL=C.UTF-8 COLUMNS=80
unset NO_COLOR

big=9637529763296797

# lane NAME: what the chart shows of it
lane()
{
	sed -n "s/^$1 *\([█▓┃░─].*[█▓┃░─]\) .*/\1/p" out
}

test_tasks_take_turns()
{
	ctl run primes --mode=coop --yield=10k --timeline 427920331 427920333 157
	status_is 0
	out_matches '╷0'
	out_matches '^main '
	out_matches '^427920331 '
	out_matches 'ran$'
	out_matches '^█ runs|runs a moment|runs in turns'
}

test_blocking_starves_the_others()
{
	skip_under valgrind tsan asan
	ctl run primes --mode=blocking --timeline $big 157
	status_is 0
	lane $big >first
	lane 157 >second
	# The long one runs nearly all the time, in which the other is ready.
	[ "$(tr -cd '█' <first | wc -m)" -gt 40 ] || fail "$big does not run: $(cat first)"
	[ "$(tr -cd '░' <second | wc -m)" -gt 40 ] || fail "157 does not wait: $(cat second)"
	out_has "ready, waits for its turn"
}

test_without_a_loop()
{
	skip_under valgrind tsan asan
	ctl run primes --mode=sync --timeline 157 $big
	status_is 0
	[ "$(lane $big | tr -cd '█' | wc -m)" -gt 40 ] || fail "$big does not run"
}

test_parked()
{
	ctl run countdown --timeline A:0.02
	status_is 0
	out_matches '^A .*─'
	out_has "─ parked"
}

test_workers_have_lanes()
{
	ctl run primes --mode=threads --workers=1 --timeline 427920331
	status_is 0
	out_matches '^async-0 '
}

test_width()
{
	for width in 20 40 80 133 1000; do
		COLUMNS=$width ctl run primes --timeline 9 157
		status_is 0
		want=$((width < 40 ? 40 : width > 200 ? 200 : width))
		longest=$(sed -n '/ran$/,/^[█▓┃░─] /p' out | sed '$d' | wc -L)
		[ "$longest" -eq $want ] || fail "$longest columns, not $want"
	done
}

test_without_unicode()
{
	LC_ALL=C ctl run primes --timeline 9
	status_is 0
	[ -z "$(tr -d '\n -~' <out)" ] || fail "not ASCII"
	out_has '|0'
}

test_no_colours_unless_on_a_terminal()
{
	ctl run primes --timeline 9
	status_is 0
	if grep -q $'\033' out; then fail "escapes"; fi
}

test_many_lanes()
{
	# shellcheck disable=SC2046 # words
	ctl run primes --timeline $(seq 100)
	status_is 0
	out_matches '^… and [0-9]+ more$'
	[ "$(wc -l <out)" -lt 240 ] || fail "too long"
}

test_with_json_it_goes_to_standard_error()
{
	ctl run primes --json --timeline 9
	status_is 0
	[ "$(wc -l <out)" -eq 1 ] || fail "not one line"
	err_matches 'ran$'
	err_matches '^9 '
}

test_svg()
{
	ctl run countdown --timeline=chart.svg 'a<&":0.05'
	status_is 0
	out_has 'done'
	if grep -q 'ran$' out; then fail "drawn as well"; fi
	head -n 1 chart.svg | grep -q '^<svg xmlns="http://www.w3.org/2000/svg"' || fail "no picture"
	tail -n 1 chart.svg | grep -q '^</svg>$' || fail "not whole"
	grep -q '>a&lt;&amp;&quot;</text>' chart.svg || fail "no name"
	grep -q '<title>waits for sleep for ' chart.svg || fail "no tooltip"
	[ "$(grep -o '<rect' chart.svg | wc -l)" -eq "$(grep -oE '</rect>|/>' chart.svg | wc -l)" ] ||
		[ "$(grep -o '<g>' chart.svg | wc -l)" -eq "$(grep -o '</g>' chart.svg | wc -l)" ] || fail "tags do not match"
	if command -v xmllint >/dev/null; then
		xmllint --noout chart.svg || fail "no XML"
	fi
}

test_wrong_names()
{
	ctl run primes --timeline=chart.png 9
	status_is 2
	err_has "--timeline: 'chart.png' is no picture"
	ctl run primes --timeline=nowhere/chart.svg 9
	status_is 1
	err_has "--timeline: cannot write 'nowhere/chart.svg': No such file or directory"
	out_is_empty
	mkfifo fifo.svg
	mkdir directory.svg
	ctl run primes --timeline=fifo.svg 9
	status_is 1
	err_has "--timeline: cannot write 'fifo.svg': nobody reads it"
	out_is_empty
	ctl run primes --mode=sync --timeline=directory.svg 9
	status_is 1
	err_has "--timeline: cannot write 'directory.svg': Is a directory"
	out_is_empty
}

run_tests
