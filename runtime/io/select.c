/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. A select tries its cases in order; if none is possible it waits for all of them, and tries again when any
 * of them says something. Taking happens only in the trying, so a case that is not taken needs no undoing: what is
 * hung up for the wait does not touch the items.
 *
 * All of that lives on the task's stack. What has been made ready, or is in the kernel, cannot be called back at once:
 * the call does not return before the last of it has run (`pending`).
 */
#include <async/select.h>

#include <poll.h>

#include "base/fault.h"
#include "base/memory.h"
#include "core/schedule.h"
#include "io/fd.h"
#include "sync/queue.h"
#include "sync/waiters.h"

/* Up to so many cases need no memory. */
#define ARMS_ON_STACK 8
/* No case is possible. No errno: arming a case may fail with any of those. */
#define NOT_YET INTPTR_MIN

struct selection;

/* What hangs somewhere for one case. */
struct arm {
	struct watcher watcher; /* in the line of a queue, or among the watchers of a future */
	struct entry entry;     /* of a future: runs when it is done */
	struct op op;
	bool submitted; /* the operation was begun, and its result, now or later, is in it */
	struct selection *selection;
};

struct selection {
	struct list link; /* among those of the loop */
	struct task *task;
	struct async_select_case *cases;
	struct arm *arms;
	size_t count, first;
	size_t pending; /* entries that will run and operations that will complete */
	bool leaving;   /* woken: only `pending` is waited for */
	struct timer timer;
};

/* The selections of a loop that wait: a loop that closes takes them down before their stacks go. */
struct selections {
	struct loop_hook hook;
	struct list list;
};

static enum queue_side side_of(const struct async_select_case *which)
{
	return which->kind == ASYNC_SELECT_GET ? QUEUE_GET : QUEUE_PUT;
}

static void unhang(struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++)
		list_remove(&selection->arms[i].watcher.link);
}

static void on_close(struct async_loop *loop, struct loop_hook *hook)
{
	struct selections *selections = container_of(hook, struct selections, hook);

	(void)loop;
	list_for_each(node, &selections->list)
		unhang(list_entry(node, struct selection, link));
	list_remove(&hook->link);
	mem_free(selections);
}

/* Made when a loop first needs it; NULL without memory. */
static struct selections *selections_of(struct async_loop *loop)
{
	struct loop_hook *hook = loop_find_hook(loop, on_close);

	if (hook)
		return container_of(hook, struct selections, hook);
	struct selections *selections = mem_alloc(sizeof(*selections));
	if (!selections)
		return NULL;
	selections->hook = (struct loop_hook){.close = on_close};
	list_init(&selections->list);
	loop_add_hook(loop, &selections->hook);
	return selections;
}

/* Something that was pending has come. */
static void arrived(struct selection *selection)
{
	struct task *task = selection->task;

	selection->pending--;
	if (task->state == TASK_PARKED && (!selection->leaving || selection->pending == 0))
		task_wake(task, 0);
}

static void on_future(struct entry *entry)
{
	arrived(container_of(entry, struct arm, entry)->selection);
}

static void on_deadline(struct entry *entry)
{
	arrived(container_of(container_of(entry, struct timer, entry), struct selection, timer));
}

static void on_complete(struct op *op)
{
	struct selection *selection = container_of(op, struct arm, op)->selection;

	fd_completed(selection->task->future.loop, op);
	arrived(selection);
}

static int check_case(const struct async_select_case *which, const struct task *task)
{
	switch (which->kind) {
	case ASYNC_SELECT_GET:
	case ASYNC_SELECT_PUT:
		if (!which->queue)
			return -EINVAL;
		return queue_foreign(which->queue, task) ? -EPERM : 0;
	case ASYNC_SELECT_FUTURE:
		if (!which->future)
			return -EINVAL;
		if (which->future == &task->future)
			return -EDEADLK;
		return which->future->loop && which->future->loop != task->future.loop ? -EPERM : 0;
	case ASYNC_SELECT_POLL:
		return which->events ? 0 : -EINVAL;
	case ASYNC_SELECT_NEVER:
	case ASYNC_SELECT_DEADLINE:
	case ASYNC_SELECT_DEFAULT:
		return 0;
	}
	return -EINVAL;
}

static bool took_queue(struct async_select_case *which)
{
	void *item;
	int error;

	if (which->kind == ASYNC_SELECT_GET) {
		error = async_queue_get_nowait(which->queue, &item);
		if (error == 0)
			which->item = item;
	} else if (which->priority) {
		error = async_queue_put_priority_nowait(which->queue, which->item, which->priority);
	} else {
		error = async_queue_put_nowait(which->queue, which->item);
	}
	which->result = error;
	return error != -EAGAIN;
}

/* Before the first wait the kernel is asked; after it, the operation knows. */
static bool descriptor_ready(struct async_select_case *which, const struct arm *arm)
{
	struct pollfd pfd = {.fd = which->fd, .events = which->events};

	if (arm) {
		if (!arm->submitted || arm->op.result == -ECANCELED)
			return false;
		which->result = (intptr_t)arm->op.result;
		return true;
	}
	int ready = which->fd < 0 ? 1 : (int)SYS("poll", poll(&pfd, 1, 0));
	which->result = ready < 0 ? ready : which->fd < 0 || pfd.revents & POLLNVAL ? -EBADF : pfd.revents;
	return ready != 0;
}

static bool took(struct selection *selection, size_t i)
{
	struct async_select_case *which = &selection->cases[i];

	switch (which->kind) {
	case ASYNC_SELECT_GET:
	case ASYNC_SELECT_PUT:
		return took_queue(which);
	case ASYNC_SELECT_FUTURE:
		if (!future_done(which->future))
			return false;
		which->result = future_take(which->future);
		return true;
	case ASYNC_SELECT_POLL:
		return descriptor_ready(which, selection->arms ? &selection->arms[i] : NULL);
	case ASYNC_SELECT_DEADLINE:
		which->result = 0;
		return which->when <= loop_now(selection->task->future.loop);
	case ASYNC_SELECT_NEVER:
	case ASYNC_SELECT_DEFAULT:
		break;
	}
	return false;
}

/* Takes the first case that is possible. Returns its index, or NOT_YET. */
static intptr_t try_all(struct selection *selection)
{
	for (size_t k = 0; k < selection->count; k++) {
		size_t i = (selection->first + k) % selection->count;

		if (took(selection, i))
			return (intptr_t)i;
	}
	return NOT_YET;
}

/* Hangs up what a case waits for. Returns 0, -errno, or 1 if the case is possible already. */
static int arm_case(struct selection *selection, size_t i)
{
	struct async_select_case *which = &selection->cases[i];
	struct arm *arm = &selection->arms[i];
	struct async_loop *loop = selection->task->future.loop;
	struct reactor *reactor;
	int error;

	switch (which->kind) {
	case ASYNC_SELECT_GET:
	case ASYNC_SELECT_PUT:
		list_append(&which->queue->waiting[side_of(which)], &arm->watcher.link);
		return 0;
	case ASYNC_SELECT_FUTURE:
		arm->watcher.entry = &arm->entry;
		selection->pending++;
		future_watch(which->future, &arm->watcher);
		return 0;
	case ASYNC_SELECT_POLL:
		error = loop_reactor(loop, &reactor);
		if (error)
			return error;
		arm->op = (struct op){
			.code = OP_POLL, .fd = which->fd, .events = which->events, .complete = on_complete};
		arm->submitted = true;
		if (reactor_submit(reactor, &arm->op))
			return 1;
		selection->pending++;
		return 0;
	default:
		return 0;
	}
}

static int arm_timer(struct selection *selection)
{
	async_time when = ASYNC_FOREVER;

	for (size_t i = 0; i < selection->count; i++)
		if (selection->cases[i].kind == ASYNC_SELECT_DEADLINE && selection->cases[i].when < when)
			when = selection->cases[i].when;
	timer_init(&selection->timer, on_deadline, ENTRY_INTERNAL);
	int error = timer_arm(selection->task->future.loop, &selection->timer, when);
	selection->pending += heap_has(&selection->timer.node);
	return error;
}

static int arm_all(struct selection *selection)
{
	int result = arm_timer(selection);

	for (size_t i = 0; i < selection->count; i++) {
		struct arm *arm = &selection->arms[i];

		arm->watcher.entry = &selection->task->entry;
		list_init(&arm->watcher.link);
		arm->entry = (struct entry){.run = on_future, .kind = ENTRY_INTERNAL};
		arm->submitted = false;
		arm->selection = selection;
	}
	for (size_t i = 0; i < selection->count && result == 0; i++)
		result = arm_case(selection, i);
	return result;
}

static const struct wait_class wait_select = {
	.name = "one of several things",
	.withdraw = waiter_withdraw,
	.on = ASYNC_LAYOUT_ON_SELECT,
	.children = {.kind = ASYNC_LAYOUT_POINTER,
		     .first = offsetof(struct selection, cases),
		     .count = offsetof(struct selection, count),
		     .stride = sizeof(struct async_select_case),
		     .future = offsetof(struct async_select_case, future)},
};
/* A cancellation waits for the next wait: what is taken then was not taken in vain. */
static const struct wait_class wait_leave = {.name = "the end of a select", .keeps_result = true};

/* Takes everything down. The results of operations are final then. */
static void disarm_all(struct selection *selection)
{
	struct async_loop *loop = selection->task->future.loop;

	selection->leaving = true;
	for (size_t i = 0; i < selection->count; i++) {
		struct arm *arm = &selection->arms[i];

		if (selection->cases[i].kind == ASYNC_SELECT_FUTURE && !list_empty(&arm->watcher.link))
			selection->pending--;
		if (arm->submitted && reactor_cancel(loop->reactor, &arm->op))
			selection->pending--;
	}
	unhang(selection);
	if (heap_has(&selection->timer.node)) {
		timer_disarm(loop, &selection->timer);
		selection->pending--;
	}
	while (selection->pending > 0)
		task_park(selection->task, &wait_leave, selection);
	selection->leaving = false;
}

/* The case of a queue that woke the task; `count` if it was something else. */
static size_t woken_by(const struct selection *selection, intptr_t word)
{
	size_t i = 0;

	while (i < selection->count && word != (intptr_t)&selection->arms[i].watcher)
		i++;
	return i;
}

/* Waits once for all cases, and tries them again. Returns an index, NOT_YET, or why waiting failed. */
static intptr_t wait_once(struct selection *selection, struct selections *selections)
{
	intptr_t result = arm_all(selection);
	size_t caller = selection->count;

	if (result == 0) {
		list_append(&selections->list, &selection->link);
		result = task_park(selection->task, &wait_select, selection);
		caller = woken_by(selection, selection->task->word);
	}
	disarm_all(selection);
	list_remove(&selection->link);
	if (result >= 0)
		result = try_all(selection);
	/* It was woken instead of somebody else. */
	if (caller < selection->count && result != (intptr_t)caller)
		queue_pass_on(selection->cases[caller].queue, side_of(&selection->cases[caller]));
	return result;
}

static noinline intptr_t wait_for_one(struct selection *selection)
{
	struct selections *selections = selections_of(selection->task->future.loop);
	struct arm on_stack[ARMS_ON_STACK];
	intptr_t result;

	selection->arms = on_stack;
	if (selection->count > ARMS_ON_STACK)
		selection->arms = mem_array(selection->count, sizeof(struct arm));
	if (!selection->arms || !selections) {
		result = -ENOMEM;
	} else {
		do
			result = wait_once(selection, selections);
		while (result == NOT_YET);
	}
	if (selection->arms != on_stack)
		mem_free(selection->arms);
	selection->arms = NULL;
	return result;
}

static intptr_t find_default(const struct selection *selection)
{
	for (size_t i = 0; i < selection->count; i++)
		if (selection->cases[i].kind == ASYNC_SELECT_DEFAULT)
			return (intptr_t)i;
	return NOT_YET;
}

intptr_t async_select_from(struct async_select_case *cases, size_t count, size_t first)
{
	struct selection selection = {.task = task_current(), .cases = cases, .count = count};

	if (!cases || count == 0 || count > INTPTR_MAX)
		return -EINVAL;
	if (!selection.task)
		return -EPERM;
	for (size_t i = 0; i < count; i++) {
		int error = check_case(&cases[i], selection.task);

		if (error)
			return error;
	}
	selection.first = first % count;
	list_init(&selection.link);
	intptr_t result = try_all(&selection);
	if (result == NOT_YET) {
		result = find_default(&selection);
		if (result >= 0)
			cases[result].result = 0;
		else
			result = wait_for_one(&selection);
	}
	return result;
}

intptr_t async_select(struct async_select_case *cases, size_t count)
{
	return async_select_from(cases, count, 0);
}
