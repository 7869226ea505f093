/* SPDX-License-Identifier: MIT */
/* Running: service, batch, service, batch … */
#include <errno.h>
#include <sched.h>

#include "base/probe.h"
#include "context/sanitizer.h"
#include "core/handle.h"
#include "core/loop.h"
#include "core/schedule.h"
#include "core/timer.h"
#include "worker/futex.h"

/* A worker that spins answers in less time than it takes to wake this thread; see worker/. */
#define SPIN (8 * ASYNC_US)
/* Stacks that were not used for so long give their memory back. */
#define TRIM_INTERVAL ASYNC_S
/* Between two batches, so that a loop that gives much back stays responsive. */
#define TRIM_PAUSE ASYNC_MS

static bool notified(struct async_loop *loop)
{
	return atomic_load_explicit(&loop->wake_state, memory_order_acquire) == LOOP_NOTIFIED;
}

/* Waits at most `timeout` ns (negative: for ever) for completions and news. */
static int wait_in_reactor(struct async_loop *loop, async_time timeout)
{
	struct reactor *reactor;
	int error = loop_reactor(loop, &reactor), running = LOOP_RUNNING;

	if (error)
		return error;
	/* News that came meanwhile must not find this thread asleep. */
	if (timeout != 0 && !atomic_compare_exchange_strong(&loop->wake_state, &running, LOOP_ASLEEP))
		timeout = 0;
	loop->polls++;
	if (unlikely(loop->observed))
		observe_poll_begins(loop);
	PROBE(loop_poll, loop, timeout);
	error = reactor_wait(reactor, timeout);
	PROBE(loop_polled, loop, error);
	if (unlikely(loop->observed))
		observe_poll_ends(loop);
	return error < 0 ? error : 0;
}

/* Nothing is pending in the reactor, if there is one, and nobody polls it. ThreadSanitizer holds signals back until a
 * call that it knows, and a futex is none. */
static bool may_doze(const struct async_loop *loop)
{
	return loop->poll_fd < 0 && (!loop->reactor || reactor_pending(loop->reactor) == 0) && !instrument_tsan();
}

/* Waits at most `timeout` ns (negative: for ever) for whatever may come. */
static int wait_for_news(struct async_loop *loop, async_time timeout)
{
	int running = LOOP_RUNNING;

	if (timeout == 0 && !loop->reactor)
		return 0;
	if (timeout == 0 || !may_doze(loop))
		return wait_in_reactor(loop, timeout);
	loop->polls++;
	if (unlikely(loop->observed))
		observe_poll_begins(loop);
	/* However it ends, the loop looks around again. */
	if (atomic_compare_exchange_strong(&loop->wake_state, &running, LOOP_DOZING))
		futex_wait_for(&loop->wake_state, LOOP_DOZING, timeout);
	if (unlikely(loop->observed))
		observe_poll_ends(loop);
	return 0;
}

/* Returns the time when it ends; `now` is that when it begins. */
static async_time spin_for_jobs(struct async_loop *loop, async_time now)
{
	async_time end = now + SPIN;

	if (loop->jobs == 0 || pool_processors() < 2 || sanitizer_on_valgrind())
		return now;
	while (!notified(loop) && (now = clock_now()) < end)
		for (int i = 0; i < 16 && !notified(loop); i++)
			cpu_relax();
	return now;
}

static bool can_be_woken(const struct async_loop *loop)
{
	return loop->jobs > 0 || loop->wakers > 0 || (loop->reactor && reactor_pending(loop->reactor) > 0);
}

static int deadlock(struct async_loop *loop)
{
	loop_report_deadlock(loop);
	return -EDEADLK;
}

/* Gives idle memory back. Returns when to do so again. */
static async_time trim(struct async_loop *loop, async_time now)
{
	slab_trim(&loop->task_slab);
	slab_trim(&loop->future_slab);
	slab_trim(&loop->handle_slab);
	switch (stack_pool_trim(&loop->stacks)) {
	case TRIM_MORE:
		return now + TRIM_PAUSE;
	case TRIM_LATER:
		return now + TRIM_INTERVAL;
	default:
		return ASYNC_FOREVER;
	}
}

/* Every task waits: until when? Gives memory back if that is due before anything else. */
static async_time idle_timeout(struct async_loop *loop, async_time now)
{
	async_time deadline = heap_empty(&loop->timers) ? ASYNC_FOREVER : heap_least(&loop->timers);

	if (loop->trim_at == ASYNC_FOREVER && stack_pool_idle(&loop->stacks))
		loop->trim_at = now + TRIM_INTERVAL;
	else if (loop->trim_at <= now)
		loop->trim_at = trim(loop, now);
	if (loop->trim_at < deadline)
		deadline = loop->trim_at;
	return deadline == ASYNC_FOREVER ? -1 : deadline > now ? deadline - now : 0;
}

static int wait_real(struct async_loop *loop, async_time now)
{
	if (loop->options.detect_deadlock && heap_empty(&loop->timers) && !can_be_woken(loop))
		return deadlock(loop);
	now = spin_for_jobs(loop, now);
	if (notified(loop))
		return 0;
	return wait_for_news(loop, idle_timeout(loop, now));
}

/* How long the end of the loop still waits; -1: it does not end yet. */
static async_time time_to_give_up(const struct async_loop *loop)
{
	if (!loop->give_up_at)
		return -1;
	async_time left = loop->give_up_at - clock_now();
	return left > 0 ? left : 0;
}

/* Time passes only when nothing else can happen. */
static int wait_virtual(struct async_loop *loop)
{
	if (loop->reactor) {
		int error = wait_in_reactor(loop, 0);

		if (error || loop->ready.head || notified(loop))
			return error;
	}
	if (loop->jobs > 0 || (loop->reactor && reactor_holding_time(loop->reactor) > 0)) {
		async_time left = time_to_give_up(loop);

		/* What hangs does not hold up the end. */
		if (left != 0)
			return wait_for_news(loop, left);
	}
	if (!heap_empty(&loop->timers)) {
		if (heap_least(&loop->timers) > loop->now)
			loop->now = heap_least(&loop->timers);
		return 0;
	}
	return can_be_woken(loop) ? wait_for_news(loop, -1) : deadlock(loop);
}

/* Looks after everything but tasks; waits if nobody is ready and `may_wait`. */
static int service(struct async_loop *loop, bool may_wait)
{
	async_time waits_from = 0;
	int error = 0;

	observe_service(loop);
	slow_tell(loop);
	list_for_each_safe(node, &loop->hooks) {
		struct loop_hook *hook = list_entry(node, struct loop_hook, link);

		if (hook->turn)
			hook->turn(loop, hook);
	}
	if (may_wait && !loop->ready.head && !notified(loop)) {
		waits_from = clock_now();
		error = loop_is_virtual(loop) ? wait_virtual(loop) : wait_real(loop, waits_from);
	} else if (loop->reactor && (loop->single || reactor_pending(loop->reactor) > 0)) {
		error = wait_in_reactor(loop, 0);
	}

	/* What is told from here on is a reason for the next service; what was told before is looked at now. */
	loop->wakeups += atomic_exchange(&loop->wake_state, LOOP_RUNNING) == LOOP_NOTIFIED;
	order_acquire(loop);
	handle_take_inbox(loop);
	loop_take_jobs(loop);
	loop->serviced_at = clock_now();
	if (waits_from)
		loop->waited += loop->serviced_at - waits_from;
	if (!loop_is_virtual(loop)) {
		loop->now = loop->serviced_at;
		loop->service_at = loop->switches + loop->service_step;
	}
	timers_expire(loop, loop->now);
	observe_service(loop);
	return error;
}

static void run_batch(struct async_loop *loop)
{
	for (;;) {
		struct task *task = schedule_next(loop);
		struct entry *entry = loop->batch;

		if (task) {
			if (unlikely(loop->observed))
				observe_switch(loop, NULL, task);
			PROBE(task_switch, NULL, task);
			loop->current = task;
			context_switch(&loop->main, &task->context, loop->switch_kind);
			continue;
		}
		if (!entry)
			return;
		loop->batch = entry->next;
		if (unlikely(loop->observed))
			observe_callback_begins(loop);
		if (entry->kind == ENTRY_TASK)
			task_discard(task_of_entry(entry));
		else
			entry->run(entry);
		loop->callbacks++;
		if (unlikely(loop->observed))
			observe_callback_ends(loop);
	}
}

int loop_run(struct async_loop *loop)
{
	int error;

	observe_run_begins(loop);
	do {
		bool stop = atomic_load(&loop->stopping) || loop->single;

		error = service(loop, !stop);
		if (error)
			break;
		loop->last_batch = stop;
		/* News from elsewhere may have brought nothing to run: that was no iteration. */
		if (loop->ready.head)
			schedule_begin_batch(loop);
		run_batch(loop);
	} while (!atomic_load(&loop->stopping) && !loop->single);
	slow_tell(loop);
	observe_run_ends(loop);
	return error;
}

bool loop_wait_jobs(struct async_loop *loop)
{
	for (;;) {
		atomic_store(&loop->wake_state, LOOP_RUNNING);
		loop_take_jobs(loop);
		async_time left = time_to_give_up(loop);
		if (loop->jobs == 0 || left == 0)
			return loop->jobs == 0;
		/* Without a reactor of this thread's to sleep in, all that is left is asking again. */
		bool ours = !loop->reactor || reactor_is_ours(loop->reactor);
		if (!ours || wait_for_news(loop, left) < 0)
			sched_yield();
	}
}
