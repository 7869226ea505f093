/* SPDX-License-Identifier: MIT */
/* Tasks: how they are created and named, what they may wait for, who there is, and their stacks. */
#include "disposals.h"
#include "task_peers.h"

#include <string.h>

/* Creation, names */

static intptr_t await_child(void *arg)
{
	return async_await(async_create_task(return_arg, arg));
}

static void await_gives_result(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(await_child, (void *)42), 42);
	assert_int_equal(run_virtual(await_child, (void *)-EIO), -EIO);
	assert_int_equal(run_virtual(await_child, NULL), 0);
}

static intptr_t names(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	char buffer[ASYNC_TASK_NAME_MAX], longer[100], small[4];
	async_task *unnamed, *named;

	(void)arg;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_string_equal(async_task_get_name(async_current_task(), buffer, sizeof(buffer)), "Task-1");
	unnamed = async_create_task(return_arg, NULL);
	options.name = "worker";
	named = async_create_task_with(return_arg, NULL, &options);
	assert_string_equal(async_task_get_name(unnamed, buffer, sizeof(buffer)), "Task-2");
	assert_string_equal(async_task_get_name(named, buffer, sizeof(buffer)), "worker");
	assert_string_equal(async_task_get_name(named, small, sizeof(small)), "wor");
	assert_int_equal(async_task_set_name(unnamed, longer), 0);
	async_task_get_name(unnamed, buffer, sizeof(buffer));
	assert_int_equal(strlen(buffer), ASYNC_TASK_NAME_MAX - 1);
	assert_int_equal(async_task_set_name(named, NULL), -EINVAL);
	assert_int_equal(async_task_set_name(NULL, "x"), -EINVAL);
	assert_string_equal(async_task_get_name(NULL, buffer, sizeof(buffer)), "");

	async_future *future = async_future_new(NULL, NULL);
	assert_int_equal(async_task_set_name(future, "x"), -EINVAL);
	assert_string_equal(async_task_get_name(future, buffer, sizeof(buffer)), "");
	assert_false(async_is_task(future));
	assert_false(async_is_task(NULL));
	assert_true(async_is_task(named));
	async_release(future);
	assert_int_equal(async_await(unnamed), 0);
	return async_await(named);
}

static void names_are_given_and_changed(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(names, NULL), 0);
}

/* Eager tasks */

static intptr_t eager_body(void *arg)
{
	note("in-%s", (const char *)arg);
	if (async_sleep(0) < 0)
		return -ECANCELED;
	note("on-%s", (const char *)arg);
	return 7;
}

static async_task *create_eager(async_fn *fn, void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	options.destroy = destroy;
	options.drop = drop;
	return async_create_task_with(fn, arg, &options);
}

static intptr_t eager_nested(void *arg)
{
	async_task *self = async_current_task(), *inner;

	(void)arg;
	note("outer");
	inner = create_eager(eager_body, (void *)(uintptr_t)"inner");
	assert_ptr_equal(async_current_task(), self);
	note("outer2");
	return async_await(inner);
}

static intptr_t eager_check_current(void *arg)
{
	*(async_task **)arg = async_current_task();
	return 1;
}

static intptr_t eager(void *arg)
{
	async_task *self = async_current_task(), *seen = NULL, *task;

	(void)arg;
	task = create_eager(eager_check_current, &seen);
	assert_ptr_equal(seen, task);
	assert_ptr_equal(async_current_task(), self);
	assert_true(async_done(task));
	assert_int_equal(async_await(task), 1);

	task = create_eager(eager_body, (void *)(uintptr_t)"a");
	assert_false(async_done(task));
	note("between");
	assert_int_equal(async_await(task), 7);
	assert_noted("in-a between on-a");

	task = create_eager(eager_nested, NULL);
	note("main");
	assert_int_equal(async_await(task), 7);
	assert_noted("outer in-inner outer2 main on-inner");
	return 0;
}

static void eager_runs_until_it_suspends(void **state)
{
	(void)state;
	forget_disposals();
	assert_int_equal(run_virtual(eager, NULL), 0);
	assert_int_equal(destroyed + dropped, 0);
}

static void start_eager(void *arg)
{
	*(async_task **)arg = create_eager(eager_body, (void *)(uintptr_t)"a");
	note("callback");
}

static void eager_from_a_callback(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *task = NULL;

	(void)state;
	assert_int_equal(async_loop_call_soon(loop, start_eager, &task, NULL), 0);
	async_loop_stop(loop);
	assert_int_equal(async_loop_run_forever(loop), 0);
	assert_noted("in-a callback");
	assert_int_equal(async_loop_run_until_complete(loop, task), 7);
	assert_noted("on-a");
	loop_end(loop);
	assert_int_equal(reports.count, 0);
}

static void eager_on_an_idle_loop_is_not(void **state)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	async_loop *loop = loop_virtual();

	(void)state;
	options.eager = true;
	async_task *task = async_loop_create_task(loop, eager_body, (void *)(uintptr_t)"a", &options);
	assert_noted("");
	assert_int_equal(async_loop_run_until_complete(loop, task), 7);
	assert_noted("in-a on-a");
	loop_end(loop);
}

/* Waiting for oneself, and for what cannot be waited for */

static intptr_t await_self(void *arg)
{
	(void)arg;
	return async_await(async_ref(async_current_task()));
}

static void awaiting_oneself_is_refused(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(await_self, NULL), -EDEADLK);
}

static intptr_t await_other(void *arg)
{
	return async_await(arg);
}

static void awaiting_outside_its_place(void **state)
{
	async_loop *loop = loop_virtual(), *other = loop_virtual();
	async_future *future = async_future_new(other, NULL);

	(void)state;
	assert_int_equal(async_await(async_ref(future)), -EPERM);
	assert_int_equal(async_loop_run_until_complete(loop,
			 async_loop_create_task(loop, await_other, async_ref(future), NULL)), -EPERM);
	async_release(future);
	assert_int_equal(async_await(NULL), -EINVAL);
	assert_int_equal(async_sleep(0), -EPERM);
	assert_int_equal(async_sleep(1), -EPERM);
	assert_int_equal(async_sleep_until(1), -EPERM);
	loop_end(loop);
	loop_end(other);
	assert_int_equal(reports.count, 0);
}

/* Who there is */

static intptr_t list_tasks(void *arg)
{
	async_task *a = async_create_task(sleep_long, NULL), *b = async_create_task(return_arg, NULL);
	async_task *tasks[4] = {NULL, NULL, NULL, NULL};

	(void)arg;
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 3);
	assert_int_equal(async_all_tasks(NULL, tasks, 4), 3);
	assert_ptr_equal(tasks[0], async_current_task());
	assert_ptr_equal(tasks[1], a);
	assert_ptr_equal(tasks[2], b);
	assert_null(tasks[3]);
	give_way(1);
	assert_int_equal(async_all_tasks(NULL, tasks, 1), 2);
	async_cancel(a, NULL);
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), 0);
	assert_int_equal(async_all_tasks(NULL, tasks, 4), 1);
	return 0;
}

static void all_tasks_are_the_live_ones(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	assert_int_equal(async_all_tasks(NULL, NULL, 0), -EPERM);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 0);
	async_task *task = async_loop_create_task(loop, list_tasks, NULL, NULL);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 1);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	assert_int_equal(async_all_tasks(loop, NULL, 0), 0);
	loop_end(loop);
}

static void check_no_current(void *arg)
{
	note("%s", async_current_task() ? "task" : "none");
	assert_ptr_equal(async_get_running_loop(), arg);
}

static intptr_t current_stays(void *arg)
{
	async_task *self = async_current_task();

	(void)arg;
	assert_non_null(self);
	async_loop *loop = async_get_running_loop();
	assert_int_equal(async_loop_call_soon(loop, check_no_current, loop, NULL), 0);
	give_way(1);
	assert_ptr_equal(async_current_task(), self);
	assert_int_equal(async_sleep(ASYNC_MS), 0);
	assert_ptr_equal(async_current_task(), self);
	return 0;
}

static void the_current_task(void **state)
{
	(void)state;
	assert_null(async_current_task());
	run_virtual(current_stays, NULL);
	assert_noted("none");
	assert_null(async_current_task());
}

/* Stacks */

static intptr_t own_stack_size(void *arg)
{
	(void)arg;
	return async_task_stack_size(async_current_task());
}

static intptr_t size_of_stack(size_t wanted)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.stack_size = wanted;
	return async_await(async_create_task_with(own_stack_size, NULL, &options));
}

static intptr_t stack_sizes(void *arg)
{
	async_task *task = async_create_task(return_arg, NULL);

	(void)arg;
	assert_int_equal(async_task_stack_size(task), ASYNC_STACK_SIZE_DEFAULT);
	assert_int_equal(async_task_stack_used(task), 0);
	assert_int_equal(size_of_stack(0), ASYNC_STACK_SIZE_DEFAULT);
	assert_int_equal(size_of_stack(ASYNC_STACK_SIZE_MIN), ASYNC_STACK_SIZE_MIN);
	assert_int_equal(size_of_stack(20000), 32768);
	assert_int_equal(size_of_stack(1 << 20), 1 << 20);
	give_way(1);
	assert_int_equal(async_task_stack_size(task), -EINVAL);
	assert_int_equal(async_task_stack_used(task), -EINVAL);
	async_release(task);
	assert_int_equal(async_task_stack_size(NULL), -EINVAL);
	return 0;
}

static void stacks_have_the_size_asked_for(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_virtual(stack_sizes, NULL), 0);
	options.stack_size = 100000;
	assert_int_equal(run_with(own_stack_size, NULL, &options), 131072);
}

static __attribute__((noinline)) int touch(size_t size)
{
	volatile char *block = __builtin_alloca(size);

	for (size_t i = 0; i < size; i++)
		block[i] = 1;
	return block[size / 2];
}

static intptr_t measure(void *arg)
{
	intptr_t before = async_task_stack_used(async_current_task());

	assert_int_equal(touch((size_t)arg), 1);
	intptr_t after = async_task_stack_used(async_current_task());
	assert_true(before > 0);
	assert_true(after >= before);
	assert_true(after <= async_task_stack_size(async_current_task()));
	return after;
}

static void stack_use_is_measured(void **state)
{
	struct async_options options = test_options();

	(void)state;
	options.measure_stacks = true;
	intptr_t little = run_with(measure, (void *)100, &options), much = run_with(measure, (void *)20000, &options);
	assert_true(much >= 20000);
	assert_true(little < 20000);
}

/* Many */

static intptr_t spawn_many(void *arg)
{
	size_t count = (size_t)arg;
	intptr_t sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += async_await(async_create_task(return_arg, (void *)1));
	return sum;
}

static intptr_t sleep_short(void *arg)
{
	return async_sleep((intptr_t)arg);
}

static intptr_t many_at_once(void *arg)
{
	size_t count = (size_t)arg;
	async_task **tasks = test_calloc(count, sizeof(*tasks));

	for (size_t i = 0; i < count; i++)
		tasks[i] = async_create_task(sleep_short, (void *)(i % 100 + 1));
	assert_int_equal(async_all_tasks(NULL, NULL, 0), count + 1);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	test_free(tasks);
	return 0;
}

static void many_tasks(void **state)
{
	size_t count = test_many(50000);

	(void)state;
	assert_int_equal(run_virtual(spawn_many, (void *)count), count);
	assert_int_equal(run_virtual(many_at_once, (void *)count), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(await_gives_result),
		TEST(names_are_given_and_changed),
		TEST(eager_runs_until_it_suspends),
		TEST(eager_from_a_callback),
		TEST(eager_on_an_idle_loop_is_not),
		TEST(awaiting_oneself_is_refused),
		TEST(awaiting_outside_its_place),
		TEST(all_tasks_are_the_live_ones),
		TEST(the_current_task),
		TEST(stacks_have_the_size_asked_for),
		TEST(stack_use_is_measured),
		TEST(many_tasks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
