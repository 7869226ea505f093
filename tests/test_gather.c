/* SPDX-License-Identifier: MIT */
/* async_gather: the results of several in their order, or the first error. */
#include "wait_peers.h"

static intptr_t gather_values(void *arg)
{
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	async_future *all = async_gather(fs, 3, 0, results);
	assert_false(async_done(all));
	assert_false(async_is_task(all));
	assert_int_equal(async_future_set_result(all, 1), -EINVAL);
	assert_int_equal(async_await(all), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(results[i], i + 1);
	assert_int_equal(dropped, 0);

	/* No place for the values: dropped. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&three[i]);
	dropped_sum = 0;
	assert_int_equal(async_await(async_gather(fs, 3, 0, NULL)), 3);
	assert_int_equal(dropped, 3);
	assert_int_equal(dropped_sum, 6);
	return 0;
}

static void gather_keeps_the_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_values, NULL), 0);
	assert_noted("b c a b c a");
	for_each_seed(gather_values, 100);
}

static intptr_t gather_error(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, -EIO, 0}, {"c", 20, -EPIPE, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	async_task *first = async_ref(fs[0]);
	assert_int_equal(async_await(async_gather(fs, 3, 0, results)), -EIO);
	/* At once, while the others run on; a later failure is not reported. */
	assert_int_equal(async_loop_time(NULL), 10);
	assert_noted("b");
	assert_false(async_done(first));
	assert_int_equal(async_cancelling(first), 0);
	async_release(first);
	assert_int_equal(async_sleep(100), 0);
	assert_noted("c a");
	assert_int_equal(dropped, 1);
	assert_int_equal(results[0], -1);
	return 0;
}

static void gather_fails_with_the_first_error(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_error, NULL), 0);
	for_each_seed(gather_error, 100);
}

static intptr_t gather_collect(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, -EIO, 0}, {"c", 20, -ECANCELED, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	assert_int_equal(async_await(async_gather(fs, 3, ASYNC_GATHER_COLLECT, results)), 1);
	assert_int_equal(async_loop_time(NULL), 30);
	assert_int_equal(results[0], 1);
	assert_int_equal(results[1], -EIO);
	assert_int_equal(results[2], -ECANCELED);
	/* Errors that are collected nowhere are nobody's. */
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	assert_int_equal(async_await(async_gather(fs, 3, ASYNC_GATHER_COLLECT, NULL)), 1);
	return 0;
}

static void gather_collects_errors(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_collect, NULL), 0);
}

static intptr_t gather_cancelled_child(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 10, 2, 0}};
	async_future *fs[2] = {start(&works[0]), start(&works[1])};
	async_task *second = async_ref(fs[1]);
	async_future *all = async_gather(fs, 2, 0, NULL);

	(void)arg;
	give_way(1);
	async_cancel(second, NULL);
	async_release(second);
	/* A cancelled child is an error of the gathering; the other runs on. */
	assert_int_equal(async_await(all), -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_noted("cancelled-b");
	assert_int_equal(async_sleep(100), 0);
	assert_noted("a");
	return 0;
}

static void gather_with_a_cancelled_child(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_cancelled_child, NULL), 0);
}

static intptr_t gather_cancel(void *arg)
{
	struct work works[] = {{"a", 30, 1, 0}, {"b", 30, 2, 5}, {"c", 10, 3, 0}};
	async_future *fs[3];
	intptr_t results[3] = {-1, -1, -1};

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 3; i++)
		fs[i] = start(&works[i]);
	async_future *all = async_gather(fs, 3, ASYNC_GATHER_COLLECT, results);
	assert_int_equal(async_sleep(15), 0);
	assert_int_equal(async_cancel(all, "enough"), 1);
	assert_false(async_done(all));
	/* It ends when the slowest clean-up has; what had a value before is dropped. */
	assert_int_equal(async_await(all), -ECANCELED);
	assert_noted("c cancelled-a cancelled-b");
	assert_int_equal(async_loop_time(NULL), 15);
	assert_int_equal(results[2], -1);
	assert_int_equal(dropped, 1);
	return 0;
}

static void cancelling_a_gathering_cancels_all(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_cancel, NULL), 0);
}

static intptr_t await_it(void *arg)
{
	return async_await(arg);
}

static intptr_t swallow(void *arg)
{
	assert_int_equal(async_sleep(1000), -ECANCELED);
	return (intptr_t)arg;
}

static intptr_t gather_swallowed(void *arg)
{
	async_future *fs[] = {async_create_task(swallow, (void *)1), async_create_task(swallow, (void *)2)};
	intptr_t results[2] = {-1, -1};
	async_future *all = async_gather(fs, 2, 0, results);

	(void)arg;
	give_way(1);
	async_cancel(all, NULL);
	return async_await(all);
}

/* As in asyncio: the gathering was cancelled, even if no child was. */
static void a_cancelled_gathering_is_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_swallowed, NULL), -ECANCELED);
}

static intptr_t fails_when_cancelled(void *arg)
{
	assert_int_equal(async_sleep(1000), -ECANCELED);
	return (intptr_t)arg;
}

/* A failure goes before the cancellation; where failures are collected, they are reported. */
static intptr_t gather_failing_clean_up(void *arg)
{
	for (unsigned flags = 0; flags <= ASYNC_GATHER_COLLECT; flags++) {
		async_future *fs[] = {async_create_task(swallow, (void *)1),
				      async_create_task(fails_when_cancelled, (void *)-EIO),
				      async_create_task(fails_when_cancelled, (void *)-ECANCELED)};
		intptr_t results[3] = {-1, -1, -1};
		async_future *all = async_gather(fs, 3, flags, results);

		give_way(1);
		assert_int_equal(async_cancel(all, NULL), 1);
		assert_int_equal(async_await(all), flags ? -ECANCELED : -EIO);
		assert_int_equal(results[1], -1);
	}
	return (intptr_t)arg;
}

static void a_failure_of_a_cancelled_gathering_is_told(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_with(gather_failing_clean_up, NULL, &options), 0);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
}

/* Children that are done, directly and below a gathering, cannot be cancelled: their results come. */
static intptr_t gather_too_late(void *arg)
{
	async_future *plain = async_future_new(NULL, NULL), *inner_fs[] = {async_ref(plain)};
	async_future *inner = async_gather(inner_fs, 1, 0, NULL), *fs[] = {async_ref(inner)};
	async_future *outer = async_gather(fs, 1, 0, NULL);

	async_future_set_result(plain, 5);
	assert_false(async_done(inner));
	assert_int_equal(async_cancel(inner, NULL), 0);
	assert_int_equal(async_cancel(outer, NULL), 0);
	assert_int_equal(async_await(inner), 1);
	assert_int_equal(async_await(outer), 1);

	/* Who begins to wait for it with a cancellation undelivered is told when it is done. */
	inner_fs[0] = async_future_new(NULL, NULL);
	async_ref(inner_fs[0]);
	inner = async_gather(inner_fs, 1, 0, NULL);
	async_future_set_result(inner_fs[0], 5);
	async_release(inner_fs[0]);
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_await(inner), -ECANCELED);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(async_uncancel(async_current_task()), 0);

	/* Below a task it is the task that is cancelled. */
	async_release(plain);
	plain = async_future_new(NULL, NULL);
	inner_fs[0] = async_ref(plain);
	async_task *waiter = async_create_task(await_it, async_gather(inner_fs, 1, 0, NULL));
	fs[0] = async_ref(waiter);
	outer = async_gather(fs, 1, 0, NULL);
	give_way(2);
	async_future_set_result(plain, 5);
	assert_int_equal(async_cancel(outer, NULL), 1);
	assert_int_equal(async_await(outer), -ECANCELED);
	assert_true(async_cancelled(waiter));
	async_release(waiter);
	async_release(plain);
	return (intptr_t)arg;
}

static void a_gathering_of_finished_futures_is_not_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_too_late, NULL), 0);
	for_each_seed(gather_too_late, 50);
}

static intptr_t gather_edges(void *arg)
{
	async_future *one = async_future_new(NULL, NULL), *foreign = async_future_new(arg, drop);
	async_future *twice[] = {async_ref(one), async_ref(one)}, *with_null[] = {async_ref(one), NULL};
	async_future *mixed[] = {async_ref(one), foreign};
	async_future *failed[] = {async_future_failed(-ENOMEM), async_ref(one)};
	intptr_t results[2] = {-1, -1};

	/* None: done at once with nothing. */
	async_future *all = async_gather(NULL, 0, 0, NULL);
	assert_true(async_done(all));
	assert_int_equal(async_await(all), 0);
	assert_int_equal(async_await(async_gather(with_null, 2, 0, results)), -EINVAL);
	assert_int_equal(async_await(async_gather(mixed, 2, 0, results)), -EPERM);
	assert_int_equal(async_await(async_gather(NULL, 2, 0, results)), -EINVAL);
	assert_int_equal(async_await(async_gather(failed, 2, 0, results)), -ENOMEM);

	all = async_gather(twice, 2, 0, results);
	async_future_set_result(one, 4);
	assert_int_equal(async_await(all), 2);
	assert_int_equal(results[0] + results[1], 8);

	/* All done already: so is the gathering. */
	twice[0] = async_ref(one);
	twice[1] = one;
	all = async_gather(twice, 2, 0, results);
	assert_true(async_done(all));
	assert_int_equal(async_cancel(all, NULL), 0);
	assert_int_equal(async_await(all), 2);
	assert_int_equal(async_error(async_gather(NULL, 0, 99, NULL)), -EINVAL);
	return 0;
}

static void gather_at_its_edges(void **state)
{
	async_loop *other = loop_virtual();

	(void)state;
	assert_int_equal(run_virtual(gather_edges, other), 0);
	/* The foreign one was released too. */
	loop_end(other);
	assert_int_equal(reports.count, 0);
}

static intptr_t gather_released(void *arg)
{
	struct work works[] = {{"a", 10, 1, 0}, {"b", 20, 2, 0}};
	async_future *fs[] = {start(&works[0]), start(&works[1])};

	(void)arg;
	dropped = 0;
	async_release(async_gather(fs, 2, 0, NULL));
	assert_int_equal(async_sleep(30), 0);
	assert_noted("a b");
	assert_int_equal(dropped, 2);
	return 0;
}

static void a_gathering_that_nobody_wants(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_released, NULL), 0);
}

static intptr_t gather_many(void *arg)
{
	size_t count = (size_t)arg;
	async_future **fs = test_calloc(count, sizeof(*fs));
	intptr_t *results = test_calloc(count, sizeof(*results));
	struct work one = {"", 5, 1, 0};

	for (size_t i = 0; i < count; i++)
		fs[i] = start(&one);
	assert_int_equal(async_await(async_gather(fs, count, 0, results)), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(results[i], 1);
	test_free(fs);
	test_free(results);
	return 0;
}

static void gather_of_many(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(gather_many, (void *)test_many(20000)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gather_keeps_the_order),
		TEST(gather_fails_with_the_first_error),
		TEST(gather_collects_errors),
		TEST(gather_with_a_cancelled_child),
		TEST(cancelling_a_gathering_cancels_all),
		TEST(a_cancelled_gathering_is_cancelled),
		TEST(a_failure_of_a_cancelled_gathering_is_told),
		TEST(a_gathering_of_finished_futures_is_not_cancelled),
		TEST(gather_at_its_edges),
		TEST(a_gathering_that_nobody_wants),
		TEST(gather_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
