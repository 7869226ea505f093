#!/bin/bash
# SPDX-License-Identifier: MIT
# The example httpd against curl, against requests written by hand, and under the load of wrk.
# shellcheck disable=SC2154 # lib.sh sets them
. "$(dirname "$0")/lib.sh"

# A directory with something to serve, and something beside it that must not be.
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
	serve 127.0.0.1 0 files
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
	for range in 5-2 0-1,5-6 nonsense 1x2; do
		fetch /big -H "Range: bytes=$range"
		code_is 200
	done
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
		/..%2fsecret //../secret /fifo '/%2e%2e%2fsecret' /. /.. /%00; do
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
	fetch /%zz
	code_is 400
	fetch / -H "X: $(head -c 20000 /dev/zero | tr '\0' x)"
	code_is 431
	printf 'nonsense\r\n\r\n' >request
	by_hand
	answers_are 400
	printf 'GET / HTTP/1.1\r\nHost' >request
	by_hand
	answers_are 400
	# What follows a request that is refused for its form is not looked at.
	printf 'GET http:/// HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n' >request
	by_hand
	answers_are 400
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
	err_has 'usage: httpd HOST PORT DIRECTORY'
	example 127.0.0.1 0 nowhere
	status_is 1
	err_has 'nowhere: No such file or directory'
}

run_tests
