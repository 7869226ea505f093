/* SPDX-License-Identifier: MIT */
/* Counters of loops and of tasks. */
#include <errno.h>

#include "base/fault.h"
#include "base/versioned.h"
#include "core/loop.h"
#include "core/schedule.h"

int async_loop_get_stats(const async_loop *loop, struct async_loop_stats *ret_stats)
{
	if (!loop || !ret_stats)
		return -EINVAL;
	if (loop_forked(loop) || (loop != loop_running && atomic_load(&loop->running)))
		return -EPERM;
	struct async_loop_stats stats = {
		.backend = loop->reactor ? reactor_name(loop->reactor) : "none",
		.switch_kind = !(loop->switch_kind & CONTEXT_UCONTEXT) ? "asm" : "ucontext",
		.iterations = loop->iterations,
		.switches = loop->switches,
		.polls = loop->polls,
		.tasks = loop->tasks,
		.tasks_created = loop->tasks_created,
		.timers = loop->timers.count,
		.operations = loop->reactor ? reactor_pending(loop->reactor) : 0,
		.jobs = loop->jobs,
		.system_calls = system_calls,
		.callbacks = loop->callbacks,
		.timers_expired = loop->timers_expired,
		.wakeups = loop->wakeups,
		.waited = loop->waited,
		.longest_slice = loop->options.debug ? loop->slow.longest : -1,
	};
	for (unsigned class = 0; class < STACK_CLASSES; class++)
		stats.stacks_idle += loop->stacks.classes[class].free_count;
	return versioned_fill(ret_stats, &stats, sizeof(stats));
}

static enum async_task_state state_of(const struct task *task)
{
	switch (task->state) {
	case TASK_CREATED:
		return ASYNC_TASK_CREATED;
	case TASK_PARKED:
		return ASYNC_TASK_WAITING;
	case TASK_ENDED:
		return ASYNC_TASK_ENDED;
	default:
		return task->future.loop->current == task ? ASYNC_TASK_RUNNING : ASYNC_TASK_READY;
	}
}

static void fill_accounts(const struct task *task, struct async_task_stats *stats)
{
	const struct stack_header *accounts = task->stack;

	stats->ran = accounts->ran;
	stats->switches = (int64_t)accounts->switches;
	/* Whoever is ready left the processor, but it waited first, who knows how long. */
	if (stats->state != ASYNC_TASK_READY)
		stats->since = accounts->since;
	if (stats->state == ASYNC_TASK_RUNNING)
		stats->ran += clock_now() - accounts->since;
}

int async_task_get_stats(const async_task *future, struct async_task_stats *ret_stats)
{
	if (!async_is_task(future) || !ret_stats)
		return -EINVAL;
	int error = future_check(future);
	if (error)
		return error;
	const struct task *task = (const struct task *)future;
	struct async_task_stats stats = {
		.id = task->id, .state = state_of(task), .since = -1, .ran = -1, .switches = -1};

	if (stats.state == ASYNC_TASK_WAITING) {
		stats.waits_for = task->wait_class->name;
		stats.since = task->word;
	}
	bool has_stack = task->state != TASK_CREATED && task->state != TASK_ENDED;
	if (has_stack && (task->future.loop->observed & OBSERVE_ACCOUNTS))
		fill_accounts(task, &stats);
	return versioned_fill(ret_stats, &stats, sizeof(stats));
}
