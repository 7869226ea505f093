/* SPDX-License-Identifier: MIT */
/*
 * Who runs next: the hot path of the library.
 *
 * A task that parks takes the next entry of the batch and switches to it directly. At the end of a batch it goes
 * on with what became ready meanwhile, unless service is due: another thread has news, or the clock says so. The
 * clock is read only every `service_step` switches, a number that adapts: service comes about every 100 µs,
 * and after a single slice where slices are longer than that. A timer that is due when it is armed has it read before
 * the next batch, which it belongs to.
 *
 * On the virtual clock service is due after every batch, if there is anything to look after, and `service_at` stays 0.
 * So what a program sees does not depend on how long anything takes; that another thread has news brings a service
 * that finds nothing else.
 */
#ifndef CORE_SCHEDULE_H
#define CORE_SCHEDULE_H

#include <errno.h>

#include "base/probe.h"
#include "core/loop.h"
#include "core/task.h"

/* Reads the clock. True if the loop's stack must look after the reactor or other threads now; if not, what is due by
 * then has been made ready. */
bool schedule_service_due(struct async_loop *loop);
/* Begins the next iteration: what is ready becomes the batch. */
static always_inline void schedule_begin_batch(struct async_loop *loop)
{
	loop->iterations++;
	loop->batch = loop->ready.head;
	ready_init(&loop->ready);
	if (unlikely(loop->shuffle_state))
		loop->batch = ready_shuffle(loop->batch, &loop->shuffle_state);
}

static always_inline bool schedule_next_batch(struct async_loop *loop)
{
	if (!loop->ready.head || unlikely(loop->last_batch))
		return false;
	if (unlikely(atomic_load_explicit(&loop->wake_state, memory_order_relaxed) != LOOP_RUNNING))
		return false;
	if (unlikely(loop->switches >= loop->service_at) && schedule_service_due(loop))
		return false;
	schedule_begin_batch(loop);
	return true;
}

/* With more tasks than this their stacks are not in the cache when their turn comes. */
#define SCHEDULE_CACHED 1000

/* Fetches what the switch after this one will touch: the top of that stack, and the task behind it. */
static always_inline void schedule_prefetch(const struct entry *entry)
{
	const struct task *task = container_of(entry, struct task, entry);

	__builtin_prefetch(entry->next);
	__builtin_prefetch(&task->future, 1);
	__builtin_prefetch(&task->fn, 1);
	stack_prefetch(task->context.sp);
}

/* The task to switch to; NULL if it is the turn of the loop's own stack. */
static always_inline struct task *schedule_next(struct async_loop *loop)
{
	for (;;) {
		struct entry *entry = loop->batch;

		if (unlikely(!entry)) {
			if (!schedule_next_batch(loop))
				return NULL;
			continue;
		}
		if (likely(entry->kind == ENTRY_TASK)) {
			struct task *task = task_of_entry(entry);

			if (unlikely(task->state == TASK_CREATED) && !task_prepare(task))
				return NULL;
			loop->batch = entry->next;
			loop->switches++;
			if (unlikely(loop->tasks > SCHEDULE_CACHED) && entry->next)
				schedule_prefetch(entry->next);
			return task;
		}
		if (entry->kind == ENTRY_CALLBACK)
			return NULL;
		loop->batch = entry->next;
		entry->run(entry);
	}
}

/* Returns to the creator of an eager task that suspends for the first time, or ends. */
struct context *schedule_leave_eager(struct async_loop *loop);

/* Where to switch from the running task: sets `current`. */
static always_inline struct context *schedule_away(struct async_loop *loop)
{
	if (unlikely(loop->eager != NULL) && loop->eager->task == loop->current)
		return schedule_leave_eager(loop);
	struct task *next = schedule_next(loop);
	if (unlikely(loop->observed))
		observe_switch(loop, loop->current, next);
	PROBE(task_switch, loop->current, next);
	loop->current = next;
	return next ? &next->context : &loop->main;
}

/* Gives the processor away; comes back when somebody has made the task ready and its turn has come. */
static always_inline void task_suspend(struct task *task)
{
	struct async_loop *loop = task->future.loop;
	struct context *to = schedule_away(loop);

	if (to != &task->context)
		context_switch(&task->context, to, loop->switch_kind);
}

/* Nobody else is ready and no service is due: giving way would come straight back. A long computation that gives
 * way often is mostly in this state. */
static always_inline bool schedule_alone(const struct async_loop *loop)
{
	return !loop->batch && !loop->ready.head && !loop->eager && !loop->last_batch && !loop->observed &&
	       loop->switches < loop->service_at &&
	       atomic_load_explicit(&loop->wake_state, memory_order_relaxed) == LOOP_RUNNING;
}

static always_inline void task_make_ready(struct task *task)
{
	struct async_loop *loop = task->future.loop;

	task->state = TASK_ACTIVE;
	PROBE(task_wake, task);
	ready_append(&loop->ready, &task->entry);
	if (unlikely(loop->observed))
		observe_wake(loop, task);
}

/* Ends the wait of a parked task with a result. */
static always_inline void task_wake(struct task *task, intptr_t word)
{
	task->word = word;
	task_make_ready(task);
}

/* Delivers what is undelivered to a task that parks, if its wait takes it. */
void task_cancel_wait(struct task *task);

/* Every request that was kept is delivered now, as one. */
static inline void task_delivered(struct task *task)
{
	task->undelivered = 0;
	task->deliveries++;
}

/* How many requests a scope that begins now has nothing to do with: what is undelivered can still come inside. */
static inline int task_cancels_before(const struct task *task)
{
	return task->cancels - task->undelivered;
}

/*
 * For a scope of the task's own, which makes a request and takes it back at its end. The ticket says whether the
 * request was delivered by then; if not it never will be, while others that wait with it are.
 */
int task_request(struct task *task, const char *reason);
/* `before`: what task_cancels_before said when the scope began. Returns the count of requests that are left. */
int task_take_back(struct task *task, int ticket, int before);
/* For the end of a scope that says something else than the cancellation which it was told of: it comes again from
 * the next wait, and is counted already. */
void task_tell_again(struct task *task);

/* Waits until task_wake. Returns its word, or -ECANCELED. */
static always_inline intptr_t task_park(struct task *task, const struct wait_class *class, void *object)
{
	task->wait_class = class;
	task->wait_object = object;
	task->word = task->future.loop->serviced_at;
	task->state = TASK_PARKED;
	PROBE(task_park, task, class);
	if (unlikely(task->undelivered))
		task_cancel_wait(task);
	task_suspend(task);
	task->wait_class = NULL;
	if (unlikely(task->undelivered)) {
		if (!class->keeps_result || task->word == -ECANCELED) {
			task_delivered(task);
			return -ECANCELED;
		}
		task->kept_result = true;
	}
	return task->word;
}

/* The task that runs in this thread, or NULL. */
static always_inline struct task *task_current(void)
{
	struct async_loop *loop = loop_running;

	return likely(loop != NULL) ? loop->current : NULL;
}

/* For what may complete without waiting, and is a cancellation point all the same: true if a cancellation was
 * delivered by asking. */
static inline bool task_take_cancel(struct task *task)
{
	if (!task->undelivered)
		return false;
	task_delivered(task);
	return true;
}

#endif
