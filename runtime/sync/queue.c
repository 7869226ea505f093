/* SPDX-License-Identifier: MIT */
#include "sync/queue.h"

#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"

static const struct wait_class wait_queue[] = {
	[QUEUE_GET] = {.name = "an item of a queue", .on = ASYNC_LAYOUT_ON_OBJECT, .withdraw = waiter_withdraw},
	[QUEUE_PUT] = {.name = "room in a queue", .on = ASYNC_LAYOUT_ON_OBJECT, .withdraw = waiter_withdraw},
};

int async_queue_new(const struct async_queue_options *given, async_queue **ret_queue)
{
	struct async_queue_options options = ASYNC_QUEUE_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error || !ret_queue || (unsigned)options.order > ASYNC_QUEUE_LIFO ||
	    (options.compare && options.order != ASYNC_QUEUE_PRIORITY))
		return error ? error : -EINVAL;
	async_queue *queue = mem_zalloc(sizeof(*queue));
	if (!queue)
		return -ENOMEM;
	store_init(&queue->store, options.order, options.compare);
	queue->max_items = options.max_items ? options.max_items : SIZE_MAX;
	queue->drop = options.drop;
	list_init(&queue->waiting[QUEUE_GET]);
	list_init(&queue->waiting[QUEUE_PUT]);
	list_init(&queue->woken);
	*ret_queue = queue;
	return 0;
}

static void drop_items(async_queue *queue)
{
	while (queue->store.count > 0) {
		void *item = store_pop(&queue->store);

		if (queue->drop)
			FENCED(queue->drop(item));
	}
}

int async_queue_free(async_queue *queue)
{
	if (!queue)
		return 0;
	if (!list_empty(&queue->waiting[QUEUE_GET]) || !list_empty(&queue->waiting[QUEUE_PUT]) ||
	    !list_empty(&queue->woken) || !waiters_empty(&queue->finished.waiters))
		return -EBUSY;
	drop_items(queue);
	store_free(&queue->store);
	mem_free(queue);
	return 0;
}

static always_inline int put_nowait(async_queue *queue, void *item, int64_t priority)
{
	if (unlikely(queue->is_shutdown))
		return -ESHUTDOWN;
	if (queue_blocked(queue, QUEUE_PUT))
		return -EAGAIN;
	if (unlikely(waiters_check(&queue->waiting[QUEUE_GET]) == -EPERM))
		return -EPERM;
	int error = store_push(&queue->store, item, priority);
	if (unlikely(error))
		return error;
	queue->unfinished++;
	queue_wake(queue, QUEUE_GET);
	return 0;
}

static always_inline int get_nowait(async_queue *queue, void **ret_item)
{
	if (queue_blocked(queue, QUEUE_GET))
		return queue->is_shutdown ? -ESHUTDOWN : -EAGAIN;
	if (unlikely(waiters_check(&queue->waiting[QUEUE_PUT]) == -EPERM))
		return -EPERM;
	*ret_item = store_pop(&queue->store);
	queue_wake(queue, QUEUE_PUT);
	return 0;
}

/* Waits for a wake-up. Returns 0, or an error of which everything else was told. */
static always_inline int wait_on(async_queue *queue, enum queue_side side, struct task *task)
{
	if (unlikely(queue_foreign(queue, task)))
		return -EPERM;
	int error = waiters_wait(&queue->waiting[side], task, &wait_queue[side], queue);
	if (unlikely(error) && waiter_was_woken(task))
		queue_pass_on(queue, side);
	return error;
}

static always_inline int put(async_queue *queue, void *item, int64_t priority)
{
	struct task *task = task_current();
	int error;

	if (unlikely(!task))
		return -EPERM;
	while ((error = put_nowait(queue, item, priority)) == -EAGAIN)
		if (unlikely((error = wait_on(queue, QUEUE_PUT, task)) < 0))
			return error;
	/* Others may need no memory. */
	if (unlikely(error == -ENOMEM))
		queue_pass_on(queue, QUEUE_PUT);
	return error;
}

/* Numbers order nothing where there is another order. */
static bool takes_numbers(const async_queue *queue)
{
	return queue->store.order == ASYNC_QUEUE_PRIORITY && !queue->store.compare;
}

int async_queue_put(async_queue *queue, void *item)
{
	return likely(queue != NULL) ? put(queue, item, 0) : -EINVAL;
}

int async_queue_put_priority(async_queue *queue, void *item, int64_t priority)
{
	return queue && takes_numbers(queue) ? put(queue, item, priority) : -EINVAL;
}

int async_queue_put_nowait(async_queue *queue, void *item)
{
	return likely(queue != NULL) ? put_nowait(queue, item, 0) : -EINVAL;
}

int async_queue_put_priority_nowait(async_queue *queue, void *item, int64_t priority)
{
	return queue && takes_numbers(queue) ? put_nowait(queue, item, priority) : -EINVAL;
}

int async_queue_get(async_queue *queue, void **ret_item)
{
	struct task *task = task_current();
	int error;

	if (unlikely(!queue || !ret_item))
		return -EINVAL;
	if (unlikely(!task))
		return -EPERM;
	while ((error = get_nowait(queue, ret_item)) == -EAGAIN)
		if (unlikely((error = wait_on(queue, QUEUE_GET, task)) < 0))
			return error;
	return error;
}

int async_queue_get_nowait(async_queue *queue, void **ret_item)
{
	return likely(queue && ret_item) ? get_nowait(queue, ret_item) : -EINVAL;
}

static void finish_if_done(async_queue *queue)
{
	if (queue->unfinished == 0)
		async_event_set(&queue->finished);
}

int async_queue_task_done(async_queue *queue)
{
	if (!queue)
		return -EINVAL;
	if (queue->unfinished == 0)
		return -EOVERFLOW;
	if (waiters_check(waiters_list(&queue->finished.waiters)) == -EPERM)
		return -EPERM;
	queue->unfinished--;
	finish_if_done(queue);
	return 0;
}

int async_queue_join(async_queue *queue)
{
	if (!queue || !task_current())
		return queue ? -EPERM : -EINVAL;
	if (queue->unfinished == 0)
		return 0;
	async_event_clear(&queue->finished);
	return async_event_wait(&queue->finished);
}

static void wake_all(async_queue *queue, enum queue_side side)
{
	while (!list_empty(&queue->waiting[side]))
		queue_wake(queue, side);
}

int async_queue_shutdown(async_queue *queue, bool immediate)
{
	if (!queue)
		return -EINVAL;
	if (waiters_check(&queue->waiting[QUEUE_GET]) == -EPERM ||
	    waiters_check(&queue->waiting[QUEUE_PUT]) == -EPERM ||
	    waiters_check(waiters_list(&queue->finished.waiters)) == -EPERM)
		return -EPERM;
	queue->is_shutdown = true;
	if (immediate) {
		/* An item can have been called done before it was taken. */
		queue->unfinished -= queue->store.count < queue->unfinished ? queue->store.count : queue->unfinished;
		finish_if_done(queue);
		drop_items(queue);
	}
	wake_all(queue, QUEUE_GET);
	wake_all(queue, QUEUE_PUT);
	return 0;
}

size_t async_queue_size(const async_queue *queue)
{
	return queue ? queue->store.count : 0;
}

size_t async_queue_max_items(const async_queue *queue)
{
	return queue && queue->max_items != SIZE_MAX ? queue->max_items : 0;
}

bool async_queue_empty(const async_queue *queue)
{
	return !queue || queue->store.count == 0;
}

bool async_queue_full(const async_queue *queue)
{
	return queue && queue_blocked(queue, QUEUE_PUT);
}
