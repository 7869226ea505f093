/* SPDX-License-Identifier: MIT */
/*
 * A timer: when its deadline has passed, its entry becomes ready. As in asyncio, what the entry then does takes
 * effect in the iteration that runs it, so a task that slept runs one iteration later. One whose deadline has passed
 * when it is armed runs in the next iteration, after what became ready before that begins; several in the order of
 * their deadlines.
 */
#ifndef CORE_TIMER_H
#define CORE_TIMER_H

#include <async/base.h>

#include "base/heap.h"
#include "core/ready.h"

struct timer {
	struct heap_node node;
	struct entry entry;
};

static inline void timer_init(struct timer *timer, void (*run)(struct entry *), enum entry_kind kind)
{
	timer->node.index = HEAP_NOWHERE;
	timer->entry.run = run;
	timer->entry.kind = (uint8_t)kind;
}

/* Returns 0 or -ENOMEM. */
int timer_arm(struct async_loop *loop, struct timer *timer, async_time when);
/* Nothing to do if it is not armed. An entry that is ready already stays so. */
void timer_disarm(struct async_loop *loop, struct timer *timer);
/* Makes ready what is due at `now`, earliest first. */
void timers_expire(struct async_loop *loop, async_time now);

#endif
