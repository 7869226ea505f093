/* SPDX-License-Identifier: MIT */
/* Virtual time, deadlocks, and orders that a seed fixes. */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static intptr_t await_owned(void *arg)
{
	return async_await(arg);
}

/* Jumping */

#define CENTURY (100 * 365 * 24 * 3600LL * ASYNC_S)

static intptr_t long_sleeps(void *arg)
{
	(void)arg;
	assert_int_equal(async_loop_time(NULL), 0);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(async_loop_time(NULL), 1);
	assert_int_equal(async_sleep(CENTURY), 0);
	assert_int_equal(async_loop_time(NULL), 1 + CENTURY);
	/* A virtual clock stands still while somebody is ready. */
	give_way(1000);
	assert_int_equal(async_loop_time(NULL), 1 + CENTURY);
	assert_int_equal(async_sleep_until(INT64_MAX - 1), 0);
	assert_int_equal(async_loop_time(NULL), INT64_MAX - 1);
	return 0;
}

static void virtual_time_jumps_from_0(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_loop_time(loop), 0);
	loop_end(loop);
	assert_int_equal(run_virtual(long_sleeps, NULL), 0);
}

static void time_stays_between_runs(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *never = async_future_new(loop, NULL);

	(void)state;
	async_loop_call_later(loop, 50, note_callback, (void *)(uintptr_t)"50", NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(never)), -EDEADLK);
	assert_noted("50");
	assert_int_equal(async_loop_time(loop), 50);
	async_loop_call_later(loop, 50, note_callback, (void *)(uintptr_t)"100", NULL);
	assert_int_equal(async_loop_run_until_complete(loop, never), -EDEADLK);
	assert_int_equal(async_loop_time(loop), 100);
	assert_noted("100");
	loop_end(loop);
}

/* Deadlocks */

static intptr_t name_and_block(void *arg)
{
	async_task *other = async_create_task(await_owned, arg);

	async_task_set_name(other, "philosopher");
	async_task_set_name(async_current_task(), "waiter");
	return async_await(other);
}

static void assert_deadlock_report(void)
{
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EDEADLK);
	assert_non_null(strstr(reports.message, "deadlock"));
	assert_non_null(strstr(reports.message, "philosopher waits for a future"));
	assert_non_null(strstr(reports.message, "waiter waits for philosopher"));
}

static void a_deadlock_ends_the_run_and_names_the_tasks(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);
	async_task *task;

	(void)state;
	task = async_loop_create_task(loop, name_and_block, async_ref(future), NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EDEADLK);
	assert_deadlock_report();
	/* Nothing is broken: once somebody wakes them, it goes on. */
	async_future_set_result(future, 3);
	async_release(future);
	assert_int_equal(async_loop_run_until_complete(loop, task), 3);
	assert_int_equal(reports.count, 1);
	loop_end(loop);
	assert_int_equal(reports.count, 1);
}

static void run_forever_without_work_is_a_deadlock(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_loop_run_forever(loop), -EDEADLK);
	assert_int_equal(reports.count, 1);
	assert_false(async_loop_is_running(loop));
	loop_end(loop);
}

static void deadlocks_are_found_on_the_real_clock_if_wanted(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.clock = ASYNC_CLOCK_REAL;
	options.detect_deadlock = true;
	async_loop *loop = loop_with(&options);
	async_future *future = async_future_new(loop, NULL);
	async_task *task = async_loop_create_task(loop, name_and_block, async_ref(future), NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EDEADLK);
	assert_deadlock_report();
	async_cancel(task, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), -ECANCELED);
	async_release(future);
	loop_end(loop);
	assert_int_equal(reports.count, 1);
}

static intptr_t sleep_for_ever(void *arg)
{
	(void)arg;
	return async_sleep(ASYNC_FOREVER);
}

static void sleeping_for_ever_is_a_deadlock(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_task *task = async_loop_create_task(loop, sleep_for_ever, NULL, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EDEADLK);
	assert_non_null(strstr(reports.message, "Task-1 waits for sleep"));
	async_cancel(task, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), -ECANCELED);
	loop_end(loop);
}

static intptr_t many_block(void *arg)
{
	for (int i = 0; i < 100; i++)
		async_release(async_create_task(await_owned, async_ref(arg)));
	return async_await(async_ref(arg));
}

static void a_large_deadlock_is_cut_short(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);
	async_task *task = async_loop_create_task(loop, many_block, future, NULL);

	(void)state;
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(task)), -EDEADLK);
	assert_non_null(strstr(reports.message, "; and 69 more"));
	async_future_set_result(future, 0);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	async_release(future);
	loop_end(loop);
}

/* What can still wake a loop is no deadlock. */

static async_handle *outside_handle;

static void *post_when_asleep(void *arg)
{
	await_asleep(arg);
	async_handle_post(outside_handle);
	return NULL;
}

static void set_result(void *arg)
{
	async_future_set_result(arg, 5);
}

static void a_prepared_handle_is_no_deadlock(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);
	pthread_t thread;

	(void)state;
	assert_int_equal(async_handle_new(loop, set_result, future, &outside_handle), 0);
	assert_int_equal(pthread_create(&thread, NULL, post_when_asleep, loop), 0);
	assert_int_equal(async_loop_run_until_complete(loop, async_ref(future)), 5);
	pthread_join(thread, NULL);
	async_handle_release(outside_handle);
	async_release(future);
	/* Without it there is nobody. */
	assert_int_equal(async_loop_run_forever(loop), -EDEADLK);
	loop_end(loop);
}

/* Ends when the loop has nothing to do but to wait for it. */
static intptr_t job_until_asleep(void *arg)
{
	await_asleep(arg);
	return 6;
}

static intptr_t jobs_and_time(void *arg)
{
	async_loop *loop = async_get_running_loop();

	(void)arg;
	async_loop_call_later(loop, 1, note_callback, (void *)(uintptr_t)"timer", NULL);
	assert_int_equal(async_to_thread(job_until_asleep, loop), 6);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_noted("");
	async_future *job = async_run_in_executor(NULL, job_until_asleep, loop);
	assert_int_equal(async_sleep(1), 0);
	assert_int_equal(async_loop_time(NULL), 1);
	assert_true(async_done(job));
	return async_await(job);
}

static void jobs_hold_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(jobs_and_time, NULL), 6);
	assert_noted("timer");
}

static intptr_t read_byte(void *arg)
{
	char c;
	ssize_t n = async_read(*(int *)arg, &c, 1);

	return n < 0 ? n : c;
}

static intptr_t descriptors_and_time(void *arg)
{
	int pipes[2];

	(void)arg;
	assert_int_equal(pipe(pipes), 0);
	async_task *reader = async_create_task(read_byte, &pipes[0]);
	/* A pending wait on a descriptor does not hold time. */
	assert_int_equal(async_sleep(ASYNC_S), 0);
	assert_int_equal(async_loop_time(NULL), ASYNC_S);
	assert_false(async_done(reader));
	/* What is there is read before time passes. */
	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(async_wait_for(reader, ASYNC_S), 'x');
	assert_int_equal(async_loop_time(NULL), ASYNC_S);
	close(pipes[0]);
	close(pipes[1]);
	return 0;
}

static void descriptors_do_not_hold_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(descriptors_and_time, NULL), 0);
}

/* Seeds */

static intptr_t note_number(void *arg)
{
	note("%d", (int)(intptr_t)arg);
	give_way(1);
	note("%d", (int)(intptr_t)arg);
	return 0;
}

static intptr_t ten_tasks(void *arg)
{
	async_task *tasks[10];

	(void)arg;
	for (intptr_t i = 0; i < 10; i++)
		tasks[i] = async_create_task(note_number, (void *)i);
	for (int i = 0; i < 10; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	return 0;
}

static void order_of_seed(uint64_t seed, char *order, size_t size)
{
	struct async_options options = test_options();

	options.shuffle_seed = seed;
	assert_int_equal(run_with(ten_tasks, NULL, &options), 0);
	snprintf(order, size, "%s", noted());
	forget_notes();
}

static void a_seed_fixes_the_order(void **state)
{
	char first[200], again[200], fifo[200];
	int different = 0;

	(void)state;
	order_of_seed(0, fifo, sizeof(fifo));
	assert_string_equal(fifo, "0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9");
	for (uint64_t seed = 1; seed <= 50; seed++) {
		order_of_seed(seed, first, sizeof(first));
		order_of_seed(seed, again, sizeof(again));
		assert_string_equal(first, again);
		different += strcmp(first, fifo) != 0;
	}
	assert_int_equal(different, 50);
	order_of_seed(1, first, sizeof(first));
	order_of_seed(2, again, sizeof(again));
	assert_string_not_equal(first, again);
	order_of_seed(UINT64_MAX, first, sizeof(first));
	assert_string_not_equal(first, fifo);
}

static int first_counts[10];

static intptr_t who_is_first(void *arg)
{
	ten_tasks(arg);
	first_counts[noted()[0] - '0']++;
	return 0;
}

/* Each of ten tasks comes first now and then. */
static void every_order_can_come(void **state)
{
	(void)state;
	memset(first_counts, 0, sizeof(first_counts));
	for_each_seed(who_is_first, 200);
	for (int i = 0; i < 10; i++)
		assert_true(first_counts[i] > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(virtual_time_jumps_from_0),
		TEST(time_stays_between_runs),
		TEST(a_deadlock_ends_the_run_and_names_the_tasks),
		TEST(run_forever_without_work_is_a_deadlock),
		TEST(deadlocks_are_found_on_the_real_clock_if_wanted),
		TEST(sleeping_for_ever_is_a_deadlock),
		TEST(a_large_deadlock_is_cut_short),
		TEST(a_prepared_handle_is_no_deadlock),
		TEST(jobs_hold_time),
		TEST(descriptors_do_not_hold_time),
		TEST(a_seed_fixes_the_order),
		TEST(every_order_can_come),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
