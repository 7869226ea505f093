#!/bin/bash
# SPDX-License-Identifier: MIT
# What the compiler does not check: layers, allocation, names, licences, manual pages, scripts.
# Looks at the sources and at the objects that `make` left below $O.
set -u
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob globstar

: "${O:=build}"
layers=(base context worker reactor core sync compose io executor net introspect run)
failures=0 warnings=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

fail()
{
	echo "error: $*"
	failures=$((failures + 1))
}

warn()
{
	echo "warning: $*"
	warnings=$((warnings + 1))
}

declare -A rank
for i in "${!layers[@]}"; do
	rank[${layers[$i]}]=$i
done

# The files of the project, without what is built.
files()
{
	local file
	for file in "$@"; do
		[ -f "$file" ] && printf '%s\n' "$file"
	done
}
mapfile -t c_files < <(files include/**/*.{h,hpp} runtime/**/*.{c,h,S} cli/**/*.{c,h} tests/**/*.{c,cc,h} examples/**/*.{c,h})
mapfile -t scripts < <(files tests/**/*.sh mk/*.sh .ci/run completions/*.bash)
mapfile -t other < <(files Makefile mk/*.mk share/**/*.py man/* completions/* .gitignore .editorconfig .clang-format \
	runtime/libasync.map runtime/async.pc.in)

### Layers: a file includes its own folder or an earlier one, and an object needs only what those define

layer_of()
{
	local rest=${1#*runtime/}
	echo "${rest%%/*}"
}

for file in runtime/*/*; do
	layer=$(layer_of "$file")
	[ -n "${rank[$layer]:-}" ] || fail "$file: $layer is not a layer"
done
while IFS=: read -r file line included; do
	layer=$(layer_of "$file")
	if [ -z "${rank[$included]:-}" ]; then
		fail "$file:$line: internal includes are written \"layer/file.h\""
	elif [ "${rank[$included]}" -gt "${rank[$layer]:--1}" ]; then
		fail "$file:$line: $layer must not include $included, which is a later layer"
	fi
done < <(grep -nE '^#[[:space:]]*include "' runtime/*/*.[chS] /dev/null |
	sed -E 's|^([^:]*:[0-9]+):.*"([^"/]*)/?[^"]*".*|\1:\2|')

objects=("$O"/obj/runtime/*/*.o)
[ ${#objects[@]} -gt 0 ] || fail "no objects below $O/obj/runtime: build first"
for object in "${objects[@]}"; do
	# Objects of sources that are gone say nothing about the project.
	source=${object#"$O/obj/"}
	files "${source%.o}".{c,S} | grep -q . || continue
	nm -A -P "$object" | sed "s|^[^ ]*: |$(layer_of "$object") ${source%.o} |"
done >"$scratch/symbols"
awk -v order="${layers[*]}" '
BEGIN { split(order, names, " "); for (i in names) rank[names[i]] = i + 0 }
FNR == NR { if ($4 ~ /^[TDBRVWC]$/) { home[$3] = $1; file[$3] = $2 } next }
$4 == "U" && ($3 in home) && rank[home[$3]] > rank[$1] {
	printf "%s: uses %s of %s: %s is a later layer\n", $2, $3, file[$3], home[$3]
}' "$scratch/symbols" "$scratch/symbols" >"$scratch/upward"
while read -r line; do
	fail "$line"
done <"$scratch/upward"

while read -r _ source symbol _; do
	[ "$source" = runtime/base/memory ] || fail "$source: calls $symbol; only base/memory.c may"
done < <(grep -E ' (malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strn?dup|v?asprintf|free) U' \
	"$scratch/symbols")

### Descriptors of the library's own come from base/own_fd.c, which keeps them away from 0, 1 and 2

openers='open(64)?|openat(64)?|creat(64)?|f(d)?open(64)?|(fd)?opendir|popen|tmpfile|mkstemp|pipe2?|socket|socketpair|accept4?'
openers+='|eventfd|epoll_create1?|timerfd_create|signalfd|inotify_init1?|memfd_create|dup[23]?|io_uring_queue_init_params'
while read -r _ source symbol _; do
	case "$source $symbol" in
	"runtime/base/own_fd "*) ;;
	# What the caller asks for; the standard input of a worker; and a ring, which is lifted.
	'runtime/io/socket socket' | 'runtime/reactor/transfer_socket accept4' | 'runtime/reactor/call openat'*) ;;
	'runtime/executor/fork_server dup2' | 'runtime/reactor/uring_probe io_uring_queue_init_params') ;;
	*) fail "$source: calls $symbol; a descriptor of the library's own comes from base/own_fd.h" ;;
	esac
done < <(grep -E " ($openers) U" "$scratch/symbols")
while IFS= read -r line; do
	fail "$line: a descriptor of the library's own comes from base/own_fd.h"
done < <(grep -nE 'F_DUPFD|SYS_pidfd_open,|SYS_(openat|open|socket|eventfd2|pipe2|memfd_create)\>' runtime/*/*.[ch] |
	grep -v '^runtime/base/own_fd.c')

### Functions of the user's are called within FENCED: an exception goes no further

while IFS= read -r line; do
	fail "$line: a function of the user's is called within FENCED, see context/exceptions.h"
done < <(grep -nE '(->|\.)(fn|process_fn|destroy|drop|compare|initializer)\(|ops\.(submit|cancel|shutdown|free|workers)\(|\<(predicate|handler)\(|^[[:space:]]*(fn|destroy)\(' \
	runtime/*/*.[ch] | grep -vE 'FENCED(_VALUE)?\(')

### The command is a user like any other, and a tool: <async/layout.h> is no part of <async.h>

while IFS= read -r line; do
	fail "$line: the command includes <async.h>, no part of it"
done < <(grep -nE '^#[[:space:]]*include [<"]async/' cli/**/*.[ch] /dev/null | grep -v '<async/layout.h>')
while IFS=: read -r file line header; do
	[ -f "cli/$header" ] || [ -f "$(dirname "$file")/$header" ] || fail "$file:$line: $header is not the command's"
done < <(grep -nE '^#[[:space:]]*include "' cli/**/*.[ch] /dev/null | sed -E 's|^([^:]*:[0-9]+):.*"([^"]*)".*|\1:\2|')

### What is exported, and that it is there and explained

sed -n '/^ASYNC_EXPORT/s/^\([^(]*\)(.*/\1/p' include/async/*.h | grep -v '#' | grep -oE 'async_[a-z0-9_]+$' |
	sort -u >"$scratch/public"
if [ -f "$O/libasync.so" ]; then
	nm -D -P --defined-only "$O/libasync.so" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' | sort -u >"$scratch/exported"
	while read -r name; do
		fail "$name is exported and in no public header"
	done < <(comm -13 "$scratch/public" "$scratch/exported")
	while read -r name; do
		fail "$name is declared in a public header and not exported"
	done < <(comm -23 "$scratch/public" "$scratch/exported")
	# The static library must show nothing else either.
	while read -r name; do
		fail "$name is visible in libasync.a"
	done < <(nm -P -g --defined-only "$O/libasync.a" 2>/dev/null | awk 'NF > 1 && $1 !~ /^async_/ { print $1 }')
fi
# A function that takes a pointer is called with NULL by a test.
awk '/^ASYNC_EXPORT/ { on = 1 } on { printf "%s ", $0 } /;/ { if (on) print ""; on = 0 }' include/async/*.h |
	sed -nE 's/^[^(]* \*?(async_[a-z0-9_]+)\([^)]*\*.*/\1/p' | sort -u >"$scratch/with_pointers"
while read -r name; do
	grep -q "$name(" tests/test_null_arguments.c || fail "$name is missing in tests/test_null_arguments.c"
done <"$scratch/with_pointers"
pages=(man/*.3)
if [ ${#pages[@]} -gt 0 ]; then
	for page in "${pages[@]}"; do
		sh mk/man-links.sh names "$page"
	done | sort -u >"$scratch/documented"
	while read -r name; do
		fail "$name has no manual page in section 3"
	done < <(comm -23 "$scratch/public" "$scratch/documented")
fi

while read -r name; do
	grep -qw "$name" tests/test_fork.c || fail "$name is not in tests/test_fork.c: a forked child may not use it, or why may it?"
done <"$scratch/public"

### Every file

for file in "${c_files[@]}" "${scripts[@]}" "${other[@]}"; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' || fail "$file: no SPDX line at its beginning"
done
# The words are split so that this file does not contain them.
while IFS= read -r line; do
	fail "$line"
done < <(grep -nwE 'TO''DO|FIX''ME|XX''X' "${c_files[@]}" "${scripts[@]}" "${other[@]}" ./*.md /dev/null)

for file in "${c_files[@]}"; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 450 ] || warn "$file: $lines lines; 450 is enough"
	awk -v limit=70 '
	/^\{/ { start = NR }
	/^\}/ && start { if (NR - start > limit) print FILENAME ":" start ": a function of " NR - start " lines"; start = 0 }
	' "$file"
	awk 'length($0) > 0 { line = $0; gsub(/\t/, "        ", line)
		if (length(line) > 120) print FILENAME ":" FNR ": " length(line) " columns" }' "$file"
done >"$scratch/long"
while read -r line; do
	warn "${line#warning: }"
done <"$scratch/long"

if command -v shellcheck >/dev/null; then
	# SC2034: a test sets variables that cli/lib.sh reads.
	shellcheck -S warning -e SC2034 "${scripts[@]}" >"$scratch/shellcheck" || fail "shellcheck:
$(cat "$scratch/shellcheck")"
else
	warn "no shellcheck here: scripts unchecked"
fi

echo "lint: $failures errors, $warnings warnings"
[ "$failures" -eq 0 ]
