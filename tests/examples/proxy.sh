#!/bin/bash
# SPDX-License-Identifier: MIT
# The example proxy in front of the example echo, and of servers in perl that close one direction or read nothing.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"
echo_server=$(dirname "$EXAMPLE")/echo

# Starts a server in perl, which gets the listening socket $server: $back_port.
serve_behind()
{
	perl -MIO::Socket::INET -e '
		my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 5) or die;
		$| = 1;
		print "listening on 127.0.0.1:" . $server->sockport . "\n";
		alarm 500;
		'"$1" >back.out 2>&1 </dev/null &
	back=$!
	await_back
}

serve_echo()
{
	"$echo_server" 127.0.0.1 0 >back.out 2>&1 </dev/null &
	back=$!
	await_back
}

await_back()
{
	trap 'kill -KILL "$back" 2>/dev/null' EXIT
	eventually grep -q '^listening on ' back.out
	back_port=$(sed -n 's/^listening on .*://p' back.out)
	serve 127.0.0.1 0 127.0.0.1 "$back_port"
	trap 'kill -KILL "$back" "$pid" 2>/dev/null' EXIT
}

# A client in perl with the connected socket $peer; what it prints is in the file answer.
client()
{
	perl -MIO::Socket::INET -e '
		alarm 500;
		my $peer = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift) or die "connect: $!";
		'"$1" "$port" >answer 2>client.err || fail "the client failed: $(cat client.err)"
}

ends()
{
	stop
	kill "$back" 2>/dev/null
	wait "$back"
}

test_bytes_in_both_directions()
{
	serve_echo
	head -c 2000000 /dev/urandom >data
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	cat data >&3 &
	head -c 2000000 <&3 >answer
	wait $!
	exec 3>&-
	cmp data answer || fail "not what was sent"
	ends
}

# The client has said all, and hears the answer to that: the server answers when it has seen the end.
test_half_close_by_the_client()
{
	serve_behind 'my $client = $server->accept; my @lines = <$client>; print $client "got " . @lines . " lines\n"'
	client 'print $peer "line\n" x 1000; $peer->shutdown(1); print <$peer>'
	[ "$(cat answer)" = 'got 1000 lines' ] || fail "the answer is: $(cat answer)"
	ends
}

# And the other way round.
test_half_close_by_the_server()
{
	serve_behind 'my $client = $server->accept; print $client "all that I say\n"; $client->shutdown(1);
		my @lines = <$client>; print "heard " . @lines . " lines\n"'
	client 'print <$peer>; print $peer "line\n" x 1000'
	[ "$(cat answer)" = 'all that I say' ] || fail "the answer is: $(cat answer)"
	eventually grep -q 'heard 1000 lines' back.out
	ends
}

# Whoever writes to a server that does not read can get rid of what buffers hold, and no more: the client writes until it
# would block, again and again until nothing moves.
test_back_pressure()
{
	serve_behind 'my $client = $server->accept; my $signalled; $SIG{USR1} = sub { $signalled = 1 };
		print "ready\n"; select(undef, undef, undef, 0.05) until $signalled;
		my ($sum, $n, $data) = 0; $sum += $n while $n = sysread $client, $data, 65536; print "read $sum\n"'
	client '
		$peer->blocking(0);
		my ($sum, $data, $idle) = (0, "x" x 65536, 0);
		while ($idle < 10) {
			my $n = syswrite $peer, $data;
			if (defined $n) { $sum += $n; $idle = 0 } else { $idle++; select(undef, undef, undef, 0.05) }
			die "it stores without end\n" if $sum > 64 << 20;
		}
		print $sum'
	sent=$(cat answer)
	[ "$sent" -gt 65536 ] || fail "only $sent bytes could be sent"
	[ "$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status")" -lt 400000 ] || fail "it holds what was sent"
	kill -USR1 "$back"
	eventually grep -q "read $sent" back.out
	ends
}

test_a_reset_is_passed_on()
{
	serve_behind 'my $client = $server->accept; <$client>;
		setsockopt $client, SOL_SOCKET, SO_LINGER, pack("ii", 1, 0); close $client'
	client 'print $peer "hello\n"; $peer->flush; my $n = sysread $peer, my $data, 10;
		print defined $n ? "end" : $!{ECONNRESET} ? "reset" : $!'
	[ "$(cat answer)" = reset ] || fail "the client saw: $(cat answer)"
	ends
}

test_nobody_behind()
{
	serve_echo
	kill "$back"
	wait "$back"
	client 'my $n = sysread $peer, my $data, 10; print defined $n ? "end" : $!{ECONNRESET} ? "reset" : $!'
	[ "$(cat answer)" = reset ] || fail "the client saw: $(cat answer)"
	eventually grep -q "proxy: 127.0.0.1:$back_port: Connection refused" err
	stop_by TERM
	status_is 0
}

test_sigint_ends_connections()
{
	serve_echo
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	echo hello >&3
	read -r line <&3
	[ "$line" = hello ] || fail "the answer is: $line"
	stop_by INT
	status_is 0
	kill "$back"
}

test_usage()
{
	example 127.0.0.1 0
	status_is 2
	err_has 'usage: proxy HOST PORT TO_HOST TO_PORT'
}

run_tests
