/* SPDX-License-Identifier: MIT */
/*
 * Slow tasks, in debug mode. A slice is what runs between two switches, a callback is one, too: whoever holds the loop
 * longer than `slow_task` is reported, by the watchdog while that lasts, by the loop when it is over.
 */
#ifndef CORE_SLOW_H
#define CORE_SLOW_H

#include <stdatomic.h>

#include <async/base.h>

#include "base/list.h"
#include "worker/futex.h"

struct async_loop;
struct task;

struct slow_report {
	/* The slice, for the watchdog too: that is another thread. */
	atomic_ulong slice;             /* odd while somebody runs; each slice has a number of its own */
	_Atomic async_time slice_began; /* real clock */
	_Atomic async_time slice_lost;  /* what the process had lost in stalls by then */
	atomic_ulong seen;              /* the slice that the watchdog has reported */
	async_time longest;             /* of all slices */
	unsigned depth;                 /* 2: a callback that runs an eager task */
	/* Names do not change while another thread reads one. */
	struct futex_mutex naming;

	/* The watchdog's, under its lock. */
	struct list link;
	bool watched;
	async_time window;              /* when the current minute of reports began; 0: never */
	unsigned told, untold;          /* in that minute; since the last report */

	/* What is said when it is over. */
	async_time held;
	async_future *future;           /* the task; NULL: a callback */
	bool to_tell;
};

/* Around what runs without giving way. `task` NULL: a callback. */
void slow_slice_begins(struct async_loop *loop, async_time now);
void slow_slice_ended(struct async_loop *loop, struct task *task, async_time now);

/* What there is to say, if anything. On the loop's own stack. */
void slow_tell(struct async_loop *loop);

/* Who watches loops from a thread of its own: introspect/watchdog.c, which registers itself. */
struct slow_watchdog {
	int (*watch)(struct async_loop *loop); /* again is nothing to do. Returns 0 or -errno. */
	void (*unwatch)(struct async_loop *loop);
};
extern const struct slow_watchdog *slow_watchdog;

/* What its thread is called. It may be in the middle of anything but a lock when the process forks. */
#define WATCHDOG_THREAD "async-watchdog"

/* Around the runs of a loop: before each, and when it closes. */
void slow_watch(struct async_loop *loop);
void slow_unwatch(struct async_loop *loop);

#endif
