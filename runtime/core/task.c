/* SPDX-License-Identifier: MIT */
#include "core/task.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/probe.h"
#include "base/versioned.h"
#include "context/exceptions.h"
#include "core/loop.h"
#include "core/schedule.h"
#include "core/sleep.h"

const struct future_class future_task = {.name = "task", .is_task = true};

void task_free(struct task *task)
{
	if (unlikely(task->name != NULL)) {
		mem_free(task->name);
		task->name = NULL;
	}
	locals_unref(task->locals);
	slab_free(&task->future.loop->task_slab, task);
}

/* The end of a task that ran, on its own stack, which is given back only when the next one is left: nothing may
 * be handed out that somebody stands on. */
static void *task_exit(struct task *task, intptr_t result)
{
	struct async_loop *loop = task->future.loop;

	/* It replaces a value, but not a failure, and nothing that a call has kept: that may be bytes or a
	 * descriptor. */
	if (unlikely(task->undelivered) && !task->kept_result && result >= 0) {
		result_drop(task->future.drop, result);
		result = -ECANCELED;
	}
	task->state = TASK_ENDED;
	PROBE(task_end, task, result);
	loop->tasks--;
	future_complete(&task->future, result);
	if (loop->left_stack)
		stack_free(&loop->stacks, loop->left_class, loop->left_stack);
	loop->left_stack = task->stack;
	loop->left_class = task->stack_class;
	loop->left = task->context;
	/* The overflow handler must not name a task that may be gone. */
	task->stack->label = NULL;
	struct context *to = schedule_away(loop);
	future_release(&task->future);
	return context_finish(&loop->left, to, loop->switch_kind);
}

static void *task_main(void *arg)
{
	struct task *task = arg;

	context_begun(task->future.loop->switch_kind);
	return task_exit(task, FENCED_VALUE(task->fn(task->arg)));
}

bool task_prepare(struct task *task)
{
	struct async_loop *loop = task->future.loop;

	if (unlikely(task->undelivered))
		return false;
	task->stack = stack_alloc(&loop->stacks, task->stack_class, task);
	if (unlikely(!task->stack))
		return false;
	if (unlikely(loop->observed))
		observe_prepare(loop, task);
	if (unlikely(loop->options.measure_stacks))
		stack_paint(task->stack, task->stack_class);
	context_make(&task->context, loop->switch_kind, stack_bottom(task->stack, task->stack_class), task->stack,
		     (uint32_t)task->word, task_main, task);
	task->state = TASK_ACTIVE;
	return true;
}

static void task_end_unrun(struct task *task, intptr_t result)
{
	struct async_loop *loop = task->future.loop;

	if (unlikely(loop->observed))
		observe_gone(loop, task);
	task->state = TASK_ENDED;
	PROBE(task_end, task, result);
	loop->tasks--;
	if (task->destroy)
		FENCED(task->destroy(task->arg));
	future_complete(&task->future, result);
	future_release(&task->future);
}

void task_discard(struct task *task)
{
	task_end_unrun(task, task->undelivered ? -ECANCELED : -ENOMEM);
}

void task_detach(struct task *task)
{
	list_remove(&task->watcher.link);
}

void task_abandon(struct task *task)
{
	task->future.looked_at = true;
	if (task->state == TASK_CREATED) {
		task_end_unrun(task, -ESHUTDOWN);
		return;
	}
	/* Parked, or woken and not resumed. */
	if (task->wait_class && task->wait_class->abandon)
		task->wait_class->abandon(task);
	sanitizer_fiber_abandon(&task->stack->fiber);
	if (unlikely(task->future.loop->observed))
		observe_gone(task->future.loop, task);
	task->state = TASK_ENDED;
	task->future.loop->tasks--;
	future_complete(&task->future, -ESHUTDOWN);
	future_release(&task->future);
}

/* What does not change from one task to the next in the same memory. */
static noinline void task_init_fresh(struct task *task)
{
	task->entry.kind = ENTRY_TASK;
	list_init(&task->watcher.link);
	task->watcher.entry = &task->entry;
	timer_init(&task->timer, sleep_expired, ENTRY_INTERNAL);
	task->name = NULL;
}

static always_inline void task_init(struct task *task, struct async_loop *loop, async_fn *fn, void *arg,
				    unsigned stack_class)
{
	if (unlikely(!task->watcher.entry))
		task_init_fresh(task);
	future_init(&task->future, loop, &future_task, NULL);
	/* One reference is the caller's, one is the body's. */
	task->future.refs = 2;
	task->state = TASK_CREATED;
	task->stack_class = (uint8_t)stack_class;
	task->undelivered = 0;
	task->cancels = 0;
	task->cancel_mark = 0;
	task->trace_name = 0;
	task->id = ++loop->tasks_created;
	task->fn = fn;
	task->arg = arg;
	task->destroy = NULL;
	/* As a thread, it begins in the floating-point environment of its creator. */
	task->word = fpenv_get();
}

static int task_apply(struct task *task, const struct async_task_options *options)
{
	task->future.drop = options->drop;
	if (options->name && !(task->name = mem_strndup(options->name, ASYNC_TASK_NAME_MAX - 1)))
		return -ENOMEM;
	/* From here on creation cannot fail: until then the argument is destroyed by the caller. */
	task->destroy = options->destroy;
	return 0;
}

/* Runs the body at once, until it suspends for the first time or ends. */
static void task_start_eagerly(struct task *task)
{
	struct async_loop *loop = task->future.loop;
	struct eager_frame frame = {.outer = loop->eager, .task = task, .creator = loop->current};
	struct context *here = frame.creator ? &frame.creator->context : &loop->main;

	loop->eager = &frame;
	if (unlikely(loop->observed))
		observe_switch(loop, frame.creator, task);
	PROBE(task_switch, frame.creator, task);
	loop->current = task;
	loop->switches++;
	context_switch(here, &task->context, loop->switch_kind);
}

static always_inline void task_schedule(struct task *task, bool eager)
{
	struct async_loop *loop = task->future.loop;
	struct task *creator = task_current();

	task->locals = locals_ref(likely(creator != NULL) ? creator->locals : locals_of_thread);
	loop->tasks++;
	PROBE(task_create, task, task->id, task->fn, task->name);
	if (unlikely(loop->observed))
		observe_create(loop, task);
	if (eager && loop == loop_running && task_prepare(task))
		task_start_eagerly(task);
	else
		ready_append(&loop->ready, &task->entry);
	loop_rouse(loop);
}

static async_task *create_failed(intptr_t error, void *arg, const struct async_task_options *options)
{
	if (options->destroy)
		FENCED(options->destroy(arg));
	return async_future_failed(error);
}

/* A task that is not scheduled yet; NULL with the reason in *ret_error. */
static always_inline struct task *task_make(struct async_loop *loop, async_fn *fn, void *arg, unsigned stack_class,
					    int *ret_error)
{
	*ret_error = unlikely(!fn) ? -EINVAL : unlikely(!loop) ? -ENOMEM : loop_check(loop);
	if (unlikely(*ret_error))
		return NULL;
	struct task *task = slab_alloc(&loop->task_slab);
	if (unlikely(!task))
		*ret_error = -ENOMEM;
	else
		task_init(task, loop, fn, arg, stack_class);
	return task;
}

static noinline async_task *create_with(struct async_loop *loop, async_fn *fn, void *arg,
					const struct async_task_options *given, const void *creator)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	int error = versioned_copy(&options, sizeof(options), given), class;

	if (error)
		return async_future_failed(error);
	class = options.stack_size ? stack_class_for(options.stack_size) : loop ? (int)loop->stack_class : 0;
	if (class < 0)
		return create_failed(-EINVAL, arg, &options);
	struct task *task = task_make(loop, fn, arg, (unsigned)class, &error);
	if (!task)
		return create_failed(error, arg, &options);
	task->creator = creator;
	error = task_apply(task, &options);
	if (error) {
		task->future.refs = 0;
		slab_free(&loop->task_slab, task);
		return create_failed(error, arg, &options);
	}
	task_schedule(task, options.eager);
	return &task->future;
}

async_task *task_create(struct async_loop *loop, async_fn *fn, void *arg, const struct async_task_options *options,
			const void *creator)
{
	int error;

	if (unlikely(options != NULL))
		return create_with(loop, fn, arg, options, creator);
	struct task *task = task_make(loop, fn, arg, loop ? loop->stack_class : 0, &error);
	if (unlikely(!task))
		return async_future_failed(error);
	task->creator = creator;
	task_schedule(task, false);
	return &task->future;
}

async_task *async_create_task(async_fn *fn, void *arg)
{
	return task_create(loop_or_default(NULL), fn, arg, NULL, CALLER);
}

async_task *async_create_task_with(async_fn *fn, void *arg, const struct async_task_options *options)
{
	return task_create(loop_or_default(NULL), fn, arg, options, CALLER);
}

async_task *async_loop_create_task(async_loop *loop, async_fn *fn, void *arg, const struct async_task_options *options)
{
	return task_create(loop_or_default(loop), fn, arg, options, CALLER);
}
