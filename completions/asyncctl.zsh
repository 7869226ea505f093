#compdef asyncctl
# SPDX-License-Identifier: MIT
# Completion of asyncctl for zsh.

_asyncctl() {
	local context state line
	local -a commands scenarios benchmarks
	commands=(
		'run:run a scenario'
		'compare:run a scenario in all of its modes'
		'list:list the scenarios and their modes'
		'bench:measure the runtime'
		'ps:list the tasks of a running program'
		'pstree:show who awaits whom in a running program'
		'top:watch the busiest tasks of a running program'
		'doctor:say what this system offers and what it means'
		'help:explain a command'
	)
	scenarios=(
		'primes:find out which numbers are prime'
		'countdown:count down, each at its own pace'
		'stdin:read lines while a clock ticks'
	)
	benchmarks=(switch.asm switch.ucontext yield.2 yield.10 yield.1000 spawn fan_out sleep.1m.cpu
		sleep.1m.bytes handover lock queue cancel executor.busy executor.idle executor.jobs echo.50 echo.1000
		idle.10000 file.cached start trace.event)

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
				'--timeline=-[show who ran when, or write it as a picture]::file:_files' \
				'--trace=[write a trace for ui.perfetto.dev]:file:_files' \
				'--json[print the result as one JSON object]' \
				'--debug[check more and report more]' \
				'--no-progress[draw no progress bars]' \
				'--help[explain the command]' \
				'1:scenario:{_describe scenario scenarios}' \
				'*:argument'
			;;
		compare)
			_arguments \
				'--rounds=[runs of each mode]:number' \
				'--yield=[candidates between two yields]:number' \
				'--workers=[threads or processes of the pool]:number' \
				'--backend=[what waits for descriptors]:backend:(auto io_uring epoll)' \
				'--switch=[what changes stacks]:switch:(auto asm ucontext)' \
				'--json[print the result as one JSON object]' \
				'--help[explain the command]' \
				'1:scenario:{_describe scenario scenarios}' \
				'*:argument'
			;;
		bench) _arguments '--json[print JSON]' '--help[explain the command]' "*:benchmark:($benchmarks)" ;;
		ps | pstree)
			_arguments '--stacks[the C call stacks too]' '--json[print JSON]' '--help[explain the command]' '1:process:_pids'
			;;
		top)
			_arguments '--interval=[time between two pictures]:time' '--iterations=[end after so many]:number' \
				'--json[print JSON]' '--help[explain the command]' '1:process:_pids'
			;;
		help) _describe command commands ;;
		*) _arguments '--json[print JSON]' '--help[explain the command]' ;;
		esac
		;;
	esac
}

_asyncctl "$@"
