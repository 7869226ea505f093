/* SPDX-License-Identifier: MIT */
/*
 * Conditions: waiting, with a lock given up meanwhile, until somebody says that something has changed.
 *
 *     static struct async_condition changed = ASYNC_CONDITION_INIT;
 *
 *     int error = async_condition_acquire(&changed);
 *     while (error == 0 && !ready)
 *             error = async_condition_wait(&changed);
 *     ...
 *     async_condition_release(&changed);      // after a wait that was cancelled, too
 *
 * A condition has a lock of its own, or shares one (ASYNC_CONDITION_INIT_WITH). Wake-ups can be spurious: always
 * look at what was waited for. There is nothing to destroy. A condition must not move while it is used.
 */
#ifndef ASYNC_CONDITION_H
#define ASYNC_CONDITION_H

#include <async/base.h>
#include <async/lock.h>
#include <async/waiters.h>

/* The fields are the library's. */
struct async_condition {
	struct async_lock *lock; /* NULL: its own */
	struct async_lock own;
	struct async_waiters waiters;
};

#define ASYNC_CONDITION_INIT ASYNC_INIT_ZERO
/* A condition on `lock`, which several can share. */
#define ASYNC_CONDITION_INIT_WITH(lock) {(lock), ASYNC_LOCK_INIT, ASYNC_INIT_ZERO}

ASYNC_BEGIN_DECLS

/* async_lock_acquire, async_lock_release and async_lock_locked of the condition's lock. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_condition_acquire(struct async_condition *condition);
ASYNC_EXPORT int async_condition_release(struct async_condition *condition);
ASYNC_EXPORT bool async_condition_locked(const struct async_condition *condition);

/*
 * Releases the lock, waits for a notification, and acquires the lock again.
 * Suspends: always. Cancel: the call returns when it holds the lock again, as it does on every return but -EPERM and
 * -EINVAL; a notification that this task cannot use any more goes to the next one.
 * Returns: 0; -ECANCELED, -EPERM (outside a task, the lock is not held, or the condition is in use on another loop),
 * -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_condition_wait(struct async_condition *condition);

/*
 * Waits until `predicate(arg)`, called with the lock held, gives something other than 0.
 * Suspends: unless it does at once. Cancel: as async_condition_wait.
 * Returns: what the predicate gave, and everything that async_condition_wait returns.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_condition_wait_for(struct async_condition *condition, async_fn *predicate,
								 void *arg);

/* Notifies the `count` tasks that wait longest, or all if there are fewer. They run when they get the lock, which
 * this does not release. Returns: 0; -EPERM (the lock is not held, or they wait on another loop), -EINVAL (NULL). */
ASYNC_EXPORT int async_condition_notify(struct async_condition *condition, size_t count);
/* Notifies all. Returns: as above. */
ASYNC_EXPORT int async_condition_notify_all(struct async_condition *condition);

ASYNC_END_DECLS

#endif
