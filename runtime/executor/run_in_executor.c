/* SPDX-License-Identifier: MIT */
/* A job whose result is a future. */
#include <errno.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "core/schedule.h"
#include "executor/executor.h"

struct job_future {
	async_future future;
	struct executor_job job;
	async_destroy *destroy;
	struct entry retire; /* ends a job that was withdrawn, where the user's functions may be called */
};

static struct job_future *of_future(async_future *future)
{
	return (struct job_future *)future;
}

/* The job is over: it ran, or never will. */
static void finish(struct job_future *mine)
{
	bool ran = executor_job_ran(&mine->job);

	if (!ran && mine->destroy)
		mine->destroy(mine->job.arg);
	if (!future_done(&mine->future))
		future_complete(&mine->future, mine->job.result);
	else if (ran)
		result_drop(mine->future.drop, mine->job.result);
	future_release(&mine->future);
}

static void on_done(struct loop_job *job)
{
	finish(container_of(job, struct job_future, job.base));
}

static void on_retire(struct entry *entry)
{
	finish(container_of(entry, struct job_future, retire));
}

static bool cancel_job(async_future *future)
{
	struct job_future *mine = of_future(future);

	if (executor_withdraw(future->loop, &mine->job))
		ready_append(&future->loop->ready, &mine->retire);
	future_complete(future, -ECANCELED);
	return true;
}

static const struct future_class future_job = {
	.name = "job",
	.cancel = cancel_job,
	.size = sizeof(struct job_future),
};

static async_future *failed(intptr_t error, void *arg, const struct async_job_options *options)
{
	if (options && options->destroy)
		options->destroy(arg);
	return async_future_failed(error);
}

async_future *async_run_in_executor_with(async_executor *executor, async_fn *fn, void *arg,
					 const struct async_job_options *given)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	struct async_loop *loop = loop_running;
	int error = given ? versioned_copy(&options, sizeof(options), given) : 0;

	if (error)
		return async_future_failed(error);
	if (!fn || !loop)
		return failed(fn ? -EPERM : -EINVAL, arg, &options);
	struct job_future *mine = (struct job_future *)future_alloc(loop, &future_job, options.drop);
	if (!mine)
		return failed(-ENOMEM, arg, &options);
	mine->job.fn = fn;
	mine->job.arg = arg;
	mine->job.base.done = on_done;
	mine->job.base.job.slow = options.slow;
	mine->destroy = options.destroy;
	mine->retire.kind = ENTRY_CALLBACK;
	mine->retire.run = on_retire;
	error = executor_queue(loop, executor, &mine->job);
	if (error) {
		mem_free(mine);
		return failed(error, arg, &options);
	}
	/* The job's, until it is over. */
	future_ref(&mine->future);
	return &mine->future;
}

async_future *async_run_in_executor(async_executor *executor, async_fn *fn, void *arg)
{
	return async_run_in_executor_with(executor, fn, arg, NULL);
}
