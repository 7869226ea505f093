/* SPDX-License-Identifier: MIT */
#include "core/future.h"

#include <pthread.h>
#include <string.h>

#include "base/memory.h"
#include "core/circle.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/schedule.h"

const struct future_class future_plain = {.name = "future", .settable = true};

static const struct future_class future_immortal = {.name = "failed future"};

static void abandon_await(struct task *task)
{
	future_release(task->wait_object);
}

static const struct wait_class wait_future = {.name = "future", .on = ASYNC_LAYOUT_ON_FUTURE, .abandon = abandon_await};

async_future *future_alloc(struct async_loop *loop, const struct future_class *class, async_drop *drop)
{
	async_future *future = mem_zalloc(class->size);

	if (future)
		future_init(future, loop, class, drop);
	return future;
}

int future_check(const async_future *future)
{
	if (!future)
		return -EINVAL;
	if (likely(future->loop == loop_running) || !future->loop)
		return 0;
	bool elsewhere = atomic_load_explicit(&future->loop->running, memory_order_relaxed) || loop_forked(future->loop);
	return elsewhere ? -EPERM : 0;
}

async_future *async_future_new(async_loop *loop, async_drop *drop)
{
	struct async_loop *owner = loop ? loop : loop_running;
	int error = owner ? loop_check(owner) : -EPERM;

	if (error)
		return async_future_failed(error);
	async_future *future = slab_alloc(&owner->future_slab);
	if (!future)
		return async_future_failed(-ENOMEM);
	future_init(future, owner, &future_plain, drop);
	return future;
}

/* One for each errno, made when first needed. */
async_future *async_future_failed(intptr_t error)
{
	static async_future failed[4096];
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

	if (error >= 0 || error <= -(intptr_t)array_size(failed))
		error = -EINVAL;
	async_future *future = &failed[-error];
	pthread_mutex_lock(&mutex);
	if (!future->immortal) {
		future_init(future, NULL, &future_immortal, NULL);
		future->result = error;
		future->state = FUTURE_DONE;
		future->looked_at = true;
		future->immortal = true;
	}
	pthread_mutex_unlock(&mutex);
	return future;
}

static noinline void wake_watchers(async_future *future)
{
	struct list *node;

	while ((node = list_pop(&future->watchers))) {
		struct entry *entry = list_entry(node, struct watcher, link)->entry;

		/* The word says nothing: the future has the result. */
		if (entry->kind == ENTRY_TASK)
			task_wake(task_of_entry(entry), 0);
		else if (entry->kind == ENTRY_NOTICE)
			entry->run(entry);
		else
			ready_append(&future->loop->ready, entry);
	}
}

void future_complete(async_future *future, intptr_t result)
{
	future->result = result;
	future->state = FUTURE_DONE;
	if (!list_empty(&future->watchers))
		wake_watchers(future);
}

/* Nobody took the result. True if somebody has a reference again. */
static noinline bool future_unread(async_future *future)
{
	if (future->result >= 0) {
		result_drop(future->drop, future->result);
		return false;
	}
	if (future->result == -ECANCELED)
		return false;
	/* The handler may look at it, and take and drop references. */
	future->looked_at = true;
	future->refs = 1;
	loop_report(future->loop, "failed, and nobody looked at the result", future, future->result);
	return --future->refs > 0;
}

/* Frees what has no reference any more. Returns a future that loses one by that, or NULL. */
static async_future *free_one(async_future *future)
{
	async_future *next = NULL;

	if (unlikely(!future->looked_at) && future_done(future) && future_unread(future))
		return NULL;
	if (future->class->is_task) {
		task_free(task_of(future));
		return NULL;
	}
	if (future->class->finalize)
		next = future->class->finalize(future);
	if (future->class->size)
		mem_free(future);
	else
		slab_free(&future->loop->future_slab, future);
	return next;
}

noinline void future_free(async_future *future)
{
	do
		future = free_one(future);
	while (future && !future->immortal && --future->refs == 0);
}

static int set(async_future *future, intptr_t result)
{
	int error = future_check(future);

	if (error)
		return error;
	if (future_done(future))
		return -EALREADY;
	if (!future->class->settable)
		return -EINVAL;
	future_complete(future, result);
	return 0;
}

int async_future_set_result(async_future *future, intptr_t value)
{
	return value < 0 ? -EINVAL : set(future, value);
}

int async_future_set_error(async_future *future, intptr_t error)
{
	return error >= 0 ? -EINVAL : set(future, error);
}

/* True in a thread that must not even look at it: the loop's own may be changing it. */
static always_inline bool is_foreign(const async_future *future)
{
	return unlikely(future->loop != loop_running) && future_check(future) < 0;
}

/* Why `task` cannot wait for a future that is not done; 0 if it can. */
static int await_check(const struct task *task, async_future *future)
{
	if (!task || future->loop != task->future.loop)
		return -EPERM;
	return future == &task->future || circle_closes(task, future) ? -EDEADLK : 0;
}

intptr_t async_await(async_future *future)
{
	intptr_t result;

	if (unlikely(!future))
		return -EINVAL;
	if (unlikely(is_foreign(future))) {
		async_release(future);
		return -EPERM;
	}
	if (!future_done(future)) {
		struct task *task = task_current();
		int error = await_check(task, future);

		if (unlikely(error)) {
			future_release(future);
			return error;
		}
		future_watch(future, &task->watcher);
		if (unlikely(task_park(task, &wait_future, future) == -ECANCELED)) {
			list_remove(&task->watcher.link);
			future_release(future);
			return -ECANCELED;
		}
	}
	result = future_take(future);
	future_release(future);
	return result;
}

bool async_done(const async_future *future)
{
	return future && !is_foreign(future) && future_done(future);
}

bool async_cancelled(const async_future *future)
{
	return async_done(future) && future->result == -ECANCELED;
}

intptr_t async_result(async_future *future)
{
	int error = future_check(future);

	if (error)
		return error;
	return future_done(future) ? future_take(future) : -EINPROGRESS;
}

intptr_t async_error(async_future *future)
{
	int error = future_check(future);

	if (error)
		return error;
	if (!future_done(future))
		return -EINPROGRESS;
	return future->result < 0 ? future_take(future) : 0;
}

int async_cancel(async_future *future, const char *reason)
{
	int error = future_check(future);

	return error ? error : future_cancel(future, reason);
}

const char *async_cancel_reason(const async_future *future)
{
	return future && !is_foreign(future) ? future->cancel_reason : NULL;
}

async_future *async_ref(async_future *future)
{
	if (!future)
		return NULL;
	if (is_foreign(future))
		return async_future_failed(-EPERM);
	future_ref(future);
	return future;
}

static void release_at_home(void *future)
{
	future_release(future);
}

/* Without memory for the message the reference is lost, as it would be if this were refused. */
static noinline void release_from_abroad(async_future *future)
{
	async_handle *message = handle_new_remote(future->loop, release_at_home, future, release_at_home);

	if (message)
		handle_post_remote(message);
}

void async_release(async_future *future)
{
	if (!future)
		return;
	if (is_foreign(future))
		release_from_abroad(future);
	else
		future_release(future);
}

async_loop *async_future_loop(const async_future *future)
{
	return future ? future->loop : NULL;
}
