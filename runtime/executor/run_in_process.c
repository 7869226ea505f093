/* SPDX-License-Identifier: MIT */
/* A job whose argument and result are bytes. */
#include <errno.h>
#include <string.h>

#include "base/memory.h"
#include "executor/process_pool.h"

static void drop_result(intptr_t result)
{
	async_process_result_free((async_process_result *)result);
}

static async_future *free_bytes(async_future *future)
{
	mem_free(process_job_of(&((struct job_future *)future)->job)->bytes);
	return NULL;
}

static const struct future_class future_process_job = {
	.name = "job in a process",
	.cancel = job_future_cancel,
	.finalize = free_bytes,
	.size = sizeof(struct process_job),
};

async_future *async_run_in_process(async_executor *pool, async_process_fn *fn, const void *arg, size_t arg_size)
{
	if (!pool || !fn || (!arg && arg_size > 0) || !executor_is_process_pool(pool))
		return async_future_failed(-EINVAL);
	if (arg_size > ASYNC_PROCESS_BYTES_MAX)
		return async_future_failed(-EMSGSIZE);
	if (!loop_running)
		return async_future_failed(-EPERM);
	struct process_job *mine = (struct process_job *)future_alloc(loop_running, &future_process_job, drop_result);
	if (!mine)
		return async_future_failed(-ENOMEM);
	mine->fn = fn;
	mine->size = arg_size;
	mine->bytes = arg_size > 0 ? mem_alloc(arg_size) : NULL;
	if (arg_size > 0 && !mine->bytes) {
		future_release(&mine->base.future);
		return async_future_failed(-ENOMEM);
	}
	if (arg_size > 0)
		memcpy(mine->bytes, arg, arg_size);
	return job_future_queue(pool, &mine->base);
}

intptr_t async_process_result_value(const async_process_result *result)
{
	return result ? result->value : -EINVAL;
}

const void *async_process_result_data(const async_process_result *result)
{
	return result ? result->bytes : NULL;
}

size_t async_process_result_size(const async_process_result *result)
{
	return result ? result->size : 0;
}

void async_process_result_free(async_process_result *result)
{
	mem_free(result);
}
