#!/bin/bash
# SPDX-License-Identifier: MIT
# The example pq against a PostgreSQL of its own, which listens on a Unix socket only.
. "$(dirname "$0")/lib.sh"

bin=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
if [ -z "$bin" ]; then
	echo "skip - pq: PostgreSQL is not installed"
	exit 0
fi

# The server refuses to be root.
as_user=()
if [ "$(id -u)" -eq 0 ]; then
	user=postgres
	id "$user" >/dev/null 2>&1 || user=nobody
	as_user=(runuser -u "$user" --)
fi
cluster=$(mktemp -d)
trap '"${as_user[@]}" "$bin/pg_ctl" -D "$cluster/data" -m immediate stop >/dev/null 2>&1; rm -rf "$cluster"' EXIT
[ ${#as_user[@]} -eq 0 ] || chown "$user" "$cluster"
cd "$cluster" || exit 1
if ! { "${as_user[@]}" "$bin/initdb" -D data -A trust -U tester --no-sync --no-locale -E UTF8 &&
	"${as_user[@]}" "$bin/pg_ctl" -D data -w -t 60 -l server.log start \
		-o "-c listen_addresses='' -c unix_socket_directories='$cluster' -c fsync=off -c max_connections=20"
} >setup.log 2>&1; then
	echo "not ok - a PostgreSQL of its own"
	cat setup.log server.log 2>/dev/null | sed 's/^/# /'
	exit 1
fi
cd - >/dev/null || exit 1
# Whoever waits in vain fails.
export PGHOST=$cluster PGUSER=tester PGDATABASE=postgres PGOPTIONS='-c statement_timeout=60s'

ask()
{
	"$bin/psql" -XAtc "$1"
}

sorted_out_is()
{
	[ "$(sort out)" = "$1" ] || fail "stdout is not: $1"
}

test_rows()
{
	example "SELECT 1, 'two', NULL" 'CREATE TABLE numbers AS SELECT generate_series(1, 3) AS n' ''
	status_is 0
	err_is_empty
	sorted_out_is "1: 1|two|
2: SELECT 3"
	example 'SELECT n FROM numbers ORDER BY n; DROP TABLE numbers'
	out_is "1: 1
1: 2
1: 3
1: DROP TABLE"
}

# Each of the four waits until the others have begun: with fewer at a time none would end.
test_queries_run_at_a_time()
{
	ask 'CREATE TABLE arrived (n int)' >/dev/null
	# shellcheck disable=SC2016 # the server's dollars
	local query='DO $$ BEGIN INSERT INTO arrived VALUES (1); COMMIT;
		WHILE (SELECT count(*) FROM arrived) < 4 LOOP PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$'
	example "$query" "$query" "$query" "$query"
	status_is 0
	sorted_out_is "1: DO
2: DO
3: DO
4: DO"
}

test_connections_are_shared()
{
	local queries=() i
	for i in {1..30}; do
		queries+=('SELECT pg_backend_pid()')
	done
	example "${queries[@]}"
	status_is 0
	[ "$(wc -l <out)" -eq 30 ] || fail "not 30 answers"
	[ "$(cut -d ' ' -f 2 out | sort -u | wc -l)" -le 4 ] || fail "more than 4 connections"
}

test_much_in_both_directions()
{
	example "SELECT length('$(head -c 100000 /dev/zero | tr '\0' x)')" \
		"SELECT repeat('y', 1000) FROM generate_series(1, 3000)"
	status_is 0
	out_has '1: 100000'
	[ "$(grep -cE '^2: y{1000}$' out)" -eq 3000 ] || fail "not all rows"
}

test_a_failed_query_concerns_no_other()
{
	example 'SELECT 1 / 0' 'SELECT 1' 'SELECT 2' 'SELECT 3' 'SELECT 4' 'nonsense' 'COPY pg_class TO STDOUT' 'SELECT 5'
	status_is 1
	err_has 'query 1: ERROR:  division by zero'
	err_has 'query 6: ERROR:  syntax error'
	err_has 'query 7: only results in rows can be shown'
	sorted_out_is "2: 1
3: 2
4: 3
5: 4
8: 5"
}

test_a_lost_connection_is_made_again()
{
	local lost='SELECT pg_terminate_backend(pg_backend_pid())'
	example "$lost" "$lost" "$lost" "$lost" 'SELECT 1' 'SELECT 2'
	status_is 1
	err_has 'query 1: FATAL:  terminating connection'
	sorted_out_is "5: 1
6: 2"
}

test_no_server()
{
	PGHOST=$PWD example 'SELECT 1' 'SELECT 2'
	status_is 1
	err_has 'query 1: connection to server on socket'
	out_is_empty
}

is_sleeping()
{
	[ "$(ask "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'")" -eq "$1" ]
}

# A server that is not told goes on with the query.
test_sigint_cancels_at_the_server()
{
	start 'SELECT pg_sleep(1000)' 'SELECT pg_sleep(1001)'
	eventually is_sleeping 2
	stop_by INT
	status_is 130
	err_has stopped
	eventually is_sleeping 0
	! grep -q 'statement timeout' "$cluster/server.log" || fail "it ended by its timeout only"
}

test_sigterm()
{
	start 'SELECT pg_sleep(1000)'
	eventually is_sleeping 1
	stop_by TERM
	status_is 1
	err_has stopped
	eventually is_sleeping 0
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: pq QUERY...'
}

run_tests
