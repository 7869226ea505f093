# SPDX-License-Identifier: MIT
# Completion of asyncctl for fish.

complete -c asyncctl -f
complete -c asyncctl -n __fish_use_subcommand -l version -d 'print the version'
complete -c asyncctl -l help -d 'explain the command'

complete -c asyncctl -n __fish_use_subcommand -a run -d 'run a scenario'
complete -c asyncctl -n __fish_use_subcommand -a list -d 'list the scenarios and their modes'
complete -c asyncctl -n __fish_use_subcommand -a bench -d 'measure the runtime'
complete -c asyncctl -n __fish_use_subcommand -a doctor -d 'say what this system offers and what it means'
complete -c asyncctl -n __fish_use_subcommand -a help -d 'explain a command'

set -l run '__fish_seen_subcommand_from run'
set -l no_scenario "$run; and not __fish_seen_subcommand_from primes countdown stdin"
complete -c asyncctl -n $no_scenario -a primes -d 'find out which numbers are prime'
complete -c asyncctl -n $no_scenario -a countdown -d 'count down, each at its own pace'
complete -c asyncctl -n $no_scenario -a stdin -d 'read lines while a clock ticks'
complete -c asyncctl -n $run -l mode -x -a 'sync blocking coop threads procs' -d 'how the work is run'
complete -c asyncctl -n $run -l yield -x -d 'candidates between two yields'
complete -c asyncctl -n $run -l workers -x -d 'threads or processes of the pool'
complete -c asyncctl -n $run -l backend -x -a 'auto io_uring epoll' -d 'what waits for descriptors'
complete -c asyncctl -n $run -l switch -x -a 'auto asm ucontext' -d 'what changes stacks'
complete -c asyncctl -n $run -l stack-size -x -d 'stack of a task'
complete -c asyncctl -n $run -l clock -x -a 'real virtual' -d 'the clock of the loop'
complete -c asyncctl -n $run -l interval -x -d 'time between two ticks'
complete -c asyncctl -n $run -l debug -d 'check more and report more'
complete -c asyncctl -n $run -l no-progress -d 'draw no progress bars'
complete -c asyncctl -n '__fish_seen_subcommand_from run list bench doctor' -l json -d 'print JSON'

complete -c asyncctl -n '__fish_seen_subcommand_from bench' -a 'switch.asm switch.ucontext yield.2 yield.10 \
	yield.1000 spawn fan_out sleep.1m.cpu sleep.1m.bytes handover lock queue cancel executor.busy executor.idle \
	executor.jobs start'
complete -c asyncctl -n '__fish_seen_subcommand_from help' -a 'run list bench doctor help'
