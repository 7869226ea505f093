/* SPDX-License-Identifier: MIT */
/*
 * From one thread into the loop of another: running a task there, and waiting here for what it comes to.
 *
 *     async_concurrent *answer;
 *     int error = async_run_coroutine_threadsafe(loop, look_up, &question, NULL, &answer);
 *     if (error)
 *             return error;
 *     intptr_t result = async_concurrent_result(answer, 2 * ASYNC_S);
 *     if (result == -ETIMEDOUT)
 *             async_concurrent_cancel(answer, "too late");
 *     async_concurrent_release(answer);
 *
 * Futures belong to the thread of their loop; what is made here may be used by any. Waiting blocks the thread, so
 * that it is nothing for a task to do.
 */
#ifndef ASYNC_CONCURRENT_H
#define ASYNC_CONCURRENT_H

#include <async/base.h>
#include <async/task.h>

/* What a task of another thread's loop will come to. Counted; every call may come from any thread. */
typedef struct async_concurrent async_concurrent;

ASYNC_BEGIN_DECLS

/*
 * Has `loop` create a task and wakes it. The task sees the task-local values of the calling thread.
 * Owns: the caller gets one reference in `*ret_concurrent`; NULL there if it does not want to know. `options` (may
 * be NULL) are copied; `destroy` is called, in either thread, if the body never runs, also if this call fails; `drop`
 * gets a value that nobody asked for, in the thread that drops the last reference.
 * Thread: any. Returns: 0; -ENOMEM, -ESHUTDOWN (the loop is closed), -EPERM (a loop of the parent process after
 * fork), -EINVAL (NULL, options that are no version of the structure).
 */
ASYNC_EXPORT int async_run_coroutine_threadsafe(async_loop *loop, async_fn *fn, void *arg,
						const struct async_task_options *options,
						async_concurrent **ret_concurrent);

/*
 * Blocks this thread until the result is there, `timeout` nanoseconds of real time at most (ASYNC_FOREVER: no
 * limit; zero or less: not at all). Expiry cancels nothing.
 * Returns: the result of the task; -ECANCELED, -ETIMEDOUT, -ENOMEM (the task could not be created), -ESHUTDOWN (the
 * loop closed before the task had ended), -EDEADLK (this is the thread that runs the loop), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_concurrent_result(async_concurrent *concurrent, async_time timeout);

/* True if the result is there, be it an error. */
ASYNC_EXPORT bool async_concurrent_done(const async_concurrent *concurrent);
/* True if it is there, and says cancelled. */
ASYNC_EXPORT bool async_concurrent_cancelled(const async_concurrent *concurrent);

/*
 * Cancels: whoever waits gets -ECANCELED now, and the loop cancels the task when it hears of it. What the task
 * still comes to is dropped. `reason` (may be NULL) must outlive the task.
 * Returns: 1 (cancelled), 0 (done already); -ENOMEM (nothing changed), -EINVAL (NULL).
 */
ASYNC_EXPORT int async_concurrent_cancel(async_concurrent *concurrent, const char *reason);

/* Adds a reference and returns `concurrent`. */
ASYNC_EXPORT async_concurrent *async_concurrent_ref(async_concurrent *concurrent);
/* Drops a reference; NULL is nothing to do. The task runs on; if nobody can ask any more, a failure of it goes to
 * the loop's error handler. */
ASYNC_EXPORT void async_concurrent_release(async_concurrent *concurrent);

ASYNC_END_DECLS

#endif
