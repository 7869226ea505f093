#!/bin/bash
# SPDX-License-Identifier: MIT
# The example resp against redis-cli, redis-benchmark and requests written by hand.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"

cli()
{
	redis-cli -h 127.0.0.1 -p "$port" "$@" >answer 2>&1 || fail "redis-cli: $(cat answer)"
}

answer_is()
{
	[ "$(cat answer)" = "$1" ] || fail "the answer is: $(cat answer), not: $1"
}

# gives ANSWER WORD...: what redis-cli shows for a command.
gives()
{
	local expected=$1
	shift
	cli "$@"
	answer_is "$expected"
}

by_hand()
{
	perl -MIO::Socket::INET -e 'alarm 500;
		my $peer = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift) or die "connect: $!";
		print $peer <STDIN>; $peer->shutdown(1); print <$peer>' "$port" | tr -d '\r' >answer
}

test_commands()
{
	needs redis-cli
	serve 127.0.0.1 0
	gives PONG PING
	gives 'hello world' PING 'hello world'
	gives hi ECHO hi
	gives '' GET key
	gives OK SET key 'a value'
	gives 'a value' GET key
	gives OK SET key ''
	gives '' GET key
	gives 1 INCR counter
	gives 2 INCR counter
	gives 2 GET counter
	gives OK MSET a 1 b 2
	gives $'1\n2\n\n2' MGET a b none counter
	gives 3 DEL a b none counter
	gives 0 DEL a
	gives '' CONFIG GET save
	gives '' COMMAND
	stop
}

is_refused()
{
	cli "$@"
	grep -q '^ERR unknown command, or not' answer || fail "$* gives: $(cat answer)"
}

test_errors()
{
	needs redis-cli
	serve 127.0.0.1 0
	is_refused NONSENSE x
	is_refused GET
	is_refused MGET
	is_refused MSET a 1 b
	gives '' GET a
	gives OK SET text abc
	is_refused INCR text
	is_refused EXPIRE text soon
	gives OK SET text 9223372036854775807
	is_refused INCR text
	is_refused SET text x EX 0
	is_refused SET text x PX 1
	gives 9223372036854775807 GET text
	stop
}

test_expiry()
{
	needs redis-cli
	serve 127.0.0.1 0
	gives -2 TTL key
	gives 0 EXPIRE key 100
	gives OK SET key value
	gives -1 TTL key
	gives 1 EXPIRE key 10000
	expires_in 10000 key
	gives OK SET key value EX 20000
	expires_in 20000 key
	gives OK SET key 1
	gives -1 TTL key
	gives 1 EXPIRE key 30000
	gives 2 INCR key
	expires_in 30000 key
	gives 1 EXPIRE key -1
	gives -2 TTL key
	gives OK SET key value EX 1
	eventually gone key
	stop
}

# Of so many seconds some may have passed.
expires_in()
{
	local left
	left=$(redis-cli -p "$port" TTL "$2")
	[ "$left" -le "$1" ] && [ "$left" -gt $(($1 - 5000)) ] || fail "$2 expires in $left, not in $1"
}

gone()
{
	[ "$(redis-cli -p "$port" TTL "$1")" = -2 ]
}

test_binary_and_large_values()
{
	needs redis-cli
	serve 127.0.0.1 0
	head -c 1000000 /dev/urandom >value
	redis-cli -p "$port" -x SET key <value >answer
	answer_is OK
	redis-cli -p "$port" --raw GET key >back
	# redis-cli adds a newline.
	cmp <(cat value; echo) back || fail "not what was set"
	stop
}

test_pipelining()
{
	needs redis-cli
	serve 127.0.0.1 0
	for i in {1..2000}; do
		printf '*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$%d\r\nv%d\r\n' $((${#i} + 1)) "$i" $((${#i} + 1)) "$i"
	done >commands
	redis-cli -p "$port" --pipe <commands >answer 2>&1 || fail "$(cat answer)"
	grep -q 'errors: 0, replies: 2000' answer || fail "$(cat answer)"
	gives v1234 GET k1234
	gives 1000 DEL k{1..1000}
	gives 1000 DEL k{1001..2000}
	stop
}

# The table has 64 MiB: the oldest of nine values of 8 MB is gone.
test_full_table()
{
	needs redis-cli
	serve 127.0.0.1 0
	head -c 8000000 /dev/zero >value
	for i in {1..9}; do
		redis-cli -p "$port" -x SET "key$i" <value >answer
		answer_is OK
	done
	gives -2 TTL key1
	gives -1 TTL key2
	gives -1 TTL key9
	# The answer is larger than a command may be.
	redis-cli -p "$port" --raw MGET key{1..9} | wc -c >answer
	answer_is $((1 + 8 * 8000001))
	stop
}

# Words in a line, as one types them; what breaks the protocol ends the connection.
test_by_hand()
{
	serve 127.0.0.1 0
	printf 'SET key  value\r\n\r\nget key\nPING\r\n' | by_hand
	answer_is $'+OK\n$5\nvalue\n+PONG'
	local broken
	for broken in '*2000\r\n' '*0\r\n' '*x\r\n' '*1\r\n$x\r\nPING\r\n' '*1\r\n$3\r\nPING\r\n' '*1\r\nPING\r\n' '*1\r\n$99999999\r\n' '*1\r\n$-1\r\n'; do
		# shellcheck disable=SC2059 # it is a format
		printf "$broken" | by_hand
		answer_is '-ERR Protocol error'
	done
	printf 'SET key other' | by_hand
	answer_is ''
	printf 'GET key\n*2\r\n$3\r\nGET\r\n$10\r\nhalf' | by_hand
	answer_is $'$5\nvalue\n-ERR Protocol error'
	printf 'DEL %2000s\r\n' '' | sed 's/  / k/g' | by_hand
	answer_is ':0'
	printf 'DEL %2100s\r\n' '' | sed 's/  / k/g' | by_hand
	answer_is '-ERR Protocol error'
	stop
}

test_load()
{
	needs redis-benchmark
	serve 127.0.0.1 0
	redis-benchmark -p "$port" -q -n 5000 -c 20 -t ping,set,get,incr,mset >load 2>&1 || fail "$(cat load)"
	redis-benchmark -p "$port" -q -n 5000 -c 20 -P 16 -r 1000 -t set,get,incr >>load 2>&1 || fail "$(cat load)"
	[ "$(tr '\r' '\n' <load | grep -c 'requests per second')" -eq 9 ] || fail "not all measured: $(cat load)"
	! grep -qi err load || fail "$(cat load)"
	stop
}

test_sigint()
{
	serve 127.0.0.1 0
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf 'SET key value EX 1000\r\n' >&3
	read -r line <&3
	[ "$line" = $'+OK\r' ] || fail "$line"
	stop_by INT
	status_is 0
	err_is_empty
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: resp HOST PORT'
}

run_tests
