/* SPDX-License-Identifier: MIT */
/*
 * Slow tasks, in debug mode: whoever held the loop longer than `slow_task` is reported when it lets go. The report is
 * made from the loop's own stack in the next iteration, because an error handler may do what a task that is about to
 * wait must not. One that is not made yet stands for those that follow.
 */
#include "core/slow.h"

#include <stdio.h>

#include "core/loop.h"
#include "core/task.h"

static void report(struct entry *entry)
{
	struct slow_report *slow = container_of(entry, struct slow_report, entry);
	struct async_loop *loop = container_of(slow, struct async_loop, slow);
	async_future *future = slow->future;
	char message[80];

	slow->queued = false;
	slow->future = NULL;
	snprintf(message, sizeof(message), "%sheld the loop for %.3f s without giving way", future ? "" : "a callback ",
		 (double)slow->held / (double)ASYNC_S);
	if (atomic_load_explicit(&loop->refuses, memory_order_relaxed) == 0)
		loop_report(loop, message, future, 0);
	async_release(future);
}

void slow_slice_begins(struct async_loop *loop, async_time now)
{
	loop->slow.slice_began = now;
}

void slow_slice_ended(struct async_loop *loop, struct task *task, async_time now)
{
	struct slow_report *slow = &loop->slow;
	async_time held = now - slow->slice_began;

	if (held < loop->options.slow_task || slow->queued)
		return;
	slow->queued = true;
	slow->held = held;
	slow->future = task ? async_ref(&task->future) : NULL;
	slow->entry.kind = ENTRY_CALLBACK;
	slow->entry.run = report;
	ready_append(&loop->ready, &slow->entry);
}
