/* SPDX-License-Identifier: MIT */
#include <async/timeout.h>

#include <async/future.h>
#include <async/loop.h>
#include <async/task.h>

#include "core/schedule.h"

enum timeout_state {
	TIMEOUT_NEW, /* what ASYNC_TIMEOUT_INIT says */
	TIMEOUT_ENTERED,
	TIMEOUT_EXPIRING, /* the task was cancelled for it */
	TIMEOUT_EXPIRED,
	TIMEOUT_EXITED,
};

static void on_deadline(void *arg)
{
	struct async_timeout *scope = arg;

	async_handle_release(scope->timer);
	scope->timer = NULL;
	scope->state = TIMEOUT_EXPIRING;
	scope->request = task_request(task_of(scope->task), "timeout");
}

static void stop_timer(struct async_timeout *scope)
{
	async_handle_cancel(scope->timer);
	async_handle_release(scope->timer);
	scope->timer = NULL;
}

/* A deadline that has passed takes effect in the next iteration, at the next call that suspends. */
static int start_timer(struct async_timeout *scope, async_time when)
{
	struct async_loop *loop = scope->task->loop;
	async_handle *timer = NULL;
	int error = 0;

	if (when <= loop_now(loop))
		error = async_loop_call_soon(loop, on_deadline, scope, &timer);
	else if (when != ASYNC_FOREVER)
		error = async_loop_call_at(loop, when, on_deadline, scope, &timer);
	if (error)
		return error;
	stop_timer(scope);
	scope->timer = timer;
	scope->when = when;
	return 0;
}

int async_timeout_begin_at(struct async_timeout *scope, async_time when)
{
	struct task *task = task_current();

	if (!scope)
		return -EINVAL;
	if (!task)
		return -EPERM;
	if (scope->state == TIMEOUT_ENTERED || scope->state == TIMEOUT_EXPIRING)
		return -EBUSY;
	if (scope->state != TIMEOUT_NEW)
		return -ESHUTDOWN;
	*scope = (struct async_timeout){.task = &task->future, .cancelling = task_cancels_before(task)};
	int error = start_timer(scope, when);
	if (error == 0)
		scope->state = TIMEOUT_ENTERED;
	return error;
}

int async_timeout_begin(struct async_timeout *scope, async_time delay)
{
	return async_timeout_begin_at(scope, clock_add(async_loop_time(NULL), delay));
}

int async_timeout_reschedule(struct async_timeout *scope, async_time when)
{
	if (!scope || scope->state == TIMEOUT_NEW)
		return -EINVAL;
	if (scope->state != TIMEOUT_ENTERED)
		return -ESHUTDOWN;
	if (future_check(scope->task) < 0)
		return -EPERM;
	return start_timer(scope, when);
}

async_time async_timeout_when(const struct async_timeout *scope)
{
	return scope && scope->state != TIMEOUT_NEW ? scope->when : ASYNC_FOREVER;
}

bool async_timeout_expired(const struct async_timeout *scope)
{
	return scope && (scope->state == TIMEOUT_EXPIRING || scope->state == TIMEOUT_EXPIRED);
}

intptr_t async_timeout_end(struct async_timeout *scope, intptr_t result)
{
	struct task *task = task_current();

	if (!scope || scope->state == TIMEOUT_NEW)
		return -EINVAL;
	if (!task || scope->task != &task->future)
		return -EPERM;
	stop_timer(scope);
	if (scope->state == TIMEOUT_EXPIRING) {
		scope->state = TIMEOUT_EXPIRED;
		int left = task_take_back(task, scope->request, scope->cancelling);
		/* More requests than at the beginning: somebody else wants it to end, too. */
		if (left <= scope->cancelling && result == -ECANCELED)
			return -ETIMEDOUT;
	} else if (scope->state == TIMEOUT_ENTERED) {
		scope->state = TIMEOUT_EXITED;
	}
	return result;
}
