/* SPDX-License-Identifier: MIT */
/*
 * A chart of a run: a lane for each loop, task and worker, time across. It is collected from the library's trace or,
 * where there is no loop, told by the run itself; and it is drawn for a terminal or as a picture.
 */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <async.h>

struct span {
	async_time begin, end;
	enum async_trace_state state;
	const char *name; /* what it waited for, the function of a job; NULL: nothing to say */
};

struct lane {
	char *name;
	enum async_trace_track kind;
	struct span *spans; /* in their order, none overlapping the next */
	size_t count, capacity;
	async_time ran; /* in all */
};

struct timeline {
	async_time origin, end;
	struct lane *lanes;
	size_t count;
	uint64_t lost; /* events that are missing at the beginning */
	char **names;  /* of the spans, each once */
	size_t name_count;
	bool no_memory;
};

/* Reads the trace. Times count from `origin`. Returns: 0 or -errno. */
int timeline_collect(struct timeline *timeline, async_time origin);
/* For what is in no trace. */
void timeline_add_span(struct timeline *timeline, size_t lane, enum async_trace_state state, async_time begin,
		       async_time end);
/* The lane with this number, made if it is a new one; NULL without memory. */
struct lane *timeline_lane(struct timeline *timeline, size_t index, enum async_trace_track kind, const char *name);
void timeline_dispose(struct timeline *timeline);

/* The order in which lanes are shown: loops, tasks, workers; without those that did nothing. Returns: how many. */
size_t timeline_order(const struct timeline *timeline, size_t *order);

/* What a lane did between two moments. */
struct shares {
	async_time running, ready, parked;
	size_t spans;
};
/* `*cursor` is the first span that may reach beyond `begin`: from 0 on, for moments in their order. */
struct shares timeline_shares(const struct lane *lane, async_time begin, async_time end, size_t *cursor);

/* A round step for an axis that has room for `marks`. */
async_time timeline_step(async_time length, size_t marks);
/* "0.25 s", "40 ms": as many digits as a step needs. */
const char *timeline_format(async_time time, async_time step, char *buffer, size_t size);

/* Draws it for a terminal, on standard output or standard error. */
void timeline_draw(const struct timeline *timeline, bool on_stderr);
/* Writes it as SVG, and closes the descriptor. Returns: 0 or -errno. */
int timeline_write_svg(const struct timeline *timeline, const char *title, int fd);

#endif
