/* SPDX-License-Identifier: MIT */
/*
 * The task: a future whose result a coroutine produces.
 *
 * It waits in exactly one way: it parks with a wait class, which knows what it waits for, how the wait is
 * withdrawn, and what a report calls it; whoever has what it waits for wakes it with one result word. Sleep,
 * I/O, await and everything above are built on that pair.
 *
 * Two cache lines are touched by a switch or a wake-up: that of the future and that of the entry.
 */
#ifndef CORE_TASK_H
#define CORE_TASK_H

#include <async/layout.h>
#include <async/task.h>

#include "context/context.h"
#include "context/stack.h"
#include "core/future.h"
#include "core/local.h"
#include "core/timer.h"

enum task_state {
	TASK_CREATED, /* in the ready queue, without a stack: it gets one when it first runs */
	TASK_ACTIVE,  /* runs or is ready */
	TASK_PARKED,
	TASK_ENDED,
};

struct task;

struct wait_class {
	const char *name;  /* what a report says it waits for */
	bool keeps_result; /* a kernel operation: what has succeeded stands, a cancellation comes at the next wait */
	/* Cancels the wait of a parked task. True: it was woken with -ECANCELED. False: its wake-up is on its way
	 * already, or a kernel operation may still succeed; the task keeps the cancellation. NULL:
	 * never. */
	bool (*withdraw)(struct task *task);
	/* Gives back what the wait holds, for a task that will not go on because its loop closes. NULL: nothing. */
	void (*abandon)(struct task *task);
	/* For those who look, from outside too: what `wait_object` is, where in it they find what <async/layout.h>
	 * says, and where the futures are if there are several. ON_FUTURE: cancelling the task cancels that. */
	uint16_t on; /* enum async_layout_wait */
	uint16_t detail;
	struct async_layout_children children;
};

static inline bool wait_forwards(const struct wait_class *class)
{
	return class->on == ASYNC_LAYOUT_ON_FUTURE;
}

#define TASK_UNDELIVERED_MAX 127

struct task {
	async_future future;

	struct entry entry;
	struct context context;
	/* What it was woken with; while it is parked, the time of the service before that; before it has a stack, the
	 * floating-point environment that it begins in. */
	intptr_t word;
	const struct wait_class *wait_class; /* NULL unless it is in task_park */
	void *wait_object;
	uint8_t state; /* enum task_state */
	uint8_t stack_class;
	uint8_t undelivered : 7; /* of `cancels`, those that no wait has told yet; more than fit are as many as fit */
	bool kept_result : 1;    /* the last wait gave its result although there were some */
	uint8_t deliveries;      /* of what was kept so; only compared, so that it may go round */
	int cancels;             /* cancellations that were requested and not taken back */

	struct watcher watcher;
	struct timer timer;
	uint64_t id;

	async_fn *fn;
	void *arg;
	async_destroy *destroy;
	struct stack_header *stack;
	char *name;          /* NULL: "Task-id" */
	const void *creator; /* the return address of the creating call */
	uint32_t cancel_mark;
	uint32_t trace_name; /* what stands for `name` in the trace; 0: not looked up */
	struct locals *locals; /* task-local values */
};

extern const struct future_class future_task;

static always_inline struct task *task_of(async_future *future)
{
	return (struct task *)future;
}

static always_inline struct task *task_of_entry(struct entry *entry)
{
	return container_of(entry, struct task, entry);
}

/* What is common to the creating calls. `creator` is where the user called. */
async_task *task_create(struct async_loop *loop, async_fn *fn, void *arg, const struct async_task_options *options,
			const void *creator);

/* Gives a task that was created its stack. False if it shall not or cannot run: task_discard ends it. */
bool task_prepare(struct task *task);
/* Ends a task whose body never ran. On the loop's stack: it calls `destroy`. */
void task_discard(struct task *task);
/* For a loop that closes. First every task that has not ended is taken out of what it waits for, so that no end of
 * one wakes another; then each is ended where it is. */
void task_detach(struct task *task);
void task_abandon(struct task *task);

/* The last reference is gone. */
void task_free(struct task *task);

/* "Task-7", "worker" … Safe in a signal handler. */
const char *task_name(const struct task *task, char *buffer, size_t size);
/* "future of Task-2", "sleep" … */
const char *task_waits_for(const struct task *task, char *buffer, size_t size);

/* For context/overflow.h: the label of a task's stack is the task. */
void task_describe(const void *label, char *line, size_t size);

/* The return address of the public function that uses it: where the user called. */
#define CALLER __builtin_return_address(0)

#endif
