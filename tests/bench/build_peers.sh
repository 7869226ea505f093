#!/bin/bash
# SPDX-License-Identifier: MIT
# Builds into directory $1 the peers that can be built here, and names the others. Only Debian's packages are used.
set -u
out=$1
src=$(dirname "$0")/peers
: "${CC:=cc}" "${CXX:=c++}"
mkdir -p "$out"

# peer NAME SOURCE PACKAGE TEST COMMAND...: builds NAME, if TEST says that what it needs is there.
peer()
{
	name=$1 source=$2 package=$3 test=$4
	shift 4
	[ "$out/$name" -nt "$src/$source" ] && return
	rm -f "$out/$name"
	if ! sh -c "$test" >/dev/null 2>&1; then
		echo "skipped: $name, which needs Debian's $package"
	elif ! "$@" >"$out/$name.log" 2>&1; then
		echo "skipped: $name, see $out/$name.log"
	fi
}

# Debian's crates are a directory that takes the place of cargo's registry.
# shellcheck disable=SC2317 # called through `peer`
build_tokio()
{
	# A copy, because cargo writes a lock file beside the manifest.
	rm -rf "$out/cargo"
	cp -r "$src/echo_tokio" "$out/cargo"
	cargo build --release --offline --manifest-path "$out/cargo/Cargo.toml" \
		--config 'source.crates-io.replace-with="debian"' \
		--config 'source.debian.directory="/usr/share/cargo/registry"' &&
		cp "$out/cargo/target/release/echo_tokio" "$out/echo_tokio"
}

# shellcheck disable=SC2317 # called through `peer`
c()
{
	output=$1
	shift
	"$CC" -std=gnu11 -D_GNU_SOURCE -O2 "$@" -o "$out/$output"
}

peer echo_epoll echo_epoll.c gcc true c echo_epoll "$src/echo_epoll.c"
peer echo_uring echo_uring.c liburing-dev 'pkg-config --exists liburing' c echo_uring "$src/echo_uring.c" -luring
for name in echo_uv read_uv; do
	peer "$name" "$name.c" libuv1-dev 'pkg-config --exists libuv' c "$name" "$src/$name.c" -luv
done
peer echo_asio echo_asio.cc libboost-dev 'echo "#include <boost/asio.hpp>" | c++ -E -x c++ -' \
	"$CXX" -std=gnu++17 -O2 -pthread "$src/echo_asio.cc" -o "$out/echo_asio"
peer echo_go echo_go.go golang-go 'command -v go' env GO111MODULE=off GOFLAGS= go build -o "$out/echo_go" "$src/echo_go.go"
peer echo_tokio echo_tokio/src/main.rs 'cargo and librust-tokio-dev' \
	'command -v cargo && ls -d /usr/share/cargo/registry/tokio-1*' build_tokio
exit 0
