/* SPDX-License-Identifier: MIT */
/*
 * Barriers: a number of tasks that wait for each other, again and again.
 *
 *     static struct async_barrier barrier = ASYNC_BARRIER_INIT(3);
 *     intptr_t index = async_barrier_wait(&barrier);    // in each of three tasks
 *     if (index == 0)
 *             merge();
 *
 * A task that comes while those of the last cycle are still leaving waits until they have left. There is nothing to
 * destroy. A barrier must not move while it is used.
 */
#ifndef ASYNC_BARRIER_H
#define ASYNC_BARRIER_H

#include <async/base.h>
#include <async/condition.h>

/* The fields are the library's. */
struct async_barrier {
	size_t parties;
	size_t count; /* tasks inside */
	int state;
	struct async_condition condition;
};

#define ASYNC_BARRIER_INIT(parties) {(parties), 0, 0, ASYNC_CONDITION_INIT}

ASYNC_BEGIN_DECLS

/*
 * Waits until as many tasks wait here as the barrier has parties.
 * Suspends: unless this task is the last. Cancel: this task leaves, and one more has to come in its place; the
 * barrier is not broken by it.
 * Returns: a number from 0 to parties - 1 that no other task of this cycle gets: the task that came last gets the
 * highest, the others count up as they leave. -EPIPE (the barrier is broken, or was reset while this task waited),
 * -ECANCELED, -EPERM (outside a task, or in use on another loop), -EINVAL (NULL, no parties).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_barrier_wait(struct async_barrier *barrier);

/*
 * Makes the barrier as new; who waits inside gets -EPIPE.
 * Suspends: while tasks enter or leave. Cancel: at once, nothing is reset.
 * Returns: 0; -ECANCELED, -EPERM, -EINVAL.
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_barrier_reset(struct async_barrier *barrier);
/* Breaks the barrier until it is reset: who waits inside or comes later gets -EPIPE. Suspends, returns: as above. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_barrier_abort(struct async_barrier *barrier);

/* How many tasks it takes. */
ASYNC_EXPORT size_t async_barrier_parties(const struct async_barrier *barrier);
/* How many tasks wait inside for others to come. */
ASYNC_EXPORT size_t async_barrier_waiting(const struct async_barrier *barrier);
/* True after an abort, until a reset. */
ASYNC_EXPORT bool async_barrier_broken(const struct async_barrier *barrier);

ASYNC_END_DECLS

#endif
