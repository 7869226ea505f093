/* SPDX-License-Identifier: MIT */
/* Turns: when a task begins, and goes on after it gave way, waited or slept. */
#include "harness.h"

static intptr_t note_name(void *arg)
{
	note("%s", (const char *)arg);
	return 0;
}

static intptr_t start_later(void *arg)
{
	async_task *tasks[3];

	(void)arg;
	tasks[0] = async_create_task(note_name, (void *)(uintptr_t)"a");
	tasks[1] = async_create_task(note_name, (void *)(uintptr_t)"b");
	tasks[2] = async_create_task(note_name, (void *)(uintptr_t)"c");
	note("created");
	give_way(1);
	note("back");
	for (int i = 0; i < 3; i++) {
		assert_true(async_done(tasks[i]));
		assert_int_equal(async_await(tasks[i]), 0);
	}
	return 0;
}

static void starts_in_next_iteration_in_order(void **state)
{
	(void)state;
	run_virtual(start_later, NULL);
	assert_noted("created a b c back");
}

static intptr_t yielder(void *arg)
{
	for (int i = 1; i <= 3; i++) {
		note("%s%d", (const char *)arg, i);
		give_way(1);
	}
	return 0;
}

static intptr_t three_yielders(void *arg)
{
	async_task *tasks[3];
	const char *const who[] = {"a", "b", "c"};

	(void)arg;
	for (int i = 0; i < 3; i++)
		tasks[i] = async_create_task(yielder, (void *)(uintptr_t)who[i]);
	for (int i = 0; i < 3; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	return 0;
}

static void yields_take_turns(void **state)
{
	(void)state;
	run_virtual(three_yielders, NULL);
	assert_noted("a1 b1 c1 a2 b2 c2 a3 b3 c3");
}

static intptr_t joiner(void *arg)
{
	intptr_t result = async_await(async_ref(arg));

	note("joined");
	return result;
}

/* a ends in iteration n; who waits for it runs in n + 1, behind what was ready before. */
static intptr_t wake_order(void *arg)
{
	async_task *target, *waiter, *other;

	(void)arg;
	target = async_create_task(note_name, (void *)(uintptr_t)"target");
	waiter = async_create_task(joiner, target);
	other = async_create_task(yielder, (void *)(uintptr_t)"y");
	assert_int_equal(async_await(other), 0);
	assert_int_equal(async_await(waiter), 0);
	return async_await(target);
}

static intptr_t wake_order_parked(void *arg)
{
	async_task *target, *waiter, *other;

	(void)arg;
	target = async_create_task(yielder, (void *)(uintptr_t)"t");
	waiter = async_create_task(joiner, target);
	other = async_create_task(yielder, (void *)(uintptr_t)"y");
	assert_int_equal(async_await(other), 0);
	note("other");
	assert_int_equal(async_await(waiter), 0);
	return async_await(target);
}

static void a_waiter_runs_in_the_next_iteration(void **state)
{
	(void)state;
	run_virtual(wake_order, NULL);
	assert_noted("target joined y1 y2 y3");
	run_virtual(wake_order_parked, NULL);
	assert_noted("t1 y1 t2 y2 t3 y3 joined other");
}

/* Sleeps */

struct nap {
	const char *name;
	async_time delay;
};

static intptr_t napper(void *arg)
{
	const struct nap *nap = arg;
	int result = async_sleep(nap->delay);

	note("%s@%d", nap->name, (int)(async_loop_time(NULL) / ASYNC_MS));
	return result;
}

static intptr_t nap_together(void *arg)
{
	struct nap naps[] = {{"c", 30 * ASYNC_MS}, {"a", 10 * ASYNC_MS}, {"b", 20 * ASYNC_MS}, {"a2", 10 * ASYNC_MS},
			     {"now", 0}, {"past", -5}};
	async_task *tasks[countof(naps)];

	(void)arg;
	for (size_t i = 0; i < countof(naps); i++)
		tasks[i] = async_create_task(napper, &naps[i]);
	for (size_t i = 0; i < countof(naps); i++)
		assert_int_equal(async_await(tasks[i]), 0);
	assert_int_equal(async_sleep_until(100 * ASYNC_MS), 0);
	assert_int_equal(async_loop_time(NULL), 100 * ASYNC_MS);
	assert_int_equal(async_sleep_until(50 * ASYNC_MS), 0);
	assert_int_equal(async_loop_time(NULL), 100 * ASYNC_MS);
	return 0;
}

static void sleeps_end_in_order(void **state)
{
	(void)state;
	run_virtual(nap_together, NULL);
	assert_noted("now@0 past@0 a@10 a2@10 b@20 c@30");
}

static intptr_t sleep_sorted(void *arg)
{
	async_task *tasks[20];

	(void)arg;
	for (int i = 0; i < 20; i++) {
		static struct nap naps[20];

		naps[i] = (struct nap){"n", (i * 7 % 20 + 1) * ASYNC_MS};
		tasks[i] = async_create_task(napper, &naps[i]);
	}
	for (int i = 0; i < 20; i++)
		assert_int_equal(async_await(tasks[i]), 0);
	assert_noted("n@1 n@2 n@3 n@4 n@5 n@6 n@7 n@8 n@9 n@10 n@11 n@12 n@13 n@14 n@15 n@16 n@17 n@18 n@19 n@20");
	return 0;
}

static void sleeps_end_in_order_however_shuffled(void **state)
{
	(void)state;
	for_each_seed(sleep_sorted, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(starts_in_next_iteration_in_order),
		TEST(yields_take_turns),
		TEST(a_waiter_runs_in_the_next_iteration),
		TEST(sleeps_end_in_order),
		TEST(sleeps_end_in_order_however_shuffled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
