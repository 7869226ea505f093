/* SPDX-License-Identifier: MIT */
/* Conditions: notifications reach who waits, and the lock is held on every return. */
#include "harness.h"

/* A task's argument may be written to; these are not. */
#define NAMED(text) ((void *)(uintptr_t)(text))

static struct async_lock lock;
static struct async_condition condition;
static int ready;

static void forget_condition(void)
{
	lock = (struct async_lock)ASYNC_LOCK_INIT;
	condition = (struct async_condition)ASYNC_CONDITION_INIT;
	ready = 0;
}

static intptr_t wait_once(void *arg)
{
	int error = async_condition_acquire(&condition);

	if (error)
		return error;
	error = async_condition_wait(&condition);
	assert_true(async_condition_locked(&condition));
	note("%s%s", (char *)arg, error == -ECANCELED ? "-cancelled" : "");
	assert_int_equal(async_condition_release(&condition), 0);
	return error;
}

static void notify(size_t count)
{
	assert_int_equal(async_condition_acquire(&condition), 0);
	assert_int_equal(async_condition_notify(&condition, count), 0);
	assert_int_equal(async_condition_release(&condition), 0);
}

static intptr_t in_order(void *arg)
{
	const char *names[] = {"a", "b", "c", "d"};
	async_task *tasks[4];

	(void)arg;
	forget_condition();
	for (size_t i = 0; i < 4; i++)
		tasks[i] = async_create_task(wait_once, NAMED(names[i]));
	give_way(1);
	assert_false(async_condition_locked(&condition));
	notify(1);
	assert_noted("");
	give_way(1);
	assert_noted("a");
	notify(2);
	give_way(3);
	assert_noted("b c");
	assert_int_equal(async_condition_acquire(&condition), 0);
	assert_int_equal(async_condition_notify_all(&condition), 0);
	/* They run when they get the lock. */
	give_way(3);
	assert_noted("");
	assert_int_equal(async_condition_release(&condition), 0);
	give_way(2);
	assert_noted("d");
	notify(100);
	return async_await(async_gather(tasks, 4, 0, NULL));
}

static void test_notifications_go_in_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(in_order, NULL), 4);
}

static intptr_t cancelled_while_waiting(void *arg)
{
	async_task *task;

	(void)arg;
	forget_condition();
	task = async_create_task(wait_once, NAMED("waiter"));
	give_way(1);
	assert_int_equal(async_condition_acquire(&condition), 0);
	assert_int_equal(async_cancel(task, NULL), 1);
	/* It cannot return without the lock, however often it is cancelled. */
	give_way(2);
	assert_int_equal(async_cancel(task, NULL), 1);
	give_way(2);
	assert_noted("");
	assert_false(async_done(task));
	assert_int_equal(async_condition_release(&condition), 0);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("waiter-cancelled");
	assert_false(async_condition_locked(&condition));
	return 0;
}

static void test_cancelled_waiter_acquires_first(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_while_waiting, NULL), 0);
}

static intptr_t lost_notification(void *arg)
{
	async_task *first, *second;

	(void)arg;
	forget_condition();
	first = async_create_task(wait_once, NAMED("first"));
	second = async_create_task(wait_once, NAMED("second"));
	give_way(1);
	notify(1);
	assert_int_equal(async_cancel(first, NULL), 1);
	assert_int_equal(async_await(second), 0);
	assert_int_equal(async_await(first), -ECANCELED);
	assert_noted("first-cancelled second");
	return 0;
}

static void test_lost_notification_is_passed_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(lost_notification, NULL), 0);
}

/* Notified, and cancelled while it waits for the lock. */
static intptr_t lost_at_the_lock(void *arg)
{
	async_task *first, *second;

	(void)arg;
	forget_condition();
	first = async_create_task(wait_once, NAMED("first"));
	second = async_create_task(wait_once, NAMED("second"));
	give_way(1);
	assert_int_equal(async_condition_acquire(&condition), 0);
	assert_int_equal(async_condition_notify(&condition, 1), 0);
	give_way(1);
	assert_int_equal(async_cancel(first, NULL), 1);
	assert_int_equal(async_condition_release(&condition), 0);
	assert_int_equal(async_await(second), 0);
	assert_int_equal(async_await(first), -ECANCELED);
	assert_noted("first-cancelled second");
	return 0;
}

static void test_notification_lost_at_the_lock_is_passed_on(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(lost_at_the_lock, NULL), 0);
}

static intptr_t is_ready(void *arg)
{
	(void)arg;
	return ready;
}

static intptr_t wait_until_ready(void *arg)
{
	intptr_t value = async_condition_acquire(&condition);

	(void)arg;
	if (value == 0)
		value = async_condition_wait_for(&condition, is_ready, NULL);
	assert_int_equal(async_condition_release(&condition), 0);
	return value;
}

static intptr_t with_predicate(void *arg)
{
	async_task *task;

	(void)arg;
	forget_condition();
	task = async_create_task(wait_until_ready, NULL);
	give_way(1);
	notify(1);
	give_way(3);
	assert_false(async_done(task));
	ready = 7;
	notify(1);
	assert_int_equal(async_await(task), 7);
	/* True at once: no suspension; and an error of the predicate's is an answer, too. */
	assert_int_equal(wait_until_ready(NULL), 7);
	ready = -EIO;
	assert_int_equal(wait_until_ready(NULL), -EIO);
	ready = 0;
	task = async_create_task(wait_until_ready, NULL);
	give_way(1);
	async_cancel(task, NULL);
	return async_await(task);
}

static void test_wait_for_a_predicate(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(with_predicate, NULL), -ECANCELED);
}

static intptr_t shared(void *arg)
{
	struct async_condition a = ASYNC_CONDITION_INIT_WITH(&lock), b = ASYNC_CONDITION_INIT_WITH(&lock);

	(void)arg;
	forget_condition();
	assert_int_equal(async_condition_acquire(&a), 0);
	assert_true(async_lock_locked(&lock));
	assert_true(async_condition_locked(&b));
	assert_int_equal(async_condition_notify(&b, 1), 0);
	return async_condition_release(&b);
}

static void test_conditions_can_share_a_lock(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(shared, NULL), 0);
}

static intptr_t misuse(void *arg)
{
	(void)arg;
	forget_condition();
	assert_int_equal(async_condition_wait(&condition), -EPERM);
	assert_int_equal(async_condition_wait_for(&condition, is_ready, NULL), -EPERM);
	assert_int_equal(async_condition_notify(&condition, 1), -EPERM);
	assert_int_equal(async_condition_notify_all(&condition), -EPERM);
	assert_int_equal(async_condition_release(&condition), -EPERM);
	assert_int_equal(async_condition_wait(NULL), -EINVAL);
	assert_int_equal(async_condition_wait_for(&condition, NULL, NULL), -EINVAL);
	assert_int_equal(async_condition_notify(NULL, 1), -EINVAL);
	assert_int_equal(async_condition_acquire(NULL), -EINVAL);
	assert_int_equal(async_condition_release(NULL), -EINVAL);
	return 0;
}

static void test_misuse(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(misuse, NULL), 0);
	assert_int_equal(async_condition_wait(&condition), -EPERM);
	assert_int_equal(async_condition_acquire(&condition), -EPERM);
}

/* Tickets are given out one by one with notify(1), while waiters are cancelled: none may be left over while a waiter
 * sleeps. */
static int tickets, taken;

static intptr_t has_ticket(void *arg)
{
	(void)arg;
	return tickets;
}

static intptr_t take_ticket(void *arg)
{
	intptr_t value = async_condition_acquire(&condition);

	(void)arg;
	if (value < 0)
		return value;
	value = async_condition_wait_for(&condition, has_ticket, NULL);
	if (value > 0) {
		tickets--;
		taken++;
	}
	assert_int_equal(async_condition_release(&condition), 0);
	return value < 0 ? value : 0;
}

static intptr_t no_lost_wakeup(void *arg)
{
	async_task *tasks[8];
	int served = 0;

	(void)arg;
	forget_condition();
	tickets = taken = 0;
	for (size_t i = 0; i < countof(tasks); i++)
		tasks[i] = async_create_task(take_ticket, NULL);
	give_way(2);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(async_condition_acquire(&condition), 0);
		tickets++;
		assert_int_equal(async_condition_notify(&condition, 1), 0);
		assert_int_equal(async_condition_release(&condition), 0);
		if (i < 3)
			async_cancel(tasks[2 * i], NULL);
		give_way(i % 2);
	}
	/* At least 5 are not cancelled, and there were 5 tickets. */
	give_way(40);
	assert_int_equal(tickets, 0);
	assert_int_equal(taken, 5);
	for (size_t i = 0; i < countof(tasks); i++) {
		async_cancel(tasks[i], NULL);
		served += async_await(tasks[i]) == 0;
	}
	assert_int_equal(served, 5);
	return 0;
}

static void test_no_wakeup_is_lost_in_any_order(void **state)
{
	(void)state;
	for_each_seed(no_lost_wakeup, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_notifications_go_in_order),
		TEST(test_cancelled_waiter_acquires_first),
		TEST(test_lost_notification_is_passed_on),
		TEST(test_notification_lost_at_the_lock_is_passed_on),
		TEST(test_wait_for_a_predicate),
		TEST(test_conditions_can_share_a_lock),
		TEST(test_misuse),
		TEST(test_no_wakeup_is_lost_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
