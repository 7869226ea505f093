/* SPDX-License-Identifier: MIT */
/* Tasks that wait for something when their loop closes: they are abandoned, and nothing of them is left. */
#include "disposals.h"
#include "task_peers.h"

static intptr_t await_owned(void *arg)
{
	return async_await(arg);
}

/* One that sleeps, one that waits for it, one that waits for that, one that is about to run. */
static void waiting_tasks_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *sleeper, *middle, *outer;

	(void)state;
	forget_disposals();
	sleeper = async_loop_create_task(loop, sleep_long, NULL, NULL);
	middle = async_loop_create_task(loop, await_owned, sleeper, NULL);
	outer = async_loop_create_task(loop, await_owned, middle, NULL);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_false(async_done(outer));
	async_release(async_loop_create_task(loop, sleep_long, NULL, NULL));
	assert_int_equal(async_loop_close(loop), 0);
	assert_true(async_done(outer));
	assert_int_equal(async_error(outer), -ESHUTDOWN);
	async_release(outer);
	async_loop_free(loop);
}

static intptr_t await_borrowed(void *arg)
{
	return async_await(async_ref(arg));
}

static void detached_waiters_are_abandoned_at_close(void **state)
{
	for (int order = 0; order < 2; order++) {
		async_loop *loop = loop_virtual();
		async_future *never = async_future_new(loop, NULL);

		for (int i = 0; i < 3; i++) {
			async_task *target = async_loop_create_task(loop, order ? sleep_long : await_borrowed, never,
								    NULL);

			async_release(async_loop_create_task(loop, await_owned, target, NULL));
		}
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
		async_release(never);
		assert_int_equal(async_loop_close(loop), 0);
		async_loop_free(loop);
	}
	(void)state;
}

/* The waiter is older than what it waits for, and nobody else holds either of them. */
static intptr_t await_slot(void *arg)
{
	return async_await(*(async_task **)arg);
}

static void older_waiters_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *targets[3];

	(void)state;
	for (int i = 0; i < 3; i++)
		async_release(async_loop_create_task(loop, await_slot, &targets[i], NULL));
	for (int i = 0; i < 3; i++)
		targets[i] = async_loop_create_task(loop, sleep_long, NULL, NULL);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

static intptr_t wait_borrowed(void *arg)
{
	async_future *future = arg;

	return async_wait(&future, 1, ASYNC_WAIT_ALL_COMPLETED, 1000 * ASYNC_S);
}

static intptr_t gather_borrowed(void *arg)
{
	async_future *future = async_ref(arg);

	return async_await(async_gather(&future, 1, 0, NULL));
}

static intptr_t limited_sleep(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	assert_int_equal(async_timeout_begin(&scope, 500 * ASYNC_S), 0);
	return async_timeout_end(&scope, async_sleep(1000 * ASYNC_S));
}

/* What the library itself allocated for a wait goes with the loop. */
static void every_kind_of_wait_is_abandoned_at_close(void **state)
{
	async_fn *const waits[] = {wait_borrowed, gather_borrowed, limited_sleep};

	for (size_t i = 0; i < countof(waits); i++) {
		async_loop *loop = loop_virtual();
		async_future *never = async_future_new(loop, NULL);

		async_release(async_loop_create_task(loop, waits[i], never, NULL));
		async_loop_stop(loop);
		assert_int_equal(async_loop_run_forever(loop), 0);
		async_release(never);
		assert_int_equal(async_loop_close(loop), 0);
		async_loop_free(loop);
	}
	(void)state;
}

/* A task that was woken but not run when the loop closes. */
static void ready_tasks_are_abandoned_at_close(void **state)
{
	async_loop *loop = loop_virtual();
	async_future *future = async_future_new(loop, NULL);

	(void)state;
	async_release(async_loop_create_task(loop, await_borrowed, future, NULL));
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_int_equal(async_future_set_result(future, 1), 0);
	async_release(future);
	assert_int_equal(async_loop_close(loop), 0);
	async_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(waiting_tasks_are_abandoned_at_close),
		TEST(detached_waiters_are_abandoned_at_close),
		TEST(older_waiters_are_abandoned_at_close),
		TEST(every_kind_of_wait_is_abandoned_at_close),
		TEST(ready_tasks_are_abandoned_at_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
