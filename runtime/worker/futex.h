/* SPDX-License-Identifier: MIT */
/* Sleeping on a word of this process's memory, and the smallest lock that is built on it. */
#ifndef WORKER_FUTEX_H
#define WORKER_FUTEX_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/fault.h"

/* Sleeps while `*word` is `expected`. May return at any time, for any reason: the caller looks at the word
 * again. Returns 0, -EAGAIN or -EINTR. */
static inline int futex_wait(atomic_int *word, int expected)
{
	return (int)SYS("futex_wait", syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0));
}

/* The same for at most `timeout` ns, negative: for ever. */
static inline int futex_wait_for(atomic_int *word, int expected, int64_t timeout)
{
	struct timespec ts = clock_timespec(timeout);

	return (int)SYS("futex_wait", syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, timeout < 0 ? NULL : &ts,
					      NULL, 0));
}

/* No fault point: with a valid address waking cannot fail, and everybody relies on that. */
static inline void futex_wake(atomic_int *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

/*
 * Four bytes, zero is unlocked. Not a pthread mutex because it is held for tens of nanoseconds, where the
 * checks of mutex types cost as much as the lock itself.
 */
struct futex_mutex {
	atomic_int state;
};

enum {
	FUTEX_MUTEX_FREE,
	FUTEX_MUTEX_HELD,
	FUTEX_MUTEX_CONTENDED, /* held, and somebody may be asleep */
	FUTEX_MUTEX_SPINS = 40,
};

static inline bool futex_mutex_try(struct futex_mutex *mutex)
{
	int state = FUTEX_MUTEX_FREE;

	return atomic_compare_exchange_strong_explicit(&mutex->state, &state, FUTEX_MUTEX_HELD, memory_order_acquire,
						       memory_order_relaxed);
}

static inline void futex_mutex_wait(struct futex_mutex *mutex)
{
	for (int i = 0; i < FUTEX_MUTEX_SPINS; i++) {
		cpu_relax();
		if (atomic_load_explicit(&mutex->state, memory_order_relaxed) == FUTEX_MUTEX_FREE &&
		    futex_mutex_try(mutex))
			return;
	}
	/* Whoever has slept cannot know whether others still do, so it always leaves CONTENDED behind. */
	while (atomic_exchange_explicit(&mutex->state, FUTEX_MUTEX_CONTENDED, memory_order_acquire) !=
	       FUTEX_MUTEX_FREE)
		futex_wait(&mutex->state, FUTEX_MUTEX_CONTENDED);
}

static inline void futex_mutex_lock(struct futex_mutex *mutex)
{
	if (unlikely(!futex_mutex_try(mutex)))
		futex_mutex_wait(mutex);
}

static inline void futex_mutex_unlock(struct futex_mutex *mutex)
{
	if (unlikely(atomic_exchange_explicit(&mutex->state, FUTEX_MUTEX_FREE, memory_order_release) ==
		     FUTEX_MUTEX_CONTENDED))
		futex_wake(&mutex->state, 1);
}

#endif
