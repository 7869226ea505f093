/* SPDX-License-Identifier: MIT */
/* The loop: calls and their order, runs and stops, what other threads and signal handlers may do. */
#include "harness.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORD(text) ((void *)(uintptr_t)(text))

static void stop_running(void *arg)
{
	(void)arg;
	note("stop");
	async_loop_stop(async_get_running_loop());
}

/* Runs exactly one iteration. */
static void run_one(async_loop *loop)
{
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t await_borrowed(void *arg)
{
	return async_await(async_ref(arg));
}

/* Order */

static void call_b(void *arg)
{
	note("a");
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), note_callback, arg, NULL), 0);
}

static void calls_run_in_order(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_soon(loop, call_b, WORD("d"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("b"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("c"), NULL);
	run_one(loop);
	/* What an iteration schedules is for the next. */
	assert_noted("a b c");
	run_one(loop);
	assert_noted("d");
	loop_end(loop);
}

static void timed_calls_run_in_order(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_later(loop, 30, note_callback, WORD("30"), NULL);
	async_loop_call_later(loop, 10, note_callback, WORD("10"), NULL);
	async_loop_call_at(loop, 10, note_callback, WORD("10b"), NULL);
	async_loop_call_later(loop, 20, note_callback, WORD("20"), NULL);
	async_loop_call_later(loop, 10, note_callback, WORD("10c"), NULL);
	async_loop_call_later(loop, 0, note_callback, WORD("0"), NULL);
	async_loop_call_later(loop, -7, note_callback, WORD("-7"), NULL);
	async_loop_call_later(loop, ASYNC_FOREVER, note_callback, WORD("never"), NULL);
	async_loop_call_at(loop, 40, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("0 -7 10 10b 10c 20 30 stop");
	assert_int_equal(async_loop_time(loop), 40);
	loop_end(loop);
}

static void calls_need_an_open_loop_and_a_function(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle = NULL;

	(void)state;
	assert_int_equal(async_loop_call_soon(loop, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_later(loop, 1, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_at(loop, 1, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_loop_call_soon_threadsafe(loop, NULL, NULL), -EINVAL);
	assert_int_equal(async_loop_call_soon(NULL, note_callback, NULL, &handle), -EINVAL);
	assert_int_equal(async_handle_new(loop, NULL, NULL, &handle), -EINVAL);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, NULL), -EINVAL);
	assert_null(handle);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(async_loop_call_soon(loop, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_later(loop, 1, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_at(loop, 1, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_int_equal(async_loop_call_soon_threadsafe(loop, note_callback, NULL), -ESHUTDOWN);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, &handle), -ESHUTDOWN);
	assert_null(handle);
	async_loop_free(loop);
}

/* Handles */

static void cancel_handle(void *arg)
{
	note("cancel");
	async_handle_cancel(arg);
}

static void a_call_can_be_cancelled_inside_its_batch(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *soon, *later, *due;

	(void)state;
	async_loop_call_later(loop, 5, note_callback, WORD("due"), &due);
	async_loop_call_later(loop, 100, note_callback, WORD("later"), &later);
	async_loop_call_soon(loop, note_callback, WORD("before"), NULL);
	async_loop_call_soon(loop, note_callback, WORD("soon"), &soon);
	async_handle_cancel(soon);
	assert_true(async_handle_cancelled(soon));
	assert_false(async_handle_cancelled(later));
	/* Due in the same iteration as the one that cancels it, behind it. */
	async_handle *also_due;
	async_loop_call_at(loop, 50, cancel_handle, later, NULL);
	async_loop_call_later(loop, 60, note_callback, WORD("x"), &also_due);
	async_handle_cancel(also_due);
	async_handle_cancel(also_due);
	async_loop_call_later(loop, 200, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("before due cancel stop");
	/* Safe after it ran. */
	async_handle_cancel(due);
	assert_true(async_handle_cancelled(due));
	async_handle_release(soon);
	async_handle_release(later);
	async_handle_release(due);
	async_handle_release(also_due);
	async_handle_cancel(NULL);
	async_handle_release(NULL);
	assert_false(async_handle_cancelled(NULL));
	loop_end(loop);
}

static void a_timed_call_is_cancelled_by_an_earlier_one(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *timed;

	(void)state;
	async_loop_call_at(loop, 10, note_callback, WORD("first"), NULL);
	async_loop_call_at(loop, 20, note_callback, WORD("timed"), &timed);
	async_loop_call_at(loop, 15, cancel_handle, timed, NULL);
	async_loop_call_at(loop, 30, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("first cancel stop");
	async_handle_release(timed);
	loop_end(loop);
}

struct pair {
	async_handle *handle;
};

static void cancel_pair(void *arg)
{
	note("first");
	async_handle_cancel(((struct pair *)arg)->handle);
}

static void a_call_of_the_same_batch_is_cancelled(void **state)
{
	async_loop *loop = loop_virtual();
	struct pair soon, due;

	(void)state;
	async_loop_call_soon(loop, cancel_pair, &soon, NULL);
	async_loop_call_soon(loop, note_callback, WORD("second"), &soon.handle);
	async_loop_call_soon(loop, note_callback, WORD("third"), NULL);
	run_one(loop);
	assert_noted("first third");
	async_loop_call_at(loop, 10, cancel_pair, &due, NULL);
	async_loop_call_at(loop, 10, note_callback, WORD("second"), &due.handle);
	async_loop_call_at(loop, 10, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("first stop");
	async_handle_release(soon.handle);
	async_handle_release(due.handle);
	loop_end(loop);
}

static void post_again(void *arg)
{
	struct pair *pair = arg;

	note("posted");
	assert_int_equal(async_handle_post(pair->handle), 0);
	async_handle_cancel(pair->handle);
}

static void a_prepared_handle_is_posted(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle, *local;
	struct pair again;

	(void)state;
	assert_int_equal(async_handle_new(loop, note_callback, WORD("post"), &handle), 0);
	run_one(loop);
	assert_noted("");
	/* Several posts before the callback ran are one call, those after it another one. */
	assert_int_equal(async_handle_post(handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	run_one(loop);
	assert_noted("post");
	assert_int_equal(async_handle_post(handle), 0);
	run_one(loop);
	run_one(loop);
	assert_noted("post");
	/* A cancelled one is never called again. */
	assert_int_equal(async_handle_post(handle), 0);
	async_handle_cancel(handle);
	run_one(loop);
	assert_noted("");

	assert_int_equal(async_handle_new(loop, post_again, &again, &again.handle), 0);
	assert_int_equal(async_handle_post(again.handle), 0);
	run_one(loop);
	run_one(loop);
	assert_noted("posted");
	async_handle_release(again.handle);

	assert_int_equal(async_loop_call_soon(loop, note_callback, WORD("local"), &local), 0);
	assert_int_equal(async_handle_post(local), -EINVAL);
	assert_int_equal(async_handle_post(NULL), -EINVAL);
	async_handle_release(local);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(async_handle_post(handle), -ESHUTDOWN);
	async_handle_release(handle);
	async_loop_free(loop);
	assert_noted("");
}

/* Running and stopping */

static void stop_lets_the_batch_finish(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_soon(loop, call_b, WORD("next"), NULL);
	async_loop_call_soon(loop, stop_running, NULL, NULL);
	async_loop_call_soon(loop, note_callback, WORD("c"), NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("a stop c");
	async_loop_call_soon(loop, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("next stop");
	loop_end(loop);
}

static void a_stop_before_the_run_gives_one_poll(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_later(loop, 10, note_callback, WORD("timer"), NULL);
	async_loop_call_soon(loop, call_b, WORD("next"), NULL);
	async_loop_stop(loop);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("a");
	assert_int_equal(async_loop_time(loop), 0);
	/* The stop is used up. */
	async_loop_call_later(loop, 20, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("next timer stop");
	async_loop_stop(NULL);
	loop_end(loop);
}

static intptr_t count_turns(void *arg)
{
	for (int i = 0; i < 3; i++) {
		(*(int *)arg)++;
		give_way(1);
	}
	return *(int *)arg;
}

static intptr_t short_one(void *arg)
{
	(void)arg;
	give_way(1);
	return 1;
}

static void others_stay_pending(void **state)
{
	async_loop *loop = loop_virtual();
	int turns = 0;

	(void)state;
	async_task *other = async_loop_create_task(loop, count_turns, &turns, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_loop_create_task(loop, short_one, NULL, NULL)), 1);
	assert_false(async_done(other));
	/* Its own end is iteration 2, the callback that stops is 3. */
	assert_int_equal(turns, 3);
	assert_int_equal(async_loop_run_until_complete(loop, other), 3);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

static void stop_now(void *arg)
{
	async_loop_stop(arg);
}

static void a_stopped_run_leaves_its_future_pending(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	async_task *task = async_loop_create_task(loop, await_borrowed, future, NULL);
	async_loop_call_soon(loop, stop_now, loop, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EINTR);
	assert_false(async_done(task));
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EINTR);
	async_future_set_result(future, 4);
	assert_int_equal(async_loop_run_until_complete(loop, task), 4);
	/* The callbacks of the stopped runs are gone: nothing stops this one. */
	async_loop_call_soon(loop, call_b, WORD("b"), NULL);
	async_loop_call_later(loop, 1, stop_running, NULL, NULL);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("a b stop");
	async_release(future);
	loop_end(loop);
}

static void complete_future(void *arg)
{
	async_future_set_result(arg, 31);
}

static void runs_until_a_plain_future_is_done(void **state)
{
	async_loop *loop = loop_virtual(), *other = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	async_loop_call_later(loop, 7, complete_future, future, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(future)), 31);
	/* Done already: the loop turns once all the same. */
	async_loop_call_soon(loop, note_callback, WORD("turn"), NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(future)), 31);
	assert_noted("turn");
	assert_int_equal(async_loop_run_until_complete(other, future), -EPERM);
	assert_int_equal(async_loop_run_until_complete(loop, NULL), -EINVAL);
	assert_int_equal(async_loop_run_until_complete(NULL, NULL), -EINVAL);
	assert_int_equal(async_loop_run_until_complete(loop, async_future_failed(-ENOMEM)), -ENOMEM);
	loop_end(loop);
	loop_end(other);
	assert_int_equal(reports.count, 0);
}

static intptr_t nest(void *arg)
{
	async_loop *loop = async_get_running_loop(), *other = arg;

	assert_true(async_loop_is_running(loop));
	assert_false(async_loop_is_running(other));
	assert_int_equal(async_loop_run_forever(loop), -EBUSY);
	assert_int_equal(async_loop_run_forever(other), -EBUSY);
	assert_int_equal(async_loop_run_once(other), -EBUSY);
	assert_int_equal(async_loop_run_until_complete(loop, async_future_new(NULL, NULL)), -EBUSY);
	assert_int_equal(async_loop_run_until_complete(other, async_future_new(other, NULL)), -EBUSY);
	assert_int_equal(async_loop_close(loop), -EBUSY);
	assert_false(async_loop_is_closed(loop));
	/* None of this ended the run. */
	give_way(3);
	return 1;
}

static void runs_do_not_nest(void **state)
{
	async_loop *other = loop_virtual();

	(void)state;
	assert_int_equal(run_virtual(nest, other), 1);
	loop_end(other);
}

static void closing_is_idempotent(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_call_soon(loop, note_callback, WORD("dropped"), NULL);
	async_loop_call_later(loop, 1, note_callback, WORD("dropped"), NULL);
	async_loop_call_soon_threadsafe(loop, note_callback, WORD("dropped"));
	assert_false(async_loop_is_closed(loop));
	assert_int_equal(async_loop_close(loop), 0);
	assert_true(async_loop_is_closed(loop));
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(async_loop_run_forever(loop), -ESHUTDOWN);
	assert_int_equal(async_loop_run_once(loop), -ESHUTDOWN);
	assert_int_equal(async_loop_fd(loop), -ESHUTDOWN);
	async_loop_free(loop);
	async_loop_free(NULL);
	assert_noted("");
}

static void own_loop(void *arg)
{
	async_loop *loop = async_get_event_loop();

	assert_non_null(loop);
	assert_ptr_equal(async_get_event_loop(), loop);
	assert_ptr_not_equal(loop, arg);
	assert_null(async_get_running_loop());
	assert_int_equal(async_loop_run_until_complete(loop, async_create_task(return_arg, (void *)9)), 9);
}

static intptr_t check_event_loop(void *arg)
{
	assert_ptr_equal(async_get_event_loop(), arg);
	assert_ptr_equal(async_get_running_loop(), arg);
	return 0;
}

static void each_thread_has_a_loop_of_its_own(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	in_thread(own_loop, loop);
	async_task *task = async_loop_create_task(loop, check_event_loop, loop, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	loop_end(loop);
}

/* Other threads */

static void try_everything(void *arg)
{
	async_loop *loop = arg;
	async_handle *handle;
	struct async_loop_stats stats = {.size = sizeof(stats)};

	assert_true(async_loop_is_running(loop));
	assert_int_equal(async_loop_call_soon(loop, note_callback, NULL, NULL), -EPERM);
	assert_int_equal(async_loop_call_later(loop, 1, note_callback, NULL, NULL), -EPERM);
	assert_int_equal(async_handle_new(loop, note_callback, NULL, &handle), -EPERM);
	assert_int_equal(async_error(async_loop_create_task(loop, return_arg, NULL, NULL)), -EPERM);
	assert_int_equal(async_error(async_future_new(loop, NULL)), -EPERM);
	assert_int_equal(async_loop_run_forever(loop), -EPERM);
	assert_int_equal(async_loop_run_once(loop), -EPERM);
	assert_int_equal(async_loop_close(loop), -EPERM);
	assert_int_equal(async_loop_get_stats(loop, &stats), -EPERM);
	assert_int_equal(async_loop_set_error_handler(loop, NULL, NULL), -EPERM);
	assert_int_equal(async_all_tasks(loop, NULL, 0), -EPERM);
	assert_int_equal(async_loop_fd(loop), -EPERM);
}

struct foreign {
	async_loop *loop;
	async_future *future;
};

static void try_future(void *arg)
{
	struct foreign *foreign = arg;

	try_everything(foreign->loop);
	assert_int_equal(async_future_set_result(foreign->future, 1), -EPERM);
	assert_int_equal(async_future_set_error(foreign->future, -1), -EPERM);
	assert_int_equal(async_cancel(foreign->future, NULL), -EPERM);
	assert_int_equal(async_add_done_callback(foreign->future, NULL, NULL), -EPERM);
}

static intptr_t invite_thread(void *arg)
{
	struct foreign foreign = {async_get_running_loop(), async_future_new(NULL, NULL)};

	(void)arg;
	in_thread(try_future, &foreign);
	assert_false(async_done(foreign.future));
	async_release(foreign.future);
	return 0;
}

static void other_threads_are_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(invite_thread, NULL), 0);
}

#define THREADS 4
#define CALLS 500

struct counting {
	async_loop *loop;
	int seen[THREADS]; /* the next expected of each thread */
	int total;
};

struct counted_call {
	struct counting *counting;
	int thread, number;
};

struct poster {
	struct counting *counting;
	int thread;
	struct counted_call calls[CALLS];
};

static void count_call(void *arg)
{
	struct counted_call *call = arg;

	assert_int_equal(call->counting->seen[call->thread], call->number);
	call->counting->seen[call->thread]++;
	if (++call->counting->total == THREADS * CALLS)
		async_loop_stop(call->counting->loop);
}

static void *post_calls(void *arg)
{
	struct poster *poster = arg;

	for (int i = 0; i < CALLS; i++) {
		poster->calls[i] = (struct counted_call){poster->counting, poster->thread, i};
		if (async_loop_call_soon_threadsafe(poster->counting->loop, count_call, &poster->calls[i]) != 0)
			abort();
	}
	return NULL;
}

static void threads_post_calls(void **state)
{
	static struct poster posters[THREADS];
	struct counting counting = {.loop = loop_real()};
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++) {
		posters[i].counting = &counting;
		posters[i].thread = i;
		assert_int_equal(pthread_create(&threads[i], NULL, post_calls, &posters[i]), 0);
	}
	assert_int_equal(async_loop_run_forever(counting.loop), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counting.total, THREADS * CALLS);
	loop_end(counting.loop);
}

static void *stop_when_asleep(void *arg)
{
	await_asleep(arg);
	async_loop_stop(arg);
	return NULL;
}

static void *call_when_asleep(void *arg)
{
	await_asleep(arg);
	async_loop_call_soon_threadsafe(arg, stop_running, NULL);
	return NULL;
}

static void a_sleeping_loop_is_woken(void **state)
{
	void *(*const wake[])(void *) = {stop_when_asleep, call_when_asleep};
	async_loop *loop = loop_real();
	pthread_t thread;

	(void)state;
	for (size_t i = 0; i < countof(wake); i++) {
		assert_int_equal(pthread_create(&thread, NULL, wake[i], loop), 0);
		assert_int_equal(async_loop_run_forever(loop), 0);
		pthread_join(thread, NULL);
	}
	assert_noted("stop");
	loop_end(loop);
}

/* Signal handlers */

static async_handle *signal_handle;
static async_loop *signal_loop;

static void post_on_signal(int number)
{
	(void)number;
	async_handle_post(signal_handle);
}

static void stop_on_signal(int number)
{
	(void)number;
	async_loop_stop(signal_loop);
}

struct killer {
	async_loop *loop;
	pthread_t victim;
};

static void *kill_when_asleep(void *arg)
{
	const struct killer *killer = arg;

	await_asleep(killer->loop);
	/* ThreadSanitizer holds a handler back until its thread makes a call that it intercepts; a wait in io_uring is
	 * none. There the handler runs in this thread, which is as good for the race and does not interrupt the wait. */
	pthread_kill(under_tool("tsan") ? pthread_self() : killer->victim, SIGUSR1);
	return NULL;
}

static void handle_signals_with(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

static void raise_signal(void *arg)
{
	(void)arg;
	note("raise");
	raise(SIGUSR1);
}

static void a_signal_handler_posts(void **state)
{
	struct killer killer = {loop_real(), pthread_self()};
	pthread_t thread;

	(void)state;
	assert_int_equal(async_handle_new(killer.loop, stop_running, NULL, &signal_handle), 0);
	handle_signals_with(post_on_signal);
	assert_int_equal(async_loop_call_soon(killer.loop, raise_signal, NULL, NULL), 0);
	assert_int_equal(async_loop_run_forever(killer.loop), 0);
	assert_noted("raise stop");
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, kill_when_asleep, &killer), 0);
		assert_int_equal(async_loop_run_forever(killer.loop), 0);
		pthread_join(thread, NULL);
		assert_noted("stop");
	}
	signal(SIGUSR1, SIG_DFL);
	async_handle_release(signal_handle);
	loop_end(killer.loop);
}

static void a_signal_handler_stops(void **state)
{
	struct killer killer = {loop_real(), pthread_self()};
	pthread_t thread;

	(void)state;
	signal_loop = killer.loop;
	handle_signals_with(stop_on_signal);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(pthread_create(&thread, NULL, kill_when_asleep, &killer), 0);
		assert_int_equal(async_loop_run_forever(killer.loop), 0);
		pthread_join(thread, NULL);
	}
	signal(SIGUSR1, SIG_DFL);
	loop_end(killer.loop);
}

/* Errors, leaks, counters */

static int failing_handler(const struct async_error_context *context, void *arg)
{
	assert_int_equal(context->size, sizeof(*context));
	assert_ptr_equal(context->loop, arg);
	note("handler:%ld", (long)context->error);
	return -1;
}

static void a_failing_handler_falls_back_to_stderr(void **state)
{
	char text[1000];
	async_loop *loop = loop_virtual();

	(void)state;
	async_loop_set_error_handler(loop, failing_handler, loop);
	async_task *task = async_loop_create_task(loop, return_arg, (void *)-EPIPE, NULL);
	assert_int_equal(async_task_set_name(task, "doomed"), 0);
	async_release(task);
	stderr_capture();
	run_one(loop);
	stderr_release(text, sizeof(text));
	assert_noted("handler:-32");
	assert_non_null(strstr(text, "doomed"));
	assert_non_null(strstr(text, strerror(EPIPE)));

	/* The default without any handler. */
	async_loop_set_error_handler(loop, NULL, NULL);
	async_release(async_loop_create_task(loop, return_arg, (void *)-ENOENT, NULL));
	stderr_capture();
	run_one(loop);
	stderr_release(text, sizeof(text));
	assert_non_null(strstr(text, "Task-2"));
	assert_non_null(strstr(text, strerror(ENOENT)));
	assert_noted("");
	loop_end(loop);
	assert_int_equal(async_loop_set_error_handler(NULL, NULL, NULL), -EINVAL);
}

static void leaks_are_named_in_debug_mode(void **state)
{
	struct async_options options = test_options();
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(reports.count, 1);
	assert_ptr_equal(reports.future, future);
	assert_non_null(strstr(reports.message, "leak"));
	async_loop_free(loop);

	options.debug = false;
	loop = loop_with(&options);
	future = async_future_new(loop, NULL);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

static intptr_t give_way_once(void *arg)
{
	(void)arg;
	give_way(1);
	return 0;
}

/* Everything takes longer than a nanosecond. */
static void slow_tasks_are_named_in_debug_mode(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.slow_task = 1;
	async_loop *loop = loop_with(&options);
	async_task *task = async_loop_create_task(loop, give_way_once, NULL, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), 0);
	assert_true(reports.count > 0);
	assert_non_null(strstr(reports.message, "held the loop for 0.0"));
	async_release(task);
	loop_end(loop);

	options.debug = false;
	loop = loop_with(&options);
	assert_int_equal(async_loop_run_until_complete(loop, async_loop_create_task(loop, give_way_once, NULL, NULL)), 0);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

static void slow_callbacks_are_named_in_debug_mode(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.slow_task = 1;
	async_loop *loop = loop_with(&options);
	assert_int_equal(async_loop_call_soon(loop, note_callback, (void *)(uintptr_t)"callback", NULL), 0);
	for (int i = 0; i < 2; i++) {
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
	}
	assert_noted("callback");
	assert_int_equal(reports.count, 1);
	assert_null(reports.future);
	assert_non_null(strstr(reports.message, "a callback held the loop"));
	loop_end(loop);
}

static void a_posted_handle_may_be_released(void **state)
{
	async_loop *loop = loop_virtual();
	async_handle *handle;

	(void)state;
	assert_int_equal(async_handle_new(loop, note_callback, (void *)(uintptr_t)"posted", &handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	async_handle_release(handle);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("posted");
	loop_end(loop);
}

static intptr_t look_at_stats(void *arg)
{
	struct async_loop_stats *stats = arg;
	async_task *task = async_create_task(return_arg, NULL);
	async_handle *timer;

	async_loop_call_later(async_get_running_loop(), ASYNC_S, note_callback, NULL, &timer);
	assert_int_equal(async_loop_get_stats(async_get_running_loop(), stats), 0);
	assert_int_equal(stats->tasks, 2);
	assert_int_equal(stats->tasks_created, 2);
	assert_int_equal(stats->timers, 1);
	assert_int_equal(stats->operations, 0);
	assert_int_equal(stats->jobs, 0);
	uint64_t switches = stats->switches, iterations = stats->iterations;
	give_way(3);
	async_handle_cancel(timer);
	async_handle_release(timer);
	assert_int_equal(async_loop_get_stats(async_get_running_loop(), stats), 0);
	assert_int_equal(stats->tasks, 1);
	assert_int_equal(stats->timers, 0);
	assert_int_equal(stats->switches, switches + 4);
	assert_int_equal(stats->iterations, iterations + 3);
	return async_await(task);
}

static void counters_count(void **state)
{
	struct async_options options = test_options();
	struct async_loop_stats stats = {.size = sizeof(stats)}, old;
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_loop_get_stats(loop, &stats), 0);
	assert_int_equal(stats.size, sizeof(stats));
	assert_string_equal(stats.backend, "none");
	if (options.switch_kind != ASYNC_SWITCH_AUTO)
		assert_string_equal(stats.switch_kind, options.switch_kind == ASYNC_SWITCH_ASM ? "asm" : "ucontext");
	assert_int_equal(stats.iterations + stats.switches + stats.tasks + stats.tasks_created, 0);
	async_task *task = async_loop_create_task(loop, look_at_stats, &stats, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	assert_true(async_loop_fd(loop) >= 0);
	assert_int_equal(async_loop_get_stats(loop, &stats), 0);
	if (options.backend != ASYNC_BACKEND_AUTO)
		assert_string_equal(stats.backend, options.backend == ASYNC_BACKEND_EPOLL ? "epoll" : "io_uring");

	memset(&old, 0x55, sizeof(old));
	old.size = offsetof(struct async_loop_stats, switches);
	assert_int_equal(async_loop_get_stats(loop, &old), 0);
	assert_int_equal(old.iterations, stats.iterations);
	assert_int_equal(old.switches, 0x5555555555555555);
	old.size = 0;
	assert_int_equal(async_loop_get_stats(loop, &old), -EINVAL);
	assert_int_equal(async_loop_get_stats(loop, NULL), -EINVAL);
	assert_int_equal(async_loop_get_stats(NULL, &stats), -EINVAL);
	loop_end(loop);
}

/* Options */

static int try_options(const struct async_options *options)
{
	async_loop *loop = NULL;
	int error = async_loop_new(options, &loop);

	assert_true((error == 0) == (loop != NULL));
	async_loop_free(loop);
	return error;
}

#define TRY(field, value) \
	({ \
		struct async_options options_ = test_options(); \
		options_.field = (value); \
		try_options(&options_); \
	})

static void options_have_limits(void **state)
{
	struct {
		struct async_options options;
		char more[8];
	} newer = {.options = test_options()};

	(void)state;
	assert_int_equal(async_loop_new(NULL, NULL), -EINVAL);
	assert_int_equal(try_options(NULL), 0);
	assert_int_equal(TRY(backend, (enum async_backend)99), -EINVAL);
	assert_int_equal(TRY(switch_kind, (enum async_switch)99), -EINVAL);
	assert_int_equal(TRY(clock, (enum async_clock)2), -EINVAL);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MIN - 1), -EINVAL);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MIN), 0);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MAX), 0);
	assert_int_equal(TRY(stack_size, ASYNC_STACK_SIZE_MAX + 1), -EINVAL);
	assert_int_equal(TRY(max_workers, ASYNC_WORKERS_MAX), 0);
	assert_int_equal(TRY(max_workers, ASYNC_WORKERS_MAX + 1), -EINVAL);
	assert_int_equal(TRY(slow_task, -1), -EINVAL);
	assert_int_equal(TRY(shutdown_timeout, -1), -EINVAL);
	assert_int_equal(TRY(size, 0), -EINVAL);
	assert_int_equal(TRY(size, 100000), -EINVAL);
	/* An older program gives fewer fields, a newer one more, as long as it asks for nothing with them. */
	assert_int_equal(TRY(size, offsetof(struct async_options, slow_task)), 0);
	newer.options.size = sizeof(newer);
	assert_int_equal(try_options(&newer.options), 0);
	newer.more[7] = 1;
	assert_int_equal(try_options(&newer.options), -EINVAL);
}

static void time_is_monotonic(void **state)
{
	async_loop *loop = loop_real();
	async_time before = async_loop_time(NULL), here = async_loop_time(loop);

	(void)state;
	assert_true(before > 0 && here >= before);
	assert_true(async_loop_time(loop) >= here);
	loop_end(loop);
}

static void stop_loop(void *loop)
{
	async_loop_stop(loop);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void *post_until_refused(void *loop)
{
	while (async_loop_call_soon_threadsafe(loop, nothing, NULL) == 0)
		sched_yield();
	return NULL;
}

/* Whoever is about to wake the loop while it closes finds what it needs. */
static void threads_post_while_a_loop_closes(void **state)
{
	(void)state;
	for (size_t i = 0; i < test_many(500); i++) {
		async_loop *loop = loop_real();
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, post_until_refused, loop), 0);
		async_loop_call_later(loop, 20 * ASYNC_US, stop_loop, loop, NULL);
		assert_int_equal(async_loop_run_forever(loop), 0);
		assert_int_equal(async_loop_close(loop), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		async_loop_free(loop);
	}
}

static intptr_t await_for_ever(void *future)
{
	return async_await(async_ref(future));
}

static void many_waiting_tasks_are_abandoned(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *never = async_future_new(loop, NULL);

	(void)state;
	for (size_t i = 0; i < test_many(50000); i++)
		async_release(async_loop_create_task(loop, await_for_ever, never, NULL));
	for (int i = 0; i < 2; i++) {
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
	}
	async_release(never);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

/* In one thread after another */

struct elsewhere {
	async_loop *loop;
	int pipe[2];
	intptr_t result;
};

static intptr_t read_byte(void *arg)
{
	char byte;

	return async_read(((struct elsewhere *)arg)->pipe[0], &byte, 1);
}

static void run_elsewhere(void *arg)
{
	struct elsewhere *mine = arg;
	async_task *task = async_loop_create_task(mine->loop, read_byte, mine, NULL);

	mine->result = async_loop_run_until_complete(mine->loop, task);
}

static void a_loop_runs_in_one_thread_after_another(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write(mine.pipe[1], "x", 1), 1);
		if (i == 1)
			run_elsewhere(&mine);
		else
			in_thread(run_elsewhere, &mine);
		assert_int_equal(mine.result, 1);
	}
	loop_end(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

/* Leaves a task behind that waits for the kernel. */
static void leave_waiting(void *arg)
{
	struct elsewhere *mine = arg;

	async_release(async_loop_create_task(mine->loop, read_byte, mine, NULL));
	for (int i = 0; i < 2; i++) {
		async_loop_stop(mine->loop);
		mine->result = async_loop_run_forever(mine->loop);
	}
}

static void a_loop_is_closed_after_its_thread_ended(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	in_thread(leave_waiting, &mine);
	assert_int_equal(mine.result, 0);
	assert_int_equal(async_loop_close(mine.loop), 0);
	async_loop_free(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

static void close_elsewhere(void *arg)
{
	struct elsewhere *mine = arg;

	mine->result = async_loop_close(mine->loop);
}

/* A ring belongs to its thread; epoll does not mind. */
static void a_loop_with_operations_is_closed_in_its_thread(void **state)
{
	struct elsewhere mine = {.loop = loop_real()};
	struct async_loop_stats stats = {.size = sizeof(stats)};

	(void)state;
	assert_int_equal(pipe(mine.pipe), 0);
	leave_waiting(&mine);
	assert_int_equal(async_loop_get_stats(mine.loop, &stats), 0);
	in_thread(close_elsewhere, &mine);
	if (strcmp(stats.backend, "io_uring") == 0) {
		assert_int_equal(mine.result, -EPERM);
		mine.result = async_loop_close(mine.loop);
	}
	assert_int_equal(mine.result, 0);
	async_loop_free(mine.loop);
	close(mine.pipe[0]);
	close(mine.pipe[1]);
}

/* Inside another loop */

static bool readable(int fd, int timeout)
{
	struct pollfd pollfd = {.fd = fd, .events = POLLIN};

	return poll(&pollfd, 1, timeout) == 1;
}

/* As a foreign loop does: until `done`, run when the descriptor is readable. */
static void drive(async_loop *loop, const bool *done)
{
	int fd = async_loop_fd(loop);

	assert_true(fd >= 0);
	while (!*done) {
		assert_true(readable(fd, -1));
		assert_true(async_loop_run_once(loop) >= 0);
	}
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

static intptr_t sleep_then_flag(void *arg)
{
	give_way(2);
	int result = async_sleep(ASYNC_MS);

	*(bool *)arg = true;
	return result;
}

static void *call_from_thread(void *arg)
{
	async_loop_call_soon_threadsafe(((struct foreign *)arg)->loop, set_flag, ((struct foreign *)arg)->future);
	return NULL;
}

static void an_embedded_loop_tells_when_to_run(void **state)
{
	async_loop *loop = loop_real();
	int fd = async_loop_fd(loop);
	bool done = false;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(async_loop_fd(loop), fd);
	while (readable(fd, 0))
		assert_int_equal(async_loop_run_once(loop), 0);

	async_loop_call_soon(loop, set_flag, &done, NULL);
	drive(loop, &done);
	done = false;
	async_loop_call_later(loop, ASYNC_MS, set_flag, &done, NULL);
	drive(loop, &done);
	done = false;
	async_task *task = async_loop_create_task(loop, sleep_then_flag, &done, NULL);
	drive(loop, &done);
	assert_true(async_done(task));
	assert_int_equal(async_result(task), 0);
	async_release(task);

	done = false;
	struct foreign foreign = {loop, (void *)&done};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, call_from_thread, &foreign), 0);
	drive(loop, &done);
	pthread_join(thread, NULL);

	async_handle *handle;
	done = false;
	assert_int_equal(async_handle_new(loop, set_flag, &done, &handle), 0);
	assert_int_equal(async_handle_post(handle), 0);
	drive(loop, &done);
	async_handle_release(handle);

	/* Nothing to do: not readable. */
	while (readable(fd, 0))
		assert_int_equal(async_loop_run_once(loop), 0);
	assert_false(readable(fd, 0));
	loop_end(loop);
}

static intptr_t read_pipe(void *arg)
{
	char c;

	return async_read(*(int *)arg, &c, 1) == 1 ? c : -EIO;
}

static void an_embedded_loop_hears_of_descriptors(void **state)
{
	async_loop *loop = loop_real();
	int fd = async_loop_fd(loop), pipes[2];

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	async_task *task = async_loop_create_task(loop, read_pipe, &pipes[0], NULL);
	/* The task starts and waits; nothing is left to do. */
	while (readable(fd, 0))
		assert_true(async_loop_run_once(loop) >= 0);
	assert_false(async_done(task));
	assert_int_equal(write(pipes[1], "k", 1), 1);
	while (!async_done(task)) {
		assert_true(readable(fd, -1));
		assert_true(async_loop_run_once(loop) >= 0);
	}
	assert_int_equal(async_result(task), 'k');
	async_release(task);
	close(pipes[0]);
	close(pipes[1]);
	loop_end(loop);
}

static void run_once_is_one_iteration(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_loop_run_once(loop), 0);
	async_loop_call_soon(loop, call_b, WORD("b"), NULL);
	assert_int_equal(async_loop_run_once(loop), 1);
	assert_noted("a");
	assert_int_equal(async_loop_run_once(loop), 0);
	assert_noted("b");
	assert_int_equal(async_loop_run_once(NULL), -EINVAL);
	assert_int_equal(async_loop_fd(NULL), -EINVAL);
	loop_end(loop);
}

/* A child process */

static int destroyed;

static void count_destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

#define CHECK(condition) \
	do { \
		if (!(condition)) \
			_exit(__LINE__ % 250 + 1); \
	} while (0)

static void use_in_child(async_loop *loop, async_future *future)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = count_destroy;
	CHECK(async_loop_call_soon(loop, note_callback, NULL, NULL) == -EPERM);
	CHECK(async_loop_call_soon_threadsafe(loop, note_callback, NULL) == -EPERM);
	CHECK(async_error(async_loop_create_task(loop, return_arg, NULL, &options)) == -EPERM);
	CHECK(destroyed == 1);
	CHECK(async_error(async_future_new(loop, NULL)) == -EPERM);
	CHECK(async_loop_run_forever(loop) == -EPERM);
	CHECK(async_loop_run_once(loop) == -EPERM);
	CHECK(async_loop_fd(loop) == -EPERM);
	CHECK(async_add_done_callback(future, NULL, NULL) < 0);
	/* A loop of its own works. */
	async_loop *own;
	CHECK(async_loop_new(NULL, &own) == 0);
	CHECK(async_loop_run_until_complete(own, async_loop_create_task(own, return_arg, (void *)3, NULL)) == 3);
	async_loop_free(own);
	/* And the parent's can be closed. */
	async_release(future);
	CHECK(async_loop_close(loop) == 0);
	async_loop_free(loop);
	_exit(0);
}

static void a_forked_child_is_refused(void **state)
{
	async_loop *loop = loop_real();
	async_future *future = async_future_new(loop, NULL);
	int status;

	(void)state;
	assert_true(async_loop_fd(loop) >= 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		use_in_child(loop, future);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* The parent's goes on. */
	async_future_set_result(future, 2);
	assert_int_equal(async_loop_run_until_complete(loop, future), 2);
	loop_end(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(calls_run_in_order),
		TEST(timed_calls_run_in_order),
		TEST(calls_need_an_open_loop_and_a_function),
		TEST(a_call_can_be_cancelled_inside_its_batch),
		TEST(a_timed_call_is_cancelled_by_an_earlier_one),
		TEST(a_call_of_the_same_batch_is_cancelled),
		TEST(a_prepared_handle_is_posted),
		TEST(stop_lets_the_batch_finish),
		TEST(a_stop_before_the_run_gives_one_poll),
		TEST(others_stay_pending),
		TEST(a_stopped_run_leaves_its_future_pending),
		TEST(runs_until_a_plain_future_is_done),
		TEST(runs_do_not_nest),
		TEST(closing_is_idempotent),
		TEST(each_thread_has_a_loop_of_its_own),
		TEST(other_threads_are_refused),
		TEST(threads_post_calls),
		TEST(a_sleeping_loop_is_woken),
		TEST(a_signal_handler_posts),
		TEST(a_signal_handler_stops),
		TEST(a_failing_handler_falls_back_to_stderr),
		TEST(leaks_are_named_in_debug_mode),
		TEST(slow_tasks_are_named_in_debug_mode),
		TEST(slow_callbacks_are_named_in_debug_mode),
		TEST(a_posted_handle_may_be_released),
		TEST(counters_count),
		TEST(options_have_limits),
		TEST(time_is_monotonic),
		TEST(threads_post_while_a_loop_closes),
		TEST(many_waiting_tasks_are_abandoned),
		TEST(a_loop_runs_in_one_thread_after_another),
		TEST(a_loop_is_closed_after_its_thread_ended),
		TEST(a_loop_with_operations_is_closed_in_its_thread),
		TEST(run_once_is_one_iteration),
		TEST(an_embedded_loop_tells_when_to_run),
		TEST(an_embedded_loop_hears_of_descriptors),
		TEST(a_forked_child_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
