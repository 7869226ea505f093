/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include <async/options.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "executor/executor.h"

int async_thread_pool_new(const struct async_thread_pool_options *given, async_executor **ret_executor)
{
	struct async_thread_pool_options options = ASYNC_THREAD_POOL_OPTIONS_INIT;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error || !ret_executor || options.max_workers > ASYNC_WORKERS_MAX)
		return -EINVAL;
	async_executor *executor = mem_zalloc(sizeof(*executor));
	if (!executor)
		return -ENOMEM;
	struct pool_options raw = {.max_threads = options.max_workers, .name = options.name ? options.name : "async"};
	error = pool_new(&raw, &executor->pool);
	if (error) {
		mem_free(executor);
		return error;
	}
	*ret_executor = executor;
	return 0;
}

int async_executor_shutdown(async_executor *executor, bool wait, bool cancel_futures)
{
	if (!executor)
		return -EINVAL;
	pool_shutdown(executor->pool, cancel_futures);
	return wait ? pool_join(executor->pool) : 0;
}

void async_executor_free(async_executor *executor)
{
	if (!executor)
		return;
	if (executor->shared)
		pool_shared_release(executor->pool);
	else
		pool_free(executor->pool);
	mem_free(executor);
}

intptr_t async_executor_threads(const async_executor *executor)
{
	return executor ? (intptr_t)pool_threads(executor->pool) : -EINVAL;
}
