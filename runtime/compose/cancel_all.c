/* SPDX-License-Identifier: MIT */
#include "compose/cancel_all.h"

#include <errno.h>

#include <async/loop.h>
#include <async/task.h>
#include <async/wait.h>

#include "base/clock.h"
#include "base/memory.h"
#include "core/task.h"

/* Every task but the one that asks, with a reference each. NULL: there is none, or no memory. */
static async_task **other_tasks(size_t *ret_count)
{
	intptr_t count = async_all_tasks(NULL, NULL, 0);
	async_task **tasks = mem_array((size_t)count, sizeof(*tasks)), *self = async_current_task();
	size_t kept = 0;

	*ret_count = 0;
	if (!tasks)
		return NULL;
	async_all_tasks(NULL, tasks, (size_t)count);
	for (intptr_t i = 0; i < count; i++)
		if (tasks[i] != self)
			tasks[kept++] = async_ref(tasks[i]);
	if (kept == 0) {
		mem_free(tasks);
		return NULL;
	}
	*ret_count = kept;
	return tasks;
}

/* What a task says that was told to end: that it has not, or that it failed. Whoever has a handle may not look any
 * more. */
static void report_last(async_loop *loop, async_task *task, bool late)
{
	if (!future_done(task) && late)
		loop_report(loop, "ignores its cancellation and is abandoned", task, 0);
	else if (future_done(task) && task->result < 0 && task->result != -ECANCELED && !task->looked_at)
		loop_report(loop, "failed while the loop was shut down", task, future_take(task));
	async_release(task);
}

/*
 * Cancels everything, once, and waits: a clean-up is not disturbed, nor are the tasks that it makes and awaits. Those
 * that are left when all have ended are next. What has not ended is asked again after the grace, if there is one, and
 * named when the time is over.
 */
static intptr_t cancel_all(void *arg)
{
	async_loop *loop = arg;
	async_time grace = loop->options.shutdown_grace ? loop->options.shutdown_grace : ASYNC_FOREVER;
	async_time deadline = clock_add(loop_now(loop), loop->options.shutdown_timeout);
	async_task **tasks;
	size_t count;
	intptr_t waited = 0;

	while (waited >= 0 && (tasks = other_tasks(&count))) {
		async_time left = deadline - loop_now(loop);
		bool late = left <= 0;

		for (size_t i = 0; i < count && !late; i++)
			async_cancel(tasks[i], "shutdown");
		if (!late)
			waited = async_wait(tasks, count, ASYNC_WAIT_ALL_COMPLETED, grace < left ? grace : left);
		for (size_t i = 0; i < count; i++)
			report_last(loop, tasks[i], late);
		mem_free(tasks);
		if (late)
			break;
	}
	return 0;
}

void loop_cancel_all(struct async_loop *loop)
{
	async_task *task = async_loop_create_task(loop, cancel_all, loop, NULL);

	/* What stops the loop, a stop that came too late for the run before among it, does not mean this run. */
	while (async_loop_run_until_complete(loop, async_ref(task)) == -EINTR && !async_done(task))
		;
	async_release(task);
}
