/* SPDX-License-Identifier: MIT */
/* What the tests of the trace have in common: a reading of it, and what is traced. */
#ifndef TESTS_TRACE_PEERS_H
#define TESTS_TRACE_PEERS_H

#include "harness.h"

#define TRACKS_MAX 70000u

/* What a reading gave, as text: the spans of each track in their order, and the flows. */
extern struct seen {
	struct track {
		enum async_trace_track kind;
		char name[ASYNC_TASK_NAME_MAX];
		char spans[400];
		async_time end; /* of its last span */
		async_time longest;
	} *tracks; /* TRACKS_MAX, once something was read */
	uint32_t count;
	char flows[4000];
	char counters[2000];
	uint64_t lost;
	size_t records, overlaps, backwards;
	bool ended;
} seen;

void forget_seen(void);
/* For async_trace_read: adds a record to what is seen. Not before something was forgotten. */
int look(const struct async_trace_record *record, void *arg);
/* Sees all there is, and nothing from before. */
void read_all(void);

static inline void start(void)
{
	assert_int_equal(async_trace_start(NULL), 0);
}

/* Runs `fn` on a virtual clock with the trace on, and reads what was recorded. */
void trace(async_fn *fn);

async_task *named(const char *name, async_fn *fn, void *arg);

/* Functions of tasks: one that does nothing, one whose child takes a name that JSON cannot hold as it is. */
intptr_t nothing(void *arg);
intptr_t rename_and_end(void *arg);

/* Runs `fn(path)` in a child process: what it said on stderr, and how it ended. */
void in_child(void (*fn)(const char *path), const char *path, char *said, size_t size, int *status);

#endif
