/* SPDX-License-Identifier: MIT */
/* async_wait: for the first, for the first failure, for all, or no longer than that. */
#include "wait_peers.h"

static void cancel_all(async_future **futures, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		async_cancel(futures[i], NULL);
		(void)!async_await(futures[i]);
	}
}

static intptr_t wait_first(void *arg)
{
	async_future *fs[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_COMPLETED, ASYNC_FOREVER), 1);
	assert_int_equal(async_loop_time(NULL), 10);
	assert_true(async_done(fs[1]) && !async_done(fs[0]) && !async_done(fs[2]));
	/* One is done already: at once. */
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_COMPLETED, ASYNC_FOREVER), 1);
	assert_int_equal(async_loop_time(NULL), 10);
	/* Nothing was taken, nothing was cancelled. */
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 30);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(fs[i]), i + 1);
	return 0;
}

static void wait_for_the_first(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_first, NULL), 0);
	assert_noted("b c a");
	for_each_seed(wait_first, 100);
}

static intptr_t wait_exception(void *arg)
{
	struct work failing[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}, {"c", 20, -EIO, 0}, {"d", 15, -ECANCELED, 0}};
	async_future *fs[4];

	(void)arg;
	for (int i = 0; i < 4; i++)
		fs[i] = start(&failing[i]);
	/* A value and a cancellation are no failure. */
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_FIRST_EXCEPTION, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 20);
	assert_int_equal(async_error(fs[2]), -EIO);
	cancel_all(fs, 4);

	/* None fails: all of them. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_FIRST_EXCEPTION, ASYNC_FOREVER), 3);
	assert_int_equal(async_loop_time(NULL), 50);
	cancel_all(fs, 3);
	return 0;
}

static void wait_for_the_first_failure(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_exception, NULL), 0);
	for_each_seed(wait_exception, 100);
}

static intptr_t wait_timeout(void *arg)
{
	async_future *fs[3];

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, 0), 0);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, -1), 0);
	assert_int_equal(async_wait(fs, 3, ASYNC_WAIT_ALL_COMPLETED, 25), 2);
	assert_int_equal(async_loop_time(NULL), 25);
	assert_false(async_done(fs[0]));
	assert_int_equal(async_cancelling(fs[0]), 0);
	assert_int_equal(async_wait(fs, 1, ASYNC_WAIT_FIRST_COMPLETED, 1), 0);
	assert_int_equal(async_wait(fs, 1, ASYNC_WAIT_FIRST_COMPLETED, 100), 1);
	assert_int_equal(async_loop_time(NULL), 30);
	/* The timer of a wait that ended holds nothing: the next thing that happens is later. */
	assert_int_equal(async_sleep(1000), 0);
	assert_int_equal(async_loop_time(NULL), 1030);
	cancel_all(fs, 3);
	return 0;
}

static void wait_with_a_limit(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_timeout, NULL), 0);
}

static intptr_t wait_duplicates(void *arg)
{
	async_future *one = async_future_new(NULL, NULL), *two = async_future_new(NULL, NULL);
	async_future *fs[] = {one, two, one, one};

	(void)arg;
	async_future_set_result(one, 1);
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_ALL_COMPLETED, 5), 3);
	assert_int_equal(async_loop_time(NULL), 5);
	async_future_set_result(two, 1);
	assert_int_equal(async_wait(fs, 4, ASYNC_WAIT_ALL_COMPLETED, 5), 4);
	assert_int_equal(async_loop_time(NULL), 5);
	async_release(one);
	async_release(two);
	return 0;
}

static void wait_for_one_several_times(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_duplicates, NULL), 0);
}

static intptr_t wait_refused(void *arg)
{
	async_future *foreign = async_future_new(arg, NULL), *mine = async_future_new(NULL, NULL);
	async_future *fs[] = {mine, NULL}, *mixed[] = {mine, foreign};
	async_future *failed[] = {async_future_failed(-EIO), async_future_failed(-ENOMEM)};

	assert_int_equal(async_wait(fs, 0, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(NULL, 1, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(fs, 2, ASYNC_WAIT_ALL_COMPLETED, 0), -EINVAL);
	assert_int_equal(async_wait(fs, 1, (enum async_wait_when)3, 0), -EINVAL);
	assert_int_equal(async_wait(mixed, 2, ASYNC_WAIT_ALL_COMPLETED, 0), -EPERM);
	assert_int_equal(async_wait(failed, 2, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER), 2);
	async_release(mine);
	async_release(foreign);
	return 0;
}

static void wait_refuses_nonsense(void **state)
{
	async_loop *other = loop_virtual();
	async_future *future = async_future_new(other, NULL);

	(void)state;
	assert_int_equal(async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, 0), -EPERM);
	async_release(future);
	assert_int_equal(run_virtual(wait_refused, other), 0);
	loop_end(other);
}

struct waiting {
	async_future *fs[2];
};

static intptr_t wait_both(void *arg)
{
	struct waiting *waiting = arg;

	return async_wait(waiting->fs, 2, ASYNC_WAIT_ALL_COMPLETED, 1000);
}

static intptr_t wait_cancelled(void *arg)
{
	struct waiting waiting = {{async_future_new(NULL, NULL), async_future_new(NULL, NULL)}};
	async_task *task = async_create_task(wait_both, &waiting);

	(void)arg;
	give_way(1);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(async_loop_time(NULL), 0);
	assert_false(async_done(waiting.fs[0]) || async_done(waiting.fs[1]));

	/* Both are done in the same iteration in which it is cancelled. */
	task = async_create_task(wait_both, &waiting);
	give_way(1);
	async_future_set_result(waiting.fs[0], 0);
	async_future_set_result(waiting.fs[1], 0);
	async_cancel(task, NULL);
	async_release(waiting.fs[0]);
	async_release(waiting.fs[1]);
	assert_int_equal(async_await(task), -ECANCELED);
	give_way(2);
	return 0;
}

static void a_wait_is_cancelled_alone(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_cancelled, NULL), 0);
	for_each_seed(wait_cancelled, 50);
}

/* Two iterations after the future is done: its callback, then the waiter. */
static intptr_t wait_interleaving(void *arg)
{
	struct waiting waiting = {{async_future_new(NULL, NULL), async_future_new(NULL, NULL)}};
	async_task *task = async_create_task(wait_both, &waiting);

	(void)arg;
	give_way(1);
	async_future_set_result(waiting.fs[0], 0);
	async_future_set_result(waiting.fs[1], 0);
	give_way(1);
	assert_false(async_done(task));
	give_way(1);
	assert_true(async_done(task));
	async_release(waiting.fs[0]);
	async_release(waiting.fs[1]);
	return async_await(task);
}

static void wait_wakes_as_asyncio_does(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_interleaving, NULL), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wait_for_the_first),
		TEST(wait_for_the_first_failure),
		TEST(wait_with_a_limit),
		TEST(wait_for_one_several_times),
		TEST(wait_refuses_nonsense),
		TEST(a_wait_is_cancelled_alone),
		TEST(wait_wakes_as_asyncio_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
