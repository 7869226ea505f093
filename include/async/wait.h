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
 * Suspends: unless the condition holds already. Cancel: at once, the futures are left alone.
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
 * cancels all that are not done, and it is done when they are.
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

ASYNC_END_DECLS

#endif
