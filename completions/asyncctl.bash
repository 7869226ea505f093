# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# Completion of asyncctl for bash.

_asyncctl()
{
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words='' command='' i option
	local commands='run compare list bench ps pstree top doctor help'
	local scenarios='primes countdown stdin'
	local run_options='--mode= --yield= --workers= --backend= --switch= --stack-size= --clock= --interval=
		--timeline --timeline= --trace= --json --debug --no-progress --help'
	local compare_options='--rounds= --yield= --workers= --backend= --switch= --json --help'
	local benchmarks='switch.asm switch.ucontext yield.2 yield.10 yield.1000 spawn fan_out sleep.1m.cpu
		sleep.1m.bytes handover lock queue cancel executor.busy executor.idle executor.jobs echo.50 echo.1000
		idle.10000 file.cached start trace.event'

	# Readline breaks words at `=`: `--mode=coop` arrives as three.
	option=$previous
	if [[ $previous == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	elif [[ $current == = ]]; then
		option=$previous current=
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* ]]; then
			command=${COMP_WORDS[i]}
			break
		fi
	done

	case $option in
	--mode) words='sync blocking coop threads procs' ;;
	--backend) words='auto io_uring epoll' ;;
	--switch) words='auto asm ucontext' ;;
	--clock) words='real virtual' ;;
	--yield | --workers | --stack-size | --interval | --iterations | --rounds) return ;;
	--trace | --timeline)
		# With a value, which is a file; --timeline may also come without one.
		if [[ $option == --trace || $previous == = || ${COMP_WORDS[COMP_CWORD]} == = ]]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
			return
		fi
		words=$scenarios
		;;
	*)
		case $command in
		'') words="$commands --version --help" ;;
		run | compare)
			if [[ $current == -* && $command == compare ]]; then
				words=$compare_options
			elif [[ $current == -* ]]; then
				words=$run_options
			elif [[ " $scenarios " != *" ${COMP_WORDS[i + 1]} "* || $((i + 1)) -eq $COMP_CWORD ]]; then
				words=$scenarios
			fi
			;;
		bench) words="$benchmarks --json --help" ;;
		ps | pstree | top)
			if [[ $current != -* ]]; then
				words=$(compgen -G '/proc/[0-9]*' | tr -dc '0-9\n')
			elif [[ $command == top ]]; then
				words='--interval= --iterations= --json --help'
			else
				words='--stacks --json --help'
			fi
			;;
		help) words=$commands ;;
		*) words='--json --help' ;;
		esac
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
		compopt -o nospace
	fi
}
complete -F _asyncctl asyncctl
