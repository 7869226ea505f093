/* SPDX-License-Identifier: MIT */
#include <async/timeout.h>
#include <async/wait.h>

#include "core/schedule.h"

/* No time at all: what is not done is cancelled, and its end awaited without being part of the chain. */
static intptr_t cancel_and_wait(async_future *future)
{
	intptr_t result;

	future_cancel(future, "timeout");
	result = async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER);
	if (result > 0) {
		result = future_take(future);
		if (result == -ECANCELED)
			result = -ETIMEDOUT;
	}
	future_release(future);
	return result;
}

intptr_t async_wait_for(async_future *future, async_time timeout)
{
	struct task *task = task_current();
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	/* What async_await answers at once, be it an error, needs no timer. */
	if (!future || !task || future->loop != task->future.loop || future_done(future) || future == &task->future ||
	    timeout == ASYNC_FOREVER)
		return async_await(future);
	if (timeout <= 0)
		return cancel_and_wait(future);
	int error = async_timeout_begin(&scope, timeout);
	if (error) {
		future_release(future);
		return error;
	}
	return async_timeout_end(&scope, async_await(future));
}
