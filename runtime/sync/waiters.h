/* SPDX-License-Identifier: MIT */
/*
 * Who waits for a lock, an event, an item: a list of tasks in the order in which they came.
 *
 * What hangs in the list is a watcher: the one that each task has, or one for each case of a select. So waiting
 * needs no memory, and a task whose loop closes drops out by itself. As in asyncio, a task that was woken or
 * cancelled stays in line until it runs and takes itself out; what has become of it until then can be asked here.
 */
#ifndef SYNC_WAITERS_H
#define SYNC_WAITERS_H

#include <async/waiters.h>

#include "base/list.h"
#include "core/schedule.h"

/* The list inside; one that was never used is all zero. */
static always_inline struct list *waiters_list(struct async_waiters *waiters)
{
	struct list *list = (struct list *)waiters;

	if (unlikely(!list->next))
		list_init(list);
	return list;
}

static always_inline bool waiters_empty(const struct async_waiters *waiters)
{
	return !waiters->first || waiters->first == waiters;
}

static always_inline struct watcher *waiter_of(struct list *node)
{
	return list_entry(node, struct watcher, link);
}

static always_inline struct task *waiter_task(struct list *node)
{
	return task_of_entry(waiter_of(node)->entry);
}

/* True if the task still waits: it was neither woken nor cancelled. */
static always_inline bool waiter_waits(struct list *node)
{
	return waiter_task(node)->state == TASK_PARKED;
}

/* True if the task was cancelled, and has not run since. One that was cancelled after it was woken counts as woken. */
static inline bool waiter_cancelled(struct list *node)
{
	return !waiter_waits(node) && waiter_task(node)->word == -ECANCELED;
}

/* For a task whose wait was cancelled: true if it had been woken, so that what it got must go to somebody else. */
static inline bool waiter_was_woken(const struct task *task)
{
	return task->word != -ECANCELED;
}

/* The word says which of its waiters woke the task. */
static always_inline void waiter_wake(struct list *node)
{
	task_wake(waiter_task(node), (intptr_t)waiter_of(node));
}

/* Whether this thread may wake those who wait: 0 or -EPERM. */
static always_inline int waiters_check(const struct list *list)
{
	if (!list->next || list_empty(list))
		return 0;
	struct async_loop *loop = waiter_task(list->next)->future.loop;
	return likely(loop == loop_running) ? 0 : loop_check(loop);
}

/* True if somebody waits there on another loop than `task`'s. */
static inline bool waiters_foreign(const struct list *list, const struct task *task)
{
	return list->next && !list_empty(list) && waiter_task(list->next)->future.loop != task->future.loop;
}

/* Waits at the end of the line. Returns 0 or -ECANCELED. */
static always_inline int waiters_wait(struct list *list, struct task *task, const struct wait_class *class,
				      void *object)
{
	list_append(list, &task->watcher.link);
	intptr_t word = task_park(task, class, object);
	list_remove(&task->watcher.link);
	return unlikely(word == -ECANCELED) ? -ECANCELED : 0;
}

/* For wait classes. */
bool waiter_withdraw(struct task *task);

#endif
