/* SPDX-License-Identifier: MIT */
/*
 * Futures: a result that will be known later, for whoever waits.
 *
 * A future is pending, then done; done with a value (>= 0), an error (< 0), or cancelled (-ECANCELED). It is
 * counted: creating one gives the caller one reference. The await family takes a reference, on every return;
 * everything else borrows. Whoever is woken by a future runs in the next iteration of the loop, never inside
 * the call that completes it.
 *
 *     async_future *answer = async_future_new(NULL, NULL);
 *     async_loop_call_later(async_get_running_loop(), ASYNC_S, deliver, async_ref(answer), NULL);
 *     intptr_t value = async_await(answer);
 *
 * A call that creates never returns NULL: what failed is a future that is already done with the reason, so
 * that async_await(async_create_task(f, x)) needs no check in between. NULL given as a future reads -EINVAL.
 * A future belongs to the thread that runs its loop. In any other, calls fail with -EPERM, async_done is false,
 * async_ref gives a future that failed with -EPERM, and only dropping a reference works: the loop does it when it
 * hears of it. What threads wait on are the objects of <async/concurrent.h>.
 */
#ifndef ASYNC_FUTURE_H
#define ASYNC_FUTURE_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

typedef void async_done_callback(async_future *future, void *arg);

/*
 * A pending future of `loop`, NULL for the running one.
 * Owns: the caller gets one reference. `drop` (may be NULL) gets a value that nobody took.
 * Returns: never NULL. A failed future carries -ENOMEM, -ESHUTDOWN (the loop is closed), -EPERM (no loop runs
 * here, or it belongs to another thread).
 */
ASYNC_EXPORT async_future *async_future_new(async_loop *loop, async_drop *drop);

/* A future that is done with `error` from the start, as failed creations return it. It is immortal: it needs
 * no release, and tolerates any. Returns: never NULL; an `error` that is no negative errno reads -EINVAL. */
ASYNC_EXPORT async_future *async_future_failed(intptr_t error);

/*
 * Completes a future with a value.
 * Owns: the value passes to whoever takes it, or to `drop`.
 * Returns: 0; -EALREADY (done before: nothing changed, the value stays the caller's), -EINVAL (negative value,
 * NULL, or a task: only its body completes it), -EPERM.
 */
ASYNC_EXPORT int async_future_set_result(async_future *future, intptr_t value);

/* Completes a future with an error, a negative errno; -ECANCELED makes it cancelled. Returns: as above. */
ASYNC_EXPORT int async_future_set_error(async_future *future, intptr_t error);

/*
 * Waits until `future` is done and gives its result. One that is done already is answered without suspending.
 * Owns: takes a reference, on every return.
 * Suspends: until the future is done. Cancel: forwards the cancellation to `future` and returns when that is
 * done, as asyncio does; a value that arrived first stays in the future.
 * Returns: the result; -ECANCELED (this task or `future` was cancelled), -EDEADLK (`future` is this task, or waits for
 * it: through awaits, shields, gatherings, or the end of a group),
 * -EPERM (outside a task, or a future of another loop), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_await(async_future *future);

/* True if the future has its result, be it an error. */
ASYNC_EXPORT bool async_done(const async_future *future);
/* True if the future is done and cancelled. */
ASYNC_EXPORT bool async_cancelled(const async_future *future);

/* The result of a future that is done; the value counts as taken, an error as looked at.
 * Returns: the result; -EINPROGRESS (not done), -EINVAL (NULL). */
ASYNC_EXPORT intptr_t async_result(async_future *future);

/* The error of a future that is done; it counts as looked at.
 * Returns: 0 (it has a value), the error, -EINPROGRESS (not done), -EINVAL (NULL). */
ASYNC_EXPORT intptr_t async_error(async_future *future);

/*
 * Has `fn(future, arg)` called in the iteration after the one in which `future` is done, in the order of
 * adding; if it is done already, in the next.
 * Owns: the future is kept until then.
 * Returns: 0; -ENOMEM, -ESHUTDOWN (the loop is closed), -EINVAL, -EPERM.
 */
ASYNC_EXPORT int async_add_done_callback(async_future *future, async_done_callback *fn, void *arg);
/* The same with options (NULL: none). Either `fn` is called or `destroy`, once, in the loop's thread: inside
 * async_remove_done_callback, or when the loop closes, or before a call that fails returns. */
ASYNC_EXPORT int async_add_done_callback_with(async_future *future, async_done_callback *fn, void *arg,
					      const struct async_call_options *options);

/* Takes back every callback added with this `fn` and `arg` that has not been scheduled.
 * Returns: how many; -EINVAL, -EPERM. */
ASYNC_EXPORT int async_remove_done_callback(async_future *future, async_done_callback *fn, void *arg);

/*
 * Cancels: a pending future is done with -ECANCELED at once; a task gets -ECANCELED from what it waits for,
 * or from the next call that suspends; a task that never ran never will. A task may swallow it and go on.
 * `reason` (may be NULL) is kept by pointer and must outlive the future.
 * Returns: 1 (requested), 0 (done already, or the result is on its way and cannot be prevented); -EINVAL, -EPERM.
 */
ASYNC_EXPORT int async_cancel(async_future *future, const char *reason);

/* The reason of the last cancellation that was requested, or NULL. Borrowed. */
ASYNC_EXPORT const char *async_cancel_reason(const async_future *future);

/* Adds a reference and returns `future`. */
ASYNC_EXPORT async_future *async_ref(async_future *future);

/* Drops a reference; NULL is nothing to do. A pending task is detached by it: it runs on, and a failure of it
 * goes to the loop's error handler. Thread: any. */
ASYNC_EXPORT void async_release(async_future *future);

/* The loop that a future belongs to; NULL for one that failed to be created. Borrowed. */
ASYNC_EXPORT async_loop *async_future_loop(const async_future *future);

ASYNC_END_DECLS

#endif
