/* SPDX-License-Identifier: MIT */
#include "core/timer.h"

#include "core/loop.h"

int timer_arm(struct async_loop *loop, struct timer *timer, async_time when)
{
	/* Never: there is nothing to wait for, which a virtual clock must know. */
	if (unlikely(when == ASYNC_FOREVER))
		return 0;
	if (unlikely(when <= loop->now))
		loop->service_at = 0;
	return heap_insert(&loop->timers, &timer->node, when);
}

void timer_disarm(struct async_loop *loop, struct timer *timer)
{
	if (heap_has(&timer->node))
		heap_remove(&loop->timers, &timer->node);
}

void timers_expire(struct async_loop *loop, async_time now)
{
	while (!heap_empty(&loop->timers) && heap_least(&loop->timers) <= now) {
		struct timer *timer = container_of(heap_pop(&loop->timers), struct timer, node);

		loop->timers_expired++;
		ready_append(&loop->ready, &timer->entry);
	}
}
