/* SPDX-License-Identifier: MIT */
/* Groups, shields and as_completed, iteration by iteration: the same program in CPython 3.13 notes the same. */
#include "harness.h"

static intptr_t failing(void *arg)
{
	(void)arg;
	return -EIO;
}

static intptr_t quick(void *arg)
{
	(void)arg;
	return 0;
}

/* Gives way until it is cancelled, and notes how often. */
static intptr_t spin(void *name)
{
	int turns = 0;

	while (async_sleep(0) == 0)
		turns++;
	note("%s%d", (const char *)name, turns);
	return -ECANCELED;
}

/* Counts the iterations. */
static intptr_t watch(void *arg)
{
	(void)arg;
	for (int turn = 0;; turn++) {
		note("w%d", turn);
		if (async_sleep(0) < 0)
			return -ECANCELED;
	}
}

static intptr_t await_it(void *future)
{
	return async_await(future);
}

static intptr_t await_and_note(void *future)
{
	note(async_await(future) == 1 ? "aw" : "awc");
	return 0;
}

static intptr_t note_completed(void *arg)
{
	async_future **futures = arg, *next;
	async_completions *all;

	assert_int_equal(async_as_completed(futures, 2, ASYNC_FOREVER, &all), 0);
	while (async_next_completed(all, &next) == 1)
		note("ac%ld", (long)async_await(next));
	async_completions_free(all);
	return 0;
}

static void groups(async_task **ret_watch)
{
	static char s[] = "s", b[] = "b";
	struct async_group group = ASYNC_GROUP_INIT;

	assert_int_equal(async_group_begin(&group), 0);
	async_group_create_task(&group, failing, NULL);
	async_group_create_task(&group, spin, s);
	assert_int_equal(async_group_end(&group, spin(b)), -EIO);
	*ret_watch = async_create_task(watch, NULL);
	group = (struct async_group)ASYNC_GROUP_INIT;
	assert_int_equal(async_group_begin(&group), 0);
	async_group_create_task(&group, quick, NULL);
	assert_int_equal(async_group_end(&group, 0), 0);
	note("e");
}

static void shields(void)
{
	async_future *future = async_future_new(NULL, NULL);
	async_future *shield = async_shield(async_create_task(await_it, async_ref(future)));
	async_task *waiter = async_create_task(await_and_note, shield);

	give_way(2);
	async_future_set_result(future, 1);
	async_release(future);
	assert_int_equal(async_await(waiter), 0);
	note("x");
}

static void completions(void)
{
	async_future *futures[] = {async_future_new(NULL, NULL), async_future_new(NULL, NULL)};
	async_future *first = async_ref(futures[0]), *second = async_ref(futures[1]);
	async_task *task = async_create_task(note_completed, futures);

	give_way(2);
	async_future_set_result(second, 1);
	note("set");
	give_way(1);
	async_future_set_result(first, 0);
	assert_int_equal(async_await(task), 0);
	note("end");
	async_release(first);
	async_release(second);
}

static intptr_t program(void *arg)
{
	async_task *watching;

	(void)arg;
	groups(&watching);
	shields();
	completions();
	async_cancel(watching, NULL);
	assert_int_equal(async_await(watching), -ECANCELED);
	assert_noted("s0 b1 w0 w1 w2 e w3 w4 w5 w6 w7 aw w8 x w9 w10 set w11 w12 ac1 w13 ac0 w14 end");
	return 0;
}

static void test_as_in_cpython(void **state)
{
	(void)state;
	assert_int_equal(run_virtual(program, NULL), 0);
}

/* Deadlines that have passed when they are set. */

static intptr_t three_turns(void *name)
{
	for (int i = 0; i < 3; i++) {
		note("%s%d", (const char *)name, i);
		assert_int_equal(async_sleep(0), 0);
	}
	return 0;
}

static intptr_t in_the_past(void *arg)
{
	static char a[] = "a", b[] = "b", soon[] = "soon", now[] = "now", past[] = "past", at[] = "at", at2[] = "at2";
	async_loop *loop = async_get_running_loop();
	async_task *first = async_create_task(three_turns, a), *second = async_create_task(three_turns, b);

	(void)arg;
	assert_int_equal(async_loop_call_later(loop, 0, note_callback, now, NULL), 0);
	assert_int_equal(async_loop_call_later(loop, -7 * ASYNC_S, note_callback, past, NULL), 0);
	async_time when = async_loop_time(NULL);
	assert_int_equal(async_loop_call_at(loop, when - 3 * ASYNC_S, note_callback, at, NULL), 0);
	assert_int_equal(async_loop_call_at(loop, when - 5 * ASYNC_S, note_callback, at2, NULL), 0);
	assert_int_equal(async_loop_call_soon(loop, note_callback, soon, NULL), 0);
	assert_int_equal(async_await(first), 0);
	assert_int_equal(async_await(second), 0);
	assert_noted("a0 b0 soon past at2 at now a1 b1 a2 b2");
	return 0;
}

/* Whatever the clock, and however little time has passed since the loop looked at it. */
static void what_is_due_is_for_the_next_iteration(void **state)
{
	struct async_options options = test_options();

	(void)state;
	assert_int_equal(run_virtual(in_the_past, NULL), 0);
	options.clock = ASYNC_CLOCK_REAL;
	assert_int_equal(run_with(in_the_past, NULL, &options), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_as_in_cpython),
		TEST(what_is_due_is_for_the_next_iteration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
