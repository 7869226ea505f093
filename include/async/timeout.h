/* SPDX-License-Identifier: MIT */
/*
 * Timeout scopes: a limit on everything a task does between begin and end.
 *
 * When the deadline passes, the task is cancelled; the end turns that -ECANCELED into -ETIMEDOUT, but only its
 * own one: if somebody else cancelled the task too, that stands. Scopes nest, the innermost ends first.
 *
 *     struct async_timeout scope = ASYNC_TIMEOUT_INIT;
 *     intptr_t result = async_timeout_begin(&scope, 5 * ASYNC_S);
 *     if (result == 0)
 *             result = async_timeout_end(&scope, talk_to_server());
 */
#ifndef ASYNC_TIMEOUT_H
#define ASYNC_TIMEOUT_H

#include <async/base.h>

/* A scope lives on the caller's stack. The fields are the library's. */
struct async_timeout {
	async_task *task;
	async_handle *timer;
	async_time when;
	int cancelling;
	int request;
	int state;
};

#define ASYNC_TIMEOUT_INIT ASYNC_INIT_ZERO

ASYNC_BEGIN_DECLS

/* Begins a scope that ends `delay` nanoseconds from now; ASYNC_FOREVER sets no deadline yet.
 * Returns: 0; -ENOMEM, -EBUSY (it has begun already), -ESHUTDOWN (it has ended: ASYNC_TIMEOUT_INIT makes a new one),
 * -EINVAL, -EPERM (outside a task). */
ASYNC_EXPORT int async_timeout_begin(struct async_timeout *scope, async_time delay);
/* The same with a point in time of the loop's clock. */
ASYNC_EXPORT int async_timeout_begin_at(struct async_timeout *scope, async_time when);
/* Moves the deadline. Returns: 0; -ENOMEM, -ESHUTDOWN (expired or ended), -EINVAL (not begun), -EPERM. */
ASYNC_EXPORT int async_timeout_reschedule(struct async_timeout *scope, async_time when);
/* The deadline; ASYNC_FOREVER if there is none. */
ASYNC_EXPORT async_time async_timeout_when(const struct async_timeout *scope);
/* True once the deadline has passed and the task was cancelled for it. */
ASYNC_EXPORT bool async_timeout_expired(const struct async_timeout *scope);
/*
 * Ends the scope. `result` is what the work inside it returned.
 * Returns: `result`; -ETIMEDOUT in place of -ECANCELED if it was this scope that cancelled; -EINVAL (not
 * begun), -EPERM (another task).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_timeout_end(struct async_timeout *scope, intptr_t result);

ASYNC_END_DECLS

#endif
