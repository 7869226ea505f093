#!/bin/bash
# SPDX-License-Identifier: MIT
# asyncctl ps, pstree and top against real programs: tests/inspect/target.c in each shape.
# shellcheck disable=SC2154 # lib.sh sets tests_dir
. "$(dirname "$0")/lib.sh"

: "${O:=build}"
programs=$tests_dir/../$O/tests/inspect
export LD_LIBRARY_PATH=$tests_dir/../$O${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# Sanitizers want a layout that is not random; the command has the same from run.sh.
before=()
case $TEST_TOOL in
asan | tsan) setarch -R true 2>/dev/null && before=(setarch -R) ;;
esac
target=$programs/target-static
pid=''

end()
{
	[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
	wait 2>/dev/null
}
trap end EXIT

# Starts the program and waits until it is where it belongs. Then: $pid.
start()
{
	rm -f in answers
	mkfifo in answers
	"${before[@]}" "$target" "$@" <in >answers 2>target.err &
	pid=$!
	exec 8>in 9<answers
	read -r -t 60 line <&9 || fail "the program did not start: $(cat target.err)"
	[ "$line" = ready ] || fail "the program says: $line"
}

is_asleep()
{
	"$ASYNCCTL" ps "$pid" | grep -q ', asleep; '
}

# The same with a program that then waits.
start_calm()
{
	start "$@" || return
	eventually is_asleep
}

stop()
{
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	exec 8>&- 9<&-
	pid=''
}

# The line of a task: sees NAME PATTERN
sees()
{
	grep -E "^ *[0-9]+  $1 " out | grep -qE -e "$2" || fail "$1 is not '$2'"
}

knows_everything()
{
	status_is 0
	err_is_empty
	out_matches '^loop 0x[0-9a-f]+: thread [0-9]+, .*, asleep; 26 tasks, [0-9]+ timers, [0-9]+ operations, 1 jobs; '
	sees Task-1 'waiting .* a read, fd 0 \('
	sees sleeper 'sleep, (60|59\.[0-9]) min left$'
	sees reader 'a read, fd [0-9]+ \(pipe:'
	sees locker 'a lock 0x[0-9a-f]+, held by task [0-9]+ \(holder\)$'
	sees stranded 'a lock 0x[0-9a-f]+, held by task [0-9]+, which has ended$'
	sees eventer 'an event 0x[0-9a-f]+$'
	sees permitter 'a semaphore 0x'
	sees getter 'an item of a queue 0x'
	sees joiner 'task 2 \(sleeper\)$'
	sees futurist 'a future 0x'
	sees gatherer 'a gathering 0x[0-9a-f]+ of 2 pending$'
	sees shielder 'a shield 0x[0-9a-f]+ of 1 pending$'
	sees grouper 'the tasks of its group, 2 pending$'
	sees selector 'one of: an item of queue 0x[0-9a-f]+; fd [0-9]+ \(pipe:.*; task 2 \(sleeper\); .* min left$'
	sees waiter 'several futures, 2 pending$'
	sees worker 'a job in a thread \(running\)$'
	sees signalled 'a signal SIGUSR1 SIGUSR2$'
	sees 'bad[?]name' 'sleep'
}

test_everything_that_tasks_wait_for()
{
	local backend backends='' switch
	"$ASYNCCTL" doctor | grep -q '^io_uring *yes' && backends='epoll io_uring'
	for backend in ${backends:-epoll}; do
		for switch in ucontext asm; do
			start_calm all "$backend" "$switch"
			ctl ps "$pid"
			knows_everything
			stop
		done
	done
}

test_dynamically_linked()
{
	target=$programs/target-dynamic
	start_calm all
	ctl ps "$pid"
	knows_everything
}

test_linked_at_a_fixed_address()
{
	target=$programs/target-no-pie
	start_calm all
	ctl ps "$pid"
	knows_everything
}

test_stripped()
{
	strip -o stripped "$programs/target-static"
	target=./stripped
	start_calm all
	ctl ps "$pid"
	knows_everything
}

test_stripped_shared_library()
{
	strip -o libasync.so.0 "$tests_dir/../$O/libasync.so"
	strip -o stripped "$programs/target-dynamic"
	target=./stripped
	LD_LIBRARY_PATH=$PWD start_calm all
	ctl ps "$pid"
	knows_everything
}

test_deleted_meanwhile()
{
	cp "$programs/target-static" gone
	target=./gone
	start_calm all
	rm gone
	ctl ps "$pid"
	knows_everything
}

test_who_awaits_whom()
{
	start_calm all
	LC_ALL=C ctl pstree "$pid"
	status_is 0
	out_matches '^joiner \(11\) waiting: task 2 \(sleeper\)$'
	out_has '`-- sleeper (2) waiting: sleep'
	out_matches '^`-- gathering 0x[0-9a-f]+$'
	out_matches '^    \|-- gathered-1 '
	out_matches '^    `-- gathered-2 '
	out_matches '^    `-- shielded '
	out_matches '^    \|-- member-1 '
	out_matches '^    `-- member-2 '
	# Its owner waits for something else, and the group is its all the same.
	grep -A 2 '^busy-grouper ' out | grep -q '^    `-- member-3 ' || fail "no group below busy-grouper"
	out_has ' (see above)'
	grep -q deadlock out && fail "there is no deadlock"
	[ "$(grep -c '(2) waiting' out)" -eq 3 ] || fail "sleeper is awaited by three tasks"
}

test_lines_for_the_locale()
{
	locale -a 2>/dev/null | grep -qiE '^C\.utf-?8$' || skip "no UTF-8 locale"
	start_calm all
	LC_ALL=C.UTF-8 ctl pstree "$pid"
	status_is 0
	out_has '└── sleeper (2)'
}

test_deadlocks_are_named()
{
	start_calm deadlock
	LC_ALL=C ctl pstree "$pid"
	status_is 0
	out_matches '^deadlock: one \(2\) -> two \(3\) -> one \(2\)$'
	out_matches '^deadlock: egg \(4\) -> hen \(5\) -> egg \(4\)$'
	[ "$(grep -c ^deadlock out)" -eq 2 ] || fail "not two deadlocks"
	ctl pstree --json "$pid"
	is_json
	out_has '"deadlocks": [[2, 3], [4, 5]]'
}

test_a_long_chain()
{
	start_calm chain
	LC_ALL=C ctl pstree "$pid"
	status_is 0
	out_matches '^chain \(2\) waiting: task 3$'
	out_has "... 251 deeper; 'asyncctl ps' lists them"
	[ "$(wc -l <out)" -eq 53 ] || fail "not 53 lines"
}

test_busy_in_a_loop()
{
	start spin
	ctl ps --stacks "$pid"
	status_is 0
	sees Task-1 'running .* on the processor$'
	out_has 'it is running'
	sees sleeper 'sleep'
	kill -STOP "$pid"
	eventually grep -q '^State:.*T' "/proc/$pid/status"
	ctl ps "$pid"
	status_is 0
	out_matches '^loop .*, running, stopped; '
	sees Task-1 'running .* stopped'
}

has_libdw()
{
	pkg-config --exists libdw 2>/dev/null || skip "no libdw"
}

test_blocked_in_a_call()
{
	start block
	eventually grep -qE '^(0|63) ' "/proc/$pid/syscall"
	ctl ps "$pid"
	status_is 0
	sees Task-1 'running .* in read\(0\)$'
}

test_stack_of_a_blocked_task()
{
	has_libdw
	start block
	eventually grep -qE '^(0|63) ' "/proc/$pid/syscall"
	ctl ps --stacks "$pid"
	status_is 0
	out_matches '#[0-9]+ +0x[0-9a-f]+ block_here at .*target\.c:[0-9]+$'
	out_matches '#[0-9]+ +0x[0-9a-f]+ block_in_read at .*target\.c:[0-9]+$'
}

test_stacks_of_parked_tasks()
{
	local switch
	has_libdw
	for switch in ucontext asm; do
		start_calm all epoll "$switch"
		ctl ps --stacks "$pid"
		status_is 0
		for function in sleeper reader locker eventer getter joiner gatherer grouper selector waiter worker; do
			out_matches "#[0-9]+ +0x[0-9a-f]+ $function at .*target\.c:[0-9]+\$"
		done
		stop
	done
}

test_stacks_as_json()
{
	start_calm all
	ctl ps --json --stacks "$pid"
	status_is 0
	is_json
	out_has '"stack_frames": [{"pc": "0x'
	LC_ALL=C ctl pstree --stacks "$pid"
	status_is 0
	out_matches '^#0 '
}

test_json()
{
	start_calm all
	ctl ps --json "$pid"
	status_is 0
	is_json
	out_has "{\"pid\": $pid, \"library\": \""
	out_has '"name": "locker", "state": "waiting", "waits_for": "a lock 0x'
	out_has '"on": "lock", "object": "0x'
	out_has '"on": "operation"'
	out_has '"fd": 0'
	out_has '"torn": false'
	out_has '"left_s": 3'
}

test_accounts()
{
	ACCOUNTING=1 start_calm all
	ctl ps "$pid"
	status_is 0
	sees sleeper 'waiting +[0-9.]+ (us|ms|s) +[0-9.]+ (us|ms) +1 '
	ctl ps --json "$pid"
	is_json
	out_matches '"cpu_s": 0\.[0-9]+, "switches": [0-9]+'
}

test_use_of_stacks()
{
	start_calm all
	ctl ps "$pid"
	sees sleeper ' [0-9.]+k/[0-9.]+k of 64k '
}

# Its lists change while they are read: anything may come out, but it comes.
test_a_loop_that_never_rests()
{
	start churn
	for command in ps pstree ps pstree ps; do
		LC_ALL=C ctl $command "$pid"
		status_is 0
		out_matches '^loop .*, running; '
		grep -v '^asyncctl: the loop is running: this picture may be torn$' err && fail "something else on stderr"
	done
	LC_ALL=C ctl pstree --stacks "$pid"
	status_is 0
}

test_thousands_of_tasks()
{
	count=5000
	# Each is a thread for it.
	[ "$TEST_TOOL" != tsan ] || count=500
	TASKS=$count start_calm many
	ctl ps "$pid"
	status_is 0
	out_has "; $((count + 1)) tasks, $count timers, "
	[ "$(grep -c ' waiting ' out)" -eq $((count + 1)) ] || fail "not $((count + 1)) tasks"
	LC_ALL=C ctl pstree "$pid"
	[ "$(grep -c ' waiting: ' out)" -eq $((count + 1)) ] || fail "not $((count + 1)) tasks"
}

test_top()
{
	ACCOUNTING=1 start churn
	ctl top --iterations=3 --interval=20ms "$pid"
	status_is 0
	[ "$(grep -c '^loop ' out)" -eq 3 ] || fail "not three pictures"
	[ "$(grep -c '^  a second: [0-9]* switches, ' out)" -eq 2 ] || fail "no rates"
	out_matches '^ +1  Task-1 .* [0-9.]+% +[0-9]+  '
	ctl top --iterations=1 --json "$pid"
	status_is 0
	is_json
}

test_top_ends_with_the_program()
{
	start_calm calm
	"$ASYNCCTL" top --interval=20ms "$pid" >out 2>err &
	top=$!
	eventually grep -q 'a second:' out
	stop
	wait "$top"
	status=$?
	status_is 1
	err_has 'has ended'
}

test_top_is_interrupted()
{
	start_calm calm
	# A shell without job control has its children ignore SIGINT.
	(trap - INT; exec "$ASYNCCTL" top --interval=20ms "$pid") >out 2>err &
	top=$!
	eventually grep -q 'a second:' out
	if grep -q '^SigIgn:.*[2367abef]$' "/proc/$top/status"; then
		kill "$top"
		skip "SIGINT is ignored here"
	fi
	kill -INT "$top"
	wait "$top"
	status=$?
	status_is 130
}

test_nobody_there()
{
	true &
	wait $!
	ctl ps $!
	status_is 1
	err_has "process $! does not exist"
}

test_no_process_id()
{
	for wrong in 0 -1 12x abc 99999999999 ''; do
		ctl ps "$wrong"
		status_is 2
		err_has "argument 1: '$wrong'"
		err_has 'expected the id of a process'
	done
	ctl ps
	status_is 2
	err_has 'is missing'
	ctl pstree 1 2
	status_is 2
	err_has 'argument 2'
	ctl top --interval=0 1
	status_is 2
	err_has '--interval'
}

test_core_file()
{
	# An ELF header of 64 bits and of the type of cores.
	{
		printf '\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\4\0\76\0\1\0\0\0'
		head -c 64 /dev/zero
	} >core.1
	ctl ps core.1
	status_is 2
	err_has 'is a core file'
	err_has 'info tasks'
}

test_zombie()
{
	start_calm zombie
	child=$(cat target.err)
	eventually grep -q '^State:.*Z' "/proc/$child/status"
	ctl ps "$child"
	status_is 1
	err_has 'zombie'
}

test_thread_of_the_kernel()
{
	grep -q '^Kthread:.*1' /proc/2/status 2>/dev/null || skip "none to be seen here"
	ctl ps 2
	status_is 1
	err_has 'thread of the kernel'
}

test_other_programs()
{
	sleep 1000 &
	pid=$!
	eventually grep -q sleep "/proc/$pid/comm"
	ctl ps "$pid"
	status_is 1
	err_has "process $pid does not use libasync"
}

test_another_layout()
{
	objcopy --dump-section .note.libasync=note "$programs/target-static" other
	printf '\11' | dd of=note bs=1 seek=24 conv=notrunc 2>/dev/null
	objcopy --update-section .note.libasync=note "$programs/target-static" other
	target=./other
	start calm
	ctl ps "$pid"
	status_is 1
	err_has 'libasync with layout 9'
	err_has 'knows layout 1'
}

test_another_user()
{
	[ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null || skip "only root can be somebody else"
	[ "$TEST_TOOL" = native ] || skip "not under $TEST_TOOL"
	directory=$(mktemp -d)
	cp "$ASYNCCTL" "$directory/asyncctl"
	chmod 755 "$directory" "$directory/asyncctl"
	start_calm calm
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "$directory/asyncctl" ps "$pid" >out 2>err
	status=$?
	rm -r "$directory"
	status_is 1
	err_has 'belongs to another user (root)'
}

# A pipe holds 64 KiB.
test_output_that_is_not_read()
{
	TASKS=1000 start_calm many
	"$ASYNCCTL" ps "$pid" 2>err | head -n 1 >out
	status=${PIPESTATUS[0]}
	status_is 1
	err_has 'cannot write to standard output'
}

### gdb

script=$tests_dir/../share/gdb/async-gdb.py

# Runs commands of gdb with the script: in_gdb ARGUMENT... -- COMMAND...
in_gdb()
{
	local arguments=() commands=()
	while [ "$1" != -- ]; do
		arguments+=("$1")
		shift
	done
	shift
	for command in "source $script" "$@"; do
		commands+=(-ex "$command")
	done
	DEBUGINFOD_URLS='' gdb -nx -batch "${commands[@]}" "${arguments[@]}" >out 2>err </dev/null
	status=$?
}

has_gdb()
{
	command -v gdb >/dev/null || skip "no gdb"
	gdb -nx -batch -ex 'python print(1)' 2>&1 | grep -qx 1 || skip "gdb without Python"
	[ "$TEST_TOOL" = native ] || skip "not under $TEST_TOOL"
}

test_gdb_knows_the_table()
{
	sed -n '/^struct async_layout {/,/^};/s/^\tuint32_t \([a-z_]*\);.*/\1/p' "$tests_dir/../include/async/layout.h" |
		sed '1,2d' >header
	sed -n '/^FIELDS = """/,/^"""/p' "$script" | sed '1d;$d' | tr ' ' '\n' >fields
	diff header fields || fail "the fields of the script are not those of the header"
}

test_gdb_on_a_process()
{
	has_gdb
	for switch in ucontext asm; do
		start_calm all epoll "$switch"
		in_gdb -p "$pid" -- 'info tasks' 'task 2 bt' 'task 3' 'bt' 'task' 'echo back\n' 'bt' 'task 99 bt'
		out_matches '^loop 0x[0-9a-f]+: thread [0-9]+, 26 tasks, '
		out_matches '^ +2  sleeper +waiting +sleep$'
		out_matches '^ +5  locker +waiting +a lock 0x[0-9a-f]+, held by task 4$'
		out_matches '^ +11  joiner +waiting +task 2$'
		out_matches '^#[0-9]+ .* sleeper \('
		out_matches '^task 3 \(reader\), waiting$'
		out_matches '^#[0-9]+ .* reader \('
		sed '1,/^back/d' out | grep -q ' reader (' && fail "the thread did not come back"
		err_has 'there is no task 99'
		kill -0 "$pid" || fail "the program did not survive"
		stop
	done
}

test_gdb_without_debug_information()
{
	has_gdb
	strip -o stripped "$programs/target-static"
	target=./stripped
	start_calm deadlock
	in_gdb -p "$pid" -- 'info tasks'
	out_matches '^ +4  egg +waiting +task 5$'
}

test_gdb_on_a_core_file()
{
	has_gdb
	start_calm deadlock
	in_gdb -p "$pid" -- 'generate-core-file core.gdb'
	in_gdb "$target" core.gdb -- 'info tasks'
	out_matches '^ +2  one +waiting +a lock 0x[0-9a-f]+, held by task 3$'
}

test_gdb_on_a_core_file_of_the_kernel()
{
	has_gdb
	[ "$(cat /proc/sys/kernel/core_pattern)" = core ] && ulimit -c unlimited 2>/dev/null ||
		skip "cores do not go to the current directory"
	start_calm deadlock
	kill -ABRT "$pid"
	wait "$pid" 2>/dev/null
	core=$(compgen -G 'core*') || skip "the kernel wrote no core"
	in_gdb "$target" "$core" -- 'info tasks' 'task 2 bt' 'task 4 bt'
	out_matches '^ +5  hen +waiting +a lock 0x[0-9a-f]+, held by task 4$'
	out_matches '^#[0-9]+ .* lock_both \('
	out_matches '^#[0-9]+ .* await_other \('
}

run_tests
