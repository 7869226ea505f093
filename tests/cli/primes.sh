#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

modes="sync blocking coop threads"

# Every answer, in the order of the arguments, whatever the order in which they became known.
answers_are()
{
	grep -v '^Processing ' out | sort >answers
	printf '%s\n' "$@" | sort >expected
	diff expected answers || fail "the answers differ"
}

test_default_numbers_are_prime_in_every_mode()
{
	for mode in $modes; do
		ctl run primes --mode="$mode"
		status_is 0
		answers_are "9637529763296797 is a prime number." "427920331 is a prime number." \
			"157 is a prime number."
		[ "$(grep -c '^Processing [0-9]*\.\.\.$' out)" -eq 3 ] || fail "not three lines Processing in $mode"
		err_has "mode $mode"
	done
}

test_small_numbers_against_a_sieve()
{
	awk 'BEGIN {
		for (n = 0; n <= 1000; n++) {
			d = 0
			for (i = 2; i * i <= n && !d; i++)
				if (n % i == 0)
					d = i
			if (n > 1 && !d)
				print n " is a prime number."
			else
				print n " is not a prime number" (n > 1 ? " (divisible by " d ")" : "") "."
		}
	}' >wanted
	for mode in $modes; do
		ctl run primes --mode="$mode" $(seq 0 1000)
		status_is 0
		answers_are "$(cat wanted)"
	done
}

test_numbers_with_suffixes()
{
	ctl run primes --mode=sync 10k 10K 1M 1m 2G 1_0k 18446744073709551k
	status_is 0
	answers_are "10000 is not a prime number (divisible by 2)." "10000 is not a prime number (divisible by 2)." \
		"1000000 is not a prime number (divisible by 2)." "1000000 is not a prime number (divisible by 2)." \
		"2000000000 is not a prime number (divisible by 2)." \
		"10000 is not a prime number (divisible by 2)." \
		"18446744073709551000 is not a prime number (divisible by 2)."
	ctl run primes --yield=10K --stack-size=64K --workers=1_0 9
	status_is 0
}

# The last number is the largest square of a prime below 2^64; the others lie where a double begins to round.
test_squares_of_primes()
{
	skip_under valgrind
	ctl run primes --mode=threads 9007196099250001 9007195909437503 18446744030759878681
	status_is 0
	answers_are "9007196099250001 is not a prime number (divisible by 94906249)." \
		"9007195909437503 is not a prime number (divisible by 94906247)." \
		"18446744030759878681 is not a prime number (divisible by 4294967291)."
}

test_largest_numbers_of_64_bits()
{
	for mode in $modes; do
		ctl run primes --mode="$mode" 18446744073709551615 18446744073709551614
		status_is 0
		answers_are "18446744073709551615 is not a prime number (divisible by 3)." \
			"18446744073709551614 is not a prime number (divisible by 2)."
	done
}

test_largest_prime_of_64_bits()
{
	skip_under valgrind asan tsan
	ctl run primes --mode=threads --workers=4 18446744073709551557
	status_is 0
	out_has "18446744073709551557 is a prime number."
}

# Divisors in two of the pieces that are divided among the workers, and in a late one only.
test_a_divided_number_keeps_its_smallest_divisor()
{
	for workers in 1 2 3 8 64; do
		ctl run primes --mode=threads --workers=$workers 8000187999405976249 900000720000023
		status_is 0
		answers_are "8000187999405976249 is not a prime number (divisible by 1999979)." \
			"900000720000023 is not a prime number (divisible by 30000001)."
	done
}

test_every_yield_gives_the_same_answers()
{
	for yield in 1 7 1_000 10k 1M 1G; do
		ctl run primes --yield=$yield 1000003 1000001 999966000289 2
		status_is 0
		answers_are "1000003 is a prime number." "1000001 is not a prime number (divisible by 101)." \
			"999966000289 is not a prime number (divisible by 999983)." "2 is a prime number."
	done
}

test_coop_answers_small_numbers_first()
{
	ctl run primes --mode=coop --yield=1000
	status_is 0
	out_is "Processing 9637529763296797...
Processing 427920331...
Processing 157...
157 is a prime number.
427920331 is a prime number.
9637529763296797 is a prime number."
}

test_blocking_answers_one_after_the_other()
{
	ctl run primes --mode=blocking 427920331 157
	status_is 0
	out_is "Processing 427920331...
427920331 is a prime number.
Processing 157...
157 is a prime number."
}

test_smaller_yields_mean_more_switches()
{
	ctl run primes --yield=1k --json 427920331
	status_is 0
	few=$(grep -o '"switches": [0-9]*' out | grep -o '[0-9]*')
	ctl run primes --yield=10 --json 427920331
	status_is 0
	many=$(grep -o '"switches": [0-9]*' out | grep -o '[0-9]*')
	[ "$many" -gt $((few * 10)) ] || fail "$few switches at 1k, $many at 10"
}

test_backends_and_switches_answer_alike()
{
	for backend in auto epoll; do
		for switch in auto ucontext; do
			ctl run primes --backend=$backend --switch=$switch --yield=100 1000003
			status_is 0
			out_has "1000003 is a prime number."
		done
	done
	err_has "switch ucontext"
}

test_the_smallest_stack_is_enough()
{
	for mode in blocking coop threads; do
		ctl run primes --stack-size=16k --mode=$mode 1000003 4 --debug
		status_is 0
		ctl run countdown --stack-size=16k --mode=$mode A:1ms B:2ms
		status_is 0
	done
}

test_options_after_arguments_and_a_double_dash()
{
	ctl run primes 7 --mode sync -- 9
	status_is 0
	answers_are "7 is a prime number." "9 is not a prime number (divisible by 3)."
	err_has "mode sync"
}

run_tests
