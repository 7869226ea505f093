/* SPDX-License-Identifier: MIT */
/*
 * Writing an executor: what the two pools of the library are, seen from inside.
 *
 * The loop hands over what one iteration submitted, in one piece. From then on each job is the executor's, until
 * it gives it back in one of four ways: async_job_run, async_job_complete, async_job_skip, or by returning true
 * from `cancel`. Every job must come back, once; the loop waits for it, at its close up to `shutdown_timeout`. Futures,
 * cancellation and what is called when are none of the executor's business.
 *
 *     static int submit(void *data, async_job *first, size_t count)
 *     {
 *             for (async_job *job = first, *next; count-- > 0; job = next) {
 *                     next = async_job_next(job);
 *                     async_job_run(job);
 *             }
 *             return 0;
 *     }
 */
#ifndef ASYNC_EXECUTOR_OPS_H
#define ASYNC_EXECUTOR_OPS_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

typedef struct async_job async_job;

/* All get the `data` that async_executor_new was given. None may wait for a loop. */
struct async_executor_ops {
	size_t size; /* sizeof(struct async_executor_ops) */
	/*
	 * Takes `count` jobs, the first and what async_job_next leads to, to be begun in this order. Called in the
	 * thread of any loop that uses the executor. Returns 0; or a negative errno, with which all of them fail: then
	 * it has kept none.
	 */
	int (*submit)(void *data, async_job *first, size_t count);
	/*
	 * Asks for a job back that was submitted and has not been seen to come back; same thread. True: it had not
	 * been begun, and the executor has forgotten it. False: it comes back in another way, if it did not
	 * already. May be NULL: never.
	 */
	bool (*cancel)(void *data, async_job *job);
	/* As async_executor_shutdown. Any thread, any number of times. */
	int (*shutdown)(void *data, bool wait, bool cancel_futures);
	/* Frees `data`, after a `shutdown` with both. May be NULL: nothing to do. */
	void (*free)(void *data);
	/* How many workers there are now; any thread. May be NULL: 0. */
	size_t (*workers)(void *data);
};

#define ASYNC_EXECUTOR_OPS_INIT ASYNC_INIT_SIZE(struct async_executor_ops)

/*
 * An executor that works by `ops`, which is copied.
 * Owns: `data` passes to the executor on success. The caller frees it with async_executor_free.
 * Thread: any. Returns: 0 with the executor in `*ret_executor`; -ENOMEM, -EINVAL (no `submit` or no `shutdown`, NULL).
 */
ASYNC_EXPORT int async_executor_new(const struct async_executor_ops *ops, void *data, async_executor **ret_executor);

/* Of a job that is NULL these functions give NULL, or do nothing. */

/* The job that was submitted after this one, NULL at the end. To be asked for before the job is given back; an
 * executor may use async_job_set_next for queues of its own. Thread: whoever has the job. */
ASYNC_EXPORT async_job *async_job_next(const async_job *job);
ASYNC_EXPORT void async_job_set_next(async_job *job, async_job *next);

/* Calls the job's function here, and gives the job back with its result. Thread: any. */
ASYNC_EXPORT void async_job_run(async_job *job);

/* Gives a job back whose work was done in another way: what it is, the executor knows from the function and the
 * argument. Its future is done with `result`. Thread: any. */
ASYNC_EXPORT void async_job_complete(async_job *job, intptr_t result);
/* The function that a job is to call, and its argument. Thread: whoever has the job. */
ASYNC_EXPORT async_fn *async_job_fn(const async_job *job);
ASYNC_EXPORT void *async_job_arg(const async_job *job);

/* Gives a job back that did not run and never will: its argument is disposed of, its future fails with `error`, a
 * negative errno (-ECANCELED: is cancelled). Thread: any. */
ASYNC_EXPORT void async_job_skip(async_job *job, int error);

ASYNC_END_DECLS

#endif
