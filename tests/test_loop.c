/* SPDX-License-Identifier: MIT */
/* The loop: runs and stops, its end, errors, leaks, counters. */
#include "harness.h"

#include <string.h>

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

static void call_b(void *arg)
{
	note("a");
	assert_int_equal(async_loop_call_soon(async_get_running_loop(), note_callback, arg, NULL), 0);
}

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

static intptr_t stop_and_return(void *arg)
{
	async_loop_stop(async_get_running_loop());
	return (intptr_t)arg;
}

/* The callback that would have stopped the first run comes in the second. */
static void a_stop_at_the_end_stops_no_later_run(void **state)
{
	async_loop *loop = loop_virtual();
	int turns = 0;

	(void)state;
	async_task *task = async_loop_create_task(loop, stop_and_return, (void *)5, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 5);
	task = async_loop_create_task(loop, count_turns, &turns, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 3);
	loop_end(loop);
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
	task = async_loop_create_task(loop, give_way_once, NULL, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
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

static void time_is_monotonic(void **state)
{
	async_loop *loop = loop_real();
	async_time before = async_loop_time(NULL), here = async_loop_time(loop);

	(void)state;
	assert_true(before > 0 && here >= before);
	assert_true(async_loop_time(loop) >= here);
	loop_end(loop);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(stop_lets_the_batch_finish),
		TEST(a_stop_before_the_run_gives_one_poll),
		TEST(others_stay_pending),
		TEST(a_stop_at_the_end_stops_no_later_run),
		TEST(a_stopped_run_leaves_its_future_pending),
		TEST(runs_until_a_plain_future_is_done),
		TEST(runs_do_not_nest),
		TEST(closing_is_idempotent),
		TEST(a_failing_handler_falls_back_to_stderr),
		TEST(leaks_are_named_in_debug_mode),
		TEST(slow_tasks_are_named_in_debug_mode),
		TEST(slow_callbacks_are_named_in_debug_mode),
		TEST(counters_count),
		TEST(time_is_monotonic),
		TEST(many_waiting_tasks_are_abandoned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
