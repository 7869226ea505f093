#compdef asyncctl
# SPDX-License-Identifier: MIT
# Completion of asyncctl for zsh.

_asyncctl() {
	local context state line
	local -a commands scenarios benchmarks
	commands=(
		'run:run a scenario'
		'list:list the scenarios and their modes'
		'bench:measure the runtime'
		'doctor:say what this system offers and what it means'
		'help:explain a command'
	)
	scenarios=(
		'primes:find out which numbers are prime'
		'countdown:count down, each at its own pace'
		'stdin:read lines while a clock ticks'
	)
	benchmarks=(switch.asm switch.ucontext yield.2 yield.10 yield.1000 spawn fan_out sleep.1m.cpu
		sleep.1m.bytes handover lock queue cancel executor.busy executor.idle executor.jobs start)

	_arguments -C '--version[print the version]' '--help[print how to use it]' '1:command:->command' '*::argument:->argument'
	case $state in
	command) _describe command commands ;;
	argument)
		case $words[1] in
		run)
			_arguments \
				'--mode=[how the work is run]:mode:(sync blocking coop threads procs)' \
				'--yield=[candidates between two yields]:number' \
				'--workers=[threads or processes of the pool]:number' \
				'--backend=[what waits for descriptors]:backend:(auto io_uring epoll)' \
				'--switch=[what changes stacks]:switch:(auto asm ucontext)' \
				'--stack-size=[stack of a task]:size' \
				'--clock=[the clock of the loop]:clock:(real virtual)' \
				'--interval=[time between two ticks]:time' \
				'--json[print the result as one JSON object]' \
				'--debug[check more and report more]' \
				'--no-progress[draw no progress bars]' \
				'--help[explain the command]' \
				'1:scenario:{_describe scenario scenarios}' \
				'*:argument'
			;;
		bench) _arguments '--json[print JSON]' '--help[explain the command]' "*:benchmark:($benchmarks)" ;;
		help) _describe command commands ;;
		*) _arguments '--json[print JSON]' '--help[explain the command]' ;;
		esac
		;;
	esac
}

_asyncctl "$@"
