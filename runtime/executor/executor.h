/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. An executor is what its operations say: the library's own pools are made as anybody else's would be. Jobs
 * are not handed over one by one: a loop collects what one iteration submits for each executor and passes it on in
 * one piece, which for a pool of threads is one lock and at most a few wake-ups. Jobs come back through the loop's
 * sink, from whatever thread.
 *
 * A loop keeps what it has used: an executor that was freed stays in memory until no loop knows it any more.
 */
#ifndef EXECUTOR_EXECUTOR_H
#define EXECUTOR_EXECUTOR_H

#include <async/executor.h>
#include <async/executor_ops.h>

#include "core/loop.h"
#include "context/exceptions.h"

struct async_executor {
	struct async_executor_ops ops;
	void *data;
	atomic_size_t refs; /* the owner's, and one of each loop that has used it */
	atomic_bool freed;  /* by its owner */
	unsigned forked;    /* when it was made: see base/forked.h */
};

/* What all kinds of job have in common. */
struct executor_job {
	struct loop_job base;
	async_fn *fn; /* NULL: a struct process_job */
	void *arg;
	intptr_t result;
	atomic_bool cancelled; /* its future was cancelled; it may be running */
	bool submitted;        /* the executor has seen it */
	uint32_t fpenv;        /* of who submitted it */
	struct submission *submission;
	struct list link;      /* in the submission's `jobs` */
	async_time queued_at;  /* real clock */
	async_future *future;  /* whose result it is; NULL: a task waits for it */
	/* The job is over, whether it ran or not: `result` is what came of it. On the loop's stack. */
	void (*over)(struct executor_job *job);
};

/* Whose executor it is: one that the program names, or one of the loop's own. */
enum executor_role {
	EXECUTOR_GIVEN,
	EXECUTOR_DEFAULT, /* as max_workers of the loop's options says */
	EXECUTOR_NAMES,   /* the shared pool, whatever they say: look-ups have threads of their own */
};

/* The jobs of one loop for one executor. */
struct submission {
	struct loop_hook hook;
	async_executor *executor;
	struct job *first, *last; /* those that wait for the end of the iteration */
	size_t count;
	struct list jobs;         /* those that are not over */
	enum executor_role role;
	async_future *left;       /* futures whose jobs were left behind, linked by the jobs' `future` */
};

/* A job whose result is a future. */
struct job_future {
	async_future future;
	struct executor_job job;
	async_destroy *destroy;
	struct entry retire; /* ends a job that was withdrawn, where the user's functions may be called */
};

/* The public name of a job is that of its innermost part. */
static inline async_job *job_public(struct job *job)
{
	return (async_job *)job;
}

static inline struct executor_job *job_of(const async_job *job)
{
	return container_of((struct job *)job, struct executor_job, base.job);
}

/* Queues a job whose `fn`, `arg`, `over` and lane are set for the end of this iteration; NULL is the loop's default
 * executor, or for look-ups that of names. Returns 0 or -errno. */
int executor_queue(struct async_loop *loop, async_executor *executor, struct executor_job *job);
/* Asks for a job back. True: it will not run and is the caller's again. False: `over` will be called. */
bool executor_withdraw(struct async_loop *loop, struct executor_job *job);
/* Submits at once what the running loop has queued: what comes before a shutdown is not refused by it. */
void executor_flush(async_executor *executor);

/* An executor that was freed: the running loop lets go of it, if none of its jobs is left. */
void executor_forget(async_executor *executor);
void executor_unref(async_executor *executor);
/* Frees one of the library's own, in which jobs were left behind. */
void executor_leave(async_executor *executor);

/* The host that a look-up is for, of its argument; NULL if that is none. */
const char *lookup_host(const struct executor_job *job);
/* The function that async_to_thread was given; NULL if it is not the job of that. */
async_fn *to_thread_function(const struct executor_job *job);

/* Queues the job of a future that was made with future_alloc and has a class whose `cancel` is job_future_cancel.
 * Returns the future, or a failed one. */
async_future *job_future_queue(async_executor *executor, struct job_future *mine);
bool job_future_cancel(async_future *future);
/* As async_run_in_executor_with, in a lane of the caller's choice. */
async_future *job_future_make(async_executor *executor, enum pool_lane lane, async_fn *fn, void *arg,
			      const struct async_job_options *options);

/* Waits for a job that must not be withdrawn: a cancellation is told when it has ended. `executor` is not used for
 * anything else, so that it begins at once. */
intptr_t job_await_end(async_executor *executor, async_fn *fn, void *arg);

/* Calls a job's function in this thread and keeps the result. */
void executor_run(struct job *job);
/* What async_job_cancelled asks while this thread runs a job; NULL: none. */
void job_set_cancel_flag(const atomic_bool *flag);

static inline bool executor_job_ran(struct executor_job *job)
{
	return atomic_load_explicit(&job->base.job.state, memory_order_acquire) == JOB_DONE;
}

/* Makes an executor of operations that are known to be complete; NULL without memory. */
async_executor *executor_make(const struct async_executor_ops *ops, void *data);

#endif
