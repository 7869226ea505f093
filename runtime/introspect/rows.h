/* SPDX-License-Identifier: MIT */
/* What each task, loop and worker of a trace is doing, by who it is: a hash table that does not allocate. */
#ifndef INTROSPECT_ROWS_H
#define INTROSPECT_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/trace.h"

#define ROWS_MAX 65536u

enum row_kind {
	ROW_TASK = 1, /* and a loop's own stack, which is task 0 */
	ROW_WORKER,
	ROW_JOB,      /* waits for a worker */
	ROW_DONE,     /* a job that waits for its loop */
};

#define STATE_NONE 0xff

struct row {
	uint64_t key;   /* 0: free */
	uint64_t what;  /* parked: text, or the task that it awaits; a job's: text or a function */
	int64_t since;
	uint32_t track; /* a job's: of who wants it, or of who did it */
	uint16_t name;  /* a job's: the loop of `track` */
	uint8_t state;  /* enum async_trace_state, or STATE_NONE */
	bool what_is_id;
};

/* Maps the table, which stays. Returns 0 or -ENOMEM. */
int rows_prepare(void);
/* The row of `key`, or the free place where it belongs. */
struct row *rows_find(uint64_t key);
/* The same, taken; NULL: there are too many. Other rows stay where they are. */
struct row *rows_add(uint64_t key);
/* Moves other rows. */
void rows_remove(struct row *row);
/* One after the other, from NULL on; NULL after the last. */
struct row *rows_next(struct row *row);
/* Empties the table and gives its memory back. */
void rows_clear(void);

static inline uint64_t row_key(enum row_kind kind, unsigned loop, uint64_t id)
{
	return (uint64_t)kind << 60 | (uint64_t)(loop & 0xffff) << 40 | id;
}

static inline enum row_kind row_kind(const struct row *row)
{
	return (enum row_kind)(row->key >> 60);
}

static inline unsigned row_loop(const struct row *row)
{
	return row->key >> 40 & 0xffff;
}

static inline uint64_t row_id(const struct row *row)
{
	return row->key & TRACE_ID_MAX;
}

#endif
