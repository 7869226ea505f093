/* SPDX-License-Identifier: MIT */
/* Executors as such, for their users and for those who write one. */
#include "executor/executor.h"

#include <errno.h>

#include "base/forked.h"
#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/schedule.h"

async_executor *executor_make(const struct async_executor_ops *ops, void *data)
{
	async_executor *executor = mem_zalloc(sizeof(*executor));

	if (!executor)
		return NULL;
	executor->ops = *ops;
	executor->data = data;
	executor->forked = forked;
	atomic_init(&executor->refs, 1);
	return executor;
}

int async_executor_new(const struct async_executor_ops *given, void *data, async_executor **ret_executor)
{
	struct async_executor_ops ops = ASYNC_EXECUTOR_OPS_INIT;

	if (!given || !ret_executor || versioned_copy(&ops, sizeof(ops), given) < 0 || !ops.submit || !ops.shutdown)
		return -EINVAL;
	async_executor *executor = executor_make(&ops, data);
	if (!executor)
		return -ENOMEM;
	*ret_executor = executor;
	return 0;
}

void executor_unref(async_executor *executor)
{
	if (atomic_fetch_sub(&executor->refs, 1) > 1)
		return;
	if (executor->ops.free)
		FENCED(executor->ops.free(executor->data));
	mem_free(executor);
}

int async_executor_shutdown(async_executor *executor, bool wait, bool cancel_futures)
{
	if (!executor)
		return -EINVAL;
	if (executor->forked != forked)
		return -EPERM;
	executor_flush(executor);
	return FENCED_VALUE(executor->ops.shutdown(executor->data, wait, cancel_futures));
}

void async_executor_free(async_executor *executor)
{
	if (!executor)
		return;
	async_executor_shutdown(executor, true, true);
	atomic_store(&executor->freed, true);
	executor_forget(executor);
	executor_unref(executor);
}

void executor_leave(async_executor *executor)
{
	atomic_store(&executor->freed, true);
	executor_unref(executor);
}

static intptr_t wait_for_workers(void *arg)
{
	return async_executor_shutdown(arg, true, false);
}

/* A thread of its own waits: one of a pool could be kept from it by jobs that wait for this end. */
int async_executor_close(async_executor *executor, bool cancel_futures)
{
	struct async_thread_pool_options one = ASYNC_THREAD_POOL_OPTIONS_INIT;
	async_executor *waiter;

	if (!executor || !task_current())
		return executor ? -EPERM : -EINVAL;
	int error = async_executor_shutdown(executor, false, cancel_futures);
	if (error)
		return error;
	one.max_workers = 1;
	one.name = "async-close";
	error = async_thread_pool_new(&one, &waiter);
	if (error)
		return error;
	intptr_t result = job_await_end(waiter, wait_for_workers, executor);
	async_executor_free(waiter);
	return (int)result;
}

intptr_t async_executor_threads(const async_executor *executor)
{
	if (!executor)
		return -EINVAL;
	return executor->ops.workers ? (intptr_t)FENCED_VALUE(executor->ops.workers(executor->data)) : 0;
}
