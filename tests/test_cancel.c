/* SPDX-License-Identifier: MIT */
/* Cancellation: delivered once, at the next suspension, and counted. */
#include "cancel_peers.h"

static intptr_t note_name(void *arg)
{
	note("%s", (const char *)arg);
	return 0;
}

/* Delivery */

static intptr_t edge_body(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(1000 * ASYNC_S), -ECANCELED);
	assert_int_equal(async_loop_time(NULL), 0);
	/* Delivered once: the next waits are waits again. */
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(async_sleep(ASYNC_S), 0);
	assert_int_equal(async_cancelling(self_task()), 1);
	return 5;
}

static intptr_t edge(void *arg)
{
	async_task *task = async_create_task(edge_body, NULL);

	(void)arg;
	give_way(1);
	assert_int_equal(async_cancelling(task), 0);
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_false(async_done(task));
	assert_int_equal(async_cancelling(task), 1);
	assert_int_equal(async_await(task), 5);
	return 0;
}

static void is_delivered_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(edge, NULL), 0);
}

static intptr_t before_first_step(void *arg)
{
	async_task *task = async_create_task(note_name, (void *)(uintptr_t)"body");

	(void)arg;
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_false(async_done(task));
	give_way(1);
	assert_true(async_cancelled(task));
	assert_int_equal(async_cancel(task, NULL), 0);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void before_the_first_step_the_body_never_runs(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(before_first_step, NULL), 0);
	assert_noted("");
}

static intptr_t cancel_self_return(void *arg)
{
	assert_int_equal(async_cancel(self_task(), NULL), 1);
	return (intptr_t)arg;
}

static intptr_t last_step(void *arg)
{
	(void)arg;
	assert_int_equal(async_await(async_create_task(cancel_self_return, (void *)5)), -ECANCELED);
	return 0;
}

static void at_the_last_step_the_task_ends_cancelled(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(last_step, NULL), 0);
}

static intptr_t last_step_failing(void *arg)
{
	(void)arg;
	return async_await(async_create_task(cancel_self_return, (void *)-EIO));
}

/* As in asyncio: a cancellation that was not delivered replaces a value, not a failure. */
static void at_the_last_step_an_error_stands(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(last_step_failing, NULL), -EIO);
}

static intptr_t twice_body(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(1000 * ASYNC_S), -ECANCELED);
	assert_int_equal(async_cancelling(self_task()), 2);
	assert_int_equal(async_sleep(1), 0);
	return 3;
}

static intptr_t twice(void *arg)
{
	async_task *task = async_create_task(twice_body, NULL);

	(void)arg;
	give_way(1);
	assert_int_equal(async_cancel(task, "first"), 1);
	assert_int_equal(async_cancel(task, "second"), 1);
	assert_string_equal(async_cancel_reason(task), "second");
	assert_int_equal(async_await(task), 3);
	return 0;
}

static void twice_before_delivery_is_one(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(twice, NULL), 0);
}

static intptr_t self_cancel(void *arg)
{
	async_future *future;

	(void)arg;
	/* From each kind of wait. */
	async_cancel(self_task(), NULL);
	assert_int_equal(async_sleep(0), -ECANCELED);
	async_cancel(self_task(), NULL);
	assert_int_equal(async_sleep(ASYNC_S), -ECANCELED);
	assert_int_equal(async_loop_time(NULL), 0);

	future = async_future_new(NULL, NULL);
	async_cancel(self_task(), "me");
	assert_int_equal(async_await(async_ref(future)), -ECANCELED);
	assert_true(async_cancelled(future));
	async_release(future);

	/* What does not suspend does not deliver. */
	future = async_future_new(NULL, NULL);
	async_future_set_result(future, 8);
	async_cancel(self_task(), NULL);
	assert_int_equal(async_await(future), 8);
	assert_int_equal(async_sleep(0), -ECANCELED);

	future = async_future_new(NULL, NULL);
	async_cancel(self_task(), NULL);
	assert_int_equal(async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, ASYNC_FOREVER), -ECANCELED);
	assert_false(async_done(future));
	async_release(future);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(async_cancelling(self_task()), 5);
	return 0;
}

static void of_oneself_comes_at_the_next_suspension(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(self_cancel, NULL), 0);
}

static intptr_t yielding_body(void *arg)
{
	(void)arg;
	assert_int_equal(async_sleep(0), -ECANCELED);
	assert_int_equal(async_sleep(0), 0);
	return 1;
}

static intptr_t cancel_ready(void *arg)
{
	async_task *task = async_create_task(yielding_body, NULL);

	(void)arg;
	give_way(1);
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_int_equal(async_await(task), 1);
	return 0;
}

static void of_a_task_that_gave_way(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancel_ready, NULL), 0);
}

/* A sleep that is over when the cancellation comes is cancelled all the same. */
static void cancel_arg(void *arg)
{
	async_cancel(arg, NULL);
}

static intptr_t expired_and_cancelled(void *arg)
{
	async_task *task;

	(void)arg;
	task = async_create_task(sleep_one, NULL);
	/* Armed before and due at the same time: it runs first in that iteration, the sleep is due and not awake. */
	assert_int_equal(async_loop_call_later(async_get_running_loop(), ASYNC_S, cancel_arg, task, NULL), 0);
	assert_int_equal(async_await(task), -ECANCELED);

	task = async_create_task(sleep_one, NULL);
	give_way(1);
	/* Armed after: the sleep is over, the task awake. */
	assert_int_equal(async_loop_call_later(async_get_running_loop(), ASYNC_S, cancel_arg, task, NULL), 0);
	assert_int_equal(async_await(task), -ECANCELED);
	return 0;
}

static void of_a_sleep_that_is_over(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(expired_and_cancelled, NULL), 0);
}

/* Counting */

static intptr_t count_body(void *arg)
{
	(void)arg;
	assert_int_equal(async_cancelling(self_task()), 0);
	assert_int_equal(async_uncancel(self_task()), 0);
	async_cancel(self_task(), NULL);
	async_cancel(self_task(), NULL);
	assert_int_equal(async_cancelling(self_task()), 2);
	/* One is left: it is delivered. */
	assert_int_equal(async_uncancel(self_task()), 1);
	assert_int_equal(async_sleep(0), -ECANCELED);
	assert_int_equal(async_uncancel(self_task()), 0);
	/* None is left: rescinded. */
	async_cancel(self_task(), NULL);
	assert_int_equal(async_uncancel(self_task()), 0);
	assert_int_equal(async_sleep(0), 0);
	assert_int_equal(async_sleep(ASYNC_S), 0);
	async_cancel(self_task(), NULL);
	assert_int_equal(async_uncancel(self_task()), 0);
	return 6;
}

static void uncancel_rescinds(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(count_body, NULL), 6);
}

static intptr_t uncancelled_before_start(void *arg)
{
	async_task *task = async_create_task(note_name, (void *)(uintptr_t)"ran");

	(void)arg;
	async_cancel(task, NULL);
	assert_int_equal(async_uncancel(task), 0);
	return async_await(task);
}

static void uncancel_before_the_first_step(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(uncancelled_before_start, NULL), 0);
	assert_noted("ran");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_delivered_once),
		TEST(before_the_first_step_the_body_never_runs),
		TEST(at_the_last_step_the_task_ends_cancelled),
		TEST(at_the_last_step_an_error_stands),
		TEST(twice_before_delivery_is_one),
		TEST(of_oneself_comes_at_the_next_suspension),
		TEST(of_a_task_that_gave_way),
		TEST(of_a_sleep_that_is_over),
		TEST(uncancel_rescinds),
		TEST(uncancel_before_the_first_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
