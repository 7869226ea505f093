/* SPDX-License-Identifier: MIT */
/* async_as_completed and async_next_completed. */
#include "harness.h"

static int dropped;

static void count_drop(intptr_t result)
{
	(void)result;
	dropped++;
}

static intptr_t give_after(void *arg)
{
	int error = async_sleep((intptr_t)arg * 10);

	return error ? error : (intptr_t)arg;
}

static async_task *make(intptr_t delay)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = count_drop;
	return async_create_task_with(give_after, (void *)delay, &options);
}

static intptr_t in_order(void *arg)
{
	async_future *futures[] = {make(3), make(1), make(2)}, *next;
	async_completions *all;
	intptr_t expected = 0;
	int more;

	(void)arg;
	assert_int_equal(async_as_completed(futures, 3, ASYNC_FOREVER, &all), 0);
	while ((more = async_next_completed(all, &next)) > 0) {
		assert_true(async_done(next));
		assert_int_equal(async_await(next), ++expected);
	}
	assert_int_equal(more, 0);
	assert_int_equal(expected, 3);
	assert_int_equal(async_next_completed(all, &next), 0);
	async_completions_free(all);
	return 0;
}

static void test_order_of_completion(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(in_order, NULL), 0);
	for_each_seed(in_order, 200);
	assert_int_equal(dropped, 0);
}

/* What is in there several times is given once; each that could not be created is another one. */
static intptr_t several_times(void *arg)
{
	async_future *done = async_future_new(NULL, NULL), *late = make(1), *next;
	async_future *futures[] = {late,	      done,	       async_ref(late), async_create_task(NULL, NULL),
				   async_ref(done), async_ref(late), async_create_task(NULL, NULL)};
	const intptr_t expected[] = {8, -EINVAL, -EINVAL, 1};
	async_completions *all;

	(void)arg;
	async_future_set_result(done, 8);
	assert_int_equal(async_as_completed(futures, countof(futures), 100, &all), 0);
	for (size_t i = 0; i < countof(expected); i++) {
		assert_int_equal(async_next_completed(all, &next), 1);
		assert_int_equal(async_await(next), expected[i]);
	}
	assert_int_equal(async_next_completed(all, &next), 0);
	async_completions_free(all);
	/* No timer is left. */
	assert_int_equal(async_sleep(1000), 0);
	return 0;
}

static void test_duplicates(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(several_times, NULL), 0);
	for_each_seed(several_times, 200);
	assert_int_equal(dropped, 0);
}

/* Within one iteration, too, in the order in which they were done, however callbacks are shuffled. */
static intptr_t done_together(void *arg)
{
	async_future *futures[20], *all_futures[20], *next;
	async_completions *all;

	(void)arg;
	for (int i = 0; i < 20; i++)
		futures[i] = all_futures[i] = async_future_new(NULL, NULL);
	for (int i = 0; i < 5; i++)
		async_future_set_result(futures[4 - i], 4 - i);
	assert_int_equal(async_as_completed(all_futures, 20, ASYNC_FOREVER, &all), 0);
	for (int i = 19; i >= 5; i--)
		async_future_set_result(futures[i], i);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(async_next_completed(all, &next), 1);
		assert_int_equal(async_await(next), i < 5 ? i : 24 - i);
	}
	async_completions_free(all);
	return 0;
}

static void test_done_in_one_iteration(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(done_together, NULL), 0);
	for_each_seed(done_together, 200);
}

/* Those that are done come in the order given; what fails or is cancelled comes like any other. */
static intptr_t done_before(void *arg)
{
	async_future *futures[] = {async_future_new(NULL, NULL), async_future_new(NULL, NULL),
				   async_create_task(NULL, NULL), async_future_new(NULL, NULL)};
	async_future *first = futures[0], *next;
	async_completions *all;

	(void)arg;
	async_future_set_result(futures[3], 3);
	async_future_set_error(futures[1], -EIO);
	assert_int_equal(async_as_completed(futures, 4, ASYNC_FOREVER, &all), 0);
	for (int i = 1; i < 4; i++) {
		const intptr_t expected[] = {0, -EIO, -EINVAL, 3};

		assert_int_equal(async_next_completed(all, &next), 1);
		assert_ptr_equal(next, futures[i]);
		assert_int_equal(async_await(next), expected[i]);
	}
	async_cancel(first, NULL);
	assert_int_equal(async_next_completed(all, &next), 1);
	assert_int_equal(async_await(next), -ECANCELED);
	async_completions_free(all);
	return 0;
}

static void test_done_before(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(done_before, NULL), 0);
}

static intptr_t with_timeout(void *arg)
{
	async_future *futures[] = {make(1), make(5), make(9)}, *next, *kept = async_ref(futures[1]);
	async_completions *all;

	(void)arg;
	assert_int_equal(async_as_completed(futures, 3, 30, &all), 0);
	assert_int_equal(async_next_completed(all, &next), 1);
	assert_int_equal(async_await(next), 1);
	assert_int_equal(async_next_completed(all, &next), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 30);
	/* Once for each, then it is over; nothing was cancelled. */
	assert_int_equal(async_next_completed(all, &next), -ETIMEDOUT);
	assert_int_equal(async_next_completed(all, &next), 0);
	async_completions_free(all);
	assert_int_equal(async_await(kept), 5);
	assert_int_equal(dropped, 0);
	int error = async_sleep(100);
	assert_int_equal(dropped, 1);
	dropped = 0;
	return error;
}

static void test_timeout(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(with_timeout, NULL), 0);
	for_each_seed(with_timeout, 200);
}

/* What was done in time can be had after the timeout. */
static intptr_t late_reader(void *arg)
{
	async_future *futures[] = {make(1), make(5)}, *next;
	async_completions *all;

	(void)arg;
	assert_int_equal(async_as_completed(futures, 2, 30, &all), 0);
	int error = async_sleep(40);
	assert_int_equal(async_next_completed(all, &next), 1);
	assert_int_equal(async_await(next), 1);
	assert_int_equal(async_next_completed(all, &next), -ETIMEDOUT);
	async_completions_free(all);
	return error ? error : async_sleep(50);
}

static void test_done_in_time(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(late_reader, NULL), 0);
	assert_int_equal(dropped, 1);
}

struct reader {
	async_completions *all;
	int got;
};

static intptr_t read_one(void *arg)
{
	struct reader *reader = arg;
	async_future *next;

	reader->got = async_next_completed(reader->all, &next);
	return reader->got == 1 ? async_await(next) : reader->got;
}

/* A reader that was woken and then cancelled leaves the future to the next one. */
static intptr_t cancelled_reader(void *arg)
{
	async_future *futures[] = {async_future_new(NULL, NULL), async_future_new(NULL, NULL)};
	async_future *first = futures[0], *second = futures[1], *next;
	struct reader a, b;

	(void)arg;
	assert_int_equal(async_as_completed(futures, 2, ASYNC_FOREVER, &a.all), 0);
	b.all = a.all;
	async_task *one = async_create_task(read_one, &a);
	give_way(2);
	async_task *other = async_create_task(read_one, &b);
	give_way(2);
	/* All are promised. */
	assert_int_equal(async_next_completed(a.all, &next), 0);
	async_future_set_result(first, 11);
	give_way(1);
	async_cancel(one, NULL);
	assert_int_equal(async_await(one), -ECANCELED);
	assert_int_equal(async_await(other), 11);
	async_future_set_result(second, 12);
	assert_int_equal(async_next_completed(a.all, &next), 1);
	assert_int_equal(async_await(next), 12);
	assert_int_equal(async_next_completed(a.all, &next), 0);
	async_completions_free(a.all);
	return 0;
}

static void test_cancelled_reader(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_reader, NULL), 0);
}

/* The same where anything may come first: nothing is lost, nobody waits for ever. */
static intptr_t readers(void *arg)
{
	async_future *futures[4];
	struct reader reader[6];
	async_task *tasks[6];
	intptr_t sum = 0;
	int empty = 0;

	(void)arg;
	for (int i = 0; i < 4; i++)
		futures[i] = make(1 + i % 2);
	assert_int_equal(async_as_completed(futures, 4, ASYNC_FOREVER, &reader[0].all), 0);
	for (int i = 0; i < 6; i++) {
		reader[i].all = reader[0].all;
		tasks[i] = async_create_task(read_one, &reader[i]);
	}
	int error = async_sleep(10);
	async_cancel(tasks[0], NULL);
	async_cancel(tasks[1], NULL);
	for (int i = 0; i < 6; i++) {
		intptr_t result = async_await(tasks[i]);

		sum += result > 0 ? result : 0;
		empty += result == 0;
	}
	/* What the cancelled ones left. */
	async_future *next;
	while (async_next_completed(reader[0].all, &next) == 1)
		sum += async_await(next);
	assert_int_equal(sum, 6);
	assert_int_equal(empty, 2);
	async_completions_free(reader[0].all);
	return error;
}

static void test_several_readers(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(readers, NULL), 0);
	for_each_seed(readers, 200);
}

/* Freed before its futures are done, and while a callback and the timer are scheduled. */
static intptr_t free_early(void *arg)
{
	async_future *futures[] = {async_future_new(NULL, NULL), make(2)}, *first = async_ref(futures[0]);
	async_completions *all;

	assert_int_equal(async_as_completed(futures, 2, (intptr_t)arg, &all), 0);
	async_future_set_result(first, 1);
	int error = (intptr_t)arg ? async_sleep((intptr_t)arg) : 0;
	async_completions_free(all);
	async_release(first);
	async_completions_free(NULL);
	return error ? error : async_sleep(50);
}

static void test_free_early(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(free_early, (void *)0), 0);
	assert_int_equal(run_virtual(free_early, (void *)10), 0);
	assert_int_equal(dropped, 2);
}

static intptr_t misuse(void *arg)
{
	async_completions *all;
	async_future *futures[] = {async_future_new(NULL, NULL), NULL}, *next;

	(void)arg;
	assert_int_equal(async_as_completed(futures, 2, 0, &all), -EINVAL);
	assert_int_equal(async_as_completed(NULL, 1, 0, &all), -EINVAL);
	assert_int_equal(async_as_completed(NULL, 0, 0, NULL), -EINVAL);
	assert_int_equal(async_next_completed(NULL, &next), -EINVAL);
	assert_int_equal(async_as_completed(NULL, 0, 0, &all), 0);
	assert_int_equal(async_next_completed(all, NULL), -EINVAL);
	assert_int_equal(async_next_completed(all, &next), 0);
	async_completions_free(all);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(misuse, NULL), 0);
}

static void test_outside_a_task(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *futures[] = {async_future_new(loop, NULL)}, *next;
	async_completions *all;

	(void)state;
	assert_int_equal(async_as_completed(futures, 1, 10, &all), 0);
	assert_int_equal(async_next_completed(all, &next), -EPERM);
	assert_int_equal(async_loop_close(loop), 0);
	async_completions_free(all);
	async_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order_of_completion),
		TEST(test_duplicates),
		TEST(test_done_in_one_iteration),
		TEST(test_done_before),
		TEST(test_timeout),
		TEST(test_done_in_time),
		TEST(test_cancelled_reader),
		TEST(test_several_readers),
		TEST(test_free_early),
		TEST(test_misuse),
		TEST(test_outside_a_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
