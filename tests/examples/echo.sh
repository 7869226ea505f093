#!/bin/bash
# SPDX-License-Identifier: MIT
# The example echo on TCP and on Unix sockets; the clients are bash and perl.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"

# Sends a file, reads as much as that is.
exchange()
{
	exec 3<>"/dev/tcp/127.0.0.1/$port" || fail "no connection to port $port"
	cat "$1" >&3 &
	head -c "$(stat -c %s "$1")" <&3 >"$2"
	wait $!
	exec 3>&-
}

test_tcp()
{
	serve 127.0.0.1 0
	echo hello >data
	exchange data answer
	cmp data answer || fail "not what was sent"
	stop
}

test_many_bytes()
{
	head -c 3000000 /dev/urandom >data
	serve 127.0.0.1 0
	exchange data answer
	cmp data answer || fail "not what was sent"
	stop
}

test_several_clients_at_a_time()
{
	local i
	serve 127.0.0.1 0
	for i in {1..10}; do
		exec {client}<>"/dev/tcp/127.0.0.1/$port" || fail "no connection"
		clients+=("$client")
	done
	for i in "${!clients[@]}"; do
		echo "client $i" >&"${clients[$i]}"
	done
	for i in "${!clients[@]}"; do
		read -r line <&"${clients[$i]}"
		[ "$line" = "client $i" ] || fail "client $i got: $line"
	done
	# They are connected still.
	stop_by INT
	status_is 0
}

test_unix_socket()
{
	local path
	# A path that nobody listens on is taken over; an abstract name leaves no file.
	perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
	for path in "$PWD/socket" "@$PWD"; do
		serve "$path"
		[ "$address" = "$path" ] || fail "it listens on $address"
		printf 'one\ntwo\n' | perl -MIO::Socket::UNIX -e '
			my $peer = IO::Socket::UNIX->new(Peer => $ARGV[0] =~ s/^@/\0/r) or die "connect: $!";
			print $peer <STDIN>;
			$peer->shutdown(1);
			print <$peer>' "$path" >answer || fail "the client failed"
		[ "$(cat answer)" = $'one\ntwo' ] || fail "the answer is: $(cat answer)"
		stop
		[ ! -e "$PWD/socket" ] || fail "the socket is still there"
	done
}

test_an_address_in_use()
{
	serve 127.0.0.1 0
	"$EXAMPLE" 127.0.0.1 "$port" >second.out 2>second.err && fail "two listen on port $port"
	grep -q "echo: 127.0.0.1:$port: Address already in use" second.err || fail "$(cat second.err)"
	stop
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: echo HOST PORT'
}

run_tests
