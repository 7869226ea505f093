/* SPDX-License-Identifier: MIT */
/* A job whose result is a future. */
#include <errno.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/schedule.h"
#include "executor/executor.h"

static struct job_future *of_future(async_future *future)
{
	return (struct job_future *)future;
}

/* The job is over: it ran, or never will. */
static void finish(struct job_future *mine)
{
	bool ran = executor_job_ran(&mine->job);

	if (!ran && mine->destroy)
		FENCED(mine->destroy(mine->job.arg));
	if (!future_done(&mine->future))
		future_complete(&mine->future, mine->job.result);
	else if (ran)
		result_drop(mine->future.drop, mine->job.result);
	future_release(&mine->future);
}

static void on_over(struct executor_job *job)
{
	finish(container_of(job, struct job_future, job));
}

static void on_retire(struct entry *entry)
{
	finish(container_of(entry, struct job_future, retire));
}

bool job_future_cancel(async_future *future)
{
	struct job_future *mine = of_future(future);

	if (executor_withdraw(future->loop, &mine->job))
		ready_append(&future->loop->ready, &mine->retire);
	future_complete(future, -ECANCELED);
	return true;
}

static const struct future_class future_job = {
	.name = "job",
	.cancel = job_future_cancel,
	.size = sizeof(struct job_future),
};

async_future *job_future_queue(async_executor *executor, struct job_future *mine)
{
	async_future *future = &mine->future;

	mine->job.over = on_over;
	mine->job.future = future;
	mine->retire.kind = ENTRY_CALLBACK;
	mine->retire.run = on_retire;
	int error = executor_queue(future->loop, executor, &mine->job);
	if (error) {
		if (mine->destroy)
			FENCED(mine->destroy(mine->job.arg));
		/* Not done, so there is nothing to report. */
		future_release(future);
		return async_future_failed(error);
	}
	/* The job's, until it is over. */
	future_ref(future);
	return future;
}

static async_future *failed(intptr_t error, void *arg, const struct async_job_options *options)
{
	if (options->destroy)
		FENCED(options->destroy(arg));
	return async_future_failed(error);
}

async_future *job_future_make(async_executor *executor, enum pool_lane lane, async_fn *fn, void *arg,
			      const struct async_job_options *given)
{
	struct async_job_options options = ASYNC_JOB_OPTIONS_INIT;
	struct async_loop *loop = loop_running;

	if (given && versioned_copy(&options, sizeof(options), given) < 0)
		return async_future_failed(-EINVAL);
	if (!fn || !loop)
		return failed(fn ? -EPERM : -EINVAL, arg, &options);
	struct job_future *mine = (struct job_future *)future_alloc(loop, &future_job, options.drop);
	if (!mine)
		return failed(-ENOMEM, arg, &options);
	mine->job.fn = fn;
	mine->job.arg = arg;
	mine->job.base.job.lane = lane == LANE_JOBS && options.slow ? LANE_SLOW : lane;
	mine->destroy = options.destroy;
	return job_future_queue(executor, mine);
}

async_future *async_run_in_executor_with(async_executor *executor, async_fn *fn, void *arg,
					 const struct async_job_options *options)
{
	return job_future_make(executor, LANE_JOBS, fn, arg, options);
}

async_future *async_run_in_executor(async_executor *executor, async_fn *fn, void *arg)
{
	return job_future_make(executor, LANE_JOBS, fn, arg, NULL);
}
