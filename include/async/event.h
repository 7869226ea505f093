/* SPDX-License-Identifier: MIT */
/*
 * Events: a flag that tasks wait for.
 *
 *     static struct async_event ready = ASYNC_EVENT_INIT;
 *     int error = async_event_wait(&ready);   // in any number of tasks
 *     async_event_set(&ready);                // wakes them all
 *
 * Whoever waits when the flag is set is woken, even if it is cleared before they run. All zero is an event that is
 * not set; there is nothing to destroy. It must not move while it is used.
 */
#ifndef ASYNC_EVENT_H
#define ASYNC_EVENT_H

#include <async/base.h>
#include <async/waiters.h>

/* The fields are the library's. */
struct async_event {
	bool is_set;
	struct async_waiters waiters;
};

#define ASYNC_EVENT_INIT ASYNC_INIT_ZERO

ASYNC_BEGIN_DECLS

/* Sets the flag and wakes all who wait. Returns: 0; -EPERM (they wait on another thread's loop), -EINVAL (NULL). */
ASYNC_EXPORT int async_event_set(struct async_event *event);
/* Takes the flag back: from here on a wait suspends. Returns: 0; -EINVAL (NULL). */
ASYNC_EXPORT int async_event_clear(struct async_event *event);
/* True while the flag is set. */
ASYNC_EXPORT bool async_event_is_set(const struct async_event *event);

/*
 * Waits until the flag is set.
 * Suspends: unless it is set. Cancel: at once.
 * Returns: 0; -ECANCELED, -EPERM (outside a task, or tasks of another loop wait here), -EINVAL (NULL).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_event_wait(struct async_event *event);

ASYNC_END_DECLS

#endif
