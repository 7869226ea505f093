/* SPDX-License-Identifier: MIT */
/* Who waits for whom. */
#ifndef CLI_INSPECT_GRAPH_H
#define CLI_INSPECT_GRAPH_H

#include "inspect/snapshot.h"

struct edge {
	uint32_t from, to;   /* indices of tasks */
	bool firm;           /* `from` cannot go on before `to` ends or lets go: a circle of these is a deadlock */
	bool lock;           /* `to` holds the lock that `from` wants */
	char via[48];        /* what is between them, "group" or "gathering"; "": nothing */
	uint64_t via_object;
};

struct graph {
	const struct snapshot *snapshot;
	struct edge *edges;  /* by `from` */
	size_t edges_count, edges_capacity;
	size_t *first;       /* of each task; one more than there are tasks */
	bool *awaited;       /* by somebody; locks do not count */
	bool no_memory;
};

/* False without memory; that was said on stderr. */
bool graph_make(struct graph *graph, const struct snapshot *snapshot);
void graph_free(struct graph *graph);

/* Calls `found` with the tasks of each deadlock, in the order in which they wait. */
void graph_deadlocks(const struct graph *graph, void (*found)(const uint32_t *tasks, size_t count, void *arg),
		     void *arg);

#endif
