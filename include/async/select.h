/* SPDX-License-Identifier: MIT */
/*
 * Waiting for one of several things and taking exactly that: an item or a place in a queue, the end of a future, a
 * descriptor, a point in time.
 *
 *     struct async_select_case cases[] = {
 *             ASYNC_CASE_FUTURE(quit),
 *             ASYNC_CASE_GET(requests),
 *             ASYNC_CASE_POLL(fd, POLLIN),
 *             ASYNC_CASE_DEADLINE(async_loop_time(NULL) + 5 * ASYNC_S),
 *     };
 *     switch (async_select(cases, 4)) {
 *     case 0: return cases[0].result;
 *     case 1: serve(cases[1].item); break;
 *     case 2: read_from(fd); break;
 *     case 3: return -ETIMEDOUT;
 *     }
 *
 * Of several that are possible the first in the array is taken. What is not taken is as if it had not been asked for:
 * no item is gone, none was put, nothing watches the descriptor any more.
 */
#ifndef ASYNC_SELECT_H
#define ASYNC_SELECT_H

#include <async/base.h>
#include <async/queue.h>

enum async_select_kind {
	ASYNC_SELECT_NEVER = 0, /* a case that is switched off */
	ASYNC_SELECT_GET,       /* take an item from `queue` */
	ASYNC_SELECT_PUT,       /* put `item` into `queue` */
	ASYNC_SELECT_FUTURE,    /* `future` is done */
	ASYNC_SELECT_POLL,      /* one of `events` holds on `fd`, see async_poll */
	ASYNC_SELECT_DEADLINE,  /* the loop's clock shows `when` */
	ASYNC_SELECT_DEFAULT,   /* nothing else is possible: then the call does not suspend */
};

struct async_select_case {
	enum async_select_kind kind;
	async_queue *queue;
	void *item;       /* in for a put, out for a get */
	int64_t priority; /* of the item that is put */
	async_future *future;
	int fd;
	short events;
	async_time when;
	/*
	 * Set in the case that is taken. Queues: 0 or why it went wrong (-ESHUTDOWN, -ENOMEM, …; nothing was put or
	 * taken then). Future: its result, as from async_result. Descriptor: the events that hold, or -EBADF.
	 * Otherwise 0.
	 */
	intptr_t result;
};

#ifdef __cplusplus
static inline struct async_select_case async_case(enum async_select_kind kind, async_queue *queue, void *item,
						  async_future *future, int fd, short events, async_time when)
{
	struct async_select_case made = {kind, queue, item, 0, future, fd, events, when, 0};

	return made;
}
#define ASYNC_CASE_GET(from) async_case(ASYNC_SELECT_GET, (from), NULL, NULL, 0, 0, 0)
#define ASYNC_CASE_PUT(into, what) async_case(ASYNC_SELECT_PUT, (into), (what), NULL, 0, 0, 0)
#define ASYNC_CASE_FUTURE(awaited) async_case(ASYNC_SELECT_FUTURE, NULL, NULL, (awaited), 0, 0, 0)
#define ASYNC_CASE_POLL(descriptor, wanted) async_case(ASYNC_SELECT_POLL, NULL, NULL, NULL, (descriptor), (wanted), 0)
#define ASYNC_CASE_DEADLINE(time) async_case(ASYNC_SELECT_DEADLINE, NULL, NULL, NULL, 0, 0, (time))
#define ASYNC_CASE_DEFAULT async_case(ASYNC_SELECT_DEFAULT, NULL, NULL, NULL, 0, 0, 0)
#else
#define ASYNC_CASE_GET(from) {.kind = ASYNC_SELECT_GET, .queue = (from)}
#define ASYNC_CASE_PUT(into, what) {.kind = ASYNC_SELECT_PUT, .queue = (into), .item = (what)}
#define ASYNC_CASE_FUTURE(awaited) {.kind = ASYNC_SELECT_FUTURE, .future = (awaited)}
#define ASYNC_CASE_POLL(descriptor, wanted) {.kind = ASYNC_SELECT_POLL, .fd = (descriptor), .events = (wanted)}
#define ASYNC_CASE_DEADLINE(time) {.kind = ASYNC_SELECT_DEADLINE, .when = (time)}
#define ASYNC_CASE_DEFAULT {.kind = ASYNC_SELECT_DEFAULT}
#endif

ASYNC_BEGIN_DECLS

/*
 * Waits until one of the cases is possible, and takes the first that is.
 * Owns: borrows queues and futures; cancels none. An item that was put is the queue's, one that was taken the caller's.
 * Suspends: unless a case is possible at once, or there is a default. Cancel: at once, nothing was taken; a
 * withdrawal of a descriptor from the kernel is waited for.
 * Returns: the index of the case that was taken; -ECANCELED, -ENOMEM, -EINVAL (no case, an unknown kind, a NULL, no
 * events), -EPERM (outside a task, something of another loop), -EDEADLK (a task waits for itself), and what the kernel
 * says if there can be no reactor (-EMFILE, …).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_select(struct async_select_case *cases, size_t count);

/*
 * The same, but the order begins with case `first` (modulo `count`) and goes round. Who passes the last index plus 1
 * gives each case its turn:
 *
 *     intptr_t taken = 0;
 *     while ((taken = async_select_from(cases, count, turn)) >= 0)
 *             turn = (size_t)taken + 1;
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_select_from(struct async_select_case *cases, size_t count, size_t first);

ASYNC_END_DECLS

#endif
