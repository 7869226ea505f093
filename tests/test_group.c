/* SPDX-License-Identifier: MIT */
/* Task groups: the rules of asyncio.TaskGroup for children, errors and the end. */
#include "group_peers.h"

static intptr_t give_later(void *arg)
{
	int error = async_sleep(50);

	return error ? error : (intptr_t)arg;
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
	assert_int_equal(async_group_begin(&group), -ESHUTDOWN);
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
		TEST(test_child_adds_sibling),
		TEST(test_creating_at_the_wrong_time),
		TEST(test_only_the_body_ends),
		TEST(test_eager_children),
		TEST(test_spawn),
		TEST(test_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
