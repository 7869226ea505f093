/* SPDX-License-Identifier: MIT */
/* async_wait_for: a result in time, or a cancellation and the end of the clean-up. */
#include "wait_peers.h"

static intptr_t wait_for_result(void *arg)
{
	struct work quick = {"quick", 10, 7, 0}, failing = {"failing", 10, -EIO, 0};
	async_future *done = async_future_new(NULL, NULL);

	(void)arg;
	assert_int_equal(async_wait_for(start(&quick), 50), 7);
	assert_int_equal(async_loop_time(NULL), 10);
	assert_int_equal(async_wait_for(start(&failing), 50), -EIO);
	assert_int_equal(async_wait_for(start(&quick), ASYNC_FOREVER), 7);
	assert_int_equal(async_loop_time(NULL), 30);
	/* Done already: no matter how little time. */
	async_future_set_result(done, 3);
	assert_int_equal(async_wait_for(async_ref(done), 0), 3);
	assert_int_equal(async_wait_for(done, -5), 3);
	assert_int_equal(async_wait_for(async_future_failed(-ENOMEM), 0), -ENOMEM);
	/* The timers are gone. */
	assert_int_equal(async_sleep(1000), 0);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void wait_for_in_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_result, NULL), 0);
}

static intptr_t slow_cleanup(void *arg)
{
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_int_equal(async_sleep(40), 0);
	note("cleaned");
	return (intptr_t)arg;
}

static intptr_t wait_for_expired(void *arg)
{
	struct work slow = {"slow", 1000, 7, 3};
	async_task *task = start(&slow);

	(void)arg;
	assert_int_equal(async_wait_for(async_ref(task), 50), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 50);
	assert_true(async_cancelled(task));
	async_release(task);
	assert_noted("cancelled-slow");
	assert_int_equal(async_cancelling(async_current_task()), 0);

	/* The clean-up is awaited, however long it takes. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)-ECANCELED), 50), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 140);
	/* It fails in it: that is the result. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)-EIO), 50), -EIO);
	/* It swallows the cancellation: so is that. */
	assert_int_equal(async_wait_for(async_create_task(slow_cleanup, (void *)9), 50), 9);
	assert_noted("cleaned cleaned cleaned");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_sleep(0), 0);
	return 0;
}

static void wait_for_too_late(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_expired, NULL), 0);
}

static intptr_t wait_for_nothing(void *arg)
{
	struct work never = {"never", 1000, 7, 2};
	async_task *task;

	(void)arg;
	/* Not begun: never will. */
	assert_int_equal(async_wait_for(start(&never), 0), -ETIMEDOUT);
	assert_int_equal(async_wait_for(start(&never), -1), -ETIMEDOUT);
	assert_noted("");
	task = start(&never);
	give_way(1);
	assert_int_equal(async_wait_for(task, 0), -ETIMEDOUT);
	assert_noted("cancelled-never");
	assert_int_equal(async_loop_time(NULL), 0);
	/* Its end is the result if it has one. */
	task = async_create_task(slow_cleanup, (void *)9);
	give_way(1);
	assert_int_equal(async_wait_for(task, 0), 9);
	assert_noted("cleaned");
	return 0;
}

static void wait_for_with_no_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_nothing, NULL), 0);
}

static intptr_t interrupted_cleanup(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(1000), -ECANCELED);
	return async_sleep(40);
}

static intptr_t wait_for_fifty(void *arg)
{
	return async_wait_for(arg, 50);
}

static intptr_t wait_for_outside(void *arg)
{
	struct work slow = {"slow", 1000, 7, 1};
	async_task *task = async_create_task(wait_for_fifty, start(&slow));

	(void)arg;
	assert_int_equal(async_sleep(20), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("cancelled-slow");
	assert_int_equal(async_loop_time(NULL), 20);

	/* Cancelled while it awaits the clean-up after its deadline: the cancellation stands. */
	task = async_create_task(wait_for_fifty, async_create_task(interrupted_cleanup, NULL));
	assert_int_equal(async_sleep(60), 0);
	assert_false(async_done(task));
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void wait_for_passes_an_outside_cancellation_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(wait_for_outside, NULL), 0);
}

static void set_result(void *arg)
{
	async_future_set_result(arg, 5);
}

static intptr_t result_and_deadline(void *arg)
{
	async_future *future = async_future_new(NULL, drop);

	(void)arg;
	dropped = 0;
	/* Both in one iteration, the result first: timeout, and the value stays in the future. */
	async_loop_call_later(async_get_running_loop(), 50, set_result, future, NULL);
	assert_int_equal(async_wait_for(async_ref(future), 50), -ETIMEDOUT);
	assert_int_equal(async_result(future), 5);
	async_release(future);
	assert_int_equal(dropped, 0);
	assert_int_equal(async_sleep(0), 0);
	return 0;
}

static void a_result_at_the_deadline_is_late(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(result_and_deadline, NULL), 0);
}

static intptr_t deadline_before_result(void *arg)
{
	async_future *future = async_future_new(NULL, NULL);
	async_task *task = async_create_task(wait_for_fifty, async_ref(future));

	(void)arg;
	give_way(1);
	async_loop_call_later(async_get_running_loop(), 50, set_result, future, NULL);
	assert_int_equal(async_await(task), -ETIMEDOUT);
	assert_true(async_cancelled(future));
	async_release(future);
	return 0;
}

static void a_deadline_before_the_result(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(deadline_before_result, NULL), 0);
}

static void wait_for_outside_a_task(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_wait_for(async_future_new(loop, NULL), 1), -EPERM);
	assert_int_equal(async_wait_for(NULL, 1), -EINVAL);
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wait_for_in_time),
		TEST(wait_for_too_late),
		TEST(wait_for_with_no_time),
		TEST(wait_for_passes_an_outside_cancellation_on),
		TEST(a_result_at_the_deadline_is_late),
		TEST(a_deadline_before_the_result),
		TEST(wait_for_outside_a_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
