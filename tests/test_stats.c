/* SPDX-License-Identifier: MIT */
/* Counters of loops and of tasks. */
#include "harness.h"

#include <string.h>

#include "base/clock.h"
#include "core/loop.h"

static struct async_task_stats stats_of(const async_task *task)
{
	struct async_task_stats stats = {.size = sizeof(stats)};

	assert_int_equal(async_task_get_stats(task, &stats), 0);
	return stats;
}

static intptr_t sleep_twice(void *arg)
{
	for (int i = 0; i < 2; i++) {
		int error = async_sleep(ASYNC_S);

		if (error)
			return error;
	}
	return (intptr_t)arg;
}

static intptr_t watch_a_task(void *arg)
{
	bool accounts = arg;
	async_task *task = async_create_task(sleep_twice, NULL);
	struct async_task_stats stats = stats_of(task);

	assert_int_equal(stats.id, 2);
	assert_int_equal(stats.state, ASYNC_TASK_CREATED);
	assert_null(stats.waits_for);
	assert_int_equal(stats.since, -1);
	assert_int_equal(stats.ran, -1);
	assert_int_equal(stats.switches, -1);

	async_time before = clock_now();
	give_way(1);
	stats = stats_of(task);
	assert_int_equal(stats.state, ASYNC_TASK_WAITING);
	assert_string_equal(stats.waits_for, "sleep");
	assert_true(stats.since > 0 && stats.since <= clock_now());
	assert_int_equal(stats.switches, accounts ? 1 : -1);
	if (accounts)
		assert_true(stats.since >= before && stats.ran > 0);
	else
		assert_int_equal(stats.ran, -1);

	assert_int_equal(async_sleep(ASYNC_S + 1), 0);
	assert_int_equal(stats_of(task).switches, accounts ? 2 : -1);
	assert_int_equal(async_sleep(2 * ASYNC_S), 0);
	stats = stats_of(task);
	assert_int_equal(stats.state, ASYNC_TASK_ENDED);
	assert_int_equal(stats.switches, -1);
	assert_int_equal(async_await(task), 0);

	stats = stats_of(async_current_task());
	assert_int_equal(stats.state, ASYNC_TASK_RUNNING);
	assert_true(accounts ? stats.ran > 0 : stats.ran == -1);
	return 0;
}

static void test_a_task_with_accounts(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.debug = false;
	options.accounting = true;
	assert_int_equal(run_with(watch_a_task, &options, &options), 0);
}

static void test_a_task_without_accounts(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.debug = false;
	assert_int_equal(run_with(watch_a_task, NULL, &options), 0);
}

static intptr_t look_at_ready(void *arg)
{
	async_task *task = async_create_task(sleep_twice, NULL);

	(void)arg;
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(stats_of(task).state, ASYNC_TASK_READY);
	assert_int_equal(stats_of(task).since, -1);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void test_a_task_that_is_ready(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(look_at_ready, NULL), 0);
}

static void ask_from_elsewhere(void *task)
{
	struct async_task_stats stats = {.size = sizeof(stats)};

	note("%d", async_task_get_stats(task, &stats));
}

static intptr_t ask_wrongly(void *arg)
{
	struct async_task_stats stats = {.size = sizeof(stats)}, small = {.size = 1};
	async_future *future = async_future_new(NULL, NULL);

	(void)arg;
	assert_int_equal(async_task_get_stats(NULL, &stats), -EINVAL);
	assert_int_equal(async_task_get_stats(future, &stats), -EINVAL);
	assert_int_equal(async_task_get_stats(async_current_task(), NULL), -EINVAL);
	assert_int_equal(async_task_get_stats(async_current_task(), &small), -EINVAL);
	in_thread(ask_from_elsewhere, async_current_task());
	async_release(future);
	return 0;
}

static void test_wrong_questions(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(ask_wrongly, NULL), 0);
	assert_noted("-1");
}

static void post(void *loop)
{
	assert_int_equal(async_loop_call_soon_threadsafe(loop, note_callback, (void *)(uintptr_t)"posted"), 0);
}

static intptr_t count_things(void *arg)
{
	async_loop *loop = async_get_running_loop();
	struct async_loop_stats before = {.size = sizeof(before)}, after = before;

	assert_int_equal(async_loop_get_stats(loop, &before), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_loop_call_soon(loop, note_callback, arg, NULL), 0);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(async_sleep(1), 0);
	in_thread(post, loop);
	give_way(2);
	assert_int_equal(async_loop_get_stats(loop, &after), 0);
	assert_noted("x x x posted");
	assert_true(after.callbacks - before.callbacks >= 4);
	assert_int_equal(after.timers_expired - before.timers_expired, 2);
	assert_int_equal(after.wakeups - before.wakeups, 1);
	assert_true(after.waited > before.waited);
	assert_true(after.longest_slice > 0);
	return 0;
}

static void test_a_loop(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(count_things, (void *)(uintptr_t)"x"), 0);
}

static intptr_t end_at_once(void *arg)
{
	return (intptr_t)arg;
}

static void test_a_loop_outside_debug_mode(void **state)
{
	struct async_options options = test_options();
	struct async_loop_stats stats = {.size = sizeof(stats)};

	(void)state;
	options.debug = false;
	async_loop *loop = loop_with(&options);
	for (int i = 0; i < 3; i++)
		async_release(async_loop_create_task(loop, end_at_once, NULL, NULL));
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_loop_get_stats(loop, &stats), 0);
	assert_int_equal(stats.longest_slice, -1);
	/* Each had the one before's; the last one's is given back when another is left. */
	assert_true(stats.stacks_idle >= 1);
	/* A program that was built before these counters were there. */
	struct async_loop_stats old = {.size = offsetof(struct async_loop_stats, callbacks), .callbacks = 77};
	assert_int_equal(async_loop_get_stats(loop, &old), 0);
	assert_int_equal(old.callbacks, 77);
	loop_end(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_task_with_accounts),
		TEST(test_a_task_without_accounts),
		TEST(test_a_task_that_is_ready),
		TEST(test_wrong_questions),
		TEST(test_a_loop),
		TEST(test_a_loop_outside_debug_mode),
	};

	return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
