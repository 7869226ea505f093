/* SPDX-License-Identifier: MIT */
/*
 * Queues of pointers from tasks to tasks: first in first out, by priority, or last in first out.
 *
 *     struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;
 *     options.max_items = 100;
 *     async_queue *queue;
 *     int error = async_queue_new(&options, &queue);
 *     ...
 *     error = async_queue_put(queue, item);           // in one task
 *     error = async_queue_get(queue, &item);          // in another
 *
 * An item is one word that the queue does not look at; NULL is an item. What a get returned is the caller's; what a
 * put did not take, for whatever reason, still is. A queue that is full makes a put wait, one that is empty a get.
 * Where asyncio raises QueueFull or QueueEmpty, there is -EAGAIN; for QueueShutDown, -ESHUTDOWN.
 */
#ifndef ASYNC_QUEUE_H
#define ASYNC_QUEUE_H

#include <async/base.h>

typedef struct async_queue async_queue;

enum async_queue_order {
	ASYNC_QUEUE_FIFO = 0, /* first in, first out */
	ASYNC_QUEUE_PRIORITY, /* the least first; equal ones in the order in which they came */
	ASYNC_QUEUE_LIFO,     /* last in, first out */
};

/* Which of two items comes first: negative if `a`, positive if `b`, 0 if they are equal. */
typedef int async_queue_compare(const void *a, const void *b);
/* Disposes of an item that nobody will take. */
typedef void async_queue_drop(void *item);

/* Zero means the default in every field. */
struct async_queue_options {
	size_t size; /* sizeof(struct async_queue_options) */
	enum async_queue_order order;
	size_t max_items;             /* 0: as many as memory can hold */
	async_queue_compare *compare; /* with ASYNC_QUEUE_PRIORITY; NULL: by the number that is put with an item */
	async_queue_drop *drop;       /* gets what an immediate shutdown or async_queue_free finds inside */
};

#define ASYNC_QUEUE_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_queue_options)

ASYNC_BEGIN_DECLS

/*
 * A new queue; `options` NULL for the defaults. It belongs to no loop, but tasks of one loop only may wait on it at
 * a time.
 * Owns: the caller frees it. Returns: 0 with the queue in `*ret_queue`; -ENOMEM, -EINVAL (an unknown order, a
 * comparison without ASYNC_QUEUE_PRIORITY, NULL).
 */
ASYNC_EXPORT int async_queue_new(const struct async_queue_options *options, async_queue **ret_queue);

/* Drops the items inside and frees the queue; NULL is nothing to do. Returns: 0; -EBUSY (a task waits on it, or was
 * woken and has not run yet: shut it down, and await the tasks that use it). */
ASYNC_EXPORT int async_queue_free(async_queue *queue);

/*
 * Puts an item in, and wakes a task that waits for one. The memory of a queue grows as needed and is kept.
 * Suspends: while the queue is full. Cancel: at once, the item was not put; a free place goes to the next.
 * Returns: 0; -ECANCELED, -ESHUTDOWN (shut down), -ENOMEM, -EPERM (outside a task, or tasks of another loop wait
 * here), -EINVAL (NULL queue).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_queue_put(async_queue *queue, void *item);
/* The same with a number that orders the item; 0 with async_queue_put. Returns: as above; -EINVAL, too, if the
 * queue is not ordered by numbers. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_queue_put_priority(async_queue *queue, void *item, int64_t priority);

/*
 * Takes the next item out, and wakes a task that waits for a place.
 * Suspends: while the queue is empty. Cancel: at once, no item was taken; one that is there goes to the next.
 * Returns: 0 with the item in `*ret_item`; -ECANCELED, -ESHUTDOWN (shut down, and empty), -EPERM (outside a task, or
 * tasks of another loop wait here), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_queue_get(async_queue *queue, void **ret_item);

/* As those, but never suspends; works outside a task, too. Returns: as above; -EAGAIN (full). */
ASYNC_EXPORT int async_queue_put_nowait(async_queue *queue, void *item);
ASYNC_EXPORT int async_queue_put_priority_nowait(async_queue *queue, void *item, int64_t priority);
/* Returns: as above; -EAGAIN (empty). */
ASYNC_EXPORT int async_queue_get_nowait(async_queue *queue, void **ret_item);

/* Says that the work on an item that was taken is done. Returns: 0; -EOVERFLOW (called more often than items were
 * put), -EPERM (tasks of another thread's loop wait in async_queue_join), -EINVAL (NULL). */
ASYNC_EXPORT int async_queue_task_done(async_queue *queue);

/*
 * Waits until each item that was put has been taken and said to be done.
 * Suspends: unless that is so. Cancel: at once.
 * Returns: 0; -ECANCELED, -EPERM (outside a task, or tasks of another loop wait here), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_queue_join(async_queue *queue);

/*
 * Ends a queue: a put gets -ESHUTDOWN from now on, a get when the queue is empty, and so do those who wait. If
 * `immediate`, it is emptied at once; what was inside is dropped and counts as done.
 * Returns: 0; -EPERM (tasks of another thread's loop wait here), -EINVAL (NULL).
 */
ASYNC_EXPORT int async_queue_shutdown(async_queue *queue, bool immediate);

/* Items inside. */
ASYNC_EXPORT size_t async_queue_size(const async_queue *queue);
/* The most items that it takes; 0: no limit. */
ASYNC_EXPORT size_t async_queue_max_items(const async_queue *queue);
ASYNC_EXPORT bool async_queue_empty(const async_queue *queue);
/* True if the queue holds as many items as it takes; never without a limit. */
ASYNC_EXPORT bool async_queue_full(const async_queue *queue);

ASYNC_END_DECLS

#endif
