/* SPDX-License-Identifier: MIT */
/*
 * Tasks that would wait for each other for ever: an await that closes a circle is refused.
 *
 * The way is followed only where somebody waits for the task already and what it is about to wait for waits itself, so
 * that a chain which grows at either end costs nothing; and no further than the switches of the loop have paid for, so
 * that awaiting never becomes quadratic. A circle of n tasks takes n switches to build: it is found unless long
 * ways were followed in vain shortly before.
 */
#ifndef CORE_CIRCLE_H
#define CORE_CIRCLE_H

#include "core/task.h"

/* True if the way from `future` leads to `task`, which runs: through tasks that await, shields, gatherings, and tasks
 * at the end of their group. */
bool circle_found(const struct task *task, async_future *future);

/* True if a task that waited for a pending future would wait for itself. */
static always_inline bool circle_closes(const struct task *task, async_future *future)
{
	if (likely(list_empty(&task->future.watchers)))
		return false;
	if (likely(future->class->is_task ? task_of(future)->state != TASK_PARKED : !future->class->children.kind))
		return false;
	return circle_found(task, future);
}

#endif
