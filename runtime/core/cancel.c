/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A cancellation goes from a task to the future it waits for, from there to whatever that waits for, and
 * takes effect where the chain ends: a sleep, an operation, a plain future. Chains can be 100,000 tasks long and
 * branch at gatherings, so this is a loop with a list of branches and not a recursion.
 *
 * It is edge-triggered: the task that is parked gets -ECANCELED from that wait, once. If its wake-up is on its way
 * already, or if it is not waiting, `must_cancel` keeps the cancellation for the end of this wait, or for the next.
 *
 * Tasks that wait for each other in a circle are a deadlock that a cancellation can break: the chain comes back to
 * a task that it marked, and the last one is taken out of its wait.
 */
#include "core/loop.h"
#include "core/schedule.h"

/* What a task that waits for nothing, or for something that cannot be cancelled any more, gets. */
static void cancel_later(struct task *task)
{
	if (task)
		task->must_cancel = true;
}

/* Takes a task out of its wait for a future. */
static void detach(struct task *task)
{
	list_remove(&task->watcher.link);
	task_wake(task, -ECANCELED);
}

static struct future_fan *fan_of(async_future *future)
{
	return future->class->fan_out ? (struct future_fan *)future : NULL;
}

/* Cancels what is no task. True if it is a fan, for the caller to go on with. */
static bool cancel_future(async_future *future, struct task *waiter)
{
	if (!future->class->cancel)
		future_complete(future, -ECANCELED);
	else if (!future->class->cancel(future))
		cancel_later(waiter);
	else
		return fan_of(future) != NULL;
	return false;
}

/*
 * Follows a chain from `future` to its end. `waiter` is the task that waits for `future`, or NULL. Returns the
 * fan that is there, or NULL.
 */
static struct future_fan *cancel_chain(async_future *future, struct task *waiter, const char *reason)
{
	uint32_t mark = future->loop ? ++future->loop->cancel_mark : 0;

	for (;;) {
		if (future_done(future)) {
			cancel_later(waiter);
			return NULL;
		}
		struct task *task = future->class->is_task ? task_of(future) : NULL;
		struct future_fan *fan = fan_of(future);
		if ((task && task->cancel_mark == mark) || (fan && fan->cancelling)) {
			if (waiter)
				detach(waiter);
			return NULL;
		}
		future->cancel_reason = reason;
		if (!task)
			return cancel_future(future, waiter) ? fan : NULL;
		task->cancel_mark = mark;
		task->cancels++;
		if (task->state != TASK_PARKED) {
			cancel_later(task);
			return NULL;
		}
		if (!wait_forwards(task->wait_class)) {
			if (!task->wait_class->withdraw || !task->wait_class->withdraw(task))
				cancel_later(task);
			return NULL;
		}
		waiter = task;
		future = task->wait_object;
	}
}

/* Cancels everything that hangs on a fan, and on the fans that are found there, depth first. */
static void cancel_fans(struct future_fan *fan, const char *reason)
{
	fan->outer = NULL;
	fan->cursor = 0;
	fan->cancelling = true;
	while (fan) {
		async_future *child = fan->future.class->fan_out(fan);
		struct future_fan *inner = child ? cancel_chain(child, NULL, reason) : NULL;

		if (inner) {
			inner->outer = fan;
			inner->cursor = 0;
			inner->cancelling = true;
			fan = inner;
		} else if (!child) {
			fan->cancelling = false;
			fan = fan->outer;
		}
	}
}

bool future_cancel(async_future *future, const char *reason)
{
	if (future_done(future))
		return false;
	struct future_fan *fan = cancel_chain(future, NULL, reason);
	if (fan)
		cancel_fans(fan, reason);
	return true;
}

/*
 * For a task that parks with a cancellation pending. Returns true if the wait took it; what it waits for is cancelled
 * as if it had been from outside, but the request itself was counted when it was made.
 */
bool task_cancel_wait(struct task *task)
{
	const char *reason = task->future.cancel_reason;

	if (!wait_forwards(task->wait_class))
		return task->wait_class->withdraw && task->wait_class->withdraw(task);
	task->must_cancel = false;
	struct future_fan *fan = cancel_chain(task->wait_object, task, reason);
	if (fan)
		cancel_fans(fan, reason);
	return !task->must_cancel;
}
