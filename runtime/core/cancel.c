/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A cancellation goes from a task to the future it waits for, from there to whatever that waits for, and
 * takes effect where the chain ends: a sleep, an operation, a plain future. Chains can be 100,000 tasks long and
 * branch at gatherings, so this is a loop with a list of branches and not a recursion.
 *
 * It is edge-triggered: the task that is parked gets -ECANCELED from that wait, once. If its wake-up is on its way
 * already, or if it is not waiting, the request is kept as `undelivered` for the end of this wait, or for the next;
 * whatever was kept until then comes out as one.
 *
 * Tasks that wait for each other in a circle are a deadlock that a cancellation can break: the chain comes back to
 * a task that it marked, and the last one is taken out of its wait.
 *
 * A fan whose futures are all done takes no request, as in asyncio: its result is on its way.
 */
#include "core/loop.h"
#include "core/schedule.h"

/* What a task that waits for nothing, or for something that cannot be cancelled any more, gets. */
static void cancel_later(struct task *task)
{
	if (!task)
		return;
	if (task->undelivered == 0)
		task->kept_result = false;
	if (task->undelivered < TASK_UNDELIVERED_MAX)
		task->undelivered++;
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

/* Where a chain came to an end. */
struct chain_end {
	struct future_fan *fan; /* to go on with, or NULL: then this was it */
	struct task *waiter;    /* who waits for what is there, or NULL */
	bool reached;           /* somebody has taken the request; who waits has, whatever comes of the fan */
};

/* Cancels what is neither a task nor a fan. True if it took that. */
static bool cancel_future(async_future *future)
{
	if (future->class->cancel)
		return future->class->cancel(future);
	future_complete(future, -ECANCELED);
	return true;
}

/* Delivers a request to a task. True if the chain goes on to what it waits for. */
static bool cancel_task(struct task *task, uint32_t mark)
{
	task->cancel_mark = mark;
	task->cancels++;
	if (task->state == TASK_PARKED && wait_forwards(task->wait_class))
		return true;
	if (task->state != TASK_PARKED || !task->wait_class->withdraw || !task->wait_class->withdraw(task))
		cancel_later(task);
	return false;
}

/* Follows a chain from `future` to its end. `waiter` is the task that waits for `future`, or NULL. */
static struct chain_end cancel_chain(async_future *future, struct task *waiter, const char *reason)
{
	uint32_t mark = future->loop ? ++future->loop->cancel_mark : 0;

	for (;;) {
		if (future_done(future)) {
			cancel_later(waiter);
			return (struct chain_end){NULL, waiter, waiter != NULL};
		}
		struct task *task = future->class->is_task ? task_of(future) : NULL;
		struct future_fan *fan = fan_of(future);
		if ((task && task->cancel_mark == mark) || (fan && fan->cancelling)) {
			if (waiter)
				detach(waiter);
			return (struct chain_end){NULL, waiter, waiter != NULL};
		}
		future->cancel_reason = reason;
		if (fan)
			return (struct chain_end){fan, waiter, waiter != NULL};
		if (!task) {
			bool taken = cancel_future(future);

			if (!taken)
				cancel_later(waiter);
			return (struct chain_end){NULL, waiter, taken || waiter};
		}
		if (!cancel_task(task, mark))
			return (struct chain_end){NULL, task, true};
		waiter = task;
		future = task->wait_object;
	}
}

static struct future_fan *enter_fan(const struct chain_end *end, struct future_fan *outer)
{
	struct future_fan *fan = end->fan;

	fan->outer = outer;
	fan->waiter = end->waiter;
	fan->cursor = 0;
	fan->reached = false;
	fan->cancelling = true;
	return fan;
}

/* All its branches were followed. */
static struct future_fan *leave_fan(struct future_fan *fan)
{
	struct future_fan *outer = fan->outer;

	fan->cancelling = false;
	if (fan->reached)
		fan->cancelled = true;
	else
		cancel_later(fan->waiter);
	if (outer)
		outer->reached |= fan->reached || fan->waiter;
	return outer;
}

/* Goes on from the end of a chain, if there is a fan: cancels everything that hangs on it, and on the fans that are
 * found there, depth first. True if somebody took the request. */
static bool cancel_rest(const struct chain_end *end, const char *reason)
{
	if (!end->fan)
		return end->reached;
	struct future_fan *first = end->fan, *fan = enter_fan(end, NULL);

	while (fan) {
		async_future *child = fan->future.class->fan_out(fan);

		if (!child) {
			fan = leave_fan(fan);
			continue;
		}
		struct chain_end branch = cancel_chain(child, NULL, reason);
		fan->reached |= branch.reached;
		if (branch.fan)
			fan = enter_fan(&branch, fan);
	}
	return first->reached || end->reached;
}

bool future_cancel(async_future *future, const char *reason)
{
	if (future_done(future))
		return false;
	struct chain_end end = cancel_chain(future, NULL, reason);

	return cancel_rest(&end, reason);
}

/* What the task waits for is cancelled as if it had been from outside, but the request itself was counted when it
 * was made. */
void task_cancel_wait(struct task *task)
{
	uint8_t undelivered = task->undelivered;

	if (!wait_forwards(task->wait_class)) {
		if (task->wait_class->withdraw && task->wait_class->withdraw(task))
			task_delivered(task);
		return;
	}
	task->undelivered = 0;
	const char *reason = task->future.cancel_reason;
	struct chain_end end = cancel_chain(task->wait_object, task, reason);
	cancel_rest(&end, reason);
	if (task->undelivered)
		task->undelivered = undelivered & TASK_UNDELIVERED_MAX;
	else
		task_delivered(task);
}

int task_request(struct task *task, const char *reason)
{
	future_cancel(&task->future, reason);
	return task->undelivered ? task->deliveries + 1 : 0;
}

int task_take_back(struct task *task, int ticket, int before)
{
	if (task->undelivered && ticket == task->deliveries + 1)
		task->undelivered--;
	int left = async_uncancel(&task->future), others = left > before ? left - before : 0;
	/* What comes again may have been this one, after it was delivered. */
	if (task->undelivered > others)
		task->undelivered = (uint8_t)others & TASK_UNDELIVERED_MAX;
	return left;
}

void task_tell_again(struct task *task)
{
	if (!task->undelivered)
		cancel_later(task);
}
