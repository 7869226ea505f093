/* SPDX-License-Identifier: MIT */
/* Futures that the program completes: once, for whoever waits, and nothing is lost or told twice. */
#include "harness.h"

#include <string.h>

static int dropped;
static intptr_t dropped_value;

static void drop(intptr_t result)
{
	dropped++;
	dropped_value = result;
}

static async_future *new_future(void)
{
	return async_future_new(NULL, drop);
}

/* Completing */

static intptr_t complete_twice(void *arg)
{
	async_future *future = new_future();

	(void)arg;
	dropped = 0;
	assert_false(async_done(future));
	assert_int_equal(async_result(future), -EINPROGRESS);
	assert_int_equal(async_error(future), -EINPROGRESS);
	assert_int_equal(async_future_set_result(future, -1), -EINVAL);
	assert_int_equal(async_future_set_error(future, 0), -EINVAL);
	assert_int_equal(async_future_set_error(future, 5), -EINVAL);
	assert_false(async_done(future));

	assert_int_equal(async_future_set_result(future, 11), 0);
	assert_true(async_done(future));
	assert_int_equal(async_future_set_result(future, 12), -EALREADY);
	assert_int_equal(async_future_set_error(future, -EIO), -EALREADY);
	assert_int_equal(async_cancel(future, NULL), 0);
	assert_false(async_cancelled(future));
	assert_int_equal(async_error(future), 0);
	assert_int_equal(async_result(future), 11);
	assert_int_equal(async_await(future), 11);
	assert_int_equal(dropped, 0);

	future = new_future();
	assert_int_equal(async_future_set_error(future, -EIO), 0);
	assert_int_equal(async_future_set_result(future, 1), -EALREADY);
	assert_int_equal(async_error(future), -EIO);
	assert_int_equal(async_result(future), -EIO);
	assert_false(async_cancelled(future));
	async_release(future);

	future = new_future();
	assert_int_equal(async_future_set_error(future, -ECANCELED), 0);
	assert_true(async_cancelled(future));
	assert_int_equal(async_await(future), -ECANCELED);
	return 0;
}

static void is_completed_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(complete_twice, NULL), 0);
}

static intptr_t cancel_pending(void *arg)
{
	async_future *future = new_future();

	(void)arg;
	assert_null(async_cancel_reason(future));
	assert_int_equal(async_cancel(future, "why not"), 1);
	assert_true(async_done(future));
	assert_true(async_cancelled(future));
	assert_string_equal(async_cancel_reason(future), "why not");
	assert_int_equal(async_cancel(future, "again"), 0);
	assert_string_equal(async_cancel_reason(future), "why not");
	assert_int_equal(async_error(future), -ECANCELED);
	assert_int_equal(async_await(future), -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void cancelling_completes_at_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancel_pending, NULL), 0);
}

static intptr_t return_arg(void *arg)
{
	return (intptr_t)arg;
}

static intptr_t complete_task(void *arg)
{
	async_task *task = async_create_task(return_arg, (void *)3);

	(void)arg;
	assert_int_equal(async_future_set_result(task, 1), -EINVAL);
	assert_int_equal(async_future_set_error(task, -EIO), -EINVAL);
	return async_await(task);
}

static void only_a_body_completes_a_task(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(complete_task, NULL), 3);
}

/* Values that nobody takes, failures that nobody looks at */

static intptr_t drop_values(void *arg)
{
	async_future *future = new_future();

	(void)arg;
	dropped = 0;
	assert_int_equal(async_future_set_result(future, 21), 0);
	assert_int_equal(dropped, 0);
	async_release(future);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_value, 21);

	future = new_future();
	async_release(future);
	assert_int_equal(dropped, 1);

	future = async_ref(new_future());
	assert_int_equal(async_future_set_result(future, 22), 0);
	async_release(future);
	assert_int_equal(dropped, 1);
	assert_int_equal(async_result(future), 22);
	async_release(future);
	assert_int_equal(dropped, 1);
	return 0;
}

static void a_value_that_nobody_takes_is_dropped(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(drop_values, NULL), 0);
}

static void unread_failures_are_reported_once(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	assert_int_equal(async_future_set_error(async_ref(future), -EIO), 0);
	async_release(future);
	assert_int_equal(reports.count, 0);
	async_release(future);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
	assert_ptr_equal(reports.future, future);

	/* Looked at: not reported. */
	future = async_future_new(loop, NULL);
	async_future_set_error(future, -EIO);
	assert_int_equal(async_error(future), -EIO);
	async_release(future);
	future = async_future_new(loop, NULL);
	async_future_set_error(future, -EIO);
	assert_int_equal(async_result(future), -EIO);
	async_release(future);
	/* Only asked whether it is done: reported. */
	assert_int_equal(reports.count, 1);
	future = async_future_new(loop, NULL);
	async_future_set_error(future, -EPIPE);
	assert_true(async_done(future));
	async_release(future);
	assert_int_equal(reports.count, 2);
	assert_int_equal(reports.error, -EPIPE);
	/* A cancellation is no failure. */
	future = async_future_new(loop, NULL);
	async_cancel(future, NULL);
	async_release(future);
	assert_int_equal(reports.count, 2);
	loop_end(loop);
	assert_int_equal(reports.count, 2);
}

static void detached_failures_are_reported_once(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	async_release(async_loop_create_task(loop, return_arg, (void *)-ENOENT, NULL));
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -ENOENT);
	loop_end(loop);
	assert_int_equal(reports.count, 1);
}

static async_future *rescued;

static int rescue(const struct async_error_context *context, void *arg)
{
	(void)arg;
	rescued = async_ref(context->future);
	note("rescued");
	return 0;
}

/* A handler may keep what it is told about. */
static void a_reported_future_can_be_kept(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	async_loop_set_error_handler(loop, rescue, NULL);
	async_future_set_error(future, -EIO);
	async_release(future);
	assert_noted("rescued");
	assert_int_equal(async_result(rescued), -EIO);
	async_release(rescued);
	assert_noted("");
	loop_end(loop);
}

/* Callbacks */

static void on_done(async_future *future, void *arg)
{
	note("%s=%ld", (const char *)arg, (long)async_result(future));
}

static void add_another(async_future *future, void *arg)
{
	note("adding");
	assert_int_equal(async_add_done_callback(future, on_done, arg), 0);
}

static intptr_t callbacks(void *arg)
{
	async_loop *loop = async_get_running_loop();
	async_future *future = new_future();
	char a[] = "a", b[] = "b", c[] = "c";

	(void)arg;
	assert_int_equal(async_add_done_callback(future, on_done, a), 0);
	assert_int_equal(async_add_done_callback(future, on_done, b), 0);
	assert_int_equal(async_add_done_callback(future, on_done, a), 0);
	assert_int_equal(async_add_done_callback(future, on_done, c), 0);
	assert_int_equal(async_remove_done_callback(future, on_done, a), 2);
	assert_int_equal(async_remove_done_callback(future, on_done, a), 0);
	assert_int_equal(async_loop_call_soon(loop, note_callback, (void *)(uintptr_t)"soon", NULL), 0);
	assert_int_equal(async_future_set_result(future, 5), 0);
	note("set");
	/* What is scheduled cannot be taken back. */
	assert_int_equal(async_remove_done_callback(future, on_done, b), 0);
	assert_int_equal(async_add_done_callback(future, on_done, a), 0);
	assert_noted("set");
	give_way(1);
	assert_noted("soon b=5 c=5 a=5");

	assert_int_equal(async_add_done_callback(future, add_another, c), 0);
	give_way(1);
	assert_noted("adding");
	give_way(1);
	assert_noted("c=5");
	async_release(future);
	return 0;
}

static void callbacks_run_in_the_next_iteration_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(callbacks, NULL), 0);
}

static void keep_result(async_future *future, void *arg)
{
	*(intptr_t *)arg = async_result(future);
}

static intptr_t forget_future(void *arg)
{
	async_future *future = new_future();
	intptr_t result = 0;

	(void)arg;
	assert_int_equal(async_add_done_callback(future, keep_result, &result), 0);
	async_future_set_result(future, 6);
	async_release(future);
	give_way(1);
	assert_int_equal(result, 6);

	/* Never completed: removing the callback lets it go. */
	future = new_future();
	assert_int_equal(async_add_done_callback(future, keep_result, &result), 0);
	assert_int_equal(async_remove_done_callback(future, keep_result, &result), 1);
	async_release(future);
	return 0;
}

static void a_callback_keeps_its_future(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(forget_future, NULL), 0);
}

static intptr_t await_borrowed(void *arg)
{
	intptr_t result = async_await(async_ref(arg));

	note("task");
	return result;
}

/* A waiter and callbacks are woken in the order in which they came. */
static intptr_t mixed_waiters(void *arg)
{
	async_future *future = new_future();
	async_task *waiter;

	(void)arg;
	assert_int_equal(async_add_done_callback(future, on_done, (void *)(uintptr_t)"first"), 0);
	waiter = async_create_task(await_borrowed, future);
	give_way(1);
	assert_int_equal(async_add_done_callback(future, on_done, (void *)(uintptr_t)"last"), 0);
	async_future_set_result(future, 1);
	assert_int_equal(async_await(waiter), 1);
	async_release(future);
	return 0;
}

static void waiters_are_woken_in_order(void **state)
{
	(void)state;
	run_virtual(mixed_waiters, NULL);
	assert_noted("first=1 task last=1");
}

static void callbacks_are_dropped_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	assert_int_equal(async_add_done_callback(future, on_done, (void *)(uintptr_t)"never"), 0);
	async_future_set_result(future, 1);
	async_release(future);
	loop_end(loop);
	assert_noted("");
	assert_int_equal(reports.count, 0);
}

/* Waiting */

static intptr_t await_ready(void *arg)
{
	async_future *future = new_future();

	(void)arg;
	async_loop_call_soon(async_get_running_loop(), note_callback, (void *)(uintptr_t)"callback", NULL);
	async_future_set_result(future, 4);
	assert_int_equal(async_await(future), 4);
	note("awaited");
	give_way(1);
	return 0;
}

static void awaiting_what_is_done_does_not_suspend(void **state)
{
	(void)state;
	run_virtual(await_ready, NULL);
	assert_noted("awaited callback");
}

static intptr_t await_owned(void *arg)
{
	return async_await(arg);
}

static intptr_t many_waiters(void *arg)
{
	async_future *future = new_future();
	async_task *tasks[5];

	(void)arg;
	dropped = 0;
	for (int i = 0; i < 5; i++)
		tasks[i] = async_create_task(await_owned, async_ref(future));
	give_way(1);
	async_future_set_result(future, 9);
	async_release(future);
	for (int i = 0; i < 5; i++)
		assert_int_equal(async_await(tasks[i]), 9);
	assert_int_equal(dropped, 0);
	return 0;
}

static void all_waiters_get_the_result(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(many_waiters, NULL), 0);
	for_each_seed(many_waiters, 200);
}

/* What is not a future, and whose it is */

static void null_reads_as_invalid(void **state)
{
	(void)state;
	assert_int_equal(async_await(NULL), -EINVAL);
	assert_int_equal(async_future_set_result(NULL, 1), -EINVAL);
	assert_int_equal(async_future_set_error(NULL, -1), -EINVAL);
	assert_int_equal(async_result(NULL), -EINVAL);
	assert_int_equal(async_error(NULL), -EINVAL);
	assert_int_equal(async_cancel(NULL, NULL), -EINVAL);
	assert_int_equal(async_add_done_callback(NULL, on_done, NULL), -EINVAL);
	assert_int_equal(async_remove_done_callback(NULL, on_done, NULL), -EINVAL);
	assert_int_equal(async_cancelling(NULL), -EINVAL);
	assert_int_equal(async_uncancel(NULL), -EINVAL);
	assert_int_equal(async_wait_for(NULL, 1), -EINVAL);
	assert_false(async_done(NULL));
	assert_false(async_cancelled(NULL));
	assert_null(async_ref(NULL));
	assert_null(async_future_loop(NULL));
	assert_null(async_cancel_reason(NULL));
	async_release(NULL);

	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);
	assert_int_equal(async_add_done_callback(future, NULL, NULL), -EINVAL);
	assert_int_equal(async_cancelling(future), -EINVAL);
	assert_int_equal(async_uncancel(future), -EINVAL);
	assert_ptr_equal(async_future_loop(future), loop);
	async_release(future);
	loop_end(loop);
}

static void failed_futures_are_immortal(void **state)
{
	async_future *failed = async_future_failed(-ENOMEM);

	(void)state;
	assert_ptr_equal(failed, async_future_failed(-ENOMEM));
	assert_true(async_done(failed));
	assert_int_equal(async_error(failed), -ENOMEM);
	assert_int_equal(async_result(failed), -ENOMEM);
	for (int i = 0; i < 10; i++)
		async_release(failed);
	assert_ptr_equal(async_ref(failed), failed);
	assert_int_equal(async_await(failed), -ENOMEM);
	assert_int_equal(async_await(failed), -ENOMEM);
	assert_int_equal(async_cancel(failed, "x"), 0);
	assert_null(async_cancel_reason(failed));
	assert_int_equal(async_future_set_result(failed, 1), -EALREADY);
	assert_null(async_future_loop(failed));
	assert_false(async_cancelled(failed));
	assert_true(async_cancelled(async_future_failed(-ECANCELED)));
	assert_int_equal(async_error(async_future_failed(0)), -EINVAL);
	assert_int_equal(async_error(async_future_failed(3)), -EINVAL);
	assert_int_equal(async_error(async_future_failed(INTPTR_MIN)), -EINVAL);
}

static void creation_needs_an_open_loop(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future;

	(void)state;
	assert_int_equal(async_error(async_future_new(NULL, NULL)), -EPERM);
	assert_int_equal(async_loop_close(loop), 0);
	future = async_future_new(loop, NULL);
	assert_int_equal(async_error(future), -ESHUTDOWN);
	async_release(future);
	async_loop_free(loop);
}

static void a_future_outlives_its_closed_loop(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL), *done = async_future_new(loop, NULL);

	(void)state;
	async_future_set_result(done, 8);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(reports.count, 2);
	assert_int_equal(async_result(done), 8);
	assert_int_equal(async_add_done_callback(future, on_done, NULL), -ESHUTDOWN);
	assert_int_equal(async_loop_run_until_complete(loop, future), -ESHUTDOWN);
	async_release(done);
	async_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_completed_once),
		TEST(cancelling_completes_at_once),
		TEST(only_a_body_completes_a_task),
		TEST(a_value_that_nobody_takes_is_dropped),
		TEST(unread_failures_are_reported_once),
		TEST(detached_failures_are_reported_once),
		TEST(a_reported_future_can_be_kept),
		TEST(callbacks_run_in_the_next_iteration_in_order),
		TEST(a_callback_keeps_its_future),
		TEST(waiters_are_woken_in_order),
		TEST(callbacks_are_dropped_at_close),
		TEST(awaiting_what_is_done_does_not_suspend),
		TEST(all_waiters_get_the_result),
		TEST(null_reads_as_invalid),
		TEST(failed_futures_are_immortal),
		TEST(creation_needs_an_open_loop),
		TEST(a_future_outlives_its_closed_loop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
