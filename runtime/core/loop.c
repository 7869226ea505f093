/* SPDX-License-Identifier: MIT */
#include "core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/thread_guard.h"
#include "core/handle.h"
#include "core/options.h"
#include "core/registry.h"
#include "core/schedule.h"
#include "core/timer.h"
#include "worker/futex.h"

__thread struct async_loop *loop_running;

const char *async_version(void)
{
	return ASYNC_VERSION_STRING;
}

static void sink_wake(struct job_sink *sink)
{
	loop_notify(container_of(sink, struct async_loop, sink));
}

int async_loop_new(const struct async_options *given, async_loop **ret_loop)
{
	struct async_options options;
	int error = ret_loop ? options_read(given, &options) : -EINVAL;

	if (error)
		return error;
	struct async_loop *loop = mem_zalloc(sizeof(*loop));
	if (!loop)
		return -ENOMEM;
	loop->options = options;
	ready_init(&loop->ready);
	loop->switch_kind = loop_switch_kind(options.switch_kind);
	loop->observed = (uint8_t)((options.debug ? OBSERVE_SLICES | OBSERVE_ACCOUNTS : 0) |
				  (options.accounting ? OBSERVE_ACCOUNTS : 0));
	loop->service_step = 1;
	loop->trim_at = ASYNC_FOREVER;
	loop->shuffle_state = options.shuffle_seed;
	slab_init(&loop->task_slab, sizeof(struct task));
	slab_init(&loop->future_slab, sizeof(struct async_future));
	slab_init(&loop->handle_slab, handle_size());
	stack_pool_init(&loop->stacks, STACK_GUARD_AUTO);
	loop->stack_class = (unsigned)stack_class_for(options.stack_size);
	loop->sink.wake = sink_wake;
	list_init(&loop->hooks);
	list_init(&loop->closers);
	loop->poll_fd = loop->timer_fd = -1;
	registry_add(loop);
	observe_trace(loop);
	*ret_loop = loop;
	return 0;
}

void loop_notify(struct async_loop *loop)
{
	order_release(loop);
	/* A loop that closes waits for those who are in here. */
	atomic_fetch_add(&loop->notifying, 1);
	switch (atomic_exchange(&loop->wake_state, LOOP_NOTIFIED)) {
	case LOOP_ASLEEP:
		order_acquire(&loop->reactor);
		reactor_wake(loop->reactor);
		break;
	case LOOP_DOZING:
		futex_wake(&loop->wake_state, 1);
		break;
	}
	order_release(&loop->notifying);
	atomic_fetch_sub(&loop->notifying, 1);
}

int loop_reactor(struct async_loop *loop, struct reactor **ret_reactor)
{
	if (unlikely(!loop->reactor)) {
		struct reactor_options options = {
			.kind = loop->options.backend == ASYNC_BACKEND_EPOLL      ? REACTOR_EPOLL
				: loop->options.backend == ASYNC_BACKEND_IO_URING ? REACTOR_URING
										  : REACTOR_AUTO,
			.virtual_time = loop_is_virtual(loop),
		};
		int error = reactor_open(&options, &loop->reactor);

		if (error)
			return error;
		order_release(&loop->reactor);
	}
	*ret_reactor = loop->reactor;
	return 0;
}

struct loop_hook *loop_find_hook(struct async_loop *loop,
				 void (*last)(struct async_loop *loop, struct loop_hook *hook))
{
	list_for_each(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);

		if (hook->close == last || hook->end == last)
			return hook;
	}
	return NULL;
}

void loop_take_jobs(struct async_loop *loop)
{
	struct job *job = job_sink_ready(&loop->sink) ? job_sink_take(&loop->sink) : NULL;

	while (job) {
		struct loop_job *done = container_of(job, struct loop_job, job);

		job = job->next;
		loop->jobs--;
		if (unlikely(loop->observed))
			observe_job(loop, &done->job);
		done->done(done);
	}
}

/* Runs the queue with the loop closed: every callback only gives back what it holds. What is internal belongs to
 * waits, and may run as long as those who wait are there. */
static void drop_queue(struct async_loop *loop, bool internal)
{
	handle_take_inbox(loop);
	timers_expire(loop, ASYNC_FOREVER);
	while (loop->ready.head) {
		schedule_begin_batch(loop);
		while (loop->batch) {
			struct entry *entry = loop->batch;

			loop->batch = entry->next;
			if (entry->kind == ENTRY_CALLBACK || (entry->kind == ENTRY_INTERNAL && internal))
				entry->run(entry);
		}
	}
}

/* Nothing is queued any more, so that the entries can link the tasks that are left. */
static void detach_one(struct task *task, void *arg)
{
	struct entry **left = arg;

	task_detach(task);
	future_ref(&task->future);
	task->entry.next = *left;
	*left = &task->entry;
}

/* Whoever kept it knows that nothing will come any more. */
static void end_future(void *object, void *arg)
{
	async_future *future = object;

	(void)arg;
	if (future->refs == 0 || future_done(future))
		return;
	future->looked_at = true;
	future_complete(future, -ESHUTDOWN);
}

static void abandon_tasks(struct async_loop *loop, bool forked)
{
	struct entry *left = NULL;

	loop_visit_tasks(loop, detach_one, &left);
	while (left) {
		struct task *task = task_of_entry(left);

		left = left->next;
		if (forked && task->state != TASK_CREATED)
			sanitizer_fiber_forget(&task->stack->fiber);
		task_abandon(task);
		future_release(&task->future);
	}
}

/* After this no other thread touches the reactor: it is told of news only while the loop sleeps. */
static void stop_notifying(struct async_loop *loop)
{
	atomic_exchange(&loop->wake_state, LOOP_NOTIFIED);
	while (atomic_load(&loop->notifying) > 0)
		sched_yield();
	order_acquire(&loop->notifying);
}

void loop_begin_end(struct async_loop *loop)
{
	if (!loop->give_up_at)
		loop->give_up_at = clock_add(clock_now(), loop->options.shutdown_timeout);
}

/* Kept for those who look for what was lost, and because threads that were left behind may touch them. */
static struct futex_mutex left_lock;
static struct async_loop *left_loops;

static void keep(struct async_loop *loop)
{
	futex_mutex_lock(&left_lock);
	loop->next_loop = left_loops;
	left_loops = loop;
	futex_mutex_unlock(&left_lock);
}

/* The kernel lets go of buffers on stacks before the stacks go, or they stay. */
static void close_reactor(struct async_loop *loop)
{
	struct reactor *reactor = loop->reactor;

	if (reactor_settle(reactor, loop->give_up_at)) {
		reactor_close(reactor);
	} else {
		loop_report_operations(loop);
		loop->left_behind = true;
		loop->left_reactor = reactor;
		reactor_leave(reactor);
	}
	loop->reactor = NULL;
}

int async_loop_close(async_loop *loop)
{
	if (!loop)
		return -EINVAL;
	if (atomic_load(&loop->refuses) == -ESHUTDOWN)
		return 0;
	if (atomic_load(&loop->running))
		return loop == loop_running ? -EBUSY : -EPERM;
	if (loop->stood_on)
		return -EBUSY;
	bool forked = loop_forked(loop);
	if (loop->reactor && !forked && reactor_take_over(loop->reactor) < 0)
		return -EPERM;
	struct thread_guard guard;
	thread_guard_enter(&guard, "what a loop calls that closes");
	loop_begin_end(loop);
	list_for_each_safe(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);

		if (hook->close)
			hook->close(loop, hook);
	}
	if (!forked && !loop->left_behind)
		loop->left_behind = !loop_wait_jobs(loop);
	job_sink_settle(&loop->sink);
	stop_notifying(loop);
	if (loop->reactor && forked)
		reactor_abandon(loop->reactor);
	else if (loop->reactor)
		close_reactor(loop);
	atomic_store(&loop->refuses, -ESHUTDOWN);
	loop->reactor = NULL;
	drop_queue(loop, true);
	abandon_tasks(loop, forked);
	slab_visit(&loop->future_slab, end_future, NULL);
	/* The callbacks of those that were ended hold references. */
	drop_queue(loop, false);
	list_for_each_safe(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);

		if (hook->end)
			hook->end(loop, hook);
	}
	if (loop->options.debug && !forked)
		loop_report_leaks(loop);
	if (loop->poll_fd >= 0) {
		close(loop->poll_fd);
		close(loop->timer_fd);
	}
	if (!loop->left_behind)
		stack_pool_destroy(&loop->stacks);
	heap_destroy(&loop->timers);
	slow_unwatch(loop);
	registry_remove(loop);
	thread_guard_leave(&guard);
	return 0;
}

void async_loop_free(async_loop *loop)
{
	if (!loop || async_loop_close(loop) < 0)
		return;
	/* What other threads posted after the close. */
	drop_queue(loop, false);
	if (loop->left_behind) {
		keep(loop);
		return;
	}
	slab_destroy(&loop->task_slab);
	slab_destroy(&loop->future_slab);
	slab_destroy(&loop->handle_slab);
	mem_free(loop);
}

static void free_own_loop(void *loop)
{
	async_loop_free(loop);
}

static pthread_key_t own_loop_key;
static void make_own_loop_key(void)
{
	pthread_key_create(&own_loop_key, free_own_loop);
}

async_loop *async_get_event_loop(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	async_loop *loop = loop_running;

	if (loop)
		return loop;
	pthread_once(&once, make_own_loop_key);
	loop = pthread_getspecific(own_loop_key);
	/* A child process gets one of its own; its parent's stays where futures and the like may know of it. */
	if ((!loop || loop_forked(loop)) && async_loop_new(NULL, &loop) == 0)
		pthread_setspecific(own_loop_key, loop);
	return loop;
}

async_loop *async_get_running_loop(void)
{
	return loop_running;
}

void async_loop_stop(async_loop *loop)
{
	if (!loop)
		return;
	atomic_store(&loop->stopping, true);
	loop_notify(loop);
}

bool async_loop_is_running(const async_loop *loop)
{
	return loop && atomic_load(&loop->running);
}

bool async_loop_is_closed(const async_loop *loop)
{
	return loop && atomic_load(&loop->refuses) == -ESHUTDOWN;
}

async_time async_loop_time(const async_loop *loop)
{
	if (!loop)
		loop = loop_running;
	return loop ? loop_now(loop) : clock_now();
}

int async_loop_set_error_handler(async_loop *loop, async_error_handler *handler, void *arg)
{
	int error = loop ? loop_check(loop) : -EINVAL;

	if (error == -EPERM || error == -EINVAL)
		return error;
	loop->error_handler = handler;
	loop->error_handler_arg = arg;
	return 0;
}
