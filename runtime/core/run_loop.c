/* SPDX-License-Identifier: MIT */
/* The public ways to run a loop, alone or inside another one. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/own_fd.h"
#include "base/thread_guard.h"
#include "core/loop.h"
#include "core/registry.h"
#include "core/schedule.h"

/* A loop that ran in another thread before gets a reactor of this one's, if that one's is not in use. */
static int move_reactor(async_loop *loop)
{
	if (!loop->reactor || reactor_is_ours(loop->reactor))
		return 0;
	if (reactor_pending(loop->reactor) > 0 || loop->poll_fd >= 0 || reactor_take_over(loop->reactor) < 0)
		return -EPERM;
	reactor_close(loop->reactor);
	loop->reactor = NULL;
	return 0;
}

/* What a run takes of its thread, and gives back. */
struct run {
	struct overflow_watch watch;
	struct thread_guard guard;
};

static int begin(async_loop *loop, struct run *run)
{
	if (!loop)
		return -EINVAL;
	int refuses = atomic_load(&loop->refuses);
	if (refuses)
		return refuses;
	if (loop_running)
		return -EBUSY;
	if (atomic_exchange(&loop->running, true))
		return -EPERM;
	int error = move_reactor(loop);
	if (error) {
		atomic_store(&loop->running, false);
		return error;
	}
	loop_running = loop;
	loop->thread = registry_thread_id();
	/* The stack of this thread, which the tools tell from that of the last run's. */
	loop->main = (struct context){0};
	loop->switch_kind = (uint8_t)(loop_switch_kind(loop->options.switch_kind) | context_observers());
	overflow_watch_begin(&run->watch, task_describe);
	thread_guard_enter(&run->guard, "a task or callback of a loop");
	slow_watch(loop);
	return 0;
}

static void end(async_loop *loop, struct run *run)
{
	/* In a child that a task forked this is no longer the loop's thread. */
	overflow_watch_end(&run->watch);
	loop_running = NULL;
	atomic_store(&loop->stopping, false);
	atomic_store(&loop->running, false);
	thread_guard_leave(&run->guard);
}

int async_loop_run_forever(async_loop *loop)
{
	struct run run;
	int error = begin(loop, &run);

	if (error)
		return error;
	error = loop_run(loop);
	end(loop, &run);
	return error;
}

/* If something else stopped the run in which the future was done, this comes in a later one, which it does not
 * concern. */
static void stop_when_done(async_future *future, void *arg)
{
	async_loop *loop = arg;

	if (loop->until == future)
		async_loop_stop(loop);
}

intptr_t async_loop_run_until_complete(async_loop *loop, async_future *future)
{
	intptr_t result;

	if (!loop || !future) {
		async_release(future);
		return -EINVAL;
	}
	if (!future->loop || (future->loop == loop && future_done(future) &&
			      atomic_load(&loop->refuses) == -ESHUTDOWN)) {
		result = future_take(future);
		future_release(future);
		return result;
	}
	if (future->loop != loop) {
		async_release(future);
		return -EPERM;
	}
	if (loop_running || atomic_load(&loop->running)) {
		async_release(future);
		return -EBUSY;
	}
	result = async_add_done_callback(future, stop_when_done, loop);
	if (result == 0) {
		loop->until = future;
		int error = async_loop_run_forever(loop);

		loop->until = NULL;
		async_remove_done_callback(future, stop_when_done, loop);
		result = future_done(future) ? future_take(future) : error ? error : -EINTR;
	}
	future_release(future);
	return result;
}

/* Sets the timer descriptor to when the loop wants to be called again. */
static void set_timer(async_loop *loop)
{
	async_time when = heap_empty(&loop->timers) ? ASYNC_FOREVER : heap_least(&loop->timers);

	if (loop->ready.head)
		when = 1;
	if (when == loop->timer_fd_at)
		return;
	loop->timer_fd_at = when;
	struct itimerspec spec = {0};
	if (when != ASYNC_FOREVER)
		spec.it_value = clock_timespec(when > 0 ? when : 1);
	timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static int add_to_poll(async_loop *loop, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return fd < 0 ? fd : (int)SYS("epoll_ctl", epoll_ctl(loop->poll_fd, EPOLL_CTL_ADD, fd, &event));
}

static int make_poll_fd(async_loop *loop, struct reactor *reactor)
{
	int error;

	loop->poll_fd = own_epoll();
	if (loop->poll_fd < 0)
		return loop->poll_fd;
	loop->timer_fd = own_timerfd(TFD_NONBLOCK);
	error = add_to_poll(loop, loop->timer_fd);
	if (error >= 0)
		error = add_to_poll(loop, reactor_fd(reactor));
	if (error >= 0)
		return 0;
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	close(loop->poll_fd);
	loop->poll_fd = loop->timer_fd = -1;
	return error;
}

int async_loop_fd(async_loop *loop)
{
	struct reactor *reactor;
	int error = loop ? loop_check(loop) : -EINVAL;

	if (error || (error = loop_reactor(loop, &reactor)))
		return error;
	if (loop->poll_fd < 0) {
		error = make_poll_fd(loop, reactor);
		if (error)
			return error;
		loop->timer_fd_at = ASYNC_FOREVER;
		/* From here on the descriptor must tell what other threads post between two calls. */
		atomic_store(&loop->wake_state, LOOP_ASLEEP);
		set_timer(loop);
	}
	return loop->poll_fd;
}

int async_loop_run_once(async_loop *loop)
{
	struct run run;
	int error = begin(loop, &run);

	if (error)
		return error;
	loop->single = true;
	error = loop_run(loop);
	loop->single = false;
	if (loop->poll_fd >= 0) {
		int running = LOOP_RUNNING;

		set_timer(loop);
		if (!atomic_compare_exchange_strong(&loop->wake_state, &running, LOOP_ASLEEP))
			reactor_wake(loop->reactor);
	}
	end(loop, &run);
	return error ? error : loop->ready.head != NULL;
}
