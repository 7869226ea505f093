/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. The rules are those of asyncio.TaskGroup in CPython 3.13. Each task has a record with a callback, which runs
 * an iteration after the task is done. The body is cancelled by a request of the group's own, which the end takes
 * back: what is left then came from outside.
 */
#include <async/group.h>

#include "base/memory.h"
#include "base/versioned.h"
#include "compose/group.h"
#include "context/exceptions.h"
#include "core/schedule.h"

enum group_state {
	GROUP_NEW, /* what ASYNC_GROUP_INIT says */
	GROUP_OPEN,
	GROUP_ENDING,
	GROUP_ENDED,
};

struct async_group_child {
	struct entry entry;
	struct watcher watcher;
	struct async_group *group;
	async_task *task;
	struct async_group_child *next, **previous;
	bool has_handle; /* kept until the end, for those who have it */
};

static void link_child(struct async_group *group, struct async_group_child *child)
{
	child->next = NULL;
	child->previous = group->end;
	*group->end = child;
	group->end = &child->next;
}

static void unlink_child(struct async_group *group, struct async_group_child *child)
{
	*child->previous = child->next;
	if (child->next)
		child->next->previous = child->previous;
	else
		group->end = child->previous;
}

static void free_child(struct async_group_child *child)
{
	future_release(child->task);
	mem_free(child);
}

static void abort_group(struct async_group *group)
{
	group->aborting = true;
	for (struct async_group_child *child = group->first; child; child = child->next)
		future_cancel(child->task, "task group");
}

/* Cancels the body as well, until the end. */
static void abort_with_parent(struct async_group *group)
{
	abort_group(group);
	group->cancelled_parent = true;
	group->request = task_request(task_of(group->parent), "task group");
}

static void add_error(struct async_group *group, intptr_t error)
{
	if (group->error_count < ASYNC_GROUP_ERRORS_MAX)
		group->errors[group->error_count] = error;
	group->error_count++;
}

/* The first failure cancels the rest, unless that was done. */
static void child_ended(struct async_group *group, async_task *task)
{
	if (task->result >= 0 || task->result == -ECANCELED)
		return;
	add_error(group, future_take(task));
	if (!group->aborting && !group->cancelled_parent)
		abort_with_parent(group);
}

static void on_child(struct entry *entry)
{
	struct async_group_child *child = container_of(entry, struct async_group_child, entry);
	struct async_group *group = child->group;

	/* Of a loop that closes, nobody else comes back, and the body may be gone. */
	if (atomic_load_explicit(&child->task->loop->refuses, memory_order_relaxed) != 0) {
		free_child(child);
		return;
	}
	if (--group->running == 0 && group->waiting) {
		group->waiting = false;
		task_wake(task_of(group->parent), 0);
	}
	child_ended(group, child->task);
	if (!child->has_handle) {
		unlink_child(group, child);
		free_child(child);
	}
}

const struct group_membership group_membership = {
	.run = on_child,
	.group = offsetof(struct async_group_child, group) - offsetof(struct async_group_child, entry),
};

int async_group_begin(struct async_group *group)
{
	struct task *task = task_current();

	if (!group)
		return -EINVAL;
	if (!task)
		return -EPERM;
	if (group->state == GROUP_OPEN || group->state == GROUP_ENDING)
		return -EBUSY;
	if (group->state != GROUP_NEW)
		return -ESHUTDOWN;
	*group = (struct async_group){.parent = &task->future, .state = GROUP_OPEN, .cancelling = task_cancels_before(task)};
	group->end = &group->first;
	return 0;
}

/* Why a task cannot be created; 0 if it can. */
static int creation_check(const struct async_group *group)
{
	if (!group || group->state == GROUP_NEW)
		return -EINVAL;
	if (group->state == GROUP_ENDED)
		return -ESHUTDOWN;
	if (group->parent->loop != loop_running)
		return -EPERM;
	if (group->aborting || (group->state == GROUP_ENDING && group->running == 0))
		return -ESHUTDOWN;
	return 0;
}

static async_task *creation_failed(int error, void *arg, const struct async_task_options *given)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	if (given && versioned_copy(&options, sizeof(options), given) == 0 && options.destroy)
		FENCED(options.destroy(arg));
	return async_future_failed(error);
}

/* A task of the group; one that could not be created is immortal. NULL: it has ended, and there shall be no handle. */
static async_task *create(struct async_group *group, async_fn *fn, void *arg, const struct async_task_options *options,
			  bool has_handle, const void *creator)
{
	int error = creation_check(group);
	struct async_group_child *child = error ? NULL : mem_alloc(sizeof(*child));

	if (!child)
		return creation_failed(error ? error : -ENOMEM, arg, options);
	async_task *task = task_create(group->parent->loop, fn, arg, options, creator);
	if (task->immortal) {
		mem_free(child);
		return task;
	}
	*child = (struct async_group_child){.group = group, .task = task, .has_handle = has_handle};
	child->entry.kind = ENTRY_CALLBACK;
	child->entry.run = on_child;
	child->watcher.entry = &child->entry;
	link_child(group, child);
	group->running++;
	if (!future_done(task)) {
		future_watch(task, &child->watcher);
		/* It was started eagerly, and the group was cancelled meanwhile. */
		if (group->aborting)
			future_cancel(task, "task group");
		return task;
	}
	group->running--;
	child_ended(group, task);
	if (has_handle)
		return task;
	unlink_child(group, child);
	free_child(child);
	return NULL;
}

async_task *async_group_create_task(struct async_group *group, async_fn *fn, void *arg)
{
	return create(group, fn, arg, NULL, true, CALLER);
}

async_task *async_group_create_task_with(struct async_group *group, async_fn *fn, void *arg,
					 const struct async_task_options *options)
{
	return create(group, fn, arg, options, true, CALLER);
}

int async_group_spawn(struct async_group *group, async_fn *fn, void *arg, const struct async_task_options *options)
{
	async_task *task = create(group, fn, arg, options, false, CALLER);

	return task && task->immortal ? (int)task->result : 0;
}

static bool withdraw_group(struct task *task)
{
	((struct async_group *)task->wait_object)->waiting = false;
	task_wake(task, -ECANCELED);
	return true;
}

static const struct wait_class wait_group = {
	.name = "the tasks of its group",
	.withdraw = withdraw_group,
	.on = ASYNC_LAYOUT_ON_GROUP,
	.children = {.kind = ASYNC_LAYOUT_LIST,
		     .first = offsetof(struct async_group, first),
		     .next = offsetof(struct async_group_child, next),
		     .future = offsetof(struct async_group_child, task)},
};

/* True if the body was cancelled while it waited. */
static bool wait_for_children(struct async_group *group, struct task *task)
{
	bool cancelled = false;

	while (group->running > 0) {
		group->waiting = true;
		if (task_park(task, &wait_group, group) != -ECANCELED)
			continue;
		cancelled = true;
		if (!group->aborting)
			abort_group(group);
	}
	return cancelled;
}

static void free_children(struct async_group *group)
{
	struct async_group_child *child, *next;

	for (child = group->first; child; child = next) {
		next = child->next;
		free_child(child);
	}
	group->first = NULL;
}

intptr_t async_group_end(struct async_group *group, intptr_t result)
{
	struct task *task = task_current();

	if (!group || group->state != GROUP_OPEN)
		return -EINVAL;
	if (!task || group->parent != &task->future)
		return -EPERM;
	group->state = GROUP_ENDING;
	if (result < 0 && !group->aborting)
		abort_group(group);
	bool cancelled = wait_for_children(group, task) || result == -ECANCELED;
	group->state = GROUP_ENDED;
	free_children(group);
	int left = group->cancelled_parent ? task_take_back(task, group->request, group->cancelling) : task->cancels;
	bool by_others = left > group->cancelling;
	if (result < 0 && result != -ECANCELED)
		add_error(group, result);
	/* An error goes before a cancellation from outside, which comes at the next wait. */
	if (group->error_count > 0) {
		if (cancelled && by_others)
			task_tell_again(task);
		return group->errors[0];
	}
	/* If nobody else cancelled the body, it goes on. */
	if (cancelled && (by_others || !group->cancelled_parent))
		return -ECANCELED;
	return result == -ECANCELED ? 0 : result;
}

int async_group_cancel(struct async_group *group)
{
	if (!group || group->state == GROUP_NEW)
		return -EINVAL;
	if (group->state == GROUP_ENDED)
		return 0;
	if (group->parent->loop != loop_running)
		return -EPERM;
	if (group->aborting || (group->state == GROUP_ENDING && group->running == 0))
		return 0;
	abort_with_parent(group);
	return 1;
}

size_t async_group_error_count(const struct async_group *group)
{
	return group ? group->error_count : 0;
}

intptr_t async_group_error(const struct async_group *group, size_t index)
{
	return index < async_group_error_count(group) && index < ASYNC_GROUP_ERRORS_MAX ? group->errors[index] : 0;
}
