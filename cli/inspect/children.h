/* SPDX-License-Identifier: MIT */
/* The futures that something waits for, wherever it keeps them. */
#ifndef CLI_INSPECT_CHILDREN_H
#define CLI_INSPECT_CHILDREN_H

#include "inspect/snapshot.h"

/* A pending future. */
struct future_view {
	uint64_t address;
	const struct class_view *class;
	const struct task_view *task; /* if it is one */
};

/* False if it is none of this loop's, or done. */
bool future_view_get(const struct snapshot *snapshot, struct loop_view *loop, uint64_t address,
		     struct future_view *ret_future);

/* Calls `visit` for each pending child of `object`, until it returns false. */
void children_visit(const struct snapshot *snapshot, struct loop_view *loop, const struct class_view *class,
		    uint64_t object, bool (*visit)(const struct future_view *child, void *arg), void *arg);

/* How many there are. */
size_t children_count(const struct snapshot *snapshot, struct loop_view *loop, const struct class_view *class,
		      uint64_t object);

#endif
