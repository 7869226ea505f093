/* SPDX-License-Identifier: MIT */
#include "introspect/rows.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fault.h"
#include "base/memory.h"

#define PLACES (2 * ROWS_MAX) /* half empty, so that a look finds its place soon */

static struct row *rows; /* all free between two readings */
static size_t used;
/* A bit for each place that has a row: most of the table's memory is never touched. */
static uint64_t taken[PLACES / 64];

int rows_prepare(void)
{
	if (!rows)
		rows = mem_map(PLACES * sizeof(*rows), PROT_READ | PROT_WRITE, MAP_NORESERVE);
	return rows ? 0 : -ENOMEM;
}

static size_t place_of(uint64_t key)
{
	return (key * 0x9e3779b97f4a7c15u) >> 40 & (PLACES - 1);
}

struct row *rows_find(uint64_t key)
{
	size_t place = place_of(key);

	while (rows[place].key && rows[place].key != key)
		place = (place + 1) & (PLACES - 1);
	return &rows[place];
}

static void mark(const struct row *row, bool has_row)
{
	size_t place = (size_t)(row - rows);
	uint64_t bit = (uint64_t)1 << (place % 64);

	taken[place / 64] = has_row ? taken[place / 64] | bit : taken[place / 64] & ~bit;
}

struct row *rows_add(uint64_t key)
{
	struct row *row = rows_find(key);

	if (row->key)
		return row;
	if (used == ROWS_MAX)
		return NULL;
	used++;
	mark(row, true);
	*row = (struct row){.key = key, .state = STATE_NONE};
	return row;
}

/* Closes the gap, so that nothing behind it is lost from sight. */
void rows_remove(struct row *row)
{
	size_t hole = (size_t)(row - rows);

	for (size_t next = (hole + 1) & (PLACES - 1); rows[next].key; next = (next + 1) & (PLACES - 1)) {
		size_t home = place_of(rows[next].key);

		if (((next - home) & (PLACES - 1)) >= ((next - hole) & (PLACES - 1))) {
			rows[hole] = rows[next];
			hole = next;
		}
	}
	rows[hole].key = 0;
	mark(&rows[hole], false);
	used--;
}

struct row *rows_next(struct row *row)
{
	size_t place = row ? (size_t)(row - rows) + 1 : 0;

	for (size_t word = place / 64; word < PLACES / 64; word++) {
		uint64_t bits = taken[word];

		if (word == place / 64)
			bits &= ~(uint64_t)0 << (place % 64);
		if (bits)
			return &rows[word * 64 + (size_t)__builtin_ctzll(bits)];
	}
	return NULL;
}

void rows_clear(void)
{
	used = 0;
	memset(taken, 0, sizeof(taken));
	if (SYS("madvise", madvise(rows, PLACES * sizeof(*rows), MADV_DONTNEED)) < 0)
		memset(rows, 0, PLACES * sizeof(*rows));
}
