# SPDX-License-Identifier: MIT
# Completion of asyncctl for fish.

complete -c asyncctl -f
complete -c asyncctl -n __fish_use_subcommand -l version -d 'print the version'
complete -c asyncctl -l help -d 'explain the command'

complete -c asyncctl -n __fish_use_subcommand -a run -d 'run a scenario'
complete -c asyncctl -n __fish_use_subcommand -a compare -d 'run a scenario in all of its modes'
complete -c asyncctl -n __fish_use_subcommand -a list -d 'list the scenarios and their modes'
complete -c asyncctl -n __fish_use_subcommand -a bench -d 'measure the runtime'
complete -c asyncctl -n __fish_use_subcommand -a ps -d 'list the tasks of a running program'
complete -c asyncctl -n __fish_use_subcommand -a pstree -d 'show who awaits whom in a running program'
complete -c asyncctl -n __fish_use_subcommand -a top -d 'watch the busiest tasks of a running program'
complete -c asyncctl -n __fish_use_subcommand -a doctor -d 'say what this system offers and what it means'
complete -c asyncctl -n __fish_use_subcommand -a help -d 'explain a command'

set -l run '__fish_seen_subcommand_from run'
set -l both '__fish_seen_subcommand_from run compare'
set -l no_scenario "$both; and not __fish_seen_subcommand_from primes countdown stdin"
complete -c asyncctl -n $no_scenario -a primes -d 'find out which numbers are prime'
complete -c asyncctl -n $no_scenario -a countdown -d 'count down, each at its own pace'
complete -c asyncctl -n $no_scenario -a stdin -d 'read lines while a clock ticks'
complete -c asyncctl -n $run -l mode -x -a 'sync blocking coop threads procs' -d 'how the work is run'
complete -c asyncctl -n $both -l yield -x -d 'candidates between two yields'
complete -c asyncctl -n $both -l workers -x -d 'threads or processes of the pool'
complete -c asyncctl -n $both -l backend -x -a 'auto io_uring epoll' -d 'what waits for descriptors'
complete -c asyncctl -n $both -l switch -x -a 'auto asm ucontext' -d 'what changes stacks'
complete -c asyncctl -n $run -l stack-size -x -d 'stack of a task'
complete -c asyncctl -n $run -l clock -x -a 'real virtual' -d 'the clock of the loop'
complete -c asyncctl -n $run -l interval -x -d 'time between two ticks'
complete -c asyncctl -n $run -l timeline -d 'show who ran when'
complete -c asyncctl -n $run -l trace -r -F -d 'write a trace for ui.perfetto.dev'
complete -c asyncctl -n '__fish_seen_subcommand_from compare' -l rounds -x -d 'runs of each mode'
complete -c asyncctl -n $run -l debug -d 'check more and report more'
complete -c asyncctl -n $run -l no-progress -d 'draw no progress bars'
complete -c asyncctl -n '__fish_seen_subcommand_from ps pstree top' -a '(__fish_complete_pids)'
complete -c asyncctl -n '__fish_seen_subcommand_from ps pstree' -l stacks -d 'the C call stacks too'
complete -c asyncctl -n '__fish_seen_subcommand_from top' -l interval -x -d 'time between two pictures'
complete -c asyncctl -n '__fish_seen_subcommand_from top' -l iterations -x -d 'end after so many'
complete -c asyncctl -n '__fish_seen_subcommand_from run compare list bench ps pstree top doctor' -l json -d 'print JSON'

complete -c asyncctl -n '__fish_seen_subcommand_from bench' -a 'switch.asm switch.ucontext yield.2 yield.10 \
	yield.1000 spawn fan_out sleep.1m.cpu sleep.1m.bytes handover lock queue cancel executor.busy executor.idle \
	executor.jobs echo.50 echo.1000 idle.10000 file.cached start trace.event'
complete -c asyncctl -n '__fish_seen_subcommand_from help' -a 'run compare list bench ps pstree top doctor help'
