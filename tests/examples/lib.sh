# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the examples' tests share, on top of the assertions and the runner of the command's tests.
#
# EXAMPLE is the program, whatever watches it; others stand beside it in the same folder.

: "${EXAMPLE:?is the path of the example}"
ASYNCCTL=${ASYNCCTL:-none}
. "$(dirname "${BASH_SOURCE[0]}")/../cli/lib.sh"

# Runs the example. Then: $status, and the files out and err.
example()
{
	"$EXAMPLE" "$@" >out 2>err
	status=$?
}

needs()
{
	local program
	for program in "$@"; do
		command -v "$program" >/dev/null || skip "no $program"
	done
}

# Starts it in the background: $pid; what it writes is in out and err. A shell starts such programs deaf to SIGINT.
start()
{
	# Whoever looks into them must not find what an earlier one wrote.
	rm -f out err
	env --default-signal=INT "$EXAMPLE" "$@" >out 2>err </dev/null &
	pid=$!
	trap 'kill -KILL "$pid" 2>/dev/null' EXIT
}

is_listening()
{
	kill -0 "$pid" 2>/dev/null || fail "it ended before it listened"
	grep -q '^listening on ' out
}

# Starts a server and waits until it listens: $address, and of that $port.
serve()
{
	start "$@"
	eventually is_listening
	address=$(sed -n 's/^listening on //p' out | head -n 1)
	port=${address##*:}
}

# Ends it by a signal. Then: $status.
stop_by()
{
	local tries=0
	kill -"$1" "$pid"
	# ThreadSanitizer keeps a signal for the stack on which it came, and loses it with that if its task ends.
	while [ "$TEST_TOOL" = tsan ] && kill -0 "$pid" 2>/dev/null; do
		[ $((tries += 1)) -ne 200 ] || kill -"$1" "$pid"
		sleep 0.05
	done
	has_ended
}

has_ended()
{
	wait "$pid"
	status=$?
	trap - EXIT
}

# Ends a server, which must have had nothing to complain of.
stop()
{
	stop_by TERM
	status_is 0
	err_is_empty
}
