#!/bin/bash
# SPDX-License-Identifier: MIT
. "$(dirname "$0")/lib.sh"

# refused 'what stderr must say' arguments…
refused()
{
	local text=$1
	shift
	ctl "$@" </dev/null
	status_is 2
	out_is_empty
	err_has "$text"
	[ "$(wc -l <err)" -eq 1 ] || fail "more than one line: $*"
}

test_commands()
{
	refused "the command is missing"
	refused "'frobnicate' is unknown; expected one of: run, compare, list, bench, ps, pstree, top, doctor, help" frobnicate
	refused "did you mean 'bench'?" bnech
	refused "argument 1: 'x' is not expected" list x
	refused "argument 1: 'x' is not expected" doctor x
	refused "'nothing' is unknown" help nothing
	refused "option: '--nothing' is unknown" list --nothing
}

test_scenarios()
{
	refused "the scenario is missing" run
	refused "scenario: 'prime' is unknown; expected one of: primes, countdown, stdin (did you mean 'primes'?)" \
		run prime
	refused "scenario: '' is unknown" run ""
}

test_modes()
{
	refused "--mode: 'corp' is unknown; expected one of: sync, blocking, coop, threads, procs (did you mean 'coop'?)" \
		run primes --mode=corp
	refused "--mode: '' is unknown" run primes --mode=
	refused "--mode: the value is missing" run primes --mode
	refused "--mode: 'sync' is no mode of stdin; expected one of: blocking, coop, threads" run stdin --mode=sync
}

test_options()
{
	refused "option: '--wrokers' is unknown" run primes --wrokers=2
	refused "did you mean '--workers'?" run primes --wrokers=2
	refused "'-x' is unknown" run primes -x
	refused "--json: 'yes' is not expected; the option takes no value" run primes --json=yes
	refused "--backend: 'kqueue' is unknown; expected one of: auto, io_uring, epoll" run primes --backend=kqueue
	refused "--switch: 'fast' is unknown; expected one of: auto, asm, ucontext" run primes --switch=fast
	refused "--clock: 'fake' is unknown; expected one of: real, virtual" run primes --clock=fake
}

test_virtual_clock_goes_with_coop_only()
{
	for mode in sync blocking threads; do
		refused "--clock: 'virtual' goes with --mode=coop only" run countdown --clock=virtual --mode=$mode
	done
}

test_numbers_of_options()
{
	refused "--workers: '0' is out of range; expected a whole number from 1 to 4096" run primes --workers=0
	refused "--workers: '4097' is out of range" run primes --workers=4097
	refused "--workers: '99999999999999999999' is too large" run primes --workers=99999999999999999999
	refused "--workers: 'two' is not a whole number" run primes --workers=two
	refused "--yield: '-1' is negative" run primes --yield=-1
	refused "--yield: '-1' is negative" run primes --yield -1
	refused "--yield: '0' is out of range" run primes --yield=0
	refused "--yield: '' is empty" run primes --yield=
	refused "--yield: '1e6' is not a whole number" run primes --yield=1e6
	refused "--yield: '1_' is not a whole number" run primes --yield=1_
	refused "--yield: '5kk' is not a whole number" run primes --yield=5kk
	refused "--yield: '99999999999G' is too large" run primes --yield=99999999999G
}

test_names_of_files()
{
	refused "--trace: '' is empty; expected --trace=FILE" run primes 9 --trace=
	refused "--trace: '' is empty; expected --trace=FILE" run primes 9 --trace ""
	refused "--timeline: '' is empty; expected --timeline=FILE.svg" run primes 9 --timeline=
	refused "--timeline: 'a.svg.png' is no picture; expected a name that ends in .svg" \
		run primes 9 --timeline=a.svg.png
	[ ! -e a.svg.png ] || fail "it was made all the same"
	# No option has an empty value.
	refused "--backend: '' is unknown" run primes --backend=
	refused "--workers: '' is empty; expected a whole number" run primes --workers=
	refused "--stack-size: '' is empty; expected a size" run primes --stack-size=
	refused "--interval: '' is empty; expected a time" run stdin --interval=
	for option in yield=N workers=N backend='auto|io_uring|epoll' switch='auto|asm|ucontext'; do
		refused "--${option%%=*}: '' is empty; expected --$option" compare primes "--${option%%=*}="
	done
	refused "--rounds: '' is empty" compare primes --rounds=
	refused "--iterations: '' is empty" top 1 --iterations=
	refused "argument 1: '' is empty; expected the id of a process" ps ""
}

test_stack_sizes()
{
	for size in 0 1 8k 16383 1025M 2G; do
		refused "--stack-size: '$size' is out of range; expected a size from 16k to 1G bytes" \
			run primes --stack-size=$size
	done
	refused "--stack-size: '-64k' is negative" run primes --stack-size=-64k
	refused "--stack-size: 'big' is not a whole number" run primes --stack-size=big
}

test_times()
{
	refused "--interval: '0' is out of range" run stdin --interval=0
	refused "--interval: '2h' is out of range" run stdin --interval=2h
	refused "--interval: '5x' is not a time" run stdin --interval=5x
	refused "--interval: '1.s' is not a time" run stdin --interval=1.s
	refused "--interval: '-1s' is negative" run stdin --interval=-1s
	refused "--interval: '99999999999999h' is too large" run stdin --interval=99999999999999h
	# What the seconds leave of 64 bits is less than the fraction.
	refused "--interval: '18446744073.9' is too large" run stdin --interval=18446744073.9
	refused "argument 1: 'A:9223372036.9' is too large" run countdown A:9223372036.9
	refused "--interval: '0.5_' is not a time" run stdin --interval=0.5_
	refused "--interval: '1k' is not a time" run stdin --interval=1k
}

test_primes_are_named_with_their_position()
{
	limits="expected a whole number from 0 to 18446744073709551615"
	refused "argument 1: '-5' is negative; $limits" run primes -5
	refused "argument 2: '18446744073709551616' is too large; $limits" run primes 7 18446744073709551616
	refused "argument 3: '0x1f' is not a whole number; $limits" run primes 7 9 0x1f
	refused "argument 1: 'deadbeef' is not a whole number" run primes deadbeef
	refused "argument 1: '' is empty; $limits" run primes ""
	refused "argument 2: '1e6' is not a whole number" run primes --json 1 1e6
	refused "argument 1: '+7' is not a whole number" run primes +7
	refused "argument 1: ' 7' is not a whole number" run primes " 7"
	refused "argument 1: '7 ' is not a whole number" run primes "7 "
	refused "argument 1: '7ki' is not a whole number; $limits" run primes 7ki
	refused "argument 1: 'k' is not a whole number; $limits" run primes k
	refused "argument 1: '7_k' is not a whole number; $limits" run primes 7_k
	refused "argument 1: '18446744073709552k' is too large; $limits" run primes 18446744073709552k
	refused "argument 1: '18446744074G' is too large; $limits" run primes 18446744074G
	refused "argument 1: '1.5' is not a whole number" run primes 1.5
}

test_countdowns_are_named_with_their_position()
{
	refused "argument 1: 'A' has no colon; expected NAME:SECONDS" run countdown A
	refused "argument 2: ':1' has no name" run countdown A:1 :1
	refused "argument 1: 'A:' is empty" run countdown A:
	refused "argument 1: 'A:-1' is negative" run countdown A:-1
	refused "argument 1: 'A:x' is not a time" run countdown A:x
	refused "argument 1: 'A:25h' takes too long" run countdown A:25h
	refused "argument 1: '' is empty" run countdown ""
	refused "has too long a name" run countdown 123456789012345678901234567890123:1
	refused "argument 1: 'x' is not expected; stdin takes no arguments" run stdin x
}

test_benchmarks()
{
	refused "benchmark: 'yield.3' is unknown; expected one of: switch.asm" bench yield.3
	refused "benchmark: 'nothing' is unknown" bench spawn nothing
}

run_tests
