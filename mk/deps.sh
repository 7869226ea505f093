#!/bin/sh
# SPDX-License-Identifier: MIT
# The Debian packages that the project needs, by what needs them.
#   deps.sh missing SET...    prints the packages that are missing
#   deps.sh install SET...    installs them through apt-get
# Sets: build uring dw test examples valgrind lint coverage clang portability. An example that lacks a package is skipped.
# Looks for the things themselves, so that a compiler or library from elsewhere counts too.
set -u

cc=${CC:-cc}
pkg_config=${PKG_CONFIG:-pkg-config}

have()
{
	command -v "$1" >/dev/null 2>&1
}

have_library()
{
	# shellcheck disable=SC2086 # words
	have pkg-config && $pkg_config --exists "$1"
}

compiles()
{
	printf '#include <stdio.h>\nint main(void) { return 0; }\n' |
		"$1" -x "$2" - -o /dev/null >/dev/null 2>&1
}

has_header()
{
	$cc -include "$1" -fsyntax-only -x c /dev/null >/dev/null 2>&1
}

# One line for each package that set $1 lacks.
lacking()
{
	case $1 in
	build)
		# CC may carry arguments: its first word is the program.
		case ${cc%% *} in
		clang*) compiles "${cc%% *}" c || echo clang libc6-dev ;;
		*-linux-gnu*-gcc*) compiles "${cc%% *}" c || echo "${cc%% *}" |
			sed -E 's/(.*)-gcc(.*)/gcc\2-\1/; s/_/-/g' ;;
		*) compiles "${cc%% *}" c || echo build-essential ;;
		esac
		have objcopy || echo binutils
		have pkg-config || echo pkg-config
		;;
	uring) have_library liburing || echo liburing-dev ;;
	dw) have_library libdw || echo libdw-dev ;;
	test)
		compiles c++ c++ || echo build-essential
		have_library cmocka || echo libcmocka-dev
		have gdb || echo gdb
		have jq || echo jq
		have mandoc || echo mandoc
		;;
	examples)
		have_library libcurl || echo libcurl4-openssl-dev
		have_library libpq || echo libpq-dev
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
		has_header http_parser.h || echo libhttp-parser-dev
		has_header uthash.h || echo uthash-dev
		have curl || echo curl
		have wrk || echo wrk
		have redis-cli || echo redis-tools
		;;
	valgrind)
		have valgrind || echo valgrind
		# Without the symbols of the C library memcheck cannot replace its functions.
		[ -d /usr/lib/debug/.build-id ] || echo libc6-dbg
		;;
	lint)
		have mandoc || echo mandoc
		have shellcheck || echo shellcheck
		;;
	portability)
		for target in aarch64 riscv64 powerpc64le s390x; do
			have $target-linux-gnu-gcc || echo gcc-$target-linux-gnu
		done
		have qemu-riscv64 || echo qemu-user
		have musl-gcc || echo musl-tools
		have clang || echo clang
		;;
	coverage) have lcov || echo lcov ;;
	clang) compiles clang c || echo clang libc6-dev ;;
	*)
		echo "deps.sh: no such set: $1" >&2
		exit 2
		;;
	esac
}

missing()
{
	for set in "$@"; do
		lacking "$set"
	done | tr ' ' '\n' | sort -u | tr '\n' ' '
}

install()
{
	packages=$(missing "$@")
	if [ -z "$packages" ]; then
		echo 'All packages that are needed are installed.'
		return 0
	fi
	if ! have apt-get; then
		echo "These are missing, and there is no apt-get to install them; the Debian names are: $packages" >&2
		return 1
	fi
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		if ! have sudo; then
			echo "These packages are missing: $packages" >&2
			echo "As root: apt-get install $packages" >&2
			return 1
		fi
		as_root=sudo
	fi
	echo "Installing through apt-get: $packages"
	log=$(mktemp)
	# shellcheck disable=SC2086 # both are lists of words
	if { $as_root apt-get update && $as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends $packages; } >"$log" 2>&1 </dev/null; then
		rm -f "$log"
		return 0
	fi
	tail -n 20 "$log" >&2
	rm -f "$log"
	echo "apt-get could not install: $packages" >&2
	return 1
}

verb=${1:-}
[ $# -gt 0 ] && shift
case $verb in
missing) missing "$@" ;;
install) install "$@" ;;
*)
	echo 'usage: deps.sh missing|install SET...' >&2
	exit 2
	;;
esac
