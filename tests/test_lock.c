/* SPDX-License-Identifier: MIT */
/* Locks: who gets one, in which iteration, and what a cancelled waiter leaves behind. */
#include "harness.h"

/* A task's argument may be written to; these are not. */
#define NAMED(text) ((void *)(uintptr_t)(text))

static struct async_lock lock;
static int inside, entered;

static void forget_lock(void)
{
	lock = (struct async_lock)ASYNC_LOCK_INIT;
	inside = entered = 0;
}

/* Holds the lock over one suspension, and notes when it got it. */
static intptr_t hold(void *arg)
{
	int error = async_lock_acquire(&lock);

	note("%s%s", (char *)arg, error == -ECANCELED ? "-cancelled" : "");
	if (error)
		return error;
	error = async_sleep(0);
	assert_int_equal(async_lock_release(&lock), 0);
	return error;
}

static intptr_t uncontended(void *arg)
{
	(void)arg;
	forget_lock();
	assert_false(async_lock_locked(&lock));
	note("before");
	async_loop_call_soon(async_get_running_loop(), note_callback, NAMED("soon"), NULL);
	assert_int_equal(async_lock_acquire(&lock), 0);
	assert_true(async_lock_locked(&lock));
	assert_int_equal(async_lock_release(&lock), 0);
	/* Nothing else has run. */
	assert_noted("before");
	assert_int_equal(async_lock_release(&lock), -EPERM);
	assert_int_equal(async_lock_acquire(NULL), -EINVAL);
	assert_int_equal(async_lock_release(NULL), -EINVAL);
	assert_false(async_lock_locked(NULL));
	give_way(1);
	assert_noted("soon");
	return 0;
}

static void test_free_lock_does_not_suspend(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(uncontended, NULL), 0);
}

static intptr_t in_order(void *arg)
{
	const char *names[] = {"a", "b", "c", "d"};
	async_task *tasks[4];

	(void)arg;
	forget_lock();
	for (size_t i = 0; i < 4; i++)
		tasks[i] = async_create_task(hold, NAMED(names[i]));
	for (int i = 0; i < 9; i++) {
		give_way(1);
		note("|");
	}
	/* A release wakes the next one, which runs an iteration later. */
	assert_noted("a | | b | | c | | d | | |");
	return async_await(async_gather(tasks, 4, 0, NULL));
}

static void test_waiters_are_served_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(in_order, NULL), 4);
}

/* Between a release and the run of the task that was woken, a third one asks. */
static intptr_t no_barging(void *arg)
{
	async_task *waiter;

	(void)arg;
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), 0);
	waiter = async_create_task(hold, NAMED("waiter"));
	give_way(1);
	assert_int_equal(async_lock_release(&lock), 0);
	assert_false(async_lock_locked(&lock));
	int error = async_lock_acquire(&lock);
	note("main");
	assert_int_equal(error, 0);
	assert_noted("waiter main");
	assert_int_equal(async_lock_release(&lock), 0);
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
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), 0);
	first = async_create_task(hold, NAMED("first"));
	second = async_create_task(hold, NAMED("second"));
	give_way(1);
	assert_int_equal(async_lock_release(&lock), 0);
	assert_int_equal(async_cancel(first, NULL), 1);
	give_way(1);
	assert_noted("first-cancelled");
	give_way(1);
	assert_noted("second");
	assert_int_equal(async_await(first), -ECANCELED);
	return async_await(second);
}

static void test_woken_and_cancelled_waiter_hands_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(woken_then_cancelled, NULL), 0);
}

/* The first in line was cancelled and has not run: as in asyncio it hands on when it does. */
static intptr_t cancelled_then_released(void *arg)
{
	async_task *first, *second;

	(void)arg;
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), 0);
	first = async_create_task(hold, NAMED("first"));
	second = async_create_task(hold, NAMED("second"));
	give_way(1);
	assert_int_equal(async_cancel(first, NULL), 1);
	assert_int_equal(async_lock_release(&lock), 0);
	give_way(1);
	assert_noted("first-cancelled");
	give_way(1);
	assert_noted("second");
	assert_int_equal(async_await(first), -ECANCELED);
	return async_await(second);
}

static void test_cancelled_waiter_at_the_head_hands_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_then_released, NULL), 0);
}

static intptr_t all_cancelled(void *arg)
{
	async_task *waiter;

	(void)arg;
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), 0);
	waiter = async_create_task(hold, NAMED("waiter"));
	give_way(1);
	assert_int_equal(async_cancel(waiter, NULL), 1);
	assert_int_equal(async_lock_release(&lock), 0);
	/* Everybody in line is cancelled: no suspension. */
	assert_int_equal(async_lock_acquire(&lock), 0);
	assert_noted("");
	assert_int_equal(async_lock_release(&lock), 0);
	assert_int_equal(async_await(waiter), -ECANCELED);
	assert_noted("waiter-cancelled");
	return 0;
}

static void test_cancelled_waiters_do_not_hold_the_line(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(all_cancelled, NULL), 0);
}

static intptr_t work(void *arg)
{
	int rounds = (int)(intptr_t)arg, error = 0;

	while (error == 0 && rounds-- > 0) {
		error = async_lock_acquire(&lock);
		if (error)
			break;
		assert_int_equal(inside++, 0);
		error = async_sleep(0);
		assert_int_equal(--inside, 0);
		entered++;
		assert_int_equal(async_lock_release(&lock), 0);
	}
	return error;
}

/* Some are cancelled, at places that the shuffling moves about; the others must all get through. */
static intptr_t exclusion(void *arg)
{
	async_task *tasks[8];

	(void)arg;
	forget_lock();
	for (size_t i = 0; i < countof(tasks); i++)
		tasks[i] = async_create_task(work, (void *)(intptr_t)3);
	for (size_t i = 0; i < countof(tasks); i += 3) {
		give_way((int)i);
		async_cancel(tasks[i], NULL);
	}
	for (size_t i = 0; i < countof(tasks); i++) {
		intptr_t result = async_await(tasks[i]);

		assert_true(result == 0 || (i % 3 == 0 && result == -ECANCELED));
	}
	assert_true(entered >= 15);
	assert_false(async_lock_locked(&lock));
	return async_lock_acquire(&lock);
}

static void test_one_at_a_time_in_any_order(void **state)
{
	(void)state;
	for_each_seed(exclusion, 200);
}

static void release_elsewhere(void *arg)
{
	*(int *)arg = async_lock_release(&lock);
}

static intptr_t acquire_once(void *arg)
{
	(void)arg;
	return async_lock_acquire(&lock);
}

static void acquire_elsewhere(void *arg)
{
	*(int *)arg = (int)run_with(acquire_once, NULL, NULL);
}

static intptr_t with_another_thread(void *arg)
{
	int result = 0;

	(void)arg;
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), 0);
	in_thread(release_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	assert_true(async_lock_locked(&lock));
	in_thread(acquire_elsewhere, &result);
	assert_int_equal(result, -EPERM);
	return async_lock_release(&lock);
}

static void test_other_threads_and_no_task(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(with_another_thread, NULL), 0);
	forget_lock();
	assert_int_equal(async_lock_acquire(&lock), -EPERM);
	assert_false(async_lock_locked(&lock));
}

/* A loop that closes takes its tasks out of the line; the lock works on the next loop. */
static void test_closed_loop_leaves_no_waiters(void **state)
{
	async_loop *loop = loop_virtual();
	async_task *task;

	(void)state;
	forget_lock();
	task = async_loop_create_task(loop, acquire_once, NULL, NULL);
	assert_int_equal(async_loop_run_until_complete(loop, task), 0);
	task = async_loop_create_task(loop, hold, NAMED("never"), NULL);
	assert_int_equal(async_loop_run_once(loop), 0);
	/* Between two runs its own thread may release. */
	assert_int_equal(async_lock_release(&lock), 0);
	async_release(task);
	loop_end(loop);
	assert_int_equal(run_virtual(acquire_once, NULL), 0);
	assert_noted("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_free_lock_does_not_suspend),
		TEST(test_waiters_are_served_in_order),
		TEST(test_nobody_overtakes_a_woken_waiter),
		TEST(test_woken_and_cancelled_waiter_hands_on),
		TEST(test_cancelled_waiter_at_the_head_hands_on),
		TEST(test_cancelled_waiters_do_not_hold_the_line),
		TEST(test_one_at_a_time_in_any_order),
		TEST(test_other_threads_and_no_task),
		TEST(test_closed_loop_leaves_no_waiters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
