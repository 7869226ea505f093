/* SPDX-License-Identifier: MIT */
/*
 * DESIGN. As in asyncio, each future gets a callback that runs an iteration after it is done; the one that makes the
 * condition true wakes the waiter. Callbacks that are scheduled cannot be taken back, so the state outlives the
 * call until the last of them has run: it is counted.
 */
#include <async/wait.h>

#include "base/memory.h"
#include "core/schedule.h"

struct wait_state;

struct wait_callback {
	struct entry entry;
	struct watcher watcher;
	struct wait_state *state;
	async_future *future;
};

struct wait_state {
	struct task *task; /* NULL once it is woken or gone */
	size_t refs;       /* the call's, and one for each callback and timer that will come */
	size_t count;      /* futures */
	size_t left;       /* those that are not done */
	enum async_wait_when when;
	struct timer timer;
	struct wait_callback callbacks[];
};

static void state_unref(struct wait_state *state)
{
	if (--state->refs == 0)
		mem_free(state);
}

static void state_wake(struct wait_state *state)
{
	struct task *task = state->task;

	state->task = NULL;
	if (task && task->state == TASK_PARKED)
		task_wake(task, 0);
}

static void on_done(struct entry *entry)
{
	struct wait_callback *callback = container_of(entry, struct wait_callback, entry);
	struct wait_state *state = callback->state;

	state->left--;
	/* The call may be over, and the future with it. */
	if (state->task && (state->left == 0 || state->when == ASYNC_WAIT_FIRST_COMPLETED ||
			    (state->when == ASYNC_WAIT_FIRST_EXCEPTION && callback->future->result < 0 &&
			     callback->future->result != -ECANCELED)))
		state_wake(state);
	state_unref(state);
}

static void on_timeout(struct entry *entry)
{
	struct wait_state *state = container_of(container_of(entry, struct timer, entry), struct wait_state, timer);

	state_wake(state);
	state_unref(state);
}

static bool withdraw_wait(struct task *task)
{
	((struct wait_state *)task->wait_object)->task = NULL;
	task_wake(task, -ECANCELED);
	return true;
}

/* Takes back what was not scheduled; the rest finds nobody there. */
static void finish(struct wait_state *state, struct async_loop *loop)
{
	state->task = NULL;
	for (size_t i = 0; i < state->count; i++) {
		struct wait_callback *callback = &state->callbacks[i];

		if (!list_empty(&callback->watcher.link)) {
			list_remove(&callback->watcher.link);
			state->refs--;
		}
		future_release(callback->future);
	}
	if (heap_has(&state->timer.node)) {
		timer_disarm(loop, &state->timer);
		state->refs--;
	}
	state_unref(state);
}

static void abandon_wait(struct task *task)
{
	finish(task->wait_object, task->future.loop);
}

static const struct wait_class wait_several = {
	.name = "several futures",
	.withdraw = withdraw_wait,
	.abandon = abandon_wait,
	.on = ASYNC_LAYOUT_ON_FUTURES,
	.children = {.kind = ASYNC_LAYOUT_ARRAY,
		     .first = offsetof(struct wait_state, callbacks),
		     .count = offsetof(struct wait_state, count),
		     .stride = sizeof(struct wait_callback),
		     .future = offsetof(struct wait_callback, future)},
};

static int check(const struct task *task, async_future *const *futures, size_t count, enum async_wait_when when)
{
	if (count == 0 || !futures || (unsigned)when > ASYNC_WAIT_ALL_COMPLETED)
		return -EINVAL;
	if (!task)
		return -EPERM;
	for (size_t i = 0; i < count; i++) {
		if (!futures[i])
			return -EINVAL;
		if (futures[i]->loop && futures[i]->loop != task->future.loop)
			return -EPERM;
	}
	return 0;
}

static void watch(struct wait_state *state, struct wait_callback *callback, async_future *future)
{
	callback->entry.kind = ENTRY_INTERNAL;
	callback->entry.run = on_done;
	callback->watcher.entry = &callback->entry;
	list_init(&callback->watcher.link);
	callback->state = state;
	callback->future = future;
	/* Another task may take the caller's reference meanwhile, by awaiting it. */
	future_ref(future);
	state->refs++;
	if (future_done(future))
		ready_append(&state->task->future.loop->ready, &callback->entry);
	else
		future_watch(future, &callback->watcher);
}

intptr_t async_wait(async_future *const *futures, size_t count, enum async_wait_when when, async_time timeout)
{
	struct task *task = task_current();
	int error = check(task, futures, count, when);

	if (error)
		return error;
	if (count > (SIZE_MAX - sizeof(struct wait_state)) / sizeof(struct wait_callback))
		return -ENOMEM;
	struct async_loop *loop = task->future.loop;
	struct wait_state *state = mem_alloc(sizeof(*state) + count * sizeof(state->callbacks[0]));
	if (!state)
		return -ENOMEM;
	*state = (struct wait_state){.task = task, .refs = 1, .count = count, .left = count, .when = when};
	timer_init(&state->timer, on_timeout, ENTRY_INTERNAL);
	if (timeout != ASYNC_FOREVER) {
		error = timer_arm(loop, &state->timer, clock_add(loop_read_clock(loop), timeout));
		if (error) {
			mem_free(state);
			return error;
		}
		state->refs += heap_has(&state->timer.node);
	}
	for (size_t i = 0; i < count; i++)
		watch(state, &state->callbacks[i], futures[i]);
	intptr_t result = task_park(task, &wait_several, state);
	for (size_t i = 0; i < count && result >= 0; i++)
		result += future_done(futures[i]);
	finish(state, loop);
	return result;
}
