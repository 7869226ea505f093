/* SPDX-License-Identifier: MIT */
/* Who disposes of what tasks were given and of what they give. */
#include "disposals.h"
#include "task_peers.h"

static async_task *create_disposing(async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.destroy = destroy;
	options.drop = drop;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t dispose_normal(void *arg)
{
	async_task *task;

	(void)arg;
	forget_disposals();
	assert_int_equal(async_await(create_disposing(return_arg, (void *)5)), 5);
	assert_int_equal(destroyed, 0);
	assert_int_equal(dropped, 0);

	/* Nobody takes the result. */
	async_release(create_disposing(return_arg, (void *)6));
	give_way(1);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_value, 6);

	/* It is there and looked at without being awaited. */
	task = create_disposing(return_arg, (void *)7);
	give_way(1);
	assert_int_equal(async_result(task), 7);
	async_release(task);
	assert_int_equal(dropped, 1);

	/* Done, but only asked whether it failed: the value was not taken. */
	task = create_disposing(return_arg, (void *)8);
	give_way(1);
	assert_int_equal(async_error(task), 0);
	async_release(task);
	assert_int_equal(dropped, 2);
	assert_int_equal(dropped_value, 8);

	/* An error owns nothing. */
	assert_int_equal(async_await(create_disposing(return_arg, (void *)-EIO)), -EIO);
	assert_int_equal(dropped, 2);
	assert_int_equal(destroyed, 0);
	return 0;
}

static void results_that_nobody_takes_are_dropped(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dispose_normal, NULL), 0);
}

static intptr_t dispose_cancelled_early(void *arg)
{
	async_task *task = create_disposing(return_arg, (void *)5);

	(void)arg;
	forget_disposals();
	assert_int_equal(async_cancel(task, NULL), 1);
	assert_false(async_done(task));
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(destroyed, 1);
	assert_int_equal(dropped, 0);
	return 0;
}

static intptr_t cancel_self_and_return(void *arg)
{
	async_cancel(async_current_task(), NULL);
	return (intptr_t)arg;
}

static intptr_t dispose_cancelled_late(void *arg)
{
	(void)arg;
	forget_disposals();
	assert_int_equal(async_await(create_disposing(cancel_self_and_return, (void *)9)), -ECANCELED);
	assert_int_equal(destroyed, 0);
	assert_int_equal(dropped, 1);
	assert_int_equal(dropped_value, 9);
	return 0;
}

static void cancelled_tasks_leak_nothing(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(dispose_cancelled_early, NULL), 0);
	assert_int_equal(run_virtual(dispose_cancelled_late, NULL), 0);
}

static void assert_failed_creation(async_task *task, int error)
{
	assert_non_null(task);
	assert_true(async_done(task));
	assert_false(async_is_task(task));
	assert_int_equal(async_error(task), error);
	assert_int_equal(async_await(task), error);
	/* Immortal: more releases than references do no harm. */
	async_release(task);
	async_release(task);
	assert_int_equal(async_result(task), error);
}

static void failed_creation_is_a_future(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	forget_disposals();
	options.destroy = destroy;
	options.drop = drop;
	assert_failed_creation(async_loop_create_task(loop, NULL, &loop, &options), -EINVAL);
	assert_int_equal(destroyed, 1);
	options.stack_size = ASYNC_STACK_SIZE_MIN - 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	options.stack_size = ASYNC_STACK_SIZE_MAX + 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	assert_int_equal(destroyed, 3);
	options.stack_size = 0;
	options.size = 1;
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -EINVAL);
	options.size = sizeof(options);
	destroyed = 0;
	assert_int_equal(async_loop_close(loop), 0);
	assert_failed_creation(async_loop_create_task(loop, return_arg, &loop, &options), -ESHUTDOWN);
	assert_int_equal(destroyed, 1);
	assert_int_equal(dropped, 0);
	async_loop_free(loop);
}

static void unrun_tasks_are_destroyed_at_close(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	forget_disposals();
	options.destroy = destroy;
	options.drop = drop;
	async_release(async_loop_create_task(loop, return_arg, (void *)1, &options));
	async_task *held = async_loop_create_task(loop, return_arg, (void *)2, &options);
	assert_int_equal(async_loop_close(loop), 0);
	assert_int_equal(destroyed, 2);
	assert_int_equal(dropped, 0);
	/* The one that is held is named as leaked, and can be asked. */
	assert_int_equal(reports.count, 1);
	assert_ptr_equal(reports.future, held);
	assert_true(async_done(held));
	assert_int_equal(async_result(held), -ESHUTDOWN);
	async_release(held);
	async_loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(results_that_nobody_takes_are_dropped),
		TEST(cancelled_tasks_leak_nothing),
		TEST(failed_creation_is_a_future),
		TEST(unrun_tasks_are_destroyed_at_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
