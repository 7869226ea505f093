/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. An executor wraps a pool. Jobs are not handed to it one by one: a loop collects what one iteration
 * submits for each executor and passes it on in one piece, which is one lock and at most a few wake-ups.
 */
#ifndef EXECUTOR_EXECUTOR_H
#define EXECUTOR_EXECUTOR_H

#include <async/executor.h>

#include "core/loop.h"

struct async_executor {
	struct pool *pool;
	bool shared; /* the process's own pool, which others use too */
};

/* What both kinds of job have: the one with a future and the one that a task waits for. */
struct executor_job {
	struct loop_job base;
	async_fn *fn;
	void *arg;
	intptr_t result;
	atomic_bool cancelled; /* its future was cancelled while it runs */
	struct submission *submission;
};

/* The jobs of one loop for one executor that wait for the end of the iteration. */
struct submission {
	struct loop_hook hook;
	async_executor *executor;
	struct job *first, *last;
	size_t count;
	bool owned; /* the executor is the loop's default one */
};

/* Queues a job for the end of this iteration; NULL is the loop's default executor. Returns 0 or -errno. The job
 * comes back through `base.done`, withdrawn if it could not be run: `result` is the reason then. */
int executor_queue(struct async_loop *loop, async_executor *executor, struct executor_job *job);

/* Asks for a job back. True: it will not run and is the caller's again. False: `base.done` will be called. */
bool executor_withdraw(struct async_loop *loop, struct executor_job *job);

static inline bool executor_job_ran(struct executor_job *job)
{
	return atomic_load_explicit(&job->base.job.state, memory_order_acquire) == JOB_DONE;
}

#endif
