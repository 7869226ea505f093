#!/bin/sh
# SPDX-License-Identifier: MIT
# Links each name that a manual page describes to the page, so that `man NAME` finds it.
#   man-links.sh names PAGE                   prints the names of the NAME section, one a line
#   man-links.sh link|unlink MANDIR PAGE...
set -eu

# mdoc has one .Nm a name; man has a line "name, name \- what it is".
names()
{
	awk '
	/^\.S[hH] / { inside = ($2 == "NAME" || $2 == "\"NAME\""); next }
	!inside { next }
	$1 == ".Nm" { print $2; next }
	/\\-/ { sub(/ *\\-.*/, ""); gsub(/[ ,]+/, "\n"); print }' "$1"
}

verb=$1
shift
if [ "$verb" = names ]; then
	names "$1"
	exit
fi
mandir=$1
shift
for page in "$@"; do
	file=${page##*/}
	section=${file##*.}
	names "$page" | while read -r name; do
		link=$mandir/man$section/$name.$section
		[ "$name.$section" = "$file" ] && continue
		if [ "$verb" = link ]; then
			ln -sf "$file" "$link"
		elif [ -L "$link" ]; then
			rm -f "$link"
		fi
	done
done
