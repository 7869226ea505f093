/* SPDX-License-Identifier: MIT */
/*
 * The report that follows a slow slice is made from the loop's own stack at the end of the batch, because an error
 * handler may do what a task that is about to wait must not. It is no entry of the ready queue: how long a slice takes
 * must not change the order that a seed gives. One that is not made yet stands for those that follow.
 */
#include "core/slow.h"

#include <stdio.h>

#include "core/loop.h"
#include "core/stalls.h"
#include "core/task.h"

const struct slow_watchdog *slow_watchdog;

void slow_tell(struct async_loop *loop)
{
	struct slow_report *slow = &loop->slow;
	async_future *future = slow->future;
	char message[80];

	if (likely(!slow->to_tell))
		return;
	slow->to_tell = false;
	slow->future = NULL;
	snprintf(message, sizeof(message), "%sheld the loop for %.3f s without giving way", future ? "" : "a callback ",
		 (double)slow->held / (double)ASYNC_S);
	loop_report(loop, message, future, 0);
	async_release(future);
}

/* The number is odd from here on, and another one than before. */
static void begin_slice(struct slow_report *slow, async_time now)
{
	unsigned long slice = atomic_load_explicit(&slow->slice, memory_order_relaxed);

	/* The watchdog, which finds the number unchanged, has read times of one slice. */
	atomic_store(&slow->slice, (slice | 1) + 1);
	atomic_store_explicit(&slow->slice_lost, stalls_lost(&process_stalls, now), memory_order_relaxed);
	atomic_store_explicit(&slow->slice_began, now, memory_order_relaxed);
	atomic_store(&slow->slice, (slice | 1) + 2);
}

void slow_slice_begins(struct async_loop *loop, async_time now)
{
	loop->slow.depth++;
	begin_slice(&loop->slow, now);
}

/* How long the slice took that ends now, without stalls. Those below the resolution of their clock cannot be told. */
static async_time slice_held(struct async_loop *loop, async_time now)
{
	struct slow_report *slow = &loop->slow;
	async_time held = now - atomic_load_explicit(&slow->slice_began, memory_order_relaxed);

	if (held < loop->options.slow_task || loop->options.slow_task < STALLS_PERIOD_MIN)
		return held;
	async_time lost = stalls_lost(&process_stalls, now) -
			  atomic_load_explicit(&slow->slice_lost, memory_order_relaxed);
	return lost < held ? held - lost : 0;
}

void slow_slice_ended(struct async_loop *loop, struct task *task, async_time now)
{
	struct slow_report *slow = &loop->slow;
	unsigned long slice = atomic_load_explicit(&slow->slice, memory_order_relaxed);
	async_time held = slice_held(loop, now);
	bool seen = atomic_load(&slow->seen) == slice;

	if (slow->depth > 0 && --slow->depth > 0)
		begin_slice(slow, now);
	else
		atomic_store(&slow->slice, (slice | 1) + 1);
	if (held > slow->longest)
		slow->longest = held;
	if ((held < loop->options.slow_task && !seen) || slow->to_tell)
		return;
	slow->to_tell = true;
	slow->held = held;
	slow->future = task ? async_ref(&task->future) : NULL;
	loop->service_at = 0;
}

void slow_watch(struct async_loop *loop)
{
	int error = loop->options.debug && slow_watchdog ? slow_watchdog->watch(loop) : 0;

	if (error)
		loop_report(loop, "nobody can watch for slow tasks while they run", NULL, error);
}

void slow_unwatch(struct async_loop *loop)
{
	if (loop->options.debug && slow_watchdog)
		slow_watchdog->unwatch(loop);
}
