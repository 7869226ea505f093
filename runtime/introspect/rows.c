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

struct row *rows_add(uint64_t key)
{
	struct row *row = rows_find(key);

	if (row->key)
		return row;
	if (used == ROWS_MAX)
		return NULL;
	used++;
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
	used--;
}

struct row *rows_next(struct row *row)
{
	for (row = row ? row + 1 : rows; row < rows + PLACES; row++)
		if (row->key)
			return row;
	return NULL;
}

void rows_clear(void)
{
	used = 0;
	if (SYS("madvise", madvise(rows, PLACES * sizeof(*rows), MADV_DONTNEED)) < 0)
		memset(rows, 0, PLACES * sizeof(*rows));
}
