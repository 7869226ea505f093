/* SPDX-License-Identifier: MIT */
/* Timeout scopes: who cancelled is told at the end, and only that scope turns it into -ETIMEDOUT. */
#include "harness.h"

/* Begins a new scope in the same memory. */
static void begin(struct async_timeout *scope, async_time delay)
{
	*scope = (struct async_timeout)ASYNC_TIMEOUT_INIT;
	assert_int_equal(async_timeout_begin(scope, delay), 0);
}

static intptr_t basic(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	assert_int_equal(async_timeout_when(&scope), ASYNC_FOREVER);
	begin(&scope, 50);
	assert_int_equal(async_timeout_when(&scope), 50);
	assert_int_equal(async_timeout_begin(&scope, 50), -EBUSY);
	assert_false(async_timeout_expired(&scope));
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_true(async_timeout_expired(&scope));
	assert_int_equal(async_loop_time(NULL), 50);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	assert_string_equal(async_cancel_reason(async_current_task()), "timeout");
	assert_int_equal(async_timeout_end(&scope, -ECANCELED), -ETIMEDOUT);
	assert_true(async_timeout_expired(&scope));
	assert_int_equal(async_cancelling(async_current_task()), 0);

	/* It has ended, and is not begun again without being made anew. */
	assert_int_equal(async_timeout_begin(&scope, 50), -ESHUTDOWN);
	assert_int_equal(async_timeout_begin_at(&scope, 50), -ESHUTDOWN);

	/* In time. */
	begin(&scope, 50);
	assert_int_equal(async_sleep(10), 0);
	assert_int_equal(async_timeout_end(&scope, 7), 7);
	assert_false(async_timeout_expired(&scope));
	scope = (struct async_timeout)ASYNC_TIMEOUT_INIT;
	assert_int_equal(async_timeout_begin_at(&scope, 100), 0);
	assert_int_equal(async_timeout_when(&scope), 100);
	assert_int_equal(async_timeout_end(&scope, -EIO), -EIO);
	/* The timers are gone. */
	assert_int_equal(async_sleep(1000), 0);
	return 0;
}

static void a_scope_limits_what_is_inside(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(basic, NULL), 0);
}

static intptr_t no_deadline(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	begin(&scope, ASYNC_FOREVER);
	assert_int_equal(async_timeout_when(&scope), ASYNC_FOREVER);
	assert_int_equal(async_sleep(1000 * ASYNC_S), 0);
	/* Set, moved, taken away, set again. */
	assert_int_equal(async_timeout_reschedule(&scope, 1010 * ASYNC_S), 0);
	assert_int_equal(async_sleep(5 * ASYNC_S), 0);
	assert_int_equal(async_timeout_reschedule(&scope, 1020 * ASYNC_S), 0);
	assert_int_equal(async_timeout_when(&scope), 1020 * ASYNC_S);
	assert_int_equal(async_sleep(10 * ASYNC_S), 0);
	assert_int_equal(async_timeout_reschedule(&scope, ASYNC_FOREVER), 0);
	assert_int_equal(async_sleep(100 * ASYNC_S), 0);
	assert_int_equal(async_timeout_reschedule(&scope, 1120 * ASYNC_S), 0);
	assert_int_equal(async_sleep(100 * ASYNC_S), -ECANCELED);
	assert_int_equal(async_loop_time(NULL), 1120 * ASYNC_S);
	assert_int_equal(async_timeout_reschedule(&scope, 2000 * ASYNC_S), -ESHUTDOWN);
	assert_int_equal(async_timeout_end(&scope, -ECANCELED), -ETIMEDOUT);
	assert_int_equal(async_timeout_reschedule(&scope, 2000 * ASYNC_S), -ESHUTDOWN);
	return 0;
}

static void deadlines_are_moved(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(no_deadline, NULL), 0);
}

static intptr_t past(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	/* A deadline in the past takes effect at the first suspension, not before. */
	for (async_time delay = 0; delay >= -10; delay -= 10) {
		begin(&scope, delay);
		assert_false(async_timeout_expired(&scope));
		assert_int_equal(async_sleep(1000), -ECANCELED);
		assert_int_equal(async_timeout_end(&scope, -ECANCELED), -ETIMEDOUT);
	}
	/* Nothing suspends: nothing happens. */
	begin(&scope, 0);
	assert_int_equal(async_timeout_end(&scope, 4), 4);
	assert_int_equal(async_sleep(0), 0);
	/* Moved into the past. */
	begin(&scope, 100);
	assert_int_equal(async_timeout_reschedule(&scope, -1), 0);
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_int_equal(async_timeout_end(&scope, -ECANCELED), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 0);
	return 0;
}

static void a_deadline_in_the_past(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(past, NULL), 0);
}

static intptr_t nested(void *arg)
{
	struct async_timeout outer = ASYNC_TIMEOUT_INIT, inner = ASYNC_TIMEOUT_INIT;

	(void)arg;
	/* The inner one expires: the outer one goes on. */
	begin(&outer, 100);
	begin(&inner, 50);
	assert_int_equal(async_timeout_end(&inner, async_sleep(1000)), -ETIMEDOUT);
	assert_int_equal(async_sleep(10), 0);
	assert_int_equal(async_timeout_end(&outer, 1), 1);
	assert_int_equal(async_loop_time(NULL), 60);

	/* The outer one expires: the inner one passes the cancellation on. */
	begin(&outer, 50);
	begin(&inner, 100);
	intptr_t result = async_timeout_end(&inner, async_sleep(1000));
	assert_int_equal(result, -ECANCELED);
	assert_false(async_timeout_expired(&inner));
	assert_int_equal(async_timeout_end(&outer, result), -ETIMEDOUT);
	assert_int_equal(async_loop_time(NULL), 110);
	assert_int_equal(async_cancelling(async_current_task()), 0);

	/* Both at the same time, the outer one armed first. As in asyncio, the inner one sees that it is not alone. */
	begin(&outer, 50);
	begin(&inner, 50);
	result = async_timeout_end(&inner, async_sleep(1000));
	assert_true(async_timeout_expired(&inner));
	assert_true(async_timeout_expired(&outer));
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(async_timeout_end(&outer, result), -ETIMEDOUT);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_sleep(1000), 0);
	return 0;
}

static void scopes_nest(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(nested, NULL), 0);
}

static intptr_t limited(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	begin(&scope, 50);
	intptr_t result = async_sleep(1000);
	note("%d", (int)result);
	if (arg)
		result = async_sleep(20) < 0 ? -ECANCELED : result;
	result = async_timeout_end(&scope, result);
	note("expired:%d", async_timeout_expired(&scope));
	return result;
}

static void cancel_expired(void *arg)
{
	assert_int_equal(async_cancelling(arg), 1);
	assert_int_equal(async_cancel(arg, NULL), 1);
}

static intptr_t outside(void *arg)
{
	async_task *task = async_create_task(limited, NULL);

	(void)arg;
	/* Cancelled before the deadline. */
	assert_int_equal(async_sleep(20), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("-125 expired:0");

	/* After the deadline, while it cleans up: that stands. */
	task = async_create_task(limited, (void *)1);
	assert_int_equal(async_sleep(60), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("-125 expired:1");

	/* In the same iteration, after the deadline. */
	task = async_create_task(limited, NULL);
	give_way(1);
	async_loop_call_later(async_get_running_loop(), 50, cancel_expired, task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("-125 expired:1");
	return 0;
}

static void an_outside_cancellation_stands(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(outside, NULL), 0);
}

static intptr_t begun_while_cancelled(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	/* A request from before the scope does not count against it. */
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_sleep(0), -ECANCELED);
	begin(&scope, 50);
	assert_int_equal(async_timeout_end(&scope, async_sleep(1000)), -ETIMEDOUT);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	return 0;
}

static void an_older_cancellation_is_none_of_its_business(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(begun_while_cancelled, NULL), 0);
}

static void wake(void *arg)
{
	async_future_set_result(arg, 5);
}

static intptr_t finishing(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	async_future *future = async_future_new(NULL, NULL);

	(void)arg;
	/* It expires while the body has what it waited for, and does not suspend again: the result stands, the
	 * cancellation is taken back. */
	begin(&scope, 50);
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_int_equal(async_timeout_end(&scope, 7), 7);
	assert_true(async_timeout_expired(&scope));
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_sleep(10), 0);

	/* Delivered together with a value: the wait is cancelled, the value stays. */
	assert_int_equal(async_loop_call_later(async_get_running_loop(), 50, wake, future, NULL), 0);
	begin(&scope, 50);
	assert_int_equal(async_timeout_end(&scope, async_await(async_ref(future))), -ETIMEDOUT);
	assert_int_equal(async_await(future), 5);

	/* An error of the body that is no cancellation stands, too. */
	begin(&scope, 50);
	assert_int_equal(async_sleep(1000), -ECANCELED);
	assert_int_equal(async_timeout_end(&scope, -EIO), -EIO);
	assert_int_equal(async_sleep(1000), 0);
	return 0;
}

static void a_result_in_spite_of_the_deadline_stands(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(finishing, NULL), 0);
}

static intptr_t expire_undelivered(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	begin(&scope, 0);
	assert_int_equal(async_sleep(0), -ECANCELED);
	/* Cancelled once more, and taken back before it was delivered. */
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_uncancel(async_current_task()), 1);
	assert_int_equal(async_timeout_end(&scope, 3), 3);
	/* Nothing is left behind for later waits. */
	assert_int_equal(async_sleep(1000), 0);
	return 0;
}

static void a_rescinded_timeout_leaves_nothing_behind(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(expire_undelivered, NULL), 0);
}

static intptr_t end_foreign(void *arg)
{
	assert_int_equal(async_timeout_end(arg, 1), -EPERM);
	return 0;
}

static intptr_t misuse(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	assert_int_equal(async_timeout_begin(NULL, 1), -EINVAL);
	assert_int_equal(async_timeout_end(NULL, 1), -EINVAL);
	assert_int_equal(async_timeout_end(&scope, 1), -EINVAL);
	assert_int_equal(async_timeout_reschedule(&scope, 1), -EINVAL);
	assert_int_equal(async_timeout_reschedule(NULL, 1), -EINVAL);
	assert_false(async_timeout_expired(&scope));
	assert_false(async_timeout_expired(NULL));
	begin(&scope, 10);
	assert_int_equal(async_await(async_create_task(end_foreign, &scope)), 0);
	return async_timeout_end(&scope, 2);
}

static void misuse_is_refused(void **state)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)state;
	assert_int_equal(run_virtual(misuse, NULL), 2);
	assert_int_equal(async_timeout_begin(&scope, 10), -EPERM);
}

/* However the ready queue is shuffled, each scope ends with its own outcome. */
static intptr_t racing_body(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	async_time delay = (intptr_t)arg;

	begin(&scope, 50);
	intptr_t result = async_timeout_end(&scope, async_sleep(delay));
	if (delay < 50)
		assert_int_equal(result, 0);
	if (delay > 50)
		assert_int_equal(result, -ETIMEDOUT);
	if (result == 0)
		assert_false(async_timeout_expired(&scope));
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_sleep(100), 0);
	return 0;
}

static intptr_t racing(void *arg)
{
	async_task *tasks[9];

	(void)arg;
	for (int i = 0; i < 9; i++)
		tasks[i] = async_create_task(racing_body, (void *)(intptr_t)(48 + i / 2));
	for (int i = 0; i < 9; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	return 0;
}

static void holds_in_any_order(void **state)
{
	(void)state;
	for_each_seed(racing, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_scope_limits_what_is_inside),
		TEST(deadlines_are_moved),
		TEST(a_deadline_in_the_past),
		TEST(scopes_nest),
		TEST(an_outside_cancellation_stands),
		TEST(an_older_cancellation_is_none_of_its_business),
		TEST(a_result_in_spite_of_the_deadline_stands),
		TEST(a_rescinded_timeout_leaves_nothing_behind),
		TEST(misuse_is_refused),
		TEST(holds_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
