/* SPDX-License-Identifier: MIT */
/*
 * Task groups: tasks that end before the one that started them goes on.
 *
 * Between begin and end a task creates others, and runs on itself: the body of the group. The end waits for all of
 * them. If one fails, or the body does, the others and the body are cancelled; the end returns the first error, and
 * the rest can be read. A task of the group that is cancelled alone concerns nobody else.
 *
 *     struct async_group group = ASYNC_GROUP_INIT;
 *     int error = async_group_begin(&group);
 *     if (error)
 *             return error;
 *     async_group_create_task(&group, fetch, &left);
 *     async_group_create_task(&group, fetch, &right);
 *     intptr_t result = async_group_end(&group, prepare());
 *
 * What is begun must be ended, by the same task and on every path: the tasks point to the group. Groups nest.
 */
#ifndef ASYNC_GROUP_H
#define ASYNC_GROUP_H

#include <async/base.h>
#include <async/task.h>

/* Errors that a group keeps; of more it knows only how many there were. */
#define ASYNC_GROUP_ERRORS_MAX 16

/* A group lives where its body runs, usually on the stack, and does not move. The fields are the library's. */
struct async_group {
	async_task *parent;
	struct async_group_child *first, **end;
	size_t running;
	size_t error_count;
	intptr_t errors[ASYNC_GROUP_ERRORS_MAX];
	int cancelling;
	int request;
	int state;
	bool aborting;
	bool cancelled_parent;
	bool waiting;
};

#define ASYNC_GROUP_INIT ASYNC_INIT_ZERO

ASYNC_BEGIN_DECLS

/* Begins a group whose body is the running task. Returns: 0; -EBUSY (it has begun and not ended),
 * -ESHUTDOWN (it has ended: ASYNC_GROUP_INIT makes a new one), -EPERM (outside a task), -EINVAL (NULL). */
ASYNC_EXPORT int async_group_begin(struct async_group *group);

/*
 * Creates a task of the group. The body may, and any task of the group; while the end waits, too.
 * Owns: the group has the reference until its end. The handle is borrowed until then: async_ref one whose result is
 * to be read later.
 * Returns: never NULL. A failed future carries -EINVAL (the group has not begun), -ESHUTDOWN (it has ended, or is
 * being cancelled), -EPERM (another loop's), and everything that async_create_task gives.
 */
ASYNC_EXPORT async_task *async_group_create_task(struct async_group *group, async_fn *fn, void *arg);
/* The same with options (NULL: none). `destroy` is called before a failed creation returns, too. */
ASYNC_EXPORT async_task *async_group_create_task_with(struct async_group *group, async_fn *fn, void *arg,
						      const struct async_task_options *options);

/*
 * The same without a handle, for groups that go on for long: what the task occupied is free when it ends, not only when
 * the group does.
 * Owns: a value that the task returns goes to `drop` of its options. Returns: 0, or the error as above.
 */
ASYNC_EXPORT int async_group_spawn(struct async_group *group, async_fn *fn, void *arg,
				   const struct async_task_options *options);

/*
 * Ends the group: waits until each of its tasks has ended. `result` is what the body came to; an error in it cancels
 * the tasks first.
 * Suspends: while a task runs. Cancel: cancels the tasks and waits for them all the same.
 * Returns: `result`, or the first error if one failed; -ECANCELED (the body was cancelled from outside and no task
 * failed), 0 in place of -ECANCELED after async_group_cancel; -EPERM (not the task that began it), -EINVAL
 * (NULL, or not begun).
 */
ASYNC_EXPORT ASYNC_MUST_CHECK intptr_t async_group_end(struct async_group *group, intptr_t result);

/* Cancels the tasks of the group, and the body until its end. Returns: 1; 0 (it has ended, or that was done already);
 * -EINVAL (NULL, or not begun), -EPERM (another thread's). */
ASYNC_EXPORT int async_group_cancel(struct async_group *group);

/* How many errors there were: those of tasks in the order in which they failed, then the body's. Cancelled is no error.
 * Still known after the end. */
ASYNC_EXPORT size_t async_group_error_count(const struct async_group *group);
/* The error with a number, from 0. Returns: it; 0 if there is none, or it was one too many to be kept. */
ASYNC_EXPORT intptr_t async_group_error(const struct async_group *group, size_t index);

ASYNC_END_DECLS

#endif
