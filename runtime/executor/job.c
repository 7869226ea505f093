/* SPDX-License-Identifier: MIT */
/* A job as its executor sees it. */
#include "executor/executor.h"
#include "context/exceptions.h"
#include "context/fpenv.h"

static __thread const atomic_bool *cancel_flag __attribute__((tls_model("initial-exec")));

void job_set_cancel_flag(const atomic_bool *flag)
{
	cancel_flag = flag;
}

bool async_job_cancelled(void)
{
	return cancel_flag && atomic_load(cancel_flag);
}

/* In a worker of the library's own threads, or wherever an executor calls it. */
void executor_run(struct job *job)
{
	struct executor_job *mine = container_of(job, struct executor_job, base.job);
	const atomic_bool *outer = cancel_flag;

	cancel_flag = &mine->cancelled;
	uint32_t own = fpenv_exchange(mine->fpenv);
	mine->result = FENCED_VALUE(mine->fn(mine->arg));
	fpenv_exchange(own);
	cancel_flag = outer;
}

/* Once it is pushed, the job is the loop's, and may be gone. */
static void give_back(async_job *job, enum job_state state)
{
	struct job *raw = &job_of(job)->base.job;

	atomic_store_explicit(&raw->state, state, memory_order_relaxed);
	job_sink_push(raw->sink, raw);
}

void async_job_run(async_job *job)
{
	if (!job)
		return;
	executor_run(&job_of(job)->base.job);
	give_back(job, JOB_DONE);
}

void async_job_complete(async_job *job, intptr_t result)
{
	if (!job)
		return;
	job_of(job)->result = result;
	give_back(job, JOB_DONE);
}

void async_job_skip(async_job *job, int error)
{
	if (!job)
		return;
	job_of(job)->result = error < 0 ? error : -EINVAL;
	give_back(job, JOB_WITHDRAWN);
}

async_job *async_job_next(const async_job *job)
{
	return job ? job_public(job_of(job)->base.job.next) : NULL;
}

void async_job_set_next(async_job *job, async_job *next)
{
	if (job)
		job_of(job)->base.job.next = (struct job *)next;
}

async_fn *async_job_fn(const async_job *job)
{
	return job ? job_of(job)->fn : NULL;
}

void *async_job_arg(const async_job *job)
{
	return job ? job_of(job)->arg : NULL;
}
