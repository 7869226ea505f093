#!/bin/bash
# SPDX-License-Identifier: MIT
# The example curl_multi, which is libcurl, downloads from the example httpd.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"
httpd=$(dirname "$EXAMPLE")/httpd

serve_files()
{
	local i
	[ -x "$httpd" ] || skip "no httpd: its parser is not installed"
	mkdir files down
	for i in {1..12}; do
		head -c $((i * 50000)) /dev/urandom >"files/f$i"
	done
	"$httpd" 127.0.0.1 0 files >httpd.out 2>&1 </dev/null &
	server=$!
	trap 'kill -KILL "$server" 2>/dev/null' EXIT
	eventually grep -q '^listening on ' httpd.out
	url=http://$(sed -n 's/^listening on //p' httpd.out)
}

end_server()
{
	kill "$server"
	wait "$server" || fail "httpd: $(cat httpd.out)"
	trap - EXIT
}

download()
{
	(cd down && "$EXAMPLE" "$@") >out 2>err
	status=$?
}

test_several_files()
{
	local i
	serve_files
	# shellcheck disable=SC2046 # one argument for each
	download $(printf "$url/f%d " {1..12})
	status_is 0
	err_is_empty
	for i in {1..12}; do
		cmp "files/f$i" "down/f$i" || fail "f$i is another file"
		out_has "f$i: $((i * 50000)) bytes"
	done
	end_server
}

test_a_failed_download_concerns_no_other()
{
	serve_files
	echo mine >down/f3
	download "$url/f1" "$url/missing" "$url/f2" "$url/f3" http://127.0.0.1:1/x nonsense://x/y
	status_is 1
	err_has "$url/missing: The requested URL returned error: 404"
	err_has 'f3: File exists'
	err_has 'http://127.0.0.1:1/x: Failed to connect'
	err_has 'nonsense://x/y: Protocol "nonsense" not supported'
	[ "$(ls down)" = $'f1\nf2\nf3' ] || fail "there is: $(ls down)"
	[ "$(cat down/f3)" = mine ] || fail "f3 was overwritten"
	cmp files/f1 down/f1 || fail "f1 is another file"
	end_server
}

# A server that accepts and never answers: whoever waits for it is stopped, and leaves no part of a file.
is_connected()
{
	[ "$(wc -l <connected)" -eq 3 ]
}

test_a_signal_stops_downloads()
{
	local signal expected
	for signal in INT TERM; do
		perl -MIO::Socket::INET -e '
			my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 0, Listen => 5) or die;
			$| = 1;
			print "listening on 127.0.0.1:" . $server->sockport . "\n";
			alarm 500;
			open my $log, ">", "connected";
			while (my $client = $server->accept) {
				push @clients, $client;
				print $client "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\npart";
				$client->flush;
				syswrite $log, "one\n";
			}' >server.out 2>&1 </dev/null &
		server=$!
		trap 'kill -KILL "$server" 2>/dev/null' EXIT
		eventually grep -q '^listening on ' server.out
		address=$(sed -n 's/^listening on //p' server.out)
		start "http://$address/"{a,b,c}
		trap 'kill -KILL "$server" "$pid" 2>/dev/null' EXIT
		eventually is_connected
		stop_by $signal
		expected=1
		[ $signal = INT ] && expected=130
		status_is $expected
		err_has 'curl_multi: stopped'
		for file in a b c; do
			[ ! -e $file ] || fail "$file was left"
		done
		kill "$server"
		wait "$server"
		rm connected server.out
	done
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: curl_multi URL...'
}

run_tests
