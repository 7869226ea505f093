/* SPDX-License-Identifier: MIT */
/*
 * The future: a result word, who waits for it, and how it is cancelled.
 *
 * Everything that waits hangs a watcher into the future: the running task its own one, a callback the one in its
 * record. Completing moves the entries of all watchers to the ready queue, in the order in which they came.
 */
#ifndef CORE_FUTURE_H
#define CORE_FUTURE_H

#include <async/future.h>
#include <async/layout.h>

#include "base/list.h"
#include "context/exceptions.h"
#include "core/ready.h"

struct watcher {
	struct list link;     /* in the future's list; a list of its own when it watches nothing */
	struct entry *entry;  /* what becomes ready */
};

enum future_state {
	FUTURE_PENDING,
	FUTURE_DONE,
};

struct future_fan;
struct task;

/* What the kinds of future do differently. */
struct future_class {
	const char *name;
	/* Cancels a pending future; NULL: it is done with -ECANCELED at once. False: too late, the result is on its
	 * way. */
	bool (*cancel)(async_future *future);
	/* For a struct future_fan: the next future that a cancellation goes on to, NULL after the last. */
	async_future *(*fan_out)(struct future_fan *fan);
	/* Before the memory goes; may be NULL. Returns a future whose reference it held, for the caller to release, or
	 * NULL: chains of them are long. */
	async_future *(*finalize)(async_future *future);
	bool is_task;
	bool settable; /* the user may complete it */
	size_t size;   /* of the whole object if it comes from malloc; 0: from the loop's slab */
	struct async_layout_children children; /* the futures that it waits for, for those who look */
};

struct async_future {
	struct async_loop *loop; /* NULL in an immortal one */
	struct list watchers;
	intptr_t result;
	const struct future_class *class;
	async_drop *drop;
	const char *cancel_reason;
	uint32_t refs; /* 0: free */
	uint8_t state;
	bool looked_at; /* somebody has, or is about to have, the result */
	bool immortal;
};

/* A future that is cancelled by cancelling several others. While that goes on, it remembers where it is. */
struct future_fan {
	async_future future;
	struct future_fan *outer;
	struct task *waiter; /* through whom the cancellation came; may be NULL */
	size_t cursor;
	bool cancelling;
	bool reached;   /* one of them has taken this request */
	bool cancelled; /* and of any request */
};

extern const struct future_class future_plain;

/* Initialises a future in memory of the caller, with one reference. */
static always_inline void future_init(async_future *future, struct async_loop *loop, const struct future_class *class,
				      async_drop *drop)
{
	future->loop = loop;
	list_init(&future->watchers);
	future->class = class;
	future->drop = drop;
	future->cancel_reason = NULL;
	future->refs = 1;
	future->state = FUTURE_PENDING;
	future->looked_at = false;
	future->immortal = false;
}

/* A pending future that is larger than a plain one, from malloc. `class->size` says how large; all zero beyond
 * the base. NULL without memory. */
async_future *future_alloc(struct async_loop *loop, const struct future_class *class, async_drop *drop);

/* Completes a pending future. Nothing runs inside. */
void future_complete(async_future *future, intptr_t result);

/* Whether this thread may use a future: 0, -EINVAL (NULL) or -EPERM (another thread's loop runs it, or it is
 * the parent process's). */
int future_check(const async_future *future);

/* Cancels, see cancel.c. True if it was pending. */
bool future_cancel(async_future *future, const char *reason);

/* Drops a result that nobody will take. */
static inline void result_drop(async_drop *drop, intptr_t result)
{
	if (drop && result >= 0)
		FENCED(drop(result));
}

static always_inline bool future_done(const async_future *future)
{
	return future->state != FUTURE_PENDING;
}

static inline void future_watch(async_future *future, struct watcher *watcher)
{
	list_append(&future->watchers, &watcher->link);
}

/* The result, which counts as looked at from here on. */
static always_inline intptr_t future_take(async_future *future)
{
	/* Immortal futures are shared by threads, and looked at from the start. */
	if (!future->looked_at)
		future->looked_at = true;
	return future->result;
}

static always_inline void future_ref(async_future *future)
{
	if (!future->immortal)
		future->refs++;
}

void future_free(async_future *future);

static always_inline void future_release(async_future *future)
{
	if (!future->immortal && --future->refs == 0)
		future_free(future);
}

#endif
