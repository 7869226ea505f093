/* SPDX-License-Identifier: MIT */
#include "core/observe.h"

#include "base/trace.h"
#include "core/loop.h"
#include "core/slow.h"
#include "core/task.h"

static void account_end(struct task *task, async_time now)
{
	struct stack_header *stack = task->stack;

	stack->ran += now - stack->since;
	stack->since = now;
}

static void account_begin(struct task *task, async_time now)
{
	struct stack_header *stack = task->stack;

	stack->switches++;
	stack->since = now;
}

static uint64_t id_of(const struct task *task)
{
	return task ? task->id : 0;
}

/* A name is looked up once. */
static unsigned name_of(struct task *task)
{
	if (likely(!task || !task->name))
		return 0;
	if (!task->trace_name)
		task->trace_name = trace_intern(task->name);
	return task->trace_name;
}

static void record(struct async_loop *loop, async_time now, enum trace_kind kind, struct task *task, uint64_t other)
{
	trace_record(now, kind, name_of(task), id_of(task), loop->number, other, 0);
}

/* Who creates and wakes: the task that runs, or the loop. */
static uint64_t who_runs(const struct async_loop *loop)
{
	return loop == loop_running ? id_of(loop->current) : 0;
}

/* A task that starts eagerly comes from no queue, and its creator goes to none. */
static bool switch_is_eager(const struct async_loop *loop, const struct task *from, const struct task *to)
{
	const struct task *eager = loop->eager ? loop->eager->task : NULL;

	return eager && (eager == from || eager == to);
}

static void trace_switch(struct async_loop *loop, struct task *from, struct task *to, async_time now)
{
	enum observe_state state = OBSERVE_READY;
	const char *wait = NULL;

	if (from && from->state == TASK_ENDED)
		state = OBSERVE_ENDED;
	if (from && from->state == TASK_PARKED) {
		state = OBSERVE_PARKED;
		wait = from->wait_class->name;
		if (wait_forwards(from->wait_class) && ((async_future *)from->wait_object)->class->is_task)
			record(loop, now, TRACE_AWAIT, from, id_of(from->wait_object));
	}
	if (!switch_is_eager(loop, from, to)) {
		loop->ready_tasks += from && state == OBSERVE_READY;
		loop->ready_tasks -= to != NULL;
	}
	trace_record(now, TRACE_SWITCH, name_of(to), id_of(to), (unsigned)state << 16 | loop->number, id_of(from),
		     (uintptr_t)wait);
	void (*on_slow)(void) = atomic_load_explicit(&trace_on_slow, memory_order_relaxed);
	if (unlikely(on_slow) && loop->options.debug && from && now - loop->switched_at >= loop->options.slow_task)
		on_slow();
	loop->switched_at = now;
}

void observe_prepare(struct async_loop *loop, struct task *task)
{
	(void)loop;
	task->stack->since = clock_now();
	task->stack->ran = 0;
	task->stack->switches = 0;
}

void observe_create(struct async_loop *loop, struct task *task)
{
	if (!(loop->observed & OBSERVE_TRACE))
		return;
	loop->ready_tasks++;
	record(loop, clock_now(), TRACE_CREATE, task, who_runs(loop));
}

void observe_wake(struct async_loop *loop, struct task *task)
{
	if (!(loop->observed & OBSERVE_TRACE))
		return;
	loop->ready_tasks++;
	record(loop, clock_now(), TRACE_WAKE, task, who_runs(loop));
}

void observe_gone(struct async_loop *loop, struct task *task)
{
	if (!(loop->observed & OBSERVE_TRACE))
		return;
	loop->ready_tasks -= task->state != TASK_PARKED;
	record(loop, clock_now(), TRACE_GONE, task, 0);
}

void observe_switch(struct async_loop *loop, struct task *from, struct task *to)
{
	async_time now = clock_now();

	if (loop->observed & OBSERVE_ACCOUNTS) {
		if (from)
			account_end(from, now);
		if (to)
			account_begin(to, now);
	}
	if (loop->observed & OBSERVE_SLICES) {
		if (from)
			slow_slice_ended(loop, from, now);
		if (to)
			slow_slice_begins(loop, now);
	}
	if (loop->observed & OBSERVE_TRACE)
		trace_switch(loop, from, to, now);
}

void observe_callback_begins(struct async_loop *loop)
{
	async_time now = clock_now();

	if (loop->observed & OBSERVE_SLICES)
		slow_slice_begins(loop, now);
	if (loop->observed & OBSERVE_TRACE)
		record(loop, now, TRACE_CALLBACK, NULL, 0);
}

void observe_callback_ends(struct async_loop *loop)
{
	async_time now = clock_now();

	if (loop->observed & OBSERVE_SLICES)
		slow_slice_ended(loop, NULL, now);
	if (loop->observed & OBSERVE_TRACE)
		record(loop, now, TRACE_CALLBACK_END, NULL, 0);
}

void observe_run_begins(struct async_loop *loop)
{
	observe_trace(loop);
	if (loop->observed & OBSERVE_TRACE)
		record(loop, clock_now(), TRACE_SWITCH, NULL, 0);
}

void observe_run_ends(struct async_loop *loop)
{
	if (loop->observed & OBSERVE_TRACE)
		record(loop, clock_now(), TRACE_REST, NULL, 0);
}

void observe_poll_begins(struct async_loop *loop)
{
	if (loop->observed & OBSERVE_TRACE)
		record(loop, clock_now(), TRACE_POLL, NULL, 0);
}

void observe_poll_ends(struct async_loop *loop)
{
	if (loop->observed & OBSERVE_TRACE)
		record(loop, clock_now(), TRACE_POLL_END, NULL, 0);
}

void observe_job(struct async_loop *loop, const struct job *job)
{
	if ((loop->observed & OBSERVE_TRACE) && job->trace_id)
		trace_record(clock_now(), TRACE_JOB_TAKEN, 0, job->trace_id, loop->number, 0, 0);
}

static size_t count_tasks(const struct entry *entry)
{
	size_t count = 0;

	for (; entry; entry = entry->next)
		count += entry->kind == ENTRY_TASK;
	return count;
}

void observe_trace(struct async_loop *loop)
{
	if (!trace_on()) {
		loop->observed &= (uint8_t)~OBSERVE_TRACE;
		return;
	}
	if (loop->observed & OBSERVE_TRACE)
		return;
	loop->observed |= OBSERVE_TRACE;
	loop->switched_at = clock_now();
	loop->ready_tasks = count_tasks(loop->batch) + count_tasks(loop->ready.head);
	/* The loop shows from here on what it does, and so does the task that started it. */
	if (loop != loop_running)
		return;
	trace_record(loop->switched_at, TRACE_SWITCH, name_of(loop->current), id_of(loop->current), loop->number, 0, 0);
}

void observe_service(struct async_loop *loop)
{
	async_time now;

	observe_trace(loop);
	if (likely(!(loop->observed & OBSERVE_TRACE)))
		return;
	now = clock_now();
	uint64_t operations = loop->reactor ? reactor_pending(loop->reactor) : 0;
	trace_record(now, TRACE_COUNTERS, 0, loop->ready_tasks, loop->number, loop->timers.count,
		     operations << 32 | (uint32_t)loop->jobs);
	trace_record(now, TRACE_TASKS, 0, 0, loop->number, 0, loop->tasks);
}
