/* SPDX-License-Identifier: MIT */
/*
 * Semaphores: as many tasks at a time as there are permits.
 *
 *     static struct async_semaphore slots = ASYNC_SEMAPHORE_INIT(10);
 *     int error = async_semaphore_acquire(&slots);
 *     if (error < 0)
 *             return error;
 *     ...
 *     async_semaphore_release(&slots);
 *
 * Tasks get permits in the order in which they asked; nobody overtakes one that was woken and has not run yet. Any
 * task may release, as often as it likes; a bounded semaphore refuses to have more permits than at the beginning.
 * There is nothing to destroy. A semaphore must not move while it is used.
 */
#ifndef ASYNC_SEMAPHORE_H
#define ASYNC_SEMAPHORE_H

#include <async/base.h>
#include <async/waiters.h>

/* The fields are the library's. */
struct async_semaphore {
	size_t value;
	size_t bound;
	struct async_waiters waiters;
	struct async_waiters woken; /* have a permit, and did not run yet */
};

#define ASYNC_SEMAPHORE_INIT(permits) {(permits), SIZE_MAX, ASYNC_INIT_ZERO, ASYNC_INIT_ZERO}
#define ASYNC_BOUNDED_SEMAPHORE_INIT(permits) {(permits), (permits), ASYNC_INIT_ZERO, ASYNC_INIT_ZERO}

ASYNC_BEGIN_DECLS

/*
 * Waits until there is a permit and this task's turn has come, and takes it.
 * Suspends: unless there is one and nobody waits. Cancel: at once; a permit that was being handed over is given back.
 * Returns: 0; -ECANCELED, -EPERM (outside a task, or tasks of another loop wait here), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_semaphore_acquire(struct async_semaphore *semaphore);

/* Gives a permit: to the task that waits longest, if any. Returns: 0; -EOVERFLOW (it would exceed the bound),
 * -EPERM (they wait on another thread's loop), -EINVAL (NULL). */
ASYNC_EXPORT int async_semaphore_release(struct async_semaphore *semaphore);

/* True if async_semaphore_acquire would suspend. */
ASYNC_EXPORT bool async_semaphore_locked(const struct async_semaphore *semaphore);
/* Permits that nobody has; 0 for NULL. */
ASYNC_EXPORT size_t async_semaphore_value(const struct async_semaphore *semaphore);

ASYNC_END_DECLS

#endif
