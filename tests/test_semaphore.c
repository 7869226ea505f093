/* SPDX-License-Identifier: MIT */
/* Semaphores: how many get in, in which order, and that no permit is lost or made. */
#include "harness.h"

/* A task's argument may be written to; these are not. */
#define NAMED(text) ((void *)(uintptr_t)(text))

static struct async_semaphore semaphore;
static int inside, most;

static intptr_t take(void *arg)
{
	int error = async_semaphore_acquire(&semaphore);

	note("%s%s", (char *)arg, error == -ECANCELED ? "-cancelled" : "");
	return error;
}

static intptr_t counts(void *arg)
{
	async_task *tasks[2];

	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(2);
	assert_int_equal(async_semaphore_value(&semaphore), 2);
	assert_int_equal(async_semaphore_acquire(&semaphore), 0);
	assert_false(async_semaphore_locked(&semaphore));
	assert_int_equal(async_semaphore_acquire(&semaphore), 0);
	assert_true(async_semaphore_locked(&semaphore));
	tasks[0] = async_create_task(take, NAMED("a"));
	tasks[1] = async_create_task(take, NAMED("b"));
	give_way(1);
	assert_noted("");
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	/* The permit is on its way to the first. */
	assert_int_equal(async_semaphore_value(&semaphore), 0);
	assert_noted("");
	give_way(1);
	assert_noted("a");
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	give_way(1);
	assert_noted("b");
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	/* Not bounded: more permits than in the beginning. */
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_semaphore_value(&semaphore), 3);
	return async_await(async_gather(tasks, 2, 0, NULL));
}

static void test_permits_go_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(counts, NULL), 2);
}

static intptr_t bounded(void *arg)
{
	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_BOUNDED_SEMAPHORE_INIT(1);
	assert_int_equal(async_semaphore_release(&semaphore), -EOVERFLOW);
	assert_int_equal(async_semaphore_acquire(&semaphore), 0);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_semaphore_release(&semaphore), -EOVERFLOW);
	assert_int_equal(async_semaphore_value(&semaphore), 1);
	semaphore = (struct async_semaphore)ASYNC_BOUNDED_SEMAPHORE_INIT(0);
	return async_semaphore_release(&semaphore);
}

static void test_bounded_one_refuses_more(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(bounded, NULL), -EOVERFLOW);
}

/* Two permits are free, but a task that was woken has not run: who asks now comes after it. */
static intptr_t no_barging(void *arg)
{
	async_task *waiter;

	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(0);
	waiter = async_create_task(take, NAMED("waiter"));
	give_way(1);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_semaphore_value(&semaphore), 1);
	assert_true(async_semaphore_locked(&semaphore));
	assert_int_equal(take(NAMED("main")), 0);
	assert_noted("waiter main");
	return async_await(waiter);
}

static void test_nobody_overtakes_a_woken_waiter(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(no_barging, NULL), 0);
}

static intptr_t woken_then_cancelled(void *arg)
{
	async_task *first, *second;

	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(0);
	first = async_create_task(take, NAMED("first"));
	second = async_create_task(take, NAMED("second"));
	give_way(1);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_cancel(first, NULL), 1);
	give_way(1);
	assert_noted("first-cancelled");
	give_way(1);
	assert_noted("second");
	assert_int_equal(async_await(first), -ECANCELED);
	assert_int_equal(async_await(second), 0);
	/* Nobody else waits: the permit is simply there again. */
	first = async_create_task(take, NAMED("first"));
	give_way(1);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_int_equal(async_cancel(first, NULL), 1);
	assert_int_equal(async_await(first), -ECANCELED);
	assert_noted("first-cancelled");
	assert_int_equal(async_semaphore_value(&semaphore), 1);
	assert_false(async_semaphore_locked(&semaphore));
	return 0;
}

static void test_woken_and_cancelled_waiter_returns_its_permit(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(woken_then_cancelled, NULL), 0);
}

static intptr_t only_cancelled_wait(void *arg)
{
	async_task *waiter;

	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(0);
	waiter = async_create_task(take, NAMED("waiter"));
	give_way(1);
	assert_int_equal(async_cancel(waiter, NULL), 1);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	assert_false(async_semaphore_locked(&semaphore));
	assert_int_equal(async_semaphore_acquire(&semaphore), 0);
	assert_noted("");
	assert_int_equal(async_await(waiter), -ECANCELED);
	forget_notes();
	return 0;
}

static void test_cancelled_waiters_do_not_hold_the_line(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(only_cancelled_wait, NULL), 0);
}

static intptr_t work(void *arg)
{
	int error = 0;

	(void)arg;
	for (int round = 0; round < 3 && error == 0; round++) {
		error = async_semaphore_acquire(&semaphore);
		if (error)
			break;
		if (++inside > most)
			most = inside;
		error = async_sleep(0);
		inside--;
		assert_int_equal(async_semaphore_release(&semaphore), 0);
	}
	return error;
}

static intptr_t exclusion(void *arg)
{
	async_task *tasks[9];

	(void)arg;
	inside = most = 0;
	semaphore = (struct async_semaphore)ASYNC_BOUNDED_SEMAPHORE_INIT(2);
	for (size_t i = 0; i < countof(tasks); i++)
		tasks[i] = async_create_task(work, NULL);
	for (size_t i = 0; i < countof(tasks); i += 3) {
		give_way((int)i);
		async_cancel(tasks[i], NULL);
	}
	for (size_t i = 0; i < countof(tasks); i++) {
		intptr_t result = async_await(tasks[i]);

		assert_true(result == 0 || (result == -ECANCELED && i % 3 == 0));
	}
	assert_int_equal(most, 2);
	assert_int_equal(async_semaphore_value(&semaphore), 2);
	return 0;
}

static void test_no_permit_is_lost_in_any_order(void **state)
{
	(void)state;
	for_each_seed(exclusion, 200);
}

static void release_elsewhere(void *arg)
{
	*(int *)arg = async_semaphore_release(&semaphore);
}

static void take_elsewhere(void *arg)
{
	*(int *)arg = (int)run_with(take, NAMED("foreign"), NULL);
}

static intptr_t with_another_thread(void *arg)
{
	async_task *task;
	int result = 0;

	(void)arg;
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(0);
	task = async_create_task(take, NAMED("own"));
	give_way(1);
	in_thread(release_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	in_thread(take_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	assert_int_equal(async_semaphore_value(&semaphore), 0);
	assert_int_equal(async_semaphore_release(&semaphore), 0);
	result = (int)async_await(task);
	assert_noted("foreign own");
	return result;
}

static void test_other_threads_and_no_task(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(with_another_thread, NULL), 0);
	semaphore = (struct async_semaphore)ASYNC_SEMAPHORE_INIT(1);
	assert_int_equal(async_semaphore_acquire(&semaphore), -EPERM);
	assert_int_equal(async_semaphore_acquire(NULL), -EINVAL);
	assert_int_equal(async_semaphore_release(NULL), -EINVAL);
	assert_int_equal(async_semaphore_value(NULL), 0);
	assert_int_equal(async_semaphore_value(&semaphore), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_permits_go_in_order),
		TEST(test_bounded_one_refuses_more),
		TEST(test_nobody_overtakes_a_woken_waiter),
		TEST(test_woken_and_cancelled_waiter_returns_its_permit),
		TEST(test_cancelled_waiters_do_not_hold_the_line),
		TEST(test_no_permit_is_lost_in_any_order),
		TEST(test_other_threads_and_no_task),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
