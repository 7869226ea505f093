/* SPDX-License-Identifier: MIT */
/*
 * Locks: one task at a time between two calls that suspend.
 *
 * Tasks get a lock in the order in which they asked for it; nobody overtakes a task that was woken and has not
 * run yet. Between tasks of one loop a lock is needed only where its holder suspends. Any task may release it.
 *
 *     static struct async_lock lock = ASYNC_LOCK_INIT;
 *     int error = async_lock_acquire(&lock);
 *     if (error < 0)
 *             return error;
 *     ...
 *     async_lock_release(&lock);
 *
 * All zero is an unlocked lock; there is nothing to destroy. It must not move while it is used.
 */
#ifndef ASYNC_LOCK_H
#define ASYNC_LOCK_H

#include <async/base.h>
#include <async/waiters.h>

/* The fields are the library's. */
struct async_lock {
	async_loop *held_on; /* the loop of the task that holds it; NULL: unlocked */
	struct async_waiters waiters;
	uint64_t holder; /* the id of that task: stays after the release */
};

#define ASYNC_LOCK_INIT ASYNC_INIT_ZERO

ASYNC_BEGIN_DECLS

/*
 * Waits until the lock is free and this task's turn has come, and takes it.
 * Suspends: unless it is free and nobody waits. Cancel: at once; if the lock was being handed over, the next one
 * gets it.
 * Returns: 0; -ECANCELED, -EPERM (outside a task, or the lock is in use on another loop), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_lock_acquire(struct async_lock *lock);

/* Frees the lock and wakes the task that waits longest. Returns: 0; -EPERM (it is not locked, or in use on
 * another loop), -EINVAL (NULL). */
ASYNC_EXPORT int async_lock_release(struct async_lock *lock);

/* True while somebody holds the lock. Between a release and the moment when the next one runs, nobody does. */
ASYNC_EXPORT bool async_lock_locked(const struct async_lock *lock);

ASYNC_END_DECLS

#endif
