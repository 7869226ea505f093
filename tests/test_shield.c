/* SPDX-License-Identifier: MIT */
/* async_shield: what goes through it, and what does not. */
#include "harness.h"

static int dropped;

static void count_drop(intptr_t result)
{
	(void)result;
	dropped++;
}

static intptr_t give(void *arg)
{
	int error = async_sleep(10);

	return error ? error : (intptr_t)arg;
}

static intptr_t give_at_once(void *arg)
{
	return (intptr_t)arg;
}

static async_task *make(async_fn *fn, intptr_t result)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.drop = count_drop;
	return async_create_task_with(fn, (void *)result, &options);
}

static intptr_t await_shield(void *inner)
{
	return async_await(async_shield(inner));
}

static intptr_t passes_results(void *arg)
{
	(void)arg;
	assert_int_equal(async_await(async_shield(make(give, 5))), 5);
	assert_int_equal(async_await(async_shield(make(give, -EIO))), -EIO);
	assert_int_equal(async_await(async_shield(make(give_at_once, 6))), 6);
	assert_int_equal(dropped, 0);
	return 0;
}

static void test_results_pass(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(passes_results, NULL), 0);
	for_each_seed(passes_results, 200);
}

/* The shield is done an iteration after what it shields. */
static intptr_t timing(void *arg)
{
	async_future *inner = async_future_new(NULL, NULL), *outer = async_shield(async_ref(inner));

	(void)arg;
	async_future_set_result(inner, 3);
	assert_false(async_done(outer));
	give_way(1);
	assert_true(async_done(outer));
	assert_int_equal(async_await(outer), 3);
	/* Of one that is done it is the future itself. */
	outer = async_shield(async_ref(inner));
	assert_ptr_equal(outer, inner);
	async_release(outer);
	async_release(inner);
	return 0;
}

static void test_timing(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(timing, NULL), 0);
}

static intptr_t cancels_waiter(void *arg)
{
	async_task *inner = make(give, 7), *waiter = async_create_task(await_shield, async_ref(inner));

	(void)arg;
	give_way(2);
	assert_int_equal(async_cancel(waiter, "stop"), 1);
	give_way(2);
	assert_true(async_cancelled(waiter));
	assert_false(async_done(inner));
	assert_int_equal(async_cancelling(inner), 0);
	async_release(waiter);
	assert_int_equal(async_await(inner), 7);
	return 0;
}

static void test_cancelled_waiter_leaves_inner(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(cancels_waiter, NULL), 0);
	for_each_seed(cancels_waiter, 200);
	assert_int_equal(dropped, 0);
}

static intptr_t cancels_inner(void *arg)
{
	async_task *inner = make(give, 7);
	async_future *outer = async_shield(async_ref(inner));

	(void)arg;
	give_way(1);
	async_cancel(inner, NULL);
	assert_int_equal(async_await(outer), -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	async_release(inner);
	return 0;
}

static void test_cancelled_inner(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancels_inner, NULL), 0);
	for_each_seed(cancels_inner, 200);
}

/* Nobody has the inner one any more when it ends. */
static intptr_t late_end(void *arg)
{
	async_future *outer = async_shield(make(give, (intptr_t)arg));

	assert_int_equal(async_cancel(outer, NULL), 1);
	assert_int_equal(async_cancel(outer, NULL), 0);
	assert_int_equal(async_await(outer), -ECANCELED);
	return async_sleep(20);
}

static void test_late_failure_is_reported(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_with(late_end, (void *)-EIO, &options), 0);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
}

static void test_late_value_is_dropped(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(late_end, (void *)1), 0);
	assert_int_equal(dropped, 1);
}

/* The inner one is done, its callback scheduled, when the shield is cancelled: the failure is not lost. */
static intptr_t cancelled_between(void *arg)
{
	async_future *inner = async_future_new(NULL, NULL), *outer = async_shield(async_ref(inner));

	(void)arg;
	async_future_set_error(inner, -EIO);
	async_release(inner);
	async_cancel(outer, NULL);
	assert_int_equal(async_await(outer), -ECANCELED);
	give_way(2);
	return 0;
}

static void test_cancelled_as_inner_fails(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_with(cancelled_between, NULL, &options), 0);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
}

/* A shield that nobody looked at: a value stays with the inner one, a failure is reported once. */
static intptr_t unread(void *arg)
{
	async_task *inner = make(give, (intptr_t)arg);

	async_release(async_shield(async_ref(inner)));
	int error = async_sleep(20);
	assert_int_equal(dropped, 0);
	async_release(inner);
	return error;
}

static void test_unread_shield(void **state)
{
	struct async_options options = test_options();

	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(unread, (void *)1), 0);
	assert_int_equal(dropped, 1);
	dropped = 0;
	assert_int_equal(run_with(unread, (void *)-EIO, &options), 0);
	assert_int_equal(reports.count, 1);
}

/* The waiter was about to get the value when it was cancelled: it stays in the inner one. */
static intptr_t value_and_cancel(void *arg)
{
	async_task *inner = make(give, 9), *waiter = async_create_task(await_shield, async_ref(inner));
	int error = async_sleep(10);

	(void)arg;
	while (!async_done(inner))
		give_way(1);
	/* The shield completes in this iteration, the waiter runs in the next. */
	give_way(1);
	bool cancelled = async_cancel(waiter, NULL) == 1;
	assert_int_equal(async_await(waiter), cancelled ? -ECANCELED : 9);
	assert_int_equal(async_result(inner), 9);
	async_release(inner);
	return error;
}

static void test_value_and_cancel_meet(void **state)
{
	(void)state;
	dropped = 0;
	assert_int_equal(run_virtual(value_and_cancel, NULL), 0);
	for_each_seed(value_and_cancel, 200);
	assert_int_equal(dropped, 0);
}

static intptr_t misuse(void *arg)
{
	(void)arg;
	assert_int_equal(async_await(async_shield(NULL)), -EINVAL);
	assert_int_equal(async_await(async_shield(async_create_task(NULL, NULL))), -EINVAL);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(misuse, NULL), 0);
}

/* The loop closes while a shield waits. */
static void test_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *inner = async_future_new(loop, NULL), *outer = async_shield(async_ref(inner));

	(void)state;
	assert_false(async_done(outer));
	async_cancel(outer, NULL);
	async_release(outer);
	async_release(inner);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_results_pass),
		TEST(test_timing),
		TEST(test_cancelled_waiter_leaves_inner),
		TEST(test_cancelled_inner),
		TEST(test_late_failure_is_reported),
		TEST(test_late_value_is_dropped),
		TEST(test_cancelled_as_inner_fails),
		TEST(test_unread_shield),
		TEST(test_value_and_cancel_meet),
		TEST(test_misuse),
		TEST(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
