/* SPDX-License-Identifier: MIT */
#include "core/observe.h"

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

void observe_prepare(struct async_loop *loop, struct task *task)
{
	(void)loop;
	task->stack->since = clock_now();
	task->stack->ran = 0;
	task->stack->switches = 0;
}

void observe_wake(struct async_loop *loop, struct task *task)
{
	(void)loop;
	(void)task;
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
}

void observe_callback_begins(struct async_loop *loop)
{
	if (loop->observed & OBSERVE_SLICES)
		slow_slice_begins(loop, clock_now());
}

void observe_callback_ends(struct async_loop *loop)
{
	if (loop->observed & OBSERVE_SLICES)
		slow_slice_ended(loop, NULL, clock_now());
}
