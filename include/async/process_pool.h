/* SPDX-License-Identifier: MIT */
/*
 * Process pools: an executor whose workers are processes, for what must not share memory or may crash.
 *
 * Bytes go in and bytes come out. The function is one of this program: it is at the same address in a worker,
 * which was forked from this process as it was when the pool was made. What changed here since is not seen there,
 * and no descriptor but 0 (the null device), 1 and 2 is open. A worker that dies breaks the pool, so nobody
 * waits for ever. Make pools early: before the program has threads, and while little memory is in use.
 *
 *     static intptr_t count_words(const void *text, size_t size, async_reply *reply)
 *     {
 *             struct counts counts = counts_of(text, size);
 *             return async_reply_write(reply, &counts, sizeof(counts));
 *     }
 *
 *     intptr_t r = async_await(async_run_in_process(pool, count_words, text, size));
 *     if (r >= 0) {
 *             async_process_result *result = (async_process_result *)r;
 *             use(async_process_result_data(result), async_process_result_size(result));
 *             async_process_result_free(result);
 *     }
 */
#ifndef ASYNC_PROCESS_POOL_H
#define ASYNC_PROCESS_POOL_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/* Limits of max_workers, and of the bytes of an argument or a result. */
#define ASYNC_PROCESSES_MAX 512
#define ASYNC_PROCESS_BYTES_MAX ((size_t)1 << 30)

/* Zero means the default in every field. */
struct async_process_pool_options {
	size_t size;                /* sizeof(struct async_process_pool_options) */
	size_t max_workers;         /* default the number of processors; at most ASYNC_PROCESSES_MAX */
	size_t max_tasks_per_child; /* then a worker ends, and another takes its place; default no limit */
	const char *name;           /* copied, cut to 11 bytes; processes are called "name-N"; default "async" */
	/* Called with its argument by each worker before its first job. If it returns an error, the worker ends,
	 * which breaks the pool. */
	async_fn *initializer;
	void *initializer_arg;
	/* The caller vouches that this is safe in a process that has threads: none of them holds a lock that a job
	 * needs. Else the pool is refused there. */
	bool allow_threads;
};

#define ASYNC_PROCESS_POOL_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_process_pool_options)

/*
 * A pool of processes. One child is forked, the fork server, which has one thread and makes every worker when it is
 * needed; buffered standard output is written before. Any loop's tasks may use the pool, in this process. Neither
 * the fork server nor a worker survives this process, however it ends. SIGINT is ignored in them: what Ctrl-C does
 * is decided here.
 *
 * It is an executor like others, for async_run_in_executor and async_executor_map too. There the argument is
 * copied as a word: what it points to must have been there when the pool was made, or be shared memory; and a
 * result must be no pointer.
 * Cancelling a future: as with threads, and async_job_cancelled tells a job that runs.
 * Owns: the caller frees it with async_executor_free; a task that lets others go on meanwhile calls
 * async_executor_close before.
 * Thread: any. Returns: 0 with the pool in `*ret_executor`; -EBUSY (this process has threads, those of the default
 * executor included), -ENOMEM, -EAGAIN (no process), -EMFILE, -ENFILE, -EINVAL.
 */
ASYNC_EXPORT int async_process_pool_new(const struct async_process_pool_options *options,
					async_executor **ret_executor);

/* Where a job in another process puts its result bytes. */
typedef struct async_reply async_reply;
/* What a job of a process pool does. A negative result fails the future, other results go with the bytes. The
 * argument is aligned as by malloc(3). */
typedef intptr_t async_process_fn(const void *arg, size_t arg_size, async_reply *reply);

/* Appends to the result bytes. Thread: the job's. Returns: 0; -ENOMEM, -EMSGSIZE (they would be more than
 * ASYNC_PROCESS_BYTES_MAX: nothing was appended), -EINVAL. */
ASYNC_EXPORT int async_reply_write(async_reply *reply, const void *bytes, size_t size);

/* The value of such a future, as a pointer: the result in one piece, the bytes within. */
typedef struct async_process_result async_process_result;

/*
 * Has a worker call `fn` with a copy of `arg_size` bytes at `arg` (NULL if 0).
 * Owns: the caller gets one reference; `arg` is copied before this returns. The future's value is a struct
 * async_process_result; whoever takes it frees it, and one that nobody takes is freed.
 * Returns: never NULL. A failed future carries what `fn` returned, -EPIPE (the worker died, or the pool was broken
 * before), -EMSGSIZE (too many bytes), -EINVAL (NULL, no process pool), -EAGAIN (no process), and the other errors of
 * async_run_in_executor.
 */
ASYNC_EXPORT async_future *async_run_in_process(async_executor *pool, async_process_fn *fn, const void *arg,
						size_t arg_size);

/* What the function returned. */
ASYNC_EXPORT intptr_t async_process_result_value(const async_process_result *result);
/* The bytes, aligned as by malloc(3), and how many. They live as long as the result. */
ASYNC_EXPORT const void *async_process_result_data(const async_process_result *result);
ASYNC_EXPORT size_t async_process_result_size(const async_process_result *result);
/* Frees a result; NULL is nothing to do. */
ASYNC_EXPORT void async_process_result_free(async_process_result *result);

ASYNC_END_DECLS

#endif
