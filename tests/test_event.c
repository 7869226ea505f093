/* SPDX-License-Identifier: MIT */
/* Events: who is woken, and in which iteration. */
#include "harness.h"

/* A task's argument may be written to; these are not. */
#define NAMED(text) ((void *)(uintptr_t)(text))

static struct async_event event;

static intptr_t await_event(void *arg)
{
	int error = async_event_wait(&event);

	note("%s%s", (char *)arg, error == -ECANCELED ? "-cancelled" : "");
	return error;
}

static intptr_t set_and_clear(void *arg)
{
	async_task *tasks[2], *late;

	(void)arg;
	event = (struct async_event)ASYNC_EVENT_INIT;
	tasks[0] = async_create_task(await_event, NAMED("a"));
	tasks[1] = async_create_task(await_event, NAMED("b"));
	give_way(3);
	assert_noted("");
	assert_int_equal(async_event_set(&event), 0);
	assert_true(async_event_is_set(&event));
	assert_int_equal(async_event_clear(&event), 0);
	assert_false(async_event_is_set(&event));
	late = async_create_task(await_event, NAMED("late"));
	/* Nobody runs inside the set. */
	assert_noted("");
	give_way(1);
	assert_noted("a b");
	give_way(3);
	assert_noted("");
	assert_int_equal(async_event_set(&event), 0);
	assert_int_equal(async_event_set(&event), 0);
	assert_int_equal(async_await(late), 0);
	assert_noted("late");
	return async_await(async_gather(tasks, 2, 0, NULL));
}

static void test_set_then_clear_wakes_all_who_waited(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(set_and_clear, NULL), 2);
}

static intptr_t already_set(void *arg)
{
	(void)arg;
	event = (struct async_event)ASYNC_EVENT_INIT;
	async_loop_call_soon(async_get_running_loop(), note_callback, NAMED("soon"), NULL);
	assert_int_equal(async_event_set(&event), 0);
	assert_int_equal(async_event_wait(&event), 0);
	assert_noted("");
	give_way(1);
	assert_noted("soon");
	return 0;
}

static void test_wait_on_a_set_event_does_not_suspend(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(already_set, NULL), 0);
}

static intptr_t cancelled(void *arg)
{
	async_task *a, *b;

	(void)arg;
	event = (struct async_event)ASYNC_EVENT_INIT;
	a = async_create_task(await_event, NAMED("a"));
	b = async_create_task(await_event, NAMED("b"));
	give_way(1);
	/* Before the set, and after it: neither disturbs the other. */
	assert_int_equal(async_cancel(a, NULL), 1);
	assert_int_equal(async_event_set(&event), 0);
	give_way(1);
	assert_noted("a-cancelled b");
	assert_int_equal(async_await(a), -ECANCELED);
	assert_int_equal(async_await(b), 0);
	async_event_clear(&event);
	a = async_create_task(await_event, NAMED("a"));
	give_way(1);
	assert_int_equal(async_event_set(&event), 0);
	assert_int_equal(async_cancel(a, NULL), 1);
	assert_int_equal(async_await(a), -ECANCELED);
	assert_noted("a-cancelled");
	return 0;
}

static void test_cancelled_waiters(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled, NULL), 0);
}

static intptr_t many(void *arg)
{
	async_task *tasks[10];

	(void)arg;
	event = (struct async_event)ASYNC_EVENT_INIT;
	for (size_t i = 0; i < countof(tasks); i++)
		tasks[i] = async_create_task(await_event, NAMED("x"));
	/* All have run once, whatever the order. */
	give_way(2);
	assert_int_equal(async_event_set(&event), 0);
	async_event_clear(&event);
	intptr_t count = async_await(async_gather(tasks, countof(tasks), 0, NULL));
	forget_notes();
	return count == (intptr_t)countof(tasks) ? 0 : -EINVAL;
}

static void test_all_are_woken_in_any_order(void **state)
{
	(void)state;
	for_each_seed(many, 200);
}

static void set_elsewhere(void *arg)
{
	*(int *)arg = async_event_set(&event);
}

static void wait_elsewhere(void *arg)
{
	*(int *)arg = (int)run_with(await_event, NAMED("foreign"), NULL);
}

static intptr_t with_another_thread(void *arg)
{
	async_task *task;
	int result = 0;

	(void)arg;
	event = (struct async_event)ASYNC_EVENT_INIT;
	task = async_create_task(await_event, NAMED("own"));
	give_way(1);
	in_thread(set_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	assert_false(async_event_is_set(&event));
	in_thread(wait_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	assert_int_equal(async_event_set(&event), 0);
	result = (int)async_await(task);
	assert_noted("foreign own");
	return result;
}

static void test_other_threads_and_no_task(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(with_another_thread, NULL), 0);
	assert_int_equal(async_event_wait(&event), -EPERM);
	assert_int_equal(async_event_wait(NULL), -EINVAL);
	assert_int_equal(async_event_set(NULL), -EINVAL);
	assert_int_equal(async_event_clear(NULL), -EINVAL);
	assert_false(async_event_is_set(NULL));
}

static void test_closed_loop_leaves_no_waiters(void **state)
{
	async_loop *loop = loop_virtual();

	(void)state;
	event = (struct async_event)ASYNC_EVENT_INIT;
	async_task *task = async_loop_create_task(loop, await_event, NAMED("never"), NULL);
	assert_int_equal(async_loop_run_once(loop), 0);
	async_release(task);
	loop_end(loop);
	assert_int_equal(async_event_set(&event), 0);
	assert_noted("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_set_then_clear_wakes_all_who_waited),
		TEST(test_wait_on_a_set_event_does_not_suspend),
		TEST(test_cancelled_waiters),
		TEST(test_all_are_woken_in_any_order),
		TEST(test_other_threads_and_no_task),
		TEST(test_closed_loop_leaves_no_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
