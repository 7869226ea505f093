/* SPDX-License-Identifier: MIT */
/* Task groups that are cancelled: a child, the body, or all; from inside, from outside, by a scope around them. */
#include "group_peers.h"

/* A child that is cancelled alone, by itself or from elsewhere, ends nothing. */
static intptr_t lone_cancel(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_task *one = async_group_create_task(&group, until_cancelled, NAME("one"));
	async_task *other = async_ref(async_group_create_task(&group, give_after, (void *)4));
	async_group_create_task(&group, give_at_once, (void *)-ECANCELED);
	give_way(2);
	async_cancel(one, NULL);
	give_way(3);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_int_equal(async_group_end(&group, 0), 0);
	assert_int_equal(async_await(other), 4);
	assert_int_equal(async_group_error_count(&group), 0);
	assert_noted("one:cancelled");
	return 0;
}

static void test_lone_cancelled_child(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(lone_cancel, NULL), 0);
	for_each_seed(lone_cancel, 200);
}

/* One body for the cancellations from outside. */
struct outer {
	bool in_body;
	intptr_t child;
	intptr_t result;
	int cancelling;
	int next_wait;
};

static intptr_t with_group(void *arg)
{
	struct outer *outer = arg;
	struct async_group group = ASYNC_GROUP_INIT;

	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("child"));
	if (outer->child)
		async_group_create_task(&group, fails_when_cancelled, (void *)outer->child);
	outer->result = async_group_end(&group, outer->in_body ? async_sleep(ASYNC_FOREVER) : 0);
	outer->cancelling = async_cancelling(async_current_task());
	outer->next_wait = async_sleep(0);
	return outer->result;
}

static intptr_t cancel_with_group(struct outer *outer)
{
	async_task *task = async_create_task(with_group, outer);

	give_way(3);
	assert_int_equal(async_cancel(task, NULL), 1);
	return async_await(task);
}

static intptr_t cancelled_outside(void *arg)
{
	(void)arg;
	for (int in_body = 0; in_body < 2; in_body++) {
		struct outer outer = {.in_body = in_body};

		assert_int_equal(cancel_with_group(&outer), -ECANCELED);
		assert_int_equal(outer.result, -ECANCELED);
		assert_int_equal(outer.cancelling, 1);
		assert_int_equal(outer.next_wait, 0);
		assert_noted("child:cancelled");
		/* Errors go first; the cancellation is asked for anew, so that the next wait has it. */
		outer = (struct outer){.in_body = in_body, .child = -EPIPE};
		assert_int_equal(cancel_with_group(&outer), -EPIPE);
		assert_int_equal(outer.result, -EPIPE);
		assert_int_equal(outer.cancelling, 1);
		assert_int_equal(outer.next_wait, -ECANCELED);
		assert_noted("child:cancelled");
	}
	return 0;
}

static void test_cancelled_from_outside(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_outside, NULL), 0);
	for_each_seed(cancelled_outside, 200);
}

static intptr_t slow_to_end(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	(void)arg;
	for (int i = 0; i < 10; i++)
		error = async_sleep(1) == 0 && error ? error : -EIO;
	return error;
}

static intptr_t end_slowly(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, slow_to_end, NULL);
	intptr_t result = async_group_end(&group, 0);
	assert_int_equal(async_cancelling(async_current_task()), 3);
	assert_int_equal(async_group_error_count(&group), 0);
	return result;
}

/* However often the body is cancelled, the end waits. */
static intptr_t cancelled_again(void *arg)
{
	async_task *task = async_create_task(end_slowly, NULL);

	(void)arg;
	give_way(3);
	async_time before = async_loop_time(NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(async_cancel(task, NULL), 1);
		give_way(2);
	}
	assert_int_equal(async_await(task), -ECANCELED);
	assert_int_equal(async_loop_time(NULL) - before, 10);
	return 0;
}

static void test_cancelled_again_and_again(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancelled_again, NULL), 0);
	for_each_seed(cancelled_again, 200);
}

/* A child fails, and somebody outside cancels the body as well: the error is returned and the cancellation stands. */
static intptr_t both_body(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	begin(&group);
	async_group_create_task(&group, give_after, (void *)-EIO);
	intptr_t result = async_sleep(ASYNC_FOREVER);
	async_cancel(async_current_task(), "outside");
	result = async_group_end(&group, result);
	*(int *)arg = async_cancelling(async_current_task());
	assert_int_equal(async_sleep(0), -ECANCELED);
	return result;
}

static intptr_t both(void *arg)
{
	int cancelling = -1;

	(void)arg;
	assert_int_equal(async_await(async_create_task(both_body, &cancelling)), -EIO);
	assert_int_equal(cancelling, 1);
	return 0;
}

static void test_error_and_outside_cancel(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(both, NULL), 0);
	for_each_seed(both, 200);
}

static intptr_t cancel_group(void *arg)
{
	int error = async_sleep(10);

	assert_int_equal(async_group_cancel(arg), 1);
	assert_int_equal(async_group_cancel(arg), 0);
	return error;
}

/* Where the body is when its group is cancelled makes no difference: the end returns 0, or its result. */
static intptr_t group_cancel(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	assert_int_equal(async_group_cancel(&group), -EINVAL);
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("one"));
	async_group_create_task(&group, cancel_group, &group);
	int slept = async_sleep(ASYNC_FOREVER);
	assert_int_equal(slept, -ECANCELED);
	assert_int_equal(async_group_end(&group, slept), 0);
	assert_int_equal(async_group_cancel(&group), 0);
	assert_noted("one:cancelled");

	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("two"));
	async_group_create_task(&group, cancel_group, &group);
	assert_int_equal(async_group_end(&group, 8), 8);
	assert_noted("two:cancelled");

	/* By the body itself. */
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("three"));
	give_way(2);
	assert_int_equal(async_group_cancel(&group), 1);
	assert_int_equal(async_group_end(&group, 9), 9);
	assert_noted("three:cancelled");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return async_sleep(1);
}

static void test_group_cancel(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(group_cancel, NULL), 0);
	for_each_seed(group_cancel, 200);
}

static intptr_t inner_group(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("inner"));
	return async_group_end(&group, (intptr_t)arg);
}

static intptr_t nested(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, inner_group, NULL);
	async_group_create_task(&group, give_after, (void *)-EIO);
	/* One in the body of the other, too. */
	intptr_t result = inner_group(NULL);
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(async_group_end(&group, result), -EIO);
	assert_noted("inner:cancelled inner:cancelled");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return async_sleep(1);
}

static void test_nested_groups(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(nested, NULL), 0);
	for_each_seed(nested, 200);
}

/* A timeout around a group, and one in its body: each cancellation goes back to who asked for it. */
static intptr_t in_timeout(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	assert_int_equal(async_timeout_begin(&scope, 20), 0);
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("child"));
	intptr_t result = async_group_end(&group, 0);
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(async_timeout_end(&scope, result), -ETIMEDOUT);
	assert_noted("child:cancelled");

	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("child"));
	scope = (struct async_timeout)ASYNC_TIMEOUT_INIT;
	assert_int_equal(async_timeout_begin(&scope, 20), 0);
	result = async_timeout_end(&scope, async_sleep(ASYNC_FOREVER));
	assert_int_equal(async_group_end(&group, result), -ETIMEDOUT);
	assert_noted("child:cancelled");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void test_timeouts(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(in_timeout, NULL), 0);
	for_each_seed(in_timeout, 200);
}

static intptr_t races(void *arg)
{
	async_task *task = async_create_task(inner_group, NULL);
	int error = async_sleep(10);

	(void)arg;
	async_cancel(task, NULL);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	forget_notes();
	return error;
}

static void test_cancelled_twice_at_once(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(races, NULL), 0);
	for_each_seed(races, 200);
}

/* While the end of a cancelled group waits for a clean-up, a cancellation from outside is not lost. */
static intptr_t cleans_up_slowly(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	(void)arg;
	assert_int_equal(async_sleep(50), 0);
	return error;
}

static intptr_t cancels_its_group(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	begin(&group);
	async_group_create_task(&group, cleans_up_slowly, NULL);
	int error = async_sleep(10);
	assert_int_equal(async_group_cancel(&group), 1);
	intptr_t result = async_group_end(&group, arg ? (intptr_t)arg : error);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	if (result == (intptr_t)arg) {
		/* The failure went before: it comes now. */
		assert_int_equal(async_sleep(0), -ECANCELED);
		assert_int_equal(async_sleep(0), 0);
	}
	return result;
}

static intptr_t cancels_while_it_drains(void *arg)
{
	async_task *task = async_create_task(cancels_its_group, NULL);

	(void)arg;
	assert_int_equal(async_sleep(30), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	/* Beside a failure of the body. */
	task = async_create_task(cancels_its_group, (void *)-EIO);
	assert_int_equal(async_sleep(30), 0);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -EIO);
	return 0;
}

static intptr_t fails_later(void *arg)
{
	int error = async_sleep(30);

	(void)arg;
	return error ? error : -EIO;
}

/* Two groups: the outer one fails while the inner one, which was cancelled, still waits. */
static intptr_t outer_fails_while_inner_drains(void *arg)
{
	struct async_group outer = ASYNC_GROUP_INIT, inner = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&outer);
	begin(&inner);
	async_group_create_task(&outer, fails_later, NULL);
	async_group_create_task(&inner, cleans_up_slowly, NULL);
	int error = async_sleep(10);
	async_group_cancel(&inner);
	intptr_t result = async_group_end(&inner, error);
	assert_int_equal(result, -ECANCELED);
	assert_int_equal(async_group_end(&outer, result), -EIO);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return async_sleep(1);
}

/* A limit around a group that was cancelled expires while that waits. */
static intptr_t limit_while_it_drains(void *arg)
{
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	assert_int_equal(async_timeout_begin(&scope, 30), 0);
	begin(&group);
	async_group_create_task(&group, cleans_up_slowly, NULL);
	int error = async_sleep(10);
	async_group_cancel(&group);
	assert_int_equal(async_timeout_end(&scope, async_group_end(&group, error)), -ETIMEDOUT);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return async_sleep(1);
}

static void test_outside_cancel_while_it_drains(void **state)
{
	async_fn *const programs[] = {cancels_while_it_drains, outer_fails_while_inner_drains, limit_while_it_drains};

	(void)state;
	for (size_t i = 0; i < countof(programs); i++) {
		assert_int_equal(run_virtual(programs[i], NULL), 0);
		for_each_seed(programs[i], 200);
	}
}

/* A cancellation that was delivered before the group began is told once, then, and not by the group. */
static intptr_t group_in_a_clean_up(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_sleep(1), -ECANCELED);
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("child"));
	async_group_cancel(&group);
	assert_int_equal(async_group_end(&group, async_sleep(10)), 0);
	begin(&group);
	async_group_create_task(&group, give_at_once, (void *)-EIO);
	assert_int_equal(async_group_end(&group, async_sleep(ASYNC_FOREVER)), -EIO);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	assert_int_equal(async_sleep(1), 0);

	/* One that was made before and not delivered comes inside: it stands. */
	async_cancel(async_current_task(), NULL);
	begin(&group);
	async_group_cancel(&group);
	assert_int_equal(async_group_end(&group, async_sleep(1)), -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 2);
	forget_notes();
	return async_sleep(1);
}

/* What the group asked for itself and nobody was told of is gone with its end, whatever was delivered before. */
static intptr_t fails_at_once_in_a_clean_up(void *arg)
{
	struct async_task_options eager = ASYNC_TASK_OPTIONS_INIT;
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	eager.eager = true;
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_sleep(1), -ECANCELED);
	begin(&group);
	async_group_create_task_with(&group, give_at_once, (void *)-EIO, &eager);
	assert_int_equal(async_cancelling(async_current_task()), 2);
	assert_int_equal(async_group_end(&group, 0), -EIO);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	return async_sleep(1);
}

static intptr_t inner_fails(void *arg)
{
	struct async_group inner = ASYNC_GROUP_INIT;

	begin(&inner);
	async_group_create_task(&inner, give_at_once, (void *)-EIO);
	assert_int_equal(async_group_cancel(arg), 1);
	assert_int_equal(async_group_end(&inner, async_sleep(ASYNC_FOREVER)), -EIO);
	return 0;
}

/* What the outer group asked for is in the hand of the inner one, which fails and leaves it to the next wait: it is
 * gone with the outer one all the same. */
static intptr_t handed_back_in_a_clean_up(void *arg)
{
	struct async_group outer = ASYNC_GROUP_INIT;

	(void)arg;
	async_cancel(async_current_task(), NULL);
	assert_int_equal(async_sleep(1), -ECANCELED);
	begin(&outer);
	assert_int_equal(async_group_end(&outer, inner_fails(&outer)), 0);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	return async_sleep(1);
}

static void test_older_cancellations(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(handed_back_in_a_clean_up, NULL), 0);
	assert_int_equal(run_virtual(fails_at_once_in_a_clean_up, NULL), 0);
	assert_int_equal(run_virtual(group_in_a_clean_up, NULL), 0);
	for_each_seed(group_in_a_clean_up, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lone_cancelled_child),
		TEST(test_cancelled_from_outside),
		TEST(test_cancelled_again_and_again),
		TEST(test_error_and_outside_cancel),
		TEST(test_group_cancel),
		TEST(test_nested_groups),
		TEST(test_timeouts),
		TEST(test_cancelled_twice_at_once),
		TEST(test_outside_cancel_while_it_drains),
		TEST(test_older_cancellations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
