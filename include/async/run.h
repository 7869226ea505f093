/* SPDX-License-Identifier: MIT */
/*
 * Running a program: a loop, a main task, SIGINT, an orderly end.
 *
 *     int main(void) { return async_run(main_task, NULL) < 0; }
 */
#ifndef ASYNC_RUN_H
#define ASYNC_RUN_H

#include <async/base.h>
#include <async/options.h>

ASYNC_BEGIN_DECLS

/*
 * Runs `fn(arg)` as the main task of a new loop. When it ends, cancels the tasks that are left and waits for
 * them, reports their failures, joins the default executor and closes the loop.
 * SIGINT: where its action was the default, the first cancels the main task, a second ends the process.
 * SIGPIPE is ignored during the run where its action was the default.
 * Returns: the result of `fn`; -EINTR (SIGINT cancelled it), -EBUSY (a loop already runs in this thread), -ENOMEM,
 * -EDEADLK (nothing could ever wake a task).
 */
ASYNC_EXPORT intptr_t async_run(async_fn *fn, void *arg);
/* The same on a loop with `options`. Returns: as above; -EINVAL, -ENOSYS as async_loop_new. */
ASYNC_EXPORT intptr_t async_run_with(async_fn *fn, void *arg, const struct async_options *options);

ASYNC_END_DECLS

#endif
