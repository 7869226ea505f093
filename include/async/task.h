/* SPDX-License-Identifier: MIT */
/*
 * Tasks: functions that run one at a time on a loop's thread and may wait anywhere.
 *
 * A task starts in the iteration after its creation and runs until it waits or ends; nothing else of its loop
 * runs meanwhile. The body's word is the task's result. Every call that suspends may return -ECANCELED, once
 * for each cancellation; the body then cleans up and returns it.
 *
 *     async_task *child = async_create_task(fetch, &request);
 *     ...
 *     intptr_t bytes = async_await(child);
 *
 * What a task costs: one page of stack that it touches, and some 300 bytes.
 */
#ifndef ASYNC_TASK_H
#define ASYNC_TASK_H

#include <async/base.h>

ASYNC_BEGIN_DECLS

/* Zero means the default in every field. */
struct async_task_options {
	size_t size;            /* sizeof(struct async_task_options) */
	const char *name;       /* copied; at most ASYNC_TASK_NAME_MAX - 1 bytes are kept; default "Task-N" */
	size_t stack_size;      /* bytes; default the loop's */
	async_destroy *destroy; /* gets the argument if the body never runs */
	async_drop *drop;       /* gets a result >= 0 that nobody took */
	bool eager;             /* the body runs inside the creating call until it first suspends */
};

#define ASYNC_TASK_OPTIONS_INIT ASYNC_INIT_SIZE(struct async_task_options)
#define ASYNC_TASK_NAME_MAX 64

/*
 * Creates a task on the running loop; on the thread's own loop if none runs.
 * Owns: the caller gets one reference; `arg` stays the caller's.
 * Returns: never NULL. A failed future carries -ENOMEM (also: no more mappings for stacks, see
 * async_stacks(7)), -EINVAL (NULL function, stack size outside its limits), -ESHUTDOWN (the loop is closed),
 * -EPERM (another thread's loop, or a loop of the parent process after fork).
 */
ASYNC_EXPORT async_task *async_create_task(async_fn *fn, void *arg);

/* The same with options (NULL: none). `destroy` is called before a failed creation returns, too. */
ASYNC_EXPORT async_task *async_create_task_with(async_fn *fn, void *arg, const struct async_task_options *options);

/* The same on a loop that may not run yet (NULL: as above). Returns: as above. */
ASYNC_EXPORT async_task *async_loop_create_task(async_loop *loop, async_fn *fn, void *arg,
						const struct async_task_options *options);

/* The task that runs now, borrowed; NULL outside any task. */
ASYNC_EXPORT async_task *async_current_task(void);

/* Stores up to `capacity` live tasks of `loop` (NULL: the running one) in the order of their creation, borrowed.
 * Returns: how many there are, which may be more than were stored; -EPERM. */
ASYNC_EXPORT intptr_t async_all_tasks(async_loop *loop, async_task **tasks, size_t capacity);

/* True if this future's result is produced by a coroutine. */
ASYNC_EXPORT bool async_is_task(const async_future *future);

/* Writes the name of a task, cut to `size` bytes with the final NUL; "" for what is no task. Returns: `buffer`; "" if
 * that is NULL or has no room. */
ASYNC_EXPORT const char *async_task_get_name(const async_task *task, char *buffer, size_t size);
/* Names a task. Returns: 0; -ENOMEM, -EINVAL (no task, NULL), -EPERM (another thread's). */
ASYNC_EXPORT int async_task_set_name(async_task *task, const char *name);

/*
 * Suspends for `delay` nanoseconds. Zero or less gives way exactly once: everything that is ready runs first.
 * Suspends: always. Cancel: at once.
 * Returns: 0; -ECANCELED, -ENOMEM (no room for the timer), -EPERM (outside a task).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_sleep(async_time delay);
/* Suspends until the loop's clock shows `when`. Returns: as above. */
ASYNC_EXPORT ASYNC_MUST_CHECK int async_sleep_until(async_time when);

/* How many cancellations were requested and not taken back. Returns: the count; -EINVAL (no task),
 * -EPERM (another thread's). */
ASYNC_EXPORT int async_cancelling(const async_task *task);
/* Takes one request back, which is what a scope does that turned a cancellation into something else. When none
 * is left, one that was not delivered yet is rescinded. Returns: the count left; -EINVAL (no task), -EPERM. */
ASYNC_EXPORT int async_uncancel(async_task *task);

/* The size of a task's stack in bytes, guard included. Returns: the size; -EINVAL (no task, or it ended),
 * -EPERM. */
ASYNC_EXPORT intptr_t async_task_stack_size(const async_task *task);
/* The most that a task's stack has held, in bytes: exact if the loop measures stacks, else in whole pages and
 * including what earlier tasks touched in the same place. Returns: the peak; -EINVAL (no task, or it ended),
 * -EPERM. */
ASYNC_EXPORT intptr_t async_task_stack_used(const async_task *task);

enum async_task_state {
	ASYNC_TASK_CREATED, /* has not begun */
	ASYNC_TASK_READY,   /* waits for its turn */
	ASYNC_TASK_RUNNING,
	ASYNC_TASK_WAITING,
	ASYNC_TASK_ENDED,
};

/* What a task did. Before the call `size` is set to sizeof(struct async_task_stats). What is kept only where the loop
 * has the option `accounting`, or debug mode, is -1 without it, and in a task that has no stack: before its first run
 * and after its end. */
struct async_task_stats {
	size_t size;
	uint64_t id;                 /* the N of "Task-N" */
	enum async_task_state state;
	const char *waits_for;       /* a static string, such as "sleep"; NULL unless it waits */
	/* When it began to run or to wait, on CLOCK_MONOTONIC; without accounts the time of the loop's last service
	 * before it began to wait, else -1. */
	async_time since;
	async_time ran;              /* accounts: time on the processor */
	int64_t switches;            /* accounts: times that it was given the processor */
};

/* Fills `*stats`. Returns: 0; -EINVAL (no task, NULL, or a size that is no version of the structure), -EPERM (another
 * thread's). */
ASYNC_EXPORT int async_task_get_stats(const async_task *task, struct async_task_stats *stats);

ASYNC_END_DECLS

#endif
