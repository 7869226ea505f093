#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

has_keys()
{
	for key in "$@"; do
		out_has "\"$key\": "
	done
}

test_the_checker_itself()
{
	for good in '{}' '[1, 2.5, -3e4, "a\u00e4\"", null, {"x": [true]}]' '""'; do
		echo "$good" >out
		is_json
	done
	for wrong in '' '{' '[1,]' '{"a" 1}' '[1] 2' '[01]' "['a']" '{"a": nan}' '"a' '["\x"]'; do
		echo "$wrong" >out
		if (is_json >/dev/null); then
			fail "accepts $wrong"
		fi
	done
}

test_primes()
{
	for mode in sync blocking coop threads; do
		ctl run primes --mode=$mode --json 0 2 18446744073709551615
		status_is 0
		is_json
		[ "$(wc -l <out)" -eq 1 ] || fail "not one line"
		has_keys scenario mode backend switch wall_s cpu_s first_answer_s longest_gap_s peak_rss_bytes switches results
		out_has '"scenario": "primes"'
		out_has "\"mode\": \"$mode\""
		out_has '{"number": "0", "prime": false, "divisor": null}'
		out_has '{"number": "2", "prime": true, "divisor": null}'
		out_has '{"number": "18446744073709551615", "prime": false, "divisor": "3"}'
		err_is_empty
	done
}

test_countdown()
{
	ctl run countdown --json --clock=virtual 'a"b\c:0.25' $'\xff\xc3\xa4:1'
	status_is 0
	is_json
	has_keys scenario mode backend switch wall_s cpu_s first_answer_s longest_gap_s peak_rss_bytes switches results
	out_has '"name": "a\"b\\c", "delay_s": 0.250000, "finished_s": 0.750000'
	out_has $'"name": "\\ufffd\xc3\xa4"'
}

test_stdin()
{
	printf 'a\nb' >input
	for mode in blocking coop threads; do
		ctl run stdin --json --mode=$mode <input
		status_is 0
		is_json
		out_has '"lines": 2, "bytes": 3, "complete": true'
		has_keys ticks largest_delay_s
	done
}

test_a_failed_run_is_json_too()
{
	ctl run stdin --json </
	status_is 1
	is_json
	out_has '"complete": false'
	out_has '"first_answer_s": null'
}

test_doctor()
{
	ctl doctor --json
	status_is 0
	is_json
	has_keys kernel io_uring "stack guard" switch vm.max_map_count descriptors memlock value meaning
}

test_bench()
{
	skip_under valgrind tsan
	ctl bench --json handover executor.busy
	status_is 0
	is_json
	out_matches '^\[\{"name": "handover", "value": [0-9.]+, "unit": "ns"\}, \{"name": "executor.busy", '
}

run_tests
