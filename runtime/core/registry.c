/* SPDX-License-Identifier: MIT */
#include "core/registry.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/instrument.h"
#include "context/sanitizer.h"
#include "core/loop.h"
#include "core/task.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
struct async_loop *registry_loops;
static unsigned made; /* ever */
static __thread pid_t thread_id;

static void lock_loops(void)
{
	pthread_mutex_lock(&mutex);
}

static void unlock_loops(void)
{
	pthread_mutex_unlock(&mutex);
}

/* The child has the memory, but neither the threads nor the ring: whatever it asks of these loops is refused. */
static void refuse_in_child(void)
{
	for (struct async_loop *loop = registry_loops; loop; loop = loop->next_loop) {
		if (atomic_load(&loop->refuses) == 0)
			atomic_store(&loop->refuses, -EPERM);
		atomic_store(&loop->running, false);
		/* Nobody sleeps in it here. Whoever tells it news all the same does not wake the parent's. */
		atomic_store(&loop->wake_state, LOOP_NOTIFIED);
		/* Nor is any thread about to. */
		atomic_store(&loop->notifying, 0);
	}
	/* This is the stack of a task of it, or of a callback. */
	if (loop_running)
		loop_running->stood_on = true;
	loop_running = NULL;
	thread_id = 0;
	unlock_loops();
}

static void show(const void *low, const void *top)
{
	if (low && (uintptr_t)low < (uintptr_t)top)
		leaks_add_root(low, (size_t)((const char *)top - (const char *)low));
}

/* Of another thread's task that runs it is not known where it is. */
static void show_stack(struct task *task, void *here)
{
	const struct async_loop *loop = task->future.loop;

	if (task->state == TASK_CREATED)
		return;
	if (task != loop->current)
		show(task->context.sp, task->stack);
	else if (loop == loop_running)
		show(here, task->stack);
}

/* What only stacks that do not run point to is no leak. LeakSanitizer looks when the program ends, after this. */
static void show_stacks(void)
{
	lock_loops();
	for (struct async_loop *loop = registry_loops; loop; loop = loop->next_loop) {
		loop_visit_tasks(loop, show_stack, __builtin_frame_address(0));
		if (loop == loop_running && loop->current)
			show(loop->main.sp, context_thread_top());
	}
	unlock_loops();
}

static void begin_watching(void)
{
	pthread_atfork(lock_loops, unlock_loops, refuse_in_child);
	if (__lsan_register_root_region)
		atexit(show_stacks);
}

void registry_add(struct async_loop *loop)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, begin_watching);
	lock_loops();
	loop->number = ++made;
	loop->next_loop = registry_loops;
	if (registry_loops)
		registry_loops->prev_loop = loop;
	registry_loops = loop;
	unlock_loops();
}

void registry_remove(struct async_loop *loop)
{
	lock_loops();
	if (loop->prev_loop)
		loop->prev_loop->next_loop = loop->next_loop;
	else
		registry_loops = loop->next_loop;
	if (loop->next_loop)
		loop->next_loop->prev_loop = loop->prev_loop;
	bool last = !registry_loops;
	unlock_loops();
	if (last)
		tsan_fibers_drop();
}

pid_t registry_thread_id(void)
{
	if (!thread_id)
		thread_id = gettid();
	return thread_id;
}
