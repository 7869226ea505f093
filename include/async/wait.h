/* SPDX-License-Identifier: MIT */
/*
 * Waiting for several futures at once, or for one with a limit.
 *
 *     async_future *fs[] = {async_create_task(check, &a), async_create_task(check, &b)};
 *     intptr_t results[2];
 *     intptr_t r = async_await(async_gather(fs, 2, 0, results));
 */
#ifndef ASYNC_WAIT_H
#define ASYNC_WAIT_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

enum async_wait_when {
	ASYNC_WAIT_FIRST_COMPLETED, /* one is done */
	ASYNC_WAIT_FIRST_EXCEPTION, /* one has failed (cancelled is no failure), or all are done */
	ASYNC_WAIT_ALL_COMPLETED,
};

/*
 * Waits until the condition holds or `timeout` nanoseconds have passed (ASYNC_FOREVER: no limit); ask
 * async_done which ones are. Never cancels a future.
 * Owns: borrows them all.
 * Suspends: always. Cancel: at once, the futures are left alone.
 * Returns: how many are done; -ECANCELED, -ENOMEM, -EINVAL (no future, a NULL among them, an unknown
 * condition), -EPERM (outside a task, a future of another loop).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_wait(async_future *const *futures, size_t count,
						  enum async_wait_when when, async_time timeout);

enum async_gather_flags {
	ASYNC_GATHER_COLLECT = 1, /* errors are results like others: the gathering itself does not fail */
};

/*
 * A future for the results of several, which are stored in `results` (may be NULL) in the order of `futures`.
 * Without ASYNC_GATHER_COLLECT it fails with the first error at once, while the others run on. Cancelling it
 * cancels all that are not done, and it is done when they are: with the first error, else with -ECANCELED. With
 * ASYNC_GATHER_COLLECT nothing is stored then, and failures are reported as those that nobody looked at.
 * Owns: takes one reference of each future, on every return; the caller gets one of the result. `results`
 * must live until the result is done; a value stored there is the caller's, a value not stored is dropped.
 * Returns: never NULL. Its value is the number of futures that have one. It fails with the first error,
 * -ECANCELED, -ENOMEM, -EINVAL (a NULL among them), -EPERM (different loops).
 */
ASYNC_EXPORT async_future *async_gather(async_future *const *futures, size_t count, unsigned flags,
					intptr_t *results);

/*
 * Waits for a future, `timeout` nanoseconds at most. When they are over it is cancelled and its end awaited:
 * the call can take longer than the timeout, and gives the result if the future has one all the same.
 * Zero or less: a task that has not begun never will.
 * Owns: takes a reference, on every return.
 * Suspends: unless it is done. Cancel: forwarded to the future, as async_await does.
 * Returns: its result; -ETIMEDOUT, and everything that async_await returns.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_wait_for(async_future *future, async_time timeout);

/*
 * A future that stands for another one and can be cancelled in its place: awaiting it gives the result of `inner`, but
 * cancelling it, or the task that awaits it, leaves `inner` alone. If `inner` is cancelled itself, so is the shield.
 * Of one that is done already it is the future itself.
 *
 *     intptr_t result = async_await(async_shield(async_ref(commit)));
 *
 * Owns: takes a reference of `inner`, on every return; the caller gets one of the result. A task that nobody else
 * has a reference of runs on after its shield was cancelled: its value is dropped then, a failure reported.
 * Returns: never NULL. It fails as `inner` does, or with -ECANCELED, -ENOMEM, -EINVAL (NULL), -EPERM.
 */
ASYNC_EXPORT async_future *async_shield(async_future *inner);

/* Gives several futures one by one, each when it is done. */
typedef struct async_completions async_completions;

/*
 * Begins to go through futures in the order in which they are done; those that are done already come first, in the
 * order of `futures`. One that stands there several times comes once. After `timeout` nanoseconds (ASYNC_FOREVER: no
 * limit) those that were not done are given up.
 *
 *     async_completions *all;
 *     async_future *next;
 *     int error = async_as_completed(futures, n, ASYNC_FOREVER, &all);
 *     if (error)
 *             return error;
 *     while ((error = async_next_completed(all, &next)) > 0)
 *             handle(async_await(next));
 *     async_completions_free(all);
 *
 * Owns: takes one reference of each future, on every return; each goes to the caller of async_next_completed. The
 * caller frees what is stored in `*ret_completions`.
 * Returns: 0; -ENOMEM, -ESHUTDOWN (the loop is closed), -EINVAL (a NULL among them), -EPERM (different loops, or
 * another thread's).
 */
ASYNC_EXPORT int async_as_completed(async_future *const *futures, size_t count, async_time timeout,
				    async_completions **ret_completions);

/*
 * Waits for the next future that is done. Several tasks may wait at a time, and get one each.
 * Owns: the caller gets a reference of the future in `*ret_future`; async_await takes it.
 * Suspends: unless one is done. Cancel: at once; the future stays for the next call.
 * Returns: 1; 0 (all were given out); -ETIMEDOUT, once for each that was not done in time; -ECANCELED, -EINVAL,
 * -EPERM (outside a task, or another loop's).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_next_completed(async_completions *completions, async_future **ret_future);

/* Ends the round, finished or not, when no task waits in it; NULL is nothing to do. Drops the references that were not
 * given out and cancels nothing. Not after the loop was freed. */
ASYNC_EXPORT void async_completions_free(async_completions *completions);

ASYNC_END_DECLS

#endif
