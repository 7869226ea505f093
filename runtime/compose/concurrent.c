/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. Two sides hold references: the threads that may ask, and the loop, from the moment of posting until the task
 * has ended or never will. One word is the state, and what the threads sleep on. The task's end and a cancellation
 * race for it; who changes it from pending writes the result. Everything about the task happens in the loop's thread:
 * what other threads want of it they post.
 */
#include <async/concurrent.h>

#include <limits.h>

#include "base/forked.h"
#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/task.h"
#include "worker/futex.h"

enum concurrent_state {
	CONCURRENT_PENDING,
	CONCURRENT_CLAIMED, /* somebody writes the result */
	CONCURRENT_DONE,
};

struct async_concurrent {
	atomic_uint refs;
	atomic_int state; /* enum concurrent_state */
	atomic_bool taken;
	intptr_t result;
	struct async_loop *loop; /* as long as it is pending */
	unsigned forked;         /* when it was made: see base/forked.h */
	const char *cancel_reason;

	/* The loop's thread. */
	async_fn *fn;
	void *arg;
	struct async_task_options options;
	char *name;
	const void *creator;
	async_task *task;
	struct entry entry;
	struct watcher watcher;
};

static void unref(async_concurrent *self)
{
	order_release(self);
	if (atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) > 1)
		return;
	order_acquire(self);
	if (atomic_load_explicit(&self->state, memory_order_relaxed) == CONCURRENT_DONE &&
	    !atomic_load_explicit(&self->taken, memory_order_relaxed))
		result_drop(self->options.drop, self->result);
	mem_free(self->name);
	mem_free(self);
}

static bool claim(async_concurrent *self)
{
	int pending = CONCURRENT_PENDING;

	return atomic_compare_exchange_strong(&self->state, &pending, CONCURRENT_CLAIMED);
}

static void publish(async_concurrent *self, intptr_t result)
{
	self->result = result;
	order_release(self);
	atomic_store_explicit(&self->state, CONCURRENT_DONE, memory_order_release);
	futex_wake(&self->state, INT_MAX);
}

static bool is_done(const async_concurrent *self)
{
	return atomic_load_explicit(&self->state, memory_order_acquire) == CONCURRENT_DONE;
}

/* The task has ended. Its result is for those who can still ask; else the loop deals with it as with any other. */
static void task_ended(async_concurrent *self)
{
	async_task *task = self->task;

	self->task = NULL;
	if (atomic_load_explicit(&self->refs, memory_order_acquire) > 1 && claim(self))
		publish(self, future_take(task));
	future_release(task);
	unref(self);
}

static void on_end(struct entry *entry)
{
	task_ended(container_of(entry, async_concurrent, entry));
}

static void not_run(async_concurrent *self, intptr_t error)
{
	if (claim(self))
		publish(self, error);
	unref(self);
}

/* The loop closed first. */
static void never_started(void *arg)
{
	async_concurrent *self = arg;

	if (self->options.destroy)
		FENCED(self->options.destroy(self->arg));
	not_run(self, -ESHUTDOWN);
}

static void start(void *arg)
{
	async_concurrent *self = arg;

	if (atomic_load(&self->state) != CONCURRENT_PENDING) {
		never_started(self);
		return;
	}
	async_task *task = task_create(self->loop, self->fn, self->arg, &self->options, self->creator);
	if (task->immortal) {
		not_run(self, task->result);
		return;
	}
	self->task = task;
	if (future_done(task))
		task_ended(self);
	else
		future_watch(task, &self->watcher);
}

static async_concurrent *make(async_loop *loop, async_fn *fn, void *arg, const struct async_task_options *options)
{
	async_concurrent *self = mem_zalloc(sizeof(*self));

	if (!self)
		return NULL;
	self->loop = loop;
	self->forked = forked;
	self->fn = fn;
	self->arg = arg;
	self->options = *options;
	atomic_init(&self->refs, 2);
	self->entry.kind = ENTRY_CALLBACK;
	self->entry.run = on_end;
	self->watcher.entry = &self->entry;
	list_init(&self->watcher.link);
	if (!options->name)
		return self;
	self->options.name = self->name = mem_strndup(options->name, ASYNC_TASK_NAME_MAX - 1);
	if (self->name)
		return self;
	mem_free(self);
	return NULL;
}

static int failed(int error, void *arg, const struct async_task_options *options)
{
	if (options->destroy)
		FENCED(options->destroy(arg));
	return error;
}

int async_run_coroutine_threadsafe(async_loop *loop, async_fn *fn, void *arg, const struct async_task_options *given,
				   async_concurrent **ret_concurrent)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error)
		return error;
	error = loop && fn ? atomic_load(&loop->refuses) : -EINVAL;
	if (error)
		return failed(error, arg, &options);
	async_concurrent *self = make(loop, fn, arg, &options);
	if (!self)
		return failed(-ENOMEM, arg, &options);
	self->creator = CALLER;
	async_handle *message = handle_new_remote(loop, start, self, never_started);
	if (!message) {
		mem_free(self->name);
		mem_free(self);
		return failed(-ENOMEM, arg, &options);
	}
	if (ret_concurrent)
		*ret_concurrent = self;
	handle_post_remote(message);
	if (!ret_concurrent)
		unref(self);
	return 0;
}

/* May return early. */
static void wait_until(async_concurrent *self, int state, async_time deadline)
{
	struct timespec when = clock_timespec(deadline);

	(void)SYS("futex_wait", syscall(SYS_futex, &self->state, FUTEX_WAIT_BITSET_PRIVATE, state,
					deadline == ASYNC_FOREVER ? NULL : &when, NULL, FUTEX_BITSET_MATCH_ANY));
}

intptr_t async_concurrent_result(async_concurrent *self, async_time timeout)
{
	if (!self)
		return -EINVAL;
	async_time deadline = timeout <= 0 || is_done(self) ? 0 : clock_add(clock_now(), timeout);
	for (;;) {
		int state = atomic_load_explicit(&self->state, memory_order_acquire);

		if (state == CONCURRENT_DONE)
			break;
		if (self->forked != forked)
			return -EPERM;
		if (deadline != ASYNC_FOREVER && (deadline == 0 || clock_now() >= deadline))
			return -ETIMEDOUT;
		if (loop_running == self->loop)
			return -EDEADLK;
		wait_until(self, state, deadline);
	}
	order_acquire(self);
	atomic_store_explicit(&self->taken, true, memory_order_relaxed);
	return self->result;
}

bool async_concurrent_done(const async_concurrent *self)
{
	return self && is_done(self);
}

bool async_concurrent_cancelled(const async_concurrent *self)
{
	return self && is_done(self) && self->result == -ECANCELED;
}

static void let_go(void *arg)
{
	unref(arg);
}

static void cancel_task(void *arg)
{
	async_concurrent *self = arg;

	if (self->task)
		future_cancel(self->task, self->cancel_reason);
	unref(self);
}

int async_concurrent_cancel(async_concurrent *self, const char *reason)
{
	if (!self)
		return -EINVAL;
	if (self->forked != forked)
		return -EPERM;
	if (is_done(self))
		return 0;
	/* Memory first: what is claimed cannot be given back. The message has a reference. */
	async_handle *message = handle_new_remote(self->loop, cancel_task, self, let_go);
	if (!message)
		return -ENOMEM;
	atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
	if (!claim(self)) {
		async_handle_release(message);
		return 0;
	}
	self->cancel_reason = reason;
	/* The post before the news: who hears it may end the loop. */
	handle_post_remote(message);
	publish(self, -ECANCELED);
	return 1;
}

async_concurrent *async_concurrent_ref(async_concurrent *self)
{
	if (self)
		atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
	return self;
}

void async_concurrent_release(async_concurrent *self)
{
	if (self)
		unref(self);
}
