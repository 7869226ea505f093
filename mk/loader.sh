#!/bin/sh
# SPDX-License-Identifier: MIT
# Programs find a shared library through a cache, in which a new one stands once root has called ldconfig(8).
#   loader.sh LIBDIR NAME    makes it known, and says what to do where that is not possible
#   loader.sh                only brings the cache up to date
set -eu
PATH=$PATH:/usr/sbin:/sbin

if [ "$(id -u)" -eq 0 ] && command -v ldconfig >/dev/null; then
	ldconfig || true
fi
[ $# -eq 0 ] && exit
# By what it is, not by its path: /lib may be /usr/lib.
ldconfig -p 2>/dev/null | sed -n "s/^[[:space:]]*$2 .*=> //p" | while read -r found; do
	readlink -f "$found"
done | grep -qxF "$(readlink -f "$1/$2")" && exit
echo "The loader does not look into $1: programs find $2 there if they are linked with -Wl,-rpath,$1"
echo "or run with LD_LIBRARY_PATH=$1."
