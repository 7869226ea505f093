/* SPDX-License-Identifier: MIT */
/*
 * Executors run what would block the loop: system calls that wait, and computation.
 *
 * A job is a function that a worker thread calls; its future is the loop's. The default executor is made at
 * its first use and has at most min(32, processors + 4) threads, each started only when none is idle.
 *
 *     intptr_t size = async_to_thread(parse_file, path);
 */
#ifndef ASYNC_EXECUTOR_H
#define ASYNC_EXECUTOR_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/* Zero means the default in every field. */
struct async_thread_pool_options {
	size_t size;        /* sizeof(struct async_thread_pool_options) */
	size_t max_workers; /* default min(32, processors + 4); at most ASYNC_WORKERS_MAX */
	const char *name;   /* copied, cut to 11 bytes; threads are called "name-N"; default "async" */
};

#define ASYNC_THREAD_POOL_OPTIONS_INIT {.size = sizeof(struct async_thread_pool_options)}

/*
 * A pool of threads; none is started yet. Any loop's tasks may use it.
 * Owns: the caller shuts it down, then frees it. Thread: any.
 * Returns: 0 with the pool in `*ret_executor`; -ENOMEM, -EINVAL (too many workers).
 */
ASYNC_EXPORT int async_thread_pool_new(const struct async_thread_pool_options *options, async_executor **ret_executor);

struct async_job_options {
	size_t size;            /* sizeof(struct async_job_options) */
	async_destroy *destroy; /* gets the argument if the function never runs; in the loop's thread */
	async_drop *drop;       /* gets a result >= 0 that nobody took; in the loop's thread */
	bool slow;              /* takes long: such jobs never occupy all threads of a pool */
};

#define ASYNC_JOB_OPTIONS_INIT {.size = sizeof(struct async_job_options)}

/*
 * Has a worker call `fn(arg)`; NULL is the default executor.
 * Owns: the caller gets one reference; `arg` must live until the function has returned, which may be long after
 * the future was cancelled.
 * Cancelling the future: a queued job never runs; a running one cannot be withdrawn, so its future is cancelled
 * now and its result dropped when it comes.
 * Returns: never NULL. A failed future carries -ENOMEM, -EAGAIN (no thread could be started), -EINVAL,
 * -ESHUTDOWN (executor or loop), -EPERM (no loop runs here).
 */
ASYNC_EXPORT async_future *async_run_in_executor(async_executor *executor, async_fn *fn, void *arg);
/* The same with options (NULL: none). `destroy` is called before a failed submission returns, too. */
ASYNC_EXPORT async_future *async_run_in_executor_with(async_executor *executor, async_fn *fn, void *arg,
						      const struct async_job_options *options);

/*
 * Has a worker of the default executor call `fn(arg)` and waits for its result. Returns only when the function
 * has ended or will never run, so that `arg` may live on the caller's stack.
 * Suspends: always. Cancel: a queued job is withdrawn; a running one is waited for, async_job_cancelled tells
 * it, and its result is dropped as -ECANCELED is returned.
 * Returns: the result; -ECANCELED, -ENOMEM, -EAGAIN, -EINVAL, -ESHUTDOWN, -EPERM (outside a task).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_to_thread(async_fn *fn, void *arg);

/* True if the future of the job that calls this was cancelled; false outside a job. A long job asks now and
 * then. Thread: workers. */
ASYNC_EXPORT bool async_job_cancelled(void);

/*
 * Takes no more jobs. `cancel_futures`: those still queued are cancelled. `wait`: blocks this thread until the
 * running ones have ended and the threads are gone. May be called again, to wait.
 * Thread: any but the pool's own. Returns: 0; -EINVAL (NULL), -EDEADLK (`wait` in one of its own workers).
 */
ASYNC_EXPORT int async_executor_shutdown(async_executor *executor, bool wait, bool cancel_futures);

/* Frees an executor, shutting it down with both `wait` and `cancel_futures` if that was not done; NULL is
 * nothing to do. Thread: any but the pool's own. */
ASYNC_EXPORT void async_executor_free(async_executor *executor);

/* The number of threads that run. Thread: any. Returns: the count; -EINVAL. */
ASYNC_EXPORT intptr_t async_executor_threads(const async_executor *executor);

ASYNC_END_DECLS

#endif
