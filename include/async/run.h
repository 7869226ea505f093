/* SPDX-License-Identifier: MIT */
/*
 * Running a program: a loop, a main task, SIGINT, an orderly end.
 *
 *     int main(void) { return async_run(main_task, NULL) < 0; }
 *
 * A runner does the same in steps, for a program that comes back to one loop several times:
 *
 *     struct async_runner runner = ASYNC_RUNNER_INIT;
 *     int error = async_runner_open(&runner, NULL);
 *     if (error)
 *             return error;
 *     while (more())
 *             result = async_runner_run(&runner, handle_one, &request);
 *     async_runner_close(&runner);
 *
 * SIGINT, where its action was the default: during a run the first cancels the main task, a second ends the
 * process. SIGPIPE is ignored during a run where its action was the default.
 */
#ifndef ASYNC_RUN_H
#define ASYNC_RUN_H

#include <async/base.h>
#include <async/options.h>

ASYNC_BEGIN_DECLS

/*
 * Runs `fn(arg)` as the main task of a new loop. When it ends, cancels the tasks that are left, once, and waits for
 * them, reports their failures, waits for jobs and file calls that still run and closes the loop. All of that takes at
 * most `shutdown_timeout`. What has not ended then, a job, a look-up, a file call or a task, is told to the error
 * handler by name and left behind; what it may touch is never freed: its own memory, its thread and the loop's.
 * Returns, whatever is left behind: the result of `fn`; -EINTR (SIGINT cancelled it), -EBUSY (a loop already runs in
 * this thread), -ENOMEM, -EDEADLK (nothing could ever wake a task).
 */
ASYNC_EXPORT intptr_t async_run(async_fn *fn, void *arg);
/* The same on a loop with `options`. Returns: as above; -EINVAL, -ENOSYS as async_loop_new. */
ASYNC_EXPORT intptr_t async_run_with(async_fn *fn, void *arg, const struct async_options *options);

/* A runner lives where it is opened and does not move. The fields are the library's. */
struct async_runner {
	async_loop *loop;
	async_task *main_task;
	async_handle *interrupt;
	void *locals;
	int state;
};

#define ASYNC_RUNNER_INIT ASYNC_INIT_ZERO

/*
 * Makes the loop of a runner; `options` NULL for the defaults.
 * Owns: the caller closes it. Returns: 0; -ENOMEM, -EINVAL, -ENOSYS as async_loop_new, -EBUSY (open already).
 */
ASYNC_EXPORT int async_runner_open(struct async_runner *runner, const struct async_options *options);

/*
 * Runs `fn(arg)` as the main task until it ends. Tasks that are left stay pending and go on in the next run.
 * Task-local values that the main task sets are seen by the next run's.
 * Returns: as async_run; -EINTR also if async_loop_stop ended the run: the main task stays pending; -EINVAL (NULL,
 * or not open), -ESHUTDOWN (closed), -EPERM (another thread runs the loop).
 */
ASYNC_EXPORT intptr_t async_runner_run(struct async_runner *runner, async_fn *fn, void *arg);

/* The loop of a runner, to create tasks on between runs, or to set an error handler. Borrowed; NULL if not open. */
ASYNC_EXPORT async_loop *async_runner_get_loop(const struct async_runner *runner);

/*
 * Ends a runner: cancels the tasks that are left, waits for them, reports their failures, waits for what still runs in
 * threads, closes and frees the loop; within the same limit as async_run. Closing one that is not open is nothing to
 * do.
 * Returns: 0; -EBUSY (a loop runs in this thread), -EPERM (another thread runs the loop), -EINVAL (NULL).
 */
ASYNC_EXPORT int async_runner_close(struct async_runner *runner);

ASYNC_END_DECLS

#endif
