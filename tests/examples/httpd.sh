#!/bin/bash
# SPDX-License-Identifier: MIT
# The example httpd against curl, against requests written by hand, and under the load of wrk.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"

# A directory with something to serve, and something beside it that must not be: served with these options.
serve_files()
{
	mkdir -p files/sub
	echo '<h1>Index</h1>' >files/index.html
	echo '<h1>Sub</h1>' >files/sub/index.html
	seq 100 >'files/a file.txt'
	head -c 1500000 /dev/urandom >files/big
	: >files/empty
	echo secret >secret
	ln -s ../secret files/link
	ln -s .. files/up
	mkfifo files/fifo
	serve "$@" 127.0.0.1 0 files
	url=http://127.0.0.1:$port
}

# fetch PATH OPTION...: $code, and the files body and headers.
fetch()
{
	local path=$1
	shift
	code=$(curl -sS --max-time 300 -o body -D headers -w '%{http_code}' "$@" "$url$path" 2>curl.err)
}

code_is()
{
	[ "$code" = "$1" ] || fail "status $code, not $1: $(cat curl.err)"
}

head_has()
{
	tr -d '\r' <headers | grep -qixF "$1" || fail "not in the head: $1; it is: $(cat headers)"
}

# Sends what stands in the file request, and ends: the answer is in the file answer.
by_hand()
{
	perl -MIO::Socket::INET -e 'alarm 500;
		my $peer = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift) or die "connect: $!";
		print $peer <STDIN>; $peer->shutdown(1); print <$peer>' "$port" <request >answer || fail "no connection"
}

answers_are()
{
	local answers
	answers=$(grep -a '^HTTP/1.1 ' answer | cut -d ' ' -f 2 | paste -sd ' ')
	[ "$answers" = "$1" ] || fail "answers: $answers, not $1"
}

test_files()
{
	needs curl
	serve_files
	fetch /big
	code_is 200
	cmp body files/big || fail "not the file"
	head_has 'Content-Length: 1500000'
	fetch '/a%20file.txt?query'
	code_is 200
	cmp body 'files/a file.txt' || fail "not the file"
	fetch /
	code_is 200
	cmp body files/index.html || fail "not the index"
	fetch /sub/
	cmp body files/sub/index.html || fail "not the index of sub"
	fetch /empty
	code_is 200
	head_has 'Content-Length: 0'
	stop
}

test_head()
{
	needs curl
	serve_files
	fetch /big --head
	code_is 200
	head_has 'Content-Length: 1500000'
	[ ! -s body ] || [ "$(head -c 5 body)" = HTTP/ ] || fail "there is a body"
	fetch /missing --head
	code_is 404
	stop
}

test_ranges()
{
	needs curl
	serve_files
	local range
	for range in 0-99 100-1499999 1000000- 1499999-9999999 -300; do
		fetch /big -r "$range"
		code_is 206
		case $range in
		-*) tail -c "${range#-}" files/big >part ;;
		*) dd if=files/big of=part bs=1M iflag=skip_bytes skip="${range%-*}" status=none ;;
		esac
		case $range in
		[0-9]*-[0-9]*) head -c $((${range#*-} - ${range%-*} + 1)) part >wanted ;;
		*) cp part wanted ;;
		esac
		cmp body wanted || fail "not the range $range"
	done
	head_has 'Content-Range: bytes 1499700-1499999/1500000'
	fetch /big -r -9999999
	code_is 206
	cmp body files/big || fail "not all of it"
	fetch /big -r 1500000-
	code_is 416
	head_has 'Content-Range: bytes */1500000'
	fetch /big -r -0
	code_is 416
	for range in 5-2 0-1,5-6 nonsense 1x2 - -- --5 -+5 +5-9 -5- 5 '' ' 5-9' 5-9x; do
		fetch /big -H "Range: bytes=$range"
		code_is 200
	done
	fetch /big -H 'Range: lines=1-2'
	code_is 200
	fetch /big -H 'Range: BYTES=1-2'
	code_is 206
	fetch /big -r 5-99999999999999999999
	code_is 206
	fetch /big -r 99999999999999999999-
	code_is 416
	fetch /empty -r 0-
	code_is 416
	fetch /empty -r -5
	code_is 200
	# Ranges are for GET alone.
	fetch /big --head -r 0-99
	code_is 200
	head_has 'Content-Length: 1500000'
	fetch /big --head -r 1500000-
	code_is 200
	stop
}

tag_of()
{
	fetch "$1" --head
	tag=$(tr -d '\r' <headers | sed -n 's/^ETag: //p')
	[ -n "$tag" ] || fail "no ETag"
}

# A part of one version and the rest of another are no file.
test_if_range()
{
	needs curl
	serve_files
	touch -d '2024-02-03 04:05:06 UTC' files/big
	tag_of /big
	[[ $tag != W/* ]] || fail "an old file has a weak tag: $tag"
	local date='Sat, 03 Feb 2024 04:05:06 GMT' condition
	for condition in "$tag" "$date"; do
		fetch /big -r 100-199 -H "If-Range: $condition"
		code_is 206
		head_has 'Content-Range: bytes 100-199/1500000'
	done
	for condition in '"other"' "W/$tag" "${tag%?}" 'Sat, 03 Feb 2024 04:05:07 GMT' 'Sat, 03 Feb 2024 04:05:05 GMT' \
		'Saturday, 03-Feb-24 04:05:06 GMT' '*' "$tag, $tag"; do
		fetch /big -r 100-199 -H "If-Range: $condition"
		code_is 200
		cmp body files/big || fail "not all of it"
	done
	# Changed, with the same size.
	head -c 1500000 /dev/zero >files/big
	touch -d '2024-02-03 04:05:06.5 UTC' files/big
	fetch /big -r 100-199 -H "If-Range: $tag"
	code_is 200
	cmp body files/big || fail "not all of the new one"
	# Out of the range of a version that is not there any more.
	fetch /big -r 1500000- -H "If-Range: $tag"
	code_is 200
	# What was changed just now may be changed again, and look the same.
	touch -d '1 hour' files/big
	tag_of /big
	[[ $tag == W/* ]] || fail "a new file has a strong tag: $tag"
	date=$(tr -d '\r' <headers | sed -n 's/^Last-Modified: //p')
	for condition in "$tag" "${tag#W/}" "$date"; do
		fetch /big -r 100-199 -H "If-Range: $condition"
		code_is 200
	done
	stop
}

test_conditions()
{
	needs curl
	serve_files
	touch -d '2024-02-03 04:05:06 UTC' files/big
	tag_of /big
	rm -f body
	fetch /big -H "If-None-Match: $tag"
	code_is 304
	head_has "ETag: $tag"
	[ ! -s body ] || fail "there is a body"
	for list in '*' "\"other\", $tag" "W/$tag"; do
		fetch /big -H "If-None-Match: $list"
		code_is 304
	done
	# The date does not count beside a tag.
	fetch /big -H 'If-None-Match: "other"' -H 'If-Modified-Since: Sat, 03 Feb 2024 04:05:06 GMT'
	code_is 200
	for date in 'Saturday, 03-Feb-24 04:05:06 GMT' 'Sat Feb  3 04:05:06 2024'; do
		fetch /big -H "If-Modified-Since: $date"
		code_is 304
	done
	fetch /big -H "If-Match: $tag"
	code_is 200
	fetch /big -H 'If-Match: "other"' -r 0-9
	code_is 412
	fetch /big -H "If-Match: W/$tag"
	code_is 412
	fetch /big -H 'If-Unmodified-Since: Sat, 03 Feb 2024 04:05:05 GMT'
	code_is 412
	fetch /big -H 'If-Unmodified-Since: Sat, 03 Feb 2024 04:05:06 GMT'
	code_is 200
	stop
}

# A download that broke off is continued, which is ranges at work.
test_continued_download()
{
	needs curl
	serve_files
	head -c 400000 files/big >part
	curl -sS -C - -o part "$url/big" || fail "curl: $?"
	cmp part files/big || fail "not the file"
	stop
}

test_if_modified_since()
{
	needs curl
	serve_files
	touch -d '2024-02-03 04:05:06 UTC' files/big
	fetch /big -z 'Sat, 03 Feb 2024 04:05:06 GMT'
	code_is 304
	head_has 'Last-Modified: Sat, 03 Feb 2024 04:05:06 GMT'
	fetch /big -z 'Sat, 03 Feb 2024 04:05:05 GMT'
	code_is 200
	fetch /big -H 'If-Modified-Since: some day'
	code_is 200
	stop
}

test_keep_alive()
{
	needs curl
	serve_files
	connects=$(curl -sS -w '%{num_connects}\n' -o 1 "$url/" -o 2 "$url/big" -o 3 "$url/missing" -o 4 "$url/sub/" |
		paste -sd ' ')
	[ "$connects" = '1 0 0 0' ] || fail "connections made: $connects"
	fetch / -H 'Connection: close'
	head_has 'Connection: close'
	fetch / --http1.0
	head_has 'Connection: close'
	stop
}

test_pipelining()
{
	serve_files
	local i
	for i in {1..50}; do
		printf 'GET /a%%20file.txt HTTP/1.1\r\nHost: x\r\n\r\nHEAD /big HTTP/1.1\r\nHost: x\r\n\r\n'
	done >request
	by_hand
	answers_are "$(yes 200 | head -n 100 | paste -sd ' ')"
	[ "$(grep -c '^100$' answer)" -eq 50 ] || fail "not all the bodies"
	stop
}

test_what_is_not_served()
{
	needs curl
	serve_files
	local path
	for path in /missing /sub /big/ /big/x /sub/missing /../secret /%2e%2e/secret /sub/../../secret /link /up/secret \
		/..%2fsecret //../secret /fifo '/%2e%2e%2fsecret' /. /..; do
		fetch "$path" --path-as-is
		code_is 404
		! grep -q secret body || fail "$path leads out of the directory"
	done
	if [ "$(id -u)" -ne 0 ]; then
		chmod 0 files/big
		fetch /big
		code_is 403
	fi
	stop
}

# refused_alone CODE HEAD: the only answer, and the end of the connection, although another request follows.
refused_alone()
{
	{
		printf '%b\r\n' "$2"
		printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
	} >request
	by_hand
	answers_are "$1"
}

# One that names the host, as for a proxy; one that would rather speak another version.
test_other_forms()
{
	needs curl
	serve_files
	printf 'GET http://x%s HTTP/1.1\r\nHost: x\r\n\r\n' '' /a%20file.txt '/missing?/index.html' '/#/missing' \
		>request
	by_hand
	answers_are '200 200 404 200'
	printf '%b' 'HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nHEAD / HTTP/1.0\r\n\r\nHEAD / HTTP/1.0\r\n\r\n' \
		>request
	by_hand
	answers_are '200 200'
	fetch / --http2
	code_is 200
	fetch / -H 'Expect: 100-continue'
	code_is 200
	stop
}

test_what_is_refused()
{
	needs curl
	serve_files
	fetch / -X DELETE
	code_is 405
	head_has 'Allow: GET, HEAD'
	fetch / -d data
	code_is 405
	fetch / -X GET -d data
	code_is 400
	for path in /%zz /% /%4 '/%4?' /%00 '/a%20file.txt%00.html'; do
		fetch "$path" --path-as-is
		code_is 400
	done
	fetch / -H "X: $(head -c 20000 /dev/zero | tr '\0' x)"
	code_is 431
	printf 'nonsense\r\n\r\n' >request
	by_hand
	answers_are 400
	printf 'GET / HTTP/1.1\r\nHost' >request
	by_hand
	answers_are 400
	refused_alone 400 'GET / HTTP/1.1\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n ,3-4\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost : x\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nX : a\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nConnection\t: close\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: a b/c?d\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n'
	refused_alone 400 'GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n'
	refused_alone 505 'GET / HTTP/2.0\r\nHost: x\r\n'
	# For some these are two requests.
	refused_alone 400 'GET / HTTP/1.1\nHost: x\n\nGET /missing HTTP/1.1\r\nHost: x\r\n'
	# What follows a request that is refused for its form is not looked at.
	printf 'GET http:/// HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n' >request
	by_hand
	answers_are 400
	stop
}

# peers COUNT PATH: clients that ask and do not read, until $peers is ended.
peers()
{
	perl -MIO::Socket::INET -e '$| = 1; alarm 500; my ($port, $count, $path) = @ARGV;
		for (1 .. $count) {
			my $peer = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "connect: $!";
			print $peer "GET $path HTTP/1.1\r\nHost: x\r\n\r\n" if $path;
			$peer->flush;
			push @peers, $peer;
		}
		print "connected\n"; sleep' "$port" "$@" >peers.out &
	peers=$!
	trap 'kill -KILL "$pid" "$peers" 2>/dev/null' EXIT
	eventually grep -q connected peers.out
}

# peer PERL: a client, $peer, that does this and must be sent away by the server.
peer()
{
	perl -MIO::Socket::INET -MIO::Poll=POLLPRI -e '$| = 1; $SIG{PIPE} = "IGNORE"; alarm 500; my ($port, $code) = @ARGV;
		our $peer = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $port) or die "connect: $!";
		$peer->autoflush(1);
		sub ended { my $poll = IO::Poll->new; $poll->mask($peer => POLLPRI); $poll->poll(-1) }
		eval $code; die $@ if $@' "$port" "$1" || fail "$1: it was not sent away"
}

# As many as can be served do nothing for ever: whoever comes is served all the same.
test_those_who_stand_still_make_room()
{
	needs curl
	serve_files -c 4 -i 3600 -s 3600 -e 0.1
	truncate -s 100M files/huge
	local kind
	for kind in '' /huge /; do
		peers 4 "$kind"
		fetch /big
		code_is 200
		cmp body files/big || fail "not the file"
		kill "$peers"
		wait "$peers"
	done
	stop
}

# So do those whose time was over, however they go on.
test_slow_senders_make_room()
{
	needs curl
	serve_files -c 4 -i 0.3 -s 3600 -e 0.1
	senders=()
	for _ in 1 2 3 4; do
		peer 'print $peer "G"; 1 while print $peer "G" and select undef, undef, undef, 0.05' &
		senders+=($!)
	done
	fetch /big --max-time 20
	code_is 200
	wait "${senders[@]}" || fail "a sender was not sent away"
	stop
}

test_time_is_limited()
{
	serve_files -i 2 -s 1
	truncate -s 100M files/huge
	# Says nothing; has an answer and says no more; says ever more of a request that does not end.
	peer 'local $/; my $nothing = <$peer>; die if length $nothing'
	peer 'print $peer "GET / HTTP/1.1\r\nHost: x\r\n\r\n"; local $/; my $answer = <$peer>; die if $answer !~ /Index/'
	peer 'print $peer "GET / HTTP/1.1\r\n"; 1 while print $peer "X: y\r\n" and select undef, undef, undef, 0.01'
	# Does not read a file; or answers to more and more questions.
	peer 'print $peer "GET /huge HTTP/1.1\r\nHost: x\r\n\r\n"; ended'
	peer 'print $peer "GET /huge HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"; ended'
	peer 'my $more = "GET /missing HTTP/1.1\r\nHost: x\r\n\r\n" x 100; 1 while print $peer $more'
	stop
}

test_load()
{
	needs wrk
	serve_files
	local path
	for path in / /big /missing; do
		wrk -t 1 -c 20 -d 1s "$url$path" >load 2>&1 || fail "wrk: $(cat load)"
		grep -q 'Socket errors' load && fail "$(cat load)"
		[ "$(awk '/requests in/ { print $1 }' load)" -gt 0 ] || fail "no answers: $(cat load)"
		[ $path = /missing ] || ! grep -q Non-2xx load || fail "$(cat load)"
	done
	stop
}

# It ends although somebody is connected.
test_sigint()
{
	serve_files
	exec 3<>"/dev/tcp/127.0.0.1/$port"
	printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' >&3
	read -r line <&3
	[ "$line" = $'HTTP/1.1 200 OK\r' ] || fail "$line"
	stop_by INT
	status_is 0
	err_is_empty
}

test_usage()
{
	example
	status_is 2
	err_has 'usage: httpd [-c CONNECTIONS] [-i IDLE] [-s SEND] [-e STILL] HOST PORT DIRECTORY'
	for limit in -c0 -c1x -i-1 -inan -i '-s ' -e1e99; do
		example $limit 127.0.0.1 0 .
		status_is 2
		err_has 'expected a number above 0'
	done
	example 127.0.0.1 0 nowhere
	status_is 1
	err_has 'nowhere: No such file or directory'
}

run_tests
