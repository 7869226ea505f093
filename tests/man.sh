#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages, and the program in the README: mandoc finds no fault, nothing is missing or too much, references lead somewhere, and the examples
# work. An example is a literal display that begins with #include, which is a whole program, or with `$ `, which is a
# dialogue with the shell: a command without output below it only has to succeed.
set -u
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

: "${O:=build}" "${CC:=cc}" "${CXX:=c++}" "${ASYNCCTL:=$PWD/$O/asyncctl}"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
result=0

# tell NAME STATUS [LOG]
tell()
{
	if [ "$2" -eq 0 ]; then
		echo "ok - $1"
	else
		echo "not ok - $1"
		[ -n "${3:-}" ] && printf '%s\n' "$3" | sed 's/^/# /'
		result=1
	fi
}

# nothing NAME LOG: fails if there is anything to complain of.
nothing()
{
	[ -z "$2" ]
	tell "$1" $? "$2"
}

# only_in WHAT FILE FILE: the lines of the first file that the second lacks; both are sorted.
only_in()
{
	comm -23 "$2" "$3" | sed "s/\$/: $1/"
}

names()
{
	local page
	for page in "$@"; do
		sh mk/man-links.sh names "$page"
	done | sort -u
}

pages=(man/*.[1-9])

### Form

# Which other manuals are installed is not the pages' fault; references among themselves are checked below.
if command -v mandoc >/dev/null; then
	for page in "${pages[@]}"; do
		nothing "lint $page" "$(mandoc -T lint "$page" 2>/dev/null | grep -v ': referenced manual not found: ')"
	done
else
	echo "skip - lint: no mandoc"
fi

### What is there

sed -nE 's/^ASYNC_EXPORT[^(]*[ *](async_[a-z0-9_]+)\(.*/\1/p' include/async/*.h | sort -u >"$scratch/public"
names man/*.3 >"$scratch/documented"
grep -hoE '^\.Fn (\( )?async_[a-z0-9_]+' man/*.[37] | sed 's/.* //' | sort -u >"$scratch/mentioned"
sed -nE 's/^typedef .*\b(async_[a-z_]+)\(.*/\1/p' include/async/*.h | sort -u >"$scratch/types"
nothing "each public function has a page" "$(only_in "no page names it" "$scratch/public" "$scratch/documented")"
for page in man/*.3; do
	comm -12 <(names "$page") "$scratch/public" | while read -r name; do
		grep -qE "^\.(Fn|Fo) $name\>" "$page" || echo "$page: no synopsis of $name"
	done
done >"$scratch/unshown"
nothing "each function has a synopsis" "$(cat "$scratch/unshown")"
nothing "pages mention no function that does not exist" "$(comm -23 "$scratch/mentioned" \
	<(sort -u "$scratch/public" "$scratch/types") | sed 's/$/: in no header/')"

for page in "${pages[@]}"; do
	section=${page##*.}
	names "$page" | sed "s/\$/ $section/"
done | sort -u >"$scratch/targets"
for page in "${pages[@]}"; do
	sed -nE 's/^\.(It |Pq )?Xr (\( )?(async[a-z0-9_-]*) ([0-9]).*/\3 \4/p' "$page" | sort -u |
		comm -23 - "$scratch/targets" | sed "s|^|$page: no page |"
done >"$scratch/dangling"
nothing "references lead to pages" "$(cat "$scratch/dangling")"
for page in man/*.3; do
	grep -qE "^\.It Xr ($(names "$page" | paste -sd '|')) 3\>" man/async.7 ||
		echo "$page: not among the functions of async(7)"
done >"$scratch/unlisted"
nothing "async(7) lists each page" "$(cat "$scratch/unlisted")"

### The command

# compare NAME WHAT FILE FILE: the program's words and the manual's must be the same.
compare()
{
	nothing "$1" "$(only_in "$2 is not in the manual" "$3" "$4"; only_in "$2 is only in the manual" "$4" "$3")"
}

words_of()
{
	sed -nE "s/$1/\\1/p" | sort -u
}

# The words of tagged items that stand below a line which matches $1, up to the end of the list.
items()
{
	awk -v begin="$1" '$0 ~ begin { inside = 1 } /^\.El/ { inside = 0 }
		inside && /^\.It Cm / { sub(/^\.It Cm /, ""); sub(/ (Op|Ar) .*/, ""); gsub(/ , /, "\n"); print }' "$2" |
		sort -u
}

"$ASYNCCTL" --help | sed -n '/^Commands:/,/^$/p' | words_of '^  ([a-z]+) .*' >"$scratch/commands"
items '^The commands are' man/asyncctl.1 >"$scratch/shown"
compare "commands" command "$scratch/commands" "$scratch/shown"
while read -r command; do
	page=man/asyncctl-$command.1
	"$ASYNCCTL" "$command" --help </dev/null >"$scratch/help"
	words_of '^  --([a-z-]+).*' <"$scratch/help" >"$scratch/options"
	words_of '^\.It Fl -([a-z-]+).*' <"$page" >"$scratch/shown"
	compare "options of $command" option "$scratch/options" "$scratch/shown"
done <"$scratch/commands"
"$ASYNCCTL" list | words_of '^([a-z]+) .*' >"$scratch/scenarios"
items '^\.Ss Scenarios' man/asyncctl-run.1 >"$scratch/shown"
compare "scenarios" scenario "$scratch/scenarios" "$scratch/shown"
"$ASYNCCTL" bench --help | sed '1,/^Benchmarks/d' | words_of '^  ([a-z0-9_.]+) .*' >"$scratch/benchmarks"
items '^\.Sh DESCRIPTION' man/asyncctl-bench.1 >"$scratch/shown"
compare "benchmarks" benchmark "$scratch/benchmarks" "$scratch/shown"

### Examples

for page in "${pages[@]}"; do
	awk -v stem="$scratch/example-${page##*/}" '
	/^\.Ed/ { inside = 0 }
	inside {
		if (!file && /^#include/) file = stem "-" ++count ".c"
		else if (!file && /^\$ /) file = stem "-" ++count ".dialogue"
		else if (!file) { inside = 0; next }
		gsub(/\\e/, "\\"); gsub(/\\-/, "-"); gsub(/\\&/, "")
		print >file
	}
	/^\.Bd .*-literal/ { inside = 1; file = "" }' "$page"
done

# The README has one too.
sed -n '/^```c$/,/^```$/p' README.md | sed '/^```/d' >"$scratch/example-README-1.c"

libs=(-pthread -lm)
nm "$O/libasync.a" | grep -q ' U io_uring_' && libs+=(-luring)

# A program in C++ says so by what it includes.
for source in "$scratch"/example-*.c; do
	grep -q '^#include <.*\.hpp>' "$source" && mv "$source" "$source"c
done
programs=("$scratch"/example-*.c "$scratch"/example-*.cc)
for source in "${programs[@]}"; do
	name=${source##*/example-}
	name="example ${name%.c*}"
	compiler=("$CC" -std=gnu11)
	[ "${source##*.}" = cc ] && compiler=("$CXX" -std=c++11)
	if ! log=$("${compiler[@]}" -Wall -Wextra -Werror -Iinclude "$source" "$O/libasync.a" "${libs[@]}" \
		-o "${source%.c*}" 2>&1); then
		tell "$name" 1 "$log"
		continue
	fi
	log=$(timeout 10 "${source%.c*}" 2>&1 </dev/null)
	tell "$name" $? "$log"
done
for page in man/*.3; do
	[ -f "$scratch/example-${page##*/}-1.c" ] || echo "$page"
done >"$scratch/without"
nothing "each page of section 3 has a program" "$(cat "$scratch/without")"

mkdir "$scratch/bin"
ln -s "$ASYNCCTL" "$scratch/bin/asyncctl"
PATH=$scratch/bin:$PATH

# check COMMAND EXPECTED: prints what is wrong.
check()
{
	local output
	output=$(timeout 20 bash -c "$1" 2>"$scratch/stderr" </dev/null) || {
		echo "\$ $1: exit status $?"
		cat "$scratch/stderr"
		return
	}
	[ -z "$2" ] || [ "$output" = "$2" ] || diff <(echo "$2") <(echo "$output")
}

for dialogue in "$scratch"/example-*.dialogue; do
	name=${dialogue##*/example-}
	command='' expected='' log=''
	while IFS= read -r line; do
		if [[ $line == '$ '* ]]; then
			[ -n "$command" ] && log+=$(check "$command" "$expected")
			command=${line#'$ '} expected=''
		else
			expected+=${expected:+$'\n'}$line
		fi
	done <"$dialogue"
	log+=$(check "$command" "$expected")
	nothing "example ${name%.dialogue}" "$log"
done
exit $result
