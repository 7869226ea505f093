/* SPDX-License-Identifier: MIT */
/* Task groups: the rules of asyncio.TaskGroup. */
#include "harness.h"

/* A string as an argument. */
#define NAME(text) ((void *)(uintptr_t)(text))

static intptr_t give_after(void *arg)
{
	int error = async_sleep(10);

	return error ? error : (intptr_t)arg;
}

static intptr_t give_later(void *arg)
{
	int error = async_sleep(50);

	return error ? error : (intptr_t)arg;
}

static intptr_t give_at_once(void *arg)
{
	return (intptr_t)arg;
}

/* Sleeps for ever, and notes how that ended. */
static intptr_t until_cancelled(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	note("%s:%s", (const char *)arg, error == -ECANCELED ? "cancelled" : "?");
	return error;
}

static void begin(struct async_group *group)
{
	assert_int_equal(async_group_begin(group), 0);
}

static intptr_t all_well(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_task *one = async_ref(async_group_create_task(&group, give_after, (void *)1));
	async_task *two = async_ref(async_group_create_task(&group, give_later, (void *)2));
	assert_int_equal(async_group_end(&group, 7), 7);
	assert_int_equal(async_loop_time(NULL) % 50, 0);
	assert_int_equal(async_await(one), 1);
	assert_int_equal(async_await(two), 2);
	assert_int_equal(async_group_error_count(&group), 0);
	return 0;
}

static void test_end_waits_for_all(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(all_well, NULL), 0);
	for_each_seed(all_well, 200);
}

static intptr_t empty(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	assert_int_equal(async_group_end(&group, 3), 3);
	begin(&group);
	assert_int_equal(async_group_end(&group, -EIO), -EIO);
	assert_int_equal(async_group_error_count(&group), 1);
	return 0;
}

static void test_empty_group(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(empty, NULL), 0);
}

static intptr_t child_fails(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_task *sibling = async_ref(async_group_create_task(&group, until_cancelled, NAME("sibling")));
	async_group_create_task(&group, give_after, (void *)-EIO);
	int slept = async_sleep(ASYNC_FOREVER);
	assert_int_equal(slept, -ECANCELED);
	assert_int_equal(async_cancelling(async_current_task()), 1);
	assert_int_equal(async_group_end(&group, slept), -EIO);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	assert_true(async_cancelled(sibling));
	async_release(sibling);
	assert_int_equal(async_group_error_count(&group), 1);
	assert_int_equal(async_group_error(&group, 0), -EIO);
	assert_int_equal(async_group_error(&group, 1), 0);
	assert_noted("sibling:cancelled");
	/* The cancellation was the group's: the task goes on. */
	return async_sleep(1);
}

static void test_failing_child_cancels_siblings_and_body(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(child_fails, NULL), 0);
	for_each_seed(child_fails, 200);
}

/* The child fails while the end waits: the request to the body is swallowed and taken back. */
static intptr_t fails_in_end(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("sibling"));
	async_group_create_task(&group, give_after, (void *)-EIO);
	assert_int_equal(async_group_end(&group, 0), -EIO);
	assert_noted("sibling:cancelled");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return async_sleep(1);
}

static void test_child_fails_in_end(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(fails_in_end, NULL), 0);
	for_each_seed(fails_in_end, 200);
}

static intptr_t fails_when_cancelled(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	return error == -ECANCELED ? (intptr_t)arg : error;
}

/* Those that fail while they are cancelled are errors, too; the body's is the last. */
static intptr_t several_errors(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, fails_when_cancelled, (void *)-EPIPE);
	async_group_create_task(&group, give_after, (void *)-EIO);
	assert_int_equal(async_sleep(ASYNC_FOREVER), -ECANCELED);
	assert_int_equal(async_group_end(&group, -EDOM), -EIO);
	assert_int_equal(async_group_error_count(&group), 3);
	assert_int_equal(async_group_error(&group, 0), -EIO);
	assert_int_equal(async_group_error(&group, 1), -EPIPE);
	assert_int_equal(async_group_error(&group, 2), -EDOM);
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void test_several_errors(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(several_errors, NULL), 0);
	for_each_seed(several_errors, 200);
}

static intptr_t too_many_errors(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	for (int i = 0; i < ASYNC_GROUP_ERRORS_MAX + 4; i++)
		async_group_create_task(&group, fails_when_cancelled, (void *)-EPIPE);
	give_way(2);
	assert_int_equal(async_group_end(&group, -EIO), -EPIPE);
	assert_int_equal(async_group_error_count(&group), ASYNC_GROUP_ERRORS_MAX + 5);
	assert_int_equal(async_group_error(&group, ASYNC_GROUP_ERRORS_MAX - 1), -EPIPE);
	assert_int_equal(async_group_error(&group, ASYNC_GROUP_ERRORS_MAX), 0);
	return 0;
}

static void test_too_many_errors(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(too_many_errors, NULL), 0);
}

static intptr_t body_fails(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, until_cancelled, NAME("child"));
	give_way(2);
	assert_int_equal(async_group_end(&group, -EDOM), -EDOM);
	assert_noted("child:cancelled");
	assert_int_equal(async_cancelling(async_current_task()), 0);
	return 0;
}

static void test_failing_body_cancels_children(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(body_fails, NULL), 0);
	for_each_seed(body_fails, 200);
}

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

static intptr_t add_sibling(void *arg)
{
	int error = async_sleep(10);
	async_task *task = async_group_create_task(arg, give_after, (void *)5);

	note("sibling:%d", async_is_task(task));
	return error;
}

/* While the end waits, a child may add others. */
static intptr_t grows(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	async_group_create_task(&group, add_sibling, &group);
	assert_int_equal(async_group_end(&group, 0), 0);
	assert_int_equal(async_loop_time(NULL), 20);
	assert_noted("sibling:1");
	return 0;
}

static void test_child_adds_sibling(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(grows, NULL), 0);
	for_each_seed(grows, 200);
}

static int destroyed;

static void count_destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

static intptr_t create_when_cancelled(void *arg)
{
	int error = async_sleep(ASYNC_FOREVER);

	assert_int_equal(async_result(async_group_create_task(arg, give_after, NULL)), -ESHUTDOWN);
	return error;
}

static intptr_t bad_creation(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	options.destroy = count_destroy;
	destroyed = 0;
	assert_int_equal(async_result(async_group_create_task(NULL, give_after, NULL)), -EINVAL);
	assert_int_equal(async_result(async_group_create_task(&group, give_after, NULL)), -EINVAL);
	assert_int_equal(async_group_spawn(&group, give_after, NULL, &options), -EINVAL);
	assert_int_equal(destroyed, 1);
	assert_int_equal(async_group_end(&group, 0), -EINVAL);
	assert_int_equal(async_group_begin(NULL), -EINVAL);
	begin(&group);
	assert_int_equal(async_group_begin(&group), -EBUSY);
	assert_int_equal(async_result(async_group_create_task(&group, NULL, NULL)), -EINVAL);
	async_group_create_task(&group, create_when_cancelled, &group);
	give_way(2);
	assert_int_equal(async_group_end(&group, -EIO), -EIO);
	assert_int_equal(async_group_end(&group, 0), -EINVAL);
	assert_int_equal(async_result(async_group_create_task_with(&group, give_after, NULL, &options)), -ESHUTDOWN);
	assert_int_equal(destroyed, 2);
	assert_int_equal(async_group_error_count(NULL), 0);
	return 0;
}

static void test_creating_at_the_wrong_time(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(bad_creation, NULL), 0);
}

static intptr_t end_of_another(void *arg)
{
	return async_group_end(arg, 0);
}

static intptr_t wrong_task(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	begin(&group);
	assert_int_equal(async_await(async_create_task(end_of_another, &group)), -EPERM);
	return async_group_end(&group, 0);
}

static void test_only_the_body_ends(void **state)
{
	struct async_group group = ASYNC_GROUP_INIT;

	(void)state;
	assert_int_equal(run_virtual(wrong_task, NULL), 0);
	assert_int_equal(async_group_begin(&group), -EPERM);
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

static intptr_t eager(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;
	struct async_group group = ASYNC_GROUP_INIT;

	(void)arg;
	options.eager = true;
	begin(&group);
	assert_int_equal(async_result(async_group_create_task_with(&group, give_at_once, (void *)3, &options)), 3);
	assert_int_equal(async_group_spawn(&group, give_at_once, (void *)3, &options), 0);
	async_task *waits = async_group_create_task_with(&group, until_cancelled, NAME("waits"), &options);
	/* Fails inside the creating call: the group is cancelled from here on. */
	async_task *fails = async_group_create_task_with(&group, give_at_once, (void *)-EIO, &options);
	assert_true(async_done(fails));
	assert_int_equal(async_result(async_group_create_task(&group, give_after, NULL)), -ESHUTDOWN);
	assert_false(async_done(waits));
	int slept = async_sleep(0);
	assert_int_equal(slept, -ECANCELED);
	assert_int_equal(async_group_end(&group, slept), -EIO);
	assert_noted("waits:cancelled");
	return 0;
}

static void test_eager_children(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(eager, NULL), 0);
}

static int dropped;

static void count_drop(intptr_t result)
{
	(void)result;
	dropped++;
}

/* What was spawned leaves nothing behind when it ends. */
static intptr_t spawned(void *arg)
{
	struct async_group group = ASYNC_GROUP_INIT;
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	options.drop = count_drop;
	dropped = 0;
	begin(&group);
	for (int i = 0; i < 100; i++)
		assert_int_equal(async_group_spawn(&group, give_at_once, (void *)1, &options), 0);
	give_way(3);
	assert_int_equal(dropped, 100);
	assert_null(group.first);
	async_group_create_task(&group, give_at_once, NULL);
	assert_int_equal(async_group_spawn(&group, give_after, (void *)1, &options), 0);
	assert_int_equal(async_group_end(&group, 0), 0);
	assert_int_equal(dropped, 101);
	return 0;
}

static void test_spawn(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(spawned, NULL), 0);
	for_each_seed(spawned, 200);
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

/* A loop that closes in the middle of a group leaves no memory behind that a task does not. */
static intptr_t stays(void *arg)
{
	struct async_group *group = arg;

	begin(group);
	async_group_create_task(group, until_cancelled, NAME("never"));
	async_group_spawn(group, until_cancelled, NAME("never"), NULL);
	return async_group_end(group, 0);
}

static void test_close(void **state)
{
	async_loop *loop = loop_virtual();
	struct async_group group = ASYNC_GROUP_INIT;

	(void)state;
	async_release(async_loop_create_task(loop, stays, &group, NULL));
	for (int i = 0; i < 5; i++)
		assert_true(async_loop_run_once(loop) >= 0);
	loop_end(loop);
	assert_noted("");
	assert_int_equal(reports.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_end_waits_for_all),
		TEST(test_empty_group),
		TEST(test_failing_child_cancels_siblings_and_body),
		TEST(test_child_fails_in_end),
		TEST(test_several_errors),
		TEST(test_too_many_errors),
		TEST(test_failing_body_cancels_children),
		TEST(test_lone_cancelled_child),
		TEST(test_cancelled_from_outside),
		TEST(test_cancelled_again_and_again),
		TEST(test_error_and_outside_cancel),
		TEST(test_child_adds_sibling),
		TEST(test_creating_at_the_wrong_time),
		TEST(test_only_the_body_ends),
		TEST(test_group_cancel),
		TEST(test_nested_groups),
		TEST(test_timeouts),
		TEST(test_eager_children),
		TEST(test_spawn),
		TEST(test_cancelled_twice_at_once),
		TEST(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
