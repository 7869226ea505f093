/* SPDX-License-Identifier: MIT */
/*
 * Executors run what would block the loop: system calls that wait, and computation.
 *
 * A job is a function that a worker thread calls; its future is the loop's. The default executor is made at
 * its first use and has at most min(32, processors + 4) threads, each started only when none is idle. Name look-ups
 * and file calls have threads of their own, 8 each: what hangs in one of the three holds up only its like.
 * <async/process_pool.h> has workers that are processes; with <async/executor_ops.h> one writes another kind.
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
	/* Called with its argument by each thread before its first job. If it returns an error, the pool is broken:
	 * what is queued and what is submitted later fails with -EPIPE, what runs is finished. */
	async_fn *initializer;
	void *initializer_arg;
};

#define ASYNC_THREAD_POOL_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_thread_pool_options)

/*
 * A pool of threads; none is started yet. Any loop's tasks may use it.
 * Owns: the caller shuts it down, then frees it; `initializer_arg` must live until then. Thread: any.
 * Returns: 0 with the pool in `*ret_executor`; -ENOMEM, -EINVAL (too many workers).
 */
ASYNC_EXPORT int async_thread_pool_new(const struct async_thread_pool_options *options, async_executor **ret_executor);

struct async_job_options {
	size_t size;            /* sizeof(struct async_job_options) */
	async_destroy *destroy; /* gets the argument if the function never runs; in the loop's thread */
	async_drop *drop;       /* gets a result >= 0 that nobody took; in the loop's thread */
	bool slow;              /* takes long: such jobs never occupy more than half of the threads of a pool */
};

#define ASYNC_JOB_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_job_options)

/*
 * Has a worker call `fn(arg)`; NULL is the default executor.
 * Owns: the caller gets one reference; `arg` must live until the function has returned, which may be long after
 * the future was cancelled.
 * Cancelling the future: a queued job never runs; a running one cannot be withdrawn, so its future is cancelled
 * now and its result dropped when it comes.
 * Returns: never NULL. A failed future carries -ENOMEM, -EAGAIN (no worker could be started), -EINVAL,
 * -ESHUTDOWN (executor or loop), -EPIPE (the pool is broken), -EPERM (no loop runs here).
 */
ASYNC_EXPORT async_future *async_run_in_executor(async_executor *executor, async_fn *fn, void *arg);
/* The same with options (NULL: none). `destroy` is called before a failed submission returns, too. */
ASYNC_EXPORT async_future *async_run_in_executor_with(async_executor *executor, async_fn *fn, void *arg,
						      const struct async_job_options *options);

/*
 * Has a worker of the default executor call `fn(arg)` and waits for its result. Returns only when the function
 * has ended or will never run, so that `arg` may live on the caller's stack. It sees the task-local values of the
 * caller; those that it sets are its own.
 * Suspends: always. Cancel: a queued job is withdrawn; a running one is waited for, async_job_cancelled tells
 * it, and its result is dropped as -ECANCELED is returned.
 * Returns: the result; -ECANCELED, -ENOMEM, -EAGAIN, -EINVAL, -ESHUTDOWN, -EPERM (outside a task).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_to_thread(async_fn *fn, void *arg);

/* True if the future of the job that calls this was cancelled; false outside a job. A long job asks now and
 * then. Thread: workers, of a process pool too. */
ASYNC_EXPORT bool async_job_cancelled(void);

/*
 * Has `executor` (NULL: the default one) call `fn(args[i])` for each of the `count` arguments, at most `in_flight`
 * of them submitted at a time (0: all at once), and stores what they return in `results` (may be NULL), in the
 * order of the arguments. When one fails, those that are still queued never begin.
 * Owns: the caller gets one reference. The future is done only when no job runs any more, so `args`, `results` and
 * what the jobs use may live on the stack of whoever awaits it.
 * Cancelling the future: those that are still queued never begin, async_job_cancelled tells those that run.
 * Returns: never NULL. The value is `count`. The future fails with the error that came first, -ECANCELED, or the
 * errors of async_run_in_executor; `results` tells each job's, with -ECANCELED where it never ran.
 */
ASYNC_EXPORT async_future *async_executor_map(async_executor *executor, async_fn *fn, void *const *args, size_t count,
					      size_t in_flight, intptr_t *results);

/*
 * Takes no more jobs. `cancel_futures`: those still queued are cancelled. `wait`: blocks this thread until the
 * running ones have ended and the workers are gone. May be called again, to wait.
 * Thread: any but the pool's own. Returns: 0; -EINVAL (NULL), -EDEADLK (`wait` in one of its own
 * threads), -EPERM (an executor of the parent process, after fork or in a worker).
 */
ASYNC_EXPORT int async_executor_shutdown(async_executor *executor, bool wait, bool cancel_futures);

/*
 * The same with `wait`, while other tasks go on: a thread that is started for it does the waiting.
 * Suspends: always. Cancel: the shutdown goes on and is waited for; then -ECANCELED is returned.
 * Returns: 0; -ECANCELED, -EINVAL, -EPERM (outside a task); -ENOMEM and -EAGAIN (no thread could be started): the
 * executor was shut down, but not waited for.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_executor_close(async_executor *executor, bool cancel_futures);

/* Frees an executor, shutting it down with both `wait` and `cancel_futures` if that was not done; NULL is
 * nothing to do. Thread: any but the pool's own. */
ASYNC_EXPORT void async_executor_free(async_executor *executor);

/* The number of workers, threads or processes, that there are now. Thread: any. Returns: the count; -EINVAL. */
ASYNC_EXPORT intptr_t async_executor_threads(const async_executor *executor);

ASYNC_END_DECLS

#endif
