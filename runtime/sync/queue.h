/* SPDX-License-Identifier: MIT */
/*
 * The inside of a queue, for those who wait on several at once.
 *
 * As in asyncio, a wake-up promises nothing: whoever is woken tries again, and may find that somebody else was faster.
 * Whoever is woken and does not want what it was woken for passes that on.
 */
#ifndef SYNC_QUEUE_H
#define SYNC_QUEUE_H

#include <async/event.h>
#include <async/queue.h>

#include "sync/store.h"
#include "sync/waiters.h"

enum queue_side {
	QUEUE_GET,
	QUEUE_PUT,
};

struct async_queue {
	struct store store;
	size_t max_items; /* SIZE_MAX: no limit */
	struct list waiting[2]; /* by enum queue_side */
	struct list woken; /* of both sides: not in line any more, and did not run yet */
	size_t unfinished; /* items that nobody called done yet */
	bool is_shutdown;
	struct async_event finished; /* from the moment when somebody waits for it */
	async_queue_drop *drop;
};

/* Whether the caller would have to wait, if the queue is not shut down. */
static inline bool queue_blocked(const async_queue *queue, enum queue_side side)
{
	return side == QUEUE_GET ? queue->store.count == 0 : queue->store.count >= queue->max_items;
}

/* Wakes who waits longest on that side. Those who were woken or cancelled before drop out on the way. */
static always_inline void queue_wake(async_queue *queue, enum queue_side side)
{
	struct list *node;

	while ((node = list_pop(&queue->waiting[side]))) {
		bool waits = waiter_waits(node);

		list_append(&queue->woken, node);
		if (likely(waits)) {
			waiter_wake(node);
			return;
		}
	}
}

/* For a waiter that was woken for something that it does not take: somebody else may. */
static inline void queue_pass_on(async_queue *queue, enum queue_side side)
{
	if (!queue_blocked(queue, side))
		queue_wake(queue, side);
}

/* True if tasks of another loop than `task`'s wait there. */
static inline bool queue_foreign(const async_queue *queue, const struct task *task)
{
	return waiters_foreign(&queue->waiting[QUEUE_GET], task) || waiters_foreign(&queue->waiting[QUEUE_PUT], task) ||
	       waiters_foreign(&queue->woken, task);
}

#endif
