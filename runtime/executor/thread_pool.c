/* SPDX-License-Identifier: MIT */
#include "executor/thread_pool.h"

#include <errno.h>

#include <async/options.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "executor/executor.h"

static int submit(void *pool, async_job *first, size_t count)
{
	return pool_submit(pool, (struct job *)first, count);
}

static bool cancel(void *pool, async_job *job)
{
	return pool_withdraw(pool, (struct job *)job) == POOL_REMOVED;
}

static int shut_down(void *pool, bool wait, bool cancel_futures)
{
	pool_shutdown(pool, cancel_futures);
	return wait ? pool_join(pool) : 0;
}

static void free_pool(void *pool)
{
	pool_leave(pool);
}

static size_t count_threads(void *pool)
{
	return pool_threads(pool);
}

static const struct async_executor_ops thread_pool = {
	.submit = submit,
	.cancel = cancel,
	.shutdown = shut_down,
	.free = free_pool,
	.workers = count_threads,
};

/* Others use it too, so it ends when the last one gives it back. */
static int shut_down_shared(void *pool, bool wait, bool cancel_futures)
{
	(void)pool, (void)wait, (void)cancel_futures;
	return 0;
}

static void release_shared(void *pool)
{
	pool_shared_release(pool);
}

static const struct async_executor_ops shared_pool = {
	.submit = submit,
	.cancel = cancel,
	.shutdown = shut_down_shared,
	.free = release_shared,
	.workers = count_threads,
};

int async_thread_pool_new(const struct async_thread_pool_options *given, async_executor **ret_executor)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error || !ret_executor || options.max_workers > ASYNC_WORKERS_MAX)
		return -EINVAL;
	struct pool_options raw = {
		.max_threads = options.max_workers,
		.name = options.name ? options.name : "async",
		.initializer = options.initializer,
		.initializer_arg = options.initializer_arg,
	};
	struct pool *pool;
	error = pool_new(&raw, &pool);
	if (error)
		return error;
	async_executor *executor = executor_make(&thread_pool, pool);
	if (!executor) {
		pool_free(pool);
		return -ENOMEM;
	}
	*ret_executor = executor;
	return 0;
}

int thread_pool_default(size_t max_workers, async_executor **ret_executor)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	struct pool *pool;

	options.max_workers = max_workers;
	if (max_workers)
		return async_thread_pool_new(&options, ret_executor);
	int error = pool_shared_acquire(&pool);
	if (error)
		return error;
	async_executor *executor = executor_make(&shared_pool, pool);
	if (!executor) {
		pool_shared_release(pool);
		return -ENOMEM;
	}
	*ret_executor = executor;
	return 0;
}
