/* SPDX-License-Identifier: MIT */
/* Eager tasks interleave as with CPython's eager_task_factory: what is noted here was noted there, by the same
 * program. */
#include "harness.h"

struct step {
	const char *name;
	int turns;
};

static intptr_t step(void *arg)
{
	const struct step *self = arg;

	note("%s0", self->name);
	for (int i = 1; i <= self->turns; i++) {
		int error = async_sleep(0);

		if (error)
			return error;
		note("%s%d", self->name, i);
	}
	return 0;
}

static async_task *create(async_fn *fn, const void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	options.eager = true;
	return async_create_task_with(fn, (void *)(uintptr_t)arg, &options);
}

static async_task *create_step(const struct step *arg)
{
	return create(step, arg);
}

static intptr_t now(void *arg)
{
	note("%s", (const char *)arg);
	return 0;
}

static intptr_t failing(void *arg)
{
	(void)arg;
	note("f");
	return -EIO;
}

static intptr_t at_once(void *arg)
{
	(void)arg;
	async_task *task = create(now, "n");
	note("done%d", async_done(task));
	assert_int_equal(async_await(task), 0);
	task = create(failing, NULL);
	note("done%d", async_done(task));
	assert_int_equal(async_await(task), -EIO);
	assert_noted("n done1 f done1");
	return 0;
}

static void test_ends_within_the_call(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(at_once, NULL), 0);
	for_each_seed(at_once, 200);
}

static const struct step a = {"a", 2}, b = {"b", 1}, i = {"i", 1}, k = {"k", 1};
static const struct step z = {"z", 1}, t = {"t", 3}, g = {"g2", 1};

static intptr_t order(void *arg)
{
	async_task *me = async_current_task();

	(void)arg;
	async_task *first = create_step(&a), *second = create_step(&b);
	note("m");
	assert_ptr_equal(async_current_task(), me);
	for (int turn = 1; turn <= 3; turn++) {
		give_way(1);
		note("m%d", turn);
	}
	assert_noted("a0 b0 m a1 b1 m1 a2 m2 m3");
	async_release(first);
	async_release(second);
	return 0;
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(order, NULL), 0);
}

static intptr_t outer(void *arg)
{
	(void)arg;
	note("o0");
	async_task *inner = create_step(&i);
	note("o1");
	intptr_t result = async_await(inner);
	note("o2");
	return result;
}

static intptr_t nested(void *arg)
{
	(void)arg;
	async_task *task = create(outer, NULL);
	note("mo");
	assert_int_equal(async_await(task), 0);
	note("mo1");
	assert_noted("o0 i0 o1 mo i1 o2 mo1");
	return 0;
}

static void test_nested(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(nested, NULL), 0);
	for_each_seed(nested, 200);
}

static intptr_t cancel_self(void *arg)
{
	(void)arg;
	async_cancel(async_current_task(), NULL);
	note("s");
	return 0;
}

static intptr_t cancel_self_and_wait(void *arg)
{
	async_cancel(async_current_task(), NULL);
	note("c0");
	int error = async_sleep(0);
	note(error == -ECANCELED ? "cx" : "?");
	return arg ? 0 : error;
}

static intptr_t cancel_other(void *arg)
{
	async_cancel(arg, NULL);
	note("cp");
	return 0;
}

static intptr_t cancellation(void *arg)
{
	async_task *me = async_current_task(), *task = create(cancel_self, NULL);

	(void)arg;
	note("sd%d", async_done(task));
	assert_int_equal(async_await(task), -ECANCELED);
	task = create(cancel_self_and_wait, NULL);
	note("cd%d", async_done(task));
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("s sd1 c0 cd0 cx");
	/* A child that cancels who creates it. */
	async_release(create(cancel_other, me));
	assert_int_equal(async_sleep(0), -ECANCELED);
	async_uncancel(me);
	/* Cancelled at the wait that it suspended in. */
	task = create_step(&k);
	async_cancel(task, NULL);
	assert_int_equal(async_await(task), -ECANCELED);
	assert_noted("cp k0");
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1);
	return 0;
}

static void test_cancellation(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(cancellation, NULL), 0);
	for_each_seed(cancellation, 200);
}

static intptr_t await_it(void *arg)
{
	note("w0");
	intptr_t result = async_await(arg);
	note("w1");
	return result;
}

static void note_done(async_future *future, void *arg)
{
	(void)future;
	note_callback(arg);
}

static intptr_t done_futures(void *arg)
{
	static char cb[] = "cb";
	async_future *future = async_future_new(NULL, NULL);

	(void)arg;
	async_future_set_result(future, 1);
	async_task *task = create(await_it, future);
	note("wd%d", async_done(task));
	assert_int_equal(async_await(task), 1);
	task = create(now, "q");
	async_add_done_callback(task, note_done, cb);
	note("q1");
	give_way(1);
	note("q2");
	async_release(task);
	assert_noted("w0 w1 wd1 q q1 cb q2");
	return 0;
}

static void test_done_futures(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(done_futures, NULL), 0);
}

static void create_from_callback(void *arg)
{
	*(async_task **)arg = create_step(&z);
	note("zc%d", async_current_task() != NULL);
}

static intptr_t callback(void *arg)
{
	async_task *task = NULL;

	(void)arg;
	async_loop_call_soon(async_get_running_loop(), create_from_callback, &task, NULL);
	give_way(1);
	note("z+");
	give_way(1);
	note("z++");
	async_release(task);
	assert_noted("z0 zc0 z+ z1 z++");
	return 0;
}

static void test_from_a_callback(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(callback, NULL), 0);
}

static intptr_t composed(void *arg)
{
	async_future *both[] = {create(now, "g1"), create_step(&g)};
	struct async_timeout scope = ASYNC_TIMEOUT_INIT;

	(void)arg;
	assert_int_equal(async_await(async_gather(both, 2, 0, NULL)), 2);
	assert_int_equal(async_timeout_begin(&scope, 0), 0);
	intptr_t result = async_await(create_step(&t));
	assert_int_equal(async_timeout_end(&scope, result), -ETIMEDOUT);
	assert_noted("g1 g20 g21 t0");
	return 0;
}

static void test_with_gather_and_timeout(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(composed, NULL), 0);
}

static intptr_t deep(void *arg)
{
	if (arg)
		return async_await(create(deep, (char *)arg - 1)) + 1;
	return async_sleep(1);
}

/* Each one is created inside the one before. */
static void test_many_levels(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(deep, (void *)100), 100);
}

static int destroyed, dropped;

static void count_destroy(void *arg)
{
	(void)arg;
	destroyed++;
}

static void count_drop(intptr_t result)
{
	dropped += result == 3;
}

static intptr_t give_three(void *arg)
{
	(void)arg;
	return 3;
}

static intptr_t unwanted(void *arg)
{
	struct async_task_options options = ASYNC_TASK_OPTIONS_INIT;

	(void)arg;
	destroyed = dropped = 0;
	options.eager = true;
	options.destroy = count_destroy;
	options.drop = count_drop;
	async_release(async_create_task_with(give_three, NULL, &options));
	assert_int_equal(dropped, 1);
	async_task *task = async_create_task_with(give_three, NULL, &options);
	assert_int_equal(async_await(task), 3);
	assert_int_equal(dropped, 1);
	/* The bodies ran: the arguments were theirs. */
	assert_int_equal(destroyed, 0);
	options.stack_size = 1;
	assert_int_equal(async_await(async_create_task_with(give_three, NULL, &options)), -EINVAL);
	assert_int_equal(destroyed, 1);
	return 0;
}

static void test_values_have_an_owner(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(unwanted, NULL), 0);
	for_each_seed(unwanted, 200);
}

static intptr_t leave_failing(void *arg)
{
	async_task *task = create(failing, NULL);

	(void)arg;
	assert_true(async_done(task));
	assert_int_equal(reports.count, 0);
	async_release(task);
	return (intptr_t)reports.count;
}

static void test_an_unread_failure_is_reported_once(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_with(leave_failing, NULL, &options), 1);
	assert_int_equal(reports.count, 1);
	assert_int_equal(reports.error, -EIO);
	forget_notes();
}

static intptr_t count_tasks(void *arg)
{
	(void)arg;
	return async_all_tasks(NULL, NULL, 0);
}

static intptr_t live(void *arg)
{
	async_task *task = create(count_tasks, NULL);

	(void)arg;
	/* While it ran there were two, though this one has a reference of it still. */
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1);
	assert_int_equal(async_await(task), 2);
	task = create_step(&k);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 2);
	assert_int_equal(async_await(task), 0);
	assert_int_equal(async_all_tasks(NULL, NULL, 0), 1);
	return 0;
}

static void test_is_alive_while_it_runs(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(live, NULL), 0);
	assert_noted("k0 k1");
	for_each_seed(live, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ends_within_the_call),
		TEST(test_order),
		TEST(test_nested),
		TEST(test_cancellation),
		TEST(test_done_futures),
		TEST(test_from_a_callback),
		TEST(test_with_gather_and_timeout),
		TEST(test_many_levels),
		TEST(test_values_have_an_owner),
		TEST(test_an_unread_failure_is_reported_once),
		TEST(test_is_alive_while_it_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
